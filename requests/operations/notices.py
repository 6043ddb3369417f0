"""What people hear of their join requests, and organisers of those that wait for them.

Decisions are told in the transaction that makes them: rolled back, nobody hears. What waits is found
by sweeps, so that asking to join costs nothing, and five hundred requests are no five hundred letters.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, Window
from django.db.models.functions import RowNumber
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from attendance.models import Attendee
from config.database import alone
from config.errors import operation
from events.models import Event
from messaging.models import Kind, Message, NoticePreference
from messaging.operations import notices, preferences, texts

from ..models import JoinRequest, Status

Topic, Mode = NoticePreference.Topic, NoticePreference.Mode
Notice = notices.Notice


# -- Whoever has asked -----------------------------------------------------------------------------


def decided(event: Event, requests: Iterable[JoinRequest], *, was: str, actor, note: str | None = None) -> None:
    """Tells the people of requests that just became what they are, all from ``was``; never about
    what they did themselves. One notice however many there are. The caller's transaction."""
    heard = [one for one in requests if actor is None or one.user_profile_id != actor.pk]
    if not heard:
        return
    first = heard[0]
    said = {
        Status.APPROVED: "approved",
        Status.DECLINED: "removed" if was == Status.APPROVED else "declined",
        Status.PENDING: "put_back",
    }[first.status]
    _tell(
        event,
        said,
        [one.user_profile_id for one in heard],
        key=f"join_request:{first.pk}:{said}:{first.updated_at.isoformat()}",
        note=note,
        attended=was == Status.APPROVED,
    )


def let_in(event: Event, attendee: Attendee) -> None:
    """For somebody who came in without a request."""
    _tell(event, "approved", [attendee.user_profile_id], key=_of_attendee(attendee, "approved"))


def removed(event: Event, attendee: Attendee, *, actor) -> None:
    """For somebody who had no request: why is in the record only."""
    if actor is None or attendee.user_profile_id != actor.pk:
        _tell(event, "removed", [attendee.user_profile_id], key=_of_attendee(attendee, "removed"))


def banned(event: Event, ban, *, note: str | None) -> None:
    _tell(event, "banned", [ban.user_profile_id], key=f"join_request:ban:{ban.pk}", note=note)


def _of_attendee(attendee, said):
    return f"join_request:attendee:{attendee.pk}:{said}:{attendee.updated_at.isoformat()}"


def _tell(event, said, people, *, key, note=None, **context):
    subject, body = texts.written(said, event=event, note=note, **context)
    notices.notify(Notice(Kind.JOIN_DECISION, subject, body, people, event_id=event.pk, key=key))


# -- Organisers ------------------------------------------------------------------------------------

QUIET = timedelta(minutes=10)
"""How long nobody is told again of new requests to the same event."""
FRESH = timedelta(days=1)
"""Who asked longer ago is no news, but in the daily summary; there, after as long, by name."""
DAILY_FROM, DAILY_UNTIL = time(7), time(20)
"""By the clock of the event where somebody has waited longest."""
NAMED = 10
NEW = "requests:new:"


@dataclass
class Waiting:
    """An event's requests that wait for a decision."""

    event: Event
    number: int
    oldest: datetime
    newest: datetime
    people: list[UUID]
    late: int
    """How many wait for longer than a day; ``people`` are the first of them."""

    @property
    def page(self) -> str:
        return f"{settings.SITE_URL}{desk()}?" + urlencode(
            {"event__id__exact": self.event.pk, "status__exact": Status.PENDING.value}
        )

    @property
    def more(self) -> int:
        return self.late - len(self.people)


def desk() -> str:
    return reverse("admin:requests_joinrequest_changelist")


def _waiting(organizations, at) -> list[Waiting]:
    """One query, the longest wait first; without people."""
    rows = (
        JoinRequest.objects.undecided(at)
        .filter(event__organization__in=organizations)
        .order_by()
        .values("event")
        .annotate(
            number=Count("pk"),
            oldest=Min("queued_at"),
            newest=Max("queued_at"),
            late=Count("pk", filter=Q(queued_at__lte=at - FRESH)),
        )
    )
    found = {row.pop("event"): row for row in rows}
    events = Event.objects.in_bulk(found)
    waiting = [Waiting(event=events[pk], people=[], **row) for pk, row in found.items()]
    return sorted(waiting, key=lambda one: (one.oldest, one.event.pk))


