# Two commands for newcomers, each of which does all its own set-up:
#   make demo   watch a real taper write, span and restore real files
#   make test   run every check there is
# for those who read:
#   make docs   build the documents into a site, build/site
# and for those who change the data plane:
#   make bench  compare speed, CPU, start and memory with the stock taper, and with the kernel alone

PYTHON ?= $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || echo python3)
VENV ?= .venv
STOCK ?= /usr/lib/amanda/taper
DEMO ?=
BENCH ?=
PYTEST ?=
SLOWLY ?=

.PHONY: demo test test-pieces test-programs test-nights test-any-taper test-slowly bench check docs

# what starts programs of ours, and mostly waits for them
PROGRAMS = tests/crash tests/docs tests/application tests/recovery tests/run tests/tapeserver
SUITES = test-nights test-any-taper test-pieces test-programs

demo: $(VENV)/.for-use
	$(VENV)/bin/taperctl demo $(DEMO)

test: check
	$(MAKE) --no-print-directory --jobs=4 --output-sync=target $(SUITES)

# All of them mostly wait for processes, so they run beside each other.
test-pieces: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest --ignore=tests/conformance --ignore=tests/system \
	    $(addprefix --ignore=,$(PROGRAMS)) $(PYTEST)

test-programs: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest $(PROGRAMS) $(PYTEST)

test-nights: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest tests/system $(PYTEST)

test-any-taper: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest tests/conformance --taper $(VENV)/bin/taper \
	    $(addprefix --taper ,$(wildcard $(STOCK))) --conformance-report $(VENV)/conformance.txt

# The same with every process stopped at random: no test may suppose a moment. Takes hours.
test-slowly: $(VENV)/.for-tests
	$(VENV)/bin/python -m tests.slowly $(SLOWLY) \
	    $(MAKE) --no-print-directory $(SUITES)

# Another Python:  make test-pieces test-programs PYTHON=python3.13 VENV=.venv-3.13
check: $(VENV)/.for-tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m tests.docs.references
	$(VENV)/bin/python -m tests.docs.states

docs: $(VENV)/.for-tests
	$(VENV)/bin/python -m mkdocs build --strict

bench: $(VENV)/.for-tests
	$(VENV)/bin/python -m tests.bench $(BENCH)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python lacks the venv module; installing Debian's python3-venv"; \
	  as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	  $$as_root apt-get update -qq && $$as_root apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.for-use: pyproject.toml $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable .
	$(VENV)/bin/python -m compileall -q taper protocols devices
	@touch $@

$(VENV)/.for-tests: pyproject.toml $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[test]'
	$(VENV)/bin/python -m compileall -q taper protocols devices
	@touch $@ $(VENV)/.for-use
