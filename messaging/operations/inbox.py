"""What a person has been sent, as the phone app shows it: read or not, and on which devices it rings."""

from django.db.models import BigIntegerField, Case, ExpressionWrapper, F, Func, IntegerField, Subquery, Value, When
from django.db.models.functions import Coalesce, Now

from config.errors import NotFound, Outcome, operation
from events.models import UserProfile
from events.operations.accounts import lock_account, refuse_closed

from ..models import Channel, DeliveryStatus, MessageDelivery, PushDevice

DEVICES = 20
"""That a person may have; of more, the one that wasn't seen for longest leaves."""


def entries(person, *, unread=False, event_id=None, **part):
    """The person's messages, each once. One is unread while any delivery of it is. ``part``: as of
    MessageDeliveryQuerySet.inbox."""
    return MessageDelivery.objects.inbox(person.pk, unread=unread, event_id=event_id, **part)


def unread(person, *, event=None):
    """How many entries the person hasn't read, as a subquery. The event is filtered from their own index: that
    of all its deliveries may be long."""
    rows = MessageDelivery.objects.filter(user=_active(person), withdrawn_at=None, read_at=None)
    if event is not None:
        rows = rows.alias(about=ExpressionWrapper(F("event") + 0, BigIntegerField())).filter(about=event)
    counted = Func(F("message"), function="COUNT", template="%(function)s(DISTINCT %(expressions)s)")
    return Subquery(rows.order_by().annotate(count=counted).values("count"), output_field=IntegerField())


def _active(person):
    """In a subquery, so that PostgreSQL plans for somebody average: for one of whom it knows that they have
    half of the table it would read that half. Whoever may no longer act has nothing."""
    return Subquery(UserProfile.objects.active().filter(pk=person.pk).order_by().values("pk"))


@operation
def mark_read(*, delivery_id, actor) -> None:
    """The delivery's message, in every copy that the person got. Reading again changes nothing.

    Locks those deliveries. Raises NotFound.
    """
    active = UserProfile.objects.active().filter(pk=actor.pk)
    delivery = _own(actor).filter(pk=delivery_id, user__in=active).values_list("message_id", flat=True)
    message_id = delivery.first()
    if message_id is None:
        raise NotFound
    _mark(_own(actor).filter(message=message_id))


@operation
def mark_all_read(*, actor, event_id=None, until=None) -> None:
    """All that the person has got: of one event, or up to the entry ``until`` (a delivery's id), so that
    what came in since the app last looked stays unread. Locks them. Raises AccountClosed."""
    refuse_closed(actor)
    rows = _own(actor).filter(read_at=None)
    if event_id is not None:
        rows = rows.filter(event=event_id)
    if until is not None:
        rows = rows.filter(message__in=rows.filter(pk__lte=until).values("message"))
    _mark(rows)


def _own(actor):
    return MessageDelivery.objects.filter(user=actor.pk, withdrawn_at=None)


def _mark(rows):
    """What was shown in the app has arrived by that."""
    shown = When(channel=Channel.IN_APP, status=DeliveryStatus.SENT, then=Value(DeliveryStatus.DELIVERED))
    arrived = When(channel=Channel.IN_APP, status=DeliveryStatus.SENT, then=Coalesce(F("delivered_at"), Now()))
    locked = rows.filter(read_at=None).order_by("pk").select_for_update(no_key=True, of=("self",)).values("pk")
    MessageDelivery.objects.filter(pk__in=locked).update(
        read_at=Now(),
        status=Case(shown, default=F("status")),
        delivered_at=Case(arrived, default=F("delivered_at")),
    )


@operation
def register_device(*, actor, token, platform) -> Outcome:
    """``changed`` says whether the device is new. A token belongs to who signed in there last.

    Locks the person. Raises AccountClosed, Busy.
    """
    person = lock_account(actor.pk)
    device, is_new = PushDevice.objects.update_or_create(
        token=token, defaults={"user": person, "platform": platform, "seen_at": Now()}
    )
    seen = PushDevice.objects.filter(user=person).order_by("-seen_at", "-pk").values("pk")
    PushDevice.objects.filter(user=person).exclude(pk__in=seen[:DEVICES]).delete()
    device.refresh_from_db()
    return Outcome(device, changed=is_new)


@operation
def forget_device(*, device_id, actor) -> None:
    """Raises NotFound for any but one's own."""
    active = UserProfile.objects.active().filter(pk=actor.pk)
    deleted, _by_model = PushDevice.objects.filter(pk=device_id, user__in=active).delete()
    if not deleted:
        raise NotFound
