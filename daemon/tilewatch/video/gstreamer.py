"""A GStreamer pipeline in a process of its own, fed and read through pipes.

The hardware codecs of a Jetson are GStreamer elements (nvv4l2decoder). A driver that hangs or crashes does so over
there: it is noticed by its silence or its end, and the process is killed.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from tilewatch.video import gdp

if TYPE_CHECKING:
    from collections.abc import Sequence

LAUNCH = "gst-launch-1.0"
PATIENCE_SECONDS = 20.0
"""Longest wait for a sign of life while there is something to do; the first start looks through all plugins."""
REAP_SECONDS = 2.0
PIPE_BYTES = 1 << 20
"""Room in the pipe of the pictures, as far as the system gives it."""
LAST_WORDS = 400


class PipelineError(Exception):
    """A pipeline cannot be started, has ended, or gives no sign of life; its text says why."""


class Child:
    """One pipeline: buffers in, buffers out, in its own time. Blocking; not thread-safe.

    Args:
        elements: of the pipeline, as gst-launch-1.0 takes them, without its ends.
        caps: what is sent, in GStreamer's words.
        patience: longest silence, seconds.

    Raises:
        PipelineError: GStreamer is not installed.
    """

    def __init__(self, elements: Sequence[str], caps: str, *, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._reader = gdp.Reader()
        self._came: deque[gdp.Buffer] = deque()
        self._words = b""
        self._ended = False
        self._process, self._pictures = _launch(elements)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._feed = self._process.stdin.fileno()
        self._talk = self._process.stdout.fileno()
        self._poll = select.poll()
        for pipe in (self._feed, self._talk, self._pictures):
            os.set_blocking(pipe, False)
        for pipe in (self._talk, self._pictures):
            self._poll.register(pipe, select.POLLIN)
        self._write(memoryview(gdp.opening(caps)))

    def send(self, pieces: Sequence[memoryview], pts: int) -> None:
        """Hand over a buffer, which may come in pieces; `pts` in nanoseconds.

        Raises:
            PipelineError: the pipeline has ended, or gives no sign of life.
        """
        self._write(memoryview(gdp.header_of(sum(piece.nbytes for piece in pieces), pts)))
        for piece in pieces:
            self._write(piece)

    def take(self) -> list[gdp.Buffer]:
        """Return what has come out by now; raises as `send`."""
        while self._turn(0):
            pass
        if self._ended:
            raise PipelineError(self._why())
        return self._taken()

    def give_back(self, buffer: gdp.Buffer) -> None:
        """Let the memory of a buffer that nobody looks at any more be used again."""
        self._reader.give_back(buffer)

    def finish(self) -> list[gdp.Buffer]:
        """Say that there is no more, and return what still comes out; raises as `send`."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        while not self._ended:
            if not self._turn(self._patience):
                self._give_up()
        try:
            code = self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._give_up()
        else:
            if code:
                raise PipelineError(self._why())
        return self._taken()

    def close(self) -> None:
        """End the process, whatever it does; never raises. Idempotent."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in its driver: left to the system
            self._process.wait(REAP_SECONDS)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        if self._pictures >= 0:
            os.close(self._pictures)
            self._pictures = -1

    def _write(self, left: memoryview) -> None:
        """Write some bytes, reading meanwhile: two full pipes would wait for each other."""
        self._poll.register(self._feed, select.POLLOUT)
        try:
            while left:
                written = self._written(left)
                left = left[written:]
                if not written and not self._turn(self._patience):
                    self._give_up()
                if self._ended:
                    raise PipelineError(self._why())
        finally:
            self._poll.unregister(self._feed)

    def _written(self, data: memoryview) -> int:
        try:
            return os.write(self._feed, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise PipelineError(self._why()) from None

    def _turn(self, seconds: float) -> bool:
        """Wait for the pipes and read what they have; False when there was nothing in that time."""
        ready = self._poll.poll(seconds * 1000)
        for pipe, _ in ready:
            if pipe != self._feed:
                self._read(pipe)
        return any(pipe != self._feed or seconds for pipe, _ in ready)

    def _read(self, pipe: int) -> None:
        if pipe == self._talk:
            words = os.read(pipe, LAST_WORDS)
            self._words = (self._words + words)[-LAST_WORDS:]
            count = len(words)
        else:
            count = os.readv(pipe, [self._reader.room()])
            self._ended = not count
            self._take_in(count)
        if not count:
            self._poll.unregister(pipe)

    def _take_in(self, count: int) -> None:
        try:
            buffer = self._reader.filled(count) if count else None
        except ValueError as error:
            raise PipelineError(str(error)) from None
        if buffer:
            self._came.append(buffer)

    def _taken(self) -> list[gdp.Buffer]:
        taken = list(self._came)
        self._came.clear()
        return taken

    def _give_up(self) -> None:
        self.close()
        raise PipelineError(f"GStreamer gave no answer for {self._patience:g} s and was ended")

    def _why(self) -> str:
        """Return why the process has ended, as far as it told."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_SECONDS)
        with suppress(OSError, PipelineError):
            while self._poll.poll(0) and self._pictures >= 0:
                data = os.read(self._talk, LAST_WORDS)
                self._words = (self._words + data)[-LAST_WORDS:]
                if not data:
                    break
        lines = [line for line in self._words.decode(errors="replace").splitlines() if line.strip()]
        said = next((line for line in lines if "ERROR" in line or "erroneous" in line), lines[-1] if lines else "")
        return f"GStreamer ended with {self._process.returncode}: {said.strip() or 'it said nothing'}"


def _launch(elements: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start the process and return it with the pipe its buffers come out of."""
    pictures, far_end = os.pipe()
    with suppress(OSError):  # a system may give less: it is slower then
        fcntl.fcntl(pictures, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    source, sink = ["fdsrc", "fd=0", "!", "gdpdepay"], ["gdppay", "!", "fdsink", f"fd={far_end}", "sync=false"]
    command = [LAUNCH, "-q", "-f", *source, "!", *elements, "!", *sink]
    try:
        process = subprocess.Popen(  # noqa: S603 the elements are ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(far_end,),
            start_new_session=True,  # an interrupt of the terminal is for us to pass on
        )
    except OSError as error:
        os.close(pictures)
        raise PipelineError(
            f"{LAUNCH} cannot be run ({error.strerror}): install gstreamer1.0-tools and gstreamer1.0-plugins-bad"
        ) from None
    finally:
        os.close(far_end)
    return process, pictures


def rows_of(width: int, height: int) -> list[tuple[int, int]]:
    """Return number and bytes of the rows of each plane of I420, as gst_video_info_set_format lays them out."""
    luma_row, rows = _up(width, 4), _up(height, 2)
    chroma_row = _up(_up(width, 2) // 2, 4)
    return [(rows, luma_row), (rows // 2, chroma_row), (rows // 2, chroma_row)]


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
