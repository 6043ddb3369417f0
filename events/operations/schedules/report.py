"""What an import did, or would do: for the command, the admin's preview and the tests alike."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from events.importers import Problem

KINDS = ("event", "room", "speaker", "session")


@dataclass(frozen=True)
class Entry:
    """A row that was added. ``external_id`` is the schedule's id of it."""

    kind: str
    external_id: str
    name: str


@dataclass(frozen=True)
class Change(Entry):
    """``fields``: name → (old, new), as stored; a room by its name, speakers as a list of names."""

    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Gone(Entry):
    """No longer in the schedule: deleted, or, where people hold on to it, ``cancelled``."""

    cancelled: bool


@dataclass
class Report:
    """What an import did; of a dry run, what it would do. ``event_id`` is None for an event to be."""

    event_id: int | None
    title: str
    timezone: str
    created: bool
    dry_run: bool
    added: list[Entry] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: Counter = field(default_factory=Counter)
    gone: list[Gone] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: str, entries: Iterable[Entry]) -> list[Entry]:
        return [one for one in entries if one.kind == kind]

    def table(self) -> list[tuple[str, int, int, int, int]]:
        """A line a kind: its plural, added, changed, unchanged, gone."""
        return [
            (
                f"{kind}s",
                len(self.of(kind, self.added)),
                len(self.of(kind, self.changed)),
                self.unchanged[kind],
                len(self.of(kind, self.gone)),
            )
            for kind in KINDS[1:]
        ]

    def described(self) -> list[tuple[Change, list[tuple[str, str, str]]]]:
        """Each change with its fields as (label, old, new), short enough for a line."""
        return [
            (change, [(_label(name), self._shown(old), self._shown(new)) for name, (old, new) in change.fields.items()])
            for change in self.changed
        ]

    def _shown(self, value) -> str:
        if value is None or value == "" or value == []:
            return "–"
        if isinstance(value, datetime):
            return f"{value.astimezone(ZoneInfo(self.timezone)):%Y-%m-%d %H:%M}"
        words = " ".join((", ".join(value) if isinstance(value, list) else str(value)).split())
        return words if len(words) <= 80 else f"{words[:79]}…"


def _label(name: str) -> str:
    return {"starts_at": "start", "ends_at": "end", "session_type": "type", "photo_url": "photo"}.get(
        name, name.replace("_", " ")
    )
