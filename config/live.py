"""Screens that follow along: a nudge by Redis once a transaction stands. What has changed they read in PostgreSQL.

Without Redis nobody is nudged, and whoever listens looks by themselves, a little later.
"""

import time
from dataclasses import dataclass
from functools import cache

import redis
import structlog
from django.conf import settings
from django.db import connection, transaction

log = structlog.get_logger(__name__)

PAUSE = 5
"""Seconds for which nobody asks a Redis that was away: one call waits for it, not every one."""
_asks_again_at = 0.0


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


@dataclass(frozen=True)
class Nudge:
    """What a transaction asks for when it stands; two on one channel are one."""

    channel: str

    def __call__(self):
        global _asks_again_at
        if time.monotonic() < _asks_again_at:
            return
        try:
            _redis().publish(self.channel, "")
        except redis.RedisError as error:
            _asks_again_at = time.monotonic() + PAUSE
            log.warning("live.not_nudged", channel=self.channel, reason=repr(error))


def nudge(channel: str) -> None:
    """Wakes whoever listens on the channel, once this transaction stands."""
    wanted = Nudge(channel)
    if all(waiting != wanted for _savepoints, waiting, _robust in connection.run_on_commit):
        transaction.on_commit(wanted)
