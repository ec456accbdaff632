"""Sources of frames: images, a video file, a camera or a stream.

Nothing is fetched over a network unless it was allowed: not from an address, and not by a local
file that refers to one, for which reason only formats that hold their own frames are opened.
"""

import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our own messages are one line each
IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
SCHEMES = ("rtsp", "rtsps", "http", "https")
# FFmpeg's demuxers that read frames from the file itself; playlists are none of them.
FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,asf,flv,ogg,gif,h264,hevc,mjpeg,ivf,m4v"
FILES_ONLY = f"protocol_whitelist;file|format_whitelist;{FORMATS}"
FALLBACK_FPS = 25.0  # of a video that names no rate
TIMEOUT_MS = 5000  # of a stream that sends nothing
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # before each attempt to open a broken stream again


class SourceError(ValueError):
    """An image, video, camera or stream that cannot be read."""


@dataclass
class Frame:
    """One frame of a source."""

    source: str  # the file, camera or address
    number: int  # in its source, from 0; frames that `every` skips count
    time_s: float  # since the start of the source
    image_bgr: np.ndarray  # uint8 [height, width, 3]
    decode_ms: float  # time that reading it took
    read_at: float  # `time.perf_counter` when it was read


class Source:
    """A sequence of frames."""

    live = False  # frames arrive at their own pace, and old ones are worth nothing
    total: int | None = None  # number of frames, if it is known
    fps: float | None = None  # frames per second, if the source names a rate

    def __init__(self) -> None:
        self.warnings: list[str] = []  # problems that did not end the run

    def frames(self) -> Generator[Frame, None, None]:
        raise NotImplementedError


def open_source(name: str, every: int = 1, allow_network: bool = False) -> Source:
    """Open an image, a folder of images, a video file, a camera's index or a stream's address.

    Args:
        name: the source.
        every: take each n-th frame only.
        allow_network: allow addresses.

    Raises:
        SourceError: there is nothing to read, or it is an address and that is not allowed.
    """
    path = Path(name)
    if "://" in name:
        if name.split("://")[0].lower() not in SCHEMES:
            raise SourceError(f"{name} has an unknown scheme; expected one of {', '.join(SCHEMES)}")
        if not allow_network:
            raise SourceError(f"{name} is an address; add --allow-network to read from it")
        return Video(name, every)
    if name.isdecimal() and not path.exists():
        return Video(int(name), every)
    if not path.exists():
        raise SourceError(f"{path} does not exist; expected an image, folder, video or camera")
    if path.is_dir() or path.suffix.lower() in IMAGES:
        return Images(path, every)
    return Video(str(path), every)


def open_capture(address: str | int) -> cv2.VideoCapture:
    """Open a file, an address or the index of a camera.

    Raises:
        SourceError: OpenCV cannot open it.
    """
    if isinstance(address, int):
        capture = cv2.VideoCapture(address)
        hint = "connect the camera, and check that nothing else uses it"
    else:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "" if "://" in address else FILES_ONLY
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS]
        timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        hint = "it is empty or broken, or no video that this OpenCV can decode"
    if not capture.isOpened():
        raise SourceError(f"{address} cannot be opened; {hint}")
    return capture


class Images(Source):
    """An image, or the images of a folder in the order of their names."""

    def __init__(self, path: Path, every: int):
        super().__init__()
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        self.paths = [p for p in found if p.suffix.lower() in IMAGES][::every]
        self.every, self.total = every, len(self.paths)
        if not self.paths:
            raise SourceError(f"{path} holds no images; expected {', '.join(sorted(IMAGES))}")

    def frames(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self.paths):
            started = time.perf_counter()
            image_bgr = cv2.imread(str(path))
            if image_bgr is None and self.total == 1:
                raise SourceError(f"{path} cannot be decoded; it is empty, broken or no image")
            if image_bgr is None:
                self.warnings.append(f"{path} cannot be decoded and was left out")
                continue
            read = time.perf_counter()
            number, decode_ms = index * self.every, (read - started) * 1e3
            yield Frame(str(path), number, 0.0, image_bgr, decode_ms, read)


class Video(Source):
    """A video file, to the last frame that can be decoded; or a camera or stream, without an end.

    A camera or stream is opened again when it breaks.

    Args:
        address: file, address, or index of a camera.
        every: take each n-th frame only.
    """

    def __init__(self, address: str | int, every: int):
        super().__init__()
        self.name = f"camera {address}" if isinstance(address, int) else address
        self.address, self.every, self.waits_s = address, every, WAITS_S
        self.capture = open_capture(address)
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else None  # other rates cannot be true
        frames = max(0, int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        # A file behind an address has a length; a stream has none.
        self.live = isinstance(address, int) or ("://" in address and not frames)
        self.announced = 0 if self.live else frames
        self.total = -(-self.announced // every) or None

    def frames(self) -> Generator[Frame, None, None]:
        number, opened = 0, time.perf_counter()
        try:
            while True:
                started, wanted = time.perf_counter(), number % self.every == 0
                decoded, image_bgr = self.capture.read() if wanted else (self.capture.grab(), None)
                if not decoded:
                    if self.live and self.reconnect(number):
                        continue
                    break
                if wanted:
                    read = time.perf_counter()
                    time_s = read - opened if self.live else number / (self.fps or FALLBACK_FPS)
                    yield Frame(self.name, number, time_s, image_bgr, (read - started) * 1e3, read)
                number += 1
        finally:
            self.capture.release()
        if number == 0 and not self.live:
            raise SourceError(f"{self.name} holds no frame that can be decoded")
        if number < self.announced:
            self.warnings.append(
                f"{self.name} ended after {number} of the {self.announced} frames that it announces"
            )

    def reconnect(self, number: int) -> bool:
        """Open a live source that broke before this frame; return False if all attempts fail."""
        broke = f"{self.name} broke after frame {number - 1}"
        self.capture.release()
        for wait_s in self.waits_s:
            time.sleep(wait_s)
            try:
                self.capture = open_capture(self.address)
            except SourceError:
                continue
            self.warnings.append(f"{broke} and was opened again")
            return True
        tried = f"{len(self.waits_s)} attempts within {sum(self.waits_s):g} s"
        self.warnings.append(f"{broke}; {tried} failed")
        return False
