"""Which names in the watched folder are videos, and which folders are looked into."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = (".", "@", "#", "$", "~")
"""What names of dot files, AppleDouble files (._x), NAS indexes (@eaDir, #recycle) and lock files begin with."""
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".!qb", ".aria2", "~")
"""What names end with while a program still writes the file."""
PLAYLISTS = (".m3u", ".m3u8", ".pls", ".mpd", ".ism", ".sdp", ".xspf", ".asx", ".ffconcat", ".concat", ".strm")
"""Text files that name other files or addresses: never opened, whatever the patterns say."""
SYSTEM_FOLDERS = frozenset({"lost+found", "system volume information"})


class Rules:
    """What is taken by its name.

    Args:
        patterns: of file names, with * and ?; upper and lower case are alike.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._wanted = re.compile("|".join(translate(pattern.lower()) for pattern in patterns))

    def takes(self, name: str) -> bool:
        """Tell whether a file of this name is a finished video."""
        lower = name.lower()
        refused = lower.startswith(HIDDEN) or lower.endswith((*UNFINISHED, *PLAYLISTS))
        return not refused and self._wanted.match(lower) is not None


def enters(name: str) -> bool:
    """Tell whether a folder of this name is looked into."""
    return not name.startswith(HIDDEN) and name.lower() not in SYSTEM_FOLDERS
