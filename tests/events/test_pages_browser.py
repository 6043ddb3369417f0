"""The way of an attendee, from a stranger's look at the event to a place in it, in a real Chromium."""

import re

import pytest

from config.api import limiter
from events.models import UserProfile
from messaging import tasks
from requests.models import JoinRequest
from requests.operations import join_requests
from tests.axe import fits, serious_faults
from tests.factories import EventFactory, JoinRequestFactory, OrganizationFactory, UserProfileFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.fixture
def browse(chromium, live_server):
    """``browse(width=390, javascript=True, scheme="light")``: a page on the site."""
    limiter().storage.reset()
    contexts = []

    def opened(width=390, *, javascript=True, scheme="light", cookies=()):
        context = chromium.new_context(
            viewport={"width": width, "height": 844},
            base_url=live_server.url,
            java_script_enabled=javascript,
            color_scheme=scheme,
        )
        contexts.append(context)
        context.add_cookies([{"name": name, "value": value, "url": live_server.url} for name, value in cookies])
        context.set_default_timeout(IMPATIENT)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def signed_in(browse, client):
    """``signed_in(person, …)``: a page of somebody who came by a link."""

    def opened(person, **how):
        client.force_login(person, backend="events.sign_in.LinkBackend")
        return browse(cookies=[("sessionid", client.cookies["sessionid"].value)], **how)

    return opened


@pytest.fixture
def harbour():
    return EventFactory(title="Harbour Conf", venue="Warehouse 7", capacity=50, description="Ships\n\nand <b>ropes</b>")


@pytest.mark.parametrize("javascript", [True, False])
def test_from_a_stranger_to_a_place(browse, harbour, mailoutbox, javascript):
    page = browse(javascript=javascript)
    page.goto(f"/e/{harbour.slug}/")
    page.get_by_role("link", name="Ask to join").click()
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_role("button", name="Send me the link").click()
    assert "A letter to ada@example.org is on its way." in page.inner_text("main")

    tasks.send_letters()
    page.goto(re.search(r"http\S+?(/sign-in/\S+/)", mailoutbox[0].body)[1])
    page.get_by_label("First name").fill("Ada")
    page.get_by_label("Last name").fill("Lovelace")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(f"**/e/{harbour.slug}/join/")
    assert "You are signed in as Ada Lovelace." in page.inner_text("[role=status]")

    page.get_by_label("How many come along").fill("1")
    page.get_by_label("A word to the organisers").fill("With my mother")
    page.get_by_role("button", name="Ask to join").dblclick()
    page.wait_for_url(f"**/e/{harbour.slug}/")
    assert "You have asked to join" in page.inner_text("main")
    request = JoinRequest.objects.get()
    assert (request.plus_ones, request.comments) == (1, "With my mother")
    assert request.user_profile == UserProfile.objects.get(email="ada@example.org")

    join_requests.approve(request_id=request.pk, actor=None)
    page.reload()
    assert "You're coming" in page.inner_text("main")
    page.get_by_role("link", name="I can't come after all").click()
    page.get_by_role("button", name="Give it back").click()
    page.wait_for_url(f"**/e/{harbour.slug}/")
    assert "Your place is given back." in page.inner_text("[role=status]")

    page.locator(".me summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"**/e/{harbour.slug}/")
    assert "You are signed out." in page.inner_text("[role=status]")


def states(harbour):
    """An address for each look that the pages have."""
    person = UserProfileFactory(first_name=LONG, last_name="سلام", email=f"{'a' * 60}@{'b' * 60}.example.org")
    long = EventFactory(
        organization=OrganizationFactory(name=LONG),
        slug="x" * 80,
        title=LONG * 3,
        venue=LONG * 2,
        description=f"https://example.org/{LONG * 4}",
    )
    right_to_left = EventFactory(title="مؤتمر البرمجيات الحرة", description="أهلا وسهلا بكم", venue="القاهرة")
    pending, declined, coming = (EventFactory() for _number in range(3))
    JoinRequestFactory(event=pending, user_profile=person, plus_ones=2, comments=LONG * 5)
    no = JoinRequestFactory(event=declined, user_profile=person)
    join_requests.decline(request_id=no.pk, actor=None, note=LONG * 5)
    yes = JoinRequestFactory(event=coming, user_profile=person)
    join_requests.approve(request_id=yes.pk, actor=None)
    over, off = EventFactory(status="completed"), EventFactory(status="cancelled")
    full = EventFactory(capacity=0, approval_mode="auto")
    events = {
        "usual": harbour, "long": long, "rtl": right_to_left, "pending": pending, "declined": declined,
        "coming": coming, "over": over, "off": off, "full": full,
    }  # fmt: skip
    addresses = {name: f"/e/{event.slug}/" for name, event in events.items()}
    forms = {
        "list": "/e/",
        "ask": f"/e/{long.slug}/join/",
        "change": f"/e/{pending.slug}/join/",
        "withdraw": f"/e/{pending.slug}/join/withdraw/",
        "give-back": f"/e/{coming.slug}/join/withdraw/",
    }
    return person, addresses | forms


SMALL = """() => [...document.querySelectorAll('main a.button, button, nav a, input:not([type=hidden]), summary')]
    .filter(one => one.offsetParent !== null && one.getBoundingClientRect().height < 43.9)
    .map(one => one.outerHTML.slice(0, 80))"""
"""What a thumb would miss."""
IMPATIENT = 10_000
"""Milliseconds, for a machine that is busy."""


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_every_state_is_readable_for_everybody(signed_in, browse, harbour, width, scheme):
    person, addresses = states(harbour)
    page = signed_in(person, width=width, scheme=scheme)
    errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    for name, address in addresses.items():
        page.goto(address)
        assert fits(page), name
        assert serious_faults(page) == [], name
        assert page.evaluate(SMALL) == [], name
    page.locator(".me summary").click()
    assert fits(page) and serious_faults(page) == []

    stranger = browse(width=width, scheme=scheme)
    for address in ("/sign-in/", addresses["usual"], "/sign-in/nonsense/"):
        stranger.goto(address)
        assert fits(stranger) and serious_faults(stranger) == [] and stranger.evaluate(SMALL) == [], address
    assert [one for one in errors if "404" not in one] == []


def test_keys_alone_lead_past_the_top(browse, harbour):
    page = browse()
    page.goto(f"/e/{harbour.slug}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Ask to join"
