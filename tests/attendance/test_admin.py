"""Attendance at the organisers' desk: acts, the record, the door's set-up, exports, figures."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import openpyxl
import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from attendance.models import AttendanceAudit, Attendee, CheckIn, CheckInAttempt, CheckInPoint, DoorDevice, PointScale
from attendance.operations import check_in, devices, figures, marking
from events.models import Event
from requests.operations import removals
from tests.config.test_admin import Filled
from tests.factories import (
    AttendeeFactory,
    CheckInPointFactory,
    DoorDeviceFactory,
    EventFactory,
    JoinRequestFactory,
    SessionFactory,
    UserProfileFactory,
    member,
)

pytestmark = pytest.mark.django_db

BACKEND = "events.sign_in.EmailBackend"
LIST = reverse("admin:attendance_attendee_changelist")
ROLES = ("owner", "organizer", "viewer", "door")
ADDRESS = re.compile(r'id="enrol-address"[^>]* value="([^"]+)"')


@pytest.fixture
def desk(client, organizer):
    client.force_login(organizer, backend=BACKEND)
    return client


@pytest.fixture
def as_role(client, event):
    """``as_role("door")``: the admin as somebody of that role in the event's organisation."""

    def signed_in(role, organization=None):
        client.force_login(member(organization or event.organization, role), backend=BACKEND)
        return client

    return signed_in


def person(first_name, last_name="Doe", **fields):
    return UserProfileFactory(first_name=first_name, last_name=last_name, **fields)


def attendee(event, first_name="Jane", **fields):
    return AttendeeFactory(event=event, user_profile=person(first_name), **fields)


def act(client, name, rows, **data):
    return client.post(LIST, {"action": name, "_selected_action": [row.pk for row in rows], **data})


def confirmed(client, name, rows, **data):
    """As somebody does who reads the question and says yes to it."""
    form = Filled(act(client, name, rows).content.decode(), "act_form").data
    return client.post(LIST, form | {key: [value] for key, value in data.items()})


