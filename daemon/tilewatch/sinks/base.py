"""What every sink offers: rows or pictures of one stream, written in frame order on the encode lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.records import StreamInfo, Tracks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SinkContext:
    """What a sink may need to know beside the tracks."""

    info: StreamInfo
    names: tuple[str, ...]
    """Class names by index; `class_name` covers indices beyond it."""
    tracking: bool
    """False: track ids are all 0 and mean nothing."""

    def class_name(self, label: int) -> str:
        """Return the name of a class of this stream's model."""
        return class_name(self.names, label)


def class_name(names: Sequence[str], label: int) -> str:
    """Return the name of a class, 'class_7' where the model does not tell."""
    return names[label] if 0 <= label < len(names) else f"class_{label}"


class Sink(Protocol):
    """One output file, built under a temporary path by whoever made the sink.

    A sink opens its file lazily or in its constructor, and never holds all rows in memory.
    """

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result.

        Raises:
            SinkError: the file or the encoder refused; DiskFullError when the volume is full.
        """

    def close(self) -> None:
        """Complete the file. Idempotent.

        Raises:
            SinkError: as in `write`.
        """

    def abort(self) -> None:
        """Let go of the file without completing it; never raises. Idempotent, also after `close`."""
