#!/usr/bin/env bash
# Processes videos: ./run.sh VIDEO... [options], ./run.sh --demo. Makes everything it needs on the first call.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

image=${TILEWATCH_IMAGE:-tilewatch:latest}
if [ "${TILEWATCH_LOCAL:-0}" != 1 ] && command -v docker >/dev/null && timeout 3 docker image inspect "$image" >/dev/null 2>&1; then
  echo "run.sh: using the container image $image (TILEWATCH_LOCAL=1 uses the local environment)" >&2
  tty=
  if [ -t 1 ]; then tty=-t; fi
  # the working folder keeps its path inside the container, so that relative and absolute names below it mean the same
  exec docker run --rm -i ${tty:+"$tty"} --user "$(id -u):$(id -g)" -e HOME=/tmp \
    -v "$PWD:$PWD" -w "$PWD" "$image" run "$@"
fi

# shellcheck source=deploy/environment.sh
. "$here/deploy/environment.sh"
prepare_environment "$here"
echo "run.sh: using the local environment $ENVIRONMENT" >&2
exec "$ENVIRONMENT/bin/python" -m tilewatch run "$@"
