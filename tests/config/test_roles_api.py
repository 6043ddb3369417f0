"""Who is told what: every call, for every role of the own and of the other organisation, and for whoever is gone."""

import io
import re
import uuid

import pytest
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import reverse

from events.models import Membership, UserProfile
from events.operations import privacy
from events.sign_in import access_token

from .roles import (
    API,
    BODIES,
    CHAT,
    DOOR_PAGE,
    EVENT,
    EVERYBODY,
    GUESTS,
    IN_A,
    IN_SESSION,
    MESSAGES,
    OF_EVENTS,
    OTHERS,
    PIXEL,
    PUBLIC_API,
    ROOM,
    A,
    B,
    Undone,
    allowed,
    assert_shows_only,
    check_deferred,
    given_away,
    signed_in,
    snapshot,
    unhurried,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quiet")]

# -- The API ---------------------------------------------------------------------------------------------


def api_for(who) -> Client:
    return Client(headers={"Authorization": f"Bearer {access_token(who)}"} if who else {})


WAITS = re.compile(r"session-requests/<uuid:request_id>/(accept/|takeover/)?$")


def addressed(world, route) -> str:
    """The route, with what there is of A in it."""
    of_service = {
        "<uuid:request_id>": (world.a.service.waits if WAITS.match(route) else world.a.service.live).pk,
        "<uuid:session_id>": world.a.service.live.session_id,
        "<uuid:mechanic_id>": world.a.service.mechanic.pk,
    }
    ids = {
        "<int:event_id>": world.a.event.pk,
        "<uuid:attendee_id>": world.a.attendees["met"].pk,
        "<uuid:request_id>": world.a.requests["pending"].pk,
        "<uuid:link_id>": world.a.link.pk,
        "<int:check_in_id>": world.a.check_in.pk,
        "<uuid:message_id>": world.a.delivery.pk,
        "<uuid:device_id>": world.a.installation.pk,
        "<uuid:session_id>": world.a.session.pk,
        "<uuid:entry_id>": world.a.entry.pk,
    }
    if route.startswith(("session-requests/", "service-sessions/", "mechanics/", "stream/")):
        ids = of_service
    for name, value in ids.items():
        route = route.replace(name, str(value))
    return route


def call(client, world, route, verb, body=None):
    path = "/api/v1/" + addressed(world, route)
    if route == "service-options/":
        path += f"?event={world.a.event.pk}"
    if route == "intakes/":
        body = {"event": world.a.event.pk, "concern": "Another"}
    if route.endswith("/takeover/"):
        body = {"mechanic": str(world.a.service.mechanic.pk)}
    if "check-ins" in route and body is None:
        scan = {"ticket_code": world.a.attendees["met"].ticket_code}
        body = {"scans": [scan]} if "batch" in route else scan
    body = BODIES.get((route, verb), {}) if body is None else body
    return getattr(client, verb)(path, **({} if verb == "get" else {"data": body, "content_type": "application/json"}))


AT_DOOR = re.compile(r"check-ins/|door/|walk-ins/")
OF_SESSIONS = re.compile(r"sessions/|schedule/|waitlist/")
AGENDA = {"session", "room", "speaker"}


OF_SERVICE = re.compile(r"^(intakes|service-|session-requests|mechanics)")


def api_marks(letter, route) -> set[str] | None:
    """What an answer of the API may tell this person. Organisations with a public event have a public name."""
    if letter in "sorvW":
        return None
    public = {"orgname", "orgslug"} | (AGENDA if letter in "adM" and OF_SESSIONS.search(route) else set())
    if letter in "adM" and route == "service-options/":
        return public | {"skill", "plan"}
    if letter == "k":
        mine = {f"mechanic{what}" for what in ("first", "last", "email", "photo", "phone", "chat")} | {"ownerid"}
        asked = {"skill", "plan", "concern", "first", "last", "ownconcern", "ownfirst", "ownlast", "mechanicname"}
        mine |= {"mechanicname", "skill"} if route == "me/export/" else set()
        return public | mine | (asked | CHAT | {"eventtitle", "eventslug"} if OF_SERVICE.match(route) else set())
    if letter in "dM" and AT_DOOR.search(route):
        return public | DOOR_PAGE | ({"memberdoorfirst", "memberdoorlast"} if letter == "d" else set())
    if letter in "dM":
        return (
            public
            | EVENT
            | {f"memberdoor{what}" for what in ("first", "last", "email", "photo", "phone")}
            | {"ownerid"}
        )
    if letter == "a":
        own = {"ownfirst", "ownlast", "ownemail", "ownphoto", "owngoals", "ownlookingfor", "owncontact", "ownwebsite"}
        own |= {"ownphone"}
        kept = (
            {"ownmatch", "ownticket", "ownerid", "comment", "note", "attendancenote", "ownguestemail", "session"}
            | {"ownconcern", "owndetails", "ownchat", "ownplace", "skill", "plan", "metadata", "mechanicname"}
            if route == "me/export/"
            else {"ownerid"}
        )
        mine = {"comment", "note"} if route.startswith("join-requests/") or route.endswith("join-requests/") else set()
        inbox = {"subject", "body", "ownguest", "note", "mechanicname"}
        mine |= inbox if "messages/" in route or route == "me/export/" else set()
        mine |= {"ownfeed"} if route == "me/calendar/" else set()
        mine |= CHAT | {"skill", "plan", "ownconcern", "mechanicname"} if OF_SERVICE.match(route) else set()
        return public | EVENT | ROOM | own | kept | {"ownmatch"} | mine
    return public


@pytest.mark.parametrize("letter", EVERYBODY)
def test_api(world, letter):
    client = api_for(world.people[letter])
    for route, verbs in API.items():
        for verb, expectations in verbs.items():
            with Undone():
                unhurried(world.people[letter])
                response = call(client, world, route, verb)
                expected = next((status for status, who in expectations.items() if letter in who), 404)
                where = (letter, verb, route)
                assert response.status_code == (401 if letter == "n" else expected), (where, response.content)
                found, marks = given_away(response), api_marks(letter, route)
                assert "ticket" not in found, where
                assert letter in IN_SESSION or not found & CHAT, where
                assert marks is None or found <= marks, (where, found - marks)
                if letter in "avW" and expected == 404 or letter in OTHERS + "Kx":
                    assert found <= {"orgname", "orgslug"}, (where, found)
    if letter == "a":
        rows = call(client, world, "join-requests/", "get").json()["results"]
        assert [row["id"] for row in rows] == [str(world.a.requests["own"].pk)]
        members = call(client, world, "events/<int:event_id>/attendees/", "get").json()["results"]
        seen = {str(world.a.attendees[name].pk) for name in ("own", "met", "nameless", "visitor")}
        assert {row["id"] for row in members} == seen
        for route in ("me/messages/", "events/<int:event_id>/messages/"):
            messages = call(client, world, route, "get").json()["results"]
            assert (messages[0]["id"], messages[0]["body"]) == (str(world.a.delivery.pk), f"{A}body {A}ownguest")
            decisions = {row["kind"] for row in messages[1:]}
            assert decisions <= {"join_decision", "service_request"}
    else:  # whatever they may see elsewhere
        for route in ("me/messages/", "events/<int:event_id>/messages/", "me/export/"):
            assert not given_away(call(client, world, route, "get")) & MESSAGES, route


@pytest.mark.parametrize("whose", "AB")
def test_api_for_devices(world, whose):
    """At the door of their event they are what door staff are; everywhere else they are nobody."""
    client = Client(headers={"Authorization": f"Device {(world.a if whose == 'A' else world.b).gate_token}"})
    for route, verbs in API.items():
        for verb in verbs:
            with Undone():
                response = call(client, world, route, verb)
                where = (verb, route, response.content)
                at_door = AT_DOOR.search(route)
                own = {"events/<int:event_id>/check-ins/<int:check_in_id>/undo/": 409}.get(route, 200)
                if "walk-ins" in route:
                    own = 201
                assert response.status_code == ((own if whose == "A" else 404) if at_door else 401), where
                found = given_away(response)
                assert found <= (DOOR_PAGE - {"orgname", "orgslug"} if at_door and whose == "A" else set()), where
    for point in (world.a.point, world.b.point):
        own = (world.a if whose == "A" else world.b).event
        response = client.get(f"/api/v1/events/{own.pk}/door/", {"point": point.pk})
        assert response.status_code == (200 if point.event == own else 404)


@pytest.mark.parametrize("letter", EVERYBODY)
def test_figures(world, letter):
    client = signed_in(world.people[letter])
    for label, pages in OF_EVENTS.items():
        for kind, roles in pages.items():
            page = reverse(f"admin:{label.replace('.', '_')}_{kind}", args=[world.a.event.pk])
            response = client.get(page)
            expected = 200 if IN_A.get(letter, letter) in roles else 302 if letter in GUESTS else 404
            assert response.status_code == expected, (letter, page)
            assert_shows_only(response, allowed(letter) if letter not in GUESTS else set(), (letter, page))
            assert client.post(page).status_code in (302, 403, 404, 405), (letter, page)


@pytest.mark.parametrize("letter", "ORDVKxdM")
def test_api_lists_answer_no_questions_about_others(world, letter):
    client = api_for(world.people[letter])
    for route, question in (
        ("events/", {"search": A[:-2]}),
        ("events/", {"status": "draft"}),
        ("events/", {"page_size": 200}),
        ("events/", {"updated_since": "2000-01-01T00:00:00Z"}),
        ("join-requests/", {"event": world.a.event.pk}),
        ("join-requests/", {"status": "pending", "page_size": 200}),
        ("join-requests/", {"search": A[:-2], "user_profile__email__startswith": A[:-2]}),
        ("join-requests/", {"updated_since": "2000-01-01T00:00:00Z"}),
        ("session-requests/", {"event": world.a.event.pk}),
        ("session-requests/", {"organization": world.a.organization.pk, "status": "pending,accepted"}),
        ("session-requests/", {"updated_since": "2000-01-01T00:00:00Z", "event": world.a.event.pk}),
        ("mechanics/", {"event": world.a.event.pk}),
        ("mechanics/", {"organization": world.a.organization.pk, "on_duty": "true"}),
    ):
        response = client.get(f"/api/v1/{route}", question)
        assert response.status_code == 200
        allowed_here = {"orgname", "orgslug"} | (EVENT if letter in "dM" and route == "events/" else set())
        assert given_away(response) <= allowed_here, (letter, route, question)
    if letter in OTHERS:
        # What B sees is there, so the lists are not simply empty.
        assert B in client.get("/api/v1/events/").content.decode()


def test_public_calls_are_the_same_for_everybody(world):
    mail = {"auth/sign-up/", "auth/verify-email/resend/", "auth/password-reset/"}
    for route, verbs in PUBLIC_API.items():
        for verb, status in verbs.items():
            for who in (None, world.people["s"], world.people["x"]):
                body = None
                if route in mail:
                    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "long enough 7"}
                with Undone():
                    response = call(api_for(who), world, route, verb, body)
                    assert response.status_code == status, (route, response.content)
                    assert given_away(response) == set()


