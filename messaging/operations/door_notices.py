"""What happens at the door, for organisers who want to hear of it.

The door knows nothing of messages: a sweep looks, each minute, for what it has recorded. Where
nobody wants to hear, that is one query.
"""

from collections import defaultdict
from datetime import date, datetime, time, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import Case, Count, F, Func, JSONField, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Concat, JSONObject, Trim
from django.urls import reverse
from django.utils import timezone

from attendance.models import Attendee, CheckIn, CheckInAttempt
from attendance.operations import figures
from config.database import alone
from config.errors import operation
from events.models import Event

from ..models import Kind, Message, NoticePreference
from . import notices, preferences, texts

Topic, Mode, Reason = NoticePreference.Topic, NoticePreference.Mode, CheckInAttempt.Reason

AROUND = timedelta(days=1)
"""So long before and after an event its door is looked at."""
SETTLED = timedelta(seconds=30)
"""A refusal is told of when it is so old: by then every scan with a smaller number is on record too."""
QUIET = timedelta(minutes=5)
"""How long nobody is told again of refusals at the same event."""
FRESH = timedelta(minutes=15)
"""What is older is no news: nobody was listening then, or nothing could be sent."""
EVENING, TIDIED = time(22), timedelta(minutes=10)
"""A day's figures are told at ten by the event's clock; the last day's when the event is over, its grace
included, and absence had time to be marked."""
LATEST = timedelta(hours=12)
"""How long after that they are still worth telling."""
NAMED = 10
REFUSED, OPENED, DAY = "door:refused:", "door:opened:", "door:day:"


@operation
def tell(*, at: datetime | None = None) -> int:
    """All that is due at the moment; how many notices were new."""
    at = at or timezone.now()
    due = []
    if hearers := preferences.hearers(Topic.DOOR, Mode.AT_ONCE):
        due += _opened(hearers, at)
        # What was told last, and what is new since, mean nothing while another sweep is telling.
        if alone(REFUSED):
            due += _refused(hearers, at)
    if hearers := preferences.hearers(Topic.DOOR, Mode.DIGEST):
        due += _days(hearers, at)
    return notices.notify(*due)


def _events(hearers, at) -> QuerySet[Event]:
    """Those whose door may be busy, or was lately."""
    return Event.objects.filter(
        organization__in=hearers, starts_at__lte=at + AROUND, ends_at__gte=at - AROUND - F("auto_absence_grace")
    ).exclude(status=Event.Status.DRAFT)


def _untold(keys: dict[str, object]) -> dict[str, object]:
    """Without what has been told. One query."""
    told = set(Message.objects.filter(key__in=list(keys)).values_list("key", flat=True)) if keys else set()
    return {key: one for key, one in keys.items() if key not in told}


def _notice(event, hearers, key, template, *, names=None, **context):
    page = settings.SITE_URL + reverse("admin:attendance_attendee_figures", args=[event.pk])
    subject, body = texts.written(template, event=event, page=page, **context)
    body, about = texts.naming(body, names or {})
    to = hearers[event.organization_id]
    return notices.Notice(Kind.DOOR, subject, body, to, event_id=event.pk, key=key, about=about)


# -- At once ---------------------------------------------------------------------------------------


def _opened(hearers, at):
    """Events whose first check-in of the local day has just been made. Three queries."""
    today = {f"{OPENED}{one.pk}:{_day(one, at)}": one for one in _events(hearers, at)}
    keys = {one.pk: key for key, one in _untold(today).items()}
    if not keys:
        return
    zones = {one.timezone: _midnight(one, at) for one in today.values()}
    midnight = Case(*[When(timezone=zone, then=Value(moment)) for zone, moment in zones.items()])
    check_ins = CheckIn.objects.filter(
        event=OuterRef("pk"), checked_in_at__gte=OuterRef("midnight"), checked_in_at__lte=at, undone_at=None
    )
    first = Subquery(check_ins.order_by("checked_in_at").values("checked_in_at")[:1])
    for event in Event.objects.filter(pk__in=keys).annotate(midnight=midnight).annotate(first=first):
        if event.first and event.first >= at - FRESH:
            yield _notice(event, hearers, keys[event.pk], "door_opened", moment=event.first)


