"""Service requests: what waits, who takes it, and how it goes on.

Hot: rows go from the database to JSON without serializers; ServiceRequest is their schema, and ``shown`` their one
home, for the stream as well.
"""

from django.core.validators import RegexValidator
from django.db.models import Case, Exists, Func, OuterRef, Q, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Collate, Concat, Now
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import generics, serializers
from rest_framework.fields import empty
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import KeysetPagination, with_etag
from config.errors import NotAllowed, NotFound
from config.openapi import refuses
from events.models import Membership, UserProfile
from events.models.people import Role

from ..models import Mechanic, ParticipantRole, RequestStatus, SessionRequest, SessionRequestLog, SessionType
from ..models.mechanics import called
from ..operations import taking, telling
from . import sessions
from .sessions import LARGEST_ID, NamedMechanic, NamedPerson, StateOfSession

COLUMNS = [
    *("id", "status", "urgent", "skill", "session_type", "plan_code", "session_id", "event_id", "organization_id"),
    *("customer_id", "customer_name", "notes", "created_at", "waiting_since", "accepted_at", "updated_at"),
    *("mechanic_id", "mechanic__display_name", "mechanic__user_profile_id"),
    *("mechanic__user_profile__first_name", "mechanic__user_profile__last_name"),
]


# -- One request -----------------------------------------------------------------------------------------------


class ServiceRequest(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(
        RequestStatus.choices, help_text=_("Pending and unattended ones wait for somebody to accept them.")
    )
    urgent = serializers.BooleanField()
    skill = serializers.CharField()
    session_type = serializers.ChoiceField(SessionType.choices)
    plan_code = serializers.CharField()
    session_id = serializers.UUIDField()
    session_url = serializers.URLField(help_text=_("The page of its session, for customer and mechanic alike."))
    event_id = serializers.IntegerField(allow_null=True)
    organization_id = serializers.IntegerField()
    customer = NamedPerson()
    notes = serializers.CharField(help_text=_("The concern, as the customer told it."))
    created_at = serializers.DateTimeField(help_text=_("Its place in line, which it keeps when it comes back."))
    waiting_since = serializers.DateTimeField()
    accepted_at = serializers.DateTimeField(allow_null=True)
    mechanic = NamedMechanic(allow_null=True, help_text=_("Who has it."))
    my_role = serializers.ChoiceField(
        ParticipantRole.choices, allow_null=True, help_text=_("Yours in its session; null if it isn't yours.")
    )
    updated_at = serializers.DateTimeField()


def rows(requests, *more):
    """The columns of some SessionRequests that :func:`shown` reads, and ``more``; one query."""
    return requests.values(*COLUMNS, *more)


def shown(request: dict, person_id=None) -> dict:
    """A ServiceRequest of one of :func:`rows`, as this person sees it."""
    mechanic = request["mechanic_id"] and {"id": request["mechanic_id"], "display_name": mechanic_of(request)}
    return {
        "id": request["id"],
        "status": request["status"],
        "urgent": request["urgent"],
        "skill": request["skill"],
        "session_type": request["session_type"],
        "plan_code": request["plan_code"],
        "session_id": request["session_id"],
        "session_url": telling.address(request["session_id"]),
        "event_id": request["event_id"],
        "organization_id": request["organization_id"],
        "customer": {"id": request["customer_id"], "name": request["customer_name"]},
        "notes": request["notes"],
        "created_at": request["created_at"],
        "waiting_since": request["waiting_since"],
        "accepted_at": request["accepted_at"],
        "mechanic": mechanic,
        "my_role": _role(request, person_id),
        "updated_at": request["updated_at"],
    }


def mechanic_of(request: dict) -> str:
    """Who has it, by name."""
    names = (request[f"mechanic__user_profile__{name}"] for name in ("first_name", "last_name"))
    return called(request["mechanic__display_name"], " ".join(names).strip())


def _role(request, person_id) -> str | None:
    if person_id is None:
        return None
    if request["customer_id"] == person_id:
        return ParticipantRole.CUSTOMER
    if request["mechanic__user_profile_id"] == person_id:
        return ParticipantRole.MECHANIC
    return None


def shown_to(person, request_id) -> dict:
    """A request as it stands now, for somebody who has just acted on it."""
    return shown(rows(SessionRequest.objects).get(pk=request_id), person.pk)


class Meeting(serializers.Serializer):
    """A request and the session that it leads to."""

    request = ServiceRequest()
    session = StateOfSession()
    session_url = serializers.URLField()


def meeting(person, request_id) -> dict:
    """Raises NotYours, where the session has gone to somebody else in this moment."""
    request = shown_to(person, request_id)
    session = sessions.of(person).filter(pk=request["session_id"]).first()
    if session is None:
        raise taking.NotYours
    return {"request": request, "session": sessions.shown(session), "session_url": request["session_url"]}


# -- The list --------------------------------------------------------------------------------------------------


def _flag(yes) -> Case:
    """Sorts what is so before what isn't."""
    return Case(When(yes, then=Value("0")), default=Value("1"))


MOMENT = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')"
PLACE = Collate(
    Concat(
        _flag(Q(status=RequestStatus.UNATTENDED)),
        _flag(Q(urgent=True)),
        Func("created_at", template=MOMENT, output_field=TextField()),
        Cast("pk", TextField()),
        output_field=TextField(),
    ),
    "C",
)
"""A request's place among all (SessionRequest.in_line) as one text, so that lists page by it."""


class LinePagination(KeysetPagination):
    """In the order in which requests are to be taken, of rows that have PLACE as ``place``."""

    ordering = "place"
    check = RegexValidator(r"^[01]{2}[0-9]{20}[0-9a-f-]{36}\Z")


class Statuses(serializers.MultipleChoiceField):
    """Several by commas, or said several times."""

    def get_value(self, dictionary):
        given = [word for words in dictionary.getlist(self.field_name) for word in words.split(",") if word]
        return given or empty


class Flag(serializers.BooleanField):
    """Of a query: yes, no, or not said; REST framework takes a box that isn't ticked for no."""

    default_empty_html = empty


class RequestsQuery(serializers.Serializer):
    status = Statuses(
        choices=RequestStatus.choices, required=False, help_text=_("One or several, separated by commas.")
    )
    event = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_ID)
    organization = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_ID)
    mine = Flag(required=False, help_text=_("Only those that you filed or accepted; false: only the others."))
    updated_since = serializers.DateTimeField(
        required=False,
        help_text=_(
            "Only what changed since: the Turnout-As-Of of the last time. What is on your list no more, as somebody "
            "took it, comes as {id, deleted: true}."
        ),
    )


