# `make demo` and `make test` work on a machine with nothing but python3 (>= 3.11) and make.

PYTHON ?= python3
# An interpreter that is named has an environment of its own: make test PYTHON=python3.12
VERSION := $(if $(filter-out python3,$(PYTHON)),-$(shell $(PYTHON) -c \
	'import sys; print("%d.%d" % sys.version_info[:2])'))
VENV := .venv$(VERSION)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

# Two pytest workers; numba may use two threads where a test asks for them, BLAS stays serial.
TEST_ENV := NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	OMP_WAIT_POLICY=passive MPLBACKEND=Agg
PYTEST := python -m pytest -q -n 2

# What is most likely to notice another version of Python or of a library, in few minutes.
QUICK := tests/data tests/kernels tests/solvers tests/selection tests/metrics \
	tests/models/test_evidence.py

# Files that people write, the names of which end in 0 bytes for `xargs`.
FILES := git ls-files -z --
TEXT := $(FILES) ':!*.gz' ':!*.png' ':!*.xyz' ':!*.ipynb'

.PHONY: demo test test-quick test-oldest lint format package clean

demo: $(VENV)/.stamp-demo
	$(BIN)/skpot demo --out demo

test: $(VENV)/.stamp-test
	$(TEST_ENV) $(BIN)/$(PYTEST) $(ARGS)

test-quick: $(VENV)/.stamp-test
	$(TEST_ENV) $(BIN)/$(PYTEST) $(QUICK) $(ARGS)

# The same tests with the oldest versions that pyproject.toml allows.
test-oldest: .venv-oldest/.stamp-test
	$(TEST_ENV) .venv-oldest/bin/$(PYTEST) $(QUICK) $(ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(TEXT) | xargs -0 $(BIN)/codespell
	$(TEXT) | xargs -0 $(BIN)/trailing-whitespace-fixer
	$(TEXT) | xargs -0 $(BIN)/end-of-file-fixer
	$(FILES) | xargs -0 $(BIN)/check-added-large-files --enforce-all --maxkb=3000
	$(FILES) | xargs -0 $(BIN)/check-merge-conflict --assume-in-merge
	$(FILES) '*.toml' | xargs -0 $(BIN)/check-toml
	$(FILES) '*.yaml' | xargs -0 $(BIN)/check-yaml

format: $(VENV)/.stamp-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A wheel and a source archive in dist/, and whether PyPI would show them.
package: .venv-package/.stamp
	rm -rf dist build
	.venv-package/bin/python -m build --outdir dist .
	.venv-package/bin/python -m twine check --strict dist/*

# Deletes only what this file and the tools it calls create.
clean:
	rm -rf .venv .venv-3.* .venv-oldest .venv-package demo build dist skpot.egg-info
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find skpot tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "skpot needs Python >= 3.11; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed; on Debian or Ubuntu: apt install python3-venv"; exit 1; }

# The stamps make a second call quick; a change of pyproject.toml installs again.
$(VENV)/.stamp-demo: pyproject.toml | $(BIN)/python
	@echo "installing skpot into $(VENV) ..."
	@$(PIP) install -e '.[plot,report]'
	@touch $@

$(VENV)/.stamp-test: pyproject.toml | $(BIN)/python
	@echo "installing skpot and its test tools into $(VENV) ..."
	@$(PIP) install -e '.[test]'
	@touch $@

.venv-oldest/.stamp-test: pyproject.toml
	@echo "installing the oldest versions that skpot supports into .venv-oldest ..."
	@$(PYTHON) -m venv --clear .venv-oldest
	@.venv-oldest/bin/python -m pip -qq --disable-pip-version-check install uv
	@.venv-oldest/bin/uv pip install -q --python .venv-oldest/bin/python \
		--resolution lowest-direct -e '.[test]'
	@touch $@

.venv-package/.stamp:
	@$(PYTHON) -m venv --clear .venv-package
	@.venv-package/bin/python -m pip -qq --disable-pip-version-check install build twine
	@touch $@
