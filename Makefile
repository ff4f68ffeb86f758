# Every target sets up what it needs first; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# Python code beside tests; a folder that is absent is left out.
PACKAGES := $(wildcard trueup cdc clickhouse reconcile streams dashboards benchmarks)
# The whole test run, whatever hangs: pytest stops by itself after TEST_SECONDS, and is stopped a little later.
TEST_SECONDS ?= 4950

# Tests and the demo start many processes; without its cache each of them would compile the whole code again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup setup-python demo test check format bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: system packages, .venv, pinned dependencies
	@scripts/setup

setup-python:
	@scripts/setup --python-only

demo: setup ## start everything on this machine and watch it reconcile
	$(BIN)/trueup demo $(ARGS)

# Two files of tests at a time: those with real services wait more than they compute, and one core is left over by one.
test: setup ## all tests: unit first, then those with real services (ARGS=… goes to pytest)
	timeout --foreground --kill-after=60 --signal=INT $$(( $(TEST_SECONDS) + 120 )) \
	  $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --session-timeout=$(TEST_SECONDS) $(ARGS)

check: setup-python ## format, lint, types, imports, dead code, tidiness: checks only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/dead_code.py $(PACKAGES) tests
	$(BIN)/python -m pytest --quiet tests/test_tidy.py

format: setup-python ## format the code and apply the safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## run the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

lock: ## resolve the dependencies of pyproject.toml again (ARGS=--upgrade takes the newest)
	scripts/lock $(ARGS)

clean: ## remove everything that was made here
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist dashboards/static
	find . -name node_modules -type d -prune -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
