"""The guest list: what operations do to it, and its pages in the admin."""

import re

import pytest
from django.core.exceptions import ValidationError

from config.errors import DomainError, Outcome
from messaging.models import EventGuest, MessageDelivery, UserLinkAudit
from messaging.operations import guests, links
from tests import factories

LIST = "/admin/messaging/eventguest/"


def audit(guest):
    """(outcome, method, person, by) of the guest's own row, the oldest first."""
    rows = UserLinkAudit.objects.filter(record_id=guest.pk).order_by("pk")
    return [(row.outcome, row.method, row.user_id, row.actor_id) for row in rows]


def told(response):
    return [str(one) for one in response.context["messages"]] if response.context else []


@pytest.fixture
def guest(event):
    return factories.EventGuestFactory(event=event, guest_name="Anna Ek", email="anna@example.org")


@pytest.fixture
def attend(event):
    """``attend(**fields)``: a person whom the event's organisers know."""

    def attend(event=event, **fields):
        person = factories.UserProfileFactory(**fields)
        factories.AttendeeFactory(event=event, user_profile=person)
        return person

    return attend


# -- Operations ----------------------------------------------------------------------------------------


def test_add_finds_who_has_verified_the_contact(event, organizer):
    anna = factories.UserProfileFactory(email="anna@example.org")
    made = guests.add(
        event_id=event.pk, guest_name=" Anna  Ek ", phone="+14155550123", email=" Anna@Example.org ", actor=organizer
    )
    assert (made.guest_name, made.phone, made.email, made.user) == ("Anna Ek", "+14155550123", "anna@example.org", anna)
    assert audit(made) == [("linked", "email", anna.pk, None)]
    [record] = made.history.all()
    assert (record.history_type, record.history_user) == ("+", organizer)


def test_add_parks_who_fits_several(event, organizer):
    factories.UserProfileFactory(email="anna@example.org")
    factories.UserProfileFactory(phone="+14155550123", phone_verified=True)
    made = guests.add(
        event_id=event.pk, guest_name="Anna", phone="+14155550123", email="anna@example.org", actor=organizer
    )
    assert made.is_parked and made.user is None
    assert [outcome for outcome, *_rest in audit(made)] == ["ambiguous"]


@pytest.mark.parametrize(
    "fields, error",
    [
        ({"guest_name": "  "}, guests.NamelessGuest),
        ({"phone": "0170 1234567"}, guests.BadGuestPhone),
    ],
)
def test_add_refuses_what_the_list_can_not_hold(event, organizer, fields, error):
    wanted = {"guest_name": "Anna", "phone": None, "email": None} | fields
    with pytest.raises(error):
        guests.add(event_id=event.pk, actor=organizer, **wanted)
    assert not EventGuest.objects.exists()


def test_change_writes_what_differs_and_keeps_the_link(event, guest, organizer, attend):
    person = attend()
    guests.link(guest_id=guest.pk, person=person, actor=organizer)
    changes = {"guest_name": "Anna Ek", "email": "other@example.org"}
    outcome = guests.change(guest_id=guest.pk, changes=changes, actor=organizer)
    assert outcome.changed and (outcome.row.email, outcome.row.user) == ("other@example.org", person)
    assert guests.change(guest_id=guest.pk, changes=changes, actor=organizer).changed is False
    assert [record.history_type for record in guest.history.all()] == ["~", "~", "+"][: guest.history.count()]


def test_change_finds_who_has_verified_the_new_contact(guest, organizer):
    ben = factories.UserProfileFactory(phone="+14155550123", phone_verified=True)
    outcome = guests.change(guest_id=guest.pk, changes={"phone": "+14155550123"}, actor=organizer)
    assert outcome.row.user == ben


def test_change_refuses_who_was_removed(guest, organizer):
    guests.remove(guest_id=guest.pk, actor=organizer)
    with pytest.raises(guests.GuestRemoved):
        guests.change(guest_id=guest.pk, changes={"guest_name": "B"}, actor=organizer)
    guest.refresh_from_db()
    assert guest.guest_name == "Anna Ek"


