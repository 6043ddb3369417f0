"""One message to one recipient over one channel, whose it is, and how far it got."""

from uuid import UUID

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.db.models.lookups import Exact
from django.utils.translation import gettext_lazy as _

from config.database import known, touched, uuid7
from events.models import Event, UserProfile
from events.models.people import ScopedQuerySet

from ..triggers import Uuid7, deliveries
from .audit import LinkMethod, LinkOutcome
from .guests import EventGuest
from .messages import Channel, Message


class DeliveryStatus(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Failed")
    BOUNCED = "bounced", _("Bounced")
    UNKNOWN = "unknown", _("Unknown")


DeliveryStatus.UNDECIDED = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.SENDING})
DeliveryStatus.ARRIVED = frozenset({DeliveryStatus.SENT, DeliveryStatus.DELIVERED})
DeliveryStatus.WRONG = frozenset({DeliveryStatus.FAILED, DeliveryStatus.BOUNCED, DeliveryStatus.UNKNOWN})
"""What a person may look into, and send again."""


class MessageDeliveryQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def astray(self):
        """Without a person though their guest is linked: what the database promises not to happen."""
        return self.filter(user=None, guest__user__isnull=False, guest__removed_at=None)

    def inbox(self, person_id, *, unread=False, event_id=None, beyond=None, newest_first=True, limit=None):
        """What a person has been sent, one row a message: the first of its deliveries to them; with ``unread``,
        of those that aren't read. At most ``limit`` rows, which in that direction come after the id ``beyond``.
        """
        of_event = event_id is not None
        walk = _WALK.format(
            way="new" if unread else "of_event" if of_event else "inbox",
            beyond="<" if newest_first else ">",
            direction="DESC" if newest_first else "ASC",
            event="" if not of_event else f"AND d.event_id {'+ 0' if unread else ''} = walk.event_id",
            unread="read_at IS NULL AND" if unread else "",
        )
        start = beyond or UUID(int=2**128 - 1 if newest_first else 0)
        return self.filter(pk__in=RawSQL(walk, [person_id, event_id, start, limit]))

    def with_is_unread(self):
        """Whether anything of a delivery's message is unread to the same person."""
        return self.annotate(is_unread=RawSQL(_IS_UNREAD, [], output_field=models.BooleanField()))


# Goes from delivery to delivery, one probe of an index each, and stops at the last one wanted. As one query
# with a filter, it would read and sort all that a person has wherever PostgreSQL expects them to have little.
# Where it expects one delivery of each person, any index that begins with the person seems as good as another:
# so there is but one that it can use. A step spells out the condition of its index (_only_for), ``event_id + 0``
# is in no index, and whether there is an earlier copy is asked of whole rows, in the order of the index.
_WALK = """
    WITH RECURSIVE walk AS (
        SELECT %s::uuid AS user_id, %s::bigint AS event_id, %s::uuid AS id, false AS is_entry, 0 AS entries
        UNION ALL
        SELECT walk.user_id, walk.event_id, step.id, step.is_entry, walk.entries + step.is_entry::int
        FROM walk CROSS JOIN LATERAL (
            SELECT d.id, d.id = (
                SELECT copy.id FROM message_deliveries copy
                WHERE (copy.user_id, copy.message_id) >= (d.user_id, d.message_id) AND copy.user_id IS NOT NULL
                    AND {unread} withdrawn_at IS NULL
                ORDER BY copy.user_id, copy.message_id, copy.id LIMIT 1
            ) AS is_entry
            FROM message_deliveries d
            WHERE d.user_id = walk.user_id AND d.id {beyond} walk.id {event}
                AND CASE WHEN {unread} d.user_id IS NOT NULL AND withdrawn_at IS NULL THEN '{way}' END = '{way}'
            ORDER BY d.id {direction} LIMIT 1
        ) step
        WHERE walk.entries < coalesce(%s::bigint, 9223372036854775807)
    )
    SELECT id FROM walk WHERE is_entry
"""
_IS_UNREAD = """
    SELECT (copy.user_id, copy.message_id) = (message_deliveries.user_id, message_deliveries.message_id)
    FROM message_deliveries copy
    WHERE (copy.user_id, copy.message_id) >= (message_deliveries.user_id, message_deliveries.message_id)
        AND copy.user_id IS NOT NULL AND copy.withdrawn_at IS NULL AND copy.read_at IS NULL
    ORDER BY copy.user_id, copy.message_id LIMIT 1
"""


def _only_for(way, **condition) -> Q:
    """The condition of an index that PostgreSQL uses for nothing but what spells it out alike."""
    return Q(Exact(Case(When(**condition, then=Value(way))), Value(way)))


