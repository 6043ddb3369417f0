"""Who wants no more of it, over which channel, of one event or at all."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from config.errors import NotFound, Outcome, operation
from events.models import Event, UserProfile

from ..models import Channel, EventGuest, MessageDelivery, OptOut, UserLinkAudit

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


def unsubscribe_url(*, delivery_id: UUID, address: str) -> str:
    """The page behind a mail's link, which works for whoever has the mail, as long as its address is known here.

    The link names the delivery, and by a keyed hash the address that this mail goes to: addresses of people have
    no place in the access log of a web server.
    """
    named = delivery_id.hex + _mark(settings.SECRET_KEY, delivery_id, address)
    return settings.SITE_URL + reverse("unsubscribe", args=(SIGNER.sign(named),))


def subscription(token) -> Subscription:
    """What the link is about. Raises NotFound where it isn't one of ours, Forgotten.

    A delivery that is sent again goes to the address that its guest has by then, which is no business of whoever
    has the first mail.
    """
    try:
        named = SIGNER.unsign(token)
        pk, mark = UUID(named[:HEX]), named[HEX:]
    except (signing.BadSignature, ValueError):
        raise NotFound from None
    delivery = MessageDelivery.objects.filter(pk=pk, channel=Channel.EMAIL).only("email", "event", "guest").first()
    if delivery is None or not delivery.email:
        raise Forgotten
    if not mark:  # of a mail from before links named their address
        return Subscription(Channel.EMAIL, _written(Channel.EMAIL, delivery.email), delivery.event_id)
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    for address in _addresses(delivery):
        if any(constant_time_compare(_mark(key, pk, address), mark) for key in keys):
            return Subscription(Channel.EMAIL, _written(Channel.EMAIL, address), delivery.event_id)
    raise Forgotten


HEX, MARK = 32, 16
"""Characters of a link's token: of the delivery's id, and of the hash of its address."""


def _mark(key, delivery_id, address) -> str:
    """Of the delivery too, so that links don't tell which of them go to the same address."""
    value = f"{delivery_id.hex} {_written(Channel.EMAIL, address)}"
    return salted_hmac("messaging.unsubscribe.address", value, secret=key, algorithm="sha256").hexdigest()[:MARK]


def _addresses(delivery) -> Iterator[str]:
    """Where the delivery may have been sent to, the likeliest first: its guest and its people, now and before."""
    yield delivery.email
    people = UserLinkAudit.objects.filter(record_id__in=filter(None, (delivery.pk, delivery.guest_id)))
    people = people.exclude(user=None).order_by().values("user")
    for kept in (
        EventGuest.objects.filter(pk=delivery.guest_id),
        EventGuest.history.filter(id=delivery.guest_id),
        UserProfile.objects.filter(pk__in=people),
        UserProfile.history.filter(id__in=people),
    ):
        yield from kept.exclude(email=None).order_by().values_list("email", flat=True).distinct()


def outs(subscription) -> set[int | None]:
    """What the address is out of: the event's number, None for everything."""
    rows = OptOut.objects.filter(channel=subscription.channel, address=subscription.address)
    return set(rows.filter(Q(event=None) | Q(event=subscription.event_id)).values_list("event_id", flat=True))


def _written(channel, address) -> str:
    return address.strip().lower() if channel == Channel.EMAIL else address
