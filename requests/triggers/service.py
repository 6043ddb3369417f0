"""The database's side of the fifth promise: no session without its request, and none taken twice, whoever writes."""

import pgtrigger

from config.database import ACTOR, REASON, Trigger, never_truncated, violation

HAS_REQUEST = "requests_servicesession_has_request"
AGREES = "requests_servicesession_agrees_with_request"
SESSION_STAYS = "requests_servicesession_stays_itself"
REQUEST_STAYS = "requests_sessionrequest_stays_itself"
OVER = "requests_sessionrequest_over_stays_over"
NOT_OWN = "requests_sessionrequest_not_ones_own"
INTAKE_STAYS = "requests_intake_stays_itself"
MECHANIC_STAYS = "requests_mechanic_stays_itself"
MECHANIC_NAMED = "requests_mechanic_named_on_record"
EVENT_OF_ORGANIZATION = "requests_mechanic_event_of_organization"
PARTICIPANTS = "requests_sessionparticipant_of_session"
MESSAGE_BY_PARTICIPANT = "requests_sessionmessage_by_participant"
MESSAGE_WHILE_OPEN = "requests_sessionmessage_while_open"
MESSAGE_STAYS = "requests_sessionmessage_stays_itself"
APPEND_ONLY = "requests_sessionrequestlog_append_only"

SIGNALS = "service_signals"
"""The table, and the name of the lock under which it is written."""


# -- A session and its request ---------------------------------------------------------------------------


def _agreement(session_id: str) -> str:
    """PL/pgSQL for a deferred trigger: an open session has its request, and the two say the same at commit.

    Reads both rows anew, as NEW and OLD may be older than the commit, and locks the session: whoever changes
    either meets the others there.
    """
    return f"""
        PERFORM FROM service_sessions WHERE id = {session_id} FOR NO KEY UPDATE;
        SELECT s.status AS session, s.mechanic_id AS of_session, r.status AS request, r.mechanic_id AS of_request
        INTO found FROM service_sessions s LEFT JOIN session_requests r ON r.session_id = s.id
        WHERE s.id = {session_id};
        IF found.session IN ('pending', 'live') AND found.request IS NULL THEN
            {violation(HAS_REQUEST, "service session % is % but has no request", session_id, "found.session")}
        ELSIF found.request IS NOT NULL AND (
            found.session <> CASE found.request
                WHEN 'unattended' THEN 'pending' WHEN 'accepted' THEN 'live' ELSE found.request
            END OR found.of_session IS DISTINCT FROM found.of_request
        ) THEN
            {violation(AGREES, "service session % is %, its request %", session_id, "found.session", "found.request")}
        END IF;
    """


def session_has_request() -> Trigger:
    return Trigger(
        name="session_has_request",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("status", "mechanic_id"),
        timing=pgtrigger.Deferred,
        declare=[("found", "record")],
        func=_agreement("NEW.id") + "RETURN NULL;",
    )


def request_of_session() -> list[Trigger]:
    """The same promise, seen from the request: in another state than its session; or deleted, at any time, as a session
    that is over would be anybody's without it."""
    return [
        Trigger(
            name="request_of_session",
            when=pgtrigger.After,
            operation=pgtrigger.Insert | pgtrigger.UpdateOf("status", "mechanic_id", "session_id"),
            timing=pgtrigger.Deferred,
            declare=[("found", "record")],
            func=_agreement("NEW.session_id") + "RETURN NULL;",
        ),
        Trigger(
            name="never_deleted",
            when=pgtrigger.Before,
            operation=pgtrigger.Delete,
            func=violation(HAS_REQUEST, "a service request is never deleted"),
        ),
        never_truncated(HAS_REQUEST),
    ]


# -- What belongs to what ----------------------------------------------------------------------------------


ORGANIZATION_OF_EVENT = """
    NEW.organization_id := coalesce(NEW.organization_id, (SELECT organization_id FROM events WHERE id = NEW.event_id));
"""


MOVED = """
    NEW.id <> OLD.id OR NEW.customer_id <> OLD.customer_id OR NEW.event_id IS DISTINCT FROM OLD.event_id
    OR NEW.organization_id <> OLD.organization_id AND pg_trigger_depth() < 2
"""
"""Deeper down it is the event that has another organisation now, and foreign keys that follow it."""


def intake_kept_right() -> Trigger:
    """The organisation is that of the event, where nobody says it; and whose it is, it stays."""
    return Trigger(
        name="kept_right",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        func=f"""
            IF TG_OP = 'INSERT' THEN
                {ORGANIZATION_OF_EVENT}
            ELSIF {MOVED} THEN
                {violation(INTAKE_STAYS, "an intake keeps its customer, its event and its organisation")}
            END IF;
            RETURN NEW;
        """,
    )


