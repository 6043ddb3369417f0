"""The benchmarks. Each yields its tables; in each table everything is measured in turn, in one run."""

import json
import os
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from itertools import islice, product
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from attendance.models import AttendanceAudit, Attendee, CheckIn, new_ticket_code
from attendance.operations import absence
from config.database import uuid7
from events.models import Event
from events.sign_in import access_token
from messaging.models import EventGuest, MessageDelivery
from messaging.operations import planning
from requests.models import JoinRequest, Status

from . import data, service, sessions
from .harness import Line, Table, in_rounds, timed

MARKED_EVENT = 987_654_321
"""An id that is found in recorded SQL and means nothing else there."""


def approve(bench):
    """Organisers approve by the API: on many events, and all on one."""
    bench.serve()
    owner, organizer = data.organization()
    people = data.people(ROUNDS * 16)
    [marked] = data.join_requests([(data.event(owner, id=MARKED_EVENT, capacity=10**6), people[0])])
    path, body = "/api/v1/join-requests/{}/", {"status": "approved"}
    bench.record("approve", "PATCH", path.format(marked.pk), organizer, body)
    attendee = Attendee.objects.get(join_request=marked)
    statements = bench.template(
        "approve",
        event=MARKED_EVENT,
        request=marked.pk,
        person=marked.user_profile_id,
        owner=marked.owner_id,
        attendee=attendee.pk,
        ticket=attendee.ticket_code,
    )

    def table(title, events):
        queue = iter(
            data.join_requests(islice(((event, one) for one, event in product(people, events)), ROUNDS * 1600))
        )

        def rows(number):
            return [
                {
                    "event": request.event_id,
                    "request": request.pk,
                    "person": request.user_profile_id,
                    "owner": request.owner_id,
                    "attendee": uuid7(),
                    "ticket": new_ticket_code(),
                }
                for request in islice(queue, number)
            ]

        def site():
            return bench.calls(
                [bench.call("PATCH", path.format(one.pk), organizer, body) for one in islice(queue, 400)], 200
            )

        result = in_rounds(
            title,
            "approvals a second",
            ROUNDS,
            {
                "Turnout's API": site,
                "bare view, the same SQL": lambda: bench.replay("approve", organizer, rows(400)),
                "pgbench, the same SQL": lambda: bench.pgbench("approve", rows(400)),
                "pgbench, its locks and writes": lambda: bench.pgbench("approve", rows(400), reads=False),
            },
            {"Turnout's API": f"{statements} statements, BEGIN and COMMIT among them"},
        )
        for event in events:
            event.refresh_from_db()
            approved = event.join_requests.filter(status=Status.APPROVED)
            assert event.seats_taken == event.attendees.active().count() == approved.count()
        return result

    many = [data.event(owner, capacity=10**6) for _ in range(100)]
    yield table("approve, 100 events", many)
    people = data.people(ROUNDS * 1600)
    yield table("approve, one hot event", [data.event(owner, capacity=10**6)])


ROUNDS = 3


def join(bench):
    """People ask to join."""
    bench.serve()
    owner, _organizer = data.organization()
    people = data.people(1000)
    marked = data.event(owner, id=MARKED_EVENT + 1)
    path, body = "/api/v1/events/{}/join-requests/", {"plus_ones": 1, "comments": "I would love to come."}
    bench.record("join", "POST", path.format(marked.pk), people[0], body)
    request = JoinRequest.objects.get(event=marked)
    statements = bench.template(
        "join", event=marked.pk, request=request.pk, person=people[0].pk, owner=people[0].owner_id
    )

    def table(title, events, people):
        queue = iter([(event, person) for person, event in product(people, events)])

        def rows(number):
            return [
                {"event": event.pk, "request": uuid7(), "person": person.pk, "owner": person.owner_id}
                for event, person in islice(queue, number)
            ]

        def site():
            return bench.calls(
                [bench.call("POST", path.format(event.pk), person, body) for event, person in islice(queue, 400)], 201
            )

        return in_rounds(
            title,
            "requests a second",
            ROUNDS,
            {
                "Turnout's API": site,
                "bare view, the same SQL": lambda: bench.replay("join", people[0], rows(400)),
                "pgbench, the same SQL": lambda: bench.pgbench("join", rows(400)),
            },
            {"Turnout's API": f"{statements} statements, BEGIN and COMMIT among them"},
        )

    yield table("join, 100 events", [data.event(owner) for _ in range(100)], people)
    yield table("join, one hot event", [data.event(owner)], data.people(ROUNDS * 1200))


