"""Importing who came: a list kept elsewhere, a webinar's report.

What the preview shows and what is done come from one planner, which guesses nothing: a row that
isn't about exactly one attendee, or doesn't say clearly what it says, is listed with its line.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config.errors import DomainError, NotFound, operation
from config.tables import UNCALCULATED, Table, fold
from events.models import Event

from ...models import AttendanceSource, AttendanceStatus
from .. import marking, record
from . import columns as headings
from . import names
from .columns import score
from .matching import Nobody, Person, Room, name_in, name_of
from .moments import DAY_FIRST, MONTH_FIRST
from .saying import CAME, NO, NOTHING, AskListed, AskOrder, Sayings, combined, lines_of

__all__ = [
    "DAY_FIRST",
    "MONTH_FIRST",
    "AmbiguousColumns",
    "AskListed",
    "AskOrder",
    "Choices",
    "NoIdentifier",
    "Report",
    "import_attendance",
    "score",
]


class NoIdentifier(DomainError):
    code = "import_no_identifier"
    status = 400
    message = gettext_lazy(
        "This list has no column that tells people apart: ticket code, owner ID, e-mail or phone. A name is not enough."
    )


class AmbiguousColumns(DomainError):
    code = "import_columns_ambiguous"
    status = 400
    message = gettext_lazy("These columns could mean the same: {columns}. Rename or delete all but the right one.")


@dataclass(frozen=True)
class Choices:
    """What the person says where the list doesn't."""

    listed: AttendanceStatus | None = None
    """What it means to be on a list that doesn't say who came."""
    dates: str | None = None
    """DAY_FIRST or MONTH_FIRST."""
    no_is_absent: bool = False
    """Whether a "no" marks somebody absent; otherwise it says that they weren't seen."""
    overwrite: bool = False
    """Whether the list is right where a person or a scan marked somebody differently."""


class Entry(NamedTuple):
    """One row, or one person's rows, in a list of the report."""

    line: int
    name: str
    reason: str = ""
    at: datetime | None = None


@dataclass
class Report:
    """What an import would do, or did. Each person, and each row that is about nobody or unreadable, is in a list."""

    event: Event
    columns: list[tuple[str, str]]
    """Heading and what it was understood as."""
    unused: list[str]
    """Headings of all other columns."""
    rows: int
    to_mark: dict[AttendanceStatus, list[Entry]] = field(default_factory=dict)
    unchanged: list[Entry] = field(default_factory=list)
    silent: list[Entry] = field(default_factory=list)
    """People about whom the list says nothing, or "no" where that is to mean nothing."""
    kept: list[Entry] = field(default_factory=list)
    """Marked differently by hand or by a scan."""
    ambiguous: list[Entry] = field(default_factory=list)
    unknown: list[Entry] = field(default_factory=list)
    unreadable: list[Entry] = field(default_factory=list)
    outrun: list[Entry] = field(default_factory=list)
    """Marked by somebody else while the import ran, and so left alone."""
    unlisted: int = 0
    """Attendees who aren't on the list."""
    warning: str = ""
    """That this may be the list of another event."""
    notes: list[str] = field(default_factory=list)

    @property
    def marked(self) -> int:
        return sum(len(entries) for entries in self.to_mark.values())


@operation
def import_attendance(*, event_id, table: Table, choices: Choices, actor, dry_run: bool) -> Report:
    """Marks the event's attendees as the list says. Locks nobody while it reads: whoever is marked
    by somebody else meanwhile stays as they are and is reported.

    Raises NotFound, NoIdentifier, AmbiguousColumns, AskListed, AskOrder.
    """
    report, marks = _plan(event_id, table, choices, actor, timezone.now())
    if dry_run or not marks:
        return report
    written = record.write([mark for mark, _person, _entry in marks])
    done = [(mark, person) for mark, person, _entry in marks if person.id in written]
    gone = [person.id for mark, person in done if person.is_here and mark.new not in AttendanceStatus.HERE]
    if gone:
        marking.close_check_ins(gone, actor)
    for mark, person, entry in marks:
        if person.id not in written:
            report.to_mark[mark.new].remove(entry)
            report.outrun.append(entry)
    return report


# -- The planner -------------------------------------------------------------------------------

