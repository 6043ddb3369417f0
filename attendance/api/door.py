"""What a scanner at the door calls: check in, undo, add walk-ins, and what it keeps for when there is no network."""

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from config.errors import NotAllowed
from config.openapi import refuses
from events.models.people import to_e164

from ..models import AttendanceStatus, Attendee
from ..operations import check_in, room, undo, walk_ins
from ..operations.check_in import Scan
from .scanners import AtDoor, DeviceUnknown, Slowed, counted_guess, may_guess


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
    let_in = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text=_("What a device without network did. Where it said no, a late refusal isn't flagged."),
    )

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
        check_in.ScanIdReused,
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
        if isinstance(answer.error, check_in.UnknownTicket):
            counted_guess(scanner)
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
        for place in self._unknown(good):
            if not counted_guess(scanner):
                results[place] = refused(good.pop(place).scan_id, Slowed.code, Slowed.message)
        if good:
            answers = check_in.check_in(scanner=scanner, scans=list(good.values()))
            results |= zip(good, map(answered, answers), strict=True)
        return Response({"results": [results[place] for place in sorted(results)]})

    @staticmethod
    def _unknown(scans) -> list[int]:
        """Places of codes that nobody has: as many guesses, which are counted before they are answered."""
        codes = {scan.ticket_code for scan in scans.values() if scan.ticket_code is not None}
        known = codes and set(Attendee.objects.filter(ticket_code__in=codes).values_list("ticket_code", flat=True))
        return [place for place, scan in scans.items() if scan.ticket_code in codes - known]


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
    @refuses(undo.UndoExpired, undo.UndoNotLast, check_in.TicketRevoked, NotAllowed, DeviceUnknown)
    def post(self, request, event_id, check_in_id):
        scanner = self.scanner(event_id, checks_in=False)
        attendee, changed = undo.take_back(check_in_id=check_in_id, scanner=scanner)
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
        check_in.ScanIdReused,
        walk_ins.NeedsOrganizer,
        room.Banned,
        NotAllowed,
        DeviceUnknown,
        *check_in.REFUSALS.values(),  # of the scan_id, where a scan had it before
    )
    def post(self, request, event_id):
        serializer = WalkInSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        answer = walk_ins.add_walk_in(scanner=self.scanner(event_id), **serializer.validated_data)
        return Response(answered(answer), status=201)
