"""Rooms, speakers and sessions of an event."""

import pgtrigger
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import Trigger, kept_counter, known, touched, uuid7

from .event import Event
from .people import SANE_MOMENT, sane, scoped

SHOWN = ("title", "abstract", "track", "starts_at", "ends_at", "room_id", "status")
"""The columns of a session that a calendar shows."""


def revised() -> Trigger:
    """What people have in their calendars has another version whenever one of these changes, or a trigger on what
    else a calendar shows of a session says so, by ``revised_at`` (:func:`revising`). Nobody else says it."""
    changed = " OR ".join(f"NEW.{one} IS DISTINCT FROM OLD.{one}" for one in SHOWN)
    told = "NEW.revised_at IS DISTINCT FROM OLD.revised_at"
    return Trigger(
        name="revised",
        when=pgtrigger.Before,
        operation=pgtrigger.UpdateOf(*SHOWN, "sequence", "revised_at"),
        condition=pgtrigger.Condition(f"{changed} OR {told} OR NEW.sequence <> OLD.sequence"),
        func=f"""
            IF {changed} OR ({told} AND pg_trigger_depth() > 1) THEN
                NEW.sequence := OLD.sequence + 1;
                NEW.revised_at := clock_timestamp();
            ELSE
                NEW.sequence := OLD.sequence;
                NEW.revised_at := OLD.revised_at;
            END IF;
            RETURN NEW;
        """,
    )


def revising(name: str, sessions: str, operation=pgtrigger.Update, **referencing) -> Trigger:
    """A statement that changes what calendars show of some sessions, whose ids the query ``sessions`` gives,
    revises them. They are locked in the order of their ids."""
    return Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=pgtrigger.Referencing(**(referencing or {"old": "old_rows", "new": "new_rows"})),
        func=f"""
            WITH locked AS (
                SELECT id FROM event_sessions WHERE id IN ({sessions}) ORDER BY id FOR NO KEY UPDATE
            )
            UPDATE event_sessions SET revised_at = clock_timestamp() FROM locked WHERE event_sessions.id = locked.id;
            RETURN NULL;
        """,
    )


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
        triggers = [
            revising(
                "renamed",
                "SELECT s.id FROM old_rows JOIN new_rows USING (id) JOIN event_sessions AS s ON s.room_id = old_rows.id"
                " WHERE old_rows.name <> new_rows.name",
            )
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
        triggers = [
            revising(
                "renamed",
                "SELECT session_id FROM old_rows JOIN new_rows USING (id)"
                " JOIN event_session_speakers ON speaker_id = old_rows.id WHERE old_rows.name <> new_rows.name",
            )
        ]

    def __str__(self):
        return self.name


class SessionStatus(models.TextChoices):
    SCHEDULED = "scheduled", _("Scheduled")
    CANCELLED = "cancelled", _("Cancelled")


class Session(models.Model):
    """A slot of the agenda. ``starts_at`` may equal ``ends_at``: some schedules know no end.

    ``seats_taken`` (the seats of confirmed RSVPs and of standing offers) and ``waitlist_length`` are counted
    by triggers; ``sequence`` is what calendars tell a newer version by (RFC 5545, 3.8.7.4), and ``revised_at`` when
    it became one.
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
    revised_at = models.DateTimeField(_("revised"), db_default=Now(), editable=False)
    rsvp_opens_at = models.DateTimeField(_("RSVP opens"), null=True, blank=True, validators=SANE_MOMENT)
    rsvp_closes_at = models.DateTimeField(_("RSVP closes"), null=True, blank=True, validators=SANE_MOMENT)
    status = models.CharField(
        _("status"), max_length=10, choices=SessionStatus.choices, default=SessionStatus.SCHEDULED
    )
    external_id = models.CharField(_("ID in the imported schedule"), max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = scoped("event__organization").as_manager()
    history = HistoricalRecords(
        excluded_fields=["seats_taken", "waitlist_length", "sequence", "revised_at", "updated_at"]
    )

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


class SessionSpeaker(Session.speakers.through):
    """Carries the triggers on who speaks where."""

    class Meta:
        proxy = True
        triggers = [
            revising("speakers_added", "SELECT session_id FROM new_rows", pgtrigger.Insert, new="new_rows"),
            revising("speakers_removed", "SELECT session_id FROM old_rows", pgtrigger.Delete, old="old_rows"),
        ]
