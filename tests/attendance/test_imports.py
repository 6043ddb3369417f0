"""Importing who came: whom a row is about, what it says, and what becomes of it. Real files: test_import_files."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from attendance.models import AttendanceAudit, Attendee, CheckIn, CheckInPoint
from attendance.models.record import AttendanceStatus
from attendance.operations import imports, record
from attendance.operations.imports import moments, names, words
from config import tables
from config.errors import NotFound
from tests import factories
from tests.config.postgres import waited_for

HEAD = "Name,Email,Attended\n"


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.fixture
def talk(db):
    """19:00 to 23:00 in Berlin."""
    return factories.EventFactory(starts_at=utc(2024, 5, 3, 17), ends_at=utc(2024, 5, 3, 21), timezone="Europe/Berlin")


@pytest.fixture
def guest(talk):
    """``guest("bo")``: an attendee bo@example.org."""

    def guest(name="bo", *, event=talk, **fields) -> Attendee:
        known = {"email": f"{name}@example.org", "first_name": name.title(), "last_name": "Ek"}
        person = {f"user_profile__{field}": value for field, value in (known | fields).items()}
        return factories.AttendeeFactory(event=event, **person)

    return guest


@pytest.fixture
def run(talk):
    """``run(text, **choices)``: the report of an import that is done; ``dry_run=True``: of its preview."""

    def run(text, *, event=talk, actor=None, dry_run=False, **choices):
        data = text if isinstance(text, bytes) else text.encode()
        return imports.import_attendance(
            event_id=event.pk,
            table=tables.read(data, imports.score),
            choices=imports.Choices(**choices),
            actor=actor,
            dry_run=dry_run,
        )

    return run


def marked(report) -> dict[str, list[str]]:
    return {status.value: [entry.name for entry in entries] for status, entries in report.to_mark.items() if entries}


LISTS = ("unchanged", "silent", "kept", "ambiguous", "unknown", "unreadable", "outrun")


def left(report) -> dict[str, list]:
    """Every other list that has something, as (line, reason)."""
    return {
        name: [(entry.line, entry.reason) for entry in getattr(report, name)] for name in LISTS if getattr(report, name)
    }


def status_of(attendee):
    attendee.refresh_from_db()
    return attendee.attendance_status


# -- Doing ---------------------------------------------------------------------------------------


def test_import_marks_and_audits(talk, guest, run, organizer):
    bo, eva, other = guest("bo"), guest("eva"), guest("other")
    report = run(HEAD + "Bo,bo@example.org,yes\nEva,eva@example.org,excused\n", actor=organizer)
    assert (marked(report), left(report), report.unlisted) == ({"present": ["Bo Ek"], "excused": ["Eva Ek"]}, {}, 1)
    assert [status_of(one) for one in (bo, eva, other)] == ["present", "excused", "unknown"]
    assert (bo.attendance_source, bo.attendance_marked_by) == ("import", organizer)
    audit = AttendanceAudit.objects.filter(event=talk).order_by("to_status")
    assert list(audit.values_list("attendee", "from_status", "to_status", "source", "actor")) == [
        (eva.pk, "unknown", "excused", "import", organizer.pk),
        (bo.pk, "unknown", "present", "import", organizer.pk),
    ]


def test_preview_is_what_happens_and_writes_nothing(guest, run):
    bo = guest("bo")
    text = HEAD + "Bo,bo@example.org,yes\nX,x@example.org,yes\n"
    preview = run(text, dry_run=True)
    assert (status_of(bo), AttendanceAudit.objects.count()) == ("unknown", 0)
    done = run(text)
    assert (marked(done), left(done)) == (marked(preview), left(preview))
    assert status_of(bo) == "present"


def test_import_again_changes_nothing(guest, run):
    guest("bo")
    text = HEAD + "Bo,bo@example.org,yes\n"
    run(text)
    report = run(text)
    assert (marked(report), left(report)) == ({}, {"unchanged": [(2, "")]})
    assert AttendanceAudit.objects.count() == 1


@pytest.mark.parametrize("dry_run", [True, False])
def test_import_asks_a_fixed_number_of_questions(guest, run, dry_run):
    lines = [f"G,g{n}@example.org,yes\n" for n in range(30)]
    for n in range(30):
        guest(f"g{n}")
    counts = []
    for some in (lines[:1], lines[1:4], lines[4:]):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            report = run(HEAD + "".join(some), dry_run=dry_run)
        assert report.marked == len(some)
        counts.append(len(queries))
    assert counts == [4 if dry_run else 5] * 3  # savepoint, event, attendees, the marks, release


def test_import_of_an_event_that_is_not_there(run, guest):
    with pytest.raises(NotFound):
        imports.import_attendance(
            event_id=0,
            table=tables.read(b"Email,Attended\na@example.org,yes\n", imports.score),
            choices=imports.Choices(),
            actor=None,
            dry_run=True,
        )


@pytest.mark.django_db(transaction=True)
def test_import_leaves_who_is_marked_meanwhile(guest, run):
    bo, eva = guest("bo"), guest("eva")
    with waited_for("UPDATE event_attendees SET attendance_status = 'excused' WHERE id = %s", [bo.pk]):
        report = run(HEAD + "Bo,bo@example.org,yes\nEva,eva@example.org,yes\n")
    assert (marked(report), left(report)) == ({"present": ["Eva Ek"]}, {"outrun": [(2, "")]})
    assert (status_of(bo), status_of(eva)) == ("excused", "present")


# -- Whom a row is about -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "cell"),
    [
        ("Ticket code", "{ticket}"),
        ("Barcode", "{ticket}"),
        ("owner_id", "{owner_id}"),
        ("E-mail", "bo@example.org"),
        ("Email address", " BO@Example.ORG "),
        ("correo electrónico", "Bo Ek <Bo@example.org>"),
        ("メールアドレス", "mailto:bo@example.org"),
        ("E-mail 1 - Value", "old@example.org ::: bo@example.org"),
        ("Phone", "(415) 555-2671"),
        ("Handynummer", "+1 415 555 2671"),
        ("電話", "001 415.555.2671"),
    ],
)
def test_a_row_is_found_by_each_identifier(guest, run, settings, heading, cell):
    settings.PHONE_REGION = "US"
    bo, _other = guest("bo", phone="+14155552671"), guest("eva", phone="+14155552672")
    cell = cell.format(ticket=bo.ticket_code, owner_id=bo.owner_id)
    if cell.startswith("001"):
        settings.PHONE_REGION = "DE"
    report = run(f'{heading},Attended\n"{cell}",yes\n')
    assert (marked(report), left(report)) == ({"present": ["Bo Ek"]}, {})


def test_national_numbers_are_of_the_configured_region(guest, run, settings):
    settings.PHONE_REGION = "SE"
    guest("bo", phone="+46701234567")
    for cell in ("0701234567", "070-123 45 67", "46701234567", "701234567"):
        assert run(f"Phone,Attended\n{cell},yes\n", dry_run=True).marked == 1
    settings.PHONE_REGION = "DE"
    assert run("Phone,Attended\n0701234567,yes\n", dry_run=True).marked == 0


def test_a_rounded_number_is_nobody(guest, run):
    guest("bo", phone="+14155552679")  # what its digits would dial
    report = run("Phone,Attended\n4.15555267E9,yes\n4.16E+09,yes\n")
    assert left(report) == {
        "unreadable": [(2, "“4.15555267E9” is no phone number."), (3, "“4.16E+09” is no phone number.")]
    }


def test_a_name_alone_is_nobody(guest, run):
    guest("bo")
    report = run(HEAD + "Bo Ek,,yes\n")
    assert left(report) == {"unknown": [(2, "A name alone doesn't tell who it is.")]}
    with pytest.raises(imports.NoIdentifier):
        run("Name,Attended\nBo Ek,yes\n")


def test_rows_of_nobody_are_listed_with_the_reason(guest, run):
    guest("bo")
    report = run(
        "Name,Email,Phone,Attended\n"
        "Eva,eva@example.org,,yes\n"
        "Total,,,25\n"
        ",,,yes\n"
        "Cut,,4.67E+10,yes\n"
        "Odd,bo-example.org,,yes\n"
        "Long,bo@example.org,,yes,and more\n"
        "Dash,--,-,yes\n"
    )
    assert marked(report) == {}
    assert left(report) == {
        "unknown": [
            (2, "Nobody in this event has this: Email."),
            (3, "A name alone doesn't tell who it is."),
            (8, "A name alone doesn't tell who it is."),
        ],
        "unreadable": [
            (4, "The row names nobody."),
            (5, "“4.67E+10” is no phone number."),
            (6, "“bo-example.org” is no e-mail address."),
            (7, "The row has more cells than there are headings."),
        ],
    }


def test_removed_people_and_those_of_other_events_are_unknown(guest, run, talk):
    guest("elsewhere", event=factories.EventFactory())
    removed, eva = guest("removed"), guest("eva")
    Attendee.objects.filter(pk=removed.pk).update(status="removed")
    report = run(
        "Email,Ticket code,Attended\n"
        "elsewhere@example.org,,yes\n"
        "removed@example.org,,yes\n"
        f",{removed.ticket_code},yes\n"
        f"eva@example.org,{removed.ticket_code},yes\n"
    )
    assert (marked(report), left(report)) == (
        {},
        {
            "unknown": [
                (2, "Nobody in this event has this: Email."),
                (3, "Removed Ek was removed from the event."),
                (4, "Removed Ek was removed from the event."),
            ],
            "ambiguous": [(5, "Ticket code, Email point to different people: Eva Ek, Removed Ek.")],
        },
    )
    assert (status_of(removed), status_of(eva), report.unlisted) == ("unknown", "unknown", 1)


def test_identifiers_that_disagree_are_ambiguous(guest, run):
    bo, eva = guest("bo", phone="+14155552671"), guest("eva", phone="+14155552672")
    report = run(
        "Ticket code,Email,Phone,Attended\n"
        f"{bo.ticket_code},eva@example.org,,yes\n"
        ",bo@example.org,415-555-2672,yes\n"
        ',"bo@example.org, eva@example.org",,yes\n'
        ",stranger@example.org,415-555-2671,yes\n"
    )
    assert marked(report) == {}
    assert left(report) == {
        "ambiguous": [
            (2, "Ticket code, Email point to different people: Bo Ek, Eva Ek."),
            (3, "Email, Phone point to different people: Bo Ek, Eva Ek."),
            (4, "This fits several people: Bo Ek, Eva Ek."),
            (5, "The phone number is Bo Ek's, the e-mail address isn't."),
        ]
    }
    assert (status_of(bo), status_of(eva)) == ("unknown", "unknown")


def test_a_shared_phone_is_ambiguous_unless_something_else_decides(guest, run):
    guest("bo", phone="+14155552671"), guest("eva", phone="+14155552671")
    report = run("Email,Phone,Attended\n,415-555-2671,yes\nbo@example.org,415-555-2671,yes\n")
    assert (marked(report), left(report)) == (
        {"present": ["Bo Ek"]},
        {"ambiguous": [(2, "This fits several people: Bo Ek, Eva Ek.")]},
    )


def test_an_identifier_of_nobody_does_not_contradict_a_ticket(guest, run):
    bo = guest("bo")
    report = run(f"Ticket code,Email,Attended\n{bo.ticket_code},new@example.org,yes\nforeign,bo@example.org,yes\n")
    assert marked(report) == {"present": ["Bo Ek"]}


def test_columns_that_could_mean_the_same_are_not_chosen_from(guest, run):
    bo = guest("bo")
    with pytest.raises(imports.AmbiguousColumns, match="“Email”, “email”"):
        run("Email,email,Attended\nbo@example.org,x@example.org,yes\n")
    with pytest.raises(imports.AmbiguousColumns, match="“Attended”, “attended”"):
        run("Email,Attended,attended\nbo@example.org,yes,no\n")
    report = run(f"Email,email,Attended,Barcode\nx@example.org,y@example.org,yes,{bo.ticket_code}\n", dry_run=True)
    assert (report.marked, report.notes) == (1, ["Nobody is looked up by “Email”, “email”: they could mean the same."])
    for same in ("bo@example.org", ""):
        assert run(f"Email,email,Attended\nbo@example.org,{same},yes\n", dry_run=True).marked == 1


# -- Names that contradict -------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_one_email_under_two_names_marks_only_whose_it_is(guest, run, order):
    bo = guest("bo")
    rows = ["Bo Ek,bo@example.org,{}\n", "Somebody Else Entirely,bo@example.org,{}\n"][::order]
    other = 3 if order == 1 else 2
    reason = "bo@example.org belongs to Bo Ek; the list says Somebody Else Entirely."
    report = run(HEAD + "".join(rows).format("yes", "yes"), dry_run=True)
    assert (marked(report), left(report)) == ({"present": ["Bo Ek"]}, {"ambiguous": [(other, reason)]})
    report = run(HEAD + "Bo Ek,bo@example.org,no\nSomebody Else Entirely,bo@example.org,yes\n")
    assert left(report) == {"ambiguous": [(3, reason)], "silent": [(2, "")]}
    assert status_of(bo) == "unknown"


@pytest.mark.parametrize("heading", ["Email", "Ticket code", "owner_id", "Phone"])
def test_another_name_contradicts_every_identifier(guest, run, heading):
    bo = guest("bo", phone="+14155552671")
    cell = {"Email": "bo@example.org", "Ticket code": bo.ticket_code, "owner_id": bo.owner_id}
    cell["Phone"] = "+14155552671"
    report = run(f"Last name,First name,{heading},Attended\nNordin,Eva,{cell[heading]},yes\n")
    reason = f"{cell[heading]} belongs to Bo Ek; the list says Eva Nordin."
    assert (marked(report), left(report)) == ({}, {"ambiguous": [(2, reason)]})


def test_a_couple_with_one_email_is_told_apart_by_the_row_of_its_owner(guest, run):
    guest("bo"), guest("eva")
    rows = HEAD + "Bo Ek,bo@example.org,yes\nAnn Ek,bo@example.org,yes\n,eva@example.org,yes\n"
    report = run(rows, dry_run=True)
    reason = "Lines 2, 3 all point to Bo Ek, under different names."
    assert (marked(report), left(report)) == ({"present": ["Bo Ek", "Eva Ek"]}, {"ambiguous": [(3, reason)]})
    assert [entry.line for entry in report.to_mark["present"]] == [2, 4]
    report = run(rows.replace("Bo Ek", "Cy Ek"), dry_run=True)
    assert (marked(report), left(report)) == ({"present": ["Eva Ek"]}, {"ambiguous": [(2, reason), (3, reason)]})
    report = run(HEAD + "Ann Ek,bo@example.org,yes\n", dry_run=True)
    assert [entry.reason for entry in report.to_mark["present"]] == ["the list says Ann Ek"]


def test_who_has_no_name_is_contradicted_by_none_but_not_by_two(guest, run):
    guest("bo", first_name="", last_name=""), guest("eva")
    report = run(HEAD + "Cy Lind,bo@example.org,yes\n,eva@example.org,yes\n--,eva@example.org,yes\n", dry_run=True)
    assert (marked(report), left(report)) == ({"present": ["(no name)", "Eva Ek"]}, {})
    report = run(HEAD + "Cy Lind,bo@example.org,yes\nAnn Berg,bo@example.org,yes\n")
    reason = "Lines 2, 3 all point to (no name), under different names."
    assert (marked(report), left(report)) == ({}, {"ambiguous": [(2, reason), (3, reason)]})


SAME_NAMES = [
    ("Anna Ek", "EK, ANNA"),
    ("Anna Ek", "A. Ek"),
    ("Anna Ek", "A E"),
    ("Anna Ek", "Anna"),
    ("Anna Ek", "Dr. Anna Maria Ek, PhD"),
    ("Anna Ek", "Anna (she/her)"),
    ("Richard Langly", 'Rich "Ringo" Langly'),
    ("Ringo", 'Richard "Ringo" Langly'),
    ("Robert Ek", "Bobby (Robert Ek)"),
    ("Søren Müller", "Soren Mueller"),
    ("José Ángel", "Jose Angel"),
    ("Anne-Marie O'Brien", "Annemarie OBrien"),
    ("Ronald McDonald", "RONALD MCDONALD"),
    ("大明 王", "王大明"),
    ("大明 王", "王大明闔府"),
    ("Taro Yamada", "山田太郎"),
    ("Anna Ek", "anna@example.org"),
    ("Anna Ek", "Anna Ek <anna@example.org>"),
    ("Anna Ek", "+46 70 123 45 67"),
    ("Anna Ek", "–"),
    ("Al Mag", "Al Mag"),
]
OTHER_NAMES = [
    ("Anna Ek", "Bo Lind"),
    ("Anna Ek", "B"),
    ("Anna Ek", "A Lind"),
    ("Dr. Anna Ek", "Dr. Bo Lind"),
    ("Ana de Souza", "Rita de Castro"),
    ("Anna Ek (she/her)", "Eva Lind (she/her)"),
    ("Amy Li", "May Il"),
    ("大明 王", "小美陳"),
    ("Anna Ek", "iPhone"),
]


@pytest.mark.parametrize(
    ("known", "called", "differ"),
    [*((*pair, False) for pair in SAME_NAMES), *((*pair, True) for pair in OTHER_NAMES)],
)
def test_names_differ_that_have_no_word_in_common(known, called, differ):
    pair = names.read(known), names.read(called)
    for one, other in (pair, pair[::-1]):
        assert bool(one and other and names.differ(one, other)) == differ


@pytest.mark.parametrize(
    ("called", "own"),
    [
        (["Harry", "Harry Potter", "Harry J. Potter", "harry potter (he/him)"], [0, 1, 2, 3]),
        (["Max Potter", "Maximilian Potter", "M. Potter"], [0, 1, 2]),
        (["Harry Potter", "Ginny Potter", ""], [0, 2]),
        (["Albus Potter", "Ginny Potter", ""], [2]),
        (["Ginny Potter", "Ginny Potter"], [0, 1]),
        (["Harry", "Ginny"], [0]),
    ],
)
def test_rows_of_one_person_under_different_names(called, own):
    rows = [(number, names.read(one)) for number, one in enumerate(called)]
    others = names.intruders(names.read("Harry Potter"), rows)
    assert [number for number, _name in rows if number not in others] == own


# -- The list of another event ---------------------------------------------------------------------


def test_a_list_of_another_event_is_warned_of(guest, run, talk):
    guest("bo"), guest("eva")
    rows = "Event name,Email,Attended\n{},bo@example.org,yes\n{},eva@example.org,yes\n"
    for title in (talk.title, f" {talk.title.upper()} ", ""):
        assert run(rows.format(title, talk.title), dry_run=True).warning == ""
    report = run(rows.format("Makers at the Quay", "Makers at the Quay"), dry_run=True)
    assert report.warning == f"The list says “Makers at the Quay”; you are importing into “{talk.title}”."
    assert report.marked == 2


def test_rows_of_another_event_beside_those_of_this_one_are_listed(guest, run, talk):
    guest("bo"), guest("eva")
    report = run(f"Event,Email,Attended\nQuay,bo@example.org,yes\n{talk.title},eva@example.org,yes\n")
    assert report.warning == f"The list says “Quay”; you are importing into “{talk.title}”."
    assert (marked(report), left(report)) == (
        {"present": ["Eva Ek"]},
        {"ambiguous": [(2, "The row is about “Quay”.")]},
    )


def test_columns_that_are_not_used_are_named(guest, run):
    guest("bo")
    report = run("Email,Company,Status,Attended,,RSVP\nbo@example.org,Ek AB,paid,yes,,no\n")
    assert report.columns == [("Email", "e-mail"), ("Attended", "who came")]
    assert report.unused == ["Company", "Status", "RSVP"]


# -- What a row says -----------------------------------------------------------------------------

SAYINGS = {
    "present": ["yes", "TRUE", "1", "Attended", "Checked In", "checked-in", "✓", "✔️", "Ja", "oui", "Sí", "sim", "Sì"]
    + [
        "waar",
        "Présente",
        "anwesend",
        "närvarande",
        "aanwezig",
        "已報到",
        "已签到",
        "出席",
        "はい",
        "受付済み",
        "○",
        "present",
    ],
    "late": [
        "late",
        "Zu spät",
        "en retard",
        "Llegó tarde",
        "atrasado",
        "in ritardo",
        "te laat",
        "försenad",
        "遲到",
        "遅刻",
    ],
    "excused": ["Excused", "entschuldigt", "excusée", "justificado", "giustificata", "verontschuldigd", "請假", "公欠"],
    "absent": ["absent", "No-show", "no show", "did not attend", "Abwesend", "unentschuldigt", "ausente", "faltou"]
    + ["assente", "afwezig", "frånvarande", "缺席", "未到場", "欠席"],
    None: ["no", "0", "False", "n", "Nein", "non", "não", "nee", "nej", "not checked in", "未報到", "いいえ", "✗", "×"]
    + [
        "",
        "-",
        "n/a",
        "Attending",
        "registered",
        "Approved",
        "pending",
        "Not Attending",
        "angemeldet",
        "inscrit",
        "已報名",
    ],
}


@pytest.mark.parametrize(("status", "cell"), [(status, cell) for status, cells in SAYINGS.items() for cell in cells])
def test_a_word_means_a_status_or_nothing(guest, run, status, cell):
    bo, eva = guest("bo"), guest("eva")
    report = run(HEAD + f"Bo,bo@example.org,{cell}\nEva,eva@example.org,yes\n")
    assert status_of(bo) == (status or "unknown")
    assert left(report) == ({} if status else {"silent": [(2, "")]})
    assert status_of(eva) == "present"


def test_a_word_unheard_of_is_listed(guest, run):
    guest("bo"), guest("eva")
    report = run(HEAD + "Bo,bo@example.org,jein\nEva,eva@example.org,yes\n")
    assert (marked(report), left(report)) == (
        {"present": ["Eva Ek"]},
        {"unreadable": [(2, "“jein” isn't understood.")]},
    )


@pytest.mark.parametrize(
    "cell",
    [
        "yes?",
        "(yes)",
        "-yes-",
        "=TRUE()",
        "no!",
        "[no]",
        "yes*",
        "yes..",
        "~yes",
        "“yes”",
        "?no",
        "✓?",
        "(✓)",
        "_1_",
        "+1",
    ]
    + ["yes no", "yes/no", "-1", "yes –", "1.0"],
)
def test_a_word_with_anything_around_it_is_listed(guest, run, cell):
    guest("bo"), guest("eva")
    report = run(HEAD + f"Bo,bo@example.org,{cell}\nEva,eva@example.org,yes\n", no_is_absent=True)
    assert (marked(report), left(report)) == (
        {"present": ["Eva Ek"]},
        {"unreadable": [(2, f"“{cell}” isn't understood.")]},
    )


@pytest.mark.parametrize(
    "cell", ["  YES ", "Yes.", "Sì", "Si\u0300", "済。", "Checked-in", "checked_in", "didn't  attend", "n/a"]
)
def test_a_word_may_have_capitals_accents_spaces_and_a_full_stop(cell):
    assert words.meaning_of(cell)


def test_an_x_with_a_doubt_is_no_tick(guest, run):
    guest("bo"), guest("eva"), guest("ann")
    report = run(HEAD + "Bo,bo@example.org,x?\nEva,eva@example.org,X\nAnn,ann@example.org,[x]\n", dry_run=True)
    assert (marked(report), left(report)) == (
        {"present": ["Eva Ek", "Ann Ek"]},
        {"unreadable": [(2, "“x?” isn't understood.")]},
    )


def test_an_x_is_a_tick_unless_beside_other_words(guest, run):
    guest("bo"), guest("eva")
    rows = HEAD + "Bo,bo@example.org,x\nEva,eva@example.org,{}\n"
    report = run(rows.format(""), dry_run=True)
    assert (marked(report), left(report)) == ({"present": ["Bo Ek"]}, {"silent": [(3, "")]})
    report = run(rows.format("yes"), dry_run=True)
    assert (marked(report), left(report)) == ({"present": ["Eva Ek"]}, {"unreadable": [(2, "“x” isn't understood.")]})


def test_no_is_absent_only_where_it_is_chosen(guest, run):
    bo, eva = guest("bo"), guest("eva")
    rows = HEAD + "Bo,bo@example.org,no\nEva,eva@example.org,absent\n"
    assert marked(run(rows, dry_run=True)) == {"absent": ["Eva Ek"]}
    assert marked(run(rows, no_is_absent=True)) == {"absent": ["Bo Ek", "Eva Ek"]}
    assert status_of(bo) == status_of(eva) == "absent"


def test_registered_is_not_present(guest, run):
    guest("bo")
    report = run("Email,Attendee Status\nbo@example.org,Attending\n", listed=AttendanceStatus.PRESENT)
    assert (marked(report), left(report)) == ({}, {"silent": [(2, "")]})
    assert report.notes == ["“Attendee Status” says who registered, not who came."]
    for heading, cell in (("approval_status", "approved"), ("Registered", "yes"), ("RSVP", "Yes"), ("Status", "Going")):
        with pytest.raises(imports.AskListed):
            run(f"Email,{heading}\nbo@example.org,{cell}\n")


def test_a_bare_status_counts_where_it_speaks_of_attendance(guest, run):
    guest("bo"), guest("eva")
    report = run("Email,Status\nbo@example.org,Checked in\neva@example.org,Active\n")
    assert (marked(report), left(report)) == ({"present": ["Bo Ek"]}, {"silent": [(3, "")]})
    with pytest.raises(imports.AskListed):
        run("Email,Status\nbo@example.org,Active\neva@example.org,\n")


@pytest.mark.parametrize("listed", [AttendanceStatus.PRESENT, AttendanceStatus.EXCUSED, AttendanceStatus.ABSENT])
def test_a_list_without_such_a_column_needs_to_be_told(guest, run, listed):
    bo = guest("bo")
    with pytest.raises(imports.AskListed):
        run("Email\nbo@example.org\n")
    assert status_of(bo) == "unknown"
    run("Email\nbo@example.org\n", listed=listed)
    assert status_of(bo) == listed


def test_an_empty_column_says_nothing(guest, run):
    guest("bo")
    report = run("Email,checked_in_at\nbo@example.org,\n", listed=AttendanceStatus.PRESENT, no_is_absent=True)
    assert (marked(report), left(report)) == ({}, {"silent": [(2, "")]})
    assert report.notes == ["Nothing is filled in under checked_in_at: the list doesn't say who came."]


def test_an_empty_time_is_a_no(guest, run):
    guest("bo"), guest("eva")
    rows = "Email,checked_in_at\nbo@example.org,2024-05-03T17:05:00Z\neva@example.org,\n"
    assert left(run(rows, dry_run=True)) == {"silent": [(3, "")]}
    assert marked(run(rows, no_is_absent=True)) == {"present": ["Bo Ek"], "absent": ["Eva Ek"]}


def test_an_empty_time_beside_a_status_that_says_nothing_is_no_no(guest, run):
    guest("bo"), guest("eva")
    rows = "Email,Attendee Status,Check-in Date\nbo@example.org,Attending,\neva@example.org,Checked in,19:05\n"
    assert left(run(rows, no_is_absent=True)) == {"silent": [(2, "")]}


# -- Several rows of one person --------------------------------------------------------------------


def test_rejoins_are_one_change_at_the_earliest_time(guest, run):
    bo = guest("bo")
    report = run(
        "Email,Join time\nbo@example.org,2024-05-03 19:40\n"
        "BO@example.org,2024-05-03 18:58\nbo@example.org,2024-05-03 20:00\n"
    )
    assert (marked(report), left(report)) == ({"present": ["Bo Ek"]}, {})
    assert (status_of(bo), bo.attendance_marked_at) == ("present", utc(2024, 5, 3, 16, 58))
    assert AttendanceAudit.objects.count() == 1


@pytest.mark.parametrize(
    ("cells", "status"),
    [
        (("yes", "yes"), "present"),
        (("yes", "present"), "present"),
        (("yes", "late"), "late"),
        (("yes", ""), "present"),
        (("no", "absent"), "absent"),
        (("no", "excused"), "excused"),
        (("yes", "no"), None),
        (("present", "late"), None),
        (("present", "absent"), None),
        (("absent", "excused"), None),
        (("late", "no"), None),
    ],
)
def test_rows_of_one_person_agree_or_are_listed(guest, run, cells, status):
    bo = guest("bo")
    for ordered in (cells, cells[::-1]):
        report = run(HEAD + "".join(f"Bo,bo@example.org,{cell}\n" for cell in ordered), dry_run=True)
        assert list(marked(report)) == ([status] if status else [])
        assert left(report) == ({} if status else {"ambiguous": [(2, "Lines 2, 3 contradict each other.")]})
    assert status_of(bo) == "unknown"


def test_an_unreadable_row_spoils_the_persons_other_rows(guest, run):
    guest("bo")
    report = run(HEAD + "Bo,bo@example.org,yes\nBo,bo@example.org,jein\n")
    assert (marked(report), left(report)) == ({}, {"unreadable": [(3, "“jein” isn't understood.")]})


def test_a_row_of_another_day_does_not_spoil_them(guest, run):
    guest("bo")
    report = run("Email,Join time\nbo@example.org,2024-04-26 19:05\nbo@example.org,2024-05-03 19:05\n")
    assert marked(report) == {"present": ["Bo Ek"]}
    assert [line for line, _reason in left(report)["unreadable"]] == [2]


def test_a_row_that_contradicts_itself_is_listed(guest, run):
    guest("bo"), guest("eva")
    report = run(
        "Email,Attended,Join Time\nbo@example.org,No,2024-05-03 19:05\neva@example.org,Registered,2024-05-03 19:05\n"
    )
    assert marked(report) == {"present": ["Eva Ek"]}
    assert left(report) == {"unreadable": [(2, "“No” and “2024-05-03 19:05” contradict each other.")]}


# -- Times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "2024-05-03T17:05:00Z",
        "2024-05-03 19:05",
        "2024-05-03 19:05:00.000",
        "2024-05-03T19:05:00+02:00",
        "2024-05-03 13:05:00 -0400",
        "2024/05/03 7:05:00 PM",
        "2024/05/03 7:05:00 PM GMT+2",
        "2024-05-03 17:05:00 UTC",
        "2024-05-03 10:05:00 America/Los_Angeles",
        "3.5.2024 19:05",
        "03.05.24, 19:05 Uhr",
        "May 3, 2024 19:05:00",
        "Fri, May 3, 2024 7:05 pm",
        "Friday, 3rd May 2024 at 7:05 p.m.",
        "3. Mai 2024 um 19:05 Uhr",
        "3 mai 2024 19:05",
        "viernes, 3 de mayo de 2024 19:05",
        "3 maj 2024 kl. 19:05",
        "2024年5月3日 下午7:05",
        "2024年5月3日 19:05",
        "7:05 PM",
        "19:05:00",
        "19:05 2024-05-03",
        "Door (2024-05-03 19:05:00), Bar (2024-05-03 20:00:00)",
    ],
)
def test_a_time_is_read_in_the_events_zone_unless_it_says_its_own(guest, run, cell):
    bo = guest("bo")
    report = run(f'Email,Checked in at\nbo@example.org,"{cell}"\n')
    assert (marked(report), report.notes) == ({"present": ["Bo Ek"]}, [])
    bo.refresh_from_db()
    assert bo.attendance_marked_at == utc(2024, 5, 3, 17, 5)


@pytest.mark.parametrize("heading", ["Join Time (UTC)", "Join Time (Atlantic/Reykjavik)", "Join time [GMT+0]"])
def test_a_heading_may_name_the_zone(guest, run, heading):
    bo = guest("bo")
    run(f"Email,{heading}\nbo@example.org,2024-05-03 17:05\n")
    assert (status_of(bo), bo.attendance_marked_at) == ("present", utc(2024, 5, 3, 17, 5))


@pytest.mark.parametrize(
    ("day", "cells"),
    [
        ((2024, 5, 3), ["05/03/2024 19:05", "05/13/2024 19:05"]),
        ((2024, 5, 3), ["03/05/2024 19:05", "13/05/2024 19:05"]),
        ((2024, 5, 3), ["03/05/2024 19:05"]),  # only day first does it fall on the event
        ((2024, 5, 3), ["5/3/24 7:05 PM"]),
        ((2024, 5, 3), ["03/05/2024 19:05", "13/05/2024 19:05", "05/13/2024 19:05"]),
        ((2024, 8, 8), ["08/08/2024 19:05"]),
    ],
)
def test_day_and_month_are_told_by_the_whole_column_or_by_the_event(guest, run, day, cells):
    start = utc(*day, 17)
    talk = factories.EventFactory(starts_at=start, ends_at=start + timedelta(hours=4), timezone="Europe/Berlin")
    first, *_others = [guest(f"g{n}", event=talk) for n in range(len(cells))]
    run("Email,Join time\n" + "".join(f"g{n}@example.org,{cell}\n" for n, cell in enumerate(cells)), event=talk)
    assert (status_of(first), first.attendance_marked_at) == ("present", start + timedelta(minutes=5))


def test_the_column_goes_before_the_event(guest, run):
    """Most of a list may be about another day: what the column itself tells is no question of where it falls."""
    guest("bo"), guest("eva")
    report = run("Email,Join time\nbo@example.org,03/05/2024 19:05\neva@example.org,04/13/2024 19:05\n", dry_run=True)
    assert [line for line, _reason in left(report)["unreadable"]] == [2, 3]


@pytest.mark.parametrize("cells", [["03/06/2024 19:05"], ["04/06/2024 19:05", "13/05/2024 19:05", "05/13/2024 19:05"]])
def test_day_and_month_that_nothing_tells_must_be_said(guest, run, cells):
    people = [guest(f"g{n}") for n in range(len(cells))]
    rows = "Email,Join time\n" + "".join(f"g{n}@example.org,{cell}\n" for n, cell in enumerate(cells))
    with pytest.raises(imports.AskOrder, match=cells[0]):
        run(rows)
    assert {status_of(one) for one in people} == {"unknown"}
    assert len(run(rows, dates=imports.DAY_FIRST).unreadable) == len(cells)  # none of them is of this event


def test_the_person_may_say_the_order(guest, run):
    bo = guest("bo")
    rows = "Email,Join time\nbo@example.org,03/05/2024 19:05\n"
    report = run(rows, dates=imports.DAY_FIRST, dry_run=True)
    assert (report.to_mark["present"][0].at, report.notes) == (utc(2024, 5, 3, 17, 5), [])
    report = run(rows, dates=imports.MONTH_FIRST)
    assert left(report) == {"unreadable": [(2, "The time lies more than a day before or after the event.")]}
    assert status_of(bo) == "unknown"


def test_times_of_another_event_say_nothing_about_this_one(guest, run):
    """A list that was chosen for the wrong event mustn't mark the same people there."""
    far = "The time lies more than a day before or after the event."
    guest("bo"), guest("eva"), guest("ann")
    report = run(
        "Email,Checked in\nbo@example.org,2024-05-10 19:05\neva@example.org,2024-05-10\nann@example.org,2024-05-04\n"
    )
    assert (marked(report), left(report)) == ({"present": ["Ann Ek"]}, {"unreadable": [(2, far), (3, far)]})
    report = run("Email,Attended,Join time\nbo@example.org,yes,2024-05-10 19:05\neva@example.org,yes,2024-05-10\n")
    assert marked(report) == {"present": ["Bo Ek", "Eva Ek"]}
    assert report.notes == [
        "A time lies more than a day before or after the event, and is not taken over: line 2.",
        "A time isn't understood, or is of another day, and is not taken over: line 3.",
    ]


