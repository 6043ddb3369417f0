"""What a scanner knows of its door, who may stand there, and that nothing a client sends breaks it."""

import hashlib
import json
from datetime import timedelta
from uuid import uuid4

import limits
import pytest
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django_otp.plugins.otp_totp.models import TOTPDevice

from attendance.api import scanners
from attendance.models import AttendanceStatus, Attendee, CheckIn, CheckInAttempt, PointScale
from attendance.operations import check_in, marking
from config import api as config_api
from events.models import Event, Membership, UserProfile
from requests.operations import removals
from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory, member

from .at_the_door import (
    DORA,
    NOW,
    address,
    ago,
    api_of,
    audit,
    batch,
    device,
    doorkeeper,
    point,
    refused,
    results,
    said,
    scan,
    statements,
    status_of,
    undo,
)

pytestmark = pytest.mark.django_db


def state(api, event, **query):
    return said(api.get(address(event, "door/"), query))


def tickets(api, event, **query):
    return said(api.get(address(event, "door/tickets/"), query))["results"]


# -- The door's state ----------------------------------------------------------------------------------


def test_the_door_says_what_there_is(event, door):
    talk = point(event, "Talk", kind="session", opens_at=NOW())
    point(EventFactory(), "Elsewhere")
    AttendeeFactory(event=event, plus_ones=3)
    here = AttendeeFactory(event=event, plus_ones=1)
    scan(door, here)
    removals.remove(attendee_id=AttendeeFactory(event=event).pk, actor=None, reason="moved")
    body = state(door, event)
    assert abs(parse_datetime(body.pop("server_time")) - NOW()) < timedelta(seconds=5)
    assert [parse_datetime(body["event"].pop(name)) for name in ("starts_at", "ends_at")] == [
        event.starts_at,
        event.ends_at,
    ]
    [one] = body.pop("points")
    assert parse_datetime(one.pop("opens_at")) == talk.opens_at
    assert one == {"id": talk.pk, "name": "Talk", "closes_at": None, "session_id": None}
    assert body == {
        "event": {
            "id": event.pk,
            "title": event.title,
            "timezone": "Europe/Berlin",
            "status": "published",
            "max_plus_ones": 3,
        },
        "at_door": True,
        "scanner": {"name": DORA, "device_id": None, "may_add_walk_ins": event.door_adds_walk_ins},
        "counts": {
            "expected": 2,
            "checked_in": 1,
            "people_expected": 6,
            "people_in": 2,
            "unknown": 1,
            "present": 1,
            "late": 0,
            "excused": 0,
            "absent": 0,
        },
    }


def test_counts_of_a_point_are_those_of_the_point(event, door):
    talk = point(event, "Talk", kind="session")
    one, two = AttendeeFactory.create_batch(2, event=event, plus_ones=1)
    scan(door, one)
    key = said(scan(door, two, point=talk.pk))["check_in_id"]
    counts = state(door, event, point=talk.pk)["counts"]
    assert (counts["checked_in"], counts["people_in"], counts["present"]) == (1, 2, 1)
    undo(door, event, key)
    assert state(door, event, point=talk.pk)["counts"]["checked_in"] == 0
    assert state(door, event)["counts"]["checked_in"] == 1


def test_the_door_says_what_is_shut(event, door):
    day = point(event, "Second day", opens_at=ago(days=-1), closes_at=ago(days=-2))
    [one] = state(door, event)["points"]
    day.refresh_from_db()
    assert [parse_datetime(one[name]) for name in ("opens_at", "closes_at")] == [day.opens_at, day.closes_at]
    Event.objects.filter(pk=event.pk).update(status=Event.Status.CANCELLED)
    assert state(door, event)["event"]["status"] == "cancelled"


def test_a_device_sees_its_own_points_only(event):
    own, other = point(event, "Own"), point(event, "Other")
    gate = device(event, "Gate", points=[own], at_door=False)
    body = state(gate, event)
    assert [one["id"] for one in body["points"]] == [own.pk]
    assert (body["at_door"], body["scanner"]["device_id"]) == (False, str(gate.row.pk))
    assert refused(gate.get(address(event, "door/"), {"point": other.pk})) == (404, "not_found")


