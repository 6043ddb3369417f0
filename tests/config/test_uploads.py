"""The file between upload and confirmation."""

import os
import time

import pytest

from config import uploads
from tests import factories


@pytest.fixture
def folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path / "uploads"


@pytest.fixture
def person(db):
    return factories.UserProfileFactory()


def keep(person, data=b"data", **fields):
    given = {"name": "list.csv", "choices": {"event": "7"}, "page": "a.page"} | fields
    return uploads.keep(data, person=person, **given)


def test_what_is_kept_can_be_taken_again_and_again_until_it_is_discarded(folder, person):
    token = keep(person)
    for _ in range(2):
        kept = uploads.take(token, person=person, page="a.page")
        assert (kept.name, kept.size, kept.choices, kept.read()) == ("list.csv", 4, {"event": "7"}, b"data")
    kept.discard()
    kept.discard()
    with pytest.raises(uploads.Gone):
        uploads.take(token, person=person, page="a.page")


def test_only_the_server_reads_it(folder, person):
    keep(person)
    [path] = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777, len(path.name)) == (0o700, 0o600, 43)


def test_take_is_for_the_same_person_on_the_same_page(folder, person):
    token = keep(person)
    for refused in (
        {"token": token, "person": factories.UserProfileFactory(), "page": "a.page"},
        {"token": token, "person": person, "page": "another.page"},
        {"token": token + "x", "person": person, "page": "a.page"},
        {"token": "", "person": person, "page": "a.page"},
    ):
        with pytest.raises(uploads.Gone):
            uploads.take(**refused)


def test_a_token_ends_though_the_file_is_still_there(folder, person, monkeypatch):
    token = keep(person)
    monkeypatch.setattr(uploads, "LAST", -1)
    assert len(list(folder.iterdir())) == 1
    with pytest.raises(uploads.Gone):
        uploads.take(token, person=person, page="a.page")


def test_keep_sweeps_what_nobody_confirmed(folder, person):
    keep(person)
    [old] = folder.iterdir()
    os.utime(old, (time.time() - 3601, time.time() - 3601))
    keep(person)
    [new] = folder.iterdir()
    assert new.name != old.name
