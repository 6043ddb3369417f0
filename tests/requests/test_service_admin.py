"""Mechanics, their settings, and the ledger of service requests in the admin."""

import csv
import io
import re
from datetime import timedelta

import openpyxl
import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from events.models import AccountLetter, UserProfile
from requests.models import Mechanic, ServiceSettings, SessionMessage, SessionRequest
from requests.operations import mechanics, taking, talking
from tests import factories
from tests.config.test_admin import Filled

from .test_board import ask, at_commit, named, signed_in, text

pytestmark = pytest.mark.django_db

MECHANICS = reverse("admin:requests_mechanic_changelist")
ADD = reverse("admin:requests_mechanic_add")
SETTINGS = reverse("admin:requests_servicesettings_changelist")
NEW_SETTINGS = reverse("admin:requests_servicesettings_add")
REQUESTS = reverse("admin:requests_sessionrequest_changelist")
EXPORT = reverse("admin:requests_sessionrequest_export")


@pytest.fixture
def event(db):
    return factories.EventFactory(title="Harbour Ride")


@pytest.fixture
def desk(organizer):
    return signed_in(organizer)


@pytest.fixture
def mechanic(event):
    person = named("Max", "Mayer", email="max@example.org")
    return factories.MechanicFactory(organization=event.organization, user_profile=person, display_name="Max M")


def page_of(row, name="change", *more):
    return reverse(f"admin:requests_{row._meta.model_name}_{name}", args=(row.pk, *more))


def filled(client, page) -> dict:
    """The form of a page, as a browser shows it."""
    response = client.get(page)
    assert response.status_code == 200
    return Filled(response.content.decode(), f"{response.context['opts'].model_name}_form").data


def errors(response) -> dict:
    assert response.status_code == 200
    return {name: list(found) for name, found in response.context["adminform"].form.errors.items()}


def told(response) -> str:
    """The last that was told: nobody has looked at what was before."""
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)][-1]


def rows(response) -> list:
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


# -- Mechanics -----------------------------------------------------------------------------------------------


def test_a_mechanic_is_added_by_e_mail(desk, event, organizer):
    given = filled(desk, ADD) | {
        "email": "New@Example.org",
        "skills": " Brakes, e-bike,,brakes, Schweißen ",
        "display_name": "Nora N",
    }
    assert given["organization"] == [str(event.organization_id)]
    assert "was added successfully" in told(desk.post(ADD, given))
    made = Mechanic.objects.get()
    assert (made.organization, made.user_profile.email, made.display_name) == (
        event.organization,
        "new@example.org",
        "Nora N",
    )
    assert (made.skills, made.serves_all, made.on_duty, made.active) == (
        ["brakes", "e-bike", "schweißen"],
        True,
        False,
        True,
    )
    assert made.history.get().history_user == organizer
    assert AccountLetter.objects.get().address == "new@example.org"
    nameless = desk.post(ADD, given | {"email": "nobody@example.org", "display_name": " "})
    assert errors(nameless) == {"display_name": ["Give a name: this person has told none yet."]}
    again = desk.post(ADD, given | {"email": "new@example.org"})
    assert errors(again) == {"__all__": ["This person is a mechanic here already."]}
    assert Mechanic.objects.count() == UserProfile.objects.filter(email="new@example.org").count() == 1


def test_somebody_who_is_known_keeps_their_profile_and_name(desk, event):
    person = named("Max", "Mayer", email="max@example.org")
    desk.post(ADD, filled(desk, ADD) | {"email": "MAX@example.org"})
    made = Mechanic.objects.get()
    assert (made.user_profile, made.display_name) == (person, "Max Mayer")


def test_only_events_of_the_same_organisation_are_served(desk, event, organizer, mechanic):
    second = factories.EventFactory()
    factories.member(second.organization, "organizer")
    desk_of_both = factories.UserProfileFactory()
    for one in (event, second):
        one.organization.memberships.create(user_profile=desk_of_both, role="organizer")
    both = signed_in(desk_of_both)
    given = filled(both, page_of(mechanic)) | {"events": [str(second.pk)]}
    assert errors(both.post(page_of(mechanic), given)) == {"events": [f"{second} is no event of this organisation."]}
    assert errors(desk.post(page_of(mechanic), given))["events"]
    assert not mechanic.events.exists()
    given = filled(desk, page_of(mechanic)) | {"events": [str(event.pk)]}
    given.pop("serves_all")
    assert desk.post(page_of(mechanic), given).status_code == 302
    mechanic.refresh_from_db()
    assert (mechanic.serves_all, list(mechanic.events.all())) == (False, [event])
    assert "1 event" in text(desk.get(MECHANICS))


