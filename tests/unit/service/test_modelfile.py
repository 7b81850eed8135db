"""A model that is replaced under a running service is noticed; one that is only read is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.service.modelfile import ModelFile

if TYPE_CHECKING:
    from pathlib import Path


def test_another_file_is_noticed_and_so_is_none(tmp_path: Path) -> None:
    """Written over, replaced by a rename, removed; and all is well again once the old one is back."""
    path, kept = tmp_path / "model.onnx", tmp_path / "kept.onnx"
    path.write_bytes(b"first")
    seen = ModelFile.seen(path)
    path.read_bytes()
    assert not seen.is_outdated()
    path.rename(kept)
    assert seen.is_outdated()
    path.write_bytes(b"the second")
    assert seen.is_outdated()
    kept.replace(path)
    assert not seen.is_outdated()
