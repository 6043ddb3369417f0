"""iCalendar: what two other readers make of it, how it stays the same, and who gets it."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import pytest
from dateutil import rrule, tz
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from ical.calendar_stream import IcsCalendarStream
from icalendar import Calendar

from attendance.operations import room as attendance_room
from config.api import within
from config.errors import SYSTEM, NotFound
from events.importers import ScheduleError, parse, read_schedule
from events.models import Event, Session, UserProfile
from events.operations import privacy
from rsvp import calendars
from rsvp.api.calendars import ByFeed
from rsvp.models import CalendarFeed, SessionChange, SessionRsvp
from rsvp.operations import feeds, reserving, sessions
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    OrganizationFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    SpeakerFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
)

MADE = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENTRY = calendars.Entry(
    id=UUID("01980000-0000-7000-8000-000000000001"),
    title="Opening",
    abstract="",
    track="",
    starts_at=datetime(2026, 6, 1, 8, tzinfo=UTC),
    ends_at=datetime(2026, 6, 1, 9, tzinfo=UTC),
    is_cancelled=False,
    sequence=0,
    created_at=MADE,
    revised_at=MADE,
    room="",
    speakers=[],
    timezone="Europe/Berlin",
    event_title="Conf",
    event_slug="conf",
    venue="",
)
PAGE = "http://127.0.0.1:8000/e/conf/agenda/01980000-0000-7000-8000-000000000001/"


def entry(**fields) -> calendars.Entry:
    return replace(ENTRY, **fields)


def written(**fields) -> str:
    return calendars.calendar([entry(**fields)]).decode()


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")


def events(content: bytes) -> list:
    """As the other library reads them."""
    return IcsCalendarStream.calendar_from_ics(content.decode()).events


def by_file(content: str, zone: str):
    """The time zone as the file itself defines it, by a third reader."""
    return tz.tzical(io.StringIO(content.replace("\r\n", "\n"))).get(zone)


# -- What is written -------------------------------------------------------------------------------------


def test_a_session_in_full():
    content = written(
        title="Ask, then act; or not",
        abstract="One.\n\nTwo.",
        track="Web",
        room="Hall 1",
        venue="House, Bonn",
        speakers=["Ada Lovelace", "Bob"],
        sequence=3,
        revised_at=datetime(2026, 5, 2, 12, 30, 15, 999, tzinfo=UTC),
    )
    assert unfolded(content) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Turnout//Turnout//EN",
        "CALSCALE:GREGORIAN",
        "BEGIN:VTIMEZONE",
        "TZID:Europe/Berlin",
        "BEGIN:DAYLIGHT",
        "DTSTART:20250330T020000",
        "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3",
        "TZNAME:CEST",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:+0200",
        "END:DAYLIGHT",
        "BEGIN:STANDARD",
        "DTSTART:20251026T030000",
        "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
        "TZNAME:CET",
        "TZOFFSETFROM:+0200",
        "TZOFFSETTO:+0100",
        "END:STANDARD",
        "END:VTIMEZONE",
        "BEGIN:VEVENT",
        "SUMMARY:Ask\\, then act\\; or not",
        "DTSTART;TZID=Europe/Berlin:20260601T100000",
        "DTEND;TZID=Europe/Berlin:20260601T110000",
        "DTSTAMP:20260502T123015Z",
        "UID:01980000-0000-7000-8000-000000000001@turnout",
        "SEQUENCE:3",
        "CATEGORIES:Web",
        "CREATED:20260501T120000Z",
        f"DESCRIPTION:With Ada Lovelace\\, Bob\\n\\nConf\\n\\nOne.\\n\\nTwo.\\n\\n{PAGE}",
        "LAST-MODIFIED:20260502T123015Z",
        "LOCATION:Hall 1\\, House\\, Bonn",
        "STATUS:CONFIRMED",
        "TRANSP:OPAQUE",
        f"URL:{PAGE}",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]


def test_a_session_that_was_cancelled_takes_no_time():
    lines = unfolded(written(is_cancelled=True))
    assert {"STATUS:CANCELLED", "TRANSP:TRANSPARENT"} <= set(lines)


def test_a_feed_has_a_name_and_says_when_to_ask_again():
    lines = unfolded(calendars.calendar([ENTRY], name="Mine,\nand mine").decode())
    assert {
        "NAME:Mine\\, and mine",
        "X-WR-CALNAME:Mine\\, and mine",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    } <= set(lines)
    assert not [one for one in lines if one.startswith("METHOD")]


def test_an_empty_calendar_has_one_component():
    assert [one.name for one in Calendar.from_ical(calendars.calendar([])).walk()] == [
        "VCALENDAR",
        "VTIMEZONE",
        "STANDARD",
    ]
    assert events(calendars.calendar([])) == []


STRANGE = [
    "Ω " * 300,
    "🎟️👩‍👩‍👧‍👦" * 60,
    "שלום עולם, مرحبا ‏RTL‎ " * 9,
    "a\r\nEND:VEVENT\r\nBEGIN:VEVENT",
    "bell\x07 nul-free \x1b[31mred\x1b[0m \x7f \x9b",
    "next\x85line\u2028and\u2029more\x0bthan\x0cthat\x1cone",
    "back\\slash; semi, comma: colon \"quoted\" 'single' ^caret",
    "x" * 300,
    "BEGIN:VALARM",
    " \t ",
]


@pytest.mark.parametrize("text", STRANGE)
def test_strange_texts_arrive_as_one_session(text):
    content = calendars.calendar([entry(title=text, room=text, venue=text, track=text, speakers=[text], abstract=text)])
    assert all(len(one) <= 75 for one in content.split(b"\r\n"))
    assert all(one.decode() is not None for one in content.split(b"\r\n"))  # folded between characters
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]", content.decode())
    [event] = events(content)
    assert event.summary == (calendars.line(text) or "Conf")
    assert (event.location or "") == ", ".join(filter(None, [calendars.line(text)] * 2))
    [ours] = Calendar.from_ical(content).walk("VEVENT")
    assert str(ours["DESCRIPTION"]) == event.description
    assert calendars.plain(text) in event.description


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>One &amp; two</p><p>Three<br/>four</p>", "One & two\nThree\nfour"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("if a < b and b > c", "if a < b and b > c"),
        ("x<y &amp; plain", "x<y &amp; plain"),
        ("<b>bold</b>\r\n\r\n\r\n  text", "bold\n\ntext"),
        ("<p><script>alert(1)</script></p>", "alert(1)"),
    ],
)
def test_an_abstract_in_html_is_read_as_text(text, shown):
    assert calendars.plain(text) == shown


# -- Times -----------------------------------------------------------------------------------------------


def offset_by_file(content: bytes, at: datetime) -> timedelta:
    """What the file's VTIMEZONE says of a moment, by the letter of RFC 5545 (3.6.5)."""
    last = None
    for part in Calendar.from_ical(content).walk():
        if part.name not in ("STANDARD", "DAYLIGHT"):
            continue
        start, before = part["DTSTART"].dt, part["TZOFFSETFROM"].td
        found = [start]
        if rule := part.get("RRULE"):
            found = rrule.rrulestr(rule.to_ical().decode(), dtstart=start).between(
                start, at.replace(tzinfo=None) + timedelta(days=2), inc=True
            )
        if dates := part.get("RDATE"):
            found += [one.dt for each in (dates if isinstance(dates, list) else [dates]) for one in each.dts]
        onsets = [one.replace(tzinfo=UTC) - before for one in found]
        passed = [one for one in onsets if one <= at]
        if passed and (last is None or max(passed) > last[0]):
            last = max(passed), part["TZOFFSETTO"].td
    return last[1]


