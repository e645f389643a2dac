# Every target sets up what it needs in its own virtual environment.
#
#   make demo [DATA=path]   train, evaluate, recommend: on a synthetic catalogue, or on MovieLens
#   make test               the whole test suite
#   make test-debug         the suite on a build with bounds and wraparound checks
#   make lint               ruff and cython-lint
#   make bench              speed and quality beside LightFM's, 20 minutes; also bench-quick
#                           (2 minutes) and bench-full (20 and 32 million interactions)
#   make build              build and install in place, for development
#   make clean              remove all that was built

PYTHON ?= python3
VENV := .venv
DEBUG_VENV := .venv-debug
BENCH_VENV := .venv-bench
SOURCES := setup.py pyproject.toml lightfm_clone/_core.pyx $(wildcard lightfm_clone/_kernels/*)
PACKAGE := $(wildcard lightfm_clone/*.py lightfm_clone/datasets/*.py)
PIP := python -m pip --quiet --disable-pip-version-check

.PHONY: build demo test test-debug lint bench bench-quick bench-full clean

build: $(VENV)/built

$(VENV)/built: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("CPython 3.10 or newer is needed: try make PYTHON=python3.12")'
	@echo "Setting up and building (a minute or two) ..."
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP) install --editable '.[test,progress]'
	touch $@

demo: build
	$(VENV)/bin/python examples/demo.py $(if $(DATA),"$(DATA)")

test: build
	$(VENV)/bin/pytest

$(DEBUG_VENV)/built: $(SOURCES) $(PACKAGE)
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

$(BENCH_VENV)/built: $(SOURCES) $(PACKAGE) benchmarks/requirements.txt
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/$(PIP) install --requirement benchmarks/requirements.txt
	$(BENCH_VENV)/bin/$(PIP) install --force-reinstall --no-deps .
	touch $@

bench: $(BENCH_VENV)/built
	$(BENCH_VENV)/bin/python benchmarks/run.py daily

bench-quick: $(BENCH_VENV)/built
	$(BENCH_VENV)/bin/python benchmarks/run.py quick

bench-full: $(BENCH_VENV)/built
	$(BENCH_VENV)/bin/python benchmarks/run.py full

clean:
	rm -rf $(VENV) $(DEBUG_VENV) $(BENCH_VENV) build dist *.egg-info lightfm_clone/*.so .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
