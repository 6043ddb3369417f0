"""What goes out, what came of it, and what a channel is."""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar
from uuid import UUID

import structlog

from config.privacy import masked

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parcel:
    """One delivery, ready to go: its final text, and where to.

    ``to`` is one number in E.164, one e-mail address, or all push tokens of a person.
    """

    delivery_id: UUID
    message_id: UUID
    channel: str
    to: tuple[str, ...]
    name: str
    subject: str
    body: str
    kind: str
    event_id: int | None
    event_title: str
    organization: str
    unsubscribe_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a parcel. ``dead`` are push tokens that the provider no longer knows."""

    dead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent(Result):
    """The provider has it."""

    provider_id: str
    reason: ClassVar[str] = ""


@dataclass(frozen=True)
class Refused(Result):
    """The provider won't take it, now or later."""

    reason: str


@dataclass(frozen=True)
class Bounced(Result):
    """There is nobody at this address."""

    reason: str


@dataclass(frozen=True)
class TryLater(Result):
    """The provider answered that it can't take it now; nothing left."""

    reason: str


@dataclass(frozen=True)
class Throttled(Result):
    """Too much at once; nothing left. ``after``: seconds until the provider wants to be asked again."""

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class Unreachable(Result):
    """There is no provider to talk to, or it doesn't know us; nothing left."""

    reason: str


@dataclass(frozen=True)
class Unknown(Result):
    """It was handed over, and no answer came: it may have left, or not."""

    reason: str


class Channel(ABC):
    """A way to people. ``honours_key``: the same delivery id twice doesn't reach a person twice."""

    name: str
    honours_key = False

    def off(self) -> str | None:
        """Why nothing can be sent this way, as a sentence; None where it can."""
        return None

    def send(self, parcels: Sequence[Parcel]) -> list[Result]:
        """What came of each, in their order. Never raises, and never touches the database."""
        if (why := self.off()) is not None:
            return [Unreachable(why)] * len(parcels)
        try:
            return [fit(result) for result in self.deliver(parcels)]
        except Exception:
            # Whoever calls must get a word for each, and nobody knows how far this came.
            broke(self.name)
            return [Unknown(BROKE)] * len(parcels)

    @abstractmethod
    def deliver(self, parcels: Sequence[Parcel]) -> list[Result]:
        """What came of each, in their order; may raise."""


BROKE = "Sending broke down on our side; the log says how."
LONGEST_ID, LONGEST_REASON = 255, 500


def broke(channel: str, **about) -> None:
    """Logs the exception at hand, which may quote an address."""
    log.error("channel.broke", channel=channel, exception=masked(traceback.format_exc()), **about)


def fit(result: Result) -> Result:
    """The result with words that the database takes, whatever the provider gave for one."""
    if isinstance(result, Sent):
        return replace(result, provider_id=known_as(result.provider_id))
    return replace(result, reason=one_line(result.reason, LONGEST_REASON))


def known_as(given) -> str:
    """A provider's id: what can be printed of it, so far as it fits; empty where it is no text."""
    if not isinstance(given, str):
        return ""
    return "".join(letter for letter in given if letter.isprintable())[:LONGEST_ID].strip()


def one_line(text: str, most: int) -> str:
    """The text without line breaks, control characters and the like, cut to ``most`` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
