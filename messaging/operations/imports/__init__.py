"""Importing a guest list: whoever is on it comes onto the event's, once.

What the preview shows and what is done come from one planner, and the preview does it all and takes
it back, so that its figures of links are those of the database. Nothing that a file lacks is taken
from a guest: an empty cell says nothing, and who isn't in the file stays.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from simple_history.utils import bulk_create_with_history

from config.errors import DomainError, NotFound, lock, operation
from config.tables import UNCALCULATED, Table
from events.models import Event

from ...models import EventGuest
from .. import guests, links
from . import cells
from . import columns as headings
from .columns import Columns, score, scored_with
from .matching import FIELDS, Guests, Known, Line, may_be

__all__ = ["Choices", "Entry", "NothingToGoBy", "Report", "import_guests", "score", "scored_with"]

BATCH = 1_000
"""Rows written in one statement."""


class NothingToGoBy(DomainError):
    code = "import_nothing_to_go_by"
    status = 400
    message = gettext_lazy("This list has neither a column of names nor one of e-mail addresses or phone numbers.")


@dataclass(frozen=True)
class Choices:
    """What the person says besides the file."""

    region: str | None = None
    """The country of phone numbers without a country code; None for the organisation's."""
    bring_back: bool = False
    """Whether guests who were removed from the list come back with it."""
    fill_only: bool = False
    """Whether what is on the list stays, where the file says otherwise; only gaps are filled then."""
    cancelled_too: bool = False
    """Whether those who cancelled or declined are taken all the same."""
    remove_cancelled: bool = False
    """Whether those of them who are on the list are removed from it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """"name", "email" or "phone", and the heading of its column, of a file whose headings nobody knows."""


class Entry(NamedTuple):
    """One line of the file in a list of the report."""

    line: int
    name: str
    text: str = ""


@dataclass
class Report:
    """What an import would do, or did. Each line of the file is in one of the lists."""

    event: Event
    rows: int
    region: str
    columns: list[tuple[str, str]]
    """Heading and what it was understood as."""
    unused: list[str]
    new: list[Entry] = field(default_factory=list)
    changed: list[Entry] = field(default_factory=list)
    """With those who are brought back."""
    unchanged: list[Entry] = field(default_factory=list)
    unreadable: list[Entry] = field(default_factory=list)
    """Lines that are about nobody, or that nobody could make sense of."""
    cancelled: list[Entry] = field(default_factory=list)
    leaving: list[Entry] = field(default_factory=list)
    """Of those who cancelled or declined, who is on the list; removed from it with ``removes``."""
    removes: bool = False
    removed: list[Entry] = field(default_factory=list)
    repeated: list[Entry] = field(default_factory=list)
    linked: int = 0
    """Guests who are found to be people with an account."""
    ambiguous: int = 0
    """Guests who fit several, and wait for staff."""
    unreachable: int = 0
    """New guests with neither e-mail nor phone."""
    notes: list[str] = field(default_factory=list)

    @property
    def writes(self) -> int:
        return len(self.new) + len(self.changed) + (len(self.leaving) if self.removes else 0)


@operation
def import_guests(*, event_id, table: Table, choices: Choices, actor, dry_run: bool) -> Report:
    """Brings the file's guests onto the event's list. Locks the event, so that lists are changed one by one.

    Raises NotFound, NothingToGoBy.
    """
    if dry_run:
        return _rehearsed(event_id, table, choices)
    lock(Event.objects, pk=event_id)
    report, plan = _plan(event_id, table, choices)
    report.linked, report.ambiguous = _write(report.event, plan, actor)
    if report.removes:
        for one in sorted(plan.leaving, key=lambda one: one.id):
            guests.remove(guest_id=one.id, actor=actor)
    return report


def _rehearsed(event_id, table, choices):
    """Everything but the history is written, and taken back."""
    report, plan = _plan(event_id, table, choices)
    with transaction.atomic():
        report.linked, report.ambiguous = _write(report.event, plan, None, history=False)
        transaction.set_rollback(True)
    return report


# -- The planner -------------------------------------------------------------------------------------

MEANINGS = {
    "email": gettext_lazy("e-mail"),
    "phone": gettext_lazy("phone"),
    "contact": gettext_lazy("e-mail or phone"),
    "name": gettext_lazy("name"),
    "first_name": gettext_lazy("first name"),
    "middle_name": gettext_lazy("middle name"),
    "last_name": gettext_lazy("last name"),
    "id": gettext_lazy("ID, by which the same guest is found again"),
    "status": gettext_lazy("who cancelled"),
}
LABELS = {
    "guest_name": gettext_lazy("name"),
    "phone": gettext_lazy("phone"),
    "email": gettext_lazy("e-mail"),
    "external_id": gettext_lazy("ID"),
}


@dataclass
class Plan:
    new: list[Known] = field(default_factory=list)
    changed: list[Known] = field(default_factory=list)
    leaving: list[Known] = field(default_factory=list)


def _plan(event_id, table, choices) -> tuple[Report, Plan]:
    event = Event.objects.select_related("organization").filter(pk=event_id).first()
    if event is None:
        raise NotFound
    columns = headings.understand(table, choices.columns)
    if not columns.has(*headings.CONTACTS, *headings.NAMES):
        raise NothingToGoBy
    region = choices.region or guests.region_of(event) or settings.PHONE_REGION
    used = columns.used
    report = Report(
        event,
        rows=len(table.rows),
        region=region,
        columns=[(columns.heading(place), str(MEANINGS[used[place]])) for place in sorted(used)],
        unused=[heading for place, heading in enumerate(columns.headers) if heading and place not in used],
        notes=_notes(columns, table),
        removes=choices.remove_cancelled,
    )
    known, plan, cancelled = Guests(event_id), Plan(), []
    for line, said in _lines(report, columns, table, region, choices):
        if said:
            cancelled.append((line, said))
        else:
            _decide(report, plan, known, line, choices)
    for line, said in cancelled:  # at the end: who cancelled in one line may come in another
        _let_go(report, plan, known, line, said)
    _tell_in_sum(report, plan)
    return report, plan


def _notes(columns, table) -> list[str]:
    notes = []
    if columns.shared_id is not None:
        notes.append(
            _("“{column}” is the same on several lines, so it doesn't tell guests apart.").format(
                column=columns.heading(columns.shared_id)
            )
        )
    for other in table.others:
        title = (other.title or ", ".join(other.headers[:3]))[:100]
        notes.append(
            _("The file has another table, in line {line} (“{title}”), which was not read.").format(
                line=other.line, title=title
            )
        )
    return notes


def _lines(report, columns: Columns, table, region, choices):
    """The lines that are about a guest, with the words by which they cancelled; the others go to the report."""
    flipped = cells.is_flipped(cell for row in table.rows for cell in columns.cells(row, "name")[:1])
    used = columns.used
    for row in table.rows:
        name = _name_in(columns, row, flipped)
        if row.surplus:
            report.unreadable.append(Entry(row.line, name, _("The line has more cells than there are headings.")))
            continue
        if wrong := [columns.heading(place) for place in used if _is_formula(row.cells[place], used[place])]:
            reason = _("{columns}: a formula without a value. Open and save the file in a spreadsheet program first.")
            means = ", ".join(f"“{heading}”" for heading in wrong)
            report.unreadable.append(Entry(row.line, "" if "=" in name else name, reason.format(columns=means)))
            continue
        said = None if choices.cancelled_too else _cancelled(columns, row)
        line = _line(columns, row, name, region)
        if not isinstance(line, str):
            yield line, said
        elif said:
            report.cancelled.append(Entry(row.line, name[:100], said))
        else:
            report.unreadable.append(Entry(row.line, name[:100], line))


def _is_formula(cell, meaning) -> bool:
    return cell == UNCALCULATED or cell.startswith("=") and meaning in headings.NAMES


def _name_in(columns, row, flipped) -> str:
    full, first, middle, last = (
        next(iter(columns.cells(row, meaning)), "") for meaning in ("name", "first_name", "middle_name", "last_name")
    )
    return cells.name_of(full, first, middle, last, last_first=columns.is_last_first, flipped=flipped)


def _cancelled(columns, row) -> str | None:
    """In the cell's own words. Of several answers, to parts of an event, all must be no."""
    said, comes = None, False
    for place in columns.places.get("status", ()):
        cell, heading = row.cells[place], columns.heading(place)
        flag, asked = cells.fold(heading) in headings.STATUS_FLAGS, headings.is_asked(heading)
        if not cell:
            continue
        if not cells.is_out(cell, flag=flag, asked=asked or bool(cells.RSVP.search(cells.fold(heading)))):
            comes = comes or asked
            continue
        words = _("“{cell}” under “{column}”").format(cell=cell[:60], column=heading[:60])
        if not asked:
            return words
        said = said or words
    return None if comes else said


