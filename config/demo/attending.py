"""Who came: to the events that are over, and to those that go on, until this moment.

Comes last of the modules: the events that are over complete themselves here, as they would by themselves.
"""

import random
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from django.db import connection
from django.db.models import DurationField, F, Value
from django.db.models.functions import Least
from django.utils import timezone
from simple_history.utils import bulk_create_with_history

from attendance.models import (
    AttendanceAudit,
    AttendanceSource,
    AttendanceStatus,
    Attendee,
    CheckIn,
    CheckInAttempt,
    CheckInPoint,
    DoorDevice,
    PointScale,
)
from attendance.operations import absence, check_in, devices, imports, marking, record, room, undo
from attendance.operations.check_in import Scan, Scanner
from config.database import write
from config.errors import SYSTEM, lock
from config.tables import Row, Table
from events.models import Event
from requests.operations import removals

from . import clock, texts
from .agenda import CONFERENCE_KEY, PLANS
from .joining import HOURS, LATE

Status, Source = AttendanceStatus, AttendanceSource

OFFLINE = "offline-"
"""Where the scans begin that a device kept while it had no network."""
UPLOAD = timedelta(minutes=25)


@dataclass(frozen=True)
class Turnout:
    """How many of an event's people do what; the rest comes in time."""

    late: int = 0
    away: int = 0
    """Whom nobody has seen: still expected, or absent once the event is over."""
    excused: int = 0
    by_hand: int = 0
    """Marked present by an organiser."""
    imported: bool = False
    """Nobody scanned; who came stands in a list from elsewhere."""


TURNOUTS = {
    "demo:now": Turnout(late=9, away=24, excused=3, by_hand=3),
    "demo:over": Turnout(late=7, away=11, excused=3, by_hand=2),
    "other:now": Turnout(away=16, excused=1, by_hand=1),
    "other:over": Turnout(late=3, away=5, imported=True),
}
SCALE = {"present": 20, "late": 15, "excused": 5, "absent": -10}
"""What attendance is worth in the second organisation."""


def build(demo):
    for key, turnout in TURNOUTS.items():
        event = demo.events[key]
        # Its audit can't be deleted: where there is none, nothing was made yet.
        if not AttendanceAudit.objects.filter(event=event).exists():
            demo.events[key] = _Door(demo, key, event, turnout).play()
    _scan_for_a_cancelled_event(demo)
    _scale(demo)


def move(demo):
    """Stamps of what goes on move by the time gone by, as those of the rooms do; what is over keeps its time of day."""
    gone_by = Value(demo.now - demo.anchor, output_field=DurationField())
    for event in Event.objects.filter(external_id__in=PLANS):
        days = clock.days_between(demo.anchor, demo.now, event.zone)
        by_days, by_time = partial(clock.later_sql, days=days, zone=event.zone), partial(_by_time, gone_by=gone_by)
        later = by_days if event.ends_at <= demo.now else by_time
        scans = {"event": event, "received_at__lte": demo.anchor}
        marked = Attendee.objects.filter(event=event, attendance_updated_at__lte=demo.anchor)
        _shift(marked, ("attendance_marked_at", "attendance_updated_at"), later)
        standing = CheckIn.objects.filter(**scans).exclude(undone_at__gt=demo.anchor)
        _shift(standing, ("checked_in_at", "scanned_at", "received_at", "undone_at"), later)
        _shift(CheckInAttempt.objects.filter(**scans), ("scanned_at", "received_at"), later)
        for points in (CheckInPoint.objects.filter(event=event), CheckInPoint.history.filter(event_id=event.pk)):
            _shift(points, ("opens_at", "closes_at"), by_days)
        _expect_again(demo, event)
    ours = {"event__external_id__in": PLANS}
    clock.move_stamps(CheckInPoint, CheckInPoint.objects.filter(**ours), ("created_at",), demo)
    stamps = ("created_at", "enrolled_at", "revoked_at")
    clock.move_stamps(DoorDevice, DoorDevice.objects.filter(**ours), stamps, demo)
    for event in Event.objects.filter(external_id=CONFERENCE_KEY):
        # All of its history says the same until somebody sets another one.
        if Event.history.filter(id=event.pk).values("late_after").distinct().count() == 1:
            _make_late(demo, event)


def _by_time(name, gone_by):
    return F(name) + gone_by


def _shift(rows, names, later):
    rows.update(**{name: later(name) for name in names})


