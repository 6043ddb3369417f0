"""The board of service requests: who sees what on it, what one does there, and how many questions it asks."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from events.models import Membership, UserProfile
from requests.admin.board import SHOWN
from requests.models import Mechanic, ServiceSession, SessionRequest
from requests.operations import mechanics, taking, talking, telling
from tests import factories

pytestmark = pytest.mark.django_db

BACKEND = "events.sign_in.EmailBackend"
BOARD = reverse("admin:requests_sessionrequest_board")
ROWS = reverse("admin:requests_sessionrequest_board_rows")
OVERVIEW = reverse("admin:index")


def signed_in(person) -> Client:
    client = Client()
    client.force_login(person, backend=BACKEND)
    return client


def named(name, last="Doe", **fields):
    return factories.UserProfileFactory(first_name=name, last_name=last, **fields)


def ask(event, name="Cara", *, minutes=0, **given):
    """A request of somebody new, who has waited for so many minutes."""
    request = factories.service_request(event, customer=named(name), **given)
    since = timezone.now() - timedelta(minutes=minutes)
    SessionRequest.objects.filter(pk=request.pk).update(created_at=since, waiting_since=since)
    request.refresh_from_db()
    return request


def cards(response) -> dict[str, list[str]]:
    """Column → the names on its cards, as they stand on the page."""
    assert response.status_code == 200
    html = response.content.decode()
    return {
        column: re.findall(r'data-name="([^"]*)"', html.split(f'data-list="{column}"')[1].split("</ul>")[0])
        for column in ("waiting", "taken", "done")
    }


def text(response) -> str:
    html = response.content.decode()
    html = html.split('id="content"')[-1] if 'id="content"' in html else html
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def act(client, what, row, *, script=True, **more):
    data = {"act": f"{what}:{row.pk}"} | more
    return client.post(BOARD, data, headers={"Accept": "application/json"} if script else {})


def answer(response):
    return response.status_code, json.loads(response.content)


def at_commit():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def event(db):
    return factories.EventFactory(title="Harbour Ride")


@pytest.fixture
def mechanic(event):
    return factories.MechanicFactory(organization=event.organization, user_profile=named("Max"), display_name="Max M")


@pytest.fixture
def other(event):
    return factories.MechanicFactory(organization=event.organization, user_profile=named("Ines"), display_name="Ines I")


@pytest.fixture
def bench(mechanic):
    """The mechanic's browser."""
    return signed_in(mechanic.user_profile)


@pytest.fixture
def desk(organizer):
    """An organiser's browser."""
    return signed_in(organizer)


# -- Who opens it --------------------------------------------------------------------------------------------


def test_a_mechanic_without_a_role_enters_the_admin_and_finds_the_board_only(mechanic):
    person = mechanic.user_profile
    person.set_password("correct horse 7")
    person.save()
    client = Client()
    sent = {"username": person.email.upper(), "password": "correct horse 7"}
    response = client.post(reverse("admin:login") + f"?next={OVERVIEW}", sent)
    assert (response.status_code, response.url) == (302, OVERVIEW)
    overview = client.get(OVERVIEW)
    assert overview.status_code == 200 and "Nobody waits." in text(overview) and "Your events" not in text(overview)
    groups = overview.context["sidebar_navigation"]
    shown = [(str(group["title"]), [(str(one["title"]), one["link"]) for one in group["items"]]) for group in groups]
    assert shown == [("Service", [("Overview", OVERVIEW), ("Service board", BOARD)])]
    assert client.get(BOARD).status_code == client.get(ROWS).status_code == 200
    for name in (
        "requests_sessionrequest_changelist",
        "requests_sessionrequest_figures",
        "requests_mechanic_changelist",
        "requests_servicesettings_changelist",
        "events_event_changelist",
        "attendance_attendee_changelist",
    ):
        assert client.get(reverse(f"admin:{name}")).status_code == 403, name
    assert client.get(reverse("admin:second_factor")).status_code == 200
    assert client.get(reverse("admin:password_change")).status_code == 200
    assert client.get(reverse("admin:notices")).status_code == 404


