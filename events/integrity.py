"""What this app promises about its rows."""

from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from config.integrity import Invariant, any_is_a_warning, register

from .models import Membership, Organization, Session, UserProfile
from .models.people import Role


def _in_foreign_rooms():
    return Session.objects.exclude(room=None).exclude(room__event=F("event"))


def _with_foreign_speakers():
    through = Session.speakers.through.objects.filter(session=OuterRef("pk"))
    return Session.objects.filter(Exists(through.exclude(speaker__event=OuterRef("event"))))


def _half_erased():
    """E-mail is null or stands for nothing; the rest of what names a person is empty."""
    named = Q(phone__gt="") | Q(photo_url__gt="") | Q(first_name__gt="") | Q(last_name__gt="") | Q(email__gt="")
    usable = Q(is_active=True) | Q(is_superuser=True)
    return UserProfile.objects.filter(~Q(erased_at=None), named | usable)


def _without_owner():
    owners = Membership.objects.filter(
        organization=OuterRef("pk"), role=Role.OWNER, user_profile__is_active=True, user_profile__erased_at=None
    )
    return Organization.objects.filter(~Exists(owners))


register(
    Invariant(
        name="session-rooms",
        promise=_("A session lies in a room of its own event."),
        violations=_in_foreign_rooms,
        event_path="event",
    ),
    Invariant(
        name="session-speakers",
        promise=_("A session's speakers belong to its own event."),
        violations=_with_foreign_speakers,
        event_path="event",
    ),
    Invariant(
        name="erased-people",
        promise=_("Whoever was erased is inactive, and nothing names them any more."),
        violations=_half_erased,
        figures=lambda: {"erased": UserProfile.objects.exclude(erased_at=None).count()},
    ),
    Invariant(
        name="organization-owners",
        promise=_("Every organisation has an owner who can sign in."),
        violations=_without_owner,
        figures=lambda: {"organizations": Organization.objects.count()},
        level=any_is_a_warning,
    ),
)
