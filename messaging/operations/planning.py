"""Who gets a message over which channel, and who doesn't and why: one plan for preview and sending."""

from dataclasses import dataclass, field

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.utils.translation import gettext_lazy as _

from .. import audiences, channels
from ..models import Message

REASONS = {
    "removed": _("removed from the guest list"),
    "closed": _("account closed"),
    "channel_off": _("the channel is off"),
    "muted": _("has turned notifications off"),
    "no_phone": _("no phone number"),
    "no_email": _("no e-mail address"),
    "no_account": _("no account yet"),
    "no_device": _("no device with the app"),
    "opted_out": _("has unsubscribed"),
}
"""Why somebody is left out of a channel."""

WHY_NOT = """
    CASE
        WHEN {person} IS NOT NULL AND NOT EXISTS (
            SELECT FROM user_profiles AS one WHERE one.id = {person} AND one.is_active AND one.erased_at IS NULL
        ) THEN 'closed'
        WHEN EXISTS (SELECT FROM event_guests AS one WHERE one.id = {guest} AND one.removed_at IS NOT NULL)
            THEN 'removed'
        WHEN {channel} = 'in_app' THEN NULL
        WHEN {channel} <> ALL (%(on)s) THEN 'channel_off'
        WHEN {channel} = 'sms' AND {phone} IS NULL THEN 'no_phone'
        WHEN {channel} = 'email' AND {email} IS NULL THEN 'no_email'
        WHEN {channel} = 'push' AND {person} IS NULL THEN 'no_account'
        WHEN {channel} = 'push' AND NOT EXISTS (SELECT FROM push_devices AS one WHERE one.user_id = {person})
            THEN 'no_device'
        WHEN {person} IS NOT NULL AND EXISTS (
            SELECT FROM event_attendees AS one
            WHERE one.event_id = {event} AND one.user_profile_id = {person} AND NOT one.notifications_enabled
        ) THEN 'muted'
        WHEN {channel} IN ('sms', 'email') AND EXISTS (
            SELECT FROM message_opt_outs AS one
            WHERE one.channel = {channel} AND one.address = CASE {channel} WHEN 'sms' THEN {phone} ELSE {email} END
                AND (one.event_id IS NULL OR one.event_id = {event})
        ) THEN 'opted_out'
    END
"""
"""Why a delivery can't go out, or null; asked when it is planned, and once more before it is handed over."""

PHONE = "coalesce(g.phone, CASE WHEN p.phone_verified THEN nullif(p.phone, '') END)"
EMAIL = "coalesce(g.email, CASE WHEN p.email_verified THEN lower(p.email) END)"
"""Where somebody is reached, in SQL: the line ``g`` of the guest list says so, else the account ``p``."""

WHY_NOT_PLANNED = WHY_NOT.format(
    person="reached.person",
    guest="reached.guest_id",
    channel="reached.channel",
    phone="reached.phone",
    email="reached.email",
    event="reached.event_id",
)
PLAN = f"""
    WITH candidate (message_id, event_id, channels, guest_id, person) AS ({{candidates}}),
    reached AS (
        SELECT r.message_id, r.event_id, r.guest_id, r.person, one.channel,
            coalesce(nullif(g.guest_name, ''), nullif(btrim(p.first_name || ' ' || p.last_name), ''), '') AS name,
            {PHONE} AS phone, {EMAIL} AS email
        FROM candidate r
        LEFT JOIN event_guests g ON g.id = r.guest_id
        LEFT JOIN user_profiles p ON p.id = r.person
        CROSS JOIN LATERAL unnest(r.channels) AS one(channel)
    ), judged AS (
        SELECT reached.*, {WHY_NOT_PLANNED} AS reason FROM reached
    ), planned AS (  -- whoever is there several times is reached once a channel, by a line that it reaches
        SELECT DISTINCT ON (message_id, coalesce(person, guest_id), channel) judged.* FROM judged
        ORDER BY message_id, coalesce(person, guest_id), channel, reason IS NOT NULL, guest_id NULLS LAST
    )
"""
INSERT = """
    INSERT INTO message_deliveries (message_id, guest_id, user_id, channel, phone_number, email, status, sent_at)
    SELECT message_id, guest_id, CASE WHEN guest_id IS NULL THEN person END, channel,
        CASE WHEN channel = 'sms' THEN phone END, CASE WHEN channel = 'email' THEN email END,
        CASE WHEN channel = 'in_app' THEN 'sent' ELSE 'queued' END,
        CASE WHEN channel = 'in_app' THEN clock_timestamp() END
    FROM planned
    WHERE reason IS NULL AND NOT EXISTS (
        SELECT FROM message_deliveries AS made
        WHERE made.message_id = planned.message_id AND made.channel = planned.channel
            AND made.user_id = planned.person
    )
    ORDER BY guest_id, person
    ON CONFLICT DO NOTHING
"""
"""In the order of guests, whom each row's trigger locks. What is there already is left alone."""


def of_audience(message: Message) -> tuple[str, dict]:
    """SQL and parameters for the candidates that the message's audience names at this moment."""
    audience = audiences.all_audiences()[message.audience]
    params = {"message": message.pk, "event": message.event_id, "channels": list(message.channels)}
    parts = [f"{HEAD}, NULL::uuid, NULL::uuid WHERE false"]
    for name, pick, columns in (
        ("guests", audience.guests, f"g.id, {WHO} FROM event_guests g WHERE g.id"),
        ("people", audience.people, "NULL::uuid, p.id FROM user_profiles p WHERE p.id"),
    ):
        if pick is None:
            continue
        rows = pick(message.event, message.audience_details)
        try:
            query = (rows.order_by().values("pk") if name == "guests" else rows.order_by()).query
            sql, values = query.sql_with_params()
        except EmptyResultSet:
            continue
        keys = [f"{name}_{number}" for number in range(len(values))]
        params |= dict(zip(keys, values, strict=True))
        for key in keys:
            sql = sql.replace("%s", f"%({key})s", 1)
        parts.append(f"{HEAD}, {columns} IN ({sql})")
    return " UNION ALL ".join(parts), params


