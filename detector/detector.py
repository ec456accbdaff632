"""The detector that is deployed."""

import time
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from types import TracebackType

import numpy as np

from detector.backends import load_backend
from detector.boxes import find_boxes, letterbox

CONFIDENCE, NMS_IOU = 0.25, 0.45  # of a deployed detector, unless it is told otherwise


@dataclass(frozen=True)
class Detections:
    """What was found in one frame, best first.

    Attributes:
        boxes_xyxy: float32 [n, 4], pixels of the frame, clipped to it.
        scores: float32 [n], 0..1.
        labels: n class names.
        classes: int64 [n], indices of the class names.
        steps_ms: how long `pre`, `infer` and `post` took.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: list[str]
    classes: np.ndarray
    steps_ms: dict[str, float]


class Detector:
    """Finds objects in frames with a model of this project. Several threads may share one.

    Args:
        model_path: a .xml (OpenVINO) or .onnx (ONNX Runtime) file, or the folder of a .xml.
        confidence: keep boxes with at least this score, 0..1.
        iou: drop a box that overlaps a better one of its class by more than this, 0..1.
        throughput: many frames a second, for files, instead of each frame as soon as possible.
        cache_dir: where compiled models are kept, so that the next start is faster.

    Raises:
        ModelError: the file is missing or not a detector of this project.

    Example:
        >>> import cv2
        >>> from detector.detector import Detector
        >>> with Detector("models/int8/yolox.xml") as detector:
        ...     found = detector(cv2.imread("frame.jpg"))
        >>> found.boxes_xyxy, found.scores, found.labels
    """

    def __init__(
        self,
        model_path: Path | str,
        confidence: float = CONFIDENCE,
        iou: float = NMS_IOU,
        *,
        throughput: bool = False,
        cache_dir: Path | None = None,
    ):
        backend = load_backend(Path(model_path), None, throughput, cache_dir)
        self.use(backend, confidence, iou)

    @classmethod
    def of(cls, backend, confidence: float = CONFIDENCE, iou: float = NMS_IOU) -> "Detector":
        """A detector of a backend that was loaded before, see `detector.backends`."""
        detector = cls.__new__(cls)
        detector.use(backend, confidence, iou)
        return detector

    def use(self, backend, confidence: float, iou: float) -> None:
        self.backend, self.confidence, self.iou = backend, confidence, iou
        self.in_flight: int = backend.in_flight
        self.idle: LifoQueue = LifoQueue()
        for _ in range(self.in_flight):
            self.idle.put(backend.new_request())

    def __call__(self, image_bgr: np.ndarray) -> Detections:
        """Detects in one frame, uint8 [height, width, 3]."""
        return self.start(image_bgr).finish()

    def start(self, image_bgr: np.ndarray) -> "Started":
        """Sends a frame on its way and returns before it is through.

        Where `in_flight` frames are on their way, waits until another thread finishes one.

        Raises:
            ValueError: this is no picture.
        """
        refuse_no_picture(image_bgr)
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
        return Started(self, request, image_bgr.shape[:2], pre_ms)

    def close(self) -> None:
        """Waits for frames that are on their way in other threads, and frees the model."""
        for _ in range(self.in_flight):
            if self.idle.get() is None:
                break
        self.idle.put(None)
        self.backend.close()

    def __enter__(self) -> "Detector":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def refuse_no_picture(image_bgr: object) -> None:
    shape = getattr(image_bgr, "shape", ())
    if len(shape) != 3 or shape[2] != 3 or not all(shape) or image_bgr.dtype != np.uint8:
        found = f"{image_bgr.dtype} {list(shape)}" if shape else type(image_bgr).__name__
        raise ValueError(
            f"a frame is {found}; expected uint8 [height, width, 3] in BGR, as cv2.imread returns "
            "for a file that it can read"
        )


@dataclass(frozen=True)
class Started:
    """A frame on its way; `finish` it exactly once."""

    detector: Detector
    request: object
    frame_hw: tuple[int, int]
    pre_ms: float

    def finish(self) -> Detections:
        """Waits for the frame and returns what was found in it."""
        detector, request = self.detector, self.request
        try:
            output = request.output()
            started = time.perf_counter()
            boxes_xyxy, scores, classes = find_boxes(
                output,
                detector.backend.input_hw,
                self.frame_hw,
                detector.confidence,
                detector.iou,
            )
            infer_ms = request.infer_ms
        finally:
            detector.idle.put(request)
        steps_ms = {
            "pre": self.pre_ms,
            "infer": infer_ms,
            "post": (time.perf_counter() - started) * 1e3,
        }
        labels = [detector.backend.labels[index] for index in classes]
        return Detections(boxes_xyxy, scores, labels, classes, steps_ms)


def detect(
    backend, image_bgr: np.ndarray, confidence: float, iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Letterbox, inference and suppression of one frame: what is measured and shipped.

    Args:
        backend: anything with `input_hw` and `infer`, see `detector.backends`.
        image_bgr: uint8 [height, width, 3].
        confidence: keep boxes with at least this score, 0..1.
        iou: drop a box that overlaps a better one of its class by more than this, 0..1.

    Returns:
        boxes_xyxy, scores and class indices as `find_boxes` gives them.
    """
    output = backend.infer(letterbox(image_bgr, backend.input_hw))
    return find_boxes(output, backend.input_hw, image_bgr.shape[:2], confidence, iou)
