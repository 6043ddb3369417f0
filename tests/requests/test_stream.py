"""The live stream, a real process of its own: who sees what, at once, and nothing missed whatever goes away."""

import os
import signal
import socket
import statistics
import tempfile
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from config import services
from events.models import Membership, UserProfile
from events.sign_in import access_token
from requests import tasks
from requests.models import ServiceSignal, SessionMessage, SessionRequest, StreamTicket
from requests.operations import mechanics, taking, talking, tickets
from tests.config.postgres import url
from tests.factories import (
    EventFactory,
    MechanicFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
    service_request,
)

from .screens import Process, Screen, Wall, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@contextmanager
def process(folder, **environment):
    started = Process(folder, **environment)
    started.start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def lasting(django_db_setup, tmp_path_factory):
    """One for all tests that leave it as it is; its people are looked at every second."""
    with process(tmp_path_factory.mktemp("stream"), STREAM_HEARTBEAT="1") as started:
        yield started


@pytest.fixture
def stream(lasting, transactional_db):
    return lasting


@pytest.fixture
def wall():
    wall = Wall()
    yield wall
    wall.take_down()


def on(wall, stream, person, *args, **options):
    """A screen of the person's, once it has all that there is, or was refused."""
    screen = wall.hang(Screen(stream, f"Bearer {access_token(person)}", *args, **options))
    until(lambda: screen.ready or screen.heard("session") or screen.status not in (None, 200))
    return screen


@pytest.fixture
def screen(stream, wall):
    return lambda person, *args, **options: on(wall, stream, person, *args, **options)


@pytest.fixture
def refused(screen):
    """``refused(person, …)``: the status and the code with which somebody isn't let in."""

    def ask(person, *args, **options):
        asked = screen(person, *args, comes_back=False, **options)
        until(lambda: asked.body)
        return asked.status, asked.refusal

    return ask


# -- Who sees what ---------------------------------------------------------------------------------------


def test_a_request_comes_at_once_and_goes_when_somebody_has_taken_it(event, screen):
    first, second = MechanicFactory.create_batch(2, organization=event.organization)
    theirs, others = screen(first.user_profile), screen(second.user_profile)
    organizers = screen(member(event.organization, "organizer"))
    customer = UserProfileFactory(first_name="Ada", last_name="Byron")
    customers = screen(customer)
    request = service_request(event, customer=customer, urgent=True)
    pk = str(request.pk)
    every = [theirs, others, organizers, customers]
    until(lambda: all(pk in one.requests for one in every))
    assert theirs.requests[pk] == others.requests[pk] == organizers.requests[pk] | {"my_role": None}
    assert customers.requests[pk] == theirs.requests[pk] | {"my_role": "customer"}
    assert theirs.requests[pk]["customer"] == {"id": str(customer.pk), "name": "Ada Byron"}
    assert theirs.requests[pk]["session_url"] == f"http://site.example/help/{request.session_id}/"
    taking.accept(request_id=request.pk, person=first.user_profile)
    until(lambda: others.heard("gone"))
    assert others.heard("gone") == [{"id": pk, "status": "accepted", "accepted_by": first.display_name}]
    until(lambda: all(one.requests[pk]["status"] == "accepted" for one in (theirs, organizers, customers)))
    assert theirs.requests[pk]["my_role"] == "mechanic"
    assert customers.requests[pk]["mechanic"] == {"id": str(first.pk), "display_name": first.display_name}
    taking.release(request_id=request.pk, actor=first.user_profile)
    until(lambda: all(one.statuses() == {pk: "pending"} for one in every))
    taking.accept(request_id=request.pk, person=second.user_profile)
    taking.complete(request_id=request.pk, actor=second.user_profile)
    until(lambda: pk not in theirs.requests and customers.requests[pk]["status"] == "completed")


