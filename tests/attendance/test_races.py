"""Attendance with real connections. In pairs: without the guard the race happens, with it it doesn't."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from attendance import integrity as promises
from attendance.models import AttendanceAudit, Attendee, CheckIn, CheckInAttempt
from attendance.operations import absence, check_in, marking, record, undo
from events.models import Event
from tests.config.postgres import held, waited_for
from tests.factories import AttendeeFactory, EventFactory, member
from tests.races import at_once
from tests.requests.test_races import holding

pytestmark = pytest.mark.django_db(transaction=True)


def ended(**fields):
    now = timezone.now()
    return EventFactory(starts_at=now - timedelta(days=4), ends_at=now - timedelta(hours=1), **fields)


def trail(attendee):
    rows = AttendanceAudit.objects.filter(attendee=attendee).order_by("id")
    return list(rows.values_list("from_status", "to_status", "source"))


def agree(attendee):
    """The record is a chain that ends in what the attendee is, and who is in has one check-in that stands."""
    attendee.refresh_from_db()
    links = [(old, new) for old, new, _source in trail(attendee)]
    assert [old for old, _new in links] == ["unknown", *[new for _old, new in links]][: len(links)]
    assert not promises.off_the_record().exists()
    standing = CheckIn.objects.filter(attendee=attendee, result="checked_in", undone_at=None).count()
    assert standing == (1 if attendee.is_here else 0), (attendee.attendance_status, trail(attendee))
    return attendee


def person_scanner(event):
    return check_in.Scanner(event=event, name="Door", person=member(event.organization, "door"), role="door")


def scan(scanner, attendee, **more):
    """A scan, as an act; its answer's result."""

    def act():
        what = check_in.Scan(ticket_code=attendee.ticket_code, **more)
        [answer] = check_in.check_in(scanner=scanner, scans=[what])
        return answer

    return act


def results(answers):
    return sorted(one.result if isinstance(one, check_in.Answer) else type(one).__name__ for one in answers)


def everybody_reads_first(attendee, count):
    """All have read before anybody writes: whoever writes first waits for the row's lock as well."""
    return waited_for("SELECT FROM event_attendees WHERE id = %s FOR UPDATE", [attendee.pk], by=count)


# -- One ticket, many scanners ----------------------------------------------------------------------


@pytest.fixture
def unguarded(monkeypatch):
    """No look at who was quicker, and no unique check-in at a point."""
    version = "AND attendee.attendance_updated_at IS NOT DISTINCT FROM wanted.version"
    assert version in record.WRITE
    monkeypatch.setattr(record, "WRITE", record.WRITE.replace(version, ""))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef('attendance_checkin_once_at_a_point'::regclass)")
        [index] = cursor.fetchone()
        cursor.execute("DROP INDEX attendance_checkin_once_at_a_point")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM check_ins")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute(index)


def test_one_ticket_scanned_by_four_without_the_guards_lets_in_four(event, unguarded):
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    with everybody_reads_first(attendee, 4):
        found = at_once(*[scan(scanner, attendee) for _ in range(4)])
    assert results(found) == ["checked_in"] * 4
    assert CheckIn.objects.filter(result="checked_in", undone_at=None).count() == 4


@pytest.mark.parametrize("count", [4, 20])
def test_one_ticket_scanned_by_many_at_once_lets_in_one(event, count):
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    with everybody_reads_first(attendee, count):
        found = at_once(*[scan(scanner, attendee) for _ in range(count)])
    assert results(found) == ["already_checked_in"] * (count - 1) + ["checked_in"]
    assert len({one.checked_in_at for one in found}) == 1
    assert trail(agree(attendee)) == [("unknown", "present", "scan")]


def test_the_same_scan_sent_twice_at_once_has_one_answer(event):
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    with everybody_reads_first(attendee, 5):
        found = at_once(*[scan(scanner, attendee, scan_id="the same") for _ in range(5)])
    assert results(found) == ["checked_in"] * 5
    assert len({one.check_in_id for one in found}) == 1
    assert CheckIn.objects.count() == 1
    assert trail(agree(attendee)) == [("unknown", "present", "scan")]


def test_the_same_refused_scan_sent_twice_at_once_is_kept_once(event):
    gone, scanner = AttendeeFactory(event=event, status="removed"), person_scanner(event)
    with everybody_reads_first(gone, 5):
        found = at_once(*[scan(scanner, gone, scan_id="the same") for _ in range(5)])
    assert results(found) == ["refused"] * 5
    assert CheckInAttempt.objects.count() == 1


@pytest.mark.parametrize("attempt", range(3))
def test_two_devices_upload_out_of_order_and_the_earliest_scan_counts(event, attempt):
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    now = timezone.now()
    moments = [now - timedelta(minutes=minutes) for minutes in (5, 40, 20, 30)]
    acts = [scan(scanner, attendee, scan_id=str(n), scanned_at=moment) for n, moment in enumerate(moments)]
    with everybody_reads_first(attendee, 4):
        found = at_once(*acts)
    assert "checked_in" in results(found)
    assert agree(attendee).attendance_marked_at == min(moments)
    assert CheckIn.objects.get(result="checked_in").checked_in_at == min(moments)
    assert trail(attendee) == [("unknown", "present", "scan")]


