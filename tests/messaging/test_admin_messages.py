"""Messages at the organisers' desk: written, looked at, sent, watched; deliveries, the record, the switches."""

import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import openpyxl
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from waffle.models import Switch

from events.models import IntegrityResult, Membership
from messaging.admin.deliveries import CASES
from messaging.admin.words import masked
from messaging.models import ChannelState, EventGuest, Message, MessageDelivery, OptOut, UserLinkAudit
from messaging.operations import announcements, notify, sending
from messaging.operations import guests as guest_list
from messaging.operations.notices import Notice
from messaging.triggers import deliveries as delivery_triggers
from messaging.triggers import guests as guest_triggers
from messaging.triggers import linking
from tests.config.postgres import waited_for
from tests.config.test_admin import Filled
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    EventGuestFactory,
    MessageDeliveryFactory,
    MessageFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db

BACKEND = "events.sign_in.EmailBackend"
LIST = reverse("admin:messaging_message_changelist")
ADD = reverse("admin:messaging_message_add")
DELIVERIES = reverse("admin:messaging_messagedelivery_changelist")
AUDIT = reverse("admin:messaging_userlinkaudit_changelist")


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    return client


@pytest.fixture
def as_role(client, event):
    """``as_role("door")``: the admin as somebody of that role in the event's organisation."""

    def signed_in(role, organization=None):
        client.force_login(member(organization or event.organization, role), backend=BACKEND)
        return client

    return signed_in


@pytest.fixture
def root(client):
    client.force_login(UserProfileFactory(is_superuser=True), backend=BACKEND)
    return client


def page_of(row, name="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=(row.pk,))


def read(html):
    """What stands on the page."""
    if not isinstance(html, str):
        assert html.status_code == 200
        html = html.content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split('id="content"')[-1]))


