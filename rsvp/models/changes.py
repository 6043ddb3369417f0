"""What happened to sessions that people had seats in, until they have been told."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from events.models import Event, Session
from events.models.people import scoped

from ..triggers import agenda


class SessionChange(models.Model):
    """Written by a trigger, whoever changed the session: how it was before. ``told_at`` null: nobody knows yet.

    ``reason``: what an organiser who cancelled it tells those who had a seat, or waited for one.
    """

    id = models.BigAutoField(primary_key=True)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="+", db_index=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="changes", db_index=False)
    status = models.CharField(_("status before"), max_length=10)
    title = models.TextField(_("title before"))
    starts_at = models.DateTimeField(_("start before"))
    ends_at = models.DateTimeField(_("end before"))
    room_name = models.CharField(_("room before"), max_length=300, blank=True)
    reason = models.TextField(_("reason"), max_length=1000, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("at"), db_default=Now())
    told_at = models.DateTimeField(_("told"), null=True)

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "session_changes"
        ordering = ["pk"]
        verbose_name = _("change of a session")
        verbose_name_plural = _("changes of sessions")
        indexes = [
            models.Index("session", "id", name="session_changes_session"),
            models.Index("id", condition=Q(told_at=None), name="session_changes_untold"),
        ]

    def __str__(self):
        return self.title


class RsvpdSession(Session):
    """Carries this app's triggers on sessions, so that the rules live where they belong."""

    class Meta:
        proxy = True
        triggers = agenda.of_sessions()


class RsvpdAttendee(Attendee):
    class Meta:
        proxy = True
        triggers = agenda.of_attendees()
