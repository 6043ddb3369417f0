"""Who hears of a decision, and of requests that wait: the words, the recipients, and how often."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from attendance.models import Attendee
from config.errors import DomainError
from events.operations import privacy
from messaging.models import Message, MessageDelivery, NoticePreference
from requests import tasks
from requests.models import JoinRequest
from requests.operations import invitations, join_requests, notices, removals
from tests.config.postgres import waited_for
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    InvitationLinkFactory,
    JoinRequestFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def event():
    return EventFactory(
        title="Autumn Meeting",
        venue="The Hall",
        starts_at=datetime(2199, 11, 28, 9, tzinfo=UTC),
        ends_at=datetime(2199, 11, 28, 17, tzinfo=UTC),
    )


def told(person=None, kind="join_decision"):
    """Subjects of notices, the first first; of one person's where given."""
    messages = Message.objects.filter(kind=kind).order_by("pk")
    if person is not None:
        messages = messages.filter(pk__in=MessageDelivery.objects.filter(user=person).values("message"))
    return list(messages.values_list("subject", flat=True))


def hears(message):
    return set(message.deliveries.values_list("user", flat=True))


SITE = settings.SITE_URL
APPROVED, DECLINED = "You are in: {event}", "Your request to join {event}"
REMOVED, BANNED = "You are no longer on the list of {event}", "You can't come to {event}"
PUT_BACK = "Your request to join {event} waits again"


# -- Decisions -----------------------------------------------------------------------------------


def test_approval_is_told_with_time_and_place(event, organizer, settings):
    settings.EMAIL_URL = "smtp://mail.turnout.example"
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=organizer, note="Bring a pen.")
    message = Message.objects.get()
    assert (message.subject, message.kind, message.event, message.channels) == (
        APPROVED,
        "join_decision",
        event,
        ["in_app", "push", "email"],
    )
    assert message.body == (
        "Hello {name},\n\nyou are in: we look forward to seeing you at {event}.\n\n"
        "Thursday, 28 November 2199, 10:00 to 18:00 (Europe/Berlin)\nThe Hall\n\nBring a pen.\n"
    )
    assert list(message.deliveries.values_list("user", "channel", "email").order_by("channel")) == [
        (request.user_profile_id, "email", request.user_profile.email),
        (request.user_profile_id, "in_app", None),
    ]


def test_times_of_an_event_of_several_days(event, organizer):
    event.ends_at += timedelta(days=1)
    event.timezone, event.venue = "America/New_York", ""
    event.save()
    join_requests.decline(request_id=JoinRequestFactory(event=event).pk, actor=organizer)
    assert Message.objects.get().body == (
        "Hello {name},\n\nthank you for your interest in {event}. We are sorry: this time there is no place for "
        "you.\n\nThursday, 28 November 2199, 04:00 to Friday, 29 November 2199, 12:00 (America/New_York)\n"
    )


def test_each_move_has_its_own_words(event, organizer):
    request = JoinRequestFactory(event=event)
    moves = {"request_id": request.pk, "actor": organizer}
    join_requests.decline(**moves, note="Too late.")
    join_requests.reopen(**moves)
    join_requests.approve(**moves)
    join_requests.reopen(**moves)
    join_requests.approve(**moves)
    join_requests.decline(**moves, note="Rude.")
    assert told(request.user_profile) == [DECLINED, PUT_BACK, APPROVED, PUT_BACK, APPROVED, REMOVED]
    said = [message.body.partition("\n\n")[2] for message in Message.objects.order_by("pk")]
    assert "Too late." in said[0]
    assert said[1].startswith(
        "the organisers are looking at your request to join {event} once more. You will hear from us.\n"
    )
    assert said[3].startswith(
        "the organisers are looking at your request to join {event} once more. "
        "Until they have decided, you are not on the list, and your ticket doesn't let you in.\n"
    )
    assert said[5].startswith(
        "the organisers have taken you off the list of {event}. Your ticket is no longer valid.\n\nRude.\n"
    )


