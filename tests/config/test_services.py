"""The embedded services with real servers, in folders of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config import services

PROJECT = Path(__file__).resolve().parent.parent.parent
JOINER = """
import sys
from config.services import join
handle = join(sys.argv[1], durable=False)
print(handle.database_url, handle.redis_url, flush=True)
sys.stdin.read()
handle.leave()
"""


class Joiner:
    """A process that joins, and leaves when it is told to."""

    def __init__(self, root):
        environment = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOINER, root],
            env=environment,
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def joined(self):
        self.database_url, self.redis_url = self.process.stdout.readline().split()
        return self

    def leave(self):
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def root(monkeypatch):
    """A data folder with a space in its path; nothing may be left running in it.

    Not in pytest's temporary folder: each run closes that one to other accounts, under the feet of
    root's servers.
    """
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    with tempfile.TemporaryDirectory(prefix="with space ") as folder:
        folder = Path(folder) / ".data"
        folder.mkdir()
        yield folder
        left = servers(folder)
        services.stop(folder)
        assert left == []
        assert not services._socket_folder(folder).exists()


def servers(root):
    """The ids of the two servers' processes, without their children, which come and go meanwhile."""
    parents = {}
    for process in (*services.Postgres(root).processes(), *services.Redis(root).processes()):
        with contextlib.suppress(psutil.NoSuchProcess):
            parents[process.pid] = process.ppid()
    return sorted(pid for pid, parent in parents.items() if parent not in parents)


def ask(joiner):
    """What a client of either service gets."""
    with psycopg.connect(joiner.database_url) as connection:
        row = connection.execute("SELECT current_database(), current_setting('lock_timeout')").fetchone()
    client = redis.Redis.from_url(joiner.redis_url)
    answer = client.ping()
    client.close()
    return *row, answer


WELL = ("turnout", "3s", True)


def test_join_starts_a_server_with_our_settings(root):
    joiner = Joiner(root).joined()
    with psycopg.connect(joiner.database_url) as connection:
        settings = [
            connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("max_connections", "timezone", "server_encoding", "lock_timeout", "listen_addresses", "fsync")
        ]
    joiner.leave()
    assert settings == ["400", "UTC", "UTF8", "3s", "", "off"]


def test_leave_stops_the_servers_when_nobody_else_is_joined(root):
    first = Joiner(root).joined()
    second = Joiner(root).joined()
    assert (first.database_url, first.redis_url) == (second.database_url, second.redis_url)
    running = servers(root)
    assert len(running) == 2
    first.leave()
    assert servers(root) == running
    assert ask(second) == WELL
    second.leave()
    assert servers(root) == []


def test_join_keeps_the_data_of_the_last_time(root):
    joiner = Joiner(root).joined()
    with psycopg.connect(joiner.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    joiner.leave()
    joiner = Joiner(root).joined()
    with psycopg.connect(joiner.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    joiner.leave()


def test_whoever_is_joined_can_have_back_what_was_killed(root):
    with services.join(root, durable=False) as joined:
        assert joined.revive() == []
        running = servers(root)
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid) for pid in running if psutil.pid_exists(pid)], timeout=10)
        back = []
        while len(back) < 2:  # PostgreSQL's children end a moment after it
            back += joined.revive()
        assert sorted(back) == ["postgres", "redis"]
        assert ask(joined) == WELL
        assert not set(servers(root)) & set(running)


def test_join_after_every_joiner_was_killed(root):
    first, second = Joiner(root).joined(), Joiner(root).joined()
    running = servers(root)
    first.kill()
    second.kill()
    assert servers(root) == running
    third = Joiner(root).joined()
    assert servers(root) == running
    assert ask(third) == WELL
    third.leave()
    assert servers(root) == []


def test_join_of_four_at_once_starts_one_of_each(root):
    joiners = [Joiner(root) for _ in range(4)]
    for joiner in joiners:
        joiner.joined()
    assert len(servers(root)) == 2
    assert [ask(joiner) for joiner in joiners] == [WELL] * 4
    for joiner in joiners:
        joiner.process.stdin.close()
    assert [joiner.process.wait(20) for joiner in joiners] == [0] * 4
    assert servers(root) == []


