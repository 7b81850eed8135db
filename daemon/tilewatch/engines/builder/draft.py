"""A file on its way: made in a hidden folder beside its place, moved there once it has proved itself."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch.engines.files import FULL
from tilewatch.errors import ConfigError, DiskFullError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give a path of the same name to write to; what the block leaves in its folder goes to the target's, else nothing.

    Raises:
        DiskFullError: the volume is full.
        ConfigError: the target's folder cannot be written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            path = Path(folder) / target.name
            yield path
            for file in sorted(path.parent.iterdir()):
                file.replace(target.parent / file.name)
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(f"{target}: no space left on its volume: free some and run again") from error
        raise ConfigError(f"{target} cannot be written: {error.strerror}: say where with --output FILE") from error
