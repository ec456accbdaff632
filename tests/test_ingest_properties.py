"""Properties of boxes and ids in `ingest` that hold for all values, not for examples only."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ingest.boxes import Box, Image, clip, enclosing
from stages.ingest.dataset import clean_coco

SIDES = st.integers(1, 5000)
CORNERS = st.floats(-6000, 6000)
EXTENTS = st.floats(0, 6000)
BOXES_XYWH = st.tuples(CORNERS, CORNERS, EXTENTS, EXTENTS)
# Values are written with two digits; both corners of a side may be rounded.
ROUNDING = 0.01 + 1e-9
QUICK = settings(max_examples=500, deadline=None, derandomize=True, database=None)


@QUICK
@given(BOXES_XYWH, SIDES, SIDES)
def test_clipping_is_the_intersection_with_the_picture(bbox_xywh, width, height):
    x, y, wide, high = bbox_xywh
    (left, top, new_wide, new_high), overflow_px = clip(bbox_xywh, width, height)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + wide, width), min(y + high, height)
    assert (left, top) == pytest.approx((x0, y0), abs=ROUNDING)
    assert (new_wide, new_high) == pytest.approx((x1 - x0, y1 - y0), abs=ROUNDING)
    assert new_wide <= wide + ROUNDING
    assert new_high <= high + ROUNDING
    assert (overflow_px == 0) == (x >= 0 and y >= 0 and x + wide <= width and y + high <= height)


@QUICK
@given(BOXES_XYWH, SIDES, SIDES)
def test_a_clipped_box_is_inside_and_stays_as_it_is(bbox_xywh, width, height):
    inside, _ = clip(bbox_xywh, width, height)
    if min(inside[2:]) > 0:
        left, top, wide, high = inside
        assert left >= 0
        assert top >= 0
        assert left + wide <= width + 1e-9
        assert top + high <= height + 1e-9
        assert clip(inside, width, height)[0] == inside
        assert all(round(value, 2) == value for value in inside)


@QUICK
@given(BOXES_XYWH, st.floats(-720, 720))
def test_the_enclosing_box_holds_the_turned_corners_and_no_more(bbox_xywh, degrees):
    """The corners by complex numbers: turning is a multiplication."""
    x, y, wide, high = bbox_xywh
    centre = complex(x + wide / 2, y + high / 2)
    turn = complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    halves = [complex(sx * wide / 2, sy * high / 2) for sx in (-1, 1) for sy in (-1, 1)]
    corners = [centre + half * turn for half in halves]
    left, top, new_wide, new_high = enclosing(list(bbox_xywh), degrees)
    expected = [
        min(corner.real for corner in corners),
        min(corner.imag for corner in corners),
        max(corner.real for corner in corners),
        max(corner.imag for corner in corners),
    ]
    assert [left, top, left + new_wide, top + new_high] == pytest.approx(expected, abs=1e-6)


@st.composite
def data_sets(draw) -> tuple[list[str], list[Image]]:
    """Labels, sorted, and images of up to three subsets with boxes of any ids."""
    labels = sorted(draw(st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=4)))
    places = st.tuples(st.sampled_from(["default", "Train", "мой"]), st.text("ab/", min_size=1))
    images = []
    for number, (subset, name) in enumerate(sorted(draw(st.sets(places, max_size=6)))):
        ids = sorted(draw(st.sets(st.integers(-(10**12), 10**12), max_size=5)))
        boxes = [Box(i, draw(st.sampled_from(labels)), (1.0, 2.0, 3.0, 4.0)) for i in ids]
        image = Image("", "x.json", subset, number, name, 9, 9, boxes)
        image.file_name = image.path
        images.append(image)
    return labels, images


@settings(parent=QUICK, max_examples=150)
@given(data_sets(), st.randoms(use_true_random=False))
def test_ids_have_no_holes_and_do_not_depend_on_the_order(data_set, random):
    labels, images = data_set
    coco = clean_coco(labels, images)
    for key in ("categories", "images", "annotations"):
        assert [entry["id"] for entry in coco[key]] == list(range(1, len(coco[key]) + 1))
    assert len(coco["images"]) == len(images)
    assert len(coco["annotations"]) == sum(len(image.boxes) for image in images)
    assert clean_coco(labels, random.sample(images, len(images))) == coco
    by_name = {image["file_name"]: image["id"] for image in coco["images"]}
    for image in images:
        named = [labels[a["category_id"] - 1] for a in coco["annotations"]
                 if a["image_id"] == by_name[image.path]]  # fmt: skip
        assert named == [box.label for box in image.boxes]
