"""Many at once, with real connections. In pairs: without the guard the race happens, with it it doesn't."""

import threading
import time
from functools import partial

import pytest
from django.db import IntegrityError, connection, connections, transaction

from attendance.models import Attendee
from attendance.operations.room import EventFull
from config.errors import Busy, DomainError, translated
from events.models import Event
from requests.models import JoinRequest
from requests.operations import invitations, join_requests
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    InvitationLinkFactory,
    JoinRequestFactory,
    UserProfileFactory,
    member,
)
from tests.races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def kinds(results):
    """How often each outcome came: "changed", "unchanged", or the error's class."""
    found = {}
    for one in results:
        kind = type(one).__name__ if isinstance(one, Exception) else "changed" if one.changed else "unchanged"
        found[kind] = found.get(kind, 0) + 1
    return found


def seats(event):
    event.refresh_from_db()
    active = Attendee.objects.active().filter(event=event)
    assert event.seats_taken == sum(row.seats for row in active)
    return event.seats_taken


# -- One request, many approvals -----------------------------------------------------------------


def approve(request):
    return partial(join_requests.approve, request_id=request.pk, actor=None)


def unlocked(readers):
    """A plain read in place of the lock, and everybody has read before anybody writes."""
    everybody_has_read = threading.Barrier(readers)

    def read(model, pk):
        row = model.objects.select_related("event").get(pk=pk)
        everybody_has_read.wait(timeout=20)
        return row.event, row

    return read


def test_approve_without_the_lock_collides(event, monkeypatch):
    """Everybody sees 'pending' and says that they let the person in, unless the unique constraint refuses them."""
    request = JoinRequestFactory(event=event)
    monkeypatch.setattr(join_requests, "lock_with_event", unlocked(4))
    found = kinds(at_once(*[approve(request)] * 4))
    assert found["changed"] + found.get("ConstraintViolated", 0) == 4
    assert seats(event) == 1


def test_approve_twenty_times_at_once_lets_in_once(event):
    request = JoinRequestFactory(event=event)
    assert kinds(at_once(*[approve(request)] * 20)) == {"changed": 1, "unchanged": 19}
    assert Attendee.objects.get().join_request_id == request.pk
    assert seats(event) == 1
    assert request.history.count() == 2
    assert Attendee.history.count() == 1


# -- The last places -----------------------------------------------------------------------------


def test_last_places_by_bare_checks_overfill_without_the_trigger():
    """Check, then insert, with no lock and no trigger: eight people on one place."""
    event = EventFactory(capacity=1)
    everybody_has_read = threading.Barrier(8)

    def let_in_unguarded(person):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            room = Attendee.objects.active().filter(event=event).count() < 1
            everybody_has_read.wait(timeout=20)
            if room:
                AttendeeFactory(event=event, user_profile=person)

    at_once(*[partial(let_in_unguarded, one) for one in UserProfileFactory.create_batch(8)])
    assert Attendee.objects.count() == 8


def test_last_places_by_raw_inserts_stop_at_capacity():
    """The same without any lock of ours, but with the trigger and its CHECK."""
    event = EventFactory(capacity=3)
    people = UserProfileFactory.create_batch(20)
    results = at_once(*[partial(AttendeeFactory, event=event, user_profile=one) for one in people])
    refused = [one.__cause__.diag.constraint_name for one in results if isinstance(one, IntegrityError)]
    assert refused == ["events_event_seats_within_capacity"] * 17
    assert seats(event) == 3


def test_fifty_approvals_for_the_last_three_places():
    event = EventFactory(capacity=5)
    AttendeeFactory(event=event, plus_ones=1)
    requests = JoinRequestFactory.create_batch(50, event=event)
    results = at_once(*[approve(one) for one in requests])
    assert kinds(results) == {"changed": 3, "EventFull": 47}
    assert {str(one) for one in results if isinstance(one, EventFull)} == {
        "The event is full: 5 of 5 places taken; this request needs 1."
    }
    assert JoinRequest.objects.filter(status="approved").count() == 3
    assert not JoinRequest.objects.without_attendee().exists()
    assert seats(event) == 5


