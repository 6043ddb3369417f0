"""Who hears of a service request, when by the clock, and in which words."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import InternalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from events.models import AccountLetter, UserProfile
from events.operations import privacy
from messaging.models import Message, MessageDelivery, PushDevice
from messaging.operations import preferences
from messaging.tasks import send_letters
from requests import integrity
from requests.models import Mechanic, ServiceSession, ServiceSettings, SessionRequest
from requests.operations import intakes, mechanics, taking, talking, telling
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    MechanicFactory,
    UserProfileFactory,
    member,
    service_request,
)

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
SITE = settings.SITE_URL
BOARD = f"{SITE}/admin/requests/sessionrequest/board/"


@pytest.fixture(autouse=True)
def _mail_is_on(settings):
    settings.EMAIL_URL = "smtp://mail.turnout.example"


@pytest.fixture
def event():
    return EventFactory(title="Autumn Ride", starts_at=datetime(2199, 11, 28, 9, tzinfo=UTC))


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization, display_name="Grace  H.")


@pytest.fixture
def skilled(event):
    return MechanicFactory(organization=event.organization, skills=["brakes", "gears"])


def told(person):
    rows = MessageDelivery.objects.filter(user=person, channel="in_app").order_by("pk")
    return list(rows.values_list("message__subject", flat=True))


def in_minutes(number):
    return timezone.now() + number * MINUTE


def far(request):
    """(how far the news has gone, whether it went out)."""
    told, sent_at = SessionRequest.objects.values_list("told", "notification_sent_at").get(pk=request.pk)
    return told, sent_at is not None


# -- Step by step ------------------------------------------------------------------------------------------


def test_the_skilled_first_then_all_then_organisers(event, skilled, mechanic, organizer):
    request = service_request(event, skill="brakes")
    assert telling.tell_waiting() == 1
    assert told(skilled.user_profile) == ["Somebody needs help (brakes)"]
    assert told(mechanic.user_profile) == []
    assert far(request) == (telling.SKILLED, True)
    assert telling.tell_waiting(at=in_minutes(4.9)) == 0
    assert telling.tell_waiting(at=in_minutes(5.1)) == 1
    assert told(mechanic.user_profile) == ["Still waiting: somebody needs help (brakes)"]
    assert len(told(skilled.user_profile)) == 1
    assert far(request) == (telling.ON_DUTY, True)
    assert told(organizer) == []
    assert telling.tell_waiting(at=in_minutes(11)) == 0
    assert taking.mark_unattended(at=in_minutes(11)) == 1
    assert telling.tell_waiting(at=in_minutes(11)) == 1
    assert told(organizer) == ["Nobody takes a service request"]
    assert far(request) == (telling.ORGANIZERS, True)
    assert telling.tell_waiting(at=in_minutes(60)) == 0
    assert (len(told(skilled.user_profile)), len(told(mechanic.user_profile))) == (1, 1)


@pytest.mark.parametrize("skill", ["", "tea"])
def test_where_nobody_has_the_skill_all_are_asked_at_once(event, skilled, mechanic, skill):
    request = service_request(event, skill=skill)
    assert telling.tell_waiting() == 1
    assert len(told(skilled.user_profile)) == len(told(mechanic.user_profile)) == 1
    assert far(request) == (telling.SKILLED, True)
    assert telling.tell_waiting(at=in_minutes(6)) == 0
    assert far(request) == (telling.ON_DUTY, True)


def test_a_skill_is_compared_as_a_whole_word(event, mechanic):
    Mechanic.objects.update(skills=["brake", "brakes and gears"])
    skilled = MechanicFactory(organization=event.organization, skills=["brakes"])
    service_request(event, skill="brakes")
    telling.tell_waiting()
    assert (told(mechanic.user_profile), len(told(skilled.user_profile))) == ([], 1)


def test_half_of_what_the_organisation_allows(event, skilled, mechanic):
    ServiceSettings.objects.create(organization=event.organization, unattended_after=60 * MINUTE)
    service_request(event, skill="brakes")
    assert telling.tell_waiting(at=in_minutes(29)) == 1
    assert told(mechanic.user_profile) == []
    assert telling.tell_waiting(at=in_minutes(31)) == 1
    assert len(told(mechanic.user_profile)) == 1


def test_acceptance_stops_it(event, skilled, mechanic, organizer):
    request = service_request(event, skill="brakes")
    telling.tell_waiting()
    taking.accept(request_id=request.pk, person=skilled.user_profile)
    assert taking.mark_unattended(at=in_minutes(11)) == 0
    assert telling.tell_waiting(at=in_minutes(11)) == 0
    assert told(mechanic.user_profile) == told(organizer) == []


def test_what_came_late_to_the_task_is_told_to_all_at_once(event, skilled, mechanic, organizer):
    """The workers were away: nobody hears in steps of what should long have been told."""
    service_request(event, skill="brakes")
    assert taking.mark_unattended(at=in_minutes(30)) == 1
    assert telling.tell_waiting(at=in_minutes(30)) == 2
    assert [len(told(one)) for one in (skilled.user_profile, mechanic.user_profile, organizer)] == [1, 1, 1]
    assert telling.tell_waiting(at=in_minutes(31)) == 0


# -- Nobody there ------------------------------------------------------------------------------------------


def test_with_nobody_on_duty_organisers_hear_at_once_and_whoever_comes_later(event, organizer):
    request = service_request(event)
    assert telling.tell_waiting() == 1
    assert told(organizer) == ["A customer needs help, and nobody is on duty"]
    assert far(request) == (0, False)
    updated = SessionRequest.objects.get().updated_at
    assert telling.tell_waiting() == 0
    assert SessionRequest.objects.get().updated_at == updated
    late = MechanicFactory(organization=event.organization, on_duty=False)
    assert telling.tell_waiting() == 0
    mechanics.set_duty(mechanic_id=late.pk, on=True, actor=late.user_profile)
    assert telling.tell_waiting() == 1
    assert told(late.user_profile) == ["Somebody needs help"]
    assert far(request) == (telling.SKILLED, True)
    assert len(told(organizer)) == 1


def test_unattended_with_nobody_on_duty_is_said_once(event, organizer):
    request = service_request(event)
    taking.mark_unattended(at=in_minutes(11))
    assert [telling.tell_waiting(at=in_minutes(minutes)) for minutes in (11, 12)] == [1, 0]
    assert told(organizer) == ["Nobody takes a service request"]
    assert far(request) == (telling.ORGANIZERS, False)
    late = MechanicFactory(organization=event.organization)
    assert telling.tell_waiting(at=in_minutes(13)) == 1
    assert told(late.user_profile) == ["Somebody needs help"]
    assert far(request) == (telling.ORGANIZERS, True)


def test_whoever_serves_something_else_is_nobody(event, organizer):
    only = MechanicFactory(organization=event.organization, serves_all=False)
    only.events.add(EventFactory(organization=event.organization))
    MechanicFactory()
    service_request(event, customer=MechanicFactory(organization=event.organization).user_profile)
    telling.tell_waiting()
    assert told(organizer) == ["A customer needs help, and nobody is on duty"]
    assert told(only.user_profile) == []


def test_only_organisers_who_want_to_hear(event):
    owner, viewer, door = (member(event.organization, role) for role in ("owner", "viewer", "door"))
    quiet, elsewhere = member(event.organization, "organizer"), member(EventFactory().organization, "owner")
    preferences.choose(organization_id=event.organization_id, topic="service", mode="off", actor=quiet)
    asking = member(event.organization, "organizer")
    service_request(event, customer=asking)
    telling.tell_waiting()
    assert [len(told(one)) for one in (owner, viewer, door, quiet, elsewhere, asking)] == [1, 0, 0, 0, 0, 0]


# -- Again, and not twice ----------------------------------------------------------------------------------


def test_released_it_begins_anew_for_all_but_whoever_had_it(event, skilled, mechanic, organizer):
    request = service_request(event, skill="brakes")
    telling.tell_waiting()
    taking.accept(request_id=request.pk, person=skilled.user_profile)
    taking.release(request_id=request.pk, actor=skilled.user_profile)
    assert far(request) == (0, False)
    # Nobody else knows about brakes.
    assert telling.tell_waiting() == 1
    assert far(request) == (telling.SKILLED, True)
    assert len(told(skilled.user_profile)) == 1
    assert telling.tell_waiting(at=in_minutes(6)) == 0
    assert told(mechanic.user_profile) == ["Somebody needs help (brakes)"]
    another = MechanicFactory(organization=event.organization)
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    assert telling.tell_waiting() == 1
    assert told(skilled.user_profile) == ["Somebody needs help (brakes)"] * 2
    assert told(mechanic.user_profile) == ["Somebody needs help (brakes)"]
    assert telling.tell_waiting(at=in_minutes(6)) == 1
    assert told(another.user_profile) == ["Still waiting: somebody needs help (brakes)"]
    assert told(organizer) == []


def test_where_nobody_else_is_on_duty_organisers_hear_at_once_of_what_came_back(event, mechanic, organizer):
    request = service_request(event, mechanic=mechanic)
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    assert (telling.tell_waiting(), telling.tell_waiting()) == (1, 0)
    assert told(organizer) == ["A service request came back, and nobody else is on duty"]
    assert told(mechanic.user_profile) == []
    assert far(request) == (0, False)
    late = MechanicFactory(organization=event.organization)
    assert telling.tell_waiting() == 1
    assert told(late.user_profile) == ["Somebody needs help"]
    assert far(request) == (telling.SKILLED, True)


def test_what_was_loaded_from_elsewhere_did_not_come_back(event, organizer):
    request = service_request(event)
    ago = timezone.now() - 9 * MINUTE
    SessionRequest.objects.filter(pk=request.pk).update(created_at=ago)
    telling.tell_waiting()
    assert told(organizer) == ["A customer needs help, and nobody is on duty"]


def test_whoever_handed_it_back_is_not_told_too_late(event, mechanic):
    request = service_request(event, mechanic=mechanic)
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    telling.tell_waiting()
    long_ago = timezone.now() - 9 * MINUTE
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE mechanics SET updated_at = %s", [long_ago])
        cursor.execute("UPDATE session_requests SET waiting_since = %s", [long_ago])
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert not integrity.told_too_late().exists()
    other = MechanicFactory(organization=event.organization)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE mechanics SET updated_at = %s WHERE id = %s", [long_ago, other.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert integrity.told_too_late().get() == request


def test_a_task_that_died_half_way_is_made_up_for(event, mechanic, organizer):
    """What it told stands or falls with what it noted; noted by nobody, it is told again, and not twice."""
    request = service_request(event)
    telling.tell_waiting()
    SessionRequest.objects.update(told=0, notification_sent_at=None)
    assert telling.tell_waiting() == 0
    assert far(request) == (telling.SKILLED, True)
    assert len(told(mechanic.user_profile)) == 1
    taking.mark_unattended(at=in_minutes(11))
    assert telling.tell_waiting(at=in_minutes(11)) == 1
    SessionRequest.objects.update(told=0, notification_sent_at=None)
    assert telling.tell_waiting(at=in_minutes(11)) == 0
    assert (len(told(mechanic.user_profile)), len(told(organizer))) == (1, 1)


def test_one_that_is_refused_holds_up_no_other(event, mechanic, caplog):
    broken, fine = service_request(event, urgent=True), service_request(event)
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE event_messages ADD CONSTRAINT refuses CHECK (key IS NULL OR key NOT LIKE 'service:"
            f"{broken.pk}:%%')"
        )
    assert telling.tell_waiting() == 1
    assert (far(broken), far(fine)) == ((0, False), (telling.SKILLED, True))
    [line] = [one.msg for one in caplog.records if one.levelname == "WARNING"]
    assert (line["event"], line["pk"], line["code"]) == ("sweep.refused", str(broken.pk), "conflict")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE event_messages DROP CONSTRAINT refuses")
    assert telling.tell_waiting() == 1
    assert told(mechanic.user_profile) == ["Somebody needs help", "Urgent: somebody needs help"]


def test_one_that_fails_as_nobody_foresaw_holds_up_no_other(event, mechanic):
    first, broken, last = (service_request(event) for _number in range(3))
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION made_to_fail() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = 'internal_error'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER made_to_fail BEFORE INSERT ON event_messages FOR EACH ROW "
            f"WHEN (NEW.key LIKE 'service:{broken.pk}:%%') EXECUTE FUNCTION made_to_fail()"
        )
    with pytest.raises(ExceptionGroup) as failed:
        telling.tell_waiting()
    [error] = failed.value.exceptions
    assert isinstance(error, InternalError) and "made to fail" in str(error)
    assert failed.value.exceptions[0].__notes__ == [f"requests.SessionRequest {broken.pk}"]
    assert [far(one) for one in (first, broken, last)] == [(1, True), (0, False), (1, True)]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; DROP TRIGGER made_to_fail ON event_messages")
    assert telling.tell_waiting() == 1
    assert len(told(mechanic.user_profile)) == 3


@pytest.mark.parametrize("has_mechanics", [True, False])
def test_many_are_told_of_in_as_many_statements_as_one(event, organizer, has_mechanics):
    """Of several organisations and events, with and without skill, come back and new."""

    def ask():
        for one in (event, EventFactory(organization=event.organization), EventFactory()):
            if has_mechanics:
                had = MechanicFactory(organization=one.organization, skills=["brakes"])
                again = service_request(one, mechanic=had)
                taking.release(request_id=again.pk, actor=had.user_profile)
            service_request(one, skill="brakes")

    ask()
    with CaptureQueriesContext(connection) as few:
        telling.tell_waiting()
    for _number in range(3):
        ask()
    with CaptureQueriesContext(connection) as many:
        telling.tell_waiting()
    assert len(many) == len(few)


# -- Whom it doesn't reach ---------------------------------------------------------------------------------


def test_whoever_is_closed_off_duty_or_asks_themselves_hears_nothing(event, mechanic):
    closed, off = (MechanicFactory(organization=event.organization) for _number in range(2))
    UserProfile.objects.filter(pk=closed.user_profile_id).update(is_active=False)
    Mechanic.objects.filter(pk=off.pk).update(on_duty=False)
    own = MechanicFactory(organization=event.organization)
    service_request(event, customer=own.user_profile)
    telling.tell_waiting(at=in_minutes(6))
    assert [len(told(one.user_profile)) for one in (mechanic, closed, off, own)] == [1, 0, 0, 0]


def test_by_push_too_but_not_for_whoever_has_muted_the_event(event, mechanic):
    muted = MechanicFactory(organization=event.organization)
    AttendeeFactory(event=event, user_profile=muted.user_profile, notifications_enabled=False)
    for number, one in enumerate((mechanic, muted)):
        PushDevice.objects.create(user=one.user_profile, token=f"token-{number}", platform="fcm")
    service_request(event)
    telling.tell_waiting()
    rows = MessageDelivery.objects.order_by("channel").values_list("user", "channel")
    assert list(rows.filter(user=muted.user_profile)) == [(muted.user_profile_id, "in_app")]
    channels = [channel for _user, channel in rows.filter(user=mechanic.user_profile)]
    assert channels[0] == "in_app" and set(Message.objects.get().channels) == {"in_app", "push"}


def test_organisers_hear_by_mail_as_well(event, organizer):
    service_request(event)
    telling.tell_waiting()
    telling.mail_organizers()
    assert list(MessageDelivery.objects.order_by("channel").values_list("user", "channel", "email")) == [
        (organizer.pk, "email", organizer.email),
        (organizer.pk, "in_app", None),
    ]


# -- Mail to organisers --------------------------------------------------------------------------------------


def unattended(event, number=1, **given):
    """So many requests that nobody took in time, of which organisers have been told in the app."""
    requests = [service_request(event, **given) for _number in range(number)]
    SessionRequest.objects.filter(pk__in=[one.pk for one in requests]).update(status="unattended")
    telling.tell_waiting()
    return requests


def mails(person):
    rows = MessageDelivery.objects.filter(user=person, channel="email").order_by("pk")
    return list(rows.values_list("message__subject", flat=True))


def test_thirty_that_nobody_takes_are_one_mail(event, organizer, mechanic):
    unattended(event, 30)
    assert [telling.mail_organizers() for _time in range(2)] == [1, 0]
    assert told(organizer) == ["Nobody takes a service request"] * 30
    assert mails(organizer) == ["Nobody takes 30 service requests"]


def test_the_next_mail_comes_ten_minutes_later_and_only_of_something_newer(event, organizer, mechanic):
    unattended(event)
    assert telling.mail_organizers() == 1
    assert telling.mail_organizers(at=in_minutes(11)) == 0
    first, second = unattended(event), unattended(event, urgent=True)
    assert telling.mail_organizers(at=in_minutes(9.9)) == 0
    assert telling.mail_organizers(at=in_minutes(10.1)) == 1
    assert mails(organizer) == ["Nobody takes a service request", "Nobody takes 3 service requests (urgent)"]
    taking.accept(request_id=second[0].pk, person=mechanic.user_profile)
    assert telling.mail_organizers(at=in_minutes(60)) == 0
    taking.accept(request_id=first[0].pk, person=mechanic.user_profile)
    assert telling.mail_organizers(at=in_minutes(60)) == 0


def test_what_is_taken_before_the_mail_is_not_in_it(event, organizer, mechanic):
    unattended(event)
    telling.mail_organizers()
    [taken] = unattended(event)
    taking.accept(request_id=taken.pk, person=mechanic.user_profile)
    assert telling.mail_organizers(at=in_minutes(11)) == 0
    assert mails(organizer) == ["Nobody takes a service request"]


def test_nobody_on_duty_is_mailed_at_once_and_so_is_another_organisation(event, organizer):
    elsewhere = EventFactory()
    theirs = member(elsewhere.organization, "owner")
    service_request(event)
    telling.tell_waiting()
    assert telling.mail_organizers() == 1
    unattended(elsewhere, 2)
    assert telling.mail_organizers() == 1
    assert (mails(organizer), mails(theirs)) == (
        ["Nobody takes a service request"],
        ["Nobody takes 2 service requests"],
    )


def test_no_mail_to_whoever_asks_themselves_does_not_want_it_or_was_told_nothing(event, organizer):
    asks, quiet = (member(event.organization, "organizer") for _number in range(2))
    preferences.choose(organization_id=event.organization_id, topic="service", mode="off", actor=quiet)
    service_request(event, customer=asks)
    assert telling.mail_organizers() == 0
    telling.tell_waiting()
    assert telling.mail_organizers() == 1
    assert (len(mails(organizer)), mails(asks), mails(quiet)) == (1, [], [])


def test_no_mail_while_the_channel_is_off(event, organizer, settings):
    settings.EMAIL_URL = ""
    unattended(event)
    assert telling.mail_organizers() == 0
    settings.EMAIL_URL = "smtp://mail.turnout.example"
    assert telling.mail_organizers() == 1


@pytest.mark.parametrize("number", [1, 3])
def test_a_mail_takes_as_many_statements_for_any_number(event, organizer, number, django_assert_num_queries):
    unattended(event, number)
    with django_assert_num_queries(10):
        assert telling.mail_organizers() == 1
    with django_assert_num_queries(7):
        assert telling.mail_organizers() == 0


def test_the_words_of_the_mail(event, organizer):
    unattended(event)
    telling.mail_organizers()
    assert only(organizer) == (
        "Nobody takes a service request",
        (
            "a customer waits for help, and no mechanic has accepted the request. It is about {event}.\n\n"
            f"On the board you can give a request to somebody:\n{BOARD}\n\n{CHOOSE}"
        ),
    )
    unattended(EventFactory(organization=event.organization))
    telling.mail_organizers(at=in_minutes(11))
    assert only(organizer) == (
        "Nobody takes 2 service requests",
        (
            "2 customers wait for help, and no mechanic has accepted their requests.\n\n"
            f"On the board you can give a request to somebody:\n{BOARD}\n\n{CHOOSE}"
        ),
    )
    assert Message.objects.latest("pk").event is None


# -- What is said --------------------------------------------------------------------------------------------


@pytest.fixture
def talk(event, mechanic):
    """A session of Ada's and the mechanic's, who has done nothing for an hour."""
    customer = UserProfileFactory(first_name="Ada", last_name="Byron")
    request = service_request(event, customer=customer, mechanic=mechanic)
    active(request, 60)
    return request


def active(request, minutes):
    """The mechanic last did something so long ago."""
    ago = timezone.now() - minutes * MINUTE
    ServiceSession.objects.filter(pk=request.session_id).update(last_activity_at=ago)


def said(request, person, minutes):
    """Something that the person said so long ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO service_session_messages (session_id, author_id, body, created_at) VALUES (%s, %s, %s, %s)",
            [request.session_id, person.pk, "A secret", timezone.now() - minutes * MINUTE],
        )