@pytest.mark.parametrize("wrong", ["brakes!", "-a", "x" * 51])
def test_skills_are_words(desk, mechanic, wrong):
    answer = desk.post(page_of(mechanic), filled(desk, page_of(mechanic)) | {"skills": f"gears, {wrong}"})
    assert errors(answer) == {"skills": ["Small letters, digits, spaces and hyphens, at most 50."]}
    many = ", ".join(f"skill {number}" for number in range(51))
    answer = desk.post(page_of(mechanic), filled(desk, page_of(mechanic)) | {"skills": many})
    assert errors(answer) == {"skills": ["At most 50 of them."]}


def test_a_form_sent_unchanged_writes_nothing(desk, mechanic):
    mechanic.skills = ["brakes", "gears"]
    mechanic.save()
    before = Mechanic.objects.values().get(), mechanic.history.count()
    data = filled(desk, page_of(mechanic))
    assert data["skills"] == ["brakes, gears"]
    assert desk.post(page_of(mechanic), data).status_code == 302
    assert (Mechanic.objects.values().get() | {"updated_at": None}) == before[0] | {"updated_at": None}
    mechanics.set_duty(mechanic_id=mechanic.pk, on=False, actor=None)  # while a form is open
    assert desk.post(page_of(mechanic), data | {"skills": "gears"}).status_code == 302
    mechanic.refresh_from_db()
    assert (mechanic.skills, mechanic.on_duty) == (["gears"], False)


def test_duty_is_changed_by_acts_that_say_what_goes_back(desk, event, mechanic):
    request = ask(event)
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    page = page_of(mechanic, "act", "end_duty")
    sentence = "1 request in hand goes back to the line, and its customer hears of it."
    assert sentence in text(desk.get(page))
    assert desk.post(page).status_code == 200
    request.refresh_from_db()
    assert request.status == "accepted"
    assert told(desk.post(page, {"confirmed": sentence})) == "Max Mayer: off duty."
    request.refresh_from_db()
    mechanic.refresh_from_db()
    assert (request.status, mechanic.on_duty) == ("pending", False)
    assert told(desk.post(page_of(mechanic, "act", "start_duty"))) == "Max Mayer: on duty."
    assert told(desk.post(page_of(mechanic, "act", "start_duty"))) == "Max Mayer: on duty already."
    assert told(desk.post(page_of(mechanic, "act", "stop"))) == "Max Mayer: not active any more."
    refused = told(desk.post(page_of(mechanic, "act", "start_duty")))
    assert refused == "1 could not be changed. Max Mayer: Max M is not active: nobody can put them on duty."
    assert told(desk.post(page_of(mechanic, "act", "resume"))) == "Max Mayer: active again."
    mechanic.refresh_from_db()
    assert (mechanic.active, mechanic.on_duty) == (True, False)
    assert mechanic.history.first().history_user == event.organization.memberships.get(role="organizer").user_profile


def test_a_mechanic_whom_requests_name_is_kept(event, mechanic):
    root = signed_in(named("Root", is_superuser=True))
    request = ask(event)
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    sentence = "Requests name them, so that they can't be deleted: make them inactive instead."
    assert "deletelink" not in root.get(page_of(mechanic)).content.decode()
    assert told(root.post(page_of(mechanic, "delete"), {"post": "yes"})) == sentence
    taking.release(request_id=request.pk, actor=mechanic.user_profile)  # then only the record names them
    assert told(root.post(page_of(mechanic, "delete"), {"post": "yes"})) == sentence
    at_commit()
    fresh = factories.MechanicFactory(organization=event.organization)
    assert root.post(page_of(fresh, "delete"), {"post": "yes"}).status_code == 302
    assert list(Mechanic.objects.all()) == [mechanic]


def test_mechanics_are_filtered_and_found(desk, event, mechanic):
    off = factories.MechanicFactory(
        organization=event.organization, user_profile=named("Olaf", "Off"), display_name="", on_duty=False
    )
    factories.MechanicFactory()
    assert rows(desk.get(MECHANICS)) == [mechanic, off]
    assert rows(desk.get(MECHANICS, {"on_duty__exact": "1"})) == [mechanic]
    assert rows(desk.get(MECHANICS, {"q": "olaf"})) == [off]
    seen = text(desk.get(MECHANICS))
    assert "Max Mayer max@example.org" in seen and "Olaf Off" in seen and "On duty" in seen and "Off duty" in seen


