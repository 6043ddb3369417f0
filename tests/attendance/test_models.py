"""Who sees whom, what counts, and the record of attendance that nobody talks the database out of.

Every attack on the record is made by a superuser and by a plain role with more rights than
deploy/roles.sql gives, each in three ways: as it stands, with pgtrigger's ignore list naming every
trigger, and with temporary tables in front of the real ones.
"""

from contextlib import contextmanager
from itertools import product

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from attendance.models import AttendanceAudit, Attendee, Block, DoorDevice
from config.database import uuid7
from events.models import UserProfile
from tests.config.postgres import SUFFIX, url
from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory, crowd

pytestmark = pytest.mark.django_db


def refused(constraint, act):
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        act()
        connection.check_constraints()
    assert caught.value.__cause__.diag.constraint_name == constraint


def seen_by(viewer):
    return set(Attendee.objects.filter(event_id=viewer.event_id).filter(Attendee.objects.seen_by(viewer.pk)))


def test_seen_are_the_active_and_visible(event):
    me, other = AttendeeFactory.create_batch(2, event=event)
    AttendeeFactory(event=event, visibility_enabled=False)
    AttendeeFactory(event=event, hidden_at=timezone.now())
    AttendeeFactory(event=event, status="removed")
    AttendeeFactory(event=event, user_profile=UserProfileFactory(is_active=False))
    AttendeeFactory()
    assert seen_by(me) == {me, other}


@pytest.mark.parametrize("fields", [{"visibility_enabled": False}, {"hidden_at": timezone.now()}])
def test_seen_by_themselves_even_when_nobody_else_does(event, fields):
    me, other = AttendeeFactory(event=event, **fields), AttendeeFactory(event=event)
    assert seen_by(me) == {me, other}
    assert seen_by(other) == {other}


def test_blocked_neither_see_nor_are_seen(event):
    me, other, third = AttendeeFactory.create_batch(3, event=event)
    Block.objects.create(attendee=me, blocked=other)
    assert seen_by(me) == {me, third}
    assert seen_by(other) == {other, third}
    assert seen_by(third) == {me, other, third}


def test_search_needs_every_word_somewhere(event):
    ada = AttendeeFactory(
        event=event, user_profile__first_name="Ada", user_profile__last_name="Lovelace", goals="Looms"
    )
    bob = AttendeeFactory(event=event, user_profile__first_name="Bob", looking_for="looms of ADA's time")
    rows = Attendee.objects.in_room(event.pk)
    assert set(rows.search("ada")) == {ada, bob}
    assert set(rows.search("  ada   lovelace ")) == {ada}
    assert set(rows.search("LOOM bob")) == {bob}
    assert set(rows.search("ada nobody")) == set()
    assert set(rows.search("")) == {ada, bob}
    assert set(rows.search("%")) == set()


def test_changed_since_sees_the_person_s_own_change(event):
    changed, _same = AttendeeFactory.create_batch(2, event=event)
    moment = Attendee.objects.latest("updated_at").updated_at
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment = max(moment, cursor.fetchone()[0])
    changed.user_profile.photo_url = "https://example.org/new.jpg"
    changed.user_profile.save(update_fields=["photo_url"])
    assert list(Attendee.objects.changed_since(moment)) == [changed]


def test_seats_of_a_row():
    row = Attendee(plus_ones=2)
    assert row.seats == 3
    row.status = "removed"
    assert row.seats == 0


@pytest.mark.parametrize(("capacity", "left", "fits"), [(None, None, True), (5, 2, True), (3, 0, False)])
def test_room_left(capacity, left, fits):
    event = EventFactory(capacity=capacity)
    AttendeeFactory(event=event, plus_ones=2)
    event.refresh_from_db()
    assert (event.seats_left, event.has_room_for(2)) == (left, fits)


def test_ticket_is_unique(event):
    first, second = AttendeeFactory.create_batch(2, event=event)
    before = second.ticket_code
    with pytest.raises(IntegrityError), transaction.atomic():
        Attendee.objects.filter(pk=second.pk).update(ticket_code=first.ticket_code)
    second.refresh_from_db()
    assert second.ticket_code == before


