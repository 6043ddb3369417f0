"""The agenda, a person's own schedule, and what they thought of it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from attendance.models import Attendee
from events.models import Session
from rsvp.models import SessionFeedback, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    SpeakerFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
    member,
)

pytestmark = pytest.mark.django_db
MY_SCHEDULE = "/api/v1/me/schedule/"
NO_SUCH = "There is no such thing, or you may not see it."


def agenda_url(event):
    return f"/api/v1/events/{event.pk}/sessions/"


def schedule_url(event):
    return f"/api/v1/events/{event.pk}/my-schedule/"


def session_url(session):
    return f"/api/v1/sessions/{session.pk}/"


def feedback_url(session):
    return f"/api/v1/sessions/{session.pk}/feedback/"


def when(moment):
    return moment.isoformat().replace("+00:00", "Z")


def answered(response, status=200):
    assert response.status_code == status, response.content
    return response.json()


def refused(response, status, code, detail, attr=None):
    kind = "validation_error" if attr else "client_error"
    assert answered(response, status) == {
        "type": kind,
        "errors": [{"code": code, "detail": detail, "attr": attr}],
    }


def titles(answer):
    return [one["title"] for one in answer["sessions"]]


@pytest.fixture
def attendee(event):
    return AttendeeFactory(event=event, plus_ones=2)


@pytest.fixture
def api(attendee, as_person):
    return as_person(attendee.user_profile)


# -- The agenda ------------------------------------------------------------------------------------


def test_agenda_of_seats_lines_and_offers(event, attendee, api):
    hall = RoomFactory(event=event, name="Hall")
    keynote = SessionFactory(
        event=event,
        room=hall,
        title="Keynote",
        abstract="Of all.",
        session_type="talk",
        track="Main",
        language="en",
        url="https://example.org/keynote",
        capacity=50,
        rsvp_opens_at=event.starts_at - timedelta(days=300),
        rsvp_closes_at=event.starts_at - timedelta(hours=1),
    )
    keynote.speakers.add(SpeakerFactory(event=event, name="Zoe"), SpeakerFactory(event=event, name="Ada"))
    off = SessionFactory(event=event, title="Off", status="cancelled", starts_at=event.starts_at + timedelta(hours=1))
    full = SessionFactory(event=event, title="Full", capacity=1, starts_at=event.starts_at + timedelta(hours=2))
    offer = SessionFactory(event=event, title="Offer", capacity=2, starts_at=event.starts_at + timedelta(hours=3))
    rsvp = reserving.reserve(session_id=keynote.pk, person=attendee.user_profile, seats=2)
    SessionRsvpFactory(session=full)
    WaitlistEntryFactory(session=full)
    waiting = line.join(session_id=full.pk, person=attendee.user_profile)
    offered = line.join(session_id=offer.pk, person=attendee.user_profile, party_size=2)
    for one in (keynote, off, full, offer):
        one.refresh_from_db()
    plain = {"abstract": "", "session_type": "", "track": "", "language": "", "url": "", "room": None, "speakers": []}
    nobody = {"status": "scheduled", "rsvp_opens_at": None, "rsvp_closes_at": None}
    no_line = {"waitlist_id": None, "position": None, "offer_expires_at": None}

    def times(session):
        return {
            "id": str(session.pk),
            "event_id": event.pk,
            "starts_at": when(session.starts_at),
            "ends_at": when(session.ends_at),
            "updated_at": when(session.updated_at),
        }

    shown = {
        **times(keynote),
        "title": "Keynote",
        "abstract": "Of all.",
        "session_type": "talk",
        "track": "Main",
        "language": "en",
        "url": "https://example.org/keynote",
        "room": {"id": hall.pk, "name": "Hall"},
        "speakers": ["Ada", "Zoe"],
        "status": "scheduled",
        "capacity": 50,
        "seats_taken": 2,
        "waitlist_length": 0,
        "rsvp_opens_at": when(keynote.rsvp_opens_at),
        "rsvp_closes_at": when(keynote.rsvp_closes_at),
        "my_rsvp": {"status": "confirmed", "seats": 2, "rsvp_id": str(rsvp.rsvp_id), **no_line},
    }
    in_line = {
        **plain,
        **nobody,
        **times(full),
        "title": "Full",
        "capacity": 1,
        "seats_taken": 1,
        "waitlist_length": 2,
        "my_rsvp": {
            "status": "waiting",
            "seats": 1,
            "rsvp_id": None,
            "waitlist_id": str(waiting.entry_id),
            "position": 2,
            "offer_expires_at": None,
        },
    }
    assert answered(api.get(agenda_url(event))) == {
        "event_id": event.pk,
        "timezone": "Europe/Berlin",
        "sessions": [
            shown,
            {
                **plain,
                **nobody,
                **times(off),
                "title": "Off",
                "status": "cancelled",
                "capacity": None,
                "seats_taken": 0,
                "waitlist_length": 0,
                "my_rsvp": None,
            },
            in_line,
            {
                **plain,
                **nobody,
                **times(offer),
                "title": "Offer",
                "capacity": 2,
                "seats_taken": 2,
                "waitlist_length": 0,
                "my_rsvp": {
                    "status": "offered",
                    "seats": 2,
                    "rsvp_id": None,
                    "waitlist_id": str(offered.entry_id),
                    "position": None,
                    "offer_expires_at": when(offered.offer_expires_at),
                },
            },
        ],
        "deleted": [],
    }
    assert answered(api.get(session_url(keynote))) == shown
    assert answered(api.get(session_url(full))) == in_line


@pytest.mark.parametrize("many", [1, 3, 50])
def test_agenda_and_schedules_take_as_many_statements_for_any_number(
    event, attendee, api, many, django_assert_num_queries
):
    """Event, sessions, speakers; the person's rows of the room, seats, line, and places in it. A schedule asks
    for zones besides."""
    for n in range(many):
        session = SessionFactory(event=event, capacity=1 + n % 2, room=RoomFactory(event=event))
        session.speakers.add(SpeakerFactory(event=event))
        SessionRsvpFactory(session=session)
        WaitlistEntryFactory(session=session)
        WaitlistEntryFactory(session=session, attendee=attendee)
    SessionRsvpFactory(session=SessionFactory(event=event), attendee=attendee)
    with django_assert_num_queries(7):
        assert len(answered(api.get(agenda_url(event)))["sessions"]) == many + 1
    with django_assert_num_queries(8):
        answered(api.get(agenda_url(event), {"updated_since": "2026-01-01T00:00:00Z"}))
    with django_assert_num_queries(8):
        [day] = answered(api.get(schedule_url(event)))["days"]
        assert [one["position"] for one in day["sessions"]].count(2) == many
    with django_assert_num_queries(7):
        assert answered(api.get(MY_SCHEDULE)) == {"days": [day]}
    with django_assert_num_queries(6):
        answered(api.get(session_url(session)))


def test_agenda_for_whoever_waits_nowhere(event, api, django_assert_num_queries):
    SessionFactory.create_batch(3, event=event)
    with django_assert_num_queries(6):
        answered(api.get(agenda_url(event)))


def test_agenda_of_a_day_a_track_and_a_room(event, api):
    """By the event's clock: in Berlin it is the 2nd of May half an hour before it is in Greenwich."""
    hall, cellar = RoomFactory(event=event, name="Hall"), RoomFactory(event=event, name="Cellar")

    def at(title, *moment, **columns):
        SessionFactory(event=event, title=title, starts_at=datetime(*moment, tzinfo=UTC), **columns)

    at("Last", 2026, 5, 1, 21, 59, track="Main", room=hall)
    at("First", 2026, 5, 1, 22, 0, track="Main ", room=cellar)
    at("Late", 2026, 5, 2, 21, 59, track="Main", room=cellar)
    at("Next", 2026, 5, 2, 22, 0)

    def asked(**query):
        return titles(answered(api.get(agenda_url(event), query)))

    assert asked(day="2026-05-02") == ["First", "Late"]
    assert asked(day="2026-05-04") == []
    assert asked(track="Main") == ["Last", "Late"]
    assert asked(track="Main ") == ["First"]
    assert asked(room=cellar.pk) == ["First", "Late"]
    assert asked(room=cellar.pk, track="Main", day="2026-05-02") == ["Late"]
    assert asked(room=RoomFactory().pk) == []


