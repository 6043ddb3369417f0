"""The sweep that completes events: as a function, on beat's list, and in a worker that is killed."""

import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from attendance import tasks
from attendance.models import AttendanceAudit, Attendee
from config import services
from events.models import Event
from tests.config.postgres import PROJECT, held, url
from tests.factories import AttendeeFactory, EventFactory, crowd


def ended(ago=timedelta(hours=1), **fields):
    now = timezone.now()
    return EventFactory(starts_at=now - timedelta(days=4), ends_at=now - ago, **fields)


@pytest.mark.django_db
def test_complete_events_completes_what_is_due(event):
    older, newer = ended(timedelta(days=1)), ended()
    for one in (older, newer, event):
        AttendeeFactory(event=one)
    tasks.complete_events()
    assert dict(Event.objects.values_list("pk", "status")) == {
        older.pk: "completed", newer.pk: "completed", event.pk: "published",
    }  # fmt: skip
    assert dict(Attendee.objects.values_list("event", "attendance_status")) == {
        older.pk: "absent", newer.pk: "absent", event.pk: "unknown",
    }  # fmt: skip


@pytest.mark.django_db
def test_complete_events_asks_twice_where_nothing_is_to_do(event, django_assert_num_queries):
    with django_assert_num_queries(2):
        tasks.complete_events()


@pytest.mark.django_db(transaction=True)
def test_complete_events_goes_on_after_a_refusal(caplog):
    busy, fine = ended(timedelta(days=1)), ended()
    with held("SELECT FROM events WHERE id = %s FOR UPDATE", busy.pk):
        tasks.complete_events()
    assert dict(Event.objects.values_list("pk", "status")) == {busy.pk: "published", fine.pk: "completed"}
    [line] = [one.msg for one in caplog.records if one.levelname == "WARNING"]
    assert {name: line[name] for name in ("event", "event_id", "code")} == {
        "event": "attendance.auto_absence.refused", "event_id": busy.pk, "code": "busy",
    }  # fmt: skip


def test_complete_events_is_beat_s_each_minute():
    [entry] = [one for one in settings.CELERY_BEAT_SCHEDULE.values() if one["task"] == tasks.complete_events.name]
    assert entry["schedule"] == 60
    assert entry["options"]["expires"] < 60


# -- A worker, killed ------------------------------------------------------------------------------------


@pytest.fixture
def broker(monkeypatch):
    """A Redis of this test's own: no other worker takes its messages."""
    with tempfile.TemporaryDirectory(prefix="turnout-broker-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with monkeypatch.context() as patch:
            patch.delenv("REDIS_URL")
            joined = services.join(folder, durable=False)
        with joined:
            yield joined.redis_url


@pytest.fixture
def worker(broker):
    """``worker()`` starts one on the test's database."""
    started = []

    def start():
        program = [sys.executable, "-m", "celery", "--quiet", "--app", "config", "worker", "--pool", "solo"]
        own = {"DATABASE_URL": url(connection.settings_dict["NAME"]), "REDIS_URL": broker}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        options = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        started.append(subprocess.Popen([*program, *options], cwd=PROJECT, env=os.environ | own, **quiet))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def beat(broker):
    """What beat does each minute."""
    with current_app.connection_for_write(url=broker.replace("unix://", "redis+socket://", 1)) as line:
        tasks.complete_events.apply_async(connection=line)


def until(condition, seconds=60, pause=0.005):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(pause)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_in_the_middle_leaves_the_rest_to_the_next(worker, broker):
    event = ended()
    crowd(event, 20_000)
    absent = Attendee.objects.filter(attendance_status="absent")
    first = worker()
    beat(broker)
    until(lambda: absent.count() >= 1000)
    with transaction.atomic():  # holds the worker up between two batches, or within one
        Event.objects.select_for_update(no_key=True).get(pk=event.pk)
        first.kill()
        first.wait()
    marked = absent.count()
    assert 1000 <= marked < 20_000
    event.refresh_from_db()
    assert event.status == "published"

    worker()

    def completed():
        beat(broker)
        event.refresh_from_db()
        return event.status == "completed"

    until(completed, pause=0.5)
    assert absent.count() == 20_000
    trail = AttendanceAudit.objects.order_by()
    assert trail.count() == 20_000 == trail.values("attendee").distinct().count()
    assert set(trail.values_list("from_status", "to_status", "source", "actor")) == {
        ("unknown", "absent", "auto_absence", None)
    }
    assert event.history.filter(status="completed").count() == 1
