"""The benchmarks of service requests: asking, accepting, and what those who help look at."""

from datetime import timedelta
from itertools import cycle, islice
from uuid import UUID

from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.database import uuid7
from requests.models import Mechanic, ServiceSession, SessionRequest
from requests.operations import intakes, taking
from requests.operations import telling as news

from . import data
from .harness import in_rounds, timed

ROUNDS = 3
CALLS = 400
WAITING = 40
MECHANICS = 50
AT_ONCE = 500


def intake(bench):
    """Customers of 100 organisations ask once each; beside it a bare view with the three INSERTs, and all that triggers
    add."""
    bench.serve()
    people = data.people(ROUNDS * 2 * CALLS + 2)
    events = []
    for _ in range(100):
        owner, _organizer = data.organization()
        events.append(data.event(owner))
        _mechanics(owner, people[:1])
    queue = zip(people[1:], cycle(events), strict=False)
    path = "/api/v1/intakes/"
    body = {"concern": CONCERN, "urgent": True}
    first, event = next(queue)
    bench.record("intake", "POST", path, first, body | {"event": event.pk})
    marks = {name: uuid7() for name in ("intake", "session", "request", "customer")}
    marks |= {"organization": MARKED, "event": MARKED + 1}
    bench.recordings["bare_intake"] = [sql.format(concern=CONCERN, **marks) for sql in BARE_INTAKE]
    bench.template("bare_intake", **marks)

    def site():
        calls = [bench.call("POST", path, one, body | {"event": event.pk}) for one, event in islice(queue, CALLS)]
        return bench.calls(calls, 201)

    def bare():
        rows = [
            {"customer": one.pk, "organization": event.organization_id, "event": event.pk}
            | {name: uuid7() for name in ("intake", "session", "request")}
            for one, event in islice(queue, CALLS)
        ]
        return bench.replay("bare_intake", first, rows)

    yield in_rounds(
        "intake, 100 organisations",
        "intakes a second",
        ROUNDS,
        {"bare view, the three INSERTs": bare, "Turnout's API": site},
        {"Turnout's API": f"{len(bench.recordings['intake'])} statements; mechanics are told by a worker, later"},
    )


MARKED = 987_654_321
"""Ids that are found in the SQL and mean nothing else there."""
CONCERN = "The chain keeps jumping off."
BARE_INTAKE = (
    "BEGIN",
    """INSERT INTO intakes (id, organization_id, event_id, customer_id, concern, urgent)
    VALUES ('{intake}', {organization}, {event}, '{customer}', '{concern}', true)""",
    """INSERT INTO service_sessions (id, organization_id, event_id, intake_id, customer_id)
    VALUES ('{session}', {organization}, {event}, '{intake}', '{customer}')""",
    """INSERT INTO session_requests (id, organization_id, event_id, session_id, customer_id, notes, urgent)
    VALUES ('{request}', {organization}, {event}, '{session}', '{customer}', '{concern}', true)""",
    "COMMIT",
)


def accept(bench):
    """50 mechanics take what waits, each another request; and all of them want one that somebody has."""
    bench.serve()
    owner, _organizer = data.organization()
    event = data.event(owner)
    people = data.people(MECHANICS + ROUNDS * 2 * CALLS + 2)
    helpers = _mechanics(owner, people[:MECHANICS])
    waiting = iter([_ask(event, one) for one in people[MECHANICS:]])
    taken = next(waiting)
    taking.accept(request_id=taken.pk, person=helpers[0].user_profile)
    path = "/api/v1/session-requests/{}/accept/"
    marked = next(waiting)
    bench.record("accept", "POST", path.format(marked.pk), helpers[1].user_profile)
    bench.recordings["bare_accept"] = [
        sql.format(request=marked.pk, session=marked.session_id, mechanic=helpers[1].pk) for sql in BARE_ACCEPT
    ]
    bench.template("bare_accept", request=marked.pk, session=marked.session_id, mechanic=helpers[1].pk)
    turns = cycle(helpers)

    def site():
        calls = [bench.call("POST", path.format(one.pk), next(turns).user_profile) for one in islice(waiting, CALLS)]
        return bench.calls(calls, 200)

    def bare():
        rows = [
            {"request": one.pk, "session": one.session_id, "mechanic": next(turns).pk} for one in islice(waiting, CALLS)
        ]
        return bench.replay("bare_accept", helpers[0].user_profile, rows)

    def too_late():
        late = cycle(helpers[1:])
        calls = [bench.call("POST", path.format(taken.pk), next(late).user_profile) for _ in range(CALLS)]
        return bench.calls(calls, 409)

    yield in_rounds(
        f"accept, {MECHANICS} mechanics",
        "calls a second",
        ROUNDS,
        {
            "bare view, the two UPDATEs": bare,
            "Turnout's API, each another request": site,
            "Turnout's API, one that somebody has": too_late,
        },
        {
            "Turnout's API, each another request": f"{len(bench.recordings['accept'])} statements",
            "Turnout's API, one that somebody has": "refused, without waiting for a lock",
        },
    )


BARE_ACCEPT = (
    "BEGIN",
    "UPDATE service_sessions SET status = 'live', mechanic_id = '{mechanic}' WHERE id = '{session}'",
    """UPDATE session_requests SET status = 'accepted', mechanic_id = '{mechanic}', accepted_at = now()
    WHERE id = '{request}'""",
    "COMMIT",
)


