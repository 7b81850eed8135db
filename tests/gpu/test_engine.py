"""TensorRT on a real device: the contract of all engines, graphs, short memory, two at once, and a short soak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.bench.bench_run import first_frames
from tests.support.data import data_path
from tests.support.engine_contract import COLOURS, NAMES, EngineContract, Model, all_of, check_colour, painted
from tests.support.gpu import build, gpu_or_skip
from tests.support.models import SIDE, tiny_detector
from tests.support.mosaic import make_mosaic
from tilewatch.engines.cuda.binding import DeviceMemoryError
from tilewatch.engines.cuda.memory import DeviceBuffer
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.tensorrt import TensorRtEngine
from tilewatch.engines.tensorrt import runner as runner_module
from tilewatch.errors import EngineError
from tilewatch.settings import TileSettings
from tilewatch.stages.tile import plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gpu import Gpu
    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.records import Frame

SOAK_FRAMES = 2000
LEFT_BYTES = 300 << 20
"""What is left to an engine next to one that took nearly everything: TensorRT's and CUDA's own libraries take most."""
GRACE_BYTES = 8 << 20
"""What the driver itself may take meanwhile."""


@pytest.fixture
def gpu() -> Gpu:
    """The device."""
    return gpu_or_skip()


@pytest.fixture
def engine(gpu: Gpu, tmp_path: Path) -> Iterator[TensorRtEngine]:
    """The engine of the tiny model, open and warm."""
    made = opened(gpu, tmp_path)
    yield made
    made.close()


def built(gpu: Gpu, folder: Path) -> EngineOptions:
    """Build the tiny model."""
    onnx_file = tiny_detector(folder / "tiny.onnx", metadata=NAMES)
    return EngineOptions(model=build(gpu, onnx_file, folder / "tiny.engine", NAMES, size=SIDE), size=SIDE)


def opened(gpu: Gpu, folder: Path) -> TensorRtEngine:
    """Build the tiny model, open it and warm it up."""
    made = TensorRtEngine(built(gpu, folder))
    made.open()
    made.warm_up()
    return made


class TestTensorRtOnADevice(EngineContract):
    """The contract."""

    @pytest.fixture
    def make(self) -> type[ModelEngine]:
        """The engine's class."""
        return TensorRtEngine

    @pytest.fixture
    def model(self, gpu: Gpu, tmp_path: Path) -> Model:
        """An engine file built here."""

        def make(name: str, properties: dict[str, str]) -> Path:
            onnx_file = tiny_detector(tmp_path / f"{name}.onnx", metadata=properties)
            return build(gpu, onnx_file, tmp_path / f"{name}.engine", properties, size=SIDE)

        return Model(make)


def test_every_batch_size_is_recorded(engine: TensorRtEngine, capsys: pytest.CaptureFixture[str]) -> None:
    """No refusal, and the recorded calls say what the others said."""
    slot = painted(engine, COLOURS)
    for count in (1, 2, 3, 4, 5, 3, 1, 5, 2, 4):
        for _ in range(3):
            for found, colour in zip(all_of(engine, [(slot, row) for row in range(count)]), COLOURS, strict=False):
                check_colour(found, colour)
    assert "graph_refused" not in capsys.readouterr().out


def test_recorded_calls_of_all_sizes_compute_what_the_others_do(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a real model, whose convolutions prepare for their shapes, the sizes taking turns."""
    clip = tmp_path / "mosaic.mp4"
    make_mosaic(clip, columns=3, rows=2, frames=2, size=(1920, 1080))
    (frame,) = first_frames(clip, 1)
    file = build(gpu, data_path("models/yolov8n.onnx"), tmp_path / "yolov8n.engine", {}, size=640)
    recorded = in_turns(file, frame)
    monkeypatch.setattr(runner_module, "capture", refused)
    for ours, theirs in zip(recorded, in_turns(file, frame), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.01)


def refused(*_: object) -> None:
    """Record nothing."""
    raise EngineError("not to be recorded")


def in_turns(file: Path, frame: Frame) -> list[np.ndarray]:
    """Return what calls of many sizes find above 0.25, sorted."""
    made = TensorRtEngine(EngineOptions(model=file, size=640))
    made.open()
    made.warm_up()
    made.set_floor(0.25)
    slot = made.cut(frame, plan(frame.width, frame.height, TileSettings(full_frame="off")).tiles)
    found = []
    for count in (8, 3, 8, 5, 1, 3, 8, 5, 3, 1, 8, 2) * 4:
        made.submit([(slot, row) for row in range(count)])
        for rows in made.collect()[0]:
            sure = rows[rows[:, 4] > 0]
            found.append(sure[np.lexsort(sure.T)])
    made.close()
    assert sum(map(len, found)) > 100
    return found


def test_short_memory_gives_a_smaller_batch_or_an_error_that_says_so(gpu: Gpu, tmp_path: Path) -> None:
    """Next to somebody who, once the engine is built, takes nearly everything."""
    if gpu.device.integrated:
        pytest.skip("the device shares its memory with the processor: all of it would be taken from the system")
    made = TensorRtEngine(built(gpu, tmp_path))
    hog = DeviceBuffer(gpu.cuda, max(gpu.free_bytes() - LEFT_BYTES, 1))
    try:
        made.open()
        made.warm_up()
        assert 1 <= made.feeding.batch <= 8
    except DeviceMemoryError as error:
        assert "set a smaller BATCH_SIZE" in str(error)  # noqa: PT017 -- either may happen
    finally:
        hog.close()
        made.close()


def test_two_engines_work_side_by_side(gpu: Gpu, tmp_path: Path) -> None:
    """Each with its own contexts, streams and memory, calls of both in flight."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    engines = [opened(gpu, folder) for folder in folders]
    slots = [painted(engine, COLOURS) for engine in engines]
    for _ in range(50):
        for engine, slot in zip(engines, slots, strict=True):
            engine.submit([(slot, row) for row in range(5)])
        for engine in engines:
            rows = engine.collect()[0]
            check_colour(engine.head.decode([rows[3:4]], 0.02), COLOURS[3])
    for engine in engines:
        engine.close()


def test_memory_is_flat_over_many_frames(gpu: Gpu, engine: TensorRtEngine) -> None:
    """Of the device, after the first ones."""
    rng = np.random.default_rng(0)
    free = 0
    for frame in range(SOAK_FRAMES):
        chosen = rng.integers(0, len(COLOURS), rng.integers(1, 9))
        slot = painted(engine, COLOURS[chosen])
        engine.submit([(slot, row) for row in range(len(chosen))])
        rows = engine.collect()[0]
        engine.release(slot)
        if frame == SOAK_FRAMES // 10:
            free = gpu.free_bytes()
        if frame % 100 == 0:
            check_colour(engine.head.decode([rows[:1]], 0.02), COLOURS[chosen[0]])
    assert gpu.free_bytes() > free - GRACE_BYTES


def test_everything_is_given_back(gpu: Gpu, tmp_path: Path) -> None:
    """Open and close leave the device's memory as it was."""
    opened(gpu, tmp_path).close()
    free = gpu.free_bytes()
    for _ in range(3):
        opened(gpu, tmp_path).close()
    assert gpu.free_bytes() > free - GRACE_BYTES
