"""Events as a phone lists them, with the person's own standing in each."""

import django_filters
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import generics, serializers

from config.api import UpdatedSince, with_etag

from ..models import Event, Organization


class OrganizationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Organization
        fields = ["id", "name", "slug"]


class EventSerializer(serializers.ModelSerializer):
    organization = OrganizationSerializer(read_only=True)
    my_request_status = serializers.CharField(
        allow_null=True, read_only=True, help_text=_("Of your join request: pending, approved, declined, cancelled.")
    )
    my_attendee_id = serializers.UUIDField(allow_null=True, read_only=True)
    my_role = serializers.CharField(
        allow_null=True, read_only=True, help_text=_("Yours in the event's organisation; null for guests.")
    )

    class Meta:
        model = Event
        fields = [
            "id",
            "organization",
            "slug",
            "title",
            "description",
            "starts_at",
            "ends_at",
            "timezone",
            "venue",
            "capacity",
            "seats_taken",
            "max_plus_ones",
            "approval_mode",
            "visibility",
            "status",
            "updated_at",
            "my_request_status",
            "my_attendee_id",
            "my_role",
        ]
        read_only_fields = fields


class EventFilter(django_filters.FilterSet):
    updated_since = UpdatedSince()
    status = django_filters.ChoiceFilter(choices=Event.Status.choices)
    search = django_filters.CharFilter(field_name="title", lookup_expr="icontains", max_length=200)

    class Meta:
        model = Event
        fields = []


class GoneEvent(serializers.Serializer):
    """An event that everybody could see, and that you no longer can: forget it."""

    id = serializers.IntegerField()
    deleted = serializers.BooleanField()


class EventOrGone(EventSerializer):
    def to_representation(self, event):
        if getattr(event, "deleted", False):
            return {"id": event.pk, "deleted": True}
        return super().to_representation(event)


@with_etag
@extend_schema(
    summary="Events that you may see, newest first",
    description="With updated_since, events that are no longer public come as `{id, deleted: true}`.",
    tags=["events"],
    responses=PolymorphicProxySerializer(
        "EventOrGone", [EventSerializer, GoneEvent], resource_type_field_name=None, many=True
    ),
)
class EventList(generics.ListAPIView):
    serializer_class = EventOrGone
    filterset_class = EventFilter
    ordering = "-pk"

    def get_queryset(self):
        person = self.request.user
        syncs = "updated_since" in self.request.query_params
        events = Event.objects.synced_for(person) if syncs else Event.objects.listed_for(person)
        return events.with_standing(person).select_related("organization")


@with_etag
@extend_schema(summary="One event", tags=["events"])
class EventDetail(generics.RetrieveAPIView):
    serializer_class = EventSerializer
    lookup_url_kwarg = "event_id"

    def get_queryset(self):
        person = self.request.user
        return Event.objects.reachable_by(person).with_standing(person).select_related("organization")
