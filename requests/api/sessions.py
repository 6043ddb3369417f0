"""Service sessions: for whoever is in one. For everybody else there is none, whatever their role."""

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import idempotent, with_etag
from config.errors import NotAllowed, NotFound
from config.openapi import refuses

from ..models import (
    Mechanic,
    ParticipantRole,
    ServiceSession,
    ServiceStatus,
    SessionMessage,
    SessionParticipant,
    SessionRequest,
    SessionType,
)
from ..models.mechanics import called
from ..operations import intakes, talking, telling
from .pace import Talking

LARGEST_ID = 2**63 - 1


class NamedPerson(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class NamedMechanic(serializers.Serializer):
    id = serializers.UUIDField()
    display_name = serializers.CharField()


# -- The session -----------------------------------------------------------------------------------------------


class StateOfSession(serializers.Serializer):
    """A session as one of its participants sees it."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(ServiceStatus.choices)
    type = serializers.ChoiceField(SessionType.choices)
    place = serializers.CharField(help_text=_("The link of a video call; where to meet in person."))
    plan = serializers.CharField()
    role = serializers.ChoiceField(ParticipantRole.choices, help_text=_("Yours."))
    event_id = serializers.IntegerField(allow_null=True)
    organization_id = serializers.IntegerField()
    customer = NamedPerson()
    mechanic = NamedMechanic(allow_null=True, help_text=_("Null while it waits for one."))
    request_id = serializers.UUIDField(allow_null=True, help_text=_("Null for some that were loaded from elsewhere."))
    session_url = serializers.URLField(help_text=_("Its page, for customer and mechanic alike."))
    concern = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True, help_text=_("When a mechanic first accepted."))
    ended_at = serializers.DateTimeField(allow_null=True)
    idle_at = serializers.DateTimeField(
        allow_null=True, help_text=_("For the mechanic: when it goes back to the line unless they do something.")
    )
    place_in_line = serializers.IntegerField(allow_null=True, min_value=1, help_text=_("While it waits; 1 is next."))
    updated_at = serializers.DateTimeField()


def of(person):
    """The sessions that the person is in, with all that :func:`shown` reads; one query."""
    deadline = SessionRequest.objects.with_deadlines().filter(session=OuterRef("pk")).values("idle_at")
    return (
        ServiceSession.objects.of_participant(person)
        .select_related("customer", "mechanic__user_profile", "request")
        .annotate(idle_at=Subquery(deadline))
    )


def shown(session: ServiceSession) -> dict:
    """A StateOfSession of one of :func:`of`. While it waits, a query more for the place in line."""
    request = getattr(session, "request", None)
    waits = session.status == ServiceStatus.PENDING and request is not None
    acts = session.status == ServiceStatus.LIVE and session.my_role == ParticipantRole.MECHANIC
    mechanic = session.mechanic and {"id": session.mechanic_id, "display_name": str(session.mechanic)}
    return {
        "id": session.pk,
        "status": session.status,
        "type": session.type,
        "place": session.place,
        "plan": session.plan,
        "role": session.my_role,
        "event_id": session.event_id,
        "organization_id": session.organization_id,
        "customer": {"id": session.customer_id, "name": session.customer.get_full_name()},
        "mechanic": mechanic,
        "request_id": request and request.pk,
        "session_url": telling.address(session.pk),
        "concern": request.notes if request else "",
        "created_at": session.created_at,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "idle_at": session.idle_at if acts else None,
        "place_in_line": intakes.place_in_line(request) if waits else None,
        "updated_at": session.updated_at,
    }


def one_of(person, session_id) -> ServiceSession:
    """Raises NotFound."""
    session = of(person).filter(pk=session_id).first()
    if session is None:
        raise NotFound
    return session


class Place(serializers.Serializer):
    place = serializers.CharField(
        allow_blank=True,
        max_length=ServiceSession._meta.get_field("place").max_length,
        help_text=_("An https:// address for a video call, where to go for one in person. Empty takes it back."),
    )


@with_etag
@extend_schema(tags=["service"])
class ServiceSessions(generics.ListAPIView):
    serializer_class = StateOfSession
    queryset = ServiceSession.objects.none()
    filter_backends = []
    ordering = "-pk"

    @extend_schema(operation_id="service_sessions_list", summary="The sessions that you are in, newest first")
    def get(self, request):
        page = self.paginate_queryset(of(request.user))
        return self.get_paginated_response([shown(session) for session in page])


@with_etag
@extend_schema(tags=["service"])
class Session(APIView):
    @extend_schema(
        operation_id="service_sessions_retrieve",
        summary="A session, for its participants only",
        responses=StateOfSession,
    )
    def get(self, request, session_id):
        return Response(shown(one_of(request.user, session_id)))

    @extend_schema(
        operation_id="service_sessions_partial_update",
        summary="Say where you meet",
        description="By the mechanic.",
        request=Place,
        responses=StateOfSession,
    )
    @refuses(NotAllowed, talking.NoPlace, talking.LinkNeeded, talking.SessionOver)
    def patch(self, request, session_id):
        given = Place(data=request.data)
        given.is_valid(raise_exception=True)
        talking.set_place(session_id=session_id, person=request.user, **given.validated_data)
        return Response(shown(one_of(request.user, session_id)))


@extend_schema(tags=["service"])
class Keep(APIView):
    @extend_schema(
        operation_id="service_sessions_keep",
        summary="You are still on it",
        description="By the mechanic: the time begins anew after which it would go back to the line.",
        request=None,
        responses=StateOfSession,
    )
    @refuses(NotAllowed, talking.SessionOver)
    def post(self, request, session_id):
        talking.keep(session_id=session_id, person=request.user)
        return Response(shown(one_of(request.user, session_id)))


# -- What is said ----------------------------------------------------------------------------------------------


class ChatMessage(serializers.Serializer):
    id = serializers.IntegerField(help_text=_("Grows with time."))
    author = NamedPerson()
    author_role = serializers.ChoiceField(ParticipantRole.choices)
    body = serializers.CharField(help_text=_("Empty where its author has erased themselves."))
    created_at = serializers.DateTimeField()
    mine = serializers.BooleanField()


class NewMessage(serializers.Serializer):
    body = serializers.CharField(max_length=talking.LONGEST)


class MessagesQuery(serializers.Serializer):
    after = serializers.IntegerField(
        required=False, min_value=0, max_value=LARGEST_ID, help_text=_("Only what was said after this message.")
    )


def messages_of(session_id):
    """All that was said in a session, with all that :func:`shown_message` reads; one query."""
    of_author = {"user_profile": OuterRef("author")}
    role = SessionParticipant.objects.filter(session=OuterRef("session"), **of_author)
    mechanic = Mechanic.objects.filter(organization=OuterRef("session__organization"), **of_author)
    return (
        SessionMessage.objects.filter(session=session_id)
        .annotate(author_role=Subquery(role.values("role")), display_name=Subquery(mechanic.values("display_name")))
        .values(
            *("id", "author_id", "author__first_name", "author__last_name", "author_role", "display_name"),
            *("body", "created_at"),
        )
    )


def shown_message(message: dict, person_id) -> dict:
    """A ChatMessage of one of :func:`messages_of`, as this person sees it."""
    name = f"{message['author__first_name']} {message['author__last_name']}".strip()
    if message["author_role"] == ParticipantRole.MECHANIC:
        name = called(message["display_name"], name)
    return {
        "id": message["id"],
        "author": {"id": message["author_id"], "name": name},
        "author_role": message["author_role"],
        "body": message["body"],
        "created_at": message["created_at"],
        "mine": message["author_id"] == person_id,
    }


@with_etag
@extend_schema(tags=["service"])
class Messages(generics.ListAPIView):
    serializer_class = ChatMessage
    queryset = SessionMessage.objects.none()
    filter_backends = []
    ordering = "id"
    throttle_classes = [Talking]

    def get_throttles(self):
        return super().get_throttles() if self.request.method == "POST" else []

    @extend_schema(
        operation_id="service_sessions_messages_list",
        summary="What was said in a session, oldest first",
        parameters=[MessagesQuery],
    )
    def get(self, request, session_id):
        query = MessagesQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        if not ServiceSession.objects.of_participant(request.user).filter(pk=session_id).exists():
            raise NotFound
        messages = messages_of(session_id)
        if "after" in query.validated_data:
            messages = messages.filter(pk__gt=query.validated_data["after"])
        page = self.paginate_queryset(messages)
        return self.get_paginated_response([shown_message(message, request.user.pk) for message in page])

    @extend_schema(
        operation_id="service_sessions_messages_create",
        summary="Say something",
        request=NewMessage,
        responses={201: ChatMessage},
    )
    @refuses(talking.SessionOver)
    @idempotent
    def post(self, request, session_id):
        new = NewMessage(data=request.data)
        new.is_valid(raise_exception=True)
        message = talking.say(session_id=session_id, person=request.user, **new.validated_data)
        said = messages_of(session_id).get(pk=message.pk)
        return Response(shown_message(said, request.user.pk), status=201)
