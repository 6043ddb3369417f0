"""RSVPs, lines and feedback of an event in figures. Nothing here is stored, and the number of queries doesn't
depend on what they find."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Avg, Count, F, FloatField, Q, Sum
from django.db.models.functions import Cast, Coalesce, NullIf, TruncDate

from events.models import Session
from events.models.agenda import SessionStatus

from ..models import RsvpStatus, SessionFeedback, SessionRsvp, WaitlistLog, WaitlistStatus

MOST = 40
"""Sessions that a picture shows well."""
DAYS = 90
RATINGS = (1, 2, 3, 4, 5)


@dataclass
class Days:
    """``rows``: day by the event's clock, RSVPs first made, those cancelled that stayed so, and how many stand in
    the evening. ``before``: how many stood when the first of them began."""

    before: int
    rows: list[dict]


def by_day(event, days: int = DAYS) -> Days:
    """The last days on which anything happened, empty ones in between included."""

    def counted(moment, **only):
        rows = SessionRsvp.objects.filter(event=event, **only).order_by()
        return dict(rows.values_list(TruncDate(moment, tzinfo=event.zone)).annotate(number=Count("pk")))

    made, cancelled = counted("rsvp_at"), counted("cancelled_at", status=RsvpStatus.CANCELLED)
    if not made:
        return Days(0, [])
    known = {*made, *cancelled}
    last = max(known)
    first = max(min(known), last - timedelta(days=days - 1))
    before = sum(number for day, number in made.items() if day < first)
    before -= sum(number for day, number in cancelled.items() if day < first)
    rows, total = [], before
    for ahead in range((last - first).days + 1):
        day = first + timedelta(days=ahead)
        new, gone = made.get(day, 0), cancelled.get(day, 0)
        total += new - gone
        rows.append({"day": day, "made": new, "cancelled": gone, "total": total})
    return Days(before, rows)


FILLED = Coalesce(Cast("seats_taken", FloatField()) / NullIf(Cast("capacity", FloatField()), 0.0), 1.0)
LIMITED, FULL = Q(capacity__isnull=False), Q(seats_taken__gte=F("capacity"))


@dataclass
class Fill:
    """``rows``: the sessions with a limit that are fullest, of ``limited``; seats and capacity are these sessions'."""

    sessions: int
    limited: int
    full: int
    seats: int
    capacity: int
    waiting: int
    rows: list[dict]


def fill(event, most: int = MOST) -> Fill:
    """Of the sessions that take place; the fullest first, and among them those with the longest line."""
    sessions = Session.objects.filter(event=event, status=SessionStatus.SCHEDULED)
    totals = sessions.aggregate(
        sessions=Count("pk"),
        limited=Count("pk", filter=LIMITED),
        full=Count("pk", filter=LIMITED & FULL),
        seats=Sum("seats_taken", filter=LIMITED, default=0),
        capacity=Sum("capacity", default=0),
        waiting=Sum("waitlist_length", default=0),
    )
    rows = (
        sessions.filter(LIMITED)
        .annotate(filled=FILLED)
        .order_by("-filled", "-waitlist_length", "starts_at", "pk")
        .values("id", "title", "seats_taken", "capacity", "waitlist_length", "filled")
    )
    return Fill(**totals, rows=list(rows[:most]))


WAS_OFFERED = Q(from_status=WaitlistStatus.OFFERED)
BACK = WAS_OFFERED & Q(to_status=WaitlistStatus.WAITING)
OFFERS = {
    "made": Q(to_status=WaitlistStatus.OFFERED) & ~WAS_OFFERED,
    "accepted": WAS_OFFERED & Q(to_status=WaitlistStatus.ACCEPTED),
    "declined": WAS_OFFERED & Q(to_status=WaitlistStatus.DECLINED),
    "expired": WAS_OFFERED & Q(to_status=WaitlistStatus.EXPIRED) | BACK & Q(actor=None),
    "withdrawn": WAS_OFFERED & Q(to_status=WaitlistStatus.LEFT) | BACK & Q(actor__isnull=False),
    "at_once": Q(from_status=WaitlistStatus.WAITING, to_status=WaitlistStatus.ACCEPTED),
}
"""Steps in line, by what they meant for an offer; ``withdrawn``: its person left or was taken out, or was moved to
the end by an organiser; ``at_once``: a seat without an offer."""


@dataclass
class Offers:
    """What became of all offers that were made, in ``totals``; and for the sessions with most of them."""

    totals: dict[str, int]
    rows: list[dict]


def offers(event, most: int = MOST) -> Offers:
    """An offer that passed counts each time; ``standing`` is what nobody has answered yet."""
    log = WaitlistLog.objects.filter(session__in=Session.objects.filter(event=event)).order_by()
    each = {name: Count("pk", filter=meaning) for name, meaning in OFFERS.items()}
    rows = (
        log.values("session", title=F("session__title"))
        .annotate(**each)
        .filter(Q(made__gt=0) | Q(at_once__gt=0))
        .order_by("-made", "-at_once", "session")
    )
    return Offers(_standing(log.aggregate(**each)), [_standing(row) for row in rows[:most]])


def _standing(counts: dict) -> dict:
    over = sum(counts[name] for name in ("accepted", "declined", "expired", "withdrawn"))
    return counts | {"standing": counts["made"] - over}


@dataclass
class Feedback:
    """``ratings``: how many gave each. ``rows``: the sessions with most feedback, the best first."""

    ratings: dict[int, int]
    rows: list[dict]

    @property
    def count(self) -> int:
        return sum(self.ratings.values())

    @property
    def average(self) -> float | None:
        return average(self.ratings)


def average(ratings: dict[int, int]) -> float | None:
    count = sum(ratings.values())
    return sum(rating * number for rating, number in ratings.items()) / count if count else None


def ratings_of(rows) -> dict[int, int]:
    """How many of the feedback gave one to five."""
    found = dict(rows.order_by().values_list("rating").annotate(number=Count("pk")))
    return {rating: found.get(rating, 0) for rating in RATINGS}


def feedback(event, most: int = MOST) -> Feedback:
    given = SessionFeedback.objects.filter(session__in=Session.objects.filter(event=event))
    rows = (
        given.order_by()
        .values("session", title=F("session__title"))
        .annotate(count=Count("pk"), average=Avg("rating"))
        .order_by("-count", "session")
    )
    return Feedback(ratings_of(given), sorted(rows[:most], key=lambda row: -row["average"]))
