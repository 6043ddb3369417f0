"""Gives every test run its own PostgreSQL and Redis, before Django reads its settings.

Loaded by `-p tests.services_plugin` (pyproject.toml), so that a bare `pytest` works. The services
live in `.data/tests`: a running demo is never touched. Processes of one run (`-n`) share them; each
has a database and a Redis number of its own.
"""

import gc
import os

from config.services import ROOT, ensure_environment, secret_key

# Most of what is made stays: to look for garbage as often as Python does takes a tenth of the time.
gc.set_threshold(50_000, 20, 20)

DATA = ROOT / "tests"

ensure_environment(DATA, durable=False)
os.environ.setdefault("SECRET_KEY", secret_key(DATA))
os.environ.setdefault("DATA_DIR", str(DATA))

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    url, _, _query = os.environ["REDIS_URL"].partition("?")
    os.environ["REDIS_URL"] = f"{url}?db={1 + int(worker.removeprefix('gw'))}"
