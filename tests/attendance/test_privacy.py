"""The record of somebody erased: its rows stay, what was written about the person doesn't."""

import json

import pytest
from django.db import IntegrityError, transaction
from rest_framework.utils.encoders import JSONEncoder

from attendance.models import AttendanceAudit, Attendee, CheckIn
from attendance.operations import check_in, marking
from events.models import Event
from events.operations import privacy
from tests.factories import AttendeeFactory, EventFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def past(event, organizer):
    """Somebody who was marked twice with notes, scanned once, and whose event is over."""
    attendee = AttendeeFactory(event=event)
    marking.mark(attendee_id=attendee.pk, status="excused", actor=organizer, notes="Jane is ill")
    scanner = check_in.Scanner(event=event, name="Door", person=organizer, role="organizer")
    check_in.check_in(scanner=scanner, scans=[check_in.Scan(ticket_code=attendee.ticket_code, scan_id="one")])
    marking.mark(attendee_id=attendee.pk, status="late", actor=organizer, notes="Jane had a flat tyre")
    Event.objects.filter(pk=event.pk).update(status="completed")
    return attendee


def rows(*fields):
    return list(AttendanceAudit.objects.order_by("id").values_list(*fields))


def test_export_tells_the_whole_record(past, event):
    data = privacy.export(actor=past.user_profile)
    record = data["attendance_record"]
    assert [(one["from_status"], one["to_status"], one["source"], one["notes"]) for one in record["changes"]] == [
        ("unknown", "excused", "admin", "Jane is ill"),
        ("excused", "present", "scan", "Jane is ill"),
        ("present", "late", "admin", "Jane had a flat tyre"),
    ]
    assert [(one["event__title"], one["point__name"], one["result"]) for one in record["check_ins"]] == [
        (event.title, None, "checked_in")
    ]
    [attendance] = data["attendances"]
    assert (attendance["attendance_status"], attendance["attendance_notes"]) == ("late", "Jane had a flat tyre")
    json.dumps(data, cls=JSONEncoder)


def test_export_tells_nothing_of_others(past, event, organizer):
    marking.mark(attendee_id=AttendeeFactory().pk, status="absent", actor=organizer, notes="Somebody else")
    assert "Somebody else" not in json.dumps(privacy.export(actor=past.user_profile), cls=JSONEncoder)
    assert privacy.export(actor=organizer)["attendance_record"] == {"changes": [], "check_ins": []}


def test_erasing_keeps_rows_and_counts_and_drops_the_notes(past, event, organizer):
    other = AttendeeFactory(event=EventFactory(organization=event.organization))
    marking.mark(attendee_id=other.pk, status="late", actor=organizer, notes="Another's")
    before = rows("attendee", "from_status", "to_status", "actor", "source", "marked_at", "db_user", "created_at")
    privacy.erase(person_id=past.user_profile_id, actor=past.user_profile)
    assert before == rows(
        "attendee", "from_status", "to_status", "actor", "source", "marked_at", "db_user", "created_at"
    )
    assert [note for (note,) in rows("notes")] == [None, None, None, "Another's"]
    past.refresh_from_db()
    assert (past.attendance_status, past.attendance_notes, past.status) == ("late", None, "active")
    assert CheckIn.objects.count() == 1
    assert Event.objects.get(pk=event.pk).seats_taken == 1


def test_erasing_who_marked_keeps_the_notes_and_a_nameless_actor(past, organizer):
    privacy.erase(person_id=organizer.pk, actor=organizer)
    assert [note for (note,) in rows("notes")] == ["Jane is ill", "Jane is ill", "Jane had a flat tyre"]
    assert {actor for (actor,) in rows("actor")} == {organizer.pk}
    row = AttendanceAudit.objects.first()
    assert (row.actor.first_name, row.actor.email) == ("", None)
    assert row.actor.erased_at is not None


def test_notes_go_only_once_the_person_is_erased(past):
    with pytest.raises(IntegrityError), transaction.atomic():
        AttendanceAudit.objects.update(notes=None)
    assert rows("notes")[0] == ("Jane is ill",)


def test_erasing_somebody_expected_leaves_no_attendance(event):
    attendee = AttendeeFactory(event=event)
    privacy.erase(person_id=attendee.user_profile_id, actor=attendee.user_profile)
    assert Attendee.objects.get().status == "removed"
    assert rows("id") == []
