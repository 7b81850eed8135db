"""Every knob: name, unit, default, bound, one-line reason.

A section is a frozen model; its environment names are the section's prefix plus the field's name in capitals
(`TILE_SIZE` is `tile.size`). `load` builds all sections once from, in rising order of precedence, a `.env` file, the
environment and the command line; slices are handed down. docs/CONFIGURATION.md and .env.example are generated from it.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from typing_extensions import Self

Format: TypeAlias = Literal["video", "jsonl", "mot", "csv", "coco", "parquet", "overview"]
Polygon: TypeAlias = tuple[tuple[float, float], ...]

TRIANGLE = 3
POLYGON_RULE = "a polygon is three or more points 'x,y' of numbers >= 0; polygons are separated by ';'"
CAMERA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CAMERA_PART = re.compile(r"(?:(?P<name>[^=:/\s]*)\s*=\s*)?(?P<address>\S+)")
CAMERA_RULE = "name=rtsp://user:password@host/path, the same without a name, 0 or /dev/video0; a comma in it is %2C"
FILE_LABEL = "file-"
"""What the metrics call a video by; a camera is called by its own name."""
FOREIGN_PREFIXES = ("COMPOSE_", "DOCKER_", "NVIDIA_", "GRAFANA_", "PROMETHEUS_", "TILEWATCH_")
"""Names in a `.env` file that belong to the tools beside tilewatch and are left alone."""


def _split(value: object) -> object:
    """Return the words of a comma-separated string; anything else as it is."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _polygons(value: object) -> object:
    """Return the polygons of 'x,y x,y x,y; x,y ...'; anything else as it is."""
    if not isinstance(value, str):
        return value
    shapes = [shape.split() for shape in value.split(";") if shape.strip()]
    try:
        return tuple(tuple((float(x), float(y)) for x, y in (point.split(",") for point in shape)) for shape in shapes)
    except ValueError:
        raise ValueError(POLYGON_RULE) from None


def _check_polygons(shapes: tuple[Polygon, ...]) -> tuple[Polygon, ...]:
    """Refuse polygons with fewer than three points or negative coordinates."""
    for shape in shapes:
        if len(shape) < TRIANGLE or min(min(point) for point in shape) < 0:
            raise ValueError(POLYGON_RULE)
    return shapes


class Camera(BaseModel):
    """A live source. Its address holds credentials: what is shown of a camera is its name."""

    model_config = ConfigDict(frozen=True)
    name: str
    address: SecretStr

    @property
    def is_local(self) -> bool:
        """Whether it is a device of this machine (V4L2) rather than on the network."""
        return self.address.get_secret_value().startswith("/")


def _cameras(value: object) -> object:
    """Return the cameras of 'name=rtsp://..., rtsp://..., 0'; anything else as it is."""
    if not isinstance(value, str):
        return value
    parts = [CAMERA_PART.fullmatch(word.strip()) for word in value.split(",") if word.strip()]
    return tuple(_camera(part, position) for position, part in enumerate(parts, start=1))


def _camera(part: re.Match[str] | None, position: int) -> Camera:
    """Return one camera; the complaint names its position, since its text may hold a password."""
    name, address = (part["name"] or f"camera-{position}", part["address"]) if part else ("", "")
    if re.fullmatch(r"\d{1,3}", address):
        address = f"/dev/video{address}"
    if not re.fullmatch(r"rtsps?://[^/\s]+.*|/dev/\S+", address, re.IGNORECASE):
        raise ValueError(f"source {position} is none of {CAMERA_RULE}")
    if not CAMERA_NAME.fullmatch(name) or name.startswith(FILE_LABEL):
        raise ValueError(
            f"the name of source {position} is no name: 1 to 64 of A-Z a-z 0-9 _ -, not beginning with {FILE_LABEL}"
        )
    return Camera(name=name, address=SecretStr(address))


