"""`tilewatch model`: fetch, import, describe, quantise and build models."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tilewatch.errors import ConfigError, UsageError
from tilewatch.flow.lane import Lane
from tilewatch.settings import load, present

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilewatch.engine_builder import Built, Order
    from tilewatch.engines.builder.nvidia import Tools
    from tilewatch.parity import Agreement, Parity
    from tilewatch.settings import Settings
    from tilewatch.telemetry.build_progress import BuildProgress

T = TypeVar("T")

model_cli = typer.Typer(no_args_is_help=True, help="Fetch, import, describe, quantise and build models.")

Videos = Annotated[
    list[Path] | None,
    typer.Option("--calibrate", help="A video such as it will see; may be given again. For int8 and for the check."),
]


@model_cli.command("fetch")
def fetch(size: Annotated[int, typer.Option(help="Side of the model's input, pixels.")] = 640) -> None:
    """Fetch the default model into the cache and print its path."""
    from tilewatch.engines import zoo  # noqa: PLC0415

    typer.echo(zoo.default_model(size))


@model_cli.command("import")
def import_darknet(
    cfg: Annotated[Path, typer.Argument(help="Darknet .cfg file.")],
    weights: Annotated[Path, typer.Argument(help="Darknet .weights file.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Unset: the weights' name with .onnx.")] = None,
    names: Annotated[Path | None, typer.Option(help="Class names, one a line.")] = None,
    size: Annotated[int, typer.Option(help="Side of the model's input, pixels.")] = 640,
) -> None:
    """Convert a Darknet model (YOLOv3, YOLOv4, tiny or not) to ONNX."""
    from tilewatch.engines import darknet  # noqa: PLC0415

    target = output or weights.with_suffix(".onnx")
    darknet.convert(cfg, weights, names, target, size)
    typer.echo(target)


@model_cli.command("info")
def info(
    file: Annotated[Path, typer.Argument(help="An .onnx, .cfg, .weights, .engine or .plan file.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a model file is, and what keeps it from being used here."""
    from tilewatch.engines.describe import describe  # noqa: PLC0415  (heavy)

    facts = describe(file, _settings().tile.size)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    _print_facts(facts)


@model_cli.command("quantize")
def quantize(
    model: Annotated[Path, typer.Argument(help="An ONNX model in float32.")],
    calibrate: Videos = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Unset: MODEL.int8.onnx.")] = None,
) -> None:
    """Put a model into eight bits, calibrated on your footage, and hold it against the model it is made of."""
    if not calibrate:
        raise UsageError("--calibrate VIDEO is needed: footage such as the model will see")
    from tilewatch.engine_builder import quantise_model  # noqa: PLC0415  (heavy)
    from tilewatch.telemetry.build_progress import BuildProgress  # noqa: PLC0415

    target = output or _beside(model, ".int8.onnx")

    def judged(backend: str, parity: Parity, names: tuple[str, ...]) -> None:
        _print_parity(f"{backend}, int8 against float32", parity, names)

    progress = BuildProgress()
    work = partial(quantise_model, model, target, tuple(calibrate), _settings(), progress.check, judged)
    asyncio.run(_interruptible(work, progress, f"calibrating on {', '.join(map(str, calibrate))}"))
    typer.echo(target)


@model_cli.command("build")
def build(  # noqa: PLR0913, PLR0917 -- a typer command's signature is the command line
    model: Annotated[Path, typer.Argument(help="An ONNX model.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Unset: MODEL.engine beside the model, else in the cache.")
    ] = None,
    precision: Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="Arithmetic of inference.")] = "fp16",
    batch: Annotated[int | None, typer.Option(min=1, max=256, help="Most tiles in a call; unset: BATCH_SIZE.")] = None,
    workspace: Annotated[int | None, typer.Option(min=1, help="Most scratch memory, MiB; unset: all there is.")] = None,
    calibrate: Videos = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Build also what exists already.")] = False,
) -> None:
    """Build a TensorRT engine for this machine's device, and hold it against ONNX Runtime on real tiles."""
    from tilewatch.engine_builder import Order  # noqa: PLC0415  (heavy)
    from tilewatch.engines import zoo  # noqa: PLC0415
    from tilewatch.engines.builder import nvidia  # noqa: PLC0415

    tools, settings = nvidia.tools(), _settings()
    order = Order(
        model=model,
        output=output,
        precision=precision,
        batch=batch or settings.batch.size,
        workspace_mib=workspace,
        videos=tuple(calibrate or [zoo.demo_clip()]),
        calibrate=bool(calibrate),
        force=force,
    )
    _tell(_built(order, settings, tools), order)


