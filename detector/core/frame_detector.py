"""From a frame to its detections, with any backend: what is evaluated is what is deployed.

A backend is a model in a runtime. It has

- `labels`, class names; `input_hw`, height and width of its input; `precision`, as "i8+bf16";
- `num_requests`: how many requests keep all cores busy;
- `new_request()`: a request with `canvas_bgr`, uint8 [*input_hw, 3], to write a letterboxed frame
  to; `start()`; `output()`, which waits and returns float32 [4 + classes, anchors]; `infer_ms`;
- `close()`.
"""

import time
from dataclasses import dataclass
from queue import LifoQueue
from types import TracebackType

import numpy as np

from detector.core.boxes import letterbox, postprocess

CONFIDENCE, NMS_IOU = 0.25, 0.45  # of a deployed detector, unless it is told otherwise


@dataclass(frozen=True)
class Detections:
    """The objects found in one frame, best first.

    The first three fields are those of `supervision.Detections`.

    Attributes:
        xyxy: float32 [n, 4], pixels of the frame, clipped to it.
        confidence: float32 [n], 0..1.
        class_id: int64 [n], indices into the model's labels.
        class_names: the n labels themselves.
        steps_ms: milliseconds of the steps `pre`, `infer` and `post`.
    """

    xyxy: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    class_names: list[str]
    steps_ms: dict[str, float]

    def __len__(self) -> int:
        return len(self.confidence)


class FrameDetector:
    """Detects objects in frames with a backend. Several threads may share one.

    Args:
        backend: a loaded model, see above.
        confidence: keep boxes with at least this score, 0..1.
        iou: drop a box that overlaps a better one of its class by more than this, 0..1.
    """

    def __init__(self, backend, confidence: float = CONFIDENCE, iou: float = NMS_IOU):
        self.backend, self.confidence, self.iou = backend, confidence, iou
        self.num_requests: int = backend.num_requests
        self.idle: LifoQueue = LifoQueue()
        for _ in range(self.num_requests):
            self.idle.put(backend.new_request())

    def __call__(self, image_bgr: np.ndarray) -> Detections:
        """Detect in one frame, uint8 [height, width, 3]."""
        return self.start(image_bgr).finish()

    def start(self, image_bgr: np.ndarray) -> "PendingDetection":
        """Start a frame and return before it is done.

        Waits while `num_requests` frames are pending, until another thread finishes one.

        Raises:
            ValueError: `image_bgr` is not a picture.
            RuntimeError: the detector was closed.
        """
        check_image(image_bgr)
        request = self.idle.get()
        if request is None:
            self.idle.put(None)
            raise RuntimeError("this detector was closed")
        try:
            started = time.perf_counter()
            letterbox(image_bgr, self.backend.input_hw, request.canvas_bgr)
            request.start()
            pre_ms = (time.perf_counter() - started) * 1e3
        except BaseException:
            self.idle.put(request)
            raise
        return PendingDetection(self, request, image_bgr.shape[:2], pre_ms)

    def close(self) -> None:
        """Wait for frames that are pending in other threads, and free the model."""
        for _ in range(self.num_requests):
            if self.idle.get() is None:
                break
        self.idle.put(None)
        self.backend.close()

    def __enter__(self) -> "FrameDetector":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class PendingDetection:
    """A frame that was started; `finish` it exactly once."""

    detector: FrameDetector
    request: object
    frame_hw: tuple[int, int]
    pre_ms: float

    def finish(self) -> Detections:
        """Wait for the frame and return its detections."""
        detector, request = self.detector, self.request
        try:
            output = request.output()
            started = time.perf_counter()
            xyxy, confidence, class_id = postprocess(
                output,
                detector.backend.input_hw,
                self.frame_hw,
                detector.confidence,
                detector.iou,
            )
            infer_ms = request.infer_ms
        finally:
            detector.idle.put(request)
        class_names = [detector.backend.labels[index] for index in class_id]
        post_ms = (time.perf_counter() - started) * 1e3
        steps_ms = {"pre": self.pre_ms, "infer": infer_ms, "post": post_ms}
        return Detections(xyxy, confidence, class_id, class_names, steps_ms)


def check_image(image_bgr: object) -> None:
    """Raise ValueError for anything but a picture, uint8 [height, width, 3]."""
    shape = getattr(image_bgr, "shape", ())
    if len(shape) != 3 or shape[2] != 3 or not all(shape) or image_bgr.dtype != np.uint8:
        found = f"{image_bgr.dtype} {list(shape)}" if shape else type(image_bgr).__name__
        raise ValueError(
            f"a frame is {found}; expected uint8 [height, width, 3] in BGR, as cv2.imread returns "
            "for a file that it can read"
        )


def raw_output(backend, canvas_bgr: np.ndarray) -> np.ndarray:
    """Run a backend on one letterboxed frame.

    Args:
        backend: see above.
        canvas_bgr: uint8 [*input_hw, 3].

    Returns:
        A copy of its output, float32 [4 + classes, anchors], see `boxes.postprocess`.
    """
    request = backend.new_request()
    request.canvas_bgr[:] = canvas_bgr
    request.start()
    return request.output().copy()