def read(html):
    """What stands on the page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def told(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def page_of(row, name="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=(row.pk,))


def text_of(client, address):
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def filled(client, address, form):
    return Filled(text_of(client, address), form).data


def scanner(event, **fields):
    return check_in.Scanner(event=event, name="A scanner", role="door", **fields)


def scan(event, *attendees, at=None, scanner_of=None, **fields):
    who = scanner_of or {"person": member(event.organization, "door")}
    scans = [check_in.Scan(ticket_code=one.ticket_code, scanned_at=at, **fields) for one in attendees]
    return check_in.check_in(scanner=scanner(event, **who), scans=scans)


# -- Marking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "words", "asks"),
    [
        ("mark_present", "present", "marked present", False),
        ("mark_late", "late", "marked late", False),
        ("mark_excused", "excused", "marked excused", True),
        ("mark_absent", "absent", "marked absent", True),
    ],
)
def test_each_status_is_marked_with_counts_a_reason_for_each_failure_and_the_audit(
    desk, event, organizer, name, status, words, asks
):
    one, already, removed = attendee(event, "Jane"), attendee(event, "Jill"), attendee(event, "John")
    marking.mark(attendee_id=already.pk, status=status, actor=organizer)
    removals.remove(attendee_id=removed.pk, actor=organizer, reason="Why")
    known = set(AttendanceAudit.objects.values_list("pk", flat=True))
    if asks:
        asked = act(desk, name, [one, already, removed])
        assert asked.status_code == 200 and b'name="notes"' in asked.content
        one.refresh_from_db()
        assert one.attendance_status == "unknown"

    response = act(desk, name, [one, already, removed], **({"act_form": "1", "notes": "So it was"} if asks else {}))

    # A note that is new is a change too, though not one of the status.
    counts = [f"2 {words}."] if asks else [f"1 {words}.", f"1 were {status} already."]
    assert told(response) == [
        *counts,
        "1 could not be changed. John Doe: This person was removed from the event: there is no attendance to mark.",
    ]
    one.refresh_from_db(), removed.refresh_from_db()
    assert (one.attendance_status, one.attendance_marked_by, one.attendance_source) == (status, organizer, "admin")
    assert one.attendance_notes == ("So it was" if asks else None)
    assert removed.attendance_status == "unknown"
    [row] = AttendanceAudit.objects.exclude(pk__in=known)
    assert (row.attendee, row.event, row.actor, row.device) == (one, event, organizer, None)
    assert (row.from_status, row.to_status, row.source) == ("unknown", status, "admin")
    assert (row.notes, row.marked_at) == (one.attendance_notes, one.attendance_marked_at)


def test_back_to_unknown_is_on_record_and_says_who(desk, event, organizer):
    one = attendee(event)
    scan(event, one)
    response = confirmed(desk, "mark_unknown", [one], notes="The wrong Jane")
    assert told(response) == ["1 back to unknown."]
    one.refresh_from_db()
    assert (one.attendance_status, one.attendance_marked_by) == ("unknown", organizer)
    assert list(AttendanceAudit.objects.order_by("pk").values_list("from_status", "to_status", "source", "notes")) == [
        ("unknown", "present", "scan", None),
        ("present", "unknown", "admin", "The wrong Jane"),
    ]
    assert CheckIn.objects.get().undone_by == organizer


MARKED = {"Ada": "present", "Bea": "excused", "Cleo": "excused", "Dora": "absent"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mark_present", "3 of them are marked already: 2 excused, 1 absent."),
        ("mark_late", "4 of them are marked already: 1 present, 2 excused, 1 absent."),
        ("mark_excused", "2 of them are marked already: 1 present, 1 absent."),
        ("mark_absent", "3 of them are marked already: 1 present, 2 excused."),
        ("mark_unknown", "4 of them are marked already: 1 present, 2 excused, 1 absent."),
    ],
)
def test_what_others_have_marked_is_told_before_a_selection_takes_it_away(desk, event, organizer, name, sentence):
    rows = [attendee(event, one) for one in (*MARKED, "Zoe")]
    for one, status in zip(rows, MARKED.values(), strict=False):
        marking.mark(attendee_id=one.pk, status=status, actor=organizer)

    def statuses():
        return [Attendee.objects.get(pk=one.pk).attendance_status for one in rows]

    before = statuses()

    asked = act(desk, name, rows)
    assert asked.context["warning"] == sentence and sentence in asked.content.decode()
    assert statuses() == before

    form = Filled(asked.content.decode(), "act_form").data
    marking.mark(attendee_id=rows[-1].pk, status="late", actor=organizer)
    again = desk.post(LIST, form)
    if name == "mark_late":  # nobody was marked otherwise since
        assert again.status_code == 302
    else:
        assert "1 late" in again.context["warning"] and statuses() == [*before[:-1], "late"]
        assert desk.post(LIST, Filled(again.content.decode(), "act_form").data).status_code == 302
    assert set(statuses()) == {name.removeprefix("mark_")}


@pytest.mark.parametrize("name", ["mark_present", "mark_late"])
def test_people_of_whom_nobody_has_said_anything_are_marked_at_once(desk, event, organizer, name):
    removed = attendee(event, "John")
    marking.mark(attendee_id=removed.pk, status="absent", actor=organizer)
    removals.remove(attendee_id=removed.pk, actor=organizer, reason="Why")
    rows = [attendee(event, "Ada"), attendee(event, "Bea"), removed]
    assert told(act(desk, name, rows))[0] == f"2 marked {name.removeprefix('mark_')}."


def test_an_empty_note_takes_none_away(desk, event, organizer):
    one = attendee(event)
    marking.mark(attendee_id=one.pk, status="excused", actor=organizer, notes="Ill")
    response = act(desk, "mark_excused", [one], act_form="1", notes="")
    assert told(response) == ["1 were excused already."]
    one.refresh_from_db()
    assert one.attendance_notes == "Ill"


def test_the_button_on_the_page_marks_and_stands_only_where_it_does_something(desk, event):
    one = attendee(event)
    assert ">Mark present</button>" in text_of(desk, page_of(one))
    address = reverse("admin:attendance_attendee_act", args=(one.pk, "mark_present"))
    assert desk.post(address).url == page_of(one)
    one.refresh_from_db()
    assert one.attendance_status == "present"
    assert ">Mark present</button>" not in text_of(desk, page_of(one))


@pytest.mark.parametrize("role", ["viewer", "door"])
def test_who_only_looks_or_stands_at_the_door_marks_nobody(as_role, event, role):
    one = attendee(event)
    client = as_role(role)
    assert "mark_present" not in text_of(client, LIST)
    act(client, "mark_present", [one])
    assert client.post(reverse("admin:attendance_attendee_act", args=(one.pk, "mark_present"))).status_code == 403
    assert client.get(reverse("admin:attendance_attendee_import")).status_code == 403
    one.refresh_from_db()
    assert one.attendance_status == "unknown" and not AttendanceAudit.objects.exists()


def test_attendees_of_others_are_not_there_to_be_marked(desk):
    stranger = attendee(EventFactory())
    act(desk, "mark_present", [stranger])
    assert desk.post(reverse("admin:attendance_attendee_act", args=(stranger.pk, "mark_present"))).status_code == 404
    stranger.refresh_from_db()
    assert stranger.attendance_status == "unknown"


# -- The list and the page of an attendee ----------------------------------------------------------------


def test_the_list_is_filtered_by_several_statuses_at_once(desk, event, organizer):
    rows = [attendee(event, name) for name in ("Ada", "Bea", "Cleo")]
    for one, status in zip(rows, ("present", "late", "absent"), strict=True):
        marking.mark(attendee_id=one.pk, status=status, actor=organizer)
    response = desk.get(f"{LIST}?attendance_status__exact=present&attendance_status__exact=late")
    assert {one.pk for one in response.context["cl"].result_list} == {rows[0].pk, rows[1].pk}


def test_the_page_tells_when_by_whom_and_through_what_in_the_events_zone(desk, event):
    one = attendee(event)
    device = DoorDeviceFactory(event=event, name="Tablet at the gate")
    scan(event, one, scanner_of={"device": device})
    Attendee.objects.filter(pk=one.pk).update(attendance_marked_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    text = text_of(desk, page_of(one))
    assert "Thu 2 Jul 2026, 00:30 CEST" in read(text)
    assert "Tablet at the gate (device)" in text


@pytest.mark.parametrize("name", ["attendee", "doordevice", "checkinattempt", "checkin", "attendanceaudit"])
def test_moments_are_the_events_in_every_list_and_on_every_page(desk, event, organizer, name):
    moment = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    one, device = attendee(event), DoorDeviceFactory(event=event, created_by=organizer)
    scan(event, one, scanner_of={"device": device})
    scan(event, one, at=timezone.now() - timedelta(days=40), scanner_of={"device": device})
    rows = {
        "attendee": Attendee.objects.all(),
        "doordevice": DoorDevice.objects.all(),
        "checkinattempt": CheckInAttempt.objects.all(),
        "checkin": CheckIn.objects.all(),
        "attendanceaudit": AttendanceAudit.objects.all(),
    }[name]
    if name == "checkinattempt":
        CheckInAttempt.objects.create(event=event, attendee=one, device=device, reason="point_closed")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # past the guards of the ledgers
        moments = {one.column for one in rows.model._meta.fields if one.get_internal_type() == "DateTimeField"}
        columns = moments - {"revoked_at"}
        cursor.execute(
            f"UPDATE {rows.model._meta.db_table} SET {', '.join(f'{column} = %s' for column in columns)}",
            [moment] * len(columns),
        )
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    row = rows.first()
    for address in (reverse(f"admin:attendance_{name}_changelist"), page_of(row)):
        text = read(text_of(desk, address))
        assert "Thu 2 Jul 2026, 00:30 CEST" in text
        assert not re.search(r"July \d|\d [ap]\.m\.", text), address


def test_pages_are_called_what_they_are(desk, event):
    assert "<title> Attendees | Turnout</title>" in re.sub(r"\s+", " ", text_of(desk, LIST)).replace(" </ti", "</ti")
    figures_of = desk.get(reverse("admin:attendance_attendee_figures", args=(event.pk,)))
    assert figures_of.context["title"] == f"{event.title}: attendance figures"


def test_the_record_of_an_attendee_is_read_and_not_written(desk, event, organizer):
    one = attendee(event)
    marking.mark(attendee_id=one.pk, status="excused", actor=organizer, notes="Called in ill")
    Attendee.objects.filter(pk=one.pk).update(attendance_status="present")
    text = text_of(desk, page_of(one))
    assert "attendance, from the record" in text.lower() and "Called in ill" in text
    [sql, by_hand] = AttendanceAudit.objects.all()
    assert (sql.source, by_hand.source) == ("sql", "admin") and ">nobody<" in re.sub(r"\s+", "", text)
    assert "audit-0-notes" not in text
    assert desk.post(page_of(one), {"audit-TOTAL_FORMS": "0", "audit-INITIAL_FORMS": "0"}).status_code == 403


def test_the_door_reads_the_status_and_nothing_of_the_record(as_role, event, organizer):
    one = attendee(event)
    marking.mark(attendee_id=one.pk, status="excused", actor=organizer, notes="Called in ill")
    client = as_role("door")
    for address in (LIST, page_of(one)):
        text = text_of(client, address)
        assert "Jane Doe" in text and "Excused" in text
        for hidden in ("Called in ill", one.user_profile.email, str(organizer), "from the record"):
            assert hidden not in text, hidden
    assert client.get(f"{LIST}?source__exact=invitation").status_code == 400


# -- Ledgers ---------------------------------------------------------------------------------------------


@pytest.fixture
def ledgers(event, organizer):
    """A row in each, about Jane Doe."""
    one = attendee(event)
    point = CheckInPointFactory(event=event, name="Workshop", kind="session")
    scan(event, one)
    scan(event, one, scanner_of={"device": DoorDeviceFactory(event=event), "point": point})
    removals.remove(attendee_id=one.pk, actor=organizer, reason="Why")
    scan(event, one, at=timezone.now() - timedelta(minutes=20))
    return AttendanceAudit.objects.get(), CheckIn.objects.get(point=point), CheckInAttempt.objects.get()


def test_ledgers_are_looked_at_only(desk, ledgers):
    for row in ledgers:
        before = type(row).objects.values().get(pk=row.pk)
        assert "Jane Doe" in text_of(desk, page_of(row))
        assert desk.post(page_of(row), {"notes": "other"}).status_code == 403
        assert desk.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
        add = reverse(f"admin:attendance_{row._meta.model_name}_add")
        assert desk.post(add, {}).status_code == 403
        assert type(row).objects.values().get(pk=row.pk) == before


def test_ledgers_show_the_own_organisation_to_who_looks(as_role, ledgers):
    for role in ROLES:
        for row in ledgers:
            address = reverse(f"admin:attendance_{row._meta.model_name}_changelist")
            own, other = as_role(role), EventFactory().organization
            if role == "door":
                assert own.get(address).status_code == 403
                assert own.get(page_of(row)).status_code == 403
                continue
            assert row in own.get(address).context["cl"].result_list
            stranger = as_role(role, other)
            assert list(stranger.get(address).context["cl"].result_list) == []
            assert stranger.get(page_of(row)).status_code == 404


def test_ledgers_are_never_counted(desk, ledgers):
    for row in ledgers:
        with CaptureQueriesContext(connection) as queries:
            desk.get(reverse(f"admin:attendance_{row._meta.model_name}_changelist"))
        assert not [query["sql"] for query in queries if "COUNT(" in query["sql"]]


def test_the_list_of_a_sessions_point_says_who_was_in_the_session(as_role, event, ledgers):
    _audit, in_session, _attempt = ledgers
    address = reverse("admin:attendance_checkin_changelist") + f"?point__id__exact={in_session.point_id}"
    assert list(as_role("viewer").get(address).context["cl"].result_list) == [in_session]


def test_a_refused_scan_of_somebody_inside_already_says_so(desk, event, ledgers):
    text = text_of(desk, reverse("admin:attendance_checkinattempt_changelist"))
    assert "Inside already" in text and "Inside?" in text and "Ticket of somebody removed" in text
    [attempt] = CheckInAttempt.objects.all()
    assert f"{attempt.code_hash[:10]}…" in text and attempt.code_hash not in text


def test_the_audit_is_found_by_name_and_status(desk, event, organizer):
    for name, status in (("Ada", "present"), ("Bea", "absent")):
        marking.mark(attendee_id=attendee(event, name).pk, status=status, actor=organizer)
    page = reverse("admin:attendance_attendanceaudit_changelist")
    for query in ("q=Ada", "to_status__exact=present", f"source__exact=admin&event__id__exact={event.pk}&q=Ada"):
        [row] = desk.get(f"{page}?{query}").context["cl"].result_list
        assert row.attendee.user_profile.first_name == "Ada"


# -- Points and devices -----------------------------------------------------------------------------------


def new_point(client, **data):
    times = {f"{name}_{part}": "" for name in ("opens_at", "closes_at") for part in (0, 1)}
    return client.post(reverse("admin:attendance_checkinpoint_add"), {"name": "A point", "kind": "door"} | times | data)


def test_a_point_is_of_a_session_of_its_own_event(desk, event):
    own, other = SessionFactory(event=event), SessionFactory(event=EventFactory(organization=event.organization))
    wrong = new_point(desk, event=event.pk, kind="session", session=other.pk)
    assert wrong.context["adminform"].form.errors == {"session": ["This session belongs to another event."]}
    assert not CheckInPoint.objects.exists()
    assert new_point(desk, event=event.pk, kind="session", session=own.pk).status_code == 302
    point = CheckInPoint.objects.get()
    assert (point.session, point.kind) == (own, "session")
    form = desk.get(page_of(point)).context["adminform"].form
    assert list(form.fields["session"].queryset) == [own]


def test_what_is_not_offered_is_not_taken_on_change_either(desk, event):
    point = CheckInPointFactory(event=event, kind="session", session=SessionFactory(event=event))
    other = SessionFactory(event=EventFactory(organization=event.organization))
    data = filled(desk, page_of(point), "checkinpoint_form") | {"session": [str(other.pk)]}
    assert desk.post(page_of(point), data).context["adminform"].form.errors.keys() == {"session"}
    assert CheckInPoint.objects.get().session != other


def new_device(client, **data):
    return client.post(reverse("admin:attendance_doordevice_add"), {"name": "Tablet", "at_door": "on"} | data)


def test_a_new_device_shows_its_code_at_once_and_until_it_is_used(desk, event, organizer, settings):
    settings.SITE_URL = "https://turnout.example"
    before = timezone.now()
    response = new_device(desk, event=event.pk)
    device = DoorDevice.objects.get()
    assert response.url == page_of(device)
    assert device.created_by == organizer
    assert before + devices.CODE_LASTS <= device.enrolment_expires_at <= timezone.now() + devices.CODE_LASTS

    text = text_of(desk, page_of(device))
    [address] = ADDRESS.findall(text)
    assert address == f"https://turnout.example/door/{event.pk}/#enrol={device.enrolment_code}"
    assert 'src="data:image/svg+xml' in text and "for 30 more minutes" in text

    devices.enrol(code=device.enrolment_code)
    text = text_of(desk, page_of(device))
    assert not ADDRESS.findall(text) and "data:image/svg+xml" not in text and device.enrolment_code not in text


def test_the_picture_is_of_the_address(desk, event):
    import segno

    device = DoorDeviceFactory(event=event)
    text = text_of(desk, page_of(device))
    [address], [picture] = ADDRESS.findall(text), re.findall(r'src="(data:image/svg[^"]+)"', text)
    drawn = segno.make(address, error="m", micro=False).svg_data_uri(scale=6, border=4, light="#fff")
    assert unquote(picture.replace("&#x27;", "'")) == unquote(drawn)


def test_a_code_that_has_expired_is_not_shown(desk, event):
    device = DoorDeviceFactory(event=event, enrolment_expires_at=timezone.now() - timedelta(seconds=1))
    text = text_of(desk, page_of(device))
    assert device.enrolment_code not in text and not ADDRESS.findall(text)
    assert "Code expired" in text_of(desk, reverse("admin:attendance_doordevice_changelist"))


def test_a_new_code_makes_the_old_token_worthless(desk, event):
    device, token = devices.enrol(code=DoorDeviceFactory(event=event).enrolment_code)
    assert "Registered" in text_of(desk, reverse("admin:attendance_doordevice_changelist"))
    address = f"/api/v1/events/{event.pk}/door/"
    carries = {"HTTP_AUTHORIZATION": f"Device {token}"}
    assert desk.get(address, **carries).status_code == 200
    desk.logout()
    desk.force_login(member(event.organization, "owner"), backend=BACKEND)

    desk.post(reverse("admin:attendance_doordevice_act", args=(device.pk, "new_code")), {"act_form": "1"})

    assert desk.get(address, **carries).status_code == 401
    device.refresh_from_db()
    assert device.enrolment_code in text_of(desk, page_of(device))
    assert "Waiting for its phone" in text_of(desk, reverse("admin:attendance_doordevice_changelist"))


def test_revoking_counts_at_once(desk, event):
    device, token = devices.enrol(code=DoorDeviceFactory(event=event).enrolment_code)
    waiting = DoorDeviceFactory(event=event)
    rows = {"_selected_action": [device.pk, waiting.pk], "action": "revoke", "act_form": "1"}
    response = desk.post(reverse("admin:attendance_doordevice_changelist"), rows)
    assert told(response) == ["2 devices revoked."]
    carries = {"HTTP_AUTHORIZATION": f"Device {token}"}
    assert desk.get(f"/api/v1/events/{event.pk}/door/", **carries).status_code == 401
    assert waiting.enrolment_code not in text_of(desk, page_of(waiting))
    rows["action"] = "new_code"
    [message] = told(desk.post(reverse("admin:attendance_doordevice_changelist"), rows))[-1:]
    assert message.startswith("2 could not be changed.") and "This device is revoked: make a new one." in message


def test_a_device_scans_at_points_of_its_own_event(desk, event):
    own = CheckInPointFactory(event=event)
    other = CheckInPointFactory(event=EventFactory(organization=event.organization))
    wrong = new_device(desk, event=event.pk, points=[own.pk, other.pk])
    assert wrong.context["adminform"].form.errors.keys() == {"points"}
    assert not DoorDevice.objects.exists()
    assert new_device(desk, event=event.pk, points=[own.pk]).status_code == 302
    device = DoorDevice.objects.get()
    assert list(device.points.all()) == [own]
    assert list(desk.get(page_of(device)).context["adminform"].form.fields["points"].queryset) == [own]


def test_a_device_scans_somewhere(desk, event):
    point = CheckInPointFactory(event=event)
    nowhere = new_device(desk, event=event.pk, at_door="")
    assert nowhere.context["adminform"].form.non_field_errors() == ["Choose the event's door or a point."]
    assert not DoorDevice.objects.exists()
    assert new_device(desk, event=event.pk, at_door="", points=[point.pk]).status_code == 302
    device = DoorDevice.objects.get()
    form = filled(desk, page_of(device), "doordevice_form")
    again = desk.post(page_of(device), form | {"points": []})
    assert again.context["adminform"].form.non_field_errors() == ["Choose the event's door or a point."]
    assert list(device.points.all()) == [point]


def test_a_new_device_is_offered_points_of_what_is_still_to_come_by_event(desk, event):
    over = EventFactory(organization=event.organization, starts_at=timezone.now() - timedelta(days=9))
    later = EventFactory(organization=event.organization, starts_at=event.starts_at + timedelta(days=9), title="Later")
    points = [CheckInPointFactory(event=one, name="Gate") for one in (later, over, event, EventFactory())]
    page = desk.get(reverse("admin:attendance_doordevice_add"))
    field = page.context["adminform"].form.fields["points"]
    assert [(key.value, label) for key, label in field.choices] == [
        (points[2].pk, f"{event.title}: Gate"),
        (points[0].pk, "Later: Gate"),
    ]


def test_a_revoked_device_is_a_record(desk, event, organizer):
    device = DoorDeviceFactory(event=event)
    assert 'name="name"' in text_of(desk, page_of(device))
    devices.revoke(device_id=device.pk, actor=organizer)
    text = text_of(desk, page_of(device))
    assert 'name="name"' not in text and device.name in text
    assert desk.post(page_of(device), {"name": "Other", "at_door": "on"}).status_code == 403
    device.refresh_from_db()
    assert device.name != "Other"


@pytest.mark.parametrize("role", ROLES)
def test_codes_are_for_organisers(as_role, event, role):
    device = DoorDeviceFactory(event=event)
    answer = as_role(role).get(page_of(device))
    if role in ("owner", "organizer"):
        assert device.enrolment_code in answer.content.decode()
    else:
        assert answer.status_code == 403
    history = as_role(role).get(page_of(device, "history"))
    assert device.enrolment_code not in history.content.decode()
    assert as_role("owner", EventFactory().organization).get(page_of(device)).status_code == 404


def test_points_for_attendance_are_one_row_an_organisation(desk, event):
    worth = {"present": "20", "late": "10", "excused": "0", "absent": "-10"}
    page = reverse("admin:attendance_pointscale_add")
    assert desk.post(page, worth | {"organization": event.organization_id}).status_code == 302
    assert desk.post(page, worth | {"organization": event.organization_id}).status_code == 200
    scale = PointScale.objects.get()
    assert (scale.organization, scale.present, scale.absent) == (event.organization, 20, -10)
    other = EventFactory().organization
    assert desk.post(page, worth | {"organization": other.pk}).status_code == 200
    assert PointScale.objects.count() == 1


# -- The event's form and page --------------------------------------------------------------------------------


def save_event(client, event, **data):
    form = filled(client, page_of(event), "event_form")
    return client.post(page_of(event), form | {name: [value] for name, value in data.items()})


def test_lateness_and_grace_are_minutes(desk, event):
    form = filled(desk, page_of(event), "event_form")
    assert (form.get("late_after", [""]), form["auto_absence_grace"]) == ([""], ["30"])
    assert save_event(desk, event, late_after="15", auto_absence_grace="0").status_code == 302
    event.refresh_from_db()
    assert (event.late_after, event.auto_absence_grace) == (timedelta(minutes=15), timedelta(0))
    form = filled(desk, page_of(event), "event_form")
    assert (form["late_after"], form["auto_absence_grace"]) == (["15"], ["0"])
    assert save_event(desk, event, late_after="").status_code == 302
    event.refresh_from_db()
    assert event.late_after is None


def test_a_new_event_waits_half_an_hour_before_absence_is_marked(desk, event):
    form = desk.get(reverse("admin:events_event_add")).context["adminform"].form
    assert form["auto_absence_grace"].value() == 30


def test_seconds_that_came_by_another_way_stay_when_something_else_is_saved(desk, event):
    Event.objects.filter(pk=event.pk).update(late_after=timedelta(seconds=90))
    assert save_event(desk, event, title="Another title").status_code == 302
    event.refresh_from_db()
    assert (event.title, event.late_after) == ("Another title", timedelta(seconds=90))


def test_who_only_looks_reads_minutes_too(as_role, desk, event):
    save_event(desk, event, late_after="15")
    for address in (
        page_of(event),
        reverse("admin:events_event_simple_history", args=(event.pk, event.history.first().pk)),
    ):
        text = text_of(as_role("viewer"), address)
        assert "15 minutes" in text and "30 minutes" in text and "0:15:00" not in text


@pytest.mark.parametrize("minutes", ["-1", "43201", "1.5", "soon", "9" * 30])
def test_minutes_that_make_no_sense_are_refused_in_words(desk, event, minutes):
    response = save_event(desk, event, late_after=minutes)
    sentence = "Give minutes, from 0 to 43200 (30 days)."
    assert response.context["adminform"].form.errors == {"late_after": [sentence]}
    event.refresh_from_db()
    assert event.late_after is None


def glance(response):
    return {str(label): (str(value), url) for label, value, url in response.context["glance"]}


@pytest.mark.parametrize("role", ROLES)
def test_the_events_page_tells_who_is_in_and_leads_to_the_door(as_role, event, organizer, role):
    marking.mark(attendee_id=attendee(event, plus_ones=2).pk, status="late", actor=organizer)
    attendee(event, "Jill")
    figures_page = reverse("admin:attendance_attendee_figures", args=(event.pk,))
    expected = {
        "Checked in / expected": ("1 / 2", f"{LIST}?event__id__exact={event.pk}&status__exact=active"),
        "Door page": ("Open", f"/door/{event.pk}/"),
        "Attendance figures": ("Show", figures_page),
    }
    for label in {"viewer": ["Door page"], "door": ["Attendance figures"]}.get(role, []):
        expected.pop(label)
    seen = glance(as_role(role).get(page_of(event)))
    assert {label: seen.get(label) for label in expected} == expected
    assert expected.keys() == seen.keys() & {"Checked in / expected", "Door page", "Attendance figures"}
    client = as_role(role)
    assert len(client.get(expected["Checked in / expected"][1]).context["cl"].result_list) == 2


def test_a_persons_points_are_those_of_the_viewers_organisations(desk, event, organizer):
    jane = person("Jane")
    for status in ("present", "late"):
        one = AttendeeFactory(event=EventFactory(organization=event.organization), user_profile=jane)
        marking.mark(attendee_id=one.pk, status=status, actor=organizer)
    elsewhere = AttendeeFactory(user_profile=jane)
    marking.mark(attendee_id=elsewhere.pk, status="absent", actor=organizer)
    response = desk.get(page_of(jane))
    label = f"Points, {event.organization}"
    assert glance(response) == {label: ("15", f"{LIST}?q={jane.owner_id}")}
    assert len(desk.get(glance(response)[label][1]).context["cl"].result_list) == 2


# -- The overview ------------------------------------------------------------------------------------------------


def near(event):
    now = timezone.now()
    Event.objects.filter(pk=event.pk).update(starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=7))


@pytest.mark.parametrize("role", ROLES)
def test_the_overview_opens_the_door_of_events_that_are_on(as_role, event, organizer, role):
    link = f'href="/door/{event.pk}/"'
    client = as_role(role)
    assert "At the door" not in text_of(client, reverse("admin:index"))
    near(event)
    near(EventFactory(title="Of somebody else"))
    marking.mark(attendee_id=attendee(event).pk, status="present", actor=organizer)
    attendee(event, "Jill")
    text = text_of(client, reverse("admin:index"))
    assert "1 in, of 2 expected" in text and "Of somebody else" not in text
    assert (link in text) is (role != "viewer")
    assert ("/figures/" in text) is (role != "door")


# -- Export ------------------------------------------------------------------------------------------------------


def exported(client, kind="0"):
    return client.post(reverse("admin:attendance_attendee_export"), {"format": kind}).content


def test_the_export_has_what_organisers_expect_in_the_events_zone(desk, event, organizer):
    one = AttendeeFactory(event=event, user_profile=person("Jane", email="jane@example.org"), plus_ones=2)
    marking.mark(attendee_id=one.pk, status="excused", actor=organizer, notes="=1+1")
    Attendee.objects.filter(pk=one.pk).update(
        attendance_marked_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC), created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    attendee(event, "Zoe")
    rows = {row["First name"]: row for row in csv.DictReader(io.StringIO(exported(desk).decode("utf-8-sig")))}
    jane = rows["Jane"]
    assert list(jane)[:12] == [
        "First name",
        "Last name",
        "E-mail",
        "Event",
        "Status",
        "Plus ones",
        "Attendance",
        "Marked at",
        "Marked by",
        "Marked through",
        "Note on attendance",
        "Time zone",
    ]
    assert list(jane.values())[:12] == [
        "Jane",
        "Doe",
        "jane@example.org",
        event.title,
        "Attending",
        "2",
        "Excused",
        "2026-07-02 00:30",
        str(organizer),
        "Admin",
        "'=1+1",
        "Europe/Berlin",
    ]
    assert (jane["Came by"], jane["In since"]) == ("Invitation", "2026-01-01 01:00")
    assert [rows["Zoe"][name] for name in ("Attendance", "Marked at", "Marked by", "Marked through")] == [
        "Unknown",
        "",
        "",
        "",
    ]
    sheet = openpyxl.load_workbook(io.BytesIO(exported(desk, "1"))).active
    cells = {cell.value for row in sheet.iter_rows() for cell in row}
    assert {"'=1+1", "2026-07-02 00:30"} <= cells


def test_the_export_says_what_it_has_in_words(desk, event):
    attendee(event, "Ada", visibility_enabled=True)
    attendee(event, "Bea", visibility_enabled=False)
    page = reverse("admin:attendance_attendee_export")
    text = read(text_of(desk, page))
    assert "First name, Last name, E-mail, Event, Status, Plus ones, Attendance" in text
    assert "__" not in text and "visibility_enabled" not in text
    rows = {row["First name"]: row for row in csv.DictReader(io.StringIO(exported(desk).decode("utf-8-sig")))}
    assert [rows[name]["Visible in the room"] for name in ("Ada", "Bea")] == ["yes", "no"]
    book = openpyxl.load_workbook(io.BytesIO(exported(desk, "1")))
    assert book.sheetnames == ["Attendees"]
    assert {"yes", "no"} < {cell.value for row in book.active.iter_rows() for cell in row}
    for model, name in (("attendance_attendee", "attendees"), ("requests_joinrequest", "join-requests")):
        JoinRequestFactory(event=event)
        day = timezone.localdate().isoformat()
        for query, file in (("", f"{name}-{day}"), (f"?event__id__exact={event.pk}", f"{name}-{event.slug}-{day}")):
            answer = desk.post(reverse(f"admin:{model}_export") + query, {"format": "1"})
            assert answer["Content-Disposition"] == f'attachment; filename="{file}.xlsx"'


def test_the_export_asks_the_same_number_of_questions_for_one_and_three(desk, event, organizer):
    asked = []
    for count in (1, 2):
        for _number in range(count):
            one = AttendeeFactory(event=EventFactory(organization=event.organization))
            device = DoorDeviceFactory(event=one.event)
            scan(one.event, one, scanner_of={"device": device})
        exported(desk)
        with CaptureQueriesContext(connection) as queries:
            exported(desk)
        asked.append(len(queries))
    assert asked == [4, 4]


# -- Figures -----------------------------------------------------------------------------------------------------


def data_of(client, event, query=""):
    address = reverse("admin:attendance_attendee_figures_data", args=(event.pk,))
    return client.get(address + query)


def arrive(event, first_name, moment, *, status="present", actor, **fields):
    one = attendee(event, first_name, **fields)
    marking.mark(attendee_id=one.pk, status=status, actor=actor)
    Attendee.objects.filter(pk=one.pk).update(attendance_marked_at=moment)
    return one


@pytest.fixture
def kathmandu(event):
    """In a zone 5:45 ahead of UTC: 9:00 there is 3:15."""
    event.timezone = "Asia/Kathmandu"
    event.starts_at, event.ends_at = (datetime(2026, 5, 4, hour, 15, tzinfo=UTC) for hour in (3, 11))
    event.save()
    return event


def test_figures_are_exact(desk, kathmandu, organizer):
    event = kathmandu
    first = datetime(2026, 5, 4, 3, 17, tzinfo=UTC)  # 9:02 there
    arrive(event, "Ada", first, actor=organizer, plus_ones=2)
    arrive(event, "Bea", first + timedelta(minutes=2), actor=organizer)
    arrive(event, "Cleo", first + timedelta(minutes=31), status="late", actor=organizer)
    arrive(event, "Dora", first + timedelta(days=30), actor=organizer)
    for name, status in (("Eve", "absent"), ("Fay", "excused")):
        marking.mark(attendee_id=attendee(event, name).pk, status=status, actor=organizer)
    scanned = attendee(event, "Gina", plus_ones=1)
    scan(event, scanned, scanner_of={"device": DoorDeviceFactory(event=event, name="Tablet")})
    Attendee.objects.filter(pk=scanned.pk).update(attendance_marked_at=first)
    gone = arrive(event, "Hana", first, actor=organizer)
    removals.remove(attendee_id=gone.pk, actor=organizer, reason="Why")
    # An event that somebody else has held, one that was cancelled, and one to come.
    EventFactory(starts_at=event.starts_at)
    EventFactory(organization=event.organization, starts_at=event.starts_at, status="cancelled")
    EventFactory(organization=event.organization)
    found = data_of(desk, event, "?minutes=15").json()
    late = found["counts"]["late"]
    assert found == {
        "event": {"id": event.pk, "title": event.title, "timezone": "Asia/Kathmandu"},
        "counts": {
            "expected": 7,
            "here": 5,
            "present": 4,
            "late": 1,
            "excused": 1,
            "absent": 1,
            "unknown": 0,
            "people_expected": 10,
            "people_here": 8,
        },
        "minutes": 15,
        "arrivals": [
            {"at": "2026-05-04T09:00:00", "present": 3, "late": 0, "count": 3, "total": 3},
            {"at": "2026-05-04T09:15:00", "present": 0, "late": 0, "count": 0, "total": 3},
            {"at": "2026-05-04T09:30:00", "present": 0, "late": 1, "count": 1, "total": 4},
        ],
        "outside": 1,
        "points": [{"name": "The event's door", "number": 1}],
        "scanners": [{"name": "Tablet", "number": 1}],
        "events": [
            {
                "id": event.pk,
                "title": event.title,
                "day": "2026-05-04",
                "expected": 7,
                "here": 5,
                "present": 4,
                "late": late,
                "excused": 1,
                "absent": 1,
                "unknown": 0,
                "no_show_rate": 1 / 6,
            }
        ],
    }
    five = data_of(desk, event, "?minutes=5").json()
    assert [(one["at"][11:16], one["count"]) for one in five["arrivals"] if one["count"]] == [
        ("09:00", 3),
        ("09:30", 1),
    ]
    assert len(five["arrivals"]) == 7
    hour = data_of(desk, event, "?minutes=60").json()
    assert [(one["at"][11:16], one["count"], one["total"]) for one in hour["arrivals"]] == [("09:00", 4, 4)]


def test_buckets_widen_until_they_can_be_drawn(event, organizer):
    event.starts_at, event.ends_at = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3))
    event.save()
    for name, day in (("Ada", 2), ("Bea", 27)):
        arrive(event, name, datetime(2026, 1, day, 12, tzinfo=UTC), actor=organizer)
    assert (figures.arrivals(event).minutes, len(figures.arrivals(event).buckets)) == (24 * 60, 26)
    assert (figures.arrivals(event, 5).minutes, len(figures.arrivals(event, 5).buckets)) == (60, 601)


def test_nobody_has_come_yet(desk, event):
    found = data_of(desk, event).json()
    assert (found["arrivals"], found["outside"], found["points"], found["events"]) == ([], 0, [], [])
    assert "Nobody has been checked in yet." in text_of(
        desk, reverse("admin:attendance_attendee_figures", args=(event.pk,))
    )


def test_the_tables_say_what_the_pictures_show(desk, kathmandu, organizer):
    moment = datetime(2026, 5, 4, 3, 17, tzinfo=UTC)
    arrive(kathmandu, "Ada", moment, actor=organizer)
    arrive(kathmandu, "Bea", moment + timedelta(hours=1), status="late", actor=organizer)
    text = text_of(desk, reverse("admin:attendance_attendee_figures", args=(kathmandu.pk,)) + "?minutes=60")
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", text, re.S)]
    assert ["09:00", "1", "0", "1"] in rows and ["10:00", "0", "1", "2"] in rows
    assert "0 %" in text


def test_figures_cost_the_same_for_one_and_three(desk, event, organizer):
    asked = []
    for count in (1, 2):
        for _number in range(count):
            over = EventFactory(organization=event.organization, starts_at=timezone.now() - timedelta(days=9))
            marking.mark(attendee_id=attendee(over).pk, status="absent", actor=organizer)
            scan(event, attendee(event), scanner_of={"device": DoorDeviceFactory(event=event)})
        for name in ("figures", "figures_data"):
            address = reverse(f"admin:attendance_attendee_{name}", args=(event.pk,))
            desk.get(address)
            with CaptureQueriesContext(connection) as queries:
                assert desk.get(address).status_code == 200
            asked.append(len(queries))
    assert asked == [9, 9, 9, 9]


@pytest.mark.parametrize("name", ["figures", "figures_data"])
def test_figures_are_for_who_looks_after_the_event(as_role, event, name):
    address = reverse(f"admin:attendance_attendee_{name}", args=(event.pk,))
    for role in ROLES:
        assert as_role(role).get(address).status_code == (404 if role == "door" else 200)
        assert as_role(role, EventFactory().organization).get(address).status_code == 404
    assert as_role("owner").post(address).status_code == 405
    assert as_role("owner").get(f"{address}?minutes=7;drop").status_code == 200
