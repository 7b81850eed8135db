"""Looks after the results of cameras that a process left open: killed, out of power, out of room, out of time.

What a camera showed cannot be asked for again. So what the checkpoints vouch for is made a result, marked as
interrupted, by whoever comes next.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tilewatch.errors import ConfigError, DiskFullError, FrameError, StreamError, TilewatchError
from tilewatch.jobs import checkpoint
from tilewatch.jobs.mounts import is_network
from tilewatch.service.card import Card
from tilewatch.service.completion import DIED, Completion, NothingLeftError
from tilewatch.service.lastid import cameras
from tilewatch.service.places import free_name
from tilewatch.service.recording import IDENTITY
from tilewatch.sinks.disk import replace_whole, writing
from tilewatch.sinks.partial import PartialFolder, is_of_this_machine, leftovers
from tilewatch.sinks.result import ResultFolder
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tilewatch.jobs.checkpoint import Checkpoint

ATTEMPTS = "attempts"
QUIET_SECONDS = 600.0
"""On a network volume another machine's recording that is overdue, and was not written to for so long, is left over."""

logger = log.logger("camera")


class StoppedError(TilewatchError):
    """The service is to end: what was begun is left to the next one."""


class Salvage:
    """Completes, or sweeps away, what was left open. Blocking; used from one lane.

    Args:
        output: the folder of results.
        max_attempts: at one of them; what has ended so many processes, or failed so often, is set aside.
        max_pixels: largest picture that is decoded.
        stopped: asked again and again: whether to stop.
    """

    def __init__(self, output: Path, *, max_attempts: int, max_pixels: int, stopped: Callable[[], bool]) -> None:
        self._output = output
        self._max_attempts = max_attempts
        self._max_pixels = max_pixels
        self._stopped = stopped
        self._aside: set[Path] = set()

    def __call__(self) -> None:
        """Take everything whose process is dead; what cannot be completed now is said and left to a later call."""
        for camera in cameras(self._output):
            for root in _leftovers(self._output / camera):
                if root not in self._aside and not self._stopped():
                    self._take(root, camera)

    def _take(self, root: Path, camera: str) -> None:
        """Complete one, unless somebody still works on it."""
        try:
            with writing(root):
                partial = None if _may_live_elsewhere(root) else PartialFolder.adopt(root)
            if partial is not None:
                self._see_through(partial, camera)
        except (StreamError, FrameError, ConfigError) as error:
            logger.warning("segment_not_recovered", stream=camera, folder=str(root), error=str(error))

    def _see_through(self, partial: PartialFolder, camera: str) -> None:
        """Complete what was adopted, or leave it to a later try; raises what `Completion.run` does."""
        try:
            if partial.has_appeared:
                partial.remove()
            elif self._may_try(partial, camera):
                self._complete(partial, camera)
        except (StoppedError, DiskFullError) as error:
            with writing(partial.work):
                (partial.work / ATTEMPTS).unlink(missing_ok=True)  # it is not the recording's fault
            logger.warning("segment_recovery_postponed", stream=camera, folder=str(partial.root), cause=str(error))
        finally:
            partial.release()

    def _may_try(self, partial: PartialFolder, camera: str) -> bool:
        """Count the attempt; one too many is none."""
        note = partial.work / ATTEMPTS
        with writing(note):
            attempts = _number(note)
            if attempts < self._max_attempts:
                replace_whole(note, b"%d" % (attempts + 1))
                return True
        self._aside.add(partial.root)
        logger.error("segment_set_aside", stream=camera, folder=str(partial.root), attempts=attempts)
        return False

    def _complete(self, partial: PartialFolder, camera: str) -> None:
        """Let the result appear; where there is nothing to make it of, say so and sweep the folder away."""
        try:
            card, point = _found(partial)
            name = free_name(partial.root.parent, card.name, but=partial.root)
            folder = ResultFolder.taken_over(partial, name)
            outcome = Completion(folder, card, point, self._max_pixels, self._go_on).run()
        except NothingLeftError as error:
            logger.warning("segment_lost", stream=camera, folder=str(partial.root), cause=str(error))
            partial.remove()
            return
        facts = {"frames": outcome.frames, "tracks": outcome.tracks, "seconds": outcome.seconds}
        logger.warning("segment_recovered", stream=camera, output=outcome.output, **facts, cause=card.ended or DIED)

    def _go_on(self) -> None:
        if self._stopped():
            raise StoppedError("the service ends")


def _leftovers(folder: Path) -> Sequence[Path]:
    """Return what may be left over in a camera's folder; what cannot be read now is looked into later."""
    try:
        return leftovers(folder)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        logger.warning("folder_unreadable", folder=str(folder), error=str(error))
        return ()


def _found(partial: PartialFolder) -> tuple[Card, Checkpoint]:
    """Return what is known of a recording.

    Raises:
        NothingLeftError: too little.
    """
    work = partial.work
    point = checkpoint.load(work, IDENTITY) or checkpoint.load(work, IDENTITY, checkpoint.EARLIER)
    if point is None:
        raise NothingLeftError("there is no checkpoint of it")
    try:
        return Card.load(work), point
    except (OSError, ValueError) as error:
        raise NothingLeftError(f"what it is cannot be read: {error}") from error


def _may_live_elsewhere(root: Path) -> bool:
    """Tell whether another machine may still work on it: locks on a network volume say nothing of that.

    Raises:
        OSError: it cannot be looked at.
    """
    if is_of_this_machine(root) or not is_network(root):
        return False
    work, seconds = root / "work", 0.0
    with suppress(OSError, ValueError):  # without a card there is nothing to be completed
        seconds = Card.load(work).segment_seconds
    newest = max(path.stat().st_mtime for path in (work, *work.iterdir()))
    return time.time() - newest < seconds + QUIET_SECONDS


def _number(note: Path) -> int:
    """Return the number in a file, 0 where there is none."""
    with suppress(FileNotFoundError, ValueError):
        return int(note.read_bytes())
    return 0
