"""Checking in at the door: one scan, or five hundred that a device kept while it had no network.

There is no lock while anything is decided. All that the scans are about is read in one statement,
decided in Python, and written in two statements that take effect only where nothing has changed
since; whoever was outrun starts over. The door's answer thus costs six statements, and four of
them are done before a row is locked.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from config.errors import Busy, DomainError, translated
from events.models import Event, UserProfile
from events.models.people import Role

from ..models import (
    AttendanceSource,
    AttendanceStatus,
    Attendee,
    CheckIn,
    CheckInAttempt,
    CheckInPoint,
    DoorDevice,
)
from . import record, room

Reason = CheckInAttempt.Reason


class UnknownTicket(DomainError):
    code = Reason.UNKNOWN_TICKET.value
    status = 404
    message = _("Nobody has this ticket.")


class TicketRevoked(DomainError):
    code = Reason.TICKET_REVOKED.value
    message = _("This ticket isn't valid any more: its holder was removed from the event.")


class WrongEvent(DomainError):
    code = Reason.WRONG_EVENT.value
    message = _("This ticket is for {event}.")
    plain = _("This ticket is for another event.")


class PointClosed(DomainError):
    code = Reason.POINT_CLOSED.value
    message = _("{point} isn't open for check-in at this time.")
    plain = _("This check-in point isn't open at this time.")


class ScanIdReused(DomainError):
    """Or else somebody would be waved through by the answer about another."""

    code = "scan_id_reused"
    message = _("This scan_id was used for another ticket: a client makes a new one for each scan.")


class Outrun(Busy):
    """Somebody else wrote about the same scan or the same person in this moment: decide anew."""

    constraints = (
        "attendance_checkin_scan_once",
        "attendance_checkin_once_at_a_point",
        "attendance_checkinattempt_scan_once",
    )


REFUSALS = {
    Reason.UNKNOWN_TICKET: UnknownTicket,
    Reason.TICKET_REVOKED: TicketRevoked,
    Reason.WRONG_EVENT: WrongEvent,
    Reason.POINT_CLOSED: PointClosed,
    Reason.EVENT_CLOSED: room.EventClosed,
}

UPLOADED_LATE = timedelta(minutes=2)
CLOCK_BELIEVED = timedelta(days=7)
"""A device's time that lies further back is a wrong clock, not a scan that waited."""
ROUNDS = 5
SCANS_AT_ONCE = 500


@dataclass(frozen=True)
class Scanner:
    """Who stands at which door: a person with a role, or a registered device. One of both is None."""

    event: Event
    name: str
    person: UserProfile | None = None
    device: DoorDevice | None = None
    role: str | None = None
    point: CheckInPoint | None = None

    @property
    def manages(self) -> bool:
        return self.role in Role.MANAGE or self.role == "superuser"

    @property
    def may_add_walk_ins(self) -> bool:
        if self.device is not None:
            return self.device.may_add_walk_ins
        return self.manages or self.event.door_adds_walk_ins

    @property
    def marks_attendance(self) -> bool:
        return self.point is None or self.point.marks_attendance

    @property
    def who(self) -> dict:
        return {"by_id": self.person and self.person.pk, "device_id": self.device and self.device.pk}

    @property
    def key(self) -> str:
        """By which guesses are counted."""
        return str((self.device or self.person).pk)


@dataclass(frozen=True)
class Scan:
    """What was held in front of the scanner: a ticket's code, or a person found by name.

    ``let_in``: what a device did that had no network; None where it doesn't say.
    """

    ticket_code: str | None = None
    attendee_id: UUID | None = None
    scan_id: str | None = None
    scanned_at: datetime | None = None
    let_in: bool | None = None

    def is_of_same(self, other: "Scan") -> bool:
        return (self.ticket_code, self.attendee_id) == (other.ticket_code, other.attendee_id)

    @property
    def code_hash(self) -> str | None:
        return ticket_hash(self.ticket_code) if self.ticket_code is not None else None

    @property
    def source(self):
        return AttendanceSource.SCAN if self.ticket_code is not None else AttendanceSource.API


