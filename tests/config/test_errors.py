"""One vocabulary of failure: from constraint names and lost connections to what each door says."""

import psycopg
import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.http import Http404
from django.test import RequestFactory

from attendance.operations.room import EventFull
from config import errors
from config.errors import (
    Busy,
    ConstraintViolated,
    DatabaseUnavailableMiddleware,
    DomainError,
    NotFound,
    Outcome,
    Unavailable,
    lock,
    lock_event_of,
    lock_with_event,
    operation,
    translate,
    translated,
)
from events.models import Event, Organization
from requests.models import JoinRequest
from rsvp.operations.standing import SessionFull
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, OrganizationFactory, UserProfileFactory


def database_error(cause, kind=OperationalError):
    error = kind("x")
    error.__cause__ = cause
    return error


def test_sentence_with_figures_and_without():
    assert str(EventFull(taken=50, capacity=50, needed=3)) == (
        "The event is full: 50 of 50 places taken; this request needs 3."
    )
    assert str(EventFull()) == "The event's capacity is smaller than the places taken."
    assert str(NotFound()) == "There is no such thing, or you may not see it."


def test_facts_are_for_programs_and_nothing_else_is():
    told = {"capacity": 50, "seats_taken": 50, "waitlist_length": 3}
    assert SessionFull(**told).details == told
    assert SessionFull().details == {}
    assert EventFull(taken=50, capacity=50, needed=3).details == {}


def test_constraint_belongs_to_one_error():
    with pytest.raises(AssertionError, match="events_event_seats_within_capacity belongs to EventFull already"):
        type("Another", (DomainError,), {"constraints": EventFull.constraints})


def test_subclass_may_share_its_parent_s_constraints():
    type("Fuller", (EventFull,), {})
    assert DomainError.by_constraint["events_event_seats_within_capacity"] is EventFull


@pytest.mark.django_db
def test_constraint_names_of_errors_exist_in_the_database():
    with connection.cursor() as cursor:
        # A unique constraint over an expression is an index to PostgreSQL.
        cursor.execute("SELECT conname FROM pg_constraint UNION SELECT relname FROM pg_class WHERE relkind = 'i'")
        names = {row[0] for row in cursor.fetchall()}
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname LIKE 'pgtrigger_%'")
        raised = " ".join(row[0] for row in cursor.fetchall())
    assert [one for one in DomainError.by_constraint if one not in names and f"'{one}'" not in raised] == []


@pytest.mark.django_db
def test_known_constraint_becomes_its_error():
    event = EventFactory(capacity=1)
    with pytest.raises(EventFull) as caught, translated(), transaction.atomic():
        AttendeeFactory(event=event, plus_ones=1)
    assert isinstance(caught.value.__cause__, IntegrityError)


