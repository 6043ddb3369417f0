"""What the database promises of join requests and attendees, to whoever writes.

Every attack is made three times, each in a transaction of its own that must fail at the latest at
commit: as it stands, with pgtrigger's ignore list naming every trigger, and with temporary tables
in front of the real ones that tell the triggers what they would like to hear.
"""

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from attendance import integrity
from attendance.models import Attendee
from requests.models import InvitationLink, JoinRequest
from requests.operations import join_requests
from tests.factories import AttendeeFactory, EventFactory, InvitationLinkFactory, JoinRequestFactory, UserProfileFactory

pytestmark = pytest.mark.django_db(transaction=True)

INSERT_ATTENDEE = """
    INSERT INTO public.event_attendees (
        id, event_id, user_profile_id, owner_id, join_request_id, source, status, plus_ones, ticket_code,
        visibility_enabled, notifications_enabled, created_at, updated_at
    )
    SELECT gen_random_uuid(), %s, id, owner_id, %s, %s, %s, %s, gen_random_uuid()::text, true, true, now(), now()
    FROM public.user_profiles WHERE id = ANY(%s)
"""
INSERT_REQUEST = """
    INSERT INTO public.event_join_requests (
        id, event_id, user_profile_id, owner_id, status, plus_ones, comments, held, decided_at, created_at, updated_at
    )
    SELECT gen_random_uuid(), %s, id, owner_id, %s, %s, '', false, %s, now(), now()
    FROM public.user_profiles WHERE id = %s
"""
APPROVE = "UPDATE public.event_join_requests SET status = 'approved', decided_at = now() WHERE id = %s"


def new_attendees(event, *people, request=None, source="invitation", status="active", plus_ones=0):
    return INSERT_ATTENDEE, event.pk, request and request.pk, source, status, plus_ones, [one.pk for one in people]


