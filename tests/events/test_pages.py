"""The event page and the list, and what all attendees' pages share."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages import get_messages
from django.db import connection
from django.http import Http404, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.errors import Busy, NotAllowed, NotFound
from events import pages
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db


def text(answer) -> str:
    return " ".join(answer.content.decode().split())


@pytest.fixture
def person(client):
    person = UserProfileFactory()
    client.force_login(person, backend="events.sign_in.LinkBackend")
    return person


# -- The event ------------------------------------------------------------------------------------


def test_a_stranger_sees_what_is_on(client):
    start = timezone.datetime(2026, 12, 1, 8, tzinfo=timezone.get_default_timezone())
    event = EventFactory(
        title="Harbour <Conf>",
        venue="Warehouse 7",
        capacity=50,
        starts_at=start,
        ends_at=start + timedelta(hours=8),
        description="Ships\n\n<b>ropes</b> https://example.org/",
    )
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(f"/e/{event.slug}/")
    page = text(answer)
    assert len(queries) == 2  # the event, and who gives help there
    assert "Harbour &lt;Conf&gt;" in page and "Warehouse 7" in page and "50 of 50 left" in page
    assert ">Tuesday, 1 December 2026, 09:00</time>" in page and ">17:00</time>" in page
    assert "(Europe/Berlin, CET)" in page
    assert "<p>Ships</p>" in page and "&lt;b&gt;ropes&lt;/b&gt;" in page and 'href="https://example.org/"' in page
    assert "style-src 'self'" in answer["Content-Security-Policy"] and " style=" not in page


@pytest.mark.parametrize(
    ("visibility", "status", "seen"),
    [
        ("public", "published", 200),
        ("public", "cancelled", 200),
        ("public", "completed", 200),
        ("unlisted", "published", 200),
        ("private", "published", 404),
        ("public", "draft", 404),
    ],
)
def test_who_sees_which_event(client, visibility, status, seen):
    event = EventFactory(visibility=visibility, status=status)
    answer = client.get(f"/e/{event.slug}/")
    assert answer.status_code == seen
    if seen == 404:
        assert text(answer).replace(event.slug, "…") == text(client.get("/e/no-such/")).replace("no-such", "…")
        assert f"/sign-in/?next=%2Fe%2F{event.slug}%2F" in text(answer)
    assert ("noindex" in text(answer)) is (visibility == "unlisted")
    client.force_login(UserProfileFactory(), backend="events.sign_in.LinkBackend")
    assert client.get(f"/e/{event.slug}/").status_code == seen
    AttendeeFactory(event=event, user_profile=client.get("/e/").context["user"])
    assert client.get(f"/e/{event.slug}/").status_code == (404 if status == "draft" else 200)
    client.force_login(member(event.organization, "door"), backend="events.sign_in.LinkBackend")
    assert client.get(f"/e/{event.slug}/").status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "cancelled"}, "This event was cancelled."),
        ({"status": "completed"}, "This event is over."),
        ({"starts_at": timezone.now() - timedelta(hours=1)}, "Going on now"),
        ({"starts_at": timezone.now() - timedelta(days=2)}, "Over"),
        ({"capacity": 0}, "Full"),
    ],
)
def test_how_it_stands(client, fields, words):
    assert words in text(client.get(f"/e/{EventFactory(**fields).slug}/"))


def test_the_list_has_ones_own_first_and_no_secrets(client, person):
    EventFactory(title="Open one")
    EventFactory(title="Hidden one", visibility="unlisted")
    EventFactory(title="Old one", starts_at=timezone.now() - timedelta(days=9))
    mine = EventFactory(title="My one", visibility="private")
    AttendeeFactory(event=mine, user_profile=person)
    JoinRequestFactory(event=EventFactory(title="Asked one"), user_profile=person)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get("/e/")
    assert [one.title for one in answer.context["mine"]] == ["My one", "Asked one"]
    assert [one.title for one in answer.context["others"]] == ["Open one"]
    assert len(queries) == 4  # the session, the person, their events, the others
    client.logout()
    assert [one.title for one in client.get("/e/").context["others"]] == ["Open one", "Asked one"]


@pytest.mark.parametrize("language", ["ar", "fa", "de", "fr", "ja"])
def test_pages_are_wholly_in_the_language_that_there_is(client, language):
    phone = {"HTTP_ACCEPT_LANGUAGE": f"{language},en;q=0.5"}
    for path in (f"/e/{EventFactory().slug}/", "/sign-in/", "/admin/login/"):
        answer = client.get(path, **phone)
        page = text(answer)
        assert ' lang="en"' in page and 'dir="rtl"' not in page and answer["Content-Language"] == "en", path
    refused = client.post("/sign-in/", {"email": ""}, **phone)
    assert "This field is required." in text(refused)
    client.force_login(UserProfileFactory(is_superuser=True), backend="events.sign_in.EmailBackend")
    page = text(client.get("/admin/events/event/", **phone))
    assert '<html lang="en" dir="ltr"' in page and "Add event" in page and "Log out" in page


# -- A page that is too old --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "referer", "back"),
    [
        ("/e/conf/join/", "http://testserver/e/conf/join/?code=a%3Ab#x", "/e/conf/join/?code=a%3Ab"),
        ("/e/conf/join/", "http://evil.example/e/conf/", "/e/"),
        ("/e/conf/join/", "http://testserver//evil.example/", "/e/"),
        ("/e/conf/join/", "http://[", "/e/"),
        ("/sign-in/", None, "/e/"),
        ("/admin/login/", "http://testserver/admin/login/?next=/admin/", "/admin/login/?next=/admin/"),
        ("/admin/login/", None, "/"),
    ],
)
def test_a_button_on_a_page_that_is_too_old_leads_back_to_it(path, referer, back):
    EventFactory(slug="conf")
    answer = Client(enforce_csrf_checks=True).post(path, headers={"Referer": referer} if referer else {})
    page = text(answer)
    assert answer.status_code == 403 and "This page was too old." in page
    assert "Open it again, and press the button once more." in page
    assert re.findall('<a href="([^"]*)"', page) == [back]
    assert "'unsafe" not in answer["Content-Security-Policy"] and " style=" not in page and "<script" not in page


# -- What views share --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "ours"),
    [
        ("/e/x/?a=1#b", True),
        ("/e/مؤتمر/", True),
        ("", False),
        ("e/x/", False),
        ("//evil.example/", False),
        ("/\\evil.example/", False),
        ("https://evil.example/", False),
        ("http://testserver/e/", False),
        ("/e/\nSet-Cookie: a=b", False),
        ("/e/\0", False),
        ("/" + "x" * 500, False),
    ],
)
def test_only_our_own_addresses_are_led_to(rf, target, ours):
    request = rf.post("/", {"next": target})
    assert pages.safe_next(request, "/fallback/") == (target if ours else "/fallback/")
    assert pages.see(target)["Location"].isascii() if ours else True


@pytest.fixture
def act(client, person):
    """``act(error)``: what the person gets where an operation raises it."""

    def run(error):
        @pages.refusals_told(lambda request, slug: f"/e/{slug}/")
        def view(request, slug):
            raise error

        request = client.get("/e/").wsgi_request
        return request, view(request, slug="x")

    return run


def test_a_refusal_is_told_on_the_page_before(act):
    request, answer = act(NotAllowed())
    assert (answer.status_code, answer.url) == (303, "/e/x/")
    assert [(one.level_tag, one.message) for one in get_messages(request)] == [
        ("error", "You do not have permission to do this.")
    ]


def test_what_passes_says_to_try_again(act):
    _request, answer = act(Busy())
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert "Try again in a moment." in text(answer)


def test_what_is_not_there_is_missing(act):
    with pytest.raises(Http404):
        act(NotFound())


def test_a_page_of_ones_own_sends_strangers_to_sign_in(rf):
    view = pages.signed_in(lambda request: HttpResponse("mine"))
    request = rf.get("/e/x/my-schedule/?day=2")
    request.user = AnonymousUser()
    assert view(request).url == "/sign-in/?next=%2Fe%2Fx%2Fmy-schedule%2F%3Fday%3D2"
    request.user = UserProfileFactory()
    answer = view(request)
    assert answer.content == b"mine" and "no-store" in answer["Cache-Control"]
