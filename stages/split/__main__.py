"""Split: which images train, which judge, which calibrate. Lists, never copies.

In:   data/dataset/annotations.json   the clean COCO of `ingest`
Out:  data/split/train.json           COCO of the images that are trained on
      data/split/val.json             COCO of the images that every accuracy is measured on
      data/split/test.json            the same for a final judgement, where there is such a side
      data/split/calibration.json     the train images in the order in which `quantize` takes
                                      them for calibration: any first N are a fair sample
      data/split/report.json          what each side holds, and how far the split would leak
      metrics/data.json               the counts of it, for review

Pictures that show the same moment never face each other: `split.group_by` says what stays
together, and what would still be judged by its twin is on no side.

Run:  python -m stages.split.__main__ data/dataset/annotations.json data/split metrics/data.json
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from stages.common.coco import read_coco, subset
from stages.common.files import atomic_path, write_json
from stages.common.params import load_params
from stages.common.run import UserError, run_stage
from stages.split.assign import sides_of, without_twins
from stages.split.assign_splits import SIDES
from stages.split.calibration_order import spread_out
from stages.split.groups import unit_keys
from stages.split.near_duplicates import codes_of
from stages.split.split_report import figures, report_of


def main(annotations: Path, out_dir: Path, metrics: Path) -> None:
    """Splits a clean COCO into train, val and calibration lists."""
    params = load_params().split
    coco = read_coco(annotations, boxes_needed=True)
    images, codes = coco["images"], codes_of(coco["images"])
    keys = unit_keys(images, codes, params.group_by, params.block)
    sides = without_twins(sides_of(coco, keys, params), codes)
    refuse_empty_sides(coco, sides)
    lists = lists_of(coco, keys, sides, params.seed)
    report = report_of(coco, codes, keys, sides, params)
    with atomic_path(out_dir) as tmp:
        for name, content in lists.items():
            write_json(tmp / f"{name}.json", content)
        write_json(tmp / "report.json", report)
    write_json(metrics, figures(report))
    tell(report)


def lists_of(coco: dict, keys: list[str], sides: np.ndarray, seed: int) -> dict[str, dict]:
    """The COCO of each list that is written, by its name."""
    on = {name: [] for name in SIDES}
    for image, side in zip(coco["images"], sides.tolist(), strict=True):
        if side >= 0:
            on[SIDES[side]].append(image)
    boxes = defaultdict(list)
    for box in coco["annotations"]:
        boxes[box["image_id"]].append(box)
    units = dict(zip((image["id"] for image in coco["images"]), keys, strict=True))
    on["calibration"] = spread_out(on["train"], boxes, units, seed)
    return {name: subset(coco, images) for name, images in on.items() if images or name != "test"}


def refuse_empty_sides(coco: dict, sides: np.ndarray) -> None:
    """Refuses a split that cannot train or judge.

    Raises:
        UserError: train or val has no image or no box.
    """
    side_of = dict(zip((image["id"] for image in coco["images"]), sides.tolist(), strict=True))
    for side, name in enumerate(SIDES[:2]):
        count = int((sides == side).sum())
        if not any(side_of[box["image_id"]] == side for box in coco["annotations"]):
            raise UserError(
                f"{count} of {len(sides)} images are {name} images, with no box among them; "
                "at least 2 images that differ need boxes, in 2 groups if there are groups: "
                "label more frames, or change split.seed, split.ratio or split.group_by"
            )


def tell(report: dict) -> None:
    """Sides and leak on stdout, warnings on stderr."""
    for name, side in report["sides"].items():
        if side["images"]:
            print("{}: {images} images, {boxes} boxes, {groups} groups".format(name, **side))
    drawn, here = report["crossing_image_by_image"], report["crossing"]
    print(
        f"{report['near_duplicate_pairs']} pairs of near-identical images: drawn image by image "
        f"{drawn['pairs']} would be on two sides, here {here['pairs']} are"
    )
    for warning in report["warnings"]:
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
