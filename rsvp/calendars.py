"""Sessions as calendar programs read them: iCalendar (RFC 5545).

The same rows make the same bytes, so that a program that asks each hour is told that nothing is new: DTSTAMP is
when the session was last changed (3.8.7.2, for calendars without METHOD), and not when it was asked for.
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils.html import strip_tags
from django.utils.translation import gettext as _
from icalendar import Calendar, Event, Timezone, TimezoneDaylight, TimezoneStandard, vText, vUri

PRODUCT = "-//Turnout//Turnout//EN"
UID_DOMAIN = "turnout"
"""A constant, whichever host was asked and wherever the site moves to: a session stays the same entry."""
ASK_AGAIN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Entry:
    """A session, with what a calendar says of it. ``speakers`` are names; ``timezone`` is its event's."""

    id: UUID
    title: str
    abstract: str
    track: str
    starts_at: datetime
    ends_at: datetime
    is_cancelled: bool
    sequence: int
    created_at: datetime
    revised_at: datetime
    room: str
    speakers: list[str]
    timezone: str
    event_title: str
    event_slug: str
    venue: str

    @property
    def page(self) -> str:
        return settings.SITE_URL + reverse("session_page", args=[self.event_slug, self.id])


def calendar(entries: Iterable[Entry], *, name: str = "") -> bytes:
    """A whole calendar. A program that subscribes to it shows it under its ``name``."""
    made = Calendar()
    made.add("PRODID", PRODUCT)
    made.add("VERSION", "2.0")
    made.add("CALSCALE", "GREGORIAN")
    if name:
        made.add("NAME", vText(line(name)))
        made.add("X-WR-CALNAME", vText(line(name)))
        made.add("REFRESH-INTERVAL", ASK_AGAIN_AFTER, parameters={"VALUE": "DURATION"})
        made.add("X-PUBLISHED-TTL", "PT1H")
    events, years = [], defaultdict(set)
    for entry in entries:
        start, end = _times(entry)
        events.append(_event(entry, start, end))
        years[entry.timezone if start.tzinfo is not UTC else "UTC"] |= {start.year, end.year}
    if events:
        years.pop("UTC", None)  # needs no rules
    else:
        years["UTC"] = {1970}  # a calendar has one component at least (3.6)
    for zone, used in sorted(years.items()):
        made.add_component(_zone(zone, min(used), max(used)))
    for event in events:
        made.add_component(event)
    return made.to_ical()


def _event(entry, start, end) -> Event:
    event = Event()
    event.add("UID", f"{entry.id}@{UID_DOMAIN}")
    event.add("DTSTAMP", entry.revised_at)
    event.add("CREATED", entry.created_at)
    event.add("LAST-MODIFIED", entry.revised_at)
    event.add("SEQUENCE", entry.sequence)
    event.add("STATUS", "CANCELLED" if entry.is_cancelled else "CONFIRMED")
    event.add("TRANSP", "TRANSPARENT" if entry.is_cancelled else "OPAQUE")
    event.add("DTSTART", start)
    if end > start:  # DTEND must be later (3.8.2.2); without one, the session ends as it starts (3.6.1)
        event.add("DTEND", end)
    event.add("SUMMARY", line(entry.title) or line(entry.event_title))
    if place := ", ".join(filter(None, map(line, (entry.room, entry.venue)))):
        event.add("LOCATION", place)
    if track := line(entry.track):
        event.add("CATEGORIES", [track])
    event.add("DESCRIPTION", _description(entry))
    event.add("URL", vUri(entry.page))
    return event


def _description(entry) -> str:
    speakers = ", ".join(filter(None, map(line, entry.speakers)))
    parts = (speakers and _("With {names}").format(names=speakers), line(entry.event_title), plain(entry.abstract))
    return "\n\n".join(part for part in (*parts, entry.page) if part)


# -- Texts -----------------------------------------------------------------------------------------------

CONTROL = dict.fromkeys([*range(10), *range(11, 32), *range(127, 160)])
HTML = re.compile(r"</?(?:p|br|ul|ol|li|a|b|i|em|strong|code|pre|div|span|blockquote|h[1-6])\b[^<>]*>", re.IGNORECASE)
NEW_LINE = re.compile(r"<br\b[^<>]*>|</(?:p|li|div|pre|blockquote|h[1-6]|ul|ol)\s*>", re.IGNORECASE)


def line(text: str) -> str:
    """One line, without control characters: what some programs would take for the next line ends none."""
    return " ".join(clean(text).split())


def clean(text: str) -> str:
    """With plain line ends only, whichever of Unicode's the text had, and no control characters."""
    return "\n".join(text.replace("\t", " ").splitlines()).translate(CONTROL)


