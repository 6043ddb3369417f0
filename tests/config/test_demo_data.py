"""The demo data: complete, true to every promise, the same again on a second run, and never stale."""

import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from PIL import Image

from attendance.models import (
    AttendanceAudit,
    AttendanceSource,
    AttendanceStatus,
    Attendee,
    Block,
    CheckIn,
    CheckInAttempt,
    CheckInPoint,
    DoorDevice,
    PointScale,
)
from attendance.operations import marking, points, record, room
from attendance.operations.check_in import Scan, Scanner, check_in
from config import demo, integrity
from config.database import write
from config.demo import agenda, clock, photos
from config.demo.people import PASSWORD
from config.post_office import PostOffice
from events.models import Event, Membership, Organization, Session, UserProfile
from events.operations import accounts
from messaging.models import (
    DeliveryStatus,
    EventGuest,
    LinkMethod,
    LinkOutcome,
    Message,
    MessageDelivery,
    NoticePreference,
    OptOut,
    PushDevice,
    UserLinkAudit,
)
from requests.models import Ban, InvitationLink, JoinRequest
from requests.operations import join_requests

NAMES = ("admin", "owner", "organizer", "door", "viewer", "mechanic", "attendee")


@pytest.fixture
def made(db):
    return demo.build()


@pytest.fixture(scope="class")
def world(django_db_setup, django_db_blocker):
    """One build for all tests that only look at it."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield demo.build()
        transaction.set_rollback(True)


def settle():
    """Deferred triggers fire at commit, which a test that rolls back never reaches."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def counts():
    return {model._meta.label: model.objects.count() for model in apps.get_models() if model._meta.managed}


def event(key):
    return Event.objects.get(external_id=key)


def schedule_file(tmp_path, *sessions, **conference):
    """A small c3 schedule of one room; sessions are (id, title, start with offset)."""
    talks = [{"id": key, "title": title, "date": start, "duration": "00:30"} for key, title, start in sessions]
    value = {"title": "Small Conf", "acronym": "small", "days": [{"date": "2019-03-30", "rooms": {"Hall": talks}}]}
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"schedule": {"conference": value | conference}}))
    return str(path)


