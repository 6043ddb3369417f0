"""RSVP in the admin: seats, the lines and their record, settings, feedback; and what is added to sessions."""

from . import feedback, line, record, rsvps, sessions, settings

__all__ = ["feedback", "line", "record", "rsvps", "sessions", "settings"]
