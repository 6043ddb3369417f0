"""What people hear of their seats, their places in line and their sessions: once each, and only what is still so."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from config.errors import Busy
from messaging.models import Message, MessageDelivery
from rsvp.models import RsvpSettings, SessionChange, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving, sessions, telling
from tests.config import postgres
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    WaitlistEntryFactory,
    crowd,
)

pytestmark = pytest.mark.django_db


def told() -> list[tuple]:
    """(kind, subject, by their names: to whom), as it was told."""
    found = []
    for message in Message.objects.order_by("pk"):
        people = message.deliveries.filter(channel="in_app").order_by("user__last_name")
        found.append((message.kind, message.subject, *people.values_list("user__last_name", flat=True)))
    return found


def body() -> str:
    return Message.objects.latest("pk").body


def attending(session, name, **fields):
    return AttendeeFactory(event=session.event, user_profile__last_name=name, **fields)


def seat(session, name, **fields):
    return SessionRsvpFactory(session=session, attendee=attending(session, name), **fields)


def waits(session, name, **fields):
    return WaitlistEntryFactory(session=session, attendee=attending(session, name), **fields)


def settled():
    """The changes until now were made a while ago."""
    SessionChange.objects.update(created_at=F("created_at") - timedelta(minutes=3))


def change(session, **fields):
    for name, value in fields.items():
        setattr(session, name, value)
    session.save(update_fields=list(fields))


@pytest.fixture
def session():
    """The first Monday of March 2099, ten in Berlin."""
    starts = datetime(2099, 3, 2, 9, tzinfo=UTC)
    event = EventFactory(starts_at=starts, title="Deep Sea", slug="deep-sea")
    return SessionFactory(event=event, title="Diving", capacity=1, room=RoomFactory(event=event, name="Hall 1"))


def offered(session, name="Ann", **fields) -> WaitlistEntry:
    """Somebody has an offer for the session's one seat."""
    giver = seat(session, "Giver")
    entry = waits(session, name, **fields)
    reserving.cancel(session_id=session.pk, person=giver.attendee.user_profile)
    return entry


# -- Offers ----------------------------------------------------------------------------------------------


def test_an_offer_is_told_once_over_every_channel(session):
    entry = offered(session)
    until = datetime(2099, 3, 1, 20, 30, tzinfo=UTC)
    WaitlistEntry.objects.update(offer_expires_at=until)
    assert telling.tell_offers() == 1
    assert told() == [("waitlist_offer", "A seat for you: Diving", "Ann")]
    message = Message.objects.get()
    assert (message.channels, message.event) == (["in_app", "push", "email", "sms"], session.event)
    assert message.body == (
        "Hello {name},\n\n"
        "a seat in “Diving” has become free, and it is your turn.\n"
        "It is kept for you until Sunday, 1 March 2099, 21:30 (Europe/Berlin). Say by then whether you take it.\n\n"
        "Diving\n"
        "Monday, 2 March 2099, 10:00 to 10:45 (Europe/Berlin)\n"
        "Hall 1\n\n"
        "My Schedule: http://127.0.0.1:8000/e/deep-sea/my-schedule/\n"
    )
    entry.refresh_from_db()
    assert entry.told_at is not None
    assert telling.tell_offers() == 0
    assert len(told()) == 1


def test_each_offer_of_the_same_place_is_told(session):
    entry = offered(session)
    for number in (1, 2):
        WaitlistEntry.objects.filter(pk=entry.pk).update(
            status="offered", offers_made=number, offer_expires_at=session.starts_at, told_at=None
        )
        assert telling.tell_offers() == 1
    assert [subject for _kind, subject, *_people in told()] == ["A seat for you: Diving"] * 2