# -- what there is -------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
class TestWhatThereIs:
    def test_everything_promised_is_there(self):
        settle()
        assert set(JoinRequest.objects.values_list("status", flat=True)) == set(JoinRequest.Status.values)
        assert set(Attendee.objects.values_list("status", flat=True)) == set(Attendee.Status.values)
        assert set(Attendee.objects.values_list("source", flat=True)) == set(Attendee.Source.values)
        assert set(Event.objects.values_list("status", flat=True)) == set(Event.Status.values)
        assert set(Event.objects.values_list("visibility", flat=True)) == set(Event.Visibility.values)
        assert set(Event.objects.values_list("approval_mode", flat=True)) == set(Event.ApprovalMode.values)
        assert 330 <= Attendee.objects.active().count() <= 400
        assert Event.objects.count() == 18
        assert Ban.objects.count() == 10
        assert Block.objects.count() == 5
        assert Attendee.objects.filter(hidden_at__isnull=False).count() == 5
        assert JoinRequest.objects.filter(held=True, status="pending").count() == 5
        assert Attendee.objects.filter(visibility_enabled=False).exists()
        lengths = [len(comment) for comment in JoinRequest.objects.values_list("comments", flat=True)]
        assert (min(lengths), max(lengths)) == (0, 2000)
        assert JoinRequest.objects.exclude(decision_note=None).values("decided_by").distinct().count() >= 3

    def test_every_promise_of_the_database_holds(self):
        settle()
        findings = integrity.run()
        assert {finding.invariant.name for finding in findings} >= {"seats", "attendees", "approvals"}
        assert [finding.as_dict() for finding in findings if finding.level != integrity.HEALTHY] == []

    def test_full_events_are_full_with_people_waiting(self):
        for key in ("demo:full", "other:full"):
            assert event(key).seats_taken == event(key).capacity
            assert JoinRequest.objects.pending().filter(event__external_id=key).count() >= 5
        assert event("demo:now").capacity == 240
        assert 100 < event("demo:now").seats_taken < 240

    def test_log_ins_and_roles(self, rf):
        people = {}
        for slug in ("demo", "other"):
            for name in NAMES:
                person = authenticate(rf.post("/"), username=f"{name}@{slug}.example", password=PASSWORD)
                assert person is not None, f"{name}@{slug}.example"
                assert person.email_verified
                people[name, slug] = person
        roles = {
            (one.user_profile.email, one.organization.slug): one.role
            for one in Membership.objects.select_related("user_profile", "organization")
        }
        expected = {
            (f"{name}@{slug}.example", slug): name
            for slug in ("demo", "other")
            for name in ("owner", "organizer", "door", "viewer")
        }
        assert roles == expected | {("admin@other.example", "other"): "owner"}
        assert list(UserProfile.objects.filter(is_superuser=True)) == [people["admin", "demo"]]

    def test_the_attendee_is_in_two_rooms_was_in_one_and_waits_for_another(self):
        for slug in ("demo", "other"):
            mine = JoinRequest.objects.filter(user_profile__email=f"attendee@{slug}.example")
            standing = dict(mine.values_list("event__external_id", "status"))
            assert standing[f"{slug}:now"] == standing[f"{slug}:next"] == "approved"
            assert "pending" in standing.values()
            here = Attendee.objects.active().filter(user_profile__email=f"attendee@{slug}.example")
            assert dict(here.values_list("event__external_id", "attendance_status")) == {
                f"{slug}:over": "present",
                f"{slug}:now": "unknown",
                f"{slug}:next": "unknown",
            }

    def test_invitation_links_of_every_kind(self):
        links = {link.label: link for link in InvitationLink.objects.filter(event__external_id="demo:private")}
        now = timezone.now()
        assert {label for label, link in links.items() if link.is_valid} == {"Members"}
        assert links["Speakers"].uses == links["Speakers"].max_uses == 2
        assert links["Early birds"].expires_at < now
        assert links["Old mailing list"].revoked_at < now

    def test_the_shipped_conference(self):
        sessions = Session.objects.filter(event__external_id="demo:now")
        assert event("demo:now").title == "Harbour Lights"
        assert (sessions.count(), sessions.filter(status="cancelled").count()) == (62, 1)
        assert event("demo:now").rooms.exclude(capacity=None).count() == 5
        assert event("demo:now").speakers.count() == 50
        assert sessions.exclude(capacity=None).count() > 15
        lisbon = event("demo:now").zone
        hours = Counter(session.starts_at.astimezone(lisbon).date() for session in sessions)
        assert len(hours) == 2
        assert [one.title for one in sessions if one.starts_at.astimezone(lisbon).hour < 4] == [
            "Sounds of a harbour asleep"
        ]

    def test_names_and_phones(self):
        guests = UserProfile.objects.filter(owner_id__startswith="demo|guest-")
        assert guests.count() == 240
        assert max(len(str(guest)) for guest in guests) == 60
        assert all(guest.email.endswith(".example") and guest.email.isascii() for guest in guests)
        phones = {guest.phone for guest in guests if guest.phone}
        assert all(phone.startswith("+447700900") or phone[5:10] == "55501" for phone in phones)
        for guest in guests:
            guest.full_clean()
        both = [
            one
            for one in guests
            if {"demo", "other"} == set(one.attendances.values_list("event__organization__slug", flat=True))
        ]
        assert len(both) > 3

    def test_photos_and_people_without(self):
        guests = UserProfile.objects.filter(owner_id__startswith="demo|guest-")
        addresses = set(guests.exclude(photo_url="").values_list("photo_url", flat=True))
        assert addresses == {f"/media/photos/demo/{number:02}.webp" for number in range(1, 41)}
        assert guests.filter(photo_url="").exists()


