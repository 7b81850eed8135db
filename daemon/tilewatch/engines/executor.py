"""One engine shared by all streams of a device: fills its calls across frames and keeps it as full as it likes to be.

Every stream has its own `Client`, hands in whole frames and gets whole frames back, in order; the streams' tiles take
turns (see turns). `run` alone talks to the engine, through its lane, in steps of one hop each: submit what waits and,
once enough is in flight or nothing more waits, fetch the oldest.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from tilewatch.engines.turns import Line, Turns
from tilewatch.errors import EngineError
from tilewatch.records import RawHeads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import ParamSpec

    from tilewatch.engines.base import Engine
    from tilewatch.records import F32, TileBatch

    P = ParamSpec("P")
T = TypeVar("T")

MILLISECONDS = 1000.0


class LaneCall(Protocol):
    """`Lane.call`: runs a function on the engine's thread; a cancelled caller waits for a call that has begun."""

    async def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returns."""


class _Job:
    """One frame's tiles on their way through."""

    __slots__ = ("batch", "done", "flying", "line", "outputs", "unfinished")

    def __init__(self, batch: TileBatch, line: Line[Part], done: asyncio.Future[RawHeads]) -> None:
        self.batch = batch
        self.line = line
        self.done = done
        self.outputs: tuple[F32, ...] = ()
        self.unfinished = len(batch.tiles)
        self.flying = 0

    def keep(self, row: int, outputs: Sequence[F32], index: int) -> None:
        """Copy one tile's outputs to its row; on the lane."""
        if not self.outputs:
            count = len(self.batch.tiles)
            self.outputs = tuple(np.empty((count, *output.shape[1:]), np.float32) for output in outputs)
        pairs = zip(self.outputs, outputs, strict=True)
        self.outputs = tuple(_kept(kept, row, output[index]) for kept, output in pairs)


def _kept(kept: F32, row: int, output: F32) -> F32:
    """Put one tile's output into its row and return the array.

    Candidates that were picked on the device are as many as they are: the array grows with the tile that has most, and
    what a tile does not fill is 0.
    """
    if output.shape == kept.shape[1:]:
        kept[row] = output
        return kept
    if len(output) > kept.shape[1]:
        wider = np.zeros((len(kept), *output.shape), np.float32)
        wider[:, : kept.shape[1]] = kept
        kept = wider
    kept[row] = 0
    kept[row, : len(output)] = output
    return kept


Part: TypeAlias = "tuple[_Job, int]"
"""A tile: its frame's job and its row there."""


class _Flight(NamedTuple):
    """One submit."""

    parts: list[Part]
    started: float


class Client:
    """One stream's way to the device. What it submits waits in its own line."""

    __slots__ = ("_executor", "_line")

    def __init__(self, executor: Executor, line: Line[Part]) -> None:
        self._executor = executor
        self._line = line

    @property
    def appetite(self) -> int:
        """Tiles that keep the engine busy: what is in flight, and as much again waiting behind it."""
        return self._executor.appetite

    def submit(self, batch: TileBatch) -> asyncio.Future[RawHeads]:
        """Queue a frame's tiles; the future answers with the model's outputs, in the order of the tiles.

        First come, first served among this client's frames. The batch's slot goes back to the engine once its tiles are
        done, also when the future is cancelled. The outputs of a batch without tiles are `()`.

        Raises:
            EngineError: the engine failed, or the executor has been stopped; also through the future.
        """
        return self._executor.accept(batch, self._line)