def test_lists_of_many_uploaded_at_once_in_any_order_do_not_deadlock(event):
    rows, scanner = AttendeeFactory.create_batch(20, event=event), person_scanner(event)

    def upload(order):
        scans = [check_in.Scan(ticket_code=one.ticket_code) for one in order]
        return check_in.check_in(scanner=scanner, scans=scans)

    lists = at_once(partial(upload, rows), partial(upload, rows[::-1]), partial(upload, rows[10:] + rows[:10]))
    assert results(sum(lists, [])) == ["already_checked_in"] * 40 + ["checked_in"] * 20
    for one in rows:
        agree(one)


# -- Against each other -------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(4))
@pytest.mark.parametrize("status", ["absent", "unknown"])
def test_marked_by_hand_against_a_check_in(event, organizer, attempt, status):
    """Either order is fine; status, record and check-ins always agree."""
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    if status == "unknown":
        marking.mark(attendee_id=attendee.pk, status="excused", actor=None)
    by_hand = partial(marking.mark, attendee_id=attendee.pk, status=status, actor=organizer)
    marked, answer = at_once(by_hand, scan(scanner, attendee))
    assert (marked.changed, answer.result) == (True, "checked_in")
    agree(attendee)


def test_marked_by_hand_between_a_check_in_s_reading_and_writing(event, organizer):
    """The scan was decided on what no longer holds, and is decided anew."""
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    with in_the_middle(partial(marking.mark, attendee_id=attendee.pk, status="late", actor=organizer)):
        [answer] = at_once(scan(scanner, attendee))
    assert answer.result == "already_checked_in"
    assert trail(attendee) == [("unknown", "late", "admin")]


@pytest.mark.parametrize("attempt", range(4))
def test_undone_against_scanned_again(event, attempt):
    attendee, scanner, other = AttendeeFactory(event=event), person_scanner(event), person_scanner(event)
    first = scan(scanner, attendee)()
    undone, again = at_once(
        partial(undo.take_back, check_in_id=first.check_in_id, scanner=scanner), scan(other, attendee)
    )
    assert undone[1] is True
    assert again.result in ("checked_in", "already_checked_in")
    assert agree(attendee).is_here is (again.result == "checked_in")


def test_undone_twice_at_once_is_undone_once(event):
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    first = scan(scanner, attendee)()
    again = partial(undo.take_back, check_in_id=first.check_in_id, scanner=scanner)
    assert sorted(done for _attendee, done in at_once(*[again] * 5)) == [False] * 4 + [True]
    assert trail(agree(attendee)) == [("unknown", "present", "scan"), ("present", "unknown", "undo")]


def test_another_column_changed_meanwhile_keeps_nobody_from_being_marked(event):
    attendee = AttendeeFactory(event=event)
    mark = record.Mark(attendee.pk, None, "present", timezone.now(), "admin")
    with in_the_middle(lambda: Attendee.objects.filter(pk=attendee.pk).update(goals="Meet")):
        [written] = at_once(partial(record.write, [mark]))
    assert written == {attendee.pk}
    attendee.refresh_from_db()
    assert (attendee.goals, attendee.attendance_status) == ("Meet", "present")


# -- Completing -------------------------------------------------------------------------------------------


@contextmanager
def in_the_middle(change, seconds=0.4):
    """Another transaction has made the change, and commits it while the body waits, if it does."""
    made, go = threading.Event(), threading.Event()

    def other():
        try:
            with transaction.atomic():
                change()
                made.set()
                go.wait(timeout=20)
                time.sleep(seconds)
        finally:
            connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    assert made.wait(timeout=20)
    go.set()
    try:
        yield
    finally:
        thread.join()


def complete(event, **more):
    return partial(absence.complete, event_id=event.pk, **more)


SKIPPING = "FOR NO KEY UPDATE OF attendee SKIP LOCKED"


def test_two_who_complete_without_the_row_locks_mark_the_same_people(monkeypatch):
    event = ended()
    AttendeeFactory.create_batch(6, event=event)
    assert SKIPPING in absence.MARK
    monkeypatch.setattr(absence, "MARK", absence.MARK.replace(SKIPPING, ""))
    with in_the_middle(partial(absence.mark_batch, event_id=event.pk)):
        assert at_once(partial(absence.mark_batch, event_id=event.pk)) == [6]


def test_two_batches_at_once_mark_nobody_twice():
    event = ended()
    rows = AttendeeFactory.create_batch(6, event=event)
    with in_the_middle(partial(absence.mark_batch, event_id=event.pk, size=4)):
        assert at_once(partial(absence.mark_batch, event_id=event.pk)) == [2]
    assert [trail(one) for one in rows] == [[("unknown", "absent", "auto_absence")]] * 6


