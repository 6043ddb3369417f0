"""How long customers wait, and who did what: for whoever looks after an organisation."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from events.models import Event, Organization
from events.models.people import Role

from ..models import SessionRequest
from ..operations import figures
from ..operations.figures import Period
from .board import CHOICES, FIGURES, Choice
from .words import duration


@require_safe
def page(request):
    if not request.user.has_perm(FIGURES):
        raise PermissionDenied
    organizations = list(Organization.objects.of_staff(request.user, Role.LOOK).order_by("name", "pk"))
    choice = Choice.of(request.GET.get("of", ""))
    asked = SessionRequest.objects.filter(organization__in=organizations).exclude(event=None).order_by()
    events = Event.objects.filter(pk__in=asked.values("event"), organization__in=organizations)
    event = events.filter(pk=choice.event_id).first() if choice.event_id is not None else None
    chosen = [one for one in organizations if one.pk == choice.organization_id]
    period = request.GET.get("period", "")
    period = Period(period) if period in Period.values else Period.ALL if event else Period.TODAY
    of = [one.pk for one in chosen or organizations]
    event_id = event.pk if event else None
    waits = figures.waits(of, period, event_id=event_id)
    work = figures.work(of, period, event_id=event_id)
    key = choice.key if event or chosen else ""
    offered = []
    if len(organizations) > 1:
        offered.append((_("Organisations"), [(f"o{one.pk}", one.name) for one in organizations[:CHOICES]]))
    newest = events.order_by("-starts_at", "pk").values_list("pk", "title")[:CHOICES]
    if newest:
        offered.append((_("Events"), [(f"e{pk}", title) for pk, title in newest]))
    context = admin.site.each_context(request) | {
        "title": _("Service figures"),
        "waits": waits,
        "median": duration(waits.median),
        "p95": duration(waits.p95),
        "percent": None if waits.share is None else round(100 * waits.share),
        "work": [{"row": one, "median": duration(one.median)} for one in work],
        "periods": Period.choices,
        "period": period.value,
        "choices": offered,
        "of": key,
        "event": event,
    }
    return TemplateResponse(request, "admin/service_figures.html", context)
