"""Whatever people, organisers, raw SQL and the clock do in whichever order: the database does as a model of
the rules does, seat for seat and place for place. The model knows no database, no locks, and no time but
"this offer has passed"."""

from dataclasses import dataclass, field
from math import inf

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attendance.models import Attendee
from config.errors import DomainError, translated
from events.models import Session
from rsvp import integrity
from rsvp.models import RsvpSettings, SessionRsvp, WaitlistEntry, WaitlistLog
from rsvp.operations import line, reserving, sessions
from tests.factories import AttendeeFactory, SessionFactory

pytestmark = pytest.mark.django_db

PEOPLE, MAX_OFFERS = 5, 2


class Refused(Exception):
    """With the code of the DomainError."""


@dataclass
class Entry:
    party: int
    queued: int
    status: str = "waiting"
    priority: int = 0
    offers: int = 0
    passed: int = 0

    @property
    def live(self):
        return self.status in ("waiting", "offered")


@dataclass
class Model:
    """One session, as it should be. ``seats``: by person, 0 for whoever gave theirs back."""

    capacity: int | None
    mode: str
    fill_gaps: bool
    plus_ones: list
    seats: dict = field(default_factory=dict)
    entries: dict = field(default_factory=dict)
    gone: set = field(default_factory=set)
    is_open: bool = True
    offers_on: bool = True
    ticks: int = 0

    def tick(self):
        self.ticks += 1
        return self.ticks

    @property
    def free(self):
        held = sum(one.party for one in self.entries.values() if one.status == "offered")
        return inf if self.capacity is None else self.capacity - sum(self.seats.values()) - held

    @property
    def line(self):
        """Who waits, in order."""
        waiting = [who for who, one in self.entries.items() if one.status == "waiting"]
        return sorted(waiting, key=lambda who: (-self.entries[who].priority, self.entries[who].queued))

    def first_fitting(self):
        for who in self.line:
            party = self.entries[who].party
            if party <= self.free:
                return who
            if not self.fill_gaps and (self.capacity is None or party <= self.capacity):
                return None
        return None

    def hand_on(self):
        while self.offers_on and (who := self.first_fitting()) is not None:
            self.offered(who)
            if self.mode == "auto_confirm":
                self.taken(who)

    def offered(self, who):
        entry = self.entries[who]
        entry.status, entry.passed, entry.offers = "offered", 0, entry.offers + 1

    def taken(self, who):
        self.entries[who].status = "accepted"
        self.seats[who] = self.entries[who].party

    def to_the_end(self, who):
        entry = self.entries[who]
        entry.status, entry.queued, entry.priority, entry.passed = "waiting", self.tick(), 0, 0

    def live(self, who):
        entry = self.entries.get(who)
        return entry if entry and entry.live else None

    def attending(self, who):
        if who in self.gone:
            raise Refused("not_attending")

    def allowed(self, who, seats):
        room = inf if self.capacity is None else max(self.capacity, 1)
        if not 1 <= seats <= min(1 + self.plus_ones[who], room):
            raise Refused("too_many_seats")

    # -- What people do

    def reserve(self, who, seats, waitlist):
        self.attending(who)
        have, entry = self.seats.get(who), self.live(who)
        wanted = seats if seats is not None else have or 1
        if have and wanted == have:
            return
        if entry and entry.passed:
            self.sweep()
            entry = self.live(who)
        if entry and entry.status == "offered":
            self.taken(who)
            return
        if have := self.seats.get(who):
            self.allowed(who, wanted)
            if wanted > have and (self.line or wanted - have > self.free):
                raise Refused("session_full")
            self.seats[who] = wanted
            if wanted < have:
                self.hand_on()
            return
        self.allowed(who, wanted)
        if not self.line and wanted <= self.free:
            self.seats[who] = wanted
        elif entry or waitlist:
            self.join(who, wanted)
        else:
            raise Refused("session_full")

    def cancel(self, who):
        self.attending(who)
        if who not in self.seats:
            raise Refused("not_found")
        self.give_back(who)

    def give_back(self, who):
        if self.seats[who]:
            self.seats[who] = 0
            self.hand_on()

    def join(self, who, party):
        self.attending(who)
        if (entry := self.live(who)) and entry.passed:
            self.sweep()
        if self.live(who):
            return
        if self.seats.get(who):
            raise Refused("has_seat")
        self.allowed(who, party)
        if not self.is_open:
            raise Refused("line_closed")
        self.entries[who] = Entry(party, self.tick())
        self.hand_on()

    def leave(self, who):
        self.attending(who)
        if who not in self.entries:
            raise Refused("not_found")
        self.close(who, "left")

    def close(self, who, status):
        if self.live(who):
            self.entries[who].status = status
            self.hand_on()

    def accept(self, who):
        self.attending(who)
        entry = self.entries[who]
        if entry.status == "accepted":
            return
        if entry.status != "offered":
            raise Refused("no_offer")
        if entry.passed:
            raise Refused("offer_expired")
        self.taken(who)

    def decline(self, who):
        entry = self.entries[who]
        if entry.status not in ("offered", "declined"):
            raise Refused("no_offer")
        self.attending(who)
        self.close(who, "declined")

    # -- What organisers do

    def offer(self, who):
        entry = self.entries[who]
        if entry.status == "offered":
            return
        self.still_waits(who)
        if entry.party > self.free:
            raise Refused("session_full")
        self.offered(who)

    def still_waits(self, who):
        if not self.live(who):
            raise Refused("no_longer_waiting")

    def skip(self, who):
        self.still_waits(who)
        self.to_the_end(who)
        self.hand_on()

    def prioritize(self, who, priority):
        self.still_waits(who)
        self.entries[who].priority = priority
        self.hand_on()

    def remove(self, who):
        self.close(who, "left")

    def take_from(self, who):
        self.give_back(who)

    def add_person(self, who, seats):
        self.attending(who)
        if self.seats.get(who):
            raise Refused("has_seat")
        if seats > 1 + self.plus_ones[who]:
            raise Refused("too_many_seats")
        held = 0
        if entry := self.live(who):
            held = entry.party if entry.status == "offered" else 0
            entry.status = "accepted"
        free = held if self.line else self.free
        if self.capacity is not None and seats > free:
            self.capacity += seats - free
        self.seats[who] = seats
        self.hand_on()

    def switch(self, is_open, offers_on):
        if (self.is_open, self.offers_on) != (is_open, offers_on):
            self.is_open, self.offers_on = is_open, offers_on
            self.hand_on()

    # -- What SQL and time do

    def resize(self, capacity):
        if capacity is not None and self.capacity is not None and self.capacity - self.free > capacity:
            raise Refused("session_full")
        if capacity is not None and self.capacity is None:
            self.capacity = 1000
            if 1000 - self.free > capacity:
                self.capacity = None
                raise Refused("session_full")
        self.capacity = capacity

    def drop(self, who):
        self.gone.add(who)
        if who in self.seats:
            self.seats[who] = 0
        if entry := self.live(who):
            entry.status = "left"

    def readmit(self, who):
        self.gone.discard(who)

    def bring(self, who, plus_ones):
        self.plus_ones[who] = plus_ones
        if who not in self.gone:
            if who in self.seats:
                self.seats[who] = min(self.seats[who], 1 + plus_ones)
            if entry := self.live(who):
                entry.party = min(entry.party, 1 + plus_ones)

    def let_pass(self, who):
        if self.entries[who].status == "offered" and not self.entries[who].passed:
            self.entries[who].passed = self.tick()

    def sweep(self):
        over = [who for who, one in self.entries.items() if one.status == "offered" and one.passed]
        for who in sorted(over, key=lambda who: self.entries[who].passed):
            if self.entries[who].offers <= MAX_OFFERS:
                self.to_the_end(who)
            else:
                self.entries[who].status = "expired"
        self.hand_on()

    def seen(self):
        """What the database must say, too."""
        return {
            "capacity": self.capacity,
            "seats_taken": sum(self.seats.values())
            + sum(one.party for one in self.entries.values() if one.status == "offered"),
            "waitlist_length": len(self.line),
            "seats": {who: seats for who, seats in self.seats.items() if seats},
            "line": [(who, self.entries[who].party, self.entries[who].priority) for who in self.line],
            "entries": {who: (one.status, one.party, one.offers) for who, one in self.entries.items()},
        }


