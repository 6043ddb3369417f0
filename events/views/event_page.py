"""What is on, as anybody who may see the event sees it."""

from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .. import pages


@require_safe
@never_cache
def event_page(request, slug):
    event = pages.event_of(request, slug)
    return render(request, "web/event.html", {"event": event, "tab": "event", "parts": pages.parts_of(request, event)})
