"""The one door of the system's own messages."""

import pytest
from django.db import connection, transaction

from messaging import operations
from messaging.models import Channel, Kind, Message, MessageDelivery, OptOut, PushDevice
from messaging.models.messages import filled
from messaging.operations import sending
from tests import factories
from tests.config import postgres


@pytest.fixture(autouse=True)
def _providers(post_office):
    """All channels work."""


def notice(*people, **fields):
    return operations.Notice(
        **{"kind": Kind.JOIN_DECISION, "subject": "You are in", "body": "See you at {event}, {name}."}
        | {"to": [one.pk for one in people]}
        | fields
    )


def test_a_notice_reaches_a_person_over_the_channels_of_its_kind(event, post_office):
    person = factories.UserProfileFactory(first_name="Ann", last_name="", email="ann@example.org")
    PushDevice.objects.create(user=person, token="phone", platform="web")
    assert operations.notify(notice(person, event_id=event.pk)) == 1
    message = Message.objects.get()
    assert (message.kind, message.status, message.recipients, message.event) == ("join_decision", "sending", 1, event)
    assert set(message.deliveries.values_list("channel", "status", "user", "link_method", "event")) == {
        ("in_app", "sent", person.pk, "manual", event.pk),
        ("push", "queued", person.pk, "manual", event.pk),
        ("email", "queued", person.pk, "manual", event.pk),
    }
    for channel in ("push", "email"):
        assert sending.run(channel=channel) == 1
    message.refresh_from_db()
    assert message.status == "sent"
    [mail], [push] = post_office.mails, post_office.pushes
    assert mail.recipients == ("ann@example.org",)
    assert push.message["notification"]["body"] == f"See you at {event.title}, Ann."


def test_a_notice_in_the_app_alone_is_sent_at_once(event):
    person = factories.UserProfileFactory()
    operations.notify(notice(person, channels=(Channel.IN_APP,)))
    message = Message.objects.get()
    assert (message.status, message.event) == ("sent", None)
    assert message.finished_at is not None


def test_notices_take_two_statements_however_many_there_are(event, django_assert_num_queries):
    people = factories.UserProfileFactory.create_batch(30)
    with django_assert_num_queries(2):
        assert operations.notify(notice(people[0])) == 1
    with django_assert_num_queries(2):
        assert operations.notify(*[notice(one, event_id=event.pk) for one in people], notice(*people)) == 31
    assert MessageDelivery.objects.count() == 2 + 30 * 2 + 30 * 2


def test_a_key_is_told_once(event):
    first, second = factories.UserProfileFactory.create_batch(2)
    assert operations.notify(notice(first, key="request:1:approved")) == 1
    assert operations.notify(notice(first, key="request:1:approved"), notice(second, key="request:2:approved")) == 1
    assert Message.objects.count() == 2
    assert not MessageDelivery.objects.filter(user=first).exclude(message__key="request:1:approved").exists()


def test_nobody_to_tell_is_nothing(db):
    assert operations.notify() == 0
    assert operations.notify(notice()) == 0
    assert not Message.objects.exists()


def test_whoever_turned_it_off_gets_it_in_the_app_only(event):
    muted = factories.AttendeeFactory(event=event, notifications_enabled=False).user_profile
    stopped = factories.UserProfileFactory(email="stop@example.org")
    OptOut.objects.create(channel="email", address="stop@example.org", source="unsubscribe")
    closed = factories.UserProfileFactory(is_active=False)
    operations.notify(notice(muted, stopped, closed, event_id=event.pk))
    assert set(MessageDelivery.objects.values_list("user", "channel")) == {
        (muted.pk, "in_app"),
        (stopped.pk, "in_app"),
    }


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_was_never_told():
    person = factories.UserProfileFactory()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        operations.notify(notice(person))
        raise ZeroDivisionError
    assert not Message.objects.exists()
    with pytest.raises(AssertionError, match="inside the transaction"):
        operations.notify(notice(person))


TELL = """
import sys, django
django.setup()
from django.db import transaction
from messaging.operations import Notice, notify
for number in range(2):
    with transaction.atomic():
        notify(Notice(kind="reminder", subject="x", body="y", to=[sys.argv[1]], channels=("email",)))
"""


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_costs_the_caller_nothing():
    """The sweep finds what no task was started for."""
    person = factories.UserProfileFactory()
    postgres.run(
        "python",
        "-c",
        TELL,
        str(person.pk),
        DJANGO_SETTINGS_MODULE="config.settings",
        DATABASE_URL=postgres.url(connection.settings_dict["NAME"]),
        REDIS_URL="redis://127.0.0.1:1/0",
        EMAIL_URL="smtp://127.0.0.1:1",
    )
    assert MessageDelivery.objects.filter(status="queued", channel="email").count() == 2


def test_a_name_or_title_is_no_placeholder(event):
    assert filled("{name} at {event} {x}", name="{event}", event="{name}") == "{event} at {name} {x}"
