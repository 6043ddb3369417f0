"""What the promises look like from outside: every approved join request has its attendee, every service session its
request, and nobody who asks for help waits unheard."""

from datetime import timedelta

import structlog
from django.db import DatabaseError
from django.db.models import Count, Exists, Min, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from attendance.models import Attendee
from config.integrity import CRITICAL, HEALTHY, WARNING, Invariant, any_is_a_warning, register

from .models import JoinRequest, RequestStatus, ServiceSession, SessionRequest, Status
from .operations import intakes, join_requests, repairs, telling

log = structlog.get_logger(__name__)

LATE = timedelta(minutes=5)
"""A worker tells at once and beat looks every few seconds; what is untold for longer is told by nobody."""


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


# -- Service requests ------------------------------------------------------------------------------------------


def _of(rows, event_id):
    return rows.filter(event=event_id) if event_id else rows


def without_request(event_id=None):
    return _of(ServiceSession.objects.without_request(), event_id)


def asked() -> dict:
    """``open_without_request``: somebody waits in a session that no mechanic can see."""
    counted = SessionRequest.objects.aggregate(
        open=Count("pk", filter=Q(status__in=RequestStatus.OPEN)),
        unattended=Count("pk", filter=Q(status=RequestStatus.UNATTENDED)),
        made_by_backfill=Count("pk", filter=Q(metadata__created_by=intakes.BACKFILL)),
    )
    missing = ServiceSession.objects.without_request()
    return {
        "sessions": ServiceSession.objects.count(),
        "without_request": missing.count(),
        "open_without_request": missing.open().count(),
        **counted,
    }


def open_is_critical(violations: int, figures: dict) -> str:
    if figures["open_without_request"]:
        return CRITICAL
    return WARNING if violations else HEALTHY


def disagreeing(event_id=None):
    return _of(repairs.disagreeing(), event_id)


def with_others_in_it(event_id=None):
    return _of(repairs.with_others_in_it(), event_id)


def told_too_late(event_id=None):
    """Waits, was due to be told of for a while, and somebody has been there to be told; or is to hear as organiser."""
    ago = timezone.now() - LATE
    somebody = Exists(telling.helpers().filter(updated_at__lt=ago))
    unheard = Q(status=RequestStatus.UNATTENDED, told__lt=telling.ORGANIZERS, unattended_at__lt=ago)
    late = telling.untold(ago).filter(waiting_since__lt=ago)
    return _of(late.filter(Q(somebody) | unheard), event_id)


class Waiting(Collector):
    """Who waits for help at the moment of a scrape. Every web process says the same."""

    def describe(self):
        return [
            GaugeMetricFamily("turnout_service_requests_open", "Service requests that nobody has.", labels=["status"]),
            GaugeMetricFamily("turnout_service_requests_oldest_wait_seconds", "Since the first of them began to wait."),
        ]

    def collect(self):
        numbers, oldest = self.describe()
        try:
            waiting = SessionRequest.objects.open().order_by("status").values_list("status")
            found = {status: rest for status, *rest in waiting.annotate(Count("pk"), Min("waiting_since"))}
        except DatabaseError:  # the other metrics are wanted all the more
            log.warning("service_requests.metrics_unavailable", exc_info=True)
            return numbers, oldest
        for status in sorted(RequestStatus.OPEN):
            numbers.add_metric([status], found[status][0] if status in found else 0)
        now = timezone.now()
        first = min((since for _number, since in found.values()), default=now)
        oldest.add_metric([], (now - first).total_seconds())
        return numbers, oldest


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
    Invariant(
        name="service-requests",
        promise=_("Every service session has its request, by which mechanics see it."),
        violations=without_request,
        repair=intakes.backfill_requests,
        figures=asked,
        level=open_is_critical,
    ),
    Invariant(
        name="service-states",
        promise=_("A service session and its request say the same, and whatever was accepted names its mechanic."),
        violations=disagreeing,
        repair=repairs.agree,
    ),
    Invariant(
        name="service-participants",
        promise=_("In a service session are its customer and its mechanic, and nobody else."),
        violations=with_others_in_it,
        repair=repairs.seat,
    ),
    Invariant(
        name="service-told",
        promise=_("Whoever is on duty hears of who waits within minutes, and organisers of who waits too long."),
        violations=told_too_late,
        repair=repairs.tell,
        level=any_is_a_warning,
    ),
)
