import os
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import close_old_connections, connection
from django.db.models import ProtectedError
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from attendance.models import Attendee
from config.errors import SYSTEM, NotFound
from events.importers import Problem, RoomItem, Schedule, SessionItem, SpeakerItem, read_schedule
from events.models import Event, Room, Session, Speaker
from events.operations import schedules
from events.operations.schedules import Change, Entry, Gone, ScheduleHasProblems, plan
from events.views import imports

from .. import factories

NINE = datetime(2030, 5, 1, 9, tzinfo=UTC)


def talk(key, *, hour=0, minutes=45, **fields) -> SessionItem:
    starts = NINE + timedelta(hours=hour)
    fields = {"title": f"Talk {key}", "starts_at": starts, "ends_at": starts + timedelta(minutes=minutes)} | fields
    return SessionItem(external_id=key, **fields)


def schedule_of(*sessions, **fields) -> Schedule:
    defaults = {
        "format": "Test",
        "title": "Little Conf",
        "slug": "littleconf",
        "description": "",
        "venue": "",
        "timezone": "Europe/Berlin",
        "starts_at": None,
        "ends_at": None,
        "rooms": (),
        "speakers": (),
        "problems": (),
        "notes": (),
        "ignored": (),
    }
    return Schedule(sessions=sessions, **defaults | fields)


@pytest.fixture
def organization(db):
    return factories.OrganizationFactory()


@pytest.fixture
def load(organization):
    """``load(schedule, …)``: the import's report."""

    def load(schedule, **arguments):
        arguments = {"organization": organization, "actor": SYSTEM} | arguments
        return schedules.import_schedule(schedule=schedule, **arguments)

    return load


def outcome(report):
    """What a preview and the real thing must agree on."""
    return report.added, report.changed, report.unchanged, report.gone, report.left_out, report.notes


def nothing_but_unchanged(report):
    return (report.added, report.changed, report.gone) == ([], [], [])


# -- A new event -----------------------------------------------------------------------------


def test_import_schedule_makes_a_draft_event(load, organization):
    details = {"abstract": "A", "session_type": "Talk", "track": "Main", "language": "de"}
    details["url"] = "https://example.org/1"
    report = load(
        schedule_of(
            talk("1", room="r1", speakers=("ada", "bob"), **details),
            talk("2", hour=2, cancelled=True),
            description="What it is about",
            venue="Town hall",
            rooms=(RoomItem("r1", "Hall", 200, "Upstairs"), RoomItem("r2", "Cellar")),
            speakers=(SpeakerItem("ada", "Ada", "Counts.", "https://example.org/ada.jpg"), SpeakerItem("bob", "Bob")),
        )
    )
    event = Event.objects.get()
    assert report.event_id == event.pk
    assert report.created is True
    assert report.table() == [("rooms", 2, 0, 0, 0), ("speakers", 2, 0, 0, 0), ("sessions", 2, 0, 0, 0)]
    assert (event.organization, event.slug, event.title, event.status) == (
        organization, "littleconf", "Little Conf", Event.Status.DRAFT,
    )  # fmt: skip
    assert (event.description, event.venue, event.timezone) == ("What it is about", "Town hall", "Europe/Berlin")
    assert (event.starts_at, event.ends_at) == (NINE, NINE + timedelta(hours=2, minutes=45))
    assert list(event.rooms.values_list("name", "capacity", "description")) == [
        ("Cellar", None, ""), ("Hall", 200, "Upstairs"),
    ]  # fmt: skip
    assert list(event.speakers.values_list("name", "biography", "photo_url")) == [
        ("Ada", "Counts.", "https://example.org/ada.jpg"), ("Bob", "", ""),
    ]  # fmt: skip
    first, second = event.sessions.all()
    assert (first.title, first.abstract, first.session_type, first.track, first.language, first.url) == (
        "Talk 1", "A", "Talk", "Main", "de", "https://example.org/1",
    )  # fmt: skip
    assert (first.room.name, [one.name for one in first.speakers.all()]) == ("Hall", ["Ada", "Bob"])
    assert (first.status, second.status) == ("scheduled", "cancelled")


def test_import_schedule_writes_history_with_person_and_reason(load, organization):
    person = factories.member(organization, "organizer")
    load(schedule_of(talk("1")), actor=person)
    assert Event.history.get().history_user == Session.history.get().history_user == person
    assert Event.history.get().history_change_reason == Session.history.get().history_change_reason
    assert Session.history.get().history_change_reason == schedules.IMPORTED


