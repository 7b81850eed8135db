"""Freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from tilewatch.flow.heap import give_back

MEGABYTE = 1 << 20
BLOCK, BLOCKS = 64 << 10, 1024
"""64 MB in blocks that the allocator serves from its heap."""


def resident() -> float:
    """Return the megabytes this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / MEGABYTE


class Knot:
    """Something that only a collection frees."""

    def __init__(self, content: list[bytes]) -> None:
        self.content = content
        self.myself = self


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library decides for itself")
def test_what_cycles_held_in_the_midst_of_the_heap_is_given_back() -> None:
    """Freed alone it would stay: what is in use above it keeps the heap from shrinking."""
    knot = Knot([bytes([1]) * BLOCK for _ in range(BLOCKS)])
    above = [bytes([1]) * BLOCK for _ in range(8)]
    most = resident()
    del knot
    give_back()
    assert resident() < most - 0.5 * BLOCK * BLOCKS / MEGABYTE
    assert above


def test_it_is_not_an_error_where_the_c_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with musl."""
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    give_back()
