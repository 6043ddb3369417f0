"""People who come without being expected, added at the door."""

from datetime import datetime

from django.apps import apps
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from config.database import write
from config.errors import Busy, DomainError, NotAllowed, lock, operation
from events.models import Event, UserProfile

from ..models import Attendee, CheckIn
from . import check_in, room


class NeedsOrganizer(DomainError):
    """Somebody removed or declined, whom the door can't let in over the organisers' heads."""

    code = "needs_organizer"
    message = _("An organiser has decided about this person: ask them to let the person in.")


@operation
def add_walk_in(
    *,
    scanner: check_in.Scanner,
    first_name: str,
    last_name: str,
    email: str | None = None,
    phone: str = "",
    plus_ones: int = 0,
    scan_id: str | None = None,
    scanned_at: datetime | None = None,
) -> check_in.Answer:
    """Lets somebody in under the same check of capacity as every other way, and checks them in at once.

    Somebody of this e-mail address whom the organisation has met is taken for themselves, and whoever is
    expected anyway is only checked in. Of others the door learns neither name nor face, whatever
    address it tries. The same ``scan_id`` again adds nobody. Locks the event. Raises NotAllowed,
    EventClosed, EventFull, TooManyPlusOnes, NeedsOrganizer, Banned, Busy.
    """
    if not scanner.may_add_walk_ins:
        raise NotAllowed
    event = lock(Event.objects, pk=scanner.event.pk)
    known = scan_id and CheckIn.objects.select_related("attendee__user_profile").filter(
        event=event, scan_id=scan_id
    ).first()  # fmt: skip
    if known:
        if not _is_of(known.attendee, first_name, last_name, email, phone):
            raise check_in.ScanIdReused
        return _check_in(scanner, known.attendee_id, scan_id, scanned_at)
    person, contact = _person(event, first_name, last_name, email and email.strip(), phone)
    attendee = Attendee.objects.filter(event=event, user_profile=person).first()
    if attendee is None:
        if _was_declined(event, person):
            raise NeedsOrganizer
        if plus_ones > event.max_plus_ones:
            raise room.TooManyPlusOnes(allowed=event.max_plus_ones)
        [attendee] = room.let_in(
            event=event,
            admissions=[room.Admission(person.pk, person.owner_id, plus_ones)],
            source=Attendee.Source.WALK_IN,
            actor=scanner.person,
            reason=f"walk-in, by {scanner.name}",
        )
        if contact:
            attendee.rsvp_contact = contact
            write([attendee], ["rsvp_contact"], actor=scanner.person, reason="given at the door")
    elif not attendee.is_active:
        raise NeedsOrganizer
    return _check_in(scanner, attendee.pk, scan_id, scanned_at)


def _check_in(scanner, attendee_id, scan_id, scanned_at):
    scan = check_in.Scan(attendee_id=attendee_id, scan_id=scan_id, scanned_at=scanned_at)
    [answer] = check_in.check_in(scanner=scanner, scans=[scan])
    if answer.error is not None:
        raise answer.error
    return answer


def _is_of(attendee, first_name, last_name, email, phone) -> bool:
    """Whether a walk-in that is sent again is about this attendee."""
    person = attendee.user_profile
    if email:
        return email.strip().lower() in {(person.email or "").lower(), (attendee.rsvp_contact or "").lower()}
    name = f"{first_name} {last_name}".strip()
    return person.phone == phone and person.get_full_name().casefold() == name.casefold()


def _person(event, first_name, last_name, email, phone) -> tuple[UserProfile, str]:
    """By e-mail address; by phone only together with the name, and only among those who are known
    at this event.

    An address that belongs to somebody whom the organisation has never met stays theirs: the walk-in
    is a person without one, and the address (the second value) goes to how they can be reached.
    """
    contact = ""
    if email:
        found = UserProfile.objects.filter(email__lower=email.lower()).first()
        if found and _has_met(event.organization_id, found):
            return _active(found), ""
        if found:
            email, contact = None, email
            again = Attendee.objects.filter(event=event, rsvp_contact__iexact=contact, user_profile__email=None).first()
            if again:
                return again.user_profile, ""
    elif phone:
        namesakes = UserProfile.objects.filter(
            _known_at(event), phone=phone, first_name__iexact=first_name, last_name__iexact=last_name
        )[:2]
        if len(namesakes) == 1:
            return _active(namesakes[0]), ""
    try:
        with transaction.atomic():
            person = UserProfile.objects.create_user(
                email or None, first_name=first_name, last_name=last_name, phone=phone
            )
    except IntegrityError as error:  # another event's door was quicker with the same address
        raise Busy from error
    return person, contact


def _active(person) -> UserProfile:
    if not person.is_active:
        raise NeedsOrganizer
    return person


def _tables():
    """Where people are known: as attendee, by a request, or by a ban, which would else be walked around.
    Tables of an upper app by name only."""
    return Attendee, apps.get_model("requests", "JoinRequest"), apps.get_model("requests", "Ban")


def _has_met(organization_id, person) -> bool:
    met = {"event__organization": organization_id, "user_profile": person}
    return any(table.objects.filter(**met).exists() for table in _tables())


def _known_at(event) -> Q:
    attendees, requests, bans = (
        Exists(table.objects.filter(event=event, user_profile=OuterRef("pk"))) for table in _tables()
    )
    return Q(attendees) | Q(requests) | Q(bans)


def _was_declined(event, person) -> bool:
    requests = apps.get_model("requests", "JoinRequest").objects  # an upper app's table, by name only
    return requests.filter(event=event, user_profile=person, status="declined").exists()