def _expect_again(demo, event):
    """A demo that ran for days has completed events which now move back to today, or into the future."""
    latest = Event.history.filter(id=event.pk).order_by("-history_date", "-history_id").first()
    by_itself = latest is not None and latest.status == Event.Status.COMPLETED and latest.history_user_id is None
    if not by_itself or event.status != Event.Status.COMPLETED or event.ends_at <= demo.now:
        return
    event.status = Event.Status.PUBLISHED
    write([event], ["status"], actor=SYSTEM, reason=clock.MADE)
    absent = Attendee.objects.filter(event=event, attendance_source=Source.AUTO_ABSENCE)
    record.write([_mark(one, Status.UNKNOWN, Source.BACKFILL) for one in absent])


def _make_late(demo, event):
    """Of an event that starts at midnight: whoever has come lately is late, whatever the time of day."""
    minutes = max(demo.now - LATE - event.starts_at, timedelta(0)) // timedelta(minutes=1)
    for rows in (Event.objects.filter(pk=event.pk), Event.history.filter(id=event.pk)):
        rows.update(late_after=timedelta(minutes=minutes))


def _mark(attendee, status, source):
    version = attendee.attendance_updated_at
    return record.Mark(attendee_id=attendee.pk, version=version, new=status, at=timezone.now(), source=source)


def _scan_for_a_cancelled_event(demo):
    event = copy(demo.events["demo:cancelled"])
    if CheckInAttempt.objects.filter(event=event).exists():
        return
    event.status = Event.Status.CANCELLED  # as it is once all modules are done
    person = demo.login(event, "door")
    for attendee in Attendee.objects.active().filter(event=event).order_by("user_profile__owner_id")[:1]:
        scanner = Scanner(event=event, name=person.get_full_name(), person=person, role="door")
        check_in.check_in(scanner=scanner, scans=[Scan(ticket_code=attendee.ticket_code)])
        CheckInAttempt.objects.filter(event=event).update(received_at=demo.now - timedelta(hours=2))


def _scale(demo):
    organization = demo.organizations["other"]
    if not PointScale.objects.filter(organization=organization).exists():
        scale = PointScale(organization=organization, **SCALE)
        scale._history_user, scale._change_reason = demo.logins["owner@other.example"], clock.MADE
        scale.save()