def room(bench):
    """Pages of 50 of the room, as its attendees see them."""
    bench.serve()
    owner, _organizer = data.organization()
    large, small = data.event(owner), data.event(owner)
    people = data.people(20_000)
    here = data.attendees(large, people)
    data.attendees(small, people[:100])
    viewer = people[0]
    # The keyset page after the 51st row from the end.
    cursor = b64encode(urlencode({"p": here[-51].pk}).encode()).decode()
    path = "/api/v1/events/{}/attendees/?page_size=50"
    last_page = f"{path.format(large.pk)}&{urlencode({'cursor': cursor})}"
    with connection.cursor() as sql:
        sql.execute("ANALYZE")
    answer = bench.record("room", "GET", path.format(large.pk), viewer)
    assert len(answer.json()["results"]) == 50
    answer = bench.record("room, last page", "GET", last_page, viewer)
    assert len(answer.json()["results"]) == 50 and not answer.json()["next"]
    statements = bench.template("room")

    def site(address):
        request = bench.call("GET", address, viewer)
        return lambda: bench.calls([request] * 300, 200)

    yield in_rounds(
        "room",
        "pages a second",
        ROUNDS + 2,
        {
            "20,000 attendees, first page": site(path.format(large.pk)),
            "20,000 attendees, last page": site(last_page),
            "100 attendees, first page": site(path.format(small.pk)),
            "bare view, the same SQL": lambda: bench.replay("room", viewer, [{}] * 300),
        },
        {"20,000 attendees, first page": f"{statements} statements"},
    )


def check_in(bench):
    """The door: a ticket is scanned, scanned again, sent again; and what a device kept without network."""
    bench.serve()
    owner, organizer = data.organization()
    people = data.people(20_000)
    marked = data.event(owner, id=MARKED_EVENT + 2)
    [one] = data.attendees(marked, people[:1])
    path, batch_path = "/api/v1/events/{}/check-ins/", "/api/v1/events/{}/check-ins/batch/"
    scan = {"ticket_code": one.ticket_code, "scan_id": "scan-that-is-marked"}
    known = {"event": marked.pk, "ticket": one.ticket_code, "scan": scan["scan_id"], "attendee": one.pk}
    bench.record("check_in", "POST", path.format(marked.pk), organizer, scan)
    statements = bench.template("check_in", **known)
    bench.recordings["bare_check_in"] = [
        "BEGIN",
        BARE_UPDATE.format(by=organizer.pk, **known),
        BARE_INSERT.format(by=organizer.pk, **known),
        "COMMIT",
    ]
    bench.template("bare_check_in", **known)
    scan["scan_id"] = known["scan"] = "scan-that-comes-again"
    bench.record("again", "POST", path.format(marked.pk), organizer, scan)
    again = bench.template("again", **known)

    def rows(attendees):
        return [
            {"event": one.event_id, "ticket": one.ticket_code, "scan": str(uuid7()), "attendee": one.pk}
            for one in attendees
        ]

    def scans(attendees):
        return [
            bench.call("POST", path.format(one.event_id), organizer, {"ticket_code": one.ticket_code, "scan_id": id})
            for one, id in attendees
        ]

    def new(attendees):
        return [(one, str(uuid7())) for one in attendees]

    def table(title, events, per_event):
        made = [data.attendees(event, people[:per_event]) for event in events]
        queue = iter([one for each in zip(*made, strict=True) for one in each])
        result = in_rounds(
            title,
            "check-ins a second",
            ROUNDS,
            {
                "Turnout's API": lambda: bench.calls(scans(new(islice(queue, 400))), 200),
                "bare view, the same SQL": lambda: bench.replay("check_in", organizer, rows(islice(queue, 400))),
                "bare view, one UPDATE and one INSERT": lambda: bench.replay(
                    "bare_check_in", organizer, rows(islice(queue, 400))
                ),
                "pgbench, the same SQL": lambda: bench.pgbench("check_in", rows(islice(queue, 400))),
                "pgbench, one UPDATE and one INSERT": lambda: bench.pgbench("bare_check_in", rows(islice(queue, 400))),
            },
            {"Turnout's API": f"{statements} statements, BEGIN and COMMIT among them"},
        )
        came = Attendee.objects.filter(event__in=events).here().count()
        assert came == CheckIn.objects.filter(event__in=events).count()
        assert came == AttendanceAudit.objects.filter(event__in=events).count()
        return result

    yield table("check_in, 100 events", [data.event(owner) for _ in range(100)], 60)
    yield table("check_in, one event", [data.event(owner)], 6000)

    event = data.event(owner)
    queue, inside = iter(data.attendees(event, people[:6000])), []

    def first():
        inside[:] = new(islice(queue, 400))
        return bench.calls(scans(inside), 200)

    def batches():
        sent = [
            [{"ticket_code": one.ticket_code, "scan_id": id} for one, id in new(islice(queue, 500))] for _ in range(2)
        ]
        calls = [bench.call("POST", batch_path.format(event.pk), organizer, {"scans": one}) for one in sent]
        return 500 * bench.calls(calls, 200)

    # Always in this order: what comes again has to be in.
    yield in_rounds(
        "check_in, again and at once",
        "scans a second",
        1,
        {
            "first scan": first,
            "the same scan, sent again": lambda: bench.calls(scans(inside), 200),
            "the ticket, scanned again": lambda: bench.calls(scans(new(one for one, _id in inside)), 200),
            "bare view, the SQL of that": lambda: bench.replay("again", organizer, rows(one for one, _id in inside)),
            "in batches of 500": batches,
        },
        {"the ticket, scanned again": f"{again} statements"},
    )


