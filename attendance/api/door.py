"""What a scanner at the door calls: check in, undo, add walk-ins, and what it keeps for when there is no network."""

from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Concat, Trim
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.response import Response

from config.api import KeysetPagination
from config.errors import NotAllowed
from config.openapi import refuses
from events.api.accounts import Public
from events.models.people import to_e164

from ..models import AttendanceStatus, Attendee, CheckIn
from ..operations import check_in, devices, room, walk_ins
from ..operations.check_in import Scan
from .scanners import AtDoor, DeviceUnknown, Slowed, count_guesses, may_guess, points_of


class Status(serializers.ChoiceField):
    def __init__(self, **kwargs):
        super().__init__(AttendanceStatus.choices, **kwargs)


class PointQuery(serializers.Serializer):
    point = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text=_("A check-in point; without it, the event's door.")
    )


class ScanSerializer(serializers.Serializer):
    """One scan. The same scan_id again, however often, is the same scan."""

    ticket_code = serializers.CharField(required=False, max_length=200, help_text=_("What the QR code says."))
    attendee_id = serializers.UUIDField(required=False, help_text=_("For a person found by name."))
    scanned_at = serializers.DateTimeField(
        required=False, help_text=_("By the device's clock; for scans that are sent later.")
    )
    scan_id = serializers.CharField(required=False, max_length=64, help_text=_("Made by the client, best a UUID."))

    def validate(self, attrs):
        if ("ticket_code" in attrs) == ("attendee_id" in attrs):
            raise serializers.ValidationError(_("Give a ticket_code or an attendee_id."))
        return attrs


class CheckInSerializer(ScanSerializer, PointQuery):
    pass


class BatchSerializer(PointQuery):
    scans = ScanSerializer(many=True)


class RawBatch(PointQuery):
    """One bad scan among five hundred must not keep the others from being heard."""

    scans = serializers.ListField(child=serializers.DictField(), min_length=1, max_length=check_in.SCANS_AT_ONCE)


