"""How long customers wait, and what each mechanic did. Nothing here is stored; two queries, whatever they find."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Period(TextChoices):
    TODAY = "today", _("Today")
    WEEK = "7", _("7 days")
    MONTH = "30", _("30 days")
    ALL = "all", _("All")


MIDNIGHT = """date_trunc('day', %(at)s::timestamptz AT TIME ZONE coalesce(event.timezone, 'UTC'))
    AT TIME ZONE coalesce(event.timezone, 'UTC')"""
"""Today is a day of the event's own clock; of UTC's, where a request belongs to none."""

BEGINS = {
    Period.TODAY: MIDNIGHT,
    Period.WEEK: "%(at)s::timestamptz - interval '7 days'",
    Period.MONTH: "%(at)s::timestamptz - interval '30 days'",
    Period.ALL: "'-infinity'::timestamptz",
}


@dataclass
class Waits:
    """Of the requests that were made in a period. ``median`` and ``p95``: until the first acceptance, None where
    nothing was accepted. ``unattended``: those that ever were. ``cancelled``: while they waited, but not because the
    same customer asked anew. ``open_now``: whenever they were made."""

    asked: int
    accepted: int
    median: timedelta | None
    p95: timedelta | None
    unattended: int
    cancelled: int
    open_now: int

    @property
    def share(self) -> float | None:
        """Of unattended ones, between 0 and 1; None where nobody asked."""
        return self.unattended / self.asked if self.asked else None


@dataclass
class Work:
    """What a mechanic did in a period. ``taken``: accepted, or given to them by an organiser; ``back``: handed back,
    by themselves or an organiser, or by going off duty; ``idle``: gone back as they did nothing. ``median``: from when
    a request began to wait, that time, until they accepted it themselves."""

    id: UUID
    name: str
    active: bool
    taken: int
    completed: int
    back: int
    idle: int
    median: timedelta | None


OPEN = "('pending', 'unattended')"

WAITS = """
    WITH asked AS (
        SELECT request.id, request.status, request.first_accepted_at - request.created_at AS waited,
            request.created_at >= {begins} AS counts
        FROM session_requests AS request LEFT JOIN events AS event ON event.id = request.event_id
        WHERE request.organization_id = ANY(%(organizations)s) AND {of_event}
            AND (request.created_at >= {begins} OR request.closed_at IS NULL)
    ), steps AS (
        SELECT bool_or(log.to_status = 'unattended') AS unattended,
            bool_or(log.to_status = 'cancelled' AND log.from_status IN {open} AND log.reason <> 'replaced') AS cancelled
        FROM session_request_log AS log JOIN asked ON asked.id = log.request_id AND asked.counts
        WHERE log.to_status IN ('unattended', 'cancelled')
        GROUP BY log.request_id
    )
    SELECT count(*) FILTER (WHERE counts) AS asked,
        count(waited) FILTER (WHERE counts) AS accepted,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) FILTER (WHERE counts) AS median,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) FILTER (WHERE counts) AS p95,
        (SELECT count(*) FROM steps WHERE unattended) AS unattended,
        (SELECT count(*) FROM steps WHERE cancelled) AS cancelled,
        count(*) FILTER (WHERE status IN {open}) AS open_now
    FROM asked
"""

WORK = """
    WITH steps AS (
        SELECT log.id, log.request_id, log.from_status, log.to_status, log.from_mechanic_id, log.to_mechanic_id,
            log.reason, log.at
        FROM session_request_log AS log
            JOIN session_requests AS request ON request.id = log.request_id
            LEFT JOIN events AS event ON event.id = request.event_id
        WHERE log.organization_id = ANY(%(organizations)s) AND {of_event} AND log.at >= {begins}
    ), taken AS (
        SELECT steps.*, at - (
            SELECT max(before.at) FROM session_request_log AS before
            WHERE before.request_id = steps.request_id AND before.id < steps.id AND before.to_status = 'pending'
        ) AS waited
        FROM steps WHERE to_status = 'accepted' AND from_status IN {open} AND reason <> 'takeover'
    ), done AS (
        SELECT to_mechanic_id AS mechanic_id,
            count(*) FILTER (WHERE to_status = 'accepted') AS taken,
            count(*) FILTER (WHERE to_status = 'completed') AS completed,
            0 AS back,
            0 AS idle,
            NULL::interval AS median
        FROM steps WHERE to_status IN ('accepted', 'completed') AND to_mechanic_id IS NOT NULL
        GROUP BY to_mechanic_id
        UNION ALL
        SELECT to_mechanic_id, 0, 0, 0, 0, percentile_cont(0.5) WITHIN GROUP (ORDER BY waited)
        FROM taken GROUP BY to_mechanic_id
        UNION ALL
        SELECT from_mechanic_id, 0, 0, count(*) FILTER (WHERE reason <> 'idle'),
            count(*) FILTER (WHERE reason = 'idle'), NULL
        FROM steps WHERE from_status = 'accepted' AND to_status = 'pending' AND from_mechanic_id IS NOT NULL
        GROUP BY from_mechanic_id
    )
    SELECT mechanics.id, coalesce(nullif(mechanics.display_name, ''), nullif(trim(both from concat_ws(' ',
            people.first_name, people.last_name)), ''), people.email, '') AS name,
        mechanics.active, sum(taken)::int AS taken, sum(completed)::int AS completed, sum(back)::int AS back,
        sum(idle)::int AS idle, max(median) AS median
    FROM done JOIN mechanics ON mechanics.id = done.mechanic_id
        JOIN user_profiles AS people ON people.id = mechanics.user_profile_id
    GROUP BY mechanics.id, people.id
    ORDER BY taken DESC, name, mechanics.id
"""


def waits(organization_ids, period: Period, *, event_id=None, at: datetime | None = None) -> Waits:
    """Of these organisations, or of one event of theirs. ``at``: by default, now."""
    [row] = _rows(WAITS, organization_ids, period, event_id, at)
    return Waits(*row)


def work(organization_ids, period: Period, *, event_id=None, at: datetime | None = None) -> list[Work]:
    """Of every mechanic who did anything, the busiest first."""
    return [Work(*row) for row in _rows(WORK, organization_ids, period, event_id, at)]


def _rows(sql, organization_ids, period, event_id, at) -> list[tuple]:
    of_event = "request.event_id = %(event)s" if event_id is not None else "true"
    known = {"organizations": list(organization_ids), "event": event_id, "at": at or timezone.now()}
    with connection.cursor() as cursor:
        cursor.execute(sql.format(begins=BEGINS[Period(period)], of_event=of_event, open=OPEN), known)
        return cursor.fetchall()
