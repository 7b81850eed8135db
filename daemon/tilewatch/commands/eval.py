"""`tilewatch eval`: how good tracks are against ground truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tilewatch.errors import InputError, UsageError

if TYPE_CHECKING:
    from tilewatch.scoring.comparison import Comparison
    from tilewatch.scoring.metrics import Scores

Pairs = list[tuple[Path, Path]]


def evaluate(
    tracks: Annotated[list[Path], typer.Argument(help="Tracks as `run` writes them: tracks.mot.txt.")],
    truth: Annotated[list[Path], typer.Option("--gt", help="Ground truth, MOTChallenge rows; one for each tracks.")],
    benchmark: Annotated[
        Literal["none", "MOT17"],
        typer.Option(help="MOT17: prepare as that benchmark does, by the classes in column 8 of the ground truth."),
    ] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,  # noqa: FBT002
) -> None:
    """Score tracks against ground truth: MOTA, IDF1, HOTA (by TrackEval)."""
    if len(truth) != len(tracks):
        raise UsageError(f"{len(truth)} --gt and {len(tracks)} tracks: give one ground truth for each")
    pairs = list(zip(truth, tracks, strict=True))
    from tilewatch.scoring.metrics import Evaluator  # noqa: PLC0415  (heavy)

    evaluator = Evaluator()
    each, together = evaluator.score([_compare(*pair, benchmark) for pair in pairs])
    show = _as_json if as_json else _as_table
    show(pairs, each, together)


def _compare(truth: Path, tracks: Path, benchmark: Literal["none", "MOT17"]) -> Comparison:
    """Return the boxes of two files together."""
    from tilewatch.scoring.comparison import bring_together  # noqa: PLC0415
    from tilewatch.scoring.motfile import read_boxes  # noqa: PLC0415  (heavy)

    video = bring_together(read_boxes(truth), read_boxes(tracks), benchmark)
    if not sum(map(len, video.truth)):
        raise InputError(f"{truth}: no row counts: column 7 is 0 for boxes to leave out, 1 for the others")
    return video


def _as_json(pairs: Pairs, each: list[Scores], together: Scores) -> None:
    """Print one JSON document; scores in per cent."""
    rows = [
        {"gt": str(truth), "tracks": str(tracks), **_rounded(scores)}
        for (truth, tracks), scores in zip(pairs, each, strict=True)
    ]
    typer.echo(json.dumps({"sequences": rows, "all": _rounded(together)}))


def _rounded(scores: Scores) -> dict[str, float]:
    return {name: round(value, 3) for name, value in scores._asdict().items()}


def _as_table(pairs: Pairs, each: list[Scores], together: Scores) -> None:
    """Print a row for each pair, and one for all where there are more."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    table.add_column("tracks", overflow="fold")
    for heading in ("MOTA", "IDF1", "HOTA", "DetA", "AssA", "IDSW", "FP", "FN"):
        table.add_column(heading, justify="right")
    for (_, tracks), scores in zip(pairs, each, strict=True):
        table.add_row(str(tracks), *_cells(scores))
    if len(pairs) > 1:
        table.add_section()
        table.add_row("all", *_cells(together))
    Console().print(table)


def _cells(scores: Scores) -> list[str]:
    return [f"{value:.2f}" if isinstance(value, float) else str(value) for value in scores]
