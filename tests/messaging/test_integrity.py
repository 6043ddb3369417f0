"""The daily proof that no delivery lacks its person: planted faults are found, graded and mended."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone
from prometheus_client import REGISTRY

from config.integrity import CRITICAL, HEALTHY, WARNING, named
from events.models import IntegrityResult
from events.tasks import check_integrity
from messaging.models import EventGuest, MessageDelivery, UserLinkAudit
from tests import factories


@pytest.fixture
def deliveries(event):
    """300 deliveries to 100 guests, each linked to a person."""
    with connection.cursor() as cursor:
        message = factories.MessageFactory(event=event)
        people = factories.UserProfileFactory.create_batch(100)
        for person in people:
            factories.EventGuestFactory(event=event, user=person)
        cursor.execute(
            "INSERT INTO message_deliveries (message_id, guest_id, channel) SELECT %s, g.id, c FROM event_guests g,"
            " unnest(ARRAY['sms', 'email', 'in_app']) c",
            [message.pk],
        )
    return MessageDelivery.objects.all()


def plant(count):
    """So many lose their person, as rows do that are loaded with triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE message_deliveries SET user_id = NULL WHERE id IN (SELECT id FROM message_deliveries LIMIT %s)",
            [count],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


def check() -> tuple[int, dict]:
    """The command's exit code, and what it says of deliveries."""
    out, code = StringIO(), 0
    try:
        call_command("check_integrity", "deliveries", "--json", stdout=out)
    except SystemExit as ended:
        code = ended.code
    [found] = json.loads(out.getvalue())["checks"]
    return code, found


@pytest.mark.parametrize(
    ("planted", "code", "level", "rate"),
    [(0, 0, HEALTHY, 0.0), (1, 1, WARNING, 0.333), (3, 1, WARNING, 1.0), (4, 2, CRITICAL, 1.333)],
)
def test_the_rate_is_graded_at_nothing_up_to_one_percent_and_above(deliveries, planted, code, level, rate):
    plant(planted)
    ended, found = check()
    assert (ended, found["level"], found["violations"]) == (code, level, planted)
    assert (found["figures"]["deliveries"], found["figures"]["rate_percent"]) == (300, rate)
    assert IntegrityResult.objects.get(name="deliveries").level == level
    assert REGISTRY.get_sample_value("turnout_integrity_violations", {"check": "deliveries"}) == planted
    assert REGISTRY.get_sample_value("turnout_integrity_level", {"check": "deliveries"}) == code


def test_a_critical_rate_is_an_error_in_the_log(deliveries, caplog):
    plant(4)
    check_integrity()
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert (record.msg["event"], record.msg["name"], record.msg["violations"]) == (
        "integrity.violated",
        "deliveries",
        4,
    )


def test_the_last_days_attempts_are_counted_by_outcome(deliveries, event):
    guest = factories.EventGuestFactory(event=event, phone="+14155550100")
    row = factories.MessageDeliveryFactory(message__event=event, guest=guest)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        UserLinkAudit.objects.filter(table_name="event_guests").update(created_at=timezone.now() - timedelta(hours=25))
        cursor.execute("SET LOCAL session_replication_role = origin")
    EventGuest.objects.filter(pk=guest.pk).update(user=factories.UserProfileFactory())
    row.refresh_from_db()
    figures = check()[1]["figures"]
    assert {name: figures[name] for name in figures if name.endswith("_24h")} == {
        "link_attempts_24h": 303,
        "linked_24h": 301,
        "no_match_24h": 0,
        "ambiguous_24h": 0,
        "skipped_24h": 1,
        "backfilled_24h": 1,
        "error_24h": 0,
        "success_percent_24h": 99.7,
    }


def backfill(*options) -> str:
    out = StringIO()
    call_command("backfill", "deliveries", *options, stdout=out)
    return out.getvalue()


def test_the_backfill_mends_what_was_planted_and_says_so_in_the_audit(deliveries):
    plant(7)
    before = UserLinkAudit.objects.count()
    assert backfill("--dry-run") == "7 to mend. Dry run: nothing was changed.\n"
    assert (deliveries.filter(user=None).count(), UserLinkAudit.objects.count()) == (7, before)
    assert backfill("--batch-size", "2").startswith("7 of 7 mended, 0 left.\n")
    assert not deliveries.exclude(user=F("guest__user")).exists()
    rows = UserLinkAudit.objects.filter(outcome="backfilled", method="backfill")
    assert (rows.count(), UserLinkAudit.objects.count()) == (7, before + 7)
    assert check()[0] == 0
    assert backfill().startswith("0 of 0 mended, 0 left.\n")


def test_the_backfill_can_be_of_one_guest_or_event(deliveries, event):
    plant(300)
    one = EventGuest.objects.first()
    assert backfill("--guest", str(one.pk)).startswith("3 of 3 mended, 0 left.\n")
    assert backfill("--event", str(factories.EventFactory().pk)).startswith("0 of 0 mended, 0 left.\n")
    assert deliveries.filter(user=None).count() == 297
    assert backfill("--event", str(event.pk)).startswith("297 of 297 mended, 0 left.\n")
    with pytest.raises(CommandError, match="can't be narrowed to one guest"):
        call_command("backfill", "seats", "--guest", str(one.pk))


def test_removed_and_unlinked_guests_break_nothing(deliveries, event):
    factories.MessageDeliveryFactory(message__event=event, guest=factories.EventGuestFactory(event=event))
    EventGuest.objects.update(removed_at=timezone.now())
    plant(300)
    assert check()[0] == 0


def test_a_delivery_that_is_held_for_long_is_a_warning(event):
    row = factories.MessageDeliveryFactory(message__event=event)
    MessageDelivery.objects.filter(pk=row.pk).update(
        status="sending", claimed_until=timezone.now() - timedelta(minutes=31)
    )
    [invariant] = named(["stuck_deliveries"])
    assert (invariant.check().level, list(invariant.rows(event_id=event.pk))) == (WARNING, [row])
