"""schedule.json as of c3, frab and pretalx: version 1 (days with rooms) and version 2 (flat events)."""

from __future__ import annotations

from .agenda import Agenda
from .base import Document, Schedule, line, mapping, objects
from .frab import Day, add_event, read_conference

NAME = "c3 JSON"


def sniff(document: Document) -> bool:
    return document.kind == "json" and "conference" in mapping(mapping(document.root).get("schedule"))


def read(document: Document, timezone: str | None) -> Schedule:
    agenda = Agenda(NAME, timezone)
    schedule = document.root["schedule"]
    conference = mapping(schedule["conference"])
    read_conference(agenda, conference)
    listed = objects(conference.get("rooms"))
    if "events" in schedule:
        _read_version_2(agenda, schedule, conference, listed)
    else:
        _read_version_1(agenda, conference, listed)
    return agenda.schedule()


def _read_version_1(agenda: Agenda, conference: dict, listed: list[dict]) -> None:
    # Rooms go by name: that is how events refer to them, and pretalx has given two rooms one guid.
    for room in listed:
        agenda.room(room.get("name"), room.get("name"), room.get("capacity"), room.get("description"))
    for each in objects(conference.get("days")):
        day = Day(agenda, each.get("date"), each.get("day_start"), each.get("day_end"), conference.get("day_change"))
        for name, events in mapping(each.get("rooms")).items():
            room = agenda.room(name, name)
            for event in objects(events):
                add_event(agenda, day, event, room or agenda.room("", event.get("room")))


def _read_version_2(agenda: Agenda, schedule: dict, conference: dict, listed: list[dict]) -> None:
    for room in listed:
        _room(agenda, room)
    tracks = {line(each.get("slug")): each.get("name") for each in objects(conference.get("tracks"))}
    persons = {line(each.get("guid")): each for each in objects(schedule.get("persons"))}
    for event in objects(schedule["events"]):
        participants = objects(event.get("participants"))
        event = event | {"persons": [persons.get(line(each.get("guid")), {}) | each for each in participants]}
        track = event.get("track")
        slug = line(mapping(track).get("slug"))
        name = mapping(track).get("name") or tracks.get(slug) or slug or track
        add_event(agenda, None, event, _room(agenda, event.get("room")), name or "")


def _room(agenda: Agenda, value: object) -> str:
    room = mapping(value)
    if not room:
        return agenda.room("", value)
    return agenda.room(
        room.get("guid") or room.get("slug"),
        room.get("name") or room.get("slug"),
        room.get("capacity"),
        room.get("description"),
    )
