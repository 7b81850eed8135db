"""What an examination says: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tilewatch.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

State: TypeAlias = Literal["good", "absent", "doubtful", "bad"]
"""Absent: not there and not needed. Doubtful: it runs, but a person should know. Bad: it does not run like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    text: str
    """What is the case."""
    remedy: str = ""
    """What to do about it; never empty where the state is bad."""
    exit_code: int = 0
    """Of a run on this machine: 78 or 70 where the state is bad."""


@dataclass(frozen=True, slots=True)
class Section:
    """Findings that belong together."""

    title: str
    findings: tuple[Finding, ...]


def good(name: str, text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(name=name, state="good", text=text)


def absent(name: str, text: str, remedy: str = "") -> Finding:
    """Return a finding of what is not there and not needed."""
    return Finding(name=name, state="absent", text=text, remedy=remedy)


def doubtful(name: str, text: str, remedy: str) -> Finding:
    """Return a finding that a person should know of."""
    return Finding(name=name, state="doubtful", text=text, remedy=remedy)


def bad(name: str, text: str, remedy: str, *, device: bool = False) -> Finding:
    """Return a finding that keeps it from running; `device`: the hardware's fault rather than the settings'."""
    code = EngineError.exit_code if device else ConfigError.exit_code
    return Finding(name=name, state="bad", text=text, remedy=remedy, exit_code=code)


def verdict(sections: Iterable[Section]) -> int:
    """Return the exit code: 0 when it can run; settings are to be mended before devices."""
    codes = {finding.exit_code for section in sections for finding in section.findings}
    return max(codes, default=0)
