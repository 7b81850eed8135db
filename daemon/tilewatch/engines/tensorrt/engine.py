"""The engine: frames go up once, two calls are in flight on two streams, candidates come down.

`cut` only brings a frame's planes to the device; which call its tiles end up in is known at `submit`, and there the
kernel cuts them straight into the call's input. So a frame is uploaded once, its pixels are never copied on the device,
and one launch serves all tiles of a frame that go into one call.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from tilewatch.engines import graft, graph
from tilewatch.engines.base import EngineInfo, Feeding
from tilewatch.engines.cuda import device as devices
from tilewatch.engines.cuda.binding import DeviceMemoryError, load
from tilewatch.engines.cuda.frames import FramePool, FrameSlot
from tilewatch.engines.cuda.kernels import Kernels
from tilewatch.engines.cuda.memory import DeviceBuffer
from tilewatch.engines.metadata import Metadata
from tilewatch.engines.model_engine import ModelEngine
from tilewatch.engines.recognise import recognise
from tilewatch.engines.tensorrt.candidates import PickedHead, layout_of
from tilewatch.engines.tensorrt.gpu import Gpu
from tilewatch.engines.tensorrt.plan import UNKNOWN_PRECISION, engine_file, read_plan
from tilewatch.engines.tensorrt.runner import Run, Runner, Shape
from tilewatch.errors import ConfigError, EngineError
from tilewatch.records import Frame, Tiles
from tilewatch.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.engines.base import Slot
    from tilewatch.engines.heads import Head
    from tilewatch.engines.options import EngineOptions
    from tilewatch.engines.tensorrt.plan import Plan
    from tilewatch.records import F32

RUNNERS = 2
"""Calls in flight: one computes while the results of the other one are fetched and the next one is put in."""
FIRST_FLOOR = 1e-3
"""Score below which candidates are left out until somebody says otherwise."""
GREY, NEUTRAL = 114, 128
"""Luma and chroma of the warm-up's frame."""
logger = log.logger("tensorrt")


