"""Who hears of a service request, and when.

What one person does that another waits for is told in the transaction that does it. Who waits is told to mechanics
after it stands, by a task or its sweep: no intake fails because somebody could not be told.
"""

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, Now
from django.urls import reverse
from django.utils import timezone

from config.celery import start
from config.database import alone
from config.errors import lock, operation
from config.tasks import in_batches, one_by_one
from events.models import Organization
from messaging import channels
from messaging.models import Channel, Kind, Message, MessageDelivery, NoticePreference
from messaging.operations import notices, preferences, texts
from messaging.operations.notices import Notice

from ..models import (
    Mechanic,
    ParticipantRole,
    RequestStatus,
    ServiceStatus,
    SessionMessage,
    SessionRequest,
    SessionRequestLog,
)

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


def _notice(request, said, to, moment=None, *, level="", key="", channels=None, named=None, **context) -> Notice:
    """``moment``: what makes it new, unless it has a ``key``; by default, since when the request waits. ``named``: a
    person's id, and what they are called: whom the text names, on a line of its own, so that they can be forgotten."""
    names = dict([named]) if named else {}
    page = address(request.session_id)
    context |= {"request": request, "page": page, "board": board(), "named": named and named[0]}
    subject, body = texts.written(f"service_{said}", event=request.event, **context)
    body, about = texts.naming(body, names)
    key = key or _key(request, said, moment or request.waiting_since, level)
    return Notice(
        Kind.SERVICE_REQUEST, subject, body, to, event_id=request.event_id, key=key, channels=channels, about=about
    )


def _tell(request, said, person_id, moment, *, actor=None, **more):
    """Nobody is told of their own doing."""
    if actor is None or actor.pk != person_id:
        notices.notify(_notice(request, said, [person_id], moment, **more))


def accepted(request, mechanic) -> None:
    named = (mechanic.user_profile_id, str(mechanic))
    _tell(request, "accepted", request.customer_id, request.accepted_at, named=named)


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


ANSWERS = timedelta(minutes=1)
"""Whoever hasn't answered by then may not be looking."""
SAID = "service:said:"
"""Where the keys of notices about messages begin."""


def tell_unanswered(*, at: datetime | None = None) -> int:
    """Tells whoever has been written to and hasn't answered, once, until they have written themselves. How many.

    ``at``: by default, now.
    """
    return one_by_one(unanswered(at), partial(tell_of_message, at=at))


def unanswered(at: datetime | None = None):
    """In sessions that go on: of the messages since the other one's last, the first, where that waits for too long and
    nobody was told since this mechanic has it. A mechanic who does something else about it has seen it."""
    around = SessionMessage.objects.filter(session=OuterRef("session"))
    before = around.filter(pk__lt=OuterRef("pk")).order_by("-pk").values("author")[:1]
    answers = around.filter(pk__gt=OuterRef("pk")).exclude(author=OuterRef("author"))
    number, mechanic, since = (
        Cast(name, TextField()) for name in ("pk", "session__mechanic", "session__request__accepted_at")
    )
    # A mechanic who takes it again hears of it again.
    which = Case(When(author=F("session__customer"), then=since), default=mechanic)
    told = Message.objects.filter(key=OuterRef("key"))
    until = (at or timezone.now()) - ANSWERS
    waits = around.filter(created_at__lte=until)
    unseen = ~Q(author=F("session__customer")) | Exists(
        waits.filter(created_at__gt=OuterRef("session__last_activity_at"), author=OuterRef("author"))
    )
    by_the_two = Q(author=F("session__customer")) | Q(author=F("session__mechanic__user_profile"))
    return (
        SessionMessage.objects.filter(by_the_two, session__status=ServiceStatus.LIVE, created_at__lte=until)
        .annotate(before=Subquery(before), key=Concat(Value(SAID), number, Value(":"), which, output_field=TextField()))
        .filter(Q(before=None) | ~Q(before=F("author")), unseen, ~Exists(answers), ~Exists(told))
    )


