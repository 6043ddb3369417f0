"""The OpenAPI document, held to what a real server answers."""

import importlib
import io
import json
import os
import subprocess
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from PIL import Image

from attendance.models import Attendee, DoorDevice
from attendance.operations import devices
from config import openapi
from events.sign_in import access_token
from messaging.models import PushDevice
from tests.attendance.at_the_door import device, point, scan
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    InvitationLinkFactory,
    JoinRequestFactory,
    MechanicFactory,
    MessageDeliveryFactory,
    MessageFactory,
    SessionFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
    member,
    service_request,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    call_command("spectacular", format="openapi-json", file=str(path), validate=True, fail_on_warn=True)
    return path


# -- The document -------------------------------------------------------------------------------


def test_document_is_valid_and_made_without_a_warning(document):
    operations = [
        operation for path in json.loads(document.read_text())["paths"].values() for operation in path.values()
    ]
    assert [one["operationId"] for one in operations if not one.get("summary") or len(one["tags"]) != 1] == []


def test_document_has_one_shape_for_every_refusal(document):
    shape = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    others = [
        (name, method, status)
        for name, path in json.loads(document.read_text())["paths"].items()
        for method, operation in path.items()
        for status, answer in operation["responses"].items()
        if status >= "4" and answer["content"] != shape
    ]
    assert others == []


def test_document_names_every_code_that_has_a_place_in_the_api(document):
    """A code that a call lists is on the page of all codes, with that status."""
    listed = {
        (code, int(status))
        for path in json.loads(document.read_text())["paths"].values()
        for operation in path.values()
        for status, answer in operation["responses"].items()
        for code in answer.get("x-codes", ())
    }
    assert listed - {(code, status) for code, status, _sentence in openapi.error_codes()} == set()


def test_document_has_three_ways_to_stand_at_a_door(document):
    """A device, a person's token, the admin's session; elsewhere the token alone."""
    paths = json.loads(document.read_text())["paths"]
    for name, path in paths.items():
        for method, operation in path.items():
            ways = {one for way in operation.get("security", ()) for one in way}
            at_door = "door" in operation["tags"] and name != "/api/v1/door/devices/"
            assert ("device" in ways, "session" in ways) == (at_door, at_door), (method, name)
            codes = operation["responses"].get("401", {}).get("x-codes", ())
            assert ("device_revoked" in codes) is at_door, (method, name)


def test_document_is_served(client):
    answer = client.get("/api/v1/schema/")
    assert answer.status_code == 200
    assert b"events_join_requests_create" in answer.content


def test_error_page_is_up_to_date():
    """To write it anew: manage.py shell -c "from config.openapi import *; write_error_page()"."""
    assert openapi.ERROR_PAGE.read_text() == openapi.error_page()


# -- Strange requests ----------------------------------------------------------------------------

HOOKS = '''
import json
import os

import schemathesis

REAL = json.loads(os.environ["REAL"])
DOCUMENT = json.load(open(os.environ["DOCUMENT"]))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Half of the ids are real ones: nobody guesses a UUID."""
    for name, values in REAL.items():
        given = (path_parameters or {}).get(name)
        if given is not None and (mark := sum(str(given).encode(errors="replace"))) % 2:
            path_parameters[name] = values[mark // 2 % len(values)]
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    """Half of the tickets, people and points are real ones as well."""
    scans = body.get("scans") if isinstance(body, dict) else None
    for one in [body, *(scans if isinstance(scans, list) else ())]:
        for name in ("ticket_code", "attendee_id", "point") if isinstance(one, dict) else ():
            if name in one and name in REAL and (mark := sum(str(one[name]).encode(errors="replace"))) % 2:
                one[name] = REAL[name][mark // 2 % len(REAL[name])]
    return body


@schemathesis.check
def code_is_documented(context, response, case):
    """Codes of fields are many; those of refusals are listed for each call."""
    answers = DOCUMENT["paths"][case.operation.path].get(case.method.lower(), {}).get("responses", {})
    answer = answers.get(str(response.status_code), {})
    if "x-codes" not in answer or response.headers["content-type"] != ["application/json"]:
        return  # other checks have something to say about that
    refusal = json.loads(response.content)
    if refusal["type"] != "validation_error":
        for error in refusal["errors"]:
            assert error["code"] in answer["x-codes"], error["code"]
'''
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "code_is_documented",
]
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "12")


