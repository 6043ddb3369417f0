"""What the database promises of service requests, to whoever writes.

Every attack is made three times, each in a transaction of its own that must fail at the latest at commit: as it
stands, with pgtrigger's ignore list naming every trigger, and with temporary tables in front of the real ones that
tell the triggers what they would like to hear.
"""

import re

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from requests.models import (
    Intake,
    Mechanic,
    ServiceSession,
    ServiceSettings,
    ServiceSignal,
    SessionMessage,
    SessionParticipant,
    SessionRequest,
    SessionRequestLog,
)
from requests.operations import taking, talking
from tests.factories import EventFactory, MechanicFactory, OrganizationFactory, UserProfileFactory, service_request

pytestmark = pytest.mark.django_db(transaction=True)

TABLES = (
    "mechanics",
    "service_settings",
    "intakes",
    "service_sessions",
    "service_session_participants",
    "service_session_messages",
    "session_requests",
    "session_request_log",
    "service_signals",
)


def run(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def rows():
    """Everything that an attack could have changed."""
    with connection.cursor() as cursor:
        found = {}
        for table in TABLES:
            cursor.execute(f"SELECT row::text FROM public.{table} AS row ORDER BY 1")
            found[table] = cursor.fetchall()
        return found


def undisguised(cursor):
    pass


def with_every_trigger_ignored(cursor):
    cursor.execute("SELECT array_agg(tgname::text) FROM pg_trigger WHERE NOT tgisinternal")
    names = cursor.fetchone()[0]
    assert len(names) > 10
    cursor.execute("SELECT set_config('pgtrigger.ignore', %s, true)", ["{" + ",".join(names) + "}"])


def behind_temporary_tables(cursor):
    """Tables that shadow the real ones: every session has its request, everybody is in all of them, nobody is
    anybody's mechanic, all are erased."""
    for table in ("mechanics", "service_sessions", "session_requests", "service_session_participants"):
        cursor.execute(f"CREATE TEMP TABLE {table} ON COMMIT DROP AS SELECT * FROM public.{table}")
    cursor.execute("UPDATE pg_temp.service_sessions SET status = 'cancelled'")
    cursor.execute("UPDATE pg_temp.session_requests SET status = 'cancelled'")
    cursor.execute("UPDATE pg_temp.mechanics SET user_profile_id = NULL")
    cursor.execute(
        "INSERT INTO pg_temp.service_session_participants (session_id, user_profile_id, role) "
        "SELECT s.id, p.id, 'mechanic' FROM public.service_sessions s, public.user_profiles p"
    )
    cursor.execute("CREATE TEMP TABLE user_profiles ON COMMIT DROP AS SELECT id, now() AS erased_at FROM user_profiles")


DISGUISES = [undisguised, with_every_trigger_ignored, behind_temporary_tables]


def refused(sql, *params, constraint):
    """By a constraint of exactly this name, or one that the pattern fits."""
    before = rows()
    for disguise in DISGUISES:
        with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
            disguise(cursor)
            cursor.execute(sql, params)
        name = caught.value.__cause__.diag.constraint_name
        assert re.fullmatch(constraint, name), f"{disguise.__name__}: {name} in place of {constraint}"
        assert rows() == before, disguise.__name__


INSERT_SESSION = """
    INSERT INTO public.service_sessions (id, organization_id, customer_id, status, mechanic_id, ended_at)
    VALUES (%s, %s, %s, %s, %s, CASE WHEN %s IN ('completed', 'cancelled') THEN now() END)
"""
INSERT_REQUEST = "INSERT INTO public.session_requests (session_id, customer_id) VALUES (%s, %s)"
ACCEPT_REQUEST = "UPDATE public.session_requests SET status = 'accepted', mechanic_id = %s, accepted_at = now()"
START_SESSION = "UPDATE public.service_sessions SET status = 'live', mechanic_id = %s"
NEW_ID = "018f2e3c-0000-7000-8000-000000000001"


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization)


@pytest.fixture
def pending(event):
    return service_request(event)


@pytest.fixture
def accepted(event, mechanic):
    return service_request(event, mechanic=mechanic)


