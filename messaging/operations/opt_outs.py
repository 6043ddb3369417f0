"""Who wants no more of it, over which channel, of one event or at all."""

from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from config.errors import NotFound, Outcome, operation
from events.models import Event

from ..models import Channel, MessageDelivery, OptOut

SIGNER = signing.Signer(salt="messaging.unsubscribe", sep=".")


@operation
def opt_out(*, channel, address, source, event_id=None) -> Outcome:
    """Nothing more over this channel to this address, of one event or at all. Twice is once. Raises NotFound."""
    if event_id is not None and not Event.objects.filter(pk=event_id).exists():
        raise NotFound
    row, made = OptOut.objects.get_or_create(
        channel=channel,
        address=_written(channel, address),
        event_id=event_id,
        defaults={"source": source, "created_at": Now()},
    )
    return Outcome(row, changed=made)


@operation
def opt_in(*, channel, address, event_id=None) -> Outcome:
    """They want it again: all of it, or this event with what concerns no single one; other events stay out."""
    rows = OptOut.objects.filter(channel=channel, address=_written(channel, address))
    if event_id is not None:
        rows = rows.filter(Q(event_id=event_id) | Q(event_id=None))
    count, _by_model = rows.delete()
    return Outcome(None, changed=bool(count))


class Forgotten(NotFound):
    """The link is one of ours; whom it was for has been erased since."""


class Subscription(NamedTuple):
    """Whose messages, and of which event, a link in a mail is about."""

    channel: str
    address: str
    event_id: int | None


def unsubscribe_url(*, delivery_id: UUID) -> str:
    """The page behind a mail's link, which works for whoever has the mail, as long as its address is known here.

    The link names the delivery: addresses of people have no place in the access log of a web server.
    """
    return settings.SITE_URL + reverse("unsubscribe", args=(SIGNER.sign(delivery_id.hex),))


def subscription(token) -> Subscription:
    """What the link is about. Raises NotFound where it isn't one of ours, Forgotten."""
    try:
        pk = UUID(SIGNER.unsign(token))
    except (signing.BadSignature, ValueError):
        raise NotFound from None
    row = MessageDelivery.objects.filter(pk=pk, channel=Channel.EMAIL).values_list("email", "event_id").first()
    if row is None or not row[0]:
        raise Forgotten
    address, event_id = row
    return Subscription(Channel.EMAIL, _written(Channel.EMAIL, address), event_id)


def outs(subscription) -> set[int | None]:
    """What the address is out of: the event's number, None for everything."""
    rows = OptOut.objects.filter(channel=subscription.channel, address=subscription.address)
    return set(rows.filter(Q(event=None) | Q(event=subscription.event_id)).values_list("event_id", flat=True))


def _written(channel, address) -> str:
    return address.strip().lower() if channel == Channel.EMAIL else address
