"""What RSVP promises of its numbers, and of lines that nobody forgets."""

from datetime import timedelta

from django.db.models import Count, F, IntegerField, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from config.database import corrected
from config.integrity import Invariant, any_is_a_warning, register
from events.models import Session
from events.models.agenda import SessionStatus

from .models import SessionRsvp, WaitlistEntry, seats_counted

OVERDUE = timedelta(minutes=10)
"""Beat looks after lines each minute; what waits for longer than this waits for nobody."""


def _of(rows, event_id):
    return rows.filter(event=event_id) if event_id else rows


def _waiting_counted():
    rows = WaitlistEntry.objects.waiting().filter(session=OuterRef("pk")).order_by().values("session")
    return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0, output_field=IntegerField())


def miscounted(event_id=None):
    counted = Session.objects.annotate(seats=seats_counted(), waiting=_waiting_counted())
    return _of(counted.exclude(seats_taken=F("seats"), waitlist_length=F("waiting")), event_id)


def recount(*, rows) -> int:
    """For the tables' owner: the application's role can't write the columns at all (docs/backup.md)."""
    with corrected(Session, "seats_taken"), corrected(Session, "waitlist_length"):
        return Session.objects.filter(pk__in=rows).update(
            seats_taken=seats_counted(), waitlist_length=_waiting_counted()
        )


def overbooked(event_id=None):
    return _of(Session.objects.filter(seats_taken__gt=F("capacity")), event_id)


def of_nobody(event_id=None):
    """Seats of whoever is no attendee, or in a session that was cancelled: loaded past the triggers."""
    gone = ~Q(attendee__status=Attendee.Status.ACTIVE) | Q(session__status=SessionStatus.CANCELLED)
    return _of(SessionRsvp.objects.confirmed().filter(gone), event_id)


def give_back(*, rows) -> int:
    return (
        SessionRsvp.objects.confirmed()
        .filter(pk__in=rows)
        .update(status=SessionRsvp.Status.CANCELLED, cancelled_at=Now(), end_reason=SessionRsvp.EndReason.REMOVED)
    )


def left_waiting(event_id=None):
    """Offers that passed, or seats that are free while somebody waits, for longer than the sweep takes."""
    late = Q(waitlist__status=WaitlistEntry.Status.OFFERED, waitlist__offer_expires_at__lt=Now() - OVERDUE)
    return _of(Session.objects.filter(late).distinct(), event_id)


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
        name="overdue_offers",
        promise=_("An offer that has passed goes to the next in line within minutes."),
        violations=left_waiting,
        level=any_is_a_warning,
    ),
)
