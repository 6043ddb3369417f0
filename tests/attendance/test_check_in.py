"""The door: scans, repeats, refusals, batches, undo."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.dateparse import parse_datetime

from attendance.models import AttendanceAudit, AttendanceSource, AttendanceStatus, Attendee, CheckIn, CheckInAttempt
from attendance.operations import check_in, marking, record
from events.models import Event
from requests.operations import removals
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, SessionFactory, UserProfileFactory

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


@pytest.fixture
def attendee(event):
    return AttendeeFactory(event=event, plus_ones=2)


def mark(attendee, status, actor=None, source=AttendanceSource.ADMIN):
    marking.mark(attendee_id=attendee.pk, status=AttendanceStatus(status), actor=actor, source=source)
    attendee.refresh_from_db()


def remove(attendee, actor=None):
    removals.remove(attendee_id=attendee.pk, actor=actor, reason="moved")


def moment(text):
    return parse_datetime(text)


# -- Coming in ---------------------------------------------------------------------------------------


def test_a_ticket_checks_its_holder_in(door, attendee):
    body = said(scan(door, attendee, scan_id="one"))
    attendee.refresh_from_db()
    assert attendee.attendance_source == "scan"
    assert attendee.attendance_marked_by == door.person
    row = CheckIn.objects.get()
    assert body == {
        "result": "checked_in",
        "code": None,
        "detail": None,
        "scan_id": "one",
        "check_in_id": row.pk,
        "attendee": {
            "id": str(attendee.pk),
            "name": str(attendee.user_profile),
            "photo_url": "",
            "plus_ones": 2,
            "status": "present",
        },
        "checked_in_at": attendee.attendance_marked_at.isoformat().replace("+00:00", "Z"),
        "checked_in_by": DORA,
    }
    [written] = AttendanceAudit.objects.all()
    assert (written.from_status, written.to_status, written.actor, written.source) == (
        "unknown",
        "present",
        door.person,
        "scan",
    )
    assert (row.previous_status, row.by, row.device, row.scanned_at, row.uploaded_late) == (
        "unknown",
        door.person,
        None,
        None,
        False,
    )


@pytest.mark.parametrize("before", ["unknown", "absent", "excused"])
def test_whoever_was_not_here_becomes_present(door, attendee, before):
    if before != "unknown":
        mark(attendee, before)
    assert said(scan(door, attendee))["result"] == "checked_in"
    assert status_of(attendee) == "present"
    assert audit(attendee)[-1] == (before, "present", "scan")


def test_a_person_found_by_name(door, attendee):
    body = said(door.post(address(attendee.event), {"attendee_id": str(attendee.pk)}))
    assert (body["result"], body["attendee"]["status"], body["scan_id"]) == ("checked_in", "present", None)
    assert audit() == [("unknown", "present", "api")]


def test_a_device_checks_in_by_its_own_name(event, attendee):
    gate = device(event, "Gate 3")
    assert said(scan(gate, attendee))["checked_in_by"] == "Gate 3"
    attendee.refresh_from_db()
    assert (attendee.attendance_marked_by, attendee.attendance_device) == (None, gate.row)
    assert (AttendanceAudit.objects.get().device, CheckIn.objects.get().device) == (gate.row, gate.row)


@pytest.mark.parametrize(("after_limit", "status"), [(-1, "present"), (0, "late"), (1, "late")])
def test_late_begins_at_the_very_moment(event, door, attendee, after_limit, status):
    scanned_at = NOW() - timedelta(hours=1)
    event.starts_at = scanned_at - timedelta(minutes=10) - timedelta(microseconds=after_limit)
    event.ends_at, event.late_after = NOW() + timedelta(hours=1), timedelta(minutes=10)
    event.save()
    assert said(scan(door, attendee, scanned_at=scanned_at.isoformat()))["attendee"]["status"] == status
    assert audit() == [("unknown", status, "scan")]


def test_without_late_after_nobody_is_late(event, door, attendee):
    Event.objects.update(starts_at=NOW() - timedelta(days=1), ends_at=NOW() + timedelta(hours=1), late_after=None)
    assert said(scan(door, attendee))["attendee"]["status"] == "present"


@pytest.mark.parametrize("status", ["draft", "completed"])
def test_only_a_cancelled_event_is_closed(event, door, attendee, status):
    """An offline device may come back when the event is over; a draft may be rehearsed."""
    Event.objects.update(status=status)
    assert said(scan(door, attendee))["result"] == "checked_in"


# -- In already --------------------------------------------------------------------------------------


def test_a_second_scan_tells_of_the_first_and_changes_nothing(event, door, attendee):
    first = said(scan(device(event, "Gate 1"), attendee))
    before = Attendee.objects.values().get(pk=attendee.pk)
    body = said(scan(door, attendee))
    told = ("check_in_id", "checked_in_at", "checked_in_by", "attendee")
    assert body["result"] == "already_checked_in"
    assert [body[name] for name in told] == [first[name] for name in told]
    assert body["checked_in_by"] == "Gate 1"
    assert Attendee.objects.values().get(pk=attendee.pk) == before
    assert audit() == [("unknown", "present", "scan")]
    assert CheckIn.objects.count() == 1


def test_a_second_scan_with_an_id_is_kept_as_a_repeat(door, attendee):
    scan(door, attendee, scan_id="one")
    assert said(scan(door, attendee, scan_id="two"))["result"] == "already_checked_in"
    assert list(CheckIn.objects.order_by("pk").values_list("scan_id", "result")) == [
        ("one", "checked_in"),
        ("two", "already_checked_in"),
    ]


@pytest.mark.parametrize("source", [AttendanceSource.ADMIN, AttendanceSource.API])
def test_whoever_was_marked_by_hand_is_in_already(door, organizing, attendee, source):
    mark(attendee, "late", organizing.person, source)
    body = said(scan(door, attendee))
    assert (body["result"], body["checked_in_by"], body["check_in_id"]) == (
        "already_checked_in",
        "Orla Organiser",
        None,
    )
    assert moment(body["checked_in_at"]) == attendee.attendance_marked_at
    assert status_of(attendee) == "late"
    assert not CheckIn.objects.exists()


def test_whoever_was_marked_by_sql_is_in_already(door, attendee):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE event_attendees SET attendance_status = 'present'")
    body = said(scan(door, attendee))
    assert (body["result"], body["checked_in_by"]) == ("already_checked_in", None)


def test_whoever_was_taken_back_by_sql_comes_in_again(door, attendee):
    """The old check-in stands in the way of the new one, and is closed."""
    scan(door, attendee)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE event_attendees SET attendance_status = 'unknown'")
    assert said(scan(door, attendee))["result"] == "checked_in"
    assert [row.undone_at is None for row in CheckIn.objects.order_by("pk")] == [False, True]


def test_somebody_marked_absent_by_hand_after_their_check_in_comes_in_again(door, organizing, attendee):
    first = said(scan(door, attendee))["check_in_id"]
    mark(attendee, "absent", organizing.person)
    again = said(scan(door, attendee))
    assert again["result"] == "checked_in" and again["check_in_id"] != first
    assert audit() == [
        ("unknown", "present", "scan"),
        ("present", "absent", "admin"),
        ("absent", "present", "scan"),
    ]


# -- The same scan again -----------------------------------------------------------------------------


def unchanging(body):
    """What an answer says of the scan; of the attendee, it says what is true now."""
    return {name: value for name, value in body.items() if name != "attendee"}


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("since", ["nothing", "undone", "removed", "cancelled", "by hand", "undone, and in by another"])
def test_the_same_scan_gets_the_same_answer(event, door, organizing, attendee, since, repeat):
    if repeat:
        in_first = said(scan(device(event, "Gate 1"), attendee, scan_id="zero"))
    first = said(scan(door, attendee, scan_id="one"))
    assert first["result"] == ("already_checked_in" if repeat else "checked_in")
    if since.startswith("undone"):
        said(undo(organizing, event, (in_first if repeat else first)["check_in_id"]))
    if since.endswith("another"):
        said(scan(organizing, attendee, scan_id="two"))
    if since == "removed":
        remove(attendee)
    if since == "cancelled":
        Event.objects.update(status="cancelled")
    if since == "by hand":
        mark(attendee, "excused", organizing.person)
    before = (status_of(attendee), audit(), CheckIn.objects.count())
    again = said(scan(door, attendee, scan_id="one"))
    expected = unchanging(first)
    if repeat and again["check_in_id"] != expected["check_in_id"]:
        expected["check_in_id"] = None if since != "undone, and in by another" else again["check_in_id"]
    assert unchanging(again) == expected
    assert again["attendee"]["status"] == before[0]
    assert (status_of(attendee), audit(), CheckIn.objects.count()) == before
    assert not CheckInAttempt.objects.exists()


def test_a_refused_scan_gets_the_same_answer_when_the_reason_is_gone(event, door, attendee):
    Event.objects.update(status="cancelled")
    first = scan(door, attendee, scan_id="one")
    assert refused(first) == (409, "event_closed")
    Event.objects.update(status="published")
    again = scan(door, attendee, scan_id="one")
    assert refused(again) == (409, "event_closed")
    assert status_of(attendee) == "unknown"
    assert CheckInAttempt.objects.count() == 1
    assert said(scan(door, attendee, scan_id="two"))["result"] == "checked_in"


def test_a_flagged_scan_is_flagged_again(event, door, attendee):
    Event.objects.update(status="cancelled")
    first = said(scan(door, attendee, scan_id="one", scanned_at=ago(minutes=5)))
    Event.objects.update(status="published")
    again = said(scan(door, attendee, scan_id="one"))
    assert [one["result"] for one in (first, again)] == ["flagged", "flagged"]
    assert [one["code"] for one in (first, again)] == ["event_closed", "event_closed"]


def test_another_point_makes_no_other_scan_of_it_and_another_ticket_is_refused(event, door, attendee):
    """A client that counts 1, 2, 3 must not wave a second person through by the answer about the first."""
    side = point(event)
    scan(door, attendee, scan_id="one")
    other = AttendeeFactory(event=event)
    body = said(scan(door, attendee, scan_id="one", point=side.pk))
    assert (body["result"], body["attendee"]["id"]) == ("checked_in", str(attendee.pk))
    for asked in ({"ticket_code": other.ticket_code}, {"attendee_id": str(other.pk)}, {"ticket_code": "made-up"}):
        assert refused(door.post(address(event), {**asked, "scan_id": "one"})) == (409, "scan_id_reused")
    assert status_of(other) == "unknown"
    by_name = door.post(address(event), {"attendee_id": str(attendee.pk), "scan_id": "one"})
    assert said(by_name)["result"] == "checked_in"
    closed = point(event, "Closed", closes_at=NOW() - timedelta(hours=1))
    assert refused(scan(door, other, scan_id="two", point=closed.pk)) == (409, "point_closed")
    again = scan(door, other, scan_id="two")
    assert refused(again) == (409, "point_closed")
    assert "None" not in again.json()["errors"][0]["detail"]


def test_another_events_scan_of_the_same_id_is_another_scan(event, door, attendee):
    elsewhere = AttendeeFactory(event=EventFactory(organization=event.organization))
    scan(door, attendee, scan_id="one")
    body = said(scan(door, elsewhere, scan_id="one"))
    assert (body["result"], body["attendee"]["id"]) == ("checked_in", str(elsewhere.pk))
    assert CheckIn.objects.count() == 2


def test_a_refused_scan_id_is_of_one_person_found_by_name_too(event, door, attendee):
    gone, nobody = AttendeeFactory(event=event), str(uuid4())
    remove(gone)
    url = address(event)
    for asked, code in ((str(gone.pk), (409, "ticket_revoked")), (nobody, (404, "unknown_ticket"))):
        for again in range(2):
            assert refused(door.post(url, {"attendee_id": asked, "scan_id": asked})) == code, again
        assert refused(door.post(url, {"attendee_id": str(attendee.pk), "scan_id": asked})) == (409, "scan_id_reused")
    assert status_of(attendee) == "unknown"


def test_a_wrong_use_of_a_scan_id_in_a_batch_spoils_nothing(event, door, attendee):
    other = AttendeeFactory(event=event)
    scan(door, attendee, scan_id="one")
    answer = batch(door, event, *({"ticket_code": one.ticket_code, "scan_id": "one"} for one in (other, attendee)))
    assert results(answer) == [("refused", "scan_id_reused"), ("checked_in", None)]


# -- When it happened --------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "late"), [(119, False), (125, True)])
def test_an_upload_is_late_after_two_minutes(door, attendee, seconds, late):
    scanned_at = NOW() - timedelta(seconds=seconds)
    body = said(scan(door, attendee, scanned_at=scanned_at.isoformat()))
    row = CheckIn.objects.get()
    assert (row.uploaded_late, row.scanned_at, row.checked_in_at) == (late, scanned_at, scanned_at)
    assert row.received_at > scanned_at
    assert moment(body["checked_in_at"]) == scanned_at


def test_two_minutes_exactly_are_not_late(event, door):
    now = NOW()
    one = check_in._Round(check_in.Scanner(event=event, name="", person=door.person), [])
    one.received = now
    assert not one._is_late_upload(check_in.Scan(scanned_at=now - timedelta(minutes=2)))
    assert one._is_late_upload(check_in.Scan(scanned_at=now - timedelta(minutes=2, microseconds=1)))


@pytest.mark.parametrize(
    "scanned_at",
    ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1999-01-01T00:00:00+05:30", "in an hour", "8 days ago"],
)
def test_a_clock_that_is_wrong_is_kept_and_not_believed(door, attendee, scanned_at):
    sent = {"in an hour": ago(hours=-1), "8 days ago": ago(days=8)}.get(scanned_at, scanned_at)
    begun = NOW()
    body = said(scan(door, attendee, scanned_at=sent))
    assert begun <= moment(body["checked_in_at"]) <= NOW()
    assert CheckIn.objects.get().scanned_at == datetime.fromisoformat(sent)


@pytest.mark.parametrize(("days", "believed"), [(6.99, True), (7.01, False)])
def test_a_clock_is_believed_for_a_week(door, attendee, days, believed):
    scanned_at = NOW() - timedelta(days=days)
    body = said(scan(door, attendee, scanned_at=scanned_at.isoformat()))
    assert (moment(body["checked_in_at"]) == scanned_at) is believed


@pytest.mark.parametrize("at", ["door", "session"])
def test_the_earliest_scan_wins_whenever_it_arrives(event, door, attendee, at):
    where = {"point": point(event, "Talk", kind="session").pk} if at == "session" else {}
    gate = device(event, "Gate 7", points=[where["point"]] if where else [])
    late = said(scan(door, attendee, scan_id="second", **where))
    early = NOW() - timedelta(minutes=30)
    body = said(scan(gate, attendee, scan_id="first", scanned_at=early.isoformat(), **where))
    assert (body["result"], body["checked_in_by"], moment(body["checked_in_at"])) == (
        "already_checked_in",
        "Gate 7",
        early,
    )
    row = CheckIn.objects.get(result="checked_in")
    assert (row.pk, row.checked_in_at, row.device, row.by) == (late["check_in_id"], early, None, door.person)
    assert (row.scanned_at, row.uploaded_late) == (None, False)
    assert unchanging(said(scan(door, attendee, scan_id="second", **where))) == unchanging(late)
    again = said(scan(gate, attendee, scan_id="first", scanned_at=early.isoformat(), **where))
    assert unchanging(again) == unchanging(body)
    middle = said(scan(door, attendee, scan_id="third", scanned_at=ago(minutes=20), **where))
    assert moment(middle["checked_in_at"]) == early
    attendee.refresh_from_db()
    if at == "door":
        assert (attendee.attendance_marked_at, attendee.attendance_device) == (early, gate.row)
        assert audit() == [("unknown", "present", "scan")]
    else:
        assert (attendee.attendance_status, audit()) == ("unknown", [])


def test_an_earlier_scan_makes_late_present(event, door, attendee):
    Event.objects.update(
        starts_at=NOW() - timedelta(hours=1), ends_at=NOW() + timedelta(hours=1), late_after=timedelta(minutes=10)
    )
    assert said(scan(door, attendee))["attendee"]["status"] == "late"
    assert said(scan(door, attendee, scanned_at=ago(minutes=55)))["attendee"]["status"] == "present"
    assert audit() == [("unknown", "late", "scan"), ("late", "present", "scan")]


def test_an_earlier_scan_keeps_the_note(event, door, organizing, attendee):
    scan(door, attendee)
    note = {"status": "present", "notes": "In a wheelchair"}
    said(organizing.patch(address(event, f"attendees/{attendee.pk}/attendance/"), note))
    scan(door, attendee, scanned_at=ago(minutes=30))
    attendee.refresh_from_db()
    assert attendee.attendance_notes == "In a wheelchair"
    assert attendee.attendance_marked_at < NOW() - timedelta(minutes=29)


@pytest.mark.parametrize("source", [AttendanceSource.ADMIN, AttendanceSource.API])
def test_an_earlier_scan_leaves_what_was_said_by_hand(event, door, organizing, attendee, source):
    mark(attendee, "late", organizing.person, source)
    body = said(scan(door, attendee, scanned_at=ago(minutes=30), scan_id="one"))
    assert (body["result"], body["checked_in_by"]) == ("already_checked_in", "Orla Organiser")
    attendee.refresh_from_db()
    assert (attendee.attendance_status, attendee.attendance_marked_by) == ("late", organizing.person)


def test_an_earlier_scan_of_a_person_found_by_name(event, door, attendee):
    door.post(address(event), {"attendee_id": str(attendee.pk)})
    early = NOW() - timedelta(minutes=30)
    scan(door, attendee, scanned_at=early.isoformat())
    attendee.refresh_from_db()
    assert attendee.attendance_marked_at == early


def test_a_scan_after_absence_was_marked(event, door, attendee):
    """An offline device comes back when the event is over: both rows stay on record."""
    record.write([record.Mark(attendee.pk, None, AttendanceStatus.ABSENT, NOW(), AttendanceSource.AUTO_ABSENCE)])
    early = NOW() - timedelta(hours=3)
    assert said(scan(door, attendee, scanned_at=early.isoformat()))["result"] == "checked_in"
    attendee.refresh_from_db()
    assert (attendee.attendance_status, attendee.attendance_marked_at) == ("present", early)
    assert audit() == [("unknown", "absent", "auto_absence"), ("absent", "present", "scan")]


# -- Refusals ------------------------------------------------------------------------------------------


def nothing_happened(attendee):
    before = status_of(attendee)
    return before == "unknown" and not CheckIn.objects.exists() and audit() == []


def test_an_unknown_ticket(event, door):
    response = door.post(address(event), {"ticket_code": "Nobody's ticket", "scan_id": "one"})
    assert refused(response) == (404, "unknown_ticket")
    row = CheckInAttempt.objects.get()
    assert (row.event, row.reason, row.by, row.device, row.attendee, row.scan_id) == (
        event,
        "unknown_ticket",
        door.person,
        None,
        None,
        "one",
    )
    assert row.code_hash == check_in.ticket_hash("Nobody's ticket") and len(row.code_hash) == 64
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM check_in_attempts AS row")
        assert "Nobody" not in cursor.fetchone()[0]


def test_a_removed_attendees_ticket(event, door, attendee):
    remove(attendee)
    assert refused(scan(door, attendee)) == (409, "ticket_revoked")
    assert nothing_happened(attendee)
    assert CheckInAttempt.objects.get().attendee == attendee


def test_a_cancelled_event(event, door, attendee):
    Event.objects.update(status="cancelled")
    response = scan(door, attendee)
    assert refused(response) == (409, "event_closed")
    assert "cancelled" in response.json()["errors"][0]["detail"]
    assert nothing_happened(attendee)
    assert CheckInAttempt.objects.get().reason == "event_closed"


@pytest.mark.parametrize("to", ["person", "device", "person of another organisation", "superuser"])
def test_a_ticket_of_another_event_names_it_to_those_who_may_see_it(event, door, to):
    other = EventFactory(title="Moonlight Gala", **({"organization": event.organization} if "other" not in to else {}))
    if to == "superuser":
        other = EventFactory(title="Moonlight Gala")
    holder = UserProfileFactory(first_name="Hidden", last_name="Holder")
    elsewhere = AttendeeFactory(event=other, user_profile=holder)
    api = device(event) if to == "device" else door
    if to == "superuser":
        api = api_of(UserProfileFactory(is_superuser=True))
    response = scan(api, elsewhere, event)
    assert refused(response) == (409, "wrong_event")
    assert (b"Moonlight" in response.content) is (to in ("person", "superuser"))
    assert b"Hidden" not in response.content
    assert nothing_happened(elsewhere)
    assert CheckInAttempt.objects.get().attendee is None
    late = said(scan(api, elsewhere, event, scanned_at=ago(minutes=5)))
    assert (late["result"], late["code"], late["attendee"]) == ("flagged", "wrong_event", None)
    [inside] = said(batch(api, event, {"ticket_code": elsewhere.ticket_code}))["results"]
    assert (inside["result"], inside["attendee"], "Hidden" in str(inside)) == ("refused", None, False)


@pytest.mark.parametrize("whose", ["nobody", "another event"])
def test_an_attendee_of_elsewhere_is_unknown(event, door, whose):
    key = uuid4() if whose == "nobody" else AttendeeFactory().pk
    assert refused(door.post(address(event), {"attendee_id": str(key)})) == (404, "unknown_ticket")
    row = CheckInAttempt.objects.get()
    assert (row.reason, row.code_hash, row.attendee) == ("unknown_ticket", None, None)


@pytest.mark.parametrize(
    ("opens", "closes", "answer"),
    [(None, None, 200), (-1, None, 200), (1, None, 409), (None, 1, 200), (None, -1, 409), (-2, -1, 409), (-1, 1, 200)],
)
def test_a_point_has_a_window(event, door, attendee, opens, closes, answer):
    hours = [one and NOW() + timedelta(hours=one) for one in (opens, closes)]
    side = point(event, opens_at=hours[0], closes_at=hours[1])
    response = scan(door, attendee, point=side.pk)
    assert response.status_code == answer
    if answer == 409:
        assert refused(response) == (409, "point_closed")
        assert "Side entrance isn't open" in response.json()["errors"][0]["detail"]
        assert nothing_happened(attendee)
        assert CheckInAttempt.objects.get().point == side


def test_a_points_window_at_its_ends(event):
    now = NOW()
    side = point(event, opens_at=now, closes_at=now + timedelta(hours=1))
    just = timedelta(microseconds=1)
    assert [side.is_open_at(one) for one in (now - just, now, side.closes_at - just, side.closes_at)] == [
        False,
        True,
        True,
        False,
    ]


def test_the_window_counts_when_it_was_scanned(event, door, attendee):
    side = point(event, opens_at=NOW() - timedelta(hours=2), closes_at=NOW() - timedelta(hours=1))
    assert said(scan(door, attendee, point=side.pk, scanned_at=ago(minutes=90)))["result"] == "checked_in"


def test_late_uploads_are_flagged_and_kept(event, door, attendee):
    """Whoever was scanned without network is inside already."""
    Event.objects.update(status="cancelled")
    body = said(scan(door, attendee, scan_id="one", scanned_at=ago(minutes=5)))
    assert body == {
        "result": "flagged",
        "code": "event_closed",
        "detail": "The event is cancelled: nobody can be let in or out.",
        "scan_id": "one",
        "check_in_id": None,
        "attendee": None,
        "checked_in_at": None,
        "checked_in_by": None,
    }
    row = CheckInAttempt.objects.get()
    assert (row.uploaded_late, row.inside, row.reason, row.attendee) == (True, True, "event_closed", attendee)
    assert nothing_happened(attendee)


@pytest.mark.parametrize(("let_in", "status", "inside"), [(True, 200, True), (None, 200, True), (False, 404, False)])
def test_whom_the_device_turned_away_is_not_inside(event, door, let_in, status, inside):
    response = door.post(
        f"/api/v1/events/{event.pk}/check-ins/",
        {"ticket_code": "made-up", "scan_id": "one", "scanned_at": ago(minutes=5), "let_in": let_in},
    )
    assert response.status_code == status
    row = CheckInAttempt.objects.get()
    assert (row.uploaded_late, row.inside, row.reason) == (True, inside, "unknown_ticket")


# -- Points --------------------------------------------------------------------------------------------


def test_a_session_does_not_mark_attendance(event, door, attendee):
    talk = point(event, "Talk", kind="session", session=SessionFactory(event=event))
    body = said(scan(door, attendee, point=talk.pk))
    assert (body["result"], body["attendee"]["status"], body["checked_in_by"]) == ("checked_in", "unknown", DORA)
    assert said(scan(door, attendee, point=talk.pk))["result"] == "already_checked_in"
    assert (status_of(attendee), audit()) == ("unknown", [])
    assert said(scan(door, attendee))["result"] == "checked_in"
    assert status_of(attendee) == "present"


def test_a_further_door_marks_attendance(event, door, attendee):
    side = point(event)
    assert said(scan(door, attendee, point=side.pk))["result"] == "checked_in"
    assert status_of(attendee) == "present"
    assert said(scan(door, attendee))["result"] == "already_checked_in"
    assert audit() == [("unknown", "present", "scan")]


def test_somebody_who_is_in_comes_by_another_door_as_well(event, door, attendee):
    side = point(event)
    first = said(scan(door, attendee))
    second = said(scan(door, attendee, point=side.pk))
    assert (second["result"], second["check_in_id"] != first["check_in_id"]) == ("checked_in", True)
    assert said(scan(door, attendee, point=side.pk))["check_in_id"] == second["check_in_id"]
    assert audit() == [("unknown", "present", "scan")]


def test_points_of_other_events_are_not_found(event, door, attendee):
    strange = point(EventFactory(organization=event.organization))
    for key in (strange.pk, 2**63 - 1):
        assert refused(scan(door, attendee, point=key)) == (404, "not_found")
    for key in (2**63, 0, -1, "x", None):
        assert scan(door, attendee, point=key).status_code == 400
    assert nothing_happened(attendee)


# -- What it costs -------------------------------------------------------------------------------------


def test_a_check_in_takes_six_statements_and_a_repeat_three(door, event):
    attendee, other = AttendeeFactory.create_batch(2, event=event)
    scan(door, other)
    with CaptureQueriesContext(connection) as first:
        assert scan(door, attendee, scan_id="one").json()["result"] == "checked_in"
    with CaptureQueriesContext(connection) as retry:
        assert scan(door, attendee, scan_id="one").json()["result"] == "checked_in"
    with CaptureQueriesContext(connection) as repeat:
        assert scan(door, attendee, scan_id="two").json()["result"] == "already_checked_in"
    assert [len(first), len(retry), len(repeat)] == [6, 2, 3], [q["sql"] for q in first]
    assert statements(lambda: scan(door, attendee)) == 2


def test_a_device_costs_no_more_than_a_person(event):
    gate, attendee = device(event), AttendeeFactory(event=event)
    assert statements(lambda: scan(gate, attendee)) == 6


@pytest.mark.parametrize("kind", ["new", "mixed", "earlier"])
def test_a_batch_takes_the_same_statements_for_one_and_for_fifty(event, door, kind):
    found = []
    for size in (1, 3, 50):
        attendees = AttendeeFactory.create_batch(size, event=event)
        scans = [{"ticket_code": one.ticket_code, "scan_id": f"{size}-{n}"} for n, one in enumerate(attendees)]
        if kind == "earlier":
            batch(door, event, *scans)
            scans = [one | {"scan_id": f"again-{one['scan_id']}", "scanned_at": ago(minutes=9)} for one in scans]
        if kind == "mixed":
            scans += [one | {"scan_id": f"twice-{one['scan_id']}"} for one in scans]
            scans += [{"ticket_code": f"nobody {size} {n}", "scan_id": f"no-{size}-{n}"} for n in range(min(size, 5))]
        found.append(statements(lambda scans=scans: batch(door, event, *scans)))
    assert found == {"new": [7] * 3, "mixed": [8] * 3, "earlier": [8] * 3}[kind]


# -- Batches -------------------------------------------------------------------------------------------


def test_a_batch_answers_every_scan_in_its_place(event, door):
    one, two, gone = AttendeeFactory.create_batch(3, event=event)
    elsewhere = AttendeeFactory()
    remove(gone)
    scan(door, two)
    answer = batch(
        door,
        event,
        {"ticket_code": "nobody", "scan_id": "a"},
        {"ticket_code": one.ticket_code, "scan_id": "b"},
        {"ticket_code": gone.ticket_code, "scan_id": "c"},
        {"attendee_id": str(two.pk), "scan_id": "d"},
        {"ticket_code": elsewhere.ticket_code, "scan_id": "e", "scanned_at": ago(minutes=3)},
        {"ticket_code": one.ticket_code, "scan_id": "f"},
    )
    assert results(answer) == [
        ("refused", "unknown_ticket"),
        ("checked_in", None),
        ("refused", "ticket_revoked"),
        ("already_checked_in", None),
        ("flagged", "wrong_event"),
        ("already_checked_in", None),
    ]
    body = answer.json()["results"]
    assert [one["scan_id"] for one in body] == list("abcdef")
    assert [one["attendee"] and one["attendee"]["id"] for one in body] == [
        None,
        str(one.pk),
        None,
        str(two.pk),
        None,
        str(one.pk),
    ]
    assert body[5]["check_in_id"] == body[1]["check_in_id"] is not None
    assert CheckInAttempt.objects.count() == 3
    assert len(audit()) == 2


BAD = [
    {},
    {"ticket_code": ""},
    {"ticket_code": "x" * 201},
    {"ticket_code": ["x"]},
    {"ticket_code": None},
    {"ticket_code": {"a": {"b": {}}}},
    {"attendee_id": "x"},
    {"ticket_code": "x", "attendee_id": str(uuid4())},
    {"ticket_code": "x", "scanned_at": "yesterday"},
    {"ticket_code": "x", "scanned_at": "0001-01-01T00:00:00+14:00"},
    {"ticket_code": "x", "scanned_at": "9999-12-31T23:59:59-14:00"},
    {"ticket_code": "x", "scanned_at": 2**63},
    {"ticket_code": "x", "scan_id": "y" * 65},
    {"ticket_code": "x", "scan_id": None},
    {"ticket_code": "x", "scan_id": {}},
    {"ticket_code": True},
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_scan_is_refused_and_hurts_no_other(event, door, attendee, bad):
    assert door.post(address(event), bad).status_code == 400
    good = {"ticket_code": attendee.ticket_code, "scan_id": "good"}
    answer = said(batch(door, event, bad, good, bad))["results"]
    assert [(one["result"], one["code"]) for one in answer] == [
        ("refused", "invalid"),
        ("checked_in", None),
        ("refused", "invalid"),
    ]
    assert answer[0]["detail"] and answer[0]["attendee"] is None
    assert not CheckInAttempt.objects.exists()


def test_a_batch_of_the_same_person_counts_the_earliest(event, door, attendee):
    early = NOW() - timedelta(minutes=40)
    answer = batch(
        door,
        event,
        {"ticket_code": attendee.ticket_code, "scan_id": "b", "scanned_at": ago(minutes=10)},
        {"ticket_code": attendee.ticket_code, "scan_id": "a", "scanned_at": early.isoformat()},
        {"ticket_code": attendee.ticket_code, "scan_id": "c"},
    )
    assert results(answer) == [("already_checked_in", None), ("checked_in", None), ("already_checked_in", None)]
    assert {moment(one["checked_in_at"]) for one in answer.json()["results"]} == {early}
    assert len({one["check_in_id"] for one in answer.json()["results"]}) == 1
    assert audit() == [("unknown", "present", "scan")]
    attendee.refresh_from_db()
    assert attendee.attendance_marked_at == early


def test_a_batch_with_the_same_scan_twice(event, door, attendee):
    one = {"ticket_code": attendee.ticket_code, "scan_id": "one"}
    lost = {"ticket_code": "nobody", "scan_id": "two"}
    answer = batch(door, event, one, lost, one, lost)
    assert results(answer) == [("checked_in", None), ("refused", "unknown_ticket")] * 2
    assert (CheckIn.objects.count(), CheckInAttempt.objects.count()) == (1, 1)
    assert batch(door, event, one, lost, one, lost).json() == answer.json()
    assert (CheckIn.objects.count(), CheckInAttempt.objects.count()) == (1, 1)


def test_a_batch_at_a_point(event, door, attendee):
    talk = point(event, "Talk", kind="session")
    answer = batch(door, event, {"ticket_code": attendee.ticket_code}, point=talk.pk)
    assert results(answer) == [("checked_in", None)]
    assert (CheckIn.objects.get().point, status_of(attendee)) == (talk, "unknown")


def test_a_batch_has_up_to_five_hundred(event, door):
    attendees = AttendeeFactory.create_batch(500, event=event)
    scans = [{"ticket_code": one.ticket_code} for one in attendees]
    assert set(results(batch(door, event, *scans))) == {("checked_in", None)}
    assert Attendee.objects.here().count() == 500 == len(audit())
    for wrong in ([*scans, scans[0]], []):
        response = batch(door, event, *wrong)
        assert response.status_code == 400
    for wrong in ("x", [1], {"a": 1}, None, [[]]):
        assert door.post(address(event, "check-ins/batch/"), {"scans": wrong}).status_code == 400


# -- Undo ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["unknown", "absent", "excused"])
def test_undo_goes_back_to_what_was_before(event, door, attendee, before):
    if before != "unknown":
        mark(attendee, before)
    key = said(scan(door, attendee))["check_in_id"]
    body = said(undo(door, event, key))
    assert (body["result"], body["attendee"]["status"]) == ("undone", before)
    assert status_of(attendee) == before
    assert audit()[-1] == ("present", before, "undo")
    row = CheckIn.objects.get()
    assert row.undone_at is not None and row.undone_by == door.person
    assert attendee.attendance_marked_by == door.person


def test_undo_twice_is_undone_once(event, door, attendee):
    key = said(scan(door, attendee))["check_in_id"]
    undo(door, event, key)
    body = said(undo(door, event, key))
    assert (body["result"], body["attendee"]["status"]) == ("already_undone", "unknown")
    assert len(audit()) == 2


def test_undone_people_come_in_again(event, door, attendee):
    first = said(scan(door, attendee))["check_in_id"]
    undo(door, event, first)
    again = said(scan(door, attendee))
    assert (again["result"], again["check_in_id"] != first) == ("checked_in", True)
    assert [step[1] for step in audit()] == ["present", "unknown", "present"]


def test_only_the_last_can_be_undone(event, door, organizing):
    one, two = AttendeeFactory.create_batch(2, event=event)
    keys = [said(scan(door, each))["check_in_id"] for each in (one, two)]
    assert refused(undo(door, event, keys[0])) == (409, "undo_not_last")
    assert status_of(one) == "present"
    assert said(undo(door, event, keys[1]))["result"] == "undone"
    assert said(undo(door, event, keys[0]))["result"] == "undone"


def test_the_last_of_a_batch_is_the_one_scanned_last(event, door):
    attendees = sorted(AttendeeFactory.create_batch(6, event=event), key=lambda one: one.pk.int % 7)
    scans = [{"ticket_code": one.ticket_code, "scanned_at": ago(minutes=30 - n)} for n, one in enumerate(attendees)]
    keys = [one["check_in_id"] for one in said(batch(door, event, *reversed(scans)))["results"]][::-1]
    assert {refused(undo(door, event, key)) for key in keys[:-1]} == {(409, "undo_not_last")}
    for key in reversed(keys):
        assert said(undo(door, event, key))["result"] == "undone"


def test_anothers_scan_takes_an_organizer(event, door, organizing, attendee):
    key = said(scan(door, attendee))["check_in_id"]
    for other in (doorkeeper(event, "Emil", "Else"), device(event)):
        assert refused(undo(other, event, key)) == (409, "undo_not_last")
    assert status_of(attendee) == "present"
    assert said(undo(organizing, event, key))["result"] == "undone"
    assert CheckIn.objects.get().undone_by == organizing.person


def test_a_device_undoes_its_own(event, attendee):
    gate = device(event)
    key = said(scan(gate, attendee))["check_in_id"]
    assert said(undo(gate, event, key))["result"] == "undone"
    row = AttendanceAudit.objects.order_by("id").last()
    assert (row.to_status, row.source, row.device, row.actor) == ("unknown", "undo", gate.row, None)


@pytest.mark.parametrize(("minutes", "possible"), [(14.9, True), (15.1, False)])
def test_undo_is_possible_for_fifteen_minutes(event, door, organizing, attendee, minutes, possible):
    key = said(scan(door, attendee))["check_in_id"]
    CheckIn.objects.update(received_at=NOW() - timedelta(minutes=minutes))
    response = undo(door, event, key)
    if possible:
        assert said(response)["result"] == "undone"
        return
    assert refused(response) == (409, "undo_expired")
    assert status_of(attendee) == "present"
    assert said(undo(organizing, event, key))["result"] == "undone"


def test_undo_after_a_mark_by_hand(event, door, organizing, attendee):
    """What an organiser has said since stays, be it here or not."""
    for status, answer in (("excused", "already_undone"), ("late", "undone")):
        mark(attendee, "unknown")
        key = said(scan(door, attendee))["check_in_id"]
        mark(attendee, status, organizing.person, AttendanceSource.API)
        assert said(undo(door, event, key))["result"] == answer
        assert status_of(attendee) == status


def test_undo_of_a_repeat_or_of_elsewhere_is_not_found(event, door, attendee):
    key = said(scan(door, attendee, scan_id="one"))["check_in_id"]
    scan(door, attendee, scan_id="two")
    repeat = CheckIn.objects.get(result="already_checked_in").pk
    other = EventFactory(organization=event.organization)
    assert refused(undo(door, event, repeat)) == (404, "not_found")
    assert refused(undo(door, other, key)) == (404, "not_found")
    for strange in (0, 2**63, 10**30):
        assert refused(undo(door, event, strange)) == (404, "not_found")
    assert status_of(attendee) == "present"


def test_undo_of_a_session_leaves_attendance(event, door, attendee):
    talk = point(event, "Talk", kind="session")
    scan(door, attendee)
    key = said(scan(door, attendee, point=talk.pk))["check_in_id"]
    assert said(undo(door, event, key))["attendee"]["status"] == "present"
    assert len(audit()) == 1
    assert said(scan(door, attendee, point=talk.pk))["result"] == "checked_in"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_undo_of_one_of_two_doors_leaves_the_other(event, door, organizing, attendee, order):
    """Only when both are undone the person is out, whichever is the first."""
    side = point(event)
    keys = [said(scan(door, attendee, **where))["check_in_id"] for where in ({}, {"point": side.pk})]
    assert said(undo(organizing, event, keys[order[0]]))["attendee"]["status"] == "present"
    assert said(undo(organizing, event, keys[order[1]]))["attendee"]["status"] == "unknown"
    assert audit() == [("unknown", "present", "scan"), ("present", "unknown", "undo")]


def test_undo_of_somebody_removed_since(event, door, attendee):
    key = said(scan(door, attendee))["check_in_id"]
    remove(attendee)
    assert refused(undo(door, event, key)) == (409, "ticket_revoked")
    assert CheckIn.objects.get().undone_at is None


def test_an_approved_person_comes_in(event, door, organizing):
    """From the request to the door."""
    asked = JoinRequestFactory(event=event)
    body = said(organizing.patch(f"/api/v1/join-requests/{asked.pk}/", {"status": "approved"}))
    attendee = Attendee.objects.get(pk=body["attendee_id"])
    assert said(scan(door, attendee))["result"] == "checked_in"
