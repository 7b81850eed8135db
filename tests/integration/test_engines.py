"""One suite for all engines: the contract of engines.base on a model worked out by hand and on a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.data import data_path
from tests.support.models import ANCHORS, SIDE, boxes, tiny_detector
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.select import ENGINES, choose
from tilewatch.errors import ConfigError, EngineError
from tilewatch.records import Frame, Tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tilewatch.engines.host import HostEngine, HostSlot
    from tilewatch.records import F32, U8

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [51, 102, 153]], np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled models go to the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def options(tmp_path: Path) -> EngineOptions:
    """Options for the tiny model."""
    names = "{0: 'red', 1: 'green', 2: 'blue'}"
    model = tiny_detector(tmp_path / "tiny.onnx", metadata={"names": names})
    return EngineOptions(model=model, size=SIDE, precision="f32", threads=2)


@pytest.fixture(params=sorted(ENGINES))
def make(request: pytest.FixtureRequest) -> type[HostEngine]:
    """Every engine class."""
    return ENGINES[request.param]


@pytest.fixture
def engine(make: type[HostEngine], options: EngineOptions) -> Iterator[HostEngine]:
    """Every engine with the tiny model, open and warm."""
    made = make(options)
    made.open()
    made.warm_up()
    yield made
    made.close()


def painted(engine: HostEngine, colours: U8) -> HostSlot:
    """Return a slot with one tile of each colour."""
    slot = engine.pool.take(len(colours))
    slot.pixels[:] = colours[:, None, None, :]
    return slot


def all_of(engine: HostEngine, parts: list[tuple[HostSlot, int]]) -> list[F32]:
    """Feed parts as the engine likes it and return each one's first output."""
    results: list[F32] = []
    batch, most = engine.feeding.batch, engine.feeding.in_flight
    chunks = [parts[start : start + batch] for start in range(0, len(parts), batch)]
    for number, chunk in enumerate(chunks):
        engine.submit(chunk)
        if number + 1 >= most:
            results.extend(np.array(engine.collect()[0]))
    while len(results) < len(parts):
        results.extend(np.array(engine.collect()[0]))
    return results


def scores(output: F32) -> list[float]:
    """Return the three class scores of anchor 0."""
    return [float(value) for value in output[4:, 0]]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
def test_tiles_come_back_in_the_order_they_went(engine: HostEngine, count: int) -> None:
    """Any number of tiles, more than fit in flight too; red, green and blue stay what they are."""
    colours = COLOURS[np.arange(count) % len(COLOURS)]
    slot = painted(engine, colours)
    outputs = all_of(engine, [(slot, row) for row in range(count)])
    for output, colour in zip(outputs, colours, strict=True):
        assert (output.dtype, output.shape) == (np.dtype(np.float32), (7, ANCHORS))
        np.testing.assert_allclose(output[:4], boxes(), rtol=1e-6)
        np.testing.assert_allclose(scores(output), colour / 255, atol=1e-5)


def test_rows_of_several_slots_mix(engine: HostEngine) -> None:
    """A submit names slot and row of every tile: they need not be neighbours."""
    first, second = painted(engine, COLOURS[:3]), painted(engine, COLOURS[3:])
    parts = [(second, 1), (first, 2), (second, 0), (first, 0)]
    outputs = all_of(engine, parts)
    for output, (slot, row) in zip(outputs, parts, strict=True):
        np.testing.assert_allclose(scores(output), slot.pixels[row, 0, 0] / 255, atol=1e-5)


def test_slots_go_round(engine: HostEngine) -> None:
    """A released slot's memory serves the next frame, larger ones are made when needed, two out are never the same."""
    slot = painted(engine, COLOURS)
    engine.release(slot)
    again, other = painted(engine, COLOURS[:2]), painted(engine, COLOURS[2:4])
    assert np.shares_memory(again.pixels, slot.pixels)
    assert (again.count, again.pixels.shape) == (2, (2, SIDE, SIDE, 3))
    assert not np.shares_memory(again.pixels, other.pixels)
    outputs = all_of(engine, [(again, 0), (other, 1)])
    np.testing.assert_allclose([scores(output) for output in outputs], COLOURS[[0, 3]] / 255, atol=1e-5)