def test_who_is_no_mechanic_any_more_is_sent_away(mechanic, bench):
    assert bench.get(BOARD).status_code == 200
    mechanics.set_active(mechanic_id=mechanic.pk, active=False, actor=None)
    assert bench.get(BOARD).status_code == 302
    mechanics.set_active(mechanic_id=mechanic.pk, active=True, actor=None)
    assert bench.get(BOARD).status_code == 200
    UserProfile.objects.filter(pk=mechanic.user_profile_id).update(is_active=False)
    assert bench.get(BOARD).status_code == 302


def test_a_session_by_a_link_from_a_mailbox_stays_outside(mechanic):
    client = Client()
    client.force_login(mechanic.user_profile, backend="events.sign_in.LinkBackend")
    for page in (OVERVIEW, BOARD, ROWS):
        response = client.get(page)
        assert response.status_code == 302 and response.url.startswith(reverse("admin:login")), page


def test_the_door_and_strangers_find_no_board(event):
    assert signed_in(factories.member(event.organization, "door")).get(BOARD).status_code == 403
    assert signed_in(factories.member(event.organization, "door")).get(ROWS).status_code == 403
    assert signed_in(named("Stran")).get(BOARD).status_code == 302
    door = factories.member(event.organization, "door")
    factories.MechanicFactory(organization=event.organization, user_profile=door)
    assert signed_in(door).get(BOARD).status_code == 200


# -- What stands on it ---------------------------------------------------------------------------------------


def test_unattended_come_first_then_urgent_then_the_oldest(event, bench, desk):
    ask(event, "Old", minutes=9)
    ask(event, "Older", minutes=9.5)
    ask(event, "Hot", minutes=1, urgent=True)
    ask(event, "Late", minutes=11)
    assert taking.mark_unattended() == 1
    for client in (bench, desk):
        assert cards(client.get(BOARD))["waiting"] == ["Late Doe", "Hot Doe", "Older Doe", "Old Doe"]
        assert cards(client.get(ROWS)) == cards(client.get(BOARD))
        seen = text(client.get(BOARD))
        assert "Unattended Chat Late Doe" in seen and "Urgent Chat Hot Doe" in seen, seen


def test_a_card_says_what_it_is_about_and_who_was_told(event, bench, mechanic):
    long = "The bottom bracket creaks under load. " * 10
    mechanic.skills = ["brakes"]
    mechanic.save()
    ask(event, "Cara", minutes=3, concern=long, skill="brakes", plan="gold", session_type="video")
    assert "Nobody has been told yet" in text(bench.get(BOARD))
    telling.tell_waiting()
    html = bench.get(BOARD).content.decode()
    for piece in ("Video call", "brakes", "gold", "Harbour Ride", "Read all", "Told: who knows about “brakes” first"):
        assert piece in html, piece
    assert long.strip() in html and "3\xa0minutes" in html
    mechanic.skills = []
    mechanic.save()
    assert "Told: everybody on duty" in text(bench.get(BOARD))
    telling.tell_waiting(at=timezone.now() + timedelta(minutes=6))
    assert "Told: everybody on duty" in text(bench.get(BOARD))
    SessionRequest.objects.update(waiting_since=timezone.now() - timedelta(minutes=11))
    taking.mark_unattended()
    telling.tell_waiting()
    assert "Told: everybody on duty, and the organisers" in text(bench.get(BOARD))


def test_a_mechanic_sees_what_they_may_take_and_what_they_have(event, mechanic, other, bench, desk):
    elsewhere = factories.EventFactory(organization=event.organization, title="Hill Climb")
    mechanic.serves_all = False
    mechanic.save()
    mechanic.events.set([event])
    ask(event, "Here")
    ask(elsewhere, "There")
    ask(factories.EventFactory(), "Foreign")
    factories.service_request(event, customer=mechanic.user_profile)
    mine, theirs, done = ask(event, "Mine"), ask(event, "Theirs"), ask(event, "Done")
    for request, one in ((mine, mechanic), (theirs, other), (done, mechanic)):
        taking.accept(request_id=request.pk, person=one.user_profile)
    taking.complete(request_id=done.pk, actor=mechanic.user_profile)
    assert cards(bench.get(BOARD)) == {"waiting": ["Here Doe"], "taken": ["Mine Doe"], "done": ["Done Doe"]}
    assert cards(desk.get(BOARD)) == {
        "waiting": ["Here Doe", "There Doe", "Max Doe"],
        "taken": ["Mine Doe", "Theirs Doe"],
        "done": ["Done Doe"],
    }
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=mechanic.user_profile)
    assert cards(bench.get(BOARD)) == {"waiting": [], "taken": [], "done": ["Done Doe"]}
    assert "Go on duty to see who waits." in text(bench.get(BOARD))