def test_block_once_and_never_oneself(event):
    me, other = AttendeeFactory.create_batch(2, event=event)
    Block.objects.create(attendee=me, blocked=other)
    refused("attendance_block_once", lambda: Block.objects.create(attendee=me, blocked=other))
    refused("attendance_block_not_self", lambda: Block.objects.create(attendee=me, blocked=me))
    assert Block.objects.count() == 1


def test_fewer_plus_ones_than_none(event):
    row = AttendeeFactory(event=event)
    refused("event_attendees_plus_ones_check", lambda: Attendee.objects.filter(pk=row.pk).update(plus_ones=-1))


# -- The record: who wrote what -----------------------------------------------------------------------

PLAIN = f"turnout_plain{SUFFIX}"
APPEND_ONLY = "attendance_audit_append_only"


def run(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def as_superuser():
    assert run("SHOW is_superuser") == [("on",)]


def as_plain_role():
    """With TRUNCATE and temporary tables too, which the application's role lacks."""
    run(f"CREATE ROLE {PLAIN}")
    run(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO {PLAIN}")
    run(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {PLAIN}")
    run(f"SET LOCAL ROLE {PLAIN}")
    assert run("SHOW is_superuser") == [("off",)]


def undisguised():
    pass


def with_every_trigger_ignored():
    [[names]] = run("SELECT array_agg(tgname::text) FROM pg_trigger WHERE NOT tgisinternal")
    assert len(names) > 20
    run("SELECT set_config('pgtrigger.ignore', %s, true)", "{" + ",".join(names) + "}")


def behind_temporary_tables():
    """Everybody is erased, nobody's status changes, and the audit is another one."""
    run("CREATE TEMP TABLE user_profiles ON COMMIT DROP AS SELECT id, now() AS erased_at FROM public.user_profiles")
    run("CREATE TEMP TABLE event_attendees ON COMMIT DROP AS SELECT * FROM public.event_attendees")
    run("CREATE TEMP TABLE event_attendance_audit (LIKE public.event_attendance_audit) ON COMMIT DROP")
    run("SET LOCAL search_path = pg_temp, public")


@contextmanager
def disguised(role, disguise):
    """Undone at its end, with whatever was done in it."""
    with transaction.atomic():
        role()
        disguise()
        yield
        transaction.set_rollback(True)


EVERY_WAY = list(
    product((as_superuser, as_plain_role), (undisguised, with_every_trigger_ignored, behind_temporary_tables))
)


def record():
    return run("SELECT row::text FROM public.event_attendance_audit AS row ORDER BY id")


def trail(*attendees):
    rows = AttendanceAudit.objects.order_by("id")
    rows = rows.filter(attendee__in=attendees) if attendees else rows
    return list(rows.values_list("from_status", "to_status", "actor", "source", "notes"))


def claim(attendee, status, actor, notes=None, source="admin"):
    """Raw SQL that says who answers for it."""
    return run(
        "UPDATE event_attendees SET attendance_status = %s, attendance_marked_by_id = %s, attendance_notes = %s, "
        "attendance_source = %s, attendance_updated_at = clock_timestamp() WHERE id = %s",
        status, actor and actor.pk, notes, source, attendee.pk,
    )  # fmt: skip


@pytest.fixture
def marked(event, organizer):
    """Somebody with a record and a note."""
    attendee = AttendeeFactory(event=event)
    claim(attendee, "present", organizer, "Came by the back door")
    attendee.refresh_from_db()
    return attendee


COLUMNS = "attendee_id, event_id, from_status, to_status, source, db_user, created_at"
COPIES = f"INSERT INTO public.event_attendance_audit ({COLUMNS}) SELECT {COLUMNS} FROM public.event_attendance_audit"
WITH_ID = COPIES.replace("(attendee_id", "(id, attendee_id").replace("SELECT ", "SELECT id + {}, ")
ATTACKS = {
    "insert": COPIES,
    "insert nothing": f"{COPIES} WHERE false",
    "insert with an id": WITH_ID.format(1000),
    "on conflict do nothing": f"{COPIES} ON CONFLICT DO NOTHING",
    "upsert": f"{WITH_ID.format(0)} ON CONFLICT (id) DO UPDATE SET to_status = 'absent'",
    "delete": "DELETE FROM public.event_attendance_audit",
    "delete in a CTE": "WITH gone AS (DELETE FROM public.event_attendance_audit RETURNING 1) SELECT count(*) FROM gone",
    "delete using": "DELETE FROM public.event_attendance_audit USING public.event_attendees e WHERE e.id = attendee_id",
    "truncate": "TRUNCATE public.event_attendance_audit",
    "truncate cascade": "TRUNCATE public.event_attendance_audit CASCADE",
    "merge delete": "MERGE INTO public.event_attendance_audit a USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE",
    "merge update": "MERGE INTO public.event_attendance_audit a USING (SELECT 1) one ON true"
    " WHEN MATCHED THEN UPDATE SET notes = NULL",
    "merge insert": "MERGE INTO public.event_attendance_audit a USING public.event_attendees e ON false"
    " WHEN NOT MATCHED THEN INSERT (attendee_id, event_id, to_status, source, db_user, created_at)"
    " VALUES (e.id, e.event_id, 'absent', 'sql', 'me', now())",
    "dynamic": "DO $$ BEGIN EXECUTE 'DELETE FROM public.event_attendance_audit'; END $$",
    "update in a CTE": "WITH changed AS (UPDATE public.event_attendance_audit SET to_status = 'absent' RETURNING 1)"
    " SELECT count(*) FROM changed",
} | {
    f"update {assignment}": f"UPDATE public.event_attendance_audit SET {assignment}"
    for assignment in (
        "notes = NULL",
        "notes = 'Never came'",
        "notes = ''",
        "id = id + 1000",
        "attendee_id = gen_random_uuid()",
        "event_id = event_id + 1",
        "from_status = NULL",
        "to_status = 'absent'",
        "actor_id = NULL",
        "device_id = gen_random_uuid()",
        "source = 'sql'",
        "marked_at = now()",
        "db_user = 'me'",
        "created_at = now()",
        "notes = notes",
    )
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_record_is_written_by_the_database_alone(marked, attack):
    before = record()
    assert len(before) == 1
    run("SET CONSTRAINTS ALL IMMEDIATE")
    for way in EVERY_WAY:
        with disguised(*way):
            refused(APPEND_ONLY, lambda: run(ATTACKS[attack]))
            assert record() == before, way


@pytest.mark.parametrize("table", ["events", "user_profiles", "event_attendees", "organizations", "door_devices"])
def test_truncating_what_the_record_stands_on_is_refused(marked, table):
    """CASCADE reaches several guarded tables; which says no first is PostgreSQL's affair."""
    before = record()
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        run(f"TRUNCATE {table} CASCADE")
    assert caught.value.__cause__.diag.constraint_name.endswith(("_never_truncated", "_append_only", "_has_request"))
    assert record() == before


def test_copy_into_the_record_is_refused(marked):
    def copy():
        columns = "attendee_id, event_id, to_status, source, db_user, created_at"
        with (
            connection.cursor(),
            connection.wrap_database_errors,
            connection.connection.cursor() as cursor,
            cursor.copy(f"COPY public.event_attendance_audit ({columns}) FROM STDIN") as lines,
        ):
            lines.write_row((marked.pk, marked.event_id, "absent", "sql", "me", timezone.now()))

    before = record()
    for way in EVERY_WAY:
        with disguised(*way):
            refused(APPEND_ONLY, copy)
            assert record() == before


@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL session_replication_role = replica",
        "SELECT set_config('session_replication_role', 'replica', true)",
        "ALTER TABLE event_attendance_audit DISABLE TRIGGER ALL",
        "ALTER TABLE event_attendees DISABLE TRIGGER USER",
        "DROP TABLE event_attendance_audit",
        "ALTER ROLE CURRENT_USER SUPERUSER",
    ],
)
def test_a_plain_role_cannot_turn_the_guards_off(marked, statement):
    with disguised(as_plain_role, undisguised):
        with pytest.raises(ProgrammingError) as caught, transaction.atomic():
            run(statement)
        assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_without_the_guards_the_record_could_be_deleted(marked):
    """The other half of the pair: nothing else would have refused it."""
    run("SET LOCAL session_replication_role = replica")
    assert run("DELETE FROM event_attendance_audit") == 1


# -- The one change that is allowed --------------------------------------------------------------------


@pytest.fixture
def erased(marked):
    person = marked.user_profile
    person.erased_at, person.is_active = timezone.now(), False
    person.save(update_fields=["erased_at", "is_active"])
    return marked


def test_the_notes_about_somebody_erased_may_go(erased, event, organizer):
    run("UPDATE event_attendance_audit SET notes = NULL")
    assert trail() == [("unknown", "present", organizer.pk, "admin", None)]


def test_a_plain_role_may_forget_those_notes(erased):
    with disguised(as_plain_role, with_every_trigger_ignored):
        assert run("UPDATE event_attendance_audit SET notes = NULL") == 1


@pytest.mark.parametrize(
    "assignment",
    [
        "notes = 'Somebody'",
        "notes = ''",
        "notes = NULL, source = 'sql'",
        "notes = NULL, to_status = 'absent'",
        "notes = NULL, actor_id = NULL",
        "notes = NULL, created_at = now()",
        "notes = NULL, marked_at = NULL, db_user = 'me'",
        "to_status = 'absent'",
    ],
)
def test_nothing_else_about_somebody_erased_may_change(erased, assignment):
    before = record()
    for way in EVERY_WAY:
        with disguised(*way):
            refused(APPEND_ONLY, lambda: run(f"UPDATE public.event_attendance_audit SET {assignment}"))
    assert record() == before


def test_notes_of_others_do_not_go_with_those_of_somebody_erased(erased, event, organizer):
    other = AttendeeFactory(event=event)
    claim(other, "late", organizer, "Train")
    before = record()
    refused(APPEND_ONLY, lambda: run("UPDATE event_attendance_audit SET notes = NULL"))
    assert record() == before


def test_notes_by_somebody_erased_stay(event, marked, organizer):
    run("UPDATE user_profiles SET erased_at = now(), is_active = false WHERE id = %s", organizer.pk)
    refused(APPEND_ONLY, lambda: run("UPDATE event_attendance_audit SET notes = NULL"))


def test_the_record_of_somebody_erased_may_not_be_deleted(erased):
    refused(APPEND_ONLY, lambda: run("DELETE FROM event_attendance_audit"))


# -- Complete, whoever writes ----------------------------------------------------------------------------

BY_SQL = ("unknown", "present", None, "sql", None)


@pytest.mark.parametrize("way", EVERY_WAY, ids=lambda way: "-".join(one.__name__ for one in way))
def test_raw_sql_is_on_record_by_nobody(event, organizer, way):
    attendee = AttendeeFactory(event=event)
    with disguised(*way):
        assert run("UPDATE public.event_attendees SET attendance_status = 'present'") == 1
        [row] = run(
            "SELECT attendee_id, event_id, from_status, to_status, actor_id, source, notes, db_user, device_id, "
            "marked_at IS NOT NULL, created_at >= marked_at FROM public.event_attendance_audit"
        )
        [[user]] = run("SELECT session_user::text")
        expected = (attendee.pk, event.pk, "unknown", "present", None, "sql", None, user, None, True, True)
        assert row == expected
        assert run(
            "SELECT attendance_source, attendance_marked_by_id, attendance_marked_at IS NULL, "
            "attendance_updated_at IS NULL FROM public.event_attendees"
        ) == [("sql", None, False, False)]


def test_raw_sql_takes_no_old_note_actor_or_device_along(event, marked, organizer):
    device = DoorDevice.objects.create(event=event, name="Scanner")
    claim(marked, "late", organizer, "Train")
    run("UPDATE event_attendees SET attendance_device_id = %s", device.pk)
    run("UPDATE event_attendees SET attendance_status = 'absent'")
    assert trail()[1:] == [
        ("present", "late", organizer.pk, "admin", "Train"),
        ("late", "absent", None, "sql", None),
    ]
    assert AttendanceAudit.objects.latest("id").device is None
    marked.refresh_from_db()
    assert (marked.attendance_marked_by, marked.attendance_device, marked.attendance_notes) == (None, None, "Train")


def test_raw_sql_that_names_somebody_without_claiming_names_nobody(event, organizer):
    AttendeeFactory(event=event)
    run(
        "UPDATE event_attendees SET attendance_status = 'present', attendance_marked_by_id = %s, "
        "attendance_source = 'admin', attendance_notes = 'New'",
        organizer.pk,
    )
    assert trail() == [("unknown", "present", None, "sql", "New")]


def test_a_claimed_change_is_theirs(event, marked, organizer):
    device = DoorDevice.objects.create(event=event, name="Scanner")
    run(
        "UPDATE event_attendees SET attendance_status = 'late', attendance_source = 'scan', attendance_notes = NULL, "
        "attendance_marked_by_id = NULL, attendance_device_id = %s, attendance_marked_at = '2030-01-01 12:00+00', "
        "attendance_updated_at = now() + interval '1 second'",
        device.pk,
    )
    row = AttendanceAudit.objects.latest("id")
    assert (row.source, row.actor, row.device, row.notes) == ("scan", None, device, None)
    assert row.marked_at.isoformat() == "2030-01-01T12:00:00+00:00"
    assert trail()[0] == ("unknown", "present", organizer.pk, "admin", "Came by the back door")


def test_a_claim_by_no_source_is_still_on_record(event, marked):
    claim(marked, "unknown", None, source=None)
    assert trail()[-1] == ("present", "unknown", None, "sql", None)


@pytest.mark.parametrize(
    "change",
    ["goals = 'Meet'", "attendance_status = attendance_status", "attendance_notes = 'Another'", "plus_ones = 1"],
)
def test_what_changes_no_status_leaves_no_row(event, marked, change):
    before = record()
    run(f"UPDATE event_attendees SET {change}")
    assert record() == before


def test_a_bulk_update_leaves_a_row_for_each_that_changed(event, marked):
    others = AttendeeFactory.create_batch(4, event=event)
    Attendee.objects.all().update(attendance_status="present")
    assert trail(*others) == [BY_SQL] * 4
    assert len(trail(marked)) == 1


def test_ten_thousand_in_one_statement(event):
    crowd(event, 10_000)
    began = timezone.now()
    assert run("UPDATE event_attendees SET attendance_status = 'present'") == 10_000
    assert run("SELECT count(*), count(DISTINCT attendee_id) FROM event_attendance_audit") == [(10_000, 10_000)]
    assert (timezone.now() - began).total_seconds() < 5
    run("SET CONSTRAINTS ALL IMMEDIATE")


def insert(status, **columns):
    columns = {"attendance_status": status} | columns
    person = UserProfileFactory()
    event = EventFactory()
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    run(
        f"INSERT INTO event_attendees (id, event_id, user_profile_id, owner_id, source, status, {names}) "
        f"VALUES (gen_random_uuid(), %s, %s, %s, 'import', 'active', {marks})",
        event.pk, person.pk, person.owner_id, *columns.values(),
    )  # fmt: skip
    return event, person


def test_inserted_with_a_status_is_on_record(db):
    insert("present", attendance_source="scan")
    assert trail() == [BY_SQL]
    assert Attendee.objects.get().attendance_source == "sql"


def test_inserted_with_a_claim_is_theirs(db, organizer):
    insert(
        "excused",
        attendance_source="import",
        attendance_updated_at=timezone.now(),
        attendance_marked_by_id=organizer.pk,
        attendance_notes="Ill",
    )
    assert trail() == [("unknown", "excused", organizer.pk, "import", "Ill")]


def test_inserted_unknown_leaves_no_row(db):
    insert("unknown")
    assert trail() == []


UPSERT = """
    INSERT INTO event_attendees (id, event_id, user_profile_id, owner_id, source, status, attendance_status)
    SELECT gen_random_uuid(), %s, id, owner_id, 'import', 'active', 'present' FROM user_profiles WHERE id = ANY(%s)
    ON CONFLICT (event_id, user_profile_id) DO UPDATE SET attendance_status = {status}
"""


@pytest.mark.parametrize("status", ["EXCLUDED.attendance_status", "'present'"])
def test_an_upsert_is_on_record_once_for_each(event, status):
    here, new = AttendeeFactory(event=event), UserProfileFactory()
    run(UPSERT.format(status=status), event.pk, [here.user_profile_id, new.pk])
    assert trail(here) == [BY_SQL]
    assert trail() == [BY_SQL] * 2
    run(UPSERT.format(status=status), event.pk, [here.user_profile_id, new.pk])
    assert len(trail()) == 2


def test_merge_is_on_record_once_for_each(event):
    here, same, new = AttendeeFactory(event=event), AttendeeFactory(event=event), UserProfileFactory()
    claim(same, "present", None)
    run(
        "MERGE INTO event_attendees a USING (SELECT * FROM user_profiles WHERE id = ANY(%s)) p "
        "ON a.user_profile_id = p.id AND a.event_id = %s "
        "WHEN MATCHED THEN UPDATE SET attendance_status = 'present' "
        "WHEN NOT MATCHED THEN INSERT (id, event_id, user_profile_id, owner_id, source, status, attendance_status) "
        "VALUES (gen_random_uuid(), %s, p.id, p.owner_id, 'import', 'active', 'present')",
        [here.user_profile_id, same.user_profile_id, new.pk], event.pk, event.pk,
    )  # fmt: skip
    assert trail(here) == [BY_SQL]
    assert trail(Attendee.objects.get(user_profile=new)) == [BY_SQL]
    assert len(trail()) == 3


def test_a_data_modifying_cte_is_on_record(event):
    first, second = AttendeeFactory.create_batch(2, event=event)
    run(
        "WITH one AS (UPDATE event_attendees SET attendance_status = 'present' WHERE id = %s RETURNING event_id) "
        "UPDATE event_attendees SET attendance_status = 'late' FROM one WHERE id = %s",
        first.pk, second.pk,
    )  # fmt: skip
    assert trail(first) == [BY_SQL]
    assert trail(second) == [("unknown", "late", None, "sql", None)]
    assert len(trail()) == 2


def test_copy_of_attendees_with_a_status_is_on_record(event):
    person = UserProfileFactory()
    columns = "id, event_id, user_profile_id, owner_id, source, status, attendance_status"
    with (
        connection.cursor(),
        connection.connection.cursor() as cursor,
        cursor.copy(f"COPY event_attendees ({columns}) FROM STDIN") as lines,
    ):
        lines.write_row((uuid7(), event.pk, person.pk, person.owner_id, "import", "active", "late"))
    assert trail() == [("unknown", "late", None, "sql", None)]


def test_two_changes_in_one_transaction_are_two_rows_and_a_savepoint_s_are_none(event):
    attendee = AttendeeFactory(event=event)
    with transaction.atomic():
        run("UPDATE event_attendees SET attendance_status = 'present'")
        with transaction.atomic():
            run("UPDATE event_attendees SET attendance_status = 'late'")
            assert len(trail(attendee)) == 2
            transaction.set_rollback(True)
        run("UPDATE event_attendees SET attendance_status = 'unknown'")
    assert trail(attendee) == [BY_SQL, ("present", "unknown", None, "sql", None)]


@pytest.mark.parametrize("change", ["id = gen_random_uuid()", "id = gen_random_uuid(), attendance_status = 'present'"])
def test_an_attendee_keeps_its_id(event, change):
    AttendeeFactory(event=event)
    for way in EVERY_WAY:
        with disguised(*way):
            refused("attendance_attendee_stays_itself", lambda: run(f"UPDATE public.event_attendees SET {change}"))
    assert trail() == []


def test_an_attendee_is_not_deleted_and_inserted_anew_off_the_record(event, marked):
    before = record()
    again = """
        CREATE TEMP TABLE anew ON COMMIT DROP AS SELECT * FROM public.event_attendees;
        DELETE FROM public.event_attendees;
        UPDATE anew SET attendance_status = 'unknown';
        INSERT INTO public.event_attendees SELECT * FROM anew;
    """
    for way in EVERY_WAY:
        with disguised(*way):
            refused("attendance_attendee_stays_itself", lambda: run(again))
            assert record() == before


def test_an_attendee_without_a_record_may_be_deleted_and_one_with_it_may_not(event, marked):
    AttendeeFactory(event=event).delete()
    claim(marked, "unknown", None)
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        run("DELETE FROM event_attendees")
        connection.check_constraints()
    assert caught.value.__cause__.diag.table_name == "event_attendance_audit"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("attendance_status = 'maybe'", "attendance_attendee_attendance_known"),
        ("attendance_status = ''", "attendance_attendee_attendance_known"),
        ("attendance_source = 'rumour'", "attendance_attendee_attendance_source_known"),
        (
            "attendance_status = 'late', attendance_source = NULL, attendance_updated_at = now()",
            "attendance_attendee_attendance_source_known",
        ),
        ("attendance_source = NULL", "attendance_attendee_attendance_source_known"),
    ],
)
def test_a_status_or_source_unheard_of_is_refused(event, marked, change, constraint):
    before = record()
    refused(constraint, lambda: run(f"UPDATE event_attendees SET {change}"))
    assert record() == before


