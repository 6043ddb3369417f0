"""Reading tables that people upload: encodings, delimiters, several tables in a file, workbooks, and nonsense."""

import io
import re
import time
import zipfile
from datetime import date, datetime
from datetime import time as clock

import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config import tables
from config.tables import Recognised, Row, Table, TableError, Vocabulary, fold, reading

PEOPLE = Vocabulary({"email": ["email", "*your email"], "name": ["name", "full name"], "joined": ["join time"]})


def score(headings, title):
    known = PEOPLE.recognise(headings)
    fit = 2 * ("email" in known.columns) + len(known.columns)
    return fit / 10 if "Host" in title else fit


def read(data) -> Table:
    return tables.read(data.encode() if isinstance(data, str) else data, score)


def cells(table) -> list[tuple[str, ...]]:
    return [row.cells for row in table.rows]


def refusal(data) -> str:
    with pytest.raises(TableError) as caught:
        read(data)
    return str(caught.value)


# -- Text --------------------------------------------------------------------------------------


def test_read_gives_headers_and_rows_with_their_lines():
    table = read("Name,Email\nÅsa,asa@example.org\n\nBo,bo@example.org\n")
    assert table == Table(
        ("Name", "Email"), (Row(2, ("Åsa", "asa@example.org")), Row(4, ("Bo", "bo@example.org"))), 1, "", ()
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_read_knows_the_encoding(encoding):
    text = "Name;E-mail\r\nZoë Müller;zoe@example.org\r\nJosé;jose@example.org\r\n"
    table = read(text.encode(encoding))
    assert (table.headers, cells(table)[0]) == (("Name", "E-mail"), ("Zoë Müller", "zoe@example.org"))


def test_read_utf_16_with_its_mark_in_either_order():
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        table = read(mark + "Name\tEmail\nZoë\tz@example.org\n".encode(encoding))
        assert cells(table) == [("Zoë", "z@example.org")]


def test_read_takes_another_old_encoding_only_where_its_headings_make_sense():
    vocabulary = Vocabulary({"email": ["メールアドレス", "電子郵件", "email"]})
    for encoding, heading, name in (("cp932", "メールアドレス", "山田"), ("big5", "電子郵件", "王大明")):
        data = f"{heading},x\na@example.org,{name}\n".encode(encoding)
        table = tables.read(data, lambda row, _title: len(vocabulary.recognise(row).columns))
        assert cells(table) == [("a@example.org", name)]
    assert cells(read("Name,Email\nJos\xe9,j@example.org\n".encode("cp1252")))[0][0] == "José"


@pytest.mark.parametrize(
    "encoding, text",
    [
        ("cp1250", "Imię i nazwisko;E-mail\nMałgorzata Dąbrowska;m@x.pl\nŁukasz Wójcik;l@x.pl\n"),
        ("cp1250", "Imię;Email\nZofia;z@x.pl\n"),
        ("cp1250", "Name;Email\nŁukasz Gęś;l@x.pl\nŻaneta;z@x.pl\n"),
        ("cp1250", "Jméno;E-mail\nJiří Dvořák;j@x.cz\nKateřina Němcová;k@x.cz\nTomáš;t@x.cz\n"),
        ("cp1250", "Name;Email\nIvan Kovačević;i@x.hr\n"),
        ("cp1250", "Név;Email\nErdős Győző;e@x.hu\n"),
        ("cp1251", "ФИО;Почта\nИван Петров;i@x.ru\nЁлкина Анна;e@x.ru\n"),
        ("cp1251", "Name;Email\nОльга;o@x.ru\n"),
        ("cp1251", "Ім'я;Пошта\nЮрій Їжак;y@x.ua\n"),
        ("cp1252", "Name;Email\nZoé Lefèvre;z@x.fr\nAdèle Forêt;a@x.fr\nFrançois;f@x.fr\n"),
        ("cp1252", "Name;Email\nSøren Sørensen;s@x.dk\nLefèvre;l@x.fr\nJosé Muñoz;j@x.es\nJoão Inês;i@x.pt\n"),
        ("cp1252", "Name;Email\nÅsa Öberg;a@x.se\nÉva Müller;e@x.de\nStraße;s@x.de\nŒuvrard;o@x.fr\n"),
        ("cp1252", "Name;¿Asistirás?\nJosé Peña;Sí\n"),
        ("cp1252", "Nome;Email\nNicolò;n@x.it\nDante Forlì;d@x.it\nPerù;p@x.it\n"),
        ("cp1252", "Name;Email;Betrag\nJörg;j@x.de;5 €\n"),
    ],
)
def test_read_tells_old_encodings_by_their_letters(encoding, text):
    lines = [tuple(line.split(";")) for line in text.splitlines()]
    table = tables.read(text.encode(encoding), lambda row, _title: len(row) if not row[0].isdigit() else 0)
    assert [table.headers, *cells(table)] == lines


def test_read_takes_what_is_unicode_as_unicode():
    text = "Name;Email\nМалгожата Łukasz Zoë;m@example.org\n"
    assert cells(read(text))[0][0] == "Малгожата Łukasz Zoë"


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_read_knows_the_delimiter_though_others_stand_in_cells(delimiter):
    others = ",;\t|".replace(delimiter, "")
    noisy = f"a{others[0]}b{others[1]}c{others[2]}d"
    lines = [["Name", "Email", "Notes"], *([f"Bo{others[0]} {n}", f"b{n}@example.org", noisy] for n in range(3))]
    table = read("\n".join(delimiter.join(line) for line in lines))
    assert table.headers == ("Name", "Email", "Notes")
    assert cells(table)[2] == (f"Bo{others[0]} 2", "b2@example.org", noisy)


def test_read_follows_the_hint_of_spreadsheets():
    for mark in ";^":  # the second is none that we would try
        table = read(f'sep={mark}\r\nName{mark}Email\r\n"Bo{mark} Ek"{mark}bo@example.org\r\n')
        assert (table.line, cells(table)) == (2, [(f"Bo{mark} Ek", "bo@example.org")])


def test_read_quoted_cells_with_everything_in_them():
    table = read('Name,Email\r\n"Ek, ""Bo""\r\nJr.",bo@example.org\r\n"x", "y@example.org"\r\n')
    assert table.rows == (Row(2, ('Ek, "Bo"\r\nJr.', "bo@example.org")), Row(4, ("x", "y@example.org")))


def test_read_pads_short_rows_and_points_at_long_ones():
    table = read("Name,Email,Phone\nBo\nÅsa,a@example.org,1,\nEk,e@example.org,2,3\n,,\n")
    assert table.rows == (
        Row(2, ("Bo", "", "")),
        Row(3, ("Åsa", "a@example.org", "1")),
        Row(4, ("Ek", "e@example.org", "2"), surplus=True),
    )


def test_read_keeps_duplicate_and_empty_headings_in_their_places():
    table = read("Name,,Email,Email\nBo,x,b@example.org,\n")
    assert (table.headers, cells(table)) == (("Name", "", "Email", "Email"), [("Bo", "x", "b@example.org", "")])


def test_read_strips_what_keeps_a_cell_text():
    table = read('Name,Email,Phone\n\xa0Bo ,\u200bb@example.org,"=""0701"""\n\'=Eve,e@example.org,\'+4670\n\'O,x@y,z\n')
    assert cells(table) == [("Bo", "b@example.org", "0701"), ("=Eve", "e@example.org", "+4670"), ("'O", "x@y", "z")]


def test_read_refuses_an_open_quotation_mark_with_its_line():
    assert refusal('Name,Email\nBo,b@example.org\n"Ek,e@example.org\nA,a@example.org\n').startswith(
        "Line 3 can't be read: a quotation mark is missing there"
    )
    assert refusal('Name,Email\n"Richard "Ringo" Langly",r@example.org\n').startswith("Line 2 can't be read")


# -- Several tables ----------------------------------------------------------------------------

WEBINAR = """Attendee Report
Report generated time,08/09/2026 02:31:08 PM
Topic,Webinar ID
Talk,000 0000
Host Details,
Name,Email,Join Time
Hostess,host@example.org,10:45
Attendee Details,
Name,Email,Join Time
Bo,bo@example.org,10:50
Åsa,asa@example.org,10:51

Phone Details,
Name,Join Time
+46 70,10:52
"""


def test_read_finds_the_table_of_people_among_others():
    table = read(WEBINAR)
    assert (table.title, table.line, cells(table)) == (
        "Attendee Details",
        9,
        [("Bo", "bo@example.org", "10:50"), ("Åsa", "asa@example.org", "10:51")],
    )
    assert [(one.title, one.line, cells(one)) for one in table.others] == [
        ("Host Details", 6, [("Hostess", "host@example.org", "10:45")]),
        ("Phone Details", 14, [("+46 70", "10:52")]),
    ]


def test_read_takes_headings_that_fit_better_without_a_gap_before_them():
    table = read("Topic,Email,Duration\nTalk,host@example.org,45\nName,Email,Join Time\nBo,b@example.org,10\n")
    assert (table.line, cells(table)) == (3, [("Bo", "b@example.org", "10")])


def test_read_of_equal_tables_takes_the_first_that_has_rows():
    table = read("Empty\nName,Email\n\nMorning\nName,Email\nA,a@example.org\n\nEvening\nName,Email\nB,b@example.org\n")
    assert (table.title, cells(table)) == ("Morning", [("A", "a@example.org")])
    assert [one.title for one in table.others] == ["Evening"]


def test_read_skips_headings_that_are_repeated():
    table = read("Name,Email\nA,a@example.org\n\nName,Email\nB,b@example.org\n")
    assert (cells(table), table.others) == ([("A", "a@example.org"), ("B", "b@example.org")], ())


def test_read_takes_no_row_of_data_for_headings():
    table = read("Name,Email\nA,a@example.org\nName,\nEmail,\nB,b@example.org\n")
    assert len(table.rows) == 4


# -- Workbooks ---------------------------------------------------------------------------------


def workbook(**sheets) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    return saved(book)


def saved(book) -> bytes:
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def test_read_workbook_keeps_numbers_and_dates_readable():
    data = workbook(
        Guests=[
            ["Name", "Email", "Phone", "At", "Day", "Hour", "Paid", "Here", "Share", None],
            ["Bo", "b@example.org", 4670123456789, datetime(2026, 5, 1, 19, 2, 0, 600_000), date(2026, 5, 1)]
            + [clock(19, 2), 46701234567.0, True, 0.5, None],
            [None] * 10,
            [123456789012345, "e@example.org", "+46 70", None, datetime(2026, 5, 1), None, "#N/A", False, 1e300],
        ]
    )
    table = read(data)
    assert (table.title, table.headers[-1]) == ("Guests", "Share")
    assert table.rows == (
        Row(
            2,
            ("Bo", "b@example.org", "4670123456789", "2026-05-01 19:02:01", "2026-05-01")
            + ("19:02:00", "46701234567", "true", "0.5"),
        ),
        Row(4, ("123456789012345", "e@example.org", "+46 70", "", "2026-05-01", "", "", "false", "1e+300")),
    )


def test_read_workbook_takes_the_best_visible_sheet():
    book = openpyxl.load_workbook(
        io.BytesIO(
            workbook(
                Cover=[["Report of the year"]],
                Empty=[],
                Hidden=[["Name", "Email", "Join time"], ["H", "h@example.org", "1"]],
                Host=[["Name", "Email"], ["X", "x@example.org"]],
                People=[["People"], [], ["Name", "Email"], ["A", "a@example.org"]],
            )
        )
    )
    book["Hidden"].sheet_state = "hidden"
    table = read(saved(book))
    assert (table.title, table.line, cells(table)) == ("People", 3, [("A", "a@example.org")])
    assert [one.title for one in table.others] == ["Host"]


def test_read_workbook_that_declares_too_small_a_size():
    data = workbook(Guests=[["Name", "Email"], ["A", "a@example.org"], ["B", "b@example.org"]])
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1:A1"'))
    assert packed.getvalue() != data
    assert len(read(packed.getvalue()).rows) == 2


def test_read_workbook_tells_a_formula_without_value_from_an_empty_cell():
    data = workbook(Guests=[["Name", "Email"], ["=1+1", "a@example.org"], [None, "b@example.org"]])
    assert cells(read(data)) == [(tables.UNCALCULATED, "a@example.org"), ("", "b@example.org")]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (b'<c r="A2"><f>1+1</f><v>2</v></c>', "2"),
        (b'<c r="A2" t="str"><f>A1</f><v>Bo</v></c>', "Bo"),
        (b'<c r="A2" t="b"><f>1=1</f><v>1</v></c>', "true"),
        (b'<c r="A2" t="str"><f>IF(1=2,1,"")</f><v></v></c>', ""),
        (b'<c r="A2" t="inlineStr"><is><t>=TRUE()</t></is></c>', "=TRUE()"),
        (b'<c r="A2"><f>1+1</f></c>', tables.UNCALCULATED),
        (b'<c r="A2" t="b"><f>TRUE()</f><v/></c>', tables.UNCALCULATED),
    ],
)
def test_read_workbook_reads_what_formulas_came_to(cell, text):
    data = workbook(Guests=[["Name", "Email"], ["=1+1", "a@example.org"]])
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb'<c r="A2".*?</c>', lambda _found: cell, old.read(name)))
    assert cells(read(packed.getvalue())) == [(text, "a@example.org")]


