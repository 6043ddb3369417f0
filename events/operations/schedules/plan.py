"""What an import will write, found by reading only. A dry run stops here.

What an organiser set by hand is told from what an import set by the history, where every record
that an import made carries the reason IMPORTED.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db.models import Q
from simple_history.models import HistoricalChanges

from config.errors import NotFound
from events.importers import RoomItem, SessionItem
from events.models import Event, Room, Session, Speaker

from .report import Change, Entry, Gone, Report

IMPORTED = "Imported schedule"
"""The history's reason for all that an import writes; renaming it makes old imports look hand-made."""

ANOTHER_EDITION = timedelta(days=60)
SAME_SLOT = timedelta(hours=12)


def find_event(organization, schedule, event_id) -> tuple[Event | None, str]:
    """The event to update, if any, and the external id that a new one gets."""
    keys = list(dict.fromkeys(" ".join(one.casefold().split())[:200] for one in (schedule.slug, schedule.title) if one))
    key = keys[0] if keys else "schedule"
    events = Event.objects.filter(organization=organization)
    if event_id is not None:
        event = events.filter(pk=event_id).first()
        if event is None:
            raise NotFound
        return event, key
    known = Q(external_id__in=keys) | Q(external_id__startswith=f"{key}#")
    candidates = list(events.filter(known).order_by("starts_at", "pk"))
    starts, ends = _span(schedule)
    distance = {one.pk: max(one.starts_at - ends, starts - one.ends_at, timedelta(0)) for one in candidates}
    near = [one for one in candidates if distance[one.pk] <= ANOTHER_EDITION]
    near = near or _with_same_sessions(candidates, schedule)
    if near:
        return min(near, key=lambda one: distance[one.pk]), key
    taken = {one.external_id for one in candidates}
    return None, free(key, taken, "{}#{}")


def _with_same_sessions(events, schedule) -> list[Event]:
    """Of events long before or after, those that hold sessions of the schedule: one that was put off.

    Next year's edition may have the same title and even the same small ids, not the same talks.
    """
    if not events:
        return []
    titles = {item.external_id: item.title for item in schedule.sessions}
    rows = Session.objects.filter(event__in=events, external_id__in=titles)
    same = {event for event, key, title in rows.values_list("event", "external_id", "title") if titles[key] == title}
    return [one for one in events if one.pk in same]


def _span(schedule) -> tuple[datetime, datetime]:
    """When the schedule lasts: as it says, but no session lies outside; one minute at least."""
    starts = min(filter(None, [schedule.starts_at, *(one.starts_at for one in schedule.sessions)]))
    ends = max(filter(None, [schedule.ends_at, *(one.ends_at for one in schedule.sessions)]))
    return starts, max(ends, starts + timedelta(minutes=1))


def free(wanted: str, taken, pattern: str, limit: int = 300) -> str:
    """``wanted``, or the first of its numbered variants that isn't taken."""
    name, number = wanted[:limit], 1
    while name in taken:
        number += 1
        name = pattern.format(wanted[: limit - 8], number)
    return name


TEXTS = ("abstract", "session_type", "track", "language", "url")
_DERIVED_ID = re.compile(r"(.+)@[^@]*@\d{8}T\d{4}Z(?:#\d+)?", re.DOTALL)
"""How the parsers name sessions that share an id, or have none: id or title, room, start."""


@dataclass
class _Target:
    """A session of the schedule and the row, new or known, that it shall be."""

    item: SessionItem
    session: Session
    values: dict[str, Any]
    is_new: bool = False
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)