class MessageDelivery(models.Model):
    """At least one of ``guest`` and ``user``; whose it is, the database decides on insert (docs/linking.md).

    ``handed_at`` null while the status is ``sending`` proves that nothing has left; ``claim`` names
    the worker's claim, good until ``claimed_until``. ``event`` is the guest's or the message's, kept
    by the database. ``withdrawn_at``: an organiser took it back before it left, or holds it while the
    message is stopped; it shows in nobody's inbox.
    """

    Status = DeliveryStatus

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    message = models.ForeignKey(
        Message, on_delete=models.PROTECT, related_name="deliveries", db_index=False, verbose_name=_("message")
    )
    event = models.ForeignKey(
        Event,
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        db_constraint=False,  # the guest's or the message's, which have theirs
        verbose_name=_("event"),
    )
    guest = models.ForeignKey(
        EventGuest,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name=_("guest"),
    )
    user = models.ForeignKey(
        UserProfile,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deliveries",
        db_index=False,
        verbose_name=_("person"),
    )
    channel = models.CharField(_("channel"), max_length=10, choices=Channel.choices)
    phone_number = models.CharField(_("phone"), max_length=16, null=True, blank=True)
    email = models.EmailField(_("e-mail"), null=True, blank=True)
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=DeliveryStatus.choices,
        default=DeliveryStatus.QUEUED,
        db_default=DeliveryStatus.QUEUED,
    )
    provider_id = models.CharField(_("provider's ID"), max_length=255, null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, db_default=0)
    error = models.TextField(_("reason"), null=True, blank=True)
    link_outcome = models.CharField(_("link"), max_length=10, choices=LinkOutcome.choices, null=True, editable=False)
    link_method = models.CharField(_("linked"), max_length=10, choices=LinkMethod.choices, null=True, editable=False)
    link_case = models.CharField(_("because"), max_length=30, null=True, editable=False)
    linked_at = models.DateTimeField(_("link changed"), null=True, editable=False)
    next_attempt_at = models.DateTimeField(_("next attempt"), db_default=Now(), editable=False)
    claim = models.UUIDField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    handed_at = models.DateTimeField(_("handed over"), null=True, editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, editable=False)
    delivered_at = models.DateTimeField(_("delivered"), null=True, editable=False)
    read_at = models.DateTimeField(_("read"), null=True, editable=False)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, editable=False)
    created_at = models.DateTimeField(_("made"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = MessageDeliveryQuerySet.as_manager()

    class Meta:
        db_table = "message_deliveries"
        ordering = ["-pk"]
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.CheckConstraint(
                condition=Q(guest__isnull=False) | Q(user__isnull=False), name="messaging_delivery_to_somebody"
            ),
            models.UniqueConstraint(fields=["message", "guest", "channel"], name="messaging_delivery_guest_once"),
            models.UniqueConstraint(
                fields=["message", "user", "channel"], condition=Q(guest=None), name="messaging_delivery_user_once"
            ),
            known("channel", Channel, "messaging_delivery_channel_known"),
            known("status", DeliveryStatus, "messaging_delivery_status_known"),
            known("link_outcome", LinkOutcome, "messaging_delivery_outcome_known"),
            # One of the decision's cases, or PostgreSQL's code of what broke: no room for a number.
            models.CheckConstraint(
                condition=Q(link_case=None) | Q(link_case__regex=r"^([a-z_]{1,30}|[0-9A-Z]{5})$"),
                name="messaging_delivery_case_known",
            ),
        ]
        indexes = [
            # The inbox: newest first, all of it, what is of an event, or what isn't read.
            models.Index(
                *("user", "id"),
                include=["message"],
                condition=_only_for("inbox", user__isnull=False, withdrawn_at=None),
                name="message_deliveries_inbox",
            ),
            models.Index(
                *("user", "event", "id"),
                include=["message"],
                condition=_only_for("of_event", user__isnull=False, withdrawn_at=None),
                name="message_deliveries_of_event",
            ),
            models.Index(
                *("user", "id"),
                include=["message", "event"],
                condition=_only_for("new", read_at=None, user__isnull=False, withdrawn_at=None),
                name="message_deliveries_new",
            ),
            # Whether a message has an earlier delivery to the same person, or one that isn't read.
            models.Index(
                "user",
                "message",
                "id",
                condition=Q(user__isnull=False, withdrawn_at=None),
                name="message_deliveries_person",
            ),
            models.Index(
                "user",
                "message",
                include=["event"],
                condition=Q(user__isnull=False, read_at=None, withdrawn_at=None),
                name="message_deliveries_unread",
            ),
            # Whatever waits, in the order of its turn; whatever a worker holds.
            models.Index(
                "channel",
                "next_attempt_at",
                "id",
                condition=Q(status=DeliveryStatus.QUEUED),
                name="message_deliveries_line",
            ),
            models.Index("claimed_until", condition=Q(status=DeliveryStatus.SENDING), name="message_deliveries_held"),
            models.Index("message", "status", name="message_deliveries_states"),
            models.Index("provider_id", condition=Q(provider_id__isnull=False), name="message_deliveries_provider"),
            models.Index("guest", condition=Q(user=None, guest__isnull=False), name="message_deliveries_unlinked"),
            models.Index("event", "id", name="message_deliveries_event"),
        ]
        triggers = [touched(), *deliveries.linked(), *deliveries.audited(), deliveries.never_backwards()]

    def __str__(self):
        return f"{self.get_channel_display()} → {self.guest or self.user}"


class ChannelState(models.Model):
    """How a channel's provider does: while it is away, nothing is handed to it before ``paused_until``."""

    channel = models.CharField(_("channel"), max_length=10, choices=Channel.choices, primary_key=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, db_default=0)
    paused_until = models.DateTimeField(_("paused until"), null=True)
    last_error = models.TextField(_("last error"), blank=True, default="", db_default="")
    failed_at = models.DateTimeField(_("last failure"), null=True)
    worked_at = models.DateTimeField(_("last success"), null=True)

    class Meta:
        db_table = "message_channels"
        verbose_name = _("channel")
        verbose_name_plural = _("channels")

    def __str__(self):
        return self.get_channel_display()
