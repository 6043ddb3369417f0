"""The link in a mail: looking changes nothing, one click is enough, and there is a way back."""

import re
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from events.operations import privacy
from messaging.models import EventGuest, MessageDelivery, OptOut
from messaging.operations import guests, opt_outs
from tests import factories

EMAIL = "ada@example.org"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def strict():
    """A client as browsers and mail programs are: cross-site posts have no token."""
    return Client(enforce_csrf_checks=True)


def mail(event=None, address=EMAIL, **fields):
    """A delivery by e-mail; of no event, to a person's account."""
    to = (
        {"message__event": event}
        if event
        else {"message__event": None, "guest": None, "user": factories.UserProfileFactory()}
    )
    return factories.MessageDeliveryFactory(**to | {"channel": "email", "email": address} | fields)


def page_for(event=None, address=EMAIL):
    return page_of(mail(event, address))


def page_of(delivery):
    return urlsplit(opt_outs.unsubscribe_url(delivery_id=delivery.pk, address=delivery.email or EMAIL)).path


def opted_out():
    return set(OptOut.objects.values_list("channel", "address", "event_id", "source"))


def shown(client, page):
    answer = client.get(page)
    assert answer.status_code == 200
    return answer.content.decode()


def choices(html):
    return re.findall(r'name="choice" value="(\w+)"', html)


def test_the_link_is_the_sites_and_short_enough(settings, event):
    settings.SITE_URL = "https://turnout.example"
    url = opt_outs.unsubscribe_url(delivery_id=mail(event).pk, address="a" * 60 + "@example.org")
    assert url.startswith("https://turnout.example/unsubscribe/")
    assert len(url) < 150 and re.fullmatch(r"[\w./:-]+", url)


def test_the_link_says_nothing_of_whom_it_is_for(event):
    one, other = mail(event), mail(event)
    signed, signature = page_of(one).split("/")[2].split(".")
    assert (signed[:32], len(signed), len(signature)) == (one.pk.hex, 48, 43)
    assert page_of(one) == page_of(one) != page_of(other)
    assert page_of(one).split("/")[2][32:48] != page_of(other).split("/")[2][32:48]  # nor that both are hers


def test_the_link_works_whatever_the_case_and_whatever_became_of_the_guest(client, event):
    one = mail(event, "Ada@Example.ORG", guest__email="ada@example.org", status="sent")
    EventGuest.objects.update(email="new@example.org", removed_at=timezone.now())
    client.post(page_of(one), ONE_CLICK)
    assert opted_out() == {("email", EMAIL, event.pk, "unsubscribe")}


def test_the_link_is_for_the_address_that_its_mail_went_to(client, event, organizer):
    guest = factories.EventGuestFactory(event=event, email="old@example.org")
    delivery = mail(event, "old@example.org", guest=guest)
    first = page_of(delivery)
    guests.change(guest_id=guest.pk, changes={"email": "new@example.org"}, actor=organizer)
    MessageDelivery.objects.update(email="new@example.org")  # sent again
    delivery.refresh_from_db()
    second = page_of(delivery)
    assert "old@example.org" in shown(client, first) and "new@example.org" not in shown(client, first)
    assert "new@example.org" in shown(client, second) and "old@example.org" not in shown(client, second)
    client.post(first, ONE_CLICK)
    assert opted_out() == {("email", "old@example.org", event.pk, "unsubscribe")}
    client.post(second, {"choice": "all"})
    assert opted_out() == {
        ("email", "old@example.org", event.pk, "unsubscribe"),
        ("email", "new@example.org", None, "unsubscribe"),
    }


def test_the_link_is_for_the_address_that_a_person_had(client, event):
    person = factories.UserProfileFactory(email="old@example.org")
    delivery = mail(event, "old@example.org", guest=None, user=person)
    page = page_of(delivery)
    person.email = "new@example.org"
    person.save()
    MessageDelivery.objects.update(email="new@example.org")
    client.post(page, ONE_CLICK)
    assert opted_out() == {("email", "old@example.org", event.pk, "unsubscribe")}


def test_the_link_of_an_address_that_nobody_had_is_forgotten(client, event):
    delivery = mail(event)
    page = urlsplit(opt_outs.unsubscribe_url(delivery_id=delivery.pk, address="other@example.org")).path
    assert (client.get(page).status_code, client.post(page, ONE_CLICK).status_code) == (410, 410)
    assert opted_out() == set()


def test_links_of_mails_from_before_work(client, event):
    delivery = mail(event)
    page = f"/unsubscribe/{opt_outs.SIGNER.sign(delivery.pk.hex)}/"
    assert EMAIL in shown(client, page)
    client.post(page, ONE_CLICK)
    assert opted_out() == {("email", EMAIL, event.pk, "unsubscribe")}


def test_links_outlive_a_change_of_the_key(client, event, settings):
    page = page_for(event)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another" * 10
    assert EMAIL in shown(client, page)
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get(page).status_code == 410


@pytest.mark.django_db(transaction=True)
def test_after_the_person_was_erased_nothing_is_known(client, event):
    person = factories.UserProfileFactory(email=EMAIL)
    page = page_of(mail(event, guest=None, user=person))
    client.post(page, ONE_CLICK)
    assert len(opted_out()) == 1
    privacy.erase(person_id=person.pk, actor=person)
    for answer in (client.get(page), client.post(page, ONE_CLICK), client.post(page, {"choice": "again"})):
        assert answer.status_code == 410
        assert "Nothing is known any more about this mail." in answer.content.decode()
        assert EMAIL not in answer.content.decode()
    assert opted_out() == set()


