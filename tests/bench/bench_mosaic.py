"""The merge on a real detector's boxes: F1 on the 4K mosaic against every setting of other libraries' merges.

The detector's boxes of each tile, doubles within a tile removed, are the same for all. Peers have the best of their
settings, chosen on the truth; ours has one. Higher confidence thresholds are tried as well, for all alike, since the
merge that leaves more doubles gains more by them. The rows `run` are the whole program, with identities and without.
The peers' merges are merging_peers.py in an environment of their own (see bench_peers); PYTHON is its interpreter.

    python -m tests.bench.bench_mosaic [--peers PYTHON] [--frames 6]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.support.data import data_path
from tests.support.mosaic import make_mosaic
from tests.support.program import environment, run_tilewatch
from tests.support.scoring import detection, read_mot
from tilewatch.engines import select
from tilewatch.engines.options import EngineOptions
from tilewatch.native.merge import merge_tiles
from tilewatch.native.reference import merge as rules
from tilewatch.settings import DetectSettings, TileSettings
from tilewatch.stages.tile import plan
from tilewatch.stages.track import to_frame
from tilewatch.video.source import VideoSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tests.support.mosaic import Person
    from tilewatch.engines.model_engine import ModelEngine
    from tilewatch.records import F32, Frame, Tiles

    People = Mapping[int, Sequence[Person]]

MODELS = ("yolox_nano", "yolov8n")
PERSON = 0
CONFIDENCES = (0.25, 0.35, 0.45)
IOU = DetectSettings().iou_threshold
PEER_PROGRAM = Path(__file__).with_name("merging_peers.py")


class Score(NamedTuple):
    """Per cent, at an IoU of 0.5."""

    f1: float
    precision: float
    recall: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="python of the peers' environment")
    parser.add_argument("--frames", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "mosaic.mp4"
        everybody = make_mosaic(clip, columns=5, rows=4, frames=30)
        people = {frame: everybody[frame] for frame in range(arguments.frames)}
        for name in MODELS:
            model = data_path(f"models/{name}.onnx")
            show(name, dict(merges(clip, model, people, arguments.peers)), run(clip, model, people))


def merges(clip: Path, model: Path, people: People, python: Path | None) -> Iterator[tuple[str, dict[float, Score]]]:
    """Yield ours, then every peer's setting: its scores by the confidence from which boxes count."""
    frames, tiles = seen(clip, model, len(people))
    ours: dict[float, Score] = {}
    theirs: dict[str, dict[float, Score]] = {}
    for confidence in CONFIDENCES:
        sure = [boxes.take(np.flatnonzero(boxes.score >= confidence)) for boxes in frames]
        ours[confidence] = score([_merged(boxes, tiles, confidence) for boxes in sure], people)
        for name, merged in _peers(python, sure, clip.parent):
            theirs.setdefault(name, {})[confidence] = score(merged, people)
    yield "tilewatch", ours
    yield from theirs.items()


def seen(clip: Path, model: Path, frames: int) -> tuple[list[rules.Seen], Tiles]:
    """Return the persons' boxes of each frame, in frame pixels, and the tiles they were seen in."""
    engine = select.choose("openvino", model)(EngineOptions(model=model, precision="f32"))
    engine.open()
    engine.warm_up()
    source = VideoSource(clip, max_pixels=1 << 26)
    info = source.open()
    tiles = plan(info.width, info.height, TileSettings(full_frame="off")).tiles
    found = [look(engine, frame, tiles) for frame in (source.read() for _ in range(frames)) if frame]
    source.close()
    engine.close()
    return found, tiles


def look(engine: ModelEngine, frame: Frame, tiles: Tiles) -> rules.Seen:
    """Return what the detector says of each tile, doubles within a tile removed."""
    slot, answers = engine.cut(frame, tiles), []
    for row in range(len(tiles)):
        engine.submit([(slot, row)])
        answers.append([output.copy() for output in engine.collect()])  # the engine uses its buffers again
    engine.release(slot)
    outputs = [np.concatenate(parts) for parts in zip(*answers, strict=True)]
    boxes = engine.head.decode(outputs, threshold=CONFIDENCES[0], wanted=None)
    placed = to_frame(boxes.xyxy, boxes.tile, tiles)
    given = rules.Seen(placed.astype(np.float64), boxes.score.astype(np.float64), boxes.label, boxes.tile)
    found = rules.canonical(given, tiles)
    found = found.take(np.flatnonzero(found.label == PERSON))
    single = rules.suppress(found.boxes, found.label, found.tile.astype(np.int32), IOU, smaller=False)
    return found.take(np.flatnonzero(single))


