"""Links that let people in without a decision."""

import structlog
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from attendance.operations import room
from config.database import write
from config.errors import DomainError, NotFound, Outcome, lock, lock_with_event, operation
from events.models import UserProfile
from messaging.models import EventGuest, LinkMethod, LinkOutcome
from messaging.operations import guests

from ..models import InvitationLink, JoinRequest
from . import join_requests, notices

log = structlog.get_logger(__name__)


class InvitationInvalid(DomainError):
    code = "invitation_invalid"
    message = _("This invitation is no longer valid.")
    constraints = ("requests_invitationlink_uses_within_limit", "requests_invitationlink_times_sane")


class InvitationWithdrawn(DomainError):
    code = "invitation_withdrawn"
    message = _("This invitation was for a guest who is no longer on the list. Ask the organisers.")


class InvitationPersonal(DomainError):
    code = "invitation_personal"
    message = _("A personal invitation is for one guest of the same event.")
    constraints = ("requests_invitationlink_personal_once", "requests_invitationlink_guest_of_event")


@operation
def accept(*, token: str, person) -> Outcome:
    """Lets the person in by a link; whoever is in already stays, without using it up.

    A request of theirs is approved, also one that was declined before: who hands out links invites
    (a ban keeps people out for good). By a personal link they are its guest from then on, whether
    they were in already or not, unless the guest is somebody else. Whoever removes or restores a guest
    holds the event's lock too.

    Raises NotFound (no such link, or the account is closed), InvitationWithdrawn, InvitationInvalid,
    Banned, EventClosed, EventFull.
    """
    link_id = InvitationLink.id_of(token)
    if link_id is None or not UserProfile.objects.active().filter(pk=person.pk).exists():
        raise NotFound
    event, link = lock_with_event(InvitationLink, link_id)
    attendee = Attendee.objects.active().filter(event=event, user_profile=person).first()
    if attendee:
        if link.is_valid and _is_guest(link, person):
            _use(link)
        return Outcome(attendee, changed=False)
    if link.is_withdrawn:
        raise InvitationWithdrawn
    if not link.is_valid:
        raise InvitationInvalid
    join_requests.refuse_banned(event, person.pk, room.YouAreBanned)
    if not event.is_open:
        raise room.ClosedToGuests(event)
    reason = f"invitation link {link.pk}"
    request = JoinRequest.objects.filter(event=event, user_profile=person).first()
    if request:
        join_requests.approve_locked(event, request, actor=link.created_by, reason=reason)
    else:
        [attendee] = room.let_in(
            event=event,
            admissions=[room.Admission(person.pk, person.owner_id)],
            source=Attendee.Source.INVITATION,
            actor=person,
            reason=reason,
        )
        notices.let_in(event, attendee)
    _use(link)
    _is_guest(link, person)
    return Outcome(Attendee.objects.get(event=event, user_profile=person), changed=True)


def _use(link) -> None:
    InvitationLink.objects.filter(pk=link.pk).update(uses=F("uses") + 1)


def _is_guest(link, person) -> bool:
    """The person becomes the link's guest, and the guest's deliveries theirs; whether that changed anything."""
    if link.guest_id is None:
        return False
    guest = lock(EventGuest.objects, pk=link.guest_id)
    if guest.user_id == person.pk:
        return False
    if guest.user_id is not None:
        log.warning("invitation.guest_left", link=str(link.pk), guest=str(guest.pk))
        return False
    guest.user_id, guest.linked_by_id, guest.linked_at = person.pk, person.pk, timezone.now()
    guest.link_outcome, guest.link_method = LinkOutcome.LINKED, LinkMethod.INVITATION
    write([guest], ["user", "link_outcome", "link_method", "linked_by", "linked_at"], actor=person)
    return True


@operation
def invite(*, guest_id, actor) -> Outcome:
    """Makes a personal link for a guest; one that is still good stays. Raises GuestRemoved, EventClosed."""
    event, guest = lock_with_event(EventGuest, guest_id)
    if guest.is_removed:
        raise guests.GuestRemoved
    if not event.is_open:
        raise room.EventClosed(status=event.get_status_display().lower())
    link = next((one for one in guest.invitation_links.all() if one.is_valid), None)
    if link is not None:
        return Outcome(link, changed=False)
    link = InvitationLink(event=event, guest=guest, label=guest.guest_name, max_uses=1, created_by=actor)
    link._history_user = actor
    link.save(force_insert=True)
    return Outcome(link, changed=True)


@operation
def revoke(*, link_id, actor) -> Outcome:
    """The link lets nobody in any more; whoever came by it stays."""
    link = lock(InvitationLink.objects, pk=link_id)
    if link.revoked_at:
        return Outcome(link, changed=False)
    link.revoked_at = timezone.now()
    link._history_user = actor
    link.save(update_fields=["revoked_at"])
    return Outcome(link, changed=True)
