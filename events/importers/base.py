"""What every schedule format is read into, and the rules that all formats share.

Nothing here or in the format modules knows Django: a file goes in, a `Schedule` or a
`ScheduleError` comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

LONGEST_SESSION = timedelta(days=366)
YEARS = range(1970, 2200)  # exporters write year 1 or 9999 where they mean "none"


class ScheduleError(Exception):
    """The whole file is refused; the message says where and what to do about it."""


class BadItem(Exception):
    """One item can't be used. `Agenda.item` (agenda.py) turns it into a Problem; the rest goes in."""


@dataclass(frozen=True, slots=True)
class RoomItem:
    external_id: str
    name: str
    capacity: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class SpeakerItem:
    external_id: str
    name: str
    biography: str = ""
    photo_url: str = ""


@dataclass(frozen=True, slots=True)
class SessionItem:
    """Times are UTC. `room` and `speakers` are external ids of the same Schedule.

    `source_id` is set only where several sessions share the file's id and `external_id` had to be
    derived from it: it lets an update recognise a session that was alone under that id before.
    """

    external_id: str
    title: str
    starts_at: datetime
    ends_at: datetime
    room: str = ""
    speakers: tuple[str, ...] = ()
    abstract: str = ""
    session_type: str = ""
    track: str = ""
    language: str = ""
    url: str = ""
    cancelled: bool = False
    source_id: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A bad item that was left out. `item` is its id and title, as a human would look for it."""

    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """`timezone` is None where the file has only offsets or UTC and nobody named a zone.

    `notes` are sentences for the report; `ignored` names what was left out on purpose.
    """

    format: str
    title: str
    slug: str
    description: str
    venue: str
    timezone: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    rooms: tuple[RoomItem, ...]
    speakers: tuple[SpeakerItem, ...]
    sessions: tuple[SessionItem, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """An input, parsed as far as all formats agree. `kind` says what `root` is:

    xml: the root element; json: the value; ical: the bytes; files: {path: bytes} of a folder or zip.
    """

    kind: str
    root: Any

    def parts(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of the named JSON parts that are there: files of that name (with or without
        `.json`), or keys of a single JSON object. Raises ScheduleError for a broken file."""
        if self.kind == "json" and isinstance(self.root, dict):
            return {name: self.root[name] for name in names if name in self.root}
        if self.kind != "files":
            return {}
        found = {}
        # The shallowest file wins: an export holds copies and samples in deeper folders at most.
        for path in sorted(self.root, key=lambda path: (path.count("/"), path)):
            name = path.rpartition("/")[2].lower().removesuffix(".json")
            if name in names and name not in found:
                found[name] = load_json(self.root[path], path)
        return found


def load_json(data: bytes, name: str = "") -> Any:
    """Raises ScheduleError with the line. UTF-8, -16 and -32, with or without a BOM."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ScheduleError(f"{name or 'The file'} is broken JSON: {error.msg} at {where}.") from error
    except (ValueError, RecursionError) as error:  # an encoding, a huge number, deep nesting
        raise ScheduleError(f"{name or 'The file'} is broken JSON: {error}.") from error


# ---------------------------------------------------------------------------------------- texts

# Control characters, surrogates (JSON can smuggle them in, PostgreSQL refuses them) and non-characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def text(value: Any) -> str:
    """A text out of whatever stands there: a string, a number, an object by language (English, or
    else the first); anything else is ""."""
    if isinstance(value, dict):
        wanted = [value.get("en"), *value.values()]
        value = next((each for each in wanted if isinstance(each, str) and each.strip()), "")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return _UNPRINTABLE.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n")).strip()


def line(value: Any) -> str:
    """Like `text`, on one line: for titles and names."""
    return " ".join(text(value).split())


def paragraphs(*values: Any) -> str:
    """The texts one below the other; exporters like to repeat one as the other: once is enough."""
    return "\n\n".join(dict.fromkeys(filter(None, map(text, values))))


def link(value: Any) -> str:
    """A web address; a path within the exporter's site or a script is none."""
    address = line(value)
    return address if address.lower().startswith(("https://", "http://")) else ""


def objects(value: Any) -> list[dict]:
    """The objects in a list, or in an object keyed by id (then the key stands in for a missing id)."""
    if isinstance(value, dict):
        return [{"id": key, **each} for key, each in value.items() if isinstance(each, dict)]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------------------------------- times


@cache
def _zones() -> Mapping[str, str]:
    return {name.lower(): name for name in available_timezones()}


def zone_named(name: str) -> ZoneInfo | None:
    """None for anything that is no IANA name (aliases such as US/Pacific are)."""
    known = _zones().get(name.strip().lower())
    return ZoneInfo(known) if known else None


def read_time(value: Any) -> datetime:
    """The date and time written there in ISO 8601, naive where it has no offset. Raises BadItem."""
    written = line(value)
    # Some exporters put a blank before the offset.
    joined = re.sub(r"\s+(?=[+-]\d\d:?\d\d$|Z$)", "", written, flags=re.IGNORECASE).upper()
    try:
        moment = datetime.fromisoformat(joined)
    except ValueError:
        raise BadItem(f"“{written[:60]}” is not a date and time") from None
    if moment.year not in YEARS:
        raise BadItem(f"“{written[:60]}” is not a possible date")
    return moment


_CLOCK = re.compile(r"(\d{1,2})[:.h]?(\d{2})(?:[:.](\d{2})(?:\.\d+)?)?")


def read_clock(value: Any) -> time:
    """A wall clock time: 9:30, 09:30:00, 0930. Raises BadItem."""
    written = line(value)
    match = _CLOCK.fullmatch(written)
    try:
        return time(*(int(part or 0) for part in match.groups()))
    except (AttributeError, ValueError):
        raise BadItem(f"“{written[:60]}” is not a time of day") from None


_ISO_DURATION = re.compile(
    r"P(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})(?:\.\d+)?S)?)?"
)
_HOURS_MINUTES = re.compile(r"(\d{1,4}):(\d{1,2})(?::(\d{1,2}))?")


def read_duration(value: Any) -> timedelta | None:
    """45 (minutes), 1:30, 00:45:00, PT1H30M; None where nothing is said. Raises BadItem."""
    written = line(value)
    if not written:
        return None
    if match := _HOURS_MINUTES.fullmatch(written):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    elif re.fullmatch(r"\d{1,6}(?:\.0+)?", written):
        length = timedelta(minutes=float(written))
    elif written[-1:] not in "PT" and (match := _ISO_DURATION.fullmatch(written.upper())):
        units = ("weeks", "days", "hours", "minutes", "seconds")
        length = timedelta(**{unit: int(part or 0) for unit, part in zip(units, match.groups(), strict=True)})
    else:
        raise BadItem(f"“{written[:60]}” is not a duration")
    if length > LONGEST_SESSION:
        raise BadItem(f"“{written[:60]}” is not a possible duration")
    return length


def day_of(value: Any) -> date:
    """The date written there (a date, or a date and time). Raises BadItem."""
    return read_time(value).date()
