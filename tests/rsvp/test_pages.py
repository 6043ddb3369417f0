"""The agenda, a session's page and My Schedule, as attendees have them in a browser."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attendance.models import Attendee, CheckIn
from events.models import Event, Session
from rsvp.api.calendars import address as feed_address
from rsvp.models import CalendarFeed, RsvpSettings, SessionFeedback, SessionLine, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving
from rsvp.operations import sessions as acts
from tests.factories import (
    AttendeeFactory,
    CheckInPointFactory,
    EventFactory,
    JoinRequestFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    SpeakerFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def conference():
    """Three days, from ten o'clock of the day in a week; in New York."""
    event = EventFactory(slug="conf", title="Conf", timezone="America/New_York")
    begins = event.starts_at.astimezone(event.zone).replace(hour=10, minute=0, second=0, microsecond=0)
    event.starts_at, event.ends_at = begins, begins + timedelta(days=3)
    event.save(update_fields=["starts_at", "ends_at"])
    return event


@pytest.fixture
def ada(conference):
    return AttendeeFactory(event=conference, user_profile__first_name="Ada")


@pytest.fixture
def page(client, ada):
    client.force_login(ada.user_profile)
    return client


def at(conference, hours, minutes=45, **columns):
    begins = conference.starts_at + timedelta(hours=hours)
    return SessionFactory(event=conference, starts_at=begins, ends_at=begins + timedelta(minutes=minutes), **columns)


def moved(session, **columns):
    """What only time does."""
    Session.objects.filter(pk=session.pk).update(**columns)


def over(session):
    moved(session, starts_at=timezone.now() - timedelta(hours=2), ends_at=timezone.now() - timedelta(hours=1))


def taken(session, count):
    return [SessionRsvpFactory(session=session) for _number in range(count)]


def address(name, session=None, slug="conf"):
    return reverse(name, args=[slug, session.pk] if session else [slug])


def read(html) -> str:
    """What is read there."""
    html = re.sub(r"(?s)<(head|template|svg|select)\b.*?</\1>", " ", html)
    html = re.sub(r"(?s)<span class=.visually-hidden.>.*?</span>|</?bdi\b[^>]*>", "", html)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def text(answer) -> str:
    return read(answer.content.decode().partition("<main")[2])


def card(answer, session) -> str:
    """What is read on a session's card."""
    html = answer.content.decode()
    assert html.count(f'id="s-{session.pk}"') == 1
    return read("<a" + re.split(r"</article>|</section>", html.partition(f'id="s-{session.pk}"')[2])[0])


def do(client, name, session, back=None, **fields):
    """Posts, is sent back to the card, and gives what is seen there."""
    back = back or address("agenda")
    answer = client.post(address(name, session), {"next": back, **fields})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{back}#s-{session.pk}")
    return client.get(back)


def test_a_card_says_what_a_session_is_and_how_full(page, conference):
    session = at(conference, 0, title="Locks", capacity=3, room=RoomFactory(event=conference, name="Main"), track="DB")
    session.speakers.add(SpeakerFactory(event=conference, name="Grace"))
    unlimited = at(conference, 1, title="Walk")
    taken(session, 2)
    answer = page.get(address("agenda"))
    assert card(answer, session) == "10:00–10:45 Main Locks Grace DB 2 of 3 seats RSVP"
    assert card(answer, unlimited) == "11:00–11:45 Walk RSVP"
    assert "Times in America/New_York" in text(answer)


def test_one_day_is_shown_and_others_are_a_tap_away(page, conference):
    first, night, second = at(conference, 0), at(conference, 13, minutes=120), at(conference, 24)
    answer = page.get(address("agenda"))
    assert card(answer, night).startswith("23:00–01:00 ends next day")
    assert str(first.pk) in answer.content.decode() and str(second.pk) not in answer.content.decode()
    day = (conference.starts_at + timedelta(days=1)).date().isoformat()
    assert f'href="/e/conf/agenda/?day={day}"' in answer.content.decode()
    answer = page.get(f"/e/conf/agenda/?day={day}")
    assert str(first.pk) not in answer.content.decode() and str(second.pk) in answer.content.decode()


