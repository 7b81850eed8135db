"""MOTChallenge files (https://motchallenge.net/instructions/): ground truth and results, one box a row.

A row is `frame,id,left,top,width,height`, then a confidence (in ground truth: 0 for a box that does not count), a class
and more, which may be missing; separated by commas or blanks. Frames count from 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tilewatch.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    F64: TypeAlias = NDArray[np.float64]

NEEDED = 6
CONFIDENCE, CLASS = 6, 7
"""Columns, from 0."""
LARGEST = 2.0**53
"""Whole numbers beyond it are not told apart."""
SHAPE = "a row is frame,id,left,top,width,height[,confidence[,class]]"


class Boxes(NamedTuple):
    """N boxes of one video."""

    frame: F64
    """(N,) whole numbers from 1."""
    identity: F64
    """(N,) whole numbers, each at most once in a frame."""
    box: F64
    """(N, 4) left, top, width, height, pixels."""
    confidence: F64
    """(N,) 1 where the file has none."""
    label: F64
    """(N,) class; NaN where the file has none."""


def read_boxes(path: Path) -> Boxes:
    """Read a file of boxes with identities; it may be empty.

    Raises:
        InputError: the file cannot be read, or a row is none; names the file, the line and what belongs there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}): give a file of MOTChallenge rows") from error
    seen = dict[tuple[float, float], int]()
    rows = [_row(path, number, line, seen) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    table = np.array(rows, np.float64).reshape(-1, CLASS + 1)
    return Boxes(table[:, 0], table[:, 1], table[:, 2:NEEDED], table[:, CONFIDENCE], table[:, CLASS])


def _row(path: Path, number: int, line: str, seen: dict[tuple[float, float], int]) -> list[float]:
    """Return the first eight columns of a line; `seen` holds the line of every frame and id so far."""
    try:
        values = _values(line)
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from None
    frame, identity, *_ = values
    first = seen.setdefault((frame, identity), number)
    if first != number:
        raise InputError(
            f"{path}, line {number}: id {identity:g} is in frame {frame:g} already, in line {first}: remove one of them"
        )
    return values


def _values(line: str) -> list[float]:
    """Return the first eight columns; a ValueError says what is wrong with them."""
    words = line.split(",") if "," in line else line.split()
    if len(words) < NEEDED:
        raise ValueError(f"{len(words)} columns: {SHAPE}")
    values = [_number(word) for word in words[: CLASS + 1]]
    frame, identity, *_, width, height = values[:NEEDED]
    if frame < 1 or not frame.is_integer() or frame > LARGEST:
        raise ValueError(f"frame {words[0].strip()}: frames are whole numbers from 1")
    if identity < 0 or not identity.is_integer() or identity > LARGEST:
        raise ValueError(f"id {words[1].strip()}: a box needs an identity, a whole number from 0 (is tracking off?)")
    if width < 0 or height < 0:
        raise ValueError(f"width {width:g}, height {height:g}: {SHAPE}, where no size is below 0")
    return values + [1.0, math.nan][len(values) - NEEDED :]


def _number(word: str) -> float:
    """Return a finite number."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{word.strip()!r} is no number: {SHAPE}")
    return value
