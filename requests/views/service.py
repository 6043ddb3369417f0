"""Asking for help, and the session that it leads to, for its customer and its mechanic."""

import math
import uuid
from datetime import timedelta

from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import ordinal
from django.core.validators import slug_re
from django.db.models import Count, Exists, OuterRef, Q
from django.http import Http404, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.api import KeyReused, opens_in, within
from config.errors import DomainError, NotFound
from events import pages
from events.models import Event

from ..api.pace import Asking, Talking
from ..forms.service import AskForm, PlaceForm, SayForm
from ..models import (
    Mechanic,
    ParticipantRole,
    RequestStatus,
    ServiceSession,
    ServiceStatus,
    SessionRequest,
    SessionType,
)
from ..operations import intakes, taking, talking
from . import thread

PAST = 50
"""Requests that are over, on one's page: the last ones."""


# -- On the event page -----------------------------------------------------------------------------------


@pages.part
def need_help(request, event):
    """Where one asks for help, or how one's request stands."""
    if event.status != Event.Status.PUBLISHED:
        return None
    mechanics = _helping_at(event).aggregate(some=Count("pk"), on_duty=Count("pk", filter=Q(on_duty=True)))
    mine = _live_of(request.user).filter(event=event).first() if request.user.is_authenticated else None
    if not mechanics["some"] and mine is None:
        return None
    return {"template": "web/service/part.html", "mine": mine, "on_duty": mechanics["on_duty"]}


def _helping_at(event):
    """Who could be on duty there."""
    return Mechanic.objects.serving(event.organization_id, event.pk).filter(active=True, user_profile__is_active=True)


def _live_of(person):
    """The person's requests that wait or are in progress, the newest first."""
    live = SessionRequest.objects.filter(customer=person.pk, status__in=RequestStatus.LIVE)
    return live.select_related("mechanic__user_profile", "event", "organization").order_by("-pk")


# -- One's requests --------------------------------------------------------------------------------------


@require_safe
@pages.signed_in
def my_requests(request):
    """What one has asked for, and the sessions in which one helps."""
    mine = SessionRequest.objects.filter(customer=request.user.pk)
    mine = mine.select_related("mechanic__user_profile", "event", "organization").order_by("-pk")
    helping = SessionRequest.objects.filter(
        session__in=ServiceSession.objects.of_participant(request.user).open().filter(my_role=ParticipantRole.MECHANIC)
    )
    context = {
        "live": mine.filter(status__in=RequestStatus.LIVE).with_unanswered(request.user.pk),
        "past": mine.filter(status__in=RequestStatus.OVER)[:PAST],
        "helping": helping.with_unanswered(request.user.pk).select_related("customer").order_by("accepted_at", "pk"),
        "board": request.user.is_mechanic and reverse("admin:requests_sessionrequest_board"),
        "may_ask": bool(_events_with_help(request.user)) or intakes.helping(request.user).exists(),
    }
    return render(request, "web/service/mine.html", context)


# -- Asking ----------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
@pages.refusals_told(lambda request: reverse("help"))
def ask(request):
    """The intake, at ``?event=`` or of ``?organization=``; without either, where one could ask."""
    if slug := _slug(request, "event"):
        event = pages.event_of(request, slug)
        return _ask(request, event.organization, event)
    if slug := _slug(request, "organization"):
        organization = intakes.helping(request.user).filter(slug=slug).first()
        if organization is None:
            raise Http404
        return _ask(request, organization, None)
    places = [_address_of(event=event) for event in _events_with_help(request.user)]
    places += [_address_of(organization=organization) for organization in intakes.helping(request.user)]
    if len(places) == 1:
        return pages.see(places[0]["url"])
    return render(request, "web/service/choose.html", {"places": places})


def _slug(request, name) -> str:
    slug = request.GET.get(name, "")
    if slug and not slug_re.match(slug):
        raise Http404
    return slug


def _events_with_help(person):
    """Events that the person is at, which aren't over, and where somebody helps."""
    mine = Event.objects.reachable_by(person).with_standing(person).filter(my_attendee_id__isnull=False)
    at = Mechanic.objects.serving(OuterRef("organization"), OuterRef("pk"))
    helped = Exists(at.filter(active=True, user_profile__is_active=True))
    return mine.filter(helped, status=Event.Status.PUBLISHED, ends_at__gt=timezone.now()).order_by("starts_at", "pk")


def _address_of(*, event=None, organization=None) -> dict:
    """Where one asks, and what it is called."""
    query = {"event": event.slug} if event else {"organization": organization.slug}
    return {"name": str(event or organization), "url": f"{reverse('help_new')}?{urlencode(query)}", "event": event}


