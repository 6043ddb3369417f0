"""Who helps: for themselves, and for the organisers who give them requests."""

from django.db.models import Subquery
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.errors import NotFound
from config.openapi import refuses
from events.api.events import OrganizationSerializer
from events.models import Event

from ..models import Mechanic
from ..operations import mechanics
from .service import Flag
from .sessions import LARGEST_ID


class ServedEvent(serializers.ModelSerializer):
    class Meta:
        model = Event
        fields = ["id", "title", "slug"]
        read_only_fields = fields


class MechanicSerializer(serializers.ModelSerializer):
    display_name = serializers.CharField(source="__str__", read_only=True)
    organization = OrganizationSerializer(read_only=True)
    events = ServedEvent(many=True, read_only=True)

    class Meta:
        model = Mechanic
        fields = ["id", "display_name", "organization", "skills", "serves_all", "events", "on_duty", "updated_at"]
        read_only_fields = fields


def whole():
    return Mechanic.objects.select_related("organization", "user_profile").prefetch_related("events")


class Duty(serializers.Serializer):
    on_duty = serializers.BooleanField()


class MechanicsQuery(serializers.Serializer):
    organization = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_ID)
    event = serializers.IntegerField(
        required=False, min_value=0, max_value=LARGEST_ID, help_text=_("Only who serves this event.")
    )
    on_duty = Flag(required=False)


@extend_schema(tags=["service"])
class Mechanics(generics.ListAPIView):
    serializer_class = MechanicSerializer
    queryset = Mechanic.objects.none()
    filter_backends = []
    ordering = "pk"

    @extend_schema(
        operation_id="mechanics_list",
        summary="The mechanics of your organisations",
        description="For organisers, who can give a request to one of them.",
        parameters=[MechanicsQuery],
    )
    def get(self, request):
        query = MechanicsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        page = self.paginate_queryset(self.rows(**query.validated_data))
        return self.get_paginated_response(MechanicSerializer(page, many=True).data)

    def rows(self, organization=None, event=None, on_duty=None):
        found = whole().of_staff(self.request.user).filter(active=True, user_profile__is_active=True)
        if organization is not None:
            found = found.filter(organization=organization)
        if event is not None:
            organizing = Event.objects.filter(pk=event).values("organization")
            found = found.serving(Subquery(organizing), event)
        if on_duty is not None:
            found = found.filter(on_duty=on_duty)
        return found


@extend_schema(tags=["service"])
class MyMechanics(generics.ListAPIView):
    serializer_class = MechanicSerializer
    queryset = Mechanic.objects.none()
    filter_backends = []
    ordering = "pk"

    @extend_schema(
        operation_id="mechanics_me_list",
        summary="Where you help yourself",
        description="One entry an organisation. Empty: you are no mechanic.",
    )
    def get(self, request):
        return super().get(request)

    def get_queryset(self):
        return mechanics.of_person(self.request.user).prefetch_related("events")


class SetDuty(APIView):
    @extend_schema(
        operation_id="mechanics_duty",
        summary="Go on or off duty",
        description="By the mechanic, or an organiser. Whoever goes off duty gives back what they had accepted. "
        "Idempotent.",
        request=Duty,
        responses=MechanicSerializer,
        tags=["service"],
    )
    @refuses(NotFound, mechanics.NotActive)
    def post(self, request, mechanic_id):
        given = Duty(data=request.data)
        given.is_valid(raise_exception=True)
        mechanics.set_duty(mechanic_id=mechanic_id, on=given.validated_data["on_duty"], actor=request.user)
        return Response(MechanicSerializer(whole().get(pk=mechanic_id)).data)
