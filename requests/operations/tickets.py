"""Tickets for the live stream: whoever holds one is let in once, as the person whom it was given to."""

import hashlib
import secrets
from uuid import UUID

from django.db.models.functions import Now
from django.utils import timezone

from config.errors import NotFound, operation
from events.models import UserProfile

from ..models import ServiceSignal, StreamTicket


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


@operation
def issue(*, person) -> str:
    """A ticket, good for a minute. Raises NotFound for somebody who was deactivated or erased."""
    if not UserProfile.objects.active().filter(pk=person.pk).exists():
        raise NotFound
    ticket = secrets.token_urlsafe(32)
    StreamTicket.objects.create(
        digest=_digest(ticket), user_profile_id=person.pk, expires_at=timezone.now() + StreamTicket.TTL
    )
    return ticket


@operation
def redeem(*, ticket: str) -> UUID | None:
    """Whose it was, and that it is used up; None for one that was used, has expired or never was."""
    held = StreamTicket.objects.filter(digest=_digest(ticket), expires_at__gt=Now(), user_profile__is_active=True)
    person_id = held.values_list("user_profile_id", flat=True).first()
    deleted, _by_model = StreamTicket.objects.filter(digest=_digest(ticket)).delete()
    return person_id if deleted else None


@operation
def forget() -> None:
    """What was never used, and signals that nobody can have missed."""
    StreamTicket.objects.filter(expires_at__lt=Now()).delete()
    ServiceSignal.objects.filter(at__lt=timezone.now() - ServiceSignal.KEPT).delete()