# -- The list for offline --------------------------------------------------------------------------------


def test_tickets_are_hashes_and_names(event, door):
    person = UserProfileFactory(first_name="Ada", last_name="", photo_url="/media/photos/ada.jpg")
    attendee = AttendeeFactory(event=event, user_profile=person, plus_ones=1, goals="Secret")
    AttendeeFactory()
    response = door.get(address(event, "door/tickets/"))
    assert said(response) == {
        "next": None,
        "previous": None,
        "results": [
            {
                "id": str(attendee.pk),
                "ticket_hash": hashlib.sha256(attendee.ticket_code.encode()).hexdigest(),
                "removed": False,
                "name": "Ada",
                "photo_url": "/media/photos/ada.jpg",
                "plus_ones": 1,
                "status": "unknown",
                "checked_in_at": None,
                "checked_in_by": None,
            }
        ],
    }
    assert attendee.ticket_code.encode() not in response.content
    assert parse_datetime(response.headers["Turnout-As-Of"]) < NOW()


@pytest.mark.parametrize("at", ["door", "point"])
def test_tickets_say_who_is_in_and_by_whom(event, door, at):
    where = {"point": point(event, "Talk", kind="session").pk} if at == "point" else {}
    gate = device(event, "Gate", points=list(where.values()))
    one, two, three = AttendeeFactory.create_batch(3, event=event)
    first, second = said(scan(door, one, **where)), said(scan(gate, two, **where))
    undone = said(scan(door, three, **where))["check_in_id"]
    undo(door, event, undone)
    found = {row["id"]: (row["checked_in_at"], row["checked_in_by"]) for row in tickets(door, event, **where)}
    assert found == {
        str(one.pk): (first["checked_in_at"], DORA),
        str(two.pk): (second["checked_in_at"], "Gate"),
        str(three.pk): (None, None),
    }


@pytest.mark.parametrize("at", ["door", "point"])
def test_tickets_that_changed_since(event, door, organizing, at):
    where = {"point": point(event, "Talk", kind="session").pk} if at == "point" else {}
    old, scanned, undone, renamed, removed, earlier = AttendeeFactory.create_batch(6, event=event)
    key = said(scan(door, undone, **where))["check_in_id"]
    scan(door, earlier, **where)
    since = NOW()
    scan(door, scanned, **where)
    said(undo(organizing, event, key))
    scan(door, earlier, scanned_at=ago(minutes=30), **where)
    UserProfile.objects.filter(pk=renamed.user_profile_id).update(first_name="New")
    removals.remove(attendee_id=removed.pk, actor=None, reason="moved")
    rows = {row["id"]: row for row in tickets(door, event, updated_since=since.isoformat(), **where)}
    assert set(rows) == {str(one.pk) for one in (scanned, undone, renamed, removed, earlier)}
    assert rows[str(removed.pk)] == {
        "id": str(removed.pk),
        "ticket_hash": check_in.ticket_hash(removed.ticket_code),
        "removed": True,
    }
    assert parse_datetime(rows[str(earlier.pk)]["checked_in_at"]) < since - timedelta(minutes=29)


def test_tickets_come_in_pages(event, door):
    people = {str(one.pk) for one in AttendeeFactory.create_batch(5, event=event)}
    page = said(door.get(address(event, "door/tickets/"), {"page_size": 2}))
    found = [row["id"] for row in page["results"]]
    while page["next"]:
        page = said(door.get(page["next"]))
        found += [row["id"] for row in page["results"]]
    assert len(found) == 5 and set(found) == people
    assert said(door.get(address(event, "door/tickets/"), {"page_size": 100_000}))["next"] is None