def run(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def rows():
    """Everything that an attack could have changed."""
    with connection.cursor() as cursor:
        found = {}
        for table in ("events", "event_attendees", "event_join_requests", "user_profiles", "event_invitation_links"):
            cursor.execute(f"SELECT row::text FROM {table} AS row ORDER BY 1")
            found[table] = cursor.fetchall()
        return found


def undisguised(cursor):
    pass


def with_every_trigger_ignored(cursor):
    cursor.execute("SELECT array_agg(tgname::text) FROM pg_trigger WHERE NOT tgisinternal")
    names = cursor.fetchone()[0]
    assert len(names) > 10
    cursor.execute("SELECT set_config('pgtrigger.ignore', %s, true)", ["{" + ",".join(names) + "}"])


def behind_temporary_tables(cursor):
    """Tables that shadow the real ones: all is approved, all attend, there is room for everybody."""
    cursor.execute("CREATE TEMP TABLE events ON COMMIT DROP AS SELECT * FROM public.events")
    cursor.execute("UPDATE pg_temp.events SET capacity = NULL, max_plus_ones = 30000")
    cursor.execute("CREATE TEMP TABLE event_join_requests ON COMMIT DROP AS SELECT * FROM public.event_join_requests")
    cursor.execute("UPDATE pg_temp.event_join_requests SET status = 'approved'")
    cursor.execute(
        "CREATE TEMP TABLE event_attendees ON COMMIT DROP AS "
        "SELECT gen_random_uuid() AS id, id AS join_request_id, event_id, 'active' AS status, 0 AS plus_ones "
        "FROM public.event_join_requests"
    )


DISGUISES = [undisguised, with_every_trigger_ignored, behind_temporary_tables]


def refused(sql, *params, constraint):
    before = rows()
    for disguise in DISGUISES:
        with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
            disguise(cursor)
            cursor.execute(sql, params)
        assert (disguise.__name__, caught.value.__cause__.diag.constraint_name) == (disguise.__name__, constraint)
        assert rows() == before


@pytest.fixture
def pending():
    return JoinRequestFactory()


@pytest.fixture
def approved():
    request = JoinRequestFactory(plus_ones=1)
    return join_requests.approve(request_id=request.pk, actor=None).row


def seats(event):
    event.refresh_from_db()
    return event.seats_taken


# -- Approved means in the room ------------------------------------------------------------------

PROMISE = "requests_joinrequest_approved_has_attendee"


def test_approving_without_attendee_is_refused(pending):
    refused(APPROVE, pending.pk, constraint=PROMISE)
    pending.refresh_from_db()
    assert pending.status == "pending"


def test_approving_without_attendee_goes_through_with_triggers_off(pending):
    """The other half of the pair: without the trigger nothing else would have refused it."""
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run(APPROVE, pending.pk)
    assert list(JoinRequest.objects.without_attendee()) == [pending]


def test_inserting_an_approved_request_without_attendee_is_refused(event):
    person = UserProfileFactory()
    refused(INSERT_REQUEST, event.pk, "approved", 0, event.starts_at, person.pk, constraint=PROMISE)
    assert JoinRequest.objects.count() == 0


def test_approving_many_at_once_with_one_attendee_missing_is_refused(event):
    first, second = JoinRequestFactory.create_batch(2, event=event)
    sql, *params = new_attendees(event, first.user_profile, request=first, source="join_request")
    refused(
        f"UPDATE public.event_join_requests SET status = 'approved', decided_at = now() WHERE event_id = %s; {sql}",
        event.pk,
        *params,
        constraint=PROMISE,
    )
    assert not Attendee.objects.exists()


def test_an_active_attendee_of_a_pending_request_is_refused(pending):
    refused(*new_attendees(pending.event, pending.user_profile, request=pending), constraint=PROMISE)


def test_approving_with_a_removed_attendee_is_refused(pending):
    sql, *params = new_attendees(pending.event, pending.user_profile, request=pending, status="removed")
    refused(f"{APPROVE}; {sql}", pending.pk, *params, constraint=PROMISE)


def test_removing_the_attendee_of_an_approved_request_is_refused(approved):
    refused(
        "UPDATE public.event_attendees SET status = 'removed' WHERE join_request_id = %s",
        approved.pk,
        constraint=PROMISE,
    )


def test_deleting_the_attendee_of_an_approved_request_is_refused(approved):
    refused("DELETE FROM public.event_attendees WHERE join_request_id = %s", approved.pk, constraint=PROMISE)


def test_detaching_the_attendee_of_an_approved_request_is_refused(approved):
    refused(
        "UPDATE public.event_attendees SET join_request_id = NULL, source = 'import' WHERE join_request_id = %s",
        approved.pk,
        constraint=PROMISE,
    )


def test_moving_the_attendee_to_another_request_is_refused(approved):
    other = JoinRequestFactory(event=approved.event)
    refused(
        "UPDATE public.event_attendees SET join_request_id = %s WHERE join_request_id = %s",
        other.pk,
        approved.pk,
        constraint="attendance_attendee_same_as_request",
    )


def test_moving_the_attendee_and_the_person_to_another_request_is_refused(approved):
    other = JoinRequestFactory(event=approved.event)
    refused(
        "UPDATE public.event_attendees SET join_request_id = %s, user_profile_id = %s, owner_id = %s "
        "WHERE join_request_id = %s",
        other.pk,
        other.user_profile_id,
        other.owner_id,
        approved.pk,
        constraint=PROMISE,
    )


@pytest.mark.parametrize("status", ["pending", "declined", "cancelled"])
def test_leaving_approved_with_the_attendee_active_is_refused(approved, status):
    refused(
        "UPDATE public.event_join_requests SET status = %s, decided_by_id = NULL, decision_note = NULL, "
        "decided_at = CASE %s WHEN 'declined' THEN now() END WHERE id = %s",
        status,
        status,
        approved.pk,
        constraint=PROMISE,
    )


def test_reactivating_the_attendee_of_a_declined_request_is_refused(approved):
    join_requests.decline(request_id=approved.pk, actor=None)
    refused(
        "UPDATE public.event_attendees SET status = 'active' WHERE join_request_id = %s",
        approved.pk,
        constraint=PROMISE,
    )


def test_deleting_the_request_of_an_attendee_is_refused(approved):
    before = rows()
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        run("DELETE FROM event_join_requests WHERE id = %s", approved.pk)
    assert caught.value.__cause__.diag.table_name == "event_attendees"
    assert rows() == before


def test_request_and_attendee_changed_together_are_accepted(approved):
    with transaction.atomic():
        run("UPDATE event_attendees SET status = 'removed' WHERE join_request_id = %s", approved.pk)
        run("UPDATE event_join_requests SET status = 'declined' WHERE id = %s", approved.pk)
    with transaction.atomic():
        run("DELETE FROM event_attendees WHERE join_request_id = %s", approved.pk)
        run("DELETE FROM event_join_requests WHERE id = %s", approved.pk)
    assert not JoinRequest.objects.exists()
    assert seats(approved.event) == 0


@pytest.mark.parametrize(
    ("tables", "constraint"),
    [
        (
            ", public.".join(
                ("event_attendees", "event_attendee_blocks", "event_attendance_audit", "check_ins", "check_in_attempts")
                + ("event_guests", "message_deliveries", "event_invitation_links")
                + ("session_rsvps", "session_waitlist", "session_feedback")
            ),
            "attendance_attendee_never_truncated",
        ),
        ("event_attendees CASCADE", "attendance_attendee_never_truncated"),
        ("event_join_requests CASCADE", "requests_joinrequest_never_truncated"),
    ],
)
def test_truncate_is_refused(approved, tables, constraint):
    refused(f"TRUNCATE public.{tables}", constraint=constraint)


@pytest.mark.parametrize("table", ["events", "user_profiles"])
def test_truncate_of_what_they_stand_on_is_refused(approved, table):
    """CASCADE reaches both tables; which of the two says no first is PostgreSQL's affair."""
    before = rows()
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        run(f"TRUNCATE {table} CASCADE")
    assert caught.value.__cause__.diag.constraint_name in {
        "attendance_attendee_never_truncated",
        "attendance_audit_append_only",
        "requests_joinrequest_never_truncated",
    }
    assert rows() == before


# -- Whose it is ---------------------------------------------------------------------------------


def test_an_attendee_with_another_owner_id_than_the_profile_is_refused(event):
    attendee = AttendeeFactory(event=event)
    refused(
        "UPDATE public.event_attendees SET owner_id = 'somebody|else' WHERE id = %s",
        attendee.pk,
        constraint="attendance_attendee_owner_of_profile",
    )


def test_an_attendee_with_the_owner_id_of_another_person_is_refused(event):
    attendee, other = AttendeeFactory(event=event), UserProfileFactory()
    refused(
        "UPDATE public.event_attendees SET owner_id = %s WHERE id = %s",
        other.owner_id,
        attendee.pk,
        constraint="attendance_attendee_owner_of_profile",
    )


def test_an_attendee_with_the_request_of_another_person_is_refused(approved):
    stranger = UserProfileFactory()
    refused(
        "UPDATE public.event_attendees SET user_profile_id = %s, owner_id = %s WHERE join_request_id = %s",
        stranger.pk,
        stranger.owner_id,
        approved.pk,
        constraint="attendance_attendee_same_as_request",
    )


def test_an_attendee_in_another_event_than_the_request_is_refused(approved):
    refused(
        "UPDATE public.event_attendees SET event_id = %s WHERE join_request_id = %s",
        EventFactory().pk,
        approved.pk,
        constraint="attendance_attendee_same_as_request",
    )


def test_a_request_with_another_owner_id_than_the_profile_is_refused(pending):
    refused(
        "UPDATE public.event_join_requests SET owner_id = 'somebody|else' WHERE id = %s",
        pending.pk,
        constraint="requests_joinrequest_owner_of_profile",
    )


def test_a_source_that_claims_a_request_without_one_is_refused(event):
    refused(
        *new_attendees(event, UserProfileFactory(), source="join_request"),
        constraint="attendance_attendee_source_has_request",
    )


def test_a_new_owner_id_of_the_profile_reaches_both_tables(approved):
    run("UPDATE user_profiles SET owner_id = 'provider|42' WHERE id = %s", approved.user_profile_id)
    assert JoinRequest.objects.values_list("owner_id", flat=True).get() == "provider|42"
    assert Attendee.objects.values_list("owner_id", "join_request_id").get() == ("provider|42", approved.pk)
    assert seats(approved.event) == 2


def test_a_second_request_for_the_same_event_is_refused(pending):
    refused(
        INSERT_REQUEST,
        pending.event_id,
        "pending",
        0,
        None,
        pending.user_profile_id,
        constraint="requests_joinrequest_once",
    )


def test_a_second_attendee_row_for_the_same_person_is_refused(approved):
    refused(*new_attendees(approved.event, approved.user_profile), constraint="attendance_attendee_once")


# -- What a row may say --------------------------------------------------------------------------


def test_an_unknown_status_of_a_request_is_refused(pending):
    refused(
        "UPDATE public.event_join_requests SET status = 'maybe' WHERE id = %s",
        pending.pk,
        constraint="requests_joinrequest_status_known",
    )


@pytest.mark.parametrize("column", ["status", "source"])
def test_an_unknown_value_in_an_attendee_is_refused(event, column):
    attendee = AttendeeFactory(event=event)
    refused(
        f"UPDATE public.event_attendees SET {column} = 'maybe' WHERE id = %s",
        attendee.pk,
        constraint=f"attendance_attendee_{column}_known",
    )


@pytest.mark.parametrize("column", ["status", "visibility", "approval_mode"])
def test_an_unknown_value_in_an_event_is_refused(event, column):
    refused(
        f"UPDATE public.events SET {column} = 'maybe' WHERE id = %s",
        event.pk,
        constraint=f"events_event_{column}_known",
    )


def test_more_plus_ones_than_the_event_allows_are_refused(pending):
    refused(
        "UPDATE public.event_join_requests SET plus_ones = 4 WHERE id = %s",
        pending.pk,
        constraint="requests_joinrequest_plus_ones_allowed",
    )


def test_a_new_request_with_more_plus_ones_than_the_event_allows_is_refused(event):
    refused(
        INSERT_REQUEST,
        event.pk,
        "pending",
        4,
        None,
        UserProfileFactory().pk,
        constraint="requests_joinrequest_plus_ones_allowed",
    )


def test_moving_a_request_to_an_event_that_allows_fewer_plus_ones_is_refused():
    request = JoinRequestFactory(plus_ones=3)
    refused(
        "UPDATE public.event_join_requests SET event_id = %s WHERE id = %s",
        EventFactory(max_plus_ones=0).pk,
        request.pk,
        constraint="requests_joinrequest_plus_ones_allowed",
    )


def test_fewer_plus_ones_than_none_are_refused(pending):
    refused(
        "UPDATE public.event_join_requests SET plus_ones = -1 WHERE id = %s",
        pending.pk,
        constraint="event_join_requests_plus_ones_check",
    )


def test_an_event_that_lowers_its_plus_ones_leaves_requests_alone():
    request = JoinRequestFactory(plus_ones=3)
    run("UPDATE events SET max_plus_ones = 0 WHERE id = %s", request.event_id)
    run("UPDATE event_join_requests SET comments = 'still three' WHERE id = %s", request.pk)
    assert JoinRequest.objects.values_list("plus_ones", "comments").get() == (3, "still three")


DECIDED = "requests_joinrequest_decided_when_decided"


@pytest.mark.parametrize("status", ["pending", "cancelled"])
@pytest.mark.parametrize("column", ["decided_at = now()", "decided_by_id = user_profile_id", "decision_note = 'no'"])
def test_a_decision_on_an_undecided_request_is_refused(pending, status, column):
    run("UPDATE event_join_requests SET status = %s WHERE id = %s", status, pending.pk)
    refused(f"UPDATE public.event_join_requests SET {column} WHERE id = %s", pending.pk, constraint=DECIDED)


def test_declining_without_a_time_is_refused(pending):
    refused("UPDATE public.event_join_requests SET status = 'declined' WHERE id = %s", pending.pk, constraint=DECIDED)


def test_a_decided_request_without_a_time_is_refused(approved):
    refused("UPDATE public.event_join_requests SET decided_at = NULL WHERE id = %s", approved.pk, constraint=DECIDED)


def test_a_decision_by_the_system_names_nobody(pending):
    run("UPDATE event_join_requests SET status = 'declined', decided_at = now() WHERE id = %s", pending.pk)
    assert JoinRequest.objects.values_list("status", "decided_by").get() == ("declined", None)


def test_a_link_used_more_often_than_it_may_is_refused():
    InvitationLinkFactory(max_uses=2, uses=2)
    refused("UPDATE public.event_invitation_links SET uses = 3", constraint="requests_invitationlink_uses_within_limit")
    assert InvitationLink.objects.get().uses == 2


# -- Places --------------------------------------------------------------------------------------

CAPACITY = "events_event_seats_within_capacity"


@pytest.fixture
def full():
    """Three places, all taken: one alone, one who brings somebody."""
    event = EventFactory(capacity=3)
    AttendeeFactory(event=event)
    AttendeeFactory(event=event, plus_ones=1)
    assert seats(event) == 3
    return event


def test_overfilling_by_insert_is_refused(full):
    refused(*new_attendees(full, UserProfileFactory()), constraint=CAPACITY)


def test_overfilling_by_a_bulk_insert_is_refused_as_a_whole():
    event = EventFactory(capacity=3)
    refused(*new_attendees(event, *UserProfileFactory.create_batch(4)), constraint=CAPACITY)
    run(*new_attendees(event, *UserProfileFactory.create_batch(3)))
    assert seats(event) == 3


def test_overfilling_one_of_several_events_at_once_is_refused(full):
    roomy = EventFactory(capacity=10)
    sql, *params = new_attendees(roomy, UserProfileFactory())
    refused(
        sql.replace("SELECT gen_random_uuid(), %s", "SELECT gen_random_uuid(), e.id", 1)
        .replace(
            "FROM public.user_profiles WHERE id = ANY(%s)",
            "FROM public.user_profiles p, public.events e WHERE p.id = ANY(%s)",
        )
        .replace(", id, owner_id", ", p.id, owner_id")
        .replace("e.id, id,", "e.id, p.id,"),
        *params[1:],
        constraint=CAPACITY,
    )
    assert (seats(roomy), seats(full)) == (0, 3)


def test_a_bulk_insert_into_several_events_counts_each():
    events = EventFactory.create_batch(3, capacity=4)
    people = UserProfileFactory.create_batch(2)
    Attendee.objects.bulk_create(
        Attendee(event=event, user_profile=person, owner_id=person.owner_id, source="import", plus_ones=1)
        for event in events
        for person in people
    )
    assert [seats(event) for event in events] == [4, 4, 4]


def test_overfilling_by_plus_ones_is_refused(full):
    refused("UPDATE public.event_attendees SET plus_ones = plus_ones + 1", constraint=CAPACITY)


def test_overfilling_by_reactivating_is_refused(full):
    AttendeeFactory(event=full, status="removed")
    refused("UPDATE public.event_attendees SET status = 'active' WHERE status = 'removed'", constraint=CAPACITY)


def test_overfilling_by_moving_from_another_event_is_refused(full):
    guest = AttendeeFactory()
    refused("UPDATE public.event_attendees SET event_id = %s WHERE id = %s", full.pk, guest.pk, constraint=CAPACITY)


def test_lowering_capacity_below_the_places_taken_is_refused(full):
    refused("UPDATE public.events SET capacity = 2 WHERE id = %s", full.pk, constraint=CAPACITY)


def test_raising_capacity_makes_room(full):
    run("UPDATE events SET capacity = 4 WHERE id = %s", full.pk)
    run(*new_attendees(full, UserProfileFactory()))
    assert seats(full) == 4


def test_without_capacity_there_is_no_limit(event):
    run(*new_attendees(event, *UserProfileFactory.create_batch(20), plus_ones=50))
    assert seats(event) == 1020


def test_swapping_people_in_a_full_event_in_one_statement_counts_right(full):
    AttendeeFactory(event=full, status="removed")
    run(
        "UPDATE event_attendees SET status = CASE status WHEN 'active' THEN 'removed' ELSE 'active' END "
        "WHERE event_id = %s AND plus_ones = 0",
        full.pk,
    )
    assert seats(full) == 3


def test_deleting_counts(full):
    run("DELETE FROM event_attendees WHERE event_id = %s AND plus_ones = 1", full.pk)
    assert seats(full) == 1
    run("DELETE FROM event_attendees WHERE event_id = %s", full.pk)
    assert seats(full) == 0


def test_deleting_the_removed_counts_nothing(full):
    AttendeeFactory(event=full, status="removed")
    run("DELETE FROM event_attendees WHERE status = 'removed'")
    assert seats(full) == 3


def test_upserts_count_right():
    event, person = EventFactory(capacity=3), UserProfileFactory()
    sql, *params = new_attendees(event, person, UserProfileFactory())
    upsert = f"{sql} ON CONFLICT (event_id, user_profile_id) DO UPDATE SET plus_ones = 1"
    run(*new_attendees(event, person))
    run(upsert, *params)
    assert seats(event) == 3
    run(upsert, *params[:-1], [person.pk])
    assert seats(event) == 3
    refused(upsert, *params, constraint=CAPACITY)
    run(f"{sql} ON CONFLICT DO NOTHING", *params)
    assert seats(event) == 3


def test_a_stale_save_of_the_event_leaves_the_count(full):
    stale = type(full).objects.get(pk=full.pk)
    Attendee.objects.filter(event=full, plus_ones=1).update(status="removed")
    assert stale.seats_taken == 3
    stale.title = "Renamed"
    stale.save()
    assert seats(full) == 1
    assert full.title == "Renamed"


def test_a_stale_save_of_the_form_leaves_the_count(full):
    """As the admin saves: the changed fields only, or everything at once where somebody forgot."""
    stale = type(full).objects.get(pk=full.pk)
    stale.seats_taken = 0
    stale.save(update_fields=["title", "seats_taken"])
    assert seats(full) == 3


def test_a_new_event_starts_with_no_places_taken():
    assert seats(EventFactory(seats_taken=40)) == 0


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_count_written_by_hand_is_not_written(full, disguise):
    with transaction.atomic(), connection.cursor() as cursor:
        disguise(cursor)
        cursor.execute("UPDATE public.events SET seats_taken = 0, capacity = 3 WHERE id = %s", [full.pk])
    assert seats(full) == 3


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM event_attendees WHERE id = %s RETURNING event_id",
        "UPDATE event_attendees SET status = 'removed' WHERE id = %s RETURNING event_id",
        "UPDATE event_attendees SET plus_ones = 1 WHERE id = %s RETURNING event_id",
    ],
)
def test_a_count_written_beside_a_change_counts_the_change_once(full, change):
    walk_in = AttendeeFactory(event=EventFactory(capacity=9))
    AttendeeFactory(event=walk_in.event)
    run(
        f"WITH changed AS ({change}) UPDATE events SET seats_taken = 0 FROM changed WHERE events.id = changed.event_id",
        walk_in.pk,
    )
    assert seats(walk_in.event) == sum(row.seats for row in Attendee.objects.filter(event=walk_in.event))


