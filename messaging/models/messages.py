"""What is said, to whom, and when: announcements of organisers, and the system's own notices."""

import re
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import known, touched, uuid7
from events.models import Event, UserProfile
from events.models.people import SANE_MOMENT, ScopedQuerySet, sane

from ..triggers import Uuid7, deliveries


class Channel(models.TextChoices):
    IN_APP = "in_app", _("In the app")
    PUSH = "push", _("Push")
    SMS = "sms", _("SMS")
    EMAIL = "email", _("E-mail")


class Kind(models.TextChoices):
    ANNOUNCEMENT = "announcement", _("Announcement")
    JOIN_DECISION = "join_decision", _("Decision on a join request")
    WAITLIST_OFFER = "waitlist_offer", _("Offer from a waiting list")
    SESSION_CHANGED = "session_changed", _("Session changed")
    REMINDER = "reminder", _("Reminder")
    SERVICE_REQUEST = "service_request", _("Service request")
    REQUESTS = "requests", _("Join requests to decide")
    DOOR = "door", _("At the door")
    TEST = "test", _("Test")


class MessageStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    SCHEDULED = "scheduled", _("Scheduled")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")


MessageStatus.OPEN = frozenset({MessageStatus.DRAFT, MessageStatus.SCHEDULED})
"""May still be changed, or never sent at all."""
MessageStatus.OUT = frozenset({MessageStatus.SENDING, MessageStatus.SENT, MessageStatus.FAILED})


class Anchor(models.TextChoices):
    """A moment of the event that a message's time is relative to."""

    STARTS = "starts_at", _("the event's start")
    ENDS = "ends_at", _("the event's end")


FURTHEST = timedelta(days=366)


def validate_offset(value) -> None:
    if abs(value) > FURTHEST:
        raise ValidationError(_("At most a year before or after."), code="offset")


def filled(text: str, *, name: str, event: str) -> str:
    """The text with its placeholders filled; whatever else stands in braces stays as it is."""
    values = {"{name}": name, "{event}": event}
    return PLACEHOLDER.sub(lambda found: values[found[0]], text)


PLACEHOLDER = re.compile(r"\{(?:name|event)\}")


class MessageQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def with_due_at(self):
        """Adds ``due_at``: the moment to send at, be it fixed or relative to the event; null for neither."""
        return self.annotate(
            due_at=Coalesce(
                F("scheduled_at"),
                models.Case(
                    models.When(anchor=Anchor.STARTS, then=F("event__starts_at") + F("anchor_offset")),
                    models.When(anchor=Anchor.ENDS, then=F("event__ends_at") + F("anchor_offset")),
                ),
                output_field=models.DateTimeField(),
            )
        )

    def due(self):
        """Scheduled messages whose time has come."""
        return self.filter(status=MessageStatus.SCHEDULED).with_due_at().filter(due_at__lte=Now())

    def running(self):
        """Messages that are being sent and nobody has stopped."""
        return self.filter(status=MessageStatus.SENDING, stopped_at=None)


class Message(models.Model):
    """One text for many. Its status is written by operations only.

    ``audience`` names one of messaging.audiences, ``audience_details`` what that one asked for. The
    system's notices have no audience, as their deliveries are made along with them; their details
    say ``about`` whom else they are. ``key`` makes a notice once, however often it is asked for.
    Times relative to the event move along with it.
    """

    Status, Kind, Channel, Anchor = MessageStatus, Kind, Channel, Anchor

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    event = models.ForeignKey(
        Event, on_delete=models.PROTECT, null=True, blank=True, related_name="messages", verbose_name=_("event")
    )
    kind = models.CharField(
        _("kind"),
        max_length=20,
        choices=Kind.choices,
        default=Kind.ANNOUNCEMENT,
        db_default=Kind.ANNOUNCEMENT,
        editable=False,
    )
    subject = models.CharField(_("subject"), max_length=200, blank=True, default="", db_default="")
    body = models.TextField(_("text"), max_length=20_000, blank=True, default="", db_default="")
    channels = ArrayField(
        models.CharField(max_length=10, choices=Channel.choices), verbose_name=_("channels"), default=list, blank=True
    )
    audience = models.CharField(_("audience"), max_length=50, blank=True, default="", db_default="")
    audience_details = models.JSONField(_("chosen"), default=dict, blank=True, db_default={})
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=MessageStatus.choices,
        default=MessageStatus.DRAFT,
        db_default=MessageStatus.DRAFT,
        editable=False,
    )
    scheduled_at = models.DateTimeField(_("send at"), null=True, blank=True, validators=SANE_MOMENT)
    anchor = models.CharField(
        _("relative to"), max_length=10, choices=Anchor.choices, blank=True, default="", db_default=""
    )
    anchor_offset = models.DurationField(
        _("how long after"),
        null=True,
        blank=True,
        validators=[validate_offset],
        help_text=_("Negative: before."),
    )
    started_at = models.DateTimeField(_("sending began"), null=True, editable=False)
    queued_at = models.DateTimeField(_("waiting since"), null=True, editable=False)
    fanned_out_at = models.DateTimeField(_("deliveries made"), null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)
    stopped_at = models.DateTimeField(_("stopped"), null=True, editable=False)
    withdrawn_at = models.DateTimeField(_("rest taken back"), null=True, editable=False)
    recipients = models.PositiveIntegerField(_("recipients"), null=True, editable=False)
    error = models.TextField(_("error"), blank=True, default="", db_default="", editable=False)
    key = models.CharField(max_length=200, null=True, unique=True, editable=False)
    created_by = models.ForeignKey(
        UserProfile,
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        verbose_name=_("written by"),
    )
    created_at = models.DateTimeField(_("written"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = MessageQuerySet.as_manager()
    history = HistoricalRecords(
        excluded_fields=["updated_at", "recipients"], history_change_reason_field=models.TextField(null=True)
    )

    class Meta:
        db_table = "event_messages"
        ordering = ["-pk"]
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            known("status", MessageStatus, "messaging_message_status_known"),
            known("kind", Kind, "messaging_message_kind_known"),
            models.CheckConstraint(
                condition=Q(channels__contained_by=Channel.values), name="messaging_message_channels_known"
            ),
            models.CheckConstraint(
                condition=Q(anchor="", anchor_offset=None)
                | Q(anchor__in=Anchor.values, anchor_offset__isnull=False, scheduled_at=None, event__isnull=False),
                name="messaging_message_one_time",
                violation_error_message=_("Give either a time, or one relative to the event with how long after."),
            ),
            models.CheckConstraint(condition=sane("scheduled_at"), name="messaging_message_times_sane"),
        ]
        indexes = [
            models.Index("event", "id", name="event_messages_event"),
            models.Index(
                "status",
                condition=Q(status__in=[MessageStatus.SCHEDULED, MessageStatus.SENDING]),
                name="event_messages_open",
            ),
        ]
        triggers = [touched(), deliveries.message_keeps_event()]

    def __str__(self):
        """With the event's title in it, which is asked for where the words have a place for it."""
        words = self.opening
        return filled(words, name="{name}", event=self.event.title) if "{event}" in words and self.event_id else words

    @property
    def opening(self) -> str:
        """The first words, placeholders as they are."""
        return self.subject or self.body[:60] or str(_("(empty)"))

    @property
    def is_open(self) -> bool:
        return self.status in MessageStatus.OPEN

    @property
    def due_moment(self):
        """When it is to be sent; None for at once."""
        if self.anchor:
            return getattr(self.event, self.anchor) + self.anchor_offset
        return self.scheduled_at
