"""The event: when, where, for how many, and how one gets in."""

from datetime import timedelta
from zoneinfo import ZoneInfo, available_timezones

import pgtrigger
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import Trigger, kept_counter, known, touched

from .people import SANE_MOMENT, Membership, Organization, Role, ScopedQuerySet, UserProfile, sane

TIMEZONES = frozenset(available_timezones())


def validate_timezone(value: str) -> None:
    if value not in TIMEZONES:
        raise ValidationError(_("“%(value)s” is no IANA time zone, like Europe/Berlin."), params={"value": value})


class Status(models.TextChoices):
    DRAFT = "draft", _("Draft")
    PUBLISHED = "published", _("Published")
    COMPLETED = "completed", _("Completed")
    CANCELLED = "cancelled", _("Cancelled")


Status.OPEN = frozenset({Status.DRAFT, Status.PUBLISHED})
Status.OVER = frozenset({Status.COMPLETED, Status.CANCELLED})
Status.PUBLIC = frozenset({Status.PUBLISHED, Status.COMPLETED, Status.CANCELLED})


class Visibility(models.TextChoices):
    PUBLIC = "public", _("Public")
    UNLISTED = "unlisted", _("Unlisted: whoever has the address")
    PRIVATE = "private", _("Private: by invitation")


class ApprovalMode(models.TextChoices):
    MANUAL = "manual", _("An organiser decides")
    AUTO = "auto", _("Automatic while there is room")


class AutoAbsence(models.TextChoices):
    """Whether people of whom nothing is known are absent once the event is over."""

    ALWAYS = "always", _("Always")
    IF_USED = "if_used", _("If somebody was checked in or marked")
    NEVER = "never", _("Never")


LONGEST = timedelta(days=30)
"""For grace and lateness: a typing error shouldn't keep an event open for years."""


class EventQuerySet(ScopedQuerySet):
    def published(self):
        return self.filter(status__in=Event.Status.PUBLIC)

    def reachable_by(self, person):
        """Events that the person, active, may see: published ones, their own, and what their role shows.

        Unlisted ones too, for whoever knows the id.
        """
        return self._acting(person).filter(_reach(person, [Visibility.PUBLIC, Visibility.UNLISTED]))

    def listed_for(self, person):
        """:meth:`reachable_by` without unlisted events that the person has nothing to do with: no list
        gives them away."""
        return self._acting(person).filter(_reach(person, [Visibility.PUBLIC]))

    def synced_for(self, person):
        """For whoever keeps a copy: :meth:`listed_for`, and with ``deleted`` True what was once open to
        everybody and no longer is."""
        listed = _reach(person, [Visibility.PUBLIC])
        once_public = self.model.history.filter(
            id=models.OuterRef("pk"), status__in=Status.PUBLIC, visibility=Visibility.PUBLIC
        )
        return (
            self._acting(person)
            .filter(listed | models.Exists(once_public))
            .annotate(deleted=models.Case(models.When(listed, then=False), default=True))
        )

    def _acting(self, person):
        return self.filter(models.Exists(UserProfile.objects.active().filter(pk=person.pk)))

    def with_role(self, person):
        """Adds what the person is at each event: ``my_attendee_id``, and ``my_role``, "superuser" for one.

        Both are None for a stranger and for an inactive person.
        """
        active = UserProfile.objects.active().filter(pk=person.pk)
        role = Membership.objects.filter(
            organization=models.OuterRef("organization"), user_profile__in=active.values("pk")
        )
        attendees = _rows_of("attendance", "Attendee", person).filter(status="active", user_profile__is_active=True)
        return self.annotate(
            my_attendee_id=models.Subquery(attendees.values("pk")),
            my_role=models.Case(
                models.When(models.Exists(active.filter(is_superuser=True)), then=models.Value("superuser")),
                default=models.Subquery(role.values("role")),
                output_field=models.CharField(),
            ),
        )

    def with_standing(self, person):
        """:meth:`with_role`, and ``my_request_status``."""
        request = _rows_of("requests", "JoinRequest", person)
        return self.with_role(person).annotate(my_request_status=models.Subquery(request.values("status")))


def _reach(person, open_to_all) -> Q:
    """What a person sees: published events of these visibilities, their own, and what a role shows."""
    mine = models.Exists(_rows_of("attendance", "Attendee", person)) | models.Exists(
        _rows_of("requests", "JoinRequest", person)
    )
    return (
        Q(status__in=Status.PUBLIC) & (Q(visibility__in=open_to_all) | mine)
        | Q(organization__in=Membership.objects.held_by(person, Role.ANY))
        | models.Exists(UserProfile.objects.active().filter(pk=person.pk, is_superuser=True))
    )


def _rows_of(app, model, person):
    """A person's rows for the outer event, in an upper app's table: by name only."""
    return apps.get_model(app, model).objects.filter(event=models.OuterRef("pk"), user_profile=person.pk)