# -- Settings ------------------------------------------------------------------------------------------------


def test_settings_are_entered_as_minutes_and_words(desk, event):
    data = filled(desk, NEW_SETTINGS)
    assert (data["unattended_after"], data["idle_after"]) == (["10"], ["15"])
    answer = desk.post(NEW_SETTINGS, data | {"unattended_after": "5", "skills": "Brakes, gears", "plans": "gold"})
    assert told(answer) == "The service settings are saved."
    made = ServiceSettings.objects.get()
    assert (made.organization, made.unattended_after, made.idle_after) == (
        event.organization,
        timedelta(minutes=5),
        timedelta(minutes=15),
    )
    assert (made.skills, made.plans) == (["brakes", "gears"], ["gold"])
    page = page_of(made)
    sentence = "Give minutes, from 1 to 1440 (1 day)."
    for wrong in ("0", "1441", "x"):
        assert errors(desk.post(page, filled(desk, page) | {"idle_after": wrong})) == {"idle_after": [sentence]}
    desk.post(page, filled(desk, page) | {"idle_after": "20", "plans": ""})
    made.refresh_from_db()
    assert (made.idle_after, made.plans, made.unattended_after) == (timedelta(minutes=20), [], timedelta(minutes=5))
    assert "20 minutes" in text(desk.get(SETTINGS)) and "brakes, gears" in text(desk.get(SETTINGS))
    viewer = signed_in(factories.member(event.organization, "viewer"))
    assert "5 minutes" in text(viewer.get(page)) and viewer.post(page, data).status_code == 403
    again = desk.post(NEW_SETTINGS, data | {"organization": str(event.organization_id)})
    assert "already exists" in str(errors(again))


def test_history_shows_rows_as_they_were(desk, event, mechanic):
    ServiceSettings.objects.create(organization=event.organization, skills=["brakes"])
    for row in (mechanic, ServiceSettings.objects.get()):
        version = row.history.latest()
        assert desk.get(page_of(row, "history")).status_code == 200
        assert desk.get(page_of(row, "simple_history", version.pk)).status_code == 200


# -- Requests ------------------------------------------------------------------------------------------------


def test_requests_are_filtered_searched_and_looked_at(desk, event, mechanic):
    second = factories.EventFactory(organization=event.organization, title="Hill Climb")
    first = ask(event, "Cara", urgent=True)
    other = ask(second, "Dora")
    ask(factories.EventFactory(), "Foreign")
    taking.accept(request_id=other.pk, person=mechanic.user_profile)
    assert rows(desk.get(REQUESTS)) == [other, first]
    for asked, found in (
        ({"status__exact": "accepted"}, [other]),
        ({"event__id__exact": event.pk}, [first]),
        ({"organization__id__exact": event.organization_id}, [other, first]),
        ({"mechanic__id__exact": str(mechanic.pk)}, [other]),
        ({"urgent__exact": "1"}, [first]),
        ({"q": "cara"}, [first]),
        ({"q": "person"}, [other, first]),
    ):
        assert rows(desk.get(REQUESTS, asked)) == found, asked
    assert desk.get(reverse("admin:requests_sessionrequest_add")).status_code == 403
    assert desk.post(page_of(first), {"status": "completed"}).status_code == 403
    assert desk.post(page_of(first, "delete"), {"post": "yes"}).status_code == 403


def test_a_requests_page_tells_each_step_and_never_what_was_said(desk, organizer, event, mechanic):
    request = ask(event, "Cara", concern="It squeaks")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    talking.say(session_id=request.session_id, person=request.customer, body="A secret between us")
    ines = factories.MechanicFactory(organization=event.organization, display_name="Ines I")
    taking.takeover(request_id=request.pk, mechanic_id=ines.pk, actor=organizer)
    taking.release(request_id=request.pk, actor=organizer)
    taking.cancel(request_id=request.pk, actor=request.customer)
    at_commit()
    page = desk.get(page_of(request))
    html = page.content.decode()
    steps = re.findall(r"<tr>(.*?)</tr>", html.split('id="service-steps"')[1].split("</table>")[0], re.S)[1:]
    seen = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", one) for one in steps]
    assert [one[1:] for one in seen] == [
        ["Asked for help", "Cara Doe", "", ""],
        ["Accepted", "Max Mayer", "–", "Max M"],
        ["Given to somebody by an organiser", str(organizer), "Max M", "Ines I"],
        ["Handed back", str(organizer), "Ines I", "–"],
        ["Cancelled by the customer", "Cara Doe", "", ""],
    ]
    assert "It squeaks" in html and "secret" not in html
    for where in (REQUESTS, page_of(request, "history")):
        assert "secret" not in desk.get(where).content.decode()
    assert SessionMessage.objects.count() == 1


