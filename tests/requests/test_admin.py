"""Organisers at their desk: every success and every failure is told."""

import re

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from attendance.models import Attendee
from events.models import Event
from tests.factories import InvitationLinkFactory, JoinRequestFactory, UserProfileFactory

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:requests_joinrequest_changelist"


def run_action(client, action, rows, **data):
    return client.post(reverse(LIST), {"action": action, "_selected_action": [row.pk for row in rows], **data})


def told(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.fixture
def desk(client, event, organizer):
    client.force_login(organizer, backend="events.sign_in.EmailBackend")
    return client


def test_approve_selected_tells_how_many_and_who_not(desk, event):
    Event.objects.filter(pk=event.pk).update(capacity=2)
    done = JoinRequestFactory(event=event)
    many = JoinRequestFactory(
        event=event, plus_ones=3, user_profile=UserProfileFactory(first_name="Jane", last_name="Doe")
    )
    run_action(desk, "approve", [done])

    response = run_action(desk, "approve", [done, many])

    assert told(response)[-2:] == [
        "1 were approved already.",
        "1 could not be changed. Jane Doe: The event is full: 1 of 2 places taken; this request needs 4.",
    ]
    assert Attendee.objects.active().count() == 1


def test_list_shows_pending_first(desk, event):
    old = JoinRequestFactory(event=event)
    new = JoinRequestFactory(event=event)
    run_action(desk, "approve", [new])
    response = desk.get(reverse(LIST))
    assert response.status_code == 200
    assert [row.pk for row in response.context["cl"].result_list] == [old.pk, new.pk]


def test_buttons_on_the_page_decide(desk, event):
    request = JoinRequestFactory(event=event)
    page = reverse("admin:requests_joinrequest_change", args=[request.pk])
    assert "Approve" in desk.get(page).content.decode()
    response = desk.post(reverse("admin:requests_joinrequest_act", args=[request.pk, "approve"]))
    assert response.status_code == 302 and response.url == page
    request.refresh_from_db()
    assert request.status == "approved"


def test_an_invitation_s_page_has_the_address_that_lets_in(desk, client, event, settings):
    settings.SITE_URL = "https://turnout.example"
    link = InvitationLinkFactory(event=event)
    html = desk.get(reverse("admin:requests_invitationlink_change", args=[link.pk])).content.decode()
    [address] = re.findall(r'class="turnout-address" type="text" readonly value="([^"]*)"', html)
    assert address.startswith(f"https://turnout.example/e/{event.slug}/join/?code=") and link.token in html
    client.force_login(UserProfileFactory(), backend="events.sign_in.LinkBackend")
    assert "You are invited" in client.get(address.removeprefix("https://turnout.example")).content.decode()