def test_agenda_for_whoever_keeps_a_copy(event, attendee, api):
    """Seats count as a change; what was cancelled stays, what was deleted is named."""
    SessionFactory(event=event, title="Same")
    taken, off, gone = (SessionFactory(event=event, title=one) for one in ("Taken", "Off", "Gone"))
    answer = api.get(agenda_url(event))
    as_of = datetime.fromisoformat(answer["Turnout-As-Of"])
    assert timezone.now() - timedelta(seconds=12) < as_of < timezone.now() - timedelta(seconds=10)
    assert len(answered(answer)["sessions"]) == 4

    since = when(timezone.now())
    SessionRsvpFactory(session=taken)
    Session.objects.filter(pk=off.pk).update(status="cancelled")
    gone_id = str(gone.pk)
    gone.delete()
    SessionFactory().delete()
    changes = answered(api.get(agenda_url(event), {"updated_since": since}))
    assert [(one["title"], one["status"], one["seats_taken"]) for one in changes["sessions"]] == [
        ("Taken", "scheduled", 1),
        ("Off", "cancelled", 0),
    ]
    assert changes["deleted"] == [gone_id]
    later = when(timezone.now())
    for act in (
        lambda: reserving.reserve(session_id=taken.pk, person=attendee.user_profile),
        lambda: reserving.cancel(session_id=taken.pk, person=attendee.user_profile),
    ):
        act()
        assert titles(answered(api.get(agenda_url(event), {"updated_since": later}))) == ["Taken"]
        later = when(timezone.now())
    assert titles(answered(api.get(agenda_url(event), {"updated_since": later}))) == []