def test_remove_and_restore(guest, organizer):
    assert guests.remove(guest_id=guest.pk, actor=organizer).changed
    assert not guests.remove(guest_id=guest.pk, actor=organizer).changed
    anna = factories.UserProfileFactory(email="anna@example.org")
    guest.refresh_from_db()
    assert guest.is_removed and guest.user is None
    back = guests.restore(guest_id=guest.pk, actor=organizer)
    assert back == Outcome(guest, True) and back.row.user == anna and back.row.removed_at is None
    assert not guests.restore(guest_id=guest.pk, actor=organizer).changed


def test_restore_does_not_undo_what_was_decided_by_hand(guest, organizer):
    anna = factories.UserProfileFactory(email="anna@example.org")
    guest.refresh_from_db()
    assert guest.user == anna
    guests.unlink(guest_id=guest.pk, actor=organizer)
    guests.remove(guest_id=guest.pk, actor=organizer)
    assert guests.restore(guest_id=guest.pk, actor=organizer).row.user is None


def test_link_and_relink_move_the_deliveries(event, guest, organizer, attend):
    anna, ben = attend(first_name="Anna"), attend(first_name="Ben")
    delivery = factories.MessageDeliveryFactory(message__event=event, guest=guest)
    linked = guests.link(guest_id=guest.pk, person=anna, actor=organizer)
    assert linked.changed and linked.row.attendee.user_profile == anna
    assert not guests.link(guest_id=guest.pk, person=anna, actor=organizer).changed
    delivery.refresh_from_db()
    assert (delivery.user, delivery.link_outcome) == (anna, "backfilled")
    MessageDelivery.objects.update(read_at=delivery.created_at)
    guests.link(guest_id=guest.pk, person=ben, actor=organizer)
    delivery.refresh_from_db()
    assert (delivery.user, delivery.read_at) == (ben, None)
    guests.unlink(guest_id=guest.pk, actor=organizer)
    assert not guests.unlink(guest_id=guest.pk, actor=organizer).changed
    delivery.refresh_from_db()
    assert delivery.user is None
    assert audit(guest) == [
        ("linked", "manual", anna.pk, organizer.pk),
        ("linked", "manual", ben.pk, organizer.pk),
        ("no_match", "manual", None, organizer.pk),
    ]


def test_link_reaches_only_people_of_the_organisation(event, guest, organizer, attend):
    elsewhere = attend(event=factories.EventFactory())
    stranger = factories.UserProfileFactory()
    for person in (elsewhere, stranger, organizer):
        with pytest.raises(guests.NobodyToLink):
            guests.link(guest_id=guest.pk, person=person, actor=organizer)
    known = attend(event=factories.EventFactory(organization=event.organization))
    applicant = factories.JoinRequestFactory(event=event).user_profile
    for person in (known, applicant):
        assert guests.link(guest_id=guest.pk, person=person, actor=organizer).row.user == person
    superuser = factories.UserProfileFactory(is_superuser=True)
    assert guests.link(guest_id=guest.pk, person=stranger, actor=superuser).row.user == stranger


def test_link_of_two_organisations_does_not_mix_their_people(event, guest, organizer, attend):
    other = factories.EventFactory()
    other.organization.memberships.create(user_profile=organizer, role="owner")
    with pytest.raises(guests.NobodyToLink):
        guests.link(guest_id=guest.pk, person=attend(event=other), actor=organizer)


def parked(event, **fields):
    """A guest who fits two accounts that nobody may see: one by e-mail, one by phone."""
    by_mail = factories.UserProfileFactory(email="park@example.org", first_name="Hidden", last_name="Mail")
    by_phone = factories.UserProfileFactory(
        email="x@example.org", phone="+14155550199", phone_verified=True, first_name="Hidden", last_name="Phone"
    )
    made = guests.add(
        event_id=event.pk, guest_name="Parker", phone="+14155550199", email="park@example.org", actor=None
    )
    return made, by_mail, by_phone


def test_link_of_a_parked_guest_reaches_those_who_fit(event, organizer):
    guest, by_mail, by_phone = parked(event)
    assert set(guests.fitting(guest)) == {by_mail, by_phone}
    guests.link(guest_id=guest.pk, person=by_phone, actor=organizer)
    with pytest.raises(guests.NobodyToLink):  # no longer parked
        guests.link(guest_id=guest.pk, person=by_mail, actor=organizer)


