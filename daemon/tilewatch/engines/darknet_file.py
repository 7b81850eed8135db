"""Darknet's two files: the sections of a .cfg, and the numbers of a .weights in the order the layers ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import F32

LONG_SEEN_VERSION = 2
"""From version 0.2 the header counts the images seen in 64 bits."""
HEADER_WORDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One [section] of a .cfg."""

    kind: str
    line: int
    """Line number of its header, from 1."""
    options: dict[str, str]
    path: Path

    def error(self, problem: str) -> ConfigError:
        """Return an error that says where."""
        return ConfigError(f"{self.path} line {self.line}: [{self.kind}] {problem}")

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an option as a whole number; it must be there when there is no default."""
        values = self.integers(key, None if default is None else [default])
        if len(values) != 1:
            raise self.error(f"{key}={self.options[key]}: one number is needed")
        return values[0]

    def integers(self, key: str, default: list[int] | None = None) -> list[int]:
        """Return an option as whole numbers."""
        numbers = self.numbers(key, None if default is None else [float(value) for value in default])
        if any(value != int(value) for value in numbers):
            raise self.error(f"{key}={self.options[key]}: whole numbers are needed")
        return [int(value) for value in numbers]

    def numbers(self, key: str, default: list[float] | None = None) -> list[float]:
        """Return an option as numbers."""
        if key not in self.options:
            if default is None:
                raise self.error(f"has no {key}")
            return default
        try:
            return [float(word) for word in self.options[key].split(",") if word.strip()]
        except ValueError:
            raise self.error(f"{key}={self.options[key]}: numbers are needed") from None


def read_cfg(path: Path) -> list[Section]:
    """Return the sections of a .cfg, the first of which is [net].

    Raises:
        ConfigError: unreadable, or not a Darknet configuration.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a Darknet .cfg: not a text file") from error
    sections: list[Section] = []
    for number, raw in enumerate(lines, start=1):
        line = raw.split("#")[0].split(";")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            sections.append(Section(kind=line[1:-1].strip().lower(), line=number, options={}, path=path))
        elif line:
            _add_option(path, number, line, sections)
    if not sections or sections[0].kind not in {"net", "network"}:
        raise ConfigError(f"{path} is not a Darknet .cfg: it does not begin with [net]")
    return sections


def _add_option(path: Path, number: int, line: str, sections: list[Section]) -> None:
    key, separator, value = line.partition("=")
    if not separator or not sections:
        raise ConfigError(f"{path} line {number}: neither a [section] nor an option 'name=value': {line[:60]}")
    sections[-1].options[key.strip().lower()] = value.strip()


class Weights:
    """The numbers of a .weights file, taken from front to back."""

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            ConfigError: unreadable, or too short to be one.
        """
        self._path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        if len(content) < 4 * HEADER_WORDS:
            raise ConfigError(f"{path} is no Darknet .weights: {len(content)} bytes")
        header = np.frombuffer(content[: 4 * HEADER_WORDS], "<i4")
        words = HEADER_WORDS + (2 if int(header[0]) * 10 + int(header[1]) >= LONG_SEEN_VERSION else 1)
        body = content[4 * words :]
        self._numbers = np.frombuffer(body[: len(body) // 4 * 4], "<f4")
        self._taken = 0
        self._left_over = len(body) % 4

    def take(self, *shape: int) -> F32:
        """Return the next numbers in a shape.

        Raises:
            ConfigError: the file ends before.
        """
        count = int(np.prod(shape))
        end = self._taken + count
        if end > len(self._numbers):
            raise ConfigError(
                f"{self._path} is cut short or belongs to another .cfg: "
                f"{end} numbers are needed, it holds {len(self._numbers)}"
            )
        values = self._numbers[self._taken : end].reshape(shape)
        self._taken = end
        return values.astype(np.float32)

    def check_all_taken(self) -> None:
        """Refuse a file that holds more than the layers asked for.

        Raises:
            ConfigError: something is left.
        """
        left = len(self._numbers) - self._taken
        if left or self._left_over:
            raise ConfigError(f"{self._path} belongs to another .cfg: {left} numbers are left over")
