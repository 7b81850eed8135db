"""NVIDIA cards by NVML: a recording double stands in for the driver behind the real package's own names."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from tilewatch.telemetry.gpus.nvml import NvmlMeter

ANSWERS: dict[str, Any] = {
    "nvmlInit": None,
    "nvmlSystemGetDriverVersion": "550.54.15",
    "nvmlSystemGetCudaDriverVersion_v2": 12040,
    "nvmlDeviceGetCount": 1,
    "nvmlDeviceGetHandleByIndex": "handle",
    "nvmlDeviceGetName": "NVIDIA L4",
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=63, memory=10),
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=24 << 30, free=20 << 30, used=4 << 30),
    "nvmlDeviceGetTemperature": 57,
    "nvmlDeviceGetPowerUsage": 71_500,
}


class Driver:
    """Answers where the real package would ask its driver; every call has to fit the real function's signature."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: object) -> None:
        self.calls: list[str] = []
        for name, answer in {**ANSWERS, **answers}.items():
            monkeypatch.setattr(pynvml, name, self._stand_in(name, answer))

    def _stand_in(self, name: str, answer: object) -> Any:
        signature = inspect.signature(getattr(pynvml, name))

        def call(*arguments: object) -> object:
            signature.bind(*arguments)
            self.calls.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def test_card_tells_everything_in_base_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per cent to a ratio, milliwatts to watts, bytes as they are."""
    Driver(monkeypatch)
    meter = NvmlMeter.open()
    assert meter
    (found,) = meter.read()
    assert (found.device, found.name) == ("0", "NVIDIA L4")
    assert (found.utilization, found.temperature, found.power) == (0.63, 57.0, 71.5)
    assert (found.memory_used, found.memory_total) == (4 << 30, 24 << 30)
    assert (meter.driver_version, meter.cuda_version) == ("550.54.15", "12.4")


def test_memory_of_the_real_package_has_the_fields_that_are_read() -> None:
    """Names of the C structures."""
    assert {"total", "used"} <= {name for name, _ in pynvml.c_nvmlMemory_t._fields_}
    assert "gpu" in {name for name, _ in pynvml.c_nvmlUtilization_t._fields_}


@pytest.mark.parametrize("missing", ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage"])
def test_what_a_card_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The rest is read all the same."""
    Driver(monkeypatch, **{missing: pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)})
    meter = NvmlMeter.open()
    assert meter
    (found,) = meter.read()
    assert (found.utilization is None, found.power is None) == ("Utilization" in missing, "Power" in missing)
    assert found.temperature == 57.0


def test_lost_card_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has fallen off the bus."""
    Driver(monkeypatch, nvmlDeviceGetHandleByIndex=pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST))
    meter = NvmlMeter.open()
    assert meter
    assert not meter.read()


def test_machine_without_a_driver_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the real package says here."""
    Driver(monkeypatch, nvmlInit=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert NvmlMeter.open() is None
