"""Seats, lines and offers by the rules, one rule at a time. The clock moves by moving rows."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from attendance.models import Attendee
from config.errors import NotFound
from events.models import Event, Session
from rsvp.models import RsvpSettings, SessionLine, SessionRsvp, WaitlistEntry, WaitlistLog
from rsvp.operations import agenda, line, reserving, sessions, standing
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
    member,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def session():
    """Two seats."""
    return SessionFactory(capacity=2)


@pytest.fixture
def me(session):
    return AttendeeFactory(event=session.event, plus_ones=2)


@pytest.fixture
def full(session):
    SessionRsvpFactory.create_batch(2, session=session)
    return session


def reserve(session, attendee, **how):
    return reserving.reserve(session_id=session.pk, person=attendee.user_profile, **how)


def cancel(session, attendee):
    return reserving.cancel(session_id=session.pk, person=attendee.user_profile)


def join(session, attendee, **how):
    return line.join(session_id=session.pk, person=attendee.user_profile, **how)


def leave(session, attendee):
    return line.leave(session_id=session.pk, person=attendee.user_profile)


def accept(entry):
    return line.accept(entry_id=entry.pk, person=entry.attendee.user_profile)


def decline(entry):
    return line.decline(entry_id=entry.pk, person=entry.attendee.user_profile)


def free(session, count=1):
    """So many seats more, by raw SQL: it's the sweep that hands them on."""
    Session.objects.filter(pk=session.pk).update(capacity=F("capacity") + count)


def waiting(session, *parties, **fields):
    """Places in line, one behind the other."""
    return [
        WaitlistEntryFactory(session=session, party_size=size, attendee__plus_ones=size - 1, **fields)
        for size in parties
    ]


def set_up(session, **fields):
    RsvpSettings.objects.update_or_create(event=session.event, defaults=fields)


def expire(*entries):
    """Their offers end a moment ago, one after the other."""
    now = timezone.now()
    for ago, entry in enumerate(reversed(entries), 1):
        past = now - timedelta(milliseconds=ago)
        WaitlistEntry.objects.offered().filter(pk=entry.pk).update(offer_expires_at=past, told_at=now)


def how(*entries):
    """The status of each."""
    found = dict(WaitlistEntry.objects.values_list("pk", "status"))
    return " ".join(found[one.pk] for one in entries)


def in_line(session):
    """Who waits, in order."""
    return list(WaitlistEntry.objects.waiting().filter(session=session).in_order())


def counts(session):
    return Session.objects.values_list("capacity", "seats_taken", "waitlist_length").get(pk=session.pk)


def everything():
    tables = ("event_sessions", "session_rsvps", "session_waitlist", "session_waitlist_log", "session_lines")
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT row::text FROM {table} AS row ORDER BY 1")
            yield table, cursor.fetchall()


def refused(error, act, words=None):
    """And nothing changed."""
    before = dict(everything())
    with pytest.raises(error) as caught:
        act()
    assert type(caught.value) is error
    assert words is None or str(caught.value) == words
    assert dict(everything()) == before


# -- Taking seats -------------------------------------------------------------------------------------------


def test_a_seat_is_taken(session, me):
    seat = reserve(session, me)
    rsvp = SessionRsvp.objects.get()
    assert seat == standing.Seat(
        session_id=session.pk,
        event_id=session.event_id,
        status="confirmed",
        seats=1,
        capacity=2,
        seats_taken=1,
        waitlist_length=0,
        conflicts=[],
        changed=True,
        is_new=True,
        rsvp_id=rsvp.pk,
        rsvp_at=rsvp.rsvp_at,
    )
    assert (rsvp.attendee, rsvp.event, rsvp.status, rsvp.source) == (me, session.event, "confirmed", "own")


def test_again_is_the_same(session, me):
    first, again = reserve(session, me), reserve(session, me)
    assert (again.changed, again.rsvp_id, again.rsvp_at, again.seats_taken) == (False, first.rsvp_id, first.rsvp_at, 1)


def test_after_giving_it_back_it_is_the_same_rsvp(session, me):
    first = reserve(session, me, seats=2)
    gone = cancel(session, me)
    assert (gone.status, gone.changed, gone.rsvp_id, gone.seats_taken) == ("cancelled", True, first.rsvp_id, 0)
    assert cancel(session, me).changed is False
    again = reserve(session, me)
    assert (again.changed, again.rsvp_id, again.rsvp_at, again.seats) == (True, first.rsvp_id, first.rsvp_at, 1)


def test_after_giving_it_back_the_session_may_be_full(session, me):
    reserve(session, me)
    cancel(session, me)
    SessionRsvpFactory.create_batch(2, session=session)
    refused(standing.SessionFull, partial(reserve, session, me))


def test_a_full_session_says_how_full(full, me):
    words = "The session is full: 2 of 2 seats are taken, and 0 are waiting."
    refused(standing.SessionFull, partial(reserve, full, me), words)
    words = "The session is full: 2 of 2 seats are taken, and 1 are waiting."
    WaitlistEntryFactory(session=full)
    refused(standing.SessionFull, partial(reserve, full, me), words)


