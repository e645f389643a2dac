# Every target sets up what it needs in its own virtual environment.
#
#   make demo [DATA=path]   train, evaluate, recommend: on a synthetic catalogue, or on MovieLens
#   make test [TESTS=files] the test suite, 2 minutes; what is slow or by the clock is left out
#   make test-all           the whole of it, as CI runs it
#   make coverage           the test suite, and the lines it does not reach
#   make docs               the site of the documentation, into docs/_build/html; 2 minutes
#   make docs-links         whether its links to other sites still lead somewhere (asks them)
#   make test-debug         the suite on a build with bounds and wraparound checks
#   make test-asan          what runs compiled code, with sanitizers: addresses, leaks, UB (gcc)
#   make fuzz [INPUTS=n]    hostile inputs, a million of them by default (15 minutes)
#   make test-faults        kills, interrupts and fits as often as docs/inside/reliability.md says
#   make lint               style, types and the direction of imports; compiles nothing
#   make lint-stub          the stub of the compiled module against the compiled module
#   make format             what can be put right without a thought
#   make wheel              sdist and wheel into dist/, ready to publish (Linux)
#   make test-wheel         the suite on what `make wheel` made, in fresh environments
#   make audit              known vulnerabilities of the pinned dependencies
#   make lock               renew the pins in requirements/
#   make bench              speed and quality beside LightFM's, half an hour; keeps the last results
#                           of each processor; also bench-quick (3 minutes) and bench-full (20
#                           and 32 million interactions)
#   make build              build and install in place, for development
#   make clean              remove all that was built

PYTHON ?= python3
VENV := .venv
DEBUG_VENV := .venv-debug
ASAN_VENV := .venv-asan
BENCH_VENV := .venv-bench
WHEEL_VENV := .venv-wheel
KERNELS := $(wildcard lightfm_clone/_kernels/*)
SOURCES := setup.py pyproject.toml $(wildcard lightfm_clone/*.pyx lightfm_clone/*.pxd) $(KERNELS)
PACKAGE := $(wildcard lightfm_clone/*.py lightfm_clone/*/*.py)
# import-linter reads .py files alone, so it gets the stub in the place of the compiled module.
IMPORTS := build/imports
ASAN_TESTS := $(addprefix tests/test_,$(addsuffix .py,errors fuzz ids numerics prediction recommend \
    softmax training twin)) tests/test_faults.py::test_many_fits_leak_no_more_than_few
# Side by side on up to four cores. Threads that wait for one another then must not hold a core.
PYTEST := OMP_WAIT_POLICY=passive $(VENV)/bin/pytest --numprocesses=auto --maxprocesses=4 \
    --dist=worksteal
SPHINX := OMP_WAIT_POLICY=passive $(VENV)/bin/python -m sphinx --jobs=auto --keep-going
PIP := python -m pip --quiet --disable-pip-version-check
# Pinned and hashed, so that what is tested tomorrow is what was tested today.
PINNED := --require-hashes --requirement requirements
LOCK := $(WHEEL_VENV)/bin/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
    --no-strip-extras --generate-hashes --no-annotate --custom-compile-command "make lock"

.PHONY: build demo test test-all coverage docs docs-links test-debug test-asan test-faults fuzz lint lint-imports lint-stub format wheel test-wheel audit lock bench bench-quick bench-full clean

build: $(VENV)/built

$(VENV)/built: $(SOURCES) requirements/ci.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("CPython 3.10 or newer is needed: try make PYTHON=python3.12")'
	@echo "Setting up and building (a minute or two) ..."
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP) install $(PINNED)/ci.txt
	$(VENV)/bin/$(PIP) install --no-build-isolation --no-deps --editable .
	touch $@

demo: build
	$(VENV)/bin/python examples/demo.py $(if $(DATA),"$(DATA)")

test: build
	$(PYTEST) -m "not slow" $(TESTS)

# What goes by the clock has the machine to itself.
test-all: test
	$(VENV)/bin/pytest -m slow $(TESTS)

coverage: build
	$(PYTEST) -m "not slow" --cov --cov-report=term-missing:skip-covered $(TESTS)

# What is left of an earlier build would hide links that lead nowhere by now. The gallery alone is
# kept: it runs again what has changed (and all of it after `make clean`).
docs: build
	rm -rf docs/_build docs/api/generated
	$(SPHINX) --fail-on-warning docs docs/_build/html
	$(VENV)/bin/python .ci/check_links.py docs/_build/html

docs-links: build
	$(SPHINX) -b linkcheck docs docs/_build/links

