"""From where the work on a video goes on after a crash: one small file, replaced as a whole.

What it speaks of (segments, journal) is on the disk before it is; what lies behind that was never promised.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tilewatch.sinks.disk import replace_whole
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FILE = "checkpoint.json"
EARLIER = "checkpoint.earlier.json"
SCHEMA = 2

logger = log.logger("jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The beginning of a segment."""

    identity: str
    """Of input, model, settings and versions: with any other the results would not be those of one run."""
    next_index: int
    """Decoded frames before it."""
    journal_bytes: int
    segments: Sequence[tuple[str, int, int]]
    """Name, frames and first pts of each finished segment."""
    codec: str
    """Encoder of the segments; empty without a video."""
    state: bytes
    """Of the track stage before the next frame."""
    skips: Mapping[str, int] = field(default_factory=dict)
    """Frames skipped behind the decoder, by reason."""

    def save(self, folder: Path) -> None:
        """Replace the folder's checkpoint; on the disk when it returns.

        Raises:
            OSError: the file system refused; the earlier checkpoint stands then.
        """
        document = {"schema": SCHEMA, **asdict(self), "state": base64.b64encode(self.state).decode()}
        replace_whole(folder / FILE, json.dumps(document).encode())


def keep(folder: Path) -> None:
    """Keep the folder's checkpoint, if there is one, as the `EARLIER` one beside the next, should that be damaged.

    Raises:
        OSError: the file system refused.
    """
    if (folder / FILE).exists():
        replace_whole(folder / EARLIER, (folder / FILE).read_bytes())


def load(folder: Path, identity: str, name: str = FILE) -> Checkpoint | None:
    """Return a checkpoint of the folder if work of this identity can go on from it, else None.

    A checkpoint that is damaged or of another identity is told in the log.
    """
    try:
        document: dict[str, Any] = json.loads((folder / name).read_bytes())
        found = _parsed(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        logger.warning("checkpoint_unreadable", folder=str(folder), error=str(error))
        return None
    if found.identity != identity:
        logger.info("checkpoint_outdated", folder=str(folder))
        return None
    return found


def _parsed(document: dict[str, Any]) -> Checkpoint:
    if document["schema"] != SCHEMA:
        raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA}")
    return Checkpoint(
        identity=str(document["identity"]),
        next_index=int(document["next_index"]),
        journal_bytes=int(document["journal_bytes"]),
        segments=[(str(name), int(frames), int(pts)) for name, frames, pts in document["segments"]],
        codec=str(document["codec"]),
        state=base64.b64decode(document["state"], validate=True),
        skips={str(reason): int(count) for reason, count in document["skips"].items()},
    )
