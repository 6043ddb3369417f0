"""schedule.xml as of Pentabarf, frab, pretalx, wafer and OSEM, and EuroPython's variant of it.

Events stand in day/room, or in old files straight in day; EuroPython calls them entry.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from .agenda import Agenda
from .base import Document, Schedule, line
from .frab import Day, add_event, read_conference

NAME = "frab XML"


def sniff(document: Document) -> bool:
    return document.kind == "xml" and document.root.tag == "schedule" and _has_days(document.root)


def _has_days(root: Element) -> bool:
    return root.find("day") is not None or root.find("conference") is not None


def read(document: Document, timezone: str | None) -> Schedule:
    agenda = Agenda(NAME, timezone)
    root = document.root
    conference = _fields(root.find("conference"))
    read_conference(agenda, conference)
    for element in root.iterfind("day"):
        day = Day(agenda, element.get("date"), element.get("start"), element.get("end"), conference.get("day_change"))
        for room in element.iterfind("room"):
            key = agenda.room(room.get("name"), room.get("name"), description=room.get("description"))
            _add_events(agenda, day, room, key)
        _add_events(agenda, day, element, "")
    return agenda.schedule()


def _add_events(agenda: Agenda, day: Day, parent: Element, room: str) -> None:
    for element in parent:
        if element.tag not in ("event", "entry"):
            continue
        event = _fields(element)
        event["persons"] = _persons(element)
        event.setdefault("type", event.get("category"))
        # In merged files the event's own room may differ from the one it stands in.
        add_event(agenda, day, event, room or agenda.room("", event.get("room")))


def _fields(element: Element | None) -> dict[str, Any]:
    """Attributes and children; of a child that stands twice the first that says something."""
    fields: dict[str, Any] = {}
    for child in element if element is not None else ():
        if isinstance(child.tag, str) and not fields.get(child.tag):
            fields[child.tag] = "".join(child.itertext())
    return fields | dict(element.attrib) if element is not None else fields


def _persons(event: Element) -> list[dict]:
    """<person id>name</person>, or EuroPython's <speaker id><name/><description/><image/></speaker>."""
    persons = []
    for element in (*event.iterfind("persons/person"), *event.iterfind("speakers/speaker")):
        person = _fields(element)
        person.setdefault("name", line(element.text))
        person.setdefault("avatar", person.get("image"))
        persons.append(person)
    return persons
