"""What the stream reads in PostgreSQL: one look for all who are connected, whatever their number.

Everything here runs in a thread, on a connection to the database of its own.
"""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models import Min, OuterRef

from config.json import JSONRenderer
from events.models import Membership, UserProfile
from events.models.people import Role

from ..api import service, sessions
from ..models import Mechanic, RequestStatus, ServiceSignal, SessionRequest

Kind = ServiceSignal.Kind

MOST = 500
"""Signals read at once; what is left comes with the next look."""
FAR_BACK = 2000
"""Signals after which all that a person sees is read rather than what has changed."""


def with_database(function, *arguments):
    """Twice, where PostgreSQL has ended the connection since it was last used. Raises DatabaseError."""
    close_old_connections()
    try:
        return function(*arguments)
    except (OperationalError, InterfaceError):
        connection.close()
        return function(*arguments)


def event(name: str, data: bytes, number: int | None = None) -> bytes:
    at = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), at, data)


def written(value) -> bytes:
    return JSONRenderer().render(value)


# -- What is wanted, and what is found -----------------------------------------------------------------------


class Joining(NamedTuple):
    """Somebody who wants to follow requests. ``since``: the last event that they have."""

    person_id: UUID
    since: int | None


class Following(NamedTuple):
    """Somebody in a session, or who would be. ``since``: the last of its messages that they have."""

    session_id: UUID
    person_id: UUID
    since: int


@dataclass
class Wanted:
    """``last``: the last signal of the look before. ``standings``: of the people who are to be looked at again, how
    they stood."""

    last: int
    watching: set[UUID] = field(default_factory=set)
    joining: list[Joining] = field(default_factory=list)
    following: set[Following] = field(default_factory=set)
    entering: set[Following] = field(default_factory=set)
    standings: dict[UUID, tuple | None] = field(default_factory=dict)


@dataclass
class Listing:
    """What somebody sees: all that isn't over, or what has changed since they looked (``full`` or not), and the ids
    of all that isn't over in any case."""

    body: bytes
    ids: set[UUID]


@dataclass
class Told:
    """The state of a session, and what was said in it since. ``last``: the last message."""

    body: bytes
    last: int


@dataclass
class Found:
    last: int
    more: bool = False
    changes: list["Change"] = field(default_factory=list)
    anew: dict[UUID, Listing] = field(default_factory=dict)
    joined: dict[Joining, Listing] = field(default_factory=dict)
    told: dict[Following, Told | None] = field(default_factory=dict)
    standings: dict[UUID, tuple | None] = field(default_factory=dict)


class Card:
    """A request as it stands, written once for all who see it alike."""

    def __init__(self, row: dict):
        self.id = row["id"]
        self.is_live = row["status"] in RequestStatus.LIVE
        self.row = row
        self._data = {}

    def data(self, person_id) -> bytes:
        row = self.row
        reader = person_id if person_id in (row["customer_id"], row["mechanic__user_profile_id"]) else None
        if reader not in self._data:
            self._data[reader] = written(service.shown(row, reader))
        return self._data[reader]

    def gone(self, is_insider: bool, number: int | None = None) -> bytes:
        """What others than the organisation's own learn of it is that it isn't theirs any more."""
        row = self.row
        told = {"status": row["status"], "accepted_by": row["mechanic_id"] and service.mechanic_of(row)}
        if not is_insider:
            told = {"status": None, "accepted_by": None}
        return event("gone", written({"id": row["id"]} | told), number)


@dataclass
class Change:
    """A request that has changed, and who of the people connected sees it, or works where it was asked; or one in whose
    session something was said (``is_word``), which concerns these two only."""

    number: int
    card: Card
    viewers: set[UUID]
    insiders: set[UUID]
    is_word: bool

    def request(self, person_id) -> bytes:
        return event("request", self.card.data(person_id), self.number)

    def gone(self, person_id) -> bytes:
        return self.card.gone(person_id in self.insiders, self.number)


# -- One look ------------------------------------------------------------------------------------------------