@operation
def tell_of_new(*, at: datetime | None = None) -> int:
    """To whoever wants to hear at once: which events have new requests, and how many wait there now.

    An event is told of again after ten minutes at the earliest, and only when somebody has asked
    since: the key of its notice names the newest request. ``send`` holds the event's lock, so that
    none becomes visible later that is older; and while another sweep is telling, it alone does, so
    that nobody hears of the same twice. How many notices were new.
    """
    at = at or timezone.now()
    hearers = preferences.hearers(Topic.REQUESTS, Mode.AT_ONCE)
    if not hearers or not alone(NEW):
        return 0
    waiting = [one for one in _waiting(hearers, at) if one.newest > at - FRESH]
    if not waiting:
        return 0
    last = {
        event_id: (datetime.fromisoformat(key.removeprefix(f"{NEW}{event_id}:")), told_at)
        for event_id, key, told_at in Message.objects.filter(
            event__in=[one.event.pk for one in waiting], kind=Kind.REQUESTS, key__startswith=NEW
        )
        .order_by("event_id", "-pk")
        .distinct("event_id")
        .values_list("event_id", "key", "created_at")
    }
    made = []
    for one in waiting:
        newest, told_at = last.get(one.event.pk, (None, None))
        if newest and (one.newest <= newest or told_at > at - QUIET):
            continue
        subject, body = texts.written("requests_new", event=one.event, one=one, longest=texts.since(one.oldest, at))
        key = f"{NEW}{one.event.pk}:{one.newest.isoformat()}"
        made.append(
            Notice(Kind.REQUESTS, subject, body, hearers[one.event.organization_id], event_id=one.event.pk, key=key)
        )
    return notices.notify(*made)


@operation
def tell_daily(*, at: datetime | None = None) -> int:
    """The daily summary, to whoever wants one and has requests waiting: once a person and day.

    It is due at seven by the clock of the event where somebody has waited longest, for what waited
    then; if nobody could send it, until eight in the evening, and not the day after. A day is UTC's of
    when it was due: whichever event has waited longest by then, in whatever zone. How many were new.
    """
    at = at or timezone.now()
    hearers = preferences.hearers(Topic.REQUESTS, Mode.DIGEST)
    if not hearers:
        return 0
    theirs = defaultdict(list)
    for one in _waiting(hearers, at):
        for person_id in hearers[one.event.organization_id]:
            theirs[person_id].append(one)
    due = {
        _daily_key(person_id, day): (person_id, waiting)
        for person_id, waiting in theirs.items()
        if (day := _due(waiting[0], at))
    }
    for key in Message.objects.filter(key__in=list(due)).values_list("key", flat=True):
        del due[key]
    if not due:
        return 0
    names = _name({one.event.pk: one for _person, waiting in due.values() for one in waiting}, at)
    made = []
    for key, (person_id, waiting) in due.items():
        subject, body = texts.written(
            "requests_daily",
            number=sum(one.number for one in waiting),
            longest=texts.since(waiting[0].oldest, at),
            waiting=[(one, texts.since(one.oldest, at)) for one in waiting],
            desk=desk(),
        )
        body, about = texts.naming(body, names)
        event_id = waiting[0].event.pk if len(waiting) == 1 else None
        made.append(Notice(Kind.REQUESTS, subject, body, [person_id], event_id=event_id, key=key, about=about))
    return notices.notify(*made)


def _daily_key(person_id, day: date) -> str:
    return f"requests:daily:{person_id}:{day.isoformat()}"


def _due(longest: Waiting, at: datetime) -> date | None:
    """The day whose summary is due now; None while none is."""
    local = at.astimezone(longest.event.zone)
    seven = datetime.combine(local.date(), DAILY_FROM, tzinfo=longest.event.zone)
    if DAILY_FROM <= local.time() < DAILY_UNTIL and longest.oldest < seven:
        return seven.astimezone(UTC).date()
    return None


def _name(waiting: dict[int, Waiting], at) -> dict[UUID, str]:
    """Adds who has waited for longer than a day, the first ten of each event; their names. One query."""
    rows = (
        JoinRequest.objects.undecided(at)
        .filter(event__in=waiting, queued_at__lte=at - FRESH)
        .annotate(place=Window(RowNumber(), partition_by=F("event"), order_by=["queued_at", "pk"]))
        .filter(place__lte=NAMED)
        .select_related("user_profile")
        .order_by("event_id", "place")
    )
    names = {}
    for row in rows:
        person = row.user_profile
        waiting[row.event_id].people.append(person.pk)
        names[person.pk] = person.get_full_name() or person.email or _("(no name)")
    return names
