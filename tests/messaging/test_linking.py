"""Whose a delivery is: the table of docs/linking.md, by raw SQL, case by case."""

import pytest
from django.db import connection
from waffle.models import Switch

from messaging.models import FALLBACK_TO_USERS, LINK_BY_PHONE, EventGuest, MessageDelivery, UserLinkAudit
from messaging.triggers import linking
from tests import factories

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


@pytest.mark.parametrize(("case", "outcome", "method", "applied"), CASES, ids=lambda value: getattr(value, "__name__", None))
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


def test_linking_10_000_guests_backfills_30_000_deliveries(message):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_profiles (id, owner_id, email, first_name, last_name, photo_url, phone, email_verified,"
            " phone_verified, is_active, is_superuser, password, created_at, updated_at)"
            " SELECT gen_random_uuid(), 'o'||i, 'x'||i||'@example.org','a','b','','',false,false,true,false,'',now(),now()"
            " FROM generate_series(1,10000) i"
        )
        cursor.execute(
            "INSERT INTO event_guests (event_id, guest_name, phone) SELECT %s, 'g'||i, '+1415'||(5000000+i) FROM"
            " generate_series(1,10000) i",
            [message.event_id],
        )
        import time

        t = time.time()
        cursor.execute(
            "INSERT INTO message_deliveries (message_id, guest_id, channel) SELECT %s, g.id, c FROM event_guests g,"
            " unnest(array['sms','email','in_app']) c",
            [message.pk],
        )
        print("insert", time.time() - t)
        t = time.time()
        cursor.execute(
            "WITH n AS (SELECT id, row_number() over () r FROM event_guests), u AS (SELECT id, row_number() over () r"
            " FROM user_profiles where owner_id like 'o%%')"
            " UPDATE event_guests g SET user_id=u.id FROM n JOIN u USING (r) WHERE g.id=n.id",
        )
        print("update", time.time() - t)
    assert MessageDelivery.objects.filter(link_outcome="backfilled", link_method="guest").count() == 30000
    assert UserLinkAudit.objects.filter(outcome="backfilled", table_name="message_deliveries").count() == 30000
    assert UserLinkAudit.objects.filter(outcome="linked", table_name="event_guests").count() == 10000
    assert not MessageDelivery.objects.astray().exists()
    assert EventGuest.objects.filter(user=None).count() == 0
    assert linking.INSTALL
