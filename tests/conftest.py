"""Fixtures: the flush that append-only tables allow, people for every role, clients for both doors."""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import OperationalError, connection
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test.utils import override_settings
from rest_framework.test import APIClient

from config.errors import Busy, translate
from messaging.models.audit import seed_switches

from . import factories
from .config import postgres

ROOT = Path(__file__).resolve().parents[1]

LONGEST = (
    "config/test_runbook.py",
    "config/test_roles.py",
    "config/test_demo_made.py",
    "config/test_openapi.py",
    "config/test_roles_writes.py",
    "requests/test_board_browser.py",
    "config/test_deploy.py",
    "messaging/test_browser.py",
    "config/test_roles_api.py",
    "config/test_demo_again.py",
    "attendance/test_door_page.py",
    "messaging/test_admin_messages.py",
    "requests/test_service_browser.py",
    "config/test_admin.py",
    "config/test_services.py",
    "requests/test_board.py",
    "requests/test_stream.py",
    "config/test_demo_data.py",
    "attendance/test_check_in_chaos.py",
    "requests/test_api.py",
    "requests/test_service_story.py",
    "requests/test_operations.py",
    "rsvp/test_chaos.py",
    "requests/test_notices.py",
    "attendance/test_admin_browser.py",
    "messaging/test_linking_docs.py",
    "messaging/test_channels.py",
    "requests/test_service_races.py",
    "requests/test_browser.py",
    "rsvp/test_admin_browser.py",
    "rsvp/test_browser.py",
    "messaging/test_sending.py",
    "events/test_pages_browser.py",
    "messaging/test_guest_import.py",
    "requests/test_models.py",
    "attendance/test_races.py",
    "requests/test_service_api.py",
    "messaging/test_inbox_speed.py",
    "attendance/test_admin.py",
    "requests/test_races.py",
    "rsvp/test_pages.py",
    "attendance/test_door_api.py",
    "requests/test_service_admin.py",
    "requests/test_service_api_races.py",
)
"""Files of tests that take more than ten seconds each, from the longest on.

Several processes share the files, and whoever is done with one takes the next. A long one that is taken last is waited
for by all the others, and how long it takes doesn't show in the number of its tests.
"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Several processes begin with the longest files; one alone keeps the usual order."""
    if hasattr(config, "workerinput"):
        places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda one: places.get(one.path, len(places)))


SUFFIX = os.environ.get("TEST_DB_SUFFIX", "")


@pytest.fixture(scope="session")
def migrated():
    """The database that those of all processes are copies of. To make it takes the time of a thousand tests."""
    with postgres.migrated(f"test_{connection.settings_dict['NAME']}_migrated{SUFFIX}") as name:
        yield name


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request, django_db_modify_db_settings_parallel_suffix, django_db_keepdb):
    """With TEST_DB_SUFFIX, several runs at once get along on one server."""
    test = connection.settings_dict["TEST"]
    test["NAME"] = (test["NAME"] or f"test_{connection.settings_dict['NAME']}") + SUFFIX
    if not django_db_keepdb:
        test["TEMPLATE"] = request.getfixturevalue("migrated")


EMPTY = """
    DO $$
    DECLARE one text;
    BEGIN
        SET LOCAL session_replication_role = replica;
        LOCK TABLE %(tables)s IN SHARE ROW EXCLUSIVE MODE;
        FOREACH one IN ARRAY ARRAY[%(names)s] LOOP
            IF pg_relation_size(one) > 1000000 THEN
                EXECUTE format('TRUNCATE %%s CASCADE', one);
            ELSE
                EXECUTE format('DELETE FROM %%s', one);
            END IF;
        END LOOP;
    END $$
"""
"""Most tables hold nothing, and TRUNCATE makes new files for each: sixty times as slow.

The lock waits for whoever still writes.
"""


