"""Attendees, and the record of who came."""

from .door import CheckIn, CheckInAttempt, CheckInPoint, DoorDevice
from .record import AttendanceAudit, AttendanceSource, AttendanceStatus, PointScale
from .room import Attendee, Block, new_ticket_code, seats_counted

__all__ = [
    "AttendanceAudit",
    "AttendanceSource",
    "AttendanceStatus",
    "Attendee",
    "Block",
    "CheckIn",
    "CheckInAttempt",
    "CheckInPoint",
    "DoorDevice",
    "PointScale",
    "new_ticket_code",
    "seats_counted",
]