@pytest.mark.usefixtures("world")
class TestWhoCame:
    def test_every_status_and_every_source(self):
        statuses = Attendee.objects.active().values_list("event__external_id", "attendance_status")
        assert Counter(statuses) == {
            ("demo:now", "present"): NOW["present"],
            ("demo:now", "late"): NOW["late"],
            ("demo:now", "excused"): 3,
            ("demo:now", "unknown"): 27,
            **{("demo:over", status): count for status, count in OVER.items()},
            ("other:now", "present"): 28,
            ("other:now", "excused"): 1,
            ("other:now", "unknown"): 19,
            ("other:over", "present"): 19,
            ("other:over", "late"): 3,
            ("other:over", "absent"): 5,
            **{(key, "unknown"): count for key, count in others().items()},
        }
        assert set(AttendanceAudit.objects.values_list("source", flat=True)) == set(AttendanceSource.values)
        assert Attendee.objects.filter(attendance_status="excused").exclude(attendance_notes=None).count() == 7
        assert Attendee.objects.filter(attendance_source="undo", attendance_status="unknown").count() == 2

    def test_what_is_over_completed_itself(self):
        for key, absent in (("demo:over", 10), ("other:over", 5)):
            done = event(key)
            latest = done.history.latest()
            assert (done.status, latest.history_user, latest.history_change_reason) == (
                "completed",
                None,
                "the event is over",
            )
            assert (latest.starts_at, latest.ends_at) == (done.starts_at, done.ends_at)
            marked = Attendee.objects.filter(event=done, attendance_source="auto_absence")
            assert marked.count() == absent
            over = done.ends_at + done.auto_absence_grace
            assert all(over <= one.attendance_marked_at <= over + timedelta(minutes=2) for one in marked)

    def test_times_of_arrival(self):
        for key in ("demo:now", "demo:over", "other:over"):
            here = event(key)
            for one in Attendee.objects.here().filter(event=here, attendance_source__in=("scan", "import")):
                assert (one.attendance_status == "late") == (one.attendance_marked_at >= here.late_from), key
        for one in CheckIn.objects.select_related("attendee"):
            assert one.scanned_at == one.checked_in_at or one.result == "already_checked_in"
            assert one.checked_in_at >= one.attendee.created_at
            assert one.uploaded_late == (one.received_at - one.scanned_at > timedelta(minutes=2))

    def test_the_doors_of_the_event_that_goes_on(self):
        conference = event("demo:now")
        accepted = CheckIn.objects.filter(event=conference, result="checked_in", undone_at=None)
        at = Counter(accepted.values_list("point__kind", flat=True))
        assert at == {None: 74, "door": 8, "session": 23}
        assert CheckIn.objects.filter(event=conference, result="already_checked_in").count() == 4
        assert CheckIn.objects.filter(event=conference).exclude(undone_at=None).count() == 2
        names = set(accepted.filter(point=None).values_list("device__name", flat=True))
        assert names == {None, "North entrance", "Tablet 2", "Phone of the night shift"}
        late = CheckIn.objects.filter(uploaded_late=True)
        assert {one.device.name for one in late} == {"Tablet 2"}
        assert 3 <= late.count() <= 6
        assert late.values("received_at").distinct().count() == 1
        assert [one.is_open_at(timezone.now()) for one in CheckInPoint.objects.filter(name="Second day")] == [False]
        assert CheckInPoint.objects.filter(event=conference).count() == 4

    def test_devices_in_every_state(self):
        devices = {one.name: one for one in DoorDevice.objects.filter(event__external_id="demo:now")}
        registered = {name for name, one in devices.items() if one.token_hash}
        assert registered == {"North entrance", "Tablet 2"}
        assert devices.keys() - registered == {"Tablet 3", "Phone of the night shift"}
        assert devices["Tablet 3"].enrolment_code
        assert devices["Phone of the night shift"].revoked_at < timezone.now()
        assert list(DoorDevice.objects.filter(event__external_id="other:now").values_list("name", flat=True)) == [
            "North entrance"
        ]

    def test_refused_scans_of_every_reason(self):
        refused = CheckInAttempt.objects.filter(event__organization__slug="demo")
        assert Counter(refused.exclude(event__external_id="demo:over").values_list("reason", "uploaded_late")) == {
            ("unknown_ticket", False): 3,
            ("wrong_event", False): 2,
            ("ticket_revoked", False): 2,
            ("ticket_revoked", True): 1,
            ("point_closed", False): 1,
            ("event_closed", False): 1,
        }
        assert set(refused.values_list("reason", flat=True)) == set(CheckInAttempt.Reason.values)

    def test_points_are_worth_something_else_in_the_second_organisation(self):
        assert PointScale.objects.get().organization.slug == "other"
        worth = {
            slug: dict(
                points.scored(Attendee.objects.filter(event__organization__slug=slug))
                .order_by()
                .values_list("attendance_status", "points")
            )
            for slug in ("demo", "other")
        }
        assert worth == {
            "demo": {"present": 10, "late": 5, "excused": 0, "absent": -5},
            "other": {"present": 20, "late": 15, "excused": 5, "absent": -10},
        }

    @pytest.mark.parametrize("slug", ["demo", "other"])
    def test_the_door_finds_tickets_left_to_scan(self, world, slug):
        here, person = event(f"{slug}:now"), world.logins[f"door@{slug}.example"]
        scanner = Scanner(event=here, name=str(person), person=person, role="door")
        left = Attendee.objects.unmarked().filter(event=here)
        assert left.filter(user_profile__email=f"attendee@{slug}.example").count() == 1
        start = transaction.savepoint()
        [answer] = check_in(scanner=scanner, scans=[Scan(ticket_code=left.first().ticket_code)])
        transaction.savepoint_rollback(start)
        assert answer.result == "checked_in"