def test_link_refuses_who_was_removed_and_who_is_erased(event, guest, organizer, attend):
    gone = attend(is_active=False)
    with pytest.raises(guests.NobodyToLink):
        guests.link(guest_id=guest.pk, person=gone, actor=organizer)
    guests.remove(guest_id=guest.pk, actor=organizer)
    with pytest.raises(guests.GuestRemoved):
        guests.link(guest_id=guest.pk, person=attend(), actor=organizer)


def test_phone_in_any_writing_is_stored_one_way():
    assert guests.stored_phone("(415) 555-0123", "US") == "+14155550123"
    assert guests.stored_phone("0170 / 1234567", "DE") == "+491701234567"
    with pytest.raises(guests.LocalNumber):
        guests.stored_phone("555-0123", "US")
    with pytest.raises(ValidationError):
        guests.stored_phone("12", "US")


# -- The admin -----------------------------------------------------------------------------------------


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer)
    return client


def test_list_shows_link_and_messages_in_the_same_number_of_queries(
    desk, event, guest, attend, organizer, django_assert_num_queries
):
    factories.MessageDeliveryFactory(message__event=event, guest=guest)
    page = desk.get(LIST).content.decode()
    assert "Anna Ek" in page and "Not linked" in page
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as one:
        desk.get(LIST)
    for _number in range(3):
        more = factories.EventGuestFactory(event=event)
        factories.MessageDeliveryFactory(message__event=event, guest=more)
        guests.link(guest_id=more.pk, person=attend(), actor=organizer)
    with django_assert_num_queries(len(one)):
        desk.get(LIST)


def names_in(response):
    return [guest.guest_name for guest in response.context["cl"].result_list]


def test_list_is_filtered_by_link_and_removed(desk, event, guest, organizer, attend):
    linked = factories.EventGuestFactory(event=event, guest_name="Linked")
    guests.link(guest_id=linked.pk, person=attend(), actor=organizer)
    parked(event)
    gone = factories.EventGuestFactory(event=event, guest_name="Gone")
    guests.remove(guest_id=gone.pk, actor=organizer)
    factories.EventGuestFactory(guest_name="Elsewhere")
    expected = {
        "": ["Anna Ek", "Gone", "Linked", "Parker"],
        "?link=linked": ["Linked"],
        "?link=ambiguous": ["Parker"],
        "?link=unlinked": ["Anna Ek", "Gone"],
        "?removed=yes": ["Gone"],
        "?removed=no": ["Anna Ek", "Linked", "Parker"],
        f"?event__id__exact={event.pk}&link=unlinked&removed=no": ["Anna Ek"],
    }
    assert {query: names_in(desk.get(LIST + query)) for query in expected} == expected


@pytest.mark.parametrize("term", ["(415) 555-0123", "415-555", "+1 415 5550123", "04155550123", "anna@ex", "ek anna"])
def test_list_finds_by_name_mail_and_phone_in_any_writing(desk, event, guest, term):
    guests.change(guest_id=guest.pk, changes={"phone": "+14155550123"}, actor=None)
    factories.EventGuestFactory(event=event, guest_name="Other", phone="+14155559999" if "0123" in term else None)
    assert names_in(desk.get(LIST, {"q": term})) == ["Anna Ek"]


def form(event, **fields):
    return {"event": event.pk, "guest_name": "Ben", "phone": "", "email": "", "initial-phone": ""} | fields


def test_form_adds_reads_phones_and_links(desk, event):
    event.organization.phone_region = "DE"
    event.organization.save()
    ben = factories.UserProfileFactory(phone="+491701234567", phone_verified=True)
    response = desk.post(f"{LIST}add/", form(event, phone="0170 / 1234567", email="Ben@Example.org"))
    assert response.status_code == 302, response.context["adminform"].form.errors
    made = EventGuest.objects.get()
    assert (made.phone, made.email, made.user) == ("+491701234567", "ben@example.org", ben)


@pytest.mark.parametrize(
    "phone, sentence",
    [("555-0123", "The area code is missing."), ("12", "This is no phone number that can be called.")],
)
def test_form_says_what_is_wrong_with_a_phone(desk, event, phone, sentence):
    response = desk.post(f"{LIST}add/", form(event, phone=phone))
    assert response.context["adminform"].form.errors == {"phone": [sentence]}
    assert not EventGuest.objects.exists()


