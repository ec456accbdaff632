"""Plant label errors, and tell how many of them `label_errors` finds.

    python -m tools.label_errors_study EXPORT FOLDER --other PATTERN [--share 0.1]
        [--set KEY=VALUE ...]

A share of the boxes is forgotten, as many are moved, drawn around nothing, and given the other
label: that of the images whose file names hold PATTERN. A cross-validation with these labels then
says what is suspicious. Prints precision and recall of each kind, for the list as long as the
errors, for one twice as long, and for all that is listed.

FOLDER keeps the models; a training that is there is not repeated.
"""

import re

import numpy as np

from stages.common.coco import read_coco
from stages.common.files import read_json, write_json
from stages.evaluation.matching import SAME_BOX_IOU, iou_matrix
from stages.evaluation.out_of_fold import pooled
from stages.label_errors import (
    APART_IOU,
    FORGOTTEN,
    LEAST,
    MISPLACED,
    NOTHING,
    OTHER_LABEL,
    find_suspects,
)
from tools.params_file import run_stage, write_params
from tools.study import Study, parser_of

FOLDS = 5
# IoU of a moved box with the true one.
MOVED_IOU = (0.3, 0.6)


def main() -> None:
    """Plant label errors, and tell how many of them are found."""
    parser = parser_of("label_errors_study", main.__doc__)
    parser.add_argument("--other", required=True, metavar="PATTERN")
    parser.add_argument("--share", type=float, default=0.1)
    arguments = parser.parse_args()
    study = Study(arguments)
    planted = prepare(study, arguments.other, arguments.share)
    vals = [read_coco(study.folder / f"lists/{fold}/val.json") for fold in range(FOLDS)]
    rows = []
    for fold, val in enumerate(vals):
        out, train = study.folder / str(fold), study.folder / f"lists/{fold}/train.json"
        study.train(out, read_coco(train), val)
        rows += read_json(out / "judged.json")
    suspects = find_suspects(pooled(vals), rows, least=dict.fromkeys(LEAST, 0.0))
    print_table(suspects, planted)


def prepare(study: Study, other: str, share: float) -> dict[str, list]:
    """Give the data set two labels, plant errors in it, and split it into folds, once."""
    folder = study.folder
    if not (folder / "lists").exists():
        coco = {**study.coco, "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "other"}]}
        of_other = {im["id"] for im in coco["images"] if re.search(other, im["file_name"])}
        for box in coco["annotations"]:
            box["category_id"] = 2 if box["image_id"] in of_other else 1
        coco, planted = plant(coco, share, np.random.default_rng(0))
        write_json(folder / "planted.json", planted)
        write_json(folder / "planted/annotations.json", coco)
        write_params(folder / "planted", {**study.changes, "crossval.folds": [*range(FOLDS)]})
        run_stage(folder / "planted", "split", "annotations.json", "split", "../lists", "data.json")
    return read_json(folder / "planted.json")


def plant(coco: dict, share: float, rng: np.random.Generator) -> tuple[dict, dict[str, list]]:
    """Make errors in the labels of a COCO with two classes.

    Returns:
        The COCO; and by kind the errors: `image_id`, the true `bbox` and the `annotation`, which is
        None for what was forgotten.
    """
    order = rng.permutation(len(coco["annotations"]))
    count = round(share * len(order))
    kinds = np.repeat([FORGOTTEN, MISPLACED, OTHER_LABEL], count)
    kind_of = dict(zip(order.tolist(), kinds.tolist(), strict=False))
    size_of = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    boxes, planted = [], {kind: [] for kind in LEAST}
    for row, box in enumerate(coco["annotations"]):
        kind = kind_of.get(row)
        if kind:
            annotation = None if kind == FORGOTTEN else box["id"]
            planted[kind].append({**box, "annotation": annotation})
        if kind == MISPLACED:
            box = {**box, "bbox": moved(box["bbox"], size_of[box["image_id"]], rng)}
        elif kind == OTHER_LABEL:
            box = {**box, "category_id": 3 - box["category_id"]}
        boxes += [box] if kind != FORGOTTEN else []
    for number in range(count):
        image = coco["images"][rng.integers(len(coco["images"]))]
        there = [box["bbox"] for box in coco["annotations"] if box["image_id"] == image["id"]]
        like = coco["annotations"][rng.integers(len(order))]
        bbox = elsewhere(like["bbox"][2:], there, size_of[image["id"]], rng)
        added = {**like, "id": len(order) + 1 + number, "image_id": image["id"], "bbox": bbox}
        planted[NOTHING].append({**added, "annotation": added["id"]})
        boxes.append(added)
    return {**coco, "annotations": boxes}, planted


def moved(bbox: list, size_wh: tuple, rng: np.random.Generator) -> list[float]:
    """Return a box, x, y, width and height, that shares little with another one."""
    while True:
        x, y, width, height = bbox
        x, y = x + width * rng.uniform(-0.5, 0.5), y + height * rng.uniform(-0.5, 0.5)
        width, height = width * rng.uniform(0.7, 1.4), height * rng.uniform(0.7, 1.4)
        if x < 0 or y < 0 or x + width > size_wh[0] or y + height > size_wh[1]:
            continue
        if MOVED_IOU[0] <= iou(bbox, [x, y, width, height]) <= MOVED_IOU[1]:
            return [round(value, 2) for value in (x, y, width, height)]


def elsewhere(box_wh: list, others: list, size_wh: tuple, rng: np.random.Generator) -> list[float]:
    """Return a box of that size which touches none of the others."""
    while True:
        x, y = rng.uniform(0, size_wh[0] - box_wh[0]), rng.uniform(0, size_wh[1] - box_wh[1])
        bbox = [round(value, 2) for value in (x, y, *box_wh)]
        if all(iou(bbox, other) < APART_IOU for other in others):
            return bbox


def iou(a_xywh: list, b_xywh: list) -> float:
    a, b = (np.array([[x, y, x + w, y + h]], float) for x, y, w, h in (a_xywh, b_xywh))
    return float(iou_matrix(a, b)[0, 0])


def hits(suspects: list[dict], errors: list[dict]) -> list[bool]:
    """Tell for each suspect whether it is one of the errors, each of which is found once."""
    left, found = list(errors), []
    for one in suspects:
        match = next((error for error in left if is_same(one, error)), None)
        found.append(match is not None)
        if match:
            left.remove(match)
    return found


def is_same(one: dict, error: dict) -> bool:
    if one["image_id"] != error["image_id"] or one["annotation"] != error["annotation"]:
        return False
    return one["annotation"] is not None or iou(one["bbox"], error["bbox"]) >= SAME_BOX_IOU


def print_table(suspects: list[dict], planted: dict[str, list]) -> None:
    print("| planted | errors | as long: right | twice as long: found | listed | right | found |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, errors in planted.items():
        own = [one for one in suspects if one["kind"] == kind]
        right, n = np.array(hits(own, errors)), len(errors)
        listed = sum(one["suspicion"] >= LEAST[kind] for one in own)
        shares = [right[:n].mean(), right[: 2 * n].sum() / n, right[:listed].mean()]
        first, twice, precision = (f"{share:.0%}" for share in shares)
        found = f"{right[:listed].sum() / n:.0%}"
        print(f"| {kind} | {n} | {first} | {twice} | {listed} | {precision} | {found} |")


if __name__ == "__main__":
    main()
