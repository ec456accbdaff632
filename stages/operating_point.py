"""Operating point: choose the confidence that the deployed model reports objects from.

In:   models/yolox.pth                  the weights that `train` kept
      data/split/val.json, data/dataset what they find in the val images
      data/out_of_fold.json             with a cross-validation: what the models of the folds found
                                        in all images, which counts instead
Out:  metrics/operating_point.json   confidence, and with it precision, recall, F1 and
                                     false_alarms_per_1000: wrong detections in 1,000 images without
                                     an object (null where there are no such images); in `details`
                                     the same per_class, and what it was chosen on and by
      metrics/operating_point.csv    precision, recall and F1 for every hundredth of confidence

`evaluate.min_precision` and `min_recall` say what is wanted; without them it is the best F1. A
class with at least ENOUGH_BOXES gets a confidence of its own, the others have that of all classes
together. `export` writes the result into the model, where `ir` and `quantize` keep it.

A detection is right if it overlaps a box of its class, which no better one has taken, by IoU 0.5,
after the NMS of a deployed detector. The val images are searched here once more, and not taken from
`evaluate`: that depends on the toolchain and the kind of machine, which must not change the model.

Run:  python -m stages.operating_point models/yolox.pth data/split/val.json data/dataset \
          data/out_of_fold.json metrics/operating_point.json metrics/operating_point.csv
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detector.core.boxes import nms
from detector.core.frame_detector import CONFIDENCE, NMS_IOU, FrameDetector
from stages.common.coco import labels_of, read_coco
from stages.common.coco_eval import detect_images
from stages.common.files import read_json, write_csv, write_json
from stages.common.metrics import describe_operating_point, with_details
from stages.common.params import Evaluate, Params, load_params
from stages.common.run import progress, run_stage
from stages.evaluation.matching import by_image, corners, match
from stages.yolox.model import load_torch_backend

CONFIDENCES = np.arange(1, 100) / 100
ENOUGH_BOXES = 50  # of a class; with fewer, its own confidence is mostly chance
HEADING = ("confidence", "precision", "recall", "F1")


class Judged(NamedTuple):
    """Detections [n] beside the truth."""

    scores: np.ndarray  # float [n], 0..1
    classes: np.ndarray  # int [n], indices into the labels
    right: np.ndarray  # bool [n]
    on_empty: np.ndarray  # bool [n], in an image without an object

    def of_class(self, index: int) -> "Judged":
        return Judged(*(column[self.classes == index] for column in self))


def main(
    weights: Path, val: Path, dataset: Path, out_of_fold: Path, out: Path, curve: Path
) -> None:
    """Choose the confidence of the deployed model."""
    params = load_params()
    coco, rows, judged_on = detections(weights, val, dataset, read_json(out_of_fold), params)
    judged = judge(coco, rows)
    point = {**operating_point(coco, judged, params.evaluate), "judged_on": judged_on}
    write_json(out, with_details(point, *HEADING, "false_alarms_per_1000"))
    table = curve_of(judged, len(coco["annotations"]))
    write_csv(curve, HEADING, np.round(table, 4).tolist())
    print(describe_operating_point(point))


def detections(
    weights: Path, val: Path, dataset: Path, out_of_fold: dict, params: Params
) -> tuple[dict, list[dict], str]:
    """Return a COCO, what was detected in its images, and a few words on these images."""
    if out_of_fold:
        words = "images, each judged by a model that was not trained on it"
        return out_of_fold, out_of_fold["detections"]["torch"], words
    coco, backend = read_coco(val, boxes_needed=True), load_torch_backend(weights)
    images = progress(coco["images"], "detecting in the val images")
    with FrameDetector(backend, params.evaluate.confidence, params.evaluate.nms_iou) as detector:
        rows = detect_images(detector, images, dataset / "images")
    if params.train.images == "train":
        return coco, rows, "val images"
    print(
        "train.images is all, so the confidence is chosen on images that the model was trained on, "
        "where it is too sure of itself; run `make crossval`",
        file=sys.stderr,
    )
    return coco, rows, "val images, which the model was trained on"


def judge(coco: dict, rows: list[dict]) -> Judged:
    """Match detections with the truth, after the NMS of a deployed detector."""
    truth, found, judged = by_image(coco["annotations"]), by_image(rows), []
    for image in coco["images"]:
        boxes, own = truth[image["id"]], deployed(found[image["id"]])
        judged += [
            (row["score"], row["category_id"] - 1, index is not None, not boxes)
            for row, (index, _) in zip(own, match(own, boxes), strict=True)
        ]
    scores, classes, right, on_empty = np.array(judged, float).reshape(-1, 4).T
    return Judged(scores, classes.astype(int), right.astype(bool), on_empty.astype(bool))


def deployed(rows: list[dict]) -> list[dict]:
    """Return the detections of one image that a deployed detector would report, best first."""
    scores = np.array([row["score"] for row in rows], np.float32)
    classes = np.array([row["category_id"] for row in rows], int)
    return [rows[index] for index in nms(corners(rows), scores, classes, NMS_IOU)]


def operating_point(coco: dict, judged: Judged, wanted: Evaluate) -> dict:
    """Choose the confidences; return them with their figures.

    Returns:
        `confidence` of all classes together; figures with the confidences that apply; counts of
        images and boxes; `chosen_by`; and `per_class` for each label its confidence, figures and
        number of boxes.
    """
    labels, annotations = labels_of(coco), coco["annotations"]
    boxes = np.bincount([a["category_id"] - 1 for a in annotations], minlength=len(labels))
    empty = len(coco["images"]) - len({annotation["image_id"] for annotation in annotations})
    confidence = choose(judged, len(annotations), wanted, "")
    confidences = np.full(len(labels), confidence)
    for index in np.flatnonzero(boxes >= ENOUGH_BOXES) if len(labels) > 1 else ():
        own = judged.of_class(index)
        confidences[index] = choose(own, int(boxes[index]), wanted, f" of {labels[index]}")
    per_class = {
        label: {
            "confidence": float(confidences[index]),
            "boxes": int(boxes[index]),
            **figures(judged.of_class(index), confidences, int(boxes[index]), empty),
        }
        for index, label in enumerate(labels)
    }
    return {
        "confidence": confidence,
        **figures(judged, confidences, len(annotations), empty),
        "images": len(coco["images"]),
        "images_without_objects": empty,
        "boxes": len(annotations),
        "chosen_by": limits_of(wanted) or "best F1",
        "per_class": per_class,
    }


def choose(judged: Judged, boxes: int, wanted: Evaluate, of_what: str) -> float:
    """Return a confidence that meets the limits, a hundredth.

    Every confidence with an F1 within a standard error of the best is as good, as in the
    one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984, section
    3.4.3). The middle of the widest range of these is taken: it hardly moves when a score or an
    image changes.

    Args:
        judged: detections.
        boxes: number of true boxes, at least 1.
        wanted: the limits.
        of_what: for the warning where they cannot be met.
    """
    table = curve_of(judged, boxes)
    if not table[:, 2].any():
        print(
            f"no detection{of_what} with a score of {CONFIDENCES[0]:g} or more is right, so the "
            f"confidence is {CONFIDENCE:g}; train longer, or look at the labels",
            file=sys.stderr,
        )
        return CONFIDENCE
    confidence, precision, recall, f1 = table.T
    good, met = best_by_limits(precision, recall, wanted)
    best = f1[good].max()
    good &= f1 >= best - (best * (1 - best) / boxes) ** 0.5
    places = np.flatnonzero(good)
    widest = max(np.split(places, np.flatnonzero(np.diff(places) > 1) + 1), key=len)
    middle = widest[(len(widest) - 1) // 2]
    if not met:
        print(
            f"no confidence{of_what} has {limits_of(wanted)}; the closest is "
            f"{confidence[middle]:g}, with precision {precision[middle]:.3f} and recall "
            f"{recall[middle]:.3f}; ask for less in the section evaluate, or label more images",
            file=sys.stderr,
        )
    return float(confidence[middle])


def best_by_limits(
    precision: np.ndarray, recall: np.ndarray, wanted: Evaluate
) -> tuple[np.ndarray, bool]:
    """Return which confidences are closest to the limits, bool [n], and whether they meet them.

    With one limit, only those of them whose other figure is the best.
    """
    least_precision, least_recall = wanted.min_precision, wanted.min_recall
    missing = np.maximum((least_precision or 0) - precision, 0)
    missing += np.maximum((least_recall or 0) - recall, 0)
    good = missing <= missing.min()
    if least_precision is not None and least_recall is None:
        good &= recall >= recall[good].max()
    if least_recall is not None and least_precision is None:
        good &= precision >= precision[good].max()
    return good, not missing.min()


def limits_of(wanted: Evaluate) -> str:
    """Name the limits that are set; "" without any."""
    limits = {"min_precision": wanted.min_precision, "min_recall": wanted.min_recall}
    return " and ".join(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)


def curve_of(judged: Judged, boxes: int) -> np.ndarray:
    """Return the columns of HEADING, [n, 4], for every confidence with which anything is found."""
    reported = (judged.scores >= CONFIDENCES[:, None]).sum(axis=1)
    right = (judged.scores[judged.right] >= CONFIDENCES[:, None]).sum(axis=1)
    found = reported > 0
    reported, right = reported[found], right[found]
    return np.stack(
        [CONFIDENCES[found], right / reported, right / boxes, 2 * right / (reported + boxes)],
        axis=1,
    )


def figures(judged: Judged, confidences: np.ndarray, boxes: int, empty: int) -> dict:
    """Return precision, recall, F1 and false alarms; None where there is nothing to count.

    Args:
        judged: detections.
        confidences: [classes].
        boxes: number of true boxes.
        empty: number of images without an object.
    """
    kept = judged.scores >= confidences[judged.classes]
    reported, right = int(kept.sum()), int((kept & judged.right).sum())
    return {
        "precision": ratio(right, reported),
        "recall": ratio(right, boxes),
        "F1": ratio(2 * right, reported + boxes),
        "false_alarms_per_1000": ratio(1000 * int((kept & judged.on_empty).sum()), empty),
    }


def ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


if __name__ == "__main__":
    run_stage(main)
