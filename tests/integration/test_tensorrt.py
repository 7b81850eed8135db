"""The TensorRT engine on a device that is played: the contract of all engines, and what only this one has to do.

No device has a part in this. What is real: every line of the engine, the kernels' arithmetic, all addresses and sizes.
"""

from __future__ import annotations

import gc
import re
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support import fake_tensorrt
from tests.support.engine_contract import COLOURS, NAMES, EngineContract, Model, all_of, check_colour, painted
from tests.support.fake_cuda import cudaError_t
from tests.support.models import ANCHORS, SIDE, tiny_detector, tiny_grid_detector
from tests.support.nvidia import card_of, machine, tiny_engine
from tilewatch.engines.base import Feeding
from tilewatch.engines.cuda.binding import CudaError, DeviceMemoryError
from tilewatch.engines.engine_card import card_path, file_sha256, write_card
from tilewatch.engines.options import EngineOptions
from tilewatch.engines.tensorrt import TensorRtEngine
from tilewatch.engines.tensorrt import outputs as outputs_module
from tilewatch.engines.tensorrt import results as results_module
from tilewatch.engines.tensorrt.journal import Journal
from tilewatch.engines.tensorrt.plan import runtime_module
from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.nvidia import Machine
    from tilewatch.engines.model_engine import ModelEngine

EIGHT = np.concatenate([COLOURS, COLOURS[:3]])
STEADY = [
    "cudaStreamWaitEvent", "cuLaunchKernel", "cudaGraphLaunch", "cudaMemsetAsync", "cuLaunchKernel", "cudaMemcpyAsync",
]  # fmt: skip
"""A call once it is warm: wait for the upload on the device, cut, infer, pick, bring down."""


