"""Attendance in the admin: attendees, the ledgers of the door, its points and devices, the figures."""

from . import attendees, door, record

__all__ = ["attendees", "door", "record"]
