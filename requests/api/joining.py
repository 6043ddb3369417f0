"""Join requests and invitations: views parse, call one operation and answer."""

from uuid import UUID

import django_filters
from django import forms
from django.db.models import Q
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from attendance.operations import room
from config.api import RateLimit, UpdatedSince, idempotent
from config.errors import NotAllowed, NotFound
from config.openapi import refuses
from events.models import Event, Membership
from events.models.people import Role

from ..models import InvitationLink, JoinRequest, Status, refuse_past
from ..operations import invitations, join_requests


class PersonSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    photo_url = serializers.CharField()
    email = serializers.EmailField(allow_null=True)


class JoinRequestSerializer(serializers.ModelSerializer):
    event_id = serializers.IntegerField(read_only=True)
    attendee_id = serializers.SerializerMethodField(help_text=_("While approved: the person's row in the room."))
    person = PersonSerializer(source="user_profile", read_only=True)

    class Meta:
        model = JoinRequest
        fields = [
            "id",
            "event_id",
            "person",
            "status",
            "plus_ones",
            "comments",
            "attendee_id",
            "decided_at",
            "decision_note",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_attendee_id(self, request) -> UUID | None:
        attendee = getattr(request, "attendee", None)
        return attendee.pk if attendee and attendee.is_active else None


class NewJoinRequest(serializers.Serializer):
    plus_ones = serializers.IntegerField(min_value=0, max_value=32767, default=0)
    comments = serializers.CharField(max_length=2000, allow_blank=True, default="")


class Decision(serializers.Serializer):
    """An organiser sets ``status`` to approved, declined or pending, with a note; the person sets it
    to cancelled, or changes plus_ones and comments while nobody has decided."""

    status = serializers.ChoiceField(choices=Status.choices, required=False)
    decision_note = serializers.CharField(max_length=2000, allow_blank=True, required=False)
    plus_ones = serializers.IntegerField(min_value=0, max_value=32767, required=False)
    comments = serializers.CharField(max_length=2000, allow_blank=True, required=False)

    def validate(self, data):
        if not data:
            raise serializers.ValidationError(_("Nothing to change was given."), code="required")
        if "decision_note" in data and data.get("status") not in Status.DECIDED:
            raise serializers.ValidationError(
                {"decision_note": _("A note goes with approved or declined only.")}, code="invalid"
            )
        if "status" in data and data.keys() & {"plus_ones", "comments"}:
            raise serializers.ValidationError(
                {"status": _("Decide, or correct the request: not both at once.")}, code="invalid"
            )
        return data


def whole():
    return JoinRequest.objects.select_related("event", "user_profile", "attendee")


def seen_by(person):
    """A person's own requests, and those of events whose organisation they look after."""
    own = Q(user_profile_id=person.pk, user_profile__is_active=True)
    rows = whole()
    if person.is_superuser and person.is_active:
        return rows
    return rows.filter(own | Q(event__organization__in=Membership.objects.held_by(person, Role.LOOK)))


def shown(request_id):
    """A request as it stands now, for somebody who has just been let at it."""
    return JoinRequestSerializer(whole().get(pk=request_id)).data


class SendJoinRequest(APIView):
    @extend_schema(
        summary="Ask to join an event",
        description="Idempotent: sending again returns the request there is (200). A cancelled one becomes pending.",
        request=NewJoinRequest,
        responses={201: JoinRequestSerializer, 200: OpenApiResponse(JoinRequestSerializer, "The one there was.")},
        tags=["join requests"],
    )
    @refuses(room.EventClosed, room.Banned, room.TooManyPlusOnes, room.AlreadyAttending)
    def post(self, request, event_id):
        new = NewJoinRequest(data=request.data)
        new.is_valid(raise_exception=True)
        event = get_object_or_404(Event.objects.reachable_by(request.user), pk=event_id)
        outcome = join_requests.send(event_id=event.pk, person=request.user, **new.validated_data)
        return Response(shown(outcome.row.pk), status=201 if outcome.changed else 200)


@extend_schema_field(OpenApiTypes.INT)
class Id(django_filters.NumberFilter):
    """A whole number: half an event is bad input."""

    field_class = forms.IntegerField


class JoinRequestFilter(django_filters.FilterSet):
    event = Id(field_name="event_id", min_value=0, max_value=2**63 - 1)
    status = django_filters.ChoiceFilter(choices=Status.choices)
    updated_since = UpdatedSince()

    class Meta:
        model = JoinRequest
        fields = []


@extend_schema(summary="Your join requests; an organiser's: those of their events", tags=["join requests"])
class JoinRequestList(generics.ListAPIView):
    serializer_class = JoinRequestSerializer
    filterset_class = JoinRequestFilter
    ordering = "-pk"

    def get_queryset(self):
        return seen_by(self.request.user)


@extend_schema(tags=["join requests"])
class JoinRequestDetail(APIView):
    @extend_schema(summary="One join request", responses=JoinRequestSerializer)
    def get(self, request, request_id):
        return Response(JoinRequestSerializer(get_object_or_404(seen_by(request.user), pk=request_id)).data)

    @extend_schema(summary="Decide, cancel or correct", request=Decision, responses=JoinRequestSerializer)
    @refuses(
        NotAllowed,
        room.EventClosed,
        room.EventFull,
        room.Banned,
        join_requests.IllegalMove,
        join_requests.PlusOnesFixed,
        room.TooManyPlusOnes,
    )
    def patch(self, request, request_id):
        decision = Decision(data=request.data)
        decision.is_valid(raise_exception=True)
        row = get_object_or_404(seen_by(request.user), pk=request_id)
        self.decide(row, request.user, **decision.validated_data)
        return Response(shown(request_id))

    def decide(self, row, person, status=None, decision_note=None, **changes):
        own = row.user_profile_id == person.pk
        if status in (None, Status.CANCELLED):
            if not own:
                raise NotAllowed
        elif not person.has_perm("requests.decide_joinrequest", row):
            raise NotAllowed
        target = {"request_id": row.pk, "actor": person}
        if status is None:
            join_requests.edit(changes=changes, **target)
        elif status == Status.CANCELLED:
            join_requests.cancel(**target)
        elif status == Status.PENDING:
            join_requests.reopen(**target)
        else:
            act = join_requests.approve if status == Status.APPROVED else join_requests.decline
            act(note=decision_note, **target)


class InvitationToken(serializers.Serializer):
    token = serializers.CharField(max_length=200)


class Admitted(serializers.Serializer):
    event_id = serializers.IntegerField()
    attendee_id = serializers.UUIDField()


class GuessingInvitations(RateLimit):
    scope, rate = "invitation", "30/minute"


class AcceptInvitation(APIView):
    throttle_classes = [GuessingInvitations]

    @extend_schema(
        summary="Come in by an invitation link",
        operation_id="invitations_accept",
        description="200 if you were in already, 201 if the link let you in.",
        request=InvitationToken,
        responses={201: Admitted, 200: Admitted},
        tags=["invitations"],
    )
    @refuses(
        NotFound,
        invitations.InvitationInvalid,
        invitations.InvitationWithdrawn,
        room.Banned,
        room.EventClosed,
        room.EventFull,
    )
    def post(self, request):
        given = InvitationToken(data=request.data)
        given.is_valid(raise_exception=True)
        outcome = invitations.accept(token=given.validated_data["token"], person=request.user)
        answer = {"event_id": outcome.row.event_id, "attendee_id": outcome.row.pk}
        return Response(answer, status=201 if outcome.changed else 200)


class InvitationLinkSerializer(serializers.ModelSerializer):
    event_id = serializers.IntegerField(read_only=True)

    class Meta:
        model = InvitationLink
        fields = ["id", "event_id", "label", "max_uses", "uses", "expires_at", "revoked_at", "token", "created_at"]
        read_only_fields = ["uses", "revoked_at", "token", "created_at"]
        extra_kwargs = {"max_uses": {"min_value": 1, "max_value": 2**31 - 1}}

    def validate_expires_at(self, moment):
        refuse_past(moment)
        return moment


@extend_schema(tags=["invitations"])
class InvitationLinks(generics.ListAPIView):
    """For those who may make them: whoever reads a link's token can let people in."""

    serializer_class = InvitationLinkSerializer
    queryset = InvitationLink.objects.none()
    filter_backends = []
    ordering = "-pk"

    def event(self):
        events = Event.objects.of_staff(self.request.user, Role.MANAGE)
        return get_object_or_404(events, pk=self.kwargs["event_id"])

    def get_queryset(self):
        return InvitationLink.objects.filter(event=self.event())

    @extend_schema(summary="The event's invitation links")
    def get(self, request, event_id):
        return super().get(request)

    @extend_schema(
        summary="Make an invitation link",
        request=InvitationLinkSerializer,
        responses={201: InvitationLinkSerializer},
    )
    @idempotent
    def post(self, request, event_id):
        event = self.event()
        new = InvitationLinkSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        link = InvitationLink(event=event, created_by=request.user, **new.validated_data)
        link._history_user = request.user
        link.save(force_insert=True)
        return Response(InvitationLinkSerializer(link).data, status=201)


class RevokeInvitation(APIView):
    @extend_schema(
        summary="Revoke an invitation link",
        operation_id="invitation_links_revoke",
        request=None,
        responses=InvitationLinkSerializer,
        tags=["invitations"],
    )
    def post(self, request, link_id):
        link = get_object_or_404(InvitationLink.objects.of_staff(request.user, Role.MANAGE), pk=link_id)
        return Response(InvitationLinkSerializer(invitations.revoke(link_id=link.pk, actor=request.user).row).data)
