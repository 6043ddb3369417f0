"""From the outbox to the providers: at least once, with the delivery's id as the key, and nothing lost.

A message is fanned out by one INSERT … SELECT. Each channel is then emptied by tasks of its own, so
that a provider that is away holds up nobody else: rows are claimed in batches under a lease, handed
over in small chunks (``handed_at`` is written before anything leaves), and their results written at
once. A worker may die between any two steps: what was never handed over is queued again; what was
is sent again only where the provider honours the key, and is ``unknown`` else. No network within a
transaction, no database in a thread.
"""

import time
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID, uuid4

import orjson
import structlog
from django.conf import settings
from django.db import connection
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config.celery import start
from config.database import write
from config.errors import SYSTEM, DomainError, lock, operation
from config.privacy import masked

from .. import channels
from ..models import ChannelState, DeliveryStatus, Message, MessageDelivery, PushDevice
from ..models.messages import filled
from . import opt_outs, planning
from .notices import Notice, notify

log = structlog.get_logger(__name__)

BATCH, PROBE = 200, 10
"""Deliveries that one claim takes; fewer where the provider was away a moment ago."""
CHUNK = 10
"""Deliveries that are handed over together: what a worker that dies leaves in doubt, at most."""
ATTEMPTS = 6
PATIENCE = 60
"""Seconds that one task sends for, before it lets others have the worker."""
LONGEST_PAUSE = 300
NAP = 3
"""Seconds of a pause that a task waits out, rather than leave it to the sweep of the next minute."""
THROTTLED = 5
"""Seconds to wait where the provider doesn't say for how long."""
GIVE_UP = "3 days"
WITHDRAWN = gettext_lazy("Taken back by an organiser before it was sent.")


# -- Making the deliveries -----------------------------------------------------------------------


@operation
def fan_out(*, message_id) -> int:
    """Makes the deliveries of a message that has begun; how many. Locks the message; a second time: 0."""
    message = lock(Message.objects.select_related("event"), pk=message_id)
    if message.status != Message.Status.SENDING or message.stopped_at or message.fanned_out_at:
        return 0
    made = _make(message)
    log.info("message.fanned_out", message=str(message.pk), event_id=message.event_id, deliveries=made)
    if not _end(message):
        for channel in message.channels:
            start("messaging.tasks.run", channel)
    return made


def _make(message) -> int:
    made = planning.make(planning.of_audience(message))
    message.fanned_out_at = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT coalesce(user_id, guest_id)) FROM message_deliveries WHERE message_id = %s",
            [message.pk],
        )
        message.recipients = cursor.fetchone()[0]
    write([message], ["fanned_out_at", "recipients"], actor=SYSTEM, reason=f"{made:,} deliveries made")
    return made


@operation
def begin_due() -> list[UUID]:
    """Scheduled messages whose time has come go to the outbox; which. Skips what others are changing."""
    due = Message.objects.due().select_for_update(no_key=True, skip_locked=True, of=("self",)).order_by("pk")
    messages = list(due.select_related("event")[:BATCH])
    overtaken = [message for message in messages if _is_overtaken(message)]
    for message in overtaken:
        _put_back(message)
    messages = [message for message in messages if message not in overtaken]
    for message in messages:
        message.status = Message.Status.SENDING
        message.started_at = message.queued_at = timezone.now()
    if messages:
        write(messages, ["status", "started_at", "queued_at"], actor=SYSTEM, reason="its time has come")
    return [message.pk for message in messages]


KEPT = ("status", "starts_at", "ends_at")
"""What of its event a scheduled message goes by."""


def keep_on_record(event) -> None:
    """What a message is scheduled against stands in the event's history, even where raw SQL wrote the event:
    by it is told, later, what has changed. The event is locked."""
    last = event.history.first()
    if last is None or any(getattr(last, name) != getattr(event, name) for name in KEPT):
        type(event).history.bulk_history_create([event], update=True, default_change_reason="as it was found")


