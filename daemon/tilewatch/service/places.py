"""Where the result of a watched file goes, and whether it is there already."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from tilewatch.sinks.result import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tilewatch.jobs.store import Job

WORK = ".work"


def place_of(job: Job, watched: Path, output: Path) -> tuple[Path, str]:
    """Return the folder of a job's result and its name in there: OUTPUT/<relative folder>/<stem>/; blocking.

    Where another video beside it has the same stem, the name is the whole file name, so that neither replaces the
    other.
    """
    path = watched / job.path
    inside = path.parent.relative_to(watched) if path.is_relative_to(watched) else None
    folder = output / inside if inside else output
    return folder, path.name if _has_twin(path) else path.stem


def work_of(job: Job, output: Path) -> Path:
    """Return the folder in which the work on a job is kept."""
    return output / WORK / f"{job.id}-{job.fingerprint[-16:]}"


def forget(work: Path) -> None:
    """Delete a folder of work; never raises. Blocking."""
    shutil.rmtree(work, ignore_errors=True)


def works(output: Path) -> list[Path]:
    """Return the folders of work that are there; blocking."""
    return list((output / WORK).glob("*"))


def forget_all_but(jobs: Iterable[Job], output: Path, found: Iterable[Path]) -> None:
    """Delete the work on all jobs but these; blocking.

    Args:
        jobs: asked for after `found`, so that what another daemon has begun meanwhile is not among it.
        output: the folder of results.
        found: the folders that may be deleted, see `works`.
    """
    wanted = {work_of(job, output) for job in jobs}
    for folder in found:
        if folder not in wanted:
            forget(folder)


def free_name(folder: Path, name: str, *, but: Path | None = None) -> str:
    """Return a name that no result in a folder has or is about to have; blocking.

    Args:
        folder: of the results.
        name: the name, which gets a number where it is taken.
        but: a folder of a result in work that may have it.
    """
    free, number = name, 1
    while (folder / free).exists() or set(folder.glob(f".{free}.*.partial")) - {but}:
        number += 1
        free = f"{name}-{number}"
    return free


def is_done(job: Job, result: Path, settings: Mapping[str, object], model_sha256: str) -> bool:
    """Tell whether the complete result is there: its process died before it could say so; blocking.

    Only a result of this very content, model and settings counts: an earlier one may lie there too.
    """
    found = _manifest(result / NAMES["manifest"])
    facts = found.get("status"), found.get("input", {}).get("fingerprint"), found.get("model", {}).get("sha256")
    return facts == ("complete", job.fingerprint, model_sha256) and found.get("settings") == settings


def is_writable(folder: Path) -> bool:
    """Tell whether a file can be made in a folder, by making one; blocking."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def results(output: Path) -> Iterator[tuple[str, str, str]]:
    """Yield path, fingerprint and folder of every result that is there, for a ledger that was lost; blocking."""
    for root, folders, files in os.walk(output):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if NAMES["manifest"] in files:
            folder = output.__class__(root)
            found = _manifest(folder / NAMES["manifest"])
            name, mark = found.get("input", {}).get("name"), found.get("input", {}).get("fingerprint")
            if found.get("status") == "complete" and name and mark:
                yield str(folder.relative_to(output).parent / name), mark, str(folder)


def _has_twin(path: Path) -> bool:
    """Tell whether another file beside this one has the same stem."""
    with os.scandir(path.parent) as found:
        return any(entry.name != path.name and os.path.splitext(entry.name)[0] == path.stem for entry in found)  # noqa: PTH122 one name of many


def _manifest(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