def told(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def form_of(client, page=ADD) -> dict:
    response = client.get(page)
    assert response.status_code == 200
    return Filled(response.content.decode(), "message_form").data


def written(client, event, page=ADD, button="_preview", **fields):
    """The form filled and sent; ``channels`` and ``audience`` as one ticks them."""
    data = form_of(client, page) | {
        "subject": ["Doors"],
        "body": ["Hello {name}"],
        "channels": ["in_app", "email"],
        "audience": ["invited"],
        "when": ["now"],
    }
    if page == ADD:
        data["event"] = [str(event.pk)]
    data |= {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    return client.post(page, data | {button: ["1"]})


def looked_at(message) -> dict:
    """What the preview's forms carry."""
    return {"seen": announcements.fingerprint(Message.objects.get(pk=message.pk))}


def errors(response) -> dict:
    assert response.status_code == 200
    return {name: list(found) for name, found in response.context["adminform"].form.errors.items()}


def guests(event, *names):
    return [EventGuestFactory(event=event, guest_name=name, email=f"{name.lower()}@example.org") for name in names]


def draft(event, **fields):
    return MessageFactory(event=event, **{"channels": ["in_app", "email"], "audience": "invited"} | fields)


def sent(message, organizer):
    announcements.send_now(message_id=message.pk, actor=organizer)
    sending.fan_out(message_id=message.pk)
    message.refresh_from_db()
    return message


# -- Writing -----------------------------------------------------------------------------------------


def test_a_message_is_written_and_goes_to_its_preview(desk, event, organizer, post_office):
    response = written(desk, event, body="Hello {name},\r\nsee you")
    message = Message.objects.get()
    assert (response.status_code, response.url) == (302, page_of(message, "preview"))
    assert (message.event, message.subject, message.body) == (event, "Doors", "Hello {name},\nsee you")
    assert (message.channels, message.audience, message.audience_details) == (["in_app", "email"], "invited", {})
    assert (message.status, message.kind, message.created_by) == ("draft", "announcement", organizer)
    assert (message.scheduled_at, message.anchor, message.anchor_offset) == (None, "", None)
    assert message.history.get().history_user == organizer


def test_a_draft_may_lack_everything(desk, event):
    response = written(desk, event, button="_continue", subject="", body="", channels=[], audience=[])
    message = Message.objects.get()
    assert (response.status_code, response.url) == (302, page_of(message))
    assert (message.subject, message.body, message.channels, message.audience) == ("", "", [], "")


def test_what_is_missing_is_said_where_it_is(desk, event, post_office):
    found = errors(written(desk, event, subject=" ", body=" ", audience=[]))
    assert found == {
        "subject": ["An e-mail needs a subject."],
        "body": ["Write a text."],
        "audience": ["Say to whom it goes."],
    }
    assert errors(written(desk, event, channels=[])) == {"channels": ["Choose at least one channel."]}
    assert errors(written(desk, event, audience="picked")) == {"picked": ["Choose at least one."]}
    assert errors(written(desk, event, when="at", scheduled_at_0="", scheduled_at_1="")) == {
        "scheduled_at": ["Give a day and a time."]
    }
    assert errors(written(desk, event, when="at", scheduled_at_0="2020-01-01", scheduled_at_1="10:00")) == {
        "scheduled_at": ["That time is past."]
    }
    assert errors(written(desk, event, when="relative")) == {"relative": ["Say how long before or after."]}
    far = {"relative_0": "400", "relative_1": "days", "relative_2": "after"}
    assert errors(written(desk, event, when="relative", **far)) == {"relative": ["At most a year before or after."]}
    past = {"relative_0": "30", "relative_1": "days", "relative_2": "before"}
    assert errors(written(desk, event, when="relative", **past)) == {"relative": ["That time is past."]}
    assert not Message.objects.exists()


def test_a_channel_that_is_off_says_why_and_cannot_be_ticked(desk, event, settings, post_office):
    settings.SMS_ACCOUNT_SID = settings.EMAIL_URL = ""
    html = desk.get(ADD).content.decode()
    boxes = dict(re.findall(r'<input type="checkbox" name="channels" value="(\w+)"([^>]*)>', html))
    ticked = {name: ("checked" in found.split(), "disabled" in found.split()) for name, found in boxes.items()}
    assert ticked == {
        "in_app": (True, False),
        "push": (True, False),
        "sms": (False, True),
        "email": (False, True),
    }
    assert "SMS is off: SMS_ACCOUNT_SID is not set." in html and "E-mail is off: EMAIL_URL" in html


def test_times_are_the_events(desk, event):
    """Berlin is an hour ahead of UTC in winter."""
    event.starts_at = datetime(2031, 1, 20, 9, tzinfo=UTC)
    event.ends_at = event.starts_at + timedelta(hours=8)
    event.save()
    written(desk, event, when="at", scheduled_at_0="2031-01-19", scheduled_at_1="18:00")
    message = Message.objects.get()
    assert message.scheduled_at == datetime(2031, 1, 19, 17, tzinfo=UTC)
    assert "On Sun 19 Jan 2031, 18:00 CET, once you schedule it." in read(desk.get(page_of(message, "preview")))
    form = form_of(desk, page_of(message))
    assert (form["when"], form["scheduled_at_0"], form["scheduled_at_1"]) == (["at"], ["2031-01-19"], ["18:00:00"])

    relative = {"relative_0": "90", "relative_1": "minutes", "relative_2": "before", "relative_3": "ends_at"}
    written(desk, event, page_of(message), when="relative", **relative)
    message.refresh_from_db()
    assert (message.scheduled_at, message.anchor, message.anchor_offset) == (None, "ends_at", -timedelta(minutes=90))
    form = form_of(desk, page_of(message))
    assert [form["when"], *(form[f"relative_{n}"] for n in range(4))] == [
        ["relative"],
        ["90"],
        ["minutes"],
        ["before"],
        ["ends_at"],
    ]
    written(desk, event, page_of(message), when="now")
    message.refresh_from_db()
    assert (message.scheduled_at, message.anchor, message.anchor_offset) == (None, "", None)


def test_guests_and_people_are_picked(desk, event):
    anna, _ben = guests(event, "Anna", "Ben")
    person = AttendeeFactory(event=event, user_profile__first_name="Zoe").user_profile
    written(desk, event, audience="picked", picked=[f"guest:{anna.pk}", f"person:{person.pk}"])
    message = Message.objects.get()
    assert message.audience_details == {"guests": [str(anna.pk)], "people": [str(person.pk)]}
    assert form_of(desk, page_of(message))["picked"] == [f"guest:{anna.pk}", f"person:{person.pk}"]
    assert "2 people get it" in read(desk.get(page_of(message, "preview")))

    written(desk, event, page_of(message), audience="invited")
    message.refresh_from_db()
    assert (message.audience, message.audience_details) == ("invited", {})


def test_nobody_of_another_event_is_picked(desk, event):
    elsewhere = EventGuestFactory()
    stranger = UserProfileFactory()
    for one in (f"guest:{elsewhere.pk}", f"person:{stranger.pk}", f"guest:{uuid4()}"):
        found = errors(written(desk, event, audience="picked", picked=[one]))
        assert found == {"picked": ["Not all of those chosen belong to this event."]}
    assert list(errors(written(desk, event, audience="picked", picked=["guest:1"]))) == ["picked"]
    assert not Message.objects.exists()


def test_candidates_are_searched_by_name_and_address(desk, event):
    anna, _ben = guests(event, "Anna", "Ben")
    linked = AttendeeFactory(event=event, user_profile__first_name="Annabel").user_profile
    EventGuest.objects.filter(pk=anna.pk).update(user=linked, link_outcome="linked", linked_at=timezone.now())
    person = AttendeeFactory(event=event, user_profile__first_name="Hanna", user_profile__last_name="Ott").user_profile
    EventGuestFactory(event=event, guest_name="Joanna", removed_at=timezone.now())
    EventGuestFactory(guest_name="Susanna")
    page = reverse("admin:messaging_message_candidates")
    found = desk.get(page, {"event": event.pk, "term": "anna"}).json()
    assert found == {
        "results": [
            {"text": "On the guest list", "children": [{"id": f"guest:{anna.pk}", "text": "Anna · anna@example.org"}]},
            {
                "text": "Attendees and applicants",
                "children": [{"id": f"person:{person.pk}", "text": f"Hanna Ott · {person.email}"}],
            },
        ],
        "pagination": {"more": False},
    }
    guests(event, *(f"Anna{number}" for number in range(20)))
    found = desk.get(page, {"event": event.pk, "term": "anna"}).json()
    assert (len(found["results"][0]["children"]), found["pagination"]) == (20, {"more": True})
    found = desk.get(page, {"event": event.pk, "term": "anna", "page": 2}).json()
    assert (len(found["results"][0]["children"]), found["pagination"]) == (1, {"more": False})
    for query in ({}, {"event": EventFactory().pk}, {"event": "x"}, {"event": event.pk, "page": "x"}):
        assert desk.get(page, query).status_code == 404


@pytest.mark.parametrize("meanwhile", ["sent", "scheduled", "deleted"])
def test_what_was_written_to_a_draft_that_is_none_any_more_stands_in_the_form_of_a_new_one(
    desk, event, organizer, post_office, meanwhile
):
    anna, _ben = guests(event, "Anna", "Ben")
    details = {"guests": [str(anna.pk)], "people": []}
    at = timezone.now() + timedelta(days=2)
    message = draft(event, subject="Old", audience="picked", audience_details=details, scheduled_at=at)
    form = form_of(desk, page_of(message)) | {"subject": ["New"], "body": ["All that I wrote"], "_continue": ["1"]}
    match meanwhile:
        case "sent":
            announcements.send_now(message_id=message.pk, actor=organizer)
        case "scheduled":
            announcements.schedule(message_id=message.pk, actor=organizer)
        case "deleted":
            desk.post(page_of(message, "delete"), {"post": "yes"})
    response = desk.post(page_of(message), form)
    assert errors(response) == {
        "__all__": [
            (
                "This is no draft any more: it was sent, scheduled or deleted meanwhile, and what you wrote was not "
                "saved. It stands here as a new message: save it, or leave it."
            )
        ]
    }
    assert list(Message.objects.values_list("subject", flat=True)) == ([] if meanwhile == "deleted" else ["Old"])
    html = response.content.decode()
    assert f'action="{ADD}"' in html
    shown = Filled(html, "message_form").data
    assert errors(desk.post(page_of(message), shown | {"channels": [], "_preview": ["1"]})) == {
        "channels": ["Choose at least one channel."]
    }
    response = desk.post(page_of(message) if meanwhile == "sent" else ADD, shown | {"_continue": ["1"]})
    assert (response.status_code, response.url) == (302, page_of(Message.objects.get(subject="New")))
    kept = Message.objects.get(subject="New")
    assert (kept.event, kept.body, kept.status, kept.created_by) == (event, "All that I wrote", "draft", organizer)
    assert (kept.channels, kept.audience, kept.audience_details) == (["in_app", "email"], "picked", details)
    assert kept.scheduled_at == at.replace(microsecond=0)


@pytest.mark.django_db(transaction=True)
def test_nothing_written_is_lost_where_a_draft_is_sent_while_it_is_saved(desk, event):
    message = draft(event, subject="Old")
    form = form_of(desk, page_of(message)) | {"subject": ["New"], "_continue": ["1"]}
    with waited_for("UPDATE event_messages SET status = 'sending' WHERE id = %s", [message.pk]):
        response = desk.post(page_of(message), form)
    [sentence] = errors(response)["__all__"]
    assert sentence.startswith("This is no draft any more")
    assert Filled(response.content.decode(), "message_form").data["subject"] == ["New"]
    assert list(Message.objects.values_list("subject", "status")) == [("Old", "sending")]


def test_nobody_learns_of_a_closed_message_whom_it_is_not_shown(as_role, event, organizer, post_office):
    """Nor may who only looks write by this way."""
    guests(event, "Anna")
    message = sent(draft(event, subject="Old"), organizer)
    form = {"subject": "New", "body": "x", "when": "now", "_continue": "1"}
    assert as_role("viewer").post(page_of(message), form).status_code == 403
    assert as_role("organizer", EventFactory().organization).post(page_of(message), form).status_code == 404
    assert as_role("organizer").post(page_of(message, "change").replace(str(message.pk), "x"), form).status_code == 404
    assert as_role("organizer").post(page_of(MessageFactory.build()), form).status_code == 404
    assert list(Message.objects.values_list("subject", flat=True)) == ["Old"]


def test_only_drafts_are_changed_and_deleted(desk, event, organizer, post_office):
    guests(event, "Anna")
    message = draft(event)
    announcements.send_now(message_id=message.pk, actor=organizer)
    assert desk.post(page_of(message, "delete"), {"post": "yes"}).status_code == 403
    message.refresh_from_db()
    assert message.status == "sending"
    other = draft(event)
    assert desk.post(page_of(other, "delete"), {"post": "yes"}).status_code == 302
    assert not Message.objects.filter(pk=other.pk).exists()


def test_two_who_write_one_draft_undo_nothing_of_each_other(desk, event, post_office):
    """Who saves second is refused once, and sees what is there by now."""
    message = draft(event, subject="Old", body="Old text")
    form = form_of(desk, page_of(message))
    at = datetime(2031, 1, 19, 17, tzinfo=UTC)
    Message.objects.filter(pk=message.pk).update(audience="attending", scheduled_at=at, body="Theirs")
    refused = desk.post(page_of(message), form | {"subject": ["New"], "body": ["Mine"], "_continue": ["1"]})
    assert errors(refused) == {
        "__all__": [
            (
                "Somebody changed this draft meanwhile. What you changed stands here as you wrote it, "
                "all else as it is now. Save again to have it so."
            )
        ],
        "body": ["Now there stands: Theirs"],
    }
    message.refresh_from_db()
    assert (message.subject, message.body) == ("Old", "Theirs")
    shown = Filled(refused.content.decode(), "message_form").data
    assert {name: shown[name] for name in ("subject", "body", "audience", "when", "scheduled_at_0", "channels")} == {
        "subject": ["New"],
        "body": ["Mine"],
        "audience": ["attending"],
        "when": ["at"],
        "scheduled_at_0": ["2031-01-19"],
        "channels": ["in_app", "email"],
    }
    assert desk.post(page_of(message), shown | {"_continue": ["1"]}).status_code == 302
    message.refresh_from_db()
    assert (message.subject, message.body, message.audience, message.scheduled_at) == ("New", "Mine", "attending", at)


def test_a_refused_form_still_knows_what_it_changed(desk, event, post_office):
    message = draft(event, scheduled_at=datetime(2031, 1, 19, 17, tzinfo=UTC))
    form = form_of(desk, page_of(message)) | {"scheduled_at_0": ["2031-01-20"], "subject": [""], "_preview": ["1"]}
    refused = desk.post(page_of(message), form)
    assert errors(refused) == {"subject": ["An e-mail needs a subject."]}
    again = Filled(refused.content.decode(), "message_form").data | {"subject": ["Doors"], "_preview": ["1"]}
    assert desk.post(page_of(message), again).status_code == 302
    message.refresh_from_db()
    assert message.scheduled_at == datetime(2031, 1, 20, 17, tzinfo=UTC)


# -- The preview -------------------------------------------------------------------------------------


def test_the_preview_says_who_gets_what_and_who_not_and_why(desk, event, settings, post_office):
    settings.SMS_ACCOUNT_SID = ""
    event.title = "Harbour Conf"
    event.save()
    guests(event, "Anna")
    EventGuestFactory(event=event, guest_name="Ben", phone="+14155550100")
    EventGuestFactory(event=event, guest_name="Cleo", email="cleo@example.org")
    OptOut.objects.create(channel="email", address="cleo@example.org", source="unsubscribe")
    message = draft(event, subject="{event}", body="Dear {name} {x}", channels=["in_app", "sms", "email"])
    text = read(desk.get(page_of(message, "preview")))
    for sentence in (
        "Draft · To: Invited",
        "3 people get it",
        "In the app 3",
        "SMS 0 SMS is off: SMS_ACCOUNT_SID is not set.",
        "E-mail 1 1 not: no e-mail address Ben 1 not: has unsubscribed Cleo",
        "Anna In the app, E-mail a…@example.org",
        "What Anna reads",
        "E-mail and app Harbour Conf Dear Anna {x}",
        "SMS · 26 characters, 1 part Harbour Conf Dear Anna {x}",
        "At once, when you press the button.",
        "Send now to 3 people",
    ):
        assert sentence in text, (sentence, text)


def test_sending_asks_again_where_the_number_has_changed(desk, event, post_office):
    guests(event, "Anna", "Ben")
    message = draft(event)
    page = page_of(message, "preview")
    guests(event, "Cleo")
    response = desk.post(page, {"send": "1", "expected": "2"} | looked_at(message))
    assert (response.url, told(response)) == (
        page,
        ["3 people would get it now, not 2. Look again before you send."],
    )
    message.refresh_from_db()
    assert message.status == "draft"
    assert "Send now to 3 people" in read(desk.get(page))


@pytest.mark.parametrize(
    "meanwhile",
    [{"channels": ["in_app"]}, {"body": "Something else"}, {"audience": "everyone"}],
    ids=["channels", "body", "audience"],
)
@pytest.mark.parametrize("button", ["send", "schedule"])
def test_what_was_not_looked_at_does_not_go_out(desk, event, post_office, meanwhile, button):
    guests(event, "Anna", "Ben")
    message = draft(event, scheduled_at=timezone.now() + timedelta(days=1))
    page = page_of(message, "preview")
    seen = desk.get(page).context
    looked = {button: "1", "expected": seen["summary"].recipients, "seen": seen["seen"]}
    Message.objects.filter(pk=message.pk).update(**meanwhile)
    refused = desk.post(page, looked)
    assert (refused.url, told(refused)) == (page, [str(announcements.MessageChanged.message)])
    message.refresh_from_db()
    assert (message.status, message.deliveries.count()) == ("draft", 0)
    again = desk.get(page)
    assert again.content.decode().count(f'name="seen" value="{again.context["seen"]}"') == 2
    assert desk.post(page, looked | {"seen": again.context["seen"]}).url == page_of(message)
    message.refresh_from_db()
    assert message.status == {"send": "sending", "schedule": "scheduled"}[button]


def test_a_double_click_sends_once(desk, event, post_office):
    guests(event, "Anna")
    message = draft(event)
    data = {"send": "1", "expected": "1"} | looked_at(message)
    first, second = (desk.post(page_of(message, "preview"), data) for _click in range(2))
    assert (first.url, second.url) == (page_of(message), page_of(message))
    assert (told(first), told(second)) == ([], ["It is on its way already."])
    message.refresh_from_db()
    assert message.status == "sending"
    assert message.history.count() == 2  # made, sent


@pytest.mark.parametrize(
    "data", [{"send": "1"}, {"send": "1", "expected": "x"}, {"send": "1", "expected": "9" * 30}, {}]
)
def test_without_the_number_nothing_is_sent(desk, event, data):
    guests(event, "Anna")
    message = draft(event)
    assert desk.post(page_of(message, "preview"), data).url == page_of(message, "preview")
    message.refresh_from_db()
    assert message.status == "draft"


def test_to_nobody_nothing_can_be_sent(desk, event, post_office):
    message = draft(event)
    text = read(desk.get(page_of(message, "preview")))
    assert "Nobody belongs to this group now." in text and "Send now" not in text
    EventGuestFactory(event=event, guest_name="Ben", phone="+14155550100")
    Message.objects.filter(pk=message.pk).update(channels=["email"])
    text = read(desk.get(page_of(message, "preview")))
    assert "Nobody can be reached this way." in text and "1 not: no e-mail address Ben" in text
    response = desk.post(page_of(message, "preview"), {"send": "1", "expected": "0"} | looked_at(message))
    assert told(response) == ["Nobody would get this message: no e-mail address."]
    message.refresh_from_db()
    assert message.status == "draft"


def test_an_unfinished_draft_says_what_it_lacks(desk, event):
    message = MessageFactory(event=event, subject="", body="", channels=[], audience="")
    text = read(desk.get(page_of(message, "preview")))
    assert "It can't go out yet: it has no text; it has no channel; nobody is chosen to get it." in text
    assert "Send now" not in text


def test_a_message_is_scheduled_and_taken_off_the_schedule(desk, event):
    guests(event, "Anna")
    due = timezone.now() + timedelta(days=1)
    message = draft(event, scheduled_at=due)
    words = f"{due.astimezone(event.zone):%a %-d %b %Y, %H:%M %Z}"
    page = page_of(message, "preview")
    assert f"Schedule for {words}" in read(desk.get(page))
    response = desk.post(page, {"schedule": "1"} | looked_at(message))
    assert (response.url, told(response)) == (
        page_of(message),
        ["Scheduled. Until then it can be taken off the schedule."],
    )
    assert f"Scheduled for {words}" in read(desk.get(page_of(message)))
    assert f"It goes out by itself on {words}." in read(desk.get(page))
    assert told(desk.post(f"{page_of(message).removesuffix('change/')}act/cancel/")) == ["1 message is a draft again."]
    message.refresh_from_db()
    assert (message.status, message.scheduled_at) == ("draft", due)


def test_a_time_that_has_passed_since_is_told(desk, event):
    guests(event, "Anna")
    message = draft(event, scheduled_at=timezone.now() - timedelta(minutes=1))
    text = read(desk.get(page_of(message, "preview")))
    assert "is past. Send it now, or choose a later one." in text and "Schedule for" not in text
    assert told(desk.post(page_of(message, "preview"), {"schedule": "1"} | looked_at(message))) == [
        "That time is past. Send it now, or choose a later one."
    ]


def test_a_test_goes_to_who_asks_for_it_alone(desk, event, organizer, post_office):
    guests(event, "Anna")
    message = draft(event)
    response = desk.post(page_of(message, "preview"), {"test": "1"})
    assert told(response) == ["A test is on its way to you: In the app, E-mail."]
    assert response.url == page_of(message, "preview")
    test = Message.objects.get(kind="test")
    assert set(test.deliveries.values_list("channel", "user", "guest")) == {
        ("in_app", organizer.pk, None),
        ("email", organizer.pk, None),
    }
    message.refresh_from_db()
    assert (message.status, message.deliveries.count()) == ("draft", 0)


def test_addresses_are_masked():
    assert [masked(one) for one in ("anna@example.org", "+14155550100")] == ["a…@example.org", "+14…00"]


# -- Watching ----------------------------------------------------------------------------------------


@pytest.fixture
def on_its_way(event, organizer, post_office):
    """To Anna, Ben, Cleo and Dan, in the app and by e-mail: one has it, one bounced, one nobody knows."""
    people = guests(event, "Anna", "Ben", "Cleo", "Dan")
    message = sent(draft(event, subject="Doors"), organizer)
    states = {
        "Anna": {"status": "delivered"},
        "Ben": {"status": "bounced", "error": "550 No such user"},
        "Cleo": {"status": "unknown", "error": "The connection broke"},
    }
    for guest in people[:3]:
        message.deliveries.filter(guest=guest, channel="email").update(**states[guest.guest_name])
    return message


def by_mail(message, name):
    return message.deliveries.get(guest__guest_name=name, channel="email")


def act(client, row, name, **data):
    return client.post(reverse(f"admin:messaging_{row._meta.model_name}_act", args=(row.pk, name)), data)


def confirmed(client, row, name):
    """The act's page is read, and its button pressed."""
    page = reverse(f"admin:messaging_{row._meta.model_name}_act", args=(row.pk, name))
    return client.post(page, Filled(client.get(page).content.decode(), "act_form").data)


def test_one_watches_it_going_out(desk, on_its_way):
    text = read(desk.get(page_of(on_its_way)))
    for sentence in (
        "Sending 7 of 8 4 people",
        "In the app 4 Sent 4",
        "E-mail 4 Waiting 1 Delivered 1 Failed 1 Unknown 1",
        "Bounced: 550 No such user E-mail 1",
        "Unknown: The connection broke E-mail 1",
        "Of 1 delivery nobody knows whether it arrived",
        "To Invited",
    ):
        assert sentence in text, (sentence, text)
    found = desk.get(page_of(on_its_way, "progress")).json()
    assert {name: found[name] for name in ("state", "done", "total", "live", "acts")} == {
        "state": "Sending 7 of 8",
        "done": 7,
        "total": 8,
        "live": True,
        "acts": ["stop", "retry_failed", "copy"],
    }
    assert "Waiting 1" in read(found["html"])


def test_it_is_stopped_continued_and_ended(desk, on_its_way):
    assert told(act(desk, on_its_way, "stop")) == ["1 message stopped: nothing more leaves."]
    assert "Stopped at 7 of 8" in read(desk.get(page_of(on_its_way)))
    acts = desk.get(page_of(on_its_way, "progress")).json()["acts"]
    assert acts == ["resume", "withdraw_rest", "copy"]
    assert told(act(desk, on_its_way, "resume")) == ["1 going on."]
    act(desk, on_its_way, "stop")
    asked = desk.get(reverse("admin:messaging_message_act", args=(on_its_way.pk, "withdraw_rest")))
    assert "1 delivery will never leave: E-mail 1. Whatever has not left yet never will." in read(asked)
    assert told(act(desk, on_its_way, "withdraw_rest", act_form="1")) == []
    by_mail(on_its_way, "Dan").refresh_from_db()
    assert by_mail(on_its_way, "Dan").status == "queued"
    assert told(confirmed(desk, on_its_way, "withdraw_rest")) == ["1 ended: what had not left was taken back."]
    on_its_way.refresh_from_db()
    assert (on_its_way.status, by_mail(on_its_way, "Dan").status) == ("sent", "failed")
    assert by_mail(on_its_way, "Dan").withdrawn_at is not None
    text = read(desk.get(page_of(on_its_way)))
    assert "Withdrawn 1 person had it by then, of 4" in text and "Taken back by an organiser before it" in text
    assert "Withdrawn" in read(desk.get(LIST))


def test_nothing_that_was_taken_back_is_offered_again(desk, event, organizer, post_office):
    guests(event, "Anna", "Ben")
    message = sent(draft(event, channels=["email"]), organizer)
    act(desk, message, "stop")
    ChannelState.objects.create(channel="email", failures=1, paused_until=timezone.now() + timedelta(minutes=5))
    text = read(desk.get(page_of(message)))
    assert "Stopped at 0 of 2" in text and "waits: its provider" not in text
    anna = by_mail(message, "Anna")
    assert "Held: the message is stopped" in read(desk.get(DELIVERIES))
    assert "Held: the message is stopped" in read(desk.get(page_of(anna)))
    confirmed(desk, message, "withdraw_rest")
    text = read(desk.get(page_of(message)))
    assert "Withdrawn 0 people had it by then, of 2" in text and "Nobody could be reached" not in text
    assert desk.get(page_of(message, "progress")).json()["acts"] == ["copy"]
    assert "Taken back" in read(desk.get(DELIVERIES)) and "Held" not in read(desk.get(DELIVERIES))


def test_of_a_stopped_message_nothing_is_sent_again(desk, on_its_way):
    ben = by_mail(on_its_way, "Ben")
    assert "Send again" in read(desk.get(page_of(ben)))
    act(desk, on_its_way, "stop")
    assert "Send again" not in read(desk.get(page_of(ben)))
    assert told(act(desk, ben, "retry", act_form="1")) == [
        f"1 could not be changed. {ben}: {announcements.MessageStopped.message}"
    ]


def test_what_failed_is_sent_again_all_together(desk, on_its_way):
    assert told(act(desk, on_its_way, "retry_failed")) == []
    assert by_mail(on_its_way, "Ben").status == "bounced"
    asked = read(desk.get(reverse("admin:messaging_message_act", args=(on_its_way.pk, "retry_failed"))))
    assert "1 delivery goes out again: E-mail 1. To the addresses that they have by now. Nobody else gets it." in asked
    assert told(confirmed(desk, on_its_way, "retry_failed")) == ["1 delivery waits to be sent again."]
    states = {name: by_mail(on_its_way, name).status for name in ("Anna", "Ben", "Cleo", "Dan")}
    assert states == {"Anna": "delivered", "Ben": "queued", "Cleo": "unknown", "Dan": "queued"}
    assert "retry_failed" not in desk.get(page_of(on_its_way, "progress")).json()["acts"]


def test_several_are_sent_again_after_a_word_about_how_many(desk, event, organizer, on_its_way):
    other = sent(draft(event, subject="Parking at {event}", channels=["in_app", "sms", "email"]), organizer)
    other.deliveries.filter(channel="email", guest__guest_name__in=["Anna", "Ben"]).update(status="failed", error="x")
    fine = sent(draft(event, subject="Menu for {event}"), organizer)
    data = {"action": "retry_failed", "_selected_action": [on_its_way.pk, other.pk, fine.pk]}
    asked = desk.post(LIST, data)
    words = "3 deliveries go out again: E-mail 3 (of 2 messages)."
    assert words in read(asked)
    assert by_mail(on_its_way, "Ben").status == "bounced"
    answer = Filled(asked.content.decode(), "act_form").data
    assert answer["confirmed"] == [words]
    response = desk.post(LIST, answer)
    assert told(response) == [
        "3 deliveries wait to be sent again.",
        f"1 could not be changed. Menu for {event.title}: There is nothing to send again here.",
    ]
    assert {by_mail(one, "Ben").status for one in (on_its_way, other)} == {"queued"}


def test_whoever_has_no_account_has_nothing_in_the_app(desk, event, organizer, post_office):
    anna, ben, cleo = guests(event, "Anna", "Ben", "Cleo")
    person = UserProfileFactory()
    EventGuest.objects.filter(pk=anna.pk).update(user=person, link_outcome="linked", linked_at=timezone.now())
    message = sent(draft(event), organizer)
    message.deliveries.filter(guest=cleo, channel="email").update(status="sent")
    act(desk, message, "stop")
    assert "2 deliveries will never leave: E-mail 2." in read(
        desk.get(reverse("admin:messaging_message_act", args=(message.pk, "withdraw_rest")))
    )
    confirmed(desk, message, "withdraw_rest")
    assert set(message.deliveries.filter(channel="in_app").values_list("guest", "status")) == {
        (one.pk, "sent") for one in (anna, ben, cleo)
    }
    assert "Withdrawn 2 people had it by then, of 3" in read(desk.get(page_of(message)))


def test_numbers_are_written_one_way(desk, event, organizer, post_office):
    EventGuestFactory.create_batch(1200, event=event, email=None, phone=None)
    (anna,) = guests(event, "Anna")
    message = draft(event)
    text = read(desk.get(page_of(message, "preview")))
    for sentence in (
        "1,201 people get it",
        "In the app 1,201",
        "1,200 not: no e-mail address",
        "and 1,191 more",
        "1,200 of them have no account yet",
        "Send now to 1,201 people",
    ):
        assert sentence in text, (sentence, text)
    sent(message, organizer)
    text = read(desk.get(page_of(message)))
    assert "Sending 1,201 of 1,202 1,201 people" in text and "In the app 1,201 Sent 1,201" in text
    act(desk, message, "stop")
    confirmed(desk, message, "withdraw_rest")
    assert "Withdrawn 0 people had it by then, of 1,201" in read(desk.get(page_of(message)))
    assert "Invited, 1,201 people" in read(desk.get(LIST))


def test_a_message_in_the_app_alone_is_over_at_once(desk, event, organizer):
    guests(event, "Anna")
    message = sent(draft(event, channels=["in_app"]), organizer)
    assert (message.status, message.error, message.finished_at is not None) == ("sent", "", True)
    assert "Sent 1 person" in read(desk.get(page_of(message)))
    assert message.history.first().history_change_reason == "all deliveries are decided"


# -- What one should know ----------------------------------------------------------------------------


CALLED_OFF = "The event is cancelled. The message can go out all the same: make sure that its text fits."


def test_a_draft_that_was_put_back_says_why_until_it_goes_out(desk, event, organizer, post_office):
    guests(event, "Anna")
    message = draft(event, anchor="starts_at", anchor_offset=timedelta(hours=-2))
    announcements.schedule(message_id=message.pk, actor=organizer)
    event.starts_at = timezone.now() + timedelta(hours=1)
    event.save()
    assert sending.begin_due() == []
    why = "It was not sent: when the event was moved, its time was past."
    pages = [page_of(message), page_of(message, "preview"), LIST]
    assert [why in read(desk.get(page)) for page in pages] == [True, True, True]
    assert "Draft again: it was not sent" in read(desk.get(LIST))
    written(desk, event, page_of(message), subject="Another", when="now")
    assert [why in read(desk.get(page)) for page in pages] == [True, True, True]
    sent(message, organizer)
    assert [why in read(desk.get(page)) for page in (page_of(message), LIST)] == [False, False]


def test_a_cancelled_event_is_named_wherever_its_message_is_written(desk, event, organizer, post_office):
    guests(event, "Anna")
    message = draft(event, scheduled_at=timezone.now() + timedelta(days=1))
    pages = [f"{ADD}?event={event.pk}", page_of(message), page_of(message, "preview")]
    assert [CALLED_OFF in read(desk.get(page)) for page in pages] == [False, False, False]
    event.status = "cancelled"
    event.save()
    assert [CALLED_OFF in read(desk.get(page)) for page in pages] == [True, True, True]
    assert f"{event.starts_at.astimezone(event.zone):%-d %b %Y} · cancelled" in read(desk.get(ADD))
    assert desk.post(page_of(message, "preview"), {"schedule": "1"} | looked_at(message)).url == page_of(message)
    assert CALLED_OFF in read(desk.get(page_of(message)))
    sent(message, organizer)
    assert CALLED_OFF not in read(desk.get(page_of(message)))


def test_a_text_too_long_for_an_sms_is_said_to_be_cut_off_and_what_all_of_it_costs(desk, event, post_office):
    for number in range(3):
        EventGuestFactory(event=event, guest_name=f"G{number}", phone=f"+1415555010{number}")
    message = draft(event, subject="", body="a" * 18_000, channels=["sms"])
    text = read(desk.get(page_of(message, "preview")))
    for sentence in (
        "SMS · 1,600 characters, 24 parts × 3 people: about 72 parts in all",
        "The text has 18,000 characters, and an SMS takes 1,600: the rest is cut off.",
    ):
        assert sentence in text, (sentence, text)
    Message.objects.filter(pk=message.pk).update(body="a" * 1600)
    text = read(desk.get(page_of(message, "preview")))
    assert "SMS · 1,600 characters, 11 parts × 3 people: about 33 parts in all" in text and "cut off" not in text


def test_what_no_button_does_is_not_promised(desk, as_role, event, post_office):
    message = draft(event)
    at_once = "At once, when you press the button."
    text = read(desk.get(page_of(message, "preview")))
    assert "When Not yet: nobody would get it." in text and at_once not in text
    guests(event, "Anna")
    assert f"When {at_once}" in read(desk.get(page_of(message, "preview")))
    Message.objects.filter(pk=message.pk).update(body="")
    text = read(desk.get(page_of(message, "preview")))
    assert "When Not before it has what it lacks." in text and at_once not in text
    Message.objects.filter(pk=message.pk).update(body="Hello")
    text = read(as_role("viewer").get(page_of(message, "preview")))
    assert "When Once somebody who may send it does." in text and at_once not in text


def test_a_test_says_over_what_it_does_not_come_and_why(desk, event, post_office):
    message = draft(event, channels=["in_app", "push", "sms", "email"])
    assert told(desk.post(page_of(message, "preview"), {"test": "1"})) == [
        "A test is on its way to you: In the app, E-mail.",
        "Not over Push: no device with the app.",
        "Not over SMS: no phone number.",
    ]


def test_the_history_names_who_did_what_once(desk, event, organizer, post_office):
    guests(event, "Anna")
    message = sent(draft(event, channels=["in_app"]), organizer)
    html = desk.get(page_of(message, "history")).content.decode()
    rows = re.findall(r"<tr>(.*?)</tr>", html.split('id="change-history"')[1], re.S)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)[1:] for row in rows]
    assert cells == [
        ["What", "By"],
        ["all deliveries are decided", "the system"],
        ["1 deliveries made", "the system"],
        ["sent", organizer.get_full_name()],
        ["written", "the system"],
    ]


