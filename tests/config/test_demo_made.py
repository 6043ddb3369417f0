"""The demo data, built from nothing: whenever and however often, the same; and the command that does it."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from PIL import Image

from attendance.models import (
    Attendee,
)
from config import demo
from config.demo import clock, photos
from config.post_office import PostOffice
from events.models import Organization, UserProfile
from events.operations import accounts
from messaging.models import (
    DeliveryStatus,
    EventGuest,
    Message,
    MessageDelivery,
)
from requests.models import JoinRequest, SessionRequest

from .demo_data import assert_alive, event, said, schedule_file


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


def facts():
    """What of the demo data is the same however often it is made."""
    asked = JoinRequest.objects.values_list(
        "event__external_id", "user_profile__owner_id", "status", "plus_ones", "comments"
    )
    marked = Attendee.objects.exclude(attendance_updated_at=None)
    marks = marked.values_list("event__external_id", "user_profile__owner_id", "attendance_status", "attendance_source")
    return said() + sorted(marks) + sorted(asked)


@pytest.fixture(scope="module")
def once(in_one_transaction, django_db_blocker):
    """``(now, said, facts)`` of a demo that was made, and is no more."""
    with django_db_blocker.unblock():
        start = transaction.savepoint()
        made = demo.build()
        found = made.now, said(), facts()
        transaction.savepoint_rollback(start)
    return found


def test_made_twice_it_is_the_same(once, db):
    now, _said, first = once
    assert facts() == []
    demo.build(now=now)
    assert facts() == first


def test_with_every_channel_set_up_it_is_the_same_and_nothing_waits_to_be_sent(once, db, settings):
    now, first, _facts = once
    with PostOffice(calls_back=False) as office:
        for name, value in office.settings.items():
            setattr(settings, name, value)
        demo.build(now=now)
    assert said() == first
    waiting = MessageDelivery.objects.filter(status__in=DeliveryStatus.UNDECIDED, message__stopped_at=None)
    assert not waiting.exists()
    assert MessageDelivery.objects.filter(message__kind="join_decision", channel="email", status="sent").count() > 50


# -- the command ---------------------------------------------------------------------------------


def test_command_ends_with_a_summary(db, capsys):
    call_command("demo_data")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 24
    assert lines[0] == "Harbour Collective (demo)"
    assert lines[2].endswith(
        "Harbour Lights                     published  180 of 240 places  14 pending  77 of 107 came"
    )
    assert lines[5].endswith("Lighthouse Supper Club             published  30 of 30 places    14 pending")
    assert lines[-3].endswith(" people in lines, 1 offered a seat.")
    assert lines[-4] == (
        f"{UserProfile.objects.count()} people, {JoinRequest.objects.count()} join requests, "
        f"{Attendee.objects.active().count()} attendees in 18 events."
    )
    assert lines[-2] == (
        f"{EventGuest.objects.count()} guests on lists, {Message.objects.count()} messages, "
        f"{MessageDelivery.objects.count()} deliveries."
    )
    done = SessionRequest.objects.filter(status="completed").count()
    assert lines[-1] == f"6 mechanics on duty, 6 requests waiting for one, 3 in progress, {done} done."


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