@pytest.mark.parametrize("url", [agenda_url, schedule_url, lambda event: session_url(event.sessions.get())])
def test_what_a_phone_has_is_not_sent_again(event, attendee, api, url):
    session = SessionFactory(event=event, capacity=5)
    first = api.get(url(event))
    etag = first["ETag"]
    assert api.get(url(event), headers={"If-None-Match": etag}).status_code == 304
    reserving.reserve(session_id=session.pk, person=attendee.user_profile)
    again = api.get(url(event), headers={"If-None-Match": etag})
    assert (again.status_code, again["ETag"] == etag) == (200, False)


@pytest.mark.parametrize(
    ("query", "attr", "code", "detail"),
    [
        (
            {"day": "2026-13-40"},
            "day",
            "invalid",
            "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.",
        ),
        (
            {"day": "\0"},
            "day",
            "invalid",
            "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.",
        ),
        ({"day": "9999-12-31"}, "day", "max_value", "Ensure this value is less than or equal to 2200-01-01."),
        ({"day": "0001-01-01"}, "day", "min_value", "Ensure this value is greater than or equal to 1900-01-01."),
        ({"track": "a\0b"}, "track", "null_characters_not_allowed", "Null characters are not allowed."),
        ({"track": "x" * 301}, "track", "max_length", "Ensure this field has no more than 300 characters."),
        ({"room": "abc"}, "room", "invalid", "A valid integer is required."),
        ({"room": "0"}, "room", "min_value", "Ensure this value is greater than or equal to 1."),
        (
            {"room": str(10**30)},
            "room",
            "max_value",
            "Ensure this value is less than or equal to 9223372036854775807.",
        ),
    ],
)
def test_strange_questions(event, api, query, attr, code, detail):
    refused(api.get(agenda_url(event), query), 400, code, detail, attr=attr)


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("yesterday", "invalid"),
        ("0001-01-01T00:00:00+14:00", "overflow"),
        ("9999-12-31T23:59:59-14:00", "overflow"),
    ],
)
def test_strange_moments(event, api, moment, code):
    [error] = answered(api.get(agenda_url(event), {"updated_since": moment}), 400)["errors"]
    assert (error["code"], error["attr"]) == (code, "updated_since")