@operation
def tell_of_message(*, pk, at: datetime | None = None) -> int:
    """To the other one of the two; the words stay in the session. Who has it doesn't change meanwhile."""
    session_id = SessionMessage.objects.values_list("session", flat=True).get(pk=pk)
    request = lock(SessionRequest.objects, session=session_id)
    message = unanswered(at).filter(pk=pk).first()
    if message is None:
        return 0
    mechanic = request.mechanic
    if message.author_id == request.customer_id:
        to, called = mechanic.user_profile_id, request.customer_name or str(ParticipantRole.CUSTOMER.label)
    else:
        to, called = request.customer_id, str(mechanic)
    return notices.notify(_notice(request, "written", [to], named=(message.author_id, called), key=message.key))


# -- Who helps -----------------------------------------------------------------------------------------------


def helps(mechanic, *, letter: bool) -> None:
    """To somebody who is a mechanic from now on, or again; ``letter``: they are sent one to set a password."""
    context = {"organization": mechanic.organization, "board": board(), "letter": letter}
    subject, body = texts.written("service_mechanic", **context)
    key = f"service:mechanic:{mechanic.pk}:{mechanic.updated_at.isoformat()}"
    to = [mechanic.user_profile_id]
    notices.notify(Notice(Kind.SERVICE_REQUEST, subject, body, to, key=key, channels=notices.LOUD))


# -- Who waits -----------------------------------------------------------------------------------------------


AT_ONCE = 100
"""Requests told of in one transaction, and whoever accepts one of them waits for its end."""


def tell_waiting(*, at: datetime | None = None) -> int:
    """Tells of whatever waits whoever is due to hear and hasn't yet; how many were told of anything new.

    First those on duty with the skill (all on duty, where nobody has it); at half of ``unattended_after`` all on
    duty; the organisers once it is unattended, or at once where nobody at all is on duty: these by mail_organizers too.
    ``at``: by default, now.
    """
    return in_batches(untold(at), partial(tell_of, at=at), AT_ONCE)


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
def tell_of(*, pks, at: datetime | None = None) -> int:
    """Of these requests (primary keys), but for those that somebody else is at at this moment. How many notices were
    new. As many statements however many requests there are."""
    now = at or timezone.now()
    requests = _with_people(untold(at).filter(pk__in=pks)).select_related("event")
    requests = list(requests.select_for_update(no_key=True, skip_locked=True, of=("self",)).order_by("pk"))
    heard = _heard(requests)
    new, to_organizers, further = [], [], []
    for one in requests:
        unattended = one.status == RequestStatus.UNATTENDED
        level = ORGANIZERS if unattended else ON_DUTY if one.half_at <= now else SKILLED
        # Who knows about it comes first, for half the time; where nobody does, all are asked at once.
        people = one.skilled if one.skill and one.skilled and level == SKILLED else one.on_duty
        knows = heard[one.pk]
        if to := [person for person in people if person not in knows]:
            new.append(_notice(one, "waiting", to, level=level, again=bool(knows)))
        if unattended and one.told < ORGANIZERS:
            to_organizers.append((one, "unattended"))
        elif not unattended and not one.on_duty:
            to_organizers.append((one, "nobody"))
        far = one.notification_sent_at, one.told
        if one.on_duty or knows:
            one.notification_sent_at = one.notification_sent_at or now
        if one.on_duty or unattended:
            one.told = max(one.told, level)
        # Where nobody is there to be told, nothing is written every few seconds.
        if far != (one.notification_sent_at, one.told):
            further.append(one)
    told = notices.notify(*new, *_to_organizers(to_organizers))
    SessionRequest.objects.bulk_update(further, ["notification_sent_at", "told"])
    return told


def helpers():
    """Mechanics, for a subquery of requests: whose work one is, but for its own customer, and for whoever it came back
    from, who knows."""
    steps = SessionRequestLog.objects.filter(request=OuterRef(OuterRef("pk")), to_status=RequestStatus.PENDING)
    had = Subquery(steps.order_by("-pk").values("from_mechanic")[:1])
    mechanics = Mechanic.objects.on_duty().serving(OuterRef("organization"), OuterRef("event"))
    return mechanics.exclude(user_profile=OuterRef("customer")).exclude(pk=Coalesce(had, NOBODY))


NOBODY = UUID(int=0)


