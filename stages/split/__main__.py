"""Split the data set into train, val, test and calibration lists. Images are not copied.

In:   data/dataset/annotations.json   the clean COCO of `ingest`
Out:  data/split/train.json           COCO of the images for training
      data/split/val.json             COCO of the images on which every accuracy is measured
      data/split/test.json            COCO of the test images, if split.test is above 0 or the
                                      export has a test subset
      data/split/calibration.json     the train images in the order in which `quantize` takes
                                      them: the first N are a varied sample for any N
      data/split/report.json          contents of each split, and near duplicates across splits
      data/folds/lists                <fold>/train.json, val.json and calibration.json of each fold
                                      of `crossval.folds`: every train or val image is a val image
                                      of one fold; folds.json, the number of images in each
      metrics/data.json               the counts for review

Images of one group stay in one split; `split.group_by` defines the groups. A val or test image
with a near duplicate in train is left out.

Run:  python -m stages.split data/dataset/annotations.json data/split data/folds/lists \
          metrics/data.json
"""

import sys
from pathlib import Path

import numpy as np

from stages.common.coco import read_coco, subset
from stages.common.files import atomic_path, write_json
from stages.common.groups import MAX_BITS, cluster, group_keys, hashes_of
from stages.common.params import load_params
from stages.common.run import UserError, run_stage
from stages.split.calibration_order import calibration_list
from stages.split.folds import fold_lists
from stages.split.groups import assign_splits, check_time
from stages.split.split_report import build_report, metrics_of
from stages.split.still_camera import is_still, leave_out_neighbors, with_moments
from stages.split.subsets import SPLITS, check_subsets


def main(annotations: Path, out_dir: Path, folds_dir: Path, metrics: Path) -> None:
    """Split a clean COCO into train, val, test and calibration lists."""
    params, folds = load_params().split, len(load_params().crossval.folds)
    coco = read_coco(annotations, boxes_needed=True)
    check_subsets(coco["images"], params)
    hashes = hashes_of(coco["images"])
    still = is_still(hashes, cluster(hashes), MAX_BITS)
    if still.any():
        hashes = with_moments(coco, hashes, still, params.block)
    keys = group_keys(coco["images"], hashes, params.group_by, params.block)
    if params.group_by == "time":
        check_time(coco["images"], keys, params.block)
    splits = assign_splits(coco, hashes, params)
    splits = leave_out_neighbors(coco["images"], still, splits, params.block)
    check_train_and_val(coco, splits, still.sum())
    lists = split_lists(coco, keys, splits, params.seed)
    of_folds = fold_lists(coco, hashes, still, splits, folds, params)
    report = build_report(coco, hashes, keys, splits, params, int(still.sum()))
    with atomic_path(out_dir) as tmp:
        for name, content in lists.items():
            write_json(tmp / f"{name}.json", content)
        write_json(tmp / "report.json", report)
    with atomic_path(folds_dir) as tmp:
        for name, content in of_folds.items():
            write_json(tmp / f"{name}.json", content)
        counts = {name: len(content["images"]) for name, content in of_folds.items()}
        write_json(tmp / "folds.json", counts)
    write_json(metrics, metrics_of(report))
    print_summary(report)


def split_lists(coco: dict, keys: list[str], splits: np.ndarray, seed: int) -> dict[str, dict]:
    """Return the COCO of each list that is written, by name."""
    lists = {
        name: subset(coco, [coco["images"][row] for row in np.flatnonzero(splits == index)])
        for index, name in enumerate(SPLITS)
    }
    lists["calibration"] = calibration_list(lists["train"], coco, keys, seed)
    return {name: found for name, found in lists.items() if found["images"] or name != "test"}


def check_train_and_val(coco: dict, splits: np.ndarray, still: int) -> None:
    """Check that train and val have boxes, and a class in common.

    Args:
        still: number of images of a camera that does not move.

    Raises:
        UserError: train or val has no image or no box, or every class is in one of them only.
    """
    split_of = dict(zip((image["id"] for image in coco["images"]), splits.tolist(), strict=True))
    classes = [set(), set()]
    for box in coco["annotations"]:
        if split_of[box["image_id"]] in (0, 1):
            classes[split_of[box["image_id"]]].add(box["category_id"])
    for index, name in enumerate(SPLITS[:2]):
        if not classes[index]:
            remedy = (
                f"; {still} images look the same, as from a camera that does not move, or dark or "
                "plain: lower split.block so that their frame numbers fill several blocks, name "
                "them by frame number, or label frames of other times or cameras"
            )
            raise UserError(
                f"{(splits == index).sum()} of {len(splits)} images are {name} images, with no "
                "box among them; at least 2 images that differ need boxes, in 2 groups if there "
                "are groups: label more frames, or change split.seed, split.ratio or "
                f"split.group_by{remedy if still else ''}"
            )
    if not classes[0] & classes[1]:
        trained, measured = (
            ", ".join(repr(c["name"]) for c in coco["categories"] if c["id"] in ids)
            for ids in classes
        )
        raise UserError(
            f"train has only boxes of {trained}, val only boxes of {measured}: nothing that is "
            "learned would be measured; if they are the same objects give them one label in CVAT, "
            "else set split.use_subsets to false or label more frames"
        )


def print_summary(report: dict) -> None:
    """Print splits and near duplicates on stdout, warnings on stderr."""
    for name, split in report["splits"].items():
        if split["images"]:
            print("{}: {images} images, {boxes} boxes, {groups} groups".format(name, **split))
    print(
        f"{report['near_duplicate_pairs']} pairs of near duplicates; in two splits: "
        f"{report['crossing']['pairs']} (a split image by image would have "
        f"{report['crossing_image_by_image']['pairs']})"
    )
    for warning in report["warnings"]:
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
