"""The detector that is deployed."""

from dataclasses import dataclass
from pathlib import Path

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
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: list[str]


class Detector:
    """Finds objects in frames with a model of this project.

    Args:
        model_path: a .xml (OpenVINO) or .onnx (ONNX Runtime) file.
        confidence: keep boxes with at least this score, 0..1.
        iou: drop a box that overlaps a better one of its class by more than this, 0..1.

    Raises:
        ModelError: the file is missing or not a detector of this project.

    Example:
        >>> detector = Detector("models/int8/yolox.xml")
        >>> found = detector(cv2.imread("frame.jpg"))
        >>> found.boxes_xyxy, found.scores, found.labels
    """

    def __init__(
        self, model_path: Path | str, confidence: float = CONFIDENCE, iou: float = NMS_IOU
    ):
        self.backend = load_backend(Path(model_path))
        self.confidence = confidence
        self.iou = iou

    def __call__(self, image_bgr: np.ndarray) -> Detections:
        """Detects in one frame, uint8 [height, width, 3]."""
        boxes_xyxy, scores, classes = detect(self.backend, image_bgr, self.confidence, self.iou)
        return Detections(boxes_xyxy, scores, [self.backend.labels[index] for index in classes])


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
