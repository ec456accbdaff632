"""Frames, boxes and times of a source, in memory that does not grow with its frames."""

import math
import shutil
import sys
import time

import numpy as np

STEPS = ("decode", "pre", "infer", "post", "draw", "encode")
BIN = 1.01  # ratio of the ends of a bin: latencies are kept to one percent
BINS = 2000  # from a microsecond to minutes
FIRST_MS = 1e-3
EVERY_S = 0.2  # between two updates of the live lines


class RunStats:
    """Counts frames, the times of their steps, and their latencies in a histogram.

    Args:
        total: number of frames to come, if it is known.

    Attributes:
        dropped: frames that newer ones overtook.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total, self.began = total, time.perf_counter()
        self.latest = self.began
        self.frames = self.inferred = self.found = self.dropped = 0
        self.totals_ms = dict.fromkeys(STEPS, 0.0)
        self.latencies = np.zeros(BINS, np.int64)

    def add(self, steps_ms: dict[str, float], latency_ms: float | None, found: int) -> None:
        """Count a frame.

        Args:
            steps_ms: time of each step; missing ones took none.
            latency_ms: from the decoded frame to its boxes; None for a frame that did not go
                through the model.
            found: number of boxes.
        """
        self.frames, self.latest = self.frames + 1, time.perf_counter()
        self.found += found
        for step, ms in steps_ms.items():
            self.totals_ms[step] = self.totals_ms.get(step, 0.0) + ms
        if latency_ms is None:
            return
        self.inferred += 1
        place = math.log(max(latency_ms, FIRST_MS) / FIRST_MS) / math.log(BIN)
        self.latencies[min(int(place), BINS - 1)] += 1

    @property
    def fps(self) -> float:
        """Frames per second, from the start to the latest frame."""
        return self.frames / max(self.latest - self.began, 1e-9)

    def latency_ms(self, percent: float) -> float:
        """Return the latency that this percentage of the frames does not exceed, to one percent."""
        up_to = np.cumsum(self.latencies)
        place = int(np.searchsorted(up_to, max(1, math.ceil(self.inferred * percent / 100))))
        return FIRST_MS * BIN ** (place + 0.5)

    def table(self) -> str:
        """Return the closing table of a single source. Steps overlap: together they may exceed the
        time of a frame."""
        steps = ", ".join(f"{step} {ms / self.frames:.2f}" for step, ms in self.totals_ms.items())
        p50, p99 = self.latency_ms(50), self.latency_ms(99)
        part = f", {self.inferred} of them went through the model"
        return (
            f"{self.frames} frames with {self.found} boxes in {self.latest - self.began:.1f} s: "
            f"{self.fps:.1f} FPS end to end"
            f"{part if self.inferred < self.frames else ''}\n"
            f"ms per frame: {steps}\n"
            f"latency, decoded frame to boxes: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )

    def progress(self) -> str:
        """Return the live line."""
        line = f"{self.frames} frames"
        if self.total and self.frames:
            left_s = max(0, self.total - self.frames) / self.fps
            bar = "#" * round(20 * min(1.0, self.frames / self.total))
            line = f"[{bar:<20}] {self.frames}/{self.total} frames, {left_s:.0f} s left"
        line += f", {self.fps:.1f} FPS, {self.dropped} dropped"
        if not self.inferred:
            return line
        return f"{line}, p50 {self.latency_ms(50):.1f} ms, p99 {self.latency_ms(99):.1f} ms"


def table_of_sources(stats: dict[str, RunStats]) -> str:
    """Return the closing table of several sources, by their labels; a source has one row."""
    columns = "source", "frames", "FPS", "dropped", "inferred", "boxes", "p50 ms", "p99 ms"
    rows = [columns]
    for label, one in stats.items():
        numbers = one.frames, f"{one.fps:.1f}", one.dropped, one.inferred, one.found
        rows.append((label, *numbers, f"{one.latency_ms(50):.1f}", f"{one.latency_ms(99):.1f}"))
    widths = [max(len(str(row[n])) for row in rows) for n in range(len(columns))]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


class Progress:
    """The live lines on stderr, one for each source, if that is a terminal.

    Args:
        stats: by the label of a source.
    """

    def __init__(self, stats: dict[str, RunStats]):
        self.stats, self.shown_at = stats, 0.0

    def show(self) -> None:
        """Rewrite the lines, a few times a second."""
        now = time.perf_counter()
        if not sys.stderr.isatty() or now - self.shown_at < EVERY_S:
            return
        up = f"\033[{len(self.stats) - 1}A" if self.shown_at and len(self.stats) > 1 else ""
        self.shown_at = now
        # A line that the terminal breaks would be two when the cursor goes up.
        columns = shutil.get_terminal_size().columns - 1
        lines = [
            f"{f'{label}: ' if len(self.stats) > 1 else ''}{one.progress()}"[:columns] + "\033[K"
            for label, one in self.stats.items()
        ]
        print(f"\r{up}" + "\n".join(lines), end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the lines as they are."""
        if self.shown_at:
            print(file=sys.stderr)