def test_today_is_shown_first_while_the_event_runs(page, conference):
    conference.starts_at -= timedelta(days=8)
    conference.save(update_fields=["starts_at"])
    yesterday, today = at(conference, 0), at(conference, 24)
    now = timezone.now()
    moved(today, starts_at=now, ends_at=now + timedelta(minutes=45))
    answer = page.get(address("agenda"))
    assert str(yesterday.pk) not in answer.content.decode() and "Now" in card(answer, today)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=grace", "ab"),
        ("q=locks+grace", "a"),
        ("q=GESPERRT", "c"),
        ("track=DB", "ac"),
        ("room={lab}", "b"),
        ("track=DB&q=grace", "a"),
        ("q=grace&day={second}", "b"),
        ("q=lucia", "c"),
        ("q=R%C3%81DIO", "c"),
        ("q=nothing+of+this", ""),
        ("q=%00&track=no&room=x&day=never", "a"),
    ],
)
def test_a_search_goes_through_all_days(page, conference, query, found):
    lab = RoomFactory(event=conference, name="Lab")
    sessions = {
        "a": at(conference, 0, title="Locks", track="DB"),
        "b": at(conference, 24, title="Latches", room=lab),
        "c": at(conference, 48, title="Keys", track="DB", abstract="Gesperrt: Lucía's radio"),
    }
    grace = SpeakerFactory(event=conference, name="Grace")
    for name in "ab":
        sessions[name].speakers.add(grace)
    second = sessions["b"].starts_at.astimezone(conference.zone).date()
    answer = page.get(f"/e/conf/agenda/?{query.format(lab=lab.pk, second=second)}")
    html = answer.content.decode()
    assert "".join(name for name, one in sessions.items() if f'id="s-{one.pk}"' in html) == found
    if not found:
        assert "Nothing fits these words. Show everything" in text(answer)


def test_rsvp_takes_a_seat_and_says_what_it_overlaps(page, conference, ada):
    first, second = at(conference, 0, title="Locks", capacity=9), at(conference, 0.5, title="Latches", capacity=9)
    assert card(do(page, "session_rsvp", first), first) == "10:00–10:45 Locks 1 of 9 seats You're in You're in. Cancel"
    answer = page.get(address("agenda"))
    assert card(answer, second) == ("10:30–11:15 Latches 0 of 9 seats Would overlap with Locks, 10:00–10:45. RSVP")
    answer = do(page, "session_rsvp", second)
    assert card(answer, second) == (
        "10:30–11:15 Latches 1 of 9 seats You're in You're in. It overlaps with Locks, 10:00–10:45. Cancel"
    )
    assert card(answer, first) == (
        "10:00–10:45 Locks 1 of 9 seats You're in Overlaps with Latches, 10:30–11:15. Cancel"
    )
    isolated = '<bdi>Locks</bdi>, <bdi dir="ltr">10:00–10:45</bdi>.'
    assert f"It overlaps with {isolated}" in answer.content.decode()  # words of any direction around it
    do(page, "session_rsvp", second)
    assert SessionRsvp.objects.filter(attendee=ada, status="confirmed").count() == 2


def test_seats_for_plus_ones_and_by_the_line_where_there_are_not_enough(page, conference, ada):
    Attendee.objects.filter(pk=ada.pk).update(plus_ones=2)
    session = at(conference, 0, title="Locks", capacity=4)
    taken(session, 2)
    html = page.get(address("agenda")).content.decode()
    assert re.findall(r'<option value="([^"]+)">([^<]+)', html) == [
        ("1", "1 seat"),
        ("2", "2 seats"),
        ("line-3", "3 seats, by the line"),
    ]
    answer = do(page, "session_rsvp", session, seats="2")
    assert card(answer, session) == (
        "10:00–10:45 Locks 4 of 4 seats You're in, with 2 seats You're in, with 2 seats. Give the seats back"
    )
    answer = do(page, "session_cancel", session, what="seat")
    assert "You gave your 2 seats back." in card(answer, session)
    answer = do(page, "session_rsvp", session, seats="line-3")
    assert "1st in line for 3 seats together" in card(answer, session)
    assert WaitlistEntry.objects.get().party_size == 3


