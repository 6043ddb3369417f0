"""Tasks and sweeps of the whole product: doors to operations, nothing more."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from config import health, integrity

from .models import IdempotencyKey
from .operations import letters, phones


@shared_task
def heartbeat():
    """Tells /readyz that beat schedules and a worker works."""
    health.beat("celery")


@shared_task
def check_integrity():
    integrity.run()


@shared_task
def forget_expired():
    """Idempotency keys are kept for 24 hours, refresh tokens until they expire, codes for an hour,
    letters for 30 days."""
    IdempotencyKey.objects.filter(created_at__lt=timezone.now() - timedelta(hours=24)).delete()
    OutstandingToken.objects.filter(expires_at__lt=timezone.now()).delete()
    phones.forget()
    letters.forget()
