"""What attendance promises about its numbers."""

from django.db.models import F
from django.utils.translation import gettext_lazy as _

from config.database import corrected
from config.integrity import Invariant, register
from events.models import Event

from .models import seats_counted


def miscounted(event_id=None):
    events = Event.objects.annotate(counted=seats_counted()).exclude(seats_taken=F("counted"))
    return events.filter(pk=event_id) if event_id else events


def recount(*, rows) -> int:
    """For the tables' owner: the application's role can't write the column at all (docs/backup.md)."""
    with corrected(Event, "seats_taken"):
        return Event.objects.filter(pk__in=rows).update(seats_taken=seats_counted())


register(
    Invariant(
        name="seats",
        promise=_("Each event's places taken are those of its active attendees and their plus-ones."),
        violations=miscounted,
        repair=recount,
    )
)
