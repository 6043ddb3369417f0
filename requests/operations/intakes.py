"""A customer asks for help: intake, session, participant and request, all or nothing."""

from functools import partial

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from attendance.operations import room
from config.api import KEPT, KeyReused
from config.database import in_turn, recorded_as
from config.errors import SYSTEM, DomainError, NotFound, Outcome, lock, operation
from config.live import nudge
from events.models import Event, Organization, UserProfile

from ..models import (
    Intake,
    Mechanic,
    RequestStatus,
    ServiceSession,
    ServiceSettings,
    ServiceStatus,
    SessionRequest,
    SessionType,
)
from . import taking, telling
from .join_requests import refuse_banned

log = structlog.get_logger(__name__)


class OrganizationNeeded(DomainError):
    code = "organization_needed"
    status = 400
    message = _("Say of whom you want help: an event, or an organisation.")


class UnknownSkill(DomainError):
    code = "unknown_skill"
    status = 400
    message = _("Nobody here knows about “{skill}”. Choose one of: {known}.")
    facts = ("known",)


class TooLong(DomainError):
    """Doors check the same before; raw SQL and other programs are told."""

    code = "too_long"
    status = 400
    message = _("At most 4,000 characters can be said about it.")
    constraints = ("requests_intake_concern_length", "requests_sessionrequest_notes_length")


class UnknownPlan(DomainError):
    code = "unknown_plan"
    status = 400
    message = _("There is no plan “{plan}” here. Choose one of: {known}.")
    facts = ("known",)


@operation
def start_intake(
    *,
    person,
    concern: str,
    event_id=None,
    organization_id=None,
    session_type: str = SessionType.CHAT,
    urgent: bool = False,
    skill: str = "",
    plan: str = "",
    details: dict | None = None,
    key: str | None = None,
) -> Outcome:
    """Asks for help, and so cancels what of the person's still waits; the row is the SessionRequest.

    Without an event it goes to an organisation, which may be left out where the person has to do with one only.
    ``key``: the call's Idempotency-Key; with one that was used before, what it made is returned, unchanged.

    Raises NotFound, EventClosed, Banned, OrganizationNeeded, UnknownSkill, UnknownPlan, TooLong, KeyReused.
    """
    in_turn(taking.turn_of(person.pk))
    customer = UserProfile.objects.active().filter(pk=person.pk).first()
    if customer is None:
        raise NotFound
    skill = skill.strip().lower()  # as mechanics' skills are written
    given = {"concern": concern, "urgent": urgent, "skill": skill, "plan": plan, "details": details or {}}
    made = _made_by(customer, key) if key is not None else None
    if made and made.created_at < timezone.now() - KEPT:
        Intake.objects.filter(pk=made.pk).update(idempotency_key=None)
    elif made:
        whose = {"event_id": event_id} | ({"organization_id": organization_id} if organization_id else {})
        _refuse_other(made, given | whose | {"session_type": session_type})
        return Outcome(made.session.request, changed=False)
    event, organization = asked(person=customer, event_id=event_id, organization_id=organization_id)
    _refuse_unknown(organization, skill, plan)
    taking.close_open(customer.pk, actor=customer, reason="replaced")
    whose = {"organization": organization, "event": event, "customer": customer}
    now = timezone.now()
    intake = Intake(**whose, **given, idempotency_key=key)
    intake.save(force_insert=True)
    session = ServiceSession(**whose, intake=intake, type=session_type, plan=plan)
    session.save(force_insert=True)
    request = SessionRequest(
        **whose,
        session=session,
        session_type=session_type,
        plan_code=plan,
        urgent=urgent,
        skill=skill,
        customer_name=customer.get_full_name(),
        customer_email=customer.email or "",
        notes=concern,
        created_at=now,
        waiting_since=now,
    )
    with recorded_as(customer, "asked"):
        request.save(force_insert=True)
    nudge(taking.CHANNEL)
    telling.soon()
    transaction.on_commit(partial(log.info, "service_request.asked", service_request=str(request.pk)))
    return Outcome(request, changed=True)


def _made_by(customer, key) -> Intake | None:
    made = Intake.objects.select_related("session__request").filter(customer=customer, idempotency_key=key).first()
    if made is not None:
        made.session_type = made.session.type
    return made


def _refuse_other(made, given):
    """Raises KeyReused."""
    if any(getattr(made, name) != value for name, value in given.items()):
        raise KeyReused


def asked(*, person, event_id, organization_id) -> tuple[Event | None, Organization]:
    """Of whom the person would ask help, by :func:`start_intake`.

    Raises NotFound, EventClosed, Banned, OrganizationNeeded.
    """
    event = _event(person, event_id)
    return event, event.organization if event else _organization(person, organization_id)


def _event(customer, event_id) -> Event | None:
    """Raises NotFound, EventClosed, Banned."""
    if event_id is None:
        return None
    event = Event.objects.reachable_by(customer).select_related("organization").filter(pk=event_id).first()
    if event is None:
        raise NotFound
    if event.status != Event.Status.PUBLISHED:
        raise room.ClosedToGuests(event)
    refuse_banned(event, customer.pk, room.YouAreBanned)
    return event