def test_nobody_is_told_what_they_did_themselves(event):
    organizer = member(event.organization, "organizer")
    own = join_requests.send(event_id=event.pk, person=organizer).row
    join_requests.approve(request_id=own.pk, actor=organizer)
    join_requests.cancel(request_id=own.pk, actor=organizer)
    join_requests.send(event_id=event.pk, person=organizer)
    assert told() == []


def test_a_cancelled_request_is_not_told(event):
    request = JoinRequestFactory(event=event)
    join_requests.cancel(request_id=request.pk, actor=None)
    assert told() == []


def test_a_decision_that_changes_nothing_is_not_told_again(event, organizer):
    request = JoinRequestFactory(event=event)
    for _time in range(2):
        join_requests.approve(request_id=request.pk, actor=organizer)
    assert told() == [APPROVED]


def test_automatic_approval_is_told_at_once(event):
    event.approval_mode = "auto"
    event.save()
    person = UserProfileFactory()
    join_requests.send(event_id=event.pk, person=person)
    assert told(person) == [APPROVED]


def test_whoever_moves_up_is_told_along_with_whoever_left(event, organizer):
    event.approval_mode, event.capacity = "auto", 1
    event.save()
    inside, waiting = [join_requests.send(event_id=event.pk, person=UserProfileFactory()).row for _place in range(2)]
    join_requests.decline(request_id=inside.pk, actor=organizer)
    assert told(inside.user_profile) == [APPROVED, REMOVED]
    assert told(waiting.user_profile) == [APPROVED]


@pytest.mark.parametrize("count", [1, 30])
def test_a_whole_line_is_told_by_one_message(event, count):
    event.approval_mode = "auto"
    event.save()
    requests = JoinRequestFactory.create_batch(count, event=event)
    with CaptureQueriesContext(connection) as queries:
        assert join_requests.admit_pending(event_id=event.pk) == count
    about = [one["sql"] for one in queries if "event_messages" in one["sql"] or "message_deliveries" in one["sql"]]
    assert len(about) == 2
    assert told() == [APPROVED]
    assert hears(Message.objects.get()) == {one.user_profile_id for one in requests}


def test_an_account_that_is_closed_hears_nothing(event, organizer):
    request = JoinRequestFactory(event=event)
    person = request.user_profile
    person.is_active = False
    person.save()
    join_requests.approve(request_id=request.pk, actor=organizer)
    assert MessageDelivery.objects.count() == 0


def test_whoever_is_erased_hears_nothing_and_is_named_no_more(event, organizer):
    ann = UserProfileFactory(first_name="Ann", last_name="Smith")
    request = JoinRequestFactory(event=event, user_profile=ann)
    join_requests.decline(request_id=request.pk, actor=organizer, note="Because of their illness.")
    other = EventFactory(organization=event.organization)
    for person in (ann, UserProfileFactory(first_name="Bob", last_name="Stone")):
        JoinRequestFactory(event=other, user_profile=person, queued_at=timezone.now() - timedelta(days=2))
    notices.tell_daily(at=datetime.now(other.zone).replace(hour=12))
    privacy.erase(person_id=ann.pk, actor=None)
    assert list(JoinRequest.objects.order_by("pk").values_list("status", flat=True)) == [
        "declined",
        "cancelled",
        "pending",
    ]
    own, summary = Message.objects.order_by("pk")
    assert own.body == ""
    assert "Longer than a day:\n– (erased)\n– Bob Stone\n" in summary.body
    assert told(ann) == [own.subject]


