"""The sweep: which models are on the front, which one is advised, what a copy elsewhere needs."""

import cv2
import numpy as np
import pytest

from stages.common.params import Params
from tools.sweep.__main__ import absolute_paths, input_hw, page
from tools.sweep.chart import write_chart
from tools.sweep.pareto_front import Point, front, most_accurate, slowest_tenth


def point(name: str, ap: float, fps: float, slow: float | None = None) -> Point:
    return Point(name, "yolox-nano", (256, 448), "silu", "INT8", ap, fps, slow or 0.9 * fps)


FAST, GOOD = point("fast", 0.4, 200.0), point("good", 0.6, 50.0)
BEATEN, EQUAL = point("beaten", 0.4, 100.0), point("equal", 0.6, 40.0)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([GOOD], ["good"]),
        ([GOOD, FAST], ["fast", "good"]),
        ([BEATEN, GOOD, FAST], ["fast", "good"]),
        ([EQUAL, GOOD], ["good"]),
        ([point("a", 0.5, 9.0), point("b", 0.6, 9.0)], ["b"]),
    ],
)
def test_the_front_holds_what_nothing_beats(points, expected):
    assert [p.experiment for p in front(points)] == expected


@pytest.mark.parametrize(
    ("target_fps", "expected"),
    [(10, "good"), (45, "good"), (46, "fast"), (180, "fast"), (181, None)],
)
def test_the_most_accurate_that_is_fast_enough_in_nine_tenths_of_its_turns(target_fps, expected):
    best = most_accurate([FAST, BEATEN, GOOD, EQUAL], target_fps)
    assert (best and best.experiment) == expected


def test_the_slowest_tenth_is_what_nine_tenths_reach():
    fps = np.arange(1.0, 101.0)
    assert np.mean(fps >= slowest_tenth(fps)) == 0.9


def test_the_page_names_what_to_take_or_that_nothing_is_fast_enough():
    text = page([BEATEN, GOOD, FAST], 30, "sweep.png")
    rows = [line for line in text.splitlines() if line.startswith("| yolox")]
    assert [row.split(" | ")[4] for row in rows] == ["0.600", "0.400", "0.400"]
    assert [row.endswith("| yes |") for row in rows] == [True, True, False]
    assert "For 30 FPS take yolox-nano at 256x448 with silu in INT8: AP 0.600" in text
    assert "`dvc exp apply good`" in text
    assert "No model here reaches 500 FPS" in page([GOOD], 500, "sweep.png")


def test_the_chart_is_a_picture_and_the_same_one_again(tmp_path):
    for name in ("a.png", "b.png"):
        write_chart([BEATEN, GOOD, FAST], 50, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len(np.unique(cv2.imread(str(tmp_path / "a.png")))) > 50


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"data": {"export": "my.zip"}}, ["data.export"]),
        ({"data": {"export": "missing.zip"}}, []),
        ({"data": {"export": "my.zip", "images": "photos"}}, ["data.export", "data.images"]),
        ({"train": {"pretrained": "weights.pth"}}, ["train.pretrained"]),
        ({"train": {"pretrained": "coco"}}, []),
    ],
)
def test_paths_that_a_copy_elsewhere_would_not_find_become_absolute(
    elsewhere, tmp_path, given, expected
):
    for name in ("data/originals", "photos"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/originals/.gitignore").touch()
    for name in ("data/synthetic.zip", "my.zip", "weights.pth", "photos/a.jpg"):
        (tmp_path / name).touch()
    params = Params.model_validate({"data": {"export": "data/synthetic.zip"}, **given})
    found = dict(line.split("=", 1) for line in absolute_paths(params))
    assert list(found) == expected
    assert all(path.startswith(str(tmp_path)) for path in found.values())


def test_pictures_in_the_usual_folder_are_found_from_elsewhere(elsewhere, tmp_path):
    folder = tmp_path / "data/originals"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    params = Params.model_validate({"data": {"export": "data/synthetic.zip"}})
    assert absolute_paths(params) == [f"data.images={folder}"]


def test_inputs_are_written_as_height_by_width():
    assert input_hw("256x448") == (256, 448)
    for wrong in ("256", "256x", "axb", "1x2x3"):
        with pytest.raises(ValueError):
            input_hw(wrong)
