"""An event's agenda as one person sees it, and a person's own schedule. In a few statements."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import F, Q

from attendance.models import Attendee
from events.models import Event, Session

from ..models import RsvpStatus, SessionRsvp, WaitlistEntry, WaitlistStatus
from . import standing


@dataclass(frozen=True)
class Mine:
    """How a person stands to one session: their seats, or their place in line."""

    session_id: UUID
    status: str
    seats: int
    rsvp_id: UUID | None = None
    entry_id: UUID | None = None
    offer_expires_at: datetime | None = None
    position: int | None = None
    """In line; 1 is next."""


@dataclass
class Slot:
    """A session, as it stands on the agenda."""

    id: UUID
    event_id: int
    title: str
    abstract: str
    session_type: str
    track: str
    language: str
    url: str
    room_id: int | None
    room: str
    starts_at: datetime
    ends_at: datetime
    status: str
    capacity: int | None
    seats_taken: int
    waitlist_length: int
    rsvp_opens_at: datetime | None
    rsvp_closes_at: datetime | None
    updated_at: datetime
    speakers: list[str] = field(default_factory=list)
    mine: Mine | None = None
    conflicts: list[UUID] = field(default_factory=list)

    @property
    def seats_left(self) -> int | None:
        return None if self.capacity is None else self.capacity - self.seats_taken

    @property
    def is_full(self) -> bool:
        """Nobody gets a seat without waiting."""
        return self.waitlist_length > 0 or self.seats_left == 0


COLUMNS = [
    *("id", "event_id", "title", "abstract", "session_type", "track", "language", "url", "room_id"),
    *("starts_at", "ends_at", "status", "capacity", "seats_taken", "waitlist_length"),
    *("rsvp_opens_at", "rsvp_closes_at", "updated_at"),
]


def slots(sessions) -> list[Slot]:
    """Of a queryset of sessions, in the order of time. Two statements."""
    rows = list(sessions.order_by("starts_at", "pk").values(*COLUMNS, room_name=F("room__name")))
    speakers = dict(
        Session.speakers.through.objects.filter(session__in=sessions.order_by().values("pk"))
        .order_by()
        .values("session_id")
        .annotate(names=ArrayAgg("speaker__name", order_by=["speaker__name", "speaker_id"]))
        .values_list("session_id", "names")
    )
    return [
        Slot(**row | {"room": room or "", "speakers": speakers.get(row["id"], [])})
        for row in rows
        for room in [row.pop("room_name")]
    ]


def of_event(
    *,
    event: Event,
    person=None,
    day: date | None = None,
    track: str | None = None,
    room: int | None = None,
    since: datetime | None = None,
) -> list[Slot]:
    """The agenda: of a day by the event's clock, of a track, in a room, or what changed since a moment; with how
    the person stands to each."""
    sessions = Session.objects.filter(event=event)
    if day is not None:
        begins = datetime.combine(day, datetime.min.time(), tzinfo=event.zone)
        sessions = sessions.filter(starts_at__gte=begins, starts_at__lt=_next_day(day, event.zone))
    if track is not None:
        sessions = sessions.filter(track=track)
    if room is not None:
        sessions = sessions.filter(room=room)
    if since is not None:
        sessions = sessions.filter(updated_at__gte=since)
    found = slots(sessions)
    mine = {one.session_id: one for one in of_person(person, event=event)} if person is not None else {}
    for slot in found:
        slot.mine = mine.get(slot.id)
    return found


def deleted(*, event: Event, since: datetime) -> list[UUID]:
    """Sessions that somebody deleted since. Cancelled ones are still on the agenda."""
    gone = Session.history.filter(event_id=event.pk, history_type="-", history_date__gte=since)
    return list(gone.order_by("history_id").values_list("id", flat=True))


def of_session(*, session_id, person) -> Slot | None:
    """One session, as :func:`of_event` has it; None unless the person may see it."""
    seen = Session.objects.filter(pk=session_id, event__in=Event.objects.reachable_by(person))
    for slot in slots(seen):
        slot.mine = next((one for one in of_person(person, event=slot.event_id) if one.session_id == slot.id), None)
        return slot
    return None


def _next_day(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=zone)


def of_person(person, *, event: Event | int | None = None, cancelled: bool = False) -> list[Mine]:
    """Where the person has a seat or waits for one; with ``cancelled``, also the seats that they no longer have
    because the session was cancelled. By the partial index of My Schedule, however many others have."""
    attendees = Attendee.objects.active().of_person(person)
    if event is not None:
        attendees = attendees.filter(event=event)
    ids = list(attendees.values_list("pk", flat=True))
    which = Q(status=RsvpStatus.CONFIRMED)
    if cancelled:
        which |= Q(status=RsvpStatus.CANCELLED, end_reason=SessionRsvp.EndReason.SESSION_CANCELLED)
    seats = SessionRsvp.objects.filter(which, attendee__in=ids).order_by()
    columns = ["session_id", "status", "party_size", "pk", "offer_expires_at"]
    line = list(WaitlistEntry.objects.live().filter(attendee__in=ids).order_by().values_list(*columns))
    waiting = [pk for _session, status, _size, pk, _until in line if status == WaitlistStatus.WAITING]
    places = standing.positions(waiting) if waiting else {}
    return [
        *(Mine(*row) for row in seats.values_list("session_id", "status", "seats", "pk")),
        *(
            Mine(session_id, status, size, entry_id=pk, offer_expires_at=until, position=places.get(pk))
            for session_id, status, size, pk, until in line
        ),
    ]


@dataclass(frozen=True)
class Day:
    """The part of a schedule that begins on a day, by the clock of its event."""

    day: date
    event_id: int
    timezone: str
    slots: list[Slot]


def schedule(person, *, event: Event | None = None) -> list[Day]:
    """My Schedule: at one event, or everywhere. Grouped by day in the time zone of each event.

    ``conflicts`` of a slot: the sessions that the person has a seat in at the same time.
    """
    mine = {one.session_id: one for one in of_person(person, event=event, cancelled=True)}
    found = slots(Session.objects.filter(pk__in=list(mine)))
    for slot in found:
        slot.mine = mine[slot.id]
    mark_conflicts(found)
    zones = dict(Event.objects.filter(pk__in={one.event_id for one in found}).values_list("pk", "timezone"))

    def place(slot):
        return slot.starts_at.astimezone(ZoneInfo(zones[slot.event_id])).date(), slot.event_id

    found.sort(key=lambda slot: (*place(slot), slot.starts_at, slot.id))
    return [Day(day, event_id, zones[event_id], list(group)) for (day, event_id), group in groupby(found, key=place)]


def mark_conflicts(found: Iterable[Slot]) -> None:
    """Each slot with a seat learns which others with a seat overlap it."""
    taken = sorted(
        (one for one in found if one.mine and one.mine.status == RsvpStatus.CONFIRMED), key=lambda one: one.starts_at
    )
    running: list[Slot] = []
    for slot in taken:
        running = [one for one in running if one.ends_at > slot.starts_at]
        for other in running:
            if other.starts_at < slot.ends_at:
                slot.conflicts.append(other.id)
                other.conflicts.append(slot.id)
        running.append(slot)
