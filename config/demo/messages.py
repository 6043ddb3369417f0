"""What was said, to whom, and how far it got: guest lists with links of every kind, and messages in every state.

Comes after ``attending``: some of it is said to those who came. Messages are made and fanned out by the
operations, as if every channel were set up, in the order in which they were sent; what the providers
made of them, nobody asks here: it is thrown, and dated. Only the link audit stays as it was written.
There is no outcome ``error`` in it: that would need a database that is broken.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.contrib.postgres.functions import TransactionNow
from django.db import connection
from django.db.models import DurationField, F, Min, Q, Value
from simple_history.utils import bulk_create_with_history

from attendance.models import Attendee
from config.errors import lock
from events.models import Event, UserProfile
from messaging.models import Channel, DeliveryStatus, EventGuest, Kind, Message, MessageDelivery, OptOut, PushDevice
from messaging.models import NoticePreference as Preference
from messaging.operations import announcements, guests, inbox, links, opt_outs, planning, preferences, sending
from requests.models import InvitationLink, JoinRequest
from requests.operations import invitations

from . import clock, texts
from .agenda import PLANS
from .names import CULTURES, MAIL_DOMAINS

KEY = "demo|"
"""Where the keys of the demo's messages begin: each is made once, ever."""
IN_APP, PUSH, SMS, EMAIL = Channel.IN_APP, Channel.PUSH, Channel.SMS, Channel.EMAIL
Status = DeliveryStatus
NUMBERS = "+1510555"
"""From the range that is kept for fiction; nobody with an account has this area code."""
SHARED_PHONE = 15
"""The place in each event's range of the number that two people have."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class List:
    """How many lines of an event's guest list are of which kind; by default, a short list."""

    by_email: int = 6
    by_phone: int = 2
    absent: int = 3
    """Linked, but not attending."""
    strangers: int = 6
    unverified: int = 1
    """People whose address is on the list, and who haven't verified it."""
    tricky: bool = False
    """Parked ones, a number that two share, removed ones, links by hand and by invitation."""


LISTS = {
    "demo:over": List(),
    "other:over": List(by_email=4, strangers=4),
    "demo:now": List(by_email=14, by_phone=5, absent=8, strangers=16, unverified=3, tricky=True),
    "other:now": List(by_email=8, by_phone=3, absent=4, strangers=8, unverified=2, tricky=True),
    "demo:next": List(by_email=8, by_phone=3, absent=5, strangers=10, unverified=2),
    "other:next": List(),
}


@dataclass(frozen=True)
class Act:
    """A message of the demo. ``at`` says when it was written or sent; ``until`` how far it got."""

    event: str
    name: str
    at: Callable[[Event, datetime], datetime]
    audience: str
    channels: tuple[str, ...]
    until: str = "sent"
    send_at: Callable[[datetime], datetime] | None = None
    anchor: str = ""
    offset: timedelta | None = None
    picked: int = 0
    """How many guests were picked by hand."""
    rejected: str = ""
    """What the provider said of each text."""

    @property
    def key(self) -> str:
        return f"{KEY}{self.event}|{self.name}"


def _ago(span):
    return lambda event, now: now - span


def _before(span):
    return lambda event, now: event.starts_at - span


def _after(span):
    return lambda event, now: event.ends_at + span


ACTS = (
    Act("demo:over", "welcome", _before(3 * DAY), "everyone", (IN_APP, EMAIL)),
    Act("demo:over", "thanks", _after(30 * HOUR), "present", (IN_APP, EMAIL, PUSH)),
    Act("demo:over", "missed", _after(31 * HOUR), "absent", (IN_APP, EMAIL)),
    Act("other:over", "thanks", _after(30 * HOUR), "present", (IN_APP, EMAIL)),
    Act("demo:now", "welcome", _before(2 * DAY), "everyone", (IN_APP, PUSH, EMAIL)),
    Act("demo:now", "ferry", _ago(11 * HOUR), "invited", (IN_APP, SMS)),
    Act("demo:now", "room", _ago(50 * MINUTE), "present", (IN_APP, PUSH)),
    Act("demo:now", "lost", _ago(20 * MINUTE), "expected", (IN_APP,), until="draft"),
    Act("demo:now", "goodbye", _ago(2 * DAY), "present", (IN_APP, EMAIL), "scheduled", anchor="ends_at",
        offset=2 * HOUR),
    Act("demo:next", "programme", _ago(4 * DAY), "attending", (IN_APP, EMAIL, PUSH)),
    Act("demo:next", "address", _ago(3 * HOUR), "everyone", (IN_APP, SMS, EMAIL), until="stopped"),
    Act("demo:next", "tables", _ago(DAY), "attending", (IN_APP, EMAIL), "scheduled", send_at=lambda now: now + 8 * DAY),
    Act("demo:next", "reminder", _ago(2 * DAY), "everyone", (IN_APP, PUSH), "scheduled", anchor="starts_at",
        offset=-DAY),
    Act("demo:next", "empty", _ago(5 * HOUR), "", (), until="draft"),
    Act("other:now", "welcome", _before(DAY), "everyone", (IN_APP, EMAIL)),
    Act("other:now", "shuttle", _ago(6 * HOUR), "invited", (SMS,)),
    Act("other:next", "rates", _ago(6 * DAY), "picked", (SMS,), picked=3, rejected=texts.NO_SUCH_COUNTRY),
    Act("other:next", "mistake", _ago(2 * DAY), "invited", (IN_APP, EMAIL), until="withdrawn"),
    Act("other:next", "agenda", _ago(HOUR), "attending", (IN_APP, EMAIL), until="draft"),
)  # fmt: skip

