# `make` says what there is. Every target first makes sure that everything is installed, which takes no time when it is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
WORKERS ?= 2
MACHINES ?= trixie bookworm

.PHONY: help install dev demo images test bench lint reference machines

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## bring what Siteferry needs to run (Debian packages, .venv)
	@scripts/install.sh

dev: ## the same and what its tests need
	@scripts/install.sh --dev

demo: install ## clone a demo site before your eyes (ONCE=1: end when the clone is done)
	@$(BIN)/python -m demo $(if $(ONCE),--once) $(ARGS)

images: ## Docker images for compose.yaml (BASE=debian:13-slim: another base; BOOTSTRAP=1: one made here, without a registry)
	@BASE=$(BASE) scripts/images.sh $(if $(BOOTSTRAP),--bootstrap)

test: dev $(if $(COMPOSE),images) ## all tests, on real servers (ARGS='-k words' for some; VERSIONS=1, MYSQL=1: sources of other releases too; KUBERNETES=1: builds one, 10 min, once; COMPOSE=1: builds images, on a Docker engine; KILLS=120: everything killed; THOROUGH=1: each server in each step)
	@$(if $(KUBERNETES),$(BIN)/python -m tests.kubernetes.bed)
	@VERSIONS=$(VERSIONS) MYSQL=$(MYSQL) KILLS=$(KILLS) COMPOSE=$(COMPOSE) scripts/scratch.sh $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: install ## measure, each result one line of JSON (BENCH=name for one)
	@scripts/scratch.sh $(BIN)/python -m benchmarks $(BENCH)

lint: dev ## style, types, import rules, PHP and shell syntax
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	find . -name '*.php' -not -path './.venv/*' -print0 | xargs -0 -r -n 1 -P 2 php -n -l >/dev/null
	shellcheck scripts/*.sh .ci/run

reference: dev ## docs/reference, from the code
	$(BIN)/python scripts/reference.py

machines: dev ## the demo on new machines, as root and as a user with sudo (MACHINES='trixie bookworm noble')
	set -e; for suite in $(MACHINES); do scripts/try-on.sh $$suite; scripts/try-on.sh --user $$suite; done
