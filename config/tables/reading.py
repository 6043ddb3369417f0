"""From bytes to a table: encodings, delimiters, sheets, and where the wanted table begins and ends."""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice

import openpyxl
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from openpyxl.worksheet._reader import FORMULA_TAG, WorkSheetParser

from .letters import implausible

SIZE_LIMIT = 5 * 1024 * 1024
ROW_LIMIT = 50_000
COLUMN_LIMIT = 200
CELL_LIMIT = 32_767
"""Characters; what a spreadsheet's cell holds. In a CSV, more is a quotation mark that nobody closed."""
UNPACKED_LIMIT = 60 * 1024 * 1024
TEXTS_LIMIT = 15 * 1024 * 1024
"""Bytes of a workbook's own list of texts, the one part that is held in memory as a whole."""
SHEET_LINES = 1_048_576
"""Lines of the longest sheet that a spreadsheet program makes."""

UNCALCULATED = "=…"
"""The text of a workbook's formula that has no value: a program wrote it, and no spreadsheet has opened it since."""

DELIMITERS = ",;\t|"
SAMPLE = 1_000
"""Lines by which a delimiter is judged."""
TOP = 200
"""Lines at the top of which each may be the headings; further down those after an empty line or a title."""

Score = Callable[[Sequence[str], str], float]
"""``score(headings, title)``: how well they fit what is wanted; 0 for a row that is no headings."""


class TableError(Exception):
    """The file can't be read as a table; the sentence says what a person can do about it."""


class NoHeadings(TableError):
    """It is a table, but no line of it has headings that the score knows."""


@dataclass(frozen=True)
class Row:
    line: int
    """In the file, from 1; of a cell with line breaks, the first."""
    cells: tuple[str, ...]
    """As many as there are headings."""
    surplus: bool = False
    """Whether the line has more cells than that: somewhere a delimiter is not quoted."""


@dataclass(frozen=True)
class Table:
    headers: tuple[str, ...]
    rows: tuple[Row, ...]
    line: int = 1
    """Of the headings."""
    title: str = ""
    """The line above it, or the name of its sheet."""
    others: tuple["Table", ...] = ()
    """Tables of the same file that fit less well."""


