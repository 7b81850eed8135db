"""`tilewatch model build` and `quantize`: make it, hold it against the reference on real tiles, put it in its place."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from tilewatch import __version__
from tilewatch.engines import files, graft, graph, select
from tilewatch.engines import names as class_names
from tilewatch.engines.builder import halve, quantise, store
from tilewatch.engines.builder.compiler import Limits, compile_plan
from tilewatch.engines.builder.draft import draft
from tilewatch.engines.engine_card import EngineCard, file_sha256, write_card
from tilewatch.engines.onnxruntime import OnnxRuntimeEngine
from tilewatch.engines.options import EngineOptions
from tilewatch.errors import EngineError, UsageError
from tilewatch.parity import compare
from tilewatch.sampling import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tilewatch.engines.builder.compiler import Plan, Watch
    from tilewatch.engines.builder.nvidia import Tools
    from tilewatch.engines.graph import Detector
    from tilewatch.parity import Parity, ReadyEngine
    from tilewatch.sampling import Sample
    from tilewatch.settings import Settings

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
CARD_PRECISION: dict[str, Literal["f32", "f16", "int8"]] = {"fp32": "f32", "fp16": "f16", "int8": "int8"}
CALIBRATION_TILES = 128
CHECK_TILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be built."""

    model: Path
    output: Path | None = None
    """None: beside the model, else in the cache."""
    precision: Precision = "fp16"
    batch: int = 8
    workspace_mib: int | None = None
    videos: tuple[Path, ...] = ()
    """Footage for the check, and for the calibration of int8."""
    calibrate: bool = False
    """Whether the videos are the operator's own: only on those int8 is calibrated."""
    force: bool = False
    """Build also what exists."""


class Built(NamedTuple):
    """What came of an order."""

    path: Path
    reused: bool
    batch: int


def build(
    order: Order, settings: Settings, tools: Tools, watch: Watch, judged: Callable[[Parity, tuple[str, ...]], None]
) -> Built:
    """Build an engine, or find the one that exists; blocking.

    Args:
        order: what is to be built.
        settings: as the daemon will run it.
        tools: with what, and for which device.
        watch: shown the build's progress.
        judged: given the comparison with the reference and the class names, before it is acted upon.

    Raises:
        ConfigError: the model cannot be used.
        EngineError: the build failed, or the engine does not find what the reference finds; nothing is left of it.
        StoppedError: `watch` ended it.
        DiskFullError: no space for it.
    """
    if order.output is not None and order.output.suffix != store.SUFFIX:
        raise UsageError(f"--output {order.output}: an engine's name ends in {store.SUFFIX}")
    options = engine_options(order.model, settings)
    detector = graph.read(options)
    key = _key(order, detector, options, tools)
    target = order.output or store.place(order.model, key)
    if not order.force and store.holds(target, key):
        return Built(target, reused=True, batch=key.batch)
    network = _network(detector, order, settings, watch)
    plan = _compiled(network, key, order, tools, watch)
    with draft(target) as path:
        files.write_whole(path, plan.content)
        write_card(path, _card(path, order, detector, key, tools))
        candidate = tools.engine(replace(options, model=path, batch=key.batch))
        parity = compared(options, candidate, _seen(order.videos, settings, CHECK_TILES, watch.check), settings)
        judged(parity, detector.names)
        if refusal := parity.refusal(order.precision):
            raise EngineError(f"the engine is refused: {refusal}; nothing was kept: build it with another --precision")
    return Built(target, reused=False, batch=key.batch)


def engine_options(model: Path, settings: Settings) -> EngineOptions:
    """Return how the daemon would open a model."""
    labels = settings.model.labels_path
    return EngineOptions(
        model=model,
        size=settings.tile.size,
        threads=settings.model.engine_threads,
        batch=settings.batch.size,
        head=settings.model.head,
        names=class_names.from_file(labels) if labels else None,
    )


def _key(order: Order, detector: Detector, options: EngineOptions, tools: Tools) -> store.Key:
    return store.Key(
        model_sha256=detector.sha256,
        input_size=options.size,
        batch=order.batch if detector.dynamic else 1,
        precision=CARD_PRECISION[order.precision],
        tensorrt_version=tools.trt.__version__,
        device_name=tools.device.name,
        compute_capability=tools.device.capability,
    )


