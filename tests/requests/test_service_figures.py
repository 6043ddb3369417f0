"""How long customers wait, and what each mechanic did: exact, of rows made by hand."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.urls import reverse

from requests.models import ServiceSession, SessionRequest, SessionRequestLog
from requests.operations import taking
from requests.operations.figures import Period, Waits, waits, work
from tests import factories

from .test_board import signed_in, text

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
NONE = Waits(asked=0, accepted=0, median=None, p95=None, unattended=0, cancelled=0, open_now=0)


def minutes(number):
    return timedelta(minutes=number)


@contextmanager
def past_the_triggers():
    """Rows as they were written long ago, times and record included."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


def made(event, asked, steps, *, ago=timedelta(0), organization=None):
    """A request that was asked for ``asked`` minutes before now, and what became of it: (minutes later, status,
    mechanic, reason)."""
    created = NOW - ago - minutes(asked)
    customer = factories.UserProfileFactory()
    whose = {"organization": organization or event.organization, "event": event, "customer": customer}
    with past_the_triggers():
        session = ServiceSession.objects.create(**whose)
        request = SessionRequest(**whose, session=session, created_at=created, waiting_since=created)
        log = [SessionRequestLog(to_status="pending", reason="asked", at=created)]
        for later, status, mechanic, reason in steps:
            at = created + minutes(later)
            log.append(
                SessionRequestLog(
                    from_status=request.status,
                    to_status=status,
                    from_mechanic_id=request.mechanic_id,
                    to_mechanic=mechanic,
                    reason=reason,
                    at=at,
                )
            )
            request.status, request.mechanic = status, mechanic
            if status == "accepted":
                request.accepted_at = at
                request.first_accepted_at = request.first_accepted_at or at
            if status == "pending":
                request.accepted_at = None
            request.closed_at = at if status in ("completed", "cancelled") else None
        request.save(force_insert=True)
        for one in log:
            one.request, one.organization = request, whose["organization"]
        SessionRequestLog.objects.bulk_create(log)
    return request


@pytest.fixture
def max_(event):
    return factories.MechanicFactory(organization=event.organization, display_name="Max")


@pytest.fixture
def ines(event):
    return factories.MechanicFactory(organization=event.organization, display_name="Ines")


@pytest.fixture
def shift(event, max_, ines):
    """Six requests of an afternoon."""
    accepted, done = "accepted", "completed"
    made(event, 100, [(1, accepted, max_, accepted), (30, done, max_, done)])
    made(event, 90, [(3, accepted, max_, accepted), (10, "pending", None, "released"),
                     (16, accepted, ines, accepted), (40, done, ines, done)])  # fmt: skip
    made(event, 80, [(10, "unattended", None, "unattended"), (12, accepted, ines, "takeover")])
    made(event, 70, [(2, accepted, ines, accepted), (17, "pending", None, "idle"),
                     (27, "unattended", None, "unattended"), (30, "cancelled", None, "cancelled")])  # fmt: skip
    made(event, 60, [(4, "cancelled", None, "replaced")])
    made(event, 55, [])


def test_none_at_all(event):
    for period in Period:
        assert waits([event.organization_id], period, at=NOW) == NONE
        assert waits([], period, at=NOW) == NONE
        assert work([event.organization_id], period, at=NOW) == []
    assert NONE.share is None


def test_waits_of_an_afternoon(event, shift):
    found = waits([event.organization_id], Period.TODAY, at=NOW)
    assert found == Waits(
        asked=6,
        accepted=4,
        median=timedelta(minutes=2, seconds=30),  # of 1, 2, 3 and 12
        p95=timedelta(minutes=10, seconds=39),
        unattended=2,
        cancelled=1,
        open_now=1,
    )
    assert found.share == 2 / 6


def test_work_of_an_afternoon(event, max_, ines, shift):
    found = [
        (one.id, one.name, one.active, one.taken, one.completed, one.back, one.idle, one.median)
        for one in work([event.organization_id], Period.TODAY, at=NOW)
    ]
    assert found == [
        # Accepted after 6 minutes (since it was handed back) and after 2; what she was given doesn't count.
        (ines.pk, "Ines", True, 3, 1, 0, 1, minutes(4)),
        (max_.pk, "Max", True, 2, 1, 1, 0, minutes(2)),
    ]


