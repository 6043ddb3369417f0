"""Who takes a request, gives it back, or finishes it. The first to accept gets it.

Locks in the order mechanic → customer's turn → request → session, so that whoever goes off duty keeps nothing that
they accept in the same moment.
"""

from datetime import datetime
from functools import partial

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.database import in_turn, recorded_as
from config.errors import SYSTEM, DomainError, NotAllowed, NotFound, Outcome, lock, operation
from config.live import nudge
from config.tasks import in_batches, one_by_one

from ..models import Mechanic, RequestStatus, ServiceSession, ServiceStatus, SessionRequest
from . import telling

log = structlog.get_logger(__name__)

CHANNEL = "turnout:service"
"""Where Redis says that there is something new; the stream listens."""


class AlreadyAccepted(DomainError):
    code = "already_accepted"
    message = _("{accepted_by} has accepted it already.")
    plain = _("Somebody has accepted it already.")
    facts = ("accepted_by",)


class RequestClosed(DomainError):
    code = "request_closed"
    message = _("This request is {status}.")
    plain = _("This request is over.")
    facts = ("status",)
    constraints = ("requests_sessionrequest_over_stays_over",)


class NotAccepted(DomainError):
    code = "not_accepted"
    message = _("Nobody has accepted this request yet.")


class NotYours(DomainError):
    code = "not_yours"
    message = _("You don't have this request any more.")


class OffDuty(DomainError):
    code = "off_duty"
    status = 403
    message = _("{mechanic} is off duty.")
    plain = _("You are off duty.")


class NotServing(DomainError):
    code = "not_serving"
    status = 403
    message = _("This request is of an event that {mechanic} does not serve.")


class OwnRequest(DomainError):
    code = "own_request"
    status = 403
    message = _("Nobody takes their own request.")
    constraints = ("requests_sessionrequest_not_ones_own",)


class AskedAnew(DomainError):
    """What the customer has asked since is in the line; operations cancel the older one, raw SQL is told."""

    code = "one_open_request"
    message = _("This customer has another request that waits.")
    constraints = ("requests_sessionrequest_one_open",)


class SessionBroken(DomainError):
    """The database's own promises about service requests; operations keep them, raw SQL is told."""

    code = "service_session_inconsistent"
    message = _("A service session and its request belong together; the database refused one alone.")
    constraints = (
        "requests_servicesession_has_request",
        "requests_servicesession_agrees_with_request",
        "requests_sessionrequest_accepted_has_mechanic",
    )


class AnotherOrganization(DomainError):
    """Nor does an event with requests that somebody had move there."""

    code = "mechanic_of_another_organization"
    message = _("Nobody has what another organisation was asked, nor serves its events.")
    constraints = (
        "requests_servicesession_mechanic_of_organization",
        "requests_sessionrequest_mechanic_of_organization",
        "requests_mechanic_event_of_organization",
    )


# -- Accepting ---------------------------------------------------------------------------------------------


@operation
def accept(*, request_id, person) -> Outcome:
    """The mechanic gets the request, if nobody has it; the session is live, and the customer told.

    Accepting one's own again changes nothing. Raises NotFound, NotAllowed, OffDuty, NotServing, OwnRequest,
    AlreadyAccepted, RequestClosed.
    """
    request = _asked(request_id)
    mechanic = Mechanic.objects.filter(
        organization=request.organization_id, user_profile=person.pk, active=True, user_profile__is_active=True
    ).first()
    if mechanic is None:
        raise NotAllowed if SessionRequest.objects.seen_by(person.pk).filter(pk=request_id).exists() else NotFound
    return _give(request, mechanic, actor=person, reason="accepted")


@operation
def takeover(*, request_id, mechanic_id, actor) -> Outcome:
    """An organiser gives a request, waiting or accepted, to this mechanic; who had it is told.

    Raises NotFound, NotAllowed, OffDuty, NotServing, OwnRequest, RequestClosed.
    """
    request = seen(request_id, actor)
    if not actor.has_perm("requests.assign_sessionrequest", request):
        raise NotAllowed
    mechanic = Mechanic.objects.filter(
        organization=request.organization_id, pk=mechanic_id, active=True, user_profile__is_active=True
    ).first()
    if mechanic is None:
        raise NotFound
    return _give(request, mechanic, actor=actor, reason="takeover", over=True)


def _asked(request_id) -> SessionRequest:
    """Read without a lock: who comes too late needn't wait for one."""
    request = SessionRequest.objects.select_related("mechanic", "event").filter(pk=request_id).first()
    if request is None:
        raise NotFound
    return request