LEFT = {
    # What became of what was handed over: (status, per cent, reasons).
    EMAIL: ((Status.SENT, 94, ()), (Status.BOUNCED, 4, texts.BOUNCED_MAIL), (Status.FAILED, 2, texts.FAILED_MAIL)),
    PUSH: ((Status.SENT, 97, ()), (Status.FAILED, 3, texts.FAILED_PUSH)),
    SMS: (
        (Status.DELIVERED, 66, ()),
        (Status.SENT, 12, ()),
        (Status.FAILED, 8, texts.FAILED_SMS),
        (Status.BOUNCED, 8, texts.BOUNCED_SMS),
        (Status.UNKNOWN, 6, texts.UNKNOWN_SMS),
    ),
}
READ = 0.6
"""How many of those who can have read a message."""


def build(demo):
    if Message.objects.filter(key__startswith=KEY).exists():
        return
    _date_notices(demo)
    for slug in demo.organizations:
        _reach(demo, slug)
    for key, kinds in LISTS.items():
        _GuestList(demo, key, demo.events[key], kinds).write()
    acts = [(act.at(demo.events[act.event], demo.now), act) for act in ACTS]
    for moment, act in sorted(acts, key=lambda each: each[0]):
        _Scene(demo, act, moment).play()
    _decide_by_hand(demo)


def move(demo):
    """By the time gone by, whatever the event: what was said three days ago still was."""
    ours = Message.objects.filter(Q(event__external_id__in=PLANS) | Q(key__startswith=KEY))
    gone_by = Value(demo.now - demo.anchor, output_field=DurationField())
    deliveries = MessageDelivery.objects.filter(message__in=ours.values("pk"))
    stamps = ("created_at", "sent_at", "delivered_at", "read_at", "withdrawn_at", "handed_at")
    deliveries.filter(created_at__lte=demo.anchor, updated_at__lte=demo.anchor).update(
        **{name: F(name) + gone_by for name in stamps}
    )
    stamps = ("created_at", "scheduled_at", "started_at", "fanned_out_at", "finished_at", "stopped_at")
    clock.move_stamps(Message, ours, stamps, demo)
    listed = EventGuest.objects.filter(event__external_id__in=PLANS)
    clock.move_stamps(EventGuest, listed, ("created_at", "removed_at"), demo)
    clock.move_stamps(OptOut, _outs(), ("created_at",), demo)
    devices = PushDevice.objects.filter(token__startswith=KEY)
    clock.move_stamps(PushDevice, devices, ("created_at", "seen_at"), demo)


# -- How people are reached ----------------------------------------------------------------------


def _reach(demo, slug):
    """Phones with the app, addresses that want nothing, and how organisers hear of requests."""
    dice = random.Random(f"{slug}, phones")
    owners = [demo.logins[f"attendee@{slug}.example"], *dice.sample(demo.guests[slug], 20)]
    for place, person in enumerate(owners):
        platform = ("ios", "android", "web")[place % 3]
        inbox.register_device(actor=person, token=f"{KEY}{slug}-{place}-{'f' * 120}", platform=platform)
    since = demo.now - 30 * DAY
    PushDevice.objects.filter(token__startswith=f"{KEY}{slug}-").update(created_at=since, seen_at=demo.now - DAY)
    here = demo.events[f"{slug}:now"]
    attendees = Attendee.objects.active().filter(event=here).order_by("user_profile__owner_id")
    verified = attendees.filter(user_profile__email_verified=True, source=Attendee.Source.JOIN_REQUEST)
    for address in verified.values_list("user_profile__email", flat=True)[5:8]:
        opt_outs.opt_out(channel=EMAIL, address=address, source=OptOut.Source.UNSUBSCRIBE, event_id=here.pk)
    opt_outs.opt_out(channel=SMS, address=_number(f"{slug}:now", 2), source=OptOut.Source.STOP)
    _outs().filter(created_at__gt=since).update(created_at=since)
    for name, topic, mode in (
        ("organizer", Preference.Topic.REQUESTS, Preference.Mode.AT_ONCE),
        ("organizer", Preference.Topic.DOOR, Preference.Mode.DIGEST),
        ("owner", Preference.Topic.REQUESTS, Preference.Mode.OFF),
    ):
        person = demo.logins[f"{name}@{slug}.example"]
        preferences.choose(organization_id=demo.organizations[slug].pk, topic=topic, mode=mode, actor=person)


