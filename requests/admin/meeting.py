"""A session's page for its mechanic: who, what, and what is said. For participants only, whatever anybody's role."""

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from config.errors import DomainError

from ..forms.service_admin import PlaceForm
from ..models import ParticipantRole, ServiceSession, SessionRequest, SessionType
from ..operations import taking, talking
from ..views import thread
from .words import step_words, zone_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request, session_id):
    sessions = ServiceSession.objects.of_participant(request.user)
    sessions = sessions.select_related("request", "intake", "customer", "event", "organization")
    session = sessions.filter(pk=session_id, request__isnull=False).first()  # loaded from elsewhere it may lack it yet
    if session is None:
        raise Http404
    if session.my_role != ParticipantRole.MECHANIC:
        return HttpResponseRedirect(reverse("service_session", args=[session.pk]))
    if request.method == "POST":
        return _act(request, session)
    return _shown(request, session, _form(session))


def _form(session, data=None) -> PlaceForm | None:
    if session.type == SessionType.CHAT or not session.is_open:
        return None
    return PlaceForm(data, session=session, initial={"place": session.place})


def _shown(request, session, form, status=200):
    row = SessionRequest.objects.with_deadlines().select_related("event", "organization").get(session=session)
    parts = request.method == "GET" and "parts" in request.GET
    template = "admin/service_session_parts.html" if parts else "admin/service_session.html"
    context = ({} if parts else admin.site.each_context(request)) | {
        "title": str(row),
        "session": session,
        "row": row,
        "zone": zone_of(row),
        "form": form,
        "details": _details(session.intake),
        "ended": _ended(row),
        "thread": thread.of_session(session, request.user, everything="all" in request.GET),
    }
    return TemplateResponse(request, template, context, status=status)


def _ended(row) -> str | None:
    """How, and by whom."""
    last = row.log.select_related("from_mechanic", "to_mechanic").first()
    return step_words(last)["what"] if last and row.closed_at else None


def _details(intake) -> list[tuple[str, str]]:
    """What the customer told besides, by whatever names the app gave it."""
    found = intake.details if intake is not None and isinstance(intake.details, dict) else {}
    return [(name.replace("_", " ").capitalize(), _as_text(value)) for name, value in found.items()]


def _as_text(value) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(_as_text, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_as_text(one)}" for name, one in value.items())
    return "–" if value is None else str(value)


# -- What the mechanic does about it -----------------------------------------------------------------------


def _keep(session, person):
    talking.keep(session_id=session.pk, person=person)
    return _("Good: the time starts anew.")


def _complete(session, person):
    taking.complete(request_id=session.request.pk, actor=person)
    return _("Done. The customer can read what was said.")


def _release(session, person):
    taking.release(request_id=session.request.pk, actor=person)
    return _("It is back in the line, and its customer is told.")


DOES = {"keep": _keep, "complete": _complete, "release": _release}
LEAVES = {"complete", "release"}


def _act(request, session):
    name = request.POST.get("act", "")
    if name == "place":
        return _set_place(request, session)
    if name not in DOES:
        raise BadRequest("no act of a session")
    here = reverse("admin:requests_sessionrequest_meeting", args=[session.pk])
    try:
        messages.success(request, DOES[name](session, request.user))
    except DomainError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(here)
    return HttpResponseRedirect(reverse("admin:requests_sessionrequest_board") if name in LEAVES else here)


def _set_place(request, session):
    form = _form(session, request.POST) or PlaceForm(request.POST, session=session)
    if form.is_valid():
        try:
            talking.set_place(session_id=session.pk, person=request.user, place=form.cleaned_data["place"])
        except DomainError as error:
            form.add_error("place", str(error))
        else:
            messages.success(request, _("Saved: the customer sees it now."))
            return HttpResponseRedirect(reverse("admin:requests_sessionrequest_meeting", args=[session.pk]))
    return _shown(request, session, form, status=400)