def test_public_calls_tell_nothing_about_an_address(world):
    known = world.a.people["met"].email
    for route, more in (
        ("auth/sign-up/", {"password": "long enough 7"}),
        ("auth/verify-email/resend/", {}),
        ("auth/password-reset/", {}),
        ("auth/token/", {"password": "wrong"}),
    ):
        told = []
        for email in (known, f"{uuid.uuid4().hex}@example.org"):
            with Undone():
                response = call(api_for(None), world, route, "post", {"email": email, **more})
                told.append((response.status_code, response.content.replace(email.encode(), b"")))
        assert told[0] == told[1], route


def test_an_invitation_works_for_whoever_has_it(world):
    """It is a way in for strangers; a made-up one is 404 (test_api)."""
    for letter in "xOa":
        with Undone():
            response = call(
                api_for(world.people[letter]), world, "invitations/accept/", "post", {"token": world.a.link.token}
            )
            assert response.status_code == (200 if letter == "a" else 201)
            assert set(response.json()) == {"event_id", "attendee_id"}


# -- People who may no longer act ----------------------------------------------------------------------------


def deactivate(who):
    UserProfile.objects.filter(pk=who.pk).update(is_active=False)


def erase(who):
    privacy.erase(person_id=who.pk, actor=who)
    check_deferred()


