"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from tilewatch.errors import ConfigError, DiskFullError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
READABLE = 0o644


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside its place and rename it.

    Raises:
        DiskFullError: the volume or the quota is full.
        ConfigError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.flush()
                temporary.chmod(READABLE)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(f"{path}: no space left on its volume: free some and run again") from error
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
