"""Many at once, with real connections. In pairs: without the guard the race happens, with it it doesn't."""

import threading
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from config.errors import Outcome
from messaging.models import MessageDelivery
from requests import integrity
from requests.models import (
    Intake,
    Mechanic,
    ServiceSession,
    ServiceSignal,
    SessionParticipant,
    SessionRequest,
    SessionRequestLog,
)
from requests.operations import intakes, mechanics, taking, talking, telling, tickets
from tests.config.postgres import held, waited_for
from tests.factories import MechanicFactory, UserProfileFactory, member, service_request
from tests.races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _nothing_is_out_of_order(transactional_db):
    """After each race: sessions and requests agree, the right people are in them, and each record is one chain."""
    yield
    for wrong in (integrity.without_request, integrity.disagreeing, integrity.with_others_in_it):
        assert not wrong().exists(), wrong.__name__
    now = dict(SessionRequest.objects.values_list("pk", "status"))
    stands = {}
    for step in SessionRequestLog.objects.order_by("pk"):
        was = stands.get(step.request_id, (None, None))
        assert (step.from_status, step.from_mechanic_id) == was
        stands[step.request_id] = (step.to_status, step.to_mechanic_id)
    assert {pk: status for pk, (status, _mechanic) in stands.items()} == now


def kinds(results):
    """How often each outcome came: "changed", "unchanged", or the error's class."""
    found = Counter()
    for one in results:
        done = isinstance(one, Outcome)
        found[("changed" if one.changed else "unchanged") if done else type(one).__name__] += 1
    return dict(found)


def status(request):
    return SessionRequest.objects.values_list("status", flat=True).get(pk=request.pk)


def accept(request, mechanic):
    return partial(taking.accept, request_id=request.pk, person=mechanic.user_profile)


def ask(event, person, **given):
    return partial(intakes.start_intake, **{"person": person, "event_id": event.pk, "concern": "Help"} | given)


def on_duty(event, count):
    return MechanicFactory.create_batch(count, organization=event.organization)


def told(person):
    rows = MessageDelivery.objects.filter(user=person, channel="in_app").order_by("pk")
    return list(rows.values_list("message__subject", flat=True))


# -- Accepting ---------------------------------------------------------------------------------------------


def test_accepting_by_bare_checks_gives_it_to_all(event):
    """Look, then write, with no lock and no trigger: everybody believes that it is theirs."""
    request, everybody = service_request(event), on_duty(event, 8)
    everybody_has_read = threading.Barrier(8)

    def take_unguarded(mechanic):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            free = SessionRequest.objects.open().filter(pk=request.pk)
            is_free = free.exists()
            everybody_has_read.wait(timeout=20)
            if is_free:
                taken = {"status": "accepted", "mechanic": mechanic, "accepted_at": timezone.now()}
                SessionRequest.objects.filter(pk=request.pk).update(**taken)
            return is_free

    assert at_once(*[partial(take_unguarded, one) for one in everybody]) == [True] * 8
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        SessionRequest.objects.update(status="pending", mechanic=None, accepted_at=None)


def test_fifty_accept_one_request_and_one_has_it(event):
    """Several times: one winner each, and every other is told who it was."""
    everybody = on_duty(event, 50)
    by_person = {one.pk: one for one in everybody}
    for round_number in range(3):
        request = service_request(event)
        results = at_once(*[accept(request, one) for one in everybody])
        assert kinds(results) == {"changed": 1, "AlreadyAccepted": 49}, round_number
        request = SessionRequest.objects.select_related("session").get(pk=request.pk)
        winner = by_person[request.mechanic_id]
        [won] = [one for one, result in zip(everybody, results, strict=True) if isinstance(result, Outcome)]
        assert won == winner
        words = {(str(one), one.details["accepted_by"]) for one in results if not isinstance(one, Outcome)}
        assert words == {(f"{winner} has accepted it already.", str(winner))}
        assert (request.session.mechanic_id, request.session.status) == (winner.pk, "live")
        inside = SessionParticipant.objects.filter(session=request.session).order_by("pk")
        assert list(inside.values_list("user_profile", flat=True)) == [request.customer_id, winner.user_profile_id]
        assert told(request.customer) == ["Somebody is here for you"]


