"""Real clips, weights and ground truth that lie outside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("TILEWATCH_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
"""Folder of the real data; TILEWATCH_TEST_DATA names another."""


def data_path(name: str) -> Path:
    """Return the path of a real file, or skip the test saying which is missing; TILEWATCH_REQUIRE_DATA=1 fails it."""
    path = ROOT / name
    if not path.exists():
        if os.environ.get("TILEWATCH_REQUIRE_DATA") == "1":
            pytest.fail(f"real data absent: {path}")
        pytest.skip(f"real data absent: {name} (set TILEWATCH_TEST_DATA)")
    return path
