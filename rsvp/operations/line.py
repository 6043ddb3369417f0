"""The line for a session that is full: joining and leaving it, offers, and who gets a seat that is free.

Everything that makes a seat free calls :func:`hand_on` in its own transaction, with the session locked,
so that nobody can slip in between. What raw SQL or a removed attendee leaves free, the sweep hands on.
"""

from datetime import timedelta
from functools import wraps
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

from config.celery import start
from config.database import recorded_as, uuid7
from config.errors import DomainError, NotFound, Outcome, lock, operation
from events.models import Event, Session

from ..models import EndReason, RsvpStatus, SessionLine, WaitlistEntry, WaitlistMode, WaitlistStatus
from . import standing, telling
from .standing import EventNotOpen, NotAttending, Seat, SessionCancelled, SessionStarted, TooManySeats, after, full

HANDING_ON = (Event.Status.DRAFT, Event.Status.PUBLISHED)
"""Events whose seats are given to those who wait."""


class LineClosed(DomainError):
    code = "line_closed"
    message = _("Nobody can join the line any more.")


class HasSeat(DomainError):
    code = "has_seat"
    message = _("{person} has a seat in this session already.")
    plain = _("You have a seat in this session already.")
    constraints = (
        "rsvp_waitlistentry_not_inside",
        "rsvp_sessionrsvp_not_in_line",
    )


class AlreadyInLine(DomainError):
    code = "already_in_line"
    message = _("This person is in the line already.")
    constraints = ("rsvp_waitlistentry_one_live",)


class NoOffer(DomainError):
    """It was answered, it expired, or it was never made."""

    code = "no_offer"
    message = _("There is no offer to answer: your place in line is {status}.")


class NoLongerWaiting(DomainError):
    code = "no_longer_waiting"
    message = _("This place in line is over: {status}.")


class NoPriority(DomainError):
    code = "no_priority"
    message = _("A priority is a number from −{most} to {most}.")


class OfferExpired(DomainError):
    code = "offer_expired"
    message = _("The offer has expired.")


# -- Locks, in their order -----------------------------------------------------------------------------


def lock_attendee(attendee_id) -> None:
    """Held off being removed until the transaction ends. Raises NotAttending."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM event_attendees WHERE id = %s AND status = 'active' FOR SHARE", [attendee_id])
        if not cursor.rowcount:
            raise NotAttending


def lock_session(session_id) -> Session:
    """Raises NotFound, Busy."""
    return lock(Session.objects, pk=session_id)


# -- What people do --------------------------------------------------------------------------------------


@operation
def join(*, session_id, person, party_size: int | None = None) -> Seat:
    """A place at the end of the line; again: the one there is. Where seats are free and nobody waits, it is
    offered (or confirmed) at once.

    Raises NotFound, NotAttending, what standing.refuse_unless_open does, HasSeat, TooManySeats, LineClosed.
    """
    found = standing.of(session_id=session_id, person=person)
    if found.offer_passed:
        lock_attendee(found.attendee_id)
        settle(session_id=session_id)
        found = standing.of(session_id=session_id, person=person)
    if found.entry_id is not None:
        return after(session_id=session_id, person=person, changed=False)
    if found.is_in:
        raise HasSeat
    standing.refuse_unless_open(found)
    wanted = 1 if party_size is None else party_size
    if not 1 <= wanted <= found.most_seats:
        raise TooManySeats(allowed=found.most_seats)
    if not found.line_open:
        raise LineClosed
    lock_attendee(found.attendee_id)
    session = lock_session(session_id)
    live = WaitlistEntry.objects.live().filter(session=session, attendee=found.attendee_id)
    if live.exists():  # the second click
        return after(session_id=session_id, person=person, changed=False)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO session_waitlist (id, event_id, session_id, attendee_id, party_size, joined_at, queued_at)
            VALUES (%s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())
            """,
            [uuid7(), found.event_id, session_id, found.attendee_id, wanted],
        )
    hand_on([session_id])
    return after(session_id=session_id, person=person, changed=True)


@operation
def leave(*, session_id, person) -> Seat:
    """Out of the line; a seat that was offered goes to the next. Again: the same. Raises NotFound (never in it)."""
    found = standing.of(session_id=session_id, person=person)
    entries = WaitlistEntry.objects.filter(session=session_id, attendee=found.attendee_id)
    if not entries.exists():
        raise NotFound
    lock_session(session_id)
    entry = entries.live().first()
    if entry is not None:
        close(entry, WaitlistStatus.LEFT, EndReason.OWN)
    return after(session_id=session_id, person=person, changed=entry is not None)


