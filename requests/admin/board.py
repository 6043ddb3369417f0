"""The board: what waits, what is in progress, what was done today, and who is on duty.

Mechanics take from it what they may take; organisers see all of their organisations, and may give, put back and cancel.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, DateTimeField, Exists, Func, Min, OuterRef, Prefetch, Q, Subquery, Value
from django.db.models.functions import Coalesce, Now
from django.http import HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from config.admin import MenuPage, card, menu_page
from config.errors import DomainError, NotFound
from events.models import Event, Organization
from events.models.people import Role

from ..models import Mechanic, RequestStatus, ServiceSession, ServiceStatus, SessionRequest
from ..operations import mechanics, taking, telling
from .words import duration, going_back, zone_of

SHOWN = 100
"""Cards of a column."""
CHOICES = 50
"""Events to filter by."""
SHORT = 140
"""Characters of a concern that stand on a card at once."""
CHOSEN = "service_board"
"""Where the session keeps what the board was last filtered by."""


def opens(person) -> bool:
    """Whether the board is for them: whoever looks after an organisation, or helps its customers."""
    if not person.is_authenticated:
        return False
    return person.has_perm("requests.view_sessionrequest") or person.is_mechanic


def refuse_others(request) -> None:
    if not opens(request.user):
        raise PermissionDenied


menu_page("requests.board", MenuPage(gettext_lazy("Service board"), "admin:requests_sessionrequest_board", opens))


# -- Who looks, and at what --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What the board is filtered by: one organisation, one event, or nothing. ``key`` is how addresses say it."""

    key: str = ""
    organization_id: int | None = None
    event_id: int | None = None

    @classmethod
    def of(cls, key: str):
        """Nonsense is no filter."""
        kind, number = key[:1], key[1:]
        if kind not in ("o", "e") or not (number.isascii() and number.isdecimal() and len(number) < 10):
            return cls()
        return cls(key, **{"organization_id" if kind == "o" else "event_id": int(number)})

    def narrow(self, rows):
        if self.event_id is not None:
            return rows.filter(event=self.event_id)
        return rows.filter(organization=self.organization_id) if self.organization_id is not None else rows


@dataclass
class Viewer:
    """Whoever looks at the board: whom they are as a mechanic, and which organisations they look after."""

    person: object
    mine: list[Mechanic] = field(default_factory=list)

    def __post_init__(self):
        served = Prefetch("events", Event.objects.only("pk"))
        rows = with_in_hand(mechanics.of_person(self.person)).prefetch_related(served)
        self.mine = list(rows.order_by("organization__name", "pk"))
        for one in self.mine:
            one.confirm = going_back(one.in_hand)

    @property
    def organizations(self):
        """All whose board they see."""
        looked_after = Organization.objects.of_staff(self.person, Role.LOOK).order_by()
        own = [one.organization_id for one in self.mine]
        return Organization.objects.filter(Q(pk__in=looked_after.values("pk")) | Q(pk__in=own))

    @property
    def requests(self):
        """What they see, but for their own as a customer, which is on another page."""
        rows = SessionRequest.objects.seen_by(self.person.pk)
        if self.person.is_superuser:
            return rows
        after = [pk for pk, role in self.person.roles.items() if role in Role.LOOK]
        return rows.filter(~Q(customer=self.person.pk) | Q(organization__in=after))

    @property
    def on_duty(self) -> bool:
        return any(one.on_duty for one in self.mine)

    @property
    def nobody_waits(self) -> str:
        """To whoever is off duty nobody is shown, which doesn't mean that nobody waits."""
        sees_all = self.on_duty or self.person.has_perm("requests.view_sessionrequest")
        return _("Nobody waits.") if sees_all else _("Go on duty to see who waits.")


# -- What stands on it -------------------------------------------------------------------------------------


@dataclass
class Column:
    """The cards of one state, the first of ``number``."""

    name: str
    title: str
    empty: str
    cards: list[dict]
    number: int


class InZone(Func):
    """A moment by the clock of a zone, or the moment at which that clock says so."""

    function = "timezone"
    arity = 2