ZONES = [
    ("Europe/Berlin", 2026),
    ("America/New_York", 2007),  # the first year of its present rule
    ("America/St_Johns", 2026),
    ("Australia/Lord_Howe", 2026),  # half an hour
    ("Pacific/Chatham", 2026),
    ("Europe/Dublin", 2026),  # where winter is the exception
    ("Asia/Kolkata", 2026),
    ("Africa/Casablanca", 2026),  # by the moon
    ("Africa/Cairo", 2023),  # took it up again
    ("Asia/Jerusalem", 2026),
    ("America/Sao_Paulo", 2019),  # gave it up
    ("Pacific/Apia", 2011),  # a day that never was
    ("America/Nuuk", 2024),
    ("Antarctica/Troll", 2026),
    ("Asia/Pyongyang", 2018),
]


@pytest.mark.parametrize(("zone", "year"), ZONES)
def test_a_zone_is_defined_as_it_is(zone, year):
    """Around every change of the year, and each third day of it."""
    there = ZoneInfo(zone)
    content = calendars.calendar([entry(timezone=zone, starts_at=utc(year, 6, 1), ends_at=utc(year, 6, 1, 1))])
    moments = [utc(year, 1, 2) + timedelta(days=3 * n) for n in range(121)]
    hours = [utc(year, 1, 2) + timedelta(hours=n) for n in range(363 * 24)]
    for early, late in zip(hours, hours[1:], strict=False):
        if early.astimezone(there).utcoffset() != late.astimezone(there).utcoffset():
            moments += [early + timedelta(minutes=n) for n in (-1, 0, 29, 30, 31, 59, 60, 61)]
    wrong = [one for one in moments if offset_by_file(content, one) != one.astimezone(there).utcoffset()]
    assert wrong == []


