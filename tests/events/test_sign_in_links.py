"""Signing in by a link from the mailbox: once, for 20 minutes, and to attendees' pages only."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.api import limiter
from events.models import AccountLetter, UserProfile
from events.operations import accounts, letters, privacy, sign_in_links
from messaging import tasks
from tests.factories import EventFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db
EMAIL = "ada@example.org"
LINK_BACKEND = "events.sign_in.LinkBackend"


@pytest.fixture(autouse=True)
def _nobody_has_asked_yet():
    limiter().storage.reset()


@pytest.fixture
def person():
    return UserProfileFactory(email=EMAIL, first_name="Ada", last_name="Lovelace")


def link_in(mail) -> str:
    return re.search(r"http\S+?(/sign-in/\S+/)", mail.body)[1]


@pytest.fixture
def letter_link(client, mailoutbox):
    """``letter_link(email, next)``: the address in the letter that somebody has just asked for."""

    def ask(email=EMAIL, next=""):
        asked = client.post("/sign-in/", {"email": email, "next": next})
        assert asked.status_code == 200, asked.content
        tasks.send_letters()
        assert mailoutbox[-1].to == [email.lower()]
        return link_in(mailoutbox[-1])

    return ask


def old(token, **age) -> str:
    """A token as it was signed some time ago."""
    signer = signing.TimestampSigner(salt=sign_in_links.SALT)
    value, _stamp, _signature = token.rsplit(":", 2)
    stamped = f"{value}:{signing.b62_encode(int((timezone.now() - timezone.timedelta(**age)).timestamp()))}"
    return f"{stamped}:{signer.signature(stamped)}"


# -- With an account -----------------------------------------------------------------------------


def test_the_button_signs_in_and_leads_where_one_was_going(client, person, letter_link):
    event = EventFactory()
    link = letter_link("Ada@Example.org", f"/e/{event.slug}/")
    looked = client.get(link)
    assert looked.status_code == 200 and SESSION_KEY not in client.session
    before = client.session.session_key
    answer = client.post(link)
    assert (answer.status_code, answer.url) == (303, f"/e/{event.slug}/")
    assert (client.session[SESSION_KEY], client.session[BACKEND_SESSION_KEY]) == (str(person.pk), LINK_BACKEND)
    assert client.session.session_key != before
    page = client.get(answer.url).content.decode()
    assert "You are signed in as Ada Lovelace." in page and EMAIL in page


def test_a_link_works_once(client, person, letter_link):
    link = letter_link()
    assert client.post(link).status_code == 303
    assert client.post(link).url == "/e/"  # a second click of the same person harms nobody
    stranger = Client()
    for answer in (stranger.get(link), stranger.post(link)):
        assert answer.status_code == 410
        assert "Ask for another link" in answer.content.decode()
    assert SESSION_KEY not in stranger.session


def test_of_two_clicks_at_once_one_signs_in(transactional_db, mailoutbox):
    UserProfileFactory(email=EMAIL)
    sign_in_links.ask(email=EMAIL)
    tasks.send_letters()
    token = link_in(mailoutbox[0]).split("/")[2]
    start = Barrier(4)

    def use(_number):
        start.wait()
        try:
            sign_in_links.use(token=token)
        except sign_in_links.LinkInvalid:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(use, range(4))) == [False, False, False, True]


def test_a_link_is_good_for_twenty_minutes(client, person, letter_link):
    token = letter_link().split("/")[2]
    late = client.post(f"/sign-in/{old(token, minutes=21)}/")
    assert (late.status_code, SESSION_KEY in client.session) == (410, False)
    assert client.post(f"/sign-in/{old(token, minutes=19)}/").status_code == 303


@pytest.mark.parametrize("token", ["nonsense", "MQ:1u:abc", "x" * 300])
def test_a_made_up_link_opens_nothing(client, person, token):
    assert client.get(f"/sign-in/{token}/").status_code == 410
    assert client.post(f"/sign-in/{token}/").status_code == 410


def test_no_code_of_another_kind_is_a_link(client, person, mailoutbox):
    accounts.ask_for_reset(email=EMAIL)
    forged = signing.dumps(AccountLetter.objects.get().pk, salt="events.accounts.reset")
    assert client.post(f"/sign-in/{forged}/").status_code == 410


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "evil"])
def test_nobody_is_led_elsewhere(client, person, letter_link, elsewhere):
    assert client.post(letter_link(next=elsewhere)).url == "/e/"


def test_whoever_signed_up_without_proving_it_does_so_and_a_strangers_password_is_gone(client, letter_link):
    """Somebody may have signed up with another's address: their password must not open it afterwards."""
    accounts.sign_up(email=EMAIL, password="the strangers 77", first_name="Mallory", last_name="")
    assert client.post(letter_link()).status_code == 303
    person = UserProfile.objects.get(email=EMAIL)
    assert (person.email_verified, person.has_usable_password()) == (True, False)
    assert person.history.count() == 2


def test_the_password_of_a_verified_account_stays(client, letter_link):
    person = UserProfileFactory(email=EMAIL)
    person.set_password("correct horse 7")
    person.save(update_fields=["password"])
    client.post(letter_link())
    person.refresh_from_db()
    assert person.check_password("correct horse 7")


# -- Without an account --------------------------------------------------------------------------


def test_a_new_address_gets_an_account_by_its_link(client, letter_link):
    link = letter_link("new@example.org", "/e/somewhere/")
    assert 'name="first_name"' in client.get(link).content.decode()
    nameless = client.post(link, {"first_name": " "})
    assert nameless.status_code == 200 and "This field is required." in nameless.content.decode()
    assert not UserProfile.objects.filter(email="new@example.org").exists()
    answer = client.post(link, {"first_name": "Nora", "last_name": "New"})
    assert (answer.status_code, answer.url) == (303, "/e/somewhere/")
    person = UserProfile.objects.get(email="new@example.org")
    assert (person.first_name, person.last_name, person.email_verified) == ("Nora", "New", True)
    assert not person.has_usable_password() and client.session[SESSION_KEY] == str(person.pk)


