"""Who helps, whom, and how long a customer may wait for it."""

import re
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import touched, uuid7
from events.models import Event, Organization, UserProfile
from events.models.people import ScopedQuerySet, scoped
from messaging.triggers import Uuid7

from ..triggers import service as triggers

UNATTENDED_AFTER, IDLE_AFTER = timedelta(minutes=10), timedelta(minutes=15)
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=1)


def word(value: str) -> None:
    """Skills and plans are compared as text, so they are written in one way: in small letters, of any alphabet.

    Raises ValidationError.
    """
    if value != value.lower() or not re.fullmatch(r"\w[\w +.&/-]{0,49}", value):
        raise ValidationError(_("Small letters, digits, spaces and hyphens, at most 50."), code="invalid")


def words(verbose_name, help_text) -> ArrayField:
    """A short list of skills or plans, empty where there is none."""
    return ArrayField(
        models.CharField(max_length=50, validators=[word]),
        verbose_name=verbose_name,
        default=list,
        db_default=[],
        blank=True,
        size=50,
        help_text=help_text,
    )


class MechanicQuerySet(ScopedQuerySet):
    def on_duty(self):
        """Who takes requests now."""
        return self.filter(active=True, on_duty=True, user_profile__is_active=True)

    def serving(self, organization_id, event_id):
        """Whose work this is: the organisation's, at this event; or at none, for whoever serves them all.

        Both may be expressions.
        """
        return self.filter(organization=organization_id).filter(
            Q(serves_all=True)
            | models.Exists(
                Mechanic.events.through.objects.filter(mechanic=models.OuterRef("pk"), event=outer(event_id))
            )
        )


def called(display_name: str, own_name: str) -> str:
    """What customers and colleagues read; never an address."""
    return display_name or own_name or str(_("Mechanic"))


def outer(value):
    """The value, one subquery further in."""
    return models.OuterRef(value) if isinstance(value, models.OuterRef) else value


class Mechanic(models.Model):
    """Somebody who knows: a mechanic, a mentor, an expert of one organisation.

    Never deleted while a request names them; who stops is made inactive. Whether they are on duty is written by
    operations, as whatever they had accepted goes back to the line.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="mechanics", verbose_name=_("organisation")
    )
    user_profile = models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, related_name="mechanics", verbose_name=_("person")
    )
    display_name = models.CharField(
        _("name"), max_length=150, db_default="", help_text=_("As customers and colleagues read it.")
    )
    skills = words(_("skills"), _("Whoever asks for one of them is theirs first."))
    serves_all = models.BooleanField(
        _("serves the whole organisation"),
        default=True,
        db_default=True,
        help_text=_("All its events, and requests that belong to none. Otherwise the events below only."),
    )
    events = models.ManyToManyField(
        Event, related_name="mechanics", blank=True, db_table="mechanic_events", verbose_name=_("events")
    )
    on_duty = models.BooleanField(_("on duty"), default=False, db_default=False, editable=False)
    active = models.BooleanField(_("active"), default=True, db_default=True, editable=False)
    created_at = models.DateTimeField(_("since"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = MechanicQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["updated_at"])

    class Meta:
        db_table = "mechanics"
        ordering = ["display_name", "pk"]
        verbose_name = _("mechanic")
        verbose_name_plural = _("mechanics")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user_profile"],
                name="requests_mechanic_once",
                violation_error_message=_("This person is a mechanic here already."),
            ),
            models.CheckConstraint(condition=Q(active=True) | Q(on_duty=False), name="requests_mechanic_duty_active"),
            # What composite foreign keys refer to.
            models.UniqueConstraint(fields=["id", "organization"], name="requests_mechanic_identity"),
        ]
        indexes = [
            models.Index("organization", condition=Q(on_duty=True), name="mechanics_on_duty"),
        ]
        triggers = [touched(), triggers.mechanic_stays_itself(), triggers.mechanic_named(), triggers.mechanic_signals()]

    def __str__(self):
        return called(self.display_name, "" if self.display_name else self.user_profile.get_full_name())

    def serves(self, organization_id, event_id) -> bool:
        """One query, unless they serve the whole organisation or their events were loaded before."""
        return self.organization_id == organization_id and (
            self.serves_all or event_id in {event.pk for event in self.events.all()}
        )


class MechanicEvent(Mechanic.events.through):
    """Carries the triggers on who serves which event."""

    class Meta:
        proxy = True
        triggers = triggers.served_events()


class ServiceSettings(models.Model):
    """One row an organisation; one without has the defaults."""

    organization = models.OneToOneField(
        Organization,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="service_settings",
        verbose_name=_("organisation"),
    )
    unattended_after = models.DurationField(
        _("unattended after"),
        default=UNATTENDED_AFTER,
        db_default=UNATTENDED_AFTER,
        validators=[MinValueValidator(SHORTEST), MaxValueValidator(LONGEST)],
        help_text=_("How long a request waits before the organisers hear of it; at half of it, all on duty do."),
    )
    idle_after = models.DurationField(
        _("idle after"),
        default=IDLE_AFTER,
        db_default=IDLE_AFTER,
        validators=[MinValueValidator(SHORTEST), MaxValueValidator(LONGEST)],
        help_text=_("How long a mechanic may do nothing about what they accepted before it goes back to the line."),
    )
    skills = words(_("skills to choose from"), _("What customers may ask for. Empty: nobody is asked."))
    plans = words(_("plans"), _("What customers may have. Empty: any, as the phone app says."))
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = scoped("organization").as_manager()
    history = HistoricalRecords(excluded_fields=["updated_at"])

    class Meta:
        db_table = "service_settings"
        verbose_name = _("service settings")
        verbose_name_plural = _("service settings")
        constraints = [
            models.CheckConstraint(
                condition=Q(unattended_after__range=(SHORTEST, LONGEST), idle_after__range=(SHORTEST, LONGEST)),
                name="requests_servicesettings_sane",
                violation_error_message=_("Both lie between a minute and a day."),
            )
        ]
        triggers = [touched()]

    def __str__(self):
        return str(self.organization)
