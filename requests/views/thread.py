"""What is said in a session, as its page shows it: the customer's here, the mechanic's in the admin."""

import uuid

from django.utils import timezone

from ..models import Mechanic, ServiceStatus
from ..operations import talking

MOST = 200
"""Messages that are shown at first: the last ones."""


def of_session(session, person, *, everything: bool = False, typed: str = "", error: str = "") -> dict:
    """The context ``thread`` of templates/web/service/thread.html, for somebody who is in the session.

    ``typed`` and ``error``: what could not be sent, and why. Three queries.
    """
    messages = session.messages.select_related("author").order_by("-pk")
    count = session.messages.count()
    shown = list(messages if everything else messages[:MOST])[::-1]
    authors = {message.author_id for message in shown}
    mechanics = Mechanic.objects.filter(organization=session.organization_id, user_profile__in=authors)
    names = {mechanic.user_profile_id: str(mechanic) for mechanic in mechanics.select_related("user_profile")}
    names.pop(session.customer_id, None)
    return {
        "session": session,
        "lines": [
            {
                "id": message.pk,
                "author": names.get(message.author_id) or str(message.author),
                "mine": message.author_id == person.pk,
                "body": message.body,
                "at": message.created_at,
            }
            for message in shown
        ],
        "left_out": max(0, count - len(shown)),
        "is_open": session.status in ServiceStatus.OPEN,
        "waits": session.status == ServiceStatus.PENDING,
        "zone": session.event.timezone if session.event_id else "UTC",
        "now": timezone.now(),
        "key": uuid.uuid4().hex,
        "longest": talking.LONGEST,
        "typed": typed,
        "error": error,
    }
