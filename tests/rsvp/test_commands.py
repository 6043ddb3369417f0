"""manage.py hand_on_seats."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from rsvp.models import WaitlistEntry
from tests.config.postgres import held
from tests.factories import SessionFactory, SessionRsvpFactory, WaitlistEntryFactory

pytestmark = pytest.mark.django_db


def run(*arguments):
    out, errors = io.StringIO(), io.StringIO()
    call_command("hand_on_seats", *arguments, stdout=out, stderr=errors)
    return out.getvalue().splitlines(), errors.getvalue().splitlines()


def free(**fields):
    """A session with a free seat that nobody handed on, and one who waits for it."""
    session = SessionFactory(capacity=1, **fields)
    return WaitlistEntryFactory(session=session)


def statuses():
    return list(WaitlistEntry.objects.order_by("pk").values_list("status", flat=True))


def test_hand_on_seats_says_how_many_got_one(event):
    free(event=event)
    passed = timezone.now() - timedelta(minutes=5)
    WaitlistEntryFactory(
        session=SessionFactory(capacity=1),
        status="offered",
        offered_at=passed,
        told_at=passed,
        offer_expires_at=passed,
        offers_made=3,
    )
    full = SessionFactory(capacity=1)
    SessionRsvpFactory(session=full)
    WaitlistEntryFactory(session=full)
    assert run() == (["1 got a seat or an offer; 1 are waiting."], [])
    assert statuses() == ["offered", "expired", "waiting"]
    assert run() == (["0 got a seat or an offer; 1 are waiting."], [])


def test_hand_on_seats_of_one_event(event):
    mine, other = free(event=event, title="Mine"), free()
    assert run("--event", str(event.pk)) == (["Mine: 1", "1 got a seat or an offer; 1 are waiting."], [])
    mine.refresh_from_db()
    other.refresh_from_db()
    assert (mine.status, other.status) == ("offered", "waiting")


def test_hand_on_seats_of_an_event_that_is_not(event):
    with pytest.raises(CommandError, match="There is no event 4711."):
        run("--event", "4711")


@pytest.mark.django_db(transaction=True)
def test_hand_on_seats_goes_on_where_somebody_is_at_a_session(event):
    first, second = free(event=event, title="First"), free(event=event, title="Second")
    with held("SELECT FROM event_sessions WHERE id = %s FOR UPDATE", first.session_id):
        assert run()[0] == ["1 got a seat or an offer; 1 are waiting."]
        WaitlistEntry.objects.filter(pk=second.pk).update(status="declined")
        with pytest.raises(CommandError, match="1 sessions could not be looked after; start again."):
            run("--event", str(event.pk))
    assert run("--event", str(event.pk))[0] == ["First: 1", "1 got a seat or an offer; 0 are waiting."]
