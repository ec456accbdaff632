"""A review of two commits whose data differ: the images that both of them judge."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from test_review import BEFORE, FOLDS

from stages.common.coco_eval import score
from stages.common.files import write_json
from stages.evaluation.drops import VARIANTS
from tools.review.__main__ import evidence
from tools.review.accuracy import ap_change, is_paired, power
from tools.review.common_images import on_common_images

WIDTH = 200


def judged(numbers: list[int], first_id: int, shift_px: float) -> dict:
    """Images by number with a box each, found with a shift that lowers AP; ids from `first_id`."""
    images, boxes, rows = [], [], []
    for index, number in enumerate(numbers, first_id):
        images.append({"id": index, "sha256": f"{number:064x}", "width": WIDTH, "height": WIDTH,
                       "file_name": f"{number}.png", "cluster": index})  # fmt: skip
        bbox = [float(number % 50), 20.0, 60.0, 40.0]
        boxes.append({"id": index, "image_id": index, "category_id": 1, "bbox": bbox,
                      "area": 2400.0, "iscrowd": 0})  # fmt: skip
        found = [bbox[0] + shift_px * (number % 3), *bbox[1:]]
        rows.append(
            {"image_id": index, "category_id": 1, "bbox": found, "score": 0.5 + number / 1000}
        )
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    return {**coco, "detections": dict.fromkeys(VARIANTS, rows)}


def write(folder, content: dict, folds: bool) -> None:
    if folds:
        write_json(folder / "data/out_of_fold.json", content)
        return
    detections = content.pop("detections")
    write_json(folder / "data/split/val.json", content)
    for key, rows in detections.items():
        write_json(folder / f"data/detections/{key}.json", rows)


@pytest.fixture
def commit(tmp_path, monkeypatch):
    """Commit what a commit judged; the last one is only in the working tree."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["dvc", "init", "-q"], check=True)

    def run(before: dict, after: dict, folds: bool = True) -> None:
        write(tmp_path, before, folds)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
        write(tmp_path, after, folds)

    return run


def both(folds: bool, truth: str = "other"):
    """The evidence of two commits by their metrics, whose images differ, after a training."""
    if not folds:
        found = evidence(BEFORE, {**BEFORE, "weights": ("2",)})
    else:
        before = {**BEFORE, "crossval": FOLDS, "fold_weights": ("3",)}
        found = evidence(before, {**before, "fold_weights": ("4",)})
    return found[0], replace(found[1], truth=truth)


@pytest.mark.parametrize("folds", [True, False], ids=["out of fold", "val"])
def test_common_images_are_compared_in_pairs(commit, folds):
    old, new = [1, 2, 3, 4, 5, 7], [5, 4, 3, 2, 1, 100, 101, 102]
    commit(judged(old, 1, 12.0), judged(new, 40, 2.0), folds)
    pair = both(folds)
    assert not is_paired(*pair)
    before, after = on_common_images("HEAD", *pair)
    assert is_paired(before, after)
    said = "the 5 images that both commits judge" + (
        ", each by a model that was not trained on it" if folds else ""
    )
    assert f"AP was judged on {said}, in pairs; the chance of training" in power(before, after)
    # The same figures as those of the common images alone.
    for side, shift in ((before, 12.0), (after, 2.0)):
        alone = judged([1, 2, 3, 4, 5], 1, shift)
        ap = score(alone, alone["detections"]["torch"]).stats[0]
        assert side.accuracy["torch"]["AP"] == pytest.approx(ap, abs=1e-4)
    change = ap_change(before, after, "int8")
    assert change.points == pytest.approx(
        100 * (after.accuracy["int8"]["AP"] - before.accuracy["int8"]["AP"])
    )
    spread = np.hypot(before.training_sd[0], after.training_sd[0])
    assert change.half_width >= 1.9 * spread


# What the second commit judges, and why nothing is compared.
NOT_COMPARED = {
    "no image in common": judged([11, 12, 13], 1, 2.0),
    "other boxes": {
        **judged([1, 2, 3], 1, 2.0),
        "annotations": [
            {**box, "bbox": [0.0, 0.0, 9.0, 9.0]}
            for box in judged([1, 2, 3], 1, 2.0)["annotations"]
        ],
    },
    "one image in common": judged([1, 12, 13], 1, 2.0),
    "other labels": {**judged([1, 2, 3], 1, 2.0), "categories": [{"id": 1, "name": "b"}]},
}


@pytest.mark.parametrize("case", NOT_COMPARED)
def test_what_is_not_common_is_not_compared(commit, case):
    commit(judged([1, 2, 3], 1, 2.0), NOT_COMPARED[case])
    assert on_common_images("HEAD", *both(True)) is None


def test_nothing_is_read_where_metrics_compare_in_pairs_or_detections_are_missing(commit, tmp_path):
    commit(judged([1, 2, 3], 1, 2.0), judged([1, 2, 3], 1, 2.0))
    pair = both(True)
    assert on_common_images("HEAD", pair[0], replace(pair[1], truth=pair[0].truth)) is None
    assert on_common_images("no-such-commit", *pair) is None
    (tmp_path / "data/out_of_fold.json").unlink()
    assert on_common_images("HEAD", *pair) is None