def _give(request, mechanic, *, actor, reason, over=False) -> Outcome:
    if request.customer_id == mechanic.user_profile_id:
        raise OwnRequest
    _refuse_unfit(mechanic, request)
    if not _is_free(request, mechanic, over):
        return Outcome(request, changed=False)
    mechanic = lock(Mechanic.objects.select_related("user_profile"), pk=mechanic.pk)
    _refuse_unfit(mechanic, request)
    event = request.event
    request, session = locked(request.pk)
    request.event = event
    if not _is_free(request, mechanic, over):
        return Outcome(request, changed=False)
    had = request.mechanic
    now = timezone.now()
    request.status, request.mechanic, request.accepted_at = RequestStatus.ACCEPTED, mechanic, now
    session.status, session.mechanic, session.warned_at = ServiceStatus.LIVE, mechanic, None
    session.started_at, session.last_activity_at, session.place = session.started_at or now, now, ""
    changed = ["status", "mechanic", "warned_at", "started_at", "last_activity_at", "place", "updated_at"]
    with recorded_as(actor, reason):
        session.save(update_fields=changed)
        request.save(update_fields=["status", "mechanic", "accepted_at", "updated_at"])
    telling.accepted(request, mechanic)
    if over:
        if had is not None:
            telling.taken_over(request, had, actor=actor)
        telling.given(request, mechanic, actor=actor)
    _after_commit("service_request.accepted", request, mechanic=str(mechanic.pk))
    return Outcome(request, changed=True)


def _refuse_unfit(mechanic, request):
    if not mechanic.on_duty or not mechanic.active:
        raise OffDuty(mechanic=mechanic)
    if not mechanic.serves(request.organization_id, request.event_id):
        raise NotServing(mechanic=mechanic)


def _is_free(request, mechanic, over) -> bool:
    """False where they have it already. Raises AlreadyAccepted, RequestClosed."""
    if request.status in RequestStatus.OVER:
        raise RequestClosed(status=request.get_status_display().lower())
    if request.status == RequestStatus.ACCEPTED:
        if request.mechanic_id == mechanic.pk:
            return False
        if not over:
            raise AlreadyAccepted(accepted_by=str(request.mechanic))
    return True


# -- Giving back -------------------------------------------------------------------------------------------


@operation
def release(*, request_id, actor) -> Outcome:
    """The mechanic, or an organiser, hands it back: it keeps its place in line, and the customer is told.

    Raises NotFound, NotAllowed, NotAccepted, NotYours, RequestClosed; releasing twice changes nothing.
    """
    request, session = _of_mechanic(request_id, actor, back=True)
    if request.status in RequestStatus.OPEN:
        return Outcome(request, changed=False)
    back_to_line(request, session, reason="released", actor=actor)
    return Outcome(request, changed=True)


def turn_of(customer_id) -> str:
    """What a customer asks, and what of theirs goes back to the line, is one after the other (in_turn)."""
    return f"intake:{customer_id}"


def back_to_line(request, session, *, reason: str, actor=SYSTEM, by=SYSTEM) -> None:
    """Both accepted and locked, in the customer's turn, in the caller's transaction. ``reason``: released, idle or
    off_duty. ``actor`` isn't told of their own doing; ``by`` stands in the record, the actor by default.

    A customer waits once, for what they asked last: the older one is cancelled.
    """
    waiting = SessionRequest.objects.open().filter(customer=request.customer_id)
    others = list(waiting.values_list("created_at", flat=True))
    if any(created_at > request.created_at for created_at in others):
        _end(request, session, RequestStatus.CANCELLED, ServiceStatus.CANCELLED, actor=actor or by, reason="replaced")
        telling.replaced(request, actor=actor)
        return
    if others:
        close_open(request.customer_id, actor=actor or by, reason="replaced")
    had = request.mechanic
    request.status, request.mechanic, request.accepted_at = RequestStatus.PENDING, None, None
    session.status, session.mechanic, session.warned_at, session.place = ServiceStatus.PENDING, None, None, ""
    with recorded_as(actor or by, reason):
        session.save(update_fields=["status", "mechanic", "warned_at", "place", "updated_at"])
        request.save(update_fields=["status", "mechanic", "accepted_at", "updated_at"])
    telling.returned(request, had, reason=reason, actor=actor)
    _after_commit("service_request.returned", request, reason=reason)
    telling.soon()


