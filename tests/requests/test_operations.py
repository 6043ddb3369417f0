"""Asking, deciding, inviting, removing: every move, and what each leaves behind."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from attendance.models import Attendee
from attendance.operations import room
from config.errors import NotFound
from events.models import Event
from requests.models import Ban, InvitationLink, JoinRequest
from requests.operations import invitations, join_requests, removals
from tests.factories import AttendeeFactory, EventFactory, InvitationLinkFactory, UserProfileFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _promises_hold(db):
    """What a commit would check, at the end of every test."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "SELECT count(*) FROM events e WHERE seats_taken <> (SELECT coalesce(sum(1 + plus_ones), 0) "
            "FROM event_attendees a WHERE a.event_id = e.id AND a.status = 'active')"
        )
        assert cursor.fetchone()[0] == 0


def rows():
    """All that an act could have changed, history included."""
    tables = (Event, JoinRequest, Attendee, InvitationLink, Ban, JoinRequest.history.model, Attendee.history.model)
    return {model._meta.db_table: list(model.objects.order_by("pk").values()) for model in tables}


def refused(error, act, /, **arguments):
    before = rows()
    with pytest.raises(error) as caught:
        act(**arguments)
    assert rows() == before
    return str(caught.value)


def unchanged(act, /, **arguments):
    before = rows()
    outcome = act(**arguments)
    assert outcome.changed is False
    assert rows() == before
    return outcome.row


def ask(event, plus_ones=0, **fields):
    """A pending request, as its person sent it."""
    return join_requests.send(
        event_id=event.pk, person=UserProfileFactory(**fields), plus_ones=plus_ones, comments="Hello"
    ).row


def let_in(event, plus_ones=0):
    request = ask(event, plus_ones)
    join_requests.approve(request_id=request.pk, actor=None)
    return request


def status_of(*requests):
    return [JoinRequest.objects.get(pk=one.pk).status for one in requests]


def seats(event):
    return Event.objects.get(pk=event.pk).seats_taken


def attendee_of(request):
    return Attendee.objects.get(join_request=request)


def history(row):
    """Who did what and why, the first first."""
    return list(row.history.order_by("history_id").values_list("status", "history_user", "history_change_reason"))


# -- Moves ---------------------------------------------------------------------------------------

ACTS = {
    "approve": (join_requests.approve, "approved"),
    "decline": (join_requests.decline, "declined"),
    "reopen": (join_requests.reopen, "pending"),
    "cancel": (join_requests.cancel, "cancelled"),
}
LEGAL = {
    ("pending", "approve"),
    ("pending", "decline"),
    ("pending", "cancel"),
    ("approved", "reopen"),
    ("approved", "decline"),
    ("approved", "cancel"),
    ("declined", "approve"),
    ("declined", "reopen"),
}


def request_that_is(status, event):
    request = ask(event)
    if status != "pending":
        act = {"approved": "approve", "declined": "decline", "cancelled": "cancel"}[status]
        ACTS[act][0](request_id=request.pk, actor=None)
    return request


@pytest.mark.parametrize("event_status", ["draft", "published", "completed", "cancelled"])
@pytest.mark.parametrize("status", ["pending", "approved", "declined", "cancelled"])
@pytest.mark.parametrize("name", ACTS)
def test_move_from_each_status_in_each_event(event, organizer, event_status, status, name):
    request = request_that_is(status, event)
    Event.objects.update(status=event_status)
    act, target = ACTS[name]
    arguments = {"request_id": request.pk, "actor": organizer}
    over = event_status in ("completed", "cancelled")
    if status == target:
        assert unchanged(act, **arguments).status == status
    elif over and target != "cancelled":
        assert refused(room.EventClosed, act, **arguments) == (
            f"The event is {event_status}: nobody can be let in or out."
        )
    elif (status, name) not in LEGAL:
        assert refused(join_requests.IllegalMove, act, **arguments) == (
            f"A request that is {status} can't become {target}."
        )
    else:
        outcome = act(**arguments)
        assert (outcome.changed, outcome.row.status) == (True, target)
        row = JoinRequest.objects.get()
        decided = target in ("approved", "declined")
        assert (row.status, row.decided_by) == (target, organizer if decided else None)
        assert (row.decided_at is not None) == decided
        assert [one.status for one in Attendee.objects.all()] == (
            ["active"] if target == "approved" else ["removed"] if status == "approved" else []
        )
        assert seats(event) == (1 if target == "approved" else 0)


@pytest.mark.parametrize("act", [one for one, _target in ACTS.values()])
def test_move_of_an_unknown_request(act, event):
    refused(NotFound, act, request_id=UserProfileFactory().pk, actor=None)


