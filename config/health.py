"""/healthz: the process lives. /readyz: it can serve, and what is missing. And what tasks have given up."""

import time

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

HEARTBEAT = "turnout:heartbeat"
HEARTBEAT_LASTS = 90
"""Seconds; beat sends one every 30."""

_redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
_migrated = False


QUEUES = ("celery", "messages")
"""Each may have workers of its own (settings.CELERY_TASK_ROUTES)."""


def beat(queue: str) -> None:
    """Called by a worker: there is a beat, a broker, and a worker for this queue."""
    _redis.set(f"{HEARTBEAT}:{queue}", int(time.time()), ex=HEARTBEAT_LASTS)


@never_cache
def healthz(request):
    return JsonResponse({"status": "ok"})


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"


def _migrations() -> str:
    """Says pending until the database has all migrations; asked no more once it has them."""
    global _migrated
    if not _migrated:
        try:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        except DatabaseError:
            return "unknown"
    return "ok" if _migrated else "pending"


def _redis_and_workers() -> tuple[str, str]:
    try:
        silent = [queue for queue in QUEUES if not _redis.exists(f"{HEARTBEAT}:{queue}")]
    except redis.RedisError:
        return "unreachable", "unknown"
    return "ok", f"silent: {', '.join(silent)}" if silent else "ok"


@never_cache
def readyz(request):
    """503 only for what a request can't do without: people lose nothing while Redis is away, so
    neither a missing Redis nor silent workers take the site from the load balancer; they are told."""
    database = _database()
    redis_state, workers = _redis_and_workers()
    parts = {"database": database, "migrations": _migrations(), "redis": redis_state, "workers": workers}
    ready = database == "ok" and parts["migrations"] == "ok"
    state = "ready" if all(part == "ok" for part in parts.values()) else "degraded"
    return JsonResponse({"status": state if ready else "unavailable", **parts}, status=200 if ready else 503)


# -- Metrics of workers, which nobody scrapes -------------------------------------------------------------

GIVEN_UP = "turnout:given-up"


def gave_up(task: str) -> None:
    """Called by a worker: a task failed, and won't be tried again. Counted in Redis, without which no task runs."""
    try:
        _redis.hincrby(GIVEN_UP, task, 1)
    except redis.RedisError as error:
        log.warning("task.not_counted", task=task, reason=repr(error))


class Metrics(Collector):
    """Every web process says the same, as they all ask Redis."""

    def describe(self):
        return [CounterMetricFamily("turnout_tasks_given_up", "Tasks that failed for good.", labels=["task"])]

    def collect(self):
        [given_up] = self.describe()
        try:
            for task, number in _redis.hgetall(GIVEN_UP).items():
                given_up.add_metric([task.decode()], int(number))
        except redis.RedisError as error:  # the other metrics are wanted all the more
            log.warning("task.metrics_unavailable", reason=repr(error))
        return [given_up]


REGISTRY.register(Metrics())
