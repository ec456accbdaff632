"""Decoding, inference and what follows overlap: each part runs in a thread, ahead of the next.

One thread for each source decodes, one scales frames, starts them and takes their boxes, and the
caller draws and writes. Several sources take turns. The order of a source's frames is kept, and
memory is bounded: a part that is SIZE frames ahead waits. Frames of a live source do not wait: the
newest one is next, and those that it overtook are counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from detector.core.frame_detector import Detections, FrameDetector
from detector.video.sources import Frame, Source

T = TypeVar("T")
# A frame, and the detections of each model; None if it did not go through them.
FrameDetections = tuple[Frame, list[Detections] | None]
Gate = Callable[[Frame], bool]  # decides whether a frame goes through the model
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
        arrived: set whenever there is something to take.

    Attributes:
        dropped: number of items that nobody got.
    """

    def __init__(
        self,
        items: Generator[T, None, None],
        newest_only: bool = False,
        arrived: threading.Event | None = None,
    ):
        self.items, self.newest_only, self.dropped = items, newest_only, 0
        self.arrived = arrived or threading.Event()
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
        self.arrived.set()

    def put(self, item: T) -> bool:
        """Hand an item over; return False if nobody takes items anymore."""
        with self.taken:
            while self.newest_only and not self.waiting.empty():
                self.drop()
            self.taken.wait_for(lambda: self.closed or self.waiting.qsize() < SIZE)
            self.waiting.put(item)
            self.arrived.set()
            return not self.closed

    def drop(self) -> None:
        with suppress(Empty):  # it may just have been taken
            self.waiting.get_nowait()
            self.dropped += 1

    def __next__(self) -> T:
        return self.handed_out(self.waiting.get())

    def poll(self) -> T | None:
        """Return the next item, or None if none waits; raise StopIteration at the end."""
        with suppress(Empty):
            return self.handed_out(self.waiting.get_nowait())
        return None

    def handed_out(self, item: T | object) -> T:
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


class Turns:
    """Hands out the frames of several sources in turn, so that none waits for all frames of others.

    Attributes:
        parts: the running sources, as given.
        errors: by the number of a source, what ended it before its end.
    """

    def __init__(self, sources: Sequence[Source]):
        self.arrived = threading.Event()
        self.parts = [Prefetcher(s.frames(), s.live, self.arrived) for s in sources]
        self.waiting = deque(range(len(sources)))  # the one that waited longest is first
        self.errors: dict[int, Exception] = {}

    def take(self, wait: bool) -> Frame | None:
        """Return the next frame; None if there is none now or, with `wait`, no more."""
        while self.waiting:
            self.arrived.clear()
            for number in list(self.waiting):
                if frame := self.poll(number):
                    return frame
            if not wait:
                break
            if self.waiting:
                self.arrived.wait()
        return None

    def poll(self, number: int) -> Frame | None:
        """Take a frame of one source, which then waits behind the others."""
        try:
            frame = self.parts[number].poll()
        except StopIteration:
            self.waiting.remove(number)
            return None
        except (ValueError, OSError) as error:
            self.errors[number] = error
            self.waiting.remove(number)
            return None
        if frame:
            frame.channel = number
            self.waiting.remove(number)
            self.waiting.append(number)
        return frame

    def close(self) -> None:
        for part in self.parts:
            part.close()
        self.arrived.set()


@contextmanager
def detections(
    sources: Sequence[Source],
    detectors: Sequence[FrameDetector],
    gates: Sequence[Sequence[Gate]] = (),
) -> Iterator[tuple[Turns, Prefetcher[FrameDetections]]]:
    """Detect in the frames of sources, until the block is left.

    Args:
        sources: the frames.
        detectors: one, which works on several frames at once; or several, which run one after the
            other on each frame.
        gates: of each source; a frame goes through the model if all of them let it.

    Yields:
        The sources' frames, which count those that were dropped, and the detections in them.

    Raises:
        SourceError, OSError: where the frames of a single source would be taken. Of several sources
            the others go on, see `Turns.errors`.
    """
    turns = Turns(sources)
    found = Prefetcher(detected(turns, sources, detectors, gates))
    try:
        yield turns, found
    finally:
        for part in (*sources, turns, found):
            part.close()
        found.thread.join()
        for source, part in zip(sources, turns.parts, strict=True):
            part.thread.join(JOIN_S if source.live else None)


def detected(
    turns: Turns,
    sources: Sequence[Source],
    detectors: Sequence[FrameDetector],
    gates: Sequence[Sequence[Gate]],
) -> Generator[FrameDetections, None, None]:
    """Detect in frame after frame; in several at once where that gives more frames per second."""
    live = any(source.live for source in sources)
    # The newest frame of a single camera should not wait for an older one.
    alone = len(detectors) > 1 or (live and len(sources) == 1)
    limit = 1 if alone else detectors[0].num_requests
    started: deque[tuple[Frame, Callable[[], list[Detections] | None]]] = deque()

    def finish() -> FrameDetections:
        frame, result = started.popleft()
        return frame, result()

    try:
        while True:
            frame = turns.take(wait=not (live and started))
            if frame:
                wanted = all(gate(frame) for gate in (gates[frame.channel] if gates else ()))
                started.append((frame, start(frame, detectors) if wanted else lambda: None))
            if started and (frame is None or len(started) == limit):
                yield finish()
            elif frame is None:
                break
        if turns.errors and len(sources) == 1:
            raise turns.errors[0]
    finally:
        while started:
            finish()


def start(frame: Frame, detectors: Sequence[FrameDetector]) -> Callable[[], list[Detections]]:
    """Start a frame; return what waits for its detections, one for each detector."""
    if len(detectors) == 1:
        pending = detectors[0].start(frame.image_bgr)
        return lambda: [pending.finish()]
    found = [detector(frame.image_bgr) for detector in detectors]
    return lambda: found
