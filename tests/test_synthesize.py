"""The generated scenes carry exact labels, and the stage writes them as CVAT would."""

import json
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import cv2
import numpy as np
import pytest

from stages import synthesize
from stages.common.cvat import cvat_rectangle
from stages.scenes.scene import draw_scene
from tools.params_file import write_params

SMALL_HW = (180, 320)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([5, index]), SMALL_HW) for index in range(60)]


def export(folder: Path, monkeypatch, images: int = 2, seed: int = 0) -> Path:
    """Run the stage in a folder of its own; return the zip."""
    changes = {"images": images, "pool_images": 2, "seed": seed, "image_hw": list(SMALL_HW)}
    write_params(folder, {f"synthesize.{name}": value for name, value in changes.items()})
    monkeypatch.chdir(folder)
    synthesize.main(Path("data/synthetic.zip"), Path("data/synthetic_pool.zip"))
    return folder / "data/synthetic.zip"


def test_same_parameters_give_the_same_bytes(tmp_path, monkeypatch):
    first, second, other = (
        export(tmp_path / name, monkeypatch, images=1, seed=seed).read_bytes()
        for name, seed in (("first", 0), ("second", 0), ("other", 1))
    )
    assert first == second
    assert first != other


def test_a_scene_does_not_depend_on_how_many_are_drawn(tmp_path, monkeypatch):
    name = "images/default/scene_000000.jpg"
    with (
        ZipFile(export(tmp_path / "one", monkeypatch, images=1)) as one,
        ZipFile(export(tmp_path / "two", monkeypatch, images=2)) as two,
    ):
        assert one.read(name) == two.read(name)


def test_the_pool_holds_other_scenes_without_labels(tmp_path, monkeypatch):
    with (
        ZipFile(export(tmp_path, monkeypatch)) as labelled,
        ZipFile(tmp_path / "data/synthetic_pool.zip") as pool,
    ):
        assert pool.namelist() == ["pool_000000.jpg", "pool_000001.jpg"]
        frames = {pool.read(name) for name in pool.namelist()}
        assert len(frames - {labelled.read(name) for name in labelled.namelist()}) == 2


def test_zip_is_what_cvat_writes(tmp_path, monkeypatch):
    with ZipFile(export(tmp_path / "run", monkeypatch, images=2)) as archive:
        members = archive.infolist()
        assert {member.filename for member in members} == {
            "annotations/instances_default.json",
            *(f"images/default/scene_{index:06d}.jpg" for index in range(2)),
        }
        assert {member.compress_type for member in members} == {ZIP_STORED}
        assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
        text = archive.read("annotations/instances_default.json").decode()
        picture = np.frombuffer(archive.read("images/default/scene_000000.jpg"), np.uint8)
    assert cv2.imdecode(picture, cv2.IMREAD_COLOR).shape == (*SMALL_HW, 3)
    content = json.loads(text)
    assert text == json.dumps(content, separators=(",", ":"))  # compact, on one line
    assert list(content) == ["licenses", "info", "categories", "images", "annotations"]
    assert content["categories"] == [{"id": 1, "name": "LP", "supercategory": ""}]
    assert content["images"][1] == {
        "id": 2,
        "width": 320,
        "height": 180,
        "file_name": "scene_000001.jpg",
        "license": 0,
        "flickr_url": "",
        "coco_url": "",
        "date_captured": 0,
    }
    assert [entry["id"] for entry in content["annotations"]] == [
        number + 1 for number in range(len(content["annotations"]))
    ]


def test_rectangles_are_what_cvat_writes():
    entry = cvat_rectangle(7, 4, 1, (10.004, 20.0, 60.123, 31.5), occluded=True)
    assert json.dumps(entry) == json.dumps(
        {
            "id": 7,
            "image_id": 4,
            "category_id": 1,
            "segmentation": [],
            "area": 576.38,
            "bbox": [10.0, 20.0, 50.12, 11.5],
            "iscrowd": 0,
            "attributes": {"occluded": True, "rotation": 0.0},
        }
    )


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthesize, "draw_scene", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "run", monkeypatch)
    assert not (tmp_path / "run/data").exists()


@pytest.mark.parametrize("image_hw", [(540, 960), (128, 128), (416, 416), (640, 384), (271, 483)])
def test_boxes_lie_inside_images_of_any_size(image_hw):
    height, width = image_hw
    for seed in range(2):
        image_bgr, plates = draw_scene(np.random.default_rng(seed), image_hw)
        assert image_bgr.shape == (height, width, 3) and image_bgr.dtype == np.uint8
        for x0, y0, x1, y1 in (plate.box_xyxy for plate in plates):
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            assert x1 - x0 >= 12 * width / 960 - 1 and y1 - y0 >= 3 * width / 960


def test_scenes_vary(scenes):
    unit = SMALL_HW[1] / 960
    plates = [plate for _, found in scenes for plate in found]
    widths = np.array([plate.box_xyxy[2] - plate.box_xyxy[0] for plate in plates]) / unit
    counts = [len(found) for _, found in scenes]
    assert min(counts) == 0 and 3 <= max(counts) <= 6
    assert widths.min() < 30 and widths.max() > 100
    assert any(plate.occluded for plate in plates)


def test_every_label_shows_something(scenes):
    for image_bgr, plates in scenes:
        for x0, y0, x1, y1 in (plate.box_xyxy for plate in plates):
            inside = image_bgr[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
            assert inside.reshape(-1, 3).std(axis=0).max() > 4