def test_import_schedule_without_zone_takes_utc_and_asks_for_one(load, shared_data):
    report = load(read_schedule(shared_data / "schedules" / "kielux-2020.ics"))
    assert Event.objects.get().timezone == "UTC"
    assert report.notes == ["The file has only UTC offsets; set the event's time zone."]
    Event.objects.update(timezone="Europe/Berlin")
    assert load(read_schedule(shared_data / "schedules" / "kielux-2020.ics")).notes == []


def test_import_schedule_of_zero_length_makes_an_event_of_a_minute(load):
    load(schedule_of(talk("1", minutes=0)))
    event = Event.objects.get()
    assert event.ends_at - event.starts_at == timedelta(minutes=1)
    assert event.sessions.get().ends_at == event.sessions.get().starts_at


def test_import_schedule_numbers_a_taken_short_name(load):
    factories.EventFactory(slug="littleconf")
    load(schedule_of(talk("1")))
    load(schedule_of(talk("1"), slug="", title="日本語"))
    assert set(Event.objects.values_list("slug", flat=True)) == {"littleconf", "littleconf-2", "event"}


def test_import_schedule_keeps_rooms_of_one_name_apart(load):
    same = schedule_of(talk("1", room="b"), rooms=(RoomItem("a", "Hall"), RoomItem("b", "Hall")))
    load(same)
    assert dict(Room.objects.values_list("external_id", "name")) == {"a": "Hall", "b": "Hall (2)"}
    assert Session.objects.get().room.external_id == "b"
    other_order = replace(same, rooms=same.rooms[::-1])
    assert nothing_but_unchanged(load(other_order))


def test_import_schedule_cuts_what_is_too_long_and_drops_bad_addresses(load):
    report = load(
        schedule_of(
            talk("1", track="t" * 400, language="l" * 40, url="javascript:alert(1)"),
            title="T" * 400,
            slug="s" * 400,
            venue="v" * 400,
            rooms=(RoomItem("r", "R" * 400),),
            speakers=(SpeakerItem("s", "S" * 400, photo_url="photos/s.jpg"),),
        )
    )
    event, session = Event.objects.get(), Session.objects.get()
    assert event.title == "T" * 299 + "…"
    assert (len(event.slug), len(event.venue)) == (70, 300)
    assert session.track == "t" * 299 + "…"
    assert session.language == "l" * 34 + "…"
    assert (session.url, Speaker.objects.get().photo_url) == ("", "")
    assert len(Room.objects.get().name) == len(Speaker.objects.get().name) == 300
    assert len(report.notes) == 2
    assert report.notes[0].startswith("Cut, because too long: the event's title, the venue, a room's name")
    assert report.notes[1].startswith("No valid web address, so left out: photos/s.jpg (SSSS")


def test_import_schedule_leaves_out_bad_items_unless_strict(load):
    bad = schedule_of(talk("1"), problems=(Problem("2 Talk 2", "it ends before it starts"),))
    with pytest.raises(ScheduleHasProblems) as refused:
        load(bad, strict=True)
    assert str(refused.value) == (
        "Nothing was imported, because 1 of the schedule's items can't be used: 2 Talk 2: it ends before it starts"
    )
    assert Event.objects.count() == 0
    assert load(bad).left_out == [Problem("2 Talk 2", "it ends before it starts")]
    assert Session.objects.count() == 1


def test_import_schedule_dry_run_tells_the_same_and_writes_nothing(load):
    first = schedule_of(talk("1", room="r"), talk("2"), rooms=(RoomItem("r", "Hall"),))
    later = schedule_of(talk("1", title="New"), talk("3"))
    preview = load(first, dry_run=True)
    assert (Event.objects.count(), Session.objects.count(), preview.event_id) == (0, 0, None)
    assert outcome(load(first)) == outcome(preview)
    before = list(Session.objects.values()), list(Room.objects.values())
    preview = load(later, dry_run=True)
    assert (list(Session.objects.values()), list(Room.objects.values())) == before
    assert outcome(load(later)) == outcome(preview)
    assert preview.changed != []


def test_import_schedule_tells_its_progress(load):
    steps = []
    load(schedule_of(talk("1"), talk("2"), rooms=(RoomItem("r", "Hall"),)), progress=steps.append)
    assert sum(steps) == 3


