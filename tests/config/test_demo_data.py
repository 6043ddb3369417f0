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

from attendance.models import Attendee, Block
from attendance.operations import room
from config import demo, integrity
from config.demo import agenda, clock, photos
from config.demo.people import PASSWORD
from events.models import Event, Membership, Organization, Session, UserProfile
from events.operations import accounts
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

    def test_the_attendee_is_in_two_rooms_and_waits_for_another(self):
        for slug in ("demo", "other"):
            mine = JoinRequest.objects.filter(user_profile__email=f"attendee@{slug}.example")
            standing = dict(mine.values_list("event__external_id", "status"))
            assert standing[f"{slug}:now"] == standing[f"{slug}:next"] == "approved"
            assert "pending" in standing.values()
            assert Attendee.objects.active().filter(user_profile__email=f"attendee@{slug}.example").count() == 2

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
        (Attendee, ("created_at", "hidden_at", "looking_for_updated_at")),
        (Ban, ("created_at",)),
    ):
        for stamp in stamps:
            assert not model.objects.filter(**{f"{stamp}__gt": now}).exists(), (model, stamp)
    assert not JoinRequest.objects.filter(decided_at__lt=F("created_at")).exists()
    assert not JoinRequest.history.filter(event__external_id__isnull=False, history_date__gt=now).exists()
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


def test_what_people_did_stays(made):
    approved = JoinRequest.objects.pending().filter(event__external_id="demo:next", held=False).first()
    actor = made.logins["organizer@demo.example"]
    join_requests.approve(request_id=approved.pk, actor=actor)
    gone = Attendee.objects.active().filter(event__external_id="demo:now").first()
    room.hide(attendee_id=gone.pk, actor=actor)
    Event.objects.filter(external_id="demo:auto").update(title="Evening Paddle")
    Session.objects.filter(title="Boring on purpose").update(title="Boring by accident")
    UserProfile.objects.filter(email="viewer@demo.example").update(first_name="Somebody")
    decided = JoinRequest.objects.get(pk=approved.pk).decided_at
    now = timezone.now() + timedelta(days=2)
    demo.build(now=now)
    assert JoinRequest.objects.get(pk=approved.pk).status == "approved"
    assert JoinRequest.objects.get(pk=approved.pk).decided_at == decided
    assert Attendee.objects.get(pk=gone.pk).hidden_at is not None
    assert event("demo:auto").title == "Evening Paddle"
    assert Session.objects.filter(title="Boring by accident").count() == 1
    assert UserProfile.objects.get(email="viewer@demo.example").first_name == "Somebody"
    assert Event.objects.count() == len(agenda.EVENTS)


def test_made_twice_it_is_the_same(db):
    start = transaction.savepoint()
    made = demo.build()

    def facts():
        return sorted(
            JoinRequest.objects.values_list(
                "event__external_id", "user_profile__owner_id", "status", "plus_ones", "comments"
            )
        )

    first = facts()
    transaction.savepoint_rollback(start)
    assert facts() == []
    demo.build(now=made.now)
    assert facts() == first


# -- the command ---------------------------------------------------------------------------------


def test_command_ends_with_a_summary(db, capsys):
    call_command("demo_data")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[0] == "Harbour Collective (demo)"
    assert "Lighthouse Supper Club             published  30 of 30 places    14 pending" in lines[5]
    assert lines[-1] == (
        f"{UserProfile.objects.count()} people, {JoinRequest.objects.count()} join requests, "
        f"{Attendee.objects.active().count()} attendees in 18 events."
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
        assert [one.title for one in conference.sessions.all()] == ["Only"]
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
