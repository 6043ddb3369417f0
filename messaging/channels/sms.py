"""SMS through Twilio's Messages API, or a provider that speaks it."""

from django.conf import settings
from django.urls import reverse

from .base import Bounced, Refused, Sent, Throttled, TryLater, Unknown, Unreachable, known_as
from .http import HttpChannel, answered, pause

LONGEST = 1600
"""Characters that the provider takes."""
NOBODY_THERE = {21211, 21214, 21217, 21610, 21614}
"""Twilio's codes: no such number, not a mobile, or its owner wrote STOP."""
VARIABLES = ("SMS_ACCOUNT_SID", "SMS_AUTH_TOKEN", "SMS_FROM")


class Sms(HttpChannel):
    name = "sms"

    @property
    def honours_key(self):
        return settings.SMS_HONOURS_KEY

    @property
    def url(self):
        return f"{settings.SMS_API_URL}/2010-04-01/Accounts/{settings.SMS_ACCOUNT_SID}/Messages.json"

    def off(self):
        if missing := [name for name in VARIABLES if not getattr(settings, name)]:
            return f"SMS is off: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set."
        return None

    def hand_over(self, http, parcel):
        own = "MessagingServiceSid" if settings.SMS_FROM.startswith("MG") else "From"
        key = str(parcel.delivery_id)
        response = http.post(
            self.url,
            auth=(settings.SMS_ACCOUNT_SID, settings.SMS_AUTH_TOKEN),
            headers={"Idempotency-Key": key, "I-Twilio-Idempotency-Token": key},
            data={
                "To": parcel.to[0],
                own: settings.SMS_FROM,
                "Body": text(parcel),
                "StatusCallback": settings.SITE_URL + reverse("sms_status", args=[parcel.delivery_id]),
            },
        )
        return _judged(response)


def text(parcel) -> str:
    """What leaves: a text that is too long is cut off."""
    words = whole(parcel)
    return words if len(words) <= LONGEST else words[: LONGEST - 1].rstrip() + "…"


def whole(parcel) -> str:
    """Subject and text, as one: an SMS has no subject."""
    return "\n".join(filter(None, (parcel.subject.strip(), parcel.body.strip()))).replace("\x00", "")


GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_TWICE = frozenset("^{}\\[~]|€\f")
"""The alphabet that most phones and networks have in common, and what takes two places in it."""


def sms_parts(text: str) -> int:
    """So many text messages it takes, and is paid for. The form's script (message.js) counts alike."""
    if all(letter in GSM or letter in GSM_TWICE for letter in text):
        size, one, each = len(text) + sum(letter in GSM_TWICE for letter in text), 160, 153
    else:
        size, one, each = len(text.encode("utf-16-be", "surrogatepass")) // 2, 70, 67
    return 1 if size <= one else -(-size // each)


def _judged(response):
    body, status = answered(response), response.status_code
    if response.is_success:
        if sid := known_as(body.get("sid")):
            return Sent(sid)
        return Unknown(f"The provider took it with an answer that makes no sense ({status}).")
    code = body.get("code")
    reason = f"{body.get('message') or response.reason_phrase} ({code or status})"
    if status == 429:
        return Throttled(reason, pause(response))
    if status in (401, 403, 404) or status < 400:
        return Unreachable(f"The provider doesn't know us, or isn't there: {reason}")
    if status >= 500 or status == 408:
        return TryLater(reason)
    nobody = isinstance(code, int) and code in NOBODY_THERE
    return Bounced(reason) if nobody else Refused(reason)
