"""People who come without being expected."""

import pytest
from django.db import IntegrityError, transaction

from attendance.models import Attendee, CheckIn
from events.models import Event, UserProfile
from requests.models import Ban
from requests.operations import join_requests, removals
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, UserProfileFactory

from .at_the_door import address, audit, device, doorkeeper, refused, said, scan, statements, status_of

pytestmark = pytest.mark.django_db

WANDA = {"first_name": "Wanda", "last_name": "Walker", "email": "Wanda@Example.org"}


@pytest.fixture
def event(event):
    event.door_adds_walk_ins = True
    event.save()
    return event


@pytest.fixture
def door(event):
    return doorkeeper(event)


def walk_in(api, event, **fields):
    return api.post(address(event, "walk-ins/"), fields)


def nobody_came(event, people=None):
    """Neither an attendee, nor a person, nor a check-in was made; the places are as they were."""
    event.refresh_from_db()
    return not CheckIn.objects.exists() and event.seats_taken == sum(one.seats for one in event.attendees.all())


def test_somebody_new_is_let_in_and_checked_in(event, door):
    body = said(walk_in(door, event, **WANDA, plus_ones=2, phone="+14155550123"), 201)
    attendee = Attendee.objects.get()
    person = attendee.user_profile
    assert (body["result"], body["checked_in_by"]) == ("checked_in", "Dora Doorkeeper")
    assert body["attendee"] == {
        "id": str(attendee.pk),
        "name": "Wanda Walker",
        "photo_url": "",
        "plus_ones": 2,
        "status": "present",
    }
    assert (person.email, person.phone, person.email_verified) == ("wanda@example.org", "+14155550123", False)
    assert not person.has_usable_password()
    assert (attendee.source, attendee.status, attendee.attendance_source) == ("walk_in", "active", "api")
    assert attendee.history.get().history_change_reason == "walk-in, by Dora Doorkeeper"
    event.refresh_from_db()
    assert event.seats_taken == 3
    assert CheckIn.objects.get().pk == body["check_in_id"]
    assert audit() == [("unknown", "present", "api")]


def test_undo_of_a_walk_in_leaves_them_expected(event, door):
    body = said(walk_in(door, event, **WANDA), 201)
    response = door.post(address(event, f"check-ins/{body['check_in_id']}/undo/"))
    assert said(response)["attendee"]["status"] == "unknown"
    assert Attendee.objects.get().status == "active"


def test_capacity_is_that_of_every_other_way(event, door):
    Event.objects.update(capacity=2)
    response = walk_in(door, event, **WANDA, plus_ones=2)
    assert refused(response) == (409, "event_full")
    assert nobody_came(event) and not UserProfile.objects.filter(first_name="Wanda").exists()
    assert said(walk_in(door, event, **WANDA, plus_ones=1), 201)["result"] == "checked_in"
    other = walk_in(door, event, first_name="One", email="more@example.org")
    assert refused(other) == (409, "event_full")
    assert not UserProfile.objects.filter(email="more@example.org").exists()


@pytest.mark.parametrize("status", ["cancelled", "completed"])
def test_only_an_open_event_takes_walk_ins(event, door, status):
    Event.objects.update(status=status)
    assert refused(walk_in(door, event, **WANDA)) == (409, "event_closed")
    assert nobody_came(event) and not UserProfile.objects.filter(first_name="Wanda").exists()


def test_more_plus_ones_than_the_event_allows(event, door):
    assert refused(walk_in(door, event, **WANDA, plus_ones=4)) == (400, "too_many_plus_ones")
    assert nobody_came(event) and not UserProfile.objects.filter(first_name="Wanda").exists()
    assert said(walk_in(door, event, **WANDA, plus_ones=3), 201)