def test_a_copy_is_a_draft_of_its_own(desk, on_its_way):
    response = act(desk, on_its_way, "copy")
    made = Message.objects.get(status="draft")
    assert response.url == page_of(made)
    assert (made.subject, made.audience, made.channels) == ("Doors", "invited", ["in_app", "email"])


def test_the_providers_absence_is_told(desk, on_its_way):
    ChannelState.objects.create(
        channel="email", failures=1, paused_until=timezone.now() + timedelta(minutes=5), last_error="Connection refused"
    )
    assert "E-mail waits: its provider can't be reached." in read(desk.get(page_of(on_its_way)))


def test_the_list_says_how_far_each_is_without_a_query_a_row(desk, event, on_its_way):
    draft(event, subject="Later", status="scheduled", scheduled_at=datetime(2031, 1, 19, 17, tzinfo=UTC))
    text = read(desk.get(LIST))
    for sentence in (
        "Sending 7 of 8",
        "Scheduled for Sun 19 Jan 2031, 18:00 CET",
        "Invited, 4 people",
        "In the app, E-mail",
    ):
        assert sentence in text, (sentence, text)
    with CaptureQueriesContext(connection) as few:
        desk.get(LIST)
    for number in range(10):
        MessageFactory(event=event, subject=f"More {number}", created_by=on_its_way.created_by)
    with CaptureQueriesContext(connection) as many:
        desk.get(LIST)
    assert (len(few), len(many)) == (len(few), len(few))
    for query, count in (
        (f"?event__id__exact={event.pk}", 12),
        ("?status__exact=sending", 1),
        ("?kind=reminder", 0),
        ("?kind=all", 12),
        ("?q=Later", 1),
    ):
        assert len(desk.get(LIST + query).context["cl"].result_list) == count, query