@pytest.mark.parametrize("who", ["person", "device"])
def test_reading_takes_the_same_statements_for_one_and_for_three(event, who):
    talk = point(event, "Talk", kind="session")
    api = device(event, points=[talk]) if who == "device" else doorkeeper(event)
    found = []
    for _more in (1, 2):
        for one in AttendeeFactory.create_batch(_more, event=event):
            scan(api, one)
            scan(api, one, point=talk.pk)
        for rest in ("door/", "door/tickets/", f"door/?point={talk.pk}", f"door/tickets/?point={talk.pk}"):
            found.append(statements(lambda rest=rest: api.get(address(event, rest))))
    assert found == [3, 2, 4, 3] * 2


# -- Who ---------------------------------------------------------------------------------------------------

CALLS = [
    ("get", "door/", None),
    ("get", "door/tickets/", None),
    ("post", "check-ins/", "scan"),
    ("post", "check-ins/batch/", "batch"),
    ("post", "check-ins/{}/undo/", {}),
    ("post", "walk-ins/", {"first_name": "Wanda", "email": "wanda@example.net"}),
]


def each_call(api, attendee, check_in_id):
    """(call, response) of everything that a scanner may do at the attendee's event."""
    bodies = {
        "scan": {"ticket_code": attendee.ticket_code},
        "batch": {"scans": [{"ticket_code": attendee.ticket_code}]},
    }
    for verb, rest, body in CALLS:
        path = address(attendee.event, rest.format(check_in_id))
        data = bodies.get(body, body) if isinstance(body, str) else body
        if verb == "get":
            yield rest, api.get(path)
        else:
            yield rest, api.post(path, json.dumps(data), content_type="application/json")


def api_without_anything():
    return Client()


@pytest.fixture
def checked_in(event, organizing):
    """An attendee who is in, and their check-in."""
    attendee = AttendeeFactory(event=event)
    return attendee, said(scan(organizing, attendee))["check_in_id"]


def untouched(attendee):
    assert (status_of(attendee), len(audit(attendee))) == ("present", 1)
    assert (CheckIn.objects.count(), CheckInAttempt.objects.count()) == (1, 0)
    assert not UserProfile.objects.filter(email="wanda@example.net").exists()


@pytest.mark.parametrize("role", ["owner", "organizer", "door", "superuser"])
def test_whose_door_it_is(event, checked_in, role):
    attendee, key = checked_in
    Event.objects.update(door_adds_walk_ins=True)
    api = api_of(UserProfileFactory(is_superuser=True)) if role == "superuser" else doorkeeper(event, role=role)
    found = {rest: response.status_code for rest, response in each_call(api, attendee, key)}
    assert found == {
        "door/": 200,
        "door/tickets/": 200,
        "check-ins/": 200,
        "check-ins/batch/": 200,
        "check-ins/{}/undo/": 409 if role == "door" else 200,
        "walk-ins/": 201,
    }


def strangers(event):
    other = EventFactory(organization=event.organization)
    attendee = AttendeeFactory(event=event).user_profile
    gone = member(event.organization, "owner")
    api = api_of(gone)
    UserProfile.objects.filter(pk=gone.pk).update(is_active=False)
    left = member(event.organization, "door")
    yield "viewer", doorkeeper(event, role="viewer")
    yield "organiser elsewhere", api_of(member(EventFactory().organization, "owner"))
    yield "attendee", api_of(attendee)
    yield "nobody's", api_of(UserProfileFactory())
    yield "inactive", api
    yield "device of another event", device(other)
    yield "inactive superuser", api_of(UserProfileFactory(is_superuser=True, is_active=False))
    yield "somebody who left", api_of(left)
    Membership.objects.filter(user_profile=left).delete()


