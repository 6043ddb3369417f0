"""Fixtures: the flush that append-only tables allow, people for every role, clients for both doors."""

import os
from pathlib import Path

import pytest
from django.db import connection
from rest_framework.test import APIClient

from . import factories


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
    """With TEST_DB_SUFFIX, several runs at once get along on one server."""
    database = connection.settings_dict
    name = database["TEST"]["NAME"] or f"test_{database['NAME']}"
    database["TEST"]["NAME"] = name + os.environ.get("TEST_DB_SUFFIX", "")


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_guards(django_db_setup):
    """A committing test ends with TRUNCATE, which guarded tables refuse to everybody but a superuser."""
    sql_flush = connection.ops.sql_flush
    connection.ops.sql_flush = lambda *args, **kwargs: [
        "SET LOCAL session_replication_role = replica",
        *sql_flush(*args, **kwargs),
    ]


@pytest.fixture(autouse=True)
def _files_go_to_a_folder_of_their_own(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"


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
