"""Asking to come in, being invited, and being kept out."""

from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from attendance.models import Attendee
from config.database import CompositeForeignKey, known, never_truncated, touched, uuid7
from events.models import Event, UserProfile
from events.models.people import SANE_MOMENT, ScopedQuerySet, sane, scoped
from messaging.models import EventGuest

from ..triggers import joining as triggers


class Status(models.TextChoices):
    PENDING = "pending", _("Pending")
    APPROVED = "approved", _("Approved")
    DECLINED = "declined", _("Declined")
    CANCELLED = "cancelled", _("Cancelled")


Status.DECIDED = frozenset({Status.APPROVED, Status.DECLINED})
Status.OPEN = frozenset({Status.PENDING, Status.APPROVED})


PENDING_FIRST = Case(When(status=Status.PENDING, then=0), default=1)


class JoinRequestQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def pending(self):
        return self.filter(status=Status.PENDING)

    def in_line(self):
        """Pending requests that automatic approval may take, the longest waiting first."""
        return self.pending().filter(held=False).order_by("queued_at", "pk")

    def undecided(self, at):
        """Pending requests that only an organiser moves, at events that aren't over at the moment ``at``.

        Where approval is automatic, those are the ones that were held back: the others wait for room.
        """
        return self.pending().filter(
            Q(held=True) | Q(event__approval_mode=Event.ApprovalMode.MANUAL),
            event__status__in=Event.Status.OPEN,
            event__ends_at__gt=at,
        )

    def of_person(self, person):
        return self.filter(user_profile_id=person.pk, user_profile__is_active=True)

    def without_attendee(self):
        """Approved, but with nobody in the room: the database forbids it, loading past it doesn't."""
        return self.filter(status=Status.APPROVED).exclude(attendee__status=Attendee.Status.ACTIVE)


