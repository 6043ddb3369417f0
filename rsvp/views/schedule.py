"""My Schedule: what a person has a seat in, day by day by the clock of the event; and their calendar's address."""

from datetime import timedelta

from django.contrib import messages
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from events import pages
from events.models import Event, Session

from ..api.calendars import address
from ..operations import agenda, feeds
from . import cards
from .agenda import tell_live


@require_safe
@pages.signed_in
def my_schedule(request, slug):
    event = pages.event_of(request, slug)
    days = agenda.schedule(request.user, event=event)
    found = cards.of([slot for day in days for slot in day.slots], event=event, person=request.user)
    by_id = {card.slot.id: card for card in found}
    offers = [card for card in found if card.state == "offer"]
    coming, past = [], []
    today = timezone.now().astimezone(event.zone).date()
    for day in days:
        shown = [by_id[slot.id] for slot in day.slots if by_id[slot.id] not in offers]
        for among, some in (
            (coming, [card for card in shown if not card.is_over]),
            (past, [card for card in shown if card.is_over]),
        ):
            if some:
                among.append((_name_of(day.day, today), day.day, some))
    context = {
        "event": event,
        "tab": "schedule",
        "offers": sorted(offers, key=lambda card: card.slot.mine.offer_expires_at),
        "coming": coming,
        "past": past,
        "past_count": sum(len(some) for *_day, some in past),
        "is_empty": not found,
        "is_attendee": event.my_attendee_id is not None,
        "is_over": event.status in Event.Status.OVER or event.ends_at <= timezone.now(),
        "has_agenda": bool(found) or Session.objects.filter(event=event).exists(),
        "here": request.path,
        "live": "page",
    }
    return render(request, "rsvp/my_schedule.html", context | tell_live(request, found))


def _name_of(day, today) -> str:
    if day == today:
        return _("Today")
    if day == today + timedelta(days=1):
        return _("Tomorrow")
    return date_format(day, "l")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
@pages.refusals_told(lambda request, slug: request.path)
def my_calendar(request, slug):
    """The secret address of one's own sessions, for a calendar program; posted: another one."""
    event = pages.event_of(request, slug)
    if request.method == "POST":
        feeds.renew(person=request.user)
        messages.success(request, _("Your calendar has a new address. The former one leads nowhere any more."))
        return pages.see("my_calendar", slug)
    url = address(feeds.of(person=request.user))
    context = {"event": event, "tab": "schedule", "url": url, "webcal": f"webcal://{url.partition('://')[2]}"}
    return render(request, "rsvp/calendar.html", context)
