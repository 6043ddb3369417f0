"""People and devices at a door, for tests."""

from datetime import timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from attendance.models import AttendanceAudit, CheckInPoint, DoorDevice
from attendance.operations import devices
from events.sign_in import access_token
from tests.factories import member

NOW = timezone.now
DORA = "Dora Doorkeeper"


def api_of(person) -> APIClient:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(person)}")
    api.person = person
    return api


def doorkeeper(event, first_name="Dora", last_name="Doorkeeper", role="door") -> APIClient:
    return api_of(member(event.organization, role, first_name=first_name, last_name=last_name))


def device(event, name="Scanner", points=(), **fields) -> APIClient:
    """A registered device, as a client with its token; ``.row`` is its row."""
    row = DoorDevice.objects.create(event=event, name=name, **fields)
    row.points.set(points)
    devices.new_code(device_id=row.pk, actor=None)
    row.refresh_from_db()
    row, token = devices.enrol(code=row.enrolment_code)
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Device {token}")
    api.row, api.token = row, token
    return api


def point(event, name="Side entrance", **fields) -> CheckInPoint:
    return CheckInPoint.objects.create(event=event, name=name, **fields)


def address(event, rest="check-ins/") -> str:
    return f"/api/v1/events/{event.pk}/{rest}"


def scan(api, attendee, event=None, **more):
    return api.post(address(event or attendee.event), {"ticket_code": attendee.ticket_code, **more})


def batch(api, event, *scans, **more):
    return api.post(address(event, "check-ins/batch/"), {"scans": list(scans), **more})


def results(response):
    """``(result, code)`` of every scan of a batch."""
    return [(one["result"], one["code"]) for one in said(response)["results"]]


def said(response, status=200) -> dict:
    assert response.status_code == status, response.content
    return response.json()


def refused(response):
    """``(status, code)`` of a refusal, which is one error."""
    [error] = response.json()["errors"]
    return response.status_code, error["code"]


def undo(api, event, check_in_id):
    return api.post(address(event, f"check-ins/{check_in_id}/undo/"))


def status_of(attendee) -> str:
    attendee.refresh_from_db()
    return attendee.attendance_status


def audit(attendee=None):
    rows = AttendanceAudit.objects.order_by("id")
    rows = rows.filter(attendee=attendee) if attendee else rows
    return list(rows.values_list("from_status", "to_status", "source"))


def ago(**delta):
    return (NOW() - timedelta(**delta)).isoformat()


def statements(call) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = call()
    assert response.status_code in (200, 201), response.content
    return len(captured)
