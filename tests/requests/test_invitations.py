"""Personal invitations: whoever comes in by one is the guest whom it is for."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from attendance.models import Attendee
from attendance.operations import room
from config.errors import DomainError
from messaging.models import EventGuest, UserLinkAudit
from messaging.operations import guests
from requests.models import InvitationLink
from requests.operations import invitations, join_requests
from tests.config.postgres import waited_for
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    EventGuestFactory,
    InvitationLinkFactory,
    MessageDeliveryFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _promises_hold(db):
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture
def guest(event):
    return EventGuestFactory(event=event, guest_name="Aunt Ada")


@pytest.fixture
def link(guest, organizer):
    return invitations.invite(guest_id=guest.pk, actor=organizer).row


def test_invite_makes_a_link_for_one(event, guest, organizer):
    outcome = invitations.invite(guest_id=guest.pk, actor=organizer)
    link = InvitationLink.objects.get()
    assert outcome == (link, True)
    assert (link.event, link.guest, link.label, link.max_uses, link.uses, link.created_by) == (
        event,
        guest,
        "Aunt Ada",
        1,
        0,
        organizer,
    )
    assert link.history.get().history_user == organizer
    assert invitations.invite(guest_id=guest.pk, actor=organizer) == (link, False)


def test_invite_anew_when_the_old_link_is_no_longer_good(guest, organizer, link):
    invitations.revoke(link_id=link.pk, actor=organizer)
    assert invitations.invite(guest_id=guest.pk, actor=organizer).changed is True
    assert InvitationLink.objects.count() == 2


def test_invite_nobody_who_was_removed_or_to_what_is_over(event, guest, organizer):
    type(event).objects.update(status="cancelled")
    with pytest.raises(room.EventClosed):
        invitations.invite(guest_id=guest.pk, actor=organizer)
    guests.remove(guest_id=guest.pk, actor=organizer)
    with pytest.raises(guests.GuestRemoved):
        invitations.invite(guest_id=guest.pk, actor=organizer)
    assert InvitationLink.objects.count() == 0


@pytest.mark.parametrize("asked", [True, False])
def test_whoever_accepts_is_the_guest(event, guest, link, asked):
    person = UserProfileFactory()
    delivery = MessageDeliveryFactory(message__event=event, guest=guest)
    if asked:
        join_requests.send(event_id=event.pk, person=person)
    attendee = invitations.accept(token=link.token, person=person).row
    guest.refresh_from_db()
    assert (guest.user, guest.link_outcome, guest.link_method, guest.linked_by, guest.attendee) == (
        person,
        "linked",
        "invitation",
        person,
        attendee,
    )
    delivery.refresh_from_db()
    assert delivery.user == person
    assert list(
        UserLinkAudit.objects.filter(table_name="event_guests").values_list("user", "outcome", "method", "actor")
    ) == [(person.pk, "linked", "invitation", person.pk)]
    assert guest.history.first().history_user == person


def test_a_personal_link_lets_one_in(event, guest, link):
    person = UserProfileFactory()
    invitations.accept(token=link.token, person=person)
    with pytest.raises(invitations.InvitationInvalid):
        invitations.accept(token=link.token, person=UserProfileFactory())
    assert invitations.accept(token=link.token, person=person).changed is False
    assert Attendee.objects.get().user_profile == person


def test_whoever_is_in_already_uses_it_up_by_becoming_the_guest(event, guest, link):
    attendee = AttendeeFactory(event=event)
    assert invitations.accept(token=link.token, person=attendee.user_profile) == (attendee, False)
    guest.refresh_from_db()
    link.refresh_from_db()
    assert (guest.user, guest.attendee, link.uses) == (attendee.user_profile, attendee, 1)


def test_a_link_for_nobody_in_particular_is_not_used_by_whoever_is_in(event):
    link, attendee = InvitationLinkFactory(event=event), AttendeeFactory(event=event)
    invitations.accept(token=link.token, person=attendee.user_profile)
    link.refresh_from_db()
    assert link.uses == 0


def test_the_link_of_a_guest_who_was_removed_lets_nobody_in_until_they_are_back(event, guest, link):
    inside, outside = AttendeeFactory(event=event), UserProfileFactory()
    guests.remove(guest_id=guest.pk, actor=None)
    with pytest.raises(invitations.InvitationWithdrawn) as caught:
        invitations.accept(token=link.token, person=outside)
    assert str(caught.value) == "This invitation was for a guest who is no longer on the list. Ask the organisers."
    assert invitations.accept(token=link.token, person=inside.user_profile) == (inside, False)
    guest.refresh_from_db()
    link.refresh_from_db()
    assert (guest.user, link.uses, link.revoked_at) == (None, 0, None)
    assert list(Attendee.objects.filter(event=event)) == [inside]
    guests.restore(guest_id=guest.pk, actor=None)
    assert invitations.accept(token=link.token, person=outside).changed is True
    guest.refresh_from_db()
    assert guest.user == outside


def test_a_link_that_was_revoked_stays_so_when_its_guest_is_back(guest, link, organizer):
    invitations.revoke(link_id=link.pk, actor=organizer)
    guests.remove(guest_id=guest.pk, actor=organizer)
    guests.restore(guest_id=guest.pk, actor=organizer)
    with pytest.raises(invitations.InvitationInvalid):
        invitations.accept(token=link.token, person=UserProfileFactory())


@pytest.mark.django_db(transaction=True)
def test_an_acceptance_waits_for_the_removal_of_its_guest(event, guest, link):
    person = UserProfileFactory()
    removed = "WITH event AS (SELECT FROM events WHERE id = %s FOR UPDATE) UPDATE event_guests SET removed_at = now()"
    removal = waited_for(f"{removed} FROM event WHERE event_guests.id = %s", [event.pk, guest.pk])
    with removal, pytest.raises(invitations.InvitationWithdrawn):
        invitations.accept(token=link.token, person=person)
    assert Attendee.objects.count() == 0


def test_a_guest_who_is_somebody_else_stays_so(event, guest, link, caplog):
    other = UserProfileFactory()
    EventGuest.objects.update(user=other)
    person = UserProfileFactory()
    assert invitations.accept(token=link.token, person=person).row.user_profile == person
    guest.refresh_from_db()
    assert guest.user == other
    assert [one.msg["event"] for one in caplog.records if one.levelname == "WARNING"] == ["invitation.guest_left"]


def test_accepting_as_the_guest_that_one_is_already(event, guest, link, caplog):
    person = UserProfileFactory()
    EventGuest.objects.update(user=person)
    assert invitations.accept(token=link.token, person=person).changed is True
    assert [one for one in caplog.records if one.levelname == "WARNING"] == []


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"max_uses": None}, "requests_invitationlink_personal_once"),
        ({"max_uses": 2}, "requests_invitationlink_personal_once"),
        ({"event": "other"}, "requests_invitationlink_guest_of_event"),
    ],
)
def test_the_database_refuses_other_personal_links(guest, link, columns, constraint):
    if columns.get("event"):
        columns = {"event": EventFactory()}
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        InvitationLink.objects.filter(pk=link.pk).update(**columns)
    assert caught.value.__cause__.diag.constraint_name == constraint
    assert DomainError.by_constraint[constraint] is invitations.InvitationPersonal


# -- Admin ---------------------------------------------------------------------------------------


def test_invite_on_the_guests_page(event, guest, organizer, client):
    client.force_login(organizer)
    page = reverse("admin:messaging_eventguest_change", args=[guest.pk])
    answer = client.post(reverse("admin:messaging_eventguest_act", args=[guest.pk, "invite"]), follow=True)
    link = InvitationLink.objects.get()
    own = reverse("admin:requests_invitationlink_change", args=[link.pk])
    assert own in answer.content.decode()
    assert [(label, str(value), url) for label, value, url in client.get(page).context["glance"]][-1] == (
        "Personal invitation",
        "Good",
        own,
    )
    shown = client.get(own)
    assert link.token in shown.content.decode()
    assert "Aunt Ada" in shown.content.decode()
    assert list(shown.context["adminform"].form.fields) == ["label", "expires_at"]


def test_the_link_of_a_removed_guest_is_shown_as_no_longer_valid(event, guest, link, organizer, client):
    guests.remove(guest_id=guest.pk, actor=organizer)
    client.force_login(organizer)
    page = client.get(reverse("admin:messaging_eventguest_change", args=[guest.pk]))
    assert str(page.context["glance"][-1][1]) == "No longer valid"


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_of_links_costs_the_same_for_any_number(event, organizer, client, count):
    for guest in EventGuestFactory.create_batch(count, event=event):
        invitations.invite(guest_id=guest.pk, actor=organizer)
    client.force_login(organizer)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(reverse("admin:requests_invitationlink_changelist")).status_code == 200
    assert not [one for one in queries if one["sql"].startswith('SELECT "event_guests"')]


def test_a_viewer_is_not_shown_the_invitation(event, guest, link, client):
    client.force_login(member(event.organization, "viewer"))
    answer = client.get(reverse("admin:messaging_eventguest_change", args=[guest.pk]))
    assert answer.status_code == 200
    assert "Personal invitation" not in answer.content.decode()
