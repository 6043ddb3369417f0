"""Tables of the machinery: idempotency keys, letters on their way, and the last results of the integrity checks."""

import secrets

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from config.database import known


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


class LetterKind(models.TextChoices):
    CONFIRM_EMAIL = "confirm_email", _("Confirm an e-mail address")
    RESET_PASSWORD = "reset_password", _("A new password")
    ADDRESS_IN_USE = "address_in_use", _("The address has an account already")
    EMAIL_CHANGED = "email_changed", _("The address was changed")
    VERIFY_PHONE = "verify_phone", _("Verify a phone number")
    SIGN_IN = "sign_in", _("A link to sign in")


class LetterChannel(models.TextChoices):
    EMAIL = "email", _("E-mail")
    SMS = "sms", _("SMS")


class AccountLetter(models.Model):
    """A letter about an account that is still to be sent, or was: written along with what it is about.

    What it says is worked out when it is sent: the row holds no secret, and may name an address that
    nobody has. ``user`` is null where only the address was given. ``error`` says why it was given up.
    ``used_at``: when its link was followed, where it has one that works once.
    """

    Kind, Channel = LetterKind, LetterChannel

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=LetterKind.choices)
    user = models.ForeignKey("events.UserProfile", on_delete=models.CASCADE, null=True, related_name="+")
    channel = models.CharField(max_length=10, choices=LetterChannel.choices, default=LetterChannel.EMAIL)
    address = models.CharField(max_length=254)
    context = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    claimed_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True)
    error = models.TextField(default="", db_default="")

    class Meta:
        db_table = "account_letters"
        constraints = [
            known("kind", LetterKind, "events_accountletter_kind_known"),
            known("channel", LetterChannel, "events_accountletter_channel_known"),
        ]
        indexes = [
            models.Index("next_attempt_at", condition=Q(sent_at=None, error=""), name="account_letters_line"),
            models.Index("address", name="account_letters_address"),
            models.Index("created_at", name="account_letters_age"),
        ]


def new_secret() -> str:
    return secrets.token_hex(16)


class PhoneCode(models.Model):
    """A code that a person was sent to verify a number; it follows from ``secret`` and our key.

    Only the last one is good; those before are kept for an hour, as they limit how many there may be.
    ``replaces`` is the number that the profile had: changed since, the code is worth nothing.
    """

    user = models.ForeignKey("events.UserProfile", on_delete=models.CASCADE, related_name="+")
    phone = models.CharField(max_length=16)
    replaces = models.CharField(max_length=16, blank=True)
    secret = models.CharField(max_length=32, default=new_secret)
    tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "phone_codes"
        indexes = [models.Index("phone", name="phone_codes_phone")]
