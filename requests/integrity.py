"""What the first promise looks like from outside: every approved request has its attendee."""

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.integrity import Invariant, register

from .models import JoinRequest, Status
from .operations import join_requests


def approved_without_attendee(event_id=None):
    rows = JoinRequest.objects.without_attendee()
    return rows.filter(event_id=event_id) if event_id else rows


def attendee_without_approval(event_id=None):
    rows = Attendee.objects.active().filter(join_request__isnull=False).exclude(join_request__status=Status.APPROVED)
    return rows.filter(event_id=event_id) if event_id else rows


def last_day() -> dict:
    """Approvals of the last 24 hours, and how many of them are attendees; the rate must be 100.00."""
    since = timezone.now() - timedelta(hours=24)
    recent = JoinRequest.objects.filter(status=Status.APPROVED, decided_at__gte=since)
    approved = recent.count()
    missing = approved_without_attendee().filter(decided_at__gte=since).count()
    rate = 100 * (approved - missing) / approved if approved else 100
    return {
        "approvals_24h": approved,
        "with_attendee_24h": approved - missing,
        "without_attendee_24h": missing,
        "success_rate_percent": f"{rate:.2f}",
    }


def everything() -> dict:
    """What a backfill ends with."""
    approved = JoinRequest.objects.filter(status=Status.APPROVED).count()
    missing = approved_without_attendee().count()
    return {"approved": approved, "with_attendee": approved - missing, "missing": missing}


register(
    Invariant(
        name="attendees",
        promise=_("Every approved join request has its active attendee."),
        violations=approved_without_attendee,
        repair=join_requests.backfill_attendees,
        figures=lambda: last_day() | everything(),
    ),
    Invariant(
        name="approvals",
        promise=_("No attendee is in the room by a join request that is not approved."),
        violations=attendee_without_approval,
    ),
)
