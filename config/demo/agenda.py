"""The events and their agendas: one over, one going on, some to come, full, cancelled, draft, private."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.utils.text import slugify
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from events.importers import Schedule, read_schedule
from events.models import Event, Room, Session
from events.operations import schedules

from . import clock

CONFERENCE = Path(__file__).with_name("conference.json")
EVERY_DAY = "10:00 60 Hall Opening|11:30 90 Studio Hands-on session|14:00 45 Hall In conversation|15:00 60 Hall Closing"


@dataclass(frozen=True)
class Plan:
    """An event of the demo. ``day`` counts from today; ``agenda`` is "HH:MM minutes room title|…"."""

    key: str
    title: str
    venue: str
    timezone: str
    day: int
    starts: str = "10:00"
    hours: int = 8
    capacity: int | None = None
    max_plus_ones: int = 2
    approval_mode: str = Event.ApprovalMode.MANUAL
    visibility: str = Event.Visibility.PUBLIC
    status: str = Event.Status.PUBLISHED
    late_after: int | None = None
    """Minutes."""
    description: str = ""
    agenda: str = ""

    @property
    def organization(self) -> str:
        return self.key.partition(":")[0]


CONFERENCE_KEY = "demo:now"
AUTO, UNLISTED, PRIVATE = Event.ApprovalMode.AUTO, Event.Visibility.UNLISTED, Event.Visibility.PRIVATE
COMPLETED, CANCELLED, DRAFT = Event.Status.COMPLETED, Event.Status.CANCELLED, Event.Status.DRAFT

EVENTS = (
    # Title, venue, zone and description of this one come from the schedule.
    Plan(CONFERENCE_KEY, "", "", "", day=0, capacity=240, max_plus_ones=3),
    Plan("demo:over", "Makers at the Quay", "Grain Store, Amsterdam", "Europe/Amsterdam", -20, capacity=120,
         status=COMPLETED, late_after=45, agenda=EVERY_DAY,
         description="A day of open workbenches. Thank you all for coming."),
    Plan("demo:next", "Night of Prototypes", "Pier 9 Depot, New York", "America/New_York", 12, "18:00", 6, capacity=90,
         agenda="18:30 30 Depot Welcome|19:00 60 Depot Ten prototypes, ten tables|20:15 45 Annex Solder corner"
                "|21:30 60 Depot Awards and noise",
         description="Bring what doesn't work yet. Tables, power and honest opinions are provided."),
    Plan("demo:auto", "Morning Paddle", "Slipway, Auckland", "Pacific/Auckland", 5, "06:30", 3, capacity=40,
         max_plus_ones=1, approval_mode=AUTO,
         description="Out at sunrise, back for breakfast. Places go to whoever asks first."),
    Plan("demo:full", "Lighthouse Supper Club", "Old Lighthouse, Salvador", "America/Bahia", 9, "19:30", 4, capacity=30,
         description="One table, thirty chairs."),
    Plan("demo:cancelled", "Open-Air Cinema on the Pier", "Long Pier, Lagos", "Africa/Lagos", 6, "20:00", 3,
         capacity=200, status=CANCELLED,
         description="Called off: the projector has been promised to a wedding."),
    Plan("demo:draft", "Volunteers' Assembly", "The Ropeworks, Lisbon", "Europe/Lisbon", 40, status=DRAFT),
    Plan("demo:unlisted", "Patrons' Preview", "Warehouse 3, Yokohama", "Asia/Tokyo", 16, "17:00", 3, capacity=60,
         visibility=UNLISTED),
    Plan("demo:private", "Collective Retreat", "Monastery of the Cape, Syros", "Europe/Athens", 30, "12:00", 52,
         capacity=40, max_plus_ones=1, visibility=PRIVATE,
         description="Three days without slides. By invitation."),
    Plan("demo:later", "Harbour Week", "Ferry Wharf, Kochi", "Asia/Kolkata", 75, "09:00", 105, agenda=EVERY_DAY,
         description="Five days on the water. Requests are open, decisions come later."),
    Plan("other:now", "Meridian Open House", "Observatory Hill, Nairobi", "Africa/Nairobi", -1, "10:00", 60,
         capacity=150, agenda=EVERY_DAY, description="Three days of open doors."),
    Plan("other:over", "Meridian Debates", "Town Hall, Edinburgh", "Europe/London", -33, "10:00", 7, capacity=80,
         status=COMPLETED, late_after=30, agenda=EVERY_DAY),
    Plan("other:next", "Forum of Small Cities", "Teatro del Sur, Santiago", "America/Santiago", 19, "09:30", 32,
         capacity=100, agenda=EVERY_DAY, description="Mayors, planners and the people who know better."),
    Plan("other:full", "Rooftop Observatory", "Dome Two, Denver", "America/Denver", 4, "21:00", 3, capacity=18,
         max_plus_ones=1, approval_mode=AUTO, description="Eighteen people see Saturn. The rest may hope."),
    Plan("other:cancelled", "River Swim", "Bathing House, Basel", "Europe/Zurich", 8, "08:00", 4, status=CANCELLED),
    Plan("other:draft", "Evening Lectures", "Reading Room, Tallinn", "Europe/Tallinn", 60, status=DRAFT),
    Plan("other:unlisted", "Donors' Evening", "Garden Hall, Singapore", "Asia/Singapore", 14, "18:30", 3,
         visibility=UNLISTED),
    Plan("other:private", "Board Meeting", "Room 4, Nairobi", "Africa/Nairobi", 21, "14:00", 3, capacity=20,
         visibility=PRIVATE),
)  # fmt: skip
PLANS = {plan.key: plan for plan in EVENTS}


def build(demo):
    demo.events = {one.external_id: one for one in _made().select_related("organization")}
    for plan in EVENTS:
        if plan.key not in demo.events:
            event = _conference(demo, plan) if plan.key == CONFERENCE_KEY else _event(demo, plan)
            demo.events[plan.key] = event
            demo.fresh.add(plan.key)
    event = demo.events[CONFERENCE_KEY]
    if demo.schedule or not event.sessions.exists():
        demo.events[CONFERENCE_KEY] = _import(demo, event)


def move(demo):
    for event in _made():
        zone = event.zone
        days = clock.days_between(demo.anchor, demo.now, zone)
        rows, sessions = Event.objects.filter(pk=event.pk), Session.objects.filter(event=event)
        clock.move_agenda(rows, Event.history.filter(id=event.pk), days, zone)
        clock.move_agenda(sessions, Session.history.filter(event_id=event.pk), days, zone)
    clock.move_stamps(Event, _made(), ("created_at",), demo)


def close(demo):
    """The status that each new event shall have: last of all, as nobody gets into an event that is over."""
    for key in sorted(demo.fresh):
        event = Event.objects.select_related("organization").get(pk=demo.events[key].pk)
        if event.status != PLANS[key].status:
            event.status = PLANS[key].status
            event._history_user, event._change_reason = demo.login(event, "owner"), clock.MADE
            event.save(update_fields=["status"])
        demo.events[key] = event


def _made():
    return Event.objects.filter(external_id__in=PLANS)


def _event(demo, plan):
    zone = ZoneInfo(plan.timezone)
    today = demo.now.astimezone(zone).date()
    first = datetime.combine(today + timedelta(days=plan.day), time.fromisoformat(plan.starts), zone).astimezone(UTC)
    event = _save(demo, plan, plan, first, first + timedelta(hours=plan.hours), clock.MADE)
    _agenda(event, plan)
    return event


def _save(demo, plan, told, starts, ends, reason):
    """``told`` (the plan, or the schedule) says title, description, venue and zone."""
    event = Event(
        organization=demo.organizations[plan.organization],
        external_id=plan.key,
        slug=_free_slug(slugify(told.title) or "conference"),
        title=told.title[:300],
        description=told.description,
        venue=told.venue[:300],
        timezone=told.timezone or "UTC",
        starts_at=starts,
        ends_at=ends,
        capacity=plan.capacity,
        max_plus_ones=plan.max_plus_ones,
        approval_mode=plan.approval_mode,
        late_after=None if plan.late_after is None else timedelta(minutes=plan.late_after),
        visibility=plan.visibility,
        status=Event.Status.PUBLISHED,
    )
    made = min(demo.now, starts) - timedelta(days=50)
    event._history_user, event._change_reason, event._history_date = demo.login(event, "owner"), reason, made
    event.save()
    Event.objects.filter(pk=event.pk).update(created_at=made)
    del event._history_date
    return event


def _free_slug(wanted):
    wanted = wanted[:70]
    taken = set(Event.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for slug in (wanted, *(f"{wanted}-{n}" for n in range(2, 10_000))) if slug not in taken)


def _agenda(event, plan):
    """The plan's lines, on each of the event's days."""
    zone, rooms, sessions = event.zone, {}, []
    first, last = (moment.astimezone(zone).date() for moment in (event.starts_at, event.ends_at))
    days = (last - first).days + 1
    for number in range(days if plan.agenda else 0):
        for line in plan.agenda.split("|"):
            start, minutes, room, title = line.split(" ", 3)
            if room not in rooms:
                rooms[room] = Room.objects.create(event=event, name=room, capacity=24 if rooms else 80)
            day = first + timedelta(days=number)
            starts = datetime.combine(day, time.fromisoformat(start), zone).astimezone(UTC)
            session = Session(
                event=event,
                title=f"{title}, day {number + 1}" if days > 1 else title,
                room=rooms[room],
                starts_at=starts,
                ends_at=starts + timedelta(minutes=int(minutes)),
                capacity=rooms[room].capacity if rooms[room].capacity < 80 else None,
            )
            if session.ends_at <= event.ends_at:
                sessions.append(session)
    bulk_create_with_history(sessions, Session, default_change_reason=clock.MADE)


# -- the conference ------------------------------------------------------------------------------


def _conference(demo, plan):
    schedule = _schedule(demo)
    # As if imported: a later import of another schedule then renames the event.
    return _save(demo, plan, schedule, *_window(schedule), schedules.IMPORTED)


def _schedule(demo) -> Schedule:
    return clock.shifted(demo.schedule or read_schedule(CONFERENCE), demo.now)


def _window(schedule):
    """Whole days on the zone's clock, so that the conference goes on from midnight to midnight."""
    zone = ZoneInfo(schedule.timezone or "UTC")
    first = min(one.starts_at for one in schedule.sessions).astimezone(zone).date()
    last = max(one.ends_at for one in schedule.sessions).astimezone(zone).date()
    midnight, end = (datetime.combine(day, time.min, zone) for day in (first, last + timedelta(days=1)))
    return midnight.astimezone(UTC), end.astimezone(UTC)


