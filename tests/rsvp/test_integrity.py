"""What RSVP promises, with faults planted past the triggers: found, each by its own check, and mended."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config import integrity
from messaging.models import MessageDelivery
from rsvp.models import RsvpSettings, SessionChange, SessionLine, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving
from tests.factories import EventFactory, SessionFactory, SessionRsvpFactory, WaitlistEntryFactory

pytestmark = pytest.mark.django_db

NAMES = [
    "session_seats", "session_capacity", "rsvps", "waitlist", "left_waiting", "untold_offers", "untold_changes",
]  # fmt: skip
LONG_AGO = timedelta(minutes=11)


def load(sql, *params):
    """Writes as a restore does: with every trigger off."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, params)
        cursor.execute("SET LOCAL session_replication_role = origin")


def found() -> dict:
    """What isn't healthy."""
    findings = integrity.run(NAMES)
    return {one.invariant.name: (one.level, one.violations) for one in findings if one.level != "healthy"}


def violating(name, **narrowed):
    [invariant] = integrity.named([name])
    return list(invariant.rows(**narrowed))


def mended(name) -> int:
    return sum(mended for _tried, mended in integrity.repairs()[name].mend())


def long_ago(*rows):
    """Nothing has happened to these rows for a while."""
    for row in rows:
        load(f"UPDATE {row._meta.db_table} SET updated_at = %s WHERE id = %s", timezone.now() - LONG_AGO, row.pk)


@pytest.fixture
def session(event):
    """Full, with a line of two, the first of whom has an offer; nothing is wrong."""
    session = SessionFactory(event=event, capacity=3)
    SessionRsvpFactory(session=session, attendee__plus_ones=1, seats=2)
    giver = SessionRsvpFactory(session=session)
    WaitlistEntryFactory.create_batch(2, session=session)
    reserving.cancel(session_id=session.pk, person=giver.attendee.user_profile)
    WaitlistEntry.objects.update(told_at=timezone.now())
    session.refresh_from_db()
    assert (session.seats_taken, session.waitlist_length) == (3, 1)
    return session


def test_all_is_well(session):
    assert [one.name for one in integrity.named(NAMES)] == NAMES
    assert found() == {}


@pytest.mark.parametrize("change", ["seats_taken = 2", "waitlist_length = 0"])
def test_miscounted_sessions_are_found_and_counted_anew(session, change):
    load(f"UPDATE event_sessions SET {change} WHERE id = %s", session.pk)
    assert violating("session_seats") == [session]
    assert violating("session_seats", event_id=EventFactory().pk) == []
    assert found() == {"session_seats": ("critical", 1)}
    assert mended("session_seats") == 1
    session.refresh_from_db()
    assert (session.seats_taken, session.waitlist_length) == (3, 1)
    assert found() == {}


def test_more_places_than_there_are_is_found(session):
    other = SessionRsvpFactory(session__event=session.event).session
    load("UPDATE session_rsvps SET seats = 40 WHERE session_id = %s", session.pk)
    load("UPDATE event_sessions SET seats_taken = 0 WHERE id = %s", other.pk)
    assert violating("session_capacity") == [session]
    assert found() == {"session_capacity": ("critical", 1), "session_seats": ("critical", 2)}
    assert "session_capacity" not in integrity.repairs()
    # What can't be counted rightly keeps nothing else from being so.
    assert mended("session_seats") == 1
    assert (violating("session_seats"), violating("session_capacity")) == ([session], [session])


def test_seats_of_nobody_are_found_and_given_back(session, event):
    gone, cancelled = SessionFactory(event=event), SessionFactory(event=event)
    removed, other = SessionRsvpFactory(session=gone), SessionRsvpFactory(session=cancelled)
    load("UPDATE event_attendees SET status = 'removed' WHERE id = %s", removed.attendee_id)
    load("UPDATE event_sessions SET status = 'cancelled' WHERE id = %s", cancelled.pk)
    assert {one.pk for one in violating("rsvps")} == {removed.pk, other.pk}
    assert found() == {"rsvps": ("critical", 2)}
    assert mended("rsvps") == 2
    assert set(SessionRsvp.objects.filter(pk__in=[removed.pk, other.pk]).values_list("pk", "status", "end_reason")) == {
        (removed.pk, "cancelled", "removed"), (other.pk, "cancelled", "session_cancelled"),
    }  # fmt: skip
    assert found() == {}


def test_places_in_line_of_nobody_are_found_and_closed(session, event):
    waits = WaitlistEntry.objects.get(status="waiting")
    load("UPDATE event_attendees SET status = 'removed' WHERE id = %s", waits.attendee_id)
    inside = WaitlistEntryFactory(session=SessionFactory(event=event, capacity=1))
    load(
        "INSERT INTO session_rsvps (id, event_id, session_id, attendee_id, status, seats, source)"
        " VALUES (gen_random_uuid(), %s, %s, %s, 'confirmed', 1, 'own')",
        event.pk, inside.session_id, inside.attendee_id,
    )  # fmt: skip
    load("UPDATE event_sessions SET seats_taken = 1 WHERE id = %s", inside.session_id)
    assert {one.pk for one in violating("waitlist")} == {waits.pk, inside.pk}
    assert found() == {"waitlist": ("critical", 2)}
    assert mended("waitlist") == 2
    assert set(WaitlistEntry.objects.filter(pk__in=[waits.pk, inside.pk]).values_list("status", "end_reason")) == {
        ("left", "removed")
    }
    assert found() == {}


