"""What there is to know before anything is decided about a seat: one statement, no lock."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.translation import gettext_lazy as _

from config.database import prepared
from config.errors import DomainError, NotFound
from events.models import Event
from events.models.agenda import SessionStatus

from ..models import RsvpStatus, WaitlistStatus


class SessionFull(DomainError):
    """``waitlist_length``: how many wait already."""

    code = "session_full"
    message = _("The session is full: {seats_taken} of {capacity} seats are taken, and {waitlist_length} are waiting.")
    plain = _("The session is full.")
    facts = ("capacity", "seats_taken", "waitlist_length")
    constraints = ("events_session_seats_within_capacity",)


class NotAttending(DomainError):
    code = "not_attending"
    status = 403
    message = _("Only attendees of the event can do this.")
    constraints = ("rsvp_sessionrsvp_for_attendees", "rsvp_waitlistentry_for_attendees")


class SessionCancelled(DomainError):
    code = "session_cancelled"
    message = _("The session was cancelled.")
    constraints = ("rsvp_sessionrsvp_session_on", "rsvp_waitlistentry_session_on")


class SessionStarted(DomainError):
    code = "session_started"
    message = _("The session has begun.")


class EventNotOpen(DomainError):
    code = "event_closed"
    message = _("The event is {status}.")


class RsvpNotOpenYet(DomainError):
    code = "rsvp_not_open"
    message = _("RSVP opens on {moment}.")


class RsvpClosed(DomainError):
    code = "rsvp_closed"
    message = _("RSVP is closed.")


class TooManySeats(DomainError):
    code = "too_many_seats"
    status = 400
    message = _("You can have at most {allowed} seats here: your own, and one for each plus-one.")
    plain = _("One seat for the attendee, and one for each plus-one.")
    facts = ("allowed",)
    constraints = (
        "rsvp_sessionrsvp_seats_allowed",
        "rsvp_waitlistentry_seats_allowed",
        "rsvp_sessionrsvp_seats_positive",
        "rsvp_waitlistentry_party_positive",
    )


class Conflict(NamedTuple):
    """Another session at the same time, which the person has a seat in."""

    session_id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime


class Standing(NamedTuple):
    """A session, and how a person stands to it, as of ``now`` (the database's clock)."""

    now: datetime
    session_id: UUID
    event_id: int
    title: str
    starts_at: datetime
    ends_at: datetime
    status: str
    capacity: int | None
    seats_taken: int
    waitlist_length: int
    rsvp_opens_at: datetime | None
    rsvp_closes_at: datetime | None
    event_status: str
    timezone: str
    line_open: bool
    max_party_size: int | None
    attendee_id: UUID | None
    plus_ones: int | None
    rsvp_id: UUID | None
    rsvp_status: str | None
    seats: int | None
    rsvp_at: datetime | None
    entry_id: UUID | None
    entry_status: str | None
    party_size: int | None
    offer_expires_at: datetime | None
    conflicts: list[Conflict]

    @property
    def is_in(self) -> bool:
        return self.rsvp_status == RsvpStatus.CONFIRMED

    @property
    def is_waiting(self) -> bool:
        return self.entry_status == WaitlistStatus.WAITING

    @property
    def has_offer(self) -> bool:
        return self.entry_status == WaitlistStatus.OFFERED and self.offer_expires_at > self.now

    @property
    def seats_left(self) -> int | None:
        """None where there is no limit."""
        return None if self.capacity is None else self.capacity - self.seats_taken

    @property
    def offer_passed(self) -> bool:
        """And the sweep hasn't been there yet."""
        return self.entry_status == WaitlistStatus.OFFERED and self.offer_expires_at <= self.now

    @property
    def most_seats(self) -> int:
        """Not more than the session has, either: who waits for those would wait for ever."""
        room = None if self.capacity is None else max(self.capacity, 1)
        limits = [1 + self.plus_ones, self.max_party_size, room]
        return min(one for one in limits if one is not None)

    def has_room_for(self, seats: int) -> bool:
        """Nobody overtakes the line."""
        return self.waitlist_length == 0 and (self.capacity is None or self.seats_taken + seats <= self.capacity)


@dataclass(frozen=True)
class Seat:
    """How a person stands to a session after what they did. ``entry_id``: their place in line, if that is what
    they have."""

    session_id: UUID
    event_id: int
    status: str
    """confirmed, cancelled; waiting, offered where it is a place in line."""
    seats: int
    capacity: int | None
    seats_taken: int
    waitlist_length: int
    conflicts: list[Conflict]
    changed: bool
    is_new: bool = False
    """Seats that they had none of before."""
    rsvp_id: UUID | None = None
    rsvp_at: datetime | None = None
    entry_id: UUID | None = None
    position: int | None = None
    offer_expires_at: datetime | None = None


READ = """
    SELECT clock_timestamp(), s.id, s.event_id, s.title, s.starts_at, s.ends_at, s.status, s.capacity, s.seats_taken,
        s.waitlist_length, s.rsvp_opens_at, s.rsvp_closes_at, e.status, e.timezone,
        coalesce(o.line_open, true) AND coalesce(l.is_open, true), o.max_party_size,
        a.id, a.plus_ones, r.id, r.status, r.seats, r.rsvp_at, w.id, w.status, w.party_size, w.offer_expires_at,
        CASE WHEN a.id IS NOT NULL THEN ARRAY(
            SELECT json_build_array(other.id, other.title, other.starts_at, other.ends_at)
            FROM event_attendees mine
            JOIN session_rsvps taken ON taken.attendee_id = mine.id AND taken.status = 'confirmed'
            JOIN event_sessions other ON other.id = taken.session_id
            WHERE mine.user_profile_id = %(person)s AND other.id <> s.id AND other.status = 'scheduled'
                AND other.starts_at < s.ends_at AND other.ends_at > s.starts_at
            ORDER BY other.starts_at, other.id
        ) END
    FROM event_sessions s
    JOIN events e ON e.id = s.event_id
    LEFT JOIN event_rsvp_settings o ON o.event_id = s.event_id
    LEFT JOIN session_lines l ON l.session_id = s.id
    LEFT JOIN (event_attendees a JOIN user_profiles p ON p.id = a.user_profile_id AND p.is_active)
        ON a.event_id = s.event_id AND a.user_profile_id = %(person)s AND a.status = 'active'
    LEFT JOIN session_rsvps r ON r.session_id = s.id AND r.attendee_id = a.id
    LEFT JOIN session_waitlist w ON w.session_id = s.id AND w.attendee_id = a.id AND w.status IN ('waiting', 'offered')
    WHERE s.id = %(session)s
"""


def of(*, session_id, person) -> Standing:
    """Raises NotFound for a session that the person may not know of, NotAttending for one that they may."""
    with prepared() as cursor:
        cursor.execute(READ, {"session": session_id, "person": person.pk})
        row = cursor.fetchone()
    if row is None:
        raise NotFound
    *columns, conflicts = row
    standing = Standing(*columns, [_conflict(*one) for one in conflicts or ()])
    if standing.attendee_id is None:
        if not Event.objects.reachable_by(person).filter(pk=standing.event_id).exists():
            raise NotFound
        raise NotAttending
    return standing


def _conflict(pk, title, starts_at, ends_at) -> Conflict:
    """From JSON: what is in a row within an array comes as text."""
    return Conflict(UUID(pk), title, datetime.fromisoformat(starts_at), datetime.fromisoformat(ends_at))


def after(*, session_id, person, changed: bool) -> Seat:
    """How the person stands to the session now, as the answer to what they did."""
    found = of(session_id=session_id, person=person)
    waits = found.entry_id is not None
    return Seat(
        session_id=found.session_id,
        event_id=found.event_id,
        status=found.entry_status if waits else found.rsvp_status or "",
        seats=found.party_size if waits else found.seats or 0,
        capacity=found.capacity,
        seats_taken=found.seats_taken,
        waitlist_length=found.waitlist_length,
        conflicts=found.conflicts,
        changed=changed,
        is_new=changed and found.is_in and not waits,
        rsvp_id=found.rsvp_id,
        rsvp_at=found.rsvp_at,
        entry_id=found.entry_id,
        position=position(found.entry_id) if found.is_waiting else None,
        offer_expires_at=found.offer_expires_at,
    )


POSITION = """
    SELECT count(*) + 1 FROM session_waitlist mine JOIN session_waitlist w ON w.session_id = mine.session_id
    WHERE mine.id = %s AND w.status = 'waiting' AND (
        w.priority > mine.priority
        OR w.priority = mine.priority AND (w.queued_at, w.id) < (mine.queued_at, mine.id)
    )
"""


def position(entry_id) -> int:
    """1 is next."""
    with connection.cursor() as cursor:
        cursor.execute(POSITION, [entry_id])
        return cursor.fetchone()[0]


POSITIONS = """
    SELECT id, place FROM (
        SELECT id, row_number() OVER (PARTITION BY session_id ORDER BY priority DESC, queued_at, id) AS place
        FROM session_waitlist
        WHERE status = 'waiting' AND session_id IN (SELECT session_id FROM session_waitlist WHERE id = ANY (%(ids)s))
    ) AS line WHERE id = ANY (%(ids)s)
"""


def positions(entry_ids) -> dict[UUID, int]:
    """Of those who wait: :func:`position`, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(POSITIONS, {"ids": list(entry_ids)})
        return dict(cursor.fetchall())


def full(found) -> SessionFull:
    """For a Standing, or a Session."""
    return SessionFull(seats_taken=found.seats_taken, capacity=found.capacity, waitlist_length=found.waitlist_length)


def refuse_unless_open(standing: Standing) -> None:
    """Whether seats are given out now, to anybody.

    Raises EventNotOpen, SessionCancelled, SessionStarted, RsvpNotOpenYet, RsvpClosed.
    """
    if standing.event_status != Event.Status.PUBLISHED:
        raise EventNotOpen(status=Event.Status(standing.event_status).label.lower())
    if standing.status != SessionStatus.SCHEDULED:
        raise SessionCancelled
    if standing.starts_at <= standing.now:
        raise SessionStarted
    if standing.rsvp_opens_at and standing.now < standing.rsvp_opens_at:
        raise RsvpNotOpenYet(moment=local(standing.rsvp_opens_at, standing.timezone))
    if standing.rsvp_closes_at and standing.now >= standing.rsvp_closes_at:
        raise RsvpClosed


def local(moment, timezone: str) -> str:
    """A time as people at the event read it."""
    return moment.astimezone(ZoneInfo(timezone)).strftime("%a %-d %b %Y, %H:%M %Z")
