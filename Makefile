# make help shows what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PARALLEL ?= -n 2 --dist loadfile
SOURCES := gateway consent mappings profiles tests benchmarks

# What is compiled is kept, beside what is installed: hundreds of processes and thousands of tests begin with it.
export PYTHONDONTWRITEBYTECODE =
export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/pycache

.DEFAULT_GOAL := help
.PHONY: help demo install test check lint types imports fast prove prove-all bench docs lock clean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.core: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	@touch $@

$(VENV)/.dev: pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core ## install into .venv and start the whole simulated region
	$(BIN)/gateway demo

install: $(VENV)/.dev ## install with everything the checks need

test: $(VENV)/.dev ## install and run all tests with branch coverage (10 minutes)
	$(BIN)/python -m pytest -m "not proof" --cov --cov-report=term:skip-covered -q $(PARALLEL)

check: $(VENV)/.dev ## what must be green before each commit (60 seconds)
	@$(MAKE) --no-print-directory -j 2 lint types imports
	@$(MAKE) --no-print-directory fast

lint: $(VENV)/.dev ## ruff and spelling
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/codespell

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy --no-error-summary

imports: $(VENV)/.dev ## the import contracts of docs/architecture.md
	$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports

fast: $(VENV)/.dev ## the fast tests
	$(BIN)/python -m pytest -m "not slow and not proof and not real_inputs" -q -x $(PARALLEL)

prove: $(VENV)/.dev ## seeded samples of the long proofs (25 minutes)
	$(BIN)/python -m pytest -m proof -q $(PARALLEL)

prove-all: $(VENV)/.dev ## the long proofs in full (hours)
	PROVE_ALL=1 $(BIN)/python -m pytest -m proof -q --timeout=0

bench: $(VENV)/.dev ## measure, and print ratios
	$(BIN)/python -m benchmarks

docs: $(VENV)/.dev ## write the pages and blocks that are made from the code
	$(BIN)/python -m tests.documentation

lock: $(VENV)/.dev ## write requirements.lock from what is installed
	$(BIN)/python -m pip freeze --exclude-editable > requirements.lock

clean: ## remove what was made
	rm -rf $(VENV) .mypy_cache .ruff_cache .gateway-demo
