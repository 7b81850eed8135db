"""The watcher offers what is finished, and holds out where folder, file or ledger fail."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import ParamSpec

from tilewatch.errors import DiskFullError
from tilewatch.jobs.watch import Watcher
from tilewatch.settings import WatchSettings
from tilewatch.sinks.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

P = ParamSpec("P")
T = TypeVar("T")


async def at_once(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function here and now."""
    return function(*args, **kwargs)


class Ledger:
    """Notes what is offered, or refuses it."""

    def __init__(self) -> None:
        self.offers: list[tuple[str, str]] = []
        self.full = False

    async def offer(self, path: str, mark: str) -> None:
        """Take an offer."""
        if self.full:
            raise DiskFullError("ledger.db: no space left")
        self.offers.append((path, mark))


def watcher(folder: Path, opens: Callable[[Path], bool] = os.path.exists) -> Watcher:
    """Return a watcher of a folder."""
    settings = WatchSettings(watch_dir=folder, watch_mode="poll", watch_patterns=("*.mp4",))
    return Watcher(settings, folder / "out", call=at_once, opens=opens)


def put(path: Path, age: float = 3600.0) -> None:
    """Write a file that looks so many seconds old."""
    path.write_bytes(b"x" * 99)
    os.utime(path, (time.time() - age,) * 2)


def look(one: Watcher, ledger: Ledger) -> None:
    """Walk once."""
    asyncio.run(one.look(ledger.offer))


def test_finished_file_is_offered_once_with_its_fingerprint(tmp_path: Path) -> None:
    """One that is still fresh is not."""
    put(tmp_path / "a.mp4")
    put(tmp_path / "new.mp4", age=0)
    one, ledger = watcher(tmp_path), Ledger()
    look(one, ledger)
    look(one, ledger)
    assert ledger.offers == [("a.mp4", fingerprint(tmp_path / "a.mp4"))]
    assert one.waiting == 1


def test_file_that_never_opens_is_offered_in_the_end(tmp_path: Path) -> None:
    """So that it fails with a reason; before that it is only waited for."""
    put(tmp_path / "old.mp4")
    put(tmp_path / "young.mp4", age=30)
    one, ledger = watcher(tmp_path, opens=lambda _: False), Ledger()
    look(one, ledger)
    assert [path for path, _ in ledger.offers] == ["old.mp4"]


def test_file_that_changes_while_it_is_read_is_not_offered(tmp_path: Path) -> None:
    """Its fingerprint would be of neither the old nor the new content."""
    put(tmp_path / "a.mp4")

    def grow(path: Path) -> bool:
        path.write_bytes(b"y" * 100)
        return True

    one, ledger = watcher(tmp_path, opens=grow), Ledger()
    look(one, ledger)
    assert ledger.offers == []
    assert one.waiting == 1


def test_full_disk_holds_the_intake_up_and_loses_nothing(tmp_path: Path) -> None:
    """What was refused is offered when there is space."""
    put(tmp_path / "a.mp4")
    one, ledger = watcher(tmp_path), Ledger()
    ledger.full = True
    look(one, ledger)
    assert "no space left" in one.problem
    ledger.full = False
    look(one, ledger)
    assert (len(ledger.offers), one.problem) == (1, "")


def test_missing_folder_is_a_state_and_not_an_end(tmp_path: Path) -> None:
    """A volume may be mounted later."""
    folder = tmp_path / "videos"
    one, ledger = watcher(folder), Ledger()
    look(one, ledger)
    assert "cannot be read: No such file" in one.problem
    folder.mkdir()
    put(folder / "a.mp4")
    look(one, ledger)
    assert (len(ledger.offers), one.problem) == (1, "")


def test_vanished_file_is_forgotten(tmp_path: Path) -> None:
    """Between the walk and the look into it."""
    put(tmp_path / "a.mp4")

    def vanish(path: Path) -> bool:
        path.unlink()
        return True

    one, ledger = watcher(tmp_path, opens=vanish), Ledger()
    look(one, ledger)
    look(one, ledger)
    assert (ledger.offers, one.waiting) == ([], 0)