class Plan:
    """Everything that will be written, found by reading only. ``report`` tells it.

    Rows are put into lists (``new_rooms``, ``changed_rooms``, …) with their new values set.
    """

    def __init__(self, organization, event, key, schedule, dry_run):
        self.schedule = schedule
        self._long, self._bad_addresses, self._kept_by_hand = [], [], []
        self.created = event is None
        self.event = event or Event(organization=organization, external_id=key)
        self.event_fields: dict[str, tuple] = {}
        self._plan_event(key)
        self.report = Report(
            event_id=self.event.pk,
            title=self.event.title,
            timezone=self.event.timezone,
            created=self.created,
            dry_run=dry_run,
            left_out=list(schedule.problems),
        )
        self._read_agenda(locked=not dry_run)
        self._match_rooms()
        self._plan_speakers()
        self._plan_sessions()
        self._plan_links()
        self._plan_gone()
        self._plan_rooms()
        self._tell()

    # The event

    def _plan_event(self, key):
        schedule, event = self.schedule, self.event
        starts, ends = _span(schedule)
        values = {
            "title": self._cut(schedule.title or "Schedule", 300, "the event's title"),
            "description": schedule.description,
            "venue": self._cut(schedule.venue, 300, "the venue"),
            "timezone": schedule.timezone or "",
        }
        if self.created:
            values |= {"timezone": values["timezone"] or "UTC", "starts_at": starts, "ends_at": ends}
            _apply(event, values)
            return
        if not schedule.slug:
            # Then the title is what the event is known by; of formats without one it is the file's name.
            del values["title"]
        values = {name: value for name, value in values.items() if value}
        values |= {"starts_at": min(starts, event.starts_at), "ends_at": max(ends, event.ends_at)}
        self.event_fields = _apply(
            event, {name: value for name, value in values.items() if self._may_change_event(name, value)}
        )
        if not event.external_id and not Event.objects.filter(organization=event.organization_id, external_id=key):
            event.external_id = key  # so that the next import finds it

    def _may_change_event(self, name, value) -> bool:
        """What an organiser wrote stays; blanks are filled, and times that came from a schedule widened."""
        old = getattr(self.event, name)
        return value != old and (old == "" or _set_by_import(self._event_history, name, old))

    @cached_property
    def _event_history(self):
        return list(Event.history.filter(id=self.event.pk).order_by("history_date", "history_id").values())

    # What is there

    def _read_agenda(self, locked):
        event = self.event
        self._rooms = self._speakers = self._sessions = []
        self._links = defaultdict(dict)  # session → link → speaker
        if self.created:
            return
        rooms, speakers, sessions = (one.objects.filter(event=event).order_by("pk") for one in (Room, Speaker, Session))
        if locked:
            # A new name of a room or speaker locks their sessions.
            rooms, speakers = rooms.select_for_update(no_key=True), speakers.select_for_update(no_key=True)
            # The strong lock: nobody comes to refer to a session that is about to be deleted.
            sessions = sessions.select_for_update()
        self._rooms, self._speakers, self._sessions = list(rooms), list(speakers), list(sessions)
        speakers = {one.pk: one for one in self._speakers}
        links = Session.speakers.through.objects.filter(session__event=event)
        for link, session, speaker in links.values_list("pk", "session_id", "speaker_id"):
            if speaker in speakers:
                self._links[session][link] = speakers[speaker]

    # Rooms

    def _match_rooms(self):
        """By id, else by name: the file has new ids, or the room was made by hand."""
        there = {one.external_id: one for one in self._rooms if one.external_id}
        in_file = {item.external_id for item in self.schedule.rooms}
        by_name = {one.name: one for one in self._rooms if one.external_id not in in_file}
        self._room_items: list[tuple[Room, RoomItem, str]] = []
        for item in self.schedule.rooms:
            name = self._cut(item.name or item.external_id, 300, f"a room's name, “{item.name[:40]}…”")
            room = there.get(item.external_id) or by_name.pop(name, None) or Room(event=self.event)
            self._room_items.append((room, item, name))
        self._room_of = {item.external_id: room for room, item, _name in self._room_items}
        self._room_names = {one.pk: one.name for one in self._rooms}

    def _plan_rooms(self):
        """Names are unique in an event: a second “Hall” becomes “Hall (2)”, and stays it."""
        self.new_rooms, self.changed_rooms, self.renamed_rooms = [], [], []
        names = self._free_names()
        for room, item, _name in self._room_items:
            if room.pk and not room.external_id:  # made by hand: used as it is
                self.report.unchanged["room"] += 1
                continue
            values = {"name": names[id(room)], "capacity": item.capacity, "description": item.description}
            fields = _apply(room, {name: value for name, value in values.items() if value})
            if room.pk and "name" in fields:
                self.renamed_rooms.append(room)
            self._sort(room, item.external_id, fields, self.new_rooms, self.changed_rooms)

    def _free_names(self) -> dict[int, str]:
        leaving = {room.pk for room, _item, _name in self._room_items} | {one.pk for one in self.gone_rooms}
        taken = {one.name for one in self._rooms if one.pk not in leaving}
        wanted = Counter(name for _room, _item, name in self._room_items)
        names = {}
        for room, _item, name in self._room_items:
            numbered = re.fullmatch(rf"{re.escape(name[:292])} \(\d+\)", room.name)
            by_hand = room.pk and not room.external_id
            if by_hand or room.name == name or (numbered and (wanted[name] > 1 or name in taken)):
                names[id(room)] = room.name
        taken.update(names.values())
        for room, _item, name in self._room_items:
            if id(room) not in names:
                names[id(room)] = free(name, taken, "{} ({})")
                taken.add(names[id(room)])
        return names

    # Speakers

    def _plan_speakers(self):
        there = {one.external_id: one for one in self._speakers if one.external_id}
        self.new_speakers, self.changed_speakers, self._speaker_of = [], [], {}
        for item in self.schedule.speakers:
            speaker = self._speaker_of[item.external_id] = there.get(item.external_id) or Speaker(event=self.event)
            values = {
                "name": self._cut(item.name, 300, f"a speaker's name, “{item.name[:40]}…”"),
                "biography": item.biography,
                "photo_url": self._address(item.photo_url, item.name),
            }
            # A text that the file hasn't may have been written by hand: it stays.
            fields = _apply(speaker, {name: value for name, value in values.items() if value})
            self._sort(speaker, item.external_id, fields, self.new_speakers, self.changed_speakers)

    def _sort(self, row, external_id, fields, new, changed):
        """Puts a room or speaker where it belongs: new, changed or unchanged."""
        kind = row._meta.model_name
        other_id, row.external_id = row.external_id != external_id, external_id
        if row.pk is None:
            new.append(row)
            self.report.added.append(Entry(kind, external_id, row.name))
            return
        if fields or other_id:
            changed.append(row)
        if fields:
            self.report.changed.append(Change(kind, external_id, row.name, fields))
        else:
            self.report.unchanged[kind] += 1

    # Sessions

    def _plan_sessions(self):
        there = {one.external_id: one for one in self._sessions if one.external_id}
        known = {one.external_id: there.pop(one.external_id, None) for one in self.schedule.sessions}
        known |= _paired([one for one in self.schedule.sessions if known[one.external_id] is None], there)
        self._absent = list(there.values())
        self._targets = [
            _Target(item, known[item.external_id] or Session(event=self.event), self._session_values(item))
            for item in self.schedule.sessions
        ]
        self._ask_history()
        self.new_sessions, self.changed_sessions = [], []
        for target in self._targets:
            session, item = target.session, target.item
            target.is_new, other_id = not session.external_id, session.external_id != item.external_id
            values = target.values
            if not target.is_new:
                values = {name: value for name, value in values.items() if self._may_change(session, name, value)}
            if "room" in values:
                self._move(target, values.pop("room"))
            target.fields |= _apply(session, values)
            session.external_id = item.external_id
            if target.is_new:
                self.new_sessions.append(session)
            elif target.fields or other_id:
                self.changed_sessions.append(session)

    def _session_values(self, item: SessionItem) -> dict:
        name = f"“{item.title[:60]}”"
        return {
            "title": item.title,
            "starts_at": item.starts_at,
            "ends_at": item.ends_at,
            "room": self._room_of.get(item.room),
            "abstract": item.abstract,
            "session_type": self._cut(item.session_type, 300, f"the type of {name}"),
            "track": self._cut(item.track, 300, f"the track of {name}"),
            "language": self._cut(item.language, 35, f"the language of {name}"),
            "url": self._address(item.url, name),
            "status": Session.Status.CANCELLED if item.cancelled else Session.Status.SCHEDULED,
        }

    def _move(self, target, room):
        session = target.session
        if room is None or room.pk is None or room.pk != session.room_id:
            if room is not None or session.room_id:
                target.fields["room"] = (self._room_names.get(session.room_id), room)
            session.room = room

    def _ask_history(self):
        """One query for all sessions where it matters who set a value: an import, or a person."""
        unsure = {one.pk for one in self._absent}
        for target in self._targets:
            session, values = target.session, target.values
            if session.external_id and (
                values["status"] != session.status
                or (values["room"] is None and session.room_id)
                or any(getattr(session, name) and not values[name] for name in TEXTS)
            ):
                unsure.add(session.pk)
        self._history = defaultdict(list)
        if unsure:
            records = Session.history.filter(id__in=unsure).order_by("history_date", "history_id")
            for record in records.values("id", "status", "room_id", "history_change_reason", *TEXTS):
                self._history[record["id"]].append(record)

    def _may_change(self, session, name, value) -> bool:
        """The schedule's values win; but its silence, and its status, only over those of an import."""
        if name == "status" and value != session.status:
            return self._status_is_ours(session)
        silent = (name == "room" and value is None) or (name in TEXTS and not value)
        column = "room_id" if name == "room" else name
        if silent and getattr(session, column):
            return _set_by_import(self._history[session.pk], column, getattr(session, column))
        return True

    def _status_is_ours(self, session) -> bool:
        """A session that an organiser cancelled, or put back, by hand is left to them, and told."""
        ours = _set_by_import(self._history[session.pk], "status", session.status)
        if not ours:
            self._kept_by_hand.append(f"“{session.title[:60]}”")
        return ours

    # Who speaks

    def _plan_links(self):
        """A speaker whom an organiser added by hand (who has no external id) stays with the session."""
        self.new_links, self.lost_links = [], []
        self._speaking = {one.pk: set(self._links[one.pk].values()) for one in self._absent}
        for target in self._targets:
            there = self._links[target.session.pk]
            now = {link: speaker for link, speaker in there.items() if speaker.external_id}
            wanted = [self._speaker_of[key] for key in target.item.speakers if key in self._speaker_of]
            new = [one for one in wanted if one.pk is None or one not in now.values()]
            lost = [link for link, speaker in now.items() if speaker not in wanted]
            self.new_links += [(target.session, speaker) for speaker in new]
            self.lost_links += lost
            kept = [speaker for link, speaker in there.items() if link not in lost]
            self._speaking[target.session.pk] = {one for one in (*kept, *wanted) if one.pk}
            if not target.is_new and (new or lost):
                before, after = (sorted(one.name for one in speakers) for speakers in (there.values(), [*kept, *new]))
                target.fields["speakers"] = (before, after)

    # What is gone

    def _plan_gone(self):
        absent = [one for one in self._absent if not self._was_left_out(one)]
        needed = _referred_to(Session, absent) | {one.pk for one in absent if one.seats_taken}
        self.gone_sessions = [one for one in absent if one.pk not in needed]
        self._tell_gone(self.gone_sessions)
        for session in absent:
            if session.pk in needed and session.status != Session.Status.CANCELLED and self._status_is_ours(session):
                session.status = Session.Status.CANCELLED
                self.changed_sessions.append(session)
                self._tell_gone([session], cancelled=True)
        gone = {one.pk for one in self.gone_sessions}
        left = [one for one in self._sessions if one.pk not in gone]
        rooms = {one.room_id for one in left} | {room.pk for room, _item, _name in self._room_items}
        # A session made by hand, or that nothing was planned for, keeps the speakers that it has.
        speakers = {who.pk for one in left for who in self._speaking.get(one.pk, self._links[one.pk].values())}
        speakers |= {one.pk for one in self._speaker_of.values()}
        self.gone_rooms = _unused(self._rooms, rooms)
        self.gone_speakers = _unused(self._speakers, speakers)
        self._tell_gone([*self.gone_rooms, *self.gone_speakers])

    def _was_left_out(self, session) -> bool:
        """A known session whose item can't be used this time isn't gone: it stays as it was."""
        key, title = _base_id(session.external_id), session.title[:200]
        return any(
            one.item in (key, title) or one.item.startswith(f"{key} ") or one.item.endswith(f" {title}")
            for one in self.schedule.problems
        )

    # The report

    def _tell_gone(self, rows, cancelled=False):
        self.report.gone += [Gone(one._meta.model_name, one.external_id, str(one), cancelled) for one in rows]

    def _tell(self):
        report = self.report
        for target in self._targets:
            key, title = target.item.external_id, target.session.title
            if "room" in target.fields:
                old, room = target.fields["room"]
                target.fields["room"] = (old, room and room.name)
            if target.is_new:
                report.added.append(Entry("session", key, title))
            elif target.fields:
                report.changed.append(Change("session", key, title, target.fields))
            else:
                report.unchanged["session"] += 1
        if self.event_fields:
            report.changed.insert(0, Change("event", self.event.external_id, self.event.title, self.event_fields))
        report.notes = [*(one for one in self.schedule.notes if not self._is_moot(one)), *self._notes()]

    def _is_moot(self, note):
        return note.endswith("set the event's time zone.") and self.event.timezone != "UTC"

    def _notes(self):
        if self._long:
            yield f"Cut, because too long: {_listed(self._long)}."
        if self._bad_addresses:
            yield f"No valid web address, so left out: {_listed(self._bad_addresses)}."
        if self._kept_by_hand:
            yield f"Keep the status that an organiser gave them: {_listed(self._kept_by_hand)}."
        zone = self.schedule.timezone
        if zone and zone != self.event.timezone:
            yield f"The schedule's time zone is {zone}; the event keeps {self.event.timezone}, set by hand."
        starts, ends = self.event.starts_at, self.event.ends_at
        outside = [one.title[:60] for one in self.schedule.sessions if one.starts_at < starts or one.ends_at > ends]
        if outside:
            yield f"Outside the event's times, which were set by hand: {_listed(f'“{one}”' for one in outside)}."

    # Texts that don't fit

    def _cut(self, value: str, limit: int, what: str) -> str:
        if len(value) <= limit:
            return value
        self._long.append(what)
        return f"{value[: limit - 1].rstrip()}…"

    def _address(self, value: str, whose: str) -> str:
        try:
            if value and len(value) <= 1000:
                _is_address(value)
                return value
        except ValidationError:
            pass
        if value:
            self._bad_addresses.append(f"{value[:80]} ({whose[:60]})")
        return ""


