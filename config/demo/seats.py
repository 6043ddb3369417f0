"""Who sits where: sessions with room, nearly full, and full with a line; offers, and what people thought of it.

Comes after ``attending``: feedback is for those who were there. RSVPs and places in line are written in
bulk, as the database lets anybody; whatever takes turns is done by the operations. When somebody came
for their seat first stays as it was written, whatever the day, and so does the record of the lines.
"""

import random
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.postgres.functions import TransactionNow
from django.db.models import DurationField, Exists, F, OuterRef, Q, Value
from django.db.models.functions import Least
from django.utils import timezone

from attendance.models import Attendee, CheckIn
from config.database import write
from config.errors import lock
from events.models import Event, Session
from events.models.agenda import SessionStatus
from rsvp.models import (
    EndReason,
    RsvpSettings,
    SessionChange,
    SessionFeedback,
    SessionRsvp,
    WaitlistEntry,
    WaitlistStatus,
)
from rsvp.operations import reserving, sessions

from . import clock, texts
from .agenda import CONFERENCE_KEY

KEYS = ("demo:over", "demo:now", "demo:next", "other:over", "other:now", "other:next")
FILLED = (1.0, 0.55, 1.0, 0.92, 0.3, 0.75)
"""How much of a small session is taken, one session after the other; 1: full, with a line."""
SMALL = 60
NO_RSVP = ("Break", "Social")
PATIENT = 5
"""How many wait where it is full, at the least; more in some lines."""
HOLDS = timedelta(hours=12)
"""How long the conference's offers hold, so that there is one to look at."""


def build(demo):
    for key in KEYS:
        event = demo.events[key]
        here = SessionRsvp.objects.filter(event=event, session__status=SessionStatus.SCHEDULED)
        if event.sessions.exists() and not here.exists():
            _Seating(demo, key, event).play()
    _keep_a_line(demo)
    # What the demo itself changes is no news to anybody, and was done before it was looked at.
    made = {"event__external_id__in": KEYS}
    SessionChange.objects.filter(**made, created_at__gte=TransactionNow()).update(told_at=demo.now)
    SessionRsvp.objects.filter(**made, cancelled_at__gt=demo.now).update(cancelled_at=demo.now)
    WaitlistEntry.objects.filter(**made, offered_at__gt=demo.now).update(offered_at=demo.now)


def move(demo):
    """Offers stand for as long as they did. That sessions moved along with the day is no news to anybody."""
    moved = SessionChange.objects.filter(event__external_id__in=KEYS, told_at=None)
    moved.filter(created_at__gte=TransactionNow()).delete()
    gone_by = Value(demo.now - demo.anchor, output_field=DurationField())
    for event in Event.objects.filter(external_id__in=KEYS):
        for session in Session.objects.filter(event=event, waitlist__status=WaitlistStatus.OFFERED).distinct():
            session.waitlist.offered().update(
                offered_at=F("offered_at") + gone_by,
                offer_expires_at=Least(Value(session.starts_at), F("offer_expires_at") + gone_by),
            )
    feedback = SessionFeedback.objects.filter(event__external_id__in=KEYS)
    clock.move_stamps(SessionFeedback, feedback, ("created_at",), demo)


