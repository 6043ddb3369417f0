"""Service requests for the phone app: asking, the line, and who takes what."""

from datetime import timedelta

import limits
import pytest
from django.db import connection
from django.utils import timezone

from config.api import limiter
from events.models import IdempotencyKey, Membership, UserProfile
from requests.api.pace import Asking
from requests.models import Ban, Intake, Mechanic, ServiceSession, ServiceSettings, SessionRequest
from requests.operations import mechanics, taking
from tests.factories import (
    AttendeeFactory,
    EventFactory,
    MechanicFactory,
    OrganizationFactory,
    UserProfileFactory,
    member,
    service_request,
)

pytestmark = pytest.mark.django_db
API = "/api/v1/"


@pytest.fixture
def mechanic(event):
    return MechanicFactory(organization=event.organization, display_name="Mia")


@pytest.fixture
def customer():
    return UserProfileFactory(first_name="Carl", last_name="Cox")


@pytest.fixture
def settings_of_service(event):
    return ServiceSettings.objects.create(
        organization=event.organization, skills=["brakes", "gears"], plans=["basic", "gold"]
    )


def refused(answer):
    """Status and code of a refusal, and the field or the facts that come with it."""
    [error] = answer.json()["errors"]
    return answer.status_code, error["code"], error.get("details") or error["attr"]


def text(moment):
    return moment.isoformat().replace("+00:00", "Z")


def at_commit():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def moved(request, **times):
    """As if it had been filed then."""
    SessionRequest.objects.filter(pk=request.pk).update(**times)
    return request


def unhurried(person):
    """As if they had not asked for a minute."""
    limiter().clear(limits.parse(Asking.rate), Asking.scope, str(person.pk))


def nothing_filed():
    return not (Intake.objects.exists() or ServiceSession.objects.exists() or SessionRequest.objects.exists())


# -- Asking ----------------------------------------------------------------------------------------------------


def test_an_intake_makes_request_and_session(event, mechanic, customer, as_person, settings_of_service):
    service_request(event)
    wish = {
        "event": event.pk,
        "concern": "  The chain keeps jumping off. ",
        "session_type": "video",
        "urgent": True,
        "skill": " Brakes ",
        "plan": "Gold",
        "details": {"bike": {"gears": 21}, "photos": ["a", "b"]},
    }
    answer = as_person(customer).post(f"{API}intakes/", wish)
    assert answer.status_code == 201
    intake = Intake.objects.get(customer=customer)
    request = SessionRequest.objects.select_related("session").get(customer=customer)
    session = request.session
    assert (intake.details, intake.skill, intake.plan) == (wish["details"], "brakes", "gold")
    url = f"http://127.0.0.1:8000/help/{session.pk}/"
    who = {"id": str(customer.pk), "name": "Carl Cox"}
    assert answer.json() == {
        "session_url": url,
        "request": {
            "id": str(request.pk),
            "status": "pending",
            "urgent": True,
            "skill": "brakes",
            "session_type": "video",
            "plan_code": "gold",
            "session_id": str(session.pk),
            "session_url": url,
            "event_id": event.pk,
            "organization_id": event.organization_id,
            "customer": who,
            "notes": "The chain keeps jumping off.",
            "created_at": text(request.created_at),
            "waiting_since": text(request.created_at),
            "accepted_at": None,
            "mechanic": None,
            "my_role": "customer",
            "updated_at": text(request.updated_at),
        },
        "session": {
            "id": str(session.pk),
            "status": "pending",
            "type": "video",
            "place": "",
            "plan": "gold",
            "role": "customer",
            "event_id": event.pk,
            "organization_id": event.organization_id,
            "customer": who,
            "mechanic": None,
            "request_id": str(request.pk),
            "session_url": url,
            "concern": "The chain keeps jumping off.",
            "created_at": text(session.created_at),
            "started_at": None,
            "ended_at": None,
            "idle_at": None,
            "place_in_line": 1,
            "updated_at": text(session.updated_at),
        },
    }


def test_an_intake_takes_the_place_of_the_one_that_waits(event, customer, as_person):
    api = as_person(customer)
    first, second = (api.post(f"{API}intakes/", {"event": event.pk, "concern": word}).json() for word in "ab")
    assert api.get(f"{API}session-requests/{first['request']['id']}/").json()["status"] == "cancelled"
    assert api.get(f"{API}session-requests/{second['request']['id']}/").json()["status"] == "pending"


