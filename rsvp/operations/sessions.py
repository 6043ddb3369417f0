"""What organisers do to a session whose seats people have taken."""

from typing import NamedTuple

from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.celery import start
from config.database import write
from config.errors import NotFound, Outcome, operation
from events.models import Session
from events.models.agenda import SessionStatus

from ..models import SessionChange, SessionRsvp, WaitlistEntry
from . import line, telling
from .line import HasSeat
from .standing import NotAttending, SessionCancelled


@operation
def cancel(*, session_id, actor, reason: str = "") -> Outcome:
    """Cancels the RSVPs and the line too (a trigger does, whoever cancels); all of them are told, with the reason.

    Raises NotFound.
    """
    return _set_status(session_id, SessionStatus.CANCELLED, actor, reason)


@operation
def restore(*, session_id, actor) -> Outcome:
    """It takes place after all; who had a seat is told, and takes one again if they wish. Raises NotFound."""
    return _set_status(session_id, SessionStatus.SCHEDULED, actor, "")


def _set_status(session_id, status, actor, reason):
    session = line.lock_session(session_id)
    if session.status == status:
        return Outcome(session, changed=False)
    session.status = status
    write([session], ["status"], actor=actor, reason=_in_short(reason) or None)
    if reason:
        news = SessionChange.objects.filter(session=session, told_at=None).order_by("-pk").values("pk")[:1]
        SessionChange.objects.filter(pk__in=news).update(reason=reason)
    start("rsvp.tasks.tell_changes")
    return Outcome(session, changed=True)


class Added(NamedTuple):
    """An RSVP that an organiser made, and whether the capacity was raised for it."""

    row: SessionRsvp
    changed: bool
    raised: bool


@operation
@line.by_organiser
def add_person(*, session_id, attendee_id, actor, seats: int = 1, reason: str = "") -> Added:
    """An organiser gives somebody seats on purpose. Where there are none, or others wait for them, the capacity
    is raised by as many, with the reason in the session's history. Whoever was in the line is out of it. They
    are told.

    Raises NotFound, NotAttending, HasSeat, SessionCancelled, TooManySeats (by the database).
    """
    attendee = Attendee.objects.filter(pk=attendee_id).select_related("user_profile").first()
    if attendee is None:
        raise NotFound
    line.lock_attendee(attendee_id)
    session = line.lock_session(session_id)
    if session.event_id != attendee.event_id:
        raise NotAttending
    if session.status == SessionStatus.CANCELLED:
        raise SessionCancelled
    rsvp = SessionRsvp.objects.filter(session=session, attendee=attendee).first()
    if rsvp is not None and rsvp.is_confirmed:
        raise HasSeat(person=attendee)
    entry = place_of(session, attendee)
    before, capacity = session.capacity, capacity_for(session, entry, seats)
    if entry is not None:
        line.end(entry, WaitlistEntry.Status.ACCEPTED, WaitlistEntry.EndReason.ORGANIZER)
        WaitlistEntry.objects.filter(pk=entry.pk, told_at=None).update(told_at=Now())  # of the seat, below
        session.refresh_from_db()
    if capacity != session.capacity:
        session.capacity = capacity
        write([session], ["capacity"], actor=actor, reason=_why(attendee, reason))
    if rsvp is None:
        rsvp = SessionRsvp(session=session, attendee=attendee, event_id=session.event_id)
    rsvp.seats, rsvp.source = seats, SessionRsvp.Source.ORGANIZER
    rsvp.status, rsvp.cancelled_at, rsvp.end_reason = SessionRsvp.Status.CONFIRMED, None, ""
    rsvp.save()
    telling.seat_given(rsvp, actor=actor)
    line.hand_on([session.pk])  # a place in line that held more seats than these
    return Added(rsvp, changed=True, raised=capacity != before)


def place_of(session, attendee) -> WaitlistEntry | None:
    """Where the attendee waits for the session, or has an offer."""
    return WaitlistEntry.objects.live().filter(session=session, attendee=attendee).first()


def capacity_for(session, entry, seats: int) -> int | None:
    """What the capacity must be for so many seats for somebody now, who has the place in line ``entry`` (or none):
    what is free is theirs only where nobody else waits for it."""
    if session.capacity is None:
        return None
    offered = entry is not None and entry.status == WaitlistEntry.Status.OFFERED
    others_wait = session.waitlist_length - (entry is not None and not offered) > 0
    free = 0 if others_wait else session.capacity - session.seats_taken
    return session.capacity + max(0, seats - free - (entry.party_size if offered else 0))


SHORT = 100
"""What a row's history has room for as a reason."""


def _in_short(words: str, room: int = SHORT) -> str:
    return words if len(words) <= room else f"{words[: room - 1]}…"


def _why(attendee, reason) -> str:
    """The reason stays whole, whoever it is for."""
    end = f": {reason}" if reason else ""
    return _in_short(_in_short(str(_("for {}").format(attendee)), max(SHORT - len(end), 12)) + end)


class Saved(NamedTuple):
    """What a session's form led to: how many in line have something now, and how many are told of the change."""

    handed_on: int
    to_tell: int


TOLD = {"title", "starts_at", "ends_at", "room"}
"""What of a session is told to whoever has a seat or waits for one."""


def session_changed(*, row: Session, changed: frozenset[str], actor) -> Saved:
    """An organiser saved the session's form: more room lets people in at once."""
    if "status" in changed:
        start("rsvp.tasks.tell_changes")
    to_tell = 0
    if changed & TOLD and row.status == SessionStatus.SCHEDULED and row.ends_at > timezone.now():
        people = (SessionRsvp.objects.confirmed(), WaitlistEntry.objects.live())
        to_tell = sum(some.filter(session=row.pk).count() for some in people)
    if not changed & {"capacity", "starts_at", "status"}:
        return Saved(0, to_tell)
    line.lock_session(row.pk)
    return Saved(line.hand_on([row.pk]), to_tell)


def settings_changed(*, row, changed: frozenset[str], actor) -> int:
    """An organiser saved the event's RSVP settings: what was held back is handed on at once; to how many."""
    waiting = Session.objects.filter(event=row.event_id, waitlist_length__gt=0).order_by("pk")
    return line.hand_on([one.pk for one in waiting.select_for_update(no_key=True)])
