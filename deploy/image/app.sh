#!/bin/sh
# Builds tilewatch's wheel from the working folder, where core.sh has been, and leaves it in /app as it lies in the image.
set -eu
/opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist .
/opt/tilewatch/bin/pip install --no-deps --no-compile --no-index --find-links dist --root /app tilewatch
strip --strip-unneeded /app/opt/tilewatch/lib/python3.*/site-packages/tilewatch/native/*.so
find /app -name '*.pyi' -delete
# Compiled under the name they will have, so that a traceback names the real file.
/opt/tilewatch/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /app -p / /app/opt/tilewatch/lib
