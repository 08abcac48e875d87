# GNU make (gmake on the BSDs). `make help` lists the targets.

PYTHON ?= python3
PREFIX ?= $(HOME)/.local
ARGS ?=
# The tests of one file share sockets, so a file stays with one worker. Some wait more than they work.
PARALLEL := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist loadfile
PYTEST_ARGS ?=

# The supported Python versions, oldest first, as pyproject.toml names them.
VERSIONS := $(shell sed -n 's/.*Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)

BIN := .venv/bin
MAN := man/netinspect.1

.DEFAULT_GOAL := help
.PHONY: help run test lint type package bench bench-captures soak explore man install uninstall clean venv venv-dev

help: ## show this list
	@echo 'usage: make TARGET [PYTHON=python3.12]'
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1\t/p' Makefile | expand -t 14

run: venv ## run from the checkout: make run ARGS="--state listen --json"
	@$(BIN)/netinspect $(ARGS)

test: lint type package ## all checks and tests, then the tests on the oldest and the newest Python here
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)
	@scripts/test-others '$(VERSIONS)' $(PARALLEL) $(PYTEST_ARGS)

lint: venv-dev ## format and lint checks, of the man page too
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@scripts/lint-man $(MAN)

type: venv-dev ## type checks, as the oldest and as the newest supported Python
	@$(MAKE) --no-print-directory -j2 type-$(firstword $(VERSIONS)) type-$(lastword $(VERSIONS))

type-%:
	$(BIN)/mypy --python-version $*

package: venv-dev ## build sdist and wheel, check that they are complete
	$(BIN)/python scripts/check_package.py

bench: venv-dev ## the measurements, beside ss, lsof and netstat
	@$(BIN)/python -m benchmarks $(ARGS)

bench-captures: venv-dev ## reading captured output, beside a plain split() of its lines
	@$(BIN)/python -m benchmarks.captures $(ARGS)

soak: venv-dev ## the tests that take minutes
	$(BIN)/python -m pytest -m soak $(PYTEST_ARGS)

explore: venv-dev ## the tests with many more examples, other ones each time
	$(BIN)/python -m pytest --hypothesis-profile=explore $(PARALLEL) $(PYTEST_ARGS)

man: ## read the manual page
	@man -l $(MAN) 2>/dev/null || man ./$(MAN)

install: ## install into PREFIX (~/.local): lib/netinspect, bin/ and share/man/
	@scripts/install '$(PREFIX)' '$(PYTHON)'

uninstall: ## undo `make install`
	@scripts/install --remove '$(PREFIX)'

clean: ## remove the virtual environments, caches and what was built
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@scripts/venv .venv '$(PYTHON)'

venv-dev:
	@scripts/venv .venv '$(PYTHON)' dev
