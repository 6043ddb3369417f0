"""What attendance promises, with faults planted past the constraints and triggers; and the backfill."""

import io
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from attendance import integrity as promises
from attendance.models import AttendanceAudit, Attendee
from attendance.operations import marking
from config import integrity
from tests.factories import AttendeeFactory, EventFactory, crowd
from tests.requests.test_integrity import found, load

pytestmark = pytest.mark.django_db


def run(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)


def trail(attendee):
    rows = AttendanceAudit.objects.filter(attendee=attendee).order_by("id")
    return list(rows.values_list("from_status", "to_status", "actor", "source", "notes"))


def broken(attendee, status):
    """As rows were before the database checked them."""
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE event_attendees DROP CONSTRAINT IF EXISTS attendance_attendee_attendance_known")
    run("ALTER TABLE event_attendees DROP CONSTRAINT IF EXISTS attendance_attendee_attendance_source_known")
    run("ALTER TABLE event_attendees ALTER attendance_status DROP NOT NULL")
    load("UPDATE event_attendees SET attendance_status = %s WHERE id = %s", status, attendee.pk)


def backfill(*arguments, **options):
    out = io.StringIO()
    call_command("backfill", "attendance", *arguments, stdout=out, **options)
    return out.getvalue().splitlines()


@pytest.fixture
def three(event):
    """One without a status, one with a status unheard of, one that is fine."""
    rows = AttendeeFactory.create_batch(3, event=event)
    marking.mark(attendee_id=rows[2].pk, status="late", actor=None)
    broken(rows[0], None)
    broken(rows[1], "maybe")
    return rows


# -- Statuses --------------------------------------------------------------------------------------


def test_attendance_finds_no_status_and_one_unheard_of(event, three):
    assert set(promises.without_a_status()) == set(three[:2]) == set(promises.without_a_status(event_id=event.pk))
    assert not promises.without_a_status(event_id=EventFactory().pk).exists()
    assert found("attendance") == {"attendance": ("critical", 2)}


def test_backfill_of_attendance_is_on_record(three):
    run("UPDATE event_attendees SET attendance_notes = 'Kept' WHERE id = %s", three[1].pk)
    before = timezone.now()
    assert backfill()[0] == "2 of 2 mended, 0 left."
    for attendee in three:
        attendee.refresh_from_db()
    assert [one.attendance_status for one in three] == ["unknown", "unknown", "late"]
    assert [one.attendance_source for one in three] == ["backfill", "backfill", "admin"]
    assert before <= three[0].attendance_marked_at
    assert trail(three[0]) == [(None, "unknown", None, "backfill", None)]
    assert trail(three[1]) == [("maybe", "unknown", None, "backfill", "Kept")]
    assert len(trail(three[2])) == 1
    assert found("attendance", "attendance_audit") == {
        "attendance": ("healthy", 0),
        "attendance_audit": ("healthy", 0),
    }
    assert backfill()[0] == "0 of 0 mended, 0 left."
    assert AttendanceAudit.objects.count() == 3


def test_backfill_of_attendance_mends_the_removed_too(event):
    gone = AttendeeFactory(event=event, status="removed")
    broken(gone, None)
    assert backfill()[0] == "1 of 1 mended, 0 left."


def test_backfill_of_attendance_dry(three):
    assert backfill("--dry-run") == ["2 to mend. Dry run: nothing was changed."]
    assert promises.without_a_status().count() == 2
    assert AttendanceAudit.objects.filter(source="backfill").count() == 0


def test_backfill_of_attendance_of_one_event(event, three):
    elsewhere = AttendeeFactory()
    broken(elsewhere, "maybe")
    assert backfill("--event", str(elsewhere.event_id))[0] == "1 of 1 mended, 0 left."
    assert set(promises.without_a_status()) == set(three[:2])


