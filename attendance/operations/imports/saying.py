"""What each row says: that somebody came, when, or didn't; or nothing about it."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config.errors import DomainError

from ...models import AttendanceStatus
from . import moments, words
from .columns import IDENTIFIERS, Columns

CAME, NO, NOTHING = words.CAME, words.NO, words.NOTHING
TELLING = {CAME, *AttendanceStatus.values} - {AttendanceStatus.UNKNOWN}
AHEAD = timedelta(minutes=5)
"""How far the clock of whoever wrote the list may be ahead of ours."""
FAR = gettext_lazy("The time lies more than a day before or after the event.")
DAYLESS = gettext_lazy("A time of day alone doesn't tell which day it was, and the event's times don't either.")


class AskListed(DomainError):
    """Nothing in the list says who came, and the person didn't say what being listed means."""

    code = "import_meaning_needed"
    status = 400
    message = gettext_lazy("No column of this list says who came. Say what it means to be on it.")


class AskOrder(DomainError):
    code = "import_dates_ambiguous"
    status = 400
    message = gettext_lazy("“{heading}” has dates like “{example}”: say whether the day or the month comes first.")


@dataclass(frozen=True)
class Saying:
    what: str
    """A status, CAME, NO or NOTHING."""
    at: datetime | None = None
    wrong: str = ""
    """Why the row can't be read; then nothing else of it counts."""

    @property
    def spoils(self) -> bool:
        """Whether the person's other rows don't count either: nobody knows what this one would have said."""
        return bool(self.wrong) and self.wrong != str(FAR)


