"""Databases of a test's own on the test server, and PostgreSQL's programs to work on them."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from django.db import connection
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

PROJECT = Path(__file__).resolve().parents[2]
SUFFIX = os.environ.get("TEST_DB_SUFFIX", "") + os.environ.get("PYTEST_XDIST_WORKER", "")
# Roles belong to the server, which other test runs share.
OWNER, APP = f"turnout_owner{SUFFIX}", f"turnout_app{SUFFIX}"


def server() -> dict:
    return {"port": "5432"} | conninfo_to_dict(os.environ["DATABASE_URL"])


def url(database, role=None) -> str:
    at = server()
    return f"postgresql://{role or at['user']}@/{database}?host={at['host']}&port={at['port']}"


def environment(**own) -> dict:
    """For PostgreSQL's programs and manage.py; the programs of the embedded server come first on the PATH."""
    from config.services import ROOT, Postgres

    at = server()
    folders = [str(Postgres(ROOT / "tests").program() / "bin"), str(Path(sys.executable).parent)]
    return (
        os.environ
        | {
            "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
            "PGHOST": at["host"],
            "PGPORT": at["port"],
            "PGUSER": at["user"],
            "TURNOUT_OWNER": OWNER,
            "TURNOUT_APP": APP,
            "LOG_LEVEL": "WARNING",
        }
        | own
    )


def run(*command, **own) -> str:
    """What the command prints; its error output is in the failure."""
    given = environment(**own)
    program = shutil.which(command[0], path=given["PATH"])
    done = subprocess.run([program, *command[1:]], cwd=PROJECT, env=given, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def held(query, *params):
    """Another connection's transaction holds the rows that the query locks; ours waits a tenth of a second for them."""
    with psycopg.connect(url(connection.settings_dict["NAME"])) as other, connection.cursor() as cursor:
        other.execute(query, params)
        cursor.execute("SET lock_timeout = '100ms'")
        try:
            yield
        finally:
            other.rollback()
            cursor.execute("RESET lock_timeout")


@contextmanager
def waited_for(query, params=(), *, by=1):
    """Another transaction runs the query, and commits once as many connections as ``by`` wait for locks:
    whoever reads without one has read by then, and nobody has written."""
    with psycopg.connect(url(connection.settings_dict["NAME"])) as other, ThreadPoolExecutor(1) as pool:
        other.execute(query, params)
        committed = pool.submit(_commit_when_waited_for, other, by)
        yield
        assert committed.result(), f"fewer than {by} waited"


def _commit_when_waited_for(other, count) -> bool:
    """Gives up, and commits, before anybody's lock_timeout."""
    with psycopg.connect(other.info.dsn, autocommit=True) as watcher:
        for _attempt in range(250):
            [waiting] = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            if waiting >= count:
                break
            time.sleep(0.01)
        other.commit()
        return waiting >= count


@contextmanager
def migrated(name):
    """A database with all migrations and nothing more, of which others are copies, made in a moment.

    The first process of a run makes it, and the last one that leaves the block drops it.
    """
    which = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    address = urlsplit(os.environ["DATABASE_URL"])
    database = sql.Identifier(name)
    # One is held while somebody looks whether it is there, or makes it; the other one by all who copy it.
    making, using = (f"hashtextextended('{what} {name}', 0)" for what in ("making", "using"))
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
    with psycopg.connect(address._replace(path="/postgres").geturl(), autocommit=True) as admin:
        admin.execute("SET lock_timeout = 0")
        admin.execute(f"SELECT pg_advisory_lock({making})")
        made = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
        if admin.execute(made, [name]).fetchone() != (which,):
            admin.execute(drop)
            admin.execute(sql.SQL("CREATE DATABASE {}").format(database))
            given = address._replace(path=f"/{name}").geturl()
            run("python", "manage.py", "migrate", "--verbosity", "0", DATABASE_URL=given)
            admin.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, which))
        admin.execute(f"SELECT pg_advisory_lock_shared({using})")
        admin.execute(f"SELECT pg_advisory_unlock({making})")
        try:
            yield name
        finally:
            admin.execute(f"SELECT pg_advisory_unlock_shared({using})")
            if admin.execute(f"SELECT pg_try_advisory_lock({using})").fetchone() == (True,):
                admin.execute(drop)


@contextmanager
def database(name):
    """An empty database with deploy/roles.sql applied."""
    name += SUFFIX
    with psycopg.connect(url("postgres"), autocommit=True) as admin:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        admin.execute(drop)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            run("psql", "-q", "-d", name, "-f", "deploy/roles.sql")
            yield name
        finally:
            admin.execute(drop)
            for role in (APP, OWNER):
                # Refused while the other test module's database still knows the role.
                with suppress(psycopg.errors.DependentObjectsStillExist):
                    admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@contextmanager
def production(name, migrated, folder):
    """A database as in production, restored from a dump of a copy of the ``migrated`` one."""
    with database(name) as name, psycopg.connect(url("postgres"), autocommit=True) as admin:
        copy = sql.Identifier(f"{name}_copied")
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(copy)
        admin.execute(drop)
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, sql.Identifier(migrated)))
        dump, whole = f"{folder}/{name}.dump", ("--exit-on-error", "--no-owner", "--no-privileges")
        run("pg_dump", "--format=custom", f"--file={dump}", url(f"{name}_copied"))
        admin.execute(drop)
        run("pg_restore", *whole, f"--dbname={url(name, OWNER)}", dump)
        run("psql", "-q", "-d", name, "-f", "deploy/roles.sql")
        yield name