def test_an_offer_that_passed_unnoticed_is_not_told_as_one(session):
    entry = offered(session)
    early = timezone.now() - timedelta(minutes=5)
    WaitlistEntry.objects.update(offer_expires_at=early)
    assert telling.tell_offers() == 0
    assert told() == []
    waits(session, "Bob")
    line.catch_up()  # who heard nothing gets another one
    assert telling.tell_offers() == 1
    assert told() == [("waitlist_offer", "A seat for you: Diving", "Ann")]
    WaitlistEntry.objects.filter(pk=entry.pk).update(offer_expires_at=early)
    line.catch_up()
    assert telling.tell_offers() == 2
    assert sorted(told()) == [
        ("waitlist_offer", "A seat for you: Diving", "Ann"),
        ("waitlist_offer", "A seat for you: Diving", "Bob"),
        ("waitlist_offer", "Your offer has passed: Diving", "Ann"),
    ]
    passed = Message.objects.get(subject__startswith="Your offer")
    assert (passed.channels, passed.status) == (["in_app"], "sent")
    assert "You are at the end of the line, and hear from us when it is your turn again.\n" in passed.body
    assert telling.tell_offers() == 0
    entry.refresh_from_db()
    assert entry.status == "waiting"


def test_whoever_let_their_last_offer_pass_hears_that_they_are_out(session):
    entry = offered(session)
    early = timezone.now() - timedelta(minutes=5)
    WaitlistEntry.objects.update(offers_made=3, offer_expires_at=early, told_at=early)
    line.catch_up()
    assert telling.tell_offers() == 1
    assert told() == [("waitlist_offer", "Your offer has passed: Diving", "Ann")]
    assert "You are not in the line any more. If you still want to come, you can join it again.\n" in body()
    entry.refresh_from_db()
    assert (entry.status, entry.end_reason) == ("expired", "too_many_offers")


def test_whoever_still_waits_when_a_session_begins_hears_nothing(session):
    offered(session)
    waits(session, "Bob")
    telling.tell_offers()
    moment = timezone.now() - timedelta(minutes=5)
    change(session, starts_at=moment)
    SessionChange.objects.all().delete()
    line.catch_up()
    assert set(WaitlistEntry.objects.values_list("status", "end_reason")) == {("expired", "started")}
    assert telling.tell_offers() == 0
    assert len(told()) == 1
    assert not telling.untold_offers().exists()


def test_a_skipped_offer_is_not_kept_any_more(session, organizer):
    known = offered(session)
    telling.tell_offers()
    unknown = waits(session, "Bob")
    line.skip(entry_id=known.pk, actor=organizer)
    line.skip(entry_id=unknown.pk, actor=organizer)
    assert WaitlistEntry.objects.get(status="offered") == known
    assert telling.tell_offers() == 1
    assert [one[1:] for one in told()] == [("A seat for you: Diving", "Ann"), ("A seat for you: Diving", "Ann")]


def test_a_seat_from_the_line_is_told(session):
    RsvpSettings.objects.create(event=session.event, waitlist_mode="auto_confirm")
    offered(session)
    assert telling.tell_offers() == 1
    assert told() == [("waitlist_offer", "You have a seat: Diving", "Ann")]
    assert "it is yours: it was your turn.\nIf you can't come, please give it back, for the next in line.\n" in body()


def test_several_seats_are_told_as_several(session):
    change(session, capacity=3)
    giver = SessionRsvpFactory(session=session, seats=3, attendee__plus_ones=2)
    WaitlistEntryFactory(session=session, party_size=2, attendee__plus_ones=1)
    reserving.cancel(session_id=session.pk, person=giver.attendee.user_profile)
    telling.tell_offers()
    assert "2 seats in “Diving” have become free, and it is your turn.\nThey are kept for you until" in body()


def test_a_seat_that_was_given_back_before_it_was_told_is_no_news(session):
    RsvpSettings.objects.create(event=session.event, waitlist_mode="auto_confirm")
    entry = offered(session)
    reserving.cancel(session_id=session.pk, person=entry.attendee.user_profile)
    assert telling.tell_offers() == 0
    assert told() == []
    assert not telling.untold_offers().exists()


def test_an_offer_that_was_taken_before_it_was_told_is_no_news(session):
    entry = offered(session)
    line.accept(entry_id=entry.pk, person=entry.attendee.user_profile)
    assert telling.tell_offers() == 0
    assert told() == []