def test_approve_makes_the_attendee(event, organizer):
    request = ask(event, plus_ones=2)
    before = timezone.now()
    outcome = join_requests.approve(request_id=request.pk, actor=organizer, note="Welcome")
    assert outcome.changed is True
    row = JoinRequest.objects.get()
    assert (row.status, row.decided_by, row.decision_note) == ("approved", organizer, "Welcome")
    assert before <= row.decided_at <= timezone.now()
    attendee = Attendee.objects.values(*(f.attname for f in Attendee._meta.concrete_fields)).get()
    assert len(attendee.pop("ticket_code")) == 32
    assert before <= attendee.pop("created_at") <= timezone.now()
    assert before <= attendee.pop("updated_at") <= timezone.now()
    attendee.pop("id")
    expected = {
        "event_id": event.pk,
        "owner_id": request.user_profile.owner_id,
        "user_profile_id": request.user_profile_id,
        "join_request_id": request.pk,
        "source": "join_request",
        "status": "active",
        "plus_ones": 2,
        "visibility_enabled": True,
        "notifications_enabled": True,
        "hidden_at": None,
        "goals": None,
        "looking_for": None,
        "rsvp_contact": None,
        "company_website": None,
        "match_profile": None,
        "looking_for_updated_at": None,
    }
    assert {name: attendee[name] for name in expected} == expected
    assert seats(event) == 3


def test_approve_twice_leaves_one_attendee_and_one_entry_in_the_history(event, organizer):
    request = ask(event)
    join_requests.approve(request_id=request.pk, actor=organizer)
    unchanged(join_requests.approve, request_id=request.pk, actor=organizer, note="again")
    assert Attendee.objects.count() == 1
    assert history(request) == [("pending", request.user_profile_id, None), ("approved", organizer.pk, None)]
    assert history(attendee_of(request)) == [("active", organizer.pk, "approved")]


def test_approve_after_going_back_keeps_the_attendee_as_it_was(event, organizer):
    request = let_in(event, plus_ones=1)
    first = attendee_of(request)
    room.update_own(
        attendee_id=first.pk, actor=request.user_profile, changes={"goals": "Meet people", "visibility_enabled": False}
    )
    first.refresh_from_db()
    for leave in (join_requests.reopen, join_requests.decline, join_requests.reopen):
        leave(request_id=request.pk, actor=organizer)
        removed = attendee_of(request)
        assert (removed.pk, removed.status, seats(event)) == (first.pk, "removed", 0)
    join_requests.approve(request_id=request.pk, actor=organizer)
    again = attendee_of(request)
    kept = [f.attname for f in Attendee._meta.concrete_fields if f.attname != "updated_at"]
    assert {name: getattr(again, name) for name in kept} == {name: getattr(first, name) for name in kept}
    assert (again.goals, again.visibility_enabled, seats(event)) == ("Meet people", False, 2)
    assert again.updated_at > first.updated_at


def test_history_says_who_and_why(event, organizer):
    request = ask(event)
    person = request.user_profile
    join_requests.approve(request_id=request.pk, actor=organizer)
    join_requests.reopen(request_id=request.pk, actor=organizer)
    join_requests.decline(request_id=request.pk, actor=organizer, note="Sorry")
    join_requests.approve(request_id=request.pk, actor=None)
    join_requests.cancel(request_id=request.pk, actor=person)
    assert history(request) == [
        ("pending", person.pk, None),
        ("approved", organizer.pk, None),
        ("pending", organizer.pk, None),
        ("declined", organizer.pk, None),
        ("approved", None, None),
        ("cancelled", person.pk, None),
    ]
    assert history(attendee_of(request)) == [
        ("active", organizer.pk, "approved"),
        ("removed", organizer.pk, "pending"),
        ("active", None, "approved"),
        ("removed", person.pk, "cancelled"),
    ]


def test_decision_note_goes_when_the_decision_does(event, organizer):
    request = ask(event)
    join_requests.decline(request_id=request.pk, actor=organizer, note="No room")
    assert JoinRequest.objects.get().decision_note == "No room"
    join_requests.reopen(request_id=request.pk, actor=organizer)
    row = JoinRequest.objects.get()
    assert (row.decision_note, row.decided_at, row.decided_by) == (None, None, None)


@pytest.mark.parametrize("note", ["", None])
def test_empty_note_is_no_note(event, organizer, note):
    request = ask(event)
    join_requests.decline(request_id=request.pk, actor=organizer, note=note)
    assert JoinRequest.objects.get().decision_note is None


def test_decision_is_logged_once_it_stands(event, organizer, django_capture_on_commit_callbacks, caplog):
    with django_capture_on_commit_callbacks(execute=True):
        request = ask(event)
        join_requests.approve(request_id=request.pk, actor=organizer)
        join_requests.approve(request_id=request.pk, actor=organizer)
    told = {"join_request": str(request.pk), "event_id": event.pk}
    lines = [record.msg for record in caplog.records if record.name == "requests.operations.join_requests"]
    assert [{name: line[name] for name in ("event", *told, "status")} for line in lines] == [
        {"event": "join_request.sent", **told, "status": "pending"},
        {"event": "join_request.decided", **told, "status": "approved"},
    ]


