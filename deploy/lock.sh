#!/usr/bin/env bash
# Locks what the images are built from into deploy/locks: deploy/lock.sh [--upgrade]. Without it versions that still satisfy
# pyproject.toml stay; with it the newest are taken. Needs uv (pip install uv) and the network.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
options=("$@")

# lock NAME PYTHON PLATFORM [OPTION...] < requirements
lock() {
  local name=$1 python=$2 platform=$3
  shift 3
  uv pip compile --quiet --generate-hashes --only-binary :all: --python-version "$python" --python-platform "$platform" \
    --custom-compile-command "make lock" "${options[@]}" "$@" --output-file "deploy/locks/$name.txt" -
}

# table KEY...: prints the list at this place of pyproject.toml, one item a line.
table() {
  python3 -c '
import sys
try:
    import tomllib
except ModuleNotFoundError:
    from pip._vendor import tomli as tomllib
found = tomllib.load(open("pyproject.toml", "rb"))
for key in sys.argv[1:]:
    found = found[key]
print("\n".join(found))' "$@"
}

# OpenVINO takes its reporting package along, which tilewatch never lets it import.
table project dependencies | lock cpu 3.11 x86_64-manylinux_2_35 --no-emit-package openvino-telemetry
# On NVIDIA machines TensorRT takes OpenVINO's place. It and CUDA's libraries come with the base image or from NVIDIA's
# repository, not from here, and the bindings must fit a driver for CUDA 12. SymPy and coloredlogs serve ONNX Runtime's tools,
# which no image has.
nvidia() {
  local name=$1 platform=$2 cuda=$3
  { table project dependencies; table project optional-dependencies nvidia | grep -vE '^(tensorrt|nvidia-cuda)'; } |
    lock "$name" 3.10 "$platform" --constraint <(echo "$cuda") --no-emit-package openvino --no-emit-package openvino-telemetry \
      --no-emit-package sympy --no-emit-package mpmath --no-emit-package coloredlogs --no-emit-package humanfriendly
}
nvidia cuda x86_64-manylinux_2_35 'cuda-python<13'
nvidia jetson aarch64-manylinux_2_35 'cuda-python<12.7'
table build-system requires | lock build 3.10 x86_64-manylinux_2_35
echo "cyclonedx-bom>=7,<8" | lock sbom 3.10 x86_64-manylinux_2_35
# The packages that the default model and the demo clip lie in, as engines/zoo.py names them.
sed -n 's/^ *"\([A-Za-z0-9-]*==[0-9.]*\)",$/\1/p' daemon/tilewatch/engines/zoo.py | lock model 3.10 x86_64-manylinux_2_35 --no-deps