def say(request, person):
    return talking.say(session_id=request.session_id, person=person, body="Hello?")


def letters_to(person):
    """Of notices that somebody has written."""
    return told(person).count("You have been written to")


def test_whoever_does_not_answer_is_told_once_until_they_have(talk, mechanic):
    helper, ada = mechanic.user_profile, talk.customer
    said(talk, ada, 9)
    said(talk, ada, 8)
    assert (telling.tell_unanswered(), telling.tell_unanswered()) == (1, 0)
    said(talk, ada, 7)
    assert telling.tell_unanswered() == 0
    assert (letters_to(helper), letters_to(ada)) == (1, 0)
    said(talk, helper, 6)
    said(talk, ada, 5)
    assert telling.tell_unanswered() == 1
    said(talk, helper, 4)
    assert telling.tell_unanswered() == 1
    assert (letters_to(helper), letters_to(ada)) == (2, 1)
    said(talk, ada, 3)
    said(talk, helper, 2)
    assert telling.tell_unanswered() == 1
    assert (letters_to(helper), letters_to(ada)) == (2, 2)


def test_a_minute_is_time_to_answer(talk, mechanic):
    say(talk, talk.customer)
    assert telling.tell_unanswered() == telling.tell_unanswered(at=timezone.now() + 0.9 * MINUTE) == 0
    assert telling.tell_unanswered(at=timezone.now() + 1.1 * MINUTE) == 1
    assert letters_to(mechanic.user_profile) == 1


