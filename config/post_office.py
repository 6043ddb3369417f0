"""Takes mail by SMTP, texts as Twilio's API does, pushes as Firebase's does, and delivers none of them.

For the demo, whose mailbox (config.mailbox) shows what came, and for tests, which make it
fail in every way that a provider can. Listens on this machine only, and calls nobody but it.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import queue
import re
import secrets
import signal
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache, cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

HOST = "127.0.0.1"
PROJECT = "turnout-demo"
ROBOT = f"turnout@{PROJECT}.example"
NUMBER = "+15005550006"
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Calls stay on this machine, where no authority vouches for anybody."""
KEPT_FILES = 500
VARIABLES = (
    "EMAIL_URL",
    "SMS_API_URL",
    "SMS_ACCOUNT_SID",
    "SMS_AUTH_TOKEN",
    "SMS_FROM",
    "SMS_HONOURS_KEY",
    "PUSH_API_URL",
    "PUSH_CREDENTIALS",
)
"""What a site is told by its environment to use a post office."""

logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd tells every line otherwise


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one message.

    ``status`` is answered in place of success (HTTP's or SMTP's), with the provider's own ``code``
    and ``message``. ``drop`` breaks the connection: "before" anything is kept, or "after".
    ``wait`` comes first where nothing is kept, and otherwise after keeping: so that somebody waits
    in vain for the answer to what has left. ``text_status``: how a text ends, with ``code``, by callback.
    """

    status: int | None = None
    code: int | str | None = None
    message: str = "made to fail"
    wait: float = 0
    drop: str | None = None
    retry_after: str | None = None
    body: bytes | None = None
    text_status: str | None = None

    @property
    def keeps(self) -> bool:
        return self.status is None and self.drop != "before"


NO_FAULT = Fault()


@dataclass(frozen=True)
class Mail:
    number: int
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    key: str | None
    at: float = field(default_factory=time.time)

    @cached_property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)


@dataclass(frozen=True)
class Text:
    number: int
    sid: str
    to: str
    sender: str
    body: str
    key: str | None
    callback: str | None
    at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Push:
    number: int
    name: str
    token: str
    message: dict
    key: str | None
    at: float = field(default_factory=time.time)


class PostOffice:
    """``faults`` is asked about each message, and may be changed at any time.

    It is given a dict with kind ("mail", "sms", "push", "token"), step, address, key and body. A
    mail is asked about at the steps "connect", "rcpt" (address known) and "letter" (all known); the
    others once. ``honours_keys``: a text with the key of an earlier one isn't taken again.
    """

    def __init__(
        self,
        folder: Path | None = None,
        faults: Callable[[dict], Fault | None] | None = None,
        *,
        secret: str | None = None,
        key: rsa.RSAPrivateKey | None = None,
        smtp_port: int = 0,
        http_port: int = 0,
        honours_keys: bool = True,
        calls_back: bool = True,
        mail_account: tuple[str, str] | None = None,
        keeps: int = KEPT_FILES,
    ):
        self.folder, self.faults, self.keeps = folder, faults, keeps
        self.secret = secret or "s3cret-of-the-post-office"
        self.key = key or _own_key()
        self.account = account_of(self.secret)
        self.honours_keys, self.calls_back, self.mail_account = honours_keys, calls_back, mail_account
        self.mails: list[Mail] = []
        self.texts: list[Text] = []
        self.pushes: list[Push] = []
        self.calls: list[tuple[str, int]] = []  # what callbacks were answered: (status told, HTTP status)
        self.dead_tokens: set[str] = set()
        self.wrong_tokens: set[str] = set()
        self.token_lifetime = 3600
        self.tokens_given = 0
        self._access: dict[str, float] = {}
        self._by_key: dict[str, Text] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._ports = smtp_port, http_port
        self._to_call: queue.Queue = queue.Queue()

    # -- Opening hours ---------------------------------------------------------------------------

    def start(self) -> "PostOffice":
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._count = max((int(path.name.split("-")[0]) for path in self.folder.glob("*-*.json")), default=0)
        smtp_port, http_port = self._ports
        self._http = Server((HOST, http_port), Handler)
        self._http.office = self
        self.http_port = self._http.server_port
        self._mail = MailServer(self, smtp_port)
        self.smtp_port = self._mail.port
        self._ports = self.smtp_port, self.http_port  # open again where it was
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True),
            threading.Thread(target=self._call_back, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Closes; connections break off. What was taken stays, and ``start`` opens on the same ports."""
        self._http.shutdown()
        self._http.server_close()
        self._http.hang_up()
        self._mail.stop()
        self._to_call.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_error):
        self.stop()

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def settings(self) -> dict:
        """What the site must be told to send its mail, texts and pushes here."""
        return settings(self.smtp_port, self.http_port, self.secret, self.key, self.mail_account)

    def settled(self, seconds=10) -> None:
        """Wait until all callbacks have been made."""
        end = time.monotonic() + seconds
        while self._to_call.unfinished_tasks:
            if time.monotonic() > end:
                raise TimeoutError("Callbacks are still to be made.")
            time.sleep(0.005)

    # -- Taking ----------------------------------------------------------------------------------

    def fault(self, kind, step, address=None, key=None, body=None) -> Fault:
        faults = self.faults
        asked = {"kind": kind, "step": step, "address": address, "key": key, "body": body}
        return (faults(asked) if faults else None) or NO_FAULT

    def take_mail(self, sender, recipients, raw) -> Mail:
        with self._lock:
            mail = Mail(self._next(), sender, tuple(recipients), raw, key_of(raw))
            self._keep(self.mails, mail)
        self._file(mail.number, "mail", {"at": mail.at, "key": mail.key, "recipients": recipients}, raw)
        return mail

    def take_text(self, form, key, ends) -> Text:
        with self._lock:
            if self.honours_keys and key in self._by_key:
                return self._by_key[key]
            text = Text(
                number=self._next(),
                sid="SM" + uuid.uuid4().hex,
                to=form["To"],
                sender=form.get("From") or form["MessagingServiceSid"],
                body=form["Body"],
                key=key,
                callback=form.get("StatusCallback"),
            )
            self._keep(self.texts, text)
            if key:
                self._by_key[key] = text
        self._file(text.number, "sms", asdict(text))
        if text.callback and self.calls_back:
            for status, code in ends:
                self.tell(text, status, code)
        return text

    def take_push(self, message) -> Push:
        key = message.get("android", {}).get("collapse_key")
        with self._lock:
            name = f"projects/{PROJECT}/messages/{uuid.uuid4().hex}"
            push = Push(self._next(), name, message["token"], message, key)
            self._keep(self.pushes, push)
        self._file(push.number, "push", asdict(push))
        return push

    @property
    def shown(self) -> dict[tuple[str, str | None], Push]:
        """The notifications that the phones show: a later one with the same key has replaced the earlier."""
        with self._lock:
            return {(push.token, push.key): push for push in self.pushes}

    def _keep(self, items, one) -> None:
        items.append(one)
        if self.folder:  # the demo's runs for weeks
            del items[: -self.keeps]

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _file(self, number, kind, facts, raw=None) -> None:
        """For the mailbox; whole or not at all, so that nobody reads half of one."""
        if not self.folder:
            return
        path = self.folder / f"{number:08}-{kind}.json"
        if raw is not None:
            path.with_suffix(".eml").write_bytes(raw)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({**facts, "number": number, "kind": kind}))
        fresh.replace(path)
        for old in self.folder.glob(f"{number - self.keeps:08}-*"):
            old.unlink(missing_ok=True)

    # -- Calling back ----------------------------------------------------------------------------

    def tell(self, text, status, code=None) -> None:
        """The text's status goes to its callback, as Twilio does it: after the answer, and signed."""
        form = {
            "MessageSid": text.sid,
            "MessageStatus": status,
            "To": text.to,
            "From": text.sender,
            "AccountSid": self.account,
            "ApiVersion": "2010-04-01",
        }
        if code:
            form["ErrorCode"] = str(code)
        self._to_call.put((text.callback, form))

    def write_in(self, url, sender, body) -> httpx.Response:
        """Somebody texts back."""
        form = {"MessageSid": "SM" + uuid.uuid4().hex, "From": sender, "To": NUMBER, "Body": body}
        return self.call(url, form)

    def call(self, url, form, signature=None) -> httpx.Response:
        if urlsplit(url).hostname not in (HOST, "localhost"):
            raise httpx.UnsupportedProtocol(f"Nothing leaves this machine: {url}")
        headers = {"X-Twilio-Signature": signature or signature_of(self.secret, url, form)}
        with httpx.Client(trust_env=False, timeout=10, verify=NOBODY) as http:
            return http.post(url, data=form, headers=headers)

    def _call_back(self):
        while (one := self._to_call.get()) is not None:
            url, form = one
            try:
                status = self.call(url, form).status_code
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                logging.getLogger(__name__).warning("No callback to %s: %s", url, error)
                status = 0
            self.calls.append((form["MessageStatus"], status))
            self._to_call.task_done()
        self._to_call.task_done()

    # -- Sign-in of pushes -----------------------------------------------------------------------

    def give_access(self, assertion) -> str | None:
        """An access token for who holds the robot's key, as OAuth's JWT bearer grant has it."""
        address = f"{self.http_url}/token"
        try:
            claims = jwt.decode(assertion, self.key.public_key(), ["RS256"], audience=address, issuer=ROBOT)
        except jwt.PyJWTError:
            return None
        if "https://www.googleapis.com/auth/firebase.messaging" not in claims.get("scope", "").split():
            return None
        token = secrets.token_urlsafe(24)
        with self._lock:
            self.tokens_given += 1
            self._access[token] = time.monotonic() + self.token_lifetime
        return token

    def knows(self, token) -> bool:
        with self._lock:
            return time.monotonic() < self._access.get(token, 0)

    def forget_access(self) -> None:
        """All access tokens are void from now on."""
        with self._lock:
            self._access.clear()


