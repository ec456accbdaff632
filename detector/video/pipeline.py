"""Decoding, inference and what follows overlap: each part runs in a thread, ahead of the next.

One thread decodes, one scales frames, starts them and takes their boxes, and the caller draws and
writes. Order is kept and memory is bounded: a part that is SIZE frames ahead waits. Frames of a
live source do not wait: the newest one is next, and those that it overtook are counted.
"""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from detector.core.frame_detector import Detections, FrameDetector, PendingDetection
from detector.video.sources import Frame, Source

T = TypeVar("T")
FrameDetections = tuple[Frame, list[Detections]]  # a frame, and the detections of each model
SIZE = 4  # frames that wait between two parts
JOIN_S = 2.0  # a stream that sends nothing is left behind
END = object()  # no more items come


class Prefetcher(Iterator[T]):
    """An iterator over a generator that runs in a thread of its own, a few items ahead.

    An error in the generator is raised where its next item would be taken. A signal handler may
    call `stop` at any time; one that raises would leave a lock as it is.

    Args:
        items: the generator, which its thread also closes.
        newest_only: instead of waiting, keep one item and drop it when a newer one comes.

    Attributes:
        dropped: number of items that nobody got.
    """

    def __init__(self, items: Generator[T, None, None], newest_only: bool = False):
        self.items, self.newest_only, self.dropped = items, newest_only, 0
        self.waiting: SimpleQueue[T | object] = SimpleQueue()
        self.taken = threading.Condition()
        self.closed = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            with closing(self.items):
                for item in self.items:
                    if not self.put(item):
                        break
        except BaseException as error:  # noqa: BLE001  (raised where items are taken)
            self.error = error
        self.waiting.put(END)

    def put(self, item: T) -> bool:
        """Hand an item over; return False if nobody takes items anymore."""
        with self.taken:
            while self.newest_only and not self.waiting.empty():
                self.drop()
            self.taken.wait_for(lambda: self.closed or self.waiting.qsize() < SIZE)
            self.waiting.put(item)
            return not self.closed

    def drop(self) -> None:
        with suppress(Empty):  # it may just have been taken
            self.waiting.get_nowait()
            self.dropped += 1

    def __next__(self) -> T:
        item = self.waiting.get()
        with self.taken:
            self.taken.notify()
        if item is not END and not self.closed:
            return item
        self.waiting.put(END)
        if self.error:
            raise self.error
        raise StopIteration

    def stop(self) -> None:
        """Hand out no more items, not even those that wait."""
        self.closed = True
        self.waiting.put(END)

    def close(self) -> None:
        """Let the thread end after the item that it works on."""
        self.stop()
        with self.taken:
            self.taken.notify()


@contextmanager
def detections(
    source: Source, detectors: list[FrameDetector]
) -> Iterator[tuple[Prefetcher[Frame], Prefetcher[FrameDetections]]]:
    """Detect in the frames of a source, until the block is left.

    Args:
        source: the frames.
        detectors: one, which works on several frames of a file at once; or several, which run one
            after the other on each frame, as a live source's detector does.

    Yields:
        Decoded frames, which count those that were dropped, and the detections in them.
    """
    frames = Prefetcher(source.frames(), newest_only=source.live)
    if len(detectors) == 1 and not source.live:
        found = Prefetcher(overlapped(frames, detectors[0]))
    else:
        found = Prefetcher((frame, [d(frame.image_bgr) for d in detectors]) for frame in frames)
    try:
        yield frames, found
    finally:
        for part in (source, frames, found):
            part.close()
        found.thread.join()
        frames.thread.join(JOIN_S if source.live else None)


def overlapped(
    frames: Iterable[Frame], detector: FrameDetector
) -> Generator[FrameDetections, None, None]:
    """Detect in several frames at once, for as many frames per second as possible."""
    started: deque[tuple[Frame, PendingDetection]] = deque()

    def finish() -> FrameDetections:
        frame, pending = started.popleft()
        return frame, [pending.finish()]

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
