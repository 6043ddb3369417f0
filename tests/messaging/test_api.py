"""The inbox, as the phone app reads it, and the devices that ring for it."""

import random
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from events.models import UserProfile
from events.operations import privacy
from messaging.models import MessageDelivery, PushDevice
from messaging.operations import inbox
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    EventGuestFactory,
    MessageDeliveryFactory,
    MessageFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db
MESSAGES, DEVICES = "/api/v1/me/messages/", "/api/v1/me/devices/"


@pytest.fixture
def person():
    return UserProfileFactory(first_name="Ada", last_name="Lovelace")


@pytest.fixture
def me(person, as_person):
    return as_person(person)


def delivery(person, event=None, message=None, guest=None, **fields):
    """One to the person: as a guest of the event's list where ``guest`` says so."""
    message = message or MessageFactory(event=event)
    now = timezone.now()
    return MessageDeliveryFactory(
        **{
            "message": message,
            "guest": guest,
            "user": None if guest else person,
            "next_attempt_at": now,
            "status": "sent",
            "sent_at": now,
            **fields,
        }
    )


def ids(answer):
    return [row["id"] for row in answer.json()["results"]]


def error_of(answer):
    return answer.status_code, answer.json()["errors"][0]["code"]


def state():
    return list(MessageDelivery.objects.order_by("pk").values("pk", "read_at", "status", "delivered_at"))


# -- The inbox ---------------------------------------------------------------------------------------


def test_inbox_shows_a_message_as_it_reads(me, person, event):
    guest = EventGuestFactory(event=event, guest_name="Ada L.", user=person)
    message = MessageFactory(event=event, subject="{event}", body="Hello {name}, {this} is {event}.")
    one = delivery(person, message=message, guest=guest)
    assert me.get(MESSAGES).json() == {
        "unread": 1,
        "next": None,
        "previous": None,
        "results": [
            {
                "id": str(one.pk),
                "kind": "announcement",
                "subject": event.title,
                "body": f"Hello Ada L., {{this}} is {event.title}.",
                "event": {"id": event.pk, "title": event.title, "slug": event.slug},
                "created_at": one.created_at.isoformat().replace("+00:00", "Z"),
                "sent_at": one.sent_at.isoformat().replace("+00:00", "Z"),
                "read_at": None,
            }
        ],
    }


def test_inbox_without_event_or_guest_names_the_person(me, person):
    delivery(person, message=MessageFactory(event=None, kind="requests", subject="{name}: {event}", body=""))
    [entry] = me.get(MESSAGES).json()["results"]
    assert (entry["subject"], entry["event"], entry["kind"]) == ("Ada Lovelace: ", None, "requests")


def test_inbox_has_a_message_once_and_the_newest_first(me, person, event):
    """Over three channels, to two lines of the list that are one person, and to the account."""
    message = MessageFactory(event=event)
    first, second = (EventGuestFactory(event=event, user=person) for _n in range(2))
    copies = [delivery(person, message=message, guest=first, channel=one) for one in ("in_app", "email", "sms")]
    copies += [delivery(person, message=message, guest=second), delivery(person, message=message)]
    newer = delivery(person, event)
    assert ids(me.get(MESSAGES)) == [str(newer.pk), str(copies[0].pk)]
    assert me.get(MESSAGES).json()["unread"] == 2


def test_inbox_leaves_out_what_was_withdrawn(me, person, event):
    message, now = MessageFactory(event=event), timezone.now()
    delivery(person, message=message, withdrawn_at=now)
    kept = delivery(person, message=message, channel="email")
    delivery(person, event, withdrawn_at=now)
    assert ids(me.get(MESSAGES)) == [str(kept.pk)]
    assert me.get(MESSAGES).json()["unread"] == 1


def test_inbox_by_event_and_by_what_is_unread(me, person, event):
    other = EventFactory()
    here, there = delivery(person, event), delivery(person, other)
    read = delivery(person, event, read_at=timezone.now())
    assert ids(me.get(MESSAGES)) == [str(read.pk), str(there.pk), str(here.pk)]
    for query, expected, unread in (
        ({"event": event.pk}, [read, here], 1),
        ({"unread": "true"}, [there, here], 2),
        ({"event": other.pk, "unread": "true"}, [there], 1),
        ({"unread": "false"}, [read, there, here], 2),
        ({"event": 2**62}, [], 0),
    ):
        answer = me.get(MESSAGES, query)
        assert (ids(answer), answer.json()["unread"]) == ([str(one.pk) for one in expected], unread), query


