"""Asking for help on the web, and the session that it leads to."""

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.api import limiter
from events.models import Event
from requests.models import Intake, ServiceSession, ServiceSettings, SessionMessage, SessionRequest
from requests.operations import intakes, mechanics, taking, talking
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    MechanicFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
    service_request,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def event():
    return EventFactory(title="Harbour Conf", slug="harbour")


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization, display_name="Bo the Fixer")


def by_link(person) -> Client:
    client = Client()
    client.force_login(person, backend="events.sign_in.LinkBackend")
    return client


@pytest.fixture
def ada():
    limiter().storage.reset()
    return UserProfileFactory(first_name="Ada", last_name="Byron")


@pytest.fixture
def adas(ada):
    return by_link(ada)


def text(answer) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def key_of(page) -> str:
    return re.search(r'name="key" value="(\w+)"', page)[1]


def given(client, address="/help/new/?event=harbour", **more):
    """A form's fields as a browser sends them, with its one-time key."""
    fields = {"concern": "It squeaks.", "session_type": "chat", "key": key_of(text(client.get(address)))}
    return fields | more


def at(session) -> str:
    return f"/help/{session.pk}/"


def filed():
    return list(SessionRequest.objects.order_by("pk").values_list("status", "notes"))


# -- On the event page -----------------------------------------------------------------------------------


def test_the_event_page_offers_help_where_somebody_gives_it(adas, event):
    assert "Need help?" not in text(adas.get("/e/harbour/"))
    mechanic = MechanicFactory(organization=event.organization, serves_all=False)
    assert "Need help?" not in text(adas.get("/e/harbour/"))  # they serve another event
    mechanic.events.add(event)
    for client in (adas, Client()):
        page = text(client.get("/e/harbour/"))
        assert "Need help?" in page and "1 person is on duty now." in page and "/help/new/?event=harbour" in page
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=None)
    assert "Nobody is on duty at the moment." in text(adas.get("/e/harbour/"))
    Event.objects.update(status=Event.Status.COMPLETED)
    assert "Need help?" not in text(adas.get("/e/harbour/"))


def test_the_event_page_says_how_ones_own_request_stands(adas, ada, event, mechanic):
    request = service_request(event, customer=ada)
    with CaptureQueriesContext(connection) as queries:
        page = text(adas.get("/e/harbour/"))
    assert "You have asked for help" in page and f"/help/{request.session_id}/" in page and "Need help?" not in page
    count = len(queries)
    SessionRequest.objects.update(waiting_since=timezone.now() - timedelta(minutes=11))
    taking.mark_unattended()
    assert "Your request takes longer than usual" in text(adas.get("/e/harbour/"))
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    page = text(adas.get("/e/harbour/"))
    assert "Somebody is here for you" in page and "Bo the Fixer" in page
    assert "Bo the Fixer" not in text(Client().get("/e/harbour/"))
    for _number in range(3):
        MechanicFactory(organization=event.organization)
        service_request(event)
    with CaptureQueriesContext(connection) as queries:
        adas.get("/e/harbour/")
    assert len(queries) == count


# -- Asking ----------------------------------------------------------------------------------------------


def test_a_stranger_signs_in_first_and_comes_back(event, mechanic):
    answer = Client().get("/help/new/?event=harbour")
    assert (answer.status_code, answer.url) == (303, "/sign-in/?next=%2Fhelp%2Fnew%2F%3Fevent%3Dharbour")
    session = service_request(event).session
    for address in ("/help/", at(session), f"{at(session)}cancel/"):
        assert Client().get(address).url.startswith("/sign-in/?next=%2Fhelp%2F")


def test_asking_makes_a_request_and_shows_its_session(adas, ada, event, mechanic):
    answer = adas.post("/help/new/?event=harbour", given(adas, session_type="video", urgent="on"))
    session = ServiceSession.objects.get()
    assert (answer.status_code, answer.url) == (303, at(session))
    request = session.request
    assert (request.notes, request.urgent, request.session_type) == ("It squeaks.", True, "video")
    assert (request.customer, request.event, request.status) == (ada, event, "pending")
    page = text(adas.get(answer.url))
    assert '<h1 id="headline" dir="auto">You\'re next</h1>' in page
    assert "1 person is on duty." in page and "It squeaks." in page and "just now" in page and ">Urgent<" in page


