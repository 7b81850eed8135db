"""What travels between the stages: frozen structs of arrays, one length N, empty is N = 0 and never None.

Every later record holds its Frame. Arrays are read-only after hand-over: whoever wants to change one copies it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    U8: TypeAlias = NDArray[np.uint8]
    F32: TypeAlias = NDArray[np.float32]
    I16: TypeAlias = NDArray[np.int16]
    I32: TypeAlias = NDArray[np.int32]
    I64: TypeAlias = NDArray[np.int64]
    Bool: TypeAlias = NDArray[np.bool_]

Matrix: TypeAlias = Literal["bt601", "bt709", "bt2020"]
"""The YCbCr matrix of a frame (ITU-R BT.601, BT.709, BT.2020 non-constant luminance)."""

STILL, OUTSIDE_ROI = "still", "outside_roi"
"""Why a tile was skipped: nothing moved there, so its last detections stand; or nothing of it is watched."""

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""(Kr, Kb) of each matrix."""
BAND = 64
"""Rows that are converted at once; even, since two share a row of chroma."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamInfo:
    """What is known of a source once it is open. Sizes are after rotation."""

    stream: str
    """Name of the stream: for a file its stem."""
    path: Path
    container: str
    """Short name of the container format, e.g. 'mov,mp4,m4a,3gp,3g2,mj2'."""
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    """Degrees clockwise (0, 90, 180, 270) by which the stored picture was turned to stand upright."""
    time_base: Fraction
    average_rate: Fraction
    """Frames per second, the container's own estimate; 25 where it has none."""
    start_pts: int
    """pts of the first picture, in `time_base`."""
    frame_count: int | None
    """Frames the container promises; None where it does not say."""
    duration_seconds: float | None
    audio_codec: str | None
    live: bool = False
    """True: a camera. `path` is only its name, and times are Unix time: nothing can be read again."""
    decoder: str = "software"
    """What decoded the first picture that was given out: 'software', 'nvdec' or 'nvv4l2'."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One decoded picture, upright, 8-bit 4:2:0.

    `y` is (height, width) uint8 with contiguous rows; `u` and `v` are (ceil(height/2), ceil(width/2)) uint8 and may be
    strided views (NV12 gives every second byte). No BGR copy exists unless somebody asks for `bgr()`.
    """

    stream: str
    index: int
    """0-based count of decoded frames of this stream."""
    pts: int
    """Presentation time in units of `time_base`, strictly increasing within a stream."""
    time_base: Fraction
    captured_ns: int
    """Monotonic clock when the frame was decoded, nanoseconds."""
    width: int
    height: int
    y: U8
    u: U8
    v: U8
    full_range: bool
    """True: 0-255 (JPEG range). False: luma 16-235, chroma 16-240."""
    matrix: Matrix
    keyframe: bool

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def bgr(self) -> U8:
        """Return a new (height, width, 3) uint8 BGR picture: for stills, never for the way of a frame."""
        picture: U8 = np.empty((self.height, self.width, 3), np.uint8)
        for top in range(0, self.height, BAND):  # as floats the whole picture would take twenty times its bytes
            self._convert(top, picture[top : top + BAND])
        return picture

    def _convert(self, top: int, target: U8) -> None:
        """Write the rows from `top`, an even one, into a BGR picture of as many rows."""
        height = len(target)
        kr, kb = LUMA_WEIGHTS[self.matrix]
        luma = self.y[top : top + height].astype(np.float32)
        halves = (plane[top // 2 : (top + height + 1) // 2] for plane in (self.u, self.v))
        cb, cr = (_enlarge(plane, height, self.width) - 128.0 for plane in halves)
        if not self.full_range:
            luma, cb, cr = (luma - 16.0) * (255 / 219), cb * (255 / 224), cr * (255 / 224)
        red = luma + 2 * (1 - kr) * cr
        blue = luma + 2 * (1 - kb) * cb
        green = (luma - kr * red - kb * blue) / (1 - kr - kb)
        target[:] = np.clip(np.rint(np.stack([blue, green, red], axis=-1)), 0, 255)


def _enlarge(plane: U8, height: int, width: int) -> F32:
    """Return a chroma plane repeated to luma size, float32."""
    return plane.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width].astype(np.float32)


def polygon_pixels(polygon: Sequence[tuple[float, float]], width: int, height: int) -> F32:
    """Return a polygon's (K, 2) points in pixels of a frame; points that are all <= 1 are fractions of it."""
    points = np.asarray(polygon, np.float32)
    return points * np.array([width, height], np.float32) if points.max() <= 1 else points


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiles:
    """T rectangles of one frame, and how each lies in the engine's square input.

    Pixel (px, py) of tile t's input is the frame point `rects[t, :2] + (px, py) / scale[t]`; what lies beyond `fitted`
    in the input is padding.
    """

    rects: I32
    """(T, 4) x0 y0 x1 y1, frame pixels, right/bottom exclusive."""
    inner: Bool
    """(T, 4) left top right bottom: True where the side was cut by the grid rather than by the frame."""
    fitted: I32
    """(T, 2) width and height the rectangle takes in the input, at its top left, input pixels."""
    scale: F32
    """(T,) input pixels per frame pixel."""
    full_frame: Bool
    """(T,) True for the low-resolution pass over the whole frame."""

    def __len__(self) -> int:
        """Return T."""
        return len(self.rects)

    def take(self, keep: NDArray[Any]) -> Tiles:
        """Return the tiles selected by an index or boolean array."""
        return Tiles(
            rects=self.rects[keep],
            inner=self.inner[keep],
            fitted=self.fitted[keep],
            scale=self.scale[keep],
            full_frame=self.full_frame[keep],
        )

    def joined(self, other: Tiles) -> Tiles:
        """Return these tiles and those of another one behind them."""
        return Tiles(
            rects=np.concatenate([self.rects, other.rects]),
            inner=np.concatenate([self.inner, other.inner]),
            fitted=np.concatenate([self.fitted, other.fitted]),
            scale=np.concatenate([self.scale, other.scale]),
            full_frame=np.concatenate([self.full_frame, other.full_frame]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looks:
    """What was done about every tile of a frame's plan: T of them, those that were inferred first."""

    rects: I32
    """(T, 4) x0 y0 x1 y1, frame pixels, right/bottom exclusive."""
    reasons: tuple[str, ...]
    """Why each was inferred ('always' without a gate), or why not (`STILL`, `OUTSIDE_ROI`)."""

    def outcomes(self) -> dict[str, int]:
        """Return how many tiles were inferred, reused, and outside of what is watched."""
        reused, outside = self.reasons.count(STILL), self.reasons.count(OUTSIDE_ROI)
        return {"inferred": len(self.reasons) - reused - outside, "reused": reused, OUTSIDE_ROI: outside}


NO_LOOKS = Looks(rects=np.zeros((0, 4), np.int32), reasons=())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileBatch:
    """The tiles of one frame whose pixels are ready for the engine."""

    frame: Frame
    tiles: Tiles
    """The tiles that were cut, in the order of their rows in the slot."""
    skipped: Tiles
    """The tiles of the plan that were not cut."""
    skip_reasons: tuple[str, ...]
    """One word for each skipped tile: `STILL` or `OUTSIDE_ROI`."""
    slot: Any
    """The engine's own handle on the pixels; for host engines `slot.pixels` is (B, S, S, 3) uint8 RGB."""
    cut_reasons: tuple[str, ...] = ()
    """One word for each tile that was cut, from the motion gate; empty without it: all tiles always are."""
    moved: Bool | None = None
    """(ceil(H/8), ceil(W/8)) blocks that changed since a `STILL` tile showing them was inferred; None: no gate."""

    @property
    def looks(self) -> Looks:
        """What was done about every tile, without the pixels."""
        cut = self.cut_reasons or ("always",) * len(self.tiles)
        return Looks(rects=np.concatenate([self.tiles.rects, self.skipped.rects]), reasons=(*cut, *self.skip_reasons))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawHeads:
    """What the model said about every tile of a batch."""

    batch: TileBatch
    outputs: tuple[F32, ...]
    """One (B, ...) float32 array for each output of the model; or, where the candidates are picked already, their rows
    (see engines.tensorrt.candidates and engines.picker)."""

    @property
    def frame(self) -> Frame:
        """The frame these heads belong to."""
        return self.batch.frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """N boxes in frame pixels."""

    xyxy: F32
    """(N, 4) left top right bottom, pixels of the full frame, right/bottom exclusive."""
    score: F32
    """(N,) 0 to 1."""
    label: I32
    """(N,) class index."""
    tile: I16
    """(N,) index into the batch's tiles; for a merged box the tile of its surest member."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.score)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxCount:
    """Where the boxes of a frame went: `found == kept + merged + suppressed`."""

    found: int = 0
    """Boxes the heads gave above the low threshold."""
    kept: int = 0
    """Boxes after the merge: what the tracker saw."""
    merged: int = 0
    """Boxes joined into another one across a seam."""
    suppressed: int = 0
    """Boxes dropped: doubles in one tile, fragments, masked areas, unusable values."""

    def __add__(self, other: BoxCount) -> BoxCount:
        """Return the sum of two counts."""
        return BoxCount(
            found=self.found + other.found,
            kept=self.kept + other.kept,
            merged=self.merged + other.merged,
            suppressed=self.suppressed + other.suppressed,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """What is reported of one frame: N objects, each with an identity when tracking is on."""

    frame: Frame
    xyxy: F32
    """(N, 4) left top right bottom, frame pixels, right/bottom exclusive."""
    score: F32
    """(N,) score of the last matched detection."""
    label: I32
    """(N,) class index."""
    track_id: I64
    """(N,) from 1, per video; all 0 when tracking is off."""
    age: I32
    """(N,) frames since the track was born; 0 when tracking is off."""
    count: BoxCount = field(default_factory=BoxCount)
    before: bytes | None = None
    """The track stage's state before this frame, given where a segment begins: from it the work can go on."""
    looks: Looks = NO_LOOKS

    def __len__(self) -> int:
        """Return N."""
        return len(self.score)
