# Every target sets up what it needs: a fresh machine has only Python 3.11 (or later) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Where PYTHONDONTWRITEBYTECODE is set, each of the processes that tests start would compile all of Rowkeeper anew.
COMPILED = $(BIN)/python -m compileall -q src

.PHONY: demo test lint bench torture soak lock clean

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
	$(BIN)/python -m pytest -n 2 --dist worksteal

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

torture: $(READY)         ## the long proofs: disk faults, kills, power loss (need root and FUSE), all pairs of failpoints, 10 million rows against Pydantic
	$(COMPILED)
	$(BIN)/python -m tests.torture
	$(BIN)/python -m pytest -n 2 --dist worksteal --whole tests/runs/test_failpoints.py tests/runs/test_spool_failpoints.py tests/contracts tests/resilience/test_breaker.py tests/ledger/audit tests/access/test_keeping.py tests/access/sql tests/destinations/test_file_kills.py
	$(BIN)/python -m tests.runs.pairs
	$(BIN)/python -m tests.contracts.compiler.differential

soak: $(READY)            ## random loads under random kills, stops, cuts and full disks, for 15 minutes (MINUTES=...), figures to a file (JSON=...); root adds the full disks
	$(COMPILED)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),15) $(if $(JSON),--json $(JSON))

lock: $(READY)            ## pin what pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 --group dev pyproject.toml -o requirements/dev.lock

clean:
	rm -rf $(VENV)
