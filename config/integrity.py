"""The registry of invariants: what each app promises, how to see it broken, how to mend it.

From this one list come ``check_integrity``, ``backfill NAME``, the daily task, the health page in
the admin and the metrics. Each app registers its own in ``<app>/integrity.py``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from django.db.models import QuerySet
from django.utils import timezone

log = structlog.get_logger(__name__)

HEALTHY, WARNING, CRITICAL = "healthy", "warning", "critical"
EXIT_CODES = {HEALTHY: 0, WARNING: 1, CRITICAL: 2}


@dataclass(frozen=True)
class Invariant:
    """One promise.

    ``violations`` gives the rows that break it. ``repair(rows=…)`` mends a batch of their primary
    keys and returns how many it mended. ``figures`` adds what operators want to see beside the
    verdict, as a flat dict. ``level(violations, figures)`` may grade; by default any violation is
    critical.
    """

    name: str
    promise: str
    violations: Callable[[], QuerySet]
    repair: Callable[..., int] | None = None
    repair_name: str | None = None
    figures: Callable[[], dict] = dict
    level: Callable[[int, dict], str] = field(default=lambda count, figures: CRITICAL if count else HEALTHY)

    def check(self) -> "Finding":
        count, figures = self.violations().count(), self.figures()
        return Finding(self, count, figures, self.level(count, figures))


@dataclass(frozen=True)
class Finding:
    invariant: Invariant
    violations: int
    figures: dict
    level: str

    def as_dict(self) -> dict:
        return {
            "name": self.invariant.name,
            "promise": str(self.invariant.promise),
            "level": self.level,
            "violations": self.violations,
            "figures": self.figures,
        }


_registry: dict[str, Invariant] = {}


def register(*invariants: Invariant) -> None:
    for invariant in invariants:
        assert invariant.name not in _registry, f"{invariant.name} is registered twice"
        _registry[invariant.name] = invariant


def all_invariants() -> list[Invariant]:
    return list(_registry.values())


def named(names: Iterable[str]) -> list[Invariant]:
    """The invariants of these names; all of them for none. Raises KeyError for an unknown one."""
    return [_registry[name] for name in names] or all_invariants()


def repairs() -> dict[str, Invariant]:
    """What ``backfill`` can be asked for, by name."""
    return {one.repair_name or one.name: one for one in _registry.values() if one.repair}


def run(names: Iterable[str] = ()) -> list[Finding]:
    """Checks, logs what is wrong, and keeps the results for the health page and the metrics."""
    from django.apps import apps  # the table lives in events, config has none

    findings = [invariant.check() for invariant in named(names)]
    results = apps.get_model("events", "IntegrityResult").objects
    for finding in findings:
        if finding.level != HEALTHY:
            report = log.error if finding.level == CRITICAL else log.warning
            report("integrity.violated", **finding.as_dict())
        results.update_or_create(
            name=finding.invariant.name,
            defaults={
                "level": finding.level,
                "violations": finding.violations,
                "figures": finding.figures,
                "checked_at": timezone.now(),
            },
        )
    return findings


def worst(findings: Iterable[Finding]) -> str:
    return max((finding.level for finding in findings), key=EXIT_CODES.get, default=HEALTHY)
