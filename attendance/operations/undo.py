"""Taking back a check-in."""

from datetime import timedelta

from django.db import connection
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, NotFound, lock, operation

from ..models import AttendanceSource, Attendee, CheckIn, CheckInPoint
from . import check_in, record


class UndoExpired(DomainError):
    code = "undo_expired"
    message = _("A check-in can be undone for 15 minutes; later it takes an organiser.")


class UndoNotLast(DomainError):
    code = "undo_not_last"
    message = _("Only your own last check-in can be undone; others take an organiser.")


LASTS = timedelta(minutes=15)


@operation
def take_back(*, check_in_id, scanner: check_in.Scanner) -> tuple[Attendee, bool]:
    """Takes back a check-in: the attendee is what they were before. (attendee, whether it was still to do)

    The scanner's own last one, for 15 minutes; organisers may take back any. Whom somebody has
    marked by hand since stays as marked. Raises NotFound, TicketRevoked, UndoNotLast, UndoExpired.
    """
    found = CheckIn.objects.filter(pk=check_in_id, event=scanner.event, result=CheckIn.Result.CHECKED_IN).first()
    if found is None:
        raise NotFound
    attendee = lock(Attendee.objects.select_related("user_profile"), pk=found.attendee_id)
    taken_back = lock(CheckIn.objects.select_related("point"), pk=check_in_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    if not scanner.manages:
        own = CheckIn.objects.filter(event=scanner.event, result=CheckIn.Result.CHECKED_IN, **scanner.who)
        own = own.order_by("-received_at", "-checked_in_at", "-pk")
        if (taken_back.by_id, taken_back.device_id) != tuple(scanner.who.values()):
            raise UndoNotLast
        if taken_back.undone_at is None and own.filter(undone_at=None).first() != taken_back:
            raise UndoNotLast
        if taken_back.undone_at is None and now - taken_back.received_at > LASTS:
            raise UndoExpired
    if taken_back.undone_at is not None:
        return attendee, False
    if not attendee.is_active:
        raise check_in.TicketRevoked
    taken_back.undone_at, taken_back.undone_by = now, scanner.person
    taken_back.save(update_fields=["undone_at", "undone_by"])
    of_attendee = CheckIn.objects.filter(attendee=attendee, result=CheckIn.Result.CHECKED_IN)
    by_scan = attendee.attendance_source in (AttendanceSource.SCAN, AttendanceSource.API) and (
        of_attendee.filter(checked_in_at=attendee.attendance_marked_at).exists()
    )
    if taken_back.previous_status is None or not attendee.is_here or not by_scan:
        return attendee, True
    at_doors = of_attendee.filter(undone_at=None).exclude(point__kind=CheckInPoint.Kind.SESSION)
    if other := at_doors.order_by("pk").first():
        # They came in by another door as well: whoever undoes that one goes back all the way.
        CheckIn.objects.filter(pk=other.pk).update(previous_status=taken_back.previous_status)
        return attendee, True
    back = record.Mark(
        attendee_id=attendee.pk,
        version=attendee.attendance_updated_at,
        new=taken_back.previous_status,
        at=now,
        source=AttendanceSource.UNDO,
        **scanner.who,
    )
    record.write([back])
    attendee.refresh_from_db()
    return attendee, True
