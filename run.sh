#!/usr/bin/env bash
# Processes videos: ./run.sh VIDEO... [options], ./run.sh --demo. Makes everything it needs on the first call.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

image=${TILEWATCH_IMAGE:-tilewatch:latest}

# Prints docker's options that show a path inside as it is called here; the working folder is there anyway.
mount() {
  local real name
  real=$(realpath -m -- "$1")
  for name in "$real" "$(realpath -ms -- "$1")"; do
    case $name/ in "$PWD"/*) ;; *) printf '%s\n' "-v$real:$name$2" ;; esac
  done
}

# Prints the options for what the arguments name: what exists can be read, where results go can be written.
mounts() {
  local argument previous='' path
  for argument in "$@"; do
    path=${argument#--*=}
    case $previous:$argument in
      -o:*.* | --output:*.* | *:--output=*.*) mkdir -p -- "$(dirname -- "$path")" && mount "$(dirname -- "$path")" '' ;;
      -o:* | --output:* | *:--output=*) mkdir -p -- "$path" && mount "$path" '' ;;
      *) if [ -e "$path" ]; then mount "$path" :ro; fi ;;
    esac
    previous=$argument
  done
}

if [ "${TILEWATCH_LOCAL:-0}" != 1 ] && command -v docker >/dev/null && timeout 3 docker image inspect "$image" >/dev/null 2>&1; then
  echo "run.sh: using the container image $image (TILEWATCH_LOCAL=1 uses the local environment)" >&2
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/tilewatch
  mkdir -p "$cache"
  mapfile -t options < <(mounts "$@" | sort -u)
  if [ -t 1 ]; then options+=(-t); fi
  exec docker run --rm -i "${options[@]}" --user "$(id -u):$(id -g)" -e XDG_CACHE_HOME=/cache -v "$cache:/cache/tilewatch" \
    -v "$PWD:$PWD" -w "$PWD" "$image" run "$@"
fi

# shellcheck source=deploy/environment.sh
. "$here/deploy/environment.sh"
prepare_environment "$here"
echo "run.sh: using the local environment $ENVIRONMENT" >&2
exec "$ENVIRONMENT/bin/python" -m tilewatch run "$@"