def test_an_address_of_somebody_whom_the_organization_has_met_is_theirs(event, door):
    person = UserProfileFactory(first_name="Real", last_name="Name", email="wanda@example.org", phone="+14155550199")
    AttendeeFactory(event=EventFactory(organization=event.organization), user_profile=person)
    body = said(walk_in(door, event, **WANDA, phone="+14155550123"), 201)
    assert body["attendee"]["name"] == "Real Name"
    person.refresh_from_db()
    assert (person.first_name, person.phone) == ("Real", "+14155550199")
    assert Attendee.objects.get(event=event).user_profile == person


@pytest.mark.parametrize("is_active", [True, False])
def test_of_anybody_else_the_door_learns_neither_name_nor_face(event, door, is_active):
    """Whatever address it tries; the account stays where it is, and the address is kept as how to reach them."""
    owner = UserProfileFactory(email="Wanda@example.org", photo_url="/media/face.png", is_active=is_active)
    AttendeeFactory(user_profile=owner)  # of another organisation
    bodies = [said(walk_in(door, event, **WANDA, scan_id=str(n)), 201) for n in range(2)]
    assert [body["result"] for body in bodies] == ["checked_in", "already_checked_in"]
    assert [(body["attendee"]["name"], body["attendee"]["photo_url"]) for body in bodies] == [("Wanda Walker", "")] * 2
    attendee = Attendee.objects.select_related("user_profile").get(event=event)
    assert attendee.user_profile != owner
    assert (attendee.user_profile.email, attendee.rsvp_contact) == (None, WANDA["email"])
    assert Attendee.objects.filter(user_profile=owner).count() == 1


def test_whoever_is_expected_is_only_checked_in(event, door):
    Event.objects.update(capacity=2)
    person = UserProfileFactory(email="wanda@example.org")
    attendee = AttendeeFactory(event=event, user_profile=person, plus_ones=1)
    body = said(walk_in(door, event, **WANDA, plus_ones=3), 201)
    assert (body["result"], body["attendee"]["plus_ones"]) == ("checked_in", 1)
    assert status_of(attendee) == "present"
    assert said(walk_in(door, event, **WANDA), 201)["result"] == "already_checked_in"
    assert Attendee.objects.count() == 1


@pytest.mark.parametrize("how", ["removed", "declined", "deactivated"])
def test_over_an_organizers_head_nobody_gets_in(event, door, how):
    person = UserProfileFactory(email="wanda@example.org")
    if how == "removed":
        attendee = AttendeeFactory(event=event, user_profile=person)
        removals.remove(attendee_id=attendee.pk, actor=None, reason="asked to leave")
    if how == "declined":
        asked = JoinRequestFactory(event=event, user_profile=person)
        join_requests.decline(request_id=asked.pk, actor=None, note="no")
    if how == "deactivated":
        JoinRequestFactory(event=event, user_profile=person)
        UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    assert refused(walk_in(door, event, **WANDA)) == (409, "needs_organizer")
    assert nobody_came(event) and not Attendee.objects.active().exists()


@pytest.mark.parametrize("state", ["pending", "cancelled"])
def test_whoever_only_asked_walks_in(event, door, state):
    person = UserProfileFactory(email="wanda@example.org")
    asked = JoinRequestFactory(event=event, user_profile=person)
    if state == "cancelled":
        join_requests.cancel(request_id=asked.pk, actor=person)
    assert said(walk_in(door, event, **WANDA), 201)["result"] == "checked_in"


def test_a_ban_keeps_out(event, door):
    """The database says so: nothing of the door's own looks for bans."""
    person = UserProfileFactory(email="wanda@example.org")
    Ban.objects.create(event=event, user_profile=person, reason="Fights")
    response = walk_in(door, event, **WANDA)
    assert refused(response) == (403, "banned")
    assert b"Fights" not in response.content
    assert nobody_came(event) and not Attendee.objects.exists()
    with pytest.raises(IntegrityError, match="banned"), transaction.atomic():
        AttendeeFactory(event=event, user_profile=person)