def test_erasing_forgets_the_person_and_no_word_that_reads_like_their_name(event, organizer):
    """Short names, names within others and within the event's, and the same ones at another organisation."""
    other = EventFactory(title="Annual Announcement", starts_at=event.starts_at, timezone=event.timezone)
    listener = member(other.organization, "owner")
    type(event).objects.filter(pk=event.pk).update(title="Annual Announcement")
    named = [{"first_name": one, "last_name": last} for one, last in (("e", ""), ("Ann", ""), ("Anne", "Ann"))]
    e, ann, _anne = [
        waiting(event, SEVEN, timedelta(days=3, hours=-number), **name)[0] for number, name in enumerate(named)
    ]
    for number, name in enumerate(named):
        waiting(other, SEVEN, timedelta(days=3, hours=-number), **name)
    assert notices.tell_daily(at=SEVEN) == 2
    ours, theirs = (Message.objects.get(deliveries__user=person) for person in (organizer, listener))

    def body(event, *people):
        return (
            "Hello {name},\n\n3 join requests wait for a decision, the longest for 3 days.\n\n"
            "Annual Announcement: 3, the longest for 3 days\nLonger than a day:\n"
            + "".join(f"– {one}\n" for one in people)
            + f"{SITE}/admin/requests/joinrequest/?event__id__exact={event.pk}&status__exact=pending\n\n"
            f"Choose what you hear of, and how: {SITE}/admin/notices/\n"
        )

    def is_said(*people):
        for message in (ours, theirs):
            message.refresh_from_db()
        assert ours.body == body(event, *people)
        assert theirs.body == body(other, "e", "Ann", "Anne Ann")
        assert ours.subject == theirs.subject == "3 join requests wait for you"

    is_said("e", "Ann", "Anne Ann")
    privacy.erase(person_id=e.user_profile_id, actor=None)
    is_said("(erased)", "Ann", "Anne Ann")
    privacy.erase(person_id=ann.user_profile_id, actor=None)
    is_said("(erased)", "(erased)", "Anne Ann")


def test_erasing_forgets_a_name_wherever_it_stands_and_in_the_record(event, organizer):
    person = UserProfileFactory(first_name="Ann\n– Bob", last_name="Smith")
    other = EventFactory(organization=event.organization, starts_at=event.starts_at)
    for one in (event, other):
        JoinRequestFactory(event=one, queued_at=SEVEN - timedelta(days=2), user_profile=person)
    notices.tell_daily(at=SEVEN)
    message = Message.objects.get()
    message.save()  # somebody changed something about it: the record has the text as well
    before = message.body
    assert before.count("\n– Ann – Bob Smith\n") == 2
    privacy.erase(person_id=person.pk, actor=None)
    message.refresh_from_db()
    assert message.body == before.replace("Ann – Bob Smith", "(erased)")
    assert message.history.get().body == message.body


def test_a_notice_whose_reader_was_erased_stays_empty(event, organizer):
    [request] = waiting(event, SEVEN, timedelta(days=2))
    notices.tell_daily(at=SEVEN)
    for person in (organizer, request.user_profile):
        privacy.erase(person_id=person.pk, actor=None)
    assert Message.objects.get().body == ""


def test_an_approval_that_is_undone_was_not_told(event, organizer):
    request = JoinRequestFactory(event=event)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        join_requests.approve(request_id=request.pk, actor=organizer)
        raise ZeroDivisionError
    assert told() == []
    assert MessageDelivery.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once_tell_once(event, organizer):
    request = JoinRequestFactory(event=event)
    start = threading.Barrier(2)

    def approve():
        try:
            start.wait(timeout=20)
            return join_requests.approve(request_id=request.pk, actor=organizer).changed
        except DomainError as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        results = [one.result() for one in [pool.submit(approve) for _connection in range(2)]]
    assert sorted(results) == [False, True]
    assert told() == [APPROVED]
    assert MessageDelivery.objects.filter(channel="in_app").count() == 1


# -- Removed, banned, invited --------------------------------------------------------------------


def test_removal_with_a_request_tells_why(event, organizer):
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=organizer)
    removals.remove(attendee_id=Attendee.objects.get().pk, actor=organizer, reason="No longer a member.")
    assert told(request.user_profile) == [APPROVED, REMOVED]
    assert "No longer a member." in Message.objects.order_by("pk").last().body


def test_removal_without_a_request_keeps_why_to_the_record(event, organizer):
    attendee = AttendeeFactory(event=event)
    removals.remove(attendee_id=attendee.pk, actor=organizer, reason="No longer a member.")
    assert told(attendee.user_profile) == [REMOVED]
    assert "No longer a member." not in Message.objects.get().body