def utc(*parts) -> datetime:
    return datetime(*parts, tzinfo=UTC)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("zone", "start", "length", "local"),
    [
        ("Europe/Berlin", utc(2026, 6, 1, 21, 30), HOUR, "DTSTART;TZID=Europe/Berlin:20260601T233000"),
        ("Europe/Berlin", utc(2026, 3, 29, 0, 30), HOUR, "DTSTART;TZID=Europe/Berlin:20260329T013000"),
        ("Europe/Berlin", utc(2026, 3, 29, 1), HOUR, "DTSTART;TZID=Europe/Berlin:20260329T030000"),
        ("Europe/Berlin", utc(2026, 10, 25, 0, 30), HOUR / 4, "DTSTART;TZID=Europe/Berlin:20261025T023000"),
        ("Europe/Berlin", utc(2026, 10, 25, 0, 30), HOUR, "DTSTART:20261025T003000Z"),  # ends in the second hour
        ("Europe/Berlin", utc(2026, 10, 25, 1, 30), HOUR, "DTSTART:20261025T013000Z"),
        ("Europe/Berlin", utc(2026, 10, 25, 2), HOUR, "DTSTART;TZID=Europe/Berlin:20261025T030000"),
        ("America/New_York", utc(2026, 3, 8, 6, 59), 5 * HOUR, "DTSTART;TZID=America/New_York:20260308T015900"),
        ("Asia/Kolkata", utc(2026, 6, 1, 18), HOUR, "DTSTART;TZID=Asia/Kolkata:20260601T233000"),
        ("Pacific/Kiritimati", utc(2026, 12, 31, 9), 2 * HOUR, "DTSTART;TZID=Pacific/Kiritimati:20261231T230000"),
        ("UTC", utc(2026, 6, 1, 23), 2 * HOUR, "DTSTART:20260601T230000Z"),
        ("Etc/UTC", utc(2026, 6, 1, 23), 2 * HOUR, "DTSTART:20260601T230000Z"),
        ("America/New_York", utc(2026, 12, 31, 23), 12 * HOUR, "DTSTART;TZID=America/New_York:20261231T180000"),
    ],
)
def test_times_by_three_readers(zone, start, length, local):
    content = calendars.calendar([entry(timezone=zone, starts_at=start, ends_at=start + length)])
    assert local in unfolded(content.decode())
    [event] = events(content)
    assert (event.dtstart.astimezone(UTC), event.dtend.astimezone(UTC)) == (start, start + length)
    [schedule] = parse(content, "turnout.ics").sessions
    assert (schedule.starts_at, schedule.ends_at) == (start, start + length)
    if "TZID" in local:
        wall = datetime.strptime(local.split(":")[1], "%Y%m%dT%H%M%S").replace(tzinfo=by_file(content.decode(), zone))
        assert wall.astimezone(UTC) == start
    else:
        assert b"VTIMEZONE" not in content


def test_a_session_without_length_has_no_end():
    content = calendars.calendar([entry(ends_at=ENTRY.starts_at)])
    assert b"DTEND" not in content
    assert [one.end.astimezone(UTC) for one in events(content)] == [ENTRY.starts_at]
    assert [one.ends_at for one in parse(content, "turnout.ics").sessions] == [ENTRY.starts_at]


def test_every_zone_that_is_used_is_defined_once():
    made = [
        entry(id=UUID(int=n), timezone=zone)
        for n, zone in enumerate(["Europe/Berlin", "Asia/Tokyo", "UTC", "Europe/Berlin"], 1)
    ]
    found = Calendar.from_ical(calendars.calendar(made))
    assert [str(one["TZID"]) for one in found.walk("VTIMEZONE")] == ["Asia/Tokyo", "Europe/Berlin"]


