"""pretalx beyond its c3 export: the schedule widget, the API's submissions, talks and schedules,
and the grid (`schedule[date][minute of day][room]`) that some conference sites make of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from .agenda import Agenda
from .base import BadItem, Document, Schedule, day_of, line, mapping, objects, paragraphs, read_duration

NAME = "pretalx JSON"


def sniff(document: Document) -> bool:
    root = document.root
    if document.kind != "json":
        return False
    if isinstance(root, list):
        return any(_is_submission(each) for each in objects(root)[:20])
    root = mapping(root)
    return _is_widget(root) or _is_grid(root) or bool(_submissions(root))


def _is_submission(each: dict) -> bool:
    return "code" in each and "state" in each and ("slot" in each or "slots" in each)


def _is_widget(root: dict) -> bool:
    return isinstance(root.get("talks"), list) and "rooms" in root and ("timezone" in root or "speakers" in root)


def _is_grid(root: dict) -> bool:
    days = mapping(root.get("schedule"))
    return bool(days) and all(_is_day(key) and isinstance(cells, dict) for key, cells in days.items())


def _is_day(key: str) -> bool:
    try:
        return bool(day_of(key))
    except BadItem:
        return False


def _submissions(root: dict) -> list[dict]:
    """Of a page of the API (`results`), or of a released schedule (`slots`)."""
    for name in ("results", "submissions", "slots"):
        found = objects(root.get(name))
        if any(_is_submission(each) or "submission" in each for each in found):
            return found
    return []


def read(document: Document, timezone: str | None) -> Schedule:
    agenda = Agenda(NAME, timezone)
    root = mapping(document.root)
    agenda.use_zone(root.get("timezone"))
    agenda.event_times(root.get("event_start"), root.get("event_end"))
    reader = _Reader(
        agenda,
        rooms={line(each.get("id")): each for each in objects(root.get("rooms"))},
        tracks={line(each.get("id")): each.get("name") for each in objects(root.get("tracks"))},
        speakers={line(each.get("code")): each for each in objects(root.get("speakers"))},
    )
    for room in reader.rooms.values():
        reader.room(room)
    if _is_widget(root):
        pairs = ((talk, talk) for talk in objects(root["talks"]))
    elif _is_grid(root):
        pairs = _grid(root["schedule"])
        for part in sorted(set(root) - {"schedule", "rooms", "speakers", "tracks"}):
            agenda.ignored.append(part)
            agenda.notes.append(f"The part “{part[:60]}” beside the schedule was left out.")
    else:
        pairs = _slots(document.root if isinstance(document.root, list) else _submissions(root))
    for submission, slot in pairs:
        reader.add(submission, slot)
    for pause in objects(root.get("breaks")):
        reader.add({"title": pause.get("description")}, pause)
    return agenda.schedule()


def _grid(days: dict) -> Iterator[tuple[dict, dict]]:
    for day, minutes in days.items():
        for minute, cells in mapping(minutes).items():
            for room, submission in mapping(cells).items():
                if isinstance(submission, dict):
                    own = [slot for _, slot in _slots([submission]) if slot.get("start")]
                    # A talk with several slots stands in several cells, and each cell means one.
                    cell = {"day": day, "minute": minute, "room_id": room}
                    yield submission, own[0] if len(own) == 1 else cell


def _slots(submissions: list) -> Iterator[tuple[dict, dict]]:
    for each in objects(submissions):
        if "submission" in each:  # a released schedule: slots with their submission inside; breaks have none
            inner = mapping(each["submission"]) or {"title": each.get("description")}
            yield inner, each
        elif slots := objects(each.get("slots")):
            yield from ((each, slot) for slot in slots)
        else:
            yield each, mapping(each.get("slot"))


@dataclass
class _Reader:
    agenda: Agenda
    rooms: dict[str, dict]
    tracks: dict[str, Any]
    speakers: dict[str, dict]

    def add(self, talk: dict, slot: dict) -> None:
        """`talk` says what, `slot` when and where (in the widget both are the same object)."""
        # Slot ids change with every release of the schedule; only the code of a talk stays.
        # Breaks have none: they go by title, room and start.
        names = (talk.get("code"), talk.get("title"))
        if not self.agenda.published(talk.get("state"), *names):
            return
        with self.agenda.item(*names):
            start = self._start(slot)
            self.agenda.session(
                key=talk.get("code"),
                title=line(talk.get("title")) or ("Break" if talk.get("slot_type") == "break" else ""),
                start=start,
                end=self._end(start, talk, slot),
                room=self._slot_room(slot),
                speakers=self._speakers(talk.get("speakers")),
                abstract=paragraphs(talk.get("abstract"), talk.get("description")),
                session_type=_named(talk.get("submission_type")),
                track=_named(self.tracks.get(line(talk.get("track"))) or talk.get("track")),
                language=line(talk.get("content_locale")),
                url=talk.get("url"),
            )

    def _start(self, slot: dict) -> datetime:
        if line(slot.get("start")):
            return self.agenda.moment(slot["start"])
        minute = line(slot.get("minute"))
        if not minute.isdecimal() or len(minute) > 4:
            raise BadItem("it has no start")
        local = datetime.combine(day_of(slot["day"]), time.min) + timedelta(minutes=int(minute))
        return self.agenda.moment(local)

    def _end(self, start: datetime, talk: dict, slot: dict) -> datetime | None:
        if line(slot.get("end")):
            return self.agenda.moment(slot["end"], after=start)
        length = read_duration(slot.get("duration")) or read_duration(talk.get("duration"))
        return None if length is None else (start + length).astimezone(UTC)

    def _slot_room(self, slot: dict) -> str:
        key, room = line(slot.get("room_id")), slot.get("room")
        if isinstance(room, dict) and "id" not in room:  # a name by language
            return self.agenda.room(key, room and line(room) or self._listed_name(key))
        if isinstance(room, dict):
            return self.room(self.rooms.get(line(room["id"]), {}) | room)
        key = key or line(room)
        return self.agenda.room(key, self._listed_name(key))

    def _listed_name(self, key: str) -> str:
        return line(self.rooms.get(key, {}).get("name"))

    def room(self, room: dict) -> str:
        return self.agenda.room(room.get("id"), room.get("name"), room.get("capacity"), room.get("description"))

    def _speakers(self, value: Any) -> list[str]:
        """Codes, or objects; never their answers, which can hold phone numbers."""
        keys = []
        for each in value if isinstance(value, list) else []:
            person = self.speakers.get(line(each), {}) if not isinstance(each, dict) else each
            person = self.speakers.get(line(person.get("code")), {}) | person
            keys.append(
                self.agenda.speaker(
                    person.get("code"),
                    person.get("name"),
                    person.get("biography"),
                    person.get("avatar") or person.get("avatar_url"),
                )
            )
        return keys


def _named(value: Any) -> str:
    """A name, an object by language, or an object with either as its name; bare ids say nothing."""
    if isinstance(value, dict) and "name" in value:
        value = value["name"]
    return "" if isinstance(value, int | float) else line(value)
