#!/bin/sh
# Docker's health check: 0 well, 1 not. Docker shows the line in `docker inspect`; the probe's own codes are finer, and
# Docker keeps every code but these two for itself.
set -u
folder=$(dirname -- "$0")
"${PYTHON:-python3}" -I -S "$folder/probe.py" "$@" || exit 1
