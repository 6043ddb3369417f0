"""Attendance by hand."""

import pytest
from django.db import IntegrityError
from django.utils import timezone

from attendance.models import AttendanceAudit, AttendanceStatus, CheckIn, CheckInPoint
from attendance.operations import check_in, marking, record
from config.errors import NotFound
from events.models import UserProfile
from tests.factories import AttendeeFactory

pytestmark = pytest.mark.django_db


def trail():
    rows = AttendanceAudit.objects.order_by("id")
    return list(rows.values_list("from_status", "to_status", "actor", "source", "notes"))


def mark(attendee, status, actor=None, **more):
    outcome = marking.mark(attendee_id=attendee.pk, status=status, actor=actor, **more)
    attendee.refresh_from_db()
    assert outcome.row == attendee
    return outcome.changed


@pytest.fixture
def attendee(event):
    return AttendeeFactory(event=event)


@pytest.mark.parametrize("before", AttendanceStatus)
@pytest.mark.parametrize("after", AttendanceStatus)
def test_any_status_to_any_other(attendee, organizer, before, after):
    mark(attendee, before)
    count = len(trail())
    moment = timezone.now()
    assert mark(attendee, after, organizer) is (before != after)
    assert attendee.attendance_status == after
    if before == after:
        assert len(trail()) == count
    else:
        assert trail()[count:] == [(before, after, organizer.pk, "admin", None)]
        assert moment <= attendee.attendance_marked_at <= attendee.attendance_updated_at
        assert (attendee.attendance_marked_by, attendee.attendance_source) == (organizer, "admin")


def test_a_note_stays_until_another_replaces_it_or_it_is_taken_away(attendee, organizer):
    mark(attendee, "excused", organizer, notes="Ill")
    assert attendee.attendance_notes == "Ill"
    mark(attendee, "absent", organizer)
    assert attendee.attendance_notes == "Ill"
    mark(attendee, "late", organizer, notes="Better")
    assert attendee.attendance_notes == "Better"
    mark(attendee, "present", organizer, notes="")
    assert attendee.attendance_notes is None
    assert [row[-1] for row in trail()] == ["Ill", "Ill", "Better", None]


def test_a_note_alone_changes_the_note_only(attendee, organizer):
    mark(attendee, "late", organizer, notes="Train")
    stood = (attendee.attendance_marked_at, attendee.attendance_marked_by, attendee.attendance_source)
    assert mark(attendee, "late", None, notes="Bus") is True
    assert attendee.attendance_notes == "Bus"
    assert (attendee.attendance_marked_at, attendee.attendance_marked_by, attendee.attendance_source) == stood
    assert len(trail()) == 1
    assert mark(attendee, "late", None) is False
    assert mark(attendee, "late", None, notes="Bus") is False
    assert attendee.attendance_notes == "Bus"
    assert mark(attendee, "late", None, notes="") is True
    assert attendee.attendance_notes is None
    assert len(trail()) == 1


@pytest.mark.parametrize("source", ["admin", "api", "import"])
def test_through_whichever_door(attendee, organizer, source):
    mark(attendee, "present", organizer, source=source)
    assert trail() == [("unknown", "present", organizer.pk, source, None)]


def test_nobody_removed_is_marked(event, organizer):
    gone = AttendeeFactory(event=event, status="removed")
    with pytest.raises(marking.NotAttending):
        marking.mark(attendee_id=gone.pk, status="present", actor=organizer)
    gone.refresh_from_db()
    assert (gone.attendance_status, trail()) == ("unknown", [])


def test_nobody_unknown_is_marked(organizer):
    with pytest.raises(NotFound):
        marking.mark(attendee_id=organizer.pk, status="present", actor=organizer)


def test_a_status_unheard_of_is_refused(attendee, organizer):
    with pytest.raises(record.AttendanceBroken) as caught:
        marking.mark(attendee_id=attendee.pk, status="maybe", actor=organizer)
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert trail() == []


def scan(attendee, organizer, point=None, **more):
    scanner = check_in.Scanner(event=attendee.event, name="Door", person=organizer, role="organizer", point=point)
    [answer] = check_in.check_in(scanner=scanner, scans=[check_in.Scan(ticket_code=attendee.ticket_code, **more)])
    attendee.refresh_from_db()
    return answer


@pytest.mark.parametrize("status", ["unknown", "absent", "excused"])
def test_who_is_set_back_can_be_checked_in_again(attendee, organizer, event, status):
    door = CheckInPoint.objects.create(event=event, name="Back door")
    hall = CheckInPoint.objects.create(event=event, name="Hall", kind="session")
    for point in (None, door, hall):
        assert scan(attendee, organizer, point).result == "checked_in"
    mark(attendee, status, organizer)
    closed = dict(CheckIn.objects.values_list("point__name", "undone_by"))
    assert closed == {None: organizer.pk, "Back door": organizer.pk, "Hall": None}
    assert scan(attendee, organizer, door).result == "checked_in"
    assert attendee.attendance_status == "present"


def test_from_present_to_late_nobody_is_checked_out(attendee, organizer):
    scan(attendee, organizer)
    mark(attendee, "late", organizer)
    assert not CheckIn.objects.exclude(undone_at=None).exists()
    assert scan(attendee, organizer).result == "already_checked_in"
    assert attendee.attendance_status == "late"


def test_who_was_marked_by_hand_is_in_already(attendee, organizer):
    mark(attendee, "present", organizer)
    assert scan(attendee, organizer).result == "already_checked_in"
    assert len(trail()) == 1


def test_marking_takes_few_queries(attendee, organizer, django_assert_num_queries):
    with django_assert_num_queries(5):  # savepoint, lock, write, read again, release
        marking.mark(attendee_id=attendee.pk, status="present", actor=organizer)
    with django_assert_num_queries(3):
        marking.mark(attendee_id=attendee.pk, status="present", actor=organizer)


# -- record.write --------------------------------------------------------------------------------------


def a_mark(attendee, **fields):
    standard = {"version": attendee.attendance_updated_at, "new": "present", "at": timezone.now(), "source": "admin"}
    return record.Mark(attendee_id=attendee.pk, **standard | fields)


def test_write_leaves_out_who_changed_and_who_is_gone(event):
    fine, outrun = AttendeeFactory.create_batch(2, event=event)
    gone = AttendeeFactory(event=event, status="removed")
    mark(outrun, "late")
    stale = a_mark(outrun, version=None)
    assert record.write([a_mark(fine), stale, a_mark(gone)]) == {fine.pk}
    assert [row[:2] for row in trail()] == [("unknown", "late"), ("unknown", "present")]


def test_write_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert record.write([]) == set()


@pytest.mark.parametrize("count", [1, 50])
def test_write_takes_one_query_for_any_number(event, django_assert_num_queries, count):
    rows = AttendeeFactory.create_batch(count, event=event)
    with django_assert_num_queries(1):
        assert len(record.write([a_mark(one) for one in rows])) == count
    assert len(trail()) == count


def test_no_note_is_written_about_who_was_erased(event, organizer):
    """Nothing would take it from the audit again."""
    attendee = AttendeeFactory(event=event)
    UserProfile.objects.filter(pk=attendee.user_profile_id).update(erased_at=timezone.now(), is_active=False)
    with pytest.raises(marking.PersonErased):
        marking.mark(attendee_id=attendee.pk, status=AttendanceStatus.PRESENT, actor=organizer, notes="Erik again")
    assert trail() == []
    assert marking.mark(attendee_id=attendee.pk, status=AttendanceStatus.PRESENT, actor=organizer).changed