@pytest.mark.parametrize(("status", "why"), [("pending", True), ("approved", True), (None, False)])
def test_ban_is_told_once(event, organizer, status, why):
    if status is None:
        person = AttendeeFactory(event=event).user_profile
        act, key = removals.ban, {"attendee_id": Attendee.objects.get().pk}
    else:
        request = JoinRequestFactory(event=event)
        person = request.user_profile
        if status == "approved":
            join_requests.approve(request_id=request.pk, actor=None)
        act, key = removals.ban_applicant, {"request_id": request.pk}
    before = Message.objects.count()
    for _time in range(2):
        act(**key, actor=organizer, reason="Rude.")
    [message] = Message.objects.order_by("pk")[before:]
    assert (message.subject, hears(message)) == (BANNED, {person.pk})
    assert ("Rude." in message.body) == why


def test_a_ban_after_the_event_is_not_told(event, organizer):
    attendee = AttendeeFactory(event=event)
    type(event).objects.update(status="completed")
    removals.ban(attendee_id=attendee.pk, actor=organizer, reason="Rude.")
    assert told() == []


@pytest.mark.parametrize("asked", [True, False])
def test_whoever_comes_in_by_a_link_is_told(event, asked):
    link = InvitationLinkFactory(event=event)
    person = UserProfileFactory()
    if asked:
        JoinRequestFactory(event=event, user_profile=person)
    for _time in range(2):
        invitations.accept(token=link.token, person=person)
    assert told(person) == [APPROVED]


# -- New requests, at once -----------------------------------------------------------------------


def wants(person, organization, mode, topic="requests"):
    NoticePreference.objects.update_or_create(
        organization=organization, user=person, topic=topic, defaults={"mode": mode}
    )
    return person


@pytest.fixture
def listener(event, organizer):
    return wants(organizer, event.organization, "at_once")


def asked(event, ago=timedelta(), count=1, **fields):
    """Pending requests of so long ago."""
    moment = timezone.now() - ago
    return [
        JoinRequestFactory(event=event, queued_at=moment + timedelta(microseconds=number), **fields)
        for number in range(count)
    ]


def test_a_new_request_is_told_at_once(event, listener):
    asked(event, timedelta(minutes=2), count=3)
    tasks.tell_of_new_requests()
    message = Message.objects.get()
    assert (message.subject, message.kind, message.event) == ("3 requests wait: {event}", "requests", event)
    assert message.body == (
        "Hello {name},\n\nsomebody has asked to join {event}. "
        "3 requests wait for a decision, the longest for 2 minutes.\n\n"
        f"{SITE}/admin/requests/joinrequest/?event__id__exact={event.pk}&status__exact=pending\n\n"
        f"Choose what you hear of, and how: {SITE}/admin/notices/\n"
    )
    assert hears(message) == {listener.pk}


def test_many_requests_are_one_notice_and_later_ones_another(event, listener):
    asked(event, timedelta(minutes=5), count=20)
    assert notices.tell_of_new() == 1
    assert notices.tell_of_new() == 0
    asked(event, timedelta(minutes=1))
    assert notices.tell_of_new() == 0  # told of the event lately
    later = timezone.now() + timedelta(minutes=11)
    assert notices.tell_of_new(at=later) == 1
    assert notices.tell_of_new(at=later + timedelta(minutes=11)) == 0  # nobody has asked since
    assert told(kind="requests") == ["20 requests wait: {event}", "21 requests wait: {event}"]


def test_a_request_that_is_gone_leaves_nothing_new(event, listener):
    first, second = asked(event, count=2)
    assert notices.tell_of_new() == 1
    join_requests.cancel(request_id=second.pk, actor=None)
    assert notices.tell_of_new(at=timezone.now() + timedelta(minutes=11)) == 0


