"""Asking for help on a phone, in a real Chromium: waiting, who comes, what is said; with and without JavaScript."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from config.api import limiter
from requests.models import ServiceSession, ServiceSettings, SessionMessage, SessionRequest
from requests.operations import taking, talking
from tests.axe import fits, serious_faults
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    MechanicFactory,
    UserProfileFactory,
    service_request,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def visit(chromium, live_server, settings):
    """``visit(person, javascript=True, …)``: a page on a phone, of somebody who came by a link."""
    limiter().storage.reset()
    contexts, errors = [], []

    def opened(person, *, javascript=True, width=390, is_watched=True, **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 844},
            base_url=live_server.url,
            java_script_enabled=javascript,
            **options,
        )
        contexts.append(context)
        client = Client()
        client.force_login(person, backend="events.sign_in.LinkBackend")
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        context.set_default_timeout(IMPATIENT)
        page = context.new_page()
        if is_watched:
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", watch)
        return page

    def watch(said):
        """That nothing answers where the stream should be is as it is here."""
        if said.type == "error" and not said.location["url"].startswith(settings.STREAM_URL):
            errors.append(said.text)

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


IMPATIENT = 15_000
"""Milliseconds, for a machine that is busy."""


@pytest.fixture
def event():
    return EventFactory(title="Harbour Conf", slug="harbour")


@pytest.fixture
def bo(event):
    return MechanicFactory(organization=event.organization, display_name="Bo the Fixer")


@pytest.fixture
def ada(event):
    return AttendeeFactory(event=event, user_profile__first_name="Ada").user_profile


def headline(page, words):
    page.get_by_role("heading", level=1, name=words).wait_for()


def lines(page):
    return page.locator(".line-body").all_inner_texts()


def said(page, words):
    page.locator(".line-body").get_by_text(words, exact=True).wait_for()


def write(page, words):
    page.get_by_label("Your message").fill(words)


def send(page, words):
    write(page, words)
    page.get_by_role("button", name="Send").click()


def heard(page, words):
    """Read out, from a place that stays while the page changes."""
    page.locator("[data-said][role=status]").get_by_text(words).wait_for(state="attached")


def look(page, javascript=True):
    """As whoever comes back to the page does, who needn't wait for it to ask; without JavaScript they reload it."""
    if javascript:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    else:
        page.reload()


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "plain"])
def test_from_a_question_to_its_answer(visit, event, ada, bo, javascript):
    other = MechanicFactory(organization=event.organization, display_name="Cy")
    page = visit(ada, javascript=javascript)
    page.goto("/e/harbour/")
    page.get_by_role("link", name="Ask for help").click()
    page.get_by_label("What do you need help with?").fill("It squeaks.\nLoudly.")
    page.get_by_text("Video call").click()
    page.get_by_role("button", name="Ask for help").dblclick()
    headline(page, "You're next")
    request = SessionRequest.objects.get()
    assert (request.notes, request.session_type) == ("It squeaks.\nLoudly.", "video")
    send(page, "It is the red one.")
    said(page, "It is the red one.")

    taking.accept(request_id=request.pk, person=bo.user_profile)
    look(page, javascript)
    headline(page, "Bo the Fixer is here for you")
    if javascript:
        heard(page, "Bo the Fixer is here for you")
        assert page.title().startswith("Bo the Fixer is here for you")
    talking.set_place(session_id=request.session_id, person=bo.user_profile, place="https://meet.example.org/x")
    talking.say(session_id=request.session_id, person=bo.user_profile, body="Hello!")
    look(page, javascript)
    assert page.get_by_role("link", name="Join the call").get_attribute("href") == "https://meet.example.org/x"
    said(page, "Hello!")
    if javascript:
        heard(page, "Bo the Fixer: Hello!")
    send(page, "Hello Bo")
    said(page, "Hello Bo")
    assert lines(page) == ["It is the red one.", "Hello!", "Hello Bo"]

    taking.release(request_id=request.pk, actor=bo.user_profile)
    look(page, javascript)
    headline(page, "You're next")
    page.get_by_text("Bo the Fixer could not go on.").wait_for()
    taking.accept(request_id=request.pk, person=other.user_profile)
    look(page, javascript)
    headline(page, "Cy is here for you")
    assert lines(page) == ["It is the red one.", "Hello!", "Hello Bo"]
    taking.complete(request_id=request.pk, actor=other.user_profile)
    look(page, javascript)
    headline(page, "Done")
    page.get_by_text("This session is over: nothing more can be written.").wait_for()
    page.get_by_role("link", name="Ask again").click()
    headline(page, "Ask for help")


