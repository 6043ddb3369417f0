"""Lists as they come out of other systems: real files, and exports written after the makers' documentation."""

import io
from datetime import UTC, datetime, timedelta

import openpyxl
import pytest

from attendance.models.record import AttendanceStatus
from attendance.operations import imports
from attendance.operations.imports import columns, matching
from config import tables
from tests import factories

NAMES = {"first_name": "First Name", "last_name": "Last Name"}
GOOGLE = {"email": "E-mail 1 - Value", "phone": "Phone 1 - Value"}
GIVEN = {"name": "Name", "first_name": "Given Name", "last_name": "Family Name"}
LUMA = {"name": "name", "first_name": "first_name", "last_name": "last_name", "email": "email", "phone": "phone_number"}

REAL = {
    "checkin-short-phones.csv": (5, {"name": "name", "email": "email", "phone": "phone"}),
    "customers-100.faker.csv": (100, NAMES | {"phone": "Phone 1", "email": "Email"}),
    "door-list-de-30-semicolon.csv": (30, {"name": "Name"}),
    "door-list-de-30.csv": (30, {"name": "Name"}),
    "eventbrite-attendees.csv": (3, NAMES | {"email": "Email", "status": "Attendee Status"}),
    "google-contacts-legacy.csv": (2, GIVEN | GOOGLE),
    "google-contacts-new.csv": (4, NAMES | GOOGLE),
    "luma-guests-22-columns.csv": (3, LUMA | {"moment": "checked_in_at"}),
    "pretix-checkin-list.csv": (
        2,
        {
            "name": "Attendee name",
            "first_name": "Attendee name: First name",
            "last_name": "Attendee name: Family name",
            "status": "Checked in",
            "ticket": "Secret",
            "email": "E-mail",
        },
    ),
    "wedding-checkin-zh-TW.csv": (3, {"name": "顯示姓名", "status": "報到狀態", "moment": "報到時間"}),
    "wedding-couples-us.csv": (
        6,
        {"name": "WEDDING GUEST NAME(S)", "email": "EMAIL ADDRESS", "phone": "PHONE NUMBER"},
    ),
    "wedding-india-phones-tags.csv": (15, {"name": "name", "phone": "phone"}),
    "zoom-meeting-participants-rejoins.csv": (
        29,
        {"name": "Name (Original Name)", "email": "User Email", "moment": "Join Time"},
    ),
    "zoom-meeting-roster.csv": (25, {"name": "Name", "email": "Email"}),
    "zoom-webinar-attendee-report.csv": (
        6,
        NAMES
        | {"status": "Attended", "name": "User Name (Original Name)"}
        | {"email": "Email", "phone": "Phone", "moment": "Join Time"},
    ),
    "vendor-shapes/angle-bracket-mailto-emails.csv": (2, {"name": "Name", "email": "Email"}),
    "vendor-shapes/beehiiv.csv": (2, {"email": "Email", "general_status": "Status"}),
    "vendor-shapes/dice-billetto.csv": (
        2,
        {"first_name": "First name", "last_name": "Last name", "email": "Email", "event": "Event"},
    ),
    "vendor-shapes/google-contacts.csv": (2, GIVEN | GOOGLE),
    "vendor-shapes/google-forms.csv": (2, {"email": "Email Address", "name": "Your full name", "phone": "Phone"}),
    "vendor-shapes/hubspot.csv": (2, NAMES | {"email": "Email", "phone": "Phone Number"}),
    "vendor-shapes/kit-convertkit.csv": (
        2,
        {"first_name": "first_name", "email": "email_address", "general_status": "state"},
    ),
    "vendor-shapes/luma.csv": (2, LUMA | {"moment": "checked_in_at"}),
    "vendor-shapes/mailchimp.csv": (2, NAMES | {"email": "Email Address", "phone": "Phone Number"}),
    "vendor-shapes/outlook-contacts.csv": (2, NAMES | {"email": "E-mail Address", "phone": "Mobile Phone"}),
    "vendor-shapes/patreon.csv": (2, {"name": "Name", "email": "Email"}),
    "vendor-shapes/pipedrive.csv": (2, {"name": "Name", "email": "Email", "phone": "Phone"}),
    "vendor-shapes/salesforce.csv": (2, NAMES | {"email": "Email", "phone": "Phone"}),
    "vendor-shapes/semicolon-csv-without-sep-hint.csv": (
        2,
        {"name": "Namn", "email": "E-post", "phone": "Telefon"},
    ),
    "vendor-shapes/shopify.csv": (2, NAMES | {"email": "Email", "phone": "Phone"}),
    "vendor-shapes/squarespace.csv": (2, {"email": "Email Address"}),
    "vendor-shapes/substack.csv": (2, {"email": "email"}),
    "vendor-shapes/tab-separated-export.csv": (2, {"name": "Name", "email": "Email", "phone": "Phone"}),
    "vendor-shapes/typeform.csv": (
        2,
        {"name": "What's your name?", "email": "What's your email?", "phone": "Phone number"},
    ),
    "vendor-shapes/utf-8-bom.csv": (1, {"name": "Name", "email": "Email"}),
}
"""Rows, and which column was understood as what: no more, and no less."""
WITHOUT_PEOPLE = {"tito-badges-quotes.csv"}
"""Only a question about a badge tells the name."""


