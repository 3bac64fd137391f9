# `make demo` and `make test` work on a machine with nothing but python3 (>= 3.11) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

# Two pytest workers; numba may use two threads where a test asks for them, BLAS stays serial.
TEST_ENV := NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	OMP_WAIT_POLICY=passive MPLBACKEND=Agg

.PHONY: demo test lint format clean

demo: $(VENV)/.stamp-demo
	$(BIN)/skpot demo --out demo

test: $(VENV)/.stamp-test
	$(TEST_ENV) $(BIN)/python -m pytest -q -n 2 $(ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.stamp-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Deletes only what this file and the tools it calls create.
clean:
	rm -rf $(VENV) demo build dist skpot.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find skpot tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "skpot needs Python >= 3.11; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed; on Debian or Ubuntu: apt install python3-venv"; exit 1; }

# The stamps make a second call quick; a change of pyproject.toml installs again.
$(VENV)/.stamp-demo: pyproject.toml | $(BIN)/python
	@echo "installing skpot into $(VENV) ..."
	@$(PIP) install -e '.[plot]'
	@touch $@

$(VENV)/.stamp-test: pyproject.toml | $(BIN)/python
	@echo "installing skpot and its test tools into $(VENV) ..."
	@$(PIP) install -e '.[test]'
	@touch $@