def test_a_wrong_count_from_loading_with_triggers_off_is_mended_by_the_owner(full):
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run("UPDATE events SET seats_taken = 1 WHERE id = %s", full.pk)
    assert seats(full) == 1
    assert integrity.recount(rows=[full.pk]) == 1
    assert seats(full) == 3
    run("UPDATE events SET seats_taken = 0 WHERE id = %s", full.pk)
    assert seats(full) == 3


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_older_snapshot_is_refused_not_believed(approved, level):
    """It sees the request approved still, while somebody has given its attendee to another person."""
    stranger = UserProfileFactory()
    settings = connection.get_connection_params()
    keys = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{key: settings[key] for key in keys if settings.get(key)}) as old:
        old.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        old.execute("SELECT count(*) FROM event_join_requests")
        with transaction.atomic():
            run(
                "UPDATE event_attendees SET join_request_id = NULL, source = 'walk_in', user_profile_id = %s,"
                " owner_id = %s WHERE join_request_id = %s",
                stranger.pk,
                stranger.owner_id,
                approved.pk,
            )
            run(
                "UPDATE event_join_requests SET status = 'pending', decided_at = NULL, decided_by_id = NULL,"
                " decision_note = NULL WHERE id = %s",
                approved.pk,
            )
        sql, *params = new_attendees(approved.event, approved.user_profile, request=approved, source="join_request")
        with pytest.raises(psycopg.errors.SerializationFailure):
            old.execute(sql, params)
            old.commit()
        old.rollback()
    assert not Attendee.objects.filter(join_request=approved).exists()


