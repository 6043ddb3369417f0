"""What organisers hear of the door, when they want to: by real check-ins and refusals."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from attendance.models import Attendee, CheckIn, CheckInAttempt
from attendance.operations import marking
from events.operations import privacy
from messaging import tasks
from messaging.models import Message, NoticePreference
from messaging.operations import door_notices
from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory, crowd, member

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
SITE = settings.SITE_URL


@pytest.fixture
def event():
    """Going on since an hour ago, where it is noon: no midnight is near."""
    now = timezone.now()
    zone = f"Etc/GMT{now.hour - 12:+d}"
    return EventFactory(starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1), timezone=zone)


def listener(event, mode, role="organizer", topic="door", **fields):
    person = member(event.organization, role, **fields)
    NoticePreference.objects.create(organization=event.organization, user=person, topic=topic, mode=mode)
    return person


def attempt(event, reason="unknown_ticket", ago=timedelta(minutes=1), **fields):
    return CheckInAttempt.objects.create(event=event, reason=reason, received_at=timezone.now() - ago, **fields)


def told():
    return list(Message.objects.order_by("pk").values_list("subject", flat=True))


def hears(message):
    return set(message.deliveries.values_list("user", flat=True))


def arrival(event, at):
    """An accepted scan at a moment."""
    return CheckIn.objects.create(
        event=event, attendee=AttendeeFactory(event=event), result="checked_in", checked_in_at=at, received_at=at
    )


# -- Doors are open ------------------------------------------------------------------------------


def test_the_first_check_in_of_the_day_is_told(event):
    person = listener(event, "at_once")
    arrival(event, timezone.now() - timedelta(minutes=2))
    arrival(event, timezone.now() - timedelta(minutes=1))
    tasks.tell_of_the_door()
    message = Message.objects.get()
    local = (timezone.now() - timedelta(minutes=2)).astimezone(event.zone)
    assert (message.subject, message.kind, message.event, message.channels, hears(message)) == (
        "Doors are open: {event}",
        "door",
        event,
        ["in_app", "push"],
        {person.pk},
    )
    assert message.body == (
        f"The first check-in of the day was at {local:%H:%M}.\n\n"
        f"{SITE}/admin/attendance/attendee/figures/{event.pk}/\n\n"
        f"Choose what you hear of, and how: {SITE}/admin/notices/\n"
    )
    tasks.tell_of_the_door()
    assert told() == ["Doors are open: {event}"]


def test_each_day_opens_once():
    event = EventFactory(
        starts_at=datetime(2199, 6, 1, 9, tzinfo=BERLIN), ends_at=datetime(2199, 6, 2, 18, tzinfo=BERLIN)
    )
    listener(event, "at_once")
    for day in (1, 2):
        for hour in (9, 10):
            arrival(event, datetime(2199, 6, day, hour, tzinfo=BERLIN))
            door_notices.tell(at=datetime(2199, 6, day, hour, 1, tzinfo=BERLIN))
    assert told() == ["Doors are open: {event}"] * 2
    keys = Message.objects.order_by("pk").values_list("key", flat=True)
    assert [key.rpartition(":")[2] for key in keys] == ["2199-06-01", "2199-06-02"]


def test_an_opening_that_was_undone_or_is_old_is_not_told(event):
    listener(event, "at_once")
    undone = arrival(event, timezone.now() - timedelta(minutes=3))
    CheckIn.objects.filter(pk=undone.pk).update(undone_at=timezone.now())
    assert door_notices.tell() == 0
    arrival(event, timezone.now() - timedelta(minutes=20))
    arrival(event, timezone.now())
    assert door_notices.tell() == 0


# -- Refusals ------------------------------------------------------------------------------------


def test_refusals_are_told_together(event):
    person = listener(event, "at_once")
    gone = AttendeeFactory(event=event, user_profile=UserProfileFactory(first_name="Ann", last_name="Smith"))
    for _scan in range(2):
        attempt(event)
    for _scan in range(3):
        attempt(event, "ticket_revoked", attendee=gone)
    tasks.tell_of_the_door()
    message = Message.objects.get()
    assert (message.subject, hears(message)) == ("5 refused at the door: {event}", {person.pk})
    assert message.body == (
        "Ticket of somebody removed: 3\n– Ann Smith\nUnknown ticket: 2\n\n"
        f"{SITE}/admin/attendance/attendee/figures/{event.pk}/\n\n"
        f"Choose what you hear of, and how: {SITE}/admin/notices/\n"
    )


def test_refusals_are_told_every_five_minutes_at_most_and_each_once(event):
    listener(event, "at_once")
    attempt(event)
    assert door_notices.tell() == 1
    attempt(event)
    assert door_notices.tell() == 0
    assert door_notices.tell(at=timezone.now() + timedelta(minutes=6)) == 1
    assert door_notices.tell(at=timezone.now() + timedelta(minutes=12)) == 0
    assert told() == ["1 refused at the door: {event}"] * 2


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_tell_of_refusals_once(event):
    """The first hasn't committed when another is refused, and the second sweep sees that, but no notice."""
    listener(event, "at_once")
    attempt(event)

    def another():
        try:
            attempt(event)
            return door_notices.tell()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert door_notices.tell() == 1
        assert pool.submit(another).result() == 0
    assert door_notices.tell() == 0
    assert door_notices.tell(at=timezone.now() + timedelta(minutes=6)) == 1
    assert told() == ["1 refused at the door: {event}"] * 2