def test_questions_that_are_left_empty_ask_nothing(event, api):
    SessionFactory(event=event, title="Any")
    query = {"day": "", "track": "", "room": "", "updated_since": ""}
    assert titles(answered(api.get(agenda_url(event), query))) == ["Any"]


def test_days_at_the_ends_of_what_is_sane(event, api):
    for zone in ("Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        event.timezone = zone
        event.save(update_fields=["timezone"])
        for day in ("1900-01-01", "2200-01-01"):
            assert answered(api.get(agenda_url(event), {"day": day}))["sessions"] == []
    for moment in ("2000-01-01T09:00:00+17:00", "2000-01-01T09:00:00-23:59"):
        answered(api.get(agenda_url(event), {"updated_since": moment}))


def test_who_may_see_the_agenda(as_person, client):
    """Whoever may see the event; to others it isn't there."""
    private, draft = EventFactory(visibility="private"), EventFactory(status="draft")
    for event in (private, draft):
        session = SessionFactory(event=event)
        stranger = as_person(UserProfileFactory())
        for url in (agenda_url(event), schedule_url(event), session_url(session)):
            refused(stranger.get(url), 404, "not_found", NO_SUCH)
            assert client.get(url).status_code == 401
            for role in ("viewer", "door"):
                answered(as_person(member(event.organization, role)).get(url))
    stranger = as_person(UserProfileFactory())
    public = SessionFactory(event=EventFactory())
    assert answered(stranger.get(session_url(public)))["my_rsvp"] is None
    assert len(answered(stranger.get(agenda_url(public.event)))["sessions"]) == 1
    assert answered(stranger.get(schedule_url(public.event))) == {"days": []}
    for url in (f"/api/v1/sessions/{uuid4()}/", "/api/v1/sessions/1/", f"/api/v1/events/{10**30}/sessions/"):
        refused(stranger.get(url), 404, "not_found", NO_SUCH)


def test_others_seats_are_not_mine(event, api):
    session = SessionFactory(event=event, capacity=1)
    SessionRsvpFactory(session=session)
    WaitlistEntryFactory(session=session)
    [shown] = answered(api.get(agenda_url(event)))["sessions"]
    assert (shown["seats_taken"], shown["waitlist_length"], shown["my_rsvp"]) == (1, 1, None)
    assert answered(api.get(schedule_url(event))) == {"days": []}


# -- My Schedule -----------------------------------------------------------------------------------


def test_my_schedule_by_day_in_each_event_s_time_zone(attendee, as_person):
    """One event in Berlin, whose clocks change that night, one in Tokyo, where it is the next day already."""
    person = attendee.user_profile
    hall = RoomFactory(event=attendee.event, name="Hall")
    tokyo = EventFactory(timezone="Asia/Tokyo")
    there = AttendeeFactory(event=tokyo, user_profile=person, plus_ones=1)

    def session(event, title, *moment, minutes=60, **columns):
        starts_at = datetime(*moment, tzinfo=UTC)
        return SessionFactory(
            event=event, title=title, starts_at=starts_at, ends_at=starts_at + timedelta(minutes=minutes), **columns
        )

    late = session(attendee.event, "Late", 2027, 3, 27, 22, 30, session_type="party", room=hall)
    early = session(attendee.event, "Early", 2027, 3, 28, 0, 30, capacity=1)
    far = session(tokyo, "Far", 2027, 3, 27, 23, 0, minutes=120)
    off = session(tokyo, "Off", 2027, 3, 27, 14, 0)
    late.speakers.add(SpeakerFactory(event=attendee.event, name="Ada"))
    held = {
        "late": SessionRsvpFactory(session=late, attendee=attendee),
        "far": SessionRsvpFactory(session=far, attendee=there, seats=2),
        "off": SessionRsvpFactory(session=off, attendee=there),
    }
    SessionRsvpFactory(session=early)
    entry = WaitlistEntryFactory(session=early, attendee=attendee)
    Session.objects.filter(pk=off.pk).update(status="cancelled")
    given_up = SessionFactory(event=tokyo)
    SessionRsvpFactory(session=given_up, attendee=there)
    reserving.cancel(session_id=given_up.pk, person=person)

    def entry_of(session, zone, **more):
        return {
            "rsvp_id": None,
            "waitlist_id": None,
            "session_id": str(session.pk),
            "title": session.title,
            "start": when(session.starts_at),
            "end": when(session.ends_at),
            "local_start": session.starts_at.astimezone(ZoneInfo(zone)).isoformat(),
            "local_end": session.ends_at.astimezone(ZoneInfo(zone)).isoformat(),
            "session_type": "",
            "session_status": "scheduled",
            "room": None,
            "speakers": [],
            "rsvp_status": "confirmed",
            "seats": 1,
            "position": None,
            "offer_expires_at": None,
            "conflict": False,
            "conflicts": [],
            **more,
        }

    berlin = {"event_id": attendee.event_id, "timezone": "Europe/Berlin"}
    in_tokyo = {"event_id": tokyo.pk, "timezone": "Asia/Tokyo"}
    of_late = entry_of(
        late,
        "Europe/Berlin",
        rsvp_id=str(held["late"].pk),
        session_type="party",
        room={"id": hall.pk, "name": "Hall"},
        speakers=["Ada"],
        conflict=True,
        conflicts=[str(far.pk)],
    )
    of_far = entry_of(far, "Asia/Tokyo", rsvp_id=str(held["far"].pk), seats=2, conflict=True, conflicts=[str(late.pk)])
    of_off = entry_of(
        off, "Asia/Tokyo", rsvp_id=str(held["off"].pk), rsvp_status="cancelled", session_status="cancelled"
    )
    of_early = entry_of(early, "Europe/Berlin", waitlist_id=str(entry.pk), rsvp_status="waiting", position=1)
    assert (of_late["local_start"], of_early["local_end"]) == (
        "2027-03-27T23:30:00+01:00",
        "2027-03-28T03:30:00+02:00",
    )
    api = as_person(person)
    assert answered(api.get(MY_SCHEDULE)) == {
        "days": [
            {"day": "2027-03-27", **berlin, "sessions": [of_late]},
            {"day": "2027-03-27", **in_tokyo, "sessions": [of_off]},
            {"day": "2027-03-28", **berlin, "sessions": [of_early]},
            {"day": "2027-03-28", **in_tokyo, "sessions": [of_far]},
        ]
    }
    assert answered(api.get(schedule_url(tokyo))) == {
        "days": [
            {"day": "2027-03-27", **in_tokyo, "sessions": [of_off]},
            {"day": "2027-03-28", **in_tokyo, "sessions": [of_far | {"conflict": False, "conflicts": []}]},
        ]
    }


def test_my_schedule_with_an_offer(event, attendee, api):
    session = SessionFactory(event=event, capacity=3)
    line.join(session_id=session.pk, person=attendee.user_profile, party_size=2)
    entry = WaitlistEntry.objects.get()
    [day] = answered(api.get(schedule_url(event)))["days"]
    [shown] = day["sessions"]
    assert [shown[name] for name in ("rsvp_id", "waitlist_id", "rsvp_status", "seats", "position")] == [
        None,
        str(entry.pk),
        "offered",
        2,
        None,
    ]
    assert shown["offer_expires_at"] == when(entry.offer_expires_at)


def test_schedule_of_whoever_left_is_empty(event, attendee, api):
    SessionRsvpFactory(session=SessionFactory(event=event), attendee=attendee)
    assert len(answered(api.get(MY_SCHEDULE))["days"]) == 1
    Attendee.objects.filter(pk=attendee.pk).update(status="removed")
    assert SessionRsvp.objects.get().status == "cancelled"
    assert answered(api.get(MY_SCHEDULE)) == {"days": []}


# -- Feedback --------------------------------------------------------------------------------------


@pytest.fixture
def over(event, attendee):
    """A session that ended an hour ago, and in which the attendee was."""
    session = SessionFactory(event=event, capacity=5)
    SessionRsvpFactory(session=session, attendee=attendee)
    Session.objects.filter(pk=session.pk).update(
        starts_at=timezone.now() - timedelta(hours=2), ends_at=timezone.now() - timedelta(hours=1)
    )
    Attendee.objects.filter(pk=attendee.pk).update(attendance_status="present")
    return session


def test_feedback_then_another_in_its_place(over, attendee, api):
    refused(api.get(feedback_url(over)), 404, "not_found", NO_SUCH)
    answer = answered(api.post(feedback_url(over), {"rating": 4, "comment": "Good."}), 201)
    row = SessionFeedback.objects.get()
    assert answer == {
        "session_id": str(over.pk),
        "rating": 4,
        "comment": "Good.",
        "created_at": when(row.created_at),
        "updated_at": when(row.updated_at),
    }
    assert (row.attendee, row.event) == (attendee, over.event)
    assert answered(api.get(feedback_url(over))) == answer
    again = answered(api.post(feedback_url(over), {"rating": 2}), 200)
    row.refresh_from_db()
    assert again == answer | {"rating": 2, "comment": "", "updated_at": when(row.updated_at)}
    assert answered(api.get(feedback_url(over))) == again
    assert SessionFeedback.objects.count() == 1


def test_feedback_before_the_end(over, api):
    Session.objects.filter(pk=over.pk).update(ends_at=timezone.now() + timedelta(minutes=5))
    words = "Feedback is for sessions that took place and are over."
    refused(api.post(feedback_url(over), {"rating": 5}), 409, "session_not_over", words)
    assert not SessionFeedback.objects.exists()


def test_feedback_of_whoever_was_not_there(over, attendee, api, as_person):
    other = as_person(AttendeeFactory(event=over.event, attendance_status="present").user_profile)
    words = "Feedback is for those who were there."
    refused(other.post(feedback_url(over), {"rating": 1}), 403, "was_not_there", words)
    Attendee.objects.filter(pk=attendee.pk).update(attendance_status="absent")
    refused(api.post(feedback_url(over), {"rating": 1}), 403, "was_not_there", words)
    stranger = as_person(UserProfileFactory())
    words = "Only attendees of the event can do this."
    refused(stranger.post(feedback_url(over), {"rating": 1}), 403, "not_attending", words)
    elsewhere = SessionFactory(event=EventFactory(status="draft"))
    refused(api.post(feedback_url(elsewhere), {"rating": 1}), 404, "not_found", NO_SUCH)
    assert not SessionFeedback.objects.exists()


def test_feedback_of_others_is_not_shown(over, api, as_person):
    answered(api.post(feedback_url(over), {"rating": 5, "comment": "Mine."}), 201)
    other = as_person(AttendeeFactory(event=over.event).user_profile)
    refused(other.get(feedback_url(over)), 404, "not_found", NO_SUCH)
    organizer = as_person(member(over.event.organization, "organizer"))
    refused(organizer.get(feedback_url(over)), 404, "not_found", NO_SUCH)


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "rating", "required"),
        ({"rating": 0}, "rating", "min_value"),
        ({"rating": 6}, "rating", "max_value"),
        ({"rating": "x"}, "rating", "invalid"),
        ({"rating": None}, "rating", "null"),
        ({"rating": 5, "comment": "x" * 5001}, "comment", "max_length"),
        ({"rating": 5, "comment": None}, "comment", "null"),
    ],
)
def test_strange_feedback(over, api, body, attr, code):
    [error] = answered(api.post(feedback_url(over), body), 400)["errors"]
    assert (error["attr"], error["code"]) == (attr, code)
    assert not SessionFeedback.objects.exists()
