"""A phone number is verified by a code, and the messages that went to it find their person."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from config.post_office import Fault
from events.models import AccountLetter, PhoneCode, UserProfile
from events.operations import phones
from messaging import tasks
from messaging.models import EventGuest, MessageDelivery, OptOut
from tests.factories import EventGuestFactory, MessageDeliveryFactory, MessageFactory, UserProfileFactory

pytestmark = pytest.mark.django_db
PHONE, VERIFY = "/api/v1/me/phone/", "/api/v1/me/phone/verify/"


def new_number():
    """Nobody has asked for a code to it within the hour."""
    return f"+1415{2_000_000 + secrets.randbelow(8_000_000)}"


@pytest.fixture
def number():
    return new_number()


@pytest.fixture
def person():
    return UserProfileFactory(first_name="Ada")


@pytest.fixture
def me(person, as_person, post_office):
    return as_person(person)


def error_of(answer):
    return answer.status_code, answer.json()["errors"][0]["code"]


def code_from(post_office):
    return post_office.texts[-1].body[:6]


def asked(me, post_office, number):
    assert me.post(PHONE, {"phone": number}).status_code == 204
    tasks.send_letters()
    return code_from(post_office)


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06}"


def waited(**age):
    """The clock goes on by so much."""
    PhoneCode.objects.update(created_at=F("created_at") - timedelta(**age))


def test_the_right_code_verifies_the_number(me, person, post_office, number):
    before = UserProfile.objects.values().get(pk=person.pk)
    code = asked(me, post_office, number)
    assert [(one.to, one.body) for one in post_office.texts] == [
        (number, f"{code} is your code for Turnout. It is good for ten minutes. Give it to nobody.")
    ]
    assert UserProfile.objects.values().get(pk=person.pk) == before
    answer = me.post(VERIFY, {"code": code})
    assert (answer.status_code, answer.json()["phone"], answer.json()["phone_verified"]) == (200, number, True)
    person.refresh_from_db()
    assert (person.phone, person.phone_verified) == (number, True)
    assert person.history.first().history_user == person
    assert error_of(me.post(VERIFY, {"code": code})) == (400, "phone_code_invalid")


def test_any_writing_of_the_number_will_do(me, post_office, number):
    written = f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    code = asked(me, post_office, written)
    assert me.post(VERIFY, {"code": code}).json()["phone"] == number


@pytest.mark.parametrize("phone", ["", "no number", "12", None, [], "1" * 51, "+49" + "1" * 15])
def test_what_is_no_number_is_refused(me, phone):
    answer = me.post(PHONE, {"phone": phone})
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "phone")
    assert not PhoneCode.objects.exists() and not AccountLetter.objects.exists()


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６", None, 123456.5])
def test_what_is_no_code_is_refused(me, post_office, number, code):
    asked(me, post_office, number)
    assert me.post(VERIFY, {"code": code}).status_code == 400
    assert PhoneCode.objects.get().tries == 0


def test_a_wrong_code_counts_and_five_are_the_end(me, person, post_office, number):
    code = asked(me, post_office, number)
    for tries in range(1, 6):
        assert error_of(me.post(VERIFY, {"code": wrong(code)})) == (400, "phone_code_invalid")
        assert PhoneCode.objects.get().tries == tries
    assert error_of(me.post(VERIFY, {"code": code})) == (400, "phone_code_invalid")
    person.refresh_from_db()
    assert (person.phone, person.phone_verified) == ("", False)
    assert me.post(VERIFY, {"code": asked(me, post_office, number)}).status_code == 200


def test_a_fifth_try_may_be_right(me, post_office, number):
    code = asked(me, post_office, number)
    for _try in range(4):
        me.post(VERIFY, {"code": wrong(code)})
    assert me.post(VERIFY, {"code": code}).status_code == 200


def test_a_code_expires(me, post_office, number):
    code = asked(me, post_office, number)
    PhoneCode.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert error_of(me.post(VERIFY, {"code": code})) == (400, "phone_code_invalid")


def test_a_code_lasts_ten_minutes(me, post_office, number):
    asked(me, post_office, number)
    left = PhoneCode.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=9, seconds=50) < left <= timedelta(minutes=10)


def test_the_code_of_another_person_is_worth_nothing(me, as_person, post_office, number):
    code = asked(me, post_office, number)
    other = as_person(UserProfileFactory())
    assert error_of(other.post(VERIFY, {"code": code})) == (400, "phone_code_invalid")
    assert me.post(VERIFY, {"code": code}).status_code == 200


def test_a_number_that_was_changed_meanwhile_is_not_overwritten(me, person, post_office, number):
    code = asked(me, post_office, number)
    assert me.patch("/api/v1/me/", {"phone": "+14155550111"}).json()["phone_verified"] is False
    assert error_of(me.post(VERIFY, {"code": code})) == (400, "phone_code_invalid")
    person.refresh_from_db()
    assert (person.phone, person.phone_verified) == ("+14155550111", False)


def test_a_number_that_was_set_meanwhile_is_verified(me, post_office, number):
    code = asked(me, post_office, number)
    me.patch("/api/v1/me/", {"phone": number})
    assert me.post(VERIFY, {"code": code}).json()["phone_verified"] is True


def test_a_new_code_replaces_the_last(me, post_office, number):
    first, second = asked(me, post_office, number), asked(me, post_office, number)
    if first != second:
        assert me.post(VERIFY, {"code": first}).status_code == 400
    assert me.post(VERIFY, {"code": second}).status_code == 200


def test_a_verified_number_that_changes_is_unverified(me, post_office, number):
    me.post(VERIFY, {"code": asked(me, post_office, number)})
    assert me.patch("/api/v1/me/", {"phone": number}).json()["phone_verified"] is True
    assert me.patch("/api/v1/me/", {"phone": "+14155550111"}).json()["phone_verified"] is False


def test_a_number_of_somebody_else_is_answered_alike(me, post_office, number):
    other = UserProfileFactory(phone=number, phone_verified=True)
    code = asked(me, post_office, number)
    assert me.post(VERIFY, {"code": code}).status_code == 200
    other.refresh_from_db()
    assert (other.phone, other.phone_verified) == (number, True)


# -- Limits, and no SMS --------------------------------------------------------------------------------------


def test_three_codes_an_hour_for_a_person(me, post_office):
    numbers = [new_number() for _n in range(4)]
    for number in numbers[:3]:
        assert me.post(PHONE, {"phone": number}).status_code == 204
    answer = me.post(PHONE, {"phone": numbers[3]})
    assert error_of(answer) == (429, "too_many_codes")
    assert answer["Retry-After"] == "3600"
    assert list(PhoneCode.objects.order_by("pk").values_list("phone", flat=True)) == numbers[:3]
    waited(minutes=59, seconds=55)
    assert error_of(me.post(PHONE, {"phone": numbers[3]})) == (429, "too_many_codes")
    waited(seconds=6)
    assert me.post(PHONE, {"phone": numbers[3]}).status_code == 204


def test_fifteen_tries_an_hour_for_a_person(me, post_office):
    for _number in range(3):
        code = asked(me, post_office, new_number())
        for _try in range(6):
            me.post(VERIFY, {"code": wrong(code)})
    assert sum(PhoneCode.objects.values_list("tries", flat=True)) == 15
    assert error_of(me.post(PHONE, {"phone": new_number()})) == (429, "too_many_codes")
    assert error_of(me.post(VERIFY, {"code": code})) == (400, "phone_code_invalid")


def test_a_code_that_was_used_counts(me, post_office):
    for _number in range(3):
        assert me.post(VERIFY, {"code": asked(me, post_office, new_number())}).status_code == 200
    assert error_of(me.post(PHONE, {"phone": new_number()})) == (429, "too_many_codes")


@pytest.mark.parametrize("whose", ["person", "number"])
@pytest.mark.django_db(transaction=True)
def test_codes_that_are_asked_for_at_the_same_time_count(whose, person, number, post_office):
    wishes = {
        "person": [(person, new_number()) for _n in range(6)],
        "number": [(UserProfileFactory(), number) for _n in range(6)],
    }[whose]
    together = Barrier(6)

    def ask(wish):
        try:
            together.wait()
            phones.send_code(actor=wish[0], phone=wish[1])
            return "sent"
        except phones.TooManyCodes:
            return "refused"
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(ask, wishes)) == ["refused"] * 3 + ["sent"] * 3
    assert (PhoneCode.objects.count(), AccountLetter.objects.count()) == (3, 3)


def test_three_codes_an_hour_for_a_number(as_person, post_office, number):
    for _person in range(3):
        assert as_person(UserProfileFactory()).post(PHONE, {"phone": number}).status_code == 204
    assert error_of(as_person(UserProfileFactory()).post(PHONE, {"phone": number})) == (429, "too_many_codes")
    assert PhoneCode.objects.count() == 3


def test_without_sms_no_number_is_verified(as_person, person, number):
    assert error_of(as_person(person).post(PHONE, {"phone": number})) == (409, "sms_off")
    assert not PhoneCode.objects.exists() and not AccountLetter.objects.exists()


def test_whoever_is_gone_gets_no_code(me, person, post_office, number):
    code = asked(me, post_office, number)
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    assert error_of(me.post(PHONE, {"phone": number})) == (401, "account_closed")
    assert error_of(me.post(VERIFY, {"code": code})) == (401, "account_closed")
    assert PhoneCode.objects.get().tries == 0


# -- The text ------------------------------------------------------------------------------------------------


def test_whoever_asks_again_before_anything_left_gets_one_text(me, post_office, number):
    for _number in range(2):
        me.post(PHONE, {"phone": number})
    tasks.send_letters()
    assert len(post_office.texts) == 1
    assert me.post(VERIFY, {"code": code_from(post_office)}).status_code == 200


def test_a_text_that_comes_too_late_is_not_sent(me, post_office, number):
    me.post(PHONE, {"phone": number})
    PhoneCode.objects.update(expires_at=timezone.now())
    tasks.send_letters()
    assert (post_office.texts, AccountLetter.objects.count()) == ([], 0)


def test_whoever_wants_no_sms_gets_none(me, post_office, number):
    OptOut.objects.create(channel="sms", address=number, source="stop")
    assert me.post(PHONE, {"phone": number}).status_code == 204
    tasks.send_letters()
    assert post_office.texts == []
    assert AccountLetter.objects.get().error == "The number's owner wants no SMS."


def test_a_provider_that_cannot_now_is_asked_again(me, post_office, number):
    post_office.faults = lambda ask: Fault(status=503)
    me.post(PHONE, {"phone": number})
    tasks.send_letters()
    assert (AccountLetter.objects.get().attempts, AccountLetter.objects.get().error) == (1, "")
    post_office.faults = None
    AccountLetter.objects.update(next_attempt_at=timezone.now())
    tasks.send_letters()
    assert me.post(VERIFY, {"code": code_from(post_office)}).status_code == 200


def test_a_number_that_the_provider_refuses_is_not_tried_again(me, post_office, number):
    post_office.faults = lambda ask: Fault(status=400, code=21211)
    me.post(PHONE, {"phone": number})
    tasks.send_letters()
    assert "21211" in AccountLetter.objects.get().error


def test_the_log_names_no_number(me, post_office, number, caplog):
    post_office.faults = lambda ask: Fault(status=400, code=21211, message=f"{number} is no number of ada@example.org")
    me.post(PHONE, {"phone": number})
    tasks.send_letters()
    [line] = [one.msg for one in caplog.records if one.levelname == "WARNING"]
    assert line["event"] == "letter.failed"
    assert f"…{number[-2:]} is no number of a…@example.org" in line["reason"]
    assert number in AccountLetter.objects.get().error


def test_the_table_does_not_tell_the_code(me, post_office, number):
    code = asked(me, post_office, number)
    row = PhoneCode.objects.get()
    assert code not in (row.secret, row.phone) and phones.code_of(row) == code
    others = {phones.code_of(PhoneCode(user_id=row.user_id, phone=row.phone)) for _n in range(20)}
    assert len(others) > 10  # they follow from the secret


# -- Whose the messages are ----------------------------------------------------------------------------------


def test_guests_with_the_number_are_linked_in_that_instant_with_their_messages(me, person, post_office, event, number):
    guest = EventGuestFactory(event=event, phone=number, guest_name="A. L.")
    stranger = EventGuestFactory(event=event, phone="+14155550111")
    message = MessageFactory(event=event, subject="For {name}")
    sent = [
        MessageDeliveryFactory(message=message, guest=one, channel=channel, next_attempt_at=timezone.now())
        for one, channel in ((guest, "sms"), (guest, "in_app"), (stranger, "sms"))
    ]
    code = asked(me, post_office, number)
    assert me.get("/api/v1/me/messages/").json()["results"] == []
    assert me.post(VERIFY, {"code": code}).status_code == 200
    guest.refresh_from_db()
    assert (guest.user, guest.link_outcome, guest.link_method) == (person, "linked", "phone")
    linked = MessageDelivery.objects.order_by("pk").values_list("user", "link_outcome")
    assert list(linked) == [(person.pk, "backfilled"), (person.pk, "backfilled"), (None, "skipped")]
    inbox = me.get("/api/v1/me/messages/").json()
    assert (inbox["unread"], [(one["id"], one["subject"]) for one in inbox["results"]]) == (
        1,
        [(str(sent[0].pk), "For A. L.")],
    )
    assert EventGuest.objects.get(pk=stranger.pk).user is None
