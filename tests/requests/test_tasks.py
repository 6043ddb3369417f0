"""The sweep that finds what nobody admitted."""

import pytest
from django.db import connection

from events.models import Event
from requests import tasks
from requests.models import JoinRequest
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory

pytestmark = pytest.mark.django_db


def statuses(event):
    return list(JoinRequest.objects.filter(event=event).order_by("pk").values_list("status", flat=True))


def test_admit_pending_lets_in_who_waits_where_there_is_room():
    roomy = EventFactory(approval_mode="auto", capacity=1)
    unlimited = EventFactory(approval_mode="auto")
    JoinRequestFactory.create_batch(2, event=roomy)
    JoinRequestFactory.create_batch(2, event=unlimited)
    tasks.admit_pending()
    assert statuses(roomy) == ["approved", "pending"]
    assert statuses(unlimited) == ["approved", "approved"]


@pytest.mark.parametrize(
    "fields",
    [{"approval_mode": "manual"}, {"status": "draft"}, {"status": "completed"}, {"status": "cancelled"}],
)
def test_admit_pending_leaves_other_events_alone(fields):
    event = EventFactory(**{"approval_mode": "auto", **fields})
    JoinRequestFactory(event=event)
    tasks.admit_pending()
    assert statuses(event) == ["pending"]


def test_admit_pending_leaves_held_requests_alone():
    event = EventFactory(approval_mode="auto")
    JoinRequestFactory(event=event, held=True)
    tasks.admit_pending()
    assert statuses(event) == ["pending"]


def test_admit_pending_asks_once_where_nothing_is_to_do(django_assert_num_queries):
    full = EventFactory(approval_mode="auto", capacity=1)
    AttendeeFactory(event=full)
    JoinRequestFactory(event=full)
    with django_assert_num_queries(1):
        tasks.admit_pending()
    assert statuses(full) == ["pending"]


@pytest.mark.django_db(transaction=True)
def test_admit_pending_goes_on_after_a_refusal(caplog):
    """An event that the database refuses to fill must not keep the others from being looked after."""
    fine, broken = EventFactory.create_batch(2, approval_mode="auto", capacity=1)
    assert list(Event.objects.all()) == [broken, fine]  # the order of the sweep
    JoinRequestFactory(event=broken)
    JoinRequestFactory(event=fine)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE events ADD CONSTRAINT refuses CHECK (id <> {broken.pk} OR seats_taken = 0)")
    try:
        tasks.admit_pending()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE events DROP CONSTRAINT refuses")
    assert statuses(broken) == ["pending"]
    assert statuses(fine) == ["approved"]
    [line] = [one.msg for one in caplog.records if one.levelname == "WARNING"]
    assert {name: line[name] for name in ("event", "event_id", "code", "reason")} == {
        "event": "join_requests.sweep_refused",
        "event_id": broken.pk,
        "code": "conflict",
        "reason": "The database refused this: refuses.",
    }
    assert Event.objects.get(pk=broken.pk).seats_taken == 0
