"""iCalendar (RFC 5545): one VEVENT a session, recurring ones once for each time they happen."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import recurring_ical_events
from icalendar import Calendar, Component
from icalendar.error import BrokenCalendarProperty

from .agenda import Agenda
from .base import BadItem, Document, Schedule, ScheduleError, line, paragraphs, zone_named

NAME = "iCalendar"
# How long a series is followed, and how often it is taken: a conference repeats nothing more often,
# and a hostile file would keep the library busy for ever.
HORIZON = timedelta(days=3 * 366)
HORIZON_WITHOUT_END = timedelta(days=366)
MOST_OCCURRENCES = 500
_PLAIN_FREQUENCIES = {"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}
_SUB_DAILY = {"BYSECOND", "BYMINUTE", "BYHOUR"}
_CONTENT_LINE = re.compile(r"[A-Za-z0-9-]+[;:]|[ \t]")


def sniff(document: Document) -> bool:
    return document.kind == "ical"


def read(document: Document, timezone: str | None) -> Schedule:
    agenda = Agenda(NAME, timezone)
    calendars = _parse(_lines(agenda, document.root))
    first = calendars[0] if calendars else Component()
    events = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    agenda.use_zone(_zone(first, events))
    agenda.title = _text(first, "X-WR-CALNAME") or _text(first, "NAME") or _text(first, "X-WR-CALDESC")
    agenda.description = paragraphs(_text(first, "X-WR-CALDESC") or _text(first, "DESCRIPTION"))
    series = defaultdict(list)
    for event in events:
        series[_text(event, "UID")].append(event)
    zones = [zone for calendar in calendars for zone in calendar.walk("VTIMEZONE")]
    for uid, members in series.items():
        if uid and any(_recurs(member) for member in members):
            _add_series(agenda, uid, members, zones)
        else:
            for event in members:
                _add(agenda, event, uid)
    return agenda.schedule()


# -------------------------------------------------------------------------------- lines, calendar


def _lines(agenda: Agenda, data: bytes) -> str:
    """The text with its BEGINs and ENDs checked (the library takes half a file for a whole one).

    Raises ScheduleError with the line."""
    content = _decode(agenda, data)
    content = content.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    kept, inside = [], []
    for number, each in enumerate(content.split("\n"), 1):
        word, _, name = each.strip().partition(":")
        name = name.strip().upper()
        if word.upper() == "BEGIN":
            inside.append(name)
        elif word.upper() == "END" and (not inside or inside.pop() != name):
            raise ScheduleError(f"The calendar is broken at line {number}: “END:{name[:40]}” ends nothing.")
        # One stray line outside of the events is no reason to refuse them.
        if each.strip() and (len(inside) > 1 or _CONTENT_LINE.match(each)):
            kept.append(each)
    if inside:
        raise ScheduleError(f"The calendar breaks off at line {number}: its {inside[-1][:40]} has no end.")
    return "\r\n".join(kept) + "\r\n"


def _decode(agenda: Agenda, data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # Some exporters fold lines in the middle of a character: then only the unfolded bytes are UTF-8.
    for attempt in (lambda: data, lambda: re.sub(rb"\r?\n[ \t]", b"", data)):
        try:
            return attempt().decode(encoding)
        except UnicodeDecodeError:
            continue
    agenda.notes.append("The file is not in UTF-8, as iCalendar must be; it was read as Latin-1.")
    return data.decode("latin-1")


def _parse(content: str) -> list[Component]:
    try:
        return list(Calendar.from_ical(content, multiple=True))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise ScheduleError(f"The calendar is broken: {line(str(error))[:200]}.") from error


def _property(event: Component, name: str) -> Any:
    value = event.get(name)
    return value[0] if isinstance(value, list) and value else value


def _ask(value: Any, attribute: str, default: Any) -> Any:
    """getattr for the library's values: the broken ones raise something else for what they lack."""
    try:
        return getattr(value, attribute)
    except (AttributeError, BrokenCalendarProperty):
        return default


def _parameters(event: Component, name: str) -> Any:
    return _ask(_property(event, name), "params", {})


def _text(event: Component, name: str) -> str:
    value = _property(event, name)
    return "" if value is None else str(value)


def _zone(calendar: Component, events: list[Component]) -> str:
    """The calendar's own, else the one that most events are written in."""
    if named := _text(calendar, "X-WR-TIMEZONE") or _text(calendar, "TIMEZONE-ID"):
        return named
    used = Counter(str(_parameters(event, "DTSTART").get("TZID", "")) for event in events)
    known = [name for name, _ in used.most_common() if name.upper() not in ("", "UTC") and zone_named(name)]
    return known[0] if known else ""


# ------------------------------------------------------------------------------------------ events


def _add(agenda: Agenda, event: Component, key: str) -> None:
    with agenda.item(key, _text(event, "SUMMARY")):
        start = _time(event, "DTSTART")
        if start is None:
            raise BadItem("it has no start")
        starts_at = agenda.moment(_at_midnight(start))
        agenda.session(
            key=key,
            title=_text(event, "SUMMARY"),
            start=starts_at,
            end=_end(agenda, event, start, starts_at),
            room=agenda.room("", _text(event, "LOCATION")),
            abstract=paragraphs(_text(event, "DESCRIPTION")),
            track=line(", ".join(_categories(event))),
            language=line(_parameters(event, "SUMMARY").get("LANGUAGE")),
            url=_text(event, "URL"),
            cancelled=_text(event, "STATUS").strip().upper() == "CANCELLED",
        )


