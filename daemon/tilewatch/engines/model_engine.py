"""What every engine shares: its options, and the facts that are known once a model is open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tilewatch.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.base import EngineInfo, Feeding, Slot
    from tilewatch.engines.heads import Head
    from tilewatch.engines.options import EngineOptions
    from tilewatch.records import F32, Frame, Tiles


class ModelEngine(ABC):
    """One model on one device (see base.Engine for the contract of every method)."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._facts: tuple[EngineInfo, Feeding, Head] | None = None

    @property
    def info(self) -> EngineInfo:
        """What is in use; valid after `open`, the head's variant after `warm_up`."""
        return self._known()[0]

    @property
    def feeding(self) -> Feeding:
        """How to feed it; valid after `open`, and smaller after `warm_up` where the device's memory was short."""
        return self._known()[1]

    @property
    def head(self) -> Head:
        """How to read its outputs; valid after `warm_up`."""
        return self._known()[2]

    def _known(self) -> tuple[EngineInfo, Feeding, Head]:
        if self._facts is None:
            raise EngineError(f"the engine for {self.options.model} has not been opened")
        return self._facts

    def set_floor(self, score: float) -> None:  # noqa: B027 -- what most engines do about it is nothing
        """Say which score no reader of the outputs asks below; from the next submit on, from any thread.

        An engine may then leave out what lies below; one that hands out the model's own outputs ignores it.
        """

    @abstractmethod
    def open(self) -> None:
        """Load the model; sets `_facts`."""

    @abstractmethod
    def warm_up(self) -> None:
        """Run full batches through, and settle the head."""

    @abstractmethod
    def cut(self, frame: Frame, tiles: Tiles) -> Slot:
        """Take what is needed of a frame; from any thread."""

    @abstractmethod
    def submit(self, parts: Sequence[tuple[Slot, int]]) -> None:
        """Start inference of some tiles."""

    @abstractmethod
    def collect(self) -> tuple[F32, ...]:
        """Wait for the oldest submit."""

    @abstractmethod
    def release(self, slot: Slot) -> None:
        """Give a slot back; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Free everything."""
