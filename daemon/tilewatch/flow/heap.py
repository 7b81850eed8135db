"""The process's heap: what was freed goes back to the system."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Collect what only cycles keep alive and return freed memory to the system. Blocking: 30 to 60 ms.

    glibc keeps freed blocks for the thread that took them, so what one thread needed for a moment (a model's copies,
    a codec's pictures) would stay in the process's books beside what the other threads take. Other C libraries have
    no such call and decide for themselves.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