_is_address = URLValidator(schemes=["http", "https"])


def _apply(row, values) -> dict[str, tuple]:
    """Sets the values; returns those that differed: name → (old, new)."""
    fields = {name: (getattr(row, name), value) for name, value in values.items() if getattr(row, name) != value}
    for name, (_old, value) in fields.items():
        setattr(row, name, value)
    return fields


def _set_by_import(records, name, value) -> bool:
    """Whether the value that stands there now came with an import. ``records``: the history, oldest first."""
    current, by_import = object(), False
    for record in records:
        if record[name] != current:
            current, by_import = record[name], record["history_change_reason"] == IMPORTED
    return by_import and current == value


def _base_id(external_id: str) -> str:
    derived = _DERIVED_ID.fullmatch(external_id)
    return derived[1] if derived else external_id


def _paired(items, there: dict[str, Session]) -> dict[str, Session]:
    """Sessions whose id was derived from room and start, and changed with them; taken out of ``there``.

    The same id or title before that, the same title, and the nearest start within SAME_SLOT.
    """
    groups = defaultdict(list)
    for session in there.values():
        groups[_base_id(session.external_id), session.title].append(session)
    candidates = [
        (abs(session.starts_at - item.starts_at), item.external_id, session.external_id)
        for item in items
        for session in groups.get((item.source_id or _base_id(item.external_id), item.title), ())
    ]
    pairs = {}
    for distance, key, old_key in sorted(candidates):
        if distance <= SAME_SLOT and key not in pairs and old_key in there:
            pairs[key] = there.pop(old_key)
    return pairs


def _referred_to(model, rows) -> set:
    """Keys of the rows that anything but the agenda itself refers to, whichever app that is in."""
    keys, found = [row.pk for row in rows], set()
    for relation in model._meta.get_fields(include_hidden=True) if keys else ():
        if not (relation.auto_created and (relation.one_to_many or relation.one_to_one)):
            continue
        other, column = relation.related_model, relation.field
        if other in (Session, Session.speakers.through) or issubclass(other, HistoricalChanges):
            continue
        referring = other._base_manager.filter(**{f"{column.name}__in": keys})
        found.update(referring.values_list(column.attname, flat=True))
    return found


def _unused(rows, used) -> list:
    """Imported rooms or speakers that may go, because no session and nothing else needs them."""
    rows = [one for one in rows if one.external_id and one.pk not in used]
    needed = _referred_to(type(rows[0]), rows) if rows else ()
    return [one for one in rows if one.pk not in needed]


def _listed(names: Iterable[str], shown: int = 10) -> str:
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
