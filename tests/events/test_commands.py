import io
import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from config import integrity
from events.models import Event, IntegrityResult, Organization, Room, Session
from events.models.people import Role

from .. import factories

PROGRAM = """<schedule><conference><acronym>villageconf</acronym><title>Village Conf</title>{zone}</conference>
<day date="2030-05-01"><room name="Hall">{events}</room></day></schedule>"""
TALK = (
    '<event id="{id}"><title>{title}</title><start>{start}</start><duration>{length}</duration>'
    "<persons><person id='1'>Ada</person></persons></event>"
)


@pytest.fixture
def organization(db):
    return factories.OrganizationFactory(slug="village")


@pytest.fixture
def program(tmp_path):
    """``program(*talks, zone=…)``: the path of a schedule file with the talks in it."""

    def program(*talks, zone="<time_zone_name>Europe/Berlin</time_zone_name>"):
        talks = [{"id": 1, "title": "Opening", "start": "09:00", "length": "00:30"} | one for one in talks]
        path = tmp_path / "schedule.xml"
        path.write_text(PROGRAM.format(zone=zone, events="".join(TALK.format(**one) for one in talks)))
        return str(path)

    return program


def run(*arguments, **options) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


# -- import_schedule ---------------------------------------------------------------------------


def test_import_schedule_prints_what_it_did(organization, program):
    printed = run("import_schedule", program({}), "--organization", "village")
    event = Event.objects.get()
    assert printed.splitlines() == [
        f"Village Conf (event {event.pk}, draft), from frab XML",
        "              added  changed  unchanged   gone",
        "rooms             1        0          0      0",
        "speakers          1        0          0      0",
        "sessions          1        0          0      0",
    ]
    assert (event.organization, event.sessions.count()) == (organization, 1)


def test_import_schedule_prints_changes_gone_left_out_and_notes(organization, program):
    run("import_schedule", program({}, {"id": 2, "title": "Second"}), "--organization", "village")
    changed = program(
        {"start": "10:15", "title": "Opening, later"},
        {"id": 3, "title": "Nowhere", "start": "soon"},
    )
    preview = run("import_schedule", changed, "--organization", "village", "--dry-run").splitlines()
    printed = run("import_schedule", changed, "--organization", "village").splitlines()
    assert preview == [*printed, "Dry run: nothing was changed."]
    assert printed[4:6] == ["sessions          0        1          0      1", "Changed"]
    assert printed[7] == (
        "  session 1 Opening, later: title Opening → Opening, later; "
        "start 2030-05-01 09:00 → 2030-05-01 10:15; end 2030-05-01 09:30 → 2030-05-01 10:45"
    )
    assert printed[8:] == [
        "Gone",
        "  session 2 Second: deleted",
        "Left out: 1",
        "  3 Nowhere: “soon” is not a time of day",
    ]


def test_import_schedule_dry_run_changes_nothing(organization, program):
    assert "a new event, draft" in run("import_schedule", program({}), "--organization", "village", "--dry-run")
    assert (Event.objects.count(), Room.objects.count(), Session.objects.count()) == (0, 0, 0)


def test_import_schedule_strict_refuses_the_whole_file(organization, program):
    path = program({}, {"id": 3, "title": "Nowhere", "start": "soon"})
    with pytest.raises(CommandError, match="3 Nowhere: “soon” is not a time of day"):
        run("import_schedule", path, "--organization", "village", "--strict")
    assert Event.objects.count() == 0


def test_import_schedule_asks_for_a_zone_and_takes_it(organization, program):
    path = program({}, zone="")
    with pytest.raises(CommandError, match="--timezone|time zone"):
        run("import_schedule", path, "--organization", "village")
    run("import_schedule", path, "--organization", "village", "--timezone", "Asia/Tokyo")
    assert Event.objects.get().timezone == "Asia/Tokyo"
    with pytest.raises(CommandError, match="“Mars/Base” is not a time zone"):
        run("import_schedule", path, "--organization", "village", "--timezone", "Mars/Base")


def test_import_schedule_updates_the_named_event(organization, program):
    event = factories.EventFactory(organization=organization)
    run("import_schedule", program({}), "--organization", "village", "--event", str(event.pk))
    assert Session.objects.get().event == event
    with pytest.raises(CommandError, match="has no event 999999"):
        run("import_schedule", program({}), "--organization", "village", "--event", "999999")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "The file is empty."),
        ("<schedule><conference>", "The file is broken XML: no element found: line 1, column 22."),
        ('{"a": 1,}', "The file is broken JSON"),
        ("a,b\n1,2\n", "No known schedule format"),
        ("<schedule><conference><title>x</title></conference></schedule>", "There are no sessions in this file."),
    ],
)
def test_import_schedule_refuses_a_bad_file(organization, tmp_path, content, sentence):
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(CommandError) as refused:
        run("import_schedule", str(path), "--organization", "village", "--timezone", "UTC")
    assert str(refused.value).startswith(sentence)
    assert Event.objects.count() == 0


