"""What happened to requests; and what the live stream reads."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from config.database import append_only
from events.models import Organization, UserProfile
from events.models.people import scoped

from ..triggers import service as triggers
from .mechanics import Mechanic
from .service import STATUS_LENGTH, RequestStatus, ServiceSession, SessionRequest


class SessionRequestLog(models.Model):
    """Every step of every request, as the database saw it. ``actor``: the person who did it; null for the system and
    for raw SQL."""

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(
        SessionRequest,
        on_delete=models.PROTECT,
        related_name="log",
        db_constraint=False,
        db_index=False,
        verbose_name=_("request"),
    )
    organization = models.ForeignKey(
        Organization,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("organisation"),
    )
    from_status = models.CharField(_("from"), max_length=STATUS_LENGTH, choices=RequestStatus.choices, null=True)
    to_status = models.CharField(_("to"), max_length=STATUS_LENGTH, choices=RequestStatus.choices)
    from_mechanic = models.ForeignKey(
        Mechanic,
        on_delete=models.DO_NOTHING,
        related_name="+",
        null=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("from mechanic"),
    )
    to_mechanic = models.ForeignKey(
        Mechanic,
        on_delete=models.DO_NOTHING,
        related_name="+",
        null=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("to mechanic"),
    )
    actor = models.ForeignKey(
        UserProfile,
        on_delete=models.DO_NOTHING,
        related_name="+",
        null=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("by"),
    )
    reason = models.TextField(_("reason"), blank=True)
    at = models.DateTimeField(_("at"))
    db_user = models.CharField(_("database user"), max_length=63)

    objects = scoped("organization").as_manager()

    class Meta:
        db_table = "session_request_log"
        ordering = ["-pk"]
        verbose_name = _("step of a service request")
        verbose_name_plural = _("record of service requests")
        indexes = [
            models.Index("request", "id", name="session_request_log_request"),
            models.Index("organization", "at", name="session_request_log_time"),
        ]
        triggers = append_only(triggers.APPEND_ONLY, "the record of service requests")

    def __str__(self):
        return f"{self.from_status or '–'} → {self.to_status}"


class ServiceSignal(models.Model):
    """Something that screens show has changed. Written by the database when a transaction commits, one after the
    other, so that whoever has read up to an ``id`` has missed none before it. Kept for a day."""

    class Kind(models.TextChoices):
        REQUEST = "request", _("Request")
        SESSION = "session", _("Session")
        MESSAGE = "message", _("Message")
        MECHANIC = "mechanic", _("Mechanic")

    KEPT = timedelta(days=1)

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    session = models.ForeignKey(
        ServiceSession, on_delete=models.CASCADE, related_name="+", null=True, db_constraint=False, db_index=False
    )
    user_profile = models.ForeignKey(
        UserProfile, on_delete=models.CASCADE, related_name="+", null=True, db_constraint=False, db_index=False
    )
    at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        db_table = "service_signals"


class StreamTicket(models.Model):
    """Lets one live connection in, once, within a minute: an EventSource sends no header. ``digest``: SHA-256 of it."""

    TTL = timedelta(seconds=60)

    digest = models.CharField(primary_key=True, max_length=64)
    user_profile = models.ForeignKey(UserProfile, on_delete=models.CASCADE, related_name="+", db_index=False)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "stream_tickets"
