"""What organisers do to a session whose seats people have taken."""

from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.database import write
from config.errors import NotFound, Outcome, operation
from events.models import Session
from events.models.agenda import SessionStatus

from ..models import SessionRsvp, WaitlistEntry
from . import line
from .line import HasSeat
from .standing import NotAttending, SessionCancelled


@operation
def cancel(*, session_id, actor, reason: str = "") -> Outcome:
    """Cancels the RSVPs and the line too (a trigger does, whoever cancels); all of them are told. Raises NotFound."""
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
    write([session], ["status"], actor=actor, reason=reason[:100] or None)
    return Outcome(session, changed=True)


@operation
def add_person(*, session_id, attendee_id, actor, seats: int = 1, reason: str = "") -> Outcome:
    """An organiser gives somebody seats on purpose. Where there are none, or others wait for them, the capacity
    is raised by as many, with the reason in the session's history. Whoever was in the line is out of it.

    Raises NotFound, NotAttending, HasSeat, SessionCancelled, TooManySeats (by the database).
    """
    attendee = Attendee.objects.filter(pk=attendee_id).select_related("user_profile").first()
    if attendee is None:
        raise NotFound
    line.recorded_as(actor)
    line.lock_attendee(attendee_id)
    session = line.lock_session(session_id)
    if session.event_id != attendee.event_id:
        raise NotAttending
    if session.status == SessionStatus.CANCELLED:
        raise SessionCancelled
    rsvp = SessionRsvp.objects.filter(session=session, attendee=attendee).first()
    if rsvp is not None and rsvp.is_confirmed:
        raise HasSeat
    entry = WaitlistEntry.objects.live().filter(session=session, attendee=attendee).first()
    held = 0
    if entry is not None:
        held = entry.party_size if entry.status == WaitlistEntry.Status.OFFERED else 0
        line.end(entry, WaitlistEntry.Status.ACCEPTED, WaitlistEntry.EndReason.ORGANIZER)
        session.refresh_from_db()
    if session.capacity is not None:
        free = held if session.waitlist_length else session.capacity - session.seats_taken
        if seats > free:
            session.capacity += seats - max(free, 0)
            write([session], ["capacity"], actor=actor, reason=_why(attendee, reason))
    if rsvp is None:
        rsvp = SessionRsvp(session=session, attendee=attendee, event_id=session.event_id)
    rsvp.seats, rsvp.source = seats, SessionRsvp.Source.ORGANIZER
    rsvp.status, rsvp.cancelled_at, rsvp.end_reason = SessionRsvp.Status.CONFIRMED, None, ""
    rsvp.save()
    line.hand_on([session.pk])  # a place in line that held more seats than these
    return Outcome(rsvp, changed=True)


def _why(attendee, reason) -> str:
    words = str(_("for {}").format(attendee))
    return (f"{words}: {reason}" if reason else words)[:100]


def session_changed(*, row: Session, changed: frozenset[str], actor) -> None:
    """An organiser saved the session's form: more room lets people in at once."""
    if changed & {"capacity", "starts_at", "status"}:
        line.lock_session(row.pk)
        line.hand_on([row.pk])


def settings_changed(*, row, changed: frozenset[str], actor) -> None:
    """An organiser saved the event's RSVP settings: what was held back is handed on at once."""
    waiting = Session.objects.filter(event=row.event_id, waitlist_length__gt=0).order_by("pk")
    line.hand_on([one.pk for one in waiting.select_for_update(no_key=True)])