@pytest.mark.parametrize("query", [{"event": "x"}, {"event": -1}, {"event": 2**63}, {"unread": "perhaps"}])
def test_inbox_names_a_bad_question(me, query):
    answer = me.get(MESSAGES, query)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, next(iter(query)))


def test_inbox_pages_by_key(me, person, event):
    rows = [delivery(person, event) for _n in range(5)]
    seen, link, counts = [], f"{MESSAGES}?page_size=2", []
    while link:
        page = me.get(link).json()
        seen += [row["id"] for row in page["results"]]
        counts.append(page["unread"])
        link = page["next"]
    assert seen == [str(one.pk) for one in reversed(rows)]
    assert counts == [5, None, None]
    made_up = me.get(MESSAGES, {"cursor": "cD14"})
    assert error_of(made_up) == (404, "not_found")


@pytest.mark.parametrize("query", [{}, {"event": None}, {"unread": "true"}, {"event": None, "unread": "true"}], ids=str)
@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
def test_inbox_pages_have_each_entry_once_while_more_comes_in(me, person, query, page_size):
    """Against all deliveries of the person, one by one: copies far apart, withdrawn or read, other people's between."""
    events, other = EventFactory.create_batch(2), UserProfileFactory()
    messages = [MessageFactory(event=event) for event in events for _n in range(6)]
    chance = random.Random(page_size)
    for message, channel in chance.sample([(one, to) for one in messages for to in ("in_app", "email", "sms")], 30):
        for to in (person, other):
            moments = {name: timezone.now() for name in ("withdrawn_at", "read_at") if chance.random() < 0.3}
            delivery(to, message=message, channel=channel, **moments)
    rows = MessageDelivery.objects.filter(user=person, withdrawn_at=None).order_by("-pk")
    if "unread" in query:
        rows = rows.filter(read_at=None)
    if "event" in query:
        query, rows = query | {"event": events[0].pk}, rows.filter(event=events[0])
    first = {row.message_id: str(row.pk) for row in rows}
    expected = sorted(first.values(), reverse=True)
    assert len(expected) >= 3

    page = me.get(MESSAGES, query | {"page_size": page_size}).json()
    seen, pages = [row["id"] for row in page["results"]], [page]
    while page["next"]:
        message = chance.choice(messages)
        delivery(person, message=message, guest=EventGuestFactory(event=message.event, user=person))
        page = me.get(page["next"]).json()
        seen += [row["id"] for row in page["results"]]
        pages.append(page)
    assert (seen, len(pages)) == (expected, -(-len(expected) // page_size))
    back = [row["id"] for row in page["results"]]
    while page["previous"]:
        page = me.get(page["previous"]).json()
        back = [row["id"] for row in page["results"]] + back
    assert back[-len(expected) :] == expected


@pytest.mark.parametrize("count", [1, 3])
def test_inbox_counts_its_queries(me, person, event, count, django_assert_num_queries):
    for _number in range(count):
        guest = EventGuestFactory(event=event, user=person)
        delivery(person, event, guest=guest)
    for path in (MESSAGES, f"/api/v1/events/{event.pk}/messages/"):
        with django_assert_num_queries(3):  # whether the person may act, with what is unread; the page; what it says
            assert len(ids(me.get(path))) == count


def test_inbox_is_not_sent_twice(me, person, event):
    delivery(person, event)
    tag = me.get(MESSAGES)["ETag"]
    assert me.get(MESSAGES, headers={"If-None-Match": tag}).status_code == 304
    delivery(person, event)
    assert me.get(MESSAGES, headers={"If-None-Match": tag}).status_code == 200


# -- Of one event --------------------------------------------------------------------------------------


def test_messages_of_an_event(me, person, event):
    mine = delivery(person, event)
    delivery(person, EventFactory())
    answer = me.get(f"/api/v1/events/{event.pk}/messages/")
    assert (ids(answer), answer.json()["unread"]) == ([str(mine.pk)], 1)


def test_messages_of_an_event_are_for_whoever_may_see_it_or_was_sent_some(as_person):
    hidden, opened = EventFactory(visibility="private"), EventFactory()
    guest = UserProfileFactory()
    message = delivery(guest, hidden, read_at=timezone.now())
    stranger = UserProfileFactory()

    def get(who, event, **query):
        return as_person(who).get(f"/api/v1/events/{event.pk}/messages/", query)

    assert ids(get(guest, hidden)) == [str(message.pk)]
    assert get(guest, hidden, unread="true").json()["results"] == []
    assert error_of(get(stranger, hidden)) == (404, "not_found")
    assert ids(get(stranger, opened)) == []
    assert ids(get(AttendeeFactory(event=hidden).user_profile, hidden)) == []
    assert error_of(as_person(guest).get(f"/api/v1/events/{2**62}/messages/")) == (404, "not_found")
    assert error_of(as_person(guest).get(f"/api/v1/events/{2**63}/messages/")) == (404, "not_found")
    MessageDelivery.objects.update(withdrawn_at=timezone.now())
    assert error_of(get(guest, hidden)) == (404, "not_found")


# -- Read ------------------------------------------------------------------------------------------------


def test_reading_marks_every_copy_of_the_message(me, person, event):
    message = MessageFactory(event=event)
    guest = EventGuestFactory(event=event, user=person)
    copies = [
        delivery(person, message=message, guest=guest),
        delivery(person, message=message, guest=guest, channel="email"),
        delivery(person, message=message, guest=guest, channel="sms", status="failed"),
        delivery(person, message=message, status="queued", sent_at=None),
    ]
    other = delivery(person, event)
    anothers = delivery(UserProfileFactory(), message=message)
    answer = me.post(f"{MESSAGES}{copies[1].pk}/read/")
    assert (answer.status_code, answer.json()) == (200, {"unread": 1})
    for one in (*copies, other, anothers):
        one.refresh_from_db()
    assert [one.read_at is not None for one in (*copies, other, anothers)] == [True] * 4 + [False] * 2
    assert [one.status for one in copies] == ["delivered", "sent", "failed", "queued"]
    assert [one.delivered_at is not None for one in copies] == [True, False, False, False]
    assert me.get(MESSAGES).json()["unread"] == 1


def test_reading_again_changes_nothing(me, person, event):
    one = delivery(person, event)
    me.post(f"{MESSAGES}{one.pk}/read/")
    before = state()
    assert me.post(f"{MESSAGES}{one.pk}/read/").status_code == 200
    assert me.post(f"{MESSAGES}read/").status_code == 200
    assert state() == before


def test_what_bounced_later_stays_bounced(me, person, event):
    one = delivery(person, event, status="bounced")
    me.post(f"{MESSAGES}{one.pk}/read/")
    one.refresh_from_db()
    assert (one.status, one.read_at is not None) == ("bounced", True)


def test_reading_all_of_an_event_or_up_to_an_entry(me, person, event):
    other = EventFactory()
    rows = [delivery(person, event), delivery(person, other), delivery(person, event), delivery(person, other)]
    anothers = delivery(UserProfileFactory(), event)

    def unread():
        return [
            one.pk in set(MessageDelivery.objects.filter(read_at=None).values_list("pk", flat=True)) for one in rows
        ]

    assert me.post(f"{MESSAGES}read/", {"until": str(rows[0].pk)}).json() == {"unread": 3}
    assert unread() == [False, True, True, True]
    assert me.post(f"{MESSAGES}read/", {"event": event.pk, "until": str(rows[1].pk)}).json() == {"unread": 3}
    assert me.post(f"{MESSAGES}read/", {"event": event.pk}).json() == {"unread": 2}
    assert unread() == [False, True, False, True]
    assert me.post(f"{MESSAGES}read/").json() == {"unread": 0}
    assert unread() == [False] * 4
    anothers.refresh_from_db()
    assert anothers.read_at is None


def test_reading_up_to_an_entry_marks_its_later_copies(me, person, event):
    message = MessageFactory(event=event)
    first = delivery(person, message=message)
    newer = delivery(person, event)
    copy = delivery(person, message=message, channel="email")
    assert me.post(f"{MESSAGES}read/", {"until": str(first.pk)}).json() == {"unread": 1}
    assert set(MessageDelivery.objects.filter(read_at=None).values_list("pk", flat=True)) == {newer.pk}
    assert copy.pk > newer.pk > first.pk


@pytest.mark.parametrize("body", [{"event": "x"}, {"event": -1}, {"until": "x"}, [], "x"])
def test_reading_all_with_bad_fields_changes_nothing(me, person, event, body):
    delivery(person, event)
    before = state()
    assert me.post(f"{MESSAGES}read/", body).status_code == 400
    assert state() == before


def test_reading_counts_its_queries(me, person, event, django_assert_num_queries):
    rows = [delivery(person, event) for _n in range(4)]
    with django_assert_num_queries(5):  # whose it is, the copies, what is left; and the transaction's two
        me.post(f"{MESSAGES}{rows[0].pk}/read/")
    with django_assert_num_queries(5):  # whether the person may act, the entries, what is left; and those two
        me.post(f"{MESSAGES}read/")


# -- Nobody sees another's ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "organizer", "door", "viewer", "superuser", "attendee", "stranger", "guest"])
def test_nobody_reads_anothers_messages(as_person, person, event, role):
    mine = delivery(person, event)
    someone = {
        "superuser": lambda: UserProfileFactory(is_superuser=True),
        "attendee": lambda: AttendeeFactory(event=event).user_profile,
        "stranger": UserProfileFactory,
        "guest": lambda: EventGuestFactory(event=event, user=UserProfileFactory()).user,
    }.get(role, lambda: member(event.organization, role))()
    api, before = as_person(someone), state()
    for path in (MESSAGES, f"{MESSAGES}?event={event.pk}", f"/api/v1/events/{event.pk}/messages/"):
        assert api.get(path).json() == {"unread": 0, "next": None, "previous": None, "results": []}
    assert error_of(api.post(f"{MESSAGES}{mine.pk}/read/")) == (404, "not_found")
    assert error_of(api.post(f"{MESSAGES}{uuid.uuid4()}/read/")) == (404, "not_found")
    assert api.post(f"{MESSAGES}read/", {"event": event.pk, "until": str(mine.pk)}).json() == {"unread": 0}
    assert state() == before


@pytest.mark.parametrize("end", ["deactivated", "erased"])
def test_whoever_is_gone_gets_nothing(me, person, event, end):
    one = delivery(person, event)
    device = PushDevice.objects.create(user=person, token="t", platform="ios", seen_at=timezone.now())
    if end == "erased":
        privacy.erase(person_id=person.pk, actor=person)
    else:
        UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    before = state(), list(PushDevice.objects.values())
    closed = (401, "account_closed")
    assert error_of(me.get(MESSAGES)) == closed
    assert error_of(me.get(f"/api/v1/events/{event.pk}/messages/")) == closed
    assert error_of(me.post(f"{MESSAGES}{one.pk}/read/")) == (404, "not_found")
    assert error_of(me.post(f"{MESSAGES}read/")) == closed
    assert error_of(me.get(DEVICES)) == closed
    assert error_of(me.post(DEVICES, {"token": "new", "platform": "ios"})) == closed
    assert error_of(me.delete(f"{DEVICES}{device.pk}/")) == (404, "not_found")
    assert (state(), list(PushDevice.objects.values())) == before


def test_strangers_sign_in_first(client, event):
    for method, path in (
        ("get", MESSAGES),
        ("post", f"{MESSAGES}read/"),
        ("post", f"{MESSAGES}{uuid.uuid4()}/read/"),
        ("get", f"/api/v1/events/{event.pk}/messages/"),
        ("get", DEVICES),
        ("post", DEVICES),
        ("delete", f"{DEVICES}{uuid.uuid4()}/"),
    ):
        assert error_of(getattr(client, method)(path)) == (401, "not_authenticated")


def test_a_guest_who_is_linked_has_their_messages_at_once(as_person, person, event):
    guest = EventGuestFactory(event=event, email=person.email)
    other = EventGuestFactory(event=event)
    sent = delivery(None, event, guest=guest)
    delivery(None, message=sent.message, guest=other)
    sent.refresh_from_db()
    assert (sent.user, ids(as_person(person).get(MESSAGES))) == (None, [])
    UserProfile.objects.filter(pk=person.pk).update(email_verified=False)
    UserProfile.objects.filter(pk=person.pk).update(email_verified=True)
    assert ids(as_person(person).get(MESSAGES)) == [str(sent.pk)]


# -- Devices -------------------------------------------------------------------------------------------------


def test_device_is_registered_once(me, person):
    first = me.post(DEVICES, {"token": "abc", "platform": "android"})
    device = PushDevice.objects.get()
    assert (first.status_code, first.json()["id"], first.json()["platform"]) == (201, str(device.pk), "android")
    assert (device.user, device.token) == (person, "abc")
    PushDevice.objects.update(seen_at=timezone.now() - timedelta(days=3))
    again = me.post(DEVICES, {"token": "abc", "platform": "ios"})
    assert (again.status_code, again.json()["id"], again.json()["platform"]) == (200, str(device.pk), "ios")
    assert PushDevice.objects.get().seen_at > timezone.now() - timedelta(minutes=1)
    assert me.get(DEVICES).json()["results"] == [again.json()]


def test_device_goes_along_with_who_signed_in_there_last(me, person, as_person):
    other = UserProfileFactory()
    before = as_person(other).post(DEVICES, {"token": "abc", "platform": "web"}).json()
    assert me.post(DEVICES, {"token": "abc", "platform": "web"}).json()["id"] == before["id"]
    assert PushDevice.objects.get().user == person
    assert as_person(other).get(DEVICES).json()["results"] == []
    assert error_of(as_person(other).delete(f"{DEVICES}{before['id']}/")) == (404, "not_found")
    assert PushDevice.objects.count() == 1


def test_twenty_first_device_takes_the_place_of_the_one_not_seen_for_longest(me, person):
    for number in range(inbox.DEVICES):
        me.post(DEVICES, {"token": f"token {number}", "platform": "ios"})
    PushDevice.objects.filter(token="token 7").update(seen_at=timezone.now() - timedelta(days=1))
    anothers = PushDevice.objects.create(
        user=UserProfileFactory(), token="x", platform="ios", seen_at="2020-01-01T00:00Z"
    )
    assert me.post(DEVICES, {"token": "one more", "platform": "ios"}).status_code == 201
    kept = set(PushDevice.objects.filter(user=person).values_list("token", flat=True))
    assert kept == {f"token {number}" for number in range(20) if number != 7} | {"one more"}
    assert PushDevice.objects.filter(pk=anothers.pk).exists()


def test_device_is_forgotten(me, person):
    device = me.post(DEVICES, {"token": "abc", "platform": "ios"}).json()
    assert me.delete(f"{DEVICES}{device['id']}/").status_code == 204
    assert not PushDevice.objects.exists()
    assert error_of(me.delete(f"{DEVICES}{device['id']}/")) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "x"},
        {"platform": "ios"},
        {"token": "", "platform": "ios"},
        {"token": "x" * 1001, "platform": "ios"},
        {"token": "x", "platform": "fax"},
        {"token": ["x"], "platform": "ios"},
        [],
    ],
)
def test_device_with_bad_fields_is_refused(me, body):
    assert me.post(DEVICES, body).status_code == 400
    assert not PushDevice.objects.exists()


# -- Notifications of an event -------------------------------------------------------------------------------


def test_notifications_of_an_event_are_turned_off_and_on(as_person):
    attendee = AttendeeFactory()
    place = f"/api/v1/events/{attendee.event_id}/attendees/me/"
    for wanted in (False, True):
        answer = as_person(attendee.user_profile).patch(place, {"notifications_enabled": wanted})
        assert (answer.status_code, answer.json()["notifications_enabled"]) == (200, wanted)
        attendee.refresh_from_db()
        assert attendee.notifications_enabled is wanted
