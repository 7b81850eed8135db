"""Raw heads to tracks: decode the boxes, merge what the tiles saw, give every object its identity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from tilewatch.motion.memory import TileMemory
from tilewatch.native.bytetrack import ByteTrack
from tilewatch.native.merge import merge_tiles
from tilewatch.native.room import Room
from tilewatch.records import Tracks, polygon_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.native.heads import Candidates
    from tilewatch.native.merge import Merged
    from tilewatch.records import F32, Bool, Detections, Frame, RawHeads, Tiles
    from tilewatch.settings import DetectSettings, MergeSettings, Polygon, Settings


class Decoder(Protocol):
    """The head's part in this stage: a batch's raw outputs to candidates in input pixels."""

    def __call__(self, outputs: Sequence[F32], /) -> Candidates:
        """Return the candidates above the lowest score that counts."""


class Tracker:
    """RawHeads in, Tracks out. One for each video: ids start from 1, and nothing is shared unless it is to `follow`."""

    def __init__(self, decode: Decoder, settings: Settings, *, first_id: int = 1) -> None:
        self._decode = decode
        self._settings = settings
        self._detect: DetectSettings = settings.detect
        self._how: MergeSettings = settings.merge
        self._room = Room()
        self._memory = TileMemory() if settings.tile.gate == "motion" else None
        self._area = WatchedArea(settings.tile.roi, settings.tile.ignore)
        self._bytetrack = _bytetrack(settings, first_id) if settings.tracking.enable_tracking else None

    def __call__(self, heads: RawHeads) -> Tracks:
        """Return what is reported of one frame. Runs on the track lane."""
        merged = self._merge(heads)
        if self._bytetrack is None:
            return self._boxes_only(heads, merged)
        seen = merged.detections
        found = self._bytetrack.update(seen.xyxy, seen.score, seen.label, heads.frame.seconds)
        return Tracks(frame=heads.frame, **found._asdict(), count=merged.boxes, looks=heads.batch.looks)

    def apply(self, decode: Decoder, settings: Settings) -> None:
        """Take over other thresholds and classes from the next frame on; every object keeps its identity."""
        self._decode, self._settings = decode, settings
        self._detect, self._how = settings.detect, settings.merge
        if self._bytetrack:
            state = self._bytetrack.state()
            self._bytetrack = _bytetrack(settings)
            self._bytetrack.restore(state)

    def state(self) -> bytes:
        """Return all that the next frames depend on, except the settings: for `restore`, or the next one's `follow`."""
        return self._bytetrack.state() if self._bytetrack else b""

    def restore(self, state: bytes) -> None:
        """Go on in the middle of a video from another tracker's state, exactly as that one would have.

        Raises ValueError for a state that settings like these do not give; the tracker is then as it was.
        """
        if self._bytetrack:
            self._bytetrack.restore(state)
        elif state:
            raise ValueError(f"{len(state)} bytes: no state of a tracker like this one, which keeps no identities")

    def follow(self, state: bytes, seconds: float) -> None:
        """Be the tracker of the segment after the one whose tracker ended in `state`; before the first frame.

        Ids go on. Tracks go on too where the first frame, at `seconds` of its own timestamps, comes after the last one
        by no longer than a lost track waits. Raises ValueError as `restore` does.
        """
        if self._bytetrack is None:
            return
        self._bytetrack.restore(state)
        if not 0 < seconds - self._bytetrack.newest <= self._settings.track.buffer_seconds:
            self._bytetrack = _bytetrack(self._settings, first_id=self._bytetrack.next_id)

    def _merge(self, heads: RawHeads) -> Merged:
        tiles, candidates = heads.batch.tiles, self._decode(heads.outputs)
        candidates = candidates._replace(xyxy=to_frame(candidates.xyxy, candidates.tile, tiles))
        current, outdated = None, 0
        if self._memory is not None:
            candidates, tiles, current, outdated = self._memory.complete(candidates, heads.batch)
        inside = self._area.holds(candidates.xyxy, heads.frame)
        merged = merge_tiles(
            *(
                candidates.xyxy[inside],
                candidates.score[inside],
                candidates.label[inside],
                candidates.tile[inside],
                tiles,
            ),
            iou_threshold=self._detect.iou_threshold,
            method=self._how.method,
            agnostic=self._how.class_agnostic,
            current=current,
            room=self._room,
        )
        dropped = len(inside) - int(inside.sum()) + outdated
        counts = merged.boxes
        return merged._replace(
            boxes=replace(counts, found=counts.found + dropped, suppressed=counts.suppressed + dropped)
        )

    def _boxes_only(self, heads: RawHeads, merged: Merged) -> Tracks:
        """Return the merged boxes that are sure enough, without identities."""
        sure: Detections = merged.detections
        keep = sure.score >= self._detect.confidence_threshold
        count = int(keep.sum())
        return Tracks(
            frame=heads.frame,
            xyxy=sure.xyxy[keep],
            score=sure.score[keep],
            label=sure.label[keep],
            track_id=np.zeros(count, np.int64),
            age=np.zeros(count, np.int32),
            count=merged.boxes,
            looks=heads.batch.looks,
        )


def _bytetrack(settings: Settings, first_id: int = 1) -> ByteTrack:
    """Return a fresh tracker as the settings want it."""
    track = settings.track
    return ByteTrack(
        mode=track.mode,
        flavour=track.flavour,
        high=settings.track_high,
        low=track.low,
        new=settings.track_new,
        match=track.match,
        buffer_seconds=track.buffer_seconds,
        buffer_frames=track.buffer_frames,
        lock_class=settings.tracking.track_class == "lock",
        first_id=first_id,
    )


def to_frame(xyxy: F32, tile: np.ndarray, tiles: Tiles) -> F32:
    """Return boxes of tiles' inputs in frame pixels, each clipped to its tile's rectangle.

    Args:
        xyxy: (N, 4) float32 input pixels.
        tile: (N,) index into `tiles`.
        tiles: where the inputs lie in the frame.
    """
    rects = tiles.rects[tile].astype(np.float32)
    low, high = rects[:, [0, 1, 0, 1]], rects[:, [2, 3, 2, 3]]
    placed: F32 = np.clip(low + xyxy / tiles.scale[tile][:, None], low, high)
    return placed


@dataclass(slots=True, eq=False)
class WatchedArea:
    """Where objects are reported: inside the ROI polygons, if any, and outside the ignored ones."""

    roi: Sequence[Polygon]
    ignore: Sequence[Polygon]

    def holds(self, xyxy: F32, frame: Frame) -> Bool:
        """Return (N,) bool: True for boxes whose centre is watched; boxes that are no numbers are left to the merge."""
        keep: Bool = np.ones(len(xyxy), np.bool_)
        if self.roi:
            keep &= self._in_any(xyxy, frame, self.roi)
        if self.ignore:
            keep &= ~self._in_any(xyxy, frame, self.ignore)
        return keep

    def _in_any(self, xyxy: F32, frame: Frame, polygons: Sequence[Polygon]) -> Bool:
        shapes = [polygon_pixels(polygon, frame.width, frame.height) for polygon in polygons]
        centres = ((xyxy[:, :2] + xyxy[:, 2:]) / 2).tolist()
        found: Bool = np.array([_holds(shapes, x, y) for x, y in centres], np.bool_)
        return found


def _holds(shapes: Sequence[F32], x: float, y: float) -> bool:
    return any(cv2.pointPolygonTest(shape, (x, y), measureDist=False) >= 0 for shape in shapes)
