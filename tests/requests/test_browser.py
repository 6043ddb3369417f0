"""The organiser's desk in a real Chromium."""

import pytest
from django.db import connection

from attendance.models import Attendee
from requests.models import JoinRequest
from tests.factories import EventFactory, JoinRequestFactory, UserProfileFactory, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def full_event():
    """Thirty ask, in this order: three who need 3 places each, 27 who need one. There is room for 28."""
    event = EventFactory(capacity=28, title="Harbour Conf")
    for name in ("Jane", "John", "Jill"):
        JoinRequestFactory(event=event, plus_ones=2, user_profile=UserProfileFactory(first_name=name, last_name="Doe"))
    for number in range(27):
        JoinRequestFactory(event=event, user_profile=UserProfileFactory(first_name="Guest", last_name=f"{number}"))
    return event


def select_all(page, action):
    page.check("#action-toggle")
    page.select_option("select[name=action]", action)
    page.click("button[name=index]")
    page.wait_for_load_state()


def test_thirty_approved_at_once_of_which_three_cannot_be(sign_in, full_event):
    page = sign_in(member(full_event.organization, "organizer"))
    page.goto("/admin/requests/joinrequest/")
    select_all(page, "approve")

    text = page.inner_text("body")
    assert "27 approved." in text
    # The list has the newest first, and so have the door and the message.
    assert (
        "3 could not be changed. Jill Doe, John Doe, Jane Doe: "
        "The event is full: 27 of 28 places taken; this request needs 3." in text
    )
    assert full_event.attendees.active().count() == 27
    still = JoinRequest.objects.filter(status="pending").values_list("user_profile__first_name", flat=True)
    assert set(still) == {"Jane", "John", "Jill"}


def test_an_unexpected_error_shows_a_reference_that_the_log_has(sign_in, full_event, caplog):
    organizer = member(full_event.organization, "organizer")
    page = sign_in(organizer)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION broken() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'nobody foresaw this'; END $$"
            " LANGUAGE plpgsql"
        )
        cursor.execute("CREATE TRIGGER broken BEFORE INSERT ON event_attendees FOR EACH ROW EXECUTE FUNCTION broken()")
    try:
        page.goto("/admin/requests/joinrequest/")
        page.locator("input.action-select").nth(1).check()
        page.select_option("select[name=action]", "approve")
        page.click("button[name=index]")
        page.wait_for_load_state()
        text = page.inner_text("body")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER broken ON event_attendees; DROP FUNCTION broken()")
    assert "1 could not be changed" in text
    reference = text.split("(reference ")[1].split(")")[0]
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    [failure] = [line for line in logged if line["event"] == "admin.act_failed"]
    assert failure["request_id"] == reference
    assert "nobody foresaw this" in failure["exception"]
    assert Attendee.objects.count() == 0


@pytest.mark.parametrize("width", [1400, 390])
def test_pages_fit_their_width(sign_in, full_event, width):
    organizer = member(full_event.organization, "organizer")
    request = JoinRequest.objects.first()
    page = sign_in(organizer, width=width)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path in (
        "/admin/",
        "/admin/requests/joinrequest/",
        f"/admin/requests/joinrequest/{request.pk}/change/",
        f"/admin/requests/joinrequest/{request.pk}/act/decline/",
        "/admin/attendance/attendee/",
        "/admin/events/event/",
        f"/admin/events/event/{full_event.pk}/change/",
        "/admin/events/event/import/",
        "/admin/events/session/add/",
    ):
        assert page.goto(path).status == 200
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
    assert errors == []


def test_decline_with_a_note_from_the_requests_page(sign_in, full_event):
    organizer = member(full_event.organization, "organizer")
    request = JoinRequest.objects.first()
    page = sign_in(organizer)
    page.goto(f"/admin/requests/joinrequest/{request.pk}/change/")
    page.get_by_role("link", name="Decline").click()
    page.fill("textarea[name=note]", "Sorry, full house")
    page.get_by_role("button", name="Decline").click()
    page.wait_for_url("**/change/")
    assert "1 declined." in page.inner_text("body")
    request.refresh_from_db()
    assert (request.status, request.decision_note, request.decided_by_id) == (
        "declined",
        "Sorry, full house",
        organizer.pk,
    )