HUGE = 10**30
BAD = [
    ("concern", None, "null"),
    ("concern", "", "blank"),
    ("concern", "   ", "blank"),
    ("concern", "x" * 4001, "max_length"),
    ("concern", ["x"], "invalid"),
    ("concern", {"x": 1}, "invalid"),
    ("concern", True, "invalid"),
    ("event", "x", "invalid"),
    ("event", -1, "min_value"),
    ("event", 2**63, "max_value"),
    ("event", [1], "invalid"),
    ("event", {}, "invalid"),
    ("event", 1.5, "invalid"),
    ("organization", "x", "invalid"),
    ("organization", -1, "min_value"),
    ("organization", 2**63, "max_value"),
    ("organization", [], "invalid"),
    ("session_type", "phone", "invalid_choice"),
    ("session_type", "", "invalid_choice"),
    ("session_type", None, "null"),
    ("session_type", ["chat"], "invalid_choice"),
    ("session_type", 7, "invalid_choice"),
    ("urgent", "perhaps", "invalid"),
    ("urgent", None, "null"),
    ("urgent", [True], "invalid"),
    ("urgent", {}, "invalid"),
    ("skill", "x" * 51, "max_length"),
    ("skill", "İ" * 30, "max_length"),  # in small letters it is twice as long
    ("skill", None, "null"),
    ("skill", ["brakes"], "invalid"),
    ("skill", "paint", "unknown_skill"),
    ("plan", "x" * 51, "max_length"),
    ("plan", None, "null"),
    ("plan", {"x": 1}, "invalid"),
    ("plan", "silver", "unknown_plan"),
    ("details", "x", "not_a_dict"),
    ("details", None, "null"),
    ("details", [1], "not_a_dict"),
    ("details", {str(number): number for number in range(21)}, "max_length"),
    ("details", {"x": "y" * 10_000}, "max_length"),
]


def test_an_intake_refuses_what_makes_no_sense(event, customer, as_person, settings_of_service):
    api = as_person(customer)
    for field, value, code in BAD:
        unhurried(customer)
        answer = api.post(f"{API}intakes/", {"event": event.pk, "concern": "x", field: value})
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["code"]) == (400, code), (field, value)
        assert error["attr"] == (None if code.startswith("unknown") else field), (field, value)
    unhurried(customer)
    assert refused(api.post(f"{API}intakes/", {"event": event.pk})) == (400, "required", "concern")
    both = {"event": event.pk, "organization": event.organization_id, "concern": "x"}
    assert refused(api.post(f"{API}intakes/", both)) == (400, "invalid", "organization")
    for body in (b'{"concern": "a\\u0000b"}', b'{"details": {"a\\u0000b": 1}}', b"[1]", b'"x"', b"nonsense", b""):
        unhurried(customer)
        answer = api.generic("POST", f"{API}intakes/", body, content_type="application/json")
        assert answer.status_code == 400, body
    assert nothing_filed()


def test_the_longest_that_fits(event, customer, as_person):
    wish = {"concern": "ß" * 4000, "skill": "x" * 50, "plan": "y" * 50, "details": {"x": "y" * 9000}}
    answer = as_person(customer).post(f"{API}intakes/", {"event": event.pk, **wish})
    assert answer.status_code == 201
    assert answer.json()["request"]["notes"] == "ß" * 4000


def test_whom_one_may_ask(event, customer, as_person):
    api = as_person(customer)

    def ask(**whom):
        """The same refusals from an intake and from what can be asked for."""
        unhurried(customer)
        answer = api.post(f"{API}intakes/", {"concern": "x", **whom})
        options = api.get(f"{API}service-options/", whom)
        if answer.status_code == 201:
            assert options.status_code == 200
            return answer.json()["request"]["organization_id"], options.json()["on_duty"]
        assert refused(answer) == refused(options)
        return refused(answer)[:2]

    assert ask(event=EventFactory(status="draft").pk) == (404, "not_found")
    assert ask(event=2**62) == (404, "not_found")
    assert ask(event=EventFactory(status="completed").pk) == (409, "event_closed")
    banned = EventFactory()
    Ban.objects.create(event=banned, user_profile=customer)
    assert ask(event=banned.pk) == (403, "banned")
    assert ask() == (400, "organization_needed")
    assert ask(organization=event.organization_id) == (404, "not_found")
    AttendeeFactory(event=event, user_profile=customer)
    assert ask(organization=event.organization_id) == (404, "not_found")  # nobody helps there
    assert nothing_filed()
    MechanicFactory(organization=event.organization)
    assert ask(organization=event.organization_id) == (event.organization_id, 1)
    assert ask() == (event.organization_id, 1)
    elsewhere = AttendeeFactory(user_profile=customer).event.organization
    MechanicFactory.create_batch(2, organization=elsewhere)
    assert ask() == (400, "organization_needed")
    assert ask(organization=elsewhere.pk) == (elsewhere.pk, 2)
    assert ask(event=event.pk) == (event.organization_id, 1)


