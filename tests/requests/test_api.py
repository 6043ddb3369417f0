"""Join requests and invitations as a phone sees them."""

import base64
import json
import uuid
from urllib.parse import urlencode

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from attendance.models import Attendee
from config.api import limiter
from events.models import Event, IdempotencyKey
from requests.models import InvitationLink, JoinRequest
from requests.operations import join_requests, removals
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    InvitationLinkFactory,
    JoinRequestFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db

LIST = "/api/v1/join-requests/"


def send_url(event):
    return f"/api/v1/events/{event.pk}/join-requests/"


def url(request):
    return f"/api/v1/join-requests/{request.pk}/"


def when(moment):
    return moment.isoformat().replace("+00:00", "Z")


def error(code, detail, attr=None, kind="client_error"):
    return {"type": kind, "errors": [{"code": code, "detail": detail, "attr": attr}]}


NOT_FOUND = error("not_found", "Not found.")
NOT_SEEN = error("not_found", "There is no such thing, or you may not see it.")
NOT_ALLOWED = error("permission_denied", "You do not have permission to do this.")


def answered(response, status):
    assert response.status_code == status, response.content
    return response.json()


def shown(request, **changes):
    """The exact JSON of a join request, from its row."""
    row = JoinRequest.objects.select_related("user_profile").get(pk=request.pk)
    person = row.user_profile
    attendee = Attendee.objects.active().filter(join_request=row).first()
    return {
        "id": str(row.pk),
        "event_id": row.event_id,
        "person": {
            "id": str(person.pk),
            "first_name": person.first_name,
            "last_name": person.last_name,
            "photo_url": person.photo_url,
            "email": person.email,
        },
        "status": row.status,
        "plus_ones": row.plus_ones,
        "comments": row.comments,
        "attendee_id": str(attendee.pk) if attendee else None,
        "decided_at": row.decided_at and when(row.decided_at),
        "decision_note": row.decision_note,
        "created_at": when(row.created_at),
        "updated_at": when(row.updated_at),
    } | changes


def rows():
    models = (JoinRequest, Attendee, JoinRequest.history.model, InvitationLink, IdempotencyKey)
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.fixture
def staff(event):
    """Somebody of each kind who is not the organiser, by name."""
    return {
        "owner": member(event.organization, "owner"),
        "organizer": member(event.organization, "organizer"),
        "viewer": member(event.organization, "viewer"),
        "door": member(event.organization, "door"),
        "stranger": UserProfileFactory(),
        "another organisation's owner": member(OrganizationFactory(), "owner"),
        "superuser": UserProfileFactory(is_superuser=True),
        "organizer whose account is closed": member(event.organization, "organizer", is_active=False),
        "superuser whose account is closed": UserProfileFactory(is_superuser=True, is_active=False),
    }


# -- Sending -------------------------------------------------------------------------------------


def test_send_and_send_again(event, as_person):
    person = UserProfileFactory()
    api = as_person(person)
    made = api.post(send_url(event), {"plus_ones": 2, "comments": "Hello"})
    row = JoinRequest.objects.get()
    assert answered(made, 201) == shown(
        row, status="pending", plus_ones=2, comments="Hello", attendee_id=None, decided_at=None, decision_note=None
    )
    assert made.json()["person"]["id"] == str(person.pk)
    again = api.post(send_url(event), {"plus_ones": 0})
    assert answered(again, 200) == made.json()
    assert JoinRequest.objects.count() == 1


def test_send_nothing_asks_for_one_place(event, as_person):
    answer = answered(as_person(UserProfileFactory()).post(send_url(event)), 201)
    assert (answer["plus_ones"], answer["comments"]) == (0, "")


def test_send_reopens_a_cancelled_request(event, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.cancel(request_id=request.pk, actor=None)
    answer = answered(as_person(request.user_profile).post(send_url(event), {"plus_ones": 1}), 200)
    assert (answer["id"], answer["status"], answer["plus_ones"]) == (str(request.pk), "pending", 1)


def test_send_returns_a_declined_request_unchanged(event, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.decline(request_id=request.pk, actor=None, note="Sorry")
    before = rows()
    answer = answered(as_person(request.user_profile).post(send_url(event), {"plus_ones": 1}), 200)
    assert answer == shown(request, status="declined", decision_note="Sorry", plus_ones=0)
    assert rows() == before


def test_send_to_an_event_that_approves_by_itself(as_person):
    event = EventFactory(approval_mode="auto")
    answer = answered(as_person(UserProfileFactory()).post(send_url(event)), 201)
    assert (answer["status"], answer["attendee_id"]) == ("approved", str(Attendee.objects.get().pk))


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"status": "completed"}, error("event_closed", "You can't join this event: it is over.")),
        ({"status": "cancelled"}, error("event_closed", "You can't join this event: it was cancelled.")),
    ],
)
def test_send_to_an_event_that_is_over(as_person, fields, body):
    api = as_person(UserProfileFactory())
    assert answered(api.post(send_url(EventFactory(**fields))), 409) == body
    assert not JoinRequest.objects.exists()