@pytest.mark.parametrize(
    ("event_fields", "request_fields"),
    [
        ({"approval_mode": "auto"}, {}),
        ({"status": "cancelled"}, {}),
        ({"status": "completed"}, {}),
        ({"starts_at": datetime(2001, 1, 1, tzinfo=UTC), "ends_at": datetime(2001, 1, 2, tzinfo=UTC)}, {}),
        ({}, {"status": "cancelled"}),
    ],
)
def test_what_nobody_must_decide_is_not_told(event, listener, event_fields, request_fields):
    type(event).objects.update(**event_fields)
    asked(event, **request_fields)
    assert notices.tell_of_new() == 0


def test_whoever_asked_days_ago_is_no_news(event, listener):
    asked(event, timedelta(days=2))
    assert notices.tell_of_new() == 0


def test_a_request_that_was_held_back_waits_for_a_decision(event, listener):
    type(event).objects.update(approval_mode="auto")
    asked(event, held=True)
    assert notices.tell_of_new() == 1


def test_only_deciders_of_the_organisation_who_wish_hear(event, listener):
    organization = event.organization
    owner = wants(member(organization, "owner"), organization, "at_once")
    for person in (
        member(organization, "organizer"),  # once a day, as nothing was chosen
        wants(member(organization, "organizer"), organization, "off"),
        wants(member(organization, "viewer"), organization, "at_once"),
        wants(member(organization, "door"), organization, "at_once"),
        wants(member(organization, "organizer", is_active=False), organization, "at_once"),
        wants(UserProfileFactory(is_superuser=True), organization, "at_once"),
        wants(member(EventFactory().organization, "owner"), organization, "at_once"),
    ):
        assert person.pk != listener.pk
    asked(event)
    notices.tell_of_new()
    assert hears(Message.objects.get()) == {listener.pk, owner.pk}


def test_new_requests_cost_one_query_where_nobody_listens(event, organizer, django_assert_num_queries):
    asked(event)
    with django_assert_num_queries(3):  # a savepoint, who listens, and its release
        notices.tell_of_new()


@pytest.mark.parametrize("count", [1, 3])
def test_new_requests_cost_the_same_for_any_number(event, listener, count, django_assert_num_queries):
    for one in [event, *EventFactory.create_batch(count - 1, organization=event.organization)]:
        asked(one, count=count)
    for _person in range(count - 1):
        wants(member(event.organization, "owner"), event.organization, "at_once")
    # who listens, whether nobody else is at it, what waits, its events, what they were told, the notices,
    # their deliveries
    with django_assert_num_queries(2 + 7):
        assert notices.tell_of_new() == count


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_tell_of_new_requests_once(event, listener):
    """The first hasn't committed when another request comes, and the second sweep sees it, but no notice."""
    asked(event, timedelta(minutes=2))
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert notices.tell_of_new() == 1
        assert pool.submit(elsewhere, lambda: (asked(event), notices.tell_of_new())[1]).result() == 0
    assert notices.tell_of_new() == 0
    assert notices.tell_of_new(at=timezone.now() + timedelta(minutes=11)) == 1
    assert told(kind="requests") == ["1 request waits: {event}", "2 requests wait: {event}"]


@pytest.mark.django_db(transaction=True)
def test_sweeps_in_a_crowd_tell_of_new_requests_once(event, listener):
    start = threading.Barrier(4)

    def sweep():
        asked(event)
        start.wait(timeout=20)
        return notices.tell_of_new()

    with ThreadPoolExecutor(4) as pool:
        results = [one.result() for one in [pool.submit(elsewhere, sweep) for _sweep in range(4)]]
    assert sorted(results) == [0, 0, 0, 1]
    assert told(kind="requests") == ["4 requests wait: {event}"]


def elsewhere(act):
    """On a connection of its own."""
    try:
        return act()
    finally:
        connections.close_all()


# -- Once a day ----------------------------------------------------------------------------------

SEVEN = datetime(2199, 11, 20, 6, tzinfo=UTC)
"""Seven in the morning in Berlin."""


def waiting(event, at, ago, count=1, **person):
    return [
        JoinRequestFactory(event=event, queued_at=at - ago, user_profile=UserProfileFactory(**person))
        for _request in range(count)
    ]


