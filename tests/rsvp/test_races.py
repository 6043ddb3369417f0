"""Many at once, with real connections. In pairs: without the guard the race happens, with it it doesn't."""

import threading
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone

from attendance.models import Attendee
from config.errors import DomainError, Outcome, translated
from events.models import Session
from rsvp import integrity
from rsvp.models import RsvpSettings, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving, sessions
from rsvp.operations.standing import Seat
from tests import races
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
    crowd,
)

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts):
    """:func:`tests.races.at_once`, with the database's errors in the operations' words."""

    def in_words(act):
        with translated():
            return act()

    return races.at_once(*(partial(in_words, act) for act in acts))


def kinds(results):
    """How often each outcome came: "changed", "unchanged", or the error's class."""
    found = Counter()
    for one in results:
        done = isinstance(one, (Seat, Outcome))
        found[("changed" if one.changed else "unchanged") if done else type(one).__name__] += 1
    return dict(found)


def counts(session):
    """(places taken, waiting) as the session says; and nothing is out of order anywhere."""
    for wrong in (integrity.miscounted, integrity.overbooked, integrity.of_nobody):
        assert not wrong().exists()
    return Session.objects.values_list("seats_taken", "waitlist_length").get(pk=session.pk)


def reserve(session, attendee, **how):
    return partial(reserving.reserve, session_id=session.pk, person=attendee.user_profile, **how)


def cancel(session, attendee):
    return partial(reserving.cancel, session_id=session.pk, person=attendee.user_profile)


def answer(act, entry):
    return partial(act, entry_id=entry.pk, person=entry.attendee.user_profile)


def sql(statement, *params):
    def run():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.rowcount

    return run


def people(session, count):
    crowd(session.event, count)
    newcomers = Attendee.objects.filter(event=session.event, rsvps=None, waitlist=None).select_related("user_profile")
    return list(newcomers.order_by("pk")[:count])


# -- The last seat ---------------------------------------------------------------------------------------


def test_the_last_seat_by_bare_checks_is_taken_by_eight_without_the_triggers():
    """Look, then insert, with no lock and no trigger."""
    session = SessionFactory(capacity=1)
    everybody_has_looked = threading.Barrier(8)

    def take(attendee):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            free = Session.objects.get(pk=session.pk).seats_taken < 1
            everybody_has_looked.wait(timeout=60)
            if free:
                SessionRsvpFactory(session=session, attendee=attendee)

    at_once(*[partial(take, one) for one in people(session, 8)])
    assert SessionRsvp.objects.confirmed().count() == 8


@pytest.mark.parametrize("count", [10, 200])
def test_the_last_seat_is_taken_by_one(count):
    session = SessionFactory(capacity=3)
    SessionRsvpFactory.create_batch(2, session=session)
    results = at_once(*[reserve(session, one) for one in people(session, count)])
    assert kinds(results) == {"changed": 1, "SessionFull": count - 1}
    assert {str(one) for one in results if isinstance(one, DomainError)} == {
        "The session is full: 3 of 3 seats are taken, and 0 are waiting."
    }
    assert counts(session) == (3, 0)


def test_the_last_seat_by_raw_inserts_is_taken_by_one():
    session = SessionFactory(capacity=1)
    insert = "INSERT INTO session_rsvps (session_id, attendee_id) VALUES (%s, %s)"
    results = at_once(*[sql(insert, session.pk, one.pk) for one in people(session, 20)])
    assert (kinds(results), counts(session)) == ({"int": 1, "SessionFull": 19}, (1, 0))


def test_parties_for_the_last_seats_and_a_line_behind_them():
    """Who gets nothing waits; the line is in the order in which it was joined, and nobody was passed by."""
    session = SessionFactory(capacity=10)
    RsvpSettings.objects.create(event=session.event, waitlist_mode="auto_confirm")
    crowd(session.event, 30, plus_ones=1)
    everybody = Attendee.objects.filter(event=session.event).select_related("user_profile")
    acts = [reserve(session, one, seats=1 + place % 2, waitlist=True) for place, one in enumerate(everybody)]
    assert kinds(at_once(*acts)) == {"changed": 30}
    taken, waiting = counts(session)
    assert (taken, waiting, SessionRsvp.objects.confirmed().count()) == (10, waiting, 30 - waiting)
    entries = WaitlistEntry.objects.waiting().in_order()
    assert list(entries.values_list("pk", flat=True)) == list(
        entries.order_by("joined_at").values_list("pk", flat=True)
    )
    line.catch_up()
    assert counts(session) == (10, waiting)


