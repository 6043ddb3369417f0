"""Times in a list: written in many ways, and read by one order of day and month for the whole column."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from events.models.event import TIMEZONES
from events.models.people import EARLIEST, LATEST

DAY_FIRST, MONTH_FIRST = "day_first", "month_first"
NEAR = timedelta(days=1)
"""Before the start and after the end of an event, a check-in still belongs to it."""

LONGEST = 80
"""Characters of a cell that may be a time."""

MONTHS = {
    name: number
    for number, names in enumerate(
        [
            "jan january januar janv janvier ene enero janeiro gen gennaio januari",
            "feb february februar fevr fevrier febrero fev fevereiro febbraio februari",
            "mar march marz maerz mrz mars marzo marco mrt maart",
            "apr april avr avril abr abril aprile",
            "may mai mayo maio mag maggio mei maj",
            "jun june juni juin junio junho giu giugno",
            "jul july juli juil juillet julio julho lug luglio",
            "aug august aou aout ago agosto augustus augusti",
            "sep sept september septembre septiembre set setembro settembre",
            "oct october okt oktober octobre octubre out outubro ott ottobre",
            "nov november novembre noviembre novembro",
            "dec december dez dezember decembre dic diciembre dezembro dicembre",
        ],
        start=1,
    )
    for name in names.split()
}

CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,]\d+)?\s*((?:am|pm)\b|a\.m\.|p\.m\.)?(?![\d:])", re.I)
OFFSET = re.compile(r"(?:^|\s)\(?(?:utc|gmt)?\s*([+-])(\d{1,2}):?(\d{2})?\)?$", re.I)
FILLERS = frozenset({"at", "um", "uhr", "kl", "h"})
YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
NUMBERS = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})")
NAMED = re.compile(
    r"(?:(\d{1,2})\.?(?:st|nd|rd|th)?\s+(?:de\s+)?)?([^\W\d]{3,})\.?\s+(?:de\s+)?(?:(\d{1,2})(?:st|nd|rd|th)?\s+)?(\d{4})"
)
WEEKDAY = re.compile(r"^[^\W\d]{2,}\.?\s+(?=\d|[^\W\d]{3,}\.?\s+\d)")


@dataclass(frozen=True)
class Reading:
    """A cell taken apart: the day as it is written, the time of day, and the offset if it has one."""

    first: int
    second: int
    year: int
    """The day is (year, first, second) where ``order`` is known; else first and second await it."""
    order: str | None
    """MONTH_FIRST where the cell itself tells; None where day and month can't be told apart."""
    clock: time | None
    zone: timezone | None
    dated: bool = True

    def day(self, order) -> date | None:
        month, day = (self.second, self.first) if (self.order or order) == DAY_FIRST else (self.first, self.second)
        try:
            return date(self.year, month, day)
        except ValueError:
            return None


def read(cell: str) -> Reading | None:
    """None where the cell is no time."""
    if len(cell) > LONGEST:
        return None
    text = unicodedata.normalize("NFKC", cell).strip()
    text = re.sub(r"(\d{4})年(\d{1,2})月(\d{1,2})日", r"\1-\2-\3 ", text)
    text = re.sub(r"(上午|午前|下午|午後)\s*([\d:]+)", lambda m: f"{m[2]} {'am' if m[1] in '上午午前' else 'pm'}", text)
    text = re.sub(r"(?<=\d)[T_](?=\d)", " ", text)
    clock = zone = None
    if found := CLOCK.search(text):
        clock = _clock(found)
        if clock is None:
            return None
        rest = text[found.end() :].strip()
        zone, rest = _zone(rest)
        if zone is None and rest in TIMEZONES | {"Z", "z"}:
            zone, rest = (UTC if rest in "Zz" else ZoneInfo(rest)), ""
        text = f"{text[: found.start()]} {rest}".strip()
    text = " ".join(word for word in text.replace(",", " ").split() if word.lower().rstrip(".") not in FILLERS)
    if not text:
        return Reading(0, 0, 0, None, clock, zone, dated=False) if clock else None
    return _day(text, clock, zone)


def _clock(found) -> time | None:
    hour, minute, second, half = int(found[1]), int(found[2]), int(found[3] or 0), (found[4] or "").lower()[:1]
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def _zone(rest):
    if rest.lower() in ("utc", "gmt", "(utc)", "(gmt)"):
        return UTC, ""
    if found := OFFSET.search(rest):
        hours, minutes = int(found[2]), int(found[3] or 0)
        if hours <= 14 and minutes < 60:
            offset = timedelta(hours=hours, minutes=minutes)
            return timezone(-offset if found[1] == "-" else offset), rest[: found.start()].strip()
    return None, rest