def test_parties_for_the_last_places_never_overfill():
    event = EventFactory(capacity=10)
    requests = [JoinRequestFactory(event=event, plus_ones=number % 4) for number in range(20)]
    at_once(*[approve(one) for one in requests])
    taken = seats(event)
    assert 7 <= taken <= 10
    waiting = JoinRequest.objects.pending().order_by("plus_ones").first()
    assert taken + 1 + waiting.plus_ones > 10


# -- Asking --------------------------------------------------------------------------------------


def test_asking_twice_by_bare_inserts_is_refused_by_the_database(event):
    person = UserProfileFactory()
    results = at_once(*[partial(JoinRequestFactory, event=event, user_profile=person)] * 2)
    [error] = [one for one in results if isinstance(one, IntegrityError)]
    assert error.__cause__.diag.constraint_name == "requests_joinrequest_once"


def test_asking_twice_at_once_makes_one_request(event):
    person = UserProfileFactory()
    results = at_once(*[partial(join_requests.send, event_id=event.pk, person=person)] * 10)
    assert kinds(results) == {"changed": 1, "unchanged": 9}
    assert {one.row.pk for one in results} == {JoinRequest.objects.get().pk}


def test_asking_at_once_where_it_approves_by_itself():
    event = EventFactory(capacity=3, approval_mode="auto")
    results = at_once(
        *[partial(join_requests.send, event_id=event.pk, person=one) for one in UserProfileFactory.create_batch(20)]
    )
    assert kinds(results) == {"changed": 20}
    assert JoinRequest.objects.filter(status="approved").count() == 3
    assert seats(event) == 3


# -- Against each other --------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(5))
def test_approve_against_cancel(event, attempt):
    """Either order is fine; the request and its attendee always agree."""
    request = JoinRequestFactory(event=event)
    approval, cancellation = at_once(
        approve(request), partial(join_requests.cancel, request_id=request.pk, actor=request.user_profile)
    )
    request.refresh_from_db()
    assert (request.status, cancellation.changed) == ("cancelled", True)
    if isinstance(approval, DomainError):
        assert str(approval) == "A request that is cancelled can't become approved."
        assert not Attendee.objects.exists()
    else:
        assert Attendee.objects.get().status == "removed"
    assert seats(event) == 0


def test_approve_against_cancel_written_by_hand_is_refused(event):
    """Two halves of one decision in two transactions: the database lets neither commit alone."""
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=None)

    def half(model, **fields):
        with transaction.atomic():
            model.objects.all().update(**fields)

    results = at_once(
        partial(half, Attendee, status="removed"),
        partial(half, JoinRequest, status="cancelled", decided_at=None),
    )
    assert [one.__cause__.diag.constraint_name for one in results] == ["requests_joinrequest_approved_has_attendee"] * 2


def test_leaving_and_asking_at_once_in_a_full_event_that_approves_by_itself():
    event = EventFactory(capacity=5, approval_mode="auto")
    inside = [join_requests.send(event_id=event.pk, person=one).row for one in UserProfileFactory.create_batch(5)]
    newcomers = UserProfileFactory.create_batch(10)
    results = at_once(
        *[partial(join_requests.cancel, request_id=one.pk, actor=None) for one in inside],
        *[partial(join_requests.send, event_id=event.pk, person=one) for one in newcomers],
    )
    assert kinds(results) == {"changed": 15}
    assert JoinRequest.objects.filter(status="approved").count() == 5
    assert JoinRequest.objects.filter(status="pending").count() == 5
    assert seats(event) == 5


def test_decisions_on_many_events_at_once_do_not_deadlock():
    events = EventFactory.create_batch(4, capacity=4)
    requests = [JoinRequestFactory(event=event) for event in events for _ in range(4)]
    assert kinds(at_once(*[approve(one) for one in requests])) == {"changed": 16}
    assert [seats(event) for event in events] == [4] * 4


# -- Links ---------------------------------------------------------------------------------------


