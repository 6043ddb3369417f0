"""The demo, from nothing to a site that answers: `python -m config.supervisor`, or `make demo`.

Joins the embedded services, brings the database and the demo data up to date, and then runs the
site's processes side by side until Ctrl-C. On a signal everything is stopped in order;
after `kill -9` the kernel sends SIGTERM down the line (see TIED), and what escapes even that, the
database among it, is found and stopped by the next run that ends well.
"""

import contextlib
import ctypes
import fcntl
import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from honcho.manager import Manager
from honcho.printer import Printer

from config.services import ROOT, Lock, ServicesError, join

PROJECT = ROOT.parent
MARK = "TURNOUT_DEMO_OF"
"""Environment variable by which the demo's processes are known, children of children too."""
PASSWORD = "turnout-demo"
PEOPLE = {
    "admin": "superuser of the whole site; the other one is an owner there",
    "owner": "owner",
    "organizer": "organizer",
    "door": "door staff",
    "viewer": "may look, not touch",
    "mechanic": "mechanic",
    "attendee": "attendee, no admin",
}


def processes(port):
    """What runs side by side: the name, and the module with its arguments. A process a line.

    Each port named here is looked at before anything heavy starts.
    """
    return {
        "web": f"{KEPT} granian --interface wsgi config.wsgi:application --host 127.0.0.1 --port {port} --workers 2"
        " --respawn-failed-workers --blocking-threads 4 --workers-kill-timeout 2 --log-level warning",
        "stream": f"{KEPT} granian --interface asgi requests.stream:application --host 127.0.0.1 --port {port + 1}"
        " --workers 1 --respawn-failed-workers --workers-kill-timeout 2 --log-level warning",
        "worker": f"{KEPT} celery --quiet --app config worker --queues celery,messages --concurrency 2"
        " --without-mingle --without-gossip",
        "beat": f"{KEPT} celery --quiet --app config beat --schedule {shlex.quote(str(ROOT / 'beat'))}",
        "post": f"{KEPT} config.post_office --folder {shlex.quote(str(POST))} --mail-port {port + 2} --port {port + 3}",
    }


def ports(port) -> list[int]:
    """Those that the processes listen on."""
    return [int(used) for used in re.findall(r"--(?:\w+-)?port (\d+)", " ".join(processes(port).values()))]


KEPT = "config.supervisor keep"
"""Before a module: killed or failed, it is started again, as systemd does in production."""
TRIES = 4
SETTLED = 10
"""Seconds after which a process has shown that it can run."""


POST = Path(os.environ.get("DATA_DIR", ROOT)) / "post"
"""Where the demo's mail, texts and pushes end up."""
LAST_PORT = 65535 - 3


class Stop(Exception):
    """The demo can't go on; the message says why."""


# -- Processes that don't outlive us ---------------------------------------------------------
PR_SET_PDEATHSIG = 1
# Runs a module as `python -m` does, but the process is sent SIGTERM when its parent dies, be it by
# SIGKILL. Forks of it (the workers of granian and Celery) die with theirs: while they load they
# have its handlers still, in which a SIGTERM gets lost.
TIED = f"""
import ctypes, os, runpy, signal, sys
def tie(farewell):
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, farewell)
tie(signal.SIGTERM)
os.register_at_fork(after_in_child=lambda: tie(signal.SIGKILL))
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
""".strip()


def tied(module, *arguments):
    return [sys.executable, "-c", TIED, module, *arguments]


def keep(module, *arguments):
    """Runs the module, again when it is killed or fails, until it fails TRIES times in a row before it has
    SETTLED; what ends well has ended. Its exit code."""
    child, stopping, failures = None, False, 0

    def stop(number, _frame):
        nonlocal stopping
        stopping = True
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    while not stopping:
        began = time.monotonic()
        # A session of its own: a signal to our group comes to it through us, and once.
        child = subprocess.Popen(tied(module, *arguments), start_new_session=True)
        code = child.wait()
        if code == 0 or stopping:
            return code
        end = f"has failed (exit code {code})" if code > 0 else f"was killed by signal {-code}"
        failures = failures + 1 if code > 0 and time.monotonic() - began < SETTLED else 0
        if failures == TRIES:
            print(f"{module} {end} {TRIES} times in a row, and isn't started again", flush=True)
            return code
        print(f"{module} {end} and is started again", flush=True)
        time.sleep(1)
    return 0


def _tie_fork():
    """Honcho watches each process from a fork of ours, which has no reason to outlive us either."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _sweep(mark):
    """End whatever a demo of this folder has left running. Only while we hold the demo's lock."""
    import psutil

    def of_ours(process):
        with contextlib.suppress(psutil.Error):
            return process.pid != os.getpid() and process.environ().get(MARK) == mark
        return False

    found = [process for process in psutil.process_iter() if of_ours(process)]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(found, timeout=5)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)


# -- The demo --------------------------------------------------------------------------------
class Output(Printer):
    """Honcho's, which also remembers which process ended first."""

    first_end = ""

    def write(self, message):
        if message.name == "system" and " stopped (rc=" in message.data and not self.first_end:
            self.first_end = message.data.strip()
        super().write(message)


