#!/bin/sh
# Compiles the Cython core in the working folder, which has setup.py, pyproject.toml and ext/, with the locked tools: a step
# of its own, so that a change in Python alone does not compile anything.
set -eu
lock=$1
/opt/build/bin/pip install --no-compile --require-hashes --no-deps --only-binary=:all: -r "$lock"
mkdir -p daemon
touch README.md LICENSE # named in pyproject.toml; the real ones come with the rest of the sources
/opt/build/bin/python setup.py -q build_ext --parallel "$(nproc)"