# -- Bounds ------------------------------------------------------------------------------------


def test_read_refuses_too_much(monkeypatch):
    monkeypatch.setattr(reading, "ROW_LIMIT", 3)
    row = "A,a@example.org\n"
    assert len(read("Name,Email\n" + 3 * row).rows) == 3
    assert refusal("Name,Email\n" + 4 * row) == "This file has more than 3 rows. Split it."
    two_sheets = {name: [["Name", "Email"], *[["A", "a@example.org"]] * 2] for name in ("a", "b")}
    assert refusal(workbook(**two_sheets)) == "This file has more than 3 rows. Split it."
    assert "more than 200 columns" in refusal("Name,Email" + ",x" * 199)
    assert "more than 200 columns" in refusal(workbook(a=[["Name", "Email", *"x" * 199]]))
    assert "cell of 32768 characters" in refusal(f"Name,Email\n{'x' * 32768},a@example.org")
    assert refusal(b" " * (tables.SIZE_LIMIT + 1)) == "This file has more than 5 MB."


def test_read_reads_fifty_thousand_rows_in_time():
    data = "Name,Email,Phone,Notes\n" + "".join(f'Bo {n},b{n}@example.org,0701,"a, b"\n' for n in range(50_000))
    start = time.perf_counter()
    assert len(read(data).rows) == 50_000
    assert time.perf_counter() - start < 20  # takes half a second


