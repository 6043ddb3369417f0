"""The live stream as a process of its own, and screens that follow it: raw HTTP, as an EventSource does it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import httpx
from django.db import connection

from tests.conftest import ROOT, answers

ROOT_PATH = "/api/v1/stream"


def until(condition, seconds=20, pause=0.02):
    """What ``condition()`` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(pause)
    return found


class Process:
    """granian with the stream, as the demo starts it, on the test's database."""

    def __init__(self, folder, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}{ROOT_PATH}"
        self.log = folder / "stream.log"
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        own = {"DATABASE_URL": database.geturl(), "DATA_DIR": str(folder), "SITE_URL": "http://site.example"}
        self.environment = os.environ | own | environment
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "requests.stream:application"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--workers-kill-timeout", "1"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self.answers)

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        return answers(f"http://127.0.0.1:{self.port}")

    def kill(self):
        """With all that it has started, so that nothing is said in parting."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def get(self, path="/session-requests/", **given):
        """What one is answered who isn't let in."""
        return httpx.get(f"{self.address}{path}", timeout=10, **given)

    def ask(self, method, path, **given):
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=10, **given)

    def lines(self):
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


class Screen:
    """One client. Comes back by itself, with the last event that it has, until it is told not to.

    ``events``: all that it was told, as ``(name, data)``; ``requests``: what it would show; ``at``: when each request
    first came.
    """

    now = staticmethod(time.monotonic)

    def __init__(self, stream, authorization, path="/session-requests/", *, comes_back=True, query="", root=ROOT_PATH):
        self.stream, self.authorization, self.path = stream, authorization, root + path
        self.comes_back, self.query = comes_back, query
        self.events, self.requests, self.at, self.status = [], {}, {}, None
        self.last, self.comments, self.openings, self.is_open = "", 0, 0, False
        self.headers, self.body, self.retry = {}, b"", ""

    async def follow(self):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._once()
            self.is_open = False
            if not self.comes_back:
                return
            await asyncio.sleep(0.2)

    async def _once(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stream.port)
        try:
            lines = [f"GET {self.path}{self.query} HTTP/1.1", "Host: stream", "Accept: text/event-stream"]
            lines += [f"Authorization: {self.authorization}"] if self.authorization else []
            lines += [f"Last-Event-ID: {self.last}"] if self.last else []
            writer.write("\r\n".join([*lines, "", ""]).encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, *headers = head.split("\r\n")
            self.status = int(status.split()[1])
            self.headers = dict(line.lower().split(": ", 1) for line in headers if line)
            if self.status != 200:
                self.body = await reader.readexactly(int(self.headers["content-length"]))
                return
            self.openings += 1
            self.is_open = True
            text = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                text += await reader.readexactly(size)
                await reader.readexactly(2)
                *blocks, text = text.split(b"\n\n")
                for block in blocks:
                    self._hear(block.decode())
        finally:
            writer.close()

    def _hear(self, block):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.comments += ":" in block.split("\n")
        self.retry = fields.get("retry", self.retry)
        self.last = fields.get("id", self.last)
        if "event" not in fields:
            return
        name, data = fields["event"], json.loads(fields["data"])
        if name == "request":
            self.at.setdefault(data["id"], time.monotonic())
            self.requests[data["id"]] = data
        elif name == "gone":
            self.requests.pop(data["id"], None)
        elif name == "ready":
            self.requests = {pk: self.requests[pk] for pk in data["ids"] if pk in self.requests}
        self.events.append((name, data))

    def heard(self, name):
        return [data for one, data in self.events if one == name]

    def statuses(self):
        """Of what it shows."""
        return {pk: data["status"] for pk, data in self.requests.items()}

    @property
    def refusal(self):
        """The code with which it wasn't let in."""
        return json.loads(self.body)["errors"][0]["code"]

    @property
    def ready(self):
        return self.heard("ready")


class Wall:
    """Where screens hang: a thread that keeps them all following, while the test acts."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.tasks = {}

    def hang(self, screen):
        self.loop.call_soon_threadsafe(self._hang, screen)
        return screen

    def _hang(self, screen):
        self.tasks[screen] = self.loop.create_task(screen.follow())

    def take(self, screen):
        """Its connection ends."""
        self.loop.call_soon_threadsafe(self.tasks[screen].cancel)

    def take_down(self):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end(self):
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
