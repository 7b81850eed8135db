"""Commands in the documents, run as they stand there.

A block of shell commands that follows the comment `<!-- run -->` is run, `<!-- run needs=PROGRAM,... -->` where these
programs are there. The blocks of one document run in its order, in one folder: a checkout's, with a service that has
done one video and failed at another, and still runs. Its port stands in for 9464.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.daemon import Daemon, free_port
from tests.support.models import tiny_detector
from tests.support.program import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")])
BLOCK = re.compile(r"<!-- run(?: needs=(?P<needs>[\w,-]+))? -->\n+```(?:sh|bash|console)\n(?P<text>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


class Site(NamedTuple):
    """Where the commands run."""

    folder: Path
    port: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a checkout in which a service runs, after one video that worked and one that did not."""
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    for entry in ("deploy", "docs", "healthcheck", "pyproject.toml", ".env.example"):
        (folder / entry).symlink_to(ROOT / entry)
    program = folder / "bin" / "tilewatch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tilewatch "$@"\n')
    program.chmod(0o755)
    (folder / "output").symlink_to("out")
    with Daemon(folder, tiny_detector(folder / "tiny.onnx"), METRICS_PORT=port, LOG_LEVEL="info") as daemon:
        make_clip(daemon.videos / "clip.mp4", Clip(frames=5))
        daemon.until("job_done", path="clip.mp4")
        (daemon.videos / "broken.mp4").write_bytes(b"no video" * 1000)
        daemon.until("job_failed", path="broken.mp4")
        yield Site(folder, port)


def blocks(document: Path) -> list[tuple[tuple[str, ...], str]]:
    """Return what each block of a document needs, and its commands."""
    found = BLOCK.finditer(document.read_text(encoding="utf-8"))
    return [(tuple((match["needs"] or "").split(",")) if match["needs"] else (), match["text"]) for match in found]


def search_path(site: Site) -> str:
    """Return the search path: the site's `tilewatch`, the environment's programs, the machine's."""
    return os.pathsep.join([str(site.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.name)
def test_commands_of_a_document_work(site: Site, document: Path) -> None:
    """Every one of them, to a good end."""
    absent: set[str] = set()
    for needs, text in blocks(document):
        missing = {name for name in needs if shutil.which(name, path=search_path(site)) is None}
        absent |= missing
        if not missing:
            run_block(site, text.replace("9464", str(site.port)))
    if absent:
        pytest.skip(f"the blocks that need {', '.join(sorted(absent))} were left out: absent")


def run_block(site: Site, text: str) -> None:
    """Run one block in the site's folder."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],  # noqa: S607 the machine's, as a reader's
        cwd=site.folder,
        env=environment(PATH=search_path(site), OUTPUT_DIR="output", WATCH_DIR="videos"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    """To a file of the repository, seen from where the document lies."""
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
