"""What a scanner knows: the counts, the list for when there is no network; and how a device becomes one."""

from django.db.models import Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Concat, Trim
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.response import Response

from config.api import KeysetPagination
from config.openapi import refuses
from events.api.accounts import Public

from ..models import Attendee, CheckIn
from ..operations import check_in, devices, figures
from .door import PointQuery, Status
from .scanners import AtDoor, DeviceUnknown, points_of


class DoorEvent(serializers.Serializer):
    id = serializers.IntegerField()
    title = serializers.CharField()
    timezone = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    status = serializers.CharField()
    max_plus_ones = serializers.IntegerField()


class DoorPoint(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    opens_at = serializers.DateTimeField(allow_null=True)
    closes_at = serializers.DateTimeField(allow_null=True)
    session_id = serializers.IntegerField(allow_null=True)


class DoorScanner(serializers.Serializer):
    name = serializers.CharField(allow_blank=True)
    device_id = serializers.UUIDField(allow_null=True)
    may_add_walk_ins = serializers.BooleanField()


class DoorCounts(serializers.Serializer):
    """Attendees; ``people`` are they and their plus-ones. ``checked_in`` is at the point that was asked for."""

    expected = serializers.IntegerField()
    checked_in = serializers.IntegerField()
    people_expected = serializers.IntegerField()
    people_in = serializers.IntegerField()
    unknown = serializers.IntegerField()
    present = serializers.IntegerField()
    late = serializers.IntegerField()
    excused = serializers.IntegerField()
    absent = serializers.IntegerField()


class DoorState(serializers.Serializer):
    event = DoorEvent()
    at_door = serializers.BooleanField(help_text=_("Whether you may check in at the event's own door."))
    points = DoorPoint(many=True)
    scanner = DoorScanner()
    counts = DoorCounts()
    server_time = serializers.DateTimeField()


@extend_schema(tags=["door"])
class Door(AtDoor):
    @extend_schema(summary="The door: counts, and what you may do there", parameters=[PointQuery], responses=DoorState)
    @refuses(DeviceUnknown)
    def get(self, request, event_id):
        query = PointQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        scanner = self.scanner(event_id, query.validated_data.get("point"), checks_in=False)
        event = scanner.event
        return Response(
            {
                "event": {name: getattr(event, name) for name in DoorEvent().fields},
                "at_door": scanner.device is None or scanner.device.at_door,
                "points": list(points_of(scanner).values(*DoorPoint().fields)),
                "scanner": {
                    "name": scanner.name,
                    "device_id": scanner.device and scanner.device.pk,
                    "may_add_walk_ins": scanner.may_add_walk_ins,
                },
                "counts": self._counts(figures.tally(event, scanner.point)),
                "server_time": timezone.now(),
            }
        )

    @staticmethod
    def _counts(tally):
        names = {"here": "checked_in", "people_here": "people_in"}
        return {names.get(name, name): number for name, number in tally.items()}


class DoorTicket(serializers.Serializer):
    """Of somebody removed, there are only id, ticket_hash and removed."""

    id = serializers.UUIDField()
    ticket_hash = serializers.CharField(help_text=_("SHA-256 of the ticket's code, in hexadecimal."))
    removed = serializers.BooleanField()
    name = serializers.CharField(required=False)
    photo_url = serializers.CharField(required=False)
    plus_ones = serializers.IntegerField(required=False)
    status = Status(required=False)
    checked_in_at = serializers.DateTimeField(required=False, allow_null=True)
    checked_in_by = serializers.CharField(required=False, allow_null=True)


class TicketsQuery(PointQuery):
    updated_since = serializers.DateTimeField(required=False, help_text=_("Only what changed since."))


class TicketPagination(KeysetPagination):
    """A device fetches the whole list before the doors open."""

    page_size = max_page_size = 1000


def full_name(prefix):
    return Trim(Concat(f"{prefix}__first_name", Value(" "), f"{prefix}__last_name"))


class Tickets(AtDoor, generics.ListAPIView):
    serializer_class = DoorTicket
    pagination_class = TicketPagination
    queryset = Attendee.objects.none()
    filter_backends = []

    @extend_schema(
        summary="What an offline device needs: hashes of the tickets, and whom they are of",
        parameters=[TicketsQuery],
        tags=["door"],
    )
    @refuses(DeviceUnknown)
    def get(self, request, event_id):
        query = TicketsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        scanner = self.scanner(event_id, query.validated_data.get("point"), checks_in=False)
        rows = self.rows(scanner, query.validated_data.get("updated_since"))
        return self.get_paginated_response([self.ticket(row) for row in self.paginate_queryset(rows)])

    @staticmethod
    def rows(scanner, updated_since):
        rows = Attendee.objects.filter(event=scanner.event)
        if scanner.point is None:
            at, by, device = "attendance_marked_at", full_name("attendance_marked_by"), "attendance_device__name"
            rows = rows.annotate(at=F(at), by=by, device_name=F(device), inside=figures.in_at(None))
        else:
            first = figures.live_check_ins(scanner.point)
            rows = rows.annotate(
                at=Subquery(first.values("checked_in_at")[:1]),
                by=Subquery(first.values(name=full_name("by"))[:1]),
                device_name=Subquery(first.values("device__name")[:1]),
                inside=Exists(first),
            )
        if updated_since:
            scans = CheckIn.objects.filter(attendee=OuterRef("pk"), point=scanner.point).filter(
                Q(received_at__gte=updated_since) | Q(undone_at__gte=updated_since)
            )
            rows = rows.filter(
                Q(updated_at__gte=updated_since) | Q(user_profile__updated_at__gte=updated_since) | Exists(scans)
            )
        return rows.annotate(name=full_name("user_profile"), photo=F("user_profile__photo_url")).values(
            "pk",
            "ticket_code",
            "status",
            "plus_ones",
            "attendance_status",
            "name",
            "photo",
            "inside",
            "at",
            "by",
            "device_name",
        )

    @staticmethod
    def ticket(row):
        ticket = {
            "id": row["pk"],
            "ticket_hash": check_in.ticket_hash(row["ticket_code"]),
            "removed": row["status"] != Attendee.Status.ACTIVE,
        }
        if ticket["removed"]:
            return ticket
        return ticket | {
            "name": row["name"],
            "photo_url": row["photo"],
            "plus_ones": row["plus_ones"],
            "status": row["attendance_status"],
            "checked_in_at": row["at"] if row["inside"] else None,
            "checked_in_by": (row["device_name"] or row["by"] or None) if row["inside"] else None,
        }


class EnrolSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=100, help_text=_("Of the one-time QR code."))


class DeviceBrief(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class EnrolAnswer(serializers.Serializer):
    token = serializers.CharField(help_text=_("For Authorization: Device …; told this once."))
    device = DeviceBrief()
    event_id = serializers.IntegerField()


class EnrolDevice(Public):
    serializer_class = EnrolSerializer

    @extend_schema(
        summary="Register this device with the one-time code of its QR",
        operation_id="door_devices_enrol",
        responses={201: EnrolAnswer},
        tags=["door"],
    )
    @refuses(devices.UnknownCode)
    def post(self, request):
        device, token = devices.enrol(**self.read(request))
        return Response(
            {"token": token, "device": {"id": device.pk, "name": device.name}, "event_id": device.event_id}, status=201
        )