def test_times_in_the_future_are_no_check_ins(guest, run):
    soon = timezone.now() + timedelta(hours=1)
    event = factories.EventFactory(starts_at=soon, ends_at=soon + timedelta(hours=1))
    guest("bo", event=event), guest("eva", event=event)
    later = (soon + timedelta(minutes=5)).isoformat()
    report = run(f"Email,Attended,Join time\nbo@example.org,,{later}\neva@example.org,yes,{later}\n", event=event)
    assert (marked(report), left(report)) == (
        {"present": ["Eva Ek"]},
        {"unreadable": [(2, "The time lies in the future.")]},
    )
    assert report.notes == ["A time lies in the future, and is not taken over: line 3."]


@pytest.mark.parametrize(
    "cell", ["soon", "2024-02-31 10:00", "25:00", "2024-05-03 19:05 PST", "9999-12-31 23:59 -14:00"]
)
def test_a_time_that_is_none_is_listed(guest, run, cell):
    guest("bo"), guest("eva")
    report = run(f"Email,Join time\nbo@example.org,{cell}\neva@example.org,19:05\n")
    assert left(report) == {"unreadable": [(2, f"“{cell}” isn't understood.")]}
    report = run(f"Email,Attended,Join time\nbo@example.org,yes,{cell}\neva@example.org,yes,19:05\n")
    assert report.notes == ["A time isn't understood, or is of another day, and is not taken over: line 2."]


