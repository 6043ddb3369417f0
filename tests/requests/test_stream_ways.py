"""How one gets to the live stream: by a ticket, or sent on by the site; and what one look of it costs."""

import json
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.api import limiter
from config.privacy import without_codes
from events.models import UserProfile
from requests.api.stream import newest
from requests.models import StreamTicket
from requests.operations import taking, talking, tickets
from requests.stream import reading
from requests.stream.reading import Following, Joining, Wanted
from tests.factories import MechanicFactory, UserProfileFactory, member, service_request

pytestmark = pytest.mark.django_db

BY_PASSWORD, BY_LINK = "events.sign_in.EmailBackend", "events.sign_in.LinkBackend"


@pytest.fixture(autouse=True)
def _limits_are_fresh():
    limiter().storage.reset()


@pytest.fixture
def ask(settings):
    """``ask(person, backend)``: what the page of somebody who is signed in gets for a ticket."""
    settings.STREAM_URL = "https://live.example/api/v1/stream"

    def post(person=None, backend=BY_PASSWORD, client=None):
        client = client or Client()
        if person is not None:
            client.force_login(person, backend=backend)
        answer = client.post(reverse("live_ticket"))
        return answer.status_code, answer.json()

    return post


def code(answer):
    return answer[0], answer[1]["errors"][0]["code"]


# -- Tickets -------------------------------------------------------------------------------------------------


def test_a_page_gets_a_ticket_however_its_person_signed_in(ask, event):
    mechanic = MechanicFactory(organization=event.organization).user_profile
    organizer = member(event.organization, "organizer")
    for person, backend in ((UserProfileFactory(), BY_LINK), (mechanic, BY_LINK), (organizer, BY_PASSWORD)):
        status, given = ask(person, backend)
        assert (status, given["url"], given["last"]) == (201, "https://live.example/api/v1/stream", 0)
        assert tickets.redeem(ticket=given["ticket"]) == person.pk


def test_strangers_get_none_nor_do_pages_of_other_sites(ask):
    assert code(ask()) == (401, "not_authenticated")
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(UserProfileFactory(), backend=BY_LINK)
    assert careful.post(reverse("live_ticket")).status_code == 403
    assert careful.get(reverse("live_ticket")).status_code == 405
    assert not StreamTicket.objects.exists()


def test_organisers_show_their_password_and_code_first(ask, event, settings):
    """The stream shows them what the admin does."""
    organizer, superuser = member(event.organization, "viewer"), UserProfileFactory(is_superuser=True)
    for person in (organizer, superuser):
        assert code(ask(person, BY_LINK)) == (403, "permission_denied")
    settings.REQUIRE_SECOND_FACTOR = True
    assert code(ask(organizer, BY_PASSWORD)) == (403, "permission_denied")
    assert ask(UserProfileFactory(), BY_LINK)[0] == 201
    assert StreamTicket.objects.count() == 1


def test_who_was_deactivated_gets_none(ask, as_person):
    person = UserProfileFactory()
    client = Client()
    client.force_login(person, backend=BY_LINK)
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    assert code(ask(client=client)) == (401, "not_authenticated")
    assert as_person(person).post("/api/v1/stream/ticket/").status_code == 404
    assert not StreamTicket.objects.exists()


def test_a_page_that_asks_without_end_is_told_to_wait(ask):
    person = UserProfileFactory()
    assert [ask(person)[0] for _ in range(120)] == [201] * 120
    assert code(ask(person)) == (429, "throttled")
    assert ask(UserProfileFactory())[0] == 201


def test_programs_get_tickets_too(as_person, client):
    person = UserProfileFactory()
    answer = as_person(person).post("/api/v1/stream/ticket/")
    assert (answer.status_code, set(answer.data)) == (201, {"ticket", "url", "last"})
    assert tickets.redeem(ticket=answer.data["ticket"]) == person.pk
    assert client.post("/api/v1/stream/ticket/").status_code == 401


def test_no_log_has_a_ticket():
    entry = {"request": "GET /api/v1/stream/session-requests/?last_event_id=1&ticket=se-cr_et", "event": "?ticket=x y"}
    assert without_codes(None, None, entry) == {
        "request": "GET /api/v1/stream/session-requests/?last_event_id=1&ticket=…",
        "event": "?ticket=… y",
    }


# -- Sent on -------------------------------------------------------------------------------------------------


