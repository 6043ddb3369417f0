"""Who is on an event's list: a name with a phone or an e-mail, and later, maybe, a person with an account."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from attendance.models import Attendee
from config.database import known, never_truncated, touched, uuid7
from events.models import Event, UserProfile
from events.models.people import ScopedQuerySet, validate_phone

from ..triggers import Uuid7, guests
from .audit import LinkMethod, LinkOutcome


class EventGuestQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def active(self):
        """On the list; removed guests stay for the record."""
        return self.filter(removed_at=None)

    def parked(self):
        """Guests who fit several people, or share one: staff decide."""
        return self.active().filter(user=None, link_outcome=LinkOutcome.AMBIGUOUS)


class EventGuest(models.Model):
    """One line of an event's guest list. Two lines may be one person.

    An empty phone or e-mail is null: nothing to compare. ``attendee`` is kept by the database;
    ``linked_at`` is set anew by whoever links, which tells triggers a claimed change from bare SQL.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="guests", verbose_name=_("event"))
    guest_name = models.CharField(_("name"), max_length=200)
    phone = models.CharField(
        _("phone"),
        max_length=16,
        null=True,
        blank=True,
        validators=[validate_phone],
        help_text=_("With its country code, like +14155550123."),
    )
    email = models.EmailField(_("e-mail"), null=True, blank=True)
    external_id = models.CharField(
        _("ID in the imported list"), max_length=200, blank=True, default="", db_default="", editable=False
    )
    user = models.ForeignKey(
        UserProfile,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="guests",
        verbose_name=_("person"),
    )
    attendee = models.ForeignKey(
        Attendee,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="guests",
        verbose_name=_("attendee"),
    )
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True, editable=False)
    link_outcome = models.CharField(
        _("link"), max_length=10, choices=LinkOutcome.choices, null=True, blank=True, editable=False
    )
    link_method = models.CharField(
        _("linked"), max_length=10, choices=LinkMethod.choices, null=True, blank=True, editable=False
    )
    linked_at = models.DateTimeField(_("link changed"), null=True, blank=True, editable=False)
    linked_by = models.ForeignKey(
        UserProfile,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        db_index=False,
        verbose_name=_("linked by"),
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = EventGuestQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["updated_at"], history_change_reason_field=models.TextField(null=True))

    class Meta:
        db_table = "event_guests"
        ordering = ["guest_name", "pk"]
        verbose_name = _("guest")
        verbose_name_plural = _("guests")
        constraints = [
            models.CheckConstraint(
                condition=Q(phone=None) | Q(phone__regex=r"^\+[1-9][0-9]{4,14}$"),
                name="messaging_eventguest_phone_e164",
                violation_error_message=_("Give the number with its country code, like +14155550123."),
            ),
            models.CheckConstraint(
                condition=Q(email=None) | Q(email=Lower("email")), name="messaging_eventguest_email_lower"
            ),
            models.UniqueConstraint(
                fields=["event", "external_id"],
                condition=~Q(external_id=""),
                name="messaging_eventguest_external_once",
            ),
            known("link_outcome", LinkOutcome, "messaging_eventguest_outcome_known"),
            known("link_method", LinkMethod, "messaging_eventguest_method_known"),
        ]
        indexes = [
            models.Index(
                "phone", "event", condition=Q(removed_at=None, phone__isnull=False), name="event_guests_phone"
            ),
            models.Index(
                "email", "event", condition=Q(removed_at=None, email__isnull=False), name="event_guests_email"
            ),
            models.Index(
                F("event"),
                condition=Q(removed_at=None, user=None, link_outcome=LinkOutcome.AMBIGUOUS),
                name="event_guests_parked",
            ),
        ]
        triggers = [
            touched(),
            *guests.kept_right(),
            *guests.links(),
            never_truncated("messaging_eventguest_never_truncated"),
        ]

    def __str__(self):
        return self.guest_name

    @property
    def is_removed(self) -> bool:
        return self.removed_at is not None

    @property
    def is_parked(self) -> bool:
        """Whether staff must say who this is."""
        return not self.is_removed and self.user_id is None and self.link_outcome == LinkOutcome.AMBIGUOUS
