"""CUDA's driver boundary, played by the processor: the functions of cuda.bindings that the program calls.

Memory is really there, copies really copy, and a launched kernel really runs: the same source, compiled into the
program's core. Everything is done at once, in the order it was put in. What a real device would not forgive is an
AssertionError here: memory that was never taken or is freed already, a copy beyond its ends, a leak.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import time
from enum import IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from tilewatch.engines.cuda.layout import HeadFilter, TileJob
from tilewatch.native import _heads, _pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

DEVICE, PINNED, MAPPED = "device", "pinned", "mapped"
LEGACY_STREAM = 0


class cudaError_t(IntEnum):
    """The errors that are played."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureInvalidated = 901


class CUresult(IntEnum):
    """The errors that are played."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209


class nvrtcResult(IntEnum):
    """The errors that are played."""

    NVRTC_SUCCESS = 0
    NVRTC_ERROR_COMPILATION = 6


class cudaMemcpyKind(IntEnum):
    """Which way a copy goes."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(IntEnum):
    """Whose calls a recording forbids."""

    cudaStreamCaptureModeThreadLocal = 1


class cudaDeviceAttr(IntEnum):
    """What can be asked of a device."""

    cudaDevAttrIntegrated = 18
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


class Handle:
    """What cuda-python gives for a stream, an event or a module: an object that is a number if asked."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __int__(self) -> int:
        """Return the address."""
        return self.number


class Memory(NamedTuple):
    """One allocation."""

    kind: str
    room: Any
    size: int


class Call(NamedTuple):
    """One call, as it was made."""

    name: str
    arguments: tuple[Any, ...]


def played(method: Callable[..., Any]) -> Callable[..., Any]:
    """Record a call, and let it fail where a test has said so."""

    @functools.wraps(method)
    def call(self: FakeCuda, *arguments: Any) -> Any:
        self.calls.append(Call(method.__name__, arguments))
        failure = self.failures.get(method.__name__)
        return (failure, None) if failure else method(self, *arguments)

    return call


class FakeCuda:
    """A device."""

    cudaHostAllocDefault = 0
    cudaHostAllocMapped = 2
    cudaEventDisableTiming = 2
    cudaStreamNonBlocking = 1
    cudaDeviceScheduleBlockingSync = 4

    def __init__(
        self,
        *,
        integrated: bool = False,
        memory: int = 1 << 30,
        capability: tuple[int, int] = (8, 7),
        name: str = "Fake Orin",
        devices: int = 1,
    ) -> None:
        self.integrated = integrated
        self.capability = capability
        self.name = name
        self.devices = devices
        self.left = memory
        self.calls: list[Call] = []
        self.failures: dict[str, IntEnum] = {}
        """By function: what it answers from now on."""
        self.memory: dict[int, Memory] = {}
        self.open: dict[str, set[int]] = {"stream": set(), "event": set(), "graph": set(), "module": set()}
        self.recording: dict[int, list[Callable[[], object]] | None] = {}
        self.recorded: dict[int, list[Callable[[], object]]] = {}
        self.kernels: dict[str, Callable[[int, tuple[int, ...]], None]] = {
            "tilewatch_cut": self._run_cut,
            "tilewatch_filter": self._run_filter,
        }
        """What a launch does, by the kernel's name: address of its parameter, blocks of its grid."""
        self.done_at = 0.0
        """When the device has done what it was given, `time.perf_counter` seconds: for a device that takes its time."""
        self.stream_done_at: dict[int, float] = {}
        self.log_bytes = 40
        """Size of NVRTC's log, its end included: 1 where it is empty."""
        self.last_error = cudaError_t.cudaSuccess
        """What TensorRT stumbles over when it asks after a call of its own, until somebody takes it."""
        self.late: list[tuple[int, bytes]] = []
        """Copies from pageable memory: where to, and what; they arrive when the legacy stream is waited for."""
        self.work: list[tuple[float, float]] = []
        """When each inference began and ended."""
        self._numbers = itertools.count(0x1000, 0x10)

    def names(self) -> list[str]:
        """Return the names of all calls so far, and forget them."""
        called = [call.name for call in self.calls]
        self.calls.clear()
        return called

    def leaks(self) -> list[str]:
        """Return what was not freed."""
        kinds = [kind for kind, open_ in self.open.items() if open_]
        return kinds + sorted(memory.kind for memory in self.memory.values())

    def modules(self) -> dict[str, ModuleType]:
        """Return the modules cuda-python would be."""
        runtime, driver, nvrtc = ("cuda.bindings.runtime", "cuda.bindings.driver", "cuda.bindings.nvrtc")
        made = {name: _module(name) for name in ("cuda", "cuda.bindings", runtime, driver, nvrtc)}
        for enum in (cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode, cudaDeviceAttr):
            setattr(made[runtime], enum.__name__, enum)
        for name in dir(self):
            home = runtime if name.startswith("cuda") else nvrtc if name.startswith("nvrtc") else driver
            if name.startswith(("cu", "nvrtc")):
                setattr(made[home], name, getattr(self, name))
        return made

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for cuda-python."""
        for name, module in self.modules().items():
            monkeypatch.setitem(__import__("sys").modules, name, module)

    def put(self, stream: Any, work: Callable[[], object]) -> None:
        """Do work at once, or record it where the stream records."""
        recorded = self.recording.get(int(stream))
        if recorded is None:
            work()
        else:
            recorded.append(work)

    def busy(self, seconds: float, stream: int) -> None:
        """Let the device work for so long, for a stream, once it is done with what it was given before."""
        began = max(self.done_at, time.perf_counter())
        self.done_at = began + seconds
        self.work.append((began, self.done_at))
        self.stream_done_at[stream] = self.done_at

    def _take(self, kind: str, size: int) -> tuple[IntEnum, int]:
        if size > self.left:
            return cudaError_t.cudaErrorMemoryAllocation, 0
        room = (ctypes.c_uint8 * max(size, 1))()
        address = ctypes.addressof(room)
        self.memory[address] = Memory(kind, room, size)
        self.left -= size
        return cudaError_t.cudaSuccess, address

    def _give(self, address: int, *kinds: str) -> tuple[IntEnum]:
        assert self.memory[address].kind in kinds, f"freed the wrong way: {self.memory[address]}"
        self.left += self.memory.pop(address).size
        return (cudaError_t.cudaSuccess,)

    def check(self, address: int, size: int, *kinds: str) -> None:
        """Refuse memory that is not there, not so large, or of another kind."""
        for start, memory in self.memory.items():
            if start <= address and address + size <= start + max(memory.size, 1):
                assert memory.kind in kinds, f"{size} bytes at {address:#x} are {memory.kind}, not {kinds}"
                return
        raise AssertionError(f"{size} bytes at {address:#x} belong to nobody")

    def _made(self, kind: str) -> Handle:
        number = next(self._numbers)
        self.open[kind].add(number)
        return Handle(number)

    def _gone(self, kind: str, handle: Any) -> tuple[IntEnum]:
        self.open[kind].remove(int(handle))
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaGetDeviceCount(self) -> Any:
        return (cudaError_t.cudaSuccess, self.devices)

    @played
    def cudaSetDevice(self, device: int) -> Any:
        assert device == 0
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaSetDeviceFlags(self, flags: int) -> Any:
        assert flags == self.cudaDeviceScheduleBlockingSync
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaDeviceGetAttribute(self, attr: cudaDeviceAttr, device: int) -> Any:
        assert device == 0
        values = {
            cudaDeviceAttr.cudaDevAttrComputeCapabilityMajor: self.capability[0],
            cudaDeviceAttr.cudaDevAttrComputeCapabilityMinor: self.capability[1],
            cudaDeviceAttr.cudaDevAttrIntegrated: int(self.integrated),
        }
        return (cudaError_t.cudaSuccess, values[attr])

    @played
    def cudaDriverGetVersion(self) -> Any:
        return (cudaError_t.cudaSuccess, 12060)

    @played
    def cudaRuntimeGetVersion(self) -> Any:
        return (cudaError_t.cudaSuccess, 13000)

    @played
    def cudaGetLastError(self) -> Any:
        last, self.last_error = self.last_error, cudaError_t.cudaSuccess
        return (last,)

    @played
    def cudaMalloc(self, size: int) -> Any:
        return self._take(DEVICE, size)

    @played
    def cudaFree(self, devPtr: int) -> Any:
        return self._give(devPtr, DEVICE) if devPtr else (cudaError_t.cudaSuccess,)

    @played
    def cudaHostAlloc(self, size: int, flags: int) -> Any:
        return self._take(MAPPED if flags == self.cudaHostAllocMapped else PINNED, size)

    @played
    def cudaFreeHost(self, ptr: int) -> Any:
        return self._give(ptr, PINNED, MAPPED)

    @played
    def cudaHostGetDevicePointer(self, pHost: int, flags: int) -> Any:
        assert flags == 0
        self.check(pHost, 1, MAPPED)
        return (cudaError_t.cudaSuccess, pHost)

    @played
    def cudaMemcpy(self, dst: int, src: int, count: int, kind: cudaMemcpyKind) -> Any:
        assert kind == cudaMemcpyKind.cudaMemcpyHostToDevice
        self.check(dst, count, DEVICE)
        self.late.append((dst, ctypes.string_at(src, count)))
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: Any) -> Any:
        up = kind == cudaMemcpyKind.cudaMemcpyHostToDevice
        self.check(dst, count, DEVICE if up else PINNED)
        self.check(src, count, PINNED if up else DEVICE)
        self.put(stream, functools.partial(ctypes.memmove, dst, src, count))
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaMemsetAsync(self, devPtr: int, value: int, count: int, stream: Any) -> Any:
        self.check(devPtr, count, DEVICE, MAPPED)
        self.put(stream, functools.partial(ctypes.memset, devPtr, value, count))
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        assert flags == self.cudaStreamNonBlocking
        return (cudaError_t.cudaSuccess, self._made("stream"))

    @played
    def cudaStreamDestroy(self, stream: Any) -> Any:
        return self._gone("stream", stream)

    @played
    def cudaStreamSynchronize(self, stream: Any) -> Any:
        if int(stream) == LEGACY_STREAM:
            while self.late:
                address, content = self.late.pop()
                ctypes.memmove(address, content, len(content))
            return (cudaError_t.cudaSuccess,)
        assert int(stream) in self.open["stream"]
        time.sleep(max(0.0, self.stream_done_at.get(int(stream), 0.0) - time.perf_counter()))
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> Any:
        assert int(stream) in self.open["stream"]
        assert int(event) in self.open["event"]
        assert flags == 0
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaEventCreateWithFlags(self, flags: int) -> Any:
        assert flags == self.cudaEventDisableTiming
        return (cudaError_t.cudaSuccess, self._made("event"))

    @played
    def cudaEventRecord(self, event: Any, stream: Any) -> Any:
        assert int(event) in self.open["event"]
        assert int(stream) in self.open["stream"]
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaEventSynchronize(self, event: Any) -> Any:
        assert int(event) in self.open["event"]
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaEventDestroy(self, event: Any) -> Any:
        return self._gone("event", event)

    @played
    def cudaStreamBeginCapture(self, stream: Any, mode: cudaStreamCaptureMode) -> Any:
        assert mode == cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.recording[int(stream)] = []
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaStreamEndCapture(self, stream: Any) -> Any:
        recorded = self.recording.pop(int(stream))
        if recorded is None:
            self.last_error = cudaError_t.cudaErrorStreamCaptureInvalidated
            return (self.last_error, None)
        handle = self._made("graph")
        self.recorded[int(handle)] = recorded
        return (cudaError_t.cudaSuccess, handle)

    @played
    def cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:
        assert flags == 0
        handle = self._made("graph")
        self.recorded[int(handle)] = list(self.recorded[int(graph)])
        return (cudaError_t.cudaSuccess, handle)

    @played
    def cudaGraphDestroy(self, graph: Any) -> Any:
        del self.recorded[int(graph)]
        return self._gone("graph", graph)

    @played
    def cudaGraphLaunch(self, graphExec: Any, stream: Any) -> Any:
        assert int(graphExec) in self.open["graph"]
        assert int(stream) in self.open["stream"]
        for work in self.recorded[int(graphExec)]:
            work()
        return (cudaError_t.cudaSuccess,)

    @played
    def cudaGraphExecDestroy(self, graphExec: Any) -> Any:
        del self.recorded[int(graphExec)]
        return self._gone("graph", graphExec)

    @played
    def cuInit(self, Flags: int) -> Any:
        assert Flags == 0
        return (CUresult.CUDA_SUCCESS,)

    @played
    def cuDeviceGet(self, ordinal: int) -> Any:
        return (CUresult.CUDA_SUCCESS, ordinal)

    @played
    def cuDeviceGetName(self, length: int, dev: int) -> Any:
        assert dev == 0
        return (CUresult.CUDA_SUCCESS, self.name.encode().ljust(length, b"\0"))

    @played
    def cuDeviceTotalMem(self, dev: int) -> Any:
        assert dev == 0
        return (CUresult.CUDA_SUCCESS, self.left)

    @played
    def cuModuleLoadData(self, image: bytes) -> Any:
        assert image
        return (CUresult.CUDA_SUCCESS, self._made("module"))

    @played
    def cuModuleGetFunction(self, hmod: Any, name: bytes) -> Any:
        assert int(hmod) in self.open["module"]
        return (CUresult.CUDA_SUCCESS, name.decode())

    @played
    def cuModuleUnload(self, hmod: Any) -> Any:
        return self._gone("module", hmod)

    @played
    def cuLaunchKernel(
        self,
        f: str,
        gridDimX: int,
        gridDimY: int,
        gridDimZ: int,
        blockDimX: int,
        blockDimY: int,
        blockDimZ: int,
        sharedMemBytes: int,
        hStream: Any,
        kernelParams: int,
        extra: int,
    ) -> Any:
        assert (blockDimZ, sharedMemBytes, extra) == (1, 0, 0)
        assert blockDimX * blockDimY <= 1024
        assert int(hStream) in self.open["stream"]
        parameter = ctypes.c_void_p.from_address(kernelParams).value
        blocks = (gridDimX * blockDimX, gridDimY * blockDimY, gridDimZ)
        self.put(hStream, lambda: self.kernels[f](parameter or 0, blocks))
        return (CUresult.CUDA_SUCCESS,)

    def _run_cut(self, parameter: int, threads: tuple[int, ...]) -> None:
        job = TileJob.from_address(parameter)
        side = job.input.size
        assert threads[0] >= side
        assert threads[1] >= side
        item = 2 if job.input.half else 4
        self.check(job.out, threads[2] * 3 * side * side * item, DEVICE)
        self.check(job.input.table, 3 * 256 * item, DEVICE)
        self.check(job.tiles, threads[2] * 24, DEVICE, MAPPED)
        for plane in (job.y, job.u, job.v):
            length = (plane.height - 1) * plane.row + (plane.width - 1) * plane.pixel + 1
            self.check(plane.data, length, DEVICE, MAPPED)
        _pixels.run_job(parameter, threads[2])

    def _run_filter(self, parameter: int, threads: tuple[int, ...]) -> None:
        task = HeadFilter.from_address(parameter)
        tiles = threads[1]
        assert threads[0] >= task.anchors
        self.check(task.output, 4 * tiles * task.tile_step, DEVICE)
        self.check(task.rows, 32 * tiles * task.room, DEVICE, MAPPED)
        self.check(task.counts, 4 * tiles, DEVICE, MAPPED)
        if task.grid:
            self.check(task.grid, 12 * task.anchors, DEVICE)
        _heads.run_filter(parameter, tiles)

    @played
    def nvrtcGetSupportedArchs(self) -> Any:
        return (nvrtcResult.NVRTC_SUCCESS, [72, 80, 87, 89, 90])

    @played
    def nvrtcCreateProgram(
        self,
        src: bytes,
        name: bytes,
        numHeaders: int,
        headers: list[bytes],
        includeNames: list[bytes],
    ) -> Any:
        assert b"tilewatch_cut" in src
        assert name
        assert numHeaders == len(headers) == len(includeNames)
        return (nvrtcResult.NVRTC_SUCCESS, Handle(1))

    @played
    def nvrtcCompileProgram(self, prog: Any, numOptions: int, options: list[bytes]) -> Any:
        assert numOptions == len(options)
        return (nvrtcResult.NVRTC_SUCCESS,)

    @played
    def nvrtcGetCUBINSize(self, prog: Any) -> Any:
        return (nvrtcResult.NVRTC_SUCCESS, 5)

    @played
    def nvrtcGetCUBIN(self, prog: Any, cubin: bytes) -> Any:
        assert len(cubin) == 5
        return (nvrtcResult.NVRTC_SUCCESS,)

    @played
    def nvrtcGetPTXSize(self, prog: Any) -> Any:
        return (nvrtcResult.NVRTC_SUCCESS, 3)

    @played
    def nvrtcGetPTX(self, prog: Any, ptx: bytes) -> Any:
        assert len(ptx) == 3
        return (nvrtcResult.NVRTC_SUCCESS,)

    @played
    def nvrtcGetProgramLogSize(self, prog: Any) -> Any:
        return (nvrtcResult.NVRTC_SUCCESS, self.log_bytes)

    @played
    def nvrtcGetProgramLog(self, prog: Any, log: bytes) -> Any:
        assert len(log) >= max(self.log_bytes, 2), "written into bytes of size 1, which all of Python shares"
        return (nvrtcResult.NVRTC_SUCCESS,)

    @played
    def nvrtcDestroyProgram(self, prog: Any) -> Any:
        return (nvrtcResult.NVRTC_SUCCESS,)


def _module(name: str) -> ModuleType:
    """Return an empty module that looks installed."""
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None, is_package=name in {"cuda", "cuda.bindings"})
    return made