def test_a_form_sent_twice_asks_once(adas, event, mechanic):
    fields = given(adas)
    first = adas.post("/help/new/?event=harbour", fields)
    assert adas.post("/help/new/?event=harbour", fields).url == first.url
    assert filed() == [("pending", "It squeaks.")]
    # With other words it is no repetition: said, kept, and sent once more it counts.
    page = text(adas.post("/help/new/?event=harbour", fields | {"concern": "It rattles."}))
    assert "You have asked with this form already." in page and "It rattles.</textarea>" in page
    assert filed() == [("pending", "It squeaks.")]
    again = adas.post("/help/new/?event=harbour", fields | {"concern": "It rattles.", "key": key_of(page)})
    assert again.status_code == 303
    assert filed() == [("cancelled", "It squeaks."), ("pending", "It rattles.")]


def test_whoever_has_asked_already_is_told_before_they_ask_anew(adas, ada, event, mechanic):
    first = service_request(event, customer=ada, concern="The first one.")
    page = text(adas.get("/help/new/?event=harbour"))
    assert "If you ask anew, it is cancelled" in page and "“The first one.”" in page
    assert f'href="/help/{first.session_id}/"' in page and ">Ask anew<" in page
    adas.post("/help/new/?event=harbour", given(adas))
    assert filed() == [("cancelled", "The first one."), ("pending", "It squeaks.")]
    page = text(adas.get(f"/help/{first.session_id}/"))
    assert "You have asked anew since" in page and "/help/new/?event=harbour" in page
    taking.accept(request_id=SessionRequest.objects.latest("pk").pk, person=mechanic.user_profile)
    page = text(adas.get("/help/new/?event=harbour"))
    assert "You are in a session with <bdi>Bo the Fixer</bdi>." in page and ">Ask for help<" in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"concern": "  "}, "This field is required."),
        ({"concern": "x" * 4001}, "Ensure this value has at most 4000 characters (it has 4001)."),
        ({"session_type": "seance"}, "Select a valid choice. seance is not one of the available choices."),
        ({"skill": "alchemy"}, "Select a valid choice. alchemy is not one of the available choices."),
        ({"plan": "gold"}, "Select a valid choice. gold is not one of the available choices."),
    ],
    ids=lambda one: "" if isinstance(one, str) else next(iter(one)),
)
def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_is_kept(adas, event, mechanic, wrong, said):
    ServiceSettings.objects.create(organization=event.organization, skills=["brakes"], plans=["silver"])
    right = {"skill": "brakes", "plan": "silver", "urgent": "on"}
    answer = adas.post("/help/new/?event=harbour", given(adas, **right | wrong))
    page = text(answer)
    assert answer.status_code == 200 and said in page
    assert re.search(r'<input[^>]*name="urgent"[^>]* checked>', page)
    if "concern" not in wrong:
        assert "It squeaks.</textarea>" in page
    assert filed() == []


def test_a_concern_of_4000_characters_with_line_breaks_fits(adas, event, mechanic):
    """A browser sends each of them as two characters, and counts it as one."""
    concern = "a\r\n" * 1999 + "🙂b"
    assert adas.post("/help/new/?event=harbour", given(adas, concern=concern)).status_code == 303
    assert Intake.objects.get().concern == concern.replace("\r\n", "\n")
    assert len(Intake.objects.get().concern) == 4000


def test_skills_and_plans_are_asked_for_where_there_are_any(adas, event, mechanic):
    page = text(adas.get("/help/new/?event=harbour"))
    assert 'name="skill"' not in page and 'name="plan"' not in page
    ServiceSettings.objects.create(organization=event.organization, skills=["brakes", "gears"], plans=["silver"])
    page = text(adas.get("/help/new/?event=harbour"))
    assert '<option value="gears">gears</option>' in page and '<option value="silver">silver</option>' in page
    adas.post("/help/new/?event=harbour", given(adas, skill="gears", plan="silver"))
    request = SessionRequest.objects.get()
    assert (request.skill, request.plan_code) == ("gears", "silver")
    page = text(adas.get(f"/help/{request.session_id}/"))
    assert "gears" in page and "silver" in page


