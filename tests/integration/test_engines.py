"""The engines of the CPU: the contract of all engines, and what is their own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.data import data_path
from tests.support.engine_contract import COLOURS, EngineContract, Model, striped, tiles_of
from tests.support.models import SIDE, boxes, tiny_detector
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.select import ENGINES, choose
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from tilewatch.engines.host import HostEngine, HostSlot
    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.records import F32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled models go to the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class TestHostEngines(EngineContract):
    """The engines that run on the CPU."""

    @pytest.fixture(params=sorted(ENGINES))
    def make(self, request: pytest.FixtureRequest) -> type[ModelEngine]:
        """Every engine class."""
        return ENGINES[request.param]

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        """An ONNX file."""
        return Model(lambda name, metadata: tiny_detector(tmp_path / f"{name}.onnx", metadata=metadata))

    def test_backend_is_named_as_it_is_chosen(self, engine: ModelEngine) -> None:
        """What the log says is what BACKEND takes."""
        assert ENGINES[engine.info.backend] is type(engine)

    def test_slots_go_round(self, engine: HostEngine) -> None:
        """A released slot's memory serves the next frame, larger ones are made when needed."""
        slot = engine.pool.take(5)
        engine.release(slot)
        again, other = engine.pool.take(2), engine.pool.take(2)
        assert np.shares_memory(again.pixels, slot.pixels)
        assert (again.count, again.pixels.shape) == (2, (2, SIDE, SIDE, 3))
        assert not np.shares_memory(again.pixels, other.pixels)

    def test_outputs_are_the_models_own(self, engine: HostEngine) -> None:
        """To rounding: every class of every anchor."""
        slot = engine.pool.take(1)
        slot.pixels[:] = COLOURS[4]
        engine.submit([(slot, 0)])
        (output,) = engine.collect()
        np.testing.assert_allclose(output[0, :4], boxes(), rtol=1e-6)
        np.testing.assert_allclose(output[0, 4:, 0], COLOURS[4] / 255, atol=1e-5)

    def test_tiles_are_cut_as_bytes(self, engine: HostEngine) -> None:
        """RGB of the frame's planes, grey beyond the fitted part."""
        frame, _ = striped(COLOURS[:1])
        slot = engine.cut(frame, tiles_of(np.array([[0, 0, SIDE, SIDE], [0, 0, SIDE // 2, SIDE]], np.int32)))
        np.testing.assert_allclose(slot.pixels[1, 5, 5].astype(int), [254, 0, 0], atol=2)
        assert slot.pixels[1, 5, 40].tolist() == [114, 114, 114]


def raw(engine: HostEngine, slot: HostSlot, row: int) -> F32:
    """Return a tile's output."""
    engine.submit([(slot, row)])
    return np.array(engine.collect()[0][0])


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
        outputs[name] = np.stack([raw(real, slot, row) for row in range(3)])
        assert real.head.name == "yolox raw"
        real.close()
    exact = precision == "f32"
    np.testing.assert_allclose(outputs["openvino"], outputs["onnxruntime"], atol=1e-3 if exact else 2.0)


def test_named_backend_is_taken_or_refused() -> None:
    """Never something else than was asked for."""
    model = Path("model.onnx")
    assert choose("auto", model) is choose("openvino", model) is ENGINES["openvino"]
    assert choose("onnxruntime", model) is ENGINES["onnxruntime"]


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_missing_runtime_is_an_error_with_the_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is named, and how to get it; a named backend does not fall back."""
    monkeypatch.setattr(
        "tilewatch.engines.select.find_spec", lambda package: None if package == name else find_spec(package)
    )
    with pytest.raises(ConfigError, match=f"pip install {name}"):
        choose(name, Path("model.onnx"))
    assert choose("auto", Path("model.onnx")) is not ENGINES[name]


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
