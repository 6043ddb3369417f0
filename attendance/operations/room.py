"""The one way into an event's room and out of it, and what attendees set for themselves.

A join request, an invitation, an import and a walk-in all end in :func:`let_in`, so that capacity
is checked in one place, under one lock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.utils import bulk_create_with_history

from config.database import write
from config.errors import DomainError, Outcome, lock, operation
from events.models import Event

from ..models import AttendanceSource, AttendanceStatus, Attendee, Block
from . import record


class EventClosed(DomainError):
    """The event is completed or cancelled (or, for somebody who asks to join, still a draft)."""

    code = "event_closed"
    message = _("The event is {status}: nobody can be let in or out.")


class ClosedToGuests(EventClosed):
    """:class:`EventClosed`, said to somebody who would like to come."""

    message = _("You can't join this event: {why}.")
    reasons = {
        Event.Status.DRAFT: _("it isn't open yet"),
        Event.Status.COMPLETED: _("it is over"),
        Event.Status.CANCELLED: _("it was cancelled"),
    }

    def __init__(self, event):
        super().__init__(why=self.reasons[event.status])


class EventFull(DomainError):
    code = "event_full"
    message = _("The event is full: {taken} of {capacity} places taken; this request needs {needed}.")
    plain = _("The event's capacity is smaller than the places taken.")
    constraints = ("events_event_seats_within_capacity",)


class TooManyPlusOnes(DomainError):
    code = "too_many_plus_ones"
    status = 400
    message = _("At most {allowed} may come along with each person at this event.")
    plain = _("More plus-ones than this event allows.")
    constraints = ("requests_joinrequest_plus_ones_allowed",)


class Banned(DomainError):
    code = "banned"
    status = 403
    message = _("This person may not attend this event.")
    constraints = ("requests_ban_keeps_out",)


class YouAreBanned(Banned):
    """:class:`Banned`, said to whom it is about."""

    message = _("You can't attend this event.")


class AlreadyAttending(DomainError):
    code = "already_attending"
    message = _("This person is in the event's room already.")
    constraints = ("attendance_attendee_once",)


class WrongIdentity(DomainError):
    """Nothing of ours writes another's owner_id; raw SQL that does is refused by these names."""

    code = "wrong_identity"
    message = _("The attendee's identity differs from that of the person or the join request.")
    constraints = (
        "attendance_attendee_owner_of_profile",
        "attendance_attendee_same_as_request",
        "attendance_attendee_source_has_request",
    )


class OwnBlock(DomainError):
    code = "own_block"
    status = 400
    message = _("You can't block yourself.")
    constraints = ("attendance_block_not_self",)


@dataclass(frozen=True)
class Admission:
    """Somebody to let in: who, with how many plus-ones, and by which join request, if any."""

    user_profile_id: UUID
    owner_id: str
    plus_ones: int = 0
    join_request_id: UUID | None = None


def let_in(*, event: Event, admissions: Iterable[Admission], source: str, actor, reason: str | None = None):
    """Makes each person an active attendee, all or none. **The caller holds the event's lock.**

    Somebody who was removed comes back as the same row, with their ticket and profile; somebody who
    came another way is adopted by the request and keeps their ``source``. Raises EventClosed,
    EventFull.
    """
    if not event.is_open:
        raise EventClosed(status=event.get_status_display().lower())
    return admit(event=event, admissions=admissions, source=source, actor=actor, reason=reason)


def admit(*, event: Event, admissions: Iterable[Admission], source: str, actor, reason: str | None = None):
    """:func:`let_in` for events that are over as well: a backfill mends the past. Raises EventFull."""
    admissions = list(admissions)
    rows = Attendee.objects.select_for_update(no_key=True).filter(
        event=event, user_profile_id__in=[one.user_profile_id for one in admissions]
    )
    here = {row.user_profile_id: row for row in rows.order_by("pk")}
    seats_before = sum(row.seats for row in here.values())
    new, known, back = [], [], []
    for one in admissions:
        row = here.get(one.user_profile_id)
        if row is None:
            row = Attendee(event=event, user_profile_id=one.user_profile_id, owner_id=one.owner_id, source=source)
            new.append(row)
        else:
            known.append(row)
            if not row.is_active:
                back.append(row.pk)
        row.status = Attendee.Status.ACTIVE
        row.plus_ones = one.plus_ones
        row.join_request_id = one.join_request_id or row.join_request_id
        row.updated_at = timezone.now()
    needed = sum(row.seats for row in [*new, *known]) - seats_before
    if needed > 0 and not event.has_room_for(needed):
        raise EventFull(taken=event.seats_taken, capacity=event.capacity, needed=needed)
    if new:
        bulk_create_with_history(new, Attendee, default_user=actor, default_change_reason=reason)
    if known:
        write(known, ["status", "plus_ones", "join_request"], actor=actor, reason=reason)
    if back:
        _forget_auto_absence(back, actor)
    event.seats_taken += needed  # as the trigger has just counted; the next one in this transaction reads it
    return [*new, *known]


