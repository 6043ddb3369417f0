"""Gives every test run its own PostgreSQL and Redis, before Django reads its settings.

Loaded by `-p tests.services_plugin` (pyproject.toml), so that a bare `pytest` works. The services
live in `.data/tests`: a running demo is never touched.
"""

import os

from config.services import ROOT, ensure_environment, secret_key

DATA = ROOT / "tests"

ensure_environment(DATA, durable=False)
os.environ.setdefault("SECRET_KEY", secret_key(DATA))
os.environ.setdefault("DATA_DIR", str(DATA))
