# Daily habits. `make run` and `make test` need Python 3.11 or 3.12, a C compiler and make, nothing else.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)

.PHONY: setup run test test-fast test-long fuzz lint format bench demo install clean browser

setup: $(VENV)/.ready

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "optiond needs Python 3.11 or 3.12; say which with: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt requirements-clients.txt $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-clients.txt
	@touch $@

run: setup
	@exec $(BIN)/optiond run

browser:
	@bash ops/browser.sh

test: $(VENV)/.ready-dev browser
	$(BIN)/pytest -n 2 --dist loadfile

test-fast: $(VENV)/.ready-dev
	$(BIN)/pytest -n 2 -m "not slow and not long" --ignore tests/dashboard

# Hundreds of kills and power cuts; half an hour.
test-long: $(VENV)/.ready-dev
	$(BIN)/pytest -n 2 -m long --timeout 3600

# The rules' loader on damaged files; `make fuzz MINUTES=60 SEED=7` for longer and for others.
MINUTES ?= 5
SEED ?= 1
fuzz: $(VENV)/.ready-dev
	$(BIN)/python -m tests.rules.fuzz_loader --minutes $(MINUTES) --seed $(SEED)

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready-dev
	$(BIN)/python -m benchmarks

# The recorded quotes and positions lie beside the project; name others with QUOTES= and POSITIONS=.
QUOTES ?= ../shared/data/ibkr_option_snapshots.parquet
POSITIONS ?= ../shared/data/ibkr_account_positions.csv
demo: setup
	@exec $(BIN)/optiond demo --replay $(QUOTES) --positions $(POSITIONS)

install: setup
	@$(BIN)/optiond install

clean:
	rm -rf $(VENV) build *.egg-info