def test_a_day_without_time_of_day_says_that_somebody_came(guest, run):
    bo = guest("bo")
    run("Email,checked_in_at\nbo@example.org,2024-05-03\n")
    assert status_of(bo) == "present" and bo.attendance_marked_at > timezone.now() - timedelta(minutes=1)


DAYLESS = "A time of day alone doesn't tell which day it was, and the event's times don't either."


@pytest.mark.parametrize(
    ("days", "cell"), [(2, "9:05"), (2, "9:05 AM"), (2, "Door (19:05), Bar (20:00)"), (0, "05:00"), (0.9, "22:00")]
)
def test_a_time_of_day_that_tells_no_day_is_listed_or_named(guest, run, days, cell):
    start = utc(2024, 5, 3, 20)
    event = factories.EventFactory(starts_at=start, ends_at=start + timedelta(days=days, hours=2), timezone="UTC")
    bo, eva = guest("bo", event=event), guest("eva", event=event)
    report = run(f'Email,Time joined\nbo@example.org,"{cell}"\n', event=event)
    assert (marked(report), left(report)) == ({}, {"unreadable": [(2, DAYLESS)]})
    report = run(f'Email,Attended\nbo@example.org,"{cell}"\n', event=event)
    assert (marked(report), left(report)) == ({}, {"unreadable": [(2, DAYLESS)]})
    rows = f'Email,Attended,Time joined\nbo@example.org,yes,"{cell}"\neva@example.org,,"{cell}"\n'
    report = run(rows, event=event)
    assert (marked(report), left(report)) == ({"present": ["Bo Ek"]}, {"unreadable": [(3, DAYLESS)]})
    assert report.notes == ["A time of day doesn't tell which day it was, and is not taken over: line 2."]
    assert (status_of(bo), status_of(eva)) == ("present", "unknown")
    assert bo.attendance_marked_at > timezone.now() - timedelta(minutes=1)


