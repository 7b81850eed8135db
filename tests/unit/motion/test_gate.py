"""The gate: what moves is looked at, what stands still is not, and everything is from time to time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.records import make_frame, make_tracks
from tilewatch.motion.gate import MotionGate
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tilewatch.records import Frame, Tracks

WIDTH, HEIGHT = 1200, 640
TILES = plan(WIDTH, HEIGHT, TileSettings(overlap=80)).tiles
"""Two tiles: 0-640 and 560-1200."""
RNG = np.random.default_rng(3)
SCENE: NDArray[np.float64] = np.repeat(
    np.repeat(RNG.integers(50, 200, (HEIGHT // 20, WIDTH // 20)), 20, axis=0), 20, axis=1
).astype(float)


def frame(index: int, luma: NDArray[np.float64], noise: float = 0.0) -> Frame:
    """Return a frame of 10 a second, with the noise of a sensor."""
    seen = luma + np.random.default_rng(index).normal(0, noise, luma.shape) if noise else luma
    return replace(make_frame(index, width=WIDTH, height=HEIGHT), y=np.clip(np.rint(seen), 0, 255).astype(np.uint8))


def with_object(x: float, y: float, *, size: int = 6, contrast: float = 30.0) -> NDArray[np.float64]:
    """Return the scene with a dark square."""
    luma: NDArray[np.float64] = SCENE.copy()
    luma[round(y) : round(y) + size, round(x) : round(x) + size] -= contrast
    return luma


def reasons(
    lumas: Sequence[NDArray[np.float64]],
    *,
    noise: float = 0.0,
    tracks: Callable[[int], Tracks | None] = lambda _: None,
    **settings: Any,
) -> list[tuple[str, ...]]:
    """Return what the gate says of each frame's two tiles."""
    gate = MotionGate(TileSettings(gate="motion", **{"refresh_seconds": 1000, **settings}))
    return [gate.choose(frame(index, luma, noise), TILES, tracks(index)).reasons for index, luma in enumerate(lumas)]


def awake(found: Sequence[tuple[str, ...]], tile: int, *, start: int = 1) -> int:
    """Return in how many frames a tile was inferred, the first ones apart."""
    return sum(row[tile] != "still" for row in found[start:])


@pytest.mark.parametrize("noise", [0.0, 3.0, 12.0])
def test_scene_that_stands_still_is_looked_at_once(noise: float) -> None:
    """Also through the noise of a sensor at night, once it is known."""
    found = reasons([SCENE] * 40, noise=noise)
    assert found[0] == ("first", "first")
    assert awake(found, 0, start=20) == awake(found, 1, start=20) == 0


@pytest.mark.parametrize(("contrast", "frames"), [(40.0, 5), (30.0, 7), (-30.0, 7), (20.0, 13)])
def test_object_of_a_few_pixels_wakes_its_tile_again_and_again(contrast: float, frames: int) -> None:
    """6x6 pixels that move by two a frame, in noise: the fainter, the longer it takes."""
    found = reasons([with_object(100 + 2 * i, 300 + i, contrast=contrast) for i in range(100)], noise=3.0)
    taken = [index for index, row in enumerate(found) if row[0] == "changed"]
    assert max(np.diff([0, *taken])) <= frames
    assert awake(found, 1) == 0


def test_object_that_comes_to_rest_is_seen_at_rest() -> None:
    """The last look is at where it stays; then its tile sleeps."""
    path = [100 + 10 * min(i, 10) for i in range(30)]
    found = reasons([with_object(x, 300, size=40) for x in path])
    assert [row[0] for row in found[1:11]] == ["changed"] * 10
    assert awake(found, 0, start=11) == 0


@pytest.mark.parametrize(
    "light",
    [
        lambda i: 20.0 * (i >= 10),
        lambda i: 3.0 * (i % 2),
        lambda i: 0.2 * i,
    ],
    ids=["step", "flicker", "drift"],
)
def test_light_wakes_nobody(light: Callable[[int], float]) -> None:
    """A lamp that is switched, one that flickers, the evening: what all pixels share is no motion."""
    found = reasons([SCENE + light(i) for i in range(60)], noise=2.0)
    assert awake(found, 0) + awake(found, 1) == 0


