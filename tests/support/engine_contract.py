"""One suite for all engines: the contract of engines.base on a model worked out by hand.

A subclass says what `make` and `model` are; what an engine's outputs look like is its own affair, so results are told
by its head.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from tests.support.models import ANCHORS, SIDE, boxes
from tilewatch.engines.options import EngineOptions
from tilewatch.errors import ConfigError, EngineError
from tilewatch.records import Frame, Tiles
from tilewatch.sinks.palette import to_yuv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tilewatch.engines.base import Slot
    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.native.heads import Candidates
    from tilewatch.records import U8

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 30, 60], [51, 102, 153]], np.uint8)
NAMES = {"names": "{0: 'red', 1: 'green', 2: 'blue'}"}
ROUNDING = 0.012
"""Of 8-bit YUV, as a share of 255."""


class Model(NamedTuple):
    """A model file, by what is written into its metadata."""

    make: Callable[[str, dict[str, str]], Path]


def striped(colours: U8) -> tuple[Frame, Tiles]:
    """Return a frame with one square of each colour side by side, and the squares as its tiles."""
    planes = [to_yuv(tuple(map(int, colour)), "bt601", full_range=True) for colour in colours]
    y, u, v = (np.array([each[plane] for each in planes], np.uint8) for plane in range(3))
    wide = SIDE * len(colours)
    frame = Frame(
        stream="s", index=0, pts=0, time_base=Fraction(1, 25), captured_ns=0, width=wide, height=SIDE,
        y=np.tile(y.repeat(SIDE), (SIDE, 1)), u=np.tile(u.repeat(SIDE // 2), (SIDE // 2, 1)),
        v=np.tile(v.repeat(SIDE // 2), (SIDE // 2, 1)), full_range=True, matrix="bt601", keyframe=True,
    )  # fmt: skip
    starts = np.arange(len(colours)) * SIDE
    rects = np.stack([starts, np.zeros_like(starts), starts + SIDE, np.full_like(starts, SIDE)], axis=1)
    return frame, tiles_of(rects.astype(np.int32))


def tiles_of(rects: np.ndarray) -> Tiles:
    """Return tiles at their own size."""
    return Tiles(
        rects=rects,
        inner=np.zeros((len(rects), 4), bool),
        fitted=np.ascontiguousarray(rects[:, 2:] - rects[:, :2]),
        scale=np.ones(len(rects), np.float32),
        full_frame=np.zeros(len(rects), bool),
    )


def painted(engine: ModelEngine, colours: U8) -> Slot:
    """Return a slot with one tile of each colour."""
    return engine.cut(*striped(colours))


def all_of(engine: ModelEngine, parts: list[tuple[Slot, int]]) -> list[Candidates]:
    """Feed parts as the engine likes it and return what each one's head says, all anchors of it."""
    results: list[Candidates] = []
    batch, most = engine.feeding.batch, engine.feeding.in_flight
    chunks = [parts[start : start + batch] for start in range(0, len(parts), batch)]
    for number, chunk in enumerate(chunks):
        engine.submit(chunk)
        if number + 1 >= most:
            results.extend(_read(engine))
    while len(results) < len(parts):
        results.extend(_read(engine))
    return results


def _read(engine: ModelEngine) -> list[Candidates]:
    """Collect, and return each tile's candidates."""
    outputs = engine.collect()
    assert all(output.dtype == np.float32 for output in outputs)
    return [
        engine.head.decode([output[index : index + 1] for output in outputs], 0.02) for index in range(len(outputs[0]))
    ]


def check_colour(found: Candidates, colour: U8) -> None:
    """All anchors say the tile's strongest colour, at their places."""
    assert len(found.score) == ANCHORS
    np.testing.assert_allclose(found.score, colour.max() / 255, atol=ROUNDING)
    assert set(found.label.tolist()) == {int(colour.argmax())}
    centre, half = boxes()[:2].T, boxes()[2:].T / 2
    np.testing.assert_allclose(found.xyxy, np.concatenate([centre - half, centre + half], axis=1), rtol=1e-6)