def _scheduled_at(message):
    """When it was scheduled last."""
    before = message.history.exclude(status=Message.Status.SCHEDULED).values_list("history_id", flat=True).first()
    records = message.history.filter(status=Message.Status.SCHEDULED, history_id__gt=before or 0)
    return records.values_list("history_date", flat=True).last() or message.updated_at


def _is_overtaken(message) -> bool:
    """The event was called off, or moved so that the message's moment was past at once, since it was
    scheduled: nobody meant it to go out like that. What else became of the event is no reason."""
    return _was_called_off(message) or _was_moved_past(message)


def _since_scheduled(message) -> list:
    """The event's records from the one that held when the message was scheduled; the oldest first."""
    at, history = _scheduled_at(message), message.event.history
    held = history.filter(history_date__lte=at).values("history_date", *KEPT).first()
    since = history.filter(history_date__gt=at).order_by("history_date", "history_id").values("history_date", *KEPT)
    return [*filter(None, [held]), *since]


def _was_called_off(message) -> bool:
    cancelled = message.event.Status.CANCELLED
    if message.event.status != cancelled:
        return False
    return any(record["status"] != cancelled for record in _since_scheduled(message))


def _was_moved_past(message) -> bool:
    if not message.anchor:
        return False
    moved_at, elsewhere = message.event.updated_at, False
    for record in reversed(_since_scheduled(message)):
        if elsewhere := record[message.anchor] != getattr(message.event, message.anchor):
            break
        moved_at = record["history_date"]
    return elsewhere and message.due_moment < moved_at


def _put_back(message):
    message.status = Message.Status.DRAFT
    message.error = (
        _("It was not sent: the event was cancelled after it had been scheduled.")
        if _was_called_off(message)
        else _("It was not sent: when the event was moved, its time was past.")
    )
    write([message], ["status", "error"], actor=SYSTEM, reason=message.error)
    if message.created_by_id:
        told = Notice(
            kind=Message.Kind.REMINDER,
            subject=_("Not sent: {}").format(message.subject or message.body[:60]),
            body=message.error + "\n\n" + _("It is a draft again. Look at it, and send or schedule it anew."),
            to=[message.created_by_id],
            event_id=message.event_id,
        )
        notify(told)


# -- Sending -----------------------------------------------------------------------------------------

