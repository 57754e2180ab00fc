# Every target sets up what it needs: a fresh machine has only Python 3.11 (or later) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Where PYTHONDONTWRITEBYTECODE is set, each of the processes that tests start would compile all of Rowkeeper anew.
COMPILED = $(BIN)/python -m compileall -q src

# Most tests wait for processes that they started, for a part of their time: one worker more than there are processors.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST  = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# What of the tests is tried on PostgreSQL each time; `make test-postgres` tries all of them there. The longest of the
# slots' are left to it: what is paused and what follows a stream is the same to either ledger.
SLOTS = tests/operations/test_slots_served.py
ON_POSTGRES = tests/runs/test_failpoints.py::test_a_second_death_during_recovery_changes_nothing tests/runs/test_parked.py $(SLOTS) --deselect $(SLOTS)::test_a_stream_is_followed_by_one_worker_and_anew_when_its_process_dies --deselect $(SLOTS)::test_a_paused_schedule_is_not_served_and_caught_up_with_when_it_is_resumed tests/ledger/test_ledger.py tests/ledger/test_spooling.py tests/cli/test_audit.py

# Where `make test` tries samples, others each time; `make torture` tries all of it.
SAMPLED = tests/access/test_keeping.py tests/access/sql tests/cli/test_bad_input.py tests/cli/test_canary.py tests/contracts tests/destinations tests/ledger/audit tests/ledger/test_carrying.py tests/ledger/test_pgbouncer.py tests/ledger/test_pruning.py tests/ledger/test_retention.py tests/ledger/test_slots.py tests/operations tests/quality tests/resilience/test_breaker.py tests/runs tests/schedule tests/security tests/soak tests/sources tests/stores tests/web/test_description.py tests/web/test_lookout.py tests/web/test_routes.py

.PHONY: demo test test-postgres lint bench torture soak lock clean

$(READY): requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Rowkeeper needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)            ## load the real flights of 2013, twice, into the embedded ClickHouse
	$(BIN)/python examples/demo.py

test: $(READY)            ## every test that needs no more than this machine and a few minutes
	$(COMPILED)
	$(BIN)/python -m tools.prometheus
	$(PYTEST)
	$(PYTEST) --ledger=postgresql $(ON_POSTGRES)

test-postgres: $(READY)   ## the tests of runs, commands, workers, calls and the server with their ledgers on PostgreSQL, whole
	$(COMPILED)
	$(PYTEST) --whole tests/ledger/test_crowd.py tests/runs/test_ledger_dies.py
	$(PYTEST) --ledger=postgresql tests/ledger tests/runs tests/cli tests/operations tests/resilience tests/web

lint: $(READY)            ## ruff, mypy --strict, import-linter; bandit, what is forbidden, known weaknesses of dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src tools
	$(BIN)/python -m tools.forbidden
	$(BIN)/python -m tools.audit

bench: $(READY)           ## ratios to a raw INSERT ... SELECT FROM file(), and peak memory
	$(BIN)/python -m bench
	$(BIN)/python -m bench.serving
	$(BIN)/python -m bench.objects --gigabytes 1
	$(BIN)/python -m bench.backups --gigabytes 10

torture: $(READY)         ## the long proofs: disk faults, kills, power loss (need root and FUSE), all pairs of failpoints, 10 million rows against Pydantic
	$(COMPILED)
	$(BIN)/python -m tests.torture
	$(PYTEST) --whole $(SAMPLED)
	$(BIN)/python -m tests.runs.pairs
	$(BIN)/python -m tests.contracts.compiler.differential

soak: $(READY)            ## random loads, backups and restores under random kills, stops, cuts and full disks, for 15 minutes (MINUTES=...), figures to a file (JSON=...); root adds the full disks
	$(COMPILED)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),15) $(if $(JSON),--json $(JSON))

lock: $(READY)            ## pin what pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 --group dev pyproject.toml -o requirements/dev.lock

clean:
	rm -rf $(VENV)
