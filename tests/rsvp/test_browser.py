"""Sessions on a phone, in a real Chromium: each way with and without JavaScript."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from attendance.models import Attendee
from events.models import Session
from rsvp.models import SessionFeedback, SessionRsvp, WaitlistEntry
from rsvp.operations import line, reserving
from rsvp.operations import sessions as acts
from tests.axe import fits, serious_faults
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    SpeakerFactory,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def visit(chromium, live_server):
    """``visit(person, javascript=True, …)``: a page on a phone; its console is watched, and must stay quiet."""
    contexts, errors = [], []

    def opened(person=None, *, javascript=True, width=390, is_watched=True, **settings):
        context = chromium.new_context(
            viewport={"width": width, "height": 844},
            base_url=live_server.url,
            java_script_enabled=javascript,
            **settings,
        )
        contexts.append(context)
        if person is not None:
            client = Client()
            client.force_login(person)
            cookie = client.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        if not is_watched:
            return page
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def harbour():
    """A conference in Berlin that begins the day after tomorrow at ten by its clock, for three days."""
    event = EventFactory(slug="harbour", title="Harbour Conf")
    begins = (timezone.now().astimezone(event.zone) + timedelta(days=2)).replace(
        hour=10, minute=0, second=0, microsecond=0
    )
    event.starts_at, event.ends_at = begins, begins + timedelta(days=2, hours=8)
    event.save(update_fields=["starts_at", "ends_at"])
    return event


@pytest.fixture
def ada(harbour):
    return AttendeeFactory(event=harbour, user_profile__first_name="Ada", user_profile__last_name="Byron")


def at(event, hours, minutes=45, **columns):
    begins = event.starts_at + timedelta(hours=hours)
    return SessionFactory(event=event, starts_at=begins, ends_at=begins + timedelta(minutes=minutes), **columns)


def taken(session, count):
    for _number in range(count):
        SessionRsvpFactory(session=session)


def card(page, session):
    return page.locator(f"#s-{session.pk}")


def has_focus(page, session, name):
    """The keyboard goes on at this button or link of the session's card."""
    page.wait_for_function(
        "([id, name]) => document.activeElement.closest(`#s-${id}`) && document.activeElement.innerText.includes(name)",
        arg=[str(session.pk), name],
    )


def heard(page, words):
    """Read out, from a place that stays while the page changes."""
    page.locator("#said[role=status]").get_by_text(words).wait_for(state="attached")


def says(page, session, words):
    card(page, session).get_by_text(words, exact=True).wait_for()


@pytest.mark.parametrize("javascript", [True, False], ids=["htmx", "plain"])
def test_from_finding_a_session_to_giving_it_back(visit, harbour, ada, javascript):
    hall = RoomFactory(event=harbour, name="Hall")
    first = at(harbour, 0, title="Keeping promises", capacity=10, room=hall)
    first.speakers.add(SpeakerFactory(event=harbour, name="Grace Hopper"))
    second, full = at(harbour, 0.5, title="At the same time"), at(harbour, 26, title="Popular", capacity=2)
    taken(full, 2)
    page = visit(ada.user_profile, javascript=javascript)
    page.goto("/e/harbour/agenda/")
    page.fill("input[name=q]", "hopper")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("1 session found").wait_for()
    assert page.locator("article").count() == 1

    card(page, first).get_by_role("button", name="RSVP").click()
    says(page, first, "You're in.")
    says(page, first, "1 of 10 seats")
    page.locator(f"#s-{first.pk}.ok").wait_for()
    if javascript:
        heard(page, "You're in.")
        has_focus(page, first, "Cancel")
    page.get_by_role("link", name="Show everything").click()
    says(page, second, "Would overlap with Keeping promises, 10:00–10:45.")
    card(page, second).get_by_role("button", name="RSVP").click()
    says(page, second, "You're in. It overlaps with Keeping promises, 10:00–10:45.")
    says(page, first, "Overlaps with At the same time, 10:30–11:15.")

    card(page, first).get_by_role("link", name="Cancel").click()
    says(page, first, "Give your seat back?") if javascript else page.wait_for_url("**/cancel/**")
    if javascript:
        has_focus(page, first, "Give your seat back?")
    page.get_by_role("link", name="Keep my seat").click()
    says(page, first, "You're in")
    if javascript:
        has_focus(page, first, "Cancel")
    card(page, first).get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Give the seat back").click()
    says(page, first, "You gave your seat back.")
    says(page, first, "0 of 10 seats")
    assert card(page, second).get_by_text("Overlaps with").count() == 0

    page.get_by_role("navigation", name="Days").get_by_role("link").nth(1).click()
    says(page, full, "2 of 2 seats · full")
    card(page, full).get_by_role("button", name="Join the line").click()
    says(page, full, "1st in line")
    reserving.cancel(session_id=full.pk, person=SessionRsvp.objects.filter(session=full)[0].attendee.user_profile)

    page.get_by_role("link", name="My Schedule").click()
    page.get_by_role("heading", name="A seat for you").wait_for()
    card(page, full).get_by_role("button", name="Accept").click()
    says(page, full, "You're in.")
    assert page.get_by_role("heading", name="A seat for you").count() == 0
    assert page.locator("article").count() == 2
    mine = SessionRsvp.objects.confirmed().filter(attendee=ada).values_list("session", flat=True)
    assert set(mine) == {second.pk, full.pk} and WaitlistEntry.objects.get(attendee=ada).status == "accepted"
    if javascript:
        heard(page, "You're in.")
        has_focus(page, full, "Cancel")
        assert card(page, full).get_by_role("link", name="Popular", exact=True).bounding_box()["height"] >= 44


