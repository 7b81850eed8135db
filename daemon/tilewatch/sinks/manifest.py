"""manifest.json: where a result comes from, what was done, and whether the accounts balance.

Keys come in the order of the classes below; paths are named as the user named them, or by their last part only.
"""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tilewatch import __version__
from tilewatch.records import BoxCount
from tilewatch.settings import env_names
from tilewatch.sinks import rows
from tilewatch.sinks.fingerprint import fingerprint, sha256
from tilewatch.sinks.textfile import TextFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilewatch.engines.base import EngineInfo
    from tilewatch.records import StreamInfo
    from tilewatch.settings import Settings

SCHEMA_FAMILY = "tilewatch.manifest/"
SCHEMA = f"{SCHEMA_FAMILY}1"
LARGEST = 16 * 1024 * 1024
"""Bytes beyond which a manifest.json is not one of ours."""
PACKAGES = (
    "av",
    "numpy",
    "onnx",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "pyarrow",
    "pydantic",
    "tensorrt",
    "uvloop",
)
"""Distributions whose versions can change a result; only those installed are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """The source, as it was when the work began."""

    name: str
    size: int
    """Bytes."""
    fingerprint: str
    info: StreamInfo

    @classmethod
    def of(cls, info: StreamInfo) -> InputRecord:
        """Describe a file source.

        Raises:
            OSError: it cannot be read.
        """
        return cls(name=info.path.name, size=info.path.stat().st_size, fingerprint=fingerprint(info.path), info=info)

    def as_json(self) -> dict[str, object]:
        """Return the manifest's `input`."""
        info = self.info
        seconds = info.duration_seconds
        return {
            "name": self.name,
            "size": self.size,
            "fingerprint": self.fingerprint,
            "container": info.container,
            "codec": info.codec,
            "pixel_format": info.pixel_format,
            "width": info.width,
            "height": info.height,
            "rotation": info.rotation,
            "frame_rate": round(float(info.average_rate), 6),
            "duration_seconds": None if seconds is None else round(seconds, 6),
            "audio": info.audio_codec,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What went in, and what became of it."""

    frames_in: int
    """Frames the decoder delivered or had to give up."""
    frames_written: int
    frames_skipped: Mapping[str, int] = field(default_factory=dict)
    """Frames not written, by reason."""
    boxes: BoxCount = field(default_factory=BoxCount)
    tiles: Mapping[str, int] = field(default_factory=dict)
    """Tiles by what was done: inferred, reused (their last detections stood), outside_roi."""

    def check(self) -> None:
        """Refuse accounts that do not balance: something was lost or counted twice.

        Raises:
            RuntimeError: says which account, with its numbers.
        """
        skipped = sum(self.frames_skipped.values())
        if self.frames_in != self.frames_written + skipped:
            raise RuntimeError(
                f"frames do not balance: {self.frames_in} in, {self.frames_written} written, {skipped} skipped"
            )
        box = self.boxes
        if box.found != box.kept + box.merged + box.suppressed:
            raise RuntimeError(f"boxes do not balance: {box}")

    def as_json(self) -> dict[str, object]:
        """Return the manifest's `accounts`."""
        skipped = dict(sorted(self.frames_skipped.items()))
        box = self.boxes
        return {
            "frames": {"in": self.frames_in, "written": self.frames_written, "skipped": skipped},
            "boxes": {"found": box.found, "kept": box.kept, "merged": box.merged, "suppressed": box.suppressed},
            "tiles": dict(self.tiles),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long it took."""

    started_at: str
    """ISO 8601, UTC."""
    wall_seconds: float
    stages: Mapping[str, float]
    """Seconds each stage worked, in the order of the way of a frame."""

    def as_json(self, frames: int) -> dict[str, object]:
        """Return the manifest's `timings` for that many frames written."""
        rate = frames / self.wall_seconds if self.wall_seconds > 0 else 0.0
        return {
            "started_at": self.started_at,
            "wall_seconds": round(self.wall_seconds, 3),
            "frames_per_second": round(rate, 3),
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRecord:
    """One file of the result."""

    name: str
    size: int
    """Bytes."""
    sha256: str

    @classmethod
    def of(cls, path: Path, name: str) -> OutputRecord:
        """Describe a completed file that will be called `name`.

        Raises:
            OSError: it cannot be read.
        """
        return cls(name=name, size=path.stat().st_size, sha256=sha256(path))

    def as_json(self) -> dict[str, object]:
        """Return one element of the manifest's `outputs`."""
        return {"name": self.name, "bytes": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything manifest.json says."""

    status: Literal["complete", "interrupted"]
    """'interrupted': stopped before the end of the source; what is there is whole."""
    truncated: bool
    """True: the source itself ended before its container said it would."""
    warnings: tuple[str, ...]
    source: InputRecord
    engine: EngineInfo
    settings: Mapping[str, object]
    """Every value by environment name; see `settings_values`."""
    accounts: Accounts
    timings: Timings
    tracks: Mapping[str, int]
    """Distinct tracks by class name; empty when tracking was off."""
    outputs: tuple[OutputRecord, ...]
    decoder: str = "software"
    """What decoded the video: 'software', 'nvdec' or 'nvv4l2'."""
    encoder: str | None = None
    """What encoded the annotated video, in FFmpeg's words; None where there is none."""

    def as_json(self) -> dict[str, object]:
        """Return the whole document."""
        return {
            "schema": SCHEMA,
            "rows_schema": rows.SCHEMA,
            "tilewatch": __version__,
            "status": self.status,
            "truncated": self.truncated,
            "warnings": list(self.warnings),
            "input": self.source.as_json(),
            "model": _model(self.engine),
            "engine": _engine(self.engine),
            "decoder": self.decoder,
            "encoder": self.encoder,
            "settings": dict(self.settings),
            "versions": versions(),
            "accounts": self.accounts.as_json(),
            "timings": self.timings.as_json(self.accounts.frames_written),
            "tracks": {"count": sum(self.tracks.values()), "by_class": dict(sorted(self.tracks.items()))},
            "outputs": [output.as_json() for output in self.outputs],
        }

    def write(self, path: Path) -> None:
        """Write the document: UTF-8, indented, a newline at the end.

        Raises:
            RuntimeError: the accounts do not balance.
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        self.accounts.check()
        text = json.dumps(self.as_json(), ensure_ascii=False, allow_nan=False, indent=2)
        file = TextFile(path)
        try:
            file.write(text + "\n")
            file.close()
        finally:
            file.abort()


def settings_values(settings: Settings) -> dict[str, object]:
    """Return every setting by environment name as JSON can hold it; secrets stay hidden."""
    values: dict[str, Any] = settings.model_dump(mode="json")
    return {name: values[section][field_name] for name, (section, field_name, _) in env_names().items()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that shape a result."""
    return {"python": platform.python_version(), **dict(_installed(PACKAGES))}


def is_ours(path: Path) -> bool:
    """Tell whether a file is a manifest that tilewatch wrote."""
    try:
        if path.stat().st_size > LARGEST:
            return False
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and str(document.get("schema")).startswith(SCHEMA_FAMILY)


def _installed(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield name and version of the distributions that are installed."""
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def _model(engine: EngineInfo) -> dict[str, object]:
    """Return the manifest's `model`."""
    return {
        "name": Path(engine.model_path).name,
        "sha256": engine.model_sha256,
        "head": engine.head,
        "input_size": engine.input_size,
        "names": list(engine.names),
    }


def _engine(engine: EngineInfo) -> dict[str, object]:
    """Return the manifest's `engine`."""
    return {
        "backend": engine.backend,
        "version": engine.backend_version,
        "device": engine.device,
        "precision": engine.precision,
        "precision_reason": engine.precision_reason,
    }
