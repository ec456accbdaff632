"""A run of the command `detect`: sources, models and outputs, from the first frame to the last."""

import argparse
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import numpy as np

from detector.core.frame_detector import Detections
from detector.runtime.detector import Detector
from detector.runtime.model_cache import default_cache_dir
from detector.video import sinks
from detector.video.draw import Annotator
from detector.video.gates import OnTime, WhenMoving
from detector.video.pipeline import FrameDetections, Gate, Prefetcher, detections
from detector.video.sources import Frame, Source, masked, open_source, printable
from detector.video.stats import Progress, RunStats, table_of_sources

if TYPE_CHECKING:  # it needs the extra `track`
    from detector.tracking.followed import Followed

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
    sources = [
        open_source(name, stride(arguments), arguments.allow_network, arguments.reconnect)
        for name in arguments.source
    ]
    with ExitStack() as closing:
        detectors = open_models(closing, paths, sources, arguments)
        channels = open_channels(closing, sources, detectors, arguments)
        gates = [gates_of(source, arguments) for source in sources]
        with (
            detections(sources, detectors, gates) as (turns, found),
            ended_by_signals(found) as received,
        ):
            handle_all(found, channels)
        for channel in channels:
            channel.close()
    dropped = [part.dropped for part in turns.parts]
    print_tables(channels, dropped, sys.stderr if arguments.json == Path("-") else sys.stdout)
    tell_warnings([warning for source in sources for warning in source.warnings])
    for error in turns.errors.values():
        tell(f"{error}; the other sources went on")
    return 128 + received[0] if received else int(bool(turns.errors))


def stride(arguments: argparse.Namespace) -> int:
    """Return n where every n-th frame is read."""
    return 1 if arguments.every == "auto" else arguments.every


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


@dataclass
class Channel:
    """A source of the run with all that belongs to it.

    Attributes:
        label: its name in tables and file names.
        source: the frames.
        annotator: draws on them.
        writers: take them.
        followed: the objects in them; None if objects are not followed.
        stats: frames and times.
        last: the latest detections, of each model.
    """

    label: str
    source: Source
    annotator: Annotator
    writers: list[sinks.Write]
    followed: "Followed | None"
    stats: RunStats = field(init=False)
    last: list[Detections] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stats = RunStats(self.source.total)

    def handle(self, frame: Frame, per_model: list[Detections] | None) -> None:
        """Follow, draw and write what was found in a frame; what was found before stands for what
        was not looked for."""
        started, detected = time.perf_counter(), per_model is not None
        own_ms = dict(per_model[0].steps_ms) if detected else {}
        found = self.last = per_model if detected else self.last
        if self.followed:
            found = [self.followed(frame, found[0], detected), *found[1:]]
            own_ms["track"] = (time.perf_counter() - started) * 1e3
        tracked = time.perf_counter()
        latency_ms = (tracked - frame.read_at) * 1e3 if self.source.live else sum(own_ms.values())
        frame.image_bgr = self.annotator(frame.image_bgr, found)
        if self.followed:
            self.followed.log.draw(frame.image_bgr)
        drawn = time.perf_counter()
        for write in self.writers:
            write(frame, found[0])
        encode_ms = (time.perf_counter() - drawn) * 1e3
        around_ms = {"decode": frame.decode_ms, "draw": (drawn - tracked) * 1e3}
        self.stats.add(
            {**own_ms, **around_ms, "encode": encode_ms}, latency_ms if detected else None,
            len(found[0]),
        )  # fmt: skip

    def close(self) -> None:
        if self.followed:
            self.followed.log.close()


def open_channels(
    closing: ExitStack,
    sources: list[Source],
    detectors: list[Detector],
    arguments: argparse.Namespace,
) -> list[Channel]:
    """Open the outputs of all sources."""
    shared = []
    if arguments.json:
        lines = sinks.json_lines(arguments.json, arguments.source)
        shared.append(closing.enter_context(lines))
    follows = follow_options(closing, detectors[0], arguments)
    titles = [title(path) for path in (arguments.model, arguments.compare) if path]
    channels = []
    for name, label, source in zip(
        arguments.source, labels_of(arguments.source), sources, strict=True
    ):
        own = [closing.enter_context(o) for o in outputs(name, label, source, arguments)]
        followed = follows(name) if follows else None
        channels.append(Channel(label, source, Annotator(titles), [*own, *shared], followed))
    return channels


