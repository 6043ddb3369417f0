"""How guests are written down by hand: who is on the list already, who was changed meanwhile, who can't be reached."""

import json
import re
from html import unescape

import pytest

from messaging.models import EventGuest
from messaging.operations import guests
from tests import factories

LIST = "/admin/messaging/eventguest/"
MEANWHILE = (
    "Somebody changed this guest meanwhile. What you changed stands here as you wrote it, "
    "all else as it is now. Save again to have it so."
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer)
    return client


@pytest.fixture
def guest(event):
    return factories.EventGuestFactory(
        event=event, guest_name="Anna Ek", email="anna@example.org", phone="+14155550123"
    )


def written(event=None, **fields):
    """What a page to add a guest sends."""
    of_event = {"event": event.pk} if event else {}
    return {"guest_name": "Ben", "phone": "", "email": "", "initial-phone": ""} | of_event | fields


def opened(guest):
    """What the page of a guest sends, if nothing is changed."""
    shown = {name: getattr(guest, name) or "" for name in ("guest_name", "phone", "email")}
    return shown | {f"initial-{name}": value for name, value in shown.items()}


def page_of(guest):
    return f"{LIST}{guest.pk}/change/"


def said(response) -> dict:
    assert response.status_code == 200
    return {name or "": list(errors) for name, errors in response.context["adminform"].form.errors.items()}


def told(response) -> list:
    return [str(one) for one in response.context["messages"]]


def box(response) -> str:
    """What the box to save all the same stands for."""
    [value] = re.findall(r'<input[^>]*name="knowingly"[^>]*>', response.content.decode())
    return re.search(r'value="([^"]*)"', value)[1]


# -- Who is on the list already ---------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"email": "Anna@Example.org"}, {"phone": "(415) 555-0123"}])
def test_who_has_the_same_contact_is_added_knowingly_only(desk, event, guest, fields):
    event.organization.phone_region = "US"
    event.organization.save()
    asked = desk.post(f"{LIST}add/", written(event, **fields))
    sentence = "On the list already, with the same e-mail or phone: Anna Ek (anna@example.org, +14155550123)."
    assert said(asked) == {"__all__": [sentence]}
    assert "This is another guest: save all the same" in asked.content.decode()
    assert said(desk.post(f"{LIST}add/", written(event, **fields))) == {"__all__": [sentence]}
    assert EventGuest.objects.count() == 1
    done = desk.post(f"{LIST}add/", written(event, **fields, knowingly=box(asked)))
    assert done.status_code == 302
    assert EventGuest.objects.count() == 2


def test_a_confirmation_is_for_those_who_were_named(desk, event, guest):
    asked = desk.post(f"{LIST}add/", written(event, email="anna@example.org"))
    other = factories.EventGuestFactory(event=event, guest_name="Carl", email="anna@example.org")
    again = desk.post(f"{LIST}add/", written(event, email="anna@example.org", knowingly=box(asked)))
    others = "Anna Ek (anna@example.org, +14155550123); Carl (anna@example.org)"
    assert said(again) == {"__all__": [f"On the list already, with the same e-mail or phone: {others}."]}
    assert box(again) == f"{guest.pk},{other.pk}"


def test_who_was_removed_is_named_as_such_and_other_events_are_not_asked(desk, event, guest, organizer):
    guests.remove(guest_id=guest.pk, actor=organizer)
    factories.EventGuestFactory(email="anna@example.org", guest_name="Elsewhere")
    asked = desk.post(f"{LIST}add/", written(event, email="anna@example.org"))
    assert said(asked) == {
        "__all__": [
            "On the list already, with the same e-mail or phone: Anna Ek (anna@example.org, +14155550123, removed)."
        ]
    }


def test_a_guest_gets_the_contact_of_another_knowingly_only(desk, event, guest):
    ben = factories.EventGuestFactory(event=event, guest_name="Ben", email="ben@example.org")
    sent = opened(ben) | {"email": "anna@example.org"}
    asked = desk.post(page_of(ben), sent)
    assert said(asked) == {
        "__all__": ["On the list already, with the same e-mail or phone: Anna Ek (anna@example.org, +14155550123)."]
    }
    assert desk.post(page_of(ben), sent | {"knowingly": box(asked)}).status_code == 302
    ben.refresh_from_db()
    assert ben.email == "anna@example.org"
    # What they share by now needs no word for anything else.
    assert desk.post(page_of(ben), opened(ben) | {"guest_name": "Ben Ek"}).status_code == 302


def test_two_at_the_same_moment_are_not_both_added(event, guest, organizer):
    same = {"event_id": event.pk, "guest_name": "Ben", "phone": None, "email": "Anna@example.org", "actor": organizer}
    with pytest.raises(guests.SharedContact) as error:
        guests.add(**same)
    assert str(error.value) == (
        "On the list already, with the same e-mail or phone: Anna Ek (anna@example.org, +14155550123)."
    )
    guests.add(**same, knowing=[guest.pk])
    ben = factories.EventGuestFactory(event=event, guest_name="Ben")
    with pytest.raises(guests.SharedContact):
        guests.change(guest_id=ben.pk, changes={"phone": "+14155550123"}, actor=organizer)
    ben.refresh_from_db()
    assert ben.phone is None


