"""Write every frame's result into all sinks, one lane call a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from tilewatch.records import Tracks

    Call: TypeAlias = Callable[..., Awaitable[Any]]


class Sink(Protocol):
    """Where results go."""

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result; blocking."""


async def encode(inbox: AsyncIterator[Tracks], call: Call, sinks: Sequence[Sink]) -> AsyncGenerator[int, None]:
    """Yield the index of every frame that all sinks have taken; whoever opened them completes or aborts them.

    Raises:
        SinkError: a sink refused; the others stay as they are.
    """
    async for tracks in inbox:
        await call(_write, sinks, tracks)
        yield tracks.frame.index


def _write(sinks: Sequence[Sink], tracks: Tracks) -> None:
    for sink in sinks:
        sink.write(tracks)