def test_a_mechanic_who_does_something_about_it_has_seen_it(talk, mechanic):
    said(talk, talk.customer, 9)
    active(talk, 8)
    assert telling.tell_unanswered() == 0
    said(talk, talk.customer, 7)
    assert telling.tell_unanswered() == 1


@pytest.mark.parametrize("end", [taking.release, taking.complete])
def test_of_what_does_not_go_on_nobody_is_told(talk, mechanic, end):
    said(talk, talk.customer, 9)
    said(talk, mechanic.user_profile, 8)
    end(request_id=talk.pk, actor=mechanic.user_profile)
    assert telling.tell_unanswered() == 0


def test_the_next_mechanic_is_heard_anew(talk, event, mechanic):
    said(talk, mechanic.user_profile, 9)
    assert telling.tell_unanswered() == 1
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    another = MechanicFactory(organization=event.organization)
    taking.accept(request_id=talk.pk, person=another.user_profile)
    said(talk, another.user_profile, 8)
    assert telling.tell_unanswered() == 1
    assert (letters_to(talk.customer), letters_to(mechanic.user_profile)) == (2, 0)


def test_the_next_mechanic_hears_what_is_written_to_them(talk, event, mechanic):
    """Though the one before was told of what came before it."""
    said(talk, talk.customer, 9)
    assert telling.tell_unanswered() == 1
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    another = MechanicFactory(organization=event.organization)
    taking.accept(request_id=talk.pk, person=another.user_profile)
    active(talk, 8)
    assert telling.tell_unanswered() == 0  # read when they accepted
    said(talk, talk.customer, 7)
    assert (telling.tell_unanswered(), telling.tell_unanswered()) == (1, 0)
    assert letters_to(another.user_profile) == 1