@pytest.mark.usefixtures("world")
class TestWhatWasSaid:
    def test_guests_of_every_kind_in_both_organisations(self):
        for slug in ("demo", "other"):
            here = EventGuest.objects.filter(event__external_id=f"{slug}:now")
            linked = here.filter(user__isnull=False)
            assert set(linked.values_list("link_method", flat=True)) == {"email", "phone", "manual", "invitation"}
            assert linked.filter(attendee=None).exists() and linked.exclude(attendee=None).exists()
            assert here.parked().count() == 3
            assert here.filter(removed_at__isnull=False).count() == 2
            assert here.filter(link_outcome="no_match", link_method="manual").count() == 1
            unlinked = here.active().filter(user=None, link_outcome=None)
            assert unlinked.filter(deliveries__isnull=False).distinct().count() >= 8
            phones = unlinked.exclude(phone=None).values_list("phone", flat=True)
            assert max(Counter(phones).values()) == 2
            assert all(phone.startswith("+1510555") for phone in phones)

    def test_messages_in_every_state(self):
        for slug in ("demo", "other"):
            said = Message.objects.filter(event__organization__slug=slug, kind="announcement")
            assert set(said.values_list("status", flat=True)) >= {"draft", "sent"}
        said = Message.objects.filter(kind="announcement")
        assert Counter(said.values_list("status", flat=True)) == {
            "draft": 3,
            "scheduled": 3,
            "sending": 1,
            "sent": 11,
            "failed": 1,
        }
        assert set(said.filter(status="scheduled").values_list("anchor", flat=True)) == {"", "starts_at", "ends_at"}
        stopped = said.get(status="sending")
        assert stopped.stopped_at and stopped.fanned_out_at
        assert stopped.deliveries.filter(status="queued").count() > 20
        assert not MessageDelivery.objects.filter(status="queued").exclude(message=stopped).exists()
        failed = said.get(status="failed")
        assert set(failed.deliveries.values_list("status", flat=True)) == {"failed"}
        assert failed.error == "Nobody could be reached."
        held = MessageDelivery.objects.exclude(withdrawn_at=None).order_by()
        of = held.values_list("message__status", "status").distinct()
        assert set(of) == {("sending", "queued"), ("sent", "failed")}  # one that is stopped, one taken back

    def test_deliveries_in_every_state_but_in_a_workers_hands(self):
        statuses = MessageDelivery.objects.values_list("channel", "status")
        assert {status for _channel, status in statuses} == set(DeliveryStatus.values) - {"sending"}
        assert {channel for channel, _status in statuses} == set(Message.Channel.values)
        wrong = MessageDelivery.objects.filter(status__in=DeliveryStatus.WRONG)
        assert not wrong.filter(error=None).exists()
        assert 500 < MessageDelivery.objects.filter(message__kind="announcement").count() < 1500
        away = MessageDelivery.objects.exclude(email=None).values_list("email", flat=True)
        assert all(address.endswith(".example") for address in away)

    def test_the_audit_has_every_outcome_that_can_be_made(self):
        rows = UserLinkAudit.objects.values_list("outcome", "method")
        assert {outcome for outcome, _method in rows} == set(LinkOutcome.values) - {"error"}
        assert {method for _outcome, method in rows} >= set(LinkMethod.values) - {"backfill"}
        assert MessageDelivery.objects.filter(link_outcome="backfilled", user__isnull=False).count() >= 2

    def test_addresses_and_choices(self):
        assert set(OptOut.objects.values_list("channel", "source")) == {("sms", "stop"), ("email", "unsubscribe")}
        assert set(NoticePreference.objects.values_list("mode", flat=True)) == set(NoticePreference.Mode.values)
        for slug in ("demo", "other"):
            assert PushDevice.objects.filter(user__email=f"attendee@{slug}.example").count() == 1
        assert PushDevice.objects.count() == 42

    @pytest.mark.parametrize("slug", ["demo", "other"])
    def test_the_attendee_has_messages_read_and_unread(self, world, slug):
        person = world.logins[f"attendee@{slug}.example"]
        entries = MessageDelivery.objects.inbox(person.pk).order_by("-pk")
        moments = list(entries.values_list("created_at", flat=True))
        assert moments == sorted(moments, reverse=True)
        assert entries.exclude(read_at=None).count() >= 2
        assert entries.filter(read_at=None).exists() == (slug == "demo")

    def test_notices_are_as_old_as_what_they_tell(self):
        told = Message.objects.filter(kind="join_decision")
        assert told.count() > 50
        assert set(told.values_list("status", flat=True)) == {"sent"}
        assert told.filter(event__external_id="other:over", created_at__gt=event("other:over").ends_at).count() == 0