@pytest.fixture
def discrete(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A card with memory of its own."""
    return machine(monkeypatch)


@pytest.fixture
def options(tmp_path: Path) -> EngineOptions:
    """Options for the tiny engine."""
    return EngineOptions(model=tiny_engine(tmp_path / "tiny.engine", NAMES), size=SIDE)


@pytest.fixture
def engine(discrete: Machine, options: EngineOptions) -> Iterator[TensorRtEngine]:
    """The engine, open, warm, and its calls so far forgotten."""
    made = opened(options)
    used(made)
    discrete.cuda.names()
    yield made
    made.close()


def used(engine: TensorRtEngine) -> None:
    """Let a frame of eight tiles go through, so that the next one finds room."""
    slot = painted(engine, EIGHT)
    engine.submit([(slot, 0)])
    engine.collect()
    engine.release(slot)


def opened(options: EngineOptions) -> TensorRtEngine:
    """Return an engine that is open and warm."""
    made = TensorRtEngine(options)
    made.open()
    made.warm_up()
    return made


@pytest.fixture(params=["card", "integrated", "outputs of unknown size", "no graphs"])
def played(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Machines of several kinds; nothing is left on any of them."""
    made = machine(monkeypatch, integrated=request.param == "integrated")
    made.trt.late_shapes = request.param == "outputs of unknown size"
    made.trt.refuse_capture = request.param == "no graphs"
    yield made
    assert made.cuda.leaks() == []


@pytest.mark.usefixtures("played")
class TestTensorRt(EngineContract):
    """The contract, on every kind of machine."""

    @pytest.fixture
    def make(self) -> type[ModelEngine]:
        """The engine's class."""
        return TensorRtEngine

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        """An engine file with its card."""
        return Model(lambda name, properties: tiny_engine(tmp_path / f"{name}.engine", properties))


@pytest.mark.parametrize("kind", [1, 10], ids=["float", "half"])
@pytest.mark.usefixtures("discrete")
def test_input_is_of_the_engines_own_type(tmp_path: Path, kind: int) -> None:
    """Float or half: the table is in it, and half outputs become float32 on this side."""
    made = opened(EngineOptions(model=tiny_engine(tmp_path / "half.engine", NAMES, kind=kind), size=SIDE))
    slot = painted(made, COLOURS)
    found = all_of(made, [(slot, row) for row in range(5)])
    for each, colour in zip(found, COLOURS, strict=True):
        np.testing.assert_allclose(each.score, colour.max() / 255, atol=0.013)
    made.close()


def test_frame_goes_up_once_and_is_cut_once(discrete: Machine, engine: TensorRtEngine) -> None:
    """One copy up, one launch for all tiles, one graph, one copy down, and no waiting until the results are wanted."""
    slot = painted(engine, EIGHT)
    assert discrete.cuda.names() == ["cudaMemcpyAsync", "cudaEventRecord"]
    engine.submit([(slot, row) for row in range(8)])
    assert discrete.cuda.names() == STEADY
    engine.collect()
    assert discrete.cuda.names() == ["cudaStreamSynchronize"]


def test_nothing_is_copied_on_a_jetson(monkeypatch: pytest.MonkeyPatch, options: EngineOptions) -> None:
    """Planes and candidates lie where both sides see them."""
    integrated = machine(monkeypatch, integrated=True)
    made = opened(options)
    used(made)
    integrated.cuda.names()
    slot = painted(made, EIGHT)
    made.submit([(slot, row) for row in range(8)])
    assert integrated.cuda.names() == ["cudaEventRecord", *(name for name in STEADY if name != "cudaMemcpyAsync")]
    made.collect()
    made.close()
    assert integrated.cuda.leaks() == []


def test_two_calls_are_in_flight_on_two_streams(discrete: Machine, engine: TensorRtEngine) -> None:
    """The second starts without waiting for the first; a third has to wait for its caller."""
    slot = painted(engine, COLOURS[:2])
    discrete.cuda.names()
    engine.submit([(slot, 0), (slot, 1)])
    engine.submit([(slot, 1), (slot, 0)])
    launches = [call for call in discrete.cuda.calls if call.name == "cuLaunchKernel"]
    assert len({int(call.arguments[8]) for call in launches}) == 2
    with pytest.raises(EngineError, match="2 calls are in flight already"):
        engine.submit([(slot, 0)])
    first, second = engine.collect(), engine.collect()
    head = engine.head
    assert head.decode([first[0][:1]], 0.5).label[0] == head.decode([second[0][1:]], 0.5).label[0] == 0


def test_every_batch_size_has_its_graph(discrete: Machine, engine: TensorRtEngine) -> None:
    """The first call of a size goes in itself and is recorded; sizes keep their graphs when they take turns."""
    slot = painted(engine, COLOURS)
    discrete.trt.enqueued.clear()
    for _ in range(4):  # two runners, each of which records for itself
        for count in (3, 5):
            for _ in range(2):
                check(engine, slot, count)
    assert sorted(discrete.trt.enqueued) == [3, 3, 5, 5]


def test_contexts_of_a_runner_work_in_one_memory(monkeypatch: pytest.MonkeyPatch, options: EngineOptions) -> None:
    """As large as a full batch needs; one that needs more gets it, and the records before it keep theirs."""
    played = machine(monkeypatch, scratch_bytes=12_345)
    made = opened(options)
    slot = painted(made, COLOURS)
    made.release(slot)
    for count in (5, 3, 5):
        check(made, slot, count)
    assert [memory.size for memory in played.cuda.memory.values()].count(8 * 12_345) == 2, "one for each runner"
    assert 3 * 12_345 not in [memory.size for memory in played.cuda.memory.values()]
    played.trt.scratch_bytes = 100_000
    for count in (2, 3, 5, 2):
        check(made, slot, count)
    made.close()
    assert played.cuda.leaks() == []


def test_memory_too_short_for_one_more_context_fills_the_batch_up(
    monkeypatch: pytest.MonkeyPatch, options: EngineOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream that sends fewer tiles later on ends no run: the model computes a full batch, which is said once."""
    played = machine(monkeypatch, context_bytes=1 << 20)
    made = opened(options)
    slot = painted(made, COLOURS)
    capsys.readouterr()
    played.trt.enqueued.clear()
    left, played.cuda.left = played.cuda.left, 1 << 19
    for _ in range(4):
        check(made, slot, 5)
    assert capsys.readouterr().out.count("batch_filled_up") == 2, "one for each runner"
    assert played.trt.enqueued == []
    played.cuda.left += left - (1 << 19)
    made.close()
    assert played.cuda.leaks() == []


def check(engine: TensorRtEngine, slot: object, count: int) -> None:
    """Infer the first tiles and compare their colours."""
    for found, colour in zip(all_of(engine, [(slot, row) for row in range(count)]), COLOURS, strict=False):  # type: ignore[misc]
        check_colour(found, colour)


def test_tiles_of_one_frame_that_are_neighbours_are_one_launch(discrete: Machine, engine: TensorRtEngine) -> None:
    """Rows that do not follow each other, or another frame, begin a new one."""
    first, second = painted(engine, COLOURS), painted(engine, COLOURS)
    discrete.cuda.names()
    engine.submit([(first, 1), (first, 2), (second, 0), (second, 1), (first, 4), (first, 0)])
    cuts = [
        call for call in discrete.cuda.calls if call.name == "cuLaunchKernel" and call.arguments[0] == "tilewatch_cut"
    ]
    assert [call.arguments[3] for call in cuts] == [2, 2, 1, 1]
    engine.collect()


def test_only_the_candidates_come_down(discrete: Machine, engine: TensorRtEngine) -> None:
    """Not the model's own outputs; and none below the floor."""
    slot = painted(engine, COLOURS)
    engine.set_floor(0.9)
    discrete.cuda.names()
    engine.submit([(slot, row) for row in range(5)])
    (copy,) = [call for call in discrete.cuda.calls if call.name == "cudaMemcpyAsync"]
    assert copy.arguments[2] == 256 + 5 * ANCHORS * 32
    (rows,) = engine.collect()
    assert (rows[..., 4] > 0).sum(axis=1).tolist() == [ANCHORS, ANCHORS, ANCHORS, 0, 0]


def test_floor_changes_while_calls_are_in_flight(engine: TensorRtEngine) -> None:
    """A threshold that is lowered in the settings reaches the device with the next call."""
    slot = painted(engine, COLOURS[3:])
    engine.set_floor(0.7)
    engine.submit([(slot, 0), (slot, 1)])
    engine.set_floor(0.5)
    engine.submit([(slot, 0), (slot, 1)])
    found = [engine.head.decode(engine.collect(), 0.01) for _ in range(2)]
    assert [sorted(set(each.tile.tolist())) for each in found] == [[0], [0, 1]]


def test_more_candidates_than_there_is_room_for_are_all_found(
    monkeypatch: pytest.MonkeyPatch, discrete: Machine, options: EngineOptions
) -> None:
    """The kernel says how many there were; room is made and it picks once more."""
    monkeypatch.setattr(results_module.PickedResults.__init__, "__defaults__", (7,))
    made = TensorRtEngine(options)
    made.set_floor(0.99)
    made.open()
    made.warm_up()
    made.set_floor(0.1)
    slot = painted(made, COLOURS)
    waits = []
    for _ in range(3):  # two runners, each of which makes its own room
        discrete.cuda.names()
        for found, colour in zip(all_of(made, [(slot, row) for row in range(5)]), COLOURS, strict=True):
            check_colour(found, colour)
        waits.append(discrete.cuda.names().count("cudaStreamSynchronize"))
    assert waits[-1] == 1, "room that was made stays"
    made.close()
    assert discrete.cuda.leaks() == []


def test_batch_is_as_large_as_engine_and_settings_allow(
    monkeypatch: pytest.MonkeyPatch, options: EngineOptions
) -> None:
    """The profile's most, or BATCH_SIZE."""
    for profile, asked, taken in (((1, 8), 4, 4), ((1, 4), 16, 4), ((1, 8), 8, 8)):
        machine(monkeypatch, profile=profile)
        made = opened(replace(options, batch=asked))
        assert (made.feeding.batch, made.feeding.in_flight) == (taken, 2)
        made.close()


def test_engine_of_one_batch_size_is_filled_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that was built for exactly so many tiles computes so many, whatever there is."""
    played = machine(monkeypatch, profile=(4, 4))
    made = opened(EngineOptions(model=tiny_engine(tmp_path / "four.engine", NAMES), size=SIDE, batch=2))
    assert made.feeding.batch == 4
    check(made, painted(made, COLOURS), 3)
    assert set(played.trt.enqueued) == {4}
    made.close()


@pytest.mark.parametrize(
    ("tiles", "fitting", "said"),
    [
        (16, Feeding(batch=8, in_flight=1), ["in_flight_reduced"]),
        (8, Feeding(batch=4, in_flight=1), ["in_flight_reduced", "batch_reduced"]),
    ],
)
def test_short_memory_gives_fewer_calls_in_flight_then_smaller_batches(
    monkeypatch: pytest.MonkeyPatch,
    options: EngineOptions,
    capsys: pytest.CaptureFixture[str],
    tiles: int,
    fitting: Feeding,
    said: list[str],
) -> None:
    """One call, then halved until it fits, said so, and everything that was taken in vain is given back."""
    short = machine(monkeypatch, memory=tiles * 3 * SIDE * SIDE * 4)
    made = opened(options)
    assert made.feeding == fitting
    assert re.findall(r"\w+_reduced", capsys.readouterr().out) == said
    check(made, painted(made, COLOURS), 5)
    made.close()
    assert short.cuda.leaks() == []


def test_memory_too_short_for_one_tile_is_an_error(monkeypatch: pytest.MonkeyPatch, options: EngineOptions) -> None:
    """With what was asked of whom, and what to do; TensorRT's own shortage too."""
    for how in ({"memory": 40_000}, {"memory": 1 << 20, "context_bytes": 1 << 21}):
        short = machine(monkeypatch, **how)  # type: ignore[arg-type]
        made = TensorRtEngine(options)
        made.open()
        with pytest.raises(DeviceMemoryError, match="set a smaller BATCH_SIZE, build the engine anew with a smaller"):
            made.warm_up()
        made.close()
        assert short.cuda.leaks() == []


def test_failing_device_is_an_engine_error(discrete: Machine, engine: TensorRtEngine) -> None:
    """What call, what code, what to do; and the engine can still be closed."""
    slot = painted(engine, COLOURS)
    engine.submit([(slot, 0)])
    discrete.cuda.failures["cudaStreamSynchronize"] = cudaError_t.cudaErrorLaunchFailure
    with pytest.raises(CudaError, match=r"cudaStreamSynchronize failed with cudaErrorLaunchFailure: .*started anew"):
        engine.collect()
    discrete.cuda.failures.clear()


def test_inference_that_tensorrt_refuses_tells_its_reason(discrete: Machine, engine: TensorRtEngine) -> None:
    """TensorRT returns False and tells the recorder."""
    slot = painted(engine, COLOURS)
    discrete.trt.refuse_execution = True
    with pytest.raises(EngineError, match="TensorRT: inference failed: Cask: no kernel"):
        engine.submit([(slot, 0), (slot, 1)])
    discrete.trt.refuse_execution = False


@pytest.mark.parametrize("late", [False, True], ids=["by TensorRT", "by CUDA at its end"])
def test_work_that_cannot_be_recorded_is_put_in_itself(
    discrete: Machine, options: EngineOptions, capsys: pytest.CaptureFixture[str], late: bool
) -> None:
    """One warning, and no further try; its reason colours no later call."""
    discrete.trt.refuse_capture, discrete.trt.late_refusal = True, late
    made = opened(options)
    slot = painted(made, COLOURS)
    for _ in range(3):
        check(made, slot, 5)
    assert capsys.readouterr().out.count("graph_refused") == 2, "one for each runner"
    assert "cudaGraphLaunch" not in discrete.cuda.names()
    discrete.trt.refuse_execution = True
    with pytest.raises(EngineError, match="TensorRT: inference failed: Cask: no kernel") as caught:
        made.submit([(slot, 0)])
    assert "capturing" not in str(caught.value), "the reason of the refused recording is not this one's"
    discrete.trt.refuse_execution = False
    made.close()


def test_cancelled_frame_is_not_overwritten_while_it_goes_up(discrete: Machine, engine: TensorRtEngine) -> None:
    """A slot that comes back unseen may still be on its way: its next user waits for the copy."""
    engine.release(painted(engine, COLOURS))
    discrete.cuda.names()
    slot = painted(engine, COLOURS)
    assert discrete.cuda.names() == ["cudaEventSynchronize", "cudaMemcpyAsync", "cudaEventRecord"]
    engine.release(slot)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"compute_capability": "9.0", "device_name": "H100"},
            r"built for compute capability 9\.0 \(H100\), but this device has 8\.7 \(Fake Orin\)",
        ),
        ({"tensorrt_version": "10.3.0.26"}, r"built by TensorRT 10\.3\.0\.26, but TensorRT 10\.7\.0\.23 is installed"),
        ({"engine_sha256": "c" * 64}, "is not the file its card describes"),
    ],
)
@pytest.mark.usefixtures("discrete")
def test_foreign_engine_is_refused_with_both_sides_and_the_remedy(
    options: EngineOptions, change: dict[str, str], message: str
) -> None:
    """Before TensorRT is asked, which would only say that it cannot."""
    write_card(options.model, card_of(options.model, **change))
    with pytest.raises(ConfigError, match=message) as caught:
        TensorRtEngine(options).open()
    assert "tilewatch model build tiny.onnx" in str(caught.value)