@pytest.mark.parametrize(
    ("seats", "words"),
    [
        ("0", "That is no number of seats."),
        ("x", "That is no number of seats."),
        ("9", "You can have at most 3 seats here: your own, and one for each plus-one."),
        ("3", "Only 1 seat is left."),
    ],
)
def test_a_number_of_seats_that_is_not_to_be_had(page, conference, ada, seats, words):
    Attendee.objects.filter(pk=ada.pk).update(plus_ones=2)
    session = at(conference, 0, title="Locks", capacity=4)
    taken(session, 3)
    assert words in card(do(page, "session_rsvp", session, seats=seats), session)
    assert not SessionRsvp.objects.filter(attendee=ada).exists()


def test_the_line_is_joined_and_left(page, conference, ada):
    session = at(conference, 0, title="Locks", capacity=1)
    taken(session, 1)
    WaitlistEntryFactory(session=session)
    head = "10:00–10:45 Locks 1 of 1 seat · full · "
    assert card(page.get(address("agenda")), session) == head + "1 waiting Join the line"
    told = "You are 2nd in line. As soon as there is a seat for you, we keep it and tell you."
    for _click in range(2):
        answer = do(page, "session_line", session)
        assert card(answer, session) == f"{head}2 waiting 2nd in line {told} Leave the line"
    asked = text(page.get(address("session_cancel", session)))
    assert "Leave the line? Your place is gone then: whoever joins again starts at the end." in asked
    answer = do(page, "session_cancel", session, what="place")
    assert card(answer, session) == head + "1 waiting You left the line. Join the line"
    assert "You left the line." in card(do(page, "session_cancel", session, what="place"), session)


def offered(session, ada):
    """The one seat, kept for Ada."""
    (other,) = taken(session, 1)
    line.join(session_id=session.pk, person=ada.user_profile)
    reserving.cancel(session_id=session.pk, person=other.attendee.user_profile)
    return WaitlistEntry.objects.get(session=session, attendee=ada)


def test_an_offer_is_accepted(page, conference, ada):
    session = at(conference, 0, title="Locks", capacity=1)
    entry = offered(session, ada)
    assert " A seat is kept for you until " in card(page.get(address("agenda")), session)
    assert "A seat for you" in text(page.get(address("my_schedule")))
    for _click in range(2):
        answer = do(page, "session_offer", session, back=address("my_schedule"), entry=entry.pk, answer="accept")
        assert card(answer, session) == "10:00–10:45 Locks 1 of 1 seat You're in You're in. Cancel"


def test_an_offer_is_declined(page, conference, ada):
    session = at(conference, 0, title="Locks", capacity=1)
    entry = offered(session, ada)
    for _click in range(2):
        answer = do(page, "session_offer", session, entry=entry.pk, answer="decline")
        assert "Thank you: the seat goes to the next in line. RSVP" in card(answer, session)


def test_an_offer_that_passed_is_answered_in_plain_words(page, conference, ada):
    session = at(conference, 0, title="Locks", capacity=1)
    entry = offered(session, ada)
    ago = timezone.now() - timedelta(minutes=1)
    WaitlistEntry.objects.filter(pk=entry.pk).update(offer_expires_at=ago, told_at=ago)
    reserving.reserve(session_id=at(conference, 0, title="Keys").pk, person=ada.user_profile)
    head = "10:00–10:45 Locks 1 of 1 seat · full"
    words = "You didn't answer in time: the seat goes to the next in line. Leave the line"
    assert card(page.get(address("agenda")), session) == f"{head} {words}"
    again = do(page, "session_offer", session, entry=entry.pk, answer="accept")
    assert "As nobody else waits, a seat is kept for you once more." in card(again, session)
    WaitlistEntry.objects.filter(pk=entry.pk).update(offer_expires_at=ago, told_at=ago)
    WaitlistEntryFactory(session=session)
    told = "The time to answer has passed: the seat goes to the next in line. You are 1st in line now."
    for _click in range(2):
        answer = do(page, "session_offer", session, entry=entry.pk, answer="accept")
        assert card(answer, session) == (
            f"{head} · 1 waiting 1st in line Would overlap with Keys, 10:00–10:45. {told} Leave the line"
        )
    line.leave(session_id=session.pk, person=ada.user_profile)
    answer = do(page, "session_offer", session, entry=entry.pk, answer="accept")
    assert "This offer was over already." in card(answer, session)
    assert not SessionRsvp.objects.filter(attendee=ada, session=session).exists()