def test_an_account_made_meanwhile_is_signed_in_to(client, letter_link):
    first, second = letter_link(), letter_link()
    assert client.post(first, {"first_name": "Ada"}).status_code == 303
    other = Client()
    assert 'name="first_name"' not in other.get(second).content.decode()
    assert other.post(second).status_code == 303
    assert UserProfile.objects.filter(email=EMAIL).count() == 1


# -- What nobody learns --------------------------------------------------------------------------


def test_asking_says_and_costs_the_same_whoever_has_the_address(client, person):
    said = []
    for email in (EMAIL, "eva@example.org"):
        with CaptureQueriesContext(connection) as queries:
            page = client.post("/sign-in/", {"email": email}).content.decode()
        statements = [one["sql"].split(" VALUES ")[0] for one in queries if "SAVEPOINT" not in one["sql"]]
        said.append((page.replace(email, "…"), statements))
    assert said[0] == said[1] and len(said[0][1]) == 1


def test_the_table_holds_no_link(person, letter_link):
    token = letter_link().split("/")[2]
    assert token not in str(AccountLetter.objects.values().get())


def test_the_log_holds_no_link(client, person, letter_link, caplog):
    link = letter_link()
    client.post(link)
    Client().get(link)
    said = " ".join(str(one.msg) for one in caplog.records if "django_structlog" in one.name)
    assert "POST /sign-in/…/" in said and "GET /sign-in/…/" in said and link not in said


def test_whoever_left_gets_no_letter_and_no_way_in(client, person, letter_link, mailoutbox):
    link = letter_link()
    UserProfile.objects.update(is_active=False)
    assert client.get(link).status_code == 410 and client.post(link).status_code == 410
    sign_in_links.ask(email=EMAIL)
    tasks.send_letters()
    assert len(mailoutbox) == 1


def test_erasing_ends_the_session_and_the_links(client, person, letter_link):
    other = letter_link()
    client.post(letter_link())
    assert client.get("/e/").context["user"] == person
    privacy.erase(person_id=person.pk, actor=person)
    assert not client.get("/e/").context["user"].is_authenticated
    assert Client().post(other).status_code == 410


def test_one_mailbox_gets_no_flood(client, mailoutbox):
    for _number in range(12):
        answer = client.post("/sign-in/", {"email": "flooded@example.org"})
        assert answer.status_code == 200 and "Look into your mailbox" in answer.content.decode()
    assert AccountLetter.objects.filter(address="flooded@example.org").count() == 10


def test_one_network_address_asks_for_so_many(client):
    answers = [client.post("/sign-in/", {"email": f"n{number}@example.org"}) for number in range(61)]
    assert [one.status_code for one in answers] == [200] * 60 + [429]
    assert answers[-1]["Retry-After"] == "60" and "n60@example.org" in answers[-1].content.decode()
    assert AccountLetter.objects.count() == 60


def test_letters_with_links_are_forgotten_after_a_day(person):
    sign_in_links.ask(email=EMAIL)
    accounts.ask_for_reset(email=EMAIL)
    AccountLetter.objects.update(created_at=timezone.now() - timezone.timedelta(hours=25))
    letters.forget()
    assert AccountLetter.objects.values_list("kind", flat=True).get() == "reset_password"


# -- No further than attendees' pages -----------------------------------------------------------------


@pytest.mark.parametrize("required", [False, True])
def test_staff_need_their_password_for_the_admin(client, settings, letter_link, required):
    settings.REQUIRE_SECOND_FACTOR = required
    event = EventFactory()
    organizer = member(event.organization, "owner", email=EMAIL, is_superuser=True)
    client.post(letter_link())
    assert client.get("/e/").context["user"] == organizer
    for page in ("/admin/", "/admin/password_change/", "/admin/second-factor/", "/admin/events/event/"):
        answer = client.get(page)
        assert (answer.status_code, answer.url) == (302, f"/admin/login/?next={page}")
    assert client.get("/admin/login/").status_code == 200
    assert client.get(f"/api/v1/events/{event.pk}/door/").status_code == 401

    organizer.set_password("correct horse 7")
    organizer.save(update_fields=["password"])
    signed_in = Client()
    signed_in.post("/admin/login/", {"username": EMAIL, "password": "correct horse 7"})
    assert signed_in.get("/admin/").status_code == (302 if required else 200)


def test_whoever_is_signed_in_by_password_stays_so(client, letter_link):
    organizer = member(EventFactory().organization, "organizer", email=EMAIL)
    link = letter_link()
    client.force_login(organizer, backend="events.sign_in.EmailBackend")
    assert client.post(link).status_code == 303
    assert client.get("/admin/").status_code == 200


def test_a_link_of_another_person_changes_who_is_signed_in(client, person, letter_link):
    link = letter_link()
    client.force_login(UserProfileFactory(), backend="events.sign_in.EmailBackend")
    client.session["kept"] = "no"
    client.post(link)
    assert client.get("/e/").context["user"] == person and "kept" not in client.session


def test_signing_out_is_a_post(client, person, letter_link):
    client.post(letter_link())
    assert client.get("/sign-out/").status_code == 405
    answer = client.post("/sign-out/", {"next": "/e/x/"})
    assert (answer.status_code, answer.url) == (303, "/e/x/")
    assert SESSION_KEY not in client.session
