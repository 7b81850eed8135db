"""Which video encoder to use: a hardware one only where its device exists and a trial in a process of its own succeeds.

A driver that hangs cannot be interrupted from within, so the trial (`python -m tilewatch.video.probe NAME`) is killed
when its time is up.
"""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
from av.error import FFmpegError

from tilewatch.errors import ConfigError, SinkError
from tilewatch.telemetry import log
from tilewatch.video.apart import trial_refusal
from tilewatch.video.canvas import NO_CHROMA, Canvas, Look
from tilewatch.video.encoder import SOFTWARE, Encoding, Traits
from tilewatch.video.encoders import add_encoder
from tilewatch.video.faults import cause
from tilewatch.video.planes import plane_view

DEVICES = {"nvv4l2h264enc": "*-*enc", "h264_nvenc": "nvidia[0-9]*", "h264_v4l2m2m": "video*"}
"""Hardware encoders, the best one first, and the files in /dev of which each needs one."""
DEV = Path("/dev")
TRIAL_SECONDS = 30.0
TRIAL_FRAMES = 4
TRIAL_LOOK = Look(width=640, height=384, full_range=False, matrix="bt601")
TRIAL_RATE = Fraction(25)

logger = log.logger("probe")


@cache
def pick_encoder(choice: str) -> str:
    """Return the encoder to use, found out once per process; blocking.

    Args:
        choice: FFmpeg's name of an encoder, or 'auto' for the first that works, software last.

    Raises:
        ConfigError: the named encoder does not work here; says why.
    """
    if choice == "auto":
        return next((name for name in DEVICES if is_present(name) and _works(name)), SOFTWARE)
    refusal = trial_apart(choice) if choice in DEVICES else trial(choice)
    if refusal:
        raise ConfigError(f"VIDEO_CODEC={choice} does not work here ({refusal}): set VIDEO_CODEC=auto")
    return choice


def is_present(name: str) -> bool:
    """Tell whether the machine shows the device of a hardware encoder."""
    return any(DEV.glob(DEVICES[name]))


def _works(name: str) -> bool:
    """Tell whether a hardware encoder works, and say why not."""
    refusal = trial_apart(name)
    if refusal:
        logger.warning("encoder_refused", encoder=name, error=refusal)
    return not refusal


def trial(codec: str) -> str:
    """Encode a few pictures into memory and return why that failed, '' when it did not."""
    encoding = Encoding(codec=codec, quality=23, preset="ultrafast", rate=TRIAL_RATE, time_base=1 / TRIAL_RATE)
    try:
        return "" if _encoded_bytes(encoding) else "it gave no output"
    except SinkError as error:
        return cause(error.__cause__ or error)
    except FFmpegError as error:
        return cause(error)


def trial_apart(codec: str) -> str:
    """Do the trial in a process of its own, killed when it takes too long; returns as `trial`."""
    return trial_refusal("tilewatch.video.probe", codec, TRIAL_SECONDS)


def _encoded_bytes(encoding: Encoding) -> int:
    canvas, size = Canvas(TRIAL_LOOK), 0
    for index in range(3):
        plane_view(canvas.picture, index)[:] = NO_CHROMA
    with av.open(io.BytesIO(), "w", format="nut") as container:
        encoder = add_encoder(container, encoding, TRIAL_LOOK, Traits())
        for index in range(TRIAL_FRAMES):
            canvas.picture.pts, canvas.picture.time_base = index, encoding.time_base
            size += sum(packet.size for packet in encoder.encode(canvas.picture))
        return size + sum(packet.size for packet in encoder.encode(None))


def main(codec: str) -> int:
    """Say why an encoder does not work; the exit status is 1 then."""
    refusal = trial(codec)
    sys.stdout.write(refusal)
    return 1 if refusal else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