@pytest.mark.parametrize("fields", [{"channel": "sms", "email": None}, {"email": None}])
def test_a_delivery_without_an_address_has_nobody_to_unsubscribe(client, event, fields):
    assert client.get(page_of(mail(event, **fields))).status_code == 410
    assert client.post(page_of(mail(event, **fields)), ONE_CLICK).status_code == 410
    assert opted_out() == set()


@pytest.mark.parametrize("verb", ["get", "head"])
def test_looking_changes_nothing(client, event, verb):
    answer = getattr(client, verb)(page_for(event))
    assert answer.status_code == 200
    assert answer["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert opted_out() == set()


def test_the_page_says_what_it_is_about(client, event):
    html = shown(client, page_for(event))
    assert EMAIL in html and event.title in html and event.organization.name in html
    assert choices(html) == ["event", "all"]
    assert "<script" not in html and "style=" not in html and "csrf" not in html
    assert choices(shown(client, page_for())) == ["all"]


def test_one_click_is_for_the_event(strict, event):
    answer = strict.post(page_for(event), ONE_CLICK)
    assert (answer.status_code, answer.content) == (200, b"Unsubscribed.")
    assert not answer.cookies
    assert opted_out() == {("email", EMAIL, event.pk, "unsubscribe")}
    assert strict.post(page_for(event), ONE_CLICK).status_code == 200
    assert len(opted_out()) == 1


def test_one_click_of_a_mail_without_event_is_for_all(strict):
    body = "List-Unsubscribe=One-Click"
    answer = strict.post(page_for(), body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert opted_out() == {("email", EMAIL, None, "unsubscribe")}


def test_the_form_works_without_a_cookie_and_there_is_a_way_back(strict, event):
    page, other = page_for(event), factories.EventFactory()
    strict.post(page_for(other), ONE_CLICK)
    before = opted_out()
    answer = strict.post(page, {"choice": "event"})
    assert (answer.status_code, answer.url) == (302, page)
    html = shown(strict, page)
    assert "gets no more messages about" in html
    assert choices(html) == ["all", "again"]
    strict.post(page, {"choice": "all"})
    html = shown(strict, page)
    assert "gets no more messages from anybody here" in html
    assert choices(html) == ["again"]
    assert opted_out() == before | {("email", EMAIL, event.pk, "unsubscribe"), ("email", EMAIL, None, "unsubscribe")}
    strict.post(page, {"choice": "again"})
    assert choices(shown(strict, page)) == ["event", "all"]
    assert opted_out() == before


def test_who_wants_everything_again_gets_everything(strict, event):
    strict.post(page_for(event), ONE_CLICK)
    strict.post(page_for(), ONE_CLICK)
    strict.post(page_for(address="bob@example.org"), ONE_CLICK)
    strict.post(page_for(), {"choice": "again"})
    assert opted_out() == {("email", "bob@example.org", None, "unsubscribe")}


@pytest.mark.parametrize("form", [{}, {"choice": ""}, {"choice": "x"}, {"List-Unsubscribe": "Two-Clicks"}])
def test_a_form_without_a_choice_changes_nothing(client, event, form):
    assert client.post(page_for(event), form).status_code == 400
    assert opted_out() == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: "x" + token,
        lambda token: token.split(".")[0],
        lambda token: "a",
        lambda token: "%00",
        lambda token: "%F0%9F%91%8B",
        lambda token: signing.Signer(salt="other", sep=".").sign(token.split(".")[0]),
        lambda token: signing.Signer(salt="messaging.unsubscribe", sep=".").sign("x" * 32),
        lambda token: signing.Signer(salt="messaging.unsubscribe", sep=".").sign("7"),
        lambda token: signing.Signer(key="another", salt="messaging.unsubscribe", sep=".").sign(token.split(".")[0]),
    ],
)
@pytest.mark.parametrize("verb", ["get", "post"])
def test_a_link_that_is_not_ours_is_told_so(client, event, change, verb):
    token = page_for(event).split("/")[2]
    answer = getattr(client, verb)(f"/unsubscribe/{change(token)}/", *([ONE_CLICK] if verb == "post" else []))
    assert answer.status_code == 404
    assert b"This link isn&#x27;t complete." in answer.content or b"This link isn't complete." in answer.content
    assert opted_out() == set()


def test_titles_and_addresses_are_text(client):
    event = factories.EventFactory(title="<b>Camp</b>", organization__name="<i>Us</i>")
    html = shown(client, page_for(event, "<script>@example.org"))
    assert "<b>" not in html and "<i>" not in html and "<script" not in html


def test_the_page_takes_few_queries(client, event, django_assert_num_queries):
    page = page_for(event)
    with django_assert_num_queries(3):
        client.get(page)


def test_it_fits_a_phone(chromium, live_server, transactional_db):
    event = factories.EventFactory(title="A title that is as long as titles get when nobody stops them " * 2)
    context = chromium.new_context(viewport={"width": 320, "height": 700}, base_url=live_server.url)
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(page_for(event, "a" * 60 + "@example.org"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.click("text=No more about this event")
    page.wait_for_selector("text=gets no more messages about")
    page.click("text=I want them again")
    page.wait_for_selector("text=gets messages about")
    assert problems == []
    context.close()