def test_nobody_is_told_of_what_is_not_theirs_to_see(event, screen):
    elsewhere = EventFactory(organization=event.organization)
    somewhere = MechanicFactory(organization=event.organization, serves_all=False)
    somewhere.events.set([elsewhere])
    of_event = MechanicFactory(organization=event.organization, serves_all=False)
    of_event.events.set([event])
    sees = {
        "mechanic": MechanicFactory(organization=event.organization).user_profile,
        "mechanic of the event": of_event.user_profile,
        "owner": member(event.organization, "owner"),
        "viewer": member(event.organization, "viewer"),
        "superuser": UserProfileFactory(is_superuser=True),
        "customer": UserProfileFactory(),
    }
    blind = {
        "off duty": MechanicFactory(organization=event.organization, on_duty=False).user_profile,
        "inactive": MechanicFactory(organization=event.organization, on_duty=False, active=False).user_profile,
        "mechanic of another event": somewhere.user_profile,
        "mechanic of another organisation": MechanicFactory().user_profile,
        "organiser of another organisation": member(OrganizationFactory(), "owner"),
        "door": member(event.organization, "door"),
        "stranger": UserProfileFactory(),
    }
    screens = {name: screen(person) for name, person in (sees | blind).items()}
    request = service_request(event, customer=sees["customer"])
    until(lambda: all(str(request.pk) in screens[name].requests for name in sees))
    # Their own request comes to each of the others, and whatever was to come before it would have come.
    own = {name: str(service_request(event, customer=person).pk) for name, person in blind.items()}
    until(lambda: all(own[name] in screens[name].requests for name in blind))
    assert {name: set(screens[name].requests) for name in blind} == {name: {pk} for name, pk in own.items()}
    assert set(screens["customer"].requests) == {str(request.pk)}
    told = {name: screens[name].heard("gone") for name in screens if screens[name].heard("gone")}
    assert told == {}


def test_who_goes_on_duty_sees_what_waits_and_who_goes_off_sees_it_no_more(event, screen):
    mechanic = MechanicFactory(organization=event.organization, on_duty=False)
    request = service_request(event)
    shown = screen(mechanic.user_profile)
    assert shown.requests == {}
    mechanics.set_duty(mechanic_id=mechanic.pk, on=True, actor=mechanic.user_profile)
    until(lambda: shown.requests)
    assert shown.ready[-1] == {"full": True, "ids": [str(request.pk)]}
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)
    until(lambda: not shown.requests)
    assert shown.ready[-1] == {"full": True, "ids": []}


def test_another_role_shows_another_list_and_who_is_deactivated_is_cut_off(event, screen, refused):
    person, other = UserProfileFactory.create_batch(2)
    request = service_request(event)
    shown, others = screen(person), screen(other)
    Membership.objects.create(organization=event.organization, user_profile=person, role="viewer")
    until(lambda: shown.requests)
    Membership.objects.all().delete()
    until(lambda: not shown.requests)
    serving = MechanicFactory(organization=event.organization, user_profile=person, serves_all=False)
    until(lambda: len(shown.ready) > 3)
    assert shown.requests == {}
    serving.events.set([event])
    until(lambda: str(request.pk) in shown.requests)
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    until(lambda: shown.status == 401)
    assert (others.openings, others.is_open) == (1, True)
    assert refused(person) == (401, "account_closed")
    until(lambda: others.comments > 1)


def test_who_learns_that_it_is_gone_learns_by_whom_only_if_they_work_there(event, screen):
    """Somebody whose role was taken away at the same time."""
    mechanic = MechanicFactory(organization=event.organization)
    organizer = member(event.organization, "organizer")
    request = service_request(event)
    shown = screen(organizer)
    Membership.objects.all().delete()
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    until(lambda: not shown.requests)
    assert all(one == {"id": str(request.pk), "status": None, "accepted_by": None} for one in shown.heard("gone"))


# -- A session -------------------------------------------------------------------------------------------


