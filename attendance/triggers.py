"""The database's side of the second promise: whoever changes an attendance, it is on record.

Two kinds of triggers on ``event_attendees``: before each row, one that tells a change which
somebody answers for (it sets ``attendance_updated_at`` as well) from one that nobody does; after
each statement, one that writes the audit for all of its rows at once. The audit itself takes rows
from that trigger only, and gives none back.
"""

import pgtrigger

from config.database import Trigger, never_truncated, violation

SAME_ATTENDEE = "attendance_attendee_stays_itself"
APPEND_ONLY = "attendance_audit_append_only"


def claimed_or_sql() -> list[Trigger]:
    """Raw SQL that sets a status only is marked so: by nobody, source ``sql``, at this moment.

    An attendee's id never changes: a statement that did both would get past the audit. Nor do they
    become an erased person's, whose notes may be taken from the audit.
    """
    unclaimed = """
        NEW.attendance_source := 'sql';
        NEW.attendance_marked_by_id := NULL;
        NEW.attendance_device_id := NULL;
        NEW.attendance_marked_at := clock_timestamp();
        NEW.attendance_updated_at := clock_timestamp();
    """
    return [
        Trigger(
            name="attendance_claimed_on_insert",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            condition=pgtrigger.Condition("NEW.attendance_status IS DISTINCT FROM 'unknown'"),
            func=f"IF NEW.attendance_updated_at IS NULL THEN {unclaimed} END IF; RETURN NEW;",
        ),
        Trigger(
            name="attendance_claimed_on_update",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition(
                "NEW.attendance_status IS DISTINCT FROM OLD.attendance_status"
                " OR NEW.id <> OLD.id OR NEW.user_profile_id <> OLD.user_profile_id"
            ),
            func=f"""
                IF NEW.id <> OLD.id OR NEW.user_profile_id <> OLD.user_profile_id AND EXISTS (
                    SELECT FROM user_profiles WHERE id = NEW.user_profile_id AND erased_at IS NOT NULL
                ) THEN
                    {violation(SAME_ATTENDEE, "an attendee keeps its id, and does not become an erased person")}
                END IF;
                IF NEW.attendance_updated_at IS NOT DISTINCT FROM OLD.attendance_updated_at THEN
                    {unclaimed}
                END IF;
                RETURN NEW;
            """,
        ),
    ]


def kept() -> Trigger:
    """Deleted and inserted again within one transaction, an attendee would be unknown off the record."""
    return Trigger(
        name="attendance_kept_on_delete",
        when=pgtrigger.Before,
        operation=pgtrigger.Delete,
        condition=pgtrigger.Condition("OLD.attendance_status IS DISTINCT FROM 'unknown'"),
        func=violation(SAME_ATTENDEE, "an attendee whose attendance is known stays"),
    )


def audited() -> list[Trigger]:
    """One INSERT … SELECT for a statement, be it of one row or of ten thousand.

    A note that stood before isn't this change's, where nobody claimed it.
    """

    def trigger(operation, rows, **referencing):
        return Trigger(
            name=f"attendance_audited_on_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(**referencing),
            func=f"""
                INSERT INTO event_attendance_audit
                    (attendee_id, event_id, from_status, to_status, actor_id, device_id, source, notes,
                     marked_at, db_user, created_at)
                {rows}
                RETURN NULL;
            """,
        )

    changed = """
        SELECT n.id, n.event_id, {old}, n.attendance_status, n.attendance_marked_by_id, n.attendance_device_id,
            coalesce(n.attendance_source, 'sql'), {notes}, n.attendance_marked_at, session_user, clock_timestamp()
    """
    return [
        trigger(
            pgtrigger.Insert,
            changed.format(old="'unknown'", notes="n.attendance_notes")
            + "FROM new_rows n WHERE n.attendance_status <> 'unknown' ORDER BY n.id;",
            new="new_rows",
        ),
        trigger(
            pgtrigger.Update,
            changed.format(
                old="o.attendance_status",
                notes="""CASE WHEN n.attendance_source = 'sql' AND n.attendance_notes IS NOT DISTINCT FROM
                    o.attendance_notes THEN NULL ELSE n.attendance_notes END""",
            )
            + """
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.attendance_status IS DISTINCT FROM o.attendance_status ORDER BY n.id;
            """,
            old="old_rows",
            new="new_rows",
        ),
    ]


def append_only() -> list[Trigger]:
    """The one change allowed: the note of somebody who has been erased becomes null."""
    return [
        Trigger(
            name="written_by_trigger_only",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            # 1 is a statement from outside, 2 one that the trigger on event_attendees makes.
            func=f"""
                IF pg_trigger_depth() < 2 THEN
                    {violation(APPEND_ONLY, "the attendance audit writes itself")}
                END IF;
                RETURN NULL;
            """,
        ),
        Trigger(
            name="never_deleted",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Delete,
            func=violation(APPEND_ONLY, "the attendance audit is append-only"),
        ),
        Trigger(
            name="never_updated",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=f"""
                OLD.notes := NULL;
                IF NEW IS DISTINCT FROM OLD OR NOT EXISTS (
                    SELECT FROM event_attendees a JOIN user_profiles p ON p.id = a.user_profile_id
                    WHERE a.id = NEW.attendee_id AND p.erased_at IS NOT NULL
                ) THEN
                    {violation(APPEND_ONLY, "the attendance audit is append-only")}
                END IF;
                RETURN NEW;
            """,
        ),
        never_truncated(APPEND_ONLY),
    ]