def read(data) -> tables.Table:
    return tables.read(data if isinstance(data, bytes) else data.encode(), imports.score)


def understood(table) -> dict[str, str]:
    known = columns.understand(table)
    assert known.recognised.ambiguous == {}
    return {meaning: known.heading(meaning) for meaning in known.recognised.columns}


def test_every_real_file_is_in_the_table_above(shared_data):
    folder = shared_data / "guests"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.csv")} == set(REAL) | WITHOUT_PEOPLE


@pytest.mark.parametrize("name", REAL)
def test_real_file_is_understood(shared_data, name):
    table = read((shared_data / "guests" / name).read_bytes())
    assert (len(table.rows), understood(table)) == REAL[name]
    assert not any(row.surplus for row in table.rows)


@pytest.mark.parametrize("name", sorted(WITHOUT_PEOPLE))
def test_real_file_without_people_is_refused(shared_data, name):
    with pytest.raises(tables.TableError, match="No line of this file has the headings"):
        read((shared_data / "guests" / name).read_bytes())


# -- Whole imports ---------------------------------------------------------------------------------


@pytest.fixture
def event(db):
    """A summer evening in Berlin."""
    start = datetime(2024, 5, 3, 17, tzinfo=UTC)
    return factories.EventFactory(starts_at=start, ends_at=start + timedelta(hours=4), timezone="Europe/Berlin")


@pytest.fixture
def attend(event):
    """E-mail → attendee; called as the file says where it is given, else by what stands before the @."""

    def attend(*emails, event=event, file=None):
        names = names_in(file) if file else {}
        return {
            email: factories.AttendeeFactory(
                event=event,
                user_profile__email=email,
                user_profile__first_name=names.get(email) or email.partition("@")[0].title(),
                user_profile__last_name="",
            )
            for email in emails
        }

    return attend


def names_in(data) -> dict[str, str]:
    """E-mail → name, of the first row with it."""
    table = read(data)
    known, names = columns.understand(table), {}
    for row in table.rows:
        names.setdefault(known.cell(row, "email").lower(), matching.name_in(known, row))
    return names


def run(event, data, **choices):
    return imports.import_attendance(
        event_id=event.pk, table=read(data), choices=imports.Choices(**choices), actor=None, dry_run=False
    )


def result(attendees) -> dict[str, tuple[str, str | None]]:
    """E-mail → status and time of day in Berlin, of those who are marked."""
    found = {}
    for email, attendee in attendees.items():
        attendee.refresh_from_db()
        if attendee.attendance_status != "unknown":
            at = attendee.attendance_marked_at.astimezone(attendee.event.zone)
            by_list = abs(attendee.attendance_marked_at - attendee.attendance_updated_at) > timedelta(minutes=5)
            found[email.partition("@")[0]] = (attendee.attendance_status, f"{at:%H:%M}" if by_list else None)
    return found


def counts(report) -> dict[str, int]:
    names = ("unchanged", "silent", "kept", "ambiguous", "unknown", "unreadable", "outrun")
    return {name: len(getattr(report, name)) for name in names if getattr(report, name)}


