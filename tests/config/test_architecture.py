"""The architecture is a test: who imports whom, what stands where, what has a name has a test."""

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pgtrigger
import pytest
import rest_framework.compat
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command, get_commands
from django.db import connection
from packaging.requirements import Requirement

from config.database import Trigger
from config.errors import DomainError
from tests.conftest import LONGEST

ROOT = Path(__file__).resolve().parents[2]
APPS = ("events", "attendance", "messaging", "rsvp", "requests")
PACKAGES = ("config", *APPS)


def sources(*folders):
    """Our own Python files, migrations apart."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def run(*command, **environment):
    dropped = ("DEBUG", "TURNOUT_DEMO", "DJANGO_ALLOW_ASYNC_UNSAFE")  # a developer's, the demo's, browser tests'
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True)


# -- Imports ---------------------------------------------------------------------------------------


def test_imports_point_one_way():
    result = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert result.returncode == 0, result.stdout
    assert "1 kept, 0 broken" in result.stdout


def test_no_requirement_needs_the_http_library_whose_name_is_ours():
    wanted = re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*])?==", (ROOT / "requirements.txt").read_text(), re.M)
    assert len(wanted) > 50 and "requests" not in [name.lower() for name in wanted]
    looked_at = 0
    for name in wanted:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        looked_at += 1
        for need in map(Requirement, needs):
            if need.name.lower() == "requests":
                assert need.marker and not need.marker.evaluate({"extra": ""}), f"{name} needs requests"
    assert looked_at > 50


def test_rest_framework_does_not_take_our_app_for_that_library():
    assert rest_framework.compat.requests is None
    code = "import config, rest_framework.compat as c, rest_framework.test; assert c.requests is None"
    result = run(sys.executable, "-c", "import django.conf; django.conf.settings.configure()\n" + code)
    assert result.returncode == 0, result.stderr


# -- What stands where -----------------------------------------------------------------------------------

SHAPE = {
    "__init__",
    "apps",
    "models",
    "operations",
    "admin",
    "api",
    "rules",
    "tasks",
    "triggers",
    "integrity",
    "management",
    "migrations",
    "urls",
    "views",
    "forms",
}
"""What an app may have. A module of another name would be a second home for something above."""

MORE = {
    "events": {
        "importers",  # a module a format
        "pages",  # what attendees' pages share, in all apps
        "sign_in",  # settings name its classes, so it can't be part of api
    },
    "attendance": set(),
    "messaging": {
        "audiences",  # whom a message may go to; upper apps add theirs
        "channels",  # a module a provider
    },
    "rsvp": {
        "audiences",  # registered with messaging
        "calendars",  # iCalendar, for the API and the feed
    },
    "requests": {
        "audiences",  # whom a message may go to, registered with messaging
        "stream",  # the live stream, a process of its own
    },
    "config": {
        "admin",
        "api",
        "apps",
        "asgi",
        "celery",
        "database",  # ids, guarded triggers, composite foreign keys
        "demo",  # made-up data; wires all apps, like urls
        "errors",
        "health",  # /healthz and /readyz
        "importing",  # upload, preview, confirm
        "integrity",
        "json",  # REST framework loads it while it loads itself
        "live",  # a nudge for whoever follows along
        "mail",  # where it goes, for the settings and the channel
        "mailbox",  # what the demo's site has sent
        "management",
        "moments",  # a day and a time as people enter them
        "openapi",  # how the document is made
        "post_office",  # where the demo and the tests send to
        "privacy",  # the registry of personal data; what a log may hold
        "second_factor",
        "services",  # the embedded PostgreSQL and Redis
        "settings",
        "supervisor",  # make demo
        "tables",  # CSV and XLSX that people upload
        "tasks",  # how they are tried again
        "uploads",  # the file between "upload" and "confirm"
        "urls",
        "wsgi",
        "__init__",
    },
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_only_its_modules(package):
    here = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    may = MORE[package] | (SHAPE if package in APPS else set())
    assert here <= may, f"{package}: {sorted(here - may)}"
    assert MORE[package] <= here, f"{package} no longer has {sorted(MORE[package] - here)}"


def test_config_has_no_tables():
    assert list(apps.get_app_config("config").get_models()) == []


def test_no_save_is_overridden_and_no_signal_is_ours():
    """Bulk writes and raw SQL walk around both; what must hold is a constraint, a trigger or an operation."""
    wired = {
        ("config/celery.py", "signals"),  # Celery's way of being told to leave the logging alone
        ("config/celery.py", "connect"),
        ("config/services.py", "connect"),  # to the embedded servers
        ("messaging/apps.py", "signals"),  # switches are seeded after each migrate: a flush wipes them
        ("messaging/apps.py", "connect"),
    }
    found = set()
    for path in sources(*PACKAGES):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in ("save", "save_base", "bulk_create"):
                found.add((name, node.name))
            if isinstance(node, ast.Attribute) and node.attr == "connect":
                found.add((name, "connect"))
            if isinstance(node, (ast.Import, ast.ImportFrom)) and "signals" in ast.unparse(node):
                found.add((name, "signals"))
    assert found == wired


def test_operations_take_keywords_only():
    """``@operation`` functions have no positional arguments, whichever app they are in."""
    for path in sources(*APPS):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                ast.unparse(one) == "operation" for one in node.decorator_list
            ):
                assert not node.args.args and not node.args.vararg, f"{path.name}: {node.name}"


# -- Constraints and triggers ------------------------------------------------------------------------------

UNMAPPED = {
    "attendance_attendee_never_truncated": "nothing of ours truncates; an operator's SQL reads the name",
    "requests_joinrequest_never_truncated": "nothing of ours truncates; an operator's SQL reads the name",
    "attendance_attendee_source_known": "no door takes a source",
    "attendance_attendee_status_known": "no door takes a status but through an operation's choice",
    "attendance_checkin_result_known": "no door takes a result",
    "attendance_checkinattempt_reason_known": "no door takes a reason",
    "attendance_checkinpoint_kind_known": "forms offer the same list",
    "attendance_block_once": "blocking is get_or_create: the second finds the first",
    "events_accountletter_channel_known": "no door takes a channel",
    "events_accountletter_kind_known": "no door takes a kind",
    "events_event_auto_absence_known": "forms offer the same list",
    "events_event_approval_mode_known": "forms and serializers offer the same list",
    "events_event_external_id_unique": "the import holds the organisation's lock; no form has the field",
    "events_event_status_known": "no door takes a status but through an operation's choice",
    "events_event_visibility_known": "forms and serializers offer the same list",
    "events_idempotencykey_once": "losing it is how a key is found taken (config.api)",
    "events_membership_role_known": "forms and serializers offer the same list",
    "attendance_attendee_id_event": "the target of composite foreign keys; the id alone is unique",
    "events_event_id_organization": "the target of composite foreign keys; the id alone is unique",
    "events_session_id_event": "the target of composite foreign keys; the id alone is unique",
    "events_session_external_id_unique": "the import holds the event's lock; no form has the field",
    "events_session_status_known": "no door takes a status",
    "events_speaker_external_id_unique": "the import holds the event's lock; no form has the field",
    "events_userprofile_erased_is_inactive": "only erasing writes erased_at, and is_active with it",
    "events_userprofile_erased_for_good": "nothing of ours takes an erasure back; an operator's SQL reads the name",
    "events_userprofile_id_owner_unique": "the target of composite foreign keys; the id alone is unique",
    "messaging_eventguest_email_lower": "the trigger before it writes e-mails small",
    "messaging_eventguest_external_once": "the import holds the event's lock; no form has the field",
    "messaging_eventguest_link_read_committed": "nothing of ours runs at another level; an operator reads the name",
    "messaging_eventguest_method_known": "no door takes how a link was made",
    "messaging_eventguest_never_truncated": "nothing of ours truncates; an operator's SQL reads the name",
    "messaging_eventguest_outcome_known": "no door takes an outcome",
    "messaging_eventguest_stays_itself": "no form changes the id or the event; an operator's SQL reads the name",
    "messaging_audit_append_only": "only triggers write the audit; an operator's SQL reads the name",
    "messaging_delivery_case_known": "only triggers write the case",
    "messaging_delivery_channel_known": "no door takes a channel but through a form's choice",
    "messaging_delivery_outcome_known": "no door takes an outcome",
    "messaging_delivery_status_known": "no door takes a status but through an operation's choice",
    "messaging_message_channels_known": "the form offers the same list",
    "messaging_message_kind_known": "no door takes a kind",
    "messaging_message_one_time": "the form offers one or the other",
    "messaging_message_status_known": "no door takes a status but through an operation's choice",
    "messaging_message_times_sane": "the form checks the same",
    "messaging_noticepreference_once": "choosing is update_or_create",
    "messaging_optout_channel_known": "no door takes a channel",
    "messaging_optout_once": "opting out is get_or_create",
    "messaging_userlinkaudit_outcome_known": "only triggers write the audit",
    "rsvp_sessionfeedback_once": "giving feedback is one upsert",
    "rsvp_sessionfeedback_session_of_event": "the session's and attendee's event are read, not given",
    "rsvp_sessionfeedback_attendee_of_event": "the session's and attendee's event are read, not given",
    "rsvp_sessionfeedback_rating_range": "forms and serializers offer the same range",
    "rsvp_sessionfeedback_stays_itself": "no door changes whose it is; an operator's SQL reads the name",
    "rsvp_sessionrsvp_attendee_of_event": "the session's and attendee's event are read, not given",
    "rsvp_sessionrsvp_cancelled_at": "the trigger before it writes both",
    "rsvp_sessionrsvp_never_truncated": "nothing of ours truncates; an operator's SQL reads the name",
    "rsvp_sessionrsvp_once": "taking a seat is one upsert",
    "rsvp_sessionrsvp_session_of_event": "the session's and attendee's event are read, not given",
    "rsvp_sessionrsvp_source_known": "no door takes a source",
    "rsvp_sessionrsvp_status_known": "no door takes a status",
    "rsvp_sessionrsvp_stays_itself": "no door changes whose it is; an operator's SQL reads the name",
    "rsvp_settings_mode_known": "the form offers the same list",
    "rsvp_settings_sane": "the form checks the same",
    "rsvp_waitlistentry_attendee_of_event": "the session's and attendee's event are read, not given",
    "rsvp_waitlistentry_closed_at": "the trigger before it writes both",
    "rsvp_waitlistentry_offer_expires": "one statement writes both",
    "rsvp_waitlistentry_over_stays_over": "operations look at the status with the session locked",
    "rsvp_waitlistentry_session_of_event": "the session's and attendee's event are read, not given",
    "rsvp_waitlistentry_status_known": "no door takes a status",
    "rsvp_waitlistentry_stays_itself": "no door changes whose it is; an operator's SQL reads the name",
    "rsvp_waitlistlog_append_only": "only triggers write the record; an operator's SQL reads the name",
    "requests_ban_once": "banning is get_or_create: the second finds the first",
    "requests_joinrequest_identity": "the target of a composite foreign key; the id alone is unique",
    "requests_joinrequest_status_known": "no door takes a status but through an operation's choice",
    "requests_intake_event_of_organization": "the event's organisation is read, not given",
    "requests_intake_once_per_key": "a customer's calls take turns: the second finds what the first made",
    "requests_intake_stays_itself": "no door changes whose it is; an operator's SQL reads the name",
    "requests_mechanic_identity": "the target of a composite foreign key; the id alone is unique",
    "requests_mechanic_named_on_record": "the admin says so before it asks",
    "requests_mechanic_stays_itself": "no door changes whose they are; an operator's SQL reads the name",
    "requests_servicesession_ended_when_over": "the trigger before it writes both",
    "requests_servicesession_event_of_organization": "the event's organisation is read, not given",
    "requests_servicesession_identity": "the target of a composite foreign key; the id alone is unique",
    "requests_servicesession_live_has_mechanic": "operations write status and mechanic together",
    "requests_servicesession_pending_has_none": "operations write status and mechanic together",
    "requests_servicesession_status_known": "no door takes a status",
    "requests_servicesession_stays_itself": "no door changes whose it is; an operator's SQL reads the name",
    "requests_servicesession_type_known": "forms and serializers offer the same list",
    "requests_servicesettings_sane": "the form checks the same",
    "requests_sessionmessage_stays_itself": "no door changes what was said; an operator's SQL reads the name",
    "requests_sessionparticipant_of_session": "only triggers write who is in a session",
    "requests_sessionparticipant_once": "only triggers write who is in a session",
    "requests_sessionparticipant_role_known": "only triggers write who is in a session",
    "requests_sessionrequest_closed_when_over": "the trigger before it writes both",
    "requests_sessionrequest_event_of_organization": "the event's organisation is read, not given",
    "requests_sessionrequest_mechanic_since_accepted": "operations write status and mechanic together",
    "requests_sessionrequest_of_its_session": "one operation makes both",
    "requests_sessionrequest_status_known": "no door takes a status",
    "requests_sessionrequest_stays_itself": "no door changes whose it is; an operator's SQL reads the name",
    "requests_sessionrequest_type_known": "forms and serializers offer the same list",
    "requests_sessionrequestlog_append_only": "only triggers write the record; an operator's SQL reads the name",
}
"""Names that reach nobody, and why."""


def all_modules_loaded():
    for package in APPS:
        for one in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if "migrations" not in one.name and "management" not in one.name:
                importlib.import_module(one.name)


def named_in_models() -> set[str]:
    return {
        constraint.name
        for app in APPS
        for model in apps.get_app_config(app).get_models()
        for constraint in model._meta.constraints
    }


def installed_triggers() -> list[tuple[str, str, list[str] | None]]:
    """(name, source, settings) of each trigger function in the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgname::text, prosrc, proconfig FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
            "WHERE NOT tgisinternal"
        )
        return cursor.fetchall()


