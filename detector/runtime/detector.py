"""The deployed detector: a model file in its runtime."""

from pathlib import Path

import numpy as np

from detector.core.backend import Backend, ModelError
from detector.core.frame_detector import CONFIDENCE, NMS_IOU, FrameDetector
from detector.runtime.model_file import IR_FILE, confidences


class Detector(FrameDetector):
    """Detects objects in frames with a model file of this project. Several threads may share one.

    Args:
        model_path: a .xml (OpenVINO) or .onnx (ONNX Runtime) file, or the folder of a .xml.
        confidence: keep boxes with at least this score, 0..1; None: the model's own, which the
            stage `operating_point` chose, for each class where they differ.
        iou: drop a box that overlaps a better one of its class by more than this, 0..1.
        throughput: optimize for frames per second, as for files, instead of for the latency of
            each frame.
        cache_dir: folder for compiled models, which makes the next start faster.

    Raises:
        ModelError: the file is missing or not a detector of this project.
        ValueError: `confidence` or `iou` is not a number from 0 to 1.

    Example:
        >>> import cv2
        >>> from detector import Detector
        >>> with Detector("models/int8") as detector:
        ...     detections = detector(cv2.imread("frame.jpg"))
        >>> detections.xyxy, detections.confidence, detections.class_names
    """

    def __init__(
        self,
        model_path: Path | str,
        confidence: float | None = None,
        iou: float = NMS_IOU,
        *,
        throughput: bool = False,
        cache_dir: Path | str | None = None,
    ):
        backend = load_backend(Path(model_path), None, throughput, cache_dir)
        super().__init__(backend, CONFIDENCE if confidence is None else confidence, iou)
        if confidence is None and backend.operating_point:
            own = confidences(backend.operating_point, backend.labels)
            self.confidence = own[0] if len(set(own)) == 1 else np.array(own, np.float32)


def load_backend(
    path: Path,
    precision: str | None = None,
    throughput: bool = False,
    cache_dir: Path | str | None = None,
) -> Backend:
    """Load a model by its suffix: .onnx in ONNX Runtime; .xml, or its folder, in OpenVINO.

    Args:
        path: the model.
        precision, throughput, cache_dir: see `OpenVinoBackend`; ONNX Runtime has one precision
            and no cache.

    Raises:
        ModelError: unknown suffix, missing file or runtime, or not a detector of this project.
    """
    if not path.exists():
        raise ModelError(
            f"{path} does not exist, seen from {Path.cwd()}; give a .xml or .onnx file, or the "
            "folder of a .xml, such as models/int8 of the repository"
        )
    if path.is_dir() and not (path / IR_FILE).exists():
        below = ", ".join(str(found.parent) for found in sorted(path.glob(f"*/{IR_FILE}")))
        raise ModelError(
            f"{path} holds no {IR_FILE}; give {below or 'the folder that `dvc repro` wrote'}"
        )
    if path.suffix == ".xml" or path.is_dir():
        from detector.runtime.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(path, precision, throughput, cache_dir)
    if path.suffix != ".onnx":
        raise ModelError(f"{path} has an unknown suffix; expected a .xml or .onnx model")
    try:
        from detector.runtime.onnx_backend import OnnxBackend
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{path} needs ONNX Runtime, which is not installed: pip install onnxruntime, or use "
            "the .xml model"
        ) from error
    return OnnxBackend(path, throughput)
