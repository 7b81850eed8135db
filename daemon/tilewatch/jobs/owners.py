"""Who of those that work on jobs still lives: told at once by a lock the kernel drops when its holder dies.

Locks say this only among processes of one kernel (containers included). On network file systems nobody asks them, and
a dead worker is known by the end of its lease alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

from tilewatch.errors import ProcessError
from tilewatch.jobs.mounts import is_network

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

FOLDER = "owners"


def owner_name() -> str:
    """Return a name for one worker, unique over processes, containers and machines."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Owners:
    """The locks beside a ledger.

    Args:
        folder: of the ledger.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._trusted = not is_network(folder)
        self._held: dict[str, int] = {}

    def hold(self, owner: str) -> bool:
        """Show that an owner lives until `close` or the end of the process; True if it was not shown before.

        Raises:
            ProcessError: another process has that name.
            OSError: the lock cannot be made.
        """
        if owner in self._held or not self._trusted:
            return False
        self._folder.mkdir(exist_ok=True)
        handle = _lock(self._path(owner), os.O_CREAT)
        if handle is None:
            raise ProcessError(f"{owner}: another living worker has that name: give each its own")
        self._held[owner] = handle
        return True

    def dead(self, owners: Iterable[str]) -> set[str]:
        """Return those of the owners that have certainly died.

        Raises:
            OSError: a lock cannot be asked.
        """
        if not self._trusted:
            return set()
        return {owner for owner in owners if owner not in self._held and _is_free(self._path(owner))}

    def tidy(self, at_work: Collection[str]) -> None:
        """Delete the locks of dead owners to whom nothing belongs any more.

        Raises:
            OSError: one cannot be deleted.
        """
        kept = {self._path(owner) for owner in (*at_work, *self._held)}
        for path in self._folder.glob("*.lock"):
            if path not in kept and _is_free(path):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let all go. Idempotent."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _path(self, owner: str) -> Path:
        return self._folder / f"{quote(owner, safe='')}.lock"


def _is_free(path: Path) -> bool:
    """Tell whether a lock is there and nobody holds it."""
    try:
        handle = _lock(path, 0)
    except FileNotFoundError:
        return False
    if handle is not None:
        os.close(handle)
    return handle is not None


def _lock(path: Path, flags: int) -> int | None:
    """Return the descriptor of a file that is locked now; None when somebody else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
