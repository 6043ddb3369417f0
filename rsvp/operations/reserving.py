"""A person takes seats in a session, and gives them back.

Taking one is hot: a thousand people want the last. So all is read and checked without a lock, and
one statement of its own takes the locks, looks once more, and writes: where it writes nothing,
somebody was faster, and it is decided anew. Seats that become free go to the line in the same
transaction (rsvp.operations.line).
"""

from dataclasses import replace

from django.db import connection
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.database import prepared, uuid7
from config.errors import Busy, DomainError, NotFound, Outcome, operation, translated

from ..models import EndReason, RsvpStatus, SessionRsvp
from . import line, standing, telling
from .standing import Seat, SessionStarted, Standing, TooManySeats, after, full


class ScheduleConflict(DomainError):
    code = "schedule_conflict"
    message = _("At this time you have a seat in: {titles}.")
    facts = ("conflicts",)


ROUNDS = 5

# The lock on the attendee holds off whoever removes them; then the session's is the last thing waited for.
# Its conditions are looked at again once it is had (READ COMMITTED), so they stand for what is written.
TAKE = """
    WITH attendee AS MATERIALIZED (
        SELECT id FROM event_attendees WHERE id = %(attendee)s AND status = 'active' FOR SHARE
    ), room AS MATERIALIZED (
        SELECT s.id, s.event_id, s.capacity, s.seats_taken FROM attendee, event_sessions s
        WHERE s.id = %(session)s AND s.status = 'scheduled' AND s.starts_at > clock_timestamp()
            AND s.waitlist_length = 0 AND (s.capacity IS NULL OR s.seats_taken + %(seats)s <= s.capacity)
        FOR NO KEY UPDATE OF s
    ), taken AS (
        INSERT INTO session_rsvps (id, event_id, session_id, attendee_id, seats)
        SELECT %(id)s, room.event_id, room.id, %(attendee)s, %(seats)s FROM room
        ON CONFLICT (session_id, attendee_id) DO UPDATE SET
            status = 'confirmed', seats = excluded.seats, source = 'own', cancelled_at = NULL
        WHERE session_rsvps.status = 'cancelled'
        RETURNING id, rsvp_at
    )
    SELECT taken.id, taken.rsvp_at, room.capacity, room.seats_taken + %(seats)s FROM taken, room
"""


def reserve(
    *, session_id, person, seats: int | None = None, waitlist: bool = False, reject_conflicts: bool = False
) -> Seat:
    """Seats for the person, or with ``waitlist`` a place in line where there are none. Again: the same.

    ``seats``: their own and their plus-ones'; None for what they have, or one. An offer that stands is accepted.
    Raises NotFound, NotAttending, what standing.refuse_unless_open does, TooManySeats, SessionFull, LineClosed,
    ScheduleConflict (only with ``reject_conflicts``), Busy.
    """
    for _round in range(ROUNDS):
        found = standing.of(session_id=session_id, person=person)
        wanted = seats if seats is not None else found.seats if found.is_in else 1
        if found.is_in and wanted == found.seats:
            return _as_found(found)
        if reject_conflicts and found.has_offer:
            refuse_conflicts(found)
        if found.has_offer:
            return line.accept(entry_id=found.entry_id, person=person)
        standing.refuse_unless_open(found)
        if found.offer_passed:
            line.settle(session_id=session_id)
            continue
        if not 1 <= wanted <= found.most_seats:
            raise TooManySeats(allowed=found.most_seats)
        if reject_conflicts:
            refuse_conflicts(found)
        if found.is_in:
            return change_seats(session_id=session_id, person=person, seats=wanted)
        if not found.has_room_for(wanted):
            if found.is_waiting or waitlist:
                return line.join(session_id=session_id, person=person, party_size=wanted)
            raise full(found)
        seat = _take_alone(found=found, person=person, seats=wanted) if reject_conflicts else _take(found, wanted)
        if seat is not None:
            return seat
    raise Busy


def refuse_conflicts(found: Standing) -> None:
    if found.conflicts:
        titles = ", ".join(one.title for one in found.conflicts)
        raise ScheduleConflict(titles=titles, conflicts=[one._asdict() for one in found.conflicts])


