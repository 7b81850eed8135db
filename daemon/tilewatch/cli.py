"""The command line: `run`, `serve`, `jobs`, `eval`, `model`, `config`, `doctor`; turns outcomes into exit codes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path  # noqa: TC003 typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tilewatch import __version__
from tilewatch.commands.doctor import examine
from tilewatch.commands.eval import evaluate
from tilewatch.commands.jobs import jobs_cli
from tilewatch.commands.model import model_cli
from tilewatch.errors import InputError, TilewatchError, UsageError
from tilewatch.settings import ENV_FILE, load, present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.settings import Settings

cli = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
config_cli = typer.Typer(no_args_is_help=True, help="Show the settings.")
cli.add_typer(model_cli, name="model")
cli.add_typer(config_cli, name="config")
cli.add_typer(jobs_cli, name="jobs")

EXIT_CODES = {1: 75, 130: 75, 2: UsageError.exit_code}
"""Of the command-line library: interrupted, and misused. Ours for the same; it passes on every other one."""


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    0 done, 64 usage, 65 bad input, 70 engine or device, 75 stopped before the end, 78 configuration.
    """
    try:
        cli(args=list(arguments), prog_name="tilewatch")
    except TilewatchError as error:
        print(f"tilewatch: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0
        return EXIT_CODES.get(code, code)
    return 0


def _version(wanted: bool) -> None:  # noqa: FBT001
    if wanted:
        typer.echo(f"tilewatch {__version__}")
        raise typer.Exit


@cli.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find and follow small objects in high-resolution video."""


@cli.command()
def run(
    inputs: Annotated[list[Path] | None, typer.Argument(help="Videos; unset: INPUT_VIDEO.", show_default=False)] = None,
    more: Annotated[list[Path] | None, typer.Option("--input", "-i", help="A video; may be given again.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="FILE.mp4: the video exactly there. DIR: results in DIR/<name>/."),
    ] = None,
    conf: Annotated[str | None, typer.Option(help="Lowest score of a reported object, 0 to 1.")] = None,
    iou: Annotated[str | None, typer.Option(help="Overlap in one tile from which two boxes are one object.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class names or numbers to keep, comma separated.")] = None,
    tracking: Annotated[bool | None, typer.Option("--enable-tracking/--no-tracking", help="Ids or boxes only.")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "--engine", help="ONNX model; unset: the default one.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Text file of class names, one a line.")] = None,
    head: Annotated[str | None, typer.Option(help="Output layout of the model, where it is not recognised.")] = None,
    backend: Annotated[str | None, typer.Option(help="auto, openvino, onnxruntime or tensorrt.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32, bf16 or f16.")] = None,
    tile_size: Annotated[str | None, typer.Option(help="Side of a tile, pixels.")] = None,
    tile_overlap: Annotated[str | None, typer.Option(help="Least overlap of tiles, pixels.")] = None,
    tile_scale: Annotated[str | None, typer.Option(help="Cut as if resized by this factor.")] = None,
    full_frame: Annotated[str | None, typer.Option(help="off, on (besides the tiles) or only.")] = None,
    roi: Annotated[str | None, typer.Option(help="Only look inside: 'x,y x,y x,y; ...'.")] = None,
    ignore: Annotated[str | None, typer.Option(help="Never report inside: 'x,y x,y x,y; ...'.")] = None,
    formats: Annotated[str | None, typer.Option(help="Of video,jsonl,mot,csv,coco,parquet,overview.")] = None,
    trails: Annotated[str | None, typer.Option(help="Seconds of each track's path to draw.")] = None,
    gate: Annotated[str | None, typer.Option(help="off, or motion: infer only tiles where something moves.")] = None,
    debug_overlay: Annotated[
        bool | None,
        typer.Option("--debug-overlay/--no-debug-overlay", help="Draw the tiles and why each was inferred."),
    ] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    parallel: Annotated[str | None, typer.Option(help="Videos in work at once.")] = None,
    env_file: Annotated[Path | None, typer.Option(help="Settings file; unset: ./.env if there is one.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Fetch a short clip and process it.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time went.")] = False,
    no_display: Annotated[bool, typer.Option("--no-display", hidden=True)] = False,  # noqa: ARG001
) -> None:
    """Process videos: annotated video, tracks and a picture of the result."""
    settings = load(
        overrides={
            "CONFIDENCE_THRESHOLD": conf,
            "IOU_THRESHOLD": iou,
            "CLASSES": classes,
            "ENABLE_TRACKING": tracking,
            "MODEL_PATH": model,
            "LABELS_PATH": labels,
            "HEAD": head,
            "BACKEND": backend,
            "PRECISION": precision,
            "TILE_SIZE": tile_size,
            "TILE_OVERLAP": tile_overlap,
            "TILE_SCALE": tile_scale,
            "TILE_FULL_FRAME": full_frame,
            "TILE_ROI": roi,
            "TILE_IGNORE": ignore,
            "OUTPUT_FORMATS": formats,
            "DRAW_TRAIL_SECONDS": trails,
            "MAX_STREAMS": parallel,
            "TILE_GATE": gate,
            "DRAW_DEBUG": debug_overlay,
        },
        env_file=_env_file(env_file),
    )
    from tilewatch import app  # noqa: PLC0415  (heavy: numpy, av; --help stays fast)

    paths = _inputs([*(inputs or []), *(more or [])], settings, demo=demo)
    target = output or settings.path.output_dir
    options = app.RunOptions(max_frames=max_frames, profile=profile)
    raise typer.Exit(app.run(paths, target, settings, options))


cli.command("eval")(evaluate)
cli.command("doctor")(examine)


def _end_at_once(*_: object) -> None:
    """End a service that has nothing in work yet.

    Raising SystemExit would not do: where the signal happens to arrive in a callback of the garbage collector or of an
    import, Python reports what is raised and goes on.
    """
    os._exit(0)


@cli.command()
def serve(
    env_file: Annotated[Path | None, typer.Option(help="Settings file; unset: ./.env if there is one.")] = None,
) -> None:
    """Watch a folder and process every video that appears in it, until stopped."""
    signal.signal(signal.SIGTERM, _end_at_once)  # until the service takes over
    file = env_file or ENV_FILE
    settings = load(env_file=_env_file(env_file))
    from tilewatch.service.serve import serve as serve_forever  # noqa: PLC0415  (heavy)

    raise typer.Exit(serve_forever(settings, file))


@config_cli.command("show")
def config_show(
    form: Annotated[
        Literal["env", "markdown"], typer.Option("--format", help="As .env.example or as a table.")
    ] = "env",
) -> None:
    """Print every setting with its default, bounds and reason."""
    from tilewatch import settings_docs  # noqa: PLC0415

    typer.echo(settings_docs.as_env() if form == "env" else settings_docs.as_markdown(), nl=False)


def _env_file(named: Path | None) -> Path | None:
    """Return the settings file to read: the one named, else ./.env if there is one."""
    return named or present()


def _inputs(named: list[Path], settings: Settings, *, demo: bool) -> list[Path]:
    """Return the videos to process, each once; missing ones are refused before any work starts."""
    if demo:
        from tilewatch.engines import zoo  # noqa: PLC0415

        named = [*named, zoo.demo_clip()]
    if not named and settings.path.input_video:
        named = [settings.path.input_video]
    if not named:
        raise UsageError("no video given: name one or more files, or set INPUT_VIDEO")
    for path in named:
        if not path.exists():
            raise InputError(f"{path}: no such file")
    return list(dict.fromkeys(named))