def _check_cameras(cameras: tuple[Camera, ...]) -> tuple[Camera, ...]:
    """Refuse two cameras of one name: their results would go to one folder."""
    names = [camera.name.casefold() for camera in cameras]
    twins = [camera.name for camera in cameras if names.count(camera.name.casefold()) > 1]
    if twins:
        raise ValueError(f"several sources go by the name {twins[0]}: write another one in front, as yard=rtsp://...")
    return cameras


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Cameras = Annotated[tuple[Camera, ...], NoDecode, BeforeValidator(_cameras), AfterValidator(_check_cameras)]
Polygons = Annotated[tuple[Polygon, ...], NoDecode, BeforeValidator(_polygons), AfterValidator(_check_polygons)]


class Section(BaseSettings):
    """A group of settings with one prefix; built directly, it takes what is not given from the environment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        env_file_encoding="utf-8-sig",
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @classmethod
    def env_name(cls, field: str) -> str:
        """Return the environment name of a field."""
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()


class PathSettings(Section):
    """Where things are."""

    input_video: Path | None = Field(None, description="video that `run` takes when none is named on the command line")
    output_dir: Path = Field(
        Path("output"), description="folder of the results, one folder per video (/output in the image)"
    )


class WatchSettings(Section):
    """The folder whose new videos are processed by themselves."""

    watch_dir: Path = Field(Path("/videos"), description="folder in which `serve` looks for videos, subfolders too")
    watch_mode: Literal["auto", "inotify", "poll"] = Field(
        "auto", description="how changes are noticed; auto polls on network and overlay file systems, where events fail"
    )
    watch_rescan_seconds: float = Field(
        30.0, ge=1, le=86400, description="seconds after which the folder is read through, whatever was noticed"
    )
    watch_patterns: Words = Field(
        (
            "*.mp4",
            "*.m4v",
            "*.mov",
            "*.mkv",
            "*.webm",
            "*.avi",
            "*.ts",
            "*.mts",
            "*.m2ts",
            "*.mpg",
            "*.mpeg",
            "*.wmv",
            "*.flv",
            "*.3gp",
            "*.mxf",
            "*.ogv",
        ),
        description="file names that are videos, comma separated, * and ? allowed, upper and lower case alike",
        min_length=1,
    )
    settle_seconds: float = Field(
        5.0, ge=0, le=3600, description="seconds without a change after which a file counts as finished"
    )


class SourceSettings(Section):
    """Live cameras, processed by `serve` besides the watched folder, and before it."""

    sources: Cameras = Field(
        (),
        repr=False,
        description="cameras, comma separated: name=rtsp://user:password@host/path, without a name (camera-1), "
        "or 0 or /dev/video0; never shown in logs, metrics or results",
    )
    segment_seconds: float = Field(
        300.0, ge=1, le=86400, description="seconds of wall-clock time after which a camera's result is completed"
    )


class StreamSettings(Section):
    """When a camera counts as lost, and how it is tried again."""

    model_config = SettingsConfigDict(env_prefix="STREAM_")
    timeout_seconds: float = Field(
        10.0, ge=0.5, le=600, description="seconds without an answer or a picture after which a camera counts as lost"
    )
    backoff_seconds: float = Field(
        1.0, ge=0.1, le=600, description="most seconds before the first try to connect again; doubles with every try"
    )
    backoff_cap_seconds: float = Field(30.0, ge=0.1, le=3600, description="seconds beyond which that wait never grows")
    healthy_seconds: float = Field(
        30.0, ge=0, le=3600, description="seconds a connection must have lasted for the wait to begin small again"
    )


class DecodeSettings(Section):
    """How videos and cameras are decoded."""

    decoder: Literal["auto", "software", "nvdec", "nvv4l2"] = Field(
        "auto",
        description="nvdec: an NVIDIA card; nvv4l2: a Jetson, through GStreamer; auto takes what works, software last; "
        "a named one that cannot be had is an error, never a fall-back",
    )


class ModelSettings(Section):
    """The detector and the engine that runs it."""

    model_path: Path | None = Field(
        None, description="ONNX model; unset: /models/model.engine, /models/model.onnx, else the default model"
    )
    labels_path: Path | None = Field(
        None, description="text file, one class name a line; unset: the names in the model"
    )
    backend: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = Field(
        "auto", description="inference engine; a named one that cannot be had is an error, never a fall-back"
    )
    precision: Literal["auto", "f32", "bf16", "f16"] = Field(
        "auto", description="arithmetic of inference; auto takes bf16 only where the CPU has it natively"
    )
    head: Literal["auto", "yolov8", "yolov5", "yolox", "end2end", "detr"] = Field(
        "auto", description="output layout of the model; auto recognises it from shape and metadata"
    )
    engine_threads: int = Field(
        0, ge=0, le=256, description="CPU threads of the engine; 0: every core this process may use"
    )


class BatchSettings(Section):
    """How tiles are gathered for the engine."""

    model_config = SettingsConfigDict(env_prefix="BATCH_")
    size: int = Field(
        8, ge=1, le=256, description="most tiles in one engine call; engines that gain nothing by it take fewer"
    )
    wait_ms: float = Field(
        5.0, ge=0, le=1000, description="ms to wait for more tiles before a batch goes off part full"
    )


class DetectSettings(Section):
    """Which boxes count."""

    confidence_threshold: float = Field(0.25, ge=0.01, le=1.0, description="lowest score of a reported object, 0 to 1")
    iou_threshold: float = Field(
        0.5, gt=0.0, le=1.0, description="two boxes of one tile and class overlapping more are one object"
    )
    classes: Words = Field((), description="class names or numbers to keep, comma separated; empty: all")


class TileSettings(Section):
    """How a frame is cut."""

    model_config = SettingsConfigDict(env_prefix="TILE_")
    size: int = Field(
        640, ge=64, le=4096, multiple_of=32, description="side of a tile and of the model's input, pixels"
    )
    overlap: int = Field(
        96, ge=0, description="least overlap of neighbouring tiles, pixels: larger than the objects on a seam"
    )
    scale: float = Field(
        1.0, ge=0.1, le=8.0, description="the frame is cut as if resized by this factor: 2 finds smaller objects"
    )
    full_frame: Literal["off", "on", "only"] = Field(
        "off",
        description="also look at the whole frame at low resolution (objects larger than a tile), or only that",
    )
    roi: Polygons = Field(
        (), description="only look inside these polygons: 'x,y x,y x,y; ...', pixels, or fractions when all <= 1"
    )
    ignore: Polygons = Field((), description="never report inside these polygons, written as TILE_ROI")
    gate: Literal["off", "motion"] = Field(
        "off",
        description="motion: infer only tiles where something moves, elsewhere the last boxes stand; for fixed cameras",
    )
    refresh_seconds: float = Field(
        5.0, gt=0, le=3600, description="with TILE_GATE: every tile is inferred at least so often, seconds"
    )
    gate_levels: float = Field(
        3.0,
        ge=0.5,
        le=64,
        description="with TILE_GATE: change of the mean of 8x8 pixels that counts, levels of 255; less sees fainter",
    )

    @model_validator(mode="after")
    def _overlap_below_size(self) -> Self:
        if self.overlap > self.size // 2:
            message = f"TILE_OVERLAP={self.overlap} is more than half of TILE_SIZE={self.size}"
            raise ValueError(message)
        return self


class MergeSettings(Section):
    """How the boxes of overlapping tiles become one an object."""

    model_config = SettingsConfigDict(env_prefix="MERGE_")
    method: Literal["seam", "nms", "ios"] = Field(
        "seam",
        description="seam: rebuild what tiles cut; nms, ios: only drop boxes that overlap a surer one by more than "
        "IOU_THRESHOLD of their union or of the smaller one",
    )
    class_agnostic: bool = Field(default=False, description="true: boxes of different classes can be one object")


class TrackSettings(Section):
    """How objects keep their identity (ByteTrack)."""

    model_config = SettingsConfigDict(env_prefix="TRACK_")
    high: float | None = Field(
        None, ge=0, le=1, description="score of boxes matched first; unset: CONFIDENCE_THRESHOLD"
    )
    low: float = Field(0.1, ge=0.01, le=1, description="lowest score of boxes that may continue a track")
    new: float | None = Field(
        None, ge=0, le=1, description="score from which a box starts a track; unset: CONFIDENCE_THRESHOLD"
    )
    match: float = Field(
        0.8, gt=0, le=1, description="matching limit: 1 - IoU x score up to which box and track belong together"
    )
    buffer_seconds: float = Field(1.5, ge=0, le=3600, description="seconds a lost track waits to be found again")
    mode: Literal["default", "parity"] = Field(
        "default", description="parity: exactly what the published tracker gives, frame by frame, whatever the time"
    )
    flavour: Literal["ultralytics", "original"] = Field(
        "ultralytics", description="whose ByteTrack parity mode reproduces"
    )
    id_scope: Literal["video", "camera"] = Field(
        "video",
        description="video: ids count from 1 in every video; camera: the videos of one run are segments of one camera "
        "in this order, ids go on from one to the next, and tracks too where the timestamps do",
    )
    buffer_frames: int = Field(
        30, ge=0, le=100_000, description="frames a lost track waits in parity mode, which knows no time"
    )


class TrackingSettings(Section):
    """Whether objects keep their identity and their class at all."""

    enable_tracking: bool = Field(default=True, description="false: boxes only, no ids")
    track_class: Literal["lock", "free"] = Field(
        "lock",
        description="lock: an object is of the class with the largest sum of scores over its life; "
        "free: of its last box's class, as always in parity mode",
    )


class OutputSettings(Section):
    """What is written."""

    model_config = SettingsConfigDict(env_prefix="OUTPUT_")
    formats: Annotated[tuple[Format, ...], NoDecode, BeforeValidator(_split)] = Field(
        ("video", "jsonl", "mot", "csv", "overview"),
        description="of video, jsonl, mot, csv, coco, parquet, overview; the manifest is always written",
        min_length=1,
    )


class VideoSettings(Section):
    """The annotated video."""

    model_config = SettingsConfigDict(env_prefix="VIDEO_")
    codec: Literal["auto", "libx264", "libx265", "h264_nvenc", "nvv4l2h264enc", "h264_v4l2m2m"] = Field(
        "auto", description="encoder; auto takes the first that works, software H.264 last"
    )
    quality: int = Field(23, ge=0, le=51, description="constant rate factor: lower is better and larger")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = Field(
        "superfast", description="software encoder's trade of speed for size"
    )


class DrawSettings(Section):
    """What is drawn on the annotated video."""

    model_config = SettingsConfigDict(env_prefix="DRAW_")
    boxes: bool = Field(default=True, description="draw boxes")
    labels: bool = Field(default=True, description="draw class, score and id at the boxes")
    debug: bool = Field(default=False, description="draw the tiles, and why each was inferred or not")
    trail_seconds: float = Field(0.0, ge=0, le=60, description="seconds of each track's path drawn behind it; 0: none")


class QueueSettings(Section):
    """Capacity of the channels between the stages, items: together they bound the memory."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_")
    decoded: int = Field(3, ge=1, le=1000, description="frames waiting to be cut")
    tiled: int = Field(2, ge=1, le=1000, description="tile batches waiting for the engine")
    inferred: int = Field(2, ge=1, le=1000, description="raw heads waiting to be merged and tracked")
    tracked: int = Field(4, ge=1, le=1000, description="results waiting to be drawn and encoded")


