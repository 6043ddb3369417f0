"""Who is connected, and what each of them is sent."""

import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import redis
import redis.asyncio
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext_lazy as _
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from rest_framework.exceptions import AuthenticationFailed

from config.errors import NotFound, Unavailable

from ..api.stream import MOST_EACH, TooManyStreams, newest
from ..operations.taking import CHANNEL
from . import reading
from .reading import Following, Joining, Wanted

log = structlog.get_logger(__name__)

LOOKS, LOOKS_ALONE = 0.5, 0.25
"""Seconds after which the database is looked at though nobody said that it is worth it; and while Redis is away."""
GATHERS = 0.02
"""Seconds in which what several commit at once becomes one look."""
ENTER_AT_ONCE = 25
"""Newcomers in one look: when all come back at once, news isn't held up for longer than by so many."""
ALIVE = b":\nevent: alive\ndata: {}\n\n"
"""A comment, as usual; and an event, as a browser's EventSource shows its page no comments."""
LASTS = 3600
"""Seconds after which a connection ends, and its client comes back; a little less for some, so that not all do so
together."""
MOST_WAITING = 1_000_000
"""Bytes that a client may be behind, however much it gets at once."""
SEND_TIMEOUT = 20
"""Seconds that a client gets to take what it is sent."""
REDIS_SILENT = 1
"""Seconds without a word from Redis after which it is asked whether it is there; after as many more it isn't."""


class Connection:
    """One client: what waits to be sent to it, and when it has to end."""

    stream = ""

    def __init__(self, person_id: UUID):
        self.person_id = person_id
        self.is_over = False
        self.entered = asyncio.get_running_loop().create_future()
        """Done once the person is let in; or why they aren't."""
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_news = asyncio.Event()

    def put(self, body: bytes) -> None:
        """Who is too far behind is cut off: they come back and get what they lack at once."""
        if self._waiting and self._size + len(body) > MOST_WAITING:
            log.info("stream.too_slow", person=str(self.person_id), stream=self.stream)
            self._waiting = []
            self.end()
        elif not self.is_over:
            self._waiting.append(body)
            self._size += len(body)
            self._is_news.set()

    def end(self) -> None:
        """Once what waits is sent."""
        self.is_over = True
        self._is_news.set()

    async def bodies(self):
        """What to send, as it comes; heartbeats while nothing does. Ends with the connection."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LASTS * random.uniform(0.9, 1)
        while (left := ends_at - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(settings.STREAM_HEARTBEAT, left)):
                    await self._is_news.wait()
            except TimeoutError:
                yield ALIVE
                continue
            self._is_news.clear()
            body, self._waiting, self._size = b"".join(self._waiting), [], 0
            if body:
                yield body
            if self.is_over:
                return


class OfRequests(Connection):
    """``since``: the last event that the client has. ``shown``: the requests on its screen that aren't over."""

    stream = "session-requests"

    def __init__(self, person_id, since: int | None):
        super().__init__(person_id)
        self.joining = Joining(person_id, since)
        self.shown: set[UUID] = set()

    def asks_for_less(self) -> bool:
        """For what the person sees, without what they don't see any more; False where that is what they asked for."""
        had, self.joining = self.joining, self.joining._replace(since=None)
        return had != self.joining

    def list(self, listing) -> None:
        self.shown = set(listing.ids)
        self.put(listing.body)

    def hear(self, changes) -> None:
        events = []
        for change in changes:
            pk = change.card.id
            if self.person_id in change.viewers:
                events.append(change.request(self.person_id))
                (self.shown.add if change.card.is_live else self.shown.discard)(pk)
            elif pk in self.shown and not change.is_word:
                events.append(change.gone(self.person_id))
                self.shown.remove(pk)
        if events:
            self.put(b"".join(events))


class OfSession(Connection):
    """``since``: the last message that the client has."""

    stream = "service-sessions"

    def __init__(self, person_id, session_id: UUID, since: int):
        super().__init__(person_id)
        self.following = Following(session_id, person_id, since)

    def asks_for_less(self) -> bool:
        return False

    def tell(self, told) -> None:
        if told is None:
            self.put(reading.left(self.following.session_id))
            self.end()
        else:
            self.following = self.following._replace(since=told.last)
            self.put(told.body)