@pytest.mark.parametrize("card", [True, False])
@pytest.mark.usefixtures("discrete")
def test_engine_that_tensorrt_does_not_take_is_refused(tmp_path: Path, card: bool) -> None:
    """With TensorRT's own words; without a card its origin is unknown."""
    foreign = tmp_path / "foreign.engine"
    foreign.write_bytes(b"ftrt" + bytes(100))
    if card:
        write_card(foreign, card_of(foreign))
    origin = "TensorRT 10.7.0.23 on Fake Orin" if card else "an unknown TensorRT and device"
    with pytest.raises(ConfigError, match=f"built by {origin}, is not one for TensorRT 10") as caught:
        TensorRtEngine(EngineOptions(model=foreign, size=SIDE)).open()
    assert re.search(r"tilewatch model build \S+\.onnx \(.*magicTag mismatch: it is no plan", str(caught.value))
    assert "\n" not in str(caught.value)


def test_engine_that_finds_no_room_is_not_called_a_foreign_one(discrete: Machine, options: EngineOptions) -> None:
    """To build it anew would not help: the device's memory is what is short."""
    discrete.trt.engine_bytes = 1 << 40
    with pytest.raises(DeviceMemoryError, match=r"loading .*tiny\.engine failed with .*OutOfMemory.*end what else"):
        TensorRtEngine(options).open()


