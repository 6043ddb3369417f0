"""The one way in and out of the room, and what attendees set for themselves."""

import pytest
from django.utils import timezone

from attendance.models import Attendee, Block
from attendance.operations import room
from config.errors import NotFound
from events.models import Event
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, UserProfileFactory

pytestmark = pytest.mark.django_db


def rows():
    models = (Event, Attendee, Block, Attendee.history.model)
    return [list(model.objects.order_by("pk").values()) for model in models]


def admission(person, plus_ones=0):
    return room.Admission(person.pk, person.owner_id, plus_ones)


def let_in(event, *admissions, actor=None, reason=None):
    return room.let_in(event=event, admissions=admissions, source=Attendee.Source.IMPORT, actor=actor, reason=reason)


def history(row):
    return list(row.history.order_by("history_id").values_list("status", "history_user", "history_change_reason"))


def test_let_in_makes_attendees_in_bulk_with_history(event, organizer):
    people = UserProfileFactory.create_batch(3)
    made = let_in(event, *[admission(one, 1) for one in people], actor=organizer, reason="from a list")
    assert [one.user_profile_id for one in made] == [one.pk for one in people]
    for row, person in zip(made, people, strict=True):
        row.refresh_from_db()
        assert (row.owner_id, row.source, row.status, row.plus_ones) == (person.owner_id, "import", "active", 1)
        assert history(row) == [("active", organizer.pk, "from a list")]
    assert event.seats_taken == 6 == Event.objects.get().seats_taken
    assert len({row.ticket_code for row in made}) == 3


def test_let_in_all_or_none():
    event = EventFactory(capacity=3)
    AttendeeFactory(event=event)
    event.refresh_from_db()
    before = rows()
    with pytest.raises(room.EventFull) as caught:
        let_in(event, *[admission(one) for one in UserProfileFactory.create_batch(3)])
    assert str(caught.value) == "The event is full: 1 of 3 places taken; this request needs 3."
    assert rows() == before


def test_let_in_counts_within_the_same_transaction():
    event = EventFactory(capacity=2)
    let_in(event, admission(UserProfileFactory()))
    let_in(event, admission(UserProfileFactory()))
    assert event.seats_taken == 2 == Event.objects.get().seats_taken
    with pytest.raises(room.EventFull):
        let_in(event, admission(UserProfileFactory()))


def test_let_in_brings_back_who_was_removed(event, organizer):
    row = AttendeeFactory(event=event, status="removed", source="walk_in", goals="Mine", visibility_enabled=False)
    let_in(event, admission(row.user_profile), actor=organizer)
    back = Attendee.objects.get()
    assert (back.pk, back.source, back.status, back.goals) == (row.pk, "walk_in", "active", "Mine")
    assert (back.ticket_code, back.created_at, back.visibility_enabled) == (row.ticket_code, row.created_at, False)
    assert history(row) == [("removed", None, None), ("active", organizer.pk, None)]


def test_let_in_who_is_in_needs_only_more_plus_ones():
    event = EventFactory(capacity=3)
    row = AttendeeFactory(event=event, plus_ones=1)
    event.refresh_from_db()
    let_in(event, admission(row.user_profile, 2))
    assert (Attendee.objects.get().plus_ones, event.seats_taken) == (2, 3)
    with pytest.raises(room.EventFull) as caught:
        let_in(event, admission(row.user_profile, 4))
    assert "3 of 3 places taken; this request needs 2" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "opens"), [("draft", True), ("published", True), ("completed", False), ("cancelled", False)]
)
def test_let_in_by_the_event_s_status(status, opens):
    event = EventFactory(status=status)
    person = UserProfileFactory()
    if opens:
        assert len(let_in(event, admission(person))) == 1
    else:
        with pytest.raises(room.EventClosed) as caught:
            let_in(event, admission(person))
        assert str(caught.value) == f"The event is {status}: nobody can be let in or out."
        assert not Attendee.objects.exists()


def test_admit_mends_the_past():
    event = EventFactory(status="completed")
    person = UserProfileFactory()
    room.admit(event=event, admissions=[admission(person)], source=Attendee.Source.IMPORT, actor=None)
    assert Attendee.objects.get().user_profile == person


def test_let_in_nobody(event):
    before = rows()
    assert let_in(event) == []
    assert rows() == before


def test_put_out_removes_the_active_only(event, organizer):
    active, removed = AttendeeFactory(event=event, plus_ones=1), AttendeeFactory(event=event, status="removed")
    event.refresh_from_db()
    room.put_out(event=event, attendees=[active, removed], actor=organizer, reason="Storm")
    assert event.seats_taken == 0 == Event.objects.get().seats_taken
    assert history(active)[-1] == ("removed", organizer.pk, "Storm")
    assert history(removed) == [("removed", None, None)]


@pytest.mark.parametrize("count", [1, 3])
def test_let_in_makes_three_queries_for_any_number(event, django_assert_num_queries, count):
    people = UserProfileFactory.create_batch(count)
    with django_assert_num_queries(3):  # who is here, the rows, their history
        let_in(event, *[admission(one) for one in people])