def test_an_offer_at_an_event_that_was_called_off_is_no_news(session):
    offered(session)
    session.event.status = "cancelled"
    session.event.save(update_fields=["status"])
    assert telling.tell_offers() == 0
    assert told() == []


def test_an_account_that_was_closed_holds_up_nobody(session):
    change(session, capacity=2)
    gone, there = [WaitlistEntryFactory(session=session) for _ in range(2)]
    session.refresh_from_db()
    line.settle(session_id=session.pk)
    profile = gone.attendee.user_profile
    profile.is_active = False
    profile.save(update_fields=["is_active"])
    assert telling.tell_offers() == 2
    assert list(MessageDelivery.objects.filter(channel="in_app").values_list("user", flat=True)) == [
        there.attendee.user_profile_id
    ]
    assert telling.tell_offers() == 0


def test_a_row_that_can_t_be_told_of_holds_up_none_of_the_others(session, caplog):
    """The zone of another event is nonsense, as raw SQL may write it."""
    bad = offered(SessionFactory(capacity=1), "Bad")
    good = [offered(SessionFactory(event=session.event, capacity=1), f"Good {number}") for number in range(5)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events SET timezone = 'Nowhere/Land' WHERE id = %s", [bad.event_id])
    with pytest.raises(telling.Untold, match=f"1 could not be told, of {bad.pk}"):
        telling.tell_offers()
    assert sorted(one[2] for one in told()) == [f"Good {number}" for number in range(5)]
    assert list(telling.untold_offers()) == [bad]
    assert WaitlistEntry.objects.filter(pk__in=[one.pk for one in good], told_at=None).count() == 0
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert (record.msg["event"], record.msg["row"]) == ("rsvp.telling_failed", str(bad.pk))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events SET timezone = 'UTC' WHERE id = %s", [bad.event_id])
    assert telling.tell_offers() == 1


def test_when_nothing_can_be_told_it_stops_trying(session, caplog):
    made = WaitlistEntryFactory.create_batch(20, session=session)
    change(session, capacity=20)
    line.settle(session_id=session.pk)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events SET timezone = 'Nowhere/Land' WHERE id = %s", [session.event_id])
    with pytest.raises(ZoneInfoNotFoundError):
        telling.tell_offers()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == telling.MOST_BAD
    assert telling.untold_offers().count() == len(made)


def many_offers(session, count):
    """So many people are offered a seat; in a few statements."""
    crowd(session.event, count)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO session_waitlist (id, event_id, session_id, attendee_id)"
            " SELECT gen_random_uuid(), event_id, %s, id FROM event_attendees WHERE event_id = %s",
            [session.pk, session.event_id],
        )
    change(session, capacity=count)
    assert line.settle(session_id=session.pk) == count


@pytest.mark.parametrize(("count", "statements"), [(1, 8), (1000, 15)])
def test_a_thousand_offers_are_told_in_a_few_statements(session, django_assert_num_queries, count, statements):
    """For each five hundred: who it is, a savepoint, the rows, the messages, the deliveries, that they are told."""
    many_offers(session, count)
    with django_assert_num_queries(statements):
        assert telling.tell_offers() == count
    assert MessageDelivery.objects.filter(channel="in_app").count() == count


# -- What organisers do to one person ------------------------------------------------------------------------


def test_a_seat_that_is_taken_away_is_told_with_the_reason(session, organizer):
    rsvp = seat(session, "Ann")
    reserving.take_from(rsvp_id=rsvp.pk, actor=organizer, reason="You told us that you are ill.")
    assert told() == [("session_changed", "Your seat was taken back: Diving", "Ann")]
    assert body() == (
        "Hello {name},\n\n"
        "the organisers have taken back your seat in “Diving”.\n\n"
        "You told us that you are ill.\n\n"
        "Diving\n"
        "Monday, 2 March 2099, 10:00 to 10:45 (Europe/Berlin)\n"
        "Hall 1\n\n"
        f"About the session: http://127.0.0.1:8000/e/deep-sea/agenda/{session.pk}/\n"
    )


