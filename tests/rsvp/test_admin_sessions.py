"""Sessions and their lines at the organisers' desk: every success and every failure is told."""

import threading
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from attendance.models import Attendee, CheckIn
from config.errors import SYSTEM
from events.importers import RoomItem, Schedule, SessionItem
from events.models import Session
from events.operations import schedules
from rsvp.models import RsvpSettings, SessionLine, SessionRsvp, WaitlistEntry, WaitlistLog
from rsvp.operations import line, reserving
from tests.factories import (
    AttendeeFactory,
    CheckInPointFactory,
    EventFactory,
    RoomFactory,
    SessionFactory,
    SessionRsvpFactory,
    UserProfileFactory,
    WaitlistEntryFactory,
    crowd,
    member,
)

pytestmark = pytest.mark.django_db

LIST, LINE = "/admin/events/session/", "/admin/rsvp/waitlistentry/"


@pytest.fixture
def desk(client, event, organizer):
    client.force_login(organizer, backend="events.sign_in.EmailBackend")
    return client


@pytest.fixture
def session(event):
    return SessionFactory(event=event, title="Sails", capacity=2)


def page_of(session, act=""):
    return f"{LIST}{session.pk}/" + (f"act/{act}/" if act else "change/")


def told(response):
    return [str(message) for message in get_messages(response.wsgi_request)][-2:]


def named(first, last="Doe"):
    return UserProfileFactory(first_name=first, last_name=last)


def seat(session, first="Jane", **fields):
    return SessionRsvpFactory(session=session, attendee__user_profile=named(first), **fields)


def waits(session, first="Wanda", **fields):
    return WaitlistEntryFactory(session=session, attendee__user_profile=named(first), **fields)


def taken(session):
    session.refresh_from_db()
    return session.capacity, session.seats_taken, session.waitlist_length