def test_who_goes_off_duty_gives_back_and_who_is_only_given_things_has_no_time(event, max_):
    made(event, 20, [(5, "accepted", max_, "takeover"), (9, "pending", None, "off_duty")])
    [one] = work([event.organization_id], Period.TODAY, at=NOW)
    assert (one.taken, one.completed, one.back, one.idle, one.median) == (1, 0, 1, 0, None)


def test_periods(event, max_):
    for ago in (minutes(0), timedelta(days=2), timedelta(days=10), timedelta(days=40)):
        made(event, 5, [(1, "accepted", max_, "accepted"), (2, "completed", max_, "completed")], ago=ago)
    of = [event.organization_id]
    assert [waits(of, period, at=NOW).asked for period in Period] == [1, 2, 3, 4]
    assert [work(of, period, at=NOW)[0].taken for period in Period] == [1, 2, 3, 4]


def test_today_is_a_day_of_the_events_own_clock(event):
    event.timezone = "America/Los_Angeles"  # seven hours behind: today began at 07:00
    event.save()
    made(event, 299, [])
    made(event, 301, [])
    made(None, 719, [], organization=event.organization)  # of no event: since midnight by UTC
    made(None, 721, [], organization=event.organization)
    assert waits([event.organization_id], Period.TODAY, at=NOW).asked == 2
    assert waits([event.organization_id], Period.TODAY, at=NOW).open_now == 4


def test_of_one_event_or_of_the_organisations_that_are_asked_for(event, max_):
    second = factories.EventFactory(organization=event.organization)
    foreign = factories.EventFactory()
    for one in (event, second, foreign):
        made(one, 5, [(1, "accepted", max_, "accepted")])
    assert waits([event.organization_id], Period.ALL, at=NOW).asked == 2
    assert waits([event.organization_id], Period.ALL, event_id=second.pk, at=NOW).asked == 1
    assert waits([event.organization_id], Period.ALL, event_id=foreign.pk, at=NOW).asked == 0
    assert waits([event.organization_id, foreign.organization_id], Period.ALL, at=NOW).asked == 3
    assert [one.taken for one in work([event.organization_id], Period.ALL, event_id=second.pk, at=NOW)] == [1]


def test_what_operations_do_is_counted_alike(event, max_):
    request = factories.service_request(event, mechanic=max_)
    taking.complete(request_id=request.pk, actor=max_.user_profile)
    found = waits([event.organization_id], Period.TODAY)
    assert (found.asked, found.accepted, found.unattended, found.cancelled, found.open_now) == (1, 1, 0, 0, 0)
    [one] = work([event.organization_id], Period.TODAY)
    assert (one.name, one.taken, one.completed, one.back, one.idle) == ("Max", 1, 1, 0, 0)
    assert (
        one.median
        == SessionRequestLog.objects.get(to_status="accepted").at
        - SessionRequestLog.objects.get(to_status="pending").at
    )


# -- Their page ----------------------------------------------------------------------------------------------

PAGE = reverse("admin:requests_sessionrequest_figures")


def test_the_page_shows_them_to_whoever_looks_after_the_organisation(event, organizer, shift):
    desk = signed_in(organizer)
    seen = text(desk.get(PAGE, {"period": "all"}))
    for piece in (
        "Asked for help 6",
        "half within 2 min 30 s",
        "95 of 100 within 10 min 39 s",
        "Unattended 2 33 %",
        "Cancelled while waiting 1",
        "Waiting now 1",
        "Ines 3 1 0 1 4 min 00 s",
        "Max 2 1 1 0 2 min 00 s",
    ):
        assert piece in seen, piece
    other = signed_in(factories.member(factories.OrganizationFactory(), "organizer"))
    empty = text(other.get(PAGE, {"period": "all", "of": f"e{event.pk}"}))
    assert "Asked for help 0" in empty and "within –" in empty and "No mechanic did anything" in empty
    assert str(event) not in empty
    assert signed_in(factories.member(event.organization, "door")).get(PAGE).status_code == 403


def test_the_page_of_an_event(event, organizer, shift):
    second = factories.EventFactory(organization=event.organization, title="Hill Climb")
    made(second, 5, [])
    desk = signed_in(organizer)
    page = desk.get(PAGE, {"of": f"e{second.pk}"})
    assert "Service figures: Hill Climb" in text(page) and page.context["period"] == "all"
    assert page.context["waits"].asked == 1
    for nonsense in ({"period": "x"}, {"of": "e"}, {"of": f"o{event.pk}9999"}):
        assert desk.get(PAGE, nonsense).context["period"] == "today"