def packed_sheet(xml: bytes, name="xl/worksheets/sheet1.xml", method=zipfile.ZIP_DEFLATED) -> bytes:
    """A workbook with another sheet, or another part, in the place of its own."""
    packed = io.BytesIO()
    data = workbook(Guests=[["Name", "Email"], ["A", "a@example.org"]])
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", method) as new:
        for one in old.namelist():
            if one != name:
                new.writestr(one, old.read(one))
        new.writestr(name, xml)
    return packed.getvalue()


def test_read_refuses_a_bomb_unopened():
    bomb = packed_sheet(b" " * (reading.UNPACKED_LIMIT + 1))
    assert len(bomb) < 100_000
    assert refusal(bomb).startswith("This workbook is too large when unpacked")
    texts = packed_sheet(b" " * (reading.TEXTS_LIMIT + 1), "xl/sharedStrings.xml")
    assert refusal(texts).startswith("This workbook is too large when unpacked")
    assert refusal(packed_sheet(b" ", method=zipfile.ZIP_LZMA)).startswith("This workbook is too large when unpacked")


def test_read_refuses_entities_that_grow():
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    xml = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><worksheet>&e8;</worksheet>'
    assert refusal(packed_sheet(xml.encode())).startswith("This workbook can't be read.")


def sheet_xml(rows: str) -> bytes:
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>'.encode()