NOW = {"present": 64, "late": 13}
OVER = {"present": 30, "late": 14, "excused": 4, "absent": 10, "unknown": 1}


def others():
    """Attendees of the events that nobody has come to yet."""
    quiet = Event.objects.exclude(external_id__in=("demo:now", "demo:over", "other:now", "other:over"))
    rows = Attendee.objects.active().filter(event__in=quiet).values_list("event__external_id", flat=True)
    return Counter(rows)


def test_photos_are_pictures_of_a_few_kilobytes():
    photos.ensure()
    assert photos.ensure() == [f"/media/photos/demo/{number:02}.webp" for number in range(1, 41)]
    _folders, files = default_storage.listdir("photos/demo")
    assert len(files) == 40
    for name in files:
        with default_storage.open(f"photos/demo/{name}") as file:
            data = file.read()
        assert len(data) < 10_000
        assert Image.open(io.BytesIO(data)).size == (256, 256)


def test_photos_outlive_the_people_who_share_them(db):
    first = photos.ensure()[0]
    accounts.forget_photo(UserProfile(photo_url=first))
    assert default_storage.exists("photos/demo/01.webp")


# -- time ----------------------------------------------------------------------------------------


def assert_alive(now):
    """Whatever the day: over is over, now is now, and nothing decided lies in the future."""
    for slug in ("demo", "other"):
        assert event(f"{slug}:over").ends_at < now
        assert event(f"{slug}:now").starts_at <= now < event(f"{slug}:now").ends_at
        assert event(f"{slug}:next").starts_at > now
    for session in Session.objects.select_related("event"):
        assert session.event.starts_at <= session.starts_at <= session.ends_at <= session.event.ends_at
    first = Session.objects.filter(event__external_id="demo:now").earliest("starts_at")
    zone = event("demo:now").zone
    assert first.starts_at.astimezone(zone).date() == now.astimezone(zone).date()
    for model, stamps in (
        (Event, ("created_at",)),
        (JoinRequest, ("created_at", "decided_at")),
        (Attendee, ("created_at", "hidden_at", "looking_for_updated_at", "attendance_marked_at")),
        (Ban, ("created_at",)),
        (CheckIn, ("checked_in_at", "scanned_at", "received_at", "undone_at")),
        (CheckInAttempt, ("scanned_at", "received_at")),
        (CheckInPoint, ("created_at",)),
        (DoorDevice, ("created_at", "enrolled_at", "revoked_at")),
        (EventGuest, ("created_at", "removed_at")),
        (Message, ("created_at", "started_at", "fanned_out_at", "finished_at", "stopped_at")),
        (MessageDelivery, ("created_at", "handed_at", "sent_at", "delivered_at", "read_at", "withdrawn_at")),
        (OptOut, ("created_at",)),
        (PushDevice, ("created_at", "seen_at")),
    ):
        for stamp in stamps:
            assert not model.objects.filter(**{f"{stamp}__gt": now}).exists(), (model, stamp)
    assert not JoinRequest.objects.filter(decided_at__lt=F("created_at")).exists()
    assert not JoinRequest.history.filter(event__external_id__isnull=False, history_date__gt=now).exists()
    conference = event("demo:now")
    assert conference.starts_at <= conference.late_from <= now
    arrivals = Attendee.objects.here().filter(event=conference, attendance_marked_at__gt=now - timedelta(hours=4))
    assert arrivals.filter(attendance_status="late", attendance_marked_at__gte=conference.late_from).count() >= 9
    assert arrivals.filter(attendance_status="present", attendance_source="scan").count() >= 45
    for over in (event("demo:over"), event("other:over")):
        came = Attendee.objects.here().filter(event=over)
        day = (over.starts_at - timedelta(minutes=20), over.ends_at)
        assert came.count() == came.filter(attendance_marked_at__range=day).count() > 20
    for door in CheckInPoint.objects.exclude(opens_at=None):
        assert door.event.starts_at <= door.opens_at < door.closes_at <= door.event.ends_at
    waiting = Message.objects.filter(status="scheduled").with_due_at()
    assert waiting.count() == waiting.filter(due_at__gt=now).count() == 3
    fresh = JoinRequest.objects.filter(created_at__gte=now - timedelta(days=7), created_at__lte=now)
    assert fresh.count() > 50


