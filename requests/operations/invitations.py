"""Links that let people in without a decision."""

from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from attendance.models import Attendee
from attendance.operations import room
from config.errors import DomainError, NotFound, Outcome, lock, lock_with_event, operation
from events.models import UserProfile

from ..models import InvitationLink, JoinRequest
from . import join_requests


class InvitationInvalid(DomainError):
    code = "invitation_invalid"
    message = _("This invitation is no longer valid.")
    constraints = ("requests_invitationlink_uses_within_limit", "requests_invitationlink_times_sane")


@operation
def accept(*, token: str, person) -> Outcome:
    """Lets the person in by a link; whoever is in already stays, without using it up.

    A request of theirs is approved, also one that was declined before: who hands out links invites
    (a ban keeps people out for good). Raises NotFound (no such link, or the account is closed),
    InvitationInvalid, Banned, EventClosed, EventFull.
    """
    link_id = InvitationLink.id_of(token)
    if link_id is None or not UserProfile.objects.active().filter(pk=person.pk).exists():
        raise NotFound
    event, link = lock_with_event(InvitationLink, link_id)
    attendee = Attendee.objects.active().filter(event=event, user_profile=person).first()
    if attendee:
        return Outcome(attendee, changed=False)
    if not link.is_valid:
        raise InvitationInvalid
    join_requests.refuse_banned(event, person.pk)
    reason = f"invitation link {link.pk}"
    request = JoinRequest.objects.filter(event=event, user_profile=person).first()
    if request:
        join_requests.approve_locked(event, request, actor=link.created_by, reason=reason)
    else:
        room.let_in(
            event=event,
            admissions=[room.Admission(person.pk, person.owner_id)],
            source=Attendee.Source.INVITATION,
            actor=person,
            reason=reason,
        )
    InvitationLink.objects.filter(pk=link.pk).update(uses=F("uses") + 1)
    return Outcome(Attendee.objects.get(event=event, user_profile=person), changed=True)


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
