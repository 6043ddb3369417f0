"""The registry of invariants, with faults planted past the triggers."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from attendance.models import Attendee
from config import integrity
from events.models import Event, IntegrityResult
from requests.models import JoinRequest
from requests.operations import join_requests
from tests.factories import AttendeeFactory, EventFactory, JoinRequestFactory

pytestmark = pytest.mark.django_db

NAMES = ["seats", "attendees", "approvals"]


def load(sql, *params):
    """Writes as a restore does: with every trigger off."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, params)
        cursor.execute("SET LOCAL session_replication_role = origin")


def approved(event, **fields):
    request = JoinRequestFactory(event=event, **fields)
    join_requests.approve(request_id=request.pk, actor=None)
    return request


def loaded(event, decided_at=None, **fields):
    """Approved, with nobody in the room."""
    request = JoinRequestFactory(event=event, **fields)
    load(
        "UPDATE event_join_requests SET status = 'approved', decided_at = %s WHERE id = %s",
        decided_at or timezone.now(),
        request.pk,
    )
    return request


def found(*names):
    return {one.invariant.name: (one.level, one.violations) for one in integrity.run(names)}


def violating(name):
    [invariant] = integrity.named([name])
    return list(invariant.violations())


@pytest.fixture
def healthy(event):
    approved(event, plus_ones=2)
    JoinRequestFactory(event=event)
    AttendeeFactory(event=event)
    AttendeeFactory(event=event, status="removed", plus_ones=1)
    join_requests.decline(request_id=approved(event).pk, actor=None)
    return event


def test_all_is_well(healthy):
    findings = integrity.run(NAMES)
    assert {one.invariant.name: (one.level, one.violations) for one in findings} == dict.fromkeys(NAMES, ("healthy", 0))
    assert integrity.worst(findings) == "healthy"
    assert integrity.EXIT_CODES[integrity.worst(findings)] == 0


def test_all_is_well_in_an_empty_house(db):
    [finding] = integrity.run(["attendees"])
    assert finding.as_dict() == {
        "name": "attendees",
        "promise": "Every approved join request has its active attendee.",
        "level": "healthy",
        "violations": 0,
        "figures": {
            "approvals_24h": 0,
            "with_attendee_24h": 0,
            "without_attendee_24h": 0,
            "success_rate_percent": "100.00",
            "approved": 0,
            "with_attendee": 0,
            "missing": 0,
        },
    }


def test_approved_without_attendee_is_found(healthy):
    request = loaded(healthy)
    assert violating("attendees") == [request]
    assert found(*NAMES) == {"seats": ("healthy", 0), "attendees": ("critical", 1), "approvals": ("healthy", 0)}


def test_approved_with_a_removed_attendee_is_found(healthy):
    request = approved(healthy)
    load("UPDATE event_attendees SET status = 'removed' WHERE join_request_id = %s", request.pk)
    assert violating("attendees") == [request]
    assert found("seats") == {"seats": ("critical", 1)}


def test_attendee_without_approval_is_found(healthy):
    request = approved(healthy)
    load("UPDATE event_join_requests SET status = 'declined' WHERE id = %s", request.pk)
    assert violating("approvals") == [Attendee.objects.get(join_request=request)]
    assert found("approvals") == {"approvals": ("critical", 1)}


@pytest.mark.parametrize("seats_taken", [0, 5, 400])
def test_miscounted_places_are_found(healthy, seats_taken):
    load("UPDATE events SET seats_taken = %s WHERE id = %s", seats_taken, healthy.pk)
    assert violating("seats") == [healthy]


def test_miscounted_places_of_an_event_with_nobody_are_found(healthy):
    empty = EventFactory()
    load("UPDATE events SET seats_taken = 1 WHERE id = %s", empty.pk)
    assert violating("seats") == [empty]


def test_violations_can_be_asked_for_one_event(healthy):
    other = EventFactory()
    here, there = loaded(healthy), loaded(other)
    [invariant] = integrity.named(["attendees"])
    assert list(invariant.violations(healthy.pk)) == [here]
    assert list(invariant.violations(other.pk)) == [there]


def test_figures_of_the_last_day(event):
    for _ in range(2):
        approved(event)
    loaded(event)
    loaded(event, decided_at=timezone.now() - timedelta(hours=25))
    [finding] = integrity.run(["attendees"])
    assert finding.figures == {
        "approvals_24h": 3,
        "with_attendee_24h": 2,
        "without_attendee_24h": 1,
        "success_rate_percent": "66.67",
        "approved": 4,
        "with_attendee": 2,
        "missing": 2,
    }


def test_repairs_mend_what_they_name(healthy):
    request = loaded(healthy, plus_ones=1)
    load("UPDATE events SET seats_taken = 77 WHERE id = %s", healthy.pk)
    assert set(integrity.repairs()) >= {"attendees", "seats"}
    assert "approvals" not in integrity.repairs()
    for name in ("seats", "attendees"):
        invariant = integrity.repairs()[name]
        assert invariant.repair(rows=[row.pk for row in invariant.violations()]) == 1
        assert invariant.repair(rows=[row.pk for row in invariant.violations()]) == 0
    assert found(*NAMES) == dict.fromkeys(NAMES, ("healthy", 0))
    assert Attendee.objects.get(join_request=request).plus_ones == 1
    assert Event.objects.get(pk=healthy.pk).seats_taken == 6


def test_results_are_kept_for_the_health_page(healthy):
    loaded(healthy)
    before = timezone.now()
    integrity.run(["attendees"])
    result = IntegrityResult.objects.get()
    assert (result.name, result.level, result.violations) == ("attendees", "critical", 1)
    assert result.figures["missing"] == 1
    assert before <= result.checked_at <= timezone.now()
    join_requests.backfill_attendees(rows=JoinRequest.objects.values_list("pk", flat=True))
    integrity.run(["attendees"])
    assert IntegrityResult.objects.values_list("level", "violations").get() == ("healthy", 0)


def test_what_is_wrong_is_logged(healthy, caplog):
    loaded(healthy)
    integrity.run(NAMES)
    lines = [(one.levelname, one.msg["event"], one.msg["name"], one.msg["violations"]) for one in caplog.records]
    assert lines == [("ERROR", "integrity.violated", "attendees", 1)]


def test_unknown_names_are_refused(db):
    with pytest.raises(KeyError):
        integrity.run(["no-such-thing"])


def test_all_without_names(db):
    assert set(NAMES) <= {one.invariant.name for one in integrity.run()}


def test_worst():
    invariant = integrity.Invariant("x", "x", violations=Event.objects.none)
    findings = {level: integrity.Finding(invariant, 0, {}, level) for level in integrity.EXIT_CODES}
    assert integrity.worst([]) == "healthy"
    assert integrity.worst([findings["healthy"], findings["critical"], findings["warning"]]) == "critical"
    assert integrity.worst([findings["warning"], findings["healthy"]]) == "warning"


def test_a_level_of_one_s_own(db):
    EventFactory()
    invariant = integrity.Invariant(
        "x", "x", violations=Event.objects.all, level=lambda count, figures: "warning" if count else "healthy"
    )
    assert invariant.check() == integrity.Finding(invariant, 1, {}, "warning")


def test_registered_twice_is_refused():
    with pytest.raises(AssertionError, match="seats is registered twice"):
        integrity.register(integrity.Invariant("seats", "x", violations=Event.objects.none))
