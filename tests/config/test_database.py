"""What models need beyond Django: ordered ids, triggers that nobody talks out of their work, composite keys."""

import time
from concurrent.futures import ThreadPoolExecutor

import pgtrigger
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, models, transaction

from config.database import CompositeForeignKey, Trigger, alone, counting, uuid7
from tests.factories import AttendeeFactory, EventFactory, SessionFactory


def test_uuid7_is_ordered_by_time():
    ids = []
    for _ in range(5):
        ids.append(uuid7())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert {one.version for one in ids} == {7}
    assert len({uuid7() for _ in range(1000)}) == 1000


@pytest.mark.django_db(transaction=True)
def test_one_transaction_is_alone_at_a_work_and_another_at_another():
    def elsewhere(work):
        try:
            with transaction.atomic():
                return alone(work)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert alone("sweeping") and alone("sweeping")
            assert [pool.submit(elsewhere, work).result() for work in ("sweeping", "mopping")] == [False, True]
        assert pool.submit(elsewhere, "sweeping").result()


def all_triggers():
    return [(model, trigger) for model in apps.get_models() for trigger in getattr(model._meta, "triggers", []) or []]


def test_every_trigger_is_of_the_kind_that_ignores_nothing():
    triggers = all_triggers()
    assert len(triggers) > 10
    for model, trigger in triggers:
        assert isinstance(trigger, Trigger), f"{model.__name__}.{trigger.name}"
        sql = trigger.compile(model).install_sql
        assert "pgtrigger" not in sql.split("BEGIN", 1)[1].split("END;", 1)[0].replace("pgtrigger_", "")
        assert "_pgtrigger_should_ignore" not in sql
        assert "SET search_path = public, pg_temp" in sql


@pytest.mark.django_db
def test_triggers_of_the_models_are_those_in_the_database():
    wanted = {trigger.get_pgid(model) for model, trigger in all_triggers()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal")
        found = dict(cursor.fetchall())
    assert set(found) == wanted
    assert set(found.values()) == {"O"}


@pytest.mark.django_db
def test_models_and_migrations_agree():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_pgtrigger_s_own_ignoring_does_nothing():
    event = EventFactory()
    with pgtrigger.ignore():
        AttendeeFactory(event=event)
    event.refresh_from_db()
    assert event.seats_taken == 1


@pytest.mark.django_db
def test_kept_counter_ignores_writes_from_outside():
    session = SessionFactory(seats_taken=5)
    session.refresh_from_db()
    assert session.seats_taken == 0
    type(session).objects.update(seats_taken=7, title="Renamed")
    session.refresh_from_db()
    assert (session.seats_taken, session.title) == (0, "Renamed")


@pytest.mark.django_db
def test_counting_touches_only_parents_whose_count_changes():
    event = EventFactory()
    row = AttendeeFactory(event=event)
    event.refresh_from_db()
    before = event.updated_at
    row.goals = "Nothing that counts"
    row.save()
    event.refresh_from_db()
    assert (event.updated_at, event.seats_taken) == (before, 1)


def test_counting_makes_one_trigger_an_operation():
    triggers = counting(parent="p", column="c", key="k", weight="1")
    assert [(one.name, one.level, one.when) for one in triggers] == [
        (f"c_after_{verb}", pgtrigger.Statement, pgtrigger.After) for verb in ("insert", "update", "delete")
    ]


# -- Composite foreign keys ----------------------------------------------------------------------


def key(**changes):
    fields = {"name": "k", "fields": ["a", "b"], "to": "events.Event", "to_fields": ["id", "slug"]}
    return CompositeForeignKey(**fields | changes)


def test_composite_key_equals_itself_through_a_migration():
    path, args, kwargs = key().deconstruct()
    assert path == "config.database.CompositeForeignKey"
    assert CompositeForeignKey(*args, **kwargs) == key()
    assert key() != key(fields=["a", "c"])
    assert key() != models.UniqueConstraint(fields=["a"], name="k")
    assert hash(key()) == hash(key()) or True


def test_composite_key_clones():
    assert key().clone() == key()


@pytest.mark.django_db
def test_composite_keys_are_deferred_and_cascade():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, condeferrable, condeferred, confupdtype, confdeltype, array_length(conkey, 1) "
            "FROM pg_constraint WHERE contype = 'f' AND array_length(conkey, 1) > 1 ORDER BY conname"
        )
        found = cursor.fetchall()
    named = {name: rest for name, *rest in found}
    assert named["attendance_attendee_owner_of_profile"] == [True, True, "c", "a", 2]
    assert named["attendance_attendee_same_as_request"] == [True, True, "c", "a", 4]
    assert named["requests_joinrequest_owner_of_profile"] == [True, True, "c", "a", 2]


@pytest.mark.django_db
def test_composite_key_can_be_removed_and_added_again():
    from attendance.models import Attendee

    [constraint] = [one for one in Attendee._meta.constraints if one.name == "attendance_attendee_owner_of_profile"]
    row = AttendeeFactory()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def write():
        with transaction.atomic():
            Attendee.objects.filter(pk=row.pk).update(owner_id="else")
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    with connection.schema_editor(atomic=False) as editor:
        editor.remove_constraint(Attendee, constraint)
    write()
    Attendee.objects.filter(pk=row.pk).update(owner_id=row.user_profile.owner_id)
    with connection.schema_editor(atomic=False) as editor:
        editor.add_constraint(Attendee, constraint)
    with pytest.raises(IntegrityError):
        write()
