"""The bootstrap against pycocotools on copied images and against the binomial distribution."""

import copy
from math import comb

import numpy as np
import pytest
from conftest import ROOT

from stages import evaluate
from stages.common.coco_eval import score
from stages.common.metrics import read_metrics
from stages.evaluation import bootstrap
from stages.evaluation.bootstrap import (
    expanded,
    packed,
    paired_interval,
    resampled_ap,
    truth_id,
    unpacked,
    weighted_ap,
)

SHUFFLED_IDS = [7, 3, 12, 5, 1, 9, 20, 2, 15, 11]  # COCO files need not list images by id

CASES = {
    # name: (classes, boxes an image at most, false alarms an image, decimals of a score, images)
    "one class": (1, 5, 20, 9, 10),
    "several classes": (4, 6, 30, 9, 10),
    "rare classes": (6, 1, 5, 9, 10),
    "more than 100 detections an image": (1, 20, 120, 9, 3),
    "no false alarms": (2, 4, 0, 9, 10),
    "scores tied between images": (3, 4, 15, 2, 10),
    "a single image": (2, 5, 10, 9, 1),
}


def random_data(classes, max_boxes, false_alarms, decimals, images, seed=0):
    """A truth and detections of it, of which most are false; the first image has no boxes.

    Within an image no two scores are equal, between images they are where `decimals` is small.
    """
    rng = np.random.default_rng(seed)
    coco = {"categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
            "images": [{"id": i} for i in SHUFFLED_IDS[:images]], "annotations": []}  # fmt: skip
    rows = []
    for position, image in enumerate(SHUFFLED_IDS[:images]):
        boxes = 0 if position == 0 < images - 1 else int(rng.integers(1, max_boxes + 1))
        scores = rng.choice(10**decimals, boxes + false_alarms, replace=False) / 10**decimals
        # False alarms score lower, most of the time.
        badness = rng.uniform(0, 1, len(scores)) + 0.7 * (np.arange(len(scores)) >= boxes)
        scores = np.sort(scores)[::-1][badness.argsort().argsort()]
        for number, value in enumerate(scores):
            category = int(rng.integers(1, classes + 1))
            box = np.concatenate([rng.uniform(0, 500, 2), rng.uniform(20, 200, 2)])
            if number < boxes:
                coco["annotations"].append(
                    {"id": len(coco["annotations"]) + 1, "image_id": image, "iscrowd": 0,
                     "category_id": category, "bbox": box.tolist(), "area": box[2] * box[3]}
                )  # fmt: skip
                box = box + rng.normal(0, 6, 4)
            rows.append({"image_id": image, "category_id": category, "bbox": box.tolist(),
                         "score": float(value)})  # fmt: skip
    return coco, rows


def interval(evaluation) -> tuple[float, float]:
    return bootstrap.interval(resampled_ap(evaluation), len(evaluation.params.imgIds))


def copied(coco: dict, rows: list[dict], weights: np.ndarray) -> tuple[dict, list[dict]]:
    """The data with every image there `weights` times, in order of the ids, under new ids."""
    ids = np.repeat(sorted(image["id"] for image in coco["images"]), weights)
    images = [{"id": new} for new in range(1, len(ids) + 1)]
    boxes, found = (
        [{**item, "image_id": new} for new, old in enumerate(ids.tolist(), start=1)
         for item in items if item["image_id"] == old]
        for items in (coco["annotations"], rows)
    )  # fmt: skip
    boxes = [{**box, "id": number} for number, box in enumerate(boxes, start=1)]
    return {**coco, "images": images, "annotations": boxes}, found


def reference(coco: dict, rows: list[dict], weights: np.ndarray) -> list[float]:
    """AP and AP50 by pycocotools; nan where it says -1."""
    stats = score(*copied(coco, rows, weights)).stats
    return [np.nan if value == -1 else value for value in stats[:2]]


def figures(evaluation, weights: np.ndarray) -> np.ndarray:
    """AP and AP50 [N, 2] by the code under test."""
    ap_by_iou = weighted_ap(evaluation, weights)
    return np.stack([ap_by_iou.mean(axis=1), ap_by_iou[:, 0]], axis=1)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_without_copies_it_is_the_figure_of_pycocotools(case):
    evaluation = score(*random_data(*case))
    ours = figures(evaluation, np.ones((1, case[-1]), int))
    assert ours[0] == pytest.approx(evaluation.stats[:2], abs=1e-12)
    assert evaluation.stats[0] > 0.1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_weights_are_copies_of_images(case):
    coco, rows = random_data(*case, seed=1)
    weights = np.random.default_rng(2).integers(0, 4, (8, case[-1]))
    weights[:, 0] += weights.sum(axis=1) == 0  # pycocotools cannot judge no image at all
    # One resample draws nothing but the image without boxes, where there are several.
    weights[0] = np.arange(case[-1])[np.argsort(SHUFFLED_IDS[: case[-1]])] == 0
    expected = [reference(coco, rows, w) for w in weights]
    assert case[-1] == 1 or np.isnan(expected[0]).all()
    np.testing.assert_allclose(figures(score(coco, rows), weights), expected, rtol=0, atol=1e-12)


def test_equal_scores_in_one_image_keep_their_order():
    coco, rows = random_data(*CASES["several classes"])
    rows = [{**row, "score": round(row["score"], 1)} for row in rows]
    evaluation = score(coco, rows)
    ours = figures(evaluation, np.ones((1, len(coco["images"])), int))
    assert ours[0] == pytest.approx(evaluation.stats[:2], abs=1e-12)