@pytest.mark.parametrize(
    "now",
    [
        timezone.now() + timedelta(days=365),
        datetime(2041, 3, 30, 23, 30, tzinfo=UTC),  # clocks change in Lisbon this night
        datetime(2041, 10, 27, 0, 30, tzinfo=UTC),
        datetime(2041, 12, 31, 11, 59, tzinfo=UTC),
    ],
    ids=["in a year", "spring", "autumn", "new year"],
)
def test_times_fit_whenever_it_is_made(db, now):
    demo.build(now=now)
    assert_alive(now)


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


def said():
    """Each of the demo's deliveries, and how far it got."""
    return sorted(
        MessageDelivery.objects.exclude(message__key=None)
        .filter(message__kind="announcement")
        .values_list("message__key", "channel", "status", "link_case", "phone_number", "email"),
        key=str,
    )


def test_made_twice_it_is_the_same(db):
    start = transaction.savepoint()
    made = demo.build()

    def facts():
        return (
            said()
            + marks()
            + sorted(
                JoinRequest.objects.values_list(
                    "event__external_id", "user_profile__owner_id", "status", "plus_ones", "comments"
                )
            )
        )

    def marks():
        marked = Attendee.objects.exclude(attendance_updated_at=None)
        return sorted(
            marked.values_list("event__external_id", "user_profile__owner_id", "attendance_status", "attendance_source")
        )

    first = facts()
    transaction.savepoint_rollback(start)
    assert facts() == []
    demo.build(now=made.now)
    assert facts() == first


def test_with_every_channel_set_up_it_is_the_same_and_nothing_waits_to_be_sent(db, settings):
    start = transaction.savepoint()
    made = demo.build()
    first = said()
    transaction.savepoint_rollback(start)
    with PostOffice(calls_back=False) as office:
        for name, value in office.settings.items():
            setattr(settings, name, value)
        demo.build(now=made.now)
    assert said() == first
    waiting = MessageDelivery.objects.filter(status__in=DeliveryStatus.UNDECIDED, message__stopped_at=None)
    assert not waiting.exists()
    assert MessageDelivery.objects.filter(message__kind="join_decision", channel="email", status="sent").count() > 50


