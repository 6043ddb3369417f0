"""All that is known of a person: handed out, or forgotten. Other apps' part comes from config.privacy."""

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp import devices_for_user
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from config.errors import DomainError, operation
from config.privacy import all_personal_data
from events.models import AccountLetter, IdempotencyKey, Membership, Organization, PhoneCode, UserProfile
from events.models.people import Role, new_owner_id

from .accounts import AccountClosed, forget_photo, lock_account

PROFILE_FIELDS = (
    "id",
    "owner_id",
    "email",
    "email_verified",
    "first_name",
    "last_name",
    "phone",
    "phone_verified",
    "photo_url",
)
FORGOTTEN = {
    "email": None,
    "first_name": "",
    "last_name": "",
    "phone": "",
    "photo_url": "",
    "email_verified": False,
    "phone_verified": False,
}


class OnlyOwner(DomainError):
    code = "only_owner"
    message = _("You are the only owner of {organizations}. Make somebody else an owner first.")


def export(*, actor) -> dict:
    """Everything about the person, under each app's name. Raises AccountClosed."""
    person = UserProfile.objects.active().filter(pk=actor.pk).first()
    if person is None:
        raise AccountClosed
    return {
        "exported_at": timezone.now(),
        "profile": {name: getattr(person, name) for name in (*PROFILE_FIELDS, "created_at")},
        "profile_history": list(person.history.order_by("history_date").values("history_date", *PROFILE_FIELDS)),
        "memberships": list(person.memberships.order_by("pk").values("organization__name", "role", "created_at")),
        "sign_ins": list(
            AccessLog.objects.filter(username__in=_addresses(person))
            .order_by("attempt_time")
            .values("attempt_time", "ip_address", "user_agent")
        ),
        "letters": list(_letters(person).order_by("pk").values("kind", "channel", "address", "created_at", "sent_at")),
    } | {one.name: one.export(person) for one in all_personal_data()}


@operation
def erase(*, person_id, actor):
    """Anonymises the person everywhere, for good. Counts, audits and decisions stay, without a name.

    Locks the organisations that they own, what the apps lock for theirs, and the profile last: its
    new owner_id cascades into rows that others lock first. Raises OnlyOwner, AccountClosed, Busy,
    and whatever an app refuses with.
    """
    person = UserProfile.objects.active().filter(pk=person_id).first()
    if person is None:
        raise AccountClosed
    _check_owners_remain(person)
    person.owner_id = fresh = new_owner_id()
    for one in all_personal_data():
        one.erase(person)
    person = lock_account(person_id)
    _forget_traces(person, actor)
    forget_photo(person)
    for name, value in FORGOTTEN.items():
        setattr(person, name, value)
    person.set_unusable_password()
    person.is_active = person.is_superuser = False
    person.erased_at = timezone.now()
    person.owner_id = fresh
    person._history_user = actor
    person.save()
    person.history.update(owner_id=fresh, **FORGOTTEN)
    for one in all_personal_data():
        one.erased(person)
    return person


def _check_owners_remain(person):
    """Locks the organisations, so that two owners who leave together don't both count on the other."""
    owned = Membership.objects.filter(user_profile=person, role=Role.OWNER).values("organization_id")
    organizations = list(Organization.objects.filter(pk__in=owned).order_by("pk").select_for_update(no_key=True))
    kept = set(
        Membership.objects.filter(organization__in=organizations, role=Role.OWNER, user_profile__is_active=True)
        .exclude(user_profile=person)
        .values_list("organization_id", flat=True)
    )
    if orphans := [one.name for one in organizations if one.pk not in kept]:
        raise OnlyOwner(organizations=", ".join(orphans))


def _forget_traces(person, actor):
    """Roles, tokens, codes, letters, second factors, kept answers, sign-in logs, and the name in the admin's log."""
    memberships = list(person.memberships.all())
    for model, rows in ((UserProfile, [person]), (Membership, memberships)):
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(model), object_id__in=[str(row.pk) for row in rows]
        ).update(object_repr=str(_("(erased)")))
    for membership in memberships:
        membership._history_user = actor
        membership.delete()
    OutstandingToken.objects.filter(user=person).delete()
    IdempotencyKey.objects.filter(user_profile=person).delete()
    PhoneCode.objects.filter(user=person).delete()
    _letters(person).delete()
    for device in devices_for_user(person, confirmed=None):
        device.delete()
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        model.objects.filter(username__in=_addresses(person)).delete()


def _letters(person):
    """Those that the person was sent, and that went to an address of theirs, whoever asked for them."""
    return AccountLetter.objects.filter(Q(user=person) | Q(address__in=_addresses(person)))


def _addresses(person) -> set[str]:
    """Every e-mail address that the person ever had here."""
    return {person.email, *person.history.values_list("email", flat=True)} - {None}
