"""Sends the letters about accounts that wait in the outbox (events.operations.letters).

Mail goes by Django's backend, which without a mail server writes files; SMS by its channel. A letter
is claimed, written, sent and recorded by itself: what it is about is as fresh as can be, and a
worker that is killed has at most one to be sent again.
"""

import smtplib
import uuid
from datetime import timedelta

import structlog
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError
from config.privacy import masked
from events.models import AccountLetter
from events.operations.letters import LONGEST, Text, written

from .. import channels
from ..models import Channel, OptOut

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)
"""Longer than any mail server is waited for."""
ATTEMPTS = 8
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
IN_A_ROW = 3
"""After so many failures on end whatever sends is away: the rest waits for the next sweep."""
AT_ONCE = 200
"""Letters of one run; the next goes on."""

KEYS = uuid.UUID("6f1c2a52-5d0e-4d8e-9a63-0d9b8f3a7c11")
"""Of this namespace are the ids under which an SMS provider knows letters."""


class SmsOff(DomainError):
    code = "sms_off"
    message = _("This site sends no SMS, so that no number can be verified.")


class Failed(Exception):
    """Why a letter couldn't be sent. ``final``: it never can."""

    def __init__(self, reason, *, final=False):
        super().__init__(reason)
        self.final = final


def send() -> int:
    """Sends what is due; gives how many went out. Any number of workers may do so at once."""
    sent = failures = 0
    for _number in range(AT_ONCE):
        if failures == IN_A_ROW or (letter := _claim()) is None:
            break
        outcome = _send(letter)
        sent += outcome is True
        failures = failures + 1 if outcome is False else 0
    return sent


def _claim() -> AccountLetter | None:
    """The one that is due longest, this worker's for LEASE."""
    now = timezone.now()
    with transaction.atomic():
        letter = (
            AccountLetter.objects.filter(Q(claimed_until=None) | Q(claimed_until__lt=now), sent_at=None, error="")
            .filter(next_attempt_at__lte=now)
            .order_by("next_attempt_at", "pk")
            .select_for_update(skip_locked=True)
            .first()
        )
        if letter is not None:
            letter.claimed_until, letter.attempts = now + LEASE, letter.attempts + 1
            letter.save(update_fields=["claimed_until", "attempts"])
    return letter


def _send(letter) -> bool | None:
    """Whether it went out; None where there was no point."""
    mine = AccountLetter.objects.filter(pk=letter.pk, claimed_until=letter.claimed_until)
    try:
        text = written(letter)
        if text is None:
            mine.delete()  # it may name somebody who has nothing to do with us
            return None
        SENDERS[letter.channel](letter, text)
    except Exception as error:  # one letter that can't be made must not keep the others
        _fail(letter, mine, error)
        return False
    mine.update(sent_at=timezone.now(), claimed_until=None)
    return True


def _fail(letter, mine, error):
    now, reason = timezone.now(), str(error) or repr(error)
    final = getattr(error, "final", False) or letter.attempts >= ATTEMPTS or now - letter.created_at > LONGEST
    pause = min(FIRST_PAUSE * 4 ** (letter.attempts - 1), LONGEST_PAUSE)
    mine.update(claimed_until=None, next_attempt_at=now + pause, error=reason if final else "")
    tell = log.warning if isinstance(error, (Failed, OSError)) else log.exception
    tell(
        "letter.failed",
        letter_id=letter.pk,
        kind=letter.kind,
        attempt=letter.attempts,
        final=final,
        reason=masked(reason),
    )


def _by_email(letter, text: Text):
    try:
        EmailMessage(text.subject, text.body, to=[text.to]).send()
    except smtplib.SMTPRecipientsRefused as refusal:
        [(code, words)] = refusal.recipients.values()
        raise Failed(f"{code} {words!r}", final=500 <= code < 600) from refusal


def _by_sms(letter, text: Text):
    sms = channels.get("sms")
    if why := sms.off():
        raise Failed(why)
    if OptOut.objects.filter(channel=Channel.SMS, address=text.to, event=None).exists():
        raise Failed("The number's owner wants no SMS.", final=True)
    key = uuid.uuid5(KEYS, str(letter.pk))
    [result] = sms.send(
        [
            channels.Parcel(
                delivery_id=key,
                message_id=key,
                channel="sms",
                to=(text.to,),
                name="",
                subject=text.subject,
                body=text.body,
                kind=letter.kind,
                event_id=None,
                event_title="",
                organization="",
            )
        ]
    )
    if isinstance(result, (channels.Sent, channels.Unknown)):  # a second code would only confuse
        return
    raise Failed(result.reason, final=isinstance(result, (channels.Refused, channels.Bounced)))


SENDERS = {AccountLetter.Channel.EMAIL: _by_email, AccountLetter.Channel.SMS: _by_sms}
