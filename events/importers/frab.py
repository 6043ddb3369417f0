"""What frab's schedule.xml and its JSON twin (c3, pretalx) have in common.

Both describe conference days that run past midnight, with events that carry a start with offset
in newer files and only a wall clock time in older ones.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from .agenda import Agenda
from .base import BadItem, day_of, line, mapping, objects, paragraphs, read_clock, read_duration, read_time

_DATE_AND_TIME = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d.*", re.IGNORECASE)


def read_conference(agenda: Agenda, conference: dict) -> None:
    """The zone first: all that follows is read in it."""
    agenda.use_zone(conference.get("time_zone_name"))
    agenda.title = line(conference.get("title"))
    agenda.slug = line(conference.get("acronym"))
    agenda.description = paragraphs(conference.get("subtitle"), conference.get("description"))
    agenda.venue = ", ".join(filter(None, (line(conference.get("venue")), line(conference.get("city")))))
    agenda.event_times(conference.get("start"), conference.get("end"))
    with agenda.item("timeslot_duration"):
        agenda.slot = read_duration(conference.get("timeslot_duration")) or timedelta(0)


class Day:
    """A conference day: tells the real date of a bare wall clock time."""

    def __init__(self, agenda: Agenda, written: Any, start: Any, end: Any, day_change: Any = None) -> None:
        self._agenda = agenda
        self._written = written
        self._begins = self._local(start)
        self._ends = self._local(end)
        try:
            self._change = read_clock(day_change)
        except BadItem:
            self._change = time.min

    def _local(self, value: Any) -> datetime | None:
        """On the venue's clock if its zone is known, else on the clock of the offset as written.
        A bare date says nothing about the hour."""
        if not _DATE_AND_TIME.fullmatch(line(value)):
            return None
        try:
            moment = read_time(value)
            if moment.tzinfo and self._agenda.zone:
                return moment.astimezone(self._agenda.zone)
            return moment
        except (BadItem, OverflowError):
            return None

    def at(self, clock: time) -> datetime:
        """What is earlier than the day's begin belongs to the next date. Raises BadItem."""
        day = self._begins.date() if self._begins else day_of(self._written)
        change = self._begins.time() if self._begins else self._change
        moment = datetime.combine(day, clock)
        later = moment + timedelta(days=1)
        # A day that says when it ends has no room for what would come after: that is an early start.
        if clock < change and not (self._ends and later > self._ends.replace(tzinfo=None)):
            moment = later
        return moment.replace(tzinfo=self._offset())

    def _offset(self) -> tzinfo | None:
        """Where no zone is known, the offset of the day's begin serves its events too."""
        return self._begins.tzinfo if self._begins and not self._agenda.zone else None


def add_event(agenda: Agenda, day: Day | None, event: dict, room: str, track: Any = None) -> None:
    """Adds one event, read into a dict of frab's field names. `room` is its external id."""
    key = next(filter(None, (line(event.get(name)) for name in ("guid", "id", "code"))), "")
    names = (event.get("id") or event.get("code") or key, event.get("title"))
    state = line(event.get("state")).lower()
    cancelled = state in ("canceled", "cancelled")
    if not cancelled and not agenda.published(state, *names):
        return
    with agenda.item(*names):
        start = _start(agenda, day, event)
        agenda.session(
            key=key,
            title=event.get("title"),
            start=start,
            end=_end(agenda, start, event),
            room=room,
            speakers=[_speaker(agenda, person) for person in objects(event.get("persons"))],
            abstract=paragraphs(event.get("subtitle"), event.get("abstract"), event.get("description")),
            session_type=line(event.get("type")),
            track=line(event.get("track") if track is None else track),
            language=line(event.get("language")),
            url=event.get("url"),
            cancelled=cancelled,
        )


def _start(agenda: Agenda, day: Day | None, event: dict) -> datetime:
    written, clock = line(event.get("date")), line(event.get("start"))
    for value in (written, clock):
        if _DATE_AND_TIME.fullmatch(value):
            return agenda.moment(value)
    if not clock:
        raise BadItem("it has no start")
    if written:
        return agenda.moment(datetime.combine(day_of(written), read_clock(clock)))
    if day is None:
        raise BadItem("its start has no date")
    return agenda.moment(day.at(read_clock(clock)))


def _end(agenda: Agenda, start: datetime, event: dict) -> datetime | None:
    end = line(event.get("end"))
    if _DATE_AND_TIME.fullmatch(end):
        return agenda.moment(end, after=start)
    length = read_duration(event.get("duration"))
    return None if length is None else (start + length).astimezone(UTC)


def _speaker(agenda: Agenda, person: dict) -> str:
    # The guid comes last: it is often made from the e-mail address, which is nobody's business.
    key = next((line(person.get(name)) for name in ("code", "id", "guid") if line(person.get(name))), "")
    avatar = person.get("avatar") or person.get("avatar_url")
    return agenda.speaker(
        key,
        person.get("public_name") or person.get("name"),
        person.get("biography") or person.get("description"),
        mapping(avatar).get("url") or avatar,
    )
