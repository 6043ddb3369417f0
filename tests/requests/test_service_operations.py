"""Asking for help and giving it: what each act does, to whom, and what it refuses."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from messaging.models import MessageDelivery
from requests.models import RequestStatus, ServiceSession, ServiceSignal, SessionRequest, SessionRequestLog
from requests.operations import intakes, mechanics, taking, talking, telling, tickets
from tests import factories

pytestmark = pytest.mark.django_db


def told(person):
    return list(
        MessageDelivery.objects.filter(user=person, channel="in_app")
        .order_by("pk")
        .values_list("message__subject", flat=True)
    )


def at_commit():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def test_a_request_is_taken_given_back_and_done(event):
    mechanic = factories.MechanicFactory(organization=event.organization)
    request = factories.service_request(event)
    at_commit()
    assert telling.tell_waiting() == 1
    assert told(mechanic.user_profile) == ["Somebody needs help"]
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    at_commit()
    request.refresh_from_db()
    assert (request.status, request.mechanic) == (RequestStatus.ACCEPTED, mechanic)
    assert told(request.customer) == ["Somebody is here for you"]
    talking.say(session_id=request.session_id, person=mechanic.user_profile, body="Hello")
    talking.say(session_id=request.session_id, person=request.customer, body="Hello")
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    at_commit()
    assert telling.tell_waiting() == 1
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    at_commit()
    later = timezone.now() + timedelta(minutes=11)
    assert taking.remind_idle(at=later) == 1
    assert taking.return_idle(at=later) == 0
    assert taking.return_idle(at=timezone.now() + timedelta(minutes=16)) == 1
    at_commit()
    assert taking.mark_unattended(at=timezone.now() + timedelta(minutes=11)) == 1
    organizer = factories.member(event.organization, "organizer")
    telling.tell_waiting()
    assert told(organizer) == ["Nobody takes a service request"]
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)
    mechanics.set_duty(mechanic_id=mechanic.pk, on=True, actor=organizer)
    taking.takeover(request_id=request.pk, mechanic_id=mechanic.pk, actor=organizer)
    taking.complete(request_id=request.pk, actor=mechanic.user_profile)
    at_commit()
    assert ServiceSession.objects.get().status == "completed"
    steps = SessionRequestLog.objects.order_by("pk").values_list("from_status", "to_status", "reason")
    print(list(steps), ServiceSignal.objects.count(), told(request.customer), told(mechanic.user_profile))
    assert tickets.redeem(ticket=tickets.issue(person=organizer)) == organizer.pk
    assert intakes.place_in_line(factories.service_request(event)) == 1
    assert SessionRequest.objects.seen_by(organizer.pk).count() == 2