class DoorAttendee(serializers.Serializer):
    """What the door needs of a person, and nothing more."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    photo_url = serializers.CharField()
    plus_ones = serializers.IntegerField()
    status = Status()


class CheckInAnswer(serializers.Serializer):
    result = serializers.ChoiceField(
        [(one, one) for one in (check_in.CHECKED_IN, check_in.ALREADY, check_in.FLAGGED)],
        help_text=_("flagged: uploaded late, and the rules would refuse it; kept, as the person is inside already."),
    )
    code = serializers.CharField(allow_null=True, help_text=_("Why, where it is flagged or refused."))
    detail = serializers.CharField(allow_null=True)
    scan_id = serializers.CharField(allow_null=True)
    check_in_id = serializers.IntegerField(allow_null=True, help_text=_("For undoing it."))
    attendee = DoorAttendee(allow_null=True)
    checked_in_at = serializers.DateTimeField(allow_null=True, help_text=_("The first time, at this point."))
    checked_in_by = serializers.CharField(allow_null=True, help_text=_("Name of the person or device."))


class BatchAnswer(CheckInAnswer):
    result = serializers.ChoiceField(
        [(one, one) for one in (check_in.CHECKED_IN, check_in.ALREADY, check_in.FLAGGED, check_in.REFUSED)]
    )


class BatchAnswers(serializers.Serializer):
    results = BatchAnswer(many=True)


def holder_of(answer):
    holder = answer.holder
    if holder is None or answer.error is not None:
        return None
    return {
        "id": holder.id,
        "name": holder.name,
        "photo_url": holder.photo_url,
        "plus_ones": holder.plus_ones,
        "status": holder.attendance,
    }


def answered(answer: check_in.Answer) -> dict:
    return {
        "result": answer.result,
        "code": answer.error.code if answer.error else None,
        "detail": str(answer.error) if answer.error else None,
        "scan_id": answer.scan.scan_id,
        "check_in_id": answer.check_in_id if answer.error is None else None,
        "attendee": holder_of(answer),
        "checked_in_at": answer.checked_in_at,
        "checked_in_by": answer.checked_in_by,
    }


def refused(scan_id, code, detail) -> dict:
    return {
        "result": check_in.REFUSED,
        "code": code,
        "detail": str(detail),
        "scan_id": scan_id,
        "check_in_id": None,
        "attendee": None,
        "checked_in_at": None,
        "checked_in_by": None,
    }


@extend_schema(tags=["door"])
class CheckIns(AtDoor):
    @extend_schema(
        summary="Check somebody in",
        description="Idempotent: a second scan changes nothing and tells of the first. The answer to a scan_id that "
        "was here before is the one it got.",
        request=CheckInSerializer,
        responses=CheckInAnswer,
    )
    @refuses(
        check_in.UnknownTicket,
        check_in.TicketRevoked,
        check_in.WrongEvent,
        check_in.PointClosed,
        room.EventClosed,
        Slowed,
        NotAllowed,
        DeviceUnknown,
    )
    def post(self, request, event_id):
        serializer = CheckInSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        scanner = self.scanner(event_id, data.pop("point", None))
        if "ticket_code" in data and not may_guess(scanner):
            raise Slowed
        [answer] = check_in.check_in(scanner=scanner, scans=[Scan(**data)])
        count_guesses(scanner, [answer])
        if answer.result == check_in.REFUSED:
            raise answer.error
        return Response(answered(answer))


@extend_schema(tags=["door"])
class CheckInBatch(AtDoor):
    @extend_schema(
        summary="Send scans that were made without network",
        description="Up to 500; an answer for each, in their order. What is refused as throttled is to be sent again, "
        "every other answer is final.",
        request=BatchSerializer,
        responses=BatchAnswers,
    )
    @refuses(NotAllowed, DeviceUnknown)
    def post(self, request, event_id):
        batch = RawBatch(data=request.data)
        batch.is_valid(raise_exception=True)
        data = batch.validated_data
        scanner = self.scanner(event_id, data.get("point"))
        guessing = may_guess(scanner)
        results, good = {}, {}
        for place, raw in enumerate(data["scans"]):
            scan = ScanSerializer(data=raw)
            if not scan.is_valid():
                results[place] = refused(_text(raw.get("scan_id")), "invalid", _sentence(scan.errors))
            elif "ticket_code" in scan.validated_data and not guessing:
                results[place] = refused(scan.validated_data.get("scan_id"), Slowed.code, Slowed.message)
            else:
                good[place] = Scan(**scan.validated_data)
        if good:
            answers = check_in.check_in(scanner=scanner, scans=list(good.values()))
            results |= zip(good, map(answered, answers), strict=True)
            count_guesses(scanner, answers)
        return Response({"results": [results[place] for place in sorted(results)]})


def _text(value):
    return value[:64] if isinstance(value, str) else None


def _sentence(errors) -> str:
    return " ".join(f"{field}: {' '.join(map(str, sentences))}" for field, sentences in errors.items())


class UndoAnswer(serializers.Serializer):
    result = serializers.ChoiceField([("undone", "undone"), ("already_undone", "already_undone")])
    attendee = DoorAttendee()


def shown(attendee: Attendee) -> dict:
    person = attendee.user_profile
    return {
        "id": attendee.pk,
        "name": person.get_full_name(),
        "photo_url": person.photo_url,
        "plus_ones": attendee.plus_ones,
        "status": attendee.attendance_status,
    }


@extend_schema(tags=["door"])
class UndoView(AtDoor):
    @extend_schema(
        summary="Take back your last check-in",
        description="For 15 minutes; organisers may take back any, at any time.",
        operation_id="events_check_ins_undo",
        request=None,
        responses=UndoAnswer,
    )
    @refuses(check_in.UndoExpired, check_in.UndoNotLast, check_in.TicketRevoked, NotAllowed, DeviceUnknown)
    def post(self, request, event_id, check_in_id):
        scanner = self.scanner(event_id, checks_in=False)
        attendee, changed = check_in.undo(check_in_id=check_in_id, scanner=scanner)
        return Response({"result": "undone" if changed else "already_undone", "attendee": shown(attendee)})


class WalkInSerializer(serializers.Serializer):
    first_name = serializers.CharField(max_length=150)
    last_name = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True, allow_null=True)
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    plus_ones = serializers.IntegerField(min_value=0, max_value=50, required=False, default=0)
    scan_id = serializers.CharField(required=False, max_length=64, help_text=_("Makes a retry safe."))
    scanned_at = serializers.DateTimeField(required=False)

    def validate_phone(self, phone):
        return to_e164(phone) if phone else ""

    def validate(self, attrs):
        if not attrs.get("email") and not attrs.get("phone"):
            raise serializers.ValidationError({"email": _("Give an e-mail address or a phone number.")})
        return attrs


@extend_schema(tags=["door"])
class WalkIns(AtDoor):
    @extend_schema(
        summary="Let in somebody who wasn't expected, and check them in",
        request=WalkInSerializer,
        responses={201: CheckInAnswer},
    )
    @refuses(
        room.EventClosed,
        room.EventFull,
        room.TooManyPlusOnes,
        walk_ins.NeedsOrganizer,
        walk_ins.Banned,
        NotAllowed,
        DeviceUnknown,
        *check_in.REFUSALS.values(),  # of the scan_id, where a scan had it before
    )
    def post(self, request, event_id):
        serializer = WalkInSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        answer = walk_ins.add_walk_in(scanner=self.scanner(event_id), **serializer.validated_data)
        return Response(answered(answer), status=201)


# -- What a scanner knows -----------------------------------------------------------------------------


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


def in_at(point):
    """Condition on attendees: checked in at the point; at the event's door for None."""
    if point is None:
        return Q(attendance_status__in=AttendanceStatus.HERE)
    return Q(Exists(live_check_ins(point)))


def live_check_ins(point):
    return CheckIn.objects.filter(
        attendee=OuterRef("pk"), point=point, result=CheckIn.Result.CHECKED_IN, undone_at=None
    )


def door_counts(event, point=None) -> dict:
    """How many are expected and in; one query."""
    people = Sum(F("plus_ones") + 1)
    inside = in_at(point)
    statuses = {status.value: Count("pk", filter=Q(attendance_status=status)) for status in AttendanceStatus}
    return (
        Attendee.objects.active()
        .filter(event=event)
        .aggregate(
            expected=Count("pk"),
            checked_in=Count("pk", filter=inside),
            people_expected=Coalesce(people, 0),
            people_in=Coalesce(Sum(F("plus_ones") + 1, filter=inside), 0),
            **statuses,
        )
    )


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
                "counts": door_counts(event, scanner.point),
                "server_time": timezone.now(),
            }
        )


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
            rows = rows.annotate(at=F(at), by=by, device_name=F(device), inside=Q(in_at(None)))
        else:
            first = live_check_ins(scanner.point)
            rows = rows.annotate(
                at=Subquery(first.values("checked_in_at")[:1]),
                by=Subquery(first.values(name=full_name("by"))[:1]),
                device_name=Subquery(first.values("device__name")[:1]),
                inside=Q(Exists(first)),
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


# -- Devices --------------------------------------------------------------------------------------------


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