def test_whom_the_door_refused_is_forgotten_line_by_line(event):
    """Somebody without a name is no line; somebody refused for two reasons is two."""
    listener(event, "at_once")
    people = [UserProfileFactory(first_name=name, last_name="") for name in ("e", "Ann", "")]
    for reason, refused in (("ticket_revoked", people), ("point_closed", people[:1])):
        for person in refused:
            attendee = Attendee.objects.filter(user_profile=person).first()
            attempt(event, reason, attendee=attendee or AttendeeFactory(event=event, user_profile=person))
    assert door_notices.tell() == 1

    def said():
        return Message.objects.get().body.partition("\n\n")[0].splitlines()

    reasons = [CheckInAttempt.Reason(one).label for one in ("ticket_revoked", "point_closed")]
    assert said() == [f"{reasons[0]}: 3", "– Ann", "– e", f"{reasons[1]}: 1", "– e"]
    privacy.erase(person_id=people[0].pk, actor=None)
    assert said() == [f"{reasons[0]}: 3", "– Ann", "– (erased)", f"{reasons[1]}: 1", "– (erased)"]
    privacy.erase(person_id=people[1].pk, actor=None)
    assert said() == [f"{reasons[0]}: 3", "– (erased)", "– (erased)", f"{reasons[1]}: 1", "– (erased)"]


def test_a_refusal_of_this_moment_waits_until_those_before_it_are_on_record(event):
    listener(event, "at_once")
    attempt(event, ago=timedelta(seconds=10))
    assert door_notices.tell() == 0
    assert door_notices.tell(at=timezone.now() + timedelta(seconds=25)) == 1


def test_old_refusals_are_no_news(event):
    listener(event, "at_once")
    attempt(event, ago=timedelta(minutes=20))
    assert door_notices.tell() == 0


def test_a_real_refusal_at_the_door(event, as_person):
    organizer = listener(event, "at_once")
    answer = as_person(organizer).post(f"/api/v1/events/{event.pk}/check-ins/", {"ticket_code": "f" * 32})
    assert [one["code"] for one in answer.json()["errors"]] == ["unknown_ticket"]
    assert door_notices.tell(at=timezone.now() + timedelta(minutes=1)) == 1
    assert told() == ["1 refused at the door: {event}"]


# -- Figures of the day --------------------------------------------------------------------------


def test_figures_when_the_event_is_over():
    now = timezone.now()
    event = EventFactory(starts_at=now - timedelta(hours=4), ends_at=now - timedelta(hours=1))
    person = listener(event, "digest")
    for status in ("present", "present", "late", "absent"):
        marking.mark(attendee_id=AttendeeFactory(event=event).pk, status=status, actor=None)
    AttendeeFactory(event=event, source="walk_in")
    attempt(event, ago=timedelta(hours=2))
    tasks.tell_of_the_door()
    tasks.tell_of_the_door()
    message = Message.objects.get()
    assert (message.subject, message.event, hears(message)) == ("3 of 5 came: {event}", event, {person.pk})
    assert message.body == (
        "Expected: 5\nCame: 3\nOf those, late: 1\nAbsent: 1\nWalk-ins: 1\nRefused scans: 1\n\n"
        f"{SITE}/admin/attendance/attendee/figures/{event.pk}/\n\n"
        f"Choose what you hear of, and how: {SITE}/admin/notices/\n"
    )


