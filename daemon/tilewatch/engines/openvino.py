"""OpenVINO on the CPU: as many streams as cores, each tile a request of its own.

A batch gives a CPU nothing; independent single-tile streams need no barrier between cores and do not collapse when
another process takes one. Cores are not pinned: decoder and encoder share them, and so may a second daemon.
"""

from __future__ import annotations

import importlib
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from tilewatch.engines import cache, cpu, graph
from tilewatch.engines.base import EngineInfo, Feeding
from tilewatch.engines.host import HostEngine, pixels_of
from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from tilewatch.engines.base import Slot
    from tilewatch.engines.options import EngineOptions
    from tilewatch.records import F32, U8

DEVICE = "CPU"
REQUESTS_PER_STREAM = 2
"""One that runs and one that waits, so that no stream idles while its result is fetched."""
HINTS = {"f32": "f32", "bf16": "bf16", "f16": "f16"}
CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


class OpenVinoEngine(HostEngine):
    """One model on the CPU through OpenVINO."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self._runtime: ModuleType | None = None
        self._idle: deque[Any] = deque()
        self._running: deque[tuple[Any, list[U8]]] = deque()
        self._outputs = 0

    def open(self) -> None:
        """Compile the model; a compiled one is taken from the user's cache."""
        runtime = runtime_module()
        model = graph.load(self.options, unsigned=True)
        core = runtime.Core()
        precision, reason = choose_precision(
            self.options.precision, cpu.flags(), core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
        )
        requests = REQUESTS_PER_STREAM * self.threads
        compiled = _compile(core, model.content, self.options, _properties(self.threads, precision))
        self._runtime = runtime
        self._outputs = len(compiled.outputs)  # asked for one by one: `output_tensors` costs 20 times as much
        self._idle.extend(compiled.create_infer_request() for _ in range(requests))
        info = EngineInfo(
            backend="openvino",
            backend_version=runtime.__version__,
            device=str(core.get_property(DEVICE, "FULL_DEVICE_NAME")).strip(),
            precision="int8" if model.quantised else precision,
            precision_reason=f"the model is quantised; the rest in {precision}" if model.quantised else reason,
            model_path=str(self.options.model),
            model_sha256=model.sha256,
            names=model.names,
            input_size=self.options.size,
            head=model.head.name,
        )
        self._facts = info, Feeding(batch=1, in_flight=requests), model.head

    def submit(self, parts: Sequence[tuple[Slot, int]]) -> None:
        """Start one tile, read where it lies."""
        tiles = pixels_of(parts, 1)
        if self._runtime is None:
            raise EngineError("the engine is closed")
        if not self._idle:
            raise EngineError(f"{len(self._running)} requests are in flight already: collect one first")
        request = self._idle.popleft()
        try:
            request.set_input_tensor(self._runtime.Tensor(tiles[0][None], shared_memory=True))
            request.start_async()
        except RuntimeError as error:
            raise EngineError(f"openvino refused a tile: {_first_line(error)}") from error
        self._running.append((request, tiles))

    def collect(self) -> tuple[F32, ...]:
        """Wait for the oldest tile; the outputs are views of its request's memory."""
        if not self._running:
            raise EngineError("nothing is in flight")
        request, _ = self._running.popleft()
        self._idle.append(request)
        try:
            request.wait()
        except RuntimeError as error:
            raise EngineError(f"openvino failed: {_first_line(error)}") from error
        return tuple(request.get_output_tensor(index).data for index in range(self._outputs))

    def close(self) -> None:
        """Wait for what is in flight and let the model go."""
        try:
            while self._running:
                self.collect()
        finally:
            self._idle.clear()
            self._runtime = None


def runtime_module() -> ModuleType:
    """Return the openvino package, imported in a way that sends nothing.

    Its `__init__` reports every import to Google Analytics through the package openvino_telemetry unless that cannot be
    imported, in which case it uses its own stub: so it cannot be.

    Raises:
        ConfigError: not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        raise ConfigError("BACKEND=openvino needs the package openvino: pip install openvino") from error


def choose_precision(asked: str, flags: frozenset[str], capabilities: Sequence[str]) -> tuple[str, str]:
    """Return the arithmetic to use and why.

    OpenVINO left alone takes bf16 wherever it can, also where it is emulated and slower than f32.

    Raises:
        ConfigError: the CPU plugin cannot do what was asked for.
    """
    if asked == "auto":
        native = sorted(flags & cpu.NATIVE_BF16)
        if native and CAPABILITIES["bf16"] in capabilities:
            return "bf16", f"the CPU has {native[0]}"
        return "f32", "the CPU has no native bf16"
    if CAPABILITIES.get(asked) not in capabilities:
        able = [name for name, word in CAPABILITIES.items() if word in capabilities]
        raise ConfigError(f"PRECISION={asked}: OpenVINO cannot do it on this CPU: set PRECISION to {' or '.join(able)}")
    return asked, f"PRECISION={asked}"


def _properties(threads: int, precision: str) -> dict[str, Any]:
    """Return how the CPU plugin is to run."""
    compiled = cache.writable("openvino")
    return {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "ENABLE_CPU_PINNING": False,
        **({} if compiled is None else {"CACHE_DIR": str(compiled)}),
    }


def _compile(core: Any, content: bytes, options: EngineOptions, properties: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the compiled model for single tiles."""
    try:
        model = core.read_model(content)
        model.reshape([1, options.size, options.size, 3])
    except RuntimeError as error:
        raise ConfigError(f"model {options.model}: OpenVINO cannot read it: {_first_line(error)}") from error
    try:
        return core.compile_model(model, DEVICE, properties)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot compile {options.model}: {_first_line(error)}") from error


def _first_line(error: RuntimeError) -> str:
    """Return the last line that says something: OpenVINO puts the place in its sources first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
