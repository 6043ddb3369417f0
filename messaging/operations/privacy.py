"""What messaging knows of a person: handed out, or forgotten."""

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Exists, OuterRef, Q
from django.db.models.functions import Cast, Now
from django.utils.translation import gettext as _

from config.privacy import PersonalData, register

from ..models import (
    Channel,
    DeliveryStatus,
    EventGuest,
    Message,
    MessageDelivery,
    NoticePreference,
    OptOut,
    PushDevice,
)
from . import texts


def guests_of(person):
    """Lines of guest lists that are the person: linked to them, or with their e-mail address, which is nobody
    else's. A number may be a family's: it alone says nothing."""
    mine = Q(user=person)
    if person.email and person.email_verified:
        mine |= Q(user=None, email=person.email.lower())
    return EventGuest.objects.filter(mine)


def _opt_outs_of(person):
    mine = Q(channel=Channel.EMAIL, address=(person.email or "").lower())
    if person.phone and person.phone_verified:
        mine |= Q(channel=Channel.SMS, address=person.phone)
    return OptOut.objects.filter(mine)


# -- Handed out --------------------------------------------------------------------------------------


def _export_guests(person) -> list:
    fields = ("id", "event__title", "guest_name", "phone", "email", "removed_at", "created_at")
    return list(guests_of(person).order_by("created_at", "pk").values(*fields))


def _export_messages(person) -> list:
    """Every delivery, with the text before its placeholders are filled. What an organiser took back before it
    left stays unread."""
    fields = ("event__title", "message__kind", "message__subject", "message__body", "guest__guest_name")
    sent = ("channel", "phone_number", "email", "status", "created_at", "sent_at", "delivered_at", "read_at")
    rows = MessageDelivery.objects.filter(user=person, withdrawn_at=None)
    return list(rows.order_by("pk").values("id", *fields, *sent))


def _export_reach(person) -> dict:
    """Where they are reached, and what they don't want."""
    return {
        "devices": list(
            PushDevice.objects.filter(user=person).order_by("pk").values("id", "platform", "created_at", "seen_at")
        ),
        "preferences": list(
            NoticePreference.objects.filter(user=person)
            .order_by("organization__name", "topic")
            .values("organization__name", "topic", "mode")
        ),
        "opt_outs": list(
            _opt_outs_of(person).order_by("pk").values("channel", "address", "event__title", "source", "created_at")
        ),
    }


# -- Forgotten ---------------------------------------------------------------------------------------


def _erase_guests(person) -> None:
    """The lines stay, so that counts do: without name and contacts, in their history as well. What was sent
    stays too, without address and without the provider's words, which may hold it; what still waits is
    taken back. The link audit has ids only, and stays."""
    guests = list(guests_of(person).order_by("pk").values_list("pk", flat=True))
    deliveries = MessageDelivery.objects.filter(Q(user=person) | Q(guest__in=guests))
    _empty_notices(person, guests)
    _forget_names(EventGuest, [str(one) for one in guests])
    _forget_names(MessageDelivery, deliveries.annotate(text=Cast("pk", CharField())).values("text"))
    nameless = {"guest_name": _("(erased)"), "phone": None, "email": None, "external_id": ""}
    EventGuest.objects.filter(pk__in=guests).update(**nameless)
    EventGuest.history.filter(Q(id__in=guests) | Q(user_id=person.pk)).update(**nameless, history_change_reason=None)
    waiting = deliveries.filter(status=DeliveryStatus.QUEUED, withdrawn_at=None)
    for rows, changes in ((waiting, {"withdrawn_at": Now()}), (deliveries, dict.fromkeys(ADDRESSED))):
        locked = rows.order_by("pk").select_for_update(no_key=True, of=("self",)).values("pk")
        MessageDelivery.objects.filter(pk__in=locked).update(**changes)


def _erase_names(person) -> None:
    """Notices to others that name the person: only them, and there only the lines with their name."""
    for manager in (Message.objects, Message.history):
        naming = manager.filter(audience_details__about__has_key=str(person.pk))
        rows = list(naming.order_by("pk").select_for_update(no_key=True))
        for row in rows:
            row.body = row.body and texts.nameless(row.body, row.audience_details["about"][str(person.pk)])
        manager.bulk_update(rows, ["body"], batch_size=500)


ADDRESSED = ("phone_number", "email", "error")


def _empty_notices(person, guests) -> None:
    """Texts that nobody else was sent: they are about the person."""
    mine = Q(user=person) | Q(guest__in=guests)
    candidates = MessageDelivery.objects.filter(mine).values_list("message_id", flat=True).distinct()
    others = MessageDelivery.objects.filter(message=OuterRef("pk"))
    others = others.filter(Q(user=None) | ~Q(user=person), Q(guest=None) | ~Q(guest__in=guests))
    messages = Message.objects.filter(~Exists(others), pk__in=candidates)
    ids = list(messages.order_by("pk").values_list("pk", flat=True))
    Message.objects.filter(pk__in=ids).update(subject="", body="", error="")
    Message.history.filter(id__in=ids).update(subject="", body="", error="", history_change_reason=None)
    _forget_names(Message, [str(one) for one in ids])


def _forget_names(model, ids) -> None:
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model), object_id__in=ids)
    entries.update(object_repr=_("(erased)"), change_message="")


def _erase_reach(person) -> None:
    """An unsubscribed e-mail address is forgotten with the person. STOP by SMS holds: it is the number's,
    whoever has it next, names nobody, and carriers demand it."""
    PushDevice.objects.filter(user=person).delete()
    NoticePreference.objects.filter(user=person).delete()
    OptOut.objects.filter(channel=Channel.EMAIL, address=(person.email or "").lower()).delete()


register(
    PersonalData("messages", export=_export_messages, erase=_erase_names),
    PersonalData("guest_lists", export=_export_guests, erase=_erase_guests),
    PersonalData("reach", export=_export_reach, erase=_erase_reach),
)
