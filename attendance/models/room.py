"""Who is in the room. An approved join request *is* a row here (requests.triggers sees to it)."""

import secrets

from django.db import models
from django.db.models import Exists, F, IntegerField, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import CompositeForeignKey, RandomCode, counting, known, never_truncated, touched, uuid7
from events.models import Event, UserProfile
from events.models.people import ScopedQuerySet

from ..triggers import audited, claimed_or_sql, kept
from .record import AttendanceSource, AttendanceStatus


def new_ticket_code() -> str:
    """What the QR code carries: 192 random bits, URL-safe."""
    return secrets.token_urlsafe(24)


class Source(models.TextChoices):
    """How somebody came in first; it stays when a request is approved later."""

    JOIN_REQUEST = "join_request", _("Join request")
    INVITATION = "invitation", _("Invitation")
    IMPORT = "import", _("Import")
    WALK_IN = "walk_in", _("Walk-in")


class Status(models.TextChoices):
    ACTIVE = "active", _("Attending")
    REMOVED = "removed", _("Removed")


SEATS = "CASE WHEN status = 'active' THEN 1 + plus_ones ELSE 0 END"
"""Places that a row takes, in SQL; Attendee.seats says the same."""


ATTENDANCE = tuple(
    f"attendance_{name}" for name in ("status", "marked_at", "marked_by", "device", "source", "notes", "updated_at")
)
"""The columns that say whether somebody came; written by attendance.operations.record only."""


class AttendeeQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def active(self):
        return self.filter(status=Status.ACTIVE)

    def of_person(self, person):
        """The person's own rows, in one query with whether they may act at all."""
        return self.filter(user_profile_id=person.pk, user_profile__is_active=True)

    def here(self):
        """Who came."""
        return self.filter(attendance_status__in=AttendanceStatus.HERE)

    def unmarked(self):
        """Attendees of whom nobody has said whether they came."""
        return self.active().filter(attendance_status=AttendanceStatus.UNKNOWN)

    def in_room(self, event_id):
        """Everybody in the event's room, as its organisers see it."""
        return self.active().filter(event_id=event_id)

    @staticmethod
    def seen_by(viewer) -> Q:
        """Whom ``viewer`` (an Attendee's id) sees in their room.

        Active and visible people; themselves even when invisible; nobody whom they blocked or who
        blocked them.
        """
        visible = Q(visibility_enabled=True, hidden_at=None, user_profile__is_active=True)
        blocked = Exists(
            Block.objects.filter(
                Q(attendee=viewer, blocked=OuterRef("pk")) | Q(attendee=OuterRef("pk"), blocked=viewer)
            )
        )
        return Q(status=Status.ACTIVE) & (Q(pk=viewer) | visible & ~Q(blocked))

    def search(self, text: str):
        """By name, goals and what they look for; every word must occur."""
        rows = self
        for word in text.split():
            rows = rows.filter(
                Q(user_profile__first_name__icontains=word)
                | Q(user_profile__last_name__icontains=word)
                | Q(goals__icontains=word)
                | Q(looking_for__icontains=word)
            )
        return rows

    def changed_since(self, moment):
        """Rows that changed, or whose person did: names and photos come from there."""
        return self.filter(Q(updated_at__gte=moment) | Q(user_profile__updated_at__gte=moment))


