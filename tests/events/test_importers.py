"""The schedule importers: small samples of every format and rule, real files, and a little fuzzing."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from events.importers import FORMATS, Schedule, ScheduleError, parse, read_schedule

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TURNOUT_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")


@pytest.fixture
def schedules() -> Path:
    """The folder of real schedules; in CI it must be there."""
    folder = SHARED / "schedules"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the real schedules are missing: set TURNOUT_SHARED_DATA to the folder that holds schedules/")
        pytest.skip("no real schedules here: set TURNOUT_SHARED_DATA to the folder that holds schedules/")
    return folder


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def read(value, timezone: str | None = None) -> Schedule:
    if not isinstance(value, bytes | str):
        value = json.dumps(value)
    return parse(value if isinstance(value, bytes) else value.encode(), "sample", timezone)


def refusal(value, timezone: str | None = None) -> str:
    with pytest.raises(ScheduleError) as caught:
        read(value, timezone)
    return str(caught.value)


def titles(schedule: Schedule) -> list[str]:
    return [session.title for session in schedule.sessions]


def reasons(schedule: Schedule) -> list[tuple[str, str]]:
    return [(problem.item, problem.reason) for problem in schedule.problems]


def zipped(files: dict[str, object]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in files.items():
            archive.writestr(name, value if isinstance(value, bytes) else json.dumps(value))
    return packed.getvalue()


# --------------------------------------------------------------------------------------- frab XML


def xml_event(key="1", start="10:00", duration="00:30", title="Talk", extra="", date=""):
    when = f"<date>{date}</date>" if date else ""
    return (
        f'<event id="{key}">{when}<start>{start}</start><duration>{duration}</duration>'
        f"<room>Hall</room><title>{title}</title>{extra}</event>"
    )


def xml(*events: str, zone="Europe/Berlin", conference="", day='date="2024-06-01"', nested=True) -> str:
    zone_name = f"<time_zone_name>{zone}</time_zone_name>" if zone else ""
    inside = "".join(events)
    room = f'<room name="Hall">{inside}</room>' if nested else inside
    return (
        f"<schedule><conference><title>Conf</title><acronym>conf</acronym>{zone_name}{conference}</conference>"
        f"<day {day}>{room}</day></schedule>"
    )


def test_xml_nested_reads_every_field():
    event = """<event id="7" guid="aaaa-bbbb"><date>2024-06-01T10:00:00+02:00</date><start>10:00</start>
      <duration>01:15</duration><room>Hall</room><title>A &amp; B</title><subtitle>Sub</subtitle><track>Web</track>
      <type>lecture</type><language>de</language><abstract>&lt;p&gt;Text&lt;/p&gt;</abstract><description/>
      <url>https://example.org/7</url>
      <persons><person id="5">Ada  Lovelace</person><person id="6">Bob</person></persons></event>"""
    schedule = read(
        xml(event, conference="<start>2024-06-01</start><end>2024-06-02</end><venue>House</venue><city>Bonn</city>")
    )
    session = schedule.sessions[0]
    assert (schedule.format, schedule.title, schedule.slug) == ("frab XML", "Conf", "conf")
    assert (schedule.venue, schedule.timezone) == ("House, Bonn", "Europe/Berlin")
    assert (schedule.starts_at, schedule.ends_at) == (utc(2024, 5, 31, 22), utc(2024, 6, 2, 21, 59, 59))
    assert (session.external_id, session.title, session.source_id) == ("aaaa-bbbb", "A & B", "")
    assert (session.starts_at, session.ends_at) == (utc(2024, 6, 1, 8), utc(2024, 6, 1, 9, 15))
    assert (session.room, session.speakers, session.track) == ("Hall", ("5", "6"), "Web")
    assert (session.abstract, session.session_type) == ("Sub\n\n<p>Text</p>", "lecture")
    assert (session.language, session.url, session.cancelled) == ("de", "https://example.org/7", False)
    assert [(person.external_id, person.name) for person in schedule.speakers] == [("5", "Ada Lovelace"), ("6", "Bob")]
    assert [(room.external_id, room.name, room.capacity) for room in schedule.rooms] == [("Hall", "Hall", None)]
    assert (schedule.problems, schedule.notes, schedule.ignored) == ((), (), ())


def test_xml_flat_takes_the_room_of_the_event():
    schedule = read(xml(xml_event(), nested=False))
    assert [(session.title, session.room) for session in schedule.sessions] == [("Talk", "Hall")]


def test_xml_entries_of_europython_are_read():
    schedule = read(
        '<schedule><day date="2014-07-21"><entry id="9"><category>Keynote</category><start>0930</start>'
        '<duration>45</duration><room id="1">C01</room><title>Hello</title><abstract>Same</abstract>'
        '<description>Same</description><speakers><speaker id="3"><name>Eve</name><description>Bio</description>'
        "<image>https://example.org/e.jpg</image></speaker></speakers></entry></day></schedule>",
        "Europe/Berlin",
    )
    session = schedule.sessions[0]
    assert (session.starts_at, session.ends_at) == (utc(2014, 7, 21, 7, 30), utc(2014, 7, 21, 8, 15))
    assert (session.session_type, session.abstract, session.room) == ("Keynote", "Same", "C01")
    person = schedule.speakers[0]
    assert (person.external_id, person.name, person.biography) == ("3", "Eve", "Bio")
    assert person.photo_url == "https://example.org/e.jpg"


@pytest.mark.parametrize(
    "day, conference, start, expected",
    [
        ('date="2024-06-01"', "", "01:00", utc(2024, 5, 31, 23)),
        ('date="2024-06-01"', "<day_change>09:00:00</day_change>", "01:00", utc(2024, 6, 1, 23)),
        ('date="2024-06-01"', "<day_change>09:00:00</day_change>", "09:00", utc(2024, 6, 1, 7)),
        ('date="2024-06-01" start="2024-06-01T11:00:00+02:00" end="2024-06-02T04:00:00+02:00"', "", "02:30",
         utc(2024, 6, 2, 0, 30)),
        # 10:30 on the next morning would be after the day's end: it is an early start.
        ('date="2024-06-01" start="2024-06-01T11:00:00+02:00" end="2024-06-02T04:00:00+02:00"', "", "10:30",
         utc(2024, 6, 1, 8, 30)),
        # The day is written in UTC and begins on the evening before, by its own date.
        ('date="2024-05-31" start="2024-05-31T22:00:00+00:00"', "", "10:00", utc(2024, 6, 1, 8)),
    ],
)  # fmt: skip
def test_xml_start_after_midnight_belongs_to_its_real_date(day, conference, start, expected):
    assert read(xml(xml_event(start=start), day=day, conference=conference)).sessions[0].starts_at == expected


def test_xml_date_with_offset_wins_over_day_and_zone():
    event = xml_event(start="23:00", date="2024-06-02T01:30:00+09:00")
    assert read(xml(event)).sessions[0].starts_at == utc(2024, 6, 1, 16, 30)


def test_xml_day_start_with_offset_serves_events_without_one():
    day = 'date="2024-06-01" start="2024-06-01T09:00:00+05:30"'
    schedule = read(xml(xml_event(start="10:00"), day=day, zone=""))
    assert (schedule.sessions[0].starts_at, schedule.timezone) == (utc(2024, 6, 1, 4, 30), None)


@pytest.mark.parametrize(
    "duration, minutes",
    [("00:45", 45), ("1:30", 90), ("00:05:00", 5), ("45", 45), ("PT1H15M", 75), ("P1D", 1440), ("00:00", 0)],
)
def test_xml_duration_is_understood(duration, minutes):
    session = read(xml(xml_event(duration=duration))).sessions[0]
    assert (session.ends_at - session.starts_at).total_seconds() == minutes * 60


@pytest.mark.parametrize("duration", ["soon", "-00:30", "99999:00", "P", "PT", "1:2:3:4", "9" * 5000])
def test_xml_duration_that_is_impossible_leaves_the_event_out(duration):
    schedule = read(xml(xml_event("1", duration=duration, title="Bad"), xml_event("2", title="Good")))
    assert titles(schedule) == ["Good"]
    assert schedule.problems[0].item == "1 Bad"
    assert schedule.problems[0].reason.endswith(("is not a duration", "is not a possible duration"))


def test_xml_event_without_duration_gets_the_slot_length():
    schedule = read(xml(xml_event(duration=""), conference="<timeslot_duration>00:15</timeslot_duration>"))
    assert schedule.sessions[0].ends_at == utc(2024, 6, 1, 8, 15)
    assert schedule.notes == ("1 session without an end got the file's slot length of 15 minutes.",)


def test_xml_event_without_start_or_with_nonsense_is_a_problem():
    bad = [xml_event("1", start=""), xml_event("2", start="25:00"), xml_event("3", date="2024-13-01T10:00:00Z")]
    schedule = read(xml(*bad, xml_event("4", title="Good")))
    assert titles(schedule) == ["Good"]
    assert reasons(schedule) == [
        ("1 Talk", "it has no start"),
        ("2 Talk", "“25:00” is not a time of day"),
        ("3 Talk", "“2024-13-01T10:00:00Z” is not a date and time"),
    ]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: ('<?xml version="1.0" encoding="iso-8859-1"?>' + text).encode("latin-1"),
        lambda text: ('<?xml version="1.0" encoding="utf-16"?>' + text).encode("utf-16"),
        lambda text: ("\n\n" + text).encode(),
    ],
    ids=["utf-8", "bom", "latin-1", "utf-16", "blank lines"],
)
def test_xml_encodings_are_read(encode):
    assert titles(read(encode(xml(xml_event(title="Café"))))) == ["Café"]


def test_xml_entities_are_refused():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + xml(xml_event(title="&b;"))
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + xml(xml_event(title="&a;"))
    assert refusal(bomb) == refusal(outside) == "The file defines XML entities, which can be an attack; remove them."


def test_xml_person_zero_is_nobody_in_particular():
    persons = '<persons><person id="0">Ada</person><person id="0">Bob</person><person>Ada</person></persons>'
    schedule = read(xml(xml_event(extra=persons)))
    assert [person.name for person in schedule.speakers] == ["Ada", "Bob"]
    assert schedule.sessions[0].speakers == ("name:ada", "name:bob")


# ----------------------------------------------------------------------------------------- shared rules


@pytest.mark.parametrize(
    "title",
    ["CANCELLED - Ponies", "Canceled: Ponies", "Cancelled", "CANCELED Ponies", "[Cancelled] Ponies",
     "Ponies (canceled)", "Ponies - CANCELLED", "Ponies CANCELLED", "*CANCELED* Ponies", "Cancelled – Ponies"],
)  # fmt: skip
def test_title_that_says_cancelled_cancels(title):
    assert [(each.title, each.cancelled) for each in read(xml(xml_event(title=title))).sessions] == [(title, True)]


@pytest.mark.parametrize(
    "title",
    ["Cancelling POSIX syscalls", "Cancelled flights: a study", "Discussion (original talk cancelled)",
     "CANCELLATION strategies", "How we cancelled Christmas", "Uncancelled"],
)  # fmt: skip
def test_title_that_only_speaks_of_cancelling_stays(title):
    assert [(each.title, each.cancelled) for each in read(xml(xml_event(title=title))).sessions] == [(title, False)]


def test_ids_that_stand_twice_are_kept_apart_whatever_their_order():
    first, second = xml_event("5", "10:00", title="A"), xml_event("5", "11:00", title="B")
    other = xml_event("6", "12:00", title="C")
    forth, back = read(xml(first, second, other)), read(xml(other, second, first))
    ids = {each.title: (each.external_id, each.source_id) for each in forth.sessions}
    assert ids == {"A": ("5@Hall@20240601T0800Z", "5"), "B": ("5@Hall@20240601T0900Z", "5"), "C": ("6", "")}
    assert ids == {each.title: (each.external_id, each.source_id) for each in back.sessions}


def test_ids_that_stand_twice_at_one_time_and_place_are_kept_apart_too():
    events = [xml_event("5", title="A"), xml_event("5", title="B"), xml_event("5", title="B", duration="01:00")]
    expected = {"5@Hall@20240601T0800Z", "5@Hall@20240601T0800Z#2", "5@Hall@20240601T0800Z#3"}
    by_order = [
        {(each.external_id, each.title, each.ends_at) for each in read(xml(*order)).sessions}
        for order in (events, events[::-1])
    ]
    assert {each[0] for each in by_order[0]} == expected
    assert by_order[0] == by_order[1]


def test_session_without_id_is_known_by_title_room_and_start():
    schedule = read(xml(xml_event("", title="Lunch"), xml_event("", "12:00", title="Lunch")))
    assert [each.external_id for each in schedule.sessions] == [
        "Lunch@Hall@20240601T0800Z",
        "Lunch@Hall@20240601T1000Z",
    ]


def test_external_id_that_is_very_long_is_shortened_to_something_stable():
    keys = [read(xml(xml_event("x" * 3000 + end))).sessions[0].external_id for end in "aab"]
    assert [len(key) for key in keys] == [200, 200, 200]
    assert keys[0] == keys[1] != keys[2]


def test_title_that_is_empty_or_long_or_dirty():
    schedule = read(
        {
            "schedule": {
                "conference": {
                    "title": "C",
                    "days": [
                        {
                            "date": "2024-06-01",
                            "rooms": {
                                "R": [
                                    {"id": 1, "title": "", "date": "2024-06-01T10:00:00Z", "duration": "00:10"},
                                    {"id": 2, "title": "x" * 3000, "date": "2024-06-01T10:00:00Z", "duration": "00:10"},
                                    {
                                        "id": 3,
                                        "title": "a\x00b\ud800c\x1b\nd",
                                        "date": "2024-06-01T10:00:00Z",
                                        "duration": "00:10",
                                        "abstract": "one\r\ntwo\x00\x07\tthree",
                                    },
                                ]
                            },
                        }
                    ],
                }
            }
        }
    )
    assert titles(schedule) == ["(untitled)", "x" * 3000, "abc d"]
    assert schedule.sessions[2].abstract == "one\ntwo\tthree"


def test_url_that_is_no_web_address_is_dropped():
    urls = ["https://example.org/", "javascript:alert(1)", "/talks/3"]
    schedule = read(xml(*(xml_event(str(number), extra=f"<url>{url}</url>") for number, url in enumerate(urls))))
    assert [each.url for each in schedule.sessions] == ["https://example.org/", "", ""]


def test_zone_in_the_file_wins_over_the_given_one_and_says_so():
    schedule = read(xml(xml_event()), "Asia/Tokyo")
    assert (schedule.timezone, schedule.sessions[0].starts_at) == ("Europe/Berlin", utc(2024, 6, 1, 8))
    assert schedule.notes == ("The file's own time zone Europe/Berlin was used, not Asia/Tokyo.",)


def test_zone_that_is_an_alias_is_taken():
    assert read(xml(xml_event(), zone="US/Pacific")).timezone == "US/Pacific"


def test_zone_that_does_not_exist_counts_as_none():
    sample = xml(xml_event(), zone="US / Eastern")
    schedule = read(sample, "America/New_York")
    assert schedule.timezone == "America/New_York"
    assert schedule.notes == ("The file's time zone “US / Eastern” does not exist and was ignored.",)
    assert refusal(sample) == (
        "The times in this file have no offset and the file names no time zone (“US / Eastern” is none): "
        "give the venue's, for instance --timezone Europe/Berlin."
    )


def test_zone_that_is_given_wrong_is_refused():
    assert refusal(xml(xml_event()), "Mars/Base") == ("“Mars/Base” is not a time zone; write one like Europe/Berlin.")


def test_times_without_any_zone_are_refused_with_the_hint():
    assert "--timezone" in refusal(xml(xml_event(), zone=""))


def test_times_with_only_offsets_leave_the_zone_open():
    sample = xml(xml_event(date="2024-06-01T10:00:00+02:00"), zone="")
    schedule = read(sample)
    assert (schedule.timezone, schedule.sessions[0].starts_at) == (None, utc(2024, 6, 1, 8))
    assert schedule.notes == ("The file has only UTC offsets; set the event's time zone.",)
    assert (read(sample, "Europe/Paris").timezone, read(sample, "Europe/Paris").notes) == ("Europe/Paris", ())


def test_time_that_a_clock_change_skips_is_the_one_after_it():
    session = read(xml(xml_event(start="02:30"), day='date="2024-03-31"')).sessions[0]
    assert session.starts_at == utc(2024, 3, 31, 1, 30)  # 03:30 summer time


def test_time_that_comes_twice_is_the_first_and_an_end_is_after_its_start():
    sample = {"sessions": [
        {"id": "1", "title": "Night", "startsAt": "2024-10-27T02:30:00", "endsAt": "2024-10-27T02:15:00", "roomId": 1}
    ]}  # fmt: skip
    session = read(sample, "Europe/Berlin").sessions[0]
    assert (session.starts_at, session.ends_at) == (utc(2024, 10, 27, 0, 30), utc(2024, 10, 27, 1, 15))


def test_duration_across_a_clock_change_is_real_time():
    session = read(xml(xml_event(start="01:00", duration="03:00"), day='date="2024-03-31"')).sessions[0]
    assert (session.ends_at - session.starts_at).total_seconds() == 3 * 3600


# ----------------------------------------------------------------------------------------- c3 JSON


def c3(*events: dict, rooms=(), **conference) -> dict:
    days = [{"index": 1, "date": "2024-06-01", "day_start": "2024-06-01T09:00:00+02:00",
             "day_end": "2024-06-02T04:00:00+02:00", "rooms": {"Hall": list(events)}}]  # fmt: skip
    base = {"acronym": "c", "title": "Conf", "time_zone_name": "Europe/Berlin", "rooms": list(rooms), "days": days}
    return {"schedule": {"version": "1", "conference": base | conference}}


def test_c3_version_1_reads_rooms_with_capacity_and_both_kinds_of_persons():
    schedule = read(c3(
        {"id": 3, "guid": "g3", "title": "T", "date": "2024-06-01T10:00:00+02:00", "duration": "00:30",
         "room": "Hall",
         "persons": [{"id": 8, "public_name": "Ada", "biography": "Bio", "answers": [{"answer": "secret"}]},
                     {"code": "ABC", "name": "Bob", "avatar": "https://example.org/b.jpg"}]},
        rooms=[{"name": "Hall", "guid": "same", "capacity": 300}, {"name": "Attic", "guid": "same", "capacity": None}],
    ))  # fmt: skip
    assert [(room.external_id, room.capacity) for room in schedule.rooms] == [("Hall", 300), ("Attic", None)]
    assert [(each.external_id, each.name, each.biography, each.photo_url) for each in schedule.speakers] == [
        ("8", "Ada", "Bio", ""),
        ("ABC", "Bob", "", "https://example.org/b.jpg"),
    ]
    assert "secret" not in repr(schedule)


def test_c3_version_1_without_dates_uses_the_day():
    schedule = read(c3({"id": 1, "title": "Late", "start": "00:30", "duration": "01:00"}))
    assert schedule.sessions[0].starts_at == utc(2024, 6, 1, 22, 30)


def test_c3_states_decide_what_is_public():
    event = {"date": "2024-06-01T10:00:00+02:00", "duration": "00:30"}
    states = ["CONFIRMED", "DELAYED", "CANCELED", "REJECTED", "WITHDRAWN", "DRAFT", "SUBMITTED", "DELETED", "odd"]
    schedule = read(
        c3(*({"id": number, "title": state, "state": state} | event for number, state in enumerate(states)))
    )
    assert [(each.title, each.cancelled) for each in schedule.sessions] == [
        ("CONFIRMED", False),
        ("DELAYED", False),
        ("CANCELED", True),
    ]
    left_out = "(1 deleted, 1 draft, 1 odd, 1 rejected, 1 submitted, 1 withdrawn)"
    assert schedule.notes == (f"6 submissions that are not confirmed were left out {left_out}.",)
    assert schedule.ignored[0] == "3 REJECTED (rejected)"


def test_c3_version_2_is_flat_with_objects_for_room_and_track():
    schedule = read({"schedule": {
        "conference": {"title": "38C3", "acronym": "38c3", "time_zone_name": "Europe/Berlin",
                       "start": "2024-12-27T09:30:00+00:00", "tracks": [{"slug": "ccc", "name": "CCC"}],
                       "rooms": [{"guid": "r1", "name": "Saal 1", "capacity": 3025, "description": {"en": "Big"}}]},
        "events": [
            {"guid": "e1", "title": "Opening", "start": "2024-12-27T10:30:00+01:00", "end": "2024-12-27T11:00:00+01:00",
             "room": {"guid": "r1"}, "track": {"slug": "ccc"}, "abstract": {"de": "Hallo", "en": "Hello"},
             "participants": [{"guid": "p1", "name": "Ada", "role": "SPEAKER"}]},
            {"type": "BREAK", "title": "Pause", "start": "2024-12-27T11:00:00+01:00", "duration": "PT15M"},
            {"guid": "e2", "title": "Slow", "start": "2024-12-27T12:00:00+01:00", "duration": "PT45M"},
        ],
        "persons": [{"guid": "p1", "name": "Ada", "biography": "Bio", "avatar": {"url": "https://example.org/a.jpg"}}],
    }})  # fmt: skip
    opening, pause, slow = schedule.sessions
    assert (opening.room, opening.track, opening.abstract, opening.speakers) == ("r1", "CCC", "Hello", ("p1",))
    assert (pause.external_id, pause.room) == ("Pause@@20241227T1000Z", "")
    assert slow.ends_at == utc(2024, 12, 27, 11, 45)
    assert [(room.name, room.capacity, room.description) for room in schedule.rooms] == [("Saal 1", 3025, "Big")]
    assert [(each.biography, each.photo_url) for each in schedule.speakers] == [("Bio", "https://example.org/a.jpg")]
    assert schedule.starts_at == utc(2024, 12, 27, 9, 30)


# ----------------------------------------------------------------------------------------- pretalx

WIDGET = {
    "timezone": "America/Lima", "event_start": "2026-08-27", "event_end": "2026-08-28", "version": "1",
    "rooms": [{"id": 1, "name": {"es": "Sala", "en": "Room"}, "description": {}}],
    "tracks": [{"id": 2, "name": {"en": "Web"}}],
    "speakers": [{"code": "AAA", "name": "Ada", "avatar": "https://example.org/a.jpg"},
                 {"code": "BBB", "name": "Unused"}],
    "talks": [
        {"code": "T1", "id": 10, "title": "Talk", "abstract": "Text", "speakers": ["AAA", "ZZZ"], "track": 2, "room": 1,
         "start": "2026-08-27T08:00:00-05:00", "end": "2026-08-27T13:30:00Z", "duration": 30, "content_locale": "es"},
        {"id": 11, "title": {"es": "Receso", "en": "Break"}, "slot_type": "break", "room": 1,
         "start": "2026-08-27T13:30:00Z", "end": "2026-08-27T08:50:00-05:00"},
        {"code": "T2", "id": 12, "title": "Short", "speakers": [], "track": None, "room": None,
         "start": "2026-08-27T09:00:00-05:00", "end": None, "duration": 20},
    ],
}  # fmt: skip


def test_pretalx_widget_is_read():
    schedule = read(WIDGET)
    talk, pause, short = schedule.sessions
    assert (schedule.timezone, schedule.title) == ("America/Lima", "sample")
    assert (talk.external_id, talk.room, talk.track, talk.speakers) == ("T1", "1", "Web", ("AAA",))
    assert (talk.starts_at, talk.ends_at, talk.language) == (utc(2026, 8, 27, 13), utc(2026, 8, 27, 13, 30), "es")
    # Slot ids change with each release: a break goes by its title, room and start.
    assert (pause.external_id, pause.title) == ("Break@1@20260827T1330Z", "Break")
    assert (short.ends_at, short.room) == (utc(2026, 8, 27, 14, 20), "")
    assert [room.name for room in schedule.rooms] == ["Room"]
    assert [person.name for person in schedule.speakers] == ["Ada"]


def submission(code, state="confirmed", **more) -> dict:
    return {
        "code": code, "title": code, "state": state, "speakers": [{"code": "S" + code, "name": "Of " + code}],
        "submission_type": {"en": "Talk", "fr": "Conférence"}, "track": None, "duration": 30,
        "slot": {"room_id": 1, "room": {"fr": "Salle"}, "start": "2024-11-02T09:00:00+01:00",
                 "end": "2024-11-02T09:30:00+01:00"},
        "answers": [{"answer": "+33 600000000"}],
    } | more  # fmt: skip


def test_pretalx_submissions_that_are_not_confirmed_stay_out_with_their_speakers():
    states = ["confirmed", "accepted", "rejected", "withdrawn", "submitted", "draft", "canceled"]
    schedule = read({"count": 7, "next": None, "results": [submission(state.upper(), state) for state in states]})
    assert titles(schedule) == ["CONFIRMED", "ACCEPTED"]
    assert [person.name for person in schedule.speakers] == ["Of CONFIRMED", "Of ACCEPTED"]
    assert (schedule.sessions[0].session_type, schedule.sessions[0].room) == ("Talk", "1")
    assert [room.name for room in schedule.rooms] == ["Salle"]
    assert "600000000" not in repr(schedule)


def test_pretalx_submission_with_several_slots_is_several_sessions():
    slots = [
        {"id": 1, "room": {"id": 4, "name": {"en": "B003"}, "capacity": 290}, "start": f"2025-11-0{day}T09:00:00+01:00",
         "end": f"2025-11-0{day}T10:00:00+01:00"} for day in (1, 2)
    ]  # fmt: skip
    more = submission("X", slots=slots, submission_type={"id": 9, "name": {"en": "Workshop"}})
    del more["slot"]
    schedule = read([more])
    assert [each.external_id for each in schedule.sessions] == ["X@4@20251101T0800Z", "X@4@20251102T0800Z"]
    assert [(room.name, room.capacity) for room in schedule.rooms] == [("B003", 290)]
    assert schedule.sessions[0].session_type == "Workshop"


def test_pretalx_released_schedule_is_read():
    schedule = read({"id": 1, "version": "2", "slots": [
        {"id": 5, "room": {"id": 1, "name": {"en": "A"}}, "start": "2025-11-01T09:00:00Z", "duration": 60,
         "submission": {"code": "C", "title": "Talk", "speakers": [], "state": "confirmed"}},
        {"id": 6, "room": {"id": 1, "name": {"en": "A"}}, "start": "2025-11-01T10:00:00Z", "duration": 60,
         "submission": None, "description": {"en": "Lunch"}},
    ]})  # fmt: skip
    assert [(each.title, each.room) for each in schedule.sessions] == [("Talk", "1"), ("Lunch", "1")]


def test_pretalx_grid_is_read_by_slot_or_else_by_cell():
    bare = submission("B")
    del bare["slot"]
    sample = {
        "schedule": {"2024-11-02": {"540": {"1": submission("A"), "2": bare}, "570": {}}},
        "rooms": [{"id": 1, "name": {"en": "GAM"}, "capacity": 300}, {"id": 2, "name": {"en": "PAM"}, "capacity": 246}],
        "sprints": {"2024-10-31": {}},
    }
    schedule = read(sample, "Europe/Paris")
    assert [(each.title, each.room, each.starts_at) for each in schedule.sessions] == [
        ("A", "1", utc(2024, 11, 2, 8)),
        ("B", "2", utc(2024, 11, 2, 8)),
    ]
    assert [(room.name, room.capacity) for room in schedule.rooms] == [("GAM", 300), ("PAM", 246)]
    assert schedule.ignored == ("sprints",)


# -------------------------------------------------------------------------------------- Sessionize


def service(key, start, room=1, **more) -> dict:
    end = start[:11] + f"{int(start[11:13]) + 1:02}" + start[13:]
    return {"id": key, "title": f"S{key}", "description": None, "startsAt": start, "endsAt": end, "roomId": room,
            "isServiceSession": False, "isPlenumSession": False, "speakers": []} | more  # fmt: skip


ALL = {
    "sessions": [
        service("1", "2024-05-01T09:00:00", speakers=["p1"], categoryItems=[71, 81, 91]),
        service("2", "2024-05-01T10:00:00", room=2, isServiceSession=True),
    ],
    "speakers": [{"id": "p1", "firstName": "Ada", "lastName": "L", "fullName": "Ada L", "bio": "Bio",
                  "profilePicture": "https://example.org/a.jpg", "sessions": [1]},
                 {"id": "p2", "fullName": "Nobody", "sessions": []}],
    "rooms": [{"id": 1, "name": "Red", "sort": 0}, {"id": 2, "name": "Blue", "sort": 1}],
    "categories": [{"id": 7, "title": "Track", "items": [{"id": 71, "name": "Web"}]},
                   {"id": 8, "title": "Session format", "items": [{"id": 81, "name": "Keynote"}]},
                   {"id": 9, "title": "Language", "items": [{"id": 91, "name": "German"}]}],
    "questions": [],
}  # fmt: skip


def test_sessionize_all_is_read():
    schedule = read(ALL, "Europe/Vienna")
    talk, pause = schedule.sessions
    assert (talk.starts_at, talk.room, talk.speakers) == (utc(2024, 5, 1, 7), "1", ("p1",))
    assert (talk.track, talk.session_type, talk.language) == ("Web", "Keynote", "German")
    assert (pause.session_type, pause.room) == ("Service", "2")
    assert [(each.name, each.biography, each.photo_url) for each in schedule.speakers] == [
        ("Ada L", "Bio", "https://example.org/a.jpg")
    ]
    assert [room.name for room in schedule.rooms] == ["Red", "Blue"]


def test_sessionize_times_with_z_need_no_zone():
    schedule = read({"sessions": [service("1", "2024-05-01T09:00:00Z")]})
    assert (schedule.sessions[0].starts_at, schedule.timezone) == (utc(2024, 5, 1, 9), None)


def test_sessionize_grid_says_everything_twice_and_plenum_sessions_in_every_room():
    talk = service("1", "2024-05-01T09:00:00", room="Red", speakers=[{"id": "p1", "name": "Ada"}])
    plenum = service("2", "2024-05-01T11:00:00", isPlenumSession=True, room="Red")
    for each in (talk, plenum):
        each["roomId"] = 1
    grid = [{
        "date": "2024-05-01T00:00:00",
        "rooms": [{"id": 1, "name": "Red", "sessions": [talk, plenum]},
                  {"id": 2, "name": "Blue", "sessions": [plenum]}],
        "timeSlots": [{"slotStart": "09:00:00", "rooms": [{"id": 1, "name": "Red", "session": talk}]},
                      {"slotStart": "11:00:00", "rooms": [{"id": 1, "name": "Red", "session": plenum}]}],
    }]  # fmt: skip
    schedule = read(grid, "Europe/London")
    assert [(each.external_id, each.room) for each in schedule.sessions] == [("1", "1"), ("2", "1")]
    assert [(room.external_id, room.name) for room in schedule.rooms] == [("1", "Red")]
    assert [person.name for person in schedule.speakers] == ["Ada"]


def test_sessionize_groups_are_read():
    talk = service("1", "2024-05-01T09:00:00") | {"room": "Red", "roomId": None}
    talk["categories"] = [{"name": "Track", "categoryItems": [{"name": "Web"}]}]
    schedule = read([{"groupId": None, "groupName": "All", "sessions": [talk]}], "UTC")
    assert [(each.title, each.room, each.track) for each in schedule.sessions] == [("S1", "Red", "Web")]


def test_sessionize_statuses_and_missing_times():
    sample = {"sessions": [
        service("1", "2024-05-01T09:00:00", status="Accepted"),
        service("2", "2024-05-01T09:00:00", status="Declined"),
        service("3", "2024-05-01T09:00:00", status="Accept_Queue"),
        service("4", "2024-05-01T09:00:00") | {"startsAt": None},
        service("5", "2024-05-01T09:00:00") | {"endsAt": "0001-01-01T00:00:00"},
        service("6", "2024-05-01T09:00:00") | {"endsAt": None},
        service("7", "2024-05-01T09:00:00") | {"endsAt": "2024-05-01T08:00:00"},
    ]}  # fmt: skip
    schedule = read(sample, "UTC")
    assert titles(schedule) == ["S1", "S6"]
    assert reasons(schedule) == [
        ("4 S4", "it has no start"),
        ("5 S5", "“0001-01-01T00:00:00” is not a possible date"),
        ("7 S7", "it ends (2024-05-01 08:00 UTC) before it starts (2024-05-01 09:00 UTC)"),
    ]
    assert schedule.notes == (
        "2 submissions that are not confirmed were left out (1 accept_queue, 1 declined).",
        "1 session without an end got zero length.",
    )


def test_sessionize_keyed_files_are_read_from_folder_and_zip(tmp_path):
    keyed = {each["id"]: {key: value for key, value in each.items() if key != "id"} for each in ALL["sessions"]}
    parts = {"speakers": {each["id"]: each for each in ALL["speakers"]}, "rooms": ALL["rooms"], "sessions": keyed}
    for name, value in parts.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    whole = read(ALL, "Europe/Vienna").sessions
    for schedule in (
        read_schedule(tmp_path, "Europe/Vienna"),
        read(zipped({f"export/{name}.json": value for name, value in parts.items()}), "Europe/Vienna"),
    ):
        assert [each.external_id for each in schedule.sessions] == [each.external_id for each in whole]
        assert [each.speakers for each in schedule.sessions] == [each.speakers for each in whole]
        assert [room.name for room in schedule.rooms] == ["Red", "Blue"]


def test_sessionize_speakers_alone_are_refused():
    assert refusal([{"id": "p1", "fullName": "Ada", "sessions": [1]}]) == (
        "This is Sessionize's list of speakers, without times; export the view “All”."
    )


# -------------------------------------------------------------------------------------- Open Event


def open_event(spelling: str) -> dict[str, object]:
    dash = spelling == "2017"
    start, end = ("starts-at", "ends-at") if dash else ("start_time", "end_time")

    def session(key, state="accepted", **more):
        return {"id": key, "title": f"T{key}", "state": state, start: "2017-05-17T09:00:00-07:00",
                end: "2017-05-17T10:00:00-07:00", "short-abstract" if dash else "short_abstract": "Short",
                "track": {"id": 1, "name": "Web"}, "session-type" if dash else "session_type": {"name": "Talk"},
                "microlocation": {"id": "3", "name": "Room 3   "}, "comments": "between us",
                "speakers": [{"id": 1, "name": "Ada "}]} | more  # fmt: skip

    return {
        "event": {"id": 1, "name": "Py", "timezone": "US/Pacific", start: "2017-05-17T10:00:00-07:00",
                  end: "2017-05-20T10:00:00-07:00", "identifier": "7d16", "location_name": "Hall, Street"},
        "sessions": [session(1), session(2, "confirmed", microlocation=None), session(3, "rejected"),
                     session(4, "pending"), session(5, "draft"), session(6, "canceled"), session(7, "withdrawn"),
                     session(8, **{end: "2017-05-17T08:00:00-07:00"})],
        "speakers": [{"id": 1, "name": "Ada", "short-biography": "Bio", "photo-url": "/images/a.jpg"}],
        "microlocations": [{"id": 3, "name": "Room 3"}, {"id": 4, "name": "Room 4"}],
        "tracks": [], "session_types": [],
    }  # fmt: skip


@pytest.mark.parametrize("spelling", ["2017", "2018"])
@pytest.mark.parametrize("suffix", [".json", ""])
def test_open_event_is_read_in_both_spellings(spelling, suffix):
    files = {name + suffix: value for name, value in open_event(spelling).items()}
    schedule = read(zipped(files | {"images/a.jpg": b"\xff\xd8"}))
    assert (schedule.title, schedule.slug, schedule.venue) == ("Py", "7d16", "Hall, Street")
    assert (schedule.timezone, schedule.starts_at) == ("US/Pacific", utc(2017, 5, 17, 17))
    assert [(each.external_id, each.room, each.track) for each in schedule.sessions] == [
        ("1", "3", "Web"),
        ("2", "", "Web"),
    ]
    assert (schedule.sessions[0].abstract, schedule.sessions[0].session_type) == ("Short", "Talk")
    assert [room.name for room in schedule.rooms] == ["Room 3", "Room 4"]
    assert [(each.external_id, each.name) for each in schedule.speakers] == [("1", "Ada")]
    assert [problem.item for problem in schedule.problems] == ["8 T8"]
    assert schedule.notes[0] == (
        "5 submissions that are not confirmed were left out (1 canceled, 1 draft, 1 pending, 1 rejected, 1 withdrawn)."
    )


def test_open_event_in_a_folder_with_a_broken_part_names_it(tmp_path):
    for name, value in open_event("2018").items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    assert len(read_schedule(tmp_path).sessions) == 2
    (tmp_path / "speakers.json").write_text('[\n{"id": 1,\n')
    with pytest.raises(ScheduleError, match=r"^speakers\.json is broken JSON: .* at line 3"):
        read_schedule(tmp_path)


# --------------------------------------------------------------------------------------- iCalendar


def ics(*events: str, head="") -> str:
    body = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{head}{body}END:VCALENDAR\n"


def test_ical_reads_every_field():
    schedule = read(
        ics(
            "UID:1@x\nDTSTART;TZID=Europe/Paris:20240601T100000\nDTEND;TZID=Europe/Paris:20240601T110000\n"
            "SUMMARY:A\\, B\nLOCATION:Hall\nDESCRIPTION:one\\ntwo\nCATEGORIES:Web,Data\nURL:https://example.org/1",
            head="X-WR-CALNAME:Cal\nX-WR-CALDESC:About\n",
        )
    )
    session = schedule.sessions[0]
    assert (schedule.title, schedule.description, schedule.timezone) == ("Cal", "About", "Europe/Paris")
    assert (session.external_id, session.title, session.room) == ("1@x", "A, B", "Hall")
    assert (session.starts_at, session.ends_at) == (utc(2024, 6, 1, 8), utc(2024, 6, 1, 9))
    assert (session.abstract, session.track, session.url) == ("one\ntwo", "Web, Data", "https://example.org/1")


@pytest.mark.parametrize(
    "lines, end",
    [
        ("DTSTART:20240601T100000Z\nDURATION:PT45M", utc(2024, 6, 1, 10, 45)),
        ("DTSTART:20240601T100000Z", utc(2024, 6, 1, 10)),
        ("DTSTART;VALUE=DATE:20240601", utc(2024, 6, 1, 22)),
        ("DTSTART;VALUE=DATE:20240601\nDTEND;VALUE=DATE:20240603", utc(2024, 6, 2, 22)),
        ("DTSTART;VALUE=DATE:20240601\nDURATION:P2D", utc(2024, 6, 2, 22)),
        ("DTSTART;VALUE=DATE:20240330\nDURATION:P2D", utc(2024, 3, 31, 22)),
        ("DTSTART:20240601T100000\nDTEND:20240601T113000", utc(2024, 6, 1, 9, 30)),
    ],
)
def test_ical_end_is_found(lines, end):
    assert read(ics(f"UID:1\n{lines}\nSUMMARY:x"), "Europe/Berlin").sessions[0].ends_at == end


def test_ical_floating_times_need_a_zone():
    floating = ics("UID:1\nDTSTART:20240601T100000\nSUMMARY:x")
    assert "--timezone" in refusal(floating)
    assert "--timezone" in refusal(ics("UID:1\nDTSTART;VALUE=DATE:20240601\nSUMMARY:x"))
    assert read(ics("UID:1\nDTSTART:20240601T100000", head="X-WR-TIMEZONE:Asia/Tokyo\n")).sessions[0].starts_at == (
        utc(2024, 6, 1, 1)
    )


def test_ical_zone_defined_in_the_file_counts():
    zone = (
        "BEGIN:VTIMEZONE\nTZID:Our Zone\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0330\n"
        "TZOFFSETTO:+0330\nEND:STANDARD\nEND:VTIMEZONE\n"
    )
    schedule = read(ics("UID:1\nDTSTART;TZID=Our Zone:20240601T100000\nSUMMARY:x", head=zone))
    assert (schedule.sessions[0].starts_at, schedule.timezone) == (utc(2024, 6, 1, 6, 30), None)


def test_ical_cancelled_events_and_empty_titles():
    schedule = read(
        ics(
            "UID:1\nDTSTART:20240601T100000Z\nSTATUS:CANCELLED\nSUMMARY:Gone",
            "UID:2\nDTSTART:20240601T100000Z\nSTATUS:CONFIRMED\nSUMMARY:",
        )
    )
    assert [(each.title, each.cancelled) for each in schedule.sessions] == [("Gone", True), ("(untitled)", False)]
    assert "2 sessions without an end got zero length." in schedule.notes


def test_ical_bad_events_are_left_out():
    schedule = read(
        ics(
            "UID:1\nSUMMARY:No start",
            "UID:2\nDTSTART:yesterday\nSUMMARY:Nonsense",
            "UID:3\nDTSTART:20240601T100000Z\nDTEND:20240601T090000Z\nSUMMARY:Backwards",
            "UID:4\nDTSTART:20240601T100000Z\nDURATION:PT5X\nSUMMARY:Odd",
            "UID:5\nDTSTART:20240601T100000Z\nDTEND:20240601T110000Z\nSUMMARY:Good\nnot a line",
        )
    )
    assert titles(schedule) == ["Good"]
    assert reasons(schedule) == [
        ("1 No start", "it has no start"),
        ("2 Nonsense", "its DTSTART “yesterday” can't be read"),
        ("3 Backwards", "it ends (2024-06-01 09:00 UTC) before it starts (2024-06-01 10:00 UTC)"),
        ("4 Odd", "its DURATION “PT5X” can't be read"),
    ]


def test_ical_series_is_unrolled_with_exceptions_moves_and_additions():
    schedule = read(
        ics(
            "UID:s\nDTSTART;TZID=Europe/Berlin:20240325T100000\nDTEND;TZID=Europe/Berlin:20240325T110000\n"
            "RRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20240408T100000\n"
            "RDATE;TZID=Europe/Berlin:20240420T100000\nSUMMARY:Weekly",
            "UID:s\nRECURRENCE-ID;TZID=Europe/Berlin:20240401T100000\nDTSTART;TZID=Europe/Berlin:20240402T120000\n"
            "DTEND;TZID=Europe/Berlin:20240402T130000\nSUMMARY:Moved",
        )
    )
    assert sorted((each.starts_at, each.title, each.external_id) for each in schedule.sessions) == [
        (utc(2024, 3, 25, 9), "Weekly", "s@20240325T0900Z"),
        (utc(2024, 4, 2, 10), "Moved", "s@20240401T0800Z"),  # known by when it was planned
        (utc(2024, 4, 15, 8), "Weekly", "s@20240415T0800Z"),
        (utc(2024, 4, 20, 8), "Weekly", "s@20240420T0800Z"),
    ]


def test_ical_series_whose_times_are_all_excluded_has_none():
    series = "UID:s\nDTSTART:20240101T100000Z\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE:20240101T100000Z,20240102T100000Z"
    assert titles(read(ics(series, "UID:1\nDTSTART:20240101T100000Z\nSUMMARY:x"))) == ["x"]


def test_ical_series_without_end_is_taken_for_a_year():
    schedule = read(ics("UID:s\nDTSTART:20240101T100000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY\nSUMMARY:Weekly"))
    assert len(schedule.sessions) == 53
    assert schedule.notes[0] == "“Weekly” goes on; its first 53 times were taken."


@pytest.mark.parametrize(
    "rule, reason",
    [
        ("FREQ=SECONDLY", "it recurs more often than daily"),
        ("FREQ=DAILY;BYMINUTE=1,2,3", "it recurs more often than daily"),
        ("FREQ=DAILY;INTERVAL=0", "its INTERVAL is not possible"),
        ("FREQ=OFTEN", "its recurrence can't be read"),
    ],
)
def test_ical_series_that_would_never_end_is_taken_once(rule, reason):
    schedule = read(ics(f"UID:s\nDTSTART:20240101T100000Z\nDURATION:PT1H\nRRULE:{rule}\nSUMMARY:Odd"))
    assert titles(schedule) == ["Odd"]
    assert schedule.notes[0] == f"“Odd”: {reason}; only its first time was taken."


def test_ical_uid_of_two_unrelated_events_is_kept_apart():
    schedule = read(
        ics("UID:1\nDTSTART:20240601T100000Z\nSUMMARY:A", "UID:1\nDTSTART:20240601T120000Z\nSUMMARY:B\nLOCATION:X")
    )
    assert [each.external_id for each in schedule.sessions] == ["1@@20240601T1000Z", "1@X@20240601T1200Z"]


def test_ical_lines_folded_inside_a_character_are_read():
    folded = ics("UID:1\nDTSTART:20240601T100000Z\nSUMMARY:Caf\u00e9").encode().replace(b"\xc3\xa9", b"\xc3\r\n \xa9")
    assert titles(read(folded)) == ["Café"]


def test_ical_that_breaks_off_is_refused_with_its_line():
    assert refusal("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n") == (
        "The calendar breaks off at line 4: its VEVENT has no end."
    )
    assert refusal("BEGIN:VCALENDAR\nEND:VEVENT\n") == "The calendar is broken at line 2: “END:VEVENT” ends nothing."


# ---------------------------------------------------------------------------------- whole files refused


NO_CSV = (
    "No known schedule format: neither XML, JSON nor iCalendar. "
    "Spreadsheets and CSV differ from conference to conference and can't be read."
)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "The file is empty."),
        (b"\xef\xbb\xbf \n", "The file is empty."),
        (b'{"a": 1,\n "b" 2}', "The file is broken JSON: Expecting ':' delimiter at line 2, column 6."),
        (b"<schedule>\n<day>\n</schedule>", "The file is broken XML: mismatched tag: line 3, column 2."),
        (b"<!DOCTYPE html><html></html>", "This is a web page, not a schedule file; download the export itself."),
        (b"ID,Title,Date\n1,Talk,2024-06-01\n", NO_CSV),
        (b"<schedule><day date='2024-06-01'/></schedule>", "There are no sessions in this file."),
        (b"BEGIN:VCALENDAR\nEND:VCALENDAR\n", "There are no sessions in this file."),
        (b"PK\x03\x04broken", "The archive is broken: File is not a zip file."),
        (b"[" * 100_000, None),
        (b'{"schedule": {"conference": ' + b'{"a":' * 100_000, None),
        (b'{"talks": ' + b"9" * 10_000 + b"}", None),
    ],
)  # fmt: skip
def test_file_that_is_broken_or_unknown_is_refused(data, message):
    assert refusal(data) == message or message is None


def test_json_of_one_conference_only_is_refused_with_what_it_holds():
    message = refusal({"sessions": [{"id": 1, "startsAt": "2025-05-21T08:00", "location": "x"}], "speakers": []})
    assert message.startswith(
        "No known schedule format: JSON, an object with sessions, speakers; maybe one conference's"
    )


def test_file_with_nothing_but_problems_is_refused_with_the_first():
    assert refusal(xml(xml_event(start=""))) == (
        "No session in this file can be used; the first, 1 Talk: it has no start."
    )


def test_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ScheduleError, match="No such file"):
        read_schedule(tmp_path / "none.xml")


def test_zip_with_one_schedule_in_it_is_read():
    assert titles(read(zipped({"calendar.ics": ics("UID:1\nDTSTART:20240601T100000Z\nSUMMARY:x").encode()}))) == ["x"]


def test_formats_sniff_only_their_own():
    names = [module.NAME for module in FORMATS]
    assert names == ["frab XML", "c3 JSON", "pretalx JSON", "Open Event JSON", "Sessionize JSON", "iCalendar"]
    assert [read(each, "UTC").format for each in samples()] == [
        "frab XML", "c3 JSON", "pretalx JSON", "pretalx JSON", "Open Event JSON", "Sessionize JSON", "iCalendar",
    ]  # fmt: skip


# -------------------------------------------------------------------------------------- real files

# In the file several spellings of a room's name share one room id.
ROOMS_BY_ID = {"pycon-us-2017.open-event": "18"}
ONE_OFF = {"kotlinconf-2025.json", "sitcon-2021.json", "droidcon-italy-2025.csv"}


def needs_zone(row: dict) -> bool:
    return row["timezone_from"].startswith(("known", "times in UTC", "none"))


def test_real_files_give_the_expected_counts(schedules):
    rows = list(csv.DictReader((schedules / "expected-counts.csv").open()))
    assert len(rows) == 23
    for row in rows:
        name = row["file"]
        zone = row["timezone"].split()[0]
        if name in ONE_OFF:
            with pytest.raises(ScheduleError, match="^No known schedule format"):
                read_schedule(schedules / name, zone)
            continue
        schedule = read_schedule(schedules / name, zone if needs_zone(row) else None)
        sessions = schedule.sessions
        local = ZoneInfo(schedule.timezone)
        found = {
            "sessions": len(sessions) + len(schedule.problems),
            "rooms_used": len({each.room for each in sessions if each.room}),
            "days_local": len({each.starts_at.astimezone(local).date() for each in sessions}),
            "first_start_utc": f"{min(each.starts_at for each in sessions):%Y-%m-%dT%H:%M:%SZ}",
            "last_end_utc": f"{max(each.ends_at for each in sessions):%Y-%m-%dT%H:%M:%SZ}",
        }
        if row["speakers"]:
            found["speakers"] = len(schedule.speakers)
        expected = {key: row[key] for key in found} | (
            {"rooms_used": ROOMS_BY_ID[name]} if name in ROOMS_BY_ID else {}
        )  # fmt: skip
        assert (name, {key: str(value) for key, value in found.items()}) == (name, expected)
        assert (name, len(schedule.problems)) == (name, int(row["end_before_start"] or 0))
        assert (name, len({each.external_id for each in sessions})) == (name, len(sessions))
        keys = {person.external_id for person in schedule.speakers}
        assert all(keys.issuperset(each.speakers) for each in sessions)


def test_real_republish_changes_what_really_changed(schedules):
    before, after = (
        {each.external_id: each for each in read_schedule(schedules / name).sessions}
        for name in ("fosdem-2025.earlier.penta.xml", "fosdem-2025.penta.xml")
    )
    moved = [key for key in before.keys() & after.keys() if before[key].starts_at != after[key].starts_at]
    assert (len(after.keys() - before.keys()), len(before.keys() - after.keys()), len(moved)) == (6, 3, 1)
    assert [after[key].starts_at for key in moved] == [utc(2025, 2, 1, 17)]


def test_real_widget_republish_keeps_talks_apart_from_slots(schedules):
    before, after = (
        {each.external_id for each in read_schedule(schedules / name).sessions if "@" not in each.external_id}
        for name in ("devopsdays-lima-2026.earlier.pretalx-widget.json", "devopsdays-lima-2026.pretalx-widget.json")
    )
    assert (len(before), len(after), len(after - before), before - after) == (82, 96, 15, {"9TT93H"})


def test_real_files_with_naive_times_are_refused_without_a_zone(schedules):
    for name in ("fosdem-2013.penta.xml", "europython-2014.custom.xml", "azure-bootcamp-linz-2021.sessionize-all.json"):
        with pytest.raises(ScheduleError, match="--timezone"):
            read_schedule(schedules / name)


def test_real_titles_cancel_one_session_of_fosdem_2013(schedules):
    schedule = read_schedule(schedules / "fosdem-2013.penta.xml", "Europe/Brussels")
    assert [each.external_id for each in schedule.sessions if each.cancelled] == ["1196"]


# ------------------------------------------------------------------------------------------ fuzzing

JUNK = [None, "", "x", 0, -1, 10**30, 1e308, True, [], {}, [[]], [None], {"": None}, "\ud800", "2024-99-99T00:00:00",
        "9999-12-31T23:59:59-12:00", ["x"], {"en": []}, [[[[[[]]]]]]]  # fmt: skip


def samples() -> list:
    """One good document of every shape."""
    persons = '<persons><person id="1">Ada</person></persons>'
    return [
        xml(xml_event(extra=persons), xml_event("2", date="2024-06-01T11:00:00+02:00")),
        c3({"id": 3, "title": "T", "date": "2024-06-01T10:00:00+02:00", "duration": "00:30",
            "persons": [{"id": 8, "public_name": "Ada"}]}, rooms=[{"name": "Hall", "capacity": 3}]),
        WIDGET,
        {"schedule": {"2024-11-02": {"540": {"1": submission("A")}}}, "rooms": [{"id": 1, "name": {"en": "GAM"}}]},
        open_event("2018"),
        ALL,
        ics("UID:1\nDTSTART:20240601T100000Z\nDTEND:20240601T110000Z\nSUMMARY:x\nRRULE:FREQ=DAILY;COUNT=3"),
    ]  # fmt: skip


def read_or_refuse(data: bytes) -> None:
    try:
        parse(data, "fuzz", "Europe/Berlin")
    except ScheduleError as error:
        # The net at the very outside is for what nobody foresaw; known formats must not need it.
        assert "can't be read (" not in str(error), data


def mutate(value, chance: random.Random):
    """A copy with some one thing in it replaced by junk, or left out."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        copy = value.copy()
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        if chance.random() < 0.1:
            del copy[key]
        else:
            copy[key] = mutate(value[key], chance)
        return copy
    return chance.choice(JUNK)


