"""Where a result lands, and how it gets there whole or not at all.

Two layouts: `DIR/STEM/` with plain names in it, and `FILE.mp4` with the sidecars beside it. Everything grows in a
hidden folder on the same volume and is renamed once it is complete and on the disk.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from tilewatch.errors import ConfigError, DiskFullError
from tilewatch.settings import Format
from tilewatch.sinks.disk import FULL, describe, sync, writing
from tilewatch.sinks.manifest import OutputRecord, is_ours
from tilewatch.sinks.partial import NAME_MAX, PartialFolder, clear_stale, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

Kind: TypeAlias = Literal[Format, "manifest"]

NAMES: dict[Kind, str] = {
    "jsonl": "tracks.jsonl",
    "mot": "tracks.mot.txt",
    "csv": "tracks.csv",
    "coco": "coco.json",
    "parquet": "tracks.parquet",
    "overview": "overview.png",
    "manifest": "manifest.json",
    "video": "annotated.mp4",
}
"""File names in the order in which they appear; the video last, since it is what people wait for."""


class ResultFolder:
    """The files of one result while they are made.

    Use `for_directory` or `for_file`; both prove that the place can be written before any work starts. As a context
    manager it discards what was not committed.
    """

    def __init__(
        self,
        *,
        parent: Path,
        name: str,
        finals: Mapping[Kind, Path],
        folder: Path | None,
        partial: PartialFolder | None = None,
    ) -> None:
        self._parent = parent
        self._finals = finals
        self._folder = folder
        self._committed = False
        self._made: list[Path] = []
        try:
            self._partial = partial or self._prepare(name)
        except OSError as error:
            self._remove_made()
            raise _unwritable(parent, error) from error

    @classmethod
    def for_directory(cls, directory: Path, stem: str, *, source: Path | None = None) -> ResultFolder:
        """Prepare DIRECTORY/STEM/; characters of the stem that would lead elsewhere are replaced.

        Args:
            directory: made if absent.
            stem: name of the result, usually the video's without its suffix.
            source: the video, which must not lie in the folder that is to be replaced.

        Raises:
            ConfigError: the place cannot be written, or holds something that tilewatch did not make.
            DiskFullError: there is no space for even a folder.
        """
        folder = directory / _safe(stem)
        if source and folder.resolve() in source.resolve().parents:
            raise ConfigError(f"{folder}: holds the input {source.name}: choose another folder with --output")
        return cls(parent=directory, name=folder.name, finals=_inside(folder), folder=folder)

    @classmethod
    def taken_over(cls, partial: PartialFolder, stem: str) -> ResultFolder:
        """Go on with DIRECTORY/STEM/ where another process broke off; nothing it made but its work counts.

        Args:
            partial: adopted; its result has not appeared.
            stem: name of the result, which may be another one than it was to have.

        Raises:
            SinkError: what was made cannot be removed.
        """
        with writing(partial.result):
            for path in partial.result.iterdir():
                path.unlink()
        folder = partial.root.parent / _safe(stem)
        return cls(parent=folder.parent, name=folder.name, finals=_inside(folder), folder=folder, partial=partial)

    @property
    def work(self) -> Path:
        """Where that is kept of which another process can complete the result; whoever needs it makes it."""
        return self._partial.work

    @classmethod
    def for_file(cls, path: Path, *, source: Path | None = None) -> ResultFolder:
        """Prepare PATH for the video and `STEM.tracks.jsonl` and so on beside it; what is there is overwritten.

        Args:
            path: name of the annotated video.
            source: the video that is read, which must not be overwritten.

        Raises:
            ConfigError: the place cannot be written, the name is too long, or it is the input itself.
            DiskFullError: there is no space for even a folder.
        """
        if source and path.resolve() == source.resolve():
            raise ConfigError(f"{path}: is the input itself: choose another name with --output")
        finals: dict[Kind, Path] = {kind: path.with_name(f"{path.stem}.{name}") for kind, name in NAMES.items()}
        finals["video"] = path
        for final in finals.values():
            _check_name(final)
        return cls(parent=path.parent, name=path.name, finals=finals, folder=None)

    def path(self, kind: Kind) -> Path:
        """Return where the file is to be written now."""
        return self._partial.result / self._finals[kind].name

    def final(self, kind: Kind) -> Path:
        """Return where the file will be after `commit`."""
        return self._finals[kind]

    def outputs(self) -> tuple[OutputRecord, ...]:
        """Describe and hash every file that was made so far, the manifest left out.

        Raises:
            SinkError: one of them cannot be read.
        """
        with writing(self._partial.result):
            return tuple(
                OutputRecord.of(self.path(kind), self._finals[kind].name) for kind in self._done() if kind != "manifest"
            )

    def commit(self) -> None:
        """Force all files to the disk and let them appear under their final names.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full. What was there before stays.
            ConfigError: something that is not ours has taken the place meanwhile.
        """
        with writing(self._folder or self._finals["video"]):
            for kind in self._done():
                sync(self.path(kind))
            sync(self._partial.result)
            if self._folder:
                self._appear_as_folder(self._folder)
            else:
                self._appear_as_files()
            sync(self._parent)
        self._committed = True
        self._partial.remove()

    def discard(self) -> None:
        """Remove everything that was made; after `commit` it does nothing. Never raises. Idempotent."""
        if not self._committed:
            self._partial.remove()
            self._remove_made()

    def leave(self) -> None:
        """Leave what was made, and the work, to whoever completes it; after `commit` it does nothing. Idempotent."""
        if not self._committed:
            self._partial.release()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Discard what was not committed."""
        self.discard()

    def _prepare(self, name: str) -> PartialFolder:
        """Make the folders, which proves that the place can be written."""
        self._made = [folder for folder in (self._parent, *self._parent.parents) if not folder.exists()]
        self._parent.mkdir(parents=True, exist_ok=True)
        clear_stale(self._parent)
        self._check_free()
        return PartialFolder.make(self._parent, name)

    def _done(self) -> list[Kind]:
        """Return the kinds whose file exists, the video last."""
        return [kind for kind in NAMES if self.path(kind).exists()]

    def _appear_as_folder(self, folder: Path) -> None:
        """Swap the finished folder in; the earlier result is gone only after the new one is there."""
        self._check_free()
        self._partial.swap_in(folder)

    def _appear_as_files(self) -> None:
        """Rename the files into place, and remove sidecars of an earlier result that this one does not have."""
        done = self._done()
        if is_ours(self._finals["manifest"]):
            for kind in NAMES.keys() - set(done) - {"video"}:
                self._finals[kind].unlink(missing_ok=True)
        for kind in done:
            self.path(kind).replace(self._finals[kind])

    def _check_free(self) -> None:
        """Refuse a place that holds what tilewatch did not make."""
        if self._folder is None:
            _check_no_folders(self._finals)
        elif self._folder.is_symlink() or (self._folder.exists() and not _replaceable(self._folder)):
            raise ConfigError(
                f"{self._folder}: exists and is no result of tilewatch: move it away or choose another with --output"
            )

    def _remove_made(self) -> None:
        """Remove the folders that were made for this result, as far as they are empty."""
        with suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def _safe(stem: str) -> str:
    """Return a folder name that stays in its parent, is not hidden, and fits every file system."""
    clean = stem.replace("/", "_").replace("\0", "_")
    return shortened(f"_{clean}" if clean.startswith(".") or not clean else clean)