MEANINGS = {
    "ticket": gettext_lazy("ticket code"),
    "owner_id": gettext_lazy("owner ID"),
    "email": gettext_lazy("e-mail"),
    "phone": gettext_lazy("phone"),
    "name": gettext_lazy("name, only compared"),
    "first_name": gettext_lazy("first name, only compared"),
    "last_name": gettext_lazy("last name, only compared"),
    "status": gettext_lazy("who came"),
    "general_status": gettext_lazy("who came"),
    "moment": gettext_lazy("when they came"),
    "event": gettext_lazy("event, only compared"),
}
REPLACEABLE = frozenset({AttendanceSource.AUTO_ABSENCE, AttendanceSource.IMPORT, AttendanceSource.BACKFILL})
"""Marks that no person made about this one attendee; a newer list corrects an older one."""


def _plan(event_id, table, choices, actor, now) -> tuple[Report, list[tuple[record.Mark, Person, Entry]]]:
    event = Event.objects.filter(pk=event_id).first()
    if event is None:
        raise NotFound
    columns = headings.understand(table)
    notes = _check_columns(columns, table)
    rows = [row for row in table.rows if not _uncalculated(columns, row)]
    sayings = Sayings(columns, rows, event, choices, now)
    room = Room(event_id)
    report = Report(event, *_understood(columns, sayings), rows=len(table.rows), notes=notes)
    report.warning, elsewhere = _other_events(columns, rows, event)
    rows_of: dict[Person, list] = {}
    for row in table.rows:
        found = _about(room, columns, row, elsewhere)
        if isinstance(found, Nobody):
            getattr(report, found.kind).append(Entry(row.line, name_in(columns, row), found.reason))
        else:
            rows_of.setdefault(found, []).append(row)
    marks = []
    for person, rows in rows_of.items():
        rows = _own(report, columns, person, rows)
        if mark := _decide(report, person, rows, sayings, choices, event, actor, now) if rows else None:
            reasons = [_was(person)] * person.is_marked + _called_otherwise(columns, person, rows)
            entry = Entry(rows[0].line, person.name, "; ".join(reasons), mark.at)
            report.to_mark.setdefault(mark.new, []).append(entry)
            marks.append((mark, person, entry))
    report.unlisted = room.active - len(rows_of)
    report.notes += sayings.remarks()
    return report, marks


def _uncalculated(columns, row) -> list[str]:
    """Headings of the row's formulas without value, of columns that count."""
    meanings = columns.recognised.columns.keys() - ({"general_status"} if columns.has("status") else set())
    return [columns.heading(one) for one in meanings if columns.cell(row, one) == UNCALCULATED]


def _about(room, columns, row, elsewhere) -> Person | Nobody:
    if row.surplus:
        return Nobody("unreadable", _("The row has more cells than there are headings."))
    if found := _uncalculated(columns, row):
        means = ", ".join(f"“{heading}”" for heading in sorted(found))
        reason = _("{columns}: a formula without a value: open and save the file in a spreadsheet program first.")
        return Nobody("unreadable", reason.format(columns=means))
    if row in elsewhere:
        return Nobody("ambiguous", _("The row is about “{}”.").format(columns.cell(row, "event")[:100]))
    return room.find(columns, row)


def _other_events(columns, rows, event) -> tuple[str, set]:
    """A warning where the list names another event, and the rows that do, where others name ours."""
    named: dict[str, list] = {}
    for row in rows:
        if folded := fold(columns.cell(row, "event")):
            named.setdefault(folded, []).append(row)
    ours = named.pop(fold(event.title), None)
    if not named:
        return "", set()
    titles = [columns.cell(found[0], "event")[:100] for found in named.values()]
    warning = _("The list says {others}; you are importing into “{title}”.").format(
        others=", ".join(f"“{title}”" for title in titles[:3]) + (" …" if len(titles) > 3 else ""), title=event.title
    )
    return warning, {row for found in named.values() for row in found} if ours else set()


