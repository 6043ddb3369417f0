"""The messages of somebody erased: counts and links stay, names and addresses don't."""

import json

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from events.models import AccountLetter, PhoneCode
from events.operations import accounts, phones, privacy
from messaging.models import (
    EventGuest,
    Message,
    MessageDelivery,
    NoticePreference,
    OptOut,
    PushDevice,
    UserLinkAudit,
)
from tests.events.test_accounts_operations import everything_about
from tests.factories import EventGuestFactory, MessageDeliveryFactory, MessageFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = "+14155550123"


@pytest.fixture
def person():
    return UserProfileFactory(
        email="ada@example.org", first_name="Ada", last_name="Lovelace", phone=PHONE, phone_verified=True
    )


def delivery(message, guest=None, **fields):
    return MessageDeliveryFactory(
        **{"message": message, "guest": guest, "next_attempt_at": timezone.now(), "status": "sent"} | fields
    )


@pytest.fixture
def sent(person, event):
    """A line of the list that is them, an announcement to all, a notice to them alone, and all around it."""
    guest = EventGuestFactory(event=event, guest_name="Ada Lovelace", phone=PHONE, email=person.email)
    assert EventGuest.objects.get().user is None
    EventGuest.objects.update(user=person, linked_at=timezone.now(), link_outcome="linked", link_method="manual")
    guest.refresh_from_db()
    guest.guest_name = "Ada L."
    guest.save()
    everybody = MessageFactory(event=event, subject="To all", body="Hello {name}")
    alone = MessageFactory(event=event, kind="join_decision", subject="For Ada", body="Ada, you are in")
    alone.save()
    other = EventGuestFactory(event=event, guest_name="Grace", phone="+14155550199")
    rows = {
        "sms": delivery(everybody, guest, channel="sms", phone_number=PHONE, error="4155550123 is no mobile"),
        "email": delivery(everybody, guest, channel="email", email=person.email, status="queued"),
        "notice": delivery(alone, None, user=person, channel="email", email=person.email),
        "grace": delivery(everybody, other, channel="sms", phone_number="+14155550199"),
    }
    PushDevice.objects.create(user=person, token="Ada's phone", platform="ios", seen_at=timezone.now())
    NoticePreference.objects.create(organization=event.organization, user=person, topic="door", mode="off")
    for channel, address, source in (
        ("email", person.email, "unsubscribe"),
        ("email", "grace@example.org", "unsubscribe"),
        ("sms", PHONE, "stop"),
    ):
        OptOut.objects.create(channel=channel, address=address, source=source)
    accounts.ask_for_reset(email=person.email)
    phones.send_code(actor=person, phone=PHONE)
    return rows


def test_export_tells_all_that_was_sent(person, sent, event):
    data = privacy.export(actor=person)
    [guest] = data["guest_lists"]
    assert (guest["event__title"], guest["guest_name"], guest["phone"], guest["email"]) == (
        event.title,
        "Ada L.",
        PHONE,
        person.email,
    )
    assert [(one["channel"], one["message__subject"], one["status"]) for one in data["messages"]] == [
        ("sms", "To all", "sent"),
        ("email", "To all", "queued"),
        ("email", "For Ada", "sent"),
    ]
    assert [one["platform"] for one in data["reach"]["devices"]] == ["ios"]
    assert [one["topic"] for one in data["reach"]["preferences"]] == ["door"]
    assert [(one["channel"], one["address"]) for one in data["reach"]["opt_outs"]] == [
        ("email", person.email),
        ("sms", PHONE),
    ]
    assert [(one["kind"], one["address"]) for one in data["letters"]] == [
        ("reset_password", person.email),
        ("verify_phone", PHONE),
    ]
    json.dumps(data, cls=JSONEncoder)


def test_export_gives_no_text_that_was_taken_back(person, sent):
    MessageDelivery.objects.filter(pk=sent["email"].pk).update(withdrawn_at=timezone.now())
    data = privacy.export(actor=person)
    assert [one["channel"] for one in data["messages"]] == ["sms", "email"]
    assert data["messages"][1]["message__subject"] == "For Ada"


def test_export_tells_nothing_of_others(person, sent):
    told = json.dumps(privacy.export(actor=person), cls=JSONEncoder)
    assert "Grace" not in told and "grace@" not in told and "+14155550199" not in told
    data = privacy.export(actor=UserProfileFactory())
    assert (data["guest_lists"], data["messages"], data["letters"]) == ([], [], [])
    assert data["reach"] == {"devices": [], "preferences": [], "opt_outs": []}


def test_erased_person_is_in_no_list_and_no_message(person, sent, event):
    organizer = member(event.organization, "organizer")
    for row in (EventGuest.objects.get(user=person), sent["sms"], sent["notice"].message, sent["grace"]):
        LogEntry.objects.create(
            user=organizer,
            content_type=ContentType.objects.get_for_model(row),
            object_id=row.pk,
            object_repr=str(row),
            action_flag=CHANGE,
        )
    OptOut.objects.filter(channel="sms").delete()  # it would be found: see below
    audit = list(UserLinkAudit.objects.order_by("pk").values())
    privacy.erase(person_id=person.pk, actor=person)

    assert everything_about(person) == []
    guest = EventGuest.objects.get(user=person)
    assert (guest.guest_name, guest.phone, guest.email) == ("(erased)", None, None)
    assert set(EventGuest.history.filter(id=guest.pk).values_list("guest_name", flat=True)) == {"(erased)"}
    for name in ("sms", "email", "notice"):
        row = MessageDelivery.objects.get(pk=sent[name].pk)
        assert (row.user, row.phone_number, row.email, row.error) == (person, None, None, None), name
        assert (row.withdrawn_at is not None) is (name == "email"), name
    assert list(UserLinkAudit.objects.order_by("pk").values())[: len(audit)] == audit
    assert not any(model.objects.exists() for model in (PushDevice, NoticePreference, AccountLetter, PhoneCode))
    assert sorted(LogEntry.objects.values_list("object_repr", flat=True)) == ["(erased)"] * 3 + ["SMS → Grace"]


def test_erasing_leaves_others_and_what_all_were_sent(person, sent):
    grace = MessageDelivery.objects.filter(pk=sent["grace"].pk).values().get()
    privacy.erase(person_id=person.pk, actor=person)
    assert MessageDelivery.objects.filter(pk=sent["grace"].pk).values().get() == grace
    assert EventGuest.objects.filter(guest_name="Grace", phone="+14155550199").exists()
    texts = dict(Message.objects.values_list("kind", "subject"))
    assert texts == {"announcement": "To all", "join_decision": ""}
    assert set(Message.history.filter(kind="join_decision").values_list("subject", "body")) == {("", "")}


def test_stop_holds_for_the_number_and_the_address_is_forgotten(person, sent):
    privacy.erase(person_id=person.pk, actor=person)
    assert set(OptOut.objects.values_list("channel", "address")) == {("sms", PHONE), ("email", "grace@example.org")}


def test_a_line_with_their_address_that_nobody_linked_is_theirs(person, event):
    twice = [EventGuestFactory(event=event, guest_name="Ada", email=person.email) for _n in range(2)]
    family = EventGuestFactory(event=event, guest_name="Byron", phone=PHONE)
    privacy.erase(person_id=person.pk, actor=person)
    assert [EventGuest.objects.get(pk=one.pk).guest_name for one in twice] == ["(erased)"] * 2
    assert EventGuest.objects.get(pk=family.pk).guest_name == "Byron"