def _outs():
    return OptOut.objects.filter(Q(event__external_id__in=PLANS) | Q(address__startswith=NUMBERS))


def _number(key, place):
    return f"{NUMBERS}{100 + 16 * list(LISTS).index(key) + place:04}"


def _date_notices(demo):
    """The system's own notices about this run's decisions are as old as what they tell, and arrived."""
    told = MessageDelivery.objects.filter(message__in=_fresh_notices().values("pk")).order_by("pk")
    asked, came = defaultdict(dict), defaultdict(dict)
    events = {"event__in": set(told.values_list("event_id", flat=True))}
    for event_id, person_id, moment in JoinRequest.objects.filter(**events, decided_at__isnull=False).values_list(
        "event_id", "user_profile_id", "decided_at"
    ):
        asked[event_id][person_id] = moment
    for event_id, person_id, moment in Attendee.objects.filter(**events).values_list(
        "event_id", "user_profile_id", "created_at"
    ):
        came[event_id][person_id] = moment
    rows = list(told)
    for row in rows:
        moments = (of.get(row.event_id, {}).get(row.user_id) for of in (asked, came))
        row.created_at = row.sent_at = next(filter(None, moments), demo.now - HOUR)
        row.status, row.attempts = Status.SENT, int(row.channel != IN_APP)
    clock.store(MessageDelivery.objects, rows, ["created_at", "sent_at", "status", "attempts"])
    moments = dict(_fresh_notices().annotate(at=Min("deliveries__created_at")).values_list("pk", "at"))
    messages = list(_fresh_notices())
    for message in messages:
        moment = moments[message.pk] or demo.now - HOUR
        message.status, message.created_at = Message.Status.SENT, moment
        message.started_at = message.fanned_out_at = message.finished_at = moment
    fields = ["status", "created_at", "started_at", "fanned_out_at", "finished_at"]
    Message.objects.bulk_update(messages, fields)


def _fresh_notices():
    """Of this transaction."""
    return Message.objects.exclude(kind=Kind.ANNOUNCEMENT).filter(
        event__external_id__in=PLANS, created_at__gte=TransactionNow()
    )


# -- Guest lists ---------------------------------------------------------------------------------


