"""Who asked, who was let in and who was not; invitations and bans."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.utils import timezone
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from attendance.models import Attendee, Block
from attendance.operations import room
from config.database import write
from config.errors import lock
from events.models import Event, UserProfile
from requests.models import Ban, InvitationLink, JoinRequest
from requests.operations import invitations, join_requests, removals

from . import clock, texts

Status, Source = JoinRequest.Status, Attendee.Source


@dataclass(frozen=True)
class Cast:
    """How many people an event has, by the way they came and how far they got."""

    approved: int = 0
    pending: int = 0
    declined: int = 0
    cancelled: int = 0
    imported: int = 0
    invited: int = 0
    walk_in: int = 0
    drama: bool = False
    """Somebody hidden, blocked, removed, banned, put back to pending, and leaving again."""

    @property
    def size(self) -> int:
        return (
            self.approved + self.pending + self.declined + self.cancelled + self.imported + self.invited + self.walk_in
        )


HOURS = timedelta(hours=3, minutes=30)
"""How long the doors of an event that goes on have been open."""
LATE = timedelta(minutes=40)
"""How long whoever comes has been late there."""
CASTS = {
    "demo:now": Cast(approved=82, pending=14, declined=8, cancelled=6, imported=14, invited=6, walk_in=9, drama=True),
    "demo:over": Cast(approved=48, pending=3, declined=6, cancelled=5, imported=6, invited=2, walk_in=7, drama=True),
    "demo:next": Cast(approved=34, pending=22, declined=5, cancelled=4, invited=3, drama=True),
    "demo:auto": Cast(approved=16),
    "demo:full": Cast(approved=26, pending=9, declined=2),
    "demo:cancelled": Cast(approved=14, pending=6, cancelled=3),
    "demo:unlisted": Cast(approved=9, pending=4),
    "demo:private": Cast(approved=4, pending=2, invited=5),
    "demo:later": Cast(pending=18, cancelled=1),
    "other:now": Cast(approved=40, pending=9, declined=4, cancelled=3, imported=5, invited=3, walk_in=4, drama=True),
    "other:over": Cast(approved=24, declined=3, cancelled=2, walk_in=3),
    "other:next": Cast(approved=20, pending=12, declined=2, cancelled=2, drama=True),
    "other:full": Cast(approved=24),
    "other:cancelled": Cast(approved=5, pending=3),
    "other:unlisted": Cast(approved=7, pending=2),
    "other:private": Cast(approved=3, invited=2),
}
ATTENDEE_IS = {
    "over": Status.APPROVED,
    "now": Status.APPROVED,
    "next": Status.APPROVED,
    "later": Status.PENDING,
    "unlisted": Status.PENDING,
}
"""What attendee@… is to the events of their organisation, by the last part of the key."""


def build(demo):
    for key, cast in CASTS.items():
        event = demo.events[key]
        if key in demo.fresh:
            _Scene(demo, key, lock(Event.objects.select_related("organization"), pk=event.pk), cast).play()


def move(demo):
    ours = {"event__external_id__in": CASTS}
    for model, fields in (
        (JoinRequest, ("created_at", "decided_at")),
        (Attendee, ("created_at", "hidden_at", "looking_for_updated_at")),
        (InvitationLink, ("created_at", "expires_at", "revoked_at")),
        (Ban, ("created_at",)),
    ):
        clock.move_stamps(model, model.objects.filter(**ours), fields, demo)


class _Scene:
    """One event's people. Everything is done by the operations, mostly for many at once; what they
    stamp with this moment is dated back at the end."""

    def __init__(self, demo, key, event, cast):
        self.event, self.cast, self.key = event, cast, key
        self.dice = random.Random(key)
        self.owner, self.organizer, self.door = (demo.login(event, name) for name in ("owner", "organizer", "door"))
        self.begins = min(demo.now, event.starts_at) - timedelta(days=42)
        self.goes_on = event.starts_at <= demo.now < event.ends_at
        # Doors open before an event begins: the conference's first day is today, at whatever hour it is made.
        self.closes = min(demo.now - HOURS if self.goes_on else demo.now, event.starts_at)
        self.ends = min(demo.now, event.ends_at)
        self.moments: dict[object, list[datetime]] = {}
        """By primary key of a request or attendee: when each record of its history shall have been made."""
        self.login = demo.login(event, "attendee")
        self.people = self._people(demo.guests[event.organization.slug])

    def _people(self, guests) -> Iterator[UserProfile]:
        """As many as the cast has; those with unusual names are at the event that goes on now."""
        known = guests[:12] if self.key.endswith(":now") else []
        people = known + self.dice.sample(guests[len(known) :], self.cast.size - len(known))
        self.dice.shuffle(people)
        return iter(people)

    def _some(self, count):
        return list(islice(self.people, count))

    def play(self):
        self._import_and_invite()
        self._ask_and_decide()
        self._walk_in()
        attendees = self._looking_for()
        if self.cast.drama:
            self._drama(attendees)
        self._date()

    # The ways in

    def _import_and_invite(self):
        self._let_in(self._some(self.cast.imported), Source.IMPORT, self.organizer, self._before)
        if self.cast.invited:
            for link, people in self._links():
                for person in people:
                    attendee = invitations.accept(token=link.token, person=person).row
                    self._remember(attendee, self._before())
        self.event.refresh_from_db(fields=["seats_taken"])

    def _links(self):
        """The private event has one of every kind; ``expired`` and ``revoked`` ones end when all are in."""
        people = self._some(self.cast.invited)
        if self.key != "demo:private":
            yield self._link("Friends of the house", max_uses=50), people
            return
        yield self._link("Members", max_uses=30, expires_at=self.closes + timedelta(days=20)), people[:2]
        yield self._link("Speakers", max_uses=2), people[2:4]
        revoked = self._link("Old mailing list")
        yield revoked, people[4:]
        invitations.revoke(link_id=revoked.pk, actor=self.owner)
        InvitationLink.objects.filter(pk=revoked.pk).update(revoked_at=self.closes - timedelta(days=3))
        self._link("Early birds", expires_at=self.closes - timedelta(days=7))

    def _link(self, label, **limits):
        link = InvitationLink(event=self.event, label=label, created_by=self.organizer, **limits)
        link._history_user, link._history_date, link._change_reason = self.organizer, self.begins, clock.MADE
        link.save()
        InvitationLink.objects.filter(pk=link.pk).update(created_at=self.begins)
        return link

    def _walk_in(self):
        since, until = self.ends - timedelta(hours=3), self.ends
        if self.goes_on:
            until -= LATE
        else:
            since = max(self.event.starts_at, since)
        self._let_in(
            self._some(self.cast.walk_in),
            Source.WALK_IN,
            self.door,
            lambda: since + self.dice.random() * (until - since),
        )

    def _let_in(self, people, source, actor, moment):
        admissions = [room.Admission(one.pk, one.owner_id) for one in people]
        for row in room.let_in(event=self.event, admissions=admissions, source=source, actor=actor):
            self._remember(row, moment())

    # Requests and decisions

    def _ask_and_decide(self):
        if self.event.approval_mode == Event.ApprovalMode.AUTO:
            return self._ask_and_be_let_in()
        wanted = [
            status
            for status in (Status.APPROVED, Status.PENDING, Status.DECLINED, Status.CANCELLED)
            for _ in range(getattr(self.cast, status))
        ]
        self.dice.shuffle(wanted)
        people = self._some(len(wanted))
        standing = ATTENDEE_IS.get(self.key.partition(":")[2])
        if standing:
            people[wanted.index(standing)] = self.login
        requests = self._ask(people)
        self._decide(list(zip(requests, wanted, strict=True)))
        return None

    def _ask_and_be_let_in(self):
        for moment, person in zip(self._moments_of_asking(self.cast.approved), self.people, strict=False):
            plus_ones = min(self._plus_ones(), self.event.max_plus_ones)
            request = join_requests.send(
                event_id=self.event.pk, person=person, plus_ones=plus_ones, comments=self._comment()
            ).row
            self.moments[request.pk] = [moment]
            for attendee in Attendee.objects.filter(join_request=request):
                self._remember(attendee, moment)

    def _ask(self, people) -> list[JoinRequest]:
        requests = []
        for moment, person in zip(self._moments_of_asking(len(people)), people, strict=True):
            request = JoinRequest(
                event=self.event,
                user_profile=person,
                owner_id=person.owner_id,
                plus_ones=self._plus_ones(),
                comments=self._comment(),
            )
            request._history_user = person
            self.moments[request.pk] = [moment]
            requests.append(request)
        bulk_create_with_history(requests, JoinRequest)
        for request in requests:
            del request._history_user  # the next record is the decider's
        return requests

    def _decide(self, wanted):
        """Set-based, as one commit of an organiser's selection would be; two organisers share the work."""
        groups = defaultdict(list)
        for request, status in wanted:
            if status == Status.APPROVED and not self._fits(request):
                continue
            if status != Status.PENDING:
                groups[status, request.user_profile if status == Status.CANCELLED else self._decider()].append(request)
        for (status, actor), requests in groups.items():
            decided = status in Status.DECIDED
            for request in requests:
                asked = self.moments[request.pk][0]
                moment = min(asked + self._while(days=3), self.closes)
                self.moments[request.pk] = [asked, moment, min(moment + self._while(days=4), self.closes)]
                request.status = status
                if decided:
                    request.decided_by, request.decided_at = actor, moment
                    request.decision_note = self._note(status)
            decision = ["status", "decided_by", "decided_at", "decision_note"]
            write(requests, decision, actor=actor, reason=str(status.label))
            if status == Status.APPROVED:
                self._admit(requests, actor)

    def _admit(self, requests, actor):
        admissions = [room.Admission(one.user_profile_id, one.owner_id, one.plus_ones, one.pk) for one in requests]
        rows = room.let_in(
            event=self.event, admissions=admissions, source=Source.JOIN_REQUEST, actor=actor, reason="approved"
        )
        for row in rows:
            self._remember(row, self.moments[row.join_request_id][1])

    def _fits(self, request) -> bool:
        """Whether there is a place; a party too large for the last ones comes with fewer."""
        if self.event.capacity is None:
            return True
        self.spoken_for = getattr(self, "spoken_for", self.event.seats_taken)
        left = self.event.capacity - self.spoken_for
        if left <= request.plus_ones:
            return False
        self.spoken_for += 1 + request.plus_ones
        return True

    def _decider(self):
        return self.owner if self.dice.random() < 0.3 else self.organizer

    # In the room

    def _looking_for(self) -> list[Attendee]:
        attendees = list(Attendee.objects.filter(event=self.event).order_by("pk").select_related("user_profile"))
        filled = [one for one in attendees if self.dice.random() < 0.75]
        for one in filled:
            one.goals = self.dice.choice(texts.GOALS)
            one.looking_for = self.dice.choice(texts.LOOKING_FOR)
            one.rsvp_contact = one.user_profile.email if self.dice.random() < 0.5 else ""
            one.company_website = f"https://{self.dice.choice(texts.INTERESTS)}-{self.dice.randrange(90)}.example/"
            one.match_profile = {
                "interests": self.dice.sample(texts.INTERESTS, 3),
                "languages": self.dice.sample(texts.LANGUAGES, 2),
            }
            one.visibility_enabled = self.dice.random() > 0.07 or one.user_profile == self.login
            one.notifications_enabled = self.dice.random() > 0.1
            one.looking_for_updated_at = timezone.now()
            one._history_user = one.user_profile
        fields = ["visibility_enabled", "notifications_enabled", "looking_for_updated_at", *room.LOOKING_FOR]
        bulk_update_with_history(filled, Attendee, fields)
        return attendees

    def _drama(self, attendees):
        asked = [one for one in attendees if one.join_request_id and one.user_profile != self.login]
        hidden, blocker, blocked, removed, banned, reopened, left, *_ = self.dice.sample(asked, 7)
        room.hide(attendee_id=hidden.pk, actor=self.organizer)
        room.block(attendee_id=blocker.pk, blocked_id=blocked.pk)
        removals.remove(attendee_id=removed.pk, actor=self.organizer, reason=texts.REMOVED)
        removals.ban(attendee_id=banned.pk, actor=self.owner, reason=texts.BANNED)
        join_requests.reopen(request_id=reopened.join_request_id, actor=self.organizer)
        join_requests.cancel(request_id=left.join_request_id, actor=left.user_profile)
        waiting = JoinRequest.objects.pending().filter(event=self.event).exclude(user_profile=self.login)
        if applicant := waiting.order_by("pk").last():
            removals.ban_applicant(request_id=applicant.pk, actor=self.owner, reason=texts.BANNED_APPLICANT)

    # Dice

    def _moments_of_asking(self, count) -> list[datetime]:
        """More of them lately, in order."""
        span = self.closes - self.begins
        return sorted(self.closes - timedelta(minutes=2) - self.dice.random() ** 2 * span for _ in range(count))

    def _before(self) -> datetime:
        return self.begins + self.dice.random() * (self.closes - self.begins)

    def _while(self, days) -> timedelta:
        return timedelta(minutes=10) + self.dice.random() ** 2 * timedelta(days=days)

    def _plus_ones(self) -> int:
        return min(self.dice.choice((0, 0, 0, 0, 1, 1, 2, 3)), self.event.max_plus_ones)

    def _comment(self) -> str:
        luck = self.dice.random()
        if luck < 0.03:
            return texts.LONG_COMMENT
        return self.dice.choice(texts.COMMENTS) if luck < 0.7 else ""

    def _note(self, status) -> str | None:
        notes = texts.APPROVED_NOTES if status == Status.APPROVED else texts.DECLINED_NOTES
        return self.dice.choice(notes) or None

    # Dates

    def _remember(self, attendee, came):
        later = min(came + self._while(days=6), self.ends)
        self.moments[attendee.pk] = [came, later, min(later + self._while(days=4), self.ends)]

    def _date(self):
        self._date_rows(JoinRequest, ("decided_at",))
        self._date_rows(Attendee, ("looking_for_updated_at", "hidden_at"))
        Ban.objects.filter(event=self.event).update(created_at=self.closes)
        Block.objects.filter(attendee__event=self.event).update(created_at=self.closes)

    def _date_rows(self, model, fields):
        """The operations' stamps, and those of the history, become the moments that were thrown."""
        records = defaultdict(list)
        for record in model.history.filter(event_id=self.event.pk).order_by("history_id"):
            records[record.id].append(record)
        rows = list(model.objects.filter(event=self.event))
        for row in rows:
            moments = self.moments[row.pk]
            stamps = {"created_at": moments[0]}
            for number, record in enumerate(records[row.pk]):
                record.history_date = moments[min(number, len(moments) - 1)]
                for name in fields:
                    if getattr(record, name):
                        stamps.setdefault((name, getattr(record, name)), record.history_date)
            for one in (row, *records[row.pk]):
                one.created_at = moments[0]
                for name in fields:
                    setattr(one, name, stamps.get((name, getattr(one, name))))
        clock.store(model.objects, rows, ["created_at", *fields])
        clock.store(
            model.history, [one for each in records.values() for one in each], ["created_at", "history_date", *fields]
        )