def test_a_refusal_of_the_operation_keeps_what_was_typed(adas, ada, event, mechanic):
    fields = given(adas, concern="Kept words")
    Event.objects.update(status=Event.Status.CANCELLED)
    page = text(adas.post("/help/new/?event=harbour", fields))
    assert "Kept words</textarea>" in page and 'class="errorlist nonfield"' in page
    assert filed() == []
    answer = adas.get("/help/new/?event=harbour")
    assert (answer.status_code, answer.url) == (303, "/e/harbour/")
    assert "Nobody can ask for help at this event now." in text(adas.get(answer.url))


def test_who_asks_too_often_waits_with_their_words_kept(adas, event, mechanic):
    for number in range(6):
        assert adas.post("/help/new/?event=harbour", given(adas, concern=f"Number {number}")).status_code == 303
    page = text(adas.post("/help/new/?event=harbour", given(adas, concern="One too many")))
    assert re.search(r"Too often. Try again in \d+ seconds?\.", page) and "One too many</textarea>" in page
    assert SessionRequest.objects.count() == 6
    limiter().storage.reset()


def test_without_an_event_one_chooses_whom_to_ask(adas, ada, event):
    assert "There is nobody whom you could ask" in text(adas.get("/help/new/"))
    assert "Ask for help" not in text(adas.get("/help/"))
    AttendeeFactory(event=event, user_profile=ada)
    assert "There is nobody whom you could ask" in text(adas.get("/help/new/"))
    mechanic = MechanicFactory(organization=event.organization, serves_all=False)
    mechanic.events.add(event)
    assert adas.get("/help/new/").url == "/help/new/?event=harbour"
    mechanic.serves_all = True
    mechanic.save()
    page = text(adas.get("/help/new/"))
    assert "/help/new/?event=harbour" in page and f"/help/new/?organization={event.organization.slug}" in page
    adas.post("/help/new/?organization=" + event.organization.slug, given(adas))
    request = SessionRequest.objects.get()
    assert (request.event, request.organization) == (None, event.organization)
    page = text(adas.get(f"/help/{request.session_id}/"))
    assert "You're next" in page and "Times in UTC" in page


def test_nobody_asks_where_they_have_nothing_to_do(adas, event, mechanic):
    other = OrganizationFactory()
    MechanicFactory(organization=other)
    EventFactory(slug="hidden", visibility="private", organization=other)
    for query in (f"organization={other.slug}", "organization=none", "event=hidden", "event=none", "event=%00"):
        for method in (adas.get, adas.post):
            assert method(f"/help/new/?{query}").status_code == 404, query
    assert filed() == []


def test_where_nobody_gives_help_the_event_page_says_so(adas, event):
    answer = adas.get("/help/new/?event=harbour")
    assert answer.url == "/e/harbour/"
    assert "Nobody gives help at this event." in text(adas.get(answer.url))


# -- The session, for its customer -------------------------------------------------------------------------


def test_ones_place_in_the_line_is_said(adas, ada, event, mechanic):
    others = [service_request(event) for _number in range(2)]
    request = service_request(event, customer=ada)
    page = text(adas.get(f"/help/{request.session_id}/"))
    assert "You are 3rd in line</h1>" in page
    taking.accept(request_id=others[0].pk, person=mechanic.user_profile)
    assert "You are 2nd in line</h1>" in text(adas.get(f"/help/{request.session_id}/"))
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=None)
    page = text(adas.get(f"/help/{request.session_id}/"))
    assert "You are 3rd in line</h1>" in page and "Nobody is on duty at the moment." in page


def test_a_wait_that_is_too_long_is_said_honestly(adas, ada, event):
    request = service_request(event, customer=ada)
    SessionRequest.objects.update(waiting_since=timezone.now() - timedelta(minutes=11))
    assert taking.mark_unattended() == 1
    page = text(adas.get(f"/help/{request.session_id}/"))
    assert "It takes longer than it should" in page and "The organisers know" in page and "You're next" in page


