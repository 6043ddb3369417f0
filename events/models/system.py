"""Tables of the machinery: idempotency keys and the last results of the integrity checks."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class IdempotencyKey(models.Model):
    """One POST with an Idempotency-Key, and the answer it got; kept for 24 hours a person.

    ``answered_at`` null: the request is running, or its worker died; ``claimed_until`` says from
    when another may take over.
    """

    id = models.BigAutoField(primary_key=True)
    user_profile = models.ForeignKey("events.UserProfile", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    claimed_until = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_keys"
        constraints = [models.UniqueConstraint(fields=["user_profile", "key"], name="events_idempotencykey_once")]
        indexes = [models.Index("created_at", name="idempotency_keys_age")]


class IntegrityResult(models.Model):
    """What one invariant's last check found: the health page, the metrics and the banner read it."""

    name = models.CharField(_("check"), max_length=100, primary_key=True)
    level = models.CharField(_("result"), max_length=10)
    violations = models.PositiveBigIntegerField(_("violations"))
    figures = models.JSONField(_("figures"), default=dict)
    checked_at = models.DateTimeField(_("checked"))

    class Meta:
        db_table = "integrity_results"
        ordering = ["name"]
        verbose_name = _("integrity check")
        verbose_name_plural = _("integrity checks")

    def __str__(self):
        return self.name