def test_no_status_is_refused(event, marked):
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        run("UPDATE event_attendees SET attendance_status = NULL")
    assert isinstance(caught.value.__cause__, psycopg.errors.NotNullViolation)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_role_of_its_own_is_named_in_the_record(event, level):
    """A real log-in, as the application's, at each level of isolation."""
    AttendeeFactory(event=event)
    name = f"turnout_login{SUFFIX}"
    run(f"CREATE ROLE {name} LOGIN")
    try:
        run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
        run(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name}")
        with psycopg.connect(url(connection.settings_dict["NAME"], name)) as own:
            own.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            own.execute("UPDATE event_attendees SET attendance_status = 'present'")
            own.execute("UPDATE event_attendees SET attendance_status = 'late'")
        assert trail() == [BY_SQL, ("present", "late", None, "sql", None)]
        assert set(AttendanceAudit.objects.values_list("db_user", flat=True)) == {name}
        with psycopg.connect(url(connection.settings_dict["NAME"], name)) as own:
            with pytest.raises(psycopg.errors.CheckViolation):
                own.execute("DELETE FROM event_attendance_audit")
            own.rollback()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute("SET session_replication_role = replica")
    finally:
        run(f"DROP OWNED BY {name}")
        run(f"DROP ROLE {name}")


