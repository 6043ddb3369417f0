"""What this app knows of a person, and how it forgets."""

from django.utils.translation import gettext as _

from config.errors import SYSTEM
from config.privacy import PersonalData, register
from events.models import Event

from ..models import Ban, InvitationLink, JoinRequest, Status
from . import join_requests


def export(person) -> list:
    return list(
        JoinRequest.objects.filter(user_profile=person)
        .order_by("created_at")
        .values("id", "event__title", "status", "plus_ones", "comments", "decided_at", "decision_note", "created_at")
    )


def erase(person) -> None:
    """Cancels what is open, event by event in the order of locks, and empties comments and notes."""
    rows = JoinRequest.objects.filter(user_profile=person)
    coming = rows.filter(status__in=Status.OPEN, event__status__in=Event.Status.OPEN)
    for request_id in coming.order_by("event_id").values_list("pk", flat=True):
        join_requests.cancel(request_id=request_id, actor=SYSTEM)
    rows.update(comments="", decision_note=None)
    JoinRequest.history.filter(user_profile_id=person.pk).update(
        comments="", decision_note=None, owner_id=person.owner_id, history_change_reason=None
    )


def export_bans(person) -> list:
    return list(Ban.objects.filter(user_profile=person).values("event__title", "reason", "created_at"))


def erase_bans(person) -> None:
    """The ban stays, so that the counts do; why goes."""
    Ban.objects.filter(user_profile=person).update(reason="")


def erase_invitations(person) -> None:
    """A personal link's label is its guest's name."""
    links = InvitationLink.objects.filter(guest__user=person)
    InvitationLink.history.filter(id__in=links.values("pk")).update(label=_("(erased)"))
    links.update(label=_("(erased)"))


def export_invitations(person) -> list:
    return list(InvitationLink.objects.filter(guest__user=person).values("event__title", "label", "uses", "created_at"))


register(
    PersonalData("join_requests", export=export, erase=erase),
    PersonalData("bans", export=export_bans, erase=erase_bans),
    PersonalData("invitations", export=export_invitations, erase=erase_invitations),
)