@operation
def accept(*, entry_id, person) -> Seat:
    """The seats of an offer, even where RSVP has closed meanwhile. Again: the same.

    The offer is closed first, then the seats are confirmed: the bound holds at each step. Raises NotFound,
    NotAttending, EventNotOpen, NoOffer (also where the seats were given back since), OfferExpired.
    """
    entry = _own(entry_id, person)
    lock_attendee(entry.attendee_id)
    lock_session(entry.session_id)
    entry = WaitlistEntry.objects.select_related("event").get(pk=entry.pk)
    if entry.status == WaitlistStatus.ACCEPTED:
        seat = after(session_id=entry.session_id, person=person, changed=False)
        if seat.status == RsvpStatus.CONFIRMED:
            return seat
    if entry.status != WaitlistStatus.OFFERED:
        raise NoOffer(status=entry.get_status_display().lower())
    if entry.event.status not in HANDING_ON:
        raise EventNotOpen(status=entry.event.get_status_display().lower())
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE session_waitlist SET
                status = 'accepted', closed_at = clock_timestamp(), told_at = coalesce(told_at, clock_timestamp())
            WHERE id = %s AND offer_expires_at > clock_timestamp()
            """,
            [entry.pk],
        )
        if not cursor.rowcount:
            raise OfferExpired
        cursor.execute(CONFIRM, {"ids": [entry.pk]})
    return after(session_id=entry.session_id, person=person, changed=True)


@operation
def decline(*, entry_id, person) -> Seat:
    """The seat of an offer goes to the next in line. Again: the same. Raises NotFound, NoOffer."""
    entry = _own(entry_id, person)
    lock_session(entry.session_id)
    entry.refresh_from_db()
    changed = entry.status == WaitlistStatus.OFFERED
    if changed:
        close(entry, WaitlistStatus.DECLINED, EndReason.OWN)
    elif entry.status != WaitlistStatus.DECLINED:
        raise NoOffer(status=entry.get_status_display().lower())
    return after(session_id=entry.session_id, person=person, changed=changed)


def _own(entry_id, person) -> WaitlistEntry:
    entry = WaitlistEntry.objects.filter(
        pk=entry_id, attendee__user_profile=person.pk, attendee__user_profile__is_active=True
    ).first()
    if entry is None:
        raise NotFound
    return entry


def close(entry, status, reason) -> None:
    """With the session's lock. A seat that was held for it goes on; or it was too large, and others weren't."""
    end(entry, status, reason)
    hand_on([entry.session_id])


def end(entry, status, reason) -> None:
    """:func:`close` for a caller that needs the seat."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE session_waitlist SET status = %s, end_reason = %s, closed_at = clock_timestamp() WHERE id = %s",
            [str(status), str(reason), entry.pk],
        )
    entry.refresh_from_db()


CONFIRM = """
    INSERT INTO session_rsvps (id, event_id, session_id, attendee_id, seats, source)
    SELECT messaging_uuid7(), event_id, session_id, attendee_id, party_size, 'waitlist'
    FROM session_waitlist WHERE id = ANY (%(ids)s) ORDER BY session_id, attendee_id
    ON CONFLICT (session_id, attendee_id) DO UPDATE SET
        status = 'confirmed', seats = excluded.seats, source = 'waitlist', cancelled_at = NULL
"""


# -- What organisers do --------------------------------------------------------------------------------


def by_organiser(act):
    """For an operation of an ``actor`` whom the record of the lines names."""

    @wraps(act)
    def recorded(*, actor, **arguments):
        with recorded_as(actor):
            return act(actor=actor, **arguments)

    return recorded


@operation
@by_organiser
def offer(*, entry_id, actor) -> Outcome:
    """A free seat for this one, whoever is before them.

    Raises NotFound, NoLongerWaiting, SessionStarted, SessionFull.
    """
    entry, session = _locked(entry_id)
    if entry.status == WaitlistStatus.OFFERED:
        return Outcome(entry, changed=False)
    if entry.status != WaitlistStatus.WAITING:
        raise NoLongerWaiting(status=entry.get_status_display().lower())
    with connection.cursor() as cursor:
        cursor.execute(DEADLINE, {"session": session.pk, **TERMS})
        (deadline,) = cursor.fetchone()
        if deadline is None:
            raise SessionStarted
        if session.capacity is not None and session.seats_taken + entry.party_size > session.capacity:
            raise full(session)
        cursor.execute(OFFER, {"ids": [entry.pk], "deadlines": [deadline]})
    start("rsvp.tasks.tell_offers")
    entry.refresh_from_db()
    return Outcome(entry, changed=True)


