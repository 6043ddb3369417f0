"""How an event's lines work, and the two switches that an organiser may throw for one session."""

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import known, touched
from events.models import Event, Session
from events.models.people import scoped

OFFER_TTL = timedelta(minutes=30)
SHORTEST_TTL, LONGEST_TTL = timedelta(minutes=1), timedelta(days=7)


class WaitlistMode(models.TextChoices):
    OFFER = "offer", _("Offer it, and wait for an answer")
    AUTO_CONFIRM = "auto_confirm", _("Confirm at once")


class RsvpSettings(models.Model):
    """One row an event; an event without one has the defaults."""

    WaitlistMode = WaitlistMode

    event = models.OneToOneField(
        Event, on_delete=models.CASCADE, primary_key=True, related_name="rsvp_settings", verbose_name=_("event")
    )
    waitlist_mode = models.CharField(
        _("a seat that becomes free"),
        max_length=20,
        choices=WaitlistMode.choices,
        default=WaitlistMode.OFFER,
        db_default=WaitlistMode.OFFER,
        help_text=_("For whoever has waited longest."),
    )
    offer_ttl = models.DurationField(
        _("an offer holds for"),
        default=OFFER_TTL,
        db_default=OFFER_TTL,
        validators=[MinValueValidator(SHORTEST_TTL), MaxValueValidator(LONGEST_TTL)],
        help_text=_("Shorter as the session's start comes near, and never past it."),
    )
    max_offers = models.PositiveSmallIntegerField(
        _("offers that may pass"),
        default=2,
        db_default=2,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text=_("Whoever lets one pass goes to the end of the line, this many times; then they are out of it."),
    )
    max_party_size = models.PositiveSmallIntegerField(
        _("seats at once"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(51)],
        help_text=_("What one person may have in a session. Empty: their own, and one for each of their plus-ones."),
    )
    fill_gaps = models.BooleanField(
        _("fill gaps"),
        default=False,
        db_default=False,
        help_text=_(
            "While the first in line wait for several seats, smaller parties behind them may have single ones."
        ),
    )
    line_open = models.BooleanField(
        _("lines take people"), default=True, db_default=True, help_text=_("Off: whoever is in line stays there.")
    )
    offers_on = models.BooleanField(
        _("free seats are handed on"), default=True, db_default=True, help_text=_("Off: offers already made stay good.")
    )
    reminders = models.BooleanField(
        _("reminders"),
        default=True,
        db_default=True,
        help_text=_("In the evening before, everybody is told of their sessions of the next day."),
    )
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = scoped("event__organization").as_manager()
    history = HistoricalRecords(excluded_fields=["updated_at"])

    class Meta:
        db_table = "event_rsvp_settings"
        verbose_name = _("RSVP settings")
        verbose_name_plural = _("RSVP settings")
        constraints = [
            known("waitlist_mode", WaitlistMode, "rsvp_settings_mode_known"),
            models.CheckConstraint(
                condition=Q(offer_ttl__range=(SHORTEST_TTL, LONGEST_TTL), max_offers__gte=1)
                & (Q(max_party_size=None) | Q(max_party_size__gte=1)),
                name="rsvp_settings_sane",
                violation_error_message=_(
                    "An offer holds between a minute and a week, and each person gets one at least."
                ),
            ),
        ]
        triggers = [touched()]

    def __str__(self):
        return str(self.event)


class SessionLine(models.Model):
    """What was set for one session's line; without a row, it does as its event says."""

    session = models.OneToOneField(
        Session, on_delete=models.CASCADE, primary_key=True, related_name="line", verbose_name=_("session")
    )
    is_open = models.BooleanField(_("takes people"), default=True, db_default=True)
    offers_on = models.BooleanField(_("free seats are handed on"), default=True, db_default=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = scoped("session__event__organization").as_manager()
    history = HistoricalRecords(excluded_fields=["updated_at"])

    class Meta:
        db_table = "session_lines"
        verbose_name = _("line of a session")
        verbose_name_plural = _("lines of sessions")
        triggers = [touched()]

    def __str__(self):
        return str(self.session)
