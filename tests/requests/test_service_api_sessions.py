"""Service sessions for the phone app: what is said in them, and that nobody else reads it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config.api import within
from events.models import UserProfile
from requests.api.pace import Talking
from requests.models import ServiceSession, ServiceSettings, SessionMessage, SessionRequest
from requests.operations import intakes, mechanics, taking, talking
from tests.factories import MechanicFactory, UserProfileFactory, member, service_request

pytestmark = pytest.mark.django_db
SESSIONS = "/api/v1/service-sessions/"


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization, display_name="Mia")


@pytest.fixture
def customer():
    return UserProfileFactory(first_name="Carl", last_name="Cox")


@pytest.fixture
def live(event, mechanic, customer):
    return service_request(event, customer=customer, mechanic=mechanic, session_type="video")


def refused(answer):
    [error] = answer.json()["errors"]
    return answer.status_code, error["code"], error.get("details") or error["attr"]


def page_of(request):
    return f"{SESSIONS}{request.session_id}/"


def text(moment):
    return moment.isoformat().replace("+00:00", "Z")


def calls(api, request):
    """The answers of every call about a session."""
    page = page_of(request)
    return [
        api.get(page),
        api.patch(page, {"place": "https://meet.example.org/x"}),
        api.get(f"{page}messages/"),
        api.post(f"{page}messages/", {"body": "x"}),
        api.post(f"{page}keep/"),
    ]


def test_a_session_as_each_of_its_two_sees_it(event, live, mechanic, customer, as_person):
    ServiceSettings.objects.create(organization=event.organization, idle_after=timedelta(minutes=7))
    session = ServiceSession.objects.get()
    expected = {
        "id": str(session.pk),
        "status": "live",
        "type": "video",
        "place": "",
        "plan": "",
        "role": "customer",
        "event_id": event.pk,
        "organization_id": event.organization_id,
        "customer": {"id": str(customer.pk), "name": "Carl Cox"},
        "mechanic": {"id": str(mechanic.pk), "display_name": "Mia"},
        "request_id": str(live.pk),
        "session_url": f"http://127.0.0.1:8000/help/{session.pk}/",
        "concern": "The chain keeps jumping off.",
        "created_at": text(session.created_at),
        "started_at": text(session.started_at),
        "ended_at": None,
        "idle_at": None,
        "place_in_line": None,
        "updated_at": text(session.updated_at),
    }
    assert as_person(customer).get(page_of(live)).json() == expected
    of_mechanic = {"role": "mechanic", "idle_at": text(session.last_activity_at + timedelta(minutes=7))}
    assert as_person(mechanic.user_profile).get(page_of(live)).json() == expected | of_mechanic


def test_one_learns_ones_place_in_line(event, mechanic, customer, as_person):
    service_request(event)
    second = service_request(event, customer=customer)
    api = as_person(customer)
    assert api.get(page_of(second)).json()["place_in_line"] == 2
    SessionRequest.objects.filter(pk=second.pk).update(status="unattended")
    assert api.get(page_of(second)).json()["place_in_line"] == 1
    taking.accept(request_id=second.pk, person=mechanic.user_profile)
    assert api.get(page_of(second)).json()["place_in_line"] is None
    taking.release(request_id=second.pk, actor=mechanic.user_profile)
    back = api.get(page_of(second)).json()
    assert (back["status"], back["mechanic"], back["place_in_line"], back["idle_at"]) == ("pending", None, 2, None)


def test_nobody_else_reads_a_session(event, live, mechanic, customer, as_person):
    talking.say(session_id=live.session_id, person=customer, body="Only between us")
    gave_back = MechanicFactory(organization=event.organization)
    other = service_request(event, mechanic=gave_back)
    taking.release(request_id=other.pk, actor=gave_back.user_profile)
    outsiders = [
        *(member(event.organization, role) for role in ("owner", "organizer", "door", "viewer")),
        UserProfileFactory(is_superuser=True),
        UserProfileFactory(),
        MechanicFactory().user_profile,
        gave_back.user_profile,
        other.customer,
    ]
    for person in outsiders:
        api = as_person(person)
        for answer in calls(api, live):
            assert refused(answer) == (404, "not_found", None), person
        ids = [row["id"] for row in api.get(SESSIONS).json()["results"]]
        assert ids == ([str(other.session_id)] if person == other.customer else []), person
    for answer in calls(as_person(gave_back.user_profile), other):
        assert answer.status_code == 404
    assert SessionMessage.objects.count() == 1
    for person in (customer, mechanic.user_profile):
        assert [row["id"] for row in as_person(person).get(SESSIONS).json()["results"]] == [str(live.session_id)]
        UserProfile.objects.filter(pk=person.pk).update(is_active=False)
        assert {answer.status_code for answer in calls(as_person(person), live)} == {404}
        assert as_person(person).get(SESSIONS).json()["results"] == []


def test_who_takes_over_reads_and_who_had_it_does_not(event, live, mechanic, organizer, as_person):
    other = MechanicFactory(organization=event.organization, display_name="Otto")
    said = talking.say(session_id=live.session_id, person=mechanic.user_profile, body="Hello")
    taking.takeover(request_id=live.pk, mechanic_id=other.pk, actor=organizer)
    assert {answer.status_code for answer in calls(as_person(mechanic.user_profile), live)} == {404}
    [message] = as_person(other.user_profile).get(f"{page_of(live)}messages/").json()["results"]
    author = {"id": str(mechanic.user_profile_id), "name": "Mia"}
    assert (message["id"], message["author"], message["author_role"]) == (said.pk, author, "mechanic")


def test_nobody_reads_the_address_of_a_mechanic_without_a_name(event, organizer, customer, as_person):
    """Somebody who was made one by e-mail and hasn't told their name yet."""
    nameless = mechanics.add(organization_id=event.organization_id, email="x@example.net", actor=organizer)
    mechanics.set_duty(mechanic_id=nameless.pk, on=True, actor=organizer)
    request = service_request(event, customer=customer, mechanic=nameless)
    talking.say(session_id=request.session_id, person=nameless.user_profile, body="Hello")
    api, other = as_person(customer), MechanicFactory(organization=event.organization)
    late = as_person(other.user_profile).post(f"/api/v1/session-requests/{request.pk}/accept/")
    assert refused(late) == (409, "already_accepted", {"accepted_by": "Mechanic"})
    assert api.get(page_of(request)).json()["mechanic"]["display_name"] == "Mechanic"
    assert api.get(f"{page_of(request)}messages/").json()["results"][0]["author"]["name"] == "Mechanic"
    for path in ("session-requests/", "service-sessions/", "me/messages/", f"session-requests/{request.pk}/"):
        assert b"x@example.net" not in api.get(f"/api/v1/{path}").content, path
    UserProfile.objects.filter(pk=nameless.user_profile_id).update(first_name="Nell")
    assert api.get(page_of(request)).json()["mechanic"]["display_name"] == "Nell"
    assert api.get(f"/api/v1/session-requests/{request.pk}/").json()["mechanic"]["display_name"] == "Nell"