class TensorRtEngine(ModelEngine):
    """One model on an NVIDIA device through TensorRT."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self._floor = FIRST_FLOOR
        self._owned = ExitStack()
        self._gpu: Gpu | None = None
        self._plan: Plan | None = None
        self._pool: FramePool | None = None
        self._shape: Shape | None = None
        self._runners: list[Runner] = []
        self._idle: deque[Runner] = deque()
        self._running: deque[Runner] = deque()

    def set_floor(self, score: float) -> None:
        """Leave out what scores below, from the next submit on."""
        self._floor = score

    def open(self) -> None:
        """Find the device, load the engine file onto it, compile the kernels."""
        device = devices.probe()
        cuda = load()
        devices.use(cuda)
        with ExitStack() as owned:
            plan = read_plan(engine_file(self.options.model, device), self.options, device)
            kernels = Kernels(cuda, device)
            owned.callback(kernels.close)
            self._gpu, self._plan = Gpu(cuda, device, kernels), plan
            facts, head = _recognised(plan, self.options)
            convention = graft.convention(head, facts)
            table = _table(convention, half=plan.half)
            there = DeviceBuffer(cuda, len(table))
            owned.callback(there.close)
            there.fill(table)
            self._pool = FramePool(cuda, integrated=device.integrated)
            owned.callback(self._pool.close)
            batch = max(min(self.options.batch, plan.most), plan.least)
            self._shape = Shape(self.options.size, batch, graft.INPUTS[convention].bgr, there.address)
            self._owned = owned.pop_all()
        self._facts = self._info(plan, facts, head), Feeding(batch=batch, in_flight=RUNNERS), head

    def _info(self, plan: Plan, facts: Metadata, head: Head) -> EngineInfo:
        card, named = plan.card, self.options.model != plan.path
        device = self._opened().device
        return EngineInfo(
            backend="tensorrt",
            backend_version=plan.trt.__version__,
            device=f"{device.name} (compute capability {device.capability}, CUDA {device.driver})",
            precision=card.precision if card else UNKNOWN_PRECISION,
            precision_reason="the engine was built so" if card else "the engine has no card that tells",
            model_path=str(self.options.model),
            model_sha256=card.model_sha256 if card and named else plan.sha256,
            names=facts.names,
            input_size=self.options.size,
            head=head.name,
        )

    def _opened(self) -> Gpu:
        if self._gpu is None:
            raise EngineError("the engine is closed")
        return self._gpu

    def warm_up(self) -> None:
        """Run full batches through every runner, settle the head, and let the device pick from then on.

        Where the device's memory is short, one call in flight is taken, then smaller batches, and said so.
        """
        info, feeding, head = self._known()
        fitted, settled = self._fitted(Feeding(batch=feeding.batch, in_flight=RUNNERS), head)
        self._facts = replace(info, head=settled.name), fitted, settled

    def _fitted(self, feeding: Feeding, head: Head) -> tuple[Feeding, Head]:
        """Return what there is memory for, and the settled head."""
        try:
            return feeding, self._filled(feeding, head)
        except DeviceMemoryError as error:
            self._drop_runners()
            smaller = self._smaller(feeding, error)
            if smaller is None:
                raise
        return self._fitted(smaller, head)

    def _smaller(self, feeding: Feeding, error: DeviceMemoryError) -> Feeding | None:
        """Return what needs less: a call less first, since halving need not make what TensorRT works in any smaller."""
        if feeding.in_flight > 1:
            logger.warning("in_flight_reduced", asked=feeding.in_flight, taken=1, error=str(error))
            return replace(feeding, in_flight=1)
        half = feeding.batch // 2
        if half < max(1, self._plan.least if self._plan else 1):
            return None
        logger.warning("batch_reduced", asked=feeding.batch, taken=half, error=str(error))
        return replace(feeding, batch=half)

    def _filled(self, feeding: Feeding, head: Head) -> Head:
        """Make the runners, exercise them, and return the head to read their results by."""
        gpu, plan, shape, pool = self._opened(), self._plan, self._shape, self._pool
        assert plan is not None  # noqa: S101 -- open with the device, as the next two
        assert shape is not None  # noqa: S101
        assert pool is not None  # noqa: S101
        self._drop_runners()
        batch, runners = feeding.batch, feeding.in_flight
        for _ in range(runners):
            runner = Runner(gpu, plan, shape._replace(batch=batch))
            self._runners.append(runner)
            self._idle.append(runner)
        slot = pool.put(*_grey(self.options.size, batch))
        settled = self._settled(head, slot)
        for _ in range(2 * runners):  # every runner records its graph, and launches it
            self.submit([(slot, row) for row in range(batch)])
            self.collect()
        pool.give(slot)
        return settled

    def _settled(self, head: Head, slot: FrameSlot) -> Head:
        """Settle the head on the model's own outputs; if the device can pick for it, let it do so."""
        runner = self._runners[0]
        runner.start([Run(slot, 0, slot.count)], self._floor)
        try:
            settled = head.settle(runner.finish())
        except ConfigError as error:
            raise ConfigError(f"model {self.options.model}: {error}") from error
        output = runner.outputs[0]
        layout = layout_of(settled, output.item) if output.known and output.dtype == np.float32 else None
        if layout is None:
            return settled
        for each in self._runners:
            each.pick(layout)
        return PickedHead(settled)

    def cut(self, frame: Frame, tiles: Tiles) -> FrameSlot:
        """Bring a frame's planes to the device, in one copy; from any thread, waits for nothing.

        The device is the first one, which is every thread's own unless it says otherwise.
        """
        if self._pool is None:
            raise EngineError("the engine is closed")
        return self._pool.put(frame, tiles)

    def submit(self, parts: Sequence[tuple[Slot, int]]) -> None:
        """Cut the tiles into a call's input and start it."""
        self._opened()
        most = self._runners_batch()
        if not 0 < len(parts) <= most:
            raise EngineError(f"{len(parts)} tiles in one submit: the engine takes 1 to {most}")
        if not self._idle:
            raise EngineError(f"{len(self._running)} calls are in flight already: collect one first")
        runs = runs_of(parts)
        runner = self._idle.popleft()
        self._running.append(runner)
        runner.start(runs, self._floor)

    def _runners_batch(self) -> int:
        return self._runners[0].batch if self._runners else self.feeding.batch

    def collect(self) -> tuple[F32, ...]:
        """Wait for the oldest call, GIL released, and return its candidates, or the model's own outputs."""
        if not self._running:
            raise EngineError("nothing is in flight")
        runner = self._running.popleft()
        self._idle.append(runner)
        return runner.finish()

    def release(self, slot: Slot) -> None:
        """Give a frame's room back; from any thread."""
        if self._pool is not None:
            self._pool.give(_own(slot))

    def _drop_runners(self) -> None:
        self._idle.clear()
        self._running.clear()
        while self._runners:
            self._runners.pop().close()

    def close(self) -> None:
        """Wait for what is in flight and free the device. Idempotent."""
        try:
            while self._running:
                self.collect()
        finally:
            with ExitStack() as last:
                last.callback(self._forget)
                last.callback(self._owned.close)
                last.callback(self._drop_runners)

    def _forget(self) -> None:
        """Let go of TensorRT's objects, which free themselves."""
        self._gpu = self._plan = self._pool = self._shape = None