class Attendee(models.Model):
    """A person who is let into an event. Written by operations only; never deleted, but removed."""

    Source, Status, Attendance = Source, Status, AttendanceStatus

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="attendees", verbose_name=_("event"))
    owner_id = models.CharField(_("owner ID"), max_length=255, editable=False)
    user_profile = models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, related_name="attendances", verbose_name=_("person")
    )
    join_request = models.OneToOneField(
        "requests.JoinRequest",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="attendee",
        verbose_name=_("join request"),
    )
    source = models.CharField(_("came by"), max_length=20, choices=Source.choices, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE, editable=False)
    plus_ones = models.PositiveSmallIntegerField(_("plus-ones"), default=0, db_default=0, editable=False)
    ticket_code = models.CharField(
        _("ticket"), max_length=64, unique=True, default=new_ticket_code, db_default=RandomCode(), editable=False
    )
    visibility_enabled = models.BooleanField(_("visible in the room"), default=True, db_default=True)
    notifications_enabled = models.BooleanField(_("wants notifications"), default=True, db_default=True)
    hidden_at = models.DateTimeField(_("hidden by an organiser"), null=True, blank=True, editable=False)
    goals = models.TextField(_("goals"), null=True, blank=True)
    looking_for = models.TextField(_("looking for"), null=True, blank=True)
    rsvp_contact = models.CharField(_("contact for RSVP"), max_length=300, null=True, blank=True)
    company_website = models.URLField(_("company website"), max_length=500, null=True, blank=True)
    match_profile = models.JSONField(_("match profile"), null=True, blank=True)
    looking_for_updated_at = models.DateTimeField(_("'Looking for' updated"), null=True, blank=True, editable=False)
    attendance_status = models.CharField(
        _("attendance"),
        max_length=10,
        choices=AttendanceStatus.choices,
        default=AttendanceStatus.UNKNOWN,
        db_default=AttendanceStatus.UNKNOWN,
        editable=False,
    )
    attendance_marked_at = models.DateTimeField(_("marked at"), null=True, editable=False)
    attendance_marked_by = models.ForeignKey(
        UserProfile,
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        verbose_name=_("marked by"),
    )
    attendance_device = models.ForeignKey(
        "attendance.DoorDevice",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        verbose_name=_("marked on"),
    )
    attendance_source = models.CharField(
        _("marked through"), max_length=20, choices=AttendanceSource.choices, null=True, editable=False
    )
    attendance_notes = models.TextField(_("note on attendance"), null=True, editable=False)
    attendance_updated_at = models.DateTimeField(_("attendance updated"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = AttendeeQuerySet.as_manager()
    history = HistoricalRecords(
        # Attendance has a history of its own, which the database writes: event_attendance_audit.
        excluded_fields=["ticket_code", "updated_at", *ATTENDANCE],
        history_change_reason_field=models.TextField(null=True),
    )

    class Meta:
        db_table = "event_attendees"
        ordering = ["-created_at", "-pk"]
        verbose_name = _("attendee")
        verbose_name_plural = _("attendees")
        constraints = [
            models.UniqueConstraint(fields=["event", "user_profile"], name="attendance_attendee_once"),
            CompositeForeignKey(
                name="attendance_attendee_owner_of_profile",
                fields=["user_profile", "owner_id"],
                to="events.UserProfile",
                to_fields=["id", "owner_id"],
            ),
            CompositeForeignKey(
                name="attendance_attendee_same_as_request",
                fields=["join_request", "event", "user_profile", "owner_id"],
                to="requests.JoinRequest",
                to_fields=["id", "event", "user_profile", "owner_id"],
            ),
            models.CheckConstraint(
                condition=~Q(source=Source.JOIN_REQUEST) | Q(join_request__isnull=False),
                name="attendance_attendee_source_has_request",
            ),
            known("source", Source, "attendance_attendee_source_known"),
            known("status", Status, "attendance_attendee_status_known"),
            known("attendance_status", AttendanceStatus, "attendance_attendee_attendance_known"),
            models.CheckConstraint(
                # "NULL in (…)" alone would be unknown, which a CHECK lets pass.
                condition=Q(attendance_source__isnull=False, attendance_source__in=AttendanceSource.values)
                | Q(attendance_source=None, attendance_status=AttendanceStatus.UNKNOWN),
                name="attendance_attendee_attendance_source_known",
            ),
            # For composite keys: what refers to an attendee and their event refers to the same.
            models.UniqueConstraint(fields=["id", "event"], name="attendance_attendee_id_event"),
        ]
        indexes = [
            # Pages of a room go by id within it.
            models.Index("event", "id", condition=Q(status=Status.ACTIVE), name="event_attendees_room"),
            models.Index("event", "attendance_status", name="event_attendees_attendance"),
        ]
        triggers = [
            touched(),
            *claimed_or_sql(),
            kept(),
            *audited(),
            never_truncated("attendance_attendee_never_truncated"),
            *counting(
                parent="events",
                column="seats_taken",
                key="event_id",
                weight=SEATS,
            ),
        ]

    def __str__(self):
        """Never the e-mail address, as a person's own does: the door reads it in titles and choices."""
        return self.user_profile.get_full_name() or str(_("(no name)"))

    @property
    def is_active(self) -> bool:
        return self.status == Status.ACTIVE

    @property
    def is_here(self) -> bool:
        return self.attendance_status in AttendanceStatus.HERE

    @property
    def seats(self) -> int:
        """Places this row takes in its event."""
        return 1 + self.plus_ones if self.is_active else 0


class Block(models.Model):
    """An attendee who doesn't want to see another, nor be seen by them. Nobody else learns of it."""

    attendee = models.ForeignKey(Attendee, on_delete=models.CASCADE, related_name="blocks")
    blocked = models.ForeignKey(Attendee, on_delete=models.CASCADE, related_name="blocked_by")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "event_attendee_blocks"
        constraints = [
            models.UniqueConstraint(fields=["attendee", "blocked"], name="attendance_block_once"),
            models.CheckConstraint(condition=~Q(attendee=F("blocked")), name="attendance_block_not_self"),
        ]


def seats_counted() -> Coalesce:
    """The places taken in the outer event, counted anew; Event.seats_taken must say the same."""
    rows = Attendee.objects.active().filter(event=OuterRef("pk")).order_by().values("event")
    seats = rows.annotate(seats=Sum(Value(1) + F("plus_ones"))).values("seats")
    return Coalesce(Subquery(seats), 0, output_field=IntegerField())