class Executor:
    """Inference for any number of streams on one device."""

    def __init__(
        self,
        engine: Engine,
        call: LaneCall,
        *,
        batch_wait_ms: float = 5.0,
        pick: Callable[[Sequence[F32]], tuple[F32, ...]] = tuple,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """Take an engine that is open and warm, and the `call` of its lane.

        `pick` gives what is to be kept of a submit's outputs; it runs on the lane.
        `on_batch` is told of every submit that came back: number of tiles, seconds from submit to result.
        """
        self._engine = engine
        self._call = call
        self._wait_seconds = batch_wait_ms / MILLISECONDS
        self._pick = pick
        self._on_batch = on_batch
        self._turns: Turns[Part] = Turns()
        self._in_flight: deque[_Flight] = deque()
        self._jobs: set[_Job] = set()
        self._arrived = asyncio.Event()
        self._closing = False
        self._called_at: float | None = None

    def busy_since(self) -> float | None:
        """Return since when the device has been in one call, `time.perf_counter` seconds; None while it is in none."""
        return self._called_at

    @property
    def appetite(self) -> int:
        """Tiles that keep the engine busy: what is in flight, and as much again waiting behind it."""
        feeding = self._engine.feeding
        return 2 * feeding.batch * feeding.in_flight

    def client(self, *, urgent: bool = False) -> Client:
        """Return a new stream's way to the device; urgent ones (live sources) go before the others, if not always."""
        return Client(self, Line(urgent=urgent))

    def accept(self, batch: TileBatch, line: Line[Part]) -> asyncio.Future[RawHeads]:
        """Queue a frame's tiles in a line: `Client.submit`."""
        if self._closing:
            self._engine.release(batch.slot)
            raise EngineError("inference has been stopped")
        done: asyncio.Future[RawHeads] = asyncio.get_running_loop().create_future()
        if not len(batch.tiles):
            self._engine.release(batch.slot)
            done.set_result(RawHeads(batch=batch, outputs=()))
            return done
        job = _Job(batch, line, done)
        self._jobs.add(job)
        self._turns.put(line, [(job, row) for row in range(job.unfinished)])
        self._arrived.set()
        done.add_done_callback(lambda future: self._forget(job) if future.cancelled() else None)
        return done

    async def run(self) -> None:
        """Serve until `stop`; what was accepted before that is still inferred.

        Raises:
            EngineError: the engine failed; every caller gets an error of the same text.
        """
        failure = EngineError("inference has been stopped")
        try:
            while await self._work():
                await self._step()
        except EngineError as error:
            failure = error
            raise
        finally:
            self._closing = True
            await self._abandon(failure)

    def stop(self) -> None:
        """Take no more; `run` returns once what was accepted is answered. Idempotent."""
        self._closing = True
        self._arrived.set()

    async def _work(self) -> bool:
        """Wait for something to do; False once there is nothing left and nothing more will come."""
        while not self._turns and not self._in_flight:
            if self._closing:
                return False
            self._arrived.clear()
            await self._arrived.wait()
        most = self._engine.feeding.batch
        if self._in_flight and 0 < len(self._turns) < most:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._fill(most), self._wait_seconds)
        return True

    async def _fill(self, most: int) -> None:
        """Wait until there are enough tiles for a full submit, or no more will come."""
        while len(self._turns) < most and not self._closing:
            self._arrived.clear()
            await self._arrived.wait()

    async def _step(self) -> None:
        """Submit one call's worth of tiles, fetch the oldest when it is time, and answer whose frame is complete."""
        parts = self._turns.take(self._engine.feeding.batch)
        if parts:
            self._in_flight.append(_Flight(parts, time.perf_counter()))
        for job, _ in parts:
            job.flying += 1
        full = len(self._in_flight) >= self._engine.feeding.in_flight
        due = self._in_flight[0] if full or not self._turns else None
        await self._timed(self._exchange, parts, due)
        if due is not None:
            self._in_flight.popleft()
            self._settle(due)

    async def _timed(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call on the lane and note how long that has been going on."""
        self._called_at = time.perf_counter()
        try:
            return await self._call(function, *args, **kwargs)
        finally:
            self._called_at = None

    def _exchange(self, parts: list[Part], due: _Flight | None) -> None:
        """Submit and fetch; on the lane."""
        if parts:
            self._engine.submit([(job.batch.slot, row) for job, row in parts])
        if due is None:
            return
        outputs = self._pick(self._engine.collect())
        for index, (job, row) in enumerate(due.parts):
            if not job.done.cancelled():
                job.keep(row, outputs, index)

    def _settle(self, flight: _Flight) -> None:
        """Count a submit's tiles as done and answer the callers whose last tile was among them."""
        if self._on_batch is not None:
            self._on_batch(len(flight.parts), time.perf_counter() - flight.started)
        for job, _ in flight.parts:
            job.flying -= 1
            job.unfinished -= 1
            if job.done.cancelled():
                self._let_go(job)
            elif not job.unfinished:
                job.done.set_result(RawHeads(batch=job.batch, outputs=job.outputs))
                self._let_go(job)

    def _forget(self, job: _Job) -> None:
        """Drop what still waits of a cancelled caller's frame."""
        self._turns.keep(job.line, lambda part: part[0] is not job)
        self._let_go(job)

    def _let_go(self, job: _Job) -> None:
        """Give the slot back once nothing of it is in flight."""
        if not job.flying and job in self._jobs:
            self._jobs.discard(job)
            self._engine.release(job.batch.slot)

    async def _abandon(self, failure: EngineError) -> None:
        """Wait for what is in flight, then tell every caller."""
        self._turns.clear()
        try:
            if self._in_flight:
                await self._timed(self._drain, len(self._in_flight))
        finally:
            self._in_flight.clear()
            for job in list(self._jobs):
                job.flying = 0
                if not job.done.done():
                    error = EngineError(str(failure))
                    error.__cause__ = failure
                    job.done.set_exception(error)
                    job.done.exception()  # marks it as retrieved: a stream asks for its oldest frame only
                self._let_go(job)

    def _drain(self, count: int) -> None:
        """Fetch what is in flight and drop it; a failing engine has nothing more to wait for. On the lane."""
        with suppress(EngineError):
            for _ in range(count):
                self._engine.collect()
