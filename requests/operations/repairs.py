"""What was loaded past the database's promises about service requests: found, and made right again."""

from django.db.models import Case, Exists, F, OuterRef, Q, Value, When

from config.database import recorded_as
from config.errors import SYSTEM
from config.live import nudge

from ..models import ParticipantRole, RequestStatus, ServiceSession, ServiceStatus, SessionParticipant, SessionRequest
from . import intakes, taking, telling

SESSION_OF = {
    RequestStatus.PENDING: ServiceStatus.PENDING,
    RequestStatus.UNATTENDED: ServiceStatus.PENDING,
    RequestStatus.ACCEPTED: ServiceStatus.LIVE,
    RequestStatus.COMPLETED: ServiceStatus.COMPLETED,
    RequestStatus.CANCELLED: ServiceStatus.CANCELLED,
}


# -- A session and its request -------------------------------------------------------------------------------


def disagreeing():
    """Sessions of which their requests say something else; what somebody has accepted who isn't named, or who helps
    another organisation."""
    as_asked = Case(*(When(request__status=one, then=Value(status)) for one, status in SESSION_OF.items()))
    another = (
        ~Q(mechanic=F("request__mechanic")) & Q(mechanic__isnull=False, request__mechanic__isnull=False)
        | Q(mechanic__isnull=False, request__mechanic=None)
        | Q(mechanic=None, request__mechanic__isnull=False)
    )
    nobody = Q(status=ServiceStatus.LIVE, mechanic=None)
    stranger = Q(mechanic__isnull=False) & ~Q(mechanic__organization=F("organization"))
    rows = ServiceSession.objects.filter(request__isnull=False).annotate(as_asked=as_asked)
    return rows.filter(~Q(status=F("as_asked")) | another | nobody | stranger)


def agree(*, rows) -> int:
    """Those of these sessions (by primary key) that say something else than their requests; how many agree now.

    What is over stays over, and ends the other. Otherwise the request is right: it is what people wait by. Of two
    that are over, each in its way, of whoever took their own, and of another organisation's mechanic, nobody can say
    what was meant: they stay.
    """
    made = 0
    for session_id in sorted(rows):
        request, session = taking.locked(SessionRequest.objects.values_list("pk", flat=True).get(session=session_id))
        if disagreeing().filter(pk=session_id).exists():
            made += _agree(request, session)
    return made


def _agree(request, session) -> bool:
    if session.is_open:
        session.status = SESSION_OF[request.status]
    elif request.status in RequestStatus.LIVE:
        request.status = RequestStatus(session.status)
    mechanic = None if request.is_open else request.mechanic or session.mechanic
    unfit = mechanic and not intakes.may_have(mechanic, session)
    if unfit or session.status != SESSION_OF[request.status] or (session.status == ServiceStatus.LIVE and not mechanic):
        return False
    session.mechanic = request.mechanic = mechanic
    request.accepted_at = mechanic and (request.accepted_at or session.started_at or request.created_at)
    if session.status == ServiceStatus.LIVE:
        session.started_at = session.started_at or request.accepted_at
    with recorded_as(SYSTEM, intakes.BACKFILL):
        session.save(update_fields=["status", "mechanic", "started_at", "updated_at"])
        request.save(update_fields=["status", "mechanic", "accepted_at", "updated_at"])
    nudge(taking.CHANNEL)
    return True


# -- Who is in it --------------------------------------------------------------------------------------------


def with_others_in_it():
    """Sessions in which somebody is missing, or is who is neither their customer nor their mechanic."""
    here = SessionParticipant.objects.filter(session=OuterRef("pk"), left_at=None)
    customer = Q(role=ParticipantRole.CUSTOMER, user_profile=OuterRef("customer"))
    mechanic = Q(role=ParticipantRole.MECHANIC, user_profile=OuterRef("mechanic__user_profile"))
    return ServiceSession.objects.filter(
        ~Exists(here.filter(customer))
        | Q(mechanic__isnull=False) & ~Exists(here.filter(mechanic))
        | Exists(here.exclude(customer | mechanic))
    )


def seat(*, rows) -> int:
    """How many of these sessions (by primary key) have the right people in them now. The database puts that right when
    somebody writes the mechanic anew. Where session and request disagree, it wants that mended first."""
    broken = disagreeing().values("pk").union(ServiceSession.objects.open().without_request().values("pk"))
    wrong = with_others_in_it().filter(pk__in=rows).exclude(pk__in=broken)
    locked = ServiceSession.objects.filter(pk__in=list(wrong.values_list("pk", flat=True)))
    ids = list(locked.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    ServiceSession.objects.filter(pk__in=ids).update(mechanic=F("mechanic"))
    nudge(taking.CHANNEL)
    return len(ids) - with_others_in_it().filter(pk__in=ids).count()


# -- Who was told --------------------------------------------------------------------------------------------


def tell(*, rows) -> int:
    """Of how many of these requests (by primary key) the news went further."""
    far = SessionRequest.objects.filter(pk__in=rows).values_list("pk", "told", "notification_sent_at")
    before = set(far)
    telling.tell_of(pks=list(rows))
    return len(set(far.all()) - before)
