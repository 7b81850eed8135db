"""Files that are there whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tilewatch.errors import ConfigError

READABLE = 0o644


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside its place and rename it.

    Raises:
        ConfigError: the folder cannot be written to, or is full.
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
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
