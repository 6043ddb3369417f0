"""Tasks are doors: each does what its operation does, and a second run changes nothing."""

from django.db import connection

from messaging import tasks
from messaging.models import EventGuest
from tests import factories


def queued(event, post_office):
    factories.EventGuestFactory(event=event, phone="+14155550100")
    return factories.MessageFactory(event=event, channels=["sms"], status="sending")


def test_fan_out_and_run_take_a_message_to_its_end(event, post_office):
    message = queued(event, post_office)
    for _twice in range(2):
        tasks.fan_out(str(message.pk))
    assert message.deliveries.count() == 1
    for _twice in range(2):
        tasks.run("sms")
    message.refresh_from_db()
    assert (message.status, len(post_office.texts)) == ("sent", 1)


def test_sweep_takes_up_what_no_task_was_started_for(event, post_office):
    message = queued(event, post_office)
    tasks.sweep()
    assert message.deliveries.get().status == "queued"


def test_find_guests_links_people_who_verified_before_they_were_listed(event):
    person = factories.UserProfileFactory(email="ann@example.org")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO event_guests (event_id, guest_name, email) VALUES (%s, 'Ann', 'ann@example.org')", [event.pk]
        )
    tasks.find_guests()
    tasks.find_guests()
    assert EventGuest.objects.get().user == person