@pytest.mark.parametrize("entry", ["", "no", "00000000-0000-7000-8000-000000000000"])
def test_somebody_elses_offer_is_nobodys(page, conference, entry):
    session = at(conference, 0, capacity=1)
    WaitlistEntryFactory(session=session)
    assert "There was nothing of yours to change." in card(
        do(page, "session_offer", session, entry=entry, answer="accept"), session
    )


def test_cancelling_asks_first(page, conference, ada):
    session = at(conference, 0, title="Locks", capacity=1)
    reserving.reserve(session_id=session.pk, person=ada.user_profile)
    waits = WaitlistEntryFactory(session=session)
    html = page.get(address("session_cancel", session)).content.decode()
    assert "It goes to the next in line at once; to come back you would have to wait." in read(html)
    assert SessionRsvp.objects.get(attendee=ada).is_confirmed
    answer = do(page, "session_cancel", session, what="seat")
    assert "You gave your seat back. Join the line" in card(answer, session)
    waits.refresh_from_db()
    assert waits.status == "offered"
    answer = page.get(address("session_cancel", session))
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"{address('session_page', session)}#s-{session.pk}",
    )


def test_a_seat_that_was_a_place_when_it_was_asked_about_is_kept(page, conference, ada):
    """Between the question and the answer an offer came, and was accepted on another phone."""
    session = at(conference, 0, capacity=1)
    entry = offered(session, ada)
    line.accept(entry_id=entry.pk, person=ada.user_profile)
    assert "You're in." in card(do(page, "session_cancel", session, what="place"), session)
    assert SessionRsvp.objects.get(attendee=ada).is_confirmed


def reasons(conference):
    """Why there is no seat to be had: what is set, and what the card says."""
    begins, now = conference.starts_at, timezone.now()
    soon, ago = begins - timedelta(hours=2), now - timedelta(hours=1)
    return {
        "opens": ({"rsvp_opens_at": soon}, f"RSVP opens on {soon.astimezone(conference.zone):%a %-d %b, %H:%M}."),
        "closed": ({"rsvp_closes_at": ago}, "RSVP is closed."),
        "started": ({"starts_at": ago}, "Now"),
        "over": ({"starts_at": ago, "ends_at": ago}, "Over"),
        "cancelled": ({"status": "cancelled"}, "Cancelled"),
    }


@pytest.mark.parametrize("reason", ["opens", "closed", "started", "over", "cancelled"])
def test_why_there_is_no_seat_is_said(page, conference, reason):
    columns, words = reasons(conference)[reason]
    session = at(conference, 0, title="Locks", capacity=2)
    moved(session, **columns)
    answer = page.get(address("session_page", session))
    assert words in (text(answer) if reason != "started" else card(page.get(address("agenda")), session))
    assert "RSVP</button>" not in answer.content.decode() and ">RSVP<" not in answer.content.decode()
    refused = do(page, "session_rsvp", session, back=address("session_page", session))
    assert 'class="notice bad"' in refused.content.decode()
    assert not SessionRsvp.objects.exists()


def test_a_line_that_takes_nobody_says_so(page, conference):
    session = at(conference, 0, capacity=1)
    taken(session, 1)
    SessionLine.objects.create(session=session, is_open=False)
    assert "Nobody can join the line any more." in card(page.get(address("agenda")), session)
    SessionLine.objects.update(is_open=True)
    assert "Join the line" in card(page.get(address("agenda")), session)
    RsvpSettings.objects.create(event=conference, line_open=False)
    assert "Nobody can join the line any more." in card(page.get(address("agenda")), session)


def test_an_event_that_is_over_gives_no_seats(page, conference):
    session = at(conference, 0)
    Event.objects.filter(pk=conference.pk).update(status="completed")
    assert "The event is over, and you had no seat in a session." in text(page.get(address("my_schedule")))
    assert card(page.get(address("agenda")), session).endswith(" Over")