def give_back_all(mechanic, *, by) -> None:
    """Of a locked mechanic who is off duty from now on: whatever they had accepted, customer by customer."""
    theirs = SessionRequest.objects.filter(mechanic=mechanic, status=RequestStatus.ACCEPTED)
    for request_id, customer_id in theirs.order_by("customer", "pk").values_list("pk", "customer"):
        in_turn(turn_of(customer_id))
        request, session = locked(request_id)
        if request.status == RequestStatus.ACCEPTED and request.mechanic_id == mechanic.pk:
            back_to_line(request, session, reason="off_duty", by=by)


# -- Ending ------------------------------------------------------------------------------------------------


@operation
def complete(*, request_id, actor) -> Outcome:
    """Done, says the mechanic who has it, or an organiser. Raises NotFound, NotAllowed, NotAccepted, NotYours,
    RequestClosed; completing twice changes nothing."""
    request, session = _of_mechanic(request_id, actor, already=RequestStatus.COMPLETED)
    if request.status == RequestStatus.COMPLETED:
        return Outcome(request, changed=False)
    _end(request, session, RequestStatus.COMPLETED, ServiceStatus.COMPLETED, actor=actor, reason="completed")
    telling.completed(request, actor=actor)
    return Outcome(request, changed=True)


@operation
def cancel(*, request_id, actor) -> Outcome:
    """The customer needs nobody any more, at any time before it is done; or an organiser says so.

    Raises NotFound, NotAllowed, RequestClosed; cancelling twice changes nothing.
    """
    seen(request_id, actor)
    request, session = locked(request_id)
    own = request.customer_id == actor.pk
    if not own and not actor.has_perm("requests.assign_sessionrequest", request):
        raise NotAllowed
    if request.status == RequestStatus.CANCELLED:
        return Outcome(request, changed=False)
    if request.status == RequestStatus.COMPLETED:
        raise RequestClosed(status=request.get_status_display().lower())
    reason = "cancelled" if own else "cancelled_by_organizer"
    _end(request, session, RequestStatus.CANCELLED, ServiceStatus.CANCELLED, actor=actor, reason=reason)
    telling.cancelled(request, actor=actor)
    return Outcome(request, changed=True)


def cancel_all_of(customer) -> None:
    """Whatever of theirs isn't over, as they are leaving for good, and nothing more in between. The caller's
    transaction."""
    in_turn(turn_of(customer.pk))
    theirs = SessionRequest.objects.filter(customer=customer.pk, status__in=RequestStatus.LIVE)
    for request_id in theirs.order_by("pk").values_list("pk", flat=True):
        request, session = locked(request_id)
        if request.status in RequestStatus.LIVE:
            _end(request, session, RequestStatus.CANCELLED, ServiceStatus.CANCELLED, actor=customer, reason="cancelled")
            telling.cancelled(request, actor=customer)


def close_open(customer_id, *, actor, reason: str) -> int:
    """Whatever of a customer's still waits is cancelled, with its session: they have asked anew. The caller's
    transaction."""
    waiting = SessionRequest.objects.open().filter(customer=customer_id).order_by("pk")
    closed = 0
    for request_id in waiting.values_list("pk", flat=True):
        request, session = locked(request_id)
        if request.status in RequestStatus.OPEN:
            _end(request, session, RequestStatus.CANCELLED, ServiceStatus.CANCELLED, actor=actor, reason=reason)
            closed += 1
    return closed


def _end(request, session, status, session_status, *, actor, reason):
    request.status, session.status = status, session_status
    with recorded_as(actor, reason):
        session.save(update_fields=["status", "updated_at"])
        request.save(update_fields=["status", "updated_at"])
    _after_commit(f"service_request.{reason}", request)


# -- By the clock ------------------------------------------------------------------------------------------


def mark_unattended(*, at: datetime | None = None) -> int:
    """What nobody took in time rings louder: the organisers hear of it. How many. ``at``: now by default."""
    return in_batches(SessionRequest.objects.overdue(at), partial(_mark, at=at), telling.AT_ONCE)


@operation
def _mark(*, pks, at) -> int:
    """What somebody is about to accept, or to write in, isn't waited for. The sessions are locked as well: at commit
    they are looked at one after the other, with all who signal waiting."""
    overdue = SessionRequest.objects.overdue(at).filter(pk__in=pks).select_related("session").order_by("pk")
    requests = list(overdue.select_for_update(no_key=True, skip_locked=True, of=("self", "session")))
    if requests:
        with recorded_as(SYSTEM, "unattended"):
            rows = SessionRequest.objects.filter(pk__in=[one.pk for one in requests])
            rows.update(status=RequestStatus.UNATTENDED, updated_at=timezone.now())
        _after_commit("service_request.unattended", *requests)
        telling.soon()
    return len(requests)