class _GuestList:
    def __init__(self, demo, key, event, kinds):
        self.demo, self.key, self.event, self.kinds = demo, key, event, kinds
        self.dice = random.Random(f"{key}, the list")
        self.organizer = demo.login(event, "organizer")
        self.since = min(demo.now, event.starts_at) - 41 * DAY
        self.lines: list[EventGuest] = []
        self._cast()

    def _cast(self):
        inside = UserProfile.objects.filter(attendances__event=self.event, attendances__status="active")
        self.inside = list(inside.order_by("owner_id").distinct())
        known = {one.pk for one in self.inside}
        self.outside = [one for one in self.demo.guests[self.event.organization.slug] if one.pk not in known]
        phones = UserProfile.objects.filter(phone_verified=True).exclude(phone="").values_list("phone", flat=True)
        self.own_phone = {phone for phone, people in Counter(phones).items() if people == 1}
        for people in (self.inside, self.outside):
            self.dice.shuffle(people)

    def _take(self, people, count, fits):
        taken = [one for one in people if fits(one)][:count]
        for one in taken:
            people.remove(one)
        return taken

    def write(self):
        login = self.demo.login(self.event, "attendee")
        verified, unverified = (lambda one: one.email_verified and one != login), lambda one: not one.email_verified
        callable_ = partial(self._has_own_phone, login)
        if login in self.inside:
            self._line(str(login), email=login.email)
        for one in self._take(self.inside, self.kinds.by_phone, callable_):
            self._line(str(one), phone=one.phone)
        for one in self._take(self.inside, self.kinds.by_email, verified):
            self._line(str(one), email=one.email)
        for one in self._take(self.outside, self.kinds.absent, verified):
            self._line(str(one), email=one.email)
        for one in self._take(self.inside, self.kinds.unverified, unverified):
            self._line(str(one), email=one.email)
        self.strangers = [self._stranger(number) for number in range(self.kinds.strangers)]
        if self.kinds.tricky:
            self._tricky(verified, callable_)
        bulk_create_with_history(self.lines, EventGuest, default_user=self.organizer, default_change_reason=clock.MADE)
        links.match(guest_ids=[one.pk for one in self.lines])
        if self.kinds.tricky:
            self._by_invitation(unverified)
            self._removed()
        EventGuest.objects.filter(event=self.event).update(created_at=self.since)
        EventGuest.history.filter(event_id=self.event.pk).update(created_at=self.since, history_date=self.since)

    def _has_own_phone(self, login, one):
        return one.phone_verified and one.phone in self.own_phone and one != login

    def _line(self, name, **contact) -> EventGuest:
        self.lines.append(EventGuest(event=self.event, guest_name=name, **contact))
        return self.lines[-1]

    def _stranger(self, number) -> EventGuest:
        """Without an account: with an e-mail, a phone, or both."""
        first, last = (self.dice.choice(names.split()) for names in self.dice.choice(CULTURES))
        place, domain = list(LISTS).index(self.key), self.dice.choice(MAIL_DOMAINS)
        email, phone = f"guest.{place}.{number}@{domain}", _number(self.key, number % SHARED_PHONE)
        return self._line(
            f"{first} {last}",
            email=email if number % 3 else None,
            phone=phone if number % 3 != 1 and number < SHARED_PHONE else None,
        )

    def _tricky(self, verified, callable_):
        twice, mail, phone = self._take(self.inside, 3, lambda one: verified(one) and callable_(one))
        self._line(str(twice), email=twice.email)  # two lines, one person
        self._line(f"{twice.first_name} (speaker)", phone=twice.phone)
        self._line(str(mail), email=mail.email, phone=phone.phone)  # one line, two people
        for name in texts.COUPLE:
            self._line(name, phone=_number(self.key, SHARED_PHONE))
        self.left = [self._stranger(number) for number in (101, 103)]

    def _by_invitation(self, unverified):
        """Nobody could have told by an address who this is; the personal link did."""
        [person] = self._take(self.inside, 1, unverified)
        guest = next(one for one in self.strangers if not one.phone)
        link = invitations.invite(guest_id=guest.pk, actor=self.organizer).row
        invitations.accept(token=link.token, person=person)
        InvitationLink.objects.filter(pk=link.pk).update(created_at=self.since)
        InvitationLink.history.filter(id=link.pk).update(created_at=self.since, history_date=self.since)

    def _removed(self):
        for guest in self.left:
            guests.remove(guest_id=guest.pk, actor=self.organizer)
        EventGuest.objects.filter(pk__in=[one.pk for one in self.left]).update(removed_at=self.since + DAY)


def _decide_by_hand(demo):
    """After all was sent: one is known now and gets what they were sent; another was linked to the wrong person."""
    for key, kinds in LISTS.items():
        if not kinds.tricky:
            continue
        event, organizer = demo.events[key], demo.login(demo.events[key], "organizer")
        listed = EventGuest.objects.active().filter(event=event).order_by("pk")
        strangers = listed.filter(user=None, link_outcome=None, email__startswith="guest.")
        inside = UserProfile.objects.filter(attendances__event=event, attendances__status="active", guests=None)
        person = inside.exclude(owner_id__endswith=".example").order_by("owner_id").first()
        guests.link(guest_id=strangers.last().pk, person=person, actor=organizer)
        linked = listed.filter(link_method="email", user__isnull=False, attendee=None).last()
        guests.unlink(guest_id=linked.pk, actor=organizer)


# -- Messages ------------------------------------------------------------------------------------