def fuzz(folder, document, address, name, authorization, real, phases) -> subprocess.Popen:
    """schemathesis as a program of its own: our app `requests` shadows the library that it needs."""
    place = folder / name
    place.mkdir()
    (place / "hooks.py").write_text(HOOKS)
    command = [Path(sys.executable).with_name("schemathesis"), "run", document, "--url", address]
    command += ["--checks", ",".join(CHECKS), "--seed", SEED, "--max-examples", EXAMPLES, "--no-color"]
    command += ["--phases", phases, "--continue-on-failure", "--generation-database", "none"]
    command += ["--suppress-health-check", "all", "--request-timeout", "30", "--warnings", "off"]
    if authorization and authorization.startswith("Device"):
        command += ["--include-tag", "door"]
    if authorization:
        # Whoever erases themselves is nobody for the rest of the run.
        command += ["--header", f"Authorization: {authorization}", "--exclude-operation-id", "me_destroy"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"SCHEMATHESIS_HOOKS": "hooks", "REAL": json.dumps(real), "DOCUMENT": str(document)}
    with open(place / "report.txt", "wb") as report:
        return subprocess.Popen(command, cwd=place, env=environment, stdout=report, stderr=report)


def sent_to(person, event) -> str:
    message = MessageFactory(event=event)
    sent = MessageDeliveryFactory(message=message, guest=None, user=person, next_attempt_at=timezone.now())
    return str(sent.pk)


def installation(person):
    return PushDevice.objects.create(user=person, token=uuid4().hex, platform="ios")


def test_strange_requests_get_only_documented_answers(serve, document, tmp_path):
    """As an attendee, an organiser, a stranger and a device. Without Redis, so that no rate limit hides an answer."""
    event, other = EventFactory(), EventFactory()
    attendee = AttendeeFactory(event=event).user_profile
    organizer = member(event.organization, "organizer")
    AttendeeFactory(event=event, user_profile=organizer)
    tickets = [*AttendeeFactory.create_batch(3, event=event), AttendeeFactory(event=other)]
    points = [point(event, "Talk", kind="session"), point(event, "Closed", closes_at=timezone.now())]
    gate = device(event, points=points, may_add_walk_ins=True)
    checked_in = [scan(gate, AttendeeFactory(event=event)).json()["check_in_id"] for _n in range(2)]
    sessions = [SessionFactory(event=event, capacity=1 + n) for n in range(2)] + [SessionFactory(event=other)]
    entries = [
        WaitlistEntryFactory(session=sessions[0], attendee=Attendee.objects.get(event=event, user_profile=one))
        for one in (attendee, organizer)
    ]
    mechanic = MechanicFactory(organization=event.organization, user_profile=organizer)
    asked = [service_request(event, customer=attendee, mechanic=mechanic), service_request(event)]
    real = {
        "event_id": [event.pk, other.pk],
        "attendee_id": [str(AttendeeFactory(event=event).pk)],
        "ticket_code": [one.ticket_code for one in tickets],
        "point": [one.pk for one in points],
        "check_in_id": checked_in,
        "request_id": [
            str(JoinRequestFactory(event=other, user_profile=attendee).pk),
            str(JoinRequestFactory(event=event).pk),
            *(str(one.pk) for one in asked),
        ],
        "mechanic_id": [str(mechanic.pk)],
        "link_id": [str(InvitationLinkFactory(event=event).pk)],
        "message_id": [sent_to(attendee, event), sent_to(organizer, event)],
        "device_id": [str(installation(one).pk) for one in (attendee, organizer) for _n in range(2)],
        "session_id": [*(str(one.pk) for one in sessions), *(str(one.session_id) for one in asked)],
        "entry_id": [str(one.pk) for one in entries],
    }
    address = serve(REDIS_URL="redis://127.0.0.1:1/0")
    # The organiser, who gets everywhere, sends the systematic cases too, all of them random ones.
    people = {
        "organizer": (f"Bearer {access_token(organizer)}", "coverage,fuzzing"),
        "attendee": (f"Bearer {access_token(attendee)}", "fuzzing"),
        "device": (f"Device {gate.token}", "coverage,fuzzing"),
        "stranger": (None, "fuzzing"),
    }
    runs = {
        name: fuzz(tmp_path, document, address, name, authorization, real, phases)
        for name, (authorization, phases) in people.items()
    }
    for name, run in runs.items():
        assert run.wait(timeout=int(os.environ.get("SCHEMATHESIS_TIMEOUT", "240"))) == 0, (
            tmp_path / name / "report.txt"
        ).read_text()