@operation
@by_organiser
def skip(*, entry_id, actor) -> Outcome:
    """To the end of the line; what was offered to them goes to the next. Raises NotFound, NoLongerWaiting."""
    entry, _session = _locked(entry_id)
    if not entry.is_live:
        raise NoLongerWaiting(status=entry.get_status_display().lower())
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE session_waitlist SET
                status = 'waiting', queued_at = clock_timestamp(), priority = 0, offer_expires_at = NULL,
                told_at = CASE WHEN status = 'waiting' OR told_at IS NULL THEN clock_timestamp() END
            WHERE id = %s
            """,
            [entry.pk],
        )
    hand_on([entry.session_id])
    entry.refresh_from_db()
    return Outcome(entry, changed=True)


@operation
@by_organiser
def remove(*, entry_id, actor) -> Outcome:
    """Out of the line; what was offered to them goes to the next. They may join again, at its end. Raises NotFound."""
    entry, _session = _locked(entry_id)
    if not entry.is_live:
        return Outcome(entry, changed=False)
    close(entry, WaitlistStatus.LEFT, EndReason.ORGANIZER)
    telling.taken_out_of_line(entry, actor=actor)
    return Outcome(entry, changed=True)


@operation
@by_organiser
def prioritize(*, entry_id, actor, priority: int) -> Outcome:
    """Who has more is served first. Raises NotFound, NoLongerWaiting, NoPriority."""
    if abs(priority) > MOST_PRIORITY:
        raise NoPriority(most=MOST_PRIORITY)
    entry, _session = _locked(entry_id)
    if not entry.is_live:
        raise NoLongerWaiting(status=entry.get_status_display().lower())
    changed = entry.priority != priority
    entry.priority = priority
    entry.save(update_fields=["priority"])
    hand_on([entry.session_id])  # whoever was first may have waited for more seats than there are
    entry.refresh_from_db()
    return Outcome(entry, changed=changed)


MOST_PRIORITY = 1000


def _locked(entry_id) -> tuple[WaitlistEntry, Session]:
    """The entry, as it is with its session locked. Raises NotFound."""
    found = WaitlistEntry.objects.filter(pk=entry_id).values_list("session_id", flat=True).first()
    if found is None:
        raise NotFound
    session = lock_session(found)
    return WaitlistEntry.objects.get(pk=entry_id), session


@operation
def switch(*, session_id, actor, is_open: bool | None = None, offers_on: bool | None = None) -> Outcome:
    """Whether a session's line takes people, and whether its free seats are handed on; None: as it was.

    Offers already made stay good. What was free meanwhile is handed on at once. Raises NotFound, SessionCancelled.
    """
    session = lock_session(session_id)
    if session.status == Session.Status.CANCELLED:
        raise SessionCancelled
    line = SessionLine.objects.filter(session=session).first() or SessionLine(session=session)
    wanted = {"is_open": is_open, "offers_on": offers_on}
    changed = {name: value for name, value in wanted.items() if value is not None and getattr(line, name) != value}
    for name, value in changed.items():
        setattr(line, name, value)
    if changed:
        line._history_user = actor
        line.save()
        hand_on([session_id])
    return Outcome(session, changed=bool(changed))


# -- Who gets what is free ---------------------------------------------------------------------------------


class _Next(NamedTuple):
    """One in line, where their session has a seat to give; in the order of the line."""

    session_id: object
    free: int | None
    mode: str
    fill_gaps: bool
    deadline: object
    entry_id: object
    attendee_id: object
    party_size: int


TERMS = {"shortest": timedelta(minutes=2), "share": 4}
"""An offer takes at most a fourth of the time that is left until the start, so that others get theirs."""

UNTIL = """
    least(s.starts_at, clock_timestamp() + least(
        coalesce(o.offer_ttl, interval '30 minutes'),
        greatest(%(shortest)s, (s.starts_at - clock_timestamp()) / %(share)s)
    ))