CLAIM = f"""
    WITH due AS (
        SELECT d.id FROM message_deliveries d JOIN event_messages m ON m.id = d.message_id
        WHERE d.channel = %(channel)s AND d.status = 'queued' AND d.next_attempt_at <= clock_timestamp()
            AND m.stopped_at IS NULL
        ORDER BY d.next_attempt_at, d.id LIMIT %(limit)s
        FOR NO KEY UPDATE OF d SKIP LOCKED
    )
    UPDATE message_deliveries d SET
        status = 'sending', claim = %(claim)s, handed_at = NULL,
        claimed_until = clock_timestamp() + %(lease)s * interval '1 second',
        phone_number = CASE WHEN d.channel = 'sms' THEN coalesce({planning.PHONE}, d.phone_number) END,
        email = CASE WHEN d.channel = 'email' THEN coalesce({planning.EMAIL}, d.email) END
    FROM due JOIN message_deliveries AS same ON same.id = due.id
    LEFT JOIN event_guests g ON g.id = same.guest_id
    LEFT JOIN user_profiles p ON p.id = same.user_id
    WHERE d.id = due.id
"""
"""With the address as it is by now."""
WHY_NOT = planning.WHY_NOT.format(
    person="d.user_id",
    guest="d.guest_id",
    channel="d.channel",
    phone="d.phone_number",
    email="d.email",
    event="d.event_id",
)
TOKENS = "ARRAY(SELECT token FROM push_devices v WHERE v.user_id = d.user_id ORDER BY v.id)"
READ = f"""
    SELECT d.id, d.message_id, d.channel, m.kind, m.subject, m.body, d.event_id,
        coalesce(e.title, '') AS event_title, coalesce(o.name, '') AS organization,
        coalesce(nullif(g.guest_name, ''), nullif(btrim(p.first_name || ' ' || p.last_name), ''), '') AS name,
        d.phone_number, d.email, {WHY_NOT} AS why_not
    FROM message_deliveries d
    JOIN event_messages m ON m.id = d.message_id
    LEFT JOIN events e ON e.id = d.event_id
    LEFT JOIN organizations o ON o.id = e.organization_id
    LEFT JOIN event_guests g ON g.id = d.guest_id
    LEFT JOIN user_profiles p ON p.id = d.user_id
    WHERE d.claim = %(claim)s AND d.status = 'sending'
    ORDER BY d.next_attempt_at, d.id
"""
HAND_OVER = f"""
    UPDATE message_deliveries d SET
        handed_at = clock_timestamp(), attempts = d.attempts + 1,
        claimed_until = clock_timestamp() + %(lease)s * interval '1 second'
    FROM event_messages m
    WHERE m.id = d.message_id AND d.id = ANY (%(ids)s) AND d.claim = %(claim)s AND d.status = 'sending'
        AND d.claimed_until > clock_timestamp() AND m.stopped_at IS NULL
        AND NOT EXISTS (
            SELECT FROM message_channels c WHERE c.channel = d.channel AND c.paused_until > clock_timestamp()
        )
        AND {WHY_NOT} IS NULL
    RETURNING d.id, d.attempts, CASE d.channel WHEN 'push' THEN {TOKENS} END
"""
"""Asked once more at the last moment: people unsubscribe, and phones change hands, while a batch is sent."""
RESULTS = """
    UPDATE message_deliveries d SET
        status = CASE WHEN d.status IN ('sending', 'unknown') THEN one.becomes ELSE d.status END,
        error = CASE WHEN d.status IN ('sending', 'unknown') THEN one.because ELSE d.error END,
        withdrawn_at = CASE WHEN d.status IN ('sending', 'unknown') AND one.back THEN clock_timestamp() END,
        provider_id = coalesce(one.provider_id, d.provider_id),
        attempts = d.attempts - one.uncounted,
        sent_at = CASE WHEN one.status = 'sent' THEN coalesce(d.sent_at, clock_timestamp()) ELSE d.sent_at END,
        next_attempt_at = clock_timestamp() + one.wait * interval '1 second',
        handed_at = CASE WHEN one.status = 'queued' AND one.left_nothing THEN NULL ELSE d.handed_at END,
        claim = NULL, claimed_until = NULL
    FROM (
        SELECT said.*, back,
            CASE WHEN back THEN 'failed' ELSE said.status END AS becomes,
            CASE WHEN back THEN %(withdrawn)s ELSE said.error END AS because
        FROM jsonb_to_recordset(%(results)s) AS said(
            id uuid, status text, error text, provider_id text, uncounted smallint, wait float, left_nothing boolean
        )
        JOIN message_deliveries r ON r.id = said.id
        JOIN event_messages m ON m.id = r.message_id
        CROSS JOIN LATERAL (SELECT said.status = 'queued' AND m.withdrawn_at IS NOT NULL AS back) AS rest
    ) AS one
    WHERE d.id = one.id AND d.claim = %(claim)s
"""
"""What waits again of a message whose rest was taken back goes the same way."""
RELEASE = """
    UPDATE message_deliveries SET status = 'queued', claim = NULL, claimed_until = NULL
    WHERE claim = %s AND status = 'sending' AND handed_at IS NULL
"""


def run(*, channel: str, patience: float = PATIENCE) -> int:
    """Sends what waits for a channel until nothing does, the provider fails, or ``patience`` seconds are over.

    Returns how many were handed over. Any number of these may run at once.
    """
    gateway, began, handed = channels.get(channel), time.monotonic(), 0
    if channel == Message.Channel.IN_APP or gateway.off() is not None:
        return 0
    touched: set[UUID] = set()
    while (rest := _rest(channel)) <= NAP:
        time.sleep(rest)
        if time.monotonic() - began > patience:
            start("messaging.tasks.run", channel)
            break
        claim = uuid4()
        parcels, messages = claim_batch(channel=channel, claim=claim)
        if not messages:
            break
        touched |= messages
        for at in range(0, len(parcels), CHUNK):
            sent = _send(gateway, parcels[at : at + CHUNK], claim)
            handed += sent
            if not sent:
                break
        release(claim=claim)
    finish(message_ids=list(touched))
    return handed


