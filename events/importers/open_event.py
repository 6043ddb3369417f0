"""Open Event (eventyay): one JSON file a resource, in a folder or zip, some without `.json`.

Keys are spelled starts-at or starts_at (2017), and start_time (2018).
"""

from __future__ import annotations

from typing import Any

from .agenda import Agenda
from .base import BadItem, Document, Schedule, line, mapping, objects, paragraphs

NAME = "Open Event JSON"
PARTS = ("event", "sessions", "speakers", "tracks", "microlocations")
_START = ("start_time", "starts_at", "timestart")
_END = ("end_time", "ends_at", "timeend")


def sniff(document: Document) -> bool:
    parts = _parts(document)
    return "sessions" in parts and (
        "microlocations" in parts or any("microlocation" in each for each in objects(parts["sessions"])[:20])
    )


def _parts(document: Document) -> dict[str, Any]:
    """By name. Old servers wrap each list in an object of its name; sessions.json may come alone."""
    if document.kind == "json" and isinstance(document.root, list):
        return {"sessions": document.root}
    parts = document.parts(PARTS)
    return {name: mapping(value).get(name, value) for name, value in parts.items()}


def _plain(value: dict) -> dict:
    return {key.replace("-", "_"): each for key, each in value.items()}


def _any(value: dict, names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if line(value.get(name))), None)


def read(document: Document, timezone: str | None) -> Schedule:
    parts = _parts(document)
    agenda = Agenda(NAME, timezone)
    event = _plain(mapping(parts.get("event")))
    agenda.use_zone(event.get("timezone"))
    agenda.title = line(event.get("name"))
    agenda.slug = line(event.get("identifier"))
    agenda.description = paragraphs(event.get("description"))
    agenda.venue = line(event.get("location_name"))
    agenda.event_times(_any(event, _START), _any(event, _END))
    for room in objects(parts.get("microlocations")):
        agenda.room(room.get("id"), room.get("name"))
    people = {line(each.get("id")): _plain(each) for each in objects(parts.get("speakers"))}
    for each in objects(parts["sessions"]):
        _add(agenda, _plain(each), people)
    return agenda.schedule()


def _add(agenda: Agenda, session: dict, people: dict[str, dict]) -> None:
    names = (session.get("id"), session.get("title"))
    if not agenda.published(session.get("state"), *names):
        return
    with agenda.item(*names):
        if _any(session, _START) is None:
            raise BadItem("it has no start")
        start = agenda.moment(_any(session, _START))
        end = _any(session, _END)
        room = mapping(session.get("microlocation"))
        agenda.session(
            key=session.get("id"),
            title=session.get("title"),
            start=start,
            end=None if end is None else agenda.moment(end, after=start),
            room=agenda.room(room.get("id"), room.get("name")),
            speakers=[_speaker(agenda, each, people) for each in objects(session.get("speakers"))],
            # Not `comments`: those are notes among the organisers.
            abstract=paragraphs(
                session.get("subtitle"),
                session.get("short_abstract") or session.get("abstract"),
                session.get("long_abstract") or session.get("description"),
            ),
            session_type=line(mapping(session.get("session_type")).get("name") or session.get("type")),
            track=line(mapping(session.get("track")).get("name")),
            language=line(session.get("language")),
            url=session.get("signup_url"),
        )


def _speaker(agenda: Agenda, value: dict, people: dict[str, dict]) -> str:
    person = people.get(line(value.get("id")), {})
    return agenda.speaker(
        value.get("id"),
        line(person.get("name")) or value.get("name"),
        person.get("long_biography") or person.get("short_biography"),
        person.get("photo_url") or person.get("photo"),
    )