@pytest.fixture
def done(accepted, mechanic):
    taking.complete(request_id=accepted.pk, actor=mechanic.user_profile)
    return SessionRequest.objects.get(pk=accepted.pk)


# -- A session and its request ---------------------------------------------------------------------------

HAS_REQUEST = "requests_servicesession_has_request"
AGREES = "requests_servicesession_agrees_with_request"


def test_an_open_session_without_request_is_refused_at_commit(event, mechanic):
    person, organization = UserProfileFactory(), event.organization_id
    pending = (NEW_ID, organization, person.pk, "pending", None, "pending")
    live = (NEW_ID, organization, person.pk, "live", mechanic.pk, "live")
    refused(INSERT_SESSION, *pending, constraint=HAS_REQUEST)
    refused(INSERT_SESSION, *live, constraint=HAS_REQUEST)
    refused(
        f"{INSERT_SESSION}; UPDATE public.service_sessions SET status = 'live', mechanic_id = %s",
        *pending,
        mechanic.pk,
        constraint=HAS_REQUEST,
    )


def test_it_goes_through_with_triggers_off(event):
    """The other half of the pair: without the trigger nothing else would have refused it."""
    person = UserProfileFactory()
    with transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run(INSERT_SESSION, NEW_ID, event.organization_id, person.pk, "pending", None, "pending")
    assert [str(one.pk) for one in ServiceSession.objects.open().without_request()] == [NEW_ID]


def test_one_that_is_over_may_have_none(event):
    """What was loaded from elsewhere."""
    person = UserProfileFactory()
    run(INSERT_SESSION, NEW_ID, event.organization_id, person.pk, "cancelled", None, "cancelled")
    refused(
        "UPDATE public.service_sessions SET status = 'pending', ended_at = NULL",
        constraint="requests_sessionrequest_over_stays_over",
    )


def test_a_request_is_not_deleted_under_an_open_session(pending, accepted):
    refused("DELETE FROM public.session_requests WHERE id = %s", pending.pk, constraint=HAS_REQUEST)
    refused("DELETE FROM public.session_requests WHERE id = %s", accepted.pk, constraint=HAS_REQUEST)
    refused("DELETE FROM public.session_requests", constraint=HAS_REQUEST)
    refused("TRUNCATE public.session_requests", constraint=HAS_REQUEST)
    refused("TRUNCATE public.service_sessions CASCADE", constraint=f"{HAS_REQUEST}|requests_session.*")
    refused("TRUNCATE public.intakes CASCADE", constraint=f"{HAS_REQUEST}|requests_session.*")


def test_a_session_is_not_deleted_under_its_request(pending):
    refused(
        "DELETE FROM public.service_session_participants; DELETE FROM public.service_sessions",
        constraint="requests_sessionparticipant_of_session",
    )
    refused(
        "DELETE FROM public.service_sessions", constraint=r"requests_sessionrequest_of_its_session|service_.*_fk_.*"
    )
    with pytest.raises(ProtectedError):
        pending.session.delete()


def test_both_say_the_same_at_commit(pending, accepted, mechanic, event):
    other = MechanicFactory(organization=event.organization)
    ours = "WHERE id = %s"
    refused(f"{ACCEPT_REQUEST} {ours}", mechanic.pk, pending.pk, constraint=AGREES)
    refused(f"{START_SESSION} {ours}", mechanic.pk, pending.session_id, constraint=AGREES)
    for table, one in (("session_requests", pending.pk), ("service_sessions", pending.session_id)):
        refused(f"UPDATE public.{table} SET status = 'cancelled' {ours}", one, constraint=AGREES)
    for table, one in (("session_requests", accepted.pk), ("service_sessions", accepted.session_id)):
        refused(f"UPDATE public.{table} SET status = 'completed' {ours}", one, constraint=AGREES)
        refused(f"UPDATE public.{table} SET mechanic_id = %s {ours}", other.pk, one, constraint=AGREES)
    refused(
        f"UPDATE public.session_requests SET status = 'completed' {ours};"
        f"UPDATE public.service_sessions SET status = 'cancelled' {ours}",
        accepted.pk,
        accepted.session_id,
        constraint=AGREES,
    )
    refused(
        f"{ACCEPT_REQUEST} {ours}; {START_SESSION} {ours}",
        mechanic.pk,
        pending.pk,
        other.pk,
        pending.session_id,
        constraint=AGREES,
    )