def test_the_systems_notices_are_only_looked_at(desk, event):
    person = AttendeeFactory(event=event).user_profile
    notify(Notice(kind="reminder", subject="Soon", body="It begins.", to=[person.pk], event_id=event.pk))
    notice = Message.objects.get()
    text = read(desk.get(page_of(notice)))
    assert "Reminder · by the system" in text and "It begins." in text
    assert desk.get(page_of(notice, "preview")).url == page_of(notice)
    assert desk.get(page_of(notice, "progress")).json()["acts"] == []
    assert desk.post(page_of(notice, "delete"), {"post": "yes"}).status_code == 403


# -- Deliveries --------------------------------------------------------------------------------------


def test_deliveries_say_whom_how_far_why_and_whose(desk, event, on_its_way):
    text = read(desk.get(f"{DELIVERIES}?message__id__exact={on_its_way.pk}&status__exact=bounced"))
    assert (
        "Ben ben@example.org Doors E-mail Bounced 550 No such user nobody yet: not linked, and no number to go by"
        in text
    )
    for query, count in (
        ("?status__exact=unknown", 1),
        ("?channel__exact=email", 4),
        ("?status__in=failed,bounced", 1),
        (f"?event__id__exact={event.pk}", 8),
        ("?q=cleo", 2),
        ("?q=dan@example.org", 1),
    ):
        assert len(desk.get(DELIVERIES + query).context["cl"].result_list) == count, query
    page = read(desk.get(page_of(by_mail(on_its_way, "Ben"))))
    assert "To Ben" in page and "550 No such user" in page


