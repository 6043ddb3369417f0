"""The demo data: complete, and true to every promise."""

from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from attendance.models import (
    AttendanceAudit,
    AttendanceSource,
    Attendee,
    Block,
    CheckIn,
    CheckInAttempt,
    CheckInPoint,
    DoorDevice,
    PointScale,
)
from attendance.operations import points
from attendance.operations.check_in import Scan, Scanner, check_in
from config import integrity
from config.demo.people import PASSWORD
from events.models import Event, Membership, Session, UserProfile
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
from requests.models import (
    Ban,
    InvitationLink,
    JoinRequest,
    Mechanic,
    ServiceSettings,
    SessionParticipant,
    SessionRequest,
    SessionRequestLog,
)
from requests.operations import figures, taking, telling
from rsvp.models import SessionChange, SessionFeedback, SessionRsvp, WaitlistEntry, WaitlistLog

from .demo_data import event, settle

NAMES = ("admin", "owner", "organizer", "door", "viewer", "mechanic", "attendee")


@pytest.fixture(autouse=True)
def world(demo_made, db):
    return demo_made


# -- what there is -------------------------------------------------------------------------------


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


class TestWhoSitsWhere:
    def test_sessions_with_room_nearly_full_and_full_with_a_line(self, world):
        agenda = Session.objects.filter(event__external_id="demo:now", status="scheduled")
        limited = agenda.exclude(capacity=None)
        assert limited.filter(seats_taken__gt=0, seats_taken__lt=F("capacity") / 2).exists()
        assert limited.filter(seats_taken__lt=F("capacity"), seats_taken__gte=F("capacity") * 0.9).exists()
        full = limited.filter(seats_taken=F("capacity"))
        assert full.count() >= 4
        # Nobody waits for what has begun. Late in the day that is half of them.
        to_come = full.filter(starts_at__gt=world.now)
        assert to_come.count() >= 2
        assert not to_come.filter(waitlist_length__lt=5).exists()
        assert full.filter(rsvps__status="cancelled").exists()
        assert agenda.filter(capacity=None, seats_taken__gt=0).exists()
        # The demo brings nobody into its lines by a seat that nobody has.
        assert not limited.filter(waitlist_length__gt=0, seats_taken__lt=F("capacity")).exists()

    def test_the_attendee_has_an_offer_waits_and_has_seats(self, world):
        mine = {"attendee__user_profile__email": "attendee@demo.example", "event__external_id": "demo:now"}
        places = WaitlistEntry.objects.live().filter(**mine)
        assert set(places.values_list("status", flat=True)) == {"offered", "waiting"}
        offer = places.get(status="offered")
        assert world.now < offer.offer_expires_at <= offer.session.starts_at
        assert SessionRsvp.objects.confirmed().filter(**mine).count() >= 3

    def test_offers_of_every_end_and_each_step_on_record(self):
        assert set(WaitlistEntry.objects.values_list("status", flat=True)) >= {
            *("waiting", "offered", "accepted", "declined", "expired"),
        }
        steps = set(WaitlistLog.objects.values_list("from_status", "to_status"))
        assert steps >= {(None, "waiting"), ("waiting", "offered"), ("offered", "accepted"), ("offered", "expired")}

    def test_a_session_called_off_and_one_too_large_for_its_room(self):
        for key in ("demo:next", "other:next"):
            off = Session.objects.get(event__external_id=key, status="cancelled")
            assert off.rsvps.count() == off.rsvps.filter(end_reason="session_cancelled").count() > 0
        assert Session.objects.filter(capacity__gt=F("room__capacity")).exists()
        assert not SessionChange.objects.filter(told_at=None).exists()

    def test_what_people_thought(self):
        given = SessionFeedback.objects.all()
        assert given.count() > 25
        assert set(given.values_list("rating", flat=True)) == {1, 2, 3, 4, 5}
        assert given.exclude(comment="").count() > 8


