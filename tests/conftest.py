"""Fixtures of the whole suite. Nobody imports from here; what is shared as code lives in tests.support."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.loops import LOOPS, run_on

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

settings.register_profile("tilewatch", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("tilewatch")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on asyncio (debug mode) and, in a second pass, on uvloop; blocking calls are errors on both."""
    return lambda coroutine: run_on(request.param, coroutine)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings of the machine out of the tests."""
    from tilewatch.settings import env_names  # noqa: PLC0415

    for name in env_names():
        monkeypatch.delenv(name, raising=False)
