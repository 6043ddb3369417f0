"""The benchmarks of sessions: seats on a hot session, what a person sees, and seats that are handed on."""

from datetime import timedelta
from itertools import islice

from django.db import connection, transaction
from django.utils import timezone

from attendance.models import Attendee
from config.database import uuid7
from events.models import Session
from rsvp.models import SessionRsvp, WaitlistEntry
from rsvp.operations import line

from . import data
from .harness import in_rounds, timed

ROUNDS = 3
CALLS = 400
PATH = "/api/v1/sessions/{}/rsvp/"


def rsvp(bench):
    """People take seats in one session; beside it a bare view that does the INSERT and nothing else."""
    bench.serve()
    owner, _organizer = data.organization()
    event = data.event(owner)
    [hot, marked] = data.sessions(event, 2, capacity=10**6)
    people = data.people(ROUNDS * 4 * CALLS + 1)
    attendees = iter(data.attendees(event, people))
    first = next(attendees)
    bench.record("rsvp", "POST", PATH.format(marked.pk), first.user_profile)
    bench.recordings["bare_rsvp"] = [
        BARE_INSERT.format(id=marked.pk, event=event.pk, session=hot.pk, attendee=first.pk)
    ]
    bench.template("bare_rsvp", rsvp=marked.pk, attendee=first.pk)

    def site():
        calls = [bench.call("POST", PATH.format(hot.pk), one.user_profile) for one in islice(attendees, CALLS)]
        return bench.calls(calls, 201)

    def bare():
        rows = [{"rsvp": str(uuid7()), "attendee": str(one.pk)} for one in islice(attendees, CALLS)]
        return bench.replay("bare_rsvp", first.user_profile, rows)

    yield in_rounds(
        "rsvp, one hot session",
        "RSVPs a second",
        ROUNDS,
        {"bare view, one INSERT": bare, "Turnout's API": site},
        {"Turnout's API": f"{len(bench.recordings['rsvp'])} statements, token, rate limit and rules"},
    )
    hot.refresh_from_db()
    assert hot.seats_taken == hot.rsvps.confirmed().count()

    people = data.people(100_000)
    crowd = data.event(owner)
    data.attendees(crowd, people[:1001])
    crowded = data.sessions(crowd, 100, capacity=10**6)
    again = data.event(owner)
    [last] = data.sessions(again, 1, capacity=10**6)
    queue = iter(data.attendees(again, people[-ROUNDS * 2 * CALLS :]))

    def table_with(number):
        def measure():
            _fill(crowded, number)
            calls = [bench.call("POST", PATH.format(last.pk), one.user_profile) for one in islice(queue, CALLS)]
            return bench.calls(calls, 201)

        return measure

    yield in_rounds(
        "rsvp, a table that is empty and one that is not",
        "RSVPs a second",
        ROUNDS,
        {"no other RSVPs": table_with(0), "100,000 other RSVPs": table_with(100_000)},
    )


BARE_INSERT = """INSERT INTO session_rsvps (id, event_id, session_id, attendee_id)
    VALUES ('{id}', {event}, '{session}', '{attendee}') RETURNING rsvp_at"""
"""The triggers that count and bound the seats are at work here as well."""


def my_schedule(bench):
    """What a person sees of an agenda of 1,000 sessions: theirs, and all. With few RSVPs about, and with a million."""
    bench.serve()
    owner, _organizer = data.organization()
    event = data.event(owner)
    attendees = data.attendees(event, data.people(1001))
    sessions = data.sessions(event, 1000, capacity=10**4, speakers=600)
    viewer = attendees[0].user_profile

    def with_rsvps(path, number, calls):
        def measure():
            _fill(sessions, number)
            return bench.calls([bench.call("GET", path.format(event.pk), viewer)] * calls, 200)

        return measure

    for title, path, calls in (
        ("my_schedule, 20 sessions", "/api/v1/events/{}/my-schedule/", 300),
        ("my_schedule, the agenda of 1,000 sessions", "/api/v1/events/{}/sessions/", 60),
    ):
        yield in_rounds(
            title,
            "answers a second",
            ROUNDS,
            {
                "1,000 RSVPs": with_rsvps(path, 1000, calls),
                "1,000,000 RSVPs": with_rsvps(path, 1_000_000, calls),
            },
        )


def _fill(sessions, number) -> None:
    """So many RSVPs of others in these sessions, as many in each; past the triggers, which would take minutes.

    The first attendee has a seat in every fiftieth session, whatever the number.
    """
    event = sessions[0].event_id
    others = SessionRsvp.objects.filter(event=event).exclude(attendee=_first(event))
    if others.count() == number:
        return
    given = {"event": event, "sessions": [one.pk for one in sessions], "each": number // len(sessions)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM session_rsvps WHERE event_id = %(event)s", given)
        cursor.execute(FILL, given)
        cursor.execute(COUNT, given)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE session_rsvps, event_sessions")


def _first(event):
    return Attendee.objects.filter(event=event).order_by("pk").values("pk")[:1]


FILL = """
    WITH session AS (
        SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM unnest(%(sessions)s::uuid[]) AS id
    ), attendee AS (
        SELECT id, row_number() OVER (ORDER BY id) - 2 AS number, count(*) OVER () - 1 AS others
        FROM event_attendees WHERE event_id = %(event)s
    )
    INSERT INTO session_rsvps (event_id, session_id, attendee_id, confirmed_at, updated_at)
    SELECT %(event)s, session.id, attendee.id, now(), now() FROM session, attendee
    WHERE CASE WHEN attendee.number < 0 THEN session.number %% 50 = 0
        ELSE (attendee.number + session.number) %% attendee.others < %(each)s END
"""
COUNT = """
    UPDATE event_sessions s SET
        seats_taken = (SELECT count(*) FROM session_rsvps WHERE session_id = s.id AND status = 'confirmed')
    WHERE event_id = %(event)s
"""


def hand_on(_bench):
    """500 seats become free at once while 5,000 wait for them."""
    owner, _organizer = data.organization()
    event = data.event(owner)
    [session] = data.sessions(event, 1, capacity=0)
    attendees = data.attendees(event, data.people(5000))
    rows = [WaitlistEntry(event=event, session=session, attendee=one) for one in attendees]
    WaitlistEntry.objects.bulk_create(rows, batch_size=data.BATCH)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE session_waitlist, event_sessions, event_attendees")

    def undone(write):
        def measure():
            with transaction.atomic():
                Session.objects.filter(pk=session.pk).update(capacity=500)
                line.lock_session(session.pk)
                with timed() as seconds:
                    made = write()
                assert made == 500 == Session.objects.get(pk=session.pk).seats_taken
                transaction.set_rollback(True)
            return 1000 * seconds()

        return measure

    first = sorted(row.pk for row in rows)[:500]
    until = timezone.now() + timedelta(minutes=30)

    def one_update():
        return WaitlistEntry.objects.filter(pk__in=first).update(
            status=WaitlistEntry.Status.OFFERED, offered_at=timezone.now(), offer_expires_at=until
        )

    yield in_rounds(
        "hand_on, 500 seats to 5,000 who wait",
        "ms",
        ROUNDS * 3,
        {
            "one UPDATE of 500 rows, counted and logged": undone(one_update),
            "line.hand_on": undone(lambda: line.hand_on([session.pk])),
        },
    )
    assert Attendee.objects.filter(event=event).count() == 5000


CASES = {"rsvp": rsvp, "my_schedule": my_schedule, "hand_on": hand_on}