def _day(event, at) -> date:
    return at.astimezone(event.zone).date()


def _midnight(event, at) -> datetime:
    return datetime.combine(_day(event, at), time(), tzinfo=event.zone)


def _refused(hearers, at):
    """Events with new refusals that nobody was told of in the last minutes. Three queries."""
    events = {one.pk: one for one in _events(hearers, at)}
    last = {
        event_id: (int(key.rpartition(":")[2]), told_at)
        for event_id, key, told_at in Message.objects.filter(event__in=events, kind=Kind.DOOR, key__startswith=REFUSED)
        .order_by("event_id", "-pk")
        .distinct("event_id")
        .values_list("event_id", "key", "created_at")
    }
    listening = Q()
    for pk in events:
        number, told_at = last.get(pk, (0, None))
        if told_at is None or told_at <= at - QUIET:
            listening |= Q(event=pk, pk__gt=number)
    if not listening:
        return
    profile = "attendee__user_profile__"
    name = Trim(Concat(f"{profile}first_name", Value(" "), f"{profile}last_name"))
    rows = (
        CheckInAttempt.objects.filter(listening, received_at__range=(at - FRESH, at - SETTLED))
        .order_by()
        .values("event", "reason")
        .annotate(
            number=Count("pk"),
            newest=Max("pk"),
            people=JSONBAgg(
                JSONObject(name=name, id=f"{profile}pk"),
                filter=Q(attendee__isnull=False),
                distinct=True,
                default=Value([], JSONField()),
            ),
        )
        .order_by("event_id", "-number", "reason")
    )
    found, names = defaultdict(list), {}
    for row in rows:
        people = sorted((one["name"], UUID(one["id"])) for one in row["people"] if one["name"])[:NAMED]
        names |= {pk: name for name, pk in people}
        found[row["event"]].append(row | {"label": Reason(row["reason"]).label, "people": [pk for _name, pk in people]})
    for pk, reasons in found.items():
        number, newest = sum(row["number"] for row in reasons), max(row["newest"] for row in reasons)
        key = f"{REFUSED}{pk}:{newest}"
        yield _notice(events[pk], hearers, key, "door_refused", names=names, number=number, reasons=reasons)


# -- Once a day ------------------------------------------------------------------------------------


def _days(hearers, at):
    """Event days that are over and weren't told of yet. Three queries."""
    ended = {
        f"{DAY}{event.pk}:{day}": event
        for event in _events(hearers, at).exclude(status=Event.Status.CANCELLED)
        for day, due in _ends_of_days(event)
        if at - LATEST < due <= at
    }
    untold = _untold(ended)
    if not untold:
        return
    found = Event.objects.annotate(
        **figures.statuses("attendees__"),
        walk_ins=Count(
            "attendees",
            filter=Q(attendees__status=Attendee.Status.ACTIVE, attendees__source=Attendee.Source.WALK_IN),
        ),
        refused=Subquery(
            CheckInAttempt.objects.filter(event=OuterRef("pk")).order_by().values(number=Func("pk", function="count"))
        ),
    ).in_bulk({event.pk for event in untold.values()})
    for key, event in untold.items():
        yield _notice(event, hearers, key, "door_day", figures=found[event.pk])


def _ends_of_days(event):
    """(local day, when its figures are told). An event that goes on through the night has no day before its last."""
    first, last = _day(event, event.starts_at), _day(event, event.ends_at)
    for number in range((last - first).days):
        day = first + timedelta(days=number)
        evening = datetime.combine(day, EVENING, tzinfo=event.zone)
        if event.ends_at - evening >= timedelta(hours=12):
            yield day, evening
    yield last, event.ends_at + event.auto_absence_grace + TIDIED