def demo(port):
    with contextlib.ExitStack() as stack:
        ROOT.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(Lock(ROOT / "demo.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            raise Stop("The demo of this folder is running already. Stop it with Ctrl-C where it runs.") from None
        mark = str(ROOT)
        _sweep(mark)
        for used in ports(port):
            _check_free(used)
        print("Starting PostgreSQL and Redis …", flush=True)
        services = stack.enter_context(join(ROOT))
        stack.callback(_sweep, mark)
        stack.callback(_be_deaf)
        stack.enter_context(_reviving(services))
        environment = os.environ | services.environment()
        environment |= {MARK: mark, "TURNOUT_DEMO": "1", "PORT": str(port), "PYTHONUNBUFFERED": "1"}
        environment.setdefault("SITE_URL", f"http://127.0.0.1:{port}")
        environment.setdefault("STREAM_URL", f"http://127.0.0.1:{port + 1}/api/v1/stream")
        environment.setdefault("CORS_ALLOWED_ORIGINS", f"http://localhost:{port}")
        use_post_office(environment, port)
        # Static files straight from where they lie: collecting and compressing takes half a minute.
        # WhiteNoise still warns where the folder is missing that it doesn't need.
        (ROOT / "static").mkdir(exist_ok=True)
        environment.setdefault("WHITENOISE_USE_FINDERS", "1")

        schedule = os.environ.get("SCHEDULE")
        _step("Bringing the database up to date", environment, "migrate", "--verbosity", "0")
        _step("Making the demo data", environment, "demo_data", *(["--schedule", schedule] if schedule else []))

        os.register_at_fork(after_in_child=_tie_fork)
        output = Output(sys.stdout)
        manager = Manager(output)
        for name, command in processes(port).items():
            line = "exec " + shlex.join(tied(*shlex.split(command)))
            manager.add_process(name, line, env=environment, cwd=str(PROJECT))
        threading.Thread(target=_announce, args=(port,), daemon=True).start()
        print("Starting the site …", flush=True)
        with contextlib.suppress(KeyError):  # honcho's, on a signal before all have told their pid
            manager.loop()
        if manager.returncode not in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise Stop(f"A process has ended by itself ({output.first_end}), so the demo stops. Its words are above.")


@contextlib.contextmanager
def _reviving(services):
    """PostgreSQL and Redis too are started again when they are killed."""
    stopping = threading.Event()

    def watch():
        pause = 1
        while not stopping.wait(pause):
            try:
                for name in services.revive():
                    print(f"{name} was gone and has been started again", flush=True)
                pause = 1
            except ServicesError as error:
                print(error, flush=True)
                pause = min(2 * pause, 60)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stopping.set()
        watcher.join()


def use_post_office(environment, port, folder=POST):
    """Each channel that the operator hasn't set up goes to the demo's post office."""
    from config import post_office

    for name, value in post_office.environment(folder, mail_port=port + 2, port=port + 3).items():
        channel = name.split("_")[0] + "_"
        if not any(key.startswith(channel) and key in os.environ for key in post_office.VARIABLES):
            environment[name] = value


def _be_deaf():
    """Stopping takes a moment, and a second Ctrl-C must not cut it short."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _check_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Stop(
                f"Port {port} can't be used ({error.strerror}). Choose another one: make demo PORT={port + 10}"
            ) from None


def _step(title, environment, *command):
    print(title, "…", flush=True)
    code = subprocess.run(tied("manage", *command), env=environment, cwd=PROJECT, check=False).returncode
    if code:
        raise Stop(f"manage.py {command[0]} has failed (exit code {code}). Its words are above.")


def _announce(port):
    """Wait until the site is ready, then say where it is and who may sign in."""
    began = time.monotonic()
    patience = 60
    while (state := _readiness(port, "/readyz") or _readiness(port + 1, "/healthz")) is not None:
        if time.monotonic() - began > patience:
            print(f"The site isn't ready after {patience} seconds: {state}", flush=True)
            patience *= 2
        time.sleep(0.2)
    lines = ["", f"Sign in at http://127.0.0.1:{port}/admin/ with the password {PASSWORD}:"]
    for name, role in PEOPLE.items():
        lines.append(f"  {name + '@demo.example':25}{name + '@other.example':25}{role}")
    lines += [
        "(demo.example and other.example are two organisations.)",
        f"Mail, SMS and push end up at http://127.0.0.1:{port}/mailbox/",
        "",
        f"Turnout is ready at http://127.0.0.1:{port}/",
    ]
    print("\n".join(lines), flush=True)


def _readiness(port, path):
    """None when ready, else what stands in the way."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(500).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
    return None if answer.status == 200 else f"{answer.status} {text}"


def main():
    if sys.argv[1:2] == ["keep"]:
        return keep(*sys.argv[2:])
    sys.stdout.reconfigure(errors="replace")  # whatever the terminal can't show is no reason to stop
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        port = int(os.environ.get("PORT") or 8000)
        if not 0 < port <= LAST_PORT:
            raise ValueError
    except ValueError:
        return f"PORT must be a number from 1 to {LAST_PORT}, not {os.environ['PORT']!r}."
    try:
        demo(port)
    except (Stop, ServicesError) as error:
        return f"\n{error}"
    except KeyboardInterrupt:
        pass
    print("Turnout has stopped.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
