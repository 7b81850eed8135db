"""Stages joined by channels in one TaskGroup.

A stage is an async generator over its inbox; the code after its loop is the flush. There are two endings. *Drain*: the
source returns, the end travels down the channels, the last stage returns. *Abort*: an error or a cancellation; nothing
more is sent, every stage is closed where it stands.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from structlog.contextvars import bound_contextvars

from tilewatch.errors import FrameError
from tilewatch.flow.backports import TaskGroup
from tilewatch.flow.channel import Channel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from tilewatch.telemetry.streams import StreamMetrics

T = TypeVar("T")
U = TypeVar("U")


class Stage(Protocol):
    """What a pipeline is made of: items in, items out, in order."""

    def __call__(self, inbox: Channel[Any], /) -> AsyncGenerator[Any, None]:
        """Return the generator of this stage's items."""


class StageEndedEarlyError(Exception):
    """A stage returned before its inbox was exhausted, which would hang the stage before it: a bug of the stage."""


@dataclass(slots=True)
class StageStatistics:
    """What one stage did. Busy is the time from asking the stage for an item to having it, less its inbox's waits."""

    moved_at: float | None = None
    """When it last began or gave an item, `time.perf_counter` seconds; None before it begins and once it has ended."""

    items: int = 0
    busy_seconds: float = 0.0
    send_wait_seconds: float = 0.0
    receive_wait_seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Step:
    """A stage, its name, and the capacity of the channel behind it (the last one has none)."""

    name: str
    stage: Stage
    capacity: int = 1
    drop_oldest: bool = False
    statistics: StageStatistics = field(default_factory=StageStatistics)


def each(
    function: Callable[[T], Awaitable[U]], *, on_skip: Callable[[FrameError], None]
) -> Callable[[AsyncIterator[T]], AsyncGenerator[U, None]]:
    """Lift a one-in, one-out function to a stage.

    A FrameError becomes a counted skip here, since raised inside a generator it would end the generator.
    """

    async def stage(inbox: AsyncIterator[T]) -> AsyncGenerator[U, None]:
        async for item in inbox:
            try:
                result = await function(item)
            except FrameError as error:
                on_skip(error)
                continue
            yield result

    return stage


class Pipeline:
    """One stream's way from its source to its sinks. Runs once.

    `stream` is its name in the log; in the metrics it goes by the label of `metrics`.
    """

    def __init__(self, stream: str, steps: list[Step], metrics: StreamMetrics) -> None:
        self.stream = stream
        self.steps = steps
        self._metrics = metrics
        self._channels = [
            Channel[Any](step.name, step.capacity, full="drop_oldest" if step.drop_oldest else "block")
            for step in steps[:-1]
        ]

    def busy_since(self) -> dict[str, Callable[[], float | None]]:
        """Return, for every stage, what tells since when it has held an item; None while it waits (telemetry.health).

        Times are `time.perf_counter` seconds.
        """
        return {step.name: partial(self._held_since, position) for position, step in enumerate(self.steps)}

    @property
    def channels(self) -> tuple[Channel[Any], ...]:
        """The channels, each named by the stage before it."""
        return tuple(self._channels)

    async def run(self) -> None:
        """Run until the source has ended and everything is through.

        Raises:
            BaseExceptionGroup: of whatever the stages raised; every stage is closed by then.
        """
        inboxes: list[Channel[Any] | None] = [None, *self._channels]
        outboxes: list[Channel[Any] | None] = [*self._channels, None]
        with self._metrics.running(self._channels):
            async with TaskGroup() as group:
                for step, inbox, outbox in zip(self.steps, inboxes, outboxes, strict=True):
                    group.create_task(self._run_stage(step, inbox, outbox), name=f"{self.stream}:{step.name}")

    def _held_since(self, position: int) -> float | None:
        moved_at = self.steps[position].statistics.moved_at
        if moved_at is None or (position < len(self._channels) and self._channels[position].jammed):
            return None
        if position == 0:
            return moved_at
        inbox = self._channels[position - 1]
        return None if inbox.starving else max(moved_at, inbox.taken_at)

    async def _run_stage(self, step: Step, inbox: Channel[Any] | None, outbox: Channel[Any] | None) -> None:
        with bound_contextvars(stream=self.stream, stage=step.name):
            step.statistics.moved_at = time.perf_counter()
            try:
                await self._pump(step, inbox, outbox)
            finally:
                step.statistics.moved_at = None

    async def _pump(self, step: Step, inbox: Channel[Any] | None, outbox: Channel[Any] | None) -> None:
        source = inbox if inbox is not None else Channel[Any]("nothing", 1)
        async with aclosing(step.stage(source)) as items:
            started, waited = time.perf_counter(), source.statistics.receive_wait_seconds
            async for item in items:
                busy = time.perf_counter() - started - (source.statistics.receive_wait_seconds - waited)
                await self._deliver(step, item, busy, outbox)
                step.statistics.moved_at = started = time.perf_counter()
                waited = source.statistics.receive_wait_seconds
        if inbox is not None and not inbox.exhausted:
            raise StageEndedEarlyError(f"stage {step.name} returned before its inbox was exhausted")
        step.statistics.receive_wait_seconds = source.statistics.receive_wait_seconds
        if outbox is not None:
            step.statistics.send_wait_seconds = outbox.statistics.send_wait_seconds
            outbox.close()

    async def _deliver(self, step: Step, item: object, busy: float, outbox: Channel[Any] | None) -> None:
        step.statistics.items += 1
        step.statistics.busy_seconds += busy
        self._metrics.given(step.name, busy)
        if outbox is not None:
            waited, dropped = outbox.statistics.send_wait_seconds, outbox.statistics.dropped
            await outbox.send(item)
            self._metrics.waited(step.name, outbox.statistics.send_wait_seconds - waited)
            self._metrics.dropped(step.name, outbox.statistics.dropped - dropped)
