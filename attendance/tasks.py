"""Sweeps of attendance: doors to operations, nothing more."""

import structlog
from celery import shared_task

from config.errors import DomainError

from .operations import absence

log = structlog.get_logger(__name__)


@shared_task
def complete_events():
    """Events that are over: who never showed up is absent, and the event completed."""
    _each(absence.due().order_by("ends_at", "pk"), absence.complete)
    _each(absence.moved().order_by("pk"), absence.take_back)


def _each(events, operation):
    for event_id in events.values_list("pk", flat=True):
        try:
            operation(event_id=event_id)
        except DomainError as error:  # the next minute tries again
            log.warning("attendance.auto_absence.refused", event_id=event_id, code=error.code, reason=str(error))
