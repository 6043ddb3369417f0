"""RSVPs, lines and feedback in figures: exact ones, in as many queries for one session as for fifty."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from events.models import Session
from rsvp.models import RsvpSettings, SessionFeedback, SessionRsvp, WaitlistEntry
from rsvp.operations import figures, line, reserving
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
    member,
)

pytestmark = pytest.mark.django_db

BACKEND = "events.sign_in.EmailBackend"


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    return client


def talk(event, title="Talk", **columns):
    return SessionFactory(event=event, title=title, **columns)


def over(session):
    """It ended an hour ago."""
    now = timezone.now()
    times = {"starts_at": now - timedelta(hours=2), "ends_at": now - timedelta(hours=1)}
    type(session.event).objects.filter(pk=session.event_id).update(starts_at=now - timedelta(days=1))
    Session.objects.filter(pk=session.pk).update(**times)
    return session


def rated(session, rating, comment="", **person):
    """Somebody who was there, and says so."""
    attendee = AttendeeFactory(event=session.event, attendance_status="present", **person)
    SessionRsvpFactory(session=session, attendee=attendee)
    return SessionFeedback.objects.create(session=session, attendee=attendee, rating=rating, comment=comment)


def moved(rsvp, **moments):
    """As if it had happened then: what the clock says is the database's."""
    SessionRsvp.objects.filter(pk=rsvp.pk).update(**moments)


# -- Day by day --------------------------------------------------------------------------------------


def test_rsvps_are_counted_by_the_events_days(event):
    """Berlin is two hours ahead of UTC in June; each person counts once a session."""
    session = talk(event)
    for day, hour, minute in ((3, 21, 59), (3, 22, 0)):
        SessionRsvpFactory(session=session, rsvp_at=datetime(2031, 6, day, hour, minute, tzinfo=UTC))
    gone, back = (
        SessionRsvpFactory(session=session, rsvp_at=datetime(2031, 6, 3, 10, tzinfo=UTC)) for _number in range(2)
    )
    moved(gone, status="cancelled", cancelled_at=datetime(2031, 6, 6, 10, tzinfo=UTC))
    moved(back, status="cancelled", cancelled_at=datetime(2031, 6, 4, 10, tzinfo=UTC))
    moved(back, status="confirmed", cancelled_at=None)
    SessionRsvpFactory()
    expected = [
        {"day": date(2031, 6, 3), "made": 3, "cancelled": 0, "total": 3},
        {"day": date(2031, 6, 4), "made": 1, "cancelled": 0, "total": 4},
        {"day": date(2031, 6, 5), "made": 0, "cancelled": 0, "total": 4},
        {"day": date(2031, 6, 6), "made": 0, "cancelled": 1, "total": 3},
    ]
    assert figures.by_day(event) == figures.Days(0, expected)
    assert expected[-1]["total"] == SessionRsvp.objects.confirmed().filter(event=event).count()
    assert figures.by_day(event, days=3) == figures.Days(3, expected[1:])
    assert figures.by_day(event, days=1) == figures.Days(4, expected[3:])
    assert figures.by_day(EventFactory()) == figures.Days(0, [])


# -- Seats -------------------------------------------------------------------------------------------


def test_the_fullest_sessions_come_first(event):
    half, full, wanted, empty = (talk(event, title, capacity=2) for title in ("Half", "Full", "Wanted", "Empty"))
    talk(event, "Open", capacity=None)
    talk(event, "Off", capacity=2, status="cancelled")
    SessionFactory(capacity=1)
    for session in (half, full, full, wanted, wanted):
        SessionRsvpFactory(session=session)
    WaitlistEntryFactory(session=wanted)
    found = figures.fill(event)
    assert [(one["title"], one["seats_taken"], one["capacity"], one["filled"]) for one in found.rows] == [
        ("Wanted", 2, 2, 1.0),
        ("Full", 2, 2, 1.0),
        ("Half", 1, 2, 0.5),
        ("Empty", 0, 2, 0.0),
    ]
    assert (found.sessions, found.limited, found.full) == (5, 4, 2)
    assert (found.seats, found.capacity, found.waiting) == (5, 8, 1)
    shown = figures.fill(event, most=1)
    assert ([one["title"] for one in shown.rows], shown.limited) == (["Wanted"], 4)
    nothing = figures.fill(EventFactory())
    assert nothing == figures.Fill(sessions=0, limited=0, full=0, seats=0, capacity=0, waiting=0, rows=[])


# -- Offers ------------------------------------------------------------------------------------------


def offered(session, **columns):
    """An offer, as the line makes it."""
    entry = WaitlistEntryFactory(session=session, **columns)
    Session.objects.filter(pk=session.pk).update(capacity=Session.objects.get(pk=session.pk).seats_taken + 1)
    line.hand_on([session.pk])
    entry.refresh_from_db()
    assert entry.status == "offered"
    return entry


