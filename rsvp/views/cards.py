"""Sessions as cards: what stands on one, and the one thing that the person can do about it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import ordinal
from django.utils import timezone
from django.utils.translation import get_language_info, ngettext
from django.utils.translation import gettext as _

from attendance.models import Attendee
from events.models import Event, Session

from ..models import RsvpSettings, RsvpStatus, SessionLine, SessionRsvp, WaitlistStatus
from ..operations import agenda
from ..operations.agenda import Slot


@dataclass(frozen=True)
class Taken:
    """Another session, which the person has a seat in."""

    id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime
    event_id: int


@dataclass
class Card:
    slot: Slot
    event: Event
    now: datetime
    is_known: bool
    """Somebody is signed in."""
    own_seats: int | None
    """What the person may have in any session; None for whoever is no attendee."""
    line_open: bool
    overlaps: list[Taken] = field(default_factory=list)
    told: list = field(default_factory=list)
    """What came of what the person did just now."""
    asks: bool = False
    """Whether they really want to give up what they have."""

    @property
    def shows_overlap(self) -> bool:
        """Where it matters, and nobody has just been told."""
        may = self.state not in ("", "passed") or self.act in ("rsvp", "join")
        return bool(may and self.overlaps) and not any(one.level == messages.WARNING for one in self.told)

    @property
    def most_seats(self) -> int | None:
        """As rsvp.operations.standing has it: not more than the session has, either."""
        if self.own_seats is None or self.slot.capacity is None:
            return self.own_seats
        return min(self.own_seats, max(self.slot.capacity, 1))

    @cached_property
    def state(self) -> str:
        """cancelled, restored (on again, and the seat is gone); in, offer, passed, waiting; or nothing."""
        mine = self.slot.mine
        if self.slot.status == Session.Status.CANCELLED or self.event.status == Event.Status.CANCELLED:
            return "cancelled"
        if mine is None:
            return ""
        if mine.status == RsvpStatus.CONFIRMED:
            return "in"
        if mine.status == WaitlistStatus.OFFERED:
            return "offer" if mine.offer_expires_at > self.now else "passed"
        return "waiting" if mine.status == WaitlistStatus.WAITING else "restored"

    @property
    def language(self) -> str:
        """Its name; what is no code that we know is shown as it is."""
        try:
            return get_language_info(self.slot.language.lower())["name_translated"]
        except KeyError:
            return self.slot.language

    @property
    def place(self) -> str:
        """In line: 2nd."""
        return ordinal(self.slot.mine.position)

    @cached_property
    def has_begun(self) -> bool:
        return self.slot.starts_at <= self.now

    @cached_property
    def is_over(self) -> bool:
        return self.slot.ends_at <= self.now

    @cached_property
    def is_on(self) -> bool:
        return self.has_begun and not self.is_over

    @cached_property
    def act(self) -> str:
        """cancel, answer, leave; rsvp, join; sign_in, come (who is no attendee yet), asked (who waits to be one);
        or nothing."""
        match self.state:
            case "cancelled":
                return ""
            case "in":
                return "" if self.is_over else "cancel"
            case "offer":
                return "answer"
            case "waiting" | "passed":
                return "" if self.has_begun else "leave"
        if self.reason:
            return ""
        if not self.is_known:
            return "sign_in"
        if self.own_seats is None:
            return "asked" if self.event.my_request_status == "pending" else "come"
        return "join" if self.slot.is_full else "rsvp"

    @cached_property
    def reason(self) -> str:
        """Why nobody gets a seat now; rsvp.operations.standing refuses in this order, but for what is over."""
        slot = self.slot
        if self.is_over or self.event.status == Event.Status.COMPLETED:
            return _("Over")
        if self.event.status != Event.Status.PUBLISHED:
            return _("The event isn't open yet.")
        if self.has_begun:
            return _("Under way")
        if slot.rsvp_opens_at and self.now < slot.rsvp_opens_at:
            return _("RSVP opens on {moment}.").format(moment=self._local(slot.rsvp_opens_at))
        if slot.rsvp_closes_at and self.now >= slot.rsvp_closes_at:
            return _("RSVP is closed.")
        if slot.is_full and not self.line_open:
            return _("Nobody can join the line any more.")
        return ""

    @property
    def tone(self) -> str:
        """Of the card's edge."""
        return {"in": "ok", "offer": "warn", "cancelled": "bad"}.get(self.state, "")

    @cached_property
    def bar(self) -> str:
        slot = self.slot
        if self.state == "in":
            return "ok"
        if slot.is_full:
            return "full"
        return "warn" if slot.seats_taken >= 0.9 * slot.capacity else ""

    @property
    def days_on(self) -> int:
        """How many days after it starts it ends, by the event's clock."""
        zone = self.event.zone
        return (self.slot.ends_at.astimezone(zone).date() - self.slot.starts_at.astimezone(zone).date()).days

    @property
    def offer_until(self) -> str:
        """A time of today, or with its day."""
        until = self.slot.mine.offer_expires_at.astimezone(self.event.zone)
        today = self.now.astimezone(self.event.zone).date()
        return until.strftime("%H:%M") if until.date() == today else self._local(until)

    @property
    def seat_choices(self) -> list[tuple[str, str]]:
        """For whoever may have several; what isn't there any more is had by the line."""
        if (self.most_seats or 1) == 1:
            return []
        left, choices = self.slot.seats_left, []
        for number in range(1, self.most_seats + 1):
            words = ngettext("{count} seat", "{count} seats", number).format(count=number)
            if self.slot.is_full or left is None or number <= left:
                choices.append((str(number), words))
            elif self.line_open:
                choices.append((f"line-{number}", _("{seats}, by the line").format(seats=words)))
        return choices if len(choices) > 1 else []

    def _local(self, moment) -> str:
        return moment.astimezone(self.event.zone).strftime("%a %-d %b, %H:%M")


