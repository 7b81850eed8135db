"""Hashes of files: whole, and the quick fingerprint by which the same video is known again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE_BYTES = 64 * 1024
CHUNK_BYTES = 1024 * 1024


def fingerprint(path: Path) -> str:
    """Return 'SIZE-SHA256' of a file: the hash covers its size and 64 KiB each of its head, middle and tail.

    It costs the same for any size, and tells apart what a camera or an editor writes; it is no proof against forgery.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in (0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)):
            file.seek(start)
            digest.update(file.read(SAMPLE_BYTES))
    return f"{size}-{digest.hexdigest()}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file, hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
