"""Where models and compiled graphs are kept between runs: the user's cache folder; and what an image ships."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """Return tilewatch's folder in the user's cache: $XDG_CACHE_HOME/tilewatch, else ~/.cache/tilewatch.

    It may not exist yet. (XDG Base Directory Specification: a relative XDG_CACHE_HOME counts as unset.)
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))  # noqa: TID251 -- the desktop's name, not a setting of ours
    return (given if given.is_absolute() else Path.home() / ".cache") / "tilewatch"


def shipped(name: str) -> Path | None:
    """Return a file that came with the installation, in a folder that nobody writes to; None where there is none.

    It is looked for as `tilewatch/NAME` in the folders of $XDG_DATA_DIRS (XDG Base Directory Specification: unset, it
    is /usr/local/share:/usr/share); the images keep the default model there.
    """
    folders = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"  # noqa: TID251 -- as above
    paths = (Path(folder) / "tilewatch" / name for folder in folders.split(":") if folder)
    return next((path for path in paths if path.is_file()), None)


def writable(name: str) -> Path | None:
    """Return a subfolder of the cache that can be written to, made if need be; None where there is none."""
    try:
        path = folder() / name
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return path if os.access(path, os.W_OK) else None
