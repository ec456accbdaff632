"""Where frames and detections go: a video, a folder of pictures, lines of JSON, a window.

A file appears under its name when it is complete, and so it does when the run is interrupted. After
an error it does not, and what stood there before stays.
"""

import json
import os
import sys
from pathlib import Path
from typing import Protocol, TextIO

import cv2

from detector.core.frame_detector import Detections
from detector.video.sources import FALLBACK_FPS, PICTURES, Frame

VIDEOS = {".mp4": "mp4v", ".avi": "MJPG"}  # and FFmpeg's name of the codec


class OutputError(ValueError):
    """A place that frames or detections cannot be written to."""


class Output(Protocol):
    """What all outputs have."""

    def write(self, frame: Frame, detections: Detections) -> None:
        """Takes a frame, with its boxes drawn, and what was found in it."""

    def close(self, keep: bool) -> None:
        """Completes what was written, or removes it."""


class VideoFile:
    """A video of the frames, .mp4 or .avi.

    Args:
        path: where it appears.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: float | None):
        self.path, self.fps = path, fps or FALLBACK_FPS
        self.partial = path.with_name(f".{path.stem}.part{path.suffix}")
        self.writer: cv2.VideoWriter | None = None
        self.wh = (0, 0)
        refuse_no_folder(path)

    def write(self, frame: Frame, detections: Detections) -> None:
        height, width = frame.image_bgr.shape[:2]
        if self.writer is None:
            codec = cv2.VideoWriter.fourcc(*VIDEOS[self.path.suffix.lower()])
            self.wh = (width, height)
            self.writer = cv2.VideoWriter(str(self.partial), codec, self.fps, self.wh)
        if not self.writer.isOpened():
            raise OutputError(f"{self.path} cannot be written; check space and permissions")
        if (width, height) != self.wh:
            raise OutputError(
                f"{frame.source} is {width}x{height} and the video began with "
                f"{self.wh[0]}x{self.wh[1]}; give --save a folder, which takes any size"
            )
        self.writer.write(frame.image_bgr)

    def close(self, keep: bool) -> None:
        if self.writer is not None:
            self.writer.release()
            put_in_place(self.partial, self.path, keep)


class PictureFolder:
    """A folder with one picture per frame: its own name, or that of its video and its number."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, frame: Frame, detections: Detections) -> None:
        source = Path(frame.source)
        if source.suffix.lower() in PICTURES:
            path = self.folder / source.name
            if path.exists() and path.samefile(source):
                raise OutputError(f"{path} is a source; give --save another folder")
        else:
            name = source.stem if source.is_file() else "frame"
            path = self.folder / f"{name}_{frame.number:06}.jpg"
        encoded, data = cv2.imencode(path.suffix, frame.image_bgr)
        if not encoded:
            raise OutputError(f"{path} cannot be encoded; convert the source to .png or .jpg")
        path.write_bytes(data.tobytes())

    def close(self, keep: bool) -> None:
        """Every picture is complete already, and stays."""


class JsonLines:
    """One JSON object per frame, in pixels of the frame.

    {"source": path, "frame": n, "time_s": t,
     "detections": [{"box_xyxy": [x0, y0, x1, y1], "score": s, "label": name}]}

    Args:
        path: a file, or `-` for standard output, line by line.
    """

    def __init__(self, path: Path):
        self.path = path
        self.partial = path.with_name(f".{path.name}.part")
        self.stream: TextIO | None = sys.stdout if str(path) == "-" else None
        if self.stream is None:
            refuse_no_folder(path)

    def write(self, frame: Frame, detections: Detections) -> None:
        if self.stream is None:
            self.stream = self.partial.open("w", encoding="utf-8")
        found = zip(detections.xyxy, detections.confidence, detections.class_names, strict=True)
        line = {
            "source": frame.source,
            "frame": frame.number,
            "time_s": round(frame.time_s, 3),
            "detections": [
                {
                    "box_xyxy": [round(float(value), 2) for value in box],
                    "score": round(float(score), 4),
                    "label": label,
                }
                for box, score, label in found
            ],
        }
        print(
            json.dumps(line, ensure_ascii=False), file=self.stream, flush=self.stream is sys.stdout
        )

    def close(self, keep: bool) -> None:
        if self.stream not in (None, sys.stdout):
            self.stream.close()
            put_in_place(self.partial, self.path, keep)


class Window:
    """A window on the screen; q or Esc in it ends the run."""

    def __init__(self):
        if sys.platform == "linux" and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            raise OutputError("there is no screen to show frames on; leave --show out")

    def write(self, frame: Frame, detections: Detections) -> None:
        cv2.imshow("detect", frame.image_bgr)
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            raise KeyboardInterrupt

    def close(self, keep: bool) -> None:
        cv2.destroyAllWindows()


def put_in_place(partial: Path, path: Path, keep: bool) -> None:
    """Gives a file that was written its name, or removes it."""
    if keep and partial.exists():
        partial.replace(path)
    else:
        partial.unlink(missing_ok=True)


def refuse_no_folder(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder, or its folder is missing")
