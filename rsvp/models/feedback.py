"""What people thought of the sessions that they were in."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.database import CompositeForeignKey, touched, uuid7
from events.models import Event, Session
from events.models.people import scoped
from messaging.triggers import Uuid7

from ..triggers import feedback


class SessionFeedback(models.Model):
    """One a person and session; by those who were there, after it ended (rsvp.triggers.feedback says who that is)."""

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    event = models.ForeignKey(
        Event, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False, verbose_name=_("event")
    )
    session = models.ForeignKey(
        Session,
        on_delete=models.PROTECT,
        related_name="feedback",
        db_constraint=False,
        db_index=False,
        verbose_name=_("session"),
    )
    attendee = models.ForeignKey(
        Attendee, on_delete=models.PROTECT, related_name="feedback", db_constraint=False, verbose_name=_("attendee")
    )
    rating = models.PositiveSmallIntegerField(_("rating"))
    comment = models.TextField(_("comment"), max_length=5000, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("given"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "session_feedback"
        ordering = ["-pk"]
        verbose_name = _("feedback")
        verbose_name_plural = _("feedback")
        constraints = [
            models.UniqueConstraint(fields=["session", "attendee"], name="rsvp_sessionfeedback_once"),
            CompositeForeignKey(
                name="rsvp_sessionfeedback_session_of_event",
                fields=["session", "event"],
                to="events.Session",
                to_fields=["id", "event"],
            ),
            CompositeForeignKey(
                name="rsvp_sessionfeedback_attendee_of_event",
                fields=["attendee", "event"],
                to="attendance.Attendee",
                to_fields=["id", "event"],
            ),
            models.CheckConstraint(condition=Q(rating__range=(1, 5)), name="rsvp_sessionfeedback_rating_range"),
        ]
        indexes = [models.Index("event", "id", name="session_feedback_event")]
        triggers = [touched(), feedback.kept_right()]

    def __str__(self):
        return f"{self.rating} · {self.session}"
