"""Who hears of a service request, and when.

What one person does that another waits for is told in the transaction that does it. Who waits is told to mechanics
after it stands, by a task or its sweep: no intake fails because somebody could not be told.
"""

from datetime import datetime
from functools import partial

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from config.celery import start
from config.errors import operation
from config.tasks import one_by_one
from messaging.models import Kind, MessageDelivery, NoticePreference
from messaging.operations import notices, preferences, texts
from messaging.operations.notices import Notice

from ..models import Mechanic, RequestStatus, SessionRequest

TASK = "requests.tasks.watch_service_requests"
SKILLED, ON_DUTY, ORGANIZERS = 1, 2, 3
"""How far the news of a request has gone (SessionRequest.told)."""


def soon() -> None:
    """Has a worker tell whoever is to be told, once this transaction stands; the sweep does what it can't."""
    start(TASK)


def address(session_id) -> str:
    """Of the session, for its customer and its mechanic alike."""
    return f"{settings.SITE_URL}{reverse('service_session', args=[session_id])}"


def board() -> str:
    return f"{settings.SITE_URL}{reverse('admin:requests_sessionrequest_board')}"


# -- What one does and the other waits for -------------------------------------------------------------------


def _key(request, said, moment, level="") -> str:
    return f"service:{request.pk}:{said}{level}:{moment.isoformat()}"


def _notice(request, said, to, moment=None, *, level="", channels=None, named=None, **context) -> Notice:
    """``moment``: what makes it new; by default, since when the request waits. ``named``: the mechanic whom the text
    names, on a line of its own, so that they can be forgotten."""
    names = {named.user_profile_id: str(named)} if named else {}
    page = address(request.session_id)
    context |= {"request": request, "page": page, "board": board(), "named": named and named.user_profile_id}
    subject, body = texts.written(f"service_{said}", event=request.event, **context)
    body, about = texts.naming(body, names)
    key = _key(request, said, moment or request.waiting_since, level)
    return Notice(
        Kind.SERVICE_REQUEST, subject, body, to, event_id=request.event_id, key=key, channels=channels, about=about
    )


def _tell(request, said, person_id, moment, *, actor=None, **more):
    """Nobody is told of their own doing."""
    if actor is None or actor.pk != person_id:
        notices.notify(_notice(request, said, [person_id], moment, **more))


def accepted(request, mechanic) -> None:
    _tell(request, "accepted", request.customer_id, request.accepted_at, named=mechanic)


def given(request, mechanic, *, actor) -> None:
    """To a mechanic to whom an organiser has given it."""
    _tell(request, "given", mechanic.user_profile_id, request.accepted_at, actor=actor)


def taken_over(request, had, *, actor) -> None:
    _tell(request, "taken_over", had.user_profile_id, request.accepted_at, actor=actor)


def returned(request, had, *, reason, actor) -> None:
    """Both hear that it is back in the line, whoever didn't do it themselves."""
    now = timezone.now()
    _tell(request, "returned", request.customer_id, now, reason=reason)
    _tell(request, "lost", had.user_profile_id, now, actor=actor, reason=reason)


def replaced(request, *, actor) -> None:
    """What would have gone back to the line is cancelled, as its customer has asked anew; the mechanic still has
    it."""
    now = timezone.now()
    _tell(request, "replaced", request.customer_id, now)
    _tell(request, "called_off", request.mechanic.user_profile_id, now, actor=actor)


def completed(request, *, actor) -> None:
    _tell(request, "completed", request.customer_id, timezone.now(), actor=actor, channels=notices.APP)


def cancelled(request, *, actor) -> None:
    """Whoever has it, and the customer where it wasn't they."""
    now = timezone.now()
    _tell(request, "cancelled", request.customer_id, now, actor=actor)
    if request.mechanic is not None:
        _tell(request, "called_off", request.mechanic.user_profile_id, now, actor=actor)


