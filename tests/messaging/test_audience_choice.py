"""Audiences that ask for more: the sessions in whose seats, or lines, somebody is."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from messaging import audiences
from messaging.models import Message
from messaging.operations import announcements, planning
from tests.config.test_admin import Filled
from tests.factories import EventFactory, SessionFactory, SessionRsvpFactory, WaitlistEntryFactory, member

from .test_admin_messages import BACKEND, draft, errors, form_of, page_of, read, written

pytestmark = pytest.mark.django_db

CHOICES = reverse("admin:messaging_message_choices")
START = datetime(2031, 6, 4, 8, tzinfo=UTC)
WORDS = "Wed 4 Jun, 10:00"
"""In Berlin."""


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    return client


@pytest.fixture
def talks(event):
    """Two sessions; in the first are Anna and Ben, in the second Ben, and Cleo waits."""
    event.starts_at, event.ends_at = START - timedelta(hours=1), START + timedelta(hours=9)
    event.save()
    keynote, workshop = (
        SessionFactory(event=event, title=title, starts_at=START, ends_at=START + timedelta(hours=1), capacity=2)
        for title in ("Keynote", "Workshop")
    )
    anna, ben = (SessionRsvpFactory(session=keynote, attendee__user_profile__first_name=one) for one in ("Anna", "Ben"))
    SessionRsvpFactory(session=workshop, attendee=ben.attendee)
    SessionRsvpFactory(session=workshop, attendee__user_profile__first_name="Dan", status="cancelled",
                       cancelled_at=START)  # fmt: skip
    WaitlistEntryFactory(session=workshop, attendee__user_profile__first_name="Cleo")
    return keynote, workshop


def ids(*sessions):
    return [str(one.pk) for one in sessions]


def offered(html) -> list[str]:
    return [str(label) for _value, label in html.context["adminform"].form.fields["sessions"].choices]


def test_whoever_is_in_the_chosen_sessions_gets_it(desk, event, talks):
    keynote, workshop = talks
    response = written(desk, event, audience="in_session", sessions=ids(workshop, keynote))
    message = Message.objects.get()
    assert (response.status_code, response.url) == (302, page_of(message, "preview"))
    assert (message.audience, message.audience_details) == ("in_session", {"sessions": ids(*talks)})
    preview = read(desk.get(page_of(message, "preview")))
    assert f"To: In a session: Keynote · {WORDS}, Workshop · {WORDS}" in preview
    assert "2 people get it" in preview
    assert form_of(desk, page_of(message))["sessions"] == ids(*talks)

    written(desk, event, page_of(message), audience="waiting_for_session", sessions=ids(workshop))
    message.refresh_from_db()
    assert (message.audience, message.audience_details) == ("waiting_for_session", {"sessions": ids(workshop)})
    assert [one.name.split()[0] for one in planning.summary(message).sample] == ["Cleo"]
    written(desk, event, page_of(message), audience="waiting_for_session", sessions=ids(keynote))
    assert "Nobody belongs to this group now." in read(desk.get(page_of(message, "preview")))
    assert message.history.count() == 3
    assert "Waiting for a session: 1" in read(desk.get(reverse("admin:messaging_message_changelist")))


def test_what_was_chosen_stands_on_the_page_of_the_message_and_in_its_copy(desk, event, organizer, talks):
    keynote, _workshop = talks
    details = {"sessions": ids(keynote)}
    message = draft(event, channels=["in_app"], audience="in_session", audience_details=details)
    announcements.send_now(message_id=message.pk, actor=organizer)
    assert f"In a session: Keynote · {WORDS}" in read(desk.get(page_of(message)))
    copied = announcements.copy(message_id=message.pk, actor=organizer).row
    assert (copied.audience, copied.audience_details) == ("in_session", details)
    assert form_of(desk, page_of(copied))["sessions"] == ids(keynote)


def test_a_field_of_another_audience_does_not_count(desk, event, talks):
    other = SessionFactory()
    written(desk, event, audience="invited", sessions=ids(*talks, other), picked=[])
    message = Message.objects.get()
    assert (message.audience, message.audience_details) == ("invited", {})
    written(desk, event, page_of(message), audience="picked", sessions=ids(*talks), button="_continue")
    message.refresh_from_db()
    assert (message.audience, message.audience_details) == ("picked", {"guests": [], "people": []})


def test_what_lacks_or_is_of_another_event_is_refused(desk, event, talks):
    assert errors(written(desk, event, audience="in_session")) == {"sessions": ["Choose at least one."]}
    foreign = SessionFactory(event=EventFactory(organization=event.organization))
    for wrong in (ids(foreign), ids(*talks, foreign)):
        found = errors(written(desk, event, audience="in_session", sessions=wrong))
        assert found == {"sessions": ["Not all of those chosen belong to this event."]}
    assert list(errors(written(desk, event, audience="in_session", sessions=["made-up"]))) == ["sessions"]
    assert not Message.objects.exists()
    written(desk, event, audience="in_session", button="_continue")
    assert Message.objects.get().audience_details == {"sessions": []}


def test_the_form_offers_the_sessions_of_its_event(desk, event, talks):
    SessionFactory(title="Elsewhere")
    add = reverse("admin:messaging_message_add")
    expected = [f"Keynote · {WORDS}", f"Workshop · {WORDS}"]
    assert offered(desk.get(f"{add}?event={event.pk}")) == expected
    assert offered(desk.get(f"{add}?event=")) == []
    keynote, workshop = talks
    type(workshop).objects.filter(pk=workshop.pk).update(status="cancelled")
    assert offered(desk.get(page_of(draft(event)))) == [expected[0], f"{expected[1]} · cancelled"]
    asked = json.loads(desk.get(add).context["adminform"].form.asked_by)
    assert asked == {"sessions": ["in_session", "waiting_for_session"]}
    assert list(audiences.choices()) == ["sessions"]


def test_the_script_is_told_what_another_event_has(desk, event, talks):
    answer = desk.get(CHOICES, {"of": "sessions", "event": event.pk})
    assert answer.json() == {
        "choices": [
            {"id": str(one.pk), "text": f"{one.title} · {WORDS}"} for one in talks
        ]
    }  # fmt: skip
    foreign = EventFactory()
    for asked in ({"of": "sessions", "event": foreign.pk}, {"of": "picked", "event": event.pk}, {"of": "sessions"}, {}):
        assert desk.get(CHOICES, asked).status_code == 404
    desk.force_login(member(event.organization, "viewer"), backend=BACKEND)
    assert desk.get(CHOICES, {"of": "sessions", "event": event.pk}).status_code == 404


def test_two_who_choose_at_once_lose_nothing(desk, event, talks):
    """The second sees what the first chose, keeps what they themselves did, and saves it by saving again."""
    keynote, workshop = talks
    message = draft(event, audience="in_session", audience_details={"sessions": ids(keynote)})
    mine = form_of(desk, page_of(message))
    written(desk, event, page_of(message), audience="in_session", sessions=ids(*talks))
    response = desk.post(page_of(message), mine | {"sessions": ids(workshop), "_continue": ["1"]})
    assert errors(response)["sessions"] == [f"Now there stands: Keynote · {WORDS}, Workshop · {WORDS}"]
    message.refresh_from_db()
    assert message.audience_details == {"sessions": ids(*talks)}
    again = form_of_answer(response)
    assert (again["sessions"], again["initial-sessions"]) == (ids(workshop), ids(*talks))
    assert desk.post(page_of(message), again | {"_continue": ["1"]}).status_code == 302
    message.refresh_from_db()
    assert message.audience_details == {"sessions": ids(workshop)}


def test_a_choice_is_no_ones_change_unless_they_made_it(desk, event, talks):
    message = draft(event, audience="in_session", audience_details={"sessions": ids(*talks)})
    form = form_of(desk, page_of(message))
    response = desk.post(page_of(message), form | {"subject": ["New"], "_continue": ["1"]})
    assert response.status_code == 302
    message.refresh_from_db()
    assert (message.subject, message.audience_details) == ("New", {"sessions": ids(*talks)})
    response = desk.get(page_of(message))
    assert response.context["adminform"].form.changed_data == []


def form_of_answer(response) -> dict:
    return Filled(response.content.decode(), "message_form").data


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("width", [1400, 390])
def test_sessions_are_chosen_in_a_browser(sign_in, event, organizer, talks, width):
    other = EventFactory(organization=event.organization, title="Other")
    SessionFactory(event=other, title="Elsewhere")
    page = sign_in(organizer, width=width)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"/admin/messaging/message/add/?event={event.pk}")
    box = page.locator("select[name=sessions] + .select2")
    assert not box.is_visible()
    page.check("input[name=audience][value=in_session]")
    assert box.is_visible()

    def choose(name):
        box.click()
        page.locator(".select2-results li[role=option]", has_text=name).click()

    choose("Keynote")
    page.select_option("select[name=event]", str(other.pk), force=True)
    page.wait_for_selector("text=Of another event: choose anew.")
    page.wait_for_function("document.querySelectorAll('select[name=sessions] option').length === 1")
    choose("Elsewhere")
    page.select_option("select[name=event]", str(event.pk), force=True)
    page.wait_for_function("document.querySelectorAll('select[name=sessions] option').length === 2")
    choose("Workshop")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.fill("input[name=subject]", "Hello")
    page.fill("textarea[name=body]", "Hello")
    page.click("text=Save and preview")
    page.wait_for_url("**/preview/")
    assert "1 person gets it" in page.inner_text("#content") and "Workshop · Wed 4 Jun" in page.inner_text("#content")
    assert Message.objects.get().audience_details == {"sessions": ids(talks[1])}
    page.click("text=Back to writing")
    page.wait_for_url("**/change/")
    assert "Workshop" in box.inner_text() and "Keynote" not in box.inner_text()
    assert faults == []