def runs_of(parts: Sequence[tuple[Slot, int]]) -> list[Run]:
    """Return the tiles of a submit as runs of neighbours in one slot: a launch each."""
    runs: list[Run] = []
    for slot, row in parts:
        last = runs[-1] if runs else None
        if last is not None and last.slot is slot and last.first + last.tiles == row:
            runs[-1] = last._replace(tiles=last.tiles + 1)
        else:
            runs.append(Run(_own(slot), row, 1))
    return runs


def _own(slot: Slot) -> FrameSlot:
    if not isinstance(slot, FrameSlot):
        raise EngineError(f"{type(slot).__name__} is not a slot of this engine")
    return slot


def _recognised(plan: Plan, options: EngineOptions) -> tuple[Metadata, Head]:
    """Return what is known of the model, and its head, not yet settled."""
    card = plan.card
    facts = Metadata(
        names=card.names if card else (),
        head=card.head.split()[0] if card else None,
        input=card.normalisation if card else None,
    )
    shapes = {output.name: [None if side < 0 else side for side in output.shape] for output in plan.outputs}
    try:
        head = recognise(shapes, facts, options.size, options.head)
        names = graph.class_names(options.names, facts.names, head.classes)
    except ConfigError as error:
        raise ConfigError(f"engine {plan.path}: {error}") from error
    return replace(facts, names=names), head


def _table(convention: str, *, half: bool) -> bytes:
    """Return (3, 256): what every byte of a plane becomes in the engine's input."""
    scaled = np.arange(256, dtype=np.float32) * np.float32(graft.INPUTS[convention].scale)
    return np.tile(scaled.astype(np.float16 if half else np.float32), 3).tobytes()


def _grey(size: int, batch: int) -> tuple[Frame, Tiles]:
    """Return a grey frame and as many tiles of it as a batch has."""
    half = (size // 2, size // 2)
    frame = Frame(
        stream="warm-up", index=0, pts=0, time_base=Fraction(1), captured_ns=0, width=size, height=size,
        y=np.full((size, size), GREY, np.uint8), u=np.full(half, NEUTRAL, np.uint8),
        v=np.full(half, NEUTRAL, np.uint8), full_range=True, matrix="bt709", keyframe=True,
    )  # fmt: skip
    tiles = Tiles(
        rects=np.tile(np.array([0, 0, size, size], np.int32), (batch, 1)),
        inner=np.zeros((batch, 4), np.bool_),
        fitted=np.full((batch, 2), size, np.int32),
        scale=np.ones(batch, np.float32),
        full_frame=np.zeros(batch, np.bool_),
    )
    return frame, tiles