# -- Places --------------------------------------------------------------------------------------


def test_approve_when_full_is_refused_with_figures():
    event = EventFactory(capacity=3)
    let_in(event, plus_ones=1)
    request = ask(event, plus_ones=2)
    assert refused(room.EventFull, join_requests.approve, request_id=request.pk, actor=None) == (
        "The event is full: 2 of 3 places taken; this request needs 3."
    )


def test_approve_takes_the_last_places_exactly():
    event = EventFactory(capacity=3)
    let_in(event)
    let_in(event, plus_ones=1)
    assert seats(event) == 3
    assert "3 of 3" in refused(room.EventFull, join_requests.approve, request_id=ask(event).pk, actor=None)


def test_pending_requests_hold_no_place():
    event = EventFactory(capacity=1)
    ask(event, plus_ones=3)
    assert seats(event) == 0
    assert status_of(let_in(event)) == ["approved"]


def test_approve_again_needs_a_place_again():
    event = EventFactory(capacity=1)
    first = let_in(event)
    join_requests.reopen(request_id=first.pk, actor=None)
    let_in(event)
    refused(room.EventFull, join_requests.approve, request_id=first.pk, actor=None)
    assert attendee_of(first).status == "removed"


@pytest.mark.parametrize("source", ["invitation", "import", "walk_in"])
def test_approve_adopts_who_came_another_way(event, organizer, source):
    request = ask(event, plus_ones=1)
    row = AttendeeFactory(event=event, user_profile=request.user_profile, source=source, goals="Mine")
    join_requests.approve(request_id=request.pk, actor=organizer)
    adopted = Attendee.objects.get()
    assert (adopted.pk, adopted.source, adopted.join_request_id) == (row.pk, source, request.pk)
    assert (adopted.ticket_code, adopted.goals, adopted.plus_ones) == (row.ticket_code, "Mine", 1)
    assert seats(event) == 2


def test_approve_adopts_in_a_full_event_without_a_new_place():
    event = EventFactory(capacity=1)
    request = ask(event)
    AttendeeFactory(event=event, user_profile=request.user_profile)
    join_requests.approve(request_id=request.pk, actor=None)
    assert (status_of(request), seats(event)) == (["approved"], 1)


def test_approve_revives_who_came_another_way_and_was_removed(event):
    request = ask(event)
    row = AttendeeFactory(event=event, user_profile=request.user_profile, status="removed")
    join_requests.approve(request_id=request.pk, actor=None)
    revived = Attendee.objects.get()
    assert (revived.pk, revived.status, revived.source) == (row.pk, "active", "invitation")


# -- Asking --------------------------------------------------------------------------------------


def test_send_makes_a_pending_request(event):
    person = UserProfileFactory()
    outcome = join_requests.send(event_id=event.pk, person=person, plus_ones=2, comments="With friends")
    assert outcome.changed is True
    row = JoinRequest.objects.get()
    assert (row.pk, row.event_id, row.user_profile_id, row.owner_id) == (
        outcome.row.pk,
        event.pk,
        person.pk,
        person.owner_id,
    )
    assert (row.status, row.plus_ones, row.comments, row.held) == ("pending", 2, "With friends", False)
    assert (row.decided_at, row.decided_by, row.decision_note) == (None, None, None)
    assert not Attendee.objects.exists()


@pytest.mark.parametrize("status", ["pending", "approved", "declined"])
def test_send_again_returns_the_request_as_it_is(event, status):
    request = request_that_is(status, event)
    row = unchanged(join_requests.send, event_id=event.pk, person=request.user_profile, plus_ones=1, comments="Again")
    assert (row.pk, row.status, row.plus_ones, row.comments) == (request.pk, status, 0, "Hello")


def test_send_again_reopens_what_was_cancelled(event):
    request = request_that_is("cancelled", event)
    person = request.user_profile
    outcome = join_requests.send(event_id=event.pk, person=person, plus_ones=1, comments="After all")
    row = JoinRequest.objects.get()
    assert (outcome.changed, outcome.row.pk, row.pk) == (False, request.pk, request.pk)
    assert (row.status, row.plus_ones, row.comments) == ("pending", 1, "After all")
    assert history(row)[-1] == ("pending", person.pk, "sent again")


@pytest.mark.parametrize("status", ["draft", "completed", "cancelled"])
@pytest.mark.parametrize("before", [None, "cancelled"])
def test_send_to_an_event_that_is_not_published(event, status, before):
    person = request_that_is(before, event).user_profile if before else UserProfileFactory()
    Event.objects.update(status=status)
    words = {"draft": "it isn't open yet", "completed": "it is over", "cancelled": "it was cancelled"}
    assert refused(room.ClosedToGuests, join_requests.send, event_id=event.pk, person=person) == (
        f"You can't join this event: {words[status]}."
    )