def ticket_hash(code: str) -> str:
    """What devices get in place of the codes: a code can't be made of it."""
    return hashlib.sha256(code.encode()).hexdigest()


CHECKED_IN, ALREADY, FLAGGED, REFUSED = "checked_in", "already_checked_in", "flagged", "refused"


@dataclass
class Answer:
    """What the door shows. ``error`` is why, where the result is flagged or refused."""

    scan: Scan
    result: str
    error: DomainError | None = None
    holder: "Holder | None" = None
    check_in_id: int | None = None
    checked_in_at: datetime | None = None
    checked_in_by: str | None = None


@dataclass
class Holder:
    """The attendee that a scan is about, with what stands at this point; changed as scans are decided."""

    id: UUID
    event_id: int
    event_title: str
    organization_id: int
    status: str
    plus_ones: int
    attendance: str
    version: datetime | None
    source: str | None
    marked_at: datetime | None
    is_by_hand: bool
    marked_by: str | None
    name: str
    photo_url: str
    first_id: int | None = None
    first_at: datetime | None = None
    first_by: str | None = None

    @property
    def is_here(self):
        return self.attendance in AttendanceStatus.HERE


class Known(NamedTuple):
    """What was made of this scan_id before, if it was here before."""

    id: int | None
    result: str | None
    checked_in_at: datetime | None
    by: str | None
    reason: str | None
    inside: bool | None
    is_another: bool | None
    """Whether it was the scan of another ticket."""


# Who was found by name is marked through the API like somebody marked by hand there: what tells
# them apart is the check-in of that moment.
READ = """
    SELECT clock_timestamp(),
        a.id, a.event_id, e.title, e.organization_id, a.status, a.plus_ones,
        a.attendance_status, a.attendance_updated_at, a.attendance_source, a.attendance_marked_at,
        NOT EXISTS (
            SELECT FROM check_ins AS marking WHERE marking.attendee_id = a.id AND marking.result = 'checked_in'
            AND marking.checked_in_at = a.attendance_marked_at AND a.attendance_source IN ('scan', 'api')
        ),
        coalesce(marking_device.name, nullif(trim(marker.first_name || ' ' || marker.last_name), '')),
        trim(p.first_name || ' ' || p.last_name), p.photo_url,
        here.id, here.checked_in_at,
        coalesce(here_device.name, nullif(trim(here_by.first_name || ' ' || here_by.last_name), '')),
        known.id, known.result,
        CASE
            WHEN known.result = 'already_checked_in' THEN known.checked_in_at
            WHEN known.scanned_at BETWEEN known.received_at - %(believed)s AND known.received_at THEN known.scanned_at
            ELSE known.received_at
        END,
        (
            SELECT coalesce(device.name, nullif(trim(by.first_name || ' ' || by.last_name), ''))
            FROM check_ins AS first
            LEFT JOIN user_profiles AS by ON by.id = first.by_id
            LEFT JOIN door_devices AS device ON device.id = first.device_id
            WHERE first.attendee_id = known.attendee_id AND first.checked_in_at = known.checked_in_at
            AND (first.result = 'checked_in' OR first.id = known.id AND known.scanned_at = known.checked_in_at)
            ORDER BY first.id = known.id DESC, first.id LIMIT 1
        ),
        attempt.reason, attempt.inside,
        CASE
            WHEN known.id IS NOT NULL THEN known.attendee_id IS DISTINCT FROM asked.id
            ELSE attempt.code_hash IS DISTINCT FROM encode(sha256(convert_to(scan.code, 'UTF8')), 'hex')
                OR attempt.attendee_id IS DISTINCT FROM CASE WHEN a.event_id = %(event)s THEN a.id END
        END
    FROM unnest(%(codes)s::text[], %(ids)s::uuid[], %(scans)s::text[]) WITH ORDINALITY AS scan(code, id, scan_id, place)
    CROSS JOIN LATERAL (
        SELECT coalesce(scan.id, (SELECT t.id FROM event_attendees AS t WHERE t.ticket_code = scan.code)) AS id
    ) AS asked
    LEFT JOIN check_ins AS known ON known.event_id = %(event)s AND known.scan_id = scan.scan_id
    LEFT JOIN check_in_attempts AS attempt ON attempt.event_id = %(event)s AND attempt.scan_id = scan.scan_id
    LEFT JOIN event_attendees AS a ON a.id = coalesce(known.attendee_id, asked.id)
    LEFT JOIN events AS e ON e.id = a.event_id
    LEFT JOIN user_profiles AS p ON p.id = a.user_profile_id
    LEFT JOIN user_profiles AS marker ON marker.id = a.attendance_marked_by_id
    LEFT JOIN door_devices AS marking_device ON marking_device.id = a.attendance_device_id
    LEFT JOIN check_ins AS here ON here.attendee_id = a.id AND here.point_id IS NOT DISTINCT FROM %(point)s
        AND here.result = 'checked_in' AND here.undone_at IS NULL
    LEFT JOIN user_profiles AS here_by ON here_by.id = here.by_id
    LEFT JOIN door_devices AS here_device ON here_device.id = here.device_id
    ORDER BY scan.place
"""