def test_a_button_of_a_page_from_before_signing_in_again_leads_back_to_it(visit, harbour, ada):
    said = []
    for number, javascript in enumerate([True, False]):
        session = at(harbour, 2 * number)
        page = visit(ada.user_profile, javascript=javascript, is_watched=False)
        page.on("console", lambda line: said.append(line.text))
        page.goto("/e/harbour/agenda/?q=")
        another = {"name": "csrftoken", "value": 32 * "a"}  # as signing in anew in this browser sets it
        page.context.add_cookies([another | {"url": page.url.partition("/e/")[0]}])
        card(page, session).get_by_role("button", name="RSVP").click()
        page.get_by_role("heading", name="This page was too old.").wait_for()
        assert not SessionRsvp.objects.filter(session=session).exists()
        page.get_by_role("link", name="Open the page again").click()
        page.wait_for_url("**/e/harbour/agenda/?q=")
        card(page, session).get_by_role("button", name="RSVP").click()
        says(page, session, "You're in.")
    assert [line for line in said if "Content Security Policy" in line] == []


@pytest.mark.parametrize("javascript", [True, False], ids=["htmx", "plain"])
def test_seats_are_chosen_and_feedback_is_given_on_a_sessions_page(visit, harbour, ada, javascript):
    Attendee.objects.filter(pk=ada.pk).update(plus_ones=2, attendance_status="present")
    session = at(harbour, 0, title="Keeping promises", capacity=4)
    first, second = at(harbour, 2), at(harbour, 3)
    for one in (first, second):
        SessionRsvpFactory(session=one, attendee=ada)
    page = visit(ada.user_profile, javascript=javascript)
    page.goto(f"/e/harbour/agenda/{session.pk}/")
    page.get_by_label("How many seats").select_option(label="2 seats")
    page.get_by_role("button", name="RSVP").click()
    says(page, session, "You're in, with 2 seats.")
    if javascript:
        heard(page, "You're in, with 2 seats.")
        has_focus(page, session, "Give the seats back")
    card(page, session).get_by_role("link", name="Give the seats back").click()
    page.get_by_text("Give your seats back?").wait_for()
    page.get_by_role("link", name="Keep the seats").click()
    says(page, session, "You're in, with 2 seats")
    if javascript:
        has_focus(page, session, "Give the seats back")
    # On My Schedule a session has no card any more, once it is given back.
    page.get_by_role("link", name="My Schedule").click()
    card(page, first).get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Give the seat back").click()
    page.locator("main .notice").get_by_text("You gave your seat back.").wait_for()
    assert page.locator("article").count() == 2
    if javascript:
        heard(page, "You gave your seat back.")
        page.wait_for_function("document.activeElement.matches('h1')")
    # On another phone it was given back: this one still has the link.
    reserving.cancel(session_id=second.pk, person=ada.user_profile)
    card(page, second).get_by_role("link", name="Cancel").click()
    page.locator("main .notice").get_by_text("This changed meanwhile.").wait_for()
    assert page.locator("article, h1").count() == 2
    card(page, session).get_by_role("link", name="Keeping promises", exact=True).click()
    now = timezone.now()
    Session.objects.filter(pk=session.pk).update(starts_at=now - timedelta(hours=2), ends_at=now)
    page.wait_for_url(f"**/{session.pk}/")
    page.reload()
    page.get_by_label("4 stars").check(force=True)
    page.get_by_label("Anything to add?").fill("Kept them.")
    page.get_by_role("button", name="Send feedback").click()
    page.get_by_text("Thank you for your feedback.").wait_for()
    assert list(SessionFeedback.objects.values_list("rating", "comment")) == [(4, "Kept them.")]