def _organization(customer, organization_id) -> Organization:
    """Raises NotFound, OrganizationNeeded."""
    theirs = helping(customer)
    if organization_id is not None:
        organization = theirs.filter(pk=organization_id).first()
        if organization is None:
            raise NotFound
        return organization
    found = list(theirs[:2])
    if len(found) != 1:
        raise OrganizationNeeded
    return found[0]


def helping(person):
    """Organisations that the person has to do with, by an event or a role, and that have somebody who helps."""
    events = Event.objects.reachable_by(person).exclude(status=Event.Status.DRAFT)
    theirs = Organization.objects.filter(
        pk__in=events.filter(pk__in=_own_events(person)).values("organization")
    ) | Organization.objects.filter(memberships__user_profile=person.pk)
    return theirs.filter(mechanics__active=True, mechanics__serves_all=True).distinct().order_by("name", "pk")


def _own_events(person):
    attended = Event.objects.filter(attendees__user_profile=person.pk).values("pk")
    asked = Event.objects.filter(join_requests__user_profile=person.pk).values("pk")
    return attended.union(asked)


def settings_of(organization) -> ServiceSettings:
    """The organisation's, or the defaults."""
    found = ServiceSettings.objects.filter(organization=organization).first()
    return found or ServiceSettings(organization=organization)


def _refuse_unknown(organization, skill, plan):
    settings = settings_of(organization)
    if skill and settings.skills and skill not in settings.skills:
        raise UnknownSkill(skill=skill, known=", ".join(settings.skills))
    if plan and settings.plans and plan not in settings.plans:
        raise UnknownPlan(plan=plan, known=", ".join(settings.plans))


def place_in_line(request) -> int | None:
    """How many are before it, and itself: 1 is next. Only of those that wait at the same organisation. None where it
    doesn't wait any more."""
    line = SessionRequest.objects.open().filter(organization=request.organization_id).in_line()
    places = {pk: place for place, pk in enumerate(line.values_list("pk", flat=True), start=1)}
    return places.get(request.pk)


def on_duty(organization_id, event_id) -> int:
    """How many could take a request now."""
    return Mechanic.objects.on_duty().serving(organization_id, event_id).count()


# -- What was loaded past the database's promises ------------------------------------------------------------


BACKFILL = "backfill"


def backfill_requests(*, rows) -> int:
    """Gives each of these sessions (by primary key) the request that it lacks, marked as the backfill's.

    What can't be what it says is mended: one whose mechanic is its customer, or another organisation's, has none and
    is pending again; and of a customer who has another request waiting already, it is cancelled.
    """
    made = 0
    for session_id in sorted(rows):
        customer = ServiceSession.objects.values_list("customer", flat=True).get(pk=session_id)
        in_turn(taking.turn_of(customer))
        session = lock(ServiceSession.objects.select_related("customer", "mechanic", "intake"), pk=session_id)
        if not SessionRequest.objects.filter(session=session).exists():
            _backfill(session)
            made += 1
    return made


REQUEST_OF = {
    ServiceStatus.PENDING: RequestStatus.PENDING,
    ServiceStatus.LIVE: RequestStatus.ACCEPTED,
    ServiceStatus.COMPLETED: RequestStatus.COMPLETED,
    ServiceStatus.CANCELLED: RequestStatus.CANCELLED,
}


def may_have(mechanic, session) -> bool:
    """What the database asks of whoever has a session: that it isn't their own, nor another organisation's."""
    return mechanic.user_profile_id != session.customer_id and mechanic.organization_id == session.organization_id


def _backfill(session):
    if session.mechanic and not may_have(session.mechanic, session):
        session.mechanic = None
        session.status = ServiceStatus.PENDING if session.status == ServiceStatus.LIVE else session.status
    waits = SessionRequest.objects.open().filter(customer=session.customer_id).exists()
    if session.status == ServiceStatus.PENDING and waits:
        session.status = ServiceStatus.CANCELLED
    began = session.started_at or session.created_at
    with recorded_as(SYSTEM, BACKFILL):
        session.save(update_fields=["status", "mechanic", "started_at", "last_activity_at", "ended_at", "updated_at"])
        session.refresh_from_db()
        SessionRequest.objects.create(
            session=session,
            organization_id=session.organization_id,
            event_id=session.event_id,
            customer_id=session.customer_id,
            session_type=session.type,
            plan_code=session.plan,
            urgent=session.intake.urgent if session.intake else False,
            skill=session.intake.skill if session.intake else "",
            notes=session.intake.concern if session.intake else "",
            customer_name=session.customer.get_full_name(),
            customer_email=session.customer.email or "",
            metadata={"created_by": BACKFILL},
            status=REQUEST_OF[session.status],
            mechanic_id=session.mechanic_id,
            accepted_at=began if session.mechanic_id else None,
            closed_at=session.ended_at,
            created_at=session.created_at,
        )
    nudge(taking.CHANNEL)