def _rest(channel) -> float:
    """Seconds for which the channel's provider wants to be left alone."""
    paused = ChannelState.objects.filter(channel=channel, paused_until__gt=Now())
    rest = paused.values_list(ExpressionWrapper(F("paused_until") - Now(), DurationField()), flat=True).first()
    return rest.total_seconds() if rest else 0.0


def _send(gateway, chunk, claim) -> int:
    """Hands one chunk over; how many left our hands. 0: stopped, paused, or the provider is away."""
    allowed = hand_over(claim=claim, ids=[one.delivery_id for one in chunk])
    going = [
        replace(one, to=tuple(allowed[one.delivery_id].tokens)) if one.channel == "push" else one
        for one in chunk
        if one.delivery_id in allowed
    ]
    if not going:
        return 0
    said = zip(going, gateway.send(going), strict=True)
    results = [(one.delivery_id, allowed[one.delivery_id].attempts, result) for one, result in said]
    away = write_results(channel=gateway.name, claim=claim, results=results)
    return 0 if away else len(going)


@operation
def claim_batch(*, channel, claim) -> tuple[list[channels.Parcel], set[UUID]]:
    """The next deliveries of a channel are ours for a while: what goes out, and of which messages.

    Those that may not go out any more (their person unsubscribed meanwhile, say) fail here.
    """
    state = ChannelState.objects.filter(channel=channel).first()
    limit = PROBE if state and state.failures else BATCH
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM, {"channel": channel, "limit": limit, "claim": claim, "lease": settings.MESSAGE_LEASE_SECONDS}
        )
        if not cursor.rowcount:
            return [], set()
        cursor.execute(READ, {"claim": claim, "on": channels.on()})
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    refused = [row for row in rows if row["why_not"]]
    if refused:
        _write(
            claim,
            [_result(row["id"], DeliveryStatus.FAILED, error=str(planning.REASONS[row["why_not"]])) for row in refused],
        )
    return [_parcel(row) for row in rows if not row["why_not"]], {row["message_id"] for row in rows}


def _parcel(row) -> channels.Parcel:
    to = {"sms": (row["phone_number"],), "email": (row["email"],), "push": ()}[row["channel"]]
    words = {"name": row["name"], "event": row["event_title"]}
    return channels.Parcel(
        delivery_id=row["id"],
        message_id=row["message_id"],
        channel=row["channel"],
        to=to,
        name=row["name"],
        subject=filled(row["subject"], **words),
        body=filled(row["body"], **words),
        kind=row["kind"],
        event_id=row["event_id"],
        event_title=row["event_title"],
        organization=row["organization"],
        unsubscribe_url=(
            opt_outs.unsubscribe_url(delivery_id=row["id"], address=row["email"]) if row["channel"] == "email" else None
        ),
    )


class Allowed(NamedTuple):
    """What leaves: the number of this attempt, and for a push the person's devices at this moment."""

    attempts: int
    tokens: list[str] | None


@operation
def hand_over(*, claim, ids) -> dict[UUID, Allowed]:
    """Notes that these leave now, and gives those that still may: not of a message that was stopped
    meanwhile, nor to somebody who doesn't want it any more."""
    with connection.cursor() as cursor:
        given = {"claim": claim, "ids": ids, "lease": settings.MESSAGE_LEASE_SECONDS, "on": channels.on()}
        cursor.execute(HAND_OVER, given)
        return {pk: Allowed(attempts, tokens) for pk, attempts, tokens in cursor.fetchall()}


@operation
def release(*, claim) -> None:
    """What was claimed and not handed over waits again."""
    with connection.cursor() as cursor:
        cursor.execute(RELEASE, [claim])