def test_who_calls_the_site_is_sent_on_with_a_ticket(as_person, settings):
    settings.STREAM_URL = "https://live.example/api/v1/stream"
    person, session_id = UserProfileFactory(), uuid.uuid4()
    for path in ("session-requests", f"service-sessions/{session_id}"):
        answer = as_person(person).get(f"/api/v1/stream/{path}/", headers={"Last-Event-ID": "17"})
        assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
        address = urlsplit(answer.headers["Location"])
        assert address._replace(query="").geturl() == f"https://live.example/api/v1/stream/{path}/"
        query = parse_qs(address.query)
        assert query["last_event_id"] == ["17"]
        assert tickets.redeem(ticket=query["ticket"][0]) == person.pk


def test_nobody_is_sent_round_in_circles(as_person, client):
    """Where the proxy doesn't know the stream, its address leads back to the site."""
    person = UserProfileFactory()
    answer = as_person(person).get("/api/v1/stream/session-requests/?ticket=1")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "stream_elsewhere")
    assert client.get("/api/v1/stream/session-requests/").status_code == 401
    assert not StreamTicket.objects.exists()


@pytest.mark.parametrize("page", ["/e/", "/admin/login/", "/door/1/"])
def test_pages_may_connect_to_the_stream(client, settings, page):
    address = urlsplit(settings.STREAM_URL)
    [allowed] = [
        one for one in client.get(page).headers["Content-Security-Policy"].split("; ") if one.startswith("connect-src ")
    ]
    assert allowed == f"connect-src 'self' {address.scheme}://{address.netloc}"


# -- One look --------------------------------------------------------------------------------------------------


def signals_are_given():
    """As at a commit."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def cost(wanted) -> int:
    with CaptureQueriesContext(connection) as queries:
        reading.look(wanted)
    return len(queries)


@pytest.mark.parametrize("number", [1, 30])
def test_a_look_costs_the_same_for_one_and_for_many(event, number):
    helping = MechanicFactory.create_batch(number, organization=event.organization)
    people = {one.user_profile_id for one in helping}
    last = newest()
    signals_are_given()
    nothing = Wanted(last=newest(), watching=people)
    for _ in range(number):
        service_request(event)
    signals_are_given()
    assert cost(Wanted(last=newest(), watching=people)) == 1
    assert cost(nothing) == 4  # signals, their requests, who sees them, who works there
    assert cost(Wanted(last=last, watching=people)) == 3  # who went on duty: all that they see, and nothing else
    joining = Wanted(
        last=newest(),
        joining=[Joining(one, since) for one in people for since in (None, nothing.last)],
        standings=dict.fromkeys(people),
    )
    assert cost(joining) == 8
    found = reading.look(joining)
    assert {len(listing.ids) for listing in found.joined.values()} == {number}


def test_a_look_finds_what_has_changed_in_the_order_in_which_it_did(event):
    mechanic = MechanicFactory(organization=event.organization)
    signals_are_given()
    last = newest()
    first, second = service_request(event), service_request(event)
    signals_are_given()
    taking.accept(request_id=first.pk, person=mechanic.user_profile)
    signals_are_given()
    found = reading.look(Wanted(last=last, watching={mechanic.user_profile_id, first.customer_id}))
    assert [change.card.id for change in found.changes] == [second.pk, first.pk]
    assert [change.viewers for change in found.changes] == [
        {mechanic.user_profile_id},
        {mechanic.user_profile_id, first.customer_id},
    ]
    assert found.last == found.changes[-1].number == newest()
    last = newest()
    talking.say(session_id=first.session_id, person=first.customer, body="Hello?")
    signals_are_given()
    organizer = member(event.organization, "organizer")
    found = reading.look(Wanted(last=last, watching={mechanic.user_profile_id, first.customer_id, organizer.pk}))
    [word] = found.changes
    assert (word.card.id, word.is_word) == (first.pk, True)
    assert word.viewers == {mechanic.user_profile_id, first.customer_id}  # no organiser's screen asks for it
    entering = {Following(first.session_id, person, 0) for person in (mechanic.user_profile_id, second.customer_id)}
    found = reading.look(Wanted(last=found.last, entering=entering))
    told = {
        one.person_id: told and json.loads(told.body.split(b"data: ")[1].partition(b"\n")[0])["role"]
        for one, told in found.told.items()
    }
    assert told == {mechanic.user_profile_id: "mechanic", second.customer_id: None}