def test_an_event_that_was_cancelled_looks_it_wherever_one_has_a_seat(page, conference, ada):
    session, _clashing = at(conference, 0), at(conference, 0)
    SessionRsvpFactory(session=session, attendee=ada)
    pages = [address(name) for name in ("event_page", "agenda", "my_schedule", "my_ticket")]
    pages.append(address("session_page", session))
    alive = ("You're in", "You're coming", "RSVP", "calendar", "Show it at the door", "verlap", 'class="card ok')
    shown = " ".join(unescape(page.get(one).content.decode()) for one in pages)
    assert [words for words in alive if words not in shown] == [] and "This event" not in text(page.get(pages[0]))

    Event.objects.filter(pk=conference.pk).update(status="cancelled")
    for one in pages:
        html = unescape(page.get(one).content.decode())
        assert '<p class="notice bad">This event was cancelled.</p>' in html, one
        assert [words for words in alive if words in re.sub(r"(?s)<head>.*?</head>|[\w/-]*/rsvp/", "", html)] == [], one
    assert "Cancelled You had a seat here." in card(page.get(address("agenda")), session)
    assert "You were on the list" in text(page.get(address("event_page")))

    Event.objects.filter(pk=conference.pk).update(status="completed")
    for one in pages:
        assert '<p class="notice">This event is over.</p>' in page.get(one).content.decode(), one


def test_a_stranger_looks_and_is_led_to_sign_in_and_back(client, conference):
    session = at(conference, 0, capacity=2)
    answer = client.get(address("agenda"))
    assert "Sign in to RSVP" in card(answer, session)
    assert f'href="/sign-in/?next=%2Fe%2Fconf%2Fagenda%2F%23s-{session.pk}"' in re.sub(
        r"%3Fday%3D[\d-]+", "", answer.content.decode()
    )
    answer = client.post(address("session_rsvp", session), {"next": "/e/conf/agenda/"})
    target = f"/sign-in/?next=%2Fe%2Fconf%2Fagenda%2F%23s-{session.pk}"
    assert (answer.status_code, answer.headers["Location"]) == (303, target)
    answer = client.post(address("session_rsvp", session), {"next": "/e/conf/agenda/"}, headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == target
    for name in ("my_schedule", "my_calendar"):
        assert client.get(address(name)).headers["Location"].startswith("/sign-in/?next=")
    assert not SessionRsvp.objects.exists()


def test_whoever_is_no_attendee_is_led_to_join(client, conference):
    session = at(conference, 0, title="Locks")
    person = UserProfileFactory()
    client.force_login(person)
    answer = client.get(address("agenda"))
    assert card(answer, session) == "10:00–10:45 Locks Join the event to RSVP"
    assert f'href="{reverse("join_page", args=["conf"])}"' in answer.content.decode()
    JoinRequestFactory(event=conference, user_profile=person)
    words = "10:00–10:45 Locks Your request to join the event is waiting: once you are in, you can RSVP."
    assert card(client.get(address("agenda")), session) == words
    assert "Only attendees of the event can do this." in card(do(client, "session_rsvp", session), session)
    assert "My Schedule is for people who attend the event." in text(client.get(address("my_schedule")))


@pytest.mark.parametrize("columns", [{"visibility": "private"}, {"status": "draft"}])
def test_what_may_not_be_seen_is_not_there(client, conference, columns):
    session = at(conference, 0)
    Event.objects.filter(pk=conference.pk).update(**columns)
    client.force_login(UserProfileFactory())
    for name in ("agenda", "my_schedule", "my_calendar"):
        assert client.get(address(name)).status_code == 404
    for name in ("session_page", "session_cancel", "session_calendar"):
        assert client.get(address(name, session)).status_code == 404
    for name in ("session_rsvp", "session_line", "session_offer", "session_cancel", "session_feedback"):
        assert client.post(address(name, session)).status_code == 404


def test_a_session_of_another_event_is_not_here(page, conference):
    other = SessionFactory()
    for name in ("session_page", "session_cancel", "session_calendar"):
        assert page.get(address(name, other)).status_code == 404
    for name in ("session_rsvp", "session_line", "session_offer", "session_cancel", "session_feedback"):
        assert page.post(address(name, other)).status_code == 404
    assert not SessionRsvp.objects.exists()


def test_what_changes_something_is_posted_by_our_own_forms(conference, ada):
    session = at(conference, 0)
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada.user_profile)
    for name in ("session_rsvp", "session_line", "session_offer", "session_feedback"):
        assert client.get(address(name, session)).status_code == 405
        assert client.post(address(name, session)).status_code == 403
    assert client.post(address("session_cancel", session)).status_code == 403
    assert client.post(address("my_calendar")).status_code == 403
    assert not SessionRsvp.objects.exists()


def test_nobody_is_sent_elsewhere(page, conference):
    session = at(conference, 0)
    for target in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = page.post(address("session_rsvp", session), {"next": target})
        assert answer.headers["Location"] == f"{address('session_page', session)}#s-{session.pk}"