@pytest.mark.parametrize(
    ("who", "event_says", "answer"),
    [
        ("door", True, 201),
        ("door", False, 403),
        ("organizer", False, 201),
        ("owner", False, 201),
        ("device with the right", False, 201),
        ("device without", True, 403),
    ],
)
def test_who_has_the_right(event, who, event_says, answer):
    Event.objects.update(door_adds_walk_ins=event_says)
    right = "with the right" in who
    api = device(event, may_add_walk_ins=right) if "device" in who else doorkeeper(event, role=who)
    assert said(api.get(address(event, "door/")))["scanner"]["may_add_walk_ins"] is (answer == 201)
    response = walk_in(api, event, **WANDA)
    assert response.status_code == answer
    if answer == 403:
        assert refused(response) == (403, "permission_denied")
        assert nobody_came(event) and not UserProfile.objects.filter(first_name="Wanda").exists()


def test_a_retry_adds_nobody(event, door):
    anna = {"first_name": "Anna", "phone": "+14155550123", "scan_id": "one"}
    first = said(walk_in(door, event, **anna), 201)
    assert said(walk_in(door, event, **anna), 201) == first
    assert (Attendee.objects.count(), CheckIn.objects.count(), len(audit())) == (1, 1, 1)
    door.post(address(event, f"check-ins/{first['check_in_id']}/undo/"))
    again = said(walk_in(door, event, **anna), 201)
    assert (again["result"], again["check_in_id"], again["checked_in_at"]) == (
        "checked_in",
        first["check_in_id"],
        first["checked_in_at"],
    )
    Event.objects.update(status="cancelled")
    assert said(walk_in(door, event, **anna), 201)["result"] == "checked_in"
    assert Attendee.objects.count() == 1


def test_a_scan_id_of_a_refused_ticket_adds_nobody(event, door):
    door.post(address(event), {"ticket_code": "nobody", "scan_id": "one"})
    assert refused(walk_in(door, event, **WANDA, scan_id="one")) == (409, "scan_id_reused")
    assert nobody_came(event) and not UserProfile.objects.filter(first_name="Wanda").exists()


def test_a_phone_number_in_national_form(event, door, settings):
    settings.PHONE_REGION = "DE"
    said(walk_in(door, event, first_name="Anna", phone="030 123456"), 201)
    assert UserProfile.objects.get(first_name="Anna").phone == "+4930123456"


def test_a_phone_number_is_shared_by_many(event, door):
    """It finds only who is expected under the same name; whose it is elsewhere, the door doesn't learn."""
    phone = "+14155550123"
    ben = AttendeeFactory(event=event, user_profile=UserProfileFactory(first_name="Ben", last_name="Li", phone=phone))
    UserProfileFactory(first_name="Cleo", last_name="Li", phone=phone, photo_url="/media/photos/cleo.jpg")
    body = said(walk_in(door, event, first_name="ben", last_name="LI", phone=phone), 201)
    assert body["attendee"]["id"] == str(ben.pk)
    body = said(walk_in(door, event, first_name="Cleo", last_name="Li", phone=phone), 201)
    assert body["attendee"]["photo_url"] == ""
    assert Attendee.objects.count() == 2
    AttendeeFactory(event=event, user_profile=UserProfileFactory(first_name="Ben", last_name="Li", phone=phone))
    assert said(walk_in(door, event, first_name="Ben", last_name="Li", phone=phone), 201)["result"] == "checked_in"
    assert Attendee.objects.count() == 4


