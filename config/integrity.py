"""The registry of invariants: what each app promises, how to see it broken, how to mend it.

From this one list come ``check_integrity``, ``backfill NAME``, the daily task, the health page in
the admin and the metrics. Each app registers its own in ``<app>/integrity.py``, which is read when
the list is first asked for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from inspect import signature

import structlog
from django.apps import apps
from django.db import DatabaseError, models, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.errors import translated

log = structlog.get_logger(__name__)

HEALTHY, WARNING, CRITICAL = "healthy", "warning", "critical"
EXIT_CODES = {HEALTHY: 0, WARNING: 1, CRITICAL: 2}


def any_is_critical(violations: int, figures: dict) -> str:
    return CRITICAL if violations else HEALTHY


def any_is_a_warning(violations: int, figures: dict) -> str:
    return WARNING if violations else HEALTHY


@dataclass(frozen=True)
class Invariant:
    """One promise.

    ``violations()`` gives the rows that break it; those of one event, where it takes an
    ``event_id``, or of one guest, where it takes a ``guest_id``. ``repair(rows=…)`` mends a batch of
    their primary keys, inside a transaction, and returns how many it mended; rows that are right by
    now it must leave alone. ``figures`` adds what operators want to see beside the verdict, as a flat
    dict. ``level(violations, figures)`` may grade.
    """

    name: str
    promise: str
    violations: Callable[..., QuerySet]
    repair: Callable[..., int] | None = None
    repair_name: str | None = None
    figures: Callable[[], dict] = dict
    level: Callable[[int, dict], str] = field(default=any_is_critical)

    def narrows_by(self, name: str) -> bool:
        """Whether :meth:`rows` takes this keyword."""
        return name in signature(self.violations).parameters

    def rows(self, **narrowed) -> QuerySet:
        """What breaks the promise: of one event (``event_id``), say, or of all. None narrows nothing."""
        return self.violations(**{name: value for name, value in narrowed.items() if value is not None})

    def check(self) -> "Finding":
        count, figures = self.rows().count(), self.figures()
        return Finding(self, count, figures, self.level(count, figures))

    def mend(self, *, batch_size: int = 500, **narrowed) -> Iterator[tuple[int, int]]:
        """Repairs batch by batch, each in its own transaction; yields (rows tried, rows mended) of each.

        It goes by primary key, so a row that its repair leaves as it is stops nothing; and it may be
        stopped at any time, as the next run starts from what is still broken. Raises DomainErrors.
        """
        rows, last = self.rows(**narrowed).order_by("pk"), None
        while True:
            rest = rows if last is None else rows.filter(pk__gt=last)
            batch = list(rest.values_list("pk", flat=True)[:batch_size])
            if not batch:
                return
            with translated(), transaction.atomic():
                mended = self.repair(rows=batch)
            yield len(batch), mended
            last = batch[-1]


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


def _load() -> dict[str, Invariant]:
    """The registry, after every app had its say; a module is read once, however often this is called."""
    autodiscover_modules("integrity")
    return _registry


def all_invariants() -> list[Invariant]:
    return list(_load().values())


def named(names: Iterable[str]) -> list[Invariant]:
    """The invariants of these names; all of them for none. Raises KeyError for an unknown one."""
    registry = _load()
    return [registry[name] for name in names] or all_invariants()


def repairs() -> dict[str, Invariant]:
    """What ``backfill`` can be asked for, by name."""
    found = {one.repair_name or one.name: one for one in all_invariants() if one.repair}
    assert len(found) == sum(1 for one in all_invariants() if one.repair), "two backfills have one name"
    return found


def run(names: Iterable[str] = ()) -> list[Finding]:
    """Checks, logs what is wrong, and keeps the results for the health page and the metrics."""
    invariants = named(names)
    findings = [invariant.check() for invariant in invariants]
    for finding in findings:
        if finding.level != HEALTHY:
            report = log.error if finding.level == CRITICAL else log.warning
            report("integrity.violated", **finding.as_dict())
        _results().update_or_create(
            name=finding.invariant.name,
            defaults={
                "level": finding.level,
                "violations": finding.violations,
                "figures": finding.figures,
                "checked_at": timezone.now(),
            },
        )
    # A check that no longer exists must not stay red for ever.
    _results().exclude(name__in=[one.name for one in all_invariants()]).delete()
    return findings


def _results() -> models.Manager:
    return apps.get_model("events", "IntegrityResult").objects  # config has no tables


def worst(findings: Iterable[Finding]) -> str:
    return max((finding.level for finding in findings), key=EXIT_CODES.get, default=HEALTHY)


class Metrics(Collector):
    """The last results at the moment of a scrape; a scrape never checks, which may take long."""

    def describe(self):
        return self._families()

    def _families(self):
        return (
            GaugeMetricFamily(
                "turnout_integrity_violations", "Rows that break a promise, when last checked.", labels=["check"]
            ),
            GaugeMetricFamily(
                "turnout_integrity_level", "0: the promise holds, 1: a warning, 2: critical.", labels=["check"]
            ),
            GaugeMetricFamily(
                "turnout_integrity_checked_timestamp_seconds", "When a promise was last checked.", labels=["check"]
            ),
        )

    def collect(self):
        violations, levels, checked = self._families()
        try:
            for name, level, count, moment in _results().values_list("name", "level", "violations", "checked_at"):
                violations.add_metric([name], count)
                levels.add_metric([name], EXIT_CODES[level])
                checked.add_metric([name], moment.timestamp())
        except DatabaseError:  # the other metrics are wanted all the more
            log.warning("integrity.metrics_unavailable", exc_info=True)
        return violations, levels, checked


REGISTRY.register(Metrics())
