"""An organiser's message from the draft to the last delivery: send, schedule, stop, go on, try again.

Every act locks the message. What it starts goes on in tasks (sending.py), which a sweep starts again.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.celery import start
from config.database import uuid7, write
from config.errors import DomainError, Outcome, lock, operation
from events.models import Event

from .. import audiences, channels
from ..models import Channel, DeliveryStatus, Kind, Message, MessageDelivery
from . import planning, sending
from .notices import Notice, notify


class MessageIncomplete(DomainError):
    code = "message_incomplete"
    status = 400
    message = _("The message can't go out yet: {what}.")


class NobodyToReach(DomainError):
    code = "nobody_to_reach"
    message = _("Nobody would get this message: {why}.")


class RecipientsChanged(DomainError):
    code = "recipients_changed"
    message = _("{now} people would get it now, not {before}. Look again before you send.")


class MessageChanged(DomainError):
    code = "message_changed"
    message = _("The message was changed since you looked at it. Look again before you send.")


class MessageStopped(DomainError):
    code = "message_stopped"
    message = _("The message is stopped. Continue it, or take the rest back, before anything is sent again.")


class NotADraft(DomainError):
    code = "not_a_draft"
    message = _("The message is {status}: that can't be done any more.")


class TimeIsPast(DomainError):
    code = "time_is_past"
    status = 400
    message = _("That time is past. Send it now, or choose a later one.")


class NothingToRetry(DomainError):
    code = "nothing_to_retry"
    message = _("There is nothing to send again here.")


class NoOwnAddress(DomainError):
    code = "no_own_address"
    message = _("A test can't reach you: {why}.")


class DeliveryInconsistent(DomainError):
    """The database's own promises about deliveries; operations keep them, raw SQL is told."""

    code = "delivery_inconsistent"
    message = _("The database refused this: a delivery has somebody it is for, stays what it is, and never goes back.")
    constraints = (
        "messaging_delivery_to_somebody",
        "messaging_delivery_guest_once",
        "messaging_delivery_user_once",
        "messaging_delivery_stays_itself",
        "messaging_delivery_guest_of_event",
        "messaging_delivery_message_first",
        "messaging_message_keeps_event",
        "messaging_delivery_never_backwards",
    )


def missing(message: Message) -> list[str]:
    """What the message still needs before it can go out, in words; whoever gets it not counted."""
    words = []
    if not message.body.strip():
        words.append(_("it has no text"))
    if not message.channels:
        words.append(_("it has no channel"))
    elif all(channel in channels.off_reasons() for channel in message.channels):
        words.append(_("none of its channels is set up"))
    if Channel.EMAIL in message.channels and not message.subject.strip():
        words.append(_("an e-mail needs a subject"))
    if message.event_id is None:
        words.append(_("it has no event"))
    if message.audience not in audiences.all_audiences():
        words.append(_("nobody is chosen to get it"))
    return [str(one) for one in words]


