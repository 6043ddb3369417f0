"""The room, one's own place in it, the ticket."""

import io
import json
from datetime import timedelta

import pytest
import segno
from django.db import connection
from django.utils import timezone
from PIL import Image

from attendance.models import Attendee, Block
from attendance.operations import room
from events.models import Event, UserProfile
from requests.operations import join_requests, removals
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    JoinRequestFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db

NOT_SEEN = {
    "type": "client_error",
    "errors": [{"code": "not_found", "detail": "There is no such thing, or you may not see it.", "attr": None}],
}
NOT_FOUND = {"type": "client_error", "errors": [{"code": "not_found", "detail": "Not found.", "attr": None}]}


def room_url(event):
    return f"/api/v1/events/{event.pk}/attendees/"


def me_url(event):
    return room_url(event) + "me/"


def block_url(attendee):
    return f"{room_url(attendee.event)}{attendee.pk}/block/"


def when(moment):
    return moment.isoformat().replace("+00:00", "Z")


def answered(response, status):
    assert response.status_code == status, response.content
    return response.json()


def shown(attendee, is_me=False):
    row = Attendee.objects.select_related("user_profile").get(pk=attendee.pk)
    return {
        "id": str(row.pk),
        "deleted": False,
        "is_me": is_me,
        "first_name": row.user_profile.first_name,
        "last_name": row.user_profile.last_name,
        "photo_url": row.user_profile.photo_url,
        "goals": row.goals,
        "looking_for": row.looking_for,
        "company_website": row.company_website,
        "updated_at": when(row.updated_at),
    }


def gone(attendee):
    return {"id": str(attendee.pk), "deleted": True}


def ids(response):
    return [one["id"] for one in answered(response, 200)["results"]]


@pytest.fixture
def me(event):
    return AttendeeFactory(event=event)


@pytest.fixture
def api(me, as_person):
    return as_person(me.user_profile)


# -- The room ------------------------------------------------------------------------------------


def test_room_of_an_attendee(event, me, api):
    other = AttendeeFactory(
        event=event,
        goals="Meet",
        looking_for="People",
        company_website="https://example.org",
        user_profile__photo_url="/media/a.jpg",
    )
    assert answered(api.get(room_url(event)), 200) == {
        "next": None,
        "previous": None,
        "results": [shown(me, is_me=True), shown(other)],
    }


def test_room_after_an_approval(event, as_person):
    """The promise itself: approved this instant, in the room the next."""
    request = JoinRequestFactory(event=event)
    api = as_person(request.user_profile)
    assert answered(api.get(room_url(event)), 404) == NOT_SEEN
    join_requests.approve(request_id=request.pk, actor=None)
    assert answered(api.get(room_url(event)), 200)["results"] == [shown(request.attendee, is_me=True)]
    join_requests.reopen(request_id=request.pk, actor=None)
    assert answered(api.get(room_url(event)), 404) == NOT_SEEN


def test_room_hides_the_invisible_the_hidden_the_removed_and_the_blocked(event, me, api):
    AttendeeFactory(event=event, visibility_enabled=False)
    AttendeeFactory(event=event, hidden_at=timezone.now())
    AttendeeFactory(event=event, status="removed")
    AttendeeFactory(event=event, user_profile=UserProfileFactory(is_active=False))
    blocked, blocking, seen = AttendeeFactory.create_batch(3, event=event)
    Block.objects.create(attendee=me, blocked=blocked)
    Block.objects.create(attendee=blocking, blocked=me)
    AttendeeFactory()
    assert ids(api.get(room_url(event))) == [str(me.pk), str(seen.pk)]


def test_room_of_an_organizer_shows_everybody_who_attends(event, organizer, as_person):
    shown_to_staff = [
        AttendeeFactory(event=event),
        AttendeeFactory(event=event, visibility_enabled=False),
        AttendeeFactory(event=event, hidden_at=timezone.now()),
    ]
    AttendeeFactory(event=event, status="removed")
    assert answered(as_person(organizer).get(room_url(event)), 200)["results"] == [shown(one) for one in shown_to_staff]


def test_room_of_an_organizer_who_attends(event, organizer, as_person):
    mine = AttendeeFactory(event=event, user_profile=organizer)
    assert answered(as_person(organizer).get(room_url(event)), 200)["results"] == [shown(mine, is_me=True)]


def test_room_of_the_invisible_shows_themselves(event, me, api, as_person):
    room.update_own(attendee_id=me.pk, actor=me.user_profile, changes={"visibility_enabled": False})
    other = AttendeeFactory(event=event)
    assert answered(api.get(room_url(event)), 200)["results"] == [shown(me, is_me=True), shown(other)]
    assert ids(as_person(other.user_profile).get(room_url(event))) == [str(other.pk)]


