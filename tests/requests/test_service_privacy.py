"""Somebody who asked for help, or gave it: what they are handed out, and what stays of them when they are erased."""

import json
from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from config.errors import Busy, NotFound
from events.operations import privacy
from messaging.models import Message, MessageDelivery
from requests.models import (
    Intake,
    Mechanic,
    ServiceSession,
    SessionMessage,
    SessionParticipant,
    SessionRequest,
    SessionRequestLog,
    StreamTicket,
)
from requests.operations import intakes, mechanics, taking, talking, telling, tickets
from tests.config.postgres import held
from tests.events.test_accounts_operations import everything_about
from tests.factories import MechanicFactory, UserProfileFactory, service_request
from tests.races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada():
    return UserProfileFactory(first_name="Ada", last_name="Lovelace", email="ada@example.org")


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization, display_name="Grace")


def ask(event, person, mechanic=None, **given):
    given = {"concern": "Ada's bell is silent.", "details": {"call": "4155550123"}, "skill": "ada's bells"} | given
    return service_request(event, customer=person, mechanic=mechanic, key="by Ada", **given)


def seen_in_the_admin(*rows):
    for row in rows:
        LogEntry.objects.create(
            user=UserProfileFactory(is_superuser=True),
            content_type=ContentType.objects.get_for_model(row),
            object_id=row.pk,
            object_repr=str(row),
            action_flag=CHANGE,
            change_message="Ada",
        )


def told(person):
    rows = MessageDelivery.objects.filter(user=person, channel="in_app").order_by("pk")
    return list(rows.values_list("message__subject", flat=True))


def exported(person):
    data = json.loads(json.dumps(privacy.export(actor=person), cls=JSONEncoder))
    return {name: data[name] for name in ("service_requests", "service_messages", "mechanics")}


# -- Handed out --------------------------------------------------------------------------------------------


def test_export_tells_a_customer_what_they_asked_and_said(event, ada, mechanic):
    request = ask(event, ada, mechanic)
    talking.say(session_id=request.session_id, person=ada, body="It was silent yesterday, too.")
    talking.say(session_id=request.session_id, person=mechanic.user_profile, body="I bring oil.")
    data = exported(ada)
    assert data["mechanics"] == []
    assert [one["body"] for one in data["service_messages"]] == ["It was silent yesterday, too."]
    [one] = data["service_requests"]
    assert (one["status"], one["event__title"], one["mechanic__display_name"]) == ("accepted", event.title, "Grace")
    assert (one["notes"], one["session__intake__details"]) == ("Ada's bell is silent.", {"call": "4155550123"})
    assert (one["customer_name"], one["customer_email"]) == ("Ada Lovelace", "ada@example.org")


def test_export_tells_a_mechanic_of_themselves_and_of_no_customer(event, ada, mechanic):
    request = ask(event, ada, mechanic)
    talking.say(session_id=request.session_id, person=ada, body="It was silent yesterday, too.")
    talking.say(session_id=request.session_id, person=mechanic.user_profile, body="I bring oil.")
    data = exported(mechanic.user_profile)
    assert [(one["display_name"], one["on_duty"], one["active"]) for one in data["mechanics"]] == [
        ("Grace", True, True)
    ]
    assert [one["body"] for one in data["service_messages"]] == ["I bring oil."]
    assert data["service_requests"] == []
    assert "Ada" not in json.dumps(data) and "silent" not in json.dumps(data)


def test_export_of_somebody_with_nothing():
    assert exported(UserProfileFactory()) == {"service_requests": [], "service_messages": [], "mechanics": []}


# -- Forgotten: a customer -----------------------------------------------------------------------------------