def test_real_webinar_report(shared_data, attend):
    data = (shared_data / "guests" / "zoom-webinar-attendee-report.csv").read_bytes().replace(b"/2026", b"/2024")
    start = datetime(2024, 8, 9, 8, 45, tzinfo=UTC)
    event = factories.EventFactory(
        starts_at=start, ends_at=start + timedelta(hours=4), timezone="Europe/Berlin", late_after=timedelta(minutes=12)
    )
    names = ("host", "buyer", "asker", "quiet", "grumpy", "noshow")
    people = attend(*(f"{name}@example.invalid" for name in names), event=event, file=data)
    report = run(event, data)
    assert result(people) == {
        "buyer": ("present", "10:50"),
        "asker": ("present", "10:52"),
        "quiet": ("present", "10:55"),
        "grumpy": ("late", "11:00"),
    }
    assert (counts(report), report.unlisted) == ({"silent": 1, "unknown": 1}, 1)  # no-show; token; the host
    assert report.notes == [
        "The file has another table, in line 6 (“Host Details”), which was not read.",
        "The dates under “Join Time” are read month first: only so do they fall on the event's days.",
    ]
    assert report.columns[0] == ("Attended", "who came")


def test_real_meeting_with_rejoins(shared_data, attend):
    data = (shared_data / "guests" / "zoom-meeting-participants-rejoins.csv").read_bytes()
    start = datetime(2021, 1, 26, 7, tzinfo=UTC)  # 8:00 in Berlin
    event = factories.EventFactory(
        starts_at=start,
        ends_at=start + timedelta(minutes=75),
        timezone="Europe/Berlin",
        late_after=timedelta(minutes=1),
    )
    names = ["harryp1", "weasleyf2", "weasleyg1", "hagridr4", "hagridr2", "lupinr3", "lupinr6", "blacks3", "deant312"]
    people = attend(*(f"{name}@hogwarts.edu" for name in names), "malfoyd3@hogwarts.edu", event=event, file=data)
    report = run(event, data)
    assert result(people) == {
        "harryp1": ("present", "07:52"),
        "weasleyf2": ("present", "08:00"),
        "weasleyg1": ("present", "08:00"),
        "hagridr4": ("present", "07:58"),
        "hagridr2": ("present", "08:00"),
        "lupinr3": ("present", "07:58"),
        "lupinr6": ("late", "08:03"),
        "blacks3": ("late", "08:03"),
    }
    [broken] = report.unreadable
    assert (broken.name, broken.reason) == ("NA Dean Thomas", "“deant312hogwarts.edu” is no e-mail address.")
    assert (counts(report), report.unlisted) == ({"unreadable": 1, "unknown": 14}, 2)


def test_real_guest_list_says_who_was_checked_in(shared_data, attend, event):
    data = (shared_data / "guests" / "vendor-shapes" / "luma.csv").read_bytes()
    people = attend("dani.sv@gmail.com.example", "erik.ek@proton.me.example", file=data)
    report = run(event, data.replace(b"2026-05-01T19:02", b"2024-05-03T17:02"))
    assert (result(people), counts(report)) == ({"dani.sv": ("present", "19:02")}, {"silent": 1})


def test_real_registrations_mark_nobody(shared_data, attend, event):
    data = (shared_data / "guests" / "eventbrite-attendees.csv").read_bytes()
    people = attend("jdoe1@test1mail.com", file=data)
    report = run(event, data, listed=AttendanceStatus.PRESENT, no_is_absent=True)
    assert (result(people), counts(report)) == ({}, {"silent": 1, "unknown": 2})
    assert report.notes == ["“Attendee Status” says who registered, not who came."]


def test_real_check_in_list_that_nobody_is_checked_in_on(shared_data, attend, event):
    """Two people of one order, whose e-mail both have."""
    data = (shared_data / "guests" / "pretix-checkin-list.csv").read_bytes()
    people = attend("dummy@dummy.test", file=data)
    report = run(event, data, no_is_absent=True)
    assert (result(people), counts(report)) == ({}, {"silent": 1, "ambiguous": 1})
    assert report.notes == ["Nothing is filled in under Checked in: the list doesn't say who came."]
    report = run(event, data.replace(b'"13.00",""', b'"13.00","yes"'))
    [andrea] = report.ambiguous
    reason = "dummy@dummy.test belongs to Mr Peter A Jones; the list says Mrs Andrea J Zulu."
    assert (result(people), andrea.line, andrea.reason) == ({}, 3, reason)
    report = run(event, data.replace(b'"23.00",""', b'"23.00","yes"'))
    assert (result(people), counts(report)) == ({"dummy": ("present", None)}, {"ambiguous": 1})


def test_real_check_in_list_with_known_tickets(shared_data, event):
    data = (shared_data / "guests" / "pretix-checkin-list.csv").read_bytes()
    andrea = factories.AttendeeFactory(event=event, ticket_code="ggsngqtnmhx74jswjngw3fk8pfwz2a7k")
    report = run(event, data.replace(b'"13.00",""', b'"13.00","yes"'))  # the ticket is somebody else's here
    assert counts(report) == {"unknown": 1, "ambiguous": 1}
    andrea.user_profile.first_name, andrea.user_profile.last_name = "Andrea", "Zulu"
    andrea.user_profile.save(update_fields=["first_name", "last_name"])
    report = run(event, data.replace(b'"13.00",""', b'"13.00","yes"'))
    assert (counts(report), report.marked) == ({"unknown": 1}, 1)