def test_send_again_to_an_event_that_is_over_returns_the_request(event):
    request = let_in(event)
    Event.objects.update(status="completed")
    assert unchanged(join_requests.send, event_id=event.pk, person=request.user_profile).status == "approved"


def test_send_to_an_unknown_event(db):
    refused(NotFound, join_requests.send, event_id=2**62, person=UserProfileFactory())


@pytest.mark.parametrize("before", [None, "cancelled"])
def test_send_with_too_many_plus_ones(event, before):
    person = request_that_is(before, event).user_profile if before else UserProfileFactory()
    text = refused(room.TooManyPlusOnes, join_requests.send, event_id=event.pk, person=person, plus_ones=4)
    assert text == "At most 3 may come along with each person at this event."


def test_send_by_somebody_who_attends_already(event):
    person = AttendeeFactory(event=event).user_profile
    refused(room.AlreadyAttending, join_requests.send, event_id=event.pk, person=person)


def test_send_by_somebody_who_was_removed(event):
    person = AttendeeFactory(event=event, status="removed").user_profile
    assert join_requests.send(event_id=event.pk, person=person).row.status == "pending"


def test_edit_while_pending(event):
    request = ask(event)
    join_requests.edit(
        request_id=request.pk, actor=request.user_profile, changes={"plus_ones": 3, "comments": "More of us"}
    )
    row = JoinRequest.objects.get()
    assert (row.plus_ones, row.comments, row.status) == (3, "More of us", "pending")
    assert history(row)[-1] == ("pending", request.user_profile_id, None)


@pytest.mark.parametrize("status", ["approved", "declined", "cancelled"])
def test_edit_after_the_decision(event, status):
    request = request_that_is(status, event)
    text = refused(
        join_requests.PlusOnesFixed,
        join_requests.edit,
        request_id=request.pk,
        actor=request.user_profile,
        changes={"plus_ones": 1},
    )
    assert text == f"The request is {status}: it can't be changed any more."


def test_edit_with_too_many_plus_ones(event):
    request = ask(event)
    refused(
        room.TooManyPlusOnes,
        join_requests.edit,
        request_id=request.pk,
        actor=request.user_profile,
        changes={"plus_ones": 4},
    )


# -- Automatic approval --------------------------------------------------------------------------


@pytest.fixture
def auto():
    return EventFactory(capacity=2, approval_mode="auto")


def test_auto_approves_on_arrival(auto):
    request = ask(auto, plus_ones=1)
    row = JoinRequest.objects.get()
    assert (request.status, row.status, row.decided_by) == ("approved", "approved", None)
    assert row.decided_at is not None
    assert history(row) == [
        ("pending", row.user_profile_id, None),
        ("approved", None, "approved on arrival"),
    ]
    assert history(attendee_of(row)) == [("active", None, "approved on arrival")]


def test_auto_says_that_a_request_was_made(auto):
    person = UserProfileFactory()
    assert join_requests.send(event_id=auto.pk, person=person).changed is True
    assert unchanged(join_requests.send, event_id=auto.pk, person=person).status == "approved"


def test_auto_leaves_pending_who_needs_more_than_there_is(auto):
    assert status_of(ask(auto, plus_ones=2)) == ["pending"]
    assert status_of(ask(auto, plus_ones=1)) == ["approved"]
    assert status_of(ask(auto)) == ["pending"]
    assert seats(auto) == 2


def test_auto_approves_again_who_had_cancelled(auto):
    request = ask(auto)
    join_requests.cancel(request_id=request.pk, actor=request.user_profile)
    ticket = attendee_of(request).ticket_code
    outcome = join_requests.send(event_id=auto.pk, person=request.user_profile)
    assert (outcome.changed, status_of(request)) == (False, ["approved"])
    assert attendee_of(request).ticket_code == ticket


def line(auto, *sizes):
    """The event is full with one party of two; behind it wait parties of these sizes."""
    inside = ask(auto, plus_ones=1)
    waiting = [ask(auto, plus_ones=size - 1) for size in sizes]
    assert set(status_of(*waiting)) == {"pending"}
    return inside, waiting


@pytest.mark.parametrize("leave", ["cancel", "decline"])
def test_auto_admits_the_longest_waiting_when_somebody_leaves(auto, leave):
    inside, waiting = line(auto, 1, 1, 1)
    ACTS[leave][0](request_id=inside.pk, actor=None)
    assert status_of(*waiting) == ["approved", "approved", "pending"]
    assert seats(auto) == 2
    assert history(waiting[0])[-1] == ("approved", None, "approved as there was room")