def plain(text: str) -> str:
    """An abstract as text; many schedules have theirs in HTML."""
    if HTML.search(text):
        text = html.unescape(strip_tags(NEW_LINE.sub(lambda found: f"{found[0]}\n", text)))
    return re.sub(r"\n\s*\n\s*", "\n\n", clean(text)).strip()


# -- Times -----------------------------------------------------------------------------------------------


def _times(entry) -> tuple[datetime, datetime]:
    """By the event's clock. In UTC where that is its clock, and in the hour that comes twice: a local time there
    means the first of the two (3.3.5)."""
    zone = ZoneInfo(entry.timezone)
    local = entry.starts_at.astimezone(zone), entry.ends_at.astimezone(zone)
    if any(moment.fold or moment.tzname() == "UTC" for moment in local):
        return entry.starts_at.astimezone(UTC), entry.ends_at.astimezone(UTC)
    return local


class Onset(NamedTuple):
    """When clocks change; ``local`` is what they showed just then, before."""

    local: datetime
    before: timedelta
    after: timedelta
    name: str


LOOK_AHEAD = 6
"""Years, among which any rule of one weekday in a month shows whether it counts from the start or the end."""


@lru_cache(maxsize=512)
def _zone(name: str, first: int, last: int) -> Timezone:
    """A zone's rules for the years from ``first`` to ``last``: each change that comes yearly as a rule, others as
    they were. The library's own are an hour off in spring: RFC 5545 (3.6.5) counts onsets by the clock before."""
    zone = ZoneInfo(name)
    begin = datetime(first - 1, 1, 1, tzinfo=UTC)
    groups = defaultdict(list)
    for onset in _onsets(zone, begin, datetime(last + LOOK_AHEAD, 1, 1, tzinfo=UTC)):
        groups[onset[1:]].append(onset.local)
    made = Timezone()
    made.add("TZID", name)
    parts = [
        part
        for (before, after, short), onsets in groups.items()
        if (part := _observance(before, after, short, onsets, first, last))
    ]
    if not any(part.DTSTART.year < first for part in parts):  # nothing yet says what the clock shows at first
        start = begin.astimezone(zone)
        offset = start.utcoffset()
        parts.insert(0, _part(TimezoneStandard, start.replace(tzinfo=None), offset, offset, start.tzname()))
    for part in parts:
        made.add_component(part)
    return made


def _onsets(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[Onset]:
    def shown(moment):
        local = moment.astimezone(zone)
        return local.utcoffset(), local.tzname()

    days = [begin + timedelta(days=n) for n in range((end - begin).days + 1)]
    for (early, was), (late, is_) in pairwise((day, shown(day)) for day in days):
        while was != is_ and late - early > timedelta(seconds=1):
            middle = early + (late - early) // timedelta(seconds=2) * timedelta(seconds=1)
            early, late = (middle, late) if shown(middle) == was else (early, middle)
        if was != is_:
            yield Onset((late + was[0]).replace(tzinfo=None), was[0], *shown(late))


def _observance(before, after, name, onsets: list[datetime], first: int, last: int):
    """None where it comes after the last of the years."""
    if onsets[0].year > last:
        return None
    kind = TimezoneDaylight if after > before else TimezoneStandard
    rule = _rule(onsets) if onsets[-1].year == last + LOOK_AHEAD - 1 else None
    if rule:
        part = _part(kind, onsets[0], before, after, name)
        part.add("RRULE", rule)
        return part
    part = _part(kind, onsets[0], before, after, name)
    if more := [one for one in onsets[1:] if one.year <= last]:
        part.add("RDATE", more)
    return part


def _part(kind, start, before, after, name):
    part = kind()
    part.DTSTART, part.TZOFFSETFROM, part.TZOFFSETTO = start, before, after
    part.add("TZNAME", name)
    return part


WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def _rule(onsets: list[datetime]) -> dict | None:
    """The yearly rule that gives these and no others, if there is one."""
    first, last = onsets[0], onsets[-1]
    if [one.year for one in onsets] != list(range(first.year, last.year + 1)):
        return None
    if any((one.month, one.weekday(), one.time()) != (first.month, first.weekday(), first.time()) for one in onsets):
        return None
    counted = {(one.day + 6) // 7 for one in onsets}
    if len(counted) == 1:
        number = counted.pop()
    elif all((one + timedelta(days=7)).month != one.month for one in onsets):
        number = -1
    else:
        return None
    return {"FREQ": "YEARLY", "BYMONTH": first.month, "BYDAY": f"{number}{WEEKDAYS[first.weekday()]}"}