class CheckpointSettings(Section):
    """What of the service's work survives a crash."""

    model_config = SettingsConfigDict(env_prefix="CHECKPOINT_")
    seconds: float = Field(
        30.0, ge=1, le=3600, description="seconds of video after which what is done of it is kept for good"
    )


class ServiceSettings(Section):
    """How the program ends, and when it is taken for hung."""

    drain_seconds: float = Field(
        25.0,
        ge=0,
        le=3600,
        description="seconds to finish what is in work after a stop signal; a second signal ends at once",
    )
    stall_seconds: float = Field(
        45.0, ge=1, le=86400, description="seconds one stage may hold one item before it counts as hung"
    )


class DiskSettings(Section):
    """How the output volume is kept from running full."""

    model_config = SettingsConfigDict(env_prefix="DISK_")
    reserve: ByteSize = Field(
        ByteSize(1_000_000_000),
        ge=0,
        description="room on the output volume below which no new video is begun, e.g. 2GB",
    )


class LimitSettings(Section):
    """How much is in work at once, and guards against bad input."""

    model_config = SettingsConfigDict(env_prefix="MAX_")
    streams: int = Field(
        1,
        ge=1,
        le=64,
        description="videos in work at once over one engine; memory grows with it, by the QUEUE_* of each",
    )
    attempts: int = Field(
        3, ge=1, le=1000, description="a video that has ended the program so many times is set aside as failed"
    )
    frame_pixels: int = Field(
        7680 * 4320, ge=64 * 64, description="largest picture that is decoded, pixels; checked before memory is taken"
    )


