"""A worker as a process of its own: claims, beats, finishes, and says on stdout what it was given.

Started as `python ledger_worker.py OUTPUT OWNER` by the ledger's tests, which may kill it at any moment.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tilewatch.jobs.ledger import Ledger


def main(output: Path, owner: str) -> None:
    """Work until nothing is left."""
    with Ledger.open(output, max_attempts=1_000_000) as ledger:
        while job := ledger.claim(owner, lease_seconds=600):
            print(job.id, flush=True)  # noqa: T201
            ledger.heartbeat(job.id, owner, 1, 2)
            ledger.heartbeat(job.id, owner, 2, 2)
            ledger.finish(job.id, f"out/{job.path}", owner=owner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
