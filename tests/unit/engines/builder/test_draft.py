"""Files that prove themselves before they take their place."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from tilewatch.engines.builder.draft import draft
from tilewatch.errors import ConfigError, DiskFullError

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_of_a_draft_takes_its_place(tmp_path: Path) -> None:
    """An engine and its card together."""
    with draft(tmp_path / "new" / "model.engine") as path:
        path.write_text("plan")
        path.with_name("model.engine.json").write_text("card")
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["model.engine", "model.engine.json"]


def _fail_in(target: Path, trouble: type[BaseException]) -> None:
    with draft(target) as path:
        path.write_text("new")
        raise trouble


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_a_draft_that_failed(tmp_path: Path, trouble: type[BaseException]) -> None:
    """What was there before stays."""
    target = tmp_path / "model.engine"
    target.write_text("old")
    with pytest.raises(trouble):
        _fail_in(target, trouble)
    assert [file.name for file in tmp_path.iterdir()] == ["model.engine"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EACCES, ConfigError)])
def test_what_the_file_system_refuses_is_said(tmp_path: Path, code: int, kind: type[Exception]) -> None:
    """A full disk is not the model's fault."""
    target = tmp_path / "model.engine"
    with pytest.raises(kind, match=r"model\.engine"), draft(target):
        raise OSError(code, "no")
    assert not list(tmp_path.iterdir())
