"""The demo's processes: what is killed comes back, what is stopped stays away."""

import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from config.supervisor import TRIES, processes, tied

ROOT = Path(__file__).resolve().parents[2]


def until(found, seconds=20):
    """What ``found()`` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it took too long")


@pytest.fixture
def keeper():
    process = subprocess.Popen(
        [sys.executable, "-m", "config.supervisor", "keep", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def listening(keeper):
    """The kept process, once it does its work."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return next((child for child in keeper.children() if child.net_connections("inet")), None)


def gone(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_killed_process_comes_back_and_a_stopped_one_does_not(keeper):
    first = until(lambda: listening(keeper))
    first.kill()
    second = until(lambda: listening(keeper))
    assert second.pid != first.pid
    keeper.send_signal(signal.SIGTERM)
    until(lambda: gone(second))
    until(lambda: gone(keeper))


def test_a_kept_process_does_not_outlive_a_killed_keeper(keeper):
    child = until(lambda: listening(keeper))
    keeper.kill()
    until(lambda: gone(child))


def test_a_fork_that_hears_nothing_does_not_outlive_its_parent():
    deaf = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(60)"
    parent = subprocess.Popen(tied("timeit", "-n1", "-r1", deaf))
    (fork,) = until(psutil.Process(parent.pid).children)
    time.sleep(0.1)  # until it is tied
    parent.kill()
    parent.wait()
    until(lambda: gone(fork))


def test_what_fails_again_and_again_has_ended():
    ended = subprocess.run(
        [sys.executable, "-m", "config.supervisor", "keep", "http.server", "--no-such-option"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines() == [
        *["http.server has failed (exit code 2) and is started again"] * (TRIES - 1),
        f"http.server has failed (exit code 2) {TRIES} times in a row, and isn't started again",
    ]
    assert ended.returncode == 2


@pytest.fixture
def web():
    """The demo's web, and its address: granian as we start it, with a site that starts at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = processes(port)["web"].replace("config.wsgi:application", "wsgiref.simple_server:demo_app")
    command = [sys.executable, "-m", *shlex.split(command)]
    keeper = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield psutil.Process(keeper.pid), f"http://127.0.0.1:{port}/"
    keeper.terminate()
    keeper.wait(timeout=30)


def test_the_site_survives_its_workers(web):
    """granian starts one again, and gives up where another dies at once: then it is started again itself."""
    keeper, address = web

    def workers():
        """Of the newest granian, once all answer."""
        with contextlib.suppress(psutil.NoSuchProcess, httpx.TransportError, IndexError):
            found = keeper.children()[0].children()
            return len(found) == 2 and httpx.get(address).status_code == 200 and found

    first = until(workers)
    first[0].kill()
    second = until(lambda: len(found := workers() or []) == 2 and first[0] not in found and found)
    assert first[1] in second
    next(worker for worker in second if worker not in first).kill()
    third = until(lambda: len(found := workers() or []) == 2 and not set(found) & {*first, *second} and found)
    third[0].parent().kill()
    until(lambda: len(found := workers() or []) == 2 and not set(found) & {*third} and found)
    until(lambda: all(map(gone, (*first, *second, *third))))
