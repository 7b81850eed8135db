#!/usr/bin/env bash
# Runs the tests: ./test.sh [pytest options]. Makes the environment and the compiled core on the first call.
# Tests on real footage read TILEWATCH_TEST_DATA (default: ../shared/data) and report themselves skipped without it.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=deploy/environment.sh
. "$here/deploy/environment.sh"
prepare_environment "$here" test
cd "$here"
# Many tests wait for a process of their own: one worker more than there are cores keeps these busy.
[ $# -gt 0 ] || set -- -n "$(($(nproc) + 1))" --dist worksteal
exec "$ENVIRONMENT/bin/python" -m pytest "$@"
