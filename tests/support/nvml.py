"""NVIDIA cards by a library that stands in for their driver's: what reads them is the real package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml.c")


class Cards:
    """Cards that tell what a test wants, to a program started with `environment`.

    Args:
        folder: for the library and the cards; it is made.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler on this machine")
        self._folder = folder
        folder.mkdir()
        library = folder / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program find library and cards."""
        return {"LD_LIBRARY_PATH": str(self._folder), "CARDS": str(self._folder)}

    def tell(self, card: int, **facts: object) -> None:
        """Let a card, which is there from now on, tell something.

        Args:
            card: its number; they are counted up from 0.
            facts: name, gpu_percent, memory_used and memory_total in bytes, celsius, milliwatts.
        """
        place = self._folder / str(card)
        place.mkdir(exist_ok=True)
        for name, value in facts.items():
            fresh = self._folder / f"{name}.new"
            fresh.write_text(f"{value}\n")
            fresh.rename(place / name)

    def lose(self, card: int) -> None:
        """Let a card fall off the bus."""
        self.tell(card, lost="")

    def find(self, card: int) -> None:
        """Let a lost card be there again."""
        (self._folder / str(card) / "lost").unlink()