def test_long_names(event):
    door = doorkeeper(event, "D" * 150, "K" * 150)
    body = said(walk_in(door, event, first_name="F" * 150, last_name="L" * 150, email="f@example.org"), 201)
    assert body["attendee"]["name"] == "F" * 150 + " " + "L" * 150
    assert body["checked_in_by"] == "D" * 150 + " " + "K" * 150
    gate = device(event, "G" * 100, may_add_walk_ins=True)
    body = said(walk_in(gate, event, first_name="F" * 60, last_name="L" * 60, email="g@example.org"), 201)
    assert (body["checked_in_by"], body["attendee"]["name"]) == ("G" * 100, "F" * 60 + " " + "L" * 60)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("email", {"first_name": "W"}),
        ("email", {"first_name": "W", "email": "", "phone": ""}),
        ("email", {"first_name": "W", "email": "nonsense"}),
        ("email", {"first_name": "W", "email": "x" * 250 + "@example.org"}),
        ("phone", {"first_name": "W", "phone": "12"}),
        ("phone", {"first_name": "W", "phone": "call me"}),
        ("phone", {"first_name": "W", "phone": "9" * 41}),
        ("phone", {"first_name": "W", "email": "w@example.org", "phone": "12"}),
        ("first_name", {"email": "w@example.org"}),
        ("first_name", {"first_name": "  ", "email": "w@example.org"}),
        ("first_name", {"first_name": "W" * 151, "email": "w@example.org"}),
        ("last_name", {"first_name": "W", "last_name": "W" * 151, "email": "w@example.org"}),
        ("plus_ones", {"first_name": "W", "email": "w@example.org", "plus_ones": -1}),
        ("plus_ones", {"first_name": "W", "email": "w@example.org", "plus_ones": 51}),
        ("plus_ones", {"first_name": "W", "email": "w@example.org", "plus_ones": None}),
        ("scan_id", {"first_name": "W", "email": "w@example.org", "scan_id": "x" * 65}),
        ("scanned_at", {"first_name": "W", "email": "w@example.org", "scanned_at": "0001-01-01T00:00:00+14:00"}),
    ],
)
def test_what_is_wrong_is_named(event, door, field, fields):
    answer = walk_in(door, event, **fields)
    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == [field]
    assert nobody_came(event) and not UserProfile.objects.filter(email="w@example.org").exists()


def test_a_walk_in_takes_the_same_statements_however_full_it_is(event, door):
    found = []
    for number in (1, 2):
        fields = {"first_name": "W", "email": f"w{number}@example.org"}
        found.append(statements(lambda fields=fields: walk_in(door, event, **fields)))
        AttendeeFactory.create_batch(3, event=event)
    assert found[0] == found[1]


def test_a_walk_in_is_scanned_later_like_everybody(event, door):
    said(walk_in(door, event, **WANDA), 201)
    assert said(scan(door, Attendee.objects.get()))["result"] == "already_checked_in"


def test_a_scan_id_of_another_walk_in_is_refused(event, door):
    assert said(walk_in(door, event, **WANDA, scan_id="one"), 201)["result"] == "checked_in"
    other = WANDA | {"first_name": "Olga", "email": "olga@example.org"}
    assert refused(walk_in(door, event, **other, scan_id="one")) == (409, "scan_id_reused")
    assert said(walk_in(door, event, **WANDA, scan_id="one"), 201)["result"] == "checked_in"
    assert Attendee.objects.filter(event=event).count() == 1


def test_a_ban_keeps_out_by_phone_too(event, door):
    """Though the banned person never was an attendee."""
    person = UserProfileFactory(first_name="Wanda", last_name="Walker", phone="+14155550123")
    Ban.objects.create(event=event, user_profile=person, reason="rude")
    answer = walk_in(door, event, first_name="Wanda", last_name="Walker", phone="+14155550123")
    assert refused(answer) == (403, "banned")
    assert nobody_came(event)


def test_somebody_deactivated_does_not_walk_in_by_phone(event, door):
    person = UserProfileFactory(first_name="Wanda", last_name="Walker", phone="+14155550123")
    JoinRequestFactory(event=event, user_profile=person)
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    answer = walk_in(door, event, first_name="Wanda", last_name="Walker", phone="+14155550123")
    assert refused(answer) == (409, "needs_organizer")
    assert nobody_came(event)
