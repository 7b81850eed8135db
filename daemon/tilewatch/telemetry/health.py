"""Who has work in hand and since when; and whether the service may be given work.

A stage that waits for input, or for room behind it, is never to blame: the one that holds an item is. So everything
that works reports *since when* it has held what it holds, and None while it waits; whoever has held one thing for
longer than `STALL_SECONDS` has stalled. There are two ways to report:

- what is already measured is watched, at no cost until somebody asks:
  `with health.watch("file-0", pipeline.busy_since()): await pipeline.run()`,
  `with health.watch("engine", {"device": executor.busy_since}): ...`;
- everything else says so itself: `with health.working("file-0", "join"): ...`, with `beat` inside for each bit of
  progress, or `beat("daemon", "loop")` from the loop's own clockwork.

`live` only reads: any thread may ask, so a thread that waits beside the loop can tell that the loop itself hangs.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    BusySince: TypeAlias = Callable[[], "float | None"]
    """Returns the time, on the register's clock, since when its owner has held one item; None while it waits."""

State: TypeAlias = Literal["starting", "ready", "degraded", "draining"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons, each one line; true when all is well."""

    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is nothing to complain about."""
        return not self.reasons


@dataclass(slots=True)
class _Entry:
    """One that works: since when, and how long it may take."""

    busy_since: BusySince
    allowed: float


class Health:
    """The register of everything that works, and the state of the service.

    Args:
        stall_seconds: longest time that anything may hold one item (`STALL_SECONDS`).
        clock: seconds that never go back; the one that channels and pipelines use.
    """

    def __init__(self, stall_seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._own: dict[tuple[str, str], float] = {}
        self._warm = False
        self._draining = False
        self._troubles: dict[str, str] = {}

    @contextmanager
    def watch(self, stream: str, stages: Mapping[str, BusySince], *, allowed: float | None = None) -> Iterator[None]:
        """Watch the stages of a stream while the block runs; `allowed` seconds in place of `STALL_SECONDS`."""
        entries = {(stream, stage): _Entry(since, allowed or self._stall_seconds) for stage, since in stages.items()}
        self._entries.update(entries)
        try:
            yield
        finally:
            for key in entries:
                self._entries.pop(key, None)

    @contextmanager
    def working(self, stream: str, stage: str, *, allowed: float | None = None) -> Iterator[None]:
        """Hold one piece of work for the length of the block; `beat` inside tells of progress."""
        key = stream, stage
        self.beat(stream, stage)
        try:
            with self.watch(stream, {stage: lambda: self._own.get(key)}, allowed=allowed):
                yield
        finally:
            self.rest(stream, stage)

    def beat(self, stream: str, stage: str) -> None:
        """Say that this one has work in hand and has just moved; from now on it is watched, until `rest`."""
        key = stream, stage
        self._own[key] = self._clock()
        if key not in self._entries:
            self._entries[key] = _Entry(lambda: self._own.get(key), self._stall_seconds)

    def rest(self, stream: str, stage: str) -> None:
        """Say that this one has nothing in hand."""
        self._own.pop((stream, stage), None)

    def live(self, now: float | None = None) -> Verdict:
        """Return whether everything moves; if not, each reason names the stream and the stage that stands still.

        Args:
            now: time on the register's clock; unset: read from it.
        """
        at = self._clock() if now is None else now
        held = [(key, entry, entry.busy_since()) for key, entry in list(self._entries.items())]
        return Verdict(
            tuple(
                f"{stream}: {stage} has not moved for {at - since:.0f} s (allowed: {entry.allowed:g} s)"
                for (stream, stage), entry, since in held
                if since is not None and at - since > entry.allowed
            )
        )

    def ready(self) -> Verdict:
        """Return whether work is taken: the engine is warm, no stop was asked for, and everything moves."""
        if self._draining:
            return Verdict(("draining: no new work is taken",))
        if not self._warm:
            return Verdict(("starting: the engine is not warm yet",))
        return self.live()

    @property
    def state(self) -> State:
        """Where the service is in its life; 'degraded' works, but not as it should (see `troubles`)."""
        if self._draining:
            return "draining"
        if not self._warm:
            return "starting"
        return "degraded" if self._troubles or not self.live() else "ready"

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is not as it should be, one line each: the troubles told of, and whatever stands still."""
        return (*self._troubles.values(), *self.live().reasons)

    def warmed_up(self) -> None:
        """The engine is open and warm: ready from now on."""
        self._warm = True

    def drain(self) -> None:
        """A stop was asked for: never ready again."""
        self._draining = True

    def degrade(self, cause: str, text: str) -> None:
        """Tell of a trouble that does not end the service (`cause` names it, as 'disk'); told again, it is replaced."""
        self._troubles[cause] = text

    def mend(self, cause: str) -> None:
        """A trouble is over; one that was never told of is none."""
        self._troubles.pop(cause, None)