class Hub:
    """The connections of this process, and the one reader that reads for them all."""

    def __init__(self):
        self.connections: set[Connection] = set()
        self.entering: list[Connection] = []
        self._one_by_one = 0
        self._of_person = Counter()
        self._standings: dict[UUID, tuple] = {}
        self._last = None
        self._looks_at_people_at = 0.0
        self._redis_is_there = None
        self._database_is_there = True
        self._is_worth_it = asyncio.Event()
        self._reader = ThreadPoolExecutor(1, "reader")
        self._tasks = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read())]

    # -- Coming and going ------------------------------------------------------------------------------------

    @contextmanager
    def place(self, person_id):
        """Raises TooManyStreams."""
        if self._of_person[person_id] >= MOST_EACH:
            raise TooManyStreams(most=MOST_EACH)
        self._of_person[person_id] += 1
        try:
            yield
        finally:
            self._of_person[person_id] -= 1
            if not self._of_person[person_id]:
                del self._of_person[person_id]
                self._standings.pop(person_id, None)

    @contextmanager
    def joined(self, connection):
        """What it gets first is read by the next look, so that nothing comes between that and what follows."""
        self.entering.append(connection)
        self._is_worth_it.set()
        try:
            yield
        finally:
            self.connections.discard(connection)

    # -- Redis -----------------------------------------------------------------------------------------------

    async def _listen(self):
        """Hears that there is something new, for as long as the process lives."""
        while True:
            try:
                await self._listen_while_there()
            except (redis.RedisError, OSError, TimeoutError) as error:
                if self._redis_is_there is not False:
                    log.warning("stream.redis_away", reason=repr(error))
                self._redis_is_there = False
            await asyncio.sleep(LOOKS_ALONE)

    async def _listen_while_there(self):
        limits = {"socket_timeout": REDIS_SILENT, "socket_connect_timeout": REDIS_SILENT}
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, **limits, retry=Retry(NoBackoff(), 0))
        async with client, client.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            is_asked = False
            while True:
                heard = await channel.get_message(timeout=REDIS_SILENT)
                if heard is not None:
                    if self._redis_is_there is False:
                        log.info("stream.redis_back")
                    self._redis_is_there, is_asked = True, False
                    self._is_worth_it.set()
                elif is_asked:
                    raise TimeoutError("no answer to a ping")
                else:
                    await channel.ping()
                    is_asked = True

    # -- PostgreSQL ------------------------------------------------------------------------------------------

    async def _read(self):
        while True:
            await self._look_and_go_on()
            try:
                async with asyncio.timeout(LOOKS if self._redis_is_there else LOOKS_ALONE):
                    await self._is_worth_it.wait()
                    await asyncio.sleep(GATHERS)
            except TimeoutError:
                pass

    async def _look_and_go_on(self):
        """Whatever happens: a reader that has stopped would be a stream that is silent for good."""
        self._is_worth_it.clear()
        at_once = 1 if self._one_by_one else ENTER_AT_ONCE
        self._one_by_one = max(0, self._one_by_one - 1)
        entering, self.entering = self.entering[:at_once], self.entering[at_once:]
        entering = [one for one in entering if not one.entered.done()]
        try:
            await self._look(entering)
            if not self._database_is_there:
                log.info("stream.database_back")
            self._database_is_there = True
        except (OperationalError, InterfaceError) as error:
            if self._database_is_there:
                log.warning("stream.database_away", reason=repr(error))
            self._database_is_there = False
        except Exception as error:
            log.error("stream.look_failed", exc_info=error)
            if not entering:
                # What can't be read now can't be read by the next look either. All come back, and get what there is.
                self._last = None
                for connection in self.connections:
                    connection.end()
            # One of them asks for what can't be read: each by themselves, and then for what they see and no more.
            again = [one for one in entering if len(entering) > 1 or one.asks_for_less()]
            self.entering[:0] = again
            self._one_by_one += len(again)
            entering = [one for one in entering if one not in again]
        finally:
            for connection in entering:
                if not connection.entered.done():
                    connection.entered.set_exception(Unavailable())
            if self.entering:
                self._is_worth_it.set()

    async def _look(self, entering):
        if self._last is None:
            self._last = await self._ask(newest)
        found = await self._ask(reading.look_at_once, self._wanted(entering))
        self._last = found.last
        self._deliver(found)
        self._let_in(entering, found)
        if found.more:
            self._is_worth_it.set()

    async def _ask(self, question, *arguments):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, reading.with_database, question, *arguments)

    def _wanted(self, entering) -> Wanted:
        now = asyncio.get_running_loop().time()
        people = {one.person_id for one in entering}
        if now >= self._looks_at_people_at:
            self._looks_at_people_at = now + settings.STREAM_HEARTBEAT
            people |= {one.person_id for one in self.connections}
        followed = [one for one in self.connections if not one.is_over]
        return Wanted(
            last=self._last,
            watching={one.person_id for one in followed if isinstance(one, OfRequests)},
            joining=[one.joining for one in entering if isinstance(one, OfRequests)],
            following={one.following for one in followed if isinstance(one, OfSession)},
            entering={one.following for one in entering if isinstance(one, OfSession)},
            standings={person_id: self._standings.get(person_id) for person_id in people},
        )

    def _deliver(self, found):
        for person_id, standing in found.standings.items():
            if standing is not None and person_id in self._of_person:
                self._standings[person_id] = standing
        for connection in list(self.connections):
            if connection.is_over:
                continue
            if found.standings.get(connection.person_id, ()) is None:
                connection.end()
            elif isinstance(connection, OfSession):
                if connection.following in found.told:
                    connection.tell(found.told[connection.following])
            elif connection.person_id in found.anew:
                connection.list(found.anew[connection.person_id])
            else:
                connection.hear(found.changes)

    def _let_in(self, entering, found):
        for connection in entering:
            if connection.entered.done():  # gone before
                continue
            if found.standings[connection.person_id] is None:
                connection.entered.set_exception(AuthenticationFailed(_("This account is closed."), "account_closed"))
                continue
            if isinstance(connection, OfRequests):
                connection.list(found.joined[connection.joining])
            elif (told := found.told[connection.following]) is not None:
                connection.tell(told)
            else:
                connection.entered.set_exception(NotFound())
                continue
            self.connections.add(connection)
            connection.entered.set_result(None)
