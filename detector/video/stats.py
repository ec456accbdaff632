"""Frames, boxes and times of a run, in memory that does not grow with its frames."""

import math
import sys
import time

import numpy as np

STEPS = ("decode", "pre", "infer", "post", "draw", "encode")
BIN = 1.01  # ratio of the ends of a bin: latencies are kept to one percent
BINS = 2000  # from a microsecond to minutes
FIRST_MS = 1e-3
EVERY_S = 0.2  # between two updates of the progress line


class RunStats:
    """Counts frames, the times of their steps, and their latencies in a histogram.

    Args:
        total: number of frames to come, if it is known.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total, self.began, self.shown_at = total, time.perf_counter(), 0.0
        self.frames = self.found = 0
        self.totals_ms = dict.fromkeys(STEPS, 0.0)
        self.latencies = np.zeros(BINS, np.int64)

    def add(self, steps_ms: dict[str, float], latency_ms: float, found: int) -> None:
        """Count a frame.

        Args:
            steps_ms: time of each step; missing ones took none.
            latency_ms: from the decoded frame to its boxes.
            found: number of boxes.
        """
        self.frames += 1
        self.found += found
        for step, ms in steps_ms.items():
            self.totals_ms[step] += ms
        place = math.log(max(latency_ms, FIRST_MS) / FIRST_MS) / math.log(BIN)
        self.latencies[min(int(place), BINS - 1)] += 1

    def latency_ms(self, percent: float) -> float:
        """Return the latency that this percentage of the frames does not exceed, to one percent."""
        up_to = np.cumsum(self.latencies)
        place = int(np.searchsorted(up_to, max(1, math.ceil(self.frames * percent / 100))))
        return FIRST_MS * BIN ** (place + 0.5)

    def table(self) -> str:
        """Return the closing table. Steps overlap: together they may exceed the time of a frame."""
        seconds = time.perf_counter() - self.began
        steps = ", ".join(f"{step} {ms / self.frames:.2f}" for step, ms in self.totals_ms.items())
        p50, p99 = self.latency_ms(50), self.latency_ms(99)
        return (
            f"{self.frames} frames with {self.found} boxes in {seconds:.1f} s: "
            f"{self.frames / seconds:.1f} FPS end to end\n"
            f"ms per frame: {steps}\n"
            f"latency, decoded frame to boxes: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )

    def show_progress(self) -> None:
        """Rewrite the progress line on stderr, a few times a second, if that is a terminal."""
        now = time.perf_counter()
        if not sys.stderr.isatty() or now - self.shown_at < EVERY_S:
            return
        self.shown_at, fps = now, self.frames / (now - self.began)
        line = f"{self.frames} frames"
        if self.total:
            left_s = max(0, self.total - self.frames) / fps
            bar = "#" * round(20 * min(1.0, self.frames / self.total))
            line = f"[{bar:<20}] {self.frames}/{self.total} frames, {left_s:.0f} s left"
        print(f"\r{line}, {fps:.1f} FPS\033[K", end="", file=sys.stderr, flush=True)

    def end_progress(self) -> None:
        """Leave the progress line as it is."""
        if self.shown_at:
            print(file=sys.stderr)
