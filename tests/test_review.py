"""The review of a change: verdicts, frames whose outcome changed, and the page."""

import copy

import pytest
from test_report import ACCURACY, DROP, HOST, SPEED

from tools.review.__main__ import data_lines, machines, table_of
from tools.review.frames import changed_images, is_right
from tools.review.verdicts import (
    BETTER,
    BUSY_MACHINE,
    NOISE,
    OTHER_MACHINE,
    WORSE,
    judged,
    rows,
    why_incomparable,
)

BEFORE = {"accuracy": ACCURACY, "drop": DROP, "speed": SPEED}


@pytest.mark.parametrize(
    ("old", "new", "higher_is_better", "verdict"),
    [
        ((5, [4, 6]), (7, [6.5, 8]), True, BETTER),
        ((5, [4, 6]), (7, [5.5, 8]), True, NOISE),
        ((5, [4, 6]), (3, [2, 3.9]), True, WORSE),
        ((5, [4, 6]), (3, [2, 3.9]), False, BETTER),
        ((5, [4, 6]), (5, [4, 6]), True, NOISE),
        ((5, [5, 5]), (5.1, [5.1, 5.1]), True, BETTER),
    ],
)
def test_a_figure_is_judged_by_its_interval(old, new, higher_is_better, verdict):
    assert judged(*old, *new, higher_is_better) == verdict


def changed(path: tuple[str, ...], value: object) -> list:
    after = copy.deepcopy(BEFORE)
    place = after
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return [(row.figure, row.before, row.after, row.verdict) for row in rows(BEFORE, after)]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("accuracy", "int8", "AP50"), 0.9, []),
        (("accuracy", "int8", "AP"), 0.5, [("AP, OpenVINO INT8", "0.480", "0.500", NOISE)]),
        (("accuracy", "ir", "size_mb"), 3.0, [("MB, OpenVINO FP16", "1.7", "3.0", WORSE)]),
        (
            ("speed", "int8", "throughput_fps"),
            90.0,
            [("FPS, OpenVINO INT8", "60", "90", "see speed-up")],
        ),
        (
            ("speed", "int8", "speedup_vs_torch"),
            6.05,
            [("Speed-up, OpenVINO INT8", "6", "6.05", NOISE)],
        ),
        (("drop", "int8", "AP"), 2.5, [("INT8 drop, AP points", "2.0", "2.5", NOISE)]),
    ],
)
def test_only_what_changed_is_told(path, value, expected):
    assert changed(path, value) == expected


@pytest.mark.parametrize(("speedup", "verdict"), [(7.5, NOISE), (9.0, BETTER), (3.0, WORSE)])
def test_a_speed_up_may_differ_by_the_run(speedup, verdict):
    after = copy.deepcopy(BEFORE)
    ends = [speedup - 0.1, speedup + 0.1]
    after["speed"]["int8"] |= {"speedup_vs_torch": speedup, "speedup_interval": ends}
    assert [row.verdict for row in rows(BEFORE, after)] == [verdict]


@pytest.mark.parametrize(
    ("before", "after", "verdict", "told"),
    [
        ({}, {"date": "2026-02-01", "versions": {}, "cores_free": 0.97}, BETTER, None),
        ({}, {"cores": 64}, OTHER_MACHINE, "not the same machine"),
        ({}, {"id": "1e"}, OTHER_MACHINE, "not the same machine"),
        ({"busy": True}, {}, BUSY_MACHINE, "busy with other programs"),
        ({}, {"busy": True}, BUSY_MACHINE, "busy with other programs"),
    ],
)
def test_speeds_compare_on_the_very_same_quiet_machine_only(before, after, verdict, told):
    old, new = copy.deepcopy(BEFORE), copy.deepcopy(BEFORE)
    old["speed"]["host"] |= before
    new["speed"]["host"] |= after
    new["speed"]["int8"] |= {"speedup_vs_torch": 90.0, "speedup_interval": [80.0, 95.0]}
    assert [row.verdict for row in rows(old, new)] == [verdict]
    measured, *reason = machines(old["speed"]["host"], new["speed"]["host"])
    assert "before: measured on 2026-01-31 on A|B, 2 cores" in measured
    assert bool(reason) == bool(told) and all(told in sentence for sentence in reason)


def test_an_older_commit_that_tells_no_machine_from_another():
    old = {key: HOST[key] for key in ("cpu", "cores", "isa", "versions")}
    assert why_incomparable(old, HOST) == why_incomparable(old, old) == OTHER_MACHINE
    assert machines(old, HOST)[0].startswith("Speed before: measured on an unknown day on A|B")


def test_nothing_changed():
    assert table_of(rows(BEFORE, copy.deepcopy(BEFORE))) == ["No figure changed."]


def box(image: int, left: float, category: int = 1, score: float = 0.9) -> dict:
    return {"image_id": image, "category_id": category, "bbox": [left, 0, 10, 10], "score": score}


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        ([], [], True),
        ([box(1, 0)], [box(1, 1)], True),
        ([box(1, 0)], [box(1, 9)], False),
        ([box(1, 0)], [box(1, 0, category=2)], False),
        ([box(1, 0)], [], False),
        ([], [box(1, 0)], False),
        ([box(1, 0), box(1, 50)], [box(1, 50), box(1, 0)], True),
        ([box(1, 0)], [box(1, 0), box(1, 0)], False),
    ],
)
def test_a_frame_is_right_where_all_is_found_and_nothing_else(truth, found, expected):
    assert is_right(truth, found) == expected


def test_images_whose_outcome_changed():
    coco = {"images": [{"id": i} for i in (1, 2, 3)],
            "annotations": [box(1, 0), box(2, 0), box(3, 0)]}  # fmt: skip
    before = [box(1, 0), box(3, 0), box(2, 0, score=0.2)]
    after = [box(2, 0), box(3, 0), box(1, 0, score=0.1)]
    found = changed_images(coco, before, after, confidence=0.25)
    assert [(image["id"], now_right) for image, now_right in found] == [(1, False), (2, True)]


def side(images: int, boxes: int, **classes: int) -> dict:
    return {"images": images, "boxes": boxes, "classes": classes}


def test_data_that_changed_and_a_leak():
    before = {"train": side(30, 40, LP=40), "val": side(10, 11, LP=11)}
    after = {"train": side(32, 44, LP=40, car=4), "val": side(10, 11, LP=11),
             "crossing": {"judged_images": 3}}  # fmt: skip
    table, leak = data_lines(before, after)
    assert table.splitlines()[2:] == [
        "| train, images | 30 | 32 |", "| train, boxes | 40 | 44 |",
        "| train, boxes of car | 0 | 4 |",
    ]  # fmt: skip
    assert leak.startswith("3 val or test images have a near duplicate in train")
