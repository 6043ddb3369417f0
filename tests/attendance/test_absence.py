"""Events that are over: completed, and who never showed up is absent."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from attendance import tasks
from attendance.models import AttendanceAudit, Attendee
from attendance.operations import absence, check_in, marking
from config.errors import ConstraintViolated, NotFound
from events.models import Event
from requests.operations import join_requests
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, crowd

pytestmark = pytest.mark.django_db

GRACE = timedelta(minutes=30)


def ended(ago=timedelta(hours=1), **fields):
    """An event that was over so long ago."""
    now = timezone.now()
    return EventFactory(starts_at=now - timedelta(days=4), ends_at=now - ago, **fields)


def mark(attendee, status, actor=None):
    marking.mark(attendee_id=attendee.pk, status=status, actor=actor)


def trail(*attendees):
    rows = AttendanceAudit.objects.order_by("id")
    rows = rows.filter(attendee__in=attendees) if attendees else rows
    return list(rows.values_list("from_status", "to_status", "actor", "source"))


def statuses(event):
    return sorted(Attendee.objects.filter(event=event).values_list("attendance_status", flat=True))


def complete(event, **size):
    summary = absence.complete(event_id=event.pk, **size)
    event.refresh_from_db()
    return summary


ABSENT = ("unknown", "absent", None, "auto_absence")


# -- When ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [timedelta(0), GRACE, timedelta(days=2)])
def test_due_from_the_end_of_the_grace_on(grace):
    over = ended(grace + timedelta(seconds=1), auto_absence_grace=grace)
    ended(grace - timedelta(seconds=30), auto_absence_grace=grace)
    assert list(absence.due()) == [over]


def test_due_at_the_very_moment_by_the_database_s_clock():
    """The end is written as the statement's own time: due to the microsecond, whatever the program's clock says."""
    event = ended(auto_absence_grace=timedelta(0))
    sql, params = absence.due().order_by().values("id").query.sql_with_params()
    assert "<= (STATEMENT_TIMESTAMP() - " in sql or "<= ((STATEMENT_TIMESTAMP() - " in sql
    for shift, found in (("0 seconds", 1), ("1 microsecond", 0), ("-1 microsecond", 1)):
        column, moment = '"events"."ends_at" <=', f"STATEMENT_TIMESTAMP() + interval '{shift}' <="
        assert sql.count(column) == 1
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM ({sql.replace(column, moment)}) AS due", params)
            assert (shift, cursor.fetchone()[0]) == (shift, found)
    assert event.auto_absence_grace == timedelta(0)


@pytest.mark.parametrize("status", ["draft", "cancelled", "completed"])
def test_only_published_events_are_completed(status):
    event = ended(status=status)
    AttendeeFactory.create_batch(2, event=event)
    assert not absence.due().exists()
    assert absence.mark_batch(event_id=event.pk) == 0
    assert complete(event).completed is False
    assert (event.status, statuses(event), trail()) == (status, ["unknown"] * 2, [])


def test_an_event_that_goes_on_is_left_alone(event):
    AttendeeFactory(event=event)
    assert complete(event).completed is False
    assert (event.status, statuses(event)) == ("published", ["unknown"])


def test_no_such_event(db):
    with pytest.raises(NotFound):
        absence.complete(event_id=4711)


# -- Whom --------------------------------------------------------------------------------------------


def test_the_unknown_become_absent_and_nobody_else(organizer):
    event = ended()
    unknown = AttendeeFactory.create_batch(2, event=event)
    others = {status: AttendeeFactory(event=event) for status in ("present", "late", "excused", "absent")}
    for status, attendee in others.items():
        mark(attendee, status, organizer)
    gone, elsewhere = AttendeeFactory(event=event, status="removed"), AttendeeFactory()
    before = {one.pk: one.attendance_updated_at for one in Attendee.objects.exclude(pk__in=[u.pk for u in unknown])}
    moment = timezone.now()
    summary = complete(event)
    assert (summary.attendees, summary.marked, summary.batches, summary.completed) == (6, 2, 1, True)
    assert event.status == "completed"
    for attendee in unknown:
        attendee.refresh_from_db()
        assert (attendee.attendance_status, attendee.attendance_source) == ("absent", "auto_absence")
        assert (attendee.attendance_marked_by, attendee.attendance_notes) == (None, None)
        assert attendee.attendance_marked_at >= moment
    assert trail(*unknown) == [ABSENT] * 2
    assert before == {one.pk: one.attendance_updated_at for one in Attendee.objects.filter(pk__in=before)}
    assert trail(gone, elsewhere) == []
    [old, new] = event.history.order_by("history_id")[:2]
    assert (old.status, new.status, new.history_user) == ("published", "completed", None)
    assert new.history_change_reason == "the event is over"


def test_nobody_is_left_twice(event):
    event = ended()
    AttendeeFactory.create_batch(3, event=event)
    complete(event)
    again = complete(event)
    assert (again.marked, again.completed) == (0, False)
    assert trail() == [ABSENT] * 3
    assert event.history.filter(status="completed").count() == 1


def test_an_event_without_attendees_is_completed():
    event = ended()
    assert complete(event).completed is True
    assert event.status == "completed"


@pytest.mark.parametrize("mode", ["never", "if_used"])
def test_events_that_nobody_wants_marked_are_completed_all_the_same(mode):
    event = ended(auto_absence=mode)
    AttendeeFactory(event=event)
    summary = complete(event)
    assert (summary.completed, summary.marked) == (True, 0)
    assert (event.status, statuses(event), trail()) == ("completed", ["unknown"], [])


@pytest.mark.parametrize(
    ("source", "used"),
    [("scan", True), ("admin", True), ("api", True), ("import", True), ("sql", False), ("backfill", False)],
)
def test_if_used_asks_whether_anybody_took_attendance(source, used):
    event = ended(auto_absence="if_used")
    seen, _unseen = AttendeeFactory.create_batch(2, event=event)
    AttendeeFactory(event=ended(auto_absence="if_used"))
    marking.mark(attendee_id=seen.pk, status="late", actor=None, source=source)
    assert complete(event).completed is True
    assert statuses(event) == (["absent", "late"] if used else ["late", "unknown"])
    assert complete(Event.objects.exclude(pk=event.pk).get()).marked == 0


def test_never_marks_nobody_though_it_was_used(organizer):
    event = ended(auto_absence="never")
    mark(AttendeeFactory(event=event), "present", organizer)
    AttendeeFactory(event=event)
    complete(event)
    assert statuses(event) == ["present", "unknown"]


# -- Batch by batch ----------------------------------------------------------------------------------


BY_TWO = {"batch_size": 2}


def logged(caplog, name):
    return [one.msg for one in caplog.records if isinstance(one.msg, dict) and one.msg["event"] == name]


def test_each_batch_and_the_sum_are_logged(caplog):
    caplog.set_level("INFO")
    event = ended()
    AttendeeFactory.create_batch(5, event=event)
    complete(event, **BY_TWO)
    lines = logged(caplog, "attendance.auto_absence.batch")
    assert [(one["event_id"], one["batch"], one["marked"]) for one in lines] == [
        (event.pk, 1, 2), (event.pk, 2, 2), (event.pk, 3, 1),
    ]  # fmt: skip
    assert all(isinstance(one["ms"], int) for one in lines)
    [line] = logged(caplog, "attendance.auto_absence.summary")
    assert {name: line[name] for name in ("event_id", "attendees", "marked", "batches")} == {
        "event_id": event.pk, "attendees": 5, "marked": 5, "batches": 3,
    }  # fmt: skip
    assert isinstance(line["ms"], int)


def test_nothing_done_is_nothing_logged(event, caplog):
    caplog.set_level("INFO")
    complete(event)
    assert logged(caplog, "attendance.auto_absence.summary") == []


def test_a_crash_between_batches_is_picked_up():
    """What a killed worker leaves: two batches committed, and nothing after them."""
    event = ended()
    AttendeeFactory.create_batch(5, event=event)
    assert [absence.mark_batch(event_id=event.pk, size=2) for _ in range(2)] == [2, 2]
    assert (event.status, statuses(event)) == ("published", ["absent"] * 4 + ["unknown"])
    summary = complete(event, **BY_TWO)
    assert (summary.marked, summary.batches, summary.completed) == (1, 1, True)
    assert trail() == [ABSENT] * 5


def test_a_batch_that_the_database_refuses_leaves_nothing_of_itself():
    event = ended()
    AttendeeFactory(event=event)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE event_attendees ADD CONSTRAINT nobody_is_absent CHECK (attendance_status <> 'absent')"
        )
    with pytest.raises(ConstraintViolated, match="nobody_is_absent"):
        complete(event)
    assert (statuses(event), trail()) == (["unknown"], [])


@pytest.mark.parametrize(
    "change",
    [{"ends_at": timezone.now() + timedelta(days=1)}, {"status": "cancelled"}, {"status": "draft"},
     {"auto_absence_grace": timedelta(days=20)}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_an_event_changed_between_batches_is_left_alone_and_its_people_are_expected_again(change):
    event = ended()
    AttendeeFactory.create_batch(5, event=event)
    by_hand = AttendeeFactory(event=event)
    mark(by_hand, "absent")
    assert absence.mark_batch(event_id=event.pk, size=2) == 2
    Event.objects.filter(pk=event.pk).update(**change)
    assert list(absence.moved()) == [event]
    summary = complete(event)
    assert (summary.marked, summary.completed, summary.taken_back) == (0, False, 2)
    assert event.status != "completed"
    assert statuses(event) == ["absent"] + ["unknown"] * 5
    assert trail()[-2:] == [("absent", "unknown", None, "auto_absence")] * 2
    assert (list(absence.moved()), absence.take_back(event_id=event.pk)) == ([], 0)


def test_the_sweep_finds_what_was_moved_while_a_worker_died():
    event = ended()
    AttendeeFactory.create_batch(3, event=event)
    absence.mark_batch(event_id=event.pk, size=2)
    Event.objects.filter(pk=event.pk).update(ends_at=timezone.now() + timedelta(days=1))
    tasks.complete_events()
    assert statuses(event) == ["unknown"] * 3


def test_of_events_that_are_due_or_completed_nothing_is_taken_back():
    due, done = ended(), ended()
    for event in (due, done):
        AttendeeFactory.create_batch(2, event=event)
        absence.mark_batch(event_id=event.pk, size=2)
    complete(done)
    assert list(absence.moved()) == []
    assert [absence.take_back(event_id=event.pk) for event in (due, done)] == [0, 0]
    assert statuses(due) == statuses(done) == ["absent"] * 2


def test_auto_absence_switched_off_between_batches_completes_without():
    event = ended()
    AttendeeFactory.create_batch(5, event=event)
    assert absence.mark_batch(event_id=event.pk, size=2) == 2
    Event.objects.filter(pk=event.pk).update(auto_absence="never")
    assert complete(event).completed is True
    assert statuses(event) == ["absent"] * 2 + ["unknown"] * 3


def test_ten_thousand_take_ten_batches():
    event = ended()
    crowd(event, 10_000)
    summary = complete(event)
    assert (summary.marked, summary.batches, summary.completed) == (10_000, 10, True)
    assert summary.ms < 10_000
    assert (
        AttendanceAudit.objects.order_by().values("attendee").distinct().count()
        == 10_000
        == AttendanceAudit.objects.count()
    )


@pytest.mark.parametrize("count", [1, 3])
def test_completing_takes_the_same_queries_for_any_number(count, django_assert_num_queries):
    event = ended()
    AttendeeFactory.create_batch(count, event=event)
    with django_assert_num_queries(14):  # a batch that marks, one that doesn't, the completion, the count
        absence.complete(event_id=event.pk)


# -- Afterwards --------------------------------------------------------------------------------------


def test_who_is_set_back_after_completion_stays_unknown(organizer):
    event = ended()
    attendee = AttendeeFactory(event=event)
    complete(event)
    mark(attendee, "unknown", organizer)
    complete(event)
    assert trail() == [ABSENT, ("absent", "unknown", organizer.pk, "admin")]
    assert statuses(event) == ["unknown"]


def test_a_scan_that_arrives_afterwards_counts_by_its_own_time(organizer):
    event = ended(late_after=timedelta(hours=1))
    punctual, late = AttendeeFactory.create_batch(2, event=event)
    complete(event)
    scanner = check_in.Scanner(event=event, name="Door", person=organizer, role="door")
    moments = {punctual: event.starts_at, late: event.starts_at + timedelta(hours=1)}
    for attendee, moment in moments.items():
        scan = check_in.Scan(ticket_code=attendee.ticket_code, scan_id=str(attendee.pk), scanned_at=moment)
        [answer] = check_in.check_in(scanner=scanner, scans=[scan])
        assert answer.result == "checked_in"
        attendee.refresh_from_db()
        assert attendee.attendance_marked_at == moment
    assert trail(punctual) == [ABSENT, ("absent", "present", organizer.pk, "scan")]
    assert trail(late) == [ABSENT, ("absent", "late", organizer.pk, "scan")]


@pytest.fixture
def let_in():
    event = ended()
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=None)
    return request


def back_in(request, actor):
    join_requests.decline(request_id=request.pk, actor=actor)
    join_requests.approve(request_id=request.pk, actor=actor)
    return Attendee.objects.get(join_request=request)


def test_who_is_let_in_again_after_auto_absence_is_expected_again(let_in, organizer):
    absence.mark_batch(event_id=let_in.event_id)
    attendee = back_in(let_in, organizer)
    assert (attendee.status, attendee.attendance_status) == ("active", "unknown")
    assert trail() == [ABSENT, ("absent", "unknown", organizer.pk, "approval")]


@pytest.mark.parametrize("status", ["absent", "present", "late", "excused"])
def test_who_is_let_in_again_after_a_person_marked_them_stays_so(let_in, organizer, status):
    mark(Attendee.objects.get(), status, organizer)
    attendee = back_in(let_in, organizer)
    assert (attendee.status, attendee.attendance_status) == ("active", status)
    assert trail() == [("unknown", status, organizer.pk, "admin")]


def test_absent_by_hand_after_auto_absence_stays_too(let_in, organizer):
    absence.mark_batch(event_id=let_in.event_id)
    mark(Attendee.objects.get(), "unknown", organizer)
    mark(Attendee.objects.get(), "absent", organizer)
    assert back_in(let_in, organizer).attendance_status == "absent"
