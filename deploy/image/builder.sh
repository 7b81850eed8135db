#!/bin/sh
# Prepares a build stage: builder.sh PACKAGE... installs Debian packages and makes two environments: /opt/tilewatch, which
# the image gets, and /opt/build with the tools that make it.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends binutils gcc libc6-dev "$@"
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/tilewatch
python3 -m venv /opt/build