def test_an_account_is_named_to_whom_meets_its_person(desk, event):
    met = AttendeeFactory(event=event, user_profile__first_name="Met", user_profile__last_name="Person").user_profile
    stranger = UserProfileFactory(first_name="Strange", last_name="Person")
    for person in (met, stranger):
        guest = EventGuestFactory(event=event, guest_name="A guest", user=person)
        MessageDeliveryFactory(message__event=event, guest=guest)
    text = read(desk.get(DELIVERIES))
    assert "Met Person: the guest is linked to an account" in text
    assert "an account: the guest is linked to an account" in text and "Strange" not in text
    text = read(desk.get(AUDIT))
    assert "Met Person" in text and "an account" in text and "Strange" not in text


def test_a_person_without_a_guest_is_found_by_name_where_they_are_met(desk, event):
    met = AttendeeFactory(event=event, user_profile__first_name="Quentin").user_profile
    MessageDeliveryFactory(message__event=event, guest=None, user=met)
    MessageDeliveryFactory(message__event=event, guest=None, user=UserProfileFactory(first_name="Quentin"))
    assert len(desk.get(f"{DELIVERIES}?q=quentin").context["cl"].result_list) == 1


def test_what_nobody_knows_is_decided_by_a_person(desk, on_its_way, organizer):
    cleo = by_mail(on_its_way, "Cleo")
    assert told(act(desk, cleo, "arrived")) == ["1 noted as sent."]
    cleo.refresh_from_db()
    assert (cleo.status, cleo.error) == ("sent", f"Settled by {organizer}.")
    ben = by_mail(on_its_way, "Ben")
    assert told(act(desk, ben, "leave_failed"))[1:] == [
        f"1 could not be changed. {ben}: There is nothing to send again here."
    ]


