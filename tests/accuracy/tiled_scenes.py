"""Made-up frames with known objects, what a detector would report of each tile, and how good a merge of it is.

The detector sees only its tile: a box is the visible part of an object with an error of which every tile shares a
part; slivers and tiny objects are mostly missed; a side cut by the tile lies on its border; confidence falls and
classes are confused as less is visible; some boxes show nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from tilewatch.records import Tiles

    F64: TypeAlias = NDArray[np.float64]

Kind: TypeAlias = Literal["street", "crowd", "large", "nested", "mixed", "huge", "corners"]
KINDS: tuple[Kind, ...] = ("street", "crowd", "large", "nested", "mixed", "huge", "corners")
"""Huge: objects larger than a tile. Corners: objects where three or four tiles meet."""
ALL_SORTS = KINDS[:5]
"""Those of the published comparison."""

WIDTH, HEIGHT, SIDE = 1920, 1080, 640
SHAPE = ((0.41, 0.12), (1.7, 0.35), (1.0, 0.3))
"""Width over height of a person, a vehicle, a thing: mean and deviation."""
LEAST = 8.0
"""Pixels an object measures at least."""
REPORTED = 0.25
"""Confidence from which a box counts."""


class Scene(NamedTuple):
    """One frame."""

    truth: F64
    """(G, 5) left top right bottom class."""
    seen: F64
    """(N, 7) left top right bottom score class tile."""
    tiles: Tiles


@dataclass(slots=True)
class Score:
    """Counts over scenes; adding up."""

    hits: int = 0
    wrong: int = 0
    missed: int = 0
    doubled: int = 0

    def __add__(self, other: Score) -> Score:
        """Return the sum."""
        return Score(
            self.hits + other.hits, self.wrong + other.wrong, self.missed + other.missed, self.doubled + other.doubled
        )

    @property
    def f1(self) -> float:
        """Per cent."""
        return 200 * self.hits / (2 * self.hits + self.wrong + self.missed)

    @property
    def count_error(self) -> float:
        """How many more boxes there are than objects, per cent."""
        return 100 * (self.wrong - self.missed) / (self.hits + self.missed)

    @property
    def doubles(self) -> float:
        """Boxes too many on an object that was reported already, for each 100 objects."""
        return 100 * self.doubled / (self.hits + self.missed)


def scene(
    seed: int, kind: Kind, *, overlap: int, full_frame: bool = False, scale: float = 1.0, ties: bool = False
) -> Scene:
    """Return a frame; the same arguments give the same one.

    Args:
        seed: which frame of its kind.
        kind: what is in it.
        overlap: least overlap of neighbouring tiles, pixels of a tile.
        full_frame: whether there is a low-resolution pass over the whole frame too.
        scale: pixels of a tile for each of the frame.
        ties: whether confidences come in steps of a tenth, as from a coarsely quantised model.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), overlap])
    settings = TileSettings(size=SIDE, overlap=overlap, scale=scale, full_frame="on" if full_frame else "off")
    tiles = plan(WIDTH, HEIGHT, settings).tiles
    truth = _objects(rng, kind, tiles)
    seen = _detected(rng, truth, tiles)
    if ties:
        seen[:, 4] = np.clip(np.round(seen[:, 4], 1), 0.1, 0.9)
    return Scene(truth, seen, tiles)


