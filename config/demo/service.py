"""Who asks for help: mechanics on duty and off, requests that wait, sessions that go on, some days of what was done.

Comes after ``attending``: whoever asks is there. Requests are written in bulk, as the database lets anybody, and so
told to nobody. What is open is as old as it was whenever the demo starts, unless people did something about it; then
somebody else asks.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log

from django.db.models import Exists, OuterRef, Subquery
from simple_history.utils import bulk_create_with_history

from attendance.models import Attendee
from config.database import recorded_as
from config.errors import SYSTEM
from events.models import Event, UserProfile
from requests.models import (
    Intake,
    Mechanic,
    RequestStatus,
    ServiceSession,
    ServiceSettings,
    ServiceStatus,
    SessionRequest,
    SessionRequestLog,
    SessionType,
)
from requests.operations import telling

from . import clock, past, texts

KEY = "demo|"
"""Where the keys of the demo's intakes begin."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNATTENDED_AFTER, IDLE_AFTER = 30 * MINUTE, 4 * HOUR
"""Long, so that what waits and what goes on can be looked at for a while."""
SAY = "INSERT INTO service_session_messages (session_id, author_id, body, created_at) VALUES (%s, %s, %s, %s)"
ME, HELPER = "attendee", "mechanic"
"""Of the log-ins."""
PENDING, UNATTENDED, ACCEPTED = RequestStatus.PENDING, RequestStatus.UNATTENDED, RequestStatus.ACCEPTED


@dataclass(frozen=True)
class Help:
    """Who helps in an organisation, with what, and how much they have done."""

    skills: tuple[str, ...]
    plans: tuple[str, ...]
    mechanics: tuple[str, ...]
    """A line each: skills, and whether they are "off" duty, "gone", or at the event that goes on "only". The first is
    of whoever signs in as mechanic@…, the others of guests."""
    done: int