def test_nobody_is_told_what_they_did_themselves(session):
    rsvp = seat(session, "Ann")
    reserving.take_from(rsvp_id=rsvp.pk, actor=rsvp.attendee.user_profile)
    assert told() == []


def test_whoever_is_added_hears_of_their_seat_and_not_of_the_offer_they_had(session, organizer):
    entry = offered(session)
    sessions.add_person(session_id=session.pk, attendee_id=entry.attendee_id, actor=organizer)
    assert telling.tell_offers() == 0
    assert told() == [("session_changed", "You have a seat: Diving", "Ann")]
    assert "the organisers have given you a seat in “Diving”.\n" in body()
    rsvp = SessionRsvp.objects.get(attendee=entry.attendee)
    reserving.take_from(rsvp_id=rsvp.pk, actor=organizer)
    sessions.add_person(session_id=session.pk, attendee_id=entry.attendee_id, actor=organizer)
    assert len(told()) == 3


def test_whoever_is_taken_out_of_line_finds_it_in_the_app(session, organizer):
    entry = waits(session, "Ann")
    line.remove(entry_id=entry.pk, actor=organizer)
    line.remove(entry_id=entry.pk, actor=organizer)
    assert told() == [("session_changed", "You are out of the line: Diving", "Ann")]
    assert Message.objects.get().channels == ["in_app"]


# -- Sessions that changed -------------------------------------------------------------------------------


def test_a_session_that_moved_is_told_from_where_to_where(session):
    seat(session, "Ann")
    waits(session, "Bob")
    left = waits(session, "Left")
    line.leave(session_id=session.pk, person=left.attendee.user_profile)
    hour = timedelta(hours=1)
    change(session, starts_at=session.starts_at + hour, ends_at=session.ends_at + hour)
    assert telling.tell_changes() == 0  # it may move on
    change(session, title="Deep diving", room=RoomFactory(event=session.event, name="Hall 2"))
    settled()
    assert telling.tell_changes() == 1
    assert told() == [("session_changed", "Changed: Deep diving", "Ann", "Bob")]
    assert body() == (
        "Hello {name},\n\n"
        "“Diving” has changed.\n\n"
        "Title: Diving → Deep diving\n"
        "Time: Monday, 2 March 2099, 10:00 to 10:45 (Europe/Berlin)"
        " → Monday, 2 March 2099, 11:00 to 11:45 (Europe/Berlin)\n"
        "Room: Hall 1 → Hall 2\n\n"
        f"About the session: http://127.0.0.1:8000/e/deep-sea/agenda/{session.pk}/\n"
    )
    assert telling.tell_changes() == 0
    assert not telling.untold_changes().exists()


def test_a_session_without_a_room_or_an_end(session):
    seat(session, "Ann")
    change(session, room=None, ends_at=session.starts_at)
    settled()
    telling.tell_changes()
    assert "10:45 (Europe/Berlin) → Monday, 2 March 2099, 10:00 (Europe/Berlin)\nRoom: Hall 1 → no room\n" in body()


def test_what_was_changed_back_is_no_news(session):
    seat(session, "Ann")
    change(session, title="Another")
    change(session, title="Diving")
    settled()
    assert telling.tell_changes() == 0
    assert told() == []
    assert not telling.untold_changes().exists()


@pytest.mark.parametrize("status", ["draft", "cancelled"])
def test_sessions_of_an_event_that_is_not_on_are_no_news(session, status):
    seat(session, "Ann")
    change(session, title="Another")
    change(session.event, status=status)
    settled()
    assert telling.tell_changes() == 0
    assert not telling.untold_changes().exists()


def test_a_session_that_is_over_is_no_news(session):
    seat(session, "Ann")
    moment = timezone.now() - timedelta(hours=1)
    change(session, starts_at=moment, ends_at=moment)
    settled()
    assert telling.tell_changes() == 0
    assert told() == []


