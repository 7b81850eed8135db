"""What is told of one video when it is done: the accounts, the manifest, the outcome."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tilewatch.errors import FrameError
from tilewatch.sinks.base import class_name
from tilewatch.sinks.manifest import Accounts, InputRecord, Manifest, Timings, settings_values
from tilewatch.sinks.tally import Tally
from tilewatch.telemetry import log
from tilewatch.telemetry.progress import Outcome, StageRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tilewatch.engines.base import EngineInfo
    from tilewatch.flow.lane import Lane
    from tilewatch.flow.pipeline import Step
    from tilewatch.records import StreamInfo, Tracks
    from tilewatch.settings import Settings
    from tilewatch.sinks.result import ResultFolder
    from tilewatch.telemetry.streams import StreamMetrics
    from tilewatch.video.source import VideoSource

NANOSECONDS = 1e9

logger = log.logger("report")


class VideoReport:
    """Counts one video on its way; the last of its sinks. It reads the file for its fingerprint: make it on a lane."""

    def __init__(
        self, info: StreamInfo, source: VideoSource, settings: Settings, engine: EngineInfo, metrics: StreamMetrics
    ) -> None:
        self._metrics = metrics
        self._source = source
        self._settings = settings
        self._engine = engine
        self._info = info
        self._input = InputRecord.of(info)
        self._tally = Tally()
        self._skips: Counter[str] = Counter()
        self._told = False
        self._changed = False
        self._steps: Sequence[Step] = ()
        self._lanes: dict[str, Lane] = {}
        self._started_at = datetime.now(timezone.utc)
        self._started = time.perf_counter()

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._tally.frames

    @property
    def fingerprint(self) -> str:
        """Of the video, as it was when the work began."""
        return self._input.fingerprint

    def apply(self, settings: Settings) -> None:
        """Take note that other settings are in force from here on."""
        self._settings = settings
        self._changed = True

    def skips(self) -> dict[str, int]:
        """Return the frames skipped behind the decoder, by reason."""
        return dict(self._skips)

    def resume(self, skips: Mapping[str, int]) -> None:
        """Take the skips of an earlier process, whose work goes on here."""
        self._skips.update(skips)

    def watch(self, steps: Sequence[Step], lanes: dict[str, Lane]) -> None:
        """Take the pipeline's parts, whose statistics go into the report."""
        self._steps, self._lanes = steps, lanes

    def skipped(self, stage: str) -> Callable[[FrameError], None]:
        """Return what a stage calls for a frame it had to skip."""

        def count(error: FrameError) -> None:
            if not self._told:
                logger.warning(
                    "frame_skipped", stream=self._info.stream, stage=stage, reason=error.reason, error=str(error)
                )
            self._told = True
            self._metrics.skipped(stage)
            if stage != "decode":  # the source counts its own, those without an error of their own included
                self._skips[error.reason] += 1

        return count

    def write(self, tracks: Tracks) -> None:
        """Count one frame's result."""
        begun = self._tally.add(tracks)
        waited = time.monotonic_ns() - tracks.frame.captured_ns
        boxes = {outcome: getattr(tracks.count, outcome) for outcome in ("kept", "merged", "suppressed")}
        classes = {class_name(self._engine.names, label): count for label, count in begun.items()}
        self._metrics.written(waited / NANOSECONDS, boxes, tracks.looks.outcomes(), classes)

    def close(self) -> None:
        """Do nothing: the report is completed by `complete`."""

    def abort(self) -> None:
        """Do nothing: nothing is open."""

    @property
    def tiles(self) -> Mapping[str, int]:
        """Tiles so far, by what was done."""
        return self._tally.tiles

    def stage_rows(self) -> list[StageRow]:
        """Return the stage table's rows."""
        return [
            StageRow(
                stage=step.name,
                items=step.statistics.items,
                busy=step.statistics.busy_seconds,
                waited_for_input=step.statistics.receive_wait_seconds,
                waited_for_room=step.statistics.send_wait_seconds,
                cpu=self._lanes[step.name].statistics.cpu_seconds if step.name in self._lanes else 0.0,
            )
            for step in self._steps
        ]

    def complete(
        self, folder: ResultFolder, *, interrupted: bool, warnings: Sequence[str] = (), encoder: str | None = None
    ) -> Outcome:
        """Hash the files, write the manifest, and let the result appear; blocking. `encoder`: of the video, if any.

        Raises:
            SinkError: the file system refused; nothing has appeared then.
        """
        seconds = time.perf_counter() - self._started
        said = (*self._warnings(), *warnings)
        for warning in said:
            logger.warning("result_qualified", stream=self._info.stream, warning=warning)
        manifest = self._manifest(folder, seconds, said, interrupted=interrupted)
        replace(manifest, encoder=encoder).write(folder.path("manifest"))
        folder.commit()
        return Outcome(
            input=str(self._info.path),
            status="interrupted" if interrupted else "complete",
            output=str(self._shown(folder)),
            frames=self.frames,
            tracks=self._tally.track_count,
            seconds=round(seconds, 3),
            frames_per_second=round(self.frames / seconds, 2),
            warnings=said,
        )

    def _accounts(self) -> Accounts:
        """Return where frames and boxes went."""
        return Accounts(
            frames_in=self._source.decoded + self._source.damaged,
            frames_written=self.frames,
            frames_skipped=self._skips + Counter({FrameError.reason: self._source.damaged}),
            boxes=self._tally.boxes,
            tiles=self._tally.tiles,
        )

    def _manifest(
        self, folder: ResultFolder, seconds: float, warnings: tuple[str, ...], *, interrupted: bool
    ) -> Manifest:
        names = self._engine.names
        return Manifest(
            status="interrupted" if interrupted else "complete",
            truncated=self._source.truncated,
            warnings=warnings,
            source=self._input,
            engine=self._engine,
            decoder=self._source.decoder,
            settings=settings_values(self._settings),
            accounts=self._accounts(),
            timings=Timings(
                started_at=self._started_at.isoformat(timespec="seconds"),
                wall_seconds=seconds,
                stages={step.name: step.statistics.busy_seconds for step in self._steps},
            ),
            tracks={class_name(names, label): count for label, count in self._tally.tracks.items()},
            outputs=folder.outputs(),
        )

    def _warnings(self) -> list[str]:
        """Return what a person must know of this result."""
        said = [f"{self._info.path.name} ends early: {self._source.reason}"] if self._source.truncated else []
        if self._changed:
            said.append("settings were changed while it was processed: the manifest has the last ones")
        if self._source.damaged:
            said.append(f"{self._source.damaged} damaged frames were skipped")
        if self._source.given_up:
            said.append(f"the hardware decoder failed, software decoded the rest: {self._source.given_up}")
        if self._source.repaired:
            said.append(f"{self._source.repaired} frames had unusable timestamps, which were mended")
        return said

    def _shown(self, folder: ResultFolder) -> Path:
        """Return what to name as the result: the video, else the manifest."""
        return folder.final("video" if "video" in self._settings.output.formats else "manifest")
