"""Detections of several models, or of one model in several ways, in frames without labels."""

from pathlib import Path

import numpy as np

from detector.core.backend import Backend
from detector.core.frame_detector import FrameDetector
from stages.common.coco import read_image
from stages.common.coco_eval import coco_rows
from stages.common.files import read_json
from stages.common.params import Evaluate, Params
from stages.common.run import progress
from stages.evaluate import detect, open_backend

DETECTIONS, MODELS = Path("data/detections"), Path("models")


def other_answers(pool: dict, images_dir: Path, params: Params) -> list[list[dict]]:
    """Return what INT8, the IR in a mirror, and the IRs of all folds find in the pool.

    The models of the folds answer where there is a cross-validation.

    Returns:
        Rows of COCO result files.
    """
    found = [read_json(DETECTIONS / "pool_int8.json")]
    mirrored = open_backend(MODELS / "ir", None)
    found.append(detect_mirrored(mirrored, pool, images_dir, params.evaluate))
    for fold in params.crossval.folds:
        backend = open_backend(MODELS / f"folds/{params.crossval.seeds[0]}-{fold}/ir", None)
        found.append(detect(backend, pool, images_dir, params.evaluate))
    return found


def detect_mirrored(backend: Backend, coco: dict, images_dir: Path, params: Evaluate) -> list[dict]:
    """Detect in every image seen in a mirror; rows of a COCO result file, mirrored back."""
    rows = []
    with FrameDetector(backend, params.confidence, params.nms_iou) as detector:
        for image in progress(coco["images"], "evaluating mirrored"):
            image_bgr = read_image(images_dir / image["file_name"])
            found = detector(np.ascontiguousarray(image_bgr[:, ::-1]))
            x0, y0, x1, y1 = found.xyxy.T
            width = image_bgr.shape[1]
            boxes_xyxy = np.stack([width - x1, y0, width - x0, y1], 1)
            rows += coco_rows(image["id"], boxes_xyxy, found.confidence, found.class_id)
    return rows
