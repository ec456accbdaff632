"""The loop with CVAT, from the first export to the second, in a real repository."""

import re
import shutil

import numpy as np
import pytest
from test_pipeline import TINY, Repository

from stages.common.cvat import add_json, add_member, cvat_categories, cvat_image, cvat_rectangle
from stages.common.files import read_json
from stages.scenes.scene import draw_scene
from stages.synthesize import jpeg
from tools.stand_in import ZipFile, counts

HW = TINY["synthesize"]["image_hw"]


def write_scenes(path, count: int, labelled: bool) -> None:
    """Draw scenes that the default data do not hold: as frames, or as an export."""
    images, boxes = [], []
    with ZipFile(path, "w") as archive:
        for number in range(1, count + 1):
            image_bgr, plates = draw_scene(np.random.default_rng([7, number]), tuple(HW))
            name = f"frame_{number:06d}.jpg"
            images.append(cvat_image(number, name, HW[1], HW[0]))
            boxes += [
                cvat_rectangle(len(boxes) + n, number, 1, plate.box_xyxy, occluded=False)
                for n, plate in enumerate(plates, 1)
            ]
            add_member(archive, f"images/default/{name}" if labelled else name, jpeg(image_bgr))
        if labelled:
            add_json(archive, cvat_categories(["LP"]), images, boxes)


@pytest.mark.slow
def test_from_the_first_detector_to_the_second(tmp_path):
    repository = Repository(tmp_path / "clone")
    folder = repository.folder
    write_scenes(folder / "frames.zip", 12, labelled=False)
    write_scenes(tmp_path / "truth.zip", 12, labelled=True)
    repository.run("dvc", "repro", "synthesize")
    (folder / "exports").mkdir()
    shutil.copy(folder / "data/synthetic.zip", folder / "exports/first.zip")
    (folder / ".gitignore").write_text(
        (folder / ".gitignore").read_text() + "/exports\n/frames.zip\n"
    )
    text = (folder / "params.yaml").read_text()
    text = re.sub(r"export: .*", "export: exports", text, count=1)
    text = re.sub(r"pool: data/.*", "pool: frames.zip", text, count=1)
    (folder / "params.yaml").write_text(text.replace("frames: 40", "frames: 5"))
    repository.run("dvc", "repro")
    repository.commit("first detector")
    before = repository.json("data/dataset/annotations.json")

    said = repository.run("make", "next").stdout
    assert "data/next: 5 of 12 frames" in said
    assert "Put that zip into exports, and run: dvc repro" in said
    said = repository.run(
        "python", "-m", "tools.stand_in", "data/next", str(tmp_path / "truth.zip"),
        "exports/second.zip",
    ).stdout  # fmt: skip
    assert "5 frames" in said

    output = repository.run("dvc", "repro").stdout
    assert {"ingest", "split", "pool", "train", "quantize"} <= repository.stages_run(output)
    assert not {"synthesize"} & repository.stages_run(output)
    after = repository.json("data/dataset/annotations.json")
    exports = repository.json("metrics/data.json")["exports"]
    assert {name: own["images"] for name, own in exports.items()} == {"first": 8, "second": 5}
    pictures = {image["sha256"]: image["file_name"] for image in after["images"]}
    assert {i["sha256"]: i["file_name"] for i in before["images"]}.items() <= pictures.items()
    # What was labelled is not offered again.
    assert len(read_json(folder / "data/pool/annotations.json")["images"]) == 7
    repository.run("make", "review", "BASE=HEAD")
    page = (folder / "review.md").read_text()
    assert "| export second | - | 5 images, " in page
    assert re.search(r"judged on the \d images that both commits judge, in pairs", page)


def test_labour_is_counted_by_boxes_that_were_right():
    frames = [
        {"boxes": [{"bbox": [0, 0, 10, 10]}, {"bbox": [50, 50, 10, 10]}]},
        {"boxes": []},
        {"boxes": [{"bbox": [0, 0, 10, 10]}]},
    ]
    boxes = [[{"bbox": [0, 1, 10, 10]}, {"bbox": [20, 20, 9, 9]}], [{"bbox": [1, 1, 5, 5]}], []]
    assert counts(frames, boxes) == (3, 3, 1)
