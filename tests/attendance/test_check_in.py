"""The door: scans, repeats, refusals, undo."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from attendance.models import AttendanceAudit, CheckIn, CheckInAttempt
from tests.factories import AttendeeFactory, EventFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def door(event, as_person):
    """The API of somebody who stands at the event's door."""
    person = member(event.organization, "door", first_name="Dora", last_name="Doorkeeper")
    api = as_person(person)
    api.person = person
    return api


def url(event):
    return f"/api/v1/events/{event.pk}/check-ins/"


def scan(api, attendee, event=None, **more):
    return api.post(url(event or attendee.event), {"ticket_code": attendee.ticket_code, **more})


def test_a_ticket_checks_its_holder_in(door, event):
    attendee = AttendeeFactory(event=event, plus_ones=2)
    answer = scan(door, attendee, scan_id="one")
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    attendee.refresh_from_db()
    assert attendee.attendance_status == "present"
    assert attendee.attendance_source == "scan"
    assert attendee.attendance_marked_by == door.person
    assert body["result"] == "checked_in"
    assert body["checked_in_by"] == "Dora Doorkeeper"
    assert body["attendee"] == {
        "id": str(attendee.pk),
        "name": str(attendee.user_profile),
        "photo_url": "",
        "plus_ones": 2,
        "status": "present",
    }
    [audit] = AttendanceAudit.objects.all()
    assert (audit.from_status, audit.to_status, audit.actor, audit.source) == ("unknown", "present", door.person, "scan")


def test_a_check_in_takes_six_statements_and_a_repeat_three(door, event):
    attendee = AttendeeFactory(event=event)
    other = AttendeeFactory(event=event)
    scan(door, other)
    with CaptureQueriesContext(connection, ) as first:
        assert scan(door, attendee, scan_id="one").json()["result"] == "checked_in"
    with CaptureQueriesContext(connection) as retry:
        assert scan(door, attendee, scan_id="one").json()["result"] == "checked_in"
    with CaptureQueriesContext(connection) as repeat:
        assert scan(door, attendee, scan_id="two").json()["result"] == "already_checked_in"
    assert [len(first), len(retry), len(repeat)] == [6, 2, 3], [q["sql"] for q in first]
