"""The kind of file system is that of the innermost mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tilewatch.jobs.mounts import file_system, source_name

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / {root}/my\\040videos rw shared:5 - nfs4 server:/export rw,vers=4.2
31 30 0:41 / {root}/my\\040videos/usb rw - fuse.sshfs host: rw
32 22 0:42 / {root}/over rw - ext4 /dev/vdb rw
33 32 0:43 / {root}/over rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("", "ext4"),
        ("my videos/a", "nfs4"),
        ("my videos/usb/a", "fuse.sshfs"),
        ("my videos 2", "ext4"),
        ("over", "overlay"),
    ],
)
def test_innermost_and_latest_mount_counts(tmp_path: Path, folder: str, kind: str) -> None:
    """A blank is written as an octal number; a later mount hides an earlier one on the same point."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS.format(root=tmp_path))
    assert file_system(tmp_path / folder, table) == kind


def test_kernel_that_does_not_tell_is_said(tmp_path: Path) -> None:
    """No /proc, no guess."""
    assert file_system(tmp_path, tmp_path / "nothing") == "unknown"


def test_folder_from_the_host_is_known_by_its_name_there(tmp_path: Path) -> None:
    """What is mounted tells its name in the other place; what is not, and what lies in it, has none."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 8:1 /srv/my\\040results {tmp_path} rw - ext4 /dev/sda rw\n"
    )
    assert source_name(tmp_path, table) == "my results"
    assert source_name(tmp_path / "a", table) == ""
    assert source_name(tmp_path, tmp_path / "no table") == ""
