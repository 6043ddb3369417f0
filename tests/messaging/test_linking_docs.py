"""docs/linking.md: its table is the code's, and what it prints does what it says."""

import json
import re

import psycopg
import pytest
from django.db import connection

from messaging.models import LinkMethod, LinkOutcome
from messaging.models.audit import SWITCHES
from messaging.triggers import linking
from tests import factories
from tests.config.postgres import APP, OWNER, PROJECT, production, run, url

DOCUMENT = (PROJECT / "docs" / "linking.md").read_text()


def section(heading):
    found = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


def table(heading):
    """The cells of a section's table, without its first row."""
    rows = [line.strip("| ").split(" | ") for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def blocks(heading, language):
    return re.findall(rf"```{language}\n(.*?)```", section(heading), re.DOTALL)


CASE = re.compile(r"\((\d+), .*?, +\w+, +'(\w+)', +(?:'(\w+)'|NULL), +'(\w+)'\)")


def test_the_table_of_the_document_is_the_codes():
    cases = [found.groups() for found in CASE.finditer(linking.LINK)]
    assert [int(rank) for rank, *_rest in cases] == list(range(1, 11))
    written = [[f"`{outcome}`", f"`{method}`" if method else "–", f"`{case}`"] for _, outcome, method, case in cases]
    assert [row[2:] for row in table("A new delivery")] == [["`linked`", "`manual`", "`given`"], *written]


def test_the_table_of_switches_is_the_codes():
    documented = {row[0].strip("`"): row[1] == "on" for row in table("The switches")}
    assert documented == {name: active for name, (active, _note) in SWITCHES.items()}


def test_words_of_the_document_are_words_of_the_code():
    known = set(LinkOutcome.values) | set(LinkMethod.values)
    named = {cell.strip("`") for row in table("A new delivery") for cell in row[2:4]}
    assert named - {"–"} <= known


@pytest.fixture(scope="module")
def site(migrated, tmp_path_factory):
    with production("linking", migrated, tmp_path_factory.mktemp("linking")) as name:
        yield {"DATABASE_URL": url(name, APP), "OWNER_URL": url(name, OWNER)}


def shell(heading, number, site):
    return run("sh", "-c", "set -eu\n" + blocks(heading, "sh")[number], **site)


def test_the_switches_are_turned_off_and_on(site):
    with psycopg.connect(site["DATABASE_URL"], autocommit=True) as own:
        off, on = blocks("The switches", "sh")[0].splitlines()
        for command, active in ((off, False), (on, True)):
            run("sh", "-c", command, **site)
            assert own.execute("SELECT messaging_switch('LINK_USER_BY_PHONE', NULL)").fetchone() == (active,)


def test_the_check_and_the_backfill_run(site):
    assert "All in all: healthy" in shell("The check", 0, site)


MADE = """
import json
from messaging.models import EventGuest, Message
from tests import factories

event = factories.EventFactory()
person = factories.UserProfileFactory()
guest = EventGuest.objects.create(event=event, guest_name="Gwen", user=person)
message = Message.objects.create(event=event, body="Doors open at ten.", channels=["in_app", "sms"])
print(json.dumps([str(guest.pk), str(message.pk), event.pk, str(person.pk)]))
"""
INSERT = (
    "INSERT INTO message_deliveries (message_id, guest_id, channel) VALUES (%s, %s, %s) RETURNING user_id, event_id"
)


def test_linking_is_disabled_by_the_owner_and_recovered(site):
    guest, message, event, person = json.loads(
        run("python", "manage.py", "shell", "--verbosity", "0", "-c", MADE, **site)
    )
    with psycopg.connect(site["DATABASE_URL"], autocommit=True) as own:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute("ALTER TABLE message_deliveries DISABLE TRIGGER pgtrigger_linked_on_insert_97d8f")
        shell("Without the triggers", 0, site)
        listed = run("python", "manage.py", "pgtrigger", "ls", **(site | {"DATABASE_URL": site["OWNER_URL"]}))
        disabled = re.findall(r"DISABLED\S* (\S+)", listed)
        assert disabled == [
            "messaging.MessageDelivery:linked_on_insert",
            "messaging.MessageDelivery:link_audited_on_insert",
        ]
        assert own.execute(INSERT, (message, guest, "in_app")).fetchone() == (None, None)
        shell("Without the triggers", 1, site)
        rows = "SELECT user_id::text, event_id, link_outcome FROM message_deliveries"
        assert own.execute(rows).fetchall() == [(person, event, "backfilled")]
        audit = "SELECT outcome, method FROM user_link_audit WHERE table_name = 'message_deliveries'"
        assert own.execute(audit).fetchall() == [("backfilled", "backfill")]
        enabled = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'pgtrigger%%' AND tgenabled = 'D'"
        assert own.execute(enabled).fetchall() == []
        given_person, given_event = own.execute(INSERT, (message, guest, "sms")).fetchone()
        assert (str(given_person), given_event) == (person, event)


def test_another_source_is_added_as_the_document_says(db):
    variable, look_up, row = (block.strip() for block in blocks("Another source", "sql"))
    [migration] = blocks("Another source", "python")
    scope = {}
    exec(migration, scope)
    assert scope["Migration"].operations[0].sql == linking.INSTALL
    changed = linking.LINK.replace("BEGIN\n", f"    {variable}\nBEGIN\n", 1)
    changed = changed.replace("    SELECT one.person,", f"    {look_up}\n    SELECT one.person,", 1)
    changed = changed.replace("        (4, NOT phone_on", f"        {row}\n        (4, NOT phone_on", 1)
    person = factories.UserProfileFactory(owner_id="member-17")
    guest = factories.EventGuestFactory(external_id="member-17", phone=None, email=None)
    message = factories.MessageFactory(event=guest.event)
    with connection.cursor() as cursor:
        cursor.execute(changed)
        cursor.execute("SELECT user_id FROM event_guests WHERE id = %s", [guest.pk])
        assert cursor.fetchone() == (None,)
        cursor.execute(
            "INSERT INTO message_deliveries (message_id, guest_id, channel) VALUES (%s, %s, 'in_app')"
            " RETURNING user_id, link_outcome, link_method, link_case",
            [message.pk, guest.pk],
        )
        assert cursor.fetchone() == (person.pk, "linked", "external", "external_id")