def _time(event: Component, name: str) -> datetime | date | timedelta | None:
    value = _property(event, name)
    moment = _ask(value, "dt", None)
    if moment is None and value is not None:
        raise BadItem(f"its {name} “{line(str(value))[:60]}” can't be read")
    return moment


def _at_midnight(moment: Any) -> datetime:
    if isinstance(moment, datetime):
        return moment
    if isinstance(moment, date):
        return datetime.combine(moment, time.min)
    raise BadItem("it has no start")


def _end(agenda: Agenda, event: Component, start: datetime | date, starts_at: datetime) -> datetime | None:
    """DTEND, or DURATION; without either a date means that day (RFC 5545, 3.6.1)."""
    end = _time(event, "DTEND")
    if isinstance(end, date):
        return agenda.moment(_at_midnight(end), after=starts_at)
    length = _time(event, "DURATION")
    if length is None and not isinstance(start, datetime):
        length = timedelta(days=1)
    if not isinstance(length, timedelta):
        return None
    try:
        if isinstance(start, datetime):
            return starts_at + length
        # Days are counted on the calendar: one with a clock change has not 24 hours.
        return agenda.moment(_at_midnight(start) + length, after=starts_at)
    except OverflowError:
        raise BadItem("its DURATION is not possible") from None


def _categories(event: Component) -> Iterator[str]:
    value = event.get("CATEGORIES")
    for each in value if isinstance(value, list) else [value]:
        yield from (str(name) for name in _ask(each, "cats", ()))


# ------------------------------------------------------------------------------------------ series


def _recurs(event: Component) -> bool:
    return "RRULE" in event or "RDATE" in event


def _add_series(agenda: Agenda, uid: str, members: list[Component], zones: list[Component]) -> None:
    """Each occurrence under the UID and the time it was planned for, which a move does not change."""
    name = _text(members[0], "SUMMARY")
    with agenda.item(uid, name):
        try:
            occurrences, cut = _occurrences(members, zones)
        except _Irregular as why:
            agenda.notes.append(f"“{line(name)[:80]}”: {why}; only its first time was taken.")
            for event in members:
                _add(agenda, event, uid)
            return
        if cut:
            agenda.notes.append(f"“{line(name)[:80]}” goes on; its first {len(occurrences)} times were taken.")
        for event in occurrences:
            planned = _time(event, "RECURRENCE-ID") or _time(event, "DTSTART")
            moment = agenda.moment(_at_midnight(planned))
            _add(agenda, event, f"{uid}@{moment:%Y%m%dT%H%MZ}")


class _Irregular(Exception):
    """A series that can't be unrolled, or not in sensible time."""


def _occurrences(members: list[Component], zones: list[Component]) -> tuple[list[Component], bool]:
    """Those within the horizon by their start, and whether there are more."""
    endless = [_check_rule(rule) for event in members for rule in _rules(event)]
    calendar = Calendar()
    for part in (*zones, *members):
        calendar.add_component(part)
    try:
        masters = [event for event in members if "RECURRENCE-ID" not in event] or members
        first = min(map(_wall_clock, masters))
        # A day earlier than the earliest: these are local times, the query is in UTC.
        start = (first - timedelta(days=1)).replace(tzinfo=UTC)
        stop = start + (HORIZON_WITHOUT_END if any(endless) else HORIZON)
        query = recurring_ical_events.of(calendar)
        found = sorted(query.between(start, stop), key=_wall_clock)
        more = any(endless) or len(found) > MOST_OCCURRENCES or bool(query.between(stop, stop + HORIZON))
    except (BadItem, ValueError, TypeError, KeyError, AttributeError, OverflowError, ArithmeticError) as error:
        raise _Irregular("its recurrence can't be read") from error
    return found[:MOST_OCCURRENCES], more


def _wall_clock(event: Component) -> datetime:
    return _at_midnight(_time(event, "DTSTART")).replace(tzinfo=None)


def _rules(event: Component) -> list:
    value = event.get("RRULE", [])
    return value if isinstance(value, list) else [value]


def _check_rule(rule: Any) -> bool:
    """Whether it never ends. Raises _Irregular for what could keep the library busy for ever."""
    if not isinstance(rule, dict):  # a broken one is kept as text
        raise _Irregular("its recurrence can't be read")
    frequency = [str(each).upper() for each in rule.get("FREQ", [])]
    interval = rule.get("INTERVAL", [1])
    if not _PLAIN_FREQUENCIES.issuperset(frequency) or len(frequency) != 1 or not _SUB_DAILY.isdisjoint(rule):
        raise _Irregular("it recurs more often than daily")
    if any(not isinstance(each, int) or each < 1 for each in interval):
        raise _Irregular("its INTERVAL is not possible")
    return "COUNT" not in rule and "UNTIL" not in rule
