"""What this app knows of a person, and how it forgets."""

import operator
from functools import reduce

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Q
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from attendance.models import Attendee
from config.privacy import PersonalData, register
from events.models import Session

from ..models import CalendarFeed, SessionFeedback, SessionRsvp, WaitlistEntry, WaitlistLog

ABOUT = ("id", "event__title", "session__title", "status")


def export_rsvps(person) -> list:
    return list(
        SessionRsvp.objects.filter(attendee__user_profile=person)
        .order_by("rsvp_at", "pk")
        .values(*ABOUT, "seats", "source", "rsvp_at", "confirmed_at", "cancelled_at", "end_reason")
    )


def erase_names(person) -> None:
    """Who had which seats, and waited where, stays, as the counts do; that leaving an event gives back what is to
    come is the database's to see to. Names go from the admin's log, and from the reasons in sessions' history:
    whoever is added on purpose is named there, and perhaps whoever made room for them, at another session too."""
    for model in (SessionRsvp, WaitlistEntry, SessionFeedback):
        mine = model.objects.filter(attendee__user_profile=person).annotate(text=Cast("pk", CharField()))
        entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model))
        entries.filter(object_id__in=mine.values("text")).update(object_repr=_("(erased)"), change_message="")
    names = {f"{first} {last}".strip() for first, last in person.history.values_list("first_name", "last_name")}
    if named := [Q(history_change_reason__contains=name[:LONGEST_IN_REASON]) for name in names - {""}]:
        events = Attendee.objects.filter(user_profile=person).values("event")
        reasons = Session.history.filter(event__in=events).filter(reduce(operator.or_, named))
        reasons.update(history_change_reason=None)


LONGEST_IN_REASON = 80
"""A reason has room for 100 characters, and a name may be longer."""


def export_places_in_line(person) -> list:
    """With every step of each, as the record has it."""
    rows = WaitlistEntry.objects.filter(attendee__user_profile=person).order_by("pk")
    columns = ("party_size", "priority", "joined_at", "queued_at", "offered_at", "offer_expires_at", "offers_made")
    places = list(rows.values(*ABOUT, *columns, "told_at", "closed_at", "end_reason"))
    steps = {one["id"]: [] for one in places}
    found = WaitlistLog.objects.filter(entry__in=list(steps)).order_by("pk")
    for step in found.values("entry_id", "from_status", "to_status", "party_size", "priority", "queued_at", "at"):
        steps[step.pop("entry_id")].append(step)
    return [place | {"steps": steps[place["id"]]} for place in places]


def export_feedback(person) -> list:
    rows = SessionFeedback.objects.filter(attendee__user_profile=person).order_by("pk")
    return list(rows.values("id", "event__title", "session__title", "rating", "comment", "created_at", "updated_at"))


def erase_feedback(person) -> None:
    """The rating stays, so that the figures do; what was written goes."""
    SessionFeedback.objects.filter(attendee__user_profile=person).exclude(comment="").update(comment="")


def export_calendar(person) -> list:
    """Without its address, which is as good as a password."""
    return list(CalendarFeed.objects.filter(user=person).values("created_at", "renewed_at"))


def erase_calendar(person) -> None:
    CalendarFeed.objects.filter(user=person).delete()


register(
    PersonalData("session_rsvps", export=export_rsvps, erase=erase_names),
    PersonalData("session_waitlist", export=export_places_in_line),
    PersonalData("session_feedback", export=export_feedback, erase=erase_feedback),
    PersonalData("calendar", export=export_calendar, erase=erase_calendar),
)
