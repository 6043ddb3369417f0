"""Where people are reached, and what they don't want."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from config.database import known, uuid7
from events.models import Event, Organization, UserProfile
from events.models.people import Role, scoped

from .messages import Channel


class OptOut(models.Model):
    """An address that wants nothing more over a channel: of one event, or, with ``event`` null, at all.

    ``address`` is a lower-case e-mail address, or a phone number in E.164. Whoever asks to be
    reached again (START by SMS, the page behind the unsubscribe link) has the row deleted.
    """

    class Source(models.TextChoices):
        STOP = "stop", _("STOP by SMS")
        UNSUBSCRIBE = "unsubscribe", _("Unsubscribed")

    channel = models.CharField(_("channel"), max_length=10, choices=Channel.choices)
    address = models.CharField(_("address"), max_length=254)
    event = models.ForeignKey(
        Event, on_delete=models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("event")
    )
    source = models.CharField(_("how"), max_length=20, choices=Source.choices)
    created_at = models.DateTimeField(_("since"), auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "message_opt_outs"
        ordering = ["-created_at", "-pk"]
        verbose_name = _("opt-out")
        verbose_name_plural = _("opt-outs")
        constraints = [
            models.UniqueConstraint(
                fields=["address", "channel", "event"], nulls_distinct=False, name="messaging_optout_once"
            ),
            known("channel", Channel, "messaging_optout_channel_known"),
        ]

    def __str__(self):
        return f"{self.get_channel_display()}: {self.address}"


class PushDevice(models.Model):
    """An installation of the app that takes pushes. A token belongs to who signed in there last."""

    class Platform(models.TextChoices):
        IOS = "ios", "iOS"
        ANDROID = "android", "Android"
        WEB = "web", _("Web")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        UserProfile, on_delete=models.CASCADE, related_name="push_devices", verbose_name=_("person")
    )
    token = models.CharField(_("token"), max_length=1000, unique=True)
    platform = models.CharField(_("platform"), max_length=10, choices=Platform.choices)
    created_at = models.DateTimeField(_("registered"), auto_now_add=True)
    seen_at = models.DateTimeField(_("last seen"), db_default=Now())

    class Meta:
        db_table = "push_devices"
        ordering = ["-pk"]
        verbose_name = _("push device")
        verbose_name_plural = _("push devices")

    def __str__(self):
        return self.get_platform_display()


class NoticePreference(models.Model):
    """How an organiser hears of one topic of their organisation; where there is no row, DEFAULTS hold."""

    class Topic(models.TextChoices):
        REQUESTS = "requests", _("Join requests to decide")
        DOOR = "door", _("What happens at the door")
        SERVICE = "service", _("Service requests that nobody takes")

    class Mode(models.TextChoices):
        AT_ONCE = "at_once", _("At once")
        DIGEST = "digest", _("Once a day")
        OFF = "off", _("Not at all")

    DEFAULTS = {Topic.REQUESTS: Mode.DIGEST, Topic.DOOR: Mode.OFF, Topic.SERVICE: Mode.AT_ONCE}
    OFFERED = {Topic.REQUESTS: list(Mode), Topic.DOOR: list(Mode), Topic.SERVICE: [Mode.AT_ONCE, Mode.OFF]}
    """A customer who waits now is no news for tomorrow."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", verbose_name=_("organisation")
    )
    user = models.ForeignKey(UserProfile, on_delete=models.CASCADE, related_name="+", verbose_name=_("person"))
    topic = models.CharField(_("about"), max_length=20, choices=Topic.choices)
    mode = models.CharField(_("how"), max_length=10, choices=Mode.choices)

    objects = scoped("organization").as_manager()

    class Meta:
        db_table = "notice_preferences"
        ordering = ["organization", "user", "topic"]
        verbose_name = _("notice preference")
        verbose_name_plural = _("notice preferences")
        constraints = [
            models.UniqueConstraint(fields=["organization", "user", "topic"], name="messaging_noticepreference_once")
        ]

    def __str__(self):
        return f"{self.get_topic_display()}: {self.get_mode_display()}"


HEARS = Role.MANAGE
"""Who decides on requests, and so hears of them."""