def test_who_waited_for_the_row_reads_who_took_it(event):
    """Everybody has looked before anybody wrote: the name comes from after the wait."""
    request, everybody = service_request(event), on_duty(event, 5)
    with waited_for("SELECT FROM session_requests WHERE id = %s FOR UPDATE", [request.pk], by=5):
        results = at_once(*[accept(request, one) for one in everybody])
    winner = SessionRequest.objects.get().mechanic
    assert kinds(results) == {"changed": 1, "AlreadyAccepted": 4}
    assert {one.details["accepted_by"] for one in results if not isinstance(one, Outcome)} == {str(winner)}


def test_each_of_many_requests_is_taken_once(event):
    requests, everybody = [service_request(event) for _number in range(4)], on_duty(event, 6)
    results = at_once(*[accept(request, one) for one in everybody for request in requests])
    assert kinds(results) == {"changed": 4, "AlreadyAccepted": 20}


def test_the_same_twice_is_once(event):
    request, [mechanic] = service_request(event), on_duty(event, 1)
    assert kinds(at_once(*[accept(request, mechanic)] * 8)) == {"changed": 1, "unchanged": 7}
    assert told(request.customer) == ["Somebody is here for you"]


def test_accept_and_cancel(event):
    """Whichever comes first; the customer has the last word, and the mechanic knows."""
    [mechanic] = on_duty(event, 1)
    for _round in range(4):
        request = service_request(event)
        accepted, cancelled = at_once(
            accept(request, mechanic), partial(taking.cancel, request_id=request.pk, actor=request.customer)
        )
        assert isinstance(cancelled, Outcome)
        assert status(request) == "cancelled"
        assert isinstance(accepted, (Outcome, taking.RequestClosed))
        assert ("A request was cancelled" in told(mechanic.user_profile)[-1:]) == isinstance(accepted, Outcome)
        MessageDelivery.objects.all().delete()


def test_accept_and_off_duty(event):
    """Whoever goes keeps nothing that they took in the same moment."""
    [mechanic] = on_duty(event, 1)
    for _round in range(4):
        request = service_request(event)
        accepted, gone = at_once(
            accept(request, mechanic),
            partial(mechanics.set_duty, mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile),
        )
        assert gone.changed is True
        assert isinstance(accepted, (Outcome, taking.OffDuty))
        assert status(request) == "pending"
        taking.cancel(request_id=request.pk, actor=request.customer)
        mechanics.set_duty(mechanic_id=mechanic.pk, on=True, actor=mechanic.user_profile)


def test_two_organisers_take_over_for_two_mechanics(event):
    one, other = (member(event.organization, "organizer") for _number in range(2))
    first, second, third = on_duty(event, 3)
    request = service_request(event, mechanic=first)
    give = {"request_id": request.pk}
    results = at_once(
        partial(taking.takeover, mechanic_id=second.pk, actor=one, **give),
        partial(taking.takeover, mechanic_id=third.pk, actor=other, **give),
    )
    assert kinds(results) == {"changed": 2}
    assert SessionRequest.objects.get().mechanic in (second, third)
    assert SessionParticipant.objects.filter(left_at=None).count() == 2


# -- Asking ------------------------------------------------------------------------------------------------


