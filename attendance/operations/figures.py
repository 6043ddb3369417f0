"""Attendance in figures: an event's arrivals and statuses, and how many didn't come to an organisation's events.

Nothing here is stored, and the number of queries doesn't depend on what they find.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, DateTimeField, Exists, F, Func, OuterRef, Q, Sum, Value
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from events.models import Event

from ..models import AttendanceStatus, Attendee, CheckIn

SIZES = (5, 15, 60, 24 * 60)
"""Minutes that a bucket of arrivals spans. Each divides a day, so that buckets begin with the local day."""
READABLE, LIMIT = 60, 1000
"""Buckets that a picture shows well, and that one may ask for."""
AROUND = timedelta(days=1)
"""Somebody who was marked longer before or after the event didn't arrive at that moment."""


def statuses(path="") -> dict[str, Count]:
    """Aggregates: how many active attendees have each status, and how many there are; ``path`` leads to them."""
    active = Q(**{f"{path}status": Attendee.Status.ACTIVE})
    each = {
        status.value: Count(f"{path}pk", filter=active & Q(**{f"{path}attendance_status": status}))
        for status in AttendanceStatus
    }
    here = Count(f"{path}pk", filter=active & Q(**{f"{path}attendance_status__in": AttendanceStatus.HERE}))
    return {"expected": Count(f"{path}pk", filter=active), "here": here, **each}


def people_here(path="") -> Sum:
    """Aggregate: attendees who are here, and their plus-ones; ``path`` leads to them."""
    here = Q(**{f"{path}status": Attendee.Status.ACTIVE, f"{path}attendance_status__in": AttendanceStatus.HERE})
    return Sum(F(f"{path}plus_ones") + 1, filter=here, default=0)


def live_check_ins(point):
    """Of the outer attendee, at the point; the event's own door is None."""
    return CheckIn.objects.filter(
        attendee=OuterRef("pk"), point=point, result=CheckIn.Result.CHECKED_IN, undone_at=None
    )


def in_at(point) -> Q:
    """Condition on attendees: in, at the point; here at all for None."""
    return Q(attendance_status__in=AttendanceStatus.HERE) if point is None else Q(Exists(live_check_ins(point)))


def tally(event, point=None) -> dict[str, int]:
    """How many attendees are expected, ``here`` (at the point), and of each status; ``people_…`` counts
    plus-ones too. One query."""
    people, inside = F("plus_ones") + 1, in_at(point)
    return Attendee.objects.in_room(event.pk).aggregate(
        **statuses()
        | {
            "here": Count("pk", filter=inside),
            "people_expected": Sum(people, default=0),
            "people_here": Sum(people, filter=inside, default=0),
        }
    )


@dataclass
class Arrivals:
    """``buckets``: local moment, arrivals by status, and all until then. ``minutes``: what a bucket spans."""

    minutes: int
    buckets: list[dict]
    outside: int
    """People here who were marked long before or after the event, of whom nobody knows when they arrived."""


def arrivals(event, minutes: int | None = None) -> Arrivals:
    """When those who are here came, by the event's clock; without ``minutes`` in buckets that read well."""
    local = Func(Value(event.timezone), F("attendance_marked_at"), function="timezone", output_field=DateTimeField())
    bucket = Func(local, template=f"date_bin('{SIZES[0]} minutes', %(expressions)s, TIMESTAMP '2000-01-01')")
    rows = (
        Attendee.objects.in_room(event.pk)
        .here()
        .order_by()
        .annotate(
            bucket=bucket,
            during=Q(attendance_marked_at__range=(event.starts_at - AROUND, event.ends_at + AROUND)),
        )
        .values_list("bucket", "during", "attendance_status")
        .annotate(number=Count("pk"))
    )
    finest, outside = Counter(), 0
    for moment, during, status, number in rows:
        if during:
            finest[moment, status] += number
        else:
            outside += number
    size = _size(finest, minutes)
    return Arrivals(minutes=size, buckets=list(_buckets(finest, size)), outside=outside)


def _begin(moment, size):
    midnight = moment.replace(hour=0, minute=0)
    return midnight + (moment - midnight) // timedelta(minutes=size) * timedelta(minutes=size)


def _moments(finest, size) -> range:
    """Minutes after the first bucket's begin at which buckets begin, empty ones in between included."""
    first, last = (_begin(edge(moment for moment, _status in finest), size) for edge in (min, max))
    return range(0, (last - first) // timedelta(minutes=1) + 1, size)


def _size(finest, wished) -> int:
    if not finest:
        return wished if wished in SIZES else SIZES[1]
    fits = [size for size in SIZES if len(_moments(finest, size)) <= (LIMIT if wished in SIZES else READABLE)]
    return next((size for size in fits if wished not in SIZES or size >= wished), SIZES[-1])


def _buckets(finest, size):
    if not finest:
        return
    merged = Counter()
    for (moment, status), number in finest.items():
        merged[_begin(moment, size), status] += number
    first, total = min(moment for moment, _status in merged), 0
    for minutes in _moments(finest, size):
        at = first + timedelta(minutes=minutes)
        numbers = {status.value: merged[at, status] for status in (AttendanceStatus.PRESENT, AttendanceStatus.LATE)}
        total += sum(numbers.values())
        yield {"at": at, **numbers, "count": sum(numbers.values()), "total": total}


def at_points(event) -> list[dict]:
    """People checked in at each check-in point, the event's own door first."""
    rows = (
        _let_in(event)
        .values("point", name=F("point__name"), kind=F("point__kind"))
        .annotate(number=Count("pk"))
        .order_by(F("point").asc(nulls_first=True))
    )
    return [{"name": row["name"] or _("The event's door"), "number": row["number"]} for row in rows]


def by_scanners(event) -> list[dict]:
    """Who and which devices checked in how many, the busiest first."""
    first, last, device = F("by__first_name"), F("by__last_name"), F("device__name")
    rows = _let_in(event).values("by", "device_id", first=first, last=last, device_name=device)
    rows = rows.annotate(number=Count("pk")).order_by("-number", "device_id", "by")
    return [
        {"name": row["device_name"] or f"{row['first'] or ''} {row['last'] or ''}".strip() or _("(no name)"),
         "number": row["number"]}
        for row in rows[:50]
    ]  # fmt: skip


def _let_in(event):
    return CheckIn.objects.filter(event=event, result=CheckIn.Result.CHECKED_IN, undone_at=None)


def no_shows(organization_id, events: int = 12) -> list[Event]:
    """The organisation's last events that are over, the newest first, with the counts of :func:`statuses`."""
    last = (
        Event.objects.filter(organization=organization_id, ends_at__lt=Now())
        .exclude(status__in=(Event.Status.CANCELLED, Event.Status.DRAFT))
        .order_by("-starts_at", "-pk")
    )
    chosen = Event.objects.filter(pk__in=last.values("pk")[:events])
    return list(chosen.annotate(**statuses("attendees__")).order_by("-starts_at", "-pk"))


def no_show_rate(counts: dict[str, int]) -> float | None:
    """Absent people among those of whom it is known whether they came, excused ones apart; None where nobody is."""
    known = counts["here"] + counts["absent"]
    return counts["absent"] / known if known else None
