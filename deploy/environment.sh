# Sourced by run.sh and test.sh: makes the virtual environment and the compiled core, once.
# shellcheck shell=bash

# Prints the newest Python from 3.10 on (PYTHON names another); fails with what to do where there is none.
find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "tilewatch needs Python 3.10 or newer: apt-get install python3 python3-venv python3-dev gcc" >&2
  return 1
}

# Fails with what to install where the compiled core cannot be built.
check_compiler() {
  local python=$1
  if ! command -v gcc >/dev/null || ! "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "installing the C compiler and Python's headers" >&2
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev python3-dev python3-venv >&2
    else
      echo "tilewatch compiles its core: apt-get install gcc libc6-dev python3-dev python3-venv" >&2
      return 1
    fi
  fi
}

# Prints a hash of everything the environment is made from.
fingerprint() {
  local root=$1
  cat "$root/pyproject.toml" "$root/setup.py" "$root"/ext/*.pyx "$root"/ext/*.pxd "$root"/ext/*.h 2>/dev/null | sha256sum | cut -d' ' -f1
}

# prepare_environment ROOT [GROUP]: sets ENVIRONMENT to a virtual environment with tilewatch, its compiled core and the
# packages of a dependency group, in ROOT/.venv (TILEWATCH_VENV names another). A second call finds it done.
prepare_environment() {
  local root=$1 group=${2:-run} python stamp want
  ENVIRONMENT=${TILEWATCH_VENV:-$root/.venv}
  stamp=$ENVIRONMENT/.tilewatch-$group
  want=$(fingerprint "$root")
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return; fi
  python=$(find_python)
  check_compiler "$python"
  if [ ! -x "$ENVIRONMENT/bin/python" ]; then
    echo "making the environment $ENVIRONMENT (once, a minute or two)" >&2
    "$python" -m venv "$ENVIRONMENT" || { echo "the venv module is missing: apt-get install python3-venv" >&2; return 1; }
    "$ENVIRONMENT/bin/python" -m pip install -q --disable-pip-version-check --upgrade "pip>=25.1" "setuptools>=77"
  fi
  local groups=()
  [ "$group" = run ] || groups=(--group "$root/pyproject.toml:$group")
  (cd "$root" && "$ENVIRONMENT/bin/python" -m pip install -q --disable-pip-version-check -e . "${groups[@]}")
  # Without what it declares: a second OpenCV, which would take the place of ours.
  [ "$group" != test ] || "$ENVIRONMENT/bin/python" -m pip install -q --disable-pip-version-check --no-deps "trackeval>=1.3,<2"
  echo "$want" >"$stamp"
}