def test_done_today_is_of_today_by_the_clock_of_the_event(event, mechanic, desk):
    event.timezone = "Pacific/Kiritimati"  # fourteen hours before UTC
    event.save()
    request = ask(event, "Cara")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    taking.complete(request_id=request.pk, actor=mechanic.user_profile)
    midnight = timezone.now().astimezone(event.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for moment, shown in ((midnight, ["Cara Doe"]), (midnight - timedelta(seconds=1), [])):
        SessionRequest.objects.filter(pk=request.pk).update(closed_at=moment)
        assert cards(desk.get(BOARD))["done"] == shown


def test_how_long_it_took_is_told_of_what_is_done(event, mechanic, desk):
    request = ask(event, "Cara")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    taking.complete(request_id=request.pk, actor=mechanic.user_profile)
    now = timezone.now()
    SessionRequest.objects.filter(pk=request.pk).update(
        created_at=now - timedelta(minutes=80),
        first_accepted_at=now - timedelta(minutes=78),
        accepted_at=now - timedelta(minutes=65),
        closed_at=now,
    )
    assert "Accepted after 2 min 00 s · took 1 h 05 min" in text(desk.get(BOARD))


def test_buttons_are_those_that_work(event, mechanic, other, bench, desk):
    waiting, mine, theirs = ask(event, "Waiting"), ask(event, "Mine"), ask(event, "Theirs")
    taking.accept(request_id=mine.pk, person=mechanic.user_profile)
    taking.accept(request_id=theirs.pk, person=other.user_profile)

    def offered(client):
        html = client.get(BOARD).content.decode()
        found = re.findall(r'name="act" id="[\w-]+" value="([\w-]+):([\w-]+)"', html)
        names = {str(one.pk): name for one, name in ((waiting, "w"), (mine, "m"), (theirs, "t"))}
        return {(what, names[key]) for what, key in found if key in names}

    assert offered(bench) == {("accept", "w"), ("complete", "m"), ("release", "m")}
    assert offered(desk) == {
        *(("give", one) for one in "wmt"),
        *(("cancel", one) for one in "wmt"),
        *((what, one) for what in ("complete", "release") for one in "mt"),
    }
    viewer = signed_in(factories.member(event.organization, "viewer"))
    assert offered(viewer) == set() and len(cards(viewer.get(BOARD))["taken"]) == 2
    options = re.findall(rf'<option value="{other.pk}">[^<]*', desk.get(BOARD).content.decode())
    assert options == [f'<option value="{other.pk}">Ines I (1)'] * 2  # not for what she has


# -- What one does there -------------------------------------------------------------------------------------


def test_the_first_to_accept_gets_it_and_the_second_learns_from_whom(event, mechanic, other, bench):
    request = ask(event)
    session = reverse("admin:requests_sessionrequest_meeting", args=[request.session_id])
    assert answer(act(bench, "accept", request)) == (200, {"done": True, "said": "It is yours.", "go": session})
    again = {"done": True, "said": "It is yours already.", "go": session}
    assert answer(act(bench, "accept", request)) == (200, again)
    assert "It is yours already." in bench.get(session).content.decode()
    late = act(signed_in(other.user_profile), "accept", request)
    assert answer(late) == (409, {"done": False, "said": "Max M has accepted it already."})
    at_commit()
    request.refresh_from_db()
    assert (request.status, request.mechanic) == ("accepted", mechanic)
    assert f'href="{session}"' in bench.get(BOARD).content.decode()


def test_without_a_script_the_board_comes_again_with_what_was_done(event, mechanic, bench):
    request = ask(event)
    session = reverse("admin:requests_sessionrequest_meeting", args=[request.session_id])
    for what, expected, page in (
        ("accept", "It is yours.", session),
        ("release", "It is back in the line.", BOARD),
    ):
        response = act(bench, what, request, script=False)
        assert (response.status_code, response.url) == (302, page)
        assert [str(one) for one in get_messages(response.wsgi_request)] == [expected]
        bench.get(BOARD)
    response = act(bench, "complete", request, script=False)
    assert [(one.level_tag, str(one)) for one in get_messages(response.wsgi_request)] == [
        ("error", "You don't have this request any more.")
    ]


def test_a_mechanic_hands_back_and_finishes(event, bench):
    request = ask(event)
    act(bench, "accept", request)
    assert answer(act(bench, "release", request)) == (200, {"done": True, "said": "It is back in the line."})
    act(bench, "accept", request)
    assert answer(act(bench, "complete", request)) == (200, {"done": True, "said": "Done."})
    assert answer(act(bench, "complete", request)) == (200, {"done": True, "said": "It was done already."})
    at_commit()
    assert ServiceSession.objects.get().status == "completed"


def test_an_organiser_gives_puts_back_and_cancels(event, mechanic, other, organizer, desk):
    request = ask(event)
    choose = f"mechanic-{request.pk}"
    assert answer(act(desk, "give", request)) == (400, {"done": False, "said": "Choose somebody first."})
    given = act(desk, "give", request, **{choose: str(mechanic.pk)})
    assert answer(given) == (200, {"done": True, "said": "Max M has it now."})
    again = act(desk, "give", request, **{choose: str(mechanic.pk)})
    assert answer(again) == (200, {"done": True, "said": "Max M has it already."})
    act(desk, "give", request, **{choose: str(other.pk)})
    request.refresh_from_db()
    assert request.mechanic == other
    assert answer(act(desk, "release", request))[0] == 200
    assert answer(act(desk, "cancel", request)) == (200, {"done": True, "said": "Cancelled: the customer is told."})
    at_commit()
    assert list(request.log.order_by("pk").values_list("to_status", "actor")) == [
        ("pending", request.customer_id),
        *((status, organizer.pk) for status in ("accepted", "accepted", "pending", "cancelled")),
    ]


@pytest.mark.parametrize("what", ["release", "complete", "cancel", "give"])
def test_what_is_not_theirs_stays_as_it_is(event, mechanic, other, bench, what):
    request = ask(event)
    taking.accept(request_id=request.pk, person=other.user_profile)
    at_commit()
    for client in (bench, signed_in(factories.member(event.organization, "viewer"))):
        status, said = answer(act(client, what, request, **{f"mechanic-{request.pk}": str(mechanic.pk)}))
        assert status in (403, 404, 409) and said["done"] is False and said["said"]
    request.refresh_from_db()
    assert (request.status, request.mechanic, request.log.count()) == ("accepted", other, 2)


def test_off_duty_nobody_accepts(event, mechanic, bench):
    request = ask(event)
    assert answer(act(bench, "end-duty", mechanic)) == (200, {"done": True, "said": "You are off duty."})
    assert answer(act(bench, "accept", request)) == (403, {"done": False, "said": "Max M is off duty."})
    assert answer(act(bench, "start-duty", mechanic))[1]["done"] is True
    assert answer(act(bench, "start-duty", mechanic))[1]["done"] is True
    assert Mechanic.objects.get().on_duty
    assert "You are on duty" in text(bench.get(BOARD))


def test_nobody_switches_the_duty_of_another(event, mechanic, other, bench):
    assert answer(act(bench, "end-duty", other)) == (
        404,
        {"done": False, "said": "Somebody else has it, or it is over."},
    )
    other.refresh_from_db()
    assert other.on_duty


@pytest.mark.parametrize("sent", ["", "accept", "accept:", "accept:x", "explode:018f3c5e-0000-7000-8000-000000000000"])
def test_nonsense_is_refused(bench, sent):
    assert bench.post(BOARD, {"act": sent}).status_code == 400


def test_acts_need_the_token_of_the_page(event, mechanic):
    client = Client(enforce_csrf_checks=True)
    client.force_login(mechanic.user_profile, backend=BACKEND)
    request = ask(event)
    assert act(client, "accept", request).status_code == 403
    assert client.get(BOARD, {"act": f"accept:{request.pk}"}).status_code == 200
    request.refresh_from_db()
    assert request.status == "pending"


# -- The filter ----------------------------------------------------------------------------------------------


def test_the_board_is_filtered_and_remembers_by_what(event, desk, organizer):
    second = factories.EventFactory(organization=event.organization, title="Hill Climb")
    foreign = factories.EventFactory(title="Foreign")
    ask(event, "Here")
    ask(second, "There")
    ask(foreign, "Elsewhere")
    page = desk.get(BOARD)
    assert [name for _title, group in page.context["choices"] for _key, name in group] == ["Harbour Ride", "Hill Climb"]
    assert cards(page)["waiting"] == ["Here Doe", "There Doe"]
    assert cards(desk.get(BOARD, {"of": f"e{second.pk}"}))["waiting"] == ["There Doe"]
    assert cards(desk.get(BOARD))["waiting"] == ["There Doe"]
    assert f"?of=e{second.pk}" in desk.get(BOARD).content.decode()
    assert cards(desk.get(ROWS, {"of": f"e{event.pk}"}))["waiting"] == ["Here Doe"]
    for key in (f"e{foreign.pk}", "e", "x1", "e99999999999", "o-1", ""):
        assert cards(desk.get(BOARD, {"of": key}))["waiting"] == ["Here Doe", "There Doe"], key
        assert "Elsewhere Doe" not in cards(desk.get(ROWS, {"of": key}))["waiting"]
    Membership.objects.create(organization=foreign.organization, user_profile=organizer, role="viewer")
    desk = signed_in(UserProfile.objects.get(pk=organizer.pk))
    assert [str(title) for title, _group in desk.get(BOARD).context["choices"]] == ["Organisations", "Events"]
    assert cards(desk.get(BOARD, {"of": f"o{foreign.organization_id}"}))["waiting"] == ["Elsewhere Doe"]


def test_on_duty_are_those_who_serve_what_is_shown(event, mechanic, other, desk):
    second = factories.EventFactory(organization=event.organization)
    other.serves_all = False
    other.save()
    other.events.set([second])
    request = ask(event)
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    page = text(desk.get(BOARD, {"of": f"e{event.pk}"}))
    assert "1 on duty: Max M 1 in hand" in page and "Ines" not in page
    assert "2 on duty:" in text(desk.get(BOARD, {"of": ""}))
    Mechanic.objects.update(on_duty=False)
    assert "Nobody is on duty." in text(desk.get(BOARD))


# -- Questions -----------------------------------------------------------------------------------------------


def test_the_board_asks_the_same_number_of_questions_for_any_number_of_requests(event, mechanic, other, bench, desk):
    counts = {"bench": set(), "desk": set(), "overview": set()}
    made = 0
    for number in (1, 3, 50):
        while made < number:
            made += 1
            ask(event, f"Waits{made}")
            if made <= 12:
                for state in ("taken", "done"):
                    request = ask(event, f"{state}{made}")
                    taking.accept(request_id=request.pk, person=mechanic.user_profile)
                    if state == "done":
                        taking.complete(request_id=request.pk, actor=mechanic.user_profile)
        for name, client, page in (("bench", bench, ROWS), ("desk", desk, ROWS), ("overview", desk, OVERVIEW)):
            client.get(page)
            with CaptureQueriesContext(connection) as context:
                assert client.get(page).status_code == 200
            counts[name].add(len(context))
        assert len(cards(desk.get(ROWS))["waiting"]) == number
    assert counts == {"bench": {11}, "desk": {9}, "overview": {9}}


def test_a_long_line_is_cut_and_counted(event, desk):
    for number in range(SHOWN + 2):
        ask(event, f"One{number}", minutes=number % 9)
    page = desk.get(BOARD)
    assert len(cards(page)["waiting"]) == SHOWN
    assert "The first 100 of 102." in text(page) and "Waiting 102" in text(page)


# -- The overview --------------------------------------------------------------------------------------------


def test_the_overview_tells_of_what_waits_and_shouts_of_what_nobody_takes(event, desk, bench, mechanic):
    def on(client):
        return [one["template"].removeprefix("admin/card_") for one in client.get(OVERVIEW).context["cards"]]

    assert (on(desk), on(bench)) == (["events.html"], ["service.html"])
    ask(event, "Cara", minutes=4)
    assert on(desk) == ["events.html", "service.html"]
    assert "1 waits, the oldest for 4" in text(desk.get(OVERVIEW))
    ask(event, "Late", minutes=11)
    taking.mark_unattended()
    assert on(desk) == ["service.html", "events.html"]
    assert "1 unattended. 2 wait, the oldest for 11" in text(desk.get(OVERVIEW))
    request = SessionRequest.objects.get(customer_name="Late Doe")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    seen = text(bench.get(OVERVIEW))
    assert "Yours: Late Doe" in seen and "1 waits" in seen
    assert on(bench) == ["service.html"]


# -- A session's page ----------------------------------------------------------------------------------------


def meeting(request) -> str:
    return reverse("admin:requests_sessionrequest_meeting", args=[request.session_id])


def test_a_session_is_read_by_its_mechanic_and_by_nobody_else(event, mechanic, other, bench, desk):
    request = ask(
        event, "Cara", concern="It squeaks", details={"bike_model": "Gravel 3", "tubeless": True, "sizes": [28, 29]}
    )
    page = meeting(request)
    root = named("Root", is_superuser=True)
    everybody = [desk, signed_in(other.user_profile), signed_in(root)]
    everybody += [signed_in(factories.member(event.organization, role)) for role in ("owner", "viewer", "door")]
    for client in (bench, *everybody):
        assert client.get(page).status_code == 404
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    talking.say(session_id=request.session_id, person=request.customer, body="Are you there?")
    seen = text(bench.get(page))
    for piece in (
        "Cara Doe",
        "It squeaks",
        "Bike model Gravel 3",
        "Tubeless yes",
        "28, 29",
        "Are you there?",
        "Goes back",
    ):
        assert piece in seen, piece
    for client in everybody:
        assert client.get(page).status_code == 404
        assert client.post(page, {"act": "complete"}).status_code == 404
    Membership.objects.create(organization=event.organization, user_profile=request.customer, role="door")
    own = signed_in(UserProfile.objects.get(pk=request.customer_id)).get(page)
    assert (own.status_code, own.url) == (302, reverse("service_session", args=[request.session_id]))
    taking.release(request_id=request.pk, actor=mechanic.user_profile)
    assert bench.get(page).status_code == 404


def test_the_mechanic_keeps_it_sets_a_place_and_finishes(event, mechanic, bench):
    request = ask(event, session_type="video")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    page = meeting(request)
    before = timezone.now() - timedelta(minutes=12)
    ServiceSession.objects.update(last_activity_at=before, warned_at=before)
    assert bench.post(page, {"act": "keep"}).url == page
    session = ServiceSession.objects.get()
    assert session.last_activity_at > before and session.warned_at is None
    wrong = bench.post(page, {"act": "place", "place": "http://insecure.example"})
    assert wrong.status_code == 400 and "begins with https://" in text(wrong)
    assert ServiceSession.objects.get().place == ""
    assert bench.post(page, {"act": "place", "place": "https://meet.example/a"}).url == page
    assert ServiceSession.objects.get().place == "https://meet.example/a"
    assert 'value="https://meet.example/a"' in bench.get(page).content.decode()
    assert bench.post(page, {"act": "explode"}).status_code == 400
    assert bench.post(page, {"act": "complete"}).url == BOARD
    at_commit()
    over = text(bench.get(page))
    assert "Done" in over and "Still on it" not in over and "https://meet.example/a" in over
    refused = bench.post(page, {"act": "keep"})
    assert [one.level_tag for one in get_messages(refused.wsgi_request)][-1] == "error"


def test_a_chat_has_no_place(event, mechanic, bench):
    request = ask(event)
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    assert 'name="place"' not in bench.get(meeting(request)).content.decode()
    refused = bench.post(meeting(request), {"act": "place", "place": "Hall 2"})
    assert refused.status_code == 400
    assert bench.post(meeting(request), {"act": "release"}).url == BOARD
    request.refresh_from_db()
    assert request.status == "pending"


def test_the_parts_of_a_session_are_asked_for_alone(event, mechanic, bench):
    request = ask(event)
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    html = bench.get(meeting(request), {"parts": "1"}).content.decode()
    assert "<html" not in html and re.findall(r'data-part="(\w+)"', html) == ["state", "place", "messages", "say"]
