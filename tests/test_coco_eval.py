"""Accuracy against cases worked out by hand."""

import numpy as np
import pytest

from stages.common.coco_eval import accuracy, coco_rows, precision_recall, score
from stages.evaluation.matching import match

TWO_CLASSES = [{"id": 1, "name": "car"}, {"id": 2, "name": "plate"}]


def coco(boxes: list[tuple[int, int, list[float]]], categories=None) -> dict:
    """Boxes as (image id, category id, [x, y, width, height]) in images 1 and 2."""
    return {
        "categories": categories or TWO_CLASSES[:1],
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": box,
             "area": box[2] * box[3], "iscrowd": 0}
            for i, (image, category, box) in enumerate(boxes, start=1)
        ],
    }  # fmt: skip


def found(*boxes: tuple[int, int, list[float], float]) -> list[dict]:
    """Detections as (image id, class index, [x0, y0, x1, y1], score)."""
    rows = []
    for image, index, box, value in boxes:
        rows += coco_rows(image, np.array([box]), np.array([value]), np.array([index]))
    return rows


BOX, BOX_XYXY = [10.0, 10.0, 40.0, 20.0], [10.0, 10.0, 50.0, 30.0]
FAR = [200.0, 200.0, 240.0, 220.0]

CASES = {
    # name: (truth, detections, AP, AP50)
    "perfect": ([(1, 1, BOX)], [(1, 0, BOX_XYXY, 0.9)], 1.0, 1.0),
    "nothing found": ([(1, 1, BOX)], [], 0.0, 0.0),
    "one of two": ([(1, 1, BOX), (2, 1, BOX)], [(1, 0, BOX_XYXY, 0.9)], 51 / 101, 51 / 101),
    # IoU 32/40 = 0.8 counts for the thresholds 0.50 to 0.80: seven of ten.
    "eight tenths": ([(1, 1, BOX)], [(1, 0, [10, 10, 42, 30], 0.9)], 0.7, 1.0),
    # A better scored mistake halves precision at every recall.
    "mistake first": ([(1, 1, BOX)], [(1, 0, FAR, 0.9), (1, 0, BOX_XYXY, 0.8)], 0.5, 0.5),
    # A worse scored one costs nothing.
    "mistake last": ([(1, 1, BOX)], [(1, 0, FAR, 0.7), (1, 0, BOX_XYXY, 0.8)], 1.0, 1.0),
    "wrong image": ([(1, 1, BOX)], [(2, 0, BOX_XYXY, 0.9)], 0.0, 0.0),
    "found twice": ([(1, 1, BOX)], [(1, 0, BOX_XYXY, 0.9), (1, 0, BOX_XYXY, 0.8)], 1.0, 1.0),
}


@pytest.mark.parametrize(("truth", "detections", "ap", "ap50"), CASES.values(), ids=CASES.keys())
def test_by_hand(truth, detections, ap, ap50):
    figures = accuracy(coco(truth), score(coco(truth), found(*detections)))
    assert figures["AP"] == pytest.approx(ap, abs=1e-4)
    assert figures["AP50"] == pytest.approx(ap50, abs=1e-4)
    assert (figures["images"], figures["boxes"]) == (2, len(truth))


def test_classes_are_kept_apart():
    truth = coco([(1, 1, BOX), (1, 2, BOX)], TWO_CLASSES)
    figures = accuracy(truth, score(truth, found((1, 0, BOX_XYXY, 0.9))))
    assert figures["per_class"] == {
        "car": {"AP": 1.0, "AP50": 1.0},
        "plate": {"AP": 0.0, "AP50": 0.0},
    }
    assert figures["AP"] == 0.5


def test_what_the_truth_does_not_have_is_unknown_and_not_zero():
    truth = coco([(1, 1, BOX)], TWO_CLASSES)
    figures = accuracy(truth, score(truth, found((1, 0, BOX_XYXY, 0.9))))
    assert figures["per_class"]["plate"] == {"AP": None, "AP50": None}
    assert (figures["AP_small"], figures["AP_large"], figures["AP"]) == (1.0, None, 1.0)


def test_curve_has_the_recall_points_of_coco():
    truth = coco([(1, 1, BOX), (2, 1, BOX)])
    curve = precision_recall(score(truth, found((1, 0, BOX_XYXY, 0.9))))
    assert len(curve) == 101
    assert [curve[0], curve[50], curve[51], curve[100]] == [(0, 1), (0.5, 1), (0.51, 0), (1, 0)]


def test_matching_is_that_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(50):
        corner, size = rng.uniform(0, 60, (12, 2)), rng.uniform(20, 60, (12, 2))
        truth = coco([(1, 1 + i % 2, [*corner[i], *size[i]]) for i in range(12)], TWO_CLASSES)
        boxes = np.hstack([corner, corner + size]) + rng.normal(0, 6, (12, 4))
        rows = found(*((1, int(rng.integers(2)), box, 0.9 - i / 20) for i, box in enumerate(boxes)))
        expected = {}
        for entry in score(truth, rows).evalImgs:
            if entry and entry["image_id"] == 1 and entry["aRng"] == [0, 1e10]:
                matched = entry["dtMatches"][0].astype(int)  # at IoU 0.5; 0: none
                expected |= dict(zip(entry["dtIds"], matched, strict=True))
        ours = [0 if i is None else i + 1 for i, _ in match(rows, truth["annotations"])]
        assert ours == [expected[number] for number in range(1, 13)]
        assert 0 < np.count_nonzero(ours) < 12
