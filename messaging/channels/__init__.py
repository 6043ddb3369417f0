"""The ways to people: in the app, push, SMS, e-mail. Each is configured by environment, or off and says why."""

from .base import Bounced, Channel, Parcel, Refused, Result, Sent, Throttled, TryLater, Unknown, Unreachable
from .email import Email
from .in_app import InApp
from .push import Push
from .sms import Sms

__all__ = [
    "Bounced",
    "Channel",
    "Parcel",
    "Refused",
    "Result",
    "Sent",
    "Throttled",
    "TryLater",
    "Unknown",
    "Unreachable",
    "get",
    "off_reasons",
    "on",
]

_channels: dict[str, Channel] = {channel.name: channel for channel in (InApp(), Push(), Sms(), Email())}


def get(name: str) -> Channel:
    return _channels[name]


def on() -> list[str]:
    """The channels that work here."""
    return [name for name, channel in _channels.items() if channel.off() is None]


def off_reasons() -> dict[str, str]:
    """The channels that don't, each with a sentence that says why."""
    return {name: why for name, channel in _channels.items() if (why := channel.off()) is not None}
