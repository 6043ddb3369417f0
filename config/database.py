"""What models need of PostgreSQL beyond Django: ids, guarded triggers, composite foreign keys."""

import uuid
from contextlib import contextmanager

import pgtrigger
import uuid_utils.compat
from django.db import connection, transaction
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import CharField, CheckConstraint, Func, Q
from django.db.models.constraints import BaseConstraint
from django.utils import timezone
from pgtrigger import compiler
from simple_history.utils import bulk_update_with_history


def uuid7() -> uuid.UUID:
    """A version 7 UUID: ordered by time, so that keys can be paged and indexes stay compact."""
    return uuid_utils.compat.uuid7()


def write(rows, fields, *, actor, reason: str | None = None) -> None:
    """Writes ``fields`` of locked rows of one model, and their history, in two statements.

    ``update()`` would leave no history; one row is saved plainly, which is the quicker half.
    """
    fields, now = [*fields, "updated_at"], timezone.now()
    for row in rows:
        row.updated_at = now
    if len(rows) == 1:
        [row] = rows
        row._history_user, row._change_reason = actor, reason
        row.save(update_fields=fields)
    else:
        bulk_update_with_history(rows, type(rows[0]), fields, default_user=actor, default_change_reason=reason)


def alone(work: str) -> bool:
    """Whether no other transaction is at the work of this name, which is this one's then, until it ends.

    For sweeps that tell by what was told last: one that finds another at it leaves it for the next time.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [work])
        return cursor.fetchone()[0]


def in_turn(work: str) -> None:
    """Waits until no other transaction is at the work of this name, which is this one's then, until it ends.

    For limits on what has no row to lock. Raises Busy.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [work])


class RandomCode(Func):
    """244 random bits, made by the database for rows that no application wrote; a column's db_default."""

    function = ""
    template = "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')"
    arity = 0
    output_field = CharField()


def known(field: str, choices, name: str) -> CheckConstraint:
    """The database checks a status against the same list that the code uses."""
    return CheckConstraint(condition=Q(**{f"{field}__in": choices.values}), name=name)