class Real:
    """The same acts on the real thing, by the same names."""

    def __init__(self, model):
        self.session = SessionFactory(capacity=model.capacity)
        RsvpSettings.objects.create(
            event=self.session.event, waitlist_mode=model.mode, fill_gaps=model.fill_gaps, max_offers=MAX_OFFERS
        )
        self.attendees = [AttendeeFactory(event=self.session.event, plus_ones=plus) for plus in model.plus_ones]
        self.number = {one.pk: who for who, one in enumerate(self.attendees)}

    def person(self, who):
        return {"session_id": self.session.pk, "person": self.attendees[who].user_profile}

    def entry(self, who):
        return WaitlistEntry.objects.filter(attendee=self.attendees[who]).latest("joined_at").pk

    def reserve(self, who, seats, waitlist):
        reserving.reserve(**self.person(who), seats=seats, waitlist=waitlist)

    def cancel(self, who):
        reserving.cancel(**self.person(who))

    def join(self, who, party):
        line.join(**self.person(who), party_size=party)

    def leave(self, who):
        line.leave(**self.person(who))

    def accept(self, who):
        line.accept(entry_id=self.entry(who), person=self.attendees[who].user_profile)

    def decline(self, who):
        line.decline(entry_id=self.entry(who), person=self.attendees[who].user_profile)

    def offer(self, who):
        line.offer(entry_id=self.entry(who), actor=None)

    def skip(self, who):
        line.skip(entry_id=self.entry(who), actor=None)

    def prioritize(self, who, priority):
        line.prioritize(entry_id=self.entry(who), actor=None, priority=priority)

    def remove(self, who):
        line.remove(entry_id=self.entry(who), actor=None)

    def take_from(self, who):
        reserving.take_from(rsvp_id=SessionRsvp.objects.get(attendee=self.attendees[who]).pk, actor=None)

    def add_person(self, who, seats):
        sessions.add_person(session_id=self.session.pk, attendee_id=self.attendees[who].pk, actor=None, seats=seats)

    def switch(self, is_open, offers_on):
        line.switch(session_id=self.session.pk, actor=None, is_open=is_open, offers_on=offers_on)

    def resize(self, capacity):
        Session.objects.filter(pk=self.session.pk).update(capacity=capacity)

    def drop(self, who):
        Attendee.objects.filter(pk=self.attendees[who].pk).update(status="removed")

    def readmit(self, who):
        Attendee.objects.filter(pk=self.attendees[who].pk).update(status="active")

    def bring(self, who, plus_ones):
        Attendee.objects.filter(pk=self.attendees[who].pk).update(plus_ones=plus_ones)

    def let_pass(self, who):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE session_waitlist SET "
                "offer_expires_at = clock_timestamp() - interval '1 millisecond', told_at = now() "
                "WHERE id = %s AND status = 'offered' AND offer_expires_at > clock_timestamp()",
                [self.entry(who)],
            )

    def sweep(self):
        line.catch_up()

    def seen(self):
        self.session.refresh_from_db()
        entries = WaitlistEntry.objects.filter(session=self.session)
        waiting, seats = entries.waiting().in_order(), SessionRsvp.objects.confirmed().filter(session=self.session)
        return {
            "capacity": self.session.capacity,
            "seats_taken": self.session.seats_taken,
            "waitlist_length": self.session.waitlist_length,
            "seats": {self.number[pk]: n for pk, n in seats.values_list("attendee", "seats")},
            "line": [(self.number[pk], *one) for pk, *one in waiting.values_list("attendee", "party_size", "priority")],
            "entries": {
                self.number[pk]: tuple(one)
                for pk, *one in entries.order_by("joined_at").values_list(
                    "attendee", "status", "party_size", "offers_made"
                )
            },
        }