def session_kept_right() -> Trigger:
    """Whose it is, it stays, and it is that of its intake; what is over, stays over, and with whom, but for a session
    that its request contradicts; and when it ended is written along with that."""
    return Trigger(
        name="kept_right",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        declare=[("asked", "record")],
        func=f"""
            IF TG_OP = 'INSERT' THEN
                SELECT organization_id, event_id INTO asked FROM intakes WHERE id = NEW.intake_id;
                NEW.event_id := coalesce(NEW.event_id, asked.event_id);
                NEW.organization_id := coalesce(NEW.organization_id, asked.organization_id);
                {ORGANIZATION_OF_EVENT}
            ELSE
                IF {MOVED} OR OLD.intake_id IS NOT NULL AND NEW.intake_id IS DISTINCT FROM OLD.intake_id THEN
                    {violation(SESSION_STAYS, "a service session keeps its customer, its event and its intake")}
                END IF;
                IF OLD.status IN ('completed', 'cancelled') AND NEW.status <> OLD.status THEN
                    {violation(OVER, "a session that is % does not become %", "OLD.status", "NEW.status")}
                END IF;
                IF OLD.status IN ('completed', 'cancelled') AND NEW.mechanic_id IS DISTINCT FROM OLD.mechanic_id
                    AND EXISTS (
                        SELECT FROM session_requests
                        WHERE session_id = NEW.id AND mechanic_id IS DISTINCT FROM NEW.mechanic_id
                    ) THEN
                    {violation(OVER, "a session that is % keeps its mechanic", "OLD.status")}
                END IF;
            END IF;
            IF NEW.intake_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.intake_id IS DISTINCT FROM OLD.intake_id)
                AND NOT EXISTS (
                SELECT FROM intakes WHERE id = NEW.intake_id AND customer_id = NEW.customer_id
                    AND organization_id = NEW.organization_id AND event_id IS NOT DISTINCT FROM NEW.event_id
            ) THEN
                {violation(SESSION_STAYS, "a service session has the customer, event and organisation of its intake")}
            END IF;
            IF NEW.status = 'live' THEN
                NEW.started_at := coalesce(NEW.started_at, clock_timestamp());
                NEW.last_activity_at := coalesce(NEW.last_activity_at, clock_timestamp());
            END IF;
            IF NEW.status IN ('completed', 'cancelled') THEN
                NEW.ended_at := coalesce(NEW.ended_at, clock_timestamp());
            END IF;
            RETURN NEW;
        """,
    )


def request_kept_right() -> Trigger:
    """Whose it is, it stays; what is over, stays over; nobody takes their own; since when it waits, and when it was
    first accepted and closed, are written along with that."""
    return Trigger(
        name="kept_right",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        declare=[("served", "record")],
        func=f"""
            IF TG_OP = 'INSERT' THEN
                SELECT organization_id, event_id INTO served FROM service_sessions WHERE id = NEW.session_id;
                NEW.organization_id := coalesce(NEW.organization_id, served.organization_id);
                NEW.event_id := coalesce(NEW.event_id, served.event_id);
                IF NEW.event_id IS DISTINCT FROM served.event_id THEN
                    {violation(REQUEST_STAYS, "a service request has the event of its session")}
                END IF;
            ELSE
                IF {MOVED} OR NEW.session_id <> OLD.session_id
                    OR OLD.first_accepted_at IS NOT NULL AND NEW.first_accepted_at IS NULL THEN
                    {violation(REQUEST_STAYS, "a service request keeps its session, its customer and its event")}
                END IF;
                IF OLD.status IN ('completed', 'cancelled') AND NEW.status <> OLD.status THEN
                    {violation(OVER, "a request that is % does not become %", "OLD.status", "NEW.status")}
                END IF;
                IF OLD.status IN ('completed', 'cancelled') AND NEW.mechanic_id IS DISTINCT FROM OLD.mechanic_id
                    AND EXISTS (
                        SELECT FROM service_sessions
                        WHERE id = NEW.session_id AND mechanic_id IS DISTINCT FROM NEW.mechanic_id
                    ) THEN
                    {violation(OVER, "a request that is % keeps its mechanic", "OLD.status")}
                END IF;
                IF NEW.status = 'pending' AND OLD.status = 'accepted' THEN
                    NEW.waiting_since := clock_timestamp();
                    NEW.notification_sent_at := NULL;
                    NEW.told := 0;
                END IF;
            END IF;
            IF NEW.mechanic_id IS NOT NULL AND EXISTS (
                SELECT FROM mechanics WHERE id = NEW.mechanic_id AND user_profile_id = NEW.customer_id
            ) THEN
                {violation(NOT_OWN, "nobody takes their own request")}
            END IF;
            IF NEW.status = 'accepted' THEN
                NEW.first_accepted_at := coalesce(NEW.first_accepted_at, NEW.accepted_at);
            END IF;
            IF NEW.status IN ('completed', 'cancelled') THEN
                NEW.closed_at := coalesce(NEW.closed_at, clock_timestamp());
            END IF;
            RETURN NEW;
        """,
    )


