"""Asking for help."""

import orjson
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from attendance.operations import room
from config.api import idempotent
from config.errors import NotFound
from config.openapi import refuses

from ..models import Intake, SessionRequest, SessionType
from ..operations import intakes
from .pace import Asking
from .service import Meeting, meeting
from .sessions import LARGEST_ID

MOST_DETAILS, LARGEST_DETAILS = 20, 10_000


class Word(serializers.CharField):
    """A skill or a plan, compared as it is stored: in small letters."""

    def __init__(self, **kwargs):
        super().__init__(max_length=50, allow_blank=True, **kwargs)

    def to_internal_value(self, data):
        return super().to_internal_value(data).strip().lower()


@extend_schema_field({"type": "object", "additionalProperties": {}, "maxProperties": MOST_DETAILS})
class Details(serializers.DictField):
    default_error_messages = {
        "max_length": _("At most {most} details, of {size} bytes together."),
    }

    def to_internal_value(self, data):
        details = super().to_internal_value(data)
        if len(details) > MOST_DETAILS or len(orjson.dumps(details)) > LARGEST_DETAILS:
            self.fail("max_length", most=MOST_DETAILS, size=LARGEST_DETAILS)
        return details


class Whom(serializers.Serializer):
    """Of whom help is wanted: an event's people, or an organisation's."""

    event = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=LARGEST_ID)
    organization = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=LARGEST_ID,
        help_text=_("Where it is about no event; may be left out by whoever has to do with one organisation only."),
    )

    def validate(self, data):
        event, organization = data.pop("event", None), data.pop("organization", None)
        if event is not None and organization is not None:
            raise serializers.ValidationError(
                {"organization": _("Name the event or the organisation, not both.")}, code="invalid"
            )
        return data | {"event_id": event, "organization_id": organization}


class NewIntake(Whom):
    concern = serializers.CharField(max_length=Intake._meta.get_field("concern").max_length)
    session_type = serializers.ChoiceField(SessionType.choices, default=SessionType.CHAT)
    urgent = serializers.BooleanField(default=False)
    skill = Word(default="", help_text=_("What it takes; whoever has it is asked first."))
    plan = Word(default="")
    details = Details(default=dict, help_text=_("Whatever else the app asked, kept as it is."))


WHOM = (NotFound, room.EventClosed, room.Banned, intakes.OrganizationNeeded)


@extend_schema(tags=["service"])
class Intakes(APIView):
    throttle_classes = [Asking]

    @extend_schema(
        operation_id="intakes_create",
        summary="Ask for help",
        description="At an event, or of an organisation. What of yours still waits for somebody is cancelled. "
        "Send an `Idempotency-Key`: a retry gets the session of the first time, also where its answer was lost.",
        request=NewIntake,
        responses={201: Meeting},
    )
    @refuses(*WHOM, intakes.UnknownSkill, intakes.UnknownPlan)
    @idempotent
    def post(self, request):
        new = NewIntake(data=request.data)
        new.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key")
        outcome = intakes.start_intake(person=request.user, key=key, **new.validated_data)
        return Response(meeting(request.user, outcome.row.pk), status=201)


class Options(serializers.Serializer):
    organization_id = serializers.IntegerField()
    event_id = serializers.IntegerField(allow_null=True)
    skills = serializers.ListField(child=serializers.CharField(), help_text=_("To choose from; none: any word."))
    plans = serializers.ListField(child=serializers.CharField(), help_text=_("To choose from; none: any word."))
    session_types = serializers.ListField(child=serializers.ChoiceField(SessionType.choices))
    on_duty = serializers.IntegerField(min_value=0, help_text=_("How many could take a request now."))
    waiting = serializers.IntegerField(min_value=0, help_text=_("How many wait already."))


@extend_schema(tags=["service"])
class ServiceOptions(APIView):
    @extend_schema(
        operation_id="service_options_retrieve",
        summary="What can be asked for, and who is there",
        description="Of an event or an organisation. Refused where an intake would be.",
        parameters=[Whom],
        responses=Options,
    )
    @refuses(*WHOM)
    def get(self, request):
        query = Whom(data=request.query_params)
        query.is_valid(raise_exception=True)
        event, organization = intakes.asked(person=request.user, **query.validated_data)
        settings = intakes.settings_of(organization)
        waiting = SessionRequest.objects.open().filter(organization=organization)
        return Response(
            {
                "organization_id": organization.pk,
                "event_id": event and event.pk,
                "skills": settings.skills,
                "plans": settings.plans,
                "session_types": SessionType.values,
                "on_duty": intakes.on_duty(organization.pk, event and event.pk),
                "waiting": waiting.count(),
            }
        )
