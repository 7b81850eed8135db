# The commands of everyday work; `make check` is everything CI runs.
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = daemon tests healthcheck setup.py

.PHONY: help install ext ext-debug fmt lint cython-lint docker-lint shell-lint types test integration e2e accuracy container lock bench bench-container soak docs run check clean

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

lint: cython-lint docker-lint shell-lint ## ruff, import contracts, cython-lint, hadolint, shellcheck, spelling
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check -q $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/codespell

cython-lint:
	PATH="$(abspath $(BIN)):$$PATH" cython-lint ext

docker-lint:
	$(BIN)/hadolint Dockerfile.multi

shell-lint:
	$(BIN)/shellcheck --external-sources .ci/run $$(git ls-files '*.sh')

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

container: ## the images, with a real Docker Engine
	$(BIN)/pytest tests/container -rA

lock: ## renew the locked dependencies of the images (needs uv); ARGS=--upgrade takes the newest
	deploy/lock.sh $(ARGS)

bench: ## speed against the bare engine; PEERS=python: against other libraries in that environment too
	$(BIN)/python -m tests.bench.bench_core
	$(BIN)/python -m tests.bench.bench_tracker $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_merge $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_run
	$(BIN)/python -m tests.bench.bench_gate
	$(BIN)/python -m tests.bench.bench_peers $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_mosaic $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_memory

bench-container: ## the program in its image (IMAGE=tilewatch:cpu) against the same without: speed, memory, start
	$(BIN)/python -m tests.bench.bench_container $(if $(IMAGE),--image $(IMAGE))

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
