"""Seats in sessions, the lines for them, and what belongs to both."""

from .calendars import CalendarFeed
from .changes import RsvpdAttendee, RsvpdSession, SessionChange
from .feedback import SessionFeedback
from .rsvps import EndReason, RsvpSource, RsvpStatus, SessionRsvp, seats_counted
from .settings import RsvpSettings, SessionLine, WaitlistMode
from .waitlist import WaitlistEntry, WaitlistLog, WaitlistStatus

__all__ = [
    "CalendarFeed",
    "EndReason",
    "RsvpSettings",
    "RsvpSource",
    "RsvpStatus",
    "RsvpdAttendee",
    "RsvpdSession",
    "SessionChange",
    "SessionFeedback",
    "SessionLine",
    "SessionRsvp",
    "WaitlistEntry",
    "WaitlistLog",
    "WaitlistMode",
    "WaitlistStatus",
    "seats_counted",
]