# -- Requests that no client should send ----------------------------------------------------------


def refusal(answer):
    """``(status, code)`` of an answer in the one shape."""
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert set(content) == {"type", "errors"}
    (error,) = content["errors"]
    assert set(error) == {"code", "detail", "attr"}
    return answer.status_code, error["code"]


def test_malformed_requests_get_the_one_shape(serve):
    """What goes wrong before a view is reached, or in the server's own layer."""
    attendee = AttendeeFactory()
    headers = {"Authorization": f"Bearer {access_token(attendee.user_profile)}"}
    place = f"/api/v1/events/{attendee.event_id}/attendees/me/"
    with httpx.Client(base_url=serve(), headers=headers) as api:
        as_json = {"Content-Type": "application/json"}
        for path in (
            "nothing/",
            "events/9999999999999999999999/x/",
            f"events/{'9' * 5000}/",
            "events/%00/",
            "events/%FF/",
        ):
            assert refusal(api.get(f"/api/v1/{path}")) == (404, "not_found"), path
        assert refusal(api.get("/api/v1/events/", headers={"Host": "a b"})) == (400, "parse_error")
        assert refusal(api.get("/api/v1/me/", headers={"Authorization": "Bearer a b"})) == (
            401,
            "bad_authorization_header",
        )
        for charset in ("rot13", "hex", "undefined", "idna", "utf-16"):
            strange = {"Content-Type": f"application/json; charset={charset}"}
            assert api.get("/api/v1/events/?search=x", headers=strange).status_code == 200, charset
        # Beyond the limit, whether the length is announced or not, and also where nobody reads it.
        body = b'{"goals": "' + b"x" * settings.BODY_LIMIT + b'"}'
        assert refusal(api.patch(place, content=body, headers=as_json)) == (413, "too_large")
        assert refusal(api.patch(place, content=iter([body]), headers=as_json)) == (413, "too_large")
        assert api.request("DELETE", "/api/v1/me/photo/", content=body * 3, headers=as_json).status_code == 204
        photo = {"photo": ("me.png", b"x" * (settings.PHOTO_LIMIT + 100_000), "image/png")}
        assert refusal(api.put("/api/v1/me/photo/", files=photo)) == (413, "too_large")
        # Within it, chunks are as good as a length.
        answer = api.patch(place, content=iter([b'{"goals": ', b'"Meet people"}']), headers=as_json)
        assert (answer.status_code, answer.json()["goals"]) == (200, "Meet people")


@pytest.mark.parametrize("path", ["events/", "join-requests/", "events/{}/attendees/", "session-requests/"])
def test_updated_since_with_offsets_of_all_kinds(event, organizer, as_person, path):
    """Offsets that PostgreSQL doesn't know, and years that overflow on their way to UTC."""
    get = partial(as_person(organizer).get, "/api/v1/" + path.format(event.pk))
    for moment in ("2000-01-01T09:00:00+17:00", "2000-01-01T09:00:00-23:59", "2000-01-01T09:00:00Z"):
        assert get({"updated_since": moment}).status_code == 200, moment
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z", "yesterday"):
        answer = get({"updated_since": moment})
        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "updated_since"), moment


def test_defects_get_the_one_shape_with_a_reference(client, monkeypatch):
    """Also where REST framework is not there to catch them."""
    monkeypatch.setattr("config.json.JSONRenderer.render", lambda *args: 1 / 0)
    client.raise_request_exception = False
    answer = client.get("/api/v1/me/")
    assert (answer.status_code, answer.json()["type"]) == (500, "server_error")
    assert answer.json()["errors"][0]["code"] == "error"


# -- A client made from the document -------------------------------------------------------------