def iou(a: F64, b: F64) -> tuple[F64, F64]:
    """Return (A, B) intersection over union, and the share of each of `a` that lies in each of `b`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    mine, theirs = ((x[:, 2:4] - x[:, :2]).prod(axis=1) for x in (a, b))
    return inner / (mine[:, None] + theirs - inner), inner / mine[:, None]


def score(truth: F64, found: F64, least: float) -> Score:
    """Match (M, 6) boxes (... score class), surest first, each to the free object of its class it fits best."""
    found = found[found[:, 4] >= REPORTED]
    found = found[np.argsort(-found[:, 4], kind="stable")]
    fit, inside = iou(found, truth)
    same = found[:, 5][:, None] == truth[:, 4]
    free, left = np.ones(len(truth), np.bool_), []
    for index, row in enumerate(fit):
        open_to = np.where(same[index] & free, row, 0)
        if open_to.max(initial=0) >= least:
            free[open_to.argmax()] = False
        else:
            left.append(index)
    doubled = (same & ~free & ((fit >= least) | (inside >= 0.8)))[left].any(axis=1)
    return Score(int((~free).sum()), len(left), int(free.sum()), int(doubled.sum()))


# ---- objects


def _objects(rng: Generator, kind: Kind, tiles: Tiles) -> F64:
    objects: list[F64] = []
    if kind == "huge":
        _place(rng, objects, 4, (1.2 * SIDE, 2.4 * SIDE), 0.3)
    if kind == "corners":
        objects += [_around(rng, spot) for spot in _corners(tiles)]
    if kind in {"large", "mixed"}:
        _place(rng, objects, 10 if kind == "large" else 4, (0.45 * SIDE, 1.7 * SIDE), 0.2)
    if kind == "nested":
        _place(rng, objects, 8, (200, SIDE), 0.2)
        objects += [_within(rng, outer) for outer in list(objects) for _ in range(3)]
    if kind != "crowd":
        _place(rng, objects, 40 if kind == "street" else 20, (20, 200), 0.2)
    if kind in {"crowd", "mixed"}:
        _place(rng, objects, 110 if kind == "crowd" else 50, (25, 110), 0.5, beside=0.75)
    return np.array(objects)


def _place(
    rng: Generator, objects: list[F64], count: int, size: tuple[float, float], most: float, beside: float = 0.0
) -> None:
    """Add up to `count` objects, none of which covers another by an IoU of more than `most`."""
    wanted = len(objects) + count
    for _ in range(60 * count):
        if len(objects) == wanted:
            return
        neighbour = objects[rng.integers(len(objects))] if objects and rng.random() < beside else None
        candidate = _anywhere(rng, size) if neighbour is None else _next_to(rng, neighbour)
        candidate[:4] = np.clip(candidate[:4], 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        if (candidate[2:4] - candidate[:2]).min() < LEAST:
            continue
        if not objects or iou(candidate[None], np.array(objects))[0].max() <= most:
            objects.append(candidate)


def _corners(tiles: Tiles) -> F64:
    """Return (K, 2) the middles of the areas that three or more tiles see."""
    rects = tiles.rects[~tiles.full_frame].astype(float)
    xs, ys = (np.unique((rects[:, None, side] + rects[None, :, side + 2]) / 2) for side in (0, 1))
    spots = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    held = ((spots[:, None] > rects[None, :, :2]) & (spots[:, None] < rects[None, :, 2:])).all(axis=2).sum(axis=1)
    shared: F64 = spots[held >= 3]
    return shared


def _around(rng: Generator, spot: F64) -> F64:
    """Return an object over a corner, which is anywhere but at its rim."""
    thing = _anywhere(rng, (60, 0.6 * SIDE))
    extent = thing[2:4] - thing[:2]
    corner = np.clip(spot - extent * rng.uniform(0.2, 0.8, 2), 0, None)
    return np.array([*corner, *np.minimum(corner + extent, [WIDTH, HEIGHT]), thing[4]])


def _anywhere(rng: Generator, size: tuple[float, float]) -> F64:
    label = int(rng.integers(len(SHAPE)))
    side, aspect = np.exp(rng.uniform(*np.log(size))), max(0.2, rng.normal(*SHAPE[label]))
    extent = np.minimum([side * aspect**0.5, side / aspect**0.5], [WIDTH, HEIGHT])
    corner = rng.uniform(-0.1 * extent, [WIDTH, HEIGHT] - 0.9 * extent)
    return np.array([*corner, *(corner + extent), label])


def _next_to(rng: Generator, other: F64) -> F64:
    """Return one more of a queue."""
    extent = other[2:4] - other[:2]
    corner = other[:2] + extent * [rng.choice([-1, 1]) * rng.uniform(0.45, 1.15), rng.uniform(-0.15, 0.15)]
    return np.array([*corner, *(corner + extent * rng.uniform(0.85, 1.15, 2)), other[4]])


def _within(rng: Generator, outer: F64) -> F64:
    """Return a small object before a large one, more often than not of its class."""
    extent = (outer[2:4] - outer[:2]) * rng.uniform(0.12, 0.3)
    corner = rng.uniform(outer[:2], outer[2:4] - extent)
    return np.array([*corner, *(corner + extent), outer[4] if rng.random() < 0.6 else rng.integers(len(SHAPE))])


# ---- the detector


def _detected(rng: Generator, truth: F64, tiles: Tiles) -> F64:
    shared = rng.normal(0, 0.015, (len(truth), 4))
    sureness = np.clip(rng.beta(8, 2.2, len(truth)), 0.12, 0.98)
    rows = []
    for tile in range(len(tiles)):
        for index, thing in enumerate(truth):
            row = _report(rng, thing, shared[index], float(sureness[index]), tiles, tile)
            rows += [row] if row is not None else []
        rows += [_false_alarm(rng, tiles, tile) for _ in range(rng.poisson(0.6))]
    return np.array(rows).reshape(-1, 7)


def _report(rng: Generator, thing: F64, shared: F64, sureness: float, tiles: Tiles, tile: int) -> F64 | None:
    """Return what one tile's detector says of one object, or None where it says nothing."""
    rect = tiles.rects[tile].astype(float)
    visible = np.concatenate([np.maximum(thing[:2], rect[:2]), np.minimum(thing[2:4], rect[2:])])
    extent = visible[2:] - visible[:2]
    if extent.min() <= 2:
        return None
    share, blur = extent.prod() / (thing[2:4] - thing[:2]).prod(), 1 / float(tiles.scale[tile])
    pixels = extent.min() / blur
    confidence = sureness * (0.45 + 0.55 * share**0.5) * min(1, 0.6 + pixels / 50) + rng.normal(0, 0.05)
    if rng.random() > 0.97 * min(1, 4 * share) * min(1, pixels / 9) or confidence < 0.1:
        return None
    error = shared * np.tile(thing[2:4] - thing[:2], 2) * min(1, share + 0.3)
    error += rng.normal(0, 0.02, 4) * np.tile(extent, 2) + rng.normal(0, 0.7 * blur, 4)
    on_border = tiles.inner[tile] & (np.abs(visible - rect) <= 0.5)
    box = np.where(on_border, rect + np.abs(rng.normal(0, 1.5, 4)) * [1, 1, -1, -1], visible + error)
    box = np.clip(box, rect[[0, 1, 0, 1]], rect[[2, 3, 2, 3]])
    label = rng.integers(len(SHAPE)) if rng.random() < 0.01 + 0.12 * (1 - share) else thing[4]
    return np.array([*box, min(confidence, 0.99), label, tile])


def _false_alarm(rng: Generator, tiles: Tiles, tile: int) -> F64:
    rect = tiles.rects[tile].astype(float)
    extent = np.exp(rng.uniform(np.log(15), np.log(150))) * rng.uniform(0.5, 1, 2)
    corner = rng.uniform(rect[:2], rect[2:] - extent)
    return np.array([*corner, *(corner + extent), rng.uniform(0.1, 0.4), rng.integers(len(SHAPE)), tile])
