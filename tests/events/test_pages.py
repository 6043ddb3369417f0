"""The event page, and what all attendees' pages share."""

import pytest

from tests.factories import EventFactory

pytestmark = pytest.mark.django_db


def test_a_stranger_sees_what_is_on(client):
    event = EventFactory(title="Harbour Conf")
    page = client.get(f"/e/{event.slug}/")
    assert page.status_code == 200
    assert "Harbour Conf" in page.content.decode()
