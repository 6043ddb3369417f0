"""What deploy/ promises, tried as far as one machine can: roles, units, compose file, proxy headers."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from django.conf import settings
from django.urls import reverse
from whitenoise.media_types import MediaTypes

from config.supervisor import processes

from .postgres import APP, OWNER, PROJECT, database, environment, run, url

DEPLOY = PROJECT / "deploy"


@pytest.fixture(scope="module")
def deployed():
    """A database as in production: migrated by its owner, and roles.sql once more after that."""
    with database("deploy") as name:
        run("python", "manage.py", "migrate", "--verbosity", "0", DATABASE_URL=url(name, OWNER))
        run("psql", "-q", "-d", name, "-f", "deploy/roles.sql")
        yield name


JOIN_AND_APPROVE = """
import json
from attendance.models import Attendee
from attendance.operations.room import EventFull
from requests.operations import join_requests, removals
from tests import factories

event = factories.EventFactory(capacity=1)
organizer = factories.member(event.organization, "organizer")
asked = [join_requests.send(event_id=event.pk, person=factories.UserProfileFactory()).row for _ in range(2)]
join_requests.approve(request_id=asked[0].pk, actor=organizer)
try:
    join_requests.approve(request_id=asked[1].pk, actor=organizer)
except EventFull as full:
    refused = str(full)
[attendee] = Attendee.objects.in_room(event)
event.refresh_from_db()
seats = event.seats_taken
removals.remove(attendee_id=attendee.pk, actor=organizer, reason="to see that it can be done")
event.refresh_from_db()
print(json.dumps({"seats": seats, "refused": refused, "left": event.seats_taken, "history": attendee.history.count()}))
"""


def test_the_application_role_does_the_products_work(deployed):
    printed = run(
        "python", "manage.py", "shell", "--verbosity", "0", "-c", JOIN_AND_APPROVE, DATABASE_URL=url(deployed, APP)
    )
    assert json.loads(printed) == {
        "seats": 1,
        "refused": "The event is full: 1 of 1 places taken; this request needs 1.",
        "left": 0,
        "history": 2,
    }


TAKE_ATTENDANCE = """
import json
from datetime import timedelta
from attendance.models import AttendanceAudit, Attendee
from attendance.operations import absence, check_in, marking, undo, walk_ins
from events.models import Event
from events.operations import privacy
from tests import factories

for factory in (factories.OrganizationFactory, factories.UserProfileFactory, factories.EventFactory):
    factory.reset_sequence(1000)  # another process has begun at 0
event = factories.EventFactory(capacity=9)
door = factories.member(event.organization, "door")
organizer = factories.member(event.organization, "organizer")
came, excused, away, wrong = (factories.AttendeeFactory(event=event) for _ in range(4))
scanner = check_in.Scanner(event=event, name="Door", person=door, role="door")
[first] = check_in.check_in(scanner=scanner, scans=[check_in.Scan(ticket_code=came.ticket_code, scan_id="1")])
[other] = check_in.check_in(scanner=scanner, scans=[check_in.Scan(ticket_code=wrong.ticket_code, scan_id="2")])
undo.take_back(check_in_id=other.check_in_id, scanner=scanner)
walk_ins.add_walk_in(scanner=scanner, first_name="Wanda", last_name="Walk", email="wanda@example.org")
marking.mark(attendee_id=excused.pk, status="excused", actor=organizer, notes="Down with the flu")
event.starts_at -= timedelta(days=60)
event.ends_at -= timedelta(days=60)
event.save(update_fields=["starts_at", "ends_at"])
done = absence.complete(event_id=event.pk)
privacy.erase(person_id=excused.user_profile_id, actor=organizer)
audit = AttendanceAudit.objects.filter(event=event).order_by("pk")
print(json.dumps({
    "results": [first.result, other.result],
    "marked": done.marked,
    "completed": done.completed,
    "audit": [[row.from_status, row.to_status, row.source, row.notes, row.db_user] for row in audit],
}))
"""


def test_the_application_role_takes_attendance_and_forgets_a_person(deployed):
    printed = run(
        "python", "manage.py", "shell", "--verbosity", "0", "-c", TAKE_ATTENDANCE, DATABASE_URL=url(deployed, APP)
    )
    assert json.loads(printed) == {
        "results": ["checked_in", "checked_in"],
        "marked": 2,
        "completed": True,
        "audit": [
            ["unknown", "present", "scan", None, APP],
            ["unknown", "present", "scan", None, APP],
            ["present", "unknown", "undo", None, APP],
            ["unknown", "present", "api", None, APP],
            ["unknown", "excused", "admin", None, APP],  # what the note said is forgotten
            ["unknown", "absent", "auto_absence", None, APP],
            ["unknown", "absent", "auto_absence", None, APP],
        ],
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event_attendance_audit SET to_status = 'present'",
        "UPDATE event_attendance_audit SET actor_id = NULL",
        "DELETE FROM event_attendance_audit",
        "TRUNCATE event_attendance_audit",
        "UPDATE user_link_audit SET outcome = 'linked'",
        "DELETE FROM user_link_audit",
        "TRUNCATE user_link_audit",
    ],
)
def test_the_application_role_has_no_right_to_change_an_audit(deployed, statement):
    with (
        psycopg.connect(url(deployed, APP), autocommit=True) as own,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        own.execute(statement)


FORGED = """
    INSERT INTO event_attendance_audit (attendee_id, event_id, from_status, to_status, source, db_user, created_at)
    SELECT id, event_id, 'unknown', 'present', 'scan', 'me', now() FROM event_attendees