# -- One session -----------------------------------------------------------------------------------------

pytest_db = pytest.mark.django_db


@pytest.fixture
def talk(event):
    hall = RoomFactory(event=event, name="Hall")
    made = SessionFactory(event=event, title="Ünïcode & you", room=hall, abstract="All of it.", track="Text")
    made.speakers.add(SpeakerFactory(event=event, name="Ada"), SpeakerFactory(event=event, name="Bea"))
    return made


@pytest.fixture
def attendee(event):
    return AttendeeFactory(event=event)


def address(session) -> str:
    return f"/api/v1/sessions/{session.pk}.ics"


@pytest_db
def test_one_session_for_whoever_may_see_the_event(talk, as_person, client):
    response = as_person(UserProfileFactory()).get(address(talk))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="unicode-you.ics"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    [event] = events(response.content)
    assert (event.uid, event.summary, event.location) == (f"{talk.pk}@turnout", "Ünïcode & you", "Hall")
    assert (event.dtstart, event.dtend) == (whole(talk.starts_at), whole(talk.ends_at))
    assert event.description.startswith(f"With Ada, Bea\n\n{talk.event.title}\n\nAll of it.\n\nhttp://")
    assert client.get(address(talk)).status_code == 401


def whole(moment) -> datetime:
    return moment.replace(microsecond=0)


@pytest_db
def test_a_session_of_an_event_that_one_may_not_see(talk, as_person, organizer):
    Event.objects.filter(pk=talk.event_id).update(status="draft")
    assert as_person(UserProfileFactory()).get(address(talk)).status_code == 404
    assert as_person(organizer).get(address(talk)).status_code == 200
    gone = UserProfileFactory(is_active=False)
    Event.objects.filter(pk=talk.event_id).update(status="published")
    assert as_person(gone).get(address(talk)).status_code == 404
    assert as_person(organizer).get(f"/api/v1/sessions/{UUID(int=0)}.ics").status_code == 404


@pytest_db
def test_a_title_without_a_letter_of_the_alphabet_still_has_a_file_name(talk, as_person):
    Session.objects.filter(pk=talk.pk).update(title="講演")
    response = as_person(UserProfileFactory()).get(address(talk))
    assert response.headers["Content-Disposition"] == 'attachment; filename="session.ics"'


@pytest_db
def test_a_change_raises_the_sequence_and_the_time_of_the_last_revision(talk, as_person, organizer):
    api = as_person(UserProfileFactory())
    first = api.get(address(talk))
    [before] = events(first.content)
    SessionRsvpFactory(session=talk)  # seats are no news to a calendar
    assert api.get(address(talk)).content == first.content
    moved = talk.starts_at + timedelta(minutes=5)
    connection.cursor().execute("UPDATE event_sessions SET starts_at = %s WHERE id = %s", [moved, talk.pk])
    [after] = events(api.get(address(talk)).content)
    assert (after.sequence, after.dtstart) == (before.sequence + 1, whole(moved))
    assert after.dtstamp >= before.dtstamp and after.uid == before.uid
    sessions.cancel(session_id=talk.pk, actor=organizer)
    [gone] = events(api.get(address(talk)).content)
    assert (gone.status, gone.sequence, gone.uid) == ("CANCELLED", before.sequence + 2, before.uid)


REVISIONS = [
    "UPDATE events SET status = 'cancelled' WHERE id = {event}",
    "UPDATE events SET status = 'published' WHERE id = {event}",
    "UPDATE events SET timezone = 'Asia/Tokyo', venue = 'Elsewhere' WHERE id = {event}",
    "UPDATE events SET title = 'Another', slug = 'another' WHERE id = {event}",
    "UPDATE event_rooms SET name = name || '!' WHERE event_id = {event}",
    "UPDATE event_speakers SET name = 'Alma' WHERE name = 'Ada' AND event_id = {event}",
    "DELETE FROM event_session_speakers WHERE session_id = '{session}'",
    "INSERT INTO event_session_speakers (session_id, speaker_id) SELECT '{session}', id FROM event_speakers",
    "UPDATE event_sessions SET abstract = 'Rewritten.' WHERE id = '{session}'",
    "UPDATE event_sessions SET track = 'Other', sequence = 0, revised_at = '2000-01-01' WHERE id = '{session}'",
]
NO_REVISIONS = [
    "UPDATE events SET description = 'More', seats_taken = 0, status = 'completed' WHERE id = {event}",
    "UPDATE event_rooms SET capacity = 5, name = name WHERE event_id = {event}",
    "UPDATE event_speakers SET biography = 'Long', name = name WHERE event_id = {event}",
    "UPDATE event_sessions SET capacity = 7, sequence = 0, revised_at = now() WHERE id = '{session}'",
]