def test_a_chat(live, mechanic, customer, as_person):
    path, mine, works = f"{page_of(live)}messages/", as_person(customer), as_person(mechanic.user_profile)
    asked = mine.post(path, {"body": "  Hello? "})
    assert asked.status_code == 201
    told = works.post(path, {"body": "I am here ☂"})
    first, second = SessionMessage.objects.all()
    expected = [
        {
            "id": first.pk,
            "author": {"id": str(customer.pk), "name": "Carl Cox"},
            "author_role": "customer",
            "body": "Hello?",
            "created_at": text(first.created_at),
            "mine": True,
        },
        {
            "id": second.pk,
            "author": {"id": str(mechanic.user_profile_id), "name": "Mia"},
            "author_role": "mechanic",
            "body": "I am here ☂",
            "created_at": text(second.created_at),
            "mine": False,
        },
    ]
    assert mine.get(path).json()["results"] == expected
    assert (asked.json(), told.json()) == (expected[0], expected[1] | {"mine": True})
    assert mine.get(path, {"after": first.pk}).json()["results"] == expected[1:]
    assert mine.get(path, {"after": second.pk}).json()["results"] == []
    unchanged = mine.get(path, headers={"If-None-Match": mine.get(path)["ETag"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize("count", [1, 3])
def test_a_chat_takes_the_same_queries_for_any_number(
    live, mechanic, customer, as_person, count, django_assert_num_queries
):
    for number in range(count):
        for person in (customer, mechanic.user_profile):
            talking.say(session_id=live.session_id, person=person, body=str(number))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    api = as_person(customer)
    with django_assert_num_queries(2):
        rows = api.get(f"{page_of(live)}messages/").json()["results"]
    assert len(rows) == 2 * count
    with django_assert_num_queries(1):
        api.get(page_of(live))


def test_a_long_chat_comes_in_pages(live, customer, as_person):
    ids = [talking.say(session_id=live.session_id, person=customer, body="x").pk for _message in range(7)]
    api, found = as_person(customer), []
    address = f"{page_of(live)}messages/?page_size=3&after={ids[0]}"
    while address:
        page = api.get(address).json()
        found.append([row["id"] for row in page["results"]])
        address = page["next"]
    assert found == [ids[1:4], ids[4:7]]


def test_what_cannot_be_said(live, customer, as_person):
    api, path = as_person(customer), f"{page_of(live)}messages/"
    for body, code in (
        ({}, "required"),
        ({"body": None}, "null"),
        ({"body": ""}, "blank"),
        ({"body": " \n "}, "blank"),
        ({"body": "x" * 4001}, "max_length"),
        ({"body": ["x"]}, "invalid"),
        ({"body": {"x": 1}}, "invalid"),
        ({"body": True}, "invalid"),
    ):
        assert refused(api.post(path, body)) == (400, code, "body"), body
    null = api.generic("POST", path, b'{"body": "a\\u0000b"}', content_type="application/json")
    assert refused(null) == (400, "parse_error", None)
    assert api.post(path, {"body": "ß" * 4000}).status_code == 201
    for query in ("after=x", "after=-1", f"after={2**63}", "after=1.5"):
        answer = api.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "after"), query
    assert refused(api.get(f"{path}?cursor=cD14")) == (404, "not_found", None)
    taking.cancel(request_id=live.pk, actor=customer)
    assert refused(api.post(path, {"body": "x"})) == (409, "session_over", {"status": "cancelled"})
    assert len(api.get(path).json()["results"]) == 1
    over = api.get(page_of(live)).json()
    assert (over["status"], over["ended_at"] is not None) == ("cancelled", True)


def test_what_is_sent_again_is_said_once(live, customer, as_person):
    api, path, key = as_person(customer), f"{page_of(live)}messages/", {"Idempotency-Key": "one"}
    first, again = (api.post(path, {"body": "x"}, headers=key) for _time in range(2))
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert refused(api.post(path, {"body": "y"}, headers=key)) == (422, "idempotency_key_reused", None)
    assert SessionMessage.objects.count() == 1


def test_messages_are_counted_but_reading_is_not(live, customer, mechanic, as_person):
    api, path = as_person(customer), f"{page_of(live)}messages/"
    assert all(within(Talking.rate, Talking.scope, str(customer.pk)) for _message in range(59))
    assert [api.post(path, {"body": "x"}).status_code for _message in range(2)] == [201, 429]
    assert api.get(path).status_code == 200
    assert as_person(mechanic.user_profile).post(path, {"body": "x"}).status_code == 201


def test_the_mechanic_says_where(event, live, mechanic, customer, as_person):
    works, mine = as_person(mechanic.user_profile), as_person(customer)
    link = "https://meet.example.org/carl"
    answer = works.patch(page_of(live), {"place": link})
    assert (answer.status_code, answer.json()["place"]) == (200, link)
    assert mine.get(page_of(live)).json()["place"] == link
    assert refused(mine.patch(page_of(live), {"place": link}))[:2] == (403, "permission_denied")
    for body, expected in (
        ({}, (400, "required", "place")),
        ({"place": None}, (400, "null", "place")),
        ({"place": [link]}, (400, "invalid", "place")),
        ({"place": "x" * 501}, (400, "max_length", "place")),
        ({"place": "http://meet.example.org/"}, (400, "link_needed", None)),
        ({"place": "javascript:alert(1)"}, (400, "link_needed", None)),
        ({"place": "https://me:secret@meet.example.org/"}, (400, "link_needed", None)),
        ({"place": "https://["}, (400, "link_needed", None)),
        ({"place": "gate 3"}, (400, "link_needed", None)),
    ):
        assert refused(works.patch(page_of(live), body)) == expected, body
    assert works.patch(page_of(live), {"place": ""}).json()["place"] == ""
    chat = service_request(event, mechanic=mechanic)
    assert refused(works.patch(page_of(chat), {"place": link})) == (400, "no_place", None)
    here = service_request(event, mechanic=mechanic, session_type="in_person")
    assert works.patch(page_of(here), {"place": "Gate 3"}).json()["place"] == "Gate 3"


def test_the_mechanic_is_still_on_it(live, mechanic, customer, as_person):
    works = as_person(mechanic.user_profile)
    long_ago = timezone.now() - timedelta(minutes=14)
    ServiceSession.objects.update(last_activity_at=long_ago)
    before = works.get(page_of(live)).json()["idle_at"]
    assert before == text(long_ago + timedelta(minutes=15))
    after = works.post(f"{page_of(live)}keep/")
    assert (after.status_code, after.json()["idle_at"] > before) == (200, True)
    assert refused(as_person(customer).post(f"{page_of(live)}keep/"))[:2] == (403, "permission_denied")
    taking.complete(request_id=live.pk, actor=mechanic.user_profile)
    assert refused(works.post(f"{page_of(live)}keep/")) == (409, "session_over", {"status": "done"})
    assert works.get(page_of(live)).json()["idle_at"] is None


def test_the_sessions_of_both_kinds_newest_first(event, mechanic, as_person):
    person = mechanic.user_profile
    taken = [service_request(event, mechanic=mechanic) for _session in range(2)]
    own = service_request(event, customer=person)
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=person)
    assert intakes.place_in_line(own) == 3
    answer = as_person(person).get(SESSIONS).json()["results"]
    assert [(row["id"], row["role"], row["place_in_line"]) for row in answer] == [(str(own.session_id), "customer", 3)]
    mechanics.set_duty(mechanic_id=mechanic.pk, on=True, actor=person)
    for request in taken:
        taking.accept(request_id=request.pk, person=person)
    answer = as_person(person).get(SESSIONS).json()["results"]
    assert [(row["id"], row["role"]) for row in answer] == [
        (str(own.session_id), "customer"),
        (str(taken[1].session_id), "mechanic"),
        (str(taken[0].session_id), "mechanic"),
    ]