def test_a_newcomer_never_overtakes_the_line(full, me):
    """Not even where a seat is free, because the first waits for two."""
    waiting(full, 2)
    free(full)
    line.catch_up()
    assert counts(full) == (3, 2, 1)
    refused(standing.SessionFull, partial(reserve, full, me))
    seat = reserve(full, me, waitlist=True)
    assert (seat.status, seat.position, seat.waitlist_length, seat.entry_id) == ("waiting", 2, 2, in_line(full)[1].pk)


def test_with_seats_free_the_line_is_not_joined(session, me):
    assert reserve(session, me, waitlist=True).status == "confirmed"


def test_no_limit_of_seats(me, session):
    Session.objects.update(capacity=None)
    SessionRsvpFactory.create_batch(3, session=session)
    seat = reserve(session, me, seats=3)
    assert (seat.capacity, seat.seats_taken, seat.status) == (None, 6, "confirmed")


@pytest.mark.parametrize(
    "event_fields, fields, error, words",
    [
        ({"status": "draft"}, {}, standing.EventNotOpen, "The event is draft."),
        ({"status": "cancelled"}, {}, standing.EventNotOpen, "The event is cancelled."),
        ({}, {"status": "cancelled"}, standing.SessionCancelled, None),
        ({}, {"starts_at": timedelta(seconds=-1)}, standing.SessionStarted, None),
        ({}, {"rsvp_opens_at": timedelta(hours=1)}, standing.RsvpNotOpenYet, None),
        ({}, {"rsvp_closes_at": timedelta(seconds=-1)}, standing.RsvpClosed, None),
    ],
)
def test_seats_are_given_out_in_their_time_only(session, me, event_fields, fields, error, words):
    moments = {name: timezone.now() + at for name, at in fields.items() if isinstance(at, timedelta)}
    Session.objects.update(**fields | moments)
    Event.objects.update(**event_fields)
    refused(error, partial(reserve, session, me, waitlist=True), words)
    refused(error, partial(join, session, me), words)


def test_rsvp_opens_by_the_event_s_clock(session, me):
    opens = datetime(2099, 7, 1, 12, tzinfo=UTC)
    Session.objects.update(rsvp_opens_at=opens)
    refused(standing.RsvpNotOpenYet, partial(reserve, session, me), "RSVP opens on Wed 1 Jul 2099, 14:00 CEST.")


def test_inside_its_window_seats_are_given_out(session, me):
    now = timezone.now()
    Session.objects.update(rsvp_opens_at=now - timedelta(minutes=1), rsvp_closes_at=now + timedelta(minutes=1))
    assert reserve(session, me).status == "confirmed"


def test_seats_are_for_active_attendees(session, me):
    stranger, removed = UserProfileFactory(), AttendeeFactory(event=session.event, status="removed")
    staff = member(session.event.organization, "organizer")
    for act in (reserving.reserve, line.join, line.leave, reserving.cancel):
        refused(standing.NotAttending, partial(act, session_id=session.pk, person=staff))
        refused(NotFound, partial(act, session_id=me.pk, person=me.user_profile))
        for nobody in (stranger, removed.user_profile):
            with pytest.raises((standing.NotAttending, NotFound)):
                act(session_id=session.pk, person=nobody)
    assert not SessionRsvp.objects.exists()


@pytest.mark.parametrize("seats", [-1, 0, 4])
def test_more_seats_than_oneself_and_plus_ones_are_refused(session, me, seats):
    Session.objects.update(capacity=9)
    words = "You can have at most 3 seats here: your own, and one for each plus-one."
    refused(standing.TooManySeats, partial(reserve, session, me, seats=seats), words)
    refused(standing.TooManySeats, partial(join, session, me, party_size=seats), words)


def test_the_event_may_set_how_many_seats_at_once(session, me):
    set_up(session, max_party_size=1)
    refused(standing.TooManySeats, partial(reserve, session, me, seats=2))


def test_nobody_asks_for_more_seats_than_there_are(session, me):
    """Who waited for three in a session of two would wait for ever, and all behind them."""
    refused(standing.TooManySeats, partial(reserve, session, me, seats=3, waitlist=True))
    refused(standing.TooManySeats, partial(join, session, me, party_size=3))
    Session.objects.update(capacity=0)
    assert reserve(session, me, waitlist=True).status == "waiting"


def test_other_seats_for_somebody_who_has_some(session, me):
    reserve(session, me)
    more = reserve(session, me, seats=2)
    assert (more.seats, more.seats_taken, more.changed) == (2, 2, True)
    [entry] = waiting(session, 1)
    fewer = reserve(session, me, seats=1)
    assert (fewer.seats, fewer.seats_taken, fewer.changed, how(entry)) == (1, 2, True, "offered")
    refused(standing.SessionFull, partial(reserve, session, me, seats=2))


def test_no_more_seats_past_a_line(session, me):
    reserve(session, me)
    waiting(session, 2)
    refused(standing.SessionFull, partial(reserve, session, me, seats=2))


