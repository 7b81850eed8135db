"""The kernels: their arithmetic on the processor, and that the device's compilers take them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_cuda import FakeCuda, nvrtcResult
from tests.support.nvrtc import ARCHITECTURES, nvrtc_or_skip
from tilewatch.engines.cuda import kernels, layout
from tilewatch.engines.cuda.binding import load
from tilewatch.engines.cuda.device import Device
from tilewatch.errors import EngineError
from tilewatch.native import _heads, _pixels, pixels

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Matrix

ORIN = Device(name="Orin", major=8, minor=7, integrated=True, memory_bytes=1, driver="12.6", runtime="12.6")


def test_structures_are_those_of_the_headers() -> None:
    """Field for field: name, kind and place; the compiled core knows the whole size."""
    assert ctypes.sizeof(layout.TileJob) == _pixels.job_bytes()
    assert ctypes.sizeof(layout.HeadFilter) == _heads.filter_bytes()
    headers = b"".join(map(kernels.source, kernels.HEADERS)).decode()
    for structure in (layout.TilePlane, layout.TileColour, layout.TileInput, layout.TileJob, layout.HeadFilter):
        body = re.search(r"typedef struct \{([^}]*)\} " + structure.__name__, headers)
        assert body is not None
        declared = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
        names = [
            name.strip(" *")
            for line in declared.split(";")
            for name in re.sub(r"^.*?[\w>]\s+(?=\*?\w+(,|$))", "", line.strip()).split(",")
        ]
        assert [name for name in names if name] == [field[0] for field in structure._fields_]


def address(array: np.ndarray) -> int:
    """Return where an array lies."""
    return int(array.ctypes.data)


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 2**31),
    data=st.data(),
    half=st.booleans(),
    bgr=st.booleans(),
    nv12=st.booleans(),
    matrix=st.sampled_from(["bt601", "bt709", "bt2020"]),
)
def test_what_the_device_writes_is_what_the_processor_cuts(
    shape: tuple[int, int], seed: int, data: st.DataObject, half: bool, bgr: bool, nv12: bool, matrix: Matrix
) -> None:
    """The bytes of `cut_tiles`, each looked up in the table, plane by plane; I420 and NV12, any scale, padding."""
    rng = np.random.default_rng(seed)
    height, width = shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    y = rng.integers(0, 256, shape, np.uint8)
    both = rng.integers(0, 256, (rows, columns, 2), np.uint8)
    u, v = (both[..., 0], both[..., 1]) if nv12 else (both[..., 0].copy(), both[..., 1].copy())
    step = 2 if nv12 else 1
    tiles, side = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    corners = [(data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))) for _ in range(tiles)]
    ends = [(data.draw(st.integers(x + 1, width)), data.draw(st.integers(y0 + 1, height))) for x, y0 in corners]
    rects = np.array([[*start, *end] for start, end in zip(corners, ends, strict=True)], np.int32)
    fitted = rng.integers(1, side + 1, (tiles, 2)).astype(np.int32)
    expected = np.zeros((tiles, side, side, 3), np.uint8)
    pixels.cut_tiles(y, u, v, rects, fitted, expected, full_range=False, matrix=matrix)

    kind = np.float16 if half else np.float32
    table = rng.random((3, 256)).astype(kind)
    places = np.concatenate([rects, fitted], axis=1)
    out = np.zeros((tiles, 3, side, side), kind)
    job = layout.TileJob(
        y=layout.TilePlane(address(y), width, 1, width, height),
        u=layout.TilePlane(address(u), columns * step, step, columns, rows),
        v=layout.TilePlane(address(v), columns * step, step, columns, rows),
        colour=layout.TileColour(*pixels.colour_terms(matrix, full_range=False).tolist()),
        input=layout.TileInput(address(table), side, half, bgr),
        tiles=address(places),
        out=address(out),
    )
    _pixels.run_job(ctypes.addressof(job), tiles)
    order = [2, 1, 0] if bgr else [0, 1, 2]
    wanted = np.stack([table[plane][expected[..., order[plane]]] for plane in range(3)], axis=1)
    assert np.array_equal(out, wanted)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_the_kernels(architecture: int) -> None:
    """For every device there is a compiler for: Xavier, Orin, Ada, Hopper."""
    cuda, known = nvrtc_or_skip()
    if architecture not in known:
        pytest.skip(f"this NVRTC knows sm_{min(known)} to sm_{max(known)}: for sm_{architecture} NVRTC 12 is needed")
    code = kernels.compiled(cuda, *divmod(architecture, 10))
    assert code[:4] == b"\x7fELF"
    assert b"tilewatch_cut" in code
    assert b"tilewatch_filter" in code


def test_device_newer_than_nvrtc_gets_ptx() -> None:
    """Which its driver compiles."""
    cuda, known = nvrtc_or_skip()
    code = kernels.compiled(cuda, *divmod(max(known) + 1, 10))
    assert f".target sm_{max(known)}".encode() in code


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvcc_compiles_the_kernels(architecture: int, tmp_path: Path) -> None:
    """With warnings as errors, from the files as they are shipped."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on this machine")
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    if f"compute_{architecture}" not in listed.split():
        pytest.skip(f"this nvcc does not know sm_{architecture}: nvcc 12 is needed")
    for name in (kernels.SOURCE, *kernels.HEADERS):
        (tmp_path / name).write_bytes(kernels.source(name))
    command = [nvcc, f"-arch=sm_{architecture}", "-cubin", "-Werror", "all-warnings", "--fmad=false", "-std=c++14"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out"), str(tmp_path / kernels.SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_device_that_nvrtc_has_forgotten_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    FakeCuda().install(monkeypatch)
    with pytest.raises(EngineError, match=r"no longer knows compute capability 6\.1: install .* of CUDA 12"):
        kernels.compiled(load(), 6, 1)


@pytest.mark.parametrize("log_bytes", [40, 1], ids=["a log", "an empty log"])
def test_source_that_does_not_compile_is_an_error(monkeypatch: pytest.MonkeyPatch, log_bytes: int) -> None:
    """With the compiler's own words, or its code where it says nothing, and the program is given back."""
    fake = FakeCuda()
    fake.log_bytes = log_bytes
    fake.install(monkeypatch)
    cuda = load()

    def fails(*_: object) -> Any:
        return (nvrtcResult.NVRTC_ERROR_COMPILATION,)

    monkeypatch.setattr(cuda.nvrtc, "nvrtcCompileProgram", fails)
    with pytest.raises(EngineError, match=r"NVRTC cannot compile kernels\.cu with --gpu-architecture=sm_87"):
        kernels.compiled(cuda, 8, 7)
    assert fake.names()[-1] == "nvrtcDestroyProgram"


def test_kernels_close_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are unloaded once."""
    fake = FakeCuda()
    fake.install(monkeypatch)
    made = kernels.Kernels(load(), ORIN)
    made.close()
    made.close()
    assert fake.names().count("cuModuleUnload") == 1
    assert fake.leaks() == []


def test_device_between_two_that_are_known_gets_ptx_of_the_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture that this NVRTC does not list."""
    fake = FakeCuda()
    fake.install(monkeypatch)
    kernels.compiled(load(), 8, 8)
    (options,) = [call.arguments[2] for call in fake.calls if call.name == "nvrtcCompileProgram"]
    assert options[0] == b"--gpu-architecture=compute_87"
    assert "nvrtcGetPTX" in fake.names()