BARE_UPDATE = """UPDATE event_attendees SET attendance_status = 'present', attendance_source = 'scan',
    attendance_marked_at = now(), attendance_marked_by_id = '{by}', attendance_updated_at = now()
    WHERE ticket_code = '{ticket}' AND event_id = {event} AND status = 'active' AND attendance_status = 'unknown'
    RETURNING id"""
BARE_INSERT = """INSERT INTO check_ins (event_id, attendee_id, scan_id, by_id, result, checked_in_at, previous_status)
    VALUES ({event}, '{attendee}', '{scan}', '{by}', 'checked_in', now(), 'unknown') RETURNING id"""
"""The least that checks somebody in; the audit's trigger is at work here as well."""


def door(bench):
    """What a device fetches: counts, and the list for working without network."""
    bench.serve()
    owner, organizer = data.organization()
    large, small = data.event(owner), data.event(owner)
    people = data.people(20_000)
    data.attendees(large, people)
    data.attendees(small, people[:100])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    path, counts = "/api/v1/events/{}/door/tickets/", "/api/v1/events/{}/door/"
    client = Client(HTTP_AUTHORIZATION=f"Bearer {access_token(organizer)}", SERVER_NAME="127.0.0.1")
    address, pages, size = path.format(large.pk), [], 0
    with timed() as seconds:
        while address:
            pages.append(address)
            answer = client.get(address)
            size += len(answer.content)
            address = answer.json()["next"] and answer.json()["next"].partition("127.0.0.1")[2]
    assert len(pages) == 20, pages
    changed = f"{pages[0]}?{urlencode({'updated_since': timezone.now().isoformat()})}"

    def site(address):
        request = bench.call("GET", address, organizer)
        return lambda: bench.calls([request] * 60, 200)

    result = in_rounds(
        "door, tickets of 20,000 attendees",
        "pages of 1,000 a second",
        ROUNDS,
        {"first page": site(pages[0]), "last page": site(pages[-1]), "what changed since, nothing": site(changed)},
    )
    result.notes.append(
        f"All {len(pages)} pages, one after the other, without HTTP: {seconds():.2f} s, {size:,} bytes."
    )
    yield result
    yield in_rounds(
        "door, counts",
        "answers a second",
        ROUNDS,
        {"100 attendees": site(counts.format(small.pk)), "20,000 attendees": site(counts.format(large.pk))},
    )


