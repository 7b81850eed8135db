"""The measure of change: light and noise are no motion, a small object is; compiled and twin agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewatch.native import gate
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAGS = (True, False)
LEAST = 4 * gate.UNIT


@pytest.fixture(params=FLAGS, ids=("compiled", "twin"))
def _core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "COMPILED", request.param)


def texture(width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture with large and small structures."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(60, 190, (height // 40 + 1, width // 40 + 1)).repeat(40, axis=0).repeat(40, axis=1)
    return (coarse[:height, :width] + rng.integers(-15, 16, (height, width))).astype(np.uint8)


def change(before: NDArray[np.uint8], now: NDArray[np.uint8], tile: int = 640) -> gate.Change:
    """Compare two pictures cut into tiles."""
    height, width = now.shape
    tiles = plan(width, height, TileSettings(size=tile, overlap=96)).tiles
    windows = gate.windows_of(tiles.rects, width, height)
    then = gate.block_means(before)
    flat = np.concatenate([windows.gather(then, t) for t in range(len(tiles))])
    return gate.compare(gate.block_means(now), flat, windows, LEAST)


@pytest.mark.usefixtures("_core")
@pytest.mark.parametrize(("width", "height"), [(64, 48), (77, 51), (8, 3), (1, 1)])
def test_block_means_are_those_of_the_pixels(width: int, height: int) -> None:
    """In 1/64 level, to the nearest; blocks at the right and bottom end have fewer pixels."""
    luma = texture(width, height)
    means = gate.block_means(luma)
    assert means.shape == (-(-height // 8), -(-width // 8))
    for (row, column), mean in np.ndenumerate(means):
        block = luma[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert abs(mean / 64 - block.mean()) <= 0.5 / 64 + 1e-9


def test_changed_blocks_of_a_tile_are_marked_on_the_grid() -> None:
    """Where they lie in the frame; what other tiles marked stays."""
    windows = gate.windows_of(np.array([[0, 0, 16, 16], [16, 8, 32, 24]], np.int32), 32, 24)
    grid = np.zeros((3, 4), np.bool_)
    for tile in range(2):
        windows.mark(np.array([1, 0, 0, 0, 0, 0, 0, 1], np.uint8), tile, grid)
    assert np.argwhere(grid).tolist() == [[0, 0], [2, 3]]


@pytest.mark.usefixtures("_core")
def test_window_is_every_block_of_which_a_tile_shows_half() -> None:
    """Every block of the frame belongs to a tile, also where tiles only touch; a tiny frame has one block."""
    found = gate.windows_of(np.array([[0, 0, 100, 50], [100, 0, 205, 50]], np.int32), 205, 50)
    assert found.blocks.tolist() == [[0, 0, 13, 7], [13, 0, 26, 7]]
    assert found.start.tolist() == [0, 91, 182]
    assert gate.windows_of(np.array([[0, 0, 3, 2]], np.int32), 3, 2).blocks.tolist() == [[0, 0, 1, 1]]


@pytest.mark.usefixtures("_core")
@pytest.mark.parametrize("level", [12, -9, 1])
def test_light_that_changes_for_all_is_no_motion(level: int) -> None:
    """A brighter or darker picture has not changed."""
    picture = texture(640, 640)
    found = change(picture, (picture.astype(int) + level).astype(np.uint8))
    assert found.blocks.tolist() == [0]
    assert found.noise.tolist() == [0]


@pytest.mark.usefixtures("_core")
@pytest.mark.parametrize("sigma", [3.0, 6.0])
def test_noise_of_a_sensor_is_no_motion(sigma: float) -> None:
    """White noise of some levels hardly moves the means of blocks; how much is told."""
    picture, rng = texture(640, 640).astype(float), np.random.default_rng(0)
    first, second = (np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8) for _ in range(2))
    found = change(first, second)
    assert found.strength[0] < LEAST / 2
    assert found.noise[0] / 64 == pytest.approx(0.6745 * sigma * 2**0.5 / 8, rel=0.15)


@pytest.mark.usefixtures("_core")
def test_object_of_a_few_pixels_is_seen_wherever_it_goes() -> None:
    """6x6 pixels, 30 levels darker than what is behind, in a noisy tile of 640: at every alignment but a few."""
    picture, rng = texture(640, 640).astype(float), np.random.default_rng(0)
    strengths = []
    for step in range(64):
        x, y = 300 + step % 8, 200 + step // 8
        now = picture.copy()
        now[y : y + 6, x : x + 6] -= 30
        first, second = (np.clip(p + rng.normal(0, 3, p.shape), 0, 255).astype(np.uint8) for p in (picture, now))
        found = change(first, second)
        strengths.append(int(found.strength[0]))
    assert np.mean(np.array(strengths) > 0) > 0.9
    assert np.mean(strengths) > 4 * gate.UNIT


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 400), height=st.integers(1, 300), span=st.integers(1, 255))
def test_compiled_core_equals_its_twin(seed: int, width: int, height: int, span: int) -> None:
    """Any pictures, any size, any number of tiles: the same numbers."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 256, (height, width)).astype(np.uint8)
    second = np.clip(first.astype(int) + rng.integers(-span, span + 1, (height, width)), 0, 255).astype(np.uint8)
    results = []
    for compiled in FLAGS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gate, "COMPILED", compiled)
            found = change(first, second, tile=192)
            results.append((gate.block_means(first), *found))
    for compiled_one, twin in zip(*results, strict=True):
        assert np.array_equal(compiled_one, twin)


def test_arrays_that_do_not_fit_are_refused() -> None:
    """Nothing is read beyond its end."""
    windows = gate.windows_of(np.array([[0, 0, 64, 64]], np.int32), 64, 64)
    with pytest.raises(ValueError, match="do not fit"):
        gate.compare(np.zeros((8, 7), np.uint16), np.zeros(64, np.uint16), windows, LEAST)
    with pytest.raises(ValueError, match="do not fit"):
        gate.compare(np.zeros((8, 8), np.uint16), np.zeros(63, np.uint16), windows, LEAST)