def _inside(folder: Path) -> dict[Kind, Path]:
    """Return where the files of a result of its own folder go."""
    return {kind: folder / name for kind, name in NAMES.items()}


def _check_name(final: Path) -> None:
    """Refuse a file name that no file system takes."""
    if len(os.fsencode(final.name)) > NAME_MAX:
        raise ConfigError(f"{final.name}: the name is longer than {NAME_MAX} bytes: choose a shorter --output")


def _check_no_folders(finals: Mapping[Kind, Path]) -> None:
    """Refuse file names that are taken by folders."""
    for final in finals.values():
        if final.is_dir():
            raise ConfigError(f"{final}: is a folder: choose another name with --output")


def _replaceable(folder: Path) -> bool:
    """Tell whether a folder is an earlier result, or empty."""
    return folder.is_dir() and (is_ours(folder / NAMES["manifest"]) or not any(folder.iterdir()))


def _unwritable(parent: Path, error: OSError) -> ConfigError | DiskFullError:
    """Return the error for a folder that takes no result."""
    if isinstance(error, FileExistsError) and str(error.filename).endswith(".partial"):
        return ConfigError(f"{error.filename}: another run makes this result: wait for it, or remove the folder")
    if error.errno in FULL:
        return DiskFullError(f"{parent}: no space left on the output volume: free some and run again")
    return ConfigError(f"{parent}: cannot be written ({describe(error)})")
