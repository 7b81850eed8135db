"""What the tests of the containers share: a Docker Engine and the image under test."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import containers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def engine() -> None:
    """Need a Docker Engine that answers."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no Docker Engine: {error}")
    if done.returncode:
        pytest.skip(f"no Docker Engine: {' '.join(done.stderr.split())}")


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    """Return the name of the CPU image: the one in TILEWATCH_TEST_IMAGE, else one built here, once."""
    del engine
    ready = os.environ.get("TILEWATCH_TEST_IMAGE")
    if ready:
        return ready
    start = time.monotonic()
    containers.build("tilewatch:test-cpu")
    print(f"tilewatch:test-cpu built in {time.monotonic() - start:.0f} s, what was cached included")
    return "tilewatch:test-cpu"


@pytest.fixture
def name() -> Iterator[str]:
    """Return a name for a container that is gone after the test, whatever became of it."""
    chosen = f"tilewatch-test-{uuid.uuid4().hex[:12]}"
    yield chosen
    containers.docker("rm", "--force", "--volumes", chosen, check=False)