def reminded(request, session) -> None:
    _tell(request, "still_there", request.mechanic.user_profile_id, session.last_activity_at)


# -- Who waits -----------------------------------------------------------------------------------------------


def tell_waiting(*, at: datetime | None = None) -> int:
    """Tells of whatever waits whoever is due to hear and hasn't yet; how many were told of anything new.

    First those on duty with the skill (all on duty, where nobody has it); at half of ``unattended_after`` all on
    duty; the organisers once it is unattended, or at once where nobody at all is on duty. ``at``: by default, now.
    """
    return one_by_one(untold(at), partial(tell_of, at=at))


def untold(at: datetime | None = None):
    """Requests whose news is due to go further than it has."""
    return (
        SessionRequest.objects.open()
        .with_deadlines()
        .filter(
            Q(notification_sent_at=None)
            | Q(told__lt=ON_DUTY, half_at__lte=at or Now())
            | Q(told__lt=ORGANIZERS, status=RequestStatus.UNATTENDED)
        )
    )


@operation
def tell_of(*, pk, at: datetime | None = None) -> int:
    """Of one request, unless somebody else is telling of it at this moment. How many notices were new."""
    request = (
        untold(at)
        .select_related("event", "organization")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .filter(pk=pk)
        .first()
    )
    if request is None:
        return 0
    now = at or timezone.now()
    unattended = request.status == RequestStatus.UNATTENDED
    level = ORGANIZERS if unattended else ON_DUTY if request.half_at <= now else SKILLED
    on_duty = Mechanic.objects.on_duty().serving(request.organization_id, request.event_id)
    everybody = list(
        on_duty.exclude(user_profile=request.customer_id).order_by("pk").values_list("user_profile_id", "skills")
    )
    heard = _heard(request)
    to = [person for person in _whom(everybody, request.skill, level) if person not in heard | _had(request)]
    new = []
    if to:
        new.append(_notice(request, "waiting", to, level=level, again=bool(heard)))
    if unattended and request.told < ORGANIZERS:
        new.append(_loud(request, "unattended"))
    elif not unattended and not everybody:
        new.append(_loud(request, "nobody"))
    told = notices.notify(*new)
    _note(
        request,
        sent_at=request.notification_sent_at or (now if everybody or heard else None),
        told=max(request.told, level) if everybody or unattended else request.told,
    )
    return told


def _note(request, *, sent_at, told):
    """How far the news has gone. Where nobody is there to be told, nothing is written every few seconds."""
    if (sent_at, told) != (request.notification_sent_at, request.told):
        SessionRequest.objects.filter(pk=request.pk).update(notification_sent_at=sent_at, told=told)


def _whom(everybody, skill, level) -> list:
    """Who knows about it comes first, for half the time; where nobody does, all are asked at once."""
    skilled = [person for person, skills in everybody if skill and skill in skills]
    return skilled if skilled and level == SKILLED else [person for person, _skills in everybody]


def _heard(request) -> set:
    """Whom this wait of the request was told to."""
    keys = [_key(request, "waiting", request.waiting_since, level) for level in (SKILLED, ON_DUTY, ORGANIZERS)]
    return set(MessageDelivery.objects.filter(message__key__in=keys).values_list("user_id", flat=True))


def _had(request) -> set:
    """Whoever it came back from, if anybody: they know."""
    if request.waiting_since == request.created_at:
        return set()
    last = request.log.filter(to_status=RequestStatus.PENDING).order_by("-pk").values("from_mechanic")[:1]
    return set(Mechanic.objects.filter(pk__in=last).values_list("user_profile", flat=True))


def _loud(request, said) -> Notice:
    """To the organisers who want to hear of it."""
    hearers = preferences.hearers(NoticePreference.Topic.SERVICE, NoticePreference.Mode.AT_ONCE)
    to = [person for person in hearers.get(request.organization_id, []) if person != request.customer_id]
    return _notice(request, said, to, channels=notices.LOUD)
