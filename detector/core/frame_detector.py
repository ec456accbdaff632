"""From a frame to its detections, with any backend: what is evaluated is what is deployed."""

import threading
import time
from dataclasses import dataclass
from numbers import Real

import numpy as np

from detector.core.backend import Backend, Request
from detector.core.boxes import letterbox, postprocess

CONFIDENCE, NMS_IOU = 0.25, 0.45  # of a deployed detector; a model may name its own confidence


@dataclass(frozen=True)
class Detections:
    """The objects found in one frame, best first.

    The first three fields and `tracker_id` are those of `supervision.Detections`.

    Attributes:
        xyxy: float32 [n, 4], pixels of the frame, clipped to it.
        confidence: float32 [n], 0..1.
        class_id: int64 [n], indices into the model's labels.
        class_names: the n labels themselves.
        steps_ms: milliseconds of the steps `pre`, `infer` and `post`.
        tracker_id: int64 [n], the same for the same object in all frames, -1 while it is not known;
            None where objects are not followed.
    """

    xyxy: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    class_names: list[str]
    steps_ms: dict[str, float]
    tracker_id: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.confidence)


class FrameDetector:
    """Detects objects in frames with any backend, see `Detector` for the rest.

    Attributes:
        confidence: the lowest score that is reported; float32 [classes] where classes differ.
        num_requests: number of frames that can be pending at once.
    """

    def __init__(self, backend: Backend, confidence: float = CONFIDENCE, iou: float = NMS_IOU):
        self.confidence: float | np.ndarray = check_fraction("confidence", confidence)
        self.iou = check_fraction("iou", iou)
        self.backend, self.num_requests = backend, backend.num_requests
        self.idle: list[Request] = [backend.new_request() for _ in range(self.num_requests)]
        # Threads, by their ids: of every pending frame, and those that wait for a request.
        self.starters: list[int] = []
        self.waiting: set[int] = set()
        self.changed, self.closed = threading.Condition(), False

    def __call__(self, image_bgr: np.ndarray) -> Detections:
        """Detect in one frame, uint8 [height, width, 3]."""
        return self.start(image_bgr).finish()

    def start(self, image_bgr: np.ndarray) -> "PendingDetection":
        """Start a frame, uint8 [height, width, 3], and return before it is done.

        While `num_requests` frames are pending, wait until another thread finishes one. Each thread
        must finish the frames that it started.

        Raises:
            ValueError: `image_bgr` is not an image.
            RuntimeError: the detector was closed, or no thread is left that could finish a frame.
        """
        check_image(image_bgr)
        request, thread = self.take_request(), threading.get_ident()
        started = time.perf_counter()
        try:
            letterbox(image_bgr, self.backend.input_hw, request.canvas_bgr)
            request.start()
        except BaseException:
            self.give_back(request, thread)
            raise
        pre_ms = (time.perf_counter() - started) * 1e3
        return PendingDetection(self, request, image_bgr.shape[:2], pre_ms, thread)

    def take_request(self) -> Request:
        thread = threading.get_ident()
        with self.changed:
            self.waiting.add(thread)
            try:
                # With all frames pending in threads that wait here, nobody could ever finish one.
                if not (self.idle or self.closed) and self.waiting.issuperset(self.starters):
                    raise RuntimeError(
                        f"all {self.num_requests} requests of this detector hold frames that were "
                        "started and not finished; call finish() on one before you start another"
                    )
                self.changed.wait_for(lambda: self.idle or self.closed)
            finally:
                self.waiting.discard(thread)
            if self.closed:
                raise RuntimeError("this detector was closed")
            self.starters.append(thread)
            return self.idle.pop()

    def give_back(self, request: Request, starter: int) -> None:
        with self.changed:
            self.starters.remove(starter)
            self.idle.append(request)
            self.changed.notify_all()

    def close(self) -> None:
        """Take no more frames and end the model's threads; pending frames can be finished."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.backend.close()

    def __enter__(self) -> "FrameDetector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class PendingDetection:
    """A frame that was started; `finish` it exactly once."""

    detector: FrameDetector
    request: Request | None
    frame_hw: tuple[int, int]
    pre_ms: float
    starter: int

    def finish(self) -> Detections:
        """Wait for the frame and return its detections.

        Raises:
            RuntimeError: it was finished before.
            ModelError: the model computed boxes or scores that are no finite numbers.
        """
        detector, request, self.request = self.detector, self.request, None
        if request is None:
            raise RuntimeError("this frame was finished before")
        try:
            output, input_hw = request.output(), detector.backend.input_hw
            started = time.perf_counter()
            xyxy, confidence, class_id = postprocess(
                output, input_hw, self.frame_hw, detector.confidence, detector.iou
            )
            infer_ms = request.infer_ms
        finally:
            detector.give_back(request, self.starter)
        class_names = [detector.backend.labels[index] for index in class_id]
        post_ms = (time.perf_counter() - started) * 1e3
        steps_ms = {"pre": self.pre_ms, "infer": infer_ms, "post": post_ms}
        return Detections(xyxy, confidence, class_id, class_names, steps_ms)


def check_fraction(name: str, value: object) -> float:
    """Return a number from 0 to 1 as float; raise ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; expected a number from 0 to 1")
    return float(value)


def check_image(image_bgr: object) -> None:
    """Raise ValueError for anything but an image, uint8 [height, width, 3]."""
    shape = getattr(image_bgr, "shape", ())
    if len(shape) != 3 or shape[2] != 3 or not all(shape) or image_bgr.dtype != np.uint8:
        found = f"{image_bgr.dtype} {list(shape)}" if shape else type(image_bgr).__name__
        raise ValueError(
            f"a frame is {found}; expected uint8 [height, width, 3] in BGR, as cv2.imread returns "
            "for a file that it can read"
        )
