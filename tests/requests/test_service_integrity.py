"""What service requests promise, with faults planted past the triggers: found, each by its own check, and mended."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from prometheus_client import REGISTRY

from config import integrity
from config.database import uuid7
from requests.models import Intake, Mechanic, ServiceSession, SessionParticipant, SessionRequest, SessionRequestLog
from requests.operations import intakes, taking, telling
from tests import factories

pytestmark = pytest.mark.django_db

NAMES = ["service-requests", "service-states", "service-participants", "service-told"]
AGO = timedelta(minutes=6)


def at_commit():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def load(sql, *params):
    """Writes as a restore does: with every trigger off."""
    at_commit()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, params)
        cursor.execute("SET LOCAL session_replication_role = origin")


def found() -> dict:
    """What isn't healthy."""
    findings = integrity.run(NAMES)
    return {one.invariant.name: (one.level, one.violations) for one in findings if one.level != "healthy"}


def figures(name) -> dict:
    [invariant] = integrity.named([name])
    return invariant.figures()


def mended(name) -> int:
    made = sum(mended for _tried, mended in integrity.repairs()[name].mend())
    at_commit()
    return made


def backfill(capsys, *options) -> str:
    call_command("backfill", "service-requests", *options)
    return capsys.readouterr().out


def people_in(session_id) -> dict:
    """Who is in it now, by role."""
    here = SessionParticipant.objects.filter(session=session_id, left_at=None)
    return dict(here.values_list("role", "user_profile"))


def long_ago(*requests):
    for one in requests:
        load("UPDATE session_requests SET waiting_since = %s WHERE id = %s", timezone.now() - AGO, one.pk)
    load("UPDATE mechanics SET updated_at = %s", timezone.now() - AGO)


@pytest.fixture
def mechanic(event) -> Mechanic:
    return factories.MechanicFactory(organization=event.organization)


@pytest.fixture
def loaded(event):
    """``loaded(status, …)``: a session that came from elsewhere, without anything that belongs to it."""

    def made(status, *, customer=None, mechanic=None, of=event, **fields) -> ServiceSession:
        customer = customer or factories.UserProfileFactory()
        at = timezone.now() - timedelta(days=3)
        row = {
            "id": uuid7(),
            "organization_id": of.organization_id,
            "event_id": of.pk,
            "customer_id": customer.pk,
            "mechanic_id": mechanic and mechanic.pk,
            "status": status,
            "type": "video",
            "plan": "gold",
            "created_at": at,
            "started_at": at + timedelta(minutes=2) if mechanic else None,
            "last_activity_at": at + timedelta(minutes=9) if mechanic else None,
            "ended_at": at + timedelta(minutes=20) if status in ("completed", "cancelled") else None,
        } | fields
        columns, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        load(f"INSERT INTO service_sessions ({columns}) VALUES ({marks})", *row.values())
        return ServiceSession.objects.get(pk=row["id"])

    return made


def test_all_is_well(event, mechanic):
    factories.service_request(event)
    factories.service_request(event, mechanic=mechanic)
    at_commit()
    telling.tell_waiting()
    assert [one.name for one in integrity.named(NAMES)] == NAMES
    assert found() == {}
    assert figures("service-requests") == {
        "sessions": 2,
        "without_request": 0,
        "open_without_request": 0,
        "open": 1,
        "unattended": 0,
        "made_by_backfill": 0,
    }


# -- Sessions without a request ------------------------------------------------------------------------------


def test_sessions_of_each_state_get_their_request(loaded, event, mechanic, capsys):
    other = factories.MechanicFactory(organization=event.organization)
    waits, live = loaded("pending"), loaded("live", mechanic=mechanic)
    done, alone = loaded("completed", mechanic=other), loaded("completed")
    off, left = loaded("cancelled"), loaded("cancelled", mechanic=mechanic)
    everything = [waits, live, done, alone, off, left]
    assert figures("service-requests")["open_without_request"] == 2
    assert found()["service-requests"] == ("critical", 6)

    assert backfill(capsys, "--dry-run") == "6 to mend. Dry run: nothing was changed.\n"
    assert SessionRequest.objects.count() == 0

    assert backfill(capsys, "--batch-size=4") == (
        "6 of 6 mended, 0 left.\n"
        "sessions: 6\nwithout request: 0\nopen without request: 0\nopen: 1\nunattended: 0\nmade by backfill: 6\n"
    )
    at_commit()
    assert found() == {}
    request = {one.session_id: one for one in SessionRequest.objects.all()}
    for session in everything:
        made = request[session.pk]
        assert made.metadata == {"created_by": "backfill"}
        assert (made.customer, made.event, made.organization) == (session.customer, event, event.organization)
        assert (made.customer_name, made.customer_email) == (str(session.customer), session.customer.email)
        assert (made.session_type, made.plan_code, made.created_at) == ("video", "gold", session.created_at)
        assert made.closed_at == session.ended_at
        assert made.accepted_at == (session.started_at if session.mechanic else None)
        assert made.mechanic == session.mechanic
    assert [request[one.pk].status for one in everything] == [
        "pending", "accepted", "completed", "completed", "cancelled", "cancelled",
    ]  # fmt: skip
    assert people_in(waits.pk) == {"customer": waits.customer_id}
    assert people_in(live.pk) == {"customer": live.customer_id, "mechanic": mechanic.user_profile_id}
    assert people_in(done.pk) == {"customer": done.customer_id, "mechanic": other.user_profile_id}
    steps = SessionRequestLog.objects.values_list("from_status", "reason", "actor")
    assert list(steps) == [(None, "backfill", None)] * 6

    before = list(SessionRequest.objects.order_by("pk").values_list("pk", "updated_at"))
    assert backfill(capsys).startswith("0 of 0 mended, 0 left.\n")
    assert list(SessionRequest.objects.order_by("pk").values_list("pk", "updated_at")) == before


