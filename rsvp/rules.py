"""Who may see and change who sits where. Door staff need none of it: a session's point knows whom to let in."""

from events.models.people import Role
from events.rules import NOBODY, grant

grant("rsvp.sessionrsvp", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=NOBODY)
grant("rsvp.waitlistentry", view=Role.LOOK, change=Role.MANAGE, delete=NOBODY)
grant("rsvp.waitlistlog", view=Role.LOOK)
grant("rsvp.rsvpsettings", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE)
grant("rsvp.sessionfeedback", view=Role.LOOK)