def test_of_many_lines_some_are_named_and_all_are_counted(guest, run):
    for number in range(12):
        guest(f"g{number}")
    rows = "".join(f"g{number}@example.org,yes,soon\n" for number in range(12))
    [note] = run("Email,Attended,Join time\n" + rows).notes
    assert note.endswith("is not taken over: line 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 … (12 in all).")


def test_a_time_of_day_after_midnight_is_of_the_next_day(guest, run):
    event = factories.EventFactory(starts_at=utc(2024, 5, 3, 20), ends_at=utc(2024, 5, 4, 2), timezone="UTC")
    bo = guest("bo", event=event)
    run("Email,Time joined\nbo@example.org,00:30\n", event=event)
    assert (status_of(bo), bo.attendance_marked_at) == ("present", utc(2024, 5, 4, 0, 30))


@pytest.mark.parametrize(
    ("start", "cell", "moment"),
    [
        (utc(2024, 3, 31, 0), "2024-03-31 02:30", utc(2024, 3, 31, 1, 30)),  # skipped: 03:30 summer time
        (utc(2024, 10, 27, 0), "2024-10-27 02:30", utc(2024, 10, 27, 0, 30)),  # repeated: the first
    ],
)
def test_clocks_that_change(guest, run, start, cell, moment):
    event = factories.EventFactory(starts_at=start, ends_at=start + timedelta(hours=4), timezone="Europe/Berlin")
    bo = guest("bo", event=event)
    run(f"Email,Join time\nbo@example.org,{cell}\n", event=event)
    assert (status_of(bo), bo.attendance_marked_at) == ("present", moment)


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ("yes,19:09", "present"),
        ("yes,19:10", "late"),
        ("attended,19:30", "late"),
        (",19:30", "late"),
        ("present,19:30", "present"),
        ("late,19:05", "late"),
        ("yes,", "present"),
        ("yes,19:30\nx@example.org,late,", "present"),  # the list tells late from in time by itself
    ],
)
def test_late_is_what_the_file_says_else_what_the_clock_says(guest, run, talk, rows, status):
    talk.late_after = timedelta(minutes=10)
    talk.save(update_fields=["late_after"])
    bo = guest("bo")
    run(f"Email,Attended,Join time\nbo@example.org,{rows}\neva@example.org,yes,19:00\n")
    assert status_of(bo) == status