# -- The same event again ----------------------------------------------------------------------


def test_import_schedule_again_changes_nothing(load):
    same = schedule_of(
        talk("1", room="r", speakers=("s",)), rooms=(RoomItem("r", "Hall", 20),), speakers=(SpeakerItem("s", "Ada"),)
    )
    load(same)
    report = load(same)
    assert nothing_but_unchanged(report)
    assert report.unchanged == Counter(room=1, speaker=1, session=1)
    assert (Event.objects.count(), Event.history.count(), Session.history.count()) == (1, 1, 1)


def test_import_schedule_again_tells_exactly_what_changed(load):
    rooms = RoomItem("r", "Hall"), RoomItem("q", "Cellar")
    people = SpeakerItem("ada", "Ada"), SpeakerItem("bob", "Bob")
    load(
        schedule_of(
            talk("1", room="r", speakers=("ada",)), talk("2", abstract="Old"), talk("3"), rooms=rooms, speakers=people
        )
    )
    report = load(
        schedule_of(
            talk("1", hour=1, room="q", speakers=("bob", "ada")),
            talk("2", abstract="New"),
            talk("4"),
            rooms=(RoomItem("r", "Great hall", 90), rooms[1]),
            speakers=people,
        )
    )
    hour, slot = timedelta(hours=1), timedelta(minutes=45)
    assert report.added == [Entry("session", "4", "Talk 4")]
    assert report.changed == [
        Change("event", "littleconf", "Little Conf", {"ends_at": (NINE + slot, NINE + hour + slot)}),
        Change("room", "r", "Great hall", {"name": ("Hall", "Great hall"), "capacity": (None, 90)}),
        Change(
            "session",
            "1",
            "Talk 1",
            {
                "room": ("Hall", "Cellar"),
                "starts_at": (NINE, NINE + hour),
                "ends_at": (NINE + slot, NINE + hour + slot),
                "speakers": (["Ada"], ["Ada", "Bob"]),
            },
        ),
        Change("session", "2", "Talk 2", {"abstract": ("Old", "New")}),
    ]
    assert report.gone == [Gone("session", "3", "Talk 3", cancelled=False)]
    assert report.unchanged == Counter(room=1, speaker=2)
    assert set(Session.objects.values_list("external_id", "abstract")) == {("1", ""), ("2", "New"), ("4", "")}
    assert Session.history.filter(history_type="-").values_list("external_id", "history_change_reason").get() == (
        "3", schedules.IMPORTED,
    )  # fmt: skip


def test_import_schedule_of_a_real_republish(load, shared_data):
    folder = shared_data / "schedules"
    began = time.monotonic()
    load(read_schedule(folder / "fosdem-2025.earlier.penta.xml"))
    assert time.monotonic() - began < 5  # 0.4 s alone on two cores
    assert (Session.objects.count(), Speaker.objects.count(), Room.objects.count()) == (940, 985, 40)
    report = load(read_schedule(folder / "fosdem-2025.penta.xml"))
    number = {
        one.get("guid"): one.get("id")
        for name in ("fosdem-2025.earlier.penta.xml", "fosdem-2025.penta.xml")
        for one in ElementTree.parse(folder / name).iter("event")
    }

    def numbers(entries):
        return {number[one.external_id] for one in report.of("session", entries)}

    changed = {number[one.external_id]: set(one.fields) for one in report.of("session", report.changed)}
    assert Event.objects.count() == 1
    assert numbers(report.added) == {"5094", "5456", "5929", "6604", "6657", "6738"}
    assert numbers(report.gone) == {"4385", "4865", "5358"}
    assert changed.pop("5289") == {"starts_at", "ends_at"}
    assert Counter(name for fields in changed.values() for name in fields) == Counter(
        speakers=5, title=1, abstract=1, url=1
    )
    assert report.table() == [("rooms", 0, 0, 40, 0), ("speakers", 10, 1, 981, 3), ("sessions", 6, 6, 931, 3)]
    assert (Session.objects.count(), Speaker.objects.count()) == (943, 992)
    assert nothing_but_unchanged(load(read_schedule(folder / "fosdem-2025.penta.xml")))