def key_of(raw) -> str | None:
    found = re.search(rb"(?mi)^X-Turnout-Delivery:\s*(\S+)", raw.split(b"\r\n\r\n", 1)[0])
    return found and found[1].decode()


def signature_of(secret, url, form) -> str:
    """X-Twilio-Signature: the address, then names and values by name, as HMAC-SHA1."""
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


@cache
def _own_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def account_of(secret) -> str:
    return "AC" + hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest()


def _pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def at_home(folder) -> dict:
    """The secret and the key of the post office in this folder, made at the first time: for PostOffice."""
    path = folder / "account.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = {"secret": secrets.token_hex(16), "key": _pem(_own_key())}
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(made))
        fresh.replace(path)
    kept = json.loads(path.read_text())
    return {"secret": kept["secret"], "key": load_pem_private_key(kept["key"].encode(), None)}


def settings(smtp_port, http_port, secret, key, mail_account=None) -> dict:
    """What a site must be told to use a post office on these ports."""
    url = f"http://{HOST}:{http_port}"
    robot = {
        "type": "service_account",
        "project_id": PROJECT,
        "client_email": ROBOT,
        "private_key_id": "demo",
        "private_key": _pem(key),
        "token_uri": f"{url}/token",
    }
    who = ":".join(mail_account) + "@" if mail_account else ""
    return {
        "EMAIL_URL": f"smtp://{who}{HOST}:{smtp_port}",
        "SMS_API_URL": url,
        "SMS_ACCOUNT_SID": account_of(secret),
        "SMS_AUTH_TOKEN": secret,
        "SMS_FROM": NUMBER,
        "SMS_HONOURS_KEY": True,
        "PUSH_API_URL": url,
        "PUSH_CREDENTIALS": json.dumps(robot),
    }


