"""The board in a real Chromium: mechanics and an organiser side by side, with the live stream and without it."""

import re

import pytest
from django.test import Client
from playwright.sync_api import expect

from requests.models import Mechanic, ServiceSession, SessionMessage, SessionRequest
from requests.operations import mechanics, taking, talking
from tests import factories
from tests.axe import fits, serious_faults

from .test_board import ask, named

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BOARD = "/admin/requests/sessionrequest/board/"
AT_ONCE = 3_000
"""Milliseconds: less than the board polls, on a machine that is busy."""
SOON = 15_000


@pytest.fixture
def event():
    return factories.EventFactory(title="Harbour Ride")


@pytest.fixture
def max_(event):
    return factories.MechanicFactory(organization=event.organization, user_profile=named("Max"), display_name="Max M")


@pytest.fixture
def ines(event):
    return factories.MechanicFactory(organization=event.organization, user_profile=named("Ines"), display_name="Ines I")


@pytest.fixture
def visit(chromium, live_server):
    """``visit(person, width=390)``: a page of the admin, signed in."""
    contexts, errors = [], []

    def opened(person, path=BOARD, *, width=1400, **settings):
        size = {"width": width, "height": 900}
        context = chromium.new_context(viewport=size, base_url=live_server.url, bypass_csp=True, **settings)
        contexts.append(context)
        context.set_default_timeout(SOON)
        client = Client()
        client.force_login(person, backend="events.sign_in.EmailBackend")
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def card(page, request):
    return page.locator(f"#request-{request.pk}")


def in_column(page, column, request):
    return page.locator(f"[data-list={column}] #request-{request.pk}:not(.board-gone)")


def is_live(page):
    expect(page.locator("#board-live")).to_have_text("Live", timeout=SOON)


def count(page, number):
    title = f"({number}) Service board" if number else "Service board"
    expect(page).to_have_title(re.compile(f"^{re.escape(title)}"), timeout=SOON)


def test_what_one_mechanic_takes_leaves_the_others_screen_at_once(visit, live_stream, event, max_, ines):
    first, second = visit(max_.user_profile), visit(ines.user_profile)
    desk = visit(factories.member(event.organization, "organizer"))
    for page in (first, second, desk):
        is_live(page)
        count(page, 0)
        assert "Nobody waits." in page.inner_text(".board-waiting")
    request = ask(event, "Cara", urgent=True, concern="No brakes")
    for page in (first, second, desk):
        expect(in_column(page, "waiting", request)).to_contain_text("URGENT", ignore_case=True, timeout=AT_ONCE)
        count(page, 1)
    expect(second.locator("#board-said")).to_have_text("New request: Cara Doe")
    first.get_by_role("button", name="Accept: Cara Doe").click()
    first.wait_for_url(f"**/session/{request.session_id}/")
    expect(first.get_by_text("It is yours.")).to_be_visible()
    expect(card(second, request)).to_have_count(0, timeout=AT_ONCE)
    expect(in_column(desk, "taken", request)).to_contain_text("Max M", timeout=AT_ONCE)
    first.go_back()
    expect(in_column(first, "taken", request)).to_contain_text("Yours", timeout=AT_ONCE)
    for page in (first, second, desk):
        count(page, 0)
    first.get_by_role("button", name="Hand back: Cara Doe").click()
    for page in (first, second, desk):
        expect(in_column(page, "waiting", request)).to_be_visible(timeout=AT_ONCE)


def test_two_quick_taps_take_one_request(visit, live_stream, event, max_):
    """The first leads to its session; until it is there, no other one is accepted."""
    asked = [ask(event, name, minutes=9 - place) for place, name in enumerate(("Anna", "Bert", "Cleo"))]
    page = visit(max_.user_profile, width=390)
    is_live(page)
    page.evaluate(
        "ids => ids.forEach((id) => document.getElementById(id).click())", [f"accept-{one.pk}" for one in asked]
    )
    page.wait_for_url(f"**/session/{asked[0].session_id}/")
    page.go_back()
    expect(page.locator(".board-waiting h2")).to_have_text("Waiting 2")
    assert max_.session_requests.get() == asked[0]


