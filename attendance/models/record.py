"""Who came: the statuses, the audit of every change, and what attendance is worth in points."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from events.models import Event, Organization, UserProfile
from events.models.people import scoped

from ..triggers import append_only


class AttendanceStatus(models.TextChoices):
    UNKNOWN = "unknown", _("Unknown")
    PRESENT = "present", _("Present")
    LATE = "late", _("Late")
    EXCUSED = "excused", _("Excused")
    ABSENT = "absent", _("Absent")


AttendanceStatus.HERE = frozenset({AttendanceStatus.PRESENT, AttendanceStatus.LATE})


class AttendanceSource(models.TextChoices):
    """What marked somebody."""

    SCAN = "scan", _("Scan")
    ADMIN = "admin", _("Admin")
    API = "api", _("App or device")
    UNDO = "undo", _("Undo")
    APPROVAL = "approval", _("Let in again")
    AUTO_ABSENCE = "auto_absence", _("Automatic absence")
    IMPORT = "import", _("Import")
    BACKFILL = "backfill", _("Backfill")
    SQL = "sql", _("SQL")


AttendanceSource.TAKEN = frozenset(
    {AttendanceSource.SCAN, AttendanceSource.ADMIN, AttendanceSource.API, AttendanceSource.IMPORT}
)
"""A person or a scan: that somebody took attendance at this event at all."""


class AttendanceAudit(models.Model):
    """One change of one attendee's status. Written by the database alone, and never changed."""

    id = models.BigAutoField(primary_key=True)
    attendee = models.ForeignKey(
        "attendance.Attendee",
        on_delete=models.PROTECT,
        related_name="audit",
        db_index=False,
        verbose_name=_("attendee"),
    )
    event = models.ForeignKey(
        Event, on_delete=models.PROTECT, related_name="+", db_index=False, verbose_name=_("event")
    )
    from_status = models.CharField(_("from"), max_length=10, choices=AttendanceStatus.choices, null=True)
    to_status = models.CharField(_("to"), max_length=10, choices=AttendanceStatus.choices)
    actor = models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, null=True, related_name="+", db_index=False, verbose_name=_("by")
    )
    device = models.ForeignKey(
        "attendance.DoorDevice",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        verbose_name=_("device"),
    )
    source = models.CharField(_("source"), max_length=20, choices=AttendanceSource.choices)
    notes = models.TextField(_("note"), null=True)
    marked_at = models.DateTimeField(_("happened"), null=True)
    db_user = models.CharField(_("database user"), max_length=63)
    created_at = models.DateTimeField(_("recorded"))

    objects = scoped("event__organization").as_manager()

    class Meta:
        db_table = "event_attendance_audit"
        ordering = ["-id"]
        verbose_name = _("attendance record")
        verbose_name_plural = _("attendance audit")
        indexes = [
            models.Index("attendee", "id", name="attendance_audit_attendee"),
            models.Index("event", "id", name="attendance_audit_event"),
        ]
        triggers = append_only()

    def __str__(self):
        return f"{self.get_from_status_display() or '–'} → {self.get_to_status_display()}"


WORTH = [MinValueValidator(-1000), MaxValueValidator(1000)]


class PointScale(models.Model):
    """What each status is worth in an organisation; where it has no row, the fields' defaults hold."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="point_scale", verbose_name=_("organisation")
    )
    present = models.SmallIntegerField(_("present"), default=10, validators=WORTH)
    late = models.SmallIntegerField(_("late"), default=5, validators=WORTH)
    excused = models.SmallIntegerField(_("excused"), default=0, validators=WORTH)
    absent = models.SmallIntegerField(_("absent"), default=-5, validators=WORTH)

    objects = scoped("organization").as_manager()
    history = HistoricalRecords()

    class Meta:
        db_table = "attendance_points"
        verbose_name = _("points for attendance")
        verbose_name_plural = _("points for attendance")

    def __str__(self):
        return str(self.organization)