class JoinRequest(models.Model):
    """One person's wish to attend one event. Written by operations only.

    The database promises that at commit an approved request, and no other, has an active attendee.
    """

    Status = Status

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="join_requests", verbose_name=_("event"))
    owner_id = models.CharField(_("owner ID"), max_length=255, editable=False)
    user_profile = models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, related_name="join_requests", verbose_name=_("person")
    )
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=Status.choices,
        default=Status.PENDING,
        db_default=Status.PENDING,
        editable=False,
    )
    plus_ones = models.PositiveSmallIntegerField(_("plus-ones"), default=0, db_default=0)
    comments = models.CharField(_("comment"), max_length=2000, blank=True, db_default="")
    held = models.BooleanField(
        _("held back"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("An organiser put it back to pending: automatic approval leaves it alone."),
    )
    decided_by = models.ForeignKey(
        UserProfile,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True, editable=False)
    decision_note = models.TextField(_("note"), null=True, blank=True, editable=False)
    queued_at = models.DateTimeField(
        _("in line since"),
        default=timezone.now,
        db_default=Now(),
        editable=False,
        help_text=_("Whoever cancels and asks again stands at the end."),
    )
    created_at = models.DateTimeField(_("asked"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = JoinRequestQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["updated_at"], history_change_reason_field=models.TextField(null=True))

    class Meta:
        db_table = "event_join_requests"
        ordering = ["-created_at", "-pk"]
        verbose_name = _("join request")
        verbose_name_plural = _("join requests")
        constraints = [
            models.UniqueConstraint(fields=["event", "user_profile"], name="requests_joinrequest_once"),
            # What an attendee's composite foreign key refers to.
            models.UniqueConstraint(
                fields=["id", "event", "user_profile", "owner_id"], name="requests_joinrequest_identity"
            ),
            CompositeForeignKey(
                name="requests_joinrequest_owner_of_profile",
                fields=["user_profile", "owner_id"],
                to="events.UserProfile",
                to_fields=["id", "owner_id"],
            ),
            known("status", Status, "requests_joinrequest_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=Status.DECIDED, decided_at__isnull=False)
                | (~Q(status__in=Status.DECIDED) & Q(decided_at=None, decided_by=None, decision_note=None)),
                name="requests_joinrequest_decided_when_decided",
            ),
        ]
        indexes = [
            models.Index("event", "status", "queued_at", name="join_requests_line"),
            # The organisers' list: what waits for them first, then the newest.
            models.Index(PENDING_FIRST, F("created_at").desc(), F("id").desc(), name="join_requests_desk"),
        ]
        triggers = [
            touched(),
            never_truncated("requests_joinrequest_never_truncated"),
            triggers.plus_ones_allowed(),
            triggers.approved_has_attendee(),
        ]

    def __str__(self):
        return f"{self.user_profile} → {self.event}"


class AttendeeOfRequest(Attendee):
    """Carries this app's triggers on the attendees' table, so that the rules live where they belong."""

    class Meta:
        proxy = True
        triggers = [triggers.attendee_of_approved(), triggers.ban_keeps_out()]


def refuse_past(moment) -> None:
    """For a link's new deadline, whichever door it comes by. Raises ValidationError."""
    if moment is not None and moment <= timezone.now():
        raise ValidationError(_("This time is past: the link would let nobody in."), code="past")


class InvitationLink(models.Model):
    """A signed address that lets people in without approval; may be limited in number and time.

    With ``guest`` it is personal: good for one person, who is that guest from then on.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="invitation_links", verbose_name=_("event"))
    guest = models.ForeignKey(
        EventGuest,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="invitation_links",
        verbose_name=_("guest"),
        help_text=_("Whoever comes in by it is this guest."),
    )
    label = models.CharField(_("label"), max_length=200, help_text=_("For whom it is, for your own memory."))
    max_uses = models.PositiveIntegerField(
        _("people at most"), null=True, blank=True, validators=[MinValueValidator(1)], help_text=_("Empty: no limit.")
    )
    uses = models.PositiveIntegerField(_("people let in"), default=0, editable=False)
    expires_at = models.DateTimeField(_("valid until"), null=True, blank=True, validators=SANE_MOMENT)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        UserProfile, on_delete=models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("made by")
    )
    created_at = models.DateTimeField(_("made"), auto_now_add=True)

    objects = scoped("event__organization").as_manager()
    history = HistoricalRecords(excluded_fields=["uses"])

    SALT = "requests.invitation"

    class Meta:
        db_table = "event_invitation_links"
        ordering = ["-created_at", "-pk"]
        verbose_name = _("invitation link")
        verbose_name_plural = _("invitation links")
        constraints = [
            models.CheckConstraint(
                condition=Q(max_uses=None) | Q(uses__lte=F("max_uses")),
                name="requests_invitationlink_uses_within_limit",
                violation_error_message=_("More people have used it already."),
            ),
            models.CheckConstraint(condition=sane("expires_at"), name="requests_invitationlink_times_sane"),
            models.CheckConstraint(
                condition=Q(guest=None) | Q(max_uses__isnull=False, max_uses=1),
                name="requests_invitationlink_personal_once",
            ),
        ]
        triggers = [triggers.guest_of_event()]

    def __str__(self):
        return self.label

    @property
    def token(self) -> str:
        """What the address carries: the id, signed, so that nobody makes one up."""
        return signing.Signer(salt=self.SALT).sign(self.pk.hex)

    @classmethod
    def id_of(cls, token: str) -> str | None:
        """The id that a token carries; None if it was not signed by us."""
        try:
            return signing.Signer(salt=cls.SALT).unsign(token)
        except signing.BadSignature:
            return None

    @property
    def is_valid(self) -> bool:
        """Whether it lets anybody else in now."""
        return (
            self.revoked_at is None
            and (self.expires_at is None or self.expires_at > timezone.now())
            and (self.max_uses is None or self.uses < self.max_uses)
            and not self.is_withdrawn
        )

    @property
    def is_withdrawn(self) -> bool:
        """Whether its guest was taken off the list; once they are back, it is as good as before."""
        return self.guest_id is not None and self.guest.is_removed


class Ban(models.Model):
    """A person who may not come back to an event, and why."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="bans", verbose_name=_("event"))
    user_profile = models.ForeignKey(UserProfile, on_delete=models.CASCADE, related_name="+", verbose_name=_("person"))
    reason = models.TextField(_("reason"))
    banned_by = models.ForeignKey(
        UserProfile, on_delete=models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("by")
    )
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "event_bans"
        ordering = ["-created_at", "-pk"]
        verbose_name = _("ban")
        verbose_name_plural = _("bans")
        constraints = [models.UniqueConstraint(fields=["event", "user_profile"], name="requests_ban_once")]

    def __str__(self):
        return f"{self.user_profile} ({self.event})"