def test_send_with_too_many_plus_ones(event, as_person):
    assert answered(as_person(UserProfileFactory()).post(send_url(event), {"plus_ones": 4}), 400) == error(
        "too_many_plus_ones", "At most 3 may come along with each person at this event."
    )


def test_send_by_an_attendee(event, as_person):
    api = as_person(AttendeeFactory(event=event).user_profile)
    assert answered(api.post(send_url(event)), 409) == error(
        "already_attending", "This person is in the event's room already."
    )


def test_send_by_a_banned_person(event, organizer, as_person):
    guest = AttendeeFactory(event=event)
    removals.ban(attendee_id=guest.pk, actor=organizer, reason="Rude")
    assert answered(as_person(guest.user_profile).post(send_url(event)), 403) == error(
        "banned", "You can't attend this event."
    )


@pytest.mark.parametrize("fields", [{"status": "draft"}, {"visibility": "private"}])
def test_send_to_an_event_that_one_may_not_see(as_person, fields):
    api = as_person(UserProfileFactory())
    assert answered(api.post(send_url(EventFactory(**fields))), 404) == NOT_FOUND


def test_send_to_an_unlisted_event(as_person):
    answered(as_person(UserProfileFactory()).post(send_url(EventFactory(visibility="unlisted"))), 201)


def test_send_to_a_draft_by_its_organizer(event, organizer, as_person):
    Event.objects.update(status="draft")
    assert answered(as_person(organizer).post(send_url(event)), 409) == error(
        "event_closed", "You can't join this event: it isn't open yet."
    )


def test_send_by_a_closed_account(event, as_person):
    assert answered(as_person(UserProfileFactory(is_active=False)).post(send_url(event)), 404) == NOT_FOUND


def test_send_without_a_token(event):
    response = APIClient().post(send_url(event), {})
    assert answered(response, 401) == error("not_authenticated", "Authentication credentials were not provided.")
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("event_id", [2**63 - 1, 2**63, 10**30])
def test_send_to_an_event_that_is_not_there(db, as_person, event_id):
    api = as_person(UserProfileFactory())
    assert answered(api.post(f"/api/v1/events/{event_id}/join-requests/"), 404) == NOT_FOUND


@pytest.mark.parametrize(
    ("body", "code", "attr"),
    [
        ({"plus_ones": -1}, "min_value", "plus_ones"),
        ({"plus_ones": 32768}, "max_value", "plus_ones"),
        ({"plus_ones": 2**63}, "max_value", "plus_ones"),
        ({"plus_ones": "many"}, "invalid", "plus_ones"),
        ({"plus_ones": 1.5}, "invalid", "plus_ones"),
        ({"plus_ones": None}, "null", "plus_ones"),
        ({"plus_ones": [1]}, "invalid", "plus_ones"),
        ({"plus_ones": {"a": 1}}, "invalid", "plus_ones"),
        ({"comments": "x" * 2001}, "max_length", "comments"),
        ({"comments": None}, "null", "comments"),
        ({"comments": ["x"]}, "invalid", "comments"),
        ([], "invalid", None),
        ("text", "invalid", None),
        (7, "invalid", None),
    ],
)
def test_send_with_bad_values(event, as_person, body, code, attr):
    response = as_person(UserProfileFactory()).post(
        send_url(event), data=json.dumps(body), content_type="application/json"
    )
    answer = answered(response, 400)
    assert answer["type"] == "validation_error"
    assert [(one["code"], one["attr"]) for one in answer["errors"]] == [(code, attr or "non_field_errors")]
    assert not JoinRequest.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b'{"comments": "\\u0000"}',
        b'{"comments": {"deep": ["\\u0000"]}}',
        b'{"\\u0000": 1}',
        b'{"comments": "\\ud800"}',
        b'{"comments": "\xff"}',
        b'{"comments": "\xed\xa0\x80"}',
        b'{"comments": NaN}',
        b'{"plus_ones": 1e999}',
        b"{",
        b"nonsense",
        b"[" * 100_000,
        b"[" * 200 + b"]" * 200,
        b'{"plus_ones": 1000000000000000000000000000000}',
        b'{"plus_ones": -1e30}',
    ],
)
def test_send_with_broken_json(event, as_person, body):
    response = as_person(UserProfileFactory()).post(send_url(event), data=body, content_type="application/json")
    answer = answered(response, 400)
    assert (answer["type"], answer["errors"][0]["code"]) == ("client_error", "parse_error")
    assert answer["errors"][0]["detail"].startswith("JSON parse error: ")
    assert not JoinRequest.objects.exists()