def test_whoever_gave_their_seat_back_or_was_removed_hears_nothing_more(session):
    change(session, capacity=3)
    gone, removed, _ann = seat(session, "Gone"), seat(session, "Removed"), seat(session, "Ann")
    sessions.cancel(session_id=session.pk, actor=None)
    removed.attendee.status = "removed"
    removed.attendee.save(update_fields=["status"])
    telling.tell_changes()
    assert told() == [("session_changed", "Cancelled: Diving", "Ann", "Gone")]
    sessions.restore(session_id=session.pk, actor=None)
    reserving.reserve(session_id=session.pk, person=gone.attendee.user_profile)
    settled()
    telling.tell_changes()
    assert told()[1:] == [("session_changed", "It takes place after all: Diving", "Ann")]


def test_a_cancelled_session_is_told_at_once_with_the_reason(session):
    seat(session, "Ann")
    waits(session, "Bob")
    sessions.cancel(session_id=session.pk, actor=None, reason="The speaker is ill. " * 10)
    assert telling.tell_changes() == 1
    assert told() == [("session_changed", "Cancelled: Diving", "Ann", "Bob")]
    assert body() == (
        "Hello {name},\n\n"
        "“Diving” is cancelled: it doesn't take place.\n\n"
        f"{'The speaker is ill. ' * 10}\n\n"
        "Diving\n"
        "Monday, 2 March 2099, 10:00 to 10:45 (Europe/Berlin)\n"
        "Hall 1\n\n"
        "What else there is: http://127.0.0.1:8000/e/deep-sea/agenda/\n"
    )
    change(session, title="Another")  # whoever was told that it is off needn't know
    assert telling.tell_changes() == 0


def test_a_session_that_raw_sql_cancelled_is_told_too(session):
    seat(session, "Ann")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE event_sessions SET status = 'cancelled' WHERE id = %s", [session.pk])
    assert telling.tell_changes() == 1
    assert told() == [("session_changed", "Cancelled: Diving", "Ann")]


def test_who_lost_a_seat_hears_of_it_also_where_the_session_was_restored_at_once(session):
    change(session, capacity=2)
    seat(session, "Ann")
    back = seat(session, "Back")
    sessions.cancel(session_id=session.pk, actor=None)
    sessions.restore(session_id=session.pk, actor=None)
    reserving.reserve(session_id=session.pk, person=back.attendee.user_profile)
    settled()
    assert telling.tell_changes() == 1
    assert told() == [("session_changed", "It takes place after all: Diving", "Ann")]
    assert "was given up when it was cancelled: if you still want to come, take one again.\n" in body()


def test_a_move_onto_another_session_of_theirs_is_said_to_those_it_concerns(session):
    change(session, capacity=5)
    both, _ann = seat(session, "Both"), seat(session, "Ann")
    later = session.starts_at + timedelta(hours=3)
    other = SessionFactory(event=session.event, title="Swimming", starts_at=later)
    SessionRsvpFactory(session=other, attendee=both.attendee)
    change(session, starts_at=later, ends_at=later + timedelta(hours=1))
    settled()
    assert telling.tell_changes() == 2
    assert sorted(told()) == [
        ("session_changed", "Changed: Diving", "Ann"),
        ("session_changed", "Changed: Diving", "Both"),
    ]
    [said] = Message.objects.filter(body__contains="At this time you also have a seat in: Swimming\n")
    assert said.deliveries.filter(channel="in_app").get().user == both.attendee.user_profile


