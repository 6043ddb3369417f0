# Everything a developer or a curious person types. Recipes use relative paths only, so that the
# project may lie in a folder with spaces in its name.

PYTHON ?= python3
# Named on the command line or in the environment, rather than our default?
PYTHON_GIVEN := $(filter-out file default undefined,$(origin PYTHON))
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench reset lock

help:
	@echo "make demo    a whole site with demo data on this machine (PORT=8000, SCHEDULE=file)"
	@echo "make test    the tests (ARGS='-k waitlist -x')"
	@echo "make check   lint, import rules, missing migrations, production settings"
	@echo "make bench   speed, as ratios (ARGS=…)"
	@echo "make setup   environment and services only (PYTHON=python3.12)"
	@echo "make reset   delete the demo's data"
	@echo "make lock    resolve requirements*.in anew (needs uv)"

# The environment is made once, and again only for another Python that is asked for by name;
# packages are installed when the requirement files have other contents than last time.
setup:
	@set -eu; \
	version='import sys; print("%d.%d" % sys.version_info[:2])'; \
	have=$$($(PY) -c "$$version" 2>/dev/null || true); \
	want=$$($(PYTHON) -c "$$version" 2>/dev/null || true); \
	if [ -z "$$have" ] || { [ -n "$(PYTHON_GIVEN)" ] && [ "$$have" != "$$want" ]; }; then \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
			echo "Turnout needs Python 3.11 or later; $(PYTHON) is $${want:-not there}. Name another one: make setup PYTHON=python3.12" >&2; \
			exit 1; }; \
		$(PYTHON) -m venv --clear .venv || { \
			echo "Python can't make a virtual environment here (on Debian and Ubuntu: apt install python3-venv)." >&2; \
			exit 1; }; \
	fi; \
	cat requirements.txt requirements-dev.txt | cksum > .venv/requirements.wanted; \
	if ! cmp -s .venv/requirements.wanted .venv/requirements.installed; then \
		echo "Installing packages (once; a minute or two) …"; \
		$(PY) -m pip install -qq --disable-pip-version-check -r requirements-dev.txt; \
		$(PY) -m config.services check; \
		mv .venv/requirements.wanted .venv/requirements.installed; \
	fi

demo: setup
	@exec $(PY) -m config.supervisor

# One process a core, and one more for while the others wait for a browser or a clock; tests/conftest.py says in which
# order they take the files.
# Browser tests need a Chromium. Without one they are skipped, except in CI, where that is a failure.
test: setup
	@set -eu; \
	CHROMIUM=$${CHROMIUM:-$$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}; \
	if [ -z "$$CHROMIUM" ]; then \
		echo "No Chromium found (chromium or google-chrome on the PATH, or CHROMIUM=path): browser tests can't run." >&2; \
		[ -z "$${CI:-}" ] || exit 1; \
	fi; \
	export CHROMIUM; \
	PROCESSES=$$($(PY) -c 'import os; print(min(5, os.cpu_count() + 1))'); \
	exec $(PY) -m pytest -n "$$PROCESSES" --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) .venv/bin/lint-imports
	SECRET_KEY=$${SECRET_KEY:-check} $(PY) manage.py makemigrations --check --dry-run
	@echo "manage.py check --deploy, with production's settings"
	@env -u TURNOUT_DEMO -u DEBUG \
		SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(50))')" \
		SITE_URL=https://turnout.example ALLOWED_HOSTS=turnout.example \
		$(PY) manage.py check --deploy --fail-level WARNING

bench: setup
	@exec $(PY) -m bench $(ARGS)

reset: setup
	@exec $(PY) -m config.services reset

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-dev.in -o requirements-dev.txt