# -- Mail ------------------------------------------------------------------------------------------


class Dropped(ConnectionResetError):
    """The connection was broken on purpose."""


class Counter:
    """What aiosmtpd asks about each mail."""

    def __init__(self, office):
        self.office = office

    async def _suffer(self, server, fault):
        if fault.wait:
            await asyncio.sleep(fault.wait)
        if fault.drop:
            server.transport.abort()
            raise Dropped
        return f"{fault.status} {fault.message}" if fault.status else None

    async def handle_RCPT(self, server, session, envelope, address, options):
        fault = self.office.fault("mail", "rcpt", address)
        if answer := await self._suffer(server, fault):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        address, raw = envelope.rcpt_tos[0], envelope.original_content
        fault = self.office.fault("mail", "letter", address, key_of(raw), raw)
        if fault.keeps:
            self.office.take_mail(envelope.mail_from, envelope.rcpt_tos, raw)
        return await self._suffer(server, fault) or "250 Taken"


class MailProtocol(SMTP):
    async def _handle_client(self):
        fault = self.event_handler.office.fault("mail", "connect")
        if fault.wait:
            await asyncio.sleep(fault.wait)
        if fault.drop:
            self.transport.abort()
        elif fault.status:
            await self.push(f"{fault.status} {fault.message}")
            self.transport.close()
        else:
            with contextlib.suppress(Dropped):
                await super()._handle_client()

    async def handle_exception(self, error):
        if isinstance(error, Dropped):
            raise error
        return await super().handle_exception(error)