def test_raw_sql_may_do_all_of_it_at_once(pending, mechanic):
    with transaction.atomic():
        run(f"{ACCEPT_REQUEST} WHERE id = %s", mechanic.pk, pending.pk)
        run(f"{START_SESSION} WHERE id = %s", mechanic.pk, pending.session_id)
    pending.refresh_from_db()
    session = pending.session
    assert (pending.status, pending.first_accepted_at) == ("accepted", pending.accepted_at)
    assert session.status == "live"
    assert session.started_at is not None and session.last_activity_at is not None
    [last] = SessionRequestLog.objects.filter(to_status="accepted")
    assert (last.from_status, last.to_mechanic_id, last.actor_id, last.reason) == ("pending", mechanic.pk, None, "")
    assert last.db_user


def test_few_columns_are_enough(event):
    """Ids, organisation, status, times and who is in it come by themselves."""
    person = UserProfileFactory()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO intakes (event_id, customer_id) VALUES (%s, %s) RETURNING id", [event.pk, person.pk]
        )
        intake_id = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO service_sessions (intake_id, customer_id) VALUES (%s, %s) RETURNING id", [intake_id, person.pk]
        )
        cursor.execute(INSERT_REQUEST, [cursor.fetchone()[0], person.pk])
    intake, request = Intake.objects.get(), SessionRequest.objects.select_related("session").get()
    session = request.session
    for one in (intake, session, request):
        assert (one.organization_id, one.event_id, one.customer_id) == (event.organization_id, event.pk, person.pk)
        assert one.pk.version == 7
    assert (intake.concern, intake.details, intake.urgent, intake.idempotency_key) == ("", {}, False, None)
    assert (session.status, session.type, session.place, session.mechanic_id) == ("pending", "chat", "", None)
    assert (request.status, request.metadata, request.told, request.notes) == ("pending", {}, 0, "")
    assert request.waiting_since == request.created_at
    assert list(SessionParticipant.objects.values_list("user_profile", "role", "left_at")) == [
        (person.pk, "customer", None)
    ]
    assert list(SessionRequestLog.objects.values_list("from_status", "to_status", "organization")) == [
        (None, "pending", event.organization_id)
    ]
    assert list(ServiceSignal.objects.values_list("kind", "session")) == [("request", session.pk)]


def test_without_any_organisation_there_is_no_session():
    person = UserProfileFactory()
    for table in ("intakes", "service_sessions"):
        with pytest.raises(IntegrityError, match="organization_id"), transaction.atomic():
            run(f"INSERT INTO {table} (customer_id) VALUES (%s)", person.pk)


# -- Statuses ----------------------------------------------------------------------------------------------


def test_a_word_that_one_knows_and_the_other_does_not_is_refused_by_name(pending, accepted, mechanic):
    for status in ("assigned", "", "PENDING", "waiting_for_spare_parts"):
        for one in (pending, accepted):
            refused(
                "UPDATE public.session_requests SET status = %s WHERE id = %s",
                status,
                one.pk,
                constraint="requests_sessionrequest_status_known",
            )
            refused(
                "UPDATE public.service_sessions SET status = %s WHERE id = %s",
                status,
                one.session_id,
                constraint="requests_servicesession_status_known",
            )
    refused("UPDATE public.session_requests SET session_type = 'fax'", constraint="requests_sessionrequest_type_known")
    refused("UPDATE public.service_sessions SET type = 'fax'", constraint="requests_servicesession_type_known")