def test_what_was_backfilled_is_taken_like_any_other(loaded, mechanic, capsys):
    intake = Intake.objects.create(
        organization=mechanic.organization, customer=factories.UserProfileFactory(), concern="It squeaks.", urgent=True
    )
    session = loaded("pending", customer=intake.customer, intake_id=intake.pk)
    backfill(capsys)
    at_commit()
    request = SessionRequest.objects.get(session=session)
    assert (request.notes, request.urgent, request.skill) == ("It squeaks.", True, "")
    assert telling.tell_waiting() == 1
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    at_commit()
    session.refresh_from_db()
    assert (session.status, session.mechanic) == ("live", mechanic)
    assert found() == {}


def test_of_two_that_wait_of_one_customer_the_second_is_cancelled(loaded, event, capsys):
    customer = factories.UserProfileFactory()
    first, second = loaded("pending", customer=customer), loaded("pending", customer=customer)
    asked = factories.service_request(event)
    third = loaded("pending", customer=asked.customer)
    assert backfill(capsys).startswith("3 of 3 mended, 0 left.\n")
    at_commit()
    for session, status in ((first, "pending"), (second, "cancelled"), (third, "cancelled")):
        session.refresh_from_db()
        assert (session.status, session.request.status) == (status, status)
    asked.refresh_from_db()
    assert asked.status == "pending"
    assert found() == {}


def test_whoever_was_loaded_as_their_own_mechanic_waits(loaded, mechanic, capsys):
    session = loaded("live", mechanic=mechanic, customer=mechanic.user_profile)
    backfill(capsys)
    at_commit()
    session.refresh_from_db()
    assert (session.status, session.mechanic, session.request.status) == ("pending", None, "pending")


def test_a_live_session_of_nobody_is_refused_however_it_comes(loaded):
    with pytest.raises(IntegrityError, match="requests_servicesession_live_has_mechanic"), transaction.atomic():
        loaded("live", started_at=timezone.now(), last_activity_at=timezone.now())
    with pytest.raises(IntegrityError, match="requests_servicesession_status_known"), transaction.atomic():
        loaded("asleep")
    assert ServiceSession.objects.count() == 0


def test_one_event_alone(loaded, capsys):
    loaded("pending")
    elsewhere = factories.EventFactory()
    there = loaded("pending", of=elsewhere)
    assert backfill(capsys, "--dry-run", f"--event={elsewhere.pk}") == "1 to mend. Dry run: nothing was changed.\n"
    assert backfill(capsys, f"--event={elsewhere.pk}").startswith("1 of 1 mended, 0 left.\n")
    assert list(SessionRequest.objects.values_list("session", flat=True)) == [there.pk]
    with pytest.raises(CommandError, match="can't be narrowed to one guest"):
        backfill(capsys, f"--guest={uuid7()}")


@pytest.mark.parametrize(("status", "level", "code"), [("pending", "critical", 2), ("cancelled", "warning", 1)])
def test_the_check_says_how_bad_it_is(loaded, capsys, status, level, code):
    call_command("check_integrity", "service-requests")
    assert capsys.readouterr().out.startswith("healthy ")
    loaded(status)
    with pytest.raises(SystemExit) as stopped:
        call_command("check_integrity", "service-requests", "--json")
    assert stopped.value.code == code
    report = json.loads(capsys.readouterr().out)
    assert (report["level"], report["checks"][0]["violations"]) == (level, 1)
    assert report["checks"][0]["figures"]["without_request"] == 1


