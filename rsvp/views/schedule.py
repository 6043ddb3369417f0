"""My Schedule: what a person has a seat in, day by day by the clock of the event."""

from django.http import Http404
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from events.models import Event

from ..operations import agenda


@require_safe
@never_cache
def my_schedule(request, slug):
    event = Event.objects.reachable_by(request.user).filter(slug=slug).first()
    if event is None:
        raise Http404
    days = agenda.schedule(request.user, event=event)
    return render(request, "rsvp/my_schedule.html", {"event": event, "days": days, "tab": "schedule"})
