"""Making an event's agenda out of a public schedule, and following that schedule when it changes.

Preview and doing share one plan: a dry run makes it and reports, the real run also writes it.
"""

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, lock, operation
from events.importers import Schedule
from events.models import Event, Organization

from .plan import IMPORTED, Plan, find_event
from .report import Change, Entry, Gone, Report
from .writing import write

__all__ = ["IMPORTED", "Change", "Entry", "Gone", "Report", "ScheduleHasProblems", "import_schedule"]


class ScheduleHasProblems(DomainError):
    """Only where asked to be strict; otherwise bad items are left out and told."""

    code = "schedule_has_problems"
    status = 422
    message = _("Nothing was imported, because {count} of the schedule's items can't be used: {items}")


@operation
def import_schedule(
    *,
    organization: Organization,
    schedule: Schedule,
    actor,
    event_id: int | None = None,
    dry_run: bool = False,
    strict: bool = False,
    progress: Callable[[int], Any] | None = None,
) -> Report:
    """Makes a draft event of the schedule, or brings the event made of it before up to date.

    The event is the one named, else the organisation's event of the same acronym or title. Sessions
    that are gone are deleted; those that anything of another app refers to are marked cancelled.
    Locks the organisation (two first imports make one event), then the event, its rooms, speakers and sessions.
    ``progress`` is called with the number of rooms, speakers and sessions that were just dealt with.
    Raises NotFound, ScheduleHasProblems (only if ``strict``), Busy.
    """
    if strict and schedule.problems:
        items = "; ".join(f"{one.item}: {one.reason}" for one in schedule.problems[:20])
        more = f"; and {len(schedule.problems) - 20} more" if len(schedule.problems) > 20 else ""
        raise ScheduleHasProblems(count=len(schedule.problems), items=items + more)
    if not dry_run:
        lock(Organization.objects, pk=organization.pk)
    found, key = find_event(organization, schedule, event_id)
    if found is not None and not dry_run:
        found = lock(Event.objects, pk=found.pk)
    plan = Plan(organization, found, key, schedule, dry_run)
    if not dry_run:
        write(plan, actor, progress or (lambda count: None))
    return plan.report