def test_import_schedule_refuses_a_missing_file_and_organization(organization, program):
    with pytest.raises(CommandError, match="can't be read"):
        run("import_schedule", "/nowhere/schedule.xml", "--organization", "village")
    with pytest.raises(CommandError, match=r"no organization “town” \(there are: village\)"):
        run("import_schedule", program({}), "--organization", "town")


# -- check_integrity -----------------------------------------------------------------------------


@pytest.fixture
def owned(organization):
    factories.member(organization, Role.OWNER)
    return organization


def check(*arguments) -> tuple[str, int]:
    out = io.StringIO()
    try:
        call_command("check_integrity", *arguments, stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


def test_check_integrity_healthy(owned):
    printed, code = check()
    assert code == 0
    assert printed.splitlines()[-1] == "All in all: healthy"


def test_check_integrity_warning(owned):
    Organization.objects.create(name="Nobody's", slug="nobodys")
    printed, code = check("organization-owners")
    assert code == 1
    assert printed.splitlines() == [
        "warning   organization-owners       1  Every organisation has an owner who can sign in.",
        "                                       organizations: 2",
        "All in all: warning",
    ]


def test_check_integrity_critical_as_json(owned, event):
    session = factories.SessionFactory(event=event, room=factories.RoomFactory())
    printed, code = check("--json", "session-rooms", "session-speakers")
    assert code == 2
    assert json.loads(printed) == {
        "level": "critical",
        "checks": [
            {
                "name": "session-rooms",
                "promise": "A session lies in a room of its own event.",
                "level": "critical",
                "violations": 1,
                "figures": {},
            },
            {
                "name": "session-speakers",
                "promise": "A session's speakers belong to its own event.",
                "level": "healthy",
                "violations": 0,
                "figures": {},
            },
        ],
    }
    assert IntegrityResult.objects.values_list("name", "level", "violations").get(pk="session-rooms") == (
        "session-rooms", "critical", 1,
    )  # fmt: skip
    assert session.room.event != session.event


def test_check_integrity_unknown_name(owned):
    with pytest.raises(CommandError, match="There is no check 'nonsense'; there are: .*session-rooms, "):
        check("nonsense")


# -- backfill -------------------------------------------------------------------------------------


def lose_seats(event):
    """A wrong counter, as loading with the triggers off leaves one."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE events SET seats_taken = 9 WHERE id = %s", [event.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.fixture
def wrong(db):
    events = factories.EventFactory.create_batch(3)
    for event in events:
        lose_seats(event)
    return events


def seats(events):
    return [Event.objects.get(pk=event.pk).seats_taken for event in events]


def test_backfill_mends_in_batches_and_ends_with_figures(wrong):
    assert run("backfill", "seats", "--batch-size", "2").splitlines()[0] == "3 of 3 mended, 0 left."
    assert seats(wrong) == [0, 0, 0]
    assert run("backfill", "seats").splitlines()[0] == "0 of 0 mended, 0 left."


def test_backfill_dry_run_counts_only(wrong):
    assert run("backfill", "seats", "--dry-run") == "3 to mend. Dry run: nothing was changed.\n"
    assert seats(wrong) == [9, 9, 9]


def test_backfill_of_one_event(wrong):
    assert run("backfill", "seats", "--event", str(wrong[1].pk)).splitlines()[0] == "1 of 1 mended, 0 left."
    assert seats(wrong) == [9, 0, 9]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "There is no backfill “nonsense”; there are: "),
        (["seats", "--batch-size", "0"], "--batch-size must be at least 1"),
    ],
)
def test_backfill_refuses(wrong, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        run("backfill", *arguments)
    assert seats(wrong) == [9, 9, 9]


def test_backfill_says_what_it_could_not_mend(wrong, monkeypatch):
    stubborn = integrity.Invariant(
        name="stubborn", promise="", violations=integrity.repairs()["seats"].violations, repair=lambda *, rows: 0
    )
    monkeypatch.setitem(integrity._registry, "stubborn", stubborn)
    with pytest.raises(CommandError, match="3 could not be mended"):
        run("backfill", "stubborn", "--batch-size", "1")


@pytest.mark.django_db(transaction=True)
def test_commands_end_with_their_exit_codes():
    """In a process of its own: what a shell or a monitor sees."""
    environment = os.environ | {"DATABASE_URL": database_url()}
    Organization.objects.create(name="Nobody's", slug="nobodys")
    for arguments, code in (
        (["check_integrity"], 1),
        (["check_integrity", "session-rooms"], 0),
        (["check_integrity", "nonsense"], 1),
        (["import_schedule", "/nowhere", "--organization", "x"], 1),
    ):
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


def database_url() -> str:
    """The test database's address: the settings' own, with another name."""
    base, _, query = os.environ["DATABASE_URL"].partition("?")
    return base.rpartition("/")[0] + "/" + connection.settings_dict["NAME"] + (f"?{query}" if query else "")