def test_a_second_open_request_by_bare_inserts_is_refused(event):
    """What the turn of a customer spares everybody else, the database refuses."""
    person = UserProfileFactory()
    everybody_is_here = threading.Barrier(4)

    def file_unguarded():
        with transaction.atomic():
            session = ServiceSession.objects.create(organization=event.organization, event=event, customer=person)
            everybody_is_here.wait(timeout=20)
            return SessionRequest.objects.create(session=session, customer=person, organization=event.organization)

    results = at_once(*[file_unguarded] * 4)
    refused = [one.__cause__.diag.constraint_name for one in results if isinstance(one, IntegrityError)]
    assert refused == ["requests_sessionrequest_one_open"] * 3
    assert ServiceSession.objects.count() == 1


def test_forty_customers_file_twice_each_with_one_key(event):
    people = UserProfileFactory.create_batch(40)
    results = at_once(*[ask(event, one, key="k") for one in people * 2])
    assert kinds(results) == {"changed": 40, "unchanged": 40}
    for number, _person in enumerate(people):
        assert results[number].row == results[number + 40].row
    for model in (Intake, ServiceSession, SessionRequest, SessionRequestLog, SessionParticipant):
        assert model.objects.count() == 40
    assert set(SessionRequest.objects.values_list("status", flat=True)) == {"pending"}


def test_a_customer_files_twice_with_two_keys(event):
    """The later replaces the earlier, whichever that is; nothing is half there."""
    for _round in range(3):
        person = UserProfileFactory()
        results = at_once(*[ask(event, person, key=key) for key in "abcd"])
        assert kinds(results) == {"changed": 4}
        found = SessionRequest.objects.filter(customer=person).values_list("status", flat=True)
        assert Counter(found) == {"pending": 1, "cancelled": 3}


def test_asking_anew_while_the_older_one_is_accepted(event):
    [mechanic] = on_duty(event, 1)
    for _round in range(4):
        older = service_request(event)
        accepted, newer = at_once(accept(older, mechanic), ask(event, older.customer))
        assert newer.changed is True
        assert status(older) == ("accepted" if isinstance(accepted, Outcome) else "cancelled")
        assert status(newer.row) == "pending"


def test_asking_anew_while_the_older_one_is_given_back(event):
    """Never two that wait, never a mechanic who can't let go."""
    [mechanic] = on_duty(event, 1)
    for _round in range(4):
        older = service_request(event, mechanic=mechanic)
        results = at_once(
            partial(taking.release, request_id=older.pk, actor=mechanic.user_profile), ask(event, older.customer)
        )
        assert kinds(results) == {"changed": 2}
        assert (status(older), status(results[1].row)) == ("cancelled", "pending")


def test_two_mechanics_of_the_same_customers_go_at_once(event):
    """Each has something of each customer, in another order; one may have to try again, and nothing is lost."""
    first, second = on_duty(event, 2)
    people = UserProfileFactory.create_batch(3)
    for mechanic, order in ((first, people), (second, people[::-1])):
        for person in order:
            service_request(event, customer=person, mechanic=mechanic)
    results = at_once(
        *[partial(mechanics.set_duty, mechanic_id=one.pk, on=False, actor=one.user_profile) for one in (first, second)]
    )
    assert kinds(results) == {"changed": 2}
    assert Counter(SessionRequest.objects.values_list("status", flat=True)) == {"pending": 3, "cancelled": 3}


# -- Giving back and ending ----------------------------------------------------------------------------------


def test_release_and_the_idle_sweep(event):
    [mechanic] = on_duty(event, 1)
    for _round in range(3):
        request = service_request(event, mechanic=mechanic)
        later = timezone.now() + 16 * MINUTE
        released, swept = at_once(
            partial(taking.release, request_id=request.pk, actor=mechanic.user_profile),
            partial(taking.return_idle, at=later),
        )
        assert (isinstance(released, Outcome), swept) in ((True, 0), (False, 1))
        assert isinstance(released, (Outcome, taking.NotYours))
        assert status(request) == "pending"
        assert told(request.customer) == ["Somebody is here for you", "We are looking for somebody else"]


