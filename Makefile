# Two commands for newcomers, each of which does all its own set-up:
#   make demo   watch a real taper write, span and restore real files
#   make test   run every check there is
# for those who publish it:
#   make deb    build the Debian package, and try it in a Debian of its own; needs root
#   make dist   build wheel and sdist, and check both
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
DEB ?=

# The longest are cut where their halves take alike, some by the first letters of their files.
NIGHTS = test-nights-a-q test-nights-r-z
ANY_TAPER = test-any-taper-a-r test-any-taper-s-z
HALVES = test-documents test-commands

.PHONY: demo test test-pieces test-programs $(HALVES) test-nights $(NIGHTS) test-any-taper $(ANY_TAPER) \
    test-slowly bench check docs deb dist

# what starts programs of ours, and mostly waits for them
DOCUMENTS = tests/crash tests/docs
COMMANDS = tests/application tests/recovery tests/run tests/tapeserver
SUITES = $(NIGHTS) $(ANY_TAPER) test-pieces $(HALVES)

demo: $(VENV)/.for-use
	$(VENV)/bin/taperctl demo $(DEMO)

# A traceback with marks below its lines parses them, and Python before 3.11.5 has a fault where two
# threads parse at once: what a thread says when it ends badly would end the whole run.
$(SUITES): export PYTHONNODEBUGRANGES = 1

test: check
	$(MAKE) --no-print-directory --jobs=7 --output-sync=target $(SUITES)

# All of them mostly wait for processes, so they run beside each other.
test-pieces: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest --ignore=tests/conformance --ignore=tests/system \
	    $(addprefix --ignore=,$(DOCUMENTS) $(COMMANDS)) $(PYTEST)

test-programs: $(HALVES)

test-documents: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest $(DOCUMENTS) $(PYTEST)

test-commands: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest $(COMMANDS) $(PYTEST)

test-nights: $(NIGHTS)

$(NIGHTS): test-nights-%: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest tests/system/test_[$*]*.py $(PYTEST)

test-any-taper: $(ANY_TAPER)

$(ANY_TAPER): test-any-taper-%: $(VENV)/.for-tests
	$(VENV)/bin/python -m pytest tests/conformance/test_[$*]*.py --taper $(VENV)/bin/taper \
	    $(addprefix --taper ,$(wildcard $(STOCK))) --conformance-report $(VENV)/conformance-$*.txt

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
	$(VENV)/bin/python -m tests.docs.pictures
	$(VENV)/bin/python -m tests.docs.errors

docs: $(VENV)/.for-tests
	$(VENV)/bin/python -m mkdocs build --strict

bench: $(VENV)/.for-tests
	$(VENV)/bin/python -m tests.bench $(BENCH)

# Needs root, mmdebstrap and the network; the Debians that it makes are kept in .venv-deb.
deb: $(VENV)/.for-tests
	$(VENV)/bin/python -m tests.deb $(DEB)

# The wheel is built of the sdist, so that has all that is needed for it.
dist: $(VENV)/.for-tests
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check build check-wheel-contents twine
	rm -rf dist/wheel && mkdir -p dist/wheel
	.venv-dist/bin/python -m build --outdir dist/wheel .
	.venv-dist/bin/python -m twine check --strict dist/wheel/*
	.venv-dist/bin/check-wheel-contents --toplevel devices,protocols,taper,twisted dist/wheel
	$(VENV)/bin/python -m tests.dist dist/wheel

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
