"""The organisers' desk for seats: who has one and what became of it, the record of the lines, settings, feedback."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import openpyxl
import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from events.models import Session
from events.operations import privacy
from messaging.models import Message
from rsvp.admin.rsvps import given_up
from rsvp.models import RsvpSettings, SessionFeedback, SessionRsvp, WaitlistEntry, WaitlistLog
from rsvp.operations import line, reserving
from tests.config.test_admin import Filled
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    SessionFactory,
    SessionRsvpFactory,
    WaitlistEntryFactory,
    member,
)

from .test_figures import over, rated

pytestmark = pytest.mark.django_db

BACKEND = "events.sign_in.EmailBackend"
RSVPS = reverse("admin:rsvp_sessionrsvp_changelist")
LOG = reverse("admin:rsvp_waitlistlog_changelist")
FEEDBACK = reverse("admin:rsvp_sessionfeedback_changelist")
SETTINGS = reverse("admin:rsvp_rsvpsettings_changelist")
NEW = reverse("admin:rsvp_rsvpsettings_add")


@pytest.fixture
def event(db):
    return EventFactory(status="published")


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    return client


@pytest.fixture
def talk(event):
    return SessionFactory(event=event, title="Keynote", capacity=1)


def page_of(row, name="change", *more):
    return reverse(f"admin:rsvp_{row._meta.model_name}_{name}", args=(row.pk, *more))


def read(response):
    assert response.status_code == 200
    html = response.content.decode().split('id="content"')[-1]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def told(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def rows(response) -> list:
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def queries(client, page, **asked):
    with CaptureQueriesContext(connection) as context:
        assert client.get(page, asked).status_code == 200
    return len(context)


def named(session, name, **columns):
    return AttendeeFactory(event=session.event, user_profile__first_name=name, user_profile__last_name="X", **columns)


def errors(response) -> dict:
    return {name: list(found) for name, found in response.context["adminform"].form.errors.items()}


# -- Seats -------------------------------------------------------------------------------------------


def test_seats_are_filtered_and_searched(desk, event, talk):
    other = SessionFactory(event=event, title="Workshop")
    anna, ben = (SessionRsvpFactory(session=one, attendee=named(one, name)) for one, name in
                 ((talk, "Anna"), (other, "Ben")))  # fmt: skip
    SessionRsvp.objects.filter(pk=ben.pk).update(status="cancelled", cancelled_at=timezone.now(), end_reason="own")
    SessionRsvpFactory()
    assert rows(desk.get(RSVPS)) == [ben, anna]
    assert rows(desk.get(RSVPS, {"event__id__exact": event.pk, "session__id__exact": str(talk.pk)})) == [anna]
    assert rows(desk.get(RSVPS, {"status__exact": "cancelled"})) == [ben]
    assert rows(desk.get(RSVPS, {"source__exact": "waitlist"})) == []
    assert rows(desk.get(RSVPS, {"q": "anna"})) == rows(desk.get(RSVPS, {"q": "keyn"})) == [anna]
    html = read(desk.get(RSVPS))
    for piece in ("Anna X", "Keynote", "Confirmed", "Cancelled", "By themselves", "RSVP"):
        assert piece in html, piece


def test_seats_are_only_looked_at(desk, talk):
    rsvp = SessionRsvpFactory(session=talk)
    assert desk.get(reverse("admin:rsvp_sessionrsvp_add")).status_code == 403
    assert desk.post(page_of(rsvp), {"status": "cancelled"}).status_code == 403
    assert desk.post(page_of(rsvp, "delete")).status_code == 403
    rsvp.refresh_from_db()
    assert rsvp.is_confirmed


def test_what_becomes_free_is_counted_in_seats(event):
    talks = SessionFactory.build_batch(2, event=event)
    family = [SessionRsvpFactory.build(session=one, seats=2, status="confirmed") for one in talks]
    assert given_up(family[:1]) == "2 seats in 1 session become free."
    assert given_up(family) == "4 seats in 2 sessions become free."


def test_a_seat_is_taken_away_with_a_reason_and_handed_on(desk, organizer, talk):
    rsvp = SessionRsvpFactory(session=talk, attendee=named(talk, "Anna"))
    entry = WaitlistEntryFactory(session=talk)
    page = page_of(rsvp, "act", "take_away")
    asked = read(desk.get(page))
    assert "1 seat in 1 session becomes free." in asked and "The person reads it." in asked
    refused = desk.post(page, {"act_form": "1", "reason": "", "confirmed": "1 seat in 1 session becomes free."})
    assert "This field is required." in read(refused)
    rsvp.refresh_from_db()
    assert rsvp.is_confirmed
    given = {"act_form": "1", "reason": "Double booked", "confirmed": "1 seat in 1 session becomes free."}
    response = desk.post(page, given)
    assert (response.status_code, told(response)) == (302, ["Anna X · Keynote: no seat any more."])
    rsvp.refresh_from_db()
    entry.refresh_from_db()
    assert (rsvp.status, rsvp.end_reason, entry.status) == ("cancelled", "organizer", "offered")
    assert "Double booked" in Message.objects.get(kind="session_changed").body
    assert 'act/take_away/"' not in desk.get(page_of(rsvp)).content.decode()


def test_seats_are_taken_from_several_at_once(desk, event, talk):
    big = SessionFactory(event=event, capacity=9)
    two = named(big, "Two", plus_ones=1)
    taken = [SessionRsvpFactory(session=talk), SessionRsvpFactory(session=big, attendee=two, seats=2)]
    chosen = {"action": "take_away", "_selected_action": [str(one.pk) for one in taken], "index": "0"}
    asked = read(desk.post(RSVPS, chosen))
    assert "3 seats in 2 sessions become free." in asked
    sentence = {"confirmed": "3 seats in 2 sessions become free.", "act_form": "1", "reason": "Closed"}
    desk.post(RSVPS, chosen | sentence)
    assert set(SessionRsvp.objects.values_list("status", flat=True)) == {"cancelled"}


def test_only_whoever_manages_takes_seats_away(client, event, talk):
    rsvp = SessionRsvpFactory(session=talk)
    client.force_login(member(event.organization, "viewer"), backend=BACKEND)
    assert client.get(page_of(rsvp)).status_code == 200
    assert client.post(page_of(rsvp, "act", "take_away"), {"act_form": "1", "reason": "No"}).status_code == 403
    client.force_login(member(event.organization, "door"), backend=BACKEND)
    assert client.get(RSVPS).status_code == 403
    client.force_login(member(EventFactory().organization, "owner"), backend=BACKEND)
    assert client.get(page_of(rsvp)).status_code == 404
    assert rows(client.get(RSVPS)) == []


def test_the_page_says_what_happened(desk, organizer, talk):
    """From the line to the seat and out again; with whom it was, where it was an organiser."""
    first = SessionRsvpFactory(session=talk)
    entry = WaitlistEntryFactory(session=talk, attendee=named(talk, "Anna"))
    line.prioritize(entry_id=entry.pk, actor=organizer, priority=2)
    person = entry.attendee.user_profile
    reserving.cancel(session_id=talk.pk, person=first.attendee.user_profile)
    line.accept(entry_id=entry.pk, person=person)
    reserving.cancel(session_id=talk.pk, person=person)
    rsvp = SessionRsvp.objects.get(attendee=entry.attendee)
    html = desk.get(page_of(rsvp)).content.decode().split('id="rsvp-steps"')[1].split("</table>")[0]
    cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", html)]
    assert sorted(zip(cells[1::3], cells[2::3], strict=True)) == sorted(
        [
            ("Joined the line, for 1 seat", "–"),
            ("Moved in the line: priority 2", organizer.get_full_name()),
            ("Offered 1 seat", "–"),
            ("Accepted", "–"),
            ("1 seat confirmed: From the line", "–"),
            ("Cancelled: By themselves", "–"),
        ]
    )
    assert {cell.split()[-1] for cell in cells[0::3]} <= {"CET", "CEST"}


def test_seats_are_exported_by_the_events_clock_and_safe_for_spreadsheets(desk, event, talk):
    Session.objects.filter(pk=talk.pk).update(title="=1+1")
    rsvp = SessionRsvpFactory(
        session=talk, attendee=named(talk, "@Anna"), rsvp_at=datetime(2026, 6, 3, 22, 30, tzinfo=UTC)
    )
    response = desk.post(reverse("admin:rsvp_sessionrsvp_export"), {"format": "0"})
    (row,) = csv.DictReader(io.StringIO(response.content.decode("utf-8-sig")))
    assert (row["First name"], row["Session"], row["Status"]) == ("'@Anna", "'=1+1", "Confirmed")
    assert (row["First RSVP"], row["Time zone"]) == ("2026-06-04 00:30", "Europe/Berlin")
    assert (row["E-mail"], row["Seats"], row["Came by"]) == (rsvp.attendee.user_profile.email, "1", "RSVP")
    response = desk.post(reverse("admin:rsvp_sessionrsvp_export"), {"format": "1"})
    sheet = openpyxl.load_workbook(io.BytesIO(response.content)).active
    assert [cell.value for cell in sheet[2]][:5] == [
        "'@Anna",
        "X",
        rsvp.attendee.user_profile.email,
        event.title,
        "'=1+1",
    ]


# -- The record of the lines -------------------------------------------------------------------------


def test_the_record_shows_each_step_and_whose_it_was(desk, event, organizer, talk):
    SessionRsvpFactory(session=talk)
    entry = WaitlistEntryFactory(session=talk, attendee=named(talk, "Anna"))
    line.prioritize(entry_id=entry.pk, actor=organizer, priority=2)
    line.remove(entry_id=entry.pk, actor=organizer)
    WaitlistEntryFactory()
    found = rows(desk.get(LOG, {"event__id__exact": event.pk}))
    assert [(one.from_status, one.to_status, one.actor) for one in found] == [
        ("waiting", "left", organizer),
        ("waiting", "waiting", organizer),
        (None, "waiting", None),
    ]
    assert rows(desk.get(LOG, {"session__id__exact": str(talk.pk), "to_status__exact": "left"})) == found[:1]
    assert rows(desk.get(LOG, {"q": "anna keyn"})) == found
    html = read(desk.get(LOG, {"q": "anna"}))
    assert "Anna X" in html and "Left the line" in html and "priority 2" in html
    assert "Moved in the line: priority 2" in read(desk.get(page_of(found[1])))
    assert desk.post(page_of(found[0]), {"to_status": "waiting"}).status_code == 403
    assert desk.get(reverse("admin:rsvp_waitlistlog_add")).status_code == 403


# -- Settings ----------------------------------------------------------------------------------------


def form_of(client, page) -> dict:
    response = client.get(page)
    assert response.status_code == 200
    return Filled(response.content.decode(), "rsvpsettings_form").data


def test_settings_are_made_from_the_events_page_and_lead_back_to_it(desk, event, organizer):
    home = reverse("admin:events_event_change", args=(event.pk,))
    shown = desk.get(home).content.decode()
    assert f'href="{NEW}?event={event.pk}"' in shown and "Offers hold 30 minutes" in shown
    form = form_of(desk, f"{NEW}?event={event.pk}")
    assert (form["event"], form["offer_ttl"], form["max_offers"]) == ([str(event.pk)], ["30"], ["2"])
    response = desk.post(NEW, form | {"offer_ttl": ["45"], "max_party_size": ["3"]})
    assert (response.status_code, response.url) == (302, home)
    assert told(response) == ["The RSVP settings are saved."]
    row = RsvpSettings.objects.get()
    assert (row.event, row.offer_ttl, row.max_party_size) == (event, timedelta(minutes=45), 3)
    assert row.history.get().history_user == organizer
    shown = desk.get(home).content.decode()
    assert f'href="{page_of(row)}"' in shown and "Offers hold 45 minutes" in shown
    response = desk.get(f"{NEW}?event={event.pk}")
    assert (response.status_code, response.url) == (302, page_of(row))
    assert errors(desk.post(NEW, form)) == {"event": ["RSVP settings with this Event already exists."]}


def test_settings_say_in_plain_words_what_is_wrong(desk, event):
    form = form_of(desk, f"{NEW}?event={event.pk}")
    sentence = "Give minutes, from 1 to 10080 (7 days)."
    for minutes in ("0", "10081", "soon"):
        assert errors(desk.post(NEW, form | {"offer_ttl": [minutes]})) == {"offer_ttl": [sentence]}
    assert list(errors(desk.post(NEW, form | {"max_offers": ["0"]}))) == ["max_offers"]
    assert list(errors(desk.post(NEW, form | {"max_party_size": ["52"]}))) == ["max_party_size"]
    assert not RsvpSettings.objects.exists()


@pytest.mark.parametrize(
    ("mode", "sentence", "status"),
    [
        ("offer", "2 people in line were offered a seat.", "offered"),
        ("auto_confirm", "2 people in line got a seat.", "accepted"),
    ],
)
def test_what_was_held_back_is_handed_on_when_settings_are_saved(desk, event, mode, sentence, status):
    row = RsvpSettings.objects.create(event=event, offers_on=False)
    session = SessionFactory(event=event, capacity=2)
    entries = [WaitlistEntryFactory(session=session) for _number in range(2)]
    form = form_of(desk, page_of(row))
    response = desk.post(page_of(row), form | {"waitlist_mode": [mode], "_continue": ["1"]})
    assert not any("in line" in one for one in told(response))
    response = desk.post(page_of(row), form_of(desk, page_of(row)) | {"offers_on": ["on"], "_continue": ["1"]})
    assert sentence in told(response)
    assert set(WaitlistEntry.objects.values_list("status", flat=True)) == {status}
    assert len(entries) == WaitlistLog.objects.filter(to_status=status).count()
    assert row.history.count() == (2 if mode == "offer" else 3)


def test_two_who_set_different_things_keep_both(desk, event):
    row = RsvpSettings.objects.create(event=event)
    form = form_of(desk, page_of(row))
    RsvpSettings.objects.filter(pk=row.pk).update(max_offers=5)
    assert desk.post(page_of(row), form | {"offer_ttl": ["10"]}).status_code == 302
    row.refresh_from_db()
    assert (row.offer_ttl, row.max_offers) == (timedelta(minutes=10), 5)


def test_viewers_read_settings_and_no_others(client, event):
    row = RsvpSettings.objects.create(event=event)
    client.force_login(member(event.organization, "viewer"), backend=BACKEND)
    assert "30 minutes" in read(client.get(page_of(row)))
    assert client.post(page_of(row), {"max_offers": "9"}).status_code == 403
    assert client.get(NEW).status_code == 403
    home = reverse("admin:events_event_change", args=(event.pk,))
    assert "Offers hold 30 minutes" in client.get(home).content.decode()
    client.force_login(member(EventFactory().organization, "owner"), backend=BACKEND)
    assert client.get(page_of(row)).status_code == 404


# -- Feedback ----------------------------------------------------------------------------------------


def test_feedback_is_read_with_its_average(desk, event):
    keynote, other = (over(SessionFactory(event=event, title=title, capacity=9)) for title in ("Keynote", "Other"))
    good = rated(keynote, 5, "Loved it", user_profile__first_name="Anna")
    bad = rated(keynote, 2)
    fair = rated(other, 3)
    response = desk.get(FEEDBACK, {"event__id__exact": event.pk})
    assert rows(response) == [fair, bad, good]
    html = read(response)
    assert "Average of these 3.3 of 3 ratings" in html
    for piece in ("5 ★★★★★", "2 ★★☆☆☆", "Loved it", "3.5 (2 ratings)", "3.0 (1 rating)", "Anna"):
        assert piece in html, piece
    only = desk.get(FEEDBACK, {"session__id__exact": str(keynote.pk), "rating": "5"})
    assert rows(only) == [good] and "Average of these 5.0 of 1 rating " in read(only)
    assert rows(desk.get(FEEDBACK, {"q": "loved"})) == [good]
    assert "Average of these" not in read(desk.get(FEEDBACK, {"q": "nothing of this"}))
    assert desk.post(page_of(good), {"comment": "Hated it"}).status_code == 403


def test_whoever_erased_themselves_has_no_name_on_their_feedback(desk, event):
    row = rated(over(SessionFactory(event=event, capacity=9)), 4, user_profile__first_name="Traceable")
    privacy.erase(person_id=row.attendee.user_profile_id, actor=row.attendee.user_profile)
    for page in (FEEDBACK, page_of(row), RSVPS):
        assert "Traceable" not in desk.get(page).content.decode()
    assert "(erased)" in desk.get(FEEDBACK).content.decode()


def test_feedback_is_exported(desk, event):
    row = rated(over(SessionFactory(event=event, title="Keynote", capacity=9)), 4, "=cmd()")
    SessionFeedback.objects.filter(pk=row.pk).update(created_at=datetime(2026, 1, 4, 9, tzinfo=UTC))
    response = desk.post(reverse("admin:rsvp_sessionfeedback_export"), {"format": "0"})
    (line_of,) = csv.DictReader(io.StringIO(response.content.decode("utf-8-sig")))
    assert (line_of["Session"], line_of["Rating"], line_of["Comment"]) == ("Keynote", "4", "'=cmd()")
    assert (line_of["Given"], line_of["E-mail"]) == ("2026-01-04 10:00", row.attendee.user_profile.email)


# -- The same number of queries ----------------------------------------------------------------------


def test_lists_and_pages_take_as_many_queries_for_one_row_as_for_three(desk, event):
    def fill(number):
        for _number in range(number):
            session = SessionFactory(event=event, capacity=1)
            SessionRsvpFactory(session=session)
            WaitlistEntryFactory(session=session)
            rated(over(SessionFactory(event=event, capacity=1)), 3)

    def counted():
        return {page.split("/")[-2]: queries(desk, page) for page in (RSVPS, LOG, FEEDBACK, SETTINGS)}

    fill(1)
    RsvpSettings.objects.create(event=event)
    once = counted()
    assert once == {"sessionrsvp": 4, "waitlistlog": 4, "sessionfeedback": 6, "rsvpsettings": 5}
    fill(2)
    RsvpSettings.objects.create(event=EventFactory(organization=event.organization))
    assert counted() == once