TODAY = InZone(
    Coalesce("event__timezone", Value("UTC")),
    Func(Value("day"), InZone(Coalesce("event__timezone", Value("UTC")), Func(function="now")), function="date_trunc"),
    output_field=DateTimeField(),
)
"""When today began by the clock of the row's event; by UTC's, where there is none."""


def columns(viewer: Viewer, choice: Choice) -> tuple[list[Column], list[dict]]:
    """The three columns, and who is on duty. The number of queries doesn't depend on what they find."""
    seen = choice.narrow(viewer.requests).select_related("event", "organization", "mechanic__user_profile", "customer")
    waiting = seen.open().in_line()
    taken = seen.filter(status=RequestStatus.ACCEPTED).with_deadlines().with_unanswered(viewer.person.pk)
    taken = taken.order_by("accepted_at", "pk")
    # By no clock is today older than a day and an hour; that much an index finds.
    recent = seen.filter(status=RequestStatus.COMPLETED, closed_at__gte=Now() - timedelta(hours=26))
    done = recent.filter(closed_at__gte=TODAY).order_by("-closed_at", "-pk")
    on_duty = list(duty(viewer, choice))
    shown = []
    for name, title, empty, rows in (
        ("waiting", _("Waiting"), viewer.nobody_waits, waiting),
        ("taken", _("In progress"), _("Nothing is in progress."), taken),
        ("done", _("Done today"), _("Nothing was done today yet."), done),
    ):
        found = list(rows[: SHOWN + 1])
        number = rows.count() if len(found) > SHOWN else len(found)
        shown.append(Column(name, title, empty, [described(one, viewer, on_duty) for one in found[:SHOWN]], number))
    people = [
        {"mechanic": one, "in_hand": one.in_hand, "mine": one.user_profile_id == viewer.person.pk} for one in on_duty
    ]
    return shown, people


def duty(viewer, choice):
    """Who is on duty where the person looks, with how many each has in hand."""
    rows = Mechanic.objects.on_duty().filter(organization__in=viewer.organizations)
    if choice.event_id is not None:
        event = Event.objects.filter(pk=choice.event_id)
        rows = rows.serving(event.values("organization")[:1], choice.event_id)
    elif choice.organization_id is not None:
        rows = rows.filter(organization=choice.organization_id)
    return (
        with_in_hand(rows)
        .select_related("organization", "user_profile")
        .prefetch_related(Prefetch("events", Event.objects.only("pk")))
        .order_by("display_name", "pk")
    )


def with_in_hand(rows):
    """Adds how much of what each has accepted goes on. Asked for by an index of what isn't over: a join would count all
    that they ever had."""
    accepted = SessionRequest.objects.filter(mechanic=OuterRef("pk"), status=RequestStatus.ACCEPTED, closed_at=None)
    held = Subquery(accepted.order_by().values("mechanic").annotate(held=Count("pk")).values("held"))
    return rows.annotate(in_hand=Coalesce(held, 0))


def described(request, viewer, on_duty) -> dict:
    """A card: what it says, and what this person may do about it."""
    person, live = viewer.person, request.status in RequestStatus.LIVE
    manages = live and person.has_perm("requests.assign_sessionrequest", request)
    own = request.mechanic is not None and request.mechanic.user_profile_id == person.pk
    serving = [one for one in on_duty if one.serves(request.organization_id, request.event_id)]
    fit = [one for one in serving if one.user_profile_id != request.customer_id]
    return {
        "row": request,
        "zone": zone_of(request),
        "where": request.event or request.organization,
        "short": f"{request.notes[: SHORT - 1].rstrip()}…" if len(request.notes) > SHORT else "",
        "age": timesince(request.created_at, depth=1),
        "told": told_words(request, fit) if request.is_open else "",
        "waited": duration(request.first_accepted_at and request.first_accepted_at - request.created_at),
        "took": duration(request.closed_at and request.accepted_at and request.closed_at - request.accepted_at),
        "own": own,
        "unanswered": request.unanswered if own and live else 0,
        "may_accept": request.is_open
        and request.customer_id != person.pk
        and any(one.on_duty and one.serves(request.organization_id, request.event_id) for one in viewer.mine),
        "may_move": request.status == RequestStatus.ACCEPTED and (own or manages),
        "manages": manages,
        "others": [one for one in fit if manages and one.pk != request.mechanic_id],
    }


