"""Who waits for a seat, in which order, and what became of it."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.database import CompositeForeignKey, append_only, counting, known, never_truncated, touched, uuid7
from events.models import Event, Session, UserProfile
from events.models.people import ScopedQuerySet, scoped
from messaging.triggers import Uuid7

from ..triggers import waitlist
from .rsvps import EndReason


class WaitlistStatus(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    OFFERED = "offered", _("Offered a seat")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Declined")
    EXPIRED = "expired", _("Let it pass")
    LEFT = "left", _("Left the line")


WaitlistStatus.LIVE = frozenset({WaitlistStatus.WAITING, WaitlistStatus.OFFERED})
WaitlistStatus.CLOSED = frozenset(WaitlistStatus) - WaitlistStatus.LIVE

TOLD_OF = ["offered", "accepted", "waiting", "expired"]
"""Where an offer led, as people are told: that it stands, that the seat is theirs, or that it has passed."""


class WaitlistEntryQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def live(self):
        return self.filter(status__in=WaitlistStatus.LIVE)

    def waiting(self):
        return self.filter(status=WaitlistStatus.WAITING)

    def offered(self):
        return self.filter(status=WaitlistStatus.OFFERED)

    def in_order(self):
        """The line's order: whoever staff put first, then whoever has waited longest."""
        return self.order_by("session_id", F("priority").desc(), "queued_at", "pk")


class WaitlistEntry(models.Model):
    """A place in a session's line. While ``offered``, its ``party_size`` seats are held until ``offer_expires_at``.

    ``queued_at`` is the place in line, which an offer that passed takes to its end; ``joined_at`` stays.
    ``told_at``: when the person was told of the last offer (or of the seat, where it was confirmed at once), and
    then once more, that it has passed.
    """

    Status, EndReason = WaitlistStatus, EndReason

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    event = models.ForeignKey(
        Event,
        on_delete=models.PROTECT,
        related_name="+",
        editable=False,
        db_constraint=False,  # the session's and the attendee's, which have theirs
        db_index=False,
        verbose_name=_("event"),
    )
    session = models.ForeignKey(
        Session,
        on_delete=models.PROTECT,
        related_name="waitlist",
        editable=False,
        db_constraint=False,
        db_index=False,
        verbose_name=_("session"),
    )
    attendee = models.ForeignKey(
        Attendee,
        on_delete=models.PROTECT,
        related_name="waitlist",
        editable=False,
        db_constraint=False,
        db_index=False,
        verbose_name=_("attendee"),
    )
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=WaitlistStatus.choices,
        default=WaitlistStatus.WAITING,
        db_default=WaitlistStatus.WAITING,
        editable=False,
    )
    priority = models.SmallIntegerField(
        _("priority"), default=0, db_default=0, editable=False, help_text=_("Who has more is served first.")
    )
    party_size = models.PositiveSmallIntegerField(_("seats"), default=1, db_default=1, editable=False)
    joined_at = models.DateTimeField(_("joined"), db_default=Now(), editable=False)
    queued_at = models.DateTimeField(_("waiting since"), db_default=Now(), editable=False)
    offered_at = models.DateTimeField(_("offered"), null=True, editable=False)
    offer_expires_at = models.DateTimeField(_("offer holds until"), null=True, editable=False)
    offers_made = models.PositiveSmallIntegerField(_("offers"), default=0, db_default=0, editable=False)
    told_at = models.DateTimeField(_("told"), null=True, editable=False)
    closed_at = models.DateTimeField(_("over since"), null=True, editable=False)
    end_reason = models.CharField(
        _("why over"), max_length=20, choices=EndReason.choices, blank=True, default="", db_default="", editable=False
    )
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = WaitlistEntryQuerySet.as_manager()

    class Meta:
        db_table = "session_waitlist"
        ordering = ["-pk"]
        verbose_name = _("place in line")
        verbose_name_plural = _("places in line")
        constraints = [
            models.UniqueConstraint(
                fields=["session", "attendee"],
                condition=Q(status__in=["waiting", "offered"]),
                name="rsvp_waitlistentry_one_live",
            ),
            CompositeForeignKey(
                name="rsvp_waitlistentry_session_of_event",
                fields=["session", "event"],
                to="events.Session",
                to_fields=["id", "event"],
            ),
            CompositeForeignKey(
                name="rsvp_waitlistentry_attendee_of_event",
                fields=["attendee", "event"],
                to="attendance.Attendee",
                to_fields=["id", "event"],
            ),
            models.CheckConstraint(condition=Q(party_size__gte=1), name="rsvp_waitlistentry_party_positive"),
            models.CheckConstraint(
                condition=~Q(status=WaitlistStatus.OFFERED)
                | Q(offered_at__isnull=False, offer_expires_at__isnull=False),
                name="rsvp_waitlistentry_offer_expires",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "offered"], closed_at=None)
                | Q(status__in=["accepted", "declined", "expired", "left"], closed_at__isnull=False),
                name="rsvp_waitlistentry_closed_at",
            ),
            known("status", WaitlistStatus, "rsvp_waitlistentry_status_known"),
        ]
        indexes = [
            models.Index(
                "session",
                F("priority").desc(),
                "queued_at",
                "id",
                condition=Q(status=WaitlistStatus.WAITING),
                name="session_waitlist_line",
            ),
            models.Index(
                "offer_expires_at", condition=Q(status=WaitlistStatus.OFFERED), name="session_waitlist_expiry"
            ),
            models.Index(
                "id",
                condition=Q(told_at=None, offered_at__isnull=False, status__in=TOLD_OF),
                name="session_waitlist_untold",
            ),
            models.Index("attendee", "session", name="session_waitlist_attendee"),
            models.Index("event", "id", name="session_waitlist_event"),
        ]
        triggers = [
            touched(),
            waitlist.kept_right(),
            *waitlist.first_locked(),
            *waitlist.still_right(),
            *waitlist.logged(),
            waitlist.never_deleted(),
            never_truncated("rsvp_waitlistentry_stays_itself"),
            *counting(parent="event_sessions", column="seats_taken", key="session_id", weight=waitlist.HELD),
            *counting(parent="event_sessions", column="waitlist_length", key="session_id", weight=waitlist.WAITS),
        ]

    def __str__(self):
        return f"{self.attendee} · {self.session}"

    @property
    def is_live(self) -> bool:
        return self.status in WaitlistStatus.LIVE