def test_whoever_says_something_while_the_sweep_waits_keeps_it(event):
    [mechanic] = on_duty(event, 1)
    request = service_request(event, mechanic=mechanic)
    ServiceSession.objects.update(last_activity_at=timezone.now() - 16 * MINUTE)
    saying = "UPDATE service_sessions SET last_activity_at = now() WHERE id = %s"
    with waited_for(saying, [request.session_id]):
        assert taking.return_idle() == 0
    assert status(request) == "accepted"
    ServiceSession.objects.update(last_activity_at=timezone.now() - 11 * MINUTE)
    with waited_for(saying, [request.session_id]):
        assert taking.remind_idle() == 0
    assert told(mechanic.user_profile) == []


def test_complete_and_cancel(event):
    [mechanic] = on_duty(event, 1)
    for _round in range(4):
        request = service_request(event, mechanic=mechanic)
        results = at_once(
            partial(taking.complete, request_id=request.pk, actor=mechanic.user_profile),
            partial(taking.cancel, request_id=request.pk, actor=request.customer),
        )
        assert kinds(results) == {"changed": 1, "RequestClosed": 1}
        assert status(request) == ("completed" if isinstance(results[0], Outcome) else "cancelled")


def test_complete_twice_at_once(event):
    [mechanic] = on_duty(event, 1)
    request = service_request(event, mechanic=mechanic)
    complete = partial(taking.complete, request_id=request.pk, actor=mechanic.user_profile)
    assert kinds(at_once(*[complete] * 6)) == {"changed": 1, "unchanged": 5}
    assert told(request.customer) == ["Somebody is here for you", "Your request is done"]


def test_a_message_and_the_end(event):
    """Said in time, or refused; never said in what is over."""
    [mechanic] = on_duty(event, 1)
    for _round in range(3):
        request = service_request(event, mechanic=mechanic)
        said, done = at_once(
            partial(talking.say, session_id=request.session_id, person=request.customer, body="Wait"),
            partial(taking.complete, request_id=request.pk, actor=mechanic.user_profile),
        )
        assert done.changed is True
        session = ServiceSession.objects.get(pk=request.session_id)
        assert session.messages.count() == (0 if isinstance(said, talking.SessionOver) else 1)
        assert not session.messages.filter(created_at__gt=session.ended_at).exists()


# -- Sweeps ------------------------------------------------------------------------------------------------


def test_several_sweeps_at_once_do_everything_once(event):
    everybody, organizer = on_duty(event, 3), member(event.organization, "organizer")
    waiting = [service_request(event) for _number in range(4)]
    idle = [service_request(event, mechanic=everybody[0]) for _number in range(3)]
    later = timezone.now() + 16 * MINUTE

    def sweep():
        return taking.mark_unattended(at=later), taking.return_idle(at=later), telling.tell_waiting(at=later)

    rounds = at_once(*[sweep] * 4)
    assert sum(marked for marked, _returned, _told in rounds) == 4
    assert sum(returned for _marked, returned, _told in rounds) == 3
    telling.tell_waiting(at=later)
    for one in everybody[1:]:
        assert len(told(one.user_profile)) == 7
    assert told(everybody[0].user_profile).count("A request went back to the line") == 3
    assert told(organizer) == ["Nobody takes a service request"] * 4
    assert SessionRequestLog.objects.filter(to_status="unattended").count() == 4
    assert {status(one) for one in waiting} == {"unattended"} and {status(one) for one in idle} == {"pending"}


def test_accept_and_the_sweep_that_marks(event):
    [mechanic] = on_duty(event, 1)
    for _round in range(3):
        request = service_request(event)
        accepted, marked = at_once(
            accept(request, mechanic), partial(taking.mark_unattended, at=timezone.now() + 11 * MINUTE)
        )
        assert accepted.changed is True
        assert status(request) == "accepted"
        assert SessionRequestLog.objects.filter(request=request, to_status="unattended").count() == marked


