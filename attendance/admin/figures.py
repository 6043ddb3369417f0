"""The page of figures of an event, and the data that its pictures are drawn from."""

from django.http import Http404, JsonResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from config.admin import roles_for
from events.models import Event

from ..models import AttendanceStatus
from ..operations import figures, points

SHOWN = (*points.SCORING, AttendanceStatus.UNKNOWN)
"""From best to worst, and what nobody knows last."""


def _event(request, event_id) -> Event:
    events = Event.objects.of_staff(request.user, roles_for("attendance.view_checkin")).select_related("organization")
    event = events.filter(pk=event_id).first()
    if event is None:
        raise Http404
    return event


def _figures(request, event) -> dict:
    """The same for the picture and for the table under it. Moments are the event's own clock."""
    wished = request.GET.get("minutes", "")
    arrivals = figures.arrivals(event, int(wished) if wished in map(str, figures.SIZES) else None)
    return {
        "event": {"id": event.pk, "title": event.title, "timezone": event.timezone},
        "counts": figures.tally(event),
        "minutes": arrivals.minutes,
        "arrivals": arrivals.buckets,
        "outside": arrivals.outside,
        "points": figures.at_points(event),
        "scanners": figures.by_scanners(event),
        "events": [_over(one) for one in figures.no_shows(event.organization_id)],
    }


def _over(event) -> dict:
    counts = {name: getattr(event, name) for name in ("expected", "here", *AttendanceStatus.values)}
    return {
        "id": event.pk,
        "title": event.title,
        "day": event.starts_at.astimezone(event.zone).date(),
        **counts,
        "no_show_rate": figures.no_show_rate(counts),
    }


@require_safe
def figures_data(request, event_id, model_admin):
    return JsonResponse(_figures(request, _event(request, event_id)))


@require_safe
def figures_page(request, event_id, model_admin):
    event = _event(request, event_id)
    found = _figures(request, event)
    counts = found["counts"]
    context = model_admin.admin_site.each_context(request) | {
        "title": _("{}: attendance figures").format(event.title),
        "opts": model_admin.opts,
        "event": event,
        "figures": found,
        "statuses": [(status, status.label, counts[status]) for status in SHOWN],
        "percent": _percent(counts["here"], counts["expected"]),
        "sizes": [(size, _size(size)) for size in figures.SIZES],
        "several_days": len({bucket["at"].date() for bucket in found["arrivals"]}) > 1,
        "query": request.GET.urlencode(),
    }
    for one in found["events"]:
        one["percent"] = None if one["no_show_rate"] is None else round(100 * one["no_show_rate"])
        one["day"] = date_format(one["day"])
    return TemplateResponse(request, "admin/figures.html", context)


def _percent(part, whole) -> int | None:
    return round(100 * part / whole) if whole else None


def _size(minutes) -> str:
    if minutes < 60:
        return _("{} minutes").format(minutes)
    return _("1 hour") if minutes == 60 else _("1 day")
