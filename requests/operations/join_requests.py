"""Asking to join, and the answer. ``approve`` is the first promise of the product.

Every act here locks the event, then the request (config.errors.lock has the whole order), so that
capacity, line and status are decided one after the other.
"""

from functools import partial

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.utils import bulk_create_with_history

from attendance.models import Attendee, seats_counted
from attendance.operations import room
from config.database import write
from config.errors import SYSTEM, DomainError, Outcome, lock, lock_with_event, operation
from events.models import Event

from ..models import Ban, JoinRequest, Status
from . import notices

log = structlog.get_logger(__name__)


class IllegalMove(DomainError):
    code = "illegal_status"
    message = _("A request that is {old} can't become {new}.")


class PlusOnesFixed(DomainError):
    code = "plus_ones_fixed"
    message = _("The request is {status}: it can't be changed any more.")


class Miscounted(DomainError):
    code = "miscounted"
    message = _("The event's places taken are miscounted. Run `backfill seats` first, as the tables' owner.")


class RequestBroken(DomainError):
    """The database's own promises about join requests; operations keep them, raw SQL is told."""

    code = "request_inconsistent"
    message = _("An approved join request and its attendee belong together; the database refused one alone.")
    constraints = (
        "requests_joinrequest_approved_has_attendee",
        "requests_joinrequest_decided_when_decided",
        "requests_joinrequest_owner_of_profile",
        "requests_joinrequest_once",
    )


MOVES = {
    Status.PENDING: {Status.APPROVED, Status.DECLINED, Status.CANCELLED},
    Status.APPROVED: {Status.PENDING, Status.DECLINED, Status.CANCELLED},
    Status.DECLINED: {Status.APPROVED, Status.PENDING},
    Status.CANCELLED: {Status.PENDING},
}
"""From each status, where a request may go. In events that are over, only to cancelled."""


@operation
def send(*, event_id, person, plus_ones: int = 0, comments: str = "") -> Outcome:
    """A person asks to join; ``changed`` says whether a request was made.

    Sending again returns the one there is: a cancelled one is pending again, at the end of the line,
    with the new plus-ones and comment; a declined one stays declined. An event that approves by
    itself does so here while there is room.

    Raises EventClosed, Banned, TooManyPlusOnes, AlreadyAttending.
    """
    event = lock(Event.objects, pk=event_id)
    request = JoinRequest.objects.filter(event=event, user_profile=person).first()
    if request and request.status != Status.CANCELLED:
        return Outcome(request, changed=False)
    if event.status != Event.Status.PUBLISHED:
        raise room.ClosedToGuests(event)
    refuse_banned(event, person.pk, room.YouAreBanned)
    if plus_ones > event.max_plus_ones:
        raise room.TooManyPlusOnes(allowed=event.max_plus_ones)
    made = request is None
    if not made:
        request.plus_ones, request.comments, request.held = plus_ones, comments, False
        request.queued_at = timezone.now()
        also = ("plus_ones", "comments", "queued_at")
        _set_status([request], Status.PENDING, actor=person, reason="sent again", also=also)
    else:
        if Attendee.objects.active().filter(event=event, user_profile=person).exists():
            raise room.AlreadyAttending
        request = JoinRequest(
            event=event, user_profile=person, owner_id=person.owner_id, plus_ones=plus_ones, comments=comments
        )
        bulk_create_with_history([request], JoinRequest, default_user=person)
        _after_commit("join_request.sent", request)
    if event.approval_mode == Event.ApprovalMode.AUTO and event.has_room_for(1 + plus_ones):
        _approve(event, [request], actor=SYSTEM, reason="approved on arrival")
    return Outcome(request, changed=made)