@pytest.mark.parametrize("between", [False, True])
def test_whoever_takes_it_again_hears_of_it_again(talk, event, mechanic, between):
    said(talk, talk.customer, 9)
    assert telling.tell_unanswered() == 1
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    if between:
        another = MechanicFactory(organization=event.organization).user_profile
        taking.accept(request_id=talk.pk, person=another)
        taking.release(request_id=talk.pk, actor=another)
    taking.accept(request_id=talk.pk, person=mechanic.user_profile)
    active(talk, 8)
    assert telling.tell_unanswered() == 0
    said(talk, talk.customer, 7)
    assert (telling.tell_unanswered(), telling.tell_unanswered()) == (1, 0)
    assert letters_to(mechanic.user_profile) == 2


def test_the_customer_hears_once_of_what_is_written_to_them_whoever_takes_it_again(talk, mechanic):
    said(talk, mechanic.user_profile, 9)
    assert telling.tell_unanswered() == 1
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    taking.accept(request_id=talk.pk, person=mechanic.user_profile)
    assert telling.tell_unanswered() == 0
    assert letters_to(talk.customer) == 1


def test_of_what_was_handed_back_meanwhile_nobody_is_told(talk, mechanic):
    said(talk, talk.customer, 9)
    [message] = telling.unanswered()
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    assert telling.tell_of_message(pk=message.pk) == 0
    assert letters_to(mechanic.user_profile) == 0