def test_crowds_count_neither_for_nor_against():
    coco, rows = random_data(*CASES["several classes"])
    for box in coco["annotations"][::3]:
        box["iscrowd"] = 1
    weights = np.random.default_rng(2).integers(0, 4, (4, len(coco["images"])))
    expected = [reference(coco, rows, w) for w in weights]
    np.testing.assert_allclose(figures(score(coco, rows), weights), expected, rtol=0, atol=1e-12)


def test_nothing_found_is_zero_and_not_unknown():
    coco, _ = random_data(*CASES["one class"])
    assert interval(score(coco, [])) == (0.0, 0.0)


def test_blocks_do_not_change_the_result(monkeypatch):
    evaluation = score(*random_data(*CASES["several classes"]))
    whole = interval(evaluation)
    monkeypatch.setattr(bootstrap, "BLOCK_ITEMS", 1)
    assert interval(evaluation) == whole


def part_found(images: int, found: int, boxes: int | None = None):
    """One box in the first `boxes` images or all, and the first `found` of them found exactly."""
    box = [10.0, 10.0, 40.0, 20.0]
    truth = [{"id": i, "image_id": i, "category_id": 1, "bbox": box, "area": 800, "iscrowd": 0}
             for i in range(1, (boxes or images) + 1)]  # fmt: skip
    rows = [{"image_id": i, "category_id": 1, "bbox": box, "score": 0.5}
            for i in range(1, found + 1)]  # fmt: skip
    ids = [{"id": i} for i in range(1, images + 1)]
    coco = {"categories": [{"id": 1, "name": "LP"}], "images": ids, "annotations": truth}
    return score(coco, rows)


def binomial_percentile(trials: int, probability: float, percent: float) -> int:
    total = 0.0
    for successes in range(trials + 1):
        rest = trials - successes
        total += comb(trials, successes) * probability**successes * (1 - probability) ** rest
        if total >= percent / 100:
            return successes
    return trials


@pytest.mark.parametrize(("images", "found"), [(100, 50), (100, 90), (20, 10)])
def test_interval_is_binomial_where_each_image_is_hit_or_miss(images, found):
    # Precision is 1 up to the recall that is reached, so AP is the share of images found.
    expected = [binomial_percentile(images, found / images, p) / images for p in (2.5, 97.5)]
    assert interval(part_found(images, found)) == pytest.approx(expected, abs=1.2 / images)


@pytest.mark.parametrize(
    ("images", "share"),
    # By hand for 8 images: t is 2.365, sqrt(8 / 7) * 2.365 = 2.528, beyond which lie 0.57 %.
    [(2, 0.0), (8, 0.0057), (50, 0.0212), (1000, 0.0249)],
)
def test_few_images_get_a_wider_interval(images, share):
    assert expanded(images) == pytest.approx(share, abs=1e-4)


def test_resamples_without_any_box_do_not_count():
    # A third of them do not draw the one image that has a box.
    assert interval(part_found(10, found=1, boxes=1)) == pytest.approx((1, 1), abs=1e-12)


def test_the_same_evaluation_gives_the_same_interval():
    case = CASES["several classes"]
    assert interval(score(*random_data(*case))) == interval(score(*random_data(*case)))


def test_paired_interval_draws_the_same_images_for_both():
    better, worse = part_found(100, 50), part_found(100, 47)
    assert paired_interval(better, part_found(100, 50)) == (0.0, 0.0)
    low, high = paired_interval(better, worse)
    # Three images make the difference, each drawn once on average: Poisson, 0 to 7 times.
    assert 0 <= low < 0.03 < high <= 0.08
    assert paired_interval(worse, better) == pytest.approx((-high, -low), abs=1e-12)
    assert interval(better)[1] - interval(better)[0] > 2 * (high - low)


def test_paired_interval_refuses_other_images():
    with pytest.raises(ValueError, match="same images"):
        paired_interval(part_found(10, 5), part_found(11, 5))


def test_a_single_image_tells_nothing():
    one = part_found(1, 1)
    assert (interval(one), paired_interval(one, one)) == ((0.0, 1.0), (-1.0, 1.0))


def test_two_runs_are_compared_without_their_detections():
    a, b = (part_found(20, found=found) for found in (15, 11))
    kept = [unpacked(packed(resampled_ap(evaluation))) for evaluation in (a, b)]
    low, high = bootstrap.ends(kept[0] - kept[1], 20)
    assert (low, high) == pytest.approx(paired_interval(a, b), abs=2e-5)


def test_the_truth_is_known_by_its_images_and_boxes():
    coco, _ = random_data(2, 5, 0, 9, 10)
    moved = copy.deepcopy(coco)
    moved["annotations"][0]["bbox"][0] += 1
    fewer = {**coco, "images": coco["images"][1:]}
    renamed = {**coco, "categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "1"}]}
    assert len({truth_id(c) for c in (coco, copy.deepcopy(coco), moved, fewer, renamed)}) == 4


def test_evaluate_writes_the_interval(tiny_pth, tiny_dataset, tmp_path, monkeypatch, capsys):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    val, dataset = tiny_dataset / "split/val.json", tiny_dataset / "dataset"
    names = ("torch.json", "torch.csv", "detections.json")
    deployed = tmp_path / "deployed.json"
    evaluate.main(tiny_pth, val, dataset, *(tmp_path / name for name in names), deployed=deployed)
    result = read_metrics(tmp_path / "torch.json")
    low, high = result["AP_interval"]
    assert 0 <= low <= high <= 1
    assert f"(95 % {low:.2f} to {high:.2f}) in f32" in capsys.readouterr().out
    assert deployed.read_bytes() == (tmp_path / "detections.json").read_bytes()
