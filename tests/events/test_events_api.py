"""Events as a phone lists them: who sees which, and what one's own standing is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from events.models import Event
from events.operations import events
from requests.operations import join_requests
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    JoinRequestFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db

LIST = "/api/v1/events/"
NOT_FOUND = {"type": "client_error", "errors": [{"code": "not_found", "detail": "Not found.", "attr": None}]}


def url(event):
    return f"{LIST}{event.pk}/"


def when(moment):
    return moment.isoformat().replace("+00:00", "Z")


def answered(response, status):
    assert response.status_code == status, response.content
    return response.json()


def ids(response):
    return [one["id"] for one in answered(response, 200)["results"]]


def shown(event, **standing):
    row = Event.objects.select_related("organization").get(pk=event.pk)
    return {
        "id": row.pk,
        "organization": {"id": row.organization_id, "name": row.organization.name, "slug": row.organization.slug},
        "slug": row.slug,
        "title": row.title,
        "description": row.description,
        "starts_at": when(row.starts_at),
        "ends_at": when(row.ends_at),
        "timezone": row.timezone,
        "venue": row.venue,
        "capacity": row.capacity,
        "seats_taken": row.seats_taken,
        "max_plus_ones": row.max_plus_ones,
        "approval_mode": row.approval_mode,
        "visibility": row.visibility,
        "status": row.status,
        "updated_at": when(row.updated_at),
        "my_request_status": None,
        "my_attendee_id": None,
        "my_role": None,
    } | standing


def test_event_of_a_stranger(as_person):
    event = EventFactory(capacity=10, description="Talks", venue="Hall 1")
    AttendeeFactory(event=event, plus_ones=1)
    api = as_person(UserProfileFactory())
    expected = shown(event, capacity=10, seats_taken=2, description="Talks", venue="Hall 1")
    assert answered(api.get(url(event)), 200) == expected
    assert answered(api.get(LIST), 200) == {"next": None, "previous": None, "results": [expected]}


def test_event_shows_ones_own_standing(event, as_person):
    request = JoinRequestFactory(event=event)
    api = as_person(request.user_profile)
    assert answered(api.get(url(event)), 200) == shown(event, my_request_status="pending")
    join_requests.approve(request_id=request.pk, actor=None)
    expected = shown(event, my_request_status="approved", my_attendee_id=str(request.attendee.pk), seats_taken=1)
    assert answered(api.get(url(event)), 200) == expected
    assert answered(api.get(LIST), 200)["results"] == [expected]
    join_requests.decline(request_id=request.pk, actor=None)
    assert answered(api.get(url(event)), 200) == shown(event, my_request_status="declined", seats_taken=0)


def test_event_of_a_guest_without_request(event, as_person):
    guest = AttendeeFactory(event=event)
    assert answered(as_person(guest.user_profile).get(url(event)), 200) == shown(event, my_attendee_id=str(guest.pk))


@pytest.mark.parametrize("role", ["owner", "organizer", "viewer", "door"])
def test_event_shows_ones_own_role(event, as_person, role):
    api = as_person(member(event.organization, role))
    assert answered(api.get(url(event)), 200) == shown(event, my_role=role)


def test_event_of_a_superuser(event, as_person):
    api = as_person(UserProfileFactory(is_superuser=True))
    assert answered(api.get(url(event)), 200) == shown(event, my_role="superuser")


SEEN_BY = {
    # status, visibility: who opens it, who finds it in the list
    ("published", "public"): ("everybody", "everybody"),
    ("completed", "public"): ("everybody", "everybody"),
    ("cancelled", "public"): ("everybody", "everybody"),
    ("published", "unlisted"): ("everybody", "involved"),
    ("published", "private"): ("involved", "involved"),
    ("completed", "private"): ("involved", "involved"),
    ("draft", "public"): ("staff", "staff"),
    ("draft", "unlisted"): ("staff", "staff"),
    ("draft", "private"): ("staff", "staff"),
}


@pytest.mark.parametrize(("status", "visibility"), SEEN_BY)
def test_event_is_seen_by(event, as_person, status, visibility):
    circles = {
        "staff": [
            *(member(event.organization, role) for role in ("owner", "organizer", "viewer", "door")),
            UserProfileFactory(is_superuser=True),
        ],
        "involved": [AttendeeFactory(event=event).user_profile, JoinRequestFactory(event=event).user_profile],
        "everybody": [UserProfileFactory(), member(OrganizationFactory(), "owner")],
        "nobody": [
            member(event.organization, "owner", is_active=False),
            UserProfileFactory(is_superuser=True, is_active=False),
            AttendeeFactory(event=event, user_profile__is_active=False).user_profile,
        ],
    }
    Event.objects.filter(pk=event.pk).update(status=status, visibility=visibility)
    order = ["staff", "involved", "everybody", "nobody"]
    opens, lists = (order.index(one) for one in SEEN_BY[status, visibility])
    for position, circle in enumerate(order):
        for person in circles[circle]:
            api = as_person(person)
            response = api.get(url(event))
            if position <= opens:
                assert answered(response, 200)["status"] == status
            else:
                assert answered(response, 404) == NOT_FOUND
            assert ids(api.get(LIST)) == ([event.pk] if position <= lists else [])


def test_event_of_somebody_who_was_removed_stays_in_their_list(as_person):
    """So that they learn of it; the room is closed to them."""
    event = EventFactory(visibility="private")
    person = AttendeeFactory(event=event, status="removed").user_profile
    assert ids(as_person(person).get(LIST)) == [event.pk]
    assert answered(as_person(person).get(url(event)), 200)["my_attendee_id"] is None


@pytest.mark.parametrize("event_id", [0, 2**63 - 1, 2**63, 10**40])
def test_event_that_is_not_there(as_person, event_id):
    assert answered(as_person(UserProfileFactory()).get(f"{LIST}{event_id}/"), 404) == NOT_FOUND


@pytest.mark.parametrize("rest", ["-1/", "x/", "1.5/", "%00/"])
def test_event_with_an_id_that_is_none(db, as_person, rest):
    assert as_person(UserProfileFactory()).get(LIST + rest).status_code == 404


def test_events_need_a_token(client, event):
    for address in (LIST, url(event)):
        response = client.get(address)
        assert answered(response, 401)["errors"][0]["code"] == "not_authenticated"


def test_list_newest_first_in_pages(as_person):
    events = EventFactory.create_batch(5)
    api = as_person(UserProfileFactory())
    answer = answered(api.get(LIST, {"page_size": 2}), 200)
    found = [[one["id"] for one in answer["results"]]]
    while answer["next"]:
        EventFactory()
        answer = answered(api.get(answer["next"]), 200)
        found.append([one["id"] for one in answer["results"]])
    newest = [one.pk for one in reversed(events)]
    assert found == [newest[:2], newest[2:4], newest[4:]]


def test_list_filters(as_person):
    event = EventFactory(title="Spring meeting")
    over = EventFactory(title="Autumn meeting", status="completed")
    api = as_person(UserProfileFactory())
    assert ids(api.get(LIST, {"status": "completed"})) == [over.pk]
    assert ids(api.get(LIST, {"search": "SPRING"})) == [event.pk]
    assert ids(api.get(LIST, {"search": "%"})) == []
    assert ids(api.get(LIST, {"updated_since": when(timezone.now() + timedelta(hours=1))})) == []
    event.refresh_from_db()
    event.title = "Renamed"
    before = timezone.now()
    event.save()
    assert ids(api.get(LIST, {"updated_since": when(before)})) == [event.pk]


def test_list_since_the_places_taken_changed(as_person):
    event, _other = EventFactory.create_batch(2)
    api = as_person(UserProfileFactory())
    before = timezone.now()
    AttendeeFactory(event=event)
    assert ids(api.get(LIST, {"updated_since": when(before)})) == [event.pk]


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ({"status": "open"}, "status"),
        ({"updated_since": "x"}, "updated_since"),
        ({"search": "a\x00"}, "search"),
        ({"search": "x" * 201}, "search"),
    ],
)
def test_list_with_bad_filters(as_person, query, attr):
    answer = answered(as_person(UserProfileFactory()).get(LIST, query), 400)
    assert (answer["type"], {one["attr"] for one in answer["errors"]}) == ("validation_error", {attr})


@pytest.mark.parametrize("address", [url, lambda event: LIST])
def test_etag_changes_with_the_event(event, as_person, address):
    api = as_person(UserProfileFactory())
    first = api.get(address(event))
    same = api.get(address(event), headers={"If-None-Match": first["ETag"]})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", first["ETag"])
    AttendeeFactory(event=event)
    changed = api.get(address(event), headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, changed["ETag"] != first["ETag"]) == (200, True)


def test_etag_differs_by_person(event, as_person):
    organizer, stranger = as_person(member(event.organization, "organizer")), as_person(UserProfileFactory())
    assert organizer.get(url(event))["ETag"] != stranger.get(url(event))["ETag"]


@pytest.mark.parametrize("count", [1, 3])
def test_list_makes_one_query(as_person, django_assert_num_queries, count):
    EventFactory.create_batch(count)
    api = as_person(UserProfileFactory())
    with django_assert_num_queries(1):
        assert len(api.get(LIST).json()["results"]) == count


def test_detail_makes_one_query(event, as_person, django_assert_num_queries):
    api = as_person(UserProfileFactory())
    with django_assert_num_queries(1):
        assert api.get(url(event)).status_code == 200


def test_reading_changes_nothing(event, as_person):
    api = as_person(member(event.organization, "owner"))
    before = list(Event.objects.values())
    for method in (api.post, api.put, api.patch, api.delete):
        assert answered(method(url(event), {"title": "Mine"}), 405)["errors"][0]["code"] == "method_not_allowed"
    assert list(Event.objects.values()) == before


@pytest.mark.django_db(transaction=True)
def test_what_is_no_longer_public_leaves_a_tombstone(as_person):
    before = timezone.now()
    stays, withdrawn, hidden = EventFactory.create_batch(3)
    never = EventFactory(status=Event.Status.DRAFT)
    secret = EventFactory(visibility=Event.Visibility.PRIVATE)
    events.withdraw(event_id=withdrawn.pk, actor=None)
    hidden.visibility = Event.Visibility.PRIVATE
    hidden.save(update_fields=["visibility"])
    api = as_person(UserProfileFactory())

    plain = api.get("/api/v1/events/").json()["results"]
    synced = api.get("/api/v1/events/", {"updated_since": before.isoformat()}).json()["results"]

    assert [one["id"] for one in plain] == [stays.pk]
    assert {one["id"]: one.get("deleted", False) for one in synced} == {
        stays.pk: False,
        withdrawn.pk: True,
        hidden.pk: True,
    }
    assert [one for one in synced if "deleted" in one] == [
        {"id": hidden.pk, "deleted": True},
        {"id": withdrawn.pk, "deleted": True},
    ]
    assert never.pk not in {one["id"] for one in synced}
    assert secret.pk not in {one["id"] for one in synced}
