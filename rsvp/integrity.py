"""What RSVP promises of its numbers, and of lines that nobody forgets."""

from datetime import timedelta

from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.database import corrected
from config.integrity import Invariant, any_is_a_warning, register
from events.models import Event, Session
from events.models.agenda import SessionStatus

from .models import EndReason, SessionChange, SessionRsvp, WaitlistEntry, seats_counted
from .operations import line, telling

OVERDUE = timedelta(minutes=10)
"""Beat looks after lines each minute; what waits for longer than this waits for nobody."""

CANCELLED = Q(session__status=SessionStatus.CANCELLED)
GONE = CANCELLED | ~Q(attendee__status=Attendee.Status.ACTIVE)
WHY_GONE = Case(
    When(
        Exists(Session.objects.filter(pk=OuterRef("session"), status=SessionStatus.CANCELLED)),
        then=Value(EndReason.SESSION_CANCELLED),
    ),
    default=Value(EndReason.REMOVED),
)


def _of(rows, event_id):
    return rows.filter(event=event_id) if event_id else rows


def _waiting_counted():
    rows = WaitlistEntry.objects.waiting().filter(session=OuterRef("pk")).order_by().values("session")
    return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0, output_field=IntegerField())


def miscounted(event_id=None):
    counted = Session.objects.annotate(seats=seats_counted(), waiting=_waiting_counted())
    return _of(counted.exclude(seats_taken=F("seats"), waitlist_length=F("waiting")), event_id)


def recount(*, rows) -> int:
    """For the tables' owner: the application's role can't write the columns at all (docs/backup.md).

    What is overbooked stays as it is: first somebody raises its capacity, or takes seats away.
    """
    bounded = Session.objects.filter(pk__in=rows).exclude(pk__in=overbooked().values("pk"))
    with corrected(Session, "seats_taken"), corrected(Session, "waitlist_length"):
        return bounded.update(seats_taken=seats_counted(), waitlist_length=_waiting_counted())


def overbooked(event_id=None):
    """By what is there: the counter can't say so. Loaded past the triggers."""
    return _of(Session.objects.annotate(seats=seats_counted()).filter(seats__gt=F("capacity")), event_id)


def of_nobody(event_id=None):
    """Seats of whoever is no attendee, or in a session that was cancelled: loaded past the triggers."""
    return _of(SessionRsvp.objects.confirmed().filter(GONE), event_id)


def give_back(*, rows) -> int:
    seats = SessionRsvp.objects.confirmed().filter(GONE, pk__in=rows)
    return seats.update(status=SessionRsvp.Status.CANCELLED, cancelled_at=Now(), end_reason=WHY_GONE)


def nobody_in_line(event_id=None):
    """The same of places in line; and those of whoever has a seat already."""
    inside = SessionRsvp.objects.confirmed().filter(session=OuterRef("session"), attendee=OuterRef("attendee"))
    return _of(WaitlistEntry.objects.live().filter(GONE | Q(Exists(inside))), event_id)


def close(*, rows) -> int:
    line = nobody_in_line().filter(pk__in=rows)
    return line.update(status=WaitlistEntry.Status.LEFT, closed_at=Now(), end_reason=WHY_GONE)


def left_waiting(event_id=None):
    """Sessions with an offer that passed long ago, or with seats that are free and that whoever is next could have.

    Nothing about them, or about what they may do, has changed for so long: the sweep had its time.
    """
    passed = WaitlistEntry.objects.offered().filter(session=OuterRef("pk"), offer_expires_at__lt=Now() - OVERDUE)
    waiting = WaitlistEntry.objects.waiting().filter(session=OuterRef("pk"), queued_at__lt=Now() - OVERDUE)
    possible = waiting.filter(Q(party_size__lte=OuterRef("capacity")) | Q(session__capacity=None))
    first = possible.in_order().values("party_size")
    small = possible.order_by("party_size").values("party_size")
    sessions = Session.objects.annotate(
        free=F("capacity") - F("seats_taken"),
        next_party=Case(
            When(event__rsvp_settings__fill_gaps=True, then=Subquery(small[:1])), default=Subquery(first[:1])
        ),
    )
    quiet = Q(updated_at__lt=Now() - OVERDUE) & _quiet("line") & _quiet("event__rsvp_settings")
    due = Q(
        quiet,
        Q(capacity=None) | Q(free__gte=F("next_party")),
        next_party__isnull=False,
        status=SessionStatus.SCHEDULED,
        starts_at__gt=Now(),
        event__status__in=[Event.Status.DRAFT, Event.Status.PUBLISHED],
    )
    stopped = Q(line__offers_on=False) | Q(event__rsvp_settings__offers_on=False)
    is_due = Case(When(stopped, then=False), When(due, then=True), default=False)
    return _of(sessions.annotate(due=is_due).filter(Q(Exists(passed)) | Q(due=True)), event_id)


def _quiet(settings: str) -> Q:
    return Q(**{f"{settings}__updated_at": None}) | Q(**{f"{settings}__updated_at__lt": Now() - OVERDUE})


def hand_on(*, rows) -> int:
    for session in sorted(rows):
        line.settle(session_id=session)
    return len(rows)


def untold_offers(event_id=None):
    return _of(telling.untold_offers().filter(updated_at__lt=Now() - OVERDUE), event_id)


def untold_changes(event_id=None):
    return _of(telling.untold_changes().filter(created_at__lt=Now() - telling.SETTLED - OVERDUE), event_id)


def tell_offers(*, rows) -> int:
    telling.tell_these_offers(rows=rows)
    return _told(WaitlistEntry, rows)


def tell_changes(*, rows) -> int:
    sessions = SessionChange.objects.filter(pk__in=rows).order_by("session_id").values_list("session_id", flat=True)
    telling.tell_these_changes(rows=list(sessions.distinct()))
    return _told(SessionChange, rows)


def _told(model, rows) -> int:
    return model.objects.filter(pk__in=rows, told_at__isnull=False).count()


register(
    Invariant(
        name="session_seats",
        promise=_("Each session's places taken are those of its RSVPs and offers, and its line is as long as it says."),
        violations=miscounted,
        repair=recount,
    ),
    Invariant(
        name="session_capacity",
        promise=_("No session has more places taken than it has."),
        violations=overbooked,
    ),
    Invariant(
        name="rsvps",
        promise=_("Every seat is an attendee's, in a session that takes place."),
        violations=of_nobody,
        repair=give_back,
    ),
    Invariant(
        name="waitlist",
        promise=_("Whoever is in a line is an attendee without a seat, and its session takes place."),
        violations=nobody_in_line,
        repair=close,
    ),
    Invariant(
        name="left_waiting",
        promise=_("A seat that is free, or an offer that has passed, goes to the next in line within minutes."),
        violations=left_waiting,
        repair=hand_on,
        level=any_is_a_warning,
    ),
    Invariant(
        name="untold_offers",
        promise=_("Whoever is offered a seat hears of it within minutes."),
        violations=untold_offers,
        repair=tell_offers,
        level=any_is_a_warning,
    ),
    Invariant(
        name="untold_changes",
        promise=_("Whoever has a seat in a session hears within minutes of what became of it."),
        violations=untold_changes,
        repair=tell_changes,
        level=any_is_a_warning,
    ),
)
