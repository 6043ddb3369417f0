"""Erasing a person: what they wrote goes, their places are freed, counts stay."""

import pytest

from attendance.models import Attendee
from attendance.operations import room
from events.models import Event, UserProfile
from events.operations import privacy
from requests.models import InvitationLink, JoinRequest
from requests.operations import invitations, join_requests
from tests.factories import EventFactory, EventGuestFactory, JoinRequestFactory, UserProfileFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_erase_frees_open_events_and_empties_texts():
    coming = JoinRequestFactory(comments="I am Jane")
    person = coming.user_profile
    past = JoinRequestFactory(user_profile=person, event=EventFactory(), comments="Jane again")
    for request in (coming, past):
        join_requests.approve(request_id=request.pk, actor=None, note="Jane is nice")
    Event.objects.filter(pk=past.event_id).update(status="completed")
    attendee = Attendee.objects.get(join_request=past)
    room.update_own(attendee_id=attendee.pk, actor=person, changes={"goals": "Meet people"})
    old_owner_id = person.owner_id

    privacy.erase(person_id=person.pk, actor=person)

    coming.refresh_from_db()
    past.refresh_from_db()
    assert (coming.status, coming.comments, coming.decision_note) == ("cancelled", "", None)
    assert (past.status, past.comments, past.decision_note) == ("approved", "", None)
    assert Event.objects.get(pk=coming.event_id).seats_taken == 0
    assert Event.objects.get(pk=past.event_id).seats_taken == 1
    attendee.refresh_from_db()
    assert (attendee.status, attendee.goals) == ("active", None)
    fresh = UserProfile.objects.get(pk=person.pk).owner_id
    assert fresh != old_owner_id
    assert {coming.owner_id, past.owner_id, attendee.owner_id} == {fresh}
    for model in (JoinRequest, Attendee):
        assert set(model.history.values_list("owner_id", flat=True)) == {fresh}
        assert set(model.history.values_list("history_change_reason", flat=True)) == {None}
    assert not JoinRequest.history.exclude(comments="").exists()
    assert not Attendee.history.exclude(goals=None).exists()


def test_export_has_every_app():
    request = JoinRequestFactory(comments="Hello")
    join_requests.approve(request_id=request.pk, actor=None)
    data = privacy.export(actor=request.user_profile)
    assert [one["comments"] for one in data["join_requests"]] == ["Hello"]
    assert [one["status"] for one in data["attendances"]] == ["active"]
    assert data["bans"] == []


def test_erasing_takes_the_name_off_a_personal_invitation(organizer, event):
    guest = EventGuestFactory(event=event, guest_name="Jane Doe", user=UserProfileFactory())
    link = invitations.invite(guest_id=guest.pk, actor=organizer).row
    assert [one["label"] for one in privacy.export(actor=guest.user)["invitations"]] == ["Jane Doe"]
    privacy.erase(person_id=guest.user_id, actor=guest.user)
    link.refresh_from_db()
    assert link.label == "(erased)"
    assert set(InvitationLink.history.values_list("label", flat=True)) == {"(erased)"}
