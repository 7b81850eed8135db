"""One look at one GPU."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """What a GPU tells at a moment; None: it does not tell."""

    device: str
    """Its number in this machine, as '0': the label in the metrics."""
    name: str
    utilization: float | None = None
    """Share of the time in which it was busy, 0 to 1."""
    memory_used: int | None = None
    """Bytes."""
    memory_total: int | None = None
    """Bytes."""
    temperature: float | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts."""


class GpuMeter(Protocol):
    """Reads the GPUs of this machine; blocking, and for ever where a driver hangs."""

    def read(self) -> Sequence[GpuReading]:
        """Return a reading of each GPU."""


def as_line(readings: Iterable[GpuReading]) -> str:
    """Return readings as one line of JSON."""
    return json.dumps([asdict(reading) for reading in readings])


def from_line(line: str | bytes) -> tuple[GpuReading, ...]:
    """Read what `as_line` wrote.

    Raises:
        ValueError: it is not of that kind.
    """
    try:
        return tuple(GpuReading(**values) for values in json.loads(line))
    except TypeError as error:
        raise ValueError(str(error)) from error