WHO = """
    coalesce(g.user_id, CASE WHEN g.phone IS NOT NULL AND g.removed_at IS NULL THEN (
        SELECT link.person FROM messaging_link(g.id, g.event_id, NULL) AS link
    ) END)
"""
"""Whose deliveries to the line would be: of two lines that are one person, one is reached."""
HEAD = "SELECT %(message)s::uuid, %(event)s::bigint, %(channels)s::text[]"


def of_pairs(pairs: list[dict]) -> tuple[str, dict]:
    """The same for people who are named: dicts of message, event, channels ("push,email") and person."""
    sql = """
        SELECT one.message, one.event, string_to_array(one.channels, ','), NULL::uuid, one.person
        FROM jsonb_to_recordset(%(pairs)s) AS one(message uuid, event bigint, channels text, person uuid)
    """
    return sql, {"pairs": orjson.dumps(pairs).decode()}


def _run(sql, candidates, cursor):
    query, params = candidates
    cursor.execute(PLAN.format(candidates=query) + sql, params | {"on": channels.on()})


def make(candidates) -> int:
    """Writes the deliveries that are missing; how many. Inside the caller's transaction."""
    with connection.cursor() as cursor:
        _run(INSERT, candidates, cursor)
        return cursor.rowcount


@dataclass(frozen=True)
class LeftOut:
    """So many people whom a channel doesn't reach, and why; the first five by name."""

    channel: str
    reason: str
    count: int
    names: list[str]

    @property
    def words(self) -> str:
        return str(REASONS[self.reason])


@dataclass(frozen=True)
class Recipient:
    name: str
    channels: list[str]
    addresses: list[str]


@dataclass(frozen=True)
class Summary:
    """What sending would do now.

    Of the ``recipients``, ``waiting`` find it in the app alone, and only once they have an account.
    ``unreached`` get nothing at all. ``off``: channels of the message that are not set up, and why.
    """

    recipients: int
    by_channel: dict[str, int]
    left_out: list[LeftOut] = field(default_factory=list)
    unreached: int = 0
    waiting: int = 0
    sample: list[Recipient] = field(default_factory=list)
    off: dict[str, str] = field(default_factory=dict)


SAMPLE = 10


def summary(message: Message) -> Summary:
    """For the preview: counts, who is left out, a sample."""
    candidates = of_audience(message)
    with connection.cursor() as cursor:
        _run(
            """
            SELECT channel, reason, count(*), (array_agg(name ORDER BY name))[1:5]
            FROM planned GROUP BY channel, reason ORDER BY channel, reason
            """,
            candidates,
            cursor,
        )
        groups = cursor.fetchall()
        _run(
            """
            SELECT min(name) AS name, array_agg(channel ORDER BY channel) FILTER (WHERE reason IS NULL),
                array_remove(array_agg(DISTINCT CASE channel WHEN 'sms' THEN phone WHEN 'email' THEN email END)
                    FILTER (WHERE reason IS NULL), NULL),
                count(*) FILTER (WHERE reason IS NULL) > 0 AS any_reached,
                count(*) OVER (PARTITION BY count(*) FILTER (WHERE reason IS NULL) > 0)
            FROM planned GROUP BY coalesce(person, guest_id)
            ORDER BY any_reached DESC, name LIMIT %(sample)s
            """.replace("%(sample)s", str(SAMPLE)),
            candidates,
            cursor,
        )
        people = cursor.fetchall()
        _run(
            """
            SELECT count(*) FILTER (WHERE reached), count(*) FILTER (WHERE NOT reached),
                count(*) FILTER (WHERE reached AND NOT outside AND nobody)
            FROM (
                SELECT bool_or(reason IS NULL) AS reached, bool_and(person IS NULL) AS nobody,
                    bool_or(reason IS NULL AND channel <> 'in_app') AS outside
                FROM planned GROUP BY coalesce(person, guest_id)
            ) AS one
            """,
            candidates,
            cursor,
        )
        recipients, unreached, waiting = cursor.fetchone()
    off = channels.off_reasons()
    return Summary(
        recipients=recipients,
        unreached=unreached,
        waiting=waiting,
        by_channel={
            one: sum(n for c, reason, n, _names in groups if c == one and not reason) for one in message.channels
        },
        left_out=[LeftOut(c, reason, n, names) for c, reason, n, names in groups if reason],
        sample=[Recipient(name, by, addresses or []) for name, by, addresses, reached, _n in people if reached],
        off={one: str(off[one]) for one in message.channels if one in off},
    )


def count(message: Message) -> int:
    """How many people sending would reach now."""
    with connection.cursor() as cursor:
        _run(
            "SELECT count(DISTINCT coalesce(person, guest_id)) FROM planned WHERE reason IS NULL",
            of_audience(message),
            cursor,
        )
        return cursor.fetchone()[0]


def reasons(candidates) -> list[str]:
    """Why candidates are left out, in words."""
    with connection.cursor() as cursor:
        _run("SELECT DISTINCT reason FROM planned WHERE reason IS NOT NULL ORDER BY reason", candidates, cursor)
        return [str(REASONS[reason]) for (reason,) in cursor.fetchall()]