DAYS = {"starts_at": datetime(2199, 6, 1, 9, tzinfo=BERLIN), "ends_at": datetime(2199, 6, 3, 17, tzinfo=BERLIN)}
NIGHT = {"starts_at": datetime(2199, 6, 1, 20, tzinfo=BERLIN), "ends_at": datetime(2199, 6, 2, 2, tzinfo=BERLIN)}


@pytest.mark.parametrize(
    ("times", "moments"),
    [
        (DAYS, [(1, 22, 0), (2, 22, 0), (3, 17, 40)]),  # the last day's with 30 minutes of grace, and 10 more
        (NIGHT, [(2, 2, 40)]),
    ],
)
def test_figures_of_each_day(times, moments):
    event = EventFactory(**times)
    listener(event, "digest")
    due = [datetime(2199, 6, day, hour, minute, tzinfo=BERLIN) for day, hour, minute in moments]
    told_at, moment = [], times["starts_at"]
    while moment < times["ends_at"] + timedelta(days=2):
        if door_notices.tell(at=moment):
            told_at.append(moment)
        moment += timedelta(minutes=20)
    assert told_at == due


def test_figures_that_nobody_could_send_are_too_old_next_day():
    event = EventFactory(**DAYS)
    listener(event, "digest")
    assert door_notices.tell(at=datetime(2199, 6, 2, 10, tzinfo=BERLIN)) == 0
    assert door_notices.tell(at=datetime(2199, 6, 2, 9, 59, tzinfo=BERLIN)) == 1


@pytest.mark.parametrize("status", ["draft", "cancelled"])
def test_no_figures_of_what_did_not_take_place(status):
    event = EventFactory(**DAYS, status=status)
    listener(event, "digest")
    assert door_notices.tell(at=datetime(2199, 6, 1, 22, tzinfo=BERLIN)) == 0


# -- Who hears, and what it costs ----------------------------------------------------------------


def test_only_deciders_who_wish_hear(event):
    wished = {listener(event, "at_once").pk, listener(event, "at_once", role="owner").pk}
    for role, mode, fields in (
        ("organizer", "digest", {}),
        ("organizer", "off", {}),
        ("viewer", "at_once", {}),
        ("door", "at_once", {}),
        ("organizer", "at_once", {"is_active": False}),
    ):
        listener(event, mode, role=role, **fields)
    member(event.organization, "owner")
    listener(EventFactory(), "at_once")
    attempt(event)
    door_notices.tell()
    assert hears(Message.objects.get()) == wished


def test_two_queries_where_nobody_listens(event, django_assert_num_queries):
    member(event.organization, "owner")
    attempt(event)
    with django_assert_num_queries(4):  # a savepoint, who hears at once, who daily, and its release
        assert door_notices.tell() == 0


@pytest.mark.parametrize("count", [1, 3])
def test_the_same_number_of_queries_for_any_number(event, count, django_assert_num_queries):
    for one in [event, *EventFactory.create_batch(count - 1, organization=event.organization)]:
        times = {name: getattr(event, name) for name in ("starts_at", "ends_at", "timezone")}
        type(one).objects.filter(pk=one.pk).update(**times)
        crowd(one, 5 * count)
        for _scan in range(count):
            attempt(one)
            arrival(one, timezone.now())
        listener(one, "at_once")
        listener(one, "digest")
    # who hears; opened: events, what was told, first check-ins; refused: whether nobody else is at it, events,
    # what was told, attempts; who hears daily, events; the notices and their deliveries; and the savepoint
    with django_assert_num_queries(2 + 12):
        assert door_notices.tell() == 2 * count
    over = event.ends_at + timedelta(hours=1)
    # nothing is new at once, so that no first check-in is looked for; of the days, what was told, and figures
    with django_assert_num_queries(2 + 13):
        assert door_notices.tell(at=over) == count
