"""What attendance promises of its numbers, of its record, and of events that are over."""

from datetime import timedelta

from django.db.models import F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from config.database import corrected
from config.integrity import Invariant, any_is_a_warning, register
from events.models import Event

from .models import AttendanceAudit, AttendanceStatus, Attendee, seats_counted
from .operations import absence, record

OVERDUE = timedelta(minutes=10)
"""Beat completes events each minute; one that waits for longer than this waits for nobody."""


def miscounted(event_id=None):
    events = Event.objects.annotate(counted=seats_counted()).exclude(seats_taken=F("counted"))
    return events.filter(pk=event_id) if event_id else events


def recount(*, rows) -> int:
    """For the tables' owner: the application's role can't write the column at all (docs/backup.md)."""
    with corrected(Event, "seats_taken"):
        return Event.objects.filter(pk__in=rows).update(seats_taken=seats_counted())


def without_a_status(event_id=None):
    """Rows of another time, or loaded past the constraints: no status, or one that nobody has heard of."""
    rows = Attendee.objects.filter(Q(attendance_status=None) | ~Q(attendance_status__in=AttendanceStatus.values))
    return rows.filter(event_id=event_id) if event_id else rows


def off_the_record(event_id=None):
    """Attendees who aren't what the last row of their audit says: written past the triggers."""
    last = AttendanceAudit.objects.filter(attendee=OuterRef("pk")).order_by("-pk").values("to_status")[:1]
    recorded = Coalesce(Subquery(last), Value(AttendanceStatus.UNKNOWN))
    rows = Attendee.objects.annotate(recorded=recorded).filter(
        Q(attendance_status=None) | ~Q(attendance_status=F("recorded"))
    )
    return rows.filter(event_id=event_id) if event_id else rows


def overdue(event_id=None):
    events = absence.due(since=OVERDUE)
    return events.filter(pk=event_id) if event_id else events


register(
    Invariant(
        name="seats",
        promise=_("Each event's places taken are those of its active attendees and their plus-ones."),
        violations=miscounted,
        repair=recount,
    ),
    Invariant(
        name="attendance",
        promise=_("Each attendee has one of the known statuses of attendance."),
        violations=without_a_status,
        repair=record.without_a_status_to_unknown,
    ),
    Invariant(
        name="attendance_audit",
        promise=_("Each attendee's attendance is what the last row of the audit says."),
        violations=off_the_record,
    ),
    Invariant(
        name="overdue_events",
        promise=_("Events are completed within ten minutes of their end and grace."),
        violations=overdue,
        level=any_is_a_warning,
    ),
)