def test_the_daily_summary(event, organizer):
    asked_first = {"first_name": "Ann", "last_name": "Smith"}
    waiting(event, SEVEN, timedelta(days=3, hours=1), **asked_first)
    waiting(event, SEVEN, timedelta(hours=2), count=2)
    other = EventFactory(organization=event.organization, title="Winter Ball", starts_at=event.starts_at)
    waiting(other, SEVEN, timedelta(hours=5))
    waiting(EventFactory(starts_at=event.starts_at), SEVEN, timedelta(days=9))  # another organisation's
    assert notices.tell_daily(at=SEVEN) == 1
    message = Message.objects.get()
    assert (message.subject, message.event, hears(message)) == (
        "4 join requests wait for you",
        None,
        {organizer.pk},
    )
    page = f"{SITE}/admin/requests/joinrequest/?event__id__exact={{}}&status__exact=pending"
    assert message.body == (
        "Hello {name},\n\n4 join requests wait for a decision, the longest for 3 days.\n\n"
        "Autumn Meeting: 3, the longest for 3 days\nLonger than a day:\n– Ann Smith\n"
        f"{page.format(event.pk)}\n\n"
        "Winter Ball: 1, for 5 hours\n"
        f"{page.format(other.pk)}\n\n"
        f"Choose what you hear of, and how: {SITE}/admin/notices/\n"
    )


def test_the_daily_summary_of_one_event_belongs_to_it(event, organizer):
    waiting(event, SEVEN, timedelta(days=2), count=12)
    notices.tell_daily(at=SEVEN)
    message = Message.objects.get()
    assert message.event == event
    lines = message.body.splitlines()
    named = lines[lines.index("Longer than a day:") + 1 :]
    assert all(line.startswith("– First") for line in named[:10]) and named[10] == "and 2 more"


def test_nothing_is_said_where_nothing_waits(event, organizer):
    assert notices.tell_daily(at=SEVEN) == 0


@pytest.mark.parametrize(
    ("after", "expected"),
    [(timedelta(minutes=-1), 0), (timedelta(0), 1), (timedelta(hours=12, minutes=45), 1), (timedelta(hours=13), 0)],
)
def test_the_daily_summary_goes_out_in_the_day(event, organizer, after, expected):
    waiting(event, SEVEN, timedelta(hours=2))
    assert notices.tell_daily(at=SEVEN + after) == expected


def test_the_daily_summary_is_told_once_a_day(event, organizer):
    waiting(event, SEVEN, timedelta(hours=2))
    for hours in (0, 1, 24, 25, 72):  # nobody could send it on the third day
        notices.tell_daily(at=SEVEN + timedelta(hours=hours))
    assert told(organizer, "requests") == ["1 join request waits for you"] * 3


def test_what_comes_after_seven_is_tomorrows(event, organizer):
    waiting(event, SEVEN + timedelta(minutes=1), timedelta(0))
    assert notices.tell_daily(at=SEVEN + timedelta(hours=2)) == 0
    assert notices.tell_daily(at=SEVEN + timedelta(days=1)) == 1


@pytest.mark.parametrize(
    ("seven", "previous"),
    [
        (datetime(2027, 3, 28, 5, tzinfo=UTC), datetime(2027, 3, 27, 6, tzinfo=UTC)),  # spring: a day of 23 hours
        (datetime(2027, 10, 31, 6, tzinfo=UTC), datetime(2027, 10, 30, 5, tzinfo=UTC)),  # autumn: 25
    ],
)
def test_seven_is_seven_when_clocks_change(event, organizer, seven, previous):
    waiting(event, previous, timedelta(hours=2))
    for moment in (previous, seven):
        assert notices.tell_daily(at=moment - timedelta(minutes=1)) == 0
        assert notices.tell_daily(at=moment) == 1
    days = [key.rpartition(":")[2] for key in Message.objects.order_by("pk").values_list("key", flat=True)]
    assert days == [previous.date().isoformat(), seven.date().isoformat()]