$(DEBUG_VENV)/built: $(SOURCES) $(PACKAGE) requirements/ci.txt
	test -x $(DEBUG_VENV)/bin/python || $(PYTHON) -m venv $(DEBUG_VENV)
	$(DEBUG_VENV)/bin/$(PIP) install $(PINNED)/ci.txt
	LIGHTFM_CLONE_DEBUG=1 $(DEBUG_VENV)/bin/$(PIP) install --force-reinstall --no-build-isolation --no-deps .
	touch $@

test-debug: $(DEBUG_VENV)/built
	$(DEBUG_VENV)/bin/pytest $(or $(TESTS),tests)

$(ASAN_VENV)/built: $(SOURCES) $(PACKAGE) requirements/ci.txt
	test -x $(ASAN_VENV)/bin/python || $(PYTHON) -m venv $(ASAN_VENV)
	$(ASAN_VENV)/bin/$(PIP) install $(PINNED)/ci.txt
	LIGHTFM_CLONE_SANITIZE=1 $(ASAN_VENV)/bin/$(PIP) install --force-reinstall --no-build-isolation --no-deps .
	touch $@

# Python itself leaks, so nothing is said of leaks but by the test that knows how many are Python's.
test-asan: $(ASAN_VENV)/built
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	PYTHONMALLOC=malloc UBSAN_OPTIONS=print_stacktrace=1 \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=8000 \
	    $(ASAN_VENV)/bin/pytest $(ASAN_TESTS)

fuzz: build
	cd tests && ../$(VENV)/bin/python -m fuzz $(if $(INPUTS),--inputs $(INPUTS))

test-faults: build
	LIGHTFM_CLONE_FAULTS=long $(VENV)/bin/pytest -rP tests/test_faults.py tests/test_dask_faults.py

lint: lint-imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PATH="$(VENV)/bin:$$PATH" cython-lint lightfm_clone
	$(VENV)/bin/clang-format --dry-run --Werror $(KERNELS)
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy tests/public_types.py

lint-imports: $(VENV)/lint-tools
	rm -rf $(IMPORTS) && mkdir -p $(IMPORTS) && cp -r lightfm_clone $(IMPORTS)
	cp lightfm_clone/_core.pyi $(IMPORTS)/lightfm_clone/_core.py
	cd $(IMPORTS) && $(CURDIR)/$(VENV)/bin/lint-imports --no-cache --no-logo $(CURDIR)/pyproject.toml

lint-stub: build
	$(VENV)/bin/stubtest --mypy-config-file pyproject.toml --allowlist .ci/stub-allowlist \
	    --ignore-unused-allowlist --ignore-disjoint-bases lightfm_clone._core

format: $(VENV)/lint-tools
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(KERNELS)

$(VENV)/lint-tools: requirements/ci.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP) install $(PINNED)/ci.txt
	touch $@

$(WHEEL_VENV)/tools: requirements/release.txt
	test -x $(WHEEL_VENV)/bin/python || $(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/$(PIP) install $(PINNED)/release.txt
	touch $@

# The wheel is built from the unpacked sdist, so that nothing can be missing there.
wheel: $(WHEEL_VENV)/tools
	rm -rf dist build/wheel
	LIGHTFM_CLONE_STABLE_ABI=1 $(WHEEL_VENV)/bin/python -m build --no-isolation --outdir build/wheel
	PATH="$(CURDIR)/$(WHEEL_VENV)/bin:$$PATH" auditwheel repair --strip --wheel-dir dist build/wheel/*.whl
	$(WHEEL_VENV)/bin/python .ci/pack_wheels.py dist
	cp build/wheel/*.tar.gz dist
	$(WHEEL_VENV)/bin/twine check --strict dist/*
	$(WHEEL_VENV)/bin/python .ci/check_wheel.py dist

test-wheel:
	.ci/test-installed dist/*.whl $(PYTHON) $(TESTS)
	.ci/test-installed dist/*.tar.gz $(PYTHON) $(TESTS)

audit: $(WHEEL_VENV)/tools
	for file in requirements/*.txt benchmarks/requirements.txt; do \
	    $(WHEEL_VENV)/bin/pip-audit --strict --disable-pip --no-deps --requirement $$file || exit; done

# For CPython 3.10 and later, on any system.
lock: $(WHEEL_VENV)/tools
	$(LOCK) --extra test --extra docs --extra lint pyproject.toml requirements/ci.in --output-file requirements/ci.txt
	$(LOCK) requirements/release.in --output-file requirements/release.txt
	$(LOCK) requirements/wheel-test.in --output-file requirements/wheel-test.txt

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
	rm -rf $(VENV) $(DEBUG_VENV) $(ASAN_VENV) $(BENCH_VENV) $(WHEEL_VENV) build dist docs/_build docs/gallery docs/api/generated *.egg-info lightfm_clone/*.so .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
