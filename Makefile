# Two commands on a fresh clone: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Tests that run at a time, one thread each.
JOBS ?= 2
# What `make test` leaves to `make test-faults`.
APART := tests/faults tests/cli/test_distributed.py
test test-all test-docs test-faults test-oldest test-newest coverage mutation: export OMP_NUM_THREADS := 1
# Mutants to test, by name: every fifth of each function. All are '*', those of a file
# 'segdistill.objective.stego.*'.
MUTANTS ?= *__mutmut_*[16]

.PHONY: demo docs wheel test test-all test-docs test-faults test-oldest test-newest coverage mutation audit lint format clean

# The marker file makes the environment again only when what it is made from changes.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/installed
	test -d $(DEMO)/world || $(BIN)/segdistill sample $(DEMO)/world
	$(BIN)/segdistill fit $(DEMO)/world --classes 6 --out $(DEMO)/run --overwrite
	$(BIN)/segdistill segment $(DEMO)/run $(DEMO)/world/imgs/val --out $(DEMO)/masks --overlay \
		--overwrite
	$(BIN)/segdistill evaluate $(DEMO)/run --images $(DEMO)/world/imgs/val --labels $(DEMO)/world/labels/val
	@echo "The report: $(DEMO)/run/report.html"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(APART:%=--ignore %)

# A tenth of the faults of `python -m tests.faults`, kills at chosen moments, and runs of several
# processes.
test-faults: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(APART)

# All code of the documentation, the examples and the notebook.
test-docs: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(JOBS) -m slow tests/docs/test_blocks.py tests/docs/test_examples.py

test-all: $(VENV)/installed-dev lint
	$(BIN)/python -m pytest

# The ends of the ranges in pyproject.toml, each in an environment of its own.
test-oldest test-newest: test-%: .venv-%/installed-dev
	.venv-$*/bin/python -m pytest -n $(JOBS) -m "not slow"

.venv-%/installed-dev: pyproject.toml constraints/%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -c constraints/$*.txt torch
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -c constraints/$*.txt -e '.[dev]'
	touch $@

# Asks PyPI about every pinned version; fails, rather than says nothing, where that is not reachable.
audit: $(VENV)/installed-dev
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

# The site is build/site; `mkdocs serve` shows it while you write.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Builds, then installs the wheel where nothing else is and runs the demo's commands with it.
wheel: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m tools.try_wheel dist/*.whl

coverage: $(VENV)/installed-dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) -m "not slow"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

mutation: $(VENV)/installed-dev
	$(BIN)/mutmut run --max-children $(JOBS) '$(MUTANTS)'
	$(BIN)/mutmut results | grep -v 'not checked' || true

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest build dist src/*.egg-info .coverage* coverage mutants