class GoneRequest(serializers.Serializer):
    """A request that isn't on the list any more: forget it."""

    id = serializers.UUIDField()
    deleted = serializers.BooleanField()


def listed(person_id, *, updated_since=None, **wishes):
    """What the person sees of what they wish for; with ``updated_since`` what changed of it, and with ``on_list`` false
    what isn't on that list any more, as far as they may know that it ever was."""
    on_list = _wished(SessionRequest.objects.seen_by(person_id), person_id, **wishes)
    if updated_since is None:
        return on_list.annotate(on_list=Value(True))
    until = Coalesce(OuterRef("closed_at"), Now())
    serving = _mechanics(person_id).serving(OuterRef("organization"), OuterRef("event")).filter(created_at__lte=until)
    turned = _turned(person_id, updated_since).filter(organization=OuterRef("organization"), created_at__lte=until)
    roles = _roles_turned(person_id, updated_since).filter(organization=OuterRef("organization"))
    seen = SessionRequest.objects.seen_by(person_id).filter(pk=OuterRef("pk"))
    had = SessionRequestLog.objects.filter(request=OuterRef("pk"), to_mechanic__user_profile=person_id)
    knows = Exists(seen) | Exists(serving) | Exists(turned) | Exists(roles) | Exists(had)
    fixed = {name: wishes[name] for name in ("event", "organization") if name in wishes}
    return (
        _wished(SessionRequest.objects.filter(pk__in=_changed(person_id, updated_since)), person_id, **fixed)
        .annotate(on_list=Exists(on_list.filter(pk=OuterRef("pk"))))
        .filter(Q(on_list=True) | knows)
    )


def _mechanics(person_id):
    return Mechanic.objects.filter(user_profile=person_id, active=True, user_profile__is_active=True)


def _turned(person_id, since):
    """Where the person has begun or stopped to help since, or helps others: their list is another one, of requests that
    haven't changed themselves."""
    return Mechanic.objects.filter(user_profile=person_id, updated_at__gte=since)


def _roles_turned(person_id, since):
    """Where the person has got, lost or changed a role since: they look after another organisation's requests."""
    return Membership.history.filter(user_profile=person_id, history_date__gte=since)


def _changed(person_id, since):
    """Ids of what changed of all that the person may see or have seen, and of some more.

    For the database, which finds each kind by its index, and would read all requests there are for all kinds together.
    """
    mine, person, turned = _mechanics(person_id), UserProfile(pk=person_id), _turned(person_id, since)
    kinds = [
        Q(customer=person_id),
        Q(mechanic__in=Mechanic.objects.filter(user_profile=person_id).values("pk")),
        Q(organization__in=mine.values("organization")),
        Q(organization__in=turned.values("organization")),
        Q(organization__in=Membership.objects.held_by(person, Role.LOOK)),
        Q(Exists(UserProfile.objects.filter(pk=person_id, is_superuser=True))),
    ]
    requests = SessionRequest.objects.order_by().values("pk")
    waits = requests.filter(organization__in=turned.values("organization"), closed_at=None)
    looked_after = requests.filter(organization__in=_roles_turned(person_id, since).values("organization"))
    return waits.union(looked_after, *(requests.filter(kind, updated_at__gte=since) for kind in kinds))