@operation
def write_results(*, channel, claim, results) -> bool:
    """What the provider said of each (id, attempts, result); True where it is no use to go on now."""
    said = [result for _pk, _attempts, result in results]
    absent = all(isinstance(one, channels.Unreachable) for one in said)
    honours = channels.get(channel).honours_key
    _write(claim, [_outcome(pk, attempts, result, absent, honours) for pk, attempts, result in results])
    dead = [token for one in said for token in one.dead]
    if dead:
        PushDevice.objects.filter(token__in=dead).delete()
    return _note(channel, said, absent)


def _result(pk, status, *, error=None, provider_id=None, uncounted=0, wait=0.0, left_nothing=False) -> dict:
    return {
        "id": pk,
        "status": str(status),
        "error": error,
        "provider_id": provider_id,
        "uncounted": uncounted,
        "wait": wait,
        "left_nothing": left_nothing,
    }


def backoff(attempts: int) -> float:
    """Seconds until the next attempt: doubled each time."""
    return settings.MESSAGE_RETRY_SECONDS * 2 ** max(0, attempts - 1)


def _outcome(pk, attempts, result, absent, honours) -> dict:
    """The row that a result makes. A provider that is away, or asks for patience, costs no attempt."""
    match result:
        case channels.Sent():
            return _result(pk, DeliveryStatus.SENT, provider_id=result.provider_id)
        case channels.Refused():
            return _result(pk, DeliveryStatus.FAILED, error=result.reason)
        case channels.Bounced():
            return _result(pk, DeliveryStatus.BOUNCED, error=result.reason)
        case channels.Throttled():
            wait = result.after or THROTTLED
            return _result(pk, DeliveryStatus.QUEUED, error=result.reason, uncounted=1, wait=wait, left_nothing=True)
        case channels.Unreachable() if absent:
            return _result(pk, DeliveryStatus.QUEUED, error=result.reason, uncounted=1, left_nothing=True)
        case channels.Unknown() if not honours or attempts >= ATTEMPTS:
            return _result(pk, DeliveryStatus.UNKNOWN, error=result.reason)
        case _ if attempts >= ATTEMPTS:
            return _result(pk, DeliveryStatus.FAILED, error=result.reason)
    left_nothing = not isinstance(result, channels.Unknown)
    return _result(pk, DeliveryStatus.QUEUED, error=result.reason, wait=backoff(attempts), left_nothing=left_nothing)


def _write(claim, results):
    given = {"claim": claim, "results": orjson.dumps(results).decode(), "withdrawn": str(WITHDRAWN)}
    with connection.cursor() as cursor:
        cursor.execute(RESULTS, given)


# -- How the providers do ------------------------------------------------------------------------------

FAILED = """
    INSERT INTO message_channels AS c (channel, failures, paused_until, last_error, failed_at)
    VALUES (%(channel)s, %(failed)s, clock_timestamp() + %(wait)s * interval '1 second', %(error)s, clock_timestamp())
    ON CONFLICT (channel) DO UPDATE SET
        failures = c.failures + %(failed)s, last_error = %(error)s, failed_at = clock_timestamp(),
        paused_until = clock_timestamp() + least(%(longest)s, %(wait)s * 2 ^ (least(c.failures, 10) * %(failed)s))
            * interval '1 second'
"""
WORKED = """
    INSERT INTO message_channels AS c (channel, worked_at) VALUES (%s, clock_timestamp())
    ON CONFLICT (channel) DO UPDATE SET failures = 0, paused_until = NULL, worked_at = clock_timestamp()
    WHERE c.failures > 0 OR c.worked_at IS NULL OR c.worked_at < clock_timestamp() - interval '1 minute'
"""