who, several = st.integers(0, PEOPLE - 1), st.integers(1, 3)
ACTS = st.one_of(
    st.tuples(st.just("reserve"), who, st.none() | several, st.booleans()),
    st.tuples(st.just("reserve"), who, st.none(), st.just(True)),
    st.tuples(st.sampled_from(["cancel", "leave", "accept", "decline", "let_pass"]), who),
    st.tuples(st.sampled_from(["accept", "cancel", "let_pass"]), who),
    st.tuples(st.just("join"), who, several),
    st.tuples(st.sampled_from(["offer", "skip", "remove", "take_from", "drop", "readmit"]), who),
    st.tuples(st.just("prioritize"), who, st.integers(-1, 2)),
    st.tuples(st.just("add_person"), who, several),
    st.tuples(st.just("bring"), who, st.integers(0, 2)),
    st.tuples(st.just("resize"), st.none() | st.integers(0, 5)),
    st.tuples(st.just("switch"), st.booleans(), st.booleans()),
    st.tuples(st.just("sweep")),
)
NEED_A_PLACE = {"accept", "decline", "offer", "skip", "prioritize", "remove", "let_pass"}


def done(act, *arguments):
    """The code of the refusal; "" where there was none."""
    try:
        with translated(), transaction.atomic():
            act(*arguments)
    except DomainError as error:
        return error.code
    except Refused as refused:
        return str(refused)
    return ""


def same_in_both(capacity, mode, fill_gaps, acts):
    with transaction.atomic():
        model = Model(capacity, mode, fill_gaps, [0, 0, 1, 2, 0])
        real = Real(model)
        for name, *arguments in acts:
            if name in NEED_A_PLACE and arguments[0] not in model.entries:
                continue
            if name == "take_from" and arguments[0] not in model.seats:
                continue
            answer = done(getattr(real, name), *arguments)
            assert (name, answer) == (name, done(getattr(model, name), *arguments))
            found = real.seen()
            assert found == model.seen()
            assert found["capacity"] is None or found["seats_taken"] <= found["capacity"]
            assert not integrity.miscounted().exists()
        real.sweep()
        model.sweep()
        assert real.seen() == model.seen()
        assert not model.offers_on or model.first_fitting() is None
        told = WaitlistLog.objects.filter(session=real.session).order_by("entry", "-pk").distinct("entry")
        now = WaitlistEntry.objects.filter(session=real.session)
        assert set(told.values_list("entry", "to_status")) == set(now.values_list("pk", "status"))
        transaction.set_rollback(True)


examples = given(
    capacity=st.none() | st.integers(0, 3),
    mode=st.sampled_from(["offer", "offer", "auto_confirm"]),
    fill_gaps=st.booleans(),
    acts=st.lists(ACTS, min_size=5, max_size=40),
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@examples
def test_every_order_of_acts_does_as_the_rules_say(db, capacity, mode, fill_gaps, acts):
    same_in_both(capacity, mode, fill_gaps, acts)