def test_what_slides_under_the_finger_is_not_taken(visit, live_stream, event, max_):
    """As the finger goes down where somebody else's button was a moment ago; with a look at it, it is."""
    calm = ask(event, "Cara", minutes=5)
    page = visit(max_.user_profile)
    is_live(page)
    page.evaluate(
        """id => {
            const list = document.querySelector("[data-list=waiting]");
            const at = document.getElementById(id).getBoundingClientRect();
            const point = { clientX: at.x + 5, clientY: at.y + 5, bubbles: true };
            new MutationObserver((_changes, watching) => setTimeout(() => {
                watching.disconnect();
                list.dispatchEvent(new PointerEvent("pointerdown", point));
                list.querySelector("[id^=accept-]").click();
            })).observe(list, { childList: true });
        }""",
        f"accept-{calm.pk}",
    )
    hot = ask(event, "Hot", urgent=True)
    expect(card(page, hot)).to_contain_text("The list moved as you tapped.", timeout=AT_ONCE)
    assert not max_.session_requests.exists()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Accept: Hot Doe").click()
    page.wait_for_url(f"**/session/{hot.session_id}/")


def test_what_slid_under_the_finger_stays_untaken_while_the_list_goes_on_changing(visit, event, max_):
    """What changed last isn't all that changed before anybody could see it."""
    first, second, third = (ask(event, name, minutes=9 - place) for place, name in enumerate(("Anna", "Bert", "Cleo")))
    page = visit(max_.user_profile)
    button = page.locator(f"#accept-{second.pk}").bounding_box()
    taking.cancel(request_id=first.pk, actor=first.customer)
    slides = page.request.get(page.get_attribute("#board", "data-source")).text()
    ask(event, "Dora")
    grows = page.request.get(page.get_attribute("#board", "data-source")).text()
    page.route("**/board/rows/**", lambda route: route.fulfill(body=answers.pop(0), content_type="text/html"))
    answers = [slides, grows, grows]
    gone, came = (f"#request-{one.pk}" for one in (first, SessionRequest.objects.latest("pk")))
    page.evaluate(
        """([gone, came, x, y]) => new Promise((done) => {
            const look = () => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
            const watching = new MutationObserver(() => {
                if (!document.querySelector(gone)) look();
                if (!document.querySelector(came)) return;
                watching.disconnect();
                const point = { clientX: x, clientY: y, bubbles: true };
                const under = document.elementFromPoint(x, y);
                under.dispatchEvent(new PointerEvent("pointerdown", point));
                under.click();
                done();
            });
            watching.observe(document.getElementById("board-rows"), { childList: true, subtree: true });
            look();
        })""",
        [gone, came, button["x"] + 5, button["y"] + 5],
    )
    expect(card(page, third)).to_contain_text("The list moved as you tapped.")
    assert not max_.session_requests.exists()


def test_a_message_shows_on_the_card_of_who_has_it(visit, live_stream, event, max_):
    request = ask(event, "Cara")
    taking.accept(request_id=request.pk, person=max_.user_profile)
    page = visit(max_.user_profile)
    is_live(page)
    assert "to answer" not in card(page, request).inner_text()
    for words in ("Hello?", "Are you there?"):
        talking.say(session_id=request.session_id, person=request.customer, body=words)
    expect(card(page, request)).to_contain_text("2 messages to answer", timeout=AT_ONCE)
    talking.say(session_id=request.session_id, person=max_.user_profile, body="Coming")
    expect(card(page, request)).not_to_contain_text("to answer", timeout=AT_ONCE)


def test_who_comes_too_late_is_told_by_whom_it_was_taken(visit, event, max_, ines):
    request = ask(event, "Cara")
    page = visit(ines.user_profile)
    page.route("**/board/rows/**", lambda route: route.abort())
    taking.accept(request_id=request.pk, person=max_.user_profile)
    accept = page.get_by_role("button", name="Accept: Cara Doe")
    accept.dblclick()
    said = card(page, request).locator(".board-said")
    expect(said).to_have_text("Max M has accepted it already.")
    expect(page.locator("#board-live")).to_have_text("No connection: what you see may be old")
    page.unroute("**/board/rows/**")
    expect(accept).to_have_count(0, timeout=SOON)  # the card is gone, what was said of it is still to be read
    expect(said).to_be_visible()
    expect(page.locator(".board-waiting h2")).to_have_text("Waiting 0")
    request.refresh_from_db()
    assert (request.mechanic, request.log.count()) == (max_, 2)


def test_without_the_stream_the_board_polls_and_comes_back_to_it(visit, live_stream, event, max_):
    page = visit(max_.user_profile)
    is_live(page)
    live_stream.kill()
    expect(page.locator("#board-live")).to_have_text("Every 5 seconds", timeout=SOON)
    request = ask(event, "Cara")
    expect(in_column(page, "waiting", request)).to_be_visible(timeout=SOON)
    live_stream.start()
    is_live(page)
    other = ask(event, "Dora")
    expect(in_column(page, "waiting", other)).to_be_visible(timeout=AT_ONCE)


