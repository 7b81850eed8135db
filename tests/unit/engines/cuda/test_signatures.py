"""What is played is what NVIDIA's packages have: the same functions, parameters, enumerations and errors."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import fake_tensorrt
from tests.support.fake_cuda import (
    CUresult,
    FakeCuda,
    cudaDeviceAttr,
    cudaError_t,
    cudaMemcpyKind,
    cudaStreamCaptureMode,
    nvrtcResult,
)
from tilewatch.engines.cuda.binding import NO_LIBRARY, OUT_OF_MEMORY, REMEDIES
from tilewatch.engines.tensorrt.outputs import DTYPES

if TYPE_CHECKING:
    from enum import IntEnum
    from types import ModuleType

MODULES = ("runtime", "driver", "nvrtc")
STUBS = "tensorrt-stubs"
PLAYED = (
    fake_tensorrt.Runtime,
    fake_tensorrt.ICudaEngine,
    fake_tensorrt.IExecutionContext,
)
OWN = {"package", "session", "recorder", "tensors"}


def real(name: str) -> ModuleType:
    """Return a module of cuda-python; skip where it is not installed."""
    try:
        return importlib.import_module(f"cuda.bindings.{name}")
    except ModuleNotFoundError:
        pytest.skip("cuda-python is not installed")


@pytest.mark.parametrize("module", MODULES)
def test_played_functions_take_what_the_real_ones_take(module: str) -> None:
    """Name by name, parameter by parameter."""
    theirs = real(module)
    ours = FakeCuda().modules()[f"cuda.bindings.{module}"]
    functions = {name: value for name, value in vars(ours).items() if inspect.ismethod(value)}
    assert functions
    for name, function in functions.items():
        parameters = list(inspect.signature(getattr(theirs, name)).parameters)
        assert list(inspect.signature(function).parameters) == parameters, name


@pytest.mark.parametrize(
    ("module", "enum"),
    [
        ("runtime", cudaError_t),
        ("runtime", cudaMemcpyKind),
        ("runtime", cudaStreamCaptureMode),
        ("runtime", cudaDeviceAttr),
        ("driver", CUresult),
        ("nvrtc", nvrtcResult),
    ],
)
def test_played_enumerations_are_the_real_ones(module: str, enum: type[IntEnum]) -> None:
    """Names and values."""
    theirs: Any = getattr(real(module), enum.__name__)
    for member in enum:
        assert int(getattr(theirs, member.name)) == member


def test_success_is_false() -> None:
    """A call is checked by its status being anything else."""
    for module, enum in (("runtime", "cudaError_t"), ("driver", "CUresult"), ("nvrtc", "nvrtcResult")):
        theirs = getattr(real(module), enum)
        assert not theirs(0)
        assert theirs(1)


def test_played_constants_are_the_real_ones() -> None:
    """Flags."""
    theirs, fake = real("runtime"), FakeCuda()
    constants = {
        name: value for name, value in vars(FakeCuda).items() if name.startswith("cuda") and isinstance(value, int)
    }
    assert len(constants) == 5
    for name, value in constants.items():
        assert getattr(theirs, name) == value == getattr(fake, name)


def test_every_code_with_a_remedy_exists() -> None:
    """A misspelt one would never be found."""
    enums = [real("runtime").cudaError_t, real("driver").CUresult, real("nvrtc").nvrtcResult]
    known = {member.name for enum in enums for member in enum}
    assert (set(REMEDIES) | OUT_OF_MEMORY) - {NO_LIBRARY} <= known


def stub(name: str) -> ast.ClassDef:
    """Return a class of TensorRT's stubs; skip where they are not installed. As a whole they are no valid Python."""
    try:
        files = metadata.files(STUBS) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"{STUBS} is not installed: pip install --no-deps {STUBS}")
    (path,) = [file.locate() for file in files if file.name == "tensorrt.pyi"]
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]  # a Path, on every file system
    (found,) = re.findall(rf"^class {name}\b.*?(?=^\S)", text, flags=re.MULTILINE | re.DOTALL)
    (node,) = ast.parse(found).body
    assert isinstance(node, ast.ClassDef)
    return node


def names(node: ast.ClassDef) -> set[str]:
    """Return the attributes a class declares."""
    return {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


@pytest.mark.parametrize("played", PLAYED)
def test_played_tensorrt_has_the_real_methods(played: type) -> None:
    """With the same parameters, as far as the stubs name them."""
    theirs = stub(played.__name__)
    methods = {node.name for node in theirs.body if isinstance(node, ast.FunctionDef)}
    for name, value in vars(played).items():
        if name.startswith("_") or name in OWN:
            continue
        assert name in methods | names(theirs), name
        overloads = [node for node in theirs.body if isinstance(node, ast.FunctionDef) and node.name == name]
        if inspect.isfunction(value) and overloads:
            ours = list(inspect.signature(value).parameters)[1:]
            named = [[argument.arg for argument in each.args.args][1:] for each in overloads]
            assert any(_fits(ours, each) for each in named), (name, ours, named)


def _fits(ours: list[str], theirs: list[str]) -> bool:
    """Compare parameters; the stubs call some arg0, and optional ones may be left out."""
    return len(ours) <= len(theirs) and all(b.startswith("arg") or a == b for a, b in zip(ours, theirs, strict=False))


def test_enumerations_of_tensorrt_have_the_names_used() -> None:
    """They are used by name only: their values moved between 10 and 11."""
    assert set(DTYPES) | {member.name for member in fake_tensorrt.DataType} <= names(stub("DataType"))
    assert {member.name for member in fake_tensorrt.TensorIOMode} <= names(stub("TensorIOMode"))
    assert {member.name for member in fake_tensorrt.TensorFormat} <= names(stub("TensorFormat"))
    strategies = fake_tensorrt.ExecutionContextAllocationStrategy
    assert {member.name for member in strategies} <= names(stub(strategies.__name__))
    (severity,) = [node for node in stub("ILogger").body if isinstance(node, ast.ClassDef)]
    assert {member.name for member in fake_tensorrt.ILogger.Severity} <= names(severity)


def test_callbacks_are_called_what_tensorrt_calls() -> None:
    """The classes TensorRT calls back are named in its documentation only."""
    allocator = ast.get_docstring(stub("IOutputAllocator")) or ""
    for name in ("reallocate_output", "reallocate_output_async", "notify_shape"):
        assert f"def {name}(self, tensor_name" in allocator
    assert "def log(self, severity, msg)" in (ast.get_docstring(stub("ILogger")) or "")
    recorder = {node.name for node in stub("IErrorRecorder").body if isinstance(node, ast.FunctionDef)}
    assert {"report_error", "num_errors", "get_error_code", "get_error_desc", "has_overflowed", "clear"} <= recorder
