# Two commands on a fresh clone: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Tests that run at a time; one torch thread each.
JOBS ?= 2

.PHONY: demo test test-all lint format clean

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
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-all: $(VENV)/installed-dev lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist src/*.egg-info