def test_accepted_has_mechanic_and_moment(pending, accepted, mechanic):
    name, ours = "requests_sessionrequest_accepted_has_mechanic", "WHERE id = %s"
    accept = "UPDATE public.session_requests SET status = 'accepted'"
    refused(f"{accept} {ours}", pending.pk, constraint=name)
    refused(f"{accept}, accepted_at = now() {ours}", pending.pk, constraint=name)
    refused(f"{accept}, mechanic_id = %s {ours}", mechanic.pk, pending.pk, constraint=name)
    for column in ("mechanic_id", "accepted_at"):
        refused(f"UPDATE public.session_requests SET {column} = NULL {ours}", accepted.pk, constraint=name)
    complete = "UPDATE public.session_requests SET status = 'completed', mechanic_id = NULL, accepted_at = NULL"
    refused(f"{complete} {ours}", accepted.pk, constraint=name)
    refused(
        f"UPDATE public.service_sessions SET mechanic_id = NULL {ours}",
        accepted.session_id,
        constraint="requests_servicesession_live_has_mechanic",
    )


def test_what_waits_has_none(pending, accepted, mechanic):
    for status in ("pending", "unattended"):
        refused(
            "UPDATE public.session_requests SET status = %s WHERE id = %s",
            status,
            accepted.pk,
            constraint="requests_sessionrequest_mechanic_since_accepted",
        )
    refused(
        "UPDATE public.service_sessions SET status = 'pending' WHERE id = %s",
        accepted.session_id,
        constraint="requests_servicesession_pending_has_none",
    )


def test_what_goes_on_has_not_ended(accepted):
    refused(
        "UPDATE public.session_requests SET closed_at = now()", constraint="requests_sessionrequest_closed_when_over"
    )
    refused("UPDATE public.service_sessions SET ended_at = now()", constraint="requests_servicesession_ended_when_over")


def test_over_stays_over(done):
    name = "requests_sessionrequest_over_stays_over"
    for status in ("pending", "accepted", "cancelled", "unattended"):
        refused("UPDATE public.session_requests SET status = %s", status, constraint=name)
    for status in ("pending", "live", "cancelled"):
        refused("UPDATE public.service_sessions SET status = %s", status, constraint=name)
    assert done.closed_at is not None and ServiceSession.objects.get().ended_at is not None


def test_what_is_over_keeps_its_mechanic_and_its_request(done, event):
    name, other = "requests_sessionrequest_over_stays_over", MechanicFactory(organization=event.organization)
    for table in ("service_sessions", "session_requests"):
        refused(f"UPDATE public.{table} SET mechanic_id = %s", other.pk, constraint=name)
    refused("UPDATE public.service_sessions SET mechanic_id = NULL", constraint=name)
    refused("DELETE FROM public.session_requests", constraint=HAS_REQUEST)


def test_what_is_over_is_not_written_anew(done, event):
    """Without its request for a moment, a session would be anybody's."""
    other = MechanicFactory(organization=event.organization)
    refused(
        "DELETE FROM public.session_requests; UPDATE public.service_sessions SET mechanic_id = %s;"
        "INSERT INTO public.session_requests (session_id, customer_id, status, mechanic_id, accepted_at, closed_at)"
        " SELECT id, customer_id, 'completed', mechanic_id, now(), now() FROM public.service_sessions",
        other.pk,
        constraint=HAS_REQUEST,
    )


def test_that_somebody_had_it_is_not_forgotten(accepted):
    forget = "UPDATE public.session_requests SET status = 'completed', mechanic_id = NULL, accepted_at = NULL"
    refused(f"{forget}, first_accepted_at = NULL", constraint="requests_sessionrequest_stays_itself")


# -- Whose it is -------------------------------------------------------------------------------------------


def test_one_open_request_of_a_customer(pending, event):
    name, customer = "requests_sessionrequest_one_open", pending.customer_id
    another = (NEW_ID, event.organization_id, customer, "pending", None, "pending")
    refused(f"{INSERT_SESSION}; {INSERT_REQUEST}", *another, NEW_ID, customer, constraint=name)
    run("UPDATE session_requests SET status = 'unattended'")
    refused(f"{INSERT_SESSION}; {INSERT_REQUEST}", *another, NEW_ID, customer, constraint=name)