def _line(columns, row, name, region) -> Line | str:
    """What the line says, or why nobody is made of it."""
    emails, phones = cells.told_apart(columns.cells(row, "contact"))
    emails = columns.cells(row, "email") + emails
    email = cells.email_in(emails)
    phone = cells.phone_in(columns.cells(row, "phone") + phones, region)
    name = name or cells.name_beside(emails)
    remarks = [*email.remarks, *phone.remarks]
    if "@" in name and not email.value and cells.is_email(name.lower()):
        email = cells.Read(name.lower())  # who has signed in without a name
    contact = email.value or phone.value
    if not contact and not name:
        return "; ".join(remarks) or _("The line names nobody.")
    if not contact and cells.is_no_guest(name):
        return _("This seems to be a sum or a note.")
    if len(name) > cells.NAME_LIMIT:
        return _("The name has {count} characters, at most {limit} are possible.").format(
            count=len(name), limit=cells.NAME_LIMIT
        )
    has_name = bool(name) and name.lower() != email.value
    external_id = cells.filled(row.cells[columns.id]) if columns.id is not None else ""
    return Line(
        row.line,
        (name if has_name else contact)[: cells.NAME_LIMIT],
        phone.value,
        email.value,
        external_id[: cells.ID_LIMIT],
        has_name,
        remarks,
    )