def test_send_a_comment_in_any_script(event, as_person):
    comment = "Ünïcode 🎉 שלום \u202e' OR 1=1; -- \\u0000"
    answer = answered(as_person(UserProfileFactory()).post(send_url(event), {"comments": comment}), 201)
    assert answer["comments"] == comment == JoinRequest.objects.get().comments


def test_send_too_much(event, as_person):
    api = as_person(UserProfileFactory())
    response = api.post(send_url(event), data=b" " * (1024 * 1024 + 1), content_type="application/json")
    assert answered(response, 413) == error("too_large", "The request's body is too large.")
    response = api.post(send_url(event), data=b"{}" + b" " * (1024 * 1024 - 2), content_type="application/json")
    answered(response, 201)


def test_send_a_form(event, as_person):
    response = as_person(UserProfileFactory()).post(
        send_url(event), data="plus_ones=1", content_type="application/x-www-form-urlencoded"
    )
    assert answered(response, 415) == error(
        "unsupported_media_type", 'Unsupported media type "application/x-www-form-urlencoded" in request.'
    )


def test_wrong_method(event, as_person):
    assert answered(as_person(UserProfileFactory()).delete(send_url(event)), 405) == error(
        "method_not_allowed", 'Method "DELETE" not allowed.'
    )


# -- Lists ---------------------------------------------------------------------------------------


def test_list_of_ones_own(event, as_person):
    request = JoinRequestFactory(event=event)
    JoinRequestFactory(event=event)
    response = as_person(request.user_profile).get(LIST)
    assert answered(response, 200) == {"next": None, "previous": None, "results": [shown(request)]}


def test_list_of_an_organizer(event, organizer, as_person):
    requests = JoinRequestFactory.create_batch(3, event=event)
    JoinRequestFactory()
    mine = JoinRequestFactory(user_profile=organizer)
    answer = answered(as_person(organizer).get(LIST), 200)
    assert answer["results"] == [shown(one) for one in [mine, *reversed(requests)]]


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("owner", 2),
        ("organizer", 2),
        ("viewer", 2),
        ("door", 0),
        ("stranger", 0),
        ("another organisation's owner", 0),
        ("superuser", 3),
        ("organizer whose account is closed", 0),
        ("superuser whose account is closed", 0),
    ],
)
def test_list_by_role(event, staff, as_person, name, seen):
    JoinRequestFactory.create_batch(2, event=event)
    JoinRequestFactory()
    assert len(answered(as_person(staff[name]).get(LIST), 200)["results"]) == seen


def test_list_filters(event, organizer, as_person):
    other = EventFactory(organization=event.organization)
    pending, declined = JoinRequestFactory.create_batch(2, event=event)
    elsewhere = JoinRequestFactory(event=other)
    join_requests.decline(request_id=declined.pk, actor=None)
    api = as_person(organizer)

    def found(**query):
        return [one["id"] for one in answered(api.get(LIST, query), 200)["results"]]

    assert found(event=event.pk) == [str(declined.pk), str(pending.pk)]
    assert found(event=other.pk, status="pending") == [str(elsewhere.pk)]
    assert found(status="declined") == [str(declined.pk)]
    assert found(event=2**63 - 1) == []
    declined.refresh_from_db()
    assert found(updated_since=when(declined.updated_at)) == [str(declined.pk)]


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ({"event": "x"}, "event"),
        ({"event": "-1"}, "event"),
        ({"event": 2**63}, "event"),
        ({"event": "1e400"}, "event"),
        ({"event": "NaN"}, "event"),
        ({"status": "maybe"}, "status"),
        ({"status": "\x00"}, "status"),
        ({"updated_since": "yesterday"}, "updated_since"),
        ({"updated_since": "\x00"}, "updated_since"),
    ],
)
def test_list_with_bad_filters(organizer, as_person, query, attr):
    answer = answered(as_person(organizer).get(LIST, query), 400)
    assert (answer["type"], {one["attr"] for one in answer["errors"]}) == ("validation_error", {attr})


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00", "2024-02-29", "2024-W01-1"],
)
def test_list_since_odd_moments(organizer, as_person, moment):
    assert as_person(organizer).get(LIST, {"updated_since": moment}).status_code in (200, 400)