@pytest.fixture
def generated(document, tmp_path, monkeypatch):
    """The package that openapi-python-client makes of the document, a program of its own as well."""
    (tmp_path / "config.yml").write_text(
        "post_hooks: []\n"
        "content_type_overrides: {image/svg+xml: application/octet-stream, image/png: application/octet-stream}\n"
    )
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--path", document]
    command += ["--output-path", "turnout_client", "--meta", "none", "--config", "config.yml"]
    command += ["--fail-on-warning"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    names = ["client", "models", "types"]
    names += [f"api.{path.parent.name}.{path.stem}" for path in (tmp_path / "turnout_client/api").glob("*/[a-z]*.py")]
    modules = {name.rpartition(".")[2]: importlib.import_module(f"turnout_client.{name}") for name in names}
    yield SimpleNamespace(**modules)
    for name in [name for name in sys.modules if name.partition(".")[0] == "turnout_client"]:
        del sys.modules[name]


def test_generated_client_takes_a_person_from_the_list_into_the_room(serve, generated, settings):
    event = EventFactory(max_plus_ones=1)
    guest, organizer = UserProfileFactory(first_name="Ada"), member(event.organization, "organizer")
    for person in (guest, organizer):
        person.set_password("correct horse battery")
        person.save(update_fields=["password"])
    client, models = generated.client, generated.models
    address = serve(MEDIA_ROOT=str(settings.MEDIA_ROOT))

    def sign_in(email):
        wanted = models.SignInRequest(email=email, password="correct horse battery")
        tokens = generated.auth_token.sync(client=client.Client(base_url=address), body=wanted)
        return client.AuthenticatedClient(base_url=address, token=tokens.access)

    me, desk = sign_in(guest.email), sign_in(organizer.email)
    (listed,) = generated.events_list.sync(client=me).results
    assert (listed.id, listed.status, listed.my_request_status) == (event.pk, models.EventStatus.PUBLISHED, None)

    wish = models.NewJoinRequestRequest(plus_ones=1, comments="Hello")
    asked = generated.events_join_requests_create.sync_detailed(event.pk, client=me, body=wish)
    assert (asked.status_code, asked.parsed.status) == (201, models.JoinRequestStatus.PENDING)
    seen = generated.join_requests_retrieve.sync(asked.parsed.id, client=me)
    assert (seen.plus_ones, seen.comments, seen.person.first_name, seen.attendee_id) == (1, "Hello", "Ada", None)
    outside = generated.events_attendees_list.sync(event.pk, client=me)
    assert [error.code for error in outside.errors] == ["not_found"]

    yes = models.PatchedDecisionRequest(status=models.JoinRequestStatus.APPROVED, decision_note="Welcome")
    decided = generated.join_requests_partial_update.sync(seen.id, client=desk, body=yes)
    assert (decided.status, decided.decision_note) == (models.JoinRequestStatus.APPROVED, "Welcome")

    room = generated.events_attendees_list.sync_detailed(event.pk, client=me, page_size=200)
    assert [(one.id, one.first_name, one.is_me) for one in room.parsed.results] == [(decided.attendee_id, "Ada", True)]
    assert (
        generated.events_attendees_list.sync_detailed(
            event.pk, client=me, page_size=200, if_none_match=room.headers["ETag"]
        ).status_code
        == 304
    )
    ticket = generated.events_attendees_me_ticket_png.sync(event.pk, client=me)
    assert ticket.payload.read(4) == b"\x89PNG"

    picture = io.BytesIO()
    Image.new("RGB", (30, 20)).save(picture, "PNG")
    photo = models.PhotoRequest(photo=generated.types.File(io.BytesIO(picture.getvalue()), "me.png", "image/png"))
    assert generated.me_photo_update.sync(client=me, body=photo).photo_url.endswith(".jpg")

    link = models.InvitationLinkRequest(label="Press", max_uses=3)
    make = partial(generated.events_invitation_links_create.sync_detailed, event.pk, client=desk, body=link)
    first, again = make(idempotency_key="press"), make(idempotency_key="press")
    assert (first.parsed.id, "Idempotent-Replayed" in first.headers) == (again.parsed.id, False)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_generated_client_takes_a_phone_to_the_door(serve, generated):
    event = EventFactory()
    attendee = AttendeeFactory(event=event)
    gate = DoorDevice.objects.create(event=event, name="Gate", may_add_walk_ins=True)
    code = devices.new_code(device_id=gate.pk, actor=None).row.enrolment_code
    client, models = generated.client, generated.models
    address = serve()

    enrolled = generated.door_devices_enrol.sync(
        client=client.Client(base_url=address), body=models.EnrolRequest(code=code)
    )
    assert (enrolled.device.name, enrolled.event_id) == ("Gate", event.pk)
    phone = client.AuthenticatedClient(base_url=address, token=enrolled.token, prefix="Device")
    state = generated.events_door_retrieve.sync(event.pk, client=phone)
    assert (state.event.title, state.counts.expected, state.counts.checked_in) == (event.title, 1, 0)
    [ticket] = generated.events_door_tickets_list.sync(event.pk, client=phone, page_size=1000).results
    assert (ticket.id, ticket.removed, ticket.status) == (attendee.pk, False, "unknown")

    shown = models.CheckInRequest(ticket_code=attendee.ticket_code, scan_id="one")
    answer = generated.events_check_ins_create.sync(event.pk, client=phone, body=shown)
    assert (answer.result, answer.checked_in_by, answer.attendee.id) == ("checked_in", "Gate", attendee.pk)
    scans = [models.ScanRequest(ticket_code=one, scan_id=one) for one in (attendee.ticket_code, "nobody's")]
    answers = generated.events_check_ins_batch_create.sync(
        event.pk, client=phone, body=models.BatchRequest(scans=scans)
    )
    assert [(one.result, one.code) for one in answers.results] == [
        ("already_checked_in", None),
        ("refused", "unknown_ticket"),
    ]
    undone = generated.events_check_ins_undo.sync(event.pk, answer.check_in_id, client=phone)
    assert (undone.result, undone.attendee.status) == ("undone", "unknown")
    stranger = models.WalkInRequest(first_name="Wanda", email="wanda@example.org")
    walked = generated.events_walk_ins_create.sync_detailed(event.pk, client=phone, body=stranger)
    assert (walked.status_code, walked.parsed.attendee.name) == (201, "Wanda")
    devices.revoke(device_id=gate.pk, actor=None)
    out = generated.events_door_retrieve.sync_detailed(event.pk, client=phone)
    assert (out.status_code, [error.code for error in out.parsed.errors]) == (401, ["device_revoked"])


def test_generated_client_asks_for_help_and_gives_it(serve, generated):
    event, customer = EventFactory(), UserProfileFactory()
    mechanic = MechanicFactory(organization=event.organization, display_name="Mia")
    client, models = generated.client, generated.models
    address = serve()
    mine, works = (
        client.AuthenticatedClient(base_url=address, token=access_token(person))
        for person in (customer, mechanic.user_profile)
    )
    details = models.NewIntakeRequestDetails.from_dict({"bike": {"gears": 21}})
    wish = models.NewIntakeRequest(concern="Help", event=event.pk, urgent=True, details=details)
    ask = partial(generated.intakes_create.sync_detailed, client=mine, body=wish, idempotency_key="one")
    first, again = ask(), ask()
    assert (first.status_code, again.parsed) == (201, first.parsed)
    request, session = first.parsed.request, first.parsed.session
    assert (request.status, session.role, session.place_in_line) == ("pending", "customer", 1)

    waiting = [models.SessionRequestsListStatusItem.PENDING, models.SessionRequestsListStatusItem.UNATTENDED]
    line = partial(generated.session_requests_list.sync_detailed, client=works, status=waiting)
    seen = line()
    [listed] = seen.parsed.results
    assert (listed.id, listed.urgent, listed.mechanic, listed.my_role) == (request.id, True, None, None)
    got = generated.session_requests_accept.sync(request.id, client=works)
    assert (got.session_url, got.session.mechanic.display_name) == (first.parsed.session_url, "Mia")
    [gone] = line(updated_since=datetime.fromisoformat(seen.headers["Turnout-As-Of"])).parsed.results
    assert (gone.id, gone.deleted) == (request.id, True)

    said = models.NewMessageRequest(body="Hello")
    message = generated.service_sessions_messages_create.sync(session.id, client=works, body=said)
    [read] = generated.service_sessions_messages_list.sync(session.id, client=mine).results
    assert (read.id, read.author.name, read.body, read.mine) == (message.id, "Mia", "Hello", False)
    place = models.PatchedPlaceRequest(place="x")
    refused = generated.service_sessions_partial_update.sync(session.id, client=works, body=place)
    assert [error.code for error in refused.errors] == ["no_place"]
    assert generated.session_requests_complete.sync(request.id, client=works).status == "completed"
    [me] = generated.mechanics_me_list.sync(client=works).results
    off = models.DutyRequest(on_duty=False)
    assert generated.mechanics_duty.sync(me.id, client=works, body=off).on_duty is False