@pytest_db
def test_whatever_a_calendar_shows_is_another_version_whoever_wrote_it(talk):
    other = SessionFactory(event=talk.event)
    elsewhere = SessionFactory()

    def versions(sql=""):
        if sql:
            connection.cursor().execute(sql.format(event=talk.event_id, session=talk.pk))
        shown = calendars.calendar(feeds.entries(Session.objects.filter(pk=talk.pk)))
        rows = Session.objects.in_bulk([talk.pk, other.pk, elsewhere.pk])
        return shown, *((rows[one.pk].sequence, rows[one.pk].revised_at) for one in (talk, other, elsewhere))

    before = versions()
    for sql in REVISIONS:
        after = versions(sql)
        assert after[0] != before[0] and after[1][0] == before[1][0] + 1 and after[1][1] > before[1][1], sql
        assert (after[2] != before[2], after[3]) == (sql.startswith("UPDATE events "), before[3]), sql
        [event] = events(after[0])
        assert (event.sequence, event.dtstamp) == (after[1][0], whole(after[1][1])), sql
        before = after
    for sql in NO_REVISIONS:
        assert versions(sql) == before, sql
    assert not SessionChange.objects.exists()  # nor is anybody told


# -- The feed --------------------------------------------------------------------------------------------


def feed_path(person) -> str:
    return f"/api/v1/me/calendar/{feeds.of(person=person).token}.ics"


def titles(content: bytes) -> list[tuple[str, str]]:
    return [(one.summary, one.status.value) for one in events(content)]


def seat(person, **fields) -> Session:
    """A session with a seat of theirs."""
    session = SessionFactory(**fields)
    attendee = session.event.attendees.filter(user_profile=person).first()
    SessionRsvpFactory(session=session, attendee=attendee or AttendeeFactory(event=session.event, user_profile=person))
    return session


@pytest_db
def test_my_calendar_is_at_an_address_of_its_own(client, as_person, settings):
    settings.SITE_URL = "https://turnout.example"
    person = UserProfileFactory()
    api = as_person(person)
    answer = api.get("/api/v1/me/calendar/", headers={"host": "127.0.0.1"})
    feed = CalendarFeed.objects.get()
    assert answer.status_code == 200 and answer.json() == {
        "url": f"https://turnout.example/api/v1/me/calendar/{feed.token}.ics",
        "webcal_url": f"webcal://turnout.example/api/v1/me/calendar/{feed.token}.ics",
        "created_at": feed.created_at.isoformat().replace("+00:00", "Z"),
        "renewed_at": None,
    }
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert api.get("/api/v1/me/calendar/").json() == answer.json()
    assert client.get("/api/v1/me/calendar/").status_code == client.post("/api/v1/me/calendar/").status_code == 401


@pytest_db
def test_a_renewed_address_makes_the_former_one_lead_nowhere(client, as_person):
    person = UserProfileFactory()
    old = feed_path(person)
    assert client.get(old).status_code == 200
    answer = as_person(person).post("/api/v1/me/calendar/")
    assert answer.status_code == 200 and answer.json()["renewed_at"] is not None
    assert client.get(old).status_code == 404
    new = feed_path(person)
    assert answer.json()["url"].endswith(new) and new != old
    assert client.get(new).status_code == 200
    other = UserProfileFactory()
    assert as_person(other).post("/api/v1/me/calendar/").json()["renewed_at"] is None  # the first is no other one


@pytest_db
@pytest.mark.parametrize("token", ["x", "a" * 64, "a" * 500, "%00", "..%2f", "a%20b", "é"])
def test_what_is_no_address_is_404(client, token):
    assert client.get(f"/api/v1/me/calendar/{token}.ics").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_feed_of_a_closed_account_leads_nowhere(client, as_person):
    person, other = UserProfileFactory.create_batch(2)
    path, others = feed_path(person), feed_path(other)
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    assert client.get(path).status_code == 404
    assert as_person(person).get("/api/v1/me/calendar/").status_code == 401
    assert as_person(person).post("/api/v1/me/calendar/").status_code == 401
    privacy.erase(person_id=other.pk, actor=other)
    assert client.get(others).status_code == 404
    assert not CalendarFeed.objects.filter(user=other).exists()


