"""manage.py complete_events."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from attendance.models import AttendanceAudit, Attendee
from attendance.operations import absence
from events.models import Event
from tests.config.postgres import held
from tests.factories import AttendeeFactory, EventFactory

pytestmark = pytest.mark.django_db


def ended(ago=timedelta(hours=1), **fields):
    now = timezone.now()
    return EventFactory(starts_at=now - timedelta(days=4), ends_at=now - ago, **fields)


def run(*arguments):
    out, errors = io.StringIO(), io.StringIO()
    call_command("complete_events", *arguments, stdout=out, stderr=errors)
    return out.getvalue().splitlines(), errors.getvalue().splitlines()


@pytest.fixture
def two():
    """Over, the older one first, with two and one to mark."""
    events = [ended(timedelta(days=2), title="Older"), ended(title="Newer")]
    AttendeeFactory.create_batch(2, event=events[0])
    AttendeeFactory(event=events[1])
    return events


def rows():
    models = (Event, Attendee, AttendanceAudit, Event.history.model)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_complete_events_tells_what_it_did(two, event):
    older, newer = two
    assert run() == (
        [
            f"{older.pk} Older: 2 absent in 1 batches, completed.",
            f"{newer.pk} Newer: 1 absent in 1 batches, completed.",
        ],
        [],
    )
    assert set(Event.objects.filter(status="completed")) == {older, newer}
    assert AttendanceAudit.objects.filter(source="auto_absence").count() == 3
    assert run() == ([], [])


def test_complete_events_dry_run_changes_nothing(two):
    older, newer = two
    quiet = ended(timedelta(minutes=40), title="Quiet", auto_absence="if_used")
    AttendeeFactory(event=quiet)
    before = rows()
    assert run("--dry-run")[0] == [
        f"{older.pk} Older: 2 would become absent.",
        f"{newer.pk} Newer: 1 would become absent.",
        f"{quiet.pk} Quiet: 0 would become absent.",
        "Dry run: nothing was changed.",
    ]
    assert rows() == before


def test_complete_events_of_one(two):
    older, newer = two
    assert run("--event", str(newer.pk))[0] == [f"{newer.pk} Newer: 1 absent in 1 batches, completed."]
    older.refresh_from_db()
    assert older.status == "published"
    assert run("--event", str(older.pk), "--dry-run")[0][0] == f"{older.pk} Older: 2 would become absent."


def test_complete_events_of_one_that_is_not_due(event):
    before = rows()
    assert run("--event", str(event.pk))[0] == [
        f"Event {event.pk} is not due: it isn't over yet, or not published, or completed already."
    ]
    assert rows() == before


def test_complete_events_of_one_that_is_not(db):
    with pytest.raises(CommandError, match="There is no event 4711.") as caught:
        run("--event", "4711")
    assert caught.value.returncode == 1


@pytest.mark.django_db(transaction=True)
def test_complete_events_goes_on_after_a_refusal_and_ends_with_an_error(two):
    older, newer = two
    with (
        held("SELECT FROM events WHERE id = %s FOR UPDATE", older.pk),
        pytest.raises(CommandError, match="1 events could not be completed; start again."),
    ):
        run()
    older.refresh_from_db()
    newer.refresh_from_db()
    assert (older.status, newer.status) == ("published", "completed")


@pytest.mark.django_db(transaction=True)
def test_complete_events_says_where_others_are_at_it(two):
    _older, newer = two
    with held("SELECT FROM event_attendees WHERE event_id = %s FOR UPDATE", newer.pk):
        assert run("--event", str(newer.pk))[0] == [
            f"{newer.pk} Newer: 0 absent in 0 batches, not completed: it was moved, or others are at it."
        ]
    assert run("--event", str(newer.pk))[0] == [f"{newer.pk} Newer: 1 absent in 1 batches, completed."]


def test_complete_events_expects_people_of_a_moved_event_again(two):
    _older, newer = two
    absence.mark_batch(event_id=newer.pk)
    Event.objects.filter(pk=newer.pk).update(status="cancelled")
    assert run("--event", str(newer.pk), "--dry-run")[0] == [
        f"{newer.pk} Newer: who was absent by the system would be expected again.",
        "Dry run: nothing was changed.",
    ]
    assert run("--event", str(newer.pk))[0] == [f"{newer.pk} Newer: moved or called off, 1 are expected again."]
    assert not Attendee.objects.filter(event=newer, attendance_status="absent").exists()
