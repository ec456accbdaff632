"""The command `detect`: finds objects in pictures, videos, cameras and streams.

Exit status: 0 done, 1 refused or failed on a file (one line on stderr), 2 wrong usage, 130
interrupted; whatever was written until then is complete.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import cv2

from detector.core.frame_detector import CONFIDENCE, NMS_IOU
from detector.runtime.detector import Detector
from detector.runtime.model_file import ModelError
from detector.video.annotator import Annotator
from detector.video.pipeline import FrameDetections, Prefetcher, detections, one_by_one, overlapped
from detector.video.progress import Progress
from detector.video.sinks import (
    VIDEOS,
    JsonLines,
    Output,
    OutputError,
    PictureFolder,
    VideoFile,
    Window,
)
from detector.video.sources import Source, SourceError, open_source
from detector.video.stats import RunStats, timed

WARNINGS = 10  # that are told one by one


def main() -> None:
    """Runs the command with `sys.argv` and exits."""
    arguments = parser().parse_args()
    # What OpenCV would say about a broken file is said below, in one line.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        interrupted = run(arguments)
    except (ModelError, SourceError, OutputError) as error:
        sys.exit("detect: " + " ".join(str(error).split()))
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        sys.exit(f"detect: {named}{error.strerror or error}; check space and permissions")
    except KeyboardInterrupt:
        interrupted = True
    sys.exit(130 if interrupted else 0)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    found = argparse.ArgumentParser(
        prog="detect", description="Find objects in pictures, videos, cameras and streams."
    )
    found.add_argument(
        "source", help="picture, folder, video file, camera index, or address of a stream"
    )
    found.add_argument(
        "--model", type=Path, default=Path("models/int8"),
        help="a .xml or .onnx file, or the folder of a .xml (%(default)s)",
    )  # fmt: skip
    found.add_argument(
        "--confidence", type=share, default=CONFIDENCE, help="least score (%(default)s)"
    )
    found.add_argument(
        "--iou", type=share, default=NMS_IOU, help="most overlap of two boxes (%(default)s)"
    )
    found.add_argument("--save", type=Path, metavar="OUT", help="OUT.mp4, OUT.avi or a folder")
    found.add_argument("--json", type=Path, metavar="OUT", help="a line per frame; - prints them")
    found.add_argument("--show", action="store_true", help="a window; q ends the run")
    found.add_argument("--every", type=count, default=1, metavar="N", help="each N-th frame only")
    found.add_argument("--compare", type=Path, metavar="MODEL", help="a second model, beside it")
    found.add_argument("--allow-network", action="store_true", help="read from a stream's address")
    return found


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not within 0 and 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def run(arguments: argparse.Namespace) -> bool:
    """Detects in everything that the source gives; whether it was interrupted.

    Raises:
        ModelError, SourceError, OutputError: see there.
    """
    paths = [arguments.model, *([arguments.compare] if arguments.compare else [])]
    source = open_source(arguments.source, arguments.every, arguments.allow_network)
    in_turn = source.live or len(paths) > 1  # each frame at once, instead of many a second
    with ExitStack() as closing:
        detectors = [
            closing.enter_context(
                Detector(
                    path, arguments.confidence, arguments.iou,
                    throughput=not in_turn and source.total != 1, cache_dir=cache_dir(),
                )
            )
            for path in paths
        ]  # fmt: skip
        outputs = open_outputs(arguments, source, closing)
        stats, annotator = RunStats(), Annotator([title(path) for path in paths])

        def detect_all(frames):
            return one_by_one(frames, detectors) if in_turn else overlapped(frames, detectors[0])

        with detections(source, detect_all) as (frames, found):
            interrupted = consume(found, source, outputs, annotator, stats)
    lines_on_stdout = arguments.json == Path("-")
    tell(source, frames.dropped, stats, sys.stderr if lines_on_stdout else sys.stdout)
    return interrupted


def cache_dir() -> Path | None:
    """Where compiled models are kept, so that the next start is faster; None: nowhere."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "cpu-detector"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def open_outputs(arguments: argparse.Namespace, source: Source, closing: ExitStack) -> list[Output]:
    """What was asked for; closed with the stack."""
    outputs: list[Output] = []
    if arguments.save and arguments.save.suffix.lower() in VIDEOS:
        refuse_source(arguments.save, arguments.source)
        fps = source.fps / arguments.every if source.fps else None
        outputs.append(VideoFile(arguments.save, fps))
    elif arguments.save:
        outputs.append(PictureFolder(arguments.save))
    if arguments.json:
        refuse_source(arguments.json, arguments.source)
        outputs.append(JsonLines(arguments.json))
    if arguments.show:
        outputs.append(Window())
    for output in outputs:
        closing.push(closer(output))
    return outputs


def closer(output: Output) -> Callable[..., None]:
    """Closes an output: kept where the run was interrupted or ended, but not after an error."""

    def close(kind: type[BaseException] | None, *_: object) -> None:
        output.close(keep=kind is None or not issubclass(kind, Exception))

    return close


def refuse_source(path: Path, source: str) -> None:
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"{path} is the source; write to another file")


def title(path: Path) -> str:
    """A model's name in a picture: models/int8/yolox.xml is "int8"."""
    return path.parent.name if path.suffix == ".xml" else path.name


def consume(
    found: Prefetcher[FrameDetections],
    source: Source,
    outputs: list[Output],
    annotator: Annotator,
    stats: RunStats,
) -> bool:
    """Draws and writes frame after frame; whether that was interrupted."""
    bar = Progress(source.total)
    try:
        for frame, per_model in found:
            steps_ms = {"decode": frame.decode_ms, **per_model[0].steps_ms}
            latency_ms = sum(per_model[0].steps_ms.values())
            if source.live:
                latency_ms = (time.perf_counter() - frame.read_at) * 1e3
            with timed(steps_ms, "draw"):
                frame.image_bgr = annotator(frame.image_bgr, per_model)
            with timed(steps_ms, "encode"):
                for output in outputs:
                    output.write(frame, per_model[0])
            stats.add(steps_ms, latency_ms, len(per_model[0]))
            bar.show(stats)
    except KeyboardInterrupt:
        return True
    finally:
        bar.close()
    return False


def tell(source: Source, dropped: int, stats: RunStats, stream: TextIO) -> None:
    """The closing table, and on stderr what went wrong on the way."""
    if stats.frames:
        print(stats.table(), file=stream)
    if dropped:
        print(f"{dropped} frames were dropped: newer ones had come before their turn", file=stream)
    for warning in source.warnings[:WARNINGS]:
        print(f"detect: {warning}", file=sys.stderr)
    if len(source.warnings) > WARNINGS:
        print(f"detect: and {len(source.warnings) - WARNINGS} more like these", file=sys.stderr)


if __name__ == "__main__":
    main()
