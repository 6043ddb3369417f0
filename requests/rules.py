"""Who may decide, invite and remove."""

from events.models.people import Role
from events.rules import NOBODY, grant

grant("requests.joinrequest", view=Role.LOOK, change=Role.MANAGE, delete=NOBODY, decide=Role.MANAGE)
grant("requests.invitationlink", view=Role.MANAGE, add=Role.MANAGE, change=Role.MANAGE, revoke=Role.MANAGE)
grant("requests.ban", view=Role.LOOK, delete=Role.MANAGE)
grant("requests.mechanic", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=NOBODY)
grant("requests.sessionrequest", view=Role.LOOK, assign=Role.MANAGE)
grant("requests.servicesettings", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE)
grant("requests.sessionrequestlog", view=Role.LOOK)
