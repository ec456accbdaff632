"""What a run did and how long each step took, in memory that does not grow with its frames."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

STEPS = ("decode", "pre", "infer", "post", "draw", "encode")
BIN = 1.01  # a latency is known to one percent
BINS = 2000  # from a microsecond to minutes
FIRST_MS = 1e-3
RECENT = 60  # frames that the shown rate is the mean of


@contextmanager
def timed(steps_ms: dict[str, float], step: str) -> Iterator[None]:
    """Notes how many milliseconds a block took."""
    started = time.perf_counter()
    yield
    steps_ms[step] = (time.perf_counter() - started) * 1e3


class Rate:
    """Frames a second over the last frames."""

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=RECENT)

    def tick(self) -> float | None:
        """Counts a frame; the rate, from the second frame on."""
        self.times.append(time.perf_counter())
        passed = self.times[-1] - self.times[0]
        return (len(self.times) - 1) / passed if passed > 0 else None


class RunStats:
    """Frames, times of their steps and their latencies."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.frames = self.found = 0
        self.totals_ms = dict.fromkeys(STEPS, 0.0)
        self.latencies = np.zeros(BINS, np.int64)

    def add(self, steps_ms: dict[str, float], latency_ms: float, found: int) -> None:
        """Counts a frame.

        Args:
            steps_ms: how long the steps took; those that are missing took no time.
            latency_ms: from the decoded frame to its boxes.
            found: how many boxes.
        """
        self.frames += 1
        self.found += found
        for step, ms in steps_ms.items():
            self.totals_ms[step] += ms
        place = math.log(max(latency_ms, FIRST_MS) / FIRST_MS) / math.log(BIN)
        self.latencies[min(int(place), BINS - 1)] += 1

    def latency_ms(self, percent: float) -> float:
        """The latency that this share of the frames does not exceed, to one percent."""
        up_to = np.cumsum(self.latencies)
        place = int(np.searchsorted(up_to, max(1, math.ceil(self.frames * percent / 100))))
        return FIRST_MS * BIN ** (place + 0.5)

    def table(self) -> str:
        """The closing table. Steps overlap: together they may take longer than a frame does."""
        seconds = time.perf_counter() - self.began
        lines = [
            f"{self.frames} frames with {self.found} boxes in {seconds:.1f} s: "
            f"{self.frames / seconds:.1f} FPS end to end"
        ]
        steps = [f"{step} {ms / self.frames:.2f}" for step, ms in self.totals_ms.items()]
        lines.append(f"ms per frame: {', '.join(steps)}")
        p50, p99 = self.latency_ms(50), self.latency_ms(99)
        lines.append(f"latency, decoded frame to boxes: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        return "\n".join(lines)