# -- Who is marked already -------------------------------------------------------------------------


def set_status(attendee, status, source):
    version = attendee.attendance_updated_at
    record.write([record.Mark(attendee.pk, version, AttendanceStatus(status), timezone.now(), source)])
    attendee.refresh_from_db()


@pytest.mark.parametrize("source", ["scan", "admin", "api"])
def test_marks_of_people_and_scans_are_kept_unless_overwritten(guest, run, source):
    bo = guest("bo")
    set_status(bo, "excused", source)
    rows = HEAD + "Bo,bo@example.org,yes\n"
    report = run(rows)
    [(line, reason)] = left(report)["kept"]
    assert (marked(report), line, reason) == ({}, 2, f"was excused ({bo.get_attendance_source_display().lower()})")
    assert status_of(bo) == "excused"
    assert marked(run(rows, overwrite=True)) == {"present": ["Bo Ek"]}
    assert (status_of(bo), bo.attendance_source) == ("present", "import")


@pytest.mark.parametrize("source", ["auto_absence", "import", "backfill"])
def test_marks_that_nobody_made_by_hand_are_replaced(guest, run, source):
    bo = guest("bo")
    set_status(bo, "absent", source)
    report = run(HEAD + "Bo,bo@example.org,yes\n")
    assert report.to_mark["present"][0].reason.startswith("was absent (")
    assert status_of(bo) == "present"


