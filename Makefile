# Everything a developer or CI runs. `make` alone lists the targets.
#   PYTHON=/path/to/python3  which interpreter makes .venv (default: the first >= 3.11 found)
#   ARGS="…"                 passed on by `make demo`, `make test`, `make soak-…`, `make sim`, `make reconcile-million` and `make bench`
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The tests start our programs hundreds of times: their bytecode is kept, whatever the machine's own habit is.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
ENVIRONMENT := $(VENV)/.environment-is-made
PROJECT := $(VENV)/.project-is-installed
NODE := .tools/.dev-chain-is-installed
SECOND_NODE := .tools/.second-dev-chain-is-installed
CODE := src tests tools
SIMULATION := $(BIN)/python -m tests.unit.simulation
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

# A new package, or a changed entry point, needs the (one-second) installation again.
PACKAGES := $(wildcard src/custody_*/__init__.py src/adapters/custody_*/__init__.py src/entrypoints/custody_*/__init__.py)

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(PROJECT) ## make .venv from the hash-pinned locks (a second run is instant)
	@:

$(ENVIRONMENT): requirements/build.txt requirements/dev.txt
	@tools/setup.sh environment
	@touch $@

$(PROJECT): $(ENVIRONMENT) pyproject.toml $(PACKAGES)
	@tools/setup.sh project
	@touch $@

.PHONY: node
node: $(NODE) $(SECOND_NODE) ## install the dev chains (anvil; hardhat as the tests' second opinion) into .tools
	@:

$(NODE): $(ENVIRONMENT) tools/devnode/install.py tools/devnode/package.json tools/devnode/package-lock.json
	@$(BIN)/python tools/devnode/install.py >/dev/null
	@touch $@

# Linux on x86-64 only, as its lock: elsewhere the tests on it are left out.
$(SECOND_NODE): $(NODE) tools/hardhat/install.py tools/hardhat/package.json tools/hardhat/package-lock.json tools/hardhat/hardhat.config.js
	@case "$$(uname -sm)" in "Linux x86_64") $(BIN)/python -m tools.hardhat.install >/dev/null;; esac
	@touch $@

.PHONY: demo
demo: setup $(NODE) ## the main job in front of you, on a local dev chain (ARGS=--once ends after it)
	@$(BIN)/custody demo $(ARGS)

# What runs whole processes takes minutes: at a desk it waits for test-http and test-kills; CI runs it, with a sample of the kills.
ifeq ($(CI),true)
LONG := -m "not kills and not soak"
else
LONG := -m "not soak" --ignore=tests/integration/http --ignore=tests/integration/processes
endif

.PHONY: test
test: setup node lint typecheck ## lint, types, the tests and the simulation; with CI=true those of running processes, too (ARGS goes to pytest)
	@$(PYTEST) $(LONG) $(ARGS)
	@$(if $(ARGS),:,$(MAKE) --no-print-directory sim)

.PHONY: test-http
test-http: setup node ## the web process for real: parallel, malformed and slow requests, start and end
	@$(PYTEST) tests/integration/http $(ARGS)

.PHONY: test-kills
test-kills: setup node ## real processes killed at every call of a send, paused, stopped, taken over from
	@$(PYTEST) tests/integration/processes $(ARGS)

# SEED=7 repeats what chance chose (kills, losses, reorganisations; not the machine's own timing); SENDS=100 makes it shorter.
.PHONY: soak-sending
soak-sending: setup $(NODE) ## 1,000 sends while workers are killed, answers lost, blocks replaced (SEED=7, SENDS=100)
	@$(BIN)/python -m tests.soak sending $(if $(SEED),--seed $(SEED)) $(if $(SENDS),--sends $(SENDS)) $(ARGS)

.PHONY: soak-receiving
soak-receiving: setup $(NODE) ## 1,000 deposits among 10,000 look-alikes, kills, reorganisations, a node that lies (SEED=7, DEPOSITS=100)
	@$(BIN)/python -m tests.soak receiving $(if $(SEED),--seed $(SEED)) $(if $(DEPOSITS),--deposits $(DEPOSITS)) $(ARGS)

