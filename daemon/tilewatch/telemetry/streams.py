"""The metrics of one stream, and the labels streams go by.

A camera goes by its configured name. A video goes by the slot it runs in, `file-0` and so on: names of files are
without end, and every one of them would be a dozen series for good.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tilewatch.settings import FILE_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tilewatch.telemetry.metrics import Metrics

INFER, LAST = "infer", "encode"


class Queue(Protocol):
    """A channel, as far as its metrics are concerned."""

    @property
    def name(self) -> str:
        """The stage before it."""

    @property
    def capacity(self) -> int:
        """Most items that can wait in it."""

    def __len__(self) -> int:
        """Return the items that wait in it."""


def file_label(slot: int) -> str:
    """Return the label of the video that runs in a slot."""
    return f"{FILE_LABEL}{slot}"


class FileSlots:
    """Gives every running video the lowest slot that is free."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    @contextmanager
    def take(self) -> Iterator[str]:
        """Hold a slot for the length of the block and give its label."""
        slot = next(slot for slot in range(len(self._taken) + 1) if slot not in self._taken)
        self._taken.add(slot)
        try:
            yield file_label(slot)
        finally:
            self._taken.discard(slot)


class StreamMetrics:
    """The metrics of one stream, with its label bound."""

    def __init__(self, metrics: Metrics, label: str) -> None:
        self.label = label
        self._metrics = metrics

    def down(self) -> None:
        """Show the stream as not running, before it ever did."""
        self._metrics.stream_up.labels(stream=self.label).set(0)

    @contextmanager
    def running(self, channels: Sequence[Queue]) -> Iterator[None]:
        """Show the stream as up, and how full its channels are, for the length of the block."""
        up = self._metrics.stream_up.labels(stream=self.label)
        for channel in channels:
            self._metrics.channel_items.labels(stream=self.label, stage=channel.name).set_function(channel.__len__)
            self._metrics.channel_capacity.labels(stream=self.label, stage=channel.name).set(channel.capacity)
        up.set(1)
        try:
            yield
        finally:
            up.set(0)
            for channel in channels:
                self._metrics.channel_items.remove(self.label, channel.name)
                self._metrics.channel_capacity.remove(self.label, channel.name)

    def given(self, stage: str, seconds: float) -> None:
        """Count an item that a stage has given, after so many seconds of work."""
        self._metrics.stage_duration.labels(stage=stage).observe(seconds)
        self._metrics.frames.labels(stream=self.label, stage=stage, outcome="ok").inc()
        if stage == INFER:
            self._metrics.inference_rate.count()
        elif stage == LAST:
            self._metrics.frames_processed.inc()
            self._metrics.last_frame.labels(stream=self.label).set_to_current_time()

    def skipped(self, stage: str) -> None:
        """Count a frame that a stage could not use."""
        self._metrics.frames.labels(stream=self.label, stage=stage, outcome="skipped").inc()

    def dropped(self, stage: str, frames: int) -> None:
        """Count frames that were discarded behind a stage, since nobody took them in time."""
        self._metrics.frames.labels(stream=self.label, stage=stage, outcome="dropped").inc(frames)

    def waited(self, stage: str, seconds: float) -> None:
        """Count the time a stage waited for room behind it."""
        self._metrics.channel_wait.labels(stage=stage).inc(seconds)

    def written(
        self,
        latency_seconds: float,
        boxes: Mapping[str, int],
        tiles: Mapping[str, int],
        tracks: Mapping[str, int],
    ) -> None:
        """Count a frame's result.

        Args:
            latency_seconds: its age since it was decoded.
            boxes: by outcome.
            tiles: by outcome.
            tracks: reported for the first time, by the name of their class.
        """
        self._metrics.latency.labels(stream=self.label).observe(latency_seconds)
        for outcome, count in boxes.items():
            self._metrics.boxes.labels(stream=self.label, outcome=outcome).inc(count)
        for outcome, count in tiles.items():
            self._metrics.tiles.labels(outcome=outcome).inc(count)
        self._metrics.tracked(tracks)

    def restarted(self, reason: str) -> None:
        """Count a restart; `reason` is that of the error's class."""
        self._metrics.stream_restarts.labels(stream=self.label, reason=reason).inc()