def _ask(request, organization, event):
    form = AskForm(
        request.POST if request.method == "POST" else None,
        settings=intakes.settings_of(organization),
        initial={"key": uuid.uuid4().hex},
    )
    error = None
    if form.is_valid():
        error = _too_fast(request.user, Asking)
        if error is None:
            try:
                made = intakes.start_intake(
                    person=request.user,
                    event_id=event.pk if event else None,
                    organization_id=organization.pk,
                    **form.cleaned_data,
                )
            except KeyReused:
                error = _("You have asked with this form already. Send it again if you really want to ask anew.")
            except NotFound:
                raise
            except DomainError as refused:
                error = refused
            else:
                return pages.see("service_session", made.row.session_id)
        form.add_error(None, str(error))
        form.data = form.data.copy()
        form.data["key"] = uuid.uuid4().hex
    elif request.method != "POST" and event and not _may_ask_at(request, event):
        return pages.see("event_page", event.slug)
    where = {"event": event} if event else {"organization": organization}
    live = list(_live_of(request.user))
    context = {
        "form": form,
        "event": event,
        "tab": "event",
        "organization": organization,
        "here": _address_of(**where)["url"],
        "waiting": next((one for one in live if one.is_open), None),
        "met": next((one for one in live if not one.is_open), None),
        "on_duty": intakes.on_duty(organization.pk, event.pk if event else None),
    }
    passing = isinstance(error, DomainError) and pages.is_passing(error)
    answer = render(request, "web/service/ask.html", context, status=503 if passing else 200)
    if passing:
        answer["Retry-After"] = str(error.retry_after)
    return answer


def _too_fast(person, pace) -> str | None:
    """Counts one more, together with the API."""
    if within(pace.rate, pace.scope, str(person.pk)):
        return None
    wait = math.ceil(opens_in(pace.rate, pace.scope, str(person.pk)))
    words = ngettext("Too often. Try again in {seconds} second.", "Too often. Try again in {seconds} seconds.", wait)
    return words.format(seconds=wait)


def _may_ask_at(request, event) -> bool:
    if event.status != Event.Status.PUBLISHED:
        messages.info(request, _("Nobody can ask for help at this event now."))
    elif not _helping_at(event).exists():
        messages.info(request, _("Nobody gives help at this event."))
    else:
        return True
    return False


# -- The session -----------------------------------------------------------------------------------------


def _session_of(request, session_id) -> ServiceSession:
    """With ``my_role``. Raises Http404 for whoever isn't in it."""
    session = (
        ServiceSession.objects.of_participant(request.user)
        .select_related("request", "intake", "customer", "mechanic__user_profile", "organization", "event")
        .filter(pk=session_id, request__isnull=False)  # what was loaded from elsewhere may lack it yet
        .first()
    )
    if session is None:
        raise Http404
    return session


def _back(request, session_id) -> str:
    """To the session, or from one that somebody is no longer in, to their page."""
    if ServiceSession.objects.of_participant(request.user).filter(pk=session_id).exists():
        return reverse("service_session", args=[session_id])
    return reverse("help")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
@pages.refusals_told(_back)
def service_session(request, session_id):
    """For customer and mechanic; a mechanic who may enter the admin has a page of their own there.

    Posted: what the mechanic does (``act``). ``?part=``: what of it changes, for turnout/service.js.
    """
    session = _session_of(request, session_id)
    is_mechanic = session.my_role == ParticipantRole.MECHANIC
    if request.method == "POST":
        if not is_mechanic:
            raise Http404
        return _act(request, session)
    if is_mechanic and admin.site.has_permission(request):
        return pages.see("admin:requests_sessionrequest_meeting", session.pk)
    template = "web/service/parts.html" if "part" in request.GET else "web/service/session.html"
    return render(request, template, _context(request, session))


