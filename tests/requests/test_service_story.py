"""The whole story side by side, in a real Chromium: a customer, and two mechanics of whom one gets the request."""

import pytest
from django.test import Client
from playwright.sync_api import expect

from config.api import limiter
from requests.models import SessionMessage, SessionRequest
from tests.axe import fits, serious_faults
from tests.factories import AttendeeFactory, EventFactory, MechanicFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AT_ONCE = 3_000
"""Milliseconds: too few for a page that asks by itself."""
PATIENT = 20_000


@pytest.fixture
def side_by_side(chromium, live_server, live_stream):
    """``side_by_side(person, backend, width)``: each in a browser of their own."""
    limiter().storage.reset()
    contexts = []

    def opened(person, backend, width):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, base_url=live_server.url, bypass_csp=True
        )
        contexts.append(context)
        client = Client()
        client.force_login(person, backend=f"events.sign_in.{backend}")
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        context.set_default_timeout(PATIENT)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


def waiting(board):
    return board.locator("[data-list=waiting] > .board-card:not(.board-gone)")


def accept_soon(board, request):
    """In a moment, so that two can be told one after the other and click at the same time."""
    board.evaluate("id => setTimeout(() => document.getElementById(id).click(), 500)", f"accept-{request.pk}")


def says(page, words):
    page.locator(".line-body").get_by_text(words, exact=True).wait_for()


def write(page, words):
    page.get_by_label("Your message").fill(words)
    page.get_by_role("button", name="Send").click()


@pytest.mark.parametrize("width", [1400, 390])
def test_two_mechanics_and_a_customer(side_by_side, live_stream, width):
    event = EventFactory(title="Harbour Ride", slug="harbour")
    ada = AttendeeFactory(event=event, user_profile__first_name="Ada", user_profile__last_name="Byron").user_profile
    people = {
        name: MechanicFactory(organization=event.organization, display_name=name, user_profile__first_name=name)
        for name in ("Bo", "Cy")
    }
    customer = side_by_side(ada, "LinkBackend", width)
    boards = {name: side_by_side(one.user_profile, "EmailBackend", width) for name, one in people.items()}
    for board in boards.values():
        board.goto("/admin/requests/sessionrequest/board/")
        board.locator("#board-live[data-how=live]").wait_for()
        assert waiting(board).count() == 0

    # The customer asks, and it is on both screens at once.
    customer.goto("/e/harbour/")
    customer.get_by_role("link", name="Ask for help").click()
    customer.get_by_label("What do you need help with?").fill("The chain keeps jumping off.")
    customer.get_by_label("It is urgent").check()
    customer.get_by_role("button", name="Ask for help").click()
    customer.get_by_role("heading", name="You're next").wait_for()
    customer.locator("[data-stream=online]").wait_for()
    request = SessionRequest.objects.get()
    for board in boards.values():
        expect(waiting(board)).to_have_count(1, timeout=AT_ONCE)
        expect(waiting(board)).to_contain_text("Urgent")

    # Both want it. One gets it; the other is told whose it is, and it is off their screen.
    for board in boards.values():
        accept_soon(board, request)
    for board in boards.values():
        board.locator(".board-said, .board-meeting").wait_for()
    request.refresh_from_db()
    winner = request.mechanic.display_name
    (loser,) = people.keys() - {winner}
    first, second = boards[winner], boards[loser]
    expect(second.get_by_text(f"{winner} has accepted it already.")).to_be_visible()
    expect(waiting(second)).to_have_count(0)
    expect(second.get_by_role("link", name="Open session")).to_have_count(0)
    expect(customer.get_by_role("heading", name=f"{winner} is here for you")).to_be_visible(timeout=AT_ONCE)

    # Both meet at one address.
    first.locator("h1.turnout-title").get_by_text("Ada Byron").wait_for()
    assert first.url.endswith(f"/session/{request.session_id}/")
    first.goto(f"/help/{request.session_id}/")
    assert first.url.endswith(f"/session/{request.session_id}/")
    assert fits(first) and serious_faults(first) == []
    first.locator("[data-stream=online]").wait_for()
    write(customer, "Hello! It is the red one.")
    says(first, "Hello! It is the red one.")
    write(first, "I see it.\nOne moment.")
    says(customer, "I see it.\nOne moment.")
    assert second.goto(f"/help/{request.session_id}/").status == 404
    second.goto("/admin/requests/sessionrequest/board/")
    second.locator("#board-live[data-how=live]").wait_for()

    # Handed back, and taken by the other: on the phones without the stream.
    if width == 390:
        live_stream.kill()
        for page in (customer, second):
            page.locator("[data-stream=offline], #board-live[data-how=polling]").wait_for()
    first.get_by_role("button", name="Hand back").click()
    first.wait_for_url("**/board/")
    expect(customer.get_by_text(f"{winner} could not go on.")).to_be_visible()
    expect(waiting(second)).to_have_count(1)
    waiting(second).get_by_role("button", name="Accept").click()
    says(second, "Hello! It is the red one.")
    expect(customer.get_by_role("heading", name=f"{loser} is here for you")).to_be_visible()
    write(second, "Now it is me.")
    says(customer, "Now it is me.")
    assert first.goto(f"/help/{request.session_id}/").status == 404
    assert fits(customer) and serious_faults(customer) == []
    second.once("dialog", lambda dialog: dialog.accept())
    second.get_by_role("button", name="Done").click()
    second.wait_for_url("**/board/")
    expect(customer.get_by_role("heading", name="Done")).to_be_visible()
    expect(customer.get_by_text("This session is over: nothing more can be written.")).to_be_visible()
    expect(second.locator("[data-list=done] > .board-card")).to_have_count(1)

    request.refresh_from_db()
    assert (request.status, request.mechanic) == ("completed", people[loser])
    assert SessionMessage.objects.count() == 3
    steps = request.log.order_by("pk").values_list("reason", flat=True)
    assert list(steps) == ["asked", "accepted", "released", "accepted", "completed"]
