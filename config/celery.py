"""The task queue: work that may wait, and the sweeps that find what an on_commit lost."""

import os
import time
from functools import partial

import structlog
from celery import Celery
from celery.signals import setup_logging
from django.db import transaction
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu.exceptions import OperationalError
from redis import RedisError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("turnout")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


log = structlog.get_logger(__name__)
PAUSE = 5
"""Seconds for which nobody asks a broker that was away: one call waits for it, not every one."""
_asks_again_at = 0.0


def start(task: str, *args) -> None:
    """Has a worker run a task once this transaction stands. With Redis away its sweep does it later,
    so whatever is started by this must have one."""
    transaction.on_commit(partial(_publish, task, args))


def _publish(task, args):
    global _asks_again_at
    if time.monotonic() < _asks_again_at:
        return
    try:
        app.send_task(task, args, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        _asks_again_at = time.monotonic() + PAUSE
        log.warning("task.not_started", task=task, reason=repr(error))


@setup_logging.connect
def keep_our_logging(**_kwargs):
    """Celery would replace the root logger; a connected receiver is its way to say no."""
