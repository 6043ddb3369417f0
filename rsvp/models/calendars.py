"""The address under which a person's calendar program finds their sessions."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

from events.models import UserProfile


def new_token() -> str:
    """192 random bits, URL-safe: whoever has it may read the schedule, and nothing else."""
    return secrets.token_urlsafe(24)


class CalendarFeed(models.Model):
    """One a person; a renewed token makes the former address go nowhere."""

    user = models.OneToOneField(
        UserProfile,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="calendar_feed",
        verbose_name=_("person"),
    )
    token = models.CharField(_("token"), max_length=64, unique=True, default=new_token)
    created_at = models.DateTimeField(_("made"), auto_now_add=True)
    renewed_at = models.DateTimeField(_("renewed"), null=True)

    class Meta:
        db_table = "calendar_feeds"
        verbose_name = _("calendar feed")
        verbose_name_plural = _("calendar feeds")

    def __str__(self):
        return str(self.user_id)