def test_for_whoever_has_no_business_there_is_no_such_door(event, checked_in):
    attendee, key = checked_in
    unknown = EventFactory()
    unknown_pk = unknown.pk
    unknown.delete()
    for who, api in list(strangers(event)):
        for rest, response in each_call(api, attendee, key):
            assert refused(response) == (404, "not_found"), (who, rest)
            nowhere = response.content
            there = api.generic(
                response.request["REQUEST_METHOD"],
                response.request["PATH_INFO"].replace(f"events/{event.pk}/", f"events/{unknown_pk}/"),
                b"{}" if "walk" not in rest else json.dumps({"first_name": "W", "email": "w@example.net"}),
                content_type="application/json",
            )
            assert there.status_code in (404, 400), (who, rest)
            if there.status_code == 404:
                assert there.content == nowhere, (who, rest)
        assert api.patch(address(event, f"attendees/{attendee.pk}/attendance/"), {"status": "absent"}).status_code in (
            404,
            401,  # a device is nobody there
        ), who
    untouched(attendee)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "not_authenticated"),
        ("Device", "device_revoked"),
        ("Device ", "device_revoked"),
        ("Device made-up", "device_revoked"),
        ("device \xff\xfe", "device_revoked"),
        ("Device " + "x" * 7000, "device_revoked"),
        ("Device a b c", "device_revoked"),
        ("Devices token", "not_authenticated"),
        ("Token {}", "not_authenticated"),
        ("Basic {}", "not_authenticated"),
        ("{}", "not_authenticated"),
        ("Bearer {}", "token_not_valid"),
        ("Bearer a b", "bad_authorization_header"),
        ("Device {person}", "device_revoked"),
    ],
)
def test_the_wrong_word_or_token(event, checked_in, header, code):
    attendee, key = checked_in
    gate = device(event)
    person = UserProfileFactory(is_superuser=True)
    from events.sign_in import access_token

    sent = header and header.format(gate.token, person=access_token(person))
    api = Client(headers={"Authorization": sent} if sent else {})
    for rest, response in each_call(api, attendee, key):
        assert refused(response) == (401, code), rest
        assert "WWW-Authenticate" in response.headers
    untouched(attendee)


def test_the_word_for_devices_has_no_case(event):
    gate = device(event)
    for word in ("device", "DEVICE"):
        assert Client(headers={"Authorization": f"{word} {gate.token}"}).get(address(event, "door/")).status_code == 200


# -- The admin's session --------------------------------------------------------------------------------------


def session(person) -> Client:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person, backend="events.sign_in.EmailBackend")
    return browser


def test_the_admins_session_works_with_its_token(event):
    attendee = AttendeeFactory(event=event)
    browser = session(member(event.organization, "door", first_name="Dora", last_name="Doorkeeper"))
    assert browser.get(f"/door/{event.pk}/").status_code == 200
    body = json.dumps({"ticket_code": attendee.ticket_code})
    token = browser.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token}
    response = browser.post(address(event), body, content_type="application/json", headers=headers)
    assert said(response)["checked_in_by"] == DORA
    for wrong in ({}, {"X-CSRFToken": "x"}, {"X-CSRFToken": token[::-1]}):
        other = AttendeeFactory(event=event)
        for rest, answer in each_call(browser_with(browser, wrong), other, response.json()["check_in_id"]):
            if rest.startswith("door/"):
                assert answer.status_code == 200
            else:
                assert refused(answer) == (403, "permission_denied"), rest
        assert status_of(other) == "unknown"


def browser_with(browser, headers):
    other = Client(enforce_csrf_checks=True, headers=headers)
    other.cookies = browser.cookies
    return other


def test_a_session_without_its_second_factor_is_nobody(event, checked_in, settings):
    attendee, key = checked_in
    settings.REQUIRE_SECOND_FACTOR = False
    person = member(event.organization, "owner")
    browser = session(person)
    browser.handler.enforce_csrf_checks = False
    assert browser.get(address(event, "door/")).status_code == 200
    TOTPDevice.objects.create(user=person, name="phone", confirmed=True)
    for rest, response in each_call(browser, attendee, key):
        assert refused(response) == (401, "not_authenticated"), rest
    TOTPDevice.objects.all().delete()
    settings.REQUIRE_SECOND_FACTOR = True
    for rest, response in each_call(browser, attendee, key):
        assert refused(response) == (401, "not_authenticated"), rest
    untouched(attendee)


def test_a_session_of_somebody_deactivated_is_nobody(event, checked_in):
    attendee, key = checked_in
    person = member(event.organization, "owner")
    browser = session(person)
    browser.handler.enforce_csrf_checks = False
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    for rest, response in each_call(browser, attendee, key):
        assert refused(response) == (401, "not_authenticated"), rest
    untouched(attendee)