def test_what_somebody_writes_in_is_marked_the_next_time(event):
    """A hundred are marked at once: none of them waits for a session, with the others waiting for it in turn."""
    requests = [service_request(event) for _number in range(5)]
    later = timezone.now() + 11 * MINUTE
    with held("SELECT FROM service_sessions WHERE id = %s FOR NO KEY UPDATE", requests[2].session_id):
        assert taking.mark_unattended(at=later) == 4
    assert [status(one) for one in requests] == ["unattended"] * 2 + ["pending"] + ["unattended"] * 2
    assert taking.mark_unattended(at=later) == 1


ENDS = """
    WITH session AS (UPDATE service_sessions SET status = 'cancelled' WHERE id = %s)
    UPDATE session_requests SET status = 'cancelled' WHERE session_id = %s
"""


def test_nobody_writes_in_what_ends_at_that_moment(event):
    """By raw SQL, which asks for no lock of its own."""
    request = service_request(event)
    insert = "INSERT INTO service_session_messages (session_id, author_id, body) VALUES (%s, %s, 'Hello')"
    ends = waited_for(ENDS, [request.session_id] * 2)
    with ends, connection.cursor() as cursor, pytest.raises(IntegrityError) as refused:
        cursor.execute(insert, [request.session_id, request.customer_id])
    assert refused.value.__cause__.diag.constraint_name == "requests_sessionmessage_while_open"


# -- What screens read ---------------------------------------------------------------------------------------


def test_a_signal_comes_when_its_transaction_does(event):
    """Who began first and commits last has the later number: whoever has read up to the other misses nothing."""
    first, second = (service_request(event) for _number in range(2))
    ServiceSignal.objects.all().delete()
    urgent = "UPDATE session_requests SET urgent = true WHERE id = %s"
    began, may_commit = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(urgent, [first.pk])
            began.set()
            may_commit.wait(timeout=20)

    def quick():
        began.wait(timeout=20)
        with connection.cursor() as cursor:
            cursor.execute(urgent, [second.pk])
        seen = list(ServiceSignal.objects.values_list("session", flat=True))
        may_commit.set()
        return seen

    assert at_once(slow, quick)[1] == [second.session_id]
    assert list(ServiceSignal.objects.order_by("pk").values_list("session", flat=True)) == [
        second.session_id,
        first.session_id,
    ]


def test_whoever_reads_on_and_on_misses_no_signal(event):
    requests = [service_request(event) for _number in range(6)]
    last = ServiceSignal.objects.latest("pk").pk
    writing = [len(requests)]
    lock = threading.Lock()

    def write(request):
        for number in range(15):
            SessionRequest.objects.filter(pk=request.pk).update(urgent=number % 2 == 0)
        with lock:
            writing[0] -= 1

    def read():
        seen, upto, done = [], last, False
        while not done:
            done = writing[0] == 0
            new = list(ServiceSignal.objects.filter(pk__gt=upto).order_by("pk").values_list("pk", flat=True))
            seen += new
            upto = new[-1] if new else upto
        return seen

    *_writers, seen = at_once(*[partial(write, one) for one in requests], read)
    everything = list(ServiceSignal.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True))
    assert (len(everything), seen) == (90, everything)


def test_a_ticket_lets_one_of_many_in(event):
    person = UserProfileFactory()
    ticket = tickets.issue(person=person)
    results = at_once(*[partial(tickets.redeem, ticket=ticket)] * 10)
    assert sorted(results, key=str) == [person.pk, *[None] * 9]


def test_going_on_duty_twice_at_once(event):
    mechanic = MechanicFactory(organization=event.organization, on_duty=False)
    on = partial(mechanics.set_duty, mechanic_id=mechanic.pk, on=True, actor=mechanic.user_profile)
    assert kinds(at_once(*[on] * 6)) == {"changed": 1, "unchanged": 5}
    assert (Mechanic.objects.get().on_duty, Mechanic.history.count()) == (True, 2)
