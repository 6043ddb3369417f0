"""The tasks: on beat's list, tried again after 2, 4 and 8 seconds, and what they leave behind when that was in vain."""

from datetime import timedelta

import pytest
from celery.schedules import crontab
from celery.signals import task_retry
from django.conf import settings
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY

from config import health
from messaging.models import Message
from rsvp import tasks
from rsvp.models import SessionChange, WaitlistEntry
from rsvp.operations import reserving, sessions
from tests.config import postgres
from tests.factories import SessionFactory, SessionRsvpFactory, WaitlistEntryFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("task", [tasks.catch_up, tasks.tell_offers, tasks.tell_changes])
def test_sweeps_are_beat_s_each_minute(task):
    [entry] = [one for one in settings.CELERY_BEAT_SCHEDULE.values() if one["task"] == task.name]
    assert (entry["schedule"], entry["options"]) == (60, {"expires": 55})


def test_reminders_are_beat_s_four_times_an_hour():
    [entry] = [one for one in settings.CELERY_BEAT_SCHEDULE.values() if one["task"] == tasks.remind.name]
    assert entry["schedule"] == crontab(minute="*/15")


@pytest.fixture
def offer():
    """Somebody gave a seat back, whoever waited has an offer, and the task that would tell them was lost."""
    session = SessionFactory(capacity=1)
    giver = SessionRsvpFactory(session=session)
    entry = WaitlistEntryFactory(session=session)
    reserving.cancel(session_id=session.pk, person=giver.attendee.user_profile)
    entry.refresh_from_db()
    assert (entry.status, entry.told_at) == ("offered", None)
    return entry


def test_the_sweep_tells_what_a_lost_task_did_not(offer):
    for _minute in range(2):
        tasks.tell_offers()
    assert Message.objects.values_list("kind", "recipients").get() == ("waitlist_offer", 1)


def test_the_sweep_hands_on_what_passed_and_tells(offer):
    early = timezone.now() - timedelta(minutes=5)
    WaitlistEntry.objects.update(offer_expires_at=early, told_at=early)
    following = WaitlistEntryFactory(session=offer.session)
    tasks.catch_up()
    tasks.tell_offers()
    following.refresh_from_db()
    assert following.status == "offered"
    assert following.told_at is not None


def test_the_sweep_tells_of_cancelled_sessions(offer):
    sessions.cancel(session_id=offer.session_id, actor=None)
    for _minute in range(2):
        tasks.tell_changes()
    assert Message.objects.values_list("kind", "recipients").get() == ("session_changed", 1)
    assert not SessionChange.objects.filter(told_at=None).exists()


def test_reminders_by_the_clock_as_it_is(offer):
    """At whatever hour this runs: who waits has no seat to be reminded of."""
    tasks.remind()
    assert not Message.objects.exists()


# -- Again and again ---------------------------------------------------------------------------------------


@pytest.fixture
def refused():
    """The database takes no messages, until this is called."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON event_messages FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        )

    def accept():
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER refuse ON event_messages")

    return accept


@pytest.fixture
def retries():
    """After how many seconds a task is tried again, each time."""
    pauses = []

    def note(reason, **_kwargs):
        pauses.append(reason.when)

    task_retry.connect(note, weak=False)
    yield pauses
    task_retry.disconnect(note)


def given_up(task) -> float:
    return REGISTRY.get_sample_value("turnout_tasks_given_up_total", {"task": task.name}) or 0


def test_telling_is_tried_again_three_times_then_logged_counted_and_left_to_the_sweep(offer, refused, retries, caplog):
    health._redis.delete(health.GIVEN_UP)
    outcome = tasks.tell_offers.apply()
    assert sorted(retries) == [2, 4, 8]
    assert outcome.state in ("RETRY", "FAILURE")
    [record] = [one for one in caplog.records if isinstance(one.msg, dict) and one.msg["event"] == "task.given_up"]
    assert (record.levelname, record.msg["task"], record.msg["attempts"]) == ("ERROR", "rsvp.tasks.tell_offers", 4)
    assert given_up(tasks.tell_offers) == 1
    offer.refresh_from_db()
    assert (offer.status, offer.told_at) == ("offered", None)
    assert not Message.objects.exists()
    refused()
    tasks.tell_offers()
    assert Message.objects.count() == 1
    assert given_up(tasks.tell_offers) == 1


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_is_held_is_waited_for_in_the_same_way(offer, retries):
    health._redis.delete(health.GIVEN_UP)
    with postgres.held("LOCK TABLE event_messages IN EXCLUSIVE MODE"):
        tasks.tell_offers.apply()
    assert sorted(retries) == [2, 4, 8]
    assert given_up(tasks.tell_offers) == 1
    assert tasks.tell_offers.apply().state == "SUCCESS"
    assert Message.objects.count() == 1
