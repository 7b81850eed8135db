"""What is to be told of a camera's result, counted frame by frame: by who records it, or by who completes it later."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from tilewatch.sinks.base import class_name
from tilewatch.sinks.manifest import Accounts, InputRecord, Manifest, Timings
from tilewatch.sinks.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilewatch.records import Tracks
    from tilewatch.service.card import Card
    from tilewatch.sinks.result import ResultFolder

GAP_SECONDS = 2.0
"""Time without a picture from which on a person is told of it."""


class Account:
    """Counts one result; times are Unix time."""

    def __init__(self, begin: float) -> None:
        self.lost: Counter[str] = Counter()
        """Frames of this stretch of time that were not written, by reason."""
        self.tally = Tally()
        self.begin = begin
        """Time of the first frame, seconds."""
        self._end = begin
        self._gaps = 0
        self._gap_seconds = 0.0

    @property
    def seconds(self) -> float:
        """Time from the first frame to the last."""
        return self._end - self.begin

    def count(self, tracks: Tracks) -> Mapping[int, int]:
        """Count a frame that is written, and return the tracks in it that are reported for the first time, by label."""
        gap, self._end = tracks.frame.seconds - self._end, tracks.frame.seconds
        if gap > GAP_SECONDS:
            self._gaps += 1
            self._gap_seconds += gap
        return self.tally.add(tracks)

    def warnings(self, said: Iterable[str], card: Card) -> tuple[str, ...]:
        """Return what a person must know of the result; `said` is of the video."""
        told = list(said)
        if self._gaps:
            told.append(f"no pictures for {self._gap_seconds:.1f} s in all, {self._gaps} times")
        if card.changed:
            told.append("settings were changed while it was recorded: the manifest has the last ones")
        return (*told, *(f"{count} frames were left out: {reason}" for reason, count in sorted(self.lost.items())))

    def manifest(
        self,
        card: Card,
        folder: ResultFolder,
        *,
        status: Literal["complete", "interrupted"],
        warnings: tuple[str, ...],
        encoder: str | None,
    ) -> Manifest:
        """Return the manifest of a result whose files are complete.

        Raises:
            SinkError: one of them cannot be read.
        """
        info = replace(card.info, duration_seconds=self.seconds)
        moment = datetime.fromtimestamp(self.begin, timezone.utc).isoformat(timespec="milliseconds")
        return Manifest(
            status=status,
            truncated=False,
            warnings=warnings,
            source=InputRecord(name=info.stream, size=0, fingerprint="", info=info),
            engine=card.engine,
            decoder=info.decoder,
            encoder=encoder,
            settings=card.settings,
            accounts=self._accounts(),
            timings=Timings(started_at=moment, wall_seconds=self.seconds, stages={}),
            tracks={class_name(card.engine.names, label): count for label, count in self.tally.tracks.items()},
            outputs=folder.outputs(),
        )

    def _accounts(self) -> Accounts:
        tally = self.tally
        return Accounts(
            frames_in=tally.frames + self.lost.total(),
            frames_written=tally.frames,
            frames_skipped=self.lost,
            boxes=tally.boxes,
            tiles=tally.tiles,
        )