def test_head_decodes_what_the_engine_gives(engine: HostEngine) -> None:
    """The head is settled by the warm-up; a green tile is all green."""
    slot = painted(engine, COLOURS[1:2])
    engine.submit([(slot, 0)])
    found = engine.head.decode(engine.collect(), 0.5)
    assert len(found.score) == ANCHORS
    assert set(found.label.tolist()) == {1}
    np.testing.assert_allclose(found.xyxy[0], [-4, -4, 12, 12])


def test_info_tells_what_is_in_use(engine: HostEngine, options: EngineOptions) -> None:
    """For the log, the metrics and the manifest."""
    info = engine.info
    assert ENGINES[info.backend] is type(engine)
    assert (info.precision, info.names, info.head) == ("f32", ("red", "green", "blue"), "yolov8")
    assert (info.model_path, info.input_size, len(info.model_sha256)) == (str(options.model), SIDE, 64)
    assert all((info.backend_version, info.device, info.precision_reason))
    assert engine.feeding.batch >= 1
    assert engine.feeding.in_flight >= 1


def test_close_waits_for_what_is_in_flight_and_may_come_again(engine: HostEngine) -> None:
    """After it nothing can be submitted or collected."""
    slot = painted(engine, COLOURS)
    engine.submit([(slot, 0)])
    engine.close()
    engine.close()
    with pytest.raises(EngineError):
        engine.submit([(slot, 1)])
    with pytest.raises(EngineError):
        engine.collect()


def test_collect_without_submit_is_an_error(engine: HostEngine) -> None:
    """It would wait for ever."""
    with pytest.raises(EngineError, match="nothing is in flight"):
        engine.collect()


def test_submit_of_too_many_tiles_is_an_error(engine: HostEngine) -> None:
    """The engine says how it likes to be fed; neither none nor more."""
    slot = painted(engine, COLOURS[:1])
    for parts in ([], [(slot, 0)] * (engine.feeding.batch + 1)):
        with pytest.raises(EngineError, match="tiles in one submit"):
            engine.submit(parts)


def test_facts_before_open_are_an_error(make: type[HostEngine], options: EngineOptions) -> None:
    """There is nothing to tell yet; closing is allowed."""
    made = make(options)
    for ask in (lambda: made.info, lambda: made.feeding, lambda: made.head, made.warm_up):
        with pytest.raises(EngineError, match="has not been opened"):
            ask()
    made.close()