def test_an_erased_customer_is_nowhere_and_what_they_asked_stays(event, ada, mechanic):
    first = ask(event, ada, mechanic)
    talking.say(session_id=first.session_id, person=ada, body="Ada here")
    talking.say(session_id=first.session_id, person=mechanic.user_profile, body="Coming")
    talking.set_place(session_id=ask_in_person(event, ada, mechanic).session_id, person=mechanic.user_profile,
                      place="Ada's tent")  # fmt: skip
    seen_in_the_admin(first, first.session, first.session.intake)
    tickets.issue(person=ada)
    steps = SessionRequestLog.objects.count()
    assert {table for table, _word in everything_about(ada)} >= {"intakes", "session_requests", "service_sessions"}

    privacy.erase(person_id=ada.pk, actor=ada)

    assert everything_about(ada) == []
    first.refresh_from_db()
    assert (first.status, first.customer_name, first.customer_email, first.notes, first.skill) == (
        "cancelled",
        "(erased)",
        "",
        "",
        "",
    )
    assert set(Intake.objects.values_list("concern", "skill", "idempotency_key")) == {("", "", None)}
    assert [one.details for one in Intake.objects.all()] == [{}, {}]
    assert set(ServiceSession.objects.values_list("place", flat=True)) == {""}
    assert list(SessionMessage.objects.order_by("pk").values_list("body", flat=True)) == ["(erased)", "Coming"]
    assert SessionParticipant.objects.filter(user_profile=ada).count() == 2
    assert SessionRequestLog.objects.count() == steps + 2
    assert not StreamTicket.objects.exists()
    assert set(LogEntry.objects.filter(object_id=str(first.pk)).values_list("object_repr", "change_message")) == {
        ("(erased)", "")
    }


def ask_in_person(event, person, mechanic):
    request = intakes.start_intake(person=person, event_id=event.pk, concern="", session_type="in_person").row
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    return request


def test_what_is_not_over_is_cancelled_and_the_mechanic_told(event, ada, mechanic):
    accepted = ask(event, ada, mechanic)
    waiting = service_request(event, customer=ada)
    privacy.erase(person_id=ada.pk, actor=ada)
    for one in (accepted, waiting):
        one.refresh_from_db()
        assert one.status == "cancelled"
    assert told(mechanic.user_profile) == ["A request was cancelled"]
    ends = SessionRequestLog.objects.filter(to_status="cancelled").values_list("actor", "reason")
    assert list(ends) == [(ada.pk, "cancelled")] * 2
    assert telling.tell_waiting() == 0
    with pytest.raises(NotFound):
        intakes.start_intake(person=ada, event_id=event.pk, concern="Again")
    with pytest.raises(NotFound):
        talking.say(session_id=accepted.session_id, person=ada, body="Still here")


def test_what_was_over_stays_as_it_ended(event, ada, mechanic):
    done = ask(event, ada, mechanic)
    taking.complete(request_id=done.pk, actor=mechanic.user_profile)
    SessionRequest.objects.update(metadata={"created_by": "backfill", "from": "Ada's phone"})
    privacy.erase(person_id=ada.pk, actor=ada)
    done.refresh_from_db()
    assert (done.status, done.mechanic, done.metadata) == ("completed", mechanic, {"created_by": "backfill"})
    assert done.session.status == "completed"


def test_others_keep_what_is_theirs(event, ada, mechanic):
    theirs = service_request(event, mechanic=mechanic, concern="Mine", details={"a": 1})
    talking.say(session_id=theirs.session_id, person=theirs.customer, body="Mine, too")
    ask(event, ada)
    before = {
        model: list(model.objects.exclude(pk__in=of_ada(model, ada)).order_by("pk").values())
        for model in (Intake, ServiceSession, SessionRequest, SessionMessage, Mechanic)
    }
    privacy.erase(person_id=ada.pk, actor=ada)
    for model, rows in before.items():
        assert list(model.objects.exclude(pk__in=of_ada(model, ada)).order_by("pk").values()) == rows


def of_ada(model, ada):
    whose = {Mechanic: "user_profile", SessionMessage: "author"}.get(model, "customer")
    return list(model.objects.filter(**{whose: ada}).values_list("pk", flat=True))


