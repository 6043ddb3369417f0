"""The door: where people check in, the devices that scan there, and every scan."""

import secrets

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from config.database import known, uuid7
from events.models import Event, Session, UserProfile
from events.models.people import scoped

from .record import AttendanceStatus


class Kind(models.TextChoices):
    DOOR = "door", _("Door")
    SESSION = "session", _("Session")


class CheckInPoint(models.Model):
    """A place to check in besides the event's own door, which has no row.

    A further door (of a day, of another entrance) marks attendance like the event's own; a
    session's point only records who was in the session.
    """

    Kind = Kind

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="check_in_points", verbose_name=_("event"))
    name = models.CharField(_("name"), max_length=200)
    kind = models.CharField(
        _("kind"),
        max_length=10,
        choices=Kind.choices,
        default=Kind.DOOR,
        help_text=_("A door marks attendance; a session's point only records who was in it."),
    )
    session = models.ForeignKey(
        Session,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="check_in_points",
        verbose_name=_("session"),
    )
    opens_at = models.DateTimeField(_("opens"), null=True, blank=True, help_text=_("Empty: from the beginning."))
    closes_at = models.DateTimeField(_("closes"), null=True, blank=True, help_text=_("Empty: never."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = scoped("event__organization").as_manager()
    history = HistoricalRecords()

    class Meta:
        db_table = "check_in_points"
        ordering = ["event", "opens_at", "name"]
        verbose_name = _("check-in point")
        verbose_name_plural = _("check-in points")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "name"],
                name="attendance_checkinpoint_name_unique",
                violation_error_message=_("The event has a check-in point of this name."),
            ),
            models.CheckConstraint(
                condition=Q(opens_at=None) | Q(closes_at=None) | Q(opens_at__lt=F("closes_at")),
                name="attendance_checkinpoint_opens_before_closes",
                violation_error_message=_("A point opens before it closes."),
            ),
            models.CheckConstraint(
                condition=Q(session=None) | Q(kind="session"),
                name="attendance_checkinpoint_session_has_kind",
                violation_error_message=_("A point that is a door belongs to no session."),
            ),
            known("kind", Kind, "attendance_checkinpoint_kind_known"),
        ]

    def __str__(self):
        return self.name

    @property
    def marks_attendance(self) -> bool:
        return self.kind == self.Kind.DOOR

    def is_open_at(self, moment) -> bool:
        return (self.opens_at is None or self.opens_at <= moment) and (
            self.closes_at is None or moment < self.closes_at
        )


def new_enrolment_code() -> str:
    return secrets.token_urlsafe(24)