def test_news_come_by_the_stream_and_without_it(visit, live_stream, event, ada, bo):
    """At once while it is there; by asking while it is down; at once again when it is back."""
    request = service_request(event, customer=ada)
    page = visit(ada, bypass_csp=True, is_watched=False)
    page.goto(f"/help/{request.session_id}/")

    def at_once(seconds, words):
        with page.expect_response(lambda one: "part=all" in one.url, timeout=seconds * 1000):
            talking.say(session_id=request.session_id, person=bo.user_profile, body=words)
        said(page, words)

    page.locator("[data-stream=online]").wait_for()
    taking.accept(request_id=request.pk, person=bo.user_profile)
    headline(page, "Bo the Fixer is here for you")
    at_once(3, "By the stream")
    live_stream.kill()
    at_once(15, "While it is down")
    page.locator("[data-stream=offline]").wait_for()
    at_once(6, "Still down")
    live_stream.start()
    page.locator("[data-stream=online]").wait_for()
    at_once(3, "Back again")
    assert lines(page) == ["By the stream", "While it is down", "Still down", "Back again"]


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "plain"])
def test_a_mechanic_by_link_helps_on_a_phone(visit, event, ada, bo, javascript):
    request = service_request(event, customer=ada, mechanic=bo, session_type="in_person")
    page = visit(bo.user_profile, javascript=javascript)
    page.goto("/help/")
    page.get_by_role("link", name="Go there").click()
    headline(page, str(ada))
    page.get_by_label("Where you meet").fill("Desk 4")
    page.get_by_role("button", name="Save").click()
    page.locator(".meet").get_by_text("Desk 4").wait_for()
    send(page, "I wait at the desk.")
    said(page, "I wait at the desk.")
    page.get_by_role("button", name="Still on it").click()
    page.get_by_text("Good: it stays with you.").wait_for()
    page.get_by_role("button", name="Hand back").dblclick()
    page.get_by_text("You have handed it back").wait_for()
    request.refresh_from_db()
    assert (request.status, request.session.place) == ("pending", "")
    taking.accept(request_id=request.pk, person=bo.user_profile)
    page.goto(f"/help/{request.session_id}/")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Done").click()
    headline(page, "Done")


def test_a_page_whose_session_went_to_somebody_else_says_so(visit, event, ada, bo):
    request = service_request(event, customer=ada, mechanic=bo)
    page = visit(bo.user_profile, is_watched=False)
    page.goto(f"/help/{request.session_id}/")
    taking.return_idle(at=timezone.now() + timedelta(minutes=16))
    look(page)
    page.get_by_text("You no longer have this session").wait_for()
    assert page.get_by_text(str(ada)).count() == 0


def test_whoever_loses_it_while_they_type_is_told_and_keeps_their_words(visit, live_stream, event, ada, bo):
    request = service_request(event, customer=ada, mechanic=bo)
    talking.say(session_id=request.session_id, person=ada, body="It is the red one")
    page = visit(bo.user_profile, bypass_csp=True, is_watched=False)
    page.goto(f"/help/{request.session_id}/")
    page.locator("[data-stream=online]").wait_for()
    box = page.get_by_label("Your message")
    box.press_sequentially("I am on my")
    taking.return_idle(at=timezone.now() + timedelta(minutes=16))
    page.get_by_text("You no longer have this session").wait_for()
    page.get_by_text("It can't be sent: you don't have this session any more.").wait_for()
    assert box.input_value() == "I am on my"
    assert page.get_by_role("button", name="Send").is_disabled()
    assert page.get_by_text("It is the red one").count() == page.get_by_text(str(ada)).count() == 0


def test_who_has_no_connection_sees_so_and_catches_up_at_once(visit, live_stream, event, ada, bo):
    request = service_request(event, customer=ada)
    page = visit(ada, bypass_csp=True, is_watched=False)
    page.goto(f"/help/{request.session_id}/")
    page.locator("[data-stream=online]").wait_for()
    lost = page.get_by_text("No connection: what you see may be old.")
    assert not lost.is_visible()
    page.context.set_offline(True)
    lost.wait_for()
    taking.accept(request_id=request.pk, person=bo.user_profile)
    page.context.set_offline(False)
    page.get_by_role("heading", name="Bo the Fixer is here for you").wait_for(timeout=3_000)
    assert not lost.is_visible()