def test_what_can_be_asked_for(event, customer, as_person, settings_of_service):
    service_request(event)
    MechanicFactory(organization=event.organization, serves_all=False).events.add(event)
    MechanicFactory(organization=event.organization, on_duty=False)
    MechanicFactory()
    assert as_person(customer).get(f"{API}service-options/?event={event.pk}").json() == {
        "organization_id": event.organization_id,
        "event_id": event.pk,
        "skills": ["brakes", "gears"],
        "plans": ["basic", "gold"],
        "session_types": ["chat", "video", "in_person"],
        "on_duty": 1,
        "waiting": 1,
    }
    for query in ("event=x", "event=-1", f"organization={2**63}", f"event={event.pk}&organization=1"):
        assert as_person(customer).get(f"{API}service-options/?{query}").status_code == 400, query


def test_an_intake_sent_again_is_the_same(event, customer, as_person):
    api = as_person(customer)
    wish, key = {"event": event.pk, "concern": "x", "skill": "Brakes"}, {"Idempotency-Key": "one"}
    first, again = (api.post(f"{API}intakes/", wish, headers=key) for _time in range(2))
    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.json() == again.json()
    other = api.post(f"{API}intakes/", wish | {"concern": "y"}, headers=key)
    assert refused(other) == (422, "idempotency_key_reused", None)
    assert SessionRequest.objects.count() == 1