def test_of_what_the_one_before_wrote_nobody_is_told_in_the_next_one_s_name(talk, event, mechanic):
    said(talk, mechanic.user_profile, 9)
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    taking.accept(request_id=talk.pk, person=MechanicFactory(organization=event.organization).user_profile)
    assert telling.tell_unanswered() == 0


def test_the_words_of_what_is_said_are_no_part_of_it(talk, mechanic):
    said(talk, talk.customer, 9)
    telling.tell_unanswered()
    assert only(mechanic.user_profile) == (
        "You have been written to",
        (
            "in the session of a service request you have been written to by\n– Ada Byron\n\n"
            f"Read it here, and answer:\n{page(talk)}\n"
        ),
    )
    message = Message.objects.latest("pk")
    assert (message.channels, message.event_id) == (["in_app", "push"], talk.event_id)
    said(talk, mechanic.user_profile, 8)
    telling.tell_unanswered()
    assert "– Grace H.\n" in Message.objects.latest("pk").body


def test_nobody_is_called_by_their_address(talk, mechanic):
    SessionRequest.objects.update(customer_name="")
    said(talk, talk.customer, 9)
    telling.tell_unanswered()
    assert "written to by\n– Customer\n" in only(mechanic.user_profile)[1]


def test_whoever_is_erased_has_written_without_a_name(talk, mechanic):
    said(talk, talk.customer, 9)
    telling.tell_unanswered()
    message = Message.objects.latest("pk")
    privacy.erase(person_id=talk.customer_id, actor=talk.customer)
    message.refresh_from_db()
    assert "written to by\n– (erased)\n" in message.body