class DoorDevice(models.Model):
    """A phone or scanner that checks in without anybody signed in on it.

    ``enrolment_code`` is what the one-time QR code carries; using it makes the token, of which only
    a hash is kept. Neither outlives ``revoked_at``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="door_devices", verbose_name=_("event"))
    name = models.CharField(_("name"), max_length=100, help_text=_("Shown wherever it checked somebody in."))
    at_door = models.BooleanField(_("at the event's door"), default=True)
    points = models.ManyToManyField(
        CheckInPoint, blank=True, related_name="devices", verbose_name=_("further check-in points")
    )
    may_add_walk_ins = models.BooleanField(_("may add walk-ins"), default=False)
    enrolment_code = models.CharField(max_length=64, null=True, unique=True, default=new_enrolment_code, editable=False)
    enrolment_expires_at = models.DateTimeField(null=True, editable=False)
    token_hash = models.CharField(max_length=64, null=True, unique=True, editable=False)
    enrolled_at = models.DateTimeField(_("registered"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_by = models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("made by")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = scoped("event__organization").as_manager()
    history = HistoricalRecords(excluded_fields=["enrolment_code", "token_hash"])

    class Meta:
        db_table = "door_devices"
        ordering = ["-created_at", "-pk"]
        verbose_name = _("door device")
        verbose_name_plural = _("door devices")
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at=None) | Q(token_hash=None, enrolment_code=None),
                name="attendance_doordevice_revoked_has_no_token",
            ),
        ]

    def __str__(self):
        return self.name


class Scan(models.Model):
    """What accepted and refused scans have in common.

    ``scanned_at`` is the device's clock, ``received_at`` the server's; ``uploaded_late`` says that
    more than two minutes lie between them: the device had no network.
    """

    id = models.BigAutoField(primary_key=True)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="+", verbose_name=_("event"))
    point = models.ForeignKey(
        CheckInPoint, on_delete=models.RESTRICT, null=True, related_name="+", verbose_name=_("check-in point")
    )
    scan_id = models.CharField(_("scan"), max_length=64, null=True)
    by = models.ForeignKey(UserProfile, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("by"))
    device = models.ForeignKey(
        DoorDevice, on_delete=models.RESTRICT, null=True, related_name="+", verbose_name=_("device")
    )
    scanned_at = models.DateTimeField(_("scanned"), null=True)
    received_at = models.DateTimeField(_("received"), db_default=Now())
    uploaded_late = models.BooleanField(_("uploaded late"), default=False, db_default=False)

    objects = scoped("event__organization").as_manager()

    class Meta:
        abstract = True


class Result(models.TextChoices):
    CHECKED_IN = "checked_in", _("Checked in")
    ALREADY = "already_checked_in", _("In already")


class CheckIn(Scan):
    """An accepted scan: the first one of an attendee at a point, or a repeated one."""

    Result = Result

    attendee = models.ForeignKey(
        "attendance.Attendee", on_delete=models.PROTECT, related_name="check_ins", verbose_name=_("attendee")
    )
    result = models.CharField(_("result"), max_length=20, choices=Result.choices)
    checked_in_at = models.DateTimeField(
        _("checked in"), help_text=_("The device's time where it can be believed, else the server's.")
    )
    previous_status = models.CharField(
        max_length=10, choices=AttendanceStatus.choices, null=True, help_text=_("What an undo goes back to.")
    )
    undone_at = models.DateTimeField(_("undone"), null=True)
    undone_by = models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("undone by")
    )

    class Meta:
        db_table = "check_ins"
        ordering = ["-pk"]
        verbose_name = _("check-in")
        verbose_name_plural = _("check-ins")
        constraints = [
            models.UniqueConstraint(fields=["event", "scan_id"], name="attendance_checkin_scan_once"),
            models.UniqueConstraint(
                fields=["attendee", "point"],
                condition=Q(result="checked_in", undone_at=None),
                nulls_distinct=False,
                name="attendance_checkin_once_at_a_point",
            ),
            known("result", Result, "attendance_checkin_result_known"),
        ]
        indexes = [models.Index("event", "point", "checked_in_at", name="check_ins_arrivals")]

    def __str__(self):
        return f"{self.attendee}, {self.get_result_display()}"


class Reason(models.TextChoices):
    UNKNOWN_TICKET = "unknown_ticket", _("Unknown ticket")
    TICKET_REVOKED = "ticket_revoked", _("Ticket of somebody removed")
    WRONG_EVENT = "wrong_event", _("Ticket of another event")
    POINT_CLOSED = "point_closed", _("Check-in point closed")
    EVENT_CLOSED = "event_closed", _("Event cancelled")


class CheckInAttempt(Scan):
    """A refused scan, for organisers to look at.

    ``inside``: a device without network had let the person in before the rules could say no.
    """

    Reason = Reason

    attendee = models.ForeignKey(
        "attendance.Attendee", on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("attendee")
    )
    code_hash = models.CharField(
        _("ticket's hash"), max_length=64, null=True, help_text=_("SHA-256 of the code that was shown.")
    )
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices)
    inside = models.BooleanField(_("inside already"), default=False, db_default=False)

    class Meta:
        db_table = "check_in_attempts"
        ordering = ["-pk"]
        verbose_name = _("refused scan")
        verbose_name_plural = _("refused scans")
        constraints = [
            models.UniqueConstraint(fields=["event", "scan_id"], name="attendance_checkinattempt_scan_once"),
            known("reason", Reason, "attendance_checkinattempt_reason_known"),
        ]

    def __str__(self):
        return self.get_reason_display()