def _as_found(found: Standing) -> Seat:
    return Seat(
        session_id=found.session_id,
        event_id=found.event_id,
        status=found.rsvp_status,
        seats=found.seats,
        capacity=found.capacity,
        seats_taken=found.seats_taken,
        waitlist_length=found.waitlist_length,
        conflicts=found.conflicts,
        changed=False,
        rsvp_id=found.rsvp_id,
        rsvp_at=found.rsvp_at,
    )


def _take(found: Standing, seats: int) -> Seat | None:
    """The seats, or None where it isn't as it was found any more."""
    asked = {"id": uuid7(), "session": found.session_id, "attendee": found.attendee_id, "seats": seats}
    with translated(), prepared() as cursor:
        cursor.execute(TAKE, asked)
        row = cursor.fetchone()
    if row is None:
        return None
    rsvp_id, rsvp_at, capacity, seats_taken = row
    return Seat(
        session_id=found.session_id,
        event_id=found.event_id,
        status=RsvpStatus.CONFIRMED,
        seats=seats,
        capacity=capacity,
        seats_taken=seats_taken,
        waitlist_length=0,
        conflicts=found.conflicts,
        changed=True,
        is_new=True,
        rsvp_id=rsvp_id,
        rsvp_at=rsvp_at,
    )


@operation
def _take_alone(*, found: Standing, person, seats: int) -> Seat | None:
    """:func:`_take` while the person takes no other seat: of two at the same time, one is refused."""
    mine = Attendee.objects.filter(user_profile=person).order_by("pk").select_for_update(no_key=True)
    list(mine.values_list("pk"))
    again = standing.of(session_id=found.session_id, person=person)
    refuse_conflicts(again)
    return _take(again, seats)


@operation
def change_seats(*, session_id, person, seats: int) -> Seat:
    """Another number of seats, for somebody who has some. Raises NotFound, SessionFull, TooManySeats."""
    found = standing.of(session_id=session_id, person=person)
    line.lock_attendee(found.attendee_id)
    session = line.lock_session(session_id)
    rsvp = SessionRsvp.objects.confirmed().filter(session=session, attendee=found.attendee_id).first()
    if rsvp is None:
        raise NotFound
    more = seats - rsvp.seats
    if more > 0 and (session.waitlist_length or not _has_room(session, more)):
        raise full(session)
    rsvp.seats = seats
    rsvp.save(update_fields=["seats"])
    if more < 0:
        line.hand_on([session_id])
    return replace(after(session_id=session_id, person=person, changed=more != 0), is_new=False)


def _has_room(session, seats) -> bool:
    return session.capacity is None or session.seats_taken + seats <= session.capacity


CANCEL = """
    UPDATE session_rsvps SET status = 'cancelled', cancelled_at = clock_timestamp(), end_reason = %(reason)s
    WHERE session_id = %(session)s AND attendee_id = %(attendee)s AND status = 'confirmed'
"""


@operation
def cancel(*, session_id, person) -> Seat:
    """Gives the person's seats back, and hands them on in the same transaction. Again: the same.

    Until the session is over; once it has begun, nobody waits for them any more. Raises NotFound (they never
    had any), NotAttending, SessionStarted.
    """
    found = standing.of(session_id=session_id, person=person)
    if found.rsvp_id is None:
        raise NotFound
    if not found.is_in:
        return _as_found(found)
    if found.ends_at <= found.now:
        raise SessionStarted
    line.lock_session(session_id)
    changed = _give_back(session_id, found.attendee_id, EndReason.OWN)
    return after(session_id=session_id, person=person, changed=changed)


def _give_back(session_id, attendee_id, reason) -> bool:
    """With the session's lock; what becomes free goes to the line."""
    with connection.cursor() as cursor:
        cursor.execute(CANCEL, {"session": session_id, "attendee": attendee_id, "reason": str(reason)})
        changed = bool(cursor.rowcount)
    if changed:
        line.hand_on([session_id])
    return changed


@operation
def take_from(*, rsvp_id, actor, reason: str = "") -> Outcome:
    """An organiser takes somebody's seats, for the line; they are told."""
    rsvp = SessionRsvp.objects.filter(pk=rsvp_id).first()
    if rsvp is None:
        raise NotFound
    line.lock_session(rsvp.session_id)
    changed = _give_back(rsvp.session_id, rsvp.attendee_id, EndReason.ORGANIZER)
    rsvp.refresh_from_db()
    if changed:
        telling.seat_taken_away(rsvp, actor=actor, reason=reason)
    return Outcome(rsvp, changed=changed)