def _wished(requests, person_id, *, status=(), event=None, organization=None, mine=None):
    if status:
        requests = requests.filter(status__in=status)
        if RequestStatus.LIVE.issuperset(status):
            requests = requests.filter(closed_at=None)  # by the index of what isn't over
    if event is not None:
        requests = requests.filter(event=event)
    if organization is not None:
        requests = requests.filter(organization=organization)
    if mine is not None:
        own = Q(customer=person_id) | Q(mechanic__isnull=False, mechanic__user_profile=person_id)
        requests = requests.filter(own if mine else ~own)
    return requests


@with_etag
class ServiceRequests(generics.ListAPIView):
    serializer_class = ServiceRequest
    queryset = SessionRequest.objects.none()
    pagination_class = LinePagination
    filter_backends = []

    @extend_schema(
        operation_id="session_requests_list",
        summary="The service requests that you may see, in line",
        description="A customer's own; a mechanic's, while on duty, also those that they may take, and what they took; "
        "an organiser's, all of the organisation. Whom nobody took in time comes first, then what is urgent, then the "
        "oldest. The list is the truth, the live stream a convenience.",
        parameters=[RequestsQuery],
        responses=PolymorphicProxySerializer(
            "ServiceRequestOrGone", [ServiceRequest, GoneRequest], resource_type_field_name=None, many=True
        ),
        tags=["service"],
    )
    def get(self, request):
        query = RequestsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        found = listed(request.user.pk, **query.validated_data).annotate(place=PLACE)
        page = self.paginate_queryset(rows(found, "place", "on_list"))
        return self.get_paginated_response([self.one(row) for row in page])

    def one(self, row):
        return shown(row, self.request.user.pk) if row["on_list"] else {"id": row["id"], "deleted": True}


@with_etag
class ServiceRequestDetail(APIView):
    @extend_schema(
        operation_id="session_requests_retrieve",
        summary="One service request",
        responses=ServiceRequest,
        tags=["service"],
    )
    def get(self, request, request_id):
        row = rows(SessionRequest.objects.seen_by(request.user.pk)).filter(pk=request_id).first()
        if row is None:
            raise NotFound
        return Response(shown(row, request.user.pk))


# -- Acts ------------------------------------------------------------------------------------------------------


@extend_schema(tags=["service"], request=None)
class Accept(APIView):
    @extend_schema(
        operation_id="session_requests_accept",
        summary="Take a request",
        description="The first who accepts gets it; for all others it is 409 `already_accepted`, which says by whom. "
        "Idempotent.",
        responses=Meeting,
    )
    @refuses(
        NotFound,
        NotAllowed,
        taking.OffDuty,
        taking.NotServing,
        taking.OwnRequest,
        taking.AlreadyAccepted,
        taking.RequestClosed,
        taking.NotYours,
    )
    def post(self, request, request_id):
        taking.accept(request_id=request_id, person=request.user)
        return Response(meeting(request.user, request_id))


@extend_schema(tags=["service"], request=None)
class Release(APIView):
    @extend_schema(
        operation_id="session_requests_release",
        summary="Hand a request back",
        description="By the mechanic who has it, or an organiser. It waits again, in the place that it had.",
        responses=ServiceRequest,
    )
    @refuses(NotFound, NotAllowed, taking.NotAccepted, taking.NotYours, taking.RequestClosed)
    def post(self, request, request_id):
        taking.release(request_id=request_id, actor=request.user)
        return Response(shown_to(request.user, request_id))


@extend_schema(tags=["service"], request=None)
class Complete(APIView):
    @extend_schema(
        operation_id="session_requests_complete",
        summary="A request is done",
        description="By the mechanic who has it, or an organiser. Idempotent.",
        responses=ServiceRequest,
    )
    @refuses(NotFound, NotAllowed, taking.NotAccepted, taking.NotYours, taking.RequestClosed)
    def post(self, request, request_id):
        taking.complete(request_id=request_id, actor=request.user)
        return Response(shown_to(request.user, request_id))


@extend_schema(tags=["service"], request=None)
class Cancel(APIView):
    @extend_schema(
        operation_id="session_requests_cancel",
        summary="Nobody is needed any more",
        description="By the customer at any time before it is done, or by an organiser. Idempotent.",
        responses=ServiceRequest,
    )
    @refuses(NotFound, NotAllowed, taking.RequestClosed)
    def post(self, request, request_id):
        taking.cancel(request_id=request_id, actor=request.user)
        return Response(shown_to(request.user, request_id))


class Takeover(serializers.Serializer):
    mechanic = serializers.UUIDField(help_text=_("Who is to have it."))


class TakeOver(APIView):
    @extend_schema(
        operation_id="session_requests_takeover",
        summary="Give a request to a mechanic",
        description="By an organiser, whether it waits or somebody has it already. Recorded. Idempotent.",
        request=Takeover,
        responses=ServiceRequest,
        tags=["service"],
    )
    @refuses(NotFound, NotAllowed, taking.OffDuty, taking.NotServing, taking.OwnRequest, taking.RequestClosed)
    def post(self, request, request_id):
        given = Takeover(data=request.data)
        given.is_valid(raise_exception=True)
        taking.takeover(request_id=request_id, mechanic_id=given.validated_data["mechanic"], actor=request.user)
        return Response(shown_to(request.user, request_id))
