"""Waiting for what nobody tells of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.2


def wait_for(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Return what `look` finds as soon as it is something; fails after a while, telling `what` was awaited."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(LOOK_SECONDS)
    return found