def fingerprint(message: Message) -> str:
    """Changes with whatever a preview shows of the message itself; whom it reaches is counted apart."""
    fields = ("event_id", "subject", "body", "channels", "audience", "audience_details", "scheduled_at", "anchor")
    seen = [getattr(message, name) for name in fields] + [str(message.anchor_offset)]
    return hashlib.sha256(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _must_be(message, seen):
    if seen is not None and seen != fingerprint(message):
        raise MessageChanged


def _check(message: Message) -> int:
    """How many it would reach now. Raises MessageIncomplete, NobodyToReach."""
    if what := missing(message):
        raise MessageIncomplete(what="; ".join(what))
    reached = planning.count(message)
    if not reached:
        left = {one.words for one in planning.summary(message).left_out}
        raise NobodyToReach(why="; ".join(sorted(left)) or _("the audience is empty"))
    return reached


def _set(message, actor, reason, **changes):
    for name, value in changes.items():
        setattr(message, name, value)
    write([message], list(changes), actor=actor, reason=reason)


@operation
def send_now(*, message_id, actor, expected: int | None = None, seen: str | None = None) -> Outcome:
    """Off it goes; a second click changes nothing. ``expected`` is the number of people that was read,
    ``seen`` the fingerprint of the message that was.

    Raises MessageIncomplete, NobodyToReach, RecipientsChanged, MessageChanged.
    """
    message = lock(Message.objects, pk=message_id)
    if not message.is_open:
        return Outcome(message, changed=False)
    _must_be(message, seen)
    reached = _check(message)
    if expected is not None and expected != reached:
        raise RecipientsChanged(now=f"{reached:,}", before=f"{expected:,}")
    begin(message, actor, "sent")
    return Outcome(message, changed=True)


def begin(message, actor, reason):
    """From draft or schedule to the outbox; the message is locked. The deliveries are made by a task."""
    now = timezone.now()
    _set(
        message, actor, reason, status=Message.Status.SENDING, started_at=now, queued_at=now, stopped_at=None, error=""
    )
    start("messaging.tasks.fan_out", str(message.pk))


@operation
def schedule(*, message_id, actor, seen: str | None = None) -> Outcome:
    """It goes out at its time, or relative to the event. ``seen``: the fingerprint of what was read. Locks the
    event too: whether it is called off or moved from now on is told by what it is now.

    Raises MessageIncomplete, TimeIsPast, NotADraft, MessageChanged.
    """
    event_id = Message.objects.filter(pk=message_id).values_list("event_id", flat=True).first()
    event = lock(Event.objects, pk=event_id) if event_id else None
    message = lock(Message.objects.select_related("event"), pk=message_id)
    if message.status == Message.Status.SCHEDULED:
        return Outcome(message, changed=False)
    _must_be_open(message)
    _must_be(message, seen)
    if what := missing(message):
        raise MessageIncomplete(what="; ".join(what))
    if message.due_moment is None:
        raise MessageIncomplete(what=_("it has no time"))
    if message.due_moment <= timezone.now():
        raise TimeIsPast
    sending.keep_on_record(event)
    _set(message, actor, "scheduled", status=Message.Status.SCHEDULED, error="")
    return Outcome(message, changed=True)


@operation
def cancel(*, message_id, actor) -> Outcome:
    """A scheduled message is a draft again. Raises NotADraft."""
    message = lock(Message.objects, pk=message_id)
    if message.status == Message.Status.DRAFT:
        return Outcome(message, changed=False)
    _must_be_open(message)
    _set(message, actor, "schedule cancelled", status=Message.Status.DRAFT)
    return Outcome(message, changed=True)


def _must_be_open(message):
    if not message.is_open:
        raise NotADraft(status=message.get_status_display().lower())


@operation
def stop(*, message_id, actor) -> Outcome:
    """Nothing more leaves; what is being handed over at this moment does. Raises NotADraft."""
    message = lock(Message.objects, pk=message_id)
    if message.status != Message.Status.SENDING:
        raise NotADraft(status=message.get_status_display().lower())
    if message.stopped_at:
        return Outcome(message, changed=False)
    _set(message, actor, "stopped", stopped_at=timezone.now())
    waiting = MessageDelivery.objects.filter(message=message, status=DeliveryStatus.QUEUED, withdrawn_at=None)
    waiting.update(withdrawn_at=Now())  # nor does it show in the app meanwhile
    return Outcome(message, changed=True)


@operation
def resume(*, message_id, actor) -> Outcome:
    """A stopped message goes on."""
    message = lock(Message.objects, pk=message_id)
    if not message.stopped_at:
        return Outcome(message, changed=False)
    MessageDelivery.objects.filter(message=message, status=DeliveryStatus.QUEUED).update(withdrawn_at=None)
    _set(message, actor, "continued", stopped_at=None, queued_at=timezone.now())
    if message.fanned_out_at is None:
        start("messaging.tasks.fan_out", str(message.pk))
    _start_channels(message)
    return Outcome(message, changed=True)


def _start_channels(message):
    for channel in message.channels:
        if channel != Channel.IN_APP:
            start("messaging.tasks.run", channel)


WAITING = Q(status=DeliveryStatus.QUEUED) | Q(status=DeliveryStatus.SENDING, handed_at=None)
"""What has not left yet."""


def waiting(messages):
    """The deliveries that ``withdraw_rest`` takes back."""
    return MessageDelivery.objects.filter(WAITING, message__in=messages)


@operation
def withdraw_rest(*, message_id, actor) -> Outcome:
    """Whatever has not left yet never will, and shows in nobody's inbox. Locks the message.

    What a worker holds at this moment leaves, or, where the provider doesn't take it, is withdrawn too
    (sending.write_results). Raises NotADraft unless it was stopped first.
    """
    message = lock(Message.objects, pk=message_id)
    if not message.stopped_at or message.status != Message.Status.SENDING:
        raise NotADraft(status=message.get_status_display().lower())
    withdrawn = waiting([message]).update(
        status=DeliveryStatus.FAILED, withdrawn_at=Now(), error=str(sending.WITHDRAWN), claim=None, claimed_until=None
    )
    fields = {"stopped_at": None, "withdrawn_at": timezone.now()}
    fields |= {} if message.fanned_out_at else {"fanned_out_at": timezone.now()}
    _set(message, actor, f"{withdrawn:,} deliveries withdrawn", **fields)
    sending.finish(message_ids=[message.pk])
    return Outcome(message, changed=True)


@operation
def send_test(*, message_id, actor) -> Outcome:
    """The message to its writer alone, over its channels, marked as a test. Raises MessageIncomplete, NoOwnAddress."""
    message = lock(Message.objects.select_related("event"), pk=message_id)
    if not message.body.strip() or not message.channels:
        raise MessageIncomplete(what="; ".join(missing(message)))
    key = f"test:{uuid7()}"
    notify(
        Notice(
            kind=Kind.TEST,
            subject=_("Test: {}").format(message.subject).strip(),
            body=message.body,
            to=[actor.pk],
            event_id=message.event_id,
            key=key,
            channels=tuple(message.channels),
        )
    )
    test = Message.objects.get(key=key)
    if not test.deliveries.exists():
        raise NoOwnAddress(why="; ".join(_why_not(test, actor, test.channels)))
    return Outcome(test, changed=True)


def left_out_of(test: Message, actor) -> dict[str, str]:
    """The channels over which a test doesn't come to the person, and why."""
    over = set(test.deliveries.values_list("channel", flat=True))
    return {one: "; ".join(_why_not(test, actor, [one])) for one in test.channels if one not in over}


def _why_not(test, actor, over) -> list[str]:
    pair = {"message": test.pk, "event": test.event_id, "channels": ",".join(over), "person": actor.pk}
    return planning.reasons(planning.of_pairs([pair]))


@operation
def copy(*, message_id, actor) -> Outcome:
    """A new draft with the same text, channels and audience, and no time."""
    message = lock(Message.objects, pk=message_id)
    draft = Message(
        event_id=message.event_id,
        subject=message.subject,
        body=message.body,
        channels=message.channels,
        audience=message.audience,
        audience_details=message.audience_details,
        created_by=actor,
    )
    draft._history_user = actor
    draft.save()
    return Outcome(draft, changed=True)


# -- Once it is out ------------------------------------------------------------------------------

AGAIN = """
    UPDATE message_deliveries AS d SET
        status = 'queued', attempts = 0, error = NULL, claim = NULL, claimed_until = NULL,
        next_attempt_at = clock_timestamp()
    WHERE d.id = ANY (%s) AND d.withdrawn_at IS NULL AND d.status IN ('failed', 'bounced', 'unknown')
"""
"""The same id: a provider that has it sends nothing twice. The address is looked up when it is claimed."""


def _again(message, rows, actor) -> int:
    if message.stopped_at:
        raise MessageStopped
    with connection.cursor() as cursor:
        cursor.execute(AGAIN, [list(rows)])
        count = cursor.rowcount
    if not count:
        raise NothingToRetry
    _set(
        message,
        actor,
        f"{count:,} sent again",
        status=Message.Status.SENDING,
        queued_at=timezone.now(),
        withdrawn_at=None,
        fanned_out_at=message.fanned_out_at or timezone.now(),
    )
    _start_channels(message)
    return count


class SentAgain(NamedTuple):
    """An Outcome that says how many deliveries it was."""

    row: Message
    changed: bool
    deliveries: int


def failed(messages):
    """The deliveries that ``retry_failed`` sends again."""
    return MessageDelivery.objects.filter(
        message__in=messages, status__in=[DeliveryStatus.FAILED, DeliveryStatus.BOUNCED], withdrawn_at=None
    )


@operation
def retry_failed(*, message_id, actor) -> SentAgain:
    """All that failed or bounced goes out once more; unknown ones are left to a person.

    Raises NothingToRetry, MessageStopped.
    """
    message = lock(Message.objects, pk=message_id)
    count = _again(message, failed([message]).values_list("pk", flat=True), actor)
    return SentAgain(message, changed=True, deliveries=count)


def _locked(delivery_id):
    delivery = MessageDelivery.objects.filter(pk=delivery_id).first()
    message = lock(Message.objects, pk=delivery.message_id if delivery else None)
    return message, lock(MessageDelivery.objects, pk=delivery_id)


@operation
def retry(*, delivery_id, actor) -> Outcome:
    """One that failed, bounced, or of which nobody knows, goes out once more. Raises NothingToRetry."""
    message, delivery = _locked(delivery_id)
    if delivery.status in DeliveryStatus.UNDECIDED:
        return Outcome(delivery, changed=False)
    _again(message, [delivery.pk], actor)
    return Outcome(delivery, changed=True)


@operation
def settle(*, delivery_id, actor, arrived: bool) -> Outcome:
    """A person says what became of a delivery of which nobody knows. Raises NothingToRetry."""
    message, delivery = _locked(delivery_id)
    if delivery.status != DeliveryStatus.UNKNOWN:
        raise NothingToRetry
    delivery.status = DeliveryStatus.SENT if arrived else DeliveryStatus.FAILED
    delivery.sent_at = timezone.now() if arrived else None
    delivery.error = str(_("Settled by {}.").format(actor))
    delivery.save(update_fields=["status", "sent_at", "error"])
    return Outcome(delivery, changed=True)


# -- Watching --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """``counts``: deliveries by channel and status; ``reasons``: why deliveries went wrong, by how many."""

    status: str
    stopped: bool
    recipients: int | None
    counts: dict[str, dict[str, int]]
    total: int
    done: int
    reasons: list[tuple[str, str, str, int]]
    paused: dict[str, str]

    @property
    def is_over(self) -> bool:
        return self.status in (Message.Status.SENT, Message.Status.FAILED)


REASONS_SHOWN = 20


def progress(message: Message) -> Progress:
    """How far the message is, in three queries."""
    counts: dict[str, dict[str, int]] = {channel: {} for channel in message.channels}
    rows = MessageDelivery.objects.filter(message=message).order_by()
    for channel, status, number in rows.values_list("channel", "status").annotate(number=Count("pk")):
        counts.setdefault(channel, {})[status] = number
    wrong = (
        rows.filter(status__in=DeliveryStatus.WRONG)
        .values_list("channel", "status", "error")
        .annotate(number=Count("pk"))
        .order_by("-number")[:REASONS_SHOWN]
    )
    total = sum(number for by in counts.values() for number in by.values())
    waiting = sum(by.get(status, 0) for by in counts.values() for status in DeliveryStatus.UNDECIDED)
    return Progress(
        status=message.status,
        stopped=message.stopped_at is not None,
        recipients=message.recipients,
        counts=counts,
        total=total,
        done=total - waiting,
        reasons=[(channel, status, error or "", number) for channel, status, error, number in wrong],
        paused=sending.paused(message.channels),
    )
