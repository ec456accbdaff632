"""Destinations of frames and detections: a video, a folder of images, lines of JSON, a window.

Each is a context that yields a function, which takes a frame with its boxes drawn and the
detections in it. A file appears under its name when it is complete, also if the run was
interrupted. After an error it does not, and an older file of that name stays.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2

from detector.core.frame_detector import Detections
from detector.video.sources import IMAGES, VIDEOS, Frame

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

SOURCE = "{source}"  # in --save, stands for the name of a source
SAVED_VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
Write = Callable[[Frame, Detections], None]


class OutputError(ValueError):
    """A destination that frames or detections cannot be written to."""


@contextmanager
def partial_file(path: Path, *sources: str) -> Iterator[Path]:
    """Yield another name to write a file under until it is complete.

    Args:
        path: its final name.
        sources: the sources of the run, which must be other files.
    """
    if path.exists() and any(Path(s).exists() and path.samefile(s) for s in sources):
        raise OutputError(f"{path} is a source; write to another file")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder, or its folder is missing")
    partial, failed = path.with_name(f".{path.stem}.part{path.suffix}"), False
    with locked(partial, os.O_RDWR | os.O_CREAT, path):
        try:
            yield partial
        except Exception:  # Ctrl-C is none
            failed = True
            raise
        finally:
            if not failed and partial.stat().st_size:
                partial.replace(path)
            else:
                partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, flags: int, output: Path) -> Iterator[None]:
    """Hold a lock on a file or folder.

    Raises:
        OutputError: another run holds it.
    """
    descriptor = os.open(path, flags, 0o666)
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OutputError(
            f"another run writes to {output}; wait for it or write to another place"
        ) from error
    finally:
        os.close(descriptor)


@contextmanager
def video_file(
    path: Path, sources: Sequence[str], fps: float | None, sound: Path | None = None
) -> Iterator[Write]:
    """Write a video of frames of one size.

    Args:
        path: its name, with a suffix of SAVED_VIDEOS.
        sources: those of the run.
        fps: frames per second of the source, if it is known.
        sound: a file whose sound is copied.
    """
    from detector.video.video_writer import VideoWriter

    writer, first_wh = None, None

    def write(frame: Frame, found: Detections) -> None:
        nonlocal writer, first_wh
        height, width = frame.image_bgr.shape[:2]
        if writer is None:
            first_wh = width, height
            try:
                writer = VideoWriter(file, path.suffix.lower(), first_wh, fps, sound)
            except ValueError as error:
                raise OutputError(f"{path} cannot hold the sound of {sound}; use .mkv") from error
        if (width, height) != first_wh:
            raise OutputError(
                f"{frame.source} is {width}x{height} and the video began with "
                f"{first_wh[0]}x{first_wh[1]}; give --save a folder, which takes any size"
            )
        writer.write(frame.image_bgr, frame.time_s)

    with partial_file(path, *sources) as partial, partial.open("wb") as file:
        try:
            yield write
        except Exception:
            writer = None  # what was written is thrown away
            raise
        finally:
            if writer:
                writer.close()


@contextmanager
def image_folder(folder: Path, source: Path) -> Iterator[Write]:
    """Write an image per frame, under its own name, or that of its video and its number.

    Args:
        folder: the destination; it gets the folders that the source has.
        source: the file or folder that frames come from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = source if source.is_dir() else source.parent

    def write(frame: Frame, found: Detections) -> None:
        own = frame.path.relative_to(root) if frame.path else Path("frame")
        path = folder / own
        if path.suffix.lower() not in IMAGES:
            path = folder / own.with_name(f"{own.stem}_{frame.number:06}.jpg")
        elif path.exists() and path.samefile(frame.path):
            raise OutputError(f"{path} is a source; give --save another folder")
        encoded, data = cv2.imencode(path.suffix, frame.image_bgr)
        if not encoded:
            raise OutputError(f"{path} cannot be encoded; convert the source to .png or .jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())

    with locked(folder, os.O_RDONLY, folder):
        yield write


@contextmanager
def json_lines(path: Path, sources: Sequence[str]) -> Iterator[Write]:
    """Write a line of JSON per frame of all sources, to standard output if the path is `-`."""
    if str(path) == "-":
        yield lambda frame, found: print(json_line(frame, found), flush=True)
    else:
        with partial_file(path, *sources) as partial, partial.open("w", encoding="utf-8") as stream:
            yield lambda frame, found: print(json_line(frame, found), file=stream)


def json_line(frame: Frame, found: Detections) -> str:
    """Return a frame's detections as a line of JSON, see `record`."""
    text = json.dumps(record(frame, found), ensure_ascii=False)
    # Bytes of a file name that are not UTF-8 become JSON's own escapes.
    return text.encode("utf-8", "backslashreplace").decode()


def record(frame: Frame, found: Detections) -> dict:
    """Return a frame's detections, in stored pixels of the upright frame.

    {"source": path, "frame": n, "time_s": t,
     "detections": [{"box_xyxy": [x0, y0, x1, y1], "score": s, "label": name}]}

    Objects that are followed have an "id" too, None while it is not known.
    """
    xyxy = found.xyxy / [*frame.stretch, *frame.stretch]
    boxes = zip(xyxy.tolist(), found.confidence.tolist(), found.class_names, strict=True)
    objects = [
        {"box_xyxy": [round(x, 2) for x in box], "score": round(score, 4), "label": label}
        for box, score, label in boxes
    ]
    if found.tracker_id is not None:
        for box, number in zip(objects, found.tracker_id.tolist(), strict=True):
            box["id"] = number if number >= 0 else None
    return {
        "source": frame.source, "frame": frame.number, "time_s": round(frame.time_s, 3),
        "detections": objects,
    }  # fmt: skip


@contextmanager
def window(title: str) -> Iterator[Write]:
    """Show frames in a window; q or Esc in it ends the run."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen:
        raise OutputError("there is no screen to show frames on; leave --show out")

    def write(frame: Frame, found: Detections) -> None:
        cv2.imshow(title, frame.image_bgr)
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            signal.raise_signal(signal.SIGINT)

    try:
        yield write
    finally:
        cv2.destroyAllWindows()


def check_destinations(save: Path | None, json: Path | None, sources: int) -> None:
    """Check that --save and --json are different files, of known kinds, and one for each source.

    Raises:
        OutputError: they are not.
    """
    if save and sources > 1 and SOURCE not in str(save):
        raise OutputError(
            f"{save} is one place for {sources} sources; write {SOURCE} where the name of each "
            f"belongs, as in out/{SOURCE}.mp4"
        )
    if save and json and save.absolute() == json.absolute():
        raise OutputError(f"{save} is both --save and --json; write to two files")
    if save and save.suffix.lower() in IMAGES | VIDEOS - set(SAVED_VIDEOS) and not save.is_dir():
        raise OutputError(
            f"{save} is no kind of file that is written; expected {', '.join(SAVED_VIDEOS)}, or a "
            "folder for images"
        )
