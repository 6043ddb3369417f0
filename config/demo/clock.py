"""How the demo stays fresh: everything that it made moves along with the day.

Agendas move by whole days on their own zone's clock; stamps of the past move by the exact time
gone by, so that none comes to lie in the future. Rows that somebody changed since keep their stamps.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import DateTimeField, DurationField, Exists, F, Func, OuterRef, Value

from events.importers import Schedule
from events.models import Organization

MADE = "Demo data"
"""The history's reason for what the demo makes."""


def anchor() -> datetime | None:
    """The moment that the demo data is relative to: the date of its organisations' first records."""
    records = Organization.history.filter(history_change_reason=MADE)
    return records.order_by("history_date").values_list("history_date", flat=True).first()


def set_anchor(moment: datetime) -> None:
    Organization.history.filter(history_change_reason=MADE).update(history_date=moment)


def days_between(before: datetime, after: datetime, zone: ZoneInfo) -> int:
    """Midnights in the zone between two moments."""
    return (after.astimezone(zone).date() - before.astimezone(zone).date()).days


def later(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same time of day on the zone's clock, ``days`` later."""
    local = moment.astimezone(zone).replace(tzinfo=None) + timedelta(days=days)
    return local.replace(tzinfo=zone).astimezone(UTC)


def later_sql(field: str, days: int, zone: ZoneInfo):
    """:func:`later` for a column."""
    local = Func(Value(zone.key), F(field), function="timezone", output_field=DateTimeField())
    moved = Func(local, Value(timedelta(days=days)), template="(%(expressions)s)", arg_joiner=" + ")
    return Func(Value(zone.key), moved, function="timezone", output_field=DateTimeField())


def move_agenda(rows, history, days: int, zone: ZoneInfo) -> None:
    """``starts_at`` moves on the zone's clock, and each row keeps its length, over a change of clocks too."""
    times = {"starts_at": later_sql("starts_at", days, zone)}
    times["ends_at"] = times["starts_at"] + (F("ends_at") - F("starts_at"))
    if days:
        rows.update(**times)
        history.update(**times)


def move_stamps(model, rows, fields: tuple[str, ...], demo) -> None:
    """Moves ``fields`` of the rows that nobody has touched since the anchor, and of their history."""
    gone_by = Value(demo.now - demo.anchor, output_field=DurationField())
    rows = rows.filter(created_at__lte=demo.anchor)
    moved = {name: F(name) + gone_by for name in fields}
    history = getattr(model, "history", None)
    if history is None:
        rows.update(**moved)
        return
    touched = history.filter(id=OuterRef("pk"), history_date__gt=demo.anchor)
    keys = list(rows.exclude(Exists(touched)).values_list("pk", flat=True))
    model.objects.filter(pk__in=keys).update(**moved)
    history.filter(id__in=keys).update(**moved, history_date=F("history_date") + gone_by)


def store(manager, rows, fields) -> None:
    """Writes ``fields`` of many rows in one statement. Django's bulk_update compares every row with all others."""
    of = manager.model._meta
    columns = [of.pk, *map(of.get_field, fields)]
    lists = ", ".join(f"%s::{one.db_type(connection)}[]" for one in columns)
    values = [[one.get_db_prep_save(getattr(row, one.attname), connection) for row in rows] for one in columns]
    names = [one.column for one in columns]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {of.db_table} AS row SET {', '.join(f'{name} = new.{name}' for name in names[1:])}"
            f" FROM unnest({lists}) AS new ({', '.join(names)}) WHERE row.{names[0]} = new.{names[0]}",
            values,
        )


def shifted(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule, in its own zone, with its first day today."""
    from dataclasses import replace

    zone = ZoneInfo(schedule.timezone or "UTC")
    days = days_between(min(one.starts_at for one in schedule.sessions), now, zone)
    sessions = [
        replace(
            one, starts_at=(start := later(one.starts_at, days, zone)), ends_at=start + (one.ends_at - one.starts_at)
        )
        for one in schedule.sessions
    ]
    return replace(schedule, sessions=tuple(sessions), starts_at=None, ends_at=None)
