"""The deployed confidence: figures counted by hand and by pycocotools, and what is chosen."""

import numpy as np
import pytest
from conftest import PARAMS
from conftest import operating_point as operating_point_of
from test_crossval import detected

from detector.core.frame_detector import CONFIDENCE
from stages import operating_point as stage
from stages.common.coco_eval import score
from stages.common.files import read_json, write_json
from stages.common.metrics import describe_operating_point, read_metrics
from stages.operating_point import Judged, choose, curve_of, deployed, judge, operating_point
from tools.params_file import write_params

WANTED = PARAMS.evaluate
BOX, FAR, NEAR = [0, 0, 10, 10], [50, 50, 10, 10], [0, 0, 10, 9]


def limits(min_precision: float | None = None, min_recall: float | None = None):
    return WANTED.model_copy(update={"min_precision": min_precision, "min_recall": min_recall})


def coco_of(boxes: dict[int, list[tuple[int, list]]], labels: str = "a") -> dict:
    """A COCO of images by id, each with (category, box)."""
    pairs = [(image, *entry) for image, entries in boxes.items() for entry in entries]
    return {
        "categories": [{"id": n, "name": label} for n, label in enumerate(labels, 1)],
        "images": [{"id": image} for image in boxes],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box,
             "area": box[2] * box[3], "iscrowd": 0}
            for n, (image, category, box) in enumerate(pairs, 1)
        ],
    }  # fmt: skip


def row(image: int, box: list, score: float, category: int = 1) -> dict:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


# Image 1 has two objects, image 2 one, images 3 and 4 none.
TRUTH = coco_of({1: [(1, BOX), (1, FAR)], 2: [(1, BOX)], 3: [], 4: []})


@pytest.mark.parametrize(
    ("rows", "precision", "recall", "f1", "false_alarms"),
    [
        # With the confidence of 0.25 that stands where nothing is right.
        ([], None, 0.0, 0.0, 0.0),
        ([row(1, BOX, 0.009)], None, 0.0, 0.0, 0.0),
        ([row(3, BOX, 0.9), row(3, FAR, 0.9), row(4, BOX, 0.2)], 0.0, 0.0, 0.0, 1000.0),
        # All three are found by 0.6 and above, and nothing else.
        ([row(1, BOX, 0.9), row(1, FAR, 0.8), row(2, BOX, 0.605)], 1.0, 1.0, 1.0, 0.0),
        # Two of three are right, one is wrong and in an image without an object: 2 * 2 / (3 + 3).
        ([row(1, BOX, 0.9), row(2, BOX, 0.9), row(4, BOX, 0.9)], 0.6667, 0.6667, 0.6667, 500.0),
        # Of another class; beside its object; below IoU 0.5.
        ([row(1, BOX, 0.9), row(2, FAR, 0.9), row(1, [50, 50, 10, 4], 0.9)],
         0.3333, 0.3333, 0.3333, 0.0),
        # NMS of the deployed detector takes the second box on one object away.
        ([row(1, BOX, 0.9), row(1, NEAR, 0.9), row(1, FAR, 0.9), row(2, BOX, 0.9)],
         1.0, 1.0, 1.0, 0.0),
    ],
)  # fmt: skip
def test_figures_are_those_counted_by_hand(capsys, rows, precision, recall, f1, false_alarms):
    point = operating_point(TRUTH, judge(TRUTH, rows), WANTED)
    found = [point[key] for key in ("precision", "recall", "F1", "false_alarms_per_1000")]
    assert found == [precision, recall, f1, false_alarms]
    assert (point["images"], point["images_without_objects"], point["boxes"]) == (4, 2, 3)
    figures = {key: point[key] for key in ("confidence", "boxes", "precision", "recall", "F1")}
    assert point["per_class"]["a"].items() >= figures.items()
    said = capsys.readouterr().err
    assert ("is right, so the confidence is 0.25" in said) == (recall == 0.0)
    assert (point["confidence"] == CONFIDENCE) == (recall == 0.0)