def _decide(report, plan, known, line, choices):
    guest = known.find(line)
    shared = known.sharing(line, guest)
    if guest is None:
        _add(report, plan, known, line, shared)
    elif guest.line is not None:
        _repeat(report, known, guest, line)
    elif guest.removed and not choices.bring_back:
        guest.line = line
        report.removed.append(Entry(line.line, guest.guest_name))
    else:
        _bring_up_to_date(report, plan, known, guest, line, shared, choices)


def _let_go(report, plan, known, line, said):
    guest = known.find(line)
    if guest is None or guest.id is None or guest.removed or guest.line is not None:
        report.cancelled.append(Entry(line.line, line.guest_name, said))
        return
    guest.line = line
    plan.leaving.append(guest)
    report.leaving.append(Entry(line.line, guest.guest_name, said))


def _add(report, plan, known, line, shared):
    guest = Known(None, line.guest_name, line.phone, line.email, line.external_id, line=line)
    known.add(guest)
    plan.new.append(guest)
    others = [one for one in shared if not may_be(one.guest_name, line.guest_name)]
    if others:
        called = ", ".join(dict.fromkeys(one.guest_name for one in others[:3]))
        line.remarks.append(_("shares a contact with {names}").format(names=called))


def _repeat(report, known, guest, line):
    """Another line about somebody: what it has beyond the first fills gaps of a new guest."""
    text = _("same guest as in line {line}").format(line=guest.line.line)
    report.repeated.append(Entry(line.line, line.guest_name, text))
    if guest.id is None:
        _take_over(known, guest, {name: getattr(line, name) for name in FIELDS[1:] if not getattr(guest, name)})


def _bring_up_to_date(report, plan, known, guest, line, shared, choices):
    new = {}
    for name in FIELDS:
        old, value = getattr(guest, name), getattr(line, name)
        if not value or value == old:
            continue
        if name == "guest_name":
            if not line.has_name or not guest.is_nameless and (choices.fill_only or _is_poorer(value, old)):
                continue
        elif old and (name == "external_id" or choices.fill_only):
            continue
        new[name] = value
    guest.was = {name: getattr(guest, name) for name in new}
    guest.line = line
    back = guest.removed
    if not new and not back:
        report.unchanged.append(Entry(line.line, guest.guest_name, "; ".join(line.remarks)))
        return
    guest.removed = False
    _take_over(known, guest, new)
    plan.changed.append(guest)
    told = [_("brought back")] if back else []
    told += [
        _("{field}: {old} → {new}").format(field=LABELS[name], old=guest.was[name] or "–", new=value)
        for name, value in new.items()
    ]
    report.changed.append(Entry(line.line, guest.guest_name, "; ".join([*told, *line.remarks])))


