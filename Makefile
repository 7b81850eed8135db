# The commands of everyday work; `make check` is everything CI runs.
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = daemon tests healthcheck setup.py
MANIFESTS = deploy/kubernetes

.PHONY: help install ext ext-debug fmt lint cython-lint workflow-lint types test integration e2e accuracy kubernetes bench soak docs run check clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: ## the environment with all development packages
	. deploy/environment.sh && prepare_environment "$(CURDIR)" test
	$(BIN)/python -m pip install -q --group lint --group test

ext: ## compile the Cython core in place
	$(BIN)/python setup.py -q build_ext --inplace

ext-debug: ## the same with bounds checks
	DEBUG_EXT=1 $(BIN)/python setup.py -q build_ext --inplace --force

fmt: ## format
	$(BIN)/ruff check -q --fix $(SOURCES)
	$(BIN)/ruff format -q $(SOURCES)

lint: cython-lint workflow-lint ## ruff, import contracts, cython-lint, workflows, manifests, spelling
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check -q $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/codespell

cython-lint:
	PATH="$(abspath $(BIN)):$$PATH" cython-lint ext

workflow-lint:
	$(BIN)/yamllint --strict .github $(MANIFESTS)
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema -q --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --min-severity medium .github
	$(BIN)/shellcheck .github/*.sh deploy/jetson/*.sh

types: ## mypy, strict, for Python 3.10
	$(BIN)/mypy daemon tests healthcheck

test: ## unit tests
	$(BIN)/pytest tests/unit

integration: ## real decoders, encoders and engines
	$(BIN)/pytest tests/integration

e2e: ## the program as a process
	$(BIN)/pytest tests/e2e

accuracy: ## detection, merge and tracking against ground truth
	$(BIN)/pytest tests/accuracy -rA

kubernetes: ## what checkov thinks of the rendered manifests (in an environment of its own: .venv-checkov)
	[ -x .venv-checkov/bin/checkov ] || { python3 -m venv .venv-checkov && .venv-checkov/bin/pip install -q checkov; }
	mkdir -p build/kubernetes/cpu build/kubernetes/nvidia build/kubernetes/jetson
	$(BIN)/kubectl kustomize $(MANIFESTS)/engine >build/kubernetes/nvidia/engine.yaml
	for overlay in cpu nvidia jetson; do \
	  $(BIN)/kubectl kustomize $(MANIFESTS)/overlays/$$overlay >build/kubernetes/$$overlay/manifests.yaml && \
	  .venv-checkov/bin/checkov --config-file $(MANIFESTS)/checkov.yaml -d build/kubernetes/$$overlay || exit 1; \
	done

bench: ## speed against the bare engine; PEERS=python: against other libraries in that environment too
	$(BIN)/python -m tests.bench.bench_core
	$(BIN)/python -m tests.bench.bench_tracker $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_merge $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_run
	$(BIN)/python -m tests.bench.bench_gate
	$(BIN)/python -m tests.bench.bench_peers $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_mosaic $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_memory

soak: ## kill and stop the service at random moments
	$(BIN)/python -m tests.bench.soak

docs: ## regenerate what is generated
	$(BIN)/python -m tilewatch config show > .env.example
	$(BIN)/python -m tilewatch config show --format markdown > docs/CONFIGURATION.md

run: ## process the demo clip
	./run.sh --demo

check: ## all of CI
	.ci/run

clean: ## remove everything that was built
	rm -rf build .venv .venv-3.* daemon/tilewatch/native/*.so daemon/*.egg-info .mypy_cache .ruff_cache .pytest_cache