def _day(text, clock, zone) -> Reading | None:
    if found := YEAR_FIRST.fullmatch(text):
        return _told(int(found[2]), int(found[3]), int(found[1]), clock, zone)
    if found := NUMBERS.fullmatch(text):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        year += 2000 if year < 100 else 0
        if found[2] == ".":  # nobody writes the month first with dots
            return _told(second, first, year, clock, zone)
        if first > 12:
            return _told(second, first, year, clock, zone)
        if second > 12 or first == second or not _told(first, second, year, clock, zone):
            return _told(first, second, year, clock, zone)
        return Reading(first, second, year, None, clock, zone)
    for candidate in (text, WEEKDAY.sub("", text)):
        if found := NAMED.fullmatch(candidate):
            month = MONTHS.get(_plain(found[2]))
            day = found[1] or found[3]
            if month and day and not (found[1] and found[3]):
                return _told(month, int(day), int(found[4]), clock, zone)
    return None


def _told(month, day, year, clock, zone) -> Reading | None:
    try:
        date(year, month, day)
    except ValueError:
        return None
    if not EARLIEST.year < year < LATEST.year:
        return None
    return Reading(month, day, year, MONTH_FIRST, clock, zone)


def _plain(word) -> str:
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


# -- The whole column --------------------------------------------------------------------------

SHORT = re.compile(r"(\d{1,2})[-/](\d{1,2})[-/]\d")


def order_of(cells: Iterable[str]) -> str | None:
    """The order of day and month that the column itself gives away; None where it doesn't, or does both."""
    orders = set()
    for cell in cells:
        if (found := SHORT.match(cell.strip())) and len(found[1]) <= 2:
            first, second = int(found[1]), int(found[2])
            if first > 12 >= second:
                orders.add(DAY_FIRST)
            elif second > 12 >= first:
                orders.add(MONTH_FIRST)
    return orders.pop() if len(orders) == 1 else None


def undecided(readings: Iterable[Reading]) -> list[Reading]:
    """Those that need an order from outside."""
    return [one for one in readings if one.dated and one.clock and one.order is None]


def order_at(readings: Iterable[Reading], event, zone=None) -> str | None:
    """The one order that puts the undecided times on the days of the event; None where both do, or neither."""
    readings = undecided(readings)
    fits = [
        order
        for order in (DAY_FIRST, MONTH_FIRST)
        if all((at := moment(one, order, event, zone)) and near(at, event) for one in readings)
    ]
    return fits[0] if len(fits) == 1 else None


def zone_in(heading: str):
    """The zone that a heading names: "Join Time (UTC)", "Check-in (Europe/Berlin)"."""
    for named in re.findall(r"[(\[]([^)\]]+)[)\]]", heading):
        if named in TIMEZONES:
            return ZoneInfo(named)
        zone, rest = _zone(named)
        if zone is not None and not rest:
            return zone
    return None


def moment(reading: Reading, order, event, zone=None) -> datetime | None:
    """The time in full; without a zone, on the event's clocks. None for a day without time of day.

    A time that the clocks skip is read as an hour later, one that they repeat as the first.
    """
    if reading.clock is None:
        return None
    zone = reading.zone or zone or event.zone
    if reading.dated:
        day = reading.day(order)
        return day and _instant(day, reading.clock, zone)
    first = event.starts_at.astimezone(zone).date()
    moments = [_instant(first + timedelta(days=days), reading.clock, zone) for days in (-1, 0, 1)]
    long = event.ends_at - event.starts_at >= NEAR
    here = [one for one in moments if event.starts_at - NEAR / 4 <= one <= event.ends_at + NEAR / 4]
    return here[0] if len(here) == 1 and not long else None


def _instant(day, clock, zone) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def near(at: datetime, event) -> bool:
    return event.starts_at - NEAR <= at <= event.ends_at + NEAR


def far(reading: Reading, order, event) -> bool:
    """Whether a day without time of day is none of the event's; False where it can't be told."""
    if reading.clock or not (reading.order or order) or (day := reading.day(order)) is None:
        return False
    days = [one.astimezone(event.zone).date() for one in (event.starts_at, event.ends_at)]
    return not days[0] - NEAR <= day <= days[1] + NEAR
