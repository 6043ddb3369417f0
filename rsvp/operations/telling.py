"""What people hear: a seat that is offered, a session that changed, and what is on tomorrow.

Each is found by its rows and told in the transaction that notes it, so that nothing depends on the
task that was started first, and nobody hears twice. Kinds and channels are messaging's.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter

import structlog
from django.db import connection
from django.db.models import Exists, OuterRef, Q, TextField, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils import timezone

from attendance.models import Attendee
from config.errors import Busy, Unavailable, operation
from events.models import Event, Session
from events.models.agenda import SessionStatus
from messaging.models import Kind, Message
from messaging.operations import notices, texts

from ..models import EndReason, RsvpStatus, SessionChange, SessionRsvp, WaitlistEntry, WaitlistStatus
from ..models.waitlist import TOLD_OF

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Rows of one transaction."""
PERSON = "attendee__user_profile_id"
"""Of a seat, or of a place in line."""
MOST_BAD = 10
"""After so many rows that can't be told of, it is more than a row that is broken."""


class Untold(Exception):
    """Some can't be told of now; the log has why. They stay as they are, for the next time."""


class Telling:
    """One pass over all that is to be told, in as few transactions as there can be."""

    def __init__(self):
        self.number, self.bad = 0, []

    def all(self, find: Callable, tell: Callable) -> None:
        """``find(after)`` gives the next AT_ONCE keys in their order; ``tell(rows=keys)`` how many it told.

        Raises Busy, Unavailable.
        """
        after = None
        while rows := find(after):
            self.number += self.each(rows, tell)
            after = rows[-1]

    def each(self, rows: list, tell: Callable) -> int:
        """What is refused is tried in halves, so that a row that can't be told of holds up none of the others."""
        try:
            return tell(rows=rows)
        except (Busy, Unavailable):
            raise
        except Exception:
            if len(self.bad) >= MOST_BAD:
                raise
            if len(rows) == 1:
                log.exception("rsvp.telling_failed", row=str(rows[0]))
                self.bad += rows
                return 0
        middle = len(rows) // 2
        return self.each(rows[:middle], tell) + self.each(rows[middle:], tell)

    def done(self) -> int:
        """How many were told. Raises Untold."""
        if self.bad:
            raise Untold(f"{len(self.bad)} could not be told, of {', '.join(map(str, self.bad))}")
        return self.number


def _first(keys, column: str, after) -> list:
    """Of a queryset's rows, the next keys after this one."""
    found = keys if after is None else keys.filter(**{f"{column}__gt": after})
    return list(found.order_by(column).values_list(column, flat=True).distinct()[:AT_ONCE])


def _notice(kind, said, event, people, key, *, channels=None, **context) -> notices.Notice:
    subject, body = texts.written(said, event=event, **context)
    return notices.Notice(kind, subject, body, people, event_id=event.pk, key=key, channels=channels)


def _of_session(session, **more) -> dict:
    """What texts say of a session. A title is one line, whatever was typed."""
    return {
        "session": session,
        "title": _line(session.title),
        "room": _line(session.room.name) if session.room else "",
        "session_when": partial(texts.between, session.starts_at, session.ends_at, session.event),
        **more,
    }


def _line(text: str) -> str:
    return " ".join(text.split())


# -- Offers ----------------------------------------------------------------------------------------------


def tell_offers() -> int:
    """Tells whoever was offered a seat, or got one from the line, or let one pass, and doesn't know it yet;
    how many. Once an offer: its number is in the key. Raises Busy, Unavailable, Untold."""
    telling = Telling()
    telling.all(partial(_first, untold_offers(), "pk"), tell_these_offers)
    return telling.done()


def untold_offers():
    """What has passed unnoticed is no offer any more: the sweep sees to it first."""
    passed = Q(status=WaitlistStatus.OFFERED, offer_expires_at__lte=Now())
    return WaitlistEntry.objects.filter(told_at=None, offered_at__isnull=False, status__in=TOLD_OF).exclude(passed)


