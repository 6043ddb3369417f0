"""What attendance is worth: computed from the statuses whenever somebody asks, never stored."""

from django.db.models import Case, F, IntegerField, QuerySet, Value, When
from django.db.models.functions import Coalesce

from ..models import AttendanceStatus, Attendee, PointScale

SCORING = (AttendanceStatus.PRESENT, AttendanceStatus.LATE, AttendanceStatus.EXCUSED, AttendanceStatus.ABSENT)


def scored(attendees: QuerySet[Attendee]) -> QuerySet[Attendee]:
    """Active attendees whose attendance is known, with their ``points`` by their organisation's scale."""
    scale = "event__organization__point_scale__"
    worth = [
        When(
            attendance_status=status,
            then=Coalesce(F(f"{scale}{status}"), Value(PointScale._meta.get_field(status).default)),
        )
        for status in SCORING
    ]
    return (
        attendees.active()
        .exclude(attendance_status=AttendanceStatus.UNKNOWN)
        .annotate(points=Case(*worth, output_field=IntegerField()))
    )