@pytest.mark.parametrize("position", ["abc", "\x00", "", "9" * 40, "null", "1' OR 1=1"])
@pytest.mark.parametrize("address", [LIST, "/api/v1/events/"])
def test_list_with_a_made_up_cursor(organizer, as_person, address, position):
    cursor = base64.b64encode(urlencode({"p": position}).encode()).decode()
    response = as_person(organizer).get(address, {"cursor": cursor})
    assert response.status_code in (200, 404), response.content


@pytest.mark.parametrize("cursor", ["x", "\x00", "====", "é", "A" * 5000])
def test_list_with_a_broken_cursor(organizer, as_person, cursor):
    response = as_person(organizer).get(LIST, {"cursor": cursor})
    assert response.status_code in (200, 404), response.content


def pages(api, address, **query):
    """Every page, by the links alone."""
    answer = answered(api.get(address, query), 200)
    yield answer["results"]
    while answer["next"]:
        answer = answered(api.get(answer["next"]), 200)
        yield answer["results"]


def test_list_pages_without_gaps_or_doubles_while_rows_are_inserted(event, organizer, as_person):
    requests = JoinRequestFactory.create_batch(7, event=event)
    seen = []
    for page in pages(as_person(organizer), LIST, page_size=3):
        seen.append([one["id"] for one in page])
        JoinRequestFactory(event=event)
    ids = [str(one.pk) for one in reversed(requests)]
    assert seen == [ids[:3], ids[3:6], ids[6:]]


def test_list_goes_back_as_well(event, organizer, as_person):
    JoinRequestFactory.create_batch(5, event=event)
    api = as_person(organizer)
    first = answered(api.get(LIST, {"page_size": 2}), 200)
    second = answered(api.get(first["next"]), 200)
    assert answered(api.get(second["previous"]), 200)["results"] == first["results"]


@pytest.mark.parametrize(
    ("asked", "given"), [(1, 1), (200, 200), (201, 200), (10**30, 200), (0, 50), (-1, 50), ("x", 50)]
)
def test_list_page_size(event, organizer, as_person, asked, given):
    people = UserProfileFactory.create_batch(201)
    JoinRequest.objects.bulk_create(JoinRequest(event=event, user_profile=one, owner_id=one.owner_id) for one in people)
    assert len(answered(as_person(organizer).get(LIST, {"page_size": asked}), 200)["results"]) == given


def test_list_says_from_when_to_ask_next_time(event, organizer, as_person):
    before = timezone.now()
    as_of = as_person(organizer).get(LIST)["Turnout-As-Of"]
    assert as_of.endswith("Z")
    assert 9 < (before - timezone.datetime.fromisoformat(as_of)).total_seconds() <= 10


@pytest.mark.parametrize("count", [1, 3])
def test_list_makes_two_queries(event, organizer, as_person, django_assert_num_queries, count):
    for request in JoinRequestFactory.create_batch(count, event=event):
        join_requests.approve(request_id=request.pk, actor=None)
    api = as_person(organizer)
    with django_assert_num_queries(2):  # who asks, and what they see
        assert len(api.get(LIST).json()["results"]) == count


# -- One -----------------------------------------------------------------------------------------


SEES = {"owner", "organizer", "viewer", "superuser"}
DECIDES = {"owner", "organizer", "superuser"}
EVERYBODY = [
    "owner",
    "organizer",
    "viewer",
    "door",
    "stranger",
    "another organisation's owner",
    "superuser",
    "organizer whose account is closed",
    "superuser whose account is closed",
]