def _is_poorer(new: str, old: str) -> bool:
    """Whether a name says less than the one that is there: "Anna" for "Anna Ek", "anna ek" for it."""
    if new.casefold() == old.casefold():
        return new.islower() or new.isupper()
    return len(new.split()) < len(old.split()) and may_be(new, old)


def _take_over(known, guest, values):
    for name, value in values.items():
        setattr(guest, name, value)
    if any(values.values()):
        known.add(guest)  # to be found by what is new, too


def _tell_in_sum(report, plan):
    for guest in plan.new:
        told = [*filter(None, (guest.email, guest.phone)), *guest.line.remarks]
        report.new.append(Entry(guest.line.line, guest.guest_name, "; ".join(told)))
    report.unreachable = sum(not (guest.email or guest.phone) for guest in plan.new)
    nameless = sum(guest.is_nameless for guest in plan.new)
    if nameless:
        sentence = ngettext(
            "{count} new guest has no name, and is listed under their contact.",
            "{count} new guests have no name, and are listed under their contact.",
            nameless,
        )
        report.notes.append(sentence.format(count=nameless))
    if report.unreachable:
        sentence = ngettext(
            "{count} new guest has neither e-mail nor phone.",
            "{count} new guests have neither e-mail nor phone.",
            report.unreachable,
        )
        report.notes.append(sentence.format(count=report.unreachable))
    phones = [guest.phone for guest in plan.new] + [guest.phone for guest in plan.changed if "phone" in guest.was]
    foreign = [phone for phone in phones if phone and not guests.is_of_known_area(phone)]
    if foreign:
        sentence = ngettext(
            "{count} phone number is of no known area: is {region} the right country?",
            "{count} phone numbers are of no known area: is {region} the right country?",
            len(foreign),
        )
        report.notes.append(sentence.format(count=len(foreign), region=report.region))
    several = Counter(contact for guest in plan.new for contact in (guest.email, guest.phone) if contact)
    shared = sum(1 for count in several.values() if count > 1)
    if shared:
        sentence = ngettext(
            "{count} e-mail or phone is shared by guests under different names: each is a guest of their own.",
            "{count} e-mails or phones are shared by guests under different names: each is a guest of their own.",
            shared,
        )
        report.notes.append(sentence.format(count=shared))


# -- Writing -----------------------------------------------------------------------------------------

UPDATE = """
    UPDATE event_guests AS guest SET
        guest_name = wanted.guest_name, phone = wanted.phone, email = wanted.email,
        external_id = wanted.external_id, removed_at = NULL
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS wanted(id, guest_name, phone, email, external_id)
    WHERE guest.id = wanted.id
"""


def _write(event, plan: Plan, actor, *, history=True) -> tuple[int, int]:
    """(linked, ambiguous). Statements by the thousand rows; ``history`` False for what is taken back."""
    if not (plan.new or plan.changed):
        return 0, 0
    reason = _("Imported")
    rows = [EventGuest(event=event, **{name: getattr(one, name) for name in FIELDS}) for one in plan.new]
    if history:
        bulk_create_with_history(
            rows, EventGuest, batch_size=BATCH, default_user=actor, default_change_reason=reason
        )  # fmt: skip
    else:
        EventGuest.objects.bulk_create(rows, batch_size=BATCH)
    for some in _batches(plan.changed):
        values = [[one.id for one in some], *([getattr(one, name) for one in some] for name in FIELDS)]
        with connection.cursor() as cursor:
            cursor.execute(UPDATE, values)
        if history:
            EventGuest.history.bulk_history_create(
                list(EventGuest.objects.filter(pk__in=values[0]).order_by("pk")),
                update=True,
                default_user=actor,
                default_change_reason=reason,
            )
    to_find = [row.pk for row in rows]
    to_find += [one.id for one in plan.changed if not one.was or one.was.keys() & {"phone", "email"}]
    found = [links.match(guest_ids=some) for some in _batches(to_find)]
    return sum(linked for linked, _parked in found), sum(parked for _linked, parked in found)


def _batches(rows):
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
