"""The detector that is deployed: a model file in the runtime that belongs to it."""

from pathlib import Path

from detector.core.frame_detector import CONFIDENCE, NMS_IOU, FrameDetector
from detector.runtime.model_file import ModelError


class Detector(FrameDetector):
    """Detects objects in frames with a model file of this project. Several threads may share one.

    Args:
        model_path: a .xml (OpenVINO) or .onnx (ONNX Runtime) file, or the folder of a .xml.
        confidence: keep boxes with at least this score, 0..1.
        iou: drop a box that overlaps a better one of its class by more than this, 0..1.
        throughput: as many frames a second as possible, for files, instead of each frame as soon
            as possible.
        cache_dir: where compiled models are kept, so that the next start is faster.

    Raises:
        ModelError: the file is missing or not a detector of this project.

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
        confidence: float = CONFIDENCE,
        iou: float = NMS_IOU,
        *,
        throughput: bool = False,
        cache_dir: Path | None = None,
    ):
        super().__init__(
            load_backend(Path(model_path), None, throughput, cache_dir), confidence, iou
        )


def load_backend(
    path: Path,
    precision: str | None = None,
    throughput: bool = False,
    cache_dir: Path | None = None,
):
    """Load a model by its suffix: .onnx in ONNX Runtime; .xml, or its folder, in OpenVINO.

    Args:
        path: the model.
        precision, throughput, cache_dir: see `OpenVinoBackend`; ONNX Runtime has one precision
            and no cache.

    Returns:
        A backend, see `detector.core.frame_detector`.

    Raises:
        ModelError: unknown suffix, missing file or runtime, or not a detector of this project.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected a .xml or .onnx model")
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
