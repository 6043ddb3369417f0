"""Who may see and handle attendees. Door staff see them too, with what the door needs only."""

from events.models.people import Role
from events.rules import grant

AT_DOOR = Role.MANAGE | {Role.DOOR}

grant("attendance.attendee", view=Role.ANY, change=Role.MANAGE, manage=Role.MANAGE, mark=Role.MANAGE, check_in=AT_DOOR)
grant("attendance.attendanceaudit", view=Role.LOOK)
grant("attendance.checkin", view=Role.LOOK)
grant("attendance.checkinattempt", view=Role.LOOK)
grant("attendance.checkinpoint", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE)
# Revoked, not deleted: what a device checked in keeps its name.
grant("attendance.doordevice", view=Role.MANAGE, add=Role.MANAGE, change=Role.MANAGE)
grant("attendance.pointscale", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE)
