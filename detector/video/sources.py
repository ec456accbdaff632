"""Sources of frames: images, videos, folders of them, a camera or a stream.

Nothing is fetched over a network unless it was allowed: not from an address, and not by a local
file that refers to one, for which reason only formats that hold their own frames are opened.
"""

import os
import re
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our own messages are one line each
MAX_PIXELS = 2**28  # of a frame; 800 MB decoded
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
import cv2  # noqa: E402  it reads its limits from the environment
import numpy as np  # noqa: E402

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
DARKEST = 16  # of 255: what the high byte of 12 bits in 16 stays below
OTHER_IMAGES = {".avif", ".heic", ".jp2", ".jxl", ".ppm"}  # told from broken videos
VIDEOS = {
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
    ".wmv", ".flv", ".ogv", ".gif", ".h264", ".hevc", ".mjpg", ".mjpeg", ".ivf", ".3gp",
}  # fmt: skip
SCHEMES = ("rtsp", "rtsps", "http", "https")
FALLBACK_FPS = 25.0  # of frames that name no time
USER = re.compile(r"(?<=://)[^/@\s]*@")
SECRETS = re.compile(r"(?i)([?&;][\w-]*(?:use|pas|pwd|token|key|secret|auth|sig)[\w-]*=)[^&;#\s]*")


class SourceError(ValueError):
    """An image, video, camera or stream that cannot be read."""


class OptionError(ValueError):
    """A file or a package that an option needs, and that cannot be used."""


@dataclass
class Frame:
    """One frame of a source."""

    source: str  # the file, camera or address, without passwords
    number: int  # in its source, from 0; frames that `every` skips count
    time_s: float  # when a player shows it, from the start of the source
    image_bgr: np.ndarray  # uint8 [height, width, 3], with square pixels
    decode_ms: float  # time that reading it took
    read_at: float  # `time.perf_counter` when it was read
    path: Path | None = None  # the file that it comes from
    stretch: tuple[float, float] = (1.0, 1.0)  # width and height, over those of stored pixels
    channel: int = 0  # which of the run's sources it comes from
    moving: bool = True  # False if nothing changed since the frame before


class Source:
    """A sequence of frames."""

    live = False  # frames arrive at their own pace, and old ones are worth nothing
    total: int | None = None  # number of frames, if it is known; that of a video is a guess
    fps: float | None = None  # frames per second, if the source names a rate

    def __init__(self) -> None:
        self.warnings: list[str] = []  # problems that did not end the run

    def frames(self) -> Generator[Frame, None, None]:
        raise NotImplementedError

    def close(self) -> None:
        """End `frames`, which may run in another thread, as soon as possible."""


def open_source(
    name: str, every: int = 1, allow_network: bool = False, reconnect: bool = False
) -> Source:
    """Open an image, a video, a folder of both, a camera's index or a stream's address.

    Args:
        name: the source.
        every: take each n-th frame only.
        allow_network: allow addresses.
        reconnect: wait for a camera or stream for ever, instead of some seconds.

    Raises:
        SourceError: there is nothing to read, or it is an address and that is not allowed.
    """
    path = Path(name)
    if path.is_dir():
        return Folder(path, every)
    if path.exists():
        return open_file(path, every)
    if "://" in name:
        if name.split("://")[0].lower() not in SCHEMES:
            raise SourceError(
                f"{masked(name)} has an unknown scheme; expected one of {', '.join(SCHEMES)}"
            )
        if not allow_network:
            raise SourceError(f"{masked(name)} is an address; add --allow-network to read from it")
    elif not name.isdecimal():
        raise SourceError(f"{path} does not exist; expected an image, folder, video or camera")
    from detector.video.stream import Stream

    return Stream(name if "://" in name else int(name), every, reconnect)


def open_file(path: Path, every: int) -> Source:
    if path.suffix.lower() in IMAGES:
        return Image(path)
    if path.suffix.lower() in OTHER_IMAGES:
        raise SourceError(f"{path} cannot be decoded here; convert it to .png or .jpg")
    from detector.video.video_file import VideoFile

    return VideoFile(path, every)


def masked(address: str) -> str:
    """Return an address without the user, password and keys that it holds."""
    return SECRETS.sub(r"\1***", USER.sub("***@", address))


def printable(message: str) -> str:
    """Return a message for a terminal; a file's name in it may hold escape codes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


def natural_order(path: Path) -> list:
    """Sort by this key to have 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in parts]


class Image(Source):
    """A single image."""

    total = 1

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def frames(self) -> Generator[Frame, None, None]:
        started = time.perf_counter()
        image_bgr = read_image(self.path)
        read = time.perf_counter()
        if image_bgr.max() < DARKEST and has_16_bits(self.path):
            self.warnings.append(
                f"{self.path} is nearly black, as 12 bits in 16; stretch its values and try again"
            )
        yield Frame(str(self.path), 0, 0.0, image_bgr, (read - started) * 1e3, read, self.path)


def read_image(path: Path) -> np.ndarray:
    """Decode an image file as image_bgr, uint8 [height, width, 3].

    Raises:
        SourceError: it is no image, or too large.
    """
    # Read here: OpenCV crashes on names that are not UTF-8.
    return decode_image(path.read_bytes(), str(path))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode the content of an image file; `name` stands in errors. See `read_image`."""
    data = np.frombuffer(content, np.uint8)
    try:
        image_bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:
        if "PIXELS" in str(error):
            limit = f"at most {MAX_PIXELS // 10**6} megapixels are read; make it smaller"
            raise SourceError(f"{name} is too large; {limit}") from error
        image_bgr = None
    if image_bgr is None:
        raise SourceError(f"{name} cannot be decoded; it is empty, broken or no image")
    return image_bgr


def has_16_bits(path: Path) -> bool:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED).dtype == np.uint16


class Folder(Source):
    """The images and videos of a folder and of those in it, one after the other.

    What cannot be read is left out with a warning. Of images, `every` takes each n-th.
    """

    def __init__(self, path: Path, every: int):
        super().__init__()
        self.every = every
        found = [
            Path(folder) / name
            for folder, _, names in os.walk(path)
            for name in names
            if Path(name).suffix.lower() in IMAGES | VIDEOS and not name.startswith(".")
        ]
        self.paths = sorted(found, key=natural_order)
        if not self.paths:
            raise SourceError(
                f"{path} holds no images and no videos; expected {', '.join(sorted(IMAGES))} or a "
                "video"
            )
        if self.only_images:
            self.total = len(self.paths[::every])

    @property
    def only_images(self) -> bool:
        return all(path.suffix.lower() in IMAGES for path in self.paths)

    def frames(self) -> Generator[Frame, None, None]:
        number = 0  # of an image
        for path in self.paths:
            is_image = path.suffix.lower() in IMAGES
            number += is_image
            if is_image and (number - 1) % self.every:
                continue
            try:
                source = open_file(path, self.every)
                for frame in source.frames():
                    frame.number += number - 1 if is_image else 0
                    yield frame
                self.warnings += source.warnings
            except (SourceError, OSError) as error:
                self.warnings.append(f"{error}; it was left out")
