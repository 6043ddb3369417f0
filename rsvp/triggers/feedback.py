"""Feedback is for those who were there, after it ended."""

import pgtrigger

from config.database import Trigger, violation

STAYS_ITSELF = "rsvp_sessionfeedback_stays_itself"
AFTER_END = "rsvp_sessionfeedback_after_end"
WAS_THERE = "rsvp_sessionfeedback_was_there"


ATTENDED = """CASE
                WHEN EXISTS (
                    SELECT FROM check_ins c JOIN check_in_points p ON p.id = c.point_id
                    WHERE p.session_id = {session} AND c.result = 'checked_in' AND c.undone_at IS NULL
                ) THEN EXISTS (
                    SELECT FROM check_ins c JOIN check_in_points p ON p.id = c.point_id
                    WHERE p.session_id = {session} AND c.attendee_id = {attendee}
                        AND c.result = 'checked_in' AND c.undone_at IS NULL
                )
                ELSE {capacity} IS NULL OR EXISTS (
                    SELECT FROM session_rsvps r WHERE r.session_id = {session}
                        AND r.attendee_id = {attendee} AND r.status = 'confirmed'
                )
            END"""
"""Of whoever was at the event: whether they checked in at a point of the session; where it has none, or nobody
was scanned there, whether they had a seat in it, or it had no limit of seats."""
HERE = "a.status = 'active' AND a.attendance_status IN ('present', 'late')"


def kept_right() -> Trigger:
    attended = ATTENDED.format(session="NEW.session_id", attendee="NEW.attendee_id", capacity="session.capacity")
    return Trigger(
        name="kept_right",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        declare=[("session", "record"), ("was_there", "boolean")],
        func=f"""
            IF TG_OP = 'UPDATE' THEN
                IF NEW.id <> OLD.id OR NEW.session_id <> OLD.session_id OR NEW.attendee_id <> OLD.attendee_id THEN
                    {violation(STAYS_ITSELF, "feedback keeps its session and attendee")}
                END IF;
                RETURN NEW;
            END IF;
            SELECT event_id, status, ends_at, capacity INTO session FROM event_sessions WHERE id = NEW.session_id;
            NEW.event_id := coalesce(NEW.event_id, session.event_id);
            IF session.ends_at > clock_timestamp() OR session.status <> 'scheduled' THEN
                {violation(AFTER_END, "feedback is for sessions that are over")}
            END IF;
            SELECT {attended} INTO was_there
            FROM event_attendees a
            WHERE a.id = NEW.attendee_id AND {HERE};
            IF was_there IS NOT TRUE THEN
                {violation(WAS_THERE, "feedback is for those who were there")}
            END IF;
            RETURN NEW;
        """,
    )
