"""OpenVINO IRs of this pipeline: written with the hash of their weights, described for others."""

import errno
import hashlib
import json
from pathlib import Path

import openvino as ov

from detector.core.boxes import PAD_VALUE
from detector.core.frame_detector import CONFIDENCE, NMS_IOU
from detector.runtime.model_file import IR_FILE

try:
    from openvino import Node, opset13
except ImportError:  # openvino 2024, which openvino-dev belongs to
    from openvino.runtime import Node, opset13

__all__ = ["Node", "describe", "opset13", "save_ir"]


def save_ir(model: ov.Model, folder: Path) -> None:
    """Write yolox.xml and yolox.bin into a new folder; the .xml names the SHA-256 of the .bin.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir()
    path = folder / IR_FILE
    try:
        # `compress_to_fp16` would round every tensor; the caller has chosen which ones to round.
        ov.save_model(model, path, compress_to_fp16=False)
        weights = path.with_suffix(".bin").read_bytes()
        model.set_rt_info(hashlib.sha256(weights).hexdigest(), ["detector", "bin_sha256"])
        ov.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # OpenVINO does not say what the system answered
        raise OSError(errno.EIO, "the disk is full or cannot be written to", str(path)) from error


def describe(model: ov.Model, labels: list[str], operating_point: dict | None) -> None:
    """Write class names, and how to use the model, into its runtime information.

    This project reads `detector/labels` and `detector/operating_point`. OpenVINO ModelAPI reads
    `model_info` and knows this output as that of YOLOv8; DL Streamer reads the same keys but calls
    the type yolo_v8. Both separate labels by spaces, so spaces in a label become underscores, and
    both know a single confidence for all classes.
    """
    model.set_rt_info(json.dumps(labels), ["detector", "labels"])
    if operating_point:
        model.set_rt_info(json.dumps(operating_point), ["detector", "operating_point"])
    info = {
        "model_type": "YOLOv8",
        "labels": " ".join("_".join(label.split()) for label in labels),
        "confidence_threshold": (operating_point or {"confidence": CONFIDENCE})["confidence"],
        "iou_threshold": NMS_IOU,
        "resize_type": "fit_to_window",  # to the top left, as letterbox does
        "pad_value": PAD_VALUE,
        "reverse_input_channels": False,  # BGR stays BGR
        "scale_values": 1.0,  # 0..255 goes in
    }
    for key, value in info.items():
        model.set_rt_info(str(value), ["model_info", key])