@pytest.mark.parametrize("name", ["door-list-de-30.csv", "wedding-checkin-zh-TW.csv"])
def test_real_lists_of_names_are_refused(shared_data, event, name):
    with pytest.raises(imports.NoIdentifier):
        run(event, (shared_data / "guests" / name).read_bytes())


def test_real_contacts_need_to_be_told_what_they_mean(shared_data, attend, event, settings):
    settings.PHONE_REGION = "SE"
    data = (shared_data / "guests" / "vendor-shapes" / "pipedrive.csv").read_bytes()
    people = attend("greta.gran@gmail.com.example", file=data)
    by_phone = factories.AttendeeFactory(
        event=event, user_profile__email=None, user_profile__phone="+46704445566", user_profile__first_name="Hugo"
    )
    with pytest.raises(imports.AskListed):
        run(event, data)
    report = run(event, data, listed=AttendanceStatus.PRESENT)
    by_phone.refresh_from_db()
    assert (result(people), by_phone.attendance_status) == ({"greta.gran": ("present", None)}, "present")
    assert counts(report) == {}


@pytest.mark.parametrize("name", [name for name, (_rows, known) in REAL.items() if "email" in known])
def test_names_in_real_files_contradict_nobody(shared_data, attend, event, name):
    data = (shared_data / "guests" / name).read_bytes()
    people = attend(*(found for cell in names_in(data) if (found := "".join(matching.ADDRESS.findall(cell)))))
    for email, called in names_in(data).items():
        if person := people.get("".join(matching.ADDRESS.findall(email))):
            person.user_profile.first_name = called
            person.user_profile.save(update_fields=["first_name"])
    report = run(event, data, listed=AttendanceStatus.PRESENT, dates=imports.DAY_FIRST)
    others = [entry.name for entry in report.ambiguous]
    assert others == (["Mrs Andrea J Zulu"] if name.startswith("pretix") else [])


# -- Exports after the makers' documentation ---------------------------------------------------------

PEOPLE = ("ann@example.org", "bo@example.org", "cy@example.org")

EVENTBRITE = """\
Order no.,Order Date,First Name,Surname,Email,Ticket Type,Barcode no.,Attendee Status,Check-in Date,Buyer Email
1,"Apr 1, 2024",Ann,A,ann@example.org,General,111,Checked In,"May 3, 2024 7:05 PM",ann@example.org
1,"Apr 1, 2024",Bo,B,bo@example.org,General,112,Attending,,ann@example.org
2,"Apr 2, 2024",Cy,C,cy@example.org,General,113,Not Attending,,cy@example.org
"""

PRETIX = """\
"Order code";"Attendee name";"Product";"Price";"Checked in";"Checked out";"Automatically checked in";"Secret";"E-mail"
"FOO";"Ann A";"Ticket";"23,00";"2024-05-03 19:05";"";"No";"hutjztux";"ann@example.org"
"BAR";"Bo B";"Ticket";"23,00";"";"";"No";"ggsngqtn";"bo@example.org"
"""

LUMA_EXPORT = """\
guest_id,name,email,phone_number,created_at,approval_status,checked_in_at,utm_source,ticket_name
gst-1,Ann,ann@example.org,,2024-04-20T10:00:00.000Z,approved,2024-05-03T17:05:00.000Z,,Free
gst-2,Bo,bo@example.org,,2024-04-21T11:30:00.000Z,approved,,,Free
gst-3,Cy,cy@example.org,,2024-04-21T11:30:00.000Z,declined,,,Free
"""

ZOOM_MEETING = """\
Topic,ID,Host name,Host email,Duration (minutes),Start time,End time,Participants
Evening,123 456,Hanna,host@example.org,240,05/03/2024 06:55:00 PM,05/03/2024 11:00:00 PM,3

Name (original name),Email,Total duration (minutes),Guest,Join time,Leave time,Recording disclaimer response
Ann,ann@example.org,120,No,05/03/2024 09:06:00 PM,05/03/2024 09:10:00 PM,
Ann,ann@example.org,120,No,05/03/2024 07:05:00 PM,05/03/2024 09:05:00 PM,
Iphone,,10,Yes,05/03/2024 07:10:00 PM,05/03/2024 07:20:00 PM,
"""