def test_selected_ones_are_sent_again_after_a_word_about_twice(desk, on_its_way):
    rows = [by_mail(on_its_way, name) for name in ("Ben", "Cleo", "Anna")]
    data = {"action": "retry", "_selected_action": [row.pk for row in rows]}
    asked = desk.post(DELIVERIES, data)
    assert asked.context["warning"] == "Of 1 of them nobody knows whether it arrived: that person may get it twice."
    assert by_mail(on_its_way, "Ben").status == "bounced"
    done = desk.post(DELIVERIES, Filled(asked.content.decode(), "act_form").data)
    assert told(done) == [
        "2 deliveries wait to be sent again.",
        f"1 could not be changed. {rows[2]}: There is nothing to send again here.",
    ]
    assert [by_mail(on_its_way, name).status for name in ("Ben", "Cleo", "Anna")] == ["queued", "queued", "delivered"]


def test_several_are_settled_after_a_word_about_how_many(desk, on_its_way):
    MessageDelivery.objects.filter(message=on_its_way, channel="email", status="sending").update(status="unknown")
    rows = [by_mail(on_its_way, name) for name in ("Ben", "Cleo", "Anna")]
    asked = desk.post(DELIVERIES, {"action": "arrived", "_selected_action": [row.pk for row in rows]})
    assert asked.context["warning"] == "1 delivery is noted as sent."
    assert by_mail(on_its_way, "Cleo").status == "unknown"
    done = desk.post(DELIVERIES, Filled(asked.content.decode(), "act_form").data)
    assert told(done)[0] == "1 noted as sent."
    assert by_mail(on_its_way, "Cleo").status == "sent"


def test_nobody_selects_all_of_what_nobody_counts(desk, on_its_way):
    assert "across all pages" not in desk.get(DELIVERIES).content.decode()


def test_every_case_that_the_database_writes_has_words():
    """The decision's own list, and what the triggers write besides."""
    ranks = re.findall(r"^\s+\(\d+, .*'(\w+)'\),?$", linking.LINK, flags=re.MULTILINE)
    every = [*delivery_triggers.linked(), *guest_triggers.links()]
    written = re.findall(r"'(given|own_link|followed)'", " ".join(one.func for one in every))
    assert len(ranks) == 10
    assert set(CASES) == {*ranks, *written} and {"given", "own_link", "followed"} == set(written)


