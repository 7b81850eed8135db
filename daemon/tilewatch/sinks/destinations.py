"""Where the results of a run go: one folder a video, or exactly the file that was named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.errors import TilewatchError, UsageError
from tilewatch.sinks.result import ResultFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def destinations(inputs: Sequence[Path], output: Path) -> dict[Path, ResultFolder]:
    """Return where each video's result goes, proven writable; an output that ends in .mp4 is one video's own.

    Raises:
        UsageError: two videos would end up in one place.
        ConfigError: a place cannot be written, or is somebody else's.
        DiskFullError: there is no space for even a folder.
    """
    if output.suffix.lower() == ".mp4" and not output.is_dir():
        if len(inputs) > 1:
            raise UsageError(f"{output}: one file cannot hold the results of {len(inputs)} videos: name a folder")
        return {inputs[0]: ResultFolder.for_file(output, source=inputs[0])}
    stems: dict[str, Path] = {}
    for path in inputs:
        if path.stem in stems:
            raise UsageError(
                f"{stems[path.stem]} and {path} would both go to {output / path.stem}: run them separately"
            )
        stems[path.stem] = path
    made: dict[Path, ResultFolder] = {}
    try:
        for path in inputs:
            made[path] = ResultFolder.for_directory(output, path.stem, source=path)
    except TilewatchError:
        discard(made)
        raise
    return made


def discard(results: Mapping[Path, ResultFolder]) -> None:
    """Remove what was not committed, the last one first: the first one made the folder that holds them all."""
    for result in reversed(list(results.values())):
        result.discard()
