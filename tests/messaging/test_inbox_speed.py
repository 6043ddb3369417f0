"""The inbox of somebody who was sent a hundred thousand: no page costs more than the first of a few."""

import json
from base64 import b64encode

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from messaging.models import MessageDelivery
from tests.factories import EventFactory, UserProfileFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
MANY, FEW = 50_000, 50
"""Messages, of two deliveries each."""
UNREAD = 30
MESSAGES = "/api/v1/me/messages/"
OF_DELIVERIES = {index.name for index in MessageDelivery._meta.indexes}
TO_ONE = (
    "WITH messages AS (INSERT INTO event_messages (event_id, subject, body, channels)"
    " SELECT CASE WHEN n = 1 THEN %(other)s ELSE %(event)s END, 'One of many', 'Hello.', '{in_app,email}'"
    " FROM generate_series(1, %(count)s) AS n RETURNING id, event_id),"
    " rows AS (SELECT id AS message, event_id, channel, row_number() OVER (ORDER BY event_id, id, channel) AS n"
    " FROM messages, unnest(ARRAY['in_app', 'email']) AS channel)"
    " INSERT INTO message_deliveries (id, message_id, event_id, user_id, channel, status, read_at)"
    " SELECT ('0190000' || %(number)s || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, message, event_id,"
    " %(person)s, channel, 'sent', CASE WHEN n > %(unread)s THEN now() END FROM rows"
)
TO_ALL = (
    "WITH messages AS (INSERT INTO event_messages (event_id, subject, body, channels)"
    " SELECT %(event)s, 'To all', 'Hello.', '{in_app}' FROM generate_series(1, %(each)s) RETURNING id), people AS ("
    " INSERT INTO user_profiles (id, owner_id, password, first_name, last_name, photo_url, phone,"
    " email_verified, phone_verified, is_active, is_superuser, created_at, updated_at)"
    " SELECT gen_random_uuid(), 'crowd' || n, '', 'P', 'X', '', '', false, false, true, false, now(), now()"
    " FROM generate_series(1, 90000 / %(each)s) AS n RETURNING id)"
    " INSERT INTO message_deliveries (message_id, event_id, user_id, channel, status)"
    " SELECT messages.id, %(event)s, people.id, 'in_app', 'sent' FROM messages, people"
)


@pytest.fixture
def of_one_old_message():
    return EventFactory()


@pytest.fixture(params=[("ANALYZE", 3), ("VACUUM (ANALYZE)", 30), ("VACUUM (ANALYZE)", 1)], ids=str)
def people(request, of_one_old_message):
    """One with MANY messages, one with FEW; the oldest UNREAD of each aren't read, and the very oldest is of
    an event of its own. What PostgreSQL may answer from an index alone, and expects of a person, differs."""
    known, each = request.param
    event, people = EventFactory(), {"many": UserProfileFactory(), "few": UserProfileFactory()}
    ids = {"event": event.pk, "other": of_one_old_message.pk, "unread": 2 * UNREAD, "each": each}
    with connection.cursor() as cursor:
        with transaction.atomic():
            cursor.execute("SET LOCAL session_replication_role = replica")  # what triggers write is given with the rows
            cursor.execute("SET LOCAL synchronous_commit = on")  # else VACUUM may call nothing visible to all yet
            for number, (name, count) in enumerate((("many", MANY), ("few", FEW))):
                cursor.execute(TO_ONE, ids | {"number": number, "count": count, "person": people[name].pk})
            cursor.execute(TO_ALL, ids)
        cursor.execute(f"{known} message_deliveries, event_messages, user_profiles, events")
    return people


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def looked_at(sql) -> tuple[int, set[str]]:
    """How many rows of tables a query reads, and by which of their indexes, or "Seq Scan"."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) " + sql)
        [(answer,)] = cursor.fetchall()
    [whole] = json.loads(answer) if isinstance(answer, str) else answer
    rows, ways = 0, set()
    for node in nodes(whole["Plan"]):
        ways |= {node.get("Index Name"), node["Node Type"]} & {*OF_DELIVERIES, "Seq Scan"}
        if "Relation Name" in node:
            dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            rows += (node["Actual Rows"] + dropped) * node["Actual Loops"]
    return round(rows), ways


def queries_of(api, query):
    with CaptureQueriesContext(connection) as caught:
        answer = api.get(MESSAGES, query)
    assert answer.status_code == 200
    return answer.json(), [one["sql"] for one in caught]


def test_a_page_of_a_hundred_thousand_costs_what_the_first_of_a_few_does(people, as_person, of_one_old_message):
    """By the rows that are read: 51 entries, each of two deliveries that ask which of them is the first."""
    one = of_one_old_message.pk
    for person in people.values():
        api = as_person(person)
        keys = list(person.deliveries.order_by("pk").values_list("pk", flat=True))
        most = person.deliveries.exclude(event=one).values_list("event", flat=True)[0]
        deep, left = b64encode(f"p={keys[len(keys) * 3 // 4]}".encode()).decode(), len(keys) * 3 // 8
        back = b64encode(f"r=1&p={keys[len(keys) // 4]}".encode()).decode()
        for query, entries, index in (
            ({}, 50, "inbox"),
            ({"cursor": deep}, min(50, left + 1), "inbox"),
            ({"cursor": back}, min(50, left), "inbox"),
            ({"unread": "true"}, UNREAD, "new"),
            ({"event": most}, min(50, len(keys) // 2 - 1), "of_event"),
            ({"event": most, "cursor": deep}, min(50, left), "of_event"),
            ({"event": one}, 1, "of_event"),
            ({"event": one, "unread": "true"}, 1, "new"),
            ({"event": most, "unread": "true"}, UNREAD - 1, "new"),
        ):
            page, [*_counting, listing, telling] = queries_of(api, query)
            assert len(page["results"]) == entries, query
            rows, ways = looked_at(listing)
            assert rows <= 5 * 51 + 2 * UNREAD, (query, rows, ways)
            assert f"message_deliveries_{index}" in ways and "Seq Scan" not in ways, (query, ways)
            rows, ways = looked_at(telling)
            assert rows <= 7 * 50, (query, rows, ways)


def test_unread_is_counted_by_its_own_index(people, as_person):
    for person in people.values():
        page, [counting, _listing, _telling] = queries_of(as_person(person), {})
        assert page["unread"] == UNREAD
        rows, ways = looked_at(counting)
        assert ways == {"message_deliveries_unread"}
        assert rows == 2 * UNREAD + 2  # the person, twice
        page, [counting, listing] = queries_of(as_person(person), {"event": 0})
        assert (page["unread"], page["results"]) == (0, [])
        assert looked_at(counting)[1] == {"message_deliveries_unread"}
        assert looked_at(listing) == (0, {"message_deliveries_of_event", "message_deliveries_person"})
