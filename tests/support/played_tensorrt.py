"""TensorRT's builder as a script plays it: the boundary only, for builds that need neither device nor package."""

from __future__ import annotations

import weakref
from types import ModuleType, SimpleNamespace
from typing import Any


class PlayedTensorRt(ModuleType):
    """A module like `tensorrt`; what it answers is set by the test, what it was told is kept."""

    __version__: str
    Builder: Any
    plan: bytes | None
    parse_errors: list[tuple[str, str, str]]
    complaint: str
    foreign_timings: bytes
    profile_index: int
    builds: int
    told: dict[str, Any]

    def __init__(self, version: str = "10.7.0.23", *, strongly_typed: bool = True, name: str = "tensorrt") -> None:
        severity = SimpleNamespace(INTERNAL_ERROR="internal", ERROR="error", WARNING="warning")
        listener = type("Listener", (), {})
        super().__init__(name)
        self.__dict__.update(
            __version__=version,
            ILogger=type("ILogger", (), {"Severity": severity}),
            IErrorRecorder=listener,
            IProgressMonitor=type("IProgressMonitor", (), {}),
            MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
            NetworkDefinitionCreationFlag=SimpleNamespace(**({"STRONGLY_TYPED": 1} if strongly_typed else {})),
            plan=b"a plan",
            parse_errors=[],
            complaint="",
            foreign_timings=b"",
            profile_index=0,
            builds=0,
            told={},
        )
        self.Builder = lambda logger: _Builder(self, logger)
        self.OnnxParser = lambda network, logger: _Parser(self, network, logger)


class _Parser:
    def __init__(self, module: PlayedTensorRt, network: Any, logger: Any) -> None:
        del network, logger
        self._module = module

    @property
    def num_errors(self) -> int:
        return len(self._module.parse_errors)

    def parse(self, content: bytes) -> bool:
        self._module.told["network"] = content
        return not self._module.parse_errors

    def get_error(self, index: int) -> Any:
        operator, node, text = self._module.parse_errors[index]
        return SimpleNamespace(node_operator=lambda: operator, node_name=lambda: node, desc=lambda: text)


class _Builder:
    def __init__(self, module: PlayedTensorRt, logger: Any) -> None:
        self._module, self._logger = module, logger
        module.told["builder"], module.told["logger"] = weakref.ref(self), weakref.ref(logger)
        self.error_recorder: Any = None

    def create_network(self, flags: int) -> Any:
        self._module.told["flags"] = flags
        return SimpleNamespace(get_input=lambda _: SimpleNamespace(name="images"))

    def create_builder_config(self) -> Any:
        return _Config(self._module)

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda *shapes: self._module.told.update(profile=shapes))

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        del network
        self._module.builds += 1
        monitor = config.progress_monitor
        monitor.phase_start("Building engine", None, 2)
        monitor.phase_start("Timing tactics", "Building engine", 1)
        going = monitor.step_complete("Timing tactics", 0)
        monitor.phase_finish("Timing tactics")
        going = going and monitor.step_complete("Building engine", 0)
        monitor.phase_finish("Building engine")
        if self._module.complaint:
            self._logger.log("error", self._module.complaint)
            self.error_recorder.report_error("code", self._module.complaint)
        plan: bytes | None = self._module.plan if going else None
        return plan


class _Config:
    def __init__(self, module: PlayedTensorRt) -> None:
        self._module = module
        self._timings: Any = None
        self.progress_monitor: Any = None

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self._module.told[pool] = size

    def add_optimization_profile(self, profile: Any) -> int:
        del profile
        index: int = self._module.profile_index
        return index

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(content=content, serialize=lambda: content + b" and more")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.content and cache.content == self._module.foreign_timings:
            return False
        self._timings = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._timings