def test_what_follows_a_guest_says_so(desk, event, organizer, on_its_way):
    anna = EventGuest.objects.get(guest_name="Anna")
    for name in ("One", "Two"):
        person = AttendeeFactory(event=event, user_profile__first_name=name).user_profile
        guest_list.link(guest_id=anna.pk, person=person, actor=organizer)
    text = read(desk.get(page_of(by_mail(on_its_way, "Anna"))))
    assert "went along when the guest&#x27;s link was changed" in text and "With the guest&#x27;s link" in text
    assert "linking failed" not in text + read(desk.get(AUDIT))


def test_what_is_sent_to_an_account_is_nobodys_handiwork(desk, event):
    met = AttendeeFactory(event=event).user_profile
    delivery = MessageDeliveryFactory(message__event=event, guest=None, user=met)
    assert "Linked Sent to an account sent to this account" in read(desk.get(AUDIT))
    assert "Sent to an account" in read(desk.get(page_of(delivery)))
    skipped = MessageDeliveryFactory(message__event=event, guest=EventGuestFactory(event=event, phone="+14155550133"))
    assert re.search(r"Skipped Decided by:? –", read(desk.get(page_of(skipped))))


def test_messages_are_found_by_the_title_that_people_read(desk, event):
    message = MessageDeliveryFactory(message__event=event, message__subject="Doors of {event}").message
    asked = {"app_label": "messaging", "model_name": "messagedelivery", "field_name": "message", "term": "doors"}
    found = desk.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert found == [{"id": str(message.pk), "text": f"Doors of {event.title}"}]
    text = desk.get(f"{DELIVERIES}?message__id__exact={message.pk}").content.decode()
    assert f"Doors of {event.title}" in text and "Doors of {event}" not in text


def test_deliveries_are_exported_as_the_page_shows_them(desk, event, on_its_way):
    EventGuest.objects.filter(guest_name="Ben").update(guest_name="=1+1")
    page = reverse("admin:messaging_messagedelivery_export")
    response = desk.post(f"{page}?status__exact=bounced", {"format": "1", "resource": ""})
    rows = list(openpyxl.load_workbook(io.BytesIO(response.content)).active.values)
    assert rows == [
        (
            "Message",
            "Event",
            "Who",
            "Channel",
            "Address",
            "Status",
            "Reason",
            "Attempts",
            "Whose",
            "Sent",
            "Time zone",
        ),
        (
            "Doors",
            event.title,
            "'=1+1",
            "E-mail",
            "ben@example.org",
            "Bounced",
            "550 No such user",
            0,
            "nobody yet: not linked, and no number to go by",
            None,
            "Europe/Berlin",
        ),
    ]


@pytest.mark.parametrize("page", [DELIVERIES, AUDIT])
def test_ledgers_ask_the_same_number_of_questions_for_any_number_of_rows(desk, event, page):
    def more(count):
        for number in range(count):
            person = UserProfileFactory() if number % 2 else AttendeeFactory(event=event).user_profile
            guest = EventGuestFactory(event=event, user=person)
            MessageDeliveryFactory(message__event=event, guest=guest)

    asked = []
    for count in (1, 2, 10):
        more(count)
        desk.get(page)
        with CaptureQueriesContext(connection) as queries:
            assert desk.get(page).status_code == 200
        asked.append(len(queries))
    assert asked == [asked[0]] * 3 and asked[0] < 12


def test_ledgers_outlive_what_they_are_about(root, event):
    delivery = MessageDeliveryFactory(message__event=event)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM message_deliveries WHERE id = %s", [delivery.pk])
        cursor.execute("DELETE FROM event_guests WHERE id = %s", [delivery.guest_id])
        cursor.execute("SET LOCAL session_replication_role = origin")
    row = UserLinkAudit.objects.filter(record_id=delivery.pk).get()
    assert "– Delivery" in read(root.get(AUDIT))
    assert root.get(page_of(row)).status_code == 200


# -- Who may -----------------------------------------------------------------------------------------

PAGES = [LIST, DELIVERIES, AUDIT]


def of(message):
    delivery = message.deliveries.first()
    audit = UserLinkAudit.objects.filter(record_id=delivery.pk).first()
    return [page_of(message), page_of(message, "progress"), page_of(delivery), page_of(audit)]


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_who_looks_after_the_event_sees_all_of_it(as_role, on_its_way, role):
    client = as_role(role)
    for page in [*of(on_its_way), *PAGES]:
        assert client.get(page).status_code == 200, page


def test_the_door_sees_nothing_of_it(as_role, on_its_way):
    """And can't tell what is there from what isn't."""
    client = as_role("door")
    for page in of(on_its_way):
        unknown = re.sub(r"/[0-9a-f-]{36}/", f"/{uuid4()}/", page)
        assert client.get(page).status_code == client.get(unknown).status_code in (403, 404), page
    for page in PAGES:
        assert client.get(page).status_code == 403, page


def test_another_organisation_sees_nothing(as_role, event, on_its_way):
    message = draft(event)
    client = as_role("owner", EventFactory().organization)
    for page in [*of(on_its_way), page_of(message), page_of(message, "preview"), page_of(message, "delete")]:
        assert client.get(page).status_code == 404, page
    for page in PAGES:
        assert len(client.get(page).context["cl"].result_list) == 0
    assert client.post(page_of(message, "preview"), {"send": "1", "expected": "4"}).status_code == 404
    assert act(client, on_its_way, "stop").status_code == 404
    assert errors(written(client, event)) == {
        "event": ["Select a valid choice. That choice is not one of the available choices."]
    }


def test_a_viewer_looks_and_writes_nothing(as_role, event, on_its_way):
    message = draft(event)
    client = as_role("viewer")
    assert "Draft" in read(client.get(page_of(message)))
    assert "Send" not in read(client.get(page_of(message, "preview")))
    for name in ("send", "schedule", "test"):
        assert client.post(page_of(message, "preview"), {name: "1", "expected": "4"}).status_code == 403
    assert client.post(page_of(message), {"subject": "New"}).status_code == 403
    assert client.get(ADD).status_code == 403
    assert act(client, on_its_way, "stop").status_code == 403
    assert act(client, by_mail(on_its_way, "Ben"), "retry", act_form="1").status_code == 403
    message.refresh_from_db(), on_its_way.refresh_from_db()
    assert (message.status, on_its_way.stopped_at) == ("draft", None)


def test_somebody_who_writes_elsewhere_does_not_write_here(as_role, event):
    client = as_role("viewer")
    viewer = Membership.objects.get(organization=event.organization, role="viewer").user_profile
    own = EventFactory()
    Membership.objects.create(organization=own.organization, user_profile=viewer, role="organizer")
    assert list(errors(written(client, event))) == ["event"]
    assert written(client, own, button="_continue").status_code == 302
    guest = guests(event, "Anna")[0]
    response = client.post(
        reverse("admin:messaging_eventguest_changelist"), {"action": "message_these", "_selected_action": [guest.pk]}
    )
    assert told(response)[1:] == ["None of these can be written to: they were removed, or you may not write to them."]
    assert client.get(reverse("admin:messaging_message_candidates"), {"event": event.pk}).status_code == 404


def test_notices_of_no_event_are_for_superusers(client, event, organizer):
    notify(Notice(kind="requests", subject="Three wait", body="…", to=[organizer.pk]))
    notice = Message.objects.get()
    client.force_login(organizer, backend=BACKEND)
    for page in of(notice):
        assert client.get(page).status_code == 404
    client.force_login(UserProfileFactory(is_superuser=True), backend=BACKEND)
    for page in [*of(notice), *PAGES]:
        assert client.get(page).status_code == 200


# -- From other pages --------------------------------------------------------------------------------