@pytest.mark.django_db
def test_unknown_constraint_is_named():
    row = AttendeeFactory()
    with pytest.raises(ConstraintViolated) as caught, translated(), transaction.atomic():
        type(row).objects.update(plus_ones=-1)
    assert str(caught.value) == "The database refused this: event_attendees_plus_ones_check."
    assert (caught.value.status, caught.value.code) == (409, "conflict")


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (psycopg.errors.LockNotAvailable(), Busy),
        (psycopg.errors.DeadlockDetected(), Busy),
        (psycopg.errors.SerializationFailure(), Busy),
        (psycopg.errors.QueryCanceled(), Busy),
        (psycopg.errors.AdminShutdown(), Unavailable),
        (psycopg.errors.CannotConnectNow(), Unavailable),
        (psycopg.errors.ConnectionFailure(), Unavailable),
        (psycopg.errors.TooManyConnections(), Unavailable),
        (psycopg.errors.DiskFull(), Unavailable),
        (psycopg.OperationalError("connection refused"), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_state_becomes_its_error(cause, expected):
    assert type(translate(database_error(cause))) is expected


@pytest.mark.parametrize("cause", [psycopg.errors.SyntaxError(), psycopg.errors.UndefinedTable(), None])
def test_defect_of_ours_stays_what_it_is(cause):
    assert translate(database_error(cause, DatabaseError)) is None
    with pytest.raises(DatabaseError), translated():
        raise database_error(cause, DatabaseError)


def test_other_errors_pass_through():
    with pytest.raises(ValueError, match="mine"), translated():
        raise ValueError("mine")


@pytest.mark.django_db
def test_operation_rolls_back_and_translates():
    @operation
    def fail(*, name):
        OrganizationFactory(slug=name)
        OrganizationFactory(slug=name)

    with pytest.raises(ConstraintViolated):
        fail(name="twice")
    assert not Organization.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_operation_translates_what_the_commit_refuses():
    request = JoinRequestFactory()

    @operation
    def lie(*, pk):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE event_join_requests SET status = 'approved', decided_at = now() WHERE id = %s", [pk])

    with pytest.raises(DomainError) as caught:
        lie(pk=request.pk)
    assert caught.value.code == "request_inconsistent"
    request.refresh_from_db()
    assert request.status == "pending"


@pytest.mark.django_db
def test_operation_inside_another_is_a_savepoint():
    @operation
    def inner(*, slug):
        OrganizationFactory(slug=slug)
        raise NotFound

    @operation
    def outer():
        OrganizationFactory(slug="stays")
        with pytest.raises(NotFound):
            inner(slug="goes")

    outer()
    assert list(Organization.objects.values_list("slug", flat=True)) == ["stays"]


def test_operation_takes_keywords_only():
    with pytest.raises(TypeError):
        operation(lambda **kwargs: None)(1)


@pytest.mark.django_db
def test_lock_of_a_missing_row():
    for find in (
        lambda: lock(Event.objects, pk=2**62),
        lambda: lock_event_of(JoinRequest, "018f0000-0000-7000-8000-000000000000"),
        lambda: lock_with_event(JoinRequest, "018f0000-0000-7000-8000-000000000000"),
    ):
        with pytest.raises(NotFound):
            find()


@pytest.mark.django_db
def test_lock_with_event_locks_the_event_first(django_assert_num_queries):
    request = JoinRequestFactory()
    with django_assert_num_queries(3) as captured:
        event, row = lock_with_event(JoinRequest, request.pk)
    assert (event, row) == (request.event, request)
    locking = [one["sql"] for one in captured.captured_queries if "FOR NO KEY UPDATE" in one["sql"]]
    assert ["events" in sql.split("FROM", 1)[1].split("WHERE")[0] for sql in locking] == [True, False]


@pytest.mark.django_db
def test_lock_needs_a_transaction_of_its_own_only_where_there_is_none(transactional_db):
    event = EventFactory()
    with pytest.raises(transaction.TransactionManagementError):
        lock(Event.objects, pk=event.pk)


@pytest.mark.django_db
def test_lock_timeout_is_three_seconds_for_every_connection():
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("3s",)


def test_outcome_says_row_and_changed():
    assert Outcome("row", changed=False) == ("row", False)


def test_reference_without_a_request():
    assert errors.reference() == "-"


# -- Pages ---------------------------------------------------------------------------------------


def page(error):
    def view(request):
        raise error

    return DatabaseUnavailableMiddleware(view).process_exception(RequestFactory().get("/"), error)


@pytest.mark.parametrize(
    ("cause", "seconds"), [(psycopg.OperationalError("gone"), "5"), (psycopg.errors.LockNotAvailable(), "1")]
)
def test_page_without_a_database_asks_to_come_back(cause, seconds):
    answer = page(database_error(cause))
    assert (answer.status_code, answer["Retry-After"]) == (503, seconds)


@pytest.mark.parametrize(
    "error", [Http404(), PermissionDenied(), ValueError(), database_error(psycopg.errors.SyntaxError(), DatabaseError)]
)
def test_page_leaves_other_errors_to_django(error):
    assert page(error) is None


# -- The API's answers ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_unforeseen_error_has_a_reference_that_the_log_has_too(as_person, caplog):
    api = as_person(UserProfileFactory())
    api.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE event_join_requests RENAME COLUMN comments TO remarks")
    response = api.get("/api/v1/join-requests/")
    lines = [one.msg for one in caplog.records if isinstance(one.msg, dict)]
    [line] = [one for one in lines if one["event"] == "api.unexpected_error"]
    assert response.status_code == 500
    assert len(line["request_id"]) == 36
    assert response.json() == {
        "type": "server_error",
        "errors": [
            {
                "code": "error",
                "detail": f"Something went wrong on our side. Reference: {line['request_id']}",
                "attr": None,
            }
        ],
    }
    assert "UndefinedColumn" in line["exception"]