def test_what_is_open_chosen_and_focused_stays_while_the_board_changes(visit, live_stream, event, max_, ines):
    long = "The bottom bracket creaks under load. " * 10
    request = ask(event, "Cara", minutes=5, concern=long)
    page = visit(factories.member(event.organization, "organizer"))
    is_live(page)
    page.click(f"#concern-{request.pk} summary")
    page.click(f"#manage-{request.pk} summary")
    page.select_option(f"#mechanic-{request.pk}", str(ines.pk))
    page.focus(f"#give-{request.pk}")
    ask(event, "Late", minutes=9, urgent=True)
    expect(page.locator("[data-list=waiting] .board-card").first).to_contain_text("Late Doe", timeout=AT_ONCE)
    SessionRequest.objects.filter(pk=request.pk).update(urgent=True)  # the card itself is written anew
    expect(card(page, request)).to_contain_text("URGENT", ignore_case=True, timeout=AT_ONCE)
    assert page.locator("details[open]").count() == 2
    assert page.input_value(f"#mechanic-{request.pk}") == str(ines.pk)
    assert page.evaluate("document.activeElement.id") == f"give-{request.pk}"
    before = page.inner_text(f"#request-{request.pk} .board-age")
    expect(card(page, request).locator(".board-age")).not_to_have_text(before)
    page.keyboard.press("Enter")
    expect(in_column(page, "taken", request)).to_contain_text("Ines I", timeout=AT_ONCE)
    expect(card(page, request).locator(".board-said")).to_have_text("Ines I has it now.")


def test_the_duty_switch(visit, live_stream, event, max_):
    request = ask(event, "Cara")
    page = visit(max_.user_profile, width=390)
    desk = visit(factories.member(event.organization, "organizer"))
    is_live(desk)
    switch = page.get_by_role("switch")
    expect(switch).to_be_checked()
    switch.click()
    expect(switch).not_to_be_checked()
    expect(page.locator(".board-me")).to_contain_text("You are off duty")
    expect(card(page, request)).to_have_count(0)
    assert not Mechanic.objects.get().on_duty
    assert page.evaluate("document.activeElement.getAttribute('role')") == "switch"
    switch.click()
    expect(in_column(page, "waiting", request)).to_be_visible()


def test_a_sound_if_wanted(visit, event, max_):
    page = visit(max_.user_profile)
    sound = page.get_by_role("button", name="Sound")
    expect(sound).to_have_attribute("aria-pressed", "false")
    ask(event, "Silent")
    expect(page.locator(".board-card")).to_have_count(1, timeout=SOON)
    assert page.get_attribute("#board", "data-beeps") is None
    sound.click()
    assert page.get_attribute("#board", "data-beeps") == "1"
    page.reload()
    expect(sound).to_have_attribute("aria-pressed", "true")
    ask(event, "Loud")
    expect(page.locator(".board-card")).to_have_count(2, timeout=SOON)
    assert page.get_attribute("#board", "data-beeps") == "1"


def test_without_a_script_buttons_work(visit, event, max_):
    request = ask(event, "Cara")
    page = visit(max_.user_profile, java_script_enabled=False)
    page.get_by_role("button", name="Accept: Cara Doe").click()
    page.get_by_text("It is yours.").wait_for()
    page.fill("#say", "On my way")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url(f"**/session/{request.session_id}/*")
    assert SessionMessage.objects.get().body == "On my way"
    page.get_by_role("button", name="Done").click()
    assert BOARD in page.url
    assert "Done. The customer can read what was said." in page.inner_text("body")
    assert ServiceSession.objects.get().status == "completed"


def test_what_was_refused_stays_to_be_put_right(visit, live_stream, event, max_):
    request = ask(event, "Cara", session_type="video")
    taking.accept(request_id=request.pk, person=max_.user_profile)
    page = visit(max_.user_profile, f"/admin/requests/sessionrequest/session/{request.session_id}/")
    page.fill("input[name=place]", "meet me there")
    page.evaluate("document.querySelector('input[name=place]').form.noValidate = true")
    page.get_by_role("button", name="Tell the customer").click()
    error = page.locator("[data-part=place]").get_by_text("link")
    error.first.wait_for()
    page.locator("[data-stream=online]").wait_for()
    talking.say(session_id=request.session_id, person=request.customer, body="I am there")
    expect(page.locator(".thread")).to_contain_text("I am there", timeout=AT_ONCE)
    expect(error.first).to_be_visible()
    expect(page.locator("input[name=place]")).to_have_value("meet me there")