@operation
def edit(*, request_id, actor, changes: dict) -> JoinRequest:
    """The person corrects plus-ones or comment while nobody has decided. Raises PlusOnesFixed, TooManyPlusOnes."""
    event, request = lock_with_event(JoinRequest, request_id)
    if request.status != Status.PENDING:
        raise PlusOnesFixed(status=request.get_status_display().lower())
    if changes.get("plus_ones", 0) > event.max_plus_ones:
        raise room.TooManyPlusOnes(allowed=event.max_plus_ones)
    for name, value in changes.items():
        setattr(request, name, value)
    write([request], changes, actor=actor)
    if "plus_ones" in changes:
        fill_up(event)
    return request


@operation
def approve(*, request_id, actor, note: str | None = None) -> Outcome:
    """Let the person in: from this instant they are an attendee. Locks the event, then the request.

    Raises EventClosed, EventFull, TooManyPlusOnes, Banned, IllegalMove. Approving twice changes nothing.
    """
    event, request = lock_with_event(JoinRequest, request_id)
    if not _moves(event, request, Status.APPROVED):
        return Outcome(request, changed=False)
    refuse_banned(event, request.user_profile_id)
    if request.plus_ones > event.max_plus_ones:  # the event allowed more when they asked
        raise room.TooManyPlusOnes(allowed=event.max_plus_ones)
    _approve(event, [request], actor=actor, note=note)
    return Outcome(request, changed=True)


@operation
def decline(*, request_id, actor, note: str | None = None) -> Outcome:
    """Say no, or no more: an attendee of this request is removed. Raises EventClosed, IllegalMove."""
    return _leave(request_id, Status.DECLINED, actor=actor, note=note)


@operation
def reopen(*, request_id, actor) -> Outcome:
    """Back to pending, by an organiser; automatic approval leaves it to them. Raises EventClosed, IllegalMove.

    What the person cancelled, only they open again, by asking anew.
    """
    return _leave(request_id, Status.PENDING, actor=actor, held=True, never_from=Status.CANCELLED)


@operation
def cancel(*, request_id, actor) -> Outcome:
    """The person doesn't want to come after all; possible even when the event is over."""
    return _leave(request_id, Status.CANCELLED, actor=actor)


@operation
def admit_pending(*, event_id) -> int:
    """Automatic approval catches up: the longest waiting first, as far as there is room. How many came in.

    Whoever needs more places than are left stays pending; smaller parties behind them come in.
    """
    return fill_up(lock(Event.objects, pk=event_id))


def fill_up(event: Event) -> int:
    """:func:`admit_pending` for a caller that holds the event's lock."""
    if event.approval_mode != Event.ApprovalMode.AUTO or event.status != Event.Status.PUBLISHED:
        return 0
    left = event.seats_left
    chosen = []
    for request in JoinRequest.objects.in_line().filter(event=event, plus_ones__lte=event.max_plus_ones)[:BATCH]:
        if left is not None:
            if left <= 0:
                break
            if 1 + request.plus_ones > left:
                continue
            left -= 1 + request.plus_ones
        chosen.append(request)
    if chosen:
        _approve(event, chosen, actor=SYSTEM, reason="approved as there was room")
    return len(chosen)


BATCH = 1000
"""Requests that one transaction looks at; the sweep comes back for more."""


def event_changed(*, row: Event, changed: frozenset[str], actor) -> None:
    """An organiser saved the event's form: more room, or automatic approval, lets people in at once."""
    if changed & {"capacity", "approval_mode", "status"}:
        fill_up(lock(Event.objects, pk=row.pk))


def backfill_attendees(*, rows) -> int:
    """Makes the attendee of each approved request (by primary key) that lacks one.

    Such rows come from loading data with the triggers off. All of an event or none; an event that
    refuses (it is full, or miscounted) is logged and doesn't hold up the others.
    """
    made = 0
    events = JoinRequest.objects.filter(pk__in=rows).values_list("event_id", flat=True).distinct().order_by("event_id")
    for event_id in events:
        try:
            made += _backfill_event(event_id=event_id, rows=rows)
        except DomainError as error:
            log.warning("backfill.refused", event_id=event_id, code=error.code, reason=str(error))
    return made