def test_keys_send_and_nothing_that_is_typed_is_lost(visit, event, ada, bo):
    """Enter sends, Shift and Enter don't; what comes meanwhile leaves alone what is being typed."""
    request = service_request(event, customer=ada, mechanic=bo)
    page = visit(ada, width=1400, is_watched=False)
    page.goto(f"/help/{request.session_id}/")
    box = page.get_by_label("Your message")
    box.press_sequentially("Two")
    box.press("Shift+Enter")
    box.press_sequentially("lines")
    box.press("Enter")
    said(page, "Two\nlines")
    assert box.input_value() == ""
    box.press_sequentially("Half a")
    box.press("ArrowLeft")
    talking.say(session_id=request.session_id, person=bo.user_profile, body="I am here.")
    look(page)
    said(page, "I am here.")
    taking.release(request_id=request.pk, actor=bo.user_profile)
    look(page)
    headline(page, "You're next")
    box.press_sequentially("n")
    assert box.input_value() == "Half na"

    # No connection: kept, said, and with the next attempt written once.
    page.context.set_offline(True)
    box.press("Enter")
    page.get_by_text("No connection: it was not sent.").wait_for()
    assert box.input_value() == "Half na"
    page.context.set_offline(False)
    box.press("Enter")
    said(page, "Half na")
    page.get_by_text("No connection: it was not sent.").wait_for(state="hidden")
    # An answer that is lost: the same words again are the same message.
    page.route("**/say/", lambda route: (route.fetch(), route.abort())[1])
    box.press_sequentially("Did it come?")
    box.press("Enter")
    page.get_by_text("No connection: it was not sent.").wait_for()
    page.unroute("**/say/")
    box.press("Enter")
    said(page, "Did it come?")
    assert list(SessionMessage.objects.filter(author=ada).values_list("body", flat=True)) == [
        "Two\nlines",
        "Half na",
        "Did it come?",
    ]
    # Over meanwhile: told, and the words are kept.
    box.press_sequentially("One more thing")
    taking.cancel(request_id=request.pk, actor=ada)
    look(page)
    headline(page, "Cancelled")
    assert box.input_value() == "One more thing"
    box.press("Enter")
    page.get_by_text("This session is cancelled: nothing more can be written in it.").wait_for()
    assert box.input_value() == "One more thing"


def test_whoever_is_signed_out_meanwhile_is_told_with_their_words_kept(visit, event, ada, bo):
    request = service_request(event, customer=ada, mechanic=bo)
    page = visit(ada, is_watched=False)
    page.goto(f"/help/{request.session_id}/")
    write(page, "Hello?")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("It was not sent: you are signed out.").wait_for()
    box = page.get_by_label("Your message")
    assert box.input_value() == "Hello?"
    # Signed in in another tab, which has a token of its own against forgery.
    client = Client()
    client.force_login(ada, backend="events.sign_in.LinkBackend")
    address = page.evaluate("location.origin")
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": "n" * 32}
    page.context.add_cookies([{"name": name, "value": value, "url": address} for name, value in cookies.items()])
    page.get_by_role("button", name="Send").click()
    said(page, "Hello?")
    assert box.input_value() == ""
    page.context.clear_cookies(name="sessionid")
    look(page)
    page.wait_for_url("**/sign-in/?next=*")
    assert SessionMessage.objects.get().body == "Hello?"


def test_new_messages_wait_for_whoever_reads_older_ones(visit, event, ada, bo):
    request = service_request(event, customer=ada, mechanic=bo)
    for number in range(40):
        talking.say(session_id=request.session_id, person=bo.user_profile, body=f"Line {number}")
    page = visit(ada)
    page.goto(f"/help/{request.session_id}/")
    view = page.locator(".thread-scroll")
    top = "one => one.scrollTop"
    end = "one => one.scrollHeight - one.scrollTop - one.clientHeight < 2"
    assert view.evaluate(end)
    talking.say(session_id=request.session_id, person=bo.user_profile, body="At the end")
    look(page)
    said(page, "At the end")
    assert view.evaluate(end)
    view.evaluate("one => { one.scrollTop = 100 }")
    talking.say(session_id=request.session_id, person=bo.user_profile, body="Further down")
    look(page)
    said(page, "Further down")
    assert view.evaluate(top) == 100
    page.get_by_role("button", name="New messages").click()
    assert view.evaluate(end)
    page.get_by_role("button", name="New messages").wait_for(state="hidden")