def test_whoever_comes_is_named_and_what_they_hand_back_is_said(adas, ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here = f"/help/{request.session_id}/"
    page = text(adas.get(here))
    assert "Bo the Fixer is here for you</h1>" in page and "<title>Bo the Fixer is here for you" in page
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    page = text(adas.get(here))
    assert "You're next</h1>" in page and "<bdi>Bo the Fixer</bdi> could not go on." in page
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    taking.complete(request_id=request.pk, actor=mechanic.user_profile)
    page = text(adas.get(here))
    assert "Done</h1>" in page and "It is closed as done." in page and "Bo the Fixer" in page
    assert 'href="/help/new/?event=harbour"' in page and "nothing more can be written" in page
    assert 'data-over="1"' in page


@pytest.mark.parametrize(
    ("kind", "place", "shown"),
    [
        ("chat", None, "Write to each other below."),
        ("video", None, "The link of your call will stand here in a moment."),
        ("in_person", None, "Where you meet will stand here in a moment."),
        (
            "video",
            "https://meet.example.org/a?b=1&c=2",
            '<a class="button wide" href="https://meet.example.org/a?b=1&amp;c=2" rel="noopener noreferrer"',
        ),
        ("in_person", "Desk 4 <b>left</b>", "Desk 4 &lt;b&gt;left&lt;/b&gt;"),
    ],
)
def test_where_to_meet(adas, ada, event, mechanic, kind, place, shown):
    request = service_request(event, customer=ada, mechanic=mechanic, session_type=kind)
    if place:
        talking.set_place(session_id=request.session_id, person=mechanic.user_profile, place=place)
    assert shown in text(adas.get(f"/help/{request.session_id}/"))


def test_a_request_is_cancelled_after_a_question(adas, ada, event, mechanic):
    here = f"/help/{service_request(event, customer=ada).session_id}/"
    page = text(adas.get(f"{here}cancel/"))
    assert "Cancel your request?" in page and filed() == [("pending", "The chain keeps jumping off.")]
    for _click in range(2):
        assert adas.post(f"{here}cancel/").url == here
    page = text(adas.get(here))
    assert "Cancelled</h1>" in page and "You have cancelled it." in page and "alert" not in page.split("</h1>")[0]
    assert adas.get(f"{here}cancel/").url == here
    request = service_request(event, customer=ada, mechanic=mechanic)
    assert "<bdi>Bo the Fixer</bdi> hears of it" in text(adas.get(f"/help/{request.session_id}/cancel/"))
    taking.cancel(request_id=request.pk, actor=member(event.organization, "organizer"))
    assert "The organisers have cancelled it." in text(adas.get(f"/help/{request.session_id}/"))


# -- What is said ------------------------------------------------------------------------------------------


def test_what_is_said_stands_there_as_it_was_said(adas, ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here = f"/help/{request.session_id}/"
    page = text(adas.get(here))
    said = "Look:\r\n  <script>alert(1)</script> https://example.org مرحبا 🙂"
    answer = adas.post(f"{here}say/", {"body": said, "key": key_of(page)})
    assert (answer.status_code, answer.url) == (303, f"{here}#say")
    talking.say(session_id=request.session_id, person=mechanic.user_profile, body="I see.")
    page = adas.get(here).content.decode()
    assert "Look:\n  &lt;script&gt;alert(1)&lt;/script&gt; https://example.org مرحبا 🙂</p>" in page
    lines = re.findall(r'<li class="(line[ mine]*)".*?<p class="line-who">(.*?) · <time', page, re.DOTALL)
    assert lines == [("line mine", "You"), ("line", '<span dir="auto" data-who>Bo the Fixer</span>')]
    assert 'href="https://example.org' not in page


def test_a_message_sent_twice_is_said_once(adas, ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here = f"/help/{request.session_id}/"
    key = key_of(text(adas.get(here)))
    for body in ("Hello", "Hello", "Hello again"):
        adas.post(f"{here}say/", {"body": body, "key": key})
    assert list(SessionMessage.objects.values_list("body", flat=True)) == ["Hello", "Hello again"]
    adas.post(f"{here}say/", {"body": "Hello", "key": key_of(text(adas.get(here)))})
    talking.say(session_id=request.session_id, person=mechanic.user_profile, body="Hello", key=key)
    assert SessionMessage.objects.filter(body="Hello").count() == 3


@pytest.mark.parametrize("is_live", [False, True], ids=["plain", "script"])
def test_what_cannot_be_said_is_kept(adas, ada, event, mechanic, is_live):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here = f"/help/{request.session_id}/"
    part = {"part": "messages"} if is_live else {}

    def refused(body, status):
        answer = adas.post(f"{here}say/", {"body": body, "key": "a"} | part)
        assert answer.status_code == status
        if is_live:
            return answer.json()["detail"]
        assert f"{body}</textarea>" in answer.content.decode()
        return re.search(r"data-error>(.*?)</p>", answer.content.decode())[1]

    assert refused(" ", 400) == "This field is required."
    assert refused("x" * 4001, 400) == "Ensure this value has at most 4000 characters (it has 4001)."
    assert adas.post(f"{here}say/", {"body": "y\r\n" * 1999 + "zz"} | part).status_code == (200 if is_live else 303)
    taking.complete(request_id=request.pk, actor=mechanic.user_profile)
    answer = adas.post(f"{here}say/", {"body": "Too late", "key": "a"} | part)
    assert answer.status_code == 409 and "This session is done: nothing more can be written in it." in text(answer)
    assert is_live or ">Too late</p>" in text(answer)
    assert SessionMessage.objects.count() == 1


def test_a_script_gets_the_parts_that_change(adas, ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here = f"/help/{request.session_id}/"
    page = text(adas.get(here))
    assert f'data-url="{here}?part=all"' in page and "<html" in page
    parts = text(adas.get(f"{here}?part=all"))
    assert "<html" not in parts and re.findall(r'data-part="(\w+)"', parts) == ["state", "messages", "say"]
    answer = adas.post(f"{here}say/", {"body": "Hello", "key": "a", "part": "messages"})
    assert answer.status_code == 200
    assert re.findall(r'data-part="(\w+)"', text(answer)) == ["messages"] and "Hello" in text(answer)


def test_only_the_last_messages_are_shown_at_first(adas, ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here = f"/help/{request.session_id}/"
    lines = [SessionMessage(session_id=request.session_id, author=ada, body=f"Line {number}.") for number in range(203)]
    SessionMessage.objects.bulk_create(lines)
    page = text(adas.get(here))
    assert "3 earlier messages" in page and "Line 2." not in page and "Line 3." in page
    page = text(adas.get(f"{here}?all=1"))
    assert "earlier message" not in page and "Line 0." in page and f'data-url="{here}?all=1&amp;part=all"' in page


def test_a_session_makes_as_many_queries_however_much_is_said(adas, ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    here, counts = f"/help/{request.session_id}/", []
    for _round in range(2):
        for person in (ada, mechanic.user_profile) * 2:
            talking.say(session_id=request.session_id, person=person, body="Hello")
        with CaptureQueriesContext(connection) as queries:
            adas.get(here)
        counts.append(len(queries))
    assert counts == [8, 8]


# -- For its mechanic ----------------------------------------------------------------------------------------


def test_a_mechanic_who_came_by_a_link_helps_here(ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic, session_type="video")
    bos = by_link(mechanic.user_profile)
    here = f"/help/{request.session_id}/"
    talking.say(session_id=request.session_id, person=request.customer, body="Are you there?")
    listed = text(bos.get("/help/"))
    assert f'href="{here}"' in listed and "You help" in listed and "1 message to answer" in listed
    page = text(bos.get(here))
    assert "Ada Byron</h1>" in page and "The customer waits for the link of your call." in page
    assert "The chain keeps jumping off." in page

    def act(name, **more):
        answer = bos.post(here, {"act": name} | more)
        assert answer.status_code == 303
        return text(bos.get(answer.url))

    ServiceSession.objects.update(last_activity_at=timezone.now() - timedelta(minutes=14))
    assert "Good: it stays with you." in act("keep")
    assert taking.return_idle(at=timezone.now() + timedelta(minutes=14)) == 0
    refused = bos.post(here, {"act": "place", "place": "javascript:alert(1)"})
    assert refused.status_code == 400
    assert "A video call needs an address that begins with https://." in text(refused)
    assert 'value="javascript:alert(1)"' in text(refused)
    assert "It is said to the customer." in act("place", place="https://meet.example.org/x")
    assert ServiceSession.objects.get().place == "https://meet.example.org/x"
    assert "You have handed it back" in act("release")
    assert bos.get(here).status_code == 404
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    assert "Done</h1>" in act("complete")
    assert "This request is done." in act("release")
    assert "Done</h1>" in text(bos.get(here))
    assert bos.post(here, {"act": "dance"}).status_code == 404


def test_a_mechanic_hears_that_the_customer_needs_nobody_any_more(ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    taking.cancel(request_id=request.pk, actor=ada)
    page = text(by_link(mechanic.user_profile).get(f"/help/{request.session_id}/"))
    assert "Ended</h1>" in page and "The customer needs nobody any more." in page and "Ask again" not in page


def test_a_mechanic_who_signed_in_by_password_has_a_page_in_the_admin(ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    client = Client()
    client.force_login(mechanic.user_profile, backend="events.sign_in.EmailBackend")
    answer = client.get(f"/help/{request.session_id}/")
    assert (answer.status_code, answer.url) == (303, f"/admin/requests/sessionrequest/session/{request.session_id}/")


def test_two_clicks_hand_back_once(ada, event, mechanic):
    request = service_request(event, customer=ada, mechanic=mechanic)
    bos, here = by_link(mechanic.user_profile), f"/help/{request.session_id}/"
    assert [bos.post(here, {"act": "release"}).status_code for _click in range(2)] == [303, 404]


# -- Nobody else ---------------------------------------------------------------------------------------------


def test_nobody_outside_reads_or_writes_anything(ada, event, mechanic):
    session = service_request(event, customer=ada, mechanic=mechanic).session
    talking.say(session_id=session.pk, person=ada, body="A secret")
    former = MechanicFactory(organization=event.organization)
    waiting = service_request(event, mechanic=former)
    taking.release(request_id=waiting.pk, actor=former.user_profile)
    others = [
        *(member(event.organization, role) for role in ("owner", "organizer", "door", "viewer")),
        UserProfileFactory(is_superuser=True),
        MechanicFactory(organization=event.organization).user_profile,
        UserProfileFactory(),
    ]
    for person in (*others, former.user_profile):
        for backend in ("LinkBackend", "EmailBackend"):
            client = Client()
            client.force_login(person, backend=f"events.sign_in.{backend}")
            for one in (session, waiting.session) if person == former.user_profile else (session,):
                body = {"body": "x", "act": "complete"}
                answers = [client.get(f"{at(one)}{rest}") for rest in ("", "?part=all", "cancel/")]
                answers += [client.post(f"{at(one)}{rest}", body) for rest in ("", "say/", "cancel/")]
                assert [answer.status_code for answer in answers] == [404] * 6
                assert not any("secret" in text(answer) for answer in answers)
    assert by_link(ada).get(f"/help/{uuid.uuid4()}/").status_code == 404
    assert by_link(ada).post(at(session), {"act": "complete"}).status_code == 404
    assert by_link(mechanic.user_profile).get(f"{at(session)}cancel/").status_code == 404
    assert SessionMessage.objects.count() == 1
    assert ServiceSession.objects.get(pk=session.pk).status == "live"


def test_my_requests_are_mine(adas, ada, event, mechanic):
    assert "You have not asked for help." in text(adas.get("/help/"))
    service_request(event, concern="Somebody else's")
    old = service_request(event, customer=ada, concern="Old one")
    taking.cancel(request_id=old.pk, actor=ada)
    live = service_request(event, customer=ada, mechanic=mechanic, concern="Live one")
    service_request(event, customer=ada, concern="Open one")
    assert "to answer" not in text(adas.get("/help/"))
    talking.say(session_id=live.session_id, person=mechanic.user_profile, body="Where are you?")
    page = text(adas.get("/help/"))
    assert page.count("1 message to answer") == 1
    assert "Somebody else" not in page
    places = [page.index(words) for words in ("You have asked for<", "Open one", "Live one", "Earlier<", "Old one")]
    assert places == sorted(places)
    assert "Bo the Fixer" in page and "/help/new/" not in page  # not an attendee of anything


def test_pages_need_the_right_method(adas, ada, event):
    session = service_request(event, customer=ada).session
    assert adas.get(f"{at(session)}say/").status_code == 405
    assert adas.post("/help/").status_code == 405
    assert adas.delete(at(session)).status_code == 405
    assert intakes.place_in_line(session.request) == 1