def test_a_second_one_is_fine_once_the_first_is_accepted(accepted, event):
    with transaction.atomic():
        run(INSERT_SESSION, NEW_ID, event.organization_id, accepted.customer_id, "pending", None, "pending")
        run(INSERT_REQUEST, NEW_ID, accepted.customer_id)
    assert set(SessionRequest.objects.values_list("status", flat=True)) == {"accepted", "pending"}
    refused(
        "UPDATE public.session_requests SET status = 'pending', mechanic_id = NULL, accepted_at = NULL WHERE id = %s",
        accepted.pk,
        constraint="requests_sessionrequest_one_open",
    )


def test_one_request_a_session(pending):
    refused(
        INSERT_REQUEST,
        pending.session_id,
        pending.customer_id,
        constraint=r"session_requests_session_id_key|.*one_open",
    )
    run("UPDATE session_requests SET status = 'cancelled'; UPDATE service_sessions SET status = 'cancelled'")
    refused(
        "INSERT INTO public.session_requests (session_id, customer_id, status) VALUES (%s, %s, 'cancelled')",
        pending.session_id,
        pending.customer_id,
        constraint="session_requests_session_id_key",
    )


def test_nobody_takes_their_own(pending, event):
    mechanic = MechanicFactory(organization=event.organization, user_profile=pending.customer)
    refused(
        f"{ACCEPT_REQUEST}; {START_SESSION}",
        mechanic.pk,
        mechanic.pk,
        constraint="requests_sessionrequest_not_ones_own",
    )


def test_nobody_is_put_in_another_s_place(pending, mechanic):
    person, organization = UserProfileFactory(), OrganizationFactory()
    stays = "requests_sessionrequest_stays_itself"
    refused("UPDATE public.session_requests SET customer_id = %s", person.pk, constraint=stays)
    refused("UPDATE public.session_requests SET id = gen_random_uuid()", constraint=stays)
    refused("UPDATE public.session_requests SET session_id = gen_random_uuid()", constraint=stays)
    stays = "requests_servicesession_stays_itself"
    refused("UPDATE public.service_sessions SET customer_id = %s", person.pk, constraint=stays)
    refused("UPDATE public.service_sessions SET id = gen_random_uuid()", constraint=stays)
    refused("UPDATE public.service_sessions SET intake_id = NULL", constraint=stays)
    stays = "requests_intake_stays_itself"
    refused("UPDATE public.intakes SET customer_id = %s", person.pk, constraint=stays)
    refused("UPDATE public.intakes SET id = gen_random_uuid()", constraint=stays)
    stays = "requests_mechanic_stays_itself"
    refused("UPDATE public.mechanics SET user_profile_id = %s", person.pk, constraint=stays)
    refused("UPDATE public.mechanics SET organization_id = %s", organization.pk, constraint=stays)
    refused("UPDATE public.mechanics SET id = gen_random_uuid()", constraint=stays)


def test_it_stays_where_it_was_asked(pending, event):
    """At that event, of that organisation: nobody else's mechanics get to see it."""
    sibling, elsewhere = EventFactory(organization=event.organization), EventFactory()
    for table, model in (("intakes", "intake"), ("service_sessions", "servicesession")):
        for change, value in (
            ("event_id = %s", elsewhere.pk),
            ("event_id = %s", sibling.pk),
            ("event_id = NULL, organization_id = %s", elsewhere.organization_id),
            ("organization_id = %s", elsewhere.organization_id),
        ):
            refused(f"UPDATE public.{table} SET {change}", value, constraint=f"requests_{model}_stays_itself")
    for change, value in (("event_id = %s", sibling.pk), ("organization_id = %s", elsewhere.organization_id)):
        name = "requests_sessionrequest_stays_itself"
        refused(f"UPDATE public.session_requests SET {change}", value, constraint=name)


