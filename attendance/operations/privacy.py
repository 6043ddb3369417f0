"""What attendance knows of a person: handed out, or forgotten."""

from django.db.models import Q

from config import privacy
from config.errors import SYSTEM, lock
from events.models import Event

from ..models import AttendanceAudit, Attendee, Block, CheckIn
from . import room

FREE_TEXTS = {"goals": None, "looking_for": None, "rsvp_contact": None, "company_website": None, "match_profile": None}
MARKED = ("attendance_status", "attendance_marked_at", "attendance_source", "attendance_notes")


def _export(person) -> list:
    fields = ("id", "event__title", "status", "source", "plus_ones", "visibility_enabled", "notifications_enabled")
    return list(
        Attendee.objects.filter(user_profile=person)
        .order_by("created_at")
        .values(*fields, "ticket_code", *FREE_TEXTS, "looking_for_updated_at", *MARKED, "created_at")
    )


def _export_record(person) -> dict:
    """Every change of their attendance, and every time they checked in."""
    return {
        "changes": list(
            AttendanceAudit.objects.filter(attendee__user_profile=person)
            .order_by("pk")
            .values("event__title", "from_status", "to_status", "source", "notes", "marked_at", "created_at")
        ),
        "check_ins": list(
            CheckIn.objects.filter(attendee__user_profile=person)
            .order_by("pk")
            .values("event__title", "point__name", "result", "checked_in_at", "undone_at")
        ),
    }


def _erase(person) -> None:
    """Leaves events that are still open (their requests were cancelled before), and empties all texts."""
    rows = Attendee.objects.filter(user_profile=person)
    for event_id in (
        rows.active()
        .filter(event__status__in=Event.Status.OPEN)
        .order_by("event_id")
        .values_list("event_id", flat=True)
    ):
        event = lock(Event.objects, pk=event_id)
        room.put_out(event=event, attendees=rows.filter(event=event).select_for_update(no_key=True), actor=SYSTEM)
    rows.update(**FREE_TEXTS, attendance_notes=None)
    if person.email:  # what a walk-in gave who wasn't them (walk_ins)
        Attendee.objects.filter(rsvp_contact__iexact=person.email).update(rsvp_contact=None)
    Attendee.history.filter(user_profile_id=person.pk).update(
        **FREE_TEXTS, owner_id=person.owner_id, history_change_reason=None
    )
    Block.objects.filter(Q(attendee__user_profile=person) | Q(blocked__user_profile=person)).delete()


def _forget_notes(person) -> None:
    """The audit stays, its notes about the person don't: its triggers allow this for the erased alone."""
    AttendanceAudit.objects.filter(attendee__user_profile=person).exclude(notes=None).update(notes=None)


privacy.register(
    privacy.PersonalData("attendances", export=_export, erase=_erase),
    privacy.PersonalData("attendance_record", export=_export_record, erased=_forget_notes),
)