def return_idle(*, at: datetime | None = None) -> int:
    """What its mechanic does nothing about goes back to the line; so does what raw SQL left with somebody who is off
    duty. How many. ``at``: now by default."""
    return _each(SessionRequest.objects.idle(at), partial(_return, at=at))


def _return(request_id, at) -> bool:
    in_turn(turn_of(SessionRequest.objects.values_list("customer", flat=True).get(pk=request_id)))
    _request, session = locked(request_id)
    idle = SessionRequest.objects.idle(at).select_related("mechanic__user_profile")
    request = idle.filter(pk=request_id).first()
    if request is None:
        return False
    there = request.mechanic.on_duty and request.mechanic.active and request.mechanic.user_profile.is_active
    back_to_line(request, session, reason="idle" if there else "off_duty")
    return True


def remind_idle(*, at: datetime | None = None) -> int:
    """Tells mechanics that what they accepted goes back soon, once each time. How many. ``at``: now by default."""
    return _each(SessionRequest.objects.nearly_idle(at), partial(_remind, at=at))


def _remind(request_id, at) -> bool:
    _request, session = locked(request_id)
    request = SessionRequest.objects.nearly_idle(at).select_related("mechanic").filter(pk=request_id).first()
    if request is None:
        return False
    telling.reminded(request, session)
    session.warned_at = timezone.now()
    session.save(update_fields=["warned_at", "updated_at"])
    return True


def _each(rows, act) -> int:
    return one_by_one(rows, partial(_one, act=act))


@operation
def _one(*, pk, act) -> bool:
    return act(pk)


# -- What the acts share -----------------------------------------------------------------------------------


def seen(request_id, person) -> SessionRequest:
    """The request, if the person may see it, unlocked. Raises NotFound."""
    request = (
        SessionRequest.objects.seen_by(person.pk)
        .select_related("mechanic", "organization", "event")
        .filter(pk=request_id)
        .first()
    )
    if request is None:
        raise NotFound
    return request


def _seen_or_had(request_id, person) -> SessionRequest:
    """The same; of what went back and somebody else has, whoever had it learns that much. Raises NotFound, NotYours."""
    try:
        return seen(request_id, person)
    except NotFound:
        had = Mechanic.objects.filter(user_profile=person.pk, user_profile__is_active=True)
        if SessionRequest.objects.filter(pk=request_id, log__to_mechanic__in=had).exists():
            raise NotYours from None
        raise


def locked(request_id) -> tuple[SessionRequest, ServiceSession]:
    """Request and session, in the order of locks. Raises NotFound, Busy."""
    # Nothing joined: after a wait the row is the newest, what was joined to it is what it was before.
    request = lock(SessionRequest.objects, pk=request_id)
    return request, lock(ServiceSession.objects, pk=request.session_id)


def _may(request, actor) -> bool:
    mine = request.mechanic is not None and request.mechanic.user_profile_id == actor.pk
    return mine or actor.has_perm("requests.assign_sessionrequest", request)


def _of_mechanic(request_id, actor, already=None, back=False) -> tuple[SessionRequest, ServiceSession]:
    """Accepted, or in the status ``already``; locked, for whoever has it, or an organiser; to go ``back``, in its
    customer's turn, unless they gave it back already.

    Raises NotFound, NotAllowed, NotAccepted, NotYours, RequestClosed.
    """
    found = _seen_or_had(request_id, actor)
    if back:
        in_turn(turn_of(found.customer_id))
    request, session = locked(request_id)
    request.event = found.event
    if back and request.status in RequestStatus.OPEN and _released(request, actor):
        return request, session
    if not _may(request, actor):
        was = request.log.filter(to_mechanic__user_profile=actor.pk).exists()
        raise NotYours if was else NotAllowed
    if request.status in RequestStatus.OVER and request.status != already:
        raise RequestClosed(status=request.get_status_display().lower())
    if request.status in RequestStatus.OPEN:
        raise NotAccepted
    return request, session


def _released(request, actor) -> bool:
    """Whether giving it back was the last that happened to it, and by them."""
    last = request.log.order_by("pk").last()
    return last is not None and last.reason == "released" and last.actor_id == actor.pk


def _after_commit(what, *requests, **more):
    nudge(CHANNEL)
    for one in requests:
        transaction.on_commit(partial(log.info, what, service_request=str(one.pk), **more))
