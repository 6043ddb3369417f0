"""Service requests over HTTP where many call at once, and where the database fails in the middle."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from django.db import connection

from events.models import IdempotencyKey, UserProfile
from events.sign_in import access_token
from requests.models import (
    Intake,
    ServiceSession,
    ServiceSignal,
    SessionParticipant,
    SessionRequest,
    SessionRequestLog,
)
from tests.factories import EventFactory, MechanicFactory, UserProfileFactory, service_request

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/"
AT_ONCE = 40
"""Connections to one server."""


def post(api, person, path, body=None, **headers):
    """As an app does: what is running or busy is sent again after the time that the answer says."""
    headers |= {"Authorization": f"Bearer {access_token(person)}"}
    while True:
        answer = api.post(API + path, json=body, headers=headers)
        if answer.status_code not in (409, 503) or "Retry-After" not in answer.headers:
            return answer
        time.sleep(float(answer.headers["Retry-After"]) / 5)


def at_once(calls):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_a_hundred_customers_file_at_once_each_twice(serve):
    event = EventFactory()
    MechanicFactory.create_batch(3, organization=event.organization)
    customers = UserProfileFactory.create_batch(100)
    keys = {person.pk: uuid4().hex for person in customers}
    with httpx.Client(base_url=serve(), timeout=60, limits=httpx.Limits(max_connections=AT_ONCE)) as api:

        def file(person):
            wish = {"event": event.pk, "concern": f"Of {person.pk}"}
            return lambda: post(api, person, "intakes/", wish, **{"Idempotency-Key": keys[person.pk]})

        answers = at_once([file(person) for person in customers for _time in range(2)])
    assert {answer.status_code for answer in answers} == {201}
    made = [answer.json()["session"]["id"] for answer in answers]
    assert made[::2] == made[1::2]
    assert len(set(made)) == 100
    assert sorted(Intake.objects.values_list("customer", flat=True)) == sorted(keys)
    assert sorted(SessionParticipant.objects.values_list("user_profile", flat=True)) == sorted(keys)
    requests = SessionRequest.objects.filter(status="pending", session__status="pending")
    assert sorted(requests.values_list("customer", flat=True)) == sorted(keys)
    assert ServiceSession.objects.count() == SessionRequest.objects.count() == 100


def test_fifty_mechanics_accept_at_once(serve):
    event = EventFactory()
    mechanics = MechanicFactory.create_batch(50, organization=event.organization)
    with httpx.Client(base_url=serve(), timeout=60, limits=httpx.Limits(max_connections=AT_ONCE)) as api:
        for _race in range(3):
            request = service_request(event)
            path = f"session-requests/{request.pk}/accept/"

            def accept(mechanic, path=path):
                return lambda: post(api, mechanic.user_profile, path)

            answers = at_once([accept(mechanic) for mechanic in mechanics])
            request.refresh_from_db()
            won = [mechanics[number] for number, answer in enumerate(answers) if answer.status_code == 200]
            assert won == [request.mechanic]
            errors = [error for answer in answers for error in answer.json().get("errors", ())]
            told = {(error["code"], error["details"]["accepted_by"]) for error in errors}
            assert (len(errors), told) == (49, {("already_accepted", won[0].display_name)})


STEPS = (Intake, ServiceSession, SessionParticipant, SessionRequest, SessionRequestLog, ServiceSignal)
FAULTS = {"defect": (500, "error"), "refusal": (409, "conflict"), "lost": (503, "unavailable")}
RAISES = {
    "defect": "RAISE EXCEPTION 'forced';",
    "refusal": "RAISE EXCEPTION 'forced' USING ERRCODE = 'check_violation', CONSTRAINT = 'forced';",
    "lost": "PERFORM pg_terminate_backend(pg_backend_pid());",
}


class Fault:
    """``with Fault(model, kind):`` whoever writes to the table meets it."""

    def __init__(self, model, kind):
        self.table, self.kind = model._meta.db_table, kind

    def __enter__(self):
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE FUNCTION forced() RETURNS trigger AS $$ BEGIN {RAISES[self.kind]} RETURN NEW; END $$ "
                "LANGUAGE plpgsql"
            )
            cursor.execute(
                f"CREATE TRIGGER forced BEFORE INSERT ON {self.table} FOR EACH ROW EXECUTE FUNCTION forced()"
            )

    def __exit__(self, *error):
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION forced() CASCADE")


def everything():
    """All that an intake writes."""
    return [list(model.objects.order_by("pk").values()) for model in STEPS]


def test_an_intake_that_fails_at_any_step_leaves_nothing_and_says_so(serve):
    event, customer = EventFactory(), UserProfileFactory()
    before = service_request(event, customer=customer)
    there = everything()
    wish, key = {"event": event.pk, "concern": "Another"}, {"Idempotency-Key": "one"}
    # Nobody counts without Redis.
    with httpx.Client(base_url=serve(REDIS_URL="redis://127.0.0.1:1/0"), timeout=60) as api:
        headers = key | {"Authorization": f"Bearer {access_token(customer)}"}
        for model in STEPS:
            for kind, expected in FAULTS.items():
                with Fault(model, kind):
                    answer = api.post(f"{API}intakes/", json=wish, headers=headers)
                [error] = answer.json()["errors"]
                assert (answer.status_code, error["code"]) == expected, (model, kind)
                assert everything() == there, (model, kind)
                if kind == "lost":  # and with the connection the way to give the key back before its lease ends
                    IdempotencyKey.objects.all().delete()
                assert not IdempotencyKey.objects.exists(), (model, kind)
        answer = api.post(f"{API}intakes/", json=wish, headers=headers)
    assert answer.status_code == 201
    before.refresh_from_db()
    assert (before.status, SessionRequest.objects.get(status="pending").notes) == ("cancelled", "Another")
    assert UserProfile.objects.filter(session_requests__status="pending").count() == 1
