"""Seats, lines and offers over the API: what is answered, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models import F
from django.utils import timezone

from config import api as shared
from config.api import limiter
from events.models import Event, Session
from rsvp.api import pace
from rsvp.models import RsvpSettings, SessionLine, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
)

pytestmark = pytest.mark.django_db
NO_SUCH = "There is no such thing, or you may not see it."
IN_LINE = {"position": None, "waitlist_id": None, "offer_expires_at": None}


def rsvp_url(session):
    return f"/api/v1/sessions/{session.pk}/rsvp/"


def line_url(session):
    return f"/api/v1/sessions/{session.pk}/waitlist/"


def offer_url(entry, answer):
    return f"/api/v1/waitlist/{entry.pk}/{answer}/"


def when(moment):
    return moment.isoformat().replace("+00:00", "Z")


def answered(response, status):
    assert response.status_code == status, response.content
    return response.json()


def refused(response, status, code, detail, attr=None, **details):
    told = {"details": details} if details else {}
    kind = "validation_error" if attr else "client_error"
    error = {"code": code, "detail": detail, "attr": attr, **told}
    assert answered(response, status) == {"type": kind, "errors": [error]}


def counts(session):
    return Session.objects.values_list("capacity", "seats_taken", "waitlist_length").get(pk=session.pk)


@pytest.fixture
def session(event):
    return SessionFactory(event=event, capacity=50, title="Keynote")


@pytest.fixture
def full(event):
    """One seat, taken."""
    session = SessionFactory(event=event, capacity=1, title="Workshop")
    SessionRsvpFactory(session=session)
    return session


@pytest.fixture
def attendee(event):
    return AttendeeFactory(event=event, plus_ones=2)


@pytest.fixture
def api(attendee, as_person):
    return as_person(attendee.user_profile)


# -- A seat ----------------------------------------------------------------------------------------


def test_rsvp_then_again(api, session, attendee):
    answer = answered(api.post(rsvp_url(session)), 201)
    rsvp = SessionRsvp.objects.get()
    assert answer == {
        "session_id": str(session.pk),
        "status": "confirmed",
        "seats": 1,
        "rsvp_id": str(rsvp.pk),
        "rsvp_at": when(rsvp.rsvp_at),
        **IN_LINE,
        "session": {"capacity": 50, "seats_taken": 1, "waitlist_length": 0},
        "conflicts": [],
    }
    assert answered(api.post(rsvp_url(session), {}), 200) == answer
    assert (rsvp.attendee, counts(session)) == (attendee, (50, 1, 0))


def test_rsvp_is_two_statements_for_one_session_and_for_a_crowd(api, session, django_assert_num_queries):
    """How they stand, and one that takes the seat. The token is checked, and the pace kept, without any."""
    with django_assert_num_queries(2):
        answered(api.post(rsvp_url(session)), 201)
    with django_assert_num_queries(1):
        answered(api.post(rsvp_url(session)), 200)
    other = SessionFactory(event=session.event, capacity=50)
    SessionRsvpFactory.create_batch(3, session=other)
    with django_assert_num_queries(2):
        answered(api.post(rsvp_url(other), {"seats": 2}), 201)


def test_rsvp_for_plus_ones_and_for_more_and_fewer(api, session):
    def seats(body, status):
        answer = answered(api.post(rsvp_url(session), body), status)
        return answer["seats"], answer["session"]["seats_taken"]

    assert seats({"seats": 2}, 201) == (2, 2)
    assert seats({}, 200) == (2, 2)
    assert seats({"seats": 3}, 200) == (3, 3)
    assert seats({"seats": 1}, 200) == (1, 1)
    words = "You can have at most 3 seats here: your own, and one for each plus-one."
    refused(api.post(rsvp_url(session), {"seats": 4}), 400, "too_many_seats", words, allowed=3)
    assert counts(session) == (50, 1, 0)


def test_rsvp_in_a_full_session(api, full):
    words = "The session is full: 1 of 1 seats are taken, and 0 are waiting."
    figures = {"capacity": 1, "seats_taken": 1, "waitlist_length": 0}
    refused(api.post(rsvp_url(full)), 409, "session_full", words, **figures)
    WaitlistEntryFactory.create_batch(2, session=full)
    words = "The session is full: 1 of 1 seats are taken, and 2 are waiting."
    refused(api.post(rsvp_url(full)), 409, "session_full", words, **figures | {"waitlist_length": 2})
    assert counts(full) == (1, 1, 2)


def test_rsvp_where_somebody_waits_overtakes_nobody(api, event):
    """The sweep has not been here yet: a seat is free."""
    session = SessionFactory(event=event, capacity=5)
    WaitlistEntryFactory(session=session)
    words = "The session is full: 0 of 5 seats are taken, and 1 are waiting."
    figures = {"capacity": 5, "seats_taken": 0, "waitlist_length": 1}
    refused(api.post(rsvp_url(session)), 409, "session_full", words, **figures)
    assert counts(session) == (5, 0, 1)


def test_rsvp_with_waitlist_joins_the_line_of_a_full_session(api, full, attendee):
    WaitlistEntryFactory(session=full)
    answer = answered(api.post(rsvp_url(full) + "?waitlist=1"), 202)
    entry = WaitlistEntry.objects.get(attendee=attendee)
    assert answer == {
        "session_id": str(full.pk),
        "status": "waiting",
        "seats": 1,
        "rsvp_id": None,
        "rsvp_at": None,
        "waitlist_id": str(entry.pk),
        "position": 2,
        "offer_expires_at": None,
        "session": {"capacity": 1, "seats_taken": 1, "waitlist_length": 2},
        "conflicts": [],
    }
    assert answered(api.post(rsvp_url(full) + "?waitlist=1"), 202) == answer
    assert counts(full) == (1, 1, 2)


def test_rsvp_with_waitlist_takes_a_seat_that_is_free(api, session):
    assert answered(api.post(rsvp_url(session) + "?waitlist=true"), 201)["status"] == "confirmed"


def test_rsvp_that_overlaps_says_so_or_is_refused(api, event, session):
    later = SessionFactory(event=event, title="Panel", starts_at=session.starts_at + timedelta(minutes=30))
    answered(api.post(rsvp_url(session)), 201)
    conflict = {
        "session_id": str(session.pk),
        "title": "Keynote",
        "starts_at": when(session.starts_at),
        "ends_at": when(session.ends_at),
    }
    words = "At this time you have a seat in: Keynote."
    answer = api.post(rsvp_url(later) + "?reject_conflicts=1")
    refused(answer, 409, "schedule_conflict", words, conflicts=[conflict])
    assert counts(later) == (None, 0, 0)
    assert answered(api.post(rsvp_url(later)), 201)["conflicts"] == [conflict]


def test_cancelling_gives_the_seat_to_whoever_waits(api, event, attendee, as_person):
    session = SessionFactory(event=event, capacity=1)
    answered(api.post(rsvp_url(session)), 201)
    entry = WaitlistEntryFactory(session=session)
    answer = answered(api.delete(rsvp_url(session)), 200)
    rsvp = SessionRsvp.objects.get()
    assert answer == {
        "session_id": str(session.pk),
        "status": "cancelled",
        "seats": 1,
        "rsvp_id": str(rsvp.pk),
        "rsvp_at": when(rsvp.rsvp_at),
        **IN_LINE,
        "session": {"capacity": 1, "seats_taken": 1, "waitlist_length": 0},
        "conflicts": [],
    }
    assert answered(api.delete(rsvp_url(session)), 200) == answer
    entry.refresh_from_db()
    assert (entry.status, counts(session)) == ("offered", (1, 1, 0))


def test_cancelling_and_coming_back_keeps_the_first_time(api, session):
    first = answered(api.post(rsvp_url(session)), 201)
    assert answered(api.delete(rsvp_url(session)), 200)["session"]["seats_taken"] == 0
    assert answered(api.post(rsvp_url(session)), 201) == first


def test_cancelling_what_never_was(api, session):
    refused(api.delete(rsvp_url(session)), 404, "not_found", NO_SUCH)


CLOSED = {
    "cancelled": ({"status": "cancelled"}, "session_cancelled", "The session was cancelled."),
    "begun": ({"starts_at": timezone.now() - timedelta(minutes=1)}, "session_started", "The session has begun."),
    "closed": ({"rsvp_closes_at": timezone.now() - timedelta(minutes=1)}, "rsvp_closed", "RSVP is closed."),
}


@pytest.mark.parametrize("url", [rsvp_url, line_url])
@pytest.mark.parametrize("case", CLOSED)
def test_nothing_is_given_out_any_more(api, session, url, case):
    columns, code, words = CLOSED[case]
    Session.objects.filter(pk=session.pk).update(**columns)
    refused(api.post(url(session)), 409, code, words)
    assert counts(session) == (50, 0, 0)


def test_rsvp_before_it_opens_and_at_an_event_that_is_off(api, session):
    opens = timezone.now().replace(microsecond=0) + timedelta(days=1)
    Session.objects.filter(pk=session.pk).update(rsvp_opens_at=opens)
    local = opens.astimezone(session.event.zone).strftime("%a %-d %b %Y, %H:%M %Z")
    refused(api.post(rsvp_url(session)), 409, "rsvp_not_open", f"RSVP opens on {local}.")
    Event.objects.filter(pk=session.event_id).update(status="cancelled")
    refused(api.post(rsvp_url(session)), 409, "event_closed", "The event is cancelled.")


# -- The line --------------------------------------------------------------------------------------


def test_joining_and_leaving_the_line(api, full, attendee):
    WaitlistEntryFactory(session=full)
    answer = answered(api.post(line_url(full), {"party_size": 1}), 202)
    entry = WaitlistEntry.objects.get(attendee=attendee)
    assert answer == {
        "session_id": str(full.pk),
        "status": "waiting",
        "seats": 1,
        "rsvp_id": None,
        "rsvp_at": None,
        "waitlist_id": str(entry.pk),
        "position": 2,
        "offer_expires_at": None,
        "session": {"capacity": 1, "seats_taken": 1, "waitlist_length": 2},
        "conflicts": [],
    }
    assert answered(api.post(line_url(full)), 202) == answer
    out = answered(api.delete(line_url(full)), 200)
    assert out == answer | {
        "status": None,
        "seats": 0,
        **IN_LINE,
        "session": {"capacity": 1, "seats_taken": 1, "waitlist_length": 1},
    }
    assert answered(api.delete(line_url(full)), 200) == out
    entry.refresh_from_db()
    assert entry.status == "left"


def test_joining_where_a_seat_is_free_has_an_offer_at_once(api, session, attendee):
    answer = answered(api.post(line_url(session), {"party_size": 3}), 202)
    entry = WaitlistEntry.objects.get(attendee=attendee)
    assert (answer["status"], answer["seats"], answer["position"]) == ("offered", 3, None)
    assert answer["offer_expires_at"] == when(entry.offer_expires_at)
    assert answer["session"] == {"capacity": 50, "seats_taken": 3, "waitlist_length": 0}


def test_joining_where_seats_are_confirmed_at_once(api, session):
    RsvpSettings.objects.create(event=session.event, waitlist_mode="auto_confirm")
    answer = answered(api.post(line_url(session)), 201)
    assert (answer["status"], answer["waitlist_id"]) == ("confirmed", None)


def test_joining_is_refused(api, session, full):
    answered(api.post(rsvp_url(session)), 201)
    refused(api.post(line_url(session)), 409, "has_seat", "You have a seat in this session already.")
    SessionLine.objects.create(session=full, is_open=False)
    refused(api.post(line_url(full)), 409, "line_closed", "Nobody can join the line any more.")
    refused(api.delete(line_url(full)), 404, "not_found", NO_SUCH)
    assert counts(full) == (1, 1, 0)


# -- Offers ----------------------------------------------------------------------------------------


@pytest.fixture
def offered(event, attendee):
    session = SessionFactory(event=event, capacity=2, title="Workshop")
    line.join(session_id=session.pk, person=attendee.user_profile, party_size=2)
    return WaitlistEntry.objects.get(attendee=attendee, status="offered")


def test_accepting_an_offer(api, offered):
    session = offered.session
    Session.objects.filter(pk=session.pk).update(rsvp_closes_at=timezone.now())
    answer = answered(api.post(offer_url(offered, "accept")), 201)
    rsvp = SessionRsvp.objects.get()
    assert answer == {
        "session_id": str(session.pk),
        "status": "confirmed",
        "seats": 2,
        "rsvp_id": str(rsvp.pk),
        "rsvp_at": when(rsvp.rsvp_at),
        **IN_LINE,
        "session": {"capacity": 2, "seats_taken": 2, "waitlist_length": 0},
        "conflicts": [],
    }
    assert answered(api.post(offer_url(offered, "accept")), 200) == answer
    words = "There is no offer to answer: your place in line is accepted."
    refused(api.post(offer_url(offered, "decline")), 409, "no_offer", words)
    assert rsvp.source == "waitlist"


def test_declining_an_offer(api, offered):
    next_one = WaitlistEntryFactory(session=offered.session)
    answer = answered(api.post(offer_url(offered, "decline")), 200)
    assert answer == {
        "session_id": str(offered.session_id),
        "status": None,
        "seats": 0,
        "rsvp_id": None,
        "rsvp_at": None,
        **IN_LINE,
        "session": {"capacity": 2, "seats_taken": 1, "waitlist_length": 0},
        "conflicts": [],
    }
    assert answered(api.post(offer_url(offered, "decline")), 200) == answer
    words = "There is no offer to answer: your place in line is declined."
    refused(api.post(offer_url(offered, "accept")), 409, "no_offer", words)
    next_one.refresh_from_db()
    assert next_one.status == "offered"


def test_rsvp_with_an_offer_accepts_it(api, offered):
    answer = answered(api.post(rsvp_url(offered.session)), 201)
    assert (answer["status"], answer["seats"]) == ("confirmed", 2)


def test_accepting_too_late(api, offered):
    WaitlistEntry.objects.filter(pk=offered.pk).update(
        offered_at=F("offered_at") - timedelta(hours=2), offer_expires_at=timezone.now() - timedelta(hours=1)
    )
    refused(api.post(offer_url(offered, "accept")), 409, "offer_expired", "The offer has expired.")
    offered.refresh_from_db()
    assert (offered.status, counts(offered.session)) == ("offered", (2, 2, 0))


@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_offers_to_others_are_nothing_one_knows_of(event, as_person, offered, answer):
    other = as_person(AttendeeFactory(event=event).user_profile)
    refused(other.post(offer_url(offered, answer)), 404, "not_found", NO_SUCH)
    refused(other.post(f"/api/v1/waitlist/{uuid4()}/{answer}/"), 404, "not_found", NO_SUCH)
    offered.refresh_from_db()
    assert (offered.status, counts(offered.session)) == ("offered", (2, 2, 0))


# -- Who -------------------------------------------------------------------------------------------


def calls(session):
    return [("post", rsvp_url(session)), ("delete", rsvp_url(session))] + [
        ("post", line_url(session)),
        ("delete", line_url(session)),
    ]


def test_people_who_do_not_attend(session, as_person):
    """403 where they may see the event, 404 where not; the same as for a session that never was."""
    secret = SessionFactory(event=EventFactory(status="draft"))
    unknown = Session(id=uuid4())
    person = UserProfileFactory()
    for method, url in calls(session):
        refused(
            getattr(as_person(person), method)(url),
            403,
            "not_attending",
            "Only attendees of the event can do this.",
        )
    for other in (secret, unknown):
        api = as_person(UserProfileFactory())
        for method, url in calls(other):
            refused(getattr(api, method)(url), 404, "not_found", NO_SUCH)
    assert counts(session) == (50, 0, 0)


def test_people_who_are_gone(api, session, attendee, client):
    """An account that was closed a minute ago, and nobody."""
    attendee.user_profile.is_active = False
    attendee.user_profile.save(update_fields=["is_active"])
    for method, url in calls(session):
        refused(getattr(api, method)(url), 404, "not_found", NO_SUCH)
        assert getattr(client, method)(url).status_code == 401
    assert counts(session) == (50, 0, 0)


# -- Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ({"seats": 0}, "min_value", "Ensure this value is greater than or equal to 1."),
        ({"seats": -1}, "min_value", "Ensure this value is greater than or equal to 1."),
        ({"seats": "x"}, "invalid", "A valid integer is required."),
        ({"seats": 1.5}, "invalid", "A valid integer is required."),
        ({"seats": None}, "null", "This field may not be null."),
        ({"seats": [1]}, "invalid", "A valid integer is required."),
        ({"seats": "1" + 30 * "0"}, "max_value", "Ensure this value is less than or equal to 32767."),
        ({"seats": 2**63}, "max_value", "Ensure this value is less than or equal to 32767."),
    ],
)
def test_strange_numbers_of_seats(api, session, body, code, detail):
    refused(api.post(rsvp_url(session), body), 400, code, detail, attr="seats")
    [(_name, value)] = body.items()
    refused(api.post(line_url(session), {"party_size": value}), 400, code, detail, attr="party_size")
    assert counts(session) == (50, 0, 0)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ('{"seats": 1' + 30 * "0" + "}", "parse_error"),
        ('{"seats": "\\u0000"}', "parse_error"),
        ("{", "parse_error"),
        ("[]", "invalid"),
        ("null", "null"),
        ('"seats"', "invalid"),
    ],
)
def test_strange_bodies(api, session, raw, code):
    answer = api.post(rsvp_url(session), raw, content_type="application/json")
    assert [error["code"] for error in answered(answer, 400)["errors"]] == [code]
    assert counts(session) == (50, 0, 0)


def test_strange_queries_and_ids(api, session):
    words = "Must be a valid boolean."
    refused(api.post(rsvp_url(session) + "?waitlist=perhaps"), 400, "invalid", words, attr="waitlist")
    refused(api.post(rsvp_url(session) + "?reject_conflicts=%00"), 400, "invalid", words, attr="reject_conflicts")
    refused(api.post("/api/v1/sessions/1/rsvp/"), 404, "not_found", NO_SUCH)
    assert counts(session) == (50, 0, 0)


# -- The pace --------------------------------------------------------------------------------------


def test_the_sixth_write_within_a_minute(api, attendee, session, full, as_person, event):
    """All kinds count together, refused ones too; reading counts nothing."""
    entry = WaitlistEntryFactory(session=full, attendee=attendee)
    assert pace.within_pace(attendee.user_profile) is True  # the web page's
    assert [
        api.post(rsvp_url(session)).status_code,
        api.delete(rsvp_url(session)).status_code,
        api.post(offer_url(entry, "accept")).status_code,
        api.delete(line_url(full)).status_code,
        api.get(f"/api/v1/events/{event.pk}/sessions/").status_code,
    ] == [201, 200, 409, 200, 200]
    answer = api.post(line_url(full))
    assert answer.status_code == 429
    assert answer.json()["errors"][0]["code"] == "throttled"
    assert 55 <= int(answer["Retry-After"]) <= 60
    assert pace.within_pace(attendee.user_profile) is False
    assert 55 <= pace.retry_after(attendee.user_profile) <= 60
    assert api.post(offer_url(entry, "decline")).status_code == 429
    assert as_person(AttendeeFactory(event=event).user_profile).post(rsvp_url(session)).status_code == 201
    assert counts(full) == (1, 1, 0)


@pytest.mark.django_db(transaction=True)
def test_twenty_writes_of_a_person_at_once_are_five(event, session, attendee, as_person):
    clients = [as_person(attendee.user_profile) for _ in range(20)]

    def send(api):
        try:
            return api.post(rsvp_url(session)).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(send, clients))
    assert answers == [200] * 4 + [201] + [429] * 15
    assert counts(session) == (50, 1, 0)


def test_without_redis_there_is_no_limit_and_rsvp_works(api, session, settings, caplog, tmp_path):
    """A real address where nobody listens."""
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    limiter.cache_clear()
    shared._said_open_at = None
    try:
        answers = [getattr(api, method)(rsvp_url(session)).status_code for method in ("post", "delete") * 4]
    finally:
        limiter.cache_clear()
        shared._asks_again_at = None
    assert answers == [201, 200] * 4
    said = [one.msg["event"] for one in caplog.records if one.name == "config.api"]
    assert said == ["rate_limit.open"]


def test_redis_that_goes_after_it_refused(attendee, settings, tmp_path):
    """The refusal has been said; when to come back is: at once."""
    person = attendee.user_profile
    assert [pace.within_pace(person) for _ in range(6)] == [True] * 5 + [False]
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    limiter.cache_clear()
    try:
        assert pace.retry_after(person) == 1
    finally:
        limiter.cache_clear()


def test_what_others_take_meanwhile_is_seen(api, full):
    """A seat given back by an operation elsewhere is there for the next call."""
    holder = SessionRsvp.objects.get(session=full)
    reserving.cancel(session_id=full.pk, person=holder.attendee.user_profile)
    assert answered(api.post(rsvp_url(full)), 201)["session"]["seats_taken"] == 1
