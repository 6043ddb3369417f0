"""The page that imports attendance: upload, preview, choose otherwise, confirm."""

import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory
from django.utils import timezone

from attendance import views
from attendance.models import Attendee
from config import uploads
from tests import factories
from tests.config.postgres import waited_for

LIST = "Name,Email,Attended\nBo,bo@example.org,yes\nEva,eva@example.org,no\nX,x@example.org,yes\nTotal,,,\n"


@pytest.fixture
def upload_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path / "uploads"


@pytest.fixture
def event(db):
    start = datetime(2024, 5, 3, 17, tzinfo=UTC)
    return factories.EventFactory(starts_at=start, ends_at=start + timedelta(hours=4), timezone="Europe/Berlin")


@pytest.fixture
def bo(event):
    return factories.AttendeeFactory(
        event=event, user_profile__email="bo@example.org", user_profile__first_name="Bo", user_profile__last_name="Ek"
    )


@pytest.fixture
def eva(event):
    return factories.AttendeeFactory(
        event=event, user_profile__email="eva@example.org", user_profile__first_name="Eva", user_profile__last_name="Ek"
    )


@pytest.fixture
def visit(upload_folder):
    """``visit(person, **fields)``: the page's answer to a POST of the fields, or a GET where there are none."""

    def visit(person, **fields):
        make = RequestFactory().post if fields else RequestFactory().get
        request = make("/admin/attendance/attendee/import/", fields)
        request.user, request.session = person, SessionStore()
        request._messages = FallbackStorage(request)
        answer = views.import_attendance(request, admin.site.get_model_admin(Attendee))
        answer.told = [str(one) for one in get_messages(request)]
        return answer.render() if hasattr(answer, "render") else answer

    return visit


def fields_for(event, text=LIST, **more):
    return {"file": SimpleUploadedFile("list.csv", text.encode()), "event": event.pk} | more


def errors(answer):
    return {name: [str(one) for one in found] for name, found in answer.context_data["form"].errors.items()}


def test_page_previews_then_imports(visit, event, bo, eva, organizer, upload_folder):
    preview = visit(organizer, **fields_for(event))
    page = preview.content.decode()
    assert "To be marked “Present”" in page and "Bo Ek" in page
    assert "Line 4" in page and "Nobody in this event has this: Email." in page
    assert '<span class="font-semibold">Attended</span>: who came' in page
    bo.refresh_from_db()
    assert bo.attendance_status == "unknown"
    [kept] = upload_folder.iterdir()
    done = visit(organizer, token=preview.context_data["token"], confirm="1")
    assert (done.status_code, done.url) == (302, f"/admin/attendance/attendee/?event__id__exact={event.pk}")
    assert done.told == [
        f"Imported attendance at “{event}”. Present: 1; Unknown: 2; Nothing said: 1.",
    ]
    bo.refresh_from_db()
    assert (bo.attendance_status, bo.attendance_marked_by) == ("present", organizer)
    assert list(upload_folder.iterdir()) == []


def test_page_can_be_left_or_chosen_otherwise(visit, event, bo, eva, organizer, upload_folder):
    preview = visit(organizer, **fields_for(event))
    token = preview.context_data["token"]
    again = visit(organizer, token=token, event=event.pk, no="absent")
    assert {status.value: len(entries) for status, entries in again.context_data["report"].to_mark.items()} == {
        "present": 1,
        "absent": 1,
    }
    for answer in (preview, again):
        assert "“list.csv” is here already" in answer.content.decode()
        assert not answer.context_data["form"]["file"].field.required
    [kept] = upload_folder.iterdir()
    visit(organizer, token=again.context_data["token"], discard="1")
    assert list(upload_folder.iterdir()) == []
    assert {one.attendance_status for one in Attendee.objects.all()} == {"unknown"}


def test_page_does_what_the_preview_showed_whatever_is_sent_with_it(visit, event, bo, eva, organizer):
    token = visit(organizer, **fields_for(event)).context_data["token"]
    visit(organizer, token=token, confirm="1", event=factories.EventFactory().pk, no="absent", overwrite="on")
    eva.refresh_from_db(), bo.refresh_from_db()
    assert (bo.attendance_status, eva.attendance_status) == ("present", "unknown")


