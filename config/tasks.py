"""What tasks have in common."""

import structlog
from celery import Task

from . import health

log = structlog.get_logger(__name__)


class Persistent(Task):
    """Tried again after 2, 4 and 8 seconds, whatever went wrong. Then the log and the metrics say so, and its
    sweep goes on."""

    abstract = True
    autoretry_for = (Exception,)
    max_retries = 3
    retry_backoff = 2
    retry_jitter = False

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        log.error("task.given_up", task=self.name, attempts=self.request.retries + 1, reason=repr(exc), exc_info=exc)
        health.gave_up(self.name)
