"""Public conference schedules, read into one shape. Pure: no database, no Django, no network.

`read_schedule` takes a path, `parse` takes bytes; both sniff the format by content. Whatever a file
holds, they return a `Schedule` or raise `ScheduleError`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from . import c3_json, frab_xml, ical, open_event, pretalx, sessionize
from .base import (
    Document,
    Problem,
    RoomItem,
    Schedule,
    ScheduleError,
    SessionItem,
    SpeakerItem,
    load_json,
)

__all__ = [
    "FORMATS",
    "Problem",
    "RoomItem",
    "Schedule",
    "ScheduleError",
    "SessionItem",
    "SpeakerItem",
    "parse",
    "read_schedule",
]

# Each has NAME, sniff(document) and read(document, timezone). The first that knows the file reads it.
FORMATS: tuple[ModuleType, ...] = (frab_xml, c3_json, pretalx, open_event, sessionize, ical)

MAX_UNPACKED = 200 * 2**20
MAX_MEMBERS = 5000
_TEXT_FILES = ("", "json", "xml", "ics")


def read_schedule(path: Path | str, timezone: str | None = None) -> Schedule:
    """Read a file, or the folder of an export in several files. Raises ScheduleError."""
    path = Path(path)
    try:
        if path.is_dir():
            members = {each.relative_to(path).as_posix(): each for each in sorted(path.rglob("*")) if each.is_file()}
            files = {name: each.read_bytes() for name, each in members.items() if _is_wanted(name)}
            return _guarded(lambda: Document("files", files), path.name, timezone)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScheduleError(f"{path} can't be read: {reason}.") from error
    return parse(data, path.name, timezone)


def parse(data: bytes, name: str, timezone: str | None = None) -> Schedule:
    """Read an upload. `name` is only a title of last resort. Raises ScheduleError."""
    return _guarded(lambda: _load(data), name, timezone)


def _guarded(load: Callable[[], Document], name: str, timezone: str | None) -> Schedule:
    try:
        schedule = _read(load(), timezone)
    except ScheduleError:
        raise
    except RecursionError as error:
        raise ScheduleError("The file is nested too deeply.") from error
    except Exception as error:
        # Uploads are hostile input and the parsers below are large: a hole in one must not take the
        # page down. What is foreseen is answered with a better sentence further in.
        raise ScheduleError(f"The file can't be read ({type(error).__name__}: {str(error)[:200]}).") from error
    return schedule if schedule.title else replace(schedule, title=Path(name).stem or "Schedule")


def _read(document: Document, timezone: str | None) -> Schedule:
    for module in FORMATS:
        if module.sniff(document):
            return module.read(document, timezone)
    if document.kind == "files":
        return _read_only_member(document, timezone)
    raise ScheduleError(_why_unknown(document))


def _read_only_member(document: Document, timezone: str | None) -> Schedule:
    """Some sites pack the one file that they offer."""
    members = [name for name in document.root if _suffix(name)]
    if len(members) != 1:
        raise ScheduleError(
            f"No known schedule format among its {len(document.root)} files; "
            "Open Event and Sessionize exports hold sessions.json, speakers.json and others."
        )
    return _read(_load(document.root[members[0]], packed=True), timezone)


def _why_unknown(document: Document) -> str:
    known = "Known formats are " + ", ".join(module.NAME for module in FORMATS) + "."
    if document.kind == "xml":
        return f"No known schedule format: XML whose root is <{str(document.root.tag)[:60]}>. {known}"
    root = document.root
    if isinstance(root, list):
        root, what = next((each for each in root if isinstance(each, dict)), {}), "a list of objects with"
    else:
        what = "an object with"
    if not isinstance(root, dict) or not root:
        return f"No known schedule format: JSON without anything in it. {known}"
    keys = ", ".join(str(key)[:30] for key in list(root)[:8])
    return f"No known schedule format: JSON, {what} {keys}; maybe one conference's own. {known}"


# ------------------------------------------------------------------------------------- loading


def _load(data: bytes, packed: bool = False) -> Document:
    """What it is, by its first characters. Raises ScheduleError for what is none of it, or broken."""
    if not data.strip(b"\x00 \t\r\n\xef\xbb\xbf"):
        raise ScheduleError("The file is empty.")
    if data[:4] == b"PK\x03\x04" and not packed:
        return Document("files", _unpack(data))
    # Enough to tell: all encodings of interest write these characters in ASCII, some with zeros between.
    head = data[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\x00", b"").lstrip()
    if head[:1] in (b"{", b"["):
        return Document("json", load_json(data))
    if head.upper().startswith(b"BEGIN:VCALENDAR"):
        return Document("ical", data)
    if head[:1] == b"<":
        if head[:14].lower() == b"<!doctype html" or head[:5].lower() == b"<html":
            raise ScheduleError("This is a web page, not a schedule file; download the export itself.")
        return Document("xml", _load_xml(data))
    raise ScheduleError(
        "No known schedule format: neither XML, JSON nor iCalendar. "
        "Spreadsheets and CSV differ from conference to conference and can't be read."
    )


def _load_xml(data: bytes):
    try:
        return defusedxml.ElementTree.fromstring(data.lstrip())
    except ParseError as error:
        raise ScheduleError(f"The file is broken XML: {error}.") from error  # it names line and column
    except DefusedXmlException as error:
        raise ScheduleError("The file defines XML entities, which can be an attack; remove them.") from error
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise ScheduleError(f"The file is broken XML: {error}.") from error


def _unpack(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = MAX_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [each for each in archive.infolist() if not each.is_dir() and _is_wanted(each.filename)]
            for member in members[:MAX_MEMBERS]:
                with archive.open(member) as packed:
                    files[member.filename] = packed.read(left + 1)
                left -= len(files[member.filename])
                if left < 0:
                    raise ScheduleError("The archive is larger than 200 MB when unpacked.")
    except (zipfile.BadZipFile, zlib.error, RuntimeError, LookupError, EOFError, OSError, ValueError) as error:
        raise ScheduleError(f"The archive is broken: {error}.") from error
    return files


def _is_wanted(name: str) -> bool:
    """Exports also hold pictures, and archives what the operating system adds."""
    parts = name.split("/")
    hidden = any(part.startswith((".", "__")) for part in parts)
    return not hidden and _suffix(name) in _TEXT_FILES


def _suffix(name: str) -> str:
    return Path(name).suffix.lower().removeprefix(".")
