"""The door page in a real Chromium, whose camera shows real tickets."""

import io
import json
import os
import re
import shutil
import time
from datetime import timedelta

import pytest
import segno
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import timezone
from PIL import Image
from playwright.sync_api import expect

from attendance.models import AttendanceStatus, CheckIn, CheckInAttempt, CheckInPoint, DoorDevice
from attendance.operations import check_in, devices
from tests.conftest import OFFLINE
from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# -- Without a browser ---------------------------------------------------------------------------


def test_the_shell_is_the_same_for_every_event_and_runs_nothing_inline(client):
    page, other = client.get("/door/1/"), client.get("/door/987654/")
    assert page.status_code == 200
    assert page.content == other.content
    assert "csrftoken" in page.cookies
    policy = page["Content-Security-Policy"]
    assert "script-src 'self' 'wasm-unsafe-eval'" in policy
    assert "unsafe-inline" not in policy
    html = page.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)
    assert re.findall(r"(?:src|href)=\"(?!/static/|#|manifest)", html) == []


def test_the_worker_lists_files_that_are_there_and_changes_with_them(client, settings, tmp_path):
    def worker():
        answer = client.get("/door/sw.js")
        assert answer["Content-Type"] == "text/javascript"
        assert answer["Cache-Control"] == "no-cache"
        text = answer.content.decode()
        return json.loads(re.search(r"const ASSETS = (\[.*?\])", text, re.S)[1]), re.search(r"door-(\w{16})", text)[1]

    assets, version = worker()
    assert {"/static/turnout/door/app.js", "/static/turnout/door/door.css", "/static/turnout/icon.svg"} <= set(assets)
    assert any(one.endswith(".wasm") for one in assets)
    assert all(finders.find(one.removeprefix("/static/")) for one in assets)
    assert worker() == (assets, version)

    static = shutil.copytree(settings.BASE_DIR / "static", tmp_path / "static")
    with (static / "turnout/door/app.js").open("a") as file:
        file.write("// deployed")
    settings.STATICFILES_DIRS = [static]
    finders.get_finder.cache_clear()
    try:
        changed, later = worker()
    finally:
        finders.get_finder.cache_clear()
    assert changed == assets
    assert later != version


