"""Evaluate: accuracy of one variant on the val list, by pycocotools.

In:   the model: .pth (PyTorch), .onnx (ONNX Runtime) or a folder with an OpenVINO IR
      data/split/val.json, data/dataset
Out:  metrics/accuracy/<variant>.json   AP, AP50, size_mb of the model; in `details` AP75, AP_small,
                                        AP_medium, AP_large, AR100, images, boxes, per_class,
                                        AP_interval, precision, as_deployed; truth and resampled,
                                        by which `make review` compares two commits in pairs
      metrics/curves/<variant>.csv      recall and precision at IoU 0.5
      data/detections/<variant>.json    detections, rows of a COCO result file, for `compare`
      --deployed                        detections in the precision that this machine would choose
      --pool-detections                 the same in the frames of --pool, data/pool, for `compare`

All variants share letterbox and NMS. AP is computed in float32, which compares variants;
`as_deployed` repeats it in the precision that this machine would choose, since OpenVINO silently
computes in bfloat16 where it can. `AP_interval` is the 95 % interval of AP over resamples of the
val images.

Run:  python -m stages.evaluate models/int8 data/split/val.json data/dataset \
          metrics/accuracy/int8.json metrics/curves/int8.csv data/detections/int8.json
"""

import json
from pathlib import Path

from detector.core.backend import ModelError
from detector.core.frame_detector import FrameDetector
from detector.runtime.detector import load_backend
from stages.common.coco import labels_of, read_coco
from stages.common.coco_eval import accuracy, detect_images, precision_recall, score
from stages.common.files import read_json, size_mb, write_csv, write_json, write_text
from stages.common.metrics import with_details
from stages.common.params import Evaluate, load_params
from stages.common.run import UserError, progress, run_stage
from stages.conversion.toolchain import check_toolchain
from stages.evaluation.bootstrap import interval, packed, resampled_ap, truth_id


def main(
    model: Path,
    val: Path,
    dataset: Path,
    out: Path,
    curve: Path,
    detections: Path,
    *,
    deployed: Path | None = None,
    pool: Path | None = None,
    pool_detections: Path | None = None,
) -> None:
    """Measure the accuracy of one model file, and detect in the frames of the pool."""
    params = load_params()
    check_toolchain(params.toolchain)
    coco = read_coco(val, boxes_needed=True)
    backend = open_backend(model, "f32")
    check_labels(model, backend.labels, labels_of(coco))
    found = detect(backend, coco, dataset / "images", params.evaluate)
    evaluation = score(coco, found)
    resampled = resampled_ap(evaluation)
    ends = interval(resampled, len(coco["images"]))
    result = {
        **accuracy(coco, evaluation),
        "AP_interval": [round(end, 4) for end in ends],
        "precision": backend.precision,
        "truth": truth_id(coco),
        "resampled": packed(resampled),
    }
    fast, found_fast, figures = open_backend(model, None), found, result
    if fast.precision != backend.precision:
        found_fast = detect(fast, coco, dataset / "images", params.evaluate)
        figures = accuracy(coco, score(coco, found_fast))
    kept = {name: figures[name] for name in ("AP", "AP50", "AP75")}
    result["as_deployed"] = {**kept, "precision": fast.precision}
    result["size_mb"] = round(size_mb(model), 2)
    write_json(out, with_details(result, "AP", "AP50", "size_mb"))
    write_csv(curve, ("recall", "precision"), precision_recall(evaluation))
    write_text(detections, json.dumps(found) + "\n")
    if deployed:
        write_text(deployed, json.dumps(found_fast) + "\n")
    if pool and pool_detections:
        frames = read_json(pool / "annotations.json")
        in_pool = detect(fast, frames, pool / "images", params.evaluate)
        write_text(pool_detections, json.dumps(in_pool) + "\n")
    low, high = result["AP_interval"]
    print(
        f"{model}: AP {result['AP']:.3f} (95 % {low:.2f} to {high:.2f}) in {backend.precision}, "
        f"{kept['AP']:.3f} as deployed in {fast.precision}, on {result['images']} images"
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