def test_no_other_call_takes_a_device_or_a_session(event):
    gate = device(event)
    browser = session(member(event.organization, "owner"))
    for path in ("events/", f"events/{event.pk}/", f"events/{event.pk}/attendees/", "me/", "me/points/"):
        assert gate.get(f"/api/v1/{path}").status_code == 401, path
        assert browser.get(f"/api/v1/{path}").status_code == 401, path


# -- Guessing is slowed -----------------------------------------------------------------------------------------


@pytest.fixture
def fresh_limits():
    yield
    config_api.limiter.cache_clear()
    config_api._asks_again_at = None


def guess(api, event, **more):
    return api.post(address(event), {"ticket_code": uuid4().hex, **more})


def test_thirty_guesses_a_minute(event, door, fresh_limits):
    attendee = AttendeeFactory(event=event)
    gate = device(event)
    assert {refused(guess(door, event)) for _n in range(30)} == {(404, "unknown_ticket")}
    assert CheckInAttempt.objects.count() == 30
    answer = guess(door, event)
    assert refused(answer) == (429, "throttled")
    assert answer.headers["Retry-After"] == "60"
    assert refused(scan(door, attendee)) == (429, "throttled")
    assert status_of(attendee) == "unknown"
    assert results(batch(door, event, {"ticket_code": attendee.ticket_code, "scan_id": "one"})) == [
        ("refused", "throttled")
    ]
    assert CheckInAttempt.objects.count() == 30
    # Another scanner isn't; and who is found by name is nobody's guess.
    assert said(scan(gate, attendee))["result"] == "checked_in"
    other = AttendeeFactory(event=event)
    assert said(door.post(address(event), {"attendee_id": str(other.pk)}))["result"] == "checked_in"
    assert results(batch(door, event, {"ticket_code": "x"}, {"attendee_id": str(AttendeeFactory(event=event).pk)})) == [
        ("refused", "throttled"),
        ("checked_in", None),
    ]


def test_real_tickets_are_no_guesses(event, door, fresh_limits):
    attendee = AttendeeFactory(event=event)
    for _n in range(40):
        scan(door, attendee)
    remaining = config_api.limiter().get_window_stats(
        limits.parse(scanners.GUESSES), "door-guesses", str(door.person.pk)
    )[1]
    assert remaining == 30


def test_a_batch_of_guesses_counts_each(event, door, fresh_limits):
    scans = [{"ticket_code": uuid4().hex} for _n in range(29)]
    assert set(results(batch(door, event, *scans))) == {("refused", "unknown_ticket")}
    assert guess(door, event).status_code == 404
    assert guess(door, event).status_code == 429


def test_flagged_guesses_count_as_well(event, door, fresh_limits):
    for _n in range(30):
        assert said(guess(door, event, scanned_at=ago(minutes=5)))["result"] == "flagged"
    assert guess(door, event).status_code == 429


