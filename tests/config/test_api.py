"""What API views share: Idempotency-Key, throttles, bodies, cursors."""

import contextlib
import datetime
import decimal
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone
from django.utils.translation import gettext_lazy

from config import api as shared
from config.api import IsPublic, RateLimit, limiter
from config.json import JSONRenderer
from events.models import Event, IdempotencyKey
from events.tasks import forget_expired
from requests.models import InvitationLink
from tests.factories import EventFactory, member

pytestmark = pytest.mark.django_db

BODY = {"label": "Press", "max_uses": 5}


def url(event):
    return f"/api/v1/events/{event.pk}/invitation-links/"


def error(code, detail):
    return {"type": "client_error", "errors": [{"code": code, "detail": detail, "attr": None}]}


REUSED = error("idempotency_key_reused", "This Idempotency-Key was used for another request.")
RUNNING = error("idempotency_key_running", "The first request with this Idempotency-Key is still running.")
INVALID = error("idempotency_key_invalid", "An Idempotency-Key has 1 to 255 visible ASCII characters.")


@pytest.fixture
def api(organizer, as_person):
    return as_person(organizer)


def post(api, event, key, body=BODY):
    return api.post(url(event), body, headers={"Idempotency-Key": key} if key is not None else {})


def answered(response, status):
    assert response.status_code == status, response.content
    return response.json()


# -- Idempotency-Key -----------------------------------------------------------------------------


def test_key_replays_the_first_answer(event, api):
    first = post(api, event, "abc")
    InvitationLink.objects.update(label="Changed since")
    again = post(api, event, "abc")
    assert answered(again, 201) == answered(first, 201)
    assert (again["Idempotent-Replayed"], "Idempotent-Replayed" in first) == ("true", False)
    assert InvitationLink.objects.count() == 1
    kept = IdempotencyKey.objects.get()
    assert (kept.key, kept.status, kept.answered_at is not None) == ("abc", 201, True)


def test_no_key_makes_two(event, api):
    assert [post(api, event, None).status_code for _ in range(2)] == [201, 201]
    assert (InvitationLink.objects.count(), IdempotencyKey.objects.count()) == (2, 0)


def test_no_key_costs_nothing(event, api, django_assert_num_queries):
    with django_assert_num_queries(4) as without:
        post(api, event, None)
    with django_assert_num_queries(len(without.captured_queries) + 4):  # claim in a savepoint, and the answer
        post(api, event, "abc")


def test_other_keys_make_others(event, api):
    assert [post(api, event, key).status_code for key in ("a", "b", "A")] == [201] * 3
    assert InvitationLink.objects.count() == 3


@pytest.mark.parametrize("body", [{"label": "Press"}, {"label": "press", "max_uses": 5}, {}])
def test_key_with_another_body(event, api, body):
    post(api, event, "abc")
    assert answered(post(api, event, "abc", body), 422) == REUSED
    assert InvitationLink.objects.count() == 1


def test_key_with_another_address(event, api):
    other = EventFactory(organization=event.organization)
    post(api, event, "abc")
    assert answered(post(api, other, "abc"), 422) == REUSED
    assert not InvitationLink.objects.filter(event=other).exists()


def test_key_with_the_same_body_in_another_order(event, api):
    post(api, event, "abc", {"label": "Press", "max_uses": 5})
    assert post(api, event, "abc", {"max_uses": 5, "label": "Press"})["Idempotent-Replayed"] == "true"


def test_key_is_each_person_s_own(event, api, as_person):
    colleague = as_person(member(event.organization, "organizer"))
    first, second = post(api, event, "abc"), post(colleague, event, "abc", {"label": "Friends"})
    assert (answered(first, 201)["label"], answered(second, 201)["label"]) == ("Press", "Friends")


def claim(person, event, api, **fields):
    """A first request that runs, or whose worker died."""
    post(api, event, "abc")
    InvitationLink.objects.all().delete()
    IdempotencyKey.objects.update(answered_at=None, status=None, body=None, **fields)
    return IdempotencyKey.objects.get()


def test_key_while_the_first_still_runs(event, organizer, api):
    before = claim(organizer, event, api)
    response = post(api, event, "abc")
    assert answered(response, 409) == RUNNING
    assert response["Retry-After"] == "1"
    assert answered(post(api, event, "abc", {"label": "Other"}), 422) == REUSED
    assert not InvitationLink.objects.exists()
    assert IdempotencyKey.objects.values().get() == {
        name: getattr(before, name) for name in IdempotencyKey.objects.values().get()
    }


def test_key_of_a_killed_worker_is_taken_over(event, organizer, api):
    claim(organizer, event, api, claimed_until=timezone.now() - timedelta(seconds=1))
    first = post(api, event, "abc")
    assert answered(first, 201)["label"] == "Press"
    assert "Idempotent-Replayed" not in first
    assert answered(post(api, event, "abc"), 201) == first.json()
    assert InvitationLink.objects.count() == 1


def test_key_of_a_killed_worker_may_come_with_another_body(event, organizer, api):
    claim(organizer, event, api, claimed_until=timezone.now() - timedelta(seconds=1))
    assert answered(post(api, event, "abc", {"label": "Other"}), 201)["label"] == "Other"


def test_key_is_forgotten_after_a_day(event, api):
    post(api, event, "abc")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    response = post(api, event, "abc", {"label": "New day"})
    assert (answered(response, 201)["label"], InvitationLink.objects.count()) == ("New day", 2)
    assert IdempotencyKey.objects.count() == 1