def of(found: list[Slot], *, event: Event, person=None) -> list[Card]:
    """``found`` knows how the person stands to each (agenda.of_event). As many statements for a thousand as for one."""
    attendee = person and Attendee.objects.active().of_person(person).filter(event=event).only("plus_ones").first()
    settings = RsvpSettings.objects.filter(event=event).first() or RsvpSettings(event=event)
    closed = set(SessionLine.objects.filter(session__event=event, is_open=False).values_list("session_id", flat=True))
    most = None
    if attendee:
        most = min(1 + attendee.plus_ones, settings.max_party_size or 1 + attendee.plus_ones)
    taken = taken_by(person, found) if attendee else []
    now = timezone.now()
    cards = []
    for slot in found:
        card = Card(
            slot=slot,
            event=event,
            now=now,
            is_known=person is not None,
            own_seats=most,
            line_open=settings.line_open and slot.id not in closed,
        )
        if not card.is_over and card.state != "cancelled":
            card.overlaps = [one for one in taken if one.id != slot.id and overlap(one, slot)]
        cards.append(card)
    return cards


def taken_by(person, found: Iterable[Slot]) -> list[Taken]:
    """What the person has a seat in while these go on, at whichever event. One statement."""
    found = list(found)
    if not found:
        return []
    rows = SessionRsvp.objects.confirmed().filter(
        attendee__in=Attendee.objects.active().of_person(person),
        session__status=Session.Status.SCHEDULED,
        session__starts_at__lt=max(one.ends_at for one in found) + timedelta(microseconds=1),
        session__ends_at__gt=min(one.starts_at for one in found),
    )
    columns = ("session_id", "session__title", "session__starts_at", "session__ends_at", "event_id")
    return [Taken(*row) for row in rows.order_by("session__starts_at", "session_id").values_list(*columns)]


def overlap(one, other) -> bool:
    return one.starts_at < other.ends_at and one.ends_at > other.starts_at


def of_session(session_id, *, event: Event, person=None) -> Card | None:
    """One session's; None where the event has no such."""
    found = agenda.slots(Session.objects.filter(event=event, pk=session_id))
    if found and person is not None:
        mine = {one.session_id: one for one in agenda.of_person(person, event=event)}
        found[0].mine = mine.get(found[0].id)
    return of(found, event=event, person=person)[0] if found else None