def _merged(boxes: rules.Seen, tiles: Tiles, confidence: float) -> F32:
    placed, sure = boxes.boxes.astype(np.float32), boxes.score.astype(np.float32)
    found = merge_tiles(placed, sure, boxes.label, boxes.tile, tiles, iou_threshold=IOU).detections
    return found.xyxy[found.score >= confidence]


def _peers(python: Path | None, frames: list[rules.Seen], folder: Path) -> Iterator[tuple[str, list[F32]]]:
    """Yield the name and the boxes of each frame of every peer's setting."""
    if python is None:
        return
    source, target = folder / "seen.npz", folder / "merged.npz"
    columns: tuple[tuple[str, list[NDArray[Any]]], ...] = (
        ("xyxy", [frame.boxes for frame in frames]),
        ("score", [frame.score for frame in frames]),
        ("label", [frame.label for frame in frames]),
    )
    parts = {name: np.concatenate(values).astype(np.float32) for name, values in columns}
    np.savez(source, allow_pickle=False, count=[len(frame.score) for frame in frames], **parts)
    subprocess.run([python, PEER_PROGRAM, source, target], check=True, env=environment(PYTHONPATH=""))
    with np.load(target) as file:
        for name in dict.fromkeys(key.split("|")[0] for key in file.files):
            yield name, np.split(file[f"{name}|xyxy"], np.cumsum(file[f"{name}|count"])[:-1])


def score(frames: Sequence[F32], people: People) -> Score:
    """Return how good the boxes of each frame are."""
    return _score({index: _rows(xyxy.astype(np.float64)) for index, xyxy in enumerate(frames)}, people)


def _rows(xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([np.zeros((len(xyxy), 1)), xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])


def _score(found: Mapping[int, NDArray[np.float64]], people: People) -> Score:
    precision, recall = detection(found, people)
    return Score(100 * 2 * precision * recall / (precision + recall), 100 * precision, 100 * recall)


def run(clip: Path, model: Path, people: People) -> dict[str, Score]:
    """Return the scores of `tilewatch run`, with identities and without."""
    options = ["--model", model, "--classes", PERSON, "--formats", "mot", "--precision", "f32", "--full-frame", "off"]
    found = {}
    for name, more in (("run", []), ("run --no-tracking", ["--no-tracking"])):
        out = clip.parent / f"{model.stem} {name}"
        run_tilewatch("run", clip, "-o", out, "--max-frames", len(people), *options, *more, timeout=600)
        found[name] = _score(read_mot(out / clip.stem / "tracks.mot.txt"), people)
    return found


def show(model: str, found: dict[str, dict[float, Score]], whole: dict[str, Score]) -> None:
    """Print ours, the best setting of each peer's merge, and the whole program."""
    at = CONFIDENCES[0]
    table = Table("merge", "setting", title=f"4K mosaic, {model}, F1 / precision / recall at IoU 0.5, per cent")
    for heading in (f"at confidence {at}", "at the best confidence"):
        table.add_column(heading, justify="right")
    for kind in dict.fromkeys(kind_of(name) for name in found):
        rivals = {name: scores for name, scores in found.items() if kind_of(name) == kind}
        name = max(rivals, key=lambda name: rivals[name][at].f1)
        surest = max(
            (value, confidence, name) for name, scores in rivals.items() for confidence, value in scores.items()
        )
        style = "bold" if kind == "tilewatch" else ""
        table.add_row(
            kind, name[len(kind) :].strip(), text(rivals[name][at]), f"{text(surest[0])} ({surest[1]})", style=style
        )
    for name, value in whole.items():
        table.add_row(f"tilewatch {name}", "", text(value), style="bold")
    Console(width=110).print(table)
    best = max(scores[at].f1 for name, scores in found.items() if name != "tilewatch") if len(found) > 1 else 0.0
    print(f"bar: F1 above every peer's best setting: {found['tilewatch'][at].f1:.1f} against {best:.1f}")


def kind_of(name: str) -> str:
    """Return which merge a setting belongs to: the name without its last word, the threshold."""
    return name.rpartition(" ")[0] or name


def text(value: Score) -> str:
    """Return a score as one cell."""
    return " / ".join(f"{part:.1f}" for part in value)


if __name__ == "__main__":
    main()