def test_import_schedule_of_a_big_real_republish(load, shared_data):
    folder = shared_data / "schedules"
    old = read_schedule(folder / "devopsdays-lima-2026.earlier.pretalx-widget.json")
    new = read_schedule(folder / "devopsdays-lima-2026.pretalx-widget.json")
    event_id = load(old).event_id
    rooms_before = dict(Session.objects.values_list("external_id", "room__name"))
    report = load(new, event_id=event_id)
    coded = {one.external_id for one in (*old.sessions, *new.sessions) if "@" not in one.external_id}

    def with_code(entries):
        return [one for one in report.of("session", entries) if one.external_id in coded]

    rooms_now = dict(Session.objects.values_list("external_id", "room__name"))
    assert len(with_code(report.added)) == 15
    assert [one.external_id for one in with_code(report.gone)] == ["9TT93H"]
    assert sum({"starts_at", "ends_at"} & set(one.fields) != set() for one in with_code(report.changed)) == 19
    assert sum("title" in one.fields for one in with_code(report.changed)) == 3
    assert sum(rooms_now.get(key, name) != name for key, name in rooms_before.items() if key in coded) == 71
    assert len(report.of("room", report.changed)) == 5
    assert (Session.objects.count(), Speaker.objects.count()) == (112, 91)
    assert not report.of("event", report.changed)
    assert nothing_but_unchanged(load(new, event_id=event_id))


def test_import_schedule_of_every_real_file_can_be_repeated(load, shared_data):
    zones = {"fosdem-2013": "Europe/Brussels", "azure": "Europe/Vienna", "droidcon-london": "Europe/London"}
    expected = {"31c3-2014": 138, "debconf-2023": 117, "cccamp-2019": 79, "democon-2020": 36, "anyconf-2024": 2,
                "pyconfr-2024": 68, "pycon-us-2017": 141, "lca-2020": 262, "kielux-2020": 24, "pyconuk-2015": 162,
                "fosdem-2013": 487, "azure": 37, "droidcon-london": 137}  # fmt: skip
    for start, sessions in expected.items():
        [path] = (shared_data / "schedules").glob(f"{start}*")
        schedule = read_schedule(path, zones.get(start))
        report = load(schedule)
        assert (start, Session.objects.filter(event=report.event_id).count()) == (start, sessions)
        again = load(schedule)
        assert (start, again.event_id, nothing_but_unchanged(again)) == (start, report.event_id, True)


@pytest.mark.parametrize("again", [False, True])
def test_import_schedule_statements_do_not_grow_with_rows(load, again):
    def program(count, hour):
        keys = [str(number) for number in range(count)]
        return schedule_of(
            *(talk(key, hour=hour, room=key, speakers=(key,), abstract=f"{hour}") for key in keys),
            talk(f"gone {hour}"),
            slug=f"conf-{count}",
            rooms=tuple(RoomItem(key, f"Room {key} at {hour}") for key in keys),
            speakers=tuple(SpeakerItem(key, f"Speaker {key} at {hour}") for key in keys),
        )

    taken = []
    for count in (3, 30):
        if again:
            load(program(count, 0))
        with CaptureQueriesContext(connection) as queries:
            load(program(count, 1))
        taken.append(len(queries))
    assert taken[0] == taken[1]
    assert taken[0] < 40


# -- What is gone -------------------------------------------------------------------------------


