"""Classes as the operator gives them: LABELS_PATH, one name a line; CLASSES, the names or numbers that count."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tilewatch.records import Bool


def from_file(path: Path) -> tuple[str, ...]:
    """Return the class names of a text file, line 1 is class 0; empty lines at the end do not count.

    Raises:
        ConfigError: no such file, not UTF-8 text, or no names in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"LABELS_PATH={path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"LABELS_PATH={path} is not a text file: give one class name a line, UTF-8") from error
    names = tuple(line.strip() for line in text.rstrip().splitlines())
    if not names:
        raise ConfigError(f"LABELS_PATH={path} holds no names: give one class name a line")
    return names


def wanted(words: Sequence[str], names: Sequence[str], classes: int | None) -> Bool | None:
    """Return (C,) bool, True for the classes that CLASSES names; None when it names none, which means all.

    Args:
        words: class names or numbers.
        names: the model's class names; may be empty.
        classes: number of the model's classes; None where the head does not tell.

    Raises:
        ConfigError: a word is neither a class name nor a number of one; says the nearest name.
    """
    if not words:
        return None
    labels = [_label(word, names, classes) for word in words]
    mask = np.zeros(max(classes or 0, len(names), max(labels) + 1), np.bool_)
    mask[labels] = True
    return mask


def _label(word: str, names: Sequence[str], classes: int | None) -> int:
    if word in names:
        return names.index(word)
    if word.isdecimal() and (classes is None or int(word) < classes):
        return int(word)
    close = difflib.get_close_matches(word, names, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"it knows {', '.join(names) or f'{classes} classes by number'}"
    raise ConfigError(f"CLASSES={word}: the model has no such class: {remedy}")
