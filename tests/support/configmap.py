"""A ConfigMap mounted as a folder, laid and changed as kubelet does it."""

from __future__ import annotations

import shutil
from pathlib import Path


class ConfigMapVolume:
    """A folder whose `.env` leads through the link `..data` to a folder of its own for every state of the map.

    An update makes a new such folder and puts the link in its place by a rename; the files themselves, and the link
    `.env`, are never touched. (Kubernetes: pkg/volume/util/atomic_writer.go.)
    """

    def __init__(self, folder: Path, text: str) -> None:
        self._folder = folder
        self._states = 0
        folder.mkdir()
        self.update(text)
        self.file = folder / ".env"
        self.file.symlink_to(Path("..data", ".env"))

    def update(self, text: str) -> None:
        """Put another content in place, as a whole."""
        data = self._folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        self._states += 1
        state = self._folder / f"..2024_05_03_{self._states}"
        state.mkdir()
        (state / ".env").write_text(text)
        link = self._folder / "..data_tmp"
        link.symlink_to(state.name)
        link.rename(data)
        if before:
            shutil.rmtree(before)