def look(wanted: Wanted) -> Found:
    """What has changed since the last look, for whoever is connected and whoever joins.

    The signals are read first: whatever is read after them is as new as they are, or newer.
    """
    columns = ("pk", "kind", "session_id", "user_profile_id")
    signals = list(ServiceSignal.objects.filter(pk__gt=wanted.last).order_by("pk").values_list(*columns)[:MOST])
    found = Found(last=signals[-1][0] if signals else wanted.last, more=len(signals) == MOST)
    found.standings = standings(wanted.standings.keys())
    _requests(wanted, found, signals)
    _sessions(wanted, found, {session_id for _pk, kind, session_id, _person in signals if kind != Kind.MECHANIC})
    return found


def look_at_once(wanted: Wanted) -> Found:
    """Of one moment, so that whoever joins is told of no request that they aren't given."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return look(wanted)


def _requests(wanted, found, signals):
    if not wanted.watching and not wanted.joining:
        return
    numbers = {session_id: pk for pk, kind, session_id, _person in signals if kind in (Kind.REQUEST, Kind.MESSAGE)}
    changed = {session_id for _pk, kind, session_id, _person in signals if kind == Kind.REQUEST}
    anew = {person_id for _pk, kind, _session, person_id in signals if kind == Kind.MECHANIC}
    anew |= {one for one, before in wanted.standings.items() if before not in (None, found.standings[one])}
    anew &= wanted.watching
    joining = {one.person_id for one in wanted.joining}
    missed = _missed(wanted.joining, found.last)
    scene = Scene(
        sessions=numbers.keys() | {session_id for sessions in missed.values() for session_id in sessions or ()},
        hearing=wanted.watching - anew | joining,
        reading=anew | joining,
        last=found.last,
    )
    found.changes = scene.changes(numbers, said=numbers.keys() - changed)
    found.anew = {person_id: scene.listing(person_id) for person_id in anew}
    found.joined = {one: scene.listing(one.person_id, since) for one, since in missed.items()}


class Scene:
    """The requests that matter to a look, and who sees which of them.

    ``sessions``: those whose requests have changed, of which the people ``hearing`` are to hear; the people
    ``reading`` are to get all that they see.
    """

    def __init__(self, *, sessions, hearing, reading, last):
        self.last = last
        self.changed = {card.row["session_id"]: card for card in _cards(session__in=sessions)} if sessions else {}
        self.cards = {card.id: card for card in self.changed.values()}
        self.works = _insiders(hearing, {card.row["organization_id"] for card in self.cards.values()})
        self.sees = _sees(hearing, SessionRequest.objects.filter(pk__in=list(self.cards))) if self.cards else {}
        self.live = _sees(reading, SessionRequest.objects.filter(status__in=RequestStatus.LIVE))
        if others := set().union(*self.live.values()) - self.cards.keys():
            self.cards |= {card.id: card for card in _cards(pk__in=others)}

    def changes(self, numbers, said) -> list[Change]:
        """In the order in which they happened. In those ``said`` nothing has changed but that there is a message."""
        found = []
        for session_id, number in sorted(numbers.items(), key=lambda one: one[1]):
            if card := self.changed.get(session_id):
                viewers = {one for one, ids in self.sees.items() if card.id in ids}
                insiders = {
                    one for one, organization_id in self.works if organization_id == card.row["organization_id"]
                }
                if session_id in said:
                    viewers &= {card.row["customer_id"], card.row["mechanic__user_profile_id"]}
                found.append(Change(number, card, viewers, insiders, session_id in said))
        return found

    def listing(self, person_id, since=None) -> Listing:
        """All that the person sees; or of the sessions ``since``, what they see and what they don't see any more."""
        ids, gone = self.live.get(person_id, set()), []
        shown = [self.cards[pk] for pk in sorted(ids)]
        if since is not None:
            theirs = [card for session_id, card in self.changed.items() if session_id in since]
            shown = [card for card in theirs if card.id in self.sees.get(person_id, ())]
            lost = [card for card in theirs if card not in shown]
            gone = [card for card in lost if (person_id, card.row["organization_id"]) in self.works]
        events = [event("request", card.data(person_id)) for card in shown]
        events += [card.gone(True) for card in gone]
        events.append(event("ready", written({"full": since is None, "ids": sorted(ids)}), self.last))
        return Listing(b"".join(events), ids)


