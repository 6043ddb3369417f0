"""What config.admin promises every page: reports in full, errors on the form, nothing silent, nothing slow."""

import csv
import io
import json
import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import openpyxl
import psycopg
import pytest
import structlog
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from attendance.models import Attendee, CheckIn, CheckInAttempt, PointScale
from attendance.operations import marking
from config.admin import ACT_LIMIT
from events.models import Event, IntegrityResult, Membership, Room, Session, UserProfile
from messaging.models import OptOut, UserLinkAudit
from requests.models import Ban, JoinRequest, ServiceSettings
from requests.operations import join_requests
from tests.factories import (
    AttendeeFactory,
    CheckInPointFactory,
    DoorDeviceFactory,
    EventFactory,
    EventGuestFactory,
    InvitationLinkFactory,
    JoinRequestFactory,
    MechanicFactory,
    MessageDeliveryFactory,
    MessageFactory,
    OrganizationFactory,
    RoomFactory,
    SessionFactory,
    SpeakerFactory,
    UserProfileFactory,
    member,
    service_request,
)

REQUESTS = "admin:requests_joinrequest_changelist"
BACKEND = "events.sign_in.EmailBackend"


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    return client


# -- Helpers -------------------------------------------------------------------------------------


def told(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def act(client, name, rows, page=REQUESTS, **data):
    return client.post(reverse(page), {"action": name, "_selected_action": [row.pk for row in rows], **data})


def change_page(row) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


class Filled(HTMLParser):
    """What a browser would send of a page's main form, hidden fields included."""

    def __init__(self, html, form):
        super().__init__()
        self.data, self.inside, self.name, self.form = {}, False, None, form
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "form":
            self.inside = found.get("id") == self.form
        if not self.inside:
            return
        name, kind = found.get("name"), found.get("type", "text")
        if tag == "input" and name and kind not in ("submit", "file"):
            if kind not in ("checkbox", "radio") or "checked" in found:
                self.data.setdefault(name, []).append(found.get("value", "on" if kind == "checkbox" else ""))
        elif tag in ("textarea", "select"):
            self.name, self.text = name, ""
        elif tag == "option" and "selected" in found and self.name:
            self.data.setdefault(self.name, []).append(found.get("value", ""))

    def handle_data(self, text):
        if self.name:
            self.text += text

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False
        if tag == "textarea" and self.name:
            self.data[self.name] = [self.text.removeprefix("\n").lstrip("\r\n")]
        if tag in ("textarea", "select"):
            self.name = None


def opened(client, page) -> dict:
    """The form of a page, as a browser shows it."""
    response = client.get(page)
    assert response.status_code == 200
    data = Filled(response.content.decode(), f"{response.context['opts'].model_name}_form").data
    data.pop("csrfmiddlewaretoken", None)
    assert data
    return data


def errors_on(response) -> list[str]:
    assert response.status_code == 200
    return [str(one) for one in response.context["adminform"].form.non_field_errors()]


@contextmanager
def another_connection():
    with psycopg.connect(**connection.get_connection_params()) as other:
        try:
            yield other
        finally:
            other.rollback()


@contextmanager
def trigger(table, when, body, *, constraint=""):
    """A trigger of the test's own: ``body`` is PL/pgSQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE FUNCTION made_for_test() RETURNS trigger AS $$ BEGIN {body} RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        timing = "DEFERRABLE INITIALLY DEFERRED" if constraint else ""
        cursor.execute(
            f"CREATE {constraint} TRIGGER made_for_test {when} ON {table} {timing} "
            "FOR EACH ROW EXECUTE FUNCTION made_for_test()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION made_for_test() CASCADE")


def refusing(request, constraint) -> str:
    """For :func:`trigger` on attendees: this person is refused, by that name."""
    return (
        f"IF NEW.user_profile_id = '{request.user_profile_id}' THEN "
        f"RAISE check_violation USING CONSTRAINT = '{constraint}'; END IF;"
    )


def logged(caplog, event) -> dict:
    """The one line of the log with this event, as the JSON that operators read."""
    json_formatter = structlog.stdlib.ProcessorFormatter(
        **{name: value for name, value in settings.LOGGING["formatters"]["json"].items() if name != "()"}
    )
    lines = [one for one in caplog.records if isinstance(one.msg, dict) and one.msg.get("event") == event]
    assert len(lines) == 1
    return json.loads(json_formatter.format(lines[0]))


# -- Reports of acts ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_report_counts_and_groups_failures_by_reason(desk, event):
    Event.objects.filter(pk=event.pk).update(capacity=2)
    already = JoinRequestFactory(event=event)
    join_requests.approve(request_id=already.pk, actor=None)
    for name, more in (("Ada", 1), ("Bea", 1), ("Cem", 3), ("Dua", 0)):
        person = UserProfileFactory(first_name=name, last_name="X")
        JoinRequestFactory(event=event, plus_ones=more, user_profile=person)
    response = act(desk, "approve", JoinRequest.objects.all())
    full = "The event is full: 2 of 2 places taken; this request needs"
    # In the order of the list, the newest first: Dua gets the last place.
    assert told(response) == [
        "1 approved.",
        "1 were approved already.",
        f"1 could not be changed. Cem X: {full} 4.",
        f"2 could not be changed. Bea X, Ada X: {full} 2.",
    ]
    assert Attendee.objects.active().count() == 2


@pytest.mark.django_db(transaction=True)
def test_one_failure_undoes_only_its_row(desk, event):
    good, bad, also_good = (
        JoinRequestFactory(event=event, user_profile=UserProfileFactory(first_name=name, last_name="X"))
        for name in ("Ada", "Bea", "Cem")
    )
    body = refusing(bad, "events_event_seats_within_capacity")
    with trigger("event_attendees", "BEFORE INSERT", body):
        response = act(desk, "approve", [good, bad, also_good])
    assert told(response) == [
        "2 approved.",
        "1 could not be changed. Bea X: The event's capacity is smaller than the places taken.",
    ]
    assert dict(JoinRequest.objects.values_list("user_profile__first_name", "status")) == {
        "Ada": "approved",
        "Bea": "pending",
        "Cem": "approved",
    }
    assert Attendee.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_violation_at_commit_is_a_failure_of_its_row(desk, event):
    """A deferred trigger fires when the row's own transaction ends, not at the end of all."""
    good, bad = (
        JoinRequestFactory(event=event, user_profile=UserProfileFactory(first_name=name, last_name="X"))
        for name in ("Ada", "Bea")
    )
    body = refusing(bad, "requests_joinrequest_approved_has_attendee")
    with trigger("event_attendees", "AFTER INSERT", body, constraint="CONSTRAINT"):
        response = act(desk, "approve", [good, bad])
    assert told(response) == [
        "1 approved.",
        (
            "1 could not be changed. Bea X: An approved join request and its attendee belong together; "
            "the database refused one alone."
        ),
    ]
    assert Attendee.objects.get().user_profile == good.user_profile


@pytest.mark.django_db(transaction=True)
def test_what_nobody_foresaw_has_a_reference_that_the_log_has_too(desk, event, caplog):
    one, two = (
        JoinRequestFactory(event=event, user_profile=UserProfileFactory(first_name=name, last_name="X"))
        for name in ("Ada", "Bea")
    )
    body = f"IF NEW.user_profile_id = '{one.user_profile_id}' THEN RAISE EXCEPTION 'nobody foresaw this'; END IF;"
    with trigger("event_attendees", "BEFORE INSERT", body):
        response = act(desk, "approve", [one, two])
    done, failed = told(response)
    assert done == "1 approved."
    found = re.fullmatch(
        r"1 could not be changed\. Ada X: something went wrong on our side \(reference ([0-9a-f-]{36})\)", failed
    )
    line = logged(caplog, "admin.act_failed")
    assert line["request_id"] == found[1] and line["row"] == str(one.pk) and line["act"] == "approve"
    assert "nobody foresaw this" in line["exception"]
    one.refresh_from_db()
    assert one.status == "pending"


@pytest.mark.django_db(transaction=True)
def test_acts_over_more_rows_than_the_limit_do_nothing_and_say_so(desk, event):
    people = UserProfile.objects.bulk_create(UserProfile(first_name=f"P{n}") for n in range(ACT_LIMIT + 1))
    JoinRequest.objects.bulk_create(JoinRequest(event=event, user_profile=one, owner_id=one.owner_id) for one in people)
    some = JoinRequest.objects.all()[:1]
    response = act(desk, "approve", some, select_across="1")
    assert told(response) == ["At most 1000 rows at once: narrow the list with a filter."]
    assert not Attendee.objects.exists()
    assert JoinRequest.objects.pending().count() == ACT_LIMIT + 1

    response = act(desk, "decline", some, select_across="1", act_form="1", note="")
    assert told(response)[1:] == ["At most 1000 rows at once: narrow the list with a filter."]


@pytest.mark.django_db(transaction=True)
def test_many_failures_are_all_named(desk, event):
    people = UserProfile.objects.bulk_create(UserProfile(first_name=f"P{n}", last_name="X") for n in range(43))
    JoinRequest.objects.bulk_create(JoinRequest(event=event, user_profile=one, owner_id=one.owner_id) for one in people)
    Event.objects.filter(pk=event.pk).update(capacity=0)
    response = act(desk, "approve", JoinRequest.objects.all(), follow=True)
    (failure,) = told(response)
    assert failure.startswith("43 could not be changed. P")
    assert failure.endswith(" X: The event is full: 0 of 0 places taken; this request needs 1.")
    assert failure.count(" X,") == 42


@pytest.mark.django_db(transaction=True)
def test_the_life_of_an_event_by_its_buttons(desk, event):
    def press(name, **data):
        return desk.post(reverse("admin:events_event_act", args=[event.pk, name]), data)

    RoomFactory(event=event, name="Main")
    assert told(press("withdraw", act_form="1")) == ["1 back to draft."]
    assert told(press("publish"))[-1] == "1 published."
    assert told(press("publish"))[-1] == "1 were that way already."

    copied = press("duplicate")
    copy = Event.objects.exclude(pk=event.pk).get()
    assert copied.url == change_page(copy) and copy.status == "draft" and copy.rooms.get().name == "Main"

    ask = reverse("admin:events_event_act", args=[event.pk, "cancel"])
    assert "Nobody can be let in any more" in desk.get(ask).content.decode()
    event.refresh_from_db()
    assert event.status == "published"  # looking changes nothing
    assert told(desk.post(ask, {"act_form": "1"}))[-1] == "1 cancelled."
    Event.objects.filter(pk=event.pk).update(status="completed")
    assert told(press("publish"))[-1] == (
        f"1 could not be changed. {event}: An event that is completed can't become published."
    )


# -- Errors in forms --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_race_lost_in_the_database_reads_like_the_check_in_the_form(desk, event):
    """Somebody else's room is not committed yet when the form looks, and is when it writes."""
    with another_connection() as other:
        other.execute(
            "INSERT INTO event_rooms (event_id, name, description, external_id) VALUES (%s, 'Main', '', '')", [event.pk]
        )
        commit = threading.Timer(0.3, other.commit)
        commit.start()
        response = desk.post(
            reverse("admin:events_room_add"), {"event": event.pk, "name": "Main", "description": "typed for an hour"}
        )
        commit.join()
    # The database's sentence, and the form's, which by now sees the other room too.
    assert sorted(errors_on(response)) == [
        "The event has a room of this name already.",
        "This name or address is in use already.",
    ]
    assert "typed for an hour" in response.content.decode()
    assert told(response) == []
    assert Room.objects.get().description == ""


@pytest.mark.django_db(transaction=True)
def test_a_held_lock_is_told_on_the_form(desk, event):
    data = opened(desk, change_page(event)) | {"title": "Typed for an hour"}
    with another_connection() as other, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
        other.execute("SELECT FROM events WHERE id = %s FOR UPDATE", [event.pk])
        response = desk.post(change_page(event), data)
        cursor.execute("RESET lock_timeout")
    assert errors_on(response) == ["Somebody else is changing this right now. Try again in a moment."]
    assert "Typed for an hour" in response.content.decode()
    assert told(response) == []
    assert Event.objects.get().title == event.title


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", ["add", "change"])
def test_a_violation_at_commit_is_told_and_not_declared_saved(desk, event, page):
    room = RoomFactory(event=event, name="Main")
    body = "RAISE check_violation USING CONSTRAINT = 'events_session_rsvp_window';"
    data = {"event": event.pk, "name": "Typed for an hour", "description": ""}
    with trigger("event_rooms", "AFTER INSERT OR UPDATE", body, constraint="CONSTRAINT"):
        response = desk.post(reverse("admin:events_room_add") if page == "add" else change_page(room), data)
    assert errors_on(response) == ["The event's or session's times or places contradict each other."]
    assert "Typed for an hour" in response.content.decode()
    assert "successfully" not in response.content.decode()
    assert told(response) == []
    assert Room.objects.get().name == "Main"


@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_the_commit_refuses_is_told(desk, event):
    room = RoomFactory(event=event, name="Main")
    body = "RAISE check_violation USING CONSTRAINT = 'events_session_rsvp_window';"
    with trigger("event_rooms", "AFTER DELETE", body, constraint="CONSTRAINT"):
        response = desk.post(reverse("admin:events_room_delete", args=[room.pk]), {"post": "yes"})
    assert response.status_code == 302 and response.url == change_page(room)
    assert told(response) == ["The event's or session's times or places contradict each other."]
    assert Room.objects.get() == room


@pytest.mark.django_db(transaction=True)
def test_what_nobody_foresaw_in_a_form_has_a_reference(desk, event, caplog):
    data = opened(desk, change_page(event)) | {"title": "Typed for an hour"}
    with trigger("events", "BEFORE UPDATE", "RAISE EXCEPTION 'nobody foresaw this';"):
        response = desk.post(change_page(event), data)
    (sentence,) = errors_on(response)
    found = re.fullmatch(r"something went wrong on our side \(reference ([0-9a-f-]{36})\)", sentence)
    line = logged(caplog, "admin.form_failed")
    assert line["request_id"] == found[1] and line["model"] == "events.Event"
    assert "nobody foresaw this" in line["exception"]
    assert "Typed for an hour" in response.content.decode()
    assert told(response) == []
    assert Event.objects.get().title == event.title


# -- Partial saves -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_stale_form_undoes_nothing_newer(desk, event):
    data = opened(desk, change_page(event))
    # Meanwhile: published, moved, filled, and described by others.
    Event.objects.filter(pk=event.pk).update(status="draft", venue="New hall", capacity=70, max_plus_ones=1)
    AttendeeFactory(event=event)

    response = desk.post(change_page(event), data | {"title": "A new title"})

    assert response.status_code == 302, response.context["adminform"].form.errors
    event.refresh_from_db()
    assert (event.title, event.status, event.venue, event.capacity, event.max_plus_ones, event.seats_taken) == (
        "A new title",
        "draft",
        "New hall",
        70,
        1,
        1,
    )
    # The history tells what was, not what the stale form believed.
    newest = event.history.latest()
    assert (newest.title, newest.venue, newest.capacity) == ("A new title", "New hall", 70)


@pytest.mark.django_db(transaction=True)
def test_a_stale_form_leaves_newer_speakers_alone(desk, event):
    session = SessionFactory(event=event, title="Keynote")
    first, later = SpeakerFactory(event=event), SpeakerFactory(event=event)
    session.speakers.add(first)
    data = opened(desk, change_page(session))
    session.speakers.add(later)
    assert desk.post(change_page(session), data | {"title": "Closing"}).status_code == 302
    session.refresh_from_db()
    assert session.title == "Closing" and set(session.speakers.all()) == {first, later}

    data = opened(desk, change_page(session)) | {"speakers": [str(later.pk)]}
    assert desk.post(change_page(session), data).status_code == 302
    assert set(session.speakers.all()) == {later}


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_unchanged_writes_nothing(desk, event):
    data = opened(desk, change_page(event))
    before = Event.objects.values().get()
    versions = event.history.count()
    assert desk.post(change_page(event), data).status_code == 302
    assert Event.objects.values().get() == before
    assert event.history.count() == versions


# -- Times ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_times_are_entered_in_the_zone_of_the_event(desk, event):
    data = opened(desk, change_page(event)) | {
        "starts_at_0": "2030-07-01",
        "starts_at_1": "09:30",
        "ends_at_0": "2030-07-01",
        "ends_at_1": "18:00",
    }
    assert desk.post(change_page(event), data).status_code == 302
    event.refresh_from_db()
    assert event.starts_at == datetime(2030, 7, 1, 7, 30, tzinfo=UTC)  # Berlin, in summer
    assert opened(desk, change_page(event))["starts_at_1"] == ["09:30:00"]

    # Another zone alone: the clock on the wall stays.
    data = opened(desk, change_page(event)) | {"timezone": "America/New_York"}
    assert desk.post(change_page(event), data).status_code == 302
    event.refresh_from_db()
    assert (event.timezone, event.starts_at) == ("America/New_York", datetime(2030, 7, 1, 13, 30, tzinfo=UTC))
    assert event.ends_at == datetime(2030, 7, 1, 22, 0, tzinfo=UTC)

    # Another zone and another time in one form.
    data = opened(desk, change_page(event)) | {"timezone": "Asia/Tokyo", "starts_at_1": "08:00"}
    assert desk.post(change_page(event), data).status_code == 302
    event.refresh_from_db()
    assert event.starts_at == datetime(2030, 6, 30, 23, 0, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_times_on_the_days_when_the_clock_changes(desk, event):
    def save(day, time):
        ends = {"ends_at_0": "2031-01-01", "ends_at_1": "00:00"}
        data = opened(desk, change_page(event)) | ends | {"starts_at_0": day, "starts_at_1": time}
        return desk.post(change_page(event), data)

    # In the last night of March there is no half past two, in October there are two.
    response = save("2030-03-31", "02:30")
    assert response.status_code == 200
    assert response.context["adminform"].form.errors == {
        "starts_at": [
            "On that day the clocks go forward, and skip 02:30 (Europe/Berlin). Give an earlier or a later time."
        ]
    }
    assert told(save("2030-10-27", "02:30"))[0] == (
        "Starts: On that day the clocks go back, and 02:30 comes twice: the first was taken, 02:30 CEST."
    )
    event.refresh_from_db()
    assert event.starts_at == datetime(2030, 10, 27, 0, 30, tzinfo=UTC)
    assert len(told(save("2030-03-31", "03:30"))) == 1
    event.refresh_from_db()
    assert event.starts_at == datetime(2030, 3, 31, 1, 30, tzinfo=UTC)

    # What somebody chose elsewhere stays as long as nobody enters another time.
    second = datetime(2030, 10, 27, 1, 30, tzinfo=UTC)
    Event.objects.filter(pk=event.pk).update(starts_at=second)
    response = desk.post(change_page(event), opened(desk, change_page(event)) | {"venue": "Elsewhere"})
    assert (response.status_code, len(told(response))) == (302, 1)
    event.refresh_from_db()
    assert (event.starts_at, event.venue) == (second, "Elsewhere")


@pytest.mark.django_db
def test_the_time_of_a_message_on_such_days(desk, event):
    Event.objects.filter(pk=event.pk).update(timezone="America/New_York")
    draft = MessageFactory(event=event, status="draft")

    def save(day, time):
        data = opened(desk, change_page(draft)) | {"when": "at", "scheduled_at_0": day, "scheduled_at_1": time}
        return desk.post(change_page(draft), data)

    assert save("2027-03-14", "02:30").context["adminform"].form.errors["scheduled_at"] == [
        "On that day the clocks go forward, and skip 02:30 (America/New_York). Give an earlier or a later time."
    ]
    assert told(save("2027-11-07", "01:30"))[0] == (
        "Send at: On that day the clocks go back, and 01:30 comes twice: the first was taken, 01:30 EDT."
    )
    draft.refresh_from_db()
    assert draft.scheduled_at == datetime(2027, 11, 7, 5, 30, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_sessions_are_in_their_events_zone_also_when_new(desk, event):
    data = {
        "event": event.pk,
        "title": "Keynote",
        "starts_at_0": "2030-07-01",
        "starts_at_1": "09:30",
        "ends_at_0": "2030-07-01",
        "ends_at_1": "10:00",
        "outside": "on",
    }
    assert desk.post(reverse("admin:events_session_add"), data).status_code == 302
    session = Session.objects.get()
    assert session.starts_at == datetime(2030, 7, 1, 9, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert "Mon 1 Jul 2030, 09:30 CEST" in desk.get(reverse("admin:events_session_changelist")).content.decode()


# -- What is heard of a page ------------------------------------------------------------------------------


def test_what_can_be_pressed_or_filled_in_has_a_name(sign_in, transactional_db):
    owner = UserProfileFactory()
    more_rows(owner, 1)
    draft = MessageFactory(event=Event.objects.first(), scheduled_at=timezone.now())
    page = sign_in(owner)
    nameless = []
    lists = [reverse(f"admin:{label.lower().replace('.', '_')}_changelist") for label in QUERIES]
    for address in [reverse("admin:index"), *lists[:-1], change_page(draft), change_page(Event.objects.first())]:
        page.goto(address)
        page.wait_for_load_state("load")
        page.wait_for_timeout(100)
        nameless += [(address, one) for one in page.evaluate(NAMELESS)]
    assert nameless == []
    page.goto(change_page(draft))
    links = page.locator(".datetimeshortcuts a").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert links == [
        "Today (Send at: day)",
        "Choose a Date (Send at: day)",
        "Now (Send at: time)",
        "Choose a Time (Send at: time)",
    ]
    assert page.get_by_role("textbox", name="Send at: day").count() == 1


NAMELESS = """() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")]
    .filter((one) => one.checkVisibility())
    .filter((one) => {
        const named = [...(one.labels ?? [])].some((label) => label.textContent.trim());
        const inside = one.cloneNode(true);
        inside.querySelectorAll("[aria-hidden=true], .material-symbols-outlined").forEach((icon) => icon.remove());
        const words = one.matches("a, button") && (inside.textContent.trim() || inside.querySelector("img[alt]")?.alt);
        const linked = document.getElementById(one.getAttribute("aria-labelledby"))?.textContent.trim();
        const said = one.getAttribute("aria-label") || one.title || (one.type === "submit" && one.value);
        return !(named || words || linked || said);
    }).map((one) => one.outerHTML.slice(0, 200))"""


@pytest.mark.django_db
def test_a_list_says_how_many_it_found_only_where_that_is_fewer_than_all(desk, event):
    EventGuestFactory(event=event, guest_name="Anna")
    page = reverse("admin:messaging_eventguest_changelist")
    assert "Show all" not in words_of(desk.get(page).content.decode())
    for query in ("?q=Anna", "?removed=no"):
        assert "1 result ( Show all )" in words_of(desk.get(page + query).content.decode())


def test_the_title_of_a_list_is_read_on_a_phone(sign_in, transactional_db):
    guest = EventGuestFactory(guest_name="Anna-Lena Fredriksson")
    owner = UserProfileFactory()
    Membership.objects.create(organization=guest.event.organization, user_profile=owner, role="owner")
    page = sign_in(owner, width=390)
    for address in (
        "eventguest/?q=Anna",
        "eventguest/",
        "messagedelivery/?status=sent",
        f"eventguest/{guest.pk}/change/",
    ):
        page.goto(f"/admin/messaging/{address}")
        cut = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.trim())"
        assert page.locator("h1, h1 a, h1 span").evaluate_all(cut) == [], address


# -- What people are called -----------------------------------------------------------------------------------

WICKED = "<script>alert('x')</script>"


@pytest.mark.django_db(transaction=True)
def test_names_with_html_are_text_on_every_page(desk, event):
    person = UserProfileFactory(first_name=WICKED, last_name="<b>Doe</b>")
    request = JoinRequestFactory(event=event, user_profile=person, comments=WICKED)
    Event.objects.filter(pk=event.pk).update(title=WICKED, venue=WICKED)
    room = RoomFactory(event=event, name=WICKED)
    session = SessionFactory(event=event, title=WICKED, room=room)
    link = InvitationLinkFactory(event=event, label=WICKED)
    guest = EventGuestFactory(event=event, guest_name=WICKED, user=person)
    draft, sent = (MessageFactory(event=event, subject=WICKED, body=WICKED, status=one) for one in ("draft", "sent"))
    delivery = MessageDeliveryFactory(
        message=sent, guest=guest, status="failed", error=WICKED, next_attempt_at=timezone.now()
    )
    audit = UserLinkAudit.objects.filter(guest=guest).first()
    pages = [reverse("admin:index"), reverse(REQUESTS), reverse("admin:events_userprofile_changelist")]
    messaging = (guest, draft, sent, delivery, audit)
    pages += [change_page(row) for row in (event, request, person, room, session, link, *messaging)]
    pages += [page.replace("/change/", "/history/") for page in pages if page.endswith("/change/")]
    pages += [reverse("admin:requests_joinrequest_act", args=[request.pk, "decline"])]
    pages += [reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_changelist") for row in messaging]
    pages += [reverse("admin:messaging_message_preview", args=[draft.pk])]
    pages += [reverse("admin:messaging_message_progress", args=[sent.pk])]
    pages += [reverse("admin:messaging_eventguest_act", args=[guest.pk, name]) for name in ("link", "unlink")]
    for page in pages:
        response = desk.get(page)
        assert response.status_code == 200, page
        html = response.content.decode()
        assert WICKED not in html and "<b>Doe" not in html, page
    Event.objects.filter(pk=event.pk).update(status="cancelled")
    response = desk.post(reverse(REQUESTS), {"action": "approve", "_selected_action": [request.pk]}, follow=True)
    html = response.content.decode()
    assert "&lt;script&gt;" in html and WICKED not in html


@pytest.mark.django_db
def test_long_names_are_shown_whole(desk, event):
    name = "Wolfeschlegelsteinhausenbergerdorff-Maximiliana Aurelia Xanti"
    assert len(name) > 60
    person = UserProfileFactory(first_name=name, last_name="O'Neill")
    request = JoinRequestFactory(event=event, user_profile=person)
    for page in (reverse(REQUESTS), change_page(request), change_page(person)):
        assert name in desk.get(page).content.decode(), page


@pytest.mark.django_db
def test_exports_hold_no_formulas(desk, event):
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']
    for number, formula in enumerate(formulas):
        person = UserProfileFactory(first_name=formula, last_name="Doe", email=f"p{number}@example.org")
        JoinRequestFactory(event=event, user_profile=person, comments=formula)
        AttendeeFactory(event=event, user_profile=person, goals=formula)
    for model in ("requests_joinrequest", "attendance_attendee"):
        page = reverse(f"admin:{model}_export")
        text = desk.post(page, {"format": "0"})
        assert text["Content-Type"] == "text/csv"
        rows = list(csv.DictReader(io.StringIO(text.content.decode("utf-8-sig"), newline="")))
        assert sorted(row["First name"] for row in rows) == sorted(f"'{one}" for one in formulas)
        book = openpyxl.load_workbook(io.BytesIO(desk.post(page, {"format": "1"}).content))
        cells = [cell for row in book.active.iter_rows(min_row=2) for cell in row if isinstance(cell.value, str)]
        assert len(cells) > len(formulas)
        for cell in cells:
            assert cell.data_type == "s" and not cell.value.startswith(("=", "+", "-", "@", "\t", "\r")), cell.value
        for row in rows:
            assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())


@pytest.mark.django_db
def test_no_file_is_made_of_a_filter_that_makes_no_sense(desk, event):
    page = reverse("admin:attendance_attendee_export")
    for ask in (desk.get, desk.post):
        assert ask(f"{page}?event__id__exact={event.pk}").status_code == 200
        assert ask(f"{page}?event__id__exact=none").status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["attendance_attendee", "events_event", "requests_joinrequest"])
def test_the_null_character_is_no_filter(desk, name):
    page = reverse(f"admin:{name}_changelist")
    assert desk.get(f"{page}?status__exact=%00").status_code == 400
    assert desk.get(f"{page}?q=%00").status_code == 200


@pytest.mark.django_db
def test_the_way_in_asks_for_an_address(client):
    text = client.get(reverse("admin:login")).content.decode()
    assert "E-mail" in text and "username" not in re.sub(r"<[^>]+>", "", text).lower()
    answer = client.post(reverse("admin:login"), {"username": "ada@example.org", "password": "wrong"})
    assert "Please enter the correct e-mail and password" in answer.content.decode()


# -- Speed ---------------------------------------------------------------------------------------------------

QUERIES = {
    "events.Organization": 5,
    "events.Membership": 5,
    "events.Event": 5,
    "events.Room": 5,
    "events.Speaker": 5,
    "events.Session": 7,
    "events.UserProfile": 5,
    "events.IntegrityResult": 5,
    "attendance.Attendee": 5,
    "attendance.AttendanceAudit": 4,
    "attendance.CheckIn": 4,
    "attendance.CheckInAttempt": 4,
    "attendance.CheckInPoint": 5,
    "attendance.DoorDevice": 6,
    "attendance.PointScale": 5,
    "messaging.EventGuest": 5,
    "messaging.Message": 5,
    "messaging.MessageDelivery": 4,
    "messaging.UserLinkAudit": 5,
    "messaging.ChannelState": 4,
    "messaging.OptOut": 4,
    "waffle.Switch": 5,
    "requests.JoinRequest": 5,
    "requests.InvitationLink": 5,
    "requests.Ban": 5,
    "requests.Mechanic": 7,
    "requests.ServiceSettings": 5,
    "requests.SessionRequest": 5,
}
"""Statements of each list for an owner (or a superuser, where only they see it), whatever the number of rows."""

OPERATORS = ("events.IntegrityResult", "messaging.ChannelState", "messaging.OptOut", "waffle.Switch")
FIXED = ("messaging.ChannelState", "waffle.Switch")
"""As many rows as there are channels and switches."""


def more_rows(owner, count):
    """``count`` more rows of everything, each with relations of its own."""
    for _number in range(count):
        organization = OrganizationFactory()
        Membership.objects.create(organization=organization, user_profile=owner, role="owner")
        event = EventFactory(organization=organization)
        room = RoomFactory(event=event)
        SessionFactory(event=event, room=room).speakers.add(SpeakerFactory(event=event))
        request = JoinRequestFactory(event=event)
        attendee = AttendeeFactory(event=event)
        point = CheckInPointFactory(event=event, kind="session", session=SessionFactory(event=event))
        device = DoorDeviceFactory(event=event, created_by=UserProfileFactory())
        device.points.add(point)
        scan = {"event": event, "point": point, "attendee": attendee, "device": device}
        CheckIn.objects.create(**scan, result="checked_in", checked_in_at=timezone.now())
        CheckInAttempt.objects.create(**scan, reason="point_closed")
        marking.mark(attendee_id=attendee.pk, status="present", actor=UserProfileFactory())
        PointScale.objects.create(organization=organization)
        service_request(event, mechanic=MechanicFactory(organization=organization, display_name=""))
        ServiceSettings.objects.create(organization=organization)
        linked = EventGuestFactory(event=event, user=UserProfileFactory(), linked_by=owner, linked_at=timezone.now())
        message = MessageFactory(event=event, status="sending", created_by=owner)
        MessageDeliveryFactory(message=message, guest=linked, next_attempt_at=timezone.now())
        to_person = {"guest": None, "user": attendee.user_profile, "next_attempt_at": timezone.now()}
        MessageDeliveryFactory(message=message, **to_person)
        OptOut.objects.create(channel="email", address=organization.slug, event=event, source="stop")
        InvitationLinkFactory(event=event, created_by=owner)
        Ban.objects.create(event=event, user_profile=request.user_profile, reason="Why", banned_by=owner)
        IntegrityResult.objects.create(name=organization.slug, level="healthy", violations=0, checked_at=timezone.now())


class Read(HTMLParser):
    """What a person reads of a page."""

    def __init__(self, html):
        super().__init__()
        self.words, self.unseen = [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.unseen = tag in ("script", "style")

    def handle_data(self, text):
        self.words += [] if self.unseen else text.split()


def words_of(html) -> str:
    return " ".join(Read(html).words)


@pytest.mark.django_db
def test_no_page_shows_what_was_meant_for_a_list(client):
    """A badge of a list is a key and its words; on a page of its own, the words alone."""
    operator = UserProfileFactory(is_superuser=True)
    more_rows(operator, 1)
    client.force_login(operator, backend=BACKEND)
    pages = {label: apps.get_model(label).objects.first() for label in QUERIES.keys() - {"messaging.ChannelState"}}
    seen = {label: words_of(client.get(change_page(row), follow=True).content.decode()) for label, row in pages.items()}
    assert {label: words for label, words in seen.items() if "('" in words} == {}
    assert {label: words for label, words in seen.items() if "['" in words} == {}
    assert "Status Waiting" in seen["messaging.MessageDelivery"]
    for model_admin in admin.site._registry.values():  # some badges are there in some cases only
        fields = flatten_fieldsets(model_admin.fieldsets or [(None, {"fields": model_admin.fields or []})])
        columns = [
            getattr(model_admin, name, None)
            for name in {*fields, *model_admin.readonly_fields}
            if name in dir(model_admin)
        ]
        assert [one for one in columns if hasattr(one, "label") or hasattr(one, "header")] == [], model_admin


@pytest.mark.django_db
def test_the_door_reads_an_attendees_name(client, event):
    attendee = AttendeeFactory(event=event, user_profile__first_name="Anna", user_profile__last_name="Ek")
    client.force_login(member(event.organization, "door"), backend=BACKEND)
    assert "Attendee Anna Ek Event" in words_of(client.get(change_page(attendee)).content.decode())


@pytest.mark.django_db
def test_lists_ask_the_same_number_of_questions_for_any_number_of_rows(client):
    owner, root = UserProfileFactory(), UserProfileFactory(is_superuser=True)
    asked = {}
    for count in (1, 2, 47):
        more_rows(owner, count)
        for model in admin.site._registry:
            label = model._meta.label
            if label not in QUERIES:
                assert model._meta.app_label not in ("events", "attendance", "messaging", "requests"), label
                continue
            client.force_login(root if label in OPERATORS else owner, backend=BACKEND)
            page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            client.get(page)  # content types and the like are asked for once a process
            with CaptureQueriesContext(connection) as queries:
                response = client.get(page)
            assert response.status_code == 200
            if label not in FIXED:
                assert len(response.context["cl"].result_list) >= min(count, 3) - 2
            asked.setdefault(label, []).append(len(queries))
    assert asked == {label: [number] * 3 for label, number in QUERIES.items()}


MANY = 50_000


@pytest.fixture
def many_requests(db, event):
    """50,000 requests, one in fifty pending, made by the database itself."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "INSERT INTO user_profiles (id, owner_id, password, first_name, last_name, photo_url, phone, "
            "email_verified, phone_verified, is_active, is_superuser, created_at, updated_at) "
            "SELECT gen_random_uuid(), 'many' || n, '', 'P' || n, 'X', '', '', false, false, true, false, now(), now() "
            "FROM generate_series(1, %s) AS n",
            [MANY],
        )
        cursor.execute(
            "INSERT INTO event_join_requests (id, event_id, owner_id, user_profile_id, status, plus_ones, comments, "
            "held, decided_at, created_at, updated_at) "
            "SELECT gen_random_uuid(), %s, owner_id, id, state, 0, '', false, "
            "CASE state WHEN 'pending' THEN NULL ELSE now() END, "
            "now() - interval '1 minute' * substr(owner_id, 5)::int, now() "
            "FROM user_profiles, LATERAL (SELECT CASE WHEN substr(owner_id, 5)::int %% 50 = 0 "
            "THEN 'pending' ELSE 'declined' END AS state) AS chosen WHERE owner_id LIKE 'many%%'",
            [event.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
        # Of all tables that the page reads: what other tests left in the statistics would choose the plan.
        cursor.execute("ANALYZE user_profiles, event_join_requests, events, organization_memberships")


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["superuser", "organizer"])
def test_the_list_of_requests_goes_by_its_index(client, event, organizer, many_requests, who):
    person = UserProfileFactory(is_superuser=True) if who == "superuser" else organizer
    client.force_login(person, backend=BACKEND)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(reverse(REQUESTS))
    rows = response.context["cl"].result_list
    assert [row.status for row in rows] == ["pending"] * 50
    assert [row.created_at for row in rows] == sorted((row.created_at for row in rows), reverse=True)
    (page,) = [one["sql"] for one in queries if "ORDER BY CASE" in one["sql"] and "LIMIT" in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) " + page)
        plan = cursor.fetchone()[0][0]["Plan"]
    found = json.dumps(plan)
    assert "join_requests_desk" in found and '"Sort"' not in found, found
    assert most_rows(plan) <= 5 * len(rows)


def most_rows(plan) -> int:
    """The rows that the busiest step of a plan went through."""
    here = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return max([here, *(most_rows(one) for one in plan.get("Plans", ()))])
