"""The inbox of the phone app: one's own messages, and nobody else's, whatever one's role."""

from functools import partial

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.pagination import Cursor
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import KeysetPagination, with_etag
from config.errors import NotFound
from config.openapi import refuses
from events.models import Event, UserProfile
from events.operations.accounts import AccountClosed

from ..models import MessageDelivery
from ..models.messages import Kind, filled
from ..operations import inbox

LARGEST_ID = 2**63 - 1
COLUMNS = [
    *("pk", "message__kind", "message__subject", "message__body"),
    *("event_id", "event__title", "event__slug", "guest__guest_name"),
    *("created_at", "sent_at", "read_at", "is_unread"),
]


class EventOfMessage(serializers.Serializer):
    id = serializers.IntegerField()
    title = serializers.CharField()
    slug = serializers.CharField()


class InboxMessage(serializers.Serializer):
    """A message, once, over however many channels and guest rows it came."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(Kind.choices)
    subject = serializers.CharField()
    body = serializers.CharField()
    event = EventOfMessage(allow_null=True, help_text=_("Null for what is about no event."))
    created_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True, help_text=_("Null while it is on its way."))
    read_at = serializers.DateTimeField(allow_null=True)


class InboxPagination(KeysetPagination):
    """Of a function that gives some entries of an inbox; the first page counts what is unread as well."""

    def paginate_queryset(self, entries, request, view=None):
        self.key = MessageDelivery._meta.pk
        cursor = self.decode_cursor(request) or Cursor(offset=0, reverse=False, position=None)
        some = entries(
            beyond=cursor.position,
            newest_first=not cursor.reverse,
            limit=cursor.offset + self.get_page_size(request) + 1,  # one more says whether there is another page
        )
        return super().paginate_queryset(some.values("pk"), request, view)

    def get_paginated_response(self, data):
        response = super().get_paginated_response(data)
        response.data = {"unread": self.unread, **response.data}
        return response

    def get_paginated_response_schema(self, schema):
        page = super().get_paginated_response_schema(schema)
        page["required"].append("unread")
        page["properties"]["unread"] = {
            "type": "integer",
            "nullable": True,
            "minimum": 0,
            "description": str(_("On the first page: all entries that you haven't read, of this event or at all.")),
        }
        return page


class InboxQuery(serializers.Serializer):
    unread = serializers.BooleanField(required=False, help_text=_("Only what you haven't read."))


class WholeInboxQuery(InboxQuery):
    event = serializers.IntegerField(
        required=False, min_value=0, max_value=LARGEST_ID, help_text=_("Only what is about this event.")
    )


class ReadAll(serializers.Serializer):
    event = serializers.IntegerField(
        required=False, min_value=0, max_value=LARGEST_ID, help_text=_("Only what is about this event.")
    )
    until = serializers.UUIDField(
        required=False, help_text=_("The newest entry that was shown: what came in since stays unread.")
    )


class Unread(serializers.Serializer):
    unread = serializers.IntegerField(min_value=0, help_text=_("All entries that you still haven't read."))


class Inbox(generics.ListAPIView):
    """Hot: rows go from the database to JSON without serializers; InboxMessage is their schema."""

    serializer_class = InboxMessage
    pagination_class = InboxPagination
    queryset = MessageDelivery.objects.none()
    filter_backends = []
    ordering = "-pk"

    def page(self, *, unread=False, **only):
        self.identify(only)
        entries = partial(inbox.entries, self.request.user, unread=unread, event_id=only.get("event"))
        page = self.paginate_queryset(entries)
        return self.get_paginated_response(self.entries([row["pk"] for row in page]))

    def identify(self, only):
        """Whether the person may act, and on the first page what is unread, in one query.

        Raises AccountClosed.
        """
        person, unread = UserProfile.objects.active().filter(pk=self.request.user.pk), {}
        if self.paginator.cursor_query_param not in self.request.query_params:
            unread = {"unread": inbox.unread(self.request.user, **only)}
        person = person.values("first_name", "last_name", **unread).first()
        if person is None:
            raise AccountClosed
        self.paginator.unread = person.get("unread")
        self.name = f"{person['first_name']} {person['last_name']}".strip()

    def entries(self, ids):
        """Read by themselves: with their tables joined, PostgreSQL might sort all of an inbox for one page."""
        rows = MessageDelivery.objects.filter(pk__in=ids).order_by(self.ordering)
        return [self.entry(row) for row in rows.with_is_unread().values(*COLUMNS)]

    def entry(self, row):
        event = row["event_id"] and {
            "id": row["event_id"],
            "title": row["event__title"],
            "slug": row["event__slug"],
        }
        names = {
            "name": row["guest__guest_name"] or self.name,
            "event": row["event__title"] or "",
        }
        return {
            "id": row["pk"],
            "kind": row["message__kind"],
            "subject": filled(row["message__subject"], **names),
            "body": filled(row["message__body"], **names),
            "event": event,
            "created_at": row["created_at"],
            "sent_at": row["sent_at"],
            "read_at": None if row["is_unread"] else row["read_at"],
        }


@with_etag
class MyMessages(Inbox):
    @extend_schema(
        operation_id="me_messages_list",
        summary="Your messages, newest first",
        description="Those of organisers, and the system's own notices; each once, over whatever channels it came. "
        "To be told less of an event, set `notifications_enabled` of your place there: what is in the app stays.",
        parameters=[WholeInboxQuery],
        tags=["messages"],
    )
    @refuses(AccountClosed)
    def get(self, request):
        query = WholeInboxQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return self.page(**query.validated_data)


@with_etag
class EventMessages(Inbox):
    @extend_schema(
        operation_id="events_messages_list",
        summary="Your messages about an event, newest first",
        description="404 unless you may see the event, or were sent something about it.",
        parameters=[InboxQuery],
        tags=["messages"],
    )
    @refuses(AccountClosed)
    def get(self, request, event_id):
        query = InboxQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        if event_id > LARGEST_ID:
            raise NotFound
        answer = self.page(**query.validated_data, event=event_id)
        if not answer.data["results"] and not self.has_to_do_with(event_id):
            raise NotFound
        return answer

    def has_to_do_with(self, event_id):
        events = Event.objects.filter(pk=event_id)
        was_sent = inbox.entries(self.request.user, event_id=event_id, limit=1)
        return was_sent.exists() or events.reachable_by(self.request.user).exists()


def left(person):
    return Response(UserProfile.objects.filter(pk=person.pk).values(unread=inbox.unread(person)).get())


class ReadMessage(APIView):
    @extend_schema(
        operation_id="me_messages_read",
        summary="A message is read",
        description="By the id of its entry, or of any of its deliveries to you, as a push carries it. Idempotent.",
        request=None,
        responses=Unread,
        tags=["messages"],
    )
    @refuses(NotFound)
    def post(self, request, message_id):
        inbox.mark_read(delivery_id=message_id, actor=request.user)
        return left(request.user)


class ReadMessages(APIView):
    @extend_schema(
        operation_id="me_messages_read_all",
        summary="All messages are read",
        description="Or those of one event, or up to an entry.",
        request=ReadAll,
        responses=Unread,
        tags=["messages"],
    )
    @refuses(AccountClosed)
    def post(self, request):
        wish = ReadAll(data=request.data)
        wish.is_valid(raise_exception=True)
        given = wish.validated_data
        inbox.mark_all_read(actor=request.user, event_id=given.get("event"), until=given.get("until"))
        return left(request.user)