def _built(order: Order, settings: Settings, tools: Tools) -> Built:
    from tilewatch import engine_builder  # noqa: PLC0415  (heavy)
    from tilewatch.telemetry.build_progress import build_progress  # noqa: PLC0415

    def judged(parity: Parity, names: tuple[str, ...]) -> None:
        _print_parity("the engine against ONNX Runtime", parity, names)

    with build_progress() as progress:
        work = partial(engine_builder.build, order, settings, tools, progress, judged)
        return asyncio.run(_interruptible(work, progress, f"building {order.precision} of {order.model}"))


async def _interruptible(work: Callable[[], T], progress: BuildProgress, what: str) -> T:
    """Work on a lane of its own, so that this thread hears of Ctrl-C; the work then ends at its next step."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, progress.stop)
    typer.echo(what, err=True)
    async with Lane("build") as lane:
        return await lane.call(work)


def _tell(built: Built, order: Order) -> None:
    """Say where the engine lies, and what to do about it where that is not beside the model."""
    if built.reused:
        typer.echo(
            "this engine exists already, built from the same model for this device: --force builds it anew", err=True
        )
    if built.batch != order.batch:
        typer.echo(
            "the model holds a batch of 1, so the engine takes single tiles: export it with a free batch", err=True
        )
    if order.output is None and built.path.parent != order.model.parent:
        typer.echo(f"{order.model.parent} cannot be written to: it lies in the cache, where it is found too", err=True)
    elif built.path != order.model.with_suffix(built.path.suffix):
        typer.echo(f"it is not beside the model under its name: set MODEL_PATH={built.path}", err=True)
    typer.echo(built.path)


def _settings() -> Settings:
    return load(env_file=present())


def _beside(model: Path, suffix: str) -> Path:
    """Return a name beside the model, or in the cache where its folder cannot be written to."""
    from tilewatch.engines import cache  # noqa: PLC0415

    if os.access(model.parent, os.W_OK):
        return model.with_suffix(suffix)
    folder = cache.writable("models")
    if folder is None:
        raise ConfigError(f"{model.parent} cannot be written to: say where with --output FILE")
    return folder / f"{model.stem}{suffix}"


def _print_parity(title: str, parity: Parity, names: Sequence[str]) -> None:
    """Print a row for each class, the most frequent first, and one for all."""
    table = Table(title=title, title_justify="left")
    table.add_column("class", overflow="fold")
    for heading in ("reference", "found", "precision", "recall", "F1", "score drift"):
        table.add_column(heading, justify="right")
    for label, agreement in sorted(parity.classes.items(), key=lambda item: -item[1].reference):
        table.add_row(names[label] if label < len(names) else f"class_{label}", *_cells(agreement))
    table.add_section()
    table.add_row("all", *_cells(parity.total))
    console = Console(stderr=True)
    console.print(table)
    reference, candidate = parity.reference, parity.candidate
    console.print(
        f"{candidate.tiles} tiles: {candidate.wall_ms:.1f} ms each ({candidate.cpu_ms:.1f} ms of CPU), "
        f"the reference {reference.wall_ms:.1f} ms ({reference.cpu_ms:.1f} ms of CPU)",
        highlight=False,
        soft_wrap=True,
    )
    if not parity.conclusive:
        console.print(
            f"too few objects to judge by ({parity.total.reference}): give footage that shows more with --calibrate",
            style="yellow",
        )


def _cells(agreement: Agreement) -> list[str]:
    shares = [agreement.precision, agreement.recall, agreement.f1, agreement.mean_drift]
    return [str(agreement.reference), str(agreement.candidate), *(f"{share:.3f}" for share in shares)]


def _print_facts(facts: dict[str, Any]) -> None:
    """Print one row a fact, then what keeps the file from being used."""
    table = Table(show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if key != "problems" and value not in (None, "", []):
            table.add_row(key.replace("_", " "), Text(_fact(key, value)))
    console = Console()
    console.print(table)
    for problem in facts["problems"]:
        console.print(Text(f"✗ {problem}", style="red"))
    if not facts["problems"]:
        console.print(Text("✓ it can be used here", style="green"))


def _fact(key: str, value: object) -> str:
    """Return a fact for people."""
    if key in {"bytes", "weights_bytes"}:
        return f"{float(str(value)) / 1e6:.1f} MB"
    if key in {"inputs", "outputs"} and isinstance(value, list):
        return "\n".join(f"{one['name']}  {one['type']}  {_shape(one['shape'])}" for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shape(dims: Sequence[object]) -> str:
    return f"({', '.join('?' if dim is None else str(dim) for dim in dims)})"
