"""The inbox of somebody who was sent a hundred thousand: no page costs more than the first of a few."""

import json
from base64 import b64encode
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import MessageDelivery
from tests.factories import EventFactory, UserProfileFactory

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
MANY, FEW = 50_000, 50
"""Messages, of two deliveries each."""
UNREAD = 30
MESSAGES = "/api/v1/me/messages/"
OF_DELIVERIES = {index.name for index in MessageDelivery._meta.indexes}


@contextmanager
def past_the_triggers(cursor):
    """What they would write is given with the rows."""
    cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.fixture
def people():
    """Two of one event: one with MANY messages, one with FEW; the oldest UNREAD of each aren't read."""
    event, people = EventFactory(), {"many": UserProfileFactory(), "few": UserProfileFactory()}
    with connection.cursor() as cursor:
        with past_the_triggers(cursor):
            for number, (name, count) in enumerate((("many", MANY), ("few", FEW))):
                cursor.execute(
                    "WITH messages AS (INSERT INTO event_messages (event_id, subject, body, channels)"
                    " SELECT %s, 'One of many', 'Hello.', '{in_app,email}' FROM generate_series(1, %s) RETURNING id),"
                    " rows AS (SELECT id AS message, channel, row_number() OVER (ORDER BY id, channel) AS n"
                    " FROM messages, unnest(ARRAY['in_app', 'email']) AS channel)"
                    " INSERT INTO message_deliveries (id, message_id, event_id, user_id, channel, status, read_at)"
                    " SELECT ('0190000' || %s || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, message, %s,"
                    " %s, channel, 'sent', CASE WHEN n > %s THEN now() END FROM rows",
                    [event.pk, count, number, event.pk, people[name].pk, 2 * UNREAD],
                )
            cursor.execute(
                "WITH messages AS (INSERT INTO event_messages (event_id, subject, body, channels)"
                " VALUES (%s, 'To all', 'Hello.', '{in_app}') RETURNING id), people AS ("
                " INSERT INTO user_profiles (id, owner_id, password, first_name, last_name, photo_url, phone,"
                " email_verified, phone_verified, is_active, is_superuser, created_at, updated_at)"
                " SELECT gen_random_uuid(), 'crowd' || n, '', 'P', 'X', '', '', false, false, true, false, now(), now()"
                " FROM generate_series(1, 100000) AS n RETURNING id)"
                " INSERT INTO message_deliveries (message_id, event_id, user_id, channel, status)"
                " SELECT messages.id, %s, people.id, 'in_app', 'sent' FROM messages, people",
                [event.pk, event.pk],
            )
        cursor.execute("ANALYZE message_deliveries, event_messages, user_profiles, events")
    return people


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def looked_at(sql) -> tuple[int, set[str]]:
    """How many rows of tables a query reads, and by which kinds of nodes and indexes."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) " + sql)
        [(answer,)] = cursor.fetchall()
    [whole] = json.loads(answer) if isinstance(answer, str) else answer
    rows, kinds = 0, set()
    for node in nodes(whole["Plan"]):
        kinds |= {node["Node Type"], node.get("Index Name")}
        if "Scan" in node["Node Type"]:
            dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            rows += (node["Actual Rows"] + dropped) * node["Actual Loops"]
    return round(rows), kinds - {None}


def queries_of(api, query):
    with CaptureQueriesContext(connection) as caught:
        answer = api.get(MESSAGES, query)
    assert answer.status_code == 200
    return answer.json(), [one["sql"] for one in caught]


def test_a_page_of_a_hundred_thousand_costs_what_the_first_of_a_few_does(people, as_person):
    """By the rows that are read: 51 entries, each of two deliveries that ask which of them is the first."""
    expected = {"message_deliveries_inbox", "message_deliveries_person"}
    for person in people.values():
        api = as_person(person)
        keys = list(person.deliveries.order_by("pk").values_list("pk", flat=True))
        pages = {"first": {}, "deep": {"cursor": b64encode(f"p={keys[len(keys) * 3 // 4]}".encode()).decode()}}
        for name, query in pages.items():
            page, [_counting, listing, telling] = queries_of(api, query)
            assert len(page["results"]) == (50 if name == "first" else min(50, len(keys) * 3 // 8 + 1)), name
            rows, ways = looked_at(listing)
            assert ways & OF_DELIVERIES == expected, (name, ways)
            assert rows <= 5 * 51 and not ways & {"Seq Scan", "Sort"}, (name, rows, ways)
            rows, ways = looked_at(telling)
            assert rows <= 7 * 50, (name, rows, ways)


def test_unread_is_counted_by_its_own_index(people, as_person):
    for person in people.values():
        page, [counting, _listing, _telling] = queries_of(as_person(person), {})
        assert page["unread"] == UNREAD
        rows, ways = looked_at(counting)
        assert ways & OF_DELIVERIES == {"message_deliveries_unread"} and "Seq Scan" not in ways, ways
        assert rows == 2 * UNREAD + 2  # the person, twice


def test_what_is_unread_is_found_among_what_is_read(people, as_person):
    for person in people.values():
        page, [_counting, listing, _telling] = queries_of(as_person(person), {"unread": "true"})
        assert len(page["results"]) == UNREAD
        rows, ways = looked_at(listing)
        assert rows <= 5 * UNREAD and "Seq Scan" not in ways, (rows, ways)
