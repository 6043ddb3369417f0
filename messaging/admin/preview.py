"""What one sees before a message goes out: who gets it, who doesn't and why, and how it looks."""

from django.utils import timezone
from django.utils.translation import gettext as _

from events.admin import local

from .. import audiences
from ..channels import Parcel, sms
from ..models import Channel, Message
from ..models.messages import filled
from ..operations import announcements, planning
from .words import audience_in_full, called_off, masked, named, state_of, zone_of


def preview_of(message, viewer) -> dict:
    """What the page shows; ``summary`` is None while it isn't said to whom, or over what."""
    ready = message.event_id and message.channels and message.audience in audiences.all_audiences()
    found = planning.summary(message) if ready else None
    first = found.sample[0].name if found and found.sample else viewer.get_full_name()
    due = message.due_moment
    look = looks(message, first or _("Jane Doe"))
    by_sms = found.by_channel.get(Channel.SMS, 0) if found else 0
    return {
        "message": message,
        "state": state_of(message),
        "missing": announcements.missing(message),
        "seen": announcements.fingerprint(message),
        "summary": found,
        "audience": audience_in_full(message),
        "channels": found and [_channel(found, one) for one in message.channels],
        "sample": found and [_sampled(one) for one in found.sample],
        "more": found and max(0, found.recipients - len(found.sample)),
        "looks": look,
        "by_sms": by_sms,
        "all_parts": by_sms * look["parts"],
        "called_off": called_off(message.event),
        "due": due and local(due, zone_of(message)),
        "past": due is not None and due <= timezone.now(),
        "scheduled": message.status == Message.Status.SCHEDULED,
    }


def _channel(summary, name) -> dict:
    return {
        "label": Channel(name).label,
        "count": summary.by_channel.get(name, 0),
        "off": summary.off.get(name),
        "left_out": [one for one in summary.left_out if one.channel == name and one.reason != "channel_off"],
    }


def _sampled(recipient) -> dict:
    return {
        "name": recipient.name or _("(no name)"),
        "channels": named(recipient.channels),
        "addresses": ", ".join(masked(one) for one in recipient.addresses),
    }


def looks(message, name) -> dict:
    """How the message will look to somebody of this name."""
    words = {"name": name, "event": message.event.title if message.event else ""}
    subject, body = filled(message.subject, **words), filled(message.body, **words)
    parcel = Parcel(
        delivery_id=message.pk,
        message_id=message.pk,
        channel=Channel.SMS,
        to=(),
        name=name,
        subject=subject,
        body=body,
        kind=message.kind,
        event_id=message.event_id,
        event_title=words["event"],
        organization="",
    )
    text, whole = sms.text(parcel), sms.whole(parcel)
    return {
        "name": name,
        "subject": subject,
        "body": body,
        "plain": any(one != Channel.SMS for one in message.channels),
        "email": Channel.EMAIL in message.channels,
        "sms": text if Channel.SMS in message.channels else None,
        "characters": len(text),
        "parts": sms.sms_parts(text),
        "whole": len(whole),
        "longest": sms.LONGEST,
        "cut": text != whole,
    }