def test_the_sixth_click_in_a_minute_waits(page, conference, ada, as_person):
    session = at(conference, 0, capacity=5)
    for _click in range(4):
        do(page, "session_rsvp", session)
    assert as_person(ada.user_profile).delete(f"/api/v1/sessions/{session.pk}/rsvp/").status_code == 200
    answer = do(page, "session_rsvp", session)
    assert re.search(r"Too many changes at once: wait ([1-9]|[1-5]\d|60) seconds?\. RSVP$", card(answer, session))
    assert not SessionRsvp.objects.get().is_confirmed


def test_htmx_gets_the_card_and_what_it_overlaps(page, conference):
    first, second, later = at(conference, 0), at(conference, 0.5), at(conference, 5)
    answer = page.post(address("session_rsvp", first), {"next": address("agenda")}, headers={"HX-Request": "true"})
    html = answer.content.decode()
    assert answer.status_code == 200 and "<html" not in html and str(later.pk) not in html
    assert "You're in" in card(answer, first) and "Would overlap" in card(answer, second)
    assert re.findall(r'id="s-([^"]+)" hx-swap-oob="true"', html) == [str(second.pk)]
    assert "You're in." not in card(page.get(address("agenda")), first)
    # Of a page that shows only some, only these are swapped.
    back = f"{address('agenda')}?q={first.title.replace(' ', '+')}"
    html = page.post(
        address("session_cancel", first), {"next": back, "what": "seat"}, headers={"HX-Request": "true"}
    ).content.decode()
    assert str(first.pk) in html and str(second.pk) not in html
    do(page, "session_rsvp", first)
    asked = page.get(
        f"{address('session_cancel', first)}?next={address('agenda')}", headers={"HX-Request": "true"}
    ).content.decode()
    assert "<html" not in asked and "Give your seat back? You can RSVP again until it begins." in read(asked)


def test_a_sessions_page_has_all_of_it_and_no_markup_of_others(page, conference):
    session = at(
        conference,
        0,
        title="<b>Locks</b>",
        abstract="First.\n\nSee https://example.org/x?a=1&b=2 <script>alert(1)</script>",
        language="pt-BR",
        url="https://example.org/locks",
    )
    answer = page.get(address("session_page", session))
    html = answer.content.decode()
    assert "Language Brazilian Portuguese" in text(answer)
    moved(session, language="Klingon")
    assert "Language Klingon" in text(page.get(address("session_page", session)))
    assert "<script>alert" not in html and "<b>Locks" not in html
    assert '<a href="https://example.org/x?a=1&amp;b=2" rel="nofollow">https://example.org/x?a=1&amp;b=2</a>' in html
    assert f'href="{address("session_calendar", session)}"' in html and 'href="https://example.org/locks"' in html
    file = page.get(address("session_calendar", session))
    assert file.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert b"SUMMARY:<b>Locks</b>" in file.content


@pytest.fixture
def been(conference, ada):
    """A session that Ada had a seat in, was at, and that is over."""
    session = at(conference, 0, title="Locks", capacity=5)
    reserving.reserve(session_id=session.pk, person=ada.user_profile)
    over(session)
    Attendee.objects.filter(pk=ada.pk).update(attendance_status="present")
    return session


def test_feedback_by_those_who_were_there(page, been):
    answer = page.get(address("session_page", been))
    assert "Your feedback" in text(answer)
    assert answer.content.decode().count('type="radio"') == 5
    answer = page.post(address("session_feedback", been), {"comment": "Kept"})
    assert answer.status_code == 200 and "Choose one to five stars." in text(answer)
    assert ">\nKept</textarea>" in answer.content.decode()
    for rating, comment in (("4", "Good"), ("5", "Better")):
        answer = page.post(address("session_feedback", been), {"rating": rating, "comment": comment})
        assert (answer.status_code, answer.headers["Location"]) == (303, address("session_page", been))
    answer = page.get(address("session_page", been))
    assert "Thank you for your feedback." in text(answer) and "You may change it here." in text(answer)
    assert list(SessionFeedback.objects.values_list("rating", "comment")) == [(5, "Better")]


