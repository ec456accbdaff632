"""Where frames come from: pictures, a video file, a camera or a stream.

Nothing is fetched over a network unless it was allowed: not from an address, and not by a local
file that refers to one, for which reason only formats that hold their own frames are opened.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it says in many lines what we say in one
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
SCHEMES = ("rtsp", "rtsps", "http", "https")
# FFmpeg's demuxers that read frames from the file itself; playlists are none of them.
FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,asf,flv,ogg,gif,h264,hevc,mjpeg,ivf,m4v"
FILES_ONLY = f"protocol_whitelist;file|format_whitelist;{FORMATS}"
FALLBACK_FPS = 25.0  # of a video that names no rate
TIMEOUT_MS = 5000  # of a stream that says nothing
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # before a broken stream is tried again


class SourceError(ValueError):
    """A picture, video, camera or stream that cannot be read."""


@dataclass
class Frame:
    """One picture of a source.

    Attributes:
        source: the file, camera or address.
        number: of the frame in its source, from 0; frames that were left out count.
        time_s: since the start of the source.
        image_bgr: uint8 [height, width, 3].
        decode_ms: how long reading it took.
        read_at: when that was done, by `time.perf_counter`.
    """

    source: str
    number: int
    time_s: float
    image_bgr: np.ndarray
    decode_ms: float
    read_at: float = field(default_factory=time.perf_counter)


class Source(Protocol):
    """What all sources have.

    Attributes:
        live: frames arrive when they want to, and old ones are worth nothing.
        total: how many frames there will be, where that is known.
        fps: frames a second as the source names it, where it does.
        warnings: what went wrong on the way.
    """

    live: bool
    total: int | None
    fps: float | None
    warnings: list[str]

    def frames(self) -> Iterator[Frame]: ...


def open_source(name: str, every: int = 1, allow_network: bool = False) -> Source:
    """Opens a picture, a folder of them, a video file, a camera's index or a stream's address.

    Args:
        name: what to open.
        every: take each n-th frame only.
        allow_network: whether an address may be opened.

    Raises:
        SourceError: there is nothing to read, or it is an address and that is not allowed.
    """
    scheme = name.split("://")[0].lower() if "://" in name else None
    if scheme in SCHEMES:
        if not allow_network:
            raise SourceError(f"{name} is an address; add --allow-network to read from it")
        return open_address(name, every)
    if scheme:
        raise SourceError(f"{name} has an unknown scheme; expected one of {', '.join(SCHEMES)}")
    if name.isdecimal() and not Path(name).exists():
        return Live(int(name), f"camera {name}", every)
    path = Path(name)
    if not path.exists():
        raise SourceError(f"{path} does not exist; expected a picture, folder, video or camera")
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return Pictures(path, every)
    return open_video(path, every)


def open_video(path: Path, every: int = 1) -> "Video":
    """A video file, see `open_source`."""
    return Video(str(path), open_capture(str(path), FILES_ONLY), every)


def open_address(address: str, every: int) -> Source:
    """A file behind an address is as long as it says; a stream has no length and is live."""
    capture = open_capture(address)
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return Video(address, capture, every)
    return Live(address, address, every, capture)


def open_capture(name: str | int, options: str = "") -> cv2.VideoCapture:
    """Raises:
    SourceError: OpenCV cannot open it.
    """
    if isinstance(name, int):
        capture = cv2.VideoCapture(name)
        hint = "connect the camera, and check that nothing else uses it"
    else:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS]
        timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)
        hint = "it is empty or broken, or no video that this OpenCV can decode"
    if not capture.isOpened():
        raise SourceError(f"{name} cannot be opened; {hint}")
    return capture


class Pictures:
    """A picture, or the pictures of a folder in the order of their names."""

    live, fps = False, None

    def __init__(self, path: Path, every: int):
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        self.paths = [p for p in found if p.suffix.lower() in PICTURES][::every]
        self.every, self.total = every, len(self.paths)
        self.warnings: list[str] = []
        if not self.paths:
            raise SourceError(f"{path} holds no pictures; expected {', '.join(sorted(PICTURES))}")

    def frames(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            started = time.perf_counter()
            image_bgr = cv2.imread(str(path))
            if image_bgr is None and len(self.paths) == 1:
                raise SourceError(f"{path} cannot be decoded; it is empty, broken or no picture")
            if image_bgr is None:
                self.warnings.append(f"{path} cannot be decoded and was left out")
                continue
            decode_ms = (time.perf_counter() - started) * 1e3
            yield Frame(str(path), index * self.every, 0.0, image_bgr, decode_ms)


class Video:
    """A video file, from its first frame to the last one that can be decoded."""

    live = False

    def __init__(self, name: str, capture: cv2.VideoCapture, every: int):
        self.name, self.capture, self.every = name, capture, every
        self.announced = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.total = -(-self.announced // every) or None
        self.fps = frame_rate(capture)
        self.warnings: list[str] = []

    def frames(self) -> Iterator[Frame]:
        number = 0
        try:
            while (read := read_frame(self.capture, number % self.every == 0)) is not None:
                image_bgr, decode_ms = read
                if image_bgr is not None:
                    time_s = number / (self.fps or FALLBACK_FPS)
                    yield Frame(self.name, number, time_s, image_bgr, decode_ms)
                number += 1
        finally:
            self.capture.release()
        if number == 0:
            raise SourceError(f"{self.name} holds no frame that can be decoded")
        if number < self.announced:
            self.warnings.append(
                f"{self.name} ended after {number} of the {self.announced} frames that it announces"
            )


class Live:
    """A camera or a stream: it has no end, and is opened again when it breaks."""

    live, total = True, None

    def __init__(
        self,
        address: str | int,
        name: str,
        every: int,
        capture: cv2.VideoCapture | None = None,
        waits_s: tuple[float, ...] = WAITS_S,
    ):
        self.address, self.name, self.every, self.waits_s = address, name, every, waits_s
        self.capture = capture or open_capture(address)
        self.fps = frame_rate(self.capture)
        self.warnings: list[str] = []

    def frames(self) -> Iterator[Frame]:
        began, number = time.perf_counter(), 0
        try:
            while True:
                read = read_frame(self.capture, number % self.every == 0)
                if read is None and not self.reconnect(number):
                    return
                if read is None:
                    continue
                image_bgr, decode_ms = read
                if image_bgr is not None:
                    time_s = time.perf_counter() - began
                    yield Frame(self.name, number, time_s, image_bgr, decode_ms)
                number += 1
        finally:
            self.capture.release()

    def reconnect(self, number: int) -> bool:
        """Whether the source could be opened again."""
        self.capture.release()
        for wait_s in self.waits_s:
            time.sleep(wait_s)
            try:
                self.capture = open_capture(self.address)
            except SourceError:
                continue
            self.warnings.append(f"{self.name} broke after frame {number - 1} and was opened again")
            return True
        tried = f"{len(self.waits_s)} attempts within {sum(self.waits_s):g} s"
        self.warnings.append(f"{self.name} broke after frame {number - 1}; {tried} failed")
        return False


def read_frame(capture: cv2.VideoCapture, wanted: bool) -> tuple[np.ndarray | None, float] | None:
    """The next frame and its milliseconds, without its picture where that is not wanted.

    None: there is no next frame.
    """
    started = time.perf_counter()
    if not capture.grab():
        return None
    if not wanted:
        return None, 0.0
    decoded, image_bgr = capture.retrieve()
    if not decoded:
        return None
    return image_bgr, (time.perf_counter() - started) * 1e3


def frame_rate(capture: cv2.VideoCapture) -> float | None:
    """Frames a second, where the source names a rate that can be true."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps <= 1000 else None
