"""Whom a message may go to, in words. Upper apps add theirs in an ``audiences`` module of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from attendance.models import AttendanceStatus, Attendee
from events.models import UserProfile

from .models import EventGuest


@dataclass(frozen=True)
class Audience:
    """A way to pick recipients at one event.

    ``guests(event, details)`` gives a queryset of EventGuest, ``people(event, details)`` one of
    UserProfile ids; either may be missing. Whoever is in both is reached once, as their guest.

    Where one must choose further (of which sessions?), ``form_field(event)`` gives a ModelMultipleChoiceField
    of what there is, and ``details[chooses]`` has the ids of what was chosen, as text. Audiences with the
    same ``chooses`` share a field.
    """

    key: str
    label: str
    help: str
    guests: Callable[[Any, dict], QuerySet] | None = None
    people: Callable[[Any, dict], QuerySet] | None = None
    form_field: Callable[[Any], Any] | None = None
    chooses: str = ""


_registry: dict[str, Audience] = {}


def register(*audiences: Audience) -> None:
    for one in audiences:
        assert one.key not in _registry, f"audience {one.key} is registered twice"
        _registry[one.key] = one


def all_audiences() -> dict[str, Audience]:
    """By key, in the order that organisers see."""
    autodiscover_modules("audiences")
    return _registry


def choices() -> dict[str, list[Audience]]:
    """What some audiences let one choose, and which these are: those of a name share a field."""
    found = {}
    for one in all_audiences().values():
        if one.chooses:
            found.setdefault(one.chooses, []).append(one)
    return found


def _listed(event, details):
    return EventGuest.objects.active().filter(event=event)


def _not_attending(event, details):
    inside = Attendee.objects.active().filter(event=event, user_profile=OuterRef("user"))
    return _listed(event, details).filter(~Exists(inside))


def _attendees(**lookup):
    def people(event, details):
        return Attendee.objects.in_room(event).filter(**lookup).values("user_profile_id")

    return people


def _picked_guests(event, details):
    return _listed(event, details).filter(pk__in=details.get("guests", []))


def met(event) -> QuerySet:
    """The people whom the event's organisers know: its attendees and applicants."""
    here = {"event": event, "user_profile": OuterRef("pk")}
    applicants = apps.get_model("requests", "JoinRequest").objects  # an upper app's table, by name only
    return UserProfile.objects.filter(Exists(Attendee.objects.filter(**here)) | Exists(applicants.filter(**here)))


def _picked_people(event, details):
    """An id from elsewhere reaches nobody."""
    return met(event).filter(pk__in=details.get("people", [])).values("pk")


register(
    Audience(
        "everyone",
        _("Everybody"),
        _("All who are on the guest list, and all attendees."),
        guests=_listed,
        people=_attendees(),
    ),
    Audience("invited", _("Invited"), _("All who are on the guest list."), guests=_listed),
    Audience(
        "not_attending",
        _("Invited, not attending"),
        _("Who is on the guest list and not among the attendees (yet)."),
        guests=_not_attending,
    ),
    Audience("attending", _("Attending"), _("All attendees, whether they came or not."), people=_attendees()),
    Audience(
        "present",
        _("Present"),
        _("Attendees who have checked in, late or not."),
        people=_attendees(attendance_status__in=AttendanceStatus.HERE),
    ),
    Audience(
        "absent",
        _("Absent"),
        _("Attendees who were marked absent."),
        people=_attendees(attendance_status=AttendanceStatus.ABSENT),
    ),
    Audience(
        "expected",
        _("Not checked in yet"),
        _("Attendees of whom nobody has said whether they came."),
        people=_attendees(attendance_status=AttendanceStatus.UNKNOWN),
    ),
    Audience(
        "picked",
        _("Hand-picked"),
        _("The guests and people that you choose."),
        guests=_picked_guests,
        people=_picked_people,
    ),
)
