"""What the processor offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tilewatch.engines import cpu
from tilewatch.engines.openvino import choose_precision
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ALL = ("BF16", "FP32", "INT8")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("100000 100000", 1), ("1000 100000", 1), ("max 100000", None), ("nonsense", None), (None, None)],
)
def test_cores_respect_the_containers_quota(tmp_path: Path, quota: str | None, expected: int | None) -> None:
    """At least one core, never more than the affinity, no limit where none is given."""
    path = tmp_path / "cpu.max"
    if quota is not None:
        path.write_text(quota)
    assert cpu.cores(path) == (expected or len(os.sched_getaffinity(0)))


def test_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    """x86 says flags, ARM says Features; a system that says nothing has none."""
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nflags\t\t: fpu avx2\nprocessor : 1\nflags : none\n")
    assert cpu.flags(path) == {"fpu", "avx2"}
    path.write_text("Features\t: asimd bf16\n")
    assert cpu.flags(path) == {"asimd", "bf16"}
    assert cpu.flags(tmp_path / "absent") == frozenset()


@pytest.mark.parametrize(
    ("flags", "capabilities", "expected"),
    [
        ({"avx512_bf16"}, ALL, "bf16"),
        ({"amx_bf16"}, ALL, "bf16"),
        ({"avx512f"}, ALL, "f32"),
        ({"avx512_bf16"}, ("FP32",), "f32"),
    ],
)
def test_bf16_is_taken_only_where_it_is_native(flags: set[str], capabilities: tuple[str, ...], expected: str) -> None:
    """Emulated, it is slower than f32."""
    precision, reason = choose_precision("auto", frozenset(flags), capabilities)
    assert precision == expected
    assert "bf16" in reason


def test_precision_asked_for_is_taken_or_refused() -> None:
    """PRECISION overrides the flags, and is an error where the plugin cannot do it."""
    assert choose_precision("bf16", frozenset(), ALL) == ("bf16", "PRECISION=bf16")
    with pytest.raises(ConfigError, match=r"PRECISION=f16.*f32 or bf16"):
        choose_precision("f16", frozenset(), ALL)
