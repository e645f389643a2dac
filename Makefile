# Every target sets up what it needs in its own virtual environment.
#
#   make demo [DATA=path]   train, evaluate, recommend: on a synthetic catalogue, or on MovieLens
#   make test               the whole test suite
#   make test-debug         the suite on a build with bounds and wraparound checks
#   make lint               ruff and cython-lint
#   make bench              training speed, 1 and 2 threads
#   make build              build and install in place, for development
#   make clean              remove all that was built

PYTHON ?= python3
VENV := .venv
DEBUG_VENV := .venv-debug
SOURCES := setup.py pyproject.toml lightfm_clone/_core.pyx $(wildcard lightfm_clone/_kernels/*)
PIP := python -m pip --quiet --disable-pip-version-check

.PHONY: build demo test test-debug lint bench clean

build: $(VENV)/built

$(VENV)/built: $(SOURCES)
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("CPython 3.10 or newer is needed: try make PYTHON=python3.12")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP) install --editable '.[test,progress]'
	touch $@

demo: build
	$(VENV)/bin/python examples/demo.py $(if $(DATA),"$(DATA)")

test: build
	$(VENV)/bin/pytest

$(DEBUG_VENV)/built: $(SOURCES) $(wildcard lightfm_clone/*.py lightfm_clone/datasets/*.py)
	test -x $(DEBUG_VENV)/bin/python || $(PYTHON) -m venv $(DEBUG_VENV)
	LIGHTFM_CLONE_DEBUG=1 $(DEBUG_VENV)/bin/$(PIP) install --force-reinstall --no-deps .
	$(DEBUG_VENV)/bin/$(PIP) install '.[test,progress]'
	touch $@

test-debug: $(DEBUG_VENV)/built
	$(DEBUG_VENV)/bin/pytest

lint: $(VENV)/lint-tools
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PATH="$(VENV)/bin:$$PATH" cython-lint lightfm_clone

$(VENV)/lint-tools: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP) install ruff cython-lint
	touch $@

bench: build
	$(VENV)/bin/python benchmarks/train.py

clean:
	rm -rf $(VENV) $(DEBUG_VENV) build dist *.egg-info lightfm_clone/*.so .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