class EngineContract:
    """What every engine does."""

    @pytest.fixture
    def make(self) -> type[ModelEngine]:
        """The engine's class."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        """How a model file for this engine comes about."""
        raise NotImplementedError

    @pytest.fixture
    def options(self, model: Model) -> EngineOptions:
        """Options for the tiny model."""
        return EngineOptions(model=model.make("tiny", NAMES), size=SIDE, precision="f32", threads=2)

    @pytest.fixture
    def engine(self, make: type[ModelEngine], options: EngineOptions) -> Iterator[ModelEngine]:
        """The engine with the tiny model, open and warm."""
        made = make(options)
        made.open()
        made.warm_up()
        yield made
        made.close()

    @pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
    def test_tiles_come_back_in_the_order_they_went(self, engine: ModelEngine, count: int) -> None:
        """Any number of tiles, more than fit in flight too; red, green and blue stay what they are."""
        colours = COLOURS[np.arange(count) % len(COLOURS)]
        slot = painted(engine, colours)
        assert slot.count == count
        for found, colour in zip(all_of(engine, [(slot, row) for row in range(count)]), colours, strict=True):
            check_colour(found, colour)

    def test_rows_of_several_slots_mix(self, engine: ModelEngine) -> None:
        """A submit names slot and row of every tile: they need not be neighbours."""
        first, second = painted(engine, COLOURS[:3]), painted(engine, COLOURS[3:])
        parts = [(second, 1), (first, 2), (second, 0), (first, 0)]
        for found, colour in zip(all_of(engine, parts), COLOURS[[4, 2, 3, 0]], strict=True):
            check_colour(found, colour)

    def test_slots_serve_frame_after_frame(self, engine: ModelEngine) -> None:
        """A released slot's memory shows the next frame, larger ones too; two that are out are never the same."""
        engine.release(painted(engine, COLOURS))
        again, other = painted(engine, COLOURS[:2]), painted(engine, COLOURS[2:4])
        found = all_of(engine, [(again, 0), (other, 1), (again, 1)])
        engine.release(again)
        larger = painted(engine, np.concatenate([COLOURS, COLOURS]))
        found += all_of(engine, [(other, 0), (larger, 9)])
        for each, colour in zip(found, COLOURS[[0, 3, 1, 2, 4]], strict=True):
            check_colour(each, colour)

    def test_frame_without_tiles_needs_nothing(self, engine: ModelEngine) -> None:
        """All of its tiles are still: there is nothing to infer."""
        frame, tiles = striped(COLOURS)
        slot = engine.cut(frame, tiles.take(np.zeros(len(tiles), bool)))
        assert slot.count == 0
        engine.release(slot)

    def test_padding_is_grey_and_the_rest_the_frame(self, engine: ModelEngine) -> None:
        """A tile that the frame does not fill lies at the top left."""
        frame, _ = striped(COLOURS[:2])
        slot = engine.cut(frame, tiles_of(np.array([[0, 0, SIDE // 2, SIDE]], np.int32)))
        (found,) = all_of(engine, [(slot, 0)])
        left = boxes()[0] + boxes()[2] / 2 < SIDE / 2
        np.testing.assert_allclose(found.score[left], 1, atol=ROUNDING)
        right = boxes()[0] > SIDE / 2 + 16
        np.testing.assert_allclose(found.score[right], 114 / 255, atol=ROUNDING)

    def test_info_tells_what_is_in_use(self, engine: ModelEngine, options: EngineOptions) -> None:
        """For the log, the metrics and the manifest."""
        info = engine.info
        assert (info.precision, info.names, info.head) == ("f32", ("red", "green", "blue"), "yolov8")
        assert (info.model_path, info.input_size, len(info.model_sha256)) == (str(options.model), SIDE, 64)
        assert all((info.backend, info.backend_version, info.device, info.precision_reason))
        assert engine.feeding.batch >= 1
        assert engine.feeding.in_flight >= 1

    def test_close_waits_for_what_is_in_flight_and_may_come_again(self, engine: ModelEngine) -> None:
        """After it nothing can be submitted or collected."""
        slot = painted(engine, COLOURS)
        engine.submit([(slot, 0)])
        engine.close()
        engine.close()
        with pytest.raises(EngineError):
            engine.submit([(slot, 1)])
        with pytest.raises(EngineError):
            engine.collect()

    def test_collect_without_submit_is_an_error(self, engine: ModelEngine) -> None:
        """It would wait for ever."""
        with pytest.raises(EngineError, match="nothing is in flight"):
            engine.collect()

    def test_submit_of_too_many_tiles_is_an_error(self, engine: ModelEngine) -> None:
        """The engine says how it likes to be fed; neither none nor more."""
        slot = painted(engine, COLOURS[:1])
        for parts in ([], [(slot, 0)] * (engine.feeding.batch + 1)):
            with pytest.raises(EngineError, match="tiles in one submit"):
                engine.submit(parts)

    def test_foreign_slot_is_an_error(self, engine: ModelEngine) -> None:
        """A slot belongs to the engine that cut it."""

        class Foreign:
            count = 1

        with pytest.raises(EngineError, match="Foreign is not a slot of this engine"):
            engine.submit([(Foreign(), 0)])

    def test_facts_before_open_are_an_error(self, make: type[ModelEngine], options: EngineOptions) -> None:
        """There is nothing to tell yet; closing is allowed."""
        made = make(options)
        for ask in (lambda: made.info, lambda: made.feeding, lambda: made.head, made.warm_up):
            with pytest.raises(EngineError, match="has not been opened"):
                ask()
        made.close()

    def test_engine_opens_again_after_close(self, make: type[ModelEngine], options: EngineOptions) -> None:
        """A second life works like the first."""
        made = make(options)
        for _ in range(2):
            made.open()
            made.warm_up()
            slot = painted(made, COLOURS)
            assert len(all_of(made, [(slot, row) for row in range(5)])) == 5
            made.close()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda o: replace(o, size=128), "set TILE_SIZE=64"),
            (lambda o: replace(o, model=o.model.with_stem("absent")), r"absent\.\w+: No such file"),
            (lambda o: replace(o, head="detr"), "HEAD=detr does not fit"),
            (lambda o: replace(o, precision="f16"), "PRECISION=f16"),
        ],
    )
    def test_settings_that_do_not_fit_are_refused_at_open(
        self,
        make: type[ModelEngine],
        options: EngineOptions,
        change: Callable[[EngineOptions], EngineOptions],
        message: str,
    ) -> None:
        """A wrong size, file, head or precision is a matter of configuration, said in one line."""
        made = make(change(options))
        with pytest.raises(ConfigError, match=message) as caught:
            made.open()
        assert "\n" not in str(caught.value)
        made.close()

    def test_model_cut_short_is_refused_at_open(self, make: type[ModelEngine], options: EngineOptions) -> None:
        """A broken download."""
        options.model.write_bytes(options.model.read_bytes()[:-40])
        with pytest.raises(ConfigError, match=r"tiny\.\w+"):
            make(options).open()

    def test_layout_that_means_something_else_is_refused_at_warm_up(
        self, make: type[ModelEngine], model: Model
    ) -> None:
        """Grey at 0-255 gives scores of 114: no probabilities."""
        loud = model.make("loud", {"tilewatch": '{"input": "bgr255"}'})
        made = make(EngineOptions(model=loud, size=SIDE, precision="f32"))
        made.open()
        with pytest.raises(ConfigError, match=r"loud\.\w+: HEAD=yolov8: scores .* no probabilities"):
            made.warm_up()
        made.close()