class MailServer:
    """aiosmtpd in a thread of its own."""

    def __init__(self, office, port):
        self.loop = asyncio.new_event_loop()
        self.protocols = set()
        self.office = office
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        # In that thread: the caller's may be running a loop of its own.
        opening = self.loop.create_server(self._protocol, HOST, port)
        self.server = asyncio.run_coroutine_threadsafe(opening, self.loop).result(timeout=10)
        self.port = self.server.sockets[0].getsockname()[1]

    def _protocol(self):
        options = {}
        if account := self.office.mail_account:

            def authenticator(_server, _session, _envelope, _mechanism, data):
                right = isinstance(data, LoginPassword) and (data.login, data.password) == tuple(
                    part.encode() for part in account
                )
                return AuthResult(success=right, handled=right)

            options = {"authenticator": authenticator, "auth_require_tls": False}
        made = MailProtocol(Counter(self.office), hostname="post-office", loop=self.loop, **options)
        self.protocols.add(made)
        return made

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(timeout=10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=10)
        self.loop.close()

    async def _close(self):
        self.server.close()
        for protocol in self.protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# -- HTTP ------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, *args):
        self.open = set()
        super().__init__(*args)

    def process_request(self, request, address):
        self.open.add(request)
        super().process_request(request, address)

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def hang_up(self):
        for request in list(self.open):
            with contextlib.suppress(OSError):
                self.shutdown_request(request)

    def handle_error(self, request, address):
        if not isinstance(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1], OSError):
            super().handle_error(request, address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_args):
        """Quiet."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        office = self.server.office
        if self.path == f"/2010-04-01/Accounts/{office.account}/Messages.json":
            self._text(office, dict(parse_qsl(body.decode(), keep_blank_values=True)))
        elif self.path == f"/v1/projects/{PROJECT}/messages:send":
            self._push(office, body)
        elif self.path == "/token":
            self._token(office, dict(parse_qsl(body.decode())))
        else:
            self._answer(404, {"code": 20404, "message": "There is no such thing.", "status": 404})

    def _text(self, office, form):
        right = base64.b64encode(f"{office.account}:{office.secret}".encode()).decode()
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Basic {right}"):
            return self._answer(401, {"code": 20003, "message": "Authenticate", "status": 401})
        if missing := [name for name in ("To", "Body") if not form.get(name)]:
            return self._answer(400, {"code": 21604, "message": f"{missing[0]} is required", "status": 400})
        key = self.headers.get("Idempotency-Key")
        fault = office.fault("sms", "message", form["To"], key, form["Body"])
        if self._suffers(fault, {"code": fault.code, "message": fault.message, "status": fault.status}):
            return None
        ends = [("sent", None), (fault.text_status or "delivered", fault.code)]
        text = office.take_text(form, key, ends)
        answer = {"sid": text.sid, "status": "queued", "to": text.to, "body": text.body, "error_code": None}
        return self._finish(fault, 201, answer)

    def _push(self, office, body):
        _scheme, _space, token = self.headers.get("Authorization", "").partition(" ")
        if not office.knows(token):
            return self._answer(
                401, firebase(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
            )
        try:
            message = json.loads(body)["message"]
            device = message["token"]
        except (ValueError, KeyError, TypeError):
            return self._answer(400, firebase(400, "INVALID_ARGUMENT", "This is no message."))
        fault = office.fault("push", "message", device, message.get("android", {}).get("collapse_key"), message)
        status = fault.status or 200
        if self._suffers(fault, firebase(status, str(fault.code or "INTERNAL"), fault.message)):
            return None
        if device in office.dead_tokens:
            return self._answer(404, firebase(404, "UNREGISTERED", "Requested entity was not found."))
        if device in office.wrong_tokens:
            words = "The registration token is not a valid FCM registration token"
            return self._answer(400, firebase(400, "INVALID_ARGUMENT", words, field="message.token"))
        if len(body) > 4096 + 1024:  # the limit is on what the phone gets
            return self._answer(400, firebase(400, "INVALID_ARGUMENT", "Android message is too big"))
        return self._finish(fault, 200, {"name": office.take_push(message).name})

    def _token(self, office, form):
        fault = office.fault("token", "message")
        if self._suffers(fault, {"error": str(fault.code), "error_description": fault.message}):
            return None
        token = office.give_access(form.get("assertion", ""))
        if token is None:
            return self._answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        answer = {"access_token": token, "expires_in": office.token_lifetime, "token_type": "Bearer"}
        return self._finish(fault, 200, answer)

    # -- Answers ---------------------------------------------------------------------------------

    def _suffers(self, fault, refusal) -> bool:
        """Whether the message isn't taken; then it has been answered, or hung up on."""
        if fault.keeps:
            return False
        time.sleep(fault.wait)
        if fault.drop:
            self._hang_up()
        else:
            self._answer(fault.status, fault.body if fault.body is not None else refusal, fault.retry_after)
        return True

    def _finish(self, fault, status, answer):
        time.sleep(fault.wait)
        if fault.drop:
            self._hang_up()
        else:
            self._answer(status, fault.body if fault.body is not None else answer)

    def _hang_up(self):
        self.close_connection = True
        self.server.shutdown_request(self.connection)

    def _answer(self, status, body, retry_after=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status in (301, 302, 307, 308):
            self.send_header("Location", f"{self.server.office.http_url}/elsewhere")
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def firebase(status, code, message, field=None) -> dict:
    """An error as Firebase says it."""
    kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    if field:
        violations = [{"field": field, "description": message}]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    return {"error": {"code": status, "message": message, "status": kinds.get(status, code), "details": details}}


# -- The demo's ------------------------------------------------------------------------------------


def demo_faults(asked):
    """Addresses that make trouble, for whoever wants to see it."""
    address = asked["address"] or ""
    if asked["step"] == "rcpt" and address.startswith("bounce"):
        return Fault(550, message="5.1.1 There is nobody of this name here")
    if asked["kind"] == "sms" and address.endswith("0003"):
        return Fault(text_status="undelivered", code=30003)
    return None


def environment(folder, mail_port, port) -> dict[str, str]:
    """For a site's processes: what makes them use the post office that ``main`` opens."""
    values = settings(mail_port, port, **at_home(folder))
    return {name: str(int(value)) if isinstance(value, bool) else value for name, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="config.post_office", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--mail-port", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    where = {"smtp_port": asked.mail_port, "http_port": asked.port}
    with PostOffice(asked.folder, demo_faults, **at_home(asked.folder), **where):
        ended.wait()


if __name__ == "__main__":
    main()