@pytest.mark.parametrize("count", [1, 3])
def test_put_out_makes_two_queries_for_any_number(event, django_assert_num_queries, count):
    people = AttendeeFactory.create_batch(count, event=event)
    with django_assert_num_queries(2):  # the rows, their history
        room.put_out(event=event, attendees=people, actor=None)


# -- Hiding --------------------------------------------------------------------------------------


def test_hide_and_show(event, organizer):
    row = AttendeeFactory(event=event)
    before = timezone.now()
    outcome = room.hide(attendee_id=row.pk, actor=organizer)
    row.refresh_from_db()
    assert outcome.changed is True
    assert before <= row.hidden_at <= timezone.now()
    assert (row.status, row.visibility_enabled) == ("active", True)
    assert room.show(attendee_id=row.pk, actor=organizer).changed is True
    row.refresh_from_db()
    assert row.hidden_at is None
    assert history(row)[1:] == [
        ("active", organizer.pk, "hidden by an organiser"),
        ("active", organizer.pk, "shown by an organiser"),
    ]


@pytest.mark.parametrize("act", [room.hide, room.show])
def test_hide_and_show_twice(event, organizer, act):
    row = AttendeeFactory(event=event)
    room.hide(attendee_id=row.pk, actor=organizer)
    act(attendee_id=row.pk, actor=organizer)
    before = rows()
    assert act(attendee_id=row.pk, actor=organizer).changed is False
    assert rows() == before


@pytest.mark.parametrize("act", [room.hide, room.show])
def test_hide_and_show_of_nobody(organizer, act):
    with pytest.raises(NotFound):
        act(attendee_id=organizer.pk, actor=organizer)


# -- One's own -----------------------------------------------------------------------------------


def test_update_own_sets_looking_for_and_its_time(event):
    row = AttendeeFactory(event=event)
    before = timezone.now()
    changes = {
        "goals": "Meet",
        "looking_for": "People",
        "rsvp_contact": "me@example.org",
        "company_website": "https://example.org",
        "match_profile": {"a": [1, None]},
    }
    room.update_own(attendee_id=row.pk, actor=row.user_profile, changes=changes)
    row.refresh_from_db()
    assert {name: getattr(row, name) for name in changes} == changes
    assert before <= row.looking_for_updated_at <= timezone.now()
    assert history(row)[-1] == ("active", row.user_profile_id, None)


def test_update_own_visibility_leaves_looking_for_s_time(event):
    row = AttendeeFactory(event=event)
    room.update_own(attendee_id=row.pk, actor=row.user_profile, changes={"visibility_enabled": False})
    row.refresh_from_db()
    assert (row.visibility_enabled, row.looking_for_updated_at) == (False, None)


@pytest.mark.parametrize("changes", [{}, {"goals": "Meet", "visibility_enabled": True}])
def test_update_own_without_a_change(event, changes):
    row = AttendeeFactory(event=event, goals="Meet")
    before = rows()
    assert room.update_own(attendee_id=row.pk, actor=row.user_profile, changes=changes) == row
    assert rows() == before


def test_update_own_of_nobody(organizer):
    with pytest.raises(NotFound):
        room.update_own(attendee_id=organizer.pk, actor=organizer, changes={"goals": "x"})


# -- Blocks --------------------------------------------------------------------------------------


def test_block_and_unblock(event):
    me, other = AttendeeFactory.create_batch(2, event=event)
    stamps = [me.updated_at, other.updated_at]
    assert room.block(attendee_id=me.pk, blocked_id=other.pk).changed is True
    assert list(Block.objects.values_list("attendee", "blocked")) == [(me.pk, other.pk)]
    touched = [Attendee.objects.get(pk=one.pk).updated_at for one in (me, other)]
    assert all(new > old for new, old in zip(touched, stamps, strict=True))
    assert room.block(attendee_id=me.pk, blocked_id=other.pk).changed is False
    assert Block.objects.count() == 1
    assert room.unblock(attendee_id=me.pk, blocked_id=other.pk).changed is True
    assert room.unblock(attendee_id=me.pk, blocked_id=other.pk).changed is False
    assert not Block.objects.exists()


def test_unblock_from_the_other_side_does_nothing(event):
    me, other = AttendeeFactory.create_batch(2, event=event)
    room.block(attendee_id=me.pk, blocked_id=other.pk)
    assert room.unblock(attendee_id=other.pk, blocked_id=me.pk).changed is False
    assert Block.objects.count() == 1


def test_block_oneself(event):
    me = AttendeeFactory(event=event)
    before = rows()
    with pytest.raises(room.OwnBlock):
        room.block(attendee_id=me.pk, blocked_id=me.pk)
    assert rows() == before


def test_new_ticket_codes_differ_and_are_long(event):
    codes = {AttendeeFactory(event=event).ticket_code for _ in range(20)}
    assert len(codes) == 20
    assert {len(code) for code in codes} == {32}


def test_history_keeps_no_ticket(event):
    request = JoinRequestFactory(event=event)
    row = AttendeeFactory(event=event, user_profile=request.user_profile)
    assert not hasattr(row.history.get(), "ticket_code")