def test_form_changes_and_says_that_the_link_stays(desk, event, guest, organizer, attend):
    guests.link(guest_id=guest.pk, person=attend(), actor=organizer)
    fields = {"guest_name": "Anna Ek", "phone": "", "email": "new@example.org"}
    fields |= {"initial-guest_name": "Anna Ek", "initial-phone": "", "initial-email": "anna@example.org"}
    response = desk.post(f"{LIST}{guest.pk}/change/", fields, follow=True)
    assert "Anna Ek stays linked as before. Unlink them if that was somebody else." in told(response)
    guest.refresh_from_db()
    assert guest.email == "new@example.org" and guest.user is not None


def test_page_of_a_guest_shows_links_and_deliveries_of_people_one_may_see(desk, event, guest, organizer, attend):
    factories.MessageDeliveryFactory(message__event=event, message__subject="Doors at seven", guest=guest)
    seen = attend(first_name="Visible", last_name="Person")
    guests.link(guest_id=guest.pk, person=seen, actor=organizer)
    page = desk.get(f"{LIST}{guest.pk}/change/").content.decode()
    assert "Visible Person" in page and "Doors at seven" in page and 'id="link-history"' in page
    hidden, by_mail, _by_phone = parked(event)
    guests.link(guest_id=hidden.pk, person=by_mail, actor=organizer)
    for page in (f"{LIST}{hidden.pk}/change/", f"{LIST}{hidden.pk}/history/", LIST, f"{LIST}{hidden.pk}/act/link/"):
        text = desk.get(page).content.decode()
        assert "Hidden" not in text, page
    assert "an account with this verified e-mail" in desk.get(f"{LIST}{hidden.pk}/change/").content.decode().lower()


def test_act_link_says_first_what_happens(desk, event, guest, organizer, attend):
    anna, ben = attend(first_name="Anna", last_name="A"), attend(first_name="Ben", last_name="B")
    factories.MessageDeliveryFactory(message__event=event, guest=guest)
    address = f"{LIST}{guest.pk}/act/link/"
    sentence = "1 message that Anna Ek was sent goes to whom you choose."
    assert desk.get(address).context["warning"] == sentence
    asked = desk.post(address, {"act_form": 1, "person": anna.pk})
    assert asked.context["warning"] == sentence  # not confirmed
    done = desk.post(address, {"act_form": 1, "person": anna.pk, "confirmed": sentence}, follow=True)
    assert told(done) == ["1 linked.", "1 message is theirs now."]
    guest.refresh_from_db()
    assert guest.user == anna
    text = desk.get(f"{LIST}{guest.pk}/change/").content.decode()
    assert "Link to somebody else" in text and "Link to a person" not in text
    address = f"{LIST}{guest.pk}/act/relink/"
    sentence = "1 message that Anna A has goes to whom you choose, unread, and Anna A no longer has it."
    assert desk.get(address).context["warning"] == sentence
    desk.post(address, {"act_form": 1, "person": ben.pk, "confirmed": sentence})
    guest.refresh_from_db()
    assert guest.user == ben


def test_act_link_offers_those_who_fit_without_saying_who_they_are(desk, event):
    guest, by_mail, by_phone = parked(event)
    page = desk.get(f"{LIST}{guest.pk}/act/link/").content.decode()
    assert "An account with this verified e-mail<" in page.replace("\n", "").replace("  ", "")
    assert "An account with this verified phone number" in page
    assert "Hidden" not in page and "x@example.org" not in page
    desk.post(f"{LIST}{guest.pk}/act/link/", {"act_form": 1, "fits": by_phone.pk})
    guest.refresh_from_db()
    assert guest.user == by_phone


def test_act_link_warns_of_another_guest_of_the_event(desk, event, guest, organizer, attend):
    ben = factories.EventGuestFactory(event=event, guest_name="Ben Ek")
    person = attend()
    guests.link(guest_id=ben.pk, person=person, actor=organizer)
    address = f"{LIST}{guest.pk}/act/link/"
    asked = desk.post(address, {"act_form": 1, "person": person.pk})
    assert asked.context["form"].non_field_errors() == ["This person is on the list already, as Ben Ek."]
    assert 'value="Ben Ek"' in asked.content.decode()
    desk.post(address, {"act_form": 1, "person": person.pk, "knowingly": "Ben Ek"})
    guest.refresh_from_db()
    assert guest.user == person


