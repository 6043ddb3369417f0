"""The door's way in and the figures, in a real Chromium, on a desk and on a phone."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from attendance.models import CheckInAttempt
from attendance.operations import devices, marking
from tests.factories import AttendeeFactory, CheckInPointFactory, DoorDeviceFactory, EventFactory, crowd, member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def going_on():
    """An event that is on, with four people in it, and one before it to which one of two came."""
    now = timezone.now()
    event = EventFactory(title="Harbour Conf", starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=6))
    over = EventFactory(organization=event.organization, starts_at=now - timedelta(days=9))
    actor = member(event.organization, "owner")
    for where, statuses in ((event, ("present", "late", "absent")), (over, ("present", "absent"))):
        for status in statuses:
            marking.mark(attendee_id=AttendeeFactory(event=where).pk, status=status, actor=actor)
    AttendeeFactory(event=event)
    return event


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1400, 390])
def test_the_pictures_are_drawn_and_fit(sign_in, going_on, width):
    page = sign_in(member(going_on.organization, "viewer"), width=width)
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto(f"/admin/attendance/attendee/figures/{going_on.pk}/")
    page.wait_for_selector(".turnout-figures[data-drawn]")
    drawn = page.evaluate(
        """[...document.querySelectorAll("[data-picture]")].map((canvas) => [
            canvas.dataset.picture,
            Chart.getChart(canvas).data.datasets.map((set) => [set.label, set.data]),
            canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte),
        ])"""
    )
    assert drawn == [
        ["statuses", [["Present", [1]], ["Late", [1]], ["Excused", [0]], ["Absent", [1]], ["Unknown", [1]]], True],
        ["arrivals", drawn[1][1], True],
        ["events", [["No-shows, in per cent", [50]]], True],
    ]
    line, present, late = ((label, data[-1], sum(data)) for label, data in drawn[1][1])
    assert (line[:2], present[::2], late[::2]) == (("In, all together", 2), ("Present", 1), ("Late", 1))
    assert errors == [] and fits(page)
    page.click("text=1 hour")
    page.wait_for_selector(".turnout-figures[data-drawn]")
    assert page.get_attribute("a[aria-current=true]", "href") == "?minutes=60#arrivals"


def test_door_staff_are_one_tap_from_the_door(sign_in, going_on):
    page = sign_in(member(going_on.organization, "door"), width=390)
    assert "2 in, of 4 expected" in page.inner_text("body") and fits(page)
    button = page.locator("text=Open the door")
    box = button.bounding_box()
    assert box["height"] >= 44 and box["y"] + box["height"] < 600
    button.click()
    page.wait_for_url(f"**/door/{going_on.pk}/")


@pytest.mark.parametrize("width", [1400, 390])
def test_a_new_phone_is_registered_from_its_page(sign_in, going_on, width):
    device = DoorDeviceFactory(event=going_on, name="Phone at the gate")
    page = sign_in(member(going_on.organization, "organizer"), width=width)
    page.goto(f"/admin/attendance/doordevice/{device.pk}/change/")
    picture = page.locator(".turnout-enrol img")
    assert picture.evaluate("(image) => image.complete && image.naturalWidth > 0") and fits(page)
    assert picture.bounding_box()["width"] >= 200
    assert page.input_value("#enrol-address").endswith(f"/door/{going_on.pk}/#enrol={device.enrolment_code}")
    devices.enrol(code=device.enrolment_code)
    page.reload()
    assert page.locator(".turnout-enrol").count() == 0


THEIRS = [
    ("label", ".select2-search__field"),  # the box to search in, which select2 makes in every multi-select
]
"""Rule and selector."""


def faults(page) -> list:
    """What axe finds serious, without the theme's own."""
    found = Axe().run(page).response["violations"]
    return [
        (one["id"], node["target"], node["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
        if not any(one["id"] == rule and page.evaluate(MATCHES, [node["target"][0], whose]) for rule, whose in THEIRS)
    ]


MATCHES = "([found, whose]) => document.querySelector(found).matches(whose)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_anybody(sign_in, going_on, scheme):
    device = DoorDeviceFactory(event=going_on)
    device.points.add(CheckInPointFactory(event=going_on))
    attendee = going_on.attendees.exclude(attendance_status="unknown").first()
    page = sign_in(member(going_on.organization, "organizer"))
    page.emulate_media(color_scheme=scheme)
    pages = {
        "overview": "",
        "event": f"events/event/{going_on.pk}/change/",
        "figures": f"attendance/attendee/figures/{going_on.pk}/",
        "attendees": "attendance/attendee/",
        "attendee": f"attendance/attendee/{attendee.pk}/change/",
        "device": f"attendance/doordevice/{device.pk}/change/",
    }
    found = {}
    for name, address in pages.items():
        page.goto(f"/admin/{address}")
        page.wait_for_load_state("networkidle")
        assert ("dark" in page.get_attribute("html", "class").split()) is (scheme == "dark")
        found[name] = faults(page)
    assert found == dict.fromkeys(pages, [])


COVERED = """() => {
    const { left, top, width, height } = document.activeElement.getBoundingClientRect();
    const above = document.elementFromPoint(left + width / 2, top + height / 2);
    return !(document.activeElement.contains(above) || above?.contains(document.activeElement));
}"""


def test_what_has_the_focus_lies_under_no_bar(sign_in, going_on):
    crowd(going_on, 40)
    page = sign_in(member(going_on.organization, "organizer"))
    page.goto("/admin/attendance/attendee/")
    page.focus("#action-toggle")
    for _row in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('#result_list tbody')"):
            assert not page.evaluate(COVERED), page.evaluate("document.activeElement.outerHTML")
    assert page.evaluate("scrollY") > 500


def test_the_refused_scans_fit_a_desk(sign_in, going_on):
    attendee, device = going_on.attendees.first(), DoorDeviceFactory(event=going_on, name="Phone at the gate")
    scan = {"event": going_on, "attendee": attendee, "device": device, "scanned_at": timezone.now()}
    CheckInAttempt.objects.create(**scan, reason="point_closed", inside=True, code_hash="ab" * 32)
    page = sign_in(member(going_on.organization, "organizer"))
    page.goto("/admin/attendance/checkinattempt/")
    page.wait_for_load_state("networkidle")
    lines = page.locator(".field-scanned .turnout-moment > span").evaluate_all(
        "(spans) => spans.map((span) => [span.innerText, span.getClientRects().length])"
    )
    assert [count for _text, count in lines] == [1, 1] and lines[1][0].count(":") == 1
    assert page.evaluate("document.querySelector('#result_list').getBoundingClientRect().right <= innerWidth")
