"""The sweep over service requests, and what it makes up for: lost tasks, workers that died, steps that failed."""

from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from celery.signals import task_retry
from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.errors import ConstraintViolated, Unavailable
from events.operations import privacy
from messaging.models import Message, MessageDelivery
from requests import tasks
from requests.models import ServiceSession, ServiceSignal, SessionRequest, SessionRequestLog, StreamTicket
from requests.operations import mechanics, taking, talking, tickets
from tests.factories import MechanicFactory, UserProfileFactory, member, service_request

committed = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization)


def aged(request, minutes):
    """It began to wait, or its mechanic last did something, so long ago."""
    ago = timezone.now() - minutes * MINUTE
    SessionRequest.objects.filter(pk=request.pk).update(waiting_since=ago)
    ServiceSession.objects.filter(pk=request.session_id, status="live").update(last_activity_at=ago)
    return request


def statuses(*requests):
    found = dict(SessionRequest.objects.values_list("pk", "status"))
    return [found[one.pk] for one in requests]


def told(person):
    rows = MessageDelivery.objects.filter(user=person, channel="in_app").order_by("pk")
    return list(rows.values_list("message__subject", flat=True))


# -- By beat -----------------------------------------------------------------------------------------------


def test_they_are_beat_s():
    every = {one["task"]: (one["schedule"], one["options"]["expires"]) for one in settings.CELERY_BEAT_SCHEDULE.values()
             if one["task"] in (tasks.watch_service_requests.name, tasks.forget_signals.name)}  # fmt: skip
    assert every == {"requests.tasks.watch_service_requests": (15, 14), "requests.tasks.forget_signals": (3600, 3000)}


def test_one_round_does_all_of_it(event, mechanic):
    organizer = member(event.organization, "organizer")
    fresh, late = service_request(event), aged(service_request(event), 11)
    idle, quiet = (aged(service_request(event, mechanic=mechanic), minutes) for minutes in (16, 11))
    tasks.watch_service_requests.apply(throw=True)
    assert statuses(fresh, late, idle, quiet) == ["pending", "unattended", "pending", "accepted"]
    assert set(told(organizer)) == {
        "Nobody takes a service request",
        "A service request came back, and nobody else is on duty",
    }
    assert sorted(told(mechanic.user_profile)) == [
        "A request went back to the line",
        "Are you still on it?",
        "Somebody needs help",
        "Somebody needs help",
    ]
    before = SessionRequestLog.objects.count(), Message.objects.count()
    tasks.watch_service_requests.apply(throw=True)
    assert (SessionRequestLog.objects.count(), Message.objects.count()) == before


def test_nothing_to_do_is_six_questions(event, mechanic, django_assert_num_queries):
    service_request(event, mechanic=mechanic)
    with django_assert_num_queries(6):
        tasks.watch_service_requests()


def test_what_was_asked_before_is_over_for_good(event, mechanic):
    """Replaced by a newer one, it neither rings nor comes back."""
    older = service_request(event)
    newer = service_request(event, customer=older.customer)
    tasks.watch_service_requests()
    assert statuses(older, newer) == ["cancelled", "pending"]
    assert told(mechanic.user_profile) == ["Somebody needs help"]
    assert str(newer.pk) in Message.objects.get().key


@committed
def test_asking_has_a_worker_tell_and_without_one_the_sweep_does(event, mechanic):
    service_request(event)
    assert told(mechanic.user_profile) == []
    tasks.watch_service_requests()
    assert told(mechanic.user_profile) == ["Somebody needs help"]


# -- Steps that fail -----------------------------------------------------------------------------------------

REFUSE = "RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation', CONSTRAINT = 'refused';"
DIE = "PERFORM pg_terminate_backend(pg_backend_pid());"