def _note(channel, results, absent) -> bool:
    """Pauses a channel whose provider is away or asks for patience; whether it did."""
    throttled = [one for one in results if isinstance(one, channels.Throttled)]
    # One who can't take it now is their own affair; where nobody of many can, the provider is ill.
    refusing = len(results) >= CHUNK // 2
    failing = absent or refusing and all(isinstance(one, channels.TryLater | channels.Unreachable) for one in results)
    if not throttled and not failing:
        if any(isinstance(one, channels.Sent) for one in results):
            with connection.cursor() as cursor:
                cursor.execute(WORKED, [channel])
        return False
    wait = max(one.after or THROTTLED for one in throttled) if throttled else settings.MESSAGE_RETRY_SECONDS
    reason = masked((throttled or results)[0].reason)
    with connection.cursor() as cursor:
        cursor.execute(
            FAILED,
            {
                "channel": channel,
                "failed": int(failing),
                "wait": min(wait, LONGEST_PAUSE),
                "longest": LONGEST_PAUSE,
                "error": reason,
            },
        )
    log.warning("channel.paused", channel=channel, reason=reason, away=failing)
    return True


def paused(names) -> dict[str, str]:
    """The channels among these that wait for their provider, each with its last error."""
    rows = ChannelState.objects.filter(channel__in=list(names), paused_until__gt=Now())
    return dict(rows.values_list("channel", "last_error"))


# -- What is over, and what was left behind ----------------------------------------------------------


NOTICES_OVER = """
    UPDATE event_messages AS m SET
        status = CASE WHEN over.worked THEN 'sent' ELSE 'failed' END,
        finished_at = clock_timestamp(),
        error = CASE WHEN over.worked THEN '' ELSE %(words)s END
    FROM (
        SELECT one.id, EXISTS (
            SELECT FROM message_deliveries d
            WHERE d.message_id = one.id AND d.status IN ('sent', 'delivered', 'unknown')
        ) AS worked
        FROM event_messages one
        WHERE one.status = 'sending' AND one.stopped_at IS NULL AND one.kind <> 'announcement'
            AND (%(all)s OR one.id = ANY (%(ids)s::uuid[])) AND NOT EXISTS (
                SELECT FROM message_deliveries d WHERE d.message_id = one.id AND d.status IN ('queued', 'sending')
            )
        ORDER BY one.id FOR NO KEY UPDATE SKIP LOCKED
    ) AS over
    WHERE m.id = over.id
"""


def finish(*, message_ids=None) -> int:
    """Messages with nothing left to send are over; how many. Announcements get the recipients that are
    missing first; notices, of which there may be thousands, are done in one statement."""
    undecided = MessageDelivery.objects.filter(message=OuterRef("pk"), status__in=DeliveryStatus.UNDECIDED)
    over = Message.objects.running().filter(kind=Message.Kind.ANNOUNCEMENT).exclude(fanned_out_at=None)
    over = over.filter(~Exists(undecided))
    if message_ids is not None:
        over = over.filter(pk__in=message_ids)
    finished = _finish_notices(message_ids=message_ids)
    for pk in over.order_by("pk").values_list("pk", flat=True)[:BATCH]:
        finished += bool(_tried(_finish, message_id=pk))
    return finished


@operation
def _finish_notices(*, message_ids) -> int:
    with connection.cursor() as cursor:
        words = _("Nobody could be reached.")
        cursor.execute(NOTICES_OVER, {"all": message_ids is None, "ids": message_ids or [], "words": words})
        return cursor.rowcount


@operation
def _finish(*, message_id) -> bool:
    message = lock(Message.objects.select_related("event"), pk=message_id)
    if message.status != Message.Status.SENDING or message.stopped_at:
        return False
    # Not of one that was over before, or whose rest was taken back: who came since isn't meant.
    if not message.finished_at and not message.withdrawn_at and _make(message):
        for channel in message.channels:
            start("messaging.tasks.run", channel)
    return _end(message)


def _end(message) -> bool:
    """It is over where all its deliveries are decided; whether it is. The message is locked."""
    found = set(message.deliveries.order_by().values_list("status", flat=True).distinct())
    if found & DeliveryStatus.UNDECIDED:
        return False
    worked = bool(found & (DeliveryStatus.ARRIVED | {DeliveryStatus.UNKNOWN}))
    message.status = Message.Status.SENT if worked else Message.Status.FAILED
    message.finished_at = timezone.now()
    message.error = "" if worked else (_("Nobody could be reached.") if found else _("Nobody was there to get it."))
    write([message], ["status", "finished_at", "error"], actor=SYSTEM, reason="all deliveries are decided")
    log.info("message.finished", message=str(message.pk), event_id=message.event_id, status=message.status)
    return True