class GuardSql(compiler.UpsertTriggerSql):
    """pgtrigger's template without its ignore clause, and with a fixed search path.

    Every stock trigger steps aside for whoever sets ``pgtrigger.ignore``, and a temporary table
    could shadow the one a trigger reads. Ours hold for everybody who isn't a superuser.
    """

    def get_template(self) -> str:
        return """
            CREATE OR REPLACE FUNCTION {pgid}()
            RETURNS TRIGGER AS $$
                {declare}
                BEGIN
                    {func}
                END;
            $$ LANGUAGE plpgsql SET search_path = public, pg_temp;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE {constraint} TRIGGER {pgid}
                {when} {operation} ON {table}
                {timing}
                {referencing}
                FOR EACH {level} {condition}
                EXECUTE FUNCTION {execute};

            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


class Trigger(pgtrigger.Trigger):
    """The one kind of trigger Turnout declares: nobody talks it out of its work."""

    def compile(self, model):
        stock = super().compile(model)
        arguments = {key: value for key, value in stock.sql.kwargs.items() if key != "ignore_func_name"}
        return compiler.Trigger(name=self.name, sql=GuardSql(**arguments))


def violation(constraint: str, message: str, *values: str) -> str:
    """PL/pgSQL that refuses like a CHECK: an IntegrityError that carries the constraint's name.

    ``message`` is a RAISE format string, each ``%`` in it filled by one of ``values`` (SQL).
    """
    arguments = "".join(f", {value}" for value in values)
    return (
        f"RAISE EXCEPTION '{message}'{arguments} "
        f"USING ERRCODE = 'check_violation', CONSTRAINT = '{constraint}', TABLE = TG_TABLE_NAME;"
    )


def touched() -> Trigger:
    """Keeps ``updated_at`` true for bulk updates and raw SQL too: phones sync by it."""
    return Trigger(
        name="touched",
        level=pgtrigger.Row,
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        func="NEW.updated_at := clock_timestamp(); RETURN NEW;",
    )


def never_truncated(constraint: str) -> Trigger:
    """TRUNCATE fires no row triggers, so a table whose rows are guarded refuses it."""
    return Trigger(
        name="never_truncated",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func=violation(constraint, "% can not be truncated", "TG_TABLE_NAME"),
    )


def kept_counter(column: str) -> Trigger:
    """Leaves ``column`` to the triggers that count: a stale form or ``save()`` can't write it back.

    The depth is 1 when a statement from outside fires this trigger, more when a trigger does. It only
    ever keeps the old value: to count anew here would see, in a statement with a data-modifying CTE,
    rows that the counting triggers are yet to count. :func:`corrected` is for the tables' owner.
    """
    return Trigger(
        name=f"{column}_is_counted",
        level=pgtrigger.Row,
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        func=f"""
            IF pg_trigger_depth() = 1 THEN
                IF TG_OP = 'INSERT' THEN NEW.{column} := 0;
                ELSE NEW.{column} := OLD.{column};
                END IF;
            END IF;
            RETURN NEW;
        """,
    )


ACTOR, REASON = "turnout.actor", "turnout.reason"
"""Settings of a transaction that say, for records that triggers write, who does it and why."""


@contextmanager
def recorded_as(actor, reason: str = ""):
    """What is written within is on record as this person's; after a refusal the transaction's end forgets it."""
    told = "SELECT set_config(%s, %s, true), set_config(%s, %s, true)"
    with connection.cursor() as cursor:
        cursor.execute(told, [ACTOR, str(actor.pk) if actor else "", REASON, reason])
        yield
        cursor.execute(told, [ACTOR, "", REASON, ""])


def append_only(constraint: str, record: str) -> list[Trigger]:
    """For a table that other tables' triggers write: nobody else adds to it, and nobody changes it.

    ``record``: what it is, in the words of the refusal, which comes by ``constraint``.
    """
    refuse = violation(constraint, f"{record} is append-only")

    def never(verb, operation):
        return Trigger(
            name=f"never_{verb}", level=pgtrigger.Statement, when=pgtrigger.Before, operation=operation, func=refuse
        )

    return [
        Trigger(
            name="written_by_trigger_only",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            # 1 is a statement from outside, 2 one that a trigger makes.
            func=f"""
                IF pg_trigger_depth() < 2 THEN
                    {violation(constraint, f"{record} writes itself")}
                END IF;
                RETURN NULL;
            """,
        ),
        never("updated", pgtrigger.Update),
        never("deleted", pgtrigger.Delete),
        never_truncated(constraint),
    ]


@contextmanager
def corrected(model, column: str):
    """Within it, and for the tables' owner only, the counter may be written: a repair after loading
    past the triggers. Nobody else writes the table meanwhile."""
    trigger = next(one for one in model._meta.triggers if one.name == f"{column}_is_counted")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with deferred checks pending can't be altered
        trigger.disable(model)
        yield
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        trigger.enable(model)


def counting(*, parent: str, column: str, key: str, weight: str) -> list[Trigger]:
    """Statement-level triggers that keep ``parent.column`` the sum of ``weight`` of its child rows.

    ``key`` is the child's column that names the parent's ``id``; ``weight`` an SQL expression over
    one child row. Parents are locked in id order, so that bulk writes don't deadlock, and only
    those whose count changes are touched.
    """
    gained = f"SELECT {key} AS id, {weight} AS weight FROM new_rows"
    lost = f"SELECT {key} AS id, -({weight}) AS weight FROM old_rows"

    def trigger(operation, rows, **referencing):
        return Trigger(
            name=f"{column}_after_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(**referencing),
            func=f"""
                WITH changed AS (
                    SELECT id, sum(weight) AS delta FROM ({rows}) AS row_weights
                    GROUP BY id HAVING sum(weight) <> 0
                ), locked AS (
                    SELECT parent.id, changed.delta
                    FROM {parent} AS parent JOIN changed ON changed.id = parent.id
                    ORDER BY parent.id FOR NO KEY UPDATE OF parent
                )
                UPDATE {parent} SET {column} = {parent}.{column} + locked.delta
                FROM locked WHERE {parent}.id = locked.id;
                RETURN NULL;
            """,
        )

    return [
        trigger(pgtrigger.Insert, gained, new="new_rows"),
        trigger(pgtrigger.Update, f"{gained} UNION ALL {lost}", old="old_rows", new="new_rows"),
        trigger(pgtrigger.Delete, lost, old="old_rows"),
    ]


class CompositeForeignKey(BaseConstraint):
    """FOREIGN KEY (fields) REFERENCES to (to_fields) ON UPDATE CASCADE, which Django lacks.

    ``fields`` are names of this model's fields, ``to_fields`` those of the model ``to``
    ("app.Model"), where a unique constraint covers them. Checked at commit, like Django's own.
    """

    def __init__(self, *, name, fields, to, to_fields, violation_error_message=None):
        super().__init__(name=name, violation_error_message=violation_error_message)
        self.fields, self.to, self.to_fields = tuple(fields), to, tuple(to_fields)

    def _definition(self, model, schema_editor):
        target = model._meta.apps.get_model(self.to)

        def columns(of, names):
            return ", ".join(schema_editor.quote_name(of._meta.get_field(name).column) for name in names)

        return (
            f"CONSTRAINT {schema_editor.quote_name(self.name)} "
            f"FOREIGN KEY ({columns(model, self.fields)}) "
            f"REFERENCES {schema_editor.quote_name(target._meta.db_table)} ({columns(target, self.to_fields)}) "
            "ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED"
        )

    def constraint_sql(self, model, schema_editor):
        # The table referred to may come later in the same migration: added when all of it stands.
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))

    def create_sql(self, model, schema_editor):
        table = schema_editor.quote_name(model._meta.db_table)
        return f"ALTER TABLE {table} ADD {self._definition(model, schema_editor)}"

    def remove_sql(self, model, schema_editor):
        table = schema_editor.quote_name(model._meta.db_table)
        return f"ALTER TABLE {table} DROP CONSTRAINT {schema_editor.quote_name(self.name)}"

    def validate(self, model, instance, exclude=None, using=None):
        """Left to the database: no form edits these columns."""

    def __eq__(self, other):
        return isinstance(other, CompositeForeignKey) and self.deconstruct() == other.deconstruct()

    __hash__ = BaseConstraint.__hash__

    def deconstruct(self):
        path, args, kwargs = super().deconstruct()
        return path, args, kwargs | {"fields": self.fields, "to": self.to, "to_fields": self.to_fields}


def prepared():
    """A cursor whose statements PostgreSQL plans once a connection, for what is hot: planning a read of many
    tables takes longer than running it.

    Its parameters go beside the statement, so each needs a type that PostgreSQL can tell. Where queries are
    logged it is an ordinary one, as only that knows what was sent.
    """
    if connection.queries_logged:
        return connection.cursor()
    connection.ensure_connection()
    return connection._prepare_cursor(ServerBindingCursor(connection.connection))
