"""Calls are checked, absent packages and devices are said, and what is taken is given back once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.fake_cuda import CUresult, FakeCuda, cudaError_t
from tilewatch.engines.cuda import device as devices
from tilewatch.engines.cuda import graph
from tilewatch.engines.cuda.binding import CudaError, DeviceMemoryError, NotInstalledError, call, load
from tilewatch.engines.cuda.memory import DeviceBuffer, PinnedBuffer, SharedBuffer
from tilewatch.engines.cuda.stream import Event, Stream

if TYPE_CHECKING:
    from tilewatch.engines.cuda.binding import Cuda


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A device."""
    made = FakeCuda()
    made.install(monkeypatch)
    return made


@pytest.fixture
def cuda(fake: FakeCuda) -> Cuda:
    """The modules that stand in for cuda-python."""
    del fake
    return load()


def answers(*values: Any) -> Any:
    """Return a function of CUDA that answers so."""

    def cudaSomething(*_: object) -> Any:  # noqa: N802 -- as CUDA's functions are called
        return values

    return cudaSomething


def test_values_come_without_their_status() -> None:
    """None, one, or several."""
    fine = cudaError_t.cudaSuccess
    assert call(answers(fine)) == ()
    assert call(answers(fine, 7)) == 7
    assert call(answers(fine, 7, 8)) == (7, 8)


@pytest.mark.parametrize(
    ("status", "kind", "remedy"),
    [
        (cudaError_t.cudaErrorMemoryAllocation, DeviceMemoryError, "set a smaller BATCH_SIZE"),
        (cudaError_t.cudaErrorNoDevice, CudaError, "NVIDIA runtime"),
        (cudaError_t.cudaErrorInvalidValue, CudaError, "documentation of the call"),
        (CUresult.CUDA_ERROR_NO_BINARY_FOR_GPU, CudaError, "compiled for another device"),
    ],
)
def test_failure_names_call_code_and_remedy(status: Any, kind: type[CudaError], remedy: str) -> None:
    """In one line."""
    with pytest.raises(kind, match=f"cudaSomething failed with {status.name}: .*{remedy}") as caught:
        call(answers(status, None))
    assert (caught.value.call, caught.value.code, caught.value.exit_code) == ("cudaSomething", status.name, 70)


def test_library_that_cannot_be_loaded_is_an_error_like_any_other() -> None:
    """cuda-python 12.6 raises where there is no driver; the second line of what it says is a path."""

    def cudaGetDeviceCount() -> Any:  # noqa: N802
        raise RuntimeError("Failed to dlopen libcuda.so.1\nat some place")

    with pytest.raises(CudaError, match=r"a missing library \(Failed to dlopen libcuda.so.1\): .*install the driver"):
        call(cudaGetDeviceCount)


def test_absent_cuda_python_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(NotInstalledError, match=r"cuda-python, 12\.6 or newer: pip install 'tilewatch\[nvidia\]'"):
        load()