LEFT_BEHIND = f"""
    UPDATE message_deliveries d SET
        status = one.becomes,
        error = CASE one.becomes WHEN 'unknown' THEN %(words)s WHEN 'failed' THEN %(withdrawn)s ELSE d.error END,
        withdrawn_at = CASE WHEN one.becomes = 'failed' THEN clock_timestamp() END,
        next_attempt_at = clock_timestamp(), claimed_until = NULL,
        claim = CASE WHEN one.becomes = 'unknown' THEN d.claim END  -- a late result may settle it
    FROM (
        SELECT held.id,
            CASE
                WHEN held.handed_at IS NOT NULL
                    AND (held.channel <> ALL (%(honour)s) OR held.attempts >= {ATTEMPTS}) THEN 'unknown'
                WHEN m.withdrawn_at IS NOT NULL THEN 'failed'
                ELSE 'queued'
            END AS becomes
        FROM message_deliveries AS held JOIN event_messages m ON m.id = held.message_id
        WHERE held.status = 'sending' AND clock_timestamp() >
            coalesce(held.claimed_until, held.updated_at + %(lease)s * interval '1 second')
        ORDER BY held.id LIMIT 1000 FOR NO KEY UPDATE OF held SKIP LOCKED
    ) AS one
    WHERE d.id = one.id
"""
EXPIRED = f"""
    UPDATE message_deliveries SET status = 'failed', error = %s
    WHERE id = ANY (ARRAY(
        SELECT d.id FROM message_deliveries d JOIN event_messages m ON m.id = d.message_id
        WHERE d.status = 'queued' AND m.stopped_at IS NULL AND m.status <> 'draft'
            AND greatest(d.created_at, m.started_at, m.queued_at) < clock_timestamp() - interval '{GIVE_UP}'
        ORDER BY d.id LIMIT 1000 FOR NO KEY UPDATE OF d SKIP LOCKED
    ))
"""


@operation
def take_back() -> int:
    """Deliveries whose worker died: queued again where nothing left or the provider honours the key,
    else unknown, for a person to decide; how many."""
    honour = [name for name in channels.on() if channels.get(name).honours_key]
    with connection.cursor() as cursor:
        cursor.execute(
            LEFT_BEHIND,
            {
                "honour": honour,
                "lease": settings.MESSAGE_LEASE_SECONDS,
                "words": _("The worker died after it was handed over: it may have been sent, or not."),
                "withdrawn": str(WITHDRAWN),
            },
        )
        return cursor.rowcount


@operation
def expire() -> int:
    """What could not be handed over for days isn't news any more; how many."""
    with connection.cursor() as cursor:
        cursor.execute(EXPIRED, [_("It could not be sent for three days.")])
        return cursor.rowcount


def sweep() -> None:
    """Finds whatever a lost task or a dead worker left behind; each minute."""
    _tried(begin_due)
    for message_id in Message.objects.running().filter(fanned_out_at=None).values_list("pk", flat=True):
        _tried(fan_out, message_id=message_id)
    for act in (take_back, expire, finish):
        _tried(act)
    waiting = MessageDelivery.objects.filter(status=DeliveryStatus.QUEUED, next_attempt_at__lte=Now())
    for channel in Message.Channel.values:
        if waiting.filter(channel=channel).exists():
            start("messaging.tasks.run", channel)


def _tried(act, **arguments):
    """What the act returns; None where it fails (somebody holds the row, a message is broken), which
    doesn't keep the others waiting."""
    try:
        return act(**arguments)
    except DomainError as error:
        log.warning("message.refused", act=act.__name__, code=error.code, reason=str(error), **arguments)
    except Exception:
        log.exception("message.failed", act=act.__name__, **arguments)
    return None
