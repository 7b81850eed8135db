"""LABELS_PATH."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tilewatch.engines import names
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_line_number_is_class_number(tmp_path: Path) -> None:
    """Blank lines in between keep their place, those at the end do not count; a byte-order mark is no letter."""
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffplane\r\n\r\nbird \n\n".encode())
    assert names.from_file(path) == ("plane", "", "bird")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"\n\n", "no names"), (b"\xff\xfe\x00", "not a text")]
)
def test_unusable_labels_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The error names the setting and the file."""
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        names.from_file(path)
    assert f"LABELS_PATH={path}" in str(caught.value)
