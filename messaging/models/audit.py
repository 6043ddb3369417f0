"""How links between guests, deliveries and people come about, and the record of every attempt."""

from django.apps import apps as global_apps
from django.db import models
from django.utils.translation import gettext_lazy as _

from config.database import append_only, known
from events.models import Event, UserProfile
from events.models.people import scoped

from ..triggers import audit

LINK_BY_PHONE, FALLBACK_TO_USERS = "LINK_USER_BY_PHONE", "LINK_USER_BY_PHONE_FALLBACK_TO_USERS"
SWITCHES = {
    LINK_BY_PHONE: (True, "Deliveries and guests find their person by phone number (docs/linking.md)."),
    FALLBACK_TO_USERS: (
        False,
        "A delivery whose number no linked guest has goes to the one account that verified it (docs/linking.md).",
    ),
}
"""The switches that the triggers read, whether each is on where it has no row, and what it is for."""


def seed_switches(using, apps=global_apps, **_kwargs):
    """After each migrate: a switch that is missing gets its row; one that is there stays as it is.

    ``apps``: as of the last migration, which may have come before there are switches.
    """
    try:
        switches = apps.get_model("waffle", "Switch").objects.using(using)
    except LookupError:
        return
    for name, (active, note) in SWITCHES.items():
        switches.get_or_create(name=name, defaults={"active": active, "note": note})


class LinkOutcome(models.TextChoices):
    LINKED = "linked", _("Linked")
    NO_MATCH = "no_match", _("No match")
    AMBIGUOUS = "ambiguous", _("Ambiguous")
    SKIPPED = "skipped", _("Skipped")
    BACKFILLED = "backfilled", _("Backfilled")
    ERROR = "error", _("Error")


class LinkMethod(models.TextChoices):
    GUEST = "guest", _("By the guest's link")
    PHONE = "phone", _("By phone")
    EMAIL = "email", _("By e-mail")
    INVITATION = "invitation", _("By invitation")
    MANUAL = "manual", _("By hand")
    BACKFILL = "backfill", _("Backfill")


class UserLinkAudit(models.Model):
    """One attempt to say whose a guest or a delivery is. Written by the database alone, and never changed.

    It names rows by plain ids without foreign keys: a ledger outlives what it is about, and ten
    thousand rows at once needn't look their events up. ``details`` hold no phone number.
    """

    id = models.BigAutoField(primary_key=True)
    table_name = models.CharField(_("table"), max_length=63)
    record_id = models.UUIDField(_("row"))
    event = models.ForeignKey(
        Event,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("event"),
    )
    guest = models.ForeignKey(
        "messaging.EventGuest",
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="link_audit",
        verbose_name=_("guest"),
    )
    user = models.ForeignKey(
        UserProfile,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("person"),
    )
    outcome = models.CharField(_("outcome"), max_length=10, choices=LinkOutcome.choices)
    method = models.CharField(_("method"), max_length=10, choices=LinkMethod.choices, null=True)
    details = models.JSONField(_("details"), default=dict)
    actor = models.ForeignKey(
        UserProfile,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("by"),
    )
    db_user = models.CharField(_("database user"), max_length=63)
    created_at = models.DateTimeField(_("recorded"))

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "user_link_audit"
        ordering = ["-id"]
        verbose_name = _("link attempt")
        verbose_name_plural = _("link audit")
        constraints = [known("outcome", LinkOutcome, "messaging_userlinkaudit_outcome_known")]
        indexes = [
            models.Index("event", "id", name="user_link_audit_event"),
            models.Index("guest", "id", name="user_link_audit_guest"),
            models.Index("record_id", "id", name="user_link_audit_record"),
            models.Index("created_at", name="user_link_audit_age"),
        ]
        triggers = append_only(audit.APPEND_ONLY, "the link audit")

    def __str__(self):
        return f"{self.table_name} → {self.get_outcome_display()}"
