"""Who changes what: all that can be posted to the admin, by every role of the own and of the other organisation."""

import itertools
import re
import uuid

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.postgres.fields import ArrayField
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from django.urls import reverse
from django.utils import timezone

from attendance.models import Attendee
from events.models import Event, Session
from messaging.models import Message, UserLinkAudit
from messaging.operations import announcements, planning
from requests.models import Mechanic
from rsvp.models import SessionLine, WaitlistEntry

from .roles import (
    ACTS,
    BOTH,
    GATHERINGS,
    GUESTS,
    IN_A,
    LISTS,
    MODELS,
    OF_ROW,
    OF_ROWS,
    OTHERS,
    OWN,
    POST_ONLY,
    A,
    B,
    Undone,
    allowed,
    assert_shows_only,
    given_away,
    label_of,
    pages_of,
    post_only,
    signed_in,
    snapshot,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quiet")]

# -- The admin, written to -----------------------------------------------------------------------------

FILLED = {"act_form": "1", "note": "changed", "reason": "changed", "plus_ones": "1", "seats": "1", "priority": "5"}
MADE_READY = {
    ("attendance.attendee", "show"): lambda: Attendee.objects.update(hidden_at=timezone.now()),
    ("events.event", "withdraw"): lambda: Event.objects.update(status="published"),
    ("events.session", "open_line"): lambda: lines(is_open=False),
    ("events.session", "start_offers"): lambda: lines(offers_on=False),
    ("events.session", "restore"): lambda: Session.objects.update(status="cancelled"),
    ("requests.mechanic", "start_duty"): lambda: Mechanic.objects.update(on_duty=False),
    ("requests.mechanic", "resume"): lambda: Mechanic.objects.update(on_duty=False, active=False),
    ("rsvp.waitlistentry", "offer"): lambda: WaitlistEntry.objects.update(status="waiting", offer_expires_at=None),
}
"""Acts that take back what another did: how rows must be before."""


def lines(**switches):
    SessionLine.objects.bulk_create(SessionLine(session=one, **switches) for one in Session.objects.all())


def attacks(world):
    """Everything that can be posted at A's rows: (address, data)."""
    for model, model_admin in admin.site._registry.items():
        label = label_of(model)
        if label not in MODELS:
            continue
        prefix = f"admin:{label.replace('.', '_')}"
        keys = [str(row.pk) for row in world.a.rows[label]]
        more = (*GATHERINGS.get(label, ()), "delete_selected", "export_admin_action")
        for name in (*(act.name for act in model_admin.all_acts), *more):
            data = {"action": name, "_selected_action": keys, "post": "yes", **filled(world)}
            yield reverse(f"{prefix}_changelist"), data
        if label in ACTS:
            page = reverse(f"{prefix}_changelist") + "?id__in=" + ",".join(keys)
            yield page, data | {"action": next(iter(ACTS[label])), "select_across": "1"}
        for row in world.a.rows[label][:1]:
            for _kind, _act, page in pages_of(label, row):
                yield page, {**form_of(world, row), "post": "yes", **filled(world), "_save": "1"}
        for page in post_only(label):
            yield page, {}
    for button in buttons(world):
        yield reverse("admin:messaging_message_preview", args=[world.a.draft.pk]), button


def filled(world) -> dict:
    chosen = {"person": world.a.people["met"], "attendee": world.a.attendees["own"]}
    chosen["mechanic_id"] = world.a.service.mechanic
    return FILLED | {name: str(row.pk) for name, row in chosen.items()}


def buttons(world):
    """Of a message's preview."""
    number = planning.summary(world.a.draft).recipients
    seen = {"seen": announcements.fingerprint(world.a.draft)}
    return {"test": "1"}, {"schedule": "1"} | seen, {"send": "1", "expected": str(number)} | seen


def form_of(world, row) -> dict:
    """What a change form of the row would post, with every text changed."""
    data = {}
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(field, models.DateTimeField) and value:
            data |= {f"{field.name}_0": str(value.date()), f"{field.name}_1": value.strftime("%H:%M:%S")}
        elif isinstance(field, models.DurationField) and value is not None:
            data[field.name] = str(int(value.total_seconds() // 60))
        elif isinstance(field, ArrayField):
            data[field.name] = value
        elif isinstance(field, (models.CharField, models.TextField)) and not field.choices and value:
            kept = ("timezone", "photo_url", "url", "phone", "email", "audience")
            data[field.name] = f"{value}x" if field.name not in kept else value
        elif value is not None:
            data[field.name] = str(value)
    data |= {"when": "now", "outside": "on"}  # of a message, and of a session at a time that its event hasn't
    if isinstance(row, Message):
        data["version"] = Message.objects.get(pk=row.pk).updated_at.isoformat()
    data |= {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1"}
    member = world.a.rows["events.membership"][0]
    return data | {"memberships-0-id": str(member.pk), "memberships-0-role": "viewer", "memberships-0-DELETE": "on"}


@pytest.mark.parametrize("letter", "dvODMWkx")
def test_nobody_writes_to_rows_that_they_may_not_change(world, letter):
    client = signed_in(world.people[letter])
    before = snapshot()
    for page, data in attacks(world):
        response = client.post(page, data)
        where = (letter, page, data.get("action"))
        looked_at = page.endswith("/progress/")  # never posted to
        assert response.status_code in (200, 302, 403, 404, *((405,) if looked_at else ())), where
        if re.search(r"/act/|/(delete|change|preview|try-again)/$|/history/\d+/$", page):
            assert response.status_code in ((302,) if letter in GUESTS else (403, 404)), where
        assert_shows_only(response, allowed(letter) if letter not in GUESTS else set(), where)
    assert snapshot() == before


@pytest.mark.parametrize("letter", "sor")
def test_those_who_may_do(world, letter):
    """The attacks above would change things: from the right hands they do."""
    client = signed_in(world.people[letter])
    for label, acts in ACTS.items():
        for act in acts:
            with Undone():
                keys = [str(row.pk) for row in world.a.rows[label]]
                data = {"action": act, "_selected_action": keys, **filled(world)}
                if ready := MADE_READY.get((label, act)):
                    ready()
                before = snapshot()
                address = reverse(f"admin:{label.replace('.', '_')}_changelist")
                if (label, act) in OF_ROW:
                    address = reverse(f"admin:{label.replace('.', '_')}_act", args=[keys[0], act])
                elif label == "messaging.message":
                    address += "?kind=all"
                response = client.post(address, data)
                if response.status_code == 200:  # some are marked already: the person is asked first
                    assert snapshot() == before, (label, act)
                    response = client.post(address, data | {"confirmed": response.context["warning"]})
                assert response.status_code == 302, (label, act)
                assert snapshot() != before, (label, act)
    for label, gatherings in GATHERINGS.items():
        for name in gatherings:
            with Undone():
                keys = [str(row.pk) for row in world.a.rows[label] if row.event_id == world.a.event.pk]
                address = reverse(f"admin:{label.replace('.', '_')}_changelist")
                response = client.post(address, {"action": name, "_selected_action": keys})
                made = Message.objects.order_by("pk").last()
                assert response.url == reverse("admin:messaging_message_change", args=[made.pk]), label
                assert (made.event, made.created_by) == (world.a.event, world.people[letter])
    for button in buttons(world):
        before = snapshot()
        with Undone():
            page = reverse("admin:messaging_message_preview", args=[world.a.draft.pk])
            assert client.post(page, button).status_code == 302, button
            assert snapshot() != before, button
    for label in (
        "events.event",
        "events.room",
        "events.session",
        "events.speaker",
        "attendance.checkinpoint",
        "attendance.doordevice",
        "messaging.eventguest",
        "messaging.message",
        "rsvp.rsvpsettings",
        "requests.mechanic",
        "requests.servicesettings",
    ):
        row = world.a.rows[label][0]
        before = snapshot()
        with Undone():
            response = client.post(
                reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk]), form_of(world, row)
            )
            assert response.status_code == 302, (label, response.context["adminform"].errors)
            assert snapshot() != before, label
    if letter == "s":
        for label in POST_ONLY:
            for page in post_only(label):
                before = snapshot()
                with Undone():
                    assert client.post(page).status_code == 302, page
                    assert snapshot() != before, page


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_messages_that_are_out(world, letter):
    """Their page is another than a draft's, and nobody changes or deletes them."""
    client = signed_in(world.people[letter])
    me = IN_A.get(letter, letter)
    before = snapshot()
    for row in world.a.rows["messaging.message"][1:7]:  # the last is a notice of the system
        for kind, act, page in pages_of("messaging.message", row):
            where = (letter, row.status, row.kind, page)
            response = client.get(page)
            assert_shows_only(response, allowed(letter), where)
            if me not in "sorv":
                assert response.status_code == (404 if kind != "delete" else response.status_code), where
                assert response.status_code in (403, 404), where
            elif kind == "delete" or act and me not in ACTS["messaging.message"][act]:
                assert response.status_code == 403, where
            else:
                assert response.status_code in (200, 302), where
            if kind in ("change", "delete"):
                response = client.post(page, {**form_of(world, row), "post": "yes", "_save": "1"})
                # Whoever may write finds what they wrote in the form of a new one; nothing is saved.
                writes = kind == "change" and row.kind == "announcement" and me in "sor"
                assert response.status_code in ((200, 302) if writes else (403, 404)), where
    for kind in ("change", "history", *OF_ROWS["messaging.message"]):
        page = reverse(f"admin:messaging_message_{kind}", args=[uuid.uuid4()])
        assert client.get(page).status_code == 404, (letter, page)
    assert snapshot() == before


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_candidates(world, letter):
    """Whom one could write to is for those to ask who write messages of that very event."""
    client = signed_in(world.people[letter])
    page = reverse("admin:messaging_message_candidates")
    for question in ({}, {"term": A[:-2]}):
        response = client.get(page, question | {"event": world.a.event.pk})
        assert response.status_code == (200 if letter in "sor" else 404), (letter, question)
        assert ({"guest", "ownguest", "first"} <= given_away(response)) == (letter in "sor"), (letter, question)
        assert letter in "sor" or not given_away(response)
        assert client.get(page, question | {"event": 99999999}).status_code == 404
        assert client.get(page, question).status_code == 404
    if letter in "ORMW":
        assert B in client.get(page, {"event": world.b.event.pk}).content.decode()
        assert client.get(page, {"event": world.b.event.pk, "term": A[:-2]}).json()["results"] == []
    assert client.post(page, {"event": world.a.event.pk}).status_code == 405


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_choices(world, letter):
    """The sessions of an event are for those to ask who write its messages."""
    client = signed_in(world.people[letter])
    page = reverse("admin:messaging_message_choices")
    response = client.get(page, {"of": "sessions", "event": world.a.event.pk})
    assert response.status_code == (200 if letter in "sor" else 404)
    assert given_away(response) == ({"session"} if letter in "sor" else set())
    assert client.get(page, {"of": "picked", "event": world.a.event.pk}).status_code == 404
    assert client.get(page).status_code == 404


@pytest.mark.parametrize("letter", "ORV")
def test_a_guest_who_is_a_person_of_the_other_organisation(world, letter):
    """That there is an account B's own number tells; whose it is, nothing does, on any page or in any file."""
    client = signed_in(world.people[letter])
    rows = [("messaging.eventguest", one) for one in world.b.strangers]
    rows += [("messaging.messagedelivery", world.b.theirs)]
    rows += [("messaging.userlinkaudit", one) for one in UserLinkAudit.objects.filter(guest__in=world.b.strangers)]
    assert len(rows) >= 6
    for label, row in rows:
        for _kind, _act, page in pages_of(label, row):
            response = client.get(page)
            assert response.status_code in (200, 302, 403), page
            assert given_away(response) == set(), (letter, page)
    for label in ("messaging.eventguest", "messaging.messagedelivery", "messaging.userlinkaudit"):
        prefix = f"admin:{label.replace('.', '_')}"
        for asked in ({}, {"q": "theirs"}, {"q": A[:-2]}):
            assert given_away(client.get(reverse(f"{prefix}_changelist"), asked)) == set()
        if "export" in LISTS.get(label, ()):
            written = client.post(reverse(f"{prefix}_export"), {"format": "0"})
            assert "theirs" in written.content.decode() and given_away(written) == set()
    assert given_away(client.get(reverse("admin:index"))) == set()
    for label, own, theirs in (
        ("messaging_eventguest", world.b.guest, world.a.guest),
        ("messaging_message", world.b.draft, world.a.draft),
    ):
        page = reverse(f"admin:{label}_simple_history", args=[own.pk, theirs.history.first().pk])
        assert client.get(page).status_code == 404, page


@pytest.mark.parametrize("letter", "ORW")
def test_no_guest_is_linked_to_a_person_of_others(world, letter):
    """Whoever isn't known to one's own organisation is refused like whoever isn't there."""
    client = signed_in(world.people[letter])
    before = snapshot()
    for guest in (world.b.guest, world.b.strangers[1]):
        page = reverse("admin:messaging_eventguest_act", args=[guest.pk, "link"])
        answers = []
        for key in (world.a.people["met"].pk, world.a.people["nameless"].pk, uuid.uuid4()):
            for field in ("person", "fits"):
                response = client.post(page, {"act_form": "1", field: str(key)})
                assert response.status_code == 200 and (letter == "W" or given_away(response) == set())
                answers.append((field, re.sub(str(key), "", response.context["form"].errors.as_json())))
        assert len(set(answers)) == 2, answers
    assert snapshot() == before


@pytest.mark.parametrize("letter", "ORW")
def test_no_seat_is_given_to_an_attendee_of_others(world, letter):
    client = signed_in(world.people[letter])
    before = snapshot()
    page = reverse("admin:events_session_act", args=[world.b.session.pk, "add_person"])
    answers = set()
    for key in (world.a.attendees["own"].pk, uuid.uuid4()):
        response = client.post(page, FILLED | {"attendee": str(key)})
        assert response.status_code == 200 and (letter == "W" or given_away(response) == set())
        answers.add(response.context["form"].errors.as_json())
    assert len(answers) == 1 and '"attendee"' in answers.pop()
    assert snapshot() == before


@pytest.mark.parametrize("letter", "ORW")
def test_forms_take_no_rows_of_others(world, letter):
    """Foreign keys of A in forms of B: refused like a key that doesn't exist, and nothing is told."""
    client = signed_in(world.people[letter])
    a, b = world.a, world.b
    when = {"starts_at_0": "2030-01-01", "starts_at_1": "10:00", "ends_at_0": "2030-01-01", "ends_at_1": "11:00"}
    named = {"name": "New", "title": "New", "slug": "new", "label": "New", "session_type": "", "role": "viewer"}
    named |= {"guest_name": "New", "body": "New", "when": "now", "audience": "picked", "_preview": "1"}
    settings = {"timezone": "UTC", "max_plus_ones": "0", "approval_mode": "manual", "visibility": "public"}
    foreign = {
        "event": a.event.pk,
        "organization": a.organization.pk,
        "room": a.room.pk,
        "speakers": a.rows["events.speaker"][0].pk,
        "session": a.session.pk,
        "points": a.point.pk,
        "user_profile": a.people["met"].pk,
        "email": a.people["met"].email,
        "picked": f"guest:{a.guest.pk}",
    }
    before = snapshot()
    told = []
    for label in (
        "events.event",
        "events.room",
        "events.speaker",
        "events.session",
        "events.membership",
        "requests.invitationlink",
        "attendance.checkinpoint",
        "attendance.doordevice",
        "attendance.pointscale",
        "messaging.eventguest",
        "messaging.message",
        "rsvp.rsvpsettings",
        "requests.mechanic",
        "requests.servicesettings",
    ):
        if (
            letter.lower() not in MODELS[label]["add"]
            and letter != "W"
            or label == "events.membership"
            and letter != "O"
        ):
            continue
        page = reverse(f"admin:{label.replace('.', '_')}_add")
        unknown = {name: uuid.uuid4() if isinstance(key, uuid.UUID) else 99999999 for name, key in foreign.items()}
        unknown |= {"email": foreign["email"], "picked": f"guest:{uuid.uuid4()}"}
        answers = []
        for keys in (foreign, unknown):
            response = client.post(page, {**named, **settings, **when, **keys})
            assert response.status_code == 200, (letter, page)
            said = response.context["adminform"].form.errors.as_json()
            answers.append(re.sub(r"choice\. \S+ is", "choice. It is", said))
            if "email" not in answers[-1] and label != "events.membership":
                assert given_away(response) <= {"email"}, page
        assert answers[0] and answers[0] == answers[1], page
        told.append(label)
    assert told
    answers = set()
    for chosen in (a.guest.pk, uuid.uuid4()), (a.people["met"].pk, uuid.uuid4()):
        for kind, key in itertools.product(("guest", "person"), chosen):
            data = {**named, "event": b.event.pk, "channels": ["in_app"], "picked": f"{kind}:{key}"}
            response = client.post(reverse("admin:messaging_message_add"), data)
            assert response.status_code == 200 and (letter == "W" or given_away(response) == set())
            answers.add(response.context["adminform"].form.errors.as_json())
    assert len(answers) == 1 and "other_event" in answers.pop()
    for label in ("events.session",):
        row = b.session
        page = reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk])
        response = client.post(page, {**form_of(world, row), "room": a.room.pk, "speakers": [foreign["speakers"]]})
        assert response.status_code == 200 and given_away(response) == set()
        assert set(response.context["adminform"].form.errors) == {"room", "speakers"}
    if letter == "O":
        # The inline of one's own organisation with a member of another.
        page = reverse("admin:events_organization_change", args=[b.organization.pk])
        own = {"name": b.organization.name, "slug": b.organization.slug}
        own |= {f"initial-{name}": value for name, value in own.items()}
        response = client.post(page, form_of(world, b.organization) | own)
        assert given_away(response) == set()
        # Django finds no such member in B, and saves the rest of the form: a line in the log, no more.
        LogEntry.objects.filter(user=world.people["O"]).delete()
    assert snapshot() == before