@pytest.mark.parametrize("disguise", DISGUISES)
def test_places_count_in_every_disguise(event, disguise):
    with transaction.atomic(), connection.cursor() as cursor:
        disguise(cursor)
        sql, *params = new_attendees(event, *UserProfileFactory.create_batch(2), plus_ones=2)
        cursor.execute(sql, params)
    assert seats(event) == 6


@pytest.mark.parametrize("table", ["events", "event_attendees", "event_join_requests", "user_profiles"])
def test_updated_at_moves_with_raw_sql(approved, table):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT max(updated_at) FROM {table}")
        before = cursor.fetchone()[0]
        cursor.execute(f"UPDATE {table} SET updated_at = '2001-01-01'")
        cursor.execute(f"SELECT min(updated_at) FROM {table}")
        assert cursor.fetchone()[0] > before


# -- Links ---------------------------------------------------------------------------------------


def test_the_token_of_a_link_names_it_and_nobody_makes_one_up():
    link = InvitationLinkFactory()
    assert InvitationLink.id_of(link.token) == link.pk.hex
    assert InvitationLink.id_of(link.pk.hex) is None
    assert InvitationLink.id_of(link.token[:-1] + ("A" if link.token[-1] != "A" else "B")) is None
    assert InvitationLink.id_of(f"{InvitationLinkFactory().pk.hex}:{link.token.split(':')[1]}") is None
