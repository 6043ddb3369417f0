"""The SMS provider's calls: who may, what they change, and what they can't."""

import base64
import hashlib
import hmac
import uuid
from urllib.parse import urlencode

import pytest

from config.post_office import signature_of
from messaging import channels
from messaging.models import MessageDelivery, OptOut
from tests import factories

PHONE = "+14155550123"
INCOMING = "/hooks/sms/incoming/"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings, post_office):
    settings.SITE_URL = "https://turnout.example"
    return settings


@pytest.fixture
def delivery():
    """A text that the provider has taken."""
    guest = factories.EventGuestFactory(phone=PHONE)
    message = factories.MessageFactory(event=guest.event, channels=["sms"])
    fields = {"channel": "sms", "phone_number": PHONE, "status": "sent", "provider_id": "SM1", "attempts": 1}
    return factories.MessageDeliveryFactory(message=message, guest=guest, **fields)


def call(client, page, form, signature=None, **extra):
    signature = signature or signature_of("s3cret-of-the-post-office", "https://turnout.example" + page, form)
    return client.post(page, form, headers={"X-Twilio-Signature": signature}, **extra)


def page_of(delivery_id):
    return f"/hooks/sms/status/{delivery_id}/"


def report(client, delivery, status, **more):
    return call(client, page_of(delivery.pk), {"MessageSid": "SM1", "MessageStatus": status, **more})


def as_it_is(delivery):
    return MessageDelivery.objects.values_list("status", "error").get(pk=delivery.pk)


# -- Who may -----------------------------------------------------------------------------------------------------


def test_the_signature_is_the_providers(client):
    """The example of its documentation: the address, then names and values in the order of the names."""
    secret, url = "12345", "https://example.com/myapp.php?foo=1&bar=2"
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675310",
        "Digits": "1234",
        "From": "+14158675310",
        "To": "+18005551212",
    }
    assert signature_of(secret, url, form) == "L/OH5YylLD5NRKLltdqwSvS0BnU="


def test_a_call_that_is_signed_right_counts(client, delivery):
    assert report(client, delivery, "delivered").status_code == 200
    assert as_it_is(delivery) == ("delivered", None)


@pytest.mark.parametrize("signature", ["wrong", "é", "=", "0000000000000000000000000000"])
def test_a_call_that_is_signed_wrong_changes_nothing(client, delivery, signature):
    form = {"MessageSid": "SM1", "MessageStatus": "failed"}
    assert call(client, page_of(delivery.pk), form, signature).status_code == 403
    assert call(client, INCOMING, {"From": PHONE, "Body": "STOP"}, signature).status_code == 403
    assert as_it_is(delivery) == ("sent", None)
    assert not OptOut.objects.exists()


def test_a_call_that_is_not_signed_changes_nothing(client, delivery):
    form = {"MessageSid": "SM1", "MessageStatus": "failed"}
    assert client.post(page_of(delivery.pk), form).status_code == 403
    assert client.post(page_of(delivery.pk), form, headers={"X-Twilio-Signature": ""}).status_code == 403
    assert as_it_is(delivery) == ("sent", None)


@pytest.mark.parametrize(
    "change",
    [
        lambda page, form: (page, form | {"MessageStatus": "failed"}),
        lambda page, form: (page, form | {"More": "1"}),
        lambda page, form: (page, {"MessageSid": "SM1"}),
        lambda page, form: (page + "?a=1", form),
        lambda page, form: (page_of(uuid.uuid4()), form),
        lambda page, form: (INCOMING, form),
    ],
)
def test_a_signature_is_good_for_its_own_call_only(client, delivery, change):
    page, form = page_of(delivery.pk), {"MessageSid": "SM1", "MessageStatus": "delivered"}
    signature = signature_of("s3cret-of-the-post-office", "https://turnout.example" + page, form)
    other_page, other_form = change(page, form)
    assert call(client, other_page, other_form, signature).status_code == 403
    assert as_it_is(delivery) == ("sent", None)


def test_a_signature_with_another_secret_is_wrong(client, delivery):
    page, form = page_of(delivery.pk), {"MessageSid": "SM1", "MessageStatus": "delivered"}
    signature = signature_of("another secret", "https://turnout.example" + page, form)
    assert call(client, page, form, signature).status_code == 403


