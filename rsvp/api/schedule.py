"""A person's own sessions, at one event or everywhere."""

from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import with_etag
from config.openapi import refuses
from events.models.agenda import SessionStatus
from events.operations.accounts import AccountClosed, refuse_closed

from ..operations import agenda
from .agenda import STANDINGS, RoomOfSession, room, visible_event


class ScheduledSession(serializers.Serializer):
    """A session that you have seats in or wait for, or had, until it was cancelled."""

    rsvp_id = serializers.UUIDField(allow_null=True)
    waitlist_id = serializers.UUIDField(allow_null=True, help_text=_("To accept or decline an offer."))
    session_id = serializers.UUIDField()
    title = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    local_start = serializers.DateTimeField(help_text=_("By the event's clock."))
    local_end = serializers.DateTimeField(help_text=_("By the event's clock."))
    session_type = serializers.CharField()
    session_status = serializers.ChoiceField(SessionStatus.choices)
    room = RoomOfSession(allow_null=True)
    speakers = serializers.ListField(child=serializers.CharField(), help_text=_("Their names."))
    rsvp_status = serializers.ChoiceField(STANDINGS, help_text=_("Cancelled: because the session was."))
    seats = serializers.IntegerField(min_value=1)
    position = serializers.IntegerField(allow_null=True, min_value=1, help_text=_("In line; 1 is next."))
    offer_expires_at = serializers.DateTimeField(allow_null=True)
    conflict = serializers.BooleanField(help_text=_("You have a seat elsewhere at the same time."))
    conflicts = serializers.ListField(child=serializers.UUIDField(), help_text=_("Where: those sessions."))


class ScheduledDay(serializers.Serializer):
    day = serializers.DateField(help_text=_("By the event's clock."))
    event_id = serializers.IntegerField()
    timezone = serializers.CharField()
    sessions = ScheduledSession(many=True)


class Schedule(serializers.Serializer):
    days = ScheduledDay(many=True)


def shown(days: list[agenda.Day]) -> dict:
    """A Schedule."""
    return {
        "days": [
            {
                "day": one.day,
                "event_id": one.event_id,
                "timezone": one.timezone,
                "sessions": [_entry(slot, ZoneInfo(one.timezone)) for slot in one.slots],
            }
            for one in days
        ]
    }


def _entry(slot: agenda.Slot, zone: ZoneInfo) -> dict:
    mine = slot.mine
    return {
        "rsvp_id": mine.rsvp_id,
        "waitlist_id": mine.entry_id,
        "session_id": slot.id,
        "title": slot.title,
        "start": slot.starts_at,
        "end": slot.ends_at,
        "local_start": slot.starts_at.astimezone(zone),
        "local_end": slot.ends_at.astimezone(zone),
        "session_type": slot.session_type,
        "session_status": slot.status,
        "room": room(slot),
        "speakers": slot.speakers,
        "rsvp_status": mine.status,
        "seats": mine.seats,
        "position": mine.position,
        "offer_expires_at": mine.offer_expires_at,
        "conflict": bool(slot.conflicts),
        "conflicts": slot.conflicts,
    }


@with_etag
class EventSchedule(APIView):
    @extend_schema(
        operation_id="events_my_schedule_retrieve",
        summary="Your sessions at an event, by day",
        description="Seats, offers and places in line, by day in the event's time zone.",
        responses=Schedule,
        tags=["sessions"],
    )
    def get(self, request, event_id):
        event = visible_event(request.user, event_id)
        return Response(shown(agenda.schedule(request.user, event=event)))


@with_etag
class MySchedule(APIView):
    @extend_schema(
        operation_id="me_schedule_retrieve",
        summary="Your sessions at all events, by day",
        description="Seats, offers and places in line, by day in the time zone of each event.",
        responses=Schedule,
        tags=["sessions"],
    )
    @refuses(AccountClosed)
    def get(self, request):
        days = agenda.schedule(request.user)
        if not days:  # no row has said who asks
            refuse_closed(request.user)
        return Response(shown(days))