def follow_options(
    closing: ExitStack, detector: Detector, arguments: argparse.Namespace
) -> Callable[[str], "Followed"] | None:
    """Return what follows the objects of a source; None if no option asks for it."""
    wanted = arguments.track, arguments.count_line, arguments.zone, arguments.events
    if not any(wanted) and arguments.every != "auto":
        return None
    from detector.tracking.followed import Followed
    from detector.tracking.objects import event_folder
    from detector.tracking.tracker import LOWEST, Tracker
    from detector.tracking.zones import Shape, points_of, read_shapes

    shapes = [Shape(f"line {n}", points_of(line)) for n, line in enumerate(arguments.count_line, 1)]
    shapes += read_shapes(arguments.zone) if arguments.zone else []
    ended = closing.enter_context(event_folder(arguments.events)) if arguments.events else None
    reported, classes = detector.confidence, len(detector.backend.labels)
    detector.confidence = np.minimum(reported, LOWEST)

    def follow(name: str) -> Followed:
        own = [shape for shape in shapes if shape.source in (None, name)]
        return Followed(lambda: Tracker(reported, classes), own, ended)

    return follow


def outputs(
    name: str, label: str, source: Source, arguments: argparse.Namespace
) -> Iterator[AbstractContextManager[sinks.Write]]:
    """List the destinations of one source that the options name."""
    save = arguments.save and Path(str(arguments.save).replace(sinks.SOURCE, label))
    if save and save.suffix.lower() in sinks.SAVED_VIDEOS and not save.is_dir():
        fps = (
            source.fps / arguments.every if source.fps and arguments.every != "auto" else source.fps
        )
        sound = Path(name) if arguments.keep_audio else None
        if sound and not sound.is_file():
            raise sinks.OutputError("--keep-audio needs a video file as the source")
        yield sinks.video_file(save, arguments.source, fps, sound)
    elif save:
        yield sinks.image_folder(save, Path(name))
    if arguments.show:
        yield sinks.window(label)


def labels_of(names: Sequence[str]) -> list[str]:
    """Return a short name for each source, which is its own and may be a part of a file's name."""
    labels: list[str] = []
    for name in names:
        host = re.search(r"://([^/?]*)", masked(name))
        text = host[1] if host else f"camera {name}" if name.isdecimal() else Path(name).stem
        own = re.sub(r"[^\w. -]+", "_", text).strip("._ ") or "source"
        taken = sum(label == own or label.startswith(f"{own}-") for label in labels)
        labels.append(f"{own}-{taken + 1}" if taken else own)
    return labels


def title(path: Path) -> str:
    """Return the name of a model to draw: models/int8/yolox.xml is "int8"."""
    return path.parent.name if path.suffix == ".xml" else path.name


def gates_of(source: Source, arguments: argparse.Namespace) -> list[Gate]:
    """List what decides which frames of a source go through the model."""
    moving = [WhenMoving()] if arguments.when_moving else []
    return moving + ([OnTime(source.live)] if arguments.every == "auto" else [])


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


def handle_all(found: Iterable[FrameDetections], channels: list[Channel]) -> None:
    """Follow, draw and write frame after frame, each for its source."""
    progress = Progress({channel.label: channel.stats for channel in channels})
    try:
        for frame, per_model in found:
            channels[frame.channel].handle(frame, per_model)
            progress.show()
    finally:
        progress.end()


def print_tables(channels: list[Channel], dropped: list[int], stream: TextIO) -> None:
    """Print the closing table, and what crossed lines and visited zones."""
    one = channels[0].stats
    if len(channels) > 1:
        rows = {channel.label: channel.stats for channel in channels}
        print(table_of_sources(rows, dict(zip(rows, dropped, strict=True))), file=stream)
    elif one.frames:
        print(one.table(), file=stream)
    if len(channels) == 1 and dropped[0]:
        print(f"{dropped[0]} frames were dropped, overtaken by newer ones", file=stream)
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