def test_the_order_of_the_parameters_is_no_matter(client, delivery):
    form = {"MessageStatus": "delivered", "To": PHONE, "AccountSid": "AC1", "MessageSid": "SM1"}
    assert call(client, page_of(delivery.pk), form).status_code == 200
    again = dict(reversed(form.items()))
    assert call(client, page_of(delivery.pk), again).status_code == 200
    assert as_it_is(delivery) == ("delivered", None)


def test_a_query_belongs_to_the_address(client, delivery):
    page = page_of(delivery.pk) + "?of=turnout"
    assert call(client, page, {"MessageSid": "SM1", "MessageStatus": "delivered"}).status_code == 200


def test_a_name_that_comes_twice_is_signed_with_both_values(client):
    text = f"https://turnout.example{INCOMING}BodyHelloFrom{PHONE}MediaaMediab"
    made = hmac.new(b"s3cret-of-the-post-office", text.encode(), hashlib.sha1).digest()
    form = {"From": PHONE, "Body": "Hello", "Media": ["b", "a"]}
    signature = base64.b64encode(made).decode()
    assert client.post(INCOMING, form, headers={"X-Twilio-Signature": signature}).status_code == 200


@pytest.mark.parametrize("body", ["Žluťoučký 王小明 👋", "a&b=c+d%20", "", "x" * 1600, "nul\x00"])
def test_any_text_may_come_in(client, body):
    assert call(client, INCOMING, {"From": PHONE, "Body": body}).status_code == 200
    encoded = {"content_type": "application/x-www-form-urlencoded"}
    form = {"From": PHONE, "Body": body}
    signature = signature_of("s3cret-of-the-post-office", f"https://turnout.example{INCOMING}", form)
    answer = client.post(INCOMING, urlencode(form), headers={"X-Twilio-Signature": signature}, **encoded)
    assert answer.status_code == 200


def test_a_body_that_is_too_long_is_not_read(client, delivery):
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "Body": "x" * 70_000}
    assert call(client, page_of(delivery.pk), form).status_code == 413
    assert as_it_is(delivery) == ("sent", None)


def test_there_is_nothing_to_call_while_sms_is_off(client, settings, delivery):
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    settings.SMS_AUTH_TOKEN = ""
    for page in (page_of(delivery.pk), INCOMING):
        signature = signature_of("", "https://turnout.example" + page, form)
        assert call(client, page, form, signature).status_code == 404
    assert as_it_is(delivery) == ("sent", None)


@pytest.mark.parametrize("verb", ["get", "put", "delete"])
def test_looking_changes_nothing(client, delivery, verb):
    assert getattr(client, verb)(page_of(delivery.pk)).status_code == 405
    assert getattr(client, verb)(INCOMING).status_code == 405


# -- How far a text got ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "more", "status", "error"),
    [
        ("delivered", {}, "delivered", None),
        ("read", {}, "delivered", None),
        ("sent", {}, "sent", None),
        ("undelivered", {"ErrorCode": "30003"}, "bounced", "The phone is off or out of reach. (30003)"),
        ("undelivered", {"ErrorCode": "99999"}, "bounced", "(99999)"),
        ("failed", {"ErrorCode": "30007"}, "failed", "The carrier took it for spam. (30007)"),
        ("failed", {}, "failed", "The provider says: failed"),
        ("canceled", {}, "failed", "The provider says: canceled"),
    ],
)
def test_a_report_moves_the_delivery(client, delivery, told, more, status, error):
    assert report(client, delivery, told, **more).status_code == 200
    assert as_it_is(delivery) == (status, error)


@pytest.mark.parametrize("told", ["accepted", "queued", "sending", "scheduled", "", "receiving", "whatever\x00"])
def test_a_report_on_the_way_changes_nothing(client, delivery, told):
    assert report(client, delivery, told).status_code == 204
    assert as_it_is(delivery) == ("sent", None)


def test_a_report_that_comes_again_or_late_changes_nothing(client, delivery):
    for _ in range(2):
        assert report(client, delivery, "delivered").status_code == 200
    stamp = MessageDelivery.objects.values_list("updated_at", flat=True).get(pk=delivery.pk)
    assert report(client, delivery, "sent").status_code == 200
    assert report(client, delivery, "failed").status_code == 200
    assert as_it_is(delivery) == ("delivered", None)
    assert MessageDelivery.objects.values_list("updated_at", flat=True).get(pk=delivery.pk) == stamp