def test_session_and_request_are_of_the_intake(event):
    """Of its customer, and of its event."""
    person, sibling = UserProfileFactory(), EventFactory(organization=event.organization)
    intake = Intake.objects.create(event=event, organization=event.organization, customer=person)
    insert = "INSERT INTO public.service_sessions (id, intake_id, customer_id, event_id) VALUES (%s, %s, %s, %s)"
    name = "requests_servicesession_stays_itself"
    refused(insert, NEW_ID, intake.pk, UserProfileFactory().pk, event.pk, constraint=name)
    refused(insert, NEW_ID, intake.pk, person.pk, sibling.pk, constraint=name)
    of_none = Intake.objects.create(organization=event.organization, customer=person)
    refused(
        "INSERT INTO public.service_sessions (intake_id, customer_id, organization_id) VALUES (%s, %s, %s)",
        *(of_none.pk, person.pk, OrganizationFactory().pk),
        constraint=name,
    )
    refused(
        f"{insert}; INSERT INTO public.session_requests (session_id, customer_id, event_id) VALUES (%s, %s, %s)",
        *(NEW_ID, intake.pk, person.pk, event.pk),
        *(NEW_ID, person.pk, sibling.pk),
        constraint="requests_sessionrequest_stays_itself",
    )


def test_an_event_that_moves_takes_what_waits_along(pending):
    """By raw SQL; no form offers it."""
    there = OrganizationFactory()
    run("UPDATE events SET organization_id = %s", there.pk)
    for model in (Intake, ServiceSession, SessionRequest):
        assert model.objects.get().organization_id == there.pk


def test_nobody_has_what_another_organisation_was_asked(pending, accepted):
    other = MechanicFactory()
    refused(
        f"{ACCEPT_REQUEST} WHERE id = %s; {START_SESSION} WHERE id = %s",
        *(other.pk, pending.pk, other.pk, pending.session_id),
        constraint="requests_(servicesession|sessionrequest)_mechanic_of_organization",
    )
    refused(
        "UPDATE public.session_requests SET mechanic_id = %s WHERE id = %s;"
        "UPDATE public.service_sessions SET mechanic_id = %s WHERE id = %s",
        *(other.pk, accepted.pk, other.pk, accepted.session_id),
        constraint="requests_(servicesession|sessionrequest)_mechanic_of_organization",
    )


# -- Mechanics ---------------------------------------------------------------------------------------------


def test_a_mechanic_whom_a_request_names_stays(accepted, mechanic):
    named = "requests_mechanic_named_on_record"
    refused("DELETE FROM public.mechanics", constraint=named)
    with pytest.raises(ProtectedError):
        mechanic.delete()
    unneeded = MechanicFactory(organization=mechanic.organization)
    unneeded.delete()
    assert Mechanic.objects.get() == mechanic
    taking.release(request_id=accepted.pk, actor=mechanic.user_profile)
    refused("DELETE FROM public.mechanics", constraint=named)


def test_a_mechanic_serves_events_of_their_own_organisation(mechanic):
    refused(
        "INSERT INTO public.mechanic_events (mechanic_id, event_id) VALUES (%s, %s)",
        mechanic.pk,
        EventFactory().pk,
        constraint="requests_mechanic_event_of_organization",
    )


def test_a_mechanic_once_and_on_duty_only_while_active(mechanic):
    refused(
        "INSERT INTO public.mechanics (organization_id, user_profile_id) VALUES (%s, %s)",
        mechanic.organization_id,
        mechanic.user_profile_id,
        constraint="requests_mechanic_once",
    )
    refused("UPDATE public.mechanics SET active = false", constraint="requests_mechanic_duty_active")


def test_a_mechanic_by_few_columns(event):
    person = UserProfileFactory()
    run("INSERT INTO mechanics (organization_id, user_profile_id) VALUES (%s, %s)", event.organization_id, person.pk)
    row = Mechanic.objects.get()
    assert (row.display_name, row.skills, row.serves_all, row.on_duty, row.active) == ("", [], True, False, True)
    assert str(row) == str(person)


def test_settings_are_sane_and_by_one_column(event):
    run("INSERT INTO service_settings (organization_id) VALUES (%s)", event.organization_id)
    row = ServiceSettings.objects.get()
    assert (row.unattended_after.total_seconds(), row.idle_after.total_seconds()) == (600, 900)
    assert (row.skills, row.plans) == ([], [])
    for column in ("unattended_after", "idle_after"):
        for value in ("59 seconds", "25 hours", "-10 minutes"):
            refused(
                f"UPDATE public.service_settings SET {column} = %s",
                value,
                constraint="requests_servicesettings_sane",
            )