WHOLE_PID_FILE = "{pid}\n{folder}\n1700000000\n5432\n/tmp\n\n  1234  5678\nready   \n"


@pytest.mark.parametrize("content", [WHOLE_PID_FILE, "{pid}\n/va", ""], ids=["whole", "half-written", "empty"])
def test_join_despite_a_stale_pid_file(root, content):
    """Left by a crash; its number may be a stranger's by now, who must not be hurt."""
    Joiner(root).joined().leave()
    stranger = subprocess.Popen(["sleep", "60"])
    folder = root / "postgres"
    (folder / "postmaster.pid").write_text(content.format(pid=stranger.pid, folder=folder))
    joiner = Joiner(root).joined()
    assert ask(joiner) == WELL
    joiner.leave()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_join_after_the_servers_were_killed(root):
    first = Joiner(root).joined()
    for pid in servers(root):
        os.kill(pid, signal.SIGKILL)
    second = Joiner(root).joined()
    assert ask(second) == WELL
    assert (first.database_url, first.redis_url) == (second.database_url, second.redis_url)
    second.leave()
    first.leave()


def test_join_after_the_sockets_were_deleted(root):
    """As cleaners of /tmp do: the servers run, but nobody can reach them any more."""
    first = Joiner(root).joined()
    unreachable = servers(root)
    for path in services._socket_folder(root).iterdir():
        path.unlink()
    second = Joiner(root).joined()
    assert ask(second) == WELL
    assert not set(unreachable) & set(servers(root))
    second.leave()
    first.leave()


def test_join_refuses_a_socket_folder_of_somebody_else(root, tmp_path):
    services._socket_folder(root).symlink_to(tmp_path)
    with pytest.raises(services.ServicesError, match="belongs to somebody else"):
        services.join(root, durable=False)
    assert servers(root) == []
    assert list(tmp_path.iterdir()) == []
    services._socket_folder(root).unlink()


def test_locks_are_nobody_elses(root):
    """Neither a server nor a fork may keep the lock of a process that is gone."""
    joiner = Joiner(root).joined()
    holders = [
        process.pid
        for process in psutil.process_iter()
        if any(opened(process, root / name) for name in ("joined.lock", "starting.lock"))
    ]
    assert holders == [joiner.process.pid]
    joiner.leave()


def opened(process, path):
    try:
        return path.as_posix() in [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:
        return False


def test_leave_in_a_fork_does_nothing(root):
    with services.join(root, durable=False) as handle:
        child = os.fork()
        if child == 0:
            handle.leave()
            os._exit(0)
        os.waitpid(child, 0)
        assert ask(handle) == WELL


def test_reset_refuses_while_somebody_is_joined(root):
    joiner = Joiner(root).joined()
    with pytest.raises(services.ServicesError, match="is using"):
        services.reset(root)
    assert ask(joiner) == WELL
    joiner.leave()
    services.reset(root)
    assert not root.exists()
    root.mkdir()


def test_join_uses_the_services_named_in_the_environment(root, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/turnout")
    monkeypatch.setenv("REDIS_URL", "redis://redis.example/0")
    with services.join(root) as handle:
        assert (handle.database_url, handle.redis_url) == ("postgresql://db.example/turnout", "redis://redis.example/0")
    assert list(root.iterdir()) == []


def test_ensure_environment_joins_and_leaves_when_terminated(root):
    program = """
import os, sys, time
from config.services import ensure_environment
ensure_environment(sys.argv[1], durable=False)
print(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], len(os.environ["SECRET_KEY"]), flush=True)
time.sleep(60)
"""
    environment = {key: value for key, value in os.environ.items() if key != "SECRET_KEY"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, root], env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    *urls, secret_length = process.stdout.readline().split()
    assert urls == [services.Postgres(root).url, services.Redis(root).url]
    assert secret_length == "67"
    assert len(servers(root)) == 2
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert servers(root) == []


def test_join_is_quick_when_the_services_run(root):
    with services.join(root, durable=False):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            services.join(root, durable=False).leave()
            took.append(time.perf_counter() - began)
    assert min(took) < 0.1
