"""docs/runbook.md, done: a database of the version before is migrated, verified, and rolled back, with its rows."""

import csv
import re

import psycopg

from .postgres import APP, OWNER, PROJECT, database, run, url

DOCUMENT = (PROJECT / "docs" / "runbook.md").read_text()
BEFORE = ("requests", "0002")
"""The version before; what it depends on comes along."""
SEED = """
    INSERT INTO organizations (name, slug, created_at) VALUES ('Old', 'old', now());
    INSERT INTO user_profiles (id, owner_id, email, first_name, last_name, password, photo_url, phone,
        is_active, is_superuser, email_verified, phone_verified, created_at, updated_at)
    SELECT gen_random_uuid(), 'person-' || n, 'p' || n || '@example.org', 'P', 'Q', '!', '', '',
        true, false, true, false, now(), now() FROM generate_series(1, 3) AS n;
    INSERT INTO organization_memberships (organization_id, user_profile_id, role, created_at)
    SELECT o.id, p.id, 'owner', now() FROM organizations o, user_profiles p WHERE p.owner_id = 'person-1';
    INSERT INTO events (organization_id, slug, title, description, venue, timezone, starts_at, ends_at, seats_taken,
        max_plus_ones, approval_mode, visibility, status, external_id, created_at, updated_at)
    SELECT id, which, which, '', '', 'UTC', now() + shift, now() + shift + interval '2 hours', 0, 0, 'manual', 'public',
        'published', '', now(), now()
    FROM organizations, (VALUES ('past', interval '-30 days'), ('today', interval '-1 hour')) AS plan (which, shift);
    INSERT INTO event_attendees (id, event_id, user_profile_id, owner_id, source, status)
    SELECT gen_random_uuid(), e.id, p.id, p.owner_id, 'import', 'active' FROM events e, user_profiles p;
"""
OLD_CODE = """
    INSERT INTO events (organization_id, slug, title, description, venue, timezone, starts_at, ends_at, seats_taken,
        max_plus_ones, approval_mode, visibility, status, external_id, created_at, updated_at)
    SELECT id, 'new', 'new', '', '', 'UTC', now(), now() + interval '2 hours', 0, 0, 'manual', 'public',
        'published', '', now(), now() FROM organizations;
    INSERT INTO event_attendees (id, event_id, user_profile_id, owner_id, source, status)
    SELECT gen_random_uuid(), e.id, p.id, p.owner_id, 'import', 'active' FROM events e, user_profiles p
    WHERE e.slug = 'new';
    UPDATE event_attendees SET goals = 'as before' WHERE owner_id = 'person-3';
"""
TAKE = """
from attendance.models import Attendee
from attendance.operations import absence, marking
from events.models import Event, UserProfile
from messaging.models import EventGuest, Message
from messaging.operations import announcements, sending

for event_id in absence.due().values_list("pk", flat=True):
    absence.complete(event_id=event_id)
one = Attendee.objects.get(event__slug="today", owner_id="person-1")
marking.mark(attendee_id=one.pk, status="late", actor=None, notes="with a comma, and a line\\nbreak")
today, owner = Event.objects.get(slug="today"), UserProfile.objects.get(owner_id="person-1")
EventGuest.objects.create(event=today, guest_name="Gwen, a guest", email="p2@example.org", user_id=one.user_profile_id)
message = Message.objects.create(event=today, body="Doors open at ten.", channels=["in_app"], audience="invited")
announcements.send_now(message_id=message.pk, actor=owner)
sending.fan_out(message_id=message.pk)
"""


def commands(heading):
    """The shell commands under a heading of the document."""
    section = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert blocks, f"docs/runbook.md has no commands under {heading}"
    return "set -eu\n" + "\n".join(blocks)


def rows(name, sql):
    with psycopg.connect(url(name)) as own:
        return own.execute(sql).fetchall()


def tables(name):
    columns = "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    return sorted(rows(name, f"{columns} WHERE table_schema = 'public'"))


def test_a_version_comes_and_goes_as_the_runbook_says(tmp_path):
    with database("runbook") as name:
        given = {
            "DATABASE_URL": url(name, APP),
            "OWNER_URL": url(name, OWNER),
            "ROLES_URL": url(name),
            "BACKUP": str(tmp_path),
        }
        owner = given | {"DATABASE_URL": given["OWNER_URL"]}
        run("python", "manage.py", "migrate", "--verbosity", "0", *BEFORE, **owner)
        before = tables(name)
        with psycopg.connect(url(name), autocommit=True) as old:
            old.execute(SEED)
        columns = "id, event_id, user_profile_id, owner_id, source, status, plus_ones, ticket_code, created_at"
        attendees = f"SELECT {columns} FROM event_attendees ORDER BY id"
        kept = rows(name, attendees)
        run("sh", "-c", commands("Back up"), **given)
        run("sh", "-c", commands("Migrate"), **given)
        with psycopg.connect(url(name, APP), autocommit=True) as old:
            old.execute(OLD_CODE)
        # Whoever was at an event of the past is not absent from it now.
        run("python", "manage.py", "shell", "--verbosity", "0", "-c", TAKE, **given)
        run("sh", "-c", commands("Verify"), **given)
        assert rows(name, "SELECT slug, status, auto_absence FROM events ORDER BY slug") == [
            ("new", "published", "always"),
            ("past", "completed", "if_used"),
            ("today", "published", "always"),
        ]
        assert rows(name, "SELECT to_status, db_user FROM event_attendance_audit") == [("late", APP)]
        sent = run("sh", "-c", commands("Messages"), **given)
        assert "healthy stuck_deliveries" in " ".join(sent.split())
        assert "0 of 0 mended, 0 left." in sent
        assert rows(name, "SELECT status FROM event_messages") == [("sent",)]
        assert "healthy left_waiting" in " ".join(run("sh", "-c", commands("Lines"), **given).split())
        helped = " ".join(run("sh", "-c", commands("Help"), **given).split())
        assert "healthy service-told" in helped
        assert "0 to mend. Dry run: nothing was changed." in helped
        run("sh", "-c", commands("Roll back"), **given)
        assert [table for table in tables(name) if table in before or "attendance" in table[0]] == before
        left = rows(name, attendees)
        assert (len(left), len(kept)) == (9, 6)
        assert set(kept) < set(left)
        with (tmp_path / "attendance.csv").open(newline="") as file:
            [row] = csv.DictReader(file)
        assert (row["owner_id"], row["attendance_status"]) == ("person-1", "late")
        assert row["attendance_notes"] == "with a comma, and a line\nbreak"
        with (tmp_path / "event_attendance_audit.csv").open(newline="") as file:
            assert [(row["from_status"], row["to_status"]) for row in csv.DictReader(file)] == [("unknown", "late")]
        with (tmp_path / "event_guests.csv").open(newline="") as file:
            assert [row["guest_name"] for row in csv.DictReader(file)] == ["Gwen, a guest"]
        with (tmp_path / "user_link_audit.csv").open(newline="") as file:
            assert [row["outcome"] for row in csv.DictReader(file)] == ["linked", "linked"]
        assert (tmp_path / "before.dump").stat().st_size > 10_000
        # And forward again.
        run("sh", "-c", commands("Migrate"), **given)
        run("sh", "-c", commands("Verify"), **given)
