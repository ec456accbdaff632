"""A camera or a stream: frames without an end, the newest of which counts."""

import os
import threading
import time
from collections.abc import Generator, Iterator
from itertools import chain, repeat

import cv2

from detector.video.sources import Frame, Source, SourceError, masked

TIMEOUT_MS = 5000  # of a stream that sends nothing
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # before each attempt to open a broken stream again
LONGEST_WAIT_S = 15.0  # between two attempts of a watch that never ends


class Stream(Source):
    """A camera or stream, which is opened again when it breaks; or a video behind an address.

    Args:
        address: an address, or the index of a camera.
        every: take each n-th frame only.
        reconnect: never give up.
    """

    def __init__(self, address: str | int, every: int, reconnect: bool = False):
        super().__init__()
        is_camera = isinstance(address, int)
        self.name = f"camera {address}" if is_camera else masked(address)
        self.address, self.every, self.reconnects = address, every, reconnect
        self.waits_s, self.closed = WAITS_S, threading.Event()
        try:
            self.capture = open_capture(address)
        except SourceError as error:
            if not reconnect:
                raise
            self.warnings.append(f"{error}; it is tried again")
            self.capture = None
        # A video behind an address has a length; a stream has none.
        self.live = is_camera or not (
            self.capture and self.capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        )

    def frames(self) -> Generator[Frame, None, None]:
        number, opened = 0, time.perf_counter()
        try:
            while self.capture or (self.live and self.open_again(number)):
                started, wanted = time.perf_counter(), number % self.every == 0
                decoded, image_bgr = self.capture.read() if wanted else (self.capture.grab(), None)
                if not decoded:
                    self.capture.release()
                    self.capture = None
                    continue
                if wanted:
                    read = time.perf_counter()
                    position_s = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                    time_s = read - opened if self.live else position_s
                    decode_ms = (read - started) * 1e3
                    yield Frame(self.name, number, time_s, image_bgr, decode_ms, read)
                number += 1
        finally:
            if self.capture:
                self.capture.release()

    def open_again(self, number: int) -> bool:
        """Open a source that broke before this frame; return False if all attempts fail."""
        broke = f"{self.name} broke after frame {number - 1}" if number else f"{self.name} was off"
        for wait_s in self.waits():
            if self.closed.wait(wait_s):
                return False
            try:
                self.capture = open_capture(self.address)
            except SourceError:
                continue
            self.warnings.append(f"{broke} and was opened again")
            return True
        tried = f"{len(self.waits_s)} attempts within {sum(self.waits_s):g} s"
        self.warnings.append(f"{broke}; {tried} failed; add --reconnect to wait for ever")
        return False

    def close(self) -> None:
        self.closed.set()

    def waits(self) -> Iterator[float]:
        return chain(self.waits_s, repeat(LONGEST_WAIT_S) if self.reconnects else ())


def open_capture(address: str | int) -> cv2.VideoCapture:
    """Open an address or the index of a camera.

    Raises:
        SourceError: OpenCV cannot open it.
    """
    if isinstance(address, int):
        capture = cv2.VideoCapture(address)
        name, hint = f"camera {address}", "connect it, and check that nothing else uses it"
    else:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = ""
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS]
        timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        name, hint = masked(address), "nobody serves it, or it is no video that OpenCV can decode"
    if not capture.isOpened():
        raise SourceError(f"{name} cannot be opened; {hint}")
    return capture
