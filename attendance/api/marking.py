"""Attendance for organisers' own programs, and one's own points."""

from django.db.models import F
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.errors import NotFound
from config.openapi import refuses
from events.models import UserProfile
from events.models.people import Role

from ..models import AttendanceSource, AttendanceStatus, Attendee
from ..operations import marking, points


class MarkSerializer(serializers.Serializer):
    status = serializers.ChoiceField(AttendanceStatus.choices)
    notes = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=2000)


class MarkedAttendee(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(AttendanceStatus.choices)
    notes = serializers.CharField(allow_null=True)
    marked_at = serializers.DateTimeField(allow_null=True)
    marked_by_id = serializers.UUIDField(allow_null=True)
    source = serializers.ChoiceField(AttendanceSource.choices, allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)


class AttendanceView(APIView):
    @extend_schema(
        summary="Say by hand whether somebody came",
        description="For organisers. Every change is on record.",
        operation_id="events_attendees_attendance",
        request=MarkSerializer,
        responses=MarkedAttendee,
        tags=["attendance"],
    )
    @refuses(marking.NotAttending, marking.PersonErased)
    def patch(self, request, event_id, attendee_id):
        manageable = Attendee.objects.of_staff(request.user, Role.MANAGE)
        if not manageable.filter(pk=attendee_id, event_id=event_id).exists():
            raise NotFound
        data = MarkSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        attendee = marking.mark(
            attendee_id=attendee_id,
            status=AttendanceStatus(data.validated_data["status"]),
            notes=(data.validated_data["notes"] or "") if "notes" in data.validated_data else None,
            actor=request.user,
            source=AttendanceSource.API,
        ).row
        return Response(
            {"id": attendee.pk}
            | {name: getattr(attendee, f"attendance_{name}") for name in MarkedAttendee().fields if name != "id"}
        )


class PointsOfEvent(serializers.Serializer):
    event_id = serializers.IntegerField()
    title = serializers.CharField()
    starts_at = serializers.DateTimeField()
    status = serializers.ChoiceField(AttendanceStatus.choices)
    points = serializers.IntegerField()


class PointsOfOrganization(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    points = serializers.IntegerField()
    events = PointsOfEvent(many=True)


class MyPointsAnswer(serializers.Serializer):
    points = serializers.IntegerField(help_text=_("Of all organisations."))
    organizations = PointsOfOrganization(many=True)


class MyPoints(APIView):
    @extend_schema(
        summary="What your attendance is worth, by organisation and event",
        responses=MyPointsAnswer,
        tags=["me"],
    )
    def get(self, request):
        rows = (
            points.scored(Attendee.objects.of_person(request.user))
            .order_by("event__organization__name", "event__organization", "-event__starts_at", "-event")
            .values(
                "points",
                "event_id",
                title=F("event__title"),
                starts_at=F("event__starts_at"),
                attendance=F("attendance_status"),
                organization=F("event__organization"),
                organization_name=F("event__organization__name"),
            )
        )
        organizations = {}
        for row in rows:
            one = organizations.setdefault(
                row["organization"],
                {"id": row["organization"], "name": row["organization_name"], "points": 0, "events": []},
            )
            one["points"] += row["points"]
            one["events"].append(
                {name: row[name] for name in ("event_id", "title", "starts_at", "points")}
                | {"status": row["attendance"]}
            )
        if not organizations and not UserProfile.objects.active().filter(pk=request.user.pk).exists():
            raise NotFound  # a token that outlives its account
        return Response(
            {
                "points": sum(one["points"] for one in organizations.values()),
                "organizations": list(organizations.values()),
            }
        )
