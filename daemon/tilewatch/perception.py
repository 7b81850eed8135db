"""From a decoded frame to its tracks: the tile, infer and track stages of a stream, joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.flow.echo import Echo
from tilewatch.flow.pipeline import Step, each
from tilewatch.motion.gate import LAG_FRAMES
from tilewatch.stages.infer import infer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from tilewatch.detector import Detector
    from tilewatch.errors import FrameError
    from tilewatch.flow.channel import Channel
    from tilewatch.flow.lane import Lane
    from tilewatch.records import Frame, RawHeads, TileBatch, Tracks


class Perception:
    """The three stages of one stream.

    Args:
        detector: open and warm.
        lanes: of the stream, by stage.
        tracker: the track stage's function; runs on its lane.
        begins: tells whether the gate, if there is one, is to start afresh with a frame; asked in order. None: never
        urgent: a live source, whose tiles go before those of files.
    """

    def __init__(
        self,
        detector: Detector,
        lanes: Mapping[str, Lane],
        tracker: Callable[[RawHeads], Tracks],
        *,
        begins: Callable[[Frame], bool] | None = None,
        urgent: bool = False,
    ) -> None:
        self._detector = detector
        self._lanes = lanes
        self._tracker = tracker
        self._begins = begins
        self._urgent = urgent

    def steps(self, skipped: Callable[[str], Callable[[FrameError], None]]) -> list[Step]:
        """Return the stages; `skipped` gives, for a stage, what is told of the frames it had to skip."""
        queue = self._detector.settings.queue
        tile, track = self._tile_and_track()
        return [
            Step(name="tile", stage=each(tile, on_skip=skipped("tile")), capacity=queue.tiled),
            Step(name="infer", stage=self._infer, capacity=queue.inferred),
            Step(name="track", stage=each(track, on_skip=skipped("track")), capacity=queue.tracked),
        ]

    def _infer(self, inbox: Channel[TileBatch]) -> AsyncGenerator[RawHeads, None]:
        return infer(inbox, self._detector.executor.client(urgent=self._urgent))

    def _tile_and_track(
        self,
    ) -> tuple[Callable[[Frame], Awaitable[TileBatch]], Callable[[RawHeads], Awaitable[Tracks]]]:
        """Return the functions of the tile and the track stage; with a gate the tracks go back to the tiles."""
        lanes, cutter = self._lanes, self._detector.cutter()
        echo: Echo[Tracks | None] = Echo(LAG_FRAMES)

        async def tile(frame: Frame) -> TileBatch:
            return await lanes["tile"].call(cutter, frame)

        async def track(heads: RawHeads) -> Tracks:
            return await lanes["track"].call(self._tracker, heads)

        async def gated_tile(frame: Frame) -> TileBatch:
            if afresh := bool(self._begins and self._begins(frame)):
                echo.forget()
            tracks = await echo.heard()
            batch = await lanes["tile"].call(cutter, frame, tracks, afresh=afresh)
            echo.sent()
            return batch

        async def echoing_track(heads: RawHeads) -> Tracks:
            tracks = None
            try:
                tracks = await track(heads)
            finally:  # a frame that is skipped has its answer too, else the gate would wait for it
                echo.answer(tracks)
            return tracks

        return (gated_tile, echoing_track) if cutter.gate else (tile, track)