def test_what_became_of_offers_is_counted_from_the_record(event, organizer):
    event.status = "published"
    event.save()
    session, other = talk(event, "Talk", capacity=0), talk(event, "Other", capacity=0)
    accepted, declined, left, skipped, passed, standing = (offered(session) for _number in range(6))
    line.accept(entry_id=accepted.pk, person=accepted.attendee.user_profile)
    RsvpSettings.objects.create(event=event, offers_on=False)  # what becomes free stays so
    line.decline(entry_id=declined.pk, person=declined.attendee.user_profile)
    line.leave(session_id=session.pk, person=left.attendee.user_profile)
    line.skip(entry_id=skipped.pk, actor=organizer)
    line.prioritize(entry_id=standing.pk, actor=organizer, priority=3)
    early = timezone.now() - timedelta(minutes=1)
    WaitlistEntry.objects.filter(pk=passed.pk).update(offer_expires_at=early, told_at=early)
    line.catch_up()
    RsvpSettings.objects.filter(event=event).update(offers_on=True, waitlist_mode="auto_confirm")
    WaitlistEntryFactory(session=other)
    Session.objects.filter(pk=other.pk).update(capacity=1)
    line.hand_on([other.pk])
    found = figures.offers(event)
    outcomes = {"made": 6, "accepted": 1, "declined": 1, "expired": 1, "withdrawn": 2, "standing": 1}
    assert found.totals == outcomes | {"at_once": 1}
    none = dict.fromkeys(outcomes, 0)
    assert found.rows == [
        {"session": session.pk, "title": "Talk", **outcomes, "at_once": 0},
        {"session": other.pk, "title": "Other", **none, "at_once": 1},
    ]
    assert figures.offers(EventFactory()) == figures.Offers(none | {"at_once": 0}, [])


# -- Feedback ----------------------------------------------------------------------------------------


def test_feedback_is_averaged_in_all_and_by_session(event):
    best, most = (over(talk(event, title, capacity=9)) for title in ("Best", "Most"))
    rated(best, 5)
    for rating in (2, 4, 4):
        rated(most, rating)
    rated(over(SessionFactory(capacity=9)), 1)
    found = figures.feedback(event)
    assert (found.ratings, found.count, found.average) == ({1: 0, 2: 1, 3: 0, 4: 2, 5: 1}, 4, 3.75)
    assert found.rows == [
        {"session": best.pk, "title": "Best", "count": 1, "average": 5.0},
        {"session": most.pk, "title": "Most", "count": 3, "average": pytest.approx(10 / 3)},
    ]
    assert [row["title"] for row in figures.feedback(event, most=1).rows] == ["Most"]
    assert figures.feedback(EventFactory()) == figures.Feedback(dict.fromkeys(range(1, 6), 0), [])


# -- The page ----------------------------------------------------------------------------------------


def page_of(event, name="figures"):
    return reverse(f"admin:rsvp_sessionrsvp_{name}", args=(event.pk,))


def test_the_page_and_its_pictures_say_the_same(desk, event):
    full = talk(event, "Keynote", capacity=1)
    SessionRsvpFactory(session=full)
    rated(over(talk(event, "Past", capacity=3)), 4)
    response = desk.get(page_of(event))
    html = response.content.decode()
    for piece in ("Keynote", "1 / 1", "4.0", "1 / 2", "2 / 4", "50 %", "No offer has been made."):
        assert piece in html, piece
    data = desk.get(page_of(event, "figures_data")).json()
    assert [row["title"] for row in data["fill"]["rows"]] == ["Keynote", "Past"]
    assert data["feedback"]["ratings"] == {"1": 0, "2": 0, "3": 0, "4": 1, "5": 0}
    assert [row["made"] for row in data["rsvps"]["rows"]] == [2]
    assert data["offers"]["totals"]["made"] == 0
    assert page_of(event) in desk.get(reverse("admin:events_event_change", args=(event.pk,))).content.decode()
    assert page_of(event) in desk.get(reverse("admin:attendance_attendee_figures", args=(event.pk,))).content.decode()


def test_figures_are_for_whoever_may_look(client, event):
    for role, status in {"viewer": 200, "owner": 200, "door": 404}.items():
        client.force_login(member(event.organization, role), backend=BACKEND)
        assert client.get(page_of(event)).status_code == status, role
        assert client.get(page_of(event, "figures_data")).status_code == status, role
    client.force_login(member(EventFactory().organization, "owner"), backend=BACKEND)
    assert client.get(page_of(event)).status_code == 404


def test_figures_take_as_many_queries_for_one_session_as_for_many(desk, event):
    def queries():
        with CaptureQueriesContext(connection) as asked:
            assert desk.get(page_of(event)).status_code == 200
        return len(asked)

    def fill(number):
        for _number in range(number):
            session = talk(event, capacity=2)
            SessionRsvpFactory(session=session)
            WaitlistEntryFactory(session=session)
            rated(over(talk(event, capacity=2)), 3)

    fill(1)
    once = queries()
    fill(3)
    assert (queries(), once) == (once, 12)


# -- The overview ------------------------------------------------------------------------------------


def test_the_overview_shows_events_with_lines(desk, event, client):
    def card():
        html = desk.get(reverse("admin:index")).content.decode()
        if 'id="lines-card"' not in html:
            return None
        cells = html.split('id="lines-card"')[1].split("<tbody>")[1].split("</tbody>")[0]
        return [part.split(">")[-1].strip() for part in cells.split("</") if part.split(">")[-1].strip()]

    full, stopped = talk(event, capacity=1), talk(event, capacity=2)
    SessionRsvpFactory(session=full)
    assert card() is None
    WaitlistEntryFactory(session=full)
    WaitlistEntryFactory(session=stopped)
    WaitlistEntryFactory()
    assert card() == [event.title, "1", "2", "1", "0"]
    Session.objects.filter(pk=full.pk).update(capacity=2)
    line.hand_on([full.pk])
    assert card() == [event.title, "1", "1", "1", "1"]
    client.force_login(member(event.organization, "door"), backend=BACKEND)
    assert card() is None


def test_a_seat_given_back_shows_at_once(event):
    session = talk(event, capacity=1)
    event.status = "published"
    event.save()
    attendee = AttendeeFactory(event=event, user_profile=UserProfileFactory())
    reserving.reserve(session_id=session.pk, person=attendee.user_profile)
    assert figures.fill(event).full == 1
    reserving.cancel(session_id=session.pk, person=attendee.user_profile)
    assert (figures.fill(event).full, figures.by_day(event).rows[-1]["total"]) == (0, 0)
