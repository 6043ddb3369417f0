"""What a person's calendar program reads, and the address where it finds it."""

from datetime import timedelta

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from attendance.models import Attendee
from config.errors import NotFound, operation
from events.models import Event, Session, Speaker, UserProfile
from events.models.agenda import SessionStatus
from events.operations.accounts import refuse_closed

from .. import calendars
from ..models import CalendarFeed, SessionRsvp
from ..models.calendars import new_token

KEPT = timedelta(days=90)
"""How long a session stays in the feed after its end."""


@operation
def of(*, person) -> CalendarFeed:
    """The person's own, made when they first ask for it. Raises AccountClosed."""
    refuse_closed(person)
    return CalendarFeed.objects.get_or_create(user_id=person.pk)[0]


@operation
def renew(*, person) -> CalendarFeed:
    """A new address; whoever has the former one finds nothing there from now on. Raises AccountClosed."""
    refuse_closed(person)
    feed, made = CalendarFeed.objects.get_or_create(user_id=person.pk)
    if not made:
        CalendarFeed.objects.filter(pk=feed.pk).update(token=new_token(), renewed_at=Now())
        feed.refresh_from_db()
    return feed


def find(token: str) -> CalendarFeed:
    """By its address, as long as the person has an account. Raises NotFound.

    By the unique index: how long that takes tells nothing of use about 192 random bits.
    """
    people = UserProfile.objects.active()
    feed = CalendarFeed.objects.filter(token=token, user__in=people).select_related("user").first()
    if feed is None:
        raise NotFound
    return feed


def feed_of(person) -> bytes:
    """The sessions that the person has a seat in, at all events, and those of them that were cancelled since.

    Nobody has a seat by waiting for one, nor by an offer, which as a rule is over before a program asks again.
    """
    mine = dict(Attendee.objects.active().of_person(person).values_list("pk", "event_id"))
    seats = SessionRsvp.objects.filter(attendee__in=list(mine))
    taken = list(seats.confirmed().values_list("session_id", flat=True))
    cancelled = Session.objects.filter(event__in=set(mine.values()), status=SessionStatus.CANCELLED)
    theirs = seats.filter(session=OuterRef("pk"), end_reason=SessionRsvp.EndReason.SESSION_CANCELLED)
    lost = list(cancelled.filter(Exists(theirs)).values_list("pk", flat=True))
    rows = Session.objects.filter(
        pk__in=[*taken, *lost], event__status__in=Event.Status.PUBLIC, ends_at__gte=Now() - KEPT
    )
    return calendars.calendar(entries(rows), name=_("My sessions"))


def session_for(*, session_id, person) -> calendars.Entry:
    """One session, for whoever may see its event. Raises NotFound."""
    found = entries(Session.objects.filter(pk=session_id, event__in=Event.objects.reachable_by(person)))
    if not found:
        raise NotFound
    return found[0]


def entries(sessions: QuerySet[Session]) -> list[calendars.Entry]:
    """In the order of time, in one statement."""
    me = OuterRef("pk")
    cancelled = Q(status=SessionStatus.CANCELLED) | Q(event__status=Event.Status.CANCELLED)
    rows = sessions.order_by("starts_at", "pk").values(
        *("id", "title", "abstract", "track", "starts_at", "ends_at", "sequence", "created_at", "revised_at"),
        is_cancelled=Case(When(cancelled, then=Value(True)), default=Value(False)),
        room_name=Coalesce("room__name", Value("")),
        names=ArraySubquery(Speaker.objects.filter(sessions=me).order_by("name", "pk").values("name")),
        timezone=F("event__timezone"),
        event_title=F("event__title"),
        event_slug=F("event__slug"),
        venue=F("event__venue"),
    )
    return [calendars.Entry(room=row.pop("room_name"), speakers=row.pop("names"), **row) for row in rows]
