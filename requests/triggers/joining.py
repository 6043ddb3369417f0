"""The database's side of the first promise: approved means in the room, whoever writes."""

import pgtrigger

from config.database import Trigger, violation

PLUS_ONES_ALLOWED = "requests_joinrequest_plus_ones_allowed"
APPROVED_HAS_ATTENDEE = "requests_joinrequest_approved_has_attendee"
BAN_KEEPS_OUT = "requests_ban_keeps_out"
GUEST_OF_EVENT = "requests_invitationlink_guest_of_event"


def _approved_has_attendee(request_id: str) -> str:
    """PL/pgSQL for a deferred trigger: the request's state and its attendee's agree at commit.

    Reads both rows anew, as a deferred trigger's NEW and OLD may be older than the commit, and locks
    the request: whoever changes either row meets the others there, and a snapshot that is older than
    somebody's change (REPEATABLE READ) is refused rather than believed.
    """
    return f"""
        PERFORM FROM event_join_requests WHERE id = {request_id} FOR NO KEY UPDATE;
        SELECT r.status = 'approved' AS approved, a.id IS NOT NULL AS attending INTO found
        FROM event_join_requests r
        LEFT JOIN event_attendees a ON a.join_request_id = r.id AND a.status = 'active'
        WHERE r.id = {request_id};
        IF found.approved AND NOT found.attending THEN
            {violation(APPROVED_HAS_ATTENDEE, "join request % is approved but has no active attendee", request_id)}
        ELSIF found.attending AND NOT found.approved THEN
            {violation(APPROVED_HAS_ATTENDEE, "join request % is not approved but has an active attendee", request_id)}
        END IF;
    """


def approved_has_attendee() -> Trigger:
    return Trigger(
        name="approved_has_attendee",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("status"),
        timing=pgtrigger.Deferred,
        declare=[("found", "record")],
        func=_approved_has_attendee("NEW.id") + "RETURN NULL;",
    )


def attendee_of_approved() -> Trigger:
    """The same promise, seen from the attendee: removed, deleted, or moved to another request."""
    return Trigger(
        name="attendee_of_approved",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("status", "join_request_id") | pgtrigger.Delete,
        timing=pgtrigger.Deferred,
        declare=[("found", "record")],
        func=f"""
            IF TG_OP <> 'INSERT' AND OLD.join_request_id IS NOT NULL THEN
                {_approved_has_attendee("OLD.join_request_id")}
            END IF;
            IF TG_OP <> 'DELETE' AND NEW.join_request_id IS NOT NULL THEN
                {_approved_has_attendee("NEW.join_request_id")}
            END IF;
            RETURN NULL;
        """,
    )


def plus_ones_allowed() -> Trigger:
    """A CHECK can't see the event: this one refuses more plus-ones than it allows, at the write."""
    return Trigger(
        name="plus_ones_allowed",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("plus_ones", "event_id"),
        declare=[("allowed", "integer")],
        func=f"""
            SELECT max_plus_ones INTO allowed FROM events WHERE id = NEW.event_id;
            IF NEW.plus_ones > allowed THEN
                {violation(PLUS_ONES_ALLOWED, "% plus-ones, the event allows %", "NEW.plus_ones", "allowed")}
            END IF;
            RETURN NEW;
        """,
    )


def ban_keeps_out() -> Trigger:
    """Nobody who is banned comes in, by whatever door; who was in when an event ended stays on record."""
    return Trigger(
        name="ban_keeps_out",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("status"),
        condition=pgtrigger.Condition("NEW.status = 'active'"),
        func=f"""
            IF (TG_OP = 'INSERT' OR OLD.status IS DISTINCT FROM NEW.status) AND EXISTS (
                SELECT FROM event_bans WHERE event_id = NEW.event_id AND user_profile_id = NEW.user_profile_id
            ) THEN
                {violation(BAN_KEEPS_OUT, "this person is banned from event %", "NEW.event_id")}
            END IF;
            RETURN NEW;
        """,
    )


def guest_of_event() -> Trigger:
    """Whom an invitation is for stands on the list of the same event."""
    return Trigger(
        name="guest_of_event",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("guest_id", "event_id"),
        condition=pgtrigger.Condition("NEW.guest_id IS NOT NULL"),
        func=f"""
            IF NOT EXISTS (SELECT FROM event_guests WHERE id = NEW.guest_id AND event_id = NEW.event_id) THEN
                {violation(GUEST_OF_EVENT, "guest % is not on the list of event %", "NEW.guest_id", "NEW.event_id")}
            END IF;
            RETURN NEW;
        """,
    )
