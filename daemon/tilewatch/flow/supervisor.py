"""What becomes of a pipeline's errors: the widest radius wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.errors import ProcessError, StreamError, TilewatchError
from tilewatch.flow.backports import BaseExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Iterator


def verdict(error: BaseException) -> BaseException:
    """Return the one error of a group that decides: a bug before a process error, that before a stream error.

    An error that is no group decides by itself.
    """
    return min(_leaves(error), key=_radius)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _radius(error: BaseException) -> int:
    """Return 0 for the widest radius."""
    if not isinstance(error, TilewatchError):
        return 0
    return 1 if isinstance(error, ProcessError) else 2 if isinstance(error, StreamError) else 3
