"""What tasks have in common."""

import logging

import structlog
from celery import Task

from . import health
from .errors import Busy, DomainError

log = structlog.get_logger(__name__)


def one_by_one(rows, act) -> int:
    """For sweeps: ``act(pk=…)`` on each row, so that one that is refused, or fails, holds up none of the others, and is
    looked at again the next time. What the acts returned, added up.

    Raises ExceptionGroup after the last one, where some failed in a way that nobody foresaw.
    """
    done, failed = 0, []
    for pk in rows.order_by("pk").values_list("pk", flat=True):
        try:
            done += act(pk=pk)
        except Busy:
            log.info("sweep.busy", model=rows.model._meta.label, pk=str(pk))
        except DomainError as error:
            log.warning("sweep.refused", model=rows.model._meta.label, pk=str(pk), code=error.code, reason=str(error))
        except Exception as error:
            error.add_note(f"{rows.model._meta.label} {pk}")
            failed.append(error)
    if failed:
        raise ExceptionGroup("A sweep could not do all of it", failed)
    return done


def in_batches(rows, act, size) -> int:
    """As one_by_one, with ``act(pks=[…])`` on ``size`` rows at once; where that fails, on each of them alone."""
    pks = list(rows.order_by("pk").values_list("pk", flat=True))
    done, failed = 0, []
    for start in range(0, len(pks), size):
        batch = pks[start : start + size]
        try:
            done += act(pks=batch)
        except Exception as error:
            foreseen = isinstance(error, DomainError)
            level, shown = (logging.INFO, None) if foreseen else (logging.WARNING, error)
            log.log(level, "sweep.one_by_one", model=rows.model._meta.label, rows=len(batch), exc_info=shown)
            try:
                done += one_by_one(rows.filter(pk__in=batch), lambda pk: act(pks=[pk]))
            except ExceptionGroup as group:
                failed += group.exceptions
    if failed:
        raise ExceptionGroup("A sweep could not do all of it", failed)
    return done


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