@pytest.mark.parametrize(
    ("model", "file", "asked"),
    [
        ("events_event", ("schedule.json", b"{}"), {"organization", "event"}),
        ("messaging_eventguest", ("guests.csv", b"Name,Email\nNew,new@example.org\n"), {"event"}),
    ],
)
@pytest.mark.parametrize("letter", "vdROVW")
def test_a_file_goes_into_no_other_organisation(world, letter, model, file, asked):
    client = signed_in(world.people[letter])
    page = reverse(f"admin:{model}_import")
    before = snapshot()
    answers = []
    for organization, event in ((world.a.organization.pk, world.a.event.pk), (99999999, 99999999)):
        sent = {"file": SimpleUploadedFile(*file), "organization": organization, "event": event, "bad_items": "skip"}
        response = client.post(page, sent)
        if letter in "vdV":
            assert response.status_code == 403
        else:
            assert response.status_code == 200
            answers.append(response.context["form"].errors.as_json())
            assert asked <= set(response.context["form"].errors)
        assert_shows_only(response, allowed(letter), letter)
    assert len(set(answers)) <= 1
    assert snapshot() == before


def test_a_short_name_that_is_taken_elsewhere_tells_no_more_than_that(world):
    """Addresses are one namespace: that a name is taken can't be hidden, by whom and for what is."""
    client = signed_in(world.people["O"])
    taken = {"title": "New", "slug": world.a.event.slug, "organization": world.b.organization.pk}
    response = client.post(reverse("admin:events_event_add"), taken)
    assert response.context["adminform"].form.errors["slug"] == ["Event with this Short name already exists."]
    assert given_away(response) == {"eventslug"}  # as it was typed


def test_a_person_in_both_organisations_is_seen_without_the_others_texts(world):
    """Both know them; what they wrote to A, and how A decided, B doesn't learn."""
    visitor = world.a.people["visitor"]
    for letter in "ORV":
        client = signed_in(world.people[letter])
        for kind in ("change", "history"):
            response = client.get(reverse(f"admin:events_userprofile_{kind}", args=[visitor.pk]))
            assert response.status_code == 200
            assert given_away(response) == set(), (letter, kind)