def test_selected_guests_become_a_draft(desk, event, organizer, post_office):
    anna, ben, cleo = guests(event, "Anna", "Ben", "Cleo")
    EventGuest.objects.filter(pk=cleo.pk).update(removed_at=timezone.now())
    page = reverse("admin:messaging_eventguest_changelist")
    data = {"action": "message_these", "_selected_action": [anna.pk, ben.pk]}
    response = desk.post(page, data)
    message = Message.objects.get()
    assert response.url == page_of(message)
    assert (message.audience, message.status, message.created_by) == ("picked", "draft", organizer)
    assert message.audience_details == {"guests": [str(anna.pk), str(ben.pk)], "people": []}
    assert message.channels == ["in_app", "push", "email"]
    assert message.history.get().history_user == organizer


def test_selected_attendees_become_a_draft(desk, event):
    people = [AttendeeFactory(event=event) for _each in range(2)]
    page = reverse("admin:attendance_attendee_changelist")
    desk.post(page, {"action": "message_these", "_selected_action": [one.pk for one in people]})
    message = Message.objects.get()
    assert message.audience_details["guests"] == []
    assert set(message.audience_details["people"]) == {str(one.user_profile_id) for one in people}
    elsewhere = AttendeeFactory(event=EventFactory(organization=event.organization))
    response = desk.post(page, {"action": "message_these", "_selected_action": [people[0].pk, elsewhere.pk]})
    assert told(response) == ["A message belongs to one event: choose rows of one event only."]
    assert Message.objects.count() == 1


def test_the_door_is_offered_no_message(as_role, event):
    client = as_role("door")
    attendee = AttendeeFactory(event=event)
    page = reverse("admin:attendance_attendee_changelist")
    assert "Message these" not in client.get(page).content.decode()
    client.post(page, {"action": "message_these", "_selected_action": [attendee.pk]})
    assert not Message.objects.exists()


def test_the_events_page_tells_of_guests_and_the_last_message(desk, event, on_its_way):
    glance = {label: (value, url) for label, value, url in desk.get(page_of(event)).context["glance"]}
    assert glance["On the guest list"][0] == 4
    assert glance["Last message"] == ("Doors", page_of(on_its_way))
    bare = EventFactory(organization=event.organization)
    glance = {label: (value, url) for label, value, url in desk.get(page_of(bare)).context["glance"]}
    assert glance["Messages"] == ("Write the first", f"{ADD}?event={bare.pk}")
    assert form_of(desk, glance["Messages"][1])["event"] == [str(bare.pk)]


# -- For operators -----------------------------------------------------------------------------------


def test_switches_are_turned_by_superusers_alone_and_it_is_on_record(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    page = reverse("admin:waffle_switch_changelist")
    assert client.get(page).status_code == 403
    root = UserProfileFactory(is_superuser=True)
    client.force_login(root, backend=BACKEND)
    for name in ("LINK_USER_BY_PHONE", "LINK_USER_BY_PHONE_FALLBACK_TO_USERS"):
        Switch.objects.get_or_create(name=name, defaults={"active": name == "LINK_USER_BY_PHONE"})
    Switch.objects.create(name="somebodys-own")
    text = read(client.get(page))
    assert "LINK_USER_BY_PHONE On on On: guests and deliveries find their person" in text
    assert "somebodys-own" not in text
    switch = Switch.objects.get(name="LINK_USER_BY_PHONE")
    form = Filled(client.get(page_of(switch)).content.decode(), "switch_form").data
    form.pop("active")
    assert client.post(page_of(switch), form | {"_save": ["1"]}).status_code == 302
    switch.refresh_from_db()
    assert switch.active is False
    [entry] = LogEntry.objects.filter(object_id=str(switch.pk))
    assert (entry.user, entry.get_change_message()) == (root, "Changed Active.")
    assert client.get(reverse("admin:waffle_switch_add")).status_code == 403
    with pytest.raises(Exception, match="waffle_flag_changelist"):
        reverse("admin:waffle_flag_changelist")


def test_channels_say_why_they_are_off_and_are_tried_again(client, organizer, settings, post_office):
    settings.SMS_ACCOUNT_SID = ""
    ChannelState.objects.create(
        channel="email", failures=3, paused_until=timezone.now() + timedelta(minutes=5), last_error="Connection refused"
    )
    page = reverse("admin:messaging_channelstate_changelist")
    again = reverse("admin:messaging_channelstate_try_again", args=("email",))
    client.force_login(organizer, backend=BACKEND)
    assert (client.get(page).status_code, client.post(again).status_code) == (403, 403)
    client.force_login(UserProfileFactory(is_superuser=True), backend=BACKEND)
    text = read(client.get(page))
    assert "SMS Off SMS is off: SMS_ACCOUNT_SID is not set." in text and "Push On" in text
    assert "E-mail Waiting for its provider" in text and "Connection refused" in text
    assert client.get(again).status_code == 405
    assert told(client.post(again)) == ["E-mail: tried again now."]
    assert ChannelState.objects.get().paused_until is None
    assert client.post(again.replace("email", "pigeon")).status_code == 404


def test_opt_outs_are_read_by_superusers(client, organizer):
    row = OptOut.objects.create(channel="email", address="a@example.org", source="unsubscribe")
    page = reverse("admin:messaging_optout_changelist")
    client.force_login(organizer, backend=BACKEND)
    assert (client.get(page).status_code, client.get(page_of(row)).status_code) == (403, 403)
    client.force_login(UserProfileFactory(is_superuser=True), backend=BACKEND)
    assert "a@example.org E-mail everything Unsubscribed" in read(client.get(page))
    assert client.get(page_of(row)).status_code == 200
    assert client.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403


def test_a_broken_promise_stands_above_every_page_for_superusers(client, organizer, event):
    IntegrityResult.objects.create(
        name="deliveries", level="critical", violations=31, checked_at=timezone.now(), figures={}
    )
    pages = [reverse("admin:index"), LIST, page_of(event), ADD, page_of(draft(event), "preview")]
    sentence = "The data breaks a promise."
    client.force_login(organizer, backend=BACKEND)
    for page in pages:
        assert sentence not in client.get(page).content.decode()
    client.force_login(UserProfileFactory(is_superuser=True), backend=BACKEND)
    for page in pages:
        html = client.get(page).content.decode()
        assert html.count(sentence) == 1 and "deliveries: 31" in html
        assert reverse("admin:events_integrityresult_changelist") in html
    IntegrityResult.objects.update(level="warning")
    assert sentence not in client.get(LIST).content.decode()


def test_the_banner_costs_nobody_but_superusers_a_question(client, organizer):
    client.logout()
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("admin:login"))
    assert [query["sql"] for query in queries if "integrity_results" in query["sql"]] == []
    client.force_login(organizer, backend=BACKEND)
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST)
    assert [query["sql"] for query in queries if "integrity_results" in query["sql"]] == []


def test_addresses_that_no_page_of_ours_makes_are_refused(desk, event, on_its_way):
    for page in (f"{LIST}?body__contains=x", f"{DELIVERIES}?user__email__contains=x", f"{AUDIT}?user__id__exact=1"):
        assert urlsplit(page).query
        assert desk.get(page).status_code in (302, 400), page
    assert desk.get(reverse("admin:messaging_message_preview", args=("x",))).status_code == 404
    assert MessageDelivery.objects.count() == 8


def test_what_a_message_was_before_can_be_looked_at(desk, event, organizer):
    message = draft(event, subject="First words")
    desk.post(page_of(message), form_of(desk, page_of(message)) | {"subject": ["Second words"], "_continue": ["1"]})
    latest, first = message.history.all()
    assert (first.subject, latest.subject, latest.history_user) == ("First words", "Second words", organizer)
    page = reverse("admin:messaging_message_simple_history", args=(message.pk, first.history_id))
    assert "First words" in read(desk.get(page)) and desk.get(page_of(message, "history")).status_code == 200
    assert desk.post(page, {"subject": "Other"}).status_code == 403