def test_auto_admits_when_an_attendee_is_removed(auto, organizer):
    inside, waiting = line(auto, 2, 1)
    removals.remove(attendee_id=attendee_of(inside).pk, actor=organizer, reason="Left")
    assert status_of(inside, *waiting) == ["declined", "approved", "pending"]


def test_auto_admits_when_an_attendee_without_request_is_removed(auto, organizer):
    guest = AttendeeFactory(event=auto, plus_ones=1)
    waiting = ask(auto)
    removals.remove(attendee_id=guest.pk, actor=organizer, reason="Left")
    assert status_of(waiting) == ["approved"]


def test_auto_admits_when_somebody_is_banned(auto, organizer):
    inside, waiting = line(auto, 2)
    removals.ban(attendee_id=attendee_of(inside).pk, actor=organizer, reason="Rude")
    assert status_of(inside, *waiting) == ["declined", "approved"]


def test_auto_admits_when_somebody_brings_fewer(auto, organizer):
    inside, waiting = line(auto, 2, 1)
    removals.change_plus_ones(attendee_id=attendee_of(inside).pk, actor=organizer, plus_ones=0)
    assert status_of(inside, *waiting) == ["approved", "pending", "approved"]
    assert seats(auto) == 2


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        (3, ["pending", "approved", "pending"]),
        (4, ["approved", "pending", "pending"]),
        (6, ["approved", "approved", "approved"]),
        (None, ["approved", "approved", "approved"]),
    ],
)
def test_auto_admits_when_capacity_rises(auto, organizer, capacity, expected):
    _inside, waiting = line(auto, 2, 1, 1)
    auto.capacity = capacity
    auto.save(update_fields=["capacity"])
    join_requests.event_changed(row=auto, changed=frozenset({"capacity"}), actor=organizer)
    assert status_of(*waiting) == expected


def test_auto_admits_when_it_is_switched_on(organizer):
    event = EventFactory(capacity=1)
    first, second = ask(event), ask(event)
    event.approval_mode = "auto"
    event.save(update_fields=["approval_mode"])
    join_requests.event_changed(row=event, changed=frozenset({"approval_mode"}), actor=organizer)
    assert status_of(first, second) == ["approved", "pending"]


def test_event_changed_in_its_title_admits_nobody(auto, organizer):
    _inside, waiting = line(auto, 1)
    Event.objects.update(capacity=5)
    join_requests.event_changed(row=auto, changed=frozenset({"title"}), actor=organizer)
    assert status_of(*waiting) == ["pending"]


def test_manual_events_admit_nobody_by_themselves():
    event = EventFactory(capacity=1)
    inside, waiting = let_in(event), ask(event)
    join_requests.cancel(request_id=inside.pk, actor=None)
    assert join_requests.admit_pending(event_id=event.pk) == 0
    assert status_of(waiting) == ["pending"]


@pytest.mark.parametrize("status", ["draft", "completed", "cancelled"])
def test_auto_admits_nobody_to_an_event_that_is_not_published(auto, status):
    inside, waiting = line(auto, 1)
    Event.objects.update(status=status)
    join_requests.cancel(request_id=inside.pk, actor=None)
    assert join_requests.admit_pending(event_id=auto.pk) == 0
    assert status_of(*waiting) == ["pending"]


def test_auto_leaves_alone_whom_an_organiser_put_back(auto, organizer):
    inside, waiting = line(auto, 1, 1)
    join_requests.reopen(request_id=inside.pk, actor=organizer)
    assert JoinRequest.objects.get(pk=inside.pk).held is True
    assert status_of(inside, *waiting) == ["pending", "approved", "approved"]
    join_requests.cancel(request_id=waiting[0].pk, actor=None)
    assert status_of(inside) == ["pending"]


def test_held_request_is_free_again_once_decided_or_sent_anew(auto, organizer):
    request = ask(auto)
    join_requests.reopen(request_id=request.pk, actor=organizer)
    join_requests.cancel(request_id=request.pk, actor=request.user_profile)
    assert JoinRequest.objects.get().held is False
    join_requests.send(event_id=auto.pk, person=request.user_profile)
    assert status_of(request) == ["approved"]


def test_admit_pending_says_how_many_came_in(auto):
    _inside, waiting = line(auto, 1, 1, 3)
    Event.objects.update(capacity=4)
    assert join_requests.admit_pending(event_id=auto.pk) == 2
    assert status_of(*waiting) == ["approved", "approved", "pending"]
    assert join_requests.admit_pending(event_id=auto.pk) == 0


@pytest.mark.parametrize("others", [1, 3])
def test_admit_pending_makes_the_same_number_of_queries_for_any_line(auto, others, django_assert_num_queries):
    line(auto, *[1] * others)
    Event.objects.update(capacity=10)
    with django_assert_num_queries(ADMIT_QUERIES):
        assert join_requests.admit_pending(event_id=auto.pk) == others