def test_sessions_at_the_same_time_are_said(session, me):
    starts, ends = session.starts_at, session.ends_at
    before = SessionFactory(event=session.event, starts_at=starts - timedelta(hours=1), ends_at=starts)
    during = SessionFactory(event=session.event, starts_at=starts - timedelta(hours=1), ends_at=starts + timedelta(1))
    called_off = SessionFactory(event=session.event, starts_at=starts, ends_at=ends, status="cancelled")
    elsewhere = SessionFactory(event=AttendeeFactory(user_profile=me.user_profile).event, starts_at=starts)
    at_once = [standing.Conflict(one.pk, one.title, one.starts_at, one.ends_at) for one in (during, elsewhere)]
    for one in (before, during, elsewhere):
        reserve(one, me)
    words = f"At this time you have a seat in: {during.title}, {elsewhere.title}."
    refused(reserving.ScheduleConflict, partial(reserve, session, me, reject_conflicts=True), words)
    seat = reserve(session, me)
    assert (seat.status, seat.conflicts) == ("confirmed", at_once)
    assert reserve(session, me, reject_conflicts=True).changed is False
    for one in (session, during, elsewhere):
        cancel(one, me)
    assert reserve(session, me, reject_conflicts=True).conflicts == []
    assert not SessionRsvp.objects.filter(session=called_off).exists()


def test_an_offer_is_not_accepted_against_a_conflict_that_is_rejected(full, me):
    other = SessionFactory(event=full.event, starts_at=full.starts_at)
    reserve(other, me)
    join(full, me)
    free(full)
    line.catch_up()
    refused(reserving.ScheduleConflict, partial(reserve, full, me, reject_conflicts=True))
    assert [one.session_id for one in reserve(full, me).conflicts] == [other.pk]


# -- Giving them back ---------------------------------------------------------------------------------------


def test_a_seat_given_back_goes_to_whoever_waited_longest(full, me):
    first, second = waiting(full, 1, 1)
    mine = SessionRsvp.objects.first()
    seat = cancel(full, mine.attendee)
    assert (seat.status, seat.seats_taken, seat.waitlist_length) == ("cancelled", 2, 1)
    assert how(first, second) == "offered waiting"
    mine.refresh_from_db()
    assert (mine.status, mine.end_reason, mine.cancelled_at is not None) == ("cancelled", "own", True)
    refused(standing.SessionFull, partial(reserve, full, mine.attendee))


def test_seats_are_given_back_until_the_end(full, me):
    now, [first, second] = timezone.now(), SessionRsvp.objects.all()
    [entry] = waiting(full, 1)
    Session.objects.update(starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1))
    assert cancel(full, first.attendee).seats_taken == 1
    assert how(entry) == "waiting"  # until the sweep closes the line: nobody waits for a session that has begun
    Session.objects.update(ends_at=now)
    refused(standing.SessionStarted, partial(cancel, full, second.attendee))


def test_who_never_had_a_seat_gives_none_back(session, me):
    refused(NotFound, partial(cancel, session, me))
    refused(NotFound, partial(leave, session, me))


def test_an_organiser_takes_a_seat_for_the_line(full, me):
    [entry] = waiting(full, 1)
    rsvp, organizer = SessionRsvp.objects.first(), member(full.event.organization, "organizer")
    take = partial(reserving.take_from, rsvp_id=rsvp.pk, actor=organizer, reason="Twice in the list")
    outcome = take()
    assert (outcome.changed, outcome.row.status, outcome.row.end_reason) == (True, "cancelled", "organizer")
    assert (how(entry), counts(full), take().changed) == ("offered", (2, 2, 0), False)
    refused(NotFound, partial(reserving.take_from, rsvp_id=me.pk, actor=organizer))


# -- The line's order ---------------------------------------------------------------------------------------


def test_the_line_s_order_is_priority_then_time_then_id(full):
    same = timezone.now() - timedelta(hours=1)
    one, two, three, four, five = waiting(full, 1, 1, 1, 1, 1, queued_at=same)
    WaitlistEntry.objects.filter(pk=two.pk).update(priority=-1)
    WaitlistEntry.objects.filter(pk=three.pk).update(queued_at=same - timedelta(seconds=1))
    WaitlistEntry.objects.filter(pk=five.pk).update(priority=1)
    order = [five, three, one, four, two]
    assert in_line(full) == order
    assert [standing.position(entry.pk) for entry in order] == [1, 2, 3, 4, 5]
    assert standing.positions([entry.pk for entry in order]) == {entry.pk: n for n, entry in enumerate(order, 1)}
    for served in range(1, 6):
        free(full)
        assert line.catch_up() == 1
        assert how(*order) == " ".join(["offered"] * served + ["waiting"] * (5 - served))


def test_a_party_is_waited_for(full):
    one, party, last = waiting(full, 1, 2, 1)
    free(full, 2)
    assert (line.catch_up(), how(one, party, last)) == (1, "offered waiting waiting")
    free(full)
    assert (line.catch_up(), how(one, party, last), counts(full)) == (1, "offered offered waiting", (5, 5, 1))


def test_smaller_parties_fill_gaps_where_the_event_says_so(full):
    set_up(full, fill_gaps=True)
    one, three, two, last, late = waiting(full, 1, 3, 2, 1, 1)
    free(full, 3)
    assert line.catch_up() == 2
    assert how(one, three, two, last, late) == "offered waiting offered waiting waiting"
    free(full, 2)
    assert line.catch_up() == 2
    assert how(one, three, two, last, late) == "offered waiting offered offered offered"


def test_a_party_that_has_become_too_large_for_the_session_holds_up_nobody(session):
    Session.objects.update(capacity=3)
    holder = SessionRsvpFactory(session=session)
    party, last = waiting(session, 3, 1)
    Session.objects.update(capacity=2)
    cancel(session, holder.attendee)
    assert (how(party, last), counts(session)) == ("waiting offered", (2, 1, 1))


