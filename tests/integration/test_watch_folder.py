"""The watcher on a real folder: events of the kernel, or walks where there are none."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from tilewatch.flow.lane import Lane
from tilewatch.jobs.watch import Watcher
from tilewatch.settings import WatchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

TIMEOUT = 30.0


class Offers:
    """What was offered, to be waited for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, path: str, mark: str) -> None:
        """Take an offer."""
        assert mark
        self.queue.put_nowait(path)

    async def next(self) -> str:
        """Return the next one."""
        return await asyncio.wait_for(self.queue.get(), TIMEOUT)


def put(path: Path) -> None:
    """Rename a finished file into place."""
    new = path.parent.parent / "elsewhere"
    new.write_bytes(path.name.encode())
    os.utime(new, (time.time() - 60,) * 2)
    new.rename(path)


async def watching(folder: Path, mode: Any, script: Callable[[Offers, Watcher], Coroutine[Any, Any, None]]) -> None:
    """Play a script while the folder is watched; the safety net is too far away to help."""
    settings = WatchSettings(watch_dir=folder, watch_mode=mode, watch_rescan_seconds=3600, settle_seconds=1)
    offers = Offers()
    async with Lane("watch") as lane:
        one = Watcher(settings, folder.parent / "out", call=lane.call, opens=os.path.exists)
        task = asyncio.ensure_future(one.run(offers))
        try:
            await script(offers, one)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("mode", ["inotify", "poll"])
def test_files_are_found_while_the_folder_is_watched(tmp_path: Path, run: Any, mode: str) -> None:
    """Those that lie there, those renamed into place, those in a folder that is moved in, each once."""
    folder = tmp_path / "videos"
    folder.mkdir()
    put(folder / "first.mp4")

    async def script(offers: Offers, one: Watcher) -> None:
        assert await offers.next() == "first.mp4"
        assert one.mode == mode
        put(folder / "second.mp4")
        assert await offers.next() == "second.mp4"
        (tmp_path / "day").mkdir()
        put(tmp_path / "day" / "third.mp4")
        (tmp_path / "day").rename(folder / "day")
        assert await offers.next() == "day/third.mp4"
        put(folder / "day" / "fourth.mp4")
        assert await offers.next() == "day/fourth.mp4"
        (folder / "fifth.mp4").write_bytes(b"just written")
        assert await offers.next() == "fifth.mp4"

    run(watching(folder, mode, script))


def test_folder_that_is_replaced_is_watched_anew(tmp_path: Path, run: Any) -> None:
    """A volume that is unmounted and mounted again has another identity: its events are asked for again."""
    folder = tmp_path / "videos"
    folder.mkdir()

    async def script(offers: Offers, one: Watcher) -> None:
        put(folder / "first.mp4")
        assert await offers.next() == "first.mp4"
        shutil.rmtree(folder)
        (tmp_path / "new").mkdir()
        put(tmp_path / "new" / "second.mp4")
        (tmp_path / "new").rename(folder)
        one._woken.set()  # noqa: SLF001  (what the safety net does after an hour)
        assert await offers.next() == "second.mp4"
        put(folder / "third.mp4")
        assert await offers.next() == "third.mp4"

    run(watching(folder, "inotify", script))