def _forget_auto_absence(attendee_ids, actor) -> None:
    """Who comes back is expected again, unless a person said how it was."""
    absent = Attendee.objects.filter(
        pk__in=attendee_ids,
        attendance_status=AttendanceStatus.ABSENT,
        attendance_source=AttendanceSource.AUTO_ABSENCE,
    )
    now = timezone.now()
    record.write(
        [
            record.Mark(
                attendee_id=pk,
                version=version,
                new=AttendanceStatus.UNKNOWN,
                at=now,
                source=AttendanceSource.APPROVAL,
                by_id=actor and actor.pk,
            )
            for pk, version in absent.values_list("pk", "attendance_updated_at")
        ]
    )


def put_out(*, event: Event, attendees: Iterable[Attendee], actor, reason: str | None = None) -> None:
    """Removes attendees; their rows stay. **The caller holds the event's lock**, and decides the
    join request in the same transaction where there is one: the database insists."""
    attendees = [row for row in attendees if row.is_active]
    if not attendees:
        return
    event.seats_taken -= sum(row.seats for row in attendees)
    for row in attendees:
        row.status = Attendee.Status.REMOVED
    write(attendees, ["status"], actor=actor, reason=reason)


def change_plus_ones(*, event: Event, attendee: Attendee, plus_ones: int, actor) -> None:
    """More or fewer plus-ones for somebody in the room. **The caller holds the event's lock**, and
    changes the join request as well where there is one. Raises EventClosed, EventFull."""
    if not event.is_open:
        raise EventClosed(status=event.get_status_display().lower())
    needed = plus_ones - attendee.plus_ones if attendee.is_active else 0
    if needed > 0 and not event.has_room_for(needed):
        raise EventFull(taken=event.seats_taken, capacity=event.capacity, needed=needed)
    attendee.plus_ones = plus_ones
    write([attendee], ["plus_ones"], actor=actor, reason="plus-ones changed by an organiser")
    event.seats_taken += needed


@operation
def hide(*, attendee_id, actor) -> Outcome:
    """An organiser takes somebody out of the room's list; they stay an attendee."""
    return _set_hidden(attendee_id, actor, timezone.now(), "hidden by an organiser")


@operation
def show(*, attendee_id, actor) -> Outcome:
    """Undoes :func:`hide`; whether the person wants to be seen is still theirs to say."""
    return _set_hidden(attendee_id, actor, None, "shown by an organiser")


def _set_hidden(attendee_id, actor, moment, reason):
    attendee = lock(Attendee.objects, pk=attendee_id)
    if bool(attendee.hidden_at) == bool(moment):
        return Outcome(attendee, changed=False)
    attendee.hidden_at = moment
    write([attendee], ["hidden_at"], actor=actor, reason=reason)
    return Outcome(attendee, changed=True)


LOOKING_FOR = frozenset({"goals", "looking_for", "rsvp_contact", "company_website", "match_profile"})


@operation
def update_own(*, attendee_id, actor, changes: dict) -> Attendee:
    """What a person sets for themselves: visibility, notifications, and 'Looking for'."""
    attendee = lock(Attendee.objects, pk=attendee_id)
    changed = {name: value for name, value in changes.items() if getattr(attendee, name) != value}
    if not changed:
        return attendee
    if changed.keys() & LOOKING_FOR:
        changed["looking_for_updated_at"] = timezone.now()
    for name, value in changed.items():
        setattr(attendee, name, value)
    write([attendee], changed, actor=actor)
    return attendee


@operation
def block(*, attendee_id, blocked_id) -> Outcome:
    """The two see each other no longer; idempotent. Raises OwnBlock."""
    if attendee_id == blocked_id:
        raise OwnBlock
    row, created = Block.objects.get_or_create(attendee_id=attendee_id, blocked_id=blocked_id)
    _touch(attendee_id, blocked_id)
    return Outcome(row, changed=created)


@operation
def unblock(*, attendee_id, blocked_id) -> Outcome:
    """Undoes :func:`block`, from this side only."""
    deleted, _rows = Block.objects.filter(attendee_id=attendee_id, blocked_id=blocked_id).delete()
    _touch(attendee_id, blocked_id)
    return Outcome(None, changed=bool(deleted))


def _touch(*attendee_ids):
    """Phones that keep a copy of the room learn of it by ``updated_since``."""
    rows = Attendee.objects.filter(pk__in=attendee_ids)
    list(rows.select_for_update(no_key=True).order_by("pk").values("pk"))  # two who block each other don't deadlock
    rows.update(updated_at=timezone.now())