def mechanic_stays_itself() -> Trigger:
    return Trigger(
        name="stays_itself",
        when=pgtrigger.Before,
        operation=pgtrigger.UpdateOf("id", "organization_id", "user_profile_id"),
        func=f"""
            IF NEW.id <> OLD.id OR NEW.organization_id <> OLD.organization_id
                OR NEW.user_profile_id <> OLD.user_profile_id THEN
                {violation(MECHANIC_STAYS, "a mechanic keeps their person and organisation")}
            END IF;
            RETURN NEW;
        """,
    )


def mechanic_named() -> Trigger:
    """Whom the record names is there to be read: who stops is made inactive."""
    return Trigger(
        name="named",
        when=pgtrigger.Before,
        operation=pgtrigger.Delete,
        func=f"""
            IF EXISTS (
                SELECT FROM session_request_log WHERE organization_id = OLD.organization_id
                    AND (from_mechanic_id = OLD.id OR to_mechanic_id = OLD.id)
            ) THEN
                {violation(MECHANIC_NAMED, "the record of service requests names this mechanic")}
            END IF;
            RETURN OLD;
        """,
    )


def participants_kept() -> Trigger:
    """Whoever the session says is its customer and its mechanic is in it, and nobody else any more.

    Who is in it already stays so; a mechanic written anew puts right what was loaded past this.
    """
    return Trigger(
        name="participants_kept",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("mechanic_id"),
        declare=[("helper", "uuid")],
        func="""
            SELECT user_profile_id INTO helper FROM mechanics WHERE id = NEW.mechanic_id;
            IF TG_OP = 'UPDATE' THEN
                UPDATE service_session_participants SET left_at = clock_timestamp()
                WHERE session_id = NEW.id AND left_at IS NULL
                    AND user_profile_id <> NEW.customer_id AND user_profile_id IS DISTINCT FROM helper;
            END IF;
            INSERT INTO service_session_participants AS one (session_id, user_profile_id, role, joined_at)
            SELECT NEW.id, person, role, clock_timestamp()
            FROM (VALUES (NEW.customer_id, 'customer'), (helper, 'mechanic')) AS wanted (person, role)
            WHERE person IS NOT NULL AND (role = 'customer' OR person <> NEW.customer_id)
            ON CONFLICT (session_id, user_profile_id) DO UPDATE
            SET left_at = NULL, role = excluded.role, joined_at = excluded.joined_at
            WHERE one.left_at IS NOT NULL OR one.role <> excluded.role;
            RETURN NULL;
        """,
    )


def participants_by_session_only() -> list[Trigger]:
    """Who is in a session reads it, so nobody is put in by hand, nor taken out."""
    refuse = violation(PARTICIPANTS, "who is in a service session follows from the session")
    return [
        Trigger(
            name="by_session_only",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
            # 1 is a statement from outside, 2 one that a trigger makes.
            func=f"""
                IF pg_trigger_depth() < 2 THEN
                    {refuse}
                END IF;
                RETURN NULL;
            """,
        ),
        never_truncated(PARTICIPANTS),
    ]


def message_of_participant() -> Trigger:
    """Only who is in a session writes in it, and only while it is open."""
    return Trigger(
        name="by_participant",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert,
        declare=[("state", "text")],
        # Nobody leaves it, and it doesn't end, before this stands.
        func=f"""
            SELECT status INTO state FROM service_sessions WHERE id = NEW.session_id FOR NO KEY UPDATE;
            IF NOT EXISTS (
                SELECT FROM service_session_participants
                WHERE session_id = NEW.session_id AND user_profile_id = NEW.author_id AND left_at IS NULL
            ) THEN
                {violation(MESSAGE_BY_PARTICIPANT, "only participants write in a service session")}
            END IF;
            IF state NOT IN ('pending', 'live') THEN
                {violation(MESSAGE_WHILE_OPEN, "nobody writes in a service session that is over")}
            END IF;
            RETURN NEW;
        """,
    )