def test_moving_camera_wakes_everything_and_its_end_lets_it_sleep() -> None:
    """Most of the picture shifts: all tiles, at every frame; then none."""
    found = reasons([np.roll(SCENE, 3 * min(i, 20), axis=1) for i in range(40)])
    assert found[1:21] == [("camera", "camera")] * 20
    assert awake(found, 0, start=21) + awake(found, 1, start=21) == 0


def test_every_tile_is_looked_at_within_the_refresh_interval() -> None:
    """At least so often, and not all at once."""
    found = reasons([SCENE] * 50, refresh_seconds=1.0)
    for tile in range(2):
        looks = [index for index, row in enumerate(found) if row[tile] != "still"]
        assert max(np.diff([*looks, 50])) <= 10
        assert len(looks) <= 6
    assert all("still" in row for row in found[1:])


def test_change_of_size_starts_afresh() -> None:
    """Other tiles: nothing of before can be compared."""
    gate = MotionGate(TileSettings(gate="motion"))
    gate.choose(frame(0, SCENE), TILES, None)
    small = plan(320, 240, TileSettings()).tiles
    assert gate.choose(make_frame(1), small, None).reasons == ("first",)


def test_restart_makes_the_next_frame_the_first() -> None:
    """Decisions after it do not depend on anything before."""
    lumas = [with_object(100 + 3 * i, 300) for i in range(60)]
    whole, later = (MotionGate(TileSettings(gate="motion", refresh_seconds=2)) for _ in range(2))
    for index in range(30):
        whole.choose(frame(index, lumas[index], 3.0), TILES, make_tracks(index, [(1, 0, 0.9, 5.0 * index, 0, 50, 50)]))
    whole.restart()
    for index in range(30, 60):
        first, second = (gate.choose(frame(index, lumas[index], 3.0), TILES, None) for gate in (whole, later))
        assert first.reasons == second.reasons
        assert np.array_equal(first.moved, second.moved)


@pytest.mark.parametrize(
    ("boxes", "kept"),
    [
        (lambda i: (200, i), range(2)),
        (lambda i: (200 + 3 * max(0, min(i, 20) - 10), 9), range(12, 26)),
        (lambda i: (200, 9) if i < 10 else None, range(10, 20)),
        (lambda _: (200, 9), range(0)),
    ],
    ids=["young", "moving", "lost", "at rest"],
)
def test_track_keeps_its_tile_awake(boxes: Callable[[int], tuple[int, int] | None], kept: range) -> None:
    """While it is young, moves, or has just been lost; one at rest does not. The other tile sleeps."""

    def tracks(index: int) -> Tracks:
        here = boxes(index)
        rows = [] if here is None else [(7, 0, 0.9, here[0], 100, here[0] + 40, 200)]
        age = 9 if here is None else here[1]
        return replace(make_tracks(index, rows), age=np.full(len(rows), age, np.int32))

    found = reasons([SCENE] * 30, tracks=tracks)
    kept_awake = [index for index, row in enumerate(found) if row[0] == "track"]
    assert set(kept_awake) >= set(kept) - {0}
    assert len(kept_awake) <= len(kept) + 2
    assert awake(found, 1) == 0


def test_tracks_without_identity_keep_nothing_awake() -> None:
    """ENABLE_TRACKING=false: boxes have no history."""
    found = reasons([SCENE] * 10, tracks=lambda i: make_tracks(i, [(0, 0, 0.9, 9.0 * i, 0, 9.0 * i + 50, 50)]))
    assert awake(found, 0) + awake(found, 1) == 0


def test_what_moved_in_a_sleeping_tile_is_told() -> None:
    """Too little to wake it, yet known where: a tile awake beside it has the better word."""
    gate = MotionGate(TileSettings(gate="motion", refresh_seconds=1000))
    gate.choose(frame(0, SCENE), TILES, None)
    choice = gate.choose(frame(1, with_object(600, 320, contrast=20)), TILES, None)
    assert choice.reasons == ("still", "still")
    assert np.argwhere(choice.moved).tolist() == [[40, 75]]