def test_engine_opens_again_after_close(make: type[HostEngine], options: EngineOptions) -> None:
    """A second life works like the first."""
    made = make(options)
    for _ in range(2):
        made.open()
        made.warm_up()
        assert len(all_of(made, [(painted(made, COLOURS), row) for row in range(5)])) == 5
        made.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: replace(o, size=128), "set TILE_SIZE=64"),
        (lambda o: replace(o, model=o.model.with_name("absent.onnx")), "absent.onnx: No such file"),
        (lambda o: replace(o, head="detr"), "HEAD=detr does not fit"),
        (lambda o: replace(o, precision="f16"), "PRECISION=f16"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_open(
    make: type[HostEngine], options: EngineOptions, change: Callable[[EngineOptions], EngineOptions], message: str
) -> None:
    """A wrong size, file, head or precision is a matter of configuration, said in one line."""
    with pytest.raises(ConfigError, match=message) as caught:
        make(change(options)).open()
    assert "\n" not in str(caught.value)


def test_model_cut_short_is_refused_at_open(make: type[HostEngine], options: EngineOptions) -> None:
    """A broken download."""
    options.model.write_bytes(options.model.read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"tiny\.onnx"):
        make(options).open()


def test_layout_that_means_something_else_is_refused_at_warm_up(make: type[HostEngine], tmp_path: Path) -> None:
    """Grey at 0-255 gives scores of 114: no probabilities."""
    model = tiny_detector(tmp_path / "loud.onnx", metadata={"tilewatch": '{"input": "bgr255"}'})
    made = make(EngineOptions(model=model, size=SIDE, precision="f32"))
    made.open()
    with pytest.raises(ConfigError, match=r"loud\.onnx: HEAD=yolov8: scores .* no probabilities"):
        made.warm_up()
    made.close()


def test_engine_cuts_tiles_out_of_a_frame(engine: HostEngine) -> None:
    """From the planes of a frame into a slot: a red frame gives red tiles, with grey beyond the fitted part."""
    height, width = 64, 96
    half = (height // 2, width // 2)
    frame = Frame(
        stream="s", index=0, pts=0, time_base=Fraction(1, 25), captured_ns=0, width=width, height=height,
        y=np.full((height, width), 76, np.uint8), u=np.full(half, 85, np.uint8), v=np.full(half, 255, np.uint8),
        full_range=True, matrix="bt601", keyframe=True,
    )  # fmt: skip
    tiles = Tiles(
        rects=np.array([[0, 0, 64, 64], [64, 0, 96, 64]], np.int32),
        inner=np.zeros((2, 4), bool),
        fitted=np.array([[64, 64], [32, 64]], np.int32),
        scale=np.ones(2, np.float32),
        full_frame=np.zeros(2, bool),
    )
    slot = engine.cut(frame, tiles)
    assert isinstance(slot.pixels, np.ndarray)
    np.testing.assert_allclose(slot.pixels[1, 5, 5].astype(int), [254, 0, 0], atol=2)
    assert slot.pixels[1, 5, 40].tolist() == [114, 114, 114]
    (whole, _) = all_of(engine, [(slot, 0), (slot, 1)])
    np.testing.assert_allclose(scores(whole), [1, 0, 0], atol=0.01)


@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_real_model_gives_the_same_on_every_engine(precision: str) -> None:
    """YOLOX-nano on noise: f32 engines agree to rounding; the precision chosen for this CPU stays close."""
    outputs = {}
    for name, made in ENGINES.items():
        real = made(EngineOptions(model=data_path("models/yolox_nano.onnx"), precision=precision, threads=2))
        real.open()
        real.warm_up()
        slot = real.pool.take(3)
        slot.pixels[:] = np.random.default_rng(3).integers(0, 256, slot.pixels.shape, np.uint8)
        outputs[name] = np.stack(all_of(real, [(slot, row) for row in range(3)]))
        assert real.head.name == "yolox raw"
        real.close()
    exact = precision == "f32"
    np.testing.assert_allclose(outputs["openvino"], outputs["onnxruntime"], atol=1e-3 if exact else 2.0)


def test_named_backend_is_taken_or_refused() -> None:
    """Never something else than was asked for."""
    assert choose("auto") is choose("openvino") is ENGINES["openvino"]
    assert choose("onnxruntime") is ENGINES["onnxruntime"]
    with pytest.raises(ConfigError, match="BACKEND=tensorrt is not available"):
        choose("tensorrt")


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_missing_runtime_is_an_error_with_the_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is named, and how to get it; a named backend does not fall back."""
    monkeypatch.setattr("tilewatch.engines.select.find_spec", lambda package: None if package == name else object())
    with pytest.raises(ConfigError, match=f"pip install {name}"):
        choose(name)
    assert choose("auto") is not ENGINES[name]


PROBE = """
import sys
events = []
sys.addaudithook(lambda event, _: events.append(event))
from tilewatch.engines.openvino import runtime_module
runtime_module().Core()
print([event for event in events if event.startswith('socket.') or event in {'os.fork', 'subprocess.Popen'}])
"""


def test_openvino_sends_nothing(tmp_path: Path) -> None:
    """Its import reports to Google Analytics by default, from a forked process; ours opens no socket and forks not."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**{key: value for key, value in os.environ.items() if key != "CI"}, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "intel").exists()
