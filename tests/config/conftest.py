"""Worlds that are made once for all tests of a module."""

import logging

import pytest
from django.db import transaction

from config import demo

from . import roles


@pytest.fixture(scope="module")
def in_one_transaction(django_db_setup, django_db_blocker):
    """Around the transactions of a module's tests: what is made in it they all find, and none leaves a trace."""
    with django_db_blocker.unblock():
        around = transaction.atomic()
        around.__enter__()
    yield
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture(scope="module")
def demo_made(in_one_transaction, django_db_blocker):
    with django_db_blocker.unblock():
        made = demo.build()
        roles.check_deferred()  # once; or else each test, at its end, checks all that was made before it
        return made


@pytest.fixture(scope="module")
def _both_organizations(in_one_transaction, django_db_blocker):
    with django_db_blocker.unblock():
        return roles.both_organizations()


@pytest.fixture
def world(_both_organizations, db):
    """Of the walk of roles."""
    return _both_organizations


@pytest.fixture
def quiet():
    """Thousands of requests, most of them refused: what the log says of each takes longer than the answer."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