ADMIT_QUERIES = 11
"""Savepoint, event, line, attendees, their insert and its history, requests and theirs, their notice and
its deliveries, release."""


# -- Bans ----------------------------------------------------------------------------------------


@pytest.fixture
def banned(event, organizer):
    request = let_in(event)
    removals.ban(attendee_id=attendee_of(request).pk, actor=organizer, reason="Rude")
    return request


def test_ban_removes_and_declines(event, organizer, banned):
    assert list(Ban.objects.values_list("event", "user_profile", "reason", "banned_by")) == [
        (event.pk, banned.user_profile_id, "Rude", organizer.pk)
    ]
    row = JoinRequest.objects.get()
    assert (row.status, row.decided_by, row.decision_note) == ("declined", organizer, "Rude")
    assert history(attendee_of(banned))[-1] == ("removed", organizer.pk, "Rude")


def test_ban_twice(event, organizer, banned):
    unchanged(removals.ban, attendee_id=attendee_of(banned).pk, actor=organizer, reason="Very rude")


def test_banned_person_is_not_approved(banned, organizer):
    words = refused(room.Banned, join_requests.approve, request_id=banned.pk, actor=organizer)
    assert words == "This person may not attend this event."


def test_banned_person_comes_in_by_no_link(event, banned):
    link = InvitationLinkFactory(event=event)
    words = refused(room.YouAreBanned, invitations.accept, token=link.token, person=banned.user_profile)
    assert words == "You can't attend this event."


def test_banned_person_can_not_ask(event, organizer):
    guest = AttendeeFactory(event=event)
    assert removals.ban(attendee_id=guest.pk, actor=organizer, reason="Rude").changed is True
    assert not Attendee.objects.active().exists()
    refused(room.YouAreBanned, join_requests.send, event_id=event.pk, person=guest.user_profile)


def test_banned_person_can_not_reopen(event, organizer):
    request = ask(event)
    join_requests.cancel(request_id=request.pk, actor=request.user_profile)
    removals.ban_applicant(request_id=request.pk, actor=organizer, reason="Rude")
    assert status_of(request) == ["cancelled"]
    refused(room.YouAreBanned, join_requests.send, event_id=event.pk, person=request.user_profile)


@pytest.mark.parametrize("status", ["pending", "approved", "declined"])
def test_ban_applicant_leaves_them_declined(event, organizer, status):
    request = request_that_is(status, event)
    assert removals.ban_applicant(request_id=request.pk, actor=organizer, reason="Rude").changed is True
    assert status_of(request) == ["declined"]
    assert not Attendee.objects.active().exists()


def test_ban_of_a_removed_attendee_declines_what_they_asked_since(auto, organizer):
    """They would be let in as soon as a place frees."""
    removed = ask(auto)
    join_requests.cancel(request_id=removed.pk, actor=removed.user_profile)
    other = ask(auto, plus_ones=1)
    join_requests.send(event_id=auto.pk, person=removed.user_profile)
    assert status_of(removed) == ["pending"]
    removals.ban(attendee_id=attendee_of(removed).pk, actor=organizer, reason="Rude")
    join_requests.cancel(request_id=other.pk, actor=other.user_profile)
    assert status_of(removed) == ["declined"]
    assert not Attendee.objects.active().exists()


def test_ban_of_a_walk_in_declines_what_they_had_asked(auto, organizer):
    request = ask(auto, plus_ones=2)
    walk_in = AttendeeFactory(event=auto, user_profile=request.user_profile, source="walk_in")
    Event.objects.update(capacity=9)
    removals.ban(attendee_id=walk_in.pk, actor=organizer, reason="Rude")
    assert status_of(request) == ["declined"]
    assert not Attendee.objects.active().exists()


# -- Removing, plus-ones -------------------------------------------------------------------------


def test_remove_goes_through_the_request(event, organizer):
    request = let_in(event)
    outcome = removals.remove(attendee_id=attendee_of(request).pk, actor=organizer, reason="Asked to leave")
    assert outcome.changed is True
    row = JoinRequest.objects.get()
    assert (row.status, row.decided_by, row.decision_note) == ("declined", organizer, "Asked to leave")
    assert history(attendee_of(request))[-1] == ("removed", organizer.pk, "Asked to leave")
    assert not Ban.objects.exists()


def test_remove_twice(event, organizer):
    request = let_in(event)
    pk = attendee_of(request).pk
    removals.remove(attendee_id=pk, actor=organizer, reason="Left")
    unchanged(removals.remove, attendee_id=pk, actor=organizer, reason="Left again")


