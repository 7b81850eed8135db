"""What must be known of a camera's result so that another process, of whatever settings, can complete it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilewatch.engines.base import EngineInfo
from tilewatch.records import StreamInfo
from tilewatch.sinks.base import SinkContext
from tilewatch.sinks.disk import replace_whole, sync, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tilewatch.settings import Format

FILE = "recording.json"
SCHEMA = 1
FRACTIONS = ("time_base", "average_rate")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Card:
    """Lies beside the checkpoints of a result from its first frame on."""

    name: str
    """Of the result: the time of its first frame."""
    info: StreamInfo
    engine: EngineInfo
    settings: Mapping[str, object]
    """Every value by environment name, as the manifest has them."""
    formats: tuple[Format, ...]
    tracking: bool
    changed: bool = False
    """Whether settings were changed while it was recorded."""
    ended: str = ""
    """Why it was given up, in a few words; empty: nobody had the time to say so."""

    @property
    def context(self) -> SinkContext:
        """What its sinks have to know."""
        return SinkContext(info=self.info, names=self.engine.names, tracking=self.tracking)

    @property
    def segment_seconds(self) -> float:
        """Time after which the result would have been complete."""
        return float(str(self.settings["SEGMENT_SECONDS"]))

    def save(self, folder: Path) -> None:
        """Write it into a folder of work; it and the way to it are on the disk when it returns.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        document = {"schema": SCHEMA, **asdict(self)}
        with writing(folder / FILE):
            replace_whole(folder / FILE, json.dumps(document, default=str).encode())
            for parent in folder.parents[:3]:
                sync(parent)

    @classmethod
    def load(cls, folder: Path) -> Card:
        """Read it from a folder of work.

        Raises:
            OSError: it is not there, or cannot be read.
            ValueError: it is damaged, or of another version.
        """
        document: dict[str, Any] = json.loads((folder / FILE).read_bytes())
        try:
            if document.pop("schema") != SCHEMA:
                raise ValueError("it is of another version")
            info, engine = document.pop("info"), document.pop("engine")
            info |= {name: Fraction(info[name]) for name in FRACTIONS} | {"path": Path(info["path"])}
            engine["names"], document["formats"] = tuple(engine["names"]), tuple(document["formats"])
            return cls(info=StreamInfo(**info), engine=EngineInfo(**engine), **document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is damaged: {error}") from error