def told_words(request, on_duty) -> str:
    """Who has heard of it by now; where none of those ``on_duty`` who serve it knows about it, all have."""
    if request.told == telling.ORGANIZERS:
        return _("Told: everybody on duty, and the organisers")
    if request.notification_sent_at is None:
        return _("Nobody was told: nobody who serves it is on duty") if request.told else _("Nobody has been told yet")
    if request.told == telling.SKILLED and any(request.skill in one.skills for one in on_duty):
        return _("Told: who knows about “{}” first").format(request.skill)
    return _("Told: everybody on duty")


def choices(viewer, choice) -> list[tuple[str, list[tuple[str, str]]]]:
    """What one can filter by, in groups; nothing where there is only one place."""
    organizations = list(viewer.organizations.order_by("name", "pk")[:CHOICES])
    now = timezone.now()
    waits = SessionRequest.objects.filter(event=OuterRef("pk"), closed_at=None)
    rows = Event.objects.filter(organization__in=organizations).filter(
        Q(status=Event.Status.PUBLISHED, ends_at__gt=now) | Q(Exists(waits)) | Q(pk=choice.event_id)
    )
    looked_after = Event.objects.of_staff(viewer.person, Role.LOOK)
    all_of = [one.organization_id for one in viewer.mine if one.serves_all]
    some = [event.pk for one in viewer.mine for event in one.events.all()]
    rows = rows.filter(Q(pk__in=looked_after.values("pk")) | Q(organization__in=all_of) | Q(pk__in=some))
    events = [(f"e{pk}", title) for pk, title in rows.order_by("starts_at", "pk").values_list("pk", "title")[:CHOICES]]
    groups = []
    if len(organizations) > 1:
        groups.append((_("Organisations"), [(f"o{one.pk}", one.name) for one in organizations]))
    if len(events) > 1 or choice.event_id is not None:
        groups.append((_("Events"), events))
    return groups


# -- Its pages ---------------------------------------------------------------------------------------------


def _shown(viewer, choice) -> dict:
    found, people = columns(viewer, choice)
    return {
        "columns": found,
        "people": people,
        "viewer": viewer,
        "choice": choice,
        "waiting": found[0].number,
        "now": timezone.now(),
    }


@require_http_methods(["GET", "HEAD", "POST"])
def page(request):
    refuse_others(request)
    if request.method == "POST":
        return _act(request)
    if "of" in request.GET:
        request.session[CHOSEN] = Choice.of(request.GET["of"]).key
    viewer = Viewer(request.user)
    choice = Choice.of(request.session.get(CHOSEN, ""))
    offered = choices(viewer, choice)
    if choice.key and choice.key not in [key for _title, group in offered for key, _name in group]:
        choice = Choice()
    context = admin.site.each_context(request) | _shown(viewer, choice)
    context |= {"title": _("Service board"), "choices": offered, "may_figure": request.user.has_perm(FIGURES)}
    return TemplateResponse(request, "admin/service_board.html", context)


FIGURES = "requests.view_sessionrequest"


@require_safe
def rows(request):
    """What changes on the board, for its script."""
    refuse_others(request)
    shown = _shown(Viewer(request.user), Choice.of(request.GET.get("of", "")))
    response = TemplateResponse(request, "admin/service_rows.html", shown)
    response["Cache-Control"] = "no-store"
    return response


# -- What one does on it -----------------------------------------------------------------------------------


def _accept(request, key):
    outcome = taking.accept(request_id=key, person=request.user)
    return _("It is yours.") if outcome.changed else _("It is yours already.")


def _release(request, key):
    taking.release(request_id=key, actor=request.user)
    return _("It is back in the line.")


def _complete(request, key):
    outcome = taking.complete(request_id=key, actor=request.user)
    return _("Done.") if outcome.changed else _("It was done already.")