@operation
def tell_these_offers(*, rows) -> int:
    """Of these entries, those that nobody else is telling of at the moment."""
    theirs = SessionRsvp.objects.confirmed().filter(session=OuterRef("session"), attendee=OuterRef("attendee"))
    entries = list(
        untold_offers()
        .filter(pk__in=rows)
        .select_related("session__event", "session__room", "attendee")
        .annotate(has_seat=Exists(theirs), now=Now())
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .order_by("pk")
    )
    told = notices.notify(*(notice for one in entries if (notice := _of_offer(one))))
    WaitlistEntry.objects.filter(pk__in=[one.pk for one in entries]).update(told_at=Now())
    return told


def _of_offer(entry) -> notices.Notice | None:
    """None for what is no news any more."""
    session, status, key, channels = entry.session, entry.status, "waitlist_offer", None
    if session.starts_at <= entry.now or session.status == SessionStatus.CANCELLED or _is_off(session.event):
        return None
    if status == WaitlistStatus.OFFERED:
        said = "offer"
    elif status == WaitlistStatus.ACCEPTED:
        said = "seat_from_line" if entry.has_seat else None
    else:
        said, key, channels = "offer_expired", "waitlist_expired", notices.APP
    if said is None:
        return None
    return _notice(
        Kind.WAITLIST_OFFER,
        said,
        session.event,
        [entry.attendee.user_profile_id],
        f"{key}:{entry.pk}:{entry.offers_made}",
        channels=channels,
        **_of_session(session, entry=entry, still_waits=status == WaitlistStatus.WAITING),
    )


def _is_off(event) -> bool:
    return event.status in (Event.Status.CANCELLED, Event.Status.COMPLETED)


# -- What organisers do to one person ----------------------------------------------------------------------


def _by_organizer(said, row, key, *, actor, channels=None, **context) -> None:
    """Within the transaction of what was done. Nobody is told of their own doing."""
    person = row.attendee.user_profile_id
    if actor is not None and person == actor.pk:
        return
    session = Session.objects.select_related("event", "room").get(pk=row.session_id)
    context = _of_session(session, **context)
    notices.notify(_notice(Kind.SESSION_CHANGED, said, session.event, [person], key, channels=channels, **context))


def seat_taken_away(rsvp: SessionRsvp, *, actor, reason: str) -> None:
    """For somebody whose seat an organiser gave to the line."""
    key = f"session_changed:rsvp:{rsvp.pk}:{rsvp.cancelled_at.isoformat()}"
    _by_organizer("seat_taken_away", rsvp, key, actor=actor, reason=reason)


def seat_given(rsvp: SessionRsvp, *, actor) -> None:
    """For somebody whom an organiser added."""
    rsvp.refresh_from_db(fields=["confirmed_at"])
    key = f"session_changed:rsvp:{rsvp.pk}:{rsvp.confirmed_at.isoformat()}"
    _by_organizer("seat_given", rsvp, key, actor=actor, seats=rsvp.seats)


def taken_out_of_line(entry: WaitlistEntry, *, actor) -> None:
    """For somebody who waited, in the app alone."""
    _by_organizer("taken_out_of_line", entry, f"session_changed:line:{entry.pk}", actor=actor, channels=notices.APP)


# -- Sessions that changed -------------------------------------------------------------------------------

SETTLED = timedelta(minutes=2)
"""Somebody who moves a session about for a while makes one notice. Cancelling is told at once."""


def tell_changes() -> int:
    """Tells whoever has a seat in a session, or waits for one, what became of it since they were told last;
    how many notices that made.

    Several sessions of one person are one notice. What was changed back is no news, nor is what is over.
    Raises Busy, Unavailable, Untold.
    """
    telling = Telling()
    telling.all(partial(_first, _due_changes(), "session"), tell_these_changes)
    return telling.done()


def untold_changes():
    return SessionChange.objects.filter(told_at=None)


def _due_changes():
    restless = untold_changes().filter(session=OuterRef("session"), created_at__gt=Now() - SETTLED)
    return untold_changes().filter(Q(session__status=SessionStatus.CANCELLED) | ~Exists(restless))


