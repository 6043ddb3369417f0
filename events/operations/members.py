"""Who works for an organisation."""

from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, lock, operation

from ..models import Membership, Organization, UserProfile
from ..models.people import Role
from . import accounts


class AlreadyMember(DomainError):
    code = "already_member"
    message = _("This person is a member already; change their role instead.")
    constraints = ("events_membership_once",)


class LastOwner(DomainError):
    code = "last_owner"
    message = _("An organisation needs an owner: make somebody else one first.")


@operation
def add_member(*, organization_id, email: str, role: str, actor) -> Membership:
    """Gives the person of this e-mail address a role. Somebody new gets a profile without password:
    they are sent a letter to set one, which proves that the address is theirs.

    Raises AlreadyMember.
    """
    person = UserProfile.objects.filter(email__lower=email.lower()).first()
    if person is None:
        person = UserProfile.objects.create_user(email)
        accounts.ask_for_reset(email=email)
    membership = Membership(organization=Organization(pk=organization_id), user_profile=person, role=role)
    membership._history_user = actor
    membership.save(force_insert=True)
    return membership


@operation
def change_role(*, membership_id, role: str, actor) -> Membership:
    """Raises LastOwner."""
    membership = _locked(membership_id)
    if role != Role.OWNER:
        _another_owner_stays(membership)
    membership.role = role
    membership._history_user = actor
    membership.save(update_fields=["role"])
    return membership


@operation
def remove(*, membership_id, actor) -> None:
    """Raises LastOwner."""
    membership = _locked(membership_id)
    _another_owner_stays(membership)
    membership._history_user = actor
    membership.delete()


def _locked(membership_id) -> Membership:
    """The membership, its organisation locked first: two owners who leave at once don't count on each other."""
    organization_id = Membership.objects.values_list("organization_id", flat=True).get(pk=membership_id)
    lock(Organization.objects, pk=organization_id)
    return lock(Membership.objects, pk=membership_id)


def _another_owner_stays(membership):
    others = Membership.objects.filter(organization=membership.organization_id, role=Role.OWNER).exclude(
        pk=membership.pk
    )
    if membership.role == Role.OWNER and not others.filter(user_profile__is_active=True).exists():
        raise LastOwner
