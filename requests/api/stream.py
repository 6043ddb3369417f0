"""The way to the live stream, which is a process of its own (requests.stream): tickets, and where it is.

An EventSource sends no header, so pages get in by a ticket. Who calls the site's own address with a token is sent on,
unless the proxy has sent them to the stream already.
"""

from urllib.parse import urlencode

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import RateLimit
from config.errors import DomainError, NotFound
from config.openapi import refuses

from ..models import ServiceSignal
from ..operations import tickets

MOST_EACH = 10
"""Connections of one person."""


class TooManyStreams(DomainError):
    code = "too_many_streams"
    status = 429
    message = _("You have {most} live connections already.")
    retry_after = 60


class StreamElsewhere(DomainError):
    """Instead of sending somebody round in circles."""

    code = "stream_elsewhere"
    status = 503
    message = _("The live stream can't be reached by this address. The list is there without it.")
    retry_after = 60


class Tickets(RateLimit):
    scope, rate = "stream_ticket", "120/minute"


class Ticket(serializers.Serializer):
    ticket = serializers.CharField(help_text=_("Lets one connection in, once, within a minute."))
    url = serializers.URLField(help_text=_("Where the stream is: add session-requests/ or service-sessions/{id}/."))
    last = serializers.IntegerField(help_text=_("The last event at this moment."))


def newest() -> int:
    """The last signal that has been given."""
    return ServiceSignal.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def ticket_for(person) -> dict:
    """A Ticket. Raises NotFound."""
    return {"ticket": tickets.issue(person=person), "url": settings.STREAM_URL, "last": newest()}


@extend_schema(tags=["service"])
class StreamTicket(APIView):
    throttle_classes = [Tickets]

    @extend_schema(
        summary="A ticket for the live stream",
        description="For browsers, whose EventSource can't send a token: `{url}/session-requests/?ticket=…`.",
        request=None,
        responses={201: Ticket},
    )
    @refuses(NotFound)
    def post(self, request):
        return Response(ticket_for(request.user), status=201)


SINCE = [
    OpenApiParameter("Last-Event-ID", OpenApiTypes.STR, "header", description="The last `id` that you have."),
    OpenApiParameter("last_event_id", OpenApiTypes.STR, "query", description="The same, for who can't send headers."),
]
ON = {307: OpenApiResponse(None, _("The stream is elsewhere: Location says where, with a ticket."))}
STREAM = """Server-Sent Events (`text/event-stream`), with the token as everywhere, or with `?ticket=`. {} \
Every 15 seconds without news a comment says that the stream lives, and so does an event `alive`. It ends within an \
hour, and after 429 and 503 it may be tried again: come back with the last `id` that you have. What is sent is what is \
so now, so repeats do no harm."""


class Elsewhere(APIView):
    throttle_classes = [Tickets]

    def send_on(self, request, path) -> Response:
        if "ticket" in request.query_params:
            raise StreamElsewhere
        query = {"ticket": tickets.issue(person=request.user)}
        since = request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id")
        if since:
            query["last_event_id"] = since
        address = f"{settings.STREAM_URL}/{path}/?{urlencode(query)}"
        return Response(status=307, headers={"Location": address, "Cache-Control": "no-store"})


@extend_schema(tags=["service"], parameters=SINCE, responses=ON)
class StreamOfRequests(Elsewhere):
    @extend_schema(
        summary="Service requests, live",
        description=STREAM.format(
            "`request`: one that you may see, as the list has it, new or changed. `gone`: one that you may not see any "
            "more (`id`; for those who work there also `status` and `accepted_by`). `ready`: you have all there is; "
            "its `ids` are what isn't over, so forget the others, and if you lack one, come back without an `id`; "
            "`full` is false where only what had changed was sent."
        ),
    )
    @refuses(NotFound, TooManyStreams, StreamElsewhere)
    def get(self, request):
        return self.send_on(request, "session-requests")


@extend_schema(tags=["service"], parameters=SINCE, responses=ON)
class StreamOfSession(Elsewhere):
    @extend_schema(
        summary="A session, live, for its participants only",
        description=STREAM.format(
            "`session`: its state, at first and when it changes. `message`: what was said, as the list of messages "
            "has it; its `id` is the message's. `gone`: you aren't in it any more, and the stream ends."
        ),
    )
    @refuses(NotFound, TooManyStreams, StreamElsewhere)
    def get(self, request, session_id):
        return self.send_on(request, f"service-sessions/{session_id}")