def test_read_workbook_with_cells_far_away_stays_small():
    def row(number, **texts):
        inner = "".join(f'<c r="{c}{number}" t="inlineStr"><is><t>{text}</t></is></c>' for c, text in texts.items())
        return f'<row r="{number}">{inner}</row>'

    head = row(1, A="Name", B="Email")
    start = time.perf_counter()
    assert len(read(packed_sheet(sheet_xml(head + row(1_000_000, A="A")))).rows) == 1
    assert "no rows" in refusal(packed_sheet(sheet_xml(head + row(10**12, A="A"))))  # beyond any sheet
    assert time.perf_counter() - start < 20  # takes two seconds
    assert cells(read(packed_sheet(sheet_xml(head + row(2, A="A", XFD="far"))))) == [("A", "")]


def test_read_workbook_keeps_the_digits_of_a_number_written_with_an_exponent():
    head = "".join(
        f'<c r="{c}1" t="inlineStr"><is><t>{text}</t></is></c>' for c, text in (("A", "Email"), ("B", "Phone"))
    )
    numbers = '<c r="A2"><v>4.6701234567E10</v></c><c r="B2"><v>46701234567.0</v></c>'
    table = read(packed_sheet(sheet_xml(f'<row r="1">{head}</row><row r="2">{numbers}</row>')))
    assert cells(table) == [("46701234567", "46701234567")]