class _Scene:
    """One message, from its writing to what became of it; what operations stamp with this moment is dated back."""

    def __init__(self, demo, act, moment):
        self.demo, self.act, self.at = demo, act, moment
        self.event = demo.events[act.event]
        self.actor = demo.login(self.event, "organizer")
        self.dice = random.Random(act.key)

    def play(self):
        self._write()
        pk, until = self.message.pk, self.act.until
        if until == "scheduled":
            announcements.schedule(message_id=pk, actor=self.actor)
        elif until != "draft":
            announcements.begin(lock(Message.objects, pk=pk), self.actor, "sent")
            self._over_all_channels()
            sending.fan_out(message_id=pk)
            self._leave(share=0.4 if until in ("stopped", "withdrawn") else 1)
            if until in ("stopped", "withdrawn"):
                announcements.stop(message_id=pk, actor=self.actor)
            if until == "withdrawn":
                announcements.withdraw_rest(message_id=pk, actor=self.actor)
            sending.finish(message_ids=[pk])
        self._date()

    def _write(self):
        subject, body = texts.MESSAGES[self.act.name]
        self.message = Message(
            event=self.event,
            subject=subject,
            body=body,
            channels=list(self.act.channels),
            audience=self.act.audience,
            audience_details=self._picked(),
            scheduled_at=self.act.send_at and self.act.send_at(self.demo.now),
            anchor=self.act.anchor,
            anchor_offset=self.act.offset,
            created_by=self.actor,
            key=self.act.key,
        )
        self.message._history_user, self.message._change_reason = self.actor, clock.MADE
        self.message.save()

    def _picked(self):
        if not self.act.picked:
            return {}
        callable_ = EventGuest.objects.active().filter(event=self.event, phone__isnull=False).order_by("pk")
        return {"guests": [str(pk) for pk in callable_.values_list("pk", flat=True)[: self.act.picked]], "people": []}

    def _over_all_channels(self):
        """Here a channel may not be set up; where this was sent, all were."""
        query, params = planning.of_audience(self.message)
        with connection.cursor() as cursor:
            cursor.execute(planning.PLAN.format(candidates=query) + planning.INSERT, params | {"on": Channel.values})

    def _leave(self, share):
        """What was handed over, and what the providers said; in the app it is at once."""
        rows = list(
            self.message.deliveries.order_by("channel", "guest__guest_name", "user__owner_id", "pk").select_related(
                "user", "message"
            )
        )
        for row in rows:
            row.created_at = row.next_attempt_at = self.at
        away = [row for row in rows if row.channel != IN_APP]
        for row in self.dice.sample(away, round(share * len(away))):
            self._hand_over(row)
        self._read(rows)
        fields = [
            *("status", "attempts", "error", "provider_id", "next_attempt_at"),
            *("created_at", "sent_at", "delivered_at", "handed_at", "read_at"),
        ]
        for row in rows:
            if row.channel == IN_APP:
                row.sent_at = self.at
        clock.store(MessageDelivery.objects, rows, fields)

    def _hand_over(self, row):
        if self.act.rejected:
            row.status, row.error = Status.FAILED, self.act.rejected
        else:
            outcomes = LEFT[row.channel]
            [(row.status, _percent, reasons)] = self.dice.choices(outcomes, [percent for _s, percent, _r in outcomes])
            row.error = self.dice.choice(reasons) if reasons else None
        row.attempts, row.handed_at = 1, self.at + self._some(3 * MINUTE)
        if row.status in Status.ARRIVED:
            row.sent_at = row.handed_at + self._some(2 * timedelta(seconds=1))
            row.provider_id = f"{row.channel}-{self.dice.getrandbits(64):016x}"
        if row.status == Status.DELIVERED:
            row.delivered_at = row.sent_at + self._some(MINUTE)

    def _read(self, rows):
        """By person, in whatever way they got it."""
        login, theirs = self.demo.login(self.event, "attendee"), defaultdict(list)
        for row in rows:
            if row.user_id:
                theirs[row.user_id].append(row)
        for person_id, copies in theirs.items():
            reads = self.at < self.demo.now - DAY if person_id == login.pk else self.dice.random() < READ
            if reads:
                moment = self.at + min(self._some(20 * HOUR), (self.demo.now - self.at) / 2)
                for row in copies:
                    row.read_at = moment
                    if row.channel == IN_APP:
                        row.status, row.delivered_at = Status.DELIVERED, moment

    def _some(self, longest):
        return self.dice.random() * longest

    def _date(self):
        """The deliveries are dated already, but for what was taken back."""
        rows, history = Message.objects.filter(pk=self.message.pk), Message.history.filter(id=self.message.pk)
        self.message.deliveries.exclude(withdrawn_at=None).update(withdrawn_at=self.at + 9 * MINUTE)
        stamps = {"started_at": 0, "fanned_out_at": 0, "stopped_at": 3, "finished_at": 9}
        for each in (rows, history):
            each.update(created_at=self.at - 7 * MINUTE)
            for name, minutes in stamps.items():
                each.exclude(**{name: None}).update(**{name: self.at + minutes * MINUTE})
        history.update(history_date=self.at)
        first = history.order_by("history_id").first()
        history.filter(pk=first.pk).update(history_date=self.at - 7 * MINUTE)
