"""The task queue: work that may wait, and the sweeps that find what an on_commit lost."""

import os
import time
from dataclasses import dataclass

import structlog
from celery import Celery
from celery.signals import setup_logging
from django.db import connection, transaction
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu import pools
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
AT_ONCE = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "socket_timeout": 1, "socket_connect_timeout": 1}
"""Somebody waits for the page. Of its own accord kombu tries three times to connect, for six seconds, and a worker's
connection, which waits for tasks, has more time to answer."""


@dataclass(frozen=True)
class Start:
    """What a transaction asks for when it stands; two that ask for the same are one."""

    task: str
    args: tuple

    def __call__(self):
        global _asks_again_at
        if time.monotonic() < _asks_again_at:
            return
        producers = pools.producers[app.connection_for_write(transport_options=AT_ONCE)]
        try:
            with producers.acquire(block=True) as producer:
                app.send_task(self.task, self.args, producer=producer, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            _asks_again_at = time.monotonic() + PAUSE
            log.warning("task.not_started", task=self.task, reason=repr(error))


def start(task: str, *args) -> None:
    """Has a worker run a task once this transaction stands. With Redis away its sweep does it later,
    so whatever is started by this must have one."""
    wanted = Start(task, args)
    if all(waiting != wanted for _savepoints, waiting, _robust in connection.run_on_commit):
        transaction.on_commit(wanted)


@setup_logging.connect
def keep_our_logging(**_kwargs):
    """Celery would replace the root logger; a connected receiver is its way to say no."""
