"""docs/backup.md, done: its commands save a database and restore it, and the promises hold in what comes out."""

import re
import shlex

import psycopg
import pytest
from django.db import connection

from requests.operations import join_requests
from tests import factories

from .postgres import APP, OWNER, PROJECT, database, run, url

DOCUMENT = (PROJECT / "docs" / "backup.md").read_text()


def commands(heading):
    """The shell commands under a heading of the document."""
    section = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert blocks, f"docs/backup.md has no commands under {heading}"
    return "set -eu\n" + "\n".join(blocks)


@pytest.mark.django_db(transaction=True)
def test_a_backup_is_restored_whole_and_on_guard(tmp_path):
    event = factories.EventFactory(capacity=3)
    organizer = factories.member(event.organization, "owner")
    person = factories.UserProfileFactory()
    asked = join_requests.send(event_id=event.pk, person=person, plus_ones=1).row
    join_requests.approve(request_id=asked.pk, actor=organizer, note="Welcome")
    guest = factories.EventGuestFactory(event=event, email="gwen@example.org")
    factories.MessageDeliveryFactory(message__event=event, guest=guest)
    source = connection.settings_dict["NAME"]
    with database("restored") as restored:
        given = {
            "DATABASE_URL": url(source),
            "RESTORED_URL": url(restored, OWNER),
            "BACKUP": str(tmp_path / "a backup.dump"),
        }
        run("sh", "-c", commands("Save"), **given)
        run("sh", "-c", commands("Restore"), **given)
        with psycopg.connect(url(restored, APP), autocommit=True) as own:
            assert own.execute("SELECT capacity, seats_taken FROM events").fetchall() == [(3, 2)]
            assert own.execute(
                "SELECT r.status, r.decision_note, a.status, a.plus_ones, a.owner_id FROM event_join_requests r"
                " JOIN event_attendees a ON a.join_request_id = r.id"
            ).fetchall() == [("approved", "Welcome", "active", 1, person.owner_id)]
            assert own.execute("SELECT count(*) FROM attendance_historicalattendee").fetchone() == (1,)
            for statement, constraint in ATTACKS.items():
                with pytest.raises(psycopg.errors.IntegrityError) as refusal:
                    own.execute(statement)
                assert refusal.value.diag.constraint_name == constraint
            # Links are made as before.
            linked = "UPDATE event_guests SET user_id = %s, linked_at = clock_timestamp(), link_outcome = 'linked'"
            own.execute(linked, [person.pk])
            followed = "SELECT user_id, link_outcome FROM message_deliveries WHERE guest_id = %s"
            assert own.execute(followed, [guest.pk]).fetchall() == [(person.pk, "backfilled")]
            # The counter counts on, and identities go on after the restored rows.
            own.execute("UPDATE event_attendees SET plus_ones = 0")
            assert own.execute("SELECT seats_taken FROM events").fetchone() == (1,)
            [number] = own.execute(
                "INSERT INTO organizations (name, slug, created_at) VALUES ('New', 'new', now()) RETURNING id"
            ).fetchone()
            assert number > event.organization_id


ATTACKS = {
    "DELETE FROM event_attendees": "requests_joinrequest_approved_has_attendee",
    "UPDATE event_attendees SET status = 'removed'": "requests_joinrequest_approved_has_attendee",
    "UPDATE event_attendees SET plus_ones = 3": "events_event_seats_within_capacity",
    "UPDATE event_attendees SET owner_id = 'somebody else'": "attendance_attendee_owner_of_profile",
    "UPDATE event_join_requests SET status = 'pending'": "requests_joinrequest_decided_when_decided",
    "DELETE FROM user_link_audit": "messaging_audit_append_only",
    "DELETE FROM session_waitlist_log": "rsvp_waitlistlog_append_only",
    "DELETE FROM session_request_log": "requests_sessionrequestlog_append_only",
}


def test_the_document_names_no_other_commands():
    words = {shlex.split(line)[0] for name in ("Save", "Restore") for line in commands(name).splitlines() if line}
    assert words <= {"set", "pg_dump", "pg_restore", "psql", "python", "DATABASE_URL=$RESTORED_URL"}