@dataclass
class _Seating:
    """One event's sessions, from its first RSVP to now."""

    demo: object
    key: str
    event: Event

    def play(self):
        self.dice = random.Random(f"{self.key}, seats")
        self.actor = self.demo.login(self.event, "organizer")
        self.me = self.demo.login(self.event, "attendee")
        self.people = list(Attendee.objects.active().filter(event=self.event).order_by("created_at", "owner_id"))
        self.begins = min(self.demo.now, self.event.starts_at) - timedelta(days=21)
        if self.key == CONFERENCE_KEY:
            RsvpSettings.objects.update_or_create(event=self.event, defaults={"offer_ttl": HOLDS})
        agenda = self.event.sessions.exclude(session_type__in=NO_RSVP).filter(status=SessionStatus.SCHEDULED)
        limited = 0
        for session in agenda.order_by("starts_at", "title"):
            small = session.capacity is not None and session.capacity <= SMALL
            share = FILLED[limited % len(FILLED)] if small else self.dice.uniform(0.1, 0.4)
            limited += small
            self._fill(session, share)
        self._change_an_agenda()
        self._give_feedback()

    def _fill(self, session, share):
        """Offers that some took and some let pass come first; then seats, and who found none."""
        people = self.dice.sample(self.people, len(self.people))
        if share == 1:
            session = self._no_more_than(session, len(people) // 3)
            if session.starts_at > self.demo.now and session.capacity > 6:
                self._hand_some_on(session, [people.pop() for _ in range(6)])
                session.refresh_from_db()
        limit = len(people) if session.capacity is None else session.capacity - session.seats_taken
        rows, taken = [], 0
        while people and taken < int(limit * share):
            person = people.pop()
            seats = min(1 + (person.plus_ones > 0 and self.dice.random() < 0.3), int(limit * share) - taken)
            rows.append(self._rsvp(session, person, seats=seats))
            taken += seats
        rows += [self._given_back(session, people.pop()) for _ in range(len(rows) // 12) if people]
        SessionRsvp.objects.bulk_create(rows)
        came = SessionRsvp.objects.confirmed().filter(session=session, source=SessionRsvp.Source.OWN)
        came.update(confirmed_at=F("rsvp_at"))
        if share == 1 and session.starts_at > self.demo.now:
            self._queue(session, people[: PATIENT + self.dice.randrange(6)])

    def _no_more_than(self, session, seats):
        """A room that is larger than the demo's crowd would never be full."""
        if session.capacity > seats:
            session.capacity = seats
            write([session], ["capacity"], actor=self.actor, reason=clock.MADE)
        return session

    def _moment(self, session, latest=0.98):
        """Most come early, some at the last minute."""
        until = min(self.demo.now, session.starts_at)
        return self.begins + (until - self.begins) * (latest * self.dice.random() ** 1.6)

    def _rsvp(self, session, person, **fields):
        return SessionRsvp(event=self.event, session=session, attendee=person, rsvp_at=self._moment(session), **fields)

    def _given_back(self, session, person):
        row = self._rsvp(session, person, status=SessionRsvp.Status.CANCELLED, end_reason=EndReason.OWN)
        row.cancelled_at = row.rsvp_at + (min(self.demo.now, session.starts_at) - row.rsvp_at) * self.dice.random()
        return row

    def _queue(self, session, people):
        since = sorted(self._moment(session) for _ in people)
        rows = [
            WaitlistEntry(event=self.event, session=session, attendee=one, joined_at=at, queued_at=at)
            for one, at in zip(people, since, strict=True)
        ]
        if rows and self.dice.random() < 0.5:
            rows[-1].priority = 1
        WaitlistEntry.objects.bulk_create(rows)

    def _hand_some_on(self, session, people):
        """Half of those who were offered a seat took it."""
        self._queue(session, people)
        entries = WaitlistEntry.objects.filter(session=session)
        at = self.demo.now - timedelta(days=2)
        entries.update(
            status=WaitlistStatus.OFFERED, offered_at=at, offer_expires_at=at + HOLDS, offers_made=1, told_at=at
        )
        ids = list(entries.order_by("queued_at").values_list("pk", flat=True))
        for chosen, status in (
            (ids[:3], WaitlistStatus.ACCEPTED),
            (ids[3:5], WaitlistStatus.DECLINED),
            (ids[5:], WaitlistStatus.EXPIRED),
        ):
            entries.filter(pk__in=chosen).update(status=status, closed_at=at + HOLDS * self.dice.random())
        SessionRsvp.objects.bulk_create(
            self._rsvp(session, one.attendee, seats=one.party_size, source=SessionRsvp.Source.WAITLIST)
            for one in entries.filter(pk__in=ids[:3]).select_related("attendee")
        )

    def _change_an_agenda(self):
        """Where an event is yet to come: a session that is called off, and one whose room is too small for it."""
        if not self.key.endswith(":next"):
            return
        *_others, small, last = self.event.sessions.filter(status=SessionStatus.SCHEDULED).order_by("starts_at", "pk")
        sessions.cancel(session_id=last.pk, actor=self.actor, reason=texts.CALLED_OFF)
        if small.room and small.room.capacity:
            small.capacity = max(small.room.capacity, small.capacity or 0) + 6
            write([small], ["capacity"], actor=self.actor, reason=clock.MADE)

    def _give_feedback(self):
        scans = CheckIn.objects.filter(result=CheckIn.Result.CHECKED_IN, undone_at=None, point__session=OuterRef("pk"))
        now = min(self.demo.now, timezone.now())
        over = self.event.sessions.filter(status=SessionStatus.SCHEDULED, ends_at__lt=now)
        rows = []
        for session in over.exclude(Exists(scans)).order_by("starts_at", "pk"):
            mood = self.dice.choice((2, 3, 4, 5, 5, 6))
            here = session.rsvps.confirmed().filter(attendee__in=Attendee.objects.here())
            for rsvp in here.order_by("pk").select_related("attendee"):
                if self.dice.random() < 0.6:
                    rating = max(1, min(5, round(self.dice.gauss(mood, 1))))
                    words = self.dice.choice(texts.FEEDBACK[rating]) if self.dice.random() < 0.5 else ""
                    rows.append(
                        SessionFeedback(
                            event=self.event,
                            session=session,
                            attendee=rsvp.attendee,
                            rating=rating,
                            comment=words,
                            created_at=session.ends_at + (self.demo.now - session.ends_at) * self.dice.random() ** 3,
                        )
                    )
        stamps = {row.pk: row.created_at for row in rows}
        SessionFeedback.objects.bulk_create(rows)
        for row in rows:
            row.created_at = stamps[row.pk]
        clock.store(SessionFeedback.objects, rows, ["created_at"])


def _keep_a_line(demo):
    """The conference always has a full session with people waiting, of whom one is offered a seat, and a second
    one where the attendee who may sign in waits for theirs."""
    event = demo.events[CONFERENCE_KEY]
    here = SessionRsvp.objects.confirmed().filter(session=OuterRef("pk"), attendee__user_profile__email=_me(event))
    soon = Q(starts_at__gt=demo.now + timedelta(hours=3), starts_at__lt=event.ends_at, status=SessionStatus.SCHEDULED)
    full = Session.objects.filter(soon, event=event, capacity=F("seats_taken"), capacity__gt=8).exclude(Exists(here))
    if WaitlistEntry.objects.offered().filter(session__in=full, offer_expires_at__gt=demo.now).exists():
        return
    me = Attendee.objects.active().filter(event=event, user_profile__email=_me(event)).first()
    for place, session in enumerate(full.order_by("-starts_at", "pk")[:2]):
        lock(Session.objects, pk=session.pk)
        waiting = session.waitlist.live().values("attendee")
        inside = session.rsvps.values("attendee")
        others = Attendee.objects.active().filter(event=event).exclude(Q(pk__in=waiting) | Q(pk__in=inside))
        missing = max(0, PATIENT - waiting.count())
        queue = list(others.exclude(pk=me and me.pk).order_by("owner_id")[:missing])
        if me and not session.waitlist.live().filter(attendee=me).exists():
            queue.insert(0, me)
        WaitlistEntry.objects.bulk_create(
            WaitlistEntry(
                event=event,
                session=session,
                attendee=one,
                joined_at=demo.now,
                queued_at=demo.now,
                priority=2 if one == me and not place else 0,
            )
            for one in queue
        )
        if not place:
            leaver = session.rsvps.confirmed().order_by("seats", "-rsvp_at", "pk").first()
            reserving.take_from(rsvp_id=leaver.pk, actor=demo.login(event, "organizer"), reason=texts.SEAT_TAKEN)


def _me(event) -> str:
    return f"attendee@{event.organization.slug}.example"