def take_seats(session, count):
    """Places as people would have taken them: the column obeys nobody but its triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE event_sessions SET seats_taken = %s WHERE id = %s", [count, session.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_import_schedule_cancels_a_gone_session_that_people_hold_on_to(load):
    load(schedule_of(talk("1"), talk("2")))
    take_seats(Session.objects.get(external_id="2"), 4)
    report = load(schedule_of(talk("1")))
    assert report.gone == [Gone("session", "2", "Talk 2", cancelled=True)]
    assert Session.objects.values_list("status", "seats_taken").get(external_id="2") == ("cancelled", 4)
    assert nothing_but_unchanged(load(schedule_of(talk("1"))))


def test_import_schedule_puts_back_a_session_that_an_import_cancelled(load):
    load(schedule_of(talk("1"), talk("2")))
    take_seats(Session.objects.get(external_id="2"), 4)
    load(schedule_of(talk("1")))
    report = load(schedule_of(talk("1"), talk("2")))
    assert report.changed == [Change("session", "2", "Talk 2", {"status": ("cancelled", "scheduled")})]
    assert Session.objects.values_list("status", "seats_taken").get(external_id="2") == ("scheduled", 4)


def test_import_schedule_leaves_the_status_that_an_organiser_gave(load):
    load(schedule_of(talk("1"), talk("2")))
    session = Session.objects.get(external_id="2")
    session.status = Session.Status.CANCELLED
    session.save(update_fields=["status"])
    report = load(schedule_of(talk("1"), talk("2", title="Renamed")))
    session.refresh_from_db()
    assert (session.status, session.title) == ("cancelled", "Renamed")
    assert report.notes == ["Keep the status that an organiser gave them: “Talk 2”."]
    assert [one.fields for one in report.changed] == [{"title": ("Talk 2", "Renamed")}]


def test_import_schedule_follows_a_cancellation_in_the_file_both_ways(load):
    load(schedule_of(talk("1")))
    load(schedule_of(talk("1", cancelled=True)))
    assert Session.objects.get().status == "cancelled"
    load(schedule_of(talk("1")))
    assert Session.objects.get().status == "scheduled"


def test_import_schedule_keeps_a_session_whose_item_is_bad_this_time(load):
    load(schedule_of(talk("1"), talk("2"), talk("3")))
    report = load(schedule_of(talk("1"), problems=(Problem("2 Another title", "bad"), Problem("9 Talk 3", "bad"))))
    assert report.gone == []
    assert Session.objects.filter(status="scheduled").count() == 3


def test_import_schedule_drops_rooms_and_speakers_that_nothing_uses(load):
    rooms = tuple(RoomItem(key, f"Room {key}") for key in "abc")
    people = tuple(SpeakerItem(key, f"Speaker {key}") for key in "abc")
    load(schedule_of(talk("1"), talk("2", room="b", speakers=("b",)), rooms=rooms, speakers=people))
    event = Event.objects.get()
    take_seats(Session.objects.get(external_id="2"), 1)
    factories.RoomFactory(event=event, name="By hand")
    factories.SpeakerFactory(event=event, name="By hand")
    report = load(schedule_of(talk("1"), rooms=rooms[:1], speakers=people[:1]))
    assert report.of("room", report.gone) == [Gone("room", "c", "Room c", cancelled=False)]
    assert report.of("speaker", report.gone) == [Gone("speaker", "c", "Speaker c", cancelled=False)]
    assert {one.name for one in event.rooms.all()} == {"Room a", "Room b", "By hand"}
    assert {one.name for one in event.speakers.all()} == {"Speaker a", "Speaker b", "By hand"}
    assert [one.name for one in Session.objects.get(external_id="2").speakers.all()] == ["Speaker b"]


def test_referred_to_asks_every_related_table():
    """The tables of upper apps are found through the models, by whatever relation they have."""
    asked = {
        relation.related_model._meta.label
        for relation in Event._meta.get_fields(include_hidden=True)
        if relation.auto_created and relation.one_to_many
    }
    assert "attendance.Attendee" in asked


def test_referred_to_finds_rows_of_upper_apps(event):
    other = factories.EventFactory()
    factories.AttendeeFactory(event=event)
    assert plan._referred_to(Event, [event, other]) == {event.pk}


# -- What was written by hand ----------------------------------------------------------------------


def test_import_schedule_never_touches_what_the_file_does_not_carry(load):
    program = schedule_of(
        talk("1", room="r", speakers=("s",)), rooms=(RoomItem("r", "Hall"),), speakers=(SpeakerItem("s", "Ada"),)
    )
    load(program)
    session = Session.objects.get()
    session.capacity, session.rsvp_opens_at, session.abstract = 12, NINE - timedelta(days=1), "By hand"
    session.save()
    Room.objects.update(capacity=99, description="Second floor")
    Speaker.objects.update(biography="By hand")
    session.speakers.add(factories.SpeakerFactory(event=session.event, name="Chair"))
    report = load(replace(program, sessions=(talk("1", title="New", room="r", speakers=()),)))
    session.refresh_from_db()
    assert (session.title, session.capacity, session.abstract) == ("New", 12, "By hand")
    assert session.rsvp_opens_at == NINE - timedelta(days=1)
    assert Room.objects.values_list("capacity", "description").get() == (99, "Second floor")
    assert Speaker.objects.get(external_id="s").biography == "By hand"
    assert [one.name for one in session.speakers.all()] == ["Chair"]
    assert [one.fields for one in report.changed] == [
        {"title": ("Talk 1", "New"), "speakers": (["Ada", "Chair"], ["Chair"])}
    ]


def test_import_schedule_empties_a_text_that_an_import_had_brought(load):
    load(schedule_of(talk("1", abstract="Imported", room="r"), rooms=(RoomItem("r", "Hall"),)))
    load(schedule_of(talk("1"), rooms=(RoomItem("r", "Hall"),)))
    assert Session.objects.values_list("abstract", "room").get() == ("", None)


def test_import_schedule_uses_a_room_made_by_hand_as_it_is(load):
    event_id = load(schedule_of(talk("1"))).event_id
    room = factories.RoomFactory(event_id=event_id, name="Hall", capacity=7)
    load(schedule_of(talk("1", room="r"), rooms=(RoomItem("r", "Hall", 900),)))
    assert Session.objects.get().room == room
    assert Room.objects.values_list("capacity", "external_id").get() == (7, "")
    load(schedule_of(talk("1")))
    assert Room.objects.get() == room


def test_import_schedule_lets_rooms_exchange_their_names(load):
    load(schedule_of(talk("1"), rooms=(RoomItem("a", "North"), RoomItem("b", "South"), RoomItem("c", "West"))))
    report = load(schedule_of(talk("1"), rooms=(RoomItem("a", "South"), RoomItem("b", "West"), RoomItem("d", "North"))))
    assert dict(Room.objects.values_list("external_id", "name")) == {"a": "South", "b": "West", "d": "North"}
    assert report.of("room", report.gone) == [Gone("room", "c", "West", cancelled=False)]


def test_import_schedule_keeps_the_event_as_an_organiser_wrote_it(load):
    load(schedule_of(talk("1"), description="Imported"))
    event = Event.objects.get()
    event.title, event.timezone = "By hand", "Europe/Vienna"
    event.starts_at = NINE - timedelta(hours=3)
    event.save()
    program = talk("1"), talk("2", hour=-5), talk("3", hour=30)
    report = load(schedule_of(*program, title="Renamed Conf", description="Imported, and better"))
    event.refresh_from_db()
    assert (event.title, event.description, event.timezone) == ("By hand", "Imported, and better", "Europe/Vienna")
    assert event.starts_at == NINE - timedelta(hours=3)
    assert event.ends_at == NINE + timedelta(hours=30, minutes=45)
    assert set(report.changed[0].fields) == {"description", "ends_at"}
    assert report.notes == [
        "The schedule's time zone is Europe/Berlin; the event keeps Europe/Vienna, set by hand.",
        "Outside the event's times, which were set by hand: “Talk 2”.",
    ]


def test_import_schedule_follows_a_title_that_nobody_touched(load):
    load(schedule_of(talk("1")))
    load(schedule_of(talk("1"), title="Little Conf, renamed"))
    assert Event.objects.get().title == "Little Conf, renamed"


def test_import_schedule_never_narrows_the_event(load):
    load(schedule_of(talk("1"), talk("2", hour=8)))
    load(schedule_of(talk("1")))
    assert Event.objects.get().ends_at == NINE + timedelta(hours=8, minutes=45)


# -- Which event --------------------------------------------------------------------------------


def test_import_schedule_into_an_event_made_by_hand(load, organization):
    event = factories.EventFactory(organization=organization, title="By hand", starts_at=NINE)
    report = load(schedule_of(talk("1")), event_id=event.pk)
    event.refresh_from_db()
    assert (report.event_id, report.created, event.title, event.external_id) == (
        event.pk, False, "By hand", "littleconf",
    )  # fmt: skip
    assert load(schedule_of(talk("1"))).event_id == event.pk


def test_import_schedule_knows_no_event_of_another_organisation(load, event):
    with pytest.raises(NotFound):
        load(schedule_of(talk("1")), event_id=event.pk)
    assert Session.objects.count() == 0
    load(schedule_of(talk("1")), organization=event.organization)
    load(schedule_of(talk("1")))
    assert Event.objects.filter(external_id="littleconf").count() == 2


def test_import_schedule_of_the_next_edition_makes_another_event(load):
    first = load(schedule_of(talk("1"), talk("2")))
    next_year = schedule_of(talk("1", hour=365 * 24, title="Other"), talk("2", hour=365 * 24, title="Yet another"))
    second = load(next_year)
    assert first.event_id != second.event_id
    assert Session.objects.filter(event=first.event_id).count() == 2
    assert load(next_year).event_id == second.event_id
    assert load(schedule_of(talk("1"), talk("2"))).event_id == first.event_id


def test_import_schedule_follows_an_event_that_was_put_off(load):
    first = load(schedule_of(talk("1"), talk("2")))
    assert load(schedule_of(talk("1", hour=200 * 24), talk("2", hour=201 * 24))).event_id == first.event_id


def test_import_schedule_recognises_sessions_whose_ids_were_derived(load):
    def at(hour, key="Break"):
        return talk(f"{key}@r@203005{1 + hour // 24:02}T{9 + hour % 24:02}00Z", hour=hour, title="Break")

    load(schedule_of(at(1), at(5), talk("7", title="Alone")))
    ids = dict(Session.objects.values_list("starts_at", "pk"))
    report = load(
        schedule_of(
            at(2),
            at(5),
            replace(talk("7@r@20300501T0900Z", title="Alone"), source_id="7"),
            replace(talk("7@q@20300501T0900Z", title="Second"), source_id="7"),
        )
    )
    assert [(one.name, set(one.fields)) for one in report.of("session", report.changed)] == [
        ("Break", {"starts_at", "ends_at"})
    ]
    assert [one.name for one in report.added] == ["Second"]
    assert report.gone == []
    assert Session.objects.get(starts_at=NINE + timedelta(hours=2)).pk == ids[NINE + timedelta(hours=1)]


@pytest.mark.django_db(transaction=True)
def test_import_schedule_twice_at_once_makes_one_event():
    organization = factories.OrganizationFactory()
    program = schedule_of(*(talk(str(number)) for number in range(200)))
    barrier, reports, errors = threading.Barrier(4), [], []

    def run():
        try:
            barrier.wait()
            reports.append(schedules.import_schedule(organization=organization, schedule=program, actor=SYSTEM))
        except Exception as error:
            errors.append(error)
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert errors == []
    assert Event.objects.count() == 1
    assert Session.objects.count() == 200
    assert sorted(one.created for one in reports) == [False, False, False, True]


# -- The end of an event ----------------------------------------------------------------------------


def test_event_without_people_is_deleted_with_its_agenda(load):
    rooms, speakers = (RoomItem("r", "Hall"),), (SpeakerItem("s", "Ada"),)
    load(schedule_of(talk("1", room="r", speakers=("s",)), rooms=rooms, speakers=speakers))
    Event.objects.get().delete()
    assert [model.objects.count() for model in (Event, Session, Room, Speaker)] == [0, 0, 0, 0]


def test_event_with_people_is_not_deleted(load):
    event = Event.objects.get(pk=load(schedule_of(talk("1"))).event_id)
    factories.AttendeeFactory(event=event)
    with pytest.raises(ProtectedError):
        event.delete()
    assert (Event.objects.count(), Session.objects.count(), Attendee.objects.count()) == (1, 1, 1)


# -- The same in the admin ------------------------------------------------------------------------------

HEAD = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-CALNAME:Village Conf\r\nX-WR-TIMEZONE:Europe/Berlin\r\n"
SLOT = (
    b"BEGIN:VEVENT\r\nUID:%d\r\nSUMMARY:Slot %d\r\n"
    b"DTSTART:20300501T0%d0000Z\r\nDTEND:20300501T0%d3000Z\r\nEND:VEVENT\r\n"
)


def calendar(*hours):
    return HEAD + b"".join(SLOT % (hour, hour, hour, hour) for hour in hours) + b"END:VCALENDAR\r\n"


@pytest.fixture
def upload_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path / "uploads"


@pytest.fixture
def post(upload_folder):
    """``post(person, **fields)``: the page's answer, rendered."""

    def post(person, **fields):
        request = RequestFactory().post("/admin/events/event/import/", fields)
        request.user, request.session = person, SessionStore()
        request._messages = FallbackStorage(request)
        answer = imports.import_schedule(request, admin.site.get_model_admin(Event))
        answer.told = [str(one) for one in get_messages(request)]
        return answer.render() if hasattr(answer, "render") else answer

    return post


