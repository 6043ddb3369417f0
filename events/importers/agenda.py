"""Where a format module puts what it finds: the rules that hold for every format."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .base import (
    LONGEST_SESSION,
    BadItem,
    Problem,
    RoomItem,
    Schedule,
    ScheduleError,
    SessionItem,
    SpeakerItem,
    line,
    link,
    read_time,
    text,
    zone_named,
)

MAX_ID = 200

PUBLIC_STATES = {"", "accepted", "confirmed", "approved", "published", "scheduled", "delayed"}

_WORD = r"cancell?ed"
_CANCELLED = re.compile(
    rf"^\W*{_WORD}\W*$"  # nothing else
    rf"|^\W*{_WORD}\s*(?:[\])}}*:–—|]|-+\s)"  # CANCELLED - …, Canceled: …, [cancelled] …
    rf"|^\W*(?-i:CANCELL?ED)\s"  # CANCELLED …
    rf"|[\[({{*]\s*{_WORD}\s*[\])}}*]\W*$|\s[-–—:|]+\s*{_WORD}\W*$|\s(?-i:CANCELL?ED)\W*$",
    re.IGNORECASE,
)


def says_cancelled(title: str) -> bool:
    """Most formats have no state: a cancelled session says so in its title, if at all.

    "Cancelling …", "Cancelled flights: a study" and "… (original talk cancelled)" are ordinary."""
    return bool(_CANCELLED.search(title))


@dataclass
class Agenda:
    """Collects what a format module finds; `schedule` makes the result of it.

    Call `use_zone` with what the file says before reading the first time.
    """

    format: str
    given_zone: str | None
    title: str = ""
    slug: str = ""
    description: str = ""
    venue: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    slot: timedelta = timedelta(0)
    notes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.zone: ZoneInfo | None = None
        self._wrong_zone = ""
        self._rooms: dict[str, RoomItem] = {}
        self._speakers: dict[str, SpeakerItem] = {}
        self._sessions: list[SessionItem] = []
        self._problems: list[Problem] = []
        self._states: Counter[str] = Counter()
        self._endless = 0
        if self.given_zone:
            self.zone = zone_named(self.given_zone)
            if self.zone is None:
                raise ScheduleError(f"“{self.given_zone}” is not a time zone; write one like Europe/Berlin.")

    # Times

    def use_zone(self, name: Any) -> None:
        """Take the file's own zone, which wins over the given one; a wrong one counts as none."""
        written = line(name)
        if not written:
            return
        zone = zone_named(written)
        if zone is None:
            self._wrong_zone = written
            self.notes.append(f"The file's time zone “{written[:60]}” does not exist and was ignored.")
            return
        if self.zone and self.zone.key != zone.key:
            self.notes.append(f"The file's own time zone {zone.key} was used, not {self.zone.key}.")
        self.zone = zone

    def moment(self, value: Any, after: datetime | None = None) -> datetime:
        """In UTC. `value` is ISO 8601 or a datetime; an offset in it wins over the zone.

        A wall clock time that a clock change skips means the moment after it; one that comes twice
        means the first, or the second where only that is `after` (an end after its start).
        Raises BadItem, and ScheduleError for a naive time where no zone is known."""
        moment = value if isinstance(value, datetime) else read_time(value)
        naive = moment.tzinfo is None
        if naive:
            moment = moment.replace(tzinfo=self._zone_or_refuse())
        try:
            in_utc = moment.astimezone(UTC)
            if naive and after and in_utc < after:
                in_utc = max(in_utc, moment.replace(fold=1).astimezone(UTC))
        except (OverflowError, ValueError):
            raise BadItem(f"“{moment}” is not a possible date") from None
        return in_utc

    def _zone_or_refuse(self) -> ZoneInfo:
        if self.zone is None:
            wrong = f" (“{self._wrong_zone[:60]}” is none)" if self._wrong_zone else ""
            raise ScheduleError(
                f"The times in this file have no offset and the file names no time zone{wrong}: "
                "give the venue's, for instance --timezone Europe/Berlin."
            )
        return self.zone

    def event_times(self, start: Any, end: Any) -> None:
        """When the whole event begins and ends, if that can be told: it is never worth a refusal."""
        self.starts_at = self._edge(start, time.min)
        self.ends_at = self._edge(end, time(23, 59, 59))
        if self.starts_at and self.ends_at and self.ends_at < self.starts_at:
            self.starts_at = self.ends_at = None

    def _edge(self, value: Any, at: time) -> datetime | None:
        written = line(value)
        try:
            moment = read_time(written)
            if re.fullmatch(r"\d{4}-\d\d-\d\d", written):
                moment = datetime.combine(moment, at)
            return self.moment(moment) if moment.tzinfo or self.zone else None
        except BadItem:
            if written:
                self.notes.append(f"“{written[:60]}” is no date for the event and was ignored.")
            return None

    # Items

    @contextmanager
    def item(self, *names: Any) -> Iterator[None]:
        """Reads one item: BadItem inside makes a Problem under these names instead."""
        try:
            yield
        except BadItem as error:
            self._problems.append(Problem(label(*names), str(error)))

    def published(self, state: Any, *names: Any) -> bool:
        """Whether the public may see it. A state that nobody knows is not taken for a yes."""
        written = line(state).lower()
        if written in PUBLIC_STATES:
            return True
        self._states[written] += 1
        self.ignored.append(f"{label(*names)} ({written})")
        return False

    def room(self, key: Any, name: Any, capacity: Any = None, description: Any = "") -> str:
        """Its external id, or "" where there is neither key nor name. The first mention names it."""
        key, name = line(key), line(name)
        key = fit(key or name)
        if not key:
            return ""
        known = self._rooms.get(key, RoomItem(key, name or key))
        if isinstance(capacity, bool) or not isinstance(capacity, int | float) or not 0 < capacity < 10**7:
            capacity = None
        self._rooms[key] = replace(
            known,
            capacity=known.capacity or (int(capacity) if capacity else None),
            description=known.description or text(description),
        )
        return key

    def speaker(self, key: Any, name: Any, biography: Any = "", photo_url: Any = "") -> str:
        """A key for :meth:`session`, or "" without a name. The id 0 means unknown, not one person, and
        one id under several names (files merged from several systems) means several people.

        Call it only for people of published sessions: that someone's submission was rejected is
        nobody's business."""
        key, name = line(key), line(name)
        if key in ("", "0"):
            key = name and f"name:{name.casefold()}"
        if not name:
            name = next((known.name for known in self._speakers.values() if known.external_id == fit(key)), "")
        if not name:
            return ""
        identity = f"{key}\n{name.casefold()}"
        known = self._speakers.get(identity) or SpeakerItem(fit(key), name)
        self._speakers[identity] = replace(
            known,
            biography=known.biography or text(biography),
            photo_url=known.photo_url or link(photo_url),
        )
        return identity

    def session(
        self,
        *,
        key: Any,
        title: Any,
        start: datetime,
        end: datetime | None,
        speakers: Iterable[str] = (),
        cancelled: bool = False,
        url: Any = "",
        **details: str,
    ) -> None:
        """Add one; without an end it gets the slot length. Raises BadItem."""
        title = line(title) or "(untitled)"
        if end is None:
            end = start + self.slot
        elif end < start:
            raise BadItem(f"it ends ({end:%Y-%m-%d %H:%M} UTC) before it starts ({start:%Y-%m-%d %H:%M} UTC)")
        elif end - start > LONGEST_SESSION:
            raise BadItem("it lasts more than a year")
        else:
            self._endless -= 1
        self._endless += 1
        self._sessions.append(
            SessionItem(
                external_id=line(key),
                title=title,
                starts_at=start,
                ends_at=end,
                speakers=tuple(dict.fromkeys(filter(None, speakers))),
                url=link(url),
                cancelled=cancelled or says_cancelled(title),
                **details,
            )
        )

    # The result

    def schedule(self) -> Schedule:
        """Raises ScheduleError where not one session is left."""
        if not self._sessions:
            raise ScheduleError(self._why_empty())
        people = self._people_with_unique_ids()
        sessions = with_unique_ids(
            [
                replace(one, speakers=tuple(dict.fromkeys(people[key].external_id for key in one.speakers)))
                for one in self._sessions
            ]
        )
        return Schedule(
            format=self.format,
            title=line(self.title),
            slug=line(self.slug),
            description=text(self.description),
            venue=line(self.venue),
            timezone=self.zone.key if self.zone else None,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            rooms=tuple(self._rooms.values()),
            speakers=tuple(people.values()),
            sessions=tuple(sessions),
            problems=tuple(self._problems),
            notes=tuple(self._all_notes()),
            ignored=tuple(self.ignored),
        )

    def _people_with_unique_ids(self) -> dict[str, SpeakerItem]:
        """Whoever shares an id with another name is known by both, whatever their order in the file."""
        shared = Counter(one.external_id for one in self._speakers.values())
        if doubled := sum(count > 1 for count in shared.values()):
            self.notes.append(f"{doubled} person ids stand for several names; each name is a person of their own.")
        return {
            key: replace(one, external_id=fit(f"{one.external_id}|{one.name.casefold()}"))
            if shared[one.external_id] > 1
            else one
            for key, one in self._speakers.items()
        }

    def _why_empty(self) -> str:
        if self._problems:
            first = self._problems[0]
            return f"No session in this file can be used; the first, {first.item}: {first.reason}."
        if self._states:
            return f"No session in this file is confirmed ({_counts(self._states)})."
        return "There are no sessions in this file."

    def _all_notes(self) -> Iterator[str]:
        yield from self.notes
        if self._states:
            total = self._states.total()
            noun, verb = ("submission that is", "was") if total == 1 else ("submissions that are", "were")
            yield f"{total} {noun} not confirmed {verb} left out ({_counts(self._states)})."
        if self._endless:
            minutes = int(self.slot.total_seconds() // 60)
            length = f"the file's slot length of {minutes} minutes" if minutes else "zero length"
            yield f"{self._endless} session{'s' * (self._endless > 1)} without an end got {length}."
        if self.zone is None:
            yield "The file has only UTC offsets; set the event's time zone."


def _counts(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state[:40]}" for state, count in sorted(states.items()))


def label(*names: Any) -> str:
    """An item as a human finds it: its id and title, as far as there are any."""
    return " ".join(filter(None, (line(name)[:200] for name in names))) or "(untitled)"


def fit(key: str) -> str:
    """An external id of at most MAX_ID characters; longer ones keep their start and get a digest."""
    if len(key) <= MAX_ID:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{key[: MAX_ID - 33]}~{digest}"


def with_unique_ids(sessions: list[SessionItem]) -> list[SessionItem]:
    """Keeps apart, by room and start, sessions that share an id or have none.

    All that share it are renamed, whatever their order in the file: if the first kept the plain id,
    reordering the file would hand one session's RSVPs to another."""
    shared = Counter(session.external_id for session in sessions)
    taken: set[str] = set()
    keys: dict[int, str] = {}

    def content(position: int) -> tuple:
        session = sessions[position]
        return (
            shared[session.external_id] > 1 or not session.external_id,
            session.starts_at,
            session.title,
            session.ends_at,
            session.abstract,
            session.speakers,
        )

    for position in sorted(range(len(sessions)), key=content):
        session = sessions[position]
        key = fit(session.external_id)
        if shared[session.external_id] > 1 or not key:
            name = session.external_id or session.title
            key = fit(f"{name}@{session.room}@{session.starts_at:%Y%m%dT%H%MZ}")
        base, count = key, 1
        while key in taken:  # the same id, room and start: only the order of the contents is left
            count += 1
            key = fit(f"{base}#{count}")
        taken.add(key)
        keys[position] = key
    return [
        replace(session, external_id=keys[position], source_id=fit(session.external_id))
        if shared[session.external_id] > 1
        else replace(session, external_id=keys[position])
        for position, session in enumerate(sessions)
    ]
