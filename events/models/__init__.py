"""Organisations, people, events and their agenda: what everything else stands on."""

from .agenda import Room, Session, Speaker
from .event import Event
from .people import Membership, Organization, UserProfile
from .system import IdempotencyKey, IntegrityResult

__all__ = [
    "Event",
    "IdempotencyKey",
    "IntegrityResult",
    "Membership",
    "Organization",
    "Room",
    "Session",
    "Speaker",
    "UserProfile",
]