def test_without_redis_guessing_is_open_and_nothing_is_lost(event, door, fresh_limits, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    config_api.limiter.cache_clear()
    assert {guess(door, event).status_code for _n in range(32)} == {404}
    assert said(scan(door, AttendeeFactory(event=event)))["result"] == "checked_in"


# -- Marks by organisers' programs ---------------------------------------------------------------------------------


def attendance(api, attendee, **body):
    return api.patch(address(attendee.event, f"attendees/{attendee.pk}/attendance/"), body)


@pytest.mark.parametrize("role", ["owner", "organizer", "superuser"])
@pytest.mark.parametrize("status", ["present", "late", "excused", "absent"])
def test_organizers_mark(event, role, status):
    attendee = AttendeeFactory(event=event)
    api = api_of(UserProfileFactory(is_superuser=True)) if role == "superuser" else doorkeeper(event, role=role)
    body = said(attendance(api, attendee, status=status, notes="Called"))
    attendee.refresh_from_db()
    times = {name: parse_datetime(body.pop(name)) for name in ("marked_at", "updated_at")}
    assert times == {"marked_at": attendee.attendance_marked_at, "updated_at": attendee.attendance_updated_at}
    assert body == {
        "id": str(attendee.pk),
        "status": status,
        "notes": "Called",
        "marked_by_id": str(api.person.pk),
        "source": "api",
    }
    assert audit() == [("unknown", status, "api")]
    assert said(attendance(api, attendee, status="unknown"))["status"] == "unknown"
    assert audit()[1:] == [(status, "unknown", "api")]


@pytest.mark.parametrize("who", ["door", "viewer", "attendee", "elsewhere", "device", "inactive"])
def test_others_do_not_mark(event, who):
    attendee = AttendeeFactory(event=event)
    api = {
        "door": lambda: doorkeeper(event),
        "viewer": lambda: doorkeeper(event, role="viewer"),
        "attendee": lambda: api_of(attendee.user_profile),
        "elsewhere": lambda: doorkeeper(EventFactory(), role="owner"),
        "device": lambda: device(event),
        "inactive": lambda: api_of(member(event.organization, "owner", is_active=False)),
    }[who]()
    expected = (401, "not_authenticated") if who == "device" else (404, "not_found")
    assert refused(attendance(api, attendee, status="present")) == expected
    assert (status_of(attendee), audit()) == ("unknown", [])


def test_an_attendee_is_marked_at_their_own_event(event, organizing):
    attendee = AttendeeFactory(event=EventFactory(organization=event.organization))
    path = address(event, f"attendees/{attendee.pk}/attendance/")
    assert refused(organizing.patch(path, {"status": "present"})) == (404, "not_found")
    assert refused(organizing.patch(address(event, f"attendees/{uuid4()}/attendance/"), {"status": "present"})) == (
        404,
        "not_found",
    )
    gone = AttendeeFactory(event=event)
    removals.remove(attendee_id=gone.pk, actor=None, reason="moved")
    assert refused(attendance(organizing, gone, status="present")) == (409, "not_attending")
    assert audit() == []


def test_notes_of_a_mark(event, organizing):
    """Not given: they stay; null or empty: they go."""
    attendee = AttendeeFactory(event=event)
    for body, expected in (
        ({"status": "present", "notes": "By bike"}, "By bike"),
        ({"status": "present"}, "By bike"),
        ({"status": "present", "notes": "By train"}, "By train"),
        ({"status": "present", "notes": None}, None),
        ({"status": "present", "notes": "By foot"}, "By foot"),
        ({"status": "present", "notes": ""}, None),
        ({"status": "excused", "notes": "Ill"}, "Ill"),
        ({"status": "late"}, "Ill"),
        ({"status": "unknown", "notes": ""}, None),
    ):
        assert said(attendance(organizing, attendee, **body))["notes"] == expected, body
    assert [step[1] for step in audit()] == ["present", "excused", "late", "unknown"]
    for wrong in ({"status": "here"}, {}, {"status": None}, {"status": "late", "notes": "x" * 2001}, {"status": []}):
        assert attendance(organizing, attendee, **wrong).status_code == 400, wrong
    assert status_of(attendee) == "unknown"


# -- One's own points ------------------------------------------------------------------------------------------------


def test_points_by_organization(event):
    person = UserProfileFactory()
    other = EventFactory(title="Other", starts_at=NOW() - timedelta(days=3), ends_at=NOW() - timedelta(days=2))
    PointScale.objects.create(organization=other.organization, present=100, absent=-7)
    missed = EventFactory(organization=other.organization, title="Missed")
    unknown = EventFactory(organization=other.organization)
    for where, status in ((event, "late"), (other, "present"), (missed, "absent"), (unknown, "unknown")):
        attendee = AttendeeFactory(event=where, user_profile=person)
        marking.mark(attendee_id=attendee.pk, status=AttendanceStatus(status), actor=None)
    stranger = AttendeeFactory(event=event)
    marking.mark(attendee_id=stranger.pk, status=AttendanceStatus.PRESENT, actor=None)
    body = said(api_of(person).get("/api/v1/me/points/"))
    assert body["points"] == 5 + 100 - 7
    found = {one["id"]: (one["points"], [row["points"] for row in one["events"]]) for one in body["organizations"]}
    assert found == {event.organization_id: (5, [5]), other.organization_id: (93, [-7, 100])}
    assert said(api_of(UserProfileFactory()).get("/api/v1/me/points/")) == {"points": 0, "organizations": []}
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    assert refused(api_of(person).get("/api/v1/me/points/")) == (404, "not_found")
    assert Client().get("/api/v1/me/points/").status_code == 401


def test_points_take_one_statement():
    person = UserProfileFactory()
    for _n in range(3):
        attendee = AttendeeFactory(user_profile=person)
        marking.mark(attendee_id=attendee.pk, status=AttendanceStatus.PRESENT, actor=None)
    assert statements(lambda: api_of(person).get("/api/v1/me/points/")) == 1


# -- Whatever a client sends -------------------------------------------------------------------------------------------

DEEP = "[" * 300 + "]" * 300
BODIES = [
    "",
    "null",
    "[]",
    '"x"',
    "1",
    "{",
    DEEP,
    f'{{"scans": {DEEP}}}',
    '{"ticket_code": "\\ud800"}',
    '{"ticket_code": "\\u0000"}',
    '{"scans": [{"ticket_code": "a\\u0000b"}]}',
    '{"scans": [{"\\u0000": 1}]}',
    '{"ticket_code": 1e400}',
    '{"ticket_code": "x", "point": 99999999999999999999999999}',
    '{"ticket_code": "x", "point": 1e18}',
    '{"ticket_code": "x", "point": true}',
    '{"ticket_code": "x", "point": [1]}',
    '{"attendee_id": 340282366920938463463374607431768211456}',
    '{"attendee_id": -1}',
    '{"attendee_id": {"hex": 1}}',
    '{"scans": [{"attendee_id": "urn:uuid:0"}]}',
    '{"scans": [{"attendee_id": -5}, {"scan_id": 7, "ticket_code": 9}]}',
    '{"scans": [{"ticket_code": "x", "scanned_at": "0001-01-01T00:00:00Z", "scan_id": "a"}]}',
    '{"scans": [{"ticket_code": "x", "scanned_at": "9999-12-31T23:59:59.999999Z", "scan_id": "a"}]}',
    '{"scans": [{"ticket_code": "x", "scanned_at": "2024-02-30T00:00:00Z"}]}',
    '{"scans": [{"ticket_code": "x", "scanned_at": 12345678901234567890}]}',
    '{"scans": [{"ticket_code": "\\ud83d\\ude00", "scan_id": "\\ud83d\\ude00"}]}',
    '{"scans": [{"ticket_code": "x", "scan_id": "\\u202e\\ufeff"}]}',
    '{"first_name": "x", "email": "x@y", "phone": {}}',
    '{"first_name": "x", "email": "%s@example.org"}' % ("x" * 300),
    '{"first_name": "x", "phone": "%s"}' % ("9" * 40),
    '{"first_name": "x", "phone": "+%s"}' % ("\\u0661" * 12),
    '{"first_name": "x", "phone": "+1 (415) 555-0123", "plus_ones": 99999999999999999999}',
    '{"first_name": "x", "phone": "+14155550123", "plus_ones": "1e9"}',
    '{"first_name": "x", "phone": "+14155550123", "scanned_at": "0001-01-01T00:00:00Z"}',
    '{"first_name": "\\ud83d\\ude00", "email": "a@\\u0130stanbul.com"}',
    '{"status": "present", "notes": {"a": [1]}}',
    '{"code": "\\ud83d\\ude00"}',
    '{"code": 5}',
]


@pytest.mark.parametrize("who", ["person", "device", "organizer"])
def test_no_body_breaks_a_call(event, who):
    Event.objects.update(door_adds_walk_ins=True)
    api = {
        "person": lambda: doorkeeper(event),
        "device": lambda: device(event, may_add_walk_ins=True),
        "organizer": lambda: doorkeeper(event, role="organizer"),
    }[who]()
    attendee = AttendeeFactory(event=event)
    paths = [address(event, rest) for rest in ("check-ins/", "check-ins/batch/", "walk-ins/", "check-ins/1/undo/")]
    paths += [address(event, f"attendees/{attendee.pk}/attendance/"), "/api/v1/door/devices/"]
    for path in paths:
        for body in BODIES:
            verb = "PATCH" if path.endswith("attendance/") else "POST"
            response = api.generic(verb, path, body, content_type="application/json")
            assert response.status_code < 500, (path, body[:80], response.content[:300])
        response = api.generic("POST", path, b"a=1", content_type="application/x-www-form-urlencoded")
        assert response.status_code in (404, 405, 415, 401), path


def test_no_address_breaks_a_call(event, door):
    huge = ("0", "9223372036854775807", "9223372036854775808", "9" * 60, "9" * 5000, "-1", "%00", "%FF", "x", "١")
    for number in huge:
        for verb, rest in (
            ("get", "door/"),
            ("get", "door/tickets/"),
            ("post", "check-ins/"),
            ("post", "check-ins/batch/"),
            ("post", "walk-ins/"),
            ("post", "check-ins/1/undo/"),
        ):
            body = {} if verb == "get" else {"ticket_code": "x", "scans": [{}], "first_name": "x", "email": "a@b.cd"}
            response = getattr(door, verb)(f"/api/v1/events/{number}/{rest}", body)
            assert response.status_code == 404, (number, rest)
        assert door.post(address(event, f"check-ins/{number}/undo/")).status_code == 404
        assert door.patch(address(event, f"attendees/{number}/attendance/"), {"status": "late"}).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "point=9223372036854775808",
        "point=0",
        "point=x",
        "point=%00",
        "point=" + "9" * 5000,
        "updated_since=0001-01-01T00:00:00%2B14:00",
        "updated_since=9999-12-31T23:59:59-14:00",
        "updated_since=0000-01-01T00:00:00Z",
        "updated_since=%00",
        "updated_since=%ED%A0%80",
        "updated_since=yesterday",
    ],
)
def test_no_query_breaks_a_call(event, door, query):
    response = door.get(address(event, "door/tickets/") + "?" + query)
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == query.partition("=")[0]


