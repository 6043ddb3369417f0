"""Sessions for calendar programs: one as a file, and all of one's own under a secret address."""

from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import IsPublic, RateLimit, with_etag
from config.openapi import refuses
from events.operations.accounts import AccountClosed

from .. import calendars
from ..models import CalendarFeed
from ..operations import feeds

CALENDAR = {(200, "text/calendar"): OpenApiTypes.STR}


def file(content: bytes, name: str, *, is_download: bool) -> HttpResponse:
    """Kept by nobody in between; a program asks each time whether it is still true."""
    disposition = content_disposition_header(is_download, f"{name}.ics")
    return HttpResponse(
        content,
        content_type="text/calendar; charset=utf-8",
        headers={"Cache-Control": "private, no-cache", "Content-Disposition": disposition},
    )


def address(feed: CalendarFeed) -> str:
    return settings.SITE_URL + reverse("api:calendar-feed", args=[feed.token])


@with_etag
class SessionCalendar(APIView):
    @extend_schema(
        operation_id="sessions_calendar",
        summary="A session as a calendar file",
        description="iCalendar (RFC 5545), for whoever may see the event. A later version has the same UID and a "
        "higher SEQUENCE; a session that was cancelled has STATUS:CANCELLED.",
        responses=CALENDAR,
        tags=["calendar"],
    )
    def get(self, request, session_id):
        entry = feeds.session_for(session_id=session_id, person=request.user)
        name = slugify(entry.title)[:60].strip("-") or "session"
        return file(calendars.calendar([entry]), name, is_download=True)


class FeedSerializer(serializers.ModelSerializer):
    url = serializers.SerializerMethodField(help_text=_("Secret: whoever has it can read where the person will be."))
    webcal_url = serializers.SerializerMethodField(help_text=_("The same, for a link that opens the calendar program."))

    class Meta:
        model = CalendarFeed
        fields = ["url", "webcal_url", "created_at", "renewed_at"]
        read_only_fields = fields

    def get_url(self, feed) -> str:
        return address(feed)

    def get_webcal_url(self, feed) -> str:
        return f"webcal://{address(feed).partition('://')[2]}"


@extend_schema(tags=["calendar"], responses=FeedSerializer)
class MyCalendar(APIView):
    @extend_schema(
        operation_id="me_calendar",
        summary="The address of your calendar",
        description="For calendar programs, which can't sign in: the address holds a secret token instead.",
    )
    @refuses(AccountClosed)
    def get(self, request):
        return self.answer(feeds.of(person=request.user))

    @extend_schema(
        operation_id="me_calendar_renew",
        summary="Give your calendar another address",
        description="The former one leads nowhere from now on.",
        request=None,
    )
    @refuses(AccountClosed)
    def post(self, request):
        return self.answer(feeds.renew(person=request.user))

    @staticmethod
    def answer(feed):
        return Response(FeedSerializer(feed).data, headers={"Cache-Control": "private, no-store"})


class ByFeed(RateLimit):
    """Several programs of a person may ask every few minutes. What isn't a feed counts for nobody."""

    scope = "calendar"
    rate = "120/hour"

    def identity(self, request, view):
        return str(view.feed.pk)


@with_etag
class Feed(APIView):
    authentication_classes = []
    permission_classes = [IsPublic]
    throttle_classes = [ByFeed]

    @cached_property
    def feed(self) -> CalendarFeed:
        return feeds.find(self.kwargs["token"])

    @extend_schema(
        operation_id="me_calendar_feed",
        summary="Your sessions, for a calendar program",
        description="iCalendar (RFC 5545): the sessions that you have a seat in, at all events, until 90 days after "
        "their end, and those that were cancelled. The token in the address is the sign-in.",
        parameters=[OpenApiParameter("token", str, "path", pattern="^[-a-zA-Z0-9_]+$")],
        responses=CALENDAR,
        tags=["calendar"],
    )
    def get(self, request, token):
        return file(feeds.feed_of(self.feed.user), "turnout", is_download=False)
