"""The compiled core behind facades that allocate, check and document; `reference` holds the numpy twins.

`TILEWATCH_NATIVE=0` in the environment takes the twins instead, for comparison. A missing extension is an error:
nothing falls back to the slow path by itself.
"""

from __future__ import annotations

import os

COMPILED = os.environ.get("TILEWATCH_NATIVE", "1") != "0"
"""True: the facades call the compiled core; False: the numpy twins."""