# -- Who is in a session -----------------------------------------------------------------------------------


def inside(session_id):
    found = SessionParticipant.objects.filter(session=session_id).order_by("pk")
    return [(one.user_profile_id, one.role, one.left_at is None) for one in found]


def test_participants_follow_the_mechanic(pending, mechanic, organizer):
    customer, other = pending.customer_id, MechanicFactory(organization=mechanic.organization)
    assert inside(pending.session_id) == [(customer, "customer", True)]
    taking.accept(request_id=pending.pk, person=mechanic.user_profile)
    assert inside(pending.session_id) == [
        (customer, "customer", True),
        (mechanic.user_profile_id, "mechanic", True),
    ]
    taking.takeover(request_id=pending.pk, mechanic_id=other.pk, actor=organizer)
    assert inside(pending.session_id) == [
        (customer, "customer", True),
        (mechanic.user_profile_id, "mechanic", False),
        (other.user_profile_id, "mechanic", True),
    ]
    taking.release(request_id=pending.pk, actor=other.user_profile)
    taking.accept(request_id=pending.pk, person=mechanic.user_profile)
    assert inside(pending.session_id) == [
        (customer, "customer", True),
        (mechanic.user_profile_id, "mechanic", True),
        (other.user_profile_id, "mechanic", False),
    ]


def test_nobody_is_put_in_or_taken_out_by_hand(accepted, organizer):
    name = "requests_sessionparticipant_of_session"
    refused(
        "INSERT INTO public.service_session_participants (session_id, user_profile_id, role) "
        "VALUES (%s, %s, 'mechanic')",
        accepted.session_id,
        organizer.pk,
        constraint=name,
    )
    refused("UPDATE public.service_session_participants SET user_profile_id = %s", organizer.pk, constraint=name)
    refused("UPDATE public.service_session_participants SET left_at = NULL", constraint=name)
    refused("DELETE FROM public.service_session_participants", constraint=name)
    refused("TRUNCATE public.service_session_participants", constraint=name)


# -- What is said ------------------------------------------------------------------------------------------


def test_only_who_is_in_it_says_something_and_while_it_is_open(accepted, mechanic, organizer):
    insert = "INSERT INTO public.service_session_messages (session_id, author_id, body) VALUES (%s, %s, 'Hello')"
    outside = "requests_sessionmessage_by_participant"
    admin = UserProfileFactory(is_superuser=True)
    for person in (organizer, admin):
        refused(insert, accepted.session_id, person.pk, constraint=outside)
    run(insert, accepted.session_id, mechanic.user_profile_id)
    taking.release(request_id=accepted.pk, actor=mechanic.user_profile)
    refused(insert, accepted.session_id, mechanic.user_profile_id, constraint=outside)
    run(insert, accepted.session_id, accepted.customer_id)
    taking.cancel(request_id=accepted.pk, actor=accepted.customer)
    refused(insert, accepted.session_id, accepted.customer_id, constraint="requests_sessionmessage_while_open")
    assert SessionMessage.objects.count() == 2


def test_what_was_said_stays(accepted):
    talking.say(session_id=accepted.session_id, person=accepted.customer, body="Hello")
    stays = "requests_sessionmessage_stays_itself"
    refused("UPDATE public.service_session_messages SET body = ''", constraint=stays)
    refused("UPDATE public.service_session_messages SET body = 'Something else'", constraint=stays)
    refused("UPDATE public.service_session_messages SET created_at = now()", constraint=stays)
    refused("DELETE FROM public.service_session_messages", constraint=stays)
    refused("TRUNCATE public.service_session_messages", constraint=stays)