def test_who_is_here_stays_as_they_are_where_the_list_only_says_that_they_came(guest, run, talk):
    talk.late_after = timedelta(minutes=10)
    talk.save(update_fields=["late_after"])
    bo, eva = guest("bo"), guest("eva")
    set_status(bo, "late", "scan"), set_status(eva, "present", "scan")
    report = run("Email,Attended,Join time\nbo@example.org,yes,\neva@example.org,yes,19:30\n", overwrite=True)
    assert (marked(report), left(report)) == ({}, {"unchanged": [(2, ""), (3, "")]})


def test_who_is_not_here_any_more_can_be_checked_in_again(guest, run, organizer):
    bo = guest("bo")
    point = CheckInPoint.objects.filter(event=bo.event).first() or CheckInPoint.objects.create(
        event=bo.event, name="Door"
    )
    set_status(bo, "present", "scan")
    check_in = CheckIn.objects.create(
        event=bo.event, point=point, attendee=bo, result="checked_in", checked_in_at=timezone.now()
    )
    run(HEAD + "Bo,bo@example.org,absent\n", overwrite=True, actor=organizer)
    check_in.refresh_from_db()
    assert (status_of(bo), check_in.undone_by) == ("absent", organizer)


# -- The words and times themselves ------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["(" * 32_000, "a" * 32_000, "1:" * 16_000, "@" * 32_000, "a@" * 16_000, "3 " * 16_000]
)
def test_long_cells_take_no_time(guest, run, cell):
    guest("bo")
    start = time.perf_counter()
    row = f"{cell},{cell},{cell},{cell}\n"
    report = run("Name,Email,Phone,Attended\nBo,bo@example.org,,yes\n" + row * 5, dry_run=True)
    assert report.marked == 1
    assert [len(one.name) for one in (*report.unreadable, *report.unknown)] == [500] * 5
    with pytest.raises(tables.TableError):
        run(f"{cell},x\n" + row)
    assert time.perf_counter() - start < 10


def test_the_words_have_one_meaning_each():
    assert len(words.MEANINGS) > 300
    assert words.meaning_of("PRÉSENT(E)") is None  # a heading, no answer


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}[ T]\d{1,2}:\d{2}( ?[+-]\d\d)?", fullmatch=True),
    )
)
def test_no_text_breaks_the_reading_of_times(text):
    event = factories.EventFactory.build(starts_at=utc(2024, 5, 3, 17), ends_at=utc(2024, 5, 3, 21))
    reading = moments.read(text)
    if reading:
        for order in (moments.DAY_FIRST, moments.MONTH_FIRST):
            at = moments.moment(reading, order, event)
            assert at is None or at.tzinfo is UTC
    assert words.meaning_of(text) is None or isinstance(words.meaning_of(text), str)
