"""The one way an attendance is written, whoever marks it: :func:`write`.

The audit is not written here: the database does that (attendance.triggers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from config.errors import DomainError
from events.models import Event

from ..models import AttendanceSource, AttendanceStatus


class AttendanceBroken(DomainError):
    """The database's own promises about attendance; operations keep them, raw SQL is told."""

    code = "attendance_inconsistent"
    constraints = (
        "attendance_attendee_attendance_known",
        "attendance_attendee_attendance_source_known",
        "attendance_attendee_stays_itself",
        "attendance_audit_append_only",
    )


@dataclass(frozen=True)
class Mark:
    """One change: what somebody becomes, when that happened, and who answers for it.

    ``version`` is the attendee's ``attendance_updated_at`` as it was when this was decided.
    ``by_id`` and ``device_id`` both None: the system did it. Without ``notes`` the note stays that there
    was, as nothing else may have it on record; "" takes it away.
    """

    attendee_id: UUID
    version: datetime | None
    new: AttendanceStatus
    at: datetime
    source: AttendanceSource
    by_id: UUID | None = None
    device_id: UUID | None = None
    notes: str | None = None


WRITE = """
    WITH wanted AS (
        SELECT * FROM unnest(
            %s::uuid[], %s::timestamptz[], %s::text[], %s::timestamptz[], %s::text[], %s::uuid[], %s::uuid[], %s::text[]
        ) AS wanted(id, version, new, at, source, by_id, device_id, notes)
    ), locked AS (
        SELECT attendee.id FROM event_attendees AS attendee JOIN wanted ON wanted.id = attendee.id
        WHERE attendee.status = 'active' AND attendee.attendance_updated_at IS NOT DISTINCT FROM wanted.version
        ORDER BY attendee.id FOR NO KEY UPDATE OF attendee
    )
    UPDATE event_attendees AS attendee SET
        attendance_status = wanted.new,
        attendance_marked_at = wanted.at,
        attendance_source = wanted.source,
        attendance_marked_by_id = wanted.by_id,
        attendance_device_id = wanted.device_id,
        attendance_notes = nullif(coalesce(wanted.notes, attendee.attendance_notes), ''),
        attendance_updated_at = clock_timestamp()
    FROM wanted JOIN locked ON locked.id = wanted.id
    WHERE attendee.id = wanted.id
    RETURNING attendee.id
"""


def write(marks: Sequence[Mark]) -> set[UUID]:
    """Writes the marks of different attendees in one statement; gives the ids of those that were changed.

    Left out is who is no longer active, or was marked since ``version``: somebody else was quicker, and
    the caller decides anew. Rows are locked in the order of their ids.
    """
    if not marks:
        return set()
    columns = ("attendee_id", "version", "new", "at", "source", "by_id", "device_id", "notes")
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [[_plain(getattr(mark, name)) for mark in marks] for name in columns])
        return {attendee_id for (attendee_id,) in cursor.fetchall()}


def _plain(value):
    return str(value) if isinstance(value, str) else value  # psycopg knows no TextChoices


REPAIR = """
    WITH broken AS (
        SELECT id FROM event_attendees
        WHERE id = ANY(%s::uuid[]) AND (attendance_status IS NULL OR attendance_status <> ALL(%s::text[]))
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE event_attendees AS attendee SET
        attendance_status = 'unknown',
        attendance_source = 'backfill',
        attendance_marked_at = clock_timestamp(),
        attendance_marked_by_id = NULL,
        attendance_device_id = NULL,
        attendance_updated_at = clock_timestamp()
    FROM broken WHERE attendee.id = broken.id
"""


def without_a_status_to_unknown(*, rows) -> int:
    """Of these attendees, whoever has no status, or one unheard of, becomes unknown; how many did.

    Notes stay, as nobody knows what they were about. Removed attendees are mended too.
    """
    with connection.cursor() as cursor:
        cursor.execute(REPAIR, [list(rows), AttendanceStatus.values])
        return cursor.rowcount


def arrival_status(event: Event, moment: datetime) -> AttendanceStatus:
    """What somebody is who arrives at that moment."""
    late = event.late_from is not None and moment >= event.late_from
    return AttendanceStatus.LATE if late else AttendanceStatus.PRESENT
