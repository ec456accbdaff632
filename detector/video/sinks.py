"""Destinations of frames and detections: a video, a folder of images, lines of JSON, a window.

Each is a context that yields a function, which takes a frame with its boxes drawn and the
detections in it. A file appears under its name when it is complete, also if the run was
interrupted. After an error it does not, and an older file of that name stays.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from detector.core.frame_detector import Detections
from detector.video.sources import FALLBACK_FPS, IMAGES, Frame

VIDEOS = {".mp4": "mp4v", ".avi": "MJPG"}  # suffix to FFmpeg's name of the codec
Write = Callable[[Frame, Detections], None]


class OutputError(ValueError):
    """A destination that frames or detections cannot be written to."""


@contextmanager
def partial_file(path: Path, source: str) -> Iterator[Path]:
    """Yield another name to write a file under until it is complete.

    Args:
        path: its final name.
        source: the source of the run, which must be another file.
    """
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"{path} is the source; write to another file")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder, or its folder is missing")
    partial, failed = path.with_name(f".{path.stem}.part{path.suffix}"), False
    try:
        yield partial
    except Exception:  # Ctrl-C is none
        failed = True
        raise
    finally:
        if not failed and partial.exists() and partial.stat().st_size:
            partial.replace(path)
        else:
            partial.unlink(missing_ok=True)


@contextmanager
def video_file(path: Path, source: str, fps: float | None) -> Iterator[Write]:
    """Write a video, .mp4 or .avi, of frames of one size."""
    writer, first_wh = cv2.VideoWriter(), None

    def write(frame: Frame, found: Detections) -> None:
        nonlocal first_wh
        height, width = frame.image_bgr.shape[:2]
        if first_wh is None:
            first_wh = width, height
            codec = cv2.VideoWriter.fourcc(*VIDEOS[path.suffix.lower()])
            if not writer.open(str(partial), codec, fps or FALLBACK_FPS, first_wh):
                raise OutputError(f"{path} cannot be written; check space and permissions")
        if (width, height) != first_wh:
            raise OutputError(
                f"{frame.source} is {width}x{height} and the video began with "
                f"{first_wh[0]}x{first_wh[1]}; give --save a folder, which takes any size"
            )
        writer.write(frame.image_bgr)

    with partial_file(path, source) as partial:
        try:
            yield write
        finally:
            writer.release()


@contextmanager
def image_folder(folder: Path) -> Iterator[Write]:
    """Write an image per frame, under its own name, or that of its video and its number."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(frame: Frame, found: Detections) -> None:
        source = Path(frame.source)
        if source.suffix.lower() in IMAGES:
            path = folder / source.name
            if path.exists() and path.samefile(source):
                raise OutputError(f"{path} is a source; give --save another folder")
        else:
            name = source.stem if source.is_file() else "frame"
            path = folder / f"{name}_{frame.number:06}.jpg"
        encoded, data = cv2.imencode(path.suffix, frame.image_bgr)
        if not encoded:
            raise OutputError(f"{path} cannot be encoded; convert the source to .png or .jpg")
        path.write_bytes(data.tobytes())

    yield write


@contextmanager
def json_lines(path: Path, source: str) -> Iterator[Write]:
    """Write a line of JSON per frame, to standard output if the path is `-`."""
    if str(path) == "-":
        yield lambda frame, found: print(json_line(frame, found), flush=True)
    else:
        with partial_file(path, source) as partial, partial.open("w", encoding="utf-8") as stream:
            yield lambda frame, found: print(json_line(frame, found), file=stream)


def json_line(frame: Frame, found: Detections) -> str:
    """Return a frame's detections as JSON, in pixels of the frame.

    {"source": path, "frame": n, "time_s": t,
     "detections": [{"box_xyxy": [x0, y0, x1, y1], "score": s, "label": name}]}
    """
    boxes = zip(found.xyxy.tolist(), found.confidence.tolist(), found.class_names, strict=True)
    line = {
        "source": frame.source, "frame": frame.number, "time_s": round(frame.time_s, 3),
        "detections": [
            {"box_xyxy": [round(x, 2) for x in box], "score": round(score, 4), "label": label}
            for box, score, label in boxes
        ],
    }  # fmt: skip
    return json.dumps(line, ensure_ascii=False)


@contextmanager
def window() -> Iterator[Write]:
    """Show frames in a window; q or Esc in it ends the run."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen:
        raise OutputError("there is no screen to show frames on; leave --show out")

    def write(frame: Frame, found: Detections) -> None:
        cv2.imshow("detect", frame.image_bgr)
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            raise KeyboardInterrupt

    try:
        yield write
    finally:
        cv2.destroyAllWindows()