def test_last_use_of_a_link_without_the_lock_reaches_the_database(event, monkeypatch):
    """Both see a valid link; what refuses the second is the CHECK, after their row was written."""
    link = InvitationLinkFactory(event=event, max_uses=1)
    monkeypatch.setattr(invitations, "lock_with_event", unlocked(2))
    people = UserProfileFactory.create_batch(2)
    results = at_once(*[partial(invitations.accept, token=link.token, person=one) for one in people])
    assert kinds(results) == {"changed": 1, "InvitationInvalid": 1}
    [refusal] = [one for one in results if isinstance(one, DomainError)]
    assert type(refusal.__cause__) is IntegrityError
    assert Attendee.objects.count() == 1


def test_last_use_of_a_link_lets_in_one(event):
    link = InvitationLinkFactory(event=event, max_uses=3, uses=2)
    people = UserProfileFactory.create_batch(8)
    results = at_once(*[partial(invitations.accept, token=link.token, person=one) for one in people])
    assert kinds(results) == {"changed": 1, "InvitationInvalid": 7}
    assert {one.__cause__ for one in results if isinstance(one, DomainError)} == {None}
    link.refresh_from_db()
    assert (link.uses, Attendee.objects.count(), seats(event)) == (3, 1, 1)


def test_one_person_accepting_twice_at_once_uses_the_link_once(event):
    link, person = InvitationLinkFactory(event=event, max_uses=5), UserProfileFactory()
    results = at_once(*[partial(invitations.accept, token=link.token, person=person)] * 5)
    assert kinds(results) == {"changed": 1, "unchanged": 4}
    link.refresh_from_db()
    assert link.uses == 1


# -- Busy ----------------------------------------------------------------------------------------


def holding(event, release):
    """Somebody else who keeps the event's lock."""
    held = threading.Event()

    def hold():
        try:
            with transaction.atomic():
                Event.objects.select_for_update().get(pk=event.pk)
                held.set()
                release.wait(timeout=20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(timeout=20)
    return thread


def test_a_lock_held_for_too_long_is_an_answer(event, as_person):
    request = JoinRequestFactory(event=event)
    api = as_person(member(event.organization, "organizer"))
    release = threading.Event()
    thread = holding(event, release)
    try:
        began = time.monotonic()
        response = api.patch(f"/api/v1/join-requests/{request.pk}/", {"status": "approved"})
        waited = time.monotonic() - began
    finally:
        release.set()
        thread.join()
    assert (response.status_code, response["Retry-After"]) == (409, "1")
    assert response.json() == {
        "type": "client_error",
        "errors": [
            {
                "code": "busy",
                "detail": "Somebody else is changing this right now. Try again in a moment.",
                "attr": None,
            }
        ],
    }
    assert 2.9 < waited < 10
    request.refresh_from_db()
    assert (request.status, Attendee.objects.count()) == ("pending", 0)
    assert api.patch(f"/api/v1/join-requests/{request.pk}/", {"status": "approved"}).status_code == 200


def test_reading_waits_for_no_lock(event, as_person):
    me = AttendeeFactory(event=event)
    release = threading.Event()
    thread = holding(event, release)
    try:
        api = as_person(me.user_profile)
        for address in (f"/api/v1/events/{event.pk}/", f"/api/v1/events/{event.pk}/attendees/"):
            assert api.get(address).status_code == 200
    finally:
        release.set()
        thread.join()


def test_a_deadlock_s_victim_is_busy(event):
    """Raw SQL that locks in the wrong order meets an operation; one of them is told to try again."""
    request = JoinRequestFactory(event=event)
    first_half = threading.Event()

    def wrong_order():
        with transaction.atomic():
            JoinRequest.objects.select_for_update().get(pk=request.pk)
            first_half.set()
            time.sleep(0.3)
            Event.objects.select_for_update().get(pk=event.pk)
        return "done"

    def operation():
        assert first_half.wait(timeout=20)
        return join_requests.approve(request_id=request.pk, actor=None)

    def by_hand():
        with translated():
            return wrong_order()

    results = at_once(by_hand, operation)
    errors = [one for one in results if isinstance(one, DomainError)]
    assert [type(one) for one in errors] == [Busy]
    request.refresh_from_db()
    assert JoinRequest.objects.without_attendee().count() == 0
    assert seats(event) == (1 if request.status == "approved" else 0)