def auto_absence(_bench):
    """10,000 attendees who never came, when the event is over."""
    owner, _organizer = data.organization()
    people = data.people(10_000)
    now = timezone.now()
    over = {"starts_at": now - timedelta(hours=9), "ends_at": now - timedelta(hours=1)}
    batches = 0

    def fresh():
        event = data.event(owner)
        data.attendees(event, people)
        Event.objects.filter(pk=event.pk).update(**over)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE event_attendees")
        return event

    def complete():
        nonlocal batches
        event = fresh()
        with timed() as seconds:
            done = absence.complete(event_id=event.pk)
        batches = done.batches
        assert done.completed and done.marked == AttendanceAudit.objects.filter(event=event).count() == 10_000
        return seconds()

    beside = fresh()
    update = """UPDATE event_attendees SET attendance_status = 'absent', attendance_source = 'auto_absence',
        attendance_updated_at = now() WHERE event_id = %s"""

    def bulk(*disabled):
        def write():
            with transaction.atomic(), connection.cursor() as cursor:
                for name in disabled:
                    cursor.execute(f"ALTER TABLE event_attendees DISABLE TRIGGER {name}")
                with timed() as seconds:
                    cursor.execute(update, [beside.pk])
                transaction.set_rollback(True)
            return seconds()

        return write

    triggers = {one.name: one.get_pgid(Attendee) for one in Attendee._meta.triggers}
    result = in_rounds(
        "auto_absence, 10,000 attendees",
        "seconds",
        ROUNDS,
        {
            "absence.complete": complete,
            "one UPDATE, audited": bulk(),
            "one UPDATE, its audit trigger off": bulk(triggers["attendance_audited_on_update"]),
        },
    )
    result.lines[0].remark = f"{batches} batches, 10,000 rows of the audit"
    yield result


def requests_list(_bench):
    """The organisers' desk in the admin: one with 50,000 requests beside one with 500."""
    statuses = [Status.PENDING, Status.DECLINED, Status.CANCELLED]
    yield from _admin_lists(
        "requests_list",
        "requests",
        "/admin/requests/joinrequest/",
        {"list": "", "filter on pending": "?status__exact=pending", "search": "?q=First77"},
        lambda pairs: data.join_requests(pairs, lambda number: statuses[number % 3]),
    )


def attendance_list(_bench):
    """The same of attendees, a third of whom have come."""

    def make(pairs):
        by_event = {}
        for event, person in pairs:
            by_event.setdefault(event, []).append(person)
        for event, persons in by_event.items():
            came = [one.pk for one in data.attendees(event, persons)[::3]]
            Attendee.objects.filter(pk__in=came).update(
                attendance_status="present",
                attendance_source="scan",
                attendance_marked_at=timezone.now(),
                attendance_updated_at=timezone.now(),
            )

    yield from _admin_lists(
        "attendance_list",
        "attendees",
        "/admin/attendance/attendee/",
        {"list": "", "filter on present": "?attendance_status__exact=present", "search": "?q=First77"},
        make,
    )


def _admin_lists(name, noun, address, titles, make):
    people = data.people(20_000)
    clients, queries = {}, {}
    for number in (500, 50_000):
        owner, organizer = data.organization()
        events = [data.event(owner) for _ in range(3)]
        make(islice(((event, one) for one, event in product(people, events)), number))
        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(organizer, "events.sign_in.EmailBackend")
        clients[number] = client
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    def page(number, address):
        def visit():
            with timed() as seconds:
                answer = clients[number].get(address)
            assert answer.status_code == 200, answer
            return 1000 * seconds()

        visit()
        with CaptureQueriesContext(connection) as captured:
            visit()
        queries[number, address] = len(captured)
        return visit

    for title, query in titles.items():
        yield in_rounds(
            f"{name}, {title}",
            "ms a page, without HTTP",
            ROUNDS * 2 + 1,
            {f"{number:,} {noun}": page(number, address + query) for number in clients},
            {f"{number:,} {noun}": f"{queries[number, address + query]} queries" for number in clients},
        )