def test_odd_queries_that_are_answered(event, door):
    for query in (
        "updated_since=0001-01-01T00:00:00Z",
        "updated_since=9999-12-31T23:59:59Z",
        "updated_since=2000-01-01T09:00:00%2B17:00",
        "updated_since=2000-01-01T09:00:00-23:59",
        "page_size=0",
        "page_size=-1",
        "page_size=" + "9" * 5000,
        "page_size=x",
        "unheard=of",
        "point=",
    ):
        response = door.get(address(event, "door/tickets/") + "?" + query)
        assert response.status_code == 200, (query, response.content)
    for cursor in ("x", "%00", "cD14", "cD0lMDA=", "bz0xJnA9MQ==", "cj0xJnA9" + "9" * 500):
        assert door.get(address(event, "door/tickets/") + "?cursor=" + cursor).status_code in (200, 404), cursor


def test_a_name_that_is_empty(event):
    """Nobody's name is shown as nothing, not as an error."""
    nameless = api_of(member(event.organization, "door", first_name="", last_name=""))
    attendee = AttendeeFactory(event=event, user_profile=UserProfileFactory(first_name="", last_name=""))
    first = said(scan(nameless, attendee, scan_id="one"))
    assert (first["checked_in_by"], first["attendee"]["name"]) == (None, "")
    assert said(scan(nameless, attendee, scan_id="one")) == first
    [row] = tickets(nameless, event)
    assert (row["name"], row["checked_in_by"]) == ("", None)
    assert state(nameless, event)["scanner"]["name"] == ""
    assert timezone.now() > parse_datetime(row["checked_in_at"])
    assert Attendee.objects.here().count() == 1