@dataclass(frozen=True)
class _News:
    """Of one session, for those whom it concerns in the same way."""

    said: str
    before: SessionChange
    last: SessionChange
    reason: str = ""

    @property
    def session(self) -> Session:
        return self.before.session

    def as_context(self, clashes=()) -> dict:
        before, event = self.before, self.session.event
        now = _of_session(self.session)
        was = {
            "title": _line(before.title),
            "session_when": partial(texts.between, before.starts_at, before.ends_at, event),
            "room": _line(before.room_name),
        }
        moved = (before.starts_at, before.ends_at) != (self.session.starts_at, self.session.ends_at)
        return now | {
            "became": self.said,
            "reason": self.reason,
            "clashes": [_line(one) for one in clashes],
            "was": was,
            "renamed": was["title"] != now["title"],
            "moved": moved,
            "elsewhere": was["room"] != now["room"],
        }

    @property
    def differs(self) -> bool:
        session, before = self.session, self.before
        room = session.room.name if session.room else ""
        is_now = (session.title, session.starts_at, session.ends_at, room)
        return is_now != (before.title, before.starts_at, before.ends_at, before.room_name)


@operation
def tell_these_changes(*, rows) -> int:
    """Of these sessions (keys), those that nobody else is telling of at the moment. As many statements for one
    as for all."""
    changes = list(
        untold_changes()
        .filter(session__in=rows)
        .select_related("session__event", "session__room")
        .annotate(now=Now())
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .order_by("session_id", "pk")
    )
    people = _concerned([one.session_id for one in changes])
    heard = defaultdict(list)
    for session_id, group in groupby(changes, attrgetter("session_id")):
        for news, persons in _news(list(group), people[session_id]):
            for person in persons:
                heard[person, news.session.event_id].append(news)
    made = _as_notices(heard)
    notices.notify(*made)
    SessionChange.objects.filter(pk__in=[one.pk for one in changes]).update(told_at=Now())
    return len(made)


def _concerned(sessions) -> dict:
    """By session: (person, whether they have a seat or wait, when the session's cancelling took that)."""
    gone = Q(end_reason=EndReason.SESSION_CANCELLED)
    of_these = Q(session__in=sessions, attendee__status=Attendee.Status.ACTIVE)
    found = defaultdict(list)
    seats = SessionRsvp.objects.filter(of_these, gone | Q(status=RsvpStatus.CONFIRMED))
    line = WaitlistEntry.objects.filter(of_these, gone | Q(status__in=WaitlistStatus.LIVE))
    for rows, over_since in ((seats, "cancelled_at"), (line, "closed_at")):
        for session_id, *one in rows.order_by("session_id", PERSON).values_list("session_id", PERSON, over_since):
            found[session_id].append(one)
    return found


def _news(changes: list[SessionChange], concerned):
    """Of one session's changes, in their order: what it comes to, and for whom."""
    first, session = changes[0], changes[0].session
    if session.ends_at <= first.now or session.event.status != Event.Status.PUBLISHED:
        return
    news = partial(_News, before=first, last=changes[-1])
    inside = {person for person, over_since in concerned if over_since is None}
    if session.status == SessionStatus.CANCELLED:
        reason = next((one.reason for one in reversed(changes) if one.reason), "")
        told = news("session_cancelled", reason=reason)
        yield told, {person for person, over_since in concerned if over_since and over_since >= first.created_at}
        return
    if any(one.status == SessionStatus.CANCELLED for one in changes):  # they lost their seats, whoever restored it
        yield news("session_restored"), {person for person, _over_since in concerned} - inside
    if news("session_changed").differs:
        yield news("session_changed"), inside


def _as_notices(heard) -> list[notices.Notice]:
    """One for all who hear the same. ``heard``: by (person, event), their news."""
    moved = {one.session.pk for news in heard.values() for one in news if one.said == "session_changed"}
    clashes, same = _clashes(sorted(moved)), defaultdict(list)
    for (person, _event), news in heard.items():
        in_order = sorted(news, key=lambda one: (one.session.starts_at, one.session.pk))
        with_clashes = tuple((one, clashes.get((one.session.pk, person), ())) for one in in_order)
        same[with_clashes].append(person)
    made = []
    for news, persons in same.items():
        event, contexts = news[0][0].session.event, [one.as_context(titles) for one, titles in news]
        if len(contexts) == 1:
            said, context = news[0][0].said, contexts[0]
        else:
            said, context = "sessions_changed", {"news": contexts}
        made.append(_notice(Kind.SESSION_CHANGED, said, event, sorted(persons), None, **context))
    return made