def sessions_revised() -> Trigger:
    """Calendars show this of the event with each of its sessions, which have another version then.

    For rows only whose condition holds: a place that is taken changes an event too, and costs nothing here.
    """
    shown = " OR ".join(f"NEW.{one} <> OLD.{one}" for one in ("title", "slug", "venue", "timezone"))
    return Trigger(
        name="sessions_revised",
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition(f"{shown} OR (NEW.status = 'cancelled') <> (OLD.status = 'cancelled')"),
        func="""
            PERFORM FROM event_sessions WHERE event_id = NEW.id ORDER BY id FOR NO KEY UPDATE;
            UPDATE event_sessions SET revised_at = clock_timestamp() WHERE event_id = NEW.id;
            RETURN NULL;
        """,
    )


class Event(models.Model):
    Status, Visibility, ApprovalMode, AutoAbsence = Status, Visibility, ApprovalMode, AutoAbsence

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="events", verbose_name=_("organisation")
    )
    slug = models.SlugField(_("short name"), max_length=80, unique=True, help_text=_("Used in the event's address."))
    title = models.CharField(_("title"), max_length=300)
    description = models.TextField(_("description"), blank=True)
    starts_at = models.DateTimeField(_("starts"), validators=SANE_MOMENT)
    ends_at = models.DateTimeField(_("ends"), validators=SANE_MOMENT)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_timezone])
    venue = models.CharField(_("venue"), max_length=300, blank=True)
    capacity = models.PositiveIntegerField(_("capacity"), null=True, blank=True, help_text=_("Empty: no limit."))
    seats_taken = models.PositiveIntegerField(_("places taken"), default=0, editable=False)
    max_plus_ones = models.PositiveSmallIntegerField(
        _("plus-ones allowed"), default=0, validators=[MaxValueValidator(50)], help_text=_("For each person.")
    )
    approval_mode = models.CharField(
        _("approval"), max_length=10, choices=ApprovalMode.choices, default=ApprovalMode.MANUAL
    )
    visibility = models.CharField(_("visibility"), max_length=10, choices=Visibility.choices, default=Visibility.PUBLIC)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.DRAFT)
    late_after = models.DurationField(
        _("late after"),
        null=True,
        blank=True,
        help_text=_("Minutes after the start from which whoever checks in is late. Empty: nobody is late."),
    )
    auto_absence = models.CharField(
        _("mark absence"),
        max_length=10,
        choices=AutoAbsence.choices,
        default=AutoAbsence.ALWAYS,
        db_default=AutoAbsence.ALWAYS,
        help_text=_("When the event is over, whoever was neither checked in nor marked becomes absent."),
    )
    auto_absence_grace = models.DurationField(
        _("grace"),
        default=timedelta(minutes=30),
        db_default=timedelta(minutes=30),
        help_text=_("Minutes after the end until the event is completed and absence is marked."),
    )
    door_adds_walk_ins = models.BooleanField(
        _("door staff add walk-ins"),
        default=True,
        db_default=True,
        help_text=_("Organisers may in any case; registered devices have a switch of their own."),
    )
    external_id = models.CharField(_("ID in the imported schedule"), max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = EventQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["seats_taken", "updated_at"])

    class Meta:
        db_table = "events"
        ordering = ["-starts_at", "-pk"]
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.CheckConstraint(
                condition=Q(capacity=None) | Q(seats_taken__lte=F("capacity")),
                name="events_event_seats_within_capacity",
                violation_error_message=_("More places are taken than this capacity has."),
            ),
            models.CheckConstraint(
                condition=Q(starts_at__lt=F("ends_at")),
                name="events_event_starts_before_ends",
                violation_error_message=_("The end must come after the start."),
            ),
            models.CheckConstraint(condition=sane("starts_at") & sane("ends_at"), name="events_event_times_sane"),
            models.UniqueConstraint(
                fields=["organization", "external_id"],
                condition=~Q(external_id=""),
                name="events_event_external_id_unique",
            ),
            # What composite foreign keys refer to.
            models.UniqueConstraint(fields=["id", "organization"], name="events_event_id_organization"),
            known("status", Status, "events_event_status_known"),
            known("visibility", Visibility, "events_event_visibility_known"),
            known("approval_mode", ApprovalMode, "events_event_approval_mode_known"),
            known("auto_absence", AutoAbsence, "events_event_auto_absence_known"),
            models.CheckConstraint(
                condition=Q(auto_absence_grace__range=(timedelta(0), LONGEST))
                & (Q(late_after=None) | Q(late_after__range=(timedelta(0), LONGEST))),
                name="events_event_door_times_sane",
                violation_error_message=_("Lateness and grace lie between 0 minutes and 30 days."),
            ),
        ]
        indexes = [models.Index("status", "starts_at", name="events_status_starts_at")]
        triggers = [touched(), kept_counter("seats_taken"), sessions_revised()]

    def __str__(self):
        return self.title

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def is_open(self) -> bool:
        """Whether people can still be let in."""
        return self.status in self.Status.OPEN

    @property
    def late_from(self):
        """The moment from which whoever checks in is late; None where nobody is."""
        return self.starts_at + self.late_after if self.late_after is not None else None

    @property
    def seats_left(self) -> int | None:
        """Places that are free; None where there is no limit."""
        return None if self.capacity is None else self.capacity - self.seats_taken

    def has_room_for(self, seats: int) -> bool:
        return self.seats_left is None or seats <= self.seats_left
