"""E-mail by SMTP, through Django's backend; one connection for all parcels of a call."""

import contextlib
import smtplib
from email.utils import parseaddr, quote
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.message import sanitize_address
from django.template.loader import render_to_string

from config import mail

from .base import (
    BROKE,
    Bounced,
    Channel,
    Parcel,
    Refused,
    Sent,
    Throttled,
    TryLater,
    Unknown,
    Unreachable,
    broke,
    one_line,
)

LOSSES = 3
"""So many broken connections in one call, and the rest isn't tried."""
TOO_BUSY = 421
GO_AHEAD = 354


class Watched:
    """An SMTP client that knows whether a message's data has begun to leave."""

    leaving = False

    def getreply(self):
        code, text = super().getreply()
        self.leaving = self.leaving or code == GO_AHEAD
        return code, text


class WatchedSMTP(Watched, smtplib.SMTP):
    pass


class WatchedSSL(Watched, smtplib.SMTP_SSL):
    pass


class Backend(EmailBackend):
    @property
    def connection_class(self):
        return WatchedSSL if self.use_ssl else WatchedSMTP

    def lose(self):
        """Let go of a connection that is no good, without a word to it."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Email(Channel):
    name = "email"

    def off(self):
        if not settings.EMAIL_URL:
            return "E-mail is off: EMAIL_URL, the address of the mail server, is not set."
        if urlsplit(settings.EMAIL_URL).scheme not in mail.PORTS:
            return (
                "E-mail is off: EMAIL_URL isn't the address of an SMTP server, like smtp+tls://user:password@host:587."
            )
        return None

    def deliver(self, parcels):
        backend, results, losses, end = _backend(), [], 0, None
        try:
            for parcel in parcels:
                result = end or _hand_over(backend, parcel)
                results.append(result)
                losses += backend.connection is None
                if isinstance(result, (Unreachable, Throttled)):
                    end = result  # the others would fare alike
                elif losses == LOSSES:
                    end = Unreachable("The mail server keeps breaking the connection.")
        finally:
            with contextlib.suppress(OSError):
                backend.close()
        return results


def _backend() -> Backend:
    found = mail.settings_of(settings.EMAIL_URL)
    return Backend(
        host=found["EMAIL_HOST"],
        port=found["EMAIL_PORT"],
        username=found["EMAIL_HOST_USER"] or "",
        password=found["EMAIL_HOST_PASSWORD"] or "",
        use_tls=found.get("EMAIL_USE_TLS", False),
        use_ssl=found.get("EMAIL_USE_SSL", False),
        timeout=settings.EMAIL_TIMEOUT,
    )


def _hand_over(backend, parcel):
    try:
        sender, receiver = _envelope(_sender()), _envelope(parcel.to[0])
        data = letter(parcel).message().as_bytes(linesep="\r\n")
    except ValueError as error:
        return Refused(f"No letter can be made for this address: {error}")
    except Exception:
        broke("email", delivery_id=str(parcel.delivery_id))
        return TryLater(BROKE)
    if backend.connection is None:
        try:
            backend.open()
            backend.connection.ehlo_or_helo_if_needed()
        except (OSError, UnicodeError) as error:  # smtplib's errors are OSErrors too
            backend.lose()
            return Unreachable(f"No connection to the mail server: {_words(error)}")
    smtp = backend.connection
    smtp.leaving = False
    try:
        smtp.sendmail(sender, [receiver], data)
    except smtplib.SMTPRecipientsRefused as refusal:
        [(code, text)] = refusal.recipients.values()
        result = _judged(code, text, Bounced)
    except smtplib.SMTPHeloError as error:
        result = Unreachable(f"The mail server doesn't greet: {_words(error)}")
    except smtplib.SMTPResponseException as refusal:
        result = _judged(refusal.smtp_code, refusal.smtp_error, Refused)
    except OSError as error:
        backend.lose()
        if smtp.leaving:
            return Unknown(f"The connection broke after the letter began to leave: {_words(error)}")
        return TryLater(f"The connection broke before the letter left: {_words(error)}")
    else:
        return Sent(_message_id(parcel))
    if smtp.sock is None:  # smtplib hangs up after some refusals
        backend.connection = None
    return result


def _judged(code, text, final):
    reason = f"{code} {_decoded(text)}"
    if code == TOO_BUSY:
        return Throttled(reason)
    return final(reason) if 500 <= code < 600 else TryLater(reason)


def _words(error) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_decoded(error.smtp_error)}"
    return str(error) or type(error).__name__


def _decoded(text) -> str:
    return one_line(text.decode(errors="replace") if isinstance(text, bytes) else str(text), 500)


# -- The letter ------------------------------------------------------------------------------------


def letter(parcel: Parcel) -> EmailMultiAlternatives:
    """Plain text and HTML made from it. Names and titles are one line each, whatever they were given as."""
    site = urlsplit(settings.SITE_URL).hostname
    headers = {"Message-ID": _message_id(parcel), "X-Turnout-Delivery": str(parcel.delivery_id)}
    if parcel.event_id is not None:
        headers["List-Id"] = f"<event-{parcel.event_id}.{site}>"
    if parcel.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{parcel.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if parcel.kind != "announcement":
        headers["Auto-Submitted"] = "auto-generated"
    organization, event = one_line(parcel.organization, 100), one_line(parcel.event_title, 200)
    by = organization or "Turnout"
    context = {"parcel": parcel, "body": parcel.body.strip(), "organization": by, "event": event}
    made = EmailMultiAlternatives(
        subject=one_line(parcel.subject, 200) or event or organization,
        body=render_to_string("messaging/letter.txt", context).strip() + "\n",
        from_email=_named(f"{organization} via Turnout" if organization else by, _sender()),
        to=[_named(one_line(parcel.name, 100), parcel.to[0])],
        headers=headers,
    )
    made.attach_alternative(render_to_string("messaging/letter.html", context), "text/html")
    return made


def _message_id(parcel) -> str:
    return f"<{parcel.delivery_id}@{urlsplit(settings.SITE_URL).hostname}>"


def _sender() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


def _named(name, address) -> str:
    return f'"{quote(name)}" <{address}>' if name else address


def _envelope(address) -> str:
    """The bare address, its domain in ASCII. Raises ValueError where SMTP has no way to say it."""
    local, at, domain = address.rpartition("@")
    if not (local and at and domain) or not address.isprintable() or " " in address:
        raise ValueError("it isn't an e-mail address")
    if not local.isascii():
        raise ValueError("mail servers can't be relied on to take letters beyond ASCII before the @")
    return sanitize_address(("", address), "utf-8")