def over(session):
    """An hour ago."""
    now = timezone.now()
    Session.objects.filter(pk=session.pk).update(starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
    session.refresh_from_db()
    return session


def queries(client, address):
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert client.get(address).status_code == 200
    return len(asked)


# -- The list ----------------------------------------------------------------------------------------------


def test_the_list_says_how_full_sessions_are(desk, event, session):
    session.room = RoomFactory(event=event, name="Small", capacity=1)
    session.save()
    seat(session)
    entry = waits(session)
    waits(session)
    line.offer(entry_id=entry.pk, actor=None)
    unlimited = SessionFactory(event=event, title="Open air")
    seat(unlimited)
    html = " ".join(unescape(desk.get(LIST).content.decode()).split())
    assert '<span class="turnout-seats turnout-full"><meter min="0" max="2" value="2" aria-hidden="true">' in html
    assert '2 / 2 <span class="turnout-unseen">(full)</span>' in html
    assert '<span class="turnout-seats">1 (no limit)</span>' in html
    assert 'aria-hidden="true">warning</span> 1 seat only</span>' in html
    rows = {row.pk: row for row in desk.get(LIST).context["cl"].result_list}
    assert [(rows[one.pk].waitlist_length, rows[one.pk].offers_standing) for one in (session, unlimited)] == [
        (1, 1),
        (0, 0),
    ]


def test_the_list_costs_the_same_for_any_number_of_sessions(desk, event):
    desk.get(LIST)
    counts = []
    for more in (1, 2, 97):
        for session in Session.objects.bulk_create(
            SessionFactory.build(event=event, capacity=5, room=RoomFactory(event=event)) for _ in range(more)
        )[:3]:
            seat(session)
            waits(session)
        counts.append(queries(desk, LIST))
    assert counts == [7, 7, 7]
    assert len(desk.get(LIST).context["cl"].result_list) == 50


def test_no_shows_are_those_who_were_not_there(desk, event, session):
    """By the scans at the session's own point, where there are any; else by who was absent from the event."""
    session.capacity = None
    session.save()
    came, missing, cancelled = seat(session), seat(session), seat(session, status="cancelled")
    SessionRsvp.objects.filter(pk=came.pk).update(seats=1)
    Attendee.objects.filter(pk__in=[came.attendee_id, cancelled.attendee_id]).update(
        attendance_status="absent", attendance_marked_at=timezone.now(), attendance_source="sql"
    )

    def no_shows():
        [row] = desk.get(LIST).context["cl"].result_list
        return row.no_shows, [one.attendee_id for one in SessionRsvp.objects.no_shows()]

    assert no_shows() == (0, [])  # it hasn't begun
    over(session)
    assert no_shows() == (1, [came.attendee_id])
    point = CheckInPointFactory(event=event, kind="session", session=session)
    now = timezone.now()
    scan = CheckIn.objects.create(
        event=event, point=point, attendee=came.attendee, result="checked_in", checked_in_at=now
    )
    assert no_shows() == (1, [missing.attendee_id])
    CheckIn.objects.filter(pk=scan.pk).update(undone_at=now)
    assert no_shows() == (1, [came.attendee_id])
    html = desk.get(page_of(session)).content.decode()
    assert html.count("No-show") == 2  # the figure, and beside the name


def test_the_list_is_filtered_and_sorted(desk, event):
    now = timezone.now()
    small = RoomFactory(event=event, capacity=10)
    full = SessionFactory(event=event, title="Full", capacity=1, starts_at=now + timedelta(days=1))
    roomy = SessionFactory(event=event, title="Roomy", capacity=50, room=small, starts_at=now + timedelta(days=2))
    SessionFactory(event=event, title="Free", starts_at=now + timedelta(days=3))
    over(SessionFactory(event=event, title="Past", capacity=5, room=small))
    for one in (full, roomy):
        seat(one)
    waits(full)

    def found(query):
        return [row.title for row in desk.get(LIST + query).context["cl"].result_list]

    assert found("?seats=full") == ["Full"]
    assert found("?seats=free") == ["Past", "Roomy"]
    assert found("?seats=unlimited") == ["Free"]
    assert found("?line_is=waiting") == ["Full"]
    assert found("?line_is=none") == ["Past", "Roomy", "Free"]
    assert found("?room_is=too_small") == ["Roomy"]
    assert found("?day=over") == ["Past"] and found("?day=now") == []
    assert found("?day=ahead") == ["Full", "Roomy", "Free"]
    day = roomy.starts_at.astimezone(event.zone).date().isoformat()
    assert found(f"?event__id__exact={event.pk}&day={day}") == ["Roomy"]
    assert len(found("?seats=x&line_is=x&room_is=x&day=x")) == len(found(f"?event__id__exact={event.pk}&day=x")) == 4
    assert found("?o=-5")[-2:] == ["Roomy", "Past"]  # fullest first, those without a limit before
    assert found("?o=-6")[0] == "Full"


# -- The page ------------------------------------------------------------------------------------------------


def test_the_page_names_who_has_a_seat_and_who_waits(desk, event, session, organizer):
    first = seat(session, "Anna")
    added = seat(session, "Olaf", source="organizer")
    entry = waits(session, "Walter")
    reserving.take_from(rsvp_id=added.pk, actor=organizer)
    entry.refresh_from_db()
    line.accept(entry_id=entry.pk, person=entry.attendee.user_profile)
    later, before = waits(session, "Lara"), waits(session, "Bea")
    line.prioritize(entry_id=before.pk, actor=organizer, priority=3)
    Session.objects.filter(pk=session.pk).update(capacity=3)
    line.offer(entry_id=later.pk, actor=organizer)
    response = desk.get(page_of(session))
    shown = response.context["sections"][0]
    assert [(str(one["row"].attendee), one["row"].place, one["row"].priority) for one in shown["line"]] == [
        ("Lara Doe", None, 0),
        ("Bea Doe", 1, 3),
    ]
    assert [[one["act"].name for one in row["acts"]] for row in shown["line"]] == [
        ["skip", "prioritize", "remove"],
        ["offer", "skip", "prioritize", "remove"],
    ]
    assert shown["line"][0]["until"] and shown["line"][1]["until"] is None
    assert [(str(one["row"].attendee), one["came_by"][0]) for one in shown["seats"]] == [
        ("Anna Doe", "RSVP"),
        ("Walter Doe", "From the line"),
    ]
    words = shown["seats"][1]["came_by"][1]
    assert words.startswith("waited since ") and ", offered " in words and ", accepted " in words
    assert f"/admin/attendance/attendee/{first.attendee_id}/change/" in response.content.decode()
    figures = {str(label): value for label, value, _url in response.context["glance"]}
    assert figures["Seats taken"] == "3 / 3" and figures["Waiting"] == 1 and figures["Offers standing"] == 1


def test_a_seat_that_was_confirmed_at_once_says_so(desk, event, session):
    RsvpSettings.objects.create(event=event, waitlist_mode="auto_confirm")
    rsvps = [seat(session), seat(session)]
    waits(session, "Walter")
    reserving.take_from(rsvp_id=rsvps[0].pk, actor=None)
    shown = desk.get(page_of(session)).context["sections"][0]["seats"]
    assert shown[1]["came_by"][0] == "From the line" and shown[1]["came_by"][1].endswith(", confirmed at once")


def test_the_page_costs_the_same_for_any_number_of_people(desk, event, session):
    Session.objects.filter(pk=session.pk).update(capacity=200)
    desk.get(page_of(session))  # kinds of content are looked up once a process
    counts = []
    for more in (1, 2, 60):
        crowd(event, 2 * more)
        new = list(Attendee.objects.filter(event=event, rsvps=None, waitlist=None))
        for kind, half in ((SessionRsvp, new[:more]), (WaitlistEntry, new[more:])):
            kind.objects.bulk_create(kind(session=session, event=event, attendee=one) for one in half)
        counts.append(queries(desk, page_of(session)))
    assert counts == [21, 21, 23]  # 50 are shown, and the others counted
    shown = desk.get(page_of(session)).context["sections"][0]
    assert len(shown["line"]) == len(shown["seats"]) == 50
    assert shown["number_in_line"] == shown["number_of_seats"] == 63
    assert queries(desk, LINE) == 6


def test_the_line_in_order(desk, event, session, organizer):
    Session.objects.filter(pk=session.pk).update(capacity=0)
    first, second = waits(session, "Anna"), waits(session, "Bea")
    other = waits(
        SessionFactory(event=event, title="Another", starts_at=session.starts_at + timedelta(hours=1)), "Cleo"
    )
    line.prioritize(entry_id=second.pk, actor=organizer, priority=1)
    gone = waits(session, "Dora")
    line.remove(entry_id=gone.pk, actor=organizer)

    def found(query=""):
        return [(row.pk, row.place) for row in desk.get(LINE + query).context["cl"].result_list]

    assert found() == [(second.pk, 1), (first.pk, 2), (other.pk, 1)]
    assert found(f"?session__id__exact={session.pk}") == [(second.pk, 1), (first.pk, 2)]
    assert found("?state=left") == [(gone.pk, None)]
    assert len(found("?state=all")) == 4 and len(found("?state=x")) == 4
    assert found("?q=Bea") == [(second.pk, 1)]
    assert "By an organiser" in desk.get(f"{LINE}{gone.pk}/change/").content.decode()


# -- Acts on places in line ----------------------------------------------------------------------------------


def press(client, entry, act, session, **data):
    """The button on the session's page, and the page after it."""
    return client.post(f"{LINE}{entry.pk}/act/{act}/?back={page_of(session)}", data)


def sure(client, entry, act, session, **data):
    """Says first what is lost."""
    asked = press(client, entry, act, session, **data)
    assert asked.status_code == 200 and asked.context["back"] == page_of(session)
    return asked.context["warning"], press(client, entry, act, session, confirmed=asked.context["warning"], **data)


def test_buttons_come_back_to_the_session(desk, session, organizer):
    first, second = waits(session, "Anna"), waits(session, "Bea")
    response = press(desk, second, "offer", session)
    assert response.status_code == 302 and response.url == page_of(session)
    assert told(response) == ["Bea Doe · Sails: offered a seat."]
    assert taken(session) == (2, 1, 1)
    assert told(press(desk, second, "offer", session))[-1] == "Bea Doe · Sails: had an offer already."
    warning, response = sure(desk, second, "skip", session)
    assert warning.startswith("Bea Doe has waited since ") and warning.endswith("it goes to the next in line.")
    assert ", and goes behind everybody else in the line. Bea Doe was offered a seat, until " in warning
    assert told(response)[-1] == "Bea Doe · Sails: at the end of the line now."
    assert [WaitlistEntry.objects.get(pk=one.pk).status for one in (first, second)] == ["offered", "offered"]
    actors = WaitlistLog.objects.filter(entry=second, from_status="offered").values_list("actor", flat=True)
    assert set(actors) == {organizer.pk}


def test_priority_is_asked_for(desk, session):
    Session.objects.filter(pk=session.pk).update(capacity=0)
    waits(session, "Anna")
    entry = waits(session, "Bea")
    asked = press(desk, entry, "prioritize", session)
    assert asked.status_code == 200 and ">Set priority</button>" in asked.content.decode()
    response = press(desk, entry, "prioritize", session, act_form="1", priority="7")
    assert response.url == page_of(session) and told(response) == ["Bea Doe · Sails: priority set."]
    assert desk.get(f"{LINE}{entry.pk}/act/prioritize/").context["form"]["priority"].value() == 7
    with pytest.raises(line.NoPriority, match="from −1000 to 1000"):
        line.prioritize(entry_id=entry.pk, actor=None, priority=40000)
    assert [str(one.attendee) for one in WaitlistEntry.objects.in_order()] == ["Bea Doe", "Anna Doe"]
    for wrong in ("", "1001", "x"):
        assert press(desk, entry, "prioritize", session, act_form="1", priority=wrong).status_code == 200
    entry.refresh_from_db()
    assert entry.priority == 7


def test_removing_says_what_is_lost_and_a_second_click_that_it_was_done(desk, session):
    entry = waits(session, "Anna")
    warning, response = sure(desk, entry, "remove", session)
    assert warning == "Anna Doe loses their place in line; to join again is to start at its end."
    assert told(response) == ["Anna Doe · Sails: removed from the line."]
    assert taken(session) == (2, 0, 0)
    assert told(press(desk, entry, "remove", session))[-1] == "Anna Doe · Sails: out of the line already."
    for act, data in (("offer", {}), ("skip", {}), ("prioritize", {"act_form": "1", "priority": "1"})):
        response = press(desk, entry, act, session, **data)
        assert told(response)[-1] == (f"1 could not be changed. {entry}: This place in line is over: left the line."), (
            act
        )
    assert taken(session) == (2, 0, 0)


def test_the_list_acts_on_many_and_asks_first(desk, session):
    offered, first, second = (waits(session, name) for name in ("Olga", "Anna", "Bea"))
    line.offer(entry_id=offered.pk, actor=None)
    Session.objects.filter(pk=session.pk).update(capacity=1)
    keys = [offered.pk, first.pk]

    def run(action, **data):
        return desk.post(LINE, {"action": action, "_selected_action": keys, **data})

    asked = run("remove")
    assert asked.context["warning"] == (
        "2 people lose their place in line; to join again is to start at its end. "
        "1 of them was offered a seat: it goes to the next in line."
    )
    assert run("skip").context["warning"] == (
        "2 people go behind everybody else in the line, however long they have waited. "
        "1 of them was offered a seat: it goes to the next in line."
    )
    response = run("offer")
    assert told(response) == [
        "Olga Doe · Sails: had an offer already.",
        f"1 could not be changed. {first}: The session is full: 1 of 1 seats are taken, and 2 are waiting.",
    ]
    assert told(run("remove", confirmed=asked.context["warning"]))[-1] == "2 removed from the line."
    second.refresh_from_db()
    assert second.status == "offered"
    keys = [second.pk]
    assert told(run("prioritize", act_form="1", priority="2"))[-1] == "Bea Doe · Sails: priority set."


@pytest.mark.parametrize("back", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_the_way_back_leads_nowhere_else(desk, session, back):
    entry = waits(session)
    response = desk.post(f"{LINE}{entry.pk}/act/offer/?back={back}")
    assert response.url == f"{LINE}{entry.pk}/change/"


def test_a_seat_is_taken_away_for_the_line(desk, session):
    rsvps = [seat(session, "Jane"), seat(session, "Joe")]
    entry = waits(session, "Walter")
    [button] = desk.get(page_of(session)).context["sections"][0]["seats"][0]["acts"]
    asked = desk.post(button["url"], {"act_form": "1", "reason": "Somebody else's"})
    assert "1 seat in 1 session becomes free." in asked.context["warning"]
    data = {"act_form": "1", "reason": "Somebody else's", "confirmed": asked.context["warning"]}
    response = desk.post(button["url"], data)
    assert response.url == page_of(session)
    assert told(response) == ["Jane Doe · Sails: no seat any more."]
    entry.refresh_from_db()
    assert entry.status == "offered"
    assert [SessionRsvp.objects.get(pk=one.pk).status for one in rsvps] == ["cancelled", "confirmed"]


# -- Acts on sessions ----------------------------------------------------------------------------------------


def add(client, session, attendee, seats="1", reason="", **data):
    filled = {"act_form": "1", "attendee": str(attendee.pk), "seats": seats, "reason": reason, **data}
    return client.post(page_of(session, "add_person"), filled)


def test_somebody_is_added_by_hand(desk, event, session, organizer):
    jane = AttendeeFactory(event=event, user_profile=named("Jane"), plus_ones=1)
    assert desk.get(page_of(session, "add_person")).context["warning"] is None
    response = add(desk, session, jane, "2")
    assert response.url == page_of(session) and told(response) == ["Added Jane Doe."]
    assert taken(session) == (2, 2, 0)
    [rsvp] = SessionRsvp.objects.all()
    assert (rsvp.seats, rsvp.source, rsvp.status) == (2, "organizer", "confirmed")
    again = add(desk, session, jane, reason="Speaker")
    assert again.context["form"].errors == {"attendee": ["Jane Doe has a seat in this session already."]}
    joe = AttendeeFactory(event=event, user_profile=named("Joe"))
    asked = desk.get(page_of(session, "add_person"))
    assert asked.context["warning"] == "All 2 seats are taken: the capacity will be raised from 2 to 3."
    assert add(desk, session, joe, "2", "Speaker").context["form"].errors == {
        "seats": ["Joe Doe may have 1 seat at most: their own, and one for each plus-one."]
    }
    assert add(desk, session, joe).context["form"].errors == {
        "reason": ["Say why: there is no free seat, so that the capacity is raised."]
    }
    asked = add(desk, session, joe, reason="Speaker")
    assert asked.status_code == 200 and taken(session) == (2, 2, 0)
    response = add(desk, session, joe, reason="Speaker", confirmed=asked.context["warning"])
    assert told(response)[-1] == "Added Joe Doe. The capacity is now 3." and taken(session) == (3, 3, 0)
    record = session.history.first()
    assert (record.history_change_reason, record.history_user, record.capacity) == (
        "for Joe Doe: Speaker",
        organizer,
        3,
    )


def test_how_much_is_raised_is_what_was_said(desk, event, session):
    """Others who wait keep what is free; who has an offer needs no more than they are offered."""
    seat(session)
    first, second = waits(session, "Anna"), waits(session, "Bea")
    line.offer(entry_id=first.pk, actor=None)
    assert add(desk, session, first.attendee).status_code == 302
    assert taken(session) == (2, 2, 1)
    Session.objects.filter(pk=session.pk).update(capacity=5)
    asked = add(desk, session, AttendeeFactory(event=event, plus_ones=1), "2", "Guest")
    assert asked.context["warning"] == "1 person waits for a seat: the capacity will be raised from 5 to 7."
    assert add(desk, session, second.attendee).status_code == 302
    assert taken(session) == (5, 3, 0)
    assert [WaitlistEntry.objects.get(pk=one.pk).status for one in (first, second)] == ["accepted", "accepted"]


def test_only_attendees_of_the_event_can_be_added(desk, event, session, organizer):
    stranger = AttendeeFactory(event=EventFactory(organization=event.organization), user_profile=named("Zoe", "Far"))
    removed = AttendeeFactory(event=event, status="removed", user_profile=named("Zoe", "Gone"))
    here = AttendeeFactory(event=event, user_profile=named("Zoe", "Near"))
    for one in (stranger, removed):
        assert list(add(desk, session, one).context["form"].errors) == ["attendee"]
    asked = {"term": "Zoe", "app_label": "rsvp", "model_name": "sessionrsvp", "field_name": "attendee"}

    def offered(**more):
        return {one["text"] for one in desk.get("/admin/autocomplete/", asked | more).json()["results"]}

    field = desk.get(page_of(session, "add_person")).context["form"]["attendee"]
    assert f'data-ajax--url="/admin/autocomplete/?event={event.pk}"' in str(field)
    assert offered(event=event.pk) == {
        f"Zoe {last} · {one.user_profile.email}" for last, one in (("Gone", removed), ("Near", here))
    }
    assert len(offered()) == 3
    assert offered(event="x") == offered(event="9" * 30) == set()


def test_cancelling_says_whom_it_hits(desk, event, session):
    seat(session), seat(session)
    waits(session)
    page = page_of(session, "cancel")
    warning = "2 people have seats, 1 waits for one. All of them lose it, and are told."
    assert desk.get(page).context["warning"] == warning
    response = desk.post(page, {"act_form": "1", "reason": "The speaker is ill", "confirmed": warning})
    assert told(response) == ["Sails: cancelled."]
    assert taken(session) == (2, 0, 0) and session.status == "cancelled"
    assert session.history.first().history_change_reason == "The speaker is ill"
    assert set(SessionRsvp.objects.values_list("end_reason", flat=True)) == {"session_cancelled"}
    assert told(desk.post(page, {"act_form": "1", "reason": ""}))[-1] == "Sails: cancelled already."
    assert told(desk.post(page_of(session, "close_line")))[-1] == (
        "1 could not be changed. Sails: The session was cancelled."
    )
    acts = [one["act"].name for one in desk.get(page_of(session)).context["acts"]]
    assert acts == ["restore"]
    assert told(desk.post(page_of(session, "restore")))[-1] == "Sails: on again; whoever had a seat takes one anew."
    session.refresh_from_db()
    assert session.status == "scheduled"


def test_the_sessions_of_a_list_are_cancelled_together(desk, event, session):
    seat(session)
    other = SessionFactory(event=event)
    data = {"action": "cancel", "_selected_action": [session.pk, other.pk], "act_form": "1", "reason": ""}
    asked = desk.post(LIST, data)
    assert asked.context["warning"] == "1 person has a seat, 0 wait for one. All of them lose it, and are told."
    assert told(desk.post(LIST, data | {"confirmed": asked.context["warning"]})) == ["2 cancelled."]
    assert told(desk.post(LIST, data | {"action": "restore"}))[-1].startswith("2 on again")


def test_the_switches_of_a_line(desk, event, session):
    seat(session), seat(session)

    def offered():
        names = {one["act"].name for one in desk.get(page_of(session)).context["acts"]}
        return sorted(names & {"close_line", "open_line", "stop_offers", "start_offers"})

    def said():
        return desk.get(page_of(session)).context["sections"][0]["state"]

    assert offered() == ["close_line", "stop_offers"] and said() is None
    assert told(desk.post(page_of(session, "close_line")))[-1] == "Sails: closed to newcomers; whoever waits stays."
    assert told(desk.post(page_of(session, "close_line")))[-1] == "Sails: closed already."
    assert said() == "Nobody can join the line: it is closed."
    desk.post(page_of(session, "stop_offers"))
    own = SessionLine.objects.get(session=session)
    assert (own.is_open, own.offers_on) == (False, False)
    assert offered() == ["open_line", "start_offers"]
    entry = waits(session)
    Session.objects.filter(pk=session.pk).update(capacity=3)
    desk.post(page_of(session, "open_line"))
    entry.refresh_from_db()
    assert entry.status == "waiting"
    desk.post(page_of(session, "start_offers"))
    entry.refresh_from_db()
    assert entry.status == "offered" and said() is None
    RsvpSettings.objects.create(event=event, line_open=False, offers_on=False)
    assert said() == (
        "Nobody can join the lines of this event: its RSVP settings say so. "
        "Free seats of this event are handed on to nobody: its RSVP settings say so."
    )
    over(session)
    assert offered() == []


# -- The form ------------------------------------------------------------------------------------------------


def form_of(session, **changed):
    data = {"title": session.title, "abstract": "", "session_type": "", "track": "", "language": "", "url": ""}
    for name in ("starts_at", "ends_at"):
        moment = getattr(session, name).astimezone(session.event.zone)
        data |= {f"{name}_0": f"{moment:%Y-%m-%d}", f"{name}_1": f"{moment:%H:%M:%S}"}
    room = session.room_id or ""
    was = {"initial-title": session.title, "initial-capacity": session.capacity, "initial-room": room}
    data |= {f"initial-{name}": value for name, value in data.items()}
    for name in ("rsvp_opens_at", "rsvp_closes_at"):
        data |= {f"{name}_0": "", f"{name}_1": ""}
    return data | was | {"capacity": session.capacity, "room": room, "_continue": "1"} | changed


def test_a_capacity_below_what_is_taken_is_refused_with_the_figures(desk, event, session):
    Session.objects.filter(pk=session.pk).update(capacity=4)
    session.refresh_from_db()
    for _ in range(2):
        seat(session)
    line.offer(entry_id=waits(session).pk, actor=None)
    response = desk.post(page_of(session), form_of(session, capacity="2"))
    assert response.context["adminform"].errors["capacity"] == [
        "3 seats are taken (2 by RSVPs, 1 held for an offer): the capacity can't be smaller."
    ]
    assert taken(session) == (4, 3, 0)
    assert desk.post(page_of(session), form_of(session, capacity="3")).status_code == 302
    assert taken(session) == (3, 3, 0)


def test_more_room_is_handed_on_at_once_and_a_small_room_is_told_of(desk, event, session):
    seat(session), seat(session)
    waiting = [waits(session) for _ in range(3)]
    session.room = RoomFactory(event=event, name="Cabin", capacity=3)
    session.save()
    response = desk.post(page_of(session), form_of(session, capacity="4"))
    assert response.status_code == 302
    said = [str(message) for message in get_messages(response.wsgi_request)]
    assert said[-3:-1] == [
        "2 people in line were offered seats.",
        "Cabin has 3 seats only: fewer than this session's capacity of 4.",
    ]
    assert taken(session) == (4, 4, 1)
    assert [WaitlistEntry.objects.get(pk=one.pk).status for one in waiting] == ["offered", "offered", "waiting"]
    RsvpSettings.objects.create(event=event, waitlist_mode="auto_confirm")
    response = desk.post(page_of(session), form_of(session, capacity="", room=""))
    said = [str(message) for message in get_messages(response.wsgi_request)]
    assert said[-3:-1] == [
        "1 person in line has a seat now.",
        "5 people have a seat or wait for one, and are told in about two minutes what changed.",
    ]


def test_a_room_that_is_too_small_is_named_when_somebody_is_added(desk, event, session):
    seat(session), seat(session)
    Session.objects.filter(pk=session.pk).update(room=RoomFactory(event=event, name="Cabin", capacity=2))
    assert desk.get(page_of(session)).context["sections"][0]["small_room"] is None
    joe = AttendeeFactory(event=event, user_profile=named("Joe"))
    asked = add(desk, session, joe, reason="x" * 60)
    response = add(desk, session, joe, reason="x" * 60, confirmed=asked.context["warning"])
    assert told(response)[-1] == "Added Joe Doe. The capacity is now 3; the room Cabin holds 2."
    sentence = "Cabin has 2 seats only: fewer than this session's capacity of 3."
    assert f'<p class="turnout-warning">{sentence}</p>' in unescape(desk.get(page_of(session)).content.decode())


def test_a_time_outside_the_events_is_asked_about_before_people_are_told(desk, event, session):
    seat(session), waits(session)
    late = (event.ends_at + timedelta(hours=1)).astimezone(event.zone)
    changed = {"ends_at_0": f"{late:%Y-%m-%d}", "ends_at_1": f"{late:%H:%M:%S}"}
    assert 'type="hidden" name="outside"' in desk.get(page_of(session)).content.decode()
    asked = desk.post(page_of(session), form_of(session, **changed))
    [sentence] = asked.context["adminform"].errors["outside"]
    assert sentence.startswith("The event is from ") and 'type="checkbox" name="outside"' in asked.content.decode()
    response = desk.post(page_of(session), form_of(session, **changed, outside="on"))
    assert response.status_code == 302
    assert told(response)[-2] == (
        "2 people have a seat or wait for one, and are told in about two minutes what changed."
    )
    session.refresh_from_db()
    assert session.ends_at > event.ends_at
    long_ago = {"rsvp_opens_at_0": "1800-01-01", "rsvp_opens_at_1": "10:00"}
    refused = desk.post(page_of(session), form_of(session, **long_ago))
    assert refused.context["adminform"].errors["rsvp_opens_at"] == ["That is too long ago: look at the year."]


def test_a_session_that_people_had_seats_in_is_not_deleted(desk, event, session):
    delete = f"{LIST}{session.pk}/delete/"
    link = f'href="{delete}"'
    assert link in desk.get(page_of(session)).content.decode()
    assert desk.get(delete).status_code == 200
    waits(session)
    assert link not in desk.get(page_of(session)).content.decode()
    response = desk.post(delete, {"post": "yes"})
    assert (response.url, told(response)) == (
        page_of(session),
        ["People took seats in it or waited for one, so that it can't be deleted: cancel it instead."],
    )


def test_a_long_reason_is_told_whole_and_its_beginning_kept_in_the_history(desk, event, session):
    seat(session)
    page = page_of(session, "cancel")
    asked = desk.get(page)
    assert "its beginning (100 characters) stands in" in unescape(asked.content.decode())
    desk.post(page, {"act_form": "1", "reason": "ill " * 50, "confirmed": asked.context["warning"]})
    assert session.changes.get().reason == ("ill " * 50).strip()
    kept = session.history.first().history_change_reason
    assert len(kept) == 100 and kept.endswith("…")


def test_the_status_is_changed_by_acts_only(desk, session):
    assert desk.post(page_of(session), form_of(session, status="cancelled")).status_code == 302
    session.refresh_from_db()
    assert session.status == "scheduled"


# -- Who may -------------------------------------------------------------------------------------------------


def test_viewers_look_and_others_see_nothing(client, event, session):
    rsvp, entry = seat(session), waits(session)
    stranger = member(EventFactory().organization, "owner")
    for person, expected in (
        (member(event.organization, "viewer"), 200),
        (member(event.organization, "door"), 404),
        (stranger, 404),
    ):
        client.force_login(person, backend="events.sign_in.EmailBackend")
        assert client.get(page_of(session)).status_code in ({expected} if expected == 200 else {403, 404})
        assert client.get(f"{LINE}{entry.pk}/change/").status_code in ({expected} if expected == 200 else {403, 404})
        if expected == 200:
            response = client.get(page_of(session))
            shown = response.context["sections"][0]
            assert [one["acts"] for one in (*shown["line"], *shown["seats"])] == [[], []]
            assert response.context["acts"] == []
        for page in (
            *(f"{LINE}{entry.pk}/act/{act}/" for act in ("offer", "skip", "remove", "prioritize")),
            *(page_of(session, act) for act in ("add_person", "cancel", "restore", "close_line", "stop_offers")),
        ):
            assert client.post(page, {"act_form": "1"}).status_code in ((403,) if expected == 200 else (403, 404))
    assert client.get(page_of(session)).status_code == client.get(f"{LINE}{entry.pk}/change/").status_code == 404
    assert list(client.get(LINE).context["cl"].result_list) == []
    entry.refresh_from_db()
    rsvp.refresh_from_db()
    assert (entry.status, rsvp.status, SessionLine.objects.count()) == ("waiting", "confirmed", 0)


# -- Imports -------------------------------------------------------------------------------------------------


def test_an_import_that_cancels_or_drops_a_session_ends_its_seats(event):
    def item(key, **fields):
        starts = event.starts_at
        return SessionItem(
            external_id=key, title=key, starts_at=starts, ends_at=starts + timedelta(hours=1), room="r", **fields
        )

    def load(*items, seats):
        room = RoomItem(external_id="r", name="Room", capacity=seats)
        schedule = Schedule(
            sessions=items,
            rooms=(room,),
            **dict.fromkeys(("speakers", "problems", "notes", "ignored"), ()),
            **dict.fromkeys(("format", "title", "slug", "description", "venue", "timezone"), ""),
            **dict.fromkeys(("starts_at", "ends_at")),
        )
        return schedules.import_schedule(
            organization=event.organization, schedule=schedule, actor=SYSTEM, event_id=event.pk
        )

    load(item("kept"), item("called off"), item("dropped"), item("waited for"), seats=50)
    Session.objects.filter(event=event).update(capacity=2)
    sessions = {one.external_id: one for one in Session.objects.filter(event=event)}
    for name in ("kept", "called off", "dropped"):
        seat(sessions[name]), seat(sessions[name])
    for name in ("called off", "dropped", "waited for"):
        waits(sessions[name])
    report = load(item("kept"), item("called off", cancelled=True), seats=1)
    assert {(one.external_id, one.cancelled) for one in report.gone} == {("dropped", True), ("waited for", True)}
    found = {name: (*taken(one), one.status) for name, one in sessions.items()}
    assert found == {
        "kept": (2, 2, 0, "scheduled"),
        "called off": (2, 0, 0, "cancelled"),
        "dropped": (2, 0, 0, "cancelled"),
        "waited for": (2, 0, 0, "cancelled"),
    }
    assert sessions["kept"].room_is_too_small


# -- Races ---------------------------------------------------------------------------------------------------


def while_locked(session, act, write):
    """``act`` on another connection, which has to wait for the session, while ``write`` is done and committed."""
    done = []

    def run():
        try:
            done.append(act())
        finally:
            connections.close_all()

    with transaction.atomic():
        Session.objects.select_for_update(no_key=True).get(pk=session.pk)
        thread = threading.Thread(target=run)
        thread.start()
        with connection.cursor() as cursor:
            for _ in range(200):
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    break
                thread.join(0.05)
            else:
                raise AssertionError("nobody waits")
        write()
    thread.join()
    return done[0]


@pytest.mark.django_db(transaction=True)
def test_two_offer_the_last_free_seat(event, organizer):
    session = SessionFactory(event=event, capacity=1)
    first, second = waits(session, "Anna"), waits(session, "Bea")
    client = Client()
    client.force_login(organizer, backend="events.sign_in.EmailBackend")
    response = while_locked(
        session,
        lambda: press(client, second, "offer", session),
        lambda: line.offer(entry_id=first.pk, actor=organizer),
    )
    assert told(response) == [
        f"1 could not be changed. {second}: The session is full: 1 of 1 seats are taken, and 1 are waiting."
    ]
    assert taken(session) == (1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_seat_is_taken_while_the_capacity_is_lowered(event, organizer):
    session = SessionFactory(event=event, capacity=2)
    seat(session)
    client = Client()
    client.force_login(organizer, backend="events.sign_in.EmailBackend")
    response = while_locked(
        session, lambda: client.post(page_of(session), form_of(session, capacity="1")), lambda: seat(session)
    )
    errors = response.context["adminform"].errors
    assert errors["__all__"] == ["The session is full."]
    assert errors["capacity"] == ["2 seats are taken (2 by RSVPs, 0 held for offers): the capacity can't be smaller."]
    assert taken(session) == (2, 2, 0)
