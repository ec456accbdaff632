"""Evaluate: accuracy of one variant on the val list, by pycocotools.

In:   the model: .pth (PyTorch), .onnx (ONNX Runtime) or a folder with an OpenVINO IR
      data/split/val.json, data/dataset
Out:  metrics/accuracy/<variant>.json   AP, AP50, size_mb of the model; in `details` AP75, AP_small,
                                        AP_medium, AP_large, AR100, images, boxes, per_class,
                                        AP_interval, precision, as_deployed
      metrics/curves/<variant>.csv      recall and precision at IoU 0.5
      data/detections/<variant>.json    detections, rows of a COCO result file, for `compare`

All variants share letterbox and NMS. AP is computed in float32, which compares variants;
`as_deployed` repeats it in the precision that this machine would choose, since OpenVINO silently
computes in bfloat16 where it can. `AP_interval` is the 95 % interval of AP
over resamples of the val images; with few of them a line on stderr says how wide it is.

Run:  python -m stages.evaluate models/int8 data/split/val.json data/dataset \
          metrics/accuracy/int8.json metrics/curves/int8.csv data/detections/int8.json
"""

import json
import sys
from pathlib import Path

from detector.core.frame_detector import FrameDetector
from detector.runtime.detector import load_backend
from detector.runtime.model_file import ModelError
from stages.common.coco import labels_of, read_coco
from stages.common.coco_eval import accuracy, detect_images, precision_recall, score
from stages.common.files import size_mb, write_csv, write_json, write_text
from stages.common.metrics import FEW_IMAGES, with_details
from stages.common.params import Evaluate, load_params
from stages.common.run import UserError, progress, run_stage
from stages.conversion.toolchain import check_toolchain
from stages.evaluation.bootstrap import interval


def main(model: Path, val: Path, dataset: Path, out: Path, curve: Path, detections: Path) -> None:
    """Measure the accuracy of one model file."""
    params = load_params()
    check_toolchain(params.toolchain)
    coco = read_coco(val, boxes_needed=True)
    backend = open_backend(model, "f32")
    check_labels(model, backend.labels, labels_of(coco))
    found = detect(backend, coco, dataset / "images", params.evaluate)
    evaluation = score(coco, found)
    result = {
        **accuracy(coco, evaluation),
        "AP_interval": [round(end, 4) for end in interval(evaluation)],
        "precision": backend.precision,
    }
    deployed = open_backend(model, None)
    if deployed.precision != backend.precision:
        found_deployed = detect(deployed, coco, dataset / "images", params.evaluate)
        figures = accuracy(coco, score(coco, found_deployed))
    else:
        figures = result
    kept = {name: figures[name] for name in ("AP", "AP50", "AP75")}
    result["as_deployed"] = {**kept, "precision": deployed.precision}
    result["size_mb"] = round(size_mb(model), 2)
    write_json(out, with_details(result, "AP", "AP50", "size_mb"))
    write_csv(curve, ("recall", "precision"), precision_recall(evaluation))
    write_text(detections, json.dumps(found) + "\n")
    print(
        f"{out.stem}: AP {result['AP']:.3f}, AP50 {result['AP50']:.3f} ({backend.precision}), "
        f"AP {kept['AP']:.3f} as deployed ({deployed.precision})"
    )
    if result["images"] < FEW_IMAGES:
        print(caution(result), file=sys.stderr)


def caution(result: dict) -> str:
    """Warn how uncertain the AP of few val images is."""
    low, high = result["AP_interval"]
    return (
        f"only {result['images']} val image{'s' if result['images'] > 1 else ''}: "
        f"AP {result['AP']:.3f} is uncertain, 95 % interval {low:.2f} to {high:.2f} "
        "(bootstrap over images); label more frames before you trust small differences"
    )


def open_backend(model: Path, precision: str | None):
    """Open a model file in its runtime; PyTorch is only imported where it is needed."""
    if model.suffix == ".pth":
        from stages.yolox.model import load_torch_backend

        return load_torch_backend(model)
    return load_backend(model, precision)


def check_labels(model: Path, labels: list[str], expected: list[str]) -> None:
    if labels != expected:
        raise UserError(
            f"{model} knows {labels}, the val list has {expected}; run `dvc repro train`"
        )


def detect(backend, coco: dict, images_dir: Path, params: Evaluate) -> list[dict]:
    """Detect in every image of `coco`; rows of a COCO result file."""
    images = progress(coco["images"], f"evaluating in {backend.precision}")
    with FrameDetector(backend, params.confidence, params.nms_iou) as detector:
        return detect_images(detector, images, images_dir)


if __name__ == "__main__":
    run_stage(main, ModelError)
