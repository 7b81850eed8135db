# The commands of everyday work; `make check` is everything CI runs.
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = daemon tests healthcheck setup.py
MANIFESTS = deploy/kubernetes

.PHONY: help install ext ext-debug fmt lint cython-lint types test integration e2e monitoring accuracy bench soak docs run check clean workflow-lint kubernetes docker-lint shell-lint container nvidia-images lock bench-container gpu v4l2

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

lint: cython-lint docker-lint shell-lint workflow-lint ## ruff, import contracts, the other languages, spelling
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

monitoring: ## rules, dashboard, and every alert with its fault, with a real Prometheus
	$(BIN)/pytest tests/monitoring

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

container: ## the images, with a real Docker Engine
	$(BIN)/pytest tests/container -rA

nvidia-images: ## the images for NVIDIA, built over stand-ins for their bases: minutes
	TILEWATCH_NVIDIA_IMAGES=1 $(BIN)/pytest tests/container/test_nvidia_images.py -rA

lock: ## renew the locked dependencies of the images (needs uv); ARGS=--upgrade takes the newest
	deploy/lock.sh $(ARGS)

gpu: ## on a machine with an NVIDIA device: TensorRT on it, and how fast; MODEL=file.engine measures that one
	@[ -x $(BIN)/pytest ] || $(MAKE) --no-print-directory install
	@[ ! -e /dev/nvidiactl ] || $(BIN)/python -c 'import tensorrt' 2>/dev/null || $(BIN)/python -m pip install -q -e '.[nvidia]'
	$(BIN)/pytest tests/gpu
	$(BIN)/python -m tests.gpu.bench_gpu $(if $(MODEL),--model $(MODEL))

v4l2: ## a local camera, in a virtual machine with the kernel's virtual one; emulated where KVM does not run it
	$(BIN)/python -m tests.v4l2.machine

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

bench-container: ## the program in its image (IMAGE=tilewatch:cpu) against the same without: speed, memory, start
	$(BIN)/python -m tests.bench.bench_container $(if $(IMAGE),--image $(IMAGE))

soak: ## kill and stop the service at random moments, damage its videos, let it idle
	$(BIN)/python -m tests.bench.soak
	$(BIN)/python -m tests.bench.soak_mutants
	$(BIN)/python -m tests.bench.soak_idle

docs: ## regenerate what is generated
	$(BIN)/python -m tilewatch config show > .env.example
	$(BIN)/python -m tilewatch config show --format markdown > docs/CONFIGURATION.md

run: ## process the demo clip
	./run.sh --demo

check: ## all of CI
	.ci/run

clean: ## remove everything that was built
	rm -rf build .venv .venv-3.* daemon/tilewatch/native/*.so daemon/*.egg-info .mypy_cache .ruff_cache .pytest_cache