class WaitlistLog(models.Model):
    """Every step of every place in line, as the database saw it: who moved where in which order.

    ``actor``: the organiser who moved it; null for what people do themselves, for the system, and for raw SQL.
    """

    id = models.BigAutoField(primary_key=True)
    entry = models.ForeignKey(
        WaitlistEntry,
        on_delete=models.PROTECT,
        related_name="log",
        db_constraint=False,
        verbose_name=_("place in line"),
    )
    event = models.ForeignKey(
        Event, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False, verbose_name=_("event")
    )
    session = models.ForeignKey(
        Session,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("session"),
    )
    from_status = models.CharField(_("from"), max_length=10, choices=WaitlistStatus.choices, null=True)
    to_status = models.CharField(_("to"), max_length=10, choices=WaitlistStatus.choices)
    priority = models.SmallIntegerField(_("priority"))
    queued_at = models.DateTimeField(_("waiting since"))
    party_size = models.PositiveSmallIntegerField(_("seats"))
    actor = models.ForeignKey(
        UserProfile,
        on_delete=models.DO_NOTHING,
        related_name="+",
        null=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("by"),
    )
    at = models.DateTimeField(_("at"))
    db_user = models.CharField(_("database user"), max_length=63)

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "session_waitlist_log"
        ordering = ["-pk"]
        verbose_name = _("step in line")
        verbose_name_plural = _("record of the lines")
        indexes = [
            models.Index("session", "id", name="session_waitlist_log_session"),
            models.Index("event", "id", name="session_waitlist_log_event"),
        ]
        triggers = append_only(waitlist.APPEND_ONLY, "the record of the lines")

    def __str__(self):
        return f"{self.from_status or '–'} → {self.to_status}"