def test_several_sessions_of_one_person_are_one_notice(session):
    change(session, capacity=5)
    both = seat(session, "Both")
    seat(session, "Ann")
    later = SessionFactory(event=session.event, title="Swimming", starts_at=session.starts_at + timedelta(hours=3))
    SessionRsvpFactory(session=later, attendee=both.attendee)
    sessions.cancel(session_id=later.pk, actor=None, reason="No water.")
    change(session, title="Deep diving")
    settled()
    assert telling.tell_changes() == 2
    assert sorted(told()) == [
        ("session_changed", "2 of your sessions have changed: {event}", "Both"),
        ("session_changed", "Changed: Deep diving", "Ann"),
    ]
    assert Message.objects.get(subject__startswith="2 of").body == (
        "Hello {name},\n\n"
        "“Diving” has changed.\n"
        "Title: Diving → Deep diving\n"
        "Time: Monday, 2 March 2099, 10:00 to 10:45 (Europe/Berlin)\n"
        "Room: Hall 1\n\n"
        "“Swimming” is cancelled: it doesn't take place.\n"
        "No water.\n"
        "Monday, 2 March 2099, 13:00 to 13:45 (Europe/Berlin)\n\n"
        "My Schedule: http://127.0.0.1:8000/e/deep-sea/my-schedule/\n"
    )