def test_forget_expired_deletes_what_is_older_than_a_day(event, api):
    post(api, event, "old")
    post(api, event, "young")
    IdempotencyKey.objects.filter(key="old").update(created_at=timezone.now() - timedelta(hours=25))
    forget_expired()
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["young"]


def test_refusal_is_kept_like_any_answer(event, organizer, as_person):
    """Only what may fare better on a retry (409, 429, 5xx) is forgotten."""
    viewer = member(event.organization, "viewer")
    api = as_person(viewer)
    first = post(api, event, "abc")
    assert first.status_code == 404
    viewer.memberships.update(role="organizer")
    again = post(api, event, "abc")
    assert (again.status_code, again.content) == (404, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert post(api, event, "def", {}).status_code == 400
    assert answered(post(api, event, "def"), 422)["errors"][0]["code"] == "idempotency_key_reused"
    assert not InvitationLink.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_refusal_of_the_database_is_not_kept(event, api):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE event_invitation_links ADD CONSTRAINT broken CHECK (label <> 'Press' OR uses > 0)")
    try:
        assert answered(post(api, event, "abc"), 409) == error("conflict", "The database refused this: broken.")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE event_invitation_links DROP CONSTRAINT broken")
    assert not IdempotencyKey.objects.exists()
    assert post(api, event, "abc").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "ümlaut", "a\tb"])
def test_key_that_is_none(event, api, key):
    assert answered(post(api, event, key), 400) == INVALID
    assert not InvitationLink.objects.exists()


@pytest.mark.parametrize("key", ["x", "x" * 255, "018f-a b!~'\"\\;--"])
def test_key_of_any_visible_characters(event, api, key):
    assert [post(api, event, key).status_code for _ in range(2)] == [201, 201]
    assert InvitationLink.objects.count() == 1


def test_key_with_a_broken_body(event, api):
    response = api.post(url(event), data=b"{", content_type="application/json", headers={"Idempotency-Key": "abc"})
    assert response.status_code == 400
    assert not IdempotencyKey.objects.exists()


def test_key_with_a_deep_body(event, api):
    response = api.post(
        url(event),
        data=b'{"label": ' + b"[" * 400 + b"]" * 400 + b"}",
        content_type="application/json",
        headers={"Idempotency-Key": "abc"},
    )
    assert response.status_code == 400
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_key_used_at_once_makes_one(event, organizer, as_person):
    start = threading.Barrier(6)
    clients = [as_person(organizer) for _ in range(6)]

    def send(api):
        try:
            start.wait(timeout=20)
            return post(api, event, "abc").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(send, clients))
    assert set(codes) <= {201, 409}
    assert 201 in codes
    assert InvitationLink.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_no_key_at_once_makes_as_many(event, organizer, as_person):
    """The other half of the pair."""
    clients = [as_person(organizer) for _ in range(4)]

    def send(api):
        try:
            return post(api, event, None).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, clients)) == [201] * 4
    assert InvitationLink.objects.count() == 4


# -- Limits --------------------------------------------------------------------------------------


class Three(RateLimit):
    scope, rate = "test-three", "3/minute"

    def identity(self, request, view):
        return request


def test_rate_limit_by_identity():
    limiter().storage.reset()
    assert [Three().allow_request("me", None) for _ in range(4)] == [True, True, True, False]
    assert Three().allow_request("you", None) is True
    throttle = Three()
    assert throttle.allow_request("me", None) is False
    assert 1 <= throttle.wait() <= 60


def test_rate_limit_is_open_while_redis_is_away(settings, caplog, tmp_path):
    """A real address where nobody listens."""
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    limiter.cache_clear()
    shared._said_open_at = None
    try:
        assert [Three().allow_request("me", None) for _ in range(5)] == [True] * 5
    finally:
        limiter.cache_clear()
        shared._asks_again_at = None
    assert [one.msg["event"] for one in caplog.records] == ["rate_limit.open"]


def test_a_redis_that_hangs_is_waited_for_once_not_by_every_request(settings, tmp_path):
    """A real listener that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(f"{tmp_path}/hangs.sock")
        hanging.listen()
        settings.REDIS_URL = f"unix://{tmp_path}/hangs.sock"
        limiter.cache_clear()
        try:
            assert [shared.has_left("3/minute", "test") for _ in range(5)] == [True] * 5
            assert shared.within("3/minute", "test") is True
        finally:
            limiter.cache_clear()
            shared._asks_again_at = None
        hanging.setblocking(False)
        calls = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                hanging.accept()[0].close()
                calls += 1
    assert calls == 1


def test_public_is_public():
    assert IsPublic().has_permission(None, None) is True


# -- JSON ----------------------------------------------------------------------------------------


def test_renderer_knows_what_the_api_answers():
    rendered = JSONRenderer().render(
        {
            "when": datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC),
            "id": uuid.UUID(int=7),
            "text": gettext_lazy("Approved"),
            "number": decimal.Decimal("1.50"),
            "many": {1},
            1: (Event.Status.DRAFT,),
        }
    )
    assert rendered == (
        b'{"when":"2026-01-02T03:04:05.000678Z","id":"00000000-0000-0000-0000-000000000007",'
        b'"text":"Approved","number":"1.50","many":[1],"1":["draft"]}'
    )
    assert JSONRenderer().render(None) == b""


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense", ""])
def test_whatever_is_accepted_the_answer_is_json(event, api, accept):
    response = api.get("/api/v1/events/", headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
