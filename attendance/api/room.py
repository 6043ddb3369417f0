"""The room: who is in it, one's own place in it, and the ticket."""

import io

import segno
from django.db.models import BooleanField, Case, Q, Value, When
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import generics, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import with_etag
from config.errors import NotFound
from config.openapi import refuses
from events.models import Event
from events.models.people import Role

from ..models import Attendee
from ..operations import room

STAFF = {*Role.LOOK, "superuser"}


def my_attendee(request, event_id) -> Attendee:
    """The caller's own active row at the event. Raises NotFound."""
    row = Attendee.objects.active().of_person(request.user).filter(event_id=event_id).first()
    if row is None:
        raise NotFound
    return row


class Text(serializers.CharField):
    """Free text; null means that nothing was filled in."""

    def __init__(self, **kwargs):
        super().__init__(allow_blank=True, allow_null=True, max_length=2000, **kwargs)


class RoomQuery(serializers.Serializer):
    updated_since = serializers.DateTimeField(
        required=False, help_text=_("Only what changed since; rows that left the room come with deleted true.")
    )
    search = serializers.CharField(required=False, max_length=200, help_text=_("Words in name, goals, looking_for."))


class RoomMember(serializers.Serializer):
    """A person in the room. With ``updated_since``, one who left it has only ``id`` and ``deleted``."""

    id = serializers.UUIDField()
    deleted = serializers.BooleanField()
    is_me = serializers.BooleanField(required=False)
    first_name = serializers.CharField(required=False)
    last_name = serializers.CharField(required=False)
    photo_url = serializers.CharField(required=False)
    goals = serializers.CharField(required=False, allow_null=True)
    looking_for = serializers.CharField(required=False, allow_null=True)
    company_website = serializers.CharField(required=False, allow_null=True)
    updated_at = serializers.DateTimeField(required=False)


FIELDS = ["goals", "looking_for", "company_website"]
PROFILE_FIELDS = ["first_name", "last_name", "photo_url"]


@with_etag
class Room(generics.ListAPIView):
    """Hot: rows go from the database to JSON without serializers; RoomMember is their schema."""

    serializer_class = RoomMember
    queryset = Attendee.objects.none()
    filter_backends = []

    @extend_schema(
        summary="The people in the event's room",
        description="For its attendees and organisers only. Keep a copy, and ask for changes by updated_since.",
        parameters=[RoomQuery],
        tags=["room"],
    )
    def get(self, request, event_id):
        query = RoomQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        page = self.paginate_queryset(self.rows(event_id, **query.validated_data))
        return self.get_paginated_response([self.member(row) for row in page])

    def rows(self, event_id, updated_since=None, search=""):
        """The caller's view of the room. One query says whether, and as what, they may look."""
        standing = Event.objects.with_role(self.request.user).filter(pk=event_id)
        me, role = standing.values_list("my_attendee_id", "my_role").first() or (None, None)
        if role in STAFF:
            seen = Q(status=Attendee.Status.ACTIVE)
        elif me:
            seen = Attendee.objects.seen_by(me)
        else:
            raise NotFound
        rows = Attendee.objects.filter(event_id=event_id).search(search)
        if updated_since:
            rows = rows.changed_since(updated_since)
        if updated_since and not search:
            rows = rows.annotate(seen=_flag(seen))
        else:  # a search that found tombstones would tell by name who hides
            rows = rows.filter(seen).annotate(seen=Value(True))
        return rows.annotate(is_me=_flag(Q(pk=me))).values(
            "pk", "seen", "is_me", "updated_at", *FIELDS, *(f"user_profile__{name}" for name in PROFILE_FIELDS)
        )

    @staticmethod
    def member(row):
        if not row["seen"]:
            return {"id": row["pk"], "deleted": True}
        return {
            "id": row["pk"],
            "deleted": False,
            "is_me": row["is_me"],
            **{name: row[f"user_profile__{name}"] for name in PROFILE_FIELDS},
            **{name: row[name] for name in FIELDS},
            "updated_at": row["updated_at"],
        }


