"""Seats in sessions: counted, bounded, and for those who are in the event's room."""

import pgtrigger

from config.database import Trigger, violation

SEATS = "CASE WHEN status = 'confirmed' THEN seats ELSE 0 END"
"""Places that a row takes, in SQL."""

STAYS_ITSELF = "rsvp_sessionrsvp_stays_itself"
FOR_ATTENDEES = "rsvp_sessionrsvp_for_attendees"
SEATS_ALLOWED = "rsvp_sessionrsvp_seats_allowed"
SESSION_ON = "rsvp_sessionrsvp_session_on"
NOT_IN_LINE = "rsvp_sessionrsvp_not_in_line"


def kept_right() -> Trigger:
    """Before each row. ``rsvp_at`` is the first time, whatever is written later."""
    return Trigger(
        name="kept_right",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        declare=[("attendee", "record")],
        func=f"""
            IF TG_OP = 'UPDATE' THEN
                IF NEW.id <> OLD.id OR NEW.session_id <> OLD.session_id OR NEW.attendee_id <> OLD.attendee_id THEN
                    {violation(STAYS_ITSELF, "an RSVP keeps its session and attendee")}
                END IF;
                NEW.rsvp_at := OLD.rsvp_at;
            END IF;
            IF NEW.status <> 'confirmed' THEN
                NEW.cancelled_at := coalesce(NEW.cancelled_at, clock_timestamp());
                NEW.event_id := coalesce(NEW.event_id, (SELECT event_id FROM event_sessions WHERE id = NEW.session_id));
                RETURN NEW;
            END IF;
            SELECT event_id, status, plus_ones INTO attendee
            FROM event_attendees WHERE id = NEW.attendee_id FOR SHARE;
            IF attendee.status IS DISTINCT FROM 'active' THEN
                {violation(FOR_ATTENDEES, "RSVPs are for attendees")}
            END IF;
            IF NEW.seats > 1 + attendee.plus_ones THEN
                {violation(SEATS_ALLOWED, "one seat for the attendee, and one for each plus-one")}
            END IF;
            NEW.event_id := coalesce(NEW.event_id, attendee.event_id);
            NEW.cancelled_at := NULL;
            NEW.end_reason := '';
            IF TG_OP = 'INSERT' THEN
                NEW.confirmed_at := clock_timestamp();
            ELSIF OLD.status <> 'confirmed' THEN
                NEW.confirmed_at := clock_timestamp();
            END IF;
            RETURN NEW;
        """,
    )


def first_locked() -> Trigger:
    """Before what else follows an UPDATE (by the order of names): its sessions, also those whose count stays
    as it is because one person's seats became another's."""
    return Trigger(
        name="first_locked_after_update",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"),
        func="""
            PERFORM FROM event_sessions WHERE id IN (
                SELECT session_id FROM (
                    SELECT id, session_id, status, seats FROM new_rows
                    EXCEPT SELECT id, session_id, status, seats FROM old_rows
                ) AS changed
            ) ORDER BY id FOR NO KEY UPDATE;
            RETURN NULL;
        """,
    )


def still_right() -> list[Trigger]:
    """After each statement and its counting (by the order of names), so with the sessions locked."""

    def trigger(operation):
        return Trigger(
            name=f"still_right_after_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(new="new_rows"),
            func=f"""
                IF EXISTS (
                    SELECT FROM new_rows n JOIN event_sessions s ON s.id = n.session_id
                    WHERE n.status = 'confirmed' AND s.status <> 'scheduled'
                ) THEN
                    {violation(SESSION_ON, "the session was cancelled")}
                END IF;
                IF EXISTS (
                    SELECT FROM new_rows n JOIN session_waitlist w
                        ON w.session_id = n.session_id AND w.attendee_id = n.attendee_id
                    WHERE n.status = 'confirmed' AND w.status IN ('waiting', 'offered')
                ) THEN
                    {violation(NOT_IN_LINE, "a place in line is closed before its seat is confirmed")}
                END IF;
                RETURN NULL;
            """,
        )

    return [trigger(pgtrigger.Insert), trigger(pgtrigger.Update)]
