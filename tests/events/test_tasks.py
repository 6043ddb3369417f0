"""Beat's own tasks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from config import health
from events import tasks
from events.models import IdempotencyKey
from tests.factories import UserProfileFactory


@pytest.mark.django_db
def test_heartbeat_tells_that_a_worker_works(client):
    health._redis.delete(health.HEARTBEAT)
    assert client.get("/readyz").json()["workers"] == "silent"
    tasks.heartbeat()
    assert client.get("/readyz").json() == {
        "status": "ready",
        "database": "ok",
        "migrations": "ok",
        "redis": "ok",
        "workers": "ok",
    }
    assert 0 < health._redis.ttl(health.HEARTBEAT) <= health.HEARTBEAT_LASTS


@pytest.mark.django_db
def test_forget_expired_keeps_a_days_keys():
    person, now = UserProfileFactory(), timezone.now()
    for key, age in (("old", timedelta(hours=24, seconds=1)), ("young", timedelta(hours=23, minutes=59))):
        IdempotencyKey.objects.create(
            user_profile=person, key=key, fingerprint="", claimed_until=now, created_at=now - age
        )
    tasks.forget_expired()
    assert IdempotencyKey.objects.get().key == "young"