ZOOM_WEBINAR = """\
Attendee Report,,,,,
Report Generated:,"May 4, 2024 10:00:00",,,,
Topic,Webinar ID,Actual Start Time,Actual Duration (minutes),# Registered,# Cancelled
Evening,123,"May 3, 2024 18:55:00",240,3,0
Host Details,,,,,
Attended,User Name (Original Name),Email,Join Time,Leave Time,Time in Session (minutes),Is Guest,Country/Region Name
Yes,Cy,cy@example.org,"May 3, 2024 18:50:00","May 3, 2024 23:00:00",250,No,Germany
Panelist Details,,,,,
Attended,User Name (Original Name),Email,Join Time,Leave Time,Time in Session (minutes),Is Guest,Country/Region Name
Yes,Pat,pat@example.org,"May 3, 2024 18:51:00","May 3, 2024 23:00:00",249,No,Germany
Attendee Details,,,,,
Attended,User Name (Original Name),Email,Registration Time,Approval Status,Join Time,Time in Session (minutes)
Yes,Ann A,ann@example.org,"Apr 20, 2024 10:00:00",approved,"May 3, 2024 20:05:00",60
Yes,Ann A,ann@example.org,"Apr 20, 2024 10:00:00",approved,"May 3, 2024 19:05:00",55
No,Bo B,bo@example.org,"Apr 21, 2024 10:00:00",approved,--,--
Other Attended,,,,,
User Name,Join Time,Leave Time,Time in Session (minutes),Country/Region Name
49301234,"May 3, 2024 19:30:00","May 3, 2024 20:00:00",30,Germany
"""

TEAMS = """\
1. Summary
Meeting title\tEvening
Attended participants\t2
Start time\t5/3/24, 6:55:12 PM
End time\t5/3/24, 11:00:00 PM
Meeting duration\t4h 4m 48s
Average attendance time\t1h

2. Participants
Name\tFirst Join\tLast Leave\tIn-Meeting Duration\tEmail\tParticipant ID (UPN)\tRole
Ann A\t5/3/24, 7:05:00 PM\t5/3/24, 9:00:00 PM\t1h 55m\tann@example.org\tann@corp.example\tPresenter
Zoë (Guest)\t5/3/24, 7:06:00 PM\t5/3/24, 9:00:00 PM\t1h 54m\t\t\tAttendee

3. In-Meeting Activities
Name\tJoin Time\tLeave Time\tDuration\tEmail\tRole
Ann A\t5/3/24, 7:05:00 PM\t5/3/24, 8:00:00 PM\t55m\tann@example.org\tPresenter
Ann A\t5/3/24, 8:05:00 PM\t5/3/24, 9:00:00 PM\t55m\tann@example.org\tPresenter
"""

TEAMS_GERMAN = """\
1. Zusammenfassung
Titel der Besprechung\tAbend
Teilgenommene Teilnehmer\t1

2. Teilnehmer
Name\tErster Beitritt\tLetztes Verlassen\tDauer der Besprechung\tE-Mail\tTeilnehmer-ID (UPN)\tRolle
Ann A\t03.05.24, 19:05:00\t03.05.24, 21:00:00\t1 Std. 55 Min.\tann@example.org\tann@corp.example\tReferent
"""

MEET = """\
First name,Last name,Email,Duration,Time joined,Time exited
Ann,A,ann@example.org,1 hr 55 min,7:05\u202fPM,9:00\u202fPM
Zoë,Z,,10 min,7:06\u202fPM,7:16\u202fPM
"""

WEBEX = """\
Name,Attendee Email,Join Time,Leave Time,Attendance Duration,Connection Type
Ann A,ann@example.org,2024-05-03 19:05:00,2024-05-03 21:00:00,115 mins,Desktop app
Call-in User_1,,2024-05-03 19:06:00,2024-05-03 19:16:00,10 mins,Phone
"""

HOPIN = """\
Registered At,First Name,Last Name,Email,Ticket Name,Attended,Time of arrival
2024-04-20 10:00:00,Ann,A,ann@example.org,Free,true,x
2024-04-21 10:00:00,Bo,B,bo@example.org,Free,false,
"""

MEETUP = """\
Name\tUser ID\tTitle\tEvent Host\tRSVP\tGuests\tRSVPed on\tJoined Group on\tURL of Member Profile
Ann\tuser 123\t\tYes\tYes\t0\tApril 20, 2024 10:00 AM\tJanuary 5, 2020\thttps://www.meetup.com/x
"""