def test_page_of_a_guest_says_what_is_to_be_told_apart(desk, client, event):
    guest, _by_mail, _by_phone = parked(event)
    fits = desk.get(f"{LIST}{guest.pk}/change/").context["fits"]
    assert sorted(one["words"] for one in fits["accounts"]) == [
        "An account with this verified e-mail",
        "An account with this verified phone number",
    ]
    assert fits["shared"] is False
    factories.UserProfileFactory(first_name="Hidden", email="family@example.org", email_verified=True)
    one, two = (EventGuest(event=event, guest_name=name, email="family@example.org") for name in ("Mia", "Tom"))
    for each in (one, two):
        each.save()
    links.match(guest_ids=[one.pk, two.pk])
    page = desk.get(f"{LIST}{two.pk}/change/")
    text = " ".join(page.content.decode().split())
    assert "Other guests of the event fit the same account" in text and f"{LIST}{one.pk}/change/" in text
    assert [list(each["others"]) for each in page.context["fits"]["accounts"]] == [[one]]
    assert "Hidden" not in text
    client.force_login(factories.member(event.organization, "viewer"))
    assert "fits" not in client.get(f"{LIST}{two.pk}/change/").context


def test_page_of_a_guest_says_by_what_only_where_it_was_decided(desk, guest, event, organizer, attend):
    page = f"{LIST}{guest.pk}/change/"
    assert "By phone" not in desk.get(page).content.decode()
    guests.link(guest_id=guest.pk, person=attend(), actor=organizer)
    guests.unlink(guest_id=guest.pk, actor=organizer)
    assert "Not linked: somebody decided so, and it stays until somebody links them" in desk.get(page).content.decode()


def test_messages_of_a_guest_are_named_as_they_read_them(desk, event, guest):
    factories.MessageDeliveryFactory(message__event=event, message__subject="{name} at {event}", guest=guest)
    text = desk.get(f"{LIST}{guest.pk}/change/").content.decode()
    assert f"Anna Ek at {event.title}" in text and "{event}" not in text


def test_who_is_invited_personally_has_a_link_made_and_nothing_sent(desk, guest):
    done = desk.post(f"{LIST}{guest.pk}/act/invite/", follow=True)
    link = guest.invitation_links.get()
    assert told(done) == ["1 link made, and sent to nobody: copy its address from the invitation's page."]
    assert done.redirect_chain[-1][0] == f"/admin/requests/invitationlink/{link.pk}/change/"
    text = done.content.decode()
    assert link.token in text and "People at most" in text and "Empty: no limit" not in text
    again = desk.post(f"{LIST}{guest.pk}/act/invite/", follow=True)
    assert again.redirect_chain[-1][0] == f"/admin/requests/invitationlink/{link.pk}/change/"


def test_who_may_only_look_is_told_nothing_about_writing(client, event, guest):
    client.force_login(factories.member(event.organization, "viewer"))
    assert "without a country code" not in client.get(f"{LIST}{guest.pk}/change/").content.decode().lower()


@pytest.mark.parametrize(
    "chosen, sentence",
    [({}, "Choose a person."), ({"person": "stranger"}, "Select a valid choice. That choice is not one of")],
)
def test_act_link_refuses_nobody_and_strangers(desk, guest, chosen, sentence):
    stranger = factories.UserProfileFactory()
    fields = dict.fromkeys(chosen, stranger.pk)
    response = desk.post(f"{LIST}{guest.pk}/act/link/", {"act_form": 1} | fields)
    assert sentence in str(response.context["form"].errors)
    guest.refresh_from_db()
    assert guest.user is None


