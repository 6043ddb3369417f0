"""Who sees whom, and what counts."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from attendance.models import Attendee, Block
from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory

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
