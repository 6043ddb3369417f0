"""The line: an offer holds its seats, each step is on record, and what is over stays over."""

import pgtrigger

from config.database import ACTOR, Trigger, violation

HELD = "CASE WHEN status = 'offered' THEN party_size ELSE 0 END"
"""Places that a row takes, in SQL: an offer holds its seats."""
WAITS = "CASE WHEN status = 'waiting' THEN 1 ELSE 0 END"

STAYS_ITSELF = "rsvp_waitlistentry_stays_itself"
OVER_STAYS_OVER = "rsvp_waitlistentry_over_stays_over"
FOR_ATTENDEES = "rsvp_waitlistentry_for_attendees"
SEATS_ALLOWED = "rsvp_waitlistentry_seats_allowed"
SESSION_ON = "rsvp_waitlistentry_session_on"
NOT_INSIDE = "rsvp_waitlistentry_not_inside"
APPEND_ONLY = "rsvp_waitlistlog_append_only"


def kept_right() -> Trigger:
    """Before each row. Only who joins, or asks for other seats, has their attendee looked at: a seat is
    handed on with the session locked, and attendees come before sessions in the order of locks."""
    return Trigger(
        name="kept_right",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        declare=[("attendee", "record")],
        func=f"""
            IF TG_OP = 'UPDATE' THEN
                IF NEW.id <> OLD.id OR NEW.session_id <> OLD.session_id OR NEW.attendee_id <> OLD.attendee_id THEN
                    {violation(STAYS_ITSELF, "a place in line keeps its session and attendee")}
                END IF;
                IF OLD.status NOT IN ('waiting', 'offered') AND NEW.status <> OLD.status THEN
                    {violation(OVER_STAYS_OVER, "a place that is % does not become %", "OLD.status", "NEW.status")}
                END IF;
                NEW.joined_at := OLD.joined_at;
            END IF;
            IF NEW.status NOT IN ('waiting', 'offered') THEN
                NEW.closed_at := coalesce(NEW.closed_at, clock_timestamp());
            ELSE
                NEW.closed_at := NULL;
                NEW.end_reason := '';
            END IF;
            IF NEW.closed_at IS NOT NULL OR TG_OP = 'UPDATE' AND NEW.party_size <= OLD.party_size THEN
                NEW.event_id := coalesce(NEW.event_id, (SELECT event_id FROM event_sessions WHERE id = NEW.session_id));
                RETURN NEW;
            END IF;
            SELECT event_id, status, plus_ones INTO attendee
            FROM event_attendees WHERE id = NEW.attendee_id FOR SHARE;
            IF attendee.status IS DISTINCT FROM 'active' THEN
                {violation(FOR_ATTENDEES, "lines are for attendees")}
            END IF;
            IF NEW.party_size > 1 + attendee.plus_ones THEN
                {violation(SEATS_ALLOWED, "one seat for the attendee, and one for each plus-one")}
            END IF;
            NEW.event_id := coalesce(NEW.event_id, attendee.event_id);
            RETURN NEW;
        """,
    )


def first_locked() -> list[Trigger]:
    """Before what else follows a statement (by the order of names): all its sessions in the order of their ids,
    for two counters are written after it, and neither may change where one place became another's."""
    columns = "id, session_id, status, party_size"

    def trigger(operation, rows, **referencing):
        return Trigger(
            name=f"first_locked_after_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(**referencing),
            func=f"""
                PERFORM FROM event_sessions
                WHERE id IN (SELECT session_id FROM ({rows}) AS changed) ORDER BY id FOR NO KEY UPDATE;
                RETURN NULL;
            """,
        )

    return [
        trigger(pgtrigger.Insert, "SELECT session_id FROM new_rows", new="new_rows"),
        trigger(
            pgtrigger.Update,
            f"SELECT {columns} FROM new_rows EXCEPT SELECT {columns} FROM old_rows",
            old="old_rows",
            new="new_rows",
        ),
    ]


def still_right() -> list[Trigger]:
    """After each statement and its counting (by the order of names), so with the sessions locked."""

    def trigger(operation):
        return Trigger(
            name=f"waits_rightly_after_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(new="new_rows"),
            func=f"""
                IF EXISTS (
                    SELECT FROM new_rows n JOIN event_sessions s ON s.id = n.session_id
                    WHERE n.status IN ('waiting', 'offered') AND s.status <> 'scheduled'
                ) THEN
                    {violation(SESSION_ON, "the session was cancelled")}
                END IF;
                IF EXISTS (
                    SELECT FROM new_rows n JOIN session_rsvps r
                        ON r.session_id = n.session_id AND r.attendee_id = n.attendee_id
                    WHERE n.status IN ('waiting', 'offered') AND r.status = 'confirmed'
                ) THEN
                    {violation(NOT_INSIDE, "who has a seat does not wait for one")}
                END IF;
                RETURN NULL;
            """,
        )

    return [trigger(pgtrigger.Insert), trigger(pgtrigger.Update)]


def logged() -> list[Trigger]:
    """One INSERT … SELECT for a statement, in the order of the line."""

    def trigger(operation, rows, **referencing):
        return Trigger(
            name=f"logged_after_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(**referencing),
            # Planned anew each time: a plan kept from one row would compare each of hundreds with each.
            func=f"""
                EXECUTE $sql$
                    INSERT INTO session_waitlist_log
                        (entry_id, event_id, session_id, from_status, to_status, priority, queued_at, party_size,
                        actor_id, at, db_user)
                    {rows}
                    ORDER BY n.session_id, n.priority DESC, n.queued_at, n.id
                $sql$;
                RETURN NULL;
            """,
        )

    row = f"""
        SELECT n.id, n.event_id, n.session_id, {{old}}, n.status, n.priority, n.queued_at, n.party_size,
            nullif(current_setting('{ACTOR}', true), '')::uuid, clock_timestamp(), session_user
        FROM new_rows n
    """
    moved = "(n.status, n.priority, n.queued_at, n.party_size) <> (o.status, o.priority, o.queued_at, o.party_size)"
    return [
        trigger(pgtrigger.Insert, row.format(old="NULL"), new="new_rows"),
        trigger(
            pgtrigger.Update,
            row.format(old="o.status") + f" JOIN old_rows o ON o.id = n.id WHERE {moved}",
            old="old_rows",
            new="new_rows",
        ),
    ]


def never_deleted() -> Trigger:
    return Trigger(
        name="never_deleted",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Delete,
        func=violation(STAYS_ITSELF, "places in line are closed, not deleted"),
    )
