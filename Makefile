# The commands of everyday work; `make check` is everything CI runs.
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = daemon tests healthcheck setup.py

.PHONY: help install ext ext-debug fmt lint cython-lint types test integration e2e accuracy gpu bench soak docs run check clean

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

lint: cython-lint ## ruff, import contracts, cython-lint, spelling
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check -q $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/codespell

cython-lint:
	PATH="$(abspath $(BIN)):$$PATH" cython-lint ext

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

gpu: ## on a machine with an NVIDIA device: TensorRT on it, and how fast; MODEL=file.engine measures that one
	@[ -x $(BIN)/pytest ] || $(MAKE) --no-print-directory install
	@[ ! -e /dev/nvidiactl ] || $(BIN)/python -c 'import tensorrt' 2>/dev/null || $(BIN)/python -m pip install -q -e '.[nvidia]'
	$(BIN)/pytest tests/gpu
	$(BIN)/python -m tests.gpu.bench_gpu $(if $(MODEL),--model $(MODEL))

bench: ## speed against the bare engine; PEERS=python: against other libraries in that environment too
	$(BIN)/python -m tests.bench.bench_core
	$(BIN)/python -m tests.bench.bench_tracker $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_merge $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_run
	$(BIN)/python -m tests.bench.bench_gate
	$(BIN)/python -m tests.bench.bench_peers $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_mosaic $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python -m tests.bench.bench_memory
	$(BIN)/python -m tests.bench.bench_gpu_host
	$(BIN)/python -m tests.bench.bench_orin_model

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