"""
DEADLINE = f"""
    SELECT CASE WHEN s.starts_at > clock_timestamp() THEN {UNTIL} END
    FROM event_sessions s LEFT JOIN event_rsvp_settings o ON o.event_id = s.event_id WHERE s.id = %(session)s
"""
NEXT = f"""
    SELECT s.id, s.capacity - s.seats_taken, coalesce(o.waitlist_mode, 'offer'), coalesce(o.fill_gaps, false),
        {UNTIL},
        w.id, w.attendee_id, w.party_size
    FROM event_sessions s
    JOIN events e ON e.id = s.event_id
    LEFT JOIN event_rsvp_settings o ON o.event_id = s.event_id
    LEFT JOIN session_lines l ON l.session_id = s.id
    CROSS JOIN LATERAL (
        SELECT id, attendee_id, party_size, priority, queued_at FROM session_waitlist
        WHERE session_id = s.id AND status = 'waiting' AND (s.capacity IS NULL OR party_size <= s.capacity)
        ORDER BY priority DESC, queued_at, id
        LIMIT CASE WHEN coalesce(o.fill_gaps, false) THEN NULL ELSE s.capacity - s.seats_taken END
    ) w
    WHERE s.id = ANY (%(sessions)s) AND s.status = 'scheduled' AND s.starts_at > clock_timestamp()
        AND s.waitlist_length > 0 AND (s.capacity IS NULL OR s.seats_taken < s.capacity)
        AND e.status = ANY (%(handing_on)s) AND coalesce(o.offers_on, true) AND coalesce(l.offers_on, true)
    ORDER BY s.id, w.priority DESC, w.queued_at, w.id
"""
OFFER = """
    UPDATE session_waitlist AS w SET
        status = 'offered', offered_at = clock_timestamp(), offer_expires_at = one.deadline,
        offers_made = w.offers_made + 1, told_at = NULL
    FROM unnest(%(ids)s::uuid[], %(deadlines)s::timestamptz[]) AS one(id, deadline) WHERE w.id = one.id
"""
GIVE = """
    UPDATE session_waitlist SET
        status = 'accepted', offered_at = clock_timestamp(), closed_at = clock_timestamp(),
        offers_made = offers_made + 1, told_at = NULL
    WHERE id = ANY (%(ids)s)
"""
SETTLED = "SELECT id FROM event_attendees WHERE id = ANY (%(attendees)s) AND status = 'active' FOR SHARE SKIP LOCKED"


def hand_on(session_ids) -> int:
    """Free seats go to whoever has waited longest; to how many people. **The caller holds the sessions' locks.**

    As many statements for five hundred seats as for one. A party that doesn't fit is waited for, unless the
    event fills gaps, or it is larger than the whole session has become. Seats of a line whose offers are
    stopped stay free, and nobody else gets them.
    """
    with connection.cursor() as cursor:
        cursor.execute(NEXT, {"sessions": list(session_ids), "handing_on": list(HANDING_ON), **TERMS})
        rows = [_Next(*row) for row in cursor.fetchall()]
        chosen = [one for _session, line in groupby(rows, attrgetter("session_id")) for one in _fitting(list(line))]
        given = [one for one in chosen if one.mode == WaitlistMode.AUTO_CONFIRM]
        if given:
            # Attendees are locked before sessions: whoever is being removed, or checked in, at this moment
            # can't be waited for. They and all behind them are left to the sweep.
            cursor.execute(SETTLED, {"attendees": [one.attendee_id for one in given]})
            settled = {pk for (pk,) in cursor.fetchall()}
            given = [
                one
                for _session, line in groupby(given, attrgetter("session_id"))
                for one in _until(list(line), lambda one: one.attendee_id not in settled)
            ]
            cursor.execute(GIVE, {"ids": [one.entry_id for one in given]})
            cursor.execute(CONFIRM, {"ids": [one.entry_id for one in given]})
        offered = [one for one in chosen if one.mode == WaitlistMode.OFFER]
        if offered:
            asked = {"ids": [one.entry_id for one in offered], "deadlines": [one.deadline for one in offered]}
            cursor.execute(OFFER, asked)
    if given or offered:
        start("rsvp.tasks.tell_offers")
    return len(given) + len(offered)


def _fitting(line: list[_Next]) -> list[_Next]:
    """Of one session's line, in order: those whose seats there are."""
    free, chosen = line[0].free, []
    for one in line:
        if free is None or one.party_size <= free:
            chosen.append(one)
            free = free if free is None else free - one.party_size
        elif not one.fill_gaps:
            break
        if free == 0:
            break
    return chosen


