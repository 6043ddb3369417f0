"""Who has a seat in which session."""

from django.db import models
from django.db.models import Exists, F, IntegerField, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from attendance.models import AttendanceStatus, Attendee, CheckIn
from config.database import CompositeForeignKey, counting, known, never_truncated, touched, uuid7
from events.models import Event, Session
from events.models.people import ScopedQuerySet
from messaging.triggers import Uuid7

from ..triggers import rsvps


class RsvpStatus(models.TextChoices):
    CONFIRMED = "confirmed", _("Confirmed")
    CANCELLED = "cancelled", _("Cancelled")


class RsvpSource(models.TextChoices):
    """How the seat was come by, the last time."""

    OWN = "own", _("RSVP")
    WAITLIST = "waitlist", _("From the line")
    ORGANIZER = "organizer", _("Added by an organiser")


class EndReason(models.TextChoices):
    """Why a seat, or a place in line, was given up: by whom, or by what."""

    OWN = "own", _("By themselves")
    ORGANIZER = "organizer", _("By an organiser")
    REMOVED = "removed", _("No attendee any more")
    SESSION_CANCELLED = "session_cancelled", _("The session was cancelled")
    TOO_MANY_OFFERS = "too_many_offers", _("Let all offers pass")
    STARTED = "started", _("The session began")


class SessionRsvpQuerySet(ScopedQuerySet):
    organization_path = "event__organization"

    def confirmed(self):
        return self.filter(status=RsvpStatus.CONFIRMED)

    def no_shows(self):
        """Seats in sessions that have begun, of whoever isn't there: not scanned where anybody was scanned at a
        point of the session; elsewhere, absent from the event. (rsvp.triggers.feedback has the other side.)"""
        scans = CheckIn.objects.filter(
            point__session=OuterRef("session"), result=CheckIn.Result.CHECKED_IN, undone_at=None
        )
        scanned, own = Exists(scans), Exists(scans.filter(attendee=OuterRef("attendee")))
        absent = Q(attendee__attendance_status=AttendanceStatus.ABSENT)
        return self.confirmed().filter((scanned & ~own) | (~scanned & absent), session__starts_at__lte=Now())


class SessionRsvp(models.Model):
    """A person's seats in a session; one row for good. ``rsvp_at`` is the first time, ``confirmed_at`` the last."""

    Status, Source, EndReason = RsvpStatus, RsvpSource, EndReason

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
        related_name="rsvps",
        editable=False,
        db_constraint=False,  # with the event: see below
        db_index=False,
        verbose_name=_("session"),
    )
    attendee = models.ForeignKey(
        Attendee,
        on_delete=models.PROTECT,
        related_name="rsvps",
        editable=False,
        db_constraint=False,
        db_index=False,
        verbose_name=_("attendee"),
    )
    seats = models.PositiveSmallIntegerField(_("seats"), default=1, db_default=1, editable=False)
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=RsvpStatus.choices,
        default=RsvpStatus.CONFIRMED,
        db_default=RsvpStatus.CONFIRMED,
        editable=False,
    )
    source = models.CharField(
        _("came by"),
        max_length=10,
        choices=RsvpSource.choices,
        default=RsvpSource.OWN,
        db_default=RsvpSource.OWN,
        editable=False,
    )
    rsvp_at = models.DateTimeField(_("first RSVP"), db_default=Now(), editable=False)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, editable=False)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True, editable=False)
    end_reason = models.CharField(
        _("why cancelled"),
        max_length=20,
        choices=EndReason.choices,
        blank=True,
        default="",
        db_default="",
        editable=False,
    )
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = SessionRsvpQuerySet.as_manager()

    class Meta:
        db_table = "session_rsvps"
        ordering = ["-pk"]
        verbose_name = _("RSVP")
        verbose_name_plural = _("RSVPs")
        constraints = [
            models.UniqueConstraint(fields=["session", "attendee"], name="rsvp_sessionrsvp_once"),
            CompositeForeignKey(
                name="rsvp_sessionrsvp_session_of_event",
                fields=["session", "event"],
                to="events.Session",
                to_fields=["id", "event"],
            ),
            CompositeForeignKey(
                name="rsvp_sessionrsvp_attendee_of_event",
                fields=["attendee", "event"],
                to="attendance.Attendee",
                to_fields=["id", "event"],
            ),
            models.CheckConstraint(condition=Q(seats__gte=1), name="rsvp_sessionrsvp_seats_positive"),
            models.CheckConstraint(
                condition=Q(status=RsvpStatus.CONFIRMED, cancelled_at=None)
                | Q(status=RsvpStatus.CANCELLED, cancelled_at__isnull=False),
                name="rsvp_sessionrsvp_cancelled_at",
            ),
            known("status", RsvpStatus, "rsvp_sessionrsvp_status_known"),
            known("source", RsvpSource, "rsvp_sessionrsvp_source_known"),
        ]
        indexes = [
            models.Index("session", "status", name="session_rsvps_session"),
            models.Index("attendee", condition=Q(status=RsvpStatus.CONFIRMED), name="session_rsvps_my_schedule"),
            models.Index(
                "attendee",
                condition=Q(status=RsvpStatus.CANCELLED, end_reason=EndReason.SESSION_CANCELLED),
                name="session_rsvps_called_off",
            ),
            models.Index("event", "rsvp_at", name="session_rsvps_event"),
        ]
        triggers = [
            touched(),
            rsvps.kept_right(),
            rsvps.first_locked(),
            *rsvps.still_right(),
            never_truncated("rsvp_sessionrsvp_never_truncated"),
            *counting(parent="event_sessions", column="seats_taken", key="session_id", weight=rsvps.SEATS),
        ]

    def __str__(self):
        return f"{self.attendee} · {self.session}"

    @property
    def is_confirmed(self) -> bool:
        return self.status == RsvpStatus.CONFIRMED


def _summed(rows, weight):
    total = rows.filter(session=OuterRef("pk")).order_by().values("session").annotate(total=weight).values("total")
    return Coalesce(Subquery(total), 0, output_field=IntegerField())


def seats_counted():
    """The places taken in the outer session, counted anew; Session.seats_taken must say the same."""
    from .waitlist import WaitlistEntry, WaitlistStatus

    offered = WaitlistEntry.objects.filter(status=WaitlistStatus.OFFERED)
    return _summed(SessionRsvp.objects.confirmed(), Sum(F("seats"))) + _summed(offered, Sum(F("party_size")))