def _context(request, session, **said) -> dict:
    asked = session.request
    event = Event.objects.reachable_by(request.user).filter(pk=session.event_id).first() if session.event_id else None
    last = asked.log.select_related("from_mechanic__user_profile").first()
    context = {
        "session": session,
        "asked": asked,
        "event": event,
        "tab": "event",
        "is_mechanic": session.my_role == ParticipantRole.MECHANIC,
        "why": last.reason if last else "",
        "had_it": last.from_mechanic if last else None,
        "waits": asked.is_open,
        "is_chat": session.type == SessionType.CHAT,
        "is_video": session.type == SessionType.VIDEO,
        "again": _address_of(**({"event": session.event} if session.event else {"organization": session.organization})),
        "thread": thread.of_session(session, request.user, everything="all" in request.GET, **said),
        "here": f"{reverse('service_session', args=[session.pk])}?{'all=1&' if 'all' in request.GET else ''}part=all",
    }
    place = intakes.place_in_line(asked) if asked.is_open else None
    context["headline"] = _headline(session, asked, place, context["is_mechanic"])
    if asked.is_open:
        context["on_duty"] = intakes.on_duty(session.organization_id, session.event_id)
        context["waited"] = timezone.now() - asked.created_at > timedelta(minutes=1)
    elif context["is_mechanic"] and session.status == ServiceStatus.LIVE:
        context["idle_at"] = SessionRequest.objects.with_deadlines().get(pk=asked.pk).idle_at
    return context


def _headline(session, asked, place, is_mechanic) -> str:
    """How it stands, in a few words: the page's heading and title."""
    match session.status:
        case ServiceStatus.PENDING if place == 1:
            return _("You're next")
        case ServiceStatus.PENDING if place:
            return _("You are {place} in line").format(place=ordinal(place))
        case ServiceStatus.PENDING:  # taken a moment ago
            return _("Somebody is coming")
        case ServiceStatus.LIVE if is_mechanic:
            return str(session.customer)
        case ServiceStatus.LIVE:
            return _("{mechanic} is here for you").format(mechanic=session.mechanic)
        case ServiceStatus.COMPLETED:
            return _("Done")
        case _cancelled if asked.mechanic_id is not None:
            return _("Ended")
        case _cancelled:
            return _("Cancelled")


def _act(request, session):
    """What a mechanic does on this page."""
    asked = session.request
    match request.POST.get("act"):
        case "keep":
            talking.keep(session_id=session.pk, person=request.user)
            messages.success(request, _("Good: it stays with you."))
        case "place":
            form = PlaceForm(request.POST)
            try:
                if (
                    form.is_valid()
                    and talking.set_place(session_id=session.pk, person=request.user, **form.cleaned_data).changed
                ):
                    messages.success(request, _("It is said to the customer."))
            except talking.LinkNeeded as error:
                form.add_error("place", str(error))
            if form.errors:
                refused = {"typed": form["place"].value(), "error": form.errors["place"][0]}
                context = _context(request, session) | {"refused": refused}
                return render(request, "web/service/session.html", context, status=400)
        case "release":
            taking.release(request_id=asked.pk, actor=request.user)
            messages.success(request, _("You have handed it back: it waits for somebody else."))
            return pages.see("help")
        case "complete":
            taking.complete(request_id=asked.pk, actor=request.user)
        case _unknown:
            raise Http404
    return pages.see("service_session", session.pk)


@require_POST
@pages.signed_in
@pages.refusals_told(_back)
def say(request, session_id):
    """A message; with ``part``, for turnout/service.js, the answer is what was said so far."""
    session = _session_of(request, session_id)
    is_live = "part" in request.POST
    form = SayForm(request.POST)
    if not form.is_valid():
        return _not_said(request, session, next(iter(form.errors.values()))[0], 400, is_live)
    if error := _too_fast(request.user, Talking):
        return _not_said(request, session, error, 429, is_live)
    try:
        talking.say(session_id=session.pk, person=request.user, **form.cleaned_data)
    except NotFound:
        raise
    except DomainError as refused:
        return _not_said(request, session, str(refused), refused.status, is_live)
    if is_live:
        said = thread.of_session(session, request.user, everything="all" in request.POST)
        return render(request, "web/service/messages.html", {"thread": said})
    return pages.see(f"{reverse('service_session', args=[session.pk])}#say")


def _not_said(request, session, error, status, is_live):
    """What was typed is kept: by the page that is there, or on the one that comes."""
    if is_live:
        return JsonResponse({"detail": error}, status=status)
    session = _session_of(request, session.pk)
    context = _context(request, session, typed=request.POST.get("body", ""), error=error)
    return render(request, "web/service/session.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
@pages.refusals_told(_back)
def cancel(request, session_id):
    """Asks first; a second click finds it done."""
    session = _session_of(request, session_id)
    if session.my_role != ParticipantRole.CUSTOMER:
        raise Http404
    if not session.is_open:
        return pages.see("service_session", session.pk)
    if request.method == "POST":
        taking.cancel(request_id=session.request.pk, actor=request.user)
        return pages.see("service_session", session.pk)
    return render(request, "web/service/cancel.html", _context(request, session))