def test_runtime_that_cannot_be_made_is_an_error(discrete: Machine, options: EngineOptions) -> None:
    """Its factory then gives nothing, which the binding reports as a wrong type; TensorRT tells its logger why."""
    discrete.trt.refuse_runtime = True
    with pytest.raises(EngineError, match="making a runtime failed: CUDA initialization failure with error: 35"):
        TensorRtEngine(options).open()


def test_profile_that_cannot_be_chosen_is_an_error(discrete: Machine, options: EngineOptions) -> None:
    """The binding raises where TensorRT says False; shortage of memory stays what it is."""
    discrete.trt.refuse_profile = True
    made = TensorRtEngine(options)
    made.open()
    with pytest.raises(DeviceMemoryError, match=r"choosing the profile failed with .*OutOfMemory"):
        made.warm_up()
    made.close()
    assert discrete.cuda.leaks() == []


@pytest.mark.usefixtures("discrete")
def test_engine_without_a_card_is_taken_as_it_is(tmp_path: Path) -> None:
    """As trtexec makes one: head recognised, RGB 0-1, names from LABELS_PATH or none."""
    plain = tiny_detector(tmp_path / "model_b8_gpu0_fp32.onnx").rename(tmp_path / "model_b8_gpu0_fp32.engine")
    for names in (None, ("a", "b", "c")):
        made = opened(EngineOptions(model=plain, size=SIDE, names=names))
        assert (made.info.precision, made.info.names, made.info.head) == ("as built", names or (), "yolov8")
        assert made.info.model_sha256 == file_sha256(plain)
        check(made, painted(made, COLOURS), 5)
        made.close()
    with pytest.raises(ConfigError, match="has 3 classes, but LABELS_PATH holds 4 names"):
        TensorRtEngine(EngineOptions(model=plain, size=SIDE, names=("a", "b", "c", "d"))).open()