"""


@pytest.mark.parametrize(
    "statement",
    [
        FORGED,
        "UPDATE event_attendance_audit SET notes = 'was never here'",
        "UPDATE event_attendance_audit SET notes = NULL",
    ],
)
def test_what_the_application_role_may_write_of_the_audit_its_triggers_refuse(deployed, statement):
    with psycopg.connect(url(deployed, APP)) as own:
        event_id, profile, owner = own.execute(
            "SELECT e.id, p.id, p.owner_id FROM events e, user_profiles p WHERE p.erased_at IS NULL LIMIT 1"
        ).fetchone()
        own.execute(
            "INSERT INTO event_attendees (id, event_id, user_profile_id, owner_id, source, status, attendance_status)"
            " VALUES (gen_random_uuid(), %s, %s, %s, 'import', 'active', 'present') ON CONFLICT DO NOTHING",
            (event_id, profile, owner),
        )
        assert own.execute("SELECT count(*) FROM event_attendance_audit").fetchone() > (0,)
        with pytest.raises(psycopg.errors.CheckViolation) as refusal:
            own.execute(statement)
        assert refusal.value.diag.constraint_name == "attendance_audit_append_only"
        own.rollback()


SEND_AND_LINK = """
import json
from django.db import connection
from messaging.models import EventGuest, Message, MessageDelivery, UserLinkAudit
from messaging.operations import announcements, sending
from tests import factories

for factory in (factories.OrganizationFactory, factories.UserProfileFactory, factories.EventFactory):
    factory.reset_sequence(2000)  # other processes have begun at 0
event = factories.EventFactory()
organizer = factories.member(event.organization, "organizer")
EventGuest.objects.create(event=event, guest_name="Gwen", phone="+14155550123")
EventGuest.objects.create(event=event, guest_name="Gil", email="gil@example.org")
message = Message.objects.create(
    event=event, subject="Welcome", body="Doors open at ten.", channels=["in_app"], audience="invited"
)
announcements.send_now(message_id=message.pk, actor=organizer)
made = sending.fan_out(message_id=message.pk)
person = factories.UserProfileFactory(phone="+14155550123")
person.phone_verified = True
person.save(update_fields=["phone_verified"])
audit = UserLinkAudit.objects.filter(event=event).order_by("pk")
print(json.dumps({
    "made": made,
    "theirs": MessageDelivery.objects.filter(user=person).count(),
    "audit": sorted([row.table_name, row.outcome, row.method, row.db_user] for row in audit),
}))
"""


def test_the_application_role_sends_and_the_database_links(deployed):
    printed = run(
        "python", "manage.py", "shell", "--verbosity", "0", "-c", SEND_AND_LINK, DATABASE_URL=url(deployed, APP)
    )
    assert json.loads(printed) == {
        "made": 2,
        "theirs": 1,
        "audit": [
            ["event_guests", "linked", "phone", APP],
            ["message_deliveries", "backfilled", "guest", APP],
            ["message_deliveries", "skipped", "phone", APP],
            ["message_deliveries", "skipped", "phone", APP],
        ],
    }


FORGED_LINK = """
    INSERT INTO user_link_audit (table_name, record_id, outcome, details, db_user, created_at)
    VALUES ('event_guests', gen_random_uuid(), 'linked', '{}', 'me', now())
