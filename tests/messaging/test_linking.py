"""Whose a delivery is: the table of docs/linking.md, by raw SQL, case by case."""

from uuid import RFC_4122

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F
from waffle.models import Switch

from config.database import uuid7
from messaging.models import FALLBACK_TO_USERS, LINK_BY_PHONE, EventGuest, MessageDelivery, UserLinkAudit
from messaging.operations import links
from messaging.triggers import linking
from tests import factories
from tests.config.postgres import waited_for

PHONE = "+14155550100"


@pytest.fixture
def message(event):
    return factories.MessageFactory(event=event)


def guest(event, user=None, phone=PHONE, **fields):
    return factories.EventGuestFactory(event=event, user=user, phone=phone, **fields)


def account(verified=True, **fields):
    return factories.UserProfileFactory(phone=PHONE, phone_verified=verified, **fields)


def switch(name, active):
    Switch.objects.update_or_create(name=name, defaults={"active": active})


def insert(message, guest=None, user=None, phone=None):
    """What psql would write; the row as the database then has it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO message_deliveries (message_id, guest_id, user_id, channel, phone_number)"
            " VALUES (%s, %s, %s, 'sms', %s) RETURNING id",
            [message.pk, guest and guest.pk, user and user.pk, phone],
        )
        return MessageDelivery.objects.get(pk=cursor.fetchone()[0])


def own_link(event):
    person = account(verified=False)
    return guest(event, person), person


def removed(event):
    person = account()
    return guest(event, person, removed_at="2026-01-01T00:00Z"), None


def without_a_number(event):
    account()
    return guest(event, phone=None), None


def phone_off(event):
    switch(LINK_BY_PHONE, False)
    one = guest(event)
    guest(event, account())
    return one, None


def several_people(event):
    guest(event, account(verified=False))
    guest(event, account(verified=False))
    return guest(event), None


def several_unlinked(event):
    guest(event)
    return guest(event), None


def linked_namesake(event):
    person = account(verified=False)
    guest(event, person)
    return guest(event), person


def same_person_twice(event):
    person = account(verified=False)
    guest(event, person)
    guest(event, person)
    return guest(event), person


def namesake_removed(event):
    guest(event, account(), removed_at="2026-01-01T00:00Z")
    return guest(event), None


def namesake_elsewhere(event):
    guest(factories.EventFactory(), account())
    return guest(event), None


def fallback_off(event):
    account()
    return guest(event), None


def several_accounts(event):
    switch(FALLBACK_TO_USERS, True)
    account()
    account()
    return guest(event), None


def one_account(event):
    switch(FALLBACK_TO_USERS, True)
    person = account()
    account(verified=False)
    account(is_active=False)
    return guest(event), person


def unverified_only(event):
    switch(FALLBACK_TO_USERS, True)
    account(verified=False)
    return guest(event), None


CASES = [
    (own_link, "linked", "guest", "own_link"),
    (removed, "no_match", None, "removed"),
    (without_a_number, "skipped", "phone", "fallback_off"),
    (phone_off, "skipped", "phone", "phone_off"),
    (several_people, "ambiguous", "phone", "guests"),
    (several_unlinked, "ambiguous", "phone", "guests"),
    (linked_namesake, "linked", "phone", "guest_phone"),
    (same_person_twice, "linked", "phone", "guest_phone"),
    (fallback_off, "skipped", "phone", "fallback_off"),
    (namesake_removed, "skipped", "phone", "fallback_off"),
    (namesake_elsewhere, "skipped", "phone", "fallback_off"),
    (several_accounts, "ambiguous", "phone", "accounts"),
    (one_account, "linked", "phone", "account"),
    (unverified_only, "no_match", "phone", "no_account"),
]


@pytest.mark.parametrize(
    ("case", "outcome", "method", "applied"), CASES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_delivery_is_linked_as_the_table_says(message, case, outcome, method, applied):
    to, person = case(message.event)
    row = insert(message, to)
    assert (row.user, row.link_outcome, row.link_method, row.link_case) == (person, outcome, method, applied)
    record = UserLinkAudit.objects.get(record_id=row.pk)
    assert (record.user, record.outcome, record.method) == (person, outcome, method)
    assert (record.table_name, record.event_id, record.guest_id) == ("message_deliveries", message.event_id, to.pk)
    assert PHONE not in str(record.details) and PHONE.lstrip("+") not in str(record.details)


def test_the_switch_acts_without_its_row_as_documented(message):
    Switch.objects.all().delete()
    person = account()
    guest(message.event, person)
    assert insert(message, guest(message.event)).user == person
    assert insert(message, guest(message.event, phone="+14155550199")).link_case == "fallback_off"


def test_a_delivery_given_to_somebody_is_theirs(message):
    person = account(verified=False)
    row = insert(message, guest(message.event), person)
    assert (row.user, row.link_outcome, row.link_method, row.link_case) == (person, "linked", "manual", "given")
    alone = insert(message, None, person, phone=PHONE)
    assert (alone.user, alone.link_outcome, alone.event_id) == (person, "linked", message.event_id)


def test_a_number_of_the_delivery_counts_before_the_guests(message):
    person = account(verified=False)
    guest(message.event, person, phone="+4930123456")
    assert insert(message, guest(message.event), phone="+4930123456").user == person
    assert insert(message, guest(message.event, phone=None), phone="+4930123456").user == person


def test_a_link_that_breaks_leaves_the_delivery_and_a_record(message):
    to = guest(message.event)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE waffle_switch RENAME TO away")
        row = insert(message, to)
    assert (row.user, row.link_outcome, row.link_method, row.link_case) == (None, "error", None, "42P01")
    assert UserLinkAudit.objects.get(record_id=row.pk).outcome == "error"


def test_a_delivery_that_was_there_already_leaves_no_record(message):
    to = guest(message.event)
    insert(message, to)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO message_deliveries (message_id, guest_id, channel) VALUES (%s, %s, 'sms')"
            " ON CONFLICT DO NOTHING",
            [message.pk, to.pk],
        )
    assert UserLinkAudit.objects.filter(guest=to).count() == 1


# -- A guest's link, and what follows it ---------------------------------------------------------------


def sql(query, *params):
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def link(to, person):
    sql("UPDATE event_guests SET user_id = %s WHERE id = %s", person and person.pk, to.pk)
    to.refresh_from_db()


def audit(**lookup):
    rows = UserLinkAudit.objects.filter(**lookup).order_by("pk")
    return [(row.table_name, row.user_id, row.outcome, row.method, row.details.get("from")) for row in rows]


def test_a_guest_who_is_linked_gets_every_message_ever_sent_to_them(message):
    person, to = account(verified=False), guest(message.event)
    rows = [insert(message, to), insert(factories.MessageFactory(event=message.event), to)]
    bystander = insert(message, guest(message.event, phone="+4930123456"))
    before = UserLinkAudit.objects.latest("pk").pk
    link(to, person)
    for row in rows:
        row.refresh_from_db()
        assert (row.user, row.link_outcome, row.link_method, row.link_case) == (
            person,
            "backfilled",
            "guest",
            "own_link",
        )
    bystander.refresh_from_db()
    assert bystander.user is None
    assert (to.link_outcome, to.link_method) == ("linked", "manual")
    assert audit(pk__gt=before) == [
        ("event_guests", person.pk, "linked", "manual", None),
        ("message_deliveries", person.pk, "backfilled", "guest", None),
        ("message_deliveries", person.pk, "backfilled", "guest", None),
    ]


def test_deliveries_that_belong_to_somebody_stay_theirs_when_the_guest_is_linked(message):
    other, person, to = account(verified=False), account(verified=False), guest(message.event)
    given = insert(message, to, other)
    link(to, person)
    given.refresh_from_db()
    assert given.user == other


def test_deliveries_follow_a_guest_to_another_person_unread_and_back_to_nobody(message):
    first, second, to = account(verified=False), account(verified=False), guest(message.event)
    link(to, first)
    row = insert(message, to)
    MessageDelivery.objects.filter(pk=row.pk).update(read_at="2026-01-01T00:00Z")
    link(to, second)
    row.refresh_from_db()
    assert (row.user, row.read_at, row.link_outcome, row.link_method) == (second, None, "linked", "manual")
    link(to, None)
    row.refresh_from_db()
    assert (row.user, row.link_outcome, row.link_method) == (None, "no_match", "manual")
    assert audit(record_id=row.pk) == [
        ("message_deliveries", first.pk, "linked", "guest", None),
        ("message_deliveries", second.pk, "linked", "manual", str(first.pk)),
        ("message_deliveries", None, "no_match", "manual", str(second.pk)),
    ]


def test_a_removed_guest_keeps_what_they_had_and_gets_the_rest_on_return(message):
    person, to = account(verified=False), guest(message.event)
    link(to, person)
    had = insert(message, to)
    sql("UPDATE event_guests SET removed_at = now() WHERE id = %s", to.pk)
    missed = insert(factories.MessageFactory(event=message.event), to)
    assert (missed.user, missed.link_outcome) == (None, "no_match")
    had.refresh_from_db()
    assert had.user == person
    sql("UPDATE event_guests SET removed_at = NULL WHERE id = %s", to.pk)
    missed.refresh_from_db()
    assert (missed.user, missed.link_outcome) == (person, "backfilled")


def test_two_lines_of_one_person_can_have_the_same_message(message):
    person = account(verified=False)
    to = [guest(message.event), guest(message.event, phone="+4930123456")]
    rows = [insert(message, one) for one in to]
    sql("UPDATE event_guests SET user_id = %s", person.pk)
    assert {row.user for row in MessageDelivery.objects.filter(pk__in=[row.pk for row in rows])} == {person}
    assert MessageDelivery.objects.inbox(person.pk).count() == 1


def test_a_delivery_of_a_linked_guest_is_never_nobodys(message):
    person = account(verified=False)
    row = insert(message, guest(message.event, person))
    sql("UPDATE message_deliveries SET user_id = NULL WHERE id = %s", row.pk)
    row.refresh_from_db()
    assert row.user == person
    assert len(audit(record_id=row.pk)) == 1


def test_raw_changes_of_a_delivery_are_on_record_as_made_by_hand(message):
    first, second = account(verified=False), account(verified=False)
    row = insert(message, guest(message.event))
    sql("UPDATE message_deliveries SET user_id = %s WHERE id = %s", first.pk, row.pk)
    sql("UPDATE message_deliveries SET user_id = %s WHERE id = %s", second.pk, row.pk)
    sql("UPDATE message_deliveries SET user_id = NULL WHERE id = %s", row.pk)
    assert audit(record_id=row.pk)[1:] == [
        ("message_deliveries", first.pk, "linked", "manual", None),
        ("message_deliveries", second.pk, "linked", "manual", str(first.pk)),
        ("message_deliveries", None, "no_match", "manual", str(second.pk)),
    ]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE message_deliveries SET id = gen_random_uuid()", "messaging_delivery_stays_itself"),
        (
            "UPDATE message_deliveries SET guest_id = NULL, user_id = (SELECT id FROM user_profiles LIMIT 1)",
            "messaging_delivery_stays_itself",
        ),
        ("UPDATE message_deliveries SET event_id = event_id + 1", "messaging_delivery_stays_itself"),
        ("UPDATE event_guests SET id = gen_random_uuid()", "messaging_eventguest_stays_itself"),
        ("UPDATE event_guests SET phone = '0151 123'", "messaging_eventguest_phone_e164"),
        (
            (
                "INSERT INTO user_link_audit (table_name, record_id, outcome, details, db_user, created_at)"
                " VALUES ('x', gen_random_uuid(), 'linked', '{}', 'x', now())"
            ),
            "messaging_audit_append_only",
        ),
        ("UPDATE user_link_audit SET outcome = 'linked'", "messaging_audit_append_only"),
        ("DELETE FROM user_link_audit", "messaging_audit_append_only"),
        ("TRUNCATE user_link_audit", "messaging_audit_append_only"),
        (
            "UPDATE message_deliveries SET status = 'sent'; UPDATE message_deliveries SET status = 'queued'",
            "messaging_delivery_never_backwards",
        ),
        (
            "UPDATE message_deliveries SET status = 'delivered'; UPDATE message_deliveries SET status = 'failed'",
            "messaging_delivery_never_backwards",
        ),
    ],
)
def test_the_database_refuses(message, change, constraint):
    account()
    insert(message, guest(message.event))
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        sql(change)
    assert refused.value.__cause__.diag.constraint_name == constraint
    assert UserLinkAudit.objects.count() == 1


def test_a_row_loaded_past_the_triggers_gets_its_event_when_it_gets_its_person(message):
    to = guest(message.event, account(verified=False))
    sql("SET LOCAL session_replication_role = replica")
    row = insert(message, to)
    sql("SET LOCAL session_replication_role = origin")
    assert (row.user, row.event_id, row.link_outcome) == (None, None, None)
    assert links.backfill(rows=[row.pk]) == 1
    row.refresh_from_db()
    assert (row.user, row.event_id, row.link_outcome, row.link_method) == (
        to.user,
        to.event_id,
        "backfilled",
        "backfill",
    )


def test_a_guest_of_another_event_is_refused(message):
    with pytest.raises(IntegrityError, match="message's event"):
        insert(message, guest(factories.EventFactory()))


@pytest.mark.parametrize(
    ("missing", "constraint"),
    [("guest_id", "messaging_delivery_guest_of_event"), ("message_id", "messaging_delivery_message_first")],
)
def test_a_delivery_does_not_come_before_its_guest_or_message(message, missing, constraint):
    """Their keys are checked at commit; a guest who comes later in the transaction would be linked past it."""
    ids = {"message_id": message.pk, "guest_id": guest(message.event).pk, missing: uuid7()}
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        sql(
            "INSERT INTO message_deliveries (message_id, guest_id, channel) VALUES (%s, %s, 'sms')",
            ids["message_id"],
            ids["guest_id"],
        )
    assert refused.value.__cause__.diag.constraint_name == constraint


def test_a_message_with_deliveries_stays_at_its_event(message):
    elsewhere = factories.EventFactory()
    draft = factories.MessageFactory(event=message.event)
    insert(message, guest(message.event))
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        sql("UPDATE event_messages SET event_id = %s WHERE id = %s", elsewhere.pk, message.pk)
    assert refused.value.__cause__.diag.constraint_name == "messaging_message_keeps_event"
    sql("UPDATE event_messages SET event_id = %s WHERE id = %s", elsewhere.pk, draft.pk)


@pytest.mark.parametrize("outcome", ["linked", "no_match", None])
def test_a_link_by_hand_is_on_record_as_one_whatever_is_said_of_it(message, outcome):
    one, person = guest(message.event), account(verified=False)
    row = insert(message, one)
    sql(
        "UPDATE event_guests SET user_id = %s, linked_at = now(), link_outcome = %s, link_method = 'manual'"
        " WHERE id = %s",
        person.pk,
        outcome,
        one.pk,
    )
    row.refresh_from_db()
    assert row.user == person
    [linked] = UserLinkAudit.objects.filter(record_id=one.pk)
    assert (linked.user_id, linked.outcome, linked.method) == (person.pk, "linked", "manual")


def test_empty_contacts_are_none_and_addresses_lower(event):
    [(pk,)] = sql(
        "INSERT INTO event_guests (event_id, guest_name, phone, email)"
        " VALUES (%s, 'A', ' ', ' Ann@Example.ORG ') RETURNING id",
        event.pk,
    )
    one = EventGuest.objects.get(pk=pk)
    assert (one.phone, one.email) == (None, "ann@example.org")


# -- Guests and people who verify -----------------------------------------------------------------------


def verify(person, **fields):
    for name, value in (fields or {"phone_verified": True}).items():
        setattr(person, name, value)
    person.save(update_fields=list(fields or ["phone_verified"]))


@pytest.mark.parametrize(
    ("contact", "method"), [({"phone": PHONE}, "phone"), ({"phone": None, "email": "ann@example.org"}, "email")]
)
def test_whoever_verifies_is_found_on_each_list_with_all_their_messages(message, contact, method):
    here = guest(message.event, **contact)
    there = guest(factories.EventFactory(), **contact)
    row = insert(message, here)
    person = factories.UserProfileFactory(phone=PHONE, email="Ann@example.org", email_verified=False)
    row.refresh_from_db()
    assert row.user is None
    verify(person, **{f"{method}_verified": True})
    row.refresh_from_db()
    assert (row.user, row.link_outcome) == (person, "backfilled")
    for one in (here, there):
        one.refresh_from_db()
        assert (one.user, one.link_outcome, one.link_method, one.linked_by) == (person, "linked", method, None)


def test_whoever_fits_several_lines_of_a_list_is_left_to_staff(message):
    lines = [guest(message.event), guest(message.event)]
    elsewhere = guest(factories.EventFactory())
    person = account()
    for line in lines:
        line.refresh_from_db()
        assert (line.user, line.link_outcome, line.is_parked) == (None, "ambiguous", True)
    elsewhere.refresh_from_db()
    assert elsewhere.user == person
    assert set(EventGuest.objects.parked()) == set(lines)


def test_a_guest_who_fits_two_people_is_left_to_staff(event):
    one = guest(event, email="ann@example.org")
    first = factories.UserProfileFactory(email="ann@example.org")
    one.refresh_from_db()
    assert one.user == first
    other = guest(event, phone="+4930123456", email="ben@example.org")
    factories.UserProfileFactory(phone="+4930123456", phone_verified=True, email_verified=False)
    other.refresh_from_db()
    assert other.user is not None
    both = factories.EventGuestFactory(event=event, phone="+4930999999", email="cleo@example.org")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        factories.UserProfileFactory(phone="+4930999999", phone_verified=True, email_verified=False)
        factories.UserProfileFactory(email="cleo@example.org")
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert links.match(guest_ids=[both.pk]) == (0, 1)
    both.refresh_from_db()
    assert (both.user, both.link_outcome) == (None, "ambiguous")


def test_with_the_switch_off_numbers_link_no_guests_and_addresses_do(event):
    switch(LINK_BY_PHONE, False)
    by_phone, by_mail = guest(event), guest(event, phone=None, email="ann@example.org")
    account(email="ann@example.org")
    by_phone.refresh_from_db()
    by_mail.refresh_from_db()
    assert (by_phone.user_id, by_mail.link_method) == (None, "email")


def test_somebody_unlinked_by_hand_is_not_found_again_by_the_sweep(event):
    person = account()
    one, late = guest(event, person), guest(event, phone=None, email=person.email)
    link(one, None)
    assert links.find() == (1, 0)
    late.refresh_from_db()
    one.refresh_from_db()
    assert (late.user, one.user) == (person, None)


def test_an_attendee_is_known_from_their_guest_whichever_came_first(event):
    person = factories.UserProfileFactory()
    before = guest(event, person)
    attendee = factories.AttendeeFactory(event=event, user_profile=person)
    after = guest(event, person, phone=None)
    before.refresh_from_db()
    after.refresh_from_db()
    assert (before.attendee, after.attendee) == (attendee, attendee)


# -- In bulk, and side by side ---------------------------------------------------------------------------


def many(message, guests, channels=("sms", "email", "in_app")):
    """Guests with numbers, each with an account to be, and their deliveries."""
    sql(
        "INSERT INTO user_profiles (id, owner_id, email, first_name, last_name, photo_url, phone, email_verified,"
        " phone_verified, is_active, is_superuser, password, created_at, updated_at)"
        " SELECT gen_random_uuid(), 'bulk'||i, NULL, '', '', '', '', false, false, true, false, '', now(), now()"
        " FROM generate_series(1, %s) i",
        guests,
    )
    sql(
        "INSERT INTO event_guests (event_id, guest_name, phone) SELECT %s, 'Guest '||i, '+1415'||(5000000+i)"
        " FROM generate_series(1, %s) i",
        message.event_id,
        guests,
    )
    sql(
        "INSERT INTO message_deliveries (message_id, guest_id, channel) SELECT %s, g.id, c FROM event_guests g,"
        " unnest(%s::text[]) c",
        message.pk,
        list(channels),
    )


LINK_ALL = """
    UPDATE event_guests g SET user_id = u.id FROM user_profiles u
    WHERE u.owner_id = 'bulk' || substr(g.guest_name, 7)
