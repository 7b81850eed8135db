#!/bin/sh
# Writes what Python packages the environment /opt/tilewatch holds as a CycloneDX document: sbom.sh LOCK PYPROJECT FILE.
set -eu
lock=$1 pyproject=$2 file=$3
/opt/build/bin/pip install --no-compile --require-hashes --no-deps --only-binary=:all: -r "$lock"
/opt/build/bin/cyclonedx-py environment --output-reproducible --pyproject "$pyproject" --mc-type application \
  --output-format JSON --output-file "$file" /opt/tilewatch/bin/python
