"""Door devices: registered once, limited to their event and points, out at once when revoked."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from attendance.models import CheckIn, DoorDevice
from attendance.operations import devices
from tests.factories import AttendeeFactory, EventFactory

from .at_the_door import NOW, address, batch, device, point, refused, said, scan, statements, status_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(event):
    """A device that waits to be registered."""
    one = DoorDevice.objects.create(event=event, name="Gate")
    return devices.new_code(device_id=one.pk, actor=None).row


def enrol(code):
    return Client().post("/api/v1/door/devices/", {"code": code}, content_type="application/json")


def with_token(token):
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Device {token}")
    return api


def test_a_code_registers_once(event, row):
    code = row.enrolment_code
    body = said(enrol(code), 201)
    assert body == {
        "token": body["token"],
        "device": {"id": str(row.pk), "name": "Gate"},
        "event_id": event.pk,
    }
    assert with_token(body["token"]).get(address(event, "door/")).status_code == 200
    assert refused(enrol(code)) == (404, "unknown_code")
    assert with_token(body["token"]).get(address(event, "door/")).status_code == 200


def test_the_token_is_told_once_and_kept_as_a_hash(row):
    token = said(enrol(row.enrolment_code), 201)["token"]
    assert len(token) >= 43
    row.refresh_from_db()
    assert (row.token_hash, row.enrolment_code) == (devices.hash_of(token), None)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT count(*) FROM "{table}" AS one WHERE one::text LIKE %s', [f"%{token}%"])
            assert cursor.fetchone() == (0,), table


def test_a_hash_is_no_token(event, row):
    enrol(row.enrolment_code)
    row.refresh_from_db()
    assert refused(with_token(row.token_hash).get(address(event, "door/"))) == (401, "device_revoked")


@pytest.mark.parametrize(("minutes", "works"), [(-1, False), (0.1, True)])
def test_a_code_expires(row, minutes, works):
    assert timedelta(minutes=29) < row.enrolment_expires_at - NOW() <= devices.CODE_LASTS
    DoorDevice.objects.update(enrolment_expires_at=NOW() + timedelta(minutes=minutes))
    response = enrol(row.enrolment_code)
    assert response.status_code == (201 if works else 404)
    row.refresh_from_db()
    assert (row.token_hash is not None) is works


def test_a_device_without_a_code_on_show_registers_nobody(event):
    """The code that every row is born with has not been shown to anybody yet."""
    born = DoorDevice.objects.create(event=event, name="New")
    assert refused(enrol(born.enrolment_code)) == (404, "unknown_code")


@pytest.mark.parametrize("code", ["made-up", "x" * 100, "\u00e4", "'; --"])
def test_other_codes_are_unknown(row, code):
    assert refused(enrol(code)) == (404, "unknown_code")


@pytest.mark.parametrize("code", ["", None, "x" * 101, [], {}])
def test_what_is_no_code_is_refused_as_a_field(row, code):
    answer = enrol(code)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "code")


def test_a_revoked_device_is_out_at_the_next_call(event):
    gate, attendee = device(event), AttendeeFactory(event=event)
    key = said(scan(gate, attendee))["check_in_id"]
    assert devices.revoke(device_id=gate.row.pk, actor=None).changed
    other = AttendeeFactory(event=event)
    for response in (
        gate.get(address(event, "door/")),
        gate.get(address(event, "door/tickets/")),
        scan(gate, other),
        batch(gate, event, {"ticket_code": other.ticket_code}),
        gate.post(address(event, f"check-ins/{key}/undo/")),
        gate.post(address(event, "walk-ins/"), {"first_name": "W", "email": "w@example.net"}),
    ):
        assert refused(response) == (401, "device_revoked")
    assert (status_of(attendee), status_of(other)) == ("present", "unknown")
    assert CheckIn.objects.get().device == gate.row
    assert not devices.revoke(device_id=gate.row.pk, actor=None).changed


def test_a_revoked_device_gets_no_new_code_and_registers_nobody(row):
    code = row.enrolment_code
    devices.revoke(device_id=row.pk, actor=None)
    assert refused(enrol(code)) == (404, "unknown_code")
    with pytest.raises(devices.DeviceRevoked):
        devices.new_code(device_id=row.pk, actor=None)


def test_a_new_code_puts_the_phone_before_out(event):
    gate = device(event)
    fresh = devices.new_code(device_id=gate.row.pk, actor=None).row
    assert refused(gate.get(address(event, "door/"))) == (401, "device_revoked")
    token = said(enrol(fresh.enrolment_code), 201)["token"]
    assert with_token(token).get(address(event, "door/")).status_code == 200
    assert refused(gate.get(address(event, "door/"))) == (401, "device_revoked")


def test_the_database_keeps_no_token_of_a_revoked_device(event):
    from django.db import IntegrityError, transaction

    gate = device(event)
    with pytest.raises(IntegrityError, match="revoked_has_no_token"), transaction.atomic():
        DoorDevice.objects.filter(pk=gate.row.pk).update(revoked_at=NOW())


def test_what_happens_to_a_device_is_on_record(event):
    gate = device(event)
    devices.revoke(device_id=gate.row.pk, actor=None)
    reasons = list(gate.row.history.order_by("history_id").values_list("history_change_reason", flat=True))
    assert reasons[-3:] == ["new code", "registered", "revoked"]
    assert not {"token_hash", "enrolment_code"} & {field.name for field in gate.row.history.model._meta.fields}


def test_a_device_is_limited_to_its_event(event):
    gate = device(event)
    other = EventFactory(organization=event.organization)
    attendee = AttendeeFactory(event=other)
    for response in (
        gate.get(address(other, "door/")),
        gate.get(address(other, "door/tickets/")),
        scan(gate, attendee),
        batch(gate, other, {"ticket_code": attendee.ticket_code}),
    ):
        assert refused(response) == (404, "not_found")
    assert status_of(attendee) == "unknown"


def test_a_device_is_limited_to_its_points(event):
    own, other = point(event, "Own"), point(event, "Other")
    gate = device(event, points=[own], at_door=False)
    attendee = AttendeeFactory(event=event)
    assert refused(scan(gate, attendee, point=other.pk)) == (404, "not_found")
    assert refused(scan(gate, attendee)) == (403, "permission_denied")
    assert refused(batch(gate, event, {"ticket_code": attendee.ticket_code})) == (403, "permission_denied")
    walk_in = {"first_name": "W", "email": "w@example.net"}
    assert refused(gate.post(address(event, "walk-ins/"), walk_in)) == (403, "permission_denied")
    assert status_of(attendee) == "unknown"
    assert said(scan(gate, attendee, point=own.pk))["result"] == "checked_in"
    gate.row.points.clear()
    assert refused(scan(gate, attendee, point=own.pk)) == (404, "not_found")


def test_a_device_at_the_door_only(event):
    side = point(event)
    gate, attendee = device(event), AttendeeFactory(event=event)
    assert refused(scan(gate, attendee, point=side.pk)) == (404, "not_found")
    assert said(scan(gate, attendee))["result"] == "checked_in"


def test_registering_costs_the_same_however_many_devices_there_are(event):
    found = []
    for _n in range(2):
        one = DoorDevice.objects.create(event=event, name="Gate")
        code = devices.new_code(device_id=one.pk, actor=None).row.enrolment_code
        found.append(statements(lambda code=code: enrol(code)))
        device(event), device(event)
    assert found[0] == found[1] == 5