class LogSettings(Section):
    """What is said, and how."""

    model_config = SettingsConfigDict(env_prefix="LOG_")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe event that is logged")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: readable on a terminal, JSON otherwise"
    )
    dir: Path | None = Field(
        None,
        description="folder for a copy of the log as JSON lines in rotated files; unset: none (/logs in the image)",
    )
    max_bytes: int = Field(
        10_000_000, ge=10_000, description="size at which a log file is set aside and a new one begun, bytes"
    )
    keep: int = Field(5, ge=1, le=1000, description="log files kept beside the one in use; older ones are removed")


class MetricsSettings(Section):
    """Metrics, health, status and the status page, by HTTP."""

    model_config = SettingsConfigDict(env_prefix="METRICS_")
    port: int = Field(9464, ge=0, le=65535, description="port of the ops endpoints; 0: none")
    host: str = Field(
        "127.0.0.1", min_length=1, description="address they listen on (0.0.0.0 in the image); :: is IPv6 and IPv4"
    )
    target_fps: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="frames a second the service should manage while it has work: less raises an alert; 0: any will do",
    )
    token: SecretStr | None = Field(
        None, min_length=8, description="demanded by all of them but /healthz, as bearer token or log-in password"
    )


class Settings(BaseModel):
    """All sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: PathSettings
    watch: WatchSettings
    source: SourceSettings
    stream: StreamSettings
    decode: DecodeSettings
    model: ModelSettings
    batch: BatchSettings
    detect: DetectSettings
    tile: TileSettings
    merge: MergeSettings
    tracking: TrackingSettings
    track: TrackSettings
    output: OutputSettings
    video: VideoSettings
    draw: DrawSettings
    queue: QueueSettings
    checkpoint: CheckpointSettings
    service: ServiceSettings
    disk: DiskSettings
    limit: LimitSettings
    log: LogSettings
    metrics: MetricsSettings

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> Self:
        if self.track.low > self.track_high:
            message = (
                f"TRACK_LOW={self.track.low} is above the score of boxes matched first ({self.track_high}): lower it"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _lost_before_hung(self) -> Self:
        lost, hung = self.stream.timeout_seconds, self.service.stall_seconds
        if self.source.sources and lost * 2 > hung:
            message = f"STREAM_TIMEOUT_SECONDS={lost:g} is more than half of STALL_SECONDS={hung:g}: lower it"
            raise ValueError(message)
        return self

    @property
    def track_high(self) -> float:
        """Score of boxes matched first."""
        return self.detect.confidence_threshold if self.track.high is None else self.track.high

    @property
    def track_new(self) -> float:
        """Score from which a box starts a track."""
        return self.detect.confidence_threshold if self.track.new is None else self.track.new

    @property
    def score_floor(self) -> float:
        """Lowest score the heads have to keep."""
        low = min(self.track.low, self.detect.confidence_threshold)
        return low if self.tracking.enable_tracking else self.detect.confidence_threshold


def sections() -> dict[str, type[Section]]:
    """Return the section classes by their name in Settings."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: cls for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, Section)}


