"""Redis stops, and comes back: seats go from hand to hand meanwhile, and whom it concerns hears of it after."""

import os
import subprocess
import sys
import tempfile
import time

import httpx
import pytest
from celery import current_app
from django.db import connection

from config import services
from events.sign_in import access_token
from messaging.models import Message, MessageDelivery
from rsvp import tasks
from rsvp.models import WaitlistEntry
from tests.config.postgres import PROJECT, url
from tests.factories import AttendeeFactory, SessionFactory


@pytest.fixture
def redis(monkeypatch):
    """``redis()``: a Redis of this test's own, in the same place each time."""
    with tempfile.TemporaryDirectory(prefix="turnout-redis-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)

        def start():
            with monkeypatch.context() as patch:
                patch.delenv("REDIS_URL")
                return services.join(folder, durable=False)

        yield start


@pytest.fixture
def worker():
    """``worker(redis_url)`` starts one on the test's database."""
    started = []

    def start(redis_url):
        program = [sys.executable, "-m", "celery", "--quiet", "--app", "config", "worker", "--pool", "solo"]
        own = {"DATABASE_URL": url(connection.settings_dict["NAME"]), "REDIS_URL": redis_url}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        options = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        started.append(subprocess.Popen([*program, *options], cwd=PROJECT, env=os.environ | own, **quiet))

    yield start
    for process in started:
        process.kill()
        process.wait()


def sweep(redis_url):
    """What beat does each minute, to a worker that was away for several."""
    with current_app.connection_for_write(url=redis_url.replace("unix://", "redis+socket://", 1)) as line:
        for _minute in range(3):
            tasks.tell_offers.apply_async(connection=line)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_seats_are_handed_on_while_redis_is_away_and_told_of_once_it_is_back(redis, serve, worker):
    session = SessionFactory(capacity=1)
    giver, first, second = AttendeeFactory.create_batch(3, event=session.event)
    with redis() as running:
        redis_url = running.redis_url
    site = httpx.Client(base_url=serve(REDIS_URL=redis_url), timeout=30)

    def ask(attendee, method, path):
        token = access_token(attendee.user_profile)
        answer = site.request(method, f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.elapsed.total_seconds() < 4, "nobody waits for Redis"
        return answer.status_code

    mine = f"sessions/{session.pk}/rsvp/"
    assert ask(giver, "POST", mine) == 201
    assert [ask(one, "POST", f"{mine}?waitlist=1") for one in (first, second)] == [202, 202]
    assert ask(giver, "DELETE", mine) == 200
    entry = WaitlistEntry.objects.get(attendee=first)
    assert (entry.status, entry.told_at) == ("offered", None)
    assert ask(first, "POST", f"waitlist/{entry.pk}/decline/") == 200
    entry = WaitlistEntry.objects.get(attendee=second)
    assert (entry.status, entry.told_at) == ("offered", None)
    assert not Message.objects.exists()

    with redis() as running:
        assert running.redis_url == redis_url
        worker(redis_url)
        sweep(redis_url)
        until(lambda: WaitlistEntry.objects.filter(pk=entry.pk, told_at__isnull=False).exists())
        assert ask(second, "POST", f"waitlist/{entry.pk}/accept/") in (200, 201)
        (frozen,) = services.Redis(running.root).processes()
        frozen.suspend()
        assert ask(second, "DELETE", mine) == 200
        frozen.resume()
        assert ask(second, "POST", mine) == 201
    session.refresh_from_db()
    assert (session.seats_taken, session.waitlist_length) == (1, 0)
    told = MessageDelivery.objects.filter(channel="in_app").values_list("message__subject", "user")
    assert list(told) == [(f"A seat for you: {session.title}", second.user_profile_id)]
    site.close()
