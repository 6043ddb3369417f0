"""The demo data, built again: what was there stays, and moves with the clock."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from attendance.models import (
    AttendanceAudit,
    AttendanceStatus,
    Attendee,
)
from attendance.operations import marking, record, room
from config import demo, integrity
from config.database import write
from config.demo import agenda, clock
from events.models import Event, Session, UserProfile
from messaging.models import (
    UserLinkAudit,
)
from requests.models import JoinRequest, Mechanic, SessionRequest
from requests.operations import join_requests, taking
from rsvp.models import SessionChange

from .demo_data import assert_alive, counts, event, in_line, said, schedule_file, settle


@pytest.fixture
def made(demo_made, db):
    return demo_made


def test_second_run_adds_nothing_and_moves_with_the_clock(made):
    before = counts()
    pending = JoinRequest.objects.filter(event__external_id="demo:later").latest("created_at")
    rsvp = Session.objects.filter(event__external_id="demo:now").latest("starts_at")
    for days in (0, 1, 136, 365):
        now = made.now + timedelta(days=days)
        demo.build(now=now)
        assert counts() == before
        assert_alive(now)
    settle()
    old, moved = pending.created_at, JoinRequest.objects.get(pk=pending.pk)
    assert timedelta(days=364) < moved.created_at - old <= timedelta(days=365)
    lisbon = event("demo:now").zone
    was, now = rsvp.starts_at.astimezone(lisbon), Session.objects.get(pk=rsvp.pk).starts_at.astimezone(lisbon)
    assert (now.time(), (now.date() - was.date()).days) == (was.time(), 365)


def test_a_move_writes_no_audit_and_breaks_no_promise(made):
    linked = list(UserLinkAudit.objects.order_by("pk").values_list("pk", flat=True))
    recorded = list(AttendanceAudit.objects.order_by("pk").values_list("pk", "to_status", "marked_at", "created_at"))
    demo.build(now=made.now + timedelta(days=3))
    settle()
    assert list(AttendanceAudit.objects.order_by("pk").values_list("pk", "to_status", "marked_at", "created_at")) == (
        recorded
    )
    assert list(UserLinkAudit.objects.order_by("pk").values_list("pk", flat=True)) == linked
    assert [finding.as_dict() for finding in integrity.run() if finding.level != integrity.HEALTHY] == []
    call_command("check_integrity")


def test_what_completed_while_the_demo_ran_is_expected_again(made):
    """A demo that runs for days: beat completes the event that goes on, and it starts anew at the next start."""
    conference = event("demo:now")
    left = Attendee.objects.unmarked().filter(event=conference)
    expected = set(left.values_list("pk", flat=True))
    marks = [
        record.Mark(one.pk, one.attendance_updated_at, AttendanceStatus.ABSENT, timezone.now(), "auto_absence")
        for one in left
    ]
    assert len(record.write(marks)) == 27
    conference.status = Event.Status.COMPLETED
    write([conference], ["status"], actor=None, reason="the event is over")
    demo.build(now=timezone.now() + timedelta(days=3))
    assert event("demo:now").status == "published"
    assert set(left.values_list("pk", flat=True)) == expected
    for key in ("demo:over", "other:over"):
        assert event(key).status == "completed"


def test_an_event_that_an_organiser_completed_stays_so(made):
    conference, owner = event("demo:now"), made.logins["owner@demo.example"]
    conference.status = Event.Status.COMPLETED
    write([conference], ["status"], actor=owner)
    demo.build(now=timezone.now() + timedelta(days=1))
    assert event("demo:now").status == "completed"


def test_a_demo_from_before_attendance_gets_it(made):
    """Its events were completed by hand, and nobody was marked."""
    before = counts()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in ("event_attendance_audit", "check_ins", "check_in_attempts"):
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute(
            "UPDATE event_attendees SET attendance_status = 'unknown', attendance_source = NULL,"
            " attendance_marked_at = NULL, attendance_marked_by_id = NULL, attendance_device_id = NULL,"
            " attendance_notes = NULL, attendance_updated_at = NULL"
        )
        for table in ("door_devices_points", "door_devices", "check_in_points"):
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute("SET LOCAL session_replication_role = origin")
    demo.build(now=made.now + timedelta(days=1))
    after = counts()
    for label in ("attendance.CheckIn", "attendance.DoorDevice", "attendance.CheckInPoint"):
        assert after[label] == before[label]
    assert Attendee.objects.filter(event__external_id="demo:over", attendance_source="auto_absence").count() >= 8
    assert event("demo:over").status == "completed"


def test_a_demo_from_before_messages_gets_them(made):
    before, told = counts(), said()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM event_invitation_links WHERE guest_id IS NOT NULL")
        for table in ("message_deliveries", "event_messages", "event_guests", "user_link_audit"):
            cursor.execute(f"DELETE FROM {table}")
        for table in ("message_opt_outs", "push_devices", "notice_preferences"):
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute("SET LOCAL session_replication_role = origin")
    demo.build(now=made.now + timedelta(days=1))
    after = counts()
    for label in ("EventGuest", "OptOut", "PushDevice", "NoticePreference"):
        assert after[f"messaging.{label}"] == before[f"messaging.{label}"]
    assert [key for key, *_rest in said()] == [key for key, *_rest in told]
    assert_alive(made.now + timedelta(days=1))


def test_what_sweeps_made_of_requests_for_help_is_as_it_was(made):
    """A demo that runs for days: what waits becomes unattended, what goes on is given back."""
    before, line = counts(), in_line()
    later = timezone.now() + timedelta(hours=9)
    assert (taking.mark_unattended(at=later), taking.return_idle(at=later)) == (5, 3)
    assert in_line() != line
    demo.build(now=timezone.now() + timedelta(days=3))
    assert in_line() == line
    after = counts()
    for label in ("SessionRequest", "ServiceSession", "Intake", "SessionMessage", "Mechanic"):
        assert after[f"requests.{label}"] == before[f"requests.{label}"]
    settle()
    assert_alive(timezone.now() + timedelta(days=3))


def test_where_people_helped_somebody_else_asks(made):
    mechanic = Mechanic.objects.get(user_profile__email="mechanic@demo.example")
    urgent = SessionRequest.objects.get(status="pending", urgent=True, organization=mechanic.organization)
    talked = SessionRequest.objects.get(status="accepted", mechanic=mechanic)
    # The demo was made a moment ago, and is looked at since.
    clock.set_anchor(timezone.now() - timedelta(minutes=1))
    taking.accept(request_id=urgent.pk, person=mechanic.user_profile)
    taking.complete(request_id=talked.pk, actor=mechanic.user_profile)
    waits = SessionRequest.objects.count()
    demo.build(now=timezone.now() + timedelta(days=3))
    urgent.refresh_from_db()
    talked.refresh_from_db()
    assert (urgent.status, urgent.mechanic, talked.status) == ("accepted", mechanic, "completed")
    assert SessionRequest.objects.count() == waits + 2
    assert SessionRequest.objects.get(status="pending", urgent=True, notes=urgent.notes).customer != urgent.customer
    assert SessionRequest.objects.filter(status="accepted", mechanic=mechanic).count() == 2


def test_what_people_did_stays(made):
    approved = JoinRequest.objects.pending().filter(event__external_id="demo:next", held=False).first()
    actor = made.logins["organizer@demo.example"]
    join_requests.approve(request_id=approved.pk, actor=actor)
    gone = Attendee.objects.active().filter(event__external_id="demo:now").first()
    room.hide(attendee_id=gone.pk, actor=actor)
    Event.objects.filter(external_id="demo:auto").update(title="Evening Paddle")
    Session.objects.filter(title="Boring on purpose").update(title="Boring by accident")
    UserProfile.objects.filter(email="viewer@demo.example").update(first_name="Somebody")
    marking.mark(attendee_id=gone.pk, status=AttendanceStatus.EXCUSED, actor=actor, notes="Went home")
    marked_at = Attendee.objects.get(pk=gone.pk).attendance_marked_at
    conference = event("demo:now")
    conference.late_after = timedelta(minutes=7)
    write([conference], ["late_after"], actor=actor)
    decided = JoinRequest.objects.get(pk=approved.pk).decided_at
    now = timezone.now() + timedelta(days=2)
    demo.build(now=now)
    assert JoinRequest.objects.get(pk=approved.pk).status == "approved"
    assert JoinRequest.objects.get(pk=approved.pk).decided_at == decided
    assert Attendee.objects.get(pk=gone.pk).hidden_at is not None
    assert Attendee.objects.get(pk=gone.pk).attendance_notes == "Went home"
    assert Attendee.objects.get(pk=gone.pk).attendance_marked_at == marked_at
    assert event("demo:now").late_after == timedelta(minutes=7)
    assert event("demo:auto").title == "Evening Paddle"
    assert Session.objects.filter(title="Boring by accident").count() == 1
    assert UserProfile.objects.get(email="viewer@demo.example").first_name == "Somebody"
    assert Event.objects.count() == len(agenda.EVENTS)


def test_command_exchanges_the_schedule_and_then_keeps_it(made, tmp_path, capsys):
    path = schedule_file(tmp_path, ("a", "Only", "2019-03-30T10:00:00+00:00"))
    attendees = Attendee.objects.filter(event__external_id="demo:now").count()
    former = Session.objects.filter(event__external_id="demo:now")
    used = set(former.filter(Q(rsvps__isnull=False) | Q(check_in_points__isnull=False)).values_list("pk", flat=True))
    assert 40 < len(used) < former.count()
    for options in ({"schedule": path}, {"schedule": path}, {}):
        call_command("demo_data", **options)
        conference = event("demo:now")
        assert (conference.title, conference.description, conference.venue) == ("Small Conf", "", "")
        # Where people were checked in, or had a seat, the session stays, cancelled.
        assert [one.title for one in conference.sessions.exclude(status="cancelled")] == ["Only"]
        assert set(conference.sessions.filter(status="cancelled").values_list("pk", flat=True)) == used
        assert not SessionChange.objects.filter(told_at=None).exists()
        assert conference.ends_at - conference.starts_at == timedelta(days=1)
        assert conference.attendees.count() == attendees
    assert Event.objects.count() == 18