def test_backfill_of_attendance_stopped_goes_on_where_it_was(event, monkeypatch):
    rows = AttendeeFactory.create_batch(5, event=event)
    for one in rows:
        broken(one, None)
    invariant = integrity.repairs()["attendance"]
    batches = invariant.mend(batch_size=2)
    assert next(batches) == (2, 2)
    batches.close()
    assert promises.without_a_status().count() == 3
    assert backfill("--batch-size", "2")[0] == "3 of 3 mended, 0 left."
    assert [len(trail(one)) for one in rows] == [1] * 5


def test_backfill_of_attendance_leaves_alone_who_was_mended_meanwhile(three):
    run("UPDATE event_attendees SET attendance_status = 'present' WHERE id = %s", three[0].pk)
    assert integrity.repairs()["attendance"].repair(rows=[one.pk for one in three]) == 1
    assert Attendee.objects.get(pk=three[0].pk).attendance_status == "present"


def test_the_record_has_no_backfill():
    with pytest.raises(CommandError, match="There is no backfill “attendance_audit”"):
        call_command("backfill", "attendance_audit")


# -- The record ---------------------------------------------------------------------------------------


def test_attendance_audit_finds_what_was_written_past_the_triggers(event):
    fine, never, other = AttendeeFactory.create_batch(3, event=event)
    AttendeeFactory(event=event)
    for status in ("present", "late", "unknown", "excused"):
        marking.mark(attendee_id=fine.pk, status=status, actor=None)
        marking.mark(attendee_id=other.pk, status=status, actor=None)
    assert found("attendance_audit") == {"attendance_audit": ("healthy", 0)}
    load("UPDATE event_attendees SET attendance_status = 'present', attendance_source = 'sql' WHERE id = %s", never.pk)
    load("UPDATE event_attendees SET attendance_status = 'unknown' WHERE id = %s", other.pk)
    assert set(promises.off_the_record()) == {never, other} == set(promises.off_the_record(event_id=event.pk))
    assert not promises.off_the_record(event_id=EventFactory().pk).exists()
    assert found("attendance_audit") == {"attendance_audit": ("critical", 2)}


def test_attendance_audit_finds_a_row_without_a_status(event):
    attendee = AttendeeFactory(event=event)
    broken(attendee, None)
    assert list(promises.off_the_record()) == [attendee]


def test_attendance_audit_finds_a_record_that_was_deleted(event):
    attendee = AttendeeFactory(event=event)
    marking.mark(attendee_id=attendee.pk, status="present", actor=None)
    load("DELETE FROM event_attendance_audit")
    assert list(promises.off_the_record()) == [attendee]


def test_attendance_audit_is_quick_for_many(event):
    crowd(event, 20_000, attendance_status="late")
    began = time.monotonic()
    assert promises.off_the_record().count() == 0
    assert time.monotonic() - began < 2


# -- Events that nobody completes ---------------------------------------------------------------------


def ended(ago, **fields):
    now = timezone.now()
    return EventFactory(starts_at=now - timedelta(days=2), ends_at=now - ago, **fields)


def test_overdue_events_waits_for_ten_minutes_after_the_grace():
    just = ended(timedelta(minutes=39))
    late = ended(timedelta(minutes=41))
    no_grace = ended(timedelta(minutes=11), auto_absence_grace=timedelta(0), auto_absence="never")
    for status in ("draft", "cancelled", "completed"):
        ended(timedelta(days=1), status=status)
    assert set(promises.overdue()) == {late, no_grace}
    assert list(promises.overdue(event_id=late.pk)) == [late]
    assert not promises.overdue(event_id=just.pk).exists()
    assert found("overdue_events") == {"overdue_events": ("warning", 2)}


def test_unknown_attendees_of_a_completed_event_are_fine():
    """Somebody has set them back by hand, or the event wanted nobody marked."""
    attendee = AttendeeFactory(event=ended(timedelta(days=1), status="completed"))
    marking.mark(attendee_id=attendee.pk, status="absent", actor=None)
    marking.mark(attendee_id=attendee.pk, status="unknown", actor=None)
    assert {one.level for one in integrity.run(["attendance", "attendance_audit", "overdue_events"])} == {"healthy"}
