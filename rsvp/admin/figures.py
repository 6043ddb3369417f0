"""The page of figures about an event's sessions, the data that its pictures are drawn from, and what of it can't
wait on the overview."""

from dataclasses import asdict

from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import Http404, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from config.admin import add_glance, card, roles_for
from events.models import Event, Session
from events.models.agenda import SessionStatus

from ..models import WaitlistEntry
from ..operations import figures

VIEW = "rsvp.view_sessionrsvp"
OFFERS = [
    ("accepted", _("Accepted")),
    ("declined", _("Declined")),
    ("expired", _("Not answered in time")),
    ("withdrawn", _("Taken back")),
    ("standing", _("Waiting for an answer")),
]


def _event(request, event_id) -> Event:
    event = Event.objects.of_staff(request.user, roles_for(VIEW)).filter(pk=event_id).first()
    if event is None:
        raise Http404
    return event


def _figures(event) -> dict:
    """The same for the pictures and for the tables under them. Days are the event's own."""
    feedback = figures.feedback(event)
    return {
        "event": {"id": event.pk, "title": event.title, "timezone": event.timezone},
        "rsvps": asdict(figures.by_day(event)),
        "fill": asdict(figures.fill(event)),
        "offers": asdict(figures.offers(event)),
        "feedback": asdict(feedback) | {"count": feedback.count, "average": feedback.average},
    }


@require_safe
def figures_data(request, event_id, model_admin):
    return JsonResponse(_figures(_event(request, event_id)))


@require_safe
def figures_page(request, event_id, model_admin):
    event = _event(request, event_id)
    found = _figures(event)
    totals = found["offers"]["totals"]
    context = model_admin.admin_site.each_context(request) | {
        "title": _("{}: figures of its sessions").format(event.title),
        "opts": model_admin.opts,
        "event": event,
        "figures": found,
        "offers": [(name, label, totals[name]) for name, label in OFFERS],
        "percent": _percent(found["fill"]["seats"], found["fill"]["capacity"]),
        "without_limit": found["fill"]["sessions"] - found["fill"]["limited"],
        "more": found["fill"]["limited"] - len(found["fill"]["rows"]),
        "ratings": sorted(found["feedback"]["ratings"].items(), reverse=True),
        "sessions": f"{reverse('admin:events_session_changelist')}?event__id__exact={event.pk}",
        "may_see_attendance": request.user.has_perm("attendance.view_checkin", event),
    }
    return TemplateResponse(request, "admin/session_figures.html", context)


def _percent(part, whole) -> int | None:
    return round(100 * part / whole) if whole else None


def figures_of_event(request, event):
    """The way to the figures, on the event's page."""
    if not request.user.has_perm(VIEW, event):
        return []
    return [(_("Session figures"), _("Show"), reverse("admin:rsvp_sessionrsvp_figures", args=(event.pk,)))]


add_glance("events.Event", figures_of_event)

MOST = 10
"""Events that the overview shows."""


@card
def lines_to_look_at(request):
    """Events that go on or are to come where people wait for seats in sessions: how it stands with the lines."""
    events = Event.objects.of_staff(request.user, roles_for(VIEW))
    ahead = Session.objects.filter(event=OuterRef("pk"), status=SessionStatus.SCHEDULED, starts_at__gt=Now())
    ahead = ahead.order_by().values("event")
    held_back = Q(waitlist_length__gt=0) & (Q(capacity=None) | ~figures.FULL)

    def number(rows, **only):
        return Coalesce(Subquery(rows.annotate(number=Count("pk", **only)).values("number")), 0)

    standing = WaitlistEntry.objects.offered().filter(event=OuterRef("pk")).order_by().values("event")
    found = events.filter(status__in=Event.Status.OPEN, ends_at__gt=timezone.now()).annotate(
        full=number(ahead, filter=figures.LIMITED & figures.FULL),
        lines=number(ahead, filter=Q(waitlist_length__gt=0)),
        held_back=number(ahead, filter=held_back),
        standing=number(standing),
    )
    rows = list(found.filter(Q(lines__gt=0) | Q(standing__gt=0)).order_by("starts_at", "pk")[:MOST])
    return {"template": "admin/card_lines.html", "events": rows} if rows else None