def upload(data):
    return SimpleUploadedFile("village.ics", data)


def fields_for(organization, data, **more):
    choices = {"organization": organization.pk, "bad_items": "skip", "timezone": "", "event": ""}
    return {"file": upload(data)} | choices | more


def test_import_page_previews_then_imports(post, organization, upload_folder):
    person = factories.member(organization, "organizer")
    preview = post(person, **fields_for(organization, calendar(8, 9)))
    assert preview.status_code == 200
    assert "A new draft event, “Village Conf”" in preview.content.decode()
    assert Event.objects.count() == 0
    [kept] = upload_folder.iterdir()
    assert (kept.stat().st_mode & 0o777, len(kept.name)) == (0o600, 43)
    done = post(person, token=preview.context_data["token"], confirm="1")
    event = Event.objects.get()
    assert (done.status_code, done.url) == (302, f"/admin/events/event/{event.pk}/change/")
    assert (event.title, event.sessions.count(), event.history.get().history_user) == ("Village Conf", 2, person)
    assert done.told[0].startswith("Imported “Village Conf”. Rooms: 0 added")
    assert list(upload_folder.iterdir()) == []


def test_import_page_shows_what_a_second_import_changes(post, organization):
    person = factories.member(organization, "owner")
    post(person, token=post(person, **fields_for(organization, calendar(8, 9))).context_data["token"])
    preview = post(person, **fields_for(organization, calendar(9).replace(b"Slot 9", b"Slot nine")))
    page = preview.content.decode()
    assert "Slot 8" in page
    assert "<del>Slot 9</del> → Slot nine" in page
    assert Session.objects.count() == 2