def test_one_person_clicking_ten_times_has_one_seat():
    session = SessionFactory(capacity=5)
    attendee = AttendeeFactory(event=session.event)
    assert kinds(at_once(*[reserve(session, attendee)] * 10)) == {"changed": 1, "unchanged": 9}
    assert kinds(at_once(*[cancel(session, attendee)] * 10)) == {"changed": 1, "unchanged": 9}
    assert counts(session) == (0, 0)
    SessionRsvpFactory.create_batch(5, session=session)
    assert kinds(at_once(*[reserve(session, attendee, waitlist=True)] * 10)) == {"changed": 1, "unchanged": 9}
    assert counts(session) == (5, 1)


def test_of_two_sessions_at_the_same_time_one_is_refused():
    event = EventFactory()
    both = SessionFactory.create_batch(2, event=event)
    attendee = AttendeeFactory(event=event)
    everywhere = at_once(*[reserve(one, attendee) for one in both])
    assert kinds(everywhere) == {"changed": 2}
    at_once(*[cancel(one, attendee) for one in both])
    results = at_once(*[reserve(one, attendee, reject_conflicts=True) for one in both * 3])
    refused = kinds(results).pop("ScheduleConflict")
    assert kinds(results) == {"changed": 1, "ScheduleConflict": refused} | (
        {"unchanged": 5 - refused} if refused < 5 else {}
    )
    assert SessionRsvp.objects.confirmed().count() == 1


# -- Seats that become free ---------------------------------------------------------------------------------


def test_a_newcomer_slips_in_where_the_seat_is_handed_on_later():
    """The other half of the next test: given back in one transaction, handed on in another."""
    session = SessionFactory(capacity=1)
    inside, newcomer = SessionRsvpFactory(session=session), AttendeeFactory(event=session.event)
    WaitlistEntryFactory(session=session)
    sql("UPDATE session_rsvps SET status = 'cancelled' WHERE id = %s", inside.pk)()
    sql("INSERT INTO session_rsvps (session_id, attendee_id) VALUES (%s, %s)", session.pk, newcomer.pk)()
    line.catch_up()
    assert counts(session) == (1, 1)


@pytest.mark.parametrize("mode", ["offer", "auto_confirm"])
def test_no_newcomer_slips_in_when_seats_are_given_back(mode):
    session = SessionFactory(capacity=5)
    RsvpSettings.objects.create(event=session.event, waitlist_mode=mode)
    inside = SessionRsvpFactory.create_batch(5, session=session)
    waiting = WaitlistEntryFactory.create_batch(7, session=session)
    newcomers = people(session, 20)
    results = at_once(*[cancel(session, one.attendee) for one in inside], *[reserve(session, one) for one in newcomers])
    assert kinds(results) == {"changed": 5, "SessionFull": 20}
    served = WaitlistEntry.objects.exclude(status="waiting").order_by("queued_at", "pk")
    assert list(served.values_list("pk", flat=True)) == [one.pk for one in waiting[:5]]
    assert counts(session) == (5, 2)


def test_two_who_give_back_the_same_seat_hand_it_on_once():
    session = SessionFactory(capacity=1)
    inside = SessionRsvpFactory(session=session)
    WaitlistEntryFactory.create_batch(3, session=session)
    take = partial(reserving.take_from, rsvp_id=inside.pk, actor=None)
    results = at_once(cancel(session, inside.attendee), take, cancel(session, inside.attendee), take)
    assert (kinds(results), counts(session)) == ({"changed": 1, "unchanged": 3}, (1, 2))


def test_lowering_the_capacity_while_a_seat_changes_hands_is_refused():
    """Between the two there is no moment at which the seat is free."""
    session = SessionFactory(capacity=2)
    inside = SessionRsvpFactory.create_batch(2, session=session)
    WaitlistEntryFactory.create_batch(3, session=session)
    lower = sql("UPDATE event_sessions SET capacity = 1 WHERE id = %s", session.pk)
    results = at_once(lower, *[cancel(session, one.attendee) for one in inside], lower, lower)
    assert (kinds(results), counts(session)) == ({"changed": 2, "SessionFull": 3}, (2, 1))


