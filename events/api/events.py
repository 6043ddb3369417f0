"""Events as a phone lists them, with the person's own standing in each."""

import django_filters
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
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


def events_for(person, **options):
    return Event.objects.reachable_by(person, **options).with_standing(person).select_related("organization")


@with_etag
@extend_schema(summary="Events that you may see, newest first", tags=["events"])
class EventList(generics.ListAPIView):
    serializer_class = EventSerializer
    filterset_class = EventFilter
    ordering = "-pk"

    def get_queryset(self):
        return events_for(self.request.user, listed=True)


@with_etag
@extend_schema(summary="One event", tags=["events"])
class EventDetail(generics.RetrieveAPIView):
    serializer_class = EventSerializer
    lookup_url_kwarg = "event_id"

    def get_queryset(self):
        return events_for(self.request.user)