@pytest.mark.parametrize("name", EVERYBODY)
def test_read_by_role(event, staff, as_person, name):
    request = JoinRequestFactory(event=event)
    response = as_person(staff[name]).get(url(request))
    if name in SEES:
        assert answered(response, 200) == shown(request)
    else:
        assert answered(response, 404) == NOT_FOUND


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("status", ["approved", "declined"])
def test_decide_by_role(event, staff, as_person, name, status):
    request = JoinRequestFactory(event=event)
    before = rows()
    response = as_person(staff[name]).patch(url(request), {"status": status, "decision_note": "So be it"})
    if name in DECIDES:
        answer = answered(response, 200)
        assert answer == shown(request, status=status, decision_note="So be it")
        row = JoinRequest.objects.get()
        assert (row.decided_by, row.history.latest().history_user) == (staff[name], staff[name])
        assert (answer["attendee_id"] is not None) == (status == "approved")
    else:
        assert answered(response, 403 if name in SEES else 404) == (NOT_ALLOWED if name in SEES else NOT_FOUND)
        assert rows() == before


def test_decide_ones_own_request(event, as_person):
    request = JoinRequestFactory(event=event)
    for body in ({"status": "approved"}, {"status": "declined"}, {"status": "pending"}):
        assert answered(as_person(request.user_profile).patch(url(request), body), 403) == NOT_ALLOWED
    assert JoinRequest.objects.get().status == "pending"


def test_cancel_by_the_person(event, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=None)
    answer = answered(as_person(request.user_profile).patch(url(request), {"status": "cancelled"}), 200)
    assert answer == shown(request, status="cancelled", attendee_id=None, decided_at=None)
    assert Attendee.objects.get().status == "removed"


def test_cancel_by_an_organizer(event, organizer, as_person):
    request = JoinRequestFactory(event=event)
    assert answered(as_person(organizer).patch(url(request), {"status": "cancelled"}), 403) == NOT_ALLOWED
    assert JoinRequest.objects.get().status == "pending"


def test_cancel_by_a_closed_account(event, as_person):
    request = JoinRequestFactory(event=event, user_profile=UserProfileFactory(is_active=False))
    assert answered(as_person(request.user_profile).patch(url(request), {"status": "cancelled"}), 404) == NOT_FOUND


def test_back_to_pending(event, organizer, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=organizer)
    answer = answered(as_person(organizer).patch(url(request), {"status": "pending"}), 200)
    assert answer == shown(request, status="pending", attendee_id=None)


def test_decide_twice(event, organizer, as_person):
    request = JoinRequestFactory(event=event)
    api = as_person(organizer)
    first = answered(api.patch(url(request), {"status": "approved"}), 200)
    before = rows()
    assert answered(api.patch(url(request), {"status": "approved"}), 200) == first
    assert rows() == before


def test_edit_by_the_person(event, as_person):
    request = JoinRequestFactory(event=event)
    answer = answered(as_person(request.user_profile).patch(url(request), {"plus_ones": 2, "comments": "Us"}), 200)
    assert answer == shown(request, plus_ones=2, comments="Us")


def test_edit_by_an_organizer(event, organizer, as_person):
    request = JoinRequestFactory(event=event)
    assert answered(as_person(organizer).patch(url(request), {"plus_ones": 2}), 403) == NOT_ALLOWED


def test_edit_after_the_decision(event, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=None)
    assert answered(as_person(request.user_profile).patch(url(request), {"plus_ones": 2}), 409) == error(
        "plus_ones_fixed", "The request is approved: it can't be changed any more."
    )


@pytest.mark.parametrize(
    ("body", "code", "attr", "detail"),
    [
        ({}, "required", "non_field_errors", "Nothing to change was given."),
        ({"status": "maybe"}, "invalid_choice", "status", '"maybe" is not a valid choice.'),
        ({"status": ["approved"]}, "invalid_choice", "status", "\"['approved']\" is not a valid choice."),
        ({"status": {}}, "invalid_choice", "status", '"{}" is not a valid choice.'),
        (
            {"status": "pending", "decision_note": "x"},
            "invalid",
            "decision_note",
            "A note goes with approved or declined only.",
        ),
        ({"decision_note": "x"}, "invalid", "decision_note", "A note goes with approved or declined only."),
        (
            {"status": "approved", "plus_ones": 1},
            "invalid",
            "status",
            "Decide, or correct the request: not both at once.",
        ),
    ],
)
def test_patch_with_bad_values(event, organizer, as_person, body, code, attr, detail):
    request = JoinRequestFactory(event=event)
    before = rows()
    response = as_person(organizer).patch(url(request), body)
    assert answered(response, 400) == error(code, detail, attr, "validation_error")
    assert rows() == before