def test_sweeps_and_acts_at_once_hand_each_seat_on_once():
    session = SessionFactory(capacity=1)
    inside = SessionRsvpFactory(session=session)
    entries = WaitlistEntryFactory.create_batch(12, session=session)
    Session.objects.filter(pk=session.pk).update(capacity=7)
    results = at_once(
        *[line.catch_up] * 4,
        cancel(session, inside.attendee),
        partial(line.switch, session_id=session.pk, actor=None, is_open=False),
        partial(line.remove, entry_id=entries[11].pk, actor=None),
        partial(line.catch_up),
    )
    assert kinds(results) == {"int": 5, "changed": 3}
    line.catch_up()
    offered = WaitlistEntry.objects.offered().order_by("queued_at", "pk")
    assert list(offered.values_list("pk", flat=True)) == [one.pk for one in entries[:7]]
    assert set(offered.values_list("offers_made", flat=True)) == {1}
    assert counts(session) == (7, 4)


# -- Offers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def offered():
    """The only seat is offered to the first of two."""
    session = SessionFactory(capacity=1)
    first, _second = WaitlistEntryFactory.create_batch(2, session=session)
    line.catch_up()
    first.refresh_from_db()
    return first


def test_accepted_and_declined_at_once(offered):
    results = at_once(*[answer(line.accept, offered), answer(line.decline, offered)] * 4)
    offered.refresh_from_db()
    assert kinds(results) == {"changed": 1, "unchanged": 3, "NoOffer": 4}
    assert (offered.status, counts(offered.session)) in [("accepted", (1, 1)), ("declined", (1, 0))]


def test_accepted_as_it_expires(offered):
    seen = Counter()
    for _attempt in range(12):
        soon = timezone.now() + timedelta(milliseconds=6)
        entry = WaitlistEntry.objects.offered().get()
        WaitlistEntry.objects.filter(pk=entry.pk).update(offer_expires_at=soon, offers_made=1, told_at=soon)
        [outcome, _given] = at_once(answer(line.accept, entry), line.catch_up)
        seen.update(kinds([outcome]))
        entry.refresh_from_db()
        if isinstance(outcome, DomainError):
            line.catch_up()
            entry.refresh_from_db()
            assert entry.status == "waiting"
        else:
            assert entry.status == "accepted"
            cancel(entry.session, entry.attendee)()
            line.join(session_id=entry.session_id, person=entry.attendee.user_profile)
        assert counts(entry.session) == (1, 1)
    assert set(seen) <= {"changed", "OfferExpired", "NoOffer"}


# -- Those who leave the event, and sessions that are off ---------------------------------------------------------


def remove(attendee):
    return partial(Attendee.objects.filter(pk=attendee.pk).update, status="removed")


def test_taking_part_and_being_removed_at_once_leave_nothing_behind():
    """Nor does anybody wait for anybody for ever: attendees are locked before sessions."""
    session = SessionFactory(capacity=6)
    RsvpSettings.objects.create(event=session.event, waitlist_mode="auto_confirm")
    inside = SessionRsvpFactory.create_batch(5, session=session)
    offers = WaitlistEntryFactory.create_batch(1, session=session, status="offered", offered_at=timezone.now(),
                                               offer_expires_at=timezone.now() + timedelta(hours=1))  # fmt: skip
    waiting = WaitlistEntryFactory.create_batch(8, session=session)
    newcomers = AttendeeFactory.create_batch(4, event=session.event)
    results = at_once(
        *[cancel(session, one.attendee) for one in inside[:3]],
        *[remove(one.attendee) for one in [*inside[3:], *offers, *waiting[:6]]],
        *[answer(line.accept, one) for one in offers],
        *[reserve(session, one, waitlist=True) for one in newcomers],
        *[remove(one) for one in newcomers],
        *[line.catch_up] * 2,
    )
    assert set(kinds(results)) <= {"changed", "int", "NotAttending", "NoOffer"}
    line.catch_up()
    left = {one.attendee_id for one in waiting[6:]}
    assert set(SessionRsvp.objects.confirmed().values_list("attendee", flat=True)) == left
    assert counts(session) == (2, 0)
    assert not WaitlistEntry.objects.live().exists()