ROLES = ["owner", "organizer", "viewer", "door", "stranger", "other owner", "superuser", "closed", "closed superuser"]


@pytest.fixture
def people(event):
    return {
        "owner": member(event.organization, "owner"),
        "organizer": member(event.organization, "organizer"),
        "viewer": member(event.organization, "viewer"),
        "door": member(event.organization, "door"),
        "stranger": UserProfileFactory(),
        "other owner": member(OrganizationFactory(), "owner"),
        "superuser": UserProfileFactory(is_superuser=True),
        "closed": member(event.organization, "owner", is_active=False),
        "closed superuser": UserProfileFactory(is_superuser=True, is_active=False),
    }


@pytest.mark.parametrize("name", ROLES)
def test_room_by_role(event, me, people, as_person, name):
    response = as_person(people[name]).get(room_url(event))
    if name in ("owner", "organizer", "viewer", "superuser"):
        assert answered(response, 200)["results"] == [shown(me)]
    else:
        assert answered(response, 404) == NOT_SEEN


@pytest.mark.parametrize("status", ["removed", "active"])
def test_room_of_people_who_left(event, as_person, status):
    """Removed from the event; or their account is closed while the token still lives."""
    row = AttendeeFactory(event=event, status=status, user_profile__is_active=status == "removed")
    api = as_person(row.user_profile)
    for address in (room_url(event), me_url(event), me_url(event) + "ticket.svg", me_url(event) + "ticket.png"):
        assert answered(api.get(address), 404) == NOT_SEEN
    assert answered(api.patch(me_url(event), {"goals": "x"}), 404) == NOT_SEEN


def test_room_of_another_event(me, api):
    other = AttendeeFactory()
    assert answered(api.get(room_url(other.event)), 404) == NOT_SEEN
    assert answered(api.get(me_url(other.event)), 404) == NOT_SEEN


@pytest.mark.parametrize("event_id", [2**63 - 1, 2**63, 10**40])
def test_room_that_is_not_there(api, event_id):
    for rest in ("", "me/", "me/ticket.svg"):
        assert answered(api.get(f"/api/v1/events/{event_id}/attendees/{rest}"), 404) == NOT_SEEN


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("query", [{}, {"search": "first"}, {"updated_since": "2001-01-01T00:00:00Z"}])
def test_room_makes_two_queries(event, api, django_assert_num_queries, count, query):
    AttendeeFactory.create_batch(count - 1, event=event)
    with django_assert_num_queries(2):  # may they look, and whom do they see
        assert len(api.get(room_url(event), query).json()["results"]) == count


def test_room_in_pages(event, me, api):
    others = AttendeeFactory.create_batch(4, event=event)
    answer = answered(api.get(room_url(event), {"page_size": 2}), 200)
    found = [answer["results"]]
    while answer["next"]:
        AttendeeFactory(event=event)
        answer = answered(api.get(answer["next"]), 200)
        found.append(answer["results"])
        if len(found) == 3:
            break
    assert [[one["id"] for one in page] for page in found] == [
        [str(me.pk), str(others[0].pk)],
        [str(others[1].pk), str(others[2].pk)],
        [str(others[3].pk), str(Attendee.objects.order_by("pk")[5].pk)],
    ]


@pytest.mark.parametrize("position", ["YWJj", "cD1hYmM=", "cD0lMDA=", "cD0=", "x"])
def test_room_with_a_made_up_cursor(event, api, position):
    assert api.get(room_url(event), {"cursor": position}).status_code in (200, 404)


def test_room_etag(event, me, api):
    first = api.get(room_url(event))
    assert first["ETag"]
    same = api.get(room_url(event), headers={"If-None-Match": first["ETag"]})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", first["ETag"])
    me.user_profile.first_name = "Renamed"
    me.user_profile.save()
    changed = api.get(room_url(event), headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_room_search(event, me, api):
    ada = AttendeeFactory(event=event, user_profile__first_name="Ada", user_profile__last_name="Lovelace")
    loom = AttendeeFactory(event=event, goals="Find a loom")
    AttendeeFactory(event=event, user_profile__first_name="Adamant", visibility_enabled=False)
    assert ids(api.get(room_url(event), {"search": "love ada"})) == [str(ada.pk)]
    assert ids(api.get(room_url(event), {"search": "LOOM"})) == [str(loom.pk)]
    assert ids(api.get(room_url(event), {"search": "nobody"})) == []
    assert ids(api.get(room_url(event), {"search": "%_"})) == []


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ({"search": "x" * 201}, "search"),
        ({"search": "a\x00b"}, "search"),
        ({"updated_since": "soon"}, "updated_since"),
        ({"updated_since": "\x00"}, "updated_since"),
        ({"updated_since": "99999-01-01"}, "updated_since"),
    ],
)
def test_room_with_bad_queries(event, api, query, attr):
    answer = answered(api.get(room_url(event), query), 400)
    assert (answer["type"], {one["attr"] for one in answer["errors"]}) == ("validation_error", {attr})


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024-02-29"])
def test_room_since_odd_moments(event, api, moment):
    assert api.get(room_url(event), {"updated_since": moment}).status_code in (200, 400)