def waiting(bench):
    """What those on duty look at all day, in an organisation that is new and in one with 100,000 requests behind it."""
    bench.serve()
    viewers, clients, queries = {}, {}, {}
    everybody = data.people(2 * (WAITING + 1) + 2000)
    for place, closed in enumerate((0, 100_000)):
        owner, organizer = data.organization()
        event = data.event(owner)
        people = everybody[place * (WAITING + 1) :][: WAITING + 1]
        [viewers[closed]] = _mechanics(owner, people[:1])
        for one in people[1:]:
            _ask(event, one)
        _fill(event, everybody[-2000:], viewers[closed], closed)
        clients[closed] = Client(SERVER_NAME="127.0.0.1")
        clients[closed].force_login(organizer, "events.sign_in.EmailBackend")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE session_requests, service_sessions, session_request_log")
    names = {0: "nothing else", 100_000: "100,000 that are over"}

    path = f"/api/v1/session-requests/?status=pending,unattended&page_size={WAITING}"

    def listed(closed):
        answer = bench.record("waiting", "GET", path, viewers[closed].user_profile)
        assert len(answer.json()["results"]) == WAITING
        request = bench.call("GET", path, viewers[closed].user_profile)
        return lambda: bench.calls([request] * 200, 200)

    yield in_rounds(
        f"waiting, the list of {WAITING} by the API",
        "answers a second",
        ROUNDS,
        {name: listed(closed) for closed, name in names.items()},
        {names[0]: f"{len(bench.recordings['waiting'])} statements"},
    )

    def board(closed):
        def visit():
            with timed() as seconds:
                answer = clients[closed].get("/admin/requests/sessionrequest/board/rows/")
            assert answer.status_code == 200, answer
            return 1000 * seconds()

        visit()
        with CaptureQueriesContext(connection) as captured:
            visit()
        queries[names[closed]] = f"{len(captured)} queries"
        return visit

    yield in_rounds(
        "waiting, the board's fragment",
        "ms, without HTTP",
        ROUNDS * 2 + 1,
        {name: board(closed) for closed, name in names.items()},
        queries,
    )


def telling(bench):
    """The sweeps that tell those on duty of what waits, and that mark it as unattended: with one request, and with 500
    that came in the same moment."""
    owner, _organizer = data.organization()
    event = data.event(owner)
    people = iter(data.people(MECHANICS + 2 * ROUNDS * (1 + AT_ONCE)))
    _mechanics(owner, list(islice(people, MECHANICS)))
    statements = {}

    def swept(number, act):
        def once():
            for one in islice(people, number):
                _ask(event, one)
            with CaptureQueriesContext(connection) as captured, timed() as seconds:
                assert act() == number
            statements[f"{number}"] = f"{len(captured)} statements"
            with transaction.atomic():
                for model in (ServiceSession, SessionRequest):
                    model.objects.filter(status__in=["pending", "unattended"]).update(status="cancelled")
            return 1000 * seconds()

        return once

    for what, act in {
        "told of": news.tell_waiting,
        "marked as unattended": lambda: taking.mark_unattended(at=timezone.now() + timedelta(hours=1)),
    }.items():
        variants = {f"{number}": swept(number, act) for number in (1, AT_ONCE)}
        yield in_rounds(f"telling, requests {what} in one sweep", "ms", ROUNDS, variants, statements)


def _mechanics(owner, people) -> list[Mechanic]:
    rows = [Mechanic(organization=owner, user_profile=one, display_name=one.first_name, on_duty=True) for one in people]
    return Mechanic.objects.bulk_create(rows)


def _ask(event, person) -> SessionRequest:
    return intakes.start_intake(person=person, event_id=event.pk, concern=CONCERN).row


def _fill(event, people, mechanic, number) -> None:
    """So many requests that are over, of the last hundred days; past the triggers, which would take minutes."""
    given = {
        "organization": event.organization_id,
        "event": event.pk,
        "people": [UUID(str(one.pk)) for one in people],
        "mechanic": mechanic.pk,
        "number": number,
        "now": timezone.now(),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for sql in FILL:
            cursor.execute(sql, given)


FILL = (
    """
    INSERT INTO service_sessions (organization_id, event_id, customer_id, mechanic_id, status, created_at, started_at,
        last_activity_at, ended_at)
    SELECT %(organization)s, %(event)s, (%(people)s::uuid[])[1 + n %% 2000], %(mechanic)s, 'completed', at,
        at + interval '3 minutes', at + interval '9 minutes', at + interval '20 minutes'
    FROM generate_series(1, %(number)s) AS n, LATERAL (
        SELECT %(now)s - interval '1 day' - n * interval '86 seconds' AS at
    ) AS moment
    """,
    """
    INSERT INTO session_requests (session_id, organization_id, event_id, customer_id, mechanic_id, status, created_at,
        waiting_since, accepted_at, first_accepted_at, closed_at, notes)
    SELECT id, organization_id, event_id, customer_id, mechanic_id, status, created_at, created_at, started_at,
        started_at, ended_at, 'Done.'
    FROM service_sessions WHERE organization_id = %(organization)s AND status = 'completed'
    """,
)


CASES = {"intake": intake, "accept": accept, "waiting": waiting, "telling": telling}
