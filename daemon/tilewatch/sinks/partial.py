"""A hidden folder in which a result grows, told apart from the leftover of a process that died.

`.NAME.PID-MARK.partial/` holds `result/` (the files), `lock` (held while the owner lives, also across containers that
share the volume) and, for the moment of a swap, `replaced/` (the earlier result, put back should the owner die there).
Where what grows can never be made again there is `work/` too: of it another process can complete the result.
Containers number their processes alike, and so do machines: the mark tells one's processes from the other's.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATTERN = re.compile(r"\.(.+)\.(\d+)(?:-[0-9a-f]{8})?\.partial", re.DOTALL)
WORK = "work"
NAMESPACE = "/proc/self/ns/pid"
NAME_MAX = 255
"""Bytes of a file name on every file system in use."""


def shortened(name: str, limit: int = NAME_MAX) -> str:
    """Return a name of at most `limit` bytes; what is cut off is stood for by a hash, so that names stay distinct."""
    raw = os.fsencode(name)
    if len(raw) <= limit:
        return name
    mark = f"-{hashlib.sha256(raw).hexdigest()[:8]}"
    head = raw[: limit - len(mark)].decode("utf-8", "ignore")
    return f"{head}{mark}"


class PartialFolder:
    """The folder of one result in work; who has it, by `make` or `adopt`, owns it until `remove` or `release`.

    Args:
        root: the folder.
        lock: descriptor of its lock, held; None where there are no locks.
    """

    def __init__(self, root: Path, lock: int | None) -> None:
        self.root = root
        self.result = root / "result"
        self.work = root / WORK
        self._lock = lock

    @classmethod
    def make(cls, parent: Path, name: str) -> PartialFolder:
        """Return a new one.

        Raises:
            OSError: it cannot be made beside the result.
        """
        folder = cls(_root(parent, name), None)
        folder.root.mkdir()
        try:
            folder._lock = _take_lock(folder.root)
            folder.result.mkdir()
        except OSError:
            folder.remove()
            raise
        return folder

    @classmethod
    def adopt(cls, root: Path) -> PartialFolder | None:
        """Take over what a dead process left of a result; None: its owner lives, or another process was quicker.

        Raises:
            OSError: it cannot be taken over.
        """
        name, pid = _parsed(root)
        dead, lock = _claimed(root, pid)
        if not dead:
            return None
        folder = cls(_root(root.parent, name), lock)
        try:
            root.rename(folder.root)
        except OSError as error:
            folder.release()
            if isinstance(error, FileNotFoundError):
                return None
            raise
        return folder

    @property
    def has_appeared(self) -> bool:
        """Whether the result is in its place: its owner died before it could say so."""
        return not self.result.exists()

    def swap_in(self, folder: Path) -> None:
        """Rename the result to `folder`; an earlier one is deleted by `remove`, or stays if the rename fails.

        Raises:
            OSError: it cannot be renamed.
        """
        replaced = self.root / "replaced"
        if folder.exists():
            replaced.mkdir()
            folder.rename(replaced / folder.name)
        try:
            self.result.rename(folder)
        except OSError:
            _put_back(replaced, folder.parent)
            raise

    def remove(self) -> None:
        """Delete the folder with all it holds; never raises. Idempotent."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Leave the folder to whoever will `adopt` it. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def clear_stale(parent: Path) -> None:
    """Delete what dead processes left in a folder; a result they were about to replace is put back.

    What can be completed stays, and so does what cannot be read or deleted: it is in nobody's way.
    """
    with suppress(OSError):
        for root in list(_abandoned(parent)):
            _put_back(root / "replaced", parent)
            shutil.rmtree(root, ignore_errors=True)


def leftovers(parent: Path) -> list[Path]:
    """Return the partial folders with work in them, whoever owns them.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(parent) as found:
        names = [entry.name for entry in found if PATTERN.fullmatch(entry.name)]
    return sorted(parent / name for name in names if (parent / name / WORK).is_dir())


def is_of_this_machine(root: Path) -> bool:
    """Tell whether a partial folder was made by a process of this machine and container."""
    return f"-{_mark()}.partial" in root.name


def _abandoned(parent: Path) -> Iterator[Path]:
    """Yield the partial folders without a living owner."""
    for root in parent.iterdir():
        if PATTERN.fullmatch(root.name) and _is_scrap(root) and _is_dead(root):
            yield root


def _is_scrap(root: Path) -> bool:
    """Tell whether a path is a folder in which there is nothing to be completed."""
    return root.is_dir() and not root.is_symlink() and not (root / WORK).exists()


def _root(parent: Path, name: str) -> Path:
    """Return what a result's folder is called while it is this process's."""
    ending = f".{os.getpid()}-{_mark()}.partial"
    return parent / f".{shortened(name, NAME_MAX - len(ending) - 1)}{ending}"


def _parsed(root: Path) -> tuple[str, int]:
    """Return the name of the result and the number of the process."""
    found = PATTERN.fullmatch(root.name)
    if found is None:
        raise ValueError(f"{root}: is no folder of a result in work")
    return found[1], int(found[2])


def _put_back(replaced: Path, parent: Path) -> None:
    """Return an earlier result to its place if nothing took it."""
    if not replaced.is_dir():
        return
    for earlier in replaced.iterdir():
        if not (parent / earlier.name).exists():
            earlier.rename(parent / earlier.name)


def _mark() -> str:
    """Return what processes of one machine and container have in common, and no others."""
    facts = f"{socket.gethostname()} {os.readlink(NAMESPACE)}"  # noqa: PTH115 a link to nowhere
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def _take_lock(root: Path) -> int | None:
    """Return the held lock's descriptor; None where the file system has no locks.

    The lock gets its name only once it is held, so that nobody ever finds it free while its owner lives.
    """
    unnamed = root / "lock.new"
    handle = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        return None
    unnamed.rename(root / "lock")
    return handle


def _is_dead(root: Path) -> bool:
    """Tell whether the owner is dead."""
    dead, lock = _claimed(root, _parsed(root)[1])
    if lock is not None:
        os.close(lock)
    return dead


def _claimed(root: Path, pid: int) -> tuple[bool, int | None]:
    """Return whether the owner is dead, and then its lock, held; its process number tells where there is no lock."""
    try:
        lock = os.open(root / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return not _runs(pid), None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        return not isinstance(error, BlockingIOError) and not _runs(pid), None
    return True, lock


def _runs(pid: int) -> bool:
    """Tell whether a process of that number runs here."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
