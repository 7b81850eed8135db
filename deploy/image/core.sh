#!/bin/sh
# Compiles the Cython core in the working folder, which has setup.py and ext/, with the locked tools: core.sh LOCK. A step of its
# own, so that nothing else that changes compiles anything; app.sh finds what lies in build/ to be up to date.
set -eu
lock=$1
/opt/build/bin/pip install --no-compile --require-hashes --no-deps --only-binary=:all: -r "$lock"
/opt/build/bin/python setup.py -q build_ext --parallel "$(nproc)"
