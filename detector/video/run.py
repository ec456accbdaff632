"""A run of the command `detect`: sources, models and outputs, from the first frame to the last."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from detector.runtime.detector import Detector
from detector.runtime.model_cache import default_cache_dir
from detector.video import sinks
from detector.video.channel import Channel, gates_of, open_channels, stride
from detector.video.pipeline import FrameDetections, Prefetcher, Turns, detections
from detector.video.sources import Source, open_source, printable
from detector.video.stats import Progress, table_of_sources

SATURATES = (
    "{} was made and measured on a processor with VNNI; here sums in INT8 may saturate: measure "
    "its accuracy by `dvc repro` on such a machine"
)
WARNINGS = 10  # that are printed one by one
# Windows has no SIGHUP.
SIGNALS = signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)


def run(arguments: argparse.Namespace) -> int:
    """Detect in all frames of the sources; return the exit status.

    Raises:
        ModelError, SourceError, OutputError, OptionError: see there.
    """
    paths = [arguments.model, *([arguments.compare] if arguments.compare else [])]
    sinks.check_destinations(arguments.save, arguments.json, len(arguments.source))
    sources = open_all(arguments)
    with ExitStack() as closing:
        detectors = open_models(closing, paths, sources, arguments)
        channels = open_channels(closing, sources, detectors, arguments)
        gates = [gates_of(source, arguments) for source in sources]
        with (
            detections(sources, detectors, gates) as (turns, found),
            ended_by_signals(found) as received,
        ):
            handle_all(found, channels, turns)
        for channel in channels:
            channel.close()
    print_tables(channels, sys.stderr if arguments.json == Path("-") else sys.stdout)
    tell_warnings([warning for source in sources for warning in source.warnings])
    for error in turns.errors.values():
        tell(f"{error}; the other sources went on")
    return 128 + received[0] if received else int(bool(turns.errors))


def open_all(arguments: argparse.Namespace) -> list[Source]:
    """Open the sources in a thread, so that Ctrl-C does not wait for a camera that is silent."""
    options = stride(arguments), arguments.allow_network, arguments.reconnect
    return in_thread(lambda: [open_source(name, *options) for name in arguments.source])


def in_thread(function: Callable[[], list[Source]]) -> list[Source]:
    """Return what a function returns, and handle signals while it runs."""
    result: list = []

    def run() -> None:
        try:
            result.append((function(), None))
        except BaseException as error:  # noqa: BLE001  (raised below)
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    value, error = result[0]
    if error:
        raise error
    return value


def open_models(
    closing: ExitStack, paths: list[Path], sources: list[Source], arguments: argparse.Namespace
) -> list[Detector]:
    """Load the models, for one frame at a time where no other one is there to fill the cores."""
    single = sources[0].live or sources[0].total == 1
    throughput = len(paths) == 1 and (len(sources) > 1 or not single)
    options = {"throughput": throughput, "cache_dir": default_cache_dir()}
    found = [
        closing.enter_context(Detector(path, arguments.confidence, arguments.iou, **options))
        for path in paths
    ]
    for path, detector in zip(paths, found, strict=True):
        if detector.backend.saturates:
            tell(SATURATES.format(path))
    return found


@contextmanager
def ended_by_signals(found: Prefetcher[FrameDetections]) -> Iterator[list[int]]:
    """Let a signal end the frames after the current one; the next signal raises.

    FFmpeg's callbacks would swallow what a handler raises.

    Yields:
        The numbers of the signals that came.
    """
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        found.stop()
        if len(received) > 1:
            before[number](number, frame)

    for number in SIGNALS:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def handle_all(found: Iterable[FrameDetections], channels: list[Channel], turns: Turns) -> None:
    """Follow, draw and write frame after frame, each for its source."""
    progress = Progress({channel.label: channel.stats for channel in channels})
    try:
        for frame, per_model in found:
            channel = channels[frame.channel]
            channel.handle(frame, per_model)
            channel.stats.dropped = turns.parts[frame.channel].dropped
            progress.show()
    finally:
        progress.end()


def print_tables(channels: list[Channel], stream: TextIO) -> None:
    """Print the closing table, and what crossed lines and visited zones."""
    one = channels[0].stats
    if len(channels) > 1:
        print(table_of_sources({each.label: each.stats for each in channels}), file=stream)
    elif one.frames:
        print(one.table(), file=stream)
    if len(channels) == 1 and one.dropped:
        print(f"{one.dropped} frames were dropped, overtaken by newer ones", file=stream)
    for channel in channels:
        if channel.followed:
            log = channel.followed.log
            counts = "".join(f", {name} {number}" for name, number in log.counts.items())
            name = f"{channel.label}: " if len(channels) > 1 else ""
            print(printable(f"{name}{log.total} objects{counts}"), file=stream)


def tell_warnings(warnings: list[str]) -> None:
    for warning in warnings[:WARNINGS]:
        tell(warning)
    if len(warnings) > WARNINGS:
        tell(f"and {len(warnings) - WARNINGS} more like these")


def tell(message: str) -> None:
    """Print a message on stderr."""
    print(f"detect: {printable(message)}", file=sys.stderr)