def read(data: bytes, score: Score) -> Table:
    """The file's table with the best score; of equals, the first. Raises TableError."""
    if len(data) > SIZE_LIMIT:
        raise TableError(_("This file has more than {} MB.").format(SIZE_LIMIT // 1024 // 1024))
    if not data.strip():
        raise TableError(_("This file is empty."))
    if kind := _other_kind(data):
        raise _no_table(kind)
    if data.startswith(b"PK\x03\x04"):
        found = _in_workbook(data, score)
    elif data.startswith(b"\xd0\xcf\x11\xe0"):
        raise TableError(_("This is a workbook of an old format (.xls), or has a password. Save it as .xlsx or CSV."))
    else:
        found = _in_text(data, score)
    if not found:
        raise NoHeadings(_("No line of this file has the headings that are needed."))
    found = [one for one in found if one[1].rows]
    if not found:
        raise TableError(_("This file has headings, but no rows below them."))
    best = max(found, key=lambda one: one[0])[1]
    others = tuple(table for _value, table in found if table is not best)
    return Table(best.headers, best.rows, best.line, best.title, others)


KINDS = (
    (re.compile(rb"(?s).{,1000}%PDF-"), gettext_lazy("a PDF")),
    (
        re.compile(rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|meta|body|table|!--)\b"),
        gettext_lazy("a web page (HTML)"),
    ),
    (re.compile(rb"(?i)(\xef\xbb\xbf)?\s*<\?xml\b"), gettext_lazy("an XML file")),
    (re.compile(rb"\{\\rtf"), gettext_lazy("a text document (RTF)")),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", re.DOTALL), gettext_lazy("a picture")),
)
"""What people choose by mistake, and how it begins."""


def _other_kind(data) -> str | None:
    return next((str(kind) for beginning, kind in KINDS if beginning.match(data)), None)


def _no_table(kind):
    return TableError(
        _("This is {kind}, no CSV or XLSX. Save the list as CSV or XLSX in the program that it comes from.").format(
            kind=kind
        )
    )


def possible_headings(data: bytes) -> tuple[str, ...]:
    """What seems to be the headings of a file where none are known, for a person to say what they mean.

    Of the first line of several cells that has rows below it. Raises TableError.
    """
    table = read(data, lambda headings, _title: sum(map(bool, headings)))
    tables = sorted((table, *table.others), key=lambda one: (len(one.headers) < 2, one.line))
    return tables[0].headers


# -- Text --------------------------------------------------------------------------------------

MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
ALPHABETIC = ("cp1252", "cp1250", "cp1251", "latin-1")
LEGACY = ("cp932", "big5", "gb18030")
"""What spreadsheet programs write that were not asked for Unicode. Those with one byte for a letter fit nearly
anything: the letters say which of them it is (``letters.py``). Others are only taken where their headings make
more sense."""


def _in_text(data, score):
    best, reading, mistake = (0, 0), None, None
    for text in _decoded(data):
        text, delimiters = _hint(text)
        for delimiter in delimiters:
            try:
                found = _cut(islice(_lines(text, delimiter), SAMPLE), score)
            except TableError as error:  # with this delimiter; unless all fail
                mistake = mistake or error
                continue
            fit = max(((value, _regular(table)) for value, table in found), default=(0, 0))
            if fit > best:
                best, reading = fit, (text, delimiter)
    if reading:
        return _cut(_lines(*reading), score)
    if mistake:
        raise mistake
    return []


def _decoded(data: bytes) -> list[str]:
    """The texts that the bytes may stand for, the likeliest first."""
    encodings = next(([name] for mark, name in MARKS if data.startswith(mark)), None)
    if encodings is None:
        head = data[:1000]
        if head[1::2].count(0) > len(head) * 0.3:
            encodings = ["utf-16-le"]
        elif head[::2].count(0) > len(head) * 0.3:
            encodings = ["utf-16-be"]
        else:
            encodings = ["utf-8"]
    texts = _try(data, encodings)
    if not texts and encodings == ["utf-8"]:
        texts = sorted(_try(data, ALPHABETIC), key=implausible) + _try(data, LEGACY)
    texts = [text for text in texts if "\0" not in text]
    if not texts:
        raise TableError(_("This is neither a text file nor an XLSX workbook. Save the list as CSV (UTF-8) or XLSX."))
    return texts


def _try(data, encodings) -> list[str]:
    texts = []
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if text not in texts:
            texts.append(text)
    return texts


def _hint(text):
    """Spreadsheets understand a first line like ``sep=;``."""
    hint = re.match(r'"?sep=(.)"?(?=[\r\n])', text)
    return (text[hint.end() :], hint[1]) if hint else (text, DELIMITERS)


def _regular(table) -> int:
    """Rows that are as wide as the headings: few where the delimiter is wrong."""
    return len(table.headers) * (1 + sum(1 for row in table.rows if row.cells[-1] and not row.surplus))


def _lines(text, delimiter) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line number and cells of each line, empty ones included."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, _tidy(cells, line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableError(
            _("Line {line} can't be read: a quotation mark is missing there, or one too many ({error}).").format(
                line=line, error=error
            )
        ) from error


# -- Workbooks ---------------------------------------------------------------------------------


def _in_workbook(data, score):
    _check_archive(data)
    found = []
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible":
                found += _cut(_cells(sheet), score, sheet.title)
    except TableError:
        raise
    except Exception as error:  # the library raises whatever it stumbles over
        raise TableError(
            _("This workbook can't be read. Open it in a spreadsheet program and save it anew.")
        ) from error
    if sum(len(table.rows) for _value, table in found) > ROW_LIMIT:
        raise _too_many_rows()
    return found


def _check_archive(data):
    """Python's zipfile never unpacks more than an entry declares, so that the sum is a bound."""
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except Exception as error:  # not BadZipFile alone: a damaged directory raises others too
        raise TableError(_("This workbook is damaged. Save it anew, or as CSV.")) from error
    if not any(one.filename.lower().startswith(("xl/", "xl\\")) for one in entries):
        raise _no_table(_("a ZIP archive, or another program's document"))
    packings = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    texts = sum(one.file_size for one in entries if "sharedstrings" in one.filename.lower())
    if (
        any(one.compress_type not in packings for one in entries)
        or sum(one.file_size for one in entries) > UNPACKED_LIMIT
        or texts > TEXTS_LIMIT
    ):
        raise TableError(_("This workbook is too large when unpacked. Save the list alone, as CSV."))


class _Parser(WorkSheetParser):
    """The library says None for an empty cell and for a formula that nobody has worked out."""

    def parse_cell(self, element):
        cell = super().parse_cell(element)
        if cell["value"] is None and element.find(FORMULA_TAG) is not None and element.get("t") != "str":
            cell["value"] = UNCALCULATED  # of the type "str" it came to an empty text
        return cell


def _cells(sheet) -> Iterator[tuple[int, tuple[str, ...]]]:
    """As text, with one empty line for many.

    By the library's parser and not its rows: several programs declare too small a sheet, and cells
    would be lost; others one without end.
    """
    book, last = sheet.parent, 0
    with sheet._get_source() as source:
        parser = _Parser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for line, row in parser.parse():
            if not last < line <= SHEET_LINES:
                continue
            if line > last + 1:
                yield last + 1, ()
            last = line
            values = {cell["column"]: cell["value"] for cell in row if cell["value"] is not None}
            width = min(max(values, default=0), COLUMN_LIMIT + 1)
            yield line, _tidy([_as_text(values.get(column)) for column in range(1, width + 1)], line)


ERRORS = {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"}


def _as_text(value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):  # a phone number is no 4.67e10
        return str(int(value)) if value.is_integer() and abs(value) < 1e17 else repr(value)
    if isinstance(value, datetime):
        value = (value + timedelta(microseconds=500_000)).replace(microsecond=0)
        return value.date().isoformat() if value.time() == time.min else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    text = str(value)
    return "" if text in ERRORS else text


# -- Rows and headings -------------------------------------------------------------------------


def _tidy(cells: Iterable[str], line: int) -> tuple[str, ...]:
    """Without empty cells at the end, and without what spreadsheets put around a cell to keep it text."""
    tidy = []
    for cell in cells:
        if len(cell) > CELL_LIMIT:
            raise TableError(
                _("Line {line} has a cell of {length} characters. Is a quotation mark missing?").format(
                    line=line, length=len(cell)
                )
            )
        cell = cell.strip("\ufeff\u200b \t\r\n\xa0").strip()
        if cell.startswith('="') and cell.endswith('"'):
            cell = cell[2:-1]
        elif cell[:1] == "'" and cell[1:2] in set("=+-@"):
            cell = cell[1:]
        tidy.append(cell)
    while tidy and not tidy[-1]:
        tidy.pop()
    if len(tidy) > COLUMN_LIMIT:
        raise TableError(_("Line {line} has more than {limit} columns.").format(line=line, limit=COLUMN_LIMIT))
    return tuple(tidy)


def _too_many_rows():
    return TableError(_("This file has more than {} rows. Split it.").format(ROW_LIMIT))


@dataclass
class _Found:
    value: float
    headers: tuple[str, ...]
    line: int
    title: str
    rows: list[Row]

    def add(self, line, cells):
        if len(self.rows) >= ROW_LIMIT:
            raise _too_many_rows()
        width = len(self.headers)
        padded = cells[:width] + ("",) * (width - len(cells))
        self.rows.append(Row(line, padded, surplus=len(cells) > width))


def _cut(lines, score: Score, sheet="") -> list[tuple[float, Table]]:
    """The tables with their scores: each from its headings to the next ones, or to their title."""
    found: list[_Found] = []
    title, after_gap = "", True
    for line, cells in lines:
        if not cells:
            after_gap = True
            continue
        current = found[-1] if found else None
        filled = [cell for cell in cells if cell]
        value = 0
        if (line <= TOP or after_gap or title) and not any("@" in cell or cell.isdigit() for cell in cells):
            value = score(cells, title or sheet) if len(filled) > 1 or current is None else 0
        if value > 0 and (current is None or after_gap or title or value > current.value):
            if current and not title and cells == current.headers:
                after_gap = False
                continue  # the headings once more, as on a new page
            if current and title and current.rows:
                current.rows.pop()  # the title of the new one
            found.append(_Found(value, cells, line, title or sheet, []))
        elif current:
            current.add(line, cells)
        title, after_gap = (filled[0] if len(filled) == 1 else ""), False
    return [(one.value, Table(one.headers, tuple(one.rows), one.line, one.title)) for one in found]