# -- What nobody has answered --------------------------------------------------------------------------------


def unanswered(request, person):
    return SessionRequest.objects.with_unanswered(person.pk).get(pk=request.pk).unanswered


def test_how_many_messages_wait_for_an_answer(talk, event, mechanic, organizer):
    helper, ada = mechanic.user_profile, talk.customer
    service_request(event, mechanic=mechanic)
    assert [unanswered(talk, one) for one in (ada, helper)] == [0, 0]
    say(talk, ada)
    say(talk, ada)
    assert [unanswered(talk, one) for one in (ada, helper, organizer)] == [0, 2, 0]
    say(talk, helper)
    assert [unanswered(talk, one) for one in (ada, helper)] == [1, 0]
    say(talk, ada)
    assert [unanswered(talk, one) for one in (ada, helper)] == [0, 1]


def test_what_a_mechanic_before_them_said_waits_for_no_other(talk, event, mechanic):
    say(talk, talk.customer)
    say(talk, mechanic.user_profile)
    taking.release(request_id=talk.pk, actor=mechanic.user_profile)
    another = MechanicFactory(organization=event.organization)
    taking.accept(request_id=talk.pk, person=another.user_profile)
    people = (talk.customer, mechanic.user_profile, another.user_profile)
    assert [unanswered(talk, one) for one in people] == [1, 0, 1]


# -- Who helps -----------------------------------------------------------------------------------------------

LETTER = "The board asks for your e-mail address and a password. A letter to set a password comes by separate mail."


def helping(event, actor, email):
    return mechanics.add(organization_id=event.organization_id, email=email, actor=actor)


def test_who_helps_from_now_on_is_told_where_the_board_is(event, organizer):
    person = UserProfileFactory(email="grace@example.org")
    helping(event, organizer, "grace@example.org")
    name = event.organization.name
    assert only(person) == (
        f"You help at {name}",
        (
            f"you are one of those who help customers of {name}. Their requests come to you while you are on duty, and "
            f"the first to accept one gets it.\n\nGo on duty on the board:\n{BOARD}\n"
        ),
    )
    assert Message.objects.get().channels == ["in_app", "push", "email"]
    assert mails(person) == [f"You help at {name}"]
    assert not AccountLetter.objects.exists()


