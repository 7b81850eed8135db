"""The classes that the metrics tell apart: names come from the model, and a model may know thousands."""

from __future__ import annotations

MOST = 100
OTHER = "other"
"""Stands for every class beyond the first hundred."""


class ClassLabels:
    """Gives each class its label for as long as the process lives, over all models it opens."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """Return the label of a class: its name, or `OTHER` once there are too many."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name