ANEW = "no CSV or XLSX. Save the list as CSV or XLSX in the program that it comes from."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "This file is empty."),
        (b" \r\n\n", "This file is empty."),
        (b"\xd0\xcf\x11\xe0rest", "old format"),
        (b"PK\x03\x04", "damaged"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"%PDF-1.7\nName,Email\n\x00\x01", f"This is a PDF, {ANEW}"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><table><tr><td>Name,Email", f"This is a web page (HTML), {ANEW}"),
        (b"<html xmlns:x=''>\nName,Email\nA,a@example.org", f"This is a web page (HTML), {ANEW}"),
        (b'<?xml version="1.0"?>\n<list/>', f"This is an XML file, {ANEW}"),
        (b"{\\rtf1 Name,Email", f"This is a text document (RTF), {ANEW}"),
        (b"\x89PNG\r\n\x1a\n", f"This is a picture, {ANEW}"),
        (b"Name,Email\nA\x00,a@example.org\n", "neither a text file nor"),
        (b"\xff\xfeN\x00a", "neither a text file nor"),
        (b"\xff\xfeN\x00a\x00\x00", "neither a text file nor"),
        (b"Hello, dear reader.\nThis is no table.\n", "No line of this file has the headings"),
        (b"Name,Email\n", "headings, but no rows"),
        (b"Name,Email\n,\n\n", "headings, but no rows"),
    ],
)
def test_read_refuses_what_is_no_table(data, sentence):
    assert sentence in refusal(data)


def test_read_refuses_a_zip_of_something_else():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("subscribed.csv", "Name,Email\nA,a@example.org\n")
    assert refusal(packed.getvalue()) == f"This is a ZIP archive, or another program's document, {ANEW}"


TABLES = st.lists(st.lists(st.text(max_size=12), max_size=5), max_size=12)
WORKBOOK = workbook(Guests=[["Name", "Email"], ["A", "a@example.org"], ["B", "b@example.org"]])


@st.composite
def damaged(draw):
    """A good file with a few bytes of it changed, or cut off."""
    data = bytearray(draw(st.sampled_from([WORKBOOK, WEBINAR.encode(), WEBINAR.encode("utf-16")])))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(1, len(data)))]) if draw(st.booleans()) else bytes(data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda rows, mark: mark.join([b"Name,Email", *rows]), st.lists(st.binary(max_size=20)), st.just(b"\n")
        ),
        TABLES.map(
            lambda rows: "\r\n".join(["Email;Name", *(";".join(row) for row in rows)]).encode("utf-8", "replace")
        ),
        damaged(),
    )
)
@example(b"Email\nName\n")
@example(b'"\n')
def test_no_bytes_make_anything_but_a_table_or_its_error(data):
    try:
        table = read(data)
    except TableError as error:
        assert str(error)
        return
    assert all(len(row.cells) == len(table.headers) for row in table.rows)
    assert len({row.line for row in table.rows}) == len(table.rows) > 0


# -- What a heading means ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "folded"),
    [
        ("E-Mail", "email"),
        ("e mail address", "email address"),
        ("checkedInAt", "checked in at"),
        ("checked_in_at ", "checked in at"),
        ("Prénom", "prenom"),
        ("STRASSE / Straße", "strasse strasse"),
        ("Order #", "order number"),
        ("What's your  e-mail?", "what s your email"),
        ("Ｅメール", "eメール"),
        ("報到狀態", "報到狀態"),
        ("✓", ""),
    ],
)
def test_fold(heading, folded):
    assert fold(heading) == folded


WORDS = Vocabulary(
    {
        "email": ["email", "email address", "*your email", "E-Mail-Adresse", "correo electrónico", "メールアドレス"],
        "phone": ["mobile", "phone"],
    }
)


@pytest.mark.parametrize(
    ("headers", "columns", "ambiguous"),
    [
        (["Name", "E-MAIL", "Phone"], {"email": 1, "phone": 2}, {}),
        (["Phone", "Mobile"], {"phone": 1}, {}),
        (["Email", "email "], {}, {"email": (0, 1)}),
        (["Email Address", "Email", "Email Address"], {"email": 1}, {}),
        (["What’s your email?"], {"email": 0}, {}),
        (["Email (work)", "Email"], {"email": 1}, {}),
        (["Phone [mobile]"], {"phone": 0}, {}),
        (["CORREO ELECTRONICO", "e-mail-adresse "], {"email": 1}, {}),
        (["メールアドレス"], {"email": 0}, {}),
        (
            ["Contact owner", "Buyer e-mail", "Email status", "Accepts Email Marketing", "Order #", "Account Name"],
            {},
            {},
        ),
        ([""], {}, {}),
    ],
)
def test_recognise(headers, columns, ambiguous):
    assert WORDS.recognise(headers) == Recognised(columns, ambiguous)


def test_a_heading_has_one_meaning():
    with pytest.raises(AssertionError, match="means email already"):
        Vocabulary({"email": ["contact"], "phone": ["Contact"]})