def test_hundreds_are_served_in_a_few_statements(full, django_assert_num_queries):
    waiting(full, *[1] * 40)
    Session.objects.update(capacity=32)
    with django_assert_num_queries(7):  # the savepoint's two, those due, two kinds of end, who is next, the offers
        assert line.catch_up() == 30
    assert counts(full) == (32, 32, 10)


def test_nobody_is_in_line_twice(full, me):
    first, again = join(full, me), join(full, me, party_size=2)
    assert (first.changed, again.changed, again.entry_id, again.seats) == (True, False, first.entry_id, 1)
    assert reserve(full, me).entry_id == first.entry_id


def test_who_has_a_seat_does_not_wait(session, me):
    reserve(session, me)
    refused(line.HasSeat, partial(join, session, me), "You have a seat in this session already.")


def test_joining_where_seats_are_free_is_an_offer_at_once(session, me):
    seat = join(session, me, party_size=2)
    assert (seat.status, seat.seats, seat.seats_taken, seat.position) == ("offered", 2, 2, None)
    assert seat.offer_expires_at > timezone.now()


def test_leaving_and_joining_again_is_the_end(full, me):
    join(full, me)
    [other] = waiting(full, 1)
    left = leave(full, me)
    assert (left.status, left.changed, left.waitlist_length) == ("", True, 1)
    assert leave(full, me).changed is False
    assert (join(full, me).position, how(other)) == (2, "waiting")
    ended = WaitlistEntry.objects.get(attendee=me, status="left")
    assert (ended.end_reason, ended.closed_at is not None) == ("own", True)


def test_leaving_an_offer_hands_it_on(full):
    first, second = waiting(full, 1, 1)
    free(full)
    line.catch_up()
    leave(full, first.attendee)
    assert (how(first, second), counts(full)) == ("left offered", (3, 3, 0))


# -- Offers -------------------------------------------------------------------------------------------------


@pytest.fixture
def offers(full):
    """The first of three has an offer."""
    entries = waiting(full, 1, 1, 1)
    free(full)
    line.catch_up()
    return entries


def lasts(entry):
    entry.refresh_from_db()
    return round((entry.offer_expires_at - entry.offered_at).total_seconds())


@pytest.mark.parametrize(
    "until_start, ttl, seconds",
    [
        (timedelta(days=7), None, 1800),
        (timedelta(days=7), timedelta(hours=8), 28800),
        (timedelta(hours=2), None, 1800),
        (timedelta(hours=1), None, 900),
        (timedelta(hours=1), timedelta(minutes=5), 300),
        (timedelta(minutes=5), None, 120),
        (timedelta(minutes=1), None, 60),
    ],
)
def test_an_offer_holds_for_less_as_the_start_comes_near(full, until_start, ttl, seconds):
    if ttl:
        set_up(full, offer_ttl=ttl)
    [entry] = waiting(full, 1)
    now = timezone.now()
    Session.objects.update(capacity=3, starts_at=now + until_start, ends_at=now + timedelta(days=8))
    line.catch_up()
    assert lasts(entry) == pytest.approx(seconds, abs=3)
    assert entry.offer_expires_at <= Session.objects.get().starts_at
    assert (entry.status, entry.offers_made) == ("offered", 1)


def test_no_offers_after_the_start(full):
    [entry] = waiting(full, 1)
    Session.objects.update(capacity=3, starts_at=timezone.now())
    refused(standing.SessionStarted, partial(line.offer, entry_id=entry.pk, actor=None))
    assert line.catch_up() == 0
    entry.refresh_from_db()
    assert (entry.status, entry.end_reason, counts(full)) == ("expired", "started", (3, 2, 0))


def test_offers_are_made_after_rsvp_has_closed_and_accepted_too(full):
    [entry] = waiting(full, 1)
    Session.objects.update(capacity=3, rsvp_closes_at=timezone.now() - timedelta(hours=1))
    assert line.catch_up() == 1
    seat = accept(entry)
    rsvp = SessionRsvp.objects.get(attendee=entry.attendee)
    assert (seat.status, seat.changed, seat.rsvp_id, seat.entry_id) == ("confirmed", True, rsvp.pk, None)
    assert (rsvp.source, rsvp.seats, how(entry), counts(full)) == ("waitlist", 1, "accepted", (3, 3, 0))
    assert accept(entry).changed is False


def test_an_rsvp_accepts_the_offer_that_stands(offers):
    first, *_others = offers
    Session.objects.update(rsvp_closes_at=timezone.now())
    seat = reserve(first.session, first.attendee)
    assert (seat.status, seat.changed, how(*offers)) == ("confirmed", True, "accepted waiting waiting")


def test_a_declined_offer_goes_to_the_next(offers):
    first, *_others = offers
    seat = decline(first)
    assert (seat.status, seat.changed, how(*offers)) == ("", True, "declined offered waiting")
    assert decline(first).changed is False
    refused(line.NoOffer, partial(accept, first), "There is no offer to answer: your place in line is declined.")