def test_without_an_empty_image_there_are_no_false_alarms_to_count():
    coco = coco_of({1: [(1, BOX)]})
    point = operating_point(coco, judge(coco, [row(1, BOX, 0.9)]), WANTED)
    assert point["false_alarms_per_1000"] is None and point["images_without_objects"] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "At its confidence of 0.4 (b 0.6) the model finds 92 % of the objects, and 95 % of "
             "what it reports is right (80 boxes in 60 val images). False alarms: 3 per 1,000 "
             "images without an object (counted on 300)."),
        ({"images_without_objects": 0, "false_alarms_per_1000": None}, "in 60 val images)."),
        ({"precision": None, "recall": 0.0}, "finds 0 % of the objects, and it reports nothing ("),
    ],
)  # fmt: skip
def test_the_sentence(changes, said):
    point = operating_point_of(0.4, {"a": 0.4, "b": 0.6})
    point |= {"images_without_objects": 300, "false_alarms_per_1000": 3.33, **changes}
    told = describe_operating_point(point)
    assert said in told and ("False alarms" in told) == bool(point["images_without_objects"])


@pytest.mark.parametrize("seed", range(5))
def test_right_and_wrong_are_those_of_pycocotools(seed):
    coco, rows = detected(np.random.default_rng(seed), images=40, quality=0.8)
    kept = [r for image in coco["images"]
            for r in deployed([r for r in rows if r["image_id"] == image["id"]])]  # fmt: skip
    entries = score(coco, kept).evalImgs[: len(coco["images"])]  # one class, area all
    expected = [
        (score, bool(matched))
        for entry in entries
        if entry
        for score, matched in zip(entry["dtScores"], entry["dtMatches"][0], strict=True)
    ]
    found = judge(coco, rows)
    assert sorted(zip(found.scores, found.right, strict=True)) == sorted(expected)
    confidence, precision, recall, f1 = curve_of(found, len(coco["annotations"])).T
    assert len(confidence) > 50 and 0 < found.right.sum() < len(found.right)
    for index in range(0, len(confidence), 7):
        right = [r for s, r in expected if s >= confidence[index]]
        p, r = np.mean(right), sum(right) / len(coco["annotations"])
        assert (precision[index], recall[index]) == pytest.approx((p, r))
        assert f1[index] == pytest.approx(2 * p * r / (p + r))


def judged(*pairs: tuple[float, bool]) -> Judged:
    """Detections of one class by score, right or wrong."""
    scores, right = (np.array(column) for column in zip(*pairs, strict=True))
    return Judged(scores, np.zeros(len(scores), int), right, np.zeros(len(scores), bool))


# Of 10 objects 9 are found. From the top: 6 right ones, a wrong one, 2 right, 4 wrong, 1 right.
LADDER = judged(
    *((0.905, True),) * 6, (0.805, False), *((0.605, True),) * 2, *((0.205, False),) * 4,
    (0.105, True),
)  # fmt: skip


# Confidences to        0.10  0.20  0.60  0.80  0.90
# precision             0.64  0.62  0.89  0.86  1
# recall                0.9   0.8   0.8   0.6   0.6
# F1                    0.75  0.70  0.84  0.71  0.75
# The standard error of 0.84 is 0.12, so that 0.75 is as good: the widest of three ranges counts.
@pytest.mark.parametrize(
    ("min_precision", "min_recall", "chosen", "warned"),
    [
        (None, None, 0.40, ""),
        (0.5, None, 0.05, ""),
        (0.8, None, 0.40, ""),
        (0.9, None, 0.85, ""),
        (1.0, None, 0.85, ""),
        (None, 0.9, 0.05, ""),
        (None, 0.7, 0.40, ""),
        (None, 0.6, 0.85, ""),
        (0.0, 0.0, 0.40, ""),
        (0.6, 0.85, 0.05, ""),
        (0.95, 0.6, 0.85, ""),
        (
            None,
            1.0,
            0.05,
            "has min_recall 1; the closest is 0.05, with precision 0.643 and recall 0.9",
        ),
        (0.95, 0.8, 0.40, "min_precision 0.95 and min_recall 0.8; the closest is 0.4, with"),
    ],
)
def test_limits_are_met_and_the_other_figure_is_the_best(
    capsys, min_precision, min_recall, chosen, warned
):
    assert choose(LADDER, 10, limits(min_precision, min_recall), "") == chosen
    said = capsys.readouterr().err
    assert warned in said and said.count("\n") == bool(warned)


@pytest.mark.parametrize("min_precision", [None, 0.9])
def test_scores_that_change_a_little_leave_the_confidence_where_it_is(min_precision):
    coco, rows = detected(np.random.default_rng(1), images=40, quality=0.8)
    rng, chosen = np.random.default_rng(0), []
    for _ in range(20):
        moved = [{**r, "score": r["score"] + rng.normal(0, 1e-3)} for r in rows]
        boxes = len(coco["annotations"])
        chosen.append(choose(judge(coco, moved), boxes, limits(min_precision), ""))
    assert np.ptp(chosen) <= 0.02


