"""The door's way in and the figures, in a real Chromium, on a desk and on a phone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from attendance.operations import devices, marking
from tests.factories import AttendeeFactory, DoorDeviceFactory, EventFactory, member

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