@pytest_db
def test_the_feed_holds_seats_at_all_events(client, attendee):
    person, now = attendee.user_profile, timezone.now()
    mine = seat(person, event=attendee.event, title="Mine")
    there = EventFactory(timezone="Asia/Tokyo", starts_at=now + timedelta(days=30))
    seat(person, event=there, title="Elsewhere")
    old = now - timedelta(days=90)
    seat(person, title="Long ago", starts_at=old - 2 * HOUR, ends_at=old - HOUR)
    seat(person, title="Lately", starts_at=old, ends_at=old + HOUR)
    draft = seat(person, title="Withdrawn")
    Event.objects.filter(pk=draft.event_id).update(status="draft")
    full = SessionFactory(event=attendee.event, title="Waiting", capacity=0)
    WaitlistEntryFactory(session=full, attendee=attendee)
    offered = SessionFactory(event=attendee.event, title="Offered")
    WaitlistEntryFactory(
        session=offered, attendee=attendee, status="offered", offered_at=now, offer_expires_at=now + timedelta(hours=1)
    )
    SessionRsvpFactory(session=SessionFactory(event=attendee.event, title="Somebody's"))
    response = client.get(feed_path(person))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'inline; filename="turnout.ics"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert titles(response.content) == [
        ("Lately", "CONFIRMED"),
        ("Mine", "CONFIRMED"),
        ("Elsewhere", "CONFIRMED"),
    ]
    assert {one.uid for one in events(response.content)} >= {f"{mine.pk}@turnout"}
    head = client.head(feed_path(person))
    assert (head.status_code, head.content) == (200, b"")


@pytest_db
def test_what_is_cancelled_and_by_whom(client, attendee, organizer):
    person, event = attendee.user_profile, attendee.event
    given_back, called_off = seat(person, event=event, title="Given back"), seat(person, event=event, title="Off")
    path = feed_path(person)
    reserving.cancel(session_id=given_back.pk, person=person)
    sessions.cancel(session_id=called_off.pk, actor=organizer)
    assert titles(client.get(path).content) == [("Off", "CANCELLED")]
    sessions.cancel(session_id=given_back.pk, actor=organizer)  # nothing of theirs any more
    assert titles(client.get(path).content) == [("Off", "CANCELLED")]
    sessions.restore(session_id=called_off.pk, actor=organizer)
    assert titles(client.get(path).content) == []
    reserving.reserve(session_id=called_off.pk, person=person)
    assert titles(client.get(path).content) == [("Off", "CONFIRMED")]
    Event.objects.filter(pk=event.pk).update(status="cancelled")
    assert titles(client.get(path).content) == [("Off", "CANCELLED")]


@pytest_db
def test_who_is_no_attendee_any_more_has_no_sessions_there(client, attendee):
    person = attendee.user_profile
    seat(person, event=attendee.event, title="There")
    kept = seat(person, title="Elsewhere")
    attendance_room.put_out(
        event=attendee.event, attendees=attendee.event.attendees.select_for_update(no_key=True), actor=SYSTEM
    )
    assert titles(client.get(feed_path(person)).content) == [("Elsewhere", "CONFIRMED")]
    assert SessionRsvp.objects.confirmed().count() == 1 and kept.rsvps.count() == 1