def test_device_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the log and the refusals name it."""
    FakeCuda(integrated=True, memory=1 << 20, capability=(8, 7), name="Orin (nvgpu)").install(monkeypatch)
    assert devices.probe() == devices.Device(
        name="Orin (nvgpu)",
        major=8,
        minor=7,
        integrated=True,
        memory_bytes=1 << 20,
        driver="12.6",
        runtime="13.0",
    )
    assert devices.probe().capability == "8.7"


def test_absent_device_is_said_with_the_remedy(fake: FakeCuda) -> None:
    """No driver, or a driver without a device."""
    fake.devices = 0
    with pytest.raises(devices.NoDeviceError, match="CUDA sees none"):
        devices.probe()
    fake.failures["cudaGetDeviceCount"] = cudaError_t.cudaErrorInsufficientDriver
    with pytest.raises(devices.NoDeviceError, match=r"no NVIDIA driver in reach.*--gpus all"):
        devices.probe()


def test_waiting_threads_sleep(fake: FakeCuda, cuda: Cuda) -> None:
    """A thread that spins takes a core from decoder and encoder."""
    devices.use(cuda)
    assert fake.names() == ["cudaSetDevice", "cudaSetDeviceFlags", "cudaFree"]


@pytest.mark.parametrize("integrated", [False, True])
def test_shared_memory_shows_either_side_what_the_other_wrote(fake: FakeCuda, cuda: Cuda, integrated: bool) -> None:
    """By a copy where there are two memories, by itself where there is one."""
    stream = Stream(cuda)
    up, down = (SharedBuffer(cuda, 8, integrated=integrated) for _ in range(2))
    up.bytes[:] = range(8)
    fake.names()
    up.upload(stream, 5)
    down.clear(stream, 8)
    down.download(stream, 8)
    copies = ["cudaMemcpyAsync", "cudaMemsetAsync", "cudaMemcpyAsync"]
    assert fake.names() == (["cudaMemsetAsync"] if integrated else copies)
    seen = PinnedBuffer(cuda, 8)
    if not integrated:
        seen.fetch(up.address, 8, stream)
        assert seen.bytes[:5].tolist() == [0, 1, 2, 3, 4]
    assert down.bytes.tolist() == [0] * 8
    for each in (up, down, seen, stream):
        each.close()
        each.close()
    assert fake.leaks() == []


def test_memory_of_no_size_can_be_had(fake: FakeCuda, cuda: Cuda) -> None:
    """A frame without tiles, an output without rows."""
    for made in (DeviceBuffer(cuda, 0), PinnedBuffer(cuda, 0)):
        made.close()
    assert fake.leaks() == []


@pytest.mark.parametrize("failing", ["cudaMalloc", "cudaHostAlloc"])
def test_half_made_shared_memory_is_given_back(fake: FakeCuda, cuda: Cuda, failing: str) -> None:
    """The processor's side, where the device has no room."""
    fake.failures[failing] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(DeviceMemoryError, match=failing):
        SharedBuffer(cuda, 8, integrated=False)
    assert fake.leaks() == []


def test_event_that_was_never_recorded_is_not_waited_for(fake: FakeCuda, cuda: Cuda) -> None:
    """There is nothing to wait for; afterwards there is."""
    event, stream = Event(cuda), Stream(cuda)
    event.wait()
    assert "cudaEventSynchronize" not in fake.names()
    event.record(stream)
    event.wait()
    assert fake.names() == ["cudaEventRecord", "cudaEventSynchronize"]
    for each in (event, stream):
        each.close()
        each.close()
    assert fake.leaks() == []


def test_graph_does_again_what_was_recorded(fake: FakeCuda, cuda: Cuda) -> None:
    """Not while it is recorded, and every time it is launched."""
    stream, memory = Stream(cuda), SharedBuffer(cuda, 4, integrated=True)
    memory.bytes[:] = 9
    made = graph.capture(cuda, stream, lambda: memory.clear(stream, 2))
    assert memory.bytes.tolist() == [9, 9, 9, 9]
    for _ in range(2):
        memory.bytes[:] = 9
        made.launch(stream)
        assert memory.bytes.tolist() == [0, 0, 9, 9]
    for each in (made, stream, memory):
        each.close()
        each.close()
    assert fake.leaks() == []


@pytest.mark.parametrize("ended", [True, False], ids=["by what failed", "by us"])
def test_recording_that_fails_leaves_a_usable_stream(fake: FakeCuda, cuda: Cuda, ended: bool) -> None:
    """It is ended either way, and the error is the work's."""
    stream = Stream(cuda)

    def work() -> None:
        if ended:
            fake.recording[stream.handle] = None
        raise CudaError("cudaMalloc", "cudaErrorStreamCaptureUnsupported")

    with pytest.raises(CudaError, match="cudaMalloc failed with cudaErrorStreamCaptureUnsupported"):
        graph.capture(cuda, stream, work)
    assert stream.handle not in fake.recording
    stream.close()
    assert fake.leaks() == []


def test_written_once_memory_holds_what_was_written(fake: FakeCuda, cuda: Cuda) -> None:
    """As the table of the engine's input."""
    table = np.arange(5, dtype=np.float32)
    stream, memory, seen = Stream(cuda), DeviceBuffer(cuda, table.nbytes), PinnedBuffer(cuda, table.nbytes)
    memory.fill(table.tobytes())
    seen.fetch(memory.address, table.nbytes, stream)
    assert np.array_equal(seen.bytes.view(np.float32), table)
    for each in (stream, memory, seen):
        each.close()
    assert fake.leaks() == []
