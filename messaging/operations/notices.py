"""The system's own messages to people with accounts: one door for all parts of Turnout."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import orjson
from django.db import connection

from config.celery import start
from config.database import uuid7

from ..models import Channel, Kind, Message
from . import planning

APP, QUIET, LOUD = (
    (Channel.IN_APP,),
    (Channel.IN_APP, Channel.PUSH),
    (Channel.IN_APP, Channel.PUSH, Channel.EMAIL),
)
CHANNELS = {
    Kind.JOIN_DECISION: LOUD,
    Kind.WAITLIST_OFFER: (*LOUD, Channel.SMS),
    Kind.SESSION_CHANGED: LOUD,
    Kind.REMINDER: QUIET,
    Kind.SERVICE_REQUEST: QUIET,
    Kind.REQUESTS: LOUD,
    Kind.DOOR: QUIET,
    Kind.TEST: APP,
}
"""What each kind goes over unless its notice says otherwise; announcements say so themselves."""


@dataclass(frozen=True)
class Notice:
    """One text for some people. ``to``: UserProfile ids. ``key``: the same one is told once, ever.

    ``about``: whom else it names, on which lines of the body (texts.naming), so that they can be forgotten.
    """

    kind: str
    subject: str
    body: str
    to: Iterable[UUID]
    event_id: int | None = None
    key: str | None = None
    channels: tuple[str, ...] | None = None
    about: Mapping[UUID, list[int]] = field(default_factory=dict)


INSERT = """
    INSERT INTO event_messages
        (id, event_id, kind, subject, body, channels, status, started_at, fanned_out_at, finished_at, recipients, key,
        audience_details)
    SELECT one.id, one.event, one.kind, one.subject, one.body, string_to_array(one.channels, ','), one.status,
        clock_timestamp(), clock_timestamp(), CASE WHEN one.status = 'sent' THEN clock_timestamp() END,
        one.recipients, one.key, one.audience_details
    FROM jsonb_to_recordset(%s) AS one(
        id uuid, event bigint, kind text, subject text, body text, channels text, status text, recipients integer,
        key text, audience_details jsonb
    )
    ON CONFLICT (key) DO NOTHING
    RETURNING id
"""


def notify(*notices: Notice) -> int:
    """Tells people, inside the caller's transaction: rolled back, nobody hears; committed, all do.

    Two statements however many notices there are. Returns how many are new: a ``key`` that was
    told before is left alone. Who has muted the event, or a channel, gets it in the app only.
    """
    assert connection.in_atomic_block, "notify belongs inside the transaction of what it tells"
    rows, people = [], {}
    for one in notices:
        to = list(dict.fromkeys(one.to))
        over = one.channels or CHANNELS[one.kind]
        if not to:
            continue
        pk = uuid7()
        people[pk] = (to, over, one.event_id)
        rows.append(
            {
                "id": pk,
                "event": one.event_id,
                "kind": str(one.kind),
                "subject": one.subject[: Message._meta.get_field("subject").max_length],
                "body": one.body,
                "channels": ",".join(over),
                "status": Message.Status.SENT if set(over) == {Channel.IN_APP} else Message.Status.SENDING,
                "recipients": len(to),
                "key": one.key,
                "audience_details": {"about": one.about} if one.about else {},
            }
        )
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [orjson.dumps(rows, default=str, option=orjson.OPT_NON_STR_KEYS).decode()])
        made = [pk for (pk,) in cursor.fetchall()]
    pairs = [
        {"message": pk, "event": people[pk][2], "channels": ",".join(people[pk][1]), "person": person}
        for pk in made
        for person in people[pk][0]
    ]
    if pairs:
        planning.make(planning.of_pairs(pairs))
        for channel in sorted({channel for pk in made for channel in people[pk][1]} - {Channel.IN_APP}):
            start("messaging.tasks.run", str(channel))
    return len(made)