SHEET_FOR_SIGNING = """\
Anwesenheitsliste;;
Name;E-Mail;Anwesend
Ann A;ann@example.org;x
Bo B;bo@example.org;
Summe;;1
"""


@pytest.mark.parametrize(
    ("data", "marked", "listed"),
    [
        (EVENTBRITE, {"ann": ("present", "19:05")}, {"silent": 2}),
        (PRETIX, {"ann": ("present", "19:05")}, {"silent": 1}),
        (LUMA_EXPORT.encode("utf-8-sig"), {"ann": ("present", "19:05")}, {"silent": 2}),
        (ZOOM_MEETING, {"ann": ("present", "19:05")}, {"unknown": 1}),
        (ZOOM_WEBINAR, {"ann": ("present", "19:05")}, {"silent": 1}),
        (TEAMS.encode("utf-16"), {"ann": ("present", "19:05")}, {"unknown": 1}),
        (TEAMS_GERMAN.encode("utf-16"), {"ann": ("present", "19:05")}, {}),
        (MEET, {"ann": ("present", "19:05")}, {"unknown": 1}),
        (WEBEX, {"ann": ("present", "19:05")}, {"unknown": 1}),
        (HOPIN, {"ann": ("present", None)}, {"silent": 1}),
        (SHEET_FOR_SIGNING.encode("cp1252"), {"ann": ("present", None)}, {"silent": 1, "unknown": 1}),
    ],
    ids=["eventbrite", "pretix", "luma", "zoom", "webinar", "teams", "teams-de", "meet", "webex", "hopin", "sheet"],
)
def test_export_is_imported(attend, event, data, marked, listed):
    people = attend(*PEOPLE)
    report = run(event, data)
    assert (result(people), counts(report)) == (marked, listed)


def test_export_without_any_identifier_is_refused(event):
    with pytest.raises(imports.NoIdentifier):
        run(event, MEETUP)


def test_webinar_names_the_tables_that_were_not_read(attend, event):
    attend(*PEOPLE)
    assert [note.partition("(")[2].partition(")")[0] for note in run(event, ZOOM_WEBINAR).notes] == [
        "“Host Details”",
        "“Panelist Details”",
        "“Other Attended”",
    ]


def test_formulas_without_value_are_listed_where_their_column_counts(attend, event):
    """A program wrote them, and no spreadsheet has worked them out since."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["E-Mail", "Anwesend", "Menü", "Status"])
    sheet.append(["ann@example.org", "=TRUE()", None, None])
    sheet.append(["bo@example.org", "x", '="veg"', "=A3"])
    sheet.append(['="cy"&"@example.org"', "x", None, None])
    packed = io.BytesIO()
    book.save(packed)
    people = attend(*PEOPLE)
    report = run(event, packed.getvalue())
    assert result(people) == {"bo": ("present", None)}
    reason = "“{}”: a formula without a value: open and save the file in a spreadsheet program first."
    assert [(entry.line, entry.reason) for entry in report.unreadable] == [
        (2, reason.format("Anwesend")),
        (4, reason.format("E-Mail")),
    ]
    assert (counts(report), report.notes, report.unused) == ({"unreadable": 2}, [], ["Menü", "Status"])

    sheet.delete_rows(3, 2)
    packed = io.BytesIO()
    book.save(packed)
    report = run(event, packed.getvalue())
    assert (counts(report), report.notes) == ({"unreadable": 1}, [])


def test_workbook_is_imported(attend, event):
    book = openpyxl.Workbook()
    book.active.append(["Prepared for the board"])
    sheet = book.create_sheet("Teilnehmer")
    sheet.append(["E-Mail", "Handynummer", "Anwesend", "Ankunftszeit"])
    sheet.append(["ann@example.org", None, True, datetime(2024, 5, 3, 19, 5)])
    sheet.append(["bo@example.org", None, False, None])
    sheet.append([None, 14155552671, "ja", datetime(2024, 5, 3, 19, 6)])
    packed = io.BytesIO()
    book.save(packed)
    people = attend(*PEOPLE)
    people["cy@example.org"].user_profile.phone = "+14155552671"
    people["cy@example.org"].user_profile.save(update_fields=["phone"])
    report = run(event, packed.getvalue())
    assert result(people) == {"ann": ("present", "19:05"), "cy": ("present", "19:06")}
    assert counts(report) == {"silent": 1}