# -- Session and request that disagree -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "request_is", "session_is"),
    [
        ("UPDATE service_sessions SET status = 'pending', mechanic_id = NULL", "accepted", "live"),
        (
            "UPDATE session_requests SET status = 'pending', mechanic_id = NULL, accepted_at = NULL",
            "pending",
            "pending",
        ),
        ("UPDATE session_requests SET status = 'cancelled', closed_at = now()", "cancelled", "cancelled"),
        ("UPDATE session_requests SET status = 'completed', closed_at = now()", "completed", "completed"),
        ("UPDATE service_sessions SET status = 'completed', ended_at = now()", "completed", "completed"),
        ("UPDATE service_sessions SET status = 'cancelled', ended_at = now()", "cancelled", "cancelled"),
        (
            "UPDATE service_sessions SET status = 'completed', ended_at = now(), mechanic_id = NULL",
            "completed",
            "completed",
        ),
    ],
)
def test_a_session_that_disagrees_is_found_and_mended(event, mechanic, damage, request_is, session_is):
    request = factories.service_request(event, mechanic=mechanic)
    load(damage)
    assert found()["service-states"] == ("critical", 1)
    assert mended("service-states") == 1
    session = ServiceSession.objects.get()
    assert (session.request.status, session.status) == (request_is, session_is)
    has = None if request_is == "pending" else mechanic
    assert (session.mechanic, session.request.mechanic) == (has, has)
    people = {"customer": request.customer_id} | ({"mechanic": mechanic.user_profile_id} if has else {})
    assert people_in(session.pk) == people
    assert mended("service-states") == 0
    assert "service-states" not in found()


def test_the_request_says_who_has_it(event, mechanic):
    """Once it is mended, whoever had been written there by mistake has left."""
    request = factories.service_request(event, mechanic=mechanic)
    other = factories.MechanicFactory(organization=event.organization)
    load("UPDATE service_sessions SET mechanic_id = %s", other.pk)
    assert found() == {"service-states": ("critical", 1), "service-participants": ("critical", 1)}
    assert mended("service-states") == 1
    assert ServiceSession.objects.get().mechanic == mechanic
    assert people_in(request.session_id) == {
        "customer": request.customer_id, "mechanic": mechanic.user_profile_id,
    }  # fmt: skip
    assert found() == {}


def test_what_nobody_can_tell_stays_and_says_so(event, mechanic, capsys):
    over = factories.service_request(event, mechanic=mechanic)
    nobody = factories.service_request(event, mechanic=mechanic)
    taking.complete(request_id=over.pk, actor=mechanic.user_profile)
    load("UPDATE service_sessions SET status = 'cancelled' WHERE id = %s", over.session_id)
    with connection.cursor() as cursor:
        for table, name in (
            ("service_sessions", "requests_servicesession_live_has_mechanic"),
            ("session_requests", "requests_sessionrequest_accepted_has_mechanic"),
            ("session_requests", "requests_sessionrequest_mechanic_since_accepted"),
        ):
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    load("UPDATE service_sessions SET mechanic_id = NULL WHERE id = %s", nobody.session_id)
    load("UPDATE session_requests SET mechanic_id = NULL WHERE id = %s", nobody.pk)
    assert found()["service-states"] == ("critical", 2)
    with pytest.raises(CommandError, match="2 could not be mended"):
        call_command("backfill", "service-states")
    assert capsys.readouterr().out == "0 of 2 mended, 2 left.\n"


def test_whoever_helps_another_organisation_is_found(event, mechanic, capsys):
    request = factories.service_request(event, mechanic=mechanic)
    stranger = factories.MechanicFactory()
    for table in ("service_sessions", "session_requests"):
        load(f"UPDATE {table} SET mechanic_id = %s", stranger.pk)
    assert found()["service-states"] == ("critical", 1)
    with pytest.raises(CommandError, match="1 could not be mended"):
        call_command("backfill", "service-states")
    assert ServiceSession.objects.get(pk=request.session_id).mechanic == stranger


def test_a_session_that_lacks_its_request_is_no_page_yet(loaded, mechanic, client):
    """And none that fails: not for its customer, nor for its mechanic."""
    session = loaded("live", mechanic=mechanic)
    let_in = "INSERT INTO service_session_participants (session_id, user_profile_id, role) VALUES (%s, %s, %s)"
    load(let_in, session.pk, session.customer_id, "customer")
    load(let_in, session.pk, mechanic.user_profile_id, "mechanic")
    for person, path in (
        (session.customer, f"/help/{session.pk}/"),
        (session.customer, f"/help/{session.pk}/cancel/"),
        (mechanic.user_profile, f"/admin/requests/sessionrequest/session/{session.pk}/"),
    ):
        client.force_login(person, backend="events.sign_in.EmailBackend")
        assert client.get(path).status_code == 404
    intakes.backfill_requests(rows=[session.pk])
    client.force_login(session.customer, backend="events.sign_in.EmailBackend")
    assert client.get(f"/help/{session.pk}/").status_code == 200