@pytest.mark.parametrize("lacks", ["password", "confirmed address", "account"])
def test_who_has_no_way_in_gets_a_letter_to_set_a_password(event, organizer, mailoutbox, lacks):
    if lacks != "account":
        person = UserProfileFactory(email="grace@example.org", email_verified=lacks == "password")
        if lacks == "password":
            person.set_unusable_password()
            person.save()
    person = helping(event, organizer, "grace@example.org").user_profile
    assert only(person)[1].endswith(f"{BOARD}\n\n{LETTER}\n")
    assert mails(person) == ([f"You help at {event.organization.name}"] if lacks == "password" else [])
    send_letters()
    [mail] = mailoutbox
    assert (mail.to, mail.subject) == (["grace@example.org"], "Set a password")
    assert mail.body.startswith(
        f"You help at {event.organization.name}. Customers' requests come to you on the board, {BOARD}\n\n"
        f"For this you need a password at Turnout ({SITE}).\n\nTo set it, open this address:\n\n{SITE}/"
    )
    assert "the old password" not in mail.body


def test_who_starts_again_is_told_and_who_stops_or_does_it_themselves_is_not(event, mechanic, organizer):
    name = f"You help at {event.organization.name}"
    change = {"mechanic_id": mechanic.pk, "actor": organizer}
    mechanics.set_active(active=False, **change)
    assert told(mechanic.user_profile) == []
    mechanics.set_active(active=True, **change)
    assert mechanics.set_active(active=True, **change).changed is False
    assert told(mechanic.user_profile) == [name]
    for active in (False, True):
        mechanics.set_active(mechanic_id=mechanic.pk, active=active, actor=mechanic.user_profile)
    helping(event, organizer, organizer.email)
    assert (told(mechanic.user_profile), told(organizer)) == ([name], [])
    for active in (False, True):
        mechanics.set_active(active=active, **change)
    assert told(mechanic.user_profile) == [name] * 2


def test_somebody_who_is_no_mechanic_after_all_is_told_nothing(event, mechanic, organizer):
    with pytest.raises(mechanics.AlreadyMechanic):
        helping(event, organizer, mechanic.user_profile.email)
    assert told(mechanic.user_profile) == []
    assert not AccountLetter.objects.exists()


# -- The words ---------------------------------------------------------------------------------------------

GREETING = "Hello {name},\n\n"
CHOOSE = f"Choose what you hear of, and how: {SITE}/admin/notices/\n"


def page(request):
    return f"{SITE}/help/{request.session_id}/"


def only(person):
    """Subject and body of the one notice that the person was sent last."""
    message = Message.objects.filter(deliveries__user=person).order_by("pk").last()
    assert (message.kind, list(message.deliveries.order_by("user").values_list("user", flat=True).distinct())) == (
        "service_request",
        [person.pk],
    )
    greeting, body = message.body[: len(GREETING)], message.body[len(GREETING) :]
    assert greeting == GREETING
    return message.subject, body


def test_the_words_of_a_request_that_waits(event, mechanic):
    service_request(event)
    telling.tell_waiting()
    assert only(mechanic.user_profile) == (
        "Somebody needs help",
        (f"a customer is waiting for help. It is about {{event}}. The first to accept it gets it.\n\n{BOARD}\n"),
    )


def test_the_words_when_it_is_urgent_and_about_no_event(event, mechanic):
    customer = AttendeeFactory(event=event).user_profile
    given = {"concern": "A secret", "urgent": True, "skill": "brakes"}
    request = intakes.start_intake(person=customer, organization_id=event.organization_id, **given).row
    telling.tell_waiting()
    assert only(mechanic.user_profile) == (
        "Urgent: somebody needs help (brakes)",
        f"a customer is waiting for help. The first to accept it gets it.\n\n{BOARD}\n",
    )
    assert Message.objects.get().event is None
    assert request.notes not in Message.objects.get().body


def test_the_words_when_it_still_waits(event, skilled, mechanic):
    service_request(event, skill="brakes")
    telling.tell_waiting()
    telling.tell_waiting(at=in_minutes(6))
    assert only(mechanic.user_profile) == (
        "Still waiting: somebody needs help (brakes)",
        (f"nobody has taken this request yet. It is about {{event}}. The first to accept it gets it.\n\n{BOARD}\n"),
    )


def test_the_words_for_organisers(event, organizer):
    request = service_request(event, urgent=True)
    telling.tell_waiting()
    assert only(organizer) == (
        "A customer needs help, and nobody is on duty",
        (
            "a customer has asked for help, and no mechanic who could take it is on duty. It is about "
            f"{{event}}.\n\n{BOARD}\n\n{CHOOSE}"
        ),
    )
    taking.mark_unattended(at=in_minutes(11))
    telling.tell_of(pks=[request.pk])
    assert only(organizer) == (
        "Nobody takes a service request (urgent)",
        (
            "a customer has been waiting for help for too long, and no mechanic has accepted the request. "
            f"It is about {{event}}.\n\nIt stands first on the board, where you can give it to somebody:\n{BOARD}\n\n"
            f"{CHOOSE}"
        ),
    )


