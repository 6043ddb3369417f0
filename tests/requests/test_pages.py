"""Asking to join on the web, taking it back, and coming in by an invitation."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from attendance.models import Attendee
from config.api import limiter
from events.models import Event
from requests.models import Ban, JoinRequest
from requests.operations import invitations, join_requests
from tests.factories import AttendeeFactory, EventFactory, InvitationLinkFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def event():
    return EventFactory(title="Harbour Conf", max_plus_ones=2)


@pytest.fixture
def person(client):
    limiter().storage.reset()
    person = UserProfileFactory(first_name="Ada")
    client.force_login(person, backend="events.sign_in.LinkBackend")
    return person


def text(answer) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def post(client, address, **data):
    answer = client.post(address, data)
    return text(client.get(answer.url)) if answer.status_code == 303 else text(answer)


def rows():
    return list(JoinRequest.objects.values_list("status", "plus_ones", "comments"))


# -- Asking ---------------------------------------------------------------------------------------


def test_a_stranger_signs_in_first_and_comes_back(client, event):
    page = text(client.get(f"/e/{event.slug}/"))
    assert "Ask to join" in page and "You sign in by e-mail on the way." in page
    for method in (client.get, client.post):
        answer = method(f"/e/{event.slug}/join/?code=a")
        assert answer.status_code == 303
        assert answer.url == f"/sign-in/?next=%2Fe%2F{event.slug}%2Fjoin%2F%3Fcode%3Da"


def test_asking_is_pending_until_somebody_decides(client, event, person):
    join = f"/e/{event.slug}/join/"
    form = text(client.get(join))
    assert "max" not in form.split('name="plus_ones"')[0][-40:] and "At most 2." in form
    page = post(client, join, plus_ones="1", comments="Hello\nthere")
    assert rows() == [("pending", 1, "Hello\nthere")]
    assert "You have asked to join." in page and "The organisers decide" in page and "Hello<br>there" in page
    request = JoinRequest.objects.get()
    join_requests.approve(request_id=request.pk, actor=None)
    page = text(client.get(f"/e/{event.slug}/"))
    assert "You're coming" in page.replace("&#x27;", "'") and "With 1 more." in page
    assert client.get(join).url == f"/e/{event.slug}/"


def test_a_second_click_changes_nothing(client, event, person):
    join = f"/e/{event.slug}/join/"
    client.post(join, {"plus_ones": "1", "comments": "first"})
    history = JoinRequest.history.count()
    client.post(join, {"plus_ones": "1", "comments": "first"})
    assert rows() == [("pending", 1, "first")]
    assert JoinRequest.history.count() <= history + 1


def test_what_was_asked_can_be_changed_while_it_is_pending(client, event, person):
    join = f"/e/{event.slug}/join/"
    client.post(join, {"plus_ones": "1", "comments": "first"})
    form = text(client.get(join))
    assert 'value="1"' in form and "first</textarea>" in form
    assert "Your request is changed." in post(client, join, plus_ones="0", comments="second")
    assert rows() == [("pending", 0, "second")]


def test_an_event_without_plus_ones_asks_for_none(client, person):
    event = EventFactory(max_plus_ones=0)
    join = f"/e/{event.slug}/join/"
    assert "plus_ones" not in text(client.get(join))
    post(client, join, plus_ones="3")
    assert rows() == [("pending", 0, "")]


def test_too_many_are_refused_beside_the_form_with_the_input_kept(client, event, person):
    page = post(client, f"/e/{event.slug}/join/", plus_ones="3", comments="kept words")
    assert "At most 2 may come along with each person at this event." in page
    assert "kept words</textarea>" in page and 'value="3"' in page
    assert rows() == []


@pytest.mark.parametrize("given", ["-1", "many", "", "99999999999"])
def test_nonsense_is_said_beside_the_field(client, event, person, given):
    page = post(client, f"/e/{event.slug}/join/", plus_ones=given)
    assert 'class="errorlist"' in page or "may come along with each person" in page
    assert rows() == []


def test_automatic_approval_lets_in_at_once_and_says_when_there_is_no_room(client, person):
    event = EventFactory(approval_mode="auto", capacity=1)
    assert "While there is room, you are in at once." in text(client.get(f"/e/{event.slug}/"))
    for address in ("", "join/"):  # the button, and the page that it leads to
        page = text(client.get(f"/e/{event.slug}/{address}"))
        assert ">Join<" in page and "Ask to join" not in page
    assert "in." in post(client, f"/e/{event.slug}/join/", plus_ones="0")
    assert rows() == [("approved", 0, "")]
    other = UserProfileFactory()
    client.force_login(other, backend="events.sign_in.LinkBackend")
    page = text(client.get(f"/e/{event.slug}/"))
    assert "The event is full. You can ask all the same" in page and ">Full</span>" in page
    assert "There is no room at the moment." in post(client, f"/e/{event.slug}/join/", plus_ones="0")


def test_a_declined_request_says_why_and_leads_nowhere(client, event, person):
    join_requests.send(event_id=event.pk, person=person)
    join_requests.decline(request_id=JoinRequest.objects.get().pk, actor=None, note="Members\nonly")
    page = text(client.get(f"/e/{event.slug}/"))
    assert "The organisers declined your request" in page and "Members<br>only" in page and "/join/" not in page
    assert client.get(f"/e/{event.slug}/join/").url == f"/e/{event.slug}/"
    assert client.post(f"/e/{event.slug}/join/", {"plus_ones": "0"}).url == f"/e/{event.slug}/"
    assert [status for status, _extra, _words in rows()] == ["declined"]


def test_the_banned_hear_of_it_only_when_they_ask(client, event, person):
    Ban.objects.create(event=event, user_profile=person, reason="fighting")
    assert "Would you like to come?" in text(client.get(f"/e/{event.slug}/"))
    page = post(client, f"/e/{event.slug}/join/", plus_ones="0")
    assert "You can't attend this event." in page and "fighting" not in page
    assert rows() == []


@pytest.mark.parametrize(("status", "why"), [("completed", "it is over"), ("cancelled", "it was cancelled")])
def test_an_event_that_is_over_takes_nobody(client, person, status, why):
    event = EventFactory(status=status)
    page = post(client, f"/e/{event.slug}/join/", plus_ones="0")
    assert f"You can't join this event: {why}." in page and "/join/" not in page
    link = InvitationLinkFactory(event=event)
    assert f"You can't join this event: {why}." in post(client, f"/e/{event.slug}/join/?code={link.token}")
    assert rows() == [] and not Attendee.objects.exists()


def test_nobody_asks_to_join_what_they_may_not_see(client, person):
    for hidden in (EventFactory(visibility="private"), EventFactory(status="draft")):
        for address in ("", "join/", "join/withdraw/"):
            assert client.get(f"/e/{hidden.slug}/{address}").status_code == 404
        assert client.post(f"/e/{hidden.slug}/join/", {"plus_ones": "0"}).status_code == 404
    assert rows() == []


# -- Taking it back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [False, True])
def test_taking_it_back_is_asked_about_and_done_once(client, event, person, approved):
    request = join_requests.send(event_id=event.pk, person=person).row
    if approved:
        join_requests.approve(request_id=request.pk, actor=None)
    withdraw = f"/e/{event.slug}/join/withdraw/"
    assert withdraw in text(client.get(f"/e/{event.slug}/"))
    asked = text(client.get(withdraw))
    assert ("Give your place back?" in asked) is approved and JoinRequest.objects.get().status != "cancelled"
    page = post(client, withdraw)
    assert ("Your place is given back." if approved else "It is withdrawn.") in page
    assert ("You are not coming any more" if approved else "You withdrew your request") in page
    assert "Ask again" in page and "<h1>Ask again</h1>" in text(client.get(f"/e/{event.slug}/join/"))
    assert client.post(withdraw).status_code == 303
    assert [status for status, _extra, _words in rows()] == ["cancelled"]
    assert not Attendee.objects.active().exists()
    assert "You have asked to join." in post(client, f"/e/{event.slug}/join/", plus_ones="0")


def test_there_is_nothing_to_take_back(client, event, person):
    assert client.post(f"/e/{event.slug}/join/withdraw/").url == f"/e/{event.slug}/"


# -- By invitation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_an_invitation_lets_in_by_its_button(client, person, visibility):
    event = EventFactory(visibility=visibility, title="Harbour Conf")
    link = InvitationLinkFactory(event=event)
    address = f"/e/{event.slug}/join/?code={link.token}"
    page = text(client.get(address))
    assert "You are invited" in page and "Harbour Conf" in page and not Attendee.objects.exists()
    assert "You're in." in post(client, address).replace("&#x27;", "'")
    assert "You are in already." in post(client, address)
    link.refresh_from_db()
    assert link.uses == 1


def test_an_invitation_that_is_no_longer_good_says_so(client, event, person):
    link = InvitationLinkFactory(event=event)
    invitations.revoke(link_id=link.pk, actor=None)
    page = post(client, f"/e/{event.slug}/join/?code={link.token}")
    assert "This invitation is no longer valid." in page and not Attendee.objects.exists()


def test_a_made_up_invitation_leads_to_the_question(client, event, person):
    other = InvitationLinkFactory(event=EventFactory(visibility="private"))
    for code in ("nonsense", "%00", other.token):
        answer = client.get(f"/e/{event.slug}/join/?code={code}")
        assert answer.url == f"/e/{event.slug}/join/"
        assert "This invitation is no longer valid." in text(client.get(answer.url))
    assert client.get(f"/e/{other.event.slug}/join/?code=nonsense").status_code == 404


def test_guessing_invitations_is_slowed(client, event, person):
    link = InvitationLinkFactory(event=event)
    invitations.revoke(link_id=link.pk, actor=None)
    address = f"/e/{event.slug}/join/?code={link.token}"
    pages = [post(client, address) for _number in range(31)]
    assert "no longer valid" in pages[29] and "Too many attempts." in pages[30]


# -- How much it costs -------------------------------------------------------------------------------


def test_the_event_page_makes_as_many_queries_whoever_comes(client, event, person):
    join_requests.send(event_id=event.pk, person=person)

    def queries():
        with CaptureQueriesContext(connection) as found:
            assert client.get(f"/e/{event.slug}/").status_code == 200
        return len(found)

    client.get(f"/e/{event.slug}/")
    before = queries()
    for _number in range(3):
        AttendeeFactory(event=event)
        join_requests.send(event_id=event.pk, person=UserProfileFactory())
    assert queries() == before
    assert before == 6  # the session, the person, the event with their standing, their request; who helps, asked or not


def test_organisers_see_their_draft(client):
    draft = EventFactory(status=Event.Status.DRAFT)
    client.force_login(member(draft.organization, "viewer"), backend="events.sign_in.LinkBackend")
    page = text(client.get(f"/e/{draft.slug}/"))
    assert "Draft: nobody else sees it yet" in page and "/join/" not in page