def test_an_offer_that_passed_long_ago_is_found_and_goes_on(session):
    first, second = WaitlistEntry.objects.order_by("pk")
    recently = timezone.now() - timedelta(minutes=9)
    WaitlistEntry.objects.filter(pk=first.pk).update(offer_expires_at=recently, told_at=recently)
    assert violating("left_waiting") == []
    WaitlistEntry.objects.filter(pk=first.pk).update(offer_expires_at=timezone.now() - LONG_AGO)
    assert violating("left_waiting") == [session]
    assert found() == {"left_waiting": ("warning", 1)}
    assert mended("left_waiting") == 1
    assert dict(WaitlistEntry.objects.values_list("pk", "status")) == {first.pk: "waiting", second.pk: "offered"}
    assert found() == {}


@pytest.fixture
def lonely(event):
    """``lonely(party, …)``: a session with 2 seats free for as long as these parties have waited, which is long."""

    def made(*parties, **fields):
        session = SessionFactory(event=event, **{"capacity": 2} | fields)
        for party in parties:
            waits = WaitlistEntryFactory(session=session, party_size=party, attendee__plus_ones=3)
            WaitlistEntry.objects.filter(pk=waits.pk).update(queued_at=timezone.now() - LONG_AGO)
        long_ago(session)
        return session

    return made


@pytest.mark.parametrize(
    ("parties", "left"),
    [((1,), True), ((2,), True), ((), False), ((3,), False), ((3, 1), True)],
    ids=["one", "two", "nobody", "too many ever", "too many ever, then one"],
)
def test_seats_that_are_free_while_somebody_waits_are_found(lonely, parties, left):
    session = lonely(*parties)
    assert violating("left_waiting") == [session] * left


def test_a_party_that_is_waited_for_is_no_fault_unless_gaps_are_filled(lonely, event):
    session = lonely(2, 1)
    SessionRsvpFactory(session=session)
    long_ago(session)
    assert violating("left_waiting") == []
    RsvpSettings.objects.create(event=event, fill_gaps=True)
    assert violating("left_waiting") == []  # since a moment ago
    load("UPDATE event_rsvp_settings SET updated_at = %s", timezone.now() - LONG_AGO)
    assert violating("left_waiting") == [session]
    assert mended("left_waiting") == 1
    assert sorted(WaitlistEntry.objects.values_list("party_size", "status")) == [(1, "offered"), (2, "waiting")]


def test_a_line_whose_offers_are_stopped_is_no_fault(lonely, event):
    stopped, on = lonely(1), lonely(1, capacity=None)
    SessionLine.objects.create(session=stopped, offers_on=False)
    assert violating("left_waiting") == [on]
    RsvpSettings.objects.create(event=event, offers_on=False)
    assert violating("left_waiting") == []


def test_a_session_that_moved_a_moment_ago_or_has_begun_is_no_fault(lonely):
    fresh = lonely(1)
    fresh.save(update_fields=["abstract"])
    lonely(1, starts_at=timezone.now() - timedelta(minutes=1))
    assert violating("left_waiting") == []
    assert found() == {}


def test_an_offer_that_nobody_was_told_of_is_found_and_told(session):
    offer = WaitlistEntry.objects.get(status="offered")
    WaitlistEntry.objects.filter(pk=offer.pk).update(told_at=None)
    assert violating("untold_offers") == []
    long_ago(offer)
    assert violating("untold_offers") == [offer]
    assert found() == {"untold_offers": ("warning", 1)}
    assert mended("untold_offers") == 1
    assert MessageDelivery.objects.get(channel="in_app").user_id == offer.attendee.user_profile_id
    assert found() == {}


def test_a_change_that_nobody_was_told_of_is_found_and_told(session):
    session.title = "Another"
    session.save(update_fields=["title"])
    change = SessionChange.objects.get()
    assert violating("untold_changes") == []
    SessionChange.objects.update(created_at=timezone.now() - timedelta(minutes=13))
    assert violating("untold_changes") == [change]
    assert found() == {"untold_changes": ("warning", 1)}
    assert mended("untold_changes") == 1
    assert MessageDelivery.objects.filter(channel="in_app").count() == 3
    assert found() == {}


def test_repairs_leave_alone_what_is_right(session):
    rows = {
        "session_seats": [session.pk],
        "rsvps": list(SessionRsvp.objects.values_list("pk", flat=True)),
        "waitlist": list(WaitlistEntry.objects.values_list("pk", flat=True)),
    }
    before = [sorted(model.objects.values_list("pk", "status")) for model in (SessionRsvp, WaitlistEntry)]
    for name, keys in rows.items():
        integrity.repairs()[name].repair(rows=keys)
    assert [sorted(model.objects.values_list("pk", "status")) for model in (SessionRsvp, WaitlistEntry)] == before
    assert line.settle(session_id=session.pk) == 0
