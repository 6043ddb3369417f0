"""Who wants no more of it, over which channel, of one event or at all."""

from django.conf import settings
from django.core import signing
from django.db.models.functions import Now
from django.urls import reverse

from config.errors import Outcome, operation

from ..models import OptOut

SALT = "messaging.unsubscribe"


@operation
def opt_out(*, channel, address, source, event_id=None) -> Outcome:
    """Nothing more over this channel to this address, of one event or at all. Twice is once."""
    row, made = OptOut.objects.get_or_create(
        channel=channel, address=address, event_id=event_id, defaults={"source": source, "created_at": Now()}
    )
    return Outcome(row, changed=made)


@operation
def opt_in(*, channel, address, event_id=None) -> Outcome:
    """They want it again; without an event: all of it."""
    rows = OptOut.objects.filter(channel=channel, address=address)
    count, _by_model = (rows if event_id is None else rows.filter(event_id=event_id)).delete()
    return Outcome(None, changed=bool(count))


def unsubscribe_url(*, address, event_id) -> str:
    """The address of the page, which anybody who has the mail may open; it names nobody readably."""
    token = signing.dumps([address, event_id], salt=SALT)
    return settings.SITE_URL + reverse("unsubscribe", args=(token,))
