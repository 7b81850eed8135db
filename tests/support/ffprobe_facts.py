"""Writes what ffprobe says of the shared clips: `python -m tests.support.ffprobe_facts CLIPS_DIR OUT.json`.

For every clip: the index of the video stream that players choose, and the time of each of its frames. Times that rise
evenly are stored as [first, step, count].
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

SUFFIXES = {".mp4", ".mkv", ".avi"}


def facts_of(clip: Path) -> dict[str, object]:
    """Ask ffprobe for one clip: the video stream with the most pixels."""
    streams = _ask(clip, "v", "stream=index,width,height")["streams"]
    main = max(streams, key=lambda stream: stream["width"] * stream["height"])["index"]
    frames = _ask(clip, str(main), "frame=best_effort_timestamp")["frames"]
    times = [frame["best_effort_timestamp"] for frame in frames]
    return {"stream": main, "frames": len(times), "pts": _compact(times)}


def times_of(pts: dict[str, list[int]]) -> list[int]:
    """Return the times that `_compact` has stored."""
    if "times" in pts:
        return pts["times"]
    first, step, count = pts["even"]
    return [first + step * index for index in range(count)]


def _compact(times: list[int]) -> dict[str, list[int]]:
    steps = {after - before for before, after in pairwise(times)}
    return {"even": [times[0], steps.pop(), len(times)]} if len(steps) == 1 else {"times": times}


def _ask(clip: Path, streams: str, entries: str) -> dict[str, list[dict[str, int]]]:
    command = ["ffprobe", "-v", "error", "-select_streams", streams, "-show_entries", entries, "-of", "json", str(clip)]
    answer: dict[str, list[dict[str, int]]] = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    return answer


if __name__ == "__main__":
    clips = sorted(path for path in Path(sys.argv[1]).iterdir() if path.suffix in SUFFIXES)
    lines = [f"{json.dumps(clip.name)}: {json.dumps(facts_of(clip))}" for clip in clips]
    Path(sys.argv[2]).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
