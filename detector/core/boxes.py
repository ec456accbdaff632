"""From a frame to the model's input, and from the model's output to boxes.

All four variants (PyTorch, ONNX, OpenVINO FP16 and INT8) are measured through these functions,
and a deployed detector runs the same ones. Protocol of YOLOX (yolox/data/data_augment.py
`preproc`, yolox/utils/boxes.py `postprocess`): BGR, 0..255, letterboxed to the top left with
114; NMS within each class. The grid decode is part of the model.
"""

import cv2
import numpy as np

from detector.core.backend import ModelError

PAD_VALUE = 114
STRIDES = (8, 16, 32)


def letterbox_scale(frame_hw: tuple[int, int], input_hw: tuple[int, int]) -> float:
    """Return pixels of the model's input per pixel of the frame."""
    return min(input_hw[0] / frame_hw[0], input_hw[1] / frame_hw[1])


def fitted_hw(frame_hw: tuple[int, int], input_hw: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the scaled frame within the model's input.

    Rounded to nearest, where YOLOX truncates: 720 rows times 0.35 are 252, and not 251 because the
    product falls short in its last bit, which moved boxes at the bottom by 3 px.
    """
    scale = letterbox_scale(frame_hw, input_hw)
    return max(1, round(frame_hw[0] * scale)), max(1, round(frame_hw[1] * scale))


def letterbox(
    image_bgr: np.ndarray, input_hw: tuple[int, int], canvas_bgr: np.ndarray | None = None
) -> np.ndarray:
    """Scale a frame to fit the model's input, and pad it right and below.

    Args:
        image_bgr: uint8 [height, width, 3].
        input_hw: height and width of the model's input, multiples of 32.
        canvas_bgr: uint8 [*input_hw, 3], written to instead of a new one.

    Returns:
        The canvas.
    """
    if canvas_bgr is None:
        canvas_bgr = np.empty((*input_hw, 3), np.uint8)
    height, width = fitted_hw(image_bgr.shape[:2], input_hw)
    fitted = canvas_bgr[:height, :width]
    cv2.resize(image_bgr, (width, height), dst=fitted, interpolation=cv2.INTER_LINEAR)
    canvas_bgr[height:] = PAD_VALUE
    canvas_bgr[:height, width:] = PAD_VALUE
    return canvas_bgr


def as_blob(canvas_bgr: np.ndarray) -> np.ndarray:
    """Return a letterboxed frame, uint8 [height, width, 3], as float32 [1, 3, height, width]."""
    return np.ascontiguousarray(canvas_bgr.transpose(2, 0, 1)[None], np.float32)


def anchor_count(input_hw: tuple[int, int]) -> int:
    """Count the predictions of a model with this input."""
    return sum((input_hw[0] // stride) * (input_hw[1] // stride) for stride in STRIDES)


def postprocess(
    output: np.ndarray,
    input_hw: tuple[int, int],
    frame_hw: tuple[int, int],
    confidence: float | np.ndarray,
    nms_iou: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take one frame's boxes from the model's output, with NMS within each class.

    Args:
        output: float32 [4 + classes, anchors]: center x, center y, width, height in pixels of the
            input, and the score of each class, 0..1.
        input_hw: the model's input.
        frame_hw: height and width of the frame that was letterboxed.
        confidence: keep boxes whose score reaches this, 0..1, or that of their class, [classes].
        nms_iou: drop a box that overlaps a better one of its class by more than this, 0..1.

    Returns:
        boxes_xyxy float32 [n, 4] in pixels of the frame, clipped to it; scores float32 [n],
        best first; class indices int64 [n].

    Raises:
        ModelError: a score, or a box that is kept, is not a finite number.
    """
    every_score = output[4:].max(axis=0)  # NaN where one of the classes is
    kept = np.flatnonzero(every_score >= np.min(confidence))
    classes = output[4:, kept].argmax(axis=0)
    if np.ndim(confidence):
        enough = every_score[kept] >= confidence[classes]
        kept, classes = kept[enough], classes[enough]
    scores = every_score[kept]
    if not (np.isfinite(every_score).all() and np.isfinite(output[:4, kept]).all()):
        raise ModelError(
            "the model computes boxes or scores that are not finite numbers; train it again, or "
            "copy its file again if it was good before"
        )
    centers, halves = output[:2, kept].T, output[2:4, kept].T / 2
    boxes_xyxy = np.concatenate([centers - halves, centers + halves], axis=1)
    boxes_xyxy /= np.float32(letterbox_scale(frame_hw, input_hw))
    best = nms(boxes_xyxy, scores, classes, nms_iou)
    corner_xyxy = np.array([frame_hw[1], frame_hw[0]] * 2, np.float32)
    return boxes_xyxy[best].clip(0, corner_xyxy), scores[best], classes[best]


def nms(
    boxes_xyxy: np.ndarray, scores: np.ndarray, classes: np.ndarray, nms_iou: float
) -> np.ndarray:
    """Return the indices that greedy NMS within each class keeps, best first."""
    if not len(boxes_xyxy):
        return np.zeros(0, np.int64)
    boxes_xywh = np.hstack([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]])
    kept = cv2.dnn.NMSBoxesBatched(
        boxes_xywh.tolist(), scores.tolist(), classes.tolist(), 0.0, nms_iou
    )
    kept = np.asarray(kept, np.int64).reshape(-1)
    return kept[np.argsort(-scores[kept], kind="stable")]
