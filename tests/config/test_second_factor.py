"""The admin's second factor, by its pages."""

import re
import time
from binascii import unhexlify

import pytest
from django.urls import reverse
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from config import second_factor
from config.admin import account_links
from config.errors import DomainError
from tests.factories import EventFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db
PAGE = "/admin/second-factor/"


def code_of(key, *, steps=0):
    totp = TOTP(unhexlify(key))
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


def wrong_code(key):
    near = {code_of(key, steps=steps) for steps in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


@pytest.fixture
def organizer(event):
    person = member(event.organization, "organizer", email="organizer@example.org")
    person.set_password("correct horse 7")
    person.save(update_fields=["password"])
    return person


@pytest.fixture
def device(organizer):
    return TOTPDevice.objects.create(user=organizer, name="authenticator", key=default_key())


def sign_in(client, next_page="/admin/"):
    return client.post(
        f"/admin/login/?next={next_page}",
        {"username": "Organizer@Example.org ", "password": "correct horse 7"},
    )


def backup_codes_on(answer):
    shown = re.search(r"data-backup-codes>(.*?)</ul>", answer.content.decode(), re.DOTALL).group(1)
    return re.findall(r"<code>(\w+)</code>", shown)


# -- Without one ------------------------------------------------------------------------------------


def test_nobody_is_asked_who_has_none(client, organizer):
    assert sign_in(client).url == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_page_wants_a_sign_in(client):
    answer = client.get(PAGE)
    assert (answer.status_code, answer.url) == (302, f"/admin/login/?next={PAGE}")


def test_page_is_for_staff_only(client):
    client.force_login(UserProfileFactory())
    assert client.get(PAGE).status_code == 302


def test_account_menu_leads_to_it(rf, organizer):
    request = rf.get("/admin/")
    request.user = organizer
    links = [link["link"] for link in account_links(request)]
    assert links == ["/admin/password_change/", PAGE, "/admin/notices/"]


# -- Setting it up ------------------------------------------------------------------------------------


def test_set_up_shows_the_key_as_picture_and_text(client, organizer):
    client.force_login(organizer)
    answer = client.get(PAGE)
    key = client.session[second_factor.KEY]
    assert "<svg" in answer.content.decode()
    assert TOTPDevice(user=organizer, key=key).config_url.split("secret=")[1].split("&")[0] in answer.content.decode()
    assert "unsafe-eval" in answer["Content-Security-Policy"]
    assert not TOTPDevice.objects.exists()


def test_set_up_with_a_code_turns_it_on_and_shows_ten_codes_once(client, organizer):
    client.force_login(organizer)
    client.get(PAGE)
    key = client.session[second_factor.KEY]
    answer = client.post(PAGE, {"code": code_of(key)})
    codes = backup_codes_on(answer)
    assert len(set(codes)) == 10
    assert set(StaticToken.objects.values_list("token", flat=True)) == set(codes)
    assert TOTPDevice.objects.get().user == organizer
    assert client.get("/admin/").status_code == 200
    later = client.get(PAGE).content.decode()
    assert not any(code in later for code in codes)
    assert "10 backup codes are left" in later


@pytest.mark.parametrize("code", ["", "12345", "abcdef", "١٢٣٤٥٦", "\x00", "9" * 41, "²²²²²²"])
def test_set_up_with_nonsense_turns_nothing_on(client, organizer, code):
    client.force_login(organizer)
    client.get(PAGE)
    assert client.post(PAGE, {"code": code}).status_code == 200
    assert not TOTPDevice.objects.exists()


def test_set_up_with_a_wrong_code_keeps_the_key(client, organizer):
    client.force_login(organizer)
    client.get(PAGE)
    key = client.session[second_factor.KEY]
    assert "This code is wrong" in client.post(PAGE, {"code": wrong_code(key)}).content.decode()
    assert client.session[second_factor.KEY] == key
    assert not TOTPDevice.objects.exists()


def test_turning_on_twice_is_refused(organizer, device):
    key = default_key()
    with pytest.raises(second_factor.AlreadyOn):
        second_factor.turn_on(person=organizer, key=key, code=code_of(key))
    assert list(TOTPDevice.objects.all()) == [device]


# -- Being asked ----------------------------------------------------------------------------------------


PAGES = ["admin:index", "admin:password_change", "admin:events_event_changelist", "admin:jsi18n", "admin:autocomplete"]


@pytest.mark.parametrize("name", PAGES)
def test_no_page_opens_before_the_code(client, organizer, device, name):
    sign_in(client)
    answer = client.get(reverse(name))
    assert answer.status_code == 302
    assert answer.url.startswith(f"{PAGE}?next=")


def test_nothing_is_written_before_the_code(client, organizer, device):
    sign_in(client)
    answer = client.post("/admin/password_change/", {"old_password": "correct horse 7"})
    assert answer.url.startswith(f"{PAGE}?next=")


def test_code_opens_the_page_that_was_asked_for(client, organizer, device):
    going = reverse("admin:events_event_changelist")
    sign_in(client, going)
    ask = client.get(client.get(going).url)
    assert "<input" in ask.content.decode() and ask.context["next"] == going
    answer = client.post(PAGE, {"code": code_of(device.key), "next": going})
    assert (answer.status_code, answer.url) == (302, going)
    assert client.get(going).status_code == 200


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_code_leads_nowhere_else(client, organizer, device, elsewhere):
    client.force_login(organizer)
    assert client.post(PAGE, {"code": code_of(device.key), "next": elsewhere}).url == "/admin/"


def test_code_works_once(client, organizer, device):
    client.force_login(organizer)
    code = code_of(device.key)
    assert client.post(PAGE, {"code": code}).status_code == 302
    client.logout()
    client.force_login(organizer)
    assert client.post(PAGE, {"code": code}).status_code == 200
    assert client.get("/admin/").status_code == 302


def test_wrong_codes_make_the_next_wait(client, organizer, device):
    client.force_login(organizer)
    assert client.post(PAGE, {"code": wrong_code(device.key)}).status_code == 200
    answer = client.post(PAGE, {"code": code_of(device.key)})
    assert answer.status_code == 429
    assert answer["Retry-After"] in ("1", "2")
    assert client.get("/admin/").status_code == 302
    TOTPDevice.objects.update(throttling_failure_timestamp=None)
    assert client.post(PAGE, {"code": code_of(device.key)}).status_code == 302


def test_backup_code_opens_once(client, organizer, device):
    codes = second_factor.renew_backup_codes(person=organizer)
    client.force_login(organizer)
    assert client.post(PAGE, {"code": f" {codes[0][:4].upper()}-{codes[0][4:]}"}).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert StaticToken.objects.count() == 9
    client.logout()
    client.force_login(organizer)
    assert client.post(PAGE, {"code": codes[0]}).status_code == 200
    assert client.get("/admin/").status_code == 302


def test_code_of_somebody_else_is_wrong(client, organizer, device):
    other = TOTPDevice.objects.create(user=UserProfileFactory(), name="other", key=default_key())
    second_factor.renew_backup_codes(person=other.user)
    client.force_login(organizer)
    for code in (code_of(other.key), StaticToken.objects.first().token):
        with pytest.raises(DomainError):
            second_factor.check(person=organizer, code=code)
    assert StaticToken.objects.count() == 10


def test_logging_out_needs_no_code(client, organizer, device):
    client.force_login(organizer)
    assert client.post("/admin/logout/").status_code == 200
    assert "_auth_user_id" not in client.session


def test_asking_costs_no_query_of_its_own(client, organizer, django_assert_num_queries):
    client.force_login(organizer)
    client.get("/admin/jsi18n/")
    with django_assert_num_queries(3):  # the session, the person, their roles
        assert client.get("/admin/jsi18n/").status_code == 200


# -- Having it ---------------------------------------------------------------------------------------------


@pytest.fixture
def verified(client, organizer, device):
    client.force_login(organizer)
    client.post(PAGE, {"code": code_of(device.key, steps=-1)})
    return client


def test_new_backup_codes_replace_the_old(verified, organizer, device):
    old = second_factor.renew_backup_codes(person=organizer)
    codes = backup_codes_on(verified.post(PAGE, {"code": old[0], "renew": "1"}))
    assert set(StaticToken.objects.values_list("token", flat=True)) == set(codes)
    assert not set(codes) & set(old)
    assert verified.get("/admin/").status_code == 200


def test_turning_off_needs_a_code(verified, device):
    assert verified.post(PAGE, {"code": wrong_code(device.key), "turn_off": "1"}).status_code == 200
    assert list(TOTPDevice.objects.all()) == [device]
    TOTPDevice.objects.update(throttling_failure_timestamp=None)
    assert verified.post(PAGE, {"code": code_of(device.key), "turn_off": "1"}).status_code == 302
    assert not TOTPDevice.objects.exists() and not StaticDevice.objects.exists()
    assert verified.get("/admin/").status_code == 200


# -- Required of all ------------------------------------------------------------------------------------------


def test_required_sends_to_the_set_up_first(client, organizer, settings):
    settings.REQUIRE_SECOND_FACTOR = True
    sign_in(client)
    assert client.get("/admin/").url == f"{PAGE}?next=%2Fadmin%2F"
    page = client.get(PAGE)
    assert "A second factor is required here" in page.content.decode()
    assert page.context["sidebar_navigation"] == []
    client.post(PAGE, {"code": code_of(client.session[second_factor.KEY])})
    assert client.get("/admin/").status_code == 200


def test_failures_count_for_an_address_in_any_case(client, organizer, settings):
    for number in range(10):
        email = "organizer@example.org" if number % 2 else "ORGANIZER@example.org"
        answer = client.post("/admin/login/", {"username": email, "password": "wrong"})
    assert answer.status_code == 429
    assert "Too many failed attempts" in answer.content.decode()
    assert sign_in(client).status_code == 429
    assert client.get("/admin/").status_code == 302


def test_event_of_another_organisation_stays_hidden_with_the_factor(verified):
    other = EventFactory()
    assert verified.get(reverse("admin:events_event_change", args=[other.pk])).status_code == 404
