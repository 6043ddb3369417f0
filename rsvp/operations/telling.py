"""What people hear: a seat that is offered, a session that changed, and what is on tomorrow.

Each is found by its rows and told in the transaction that notes it, so that nothing depends on the
task that was started first, and nobody hears twice. Kinds and channels are messaging's.
"""

from collections import defaultdict
from datetime import datetime, time, timedelta
from itertools import groupby
from operator import attrgetter

from django.db.models import Exists, OuterRef, Q, TextField, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils import timezone

from config.errors import operation
from events.models import Event, Session
from events.models.agenda import SessionStatus
from messaging.models import Kind, Message
from messaging.operations import notices, texts

from ..models import EndReason, SessionChange, SessionRsvp, WaitlistEntry, WaitlistStatus

AT_ONCE = 500
"""Rows of one transaction."""


# -- Offers ----------------------------------------------------------------------------------------------


@operation
def tell_offers() -> int:
    """Tells whoever was offered a seat, or got one from the line, and doesn't know it yet; how many.

    Once an offer: its number is in the key.
    """
    told = [WaitlistStatus.OFFERED, WaitlistStatus.ACCEPTED]
    entries = list(
        WaitlistEntry.objects.filter(told_at=None, offered_at__isnull=False, status__in=told)
        .select_related("session__event", "session__room", "attendee")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .order_by("pk")[:AT_ONCE]
    )
    notices.notify(*(_offer(entry) for entry in entries))
    WaitlistEntry.objects.filter(pk__in=[one.pk for one in entries]).update(told_at=Now())
    return len(entries)


def _offer(entry) -> notices.Notice:
    said = "offer" if entry.status == WaitlistStatus.OFFERED else "seat_from_line"
    key = f"waitlist_offer:{entry.pk}:{entry.offers_made}"
    return _notice(Kind.WAITLIST_OFFER, said, entry.session, [entry.attendee.user_profile_id], key, entry=entry)


def _notice(kind, said, session, people, key, **context) -> notices.Notice:
    event = session.event
    subject, body = texts.written(said, event=event, session=session, **context)
    return notices.Notice(kind, subject, body, people, event_id=event.pk, key=key)


def seat_taken_away(rsvp: SessionRsvp, *, actor, reason: str) -> None:
    """For somebody whose seat an organiser gave to the line; within that transaction."""
    person = rsvp.attendee.user_profile_id
    if actor is None or person != actor.pk:
        key = f"session_changed:rsvp:{rsvp.pk}:{rsvp.cancelled_at.isoformat()}"
        notices.notify(_notice(Kind.SESSION_CHANGED, "seat_taken_away", rsvp.session, [person], key, reason=reason))


# -- Sessions that changed -------------------------------------------------------------------------------

SETTLED = timedelta(minutes=2)
"""Somebody who moves a session about for a while makes one notice. Cancelling is told at once."""


@operation
def tell_changes() -> int:
    """Tells whoever has a seat in a session, or waits for one, what became of it since they were told last;
    of how many sessions. What was changed back is no news, nor is what is over."""
    latest = SessionChange.objects.filter(session=OuterRef("session"), told_at=None)
    restless = latest.filter(created_at__gt=Now() - SETTLED)
    rows = list(
        SessionChange.objects.filter(told_at=None)
        .filter(Q(session__status=SessionStatus.CANCELLED) | ~Exists(restless))
        .select_related("session__event", "session__room")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .order_by("session_id", "pk")[:AT_ONCE]
    )
    made = []
    for _session, changes in groupby(rows, attrgetter("session_id")):
        first, *_later = changes = list(changes)
        notice = _change(first, changes[-1])
        if notice is not None:
            made.append(notice)
    notices.notify(*made)
    SessionChange.objects.filter(pk__in=[one.pk for one in rows]).update(told_at=Now())
    return len(made)


def _change(before: SessionChange, last: SessionChange) -> notices.Notice | None:
    session = before.session
    if session.ends_at <= timezone.now() or session.event.status != Event.Status.PUBLISHED:
        return None
    seats, line = SessionRsvp.objects.filter(session=session), WaitlistEntry.objects.filter(session=session)
    gone = Q(end_reason=EndReason.SESSION_CANCELLED)
    was_on, is_on = before.status == SessionStatus.SCHEDULED, session.status == SessionStatus.SCHEDULED
    if was_on and not is_on:
        said = "session_cancelled"
        seats = seats.filter(gone, cancelled_at__gte=before.created_at)
        line = line.filter(gone, closed_at__gte=before.created_at)
    elif is_on and not was_on:
        said, seats, line = "session_restored", seats.filter(gone), line.filter(gone)
    elif is_on and _differs(before, session):
        said, seats, line = "session_changed", seats.confirmed(), line.live()
    else:
        return None
    people = {*seats.values_list("attendee__user_profile", flat=True)}
    people |= {*line.values_list("attendee__user_profile", flat=True)}
    key = f"session_changed:{last.pk}"
    return _notice(Kind.SESSION_CHANGED, said, session, sorted(people), key, before=before) if people else None


def _differs(before, session) -> bool:
    room = session.room.name if session.room else ""
    was = (before.title, before.starts_at, before.ends_at, before.room_name)
    return was != (session.title, session.starts_at, session.ends_at, room)


# -- The evening before ----------------------------------------------------------------------------------

FROM, UNTIL = time(18), time(22)
"""By the clock of the event; if nobody could send them until then, they come too late."""


@operation
def remind(*, at: datetime | None = None) -> int:
    """In the evening, everybody hears of their sessions of the next day at an event; once. How many were told."""
    at = at or timezone.now()
    soon = Session.objects.filter(
        event=OuterRef("pk"), status=SessionStatus.SCHEDULED, starts_at__range=(at, at + timedelta(hours=36))
    )
    events = Event.objects.filter(Exists(soon), status=Event.Status.PUBLISHED).exclude(rsvp_settings__reminders=False)
    told = 0
    for event in events.order_by("pk"):
        if FROM <= at.astimezone(event.zone).time() < UNTIL:
            told += _remind(event, at.astimezone(event.zone).date() + timedelta(days=1))
    return told


def _remind(event, day) -> int:
    begins = datetime.combine(day, time(), tzinfo=event.zone)
    ends = datetime.combine(day + timedelta(days=1), time(), tzinfo=event.zone)
    start = f"reminder:{event.pk}:{day.isoformat()}:"
    known = Message.objects.filter(key=Concat(Value(start), Cast(OuterRef("attendee__user_profile"), TextField())))
    rows = (
        SessionRsvp.objects.confirmed()
        .filter(event=event, session__starts_at__gte=begins, session__starts_at__lt=ends)
        .filter(~Exists(known))
        .select_related("session__room", "attendee")
        .order_by("attendee__user_profile", "session__starts_at", "pk")
    )
    theirs = defaultdict(list)
    for row in rows:
        theirs[row.attendee.user_profile_id].append(row.session)
    made = []
    for person, sessions in theirs.items():
        subject, body = texts.written("reminder", event=event, day=day, sessions=sessions)
        key = f"{start}{person}"
        made.append(notices.Notice(Kind.REMINDER, subject, body, [person], event_id=event.pk, key=key))
    return notices.notify(*made)
