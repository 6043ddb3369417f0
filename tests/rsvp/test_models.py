"""What the database promises of seats and lines, to whoever writes.

Every attack is made three times, and must fail at the latest where it would be committed: as it stands,
with pgtrigger's ignore list naming every trigger, and with temporary tables in front of the real ones
that tell the triggers what they would like to hear.
"""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from attendance.models import Attendee, CheckIn
from config.database import uuid7
from events.models import Session
from rsvp import integrity
from rsvp.models import SessionChange, SessionFeedback, SessionRsvp, WaitlistEntry, WaitlistLog
from tests.factories import (
    AttendeeFactory,
    CheckInPointFactory,
    EventFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
)

pytestmark = pytest.mark.django_db

TABLES = (
    *("event_sessions", "session_rsvps", "session_waitlist", "session_waitlist_log", "session_changes"),
    *("session_feedback", "event_attendees"),
)


def run(sql, *params, **named):
    with connection.cursor() as cursor:
        cursor.execute(sql, named or params or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def rows():
    """Everything that an attack could have changed."""
    return {table: run(f"SELECT row::text FROM public.{table} AS row ORDER BY 1") for table in TABLES}


def undisguised():
    pass


def with_every_trigger_ignored():
    [[names]] = run("SELECT array_agg(tgname::text) FROM pg_trigger WHERE NOT tgisinternal")
    assert len(names) > 30
    run("SELECT set_config('pgtrigger.ignore', %s, true)", "{" + ",".join(names) + "}")


def behind_temporary_tables():
    """All attend and may bring a hundred, no session is cancelled, nobody waits, and all is over."""
    for table in TABLES:
        run(f"CREATE TEMP TABLE {table} ON COMMIT DROP AS SELECT * FROM public.{table}")
    run("UPDATE pg_temp.event_attendees SET status = 'active', plus_ones = 100, attendance_status = 'present'")
    run("UPDATE pg_temp.event_sessions SET status = 'scheduled', capacity = NULL, ends_at = now() - interval '1 day'")
    run("DELETE FROM pg_temp.session_waitlist; DELETE FROM pg_temp.session_rsvps")


DISGUISES = [undisguised, with_every_trigger_ignored, behind_temporary_tables]


def refused(constraint, sql, *params, **named):
    connection.check_constraints()
    before = rows()
    for disguise in DISGUISES:
        with pytest.raises(IntegrityError) as caught, transaction.atomic():
            disguise()
            run(sql, *params, **named)
            connection.check_constraints()
        assert (disguise.__name__, caught.value.__cause__.diag.constraint_name) == (disguise.__name__, constraint)
        assert rows() == before


def counts(session):
    """(places taken, waiting) as the session says; and they are right."""
    assert not integrity.miscounted().exists()
    return Session.objects.values_list("seats_taken", "waitlist_length").get(pk=session.pk)


RSVP = "INSERT INTO public.session_rsvps (session_id, attendee_id, seats, status) VALUES (%s, %s, %s, %s)"
WAIT = """
    INSERT INTO public.session_waitlist (session_id, attendee_id, party_size, status, offered_at, offer_expires_at)
    VALUES (%s, %s, %s, %s, now(), now() + interval '1 hour')
"""


@pytest.fixture
def session():
    return SessionFactory(capacity=2)


@pytest.fixture
def newcomer(session):
    return AttendeeFactory(event=session.event, plus_ones=1)


@pytest.fixture
def full(session):
    """Two seats: one that somebody has, one that an offer holds."""
    SessionRsvpFactory(session=session, attendee__plus_ones=2)
    run(WAIT, session.pk, AttendeeFactory(event=session.event, plus_ones=2).pk, 1, "offered")
    assert counts(session) == (2, 0)
    return session


# -- Never one too many ------------------------------------------------------------------------------

BOUND = "events_session_seats_within_capacity"


@pytest.mark.parametrize("seats", [1, 2])
def test_a_seat_too_many_is_refused(full, newcomer, seats):
    refused(BOUND, RSVP, full.pk, newcomer.pk, seats, "confirmed")
    refused(BOUND, WAIT, full.pk, newcomer.pk, seats, "offered")


@pytest.mark.parametrize(
    "update",
    [
        "public.event_sessions SET capacity = 1",
        "public.event_sessions SET capacity = 0",
        "public.session_rsvps SET seats = 2",
        "public.session_waitlist SET party_size = 2",
    ],
)
def test_growing_or_shrinking_past_the_bound_is_refused(full, update):
    refused(BOUND, f"UPDATE {update}")


def test_coming_back_to_a_full_session_is_refused(full, newcomer):
    """By the row that is there already, by an upsert, and by an offer."""
    run(RSVP, full.pk, newcomer.pk, 1, "cancelled")
    run(WAIT, full.pk, AttendeeFactory(event=full.event).pk, 1, "waiting")
    refused(BOUND, "UPDATE public.session_rsvps SET status = 'confirmed'")
    upsert = f"{RSVP} ON CONFLICT (session_id, attendee_id) DO UPDATE SET status = 'confirmed'"
    refused(BOUND, upsert, full.pk, newcomer.pk, 1, "confirmed")
    refused(
        BOUND,
        "UPDATE public.session_waitlist SET status = 'offered', offered_at = now(), offer_expires_at = now()",
    )


def test_one_too_many_among_many_refuses_all(session):
    AttendeeFactory.create_batch(3, event=session.event)
    refused(
        BOUND,
        "INSERT INTO public.session_rsvps (session_id, attendee_id) SELECT %s, id FROM public.event_attendees",
        session.pk,
    )


def test_merge_and_copy_are_bound_too(full, newcomer):
    refused(
        BOUND,
        "MERGE INTO public.session_rsvps r USING (SELECT %s::uuid AS session, %s::uuid AS attendee) AS one "
        "ON r.attendee_id = one.attendee WHEN MATCHED THEN UPDATE SET status = 'confirmed' "
        "WHEN NOT MATCHED THEN INSERT (session_id, attendee_id) VALUES (one.session, one.attendee)",
        full.pk,
        newcomer.pk,
    )
    before = rows()
    with (
        pytest.raises(IntegrityError) as caught,
        transaction.atomic(),
        connection.wrap_database_errors,
        connection.connection.cursor() as cursor,
        cursor.copy("COPY session_rsvps (session_id, attendee_id) FROM STDIN") as lines,
    ):
        lines.write_row((full.pk, newcomer.pk))
    assert caught.value.__cause__.diag.constraint_name == BOUND
    assert rows() == before


def test_in_one_statement_both_tables_count(full, newcomer):
    """The offer is given up, and its seat taken twice."""
    other = AttendeeFactory(event=full.event)
    refused(
        BOUND,
        f"WITH gone AS (UPDATE public.session_waitlist SET status = 'left') {RSVP}, (%s, %s, 1, 'confirmed')",
        *(full.pk, newcomer.pk, 1, "confirmed", full.pk, other.pk),
    )


@pytest.mark.parametrize("column", ["seats_taken", "waitlist_length"])
def test_counters_belong_to_their_triggers(full, newcomer, column):
    run(WAIT, full.pk, newcomer.pk, 1, "waiting")
    stale = Session.objects.get(pk=full.pk)
    setattr(stale, column, 0)
    for disguise in DISGUISES:
        with transaction.atomic():
            disguise()
            run(f"UPDATE public.event_sessions SET {column} = 0")
            assert run("SELECT seats_taken, waitlist_length FROM public.event_sessions") == [(2, 1)]
            transaction.set_rollback(True)
    stale.save()
    assert counts(full) == (2, 1)


def test_without_the_guards_it_could_be_overbooked(full, newcomer):
    """The other half of the pair: nothing else would have refused it."""
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        sql = RSVP.replace("(session_id", "(event_id, session_id").replace("VALUES (", "VALUES (%s, ")
        run(sql, full.event_id, full.pk, newcomer.pk, 1, "confirmed")
    assert [one.pk for one in integrity.miscounted()] == [full.pk]


def test_many_sessions_in_one_statement_count_right():
    event = EventFactory()
    first, second, third = SessionFactory.create_batch(3, event=event)
    AttendeeFactory.create_batch(4, event=event, plus_ones=1)
    run("INSERT INTO session_rsvps (session_id, attendee_id, seats) SELECT s.id, a.id, 1 + (s.id = %s)::int "
        "FROM event_sessions s, event_attendees a", first.pk)  # fmt: skip
    assert [counts(one) for one in (first, second, third)] == [(8, 0), (4, 0), (4, 0)]
    run("UPDATE session_rsvps SET status = 'cancelled' WHERE session_id <> %s", third.pk)
    assert [counts(one) for one in (first, second, third)] == [(0, 0), (0, 0), (4, 0)]
    run("INSERT INTO session_waitlist (session_id, attendee_id, party_size, status, offered_at, offer_expires_at) "
        "SELECT s.id, a.id, 2, CASE WHEN s.id = %s THEN 'waiting' ELSE 'offered' END, now(), now() "
        "FROM event_sessions s, event_attendees a WHERE s.id <> %s", first.pk, third.pk)  # fmt: skip
    assert [counts(one) for one in (first, second, third)] == [(0, 4), (8, 0), (4, 0)]
    run("UPDATE session_waitlist SET status = CASE status WHEN 'waiting' THEN 'offered' ELSE 'waiting' END")
    assert [counts(one) for one in (first, second, third)] == [(8, 0), (0, 4), (4, 0)]
    run("WITH closed AS (UPDATE session_waitlist SET status = 'accepted') "
        "UPDATE session_rsvps SET status = 'confirmed', seats = 2 WHERE session_id <> %s", third.pk)  # fmt: skip
    assert [counts(one) for one in (first, second, third)] == [(8, 0), (8, 0), (4, 0)]
    run("DELETE FROM session_rsvps WHERE session_id = %s", second.pk)
    assert [counts(one) for one in (first, second, third)] == [(8, 0), (0, 0), (4, 0)]


# -- Who, and where ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql, mine", [(RSVP, "sessionrsvp"), (WAIT, "waitlistentry")])
def test_seats_and_places_are_for_attendees_of_the_event(session, sql, mine):
    live = "confirmed" if sql is RSVP else "waiting"
    removed, elsewhere = AttendeeFactory(event=session.event, status="removed"), AttendeeFactory()
    refused(f"rsvp_{mine}_for_attendees", sql, session.pk, removed.pk, 1, live)
    refused(f"rsvp_{mine}_for_attendees", sql, session.pk, uuid7(), 1, live)
    refused(f"rsvp_{mine}_session_of_event", sql, session.pk, elsewhere.pk, 1, live)
    closed = "cancelled" if sql is RSVP else "left"
    refused(f"rsvp_{mine}_attendee_of_event", sql, session.pk, elsewhere.pk, 1, closed)
    refused(f"rsvp_{mine}_attendee_of_event", sql, session.pk, uuid7(), 1, closed)


@pytest.mark.parametrize("sql, mine", [(RSVP, "sessionrsvp"), (WAIT, "waitlistentry")])
def test_seats_are_their_own_and_their_plus_ones(newcomer, session, sql, mine):
    for live in ["confirmed"] if sql is RSVP else ["waiting", "offered"]:
        refused(f"rsvp_{mine}_seats_allowed", sql, session.pk, newcomer.pk, 3, live)
        name = f"rsvp_{mine}_{'seats' if sql is RSVP else 'party'}_positive"
        refused(name, sql, session.pk, newcomer.pk, 0, live)


def test_more_seats_than_plus_ones_later_are_refused(full):
    Session.objects.update(capacity=100)
    refused("rsvp_sessionrsvp_seats_allowed", "UPDATE public.session_rsvps SET seats = 4")
    refused("rsvp_waitlistentry_seats_allowed", "UPDATE public.session_waitlist SET party_size = 4")


@pytest.mark.parametrize(
    "constraint, sql, status",
    [
        ("rsvp_sessionrsvp_cancelled_at", RSVP, "maybe"),
        ("rsvp_waitlistentry_closed_at", WAIT, "hoping"),
        ("rsvp_sessionrsvp_once", f"{RSVP}, (%s, %s, %s, 'cancelled')", "confirmed"),
        ("rsvp_waitlistentry_one_live", f"{WAIT}, (%s, %s, %s, 'offered', now(), now())", "waiting"),
        ("rsvp_waitlistentry_offer_expires", WAIT.replace("now() + interval '1 hour'", "NULL"), "offered"),
        ("rsvp_waitlistentry_offer_expires", WAIT.replace("now(), ", "NULL, "), "offered"),
    ],
)
def test_rows_that_make_no_sense_are_refused(session, newcomer, constraint, sql, status):
    again = (session.pk, newcomer.pk, 1) if sql.count("%s") > 4 else ()
    refused(constraint, sql, session.pk, newcomer.pk, 1, status, *again)


@pytest.mark.parametrize("live", ["waiting", "offered"])
def test_nobody_waits_for_what_they_have(session, newcomer, live):
    run(RSVP, session.pk, newcomer.pk, 1, "confirmed")
    refused("rsvp_waitlistentry_not_inside", WAIT, session.pk, newcomer.pk, 1, live)
    run("UPDATE session_rsvps SET status = 'cancelled'")
    run(WAIT, session.pk, newcomer.pk, 1, live)
    refused("rsvp_sessionrsvp_not_in_line", "UPDATE public.session_rsvps SET status = 'confirmed'")
    run("DELETE FROM session_rsvps")
    refused("rsvp_sessionrsvp_not_in_line", RSVP, session.pk, newcomer.pk, 1, "confirmed")


def test_a_seat_and_a_place_in_one_statement_are_refused(session, newcomer):
    sql = f"WITH seat AS ({RSVP}) {WAIT}"
    before = rows()
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        run(sql, *(session.pk, newcomer.pk, 1, "confirmed"), *(session.pk, newcomer.pk, 1, "waiting"))
    assert caught.value.__cause__.diag.constraint_name in (
        "rsvp_sessionrsvp_not_in_line",
        "rsvp_waitlistentry_not_inside",
    )
    assert rows() == before


def test_a_cancelled_session_takes_nobody(session, newcomer):
    other = AttendeeFactory(event=session.event)
    run(RSVP, session.pk, other.pk, 1, "confirmed")
    Session.objects.update(status="cancelled")
    refused("rsvp_sessionrsvp_session_on", RSVP, session.pk, newcomer.pk, 1, "confirmed")
    refused("rsvp_sessionrsvp_session_on", "UPDATE public.session_rsvps SET status = 'confirmed'")
    for live in ("waiting", "offered"):
        refused("rsvp_waitlistentry_session_on", WAIT, session.pk, newcomer.pk, 1, live)


@pytest.mark.parametrize("column, other", [("session_id", "event_sessions"), ("attendee_id", "event_attendees")])
def test_rows_keep_their_session_and_attendee(full, newcomer, column, other):
    SessionFactory(event=full.event)
    for table, name in (("session_rsvps", "sessionrsvp"), ("session_waitlist", "waitlistentry")):
        another = f"(SELECT id FROM public.{other} WHERE id <> {column} ORDER BY id DESC LIMIT 1)"
        refused(f"rsvp_{name}_stays_itself", f"UPDATE public.{table} SET {column} = {another}")
        refused(f"rsvp_{name}_stays_itself", f"UPDATE public.{table} SET id = gen_random_uuid()")


@pytest.mark.parametrize("table, mine", [("session_rsvps", "sessionrsvp"), ("session_waitlist", "waitlistentry")])
def test_neither_session_nor_attendee_moves_to_another_event(full, table, mine):
    event = EventFactory()
    run("DELETE FROM session_rsvps" if mine == "waitlistentry" else "SELECT 1")
    refused(f"rsvp_{mine}_session_of_event", f"UPDATE public.{table} SET event_id = %s", event.pk)
    attendee = f"id IN (SELECT attendee_id FROM public.{table})"
    refused(
        f"rsvp_{mine}_session_of_event", f"UPDATE public.event_attendees SET event_id = %s WHERE {attendee}", event.pk
    )
    refused("rsvp_sessionrsvp_attendee_of_event" if mine == "sessionrsvp" else "rsvp_waitlistentry_attendee_of_event",
            "UPDATE public.event_sessions SET event_id = %s", event.pk)  # fmt: skip


def test_what_has_seats_or_a_line_is_not_deleted(full):
    refused("rsvp_sessionrsvp_session_of_event", "DELETE FROM public.event_sessions")
    with pytest.raises(ProtectedError):
        Session.objects.get().delete()
    run("DELETE FROM session_rsvps")
    refused("rsvp_waitlistentry_session_of_event", "DELETE FROM public.event_sessions")
    refused("rsvp_waitlistentry_attendee_of_event", "DELETE FROM public.event_attendees WHERE id IN "
            "(SELECT attendee_id FROM public.session_waitlist)")  # fmt: skip
    refused("rsvp_waitlistentry_stays_itself", "DELETE FROM public.session_waitlist")


@pytest.mark.parametrize(
    "table, constraint",
    [
        ("session_rsvps", "rsvp_sessionrsvp_never_truncated"),
        ("session_waitlist", "rsvp_waitlistentry_stays_itself"),
        ("session_waitlist_log", "rsvp_waitlistlog_append_only"),
    ],
)
def test_truncate_is_refused(full, table, constraint):
    refused(constraint, f"TRUNCATE public.{table}")


@pytest.mark.parametrize("over", ["accepted", "declined", "expired", "left"])
def test_what_is_over_stays_over(session, newcomer, over):
    run(WAIT, session.pk, newcomer.pk, 1, "offered")
    run("UPDATE session_waitlist SET status = %s", over)
    for status in {"waiting", "offered", "accepted", "declined", "expired", "left"} - {over}:
        refused("rsvp_waitlistentry_over_stays_over", "UPDATE public.session_waitlist SET status = %s", status)
    entry = WaitlistEntry.objects.get()
    assert (entry.status, entry.closed_at is not None, counts(session)) == (over, True, (0, 0))


# -- What the rows say for themselves --------------------------------------------------------------------


def test_the_first_rsvp_s_time_survives(session, newcomer):
    run(RSVP, session.pk, newcomer.pk, 1, "confirmed")
    first = SessionRsvp.objects.get()
    run("UPDATE session_rsvps SET status = 'cancelled', rsvp_at = now() + interval '1 day'")
    gone = SessionRsvp.objects.get()
    assert gone.cancelled_at > first.rsvp_at
    run(f"{RSVP} ON CONFLICT (session_id, attendee_id) DO UPDATE SET status = 'confirmed', rsvp_at = now(), "
        "end_reason = 'own'", session.pk, newcomer.pk, 1, "confirmed")  # fmt: skip
    again = SessionRsvp.objects.get()
    assert (again.rsvp_at, again.cancelled_at, again.end_reason) == (first.rsvp_at, None, "")
    assert first.confirmed_at < gone.cancelled_at < again.confirmed_at
    assert (first.event_id, gone.confirmed_at) == (session.event_id, first.confirmed_at)


def test_a_place_in_line_keeps_when_it_was_joined(session, newcomer):
    run(WAIT, session.pk, newcomer.pk, 1, "waiting")
    joined = WaitlistEntry.objects.get().joined_at
    run("UPDATE session_waitlist SET joined_at = now(), closed_at = now(), end_reason = 'own'")
    entry = WaitlistEntry.objects.get()
    assert (entry.joined_at, entry.closed_at, entry.end_reason, entry.event_id) == (joined, None, "", session.event_id)


# -- What becomes of seats and lines, whoever does it -------------------------------------------------------


def fates():
    """Of all seats and places: (session, status, reason)."""
    seats = run("SELECT s.title, r.status, r.seats, r.end_reason FROM session_rsvps r "
                "JOIN event_sessions s ON s.id = session_id")  # fmt: skip
    line = run("SELECT s.title, w.status, w.party_size, w.end_reason FROM session_waitlist w "
               "JOIN event_sessions s ON s.id = session_id")  # fmt: skip
    return sorted(seats), sorted(line)


def test_cancelling_sessions_by_sql_ends_seats_and_lines(full, newcomer):
    run(WAIT, full.pk, newcomer.pk, 2, "waiting")
    other = SessionFactory(event=full.event, title="Other")
    run(RSVP, other.pk, newcomer.pk, 1, "confirmed")
    run("UPDATE event_sessions SET status = 'cancelled', title = 'Off' WHERE id = %s", full.pk)
    assert fates() == (
        [("Off", "cancelled", 1, "session_cancelled"), ("Other", "confirmed", 1, "")],
        [("Off", "left", 1, "session_cancelled"), ("Off", "left", 2, "session_cancelled")],
    )
    assert (counts(full), counts(other)) == ((0, 0), (1, 0))
    assert list(SessionChange.objects.values_list("session", "status", "title", "told_at")) == [
        (full.pk, "scheduled", full.title, None)
    ]
    run("UPDATE event_sessions SET status = 'scheduled', capacity = 0 WHERE id = %s", full.pk)
    assert counts(full) == (0, 0)


def test_removing_attendees_by_sql_ends_their_seats_and_places():
    event = EventFactory()
    first, second = [SessionFactory(event=event, title=title, capacity=4) for title in ("A", "B")]
    one, two, three = AttendeeFactory.create_batch(3, event=event, plus_ones=1)
    for session, attendee in ((first, one), (second, one), (first, two)):
        run(RSVP, session.pk, attendee.pk, 1, "confirmed")
    run(WAIT, second.pk, two.pk, 2, "offered")
    run(WAIT, first.pk, three.pk, 1, "waiting")
    Attendee.objects.filter(pk__in=[two.pk, three.pk]).update(status="removed")
    assert fates() == (
        [("A", "cancelled", 1, "removed"), ("A", "confirmed", 1, ""), ("B", "confirmed", 1, "")],
        [("A", "left", 1, "removed"), ("B", "left", 2, "removed")],
    )
    assert (counts(first), counts(second)) == ((1, 0), (1, 0))
    Attendee.objects.update(status="active")
    assert (counts(first), counts(second)) == ((1, 0), (1, 0))


def test_a_seat_and_its_attendee_s_removal_in_one_statement_leave_no_seat(session, newcomer):
    run(
        "WITH gone AS (UPDATE event_attendees SET status = 'removed' RETURNING id) "
        "INSERT INTO session_rsvps (session_id, attendee_id, seats) SELECT %s, %s, 1",
        session.pk,
        newcomer.pk,
    )
    assert (SessionRsvp.objects.get().status, counts(session)) == ("cancelled", (0, 0))


def test_fewer_plus_ones_are_fewer_seats(session):
    Session.objects.update(capacity=9)
    one, two, three = AttendeeFactory.create_batch(3, event=session.event, plus_ones=2)
    run(RSVP, session.pk, one.pk, 3, "confirmed")
    run(WAIT, session.pk, two.pk, 3, "offered")
    run(WAIT, session.pk, three.pk, 2, "waiting")
    Attendee.objects.update(plus_ones=1)
    assert [[one[1:3] for one in part] for part in fates()] == [
        [("confirmed", 2)],
        [("offered", 2), ("waiting", 2)],
    ]
    assert counts(session) == (4, 1)
    Attendee.objects.update(plus_ones=0)
    assert counts(session) == (2, 1)


def test_offers_end_by_an_earlier_start(session, newcomer):
    run(WAIT, session.pk, newcomer.pk, 1, "offered")
    expires = WaitlistEntry.objects.get().offer_expires_at
    run("UPDATE event_sessions SET starts_at = starts_at - interval '1 hour'")
    assert WaitlistEntry.objects.get().offer_expires_at == expires
    run("UPDATE event_sessions SET starts_at = now() + interval '5 minutes'")
    assert WaitlistEntry.objects.get().offer_expires_at == Session.objects.get().starts_at
    run("UPDATE event_sessions SET starts_at = starts_at + interval '1 minute'")
    assert WaitlistEntry.objects.get().offer_expires_at < Session.objects.get().starts_at


def test_only_what_concerns_people_is_kept_for_telling(session, newcomer):
    run("UPDATE event_sessions SET title = 'Nobody is in it'")
    run(RSVP, session.pk, newcomer.pk, 1, "confirmed")
    run("UPDATE event_sessions SET abstract = 'More', capacity = 7, title = title")
    assert not SessionChange.objects.exists()
    run("UPDATE event_sessions SET ends_at = ends_at + interval '1 hour'")
    [change] = SessionChange.objects.all()
    assert (change.title, change.ends_at, change.event_id) == ("Nobody is in it", session.ends_at, session.event_id)


# -- The record of the lines -----------------------------------------------------------------------------------

LOG = "INSERT INTO public.session_waitlist_log (entry_id, event_id, session_id, to_status, priority, queued_at, "
LOG += "party_size, at, db_user) SELECT entry_id, event_id, session_id, 'left', 0, now(), 1, now(), 'me' "
ATTACKS = {
    "insert": f"{LOG} FROM public.session_waitlist_log",
    "insert nothing": f"{LOG} FROM public.session_waitlist_log WHERE false",
    "on conflict": f"{LOG} FROM public.session_waitlist_log ON CONFLICT DO NOTHING",
    "update": "UPDATE public.session_waitlist_log SET to_status = to_status",
    "update in a CTE": "WITH x AS (UPDATE public.session_waitlist_log SET at = now() RETURNING 1) SELECT * FROM x",
    "delete": "DELETE FROM public.session_waitlist_log",
    "merge": "MERGE INTO public.session_waitlist_log a USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE",
    "dynamic": "DO $$ BEGIN EXECUTE 'DELETE FROM public.session_waitlist_log'; END $$",
    "truncate": "TRUNCATE public.session_waitlist_log CASCADE",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_record_is_written_by_the_database_alone(full, attack):
    refused("rsvp_waitlistlog_append_only", ATTACKS[attack])


def steps():
    return list(
        WaitlistLog.objects.order_by("pk").values_list("from_status", "to_status", "priority", "party_size", "actor")
    )


def test_each_step_is_on_record(session, newcomer):
    person = UserProfileFactory()
    run(WAIT, session.pk, newcomer.pk, 2, "waiting")
    run("UPDATE session_waitlist SET told_at = now(), offers_made = 1")
    run("SELECT set_config('turnout.actor', %s, true)", str(person.pk))
    run("UPDATE session_waitlist SET priority = 5")
    run("SELECT set_config('turnout.actor', '', true)")
    run("UPDATE session_waitlist SET status = 'offered'")
    run("UPDATE session_waitlist SET party_size = 1")
    run("UPDATE session_waitlist SET status = 'waiting', queued_at = clock_timestamp()")
    run("UPDATE session_waitlist SET queued_at = clock_timestamp()")
    run("UPDATE session_waitlist SET status = 'left'")
    assert steps() == [
        (None, "waiting", 0, 2, None),
        ("waiting", "waiting", 5, 2, person.pk),
        ("waiting", "offered", 5, 2, None),
        ("offered", "offered", 5, 1, None),
        ("offered", "waiting", 5, 1, None),
        ("waiting", "waiting", 5, 1, None),
        ("waiting", "left", 5, 1, None),
    ]
    entry = WaitlistEntry.objects.get()
    [[user]] = run("SELECT session_user::text")
    assert set(WaitlistLog.objects.values_list("entry", "session", "event", "db_user")) == {
        (entry.pk, session.pk, session.event_id, user)
    }
    assert WaitlistLog.objects.latest("pk").queued_at == entry.queued_at


def test_many_steps_of_a_statement_are_on_record_in_the_order_of_the_line(session):
    entries = [WaitlistEntryFactory(session=session, priority=priority) for priority in (0, 1, 0, 2)]
    run("UPDATE session_waitlist SET status = 'left'")
    order = [entries[place].pk for place in (3, 1, 0, 2)]
    assert list(WaitlistLog.objects.filter(to_status="left").order_by("pk").values_list("entry", flat=True)) == order


# -- Feedback ------------------------------------------------------------------------------------------------

FEEDBACK = """
    INSERT INTO public.session_feedback (id, event_id, session_id, attendee_id, rating)
    VALUES (gen_random_uuid(), %s, %s, %s, %s)
"""


@pytest.fixture
def over(session, newcomer):
    """Ended an hour ago; the newcomer had a seat, and was at the event."""
    run(RSVP, session.pk, newcomer.pk, 1, "confirmed")
    Attendee.objects.update(attendance_status="present")
    now = timezone.now()
    Session.objects.update(starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
    return session


def test_feedback_of_whoever_was_there(over, newcomer):
    run(FEEDBACK, None, over.pk, newcomer.pk, 5)
    assert SessionFeedback.objects.get().event_id == over.event_id
    refused("rsvp_sessionfeedback_once", FEEDBACK, None, over.pk, newcomer.pk, 4)
    refused("rsvp_sessionfeedback_rating_range", "UPDATE public.session_feedback SET rating = 6")
    refused("rsvp_sessionfeedback_stays_itself", "UPDATE public.session_feedback SET session_id = gen_random_uuid()")
    refused("rsvp_sessionfeedback_session_of_event", "UPDATE public.session_feedback SET event_id = %s",
            EventFactory().pk)  # fmt: skip
    run("UPDATE session_feedback SET rating = 1, comment = 'On second thoughts'")


@pytest.mark.parametrize("rating", [0, 6])
def test_feedback_is_one_to_five(over, newcomer, rating):
    refused("rsvp_sessionfeedback_rating_range", FEEDBACK, None, over.pk, newcomer.pk, rating)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE event_attendees SET attendance_status = 'absent'",
        "UPDATE event_attendees SET attendance_status = 'unknown'",
        "UPDATE event_attendees SET status = 'removed'",
        "UPDATE session_rsvps SET status = 'cancelled'",
    ],
)
def test_feedback_of_whoever_was_not_there_is_refused(over, newcomer, sql):
    run(sql)
    refused("rsvp_sessionfeedback_was_there", FEEDBACK, None, over.pk, newcomer.pk, 5)


@pytest.mark.parametrize("sql", ["ends_at = now() + interval '1 minute'", "status = 'cancelled'"])
def test_feedback_before_the_end_or_of_what_never_was_is_refused(over, newcomer, sql):
    run(f"UPDATE event_sessions SET {sql}")
    refused("rsvp_sessionfeedback_after_end", FEEDBACK, None, over.pk, newcomer.pk, 5)


def test_where_somebody_was_scanned_scans_decide(over, newcomer):
    point = CheckInPointFactory(event=over.event, kind="session", session=over)
    other = AttendeeFactory(event=over.event, attendance_status="present")
    scan = CheckIn.objects.create(
        point=point, attendee=other, event=over.event, checked_in_at=timezone.now(), result="checked_in"
    )
    refused("rsvp_sessionfeedback_was_there", FEEDBACK, None, over.pk, newcomer.pk, 5)
    run(FEEDBACK, None, over.pk, other.pk, 5)
    CheckIn.objects.filter(pk=scan.pk).update(undone_at=timezone.now())
    run(FEEDBACK, None, over.pk, newcomer.pk, 5)


def test_where_there_is_no_limit_no_seat_is_needed(over):
    Session.objects.update(capacity=None)
    other = AttendeeFactory(event=over.event, attendance_status="late")
    run(FEEDBACK, None, over.pk, other.pk, 3)
    assert SessionFeedback.objects.count() == 1
