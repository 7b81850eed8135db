"""Video: libraries, and which decoders and encoders work, by trial."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import av

from tilewatch.doctor.finding import Section, absent, bad, doubtful, good
from tilewatch.errors import ConfigError, StreamError
from tilewatch.video import decoders, probe
from tilewatch.video.encoder import SOFTWARE
from tilewatch.video.gstreamer import LAUNCH
from tilewatch.video.v4l2 import V4l2Device

if TYPE_CHECKING:
    from tilewatch.doctor.finding import Finding
    from tilewatch.settings import Camera, Settings

NAMES = {
    "nvdec": "NVDEC (NVIDIA card)",
    "nvv4l2": "nvv4l2decoder (Jetson, GStreamer)",
    "nvv4l2h264enc": "nvv4l2h264enc (Jetson, GStreamer)",
    "h264_nvenc": "NVENC (NVIDIA card)",
    "h264_v4l2m2m": "V4L2 (boards)",
}
FFMPEG = "libavcodec"
GST_SECONDS = 5.0
INSTEAD = "software does it instead; docs/HARDWARE.md tells what the hardware needs"


def examine(settings: Settings) -> Section:
    """Look at the video libraries and try the codecs whose devices are here."""
    decoding = [_decoder(name) for name in decoders.DEVICES]
    encoding = [_encoder(name) for name in probe.DEVICES]
    taken = (_decoder_taken(settings), _encoder_taken(settings))
    cameras = [_camera(camera, settings) for camera in settings.source.sources if camera.is_local]
    return Section("Video", (_libraries(), _gstreamer(), *decoding, *encoding, *taken, *cameras))


def _libraries() -> Finding:
    version = ".".join(map(str, av.library_versions[FFMPEG]))
    return good("PyAV", f"{av.__version__}, FFmpeg's {FFMPEG} {version}")


def _gstreamer() -> Finding:
    """Return GStreamer's version: it is needed for a Jetson's codecs only."""
    path = shutil.which(LAUNCH)
    needed = decoders.is_present("nvv4l2")
    if path is None and needed:
        install = "apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad"
        return doubtful("GStreamer", "not installed: this Jetson's video hardware stays idle", install)
    if path is None:
        return absent("GStreamer", "not installed, not needed here")
    try:
        done = subprocess.run(  # noqa: S603 found on the path
            [path, "--version"], capture_output=True, text=True, timeout=GST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return doubtful("GStreamer", f"{path} gives no answer", "reinstall gstreamer1.0-tools")
    return good("GStreamer", done.stdout.splitlines()[0].rpartition(" ")[2] if done.stdout else path)


def _decoder(name: str) -> Finding:
    if not decoders.is_present(name):
        return absent(name, f"{NAMES[name]}: no such device")
    refusal = decoders.trial(name)
    if refusal:
        return doubtful(name, f"{NAMES[name]}: {refusal}", INSTEAD)
    return good(name, f"{NAMES[name]}: works")


def _encoder(name: str) -> Finding:
    if not probe.is_present(name):
        return absent(name, f"{NAMES[name]}: no such device")
    refusal = probe.trial_apart(name)
    if refusal:
        return doubtful(name, f"{NAMES[name]}: {refusal}", INSTEAD)
    return good(name, f"{NAMES[name]}: works")


def _camera(camera: Camera, settings: Settings) -> Finding:
    """Return whether a local camera can be opened; one that cannot is tried again by the service."""
    name, node = f"camera {camera.name}", camera.address.get_secret_value()
    try:
        V4l2Device(name, node, timeout_seconds=settings.stream.timeout_seconds).check()
    except StreamError as error:
        found, _, remedy = str(error).removeprefix(f"{name}: ").rpartition(": ")
        return doubtful(name, found, remedy)
    return good(name, "can be opened")


def _decoder_taken(settings: Settings) -> Finding:
    choice = settings.decode.decoder
    try:
        decoders.Decoders(choice).check()
    except ConfigError as error:
        return bad("DECODER", str(error), "set DECODER=auto")
    found = (decoders.best() or "software") if choice == "auto" else choice
    return good("DECODER", f"{choice}: {found} would be taken")


def _encoder_taken(settings: Settings) -> Finding:
    choice = settings.video.codec
    try:
        found = probe.pick_encoder(choice)
    except ConfigError as error:
        return bad("VIDEO_CODEC", str(error), "set VIDEO_CODEC=auto")
    refusal = probe.trial(SOFTWARE) if found == SOFTWARE else ""
    if refusal:
        return bad("VIDEO_CODEC", f"{SOFTWARE} does not work ({refusal})", "reinstall the package av", device=True)
    return good("VIDEO_CODEC", f"{choice}: {found} would be taken")
