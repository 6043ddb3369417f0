"""What providers with an HTTP API have in common: many calls at once, and what a broken one means."""

import ssl
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from .base import BROKE, Channel, Result, Unknown, Unreachable, broke, one_line

AT_ONCE = 10
LONGEST_PAUSE = 24 * 3600.0
HERE = ("127.0.0.1", "localhost", "::1")
NOTHING_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class HttpChannel(Channel):
    """A channel whose parcels go one by one, several at once."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the provider is."""

    @abstractmethod
    def hand_over(self, http: httpx.Client, parcel) -> Result:
        """What came of one."""

    def deliver(self, parcels):
        with client(self.url) as http, ThreadPoolExecutor(AT_ONCE, thread_name_prefix=self.name) as pool:
            return list(pool.map(partial(self._guarded, http), parcels))

    def _guarded(self, http, parcel):
        try:
            return self.hand_over(http, parcel)
        except NOTHING_LEFT as error:
            return Unreachable(f"No connection to the provider: {words(error)}")
        except httpx.HTTPError as error:
            return Unknown(f"No answer came: {words(error)}")
        except Exception:
            broke(self.name, delivery_id=str(parcel.delivery_id))
            return Unknown(BROKE)


def client(url) -> httpx.Client:
    """Follows no redirect: what we carry is for this provider alone. One on this machine is behind no proxy."""
    return httpx.Client(
        timeout=httpx.Timeout(**settings.CHANNEL_TIMEOUTS),
        limits=httpx.Limits(max_connections=AT_ONCE),
        follow_redirects=False,
        verify=authorities(),
        trust_env=urlsplit(url).hostname not in HERE,
    )


@cache
def authorities() -> ssl.SSLContext:
    """Who vouches for providers. To read the list takes longer than many a call, and it stays the same."""
    return httpx.create_ssl_context()


def words(error) -> str:
    return one_line(str(error), 300) or type(error).__name__


def answered(response) -> dict:
    """The JSON object of an answer; empty where it is none."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def pause(response) -> float | None:
    """Seconds from Retry-After, which has a number or a moment."""
    given = response.headers.get("Retry-After", "")
    if given.isdecimal():
        return min(float(given), LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(given)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE)