class _Door:
    """One event's door. Everything is done by the operations, which go by the database's clock: while
    they work, the event lies as it would if this moment were ``edge``; what they stamp is dated back.
    Only the audit stays as it was written."""

    def __init__(self, demo, key, event, turnout):
        self.demo, self.key, self.turnout = demo, key, turnout
        self.event = lock(Event.objects.select_related("organization"), pk=event.pk)
        self.dice = random.Random(f"{key}, the door")
        self.owner, self.organizer, self.person = (demo.login(event, name) for name in ("owner", "organizer", "door"))
        self.goes_on = self.event.ends_at > demo.now
        if key == CONFERENCE_KEY:
            _make_late(demo, self.event)
            self.event.refresh_from_db()
            self.begins, self.ends = demo.now - HOURS, demo.now - timedelta(minutes=1)
        else:
            self.begins = self.event.starts_at - timedelta(minutes=20)
            self.ends = self.event.starts_at + timedelta(hours=4)
        over = self.event.ends_at + self.event.auto_absence_grace + timedelta(minutes=1)
        self.edge = demo.now if self.goes_on else over
        self.began = timezone.now()
        self.shift = self.began - self.edge
        self.scans = 0
        self.moments: dict[object, datetime] = {}
        """When each attendee was marked; by primary key, in the demo's time."""
        self._cast()

    def _cast(self):
        attendees = Attendee.objects.active().filter(event=self.event).select_related("user_profile")
        everybody = list(attendees.order_by("user_profile__owner_id"))
        login = self.demo.login(self.event, "attendee")
        self.walk_ins = [one for one in everybody if one.source == Attendee.Source.WALK_IN]
        expected = [one for one in everybody if one.source != Attendee.Source.WALK_IN]
        people = [one for one in expected if one.user_profile_id != login.pk]
        self.again = next((one for one in people if not one.join_request_id), None)
        people = [one for one in people if one is not self.again]
        self.dice.shuffle(people)
        rest = iter(people)
        self.late, self.excused, self.by_hand, away = (
            list(islice(rest, count))
            for count in (self.turnout.late, self.turnout.excused, self.turnout.by_hand, self.turnout.away)
        )
        self.away = [*away, *([self.again] if self.again else [])]
        self.present = list(rest)
        if not self.goes_on:  # where it does, whoever tries the demo finds their own ticket left to scan
            self.present += [one for one in expected if one.user_profile_id == login.pk]

    def play(self) -> Event:
        if self.event.status == Event.Status.COMPLETED:  # of a demo from before there was attendance
            self.event.status = Event.Status.PUBLISHED
            write([self.event], ["status"], actor=self.owner, reason=clock.MADE)
        with self._brought_here():
            self._set_up()
            self._excuse()
            if self.turnout.imported:
                self._import()
            else:
                self._scan()
                self._undo()
                self._refuse()
                self._mark_by_hand()
            if not self.goes_on:
                self._complete()
        self._date()
        return Event.objects.select_related("organization").get(pk=self.event.pk)

    @contextmanager
    def _brought_here(self):
        times = {name: getattr(self.event, name) for name in ("starts_at", "ends_at")}
        brought = {name: moment + self.shift for name, moment in times.items()}
        Event.objects.filter(pk=self.event.pk).update(**brought)
        self.event.refresh_from_db()
        yield
        Event.objects.filter(pk=self.event.pk).update(**times)
        written = Event.history.filter(id=self.event.pk, history_date__gte=self.began, starts_at=brought["starts_at"])
        written.update(**times, history_date=self.edge)
        for name, moment in times.items():
            setattr(self.event, name, moment)

    # Before the doors open

    def _set_up(self):
        self.doors = [self._scanner(person=self.person, role="door")]
        self.gate = self.talks = None
        if self.turnout.imported:
            return
        self.doors.append(self._scanner(device=self._device("North entrance")))
        if self.key != CONFERENCE_KEY:
            return
        self.doors.append(self._scanner(device=self._device("Tablet 2", may_add_walk_ins=True)))
        tomorrow = clock.later(self.event.starts_at - self.shift, 1, self.event.zone)
        opens, closes = tomorrow + timedelta(hours=8), tomorrow + timedelta(hours=20)
        talks = list(self.event.sessions.exclude(status="cancelled").order_by("starts_at", "title")[:2])
        points = [
            CheckInPoint(event=self.event, name="South gate"),
            CheckInPoint(event=self.event, name="Second day", opens_at=opens, closes_at=closes),
            *(
                CheckInPoint(event=self.event, name=talk.title[:200], kind=CheckInPoint.Kind.SESSION, session=talk)
                for talk in talks
            ),
        ]
        bulk_create_with_history(points, CheckInPoint, default_user=self.organizer, default_change_reason=clock.MADE)
        self.gate, self.closed, *self.talks = points
        tablet = self.doors[-1].device
        tablet.points.set(points)
        self._device("Tablet 3", registered=False)
        lost = self._device("Phone of the night shift")
        self.doors.append(self._scanner(device=lost))
        self.lost = lost

    def _device(self, name, *, registered=True, **switches) -> DoorDevice:
        device = DoorDevice(event=self.event, name=name, created_by=self.organizer, **switches)
        device._history_user, device._change_reason = self.organizer, clock.MADE
        device.save()
        device = devices.new_code(device_id=device.pk, actor=self.organizer).row
        return devices.enrol(code=device.enrolment_code)[0] if registered else device

    def _scanner(self, *, person=None, device=None, role=None, point=None) -> Scanner:
        name = device.name if device else person.get_full_name()
        return Scanner(event=self.event, name=name, person=person, device=device, role=role, point=point)

    # At the door

    def _scan(self):
        arrivals = [
            *((one, self._moment()) for one in self.present),
            *((one, self._moment(late=True)) for one in self.late),
            *((one, one.created_at) for one in self.walk_ins),
        ]
        self.here = sorted(((max(at, one.created_at), one) for one, at in arrivals), key=lambda each: each[0])
        by_scanner: dict[int, list[Scan]] = {number: [] for number in range(len(self.doors))}
        shares = (45, 33, 14, 8)[: len(self.doors)]
        for at, one in self.here:
            walk_in = one.source == Attendee.Source.WALK_IN
            [number] = (0,) if walk_in else self.dice.choices(range(len(self.doors)), shares)
            by_name = walk_in or self.dice.random() < 0.12
            by_scanner[number].append(self._scan_of(one, at, by_name=by_name))
        if len(self.doors) > 2:  # Tablet 2 was without network in the middle
            kept = by_scanner[2][len(by_scanner[2]) // 3 :][:6]
            by_scanner[2] = [self._offline(one) if one in kept else one for one in by_scanner[2]]
        for number, scans in by_scanner.items():
            self._check_in(self.doors[number], scans)
        # Tickets that were held out twice.
        repeats = [self._scan_of(one, at + timedelta(seconds=20)) for at, one in self.here[3:18:4]]
        self._check_in(self.doors[0], repeats)
        if self.talks:
            self._further_points()

    def _further_points(self):
        """Some came in by another gate once more, and some sat in sessions."""
        person, tablet = self.doors[0], self.doors[2]
        for point, scanner, count in (
            (self.gate, person, 8),
            *((talk, tablet, count) for talk, count in zip(self.talks, (14, 9), strict=False)),
        ):
            came = self.dice.sample(self.here, min(count, len(self.here)))
            scans = [self._scan_of(one, at + self.dice.random() * (self.ends - at)) for at, one in came]
            self._check_in(replace(scanner, point=point), scans)
        devices.revoke(device_id=self.lost.pk, actor=self.organizer)

    def _undo(self):
        """The wrong one of two with the same name: undone at once, and expected still."""
        for wrong in self.away[:1]:
            [answer] = self._check_in(self.doors[0], [self._scan_of(wrong, self._moment(), by_name=True)])
            undo.take_back(check_in_id=answer.check_in_id, scanner=self.doors[0])

    def _refuse(self):
        tickets = Attendee.objects.order_by("user_profile__owner_id").values_list("ticket_code", flat=True)
        removed = list(tickets.filter(event=self.event, status=Attendee.Status.REMOVED)[:2])
        next_event = self.demo.events[f"{self.event.organization.slug}:next"]
        elsewhere = list(tickets.filter(event=next_event, status=Attendee.Status.ACTIVE)[:2])
        shown = [Scan(ticket_code=code) for code in (*texts.NO_TICKETS, *removed, *elsewhere)]
        self._check_in(self.doors[0], [self._at(one, self._moment()) for one in shown])
        if self.talks:
            at, early = self.here[-1]
            self._check_in(replace(self.doors[0], point=self.closed), [self._scan_of(early, at)])
            kept = [self._offline(self._at(Scan(ticket_code=code), self._moment())) for code in removed[:1]]
            self._check_in(self.doors[2], kept)

    def _scan_of(self, attendee, at, *, by_name=False) -> Scan:
        found = {"attendee_id": attendee.pk} if by_name else {"ticket_code": attendee.ticket_code}
        return self._at(Scan(**found), at)

    def _at(self, scan, moment) -> Scan:
        self.scans += 1
        return replace(scan, scan_id=f"{self.key}-{self.scans}", scanned_at=moment + self.shift)

    def _offline(self, scan) -> Scan:
        return replace(scan, scan_id=OFFLINE + scan.scan_id)

    def _check_in(self, scanner, scans):
        return check_in.check_in(scanner=scanner, scans=scans) if scans else []

    def _moment(self, *, late=False) -> datetime:
        """Most come in the middle; nobody within some minutes before lateness begins."""
        begins, ends = self.begins, self.ends
        late_from = self.event.late_from and self.event.late_from - self.shift
        if late_from and late:
            begins = late_from
        elif late_from:
            ends = late_from - timedelta(minutes=3)
        return begins + self.dice.betavariate(2.4, 3) * (ends - begins)

    # By hand, from a list, and by itself

    def _excuse(self):
        for one, note in zip(self.excused, texts.EXCUSES, strict=False):
            self._mark(one, Status.EXCUSED, self.begins - self.dice.random() * timedelta(days=2), note)

    def _mark_by_hand(self):
        for number, one in enumerate(self.by_hand):
            source = Source.API if number else Source.ADMIN
            self._mark(one, Status.PRESENT, self._moment(), texts.BY_HAND if not number else None, source)
        for at, one in self.here[5:6]:
            self._mark(one, Status.UNKNOWN, at + timedelta(minutes=7), texts.SET_BACK)

    def _mark(self, attendee, status, at, notes=None, source=Source.ADMIN):
        marking.mark(attendee_id=attendee.pk, status=status, actor=self.organizer, notes=notes, source=source)
        self.moments[attendee.pk] = at

    def _import(self):
        came = [
            *((one, "yes", self._moment()) for one in (*self.present, *self.walk_ins)),
            *((one, "yes", self._moment(late=True)) for one in self.late),
        ]
        cells = [
            (one.user_profile.email, said, f"{(at + self.shift).astimezone(self.event.zone):%Y-%m-%d %H:%M:%S}")
            for one, said, at in came
        ]
        rows = tuple(Row(line, row) for line, row in enumerate(cells, 2))
        table = Table(("E-mail", "Attended", "Joined at"), rows)
        imports.import_attendance(
            event_id=self.event.pk, table=table, choices=imports.Choices(), actor=self.organizer, dry_run=False
        )

    def _complete(self):
        """The event completes itself. One whom it found absent is let in again meanwhile: they had come after all."""
        if self.again and not self.turnout.imported:
            absence.mark_batch(event_id=self.event.pk)
            removals.remove(attendee_id=self.again.pk, actor=self.organizer, reason=texts.REMOVED)
            person = self.again.user_profile
            event = lock(Event.objects, pk=self.event.pk)
            admission = room.Admission(person.pk, person.owner_id, self.again.plus_ones)
            room.let_in(event=event, admissions=[admission], source=self.again.source, actor=self.organizer)
            self._mark(self.again, Status.PRESENT, self._moment(), texts.BY_HAND)
        absence.complete(event_id=self.event.pk)
        if not self.turnout.imported:
            self._past_the_operations()

    def _past_the_operations(self):
        """What a colleague did in psql, and what a repair had to mend."""
        attendees = Attendee.objects.filter(event=self.event, attendance_source=Source.AUTO_ABSENCE)
        by_sql, mended = attendees.order_by("user_profile__owner_id")[:2]
        with connection.cursor() as cursor:
            cursor.execute("UPDATE event_attendees SET attendance_status = 'excused' WHERE id = %s", [by_sql.pk])
        record.write([_mark(mended, Status.UNKNOWN, Source.BACKFILL)])
        for one in (by_sql, mended):
            self.moments[one.pk] = self.edge

    # Dates

    def _date(self):
        back = Value(-self.shift, output_field=DurationField())
        ours = {"event": self.event.pk}
        for model in (CheckIn, CheckInAttempt):
            rows = model.objects.filter(**ours)
            rows.update(scanned_at=F("scanned_at") + back)
            at_once = rows.exclude(scan_id__startswith=OFFLINE)
            at_once.update(received_at=F("scanned_at"), uploaded_late=False)
            kept = rows.filter(scan_id__startswith=OFFLINE)
            if kept.exists():
                upload = kept.latest("scanned_at").scanned_at + UPLOAD
                kept.update(received_at=min(upload, self.edge), uploaded_late=True)
        CheckInAttempt.objects.filter(**ours, uploaded_late=False).update(inside=False)
        check_ins = CheckIn.objects.filter(**ours)
        check_ins.update(checked_in_at=F("checked_in_at") + back)
        check_ins.exclude(undone_at=None).update(undone_at=F("checked_in_at") + timedelta(minutes=1))
        self._date_attendees(back)
        self._date_devices()
        for model in (Attendee, CheckInPoint):
            model.history.filter(event_id=self.event.pk, history_date__gte=self.began).update(history_date=self.edge)

    def _date_attendees(self, back):
        marked = Attendee.objects.filter(event=self.event).exclude(attendance_updated_at=None)
        # An undo goes by the clock, which has run on.
        marked.update(attendance_marked_at=Least(F("attendance_marked_at") + back, Value(self.edge)))
        rows = list(marked.filter(pk__in=self.moments).exclude(attendance_source=Source.AUTO_ABSENCE))
        for row in rows:
            row.attendance_marked_at = self.moments[row.pk]
        clock.store(Attendee.objects, rows, ["attendance_marked_at"])
        marked.update(attendance_updated_at=F("attendance_marked_at"))

    def _date_devices(self):
        made = self.begins - timedelta(hours=18)
        stamps = {"created_at": made}
        for rows in (
            DoorDevice.objects.filter(event=self.event),
            DoorDevice.history.filter(event_id=self.event.pk),
        ):
            rows.update(**stamps)
            rows.exclude(enrolled_at=None).update(enrolled_at=made + timedelta(minutes=10))
            rows.exclude(revoked_at=None).update(revoked_at=self.ends - timedelta(minutes=30))
        history = DoorDevice.history.filter(event_id=self.event.pk)
        history.update(history_date=made)
        history.exclude(revoked_at=None).update(history_date=F("revoked_at"))
        points = CheckInPoint.objects.filter(event=self.event), CheckInPoint.history.filter(event_id=self.event.pk)
        for rows in points:
            rows.update(created_at=made)
