"""Beat's own tasks."""

from datetime import timedelta

import pytest
from django.utils import timezone

import messaging.tasks
from config import health
from events import tasks
from events.models import AccountLetter, IdempotencyKey, PhoneCode
from tests.factories import UserProfileFactory


@pytest.mark.django_db
def test_heartbeats_tell_that_each_queue_has_a_worker(client):
    health._redis.delete(*[f"{health.HEARTBEAT}:{queue}" for queue in health.QUEUES])
    assert client.get("/readyz").json()["workers"] == "silent: celery, messages"
    tasks.heartbeat()
    assert client.get("/readyz").json()["workers"] == "silent: messages"
    messaging.tasks.heartbeat()
    assert client.get("/readyz").json() == {
        "status": "ready",
        "database": "ok",
        "migrations": "ok",
        "redis": "ok",
        "workers": "ok",
    }
    assert 0 < health._redis.ttl(f"{health.HEARTBEAT}:celery") <= health.HEARTBEAT_LASTS


@pytest.mark.django_db
def test_forget_expired_keeps_a_days_keys():
    person, now = UserProfileFactory(), timezone.now()
    for key, age in (("old", timedelta(hours=24, seconds=1)), ("young", timedelta(hours=23, minutes=59))):
        IdempotencyKey.objects.create(
            user_profile=person, key=key, fingerprint="", claimed_until=now, created_at=now - age
        )
    tasks.forget_expired()
    assert IdempotencyKey.objects.get().key == "young"


@pytest.mark.django_db
def test_forget_expired_keeps_letters_for_a_month_and_codes_for_an_hour():
    now = timezone.now()
    for address, age in (("old@example.org", timedelta(days=30, seconds=1)), ("young@example.org", timedelta(days=29))):
        AccountLetter.objects.create(kind="reset_password", address=address, created_at=now - age)
    old, young = UserProfileFactory.create_batch(2)
    for person, age in ((old, timedelta(hours=1, seconds=1)), (young, timedelta(minutes=59))):
        PhoneCode.objects.create(user=person, phone="+14155550123", created_at=now - age, expires_at=now)
    tasks.forget_expired()
    assert AccountLetter.objects.get().address == "young@example.org"
    assert PhoneCode.objects.get().user == young