@pytest.mark.usefixtures("discrete")
def test_onnx_file_stands_for_the_engine_built_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: EngineOptions
) -> None:
    """It lies beside it or in the cache; without it, or with another one's, the command that builds it is named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    onnx_file = options.model.with_suffix(".onnx")
    made = opened(replace(options, model=onnx_file))
    assert made.info.model_path == str(onnx_file)
    assert made.info.model_sha256 == file_sha256(onnx_file)
    made.close()
    write_card(options.model, card_of(options.model))
    with pytest.raises(ConfigError, match=r"built from another tiny\.onnx than .*tilewatch model build"):
        TensorRtEngine(replace(options, model=onnx_file)).open()
    card_path(options.model).unlink()
    with pytest.raises(ConfigError, match="has no card that says"):
        TensorRtEngine(replace(options, model=onnx_file)).open()
    folder = tmp_path / "cache" / "tilewatch" / "engines"
    folder.mkdir(parents=True)
    for name, built_for in (
        ("tiny-0", {"compute_capability": "9.0"}),
        ("tiny-1", {}),
        ("tiny-2", {"model_sha256": "b"}),
    ):
        cached = folder / f"{name}.engine"
        cached.write_bytes(options.model.read_bytes())
        write_card(cached, card_of(cached, **{"model_sha256": file_sha256(onnx_file)} | built_for))
    made = opened(replace(options, model=onnx_file))
    made.close()
    for cached in folder.glob("*.engine"):
        cached.unlink()
    options.model.unlink()
    with pytest.raises(ConfigError, match=r"no TensorRT engine of .* model build .*or set BACKEND=onnxruntime"):
        TensorRtEngine(replace(options, model=onnx_file)).open()


def test_raw_grid_is_decoded_on_the_device(discrete: Machine, tmp_path: Path) -> None:
    """YOLOX: cells, logarithms and objectness; its grid lies on the device."""
    model = tiny_grid_detector(tmp_path / "grid.engine")
    write_card(model, card_of(model, head="yolox raw", normalisation="rgb01"))
    made = opened(EngineOptions(model=model, size=SIDE))
    assert made.info.head == "yolox raw"
    slot = painted(made, COLOURS)
    for found, colour in zip(all_of(made, [(slot, row) for row in range(5)]), COLOURS, strict=True):
        check_colour(found, colour)
    made.close()
    assert discrete.cuda.leaks() == []


def altered(path: Path, change: str) -> Path:
    """Write an engine of the tiny model that is not what a detector's should be."""
    model = onnx.load(str(tiny_detector(path)))
    graph = model.graph
    if change == "two inputs":
        graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1,)))
    if change == "channels last":
        graph.input[0].type.tensor_type.shape.dim[1].dim_value = SIDE
        graph.input[0].type.tensor_type.shape.dim[3].dim_value = 3
    if change == "whole numbers":
        graph.node.append(helper.make_node("Cast", ["output0"], ["rounded"], to=TensorProto.INT64))
        graph.output[0].CopyFrom(helper.make_tensor_value_info("rounded", TensorProto.INT64, ("n", 7, None)))
    onnx.save_model(model, str(path))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("two inputs", r"has 2 inputs \(images, more\): a detector with one image is needed"),
        ("channels last", r"input images is FLOAT \[-1, 64, 64, 3\]: \(N, 3, S, S\) of float or half is needed"),
    ],
)
@pytest.mark.usefixtures("discrete")
def test_engine_of_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, message: str
) -> None:
    """With what it has and what is needed."""
    monkeypatch.setattr(fake_tensorrt, "load_session", _Described)
    with pytest.raises(ConfigError, match=message):
        TensorRtEngine(EngineOptions(model=altered(tmp_path / "odd.engine", change), size=SIDE)).open()


