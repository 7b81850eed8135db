"""A hidden folder in which a result grows, told apart from the leftover of a process that died.

`.NAME.PID-MARK.partial/` holds `result/` (the files), `lock` (held while the owner lives, also across containers that
share the volume) and, for the moment of a swap, `replaced/` (the earlier result, put back should the owner die there).
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

PATTERN = re.compile(r"\..+\.(\d+)(?:-[0-9a-f]{8})?\.partial", re.DOTALL)
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
    """The folder of one result in work; whoever makes it owns it until `remove`.

    Raises:
        OSError: it cannot be made beside the result.
    """

    def __init__(self, parent: Path, name: str) -> None:
        ending = f".{os.getpid()}-{_mark()}.partial"
        self.root = parent / f".{shortened(name, NAME_MAX - len(ending) - 1)}{ending}"
        self.result = self.root / "result"
        self._lock: int | None = None
        self.root.mkdir()
        try:
            self._lock = _take_lock(self.root)
            self.result.mkdir()
        except OSError:
            self.remove()
            raise

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
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def clear_stale(parent: Path) -> None:
    """Delete what dead processes left in a folder; a result they were about to replace is put back.

    What cannot be read or deleted stays: it is in nobody's way.
    """
    with suppress(OSError):
        for root in list(_abandoned(parent)):
            _put_back(root / "replaced", parent)
            shutil.rmtree(root, ignore_errors=True)


def _abandoned(parent: Path) -> Iterator[Path]:
    """Yield the partial folders without a living owner."""
    for root in parent.iterdir():
        found = PATTERN.fullmatch(root.name)
        if found and root.is_dir() and not root.is_symlink() and not _owned(root, int(found[1])):
            yield root


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


def _owned(root: Path, pid: int) -> bool:
    """Tell whether the owner lives: by its lock, or by its process number where there is no lock to ask."""
    try:
        handle = os.open(root / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return _runs(pid)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return _runs(pid)
    finally:
        os.close(handle)
    return False


def _runs(pid: int) -> bool:
    """Tell whether a process of that number runs here."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