@pytest.mark.parametrize("count", [2, 6])
def test_many_who_complete_one_event_at_once(count):
    event = ended()
    rows = AttendeeFactory.create_batch(20, event=event)
    summaries = at_once(*[complete(event, batch_size=3)] * count)
    assert sum(one.marked for one in summaries) == 20
    assert sum(one.completed for one in summaries) <= 1
    absence.complete(event_id=event.pk)  # the next minute's, where each had left the rest to the others
    event.refresh_from_db()
    assert event.status == "completed"
    assert event.history.filter(status="completed").count() == 1
    assert [trail(one) for one in rows] == [[("unknown", "absent", "auto_absence")]] * 20


def test_completing_twice_without_the_lock_completes_twice(monkeypatch):
    event = ended()
    monkeypatch.setattr(absence, "lock", lambda objects, pk: objects.get(pk=pk))
    with waited_for("SELECT FROM events WHERE id = %s FOR UPDATE", [event.pk], by=2):
        assert at_once(*[partial(absence.finish, event_id=event.pk)] * 2) == [True, True]
    assert event.history.filter(status="completed").count() == 2


def test_completing_many_times_at_once_completes_once():
    event = ended()
    assert sorted(at_once(*[partial(absence.finish, event_id=event.pk)] * 5)) == [False] * 4 + [True]
    assert event.history.filter(status="completed").count() == 1


def present(attendee):
    return partial(marking.mark, attendee_id=attendee.pk, status="present", actor=None)


def test_without_the_row_locks_absence_overwrites_who_is_being_marked(monkeypatch):
    event = ended()
    attendee = AttendeeFactory(event=event)
    monkeypatch.setattr(absence, "MARK", absence.MARK.replace(SKIPPING, ""))
    with in_the_middle(present(attendee)):
        at_once(complete(event))
    assert trail(attendee) == [("unknown", "present", "admin"), ("present", "absent", "auto_absence")]


def test_who_is_being_marked_is_left_alone_and_the_event_waits_for_them():
    event = ended()
    attendee, other = AttendeeFactory.create_batch(2, event=event)
    with in_the_middle(present(attendee)):
        [summary] = at_once(complete(event))
        assert (summary.marked, summary.completed) == (1, False)
    assert absence.complete(event_id=event.pk).completed is True
    assert trail(attendee) == [("unknown", "present", "admin")]
    assert trail(other) == [("unknown", "absent", "auto_absence")]


@pytest.mark.parametrize("attempt", range(3))
def test_completing_against_check_ins(attempt):
    """Whoever is scanned is in, whether their scan came before absence or after it."""
    event = ended()
    scanner, rows = person_scanner(event), AttendeeFactory.create_batch(12, event=event)
    came = rows[::3]
    answers = at_once(*[complete(event, batch_size=3)] * 2, *[scan(scanner, one) for one in came])[2:]
    assert results(answers) == ["checked_in"] * 4
    absence.complete(event_id=event.pk)
    for one in rows:
        assert agree(one).attendance_status == ("present" if one in came else "absent")
        assert len(trail(one)) <= 2


def move(event):
    return lambda: Event.objects.filter(pk=event.pk).update(ends_at=timezone.now() + timedelta(days=1))


def test_an_event_moved_while_a_batch_runs_is_marked_without_the_lock(monkeypatch):
    event = ended()
    AttendeeFactory(event=event)
    assert "FOR SHARE OF events" in absence.MARK
    monkeypatch.setattr(absence, "MARK", absence.MARK.replace("FOR SHARE OF events", ""))
    with in_the_middle(move(event)):
        assert at_once(partial(absence.mark_batch, event_id=event.pk)) == [1]


@pytest.mark.parametrize("change", ["moved", "cancelled", "switched off"])
def test_an_event_changed_while_a_batch_waits_is_left_alone(change):
    event = ended()
    attendee = AttendeeFactory(event=event)
    changes = {
        "moved": {"ends_at": timezone.now() + timedelta(days=1)},
        "cancelled": {"status": "cancelled"},
        "switched off": {"auto_absence": "never"},
    }
    with in_the_middle(lambda: Event.objects.filter(pk=event.pk).update(**changes[change])):
        [summary] = at_once(complete(event))
    event.refresh_from_db()
    assert (summary.marked, trail(attendee)) == (0, [])
    assert summary.completed is (change == "switched off") is (event.status == "completed")


def test_an_event_whose_lock_is_held_for_too_long_is_busy(event):
    event = ended()
    AttendeeFactory(event=event)
    release = threading.Event()
    thread = holding(event, release)
    try:
        assert [type(one).__name__ for one in at_once(complete(event))] == ["Busy"]
    finally:
        release.set()
        thread.join()
    assert absence.complete(event_id=event.pk).completed is True


def test_check_ins_do_not_wait_for_the_event(event):
    """Somebody holds the event's lock, as every approval does: the door goes on."""
    attendee, scanner = AttendeeFactory(event=event), person_scanner(event)
    with held("SELECT FROM events WHERE id = %s FOR NO KEY UPDATE", event.pk):
        assert scan(scanner, attendee)().result == "checked_in"
        marking.mark(attendee_id=attendee.pk, status="late", actor=None)
    assert trail(agree(attendee)) == [("unknown", "present", "scan"), ("present", "late", "admin")]
