"""What attendance promises about its numbers."""

from django.db.models import F, IntegerField, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from config.integrity import Invariant, register
from events.models import Event

from .models import Attendee


def _counted():
    seats = (
        Attendee.objects.active()
        .filter(event=OuterRef("pk"))
        .order_by()
        .values("event")
        .annotate(seats=Sum(Value(1) + F("plus_ones")))
        .values("seats")
    )
    return Event.objects.annotate(counted=Coalesce(Subquery(seats), 0, output_field=IntegerField()))


def miscounted(event_id=None):
    events = _counted().exclude(seats_taken=F("counted"))
    return events.filter(pk=event_id) if event_id else events


def recount(*, rows) -> int:
    """The column's own trigger replaces whatever is written by the true count."""
    return Event.objects.filter(pk__in=rows).update(seats_taken=F("seats_taken") + 1)


register(
    Invariant(
        name="seats",
        promise=_("Each event's places taken are those of its active attendees and their plus-ones."),
        violations=miscounted,
        repair=recount,
    )
)
