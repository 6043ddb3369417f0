"""Who may see and handle attendees. Door staff see them too, with what the door needs only."""

from events.models.people import Role
from events.rules import grant

grant("attendance.attendee", view=Role.ANY, change=Role.MANAGE, manage=Role.MANAGE)
