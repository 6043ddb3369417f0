"""What the database dates by its own clock, and keeps: as if it had happened when the demo says.

Only a superuser may write it otherwise. The demo's own database has no other role; with one that isn't, nothing is said
in a session, and the record stays as it was written.
"""

from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, transaction

BY = "demo"
"""Where the record says which role of the database wrote it."""

CHOOSE = """
    CREATE TEMP TABLE demo_requests AS
    SELECT r.id
    FROM session_requests r JOIN service_sessions s ON s.id = r.session_id JOIN intakes i ON i.id = s.intake_id
    WHERE starts_with(i.idempotency_key, %(key)s) AND NOT EXISTS (
        SELECT FROM session_request_log l WHERE l.request_id = r.id AND l.actor_id IS NOT NULL AND l.db_user <> %(by)s
    )
"""
"""Of requests with which people did something, the record is theirs."""

FORGET = "DELETE FROM session_request_log WHERE request_id IN (SELECT id FROM demo_requests)"

STEPS = """
    INSERT INTO session_request_log
        (request_id, organization_id, from_status, to_status, from_mechanic_id, to_mechanic_id,
        actor_id, reason, at, db_user)
    SELECT r.id, r.organization_id, lag(step.status) OVER past, step.status,
        lag(step.mechanic) OVER past, step.mechanic, step.actor, step.reason, step.at, %(by)s
    FROM session_requests r
        LEFT JOIN mechanics m ON m.id = r.mechanic_id
        CROSS JOIN LATERAL (VALUES
            (1, 'pending', NULL::uuid, r.customer_id, 'asked', r.created_at, true),
            (2, 'unattended', NULL, NULL, 'unattended', r.created_at + %(unattended)s, r.status = 'unattended' OR
                coalesce(r.first_accepted_at, r.closed_at, r.created_at) > r.created_at + %(unattended)s),
            (3, 'accepted', r.mechanic_id, m.user_profile_id, 'accepted', r.accepted_at, r.accepted_at IS NOT NULL),
            (4, 'completed', r.mechanic_id, m.user_profile_id, 'completed', r.closed_at, r.status = 'completed'),
            (5, 'cancelled', r.mechanic_id, r.customer_id, 'cancelled', r.closed_at, r.status = 'cancelled')
        ) AS step (place, status, mechanic, actor, reason, at, happened)
    WHERE r.id IN (SELECT id FROM demo_requests) AND step.happened
    WINDOW past AS (PARTITION BY r.id ORDER BY step.place)
    ORDER BY step.at, r.id, step.place
"""


@contextmanager
def rewritten():
    """A cursor for which triggers keep nothing; None where the demo's role may not have one."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser') = 'on'")
        if not cursor.fetchone()[0]:
            yield None
            return
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield cursor
        cursor.execute("SET LOCAL session_replication_role = origin")


def write_steps(*, key: str, unattended: timedelta) -> None:
    """Of the requests whose intakes' keys begin with ``key``. ``unattended``: how long one waits until it is."""
    with rewritten() as cursor:
        if cursor is not None:
            for statement in (CHOOSE, FORGET, STEPS, "DROP TABLE demo_requests"):
                cursor.execute(statement, {"key": key, "by": BY, "unattended": unattended})
