"""Decoding, inference and what follows overlap: each part runs in a thread, ahead of the next.

One thread decodes, one scales frames, starts them and takes their boxes, and the caller draws and
writes. Order is kept and memory is bounded: a part that is SIZE frames ahead waits. Frames of a
live source do not wait: the newest one is next, and those that it overtook are counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from detector.core.frame_detector import Detections, FrameDetector, PendingDetection
from detector.video.sources import Frame, Source

T = TypeVar("T")
FrameDetections = tuple[Frame, list[Detections]]  # of each model
SIZE = 4  # frames that wait between two parts
JOIN_S = 2.0  # a stream that says nothing is left behind


class Prefetcher(Iterator[T]):
    """An iterator that another thread runs, a few items ahead.

    Errors of that thread are raised where its items are taken.

    Args:
        items: run in a thread of its own, and closed there.
        newest_only: keep one item and drop it when a newer one comes, instead of waiting.

    Attributes:
        dropped: how many items nobody got.
    """

    def __init__(self, items: Iterator[T], newest_only: bool = False):
        self.items, self.newest_only, self.dropped = items, newest_only, 0
        self.waiting: deque[T] = deque()
        self.changed = threading.Condition()
        self.ended = self.closed = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            for item in self.items:
                if not self.put(item):
                    break
        except BaseException as error:  # noqa: BLE001  (raised where items are taken)
            self.error = error
        finally:
            try:
                if isinstance(self.items, Generator):
                    self.items.close()
            finally:
                with self.changed:
                    self.ended = True
                    self.changed.notify_all()

    def put(self, item: T) -> bool:
        """Whether anybody still wants items."""
        with self.changed:
            if self.newest_only:
                self.dropped += len(self.waiting)
                self.waiting.clear()
            self.changed.wait_for(lambda: self.closed or len(self.waiting) < SIZE)
            self.waiting.append(item)
            self.changed.notify_all()
            return not self.closed

    def __next__(self) -> T:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.ended or self.closed)
            if self.waiting and not self.closed:
                item = self.waiting.popleft()
                self.changed.notify_all()
                return item
        if self.error:
            raise self.error
        raise StopIteration

    def close(self) -> None:
        """Tells the thread to end after the item that it works on."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


@contextmanager
def detections(
    source: Source, detect_all: Callable[[Iterable[Frame]], Iterator[FrameDetections]]
) -> Iterator[tuple[Prefetcher[Frame], Prefetcher[FrameDetections]]]:
    """Runs a source and what detects in its frames, until the block is left.

    Args:
        source: the frames.
        detect_all: takes frames, gives what was found in each, in their order.

    Yields:
        Decoded frames, which know how many were dropped, and what was found in them.
    """
    frames = Prefetcher(source.frames(), newest_only=source.live)
    found = Prefetcher(detect_all(frames))
    try:
        yield frames, found
    finally:
        for part in (frames, found):
            part.close()
        found.thread.join()
        frames.thread.join(JOIN_S)


def overlapped(
    frames: Iterable[Frame], detector: FrameDetector
) -> Generator[FrameDetections, None, None]:
    """Detects in several frames at once: as many frames a second as there can be."""
    started: deque[tuple[Frame, PendingDetection]] = deque()

    def finish() -> FrameDetections:
        frame, request = started.popleft()
        return frame, [request.finish()]

    try:
        for frame in frames:
            if len(started) == detector.num_requests:
                yield finish()
            started.append((frame, detector.start(frame.image_bgr)))
        while started:
            yield finish()
    finally:
        while started:
            finish()


def one_by_one(
    frames: Iterable[Frame], detectors: list[FrameDetector]
) -> Generator[FrameDetections, None, None]:
    """Detects in a frame as soon as it is there, with one model after the other."""
    for frame in frames:
        yield frame, [detector(frame.image_bgr) for detector in detectors]