def test_remove_without_a_request(event, organizer):
    guest = AttendeeFactory(event=event, plus_ones=2)
    assert removals.remove(attendee_id=guest.pk, actor=organizer, reason="Left").changed is True
    assert history(guest)[-1] == ("removed", organizer.pk, "Left")
    assert seats(event) == 0


def test_remove_from_an_event_that_is_over(event, organizer):
    request = let_in(event)
    Event.objects.update(status="completed")
    refused(room.EventClosed, removals.remove, attendee_id=attendee_of(request).pk, actor=organizer, reason="Late")


def test_remove_of_an_unknown_attendee(db, organizer):
    refused(NotFound, removals.remove, attendee_id=organizer.pk, actor=organizer, reason="Who")


def test_change_plus_ones_changes_both_rows(event, organizer):
    request = let_in(event)
    pk = attendee_of(request).pk
    assert removals.change_plus_ones(attendee_id=pk, actor=organizer, plus_ones=3).changed is True
    reason = "plus-ones changed by an organiser"
    assert (JoinRequest.objects.get().plus_ones, Attendee.objects.get().plus_ones, seats(event)) == (3, 3, 4)
    assert history(request)[-1] == ("approved", organizer.pk, reason)
    assert history(attendee_of(request))[-1] == ("active", organizer.pk, reason)
    unchanged(removals.change_plus_ones, attendee_id=pk, actor=organizer, plus_ones=3)


def test_change_plus_ones_when_full():
    event = EventFactory(capacity=3)
    request = let_in(event, plus_ones=1)
    text = refused(
        room.EventFull,
        removals.change_plus_ones,
        attendee_id=attendee_of(request).pk,
        actor=None,
        plus_ones=3,
    )
    assert text == "The event is full: 2 of 3 places taken; this request needs 2."


def test_change_plus_ones_beyond_what_the_event_allows(event, organizer):
    request = let_in(event)
    refused(
        room.TooManyPlusOnes,
        removals.change_plus_ones,
        attendee_id=attendee_of(request).pk,
        actor=organizer,
        plus_ones=4,
    )


def test_change_plus_ones_in_an_event_that_is_over(event, organizer):
    request = let_in(event)
    Event.objects.update(status="cancelled")
    refused(
        room.EventClosed,
        removals.change_plus_ones,
        attendee_id=attendee_of(request).pk,
        actor=organizer,
        plus_ones=1,
    )


def test_change_plus_ones_of_somebody_without_a_request(event, organizer):
    guest = AttendeeFactory(event=event)
    removals.change_plus_ones(attendee_id=guest.pk, actor=organizer, plus_ones=2)
    assert (Attendee.objects.get().plus_ones, seats(event)) == (2, 3)


# -- Invitation links ----------------------------------------------------------------------------


@pytest.fixture
def link(event, organizer):
    return InvitationLinkFactory(event=event, max_uses=2, created_by=organizer)


def accept(link, person):
    return invitations.accept(token=link.token, person=person)


def uses(link):
    return InvitationLink.objects.get(pk=link.pk).uses


def test_accept_lets_in(event, link):
    person = UserProfileFactory()
    outcome = accept(link, person)
    assert (outcome.changed, outcome.row) == (True, Attendee.objects.get())
    row = outcome.row
    assert (row.event_id, row.user_profile_id, row.owner_id) == (event.pk, person.pk, person.owner_id)
    assert (row.source, row.status, row.join_request_id) == ("invitation", "active", None)
    assert history(row) == [("active", person.pk, f"invitation link {link.pk}")]
    assert (uses(link), seats(event)) == (1, 1)


def test_accept_twice_uses_it_once(link):
    person = UserProfileFactory()
    first = accept(link, person).row
    assert unchanged(invitations.accept, token=link.token, person=person) == first
    assert uses(link) == 1


def test_accept_by_who_is_in_already_works_even_when_the_link_does_not(event, link):
    request = let_in(event)
    InvitationLink.objects.update(revoked_at=timezone.now())
    assert unchanged(invitations.accept, token=link.token, person=request.user_profile) == attendee_of(request)


@pytest.mark.parametrize("status", ["pending", "declined", "cancelled"])
def test_accept_approves_the_request_there_is(event, organizer, link, status):
    request = request_that_is(status, event)
    outcome = accept(link, request.user_profile)
    row = JoinRequest.objects.get()
    assert (row.status, row.decided_by, row.decision_note) == ("approved", organizer, None)
    assert (outcome.changed, outcome.row, outcome.row.join_request_id) == (True, attendee_of(request), request.pk)
    assert outcome.row.source == "join_request"
    reason = f"invitation link {link.pk}"
    assert history(request)[-1] == ("approved", organizer.pk, reason)
    assert history(outcome.row)[-1] == ("active", organizer.pk, reason)
    assert uses(link) == 1


