"""Pull frames out of a source until it ends, enough were taken, or a stop is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tilewatch.errors import FrameError, InputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tilewatch.records import Frame

    Call: TypeAlias = Callable[..., Awaitable[Any]]


class Source(Protocol):
    """A video that is open."""

    @property
    def name(self) -> str:
        """What to call it in errors."""

    def read(self) -> Frame | None:
        """Return the next frame, None at the end; blocking.

        Raises:
            FrameError: a frame is damaged; the next call goes on behind it.
        """


class Stop(Protocol):
    """An event, or what looks like one."""

    def is_set(self) -> bool:
        """Tell whether to end."""


async def decode(
    source: Source,
    call: Call,
    *,
    max_frames: int | None,
    stop: Stop,
    on_damaged: Callable[[FrameError], None],
) -> AsyncGenerator[Frame, None]:
    """Yield the source's frames; every frame that was read is yielded, also when a stop comes meanwhile.

    Args:
        source: open; closed by whoever opened it.
        call: runs a function on the decoder's lane.
        max_frames: end after that many; None takes all.
        stop: set: end before the next frame.
        on_damaged: told of every frame that could not be decoded.

    Raises:
        InputError: the source ended without a single frame.
    """
    given = 0
    while given != max_frames and not stop.is_set():
        try:
            frame = await call(source.read)
        except FrameError as error:
            on_damaged(error)
            continue
        if frame is None:
            break
        given += 1
        yield frame
    if not given and max_frames != 0 and not stop.is_set():
        raise InputError(f"{source.name} holds no frame that can be decoded: convert it or copy it again")
