"""Many phones, some of them impatient, over real HTTP at several servers, one of which dies now and then; beside
them an organiser, SQL by hand and the sweep. Afterwards the record of the lines is read from its beginning."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
from django.db import connection, connections
from django.utils import timezone

from attendance.models import Attendee
from config.errors import DomainError
from events.models import Session, UserProfile
from events.sign_in import access_token
from rsvp import integrity
from rsvp.models import SessionRsvp, WaitlistEntry, WaitlistLog
from rsvp.operations import line
from tests.factories import EventFactory, SessionFactory, crowd

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WRITES = 5
"""Of a person in a minute: so each has as many, and there are many people."""


class Phones:
    """Everybody's, by a few at a time; ``servers``: where they may call, of which some may be gone."""

    def __init__(self, servers, event, sessions, seed):
        self.servers, self.event, self.sessions = servers, event, sessions
        self.luck = random.Random(seed)
        self.answers, self.lost = Counter(), 0
        self.over = threading.Event()

    def call(self, link, method, path, person):
        """(status, body, link); None for the status where the connection broke, and nobody knows what was done."""
        headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
        try:
            link.request(method, f"/api/v1/{path}", headers=headers)
            response = link.getresponse()
            return response.status, json.loads(response.read() or "null"), link
        except (OSError, http.client.HTTPException):
            link.close()
            self.lost += 1
            return None, None, self.link()

    def link(self):
        return http.client.HTTPConnection(self.luck.choice(self.servers), timeout=20)

    def act(self, link, person, session):
        """Something that the person may want now."""
        places = [one for one in person.places if one is not None]
        wish = self.luck.choice(["rsvp", "rsvp", "wait", "wait", "cancel", "leave", "accept", "accept", "decline"])
        if wish in ("accept", "decline") and places:
            method, path = "POST", f"waitlist/{self.luck.choice(places)}/{wish}/"
        else:
            method, path = {
                "wait": ("POST", f"sessions/{session.pk}/waitlist/"),
                "cancel": ("DELETE", f"sessions/{session.pk}/rsvp/"),
                "leave": ("DELETE", f"sessions/{session.pk}/waitlist/"),
            }.get(wish, ("POST", f"sessions/{session.pk}/rsvp/?waitlist=1"))
        status, body, link = self.call(link, method, path, person)
        if status is not None:
            code = body["errors"][0]["code"] if status >= 400 else ""
            self.answers[f"{status} {code}".strip()] += 1
            person.places.append(body.get("waitlist_id") if status < 400 else None)
        return link

    def work(self, people):
        """One phone after the other, each of them now and then, until it is over or all have had their writes."""
        try:
            link = self.link()
            while people and not self.over.is_set():
                person = self.luck.choice(people)
                link = self.act(link, person, self.luck.choice(self.sessions))
                person.writes += 1
                if person.writes == WRITES:
                    people.remove(person)
            link.close()
        finally:
            connections.close_all()


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def meddle(phones):
    """An organiser, a clock that runs, and SQL by hand."""
    luck = random.Random(phones.luck.random())
    try:
        while not phones.over.wait(0.05):
            session = luck.choice(phones.sessions)
            entry = WaitlistEntry.objects.live().filter(session=session).order_by("?").first()
            act = luck.randrange(9)
            try:
                if act == 0:
                    sql("UPDATE event_sessions SET capacity = capacity + 2 WHERE id = %s", session.pk)
                elif act == 1:
                    sql("UPDATE event_sessions SET capacity = greatest(capacity - 2, seats_taken) WHERE id = %s",
                        session.pk)  # fmt: skip
                elif act == 2:
                    pk = Attendee.objects.active().order_by("?").values_list("pk", flat=True).first()
                    Attendee.objects.filter(pk=pk).update(status="removed")
                elif act == 3 and entry:
                    line.skip(entry_id=entry.pk, actor=None)
                elif act == 4 and entry:
                    line.prioritize(entry_id=entry.pk, actor=None, priority=luck.randrange(-1, 3))
                elif act == 5:
                    sql("UPDATE session_waitlist SET offer_expires_at = clock_timestamp(), told_at = now() "
                        "WHERE status = 'offered' AND session_id = %s AND random() < 0.5", session.pk)  # fmt: skip
                elif act == 6:
                    sql("UPDATE session_rsvps SET status = 'cancelled' WHERE status = 'confirmed' "
                        "AND random() < 0.05")  # fmt: skip
                else:
                    line.catch_up()
            except DomainError as refusal:
                phones.answers[f"organiser: {refusal.code}"] += 1
    finally:
        connections.close_all()


def watch(phones, seen):
    """What anybody who looks would see, in one snapshot each."""
    try:
        while not phones.over.wait(0.02):
            for wrong in (integrity.miscounted, integrity.overbooked, integrity.of_nobody):
                seen[wrong.__name__] += wrong().count()
            seen["looks"] += 1
    finally:
        connections.close_all()