@pytest.mark.django_db
def test_every_promise_of_the_database_has_its_words():
    all_modules_loaded()
    named = named_in_models()
    for _name, source, _settings in installed_triggers():
        named |= set(re.findall(r"CONSTRAINT = '(\w+)'", source))
    assert len(named) > 30
    mapped = set(DomainError.by_constraint)
    assert named - mapped == set(UNMAPPED), "a new name maps to a DomainError, or stands in UNMAPPED with a reason"
    assert mapped <= named, "an error names a constraint that is no more"


@pytest.mark.django_db
def test_constraints_of_the_models_stand_in_the_database_under_their_names():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname::text FROM pg_constraint UNION SELECT relname::text FROM pg_class WHERE relkind = 'i'"
        )
        installed = {name for (name,) in cursor.fetchall()}
    assert named_in_models() <= installed


@pytest.mark.django_db
def test_no_trigger_can_be_talked_out_of_its_work():
    declared = [trigger for model in apps.get_models() for trigger in getattr(model._meta, "triggers", ())]
    assert declared and {type(one) for one in declared} == {Trigger}
    installed = installed_triggers()
    assert {name for name, _source, _settings in installed} == {
        trigger.get_pgid(model) for model, trigger in pgtrigger.registered()
    }
    for name, source, fixed in installed:
        assert "ignore" not in source, name
        assert fixed == ["search_path=public, pg_temp"], name


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


