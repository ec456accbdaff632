"""Boxes of another convention than [x, y, width, height] in pixels are refused by name."""

import re

import numpy as np
import pytest

from stages.common.files import write_json
from stages.common.run import UserError
from stages.ingest import __main__ as ingest
from stages.ingest.boxes import Image
from stages.ingest.conventions import check_convention
from stages.ingest.schema import checked_annotation

WIDTH, HEIGHT = 1280, 720


def road(count: int = 60, largest: float = 0.3) -> np.ndarray:
    """Return boxes anywhere in the image: float [count, 4], x, y, width and height in pixels."""
    rng = np.random.default_rng(1)
    size = rng.uniform(0.02, largest, (count, 2)) * (WIDTH, HEIGHT)
    return np.hstack([rng.uniform(0, 1, (count, 2)) * ((WIDTH, HEIGHT) - size), size])


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def centers(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]])


def checked(boxes: np.ndarray, rotation: float = 0.0) -> str:
    image = Image("", "x.json", "default", 1, "a.jpg", WIDTH, HEIGHT)
    entry = {"image_id": 1, "category_id": 1, "attributes": {"rotation": rotation}}
    ids = {"image_id": [1], "category_id": [1]}
    return check_convention(
        [(checked_annotation({**entry, "bbox": box}, ids), image) for box in boxes.tolist()]
    )


SWAP = [1, 0, 3, 2]
OTHERS = {
    "corners": (corners(road()), r"60 fit as corners, \[x0, y0, x1, y1\]"),
    "corners of few boxes": (corners(road(6)), "corners"),
    "corners, mostly upper left": (corners(road() * [0.7, 0.7, 1, 1]), "corners"),
    "corners with one mistake": (np.vstack([corners(road()), [[9, 9, 5, 5]]]), "60 fit as corners"),
    "corners, swapped": (corners(road())[:, SWAP], "corners with x and y swapped"),
    "swapped": (road()[:, SWAP], "x and y swapped"),
    "centers": (centers(road()), "centers"),
    "large boxes as centers": (centers(road(30, 0.9)), "centers"),
    "normalized": (road() / WIDTH, "normalized"),
    "normalized centers": (centers(road()) / WIDTH, "normalized"),
    "of images three times as large": (road() * 3, "another image size"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_convention_is_named(case):
    boxes, said = OTHERS[case]
    with pytest.raises(UserError, match=said):
        checked(boxes)


LEAVING = road()
LEAVING[:20, 1] = HEIGHT - LEAVING[:20, 3] / 2  # through the lower edge
SOUND = {
    "boxes anywhere": road(),
    "whole images": np.array([[0, 0, WIDTH, HEIGHT]] * 9),
    "large boxes at the upper left": np.array([[5.0, 5, 900, 600]] * 9),
    "boxes that stick out a little": np.add(road(), [0, 0, 15, 10]),
    "objects that leave through one edge": LEAVING,
    "small boxes at the upper left": road() / 9,
    "too few to judge": corners(road(3)),
    "some thinner than a pixel": np.vstack([road(), [[1, 1, 0.5, 0.5]]]),
}


@pytest.mark.parametrize("case", SOUND)
def test_sound_boxes_pass(case):
    checked(SOUND[case])


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        (road() / (WIDTH, HEIGHT, WIDTH, HEIGHT) * 100, "lie within 100x99 pixels .* in percent"),
        (road() / 2, "all 60 boxes lie within 639x357 pixels .* a smaller copy of the"),
        (road(19) / 2, "^$"),
        (road() * [0.5, 1, 0.5, 1], "^$"),
        (road(), "^$"),
    ],
)
def test_boxes_that_may_be_of_another_scale_are_doubted(boxes, said):
    assert re.search(said, checked(boxes))


def test_ingest_names_the_file(tmp_path):
    boxes = [{"id": n, "image_id": 1, "category_id": 1, "bbox": bbox}
             for n, bbox in enumerate(corners(road()).tolist())]  # fmt: skip
    size = {"width": WIDTH, "height": HEIGHT}
    coco = {"categories": [{"id": 1, "name": "plate"}], "annotations": boxes,
            "images": [{"id": 1, "file_name": "a.jpg", **size}]}  # fmt: skip
    (tmp_path / "in/annotations").mkdir(parents=True)
    write_json(tmp_path / "in/annotations/instances_default.json", coco)
    with pytest.raises(UserError, match=r"1 fault: instances_default.json: \d+ of 60 .* corners"):
        ingest.main(tmp_path / "in", tmp_path / "out")


def test_rotated_boxes_reach_out_as_they_are_written():
    checked(road() * 3, rotation=90.0)
