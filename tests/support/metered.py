"""Wall time, CPU time and peak memory of a command; as a program, of the command it is given.

A process started by a large one inherits that one's peak memory in the kernel's books, so the command is not started
from here but by a small interpreter in between, which reports what its only child took.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spent(NamedTuple):
    """What a process took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, of all its threads and children."""
    megabytes: float
    """Most memory it held at once."""


def spent(command: Sequence[str], env: dict[str, str]) -> Spent:
    """Run a command to a good end and return what it took; what it said is in the failure's text."""
    reporter = [sys.executable, "-I", "-S", __file__, *command]
    done = subprocess.run(reporter, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, f"{command} failed\n{done.stdout}\n{done.stderr}"
    return Spent(*json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Run the command and print what it took as the last line."""
    started = time.perf_counter()
    code = subprocess.call(sys.argv[1:])
    wall, usage = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))  # noqa: T201 a program's answer
    return code


if __name__ == "__main__":
    sys.exit(main())