"""


def test_what_the_application_role_may_write_of_the_link_audit_its_triggers_refuse(deployed):
    with psycopg.connect(url(deployed, APP)) as own:
        with pytest.raises(psycopg.errors.CheckViolation) as refusal:
            own.execute(FORGED_LINK)
        assert refusal.value.diag.constraint_name == "messaging_audit_append_only"


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE event_attendees DISABLE TRIGGER ALL",
        "ALTER TABLE event_attendance_audit DISABLE TRIGGER ALL",
        "ALTER TABLE message_deliveries DISABLE TRIGGER ALL",
        "ALTER TABLE user_link_audit DISABLE TRIGGER ALL",
        "ALTER TABLE session_waitlist DISABLE TRIGGER ALL",
        "UPDATE session_waitlist_log SET to_status = 'accepted'",
        "DELETE FROM session_waitlist_log",
        "ALTER TABLE session_requests DISABLE TRIGGER ALL",
        "UPDATE session_request_log SET to_status = 'completed'",
        "DELETE FROM session_request_log",
        "TRUNCATE session_request_log",
        "ALTER TABLE event_sessions DROP CONSTRAINT events_session_seats_within_capacity",
        "DROP FUNCTION messaging_link(uuid, bigint, text)",
        "SET session_replication_role = replica",
        "TRUNCATE event_attendees CASCADE",
        "ALTER TABLE events DROP CONSTRAINT events_event_seats_within_capacity",
        "ALTER TABLE events ADD COLUMN own text",
        "CREATE INDEX own ON events (title)",
        "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP FUNCTION {function}() CASCADE",
        "DROP TABLE event_attendees CASCADE",
        "CREATE TABLE own (id int)",
        "CREATE TEMPORARY TABLE own (id int)",
        "SET ROLE {owner}",
        "GRANT {owner} TO {app}",
    ],
)
def test_the_application_role_cannot_touch_what_guards_the_rows(deployed, statement):
    with psycopg.connect(url(deployed, APP), autocommit=True) as own:
        [function] = own.execute(
            "SELECT proname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
            " WHERE tgrelid = 'event_attendees'::regclass AND tgname LIKE '%%seats_taken_after_insert%%'"
        ).fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute(statement.format(function=function, owner=OWNER, app=APP))


def test_the_application_role_waits_no_longer_than_its_limits(deployed):
    with psycopg.connect(url(deployed, APP)) as own:
        limits = {
            name: own.execute(f"SHOW {name}").fetchone()[0]
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        }
    assert limits == {"lock_timeout": "3s", "statement_timeout": "30s", "idle_in_transaction_session_timeout": "1min"}
    with psycopg.connect(url(deployed, OWNER)) as own:
        assert own.execute("SHOW lock_timeout").fetchone() == ("3s",)


def test_a_table_of_a_later_migration_is_the_applications_too(deployed):
    with psycopg.connect(url(deployed, OWNER), autocommit=True) as owner:
        owner.execute("CREATE TABLE later (id bigint GENERATED BY DEFAULT AS IDENTITY, text text)")
        with psycopg.connect(url(deployed, APP), autocommit=True) as own:
            assert own.execute("INSERT INTO later (text) VALUES ('a') RETURNING id").fetchone() == (1,)
            assert own.execute("DELETE FROM later").rowcount == 1
        owner.execute("DROP TABLE later")


def test_roles_sql_can_be_run_again(deployed):
    run("psql", "-q", "-d", deployed, "-f", "deploy/roles.sql", APP_PASSWORD="it's new")
    with psycopg.connect(url(deployed, APP)) as own:
        assert own.execute("SELECT count(*) FROM events").fetchone() is not None


@pytest.mark.parametrize(
    ("trusted", "headers", "status"),
    [
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, 200),
        ("127.0.0.1", {}, 301),
        ("10.0.0.0/8", {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, 301),
    ],
)
def test_only_a_trusted_proxy_says_that_it_was_https(trusted, headers, status):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = environment(SITE_URL="https://turnout.example", TRUSTED_PROXIES=trusted)
    command = ["-m", "granian", "--interface", "wsgi", "config.wsgi:application", "--port", str(port)]
    site = subprocess.Popen([sys.executable, *command, "--log-level", "error"], cwd=PROJECT, env=given)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/docs/", headers=headers)
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        site.terminate()
        site.wait()
    assert answer.status_code == status


def test_the_doors_decoder_is_served_as_what_it_is():
    """Under another type browsers don't compile it while it arrives, and some not at all."""
    decoder = next((PROJECT / "static" / "vendor").rglob("*.wasm"))
    assert MediaTypes().get_type(decoder.name) == "application/wasm"
    assert "application/wasm" in re.search(r"gzip_types (.*);", (DEPLOY / "nginx.conf").read_text())[1]