def test_an_organiser_moves_requests_by_acts(desk, event, mechanic):
    request = ask(event, "Cara")
    nobody = ask(event, "Max", minutes=1)
    give = page_of(request, "act", "give")
    assert desk.get(give).status_code == 200
    assert told(desk.post(give, {"act_form": "1", "mechanic_id": str(mechanic.pk)})) == "Cara Doe: given to somebody."
    request.refresh_from_db()
    assert (request.status, request.mechanic) == ("accepted", mechanic)
    assert "Nobody else who serves it is on duty." in text(desk.get(give))
    assert "Select a valid choice" in text(desk.post(give, {"act_form": "1", "mechanic_id": str(mechanic.pk)}))
    assert told(desk.post(page_of(request, "act", "put_back"))) == "Cara Doe: back in the line."
    cancel = page_of(nobody, "act", "cancel")
    sentence = "The customer is told that nobody will come."
    assert sentence in text(desk.get(cancel))
    assert told(desk.post(cancel, {"confirmed": sentence})) == "Max Doe: cancelled."
    several = {"action": "cancel", "_selected_action": [str(request.pk), str(nobody.pk)], "index": "0"}
    assert "The customers are told" in text(desk.post(REQUESTS, several))
    told(desk.post(REQUESTS, several | {"confirmed": "The customers are told that nobody will come."}))
    at_commit()
    assert set(SessionRequest.objects.values_list("status", flat=True)) == {"cancelled"}
    viewer = signed_in(factories.member(event.organization, "viewer"))
    assert viewer.post(cancel).status_code == 403


def test_requests_are_exported_without_what_was_said(desk, event, mechanic):
    request = ask(event, "=Cara", minutes=2, concern="It squeaks", skill="brakes")
    taking.accept(request_id=request.pk, person=mechanic.user_profile)
    talking.say(session_id=request.session_id, person=request.customer, body="A secret between us")
    SessionRequest.objects.update(first_accepted_at=request.created_at + timedelta(seconds=90))
    ask(factories.EventFactory(), "Foreign")
    file = desk.post(EXPORT, {"format": "0"}).content.decode("utf-8-sig")
    [line] = csv.DictReader(io.StringIO(file))
    assert line | {"Id": "", "Created at": "", "First accepted at": ""} == {
        "Id": "",
        "Organisation": str(event.organization),
        "Event": "Harbour Ride",
        "Customer name": "'=Cara Doe",
        "Customer email": request.customer_email,
        "Status": "accepted",
        "Urgent": "no",
        "Skill": "brakes",
        "Type": "chat",
        "Plan code": "",
        "Concern": "It squeaks",
        "Mechanic": "Max M",
        "Created at": "",
        "First accepted at": "",
        "Closed at": "",
        "Waited, in seconds": "90",
    }
    sheet = openpyxl.load_workbook(io.BytesIO(desk.post(EXPORT, {"format": "1"}).content)).active
    assert sheet.title == "Service requests" and sheet.max_row == 2


# -- Questions -----------------------------------------------------------------------------------------------


def test_lists_and_pages_ask_the_same_number_of_questions_for_any_number_of_rows(desk, event, mechanic):
    counts = {page: [] for page in (MECHANICS, REQUESTS, SETTINGS)}
    for number in (1, 3):
        while SessionRequest.objects.count() < number:
            request = ask(event, f"One{number}")
            one = factories.MechanicFactory(organization=event.organization, display_name="")
            taking.accept(request_id=request.pk, person=one.user_profile)
        for page, found in counts.items():
            desk.get(page)
            with CaptureQueriesContext(connection) as context:
                assert desk.get(page).status_code == 200
            found.append(len(context))
    assert counts == {MECHANICS: [7, 7], REQUESTS: [5, 5], SETTINGS: [5, 5]}