def message_stays() -> list[Trigger]:
    """What was said stays as it was said; only what somebody erased had said is emptied."""
    refuse = violation(MESSAGE_STAYS, "what was said in a service session stays as it was said")
    return [
        Trigger(
            name="stays_itself",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=f"""
                OLD.body := NEW.body;
                IF NEW IS DISTINCT FROM OLD OR NOT EXISTS (
                    SELECT FROM user_profiles WHERE id = NEW.author_id AND erased_at IS NOT NULL
                ) THEN
                    {refuse}
                END IF;
                RETURN NEW;
            """,
        ),
        Trigger(name="never_deleted", when=pgtrigger.Before, operation=pgtrigger.Delete, func=refuse),
        never_truncated(MESSAGE_STAYS),
    ]


# -- On record ---------------------------------------------------------------------------------------------


def request_logged() -> list[Trigger]:
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
                    INSERT INTO session_request_log
                        (request_id, organization_id, from_status, to_status, from_mechanic_id, to_mechanic_id,
                        actor_id, reason, at, db_user)
                    {rows}
                    ORDER BY n.created_at, n.id
                $sql$;
                RETURN NULL;
            """,
        )

    row = f"""
        SELECT n.id, n.organization_id, {{status}}, n.status, {{mechanic}}, n.mechanic_id,
            nullif(current_setting('{ACTOR}', true), '')::uuid, coalesce(current_setting('{REASON}', true), ''),
            clock_timestamp(), session_user
        FROM new_rows n
    """
    moved = "(n.status, n.mechanic_id) IS DISTINCT FROM (o.status, o.mechanic_id)"
    return [
        trigger(pgtrigger.Insert, row.format(status="NULL", mechanic="NULL::uuid"), new="new_rows"),
        trigger(
            pgtrigger.Update,
            row.format(status="o.status", mechanic="o.mechanic_id") + f" JOIN old_rows o ON o.id = n.id WHERE {moved}",
            old="old_rows",
            new="new_rows",
        ),
    ]


# -- For screens -------------------------------------------------------------------------------------------


def _signal(operation, columns, values, unseen=(), name="signals") -> Trigger:
    """At commit, in turn: ids are given in the order in which they become visible, so that whoever has read one
    misses none before it. Not earlier, as everybody would wait for a transaction that idles.

    ``unseen``: columns that no screen shows, besides updated_at.
    """
    ignored = ", ".join(f"'{one}'" for one in ("updated_at", *unseen))
    return Trigger(
        name=name,
        when=pgtrigger.After,
        operation=operation,
        timing=pgtrigger.Deferred,
        func=f"""
            IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - ARRAY[{ignored}] = to_jsonb(OLD) - ARRAY[{ignored}] THEN
                RETURN NULL;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('{SIGNALS}', 0));
            INSERT INTO {SIGNALS} ({columns}, at) VALUES ({values}, clock_timestamp());
            RETURN NULL;
        """,
    )


def request_signals() -> Trigger:
    unseen = ("told", "notification_sent_at")
    return _signal(pgtrigger.Insert | pgtrigger.Update, "kind, session_id", "'request', NEW.session_id", unseen)


def session_signals() -> Trigger:
    return _signal(pgtrigger.Update, "kind, session_id", "'session', NEW.id")


def message_signals() -> Trigger:
    return _signal(pgtrigger.Insert | pgtrigger.Update, "kind, session_id", "'message', NEW.session_id")


def mechanic_signals() -> Trigger:
    """Whoever goes on or off duty sees another list from then on."""
    return _signal(pgtrigger.Insert | pgtrigger.Update, "kind, user_profile_id", "'mechanic', NEW.user_profile_id")


def served_events() -> list[Trigger]:
    """So does whoever serves other events from then on: those of their own organisation."""

    def signals(operation, row):
        person = f"(SELECT user_profile_id FROM mechanics WHERE id = {row}.mechanic_id)"
        return _signal(operation, "kind, user_profile_id", f"'mechanic', {person}", name=f"signals_{operation}".lower())

    def updates(operation, row):
        return Trigger(
            name=f"updates_{operation}".lower(),
            when=pgtrigger.After,
            operation=operation,
            func=f"UPDATE mechanics SET updated_at = clock_timestamp() WHERE id = {row}.mechanic_id; RETURN NULL;",
        )

    return [
        Trigger(
            name="of_organization",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert | pgtrigger.Update,
            func=f"""
                IF NOT EXISTS (
                    SELECT FROM mechanics m JOIN events e ON e.organization_id = m.organization_id
                    WHERE m.id = NEW.mechanic_id AND e.id = NEW.event_id
                ) THEN
                    {violation(EVENT_OF_ORGANIZATION, "a mechanic serves events of their own organisation")}
                END IF;
                RETURN NEW;
            """,
        ),
        *(make(operation, row) for make in (signals, updates) for operation, row in CHANGED),
    ]


CHANGED = ((pgtrigger.Insert, "NEW"), (pgtrigger.Delete, "OLD"))