class TestWhoHelps:
    def test_mechanics_on_duty_and_off(self):
        standing = Mechanic.objects.values_list("organization__slug", "on_duty", "active", "serves_all")
        assert Counter(standing) == {
            ("demo", True, True, True): 3,
            ("demo", True, True, False): 1,
            ("demo", False, True, True): 1,
            ("demo", False, False, True): 1,
            ("other", True, True, True): 2,
            ("other", False, True, True): 1,
        }
        for slug in ("demo", "other"):
            mechanic = Mechanic.objects.get(user_profile__email=f"mechanic@{slug}.example")
            offered = ServiceSettings.objects.get(organization=mechanic.organization)
            assert mechanic.on_duty
            assert set(mechanic.skills) <= set(offered.skills)
            assert len(offered.plans) > 0

    def test_requests_of_every_status_in_order(self):
        assert set(SessionRequest.objects.values_list("status", flat=True)) == set(SessionRequest.Status.values)
        line = SessionRequest.objects.open().filter(organization__slug="demo").in_line()
        assert list(line.values_list("status", "urgent", "skill")) == [
            ("unattended", False, "rigging"),
            ("pending", True, "electronics"),
            ("pending", False, "bicycles"),
            ("pending", False, ""),
        ]

    def test_the_attendee_talks_to_the_mechanic(self, world):
        session = SessionRequest.objects.get(status="accepted", customer=world.logins["attendee@demo.example"]).session
        people = SessionParticipant.objects.filter(session=session, left_at=None)
        assert dict(people.values_list("role", "user_profile__email")) == {
            "customer": "attendee@demo.example",
            "mechanic": "mechanic@demo.example",
        }
        assert [one.author.email.partition("@")[0] for one in session.messages.all()] == ["attendee", "mechanic"] * 2
        assert SessionRequest.objects.filter(status="completed", customer=session.customer).count() >= 1

    def test_nobody_is_told_and_nothing_is_due(self):
        assert not MessageDelivery.objects.filter(message__kind="service_request").exists()
        soon = timezone.now() + timedelta(minutes=10)
        assert taking.mark_unattended(at=soon) == taking.return_idle(at=soon) == taking.remind_idle(at=soon) == 0
        assert telling.tell_waiting(at=soon) == 0

    def test_times_to_accept_vary(self):
        taken = SessionRequest.objects.filter(status="completed", organization__slug="demo")
        waited = sorted(one.first_accepted_at - one.created_at for one in taken)
        assert len(waited) > 50
        assert timedelta(minutes=1) < waited[len(waited) // 2] < timedelta(minutes=6)
        assert timedelta(minutes=20) < waited[-3] < timedelta(hours=1)
        unattended = SessionRequestLog.objects.filter(to_status="unattended", organization__slug="demo")
        assert unattended.count() >= 5
        assert len({one.mechanic_id for one in taken}) == 5

    @pytest.mark.parametrize("period", [figures.Period.TODAY, figures.Period.ALL])
    def test_figures_agree(self, world, period):
        """What mechanics accepted is what was accepted; each step is on record when it happened."""
        house = [world.organizations["demo"].pk]
        waits, work = figures.waits(house, period), figures.work(house, period)
        taken = SessionRequest.objects.filter(organization__in=house, accepted_at__isnull=False)
        if period == figures.Period.ALL:
            assert waits.accepted == sum(one.taken for one in work) == taken.count()
            assert all(one.median for one in work) and waits.unattended >= 5
        else:
            assert 0 < sum(one.taken for one in work) < taken.count() / 2
        steps = SessionRequestLog.objects.filter(request__in=taken, reason="accepted")
        assert {one.request_id: (one.at, one.actor_id) for one in steps} == {
            one.pk: (one.accepted_at, one.mechanic.user_profile_id) for one in taken.select_related("mechanic")
        }

    def test_stamps_of_what_is_over(self):
        for one in SessionRequest.objects.exclude(closed_at=None).select_related("session"):
            begun = one.accepted_at or one.created_at
            assert one.created_at <= begun <= one.closed_at == one.session.ended_at


NOW = {"present": 68, "late": 9}
OVER = {"present": 30, "late": 14, "excused": 4, "absent": 10, "unknown": 1}


def others():
    """Attendees of the events that nobody has come to yet."""
    quiet = Event.objects.exclude(external_id__in=("demo:now", "demo:over", "other:now", "other:over"))
    rows = Attendee.objects.active().filter(event__in=quiet).values_list("event__external_id", flat=True)
    return Counter(rows)