@operation
def _backfill_event(*, event_id, rows) -> int:
    event = lock(Event.objects, pk=event_id)
    if Event.objects.filter(pk=event_id).exclude(seats_taken=seats_counted()).exists():
        raise Miscounted
    requests = list(JoinRequest.objects.without_attendee().filter(event=event, pk__in=rows))
    room.admit(
        event=event,
        admissions=[_admission(one) for one in requests],
        source=Attendee.Source.JOIN_REQUEST,
        actor=SYSTEM,
        reason="backfill",
    )
    return len(requests)


# -- what the acts share -------------------------------------------------------------------------


def refuse_banned(event: Event, user_profile_id, error=room.Banned) -> None:
    """Raises Banned, in the words of ``error``."""
    if Ban.objects.filter(event=event, user_profile_id=user_profile_id).exists():
        raise error


def approve_locked(event: Event, request: JoinRequest, *, actor, reason: str) -> None:
    """Approves from any status, for a way in that skips the decision (an invitation). The caller
    holds the event's lock. Raises EventClosed, EventFull."""
    _approve(event, [request], actor=actor, reason=reason)


def _moves(event, request, to) -> bool:
    """Whether there is anything to do. Raises EventClosed, IllegalMove."""
    if request.status == to:
        return False
    if not event.is_open and to != Status.CANCELLED:
        raise room.EventClosed(status=event.get_status_display().lower())
    if to not in MOVES[request.status]:
        raise IllegalMove(old=request.get_status_display().lower(), new=to.label.lower())
    return True


def turn_away(*, request_id, actor, note: str | None, tell: bool = True) -> Outcome:
    """:func:`decline` within an act that may have words of its own for the person."""
    return _leave(request_id, Status.DECLINED, actor=actor, note=note, tell=tell)


def _approve(event, requests, *, actor, note=None, reason=None):
    room.let_in(
        event=event,
        admissions=[_admission(one) for one in requests],
        source=Attendee.Source.JOIN_REQUEST,
        actor=actor,
        reason=reason or "approved",
    )
    _set_status(requests, Status.APPROVED, actor=actor, note=note, reason=reason)
    notices.decided(event, requests, was=Status.PENDING, actor=actor, note=note)


def _admission(request):
    return room.Admission(
        user_profile_id=request.user_profile_id,
        owner_id=request.owner_id,
        plus_ones=request.plus_ones,
        join_request_id=request.pk,
    )


def _leave(request_id, to, *, actor, note=None, held=False, never_from=None, tell=True):
    event, request = lock_with_event(JoinRequest, request_id)
    if not _moves(event, request, to):
        return Outcome(request, changed=False)
    if request.status == never_from:
        raise IllegalMove(old=request.get_status_display().lower(), new=to.label.lower())
    attendees = Attendee.objects.select_for_update(no_key=True).filter(join_request=request)
    room.put_out(event=event, attendees=attendees, actor=actor, reason=note or to.value)
    request.held, was = held, request.status
    _set_status([request], to, actor=actor, note=note)
    if tell and to != Status.CANCELLED:
        notices.decided(event, [request], was=was, actor=actor, note=note)
    fill_up(event)
    return Outcome(request, changed=True)


def _set_status(requests, status, *, actor, note=None, reason=None, also=()):
    """Status and decision belong together: the database checks it. ``also`` names other changed fields."""
    decided = status in Status.DECIDED
    for request in requests:
        request.status = status
        request.decided_at = timezone.now() if decided else None
        request.decided_by = actor if decided else None
        request.decision_note = (note or None) if decided else None
        _after_commit("join_request.decided", request)
    write(requests, ["status", "held", "decided_at", "decided_by", "decision_note", *also], actor=actor, reason=reason)


def _after_commit(what, request):
    """For the log, once the decision stands. What people are told commits with it (notices)."""
    transaction.on_commit(
        partial(log.info, what, join_request=str(request.pk), event_id=request.event_id, status=str(request.status))
    )
