"""What messaging promises of its deliveries: whoever is known has theirs."""

from datetime import timedelta

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.integrity import CRITICAL, HEALTHY, WARNING, Invariant, any_is_a_warning, register

from .models import DeliveryStatus, LinkOutcome, MessageDelivery, UserLinkAudit
from .operations import links

CRITICAL_RATE = 1.0
"""Percent of all deliveries; more than this without their person, though that is known, is critical."""
OVERDUE = timedelta(minutes=30)


def astray(event_id=None, guest_id=None):
    rows = MessageDelivery.objects.astray()
    rows = rows.filter(guest__event=event_id) if event_id else rows
    return rows.filter(guest=guest_id) if guest_id else rows


def figures() -> dict:
    """The rate, and the last 24 hours' link attempts: by outcome, how many found somebody, backfills."""
    total = MessageDelivery.objects.count()
    wrong = astray().count()
    day = UserLinkAudit.objects.filter(created_at__gte=timezone.now() - timedelta(hours=24))
    by = dict(day.order_by().values_list("outcome").annotate(number=Count("pk")))
    tries = sum(by.values())
    found = by.get(LinkOutcome.LINKED, 0) + by.get(LinkOutcome.BACKFILLED, 0)
    return {
        "deliveries": total,
        "rate_percent": round(100 * wrong / total, 3) if total else 0.0,
        "link_attempts_24h": tries,
        **{f"{outcome}_24h": by.get(outcome, 0) for outcome in LinkOutcome.values},
        "success_percent_24h": round(100 * found / tries, 1) if tries else 100.0,
    }


def graded(violations: int, figures: dict) -> str:
    """0 is healthy, any a warning, and over CRITICAL_RATE percent of all deliveries critical."""
    if not violations:
        return HEALTHY
    return CRITICAL if 100 * violations > CRITICAL_RATE * figures["deliveries"] else WARNING


def stuck(event_id=None):
    """In nobody's hands for long: the sweep takes them back within minutes of their lease."""
    rows = MessageDelivery.objects.filter(
        Q(status=DeliveryStatus.SENDING), Q(claimed_until=None) | Q(claimed_until__lt=timezone.now() - OVERDUE)
    )
    return rows.filter(event=event_id) if event_id else rows


register(
    Invariant(
        name="deliveries",
        promise=_("Each delivery to a linked guest has their person, and so shows in their inbox."),
        violations=astray,
        repair=links.backfill,
        figures=figures,
        level=graded,
    ),
    Invariant(
        name="stuck_deliveries",
        promise=_("No delivery stays half-sent: a worker's death is noticed within minutes."),
        violations=stuck,
        level=any_is_a_warning,
    ),
)
