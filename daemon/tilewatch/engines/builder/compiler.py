"""TensorRT's builder: one route for TensorRT 10, 11 and TensorRT-RTX, whose module is given.

Precision lives in the graph (float16 weights, explicit Q/DQ) and the network is strongly typed, the only kind that
TensorRT 11 still has. Enumerations are named, never numbered: their values differ between versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from types import ModuleType

MEBIBYTE = 1 << 20
RTX = "tensorrt_rtx"
_RETAINED: list[object] = []
"""What must live to the end of the process: listeners, since TensorRT keeps the first logger for all; and builders of
TensorRT-RTX that had an error recorder, with their parts, since version 1.7 ends the process when one is destroyed."""
MOST_COMPLAINTS = 3
"""Errors of the parser or the builder that a message repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of the engine, whose only input is (N, 3, S, S)."""

    batch: int
    """N is from 1 to this."""
    size: int
    """S, pixels."""
    workspace_mib: int | None = None
    """Most scratch memory, MiB; None: all the device has."""


class Plan(NamedTuple):
    """What a build gives."""

    content: bytes
    """The serialised engine."""
    timings: bytes
    """The timing cache, for the next build on the same device and version; empty where the builder keeps none."""


class Watch(Protocol):
    """Whoever looks on; called from TensorRT's own threads, in the middle of its work."""

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """Note that a phase of so many steps begins."""

    def step(self, phase: str, done: int) -> bool:
        """Note that so many steps of a phase are done; False ends the build."""

    def end(self, phase: str) -> None:
        """Note that a phase is over."""

    def check(self) -> None:
        """Raise StoppedError when the operator wants to stop."""


class Complaints:
    """What TensorRT said was wrong, through its logger and its error recorder."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Keep a line once."""
        text = " ".join(line.split())
        if text and text not in self.lines:
            self.lines.append(text)

    def __str__(self) -> str:
        """Return the first ones as one line."""
        return "; ".join(self.lines[:MOST_COMPLAINTS]) or "it gave no reason"


def compile_plan(trt: ModuleType, network: bytes, limits: Limits, watch: Watch, timings: bytes = b"") -> Plan:
    """Build an engine; blocking, for seconds to many minutes. The GIL is released while TensorRT works.

    Args:
        trt: `tensorrt` or a module like it.
        network: a serialised ONNX model.
        limits: the optimisation profile, tuned for the full batch, and the workspace.
        watch: shown the progress, and asked whether to go on.
        timings: an earlier build's; one of another device or version is not used.

    Raises:
        ConfigError: TensorRT cannot take the model; names the node.
        EngineError: the build failed; says what TensorRT reported.
        StoppedError: `watch` ended it.
    """
    listeners = _listeners(trt, watch)
    _RETAINED.append(listeners)
    try:
        builder = trt.Builder(listeners.logger)
    except TypeError as error:  # of a factory that gave nothing
        raise EngineError(f"TensorRT {trt.__version__} gives no builder: {listeners.complaints}") from error
    builder.error_recorder = listeners.recorder
    definition, config = builder.create_network(_strongly_typed(trt)), builder.create_builder_config()
    parser = trt.OnnxParser(definition, listeners.logger)
    if trt.__name__ == RTX:
        _RETAINED.append((builder, definition, config, parser))
    _parse(trt, parser, network, listeners)
    config.progress_monitor = listeners.monitor
    if limits.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, limits.workspace_mib * MEBIBYTE)
    _add_profile(builder, config, definition, limits)
    _use_timings(config, timings)
    content = builder.build_serialized_network(definition, config)
    watch.check()
    if content is None:
        raise EngineError(f"TensorRT {trt.__version__} cannot build the engine: {listeners.complaints}")
    return Plan(bytes(content), _timings_of(config))


def _strongly_typed(trt: ModuleType) -> int:
    """Return the creation flags; where the flag has gone, every network is strongly typed."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(trt: ModuleType, parser: Any, network: bytes, listeners: _Listeners) -> None:  # noqa: ANN401
    if parser.parse(network):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    said = [_complaint(error) for error in errors[:MOST_COMPLAINTS]] or [str(listeners.complaints)]
    raise ConfigError(
        f"TensorRT {trt.__version__} cannot take the model: {'; '.join(said)}: "
        "export it with another opset, or run it with BACKEND=onnxruntime"
    )


def _complaint(error: Any) -> str:  # noqa: ANN401 -- a ParserError
    """Return 'operator NAME at node NAME: reason'."""
    text = " ".join(str(error.desc()).split())
    return f"operator {error.node_operator()} at node {error.node_name()!r}: {text}" if error.node_operator() else text


def _add_profile(builder: Any, config: Any, definition: Any, limits: Limits) -> None:  # noqa: ANN401
    """Let the batch be 1 to its most, tuned for the most: that is what a busy device gets."""
    name = definition.get_input(0).name
    one, full = ((count, 3, limits.size, limits.size) for count in (1, limits.batch))
    profile = builder.create_optimization_profile()
    profile.set_shape(name, one, full, full)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT refuses batches of 1 to {limits.batch} for input {name}: build with --batch 1")


def _use_timings(config: Any, timings: bytes) -> None:  # noqa: ANN401
    """Start from an earlier build's measurements, or from none where those are of another device or version."""
    for content in (timings, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return


def _timings_of(config: Any) -> bytes:  # noqa: ANN401
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


class _Listeners(NamedTuple):
    """Objects of classes that TensorRT calls; they must outlive the builder."""

    logger: Any
    recorder: Any
    monitor: Any
    complaints: Complaints


def _listeners(trt: ModuleType, watch: Watch) -> _Listeners:
    """Make the listeners: their bases are the module's, so their classes are made here."""
    complaints = Complaints()
    return _Listeners(_logger(trt, complaints), _recorder(trt, complaints), _monitor(trt, watch), complaints)


def _logger(trt: ModuleType, complaints: Complaints) -> Any:  # noqa: ANN401
    grave = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]  # the module is not known before
        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity in grave:
                complaints.add(message)

    return Logger()


def _recorder(trt: ModuleType, complaints: Complaints) -> Any:  # noqa: ANN401
    class Recorder(trt.IErrorRecorder):  # type: ignore[misc, name-defined]  # as above
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[tuple[Any, str]] = []

        def report_error(self, code: Any, description: str) -> bool:  # noqa: ANN401
            self.errors.append((code, description))
            complaints.add(description)
            return False

        def get_num_errors(self) -> int:
            return len(self.errors)

        num_errors = get_num_errors  # the name differs between versions

        def get_error_code(self, index: int) -> Any:  # noqa: ANN401
            return self.errors[index][0]

        def get_error_desc(self, index: int) -> str:
            return self.errors[index][1]

        def has_overflowed(self) -> bool:
            return False

        def clear(self) -> None:
            self.errors.clear()

    return Recorder()


def _monitor(trt: ModuleType, watch: Watch) -> Any:  # noqa: ANN401
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]  # as above
        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            watch.begin(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            return watch.step(phase, step + 1)

        def phase_finish(self, phase: str) -> None:
            watch.end(phase)

    return Monitor()
