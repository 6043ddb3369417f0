"""The life of an event, and making a new one after an old one."""

from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from simple_history.utils import bulk_create_with_history

from config.errors import DomainError, Outcome, lock, operation

from ..models import Event, Room, Session


class IllegalEventMove(DomainError):
    code = "illegal_event_status"
    message = _("An event that is {old} can't become {new}.")


class EventRuleBroken(DomainError):
    """The database's rules about an event and its agenda; forms say them first."""

    code = "invalid_event"
    status = 400
    message = _("The event's or session's times or places contradict each other.")
    constraints = (
        "events_event_starts_before_ends",
        "events_event_times_sane",
        "events_event_door_times_sane",
        "events_session_times_sane",
        "events_session_starts_before_ends",
        "events_session_rsvp_window",
    )


class NameTaken(DomainError):
    code = "name_taken"
    message = _("This name or address is in use already.")
    constraints = ("events_room_name_unique",)


MOVES = {
    Event.Status.DRAFT: {Event.Status.PUBLISHED, Event.Status.CANCELLED},
    Event.Status.PUBLISHED: {Event.Status.DRAFT, Event.Status.CANCELLED},
    Event.Status.CANCELLED: {Event.Status.DRAFT},
    Event.Status.COMPLETED: set(),
}
"""What an organiser may do by hand. Completing is the system's, when the event is over."""


@operation
def publish(*, event_id, actor) -> Outcome:
    """From now on people see it and ask to join. Raises IllegalEventMove."""
    return _move(event_id, Event.Status.PUBLISHED, actor)


@operation
def withdraw(*, event_id, actor) -> Outcome:
    """Back to draft: only its organisation sees it. Raises IllegalEventMove."""
    return _move(event_id, Event.Status.DRAFT, actor)


@operation
def cancel(*, event_id, actor) -> Outcome:
    """It won't take place; everybody keeps seeing it, marked so. Raises IllegalEventMove."""
    return _move(event_id, Event.Status.CANCELLED, actor)


def _move(event_id, to, actor):
    event = lock(Event.objects, pk=event_id)
    if event.status == to:
        return Outcome(event, changed=False)
    if to not in MOVES[event.status]:
        raise IllegalEventMove(old=event.get_status_display().lower(), new=to.label.lower())
    event.status = to
    event._history_user = actor
    event.save(update_fields=["status"])
    return Outcome(event, changed=True)


COPIED = (
    "organization_id",
    "description",
    "starts_at",
    "ends_at",
    "timezone",
    "venue",
    "capacity",
    "max_plus_ones",
    "approval_mode",
    "visibility",
    "late_after",
    "auto_absence",
    "auto_absence_grace",
    "door_adds_walk_ins",
)


@operation
def duplicate(*, event_id, actor) -> Outcome:
    """A draft with the same settings, rooms and sessions, without people. The outcome's row is the copy."""
    event = lock(Event.objects, pk=event_id)
    title = _("{title} (copy)").format(title=event.title)[:300]
    copy = Event(slug=free_slug(event.slug), title=title, **{name: getattr(event, name) for name in COPIED})
    copy._history_user = actor
    copy.save()
    rooms = {}
    for room in event.rooms.all():
        rooms[room.pk] = Room(event=copy, name=room.name, capacity=room.capacity, description=room.description)
    Room.objects.bulk_create(rooms.values())
    sessions = [
        Session(
            event=copy,
            room=rooms.get(session.room_id),
            **{
                name: getattr(session, name)
                for name in ("title", "abstract", "session_type", "track", "language", "url")
                + ("starts_at", "ends_at", "capacity", "rsvp_opens_at", "rsvp_closes_at")
            },
        )
        for session in event.sessions.exclude(status=Session.Status.CANCELLED)
    ]
    bulk_create_with_history(sessions, Session, default_user=actor)
    return Outcome(copy, changed=True)


def free_slug(wanted: str) -> str:
    """The slug, or the first of ``wanted-2``, ``wanted-3`` … that no event has."""
    base = slugify(wanted)[:70] or "event"
    taken = set(Event.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    if base not in taken:
        return base
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{base}-{number}") not in taken)
