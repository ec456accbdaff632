"""One source of a run with its name, its outputs, its objects and its figures."""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detector.core.frame_detector import Detections
from detector.runtime.detector import Detector
from detector.video import sinks
from detector.video.draw import Annotator
from detector.video.gates import OnTime, WhenMoving
from detector.video.pipeline import Gate
from detector.video.sources import Frame, OptionError, Source, masked
from detector.video.stats import RunStats

if TYPE_CHECKING:  # it needs the extra `track`
    from detector.tracking.followed import Followed


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
    for shape in shapes:
        if shape.source not in (None, *arguments.source):
            named = ", ".join(map(masked, arguments.source))
            raise OptionError(f"{shape.name} is for {shape.source!r}; expected one of {named}")
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
        fps = source.fps and source.fps / stride(arguments)
        sound = Path(name) if arguments.keep_audio else None
        if sound and not sound.is_file():
            raise sinks.OutputError("--keep-audio needs a video file as the source")
        yield sinks.video_file(save, arguments.source, fps, sound)
    elif save:
        yield sinks.image_folder(save, Path(name))
    if arguments.show:
        yield sinks.window(label)


def title(path: Path) -> str:
    """Return the name of a model to draw: models/int8/yolox.xml is "int8"."""
    return path.parent.name if path.suffix == ".xml" else path.name


def labels_of(names: Sequence[str]) -> list[str]:
    """Return a short name for each source, which is its own and may be a part of a file's name."""
    labels: list[str] = []
    for name in names:
        host = re.search(r"://([^/?]*)", masked(name))
        text = host[1] if host else f"camera {name}" if name.isdecimal() else Path(name).stem
        own = re.sub(r"[^\w. -]+", "_", text).strip("._ ") or "source"
        numbered = (f"{own}-{number}" for number in count(2))
        labels.append(next(label for label in chain([own], numbered) if label not in labels))
    return labels


def gates_of(source: Source, arguments: argparse.Namespace) -> list[Gate]:
    """List what decides which frames of a source go through the model."""
    moving = [WhenMoving()] if arguments.when_moving else []
    return moving + ([OnTime(source.live)] if arguments.every == "auto" else [])


def stride(arguments: argparse.Namespace) -> int:
    """Return n where every n-th frame is read."""
    return 1 if arguments.every == "auto" else arguments.every