def test_act_unlink_asks_where_there_are_messages(desk, event, guest, organizer, attend):
    guests.link(guest_id=guest.pk, person=attend(first_name="Anna", last_name="A"), actor=organizer)
    address = f"{LIST}{guest.pk}/act/unlink/"
    factories.MessageDeliveryFactory(message__event=event, guest=guest)
    sentence = "1 message that Anna A has will be nobody's, until Anna Ek is linked again."
    assert desk.post(address).context["warning"] == sentence
    guest.refresh_from_db()
    assert guest.user is not None
    desk.post(address, {"act_form": 1, "confirmed": sentence})
    guest.refresh_from_db()
    assert guest.user is None


def test_acts_on_a_selection(desk, event, guest, organizer, attend):
    other = factories.EventGuestFactory(event=event, guest_name="Other")
    for one in (guest, other):
        guests.link(guest_id=one.pk, person=attend(), actor=organizer)
        factories.MessageDeliveryFactory(message__event=event, guest=one)
    chosen = {"_selected_action": [guest.pk, other.pk]}
    message = MessageDelivery.objects.get(guest=other).message
    factories.MessageDeliveryFactory(message=message, guest=other, user=other.user, channel="sms")
    asked = desk.post(LIST, {"action": "unlink"} | chosen)
    sentence = "2 people lose what they were sent: 3 deliveries, nobody's until these guests are linked again."
    assert asked.context["warning"] == sentence
    assert told(desk.post(LIST, {"action": "unlink", "confirmed": sentence} | chosen, follow=True)) == ["2 unlinked."]
    assert not EventGuest.objects.filter(user__isnull=False).exists()
    for action, told_ in (("remove", "2 removed from the list."), ("restore", "2 are on the list again.")):
        assert told(desk.post(LIST, {"action": action} | chosen, follow=True)) == [told_]
    assert "link" not in desk.get(LIST).context["cl"].model_admin.get_actions(desk.get(LIST).wsgi_request)


def test_removed_guest_is_shown_not_changed(desk, guest, organizer):
    guests.remove(guest_id=guest.pk, actor=organizer)
    page = desk.get(f"{LIST}{guest.pk}/change/").content.decode()
    assert 'name="guest_name"' not in page and "Bring back" in page


def test_export_holds_no_formula(desk, event):
    factories.EventGuestFactory(event=event, guest_name="=HYPERLINK(1)", phone="+14155550123")
    fields = {"format": "0", "resource": "", **dict.fromkeys(("guest_name", "phone", "link", "removed"), "on")}
    text = desk.post(f"{LIST}export/", fields).content.decode("utf-8-sig")
    assert "'=HYPERLINK(1)" in text and "'+14155550123" in text and "Not linked" in text


def test_dashboard_tells_of_guests_who_fit_several(desk, client, event, organizer):
    assert "Guests to be told apart" not in desk.get("/admin/").content.decode()
    parked(event)
    page = desk.get("/admin/").content.decode()
    assert "Guests to be told apart" in page
    [address] = re.findall(rf'href="([^"]+link=ambiguous[^"]+event__id__exact={event.pk})"', page)
    assert names_in(desk.get(address.replace("&amp;", "&"))) == ["Parker"]
    for role in ("viewer", "door"):
        client.force_login(factories.member(event.organization, role))
        assert "Guests to be told apart" not in client.get("/admin/").content.decode()
    client.force_login(factories.member(factories.OrganizationFactory(), "owner"))
    assert "Guests to be told apart" not in client.get("/admin/").content.decode()


@pytest.mark.parametrize(
    "role, sees, acts", [("organizer", 200, 200), ("viewer", 200, 403), ("door", 403, 404), (None, 302, 302)]
)
def test_roles(client, event, guest, role, sees, acts):
    person = factories.member(event.organization, role) if role else factories.UserProfileFactory()
    client.force_login(person)
    assert client.get(LIST).status_code == sees
    assert client.get(f"{LIST}{guest.pk}/act/link/").status_code == acts


def test_other_organisation_sees_nothing(client, event, guest):
    client.force_login(factories.member(factories.OrganizationFactory(), "owner"))
    assert names_in(client.get(LIST)) == []
    for page in ("change/", "history/", "act/link/", "act/remove/"):
        assert client.get(f"{LIST}{guest.pk}/{page}").status_code == 404
    with pytest.raises(DomainError):
        guests.link(guest_id=guest.pk, person=factories.UserProfileFactory(), actor=factories.UserProfileFactory())
