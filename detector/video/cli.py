"""The command `detect`: find objects in images, videos, cameras and streams.

Exit status: 0 done; 1 a source, model or output cannot be used (one line on stderr); 2 wrong usage;
129, 130 or 143 interrupted, with complete files of all frames until then.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import cv2

from detector.core.backend import ModelError
from detector.core.frame_detector import NMS_IOU
from detector.serve import ServeError
from detector.video.run import SIGNALS, run, tell
from detector.video.sinks import SAVED_VIDEOS, SOURCE, OutputError
from detector.video.sources import OptionError, SourceError

# Options of sources and outputs, which a server has not.
NOT_SERVED = (
    "source", "save", "keep_audio", "json", "show", "every", "allow_network", "reconnect",
    "when_moving", "track", "count_line", "zone", "events",
)  # fmt: skip


def main() -> None:
    """Run the command with `sys.argv` and exit."""
    options = parser()
    arguments = options.parse_args()
    if fault := misused(options, arguments):
        options.error(fault)
    # OpenCV's messages about a broken file are replaced by one line of ours.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    for number in SIGNALS[1:]:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    status: int | str | None
    try:
        status = serve(arguments) if arguments.serve else run(arguments)
    except (ModelError, SourceError, OutputError, OptionError, ServeError) as error:
        status = " ".join(str(error).split())
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        status = f"{named}{error.strerror or error}; check space and permissions"
    except KeyboardInterrupt:
        status = 130
    except SystemExit as ended:
        status = ended.code
    leave(status)


def serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; import the server's packages only then."""
    from detector.serve.app import serve

    return serve(arguments)


def leave(status: int | str | None) -> None:
    """Exit at once: a thread may still wait for a stream that sends nothing."""
    if isinstance(status, str):
        tell(status)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


def parser() -> argparse.ArgumentParser:
    """Define the options of the command."""
    found = argparse.ArgumentParser(
        prog="detect", description="Find objects in images, videos, cameras and streams."
    )
    add = found.add_argument
    add("source", nargs="*", default=[],
        help="image, folder, video file, camera index, or address of a stream")  # fmt: skip
    add("--model", type=Path, default=Path("models/int8"),
        help="a .xml or .onnx file, or the folder of a .xml (%(default)s)")  # fmt: skip
    add("--confidence", type=fraction, help="minimum score (the one that the model names)")
    add("--iou", type=fraction, default=NMS_IOU, help="maximum IoU of two boxes (%(default)s)")
    add("--save", type=Path, metavar="OUT",
        help=f"a video, {' '.join(SAVED_VIDEOS)}, or a folder of images; {SOURCE} in it is the "
             "name of each of several sources")  # fmt: skip
    add("--keep-audio", action="store_true", help="copy the video's sound into the saved one")
    add("--json", type=Path, metavar="OUT", help="a line per frame; - prints them")
    add("--show", action="store_true", help="show a window; q ends the run")
    add("--every", type=count_or_auto, default=1, metavar="N",
        help="take each N-th frame only; auto: take all and follow objects, but detect only in as "
             "many as keep pace with the source")  # fmt: skip
    add("--when-moving", action="store_true", help="detect only where something moves")
    add("--track", action="store_true", help="follow objects: each keeps its id")
    add("--count-line", type=line, action="append", default=[], metavar="X0,Y0,X1,Y1",
        help="count the objects that cross a line; may be given again")  # fmt: skip
    add("--zone", type=Path, metavar="FILE",
        help="count at the lines and in the zones of a JSON file")  # fmt: skip
    add("--events", type=Path, metavar="FOLDER",
        help="a table of the objects that were there, and the best view of each")  # fmt: skip
    add("--compare", type=Path, metavar="MODEL", help="draw a second model beside the first")
    add("--allow-network", action="store_true", help="read from a stream's address")
    add("--reconnect", action="store_true", help="wait for a camera or stream for ever")
    add("--serve", action="store_true", help="serve a page and an HTTP interface instead")
    add("--host", default="127.0.0.1", help="address to serve at (%(default)s)")
    add("--port", type=port, default=8000, help="port to serve at (%(default)s)")
    return found


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def count_or_auto(text: str) -> int | str:
    if text != "auto" and not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more, nor auto")
    return text if text == "auto" else int(text)


def line(text: str) -> list[list[float]]:
    """Return the two points of a line."""
    values = [float(value) for value in text.split(",")]
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"{text} is not X0,Y0,X1,Y1, two points in pixels")
    return [values[:2], values[2:]]


def port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port from 0 to 65535")
    return value


def misused(options: argparse.ArgumentParser, arguments: argparse.Namespace) -> str | None:
    """Say what is missing, or does not go with --serve."""
    if not arguments.serve:
        return None if arguments.source else "the following arguments are required: source"
    for name in NOT_SERVED:
        if getattr(arguments, name) != options.get_default(name):
            given = "the source" if name == "source" else f"--{name.replace('_', '-')}"
            return f"--serve gets pictures from its clients and answers them; leave {given} out"
    return None