def test_a_day_is_a_day_whatever_zone_the_longest_wait_is_in(event, organizer):
    """In Auckland it is seven on the 21st while in Berlin it is the evening of the 20th."""
    there = EventFactory(organization=event.organization, starts_at=event.starts_at, timezone="Pacific/Auckland")
    waiting(event, SEVEN, timedelta(hours=3))
    assert notices.tell_daily(at=SEVEN) == 1
    waiting(there, SEVEN, timedelta(hours=5))
    evening = SEVEN + timedelta(hours=12)
    assert timezone.localtime(evening, there.zone).hour == 7
    assert notices.tell_daily(at=evening) == 0
    assert notices.tell_daily(at=evening + timedelta(days=1)) == 1
    JoinRequest.objects.filter(event=there).delete()
    assert notices.tell_daily(at=evening + timedelta(days=1, minutes=15)) == 0
    assert notices.tell_daily(at=SEVEN + timedelta(days=2)) == 1


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Auckland", "Asia/Kolkata", "America/Los_Angeles"])
def test_each_morning_has_its_summary_in_every_zone(event, organizer, zone):
    type(event).objects.update(timezone=zone)
    waiting(event, SEVEN, timedelta(days=1))
    hours = [hour for hour in range(96) if notices.tell_daily(at=SEVEN + timedelta(hours=hour, minutes=30))]
    moments = [timezone.localtime(SEVEN + timedelta(hours=hour, minutes=30), ZoneInfo(zone)) for hour in hours]
    assert len({one.date() for one in moments}) == len(moments) >= 4
    assert {one.hour for one in moments[1:]} == {7}


@pytest.mark.django_db(transaction=True)
def test_two_daily_sweeps_at_once_tell_once(event, organizer):
    waiting(event, SEVEN, timedelta(hours=3))
    with waited_for("SELECT FROM events WHERE id = %s FOR UPDATE", [event.pk], by=2), ThreadPoolExecutor(2) as pool:
        sweeps = [pool.submit(elsewhere, lambda: notices.tell_daily(at=SEVEN)) for _sweep in range(2)]
        results = [one.result() for one in sweeps]
    assert sorted(results) == [0, 1]
    assert told(organizer, "requests") == ["1 join request waits for you"]


def test_whoever_hears_at_once_or_not_at_all_gets_no_summary(event, listener):
    wants(member(event.organization, "owner"), event.organization, "off")
    member(event.organization, "viewer")
    waiting(event, SEVEN, timedelta(hours=2))
    assert notices.tell_daily(at=SEVEN) == 0


@pytest.mark.parametrize("count", [1, 30])
def test_the_daily_summary_costs_the_same_for_any_number(event, count, django_assert_num_queries):
    for _person in range(count):
        member(event.organization, "organizer")
    waiting(event, SEVEN, timedelta(days=2), count=count)
    # who listens, what waits, its events, who was told, names, the notices, their deliveries
    with django_assert_num_queries(2 + 7):
        assert notices.tell_daily(at=SEVEN) == count


def test_the_daily_task_tells_by_the_clock(event, organizer):
    waiting(event, timezone.now(), timedelta(days=2))
    tasks.tell_of_requests_daily()
    local = timezone.now().astimezone(event.zone)
    assert told(kind="requests") == (["1 join request waits for you"] if 7 <= local.hour < 20 else [])


def test_a_request_is_pending_until_somebody_decides(event):
    """What the audience of an announcement names: who has asked, and who was declined."""
    from messaging.audiences import all_audiences

    pending, declined = JoinRequestFactory.create_batch(2, event=event)
    JoinRequestFactory()
    join_requests.decline(request_id=declined.pk, actor=None)
    found = {key: list(all_audiences()[key].people(event, {})) for key in ("asked", "declined")}
    people = {key: [row["user_profile_id"] for row in rows] for key, rows in found.items()}
    assert people == {"asked": [pending.user_profile_id], "declined": [declined.user_profile_id]}
    assert JoinRequest.objects.count() == 3