def _network(detector: Detector, order: Order, settings: Settings, watch: Watch) -> bytes:
    """Return the model as TensorRT is to compute it: the precision is in the graph."""
    if detector.quantised and order.precision != "int8":
        raise UsageError(f"{order.model} is quantised: build it with --precision int8, or give the float32 model")
    if detector.half and order.precision != "fp16":
        raise UsageError(
            f"{order.model} computes in float16: build it with --precision fp16, or give the float32 model"
        )
    graft.set_input_shape(
        detector.model,
        detector.image.name,
        (graft.BATCH if detector.dynamic else 1, graph.CHANNELS, settings.tile.size, settings.tile.size),
    )
    model = detector.model
    if order.precision == "fp16":
        model = halve.halved(model)
    elif order.precision == "int8" and not detector.quantised:
        if not order.calibrate:
            raise UsageError("--precision int8 needs --calibrate VIDEO: footage such as it will see")
        footage = _seen(order.videos, settings, CALIBRATION_TILES, watch.check)
        model = quantise.quantised(detector, (sample.pixels(settings.tile.size) for sample in footage))
    graft.float_outputs(model)
    network: bytes = model.SerializeToString()
    return network


def _seen(videos: tuple[Path, ...], settings: Settings, count: int, check: Callable[[], None]) -> Iterator[Sample]:
    """Yield samples of the footage until `check` objects."""
    for sample in samples(videos, settings, count):
        check()
        yield sample


def _compiled(network: bytes, key: store.Key, order: Order, tools: Tools, watch: Watch) -> Plan:
    """Build, with the timings of earlier builds on this device at hand, and keep them."""
    timing_file = store.timing_file(key)
    timings = timing_file.read_bytes() if timing_file is not None and timing_file.exists() else b""
    limits = Limits(batch=key.batch, size=key.input_size, workspace_mib=order.workspace_mib)
    plan = compile_plan(tools.trt, network, limits, watch, timings)
    if timing_file is not None and plan.timings:
        files.write_whole(timing_file, plan.timings)
    return plan


def _card(path: Path, order: Order, detector: Detector, key: store.Key, tools: Tools) -> EngineCard:
    return EngineCard(
        model_sha256=key.model_sha256,
        model_name=order.model.name,
        names=detector.names,
        head=detector.head.name,
        input_size=key.input_size,
        normalisation=detector.input,
        precision=CARD_PRECISION[order.precision],
        batch=key.batch,
        tensorrt_version=key.tensorrt_version,
        cuda_version=tools.device.runtime,
        device_name=key.device_name,
        compute_capability=key.compute_capability,
        engine_sha256=file_sha256(path),
        built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        tilewatch_version=__version__,
    )


def compared(reference: EngineOptions, candidate: ReadyEngine, footage: Iterable[Sample], settings: Settings) -> Parity:
    """Return what a candidate makes of footage, beside ONNX Runtime with the model as it was given; closes it."""
    expected = OnnxRuntimeEngine(reference)
    with ExitStack() as opened:
        for engine in (expected, candidate):
            opened.callback(engine.close)
            engine.open()
            engine.warm_up()
        return compare(expected, candidate, footage, settings)


def quantise_model(  # noqa: PLR0913, PLR0917 -- what, where, on what, how, and two who listen
    model: Path,
    output: Path,
    videos: tuple[Path, ...],
    settings: Settings,
    check: Callable[[], None],
    judged: Callable[[str, Parity, tuple[str, ...]], None],
) -> None:
    """Write a model in eight bits, held against the one it is made of on every engine of this machine; blocking.

    Args:
        model: an ONNX file in float32.
        output: the file to write.
        videos: footage such as it will see.
        settings: as the daemon will run it.
        check: raises StoppedError when the operator wants to stop.
        judged: given each engine's name, its comparison and the class names, before they are acted upon.

    Raises:
        ConfigError: the model cannot be quantised.
        InputError: the footage cannot be read.
        EngineError: the result does not find what the model finds; nothing is left of it.
    """
    options = engine_options(model, settings)
    detector = graph.read(options)
    footage = _seen(videos, settings, CALIBRATION_TILES, check)
    result = quantise.quantised(detector, (sample.pixels(options.size) for sample in footage))
    with draft(output) as path:
        files.write_whole(path, result.SerializeToString())
        refusals = []
        for backend in select.installed():
            candidate = select.ENGINES[backend](replace(options, model=path))
            parity = compared(options, candidate, _seen(videos, settings, CHECK_TILES, check), settings)
            judged(backend, parity, detector.names)
            if refusal := parity.refusal("int8"):
                refusals.append(f"{backend}: {refusal}")
        if refusals:
            raise EngineError(f"the quantised model is refused ({'; '.join(refusals)}); nothing was kept")
