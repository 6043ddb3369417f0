"""What every benchmark uses: a server under load, recorded SQL, pgbench, and rounds in turn."""

import json
import os
import socket
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from statistics import median
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.services import Postgres
from config.supervisor import tied
from events.sign_in import access_token

from . import load

CONNECTIONS = 8
"""As many as the server has threads: two workers of four, like the demo's."""
SECONDS = 1.2
"""A measurement ends by then, on however slow a machine."""


@dataclass
class Line:
    name: str
    value: float
    ratio: float | None = None
    """Against the table's first line: the median of the rounds' ratios."""
    remark: str = ""


@dataclass
class Table:
    title: str
    unit: str
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    as_dict = asdict

    def __str__(self):
        width = max(len(line.name) for line in self.lines)
        rows = [f"{self.title} ({self.unit})"]
        for line in self.lines:
            ratio = f"{line.ratio:8.2f}" if line.ratio is not None else " " * 8
            value = f"{line.value:>12,.0f}" if line.value >= 100 else f"{line.value:>12,.2f}"
            rows.append(f"  {line.name:{width}}{value}{ratio}  {line.remark}".rstrip())
        return "\n".join([*rows, *(f"  {note}" for note in self.notes)])


def in_rounds(title, unit, rounds, variants, remarks=None) -> Table:
    """Measures the variants in turn, round after round, there and back, so that noise hits all of them."""
    figures = {name: [] for name in variants}
    for number in range(rounds):
        for name in list(variants)[:: -1 if number % 2 else 1]:
            figures[name].append(variants[name]())
    first = next(iter(figures.values()))
    return Table(
        title,
        unit,
        [
            Line(
                name,
                median(values),
                median(value / base for value, base in zip(values, first, strict=True)),
                (remarks or {}).get(name, ""),
            )
            for name, values in figures.items()
        ],
    )


@contextmanager
def timed():
    """``with timed() as seconds: …; seconds()``"""
    began, ended = time.perf_counter(), []
    yield lambda: ended[0]
    ended.append(time.perf_counter() - began)


class Bench:
    """The server, the process that makes the load, and what was recorded."""

    def __init__(self, services):
        self.postgres = Postgres(services.root)
        self.recordings = {}
        self.busiest = 0.0
        self._stack = ExitStack()
        self.port = None

    # -- The site under load -----------------------------------------------------------------

    def serve(self):
        """Start the server, once."""
        if self.port:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        log = self._stack.enter_context((settings.DATA_DIR / "web.log").open("wb"))
        server = subprocess.Popen(
            tied(
                "granian",
                *("--interface", "wsgi", "config.wsgi:application", "--port", str(self.port)),
                *("--workers", "2", "--blocking-threads", "4", "--log-level", "warning"),
            ),
            env=os.environ | {"LOG_LEVEL": "INFO"},
            stdout=log,
            stderr=log,
        )
        self._stack.callback(server.wait)
        self._stack.callback(server.terminate)
        self._load = self._stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        deadline = time.monotonic() + 30
        while True:
            try:
                self.calls([load.request("GET", "/readyz", "")] * 20 * CONNECTIONS, 200)
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def calls(self, requests, expected) -> float:
        """Makes the calls over all connections, and returns how many were answered a second."""
        result = self._load.submit(load.run, self.port, requests, CONNECTIONS, SECONDS).result()
        if set(result.statuses) != {expected}:
            raise SystemExit(f"The site answered {dict(result.statuses)} in place of {expected}: {result.sample}")
        self.busiest = max(self.busiest, result.busy)
        return result.rate

    @staticmethod
    def call(method, path, person, body=None) -> bytes:
        return load.request(method, path, access_token(person), b"" if body is None else orjson.dumps(body))

    def close(self):
        self._stack.close()

    # -- Recorded SQL ------------------------------------------------------------------------

    def record(self, name, method, path, person, body=None):
        """One call to the site in this process; the statements that it makes, for :meth:`template`."""
        client = Client(HTTP_AUTHORIZATION=f"Bearer {access_token(person)}", SERVER_NAME="127.0.0.1")
        with CaptureQueriesContext(connection) as queries:
            answer = client.generic(method, path, b"" if body is None else orjson.dumps(body), "application/json")
        assert answer.status_code < 300, answer.content
        self.recordings[name] = [query["sql"].strip() for query in queries]
        return answer

    def template(self, name, **values) -> int:
        """Makes the values in a recording replaceable, for the bare view and pgbench. How many statements it has."""
        path = settings.DATA_DIR / "recordings.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept[name] = _replace(self.recordings[name], values, "%({})s", "%({})s", escape=("%", "%%"))
        path.write_text(json.dumps(kept))
        self.recordings[name] = _replace(self.recordings[name], values, "':{}'", ":{}")
        return len(self.recordings[name])

    def replay(self, name, person, rows) -> float:
        """The recording in the bare view, once for each row of values."""
        return self.calls([self.call("POST", f"/bench/{name}/", person, row) for row in rows], 200)

    def pgbench(self, name, rows, *, reads=True) -> float:
        """The recording in pgbench, once for each row of values. Without ``reads``, only its locks and writes."""
        with connection.cursor() as cursor:
            columns = ", ".join(f"{key} text" for key in rows[0])
            cursor.execute("DROP TABLE IF EXISTS bench_queue; DROP SEQUENCE IF EXISTS bench_turn")
            cursor.execute(f"CREATE TABLE bench_queue (turn bigint PRIMARY KEY, {columns})")
            cursor.execute("CREATE SEQUENCE bench_turn CACHE 1")
            with cursor.copy("COPY bench_queue FROM STDIN") as copy:
                for turn, row in enumerate(rows, 1):
                    copy.write_row([turn, *map(str, row.values())])
            cursor.execute("ANALYZE bench_queue")
        script = [
            NEXT_ROW,
            *(f"{sql};" for sql in self.recordings[name] if reads or not sql.startswith("SELECT") or " FOR " in sql),
        ]
        file = settings.DATA_DIR / f"{name}.sql"
        file.write_text("\n".join(script))
        clients = min(CONNECTIONS, 4)  # where PostgreSQL does best on this kind of work
        output = subprocess.run(
            [
                self.postgres.program() / "bin" / "pgbench",
                *("-h", self.postgres.sockets, "-U", connection.settings_dict["USER"], "-n", "-f", file),
                *("-c", str(clients), "-j", "2", "-t", str(len(rows) // clients)),
                connection.settings_dict["NAME"],
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return float(output.partition("tps = ")[2].split()[0])


NEXT_ROW = (
    "WITH next AS MATERIALIZED (SELECT nextval('bench_turn') AS turn)"
    " SELECT bench_queue.* FROM next JOIN bench_queue USING (turn) \\gset"
)
"""pgbench's way to a row of its own; one statement more, outside the transaction."""


def _replace(statements, values, quoted, bare, escape=("", "")):
    done = []
    for sql in statements:
        sql = sql.replace(*escape) if escape[0] else sql
        for key, value in values.items():
            forms = (str(value), value.hex) if isinstance(value, UUID) else (str(value),)
            for form in forms:
                sql = sql.replace(f"'{{{form}}}'", f"ARRAY[{quoted.format(key)}]")
                sql = sql.replace(f"'{form}'", quoted.format(key))
            if isinstance(value, int):
                sql = sql.replace(str(value), bare.format(key))
        done.append(sql)
    return done
