"""Fifty scanners at one door, over real HTTP: everybody comes in once, and every answer is right."""

import http.client
import json
import random
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils.dateparse import parse_datetime

from attendance.models import AttendanceAudit, Attendee, CheckIn, CheckInAttempt
from events.models import UserProfile
from events.sign_in import access_token
from tests.factories import EventFactory, member

from .at_the_door import NOW, address, device, doorkeeper

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

TICKETS, SCANNERS, IN_A_BATCH = 2000, 50, 100


@pytest.fixture
def server(serve):
    """A web process of its own; the address of its host."""
    return urlsplit(serve()).netloc


@pytest.fixture
def crowd():
    """An event with its attendees' tickets."""
    event = EventFactory()
    people = UserProfile.objects.bulk_create(
        UserProfile(first_name="Guest", last_name=str(n), email=f"guest{n}@example.org") for n in range(TICKETS)
    )
    Attendee.objects.bulk_create(
        Attendee(event=event, user_profile=one, owner_id=one.owner_id, source="invitation") for one in people
    )
    return event, list(Attendee.objects.values_list("ticket_code", flat=True))


@pytest.fixture
def scanners(crowd):
    """``Authorization`` headers: every other one a device, the others people."""
    event, _tickets = crowd
    people = [member(event.organization, "door", first_name=f"Scanner {n}", last_name="") for n in range(SCANNERS // 2)]
    devices = [device(event, f"Gate {n}") for n in range(SCANNERS // 2)]
    return [f"Bearer {access_token(one)}" for one in people] + [f"Device {one.token}" for one in devices]


def post(connection, path, header, body):
    """(status, body); asks again where the server says so."""
    for _attempt in range(20):
        headers = {"Authorization": header, "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        if answer[0] != 409 or answer[1]["errors"][0]["code"] != "busy":
            break
    return answer


def send(server, path, jobs):
    """Answers to ``jobs`` of (header, body), each list of them by a scanner of its own, all at once."""

    def work(own):
        connection = http.client.HTTPConnection(server, timeout=30)
        try:
            return [(body, *post(connection, path, header, body)) for header, body in own]
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [answer for own in pool.map(work, jobs) for answer in own]


def everybody_is_in_once(event):
    assert Attendee.objects.here().count() == TICKETS
    assert set(AttendanceAudit.objects.values_list("from_status", "to_status", "source")) == {
        ("unknown", "present", "scan")
    }
    assert AttendanceAudit.objects.count() == TICKETS == AttendanceAudit.objects.values("attendee").distinct().count()
    assert CheckIn.objects.filter(result="checked_in", undone_at=None).count() == TICKETS
    assert not CheckInAttempt.objects.exists()


def told_of_the_first(answers):
    """Of ``(ticket, scan_id, answer)``: one scan brought each in, and all tell the same of it."""
    by_ticket, by_scan = defaultdict(set), defaultdict(set)
    for ticket, scan_id, answer in answers:
        by_ticket[ticket].add((scan_id, answer["result"]))
        by_scan[scan_id].add(json.dumps(answer, sort_keys=True))
    assert len(by_ticket) == TICKETS
    assert {len(different) for different in by_scan.values()} == {1}
    for scans in by_ticket.values():
        results = Counter(result for _scan_id, result in scans)
        assert results["checked_in"] == 1 and set(results) <= {"checked_in", "already_checked_in"}


def test_fifty_scanners_let_everybody_in_once(server, crowd, scanners):
    event, tickets = crowd
    luck = random.Random(7)
    jobs = [[] for _scanner in scanners]
    for number, ticket in enumerate(tickets):
        places = luck.sample(range(SCANNERS), 2)
        first = {"ticket_code": ticket, "scan_id": f"{number}"}
        jobs[places[0]].append((scanners[places[0]], first))
        if number % 3 == 0:  # held in front of another scanner
            jobs[places[1]].append((scanners[places[1]], first | {"scan_id": f"{number} again"}))
        if number % 10 == 0:  # sent again while the first may be under way
            jobs[places[1]].append((scanners[places[0]], first))
    answers = send(server, address(event), jobs)
    assert Counter(status for _body, status, _answer in answers) == {200: TICKETS + 667 + 200}
    told_of_the_first([(body["ticket_code"], body["scan_id"], answer) for body, _status, answer in answers])
    everybody_is_in_once(event)
    first = dict(CheckIn.objects.filter(result="checked_in").values_list("attendee", "checked_in_at"))
    for _body, _status, answer in answers:
        assert parse_datetime(answer["checked_in_at"]) == first[type(next(iter(first)))(answer["attendee"]["id"])]


def test_fifty_scanners_come_back_from_offline(server, crowd, scanners):
    """Every ticket was scanned by two without network; the earliest scan wins, in whatever order they arrive."""
    event, tickets = crowd
    luck = random.Random(7)
    begun = NOW() - timedelta(hours=1)
    scans = [[] for _scanner in scanners]
    earliest = {}
    for number, ticket in enumerate(tickets):
        places = luck.sample(range(SCANNERS), 2)
        for which, place in enumerate(places[: 1 + (number % 3 == 0)]):
            moment = begun + timedelta(seconds=luck.randrange(3000), microseconds=number * 2 + which)
            earliest[ticket] = min(moment, earliest.get(ticket, moment))
            one = {"ticket_code": ticket, "scan_id": f"{number} {which}", "scanned_at": moment.isoformat()}
            scans[place].append(one)
    jobs = [[(header, {"scans": own})] for header, own in zip(scanners, scans, strict=True)]
    for number in range(0, SCANNERS, 5):  # the answer was lost: another connection sends it again, all at once
        jobs.append(jobs[number])
    answers = send(server, address(event, "check-ins/batch/"), jobs)
    assert Counter(status for _body, status, _answer in answers) == {200: len(jobs)}
    for body, _status, answer in answers:
        assert [one["scan_id"] for one in answer["results"]] == [one["scan_id"] for one in body["scans"]]
        assert {one["result"] for one in answer["results"]} <= {"checked_in", "already_checked_in"}
    everybody_is_in_once(event)
    marked = dict(Attendee.objects.values_list("ticket_code", "attendance_marked_at"))
    assert marked == earliest
    assert (
        dict(CheckIn.objects.filter(result="checked_in").values_list("attendee__ticket_code", "checked_in_at"))
        == earliest
    )
    assert CheckIn.objects.count() == sum(map(len, scans))


def test_the_same_stranger_at_two_doors_is_one_person(server):
    """Walk-ins of one address at several events at once: an event's lock doesn't keep them apart."""
    doors = [doorkeeper(event) for event in EventFactory.create_batch(4)]
    events = [one.person.memberships.get().organization.events.get() for one in doors]
    wanda = {"first_name": "Wanda", "email": "wanda@example.org"}

    def work(place):
        connection = http.client.HTTPConnection(server, timeout=30)
        header = f"Bearer {access_token(doors[place % 4].person)}"
        return post(connection, address(events[place % 4], "walk-ins/"), header, wanda)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(work, range(12)))
    assert Counter((status, answer.get("result")) for status, answer in answers) == {
        (201, "checked_in"): 4,
        (201, "already_checked_in"): 8,
    }
    assert UserProfile.objects.filter(email="wanda@example.org").count() == 1
    assert Attendee.objects.count() == 4
