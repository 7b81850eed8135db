"""Finds finished videos in the watched folder and offers each, whatever the file system tells or keeps to itself.

Events only wake the watcher up: what is there is always read from the folder itself, so that a lost event costs time
and never a file.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from typing_extensions import ParamSpec
from watchfiles import Change, awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from tilewatch.errors import SinkError
from tilewatch.flow.backports import BaseExceptionGroup, TaskGroup, timeout
from tilewatch.jobs.folder import Stamp, identity, scan
from tilewatch.jobs.mounts import is_deaf
from tilewatch.jobs.rules import Rules, enters
from tilewatch.jobs.sweep import Sweep
from tilewatch.sinks.fingerprint import fingerprint
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import NoReturn

    from tilewatch.settings import WatchSettings

P = ParamSpec("P")
T = TypeVar("T")

DEBOUNCE_MS = 400
STEP_MS = 100
"""How long events are gathered, and how often the thread that gathers them looks up."""
NO_TEXT = "Unable to decode path"
"""What watchfiles says, from then on at every call, after an event on a file whose name is not UTF-8."""
REST = 40
"""The watcher pauses at least so many times as long as its last walk took: it loads neither a core nor a server."""
SHORTEST_PAUSE_SECONDS = 0.2
SHORTEST_POLL_SECONDS = 1.0

logger = log.logger("jobs")


class Call(Protocol):
    """Runs a blocking function elsewhere: `Lane.call`."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Return the function's result."""


