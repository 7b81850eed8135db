"""Which kind of file system a folder lies on: what may be trusted there depends on it."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "virtiofs", "afs", "ceph", "glusterfs", "lustre", "vboxsf")
"""Beginnings of the types whose files another kernel changes too: no shared memory, doubtful locks."""
DEAF = (*NETWORK, "overlay", "aufs")
"""Beginnings of the types where a file may change without an inotify event."""


def file_system(path: Path, mountinfo: Path = MOUNTINFO) -> str:
    """Return the type of the file system a path lies on ('ext4'), or 'unknown' where the kernel does not tell."""
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "unknown"
    here, kind, depth = path.resolve(), "unknown", 0
    for line in lines:
        point, found = _mount(line)
        # Of several mounts on one point the last one hides the others.
        if here.is_relative_to(point) and len(point.parts) >= depth:
            kind, depth = found, len(point.parts)
    return kind


def source_name(path: Path, mountinfo: Path = MOUNTINFO) -> str:
    """Return what a folder that is mounted from elsewhere, as into a container, is called there; '' for any other."""
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    here, name = path.resolve(), ""
    for line in lines:
        if _mount(line)[0] == here:
            name = Path(_plain(line.split(" ")[3])).name
    return name


def is_network(path: Path) -> bool:
    """Tell whether a path lies where SQLite's shared memory cannot be trusted."""
    return file_system(path).startswith(NETWORK)


def is_deaf(path: Path) -> bool:
    """Tell whether changes in a folder may come without an event."""
    return file_system(path).startswith(DEAF)


def _mount(line: str) -> tuple[Path, str]:
    """Return mount point and type of a line 'id parent dev root POINT options [tags] - TYPE source options'."""
    head, _, tail = line.partition(" - ")
    return Path(_plain(head.split(" ")[4])), tail.split(" ")[0]


def _plain(field: str) -> str:
    """Return a path as it is: the table writes blanks as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
