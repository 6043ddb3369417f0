"""Demo data: the product alive, whatever the day.

Every module here makes its part of it where that is missing (``build``) and moves what it made
along with the clock (``move``): a second run adds nothing and keeps what people did meanwhile.
A new app adds its module to MODULES, below those that it builds on. ``attending`` completes the events
that are over: whatever lets people in stands above it.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from attendance.models import Attendee
from config.errors import translated
from events.importers import Schedule
from events.models import Event, Organization, Session, UserProfile
from messaging.models import EventGuest, Message, MessageDelivery
from requests.models import JoinRequest, Mechanic, RequestStatus, SessionRequest
from rsvp.models import SessionRsvp, WaitlistEntry

from . import agenda, attending, clock, joining, messages, people, seats, service

MODULES = (people, agenda, joining, attending, seats, messages, service)


@dataclass
class Demo:
    """What the modules share. ``anchor``: the moment that existing data is relative to."""

    now: datetime
    anchor: datetime | None
    schedule: Schedule | None = None
    organizations: dict[str, Organization] = field(default_factory=dict)
    logins: dict[str, UserProfile] = field(default_factory=dict)
    """By e-mail address."""
    guests: dict[str, list[UserProfile]] = field(default_factory=dict)
    """By organisation's slug."""
    events: dict[str, Event] = field(default_factory=dict)
    """By key ("demo:now", config.demo.agenda); what people deleted comes back."""
    fresh: set[str] = field(default_factory=set)
    """Keys of the events that this run has made."""

    def login(self, event: Event, name: str) -> UserProfile:
        """The person who signs in as ``name`` of the event's organisation."""
        return self.logins[f"{name}@{event.organization.slug}.example"]


def build(*, now: datetime | None = None, schedule: Schedule | None = None) -> Demo:
    """Makes or moves the demo data, all or nothing. Raises DomainError."""
    with translated(), transaction.atomic():
        demo = Demo(now=now or timezone.now(), anchor=clock.anchor(), schedule=schedule)
        if demo.anchor:
            for module in MODULES:
                module.move(demo)
        for module in MODULES:
            module.build(demo)
        agenda.close(demo)
        # What operations have just written is not what people did since.
        clock.set_anchor(max(demo.now, timezone.now()))
    return demo


def summary(demo: Demo) -> list[str]:
    """A line an event, and the sums."""
    lines = []
    for organization in demo.organizations.values():
        lines.append(f"{organization} ({organization.slug})")
        for event in Event.objects.filter(organization=organization, external_id__in=demo.events).order_by("starts_at"):
            taken = f"{event.seats_taken} of {event.capacity}" if event.capacity else event.seats_taken
            places = f"{taken} places"
            pending = JoinRequest.objects.pending().filter(event=event).count()
            expected = Attendee.objects.in_room(event)
            came = f"{expected.here().count()} of {expected.count()} came" if expected.here().exists() else ""
            day = f"{event.starts_at.astimezone(event.zone):%a %-d %b %H:%M}"
            line = f"  {day}  {event.title:34.34} {event.status:10} {places:18} {f'{pending} pending':11} {came}"
            lines.append(line.rstrip())
    lines.append(
        f"{UserProfile.objects.count()} people, {JoinRequest.objects.count()} join requests, "
        f"{Attendee.objects.active().count()} attendees in {Event.objects.count()} events."
    )
    lines.append(
        f"{SessionRsvp.objects.confirmed().count()} RSVPs in {Session.objects.count()} sessions, "
        f"{WaitlistEntry.objects.waiting().count()} people in lines, "
        f"{WaitlistEntry.objects.offered().count()} offered a seat."
    )
    lines.append(
        f"{EventGuest.objects.count()} guests on lists, {Message.objects.count()} messages, "
        f"{MessageDelivery.objects.count()} deliveries."
    )
    asked = SessionRequest.objects
    lines.append(
        f"{Mechanic.objects.on_duty().count()} mechanics on duty, {asked.open().count()} requests waiting for one, "
        f"{asked.filter(status=RequestStatus.ACCEPTED).count()} in progress, "
        f"{asked.filter(status=RequestStatus.COMPLETED).count()} done."
    )
    return lines
