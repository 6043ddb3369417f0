"""How far a message is: bars by channel, reasons of failures, and where to look at each."""

from urllib.parse import urlencode

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _

from ..models import Channel, DeliveryStatus, Message, MessageDelivery
from ..operations import announcements
from .words import COLOURS, state_of

Status = Message.Status


def watched(message) -> dict:
    """What changes on the page while one watches."""
    progress = announcements.progress(message)
    state = state_of(message, progress.done, progress.total)
    return {
        "message": message,
        "state": state,
        "colour": COLOURS[state[0]],
        "progress": progress,
        "percent": round(100 * progress.done / progress.total) if progress.total else 0,
        "rows": [_row(message, channel, by) for channel, by in progress.counts.items()],
        "reasons": [_reason(message, *one) for one in progress.reasons],
        "again": _can_go_again(message, progress),
        "had": had(message) if state[0] == "withdrawn" else None,
        "unknown": sum(by.get(DeliveryStatus.UNKNOWN, 0) for by in progress.counts.values()),
        "unknown_list": deliveries_of(message, status=DeliveryStatus.UNKNOWN),
        "paused": [(Channel(name).label, error) for name, error in progress.paused.items()] if _runs(message) else [],
        "live": message.status in (Status.SENDING, Status.SCHEDULED),
    }


AGAIN = (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED)
"""What can be sent again all together."""


def _runs(message) -> bool:
    return message.status == Status.SENDING and not message.stopped_at


def _can_go_again(message, progress) -> bool:
    """What was taken back can't."""
    if not any(by.get(one) for by in progress.counts.values() for one in AGAIN):
        return False
    return MessageDelivery.objects.filter(message=message, status__in=AGAIN, withdrawn_at=None).exists()


def had(message) -> int:
    """How many have got it, over any channel: in the app, of those who have an account."""
    arrived = MessageDelivery.objects.filter(message=message, status__in=DeliveryStatus.ARRIVED, withdrawn_at=None)
    arrived = arrived.filter(~Q(channel=Channel.IN_APP) | Q(user__isnull=False))
    return arrived.order_by().values(whose=Coalesce("user", "guest")).distinct().count()


def deliveries_of(message, **filters) -> str:
    """The address of a message's deliveries; a filter's value may be several."""
    query = {"message__id__exact": message.pk}
    for name, value in filters.items():
        many = isinstance(value, tuple)
        query[f"{name}__in" if many else f"{name}__exact"] = ",".join(value) if many else value
    return f"{reverse('admin:messaging_messagedelivery_changelist')}?{urlencode(query)}"


SHOWN = [
    (DeliveryStatus.QUEUED, DeliveryStatus.SENDING),
    (DeliveryStatus.SENT,),
    (DeliveryStatus.DELIVERED,),
    (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED),
    (DeliveryStatus.UNKNOWN,),
]
"""The columns of the table: waiting, sent, delivered, failed, unknown."""


def _row(message, channel, by) -> dict:
    total = sum(by.values())
    numbers = [sum(by.get(status, 0) for status in column) for column in SHOWN]
    return {
        "channel": channel,
        "label": Channel(channel).label,
        "total": total,
        "cells": [
            {
                "key": column[0].value,
                "label": column[0].label,
                "number": number,
                "width": f"{100 * number / total:.2f}" if total else "0",
                "url": deliveries_of(message, channel=channel, status=column),
            }
            for column, number in zip(SHOWN, numbers, strict=True)
        ],
    }


def _reason(message, channel, status, error, number) -> dict:
    return {
        "channel": Channel(channel).label,
        "status": DeliveryStatus(status).label,
        "error": error or _("No reason was given."),
        "number": number,
        "url": deliveries_of(message, channel=channel, status=status),
    }