def test_the_manifest_makes_it_installable(client):
    answer = client.get("/door/12/manifest.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    manifest = answer.json()
    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/door/12/", "/door/", "standalone")
    for icon in manifest["icons"]:
        path = finders.find(icon["src"].removeprefix("/static/"))
        if icon["type"] == "image/png":
            assert "x".join(map(str, Image.open(path).size)) == icon["sizes"]


PATIENCE = 30_000
"""Milliseconds; a busy machine decodes few pictures a second."""

# -- In the browser --------------------------------------------------------------------------------


class Film:
    """What the fake camera shows. It is read anew whenever a page starts the camera."""

    rate = 4

    def __init__(self, path):
        self.path = path
        self.show(None)

    def show(self, *codes, seconds=0.5):
        """Each code in turn, None for an empty picture; and from the beginning again."""
        with self.path.open("wb") as file:
            file.write(f"YUV4MPEG2 W640 H480 F{self.rate}:1 Ip A1:1 C420jpeg\n".encode())
            for code in codes:
                file.write((b"FRAME\n" + self._picture(code)) * round(self.rate * seconds))

    @staticmethod
    def _picture(code):
        picture = Image.new("L", (640, 480), 150)
        if code:
            qr = io.BytesIO()
            segno.make(code).save(qr, kind="png", scale=9)
            qr = Image.open(qr).convert("L")
            picture.paste(qr, ((640 - qr.width) // 2, (480 - qr.height) // 2))
        return picture.tobytes() + b"\x80" * (640 * 480 // 2)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return Film(tmp_path_factory.mktemp("camera") / "film.y4m")


@pytest.fixture(scope="module")
def with_camera(chromium, film):
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film.path}",
    ]
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    browser = chromium.browser_type.launch(
        executable_path=program, args=["--no-sandbox", "--disable-gpu", *OFFLINE, *flags]
    )
    yield browser
    browser.close()


@pytest.fixture
def phone(with_camera, live_server, film):
    """``phone(person)``: a phone at 390 px on which the person is signed in; nobody for None.

    With ``worker`` it can open the page without network, and fetches all of the page twice for that.
    """
    film.show(None)
    expect.set_options(timeout=PATIENCE)
    contexts, errors, strangers = [], [], []

    def made(person=None, *, worker=False):
        context = with_camera.new_context(
            base_url=live_server.url,
            viewport={"width": 390, "height": 844},
            has_touch=True,
            service_workers="allow" if worker else "block",
        )
        contexts.append(context)
        if person is not None:
            client = Client()
            client.force_login(person, "events.sign_in.EmailBackend")
            cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        context.on("request", lambda sent: sent.url.startswith(live_server.url) or strangers.append(sent.url))
        return page

    yield made
    for context in contexts:
        context.close()
    assert errors == []
    assert strangers == []  # nothing comes from elsewhere


@pytest.fixture
def event():
    return EventFactory(title="Harbour Conf", capacity=100)


@pytest.fixture
def marco(event):
    return member(event.organization, "door", first_name="Marco", last_name="Rossi")


def guest(event, name="Ana Costa", **fields):
    first, last = name.split(" ")
    person = UserProfileFactory(first_name=first, last_name=last)
    return AttendeeFactory(event=event, user_profile=person, **fields)


def let_in(*attendees, point=None):
    """By somebody else, on another phone."""
    event = attendees[0].event
    olga = member(event.organization, "door", first_name="Olga", last_name="Novak")
    scanner = check_in.Scanner(event=event, person=olga, role="door", name="Olga Novak", point=point)
    return check_in.check_in(scanner=scanner, scans=[check_in.Scan(attendee_id=one.pk) for one in attendees])


def open_door(page, event):
    """Opened, with the list of tickets."""
    page.goto(f"/door/{event.pk}/")
    expect(page.locator("#title")).to_have_text(event.title)
    expect(page.locator("#search-says")).not_to_have_text(re.compile("isn't on this phone yet|^$"))


def find(page, name):
    page.click("nav [data-to=search]")
    page.fill("#search-text", name)


def check_in_button(page, name):
    return page.get_by_role("button", name=f"Check in {name}")


def expect_answer(page, kind, *words):
    answer = page.locator(f"#answer[data-kind={kind}]")
    expect(answer).to_be_visible()
    for one in words:
        expect(answer).to_contain_text(one)


def wait_until(condition):
    end = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.05)


def check_ins(event):
    return CheckIn.objects.filter(event=event, result=CheckIn.Result.CHECKED_IN, undone_at=None)


def rows(page, store):
    """How many rows a store of the phone's database has."""
    return page.evaluate(
        """(name) => new Promise((resolve) => {
            indexedDB.open("turnout-door").onsuccess = ({ target }) => {
                const request = target.result.transaction(name).objectStore(name).count();
                request.onsuccess = () => { target.result.close(); resolve(request.result); };
            };
        })""",
        store,
    )


def test_a_shown_ticket_is_in_and_shown_again_is_in_already(phone, film, event, marco):
    ana = guest(event, plus_ones=2)
    film.show(ana.ticket_code, *[None] * 7)
    page = phone(marco)
    open_door(page, event)
    expect_answer(page, "in", "Welcome", "Ana Costa", "+2", "Confirmed")
    expect(page.locator("#said")).to_have_text("Welcome. Ana Costa, plus 2.")
    expect(page.locator("#people-in")).to_have_text("3")
    ana.refresh_from_db()
    assert (ana.attendance_status, check_ins(event).count()) == (AttendanceStatus.PRESENT, 1)
    expect_answer(
        page,
        "already",
        "Already in",
        "Ana Costa",
        f"{ana.attendance_marked_at.astimezone(event.zone):%H:%M}, by Marco Rossi",
    )
    assert check_ins(event).count() == 1


def test_other_tickets_are_refused_and_told_apart(phone, film, event, marco):
    guest(event)
    elsewhere, removed = guest(EventFactory()), guest(event, "Bruno Berg", status="removed")
    film.show(elsewhere.ticket_code, removed.ticket_code, "no ticket at all", seconds=1.5)
    page = phone(marco)
    open_door(page, event)
    expect_answer(page, "refused", "Wrong event", "for another event")
    expect(page.locator("#answer-sent")).to_have_text("Checked with the server")
    expect_answer(page, "refused", "Not valid", "removed from the event")
    expect_answer(page, "refused", "Unknown ticket")
    wait_until(lambda: CheckInAttempt.objects.count() >= 3)
    reasons = set(CheckInAttempt.objects.values_list("reason", flat=True))
    assert reasons == {"wrong_event", "ticket_revoked", "unknown_ticket"}
    assert CheckIn.objects.count() == 0
    expect(page.locator("#answer")).not_to_contain_text("Ana")


def test_ten_scans_without_network_all_arrive_once(phone, film, event, marco):
    guests = [guest(event, f"Guest Number{n}") for n in range(10)]
    page = phone(marco, worker=True)
    open_door(page, event)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.context.set_offline(True)
    film.show(*[one.ticket_code for one in guests], seconds=0.25)
    page.reload()  # opened without network, by the service worker
    expect(page.locator("#title")).to_have_text("Harbour Conf")
    expect(page.locator("#link")).to_contain_text("Offline – scans are kept")
    expect(page.locator("#waiting")).to_have_text("10 waiting to be sent")
    expect(page.locator("#people-in")).to_have_text("10")
    film.show(guests[0].ticket_code)
    page.reload()  # what waits, waits on the disk
    expect_answer(page, "already", "by you")
    expect(page.locator("#waiting")).to_have_text("10 waiting to be sent")
    assert CheckIn.objects.count() == 0
    film.show(None)
    page.context.set_offline(False)
    expect(page.locator("#waiting")).to_be_hidden()
    assert rows(page, "queue") == 0
    assert sorted(check_ins(event).values_list("attendee_id", flat=True)) == sorted(one.pk for one in guests)
    assert CheckIn.objects.count() == 10
    assert CheckIn.objects.exclude(scan_id=None).values("scan_id").distinct().count() == 10
    assert event.attendees.filter(attendance_status=AttendanceStatus.PRESENT).count() == 10


def test_a_scan_outlives_errors_of_the_server_and_a_crash(phone, event, marco):
    ana = guest(event)
    page = phone(marco)
    open_door(page, event)
    broken = re.compile(r"/check-ins/")
    page.context.route(broken, lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    find(page, "ana")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Ana Costa")
    expect(page.locator("#waiting")).to_have_text("1 waiting to be sent")
    page.close(run_before_unload=False)
    page = page.context.new_page()
    page.context.unroute(broken)
    page.goto(f"/door/{event.pk}/")
    wait_until(lambda: check_ins(event).filter(attendee=ana).count() == 1)
    expect(page.locator("#waiting")).to_be_hidden()


def test_the_phone_answers_first_and_the_server_corrects_it(phone, event, marco):
    ana = guest(event)
    page = phone(marco)
    open_door(page, event)
    let_in(ana)
    held = []
    page.route("**/check-ins/", lambda route: held.append(route))
    find(page, "ana")
    clicked_for = page.evaluate(
        """async () => {
            const from = performance.now();
            document.querySelector("#hits button").click();
            while (document.getElementById("answer").hidden) await new Promise(requestAnimationFrame);
            return performance.now() - from;
        }"""
    )
    assert clicked_for < 100
    expect_answer(page, "in", "Welcome")
    wait_until(lambda: page.wait_for_timeout(20) or held)
    held[0].continue_()
    expect_answer(page, "already", "by Olga Novak")
    expect(page.locator("#hits")).to_contain_text("In ")


def test_of_two_scans_the_earlier_counts_and_a_ticket_taken_back_is_told(phone, event, marco):
    ana, bruno = guest(event), guest(event, "Bruno Berg")
    page = phone(marco)
    open_door(page, event)
    page.context.set_offline(True)
    for name in ("Bruno Berg", "Ana Costa"):
        find(page, name)
        check_in_button(page, name).click()
        expect_answer(page, "in", name)
    [olgas] = let_in(ana)
    type(bruno).objects.filter(pk=bruno.pk).update(status="removed")
    page.click("#answer-close")
    page.context.set_offline(False)
    expect(page.locator("#notices")).to_contain_text("Bruno Berg. This person was removed from the event.")
    page.click("nav [data-to=recent]")
    expect(page.locator("#log .in")).to_contain_text("Ana Costa")
    expect(page.locator("#log .refused")).to_contain_text("Bruno Berg")
    assert check_ins(event).get().checked_in_at < olgas.checked_in_at


def test_many_taps_on_a_slow_network_are_one_check_in_which_can_be_undone(phone, event, marco):
    ana = guest(event)
    guest(event, "Bruno Berg")
    page = phone(marco)
    open_door(page, event)
    posts, held = [], []
    page.on("request", lambda sent: sent.method == "POST" and posts.append(sent.url))
    page.route("**/check-ins/", lambda route: held.append(route))
    find(page, "costa")
    expect(page.locator("#hits li")).to_have_count(1)
    for _tap in range(4):
        page.evaluate("document.querySelector('#hits button').click()")
    expect_answer(page, "in", "Ana Costa")
    page.click("#answer-close")
    page.click("#hits button")
    expect_answer(page, "already", "by you")
    wait_until(lambda: page.wait_for_timeout(20) or held)
    held[0].continue_()
    expect(page.locator("#answer-sent")).to_have_text("Confirmed")
    assert (len(posts), CheckIn.objects.count()) == (1, 1)
    page.unroute("**/check-ins/")

    page.click("nav [data-to=recent]")
    page.get_by_role("button", name="Undo Ana Costa").click()
    expect(page.locator("#notices")).to_contain_text("Ana Costa: undone.")
    ana.refresh_from_db()
    assert (ana.attendance_status, check_ins(event).count()) == (AttendanceStatus.UNKNOWN, 0)
    expect(page.locator("#people-in")).to_have_text("0")
    find(page, "costa")
    expect(check_in_button(page, "Ana Costa")).to_be_visible()


def test_undo_without_network_sends_nothing(phone, event, marco):
    guest(event)
    page = phone(marco)
    open_door(page, event)
    page.context.set_offline(True)
    find(page, "ana")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Kept on this phone")
    page.click("#answer-undo")
    expect(page.locator("#notices")).to_contain_text("it was never sent")
    assert rows(page, "queue") == 0
    expect(check_in_button(page, "Ana Costa")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#link")).to_have_text("Online")
    assert CheckIn.objects.count() == 0


def test_undo_of_a_scan_under_way_follows_it(phone, event, marco):
    ana = guest(event)
    page = phone(marco)
    open_door(page, event)
    held = []
    page.route("**/check-ins/", lambda route: held.append(route))
    find(page, "ana")
    check_in_button(page, "Ana Costa").click()
    wait_until(lambda: page.wait_for_timeout(20) or held)
    page.click("#answer-undo")
    expect(page.locator("#notices")).to_contain_text("will be undone when the server has it")
    held[0].continue_()
    expect(page.locator("#notices")).to_contain_text("Ana Costa: undone.")
    ana.refresh_from_db()
    assert ana.attendance_status == AttendanceStatus.UNKNOWN
    assert CheckIn.objects.exclude(undone_at=None).count() == 1
    assert rows(page, "queue") == 0


def test_a_registered_device_works_until_it_is_revoked(phone, event, organizer):
    guest(event)
    guest(event, "Bruno Berg")
    device = DoorDevice.objects.create(
        event=event, name="North gate", enrolment_expires_at=timezone.now() + timedelta(minutes=30)
    )
    page = phone()
    page.goto(f"/door/{event.pk}/#enrol={device.enrolment_code}")
    expect(page.locator("#notices")).to_contain_text("This phone is now “North gate”.")
    assert page.url.endswith(f"/door/{event.pk}/")
    expect(page.locator("#title")).to_have_text("Harbour Conf")
    find(page, "ana")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Confirmed")
    assert check_ins(event).get().device == device

    page.click("#answer-close")
    page.route("**/check-ins/", lambda route: route.abort())
    find(page, "bruno")
    check_in_button(page, "Bruno Berg").click()
    expect_answer(page, "in", "Bruno Berg")
    devices.revoke(device_id=device.pk, actor=organizer)
    page.evaluate("dispatchEvent(new Event('online'))")  # the next round, at once
    expect(page.locator("#gate")).to_contain_text("This device was revoked")
    expect(page.locator("#gate")).to_contain_text("1 scan is kept on this phone")
    assert (rows(page, "tickets"), rows(page, "queue")) == (0, 1)
    assert "Bruno" not in page.inner_text("body")
    page.reload()
    expect(page.locator("#gate")).to_contain_text("Sign in to open the door")
    assert check_ins(event).count() == 1


def test_scans_of_somebody_signed_out_wait_until_they_sign_in(phone, event, marco):
    guest(event)
    page = phone(marco)
    open_door(page, event)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    find(page, "ana")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Ana Costa")
    expect(page.locator("#notices")).to_contain_text("You are signed out. Scans are kept")
    expect(page.locator("#waiting")).to_have_text("1 waiting to be sent")
    assert CheckIn.objects.count() == 0
    page.context.add_cookies(cookies)
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#notices")).to_be_empty()
    assert check_ins(event).count() == 1


def test_a_walk_in_is_added_once(phone, event, organizer):
    page = phone(organizer)
    guest(event)
    open_door(page, event)
    page.click("nav [data-to=walk-in]")
    page.fill("#first_name", "Wanda")
    page.click("#walk-in-form .main")
    expect(page.locator("#email-problem")).to_contain_text("phone number is needed")
    page.fill("#email", "wanda@nowhere")
    page.click("#walk-in-form .main")
    expect(page.locator("#email-problem")).to_contain_text("valid")
    expect(page.locator("#email")).to_have_attribute("aria-invalid", "true")
    page.fill("#last_name", "Walker")
    page.fill("#email", "wanda@example.org")
    page.select_option("#plus_ones", "1")
    page.evaluate("for (const n of [1, 2, 3]) document.getElementById('walk-in-form').requestSubmit()")
    expect_answer(page, "in", "Wanda Walker", "+1")
    wanda = event.attendees.get(user_profile__email="wanda@example.org")
    assert (wanda.plus_ones, wanda.attendance_status) == (1, AttendanceStatus.PRESENT)
    assert CheckIn.objects.count() == 1
    expect(page.locator("#email")).to_have_value("")
    expect(page.locator("#people-in")).to_have_text("2")


def test_every_point_has_its_own_list(phone, event, marco):
    ana = guest(event)
    point = CheckInPoint.objects.create(event=event, name="Workshop", kind="session")
    page = phone(marco)
    open_door(page, event)
    page.select_option("#point", label="Workshop")
    find(page, "ana")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Confirmed")
    assert check_ins(event).get().point == point
    ana.refresh_from_db()
    assert ana.attendance_status == AttendanceStatus.UNKNOWN
    page.select_option("#point", label="Main door")
    expect(page.locator("#people-in")).to_have_text("0")
    expect(check_in_button(page, "Ana Costa")).to_be_visible()


def test_a_device_of_one_point_counts_there_from_the_first_moment(phone, event):
    event.title = "Harbour Conference of the Northern Ports"
    event.save()
    guests = [guest(event, f"Guest Number{n}") for n in range(3)]
    point = CheckInPoint.objects.create(event=event, name="Workshop on the upper floor", kind="session")
    let_in(*guests)
    let_in(guests[0], point=point)
    device = DoorDevice.objects.create(
        event=event, name="Upstairs", at_door=False, enrolment_expires_at=timezone.now() + timedelta(minutes=30)
    )
    device.points.add(point)
    page = phone()
    page.add_init_script(
        """window.shown = [];
        const look = () => {
            const counts = document.getElementById("counts");
            if (counts && !counts.hidden) shown.push(document.getElementById("people-in").textContent);
            requestAnimationFrame(look);
        };
        look();"""
    )
    page.goto(f"/door/{event.pk}/#enrol={device.enrolment_code}")
    expect(page.locator("#people-in")).to_have_text("1")
    page.wait_for_timeout(200)
    assert set(page.evaluate("shown")) == {"1"}
    for width in (320, 390, 820):
        page.set_viewport_size({"width": width, "height": 700})
        for part, words in (("#title", event.title), ("#place", point.name)):
            expect(page.locator(part)).to_be_visible()
            expect(page.locator(part)).to_have_text(words)
            assert page.locator(part).evaluate("(it) => it.scrollHeight <= it.clientHeight + 1"), (part, width)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_names_are_found_however_they_are_written(phone, event, marco):
    names = ["Shane O'Neill", "Nora O’Neill", "Inès D'Arcy", "Jo D’Arcy", "Ann Lee-Poe", "דָּוִד בן־גוריון", "王 小明"]
    long = f"{'Wilhelmina' * 6} {'Brandenburg' * 5}"
    for name in (*names, long):
        guest(event, name)
    page = phone(marco)
    open_door(page, event)
    page.click("nav [data-to=search]")

    def found(words):
        page.fill("#search-text", words)
        expect(page.locator("#search-says")).to_have_text(re.compile(r"^\d+ p|^N"))
        page.wait_for_timeout(60)  # drawn after the next frame
        return set(page.locator("#hits .name").all_text_contents())

    for words in ("O'Neill", "O’Neill", "ONeill", "o neill", "oʼneill", "neill"):
        assert found(words) == {"Shane O'Neill", "Nora O’Neill"}, words
    for words in ("D'Arcy", "D’Arcy", "Darcy", "d arcy"):
        assert found(words) == {"Inès D'Arcy", "Jo D’Arcy"}, words
    for words in ("Lee-Poe", "leepoe", "lee poe", "lee‐poe"):
        assert found(words) == {"Ann Lee-Poe"}, words
    assert found("ines") == {"Inès D'Arcy"}
    assert found("דוד") == found("בן גוריון") == {"דָּוִד בן־גוריון"}
    assert found("小明") == found("王小") == {"王 小明"}
    assert found("nobody") == set()
    assert found("wilhelmina") == {long}
    assert page.evaluate("document.documentElement.scrollWidth") == 390

    check_in_button(page, long).click()
    expect_answer(page, "in", "Confirmed")
    page.locator("#search-text").press_sequentially("z")
    expect(page.locator("#answer")).to_be_hidden()
    page.fill("#search-text", "")
    expect(page.locator("#hits .name").last).to_have_text(long)  # who isn't in comes first
    expect(page.locator("#hits .in")).to_have_count(1)
    check_in_button(page, "Ann Lee-Poe").click()
    expect_answer(page, "in", "Ann Lee-Poe")
    page.click("#search-text")  # the card leaves it free
    expect(page.locator("#answer")).to_be_hidden()


def test_what_is_shut_says_so_before_the_first_guest(phone, event, marco):
    guest(event)
    opens = (timezone.now() + timedelta(days=2)).astimezone(event.zone).replace(hour=9, minute=0)
    CheckInPoint.objects.create(event=event, name="Second day", opens_at=opens)
    closed = timezone.now() - timedelta(days=2)
    CheckInPoint.objects.create(event=event, name="Evening before", closes_at=closed)
    page = phone(marco)
    open_door(page, event)
    expect(page.locator("#place")).to_have_text("Main door")
    expect(page.locator("#shut")).to_be_hidden()
    page.click("nav [data-to=search]")
    for place, words in (
        ("Second day", f"Second day opens at {opens:%a} {opens.day} {opens:%b}, 09:00."),
        (
            "Evening before",
            f"Evening before closed at {closed.astimezone(event.zone):%a} {closed.astimezone(event.zone).day}",
        ),
    ):
        page.select_option("#point", label=place)
        expect(page.locator("#place")).to_have_text(place)
        expect(page.locator("#shut")).to_contain_text(words)
        check_in_button(page, "Ana Costa").click()
        expect_answer(page, "refused", "Closed", "Ana Costa", words, "Checked with the server")
        page.click("#answer-close")
    type(event).objects.filter(pk=event.pk).update(status="cancelled")
    page.select_option("#point", label="Main door")
    expect(page.locator("#shut")).to_have_text("This event is cancelled.")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "refused", "Cancelled", "This event is cancelled.", "Checked with the server")
    assert check_ins(event).count() == 0


def test_the_count_outlives_the_network(phone, event, marco):
    carla = guest(event, "Carla Diaz")
    guest(event, "Bruno Berg", plus_ones=2)
    let_in(guest(event))
    page = phone(marco, worker=True)
    open_door(page, event)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    expect(page.locator("#people-in")).to_have_text("1")
    page.route(re.compile(r"/door/(tickets/)?(\?.*)?$"), lambda route: None)  # no round brings the new count
    find(page, "bruno")
    check_in_button(page, "Bruno Berg").click()
    expect_answer(page, "in", "Confirmed")
    expect(page.locator("#people-in")).to_have_text("4")
    page.context.set_offline(True)
    page.unroute_all(behavior="ignoreErrors")
    page.reload()
    expect(page.locator("#link")).to_contain_text("Offline")
    expect(page.locator("#people-in")).to_have_text("4")
    find(page, "carla")
    check_in_button(page, "Carla Diaz").click()
    expect(page.locator("#waiting")).to_have_text("1 waiting to be sent")  # on the disk
    expect(page.locator("#people-in")).to_have_text("5")
    page.reload()
    expect(page.locator("#people-in")).to_have_text("5")
    page.context.set_offline(False)
    wait_until(lambda: check_ins(event).filter(attendee=carla).count() == 1)
    expect(page.locator("#link")).to_have_text("Online")
    expect(page.locator("#people-in")).to_have_text("5")


def test_what_was_undone_is_told_for_a_moment(phone, event, marco):
    name = f"{'Wilhelmina' * 6} {'Brandenburg' * 5}"
    guest(event, name)
    page = phone(marco)
    page.clock.install()
    open_door(page, event)
    find(page, "wil")
    check_in_button(page, name).click()
    expect_answer(page, "in", "Confirmed")
    page.click("#answer-undo")
    notices = page.locator("#notices")
    expect(notices).to_contain_text(f"{name}: undone.")
    assert notices.locator("b").evaluate("(it) => it.clientHeight / parseFloat(getComputedStyle(it).lineHeight)") < 2.1
    expect(notices.get_by_text("undone.", exact=True)).to_be_in_viewport()
    page.clock.fast_forward(6500)
    expect(notices.locator("p:not(.aside)")).to_have_count(0)
    expect(notices).to_contain_text(f"{name}: undone.")  # still there for screen readers
    assert notices.bounding_box()["height"] == 0


def test_strangers_get_nothing(phone, event):
    guest(event)
    page = phone()
    page.goto(f"/door/{event.pk}/")
    expect(page.locator("#gate")).to_contain_text("Sign in to open the door")
    link = page.locator("#gate-sign-in").get_attribute("href")
    assert link == f"/admin/login/?next=%2Fdoor%2F{event.pk}%2F"
    page = phone(member(EventFactory().organization, "owner"))
    page.goto(f"/door/{event.pk}/")
    expect(page.locator("#gate")).to_contain_text("This event isn't yours to open")
    assert rows(page, "tickets") == 0


def test_without_a_camera_it_says_why_and_search_works(phone, event, marco):
    guest(event)
    page = phone(marco)
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    open_door(page, event)
    expect(page.locator("#no-camera")).to_contain_text("Cameras need HTTPS or localhost")
    find(page, "ána")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Ana Costa")


def test_no_fault_of_accessibility(phone, film, event, organizer):
    for name in ("Ana Costa", "Bruno Berg"):
        guest(event, name, plus_ones=1)
    CheckInPoint.objects.create(event=event, name="Workshop", kind="session")
    page = phone(organizer)
    open_door(page, event)
    faults = {}

    def look(state):
        page.wait_for_timeout(200)  # past the animation, whose colours are in between
        found = Axe().run(page).response["violations"]
        faults[state] = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        assert page.evaluate("document.documentElement.scrollWidth") == 390, state

    look("scan")
    find(page, "a")
    look("search")
    check_in_button(page, "Ana Costa").click()
    expect_answer(page, "in", "Confirmed")
    look("in")
    page.click("#answer-close")
    page.get_by_role("button", name="Ana Costa is in").click()
    expect_answer(page, "already", "Confirmed")
    look("already")
    page.click("nav [data-to=walk-in]")
    page.click("#walk-in-form .main")
    look("walk-in")
    page.click("nav [data-to=recent]")
    look("recent")
    page.click("nav [data-to=scan]")
    film.show("no ticket")
    page.reload()
    expect_answer(page, "refused", "Unknown ticket")
    look("refused")
    page.context.clear_cookies()
    page.evaluate("indexedDB.deleteDatabase('turnout-door')")
    page.reload()
    expect(page.locator("#gate")).to_contain_text("Sign in")
    look("gate")
    assert faults == dict.fromkeys(faults, [])