# -- Who is in it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM service_session_participants",
        "DELETE FROM service_session_participants WHERE role = 'mechanic'",
        "DELETE FROM service_session_participants WHERE role = 'customer'",
        "UPDATE service_session_participants SET left_at = now() WHERE role = 'mechanic'",
    ],
)
def test_whoever_is_missing_is_found_and_let_in(event, mechanic, damage):
    request = factories.service_request(event, mechanic=mechanic)
    load(damage)
    assert found() == {"service-participants": ("critical", 1)}
    assert mended("service-participants") == 1
    assert people_in(request.session_id) == {
        "customer": request.customer_id, "mechanic": mechanic.user_profile_id,
    }  # fmt: skip
    assert found() == {}


ADD_A_SPY = "INSERT INTO service_session_participants (session_id, user_profile_id, role) SELECT s.id, u.id"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE service_session_participants SET role = 'mechanic'",
        f"{ADD_A_SPY}, 'mechanic' FROM service_sessions s, user_profiles u WHERE u.email = 'spy@example.org'",
        f"{ADD_A_SPY}, 'customer' FROM service_sessions s, user_profiles u WHERE u.email = 'spy@example.org'",
    ],
)
def test_whoever_does_not_belong_there_is_found_and_taken_out(event, mechanic, damage):
    factories.UserProfileFactory(email="spy@example.org")
    request = factories.service_request(event, mechanic=mechanic)
    load(damage)
    assert found() == {"service-participants": ("critical", 1)}
    assert mended("service-participants") == 1
    assert people_in(request.session_id) == {
        "customer": request.customer_id, "mechanic": mechanic.user_profile_id,
    }  # fmt: skip
    assert found() == {}


def test_where_session_and_request_disagree_that_comes_first(event, mechanic, capsys):
    request = factories.service_request(event, mechanic=mechanic)
    load("DELETE FROM service_session_participants")
    load("UPDATE session_requests SET status = 'cancelled', closed_at = now()")
    with pytest.raises(CommandError, match="1 could not be mended"):
        call_command("backfill", "service-participants")
    assert mended("service-states") == 1
    assert people_in(request.session_id).keys() == {"customer", "mechanic"}
    assert found() == {}


# -- Who was told --------------------------------------------------------------------------------------------


def test_nobody_told_is_a_warning_where_somebody_is_there(event):
    request = factories.service_request(event)
    long_ago(request)
    assert found() == {}  # nobody on duty: no mechanic could have been told
    mechanic = factories.MechanicFactory(organization=event.organization)
    assert found() == {}  # on duty just now
    long_ago()
    assert found() == {"service-told": ("warning", 1)}
    with pytest.raises(SystemExit) as stopped:
        call_command("check_integrity", "service-told")
    assert stopped.value.code == 1
    assert mended("service-told") == 1
    assert SessionRequest.objects.get().notification_sent_at is not None
    assert found() == {}
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    assert found() == {}


def test_nobody_is_told_of_their_own(event, mechanic):
    long_ago(factories.service_request(event, customer=mechanic.user_profile))
    assert found() == {}


def test_organisers_who_hear_nothing_of_what_is_unattended_are_a_warning(event):
    request = factories.service_request(event)
    taking.mark_unattended(at=timezone.now() + timedelta(minutes=11))
    assert found() == {}
    load("UPDATE session_requests SET waiting_since = %s", timezone.now() - timedelta(minutes=16))
    assert found() == {"service-told": ("warning", 1)}
    assert mended("service-told") == 1
    request.refresh_from_db()
    assert request.told == telling.ORGANIZERS
    assert found() == {}


# -- For monitoring ------------------------------------------------------------------------------------------


def test_a_scrape_says_who_waits(event):
    def scraped(name, **labels):
        return REGISTRY.get_sample_value(f"turnout_service_requests_{name}", labels)

    assert (scraped("open", status="pending"), scraped("open", status="unattended")) == (0, 0)
    assert scraped("oldest_wait_seconds") == 0
    first = factories.service_request(event)
    factories.service_request(event)
    long_ago(first)
    taking.mark_unattended(at=timezone.now() + timedelta(minutes=5))
    assert (scraped("open", status="pending"), scraped("open", status="unattended")) == (1, 1)
    assert 360 <= scraped("oldest_wait_seconds") < 420