def test_accept_brings_back_who_was_removed(event, link):
    guest = AttendeeFactory(event=event, source="walk_in", status="removed")
    row = accept(link, guest.user_profile).row
    assert (row.pk, row.source, row.status, row.ticket_code) == (guest.pk, "walk_in", "active", guest.ticket_code)


def test_accept_beyond_the_limit(link):
    for _ in range(2):
        accept(link, UserProfileFactory())
    text = refused(invitations.InvitationInvalid, invitations.accept, token=link.token, person=UserProfileFactory())
    assert text == "This invitation is no longer valid."


@pytest.mark.parametrize(
    "fields",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_accept_with_a_link_that_is_over(link, fields):
    InvitationLink.objects.update(**fields)
    refused(invitations.InvitationInvalid, invitations.accept, token=link.token, person=UserProfileFactory())


def test_accept_before_it_expires(link):
    InvitationLink.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert accept(link, UserProfileFactory()).changed is True


@pytest.mark.parametrize("token", ["", "nonsense", "0" * 32, "0" * 32 + ":signature", "\x00", "ü:ü"])
def test_accept_with_a_made_up_token(link, token):
    refused(NotFound, invitations.accept, token=token, person=UserProfileFactory())


def test_accept_with_the_token_of_a_deleted_link(link):
    token = link.token
    link.delete()
    refused(NotFound, invitations.accept, token=token, person=UserProfileFactory())


def test_accept_when_full():
    event = EventFactory(capacity=1)
    link = InvitationLinkFactory(event=event)
    let_in(event)
    text = refused(room.EventFull, invitations.accept, token=link.token, person=UserProfileFactory())
    assert text == "The event is full: 1 of 1 places taken; this request needs 1."
    assert uses(link) == 0


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_accept_when_the_event_is_over(event, link, status):
    Event.objects.update(status=status)
    refused(room.EventClosed, invitations.accept, token=link.token, person=UserProfileFactory())


def test_accept_by_a_closed_account(link):
    """Their access token may live for minutes after."""
    refused(NotFound, invitations.accept, token=link.token, person=UserProfileFactory(is_active=False))


def test_revoke(link, organizer):
    outcome = invitations.revoke(link_id=link.pk, actor=organizer)
    assert (outcome.changed, outcome.row.is_valid) == (True, False)
    assert link.history.latest().history_user == organizer
    unchanged(invitations.revoke, link_id=link.pk, actor=organizer)


def test_revoke_of_an_unknown_link(db, organizer):
    refused(NotFound, invitations.revoke, link_id=organizer.pk, actor=organizer)


# -- Backfill ------------------------------------------------------------------------------------


def loaded(event, *requests):
    """Approved, as a dump that was loaded with the triggers off leaves them: nobody in the room."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE event_join_requests SET status = 'approved', decided_at = now() WHERE id = ANY(%s)",
            [[one.pk for one in requests]],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_backfill_makes_what_is_missing(event):
    other = EventFactory(status="completed")
    untouched = [ask(event), let_in(event)]
    Event.objects.filter(pk=other.pk).update(status="published")
    broken = [ask(event, plus_ones=1), ask(event), ask(other)]
    Event.objects.filter(pk=other.pk).update(status="completed")
    loaded(event, *broken)
    assert join_requests.backfill_attendees(rows=[one.pk for one in broken]) == 3
    assert status_of(*untouched) == ["pending", "approved"]
    assert [attendee_of(one).source for one in broken] == ["join_request"] * 3
    assert history(attendee_of(broken[0])) == [("active", None, "backfill")]
    assert (seats(event), seats(other)) == (4, 1)
    assert not JoinRequest.objects.without_attendee().exists()
    assert join_requests.backfill_attendees(rows=[one.pk for one in broken]) == 0


def test_backfill_revives_and_adopts(event):
    adopted, revived = ask(event), let_in(event)
    row = AttendeeFactory(event=event, user_profile=adopted.user_profile, source="import")
    join_requests.decline(request_id=revived.pk, actor=None)
    ticket = attendee_of(revived).ticket_code
    loaded(event, adopted, revived)
    assert join_requests.backfill_attendees(rows=[adopted.pk, revived.pk]) == 2
    assert (attendee_of(adopted).pk, attendee_of(adopted).source) == (row.pk, "import")
    assert (attendee_of(revived).ticket_code, attendee_of(revived).status) == (ticket, "active")


def test_backfill_beyond_capacity_is_refused():
    event = EventFactory(capacity=1)
    requests = [ask(event), ask(event)]
    roomy = ask(EventFactory())
    loaded(event, *requests)
    loaded(roomy.event, roomy)
    rows = [one.pk for one in [*requests, roomy]]
    assert join_requests.backfill_attendees(rows=rows) == 1  # the full event holds up nobody else
    assert not event.attendees.exists()
    Event.objects.update(capacity=2)
    assert join_requests.backfill_attendees(rows=rows) == 2