def test_the_words_of_accepting_and_giving_back(event, mechanic):
    request = service_request(event, mechanic=mechanic)
    assert only(request.customer) == (
        "Somebody is here for you",
        f"your request has been accepted by\n– Grace H.\n\nHere you meet:\n{page(request)}\n",
    )
    about = Message.objects.get().audience_details["about"]
    assert about == {str(mechanic.user_profile_id): [3]}
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    assert only(request.customer) == (
        "We are looking for somebody else",
        (
            "your request is back in the line, at the place that it had: whoever had accepted it can't "
            f"go on. The others have been told.\n\n{page(request)}\n"
        ),
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "idle",
            (
                "you had accepted a request and nothing happened for a while, so somebody else may take it now. If you "
                "are still there, accept it again."
            ),
        ),
        ("off_duty", "you are off duty, so what you had accepted went back to the line."),
        ("released", "an organiser has put a request that you had accepted back into the line."),
    ],
)
def test_the_words_for_whoever_had_it(event, mechanic, organizer, reason, words):
    request = service_request(event, mechanic=mechanic)
    if reason == "idle":
        taking.return_idle(at=in_minutes(16))
    elif reason == "off_duty":
        mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=organizer)
    else:
        taking.release(request_id=request.pk, actor=organizer)
    assert only(mechanic.user_profile) == (
        "A request went back to the line",
        f"{words}\n\nThe board: {BOARD}\n",
    )


def test_the_words_of_a_reminder(event, mechanic):
    request = service_request(event, mechanic=mechanic)
    taking.remind_idle(at=in_minutes(11))
    assert only(mechanic.user_profile) == (
        "Are you still on it?",
        (
            "you have accepted a request, and nothing has happened for a while. Write to the customer, or "
            f"say that you are on it; otherwise it goes back to the line soon.\n\n{page(request)}\n"
        ),
    )
    ServiceSession.objects.update(last_activity_at=timezone.now())
    talking.keep(session_id=request.session_id, person=mechanic.user_profile)
    assert taking.remind_idle(at=in_minutes(12)) == 1
    assert told(mechanic.user_profile) == ["Are you still on it?"] * 2


def test_the_words_of_taking_over(event, mechanic, skilled, organizer):
    request = service_request(event, mechanic=mechanic)
    taking.takeover(request_id=request.pk, mechanic_id=skilled.pk, actor=organizer)
    assert only(mechanic.user_profile) == (
        "Somebody else has taken over",
        (
            "an organiser has given a request that you had accepted to somebody else. There is nothing "
            "left to do for you.\n"
        ),
    )
    assert only(skilled.user_profile) == (
        "A request was given to you",
        (f"an organiser has given you a customer's request. It is about {{event}}.\n\n{page(request)}\n"),
    )


def test_the_words_of_the_end(event, mechanic, organizer):
    done, off, other = (service_request(event, mechanic=mechanic) for _number in range(3))
    taking.complete(request_id=done.pk, actor=mechanic.user_profile)
    assert only(done.customer) == (
        "Your request is done",
        "your request is closed as done. If something is missing, ask again.\n",
    )
    taking.cancel(request_id=off.pk, actor=off.customer)
    assert only(mechanic.user_profile) == (
        "A request was cancelled",
        "a request that you had accepted was cancelled. There is nothing left to do for you.\n",
    )
    taking.cancel(request_id=other.pk, actor=organizer)
    assert only(other.customer) == (
        "Your request was cancelled",
        "an organiser has cancelled your request. If you still need help, ask again.\n",
    )


def test_the_words_when_a_newer_one_waits(event, mechanic):
    older = service_request(event, mechanic=mechanic)
    service_request(event, customer=older.customer)
    taking.return_idle(at=in_minutes(16))
    assert only(older.customer) == (
        "We are looking for somebody for your newer request",
        (
            "whoever had accepted your earlier request can't go on. You have asked again since, so the "
            "earlier one is closed, and the newer one keeps its place in the line.\n"
        ),
    )
    assert told(mechanic.user_profile) == ["A request was cancelled"]


def test_texts_are_in_the_site_s_language_and_say_nothing_of_the_concern(event, mechanic, organizer):
    """Whoever's phone shows a notice may lie on a table."""
    customer = UserProfileFactory(first_name="Ada", last_name="Lovelace")
    with translation.override("de"):
        request = service_request(event, customer=customer, concern="A secret", mechanic=mechanic)
        taking.cancel(request_id=request.pk, actor=organizer)
    texts = "".join(one.subject + one.body for one in Message.objects.all())
    assert "Hello {name}" in texts
    assert "secret" not in texts and "Ada" not in texts