# -- the command ---------------------------------------------------------------------------------


def test_command_ends_with_a_summary(db, capsys):
    call_command("demo_data")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 22
    assert lines[0] == "Harbour Collective (demo)"
    assert lines[2].endswith(
        "Harbour Lights                     published  180 of 240 places  14 pending  77 of 107 came"
    )
    assert lines[5].endswith("Lighthouse Supper Club             published  30 of 30 places    14 pending")
    assert lines[-2] == (
        f"{UserProfile.objects.count()} people, {JoinRequest.objects.count()} join requests, "
        f"{Attendee.objects.active().count()} attendees in 18 events."
    )
    assert lines[-1] == (
        f"{EventGuest.objects.count()} guests on lists, {Message.objects.count()} messages, "
        f"{MessageDelivery.objects.count()} deliveries."
    )


def test_command_takes_any_schedule_and_keeps_its_zone(db, tmp_path, capsys):
    # In Berlin the clocks went forward in the night between these two.
    talks = [("a", "First", "2019-03-30T23:30:00+01:00"), ("b", "Second", "2019-03-31T09:00:00+02:00")]
    path = schedule_file(tmp_path, *talks, time_zone_name="Europe/Berlin", title="Small Conf")
    call_command("demo_data", schedule=path)
    conference = event("demo:now")
    assert (conference.title, conference.timezone) == ("Small Conf", "Europe/Berlin")
    today = timezone.now().astimezone(conference.zone).date()
    times = [
        (one.title, one.starts_at.astimezone(conference.zone)) for one in conference.sessions.order_by("starts_at")
    ]
    assert [(title, (at.date() - today).days, at.hour, at.minute) for title, at in times] == [
        ("First", 0, 23, 30),
        ("Second", 1, 9, 0),
    ]
    assert conference.starts_at <= timezone.now() < conference.ends_at


def test_command_exchanges_the_schedule_and_then_keeps_it(made, tmp_path, capsys):
    path = schedule_file(tmp_path, ("a", "Only", "2019-03-30T10:00:00+00:00"))
    attendees = Attendee.objects.filter(event__external_id="demo:now").count()
    for options in ({"schedule": path}, {"schedule": path}, {}):
        call_command("demo_data", **options)
        conference = event("demo:now")
        assert (conference.title, conference.description, conference.venue) == ("Small Conf", "", "")
        # Where people were checked in, the session stays, cancelled.
        assert [one.title for one in conference.sessions.exclude(status="cancelled")] == ["Only"]
        assert conference.sessions.filter(status="cancelled").count() == conference.check_in_points.count() - 2 == 2
        assert conference.ends_at - conference.starts_at == timedelta(days=1)
        assert conference.attendees.count() == attendees
    assert Event.objects.count() == 18


@pytest.mark.parametrize("content", [b"", b"{", b'{"schedule": {"conference": {}}}', b"hello"])
def test_command_refuses_a_broken_schedule(db, tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=r"\w+ .*\."):
        call_command("demo_data", schedule=str(path))
    assert Organization.objects.count() == 0


def test_command_refuses_a_missing_schedule(db, tmp_path):
    with pytest.raises(CommandError, match="can't be read"):
        call_command("demo_data", schedule=str(tmp_path / "nothing.json"))
    assert Organization.objects.count() == 0


def test_command_refuses_a_site_in_production(db, settings):
    settings.HTTPS, settings.DEMO = True, False
    with pytest.raises(CommandError, match="TURNOUT_DEMO"):
        call_command("demo_data")
    assert Organization.objects.count() == 0


def test_later_keeps_the_time_of_day():
    lisbon = ZoneInfo("Europe/Lisbon")
    winter = datetime(2041, 3, 30, 10, 0, tzinfo=UTC)
    assert clock.later(winter, 1, lisbon) == datetime(2041, 3, 31, 9, 0, tzinfo=UTC)