CLASHES = """
    WITH moved AS MATERIALIZED (
        SELECT s.id, s.starts_at, s.ends_at, a.user_profile_id
        FROM event_sessions s
        JOIN session_rsvps r ON r.session_id = s.id AND r.status = 'confirmed'
        JOIN event_attendees a ON a.id = r.attendee_id
        WHERE s.id = ANY (%s)
    ), theirs AS MATERIALIZED (
        SELECT mine.user_profile_id, s.id, s.title, s.starts_at, s.ends_at
        FROM (SELECT DISTINCT user_profile_id FROM moved) AS people
        JOIN event_attendees mine ON mine.user_profile_id = people.user_profile_id
        JOIN session_rsvps r ON r.attendee_id = mine.id AND r.status = 'confirmed'
        JOIN event_sessions s ON s.id = r.session_id AND s.status = 'scheduled'
    )
    SELECT moved.id, moved.user_profile_id, (array_agg(other.title ORDER BY other.starts_at, other.id))[1:5]
    FROM moved JOIN theirs AS other ON other.user_profile_id = moved.user_profile_id AND other.id <> moved.id
        AND other.starts_at < moved.ends_at AND other.ends_at > moved.starts_at
    GROUP BY 1, 2
"""
"""In two steps, each of which is small: all pairs of sessions at the same time would be many."""


def _clashes(sessions) -> dict:
    """By session and person: titles of what else they have a seat in at that time, five at most."""
    if not sessions:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(CLASHES, [sessions])
        return {(session, person): tuple(titles) for session, person, titles in cursor.fetchall()}


# -- The evening before ----------------------------------------------------------------------------------

FROM, UNTIL = time(18), time(22)
"""By the clock of the event; if nobody could send them until then, they come too late."""


def remind(*, at: datetime | None = None) -> int:
    """In the evening, everybody hears of their sessions of the next day at an event; once. How many were told.

    Raises Busy, Unavailable, Untold.
    """
    at, telling = at or timezone.now(), Telling()
    soon = Session.objects.filter(
        event=OuterRef("pk"), status=SessionStatus.SCHEDULED, starts_at__range=(at, at + timedelta(hours=36))
    )
    events = Event.objects.filter(Exists(soon), status=Event.Status.PUBLISHED).exclude(rsvp_settings__reminders=False)

    def of_events(rows):
        for event in rows:
            local = at.astimezone(event.zone)
            if FROM <= local.time() < UNTIL:
                evening = {"event": event, "day": local.date() + timedelta(days=1)}
                telling.all(partial(_to_remind, **evening), partial(_remind, **evening))
        return 0

    telling.each(list(events.order_by("pk")), of_events)
    return telling.done()


def _key(event, day) -> str:
    """What a reminder's key starts with; the person ends it."""
    return f"reminder:{event.pk}:{day.isoformat()}:"


def _seats_on(event, day):
    """Those whose people haven't been reminded."""
    begins, ends = (datetime.combine(one, time(), tzinfo=event.zone) for one in (day, day + timedelta(days=1)))
    key = Concat(Value(_key(event, day)), Cast(OuterRef("attendee__user_profile"), TextField()))
    seats = SessionRsvp.objects.confirmed().filter(event=event)
    seats = seats.filter(session__starts_at__gte=begins, session__starts_at__lt=ends)
    return seats.filter(~Exists(Message.objects.filter(key=key)))


def _to_remind(after, *, event, day) -> list:
    return _first(_seats_on(event, day), PERSON, after)


@operation
def _remind(*, rows, event, day) -> int:
    theirs = defaultdict(list)
    seats = _seats_on(event, day).filter(**{f"{PERSON}__in": rows}).select_related("session__room", "attendee")
    for one in seats.order_by(PERSON, "session__starts_at", "pk"):
        one.session.event = event
        theirs[one.attendee.user_profile_id].append(_of_session(one.session, seats=one.seats))
    said, start = partial(_notice, Kind.REMINDER, "reminder", event, day=day), _key(event, day)
    return notices.notify(*(said([person], f"{start}{person}", sessions=theirs[person]) for person in theirs))