@pytest.mark.parametrize("name", ["images", "output0"])
def test_engine_with_another_layout_in_memory_is_refused(discrete: Machine, options: EngineOptions, name: str) -> None:
    """It would be filled, or read, as something that it is not."""
    discrete.trt.formats[name] = fake_tensorrt.TensorFormat.CHW32
    with pytest.raises(ConfigError, match=f"{name} lies in memory as CHW32, LINEAR is needed: build it without"):
        TensorRtEngine(options).open()


class _Described:
    """What an ONNX file says of its ends, whether it could run or not."""

    def __init__(self, content: bytes) -> None:
        graph = onnx.load_model_from_string(content).graph
        self._ends = [[self._end(value) for value in values] for values in (graph.input, graph.output)]

    @staticmethod
    def _end(value: onnx.ValueInfoProto) -> SimpleNamespace:
        dims = [dim.dim_value or dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
        return SimpleNamespace(name=value.name, type="tensor(float)", shape=dims)

    def get_inputs(self) -> list[SimpleNamespace]:
        """Inputs."""
        return self._ends[0]

    def get_outputs(self) -> list[SimpleNamespace]:
        """Outputs."""
        return self._ends[1]


@pytest.mark.usefixtures("discrete")
def test_output_of_whole_numbers_comes_down_as_float(tmp_path: Path) -> None:
    """The device does not pick from it; the head reads it on this side."""
    made = opened(EngineOptions(model=altered(tmp_path / "whole.engine", "whole numbers"), size=SIDE))
    slot = painted(made, COLOURS[:1])
    made.submit([(slot, 0)])
    (output,) = made.collect()
    assert (output.dtype, output.shape) == (np.dtype(np.float32), (1, 7, ANCHORS))
    made.close()


@pytest.mark.usefixtures("discrete")
def test_type_without_a_counterpart_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that numpy has no type for."""
    monkeypatch.delitem(outputs_module.DTYPES, "FLOAT")
    made = TensorRtEngine(EngineOptions(model=tiny_engine(tmp_path / "tiny.engine", NAMES), size=SIDE))
    made.open()
    with pytest.raises(ConfigError, match="output output0 is of type FLOAT: float is needed"):
        made.warm_up()
    made.close()


def test_output_that_finds_no_room_is_an_error(monkeypatch: pytest.MonkeyPatch, options: EngineOptions) -> None:
    """TensorRT is told so by the allocator, and tells it as the reason of its failure."""
    played = machine(monkeypatch)
    played.trt.late_shapes = True
    made = opened(options)
    slot = painted(made, COLOURS)
    played.cuda.failures["cudaMalloc"] = cudaError_t.cudaErrorMemoryAllocation
    (output,) = made._runners[0].outputs  # noqa: SLF001 -- what TensorRT calls back
    assert output.allocator.reallocate_output("output0", 0, 1 << 20, 256) == 0
    assert output.allocator.reallocate_output("output0", 0, 8, 256) == output.address
    played.trt.refuse_execution = True
    with pytest.raises(DeviceMemoryError, match="output output0: cudaMalloc failed"):
        made.submit([(slot, 0)])
    made.close()


def test_output_of_unknown_size_may_grow(monkeypatch: pytest.MonkeyPatch, options: EngineOptions) -> None:
    """From call to call, as the model finds more."""
    played = machine(monkeypatch)
    played.trt.late_shapes = True
    made = opened(options)
    slot = painted(made, COLOURS)
    for size in (3, 2000, 5):
        played.trt.run = lambda _, tiles, size=size: [np.full((len(tiles), 7, size), size, np.float32)]
        for _ in range(2):
            made.submit([(slot, 0), (slot, 1)])
            (output,) = made.collect()
            assert output.shape == (2, 7, size)
            assert (output == size).all()
    made.close()
    assert played.cuda.leaks() == []


def test_input_that_is_refused_is_an_error(discrete: Machine, options: EngineOptions) -> None:
    """With TensorRT's reason: an engine whose profile is another one at work than it says."""
    made = TensorRtEngine(options)
    made.open()
    discrete.trt.profile = (1, 4)
    with pytest.raises(EngineError, match=r"setting the input to \(8, 3, 64, 64\) failed: .*outside of the profile"):
        made.warm_up()
    made.close()
    assert discrete.cuda.leaks() == []


def test_output_that_cannot_be_placed_is_an_error(discrete: Machine, options: EngineOptions) -> None:
    """TensorRT gives no reason for that."""
    discrete.trt.refuse_addresses = True
    made = TensorRtEngine(options)
    made.open()
    with pytest.raises(EngineError, match="placing output output0 failed: TensorRT gives no reason"):
        made.warm_up()
    made.close()
    assert discrete.cuda.leaks() == []


def test_grid_that_finds_no_room_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was taken before it is given back, whatever fails."""
    played = machine(monkeypatch)
    model = tiny_grid_detector(tmp_path / "grid.engine")
    write_card(model, card_of(model, head="yolox raw"))
    made = TensorRtEngine(EngineOptions(model=model, size=SIDE))
    made.open()
    played.cuda.failures["cudaMemcpy"] = cudaError_t.cudaErrorLaunchFailure
    with pytest.raises(CudaError, match="cudaMemcpy"):
        made.warm_up()
    played.cuda.failures.clear()
    made.close()
    assert played.cuda.leaks() == []


@pytest.mark.usefixtures("discrete")
def test_closed_engine_takes_no_frame(options: EngineOptions) -> None:
    """And forgets those that come back late."""
    made = opened(options)
    slot = painted(made, COLOURS)
    made.close()
    made.release(slot)
    with pytest.raises(EngineError, match="the engine is closed"):
        painted(made, COLOURS)


@pytest.mark.usefixtures("discrete")
def test_logger_lives_on_when_its_engine_is_closed() -> None:
    """TensorRT keeps the first one it is given for the whole process, and calls it for engines opened later."""
    given = weakref.ref(Journal(runtime_module()).logger)
    gc.collect()
    assert given() is not None


def test_recorder_answers_tensorrt(discrete: Machine) -> None:
    """What it was told, by number, until it is cleared."""
    assert discrete.trt.version
    journal = Journal(runtime_module())
    recorder = journal.recorder
    recorder.report_error("CODE", "first")
    recorder.report_error("CODE", "second")
    assert (recorder.get_num_errors(), recorder.num_errors()) == (2, 2)
    assert (recorder.get_error_code(0), recorder.get_error_desc(1)) == ("CODE", "second")
    assert not recorder.has_overflowed()
    recorder.clear()
    assert recorder.get_num_errors() == 0
    assert journal.take() == "first; second"
    assert journal.take() == "TensorRT gives no reason"
    for number in range(20):
        journal.note(f"error {number}")
    assert journal.take().endswith("error 7"), "the first ones name the cause"
