"""ONNX Runtime on the CPU, for where OpenVINO is not to be had.

Single tiles, several in flight on the session's own threads: measured with YOLOX-nano at 640 on two cores, wall ms a
tile: batches of 8 12.6, single tiles one after another 12.3, three single tiles at once 9.3. Its pool counts the
calling thread, which does nothing here, so it is made one larger. Waiting threads must not spin: that wastes a core.
"""

from __future__ import annotations

import importlib
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from tilewatch.engines import graph
from tilewatch.engines.base import EngineInfo, Feeding
from tilewatch.engines.host import HostEngine, pixels_of
from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from tilewatch.engines.base import Slot
    from tilewatch.engines.options import EngineOptions
    from tilewatch.records import F32, U8

SEVERITY_ERROR = 3
PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntimeEngine(HostEngine):
    """One model on the CPU through ONNX Runtime; always f32."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self._session: Any = None
        self._running: deque[tuple[Future[tuple[F32, ...]], U8]] = deque()

    def open(self) -> None:
        """Load the model."""
        if self.options.precision not in {"auto", "f32"}:
            raise ConfigError(
                f"PRECISION={self.options.precision}: ONNX Runtime computes in f32 on a CPU: "
                "set PRECISION=f32 or BACKEND=openvino"
            )
        runtime = _runtime_module()
        model = graph.load(self.options)
        self._session = _session(runtime, model.content, self.options, self.threads)
        info = EngineInfo(
            backend="onnxruntime",
            backend_version=runtime.__version__,
            device="CPU",
            precision="int8" if model.quantised else "f32",
            precision_reason="the model is quantised" if model.quantised else "the only one of ONNX Runtime on a CPU",
            model_path=str(self.options.model),
            model_sha256=model.sha256,
            names=model.names,
            input_size=self.options.size,
            head=model.head.name,
        )
        self._facts = info, Feeding(batch=1, in_flight=self.threads + 1), model.head

    def submit(self, parts: Sequence[tuple[Slot, int]]) -> None:
        """Start one tile."""
        tile = pixels_of(parts, 1)[0][None]
        if self._session is None:
            raise EngineError("the engine is closed")
        done: Future[tuple[F32, ...]] = Future()
        self._session.run_async(None, {"tiles": tile}, _answer, done)
        self._running.append((done, tile))

    def collect(self) -> tuple[F32, ...]:
        """Wait for the oldest tile."""
        if not self._running:
            raise EngineError("nothing is in flight")
        done, _ = self._running.popleft()
        return done.result()

    def close(self) -> None:
        """Wait for what is in flight and let the model go."""
        try:
            while self._running:
                self.collect()
        finally:
            self._session = None


def _answer(outputs: Sequence[F32], done: Future[tuple[F32, ...]], error: str) -> None:
    """Hand a finished tile over, on a thread of the session's pool."""
    if error:
        done.set_exception(EngineError(f"onnxruntime failed: {error.splitlines()[0]}"))
    else:
        done.set_result(tuple(outputs))


def _runtime_module() -> ModuleType:
    """Return the onnxruntime package.

    Raises:
        ConfigError: not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise ConfigError("BACKEND=onnxruntime needs the package onnxruntime: pip install onnxruntime") from error


def _session(runtime: ModuleType, content: bytes, options: EngineOptions, threads: int) -> Any:  # noqa: ANN401
    """Return a quiet session with its own pool."""
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads + 1
    settings.inter_op_num_threads = 1
    settings.log_severity_level = SEVERITY_ERROR
    settings.enable_mem_pattern = False  # one block for all of a request's tensors: 30 MB more, and no faster
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    state = runtime.capi.onnxruntime_pybind11_state
    try:
        return runtime.InferenceSession(content, settings, providers=PROVIDERS)
    except (
        state.Fail,
        state.InvalidGraph,
        state.InvalidArgument,
        state.NotImplemented,
        state.RuntimeException,
    ) as error:
        raise ConfigError(
            f"model {options.model}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}"
        ) from error
