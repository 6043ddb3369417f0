"""The pages of deliveries: what one reads of one that has nobody."""

from html import unescape

import pytest

from tests import factories

LIST = "/admin/messaging/messagedelivery/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "phone, reason",
    [
        (None, "not linked, and no number to go by"),
        ("+14155550123", "no linked guest has this number"),
    ],
)
def test_a_delivery_says_why_it_has_nobody(client, event, organizer, phone, reason):
    client.force_login(organizer)
    guest = factories.EventGuestFactory(event=event, email="anna@example.org", phone=phone)
    delivery = factories.MessageDeliveryFactory(
        message__event=event, guest=guest, channel="email", email="anna@example.org", phone_number=None
    )
    told = {
        f"{LIST}{delivery.pk}/change/": f"{reason}",
        LIST: f"{reason}",
        f"/admin/messaging/eventguest/{guest.pk}/change/": reason,
        "/admin/messaging/userlinkaudit/": reason,
    }
    for page, words in told.items():
        assert words in unescape(client.get(page).content.decode()), page
    exported = {"format": "0", "resource": "", "whose": "on"}
    assert f"{reason}" in client.post(f"{LIST}export/", exported).content.decode("utf-8-sig")
