"""A line on the terminal that shows how far a run is."""

import sys
import time

from detector.video.stats import RunStats

EVERY_S = 0.2


class Progress:
    """Shows frames, rate and remaining time on stderr, where that is a terminal.

    Args:
        total: how many frames there will be, where that is known.
    """

    def __init__(self, total: int | None):
        self.total, self.shown_at = total, 0.0
        self.shown = False

    def show(self, stats: RunStats) -> None:
        """Rewrites the line, a few times a second."""
        now = time.perf_counter()
        if not sys.stderr.isatty() or now - self.shown_at < EVERY_S:
            return
        self.shown_at, self.shown = now, True
        fps = stats.frames / (now - stats.began)
        line = f"{stats.frames} frames"
        if self.total:
            left_s = max(0, self.total - stats.frames) / fps
            done = min(1.0, stats.frames / self.total)
            bar = "#" * round(20 * done)
            line = f"[{bar:<20}] {stats.frames}/{self.total} frames, {left_s:.0f} s left"
        print(f"\r{line}, {fps:.1f} FPS\033[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the line as it is."""
        if self.shown:
            print(file=sys.stderr)
