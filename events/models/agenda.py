"""Rooms, speakers and sessions of an event."""

import pgtrigger
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import Trigger, kept_counter, known, touched, uuid7

from .event import Event
from .people import SANE_MOMENT, sane, scoped


class Room(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="rooms", verbose_name=_("event"))
    name = models.CharField(_("name"), max_length=300)
    capacity = models.PositiveIntegerField(_("seats"), null=True, blank=True)
    description = models.TextField(_("description"), blank=True)
    external_id = models.CharField(_("ID in the imported schedule"), max_length=300, blank=True, editable=False)

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "event_rooms"
        ordering = ["name", "pk"]
        verbose_name = _("room")
        verbose_name_plural = _("rooms")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "name"],
                name="events_room_name_unique",
                violation_error_message=_("The event has a room of this name already."),
            ),
        ]

    def __str__(self):
        return self.name


class Speaker(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="speakers", verbose_name=_("event"))
    name = models.CharField(_("name"), max_length=300)
    biography = models.TextField(_("biography"), blank=True)
    photo_url = models.URLField(_("photo"), max_length=1000, blank=True)
    external_id = models.CharField(_("ID in the imported schedule"), max_length=300, blank=True, editable=False)

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "event_speakers"
        ordering = ["name", "pk"]
        verbose_name = _("speaker")
        verbose_name_plural = _("speakers")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "external_id"], condition=~Q(external_id=""), name="events_speaker_external_id_unique"
            ),
        ]

    def __str__(self):
        return self.name


class SessionStatus(models.TextChoices):
    SCHEDULED = "scheduled", _("Scheduled")
    CANCELLED = "cancelled", _("Cancelled")


def revised() -> Trigger:
    """What people have in their calendars has another version whenever one of these changes."""
    columns = ("title", "starts_at", "ends_at", "room_id", "status")
    changed = " OR ".join(f"NEW.{one} IS DISTINCT FROM OLD.{one}" for one in columns)
    return Trigger(
        name="revised",
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition(f"{changed} OR NEW.sequence <> OLD.sequence"),
        func=f"NEW.sequence := OLD.sequence + ({changed})::int; RETURN NEW;",
    )


class Session(models.Model):
    """A slot of the agenda. ``starts_at`` may equal ``ends_at``: some schedules know no end.

    ``seats_taken`` (the seats of confirmed RSVPs and of standing offers) and ``waitlist_length`` are counted
    by triggers; ``sequence`` is what calendars tell a newer version by (RFC 5545, 3.8.7.4).
    """

    Status = SessionStatus

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="sessions", verbose_name=_("event"))
    title = models.TextField(_("title"))
    abstract = models.TextField(_("abstract"), blank=True)
    session_type = models.CharField(_("type"), max_length=300, blank=True)
    track = models.CharField(_("track"), max_length=300, blank=True)
    language = models.CharField(_("language"), max_length=35, blank=True)
    url = models.URLField(_("address"), max_length=1000, blank=True)
    room = models.ForeignKey(
        Room, on_delete=models.SET_NULL, null=True, blank=True, related_name="sessions", verbose_name=_("room")
    )
    speakers = models.ManyToManyField(
        Speaker, blank=True, related_name="sessions", db_table="event_session_speakers", verbose_name=_("speakers")
    )
    starts_at = models.DateTimeField(_("starts"), validators=SANE_MOMENT)
    ends_at = models.DateTimeField(_("ends"), validators=SANE_MOMENT)
    capacity = models.PositiveIntegerField(_("capacity"), null=True, blank=True, help_text=_("Empty: no limit."))
    seats_taken = models.PositiveIntegerField(_("places taken"), default=0, db_default=0, editable=False)
    waitlist_length = models.PositiveIntegerField(_("waiting"), default=0, db_default=0, editable=False)
    sequence = models.PositiveIntegerField(_("revision"), default=0, db_default=0, editable=False)
    rsvp_opens_at = models.DateTimeField(_("RSVP opens"), null=True, blank=True, validators=SANE_MOMENT)
    rsvp_closes_at = models.DateTimeField(_("RSVP closes"), null=True, blank=True, validators=SANE_MOMENT)
    status = models.CharField(
        _("status"), max_length=10, choices=SessionStatus.choices, default=SessionStatus.SCHEDULED
    )
    external_id = models.CharField(_("ID in the imported schedule"), max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = scoped("event__organization").as_manager()
    history = HistoricalRecords(excluded_fields=["seats_taken", "waitlist_length", "sequence", "updated_at"])

    class Meta:
        db_table = "event_sessions"
        ordering = ["starts_at", "pk"]
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            models.CheckConstraint(
                condition=Q(capacity=None) | Q(seats_taken__lte=F("capacity")),
                name="events_session_seats_within_capacity",
                violation_error_message=_("More places are taken than this capacity has."),
            ),
            models.CheckConstraint(
                condition=Q(starts_at__lte=F("ends_at")),
                name="events_session_starts_before_ends",
                violation_error_message=_("The end must not come before the start."),
            ),
            models.CheckConstraint(condition=sane("starts_at") & sane("ends_at"), name="events_session_times_sane"),
            models.CheckConstraint(
                condition=Q(rsvp_opens_at=None) | Q(rsvp_closes_at=None) | Q(rsvp_opens_at__lt=F("rsvp_closes_at")),
                name="events_session_rsvp_window",
                violation_error_message=_("RSVP must close after it opens."),
            ),
            models.UniqueConstraint(
                fields=["event", "external_id"], condition=~Q(external_id=""), name="events_session_external_id_unique"
            ),
            known("status", SessionStatus, "events_session_status_known"),
            # For composite keys: what refers to a session and its event refers to the same.
            models.UniqueConstraint(fields=["id", "event"], name="events_session_id_event"),
        ]
        indexes = [models.Index("event", "starts_at", name="event_sessions_agenda")]
        triggers = [touched(), kept_counter("seats_taken"), kept_counter("waitlist_length"), revised()]

    def __str__(self):
        return self.title

    @property
    def is_full(self) -> bool:
        """No seat is free; whether anybody waits for one is another matter."""
        return self.capacity is not None and self.seats_taken >= self.capacity

    @property
    def has_begun(self) -> bool:
        return self.starts_at <= timezone.now()

    @property
    def room_is_too_small(self) -> bool:
        """For as many people as may have a seat, as far as both are known."""
        sizes = (self.room.capacity if self.room else None), self.capacity
        return None not in sizes and sizes[0] < sizes[1]

    def clean(self):
        super().clean()
        if self.room_id and self.event_id and self.room.event_id != self.event_id:
            raise ValidationError({"room": _("This room belongs to another event.")})
