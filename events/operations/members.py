"""Who works for an organisation."""

from config.errors import operation

from ..models import Membership, Organization, UserProfile


@operation
def add_member(*, organization_id, email: str, role: str, actor) -> Membership:
    """Gives the person of this e-mail address a role. Somebody new gets a profile without password:
    they set one by "forgot password", which proves that the address is theirs.

    Raises NameTaken if they have a role there already.
    """
    person = UserProfile.objects.filter(email__lower=email.lower()).first()
    if person is None:
        person = UserProfile.objects.create_user(email)
    membership = Membership(organization=Organization(pk=organization_id), user_profile=person, role=role)
    membership._history_user = actor
    membership.save(force_insert=True)
    return membership
