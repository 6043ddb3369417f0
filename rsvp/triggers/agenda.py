"""On sessions and attendees: what a session's cancelling, or a person's leaving, does to seats and lines."""

import pgtrigger

from config.database import Trigger


def of_sessions() -> list[Trigger]:
    """Rows only whose condition holds: a seat that is taken changes a session as well, and costs nothing here.

    Who had a seat, or waits for one, is told of every change (session_changes).
    """
    columns = ("status", "title", "starts_at", "ends_at", "room_id")
    changed = " OR ".join(f"NEW.{one} IS DISTINCT FROM OLD.{one}" for one in columns)
    return [
        Trigger(
            name="change_kept_for_telling",
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition(changed),
            func="""
                IF EXISTS (SELECT FROM session_rsvps WHERE session_id = OLD.id)
                    OR EXISTS (SELECT FROM session_waitlist WHERE session_id = OLD.id)
                THEN
                    INSERT INTO session_changes (event_id, session_id, status, title, starts_at, ends_at, room_name)
                    VALUES (OLD.event_id, OLD.id, OLD.status, OLD.title, OLD.starts_at, OLD.ends_at,
                        coalesce((SELECT name FROM event_rooms WHERE id = OLD.room_id), ''));
                END IF;
                RETURN NULL;
            """,
        ),
        Trigger(
            name="seats_given_up_when_cancelled",
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition("NEW.status = 'cancelled' AND OLD.status <> 'cancelled'"),
            func="""
                UPDATE session_rsvps SET
                    status = 'cancelled', cancelled_at = clock_timestamp(), end_reason = 'session_cancelled'
                WHERE session_id = NEW.id AND status = 'confirmed';
                UPDATE session_waitlist SET
                    status = 'left', closed_at = clock_timestamp(), end_reason = 'session_cancelled'
                WHERE session_id = NEW.id AND status IN ('waiting', 'offered');
                RETURN NULL;
            """,
        ),
        Trigger(
            name="offers_end_by_the_start",
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition("NEW.starts_at < OLD.starts_at"),
            func="""
                UPDATE session_waitlist SET offer_expires_at = NEW.starts_at
                WHERE session_id = NEW.id AND status = 'offered' AND offer_expires_at > NEW.starts_at;
                RETURN NULL;
            """,
        ),
    ]


def of_attendees() -> list[Trigger]:
    """Who is no attendee any more has no seats and waits for none, in the same transaction; who may bring
    fewer has fewer seats. Those seats go to the lines at the next sweep.

    Most updates of attendees are check-ins, for which one comparison without a join is all this costs.
    Sessions are locked before their rows, in the order of their ids.
    """
    gone = """
        SELECT id, plus_ones FROM old_rows WHERE status = 'active'
        EXCEPT SELECT id, plus_ones FROM new_rows WHERE status = 'active'
    """
    return [
        Trigger(
            name="seats_given_up_when_removed",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"),
            declare=[("changed", "uuid[]")],
            func=f"""
                changed := ARRAY(SELECT id FROM ({gone}) AS one);
                IF changed = '{{}}' THEN
                    RETURN NULL;
                END IF;
                PERFORM FROM event_sessions WHERE id IN (
                    SELECT session_id FROM session_rsvps WHERE attendee_id = ANY (changed) AND status = 'confirmed'
                    UNION
                    SELECT session_id FROM session_waitlist
                    WHERE attendee_id = ANY (changed) AND status IN ('waiting', 'offered')
                ) ORDER BY id FOR NO KEY UPDATE;
                UPDATE session_rsvps AS r SET
                    seats = least(r.seats, 1 + a.plus_ones),
                    status = CASE WHEN a.status = 'active' THEN r.status ELSE 'cancelled' END,
                    cancelled_at = CASE WHEN a.status = 'active' THEN NULL ELSE clock_timestamp() END,
                    end_reason = CASE WHEN a.status = 'active' THEN '' ELSE 'removed' END
                FROM event_attendees AS a
                WHERE a.id = r.attendee_id AND r.attendee_id = ANY (changed) AND r.status = 'confirmed'
                    AND (a.status <> 'active' OR r.seats > 1 + a.plus_ones);
                UPDATE session_waitlist AS w SET
                    party_size = least(w.party_size, 1 + a.plus_ones),
                    status = CASE WHEN a.status = 'active' THEN w.status ELSE 'left' END,
                    closed_at = CASE WHEN a.status = 'active' THEN NULL ELSE clock_timestamp() END,
                    end_reason = CASE WHEN a.status = 'active' THEN '' ELSE 'removed' END
                FROM event_attendees AS a
                WHERE a.id = w.attendee_id AND w.attendee_id = ANY (changed) AND w.status IN ('waiting', 'offered')
                    AND (a.status <> 'active' OR w.party_size > 1 + a.plus_ones);
                RETURN NULL;
            """,
        )
    ]
