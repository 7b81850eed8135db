"""What is to be done, as the watcher, the workers and the operator see it; where it is kept is the adapter's matter.

A job goes `ready → running → done | failed | cancelled`. It is `waiting` while another job works on the same content:
it is done with that one, fails with it, or takes its place when that one is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

State: TypeAlias = Literal["waiting", "ready", "running", "done", "failed", "cancelled"]
FinalState: TypeAlias = Literal["done", "failed", "cancelled"]
Verdict: TypeAlias = Literal["go_on", "cancelled", "lost"]

STATES: tuple[State, ...] = ("waiting", "ready", "running", "done", "failed", "cancelled")
FINAL_STATES: tuple[FinalState, ...] = ("done", "failed", "cancelled")

CRASHED = "crashed"
"""Reason of a job whose worker died as often as is allowed."""
DUPLICATE = "duplicate"
"""Reason of a job that was done with another one of the same content."""
OPERATOR = "operator"
"""Reason of a job that a person has cancelled."""
REPLACED = "replaced"
"""Reason of a job that was cancelled before its turn since its file has changed: the changed one is a new job."""
REBUILT = "rebuilt"
"""Reason of a job that is known from its result alone, after the ledger was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One content of one file; times are Unix seconds."""

    id: int
    path: str
    """Relative to the watched folder."""
    fingerprint: str
    """'SIZE-SHA256' of `tilewatch.sinks.fingerprint`."""
    state: State
    attempts: int
    """How often work on it has begun, less what was released."""
    reason: str
    """One word: why it failed, was cancelled, or was done without work; else empty."""
    error: str
    """One line for the operator; empty unless failed."""
    frames_done: int
    frames_total: int | None
    """None: unknown."""
    created: float
    updated: float
    started: float | None
    """Of the latest attempt."""
    finished: float | None
    output: str
    """Where the result lies; empty unless done."""
    same_as: int | None
    """Id of the job of the same content on which this one depends."""


class JobStore(Protocol):
    """The memory between watcher and workers, and over crashes. All calls block: they belong on a lane.

    Every method raises DiskFullError or SinkError when the volume refuses for now (what was asked did not happen, a
    later try can succeed), and ProcessError when the store is damaged.
    """

    def offer(self, path: str, fingerprint: str) -> Job | None:
        """Make known a finished file.

        A file whose content is done under another name is recorded as done, with a reference. Jobs of the path's
        earlier content that have not begun are cancelled.

        Returns:
            The new job, ready or waiting; None when there is nothing to do.
        """

    def claim(self, owner: str, lease_seconds: float) -> Job | None:
        """Take the oldest job that is ready, or that runs under a lease which has ended: its worker died.

        A job whose last allowed attempt died is set to failed (`crashed`) instead. No job is given to two owners.

        Args:
            owner: who works on it, unique over workers, processes and machines.
            lease_seconds: for how long it is theirs; every heartbeat begins that time anew.
        """

    def heartbeat(self, job_id: int, owner: str, frames_done: int, frames_total: int | None) -> Verdict:
        """Keep a claimed job and tell how far it is.

        Returns:
            `cancelled`: the operator does not want it any more. `lost`: it is not this owner's any more. In both
            cases the worker drops it and tells the store nothing.
        """

    def finish(self, job_id: int, output: str, *, owner: str | None = None) -> bool:
        """Set a running job to done; those waiting for the same content are done with it.

        Returns:
            False: nothing changed, it is not running, or not under this owner (None: whoever).
        """

    def fail(self, job_id: int, reason: str, error: str, *, owner: str | None = None) -> bool:
        """Set a running job to failed, with those waiting for the same content. Returns as `finish`."""

    def release(self, job_id: int, *, owner: str | None = None) -> bool:
        """Give a running job back as if this attempt had not been: stop, drain, disk full. Returns as `finish`."""

    def retry(self, job_id: int) -> Job:
        """Set a finished job to ready with all attempts before it.

        Raises:
            InputError: there is no such job, or it is not finished.
        """

    def cancel(self, job_id: int) -> Job:
        """Set a job that is not finished to cancelled; its worker hears of it at its next heartbeat.

        Raises:
            InputError: there is no such job, or it is finished.
        """

    def prune(
        self, older_than_seconds: float, states: Collection[FinalState], *, keep: Callable[[Job], bool] | None = None
    ) -> int:
        """Forget jobs that finished longer ago, and return how many; a forgotten file that is found again is new.

        Args:
            older_than_seconds: since they finished.
            states: the outcomes meant.
            keep: tells which of them are to stay.
        """

    def get(self, job_id: int) -> Job | None:
        """Return one job."""

    def list(self, states: Collection[State] = STATES, limit: int | None = None) -> Sequence[Job]:
        """Return the newest jobs in these states, newest first."""

    def counts(self) -> Mapping[State, int]:
        """Return how many jobs are in each state, the empty ones too."""
