"""A world that is made once for all tests of a module."""

import pytest
from django.db import transaction

from config import demo


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
        return demo.build()