def env_names() -> dict[str, tuple[str, str, FieldInfo]]:
    """Return, for every environment name, its section, field and definition, in the order of this file."""
    return {
        cls.env_name(name): (section, name, field)
        for section, cls in sections().items()
        for name, field in cls.model_fields.items()
    }


ENV_FILE = Path(".env")
"""The settings file that is read where none is named."""


def present(path: Path = ENV_FILE) -> Path | None:
    """Return a settings file if it is there; one that cannot be looked at counts as there: `load` says why."""
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass
    return path


def load(*, overrides: Mapping[str, object] | None = None, env_file: Path | None = None) -> Settings:
    """Build the settings once.

    Args:
        overrides: values by environment name that win over everything (the command line's).
        env_file: a `.env` file to read as well, below the environment; it must hold nothing but known names.

    Raises:
        ConfigError: an unknown name in the file, or a value out of bounds; says which, and what is allowed.
    """
    if env_file:
        _check_names(env_file)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**{name: _section(cls, given, env_file) for name, cls in sections().items()})
    except ValidationError as error:
        raise ConfigError(_message(error.errors(include_url=False)[0]["msg"])) from None


def _section(cls: type[Section], given: Mapping[str, object], env_file: Path | None) -> Any:  # noqa: ANN401
    """Build one section; Any, since the caller fits it to the field of that name."""
    values = {field: given[cls.env_name(field)] for field in cls.model_fields if cls.env_name(field) in given}
    try:
        return cls(_env_file=env_file, **values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(_explain(cls, error)) from None


def _check_names(path: Path) -> None:
    """Refuse a `.env` file that cannot be read or holds an unknown name."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            names = list(dotenv_values(stream=stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the settings file cannot be read ({error}): {_remedy(path)}") from error
    known = env_names()
    for name in names:
        if name.upper() not in known and not _is_foreign(name, known):
            raise ConfigError(f"{path}: unknown setting {name}{_nearest(name, known)}")


def _remedy(path: Path) -> str:
    """Return what to do about a file that cannot be read: it may not be the file that is in the way."""
    closed = next((folder for folder in reversed(path.absolute().parents) if not os.access(folder, os.X_OK)), None)
    if closed is None or not closed.is_dir():
        return "mend or remove it"
    return f"user {os.getuid()} may not enter {closed}: run `chmod a+rx` on that folder, on the host if it is mounted"


def _is_foreign(name: str, known: Mapping[str, object]) -> bool:
    """Tell whether a name is of the tools beside tilewatch, and not one of ours behind a needless prefix."""
    return name.startswith(FOREIGN_PREFIXES) and name.removeprefix("TILEWATCH_") not in known


def _nearest(name: str, known: Mapping[str, object]) -> str:
    """Return ': did you mean X?' for the most similar known name, or a pointer to the list."""
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ": see docs/CONFIGURATION.md for the names"


def _explain(cls: type[Section], error: ValidationError) -> str:
    """Return pydantic's first complaint as one line that names the setting, the value (no secret) and the bound."""
    first = error.errors(include_url=False)[0]
    message = _message(first["msg"])
    if not first["loc"]:
        return message
    field = str(first["loc"][0])
    secret = "SecretStr" in str(cls.model_fields[field].annotation) or not cls.model_fields[field].repr
    return f"{cls.env_name(field)}={'***' if secret else first['input']}: {message}"


def _message(text: str) -> str:
    """Return pydantic's text without its preamble."""
    text = text.removeprefix("Value error, ")
    return text if text.split("=")[0].isupper() else f"{text[0].lower()}{text[1:]}"