@pytest.mark.parametrize(("count", "statements"), [(1, 11), (2000, 41)])
def test_two_thousand_sessions_are_told_of_in_a_few_statements(session, django_assert_num_queries, count, statements):
    attendee = attending(session, "Ann")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO event_sessions (id, event_id, title, abstract, session_type, track, language, url, starts_at,"
            " ends_at, status, external_id, created_at, updated_at)"
            " SELECT gen_random_uuid(), event_id, title || n, '', '', '', '', '', starts_at + n * interval '1 hour',"
            " ends_at + n * interval '1 hour', status, '', now(), now()"
            " FROM event_sessions, generate_series(1, %s) AS n WHERE id = %s",
            [count, session.pk],
        )
        cursor.execute(
            "INSERT INTO session_rsvps (id, event_id, session_id, attendee_id, seats)"
            " SELECT gen_random_uuid(), event_id, id, %s, 1 FROM event_sessions WHERE id <> %s",
            [attendee.pk, session.pk],
        )
        cursor.execute("UPDATE event_sessions SET title = title || '!' WHERE id <> %s", [session.pk])
    settled()
    with django_assert_num_queries(statements):
        assert telling.tell_changes() == -(-count // telling.AT_ONCE)
    assert not telling.untold_changes().exists()


# -- The evening before ----------------------------------------------------------------------------------

EVENING = datetime(2099, 3, 1, 18, tzinfo=ZoneInfo("Europe/Berlin"))


def test_the_evening_before_everybody_hears_of_their_sessions(session):
    seat(session, "Ann")
    waits(session, "Bob")
    later = SessionFactory(event=session.event, title="Swimming", starts_at=session.starts_at + timedelta(hours=3))
    SessionRsvpFactory(session=later, attendee=SessionRsvp.objects.get().attendee)
    SessionRsvpFactory(session=later, attendee=attending(session, "Carol", plus_ones=1), seats=2)
    next_day = SessionFactory(event=session.event, starts_at=session.starts_at + timedelta(days=1))
    seat(next_day, "Later")
    assert telling.remind(at=EVENING) == 2
    assert sorted(told()) == [
        ("reminder", "Tomorrow: your 2 sessions at {event}", "Ann"),
        ("reminder", "Tomorrow: your session at {event}", "Carol"),
    ]
    assert Message.objects.get(subject__contains="2 sessions").body == (
        "Hello {name},\n\n"
        "tomorrow, Monday, 2 March 2099, you have seats in:\n\n"
        "Diving\n"
        "Monday, 2 March 2099, 10:00 to 10:45 (Europe/Berlin)\n"
        "Hall 1\n\n"
        "Swimming\n"
        "Monday, 2 March 2099, 13:00 to 13:45 (Europe/Berlin)\n\n"
        "If you can't come to one of them, please give your seat back: others may be waiting for it.\n\n"
        "My Schedule: http://127.0.0.1:8000/e/deep-sea/my-schedule/\n"
    )
    assert "\n2 seats\n" in Message.objects.get(subject__contains="your session").body
    assert telling.remind(at=EVENING + timedelta(minutes=15)) == 0
    assert telling.remind(at=EVENING + timedelta(days=1)) == 1
    assert told()[2:] == [("reminder", "Tomorrow: your session at {event}", "Later")]


@pytest.mark.parametrize(
    ("hours", "number"), [(-0.01, 0), (0, 1), (3.99, 1), (4, 0), (8, 0)], ids=["before", "six", "late", "ten", "night"]
)
def test_reminders_come_between_six_and_ten_by_the_event_s_clock(session, hours, number):
    seat(session, "Ann")
    assert telling.remind(at=EVENING + timedelta(hours=hours)) == number


def test_the_day_is_the_event_s(session):
    """Where it is still the first of March."""
    change(session.event, timezone="Pacific/Honolulu")
    seat(session, "Ann")  # on the 1st, at eleven in the evening there
    there = ZoneInfo("Pacific/Honolulu")
    assert telling.remind(at=datetime(2099, 3, 1, 19, tzinfo=there)) == 0
    assert telling.remind(at=datetime(2099, 2, 28, 19, tzinfo=there)) == 1


def test_events_may_do_without_reminders_and_cancelled_sessions_have_none(session):
    seat(session, "Ann")
    settings = RsvpSettings.objects.create(event=session.event, reminders=False)
    assert telling.remind(at=EVENING) == 0
    change(settings, reminders=True)
    change(session.event, status="cancelled")
    assert telling.remind(at=EVENING) == 0
    change(session.event, status="published")
    sessions.cancel(session_id=session.pk, actor=None)
    assert telling.remind(at=EVENING) == 0


def test_an_event_that_can_t_be_reminded_of_holds_up_none_of_the_others(session):
    seat(session, "Ann")
    bad = EventFactory(starts_at=session.starts_at)
    seat(SessionFactory(event=bad), "Bad")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events SET timezone = 'Nowhere/Land' WHERE id = %s", [bad.pk])
    with pytest.raises(telling.Untold, match="1 could not be told"):
        telling.remind(at=EVENING)
    assert told() == [("reminder", "Tomorrow: your session at {event}", "Ann")]


# -- At the same time, and after a fall ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_who_tell_at_the_same_time_tell_each_once(session):
    """One is in the middle of it: the other leaves those rows alone, and waits for nobody."""
    for number in range(3):
        offered(SessionFactory(event=session.event, capacity=1), f"Ann {number}")
    rsvp = seat(session, "Bob")
    sessions.cancel(session_id=session.pk, actor=None)
    with psycopg.connect(postgres.url(connection.settings_dict["NAME"])) as other:
        other.execute("SELECT FROM session_waitlist ORDER BY id LIMIT 2 FOR NO KEY UPDATE")
        other.execute("SELECT FROM session_changes FOR NO KEY UPDATE")
        assert (telling.tell_offers(), telling.tell_changes()) == (1, 0)
        other.rollback()
    assert (telling.tell_offers(), telling.tell_changes()) == (2, 1)
    assert (telling.tell_offers(), telling.tell_changes()) == (0, 0)
    everybody = [*WaitlistEntry.objects.values_list("attendee__user_profile", flat=True), rsvp.attendee.user_profile_id]
    assert sorted(MessageDelivery.objects.filter(channel="in_app").values_list("user", flat=True)) == sorted(everybody)


@pytest.mark.django_db(transaction=True)
def test_a_notice_that_is_held_up_is_told_whole_later(session):
    offered(session)
    with postgres.held("LOCK TABLE event_messages IN EXCLUSIVE MODE"), pytest.raises(Busy):
        telling.tell_offers()
    assert telling.untold_offers().count() == 1
    assert told() == []
    assert telling.tell_offers() == 1


@pytest.mark.django_db(transaction=True)
def test_what_was_being_told_when_a_worker_died_is_told_once(session):
    """It dies with its transaction open."""
    offered(session)
    with transaction.atomic():
        telling.tell_offers()
        transaction.set_rollback(True)
    assert told() == []
    assert telling.tell_offers() == 1
    assert len(told()) == 1
    assert WaitlistEntry.objects.filter(told_at__lte=Now()).count() == 1
