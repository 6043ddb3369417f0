"""When an event is over: it is completed, and who never showed up is absent.

The beat task and ``manage.py complete_events`` both call :func:`complete`. It works in batches,
each a transaction of its own, and may be killed anywhere: the next run goes on with whoever is
still unknown. Nobody is marked twice, however many run at once.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, QuerySet, When
from django.db.models.functions import Now
from django.utils import timezone

from config.database import write
from config.errors import SYSTEM, lock, operation
from events.models import Event

from ..models import AttendanceAudit, AttendanceSource, AttendanceStatus, Attendee
from . import record

log = structlog.get_logger(__name__)

BATCH = 1000
"""Attendees that one transaction marks."""


def due(*, since: timedelta = timedelta(0)) -> QuerySet[Event]:
    """Published events that are over, grace included, and not completed yet; ``marks`` says whether
    their unknown attendees become absent. Drafts never took place, cancelled ones neither.

    With ``since``, those that have been due for so long already.
    """
    used = AttendanceAudit.objects.filter(event=OuterRef("pk"), source__in=AttendanceSource.TAKEN)
    always, if_used = Event.AutoAbsence.ALWAYS, Event.AutoAbsence.IF_USED
    return Event.objects.filter(
        status=Event.Status.PUBLISHED, ends_at__lte=Now() - F("auto_absence_grace") - since
    ).annotate(
        marks=Case(When(auto_absence=always, then=True), When(auto_absence=if_used, then=Exists(used)), default=False)
    )


@dataclass
class Summary:
    """What completing one event did. ``completed`` False: it was moved, cancelled, or is being marked by another."""

    event_id: int
    attendees: int = 0
    marked: int = 0
    batches: int = 0
    ms: int = 0
    completed: bool = False
    taken_back: int = 0


def complete(*, event_id, batch_size: int = BATCH) -> Summary:
    """Marks batch by batch until nobody is left, then completes the event. Raises Busy."""
    began, summary = time.monotonic(), Summary(event_id)
    while True:
        batch_began = time.monotonic()
        marked = mark_batch(event_id=event_id, size=batch_size)
        if marked:
            summary.marked += marked
            summary.batches += 1
            log.info(
                "attendance.auto_absence.batch",
                event_id=event_id,
                batch=summary.batches,
                marked=marked,
                ms=_ms_since(batch_began),
            )
            continue
        summary.completed = finish(event_id=event_id)
        break
    if not summary.completed:
        summary.taken_back = take_back(event_id=event_id)
    summary.attendees = Attendee.objects.in_room(event_id).count()
    summary.ms = _ms_since(began)
    if summary.completed or summary.marked:
        log.info(
            "attendance.auto_absence.summary",
            event_id=event_id,
            attendees=summary.attendees,
            marked=summary.marked,
            batches=summary.batches,
            ms=summary.ms,
        )
    return summary


def _ms_since(began) -> int:
    return round((time.monotonic() - began) * 1000)


MARK = """
    WITH due AS (
        {due} FOR SHARE OF events
    ), batch AS (
        SELECT attendee.id FROM event_attendees AS attendee
        WHERE attendee.event_id = %s AND attendee.status = 'active' AND attendee.attendance_status = 'unknown'
            AND EXISTS (SELECT FROM due)
        ORDER BY attendee.id LIMIT %s FOR NO KEY UPDATE OF attendee SKIP LOCKED
    )
    UPDATE event_attendees AS attendee SET
        attendance_status = 'absent',
        attendance_source = 'auto_absence',
        attendance_marked_at = clock_timestamp(),
        attendance_marked_by_id = NULL,
        attendance_device_id = NULL,
        attendance_updated_at = clock_timestamp()
    WHERE attendee.id = ANY (ARRAY(SELECT id FROM batch))
"""
"""By the index of the event's room, and by primary key, however many attendees other events have."""


@operation
def mark_batch(*, event_id, size: int = BATCH) -> int:
    """Up to ``size`` attendees of an event that is due become absent; how many did.

    The event is locked so that nobody moves it meanwhile, but other batches run beside this one;
    who is being marked by somebody else at this moment is left alone.
    """
    over, params = due().filter(pk=event_id, marks=True).order_by().values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(MARK.format(due=over), (*params, event_id, size))
        return cursor.rowcount


@operation
def finish(*, event_id) -> bool:
    """Completes an event that is due and has nobody left to mark; whether it did. Locks the event.

    Nothing is marked by itself from then on: whom an organiser sets back to unknown stays so.
    """
    lock(Event.objects, pk=event_id)
    event = due().filter(pk=event_id).first()
    if event is None or (event.marks and Attendee.objects.unmarked().filter(event=event).exists()):
        return False
    event.status = Event.Status.COMPLETED
    write([event], ["status"], actor=SYSTEM, reason="the event is over")
    return True


def moved() -> QuerySet[Event]:
    """Events that are neither completed nor due, though people are absent of them by the system: they
    were moved into the future, or called off, while people were being marked."""
    return (
        Event.objects.filter(Exists(_auto_absent().filter(event=OuterRef("pk"))))
        .exclude(status=Event.Status.COMPLETED)
        .exclude(status=Event.Status.PUBLISHED, ends_at__lte=Now() - F("auto_absence_grace"))
    )


def _auto_absent():
    return Attendee.objects.active().filter(
        attendance_status=AttendanceStatus.ABSENT, attendance_source=AttendanceSource.AUTO_ABSENCE
    )


@operation
def take_back(*, event_id) -> int:
    """People of an event that was moved while it was completed are expected again; how many. Locks the event."""
    lock(Event.objects, pk=event_id)
    if not moved().filter(pk=event_id).exists():
        return 0
    marks = [
        record.Mark(
            attendee_id=pk,
            version=version,
            new=AttendanceStatus.UNKNOWN,
            at=timezone.now(),
            source=AttendanceSource.AUTO_ABSENCE,
        )
        for pk, version in _auto_absent().filter(event_id=event_id).values_list("pk", "attendance_updated_at")
    ]
    taken_back = len(record.write(marks))
    transaction.on_commit(
        partial(log.info, "attendance.auto_absence.taken_back", event_id=event_id, taken_back=taken_back)
    )
    return taken_back