def test_room_search_with_broken_text(event, api):
    assert api.get(room_url(event) + "?search=%ED%A0%80%FF").status_code == 200


# -- Keeping a copy ------------------------------------------------------------------------------


def settle():
    """As if these rows, and their people, had last changed yesterday. The triggers would say now."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE event_attendees SET updated_at = now() - interval '1 day'")
        cursor.execute("UPDATE user_profiles SET updated_at = now() - interval '1 day'")
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def changes(api, event):
    since = when(timezone.now() - timedelta(hours=1))
    return answered(api.get(room_url(event), {"updated_since": since}), 200)["results"]


def test_updated_since_nothing_changed(event, api):
    AttendeeFactory(event=event)
    settle()
    assert changes(api, event) == []


def test_updated_since_somebody_came(event, api):
    settle()
    new = AttendeeFactory(event=event)
    assert changes(api, event) == [shown(new)]


def test_updated_since_somebody_was_removed(event, organizer, api):
    other = AttendeeFactory(event=event)
    settle()
    removals.remove(attendee_id=other.pk, actor=organizer, reason="Left")
    assert changes(api, event) == [gone(other)]


def test_updated_since_a_request_was_declined(event, api):
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=None)
    settle()
    join_requests.decline(request_id=request.pk, actor=None)
    assert changes(api, event) == [gone(request.attendee)]
    join_requests.approve(request_id=request.pk, actor=None)
    assert changes(api, event) == [shown(request.attendee)]


def test_updated_since_somebody_was_hidden_and_shown(event, organizer, api, as_person):
    other = AttendeeFactory(event=event)
    settle()
    room.hide(attendee_id=other.pk, actor=organizer)
    assert changes(api, event) == [gone(other)]
    assert changes(as_person(organizer), event) == [shown(other)]
    room.show(attendee_id=other.pk, actor=organizer)
    assert changes(api, event) == [shown(other)]


def test_updated_since_somebody_turned_invisible(event, me, api, as_person):
    other = AttendeeFactory(event=event)
    settle()
    as_person(other.user_profile).patch(me_url(event), {"visibility_enabled": False})
    assert changes(api, event) == [gone(other)]
    assert changes(as_person(other.user_profile), event) == [shown(other, is_me=True)]


def test_updated_since_somebody_blocked_me(event, me, api, as_person):
    other = AttendeeFactory(event=event)
    third = AttendeeFactory(event=event)
    settle()
    assert as_person(other.user_profile).put(block_url(me)).status_code == 204
    assert changes(api, event) == [shown(me, is_me=True), gone(other)]
    assert changes(as_person(other.user_profile), event) == [gone(me), shown(other, is_me=True)]
    assert changes(as_person(third.user_profile), event) == [shown(me), shown(other)]
    assert as_person(other.user_profile).delete(block_url(me)).status_code == 204
    assert changes(api, event) == [shown(me, is_me=True), shown(other)]


def test_updated_since_a_profile_changed(event, api):
    other = AttendeeFactory(event=event)
    settle()
    UserProfile.objects.filter(pk=other.user_profile_id).update(photo_url="/media/new.jpg")
    assert changes(api, event) == [shown(other)]


def test_updated_since_an_account_was_closed(event, api):
    other = AttendeeFactory(event=event)
    settle()
    UserProfile.objects.filter(pk=other.user_profile_id).update(is_active=False)
    assert changes(api, event) == [gone(other)]


def test_search_finds_no_tombstones(event, api):
    """They would tell by name who hides, and who has blocked whom."""
    AttendeeFactory(event=event, user_profile__first_name="Incognita", visibility_enabled=False)
    AttendeeFactory(event=event, goals="Incognita too", hidden_at=timezone.now())
    query = {"search": "incognita", "updated_since": "2001-01-01T00:00:00Z"}
    assert ids(api.get(room_url(event), query)) == []


def test_search_and_updated_since_together(event, me, api):
    ada = AttendeeFactory(event=event, user_profile__first_name="Ada")
    query = {"search": "ada", "updated_since": "2001-01-01T00:00:00Z"}
    assert answered(api.get(room_url(event), query), 200)["results"] == [shown(ada)]
    settle()
    query["updated_since"] = when(timezone.now() - timedelta(hours=1))
    assert ids(api.get(room_url(event), query)) == []


# -- Me ------------------------------------------------------------------------------------------


def mine(attendee):
    row = Attendee.objects.get(pk=attendee.pk)
    return {
        "id": str(row.pk),
        "event_id": row.event_id,
        "join_request_id": row.join_request_id and str(row.join_request_id),
        "status": row.status,
        "source": row.source,
        "plus_ones": row.plus_ones,
        "attendance_status": row.attendance_status,
        "visibility_enabled": row.visibility_enabled,
        "notifications_enabled": row.notifications_enabled,
        "goals": row.goals,
        "looking_for": row.looking_for,
        "rsvp_contact": row.rsvp_contact,
        "company_website": row.company_website,
        "match_profile": row.match_profile,
        "looking_for_updated_at": row.looking_for_updated_at and when(row.looking_for_updated_at),
        "created_at": when(row.created_at),
        "updated_at": when(row.updated_at),
    }


def test_me(event, me, api):
    assert answered(api.get(me_url(event)), 200) == mine(me)


def test_me_after_an_approval(event, as_person):
    request = JoinRequestFactory(event=event, plus_ones=2)
    join_requests.approve(request_id=request.pk, actor=None)
    answer = answered(as_person(request.user_profile).get(me_url(event)), 200)
    assert answer == mine(request.attendee)
    assert (answer["join_request_id"], answer["plus_ones"]) == (str(request.pk), 2)


def test_me_set_looking_for(event, me, api):
    body = {
        "goals": "Meet",
        "looking_for": "",
        "rsvp_contact": "me@example.org",
        "company_website": "https://example.org/",
        "match_profile": {"a": [1, 2.5, None, "ü"], "b": {}},
        "notifications_enabled": False,
    }
    before = timezone.now()
    answer = answered(api.patch(me_url(event), body), 200)
    me.refresh_from_db()
    assert answer == mine(me)
    assert {name: answer[name] for name in body} == body
    assert before <= me.looking_for_updated_at <= timezone.now()
    assert answered(api.patch(me_url(event), {"goals": None}), 200)["goals"] is None


def test_me_set_what_is_not_mine_to_set(event, me, api):
    before = mine(me)
    body = {
        "id": str(UserProfileFactory().pk),
        "status": "removed",
        "source": "import",
        "plus_ones": 9,
        "event_id": 1,
        "ticket_code": "x",
        "owner_id": "x",
        "hidden_at": None,
        "looking_for_updated_at": None,
    }
    assert answered(api.patch(me_url(event), body), 200) == before


@pytest.mark.parametrize(
    ("body", "code", "attr"),
    [
        ({"goals": "x" * 2001}, "max_length", "goals"),
        ({"goals": {}}, "invalid", "goals"),
        ({"company_website": "nonsense"}, "invalid", "company_website"),
        ({"company_website": "javascript:alert(1)"}, "invalid", "company_website"),
        ({"company_website": "https://e.org/" + "x" * 500}, "max_length", "company_website"),
        ({"visibility_enabled": "perhaps"}, "invalid", "visibility_enabled"),
        ({"visibility_enabled": None}, "null", "visibility_enabled"),
        ({"visibility_enabled": []}, "invalid", "visibility_enabled"),
        ({"match_profile": []}, "not_a_dict", "match_profile"),
        ({"match_profile": "x"}, "not_a_dict", "match_profile"),
    ],
)
def test_me_with_bad_values(event, me, api, body, code, attr):
    before = mine(me)
    answer = answered(api.patch(me_url(event), body), 400)
    assert [(one["code"], one["attr"]) for one in answer["errors"]] == [(code, attr)]
    assert mine(me) == before


@pytest.mark.parametrize(
    "value",
    [
        "[" * 300 + "]" * 300,
        "[" * 900 + "]" * 900,
        '{"a":' * 300 + "1" + "}" * 300,
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        "1e300",
        "18446744073709551615",
        "-9223372036854775808",
        "0.1",
        "1e-300",
    ],
    ids=lambda value: value[:12] + str(len(value)),
)
def test_me_with_odd_json(event, me, api, value):
    """Refused, or kept and readable ever after."""
    before = mine(me)
    response = api.patch(
        me_url(event), data=f'{{"match_profile": {{"odd": {value}}}}}', content_type="application/json"
    )
    assert response.status_code in (200, 400), response.content
    if response.status_code == 200:
        assert answered(api.get(me_url(event)), 200)["match_profile"] == {"odd": json.loads(value)}
    else:
        assert mine(me) == before
    assert api.get(me_url(event)).status_code == 200


def test_me_makes_this_many_queries(event, api, django_assert_num_queries):
    with django_assert_num_queries(1):
        api.get(me_url(event))
    with django_assert_num_queries(7):
        answered(api.patch(me_url(event), {"goals": "Meet"}), 200)


# -- Tickets -------------------------------------------------------------------------------------


def modules(picture, scale=8, border=4):
    """The QR code's modules as the picture shows them, each looked at in its middle."""
    count = picture.width // scale - 2 * border
    return [
        [
            int(picture.getpixel(((x + border) * scale + scale // 2, (y + border) * scale + scale // 2)) == 0)
            for x in range(count)
        ]
        for y in range(count)
    ]


def test_ticket_png_shows_the_code(event, me, api):
    response = api.get(me_url(event) + "ticket.png")
    assert (response.status_code, response["Content-Type"]) == (200, "image/png")
    assert response["Cache-Control"] == "private, no-store"
    expected = segno.make(me.ticket_code, error="m", micro=False)
    picture = Image.open(io.BytesIO(response.content)).convert("L")
    assert picture.size == expected.symbol_size(scale=8, border=4)
    assert modules(picture) == [list(row) for row in expected.matrix]


def test_ticket_png_can_be_read(me, event, api):
    zxingcpp = pytest.importorskip("zxingcpp")
    picture = Image.open(io.BytesIO(api.get(me_url(event) + "ticket.png").content)).convert("L")
    assert [found.text for found in zxingcpp.read_barcodes(picture)] == [me.ticket_code]


def test_ticket_svg_shows_the_code(event, me, api):
    response = api.get(me_url(event) + "ticket.svg")
    assert (response.status_code, response["Content-Type"]) == (200, "image/svg+xml")
    assert response["Cache-Control"] == "private, no-store"
    expected = io.BytesIO()
    segno.make(me.ticket_code, error="m", micro=False).save(expected, kind="svg", scale=8, border=4)
    assert response.content == expected.getvalue()


def test_ticket_stays_the_same_after_coming_back(event, as_person):
    request = JoinRequestFactory(event=event)
    join_requests.approve(request_id=request.pk, actor=None)
    api = as_person(request.user_profile)
    first = api.get(me_url(event) + "ticket.svg").content
    join_requests.reopen(request_id=request.pk, actor=None)
    assert api.get(me_url(event) + "ticket.svg").status_code == 404
    join_requests.approve(request_id=request.pk, actor=None)
    assert api.get(me_url(event) + "ticket.svg").content == first


# -- Blocks --------------------------------------------------------------------------------------


def test_block_and_unblock(event, me, api):
    other = AttendeeFactory(event=event)
    for _ in range(2):
        assert api.put(block_url(other)).status_code == 204
        assert list(Block.objects.values_list("attendee", "blocked")) == [(me.pk, other.pk)]
    for _ in range(2):
        assert api.delete(block_url(other)).status_code == 204
        assert not Block.objects.exists()


def test_block_oneself(me, api):
    assert answered(api.put(block_url(me)), 400)["errors"][0]["code"] == "own_block"


@pytest.mark.parametrize("fields", [{"visibility_enabled": False}, {"status": "removed"}])
def test_block_somebody_whom_one_does_not_see(event, api, fields):
    assert answered(api.put(block_url(AttendeeFactory(event=event, **fields))), 404) == NOT_FOUND
    assert not Block.objects.exists()


def test_block_somebody_of_another_event(event, api):
    other = AttendeeFactory()
    assert answered(api.put(f"{room_url(event)}{other.pk}/block/"), 404) == NOT_FOUND
    assert answered(api.put(block_url(other)), 404) == NOT_SEEN
    assert not Block.objects.exists()


def test_block_by_an_organizer_who_does_not_attend(organizer, me, as_person):
    assert answered(as_person(organizer).put(block_url(me)), 404) == NOT_SEEN


def test_room_of_an_event_that_is_over(me, api, event):
    """People keep their contacts."""
    Event.objects.update(status="completed")
    assert ids(api.get(room_url(event))) == [str(me.pk)]


def test_rooms_are_apart(api, event):
    EventFactory()
    AttendeeFactory()
    assert len(ids(api.get(room_url(event)))) == 1