def _flag(condition):
    return Case(When(condition, then=True), default=False, output_field=BooleanField())


@extend_schema_serializer(component_name="MyPlace")
class MySerializer(serializers.ModelSerializer):
    """One's own place at an event. Status and plus-ones are shown, not set here."""

    event_id = serializers.IntegerField(read_only=True)
    join_request_id = serializers.UUIDField(read_only=True, allow_null=True)
    goals = Text(required=False)
    looking_for = Text(required=False)
    rsvp_contact = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=300)
    company_website = serializers.URLField(required=False, allow_null=True, allow_blank=True, max_length=500)
    match_profile = serializers.DictField(required=False, allow_null=True)

    class Meta:
        model = Attendee
        fields = [
            "id",
            "event_id",
            "join_request_id",
            "status",
            "source",
            "plus_ones",
            "attendance_status",
            "visibility_enabled",
            "notifications_enabled",
            "goals",
            "looking_for",
            "rsvp_contact",
            "company_website",
            "match_profile",
            "looking_for_updated_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["status", "source", "plus_ones", "attendance_status", "looking_for_updated_at"]


@extend_schema(tags=["room"])
class Me(APIView):
    @extend_schema(summary="Your own place at the event", responses=MySerializer)
    def get(self, request, event_id):
        return Response(MySerializer(my_attendee(request, event_id)).data)

    @extend_schema(
        summary="Set your visibility, notifications and 'Looking for'", request=MySerializer, responses=MySerializer
    )
    def patch(self, request, event_id):
        attendee = my_attendee(request, event_id)
        serializer = MySerializer(attendee, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        room.update_own(attendee_id=attendee.pk, actor=request.user, changes=serializer.validated_data)
        return self.get(request, event_id)  # as it is now: updated_at is the database's


class Ticket(APIView):
    """Base of the two pictures of the QR code, which carries the ticket's code and nothing else."""

    kind, content_type = "", ""

    def get(self, request, event_id):
        picture = io.BytesIO()
        code = segno.make(my_attendee(request, event_id).ticket_code, error="m", micro=False)
        code.save(picture, kind=self.kind, scale=8, border=4)
        return HttpResponse(
            picture.getvalue(), content_type=self.content_type, headers={"Cache-Control": "private, no-store"}
        )


class TicketSvg(Ticket):
    kind, content_type = "svg", "image/svg+xml"

    @extend_schema(
        summary="Your ticket's QR code, as SVG",
        operation_id="events_attendees_me_ticket_svg",
        responses={(200, "image/svg+xml"): OpenApiTypes.BINARY},
        tags=["room"],
    )
    def get(self, request, event_id):
        return super().get(request, event_id)


class TicketPng(Ticket):
    kind, content_type = "png", "image/png"

    @extend_schema(
        summary="Your ticket's QR code, as PNG",
        operation_id="events_attendees_me_ticket_png",
        responses={(200, "image/png"): OpenApiTypes.BINARY},
        tags=["room"],
    )
    def get(self, request, event_id):
        return super().get(request, event_id)


@extend_schema(tags=["room"], request=None, responses={204: None})
class BlockView(APIView):
    @extend_schema(summary="See an attendee no longer, nor be seen by them", operation_id="events_attendees_block")
    @refuses(room.OwnBlock)
    def put(self, request, event_id, attendee_id):
        me = my_attendee(request, event_id)
        get_object_or_404(
            Attendee.objects.filter(Q(Attendee.objects.seen_by(me.pk)) | Q(blocked_by__attendee=me)),
            pk=attendee_id,
            event_id=event_id,
        )
        room.block(attendee_id=me.pk, blocked_id=attendee_id)
        return Response(status=204)

    @extend_schema(summary="Lift a block", operation_id="events_attendees_unblock")
    def delete(self, request, event_id, attendee_id):
        room.unblock(attendee_id=my_attendee(request, event_id).pk, blocked_id=attendee_id)
        return Response(status=204)