def test_compose_gives_the_owners_password_to_migrations_only():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert services.keys() == {"db", "redis", "migrate", "roles", "web", "stream", "worker", "messages", "beat"}
    with_owner = {name for name, service in services.items() if "OWNER_PASSWORD" in json.dumps(service)}
    assert with_owner == {"db", "migrate"}  # db for roles.sql
    for name in ("web", "stream", "worker", "messages", "beat"):
        assert "turnout_app:" in services[name]["environment"]["DATABASE_URL"]
        assert services[name]["depends_on"]["roles"] == {"condition": "service_completed_successfully"}
    assert services["roles"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["roles"]["image"] == services["db"]["image"]
    for name in ("db", "redis", "web", "stream", "worker", "messages"):
        assert services[name]["healthcheck"]["test"]
    assert "PASSWORD" not in re.sub("(?m)^#.*", "", (DEPLOY / "turnout.env.example").read_text()).replace(
        ":password@", ""
    )


def test_each_queue_has_a_worker():
    """Celery's own, and those that tasks are routed to; each started by compose and by systemd."""
    queues = {"celery"} | {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}

    def read_by(command):
        named = re.search(r"--queues (\S+)", command)
        return set(named[1].split(",")) if named else {"celery"}

    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    commands = [" ".join(service.get("command", [])) for service in services]
    units = [unit.read_text().replace("\\\n", "") for unit in (DEPLOY / "systemd").iterdir()]
    for started in (commands, units, processes(8000).values()):
        workers = [command for command in started if " worker " in command]
        assert set().union(*map(read_by, workers)) == queues


def test_a_killed_web_worker_comes_back_wherever_the_site_runs():
    unit, image = (DEPLOY / "systemd" / "turnout-web.service").read_text(), (DEPLOY / "Containerfile").read_text()
    for started in (unit, image, processes(8000)["web"]):
        assert "--respawn-failed-workers" in started


def test_the_stream_is_started_alike_wherever_the_site_runs():
    """One worker, which comes back when it dies, and which open connections don't keep from ending."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["stream"]
    unit = (DEPLOY / "systemd" / "turnout-stream.service").read_text().replace("\\\n", "")
    for started in (unit, " ".join(compose["command"]).replace("=", " "), processes(8000)["stream"]):
        for given in ("--interface asgi", "--workers 1", "--respawn-failed-workers", "--workers-kill-timeout 2"):
            assert given in started
        assert " requests.stream:application" in started and " --port 8001" in started
    assert compose["ports"] == ["127.0.0.1:8001:8001"]


def test_the_proxy_sends_the_stream_alone_to_its_process():
    written = (DEPLOY / "nginx.conf").read_text()
    [(pattern, settings_of_it)] = re.findall(r"location ~ (\S+) \{(.*?)\n    \}", written, re.S)
    for name, is_stream in (("stream-of-requests", True), ("stream-of-session", True), ("stream-ticket", False)):
        arguments = ["01900000-0000-7000-8000-000000000000"] if name == "stream-of-session" else []
        assert bool(re.match(pattern, reverse(f"api:{name}", args=arguments))) is is_stream
    assert re.search(r"upstream turnout_stream \{\s+server 127.0.0.1:8001;", written)
    assert "proxy_pass http://turnout_stream;" in settings_of_it and "proxy_buffering off;" in settings_of_it
    waits = int(re.search(r"proxy_read_timeout (\d+)s;", settings_of_it)[1])
    assert waits >= 2 * settings.STREAM_HEARTBEAT


def test_the_image_has_every_folder_that_the_site_needs():
    containerfile = (DEPLOY / "Containerfile").read_text()
    copied = set(re.findall(r"(?m)^COPY (\w[\w.]*) ", containerfile))
    needed = {"manage.py", "requirements.txt", "templates", "static"}
    needed |= {path.parent.name for path in PROJECT.glob("*/apps.py")}
    assert copied == needed
    assert "requirements-dev" not in containerfile
    assert containerfile.index("\nUSER turnout") < containerfile.index("\nCMD")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze isn't here")
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_understands_the_units(tmp_path):
    programs = tmp_path / "bin"  # the project's folder may have a space in its name, a unit's program not
    programs.symlink_to(Path(sys.executable).parent)
    units = tmp_path / "units"
    units.mkdir()
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/turnout/.venv/bin", str(programs))
        assert "EnvironmentFile=/etc/turnout/turnout.env" in text
        (units / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *units.iterdir()],
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_COLORS": "0"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_in_production_needs_the_library_that_our_requests_shadows():
    locked = re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)==", (PROJECT / "requirements.txt").read_text())
    assert len(locked) > 50
    assert "requests" not in locked