def test_only_offers_are_answered_and_only_one_s_own(offers, me):
    first, second, _third = offers
    words = "There is no offer to answer: your place in line is waiting."
    refused(line.NoOffer, partial(accept, second), words)
    refused(line.NoOffer, partial(decline, second), words)
    for act in (line.accept, line.decline):
        refused(NotFound, partial(act, entry_id=first.pk, person=me.user_profile))
        refused(NotFound, partial(act, entry_id=me.pk, person=me.user_profile))


def test_an_offer_that_passed_is_not_accepted(offers):
    expire(offers[0])
    refused(line.OfferExpired, partial(accept, offers[0]))


def test_an_offer_that_passed_goes_to_the_next_and_its_person_to_the_end(offers):
    first, second, third = offers
    set_up(first.session, max_offers=1)
    expire(first)
    assert (line.catch_up(), how(*offers)) == (1, "waiting offered waiting")
    assert in_line(first.session) == [third, first]
    expire(second)
    line.catch_up()
    expire(third)
    line.catch_up()
    assert (how(*offers), in_line(first.session)) == ("offered waiting waiting", [second, third])
    expire(first)
    line.catch_up()
    first.refresh_from_db()
    assert (first.status, first.end_reason, first.offers_made) == ("expired", "too_many_offers", 2)
    assert how(*offers) == "expired offered waiting"
    seat = join(first.session, first.attendee)
    assert (seat.position, seat.changed) == (2, True)


def test_several_that_passed_are_at_the_end_in_the_order_in_which_they_passed(full):
    entries = waiting(full, *[1] * 6)
    free(full, 3)
    line.catch_up()
    expire(entries[2], entries[0], entries[1])
    line.catch_up()
    assert how(*entries) == "waiting waiting waiting offered offered offered"
    assert in_line(full) == [entries[2], entries[0], entries[1]]


def test_passing_loses_the_priority(offers):
    first, second, third = offers
    line.prioritize(entry_id=first.pk, actor=None, priority=5)
    expire(first)
    line.catch_up()
    assert in_line(first.session) == [third, first]


def test_two_offers_may_pass_unless_the_event_says_otherwise(full):
    [alone] = waiting(full, 1)
    free(full)
    for number in (1, 2, 3):
        line.catch_up()
        alone.refresh_from_db()
        assert (alone.status, alone.offers_made) == ("offered", number)
        expire(alone)
    line.catch_up()
    alone.refresh_from_db()
    assert (alone.status, alone.end_reason, alone.offers_made) == ("expired", "too_many_offers", 3)


def test_an_offer_that_nobody_told_them_of_costs_no_place(offers):
    first, second, third = offers
    line.prioritize(entry_id=first.pk, actor=None, priority=5)
    for _time in range(3):  # the worker is away for longer than three offers hold
        expire(first)
        WaitlistEntry.objects.update(told_at=None)
        line.catch_up()
        assert how(*offers) == "offered waiting waiting"
    first.refresh_from_db()
    assert (first.offers_made, first.priority, first.told_at) == (1, 5, None)
    assert first.offer_expires_at > timezone.now()
    WaitlistEntry.objects.filter(pk=first.pk).update(told_at=timezone.now())
    expire(first)
    line.catch_up()
    first.refresh_from_db()
    assert (how(*offers), first.offer_expires_at) == ("waiting offered waiting", None)


@pytest.mark.parametrize("status", ["cancelled", "completed"])
def test_no_offer_is_accepted_in_an_event_that_is_off(offers, status):
    first, *_others = offers
    Event.objects.update(status=status)
    with pytest.raises(standing.EventNotOpen):
        accept(first)
    with pytest.raises(standing.EventNotOpen):
        reserve(first.session, first.attendee)
    assert how(*offers) == "offered waiting waiting"


def test_who_let_it_pass_and_asks_again_before_the_sweep_is_at_the_end(offers):
    first, second, third = offers
    expire(first)
    seat = reserve(first.session, first.attendee, waitlist=True)
    assert (seat.status, seat.position, how(*offers)) == ("waiting", 2, "waiting offered waiting")
    expire(second)
    seat = join(first.session, second.attendee)
    assert (seat.status, seat.position, how(*offers)) == ("waiting", 2, "waiting waiting offered")


def test_who_let_it_pass_and_asks_again_where_nobody_else_waits_has_the_seat(session, me):
    join(session, me)
    expire(WaitlistEntry.objects.get())
    assert reserve(session, me).status == "confirmed"
    assert counts(session) == (2, 1, 0)


def test_who_let_all_pass_and_asks_again_is_a_newcomer(session, me):
    join(session, me)
    WaitlistEntry.objects.update(offers_made=3)
    expire(WaitlistEntry.objects.get())
    assert (reserve(session, me).status, how(*WaitlistEntry.objects.all())) == ("confirmed", "expired")


def test_accepted_then_given_back_it_goes_to_the_next_and_the_offer_is_dead(offers):
    first, *_others = offers
    accept(first)
    cancel(first.session, first.attendee)
    assert how(*offers) == "accepted offered waiting"
    with pytest.raises(line.NoOffer):
        accept(first)
    assert SessionRsvp.objects.get(attendee=first.attendee).status == "cancelled"
    assert counts(first.session) == (3, 3, 1)


def test_confirmed_at_once_where_the_event_says_so(full):
    set_up(full, waitlist_mode="auto_confirm")
    first, second = waiting(full, 2, 1)
    free(full, 2)
    assert (line.catch_up(), how(first, second)) == (1, "accepted waiting")
    rsvp = SessionRsvp.objects.get(attendee=first.attendee)
    assert (rsvp.status, rsvp.seats, rsvp.source, counts(full)) == ("confirmed", 2, "waitlist", (4, 4, 1))


