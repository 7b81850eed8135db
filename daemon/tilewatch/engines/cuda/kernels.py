"""Our two kernels, compiled for the device at hand by NVRTC when an engine is opened."""

from __future__ import annotations

import ctypes
from importlib import resources
from typing import TYPE_CHECKING, Any

from tilewatch.engines.cuda.binding import call
from tilewatch.errors import EngineError

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda
    from tilewatch.engines.cuda.device import Device
    from tilewatch.engines.cuda.layout import HeadFilter, TileJob
    from tilewatch.engines.cuda.stream import Stream

SOURCE = "kernels.cu"
HEADERS = ("head_kernel.h", "tile_kernel.h")
OPTIONS = ("--std=c++14", "--fmad=false")
"""Without fused multiply-add, so that the arithmetic is the processor's."""
BLOCK_X, BLOCK_Y = 32, 8
BLOCK_ANCHORS = 128


def source(name: str) -> bytes:
    """Return a file of the kernels' source, as it is shipped."""
    return resources.files("tilewatch.engines.cuda").joinpath("source").joinpath(name).read_bytes()


def compiled(cuda: Cuda, major: int, minor: int) -> bytes:
    """Return the kernels for a compute capability: binary code, or PTX where this NVRTC is older than the device.

    Raises:
        CudaError: NVRTC is not there or refuses.
        EngineError: the source does not compile; says where.
    """
    nvrtc = cuda.nvrtc
    wanted = 10 * major + minor
    known = [number for number in call(nvrtc.nvrtcGetSupportedArchs) if number <= wanted]
    if not known:
        raise EngineError(
            f"this NVRTC no longer knows compute capability {major}.{minor}: install cuda-python and NVRTC of CUDA 12"
        )
    exact = wanted in known
    target = f"--gpu-architecture={'sm' if exact else 'compute'}_{max(known)}"
    program = _program(nvrtc)
    try:
        _compile(nvrtc, program, [target, *OPTIONS])
        names = ("nvrtcGetCUBINSize", "nvrtcGetCUBIN") if exact else ("nvrtcGetPTXSize", "nvrtcGetPTX")
        return _filled(getattr(nvrtc, names[1]), program, call(getattr(nvrtc, names[0]), program))
    finally:
        call(nvrtc.nvrtcDestroyProgram, program)


def _program(nvrtc: Any) -> Any:  # noqa: ANN401 -- a module and a handle without types
    headers = [source(name) for name in HEADERS]
    names = [name.encode() for name in HEADERS]
    return call(nvrtc.nvrtcCreateProgram, source(SOURCE), SOURCE.encode(), len(headers), headers, names)


def _compile(nvrtc: Any, program: Any, options: list[str]) -> None:  # noqa: ANN401 -- as _program
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    if status:
        text = _filled(nvrtc.nvrtcGetProgramLog, program, call(nvrtc.nvrtcGetProgramLogSize, program))
        lines = [line for line in text.decode(errors="replace").strip("\0\n").splitlines() if line.strip()]
        raise EngineError(f"NVRTC cannot compile {SOURCE} with {options[0]}: {' '.join(lines[:2]) or status.name}")


def _filled(function: Any, program: Any, size: int) -> bytes:  # noqa: ANN401 -- as _program
    """Return what a function writes into a buffer of a size."""
    room = b" " * max(size, 2)  # NVRTC's bindings take bytes and write into them; one byte is CPython's, for everybody
    call(function, program, room)
    return room[:size]


class Kernels:
    """The kernels on the device of the calling thread."""

    def __init__(self, cuda: Cuda, device: Device) -> None:
        """Compile and load them.

        Raises:
            CudaError: the driver or NVRTC refuses.
            EngineError: they do not compile.
        """
        self._driver = cuda.driver
        self._module: Any = call(cuda.driver.cuModuleLoadData, compiled(cuda, device.major, device.minor))
        self._cut = call(cuda.driver.cuModuleGetFunction, self._module, b"tilewatch_cut")
        self._filter = call(cuda.driver.cuModuleGetFunction, self._module, b"tilewatch_filter")

    def cut(self, stream: Stream, job: TileJob, tiles: int) -> None:
        """Cut a job's tiles into the engine's input, in a stream."""
        side = job.input.size
        grid = (-(-side // BLOCK_X), -(-side // BLOCK_Y), tiles)
        self._launch(self._cut, grid, (BLOCK_X, BLOCK_Y), stream, job)

    def filter(self, stream: Stream, task: HeadFilter, tiles: int) -> None:
        """Pick the candidates of a batch's outputs, in a stream."""
        grid = (-(-task.anchors // BLOCK_ANCHORS), tiles, 1)
        self._launch(self._filter, grid, (BLOCK_ANCHORS, 1), stream, task)

    def _launch(
        self,
        kernel: Any,  # noqa: ANN401 -- the driver's own handle
        grid: tuple[int, int, int],
        block: tuple[int, int],
        stream: Stream,
        parameter: ctypes.Structure,
    ) -> None:
        """Put a kernel of one parameter into a stream; the driver copies the parameter before it returns."""
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(parameter))
        call(
            self._driver.cuLaunchKernel,
            kernel,
            *grid,
            *block,
            1,
            0,
            stream.handle,
            ctypes.addressof(parameters),
            0,
        )

    def close(self) -> None:
        """Unload them. Idempotent."""
        module, self._module = self._module, None
        if module is not None:
            call(self._driver.cuModuleUnload, module)
