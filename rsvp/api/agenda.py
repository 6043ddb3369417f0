"""An event's sessions, as one person sees them. Rows become JSON without serializers, which are their schema."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import KeysetPagination, with_etag
from config.errors import NotFound
from events.models import Event
from events.models.agenda import SessionStatus
from events.models.people import EARLIEST, LATEST

from ..models import RsvpStatus, WaitlistStatus
from ..operations import agenda

LARGEST_ID = 2**63 - 1

STANDINGS = [
    *RsvpStatus.choices,
    *((status.value, status.label) for status in WaitlistStatus if status in WaitlistStatus.LIVE),
]
"""How a person may stand to a session."""


class Day(serializers.DateField):
    def __init__(self, **kwargs):
        sane = [MinValueValidator(EARLIEST.date()), MaxValueValidator(LATEST.date())]
        super().__init__(validators=sane, **kwargs)


class AgendaQuery(serializers.Serializer):
    day = Day(required=False, help_text=_("Sessions that begin on this day, by the event's clock."))
    track = serializers.CharField(required=False, max_length=300, trim_whitespace=False)
    room = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text=_("A room's id."))
    updated_since = serializers.DateTimeField(
        required=False, help_text=_("Only what changed since: the Turnout-As-Of of the last time.")
    )


class RoomOfSession(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()


class MyRsvp(serializers.Serializer):
    """Your seats in a session, or your place in its line."""

    status = serializers.ChoiceField(STANDINGS)
    seats = serializers.IntegerField(min_value=1, help_text=_("Your own, and your plus-ones'."))
    rsvp_id = serializers.UUIDField(allow_null=True)
    waitlist_id = serializers.UUIDField(allow_null=True, help_text=_("To accept or decline an offer."))
    position = serializers.IntegerField(allow_null=True, min_value=1, help_text=_("In line; 1 is next."))
    offer_expires_at = serializers.DateTimeField(allow_null=True)


class AgendaSession(serializers.Serializer):
    """A session. One that was cancelled stays on the agenda, and says so."""

    id = serializers.UUIDField()
    event_id = serializers.IntegerField()
    title = serializers.CharField()
    abstract = serializers.CharField()
    session_type = serializers.CharField()
    track = serializers.CharField()
    language = serializers.CharField()
    url = serializers.CharField()
    room = RoomOfSession(allow_null=True)
    speakers = serializers.ListField(child=serializers.CharField(), help_text=_("Their names."))
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    status = serializers.ChoiceField(SessionStatus.choices)
    capacity = serializers.IntegerField(allow_null=True, help_text=_("Null: no limit."))
    seats_taken = serializers.IntegerField(help_text=_("Those that are held for an offer too."))
    waitlist_length = serializers.IntegerField()
    rsvp_opens_at = serializers.DateTimeField(allow_null=True)
    rsvp_closes_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()
    my_rsvp = MyRsvp(allow_null=True)


class AgendaOfEvent(serializers.Serializer):
    event_id = serializers.IntegerField()
    timezone = serializers.CharField(help_text=_("The event's clock: days begin and end by it."))
    sessions = AgendaSession(many=True)
    deleted = serializers.ListField(
        child=serializers.UUIDField(), help_text=_("With updated_since: sessions that are gone altogether.")
    )


def room(slot: agenda.Slot) -> dict | None:
    return None if slot.room_id is None else {"id": slot.room_id, "name": slot.room}


def session(slot: agenda.Slot) -> dict:
    """An AgendaSession."""
    mine = slot.mine
    return {
        "id": slot.id,
        "event_id": slot.event_id,
        "title": slot.title,
        "abstract": slot.abstract,
        "session_type": slot.session_type,
        "track": slot.track,
        "language": slot.language,
        "url": slot.url,
        "room": room(slot),
        "speakers": slot.speakers,
        "starts_at": slot.starts_at,
        "ends_at": slot.ends_at,
        "status": slot.status,
        "capacity": slot.capacity,
        "seats_taken": slot.seats_taken,
        "waitlist_length": slot.waitlist_length,
        "rsvp_opens_at": slot.rsvp_opens_at,
        "rsvp_closes_at": slot.rsvp_closes_at,
        "updated_at": slot.updated_at,
        "my_rsvp": mine
        and {
            "status": mine.status,
            "seats": mine.seats,
            "rsvp_id": mine.rsvp_id,
            "waitlist_id": mine.entry_id,
            "position": mine.position,
            "offer_expires_at": mine.offer_expires_at,
        },
    }


def visible_event(person, event_id) -> Event:
    """Raises NotFound."""
    event = Event.objects.reachable_by(person).filter(pk=event_id).first()
    if event is None:
        raise NotFound
    return event


@with_etag
class Sessions(APIView):
    @extend_schema(
        operation_id="events_sessions_list",
        summary="The agenda, in one answer",
        description="In the order of time; cancelled sessions are on it. For whoever may see the event. "
        "To keep a copy, ask for changes by updated_since: seats and lines count as such, as do your own; "
        "a room or a speaker who is only named anew does not, nor does a place in line that somebody else's moves. "
        "Read all of it now and then.",
        parameters=[AgendaQuery],
        responses=AgendaOfEvent,
        tags=["sessions"],
    )
    def get(self, request, event_id):
        query = AgendaQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        since = query.validated_data.pop("updated_since", None)
        as_of = timezone.now() - KeysetPagination.overlap
        event = visible_event(request.user, event_id)
        found = agenda.of_event(event=event, person=request.user, since=since, **query.validated_data)
        answer = {
            "event_id": event.pk,
            "timezone": event.timezone,
            "sessions": [session(slot) for slot in found],
            "deleted": agenda.deleted(event=event, since=since) if since else [],
        }
        return Response(answer, headers={"Turnout-As-Of": as_of.isoformat().replace("+00:00", "Z")})


@with_etag
class Session(APIView):
    @extend_schema(operation_id="sessions_retrieve", summary="One session", responses=AgendaSession, tags=["sessions"])
    def get(self, request, session_id):
        slot = agenda.of_session(session_id=session_id, person=request.user)
        if slot is None:
            raise NotFound
        return Response(session(slot))