def out_of_the_admin(client, world):
    for page in (reverse("admin:index"), reverse("admin:requests_joinrequest_changelist")):
        response = client.get(page)
        assert response.status_code == 302 and response.url.startswith(reverse("admin:login"))
    act = reverse("admin:requests_joinrequest_act", args=[world.a.requests["pending"].pk, "approve"])
    assert client.post(act).status_code == 302
    world.a.requests["pending"].refresh_from_db()
    assert world.a.requests["pending"].status == "pending"


@pytest.mark.parametrize("letter", "sorv")
@pytest.mark.parametrize("end", [deactivate, erase])
def test_whoever_is_gone_is_out_of_the_admin_at_once(world, letter, end):
    if end is erase and letter == "o":
        Membership.objects.filter(user_profile=world.people["r"]).update(role="owner")
    client = signed_in(world.people[letter])
    assert client.get(reverse("admin:index")).status_code == 200
    end(world.people[letter])
    out_of_the_admin(client, world)


EMPTY = ("events/", "join-requests/", "session-requests/", "service-sessions/", "mechanics/", "mechanics/me/")
"""Lists that have nothing for whoever may no longer act."""


@pytest.mark.parametrize("letter", "sordvaxMk")
@pytest.mark.parametrize("end", [deactivate, erase])
def test_whoever_is_gone_gets_and_does_nothing_by_a_token_that_is_still_valid(world, letter, end):
    who = world.people[letter]
    if end is erase and letter in "oM":
        other = {"o": "r", "M": "O"}[letter]
        Membership.objects.filter(user_profile=world.people[other]).update(role="owner")
    client = api_for(who)
    photo = {"photo": io.BytesIO(PIXEL)}
    end(who)
    before = snapshot()
    doors = [(route, verb, None) for route, verbs in API.items() for verb in verbs]
    doors += [
        ("invitations/accept/", "post", {"token": world.a.link.token}),
        ("join-requests/<uuid:request_id>/", "patch", {"status": "declined"}),
        ("join-requests/<uuid:request_id>/", "patch", {"status": "cancelled"}),
        ("join-requests/<uuid:request_id>/", "patch", {"comments": "changed"}),
    ]
    for route, verb, body in doors:
        unhurried(who)
        response = call(client, world, route, verb, body)
        where = (verb, route, body, response.content)
        if route in EMPTY and verb == "get":
            assert response.status_code == 200 and response.json()["results"] == [], where
        else:
            assert response.status_code in (401, 404) or (route, verb) == ("me/photo/", "put"), where
        assert given_away(response) == set(), where
    own = world.a.requests["own"].pk if letter == "a" else world.a.requests["pending"].pk
    for verb, body in (("get", None), ("patch", {"status": "cancelled"}), ("patch", {"comments": "changed"})):
        arguments = {} if verb == "get" else {"data": body, "content_type": "application/json"}
        assert getattr(client, verb)(f"/api/v1/join-requests/{own}/", **arguments).status_code == 404
    opened = f"/api/v1/events/{world.a.opened.pk}/join-requests/"
    assert client.post(opened, {}, content_type="application/json").status_code == 404
    form = encode_multipart(BOUNDARY, photo)
    assert client.put("/api/v1/me/photo/", form, content_type=MULTIPART_CONTENT).status_code == 401
    assert snapshot() == before


def test_an_answer_that_was_kept_is_not_given_to_whoever_is_gone(world):
    client = api_for(world.people["r"])
    page = f"/api/v1/events/{world.a.event.pk}/invitation-links/"
    headers = {"Idempotency-Key": "once"}
    first = client.post(page, {"label": "New"}, content_type="application/json", headers=headers)
    assert first.status_code == 201
    deactivate(world.people["r"])
    again = client.post(page, {"label": "New"}, content_type="application/json", headers=headers)
    assert again.status_code in (401, 404) and b"token" not in again.content