def _cards(**which) -> list[Card]:
    return [Card(row) for row in service.rows(SessionRequest.objects.filter(**which).order_by("pk"))]


def _sees(people, requests) -> dict[UUID, set[UUID]]:
    """Which of the requests each of the people sees, in one query."""
    if not people:
        return {}
    theirs = ArraySubquery(requests.seen_by(OuterRef("pk")).order_by().values("pk"))
    rows = UserProfile.objects.filter(pk__in=people).order_by().values_list("pk", theirs)
    return {person_id: set(ids) for person_id, ids in rows}


def _insiders(people, organizations) -> set[tuple[UUID, int]]:
    """Who of the people are mechanics or organisers of which of the organisations."""
    if not people or not organizations:
        return set()
    which = {"user_profile__in": people, "organization__in": organizations}
    columns = ("user_profile_id", "organization_id")
    mechanics = Mechanic.objects.filter(**which, active=True).order_by().values_list(*columns)
    return set(mechanics.union(Membership.objects.filter(**which, role__in=Role.LOOK).order_by().values_list(*columns)))


def _missed(joining, last) -> dict[Joining, set[UUID] | None]:
    """The sessions whose requests have changed since each of them had something; None for who needs all.

    Those are who is new, whose signals are forgotten, and who has gone on or off duty meanwhile.
    """
    missed = dict.fromkeys(joining)
    first = ServiceSignal.objects.aggregate(first=Min("pk"))["first"] if any(one.since for one in joining) else None
    back = [
        one
        for one in joining
        if first is not None and one.since is not None and max(first - 1, last - FAR_BACK) <= one.since <= last
    ]
    if not back:
        return missed
    signals = ServiceSignal.objects.filter(
        pk__gt=min(one.since for one in back), pk__lte=last, kind__in=(Kind.REQUEST, Kind.MECHANIC)
    ).values_list("pk", "session_id", "user_profile_id")
    signals = list(signals)
    for one in back:
        theirs = [(session_id, person_id) for pk, session_id, person_id in signals if pk > one.since]
        if all(person_id != one.person_id for _session, person_id in theirs):
            missed[one] = {session_id for session_id, _person in theirs if session_id}
    return missed


def standings(people) -> dict[UUID, tuple | None]:
    """Whatever of a person decides what they see; None for who is no longer there."""
    if not people:
        return {}
    looks = Membership.objects.filter(user_profile=OuterRef("pk"), role__in=Role.LOOK).order_by("organization")
    helps = Mechanic.objects.on_duty().filter(user_profile=OuterRef("pk")).order_by("pk")
    at = Mechanic.events.through.objects.filter(mechanic__user_profile=OuterRef("pk")).order_by("pk")
    rows = UserProfile.objects.active().filter(pk__in=people).order_by()
    rows = rows.values_list(
        "pk",
        "is_superuser",
        ArraySubquery(looks.values("organization")),
        ArraySubquery(helps.values("organization")),
        ArraySubquery(helps.filter(serves_all=True).values("organization")),
        ArraySubquery(at.values("event")),
    )
    return dict.fromkeys(people) | {pk: (everything, *map(tuple, arrays)) for pk, everything, *arrays in rows}


# -- Sessions ------------------------------------------------------------------------------------------------


def _sessions(wanted, found, changed):
    """For who follows a session that has changed, and who would enter one: whether they are in it is asked anew."""
    for one in {one for one in wanted.following if one.session_id in changed} | wanted.entering:
        session = sessions.of(UserProfile(pk=one.person_id)).filter(pk=one.session_id).first()
        found.told[one] = session and _told(session, one)


def _told(session, one) -> Told:
    said = sessions.messages_of(session.pk).filter(pk__gt=one.since).order_by("pk")
    events = [event("session", written(sessions.shown(session)))]
    last = one.since
    for message in said:
        last = message["id"]
        events.append(event("message", written(sessions.shown_message(message, one.person_id)), last))
    return Told(b"".join(events), last)


def left(session_id) -> bytes:
    """What somebody is told who isn't in the session any more."""
    return event("gone", written({"id": session_id, "status": None, "accepted_by": None}))