OF_MIGRATIONS = (ContentType._meta.db_table, Permission._meta.db_table)
"""Tables that nobody else writes: to fill them anew takes longer than most tests."""


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_guards():
    """A committing test ends with a flush, which guarded tables refuse to everybody but a superuser.

    A page that was closed while it asked for something may still be served: who waits for whom is
    found out within a second, and one of them starts over.
    """
    execute = DatabaseOperations.execute_sql_flush

    def unguarded(self, style, tables, *, reset_sequences=False, allow_cascade=False):
        assert not reset_sequences
        quoted = [self.quote_name(one) for one in tables if one not in OF_MIGRATIONS]
        return [EMPTY % {"tables": ", ".join(quoted), "names": ", ".join(f"'{one}'" for one in quoted)}]

    def patient(self, sql_list):
        try:
            execute(self, sql_list)
        except OperationalError as error:
            if not isinstance(translate(error), Busy):
                raise
            execute(self, sql_list)

    def as_migrated(_verbosity, _interactive, using):
        seed_switches(using)

    DatabaseOperations.sql_flush, DatabaseOperations.execute_sql_flush = unguarded, patient
    flush.emit_post_migrate_signal = as_migrated


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_hashed_quickly():
    """Thousands of people sign in here."""
    with override_settings(PASSWORD_HASHERS=["tests.passwords.QuickHasher"]):
        yield


@pytest.fixture(autouse=True)
def _files_go_to_a_folder_of_their_own(settings, tmp_path_factory):
    """Made by whoever writes a file. Few tests do, and thousands of empty folders take long to clear away."""
    folder = tmp_path_factory.getbasetemp() / "files" / uuid.uuid4().hex
    settings.MEDIA_ROOT = folder / "media"
    settings.EMAIL_FILE_PATH = folder / "mail"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real files that others published; where they are not, tests on them say so. CI has them."""
    folder = Path(os.environ.get("TURNOUT_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        assert not os.environ.get("CI"), f"CI must have {folder}"
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture
def as_person(client):
    """``as_person(profile)``: an API client that carries the person's access token."""

    def signed_in(profile) -> APIClient:
        from events.sign_in import access_token

        api = APIClient()
        api.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(profile)}")
        return api

    return signed_in


@pytest.fixture
def event(db):
    return factories.EventFactory()


@pytest.fixture
def organizer(event):
    return factories.member(event.organization, "organizer")


@pytest.fixture(scope="session")
def chromium():
    """A real Chromium, driven by playwright. Where there is none, browser tests say so; CI must have one."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        assert not os.environ.get("CI"), "CI must have a Chromium"
        pytest.skip("no Chromium on this machine")
    # playwright keeps an event loop in this thread, and Django would then refuse every query.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu", *OFFLINE])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


OFFLINE = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
"""Chromium's own calls home."""


@pytest.fixture
def sign_in(chromium, live_server):
    """``sign_in(profile, width=390)``: a page of the admin, signed in through the form."""
    contexts = []

    def signed_in(profile, *, width=1400, password="turnout-test"):
        profile.set_password(password)
        profile.save(update_fields=["password"])
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, base_url=live_server.url))
        page = contexts[-1].new_page()
        page.goto("/admin/login/")
        page.fill("input[name=username]", profile.email)
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        return page

    yield signed_in
    for context in contexts:
        context.close()


def answers(address) -> bool:
    """Whether a process of ours is there. (To read all certificates first would take longer than to ask.)"""
    try:
        return httpx.get(f"{address}/healthz", verify=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def serve(transactional_db, tmp_path):
    """``serve(**environment)``: the address of a web process of its own, on the test's database."""
    processes = []

    def start(**environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        environment = os.environ | {"DATABASE_URL": database.geturl(), "DATA_DIR": str(tmp_path)} | environment
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "config.wsgi:application"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--blocking-threads", "4"]
        with open(tmp_path / "server.log", "wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        processes.append(process)
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            if answers(address):
                return address
            time.sleep(0.1)
        raise AssertionError((tmp_path / "server.log").read_text())

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=30)
