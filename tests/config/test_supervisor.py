"""The demo's processes: what is killed comes back, what is stopped stays away."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

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


def test_what_ends_by_itself_has_ended():
    ended = subprocess.run(
        [sys.executable, "-m", "config.supervisor", "keep", "http.server", "--no-such-option"],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
    )
    assert ended.returncode == 2
