"""One walk through the watched folder: the videos in it, and what was refused."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tilewatch.errors import ConfigError
from tilewatch.jobs.rules import enters

if TYPE_CHECKING:
    from tilewatch.jobs.rules import Rules

MANIFEST = "manifest.json"
MANIFEST_MARK = b"tilewatch.manifest/"
MANIFEST_HEAD = 256
"""Bytes at the beginning of a manifest in which its schema stands."""


class Stamp(NamedTuple):
    """By what a change of a file is noticed."""

    size: int
    """Bytes."""
    mtime_ns: int


@dataclass(slots=True)
class Listing:
    """What a walk has found; paths are relative to the folder."""

    files: dict[str, Stamp] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Links and unreadable folders, with the cause."""

    def __contains__(self, path: str) -> bool:
        """Tell whether something was found under a path."""
        return path in self.files or path in self.refused


def scan(root: Path, rules: Rules, output: Path) -> Listing:
    """Walk through a folder and its subfolders; links to folders are not followed.

    A link to a file counts if it leads to a file that the walk finds by itself. The output folder and every folder
    with a result of tilewatch in it are left out, also where they are mounted under another name.

    Raises:
        OSError: the folder itself cannot be read.
        ConfigError: it is the output folder.
    """
    found, results = Listing(), identity(output)
    if results and results == identity(root):
        raise ConfigError(f"WATCH_DIR={root} is OUTPUT_DIR={output}: results would be taken for videos: part them")
    links: list[str] = []
    todo = [("", entry) for entry in _entries(root)]
    while todo:
        folder, entry = todo.pop()
        path = os.path.join(folder, entry.name)  # noqa: PTH118  (10,000 of them)
        if entry.is_dir(follow_symlinks=False):
            if enters(entry.name) and identity(Path(entry.path)) != results:
                todo += _inside(found, path, Path(entry.path))
        elif rules.takes(entry.name):
            links += _take(found, path, entry)
    _follow(root, links, found)
    return found


def identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from every other, under whatever name; None: it is not there."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder; nothing of one that holds a result.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    ours = any(entry.name == MANIFEST and _is_ours(folder / MANIFEST) for entry in entries)
    return [] if ours else entries


def _inside(found: Listing, path: str, folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """Return what lies in a subfolder, with its path; one that cannot be read is refused."""
    try:
        return [(path, entry) for entry in _entries(folder)]
    except OSError as error:
        found.refused[path] = f"cannot be read: {error.strerror}"
        return []


def _take(found: Listing, path: str, entry: os.DirEntry[str]) -> list[str]:
    """Add a regular file, return the path of a link; what has gone meanwhile is neither."""
    if entry.is_symlink():
        return [path]
    if entry.is_file(follow_symlinks=False):
        with suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            found.files[path] = Stamp(status.st_size, status.st_mtime_ns)
    return []


def _follow(root: Path, links: list[str], found: Listing) -> None:
    """Add the links that lead to a video of this folder, refuse the others."""
    base = os.path.realpath(root)
    for path in links:
        target = os.path.relpath(os.path.realpath(root / path), base)
        if target in found.files:
            found.files[path] = found.files[target]
        else:
            found.refused[path] = "is a link that does not lead to a video in the folder"


def _is_ours(path: Path) -> bool:
    """Tell whether a file begins as our manifests do."""
    try:
        with path.open("rb") as file:
            return MANIFEST_MARK in file.read(MANIFEST_HEAD)
    except OSError:
        return False
