"""Asking for help and giving it: what each act does, to whom, and what it refuses, with nothing changed by that."""

from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from attendance.operations import room
from config.api import KeyReused
from config.errors import NotAllowed, NotFound
from events.models import Event, UserProfile
from messaging.models import MessageDelivery
from requests.models import (
    Ban,
    Intake,
    Mechanic,
    ServiceSession,
    ServiceSettings,
    ServiceSignal,
    SessionMessage,
    SessionParticipant,
    SessionRequest,
    SessionRequestLog,
    StreamTicket,
)
from requests.operations import intakes, mechanics, taking, talking, telling, tickets
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    JoinRequestFactory,
    MechanicFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
    service_request,
)

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def at_commit():
    """What the database looks at only then."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture(autouse=True)
def _every_test_could_commit(db):
    yield
    at_commit()


def everything():
    found = {}
    with connection.cursor() as cursor:
        for table in (
            "intakes", "service_sessions", "service_session_participants", "service_session_messages",
            "session_requests", "session_request_log", "mechanics", "requests_historicalmechanic", "stream_tickets",
            "event_messages", "message_deliveries", "user_profiles", "idempotency_keys",
        ):  # fmt: skip
            cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
            found[table] = cursor.fetchall()
    return found


@contextmanager
def refused(error, words=None, **facts):
    """Exactly this error, in these words and with these facts, and nothing is changed."""
    before = everything()
    with pytest.raises(error) as caught:
        yield
    assert type(caught.value) is error
    assert words is None or str(caught.value) == words
    assert caught.value.details == facts
    assert everything() == before


def told(person):
    rows = MessageDelivery.objects.filter(user=person, channel="in_app").order_by("pk")
    return list(rows.values_list("message__subject", flat=True))


def steps(request):
    rows = SessionRequestLog.objects.filter(request=request).order_by("pk")
    return [(one.from_status, one.to_status, one.reason, one.actor_id) for one in rows]


def both(request):
    """As the database has them: (status of the request, of the session, the mechanic of both)."""
    request = SessionRequest.objects.select_related("session").get(pk=request.pk)
    assert request.mechanic_id == request.session.mechanic_id
    return request.status, request.session.status, request.mechanic_id


def inside(request):
    rows = SessionParticipant.objects.filter(session=request.session_id, left_at=None).order_by("pk")
    return list(rows.values_list("user_profile", flat=True))


@pytest.fixture
def customer():
    return UserProfileFactory(first_name="Ada", last_name="Lovelace", email="ada@example.org")


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization, display_name="Grace")


@pytest.fixture
def other(event):
    return MechanicFactory(organization=event.organization, display_name="Linus")


@pytest.fixture
def pending(event):
    return service_request(event)


@pytest.fixture
def accepted(event, mechanic):
    return service_request(event, mechanic=mechanic)


def ask(person, event=None, **given):
    return intakes.start_intake(person=person, event_id=event and event.pk, **{"concern": "My chain."} | given)


# -- Asking ------------------------------------------------------------------------------------------------


def test_an_intake_makes_all_four(event, customer):
    given = {"urgent": True, "skill": " Brakes ", "plan": "gold", "session_type": "video", "details": {"bike": "red"}}
    made = ask(customer, event, concern="It does not stop.", **given)
    at_commit()
    assert made.changed is True
    request = SessionRequest.objects.select_related("session__intake").get()
    session, intake = request.session, request.session.intake
    assert made.row == request
    for one in (request, session, intake):
        assert (one.organization_id, one.event_id, one.customer_id) == (event.organization_id, event.pk, customer.pk)
    assert (intake.concern, intake.urgent, intake.skill, intake.plan) == ("It does not stop.", True, "brakes", "gold")
    assert (intake.details, intake.idempotency_key) == ({"bike": "red"}, None)
    assert (session.status, session.type, session.plan, session.mechanic) == ("pending", "video", "gold", None)
    assert (request.status, request.session_type, request.plan_code) == ("pending", "video", "gold")
    assert (request.urgent, request.skill, request.notes) == (True, "brakes", "It does not stop.")
    assert (request.customer_name, request.customer_email) == ("Ada Lovelace", "ada@example.org")
    assert (request.metadata, request.accepted_at, request.notification_sent_at) == ({}, None, None)
    assert inside(request) == [customer.pk]
    assert steps(request) == [(None, "pending", "asked", customer.pk)]
    assert list(ServiceSignal.objects.values_list("kind", "session")) == [("request", session.pk)]


def test_asking_again_cancels_what_waits_and_leaves_what_is_accepted(event, customer, mechanic):
    helped = service_request(event, customer=customer, mechanic=mechanic)
    first = ask(customer, event).row
    at_commit()
    SessionRequest.objects.filter(pk=first.pk).update(status="unattended")
    second = ask(customer, event, concern="Something else").row
    at_commit()
    assert both(helped) == ("accepted", "live", mechanic.pk)
    assert both(first) == ("cancelled", "cancelled", None)
    assert both(second) == ("pending", "pending", None)
    assert steps(first)[-1] == ("unattended", "cancelled", "replaced", customer.pk)
    assert SessionRequest.objects.get(pk=first.pk).closed_at is not None


def test_a_key_used_again_gives_what_it_made(event, customer):
    first = ask(customer, event, key="k", details={"a": [1, {"b": None}]})
    before = everything()
    again = ask(customer, event, key="k", details={"a": [1, {"b": None}]})
    assert (again.row, again.changed) == (first.row, False)
    assert everything() == before
    assert ask(UserProfileFactory(), event, key="k").changed is True
    taking.cancel(request_id=first.row.pk, actor=customer)
    again = ask(customer, event, key="k", details={"a": [1, {"b": None}]})
    assert (again.row.pk, again.row.status, again.changed) == (first.row.pk, "cancelled", False)


def test_a_key_is_kept_for_a_day(event, customer):
    first = ask(customer, event, key="k")
    taking.cancel(request_id=first.row.pk, actor=customer)
    Intake.objects.update(created_at=timezone.now() - timedelta(hours=25))
    again = ask(customer, event, key="k")
    assert (again.changed, again.row.status) == (True, "pending")
    assert list(Intake.objects.order_by("created_at").values_list("idempotency_key", flat=True)) == [None, "k"]
    assert ask(customer, event, key="k").row == again.row


@pytest.mark.parametrize(
    "another",
    [
        {"concern": "Another"},
        {"urgent": True},
        {"skill": "brakes"},
        {"plan": "gold"},
        {"details": {"a": 1}},
        {"session_type": "video"},
        {"event_id": None},
        {"organization_id": 0},
    ],
)
def test_a_key_used_for_something_else_is_refused(event, customer, another):
    given = {"person": customer, "event_id": event.pk, "concern": "My chain.", "key": "k"}
    MechanicFactory(organization=event.organization)
    intakes.start_intake(**given)
    if "organization_id" in another:
        another = {"organization_id": OrganizationFactory().pk}
    with refused(KeyReused):
        intakes.start_intake(**given | another)


@pytest.mark.parametrize(("status", "why"), [("completed", "it is over"), ("cancelled", "it was cancelled")])
def test_nobody_asks_at_an_event_that_is_closed(event, customer, status, why):
    AttendeeFactory(event=event, user_profile=customer)
    Event.objects.filter(pk=event.pk).update(status=status)
    with refused(room.ClosedToGuests):
        ask(customer, event)


def test_nobody_asks_at_an_event_that_they_do_not_see_or_are_banned_from(event, customer):
    hidden, draft = EventFactory(visibility="private"), EventFactory(status="draft")
    for one in (hidden.pk, draft.pk, 10**9):
        with refused(NotFound):
            intakes.start_intake(person=customer, event_id=one, concern="")
    Ban.objects.create(event=event, user_profile=customer)
    with refused(room.YouAreBanned):
        ask(customer, event)


def test_who_is_deactivated_asks_nothing(event, customer):
    UserProfile.objects.update(is_active=False)
    with refused(NotFound):
        ask(customer, event)


def test_skills_and_plans_are_those_that_the_organisation_has(event, customer):
    ServiceSettings.objects.create(organization=event.organization, skills=["brakes", "gears"], plans=["gold"])
    with refused(
        intakes.UnknownSkill, "Nobody here knows about “tea”. Choose one of: brakes, gears.", known="brakes, gears"
    ):
        ask(customer, event, skill="Tea")
    with refused(intakes.UnknownPlan, "There is no plan “tin” here. Choose one of: gold.", known="gold"):
        ask(customer, event, plan="tin")
    assert ask(customer, event, skill="GEARS", plan="gold").row.skill == "gears"
    assert ask(customer, event).changed is True


def test_a_text_that_is_too_long_is_refused(event, customer):
    with refused(intakes.TooLong, "At most 4,000 characters can be said about it."):
        ask(customer, event, concern="x" * 4001)
    assert ask(customer, event, concern="ü" * 4000).changed is True


# -- Asking an organisation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tie", ["attends", "asked", "works"])
def test_without_an_event_the_only_organisation_is_meant(event, customer, mechanic, tie):
    if tie == "attends":
        AttendeeFactory(event=event, user_profile=customer)
    elif tie == "asked":
        JoinRequestFactory(event=event, user_profile=customer)
    else:
        event.organization.memberships.create(user_profile=customer, role="door")
    assert list(intakes.helping(customer)) == [event.organization]
    request = ask(customer).row
    assert (request.organization_id, request.event_id) == (event.organization_id, None)


def test_with_several_organisations_one_has_to_be_said(event, customer, mechanic):
    elsewhere = EventFactory()
    MechanicFactory(organization=elsewhere.organization)
    for one in (event, elsewhere):
        AttendeeFactory(event=one, user_profile=customer)
    with refused(intakes.OrganizationNeeded):
        ask(customer)
    request = ask(customer, organization_id=elsewhere.organization_id).row
    assert (request.organization_id, request.event_id) == (elsewhere.organization_id, None)


def test_organisations_that_help_nobody_are_not_asked(event, customer):
    """Nobody of theirs serves more than events; or whoever did has stopped; or the person has nothing to do with it."""
    AttendeeFactory(event=event, user_profile=customer)
    MechanicFactory(organization=event.organization, serves_all=False)
    MechanicFactory(organization=event.organization, active=False, on_duty=False)
    stranger = MechanicFactory().organization
    assert list(intakes.helping(customer)) == []
    with refused(intakes.OrganizationNeeded):
        ask(customer)
    for one in (event.organization, stranger):
        with refused(NotFound):
            ask(customer, organization_id=one.pk)


def test_settings_are_the_defaults_until_there_are_some(event):
    assert intakes.settings_of(event.organization).idle_after == 15 * MINUTE
    ServiceSettings.objects.create(organization=event.organization, idle_after=MINUTE)
    assert intakes.settings_of(event.organization).idle_after == MINUTE


# -- The line ----------------------------------------------------------------------------------------------


def test_the_line_is_unattended_then_urgent_then_oldest(event, mechanic):
    old, young, urgent, gone = (service_request(event, urgent=number == 2) for number in range(4))
    SessionRequest.objects.filter(pk=gone.pk).update(status="unattended")
    elsewhere = service_request(EventFactory())
    line = [gone, urgent, old, young]
    assert list(SessionRequest.objects.open().in_line().exclude(pk=elsewhere.pk)) == line
    assert [intakes.place_in_line(one) for one in line] == [1, 2, 3, 4]
    assert intakes.place_in_line(elsewhere) == 1
    taking.accept(request_id=urgent.pk, person=mechanic.user_profile)
    assert [intakes.place_in_line(one) for one in line] == [1, None, 2, 3]
    taking.release(request_id=urgent.pk, actor=mechanic.user_profile)
    assert [intakes.place_in_line(one) for one in line] == [1, 2, 3, 4]


def test_on_duty_counts_who_could_take_it(event, mechanic):
    assert intakes.on_duty(event.organization_id, event.pk) == 1
    only = MechanicFactory(organization=event.organization, serves_all=False)
    assert intakes.on_duty(event.organization_id, event.pk) == 1
    only.events.add(event)
    MechanicFactory()
    MechanicFactory(organization=event.organization, on_duty=False)
    MechanicFactory(organization=event.organization, user_profile__is_active=False)
    assert intakes.on_duty(event.organization_id, event.pk) == 2
    assert intakes.on_duty(event.organization_id, None) == 1


# -- Who sees a request, and who may take it -----------------------------------------------------------------


def test_who_sees_a_request(event, pending, mechanic, other, organizer):
    elsewhere, only = MechanicFactory(), MechanicFactory(organization=event.organization, serves_all=False)
    off = MechanicFactory(organization=event.organization, on_duty=False)
    viewer, door = member(event.organization, "viewer"), member(event.organization, "door")
    admin, gone = UserProfileFactory(is_superuser=True), member(event.organization, "owner", is_active=False)

    def sees(person):
        return SessionRequest.objects.seen_by(person.pk).filter(pk=pending.pk).exists()

    people = [mechanic.user_profile, organizer, viewer, admin, pending.customer]
    nobody = [elsewhere.user_profile, only.user_profile, off.user_profile, door, gone, UserProfileFactory()]
    assert [sees(one) for one in people] == [True] * 5
    assert [sees(one) for one in nobody] == [False] * 6
    only.events.add(event)
    assert sees(only.user_profile)
    taking.accept(request_id=pending.pk, person=mechanic.user_profile)
    assert [sees(one) for one in people] == [True] * 5
    assert not sees(only.user_profile) and not sees(other.user_profile)
    taking.complete(request_id=pending.pk, actor=mechanic.user_profile)
    assert sees(mechanic.user_profile) and not sees(other.user_profile)


def test_off_duty_one_sees_only_ones_own(event, pending, mechanic):
    mine = service_request(event, customer=mechanic.user_profile)

    def theirs():
        return set(SessionRequest.objects.seen_by(mechanic.user_profile_id))

    assert theirs() == {pending, mine}
    SessionRequest.objects.filter(pk=pending.pk).update(status="unattended")
    assert theirs() == {pending, mine}
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)
    assert theirs() == {mine}


# -- Accepting ---------------------------------------------------------------------------------------------


def test_accepting_starts_the_session(pending, mechanic):
    done = taking.accept(request_id=pending.pk, person=mechanic.user_profile)
    at_commit()
    assert (done.changed, done.row.status, done.row.mechanic) == (True, "accepted", mechanic)
    assert both(pending) == ("accepted", "live", mechanic.pk)
    request = SessionRequest.objects.select_related("session").get(pk=pending.pk)
    assert request.accepted_at == request.first_accepted_at == request.session.started_at
    assert request.session.last_activity_at == request.accepted_at
    assert inside(pending) == [pending.customer_id, mechanic.user_profile_id]
    assert steps(pending)[-1] == ("pending", "accepted", "accepted", mechanic.user_profile_id)
    assert told(pending.customer) == ["Somebody is here for you"]
    assert told(mechanic.user_profile) == []


def test_what_is_unattended_can_be_accepted(pending, mechanic):
    SessionRequest.objects.update(status="unattended")
    taking.accept(request_id=pending.pk, person=mechanic.user_profile)
    assert both(pending) == ("accepted", "live", mechanic.pk)


def test_accepting_one_s_own_again_changes_nothing(accepted, mechanic):
    before = everything()
    done = taking.accept(request_id=accepted.pk, person=mechanic.user_profile)
    assert (done.changed, done.row) == (False, accepted)
    assert everything() == before


def test_the_second_hears_who_was_first(accepted, other):
    with refused(taking.AlreadyAccepted, "Grace has accepted it already.", accepted_by="Grace"):
        taking.accept(request_id=accepted.pk, person=other.user_profile)


def test_who_is_off_duty_or_serves_something_else_does_not_accept(event, pending, other):
    off = MechanicFactory(organization=event.organization, display_name="Off", on_duty=False)
    with refused(taking.OffDuty, "Off is off duty."):
        taking.accept(request_id=pending.pk, person=off.user_profile)
    elsewhere = MechanicFactory(organization=event.organization, display_name="Else", serves_all=False)
    elsewhere.events.add(EventFactory(organization=event.organization))
    with refused(taking.NotServing, "This request is of an event that Else does not serve."):
        taking.accept(request_id=pending.pk, person=elsewhere.user_profile)
    elsewhere.events.add(event)
    taking.accept(request_id=pending.pk, person=elsewhere.user_profile)


def test_one_of_an_event_takes_nothing_that_belongs_to_none(event, customer, mechanic):
    AttendeeFactory(event=event, user_profile=customer)
    request = ask(customer).row
    only = MechanicFactory(organization=event.organization, serves_all=False)
    only.events.add(event)
    with refused(taking.NotServing):
        taking.accept(request_id=request.pk, person=only.user_profile)


def test_who_is_no_mechanic_there_does_not_accept(event, pending, organizer):
    """Whoever may not even see it learns nothing."""
    inactive = MechanicFactory(organization=event.organization, on_duty=False, active=False)
    for person in (UserProfileFactory(), MechanicFactory().user_profile, inactive.user_profile):
        with refused(NotFound):
            taking.accept(request_id=pending.pk, person=person)
    for person in (organizer, pending.customer, UserProfileFactory(is_superuser=True)):
        with refused(NotAllowed):
            taking.accept(request_id=pending.pk, person=person)
    with refused(NotFound):
        taking.accept(request_id=uuid4(), person=organizer)


def test_nobody_accepts_their_own(event, mechanic):
    own = service_request(event, customer=mechanic.user_profile)
    with refused(taking.OwnRequest):
        taking.accept(request_id=own.pk, person=mechanic.user_profile)


@pytest.mark.parametrize("status", ["cancelled", "done"])
def test_what_is_over_is_not_accepted(accepted, mechanic, other, status):
    act = taking.cancel if status == "cancelled" else taking.complete
    act(request_id=accepted.pk, actor=accepted.customer if status == "cancelled" else mechanic.user_profile)
    for one in (mechanic, other):
        with refused(taking.RequestClosed, f"This request is {status}.", status=status):
            taking.accept(request_id=accepted.pk, person=one.user_profile)


# -- Taking over -------------------------------------------------------------------------------------------


def test_an_organiser_gives_what_waits_to_somebody(pending, mechanic, organizer):
    taking.takeover(request_id=pending.pk, mechanic_id=mechanic.pk, actor=organizer)
    at_commit()
    assert both(pending) == ("accepted", "live", mechanic.pk)
    assert steps(pending)[-1] == ("pending", "accepted", "takeover", organizer.pk)
    assert told(mechanic.user_profile) == ["A request was given to you"]
    assert told(pending.customer) == ["Somebody is here for you"]


def test_an_organiser_gives_what_somebody_has_to_another(event, mechanic, other, organizer):
    request = service_request(event, mechanic=mechanic, session_type="video")
    talking.set_place(session_id=request.session_id, person=mechanic.user_profile, place="https://meet.example/grace")
    taking.takeover(request_id=request.pk, mechanic_id=other.pk, actor=organizer)
    at_commit()
    assert both(request) == ("accepted", "live", other.pk)
    assert ServiceSession.objects.get().place == ""
    assert inside(request) == [request.customer_id, other.user_profile_id]
    assert told(mechanic.user_profile) == ["Somebody else has taken over"]
    assert told(other.user_profile) == ["A request was given to you"]
    assert told(request.customer) == ["Somebody is here for you"] * 2
    last = SessionRequestLog.objects.latest("pk")
    assert (last.from_mechanic, last.to_mechanic, last.reason) == (mechanic, other, "takeover")


def test_taking_over_oneself_tells_nobody_of_their_own_doing(accepted, mechanic, organizer):
    own = MechanicFactory(organization=mechanic.organization, user_profile=organizer)
    taking.takeover(request_id=accepted.pk, mechanic_id=own.pk, actor=organizer)
    assert told(organizer) == []
    assert told(mechanic.user_profile) == ["Somebody else has taken over"]
    before = everything()
    assert taking.takeover(request_id=accepted.pk, mechanic_id=own.pk, actor=organizer).changed is False
    assert everything() == before


def test_only_organisers_take_over(accepted, mechanic, other):
    for role in ("viewer", None):
        person = member(mechanic.organization, role) if role else mechanic.user_profile
        with refused(NotAllowed):
            taking.takeover(request_id=accepted.pk, mechanic_id=other.pk, actor=person)
    with refused(NotAllowed):
        taking.takeover(request_id=accepted.pk, mechanic_id=other.pk, actor=accepted.customer)
    for person in (member(OrganizationFactory(), "owner"), member(mechanic.organization, "door"), other.user_profile):
        with refused(NotFound):
            taking.takeover(request_id=accepted.pk, mechanic_id=other.pk, actor=person)


def test_taken_over_only_by_who_could_accept(event, accepted, mechanic, organizer):
    give = {"request_id": accepted.pk, "actor": organizer}
    elsewhere = MechanicFactory()
    with refused(NotFound):
        taking.takeover(mechanic_id=elsewhere.pk, **give)
    inactive = MechanicFactory(organization=event.organization, on_duty=False, active=False)
    with refused(NotFound):
        taking.takeover(mechanic_id=inactive.pk, **give)
    off = MechanicFactory(organization=event.organization, on_duty=False)
    with refused(taking.OffDuty):
        taking.takeover(mechanic_id=off.pk, **give)
    only = MechanicFactory(organization=event.organization, serves_all=False)
    with refused(taking.NotServing):
        taking.takeover(mechanic_id=only.pk, **give)
    own = MechanicFactory(organization=event.organization, user_profile=accepted.customer)
    with refused(taking.OwnRequest):
        taking.takeover(mechanic_id=own.pk, **give)
    taking.cancel(request_id=accepted.pk, actor=accepted.customer)
    with refused(taking.RequestClosed, status="cancelled"):
        taking.takeover(mechanic_id=mechanic.pk, **give)


# -- Giving back -------------------------------------------------------------------------------------------


def test_released_it_waits_at_its_old_place(event, mechanic, other):
    request = service_request(event, mechanic=mechanic, session_type="in_person")
    later = service_request(event)
    talking.set_place(session_id=request.session_id, person=mechanic.user_profile, place="Tent 3")
    at_commit()
    before = SessionRequest.objects.get(pk=request.pk)
    SessionRequest.objects.filter(pk=request.pk).update(told=2, notification_sent_at=timezone.now())
    assert taking.release(request_id=request.pk, actor=mechanic.user_profile).changed is True
    at_commit()
    assert both(request) == ("pending", "pending", None)
    after = SessionRequest.objects.select_related("session").get(pk=request.pk)
    assert (after.accepted_at, after.told, after.notification_sent_at) == (None, 0, None)
    assert (after.created_at, after.first_accepted_at) == (before.created_at, before.first_accepted_at)
    assert after.waiting_since > before.waiting_since
    assert (after.session.place, after.session.warned_at) == ("", None)
    assert inside(request) == [request.customer_id]
    assert intakes.place_in_line(request) == 1 and intakes.place_in_line(later) == 2
    assert steps(request)[-1] == ("accepted", "pending", "released", mechanic.user_profile_id)
    assert told(request.customer) == ["Somebody is here for you", "We are looking for somebody else"]
    assert told(mechanic.user_profile) == []
    taking.accept(request_id=request.pk, person=other.user_profile)
    assert both(request) == ("accepted", "live", other.pk)


def test_releasing_twice_changes_nothing(accepted, mechanic, other, organizer):
    give = {"request_id": accepted.pk}
    assert taking.release(actor=mechanic.user_profile, **give).changed is True
    before = steps(accepted)
    assert taking.release(actor=mechanic.user_profile, **give).changed is False
    with refused(taking.NotAccepted):
        taking.release(actor=organizer, **give)
    assert steps(accepted) == before
    taking.accept(person=other.user_profile, **give)
    with refused(taking.NotYours):
        taking.release(actor=mechanic.user_profile, **give)


def test_an_organiser_puts_it_back_and_the_mechanic_hears(accepted, mechanic, organizer):
    taking.release(request_id=accepted.pk, actor=organizer)
    assert told(mechanic.user_profile) == ["A request went back to the line"]
    assert steps(accepted)[-1] == ("accepted", "pending", "released", organizer.pk)


def test_what_was_asked_since_waits_in_its_place(event, accepted, mechanic):
    """Nobody waits twice: the one before is closed, and its customer and mechanic know."""
    newer = service_request(event, customer=accepted.customer)
    taking.release(request_id=accepted.pk, actor=mechanic.user_profile)
    at_commit()
    assert both(accepted) == ("cancelled", "cancelled", mechanic.pk)
    assert both(newer) == ("pending", "pending", None)
    assert steps(accepted)[-1] == ("accepted", "cancelled", "replaced", mechanic.user_profile_id)
    assert told(accepted.customer)[1:] == ["We are looking for somebody for your newer request"]
    assert told(mechanic.user_profile) == []


def test_what_was_asked_last_goes_back_and_the_one_before_is_closed(event, mechanic, other):
    older = service_request(event, mechanic=mechanic)
    newer = service_request(event, customer=older.customer, mechanic=other)
    taking.release(request_id=older.pk, actor=mechanic.user_profile)
    taking.release(request_id=newer.pk, actor=other.user_profile)
    at_commit()
    assert both(older) == ("cancelled", "cancelled", None)
    assert both(newer) == ("pending", "pending", None)


@pytest.mark.parametrize("act", [taking.release, taking.complete])
def test_only_who_has_it_and_organisers(event, accepted, mechanic, other, organizer, act):
    give = {"request_id": accepted.pk}
    for person in (accepted.customer, member(event.organization, "viewer")):
        with refused(NotAllowed):
            act(actor=person, **give)
    for person in (other.user_profile, UserProfileFactory(), member(event.organization, "door")):
        with refused(NotFound):
            act(actor=person, **give)
    taking.takeover(mechanic_id=other.pk, actor=organizer, **give)
    with refused(taking.NotYours, "You don't have this request any more."):
        act(actor=mechanic.user_profile, **give)
    taking.release(actor=other.user_profile, **give)
    with refused(taking.NotYours):
        act(actor=mechanic.user_profile, **give)
    with refused(taking.NotAccepted, "Nobody has accepted this request yet."):
        act(actor=organizer, **give)
    with refused(NotFound):
        act(actor=organizer, request_id=uuid4())


# -- Ending ------------------------------------------------------------------------------------------------


def test_completed_by_the_mechanic(accepted, mechanic, organizer):
    assert taking.complete(request_id=accepted.pk, actor=mechanic.user_profile).changed is True
    at_commit()
    assert both(accepted) == ("completed", "completed", mechanic.pk)
    row = SessionRequest.objects.select_related("session").get()
    assert row.closed_at is not None and row.session.ended_at is not None and row.accepted_at is not None
    assert steps(accepted)[-1] == ("accepted", "completed", "completed", mechanic.user_profile_id)
    assert told(accepted.customer)[-1] == "Your request is done"
    before = everything()
    for person in (mechanic.user_profile, organizer):
        assert taking.complete(request_id=accepted.pk, actor=person).changed is False
    assert everything() == before
    with refused(taking.RequestClosed, "This request is done.", status="done"):
        taking.release(request_id=accepted.pk, actor=mechanic.user_profile)
    with refused(taking.RequestClosed, status="done"):
        taking.cancel(request_id=accepted.pk, actor=accepted.customer)


def test_cancelled_is_not_completed(accepted, mechanic):
    taking.cancel(request_id=accepted.pk, actor=accepted.customer)
    for act in (taking.complete, taking.release):
        with refused(taking.RequestClosed, "This request is cancelled.", status="cancelled"):
            act(request_id=accepted.pk, actor=mechanic.user_profile)


def test_cancelled_by_the_customer_while_it_waits(pending, organizer):
    assert taking.cancel(request_id=pending.pk, actor=pending.customer).changed is True
    at_commit()
    assert both(pending) == ("cancelled", "cancelled", None)
    assert steps(pending)[-1] == ("pending", "cancelled", "cancelled", pending.customer_id)
    assert told(pending.customer) == [] == told(organizer)
    before = everything()
    assert taking.cancel(request_id=pending.pk, actor=pending.customer).changed is False
    assert everything() == before


def test_cancelled_by_the_customer_after_it_was_accepted(accepted, mechanic):
    taking.cancel(request_id=accepted.pk, actor=accepted.customer)
    at_commit()
    assert both(accepted) == ("cancelled", "cancelled", mechanic.pk)
    assert told(mechanic.user_profile) == ["A request was cancelled"]
    assert told(accepted.customer) == ["Somebody is here for you"]


def test_cancelled_by_an_organiser_both_hear(accepted, mechanic, organizer):
    taking.cancel(request_id=accepted.pk, actor=organizer)
    assert steps(accepted)[-1] == ("accepted", "cancelled", "cancelled_by_organizer", organizer.pk)
    assert told(mechanic.user_profile) == ["A request was cancelled"]
    assert told(accepted.customer)[-1] == "Your request was cancelled"


def test_only_the_customer_and_organisers_cancel(event, pending, accepted, mechanic):
    for request in (pending, accepted):
        for person in (mechanic.user_profile, member(event.organization, "viewer")):
            with refused(NotAllowed):
                taking.cancel(request_id=request.pk, actor=person)
        for person in (UserProfileFactory(), MechanicFactory().user_profile):
            with refused(NotFound):
                taking.cancel(request_id=request.pk, actor=person)


# -- By the clock ------------------------------------------------------------------------------------------


def test_unattended_after_ten_minutes_or_as_the_organisation_says(event, pending):
    soon = EventFactory()
    ServiceSettings.objects.create(organization=soon.organization, unattended_after=2 * MINUTE)
    quick = service_request(soon)
    now = timezone.now()
    assert taking.mark_unattended(at=now + MINUTE) == 0
    assert taking.mark_unattended(at=now + 3 * MINUTE) == 1
    assert both(quick) == ("unattended", "pending", None)
    assert steps(quick)[-1] == ("pending", "unattended", "unattended", None)
    assert taking.mark_unattended(at=now + 9 * MINUTE) == 0
    assert taking.mark_unattended(at=now + 11 * MINUTE) == 1
    assert both(pending) == ("unattended", "pending", None)
    assert taking.mark_unattended(at=now + 100 * MINUTE) == 0
    assert taking.mark_unattended() == 0


def test_what_was_accepted_in_time_is_not_unattended(accepted, mechanic):
    later = timezone.now() + 30 * MINUTE
    assert taking.mark_unattended(at=later) == 0
    taking.release(request_id=accepted.pk, actor=mechanic.user_profile)
    assert taking.mark_unattended(at=timezone.now() + 9 * MINUTE) == 0
    assert taking.mark_unattended(at=later) == 1


def test_idle_goes_back_after_a_reminder(accepted, mechanic):
    now = timezone.now()
    assert (taking.remind_idle(at=now + 9 * MINUTE), taking.return_idle(at=now + 9 * MINUTE)) == (0, 0)
    assert [taking.remind_idle(at=now + 11 * MINUTE) for _time in range(2)] == [1, 0]
    assert told(mechanic.user_profile) == ["Are you still on it?"]
    assert taking.return_idle(at=now + 14 * MINUTE) == 0
    assert [taking.return_idle(at=now + 16 * MINUTE) for _time in range(2)] == [1, 0]
    at_commit()
    assert both(accepted) == ("pending", "pending", None)
    assert steps(accepted)[-1] == ("accepted", "pending", "idle", None)
    assert told(mechanic.user_profile) == ["Are you still on it?", "A request went back to the line"]
    assert told(accepted.customer)[-1] == "We are looking for somebody else"


@pytest.mark.parametrize("act", ["say", "place", "keep"])
def test_whoever_does_something_keeps_it(event, mechanic, act):
    request = service_request(event, mechanic=mechanic, session_type="in_person")
    ServiceSession.objects.update(last_activity_at=timezone.now() - 14 * MINUTE)
    assert taking.remind_idle() == 1
    give = {"session_id": request.session_id, "person": mechanic.user_profile}
    if act == "say":
        talking.say(body="On my way", **give)
    elif act == "place":
        talking.set_place(place="Tent 3", **give)
    else:
        assert talking.keep(**give).changed is True
    now = timezone.now()
    assert ServiceSession.objects.get().warned_at is None
    assert (taking.remind_idle(at=now + 9 * MINUTE), taking.return_idle(at=now + 9 * MINUTE)) == (0, 0)
    assert (taking.remind_idle(at=now + 11 * MINUTE), taking.return_idle(at=now + 16 * MINUTE)) == (1, 1)


def test_what_the_customer_says_keeps_nothing(accepted):
    ServiceSession.objects.update(last_activity_at=timezone.now() - 16 * MINUTE)
    talking.say(session_id=accepted.session_id, person=accepted.customer, body="Hello?")
    assert taking.return_idle() == 1


def test_idle_as_the_organisation_says(event, accepted):
    ServiceSettings.objects.create(organization=event.organization, idle_after=60 * MINUTE)
    now = timezone.now()
    assert (taking.remind_idle(at=now + 39 * MINUTE), taking.return_idle(at=now + 59 * MINUTE)) == (0, 0)
    assert (taking.remind_idle(at=now + 41 * MINUTE), taking.return_idle(at=now + 61 * MINUTE)) == (1, 1)


@pytest.mark.parametrize("gone", ["off duty", "deactivated"])
def test_what_sql_left_with_somebody_who_is_gone_goes_back(accepted, mechanic, gone):
    if gone == "off duty":
        Mechanic.objects.update(on_duty=False)
    else:
        UserProfile.objects.filter(pk=mechanic.user_profile_id).update(is_active=False)
    assert taking.return_idle() == 1
    assert steps(accepted)[-1] == ("accepted", "pending", "off_duty", None)


def test_one_that_is_refused_holds_up_no_other(event, caplog):
    first, broken, last = (service_request(event) for _number in range(3))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            f"ALTER TABLE session_requests ADD CONSTRAINT refuses CHECK (id <> '{broken.pk}' OR status <> 'unattended')"
        )
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert taking.mark_unattended(at=timezone.now() + 11 * MINUTE) == 2
    assert [both(one)[0] for one in (first, broken, last)] == ["unattended", "pending", "unattended"]
    [line] = [one.msg for one in caplog.records if one.levelname == "WARNING"]
    assert (line["event"], line["pk"], line["code"]) == ("sweep.refused", str(broken.pk), "conflict")


# -- Talking -----------------------------------------------------------------------------------------------


def test_both_talk_and_nobody_else(event, accepted, mechanic, other, organizer):
    give = {"session_id": accepted.session_id}
    talking.say(person=accepted.customer, body="Hello", **give)
    talking.say(person=mechanic.user_profile, body="Hello, I come", **give)
    said = SessionMessage.objects.values_list("author", "body")
    assert list(said) == [(accepted.customer_id, "Hello"), (mechanic.user_profile_id, "Hello, I come")]
    for person in (other.user_profile, organizer, UserProfileFactory(is_superuser=True), UserProfileFactory()):
        with refused(NotFound):
            talking.say(person=person, body="Me too", **give)
        with refused(NotFound):
            talking.set_place(person=person, place="Here", **give)
        with refused(NotFound):
            talking.keep(person=person, **give)
    with refused(NotFound):
        talking.say(session_id=uuid4(), person=organizer, body="Anybody?")
    UserProfile.objects.filter(pk=accepted.customer_id).update(is_active=False)
    with refused(NotFound):
        talking.say(person=accepted.customer, body="Still here", **give)


def test_who_had_it_reads_no_more(event, accepted, mechanic, other, organizer):
    def reads(person):
        return ServiceSession.objects.of_participant(person).filter(pk=accepted.session_id).first()

    assert reads(mechanic.user_profile).my_role == "mechanic"
    assert reads(accepted.customer).my_role == "customer"
    assert reads(organizer) is None
    taking.takeover(request_id=accepted.pk, mechanic_id=other.pk, actor=organizer)
    assert reads(mechanic.user_profile) is None
    assert reads(other.user_profile).my_role == "mechanic"
    with refused(NotFound):
        talking.say(session_id=accepted.session_id, person=mechanic.user_profile, body="Wait")
    UserProfile.objects.filter(pk=other.user_profile_id).update(is_active=False)
    assert reads(other.user_profile) is None


def test_nothing_is_said_once_it_is_over(accepted, mechanic):
    taking.complete(request_id=accepted.pk, actor=mechanic.user_profile)
    give = {"session_id": accepted.session_id, "person": mechanic.user_profile}
    words = "This session is done: nothing more can be written in it."
    with refused(talking.SessionOver, words, status="done"):
        talking.say(body="One thing more", **give)
    with refused(talking.SessionOver, words, status="done"):
        talking.keep(**give)


@pytest.mark.parametrize("body", ["", "x" * 4001])
def test_a_message_says_something_and_not_too_much(accepted, body):
    with refused(talking.NotSaid, "A message has 1 to 4,000 characters."):
        talking.say(session_id=accepted.session_id, person=accepted.customer, body=body)


def test_a_form_sent_twice_says_it_once(accepted, mechanic):
    give = {"session_id": accepted.session_id, "person": accepted.customer}
    first = talking.say(body="Hello", key="form", **give)
    assert talking.say(body="Hello", key="form", **give) == first
    assert talking.say(body="Hello again", key="form", **give) != first
    assert talking.say(body="Hello", **give) != first
    talking.say(body="Hello", key="form", session_id=accepted.session_id, person=mechanic.user_profile)
    assert SessionMessage.objects.count() == 4


@pytest.mark.parametrize(
    ("kind", "place"), [("in_person", "Tent 3"), ("video", "https://meet.example/grace?pwd=1"), ("video", "")]
)
def test_the_mechanic_says_where(event, mechanic, kind, place):
    request = service_request(event, mechanic=mechanic, session_type=kind)
    ServiceSession.objects.update(place="Before")
    give = {"session_id": request.session_id, "person": mechanic.user_profile, "place": place}
    assert talking.set_place(**give).changed is True
    assert ServiceSession.objects.get().place == place
    assert talking.set_place(**give).changed is False
    with refused(NotAllowed):
        talking.set_place(**give | {"person": request.customer})
    with refused(NotAllowed):
        talking.keep(session_id=request.session_id, person=request.customer)


@pytest.mark.parametrize(
    "place",
    ["http://meet.example/", "javascript:alert(1)", "meet.example", "https://a:b@meet.example/", "https://", "Tent 3"],
)
def test_a_video_call_has_a_safe_link(event, mechanic, place):
    request = service_request(event, mechanic=mechanic, session_type="video")
    with refused(talking.LinkNeeded, "A video call needs an address that begins with https://."):
        talking.set_place(session_id=request.session_id, person=mechanic.user_profile, place=place)


def test_a_chat_has_no_place(accepted, mechanic):
    with refused(talking.NoPlace, "A chat has no link or place."):
        talking.set_place(session_id=accepted.session_id, person=mechanic.user_profile, place="Tent 3")


# -- Mechanics ---------------------------------------------------------------------------------------------


def test_add_somebody_known_and_somebody_new(event, organizer):
    known = UserProfileFactory(email="grace@example.org", first_name="Grace", last_name="Hopper")
    give = {"organization_id": event.organization_id, "actor": organizer}
    row = mechanics.add(email="Grace@Example.org", skills=["brakes"], serves_all=False, events=[event], **give)
    assert (row.user_profile, str(row), row.skills, row.on_duty, row.active) == (
        known,
        "Grace Hopper",
        ["brakes"],
        False,
        True,
    )
    assert list(row.events.all()) == [event]
    assert row.history.get().history_user == organizer
    new = mechanics.add(email="new@example.org", display_name="New", **give)
    assert (new.user_profile.email, str(new)) == ("new@example.org", "New")
    assert not new.user_profile.has_usable_password()
    with refused(mechanics.AlreadyMechanic, "This person is a mechanic here already."):
        mechanics.add(email="grace@example.org", **give)
    assert list(mechanics.of_person(known)) == [row]


def test_going_on_and_off_duty_by_oneself(mechanic):
    give = {"mechanic_id": mechanic.pk, "actor": mechanic.user_profile}
    assert mechanics.set_duty(on=True, **give).changed is False
    assert mechanics.set_duty(on=False, **give).changed is True
    assert Mechanic.objects.get().on_duty is False
    assert mechanics.set_duty(on=True, **give).changed is True
    at_commit()
    assert [one.on_duty for one in Mechanic.history.order_by("pk")] == [True, False, True]
    assert Mechanic.history.latest("pk").history_user == mechanic.user_profile
    last = ServiceSignal.objects.latest("pk")
    assert (last.kind, last.user_profile_id) == ("mechanic", mechanic.user_profile_id)


def test_off_duty_all_that_was_accepted_goes_back(event, mechanic, organizer):
    mine = [service_request(event, mechanic=mechanic) for _number in range(3)]
    done = service_request(event, mechanic=mechanic)
    taking.complete(request_id=done.pk, actor=mechanic.user_profile)
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=organizer)
    at_commit()
    for one in mine:
        assert both(one) == ("pending", "pending", None)
        assert steps(one)[-1] == ("accepted", "pending", "off_duty", organizer.pk)
        assert told(one.customer)[-1] == "We are looking for somebody else"
    assert both(done) == ("completed", "completed", mechanic.pk)
    assert told(mechanic.user_profile) == ["A request went back to the line"] * 3


def test_off_duty_with_two_of_one_customer(event, mechanic):
    customer = UserProfileFactory()
    older, newer = (service_request(event, customer=customer, mechanic=mechanic) for _number in range(2))
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)
    at_commit()
    assert both(older)[:2] == ("cancelled", "cancelled")
    assert both(newer) == ("pending", "pending", None)


def test_who_stops_is_off_duty_and_may_start_again(event, accepted, mechanic, organizer):
    stop = {"mechanic_id": mechanic.pk, "actor": organizer}
    assert mechanics.set_active(active=False, **stop).changed is True
    assert both(accepted) == ("pending", "pending", None)
    row = Mechanic.objects.get()
    assert (row.active, row.on_duty) == (False, False)
    assert list(mechanics.of_person(mechanic.user_profile)) == []
    assert mechanics.set_active(active=False, **stop).changed is False
    with refused(mechanics.NotActive, "Grace is not active: nobody can put them on duty."):
        mechanics.set_duty(mechanic_id=mechanic.pk, on=True, actor=organizer)
    assert mechanics.set_active(active=True, **stop).changed is True
    row = Mechanic.objects.get()
    assert (row.active, row.on_duty) == (True, False)
    with refused(NotFound):
        mechanics.set_active(mechanic_id=uuid4(), active=False, actor=organizer)


def test_only_oneself_and_organisers_decide_on_duty(event, mechanic, other):
    people = [other.user_profile, member(event.organization, "viewer"), UserProfileFactory()]
    people.append(member(OrganizationFactory(), "owner"))
    for person in people:
        with refused(NotFound):
            mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=person)
    UserProfile.objects.filter(pk=mechanic.user_profile_id).update(is_active=False)
    mechanic.user_profile.refresh_from_db()
    with refused(NotFound):
        mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)


# -- Tickets -----------------------------------------------------------------------------------------------


def test_a_ticket_lets_one_in_once(customer):
    ticket = tickets.issue(person=customer)
    assert ticket not in StreamTicket.objects.get().digest
    assert tickets.redeem(ticket=ticket) == customer.pk
    assert tickets.redeem(ticket=ticket) is None
    assert tickets.redeem(ticket="made up") is None
    assert not StreamTicket.objects.exists()


def test_a_ticket_is_good_for_a_minute_and_an_active_person(customer):
    late, gone = tickets.issue(person=customer), tickets.issue(person=customer)
    StreamTicket.objects.filter(digest=tickets._digest(late)).update(expires_at=timezone.now())
    assert tickets.redeem(ticket=late) is None
    UserProfile.objects.update(is_active=False)
    assert tickets.redeem(ticket=gone) is None
    with refused(NotFound):
        tickets.issue(person=customer)


# -- How many statements -------------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [1, 3])
def test_an_intake_takes_so_many_statements(event, customer, mechanic, waiting, django_assert_num_queries):
    ServiceSettings.objects.create(organization=event.organization, skills=["brakes"])
    for _number in range(waiting):
        service_request(event)
    with django_assert_num_queries(14):
        ask(customer, event, skill="brakes", key="k")


@pytest.mark.parametrize("waiting", [1, 3])
def test_accepting_takes_so_many_statements(event, mechanic, waiting, django_assert_num_queries):
    requests = [service_request(event) for _number in range(waiting)]
    with django_assert_num_queries(13):
        taking.accept(request_id=requests[0].pk, person=mechanic.user_profile)


def test_coming_second_takes_few(accepted, other, django_assert_num_queries):
    with django_assert_num_queries(5), pytest.raises(taking.AlreadyAccepted):
        taking.accept(request_id=accepted.pk, person=other.user_profile)


def test_telling_of_nothing_is_one_question(event, mechanic, pending, django_assert_num_queries):
    telling.tell_waiting()
    with django_assert_num_queries(1):
        assert telling.tell_waiting() == 0
    with django_assert_num_queries(3):
        assert (taking.mark_unattended(), taking.return_idle(), taking.remind_idle()) == (0, 0, 0)


# -- What was loaded past the promises -----------------------------------------------------------------------


def loaded(event, status="pending", mechanic=None, **fields):
    """A session that stands without a request, and nobody in it."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL session_replication_role = replica")
        fields |= {"mechanic": mechanic, "last_activity_at": mechanic and timezone.now()}
        fields |= {"started_at": mechanic and timezone.now() - 5 * MINUTE}
        fields |= {"ended_at": timezone.now() if status in ("completed", "cancelled") else None}
        person = fields.pop("customer", None) or UserProfileFactory()
        session = ServiceSession.objects.create(
            organization=event.organization, event=event, customer=person, status=status, **fields
        )
        cursor.execute("SET LOCAL session_replication_role = DEFAULT; SET CONSTRAINTS ALL DEFERRED")
    return session


