"""A session's line in a real Chromium, on a desk and on a phone."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from events.models import Session
from rsvp.models import SessionRsvp, WaitlistEntry
from rsvp.operations import line
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

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def session():
    """Two have the two seats, and three wait; the room has one."""
    event = EventFactory(title="Harbour Conf")
    room = RoomFactory(event=event, name="Bartholomäus-Hohenstein Hall", capacity=1)
    session = SessionFactory(
        event=event,
        title="Sail repair for beginners, with needles and thread",
        capacity=2,
        room=room,
        starts_at=timezone.now() + timedelta(days=2),
    )
    for name in ("Jane", "Joe"):
        SessionRsvpFactory(session=session, attendee__user_profile=UserProfileFactory(first_name=name, last_name="Doe"))
    for name in ("Anna", "Bea", "Bartholomäus"):
        person = UserProfileFactory(first_name=name, last_name="von Hohenstein-Lichtenberg")
        WaitlistEntryFactory(session=session, attendee__user_profile=person)
    return session


@pytest.fixture
def organizer(session):
    return member(session.event.organization, "organizer")


def told(page):
    page.wait_for_load_state()
    return page.inner_text("body")


@pytest.mark.parametrize("width", [1400, 390])
def test_pages_fit_their_width_and_everybody(sign_in, session, organizer, width):
    page = sign_in(organizer, width=width)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    Session.objects.filter(pk=session.pk).update(capacity=3)
    entry = WaitlistEntry.objects.order_by("pk")[0]
    line.offer(entry_id=entry.pk, actor=organizer)
    for path in (
        "/admin/events/session/",
        f"/admin/events/session/{session.pk}/change/",
        f"/admin/events/session/{session.pk}/act/add_person/",
        "/admin/rsvp/waitlistentry/",
        f"/admin/rsvp/waitlistentry/{entry.pk}/change/",
    ):
        assert page.goto(path).status == 200
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
        if path.endswith("/change/") and "session/" in path:
            wide = "[...document.querySelectorAll('.turnout-people, .turnout-people *')].filter("
            wide += "one => !one.closest('thead') && one.getBoundingClientRect().right > innerWidth).length"
            assert page.evaluate(wide) == 0
            rows = "[...document.querySelectorAll('.turnout-rows')].map(one => one.scrollWidth - one.clientWidth)"
            assert page.evaluate(rows) == [0, 0]
        fields = {"include": [".turnout-people"]} if "act/" not in path else {"include": ["#act_form"]}
        if "/session/" in path and page.locator("form .select2").count():
            fields["include"].append("form .select2")
            found = Axe().run(page, context=fields, options={"runOnly": ["wcag2a", "wcag2aa"]})
            assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []
    page.emulate_media(color_scheme="dark")
    for path in ("/admin/rsvp/waitlistentry/", "/admin/rsvp/sessionrsvp/", "/admin/rsvp/waitlistlog/"):
        page.goto(path)
        assert page.locator("html.dark").count() == 1
        found = Axe().run(page, context="#result_list", options={"runOnly": ["color-contrast"]})
        assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []
    assert errors == []


def test_an_organiser_works_through_the_line(sign_in, session, organizer):
    page = sign_in(organizer)
    page.goto(f"/admin/events/session/{session.pk}/change/")
    page.click("text='Bea von Hohenstein-Lichtenberg' >> xpath=ancestor::tr >> text='Offer'")
    assert "The session is full: 2 of 2 seats are taken, and 3 are waiting." in told(page)
    page.click("tr:has-text('Joe Doe') >> text='Take away…'")
    page.fill("textarea[name=reason]", "It was somebody else's")
    page.click("button:has-text('Take the seats away')")
    assert "Joe Doe · Sail repair for beginners, with needles and thread: no seat any more." in told(page)
    assert page.url.endswith(f"/admin/events/session/{session.pk}/change/")
    row = page.locator("#session-line tbody tr").first
    assert "Anna von Hohenstein-Lichtenberg" in row.inner_text() and "OFFERED A SEAT" in row.inner_text()
    row.get_by_role("button", name="To the end").click()
    assert "was offered a seat, until" in told(page)
    page.click("#act_form .turnout-acts button")
    assert "thread: at the end of the line now." in told(page)
    rows = page.locator("#session-line tbody tr").all_inner_texts()
    assert [one.split()[0] + one.split()[1][:4] for one in rows] == ["–Bea", "1Bart", "2Anna"]
    assert list(WaitlistEntry.objects.in_order().values_list("status", flat=True)).count("offered") == 1


def test_somebody_is_found_and_added_to_a_full_session(sign_in, session, organizer):
    AttendeeFactory(event=session.event, user_profile=UserProfileFactory(first_name="Zoe", last_name="Near"))
    elsewhere = EventFactory(organization=session.event.organization)
    AttendeeFactory(event=elsewhere, user_profile=UserProfileFactory(first_name="Zoe", last_name="Far"))
    page = sign_in(organizer, width=390)
    page.goto(f"/admin/events/session/{session.pk}/act/add_person/")
    assert "All 2 seats are taken: the capacity will be raised from 2 to 3." in told(page)
    page.click(".select2-selection")
    page.fill(".select2-search__field", "Zoe")
    shown = "[...document.querySelectorAll('.select2-results__option')].map(one => one.textContent).join()"
    page.wait_for_function(f"/^Zoe Near[^,]*$/.test({shown})")
    page.click(".select2-results__option:has-text('Zoe Near')")
    page.fill("input[name=reason]", "Speaker's guest")
    page.click("#act_form .turnout-acts button")
    assert "Added Zoe Near. The capacity is now 3; the room Bartholomäus-Hohenstein Hall holds 1." in told(page)
    session.refresh_from_db()
    assert (session.capacity, session.seats_taken) == (3, 3)
    assert SessionRsvp.objects.get(source="organizer").attendee.user_profile.last_name == "Near"
