"""The command `detect`: find objects in images, videos, cameras and streams.

Exit status: 0 done; 1 a source, model or output cannot be used (one line on stderr); 2 wrong usage;
129, 130 or 143 interrupted, with complete files of all frames until then.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import cv2

from detector.core.backend import ModelError
from detector.core.frame_detector import NMS_IOU
from detector.runtime.detector import Detector
from detector.runtime.model_cache import default_cache_dir
from detector.video import sinks
from detector.video.draw import Annotator
from detector.video.pipeline import FrameDetections, Prefetcher, detections
from detector.video.sources import Source, SourceError, open_source, printable
from detector.video.stats import RunStats

SATURATES = (
    "{} was made and measured on a processor with VNNI; here sums in INT8 may saturate: measure "
    "its accuracy by `dvc repro` on such a machine"
)
WARNINGS = 10  # that are printed one by one
# Windows has no SIGHUP.
SIGNALS = signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)


def main() -> None:
    """Run the command with `sys.argv` and exit."""
    arguments = parser().parse_args()
    # OpenCV's messages about a broken file are replaced by one line of ours.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    for number in SIGNALS[1:]:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    status: int | str | None
    try:
        status = run(arguments)
    except (ModelError, SourceError, sinks.OutputError) as error:
        status = " ".join(str(error).split())
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        status = f"{named}{error.strerror or error}; check space and permissions"
    except KeyboardInterrupt:
        status = 130
    except SystemExit as ended:
        status = ended.code
    leave(status)


def leave(status: int | str | None) -> None:
    """Exit at once: a thread may still wait for a stream that sends nothing."""
    if isinstance(status, str):
        tell(status)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


def tell(message: str) -> None:
    """Print a message on stderr."""
    print(f"detect: {printable(message)}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Define the options of the command."""
    found = argparse.ArgumentParser(
        prog="detect", description="Find objects in images, videos, cameras and streams."
    )
    add = found.add_argument
    add("source", help="image, folder, video file, camera index, or address of a stream")
    add("--model", type=Path, default=Path("models/int8"),
        help="a .xml or .onnx file, or the folder of a .xml (%(default)s)")  # fmt: skip
    add("--confidence", type=fraction, help="minimum score (the one that the model names)")
    add("--iou", type=fraction, default=NMS_IOU, help="maximum IoU of two boxes (%(default)s)")
    add("--save", type=Path, metavar="OUT",
        help=f"a video, {' '.join(sinks.SAVED_VIDEOS)}, or a folder of images")  # fmt: skip
    add("--keep-audio", action="store_true", help="copy the video's sound into the saved one")
    add("--json", type=Path, metavar="OUT", help="a line per frame; - prints them")
    add("--show", action="store_true", help="show a window; q ends the run")
    add("--every", type=count, default=1, metavar="N", help="take each N-th frame only")
    add("--compare", type=Path, metavar="MODEL", help="draw a second model beside the first")
    add("--allow-network", action="store_true", help="read from a stream's address")
    add("--reconnect", action="store_true", help="wait for a camera or stream for ever")
    return found


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Detect in all frames of the source; return the exit status.

    Raises:
        ModelError, SourceError, OutputError: see there.
    """
    paths = [arguments.model, *([arguments.compare] if arguments.compare else [])]
    sinks.check_destinations(arguments.save, arguments.json)
    source = open_source(
        arguments.source, arguments.every, arguments.allow_network, arguments.reconnect
    )
    throughput = not source.live and source.total != 1 and len(paths) == 1
    with ExitStack() as closing:
        options = {"throughput": throughput, "cache_dir": default_cache_dir()}
        detectors = [
            closing.enter_context(Detector(path, arguments.confidence, arguments.iou, **options))
            for path in paths
        ]
        for path, detector in zip(paths, detectors, strict=True):
            if detector.backend.saturates:
                tell(SATURATES.format(path))
        writers = [closing.enter_context(output) for output in outputs(arguments, source)]
        stats, annotator = RunStats(source.total), Annotator([title(path) for path in paths])
        with detections(source, detectors) as (frames, found), ended_by_signals(found) as received:
            write_all(found, source.live, writers, annotator, stats)
    stream = sys.stderr if arguments.json == Path("-") else sys.stdout
    if stats.frames:
        print(stats.table(), file=stream)
    if frames.dropped:
        print(f"{frames.dropped} frames were dropped, overtaken by newer ones", file=stream)
    for warning in source.warnings[:WARNINGS]:
        tell(warning)
    if len(source.warnings) > WARNINGS:
        tell(f"and {len(source.warnings) - WARNINGS} more like these")
    return 128 + received[0] if received else 0


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


def outputs(
    arguments: argparse.Namespace, source: Source
) -> Iterator[AbstractContextManager[sinks.Write]]:
    """List the destinations that the options name."""
    save = arguments.save
    if save and save.suffix.lower() in sinks.SAVED_VIDEOS and not save.is_dir():
        fps = source.fps / arguments.every if source.fps else None
        sound = Path(arguments.source) if arguments.keep_audio else None
        if sound and not sound.is_file():
            raise sinks.OutputError("--keep-audio needs a video file as the source")
        yield sinks.video_file(save, arguments.source, fps, sound)
    elif save:
        yield sinks.image_folder(save, Path(arguments.source))
    if arguments.json:
        yield sinks.json_lines(arguments.json, arguments.source)
    if arguments.show:
        yield sinks.window()


def title(path: Path) -> str:
    """Return the name of a model to draw: models/int8/yolox.xml is "int8"."""
    return path.parent.name if path.suffix == ".xml" else path.name


def write_all(
    found: Iterable[FrameDetections],
    live: bool,
    writers: list[sinks.Write],
    annotator: Annotator,
    stats: RunStats,
) -> None:
    """Draw and write frame after frame."""
    try:
        for frame, per_model in found:
            started = time.perf_counter()
            own_ms = per_model[0].steps_ms
            latency_ms = (started - frame.read_at) * 1e3 if live else sum(own_ms.values())
            frame.image_bgr = annotator(frame.image_bgr, per_model)
            drawn = time.perf_counter()
            for write in writers:
                write(frame, per_model[0])
            encode_ms = (time.perf_counter() - drawn) * 1e3
            around_ms = {"decode": frame.decode_ms, "draw": (drawn - started) * 1e3}
            stats.add({**own_ms, **around_ms, "encode": encode_ms}, latency_ms, len(per_model[0]))
            stats.show_progress()
    finally:
        stats.end_progress()
