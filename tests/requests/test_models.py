"""What the database promises of join requests, to whoever writes."""

import pytest
from django.db import IntegrityError, connection, transaction

from attendance.models import Attendee
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory, UserProfileFactory


def refused(sql, *params, constraint):
    """Runs SQL in its own transaction, which must fail at the latest at commit, by this name."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
    assert caught.value.__cause__.diag.constraint_name == constraint


@pytest.fixture
def ignoring_every_trigger(transactional_db):
    """The setting that stock pgtrigger triggers obey, naming all of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(tgname::text) FROM pg_trigger WHERE NOT tgisinternal")
        names = cursor.fetchone()[0]
        assert len(names) > 10
        cursor.execute("SELECT set_config('pgtrigger.ignore', %s, false)", ["{" + ",".join(names) + "}"])
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pgtrigger.ignore', '', false)")


def approved(**fields):
    request = JoinRequestFactory(**fields)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE event_join_requests SET status = 'approved', decided_at = now() WHERE id = %s", [request.pk]
        )
        attendee = AttendeeFactory(event=request.event, user_profile=request.user_profile, join_request=request)
    return request, attendee


@pytest.mark.django_db(transaction=True)
def test_approving_without_attendee_is_refused_at_commit():
    request = JoinRequestFactory()
    refused(
        "UPDATE event_join_requests SET status = 'approved', decided_at = now() WHERE id = %s",
        request.pk,
        constraint="requests_joinrequest_approved_has_attendee",
    )
    request.refresh_from_db()
    assert request.status == "pending"
