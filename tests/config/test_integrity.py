from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from prometheus_client import REGISTRY, generate_latest

from config import integrity
from config.errors import SYSTEM, Busy
from config.integrity import CRITICAL, HEALTHY, WARNING, Finding, Invariant
from events.models import IntegrityResult, Organization, Room, Session, UserProfile
from events.models.people import Role
from events.operations import schedules

from .. import factories
from ..events.test_schedules_operations import schedule_of, talk


def check(name) -> Finding:
    [finding] = [one.check() for one in integrity.named([name])]
    return finding


# -- The registry ---------------------------------------------------------------------------------


def test_registry_is_filled_by_every_app():
    names = [one.name for one in integrity.all_invariants()]
    assert {"session-rooms", "session-speakers", "erased-people", "organization-owners", "seats"} <= set(names)
    assert len(names) == len(set(names))
    with pytest.raises(KeyError):
        integrity.named(["nonsense"])


def test_register_refuses_a_name_twice():
    with pytest.raises(AssertionError, match="seats is registered twice"):
        integrity.register(integrity.named(["seats"])[0])


@pytest.mark.parametrize(
    ("levels", "worst"),
    [
        ([], HEALTHY), ([HEALTHY], HEALTHY), ([HEALTHY, WARNING], WARNING), ([CRITICAL, WARNING, HEALTHY], CRITICAL),
    ],
)  # fmt: skip
def test_worst(levels, worst):
    assert integrity.worst([Finding(None, 0, {}, level) for level in levels]) == worst


def test_run_keeps_the_last_results(event):
    IntegrityResult.objects.create(name="of-old", level="critical", violations=3, checked_at=datetime.now(UTC))
    integrity.run()
    assert set(IntegrityResult.objects.values_list("name", flat=True)) == {
        one.name for one in integrity.all_invariants()
    }
    # The factory's organisation has no owner.
    assert IntegrityResult.objects.values_list("level", "violations", "figures").get(pk="organization-owners") == (
        "warning", 1, {"organizations": 1},
    )  # fmt: skip
    factories.member(event.organization, Role.OWNER)
    integrity.run(["organization-owners"])
    assert IntegrityResult.objects.values_list("level", "violations").get(pk="organization-owners") == ("healthy", 0)


# -- What events promises -----------------------------------------------------------------------------


def test_every_promise_of_events_holds_after_an_import(db):
    owner = factories.member(factories.OrganizationFactory(), Role.OWNER)
    schedules.import_schedule(
        organization=Organization.objects.get(), schedule=schedule_of(talk("1"), talk("2")), actor=SYSTEM
    )
    assert owner.is_active
    assert [one.level for one in integrity.run()] == [HEALTHY] * len(integrity.all_invariants())


def test_session_rooms_finds_a_room_of_another_event(event):
    mine, foreign = factories.RoomFactory(event=event), factories.RoomFactory()
    factories.SessionFactory(event=event, room=mine)
    factories.SessionFactory(event=event)
    lost = factories.SessionFactory(event=event, room=foreign)
    invariant = check("session-rooms").invariant
    assert list(invariant.rows()) == list(invariant.rows(event_id=event.pk)) == [lost]
    assert list(invariant.rows(event_id=foreign.event_id)) == []
    assert check("session-rooms").level == CRITICAL


def test_session_speakers_finds_a_speaker_of_another_event(event):
    session, lost = factories.SessionFactory.create_batch(2, event=event)
    session.speakers.add(factories.SpeakerFactory(event=event))
    lost.speakers.add(factories.SpeakerFactory(event=event), factories.SpeakerFactory())
    assert list(check("session-speakers").invariant.rows()) == [lost]


@pytest.mark.parametrize(
    "left",
    [
        {"first_name": "Ada"},
        {"email": "a@example.org"},
        {"phone": "+4930123456"},
        {"photo_url": "x"},
        {"is_superuser": True},
    ],
)
def test_erased_people_finds_what_still_names_somebody(db, left):
    empty = {"first_name": "", "last_name": "", "email": None, "is_active": False, "erased_at": datetime.now(UTC)}
    factories.UserProfileFactory(**empty)
    factories.UserProfileFactory()
    finding = check("erased-people")
    assert (finding.level, finding.figures) == (HEALTHY, {"erased": 1})
    named = factories.UserProfileFactory(**empty | left)
    assert list(check("erased-people").invariant.rows()) == [named]
    assert check("erased-people").level == CRITICAL


def test_organization_owners_counts_those_who_can_sign_in(db):
    fine, gone, managed = factories.OrganizationFactory.create_batch(3)
    factories.member(fine, Role.OWNER)
    factories.member(gone, Role.OWNER, is_active=False)
    factories.member(managed, Role.ORGANIZER)
    finding = check("organization-owners")
    assert (finding.violations, finding.level, finding.figures) == (2, WARNING, {"organizations": 3})
    assert set(finding.invariant.rows()) == {gone, managed}


# -- Repairs ----------------------------------------------------------------------------------------------


def nameless(repair) -> Invariant:
    return Invariant(name="nameless", promise="", violations=lambda: Room.objects.filter(name=""), repair=repair)


@pytest.fixture
def rooms(db):
    return [factories.RoomFactory(name="") for _ in range(5)]


def test_mend_goes_batch_by_batch_past_what_cannot_be_mended(rooms):
    seen = []

    def repair(*, rows):
        seen.append(rows)
        return Room.objects.filter(pk__in=rows).exclude(pk=rooms[1].pk).update(name="Named")

    assert list(nameless(repair).mend(batch_size=2)) == [(2, 1), (2, 2), (1, 1)]
    assert seen == [[rooms[0].pk, rooms[1].pk], [rooms[2].pk, rooms[3].pk], [rooms[4].pk]]
    assert list(nameless(repair).rows()) == [rooms[1]]


def test_mend_stopped_half_way_keeps_whole_batches(rooms):
    def repair(*, rows):
        done = Room.objects.filter(pk__in=rows).update(name="Named")
        if rooms[3].pk in rows:
            raise Busy
        return done

    with pytest.raises(Busy):
        list(nameless(repair).mend(batch_size=2))
    assert nameless(repair).rows().count() == 3


def test_mend_of_one_event_needs_violations_that_know_events():
    assert not nameless(None).narrows_by("event_id")
    assert integrity.named(["session-rooms"])[0].narrows_by("event_id")


# -- Metrics ------------------------------------------------------------------------------------------------


def scraped() -> list[str]:
    return [line for line in generate_latest(REGISTRY).decode().splitlines() if line.startswith("turnout_integrity")]


def test_metrics_tell_the_last_results(db):
    checked = datetime(2030, 1, 1, tzinfo=UTC)
    IntegrityResult.objects.create(name="seats", level="critical", violations=3, checked_at=checked)
    assert scraped() == [
        'turnout_integrity_violations{check="seats"} 3.0',
        'turnout_integrity_level{check="seats"} 2.0',
        'turnout_integrity_checked_timestamp_seconds{check="seats"} 1.893456e+09',
    ]


def test_metrics_survive_a_database_that_fails(db):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE integrity_results RENAME TO away")
        assert scraped() == []
        transaction.set_rollback(True)
    assert (Session.objects.count(), UserProfile.objects.count()) == (0, 0)
