"""An attendee's ticket as a page."""

import pytest

from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory

pytestmark = pytest.mark.django_db


def test_an_attendee_has_a_ticket_and_nobody_else(client):
    event = EventFactory(slug="conf")
    attendee = AttendeeFactory(event=event, user_profile__first_name="Ada", plus_ones=2)
    answer = client.get("/e/conf/ticket/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in/?next=%2Fe%2Fconf%2Fticket%2F")
    for person in (UserProfileFactory(), AttendeeFactory(event=event, status="removed").user_profile):
        client.force_login(person)
        assert client.get("/e/conf/ticket/").status_code == 404
    client.force_login(attendee.user_profile)
    html = client.get("/e/conf/ticket/").content.decode()
    assert html.count("<title>") == 2 and "and 2 guests" in html  # the page's, and the picture's
    assert attendee.ticket_code not in html and " style=" not in html