def _with_people(requests):
    """Adds who is to be asked: the people ``on_duty``, and the ``skilled`` of them; and whether it came ``back``."""
    mechanics = helpers().order_by("pk")
    skilled = mechanics.filter(skills__contains=[OuterRef("skill")])
    steps = SessionRequestLog.objects.filter(request=OuterRef("pk"), to_status=RequestStatus.PENDING)
    return requests.annotate(
        on_duty=ArraySubquery(mechanics.values("user_profile")),
        skilled=ArraySubquery(skilled.values("user_profile")),
        back=Exists(steps.filter(from_mechanic__isnull=False)),
    )


def _heard(requests) -> dict[UUID, set[UUID]]:
    """Whom this wait of each was told to."""
    levels = (SKILLED, ON_DUTY, ORGANIZERS)
    keys = {_key(one, "waiting", one.waiting_since, level): one.pk for one in requests for level in levels}
    heard = {one.pk: set() for one in requests}
    told = MessageDelivery.objects.filter(message__key__in=list(keys)).values_list("message__key", "user_id")
    for key, person in told:
        heard[keys[key]].add(person)
    return heard


# -- Organisers ----------------------------------------------------------------------------------------------


def _hearers() -> dict[int, list[UUID]]:
    """Organisation → its organisers who want to hear of what nobody takes."""
    return preferences.hearers(NoticePreference.Topic.SERVICE, NoticePreference.Mode.AT_ONCE)


TO_ORGANIZERS = ("unattended", "nobody")


def _to_organizers(said) -> list[Notice]:
    """In the app and by push, of each of these (request, what is said of it); mail_organizers writes."""
    hearers = _hearers() if said else {}
    return [
        _notice(
            one,
            what,
            [person for person in hearers.get(one.organization_id, ()) if person != one.customer_id],
            back=one.back,
        )
        for one, what in said
    ]


MAIL = "service:mail:"
MAIL_EVERY = timedelta(minutes=10)


def _nobody_takes():
    """Requests of which organisers may have been told: unattended, or there is nobody who could take them."""
    return SessionRequest.objects.filter(
        Q(status=RequestStatus.UNATTENDED) | Q(status=RequestStatus.PENDING, notification_sent_at=None)
    )


def mail_organizers(*, at: datetime | None = None) -> int:
    """Thirty requests that nobody takes are no thirty mails: how many wait is mailed, every ten minutes at most for an
    organisation, and only where organisers have been told in the app of something newer that still waits.

    How many mails were new. ``at``: by default, now.
    """
    organizations = Organization.objects.filter(pk__in=_nobody_takes().values("organization"))
    return one_by_one(organizations, partial(mail_of, at=at))


@operation
def mail_of(*, pk, at: datetime | None = None) -> int:
    """To one organisation's, unless somebody else is at it at this moment: the key names the newest notice that the
    mail is about."""
    if Channel.EMAIL not in channels.on() or not alone(f"{MAIL}{pk}"):
        return 0
    requests = list(_nobody_takes().filter(organization=pk).select_related("event").order_by("pk"))
    keys = {_key(one, said, one.waiting_since): one for one in requests for said in TO_ORGANIZERS}
    told = dict(Message.objects.filter(key__in=list(keys)).values_list("key", "pk"))
    mailed = Message.objects.filter(kind=Kind.SERVICE_REQUEST, key__startswith=f"{MAIL}{pk}:").order_by("-pk").first()
    newest = max(told.values(), default=None)
    if newest is None or mailed and not _due(mailed, newest, at or timezone.now()):
        return 0
    waiting = {keys[key].pk: keys[key] for key in told}
    customers, events = ({getattr(one, name) for one in waiting.values()} for name in ("customer_id", "event"))
    [event] = events if len(events) == 1 else [None]
    urgent = any(one.urgent for one in waiting.values())
    context = {"number": len(waiting), "urgent": urgent, "board": board()}
    subject, body = texts.written("service_mail", event=event, **context)
    to = [person for person in _hearers().get(pk, ()) if customers != {person}]
    key, event_id = f"{MAIL}{pk}:{newest}", event and event.pk
    mail = Notice(Kind.SERVICE_REQUEST, subject, body, to, event_id=event_id, key=key, channels=(Channel.EMAIL,))
    return notices.notify(mail)


def _due(mailed, newest, at) -> bool:
    return newest > UUID(mailed.key.rpartition(":")[2]) and mailed.created_at <= at - MAIL_EVERY