def test_times_are_the_events_wherever_the_phone_is(visit, harbour, ada):
    session = at(harbour, 0, title="Keeping promises")
    SessionRsvpFactory(session=session, attendee=ada)
    page = visit(ada.user_profile, timezone_id="Pacific/Auckland", locale="en-NZ")
    page.goto("/e/harbour/my-schedule/")
    assert page.evaluate("new Date().getTimezoneOffset()") <= -720
    assert page.get_by_text("Times in Europe/Berlin").is_visible()
    day = page.get_by_role("heading", level=2).inner_text()
    assert day == f"{harbour.starts_at:%A} {harbour.starts_at.day} {harbour.starts_at:%B}"
    assert card(page, session).locator("time").inner_text() == "10:00–10:45"


def test_a_click_that_htmx_gets_no_good_answer_to_is_sent_as_it_is(visit, harbour, ada):
    session, gone, other = (at(harbour, hours, title=f"Session {hours}") for hours in (0, 2, 4))
    page = visit(ada.user_profile, is_watched=False)
    page.goto("/e/harbour/agenda/")
    asked = []
    page.on("request", lambda one: asked.append(one.is_navigation_request()) if one.method == "POST" else None)
    # A connection that was lost says so, and nothing is written.
    page.context.set_offline(True)
    card(page, session).get_by_role("button", name="RSVP").click()
    says(page, session, "No connection: nothing was sent. Try again.")
    page.context.set_offline(False)
    card(page, session).get_by_role("button", name="RSVP").click()
    says(page, session, "You're in.")
    assert asked == [False, False]
    # What isn't there any more is told by the site's own page.
    Session.objects.filter(pk=gone.pk).delete()
    card(page, gone).get_by_role("button", name="RSVP").click()
    page.get_by_role("heading", name="There is nothing here, or you may not see it.").wait_for()
    assert asked == [False, False, False, True]
    # Whoever is signed out meanwhile signs in.
    page.goto("/e/harbour/agenda/")
    page.context.clear_cookies(name="sessionid")
    card(page, other).get_by_role("button", name="RSVP").click()
    page.wait_for_url("**/sign-in/?next=*")
    assert list(SessionRsvp.objects.values_list("session", flat=True)) == [session.pk]


LONG = "Incomprehensibilities of counterrevolutionaries in deinstitutionalised electroencephalographs, " * 3


def test_nothing_stands_in_anybodys_way(visit, harbour, ada):
    """Light and dark, on a phone and on a desk; with words of any length and direction."""
    hall = RoomFactory(event=harbour, name="Laboratory of the first floor, " * 4)
    sessions = [
        at(harbour, 0, title=LONG[:300], capacity=9, room=hall, track="T" * 60, session_type="Workshop"),
        at(harbour, 0.5, title="مرحبا بالعالم", capacity=2),
        at(harbour, 2, title="Full", capacity=1),
        at(harbour, 4, title="Offered", capacity=1),
        at(harbour, 5, title="Cancelled", capacity=1),
        at(harbour, 6, title="Later", rsvp_opens_at=harbour.starts_at),
    ]
    sessions[0].speakers.add(SpeakerFactory(event=harbour, name="Wolfeschlegelsteinhausenbergerdorff" * 2))
    person = ada.user_profile
    for number in (0, 1, 4):
        reserving.reserve(session_id=sessions[number].pk, person=person)
    for number in (2, 3):
        taken(sessions[number], 1)
        line.join(session_id=sessions[number].pk, person=person)
    other = SessionRsvp.objects.get(session=sessions[3]).attendee.user_profile
    reserving.cancel(session_id=sessions[3].pk, person=other)
    acts.cancel(session_id=sessions[4].pk, actor=None, reason="")
    page = visit(person, reduced_motion="reduce")  # a colour half way to another is nobody's to read
    own = f"agenda/{sessions[0].pk}/"
    pages = ["agenda/", own, f"{own}cancel/", "my-schedule/", "calendar/", "ticket/"]
    faults, wide = {}, []
    for address in pages:
        page.goto(f"/e/harbour/{address}")
        faults[address] = serious_faults(page)
        page.emulate_media(color_scheme="dark")
        faults[address] += serious_faults(page) if address not in ("calendar/", "ticket/") else []
        page.emulate_media(color_scheme="light")
        for width in (390, 1400):
            page.set_viewport_size({"width": width, "height": 844})
            wide += [] if fits(page) else [(address, width)]
        page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/e/harbour/agenda/")
    card(page, sessions[0]).get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Give the seat back").wait_for()
    faults["asked"] = serious_faults(page)
    assert (faults, wide) == (dict.fromkeys([*pages, "asked"], []), [])