def test_fuzz_json_with_wrong_types_is_read_or_refused():
    chance = random.Random(20240601)
    for sample in samples():
        for _ in range(400 if isinstance(sample, dict) else 0):
            value = sample
            for _ in range(chance.randint(1, 3)):
                value = mutate(value, chance)
            read_or_refuse(json.dumps(value).encode())


def test_fuzz_text_with_damage_is_read_or_refused():
    chance = random.Random(20240602)
    for sample in samples():
        data = (sample if isinstance(sample, str) else json.dumps(sample)).encode()
        for _ in range(150):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(damaged))
                damaged[at : at + chance.randint(0, 6)] = chance.randbytes(chance.randint(0, 3))
            read_or_refuse(bytes(damaged))


def test_fuzz_real_files_cut_off_anywhere_are_refused(schedules):
    files = [path for path in schedules.rglob("*") if path.suffix in (".xml", ".json", ".ics")]
    assert len(files) >= 27
    for path in files:
        data = path.read_bytes().rstrip()
        for part in range(20):
            with pytest.raises(ScheduleError):
                parse(data[: len(data) * part // 20], path.name, "UTC")


def test_fuzz_real_json_with_wrong_types_is_read_or_refused(schedules):
    chance = random.Random(20240603)
    for path in schedules.glob("*.json"):
        sample = json.loads(path.read_bytes())
        for _ in range(40):
            value = sample
            for _ in range(10):
                value = mutate(value, chance)
            read_or_refuse(json.dumps(value).encode())