def _until(line, stop):
    for one in line:
        if stop(one):
            return
        yield one


# -- Offers that passed, lines that are over ---------------------------------------------------------------

DUE = """
    SELECT s.id FROM event_sessions s
    WHERE s.id > %(after)s AND (
        s.id IN (
            SELECT session_id FROM session_waitlist
            WHERE status = 'offered' AND offer_expires_at <= statement_timestamp()
        )
        OR s.waitlist_length > 0 AND (
            s.starts_at <= statement_timestamp()
            OR s.status = 'scheduled' AND (s.capacity IS NULL OR s.seats_taken < s.capacity)
        )
    )
    ORDER BY s.id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""
# An offer that its person never heard of, because telling them has failed until now, costs them nothing: they keep
# their place, and get another one. (told_at is looked at with the row's lock: they may be told this moment.)
UNTOLD = "(w.told_at IS NULL AND NOT over.begun)"
EXPIRE = f"""
    UPDATE session_waitlist AS w SET
        status = CASE WHEN {UNTOLD} OR over.goes_on THEN 'waiting' ELSE 'expired' END,
        queued_at = CASE WHEN over.goes_on AND NOT {UNTOLD} THEN over.queued_at ELSE w.queued_at END,
        priority = CASE WHEN over.goes_on AND NOT {UNTOLD} THEN 0 ELSE w.priority END,
        offers_made = w.offers_made - {UNTOLD}::int,
        offer_expires_at = CASE WHEN {UNTOLD} OR over.goes_on THEN NULL ELSE w.offer_expires_at END,
        closed_at = CASE WHEN {UNTOLD} OR over.goes_on THEN NULL ELSE clock_timestamp() END,
        end_reason = CASE
            WHEN {UNTOLD} OR over.goes_on THEN '' WHEN over.begun THEN 'started' ELSE 'too_many_offers'
        END,
        told_at = CASE WHEN over.begun OR {UNTOLD} THEN coalesce(w.told_at, clock_timestamp()) END
    FROM (
        SELECT one.id, s.starts_at <= clock_timestamp() AS begun,
            s.starts_at > clock_timestamp() AND one.offers_made <= coalesce(o.max_offers, 2) AS goes_on,
            statement_timestamp() + interval '1 microsecond' * row_number() OVER (
                ORDER BY one.offer_expires_at, one.id
            ) AS queued_at
        FROM session_waitlist one
        JOIN event_sessions s ON s.id = one.session_id
        LEFT JOIN event_rsvp_settings o ON o.event_id = one.event_id
        WHERE one.session_id = ANY (%(sessions)s) AND one.status = 'offered'
            AND one.offer_expires_at <= clock_timestamp()
    ) AS over
    WHERE w.id = over.id
"""
BEGUN = """
    UPDATE session_waitlist AS w SET status = 'expired', closed_at = clock_timestamp(), end_reason = 'started'
    FROM event_sessions s
    WHERE s.id = w.session_id AND s.id = ANY (%(sessions)s) AND w.status = 'waiting'
        AND s.starts_at <= clock_timestamp()
"""
AT_ONCE = 500
"""Sessions of one transaction."""


def catch_up() -> int:
    """Each minute: offers that passed go to the next, free seats are handed on, lines whose session has begun
    are over. How many people were given something. Sessions that somebody is at are left to the next time."""
    after, given = UUID(int=0), 0
    while True:
        found, made = _catch_up(after=after)
        given += made
        if len(found) < AT_ONCE:
            return given
        after = found[-1]


@operation
def _catch_up(*, after) -> tuple[list, int]:
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"after": after, "limit": AT_ONCE})
        sessions = [pk for (pk,) in cursor.fetchall()]
    return sessions, _settled(sessions) if sessions else 0


@operation
def settle(*, session_id) -> int:
    """:func:`catch_up` for one session, for somebody who can't wait. Raises NotFound, Busy."""
    return _settled([lock_session(session_id).pk])


def _settled(sessions) -> int:
    with connection.cursor() as cursor:
        cursor.execute(EXPIRE, {"sessions": sessions})
        cursor.execute(BEGUN, {"sessions": sessions})
    return hand_on(sessions)