def test_page_asks_what_the_list_does_not_say_and_keeps_the_file(visit, event, bo, organizer):
    answer = visit(organizer, **fields_for(event, "Email\nbo@example.org\n"))
    assert errors(answer) == {"listed": ["No column of this list says who came. Say what it means to be on it."]}
    assert answer.context_data["report"] is None
    token = answer.context_data["token"]
    answer = visit(organizer, token=token, event=event.pk, listed="present")
    assert errors(answer) == {} and answer.context_data["report"].marked == 1
    assert "is here already" in answer.content.decode()

    rows = "Email,Attended,Join time\nbo@example.org,yes,03/06/2024 19:05\n"
    answer = visit(organizer, **fields_for(event, rows), token=answer.context_data["token"])
    assert errors(answer) == {
        "dates": ["“Join time” has dates like “03/06/2024 19:05”: say whether the day or the month comes first."]
    }
    answer = visit(organizer, token=answer.context_data["token"], event=event.pk, dates="day_first")
    assert answer.context_data["report"].marked == 1


def test_page_tells_what_is_wrong_with_the_file(visit, event, organizer):
    for text, sentence in (
        ("Hello\n", "No line of this file has the headings that are needed."),
        ("Name,Attended\nBo,yes\n", "This list has no column that tells people apart"),
        ("Email,email,Attended\na@b.c,d@e.f,yes\n", "These columns could mean the same: “Email”, “email”."),
    ):
        [error] = errors(visit(organizer, **fields_for(event, text)))["file"]
        assert error.startswith(sentence)
    assert set(errors(visit(organizer, event=event.pk))) == {"file"}
    answer = visit(organizer, **fields_for(event, "x" * (5 * 1024 * 1024 + 1)))
    assert errors(answer) == {"file": ["This file has more than 5 MB."]}


def test_page_writes_times_so_that_day_and_month_are_told(visit, event, bo, organizer):
    rows = "Email,Join time\nbo@example.org,03/05/2024 19:31\n"
    page = visit(organizer, **fields_for(event, rows)).content.decode()
    assert '<span class="font-semibold">Bo Ek</span>, Fri 3 May 2024, 19:31 CEST</li>' in page


def test_page_warns_of_a_list_of_another_event_and_names_what_is_not_used(visit, event, bo, organizer):
    rows = f"Event,Email,Attended,Shoe <size>,{'x' * 70}\nMakers at the Quay,bo@example.org,yes,42,\n"
    page = visit(organizer, **fields_for(event, rows)).content.decode()
    warning = f"The list says “Makers at the Quay”; you are importing into “{event.title}”."
    assert page.index(f'<p class="turnout-warning" role="alert">{warning}</p>') < page.index("import-counts")
    assert f"Not used: “Shoe &lt;size&gt;”, “{'x' * 59}…”</li>" in page
    page = visit(organizer, **fields_for(event)).content.decode()
    assert "turnout-warning" not in page and "Not used" not in page


def test_page_escapes_what_the_file_says(visit, event, bo, organizer):
    text = "Name,Email,<b>x</b>,Attended\n<script>1</script>,<i>y</i>,,<u>z</u>\nBo,bo@example.org,,<u>z</u>\n"
    page = visit(organizer, **fields_for(event, text)).content.decode()
    assert "&lt;script&gt;1" in page and "&lt;u&gt;z" in page
    assert "<script>1" not in page and "<u>z" not in page and "<i>y" not in page


@pytest.mark.django_db(transaction=True)
def test_page_tells_who_was_marked_meanwhile(visit, event, bo, organizer):
    """Somebody else's transaction has marked Bo, and commits once the import waits for his row."""
    token = visit(organizer, **fields_for(event)).context_data["token"]
    with waited_for("UPDATE event_attendees SET attendance_status = 'excused' WHERE id = %s", [bo.pk]):
        done = visit(organizer, token=token, confirm="1")
    assert done.told == [
        f"Imported attendance at “{event}”. Unknown: 3.",
        "1 was marked by somebody else meanwhile, and left alone: Bo Ek.",
    ]
    bo.refresh_from_db()
    assert bo.attendance_status == "excused"