def test_approve_when_full_says_the_figures(organizer, as_person):
    event = EventFactory(capacity=3)
    api = as_person(member(event.organization, "organizer"))
    AttendeeFactory(event=event, plus_ones=1)
    request = JoinRequestFactory(event=event, plus_ones=2)
    before = rows()
    assert answered(api.patch(url(request), {"status": "approved"}), 409) == error(
        "event_full", "The event is full: 2 of 3 places taken; this request needs 3."
    )
    assert rows() == before


def test_approve_when_the_event_is_over(event, organizer, as_person):
    request = JoinRequestFactory(event=event)
    Event.objects.update(status="completed")
    assert answered(as_person(organizer).patch(url(request), {"status": "approved"}), 409) == error(
        "event_closed", "The event is completed: nobody can be let in or out."
    )


def test_illegal_move(event, organizer, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.cancel(request_id=request.pk, actor=None)
    assert answered(as_person(organizer).patch(url(request), {"status": "approved"}), 409) == error(
        "illegal_status", "A request that is cancelled can't become approved."
    )


def test_request_that_is_not_there(organizer, as_person):
    missing = JoinRequest(pk=uuid.uuid4())
    assert answered(as_person(organizer).get(url(missing)), 404) == NOT_FOUND
    assert answered(as_person(organizer).patch(url(missing), {"status": "approved"}), 404) == NOT_FOUND


def test_send_makes_this_many_queries(event, as_person, django_assert_num_queries):
    api = as_person(UserProfileFactory())
    with django_assert_num_queries(SEND_QUERIES):
        answered(api.post(send_url(event), {}), 201)


def test_approve_makes_this_many_queries(event, organizer, as_person, django_assert_num_queries):
    request = JoinRequestFactory(event=event)
    api = as_person(organizer)
    with django_assert_num_queries(APPROVE_QUERIES):
        answered(api.patch(url(request), {"status": "approved"}), 200)


SEND_QUERIES = 10
APPROVE_QUERIES = 17


# -- Invitations ---------------------------------------------------------------------------------

ACCEPT = "/api/v1/invitations/accept/"


@pytest.fixture(autouse=True)
def _nobody_has_guessed_yet():
    limiter().storage.reset()


def links_url(event):
    return f"/api/v1/events/{event.pk}/invitation-links/"


def link_shown(link):
    return {
        "id": str(link.pk),
        "event_id": link.event_id,
        "label": link.label,
        "max_uses": link.max_uses,
        "uses": link.uses,
        "expires_at": link.expires_at and when(link.expires_at),
        "revoked_at": link.revoked_at and when(link.revoked_at),
        "token": link.token,
        "created_at": when(link.created_at),
    }


def test_accept_and_accept_again(event, as_person):
    link = InvitationLinkFactory(event=event)
    api = as_person(UserProfileFactory())
    answer = answered(api.post(ACCEPT, {"token": link.token}), 201)
    assert answer == {"event_id": event.pk, "attendee_id": str(Attendee.objects.get().pk)}
    assert answered(api.post(ACCEPT, {"token": link.token}), 200) == answer


def test_accept_opens_a_private_event(as_person):
    event = EventFactory(visibility="private")
    api = as_person(UserProfileFactory())
    assert api.get(f"/api/v1/events/{event.pk}/").status_code == 404
    answered(api.post(ACCEPT, {"token": InvitationLinkFactory(event=event).token}), 201)
    assert api.get(f"/api/v1/events/{event.pk}/").status_code == 200


def test_accept_a_made_up_token(db, as_person):
    assert answered(as_person(UserProfileFactory()).post(ACCEPT, {"token": "made:up"}), 404) == NOT_SEEN


def test_accept_a_revoked_link(event, as_person):
    link = InvitationLinkFactory(event=event, revoked_at=timezone.now())
    assert answered(as_person(UserProfileFactory()).post(ACCEPT, {"token": link.token}), 409) == error(
        "invitation_invalid", "This invitation is no longer valid."
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "required"), ({"token": ""}, "blank"), ({"token": "x" * 201}, "max_length"), ({"token": {}}, "invalid")],
)
def test_accept_with_bad_values(db, as_person, body, code):
    answer = answered(as_person(UserProfileFactory()).post(ACCEPT, body), 400)
    assert [(one["code"], one["attr"]) for one in answer["errors"]] == [(code, "token")]