class Watcher:
    """Watches one folder and its subfolders.

    Args:
        settings: which folder, and how.
        output: the output folder, never looked into.
        call: runs what blocks.
        opens: tells whether a file is a container that can be opened; blocks.
    """

    mode: Literal["inotify", "poll"] = "poll"
    """How changes are noticed now."""
    problem: str = ""
    """Why nothing is taken at present, for the operator; empty: all is well."""

    def __init__(
        self,
        settings: WatchSettings,
        output: Path,
        *,
        call: Call,
        opens: Callable[[Path], bool],
    ) -> None:
        self._settings = settings
        self._root = settings.watch_dir
        self._output = output
        self._call = call
        self._opens = opens
        self._rules = Rules(settings.watch_patterns)
        self._sweep = Sweep(settings.settle_seconds)
        self._refused: dict[str, str] = {}
        self._woken = asyncio.Event()
        self._identity: tuple[int, int] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._walk_seconds = 0.0

    @property
    def waiting(self) -> int:
        """Files found that are not finished yet, or were not yet looked into."""
        return self._sweep.waiting

    async def run(self, offer: Callable[[str, str], Awaitable[object]]) -> NoReturn:
        """Watch until cancelled.

        Args:
            offer: is given path (relative to the folder) and fingerprint of each finished file, again after each
                start and each change. A SinkError it raises leaves the file for the next time.

        Raises:
            ConfigError: the output folder is the watched one.
        """
        async with TaskGroup() as group:
            while True:
                await self._listen(group)
                self._woken.clear()
                await self.look(offer)
                await self._pause()

    async def look(self, offer: Callable[[str, str], Awaitable[object]]) -> None:
        """Walk through the folder once and offer what is finished.

        Raises:
            ConfigError: the output folder is the watched one.
        """
        begun = time.monotonic()
        try:
            listing = await self._call(scan, self._root, self._rules, self._output)
        except OSError as error:
            self._tell(f"{self._root}: the watched folder cannot be read: {error.strerror}")
            return
        self._walk_seconds = time.monotonic() - begun
        self._refused = {path: self._refused[path] for path in self._refused if path in listing}
        for path, cause in listing.refused.items():
            self._refuse(path, cause)
        self._sweep.update(listing.files, time.monotonic(), time.time())
        try:
            for path in self._sweep.due(time.monotonic()):
                await self._take(path, offer)
        except SinkError as error:
            self._tell(str(error))
        else:
            self._tell("")

    async def _take(self, path: str, offer: Callable[[str, str], Awaitable[object]]) -> None:
        """Offer a quiet file if it opens, or if nothing more can be expected of it."""
        full = self._root / path
        if not await self._call(self._opens, full) and self._sweep.has_patience(path, time.monotonic()):
            self._sweep.postpone(path, time.monotonic())
            return
        try:
            mark = await self._call(_mark, full, self._sweep.stamp(path))
        except OSError as error:
            self._refuse(path, f"cannot be read: {error.strerror}")
            mark = None
        if mark is None:
            self._sweep.postpone(path, time.monotonic())
            return
        await offer(path, mark)
        self._sweep.settle(path)

    async def _listen(self, group: TaskGroup) -> None:
        """Have the kernel tell of changes in the folder that is there now, where it can."""
        found = await self._call(identity, self._root)
        if found == self._identity:
            return
        self._identity = found
        if self._listening:
            self._listening.cancel()
        wanted = self._settings.watch_mode
        deaf = wanted == "poll" or (wanted == "auto" and await self._call(is_deaf, self._root))
        self.mode = "poll" if deaf or found is None else "inotify"
        if self.mode == "inotify":
            self._listening = group.create_task(self._hear(), name="watch-events")
            await asyncio.sleep(0)  # the kernel listens from here on: what comes during the walk is not lost

    async def _hear(self) -> None:
        """Wake the watcher up at every change; polls if the kernel refuses (its limit of watches, most often)."""
        events = awatch(
            self._root,
            watch_filter=self._matters,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            force_polling=False,
            ignore_permission_denied=True,
        )
        try:
            async for changes in events:
                if (Change.deleted, str(self._root)) in changes:
                    self._identity = None  # another folder may get its place and even its inode
                self._woken.set()
        except (OSError, WatchfilesRustInternalError) as error:
            logger.warning("watch_events_unavailable", folder=str(self._root), error=str(error), mode="poll")
            self.mode = "poll"
            self._woken.set()
        except BaseExceptionGroup as group:
            if not str(group.exceptions[0]).startswith(NO_TEXT):
                raise
            self._identity = None  # the source of events is broken for good: the next walk makes a new one
            self._woken.set()

    def _matters(self, change: Change, path: str) -> bool:
        """Tell whether a change can be one of a video or of a folder with videos."""
        place = Path(path)
        if place == self._root:
            return True
        if change == Change.deleted or place.is_relative_to(self._output):
            return False
        inside = place.relative_to(self._root).parts if place.is_relative_to(self._root) else ()
        return all(map(enters, inside))

    async def _pause(self) -> None:
        """Wait for an event, the next file that may be finished, or the next walk that is made in any case."""
        rest = max(SHORTEST_PAUSE_SECONDS, REST * self._walk_seconds)
        await asyncio.sleep(rest)
        most = self._settings.watch_rescan_seconds
        if self.mode == "poll":
            most = min(most, max(self._settings.settle_seconds, SHORTEST_POLL_SECONDS))
        due = self._sweep.next_due()
        seconds = most - rest if due is None else min(most - rest, due - time.monotonic())
        with suppress(TimeoutError):
            async with timeout(max(0.0, seconds)):
                await self._woken.wait()

    def _tell(self, problem: str) -> None:
        """Log a change of what holds the watcher up."""
        if problem and problem != self.problem:
            logger.error("watch_interrupted", problem=problem)
        elif self.problem and not problem:
            logger.info("watch_resumed")
        self.problem = problem

    def _refuse(self, path: str, cause: str) -> None:
        """Log that something is not taken, once."""
        if self._refused.get(path) != cause:
            logger.warning("path_refused", path=path, cause=cause)
        self._refused[path] = cause


def _mark(path: Path, stamp: Stamp) -> str | None:
    """Return a file's fingerprint; None if it has changed since it was found.

    Raises:
        OSError: it cannot be read.
    """
    mark = fingerprint(path)
    status = path.stat()
    return mark if Stamp(status.st_size, status.st_mtime_ns) == stamp else None