def test_an_intake_whose_worker_was_killed_before_it_answered_is_the_same(event, customer, as_person):
    api = as_person(customer)
    wish, key = (
        {"event": event.pk, "concern": "x", "skill": "Brakes", "details": {"a": 1.5}},
        {"Idempotency-Key": "one"},
    )
    first = api.post(f"{API}intakes/", wish, headers=key)
    IdempotencyKey.objects.update(answered_at=None, status=None, body=None)
    assert refused(api.post(f"{API}intakes/", wish, headers=key)) == (409, "idempotency_key_running", None)
    IdempotencyKey.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    again = api.post(f"{API}intakes/", wish, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    for other in ({"concern": "y"}, {"session_type": "video"}, {"urgent": True}, {"details": {}}, {"event": None}):
        IdempotencyKey.objects.all().delete()
        unhurried(customer)
        answer = api.post(f"{API}intakes/", wish | other, headers=key)
        assert refused(answer) == (422, "idempotency_key_reused", None), other
    assert SessionRequest.objects.count() == 1


def test_keys_are_each_persons_own(event, as_person):
    for person in UserProfileFactory.create_batch(2):
        wish = {"event": event.pk, "concern": "x"}
        assert as_person(person).post(f"{API}intakes/", wish, headers={"Idempotency-Key": "one"}).status_code == 201
    assert SessionRequest.objects.count() == 2


def test_intakes_are_counted(event, customer, as_person):
    api = as_person(customer)
    answers = [api.post(f"{API}intakes/", {"event": event.pk, "concern": "x"}) for _intake in range(7)]
    assert [answer.status_code for answer in answers] == [201] * 6 + [429]
    assert answers[-1].json()["errors"][0]["code"] == "throttled"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert as_person(UserProfileFactory()).post(f"{API}intakes/", {}).status_code == 400


# -- The line --------------------------------------------------------------------------------------------------


def line(api, query="", **data):
    answer = api.get(f"{API}session-requests/{query}", data)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_the_line_is_in_its_order_and_comes_in_pages(event, mechanic, as_person):
    now = timezone.now()
    filed = [service_request(event, urgent=number in (3, 5)) for number in range(8)]
    for number, request in enumerate(filed):
        moved(request, created_at=now - timedelta(minutes=number // 2), waiting_since=now - timedelta(hours=number))
    SessionRequest.objects.filter(pk__in=[filed[1].pk, filed[5].pk]).update(status="unattended")
    expected = [str(pk) for pk in SessionRequest.objects.in_line().values_list("pk", flat=True)]
    assert expected[:3] == [str(filed[number].pk) for number in (5, 1, 3)]
    api = as_person(mechanic.user_profile)
    assert line(api) == expected
    found, pages, address = [], [], f"{API}session-requests/?page_size=3"
    while address:
        page = api.get(address).json()
        pages.append(page)
        found += [row["id"] for row in page["results"]]
        address = page["next"]
    assert (found, len(pages)) == (expected, 3)
    back = api.get(pages[2]["previous"]).json()
    assert [row["id"] for row in back["results"]] == expected[3:6]


def test_cursors_that_somebody_made_up(mechanic, as_person):
    api = as_person(mechanic.user_profile)
    for cursor in ("x", "cD14", "cD0wMA==", "cD0lMDA=", "bz0xMDAwMDAwMDAwMDAwMDAwMDAwMA=="):
        answer = api.get(f"{API}session-requests/?cursor={cursor}")
        assert answer.status_code in (200, 404), cursor
    assert refused(api.get(f"{API}session-requests/?cursor=cD14")) == (404, "not_found", None)


def test_who_sees_which_requests(event, mechanic, customer, as_person):
    waits = service_request(event, customer=customer)
    taken = service_request(event, mechanic=MechanicFactory(organization=event.organization))
    done = service_request(event, mechanic=mechanic)
    taking.complete(request_id=done.pk, actor=mechanic.user_profile)
    one_event = MechanicFactory(organization=event.organization, serves_all=False)
    one_event.events.add(EventFactory(organization=event.organization))
    off_duty = MechanicFactory(organization=event.organization, on_duty=False)
    all_of_them = {waits, taken, done}
    sees = [
        (customer, {waits}),
        (taken.customer, {taken}),
        (mechanic.user_profile, {waits, done}),
        (taken.mechanic.user_profile, {waits, taken}),
        (one_event.user_profile, set()),
        (off_duty.user_profile, set()),
        (MechanicFactory().user_profile, set()),
        (member(event.organization, "owner"), all_of_them),
        (member(event.organization, "viewer"), all_of_them),
        (member(event.organization, "door"), set()),
        (member(OrganizationFactory(), "owner"), set()),
        (UserProfileFactory(is_superuser=True), all_of_them),
        (UserProfileFactory(), set()),
    ]
    for person, expected in sees:
        api = as_person(person)
        assert set(line(api)) == {str(request.pk) for request in expected}, person
        for request in all_of_them:
            answer = api.get(f"{API}session-requests/{request.pk}/")
            assert answer.status_code == (200 if request in expected else 404), (person, request)
        UserProfile.objects.filter(pk=person.pk).update(is_active=False)
        assert line(api) == [], person
        assert api.get(f"{API}session-requests/{waits.pk}/").status_code == 404, person


def test_filters(event, mechanic, organizer, as_person):
    other = EventFactory(organization=event.organization)
    waits, late = service_request(event), moved(service_request(other), status="unattended")
    taken, own = service_request(event, mechanic=mechanic), service_request(event, customer=mechanic.user_profile)
    cancelled = service_request(other, customer=mechanic.user_profile)  # in place of their own
    desk, works = as_person(organizer), as_person(mechanic.user_profile)
    for api, query, expected in (
        (desk, "?status=pending", {waits, cancelled}),
        (desk, "?status=pending,unattended", {waits, late, cancelled}),
        (desk, "?status=pending&status=unattended", {waits, late, cancelled}),
        (desk, "?status=accepted", {taken}),
        (desk, "?status=cancelled,accepted", {taken, own}),
        (desk, "?status=completed", set()),
        (desk, "?status=", {waits, late, taken, own, cancelled}),
        (desk, f"?event={other.pk}", {late, cancelled}),
        (desk, f"?event={other.pk}&status=unattended", {late}),
        (desk, f"?organization={event.organization_id}", {waits, late, taken, own, cancelled}),
        (desk, "?organization=0", set()),
        (desk, "?mine=true", set()),
        (works, "?mine=true", {taken, own, cancelled}),
        (works, "?mine=false", {waits, late}),
        (works, "?mine=true&status=accepted", {taken}),
        (works, "", {waits, late, taken, own, cancelled}),
    ):
        assert set(line(api, query)) == {str(request.pk) for request in expected}, query
    for query, attr in (
        ("status=waiting", "status"),
        ("status=pending,waiting", "status"),
        ("status=pending%00", "status"),
        ("event=x", "event"),
        ("event=-1", "event"),
        (f"organization={2**63}", "organization"),
        ("mine=perhaps", "mine"),
        ("updated_since=yesterday", "updated_since"),
        ("updated_since=0001-01-01T00:00:00%2B14:00", "updated_since"),
    ):
        answer = works.get(f"{API}session-requests/?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, attr), query


@pytest.mark.parametrize("count", [1, 3])
def test_lists_take_the_same_queries_for_any_number(
    event, mechanic, organizer, as_person, count, django_assert_num_queries
):
    for _request in range(count):
        MechanicFactory(organization=event.organization, serves_all=False).events.add(event)
        service_request(event)
        service_request(event, mechanic=mechanic)
    at_commit()
    works, desk = as_person(mechanic.user_profile), as_person(organizer)
    since = text(timezone.now() - timedelta(hours=1))
    for api, path, queries, rows in (
        (works, "session-requests/", 1, 2 * count),
        (works, f"session-requests/?status=pending,unattended&updated_since={since}", 1, 2 * count),
        (desk, "session-requests/?status=accepted", 1, count),
        (works, "service-sessions/", 1, count),
        (desk, "mechanics/", 3, count + 1),  # the caller, who may be a superuser
        (works, "mechanics/me/", 2, 1),
    ):
        with django_assert_num_queries(queries):
            answer = api.get(API + path)
        assert len(answer.json()["results"]) == rows, path


def test_the_line_has_an_etag(event, mechanic, as_person):
    service_request(event)
    api = as_person(mechanic.user_profile)
    first = api.get(f"{API}session-requests/")
    headers = {"If-None-Match": first["ETag"]}
    assert api.get(f"{API}session-requests/", headers=headers).status_code == 304
    service_request(event)
    assert api.get(f"{API}session-requests/", headers=headers).status_code == 200


# -- A copy that is kept ---------------------------------------------------------------------------------------


class Copy:
    """What a phone keeps, by the Turnout-As-Of of each time."""

    def __init__(self, api, **wish):
        self.api, self.wish, self.kept, self.since, self.told = api, wish, {}, None, {}

    def sync(self):
        wish = {"updated_since": self.since} if self.since else {}
        answer = self.api.get(f"{API}session-requests/", wish | self.wish)
        assert answer.status_code == 200
        self.told = {row["id"]: row for row in answer.json()["results"]}
        for number, row in self.told.items():
            if row.get("deleted"):
                assert row == {"id": number, "deleted": True}
                self.kept.pop(number, None)
            else:
                self.kept[number] = row["status"]
        self.since = answer["Turnout-As-Of"]
        return self.kept


def long_ago(*models):
    """As if what there is had happened an hour ago."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for model in models or (SessionRequest, Mechanic):
            cursor.execute(f"UPDATE {model._meta.db_table} SET updated_at = updated_at - interval '1 hour'")
        history = Membership.history.model._meta.db_table
        cursor.execute(f"UPDATE {history} SET history_date = history_date - interval '1 hour'")
        cursor.execute("SET session_replication_role = DEFAULT")


def test_a_copy_hears_what_others_took_and_what_came_back(event, mechanic, organizer, as_person):
    other = MechanicFactory(organization=event.organization)
    one, two, three = (service_request(event) for _request in range(3))
    mine, desk = Copy(as_person(mechanic.user_profile)), Copy(as_person(organizer))
    waiting = Copy(as_person(organizer), status="pending,unattended")
    others = Copy(as_person(mechanic.user_profile), mine="false")
    stranger, elsewhere = Copy(as_person(UserProfileFactory())), Copy(as_person(MechanicFactory().user_profile))
    copies = (mine, desk, waiting, others, stranger, elsewhere)
    everything = {str(request.pk): "pending" for request in (one, two, three)}

    def synced():
        return [copy.sync() for copy in copies]

    long_ago()
    assert synced() == [everything] * 4 + [{}, {}]
    assert synced() == [everything] * 4 + [{}, {}]
    assert [copy.told for copy in copies] == [{}] * 6

    taking.accept(request_id=one.pk, person=other.user_profile)
    taking.accept(request_id=two.pk, person=mechanic.user_profile)
    one, two, three = (str(request.pk) for request in (one, two, three))
    assert synced() == [
        {two: "accepted", three: "pending"},
        {one: "accepted", two: "accepted", three: "pending"},
        {three: "pending"},
        {three: "pending"},
        {},
        {},
    ]
    assert mine.told[one] == {"id": one, "deleted": True}
    assert (stranger.told, elsewhere.told) == ({}, {})

    long_ago()
    taking.release(request_id=one, actor=other.user_profile)
    taking.complete(request_id=two, actor=mechanic.user_profile)
    assert synced()[:4] == [
        {one: "pending", two: "completed", three: "pending"},
        {one: "pending", two: "completed", three: "pending"},
        {one: "pending", three: "pending"},
        {one: "pending", three: "pending"},
    ]


def test_a_copy_follows_its_mechanic_on_and_off_duty(event, mechanic, as_person):
    person = mechanic.user_profile
    waits, own = service_request(event), service_request(event, customer=person)
    done = service_request(event, mechanic=mechanic)
    taking.complete(request_id=done.pk, actor=person)
    long_ago()
    copy = Copy(as_person(person))
    on_duty = {str(waits.pk): "pending", str(own.pk): "pending", str(done.pk): "completed"}
    assert copy.sync() == on_duty
    for on, kept in ((False, {str(own.pk): "pending", str(done.pk): "completed"}), (True, on_duty)):
        mechanics.set_duty(mechanic_id=mechanic.pk, on=on, actor=person)
        assert copy.sync() == kept
        long_ago()


def test_a_copy_forgets_what_its_mechanic_serves_no_more(event, as_person):
    """At other events from now on, or nowhere."""
    mechanic = MechanicFactory(organization=event.organization)
    elsewhere = EventFactory(organization=event.organization)
    here, there = service_request(event), service_request(elsewhere)
    long_ago()
    copy = Copy(as_person(mechanic.user_profile))
    both = {str(here.pk): "pending", str(there.pk): "pending"}
    assert copy.sync() == both
    Mechanic.objects.filter(pk=mechanic.pk).update(serves_all=False)
    assert copy.sync() == {}
    assert copy.told == {one: {"id": one, "deleted": True} for one in both}
    long_ago()
    mechanic.events.add(event)
    assert copy.sync() == {str(here.pk): "pending"}
    long_ago()
    mechanic.events.set([elsewhere])
    assert copy.sync() == {str(there.pk): "pending"}
    long_ago()
    mechanics.set_active(mechanic_id=mechanic.pk, active=False, actor=None)
    taking.cancel(request_id=there.pk, actor=there.customer)
    assert copy.sync() == {}
    long_ago()
    assert copy.sync() == {} == copy.told


@pytest.mark.parametrize("end", ["taken over", "handed back", "handed back for them", "idle"])
def test_a_copy_forgets_what_its_mechanic_had_and_may_not_take(event, mechanic, organizer, as_person, end):
    """They went on with it though they serve other events by now."""
    helper = MechanicFactory(organization=event.organization, serves_all=False)
    helper.events.add(event)
    request = service_request(event, mechanic=helper)
    helper.events.set([EventFactory(organization=event.organization)])
    long_ago()
    copy = Copy(as_person(helper.user_profile))
    assert copy.sync() == {str(request.pk): "accepted"}
    if end == "taken over":
        taking.takeover(request_id=request.pk, mechanic_id=mechanic.pk, actor=organizer)
    elif end == "idle":
        assert taking.return_idle(at=timezone.now() + timedelta(hours=3)) == 1
    else:
        taking.release(request_id=request.pk, actor=helper.user_profile if end == "handed back" else organizer)
    assert copy.sync() == {}
    assert copy.told == {str(request.pk): {"id": str(request.pk), "deleted": True}}


def test_a_copy_follows_its_organisers_role(event, organizer, as_person):
    waits, over = service_request(event), service_request(event)
    taking.cancel(request_id=over.pk, actor=over.customer)
    people = organizer, member(event.organization, "door"), UserProfileFactory()
    copies = [Copy(as_person(one)) for one in people]
    everything = {str(waits.pk): "pending", str(over.pk): "cancelled"}
    long_ago()
    assert [one.sync() for one in copies] == [everything, {}, {}]
    memberships = Membership.objects.filter(organization=event.organization)
    for person, role in zip(people, ("door", "viewer"), strict=False):
        row = memberships.get(user_profile=person)
        row.role = role
        row.save()
    assert [one.sync() for one in copies] == [{}, everything, {}]
    long_ago()
    memberships.get(user_profile=people[1]).delete()
    assert [one.sync() for one in copies] == [{}, {}, {}]
    assert copies[2].told == {}


def test_a_copy_hears_nothing_of_what_was_over_before_its_mechanic_came(event, as_person):
    gone = service_request(event)
    taking.cancel(request_id=gone.pk, actor=gone.customer)
    long_ago()
    new = MechanicFactory(organization=event.organization)
    answer = as_person(new.user_profile).get(f"{API}session-requests/?updated_since=2000-01-01T00:00:00Z")
    assert answer.json()["results"] == []


# -- Acts ------------------------------------------------------------------------------------------------------


def act(api, request, what, body=None):
    return api.post(f"{API}session-requests/{request.pk}/{what}/", body)


def test_the_first_to_accept_gets_it(event, mechanic, customer, as_person):
    request = service_request(event, customer=customer)
    works, second = as_person(mechanic.user_profile), MechanicFactory(organization=event.organization)
    answer = act(works, request, "accept")
    assert answer.status_code == 200
    got = answer.json()
    assert got["session_url"] == f"http://127.0.0.1:8000/help/{request.session_id}/"
    assert got["request"] == works.get(f"{API}session-requests/{request.pk}/").json()
    assert got["session"] == works.get(f"{API}service-sessions/{request.session_id}/").json()
    assert (got["request"]["status"], got["request"]["my_role"]) == ("accepted", "mechanic")
    assert got["request"]["mechanic"] == {"id": str(mechanic.pk), "display_name": "Mia"}
    assert act(works, request, "accept").json() == got
    late = act(as_person(second.user_profile), request, "accept")
    assert refused(late) == (409, "already_accepted", {"accepted_by": "Mia"})
    mine = as_person(customer).get(f"{API}session-requests/{request.pk}/").json()
    assert (mine["mechanic"], mine["my_role"]) == ({"id": str(mechanic.pk), "display_name": "Mia"}, "customer")


def test_who_may_accept(event, mechanic, as_person, organizer):
    request = service_request(event)
    at_other = MechanicFactory(organization=event.organization, serves_all=False)
    at_other.events.add(EventFactory(organization=event.organization))
    off_duty = MechanicFactory(organization=event.organization, on_duty=False)
    stopped = MechanicFactory(organization=event.organization, on_duty=False, active=False)
    for person, expected in (
        (at_other.user_profile, (403, "not_serving")),
        (off_duty.user_profile, (403, "off_duty")),
        (stopped.user_profile, (404, "not_found")),
        (MechanicFactory().user_profile, (404, "not_found")),
        (organizer, (403, "permission_denied")),
        (request.customer, (403, "permission_denied")),
        (member(event.organization, "door"), (404, "not_found")),
        (UserProfileFactory(), (404, "not_found")),
    ):
        assert refused(act(as_person(person), request, "accept"))[:2] == expected, person
    own = service_request(event, customer=mechanic.user_profile)
    assert refused(act(as_person(mechanic.user_profile), own, "accept"))[:2] == (403, "own_request")
    UserProfile.objects.filter(pk=mechanic.user_profile_id).update(is_active=False)
    assert refused(act(as_person(mechanic.user_profile), request, "accept"))[:2] == (404, "not_found")
    request.refresh_from_db()
    assert (request.status, request.mechanic) == ("pending", None)


def test_a_request_is_handed_back_and_done(event, mechanic, as_person):
    works = as_person(mechanic.user_profile)
    request = service_request(event)
    for what in ("release", "complete"):
        assert refused(act(works, request, what))[:2] == (403, "permission_denied")
    act(works, request, "accept")
    customer = as_person(request.customer)
    for what in ("release", "complete"):
        assert refused(act(customer, request, what))[:2] == (403, "permission_denied")
    back = act(works, request, "release")
    assert (back.status_code, back.json()["status"], back.json()["my_role"]) == (200, "pending", None)
    assert back.json()["created_at"] == text(request.created_at)
    assert act(works, request, "release").json() == back.json()
    assert refused(act(works, request, "complete"))[:2] == (409, "not_yours")
    act(works, request, "accept")
    for _time in range(2):
        done = act(works, request, "complete")
        assert (done.status_code, done.json()["status"]) == (200, "completed")
    for api, what in ((works, "release"), (customer, "cancel"), (works, "accept")):
        assert refused(act(api, request, what)) == (409, "request_closed", {"status": "done"}), what


def test_a_request_is_cancelled(event, mechanic, organizer, as_person):
    works, desk = as_person(mechanic.user_profile), as_person(organizer)
    for api, taken in ((None, False), (None, True), (desk, False), (desk, True)):
        request = service_request(event, mechanic=mechanic if taken else None)
        api = api or as_person(request.customer)
        assert refused(act(works, request, "cancel"))[:2] == (403, "permission_denied")
        for _time in range(2):
            answer = act(api, request, "cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert refused(act(works, request, "accept"))[1] == "request_closed"


def test_an_organiser_gives_a_request_to_somebody(event, mechanic, organizer, as_person):
    request = service_request(event, mechanic=mechanic)
    other = MechanicFactory(organization=event.organization, display_name="Otto")
    desk, works = as_person(organizer), as_person(mechanic.user_profile)
    for body, expected in (
        ({}, (400, "required", "mechanic")),
        ({"mechanic": None}, (400, "null", "mechanic")),
        ({"mechanic": "Otto"}, (400, "invalid", "mechanic")),
        ({"mechanic": [str(other.pk)]}, (400, "invalid", "mechanic")),
        ({"mechanic": str(request.pk)}, (404, "not_found", None)),
        ({"mechanic": str(MechanicFactory().pk)}, (404, "not_found", None)),
        (
            {"mechanic": str(MechanicFactory(organization=event.organization, on_duty=False).pk)},
            (403, "off_duty", None),
        ),
    ):
        assert refused(act(desk, request, "takeover", body)) == expected, body
    to_other = {"mechanic": str(other.pk)}
    assert refused(act(works, request, "takeover", to_other))[:2] == (403, "permission_denied")
    assert refused(act(as_person(UserProfileFactory()), request, "takeover", to_other))[:2] == (404, "not_found")
    given = act(desk, request, "takeover", to_other)
    assert (given.status_code, given.json()["status"], given.json()["my_role"]) == (200, "accepted", None)
    assert given.json()["mechanic"] == {"id": str(other.pk), "display_name": "Otto"}
    assert works.get(f"{API}service-sessions/{request.session_id}/").status_code == 404
    assert refused(act(works, request, "complete"))[:2] == (409, "not_yours")
    viewer = as_person(member(event.organization, "viewer"))
    assert refused(act(viewer, request, "takeover", {"mechanic": str(mechanic.pk)}))[:2] == (403, "permission_denied")


# -- Mechanics -------------------------------------------------------------------------------------------------


def test_where_one_helps_oneself(event, mechanic, as_person):
    Mechanic.objects.filter(pk=mechanic.pk).update(skills=["brakes"], serves_all=False)
    mechanic.events.add(event)
    person = mechanic.user_profile
    MechanicFactory(user_profile=person, active=False, on_duty=False)
    MechanicFactory(organization=event.organization)
    mechanic.refresh_from_db()
    expected = {
        "id": str(mechanic.pk),
        "display_name": "Mia",
        "organization": {
            "id": event.organization_id,
            "name": event.organization.name,
            "slug": event.organization.slug,
        },
        "skills": ["brakes"],
        "serves_all": False,
        "events": [{"id": event.pk, "title": event.title, "slug": event.slug}],
        "on_duty": True,
        "updated_at": text(mechanic.updated_at),
    }
    assert as_person(person).get(f"{API}mechanics/me/").json()["results"] == [expected]
    assert as_person(UserProfileFactory()).get(f"{API}mechanics/me/").json()["results"] == []
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    assert as_person(person).get(f"{API}mechanics/me/").json()["results"] == []


def test_on_duty_and_off(event, mechanic, organizer, as_person):
    request = service_request(event, mechanic=mechanic)
    works, path = as_person(mechanic.user_profile), f"{API}mechanics/{mechanic.pk}/duty/"
    for body, code in (
        ({}, "required"),
        ({"on_duty": None}, "null"),
        ({"on_duty": "perhaps"}, "invalid"),
        ({"on_duty": []}, "invalid"),
    ):
        assert refused(works.post(path, body)) == (400, code, "on_duty"), body
    for _time in range(2):
        off = works.post(path, {"on_duty": False})
        assert (off.status_code, off.json()["on_duty"]) == (200, False)
    request.refresh_from_db()
    assert request.status == "pending"
    assert works.post(path, {"on_duty": True}).json()["on_duty"] is True
    assert as_person(organizer).post(path, {"on_duty": False}).json()["on_duty"] is False
    for role in ("viewer", "door"):
        answer = as_person(member(event.organization, role)).post(path, {"on_duty": True})
        assert refused(answer)[:2] == (404, "not_found"), role
    for person in (MechanicFactory(organization=event.organization).user_profile, UserProfileFactory()):
        assert refused(as_person(person).post(path, {"on_duty": True}))[:2] == (404, "not_found")
    mechanics.set_active(mechanic_id=mechanic.pk, active=False, actor=organizer)
    assert refused(works.post(path, {"on_duty": True}))[:2] == (409, "mechanic_not_active")


def test_organisers_find_whom_to_give_a_request_to(event, mechanic, organizer, as_person):
    at_other = MechanicFactory(organization=event.organization, serves_all=False, on_duty=False)
    at_other.events.add(EventFactory(organization=event.organization))
    MechanicFactory(organization=event.organization, active=False, on_duty=False)
    MechanicFactory()

    def found(person, query=""):
        answer = as_person(person).get(f"{API}mechanics/{query}")
        assert answer.status_code == 200
        return [row["id"] for row in answer.json()["results"]]

    mia, other = str(mechanic.pk), str(at_other.pk)
    assert found(organizer) == [mia, other]
    assert found(organizer, f"?organization={event.organization_id}") == [mia, other]
    assert found(organizer, "?organization=0") == []
    assert found(organizer, f"?event={event.pk}") == [mia]
    assert found(organizer, f"?event={EventFactory().pk}") == []
    assert found(organizer, "?on_duty=true") == [mia]
    assert found(organizer, "?on_duty=false") == [other]
    for person in (mechanic.user_profile, member(event.organization, "door"), UserProfileFactory()):
        assert found(person) == []
    answer = as_person(organizer).get(f"{API}mechanics/?event=x")
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "event")