class Sayings:
    """Reads the rows of a list, after a look at whole columns.

    Raises AskListed and AskOrder.
    """

    def __init__(self, columns: Columns, rows, event, choices, now):
        self.columns, self.event, self.now, self.notes = columns, event, now, []
        self.listed = choices.listed
        rows = [row for row in rows if any(columns.cell(row, one) for one in IDENTIFIERS)]  # sums judge no column
        self.ignored: dict[str, list] = {}
        """Why a time was not taken over → the rows."""
        self.status = self._status_column(rows)
        self.moment = "moment" if columns.has("moment") else None
        if not (self.status or self.moment or self.listed):
            raise AskListed
        used = [one for one in (self.status, self.moment) if one]
        cells = {meaning: [cell for row in rows if (cell := columns.cell(row, meaning))] for meaning in used}
        self.empty = bool(used and rows) and not any(cells.values())
        if self.empty:
            headings = ", ".join(columns.heading(meaning) for meaning in used)
            self.notes.append(
                _("Nothing is filled in under {columns}: the list doesn't say who came.").format(columns=headings)
            )
        self.ticked = bool(self.status) and words.ticked(cells[self.status])
        self.read = {meaning: {cell: _times(cell) for cell in set(cells[meaning])} for meaning in used}
        self.timed = {meaning for meaning in used if any(self.read[meaning].values())}
        """Columns with times, where an empty cell is somebody who wasn't checked in."""
        self.order = {meaning: self._order(meaning, cells[meaning], choices) for meaning in self.timed}
        known = Counter(self._word(cell) for cell in cells.get(self.status, ()))
        self.tells_late = bool(known[AttendanceStatus.LATE])
        """The list tells late from in time by itself, so that we don't by the clock."""
        if known[NOTHING] and not any(known[one] for one in TELLING | {NO}) and not self.timed:
            self.notes.append(
                _("“{column}” says who registered, not who came.").format(column=columns.heading(self.status))
            )

    def _status_column(self, rows):
        """The bare "Status" only counts where it has words about attendance: it mostly is about something else."""
        if self.columns.has("status"):
            return "status"
        cells = {self.columns.cell(row, "general_status") for row in rows}
        return "general_status" if any(words.meaning_of(cell) in TELLING for cell in cells if cell) else None

    def _order(self, meaning, cells, choices):
        readings = [reading for cell in cells for reading in self.read[meaning][cell]]
        open_ones = moments.undecided(readings)
        if not open_ones:
            return None
        heading = self.columns.heading(meaning)
        if order := choices.dates or moments.order_of(cells):
            return order
        if order := moments.order_at(readings, self.event, moments.zone_in(heading)):
            read_as = {moments.DAY_FIRST: _("day first"), moments.MONTH_FIRST: _("month first")}[order]
            self.notes.append(
                _("The dates under “{column}” are read {order}: only so do they fall on the event's days.").format(
                    column=heading, order=read_as
                )
            )
            return order
        example = next(cell for cell in cells if moments.undecided(self.read[meaning][cell]))
        raise AskOrder(heading=heading, example=example[:40])

    def of(self, row) -> Saying:
        if not (self.status or self.moment):
            return Saying(self.listed)
        if self.empty:
            return Saying(NOTHING)
        what, at, broken = self._cell(row, self.status) if self.status else (NOTHING, None, "")
        if broken:
            return Saying(NOTHING, wrong=broken)
        if not self.moment:
            return self._timely(row, what, at, at is not None)
        arrived, then, broken = self._cell(row, self.moment)
        if broken and what not in TELLING:
            return Saying(NOTHING, wrong=broken)
        if broken == str(DAYLESS):
            self._ignore(row, _("A time of day doesn't tell which day it was"))
        elif broken:
            self._ignore(row, _("A time isn't understood, or is of another day"))
        if self.status and not self.columns.cell(row, self.moment):
            arrived = NOTHING
        if what == NOTHING:
            return self._timely(row, arrived, then, only=True)
        if arrived == CAME and what in (NO, AttendanceStatus.ABSENT, AttendanceStatus.EXCUSED):
            cells = [self.columns.cell(row, one) for one in (self.status, self.moment)]
            return Saying(NOTHING, wrong=_("“{}” and “{}” contradict each other.").format(*cells))
        return self._timely(row, what, at or then, only=False)

    def _cell(self, row, meaning):
        """(what it says, when, why it can't be read)"""
        cell = self.columns.cell(row, meaning)
        if not cell:
            return (NO if meaning in self.timed else NOTHING), None, ""
        if readings := self.read[meaning][cell]:
            if all(moments.far(one, self.order[meaning], self.event) for one in readings):
                return NOTHING, None, str(FAR)
            zone = moments.zone_in(self.columns.heading(meaning))
            times = [moments.moment(one, self.order[meaning], self.event, zone) for one in readings]
            if not any(times) and not any(one.dated for one in readings):
                return NOTHING, None, str(DAYLESS)
            return CAME, min((one for one in times if one), default=None), ""
        if word := self._word(cell):
            return word, None, ""
        return NOTHING, None, _("“{cell}” isn't understood.").format(cell=cell[:100])

    def _word(self, cell):
        return CAME if self.ticked and words.is_tick(cell) else words.meaning_of(cell)

    def _timely(self, row, what, at, only) -> Saying:
        """A time that can't be a check-in is not taken over; ``only``: nothing but the time says that they came."""
        if at and at > self.now + AHEAD:
            if only:
                return Saying(NOTHING, wrong=_("The time lies in the future."))
            self._ignore(row, _("A time lies in the future"))
            at = None
        if at and not moments.near(at, self.event):
            if only:
                return Saying(NOTHING, wrong=str(FAR))
            self._ignore(row, _("A time lies more than a day before or after the event"))
            at = None
        return Saying(what, at)

    def _ignore(self, row, reason):
        self.ignored.setdefault(reason, []).append(row)

    def remarks(self) -> list[str]:
        """Once all rows are read."""
        lines = [
            _("{reason}, and is not taken over: line {lines}.").format(reason=reason, lines=lines_of(found))
            for reason, found in self.ignored.items()
        ]
        return [*self.notes, *lines]


def lines_of(rows) -> str:
    more = _(" … ({} in all)").format(len(rows)) if len(rows) > 10 else ""
    return ", ".join(str(row.line) for row in rows[:10]) + more


def _times(cell) -> list[moments.Reading]:
    """The cell as a time, or the times that "List (2026-05-01 19:02:11), Other (…)" has in brackets."""
    if one := moments.read(cell):
        return [one]
    bracketed = [moments.read(text) for text in re.findall(r"\(([^()]*)\)", cell)]
    return bracketed if bracketed and all(bracketed) else []


def combined(sayings: list[Saying]) -> Saying | None:
    """What several rows of one person say together, at the earliest time; None where they contradict each other."""
    what = {one.what for one in sayings} - {NOTHING}
    if not what:
        return Saying(NOTHING)
    if CAME in what and what <= {CAME, AttendanceStatus.PRESENT} or what == {CAME, AttendanceStatus.LATE}:
        what -= {CAME} if len(what) > 1 else set()
    if NO in what and len(what) > 1 and not what & {CAME, *AttendanceStatus.HERE}:
        what -= {NO}
    if len(what) > 1:
        return None
    return Saying(what.pop(), min((one.at for one in sayings if one.at), default=None))
