"""The stream's ASGI application: who may in, by which address, and what strangers are answered."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, AuthenticationFailed, MethodNotAllowed, NotAuthenticated

from config.errors import DomainError, NotFound, Unavailable, translate
from events.sign_in import TokenAuthentication

from ..operations import tickets
from .hub import SEND_TIMEOUT, Hub, OfRequests, OfSession
from .reading import with_database, written

log = structlog.get_logger(__name__)

PATH = re.compile(
    r"(?:/api/v1)?/stream/(?:session-requests|service-sessions/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))/"
)
RETRY = b"retry: 2000\n\n"
JSON = (b"content-type", b"application/json")
EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
MAY_READ = frozenset(
    "{0.scheme}://{0.netloc}".format(urlsplit(one)) for one in [settings.SITE_URL, *settings.CORS_ALLOWED_ORIGINS]
)
"""Origins whose pages may read the stream."""
LARGEST_ID = 2**63 - 1


class Application:
    """One a process: the hub is made where the loop runs."""

    def __init__(self):
        self.hub = None
        self.sign_ins = ThreadPoolExecutor(4, "sign-in")

    async def __call__(self, scope, receive, send):
        match scope["type"]:
            case "lifespan":
                await self._live(receive, send)
            case "http":
                await Exchange(self, scope, receive, send).answer()
            case _websocket:
                await send({"type": "websocket.close"})

    async def _live(self, receive, send):
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.hub = Hub()
                self.hub.start()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


application = Application()


class Exchange:
    """A request and its answer."""

    def __init__(self, application, scope, receive, send):
        self.hub, self.sign_ins = application.hub, application.sign_ins
        self.method, self.path = scope["method"], scope["path"]
        self.headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.query = parse_qs(scope["query_string"].decode("latin-1"))
        self.receive, self.send = receive, send

    async def answer(self):
        try:
            await self._answer()
        except (DomainError, APIException) as error:
            await self._refuse(error)
        except (DatabaseError, InterfaceError) as error:
            log.warning("stream.unavailable", reason=repr(error))
            await self._refuse(translate(error) or Unavailable())

    async def _answer(self):
        if self.path == "/healthz":
            return await self._say(200, [JSON], written({"status": "ok"}))
        if not (place := PATH.fullmatch(self.path)):
            raise NotFound
        if self.method == "OPTIONS":
            return await self._say(204, self._preflight())
        if self.method != "GET":
            raise MethodNotAllowed(self.method)
        person_id = await self._person()
        with self.hub.place(person_id):
            if place[1]:
                connection = OfSession(person_id, UUID(place[1]), self._since() or 0)
            else:
                connection = OfRequests(person_id, self._since())
            leaving = asyncio.create_task(self._leaves())
            with self.hub.joined(connection):
                try:
                    await asyncio.wait({connection.entered, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    if connection.entered.done():
                        connection.entered.result()
                        await self._follow(connection, leaving)
                finally:
                    connection.entered.cancel()
                    leaving.cancel()

    # -- Who it is ---------------------------------------------------------------------------------------------

    async def _person(self) -> UUID:
        loop = asyncio.get_running_loop()
        given = self.headers.get(b"authorization"), self.query.get("ticket", [""])[0]
        return await loop.run_in_executor(self.sign_ins, with_database, person_of, *given)

    def _since(self) -> int | None:
        """The last event that the client has; None where it says nothing, or nothing that we ever said."""
        given = self.headers.get(b"last-event-id") or self.query.get("last_event_id", [""])[0]
        return min(int(given), LARGEST_ID) if given.isascii() and given.isdecimal() and len(given) < 20 else None

    # -- What is sent ------------------------------------------------------------------------------------------

    async def _follow(self, connection, leaving):
        began, why = time.monotonic(), "left"
        who = {"person": str(connection.person_id), "stream": connection.stream}
        log.info("stream.opened", **who)
        await self.send({"type": "http.response.start", "status": 200, "headers": [*EVENTS, *self._cors()]})
        sending = asyncio.create_task(self._send_all(connection))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                why = sending.result()
        finally:
            sending.cancel()
            log.info("stream.ended", **who, why=why, seconds=round(time.monotonic() - began, 1))

    async def _send_all(self, connection) -> str:
        try:
            await self._send(RETRY, more=True)
            async for body in connection.bodies():
                await self._send(body, more=True)
            await self._send(b"", more=False)
        except TimeoutError:
            return "stuck"
        return "ended"

    async def _send(self, body, *, more):
        async with asyncio.timeout(SEND_TIMEOUT):
            await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def _leaves(self):
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def _say(self, status, headers, body=b""):
        headers = [*headers, (b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body)), *self._cors()]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _refuse(self, error):
        """In the API's shape."""
        if isinstance(error, DomainError):
            status, code, wait = error.status, error.code, error.retry_after
        else:
            status, code, wait = error.status_code, error.detail.code, getattr(error, "wait", None)
            error = error.detail
        kind = "client_error" if status < 500 else "server_error"
        headers = [JSON]
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="api"'))
        if status == 405:
            headers.append((b"allow", b"GET, OPTIONS"))
        if wait:
            headers.append((b"retry-after", b"%d" % wait))
        body = {"type": kind, "errors": [{"code": code, "detail": str(error), "attr": None}]}
        await self._say(status, headers, written(body))

    # -- Pages of other origins --------------------------------------------------------------------------------

    @property
    def _may_read(self) -> bool:
        return self.headers.get(b"origin") in MAY_READ

    def _cors(self):
        given = [(b"vary", b"Origin")]
        if self._may_read:
            given.append((b"access-control-allow-origin", self.headers[b"origin"].encode("latin-1")))
        return given

    def _preflight(self):
        if not self._may_read:
            return []
        return [
            (b"access-control-allow-methods", b"GET"),
            (b"access-control-allow-headers", b"authorization, cache-control, last-event-id"),
            (b"access-control-max-age", b"86400"),
        ]


def person_of(authorization: str | None, ticket: str) -> UUID:
    """Whose token or ticket it is. Raises what the API's sign-in does."""
    if authorization is not None:
        request = HttpRequest()
        request.META["HTTP_AUTHORIZATION"] = authorization
        if found := TokenAuthentication().authenticate(request):
            return found[0].pk
    elif ticket:
        if person_id := tickets.redeem(ticket=ticket):
            return person_id
        raise AuthenticationFailed(_("The ticket is used up or has expired."), "token_not_valid")
    raise NotAuthenticated