@pytest.mark.parametrize(
    ("status", "has", "becomes"),
    [
        ("pending", False, "pending"),
        ("live", True, "accepted"),
        ("completed", True, "completed"),
        ("completed", False, "completed"),
        ("cancelled", False, "cancelled"),
    ],
)
def test_a_session_loaded_without_request_gets_one(event, mechanic, status, has, becomes):
    session = loaded(event, status, mechanic if has else None, type="video", plan="gold")
    assert intakes.backfill_requests(rows=[session.pk]) == 1
    at_commit()
    request = SessionRequest.objects.get()
    assert both(request) == (becomes, status, mechanic.pk if has else None)
    assert (request.session, request.customer, request.session_type, request.plan_code) == (
        session,
        session.customer,
        "video",
        "gold",
    )
    assert (request.metadata, request.created_at) == ({"created_by": "backfill"}, session.created_at)
    assert request.accepted_at == session.started_at
    assert inside(request) == [session.customer_id, *([mechanic.user_profile_id] if has else [])]
    assert steps(request) == [(None, becomes, "backfill", None)]
    before = everything()
    assert intakes.backfill_requests(rows=[session.pk]) == 0
    assert everything() == before


def test_a_loaded_session_gets_what_its_intake_says(event):
    intake = Intake.objects.create(
        organization=event.organization, event=event, customer=UserProfileFactory(), urgent=True, skill="brakes",
        concern="It does not stop.",
    )  # fmt: skip
    session = loaded(event, customer=intake.customer, intake=intake)
    intakes.backfill_requests(rows=[session.pk])
    request = SessionRequest.objects.get()
    assert (request.urgent, request.skill, request.notes) == (True, "brakes", "It does not stop.")
    assert request.customer_name == intake.customer.get_full_name()


def test_of_a_customer_who_waits_already_a_loaded_one_is_cancelled(event, pending):
    first, second = (loaded(event, customer=one) for one in (pending.customer, UserProfileFactory()))
    third = loaded(event, customer=second.customer)
    assert intakes.backfill_requests(rows=[third.pk, first.pk, second.pk]) == 3
    at_commit()
    assert both(pending) == ("pending", "pending", None)
    found = {one.session_id: one.status for one in SessionRequest.objects.all()}
    assert [found[one.pk] for one in (first, second, third)] == ["cancelled", "pending", "cancelled"]


def test_a_loaded_one_whose_mechanic_is_its_customer_waits_again(event, mechanic):
    session = loaded(event, "live", mechanic, customer=mechanic.user_profile)
    assert intakes.backfill_requests(rows=[session.pk]) == 1
    at_commit()
    assert both(SessionRequest.objects.get()) == ("pending", "pending", None)
