"""A message from the first word to the last delivery, in a real Chromium, on a desk and on a phone."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from config.post_office import Fault
from events.models import IntegrityResult
from messaging.models import ChannelState, Message
from messaging.operations import announcements, sending
from tests.factories import AttendeeFactory, EventFactory, EventGuestFactory, MessageFactory, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NAMES = ("Anna", "Ben", "Cleo", "Dan", "Eve")


@pytest.fixture
def harbour(post_office):
    """Five guests, all with an e-mail address, and two with a number."""
    event = EventFactory(title="Harbour Conf")
    for number, name in enumerate(NAMES):
        phone = f"+1415555010{number}" if number < 2 else None
        EventGuestFactory(event=event, guest_name=name, email=f"{name.lower()}@example.org", phone=phone)
    return event


@pytest.fixture
def errors():
    """What went wrong on the pages that were watched for it: ``errors(page)``."""
    found = []

    def watch(page):
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
        return page

    yield watch
    assert found == []


def fits(page) -> bool:
    page.wait_for_load_state("networkidle")
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1400, 390])
def test_a_message_from_the_first_word_to_the_last_delivery(sign_in, harbour, post_office, errors, width):
    organizer = member(harbour.organization, "organizer", first_name="Olga")
    page = errors(sign_in(organizer, width=width))
    page.goto("/admin/messaging/message/add/")
    page.fill("input[name=subject]", "Doors")
    page.fill("textarea[name=body]", "Dear {name}, {event} opens at nine.")
    assert page.inner_text("#message-length") == "35 characters"
    page.check("input[name=channels][value=sms]")
    assert page.inner_text("#message-length").endswith("as an SMS: 1 part(s), if names are of usual length")
    page.uncheck("input[name=channels][value=sms]")
    page.uncheck("input[name=channels][value=push]")
    assert not page.is_visible("input[name=scheduled_at_0]") and not page.is_visible("input[name=relative_0]")
    page.check("input[name=when][value=relative]")
    assert page.is_visible("input[name=relative_0]") and fits(page)
    page.check("input[name=when][value=now]")
    page.check("input[name=audience][value=invited]")
    page.click("text=Save and preview")

    page.wait_for_url("**/preview/")
    text = page.inner_text("#content")
    assert "5 people get it" in text and "Dear Anna, Harbour Conf opens at nine." in text and "a…@example.org" in text
    assert fits(page)
    page.click("text=Send a test to myself")
    page.wait_for_selector("text=A test is on its way to you: In the app, E-mail.")
    assert sending.run(channel="email") == 1
    assert [(mail.recipients, mail.message["Subject"]) for mail in post_office.mails] == [
        ((organizer.email,), "Test: Doors")
    ]

    page.dblclick("text=Send now to 5 people")
    page.wait_for_url("**/change/")
    page.wait_for_selector("text=Sending begins")
    message = Message.objects.get(kind="announcement")
    assert message.history.filter(status="sending").count() == 1
    sending.fan_out(message_id=message.pk)
    page.wait_for_selector("text=Sending 5 of 10")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("text=Stopped at 5 of 10")
    assert fits(page) and sending.run(channel="email") == 0
    page.get_by_role("button", name="Continue").click()
    page.wait_for_selector("text=Sending 5 of 10")

    def fault(asked):
        return Fault(status=550, message="No such user") if asked.get("address") == "cleo@example.org" else None

    post_office.faults = fault
    sending.run(channel="email")
    page.wait_for_selector("text=Not arrived, and why")
    page.wait_for_selector("text=Bounced: 550")
    post_office.faults = lambda asked: None
    page.get_by_role("link", name="Send again to those it failed for").click()
    page.wait_for_selector("text=1 delivery goes out again: E-mail 1.")
    assert fits(page)
    page.get_by_role("button", name="Send again to those it failed for").click()
    page.wait_for_selector("text=Sending 9 of 10")
    sending.run(channel="email")
    page.wait_for_selector(".turnout-state-success")
    assert page.locator(".turnout-state").inner_text() == "Sent"
    assert sorted(mail.recipients[0] for mail in post_office.mails[1:]) == sorted(
        f"{name.lower()}@example.org" for name in NAMES
    )
    assert fits(page)


def test_long_words_break_and_nothing_is_cut_off(sign_in, harbour):
    """A phone shows all of the pages, and a desk all of the widest list."""
    organizer = member(harbour.organization, "organizer")
    draft, message = (
        MessageFactory(event=harbour, channels=["in_app", "email"], audience="invited", subject="W" * 60, body="W" * 90)
        for _number in range(2)
    )
    announcements.send_now(message_id=message.pk, actor=organizer)
    sending.fan_out(message_id=message.pk)
    message.deliveries.filter(channel="email").update(status="failed", error="x" * 70)
    guest = message.deliveries.first().guest_id
    page = sign_in(organizer, width=390)
    for address in (
        f"message/{draft.pk}/preview/",
        f"message/{message.pk}/change/",
        f"eventguest/{guest}/change/",
        "messagedelivery/",
    ):
        page.goto(f"/admin/messaging/{address}")
        assert fits(page), address
    page.goto(f"/admin/messaging/eventguest/{guest}/change/")
    cells = "[...document.querySelectorAll('#guest-deliveries td')].map(cell => cell.getBoundingClientRect().right)"
    assert max(page.evaluate(cells)) <= 390
    page = sign_in(organizer, width=1400)
    page.goto("/admin/messaging/messagedelivery/")
    cells = "[...document.querySelectorAll('#result_list td.field-changed')].map(cell => cell.getBoundingClientRect())"
    assert all(one["right"] <= 1400 and one["width"] > 60 for one in page.evaluate(cells))
    box = page.locator("#result_list").locator("..")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_those_who_are_searched_for_get_it(sign_in, harbour, errors):
    person = AttendeeFactory(event=harbour, user_profile__first_name="Benedict").user_profile
    page = errors(sign_in(member(harbour.organization, "organizer"), width=390))
    page.goto(f"/admin/messaging/message/add/?event={harbour.pk}")
    page.fill("textarea[name=body]", "Hello")
    page.fill("input[name=subject]", "Hello")
    assert not page.is_visible("select[name=picked] + .select2")
    page.check("input[name=audience][value=picked]")
    for name in ("Ben ·", "Benedict"):
        page.click("select[name=picked] + .select2")
        page.keyboard.type("ben")
        page.locator(".select2-results li[role=option]", has_text=name).click()
    page.click("text=Save and preview")
    page.wait_for_url("**/preview/")
    assert "2 people get it" in page.inner_text("#content")
    ben = harbour.guests.get(guest_name="Ben")
    assert Message.objects.get().audience_details == {"guests": [str(ben.pk)], "people": [str(person.pk)]}
    page.click("text=Back to writing")
    page.wait_for_url("**/change/")
    chosen = page.locator("select[name=picked] option").all_inner_texts()
    assert chosen == ["Ben · ben@example.org", f"{person.get_full_name()} · {person.email}"]


@pytest.mark.parametrize("width", [1400, 390])
def test_what_is_written_in_one_tab_outlives_that_it_is_sent_in_another(sign_in, harbour, errors, width):
    organizer = member(harbour.organization, "organizer")
    message = MessageFactory(event=harbour, channels=["sms"], audience="invited", subject="Doors", body="Old")
    first = errors(sign_in(organizer, width=width))
    first.goto(f"/admin/messaging/message/{message.pk}/change/")
    first.fill("textarea[name=body]", "a" * 18_000)
    assert first.inner_text("#message-length") == (
        "18,000 characters · as an SMS: 24 part(s), if names are of usual length · "
        "too long for an SMS: what comes after 1,600 characters is cut off"
    )
    first.fill("textarea[name=body]", "All that I wrote")
    assert first.inner_text("#message-length").endswith("as an SMS: 1 part(s), if names are of usual length")
    second = errors(first.context.new_page())
    second.goto(f"/admin/messaging/message/{message.pk}/preview/")
    second.click("text=Send now to 2 people")
    second.wait_for_url("**/change/")
    first.click("text=Save the draft")
    first.wait_for_selector("text=It stands here as a new message")
    assert first.input_value("textarea[name=body]") == "All that I wrote" and fits(first)
    first.click("text=Save the draft")
    first.wait_for_selector("text=was added successfully")
    kept = set(Message.objects.values_list("status", "subject", "body"))
    assert kept == {("sending", "Doors", "Old"), ("draft", "Doors", "All that I wrote")}


def test_a_page_left_open_shows_the_end_without_a_hand(sign_in, harbour, errors):
    organizer = member(harbour.organization, "organizer")
    message = MessageFactory(event=harbour, channels=["in_app", "email"], audience="invited")
    announcements.send_now(message_id=message.pk, actor=organizer)
    page = errors(sign_in(organizer))
    page.goto(f"/admin/messaging/message/{message.pk}/change/")
    page.wait_for_selector("text=The list of deliveries is being made.")
    sending.fan_out(message_id=message.pk)
    sending.run(channel="email")
    page.wait_for_selector(".turnout-state-success")
    assert page.get_by_role("button", name="Stop").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_anybody(sign_in, harbour, scheme):
    organizer = member(harbour.organization, "organizer")
    draft = MessageFactory(event=harbour, channels=["in_app", "sms", "email"], audience="everyone")
    message = MessageFactory(event=harbour, channels=["in_app", "email"], audience="invited")
    announcements.send_now(message_id=message.pk, actor=organizer)
    sending.fan_out(message_id=message.pk)
    rows = list(message.deliveries.filter(channel="email"))
    for row, (status, error) in zip(
        rows, [("bounced", "550 No"), ("unknown", "Broken"), ("delivered", None)], strict=False
    ):
        type(row).objects.filter(pk=row.pk).update(status=status, error=error)
    ChannelState.objects.create(channel="email", failures=1, paused_until=timezone.now() + timedelta(hours=1))
    IntegrityResult.objects.create(name="deliveries", level="critical", violations=3, checked_at=timezone.now())
    organizer.is_superuser = True
    organizer.save()
    page = sign_in(organizer)
    page.emulate_media(color_scheme=scheme)
    pages = {
        "list": "messaging/message/",
        "add": "messaging/message/add/",
        "preview": f"messaging/message/{draft.pk}/preview/",
        "watch": f"messaging/message/{message.pk}/change/",
        "deliveries": "messaging/messagedelivery/",
        "delivery": f"messaging/messagedelivery/{rows[1].pk}/change/",
        "audit": "messaging/userlinkaudit/",
        "channels": "messaging/channelstate/",
        "switches": "waffle/switch/",
    }
    found = {}
    for name, address in pages.items():
        page.goto(f"/admin/{address}")
        page.wait_for_load_state("networkidle")
        found[name] = [
            (one["id"], node["target"], node["failureSummary"])
            for one in Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
            if not node["target"][0].endswith(".select2-search__field")  # the theme's
        ]
    assert found == dict.fromkeys(pages, [])