BRING_FORWARD = """
    UPDATE check_ins SET checked_in_at = earlier.moment
    FROM unnest(%s::bigint[], %s::timestamptz[]) AS earlier(id, moment)
    WHERE check_ins.id = earlier.id AND check_ins.checked_in_at > earlier.moment
"""


def check_in(*, scanner: Scanner, scans: Sequence[Scan]) -> list[Answer]:
    """Lets in whoever the scans are about; an Answer for each, in order. Raises Busy.

    From unknown, absent or excused somebody becomes present (or late); a second scan changes
    nothing. A scan_id that was here before gets the answer of that time. Of several scans of one
    person the earliest counts, whenever it arrives. Refused scans are kept for the organisers; one
    that was uploaded late is flagged rather than refused, because the person is inside already.
    """
    for left in reversed(range(ROUNDS)):
        try:
            with translated():
                return _Round(scanner, scans).run()
        except Outrun:
            if not left:
                raise
    raise AssertionError("unreachable")


@dataclass
class _Round:
    """One attempt: what was read, what was decided, and what is to be written."""

    scanner: Scanner
    scans: Sequence[Scan]
    answers: dict[int, Answer] = field(default_factory=dict)
    check_ins: list[tuple[CheckIn, Answer]] = field(default_factory=list)
    attempts: list[CheckInAttempt] = field(default_factory=list)
    marks: dict[UUID, record.Mark] = field(default_factory=dict)
    stale: list[int] = field(default_factory=list)
    """Check-ins that a change past the operations has overtaken."""
    earlier: list[tuple[int, datetime]] = field(default_factory=list)
    """Check-ins, and the earlier time that an upload has brought."""

    def run(self) -> list[Answer]:
        rows = self._read()
        self.received = rows[0][0]
        holders: dict[UUID, Holder] = {}
        facts = []
        for row in rows:
            holder = row[1] and holders.setdefault(row[1], Holder(*row[1:18]))
            facts.append((holder, Known(*row[18:])))
        in_order = sorted(range(len(rows)), key=lambda place: (self._moment(self.scans[place]), place))
        seen: dict[str, Answer] = {}
        for place in in_order:
            scan = self.scans[place]
            first = seen.get(scan.scan_id)
            if first is None:
                answer = self._decide(scan, *facts[place])
            else:
                answer = first if first.scan.is_of_same(scan) else Answer(scan, REFUSED, error=ScanIdReused())
            if scan.scan_id and not isinstance(answer.error, ScanIdReused):
                seen.setdefault(scan.scan_id, answer)
            self.answers[place] = answer
        self._write()
        return [self.answers[place] for place in range(len(rows))]

    def _read(self):
        with connection.cursor() as cursor:
            cursor.execute(
                READ,
                {
                    "codes": [one.ticket_code for one in self.scans],
                    "ids": [one.attendee_id for one in self.scans],
                    "scans": [one.scan_id for one in self.scans],
                    "believed": CLOCK_BELIEVED,
                    "event": self.scanner.event.pk,
                    "point": self.scanner.point and self.scanner.point.pk,
                },
            )
            return cursor.fetchall()

    def _moment(self, scan) -> datetime:
        """When it happened: by the device's clock where that can be believed."""
        at = scan.scanned_at
        return at if at and self.received - CLOCK_BELIEVED <= at <= self.received else self.received

    def _is_late_upload(self, scan) -> bool:
        return scan.scanned_at is not None and self.received - scan.scanned_at > UPLOADED_LATE

    def _is_inside(self, scan) -> bool:
        """Whoever is scanned by a device without network walks on, unless the device itself said no."""
        return self._is_late_upload(scan) and scan.let_in is not False

    def _decide(self, scan, holder, known) -> Answer:
        if (known.result or known.reason) and known.is_another:
            return Answer(scan, REFUSED, error=ScanIdReused())
        if known.result:
            return self._again(scan, holder, known)
        if known.reason:
            return self._refused(scan, holder, known.reason, known.inside)
        reason = self._reason_against(scan, holder)
        if reason:
            return self._refuse(scan, holder, reason)
        first, moment = self._in_since(holder), self._moment(scan)
        if first is None:
            return self._let_in(scan, holder, moment)
        is_earlier = moment < first
        if is_earlier:
            self._bring_forward(scan, holder, moment)
        answer = self._in(scan, holder, ALREADY)
        if scan.scan_id or is_earlier:
            self.check_ins.append((self._row(scan, holder, ALREADY, answer.checked_in_at), answer))
        return answer

    def _reason_against(self, scan, holder):
        event, point = self.scanner.event, self.scanner.point
        if holder is None or (holder.event_id != event.pk and scan.ticket_code is None):
            return Reason.UNKNOWN_TICKET
        if holder.event_id != event.pk:
            return Reason.WRONG_EVENT
        if holder.status != Attendee.Status.ACTIVE:
            return Reason.TICKET_REVOKED
        if event.status == Event.Status.CANCELLED:
            return Reason.EVENT_CLOSED
        if point is not None and not point.is_open_at(self._moment(scan)):
            return Reason.POINT_CLOSED
        return None

    def _in_since(self, holder) -> datetime | None:
        """Since when they are in, at this point; None where they aren't."""
        if self.scanner.marks_attendance and not holder.is_here:
            return None
        return holder.marked_at if self.scanner.point is None else holder.first_at

    # What was decided

    def _let_in(self, scan, holder, moment) -> Answer:
        previous = None
        if self.scanner.marks_attendance:
            previous = None if holder.is_here else holder.attendance
            self._mark_arrival(scan, holder, moment)
        if holder.first_id:
            self.stale.append(holder.first_id)
        holder.first_id, holder.first_at, holder.first_by = None, moment, self.scanner.name
        answer = self._in(scan, holder, CHECKED_IN)
        self.check_ins.append((self._row(scan, holder, CHECKED_IN, moment, previous), answer))
        return answer

    def _bring_forward(self, scan, holder, moment):
        """A scan that arrives later than one after it."""
        if self.scanner.marks_attendance:
            self._mark_arrival(scan, holder, moment)
        if holder.first_id:
            self.earlier.append((holder.first_id, moment))
        holder.first_at, holder.first_by = moment, self.scanner.name

    def _mark_arrival(self, scan, holder, moment):
        """Nothing to mark where somebody came earlier, or where a person has said that they came."""
        if holder.is_here and (holder.is_by_hand or holder.marked_at <= moment):
            return
        status = record.arrival_status(self.scanner.event, moment)
        self.marks[holder.id] = record.Mark(
            attendee_id=holder.id,
            version=holder.version,
            new=status,
            at=moment,
            source=scan.source,
            **self.scanner.who,
        )
        holder.attendance, holder.source, holder.is_by_hand = status, scan.source, False
        holder.marked_at, holder.marked_by = moment, self.scanner.name

    def _again(self, scan, holder, known) -> Answer:
        """The answer of the first time, though the check-in may have been undone since; of the
        attendee, what is true now."""
        answer = self._in(scan, holder, known.result)
        if known.result == CHECKED_IN:
            answer.check_in_id = known.id
        answer.checked_in_at, answer.checked_in_by = known.checked_in_at, known.by or answer.checked_in_by
        return answer

    def _in(self, scan, holder, result) -> Answer:
        at_door = self.scanner.point is None
        return Answer(
            scan,
            result,
            holder=holder,
            check_in_id=holder.first_id,
            checked_in_at=holder.marked_at if at_door else holder.first_at,
            checked_in_by=(holder.marked_by if at_door else holder.first_by) or None,
        )

    def _row(self, scan, holder, result, moment, previous=None) -> CheckIn:
        return CheckIn(
            attendee_id=holder.id,
            result=result,
            checked_in_at=moment,
            previous_status=previous,
            **self._scan_fields(scan),
        )

    def _scan_fields(self, scan):
        return {
            "event": self.scanner.event,
            "point": self.scanner.point,
            "scan_id": scan.scan_id,
            "scanned_at": scan.scanned_at,
            "received_at": self.received,
            "uploaded_late": self._is_late_upload(scan),
            **self.scanner.who,
        }

    def _refuse(self, scan, holder, reason) -> Answer:
        self.attempts.append(
            CheckInAttempt(
                # Another event's attendee is nothing that this event's organisers may look up.
                attendee_id=holder.id if holder and holder.event_id == self.scanner.event.pk else None,
                code_hash=scan.code_hash,
                reason=reason,
                inside=self._is_inside(scan),
                **self._scan_fields(scan),
            )
        )
        return self._refused(scan, holder, reason, self._is_inside(scan))

    def _refused(self, scan, holder, reason, inside) -> Answer:
        return Answer(scan, FLAGGED if inside else REFUSED, error=self._error(reason, holder))

    def _error(self, reason, holder) -> DomainError:
        """Names another event only to people who may look at it; a device may not."""
        kind, params = REFUSALS[reason], {}
        if kind is WrongEvent and self.scanner.person is not None:
            own = holder and holder.organization_id == self.scanner.event.organization_id
            params = {"event": holder.event_title} if own or self.scanner.role == "superuser" else {}
        elif kind is PointClosed and self.scanner.point is not None:
            params = {"point": self.scanner.point}
        elif kind is room.EventClosed:
            params = {"status": self.scanner.event.get_status_display().lower()}
        return kind(**params)

    # What is written

    def _write(self):
        """One row alone needs no transaction. Raises Outrun."""
        if not self.marks and not self.stale and not self.earlier:
            if len(self.check_ins) + len(self.attempts) == 1:
                for row in [*(row for row, _answer in self.check_ins), *self.attempts]:
                    row.save(force_insert=True)
                return self._tell_ids()
            if not self.check_ins and not self.attempts:
                return None
        with transaction.atomic():
            # Attendees first and in the order of their ids, as everywhere: two batches about the
            # same people wait for each other here, and nowhere in opposite directions.
            if len(record.write(list(self.marks.values()))) != len(self.marks):
                raise Outrun
            if self.stale:
                CheckIn.objects.filter(pk__in=self.stale).update(undone_at=self.received)
            if self.earlier:
                self._write_earlier()
            self.check_ins.sort(key=lambda one: one[0].attendee_id)
            self.attempts.sort(key=lambda one: one.scan_id or "")
            CheckIn.objects.bulk_create([row for row, _answer in self.check_ins])
            CheckInAttempt.objects.bulk_create(self.attempts)
        return self._tell_ids()

    def _write_earlier(self):
        """The check-in stays whose it is, and tells the earlier time. One statement, for any number."""
        with connection.cursor() as cursor:
            cursor.execute(BRING_FORWARD, list(map(list, zip(*sorted(self.earlier), strict=True))))

    def _tell_ids(self):
        made = {row.attendee_id: row.pk for row, _answer in self.check_ins if row.result == CHECKED_IN}
        for answer in self.answers.values():
            if answer.holder is not None and answer.check_in_id is None:
                answer.check_in_id = made.get(answer.holder.id)