def test_a_session_is_followed_by_its_two_and_nobody_else(event, screen, refused):
    mechanic = MechanicFactory(organization=event.organization, display_name="Bo the Fixer")
    request = service_request(event)
    path = f"/service-sessions/{request.session_id}/"
    customers = screen(request.customer, path)
    assert customers.heard("session")[0]["status"] == "pending"
    missing = refused(mechanic.user_profile, path)
    assert missing == (404, "not_found")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    until(lambda: customers.heard("session")[-1]["status"] == "live")
    mechanics_screen = screen(mechanic.user_profile, path)
    for person, body in ((request.customer, "Hello?"), (mechanic.user_profile, "Here I am.")):
        talking.say(session_id=request.session_id, person=person, body=body)
    both = (customers, mechanics_screen)
    until(lambda: all(len(one.heard("message")) == 2 for one in both))
    assert [(one["body"], one["mine"], one["author"]["name"]) for one in mechanics_screen.heard("message")] == [
        ("Hello?", False, request.customer.get_full_name()),
        ("Here I am.", True, "Bo the Fixer"),
    ]
    assert [one["mine"] for one in customers.heard("message")] == [True, False]
    assert int(customers.last) == customers.heard("message")[-1]["id"]
    outsiders = [
        member(event.organization, "owner"),
        UserProfileFactory(is_superuser=True),
        MechanicFactory(organization=event.organization).user_profile,
        UserProfileFactory(),
    ]
    assert {refused(person, path) for person in outsiders} == {missing}
    guessed = "/service-sessions/01900000-0000-7000-8000-000000000000/"
    assert refused(request.customer, guessed) == missing
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    until(lambda: mechanics_screen.status == 404)
    assert mechanics_screen.heard("gone") == [{"id": str(request.session_id), "status": None, "accepted_by": None}]
    assert mechanics_screen.heard("session")[-1]["status"] == "live"
    until(lambda: customers.heard("session")[-1]["status"] == "pending")
    assert customers.openings == 1


def test_who_comes_back_to_a_session_gets_the_messages_that_they_lack(event, screen):
    request = service_request(event, mechanic=MechanicFactory(organization=event.organization))
    said = [talking.say(session_id=request.session_id, person=request.customer, body=f"Line {n}").pk for n in range(5)]
    path = f"/service-sessions/{request.session_id}/"
    assert [one["id"] for one in screen(request.customer, path).heard("message")] == said
    missed = screen(request.customer, path, query=f"?last_event_id={said[2]}")
    assert [one["id"] for one in missed.heard("message")] == said[3:]


# -- Coming back -----------------------------------------------------------------------------------------


def test_who_comes_back_gets_what_has_changed_and_what_is_gone(event, screen):
    mine, other = MechanicFactory.create_batch(2, organization=event.organization)
    taken, kept, cancelled, done = (service_request(event) for _ in range(4))
    taking.accept(request_id=done.pk, person=mine.user_profile)
    before = screen(mine.user_profile)
    assert before.statuses() == {str(one.pk): "pending" for one in (taken, kept, cancelled)} | {
        str(done.pk): "accepted"
    }
    query = f"?last_event_id={before.last}"
    assert [screen(mine.user_profile, query=query).events] == [
        [("ready", {"full": False, "ids": sorted(before.requests)})]
    ]
    taking.accept(request_id=taken.pk, person=other.user_profile)
    taking.cancel(request_id=cancelled.pk, actor=cancelled.customer)
    taking.complete(request_id=done.pk, actor=mine.user_profile)
    new = service_request(event)
    back = screen(mine.user_profile, query=query)
    *events, ready = back.events
    assert ready == ("ready", {"full": False, "ids": sorted(str(one.pk) for one in (kept, new))})
    assert {name: {one["id"] for one in back.heard(name)} for name in ("request", "gone")} == {
        "request": {str(done.pk), str(new.pk)},
        "gone": {str(taken.pk), str(cancelled.pk)},
    }
    assert {one["status"]: one["accepted_by"] for one in back.heard("gone")} == {
        "accepted": other.display_name,
        "cancelled": None,
    }
    stranger = screen(UserProfileFactory(), query=query)
    assert stranger.events == [("ready", {"full": False, "ids": []})]


@pytest.mark.parametrize("last", ["", "0", "-1", "x", "1e3", "9" * 18, "9" * 30, "٣"])
def test_whose_last_event_makes_no_sense_gets_all(event, screen, last):
    person = MechanicFactory(organization=event.organization).user_profile
    request = service_request(event)
    ServiceSignal.objects.filter(pk=ServiceSignal.objects.order_by("pk").first().pk).delete()
    shown = screen(person, query=f"?last_event_id={last}")
    assert shown.ready == [{"full": True, "ids": [str(request.pk)]}]