def test_messages_are_emptied_of_the_erased_alone(event, ada, mechanic):
    request = ask(event, ada, mechanic)
    talking.say(session_id=request.session_id, person=ada, body="Ada here")
    with pytest.raises(IntegrityError), transaction.atomic():
        SessionMessage.objects.update(body="(erased)")
    assert SessionMessage.objects.get().body == "Ada here"


def test_an_intake_at_the_same_moment_leaves_nothing_open(event, ada):
    for _round in range(5):
        person = UserProfileFactory()
        at_once(
            lambda one=person: privacy.erase(person_id=one.pk, actor=one),
            lambda one=person: intakes.start_intake(person=one, event_id=event.pk, concern="Help"),
        )
        assert not SessionRequest.objects.filter(customer=person, status="pending").exists()
        assert not Intake.objects.filter(customer=person).exclude(concern="").exists()


def test_erasing_waits_for_nobody_for_long(event, ada):
    """A request that is held by somebody else: nothing of the erasure stands."""
    request = ask(event, ada)
    with held("SELECT FROM session_requests WHERE id = %s FOR UPDATE", request.pk), pytest.raises(Busy):
        privacy.erase(person_id=ada.pk, actor=ada)
    ada.refresh_from_db()
    request.refresh_from_db()
    assert (ada.erased_at, ada.first_name, request.status, request.customer_name) == (
        None,
        "Ada",
        "pending",
        "Ada Lovelace",
    )


# -- Forgotten: a mechanic -----------------------------------------------------------------------------------


def test_an_erased_mechanic_is_nowhere_and_their_customer_is_told(event, ada):
    row = MechanicFactory(organization=event.organization, user_profile=ada, display_name="Ada the Great")
    mechanics.set_duty(mechanic_id=row.pk, on=False, actor=ada)
    mechanics.set_duty(mechanic_id=row.pk, on=True, actor=ada)
    Mechanic.objects.update(skills=["ada's bells"])
    done, request = (service_request(event, mechanic=row, session_type="video") for _number in range(2))
    taking.complete(request_id=done.pk, actor=ada)
    talking.set_place(session_id=request.session_id, person=ada, place="https://meet.example/Ada")
    talking.say(session_id=request.session_id, person=ada, body="Ada here")
    seen_in_the_admin(row)
    assert {table for table, _word in everything_about(ada)} >= {"mechanics", "requests_historicalmechanic"}

    privacy.erase(person_id=ada.pk, actor=ada)

    assert everything_about(ada) == []
    row.refresh_from_db()
    assert (str(row), row.skills, row.on_duty, row.active) == ("(erased)", [], False, False)
    request.refresh_from_db()
    assert (request.status, request.mechanic, request.session.status, request.session.place) == (
        "pending",
        None,
        "pending",
        "",
    )
    done.refresh_from_db()
    assert (done.status, done.mechanic) == ("completed", row)
    assert told(request.customer)[-1] == "We are looking for somebody else"
    assert SessionMessage.objects.get().body == "(erased)"
    assert [one["reason"] for one in request.log.order_by("pk").values("reason")] == ["asked", "accepted", "off_duty"]
    assert Message.objects.filter(subject="We are looking for somebody else").exists()


def test_one_who_had_two_of_one_customer_goes(event, ada, mechanic):
    """What the customer asked last goes back; the older can't as well, as one customer waits once."""
    row = MechanicFactory(organization=event.organization, user_profile=ada)
    customer = UserProfileFactory()
    older, newer = (service_request(event, customer=customer, mechanic=row) for _number in range(2))
    privacy.erase(person_id=ada.pk, actor=ada)
    for one in (older, newer):
        one.refresh_from_db()
    assert (older.status, newer.status) == ("cancelled", "pending")


def test_nothing_of_time_is_left_to_the_erased(event, ada):
    MechanicFactory(organization=event.organization, user_profile=ada)
    privacy.erase(person_id=ada.pk, actor=ada)
    service_request(event)
    telling.tell_waiting(at=timezone.now() + timedelta(minutes=6))
    assert told(ada) == []
