"""What this app knows of a person, and how it forgets."""

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Q
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from config.errors import SYSTEM
from config.privacy import PersonalData, register
from events.models import Event

from ..models import (
    Ban,
    Intake,
    InvitationLink,
    JoinRequest,
    Mechanic,
    ServiceSession,
    SessionMessage,
    SessionRequest,
    Status,
    StreamTicket,
)
from . import intakes, join_requests, mechanics, taking


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


# -- Asking for help, and giving it --------------------------------------------------------------------------


def export_requests(person) -> list:
    """What they asked, and what came of it. Who helped is theirs to know; what that person said isn't theirs."""
    rows = SessionRequest.objects.filter(customer=person).order_by("pk")
    asked = ("organization__name", "event__title", "session_type", "plan_code", "urgent", "skill", "notes", "metadata")
    about = ("customer_name", "customer_email", "session__place", "session__intake__details", "mechanic__display_name")
    times = ("created_at", "first_accepted_at", "accepted_at", "closed_at")
    return list(rows.values("id", "session_id", "status", *asked, *about, *times))


def export_messages(person) -> list:
    """Their own lines of any session."""
    rows = SessionMessage.objects.filter(author=person).order_by("pk")
    return list(rows.values("session_id", "body", "created_at"))


def export_mechanics(person) -> list:
    fields = ("organization__name", "display_name", "skills", "serves_all", "on_duty", "active", "created_at")
    return list(Mechanic.objects.filter(user_profile=person).order_by("pk").values(*fields))


def erase_requests(person) -> None:
    """What isn't over is cancelled, and whoever had accepted it told. What was asked, when, and what became of it
    stays; in which words, and of whom, goes."""
    taking.cancel_all_of(person)
    _forget_names(SessionRequest, customer=person)
    _forget_names(ServiceSession, customer=person)
    _forget_names(Intake, customer=person)
    Intake.objects.filter(customer=person).update(concern="", skill="", details={}, idempotency_key=None)
    mine = Q(customer=person) | Q(mechanic__user_profile=person)
    ServiceSession.objects.filter(mine).exclude(place="").update(place="")
    nameless = {"customer_name": _("(erased)"), "customer_email": "", "notes": "", "skill": ""}
    rows = SessionRequest.objects.filter(customer=person)
    made_up = rows.filter(metadata__created_by=intakes.BACKFILL)
    rows.exclude(pk__in=made_up.values("pk")).update(**nameless, metadata={})
    made_up.update(**nameless, metadata={"created_by": intakes.BACKFILL})
    StreamTicket.objects.filter(user_profile=person).delete()


def erase_mechanics(person) -> None:
    """They stop, so that whatever they had accepted goes back to the line; then their name goes. Which requests they
    had stays, as the figures do."""
    rows = Mechanic.objects.filter(user_profile=person)
    for pk in rows.order_by("pk").values_list("pk", flat=True):
        mechanics.set_active(mechanic_id=pk, active=False, actor=SYSTEM)
    _forget_names(Mechanic, user_profile=person)
    nameless = {"display_name": _("(erased)"), "skills": []}
    rows.update(**nameless)
    Mechanic.history.filter(user_profile_id=person.pk).update(**nameless, history_change_reason=None)


def forget_messages(person) -> None:
    """That they said something stays: the database allows this for the erased alone."""
    SessionMessage.objects.filter(author=person).update(body=_("(erased)"))


def _forget_names(model, **whose) -> None:
    """In the admin's log."""
    rows = model.objects.filter(**whose).annotate(text=Cast("pk", CharField()))
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model))
    entries.filter(object_id__in=rows.values("text")).update(object_repr=_("(erased)"), change_message="")


# Erased from the last to the first, as the order of locks has it.
register(
    PersonalData("service_messages", export=export_messages, erased=forget_messages),
    PersonalData("service_requests", export=export_requests, erase=erase_requests),
    PersonalData("mechanics", export=export_mechanics, erase=erase_mechanics),
    PersonalData("join_requests", export=export, erase=erase),
    PersonalData("bans", export=export_bans, erase=erase_bans),
    PersonalData("invitations", export=export_invitations, erase=erase_invitations),
)