"""


def test_linking_10_000_guests_is_one_update_with_its_deliveries_and_audit(message):
    many(message, 10_000)
    with connection.execute_wrapper(counted := Statements()):
        assert sql(LINK_ALL) == 10_000
    assert counted.number == 1
    assert MessageDelivery.objects.filter(link_outcome="backfilled", link_method="guest").count() == 30_000
    assert not MessageDelivery.objects.filter(user=None).exists()
    rows = UserLinkAudit.objects.order_by().values_list("table_name", "outcome", "method").annotate(number=Count("pk"))
    assert set(rows) == {
        ("event_guests", "linked", "manual", 10_000),
        ("message_deliveries", "backfilled", "guest", 30_000),
        ("message_deliveries", "skipped", "phone", 30_000),
    }
    assert not UserLinkAudit.objects.exclude(user=None).exclude(guest__user=F("user")).exists()


class Statements:
    number = 0

    def __call__(self, execute, *args):
        self.number += 1
        return execute(*args)


@pytest.mark.django_db(transaction=True)
def test_a_delivery_made_while_its_guest_is_linked_is_not_missed(message):
    person, to = account(verified=False), guest(message.event)
    with waited_for("UPDATE event_guests SET user_id = %s WHERE id = %s", (person.pk, to.pk)):
        row = insert(message, to)
    assert (row.user, row.link_method) == (person, "guest")


@pytest.mark.django_db(transaction=True)
def test_a_guest_linked_while_a_delivery_is_made_takes_it_along(message):
    person, to = account(verified=False), guest(message.event)
    made = "INSERT INTO message_deliveries (message_id, guest_id, channel) VALUES (%s, %s, 'sms')"
    with waited_for(made, (message.pk, to.pk)):
        link(to, person)
    assert [row.user for row in MessageDelivery.objects.all()] == [person]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_link_from_an_old_snapshot_is_refused_as_it_could_miss_a_delivery(message, level):
    person, to = account(verified=False), guest(message.event)
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
        link(to, person)
    assert refused.value.__cause__.diag.constraint_name == "messaging_eventguest_link_read_committed"


def test_the_functions_are_those_of_the_source(db):
    """A change of triggers/linking.py needs a migration that installs it."""
    for name, source in zip(("uuid7", "switch", "link", "match_guests"), linking.FUNCTIONS, strict=True):
        [(installed,)] = sql("SELECT prosrc FROM pg_proc WHERE proname = %s", f"messaging_{name}")
        assert installed.strip() == source.split("$$")[1].strip()


def test_ids_made_by_the_database_are_ordered_by_time(event):
    rows = [sql("SELECT messaging_uuid7(), pg_sleep(0.002)")[0][0] for _number in range(20)]
    assert rows == sorted(rows) and {row.version for row in rows} == {7} and {row.variant for row in rows} == {RFC_4122}