def test_only_a_class_with_enough_boxes_has_a_confidence_of_its_own():
    """Class a is found from 0.8 up and confused below; b is found from 0.3 up; c is rare."""
    images = range(1, 61)
    coco = coco_of(
        {i: [(1, BOX), (2, FAR), *([(3, BOX)] if i < 10 else [])] for i in images}, "abc"
    )
    rows = [row(i, BOX, 0.9, 1) for i in images] + [row(i, FAR, 0.75, 1) for i in images]
    rows += [row(i, FAR, 0.35, 2) for i in images] + [row(i, BOX, 0.5, 3) for i in range(1, 10)]
    judged = judge(coco, rows)
    point = operating_point(coco, judged, WANTED)
    own = {label: figures["confidence"] for label, figures in point["per_class"].items()}
    assert own == {"a": 0.83, "b": 0.18, "c": point["confidence"]}
    # What is reported: a and b without a mistake, c where the confidence of all lets it through.
    found_c = 9 * (point["confidence"] <= 0.5)
    assert (point["precision"], point["recall"]) == (1.0, round((120 + found_c) / 129, 4))
    assert f"{point['confidence']:g} (a 0.83) the model" in describe_operating_point(
        {**point, "judged_on": "val images"}
    )


def test_the_limits_hold_for_each_class_with_enough_boxes(capsys):
    coco = coco_of({i: [(1, BOX), (2, FAR)] for i in range(1, 61)}, "ab")
    rows = [row(i, BOX, 0.9, 1) for i in range(1, 61)] + [row(1, FAR, 0.5, 2)]
    operating_point(coco, judge(coco, rows), limits(min_recall=0.9))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("no confidence has") and second.startswith("no confidence of b has")


@pytest.mark.parametrize(
    ("folds", "images", "judged_on", "said"),
    [
        (False, "train", "val images", ""),
        (False, "all", "val images, which the model was trained on", "train.images is all"),
        (True, "all", "images, each judged by a model that was not trained on it", ""),
    ],
)
def test_out_of_fold_detections_count_instead_of_the_val_list(
    tmp_path, monkeypatch, capsys, tiny_pth, tiny_dataset, folds, images, judged_on, said
):
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {"train.images": images})
    found = [row(1, BOX, 0.7), row(2, BOX, 0.7), row(3, FAR, 0.1)]
    write_json(tmp_path / "folds.json", {**TRUTH, "detections": {"torch": found}} if folds else {})
    paths = tiny_dataset / "split/val.json", tiny_dataset / "dataset", tmp_path / "folds.json"
    stage.main(tiny_pth, *paths, tmp_path / "point.json", tmp_path / "curve.csv")
    point, written = read_metrics(tmp_path / "point.json"), read_json(tmp_path / "point.json")
    assert point["judged_on"] == judged_on
    assert point["images"] == (4 if folds else 2)
    shown = {"confidence", "precision", "recall", "F1", "false_alarms_per_1000", "details"}
    assert set(written) == shown
    heading, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert heading == "confidence,precision,recall,F1"
    if folds:
        assert (point["confidence"], point["false_alarms_per_1000"]) == (0.35, 0.0)
        assert lines[34] == "0.35,1.0,0.6667,0.8" and len(lines) == 70
    out = capsys.readouterr()
    assert said in out.err and bool(said) == ("train.images" in out.err)
    assert out.out.startswith(f"At its confidence of {point['confidence']:g} the model finds")


def test_on_new_images_less_is_lost_than_by_the_highest_f1():
    """As in docs/LOG.md: 76 objects, 92 % of them found, and as many wrong detections."""
    rng, lost = np.random.default_rng(0), []

    def drawn(objects: int) -> Judged:
        right = np.repeat([True, False], [rng.binomial(objects, 0.92), rng.poisson(objects)])
        scores = np.where(right, rng.beta(6, 2, len(right)), rng.beta(1.2, 5, len(right)))
        return Judged(scores, np.zeros(len(right), int), right, np.zeros(len(right), bool))

    truth = dict(curve_of(drawn(100_000), 100_000)[:, [0, 3]])
    for _ in range(100):
        few = drawn(76)
        table = curve_of(few, 76)
        rules = choose(few, 76, WANTED, ""), table[table[:, 3].argmax(), 0]
        lost.append([max(truth.values()) - truth[confidence] for confidence in rules])
    ours, highest = np.mean(lost, axis=0)
    assert ours < 0.7 * highest