def test_no_feedback_by_others_or_before_the_end(page, conference, been, ada):
    Attendee.objects.filter(pk=ada.pk).update(attendance_status="absent")
    assert "Your feedback" not in text(page.get(address("session_page", been)))
    assert page.post(address("session_feedback", been), {"rating": "4"}).status_code == 404
    Attendee.objects.filter(pk=ada.pk).update(attendance_status="present")
    moved(been, ends_at=timezone.now() + timedelta(hours=1))
    assert page.post(address("session_feedback", been), {"rating": "4"}).status_code == 404
    elsewhere = at(conference, 3, capacity=5)
    over(elsewhere)
    assert page.post(address("session_feedback", elsewhere), {"rating": "4"}).status_code == 404
    assert not SessionFeedback.objects.exists()


def scanned(point, attendee):
    CheckIn.objects.create(
        event=point.event, point=point, attendee=attendee, result="checked_in", checked_in_at=timezone.now()
    )


@pytest.mark.parametrize("capacity", [5, None])
def test_once_somebody_was_scanned_feedback_is_for_those_who_were(page, conference, been, ada, capacity):
    moved(been, capacity=capacity)
    point = CheckInPointFactory(event=conference, session=been, kind="session")
    scanned(point, AttendeeFactory(event=conference))
    assert "Your feedback" not in text(page.get(address("session_page", been)))
    assert page.post(address("session_feedback", been), {"rating": "4"}).status_code == 404
    scanned(point, ada)
    assert page.post(address("session_feedback", been), {"rating": "4"}).status_code == 303
    assert SessionFeedback.objects.get().attendee_id == ada.pk


def test_what_changed_meanwhile_is_said_where_htmx_asked(page, conference, ada):
    """A seat that was given back on another phone; My Schedule has no card of it any more."""
    session = at(conference, 0, title="Locks")
    htmx = {"HX-Request": "true"}

    def asked(back):
        return page.get(f"{address('session_cancel', session)}?next={back}", headers=htmx)

    for back in (address("agenda"), address("session_page", session)):
        answer = asked(back)
        assert answer.status_code == 200 and "<html" not in answer.content.decode()
        assert card(answer, session).endswith("This changed meanwhile. RSVP")
    answer = asked(address("my_schedule"))
    assert (answer.headers["HX-Refresh"], answer.content) == ("true", b"")
    html = page.get(address("my_schedule")).content.decode()
    assert "This changed meanwhile." in read(html.partition('id="live"')[2])
    # Kept, the question is gone; given back, it is told within what htmx swaps, as there is no card.
    reserving.reserve(session_id=session.pk, person=ada.user_profile)
    answer = page.get(f"{address('session_cancel', session)}?keep=1&next={address('agenda')}", headers=htmx)
    assert card(answer, session) == "10:00–10:45 Locks You're in Cancel"
    html = asked(address("my_schedule")).content.decode()
    assert f'hx-get="{address("my_schedule")}" hx-select="#live" hx-target="#live"' in html
    form = {"next": address("my_schedule"), "what": "seat"}
    html = page.post(address("session_cancel", session), form, headers=htmx, follow=True).content.decode()
    assert read(html.partition('id="live"')[2]).startswith(
        "> My Schedule Times in America/New_York You gave your seat back. Nothing here yet."
    )


def test_my_schedule_by_days_of_the_event(page, conference, ada):
    assert "There is no agenda yet. Once there is, you choose there what you want to see. About the event" in text(
        page.get(address("my_schedule"))
    )
    mine, other, gone, past, full, next_day = (
        at(conference, hours, title=title, capacity=1)
        for hours, title in ((0, "Mine"), (0.5, "Other"), (2, "Gone"), (3, "Past"), (4, "Full"), (24, "Next"))
    )
    taken(full, 1)
    empty = "Nothing here yet. Choose what you want to see, and it stands here. To the agenda"
    assert empty in text(page.get(address("my_schedule")))
    for session in (mine, other, gone, past, next_day):
        reserving.reserve(session_id=session.pk, person=ada.user_profile)
    line.join(session_id=full.pk, person=ada.user_profile)
    acts.cancel(session_id=gone.pk, actor=None, reason="")
    over(past)
    answer = page.get(address("my_schedule"))
    words = text(answer)
    assert "Times in America/New_York" in words and "1 session that is over" in words
    days = [(conference.starts_at + timedelta(days=number)) for number in (0, 1)]
    assert re.findall(r"(\w+day) (\d+ \w+)", words.partition("over")[0]) == [
        (f"{day:%A}", f"{day.day} {day:%B}") for day in days
    ]
    titles = re.findall(r"\b(?:Mine|Other|Gone|Full|Next|Past)\b", re.sub(r"Overlaps[^.]*\.", "", words))
    assert titles == ["Mine", "Other", "Gone", "Full", "Next", "Past"]
    assert card(answer, mine) == "10:00–10:45 Mine 1 of 1 seat You're in Overlaps with Other, 10:30–11:15. Cancel"
    assert card(answer, gone) == "12:00–12:45 Gone Cancelled You had a seat here."
    assert card(answer, full) == "14:00–14:45 Full 1 of 1 seat · full · 1 waiting 1st in line Leave the line"
    assert card(answer, past).endswith("Past You had a seat")
    acts.restore(session_id=gone.pk, actor=None)
    assert card(page.get(address("my_schedule")), gone) == (
        "12:00–12:45 Gone 0 of 1 seat It was cancelled and is on again; your seat was given up. RSVP"
    )