def test_texts_are_no_longer_than_they_may(accepted):
    insert = "INSERT INTO public.service_session_messages (session_id, author_id, body) VALUES (%s, %s, %s)"
    for body in ("", "x" * 4001):
        refused(insert, accepted.session_id, accepted.customer_id, body, constraint="requests_sessionmessage_length")
    run(insert, accepted.session_id, accepted.customer_id, "ü" * 4000)
    long = "repeat('x', 4001)"
    refused(f"UPDATE public.intakes SET concern = {long}", constraint="requests_intake_concern_length")
    refused(f"UPDATE public.session_requests SET notes = {long}", constraint="requests_sessionrequest_notes_length")


def test_a_key_makes_one_intake(event):
    first, second = UserProfileFactory.create_batch(2)
    insert = "INSERT INTO public.intakes (event_id, customer_id, idempotency_key) VALUES (%s, %s, 'k')"
    run(insert, event.pk, first.pk)
    run(insert, event.pk, second.pk)
    refused(insert, event.pk, first.pk, constraint="requests_intake_once_per_key")


# -- On record ---------------------------------------------------------------------------------------------


def test_the_record_is_append_only_and_writes_itself(accepted, mechanic):
    name = "requests_sessionrequestlog_append_only"
    refused("UPDATE public.session_request_log SET reason = 'nothing'", constraint=name)
    refused("DELETE FROM public.session_request_log", constraint=name)
    refused("TRUNCATE public.session_request_log", constraint=name)
    refused(
        "INSERT INTO public.session_request_log (request_id, organization_id, to_status, reason, at, db_user) "
        "VALUES (%s, %s, 'cancelled', '', now(), 'me')",
        accepted.pk,
        accepted.organization_id,
        constraint=name,
    )
    steps = SessionRequestLog.objects.order_by("pk")
    assert list(steps.values_list("from_status", "to_status", "from_mechanic", "to_mechanic", "actor", "reason")) == [
        (None, "pending", None, None, accepted.customer_id, "asked"),
        ("pending", "accepted", None, mechanic.pk, mechanic.user_profile_id, "accepted"),
    ]


def test_many_rows_by_one_statement_are_all_on_record(event):
    """In the order of the line."""
    requests = [service_request(event) for _number in range(3)]
    run("UPDATE session_requests SET status = 'unattended'")
    found = SessionRequestLog.objects.filter(to_status="unattended").order_by("pk")
    assert list(found.values_list("request", flat=True)) == [one.pk for one in requests]


def test_what_no_screen_shows_is_no_signal(pending):
    before = ServiceSignal.objects.count()
    run("UPDATE session_requests SET told = 2, notification_sent_at = now()")
    run("UPDATE service_sessions SET status = status")
    assert ServiceSignal.objects.count() == before
    run("UPDATE session_requests SET urgent = true")
    run("UPDATE service_sessions SET place = 'Gate 3'")
    kinds = ServiceSignal.objects.order_by("pk").values_list("kind", "session")[before:]
    assert list(kinds) == [("request", pending.session_id), ("session", pending.session_id)]


def test_whoever_serves_other_events_sees_another_list(event, mechanic):
    before = ServiceSignal.objects.count()
    mechanic.events.add(event)
    run("DELETE FROM mechanic_events")
    found = ServiceSignal.objects.order_by("pk").values_list("kind", "user_profile")[before:]
    assert list(found) == [("mechanic", mechanic.user_profile_id)] * 2


def test_times_are_the_database_s(accepted, mechanic):
    """Returned by SQL, it waits anew, and nobody has heard of that."""
    before = SessionRequest.objects.get(pk=accepted.pk)
    run("UPDATE session_requests SET told = 2, notification_sent_at = now()")
    with transaction.atomic():
        run("UPDATE session_requests SET status = 'pending', mechanic_id = NULL, accepted_at = NULL")
        run("UPDATE service_sessions SET status = 'pending', mechanic_id = NULL")
    after = SessionRequest.objects.get(pk=accepted.pk)
    assert after.waiting_since > before.accepted_at > before.waiting_since
    assert (after.told, after.notification_sent_at, after.created_at) == (0, None, before.created_at)
    assert after.first_accepted_at == before.accepted_at
    assert after.updated_at > before.updated_at