def test_whose_last_event_is_forgotten_or_whose_duty_has_changed_gets_all(event, screen):
    mechanic = MechanicFactory(organization=event.organization)
    request = service_request(event)
    query = f"?last_event_id={screen(mechanic.user_profile).last}"
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)
    mechanics.set_duty(mechanic_id=mechanic.pk, on=True, actor=mechanic.user_profile)
    full = [{"full": True, "ids": [str(request.pk)]}]
    assert screen(mechanic.user_profile, query=query).ready == full
    query = f"?last_event_id={screen(mechanic.user_profile).last}"
    other = service_request(event)
    ServiceSignal.objects.update(at=timezone.now() - ServiceSignal.KEPT - timedelta(minutes=1))
    tasks.forget_signals()
    assert not ServiceSignal.objects.exists()
    assert screen(mechanic.user_profile, query=query).ready == [
        {"full": True, "ids": sorted([str(request.pk), str(other.pk)])}
    ]


# -- The way in ------------------------------------------------------------------------------------------


def test_a_ticket_lets_one_in_once_within_a_minute(stream, wall):
    person = UserProfileFactory()
    ticket = tickets.issue(person=person)
    first = wall.hang(Screen(stream, None, query=f"?ticket={ticket}", comes_back=False))
    until(lambda: first.ready)
    expired = tickets.issue(person=person)
    StreamTicket.objects.update(expires_at=timezone.now())
    for used in (ticket, expired, "made-up"):
        answer = stream.get(f"/session-requests/?ticket={used}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "token_not_valid")
    written = stream.log.read_text()
    assert ticket not in written and expired not in written and "made-up" not in written
    assert str(person.pk) in written


def test_others_are_refused_as_the_api_does(stream):
    known = {"Authorization": f"Bearer {access_token(UserProfileFactory())}"}

    def answer(method, path, **headers):
        given = stream.ask(method, path, headers=headers)
        return given.status_code, given.json()["errors"][0]["code"]

    requests = "/api/v1/stream/session-requests/"
    assert answer("GET", requests) == (401, "not_authenticated")
    assert answer("GET", requests, Authorization="Bearer made-up") == (401, "token_not_valid")
    assert answer("GET", requests, Authorization="Bearer") == (401, "bad_authorization_header")
    assert answer("GET", requests, Authorization="Device 1") == (401, "not_authenticated")
    assert answer("POST", requests, **known) == (405, "method_not_allowed")
    for path in ("/", "/stream/", "/api/v1/stream/ticket/", "/api/v1/session-requests/", "/stream/service-sessions/1/"):
        assert answer("GET", path, **known) == (404, "not_found")
    unknown = stream.ask("GET", requests)
    assert unknown.headers["www-authenticate"] == 'Bearer realm="api"'
    assert unknown.headers["cache-control"] == "no-store"
    assert stream.ask("DELETE", requests).headers["allow"] == "GET, OPTIONS"
    assert stream.ask("GET", "/healthz").json() == {"status": "ok"}


def test_the_stream_is_a_stream_by_either_address(stream, wall):
    person = UserProfileFactory()
    shown = on(wall, stream, person)
    assert shown.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (shown.headers["cache-control"], shown.headers["x-accel-buffering"]) == ("no-store", "no")
    assert shown.retry == "2000"
    short = Screen(stream, f"Bearer {access_token(person)}", root="/stream")
    wall.hang(short)
    until(lambda: short.ready)


def test_pages_of_the_site_and_of_named_origins_may_read_it(tmp_path, transactional_db):
    with process(tmp_path, CORS_ALLOWED_ORIGINS="https://app.example") as stream:
        path = "/api/v1/stream/session-requests/"

        def allowed(origin, method):
            answer = stream.ask(method, path, headers={"Origin": origin})
            assert answer.headers["vary"] == "Origin"
            assert answer.status_code == (204 if method == "OPTIONS" else 401)
            return answer.headers.get("access-control-allow-origin")

        for origin in ("http://site.example", "https://app.example"):
            assert allowed(origin, "GET") == allowed(origin, "OPTIONS") == origin
        for origin in ("https://site.example", "http://site.example.evil", "null", ""):
            assert allowed(origin, "GET") is allowed(origin, "OPTIONS") is None
        headers = {"Origin": "https://app.example", "Access-Control-Request-Headers": "authorization"}
        preflight = stream.ask("OPTIONS", path, headers=headers).headers
        assert "authorization" in preflight["access-control-allow-headers"]
        assert preflight["access-control-allow-methods"] == "GET"


def test_a_person_has_ten_connections_at_most(stream, wall):
    person = UserProfileFactory()
    screens = [on(wall, stream, person, comes_back=False) for _ in range(10)]
    header = {"Authorization": f"Bearer {access_token(person)}"}
    answer = stream.get(headers=header)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert answer.json()["errors"] == [
        {"code": "too_many_streams", "detail": "You have 10 live connections already.", "attr": None}
    ]
    assert on(wall, stream, UserProfileFactory()).ready
    wall.take(screens[0])
    until(lambda: on(wall, stream, person, comes_back=False).ready)


def test_who_does_not_read_is_cut_off_and_nobody_waits_for_them(event, stream, screen):
    mechanic = MechanicFactory(organization=event.organization)
    request = service_request(event, mechanic=mechanic)
    path = f"/service-sessions/{request.session_id}/"
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(("127.0.0.1", stream.port))
        token = access_token(request.customer)
        deaf.sendall(f"GET /stream{path} HTTP/1.1\r\nHost: stream\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        shown = screen(mechanic.user_profile, path)
        line = {"session_id": request.session_id, "author_id": mechanic.user_profile_id}

        def is_cut_off():
            said = SessionMessage.objects.bulk_create(SessionMessage(**line, body="." * 4000) for _ in range(300))
            until(lambda: shown.last == str(said[-1].pk))
            return [one for one in stream.lines() if one.get("event") == "stream.too_slow"]

        [cut] = until(is_cut_off, 60)
        assert cut["person"] == str(request.customer_id)
    assert shown.openings == 1


# -- Many, and what goes away -----------------------------------------------------------------------------------


def test_two_hundred_screens_have_each_request_at_once(event, stream, wall, record_property):
    helping = MechanicFactory.create_batch(150, organization=event.organization)
    people = [one.user_profile for one in helping] + [member(event.organization, "organizer") for _ in range(25)]
    strangers = MechanicFactory.create_batch(25, organization=EventFactory().organization)
    screens = [wall.hang(Screen(stream, f"Bearer {access_token(one)}")) for one in people]
    elsewhere = [
        wall.hang(Screen(stream, f"Bearer {access_token(one)}")) for one in [two.user_profile for two in strangers]
    ]
    until(lambda: all(one.ready for one in screens + elsewhere), 60)
    delays = []
    for _ in range(10):
        pk = str(service_request(event).pk)
        asked = screens[0].now()
        until(lambda pk=pk: all(pk in one.at for one in screens))
        delays.append(max(one.at[pk] for one in screens) - asked)
    record_property("last screen", f"median {statistics.median(delays):.3f} s, at most {max(delays):.3f} s")
    for number, request in enumerate(SessionRequest.objects.order_by("pk")):
        taking.accept(request_id=request.pk, person=people[number])
        others = [one for one in screens[:150] if one is not screens[number]]
        until(lambda pk=str(request.pk), others=others: all(pk not in one.requests for one in others))
    assert all(one.requests == {} for one in elsewhere)
    assert {one.openings for one in screens} == {1}


def test_redis_goes_and_freezes_and_comes_back_and_nothing_is_missed(event, tmp_path, wall, monkeypatch):
    person = MechanicFactory(organization=event.organization).user_profile
    with tempfile.TemporaryDirectory(prefix="turnout-redis-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with monkeypatch.context() as patch:
            patch.delenv("REDIS_URL")
            redis = services.join(folder, durable=False)
        try:
            [server] = [one for one in redis._servers if one.name == "redis"]
            with process(tmp_path, REDIS_URL=redis.redis_url) as stream:
                shown = on(wall, stream, person)

                def arrives():
                    pk = str(service_request(event).pk)
                    until(lambda: pk in shown.requests, 5)

                def said(event):
                    return [one for one in stream.lines() if one.get("event") == event]

                arrives()
                server.stop()
                until(lambda: len(said("stream.redis_away")) == 1)
                arrives()
                server.start()
                arrives()
                until(lambda: said("stream.redis_back"))
                frozen = server.processes()
                for one in frozen:
                    one.send_signal(signal.SIGSTOP)
                arrives()
                until(lambda: len(said("stream.redis_away")) == 2)
                arrives()
                for one in frozen:
                    one.send_signal(signal.SIGCONT)
                until(lambda: len(said("stream.redis_back")) == 2)
                arrives()
                assert shown.openings == 1
        finally:
            redis.leave()


def test_the_stream_is_killed_and_comes_back_and_nothing_is_missed(event, tmp_path, wall):
    mechanic, other = MechanicFactory.create_batch(2, organization=event.organization)
    with process(tmp_path) as stream:
        request = service_request(event, mechanic=mechanic)
        talking.say(session_id=request.session_id, person=mechanic.user_profile, body="Before")
        shown, others = on(wall, stream, mechanic.user_profile), on(wall, stream, other.user_profile)
        chat = on(wall, stream, request.customer, f"/service-sessions/{request.session_id}/")
        taken = service_request(event)
        until(lambda: all(str(taken.pk) in one.requests for one in (shown, others)))
        stream.kill()
        missed = service_request(event)
        taking.accept(request_id=taken.pk, person=other.user_profile)
        talking.say(session_id=request.session_id, person=mechanic.user_profile, body="Meanwhile")
        stream.start()
        until(lambda: all(len(one.ready) == 2 for one in (shown, others)))
        assert shown.statuses() == {str(request.pk): "accepted", str(missed.pk): "pending"}
        assert others.statuses() == {str(taken.pk): "accepted", str(missed.pk): "pending"}
        assert [one.ready[1]["full"] for one in (shown, others)] == [False, False]
        until(lambda: [one["body"] for one in chat.heard("message")] == ["Before", "Meanwhile"])
        later = service_request(event)
        until(lambda: all(str(later.pk) in one.requests for one in (shown, others)))


def test_a_row_that_cannot_be_read_blinds_only_those_who_would_see_it(event, stream, wall):
    organizer, other = member(event.organization, "organizer"), UserProfileFactory()
    shown, others = on(wall, stream, organizer), on(wall, stream, other)
    request = service_request(event)
    until(lambda: shown.requests)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE session_requests SET waiting_since = 'infinity'")
        until(lambda: others.openings > 1 and shown.status == 503)
        own = service_request(EventFactory(), customer=other)
        until(lambda: str(own.pk) in others.requests)
        cursor.execute("UPDATE session_requests SET waiting_since = now()")
    until(lambda: shown.is_open and shown.statuses() == {str(request.pk): "pending"})
    assert [line for line in stream.lines() if line.get("event") == "stream.look_failed"]


def test_postgresql_ends_its_connections_and_nobody_notices(event, stream, screen):
    shown = screen(MechanicFactory(organization=event.organization).user_profile)
    for _ in range(2):
        with psycopg.connect(url(connection.settings_dict["NAME"]), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid NOT IN (pg_backend_pid(), %s)",
                [connection.connection.info.backend_pid],
            )
        pk = str(service_request(event).pk)
        until(lambda pk=pk: pk in shown.requests)
        assert screen(UserProfileFactory()).ready
    assert shown.openings == 1


def test_while_postgresql_is_away_connections_stay_and_then_catch_up(event, tmp_path, wall):
    """A database that takes no connections, as one that is being restarted."""
    person = MechanicFactory(organization=event.organization).user_profile
    header = {"Authorization": f"Bearer {access_token(person)}"}
    database = connection.settings_dict["NAME"]
    with process(tmp_path) as stream, psycopg.connect(url("postgres"), autocommit=True) as admin:
        shown = on(wall, stream, person)
        try:
            admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
                [database, connection.connection.info.backend_pid],
            )
            pk = str(service_request(event).pk)
            answer = stream.get(headers=header)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["errors"][0]["code"] == "unavailable"
            assert shown.requests == {}
        finally:
            admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
        until(lambda: pk in shown.requests)
        assert shown.openings == 1
        words = [line["event"] for line in stream.lines() if line["event"].startswith("stream.database")]
        assert words == ["stream.database_away", "stream.database_back"]