def test_draft_events_hand_on_and_cancelled_ones_do_not(full):
    [entry] = waiting(full, 1)
    free(full)
    Event.objects.update(status="cancelled")
    assert (line.catch_up(), how(entry)) == (0, "waiting")
    Event.objects.update(status="draft")
    assert (line.catch_up(), how(entry)) == (1, "offered")


# -- The two switches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_event", [True, False])
def test_a_line_closed_to_newcomers_serves_who_is_in_it(full, me, by_event):
    [entry] = waiting(full, 1)
    if by_event:
        set_up(full, line_open=False)
    else:
        assert line.switch(session_id=full.pk, actor=None, is_open=False).changed is True
    refused(line.LineClosed, partial(join, full, me))
    refused(line.LineClosed, partial(reserve, full, me, waitlist=True))
    assert join(full, entry.attendee).entry_id == entry.pk
    free(full)
    assert (line.catch_up(), how(entry)) == (1, "offered")


@pytest.mark.parametrize("by_event", [True, False])
def test_with_offers_stopped_those_made_stay_good_and_nobody_gets_the_rest(offers, me, by_event):
    first, second, third = offers
    session = first.session
    if by_event:
        set_up(session, offers_on=False)
    else:
        line.switch(session_id=session.pk, actor=None, offers_on=False)
    free(session)
    assert line.catch_up() == 0
    assert accept(first).status == "confirmed"
    refused(standing.SessionFull, partial(reserve, session, me))
    if by_event:
        set_up(session, offers_on=True)
        settings = RsvpSettings.objects.get()
        given = sessions.settings_changed(row=settings, changed=frozenset({"offers_on"}), actor=None)
        assert given == 1
    else:
        assert line.switch(session_id=session.pk, actor=None, offers_on=True).changed is True
    assert how(*offers) == "accepted offered waiting"


def test_a_switch_thrown_again_is_no_change(full, organizer):
    switch = partial(line.switch, session_id=full.pk, actor=organizer, is_open=False)
    assert (switch().changed, switch().changed) == (True, False)
    row = SessionLine.objects.get()
    assert (row.is_open, row.offers_on, row.history.count()) == (False, True, 1)
    assert row.history.get().history_user == organizer
    refused(NotFound, partial(line.switch, session_id=organizer.pk, actor=organizer, is_open=True))


# -- What organisers do -------------------------------------------------------------------------------------


def steps(entry):
    return list(WaitlistLog.objects.filter(entry=entry).order_by("pk").values_list("from_status", "to_status", "actor"))


def test_an_organiser_offers_a_free_seat_past_the_order(full, organizer):
    party, second = waiting(full, 2, 1)
    offer = partial(line.offer, entry_id=second.pk, actor=organizer)
    refused(standing.SessionFull, offer)
    free(full)
    assert (offer().changed, offer().changed, how(party, second)) == (True, False, "waiting offered")
    assert steps(second) == [(None, "waiting", None), ("waiting", "offered", organizer.pk)]
    decline(second)
    refused(line.NoLongerWaiting, offer, "This place in line is over: declined.")
    refused(NotFound, partial(line.offer, entry_id=organizer.pk, actor=organizer))


def test_an_organiser_skips_somebody(offers, organizer):
    first, second, third = offers
    line.prioritize(entry_id=first.pk, actor=organizer, priority=3)
    assert line.skip(entry_id=first.pk, actor=organizer).row.status == "waiting"
    assert (how(*offers), in_line(first.session)) == ("waiting offered waiting", [third, first])
    line.skip(entry_id=third.pk, actor=organizer)
    assert in_line(first.session) == [first, third]
    decline(second)
    refused(line.NoLongerWaiting, partial(line.skip, entry_id=second.pk, actor=organizer))
    assert ("offered", "waiting", organizer.pk) in steps(first)


def test_skipping_the_only_one_in_line_offers_it_anew(full):
    [entry] = waiting(full, 1)
    free(full)
    line.catch_up()
    outcome = line.skip(entry_id=entry.pk, actor=None)
    assert (outcome.row.status, outcome.row.offers_made, counts(full)) == ("offered", 2, (3, 3, 0))


def test_an_organiser_takes_somebody_out_of_the_line(offers, organizer):
    first, *_others = offers
    out = partial(line.remove, entry_id=first.pk, actor=organizer)
    outcome = out()
    assert (outcome.changed, outcome.row.end_reason, how(*offers)) == (True, "organizer", "left offered waiting")
    assert out().changed is False
    assert join(first.session, first.attendee).position == 2


def test_an_organiser_puts_somebody_first(full, organizer):
    party, _second, third = waiting(full, 2, 1, 1)
    free(full)
    line.catch_up()
    outcome = line.prioritize(entry_id=third.pk, actor=organizer, priority=1)
    assert (outcome.changed, outcome.row.status) == (True, "offered")  # what the party waits for is enough for one
    assert line.prioritize(entry_id=third.pk, actor=organizer, priority=1).changed is False
    accept(third)
    refused(line.NoLongerWaiting, partial(line.prioritize, entry_id=third.pk, actor=organizer, priority=2))


