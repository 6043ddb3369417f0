"""What is on, and one event, as whoever looks may see it."""

from django.db.models import Q
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .. import pages
from ..models import Event

LISTED = 50
"""Events on one page: the next ones."""


@require_safe
@never_cache
def event_list(request):
    """One's own events, then what is open to everybody; of both, what is still to come."""
    person, now = request.user, timezone.now()
    coming = Event.objects.filter(ends_at__gt=now).order_by("starts_at", "pk")
    public = Q(status=Event.Status.PUBLISHED, visibility=Event.Visibility.PUBLIC)
    mine = []
    if person.is_authenticated:
        own = Q(my_attendee_id__isnull=False) | Q(my_request_status="pending")
        mine = list(coming.reachable_by(person).with_standing(person).filter(own)[:LISTED])
    others = coming.filter(public).exclude(pk__in=[one.pk for one in mine])[:LISTED]
    return render(request, "web/events.html", {"mine": mine, "others": others})


@require_safe
@never_cache
def event_page(request, slug):
    event = pages.event_of(request, slug)
    context = {"event": event, "tab": "event", "parts": pages.parts_of(request, event), "now": timezone.now()}
    return render(request, "web/event.html", context)