@pytest_db
def test_a_program_that_asks_again_is_told_that_nothing_is_new(client, attendee):
    session = seat(attendee.user_profile, event=attendee.event)
    path = feed_path(attendee.user_profile)
    first = client.get(path)
    SessionRsvpFactory(session=session)
    Session.objects.filter(pk=session.pk).update(capacity=100)
    again = client.get(path, headers={"if-none-match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "private, no-cache"
    for change in ({"title": "Another"}, {"abstract": "More"}, {"room": RoomFactory(event=session.event)}):
        before = client.get(path).headers["ETag"]
        Session.objects.filter(pk=session.pk).update(**change)
        changed = client.get(path, headers={"if-none-match": before})
        assert (changed.status_code, changed.headers["ETag"] != before) == (200, True)


@pytest_db
def test_the_feed_takes_as_many_statements_for_many_sessions(client, attendee, django_assert_num_queries):
    person, path = attendee.user_profile, feed_path(attendee.user_profile)
    for count in (1, 3):
        for _ in range(count):
            session = seat(person)
            session.speakers.add(*SpeakerFactory.create_batch(2, event=session.event))
        with django_assert_num_queries(5):  # the feed, who one is where, seats, places in line, the sessions
            client.get(path)


@pytest_db
def test_a_program_that_asks_all_the_time_has_to_wait(client):
    person = UserProfileFactory()
    path, other = feed_path(person), feed_path(UserProfileFactory())
    for _asked in range(118):
        assert within("120/hour", ByFeed.scope, str(person.pk))
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]
    assert int(client.get(path).headers["Retry-After"]) > 3000
    assert client.get(other).status_code == 200
    assert [client.get("/api/v1/me/calendar/unknown.ics").status_code for _ in range(4)] == [404] * 4


@pytest_db
def test_an_address_is_found_by_the_whole_token_only():
    token = feeds.of(person=UserProfileFactory()).token
    assert len(token) == 32
    for wrong in (token[:-1], token.swapcase(), token + "A", token + " ", ""):
        with pytest.raises(NotFound):
            feeds.find(wrong)
    assert feeds.find(token).token == token


# -- There and back --------------------------------------------------------------------------------------


@pytest_db
def test_our_own_importer_reads_our_own_feed_back(client, attendee, talk):
    person = attendee.user_profile
    SessionRsvpFactory(session=talk, attendee=attendee)
    cancelled = seat(person, event=talk.event, title="Off", starts_at=talk.starts_at + HOUR)
    Session.objects.filter(pk=cancelled.pk).update(status="cancelled")
    content = client.get(feed_path(person)).content
    read = parse(content, "turnout.ics")
    assert (read.title, read.timezone, read.problems, read.notes) == ("My sessions", "Europe/Berlin", (), ())
    assert [(one.external_id, one.title, one.cancelled, one.track) for one in read.sessions] == [
        (f"{talk.pk}@turnout", talk.title, False, "Text"),
        (f"{cancelled.pk}@turnout", "Off", True, ""),
    ]
    assert [(one.starts_at, one.ends_at) for one in read.sessions] == [
        (whole(one.starts_at), whole(one.ends_at)) for one in (talk, cancelled)
    ]


PUBLISHED = ["kielux-2020.ics", "lca-2020.ics", "pyconuk-2015.ics"]


def test_small_calendars_that_others_published_keep_their_times(shared_data):
    """Made to trip readers up; only what our importer makes of them counts here."""
    seen = 0
    for file in sorted((shared_data / "ical").glob("*.ics")):
        try:
            source = read_schedule(file, "America/New_York")
        except ScheduleError:
            continue
        zone = source.timezone if source.timezone in available_timezones() else "UTC"
        made = [
            entry(
                id=UUID(int=number),
                title=one.title,
                abstract=one.abstract,
                starts_at=one.starts_at,
                ends_at=one.ends_at,
                timezone=zone,
            )
            for number, one in enumerate(source.sessions, 1)
        ]
        found = [
            (one.summary, one.start.astimezone(UTC), one.end.astimezone(UTC))
            for one in events(calendars.calendar(made))
        ]
        expected = [(calendars.line(one.title), one.starts_at, one.ends_at) for one in source.sessions]
        assert found == expected, file.name
        seen += len(found)
    assert seen > 40


@pytest_db
@pytest.mark.parametrize("name", PUBLISHED)
def test_calendars_that_others_published_come_out_as_they_went_in(name, shared_data, client, tmp_path):
    """Imported as an agenda, a seat taken in everything, and the feed read by the other library."""
    file = shared_data / "schedules" / name
    source = read_schedule(file, "Europe/London")
    organization = OrganizationFactory()
    call_command(
        "import_schedule", str(file), organization=organization.slug, timezone="Europe/London", stdout=io.StringIO()
    )
    event = Event.objects.get(organization=organization)
    expected = {
        (calendars.line(one.title), one.starts_at, one.ends_at, one.room)
        for one in source.sessions
        if not one.cancelled
    }
    attendee = AttendeeFactory(event=event)
    Event.objects.filter(pk=event.pk).update(status="published")
    for session in Session.objects.filter(event=event, status="scheduled"):
        SessionRsvpFactory(session=session, attendee=attendee)
    found = calendars.calendar(feeds.entries(Session.objects.filter(rsvps__attendee=attendee)))
    assert {
        (one.summary, one.dtstart.astimezone(UTC), one.end.astimezone(UTC), one.location or "") for one in events(found)
    } == expected