def _import(demo, event):
    schedule, owner = _schedule(demo), demo.login(event, "owner")
    another = not event.sessions.filter(external_id__in=[one.external_id for one in schedule.sessions]).exists()
    if another:
        told = {"title": schedule.title[:300], "description": schedule.description, "venue": schedule.venue[:300]}
        _change(event, told, owner)
    schedules.import_schedule(organization=event.organization, schedule=schedule, actor=owner, event_id=event.pk)
    event = Event.objects.select_related("organization").get(pk=event.pk)
    _change(event, dict(zip(("starts_at", "ends_at"), _window(schedule), strict=True)), owner)
    if another:
        _limit_sessions(event, owner)
    return event


def _change(event, values, actor):
    changed = [name for name, value in values.items() if getattr(event, name) != value]
    if changed:
        for name in changed:
            setattr(event, name, values[name])
        event._history_user, event._change_reason = actor, schedules.IMPORTED
        event.save(update_fields=changed)


def _limit_sessions(event, actor):
    """Workshops hold as many as their room, and so does every fourth of the other sessions."""
    sessions = event.sessions.exclude(session_type__in=("Break", "Social")).select_related("room")
    limited = []
    for number, session in enumerate(sessions.order_by("starts_at", "external_id")):
        if "workshop" in session.session_type.lower() or number % 4 == 0:
            session.capacity = (session.room and session.room.capacity) or 40
            limited.append(session)
    bulk_update_with_history(limited, Session, ["capacity"], default_user=actor, default_change_reason=clock.MADE)