def test_page_refuses_anothers_token(visit, event, bo, organizer):
    token = visit(organizer, **fields_for(event)).context_data["token"]
    other = factories.member(event.organization, "organizer")
    for forged in (token + "x", "", token):
        answer = visit(other, token=forged, confirm="1")
        assert (answer.status_code, answer.told) == (302, ["The uploaded file is no longer here. Choose it again."])
    bo.refresh_from_db()
    assert bo.attendance_status == "unknown"


def test_page_refuses_a_token_of_another_page(visit, event, organizer, upload_folder):
    token = uploads.keep(b"x", name="x", choices={}, person=organizer, page="events.import_schedule")
    assert visit(organizer, token=token, confirm="1").told == ["The uploaded file is no longer here. Choose it again."]


def test_page_forgets_after_an_hour(visit, event, organizer, upload_folder):
    token = visit(organizer, **fields_for(event)).context_data["token"]
    [kept] = upload_folder.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    os.utime(kept, (time.time() - 3601, time.time() - 3601))
    visit(organizer, **fields_for(event))
    assert visit(organizer, token=token, confirm="1").told == ["The uploaded file is no longer here. Choose it again."]


def test_page_refuses_a_token_after_the_role_is_gone(visit, event, bo, organizer):
    other = factories.EventFactory()
    other.organization.memberships.create(user_profile=organizer, role="organizer")
    token = visit(organizer, **fields_for(event)).context_data["token"]
    organizer.memberships.filter(organization=event.organization).update(role="viewer")
    del organizer.roles
    done = visit(organizer, token=token, confirm="1")
    assert done.told == ["What you chose is no longer possible. Choose again."]
    bo.refresh_from_db()
    assert bo.attendance_status == "unknown"


def test_page_offers_events_where_the_person_manages(visit, event, organizer):
    foreign, looked_at = factories.EventFactory(), factories.EventFactory()
    looked_at.organization.memberships.create(user_profile=organizer, role="door")
    page = visit(organizer)
    assert list(page.context_data["form"].fields["event"].queryset) == [event]
    for other in (foreign, looked_at):
        assert set(errors(visit(organizer, **fields_for(other)))) == {"event"}


def test_page_offers_the_events_that_are_nearest_first(visit, organizer, event):
    now, hours = timezone.now(), timedelta(hours=1)
    spans = {
        "going on": (-30, 2),
        "over": (-5, -3),
        "soon": (4, 90),
        "last week": (-168, -160),
        "next week": (166, 168),
    }
    for title, (start, end) in list(spans.items())[::-1]:
        factories.EventFactory(
            organization=event.organization, title=title, starts_at=now + start * hours, ends_at=now + end * hours
        )
    offered = visit(organizer).context_data["form"].fields["event"].queryset
    assert [one.title for one in offered] == ["going on", "over", "soon", "last week", "next week", event.title]


@pytest.mark.parametrize("role", ["viewer", "door", None])
def test_page_is_closed_to_who_may_not_mark(visit, event, role):
    person = factories.member(event.organization, role) if role else factories.UserProfileFactory()
    for fields in ({}, fields_for(event)):
        with pytest.raises(PermissionDenied):
            visit(person, **fields)


def test_page_knows_get_and_post_only(event, organizer):
    request = RequestFactory().put("/")
    request.user = organizer
    assert views.import_attendance(request, admin.site.get_model_admin(Attendee)).status_code == 405


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_page_on_a_phone(sign_in, upload_folder, tmp_path, event, bo, eva, organizer):
    """From the button over the list of attendees to the message above it, at 390 px."""
    file = tmp_path / "list.csv"
    file.write_text(LIST + f"Long,{'a' * 60}@example.org,yes\n")
    page = sign_in(organizer, width=390)
    page.goto("/admin/attendance/attendee/import/")
    page.set_input_files("input[name=file]", str(file))
    page.select_option("select[name=event]", str(event.pk))
    page.click("text=Preview")
    page.wait_for_selector("#import-counts")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.check("input[name=no][value=absent]")
    page.click("text=Preview again")  # without choosing the file again
    page.wait_for_selector("text=To be marked “Absent”")
    page.click("button[name=confirm]")
    page.wait_for_url("**/admin/attendance/attendee/?event*")
    assert "Present: 1; Absent: 1; Unknown: 3." in page.inner_text("body")
    assert list(Attendee.objects.order_by("user_profile__email").values_list("attendance_status", flat=True)) == [
        "present",
        "absent",
    ]
