"""Who may see and send messages. Door staff have none of it: addresses aren't theirs to read."""

from events.models.people import Role
from events.rules import grant

grant("messaging.eventguest", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, link=Role.MANAGE)
grant("messaging.message", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE, send=Role.MANAGE)
grant("messaging.messagedelivery", view=Role.LOOK, send=Role.MANAGE)
grant("messaging.userlinkaudit", view=Role.LOOK)
grant("messaging.channelstate")
grant("messaging.optout")
# The switches of linking work for the whole site.
grant("waffle.switch")