def test_a_report_about_nobody_is_no_error(client):
    form = {"MessageSid": "SM-unknown", "MessageStatus": "delivered"}
    assert call(client, page_of(uuid.uuid4()), form).status_code == 200
    assert call(client, page_of(uuid.uuid4()), form | {"MessageSid": "\x00" * 300}).status_code == 200


def test_a_report_about_a_letter_is_about_nobody(client):
    delivery = factories.MessageDeliveryFactory(channel="email", email="a@example.org", status="sent")
    assert report(client, delivery, "failed").status_code == 200
    assert as_it_is(delivery) == ("sent", None)


# -- What people text back ---------------------------------------------------------------------------------------


def opted_out():
    return list(OptOut.objects.values_list("channel", "address", "event_id", "source"))


OUT = [("sms", PHONE, None, "stop")]


@pytest.mark.parametrize(
    "word",
    ["STOP", "stop", " Stop. ", "STOPALL", "unsubscribe", "Cancel", "END", "quit!", "STOPP", "arrêt", "ARRET", "alto",
     "Basta"],
)  # fmt: skip
def test_stop_is_heard(client, word):
    answer = call(client, INCOMING, {"From": PHONE, "Body": word})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/xml"
    assert answer.content == b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
    assert opted_out() == OUT
    assert call(client, INCOMING, {"From": PHONE, "Body": word}).status_code == 200
    assert opted_out() == OUT


@pytest.mark.parametrize("word", ["START", "yes", "Unstop"])
def test_start_is_heard(client, word):
    call(client, INCOMING, {"From": PHONE, "Body": "STOP"})
    call(client, INCOMING, {"From": "+14155550199", "Body": "STOP"})
    assert call(client, INCOMING, {"From": PHONE, "Body": word}).status_code == 200
    assert opted_out() == [("sms", "+14155550199", None, "stop")]
    assert call(client, INCOMING, {"From": PHONE, "Body": word}).status_code == 200


@pytest.mark.parametrize("text", ["please stop by at 9", "stopping", "Don't stop", "yes, I come", "", "?"])
def test_other_words_are_not_for_us(client, text):
    assert call(client, INCOMING, {"From": PHONE, "Body": text}).status_code == 200
    assert opted_out() == []


def test_the_providers_own_reading_of_a_text_counts(client):
    assert call(client, INCOMING, {"From": PHONE, "Body": "gtfo", "OptOutType": "STOP"}).status_code == 200
    assert opted_out() == OUT


@pytest.mark.parametrize("sender", ["", "12345", "whatsapp:+14155550123", "+1415555\x000123", "Ada"])
def test_a_sender_without_a_number_is_nobody(client, sender):
    assert call(client, INCOMING, {"From": sender, "Body": "STOP"}).status_code == 200
    assert opted_out() == []


# -- The whole way round -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_the_provider_calls_back_arrives(settings, post_office, live_server):
    settings.SITE_URL = live_server.url
    post_office.calls_back = True
    guest = factories.EventGuestFactory(phone=PHONE)
    message = factories.MessageFactory(event=guest.event, channels=["sms"], body="Žluťoučký 王小明 & co")
    fields = {"channel": "sms", "phone_number": PHONE, "status": "sending", "attempts": 1}
    delivery = factories.MessageDeliveryFactory(message=message, guest=guest, **fields)
    parcel = channels.Parcel(
        delivery_id=delivery.pk,
        message_id=message.pk,
        channel="sms",
        to=(PHONE,),
        name="Ada",
        subject="",
        body=message.body,
        kind="announcement",
        event_id=guest.event_id,
        event_title=guest.event.title,
        organization="Demo",
    )
    [result] = channels.get("sms").send([parcel])
    post_office.settled()
    assert post_office.calls == [("sent", 200), ("delivered", 200)]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.provider_id) == ("delivered", result.provider_id)
    assert post_office.write_in(live_server.url + INCOMING, PHONE, "arrêt").status_code == 200
    assert opted_out() == OUT
