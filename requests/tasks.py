"""Sweeps: what an on_commit or a raw SQL statement left undone."""

from contextlib import ExitStack

import structlog
from celery import shared_task
from django.db.models import F, Q

from config.errors import DomainError
from config.tasks import Persistent
from events.models import Event

from .models import JoinRequest
from .operations import join_requests, notices, taking, telling, tickets

log = structlog.get_logger(__name__)


@shared_task
def admit_pending():
    """Events that approve by themselves, have room, and have somebody waiting."""
    waiting = JoinRequest.objects.in_line().values("event_id")
    events = Event.objects.filter(
        Q(capacity=None) | Q(seats_taken__lt=F("capacity")),
        approval_mode=Event.ApprovalMode.AUTO,
        status=Event.Status.PUBLISHED,
        pk__in=waiting,
    )
    for event_id in events.values_list("pk", flat=True):
        try:
            join_requests.admit_pending(event_id=event_id)
        except DomainError as error:
            log.warning("join_requests.sweep_refused", event_id=event_id, code=error.code, reason=str(error))


@shared_task
def tell_of_new_requests():
    notices.tell_of_new()


@shared_task
def tell_of_requests_daily():
    notices.tell_daily()


@shared_task(base=Persistent)
def watch_service_requests():
    """What waits for too long or is left alone, and who is to hear of what waits. Each has its turn, whatever became
    of the one before."""
    with ExitStack() as last_to_first:
        for sweep in (
            telling.mail_organizers,
            telling.tell_unanswered,
            telling.tell_waiting,
            taking.remind_idle,
            taking.return_idle,
            taking.mark_unattended,
        ):
            last_to_first.callback(sweep)


@shared_task
def forget_signals():
    tickets.forget()
