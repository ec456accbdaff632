"""Split: sides by content, stable, with boxes on both."""

import random

import pytest

from stages.common.errors import Refusal
from stages.split import draw, main, refuse_without_boxes, split_by_hash


def images(count: int) -> list[dict]:
    return [{"id": i, "sha256": f"{i:064x}", "file_name": f"{i}.jpg"} for i in range(1, count + 1)]


@pytest.mark.parametrize(
    ("count", "ratio", "train"), [(40, 0.75, 30), (2, 0.75, 1), (3, 0.5, 2), (10, 0.99, 9)]
)
def test_ratio(count, ratio, train):
    sides = split_by_hash(images(count), ratio, seed=0)
    assert [len(side) for side in sides] == [train, count - train]


def test_sides_do_not_depend_on_the_order_or_the_names():
    listed = images(40)
    renamed = [{**image, "id": 100 - image["id"], "file_name": "x"} for image in listed]
    random.Random(1).shuffle(renamed)
    for first, second in zip(
        split_by_hash(listed, 0.75, 0), split_by_hash(renamed, 0.75, 0), strict=True
    ):
        assert [i["sha256"] for i in first] == [i["sha256"] for i in second]


def test_seeds_differ():
    assert split_by_hash(images(40), 0.75, 0) != split_by_hash(images(40), 0.75, 1)


def test_equal_pictures_stay_on_one_side():
    for copies in range(2, 12):
        listed = images(12)
        for image in listed[:copies]:
            image["sha256"] = "same"
        train, val = split_by_hash(listed, 0.5, 0)
        assert "same" not in {i["sha256"] for i in train} & {i["sha256"] for i in val}


@pytest.mark.parametrize("listed", [images(1), [{"id": i, "sha256": "same"} for i in (1, 2, 3)]])
def test_too_few_images_are_refused(listed):
    with pytest.raises(Refusal, match="at least 2 different"):
        split_by_hash(listed, 0.75, 0)


def test_a_side_without_boxes_is_refused():
    full = {"images": [1], "annotations": [1]}
    with pytest.raises(Refusal, match="no box among the 1 images of val"):
        refuse_without_boxes({"train": full, "val": {"images": [1], "annotations": []}})


def test_files_written(tiny_dataset, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("data: {export: x.zip}\nsplit: {ratio: 0.5}")
    monkeypatch.chdir(tmp_path)
    main(tiny_dataset / "dataset/annotations.json", tmp_path / "split")
    assert sorted(p.name for p in tmp_path.rglob("*.json")) == [
        "calibration.json", "train.json", "val.json",
    ]  # fmt: skip


def test_calibration_is_another_order_than_the_split():
    train, _ = split_by_hash(images(40), 0.75, 0)
    assert sorted(train, key=lambda image: draw(image, 0, "calibration")) != train
