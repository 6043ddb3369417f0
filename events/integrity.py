"""What this app promises about its rows."""

from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from config.integrity import Invariant, any_is_a_warning, register

from .models import Membership, Organization, Session, UserProfile
from .models.people import Role


def _sessions(event_id):
    return Session.objects.filter(event=event_id) if event_id else Session.objects.all()


def in_foreign_rooms(event_id=None):
    return _sessions(event_id).exclude(room=None).exclude(room__event=F("event"))


def with_foreign_speakers(event_id=None):
    through = Session.speakers.through.objects.filter(session=OuterRef("pk"))
    return _sessions(event_id).filter(Exists(through.exclude(speaker__event=OuterRef("event"))))


def half_erased():
    """E-mail is null or stands for nothing; the rest of what names a person is empty."""
    named = Q(phone__gt="") | Q(photo_url__gt="") | Q(first_name__gt="") | Q(last_name__gt="") | Q(email__gt="")
    usable = Q(is_active=True) | Q(is_superuser=True)
    return UserProfile.objects.filter(~Q(erased_at=None), named | usable)


def without_owner():
    owners = Membership.objects.filter(
        organization=OuterRef("pk"), role=Role.OWNER, user_profile__is_active=True, user_profile__erased_at=None
    )
    return Organization.objects.filter(~Exists(owners))


register(
    Invariant(
        name="session-rooms",
        promise=_("A session lies in a room of its own event."),
        violations=in_foreign_rooms,
    ),
    Invariant(
        name="session-speakers",
        promise=_("A session's speakers belong to its own event."),
        violations=with_foreign_speakers,
    ),
    Invariant(
        name="erased-people",
        promise=_("Whoever was erased is inactive, and nothing names them any more."),
        violations=half_erased,
        figures=lambda: {"erased": UserProfile.objects.exclude(erased_at=None).count()},
    ),
    Invariant(
        name="organization-owners",
        promise=_("Every organisation has an owner who can sign in."),
        violations=without_owner,
        figures=lambda: {"organizations": Organization.objects.count()},
        level=any_is_a_warning,
    ),
)