@pytest.mark.django_db(transaction=True)
def test_attendance_takes_no_lock_on_its_event(event):
    """The seats' counter isn't touched: whoever holds the event's row keeps nobody from checking in."""
    AttendeeFactory(event=event)
    stamp = run("SELECT updated_at, xmin::text FROM events")
    with psycopg.connect(url(connection.settings_dict["NAME"])) as other:
        other.execute("SELECT FROM events FOR NO KEY UPDATE")
        with transaction.atomic():
            run("SET LOCAL lock_timeout = '500ms'")
            run("UPDATE event_attendees SET attendance_status = 'present'")
            connection.check_constraints()
    assert run("SELECT updated_at, xmin::text FROM events") == stamp
    assert trail() == [BY_SQL]


def test_an_erased_person_stays_erased_and_gets_nobody_elses_record(event):
    """Or else notes could be taken from the audit by somebody who may write both tables."""
    erased = UserProfileFactory(erased_at=timezone.now(), is_active=False)
    attendee = AttendeeFactory(event=event)
    refused(
        "events_userprofile_erased_for_good",
        lambda: UserProfile.objects.filter(pk=erased.pk).update(erased_at=None),
    )
    refused(
        "attendance_attendee_stays_itself",
        lambda: Attendee.objects.filter(pk=attendee.pk).update(user_profile=erased, owner_id=erased.owner_id),
    )