def test_whoever_signs_in_anew_elsewhere_goes_on_here(visit, live_stream, event, max_):
    request = ask(event, "Cara")
    page = visit(max_.user_profile)
    is_live(page)
    client = Client()
    client.force_login(max_.user_profile, backend="events.sign_in.EmailBackend")
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": "n" * 32}
    address = page.evaluate("location.origin")
    page.context.add_cookies([{"name": name, "value": value, "url": address} for name, value in cookies.items()])
    page.get_by_role("button", name="Accept: Cara Doe").click()
    page.wait_for_url(f"**/session/{request.session_id}/")


def test_a_board_does_nothing_in_the_name_of_who_signs_in_elsewhere(visit, event, max_, ines):
    request = ask(event, "Cara")
    page = visit(max_.user_profile)
    client = Client()
    client.force_login(ines.user_profile, backend="events.sign_in.EmailBackend")
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": "n" * 32}
    address = page.evaluate("location.origin")
    page.context.add_cookies([{"name": name, "value": value, "url": address} for name, value in cookies.items()])
    with page.expect_navigation():
        page.get_by_role("button", name="Accept: Cara Doe").click()
    assert page.get_attribute("[data-part=duty]", "data-person") == str(ines.user_profile_id)
    request.refresh_from_db()
    assert (request.status, request.log.count()) == ("pending", 1)
    page.get_by_role("button", name="Accept: Cara Doe").click()
    page.wait_for_url(f"**/session/{request.session_id}/")
    request.refresh_from_db()
    assert request.mechanic == ines


def test_who_goes_off_duty_is_asked_about_what_they_have(visit, event, max_):
    request = ask(event, "Cara")
    taking.accept(request_id=request.pk, person=max_.user_profile)
    page = visit(max_.user_profile)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss())[1])
    page.get_by_role("switch").click()
    expect(page.get_by_role("switch")).to_be_checked()
    assert asked == ["Go off duty? 1 request in hand goes back to the line, and its customer hears of it."]
    request.refresh_from_db()
    assert request.status == "accepted"


def test_a_mechanic_meets_the_customer(visit, live_stream, event, max_):
    request = ask(event, "Cara", session_type="video")
    page = visit(max_.user_profile, width=390)
    page.get_by_role("button", name="Accept: Cara Doe").click()
    page.fill("input[name=place]", "https://meet.example/cara")
    page.get_by_role("button", name="Tell the customer").click()
    expect(page.locator("input[name=place]")).to_have_value("https://meet.example/cara")
    talking.say(session_id=request.session_id, person=request.customer, body="I am there")
    expect(page.locator(".thread")).to_contain_text("I am there", timeout=AT_ONCE)
    page.fill("#say", "So am I")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".mine")).to_contain_text("So am I")
    assert fits(page) and serious_faults(page) == []
    ines = factories.MechanicFactory(organization=event.organization, display_name="Ines I")
    organizer = factories.member(event.organization, "organizer")
    taking.takeover(request_id=request.pk, mechanic_id=ines.pk, actor=organizer)
    expect(page.get_by_role("link", name="Back to the board")).to_be_visible(timeout=AT_ONCE)
    assert "I am there" not in page.inner_text("body")


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_can_be_read_by_all(visit, event, max_, ines, width, scheme):
    long = "The bottom bracket creaks under load. " * 10
    ask(event, "Late" * 20, minutes=12, urgent=True, concern=long, skill="brakes")
    ask(event, "Cara", minutes=3, concern="x" * 130)
    taking.mark_unattended()
    mine, done = ask(event, "Eva", session_type="in_person"), ask(event, "Gwen")
    for request in (mine, done):
        taking.accept(request_id=request.pk, person=max_.user_profile)
    taking.complete(request_id=done.pk, actor=max_.user_profile)
    mechanics.set_duty(mechanic_id=ines.pk, on=False, actor=None)
    organizer = factories.member(event.organization, "organizer")
    ledger = "/admin/requests/sessionrequest/"
    paths = {
        max_.user_profile: ["/admin/", BOARD, f"{ledger}session/{mine.session_id}/"],
        organizer: [
            "/admin/",
            BOARD,
            f"{ledger}figures/",
            ledger,
            f"{ledger}{mine.pk}/change/",
            f"{ledger}{mine.pk}/act/give/",
            "/admin/requests/mechanic/",
            f"/admin/requests/mechanic/{max_.pk}/change/",
            "/admin/requests/servicesettings/add/",
        ],
    }
    for person, theirs in paths.items():
        page = visit(person, "about:blank", width=width, color_scheme=scheme)
        for path in theirs:
            page.goto(path)
            for summary in page.locator(".board-manage summary").all():
                summary.click()
            assert fits(page), (path, width)
            assert serious_faults(page) == [], (path, scheme)