def add(session, attendee, organizer, **how):
    return sessions.add_person(session_id=session.pk, attendee_id=attendee.pk, actor=organizer, **how)


def test_a_person_added_to_a_full_session_raises_its_capacity_with_the_reason(full, me, organizer):
    history = Session.history.filter(id=full.pk).count()
    outcome = add(full, me, organizer, seats=2, reason="Speaker's family")
    assert (outcome.row.source, outcome.row.seats, counts(full)) == ("organizer", 2, (4, 4, 0))
    latest = Session.history.filter(id=full.pk).latest()
    assert (latest.capacity, latest.history_user) == (4, organizer)
    assert latest.history_change_reason == f"for {me}: Speaker's family"
    assert Session.history.filter(id=full.pk).count() == history + 1
    refused(line.HasSeat, partial(add, full, me, organizer), f"{me} has a seat in this session already.")


def test_a_person_added_takes_what_is_free_where_nobody_waits(session, me, organizer):
    add(session, me, organizer)
    assert counts(session) == (2, 1, 0)
    [party] = waiting(session, 2)
    add(session, AttendeeFactory(event=session.event), organizer)
    assert (counts(session), how(party)) == ((3, 2, 1), "waiting")


def test_a_person_added_out_of_the_line(offers, organizer):
    first, second, third = offers
    session = first.session
    add(session, first.attendee, organizer)
    assert (counts(session), how(*offers)) == ((3, 3, 2), "accepted waiting waiting")
    add(session, third.attendee, organizer)
    assert (counts(session), how(*offers)) == ((4, 4, 1), "accepted waiting accepted")
    assert steps(third)[-1] == ("waiting", "accepted", organizer.pk)


def test_a_person_added_comes_back(session, me, organizer):
    first = reserve(session, me)
    cancel(session, me)
    Session.objects.update(starts_at=timezone.now())
    assert add(session, me, organizer).row.pk == first.rsvp_id


def test_nobody_is_added_who_can_not_be(session, me, organizer):
    refused(standing.TooManySeats, partial(add, session, me, organizer, seats=4))
    refused(standing.NotAttending, partial(add, session, AttendeeFactory(), organizer))
    refused(standing.NotAttending, partial(add, session, AttendeeFactory(event=session.event, status="removed"),
                                           organizer))  # fmt: skip
    refused(NotFound, partial(add, session, session, organizer))
    Session.objects.update(status="cancelled")
    refused(standing.SessionCancelled, partial(add, session, me, organizer))


def test_more_room_lets_people_in_at_once(full, organizer):
    entries = waiting(full, 1, 1)
    free(full)
    full.refresh_from_db()
    told = full.rsvps.count() + full.waitlist_length
    assert sessions.session_changed(row=full, changed=frozenset({"title"}), actor=organizer) == (0, told)
    assert sessions.session_changed(row=full, changed=frozenset({"capacity"}), actor=organizer) == (1, 0)
    assert how(*entries) == "offered waiting"


def test_cancelling_a_session_ends_seats_and_line(offers, organizer):
    session = offers[0].session
    cancel_it = partial(sessions.cancel, session_id=session.pk, actor=organizer, reason="Speaker is ill")
    outcome = cancel_it()
    assert (outcome.changed, outcome.row.status, counts(session)) == (True, "cancelled", (3, 0, 0))
    assert set(SessionRsvp.objects.values_list("status", "end_reason")) == {("cancelled", "session_cancelled")}
    assert set(WaitlistEntry.objects.values_list("status", "end_reason")) == {("left", "session_cancelled")}
    assert Session.history.latest().history_change_reason == "Speaker is ill"
    assert (cancel_it().changed, line.catch_up()) == (False, 0)
    refused(line.NoOffer, partial(accept, offers[0]))
    assert sessions.restore(session_id=session.pk, actor=organizer).changed is True
    assert reserve(session, offers[0].attendee).status == "confirmed"


def test_who_is_no_attendee_any_more_loses_all_and_the_sweep_hands_it_on(offers, me):
    first, second, third = offers
    holder = SessionRsvp.objects.first()
    Attendee.objects.filter(pk__in=[first.attendee_id, holder.attendee_id]).update(status="removed")
    assert (how(*offers), counts(first.session)) == ("left waiting waiting", (3, 1, 2))
    refused(standing.SessionFull, partial(reserve, first.session, me))
    refused(standing.NotAttending, partial(accept, first))
    assert (line.catch_up(), how(*offers)) == (2, "left offered offered")


def test_the_sweep_does_nothing_twice(offers):
    before = dict(everything())
    assert (line.catch_up(), line.catch_up()) == (0, 0)
    assert dict(everything()) == before


def test_one_sweep_for_many_sessions(django_assert_num_queries):
    event = EventFactory()
    entries = [WaitlistEntryFactory(session=SessionFactory(event=event, capacity=1)) for _session in range(12)]
    with django_assert_num_queries(7):
        assert line.catch_up() == 12
    assert how(*entries) == " ".join(["offered"] * 12)


# -- How many statements ------------------------------------------------------------------------------------


def test_a_seat_takes_two_statements(session, me, django_assert_num_queries):
    person = me.user_profile
    with django_assert_num_queries(2):
        reserving.reserve(session_id=session.pk, person=person)
    with django_assert_num_queries(1):
        reserving.reserve(session_id=session.pk, person=person)


