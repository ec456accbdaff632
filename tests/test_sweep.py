"""The sweep: the Pareto front, the recommendation, and paths that a copy of the project needs."""

import cv2
import numpy as np
import pytest
from conftest import PARAMS
from hydra.core.override_parser.overrides_parser import OverridesParser

from stages.common.params import Params
from tools.sweep.__main__ import absolute_paths, input_hw
from tools.sweep.page import Point, most_accurate, page, pareto_front, write_chart


def point(name: str, ap: float, fps: float) -> Point:
    return Point(name, "yolox-nano", "256x448", "silu", "INT8", ap, fps, 0.9 * fps)


FAST, GOOD = point("fast", 0.4, 200.0), point("good", 0.6, 50.0)
BEATEN, EQUAL = point("beaten", 0.4, 100.0), point("equal", 0.6, 40.0)


def test_nothing_beats_what_is_on_the_pareto_front():
    as_fast = point("as fast", 0.5, 50.0)
    assert pareto_front([EQUAL, BEATEN, as_fast, GOOD, FAST]) == [FAST, GOOD]
    assert pareto_front([]) == []


@pytest.mark.parametrize(("target_fps", "expected"), [(45, "good"), (46, "fast"), (181, None)])
def test_the_most_accurate_model_that_is_fast_enough_in_nine_of_ten_rounds(target_fps, expected):
    best = most_accurate([FAST, BEATEN, GOOD, EQUAL], target_fps)
    assert (best and best.experiment) == expected


def test_the_page_names_the_model_to_take_or_that_none_is_fast_enough(tmp_path):
    text = page([BEATEN, GOOD, FAST], 30, "sweep.png")
    rows = [line for line in text.splitlines() if line.startswith("| yolox")]
    assert [row.split(" | ")[4] for row in rows] == ["0.600", "0.400", "0.400"]
    assert [row.endswith("| yes |") for row in rows] == [True, True, False]
    assert "For 30 FPS take yolox-nano at 256x448 with silu in INT8: AP 0.600" in text
    assert "`dvc exp apply good`" in text
    assert "No model here reaches 500 FPS" in page([GOOD], 500, "sweep.png")
    busy = page([BEATEN, GOOD, FAST], 30, "sweep.png", "The machine was busy.")
    assert busy.splitlines()[2] == "**The machine was busy.**" and "FPS take" not in busy
    for name in ("a.png", "b.png"):
        write_chart([BEATEN, GOOD, FAST], 50, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len(np.unique(cv2.imread(str(tmp_path / "a.png")))) > 50


@pytest.mark.parametrize(
    ("given", "files", "expected"),
    [
        ({}, ["data/synthetic.zip"], []),
        ({"data.images": "data/originals"}, ["data/originals/a.jpg"], ["data.images"]),
        ({"data.images": "data/originals"}, ["data/originals/.gitignore"], []),
        ({"data.export": "my.zip"}, ["my.zip"], ["data.export"]),
        ({"data.export": "missing.zip"}, [], []),
        ({"data.images": "photos"}, ["photos/a.jpg"], ["data.images"]),
        ({"data.export": "it's, \\ [1]=ü (2).zip"}, ["it's, \\ [1]=ü (2).zip"], ["data.export"]),
        ({"train.pretrained": "weights.pth"}, ["weights.pth"], ["train.pretrained"]),
    ],
)
def test_paths_that_a_copy_would_not_find_become_absolute(
    elsewhere, tmp_path, given, files, expected
):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    values = PARAMS.model_dump()
    for key, value in given.items():
        section, name = key.split(".")
        values[section][name] = value
    settings = absolute_paths(Params.model_validate(values))
    read = OverridesParser.create().parse_overrides(settings)  # as DVC does
    found = {override.key_or_group: override.value() for override in read}
    assert found == {key: str(tmp_path / given[key]) for key in expected}


def test_inputs_are_written_as_height_by_width():
    assert input_hw("256x448") == (256, 448)
    for wrong in ("256", "256x", "axb", "1x2x3"):
        with pytest.raises(ValueError):
            input_hw(wrong)