@contextmanager
def fault(table, what=REFUSE, only="true"):
    """Whatever is written to the table meets it, or the rows for which ``only`` holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE FUNCTION forced() RETURNS trigger AS $$ BEGIN IF {only} THEN {what} END IF; RETURN NEW; END $$ "
            "LANGUAGE plpgsql"
        )
        cursor.execute(
            f"CREATE TRIGGER forced BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION forced()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION forced() CASCADE")


@committed
@pytest.mark.parametrize("what", [REFUSE, DIE], ids=["refused", "died"])
def test_where_it_fails_the_next_round_goes_on(event, mechanic, what):
    """In the middle of a round, at one of its rows: that one is as it was, the others are done."""
    late = [aged(service_request(event), 11) for _number in range(3)]
    idle = [aged(service_request(event, mechanic=mechanic), 16) for _number in range(3)]
    broken = ", ".join(f"'{one.pk}'" for one in (late[1], idle[1]))
    with fault("session_requests", what, f"NEW.id IN ({broken}) AND NEW.status IS DISTINCT FROM OLD.status"):
        tasks.watch_service_requests.apply(throw=True)
    assert statuses(*late) == ["unattended", "pending", "unattended"]
    assert statuses(*idle) == ["pending", "accepted", "pending"]
    assert [told(one.customer)[1:] for one in idle] == [["We are looking for somebody else"], [], [
        "We are looking for somebody else"]]  # fmt: skip
    tasks.watch_service_requests.apply(throw=True)
    assert statuses(*late, *idle) == ["unattended"] * 3 + ["pending"] * 3
    assert SessionRequestLog.objects.filter(to_status="unattended").count() == 3
    assert told(mechanic.user_profile).count("A request went back to the line") == 3


@committed
@pytest.mark.parametrize("table", ["event_messages", "message_deliveries", "session_requests"])
def test_telling_that_fails_is_made_up_for_and_not_told_twice(event, mechanic, table):
    service_request(event)
    with fault(table):
        tasks.watch_service_requests.apply(throw=True)
    assert not Message.objects.exists()
    assert SessionRequest.objects.get().notification_sent_at is None
    for _round in range(2):
        tasks.watch_service_requests.apply(throw=True)
    assert told(mechanic.user_profile) == ["Somebody needs help"]
    assert SessionRequest.objects.get().notification_sent_at is not None


@committed
def test_what_nobody_foresaw_is_tried_again_and_holds_up_nothing_else(event, mechanic):
    """A defect, not a refusal: after 2, 4 and 8 seconds, and then by the next round. All others have been told of."""
    pauses = []

    def note(reason, **_kwargs):
        pauses.append(reason.when)

    late, fresh = [aged(service_request(event), 11) for _number in range(3)], service_request(event)
    task_retry.connect(note, weak=False)
    try:
        with fault("session_request_log", "RAISE EXCEPTION 'no';", f"NEW.request_id = '{late[1].pk}'"):
            result = tasks.watch_service_requests.apply()
    finally:
        task_retry.disconnect(note)
    assert sorted(pauses) == [2, 4, 8]
    assert isinstance(result.result, ExceptionGroup)
    assert statuses(*late, fresh) == ["unattended", "pending", "unattended", "pending"]
    assert told(mechanic.user_profile) == ["Somebody needs help"] * 4
    tasks.watch_service_requests.apply(throw=True)
    assert statuses(*late) == ["unattended"] * 3


def everything():
    found = {}
    with connection.cursor() as cursor:
        for table in (
            "service_sessions", "service_session_participants", "service_session_messages", "session_requests",
            "session_request_log", "service_signals", "mechanics", "requests_historicalmechanic", "user_profiles",
            "event_messages", "message_deliveries",
        ):  # fmt: skip
            cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
            found[table] = cursor.fetchall()
    return found


IN_ALL = ("service_sessions", "session_requests", "session_request_log", "service_signals")
TOLD = ("event_messages", "message_deliveries")
WITH_PARTICIPANTS = (*IN_ALL, "service_session_participants", *TOLD)


@committed
@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("accept", WITH_PARTICIPANTS),
        ("takeover", WITH_PARTICIPANTS),
        ("release", WITH_PARTICIPANTS),
        ("off duty", ("mechanics", "requests_historicalmechanic", *WITH_PARTICIPANTS)),
        ("complete", (*IN_ALL, *TOLD)),
        ("cancel", (*IN_ALL, *TOLD)),
        ("say", ("service_session_messages", "service_sessions", "service_signals")),
        ("erase", ("user_profiles", *IN_ALL, *TOLD)),
    ],
)
def test_an_act_that_fails_at_any_step_leaves_nothing(event, mechanic, name, tables):
    """By a refusal, or as the connection dies: even where it is the commit that fails. Then, unhindered, it works."""
    organizer, other = member(event.organization, "organizer"), MechanicFactory(organization=event.organization)
    request = service_request(event, mechanic=None if name == "accept" else mechanic)
    give = {"request_id": request.pk}
    act = {
        "accept": partial(taking.accept, person=mechanic.user_profile, **give),
        "takeover": partial(taking.takeover, mechanic_id=other.pk, actor=organizer, **give),
        "release": partial(taking.release, actor=mechanic.user_profile, **give),
        "off duty": partial(mechanics.set_duty, mechanic_id=mechanic.pk, on=False, actor=organizer),
        "complete": partial(taking.complete, actor=mechanic.user_profile, **give),
        "cancel": partial(taking.cancel, actor=request.customer, **give),
        "say": partial(talking.say, session_id=request.session_id, person=mechanic.user_profile, body="Hello"),
        "erase": partial(privacy.erase, person_id=request.customer_id, actor=request.customer),
    }[name]
    before = everything()
    for table in tables:
        for what, error in ((REFUSE, ConstraintViolated), (DIE, Unavailable)):
            with fault(table, what), pytest.raises(error) as caught:
                act()
            assert caught.value.code in ("conflict", "unavailable")
            assert everything() == before, table
    act()
    assert everything() != before


# -- Forgetting --------------------------------------------------------------------------------------------


def test_signals_and_tickets_are_forgotten_in_time(event):
    request = service_request(event)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    old = ServiceSignal.objects.get()
    person = UserProfileFactory()
    late = tickets.issue(person=person)
    ServiceSignal.objects.update(at=timezone.now() - timedelta(hours=25))
    StreamTicket.objects.update(expires_at=timezone.now() - MINUTE)
    SessionRequest.objects.filter(pk=request.pk).update(urgent=True)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    young = tickets.issue(person=person)
    tasks.forget_signals()
    assert ServiceSignal.objects.get().pk > old.pk
    assert tickets.redeem(ticket=late) is None
    assert tickets.redeem(ticket=young) == person.pk
