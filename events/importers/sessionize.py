"""Sessionize's API views: All, GridSmart and Sessions, and All as one file a part.

The speakers view alone is no schedule. Times are mostly local without a zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .agenda import Agenda
from .base import BadItem, Document, Schedule, ScheduleError, line, mapping, objects, text

NAME = "Sessionize JSON"
PARTS = ("sessions", "speakers", "rooms", "categories", "all")
_MARKS = {"isServiceSession", "isPlenumSession", "categoryItems", "roomId"}


def sniff(document: Document) -> bool:
    if document.kind == "json" and _is_speakers_view(document.root):
        return True
    return bool(_views(document))


def _views(document: Document) -> dict:
    """The parts of it, if their sessions look like Sessionize's."""
    if document.kind == "json" and isinstance(document.root, list):
        view = {"sessions": list(_flatten(document.root))}
    else:
        view = document.parts(PARTS)
        view = mapping(view.get("all")) or view
        if isinstance(view.get("sessions"), list):
            view = view | {"sessions": list(_flatten(view["sessions"]))}
    return view if any(_is_session(each) for each in objects(view.get("sessions"))[:20]) else {}


def _is_session(each: dict) -> bool:
    return "startsAt" in each and not _MARKS.isdisjoint(each)


def _is_speakers_view(root: Any) -> bool:
    people = objects(root)[:5] if isinstance(root, list) else []
    return bool(people) and all("fullName" in each and "startsAt" not in each for each in people)


def _flatten(entries: list) -> Iterator[dict]:
    """Sessions themselves, or those of groups (Sessions view) or days (GridSmart).

    GridSmart says everything twice, by room and by time slot."""
    for each in objects(entries):
        if "startsAt" in each:
            yield each
            continue
        yield from objects(each.get("sessions"))
        for room in objects(each.get("rooms")):
            yield from (_in_room(session, room) for session in objects(room.get("sessions")))
        for slot in objects(each.get("timeSlots")):
            for room in objects(slot.get("rooms")):
                if isinstance(room.get("session"), dict):
                    yield _in_room(room["session"], room)


def _in_room(session: dict, room: dict) -> dict:
    """A plenum session can be shown in every room: what it says of its own room is right."""
    where = {"roomId": room.get("id"), "room": room.get("name")}
    return where | {key: value for key, value in session.items() if value is not None}


def read(document: Document, timezone: str | None) -> Schedule:
    view = _views(document)
    if not view:
        raise ScheduleError("This is Sessionize's list of speakers, without times; export the view “All”.")
    agenda = Agenda(NAME, timezone)
    rooms = {line(each.get("id")): each.get("name") for each in objects(view.get("rooms"))}
    for key, name in rooms.items():
        agenda.room(key, name)
    categories = _Categories(view.get("categories"))
    people = {line(each.get("id")): each for each in objects(view.get("speakers"))}
    seen = set()
    for session in objects(view["sessions"]):
        names = (session.get("id"), session.get("title"))
        same = (*map(line, names), line(session.get("startsAt")))
        if same in seen:
            continue
        seen.add(same)
        if not agenda.published(session.get("status"), *names):
            continue
        chosen = categories.of(session)
        with agenda.item(*names):
            if not line(session.get("startsAt")):
                raise BadItem("it has no start")
            start = agenda.moment(session["startsAt"])
            end = session.get("endsAt")
            key = line(session.get("roomId"))
            agenda.session(
                key=session.get("id"),
                title=session.get("title"),
                start=start,
                end=agenda.moment(end, after=start) if line(end) else None,
                room=agenda.room(key, rooms.get(key) or session.get("room")),
                speakers=[_speaker(agenda, each, people) for each in _list(session.get("speakers"))],
                abstract=text(session.get("description")),
                session_type=_first(chosen, "format", "type") or ("Service" if _is_service(session) else ""),
                track=_first(chosen, "track"),
                language=_first(chosen, "language"),
            )
    return agenda.schedule()


def _is_service(session: dict) -> bool:
    return session.get("isServiceSession") is True


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _speaker(agenda: Agenda, value: Any, people: dict[str, dict]) -> str:
    """An id (All), or an object with id and name (the other views)."""
    named = mapping(value)
    key = line(named.get("id") if named else value)
    person = people.get(key, {})
    full = line(person.get("fullName")) or f"{line(person.get('firstName'))} {line(person.get('lastName'))}"
    return agenda.speaker(key, line(full) or named.get("name"), person.get("bio"), person.get("profilePicture"))


def _first(chosen: dict[str, str], *words: str) -> str:
    return next((value for title, value in chosen.items() if any(word in title for word in words)), "")


class _Categories:
    """Organisers name the categories themselves: “Track”, “Session format”, “Language”, …"""

    def __init__(self, listed: Any) -> None:
        self._items = {
            line(item.get("id")): (line(category.get("title")).lower(), line(item.get("name")))
            for category in objects(listed)
            for item in objects(category.get("items"))
        }

    def of(self, session: dict) -> dict[str, str]:
        """{category: first chosen item}."""
        chosen: dict[str, str] = {}
        for key in _list(session.get("categoryItems")):
            title, value = self._items.get(line(key), ("", ""))
            chosen.setdefault(title, value)
        for category in objects(session.get("categories")):
            for item in objects(category.get("categoryItems"))[:1]:
                chosen.setdefault(line(category.get("name")).lower(), line(item.get("name")))
        return chosen
