"""Attendance by hand: what organisers say, with a note."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, Outcome, lock, operation

from ..models import AttendanceSource, AttendanceStatus, Attendee, CheckIn, CheckInPoint
from . import record


class NotAttending(DomainError):
    code = "not_attending"
    message = _("This person was removed from the event: there is no attendance to mark.")


class PersonErased(DomainError):
    code = "person_erased"
    message = _("This person was erased: nothing is written about them any more.")


@operation
def mark(*, attendee_id, status: AttendanceStatus, actor, notes: str | None = None, source=AttendanceSource.ADMIN):
    """Any status may be set by hand, back to unknown too; the same one again changes nothing.

    Without ``notes`` an older note stays, "" takes it away. Raises NotAttending,
    PersonErased for a note.
    """
    attendee = lock(Attendee.objects.select_related("user_profile"), pk=attendee_id)
    if not attendee.is_active:
        raise NotAttending
    if notes and attendee.user_profile.erased_at:
        raise PersonErased
    if attendee.attendance_status == status:
        return Outcome(attendee, changed=_note(attendee, notes))
    mark = record.Mark(
        attendee_id=attendee.pk,
        version=attendee.attendance_updated_at,
        new=status,
        at=timezone.now(),
        source=source,
        by_id=actor and actor.pk,
        notes=notes,
    )
    record.write([mark])
    if attendee.is_here and status not in AttendanceStatus.HERE:
        close_check_ins([attendee.pk], actor)
    attendee.refresh_from_db()
    return Outcome(attendee, changed=True)


def _note(attendee, notes) -> bool:
    """Only the note is new: who marked the status, and when, stays."""
    if notes is None or (notes or None) == attendee.attendance_notes:
        return False
    attendee.attendance_notes = notes or None
    attendee.attendance_updated_at = timezone.now()
    Attendee.objects.filter(pk=attendee.pk).update(
        attendance_notes=attendee.attendance_notes, attendance_updated_at=attendee.attendance_updated_at
    )
    return True


def close_check_ins(attendee_ids, actor) -> None:
    """Who isn't here any more can be checked in again at any of the event's doors."""
    at_doors = CheckIn.objects.filter(attendee__in=attendee_ids, result=CheckIn.Result.CHECKED_IN, undone_at=None)
    at_doors.exclude(point__kind=CheckInPoint.Kind.SESSION).update(undone_at=timezone.now(), undone_by=actor)