.PHONY: catch-up
catch-up: setup $(NODE) ## a service that missed 50,000 blocks with 500 deposits finds them all, at 200 blocks a second or more
	@$(BIN)/python -m pytest -q -m soak tests/integration/test_catching_up.py $(ARGS)

# SEED=7 tells one story again; where it fails it shows its trace and makes it short. STEPS is how many before the trouble ends.
.PHONY: sim
sim: setup ## seeded stories: the core over faulty ports, every promise checked at every step (SEED=7, STEPS=2000, SEEDS=500)
	@$(SIMULATION) stories $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)
	@$(if $(SEED)$(ARGS),:,$(SIMULATION) crashes --thinned)

.PHONY: sim-long
sim-long: setup ## the same for half an hour: 2,500 stories, deep ones, all crash points and pairs (SEEDS=500, ARGS=--write)
	@$(SIMULATION) long $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

.PHONY: sim-ends
sim-ends: setup ## how every workflow ends, compared with how it is written (ARGS=--write, then read what has changed)
	@$(SIMULATION) ends $(ARGS)

.PHONY: sim-bugs
sim-bugs: setup ## which stories see the planted bugs (ARGS=--keep writes the short ones that tests tell)
	@$(SIMULATION) bugs $(ARGS)

.PHONY: sim-reach
sim-reach: setup ## lines, branches and edges of states of the core that stories and workflows reach (ARGS=--write)
	@$(SIMULATION) reach $(ARGS)

.PHONY: sim-mutants
sim-mutants: setup ## a sample of small changes of the core, and whether stories or unit tests see them (ARGS="--sample 50 --write")
	@$(SIMULATION) mutants $(ARGS)

.PHONY: reconcile-million
reconcile-million: setup ## how long reconciling a million wallets takes (WALLETS=10000 for fewer, ARGS=--postgres)
	@$(BIN)/python -m tests.scale $(if $(WALLETS),--wallets $(WALLETS)) $(ARGS)

.PHONY: test-unit
test-unit: setup ## the fast half: no node, no network, under 30 seconds
	@$(PYTEST) -m "not slow" tests/unit $(ARGS)

.PHONY: lint
lint: setup ## ruff: rules and format
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/ruff format --quiet --check $(CODE) || { echo "lint: run 'make format'"; exit 1; }

.PHONY: format
format: setup ## put the code into ruff's format and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix $(CODE) || true
	@$(BIN)/ruff format --quiet $(CODE)

.PHONY: typecheck
typecheck: setup ## mypy, strict
	@$(BIN)/mypy --no-error-summary

.PHONY: coverage
coverage: setup node ## line and branch coverage of the tests
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -m "not soak" $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: bench
bench: setup $(NODE) ## measure beside the peers (ONLY=P1,P5 for some, ARGS=--write into docs/benchmarks.md)
	@$(BIN)/python -m tests.benchmarks $(ONLY) $(ARGS)

# No header and no index lines: a lock names packages and hashes, never a download host.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE)

.PHONY: lock
lock: setup ## renew requirements/*.txt from pyproject.toml (UPGRADE=--upgrade for newer releases)
	@$(COMPILE) -o requirements/build.txt requirements/build.in
	@$(COMPILE) -o requirements/node.txt requirements/node.in
	@$(COMPILE) -o requirements/bench.txt requirements/bench.in
	@$(COMPILE) -o requirements/bench-etl.txt requirements/bench-etl.in
	@$(COMPILE) -o requirements/runtime.txt pyproject.toml
	@$(COMPILE) -o requirements/dev.txt -c requirements/runtime.txt --extra dev pyproject.toml
	@$(COMPILE) -o requirements/service.txt -c requirements/dev.txt --extra http --extra postgres pyproject.toml

.PHONY: docs
docs: setup ## write the generated pages of docs again (a test says when they are old)
	@$(BIN)/python tools/docs/states.py
	@$(BIN)/python tools/docs/commands.py

.PHONY: contracts
contracts: setup ## compile the test contracts again (only when a .sol file changed)
	@$(BIN)/python tools/contracts/compile.py

.PHONY: clean
clean: ## remove .venv, .tools, .bench and every cache
	@rm -rf $(VENV) .tools .bench build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
