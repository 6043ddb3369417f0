"""What providers report later: never backwards, and twice is once."""

import structlog
from django.utils import timezone

from config.errors import Outcome, operation
from config.privacy import masked

from ..models import DeliveryStatus, MessageDelivery

log = structlog.get_logger(__name__)

MOVES = {
    DeliveryStatus.SENDING: frozenset(
        {DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.BOUNCED}
    ),
    DeliveryStatus.SENT: frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.BOUNCED}),
    DeliveryStatus.DELIVERED: frozenset({DeliveryStatus.BOUNCED}),
}
MOVES[DeliveryStatus.UNKNOWN] = MOVES[DeliveryStatus.SENDING]
"""Where a report may take a delivery. A queued one waits to be sent once more: a report about an earlier
attempt that came to nothing is late, one that it arrived is proof that it left."""
MOVES[DeliveryStatus.QUEUED] = frozenset({DeliveryStatus.SENT, DeliveryStatus.DELIVERED})


@operation
def receipt(*, channel, status, delivery_id=None, provider_id=None, error=None) -> Outcome:
    """A provider says what became of a delivery, known by our id or its own. Locks the delivery.

    ``status``: sent, delivered, failed or bounced. Whoever isn't known is logged and no error:
    ``row`` is None then.
    """
    delivery = _find(channel, delivery_id, provider_id)
    if delivery is None:
        log.warning(
            "receipt.unknown", channel=channel, delivery=str(delivery_id), provider_id=masked(provider_id or "")
        )
        return Outcome(None, changed=False)
    of_another = bool(provider_id and delivery.provider_id and provider_id != delivery.provider_id)
    if (
        status not in MOVES.get(delivery.status, ())
        or (delivery.status == DeliveryStatus.QUEUED and delivery.handed_at is None)  # it never left
        or (of_another and status not in DeliveryStatus.ARRIVED)  # an earlier attempt's end isn't this one's
    ):
        return Outcome(delivery, changed=False)
    delivery.status = status
    delivery.provider_id = provider_id or delivery.provider_id
    delivery.error = error if status in DeliveryStatus.WRONG else None
    if status in DeliveryStatus.ARRIVED:
        delivery.sent_at = delivery.sent_at or timezone.now()
    if status == DeliveryStatus.DELIVERED:
        delivery.delivered_at = timezone.now()
    delivery.save(update_fields=["status", "provider_id", "error", "sent_at", "delivered_at"])
    return Outcome(delivery, changed=True)


def _find(channel, delivery_id, provider_id) -> MessageDelivery | None:
    if not delivery_id and not provider_id:
        return None
    rows = MessageDelivery.objects.select_for_update(no_key=True).filter(channel=channel)
    known = {"pk": delivery_id} if delivery_id else {"provider_id": provider_id}
    return rows.filter(**known).order_by("pk").first()