def import_(_bench):
    """A schedule of 1,000 sessions by manage.py import_schedule, and once more without a change."""
    with TemporaryDirectory(dir=settings.DATA_DIR) as folder:
        file = f"{folder}/schedule.json"

        def load(owner):
            with timed() as seconds:
                call_command("import_schedule", file, organization=owner.slug, stdout=StringIO())
            return seconds()

        def first():
            nonlocal owner
            owner, _organizer = data.organization()
            return load(owner)

        def again():
            return load(owner)

        owner = None
        with open(file, "w") as out:
            json.dump(data.schedule(1000), out)
        # Always in this order: the second import needs the first.
        yield in_rounds("import", "seconds for 1,000 sessions", 1, {"new": first, "unchanged": again})
        assert Event.objects.get(organization=owner).sessions.count() == 1000


def trigger(_bench):
    """What the counter of places costs, and that it holds."""
    owner, _organizer = data.organization()
    people = data.people(10_000)
    full = data.event(owner, capacity=50)
    columns = [field.column for field in Attendee._meta.concrete_fields]
    insert = f"INSERT INTO event_attendees ({', '.join(columns)}) SELECT {', '.join(columns)} FROM bench_rows"

    def prepare(event, persons):
        """A table of finished attendees of the event, to be inserted from."""
        with transaction.atomic():
            data.attendees(event, persons)
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS bench_rows")
                cursor.execute(
                    "CREATE TABLE bench_rows AS SELECT * FROM event_attendees WHERE event_id = %s", [event.pk]
                )
        Attendee.objects.filter(event=event).delete()

    # The race.
    full.capacity = None
    full.save(update_fields=["capacity"])
    prepare(full, people[:400])
    full.capacity = 50
    full.save(update_fields=["capacity"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM bench_rows")
        ids = [row[0] for row in cursor.fetchall()]

    def rush(ids) -> int:
        refused = 0
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
            for id in ids:
                try:
                    own.execute(f"{insert} WHERE id = %s", [id])
                except psycopg.errors.CheckViolation as error:
                    assert error.diag.constraint_name == "events_event_seats_within_capacity"
                    refused += 1
        return refused

    with ThreadPoolExecutor(10) as pool, timed() as seconds:
        refused = sum(pool.map(rush, (ids[number::10] for number in range(10))))
    full.refresh_from_db()
    inside = Attendee.objects.filter(event=full).count()
    assert (inside, full.seats_taken, refused) == (50, 50, 350), (inside, full.seats_taken, refused)
    yield Table(
        "trigger, 400 inserts by 10 connections into 50 places",
        "rows",
        [Line("in", inside), Line("refused", refused)],
        [f"seats_taken says {full.seats_taken}; {seconds():.2f} s"],
    )

    # The cost in bulk.
    prepare(data.event(owner), people)

    def bulk(*disabled):
        def write():
            with transaction.atomic(), connection.cursor() as cursor:
                for name in disabled:
                    cursor.execute(f"ALTER TABLE event_attendees DISABLE TRIGGER {name}")
                with timed() as seconds:
                    cursor.execute(insert)
                transaction.set_rollback(True)
            return 1000 * seconds()

        return write

    [counting] = [one.get_pgid(Attendee) for one in Attendee._meta.triggers if one.name == "seats_taken_after_insert"]
    yield in_rounds(
        "trigger, 10,000 attendees in one INSERT",
        "ms",
        ROUNDS * 2 + 1,
        {"with the counting trigger": bulk(), "without it": bulk(counting)},
    )


def link(_bench):
    """10,000 guests with three deliveries each become known: an import of people, say."""
    owner, organizer = data.organization()
    people = data.people(10_000)
    event = data.event(owner)
    guests = data.guests(event, len(people))
    message = data.message(event, organizer)
    data.deliveries(message, guests, ["in_app", "sms", "email"])
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_links; CREATE TABLE bench_links (guest uuid, person uuid)")
        with cursor.copy("COPY bench_links FROM STDIN") as copy:
            for guest, person in zip(guests, people, strict=True):
                copy.write_row([guest.pk, person.pk])
        cursor.execute("ANALYZE")
    known = """UPDATE event_guests g SET user_id = l.person, link_outcome = 'linked', link_method = 'email',
        linked_at = clock_timestamp() FROM bench_links l WHERE l.guest = g.id"""
    theirs = """UPDATE message_deliveries d SET user_id = l.person, link_outcome = 'backfilled', link_method = 'guest',
        link_case = 'own_link', linked_at = clock_timestamp() FROM bench_links l WHERE l.guest = d.guest_id"""

    def write(*statements, triggers=True):
        def measure():
            with transaction.atomic(), connection.cursor() as cursor:
                if not triggers:
                    for table in ("event_guests", "message_deliveries"):
                        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                with timed() as seconds:
                    for statement in statements:
                        cursor.execute(statement)
                mine = MessageDelivery.objects.filter(message=message, user__isnull=False).count()
                assert mine == 3 * len(people), mine
                transaction.set_rollback(True)
            return seconds()

        return measure

    yield in_rounds(
        "link, 10,000 guests with 30,000 deliveries",
        "seconds",
        ROUNDS,
        {
            "one UPDATE of the guests, all follows": write(known),
            "two plain UPDATEs, without triggers": write(known, theirs, triggers=False),
        },
        {"one UPDATE of the guests, all follows": "and 40,000 rows of the audit"},
    )


def fan_out(_bench):
    """A message to 10,000 guests over three channels."""
    owner, organizer = data.organization()
    event = data.event(owner)
    guests = data.guests(event, 10_000)
    for guest, person in zip(guests, data.people(5000), strict=False):
        guest.user = person
    EventGuest.objects.bulk_update(guests[:5000], ["user"], batch_size=data.BATCH)
    channels = ["in_app", "sms", "email"]
    messages = [data.message(event, organizer, channels=channels) for _ in range(2)]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    bare = """
        INSERT INTO message_deliveries
            (message_id, event_id, guest_id, user_id, channel, phone_number, email, status)
        SELECT %s, g.event_id, g.id, g.user_id, one.channel, g.phone, g.email, 'queued'
        FROM event_guests g CROSS JOIN unnest(%s::text[]) AS one(channel)
        WHERE g.event_id = %s AND g.removed_at IS NULL"""

    def in_vain(act):
        with transaction.atomic():
            seconds = act()
            transaction.set_rollback(True)
        return seconds

    def ours():
        with timed() as seconds, connection.cursor() as cursor:
            query, params = planning.of_audience(messages[0])
            cursor.execute(planning.PLAN.format(candidates=query) + planning.INSERT, params | {"on": channels})
            assert cursor.rowcount == 30_000
        return seconds()

    def plain():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE message_deliveries DISABLE TRIGGER USER")
            with timed() as seconds:
                cursor.execute(bare, [messages[1].pk, channels, event.pk])
            assert cursor.rowcount == 30_000
        return seconds()

    yield in_rounds(
        "fan_out, 10,000 guests over three channels",
        "seconds",
        ROUNDS,
        {
            "planned, linked, audited": lambda: in_vain(ours),
            "a bare INSERT … SELECT, without triggers": lambda: in_vain(plain),
        },
        {"planned, linked, audited": "half of them linked; 30,000 rows of the audit"},
    )


def inbox(bench):
    """The first page of somebody who got 100 messages, beside one who got 100,000."""
    bench.serve()
    owner, organizer = data.organization()
    few, many = data.people(2)
    event = data.event(owner)
    for person, number in ((few, 100), (many, 100_000)):
        data.inbox(event, organizer, person, number)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    path = "/api/v1/me/messages/?page_size=50"
    for person in (few, many):
        answer = bench.record("inbox", "GET", path, person)
        assert len(answer.json()["results"]) == 50
    statements = bench.template("inbox", person=many.pk)

    def site(person):
        request = bench.call("GET", path, person)
        return lambda: bench.calls([request] * 200, 200)

    yield in_rounds(
        "inbox",
        "pages a second",
        ROUNDS,
        {
            "100 messages": site(few),
            "100,000 messages": site(many),
            "100,000, bare view, the same SQL": lambda: bench.replay("inbox", many, [{"person": many.pk}] * 200),
        },
        {"100 messages": f"{statements} statements"},
    )


CASES = {
    "approve": approve,
    "join": join,
    "room": room,
    "check_in": check_in,
    "door": door,
    "auto_absence": auto_absence,
    "requests_list": requests_list,
    "attendance_list": attendance_list,
    "import": import_,
    "trigger": trigger,
    "link": link,
    "fan_out": fan_out,
    "inbox": inbox,
    **sessions.CASES,
    **service.CASES,
}
