"""Threads that decode pictures, and a bound on the memory that they take together."""

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
from PIL import Image

# Decoded at once on any number of cores: 300 MB in colour. A larger picture waits to be alone.
PIXELS_AT_ONCE = 100_000_000


class PixelBudget:
    """Lets only so many pixels be decoded at once, so that memory stays the same on 2 cores and
    on 64."""

    def __init__(self) -> None:
        self.free = PIXELS_AT_ONCE
        self.changed = threading.Condition()

    @contextmanager
    def claim(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, PIXELS_AT_ONCE)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()


@contextmanager
def all_cores() -> Iterator[ThreadPoolExecutor]:
    """Threads: Pillow, zlib and hashlib release the GIL while they work.

    Interrupted, it drops what is queued and waits for what runs, so that nothing is written
    into a temporary folder that is being deleted.
    """
    pool = ThreadPoolExecutor()
    # The decoders' own remarks name no file; what matters is told by check_picture.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Pillow's own limit would stand in the way of a higher one in params.yaml.
    pillow_max_pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.utils.logging.setLogLevel(level)
        Image.MAX_IMAGE_PIXELS = pillow_max_pixels
