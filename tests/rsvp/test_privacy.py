"""Seats, places in line and feedback of a person: handed out; and what stays of them when they are erased."""

import json
from datetime import timedelta

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from attendance.models import Attendee
from config.privacy import without_codes
from events.models import Event, Session
from events.operations import accounts, privacy
from rsvp import integrity
from rsvp.models import CalendarFeed, SessionFeedback, SessionRsvp, WaitlistEntry, WaitlistLog
from rsvp.operations import feedback, feeds, line, sessions
from rsvp.operations import privacy as of_rsvp
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
)

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


@pytest.fixture
def jane():
    return UserProfileFactory(first_name="Jane", last_name="Doe")


@pytest.fixture
def coming(event, jane):
    """A seat that Jane has, one that she waits for behind nobody, and somebody who waits for hers."""
    place = AttendeeFactory(event=event, user_profile=jane)
    mine, full = SessionFactory.create_batch(2, event=event, capacity=1)
    SessionRsvpFactory(session=mine, attendee=place)
    WaitlistEntryFactory(session=mine)
    SessionRsvpFactory(session=full)
    WaitlistEntryFactory(session=full, attendee=place)
    return place


@pytest.fixture
def past(event, jane):
    """A session that Jane was in, at an event that is over, and what she and somebody else thought of it."""
    now = timezone.now()
    event = EventFactory(organization=event.organization, starts_at=now - 5 * HOUR, ends_at=now - HOUR)
    place = AttendeeFactory(event=event, user_profile=jane)
    session = SessionFactory(event=event, capacity=5, ends_at=now - 4 * HOUR)
    for attendee, words in ((place, "I am Jane Doe"), (AttendeeFactory(event=event), "Somebody else")):
        SessionRsvpFactory(session=session, attendee=attendee)
        Attendee.objects.filter(pk=attendee.pk).update(attendance_status="present")
        feedback.give(session_id=session.pk, person=attendee.user_profile, rating=4, comment=words)
    Event.objects.filter(pk=event.pk).update(status="completed")
    return place


def exported(person) -> dict:
    data = json.loads(json.dumps(privacy.export(actor=person), cls=JSONEncoder))
    return {name: data[name] for name in ("session_rsvps", "session_waitlist", "session_feedback", "calendar")}


def test_export_tells_of_seats_places_in_line_feedback_and_calendar(coming, past, jane, event):
    feed = feeds.of(person=jane)
    data = exported(jane)
    assert [(one["event__title"], one["status"], one["seats"], one["source"]) for one in data["session_rsvps"]] == [
        (event.title, "confirmed", 1, "own"),
        (past.event.title, "confirmed", 1, "own"),
    ]
    [place] = data["session_waitlist"]
    assert (place["event__title"], place["status"], place["party_size"]) == (event.title, "waiting", 1)
    assert [(one["from_status"], one["to_status"]) for one in place["steps"]] == [(None, "waiting")]
    assert [(one["rating"], one["comment"]) for one in data["session_feedback"]] == [(4, "I am Jane Doe")]
    assert [one["renewed_at"] for one in data["calendar"]] == [None]
    assert feed.token not in json.dumps(data)


def test_export_tells_nothing_of_others(coming, past):
    nobody = UserProfileFactory()
    assert exported(nobody) == {"session_rsvps": [], "session_waitlist": [], "session_feedback": [], "calendar": []}
    assert "Somebody else" not in json.dumps(exported(past.user_profile))


def test_export_takes_as_many_statements_for_many_rows(coming, jane, django_assert_num_queries):
    for one in range(2):
        WaitlistEntryFactory(session=SessionFactory(event=coming.event, title=f"{one}"), attendee=coming)
    with django_assert_num_queries(2):  # the places, and the steps of all of them
        assert len(of_rsvp.export_places_in_line(jane)) == 3


@committed
def test_erasing_gives_back_what_is_to_come(coming, jane):
    mine = SessionRsvp.objects.get(attendee=coming).session
    full = WaitlistEntry.objects.get(attendee=coming).session
    feed = feeds.of(person=jane)
    privacy.erase(person_id=jane.pk, actor=jane)
    rsvp, place = SessionRsvp.objects.get(attendee=coming), WaitlistEntry.objects.get(attendee=coming)
    assert (rsvp.status, rsvp.end_reason) == ("cancelled", "removed")
    assert (place.status, place.end_reason) == ("left", "removed")
    assert list(WaitlistLog.objects.filter(entry=place).order_by("pk").values_list("to_status", flat=True)) == [
        "waiting",
        "left",
    ]
    assert not CalendarFeed.objects.filter(token=feed.token).exists()
    mine.refresh_from_db()
    full.refresh_from_db()
    assert (mine.seats_taken, mine.waitlist_length, full.seats_taken, full.waitlist_length) == (0, 1, 1, 0)
    assert line.catch_up() == 1
    assert WaitlistEntry.objects.get(session=mine).status == "offered"
    assert not integrity.miscounted().exists()


@committed
def test_erasing_keeps_what_was_and_empties_the_words(past, jane):
    before = list(SessionRsvp.objects.order_by("pk").values())
    privacy.erase(person_id=jane.pk, actor=jane)
    assert list(SessionRsvp.objects.order_by("pk").values()) == before
    assert list(SessionFeedback.objects.order_by("pk").values_list("rating", "comment")) == [
        (4, ""),
        (4, "Somebody else"),
    ]
    assert Session.objects.get(event=past.event).seats_taken == 2
    assert not integrity.miscounted().exists()


@committed
def test_erasing_takes_the_name_out_of_reasons_and_of_the_admins_log(coming, jane, organizer):
    full = WaitlistEntry.objects.get(attendee=coming).session
    other = AttendeeFactory(event=full.event)
    sessions.add_person(session_id=full.pk, attendee_id=coming.pk, actor=organizer, reason="Speaks next door")
    sessions.add_person(session_id=full.pk, attendee_id=other.pk, actor=organizer, reason="A friend")
    next_door = SessionFactory(event=full.event, capacity=0)  # where she has no seat
    sessions.add_person(session_id=next_door.pk, attendee_id=other.pk, actor=organizer, reason="instead of Jane Doe")
    LogEntry.objects.create(
        user=organizer,
        content_type=ContentType.objects.get_for_model(SessionRsvp),
        object_id=str(SessionRsvp.objects.get(session=full, attendee=coming).pk),
        object_repr="Jane Doe · Session",
        action_flag=ADDITION,
    )
    reasons = Session.history.filter(event=full.event_id).exclude(history_change_reason=None).order_by("pk")
    assert list(reasons.values_list("history_change_reason", flat=True)) == [
        "for Jane Doe: Speaks next door",
        f"for {other}: A friend",
        f"for {other}: instead of Jane Doe",
    ]
    accounts.edit_profile(actor=jane, first_name="Janet")  # was known by another name
    privacy.erase(person_id=jane.pk, actor=jane)
    assert list(reasons.values_list("history_change_reason", flat=True)) == [f"for {other}: A friend"]
    assert LogEntry.objects.get().object_repr == "(erased)"
    assert Session.objects.get(pk=full.pk).capacity == 3


def test_no_log_has_the_address_of_a_calendar(jane):
    token = feeds.of(person=jane).token
    entry = {"event": f"Not Found: /api/v1/me/calendar/{token}.ics", "request": f"GET /api/v1/me/calendar/{token}.ics"}
    assert without_codes(None, "info", entry) == {
        "event": "Not Found: /api/v1/me/calendar/…",
        "request": "GET /api/v1/me/calendar/…",
    }
