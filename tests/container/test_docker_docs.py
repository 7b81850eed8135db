"""The Docker pages: quoted messages are ones the program prints, commands marked `run` work as they stand."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.clips import Clip, make_clip
from tests.support.compose import Stack
from tests.support.program import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("DOCKER_USAGE.md", "DOCKER_TROUBLESHOOTING.md")
SOURCES = ("daemon/tilewatch", "healthcheck")


def blocks(page: str, kind: str) -> list[str]:
    """Return the fenced blocks of a kind on a page."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@cache
def said() -> str:
    """Return every piece of text in the sources, one a line."""
    trees = [ast.parse(path.read_text()) for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "\n".join(text for text in constants if isinstance(text, str))


@pytest.mark.parametrize("line", [line for block in blocks(PAGES[1], "message") for line in block.splitlines()])
def test_quoted_message_is_one_of_ours(line: str) -> None:
    """Piece by piece: what stands between the parts that differ is in the sources to the letter."""
    pieces = [piece for piece in line.split("…") if piece.strip(" ()?.:")]
    assert pieces
    assert [piece for piece in pieces if piece not in said()] == []


@pytest.mark.parametrize(
    "name",
    sorted(set(re.findall(r"`([A-Z]+_[A-Z_]+)`", "".join((ROOT / "docs" / page).read_text() for page in PAGES)))),
)
def test_setting_that_is_named_exists(name: str) -> None:
    """In tilewatch, or in a Compose file."""
    from tilewatch.settings import env_names  # noqa: PLC0415

    files = "".join(path.read_text() for path in ROOT.glob("docker-compose*.yml"))
    assert name in env_names() or f"${{{name}" in files or name == "COMPOSE_FILE"


@pytest.mark.timeout(180)
def test_commands_work_as_they_stand(image: str, tmp_path: Path) -> None:
    """One after the other in one fresh checkout; those of the troubleshooting page while the service is up."""
    with Stack(tmp_path / "checkout", image, "tilewatch-test-docs") as stack:
        make_clip(stack.folder / "clip.mp4", Clip(frames=10, width=320, height=240))
        start, drop, *others = blocks(PAGES[0], "sh run")
        for commands in (start, drop):
            shell(stack, commands)
        stack.until("job_done", path="gate.mp4")
        for commands in blocks(PAGES[1], "sh run") + others:
            shell(stack, commands)
        assert stack.results() == {"gate"}
        assert (stack.output / "once" / "gate" / "manifest.json").is_file()


def shell(stack: Stack, commands: str) -> None:
    """Run a block as a user would type it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