def test_import_page_can_be_cancelled(post, organization, upload_folder):
    person = factories.member(organization, "organizer")
    preview = post(person, **fields_for(organization, calendar(8)))
    post(person, token=preview.context_data["token"], discard="1")
    assert Event.objects.count() == 0
    assert list(upload_folder.iterdir()) == []


def test_import_page_refuses_anothers_token(post, organization):
    person, other = (factories.member(organization, "organizer") for _ in range(2))
    token = post(person, **fields_for(organization, calendar(8))).context_data["token"]
    for forged in (token + "x", "", token):
        answer = post(other, token=forged)
        assert (answer.status_code, answer.told) == (302, ["The uploaded file is no longer here. Choose it again."])
    assert Event.objects.count() == 0


def test_import_page_refuses_a_token_after_the_role_is_gone(post, organization):
    person = factories.member(organization, "organizer")
    factories.member(factories.OrganizationFactory(), "organizer")
    token = post(person, **fields_for(organization, calendar(8))).context_data["token"]
    person.memberships.update(role="viewer")
    del person.roles
    with pytest.raises(PermissionDenied):
        post(person, token=token)
    assert Event.objects.count() == 0


def test_import_page_offers_own_organisations_only(post, organization, event):
    person = factories.member(organization, "organizer")
    factories.EventFactory(organization=organization)
    answer = post(person, **fields_for(event.organization, calendar(8)))
    assert set(answer.context_data["form"].errors) == {"organization"}
    answer = post(person, **fields_for(organization, calendar(8), event=event.pk))
    assert set(answer.context_data["form"].errors) == {"event"}
    assert Session.objects.count() == 0


@pytest.mark.parametrize("role", ["viewer", "door"])
def test_import_page_is_closed_to_who_may_not_add_events(post, organization, role):
    with pytest.raises(PermissionDenied):
        post(factories.member(organization, role), **fields_for(organization, calendar(8)))


def test_import_page_tells_what_is_wrong_with_the_file(post, organization, upload_folder):
    person = factories.member(organization, "organizer")
    answer = post(person, **fields_for(organization, b"{"))
    assert "broken JSON" in str(answer.context_data["form"].errors["file"])
    answer = post(person, **fields_for(organization, b" " * (20 * 1024 * 1024 + 1)))
    assert answer.context_data["form"].errors["file"] == ["This file has more than 20 MB."]
    assert not upload_folder.exists()


def test_import_page_sweeps_old_uploads(post, organization, upload_folder):
    person = factories.member(organization, "organizer")
    post(person, **fields_for(organization, calendar(8)))
    [old] = upload_folder.iterdir()
    os.utime(old, (time.time() - 3601, time.time() - 3601))
    post(person, **fields_for(organization, calendar(9)))
    [new] = upload_folder.iterdir()
    assert new.name != old.name