def test_today_and_tomorrow_are_those_of_the_event(page, conference, ada):
    """Wherever the phone is, and the server."""
    conference.timezone = "Pacific/Kiritimati"
    conference.save(update_fields=["timezone"])
    noon = timezone.now().astimezone(conference.zone).replace(hour=12, minute=0, second=0, microsecond=0)
    for number in range(3):
        session = at(conference, number)
        SessionRsvpFactory(session=session, attendee=ada)
        begins = noon + timedelta(days=number)
        moved(session, starts_at=begins, ends_at=begins + timedelta(hours=14 if number == 0 else 1))
    words = re.findall(r"<h2[^>]*>(.*?)</h2>", page.get(address("my_schedule")).content.decode())
    later = noon + timedelta(days=2)
    assert [read(one).split()[0] for one in words] == ["Today", "Tomorrow", f"{later:%A}"]


def test_the_calendars_address_is_shown_and_renewed(page, ada):
    answer = page.get(address("my_calendar"))
    feed = CalendarFeed.objects.get()
    assert feed.user == ada.user_profile
    url = feed_address(feed)
    assert f'value="{url}"' in answer.content.decode()
    assert f'href="webcal://{url.partition("://")[2]}"' in answer.content.decode()
    answer = page.post(address("my_calendar"))
    assert (answer.status_code, answer.headers["Location"]) == (303, address("my_calendar"))
    feed.refresh_from_db()
    answer = page.get(address("my_calendar"))
    assert url not in answer.content.decode() and feed_address(feed) in answer.content.decode()
    assert "Your calendar has a new address. The former one leads nowhere any more." in text(answer)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_page_asks_the_database_as_often_however_many_sessions(
    page, conference, ada, count, django_assert_num_queries
):
    WaitlistEntryFactory(session=at(conference, 24, capacity=1), attendee=ada)
    for _number in range(count):
        session = at(conference, 0, capacity=3)
        session.speakers.add(SpeakerFactory(event=conference))
    with django_assert_num_queries(14):
        assert page.get(address("agenda")).content.decode().count("<article") == count
    with django_assert_num_queries(13):
        assert page.get(address("session_page", session)).status_code == 200
    SessionRsvp.objects.bulk_create(
        SessionRsvp(event=conference, session=one, attendee=ada)
        for one in conference.sessions.exclude(rsvps__attendee=ada).exclude(waitlist__attendee=ada)
    )
    with django_assert_num_queries(14):
        assert page.get(address("my_schedule")).content.decode().count("<article") == count + 1


def test_a_thousand_sessions_are_shown_a_day_at_a_time(page, conference):
    begins = conference.starts_at
    Session.objects.bulk_create(
        Session(
            event=conference,
            title=f"S{n}",
            starts_at=begins + timedelta(hours=6 * (n % 16)),
            ends_at=begins + timedelta(hours=6 * (n % 16) + 1),
            capacity=50,
        )
        for n in range(1000)
    )
    html = page.get(address("agenda")).content.decode()
    assert html.count("<article") == 189
    answer = page.get("/e/conf/agenda/?q=s")
    assert answer.content.decode().count("<article") == 100
    assert "1000 sessions found; the first 100 are shown. Choose a day for the others." in text(answer)