def die(address):
    """The server at this address and all its processes, as the kernel would kill them for memory."""
    port = address.rpartition(":")[2]
    for process in psutil.Process().children(recursive=False):
        if process.status() != psutil.STATUS_ZOMBIE and port in process.cmdline():
            for one in [*process.children(recursive=True), process]:
                one.kill()


def chaos(serve, *, people, capacities, seconds, clients, deaths, seed):
    """Everything at once for so long; ``(phones, what was seen)``."""
    event = EventFactory()
    sessions = [SessionFactory(event=event, capacity=capacity) for capacity in capacities]
    crowd(event, people)
    everybody = list(UserProfile.objects.filter(attendances__event=event))
    for one in everybody:
        one.token, one.places, one.writes = access_token(one), [], 0
    servers = [urlsplit(serve()).netloc for _server in range(2)]
    phones, seen = Phones(servers, event, sessions, seed), Counter()
    with ThreadPoolExecutor(clients + 2) as pool:
        work = [pool.submit(phones.work, everybody[place::clients]) for place in range(clients)]
        work += [pool.submit(meddle, phones), pool.submit(watch, phones, seen)]
        try:
            for _death in range(deaths):
                time.sleep(seconds / (deaths + 1))
                die(servers[0])
                del servers[0]
                servers.append(urlsplit(serve()).netloc)
            time.sleep(seconds / (deaths + 1))
        finally:
            phones.over.set()
        for one in work:
            one.result()
    return phones, seen


def audited(session):
    """Reads the record from its beginning: how many seats were handed on, each to whoever was first at that moment."""
    waiting, moments, given = {}, [], 0
    for step in WaitlistLog.objects.filter(session=session).order_by("pk"):
        place = (-step.priority, step.queued_at, step.entry_id)
        if step.from_status == "waiting" and step.to_status in ("offered", "accepted"):
            assert waiting[step.entry_id] == min(waiting.values())
            given += 1
        if step.to_status == "waiting":
            waiting[step.entry_id] = place
        else:
            waiting.pop(step.entry_id, None)
        moments.append((step.at, len(waiting)))
    assert {one.pk for one in WaitlistEntry.objects.waiting().filter(session=session)} == set(waiting)
    own = SessionRsvp.objects.filter(session=session, source="own").values_list("confirmed_at", flat=True)
    for moment in own:  # nobody came in past a line
        before = [length for at, length in moments if at < moment]
        assert not before or before[-1] == 0
    return given


def in_the_end(phones, seen):
    """Offers that stand are let pass or not; then nothing is free that anybody waits for."""
    line.catch_up()
    for session in Session.objects.filter(pk__in=[one.pk for one in phones.sessions]):
        assert session.waitlist_length == 0 or session.seats_taken == session.capacity
    assert [wrong().count() for wrong in (integrity.miscounted, integrity.overbooked, integrity.of_nobody)] == [0] * 3
    assert {name: count for name, count in seen.items() if name != "looks"} == dict.fromkeys(
        ("miscounted", "overbooked", "of_nobody"), 0
    )
    statuses = {int(name.split()[0]) for name in phones.answers if not name.startswith("organiser")}
    assert statuses <= {200, 201, 202, 403, 404, 409}
    assert not WaitlistEntry.objects.filter(status="offered", offer_expires_at__lt=timezone.now()).exists()


def test_chaos_leaves_every_seat_and_every_turn_right(serve):
    phones, seen = chaos(serve, people=500, capacities=[4, 12, 25], seconds=8, clients=12, deaths=1, seed=11)
    in_the_end(phones, seen)
    assert sum(audited(session) for session in phones.sessions) > 20
    assert sum(phones.answers.values()) > 200 and seen["looks"] > 20


def test_the_last_seat_over_http_is_taken_by_one(serve):
    session = SessionFactory(capacity=1)
    crowd(session.event, 60)
    address, path = urlsplit(serve()).netloc, f"/api/v1/sessions/{session.pk}/rsvp/"
    tokens = [access_token(one) for one in UserProfile.objects.filter(attendances__event=session.event)]
    start = threading.Barrier(len(tokens))

    def take(token):
        link = http.client.HTTPConnection(address, timeout=30)
        link.connect()
        start.wait(timeout=30)
        link.request("POST", path, headers={"Authorization": f"Bearer {token}"})
        response = link.getresponse()
        body = json.loads(response.read())
        link.close()
        return response.status, body["errors"][0]["code"] if response.status >= 400 else body["status"]

    with ThreadPoolExecutor(len(tokens)) as pool:
        answers = Counter(pool.map(take, tokens))
    assert answers == {(201, "confirmed"): 1, (409, "session_full"): 59}
    assert Session.objects.values_list("seats_taken", flat=True).get() == 1