def test_a_refusal_takes_one_statement(full, me, django_assert_num_queries):
    person = me.user_profile
    with django_assert_num_queries(1), pytest.raises(standing.SessionFull):
        reserving.reserve(session_id=full.pk, person=person)


# -- Agenda and schedule ------------------------------------------------------------------------------------

BERLIN = "Europe/Berlin"


@pytest.fixture
def night():
    """Around the night in which Berlin's clocks go back an hour: 24 October 2099, at 22:00 UTC it's the 25th."""
    event = EventFactory(timezone=BERLIN, starts_at=datetime(2099, 10, 24, 8, tzinfo=UTC))
    hours = {"last": (24, 21, 59), "midnight": (24, 22, 0), "second two": (25, 1, 30), "evening": (25, 22, 30),
             "next": (25, 23, 0)}  # fmt: skip
    return event, {
        title: SessionFactory(event=event, title=title, starts_at=datetime(2099, 10, *at, tzinfo=UTC))
        for title, at in hours.items()
    }


def titles(found):
    return [one.title for one in found]


def test_a_day_of_the_agenda_is_the_event_s(night):
    event, _slots = night
    assert titles(agenda.of_event(event=event, day=date(2099, 10, 24))) == ["last"]
    assert titles(agenda.of_event(event=event, day=date(2099, 10, 25))) == ["midnight", "second two", "evening"]
    assert titles(agenda.of_event(event=event, day=date(2099, 10, 26))) == ["next"]
    assert len(agenda.of_event(event=event)) == 5


def test_the_agenda_says_how_a_person_stands(full, me, django_assert_num_queries):
    event, person = full.event, me.user_profile
    room = RoomFactory(event=event, name="Aula")
    mine, free_one = SessionFactory(event=event, room=room, track="Web"), SessionFactory(event=event, track="Web")
    seat, place = reserve(mine, me), join(full, me)
    with django_assert_num_queries(6):
        found = {slot.id: slot for slot in agenda.of_event(event=event, person=person)}
    assert found[mine.pk].mine == agenda.Mine(mine.pk, "confirmed", 1, rsvp_id=seat.rsvp_id)
    assert found[full.pk].mine == agenda.Mine(full.pk, "waiting", 1, entry_id=place.entry_id, position=1)
    assert (found[free_one.pk].mine, found[full.pk].is_full, found[free_one.pk].is_full) == (None, True, False)
    assert [one.id for one in agenda.of_event(event=event, room=room.pk)] == [mine.pk]
    assert {one.id for one in agenda.of_event(event=event, track="Web")} == {mine.pk, free_one.pk}
    assert found[mine.pk].room == "Aula"


def test_my_schedule_is_grouped_by_the_days_of_each_event(night):
    event, slots = night
    person = UserProfileFactory()
    me = AttendeeFactory(event=event, user_profile=person)
    tokyo = EventFactory(timezone="Asia/Tokyo", starts_at=datetime(2099, 10, 24, 8, tzinfo=UTC))
    AttendeeFactory(event=tokyo, user_profile=person)
    early = SessionFactory(event=tokyo, title="early", starts_at=datetime(2099, 10, 24, 21, 30, tzinfo=UTC))
    for session in (*slots.values(), early):
        reserving.reserve(session_id=session.pk, person=person)
    days = [(one.day.day, one.timezone, titles(one.slots)) for one in agenda.schedule(person)]
    assert days == [
        (24, BERLIN, ["last"]),
        (25, BERLIN, ["midnight", "second two", "evening"]),
        (25, "Asia/Tokyo", ["early"]),
        (26, BERLIN, ["next"]),
    ]
    assert [titles(one.slots) for one in agenda.schedule(person, event=tokyo)] == [["early"]]
    Attendee.objects.filter(pk=me.pk).update(status="removed")
    assert [titles(one.slots) for one in agenda.schedule(person)] == [["early"]]


def test_my_schedule_says_what_overlaps_what(night):
    event, slots = night
    me = AttendeeFactory(event=event)
    last, midnight = slots["last"], slots["midnight"]
    Session.objects.filter(pk=midnight.pk).update(ends_at=midnight.starts_at + timedelta(hours=5))
    touching = SessionFactory(event=event, starts_at=midnight.starts_at + timedelta(hours=5))
    for session in (last, midnight, slots["second two"], touching):
        reserve(session, me)
    full = SessionFactory(event=event, capacity=0, starts_at=midnight.starts_at)
    join(full, me)
    [*days] = agenda.schedule(me.user_profile)
    found = {slot.id: slot.conflicts for day in days for slot in day.slots}
    assert found == {
        last.pk: [midnight.pk],
        midnight.pk: [last.pk, slots["second two"].pk],
        slots["second two"].pk: [midnight.pk],
        touching.pk: [],
        full.pk: [],
    }


def test_a_cancelled_session_stays_on_the_schedule_of_who_had_a_seat(session, me, organizer):
    reserve(session, me)
    sessions.cancel(session_id=session.pk, actor=organizer)
    [[slot]] = [day.slots for day in agenda.schedule(me.user_profile)]
    assert (slot.status, slot.mine.status, slot.mine.seats) == ("cancelled", "cancelled", 1)
    assert agenda.schedule(AttendeeFactory(event=session.event).user_profile) == []