def test_taking_seats_in_a_session_as_it_is_cancelled():
    session = SessionFactory(capacity=20)
    results = at_once(
        *[reserve(session, one) for one in people(session, 15)],
        partial(sessions.cancel, session_id=session.pk, actor=UserProfileFactory()),
        *[partial(line.join, session_id=session.pk, person=one.user_profile) for one in people(session, 5)],
    )
    assert set(kinds(results)) <= {"changed", "unchanged", "SessionCancelled", "HasSeat"}
    assert counts(session) == (0, 0)
    assert not WaitlistEntry.objects.live().exists()


def test_a_swap_of_seats_as_the_session_is_cancelled():
    """One statement, after which as many are taken as before: the counters have nothing to write."""
    session = SessionFactory(capacity=1)
    SessionRsvpFactory(session=session)
    SessionRsvpFactory(session=session, status="cancelled")
    swapped, proceed = threading.Event(), threading.Event()

    def swap():
        with transaction.atomic():
            sql(
                "UPDATE session_rsvps SET status = CASE status WHEN 'cancelled' THEN 'confirmed' ELSE 'cancelled' END"
            )()
            swapped.set()
            proceed.wait(timeout=0.5)  # in vain: the other waits for this transaction

    def call_off():
        assert swapped.wait(timeout=60)
        done = sql("UPDATE event_sessions SET status = 'cancelled'")()
        proceed.set()
        return done

    assert kinds(at_once(swap, call_off)) == {"NoneType": 1, "int": 1}
    assert (SessionRsvp.objects.confirmed().count(), counts(session)) == (0, (0, 0))


# -- Bulk writes ------------------------------------------------------------------------------------------------


@pytest.fixture
def everywhere():
    """Two people in thirty sessions, written in opposite orders; two more wait for all of them."""
    event = EventFactory()
    slots = SessionFactory.create_batch(30, event=event)
    attendees = AttendeeFactory.create_batch(4, event=event)
    for attendee, order in zip(attendees, (slots, slots[::-1]) * 2, strict=True):
        model = SessionRsvp if attendee in attendees[:2] else WaitlistEntry
        model.objects.bulk_create(model(event=event, session=one, attendee=attendee) for one in order)
    return attendees


def test_seats_given_back_one_by_one_in_opposite_orders_meet(everywhere):
    """The other half of the next test: so bulk writes would meet, if they took sessions as they come."""
    halfway = threading.Barrier(2)

    def one_by_one(attendee):
        with transaction.atomic():
            for place, rsvp in enumerate(SessionRsvp.objects.filter(attendee=attendee).order_by("pk")):
                if place == 15:
                    halfway.wait(timeout=60)
                SessionRsvp.objects.filter(pk=rsvp.pk).update(status="cancelled", cancelled_at=timezone.now())

    first, second, *_waiting = everywhere
    results = at_once(partial(one_by_one, first), partial(one_by_one, second))
    assert kinds(results) == {"NoneType": 1, "Busy": 1}


def test_bulk_writes_in_opposite_orders_do_not_meet(everywhere):
    first, second, third, fourth = (str(one.pk) for one in everywhere)
    flip = ("UPDATE session_rsvps SET status = CASE status WHEN 'cancelled' THEN 'confirmed' ELSE 'cancelled' END "
            "WHERE attendee_id = %s")  # fmt: skip
    offer = ("UPDATE session_waitlist SET status = CASE WHEN status = 'offered' OR session_id > %s THEN 'waiting' ELSE "
             "'offered' END, priority = priority + 1, offered_at = now(), offer_expires_at = now() "
             "WHERE attendee_id = %s")  # fmt: skip
    half = Session.objects.order_by("pk")[15].pk
    for _attempt in range(5):
        acts = [sql(flip, first), sql(flip, second), sql(offer, half, third), sql(offer, half, fourth)]
        assert kinds(at_once(*acts)) == {"int": 4}
    assert [counts(one) for one in Session.objects.order_by("pk")] == [(2, 0)] * 16 + [(0, 2)] * 14
    again = at_once(*[partial(Attendee.objects.filter(pk=one.pk).update, status="removed") for one in everywhere])
    assert kinds(again) == {"int": 4}
    assert {counts(one) for one in Session.objects.all()} == {(0, 0)}