def _own(report, columns, person, rows) -> list:
    """The person's rows without those that seem to be somebody else's, by their name; these are listed."""
    others = set(names.intruders(person.called, [(row, name_of(columns, row)) for row in rows]))
    if others:
        lines = lines_of(rows)
        reason = _("Lines {lines} all point to {name}, under different names.").format(lines=lines, name=person.name)
        report.ambiguous += [Entry(row.line, name_in(columns, row), reason) for row in rows if row in others]
    return [row for row in rows if row not in others]


def _called_otherwise(columns, person, rows) -> list[str]:
    for row in rows:
        called = name_of(columns, row)
        if called and person.called and not names.same(called, person.called):
            return [_("the list says {}").format(name_in(columns, row)[:100])]
    return []


def _check_columns(columns, table) -> list[str]:
    """Notes on what isn't used. Raises NoIdentifier, AmbiguousColumns."""
    notes = []
    for meaning, places in columns.recognised.ambiguous.items():
        alike = ", ".join(f"“{columns.headers[place]}”" for place in places)
        identifying = meaning in headings.IDENTIFIERS
        if meaning in headings.ATTENDANCE or identifying and not columns.has(*headings.IDENTIFIERS):
            raise AmbiguousColumns(columns=alike)
        if identifying:
            notes.append(_("Nobody is looked up by {columns}: they could mean the same.").format(columns=alike))
    if not columns.has(*headings.IDENTIFIERS):
        raise NoIdentifier
    for other in table.others:
        notes.append(
            _("The file has another table, in line {line} (“{title}”), which was not read.").format(
                line=other.line, title=(other.title or ", ".join(other.headers[:3]))[:100]
            )
        )
    return notes


def _understood(columns, sayings) -> tuple[list[tuple[str, str]], list[str]]:
    """Columns that are used, with their meaning, and the headings of the rest."""
    used = {*headings.IDENTIFIERS, *headings.NAMES, "event", sayings.status, sayings.moment}
    places = {place: meaning for meaning, place in columns.recognised.columns.items() if meaning in used}
    rest = [heading for place, heading in enumerate(columns.headers) if heading and place not in places]
    return [(columns.headers[place], str(MEANINGS[meaning])) for place, meaning in sorted(places.items())], rest


def _decide(report, person, rows, sayings, choices, event, actor, now) -> record.Mark | None:
    """The mark for one person; else they are put into the list that says why there is none."""
    said = [(row, sayings.of(row)) for row in rows]
    report.unreadable += [Entry(row.line, person.name, one.wrong) for row, one in said if one.wrong]
    if any(one.spoils for _row, one in said) or all(one.wrong for _row, one in said):
        return None
    line = rows[0].line
    saying = combined([one for _row, one in said if not one.wrong])
    if saying is None:
        lines = lines_of(rows)
        report.ambiguous.append(Entry(line, person.name, _("Lines {} contradict each other.").format(lines)))
        return None
    new, at = _status(saying, sayings, choices, event)
    if new is None:
        report.silent.append(Entry(line, person.name))
    elif new == person.status or saying.what == CAME and person.is_here:
        report.unchanged.append(Entry(line, person.name))
    elif _is_kept(person, choices):
        report.kept.append(Entry(line, person.name, _was(person)))
    else:
        return record.Mark(
            attendee_id=person.id,
            version=person.version,
            new=new,
            at=at or now,
            source=AttendanceSource.IMPORT,
            by_id=actor and actor.pk,
        )
    return None


def _status(saying, sayings, choices, event) -> tuple[AttendanceStatus | None, datetime | None]:
    if saying.what == NOTHING or saying.what == NO and not choices.no_is_absent:
        return None, None
    if saying.what == NO:
        return AttendanceStatus.ABSENT, None
    if saying.what == CAME:
        if saying.at and not sayings.tells_late:
            return record.arrival_status(event, saying.at), saying.at
        return AttendanceStatus.PRESENT, saying.at
    status = AttendanceStatus(saying.what)
    return status, saying.at if status in AttendanceStatus.HERE else None


def _is_kept(person, choices) -> bool:
    return person.status != AttendanceStatus.UNKNOWN and person.source not in REPLACEABLE and not choices.overwrite


def _was(person) -> str:
    source = AttendanceSource(person.source).label if person.source else _("unknown")
    return _("was {status} ({source})").format(
        status=AttendanceStatus(person.status).label.lower(), source=source.lower()
    )