def test_accept_guessing_is_limited(db, as_person):
    api, other = as_person(UserProfileFactory()), as_person(UserProfileFactory())
    codes = {api.post(ACCEPT, {"token": "made:up"}).status_code for _ in range(30)}
    assert codes == {404}
    response = api.post(ACCEPT, {"token": "made:up"})
    assert answered(response, 429)["errors"][0]["code"] == "throttled"
    assert 1 <= int(response["Retry-After"]) <= 60
    assert other.post(ACCEPT, {"token": "made:up"}).status_code == 404


def test_make_a_link(event, organizer, as_person):
    answer = answered(as_person(organizer).post(links_url(event), {"label": "Press", "max_uses": 5}), 201)
    link = InvitationLink.objects.get()
    assert answer == link_shown(link)
    assert (link.label, link.max_uses, link.uses, link.created_by) == ("Press", 5, 0, organizer)
    assert link.history.get().history_user == organizer
    assert InvitationLink.id_of(answer["token"]) == link.pk.hex


def test_make_a_link_writes_only_what_is_given_to_write(event, organizer, as_person):
    body = {"label": "Press", "uses": 9, "revoked_at": "2020-01-01T00:00:00Z", "token": "mine", "event_id": 1}
    answer = answered(as_person(organizer).post(links_url(event), body), 201)
    assert (answer["uses"], answer["revoked_at"], answer["event_id"]) == (0, None, event.pk)


@pytest.mark.parametrize("name", EVERYBODY)
def test_links_by_role(event, staff, as_person, name):
    link = InvitationLinkFactory(event=event)
    InvitationLinkFactory()
    api = as_person(staff[name])
    read, made = api.get(links_url(event)), api.post(links_url(event), {"label": "More"})
    revoked = api.post(f"/api/v1/invitation-links/{link.pk}/revoke/")
    if name in DECIDES:
        assert answered(read, 200) == {"next": None, "previous": None, "results": [link_shown(link)]}
        answered(made, 201)
        link.refresh_from_db()
        assert answered(revoked, 200) == link_shown(link)
        assert link.revoked_at is not None
    else:
        assert answered(read, 404) == answered(made, 404) == answered(revoked, 404) == NOT_FOUND
        assert InvitationLink.objects.count() == 2
        assert not InvitationLink.objects.exclude(revoked_at=None).exists()


@pytest.mark.parametrize(
    ("body", "code", "attr"),
    [
        ({}, "required", "label"),
        ({"label": ""}, "blank", "label"),
        ({"label": "x" * 201}, "max_length", "label"),
        ({"label": "x", "max_uses": 0}, "min_value", "max_uses"),
        ({"label": "x", "max_uses": 2**31}, "max_value", "max_uses"),
        ({"label": "x", "expires_at": "soon"}, "invalid", "expires_at"),
        ({"label": "x", "expires_at": 5}, "invalid", "expires_at"),
    ],
)
def test_make_a_link_with_bad_values(event, organizer, as_person, body, code, attr):
    answer = answered(as_person(organizer).post(links_url(event), body), 400)
    assert [(one["code"], one["attr"]) for one in answer["errors"]] == [(code, attr)]
    assert not InvitationLink.objects.exists()


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_make_a_link_that_expires_at_an_odd_moment(event, organizer, as_person, moment):
    response = as_person(organizer).post(links_url(event), {"label": "x", "expires_at": moment})
    assert answered(response, 400)["errors"][0]["attr"] == "expires_at"


@pytest.mark.parametrize("count", [1, 3])
def test_links_make_this_many_queries(event, organizer, as_person, django_assert_num_queries, count):
    InvitationLinkFactory.create_batch(count, event=event)
    api = as_person(organizer)
    with django_assert_num_queries(3):  # who asks, the event, its links
        assert len(api.get(links_url(event)).json()["results"]) == count


def test_a_link_that_is_over_already_is_refused(event, organizer, as_person):
    body = {"label": "Press", "expires_at": "2020-01-01T00:00:00Z"}
    answer = answered(as_person(organizer).post(links_url(event), body), 400)
    assert [(one["code"], one["attr"]) for one in answer["errors"]] == [("past", "expires_at")]
    assert not InvitationLink.objects.exists()