# -- Who was changed meanwhile ------------------------------------------------------------------------------


def test_of_two_tabs_the_second_is_told(desk, guest):
    first = second = opened(guest)
    assert desk.post(page_of(guest), first | {"email": "new@example.org", "guest_name": "Anna E."}).status_code == 302
    refused = desk.post(page_of(guest), second | {"email": "other@example.org"})
    assert said(refused) == {"email": ["Now there stands: new@example.org"], "__all__": [MEANWHILE]}
    form = refused.context["adminform"].form
    assert [form[name].value() for name in ("guest_name", "email")] == ["Anna E.", "other@example.org"]
    guest.refresh_from_db()
    assert (guest.guest_name, guest.email) == ("Anna E.", "new@example.org")
    again = opened(guest) | {"email": "other@example.org"}
    assert desk.post(page_of(guest), again).status_code == 302
    guest.refresh_from_db()
    assert (guest.guest_name, guest.email) == ("Anna E.", "other@example.org")


def test_a_link_made_meanwhile_is_no_change_of_the_form(desk, guest, organizer):
    sent = opened(guest) | {"guest_name": "Anna E."}
    person = factories.UserProfileFactory()
    factories.AttendeeFactory(event=guest.event, user_profile=person)
    guests.link(guest_id=guest.pk, person=person, actor=organizer)
    assert desk.post(page_of(guest), sent).status_code == 302
    guest.refresh_from_db()
    assert (guest.guest_name, guest.user) == ("Anna E.", person)


def test_a_change_at_the_same_moment_is_refused(guest, organizer):
    with pytest.raises(guests.GuestChanged):
        guests.change(
            guest_id=guest.pk, changes={"guest_name": "B"}, seen={"email": "old@example.org"}, actor=organizer
        )
    seen = {"guest_name": "Anna Ek", "email": "anna@example.org", "phone": "+14155550123"}
    assert guests.change(guest_id=guest.pk, changes={"phone": ""}, seen=seen, actor=organizer).row.phone is None
    assert guests.change(guest_id=guest.pk, changes={"email": ""}, seen={"phone": ""}, actor=organizer).changed


# -- Who can't be reached -------------------------------------------------------------------------------------


def test_a_guest_without_contacts_is_told_of(desk, event, guest):
    sentence = "{} has neither e-mail nor phone: messages reach them in the app only, once linked."
    assert sentence.format("Ben") in told(desk.post(f"{LIST}add/", written(event), follow=True))
    emptied = desk.post(page_of(guest), opened(guest) | {"email": "", "phone": ""}, follow=True)
    assert sentence.format("Anna Ek") in told(emptied)
    reached = desk.post(f"{LIST}add/", written(event, email="ben@example.org", guest_name="Bo"), follow=True)
    assert not [one for one in told(reached) if "neither" in one]
    guest.refresh_from_db()
    renamed = desk.post(page_of(guest), opened(guest) | {"guest_name": "Anna"}, follow=True)
    assert not [one for one in told(renamed) if "neither" in one]


def test_a_number_of_no_known_area_is_told_of(desk, event, guest):
    sentence = "+19876543210 is of no known area: is it right?"
    assert sentence in told(desk.post(f"{LIST}add/", written(event, phone="+1 987 654 3210"), follow=True))
    changed = desk.post(page_of(guest), opened(guest) | {"phone": "+19876543210"}, follow=True)
    assert said(changed) == {"__all__": ["On the list already, with the same e-mail or phone: Ben (+19876543210)."]}
    done = desk.post(page_of(guest), opened(guest) | {"phone": "+1 415 555 0199"}, follow=True)
    assert not [one for one in told(done) if "area" in one]


# -- Whom a guest is linked to --------------------------------------------------------------------------------


def test_namesakes_are_told_apart_where_one_is_chosen(desk, event, guest):
    for fields in (
        {"email": "one@example.org"},
        {"email": "two@example.org", "email_verified": False},
        {"email": None, "phone": "+14155550199", "phone_verified": True},
        {"email": None, "phone": "+14155550198", "phone_verified": False},
    ):
        person = factories.UserProfileFactory(first_name="Ann", last_name="Lee", **fields)
        factories.AttendeeFactory(event=event, user_profile=person)
    query = {"app_label": "messaging", "model_name": "eventguest", "field_name": "user", "term": "Ann"}
    found = json.loads(desk.get("/admin/autocomplete/", query).content)["results"]
    assert sorted(one["text"] for one in found) == [
        "Ann Lee",
        "Ann Lee · +14155550199",
        "Ann Lee · one@example.org",
        "Ann Lee · two@example.org (not verified)",
    ]
    # What was chosen stays told apart where the form is asked again.
    factories.MessageDeliveryFactory(message__event=event, guest=guest)
    chosen = next(one["id"] for one in found if one["text"].endswith("one@example.org"))
    asked = desk.post(f"{LIST}{guest.pk}/act/link/", {"act_form": 1, "person": chosen})
    [option] = re.findall(r"<option[^>]*selected[^>]*>([^<]+)<", asked.content.decode())
    assert unescape(option).strip() == "Ann Lee · one@example.org"