HELP = {
    "demo": Help(
        ("bicycles", "electronics", "projection", "rigging", "sound"),
        ("community", "supporter"),
        ("electronics, projection", "sound", "rigging, bicycles", "bicycles | only", "projection, sound | off",
         "electronics | gone"),
        done=64,
    ),
    "other": Help(
        ("accessibility", "interpreting", "network"),
        ("member",),
        ("network", "interpreting, accessibility", "interpreting | off"),
        done=26,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """A request that is always open, or a session that always goes on. ``age``: minutes since it was asked."""

    organization: str
    name: str
    age: int
    status: str = PENDING
    urgent: bool = False
    skill: str = ""
    type: str = SessionType.CHAT
    of_me: bool = False
    helper: int = 0
    """Who has it, in the order of Help.mechanics."""

    @property
    def concern(self) -> str:
        return texts.CONCERNS[self.name]


SLOTS = (
    Slot("demo", "smoke", 4, urgent=True, skill="electronics"),
    Slot("demo", "chain", 7, skill="bicycles", type=SessionType.IN_PERSON),
    Slot("demo", "adapter", 2),
    Slot("demo", "winch", 43, UNATTENDED, skill="rigging"),
    Slot("demo", "projector", 16, ACCEPTED, skill="projection", of_me=True),
    Slot("demo", "hum", 26, ACCEPTED, skill="sound", helper=1),
    Slot("other", "badge", 5, skill="network"),
    Slot("other", "ramp", 3, urgent=True, skill="accessibility", type=SessionType.IN_PERSON),
    Slot("other", "booth", 19, ACCEPTED, skill="network", type=SessionType.VIDEO),
)


def build(demo):
    for slug in HELP:
        _settings(demo, slug)
        house = _House(demo, slug, _mechanics(demo, slug))
        with recorded_as(SYSTEM, clock.MADE):
            if not _made().filter(organization=house.organization).exists():
                house.work_for_some_days()
            for slot in SLOTS:
                if slot.organization == slug:
                    house.keep(slot)
    past.write_steps(key=KEY, unattended=UNATTENDED_AFTER)


def move(demo):
    """What is over moves along; what is open ``build`` makes as old as it was."""
    over = _made().filter(status__in=RequestStatus.OVER).exclude(Exists(_steps_since(demo)))
    sessions = ServiceSession.objects.filter(pk__in=list(over.values_list("session", flat=True)))
    intakes = Intake.objects.filter(pk__in=list(sessions.values_list("intake", flat=True)))
    stamps = ("created_at", "waiting_since", "accepted_at", "first_accepted_at", "notification_sent_at", "closed_at")
    clock.move_stamps(SessionRequest, over, stamps, demo)
    clock.move_stamps(ServiceSession, sessions, ("created_at", "started_at", "last_activity_at", "ended_at"), demo)
    clock.move_stamps(Intake, intakes, ("created_at",), demo)


def _made():
    return SessionRequest.objects.filter(session__intake__idempotency_key__startswith=KEY)


def _steps_since(demo):
    """What people did with a request since the demo last started; what sweeps did is nobody's doing."""
    return SessionRequestLog.objects.filter(request=OuterRef("pk"), at__gt=demo.anchor, actor__isnull=False)


def _settings(demo, slug):
    organization, plan = demo.organizations[slug], HELP[slug]
    if not ServiceSettings.objects.filter(organization=organization).exists():
        row = ServiceSettings(
            organization=organization,
            unattended_after=UNATTENDED_AFTER,
            idle_after=IDLE_AFTER,
            skills=list(plan.skills),
            plans=list(plan.plans),
        )
        row._history_user, row._change_reason = demo.logins[f"owner@{slug}.example"], clock.MADE
        row.save(force_insert=True)


def _mechanics(demo, slug) -> list[Mechanic]:
    """In the order of the plan. Who of the guests they are is the same each time, and nobody with a long name."""
    organization = demo.organizations[slug]
    people = [demo.logins[f"{HELPER}@{slug}.example"], *demo.guests[slug][-len(HELP[slug].mechanics) + 1 :]]
    found = {one.user_profile_id: one for one in Mechanic.objects.filter(organization=organization)}
    new = []
    for person, line in zip(people, HELP[slug].mechanics, strict=True):
        skills, _bar, standing = line.partition(" | ")
        if person.pk not in found:
            found[person.pk] = Mechanic(
                organization=organization,
                user_profile=person,
                display_name=person.first_name,
                skills=skills.split(", "),
                serves_all=standing != "only",
                active=standing != "gone",
                on_duty=standing in ("", "only"),
            )
            new.append(found[person.pk])
    owner = demo.logins[f"owner@{slug}.example"]
    bulk_create_with_history(new, Mechanic, default_user=owner, default_change_reason=clock.MADE)
    for one in new:
        if not one.serves_all:
            one.events.add(demo.events[f"{slug}:now"])
    return [found[person.pk] for person in people]


@dataclass
class _House:
    """One organisation's requests."""

    demo: object
    slug: str
    mechanics: list[Mechanic]
    people: list[UserProfile] = field(default_factory=list)

    def __post_init__(self):
        self.organization = self.demo.organizations[self.slug]
        self.event: Event = self.demo.events[f"{self.slug}:now"]
        self.now: datetime = self.demo.now
        self.me = self.demo.logins[f"{ME}@{self.slug}.example"]
        self.dice = random.Random(f"{self.slug}, service")
        busy = [self.me.pk, *(one.user_profile_id for one in self.mechanics)]
        there = Attendee.objects.active().filter(event=self.event, user_profile__is_active=True)
        there = there.exclude(user_profile__in=busy).order_by("owner_id").select_related("user_profile")
        self.people = [one.user_profile for one in there]

    # What was done

    def work_for_some_days(self):
        """Most are helped within minutes; some wait long, some need nobody any more."""
        number = HELP[self.slug].done
        working = [one for one in self.mechanics if one.active]
        people = self.dice.sample(self.people, len(self.people))
        ages = sorted((timedelta(hours=1.6) + self.dice.random() ** 1.5 * 6 * DAY for _ in range(number)), reverse=True)
        asked, ends = [], {}
        for place, age in enumerate(ages):
            at, slow, off = self.now - age, place % 9 == 4, place % 11 == 7
            waits = MINUTE * (self.dice.uniform(31, 55) if slow else min(self.dice.lognormvariate(log(3), 0.8), 29))
            mine = place == number - 3
            request = self._row(
                f"day|{place}",
                at,
                # Whoever waits for a moment here does so once.
                self.me if mine else people.pop() if slow or off else self.dice.choice(people),
                concern=self.dice.choice(texts.SMALL_CONCERNS),
                skill=self.dice.choice(("", *HELP[self.slug].skills)),
                urgent=self.dice.random() < 0.2,
                session_type=self.dice.choice(SessionType.values),
            )
            helper = self.dice.choice(working)
            asked.append(request)
            ends[request.pk] = (waits, at + waits + MINUTE * self.dice.uniform(4, 35), helper, off)
            if slow or off:
                request.status = UNATTENDED if slow else PENDING
            else:
                self._take(request, helper, at + waits)
        self._write(asked)
        self._take_late([one for one in asked if one.status == UNATTENDED], ends)
        self._end([one for one in asked if not ends[one.pk][3]], ends, RequestStatus.COMPLETED)
        self._end([one for one in asked if ends[one.pk][3]], ends, RequestStatus.CANCELLED)

    def _take_late(self, requests, ends):
        for one in requests:
            waits, _end, helper, off = ends[one.pk]
            if not off:
                self._take(one, helper, one.created_at + waits)
        self._update(requests)

    def _end(self, requests, ends, status):
        for one in requests:
            one.status = one.session.status = status
            one.closed_at = one.session.ended_at = ends[one.pk][1]
        self._update(requests)

    def _update(self, requests):
        sessions = ["status", "mechanic", "started_at", "last_activity_at", "ended_at"]
        ServiceSession.objects.bulk_update([one.session for one in requests], sessions)
        SessionRequest.objects.bulk_update(requests, ["status", "mechanic", "accepted_at", "closed_at"])

    # What goes on

    def keep(self, slot):
        """As the plan says, whatever the sweeps made of it; by somebody else, where people took it up or ended it."""
        key = f"{KEY}{self.slug}|{slot.name}|"
        made = SessionRequest.objects.filter(session__intake__idempotency_key__startswith=key)
        last = made.select_related("session", "mechanic").order_by("-pk").first()
        helper = self.mechanics[slot.helper] if slot.status == ACCEPTED else None
        if helper and not (helper.active and helper.on_duty):
            return
        if last is None or last.status in RequestStatus.OVER or self._was_touched(last):
            last = self._ask(slot, made.count(), helper)
        self._renew(slot, last, helper)

    def _was_touched(self, request) -> bool:
        said = request.session.messages.filter(created_at__gt=self.demo.anchor)
        return said.exists() or _made().filter(Exists(_steps_since(self.demo)), pk=request.pk).exists()

    def _ask(self, slot, number, helper) -> SessionRequest:
        open_ones = SessionRequest.objects.open().values_list("customer", flat=True)
        place = SLOTS.index(slot) * 3 + number
        free = [one for one in self.people if one.pk not in set(open_ones)]
        customer = self.me if slot.of_me else free[place % len(free)]
        fields = {"concern": slot.concern, "skill": slot.skill, "urgent": slot.urgent, "session_type": slot.type}
        request = self._row(f"{slot.name}|{number}", self.now - slot.age * MINUTE, customer, **fields)
        self._arrange(slot, request, helper)
        self._write([request])
        return request

    def _renew(self, slot, request, helper):
        self._arrange(slot, request, helper)
        request.session.save()
        request.save()
        self._date([request])
        self._say(slot, request, helper)

    def _arrange(self, slot, request, helper):
        """It waited for a fifth of its time, where somebody has it."""
        at = self.now - slot.age * MINUTE
        request.status, request.mechanic, request.accepted_at = slot.status, None, None
        request.created_at = request.waiting_since = at
        request.session.status, request.session.mechanic = ServiceStatus.PENDING, None
        request.told = telling.ORGANIZERS if slot.status == UNATTENDED else telling.ON_DUTY
        request.notification_sent_at = at + timedelta(seconds=2)
        if helper:
            self._take(request, helper, at + MINUTE * slot.age / 5)
            request.session.last_activity_at = self.now - MINUTE
        request.first_accepted_at = request.accepted_at
        request.session.warned_at = None

    def _say(self, slot, request, helper):
        """Anew, as what was said is dated by the database too."""
        lines = texts.CHATS.get(slot.name, ())
        until = self.now - MINUTE
        step = (until - request.accepted_at) / (len(lines) + 1) if lines else None
        rows = [
            (
                request.session_id,
                helper.user_profile_id if number % 2 else request.customer_id,
                body,
                request.accepted_at + step * (number + 1),
            )
            for number, body in enumerate(lines)
        ]
        with past.rewritten() as cursor:
            if cursor is not None:
                cursor.execute("DELETE FROM service_session_messages WHERE session_id = %s", [request.session_id])
                cursor.executemany(SAY, rows)

    # Rows

    def _row(self, name, at, customer, *, concern, skill, urgent, session_type) -> SessionRequest:
        """With its session and intake, none of them written."""
        event = self.event if at >= self.event.starts_at else None
        whose = {"organization": self.organization, "event": event, "customer": customer}
        asked = {"skill": skill, "urgent": urgent}
        plan = self.dice.choice(HELP[self.slug].plans)
        key = f"{KEY}{self.slug}|{name}"
        intake = Intake(**whose, **asked, concern=concern, plan=plan, idempotency_key=key)
        return SessionRequest(
            **whose,
            **asked,
            session=ServiceSession(**whose, intake=intake, type=session_type, plan=plan),
            session_type=session_type,
            plan_code=plan,
            notes=concern,
            customer_name=customer.get_full_name(),
            customer_email=customer.email or "",
            created_at=at,
            waiting_since=at,
            notification_sent_at=at + timedelta(seconds=2),
            told=telling.ORGANIZERS,
        )

    def _take(self, request, helper, at):
        request.status, request.mechanic, request.accepted_at = ACCEPTED, helper, at
        session = request.session
        session.status, session.mechanic = ServiceStatus.LIVE, helper
        session.started_at = session.last_activity_at = at

    def _write(self, requests):
        Intake.objects.bulk_create(one.session.intake for one in requests)
        ServiceSession.objects.bulk_create(one.session for one in requests)
        SessionRequest.objects.bulk_create(requests)
        self._date(requests)

    def _date(self, requests):
        """Session and intake are as old as the request: they stamp themselves."""
        sessions = ServiceSession.objects.filter(pk__in=[one.session_id for one in requests])
        asked = SessionRequest.objects.filter(session=OuterRef("pk")).values("created_at")
        sessions.update(created_at=Subquery(asked))
        asked = SessionRequest.objects.filter(session__intake=OuterRef("pk")).values("created_at")
        Intake.objects.filter(session__in=sessions).update(created_at=Subquery(asked))