def test_nothing_that_is_typed_where_to_meet_is_lost(visit, event, ada, bo):
    request = service_request(event, customer=ada, mechanic=bo, session_type="in_person")
    page = visit(bo.user_profile)
    page.goto(f"/help/{request.session_id}/")
    place = page.get_by_label("Where you meet")
    place.press_sequentially("Desk")
    talking.set_place(session_id=request.session_id, person=bo.user_profile, place="Elsewhere")
    look(page)
    page.locator(".meet").get_by_text("Elsewhere").wait_for()
    place.press_sequentially(" 4")
    assert place.input_value() == "Desk 4"
    page.get_by_role("button", name="Save").click()
    page.locator(".meet").get_by_text("Desk 4").wait_for()


LONG = "Wolfeschlegelsteinhausenbergerdorffwelchevoralternwarengewissenhaft"


def states(event, bo):
    """An address for each look that the pages have, and who sees it."""
    ServiceSettings.objects.create(organization=event.organization, skills=["brakes", "x" * 50], plans=["silver"])
    long, usual, other = (
        AttendeeFactory(event=event, user_profile__first_name=name, user_profile__last_name="سلام").user_profile
        for name in (LONG[:60], "Ada", "Eve")
    )
    concern = (f"{LONG} " * 40 + "🙂 أحتاج إلى مساعدة\n" * 40)[:4000]
    live = service_request(
        event, customer=long, mechanic=bo, session_type="video", urgent=True, skill="x" * 50, concern=concern
    )
    link = f"https://meet.example.org/{'y' * 400}"
    talking.set_place(session_id=live.session_id, person=bo.user_profile, place=link)
    for body in (LONG * 20, "مرحبا بالعالم", "🙂" * 300, "a\n\n  b"):
        for person in (long, bo.user_profile):
            talking.say(session_id=live.session_id, person=person, body=body)
    waiting = service_request(event, customer=usual)
    returned = service_request(event, customer=other, mechanic=bo)
    taking.release(request_id=returned.pk, actor=bo.user_profile)
    late = service_request(event, customer=UserProfileFactory(), concern=concern)
    SessionRequest.objects.filter(pk=late.pk).update(waiting_since=timezone.now() - timedelta(hours=1))
    assert taking.mark_unattended() == 1
    near = service_request(event, customer=UserProfileFactory(), mechanic=bo, session_type="in_person")
    talking.set_place(session_id=near.session_id, person=bo.user_profile, place=LONG * 5)
    done = service_request(event, customer=UserProfileFactory(), mechanic=bo)
    taking.complete(request_id=done.pk, actor=bo.user_profile)
    nobody = UserProfileFactory()
    looks = [("/e/harbour/", nobody), ("/e/harbour/", usual), ("/e/harbour/", long), ("/help/", nobody)]
    looks += [("/help/new/?event=harbour", nobody), ("/help/new/?event=harbour", usual), ("/help/new/", long)]
    looks += [("/help/", one) for one in (long, done.customer, bo.user_profile)]
    looks += [(f"/help/{one.session_id}/", one.customer) for one in (live, waiting, returned, late, near, done)]
    looks += [(f"/help/{one.session_id}/", bo.user_profile) for one in (live, near, done)]
    return [*looks, (f"/help/{waiting.session_id}/cancel/", usual), (f"/help/{live.session_id}/cancel/", long)]


SMALL = """() => [...document.querySelectorAll('a.button, button, input:not([type=hidden]), summary')]
    .filter(one => one.offsetParent !== null && one.getBoundingClientRect().height < 43.9)
    .filter(one => !one.closest('label'))
    .map(one => one.outerHTML.slice(0, 80))"""
"""What a thumb would miss."""


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_every_state_is_readable_for_everybody(visit, event, bo, width, scheme):
    """On a desk those that look different there."""
    pages = {}
    looks = states(event, bo)
    for address, person in looks if width == 390 else looks[4:6] + looks[-8:]:
        if person not in pages:
            pages[person] = visit(person, width=width, color_scheme=scheme, reduced_motion="reduce")
        page = pages[person]
        page.goto(address)
        for fold in page.locator("main details:not([open]) > summary").all():
            fold.click()
        assert fits(page), address
        assert serious_faults(page) == [], address
        assert page.evaluate(SMALL) == [], address
    assert ServiceSession.objects.filter(status="live").count() == 2