def _cancel(request, key):
    outcome = taking.cancel(request_id=key, actor=request.user)
    return _("Cancelled: the customer is told.") if outcome.changed else _("It was cancelled already.")


class MechanicNeeded(DomainError):
    code = "mechanic_needed"
    status = 400
    message = _("Choose somebody first.")


def _give(request, key):
    try:
        mechanic_id = UUID(request.POST.get(f"mechanic-{key}", ""))
    except ValueError:
        raise MechanicNeeded from None
    outcome = taking.takeover(request_id=key, mechanic_id=mechanic_id, actor=request.user)
    mechanic = Mechanic.objects.select_related("user_profile").get(pk=mechanic_id)
    return (_("{} has it now.") if outcome.changed else _("{} has it already.")).format(mechanic)


def _start_duty(request, key):
    mechanics.set_duty(mechanic_id=key, on=True, actor=request.user)
    return _("You are on duty: what waits is shown here, and you hear of what is new.")


def _end_duty(request, key):
    mechanics.set_duty(mechanic_id=key, on=False, actor=request.user)
    return _("You are off duty.")


DOES = {
    "accept": _accept,
    "release": _release,
    "complete": _complete,
    "cancel": _cancel,
    "give": _give,
    "start-duty": _start_duty,
    "end-duty": _end_duty,
}


def _act(request):
    """``act=accept:<id of the request>``. Answers a script with what it did and where to ``go`` then, if anywhere; a
    form with that page, or the board again."""
    name, _colon, key = request.POST.get("act", "").partition(":")
    try:
        does, key = DOES[name], UUID(key)
    except (KeyError, ValueError) as error:
        raise BadRequest("no act of the board") from error
    try:
        said, refused = does(request, key), None
    except NotFound:
        said, refused = _("Somebody else has it, or it is over."), NotFound
    except DomainError as error:
        said, refused = str(error), error
    go = _meeting(key) if name == "accept" and refused is None else None
    by_script = "application/json" in request.headers.get("Accept", "")
    if go or not by_script:
        messages.add_message(request, messages.ERROR if refused else messages.SUCCESS, said)
    if by_script:
        answer = {"done": refused is None, "said": said} | ({"go": go} if go else {})
        return JsonResponse(answer, status=refused.status if refused else 200)
    return HttpResponseRedirect(go or reverse("admin:requests_sessionrequest_board"))


def _meeting(request_id) -> str:
    """Whoever takes a request is with its customer from then on."""
    session_id = SessionRequest.objects.values_list("session", flat=True).get(pk=request_id)
    return reverse("admin:requests_sessionrequest_meeting", args=[session_id])


# -- On the overview ---------------------------------------------------------------------------------------


def _waiting(request) -> dict | None:
    """Asked once a page: the card stands above or below the others."""
    if not hasattr(request, "service_waiting"):
        request.service_waiting = _found(request.user) if opens(request.user) else None
    return request.service_waiting


def _found(person) -> dict | None:
    seen = SessionRequest.objects.seen_by(person.pk).open()
    if not person.has_perm("requests.view_sessionrequest"):
        seen = seen.exclude(customer=person.pk)
    unattended = Count("pk", filter=Q(status=RequestStatus.UNATTENDED))
    found = seen.aggregate(number=Count("pk"), unattended=unattended, oldest=Min("created_at"))
    sessions = ServiceSession.objects.of_participant(person).filter(
        status=ServiceStatus.LIVE, mechanic__user_profile=person.pk
    )
    own = list(sessions.select_related("customer", "request").order_by("last_activity_at")[:SHOWN])
    if not found["number"] and not own and not person.is_mechanic:
        return None
    oldest = found["oldest"] and timesince(found["oldest"], depth=1)
    return {"template": "admin/card_service.html"} | found | {"oldest": oldest, "own": own}


@card(first=True)
def unattended_requests(request):
    found = _waiting(request)
    return found if found and found["unattended"] else None


@card
def waiting_requests(request):
    found = _waiting(request)
    return found if found and not found["unattended"] else None
