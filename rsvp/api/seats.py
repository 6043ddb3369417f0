"""Seats in a session, places in its line, answers to offers.

POST of an RSVP is the hot call: nothing is parsed that wasn't sent, and the answer is a plain dict, whose
schema is SeatInSession.
"""

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.errors import NotFound
from config.openapi import refuses

from ..operations import line, reserving, standing
from .agenda import STANDINGS
from .pace import Pace

LARGEST_PARTY = 2**15 - 1


class RsvpQuery(serializers.Serializer):
    waitlist = serializers.BooleanField(
        required=False, help_text=_("Where no seats are left, a place in line rather than session_full.")
    )
    reject_conflicts = serializers.BooleanField(
        required=False, help_text=_("Refused where you have a seat elsewhere at the same time.")
    )


class Seats(serializers.Serializer):
    seats = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_PARTY,
        help_text=_("Your own and your plus-ones'. Without it: those that you have, or one."),
    )


class Party(serializers.Serializer):
    party_size = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_PARTY, help_text=_("Seats that you wait for together; else one.")
    )


class SeatsOfSession(serializers.Serializer):
    capacity = serializers.IntegerField(allow_null=True, help_text=_("Null: no limit."))
    seats_taken = serializers.IntegerField()
    waitlist_length = serializers.IntegerField()


class ConflictingSession(serializers.Serializer):
    session_id = serializers.UUIDField()
    title = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class SeatInSession(serializers.Serializer):
    """How you stand to a session now."""

    session_id = serializers.UUIDField()
    status = serializers.ChoiceField(
        STANDINGS, allow_null=True, help_text=_("Null: no seat, no place in line, and never had a seat.")
    )
    seats = serializers.IntegerField(
        min_value=0, help_text=_("That you have or wait for; of a cancelled RSVP, those that you had.")
    )
    rsvp_id = serializers.UUIDField(allow_null=True)
    rsvp_at = serializers.DateTimeField(allow_null=True, help_text=_("The first time."))
    waitlist_id = serializers.UUIDField(allow_null=True, help_text=_("To accept or decline an offer."))
    position = serializers.IntegerField(allow_null=True, min_value=1, help_text=_("In line; 1 is next."))
    offer_expires_at = serializers.DateTimeField(allow_null=True)
    session = SeatsOfSession()
    conflicts = ConflictingSession(many=True, help_text=_("Other sessions at the same time that you have a seat in."))


def shown(seat: standing.Seat) -> dict:
    """A SeatInSession."""
    return {
        "session_id": seat.session_id,
        "status": seat.status or None,
        "seats": seat.seats,
        "rsvp_id": seat.rsvp_id,
        "rsvp_at": seat.rsvp_at,
        "waitlist_id": seat.entry_id,
        "position": seat.position,
        "offer_expires_at": seat.offer_expires_at,
        "session": {
            "capacity": seat.capacity,
            "seats_taken": seat.seats_taken,
            "waitlist_length": seat.waitlist_length,
        },
        "conflicts": [one._asdict() for one in seat.conflicts],
    }


def taken(seat: standing.Seat) -> Response:
    """201 for seats where there were none, 200 where there were (more or fewer now), 202 for a place in line."""
    confirmed = 201 if seat.is_new else 200
    return Response(shown(seat), status=confirmed if seat.entry_id is None else 202)


def given(serializer, data) -> dict:
    """What was sent, checked; nothing is made of nothing."""
    if data == {}:
        return {}
    wish = serializer(data=data)
    wish.is_valid(raise_exception=True)
    return wish.validated_data


TAKEN = {
    201: OpenApiResponse(SeatInSession, "The seats are yours."),
    200: OpenApiResponse(SeatInSession, "They were already; more or fewer, if that was asked."),
    202: OpenApiResponse(SeatInSession, "You are in line; or have an offer, until it expires."),
}
CLOSED = (
    standing.NotAttending,
    standing.EventNotOpen,
    standing.SessionCancelled,
    standing.SessionStarted,
    standing.RsvpNotOpenYet,
    standing.RsvpClosed,
    standing.TooManySeats,
)


@extend_schema(tags=["sessions"])
class Rsvp(APIView):
    throttle_classes = [Pace]

    @extend_schema(
        operation_id="sessions_rsvp_create",
        summary="Take seats in a session",
        description="Idempotent. Another number of seats changes them; an offer that stands is accepted. "
        "`session_full` comes with the figures in `details`.",
        parameters=[RsvpQuery],
        request=Seats,
        responses=TAKEN,
    )
    @refuses(
        *CLOSED,
        standing.SessionFull,
        reserving.ScheduleConflict,
        line.LineClosed,
        line.HasSeat,
        line.NoOffer,
        line.OfferExpired,
    )
    def post(self, request, session_id):
        wish = given(RsvpQuery, request.query_params) | given(Seats, request.data)
        return taken(reserving.reserve(session_id=session_id, person=request.user, **wish))

    @extend_schema(
        operation_id="sessions_rsvp_destroy",
        summary="Give your seats back",
        description="All of them; they go to the line at once. Idempotent. Possible until the session is over.",
        request=None,
        responses={200: SeatInSession},
    )
    @refuses(standing.NotAttending, standing.SessionStarted)
    def delete(self, request, session_id):
        return Response(shown(reserving.cancel(session_id=session_id, person=request.user)))


@extend_schema(tags=["sessions"])
class Waitlist(APIView):
    throttle_classes = [Pace]

    @extend_schema(
        operation_id="sessions_waitlist_create",
        summary="Join the line of a session",
        description="Idempotent: again, the place that you have. "
        "Where seats are free and nobody waits, they are offered or confirmed at once.",
        request=Party,
        responses=TAKEN,
    )
    @refuses(*CLOSED, line.HasSeat, line.LineClosed)
    def post(self, request, session_id):
        return taken(line.join(session_id=session_id, person=request.user, **given(Party, request.data)))

    @extend_schema(
        operation_id="sessions_waitlist_destroy",
        summary="Leave the line",
        description="What was offered to you goes to the next. Idempotent.",
        request=None,
        responses={200: SeatInSession},
    )
    @refuses(standing.NotAttending)
    def delete(self, request, session_id):
        return Response(shown(line.leave(session_id=session_id, person=request.user)))


@extend_schema(tags=["sessions"], request=None)
class Accept(APIView):
    throttle_classes = [Pace]

    @extend_schema(
        operation_id="waitlist_accept",
        summary="Take the seats that you are offered",
        description="Also where RSVP has closed since. Idempotent.",
        responses=TAKEN,
    )
    @refuses(NotFound, standing.NotAttending, line.NoOffer, line.OfferExpired)
    def post(self, request, entry_id):
        return taken(line.accept(entry_id=entry_id, person=request.user))


@extend_schema(tags=["sessions"], request=None)
class Decline(APIView):
    throttle_classes = [Pace]

    @extend_schema(
        operation_id="waitlist_decline",
        summary="Leave the seats that you are offered to the next",
        description="Idempotent.",
        responses={200: SeatInSession},
    )
    @refuses(NotFound, standing.NotAttending, line.NoOffer)
    def post(self, request, entry_id):
        return Response(shown(line.decline(entry_id=entry_id, person=request.user)))
