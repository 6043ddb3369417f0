"""Organisations, people, events and their agenda: what everything else stands on."""

from .agenda import Room, Session, Speaker
from .event import Event
from .people import Membership, Organization, UserProfile
from .system import AccountLetter, IdempotencyKey, IntegrityResult, PhoneCode

__all__ = [
    "AccountLetter",
    "Event",
    "IdempotencyKey",
    "IntegrityResult",
    "Membership",
    "Organization",
    "PhoneCode",
    "Room",
    "Session",
    "Speaker",
    "UserProfile",
]