# -- Tasks and settings ----------------------------------------------------------------------------------


def our_tasks() -> set[str]:
    current_app.loader.import_default_modules()
    return {name for name in current_app.tasks if name.split(".")[0] in PACKAGES}


def test_every_scheduled_task_is_registered():
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled and scheduled <= our_tasks()
    for name in scheduled:
        module, _dot, function = name.rpartition(".")
        assert hasattr(importlib.import_module(module), function)


def test_production_settings_pass_djangos_own_check():
    result = run(
        sys.executable,
        "manage.py",
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        SECRET_KEY="a-key-for-production-that-is-long-enough-and-has-50-letters-1234567890",
        SITE_URL="https://turnout.example",
        ALLOWED_HOSTS="turnout.example",
    )
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_the_files_that_are_begun_first_are_there():
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


# -- What has a name has a test ---------------------------------------------------------------------------

HERE = {"test_architecture.py", "roles.py", "test_roles.py", "test_roles_api.py", "test_roles_writes.py"}
"""Lists of everything, which would otherwise count as tests of it."""


@pytest.fixture(scope="module")
def tests_text():
    return "\n".join(path.read_text() for path in sources("tests") if path.name not in HERE)


def test_every_command_has_a_test(tests_text):
    ours = [name for name, app in get_commands().items() if app in PACKAGES]
    assert set(ours) >= {"backfill", "check_integrity", "import_schedule"}
    assert [name for name in ours if not re.search(rf"[\"']{name}[\"' ]", tests_text)] == []


def test_every_task_has_a_test(tests_text):
    tasks = our_tasks()
    assert "requests.tasks.admit_pending" in tasks
    missing = [name for name in tasks if not re.search(rf"\b(tasks\.)?{name.rpartition('.')[2]}\b", tests_text)]
    assert missing == []


def test_every_act_of_the_admin_has_a_test(tests_text):
    """By the name of its action in a test of an admin, or its operation in a test of operations."""
    missing = []
    for model, model_admin in admin.site._registry.items():
        for act in getattr(model_admin, "all_acts", ()):
            operation = f"{act.operation.__module__.rpartition('.')[2]}.{act.operation.__name__}("
            if operation not in tests_text and f'"{act.name}"' not in tests_text:
                missing.append(f"{model._meta.label}: {act.name}")
    assert missing == []
