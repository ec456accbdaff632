"""Suspicious labels: what is found in detections that the labels disagree with."""

import json
import zipfile

import numpy as np
import pytest
from test_ingest import as_folder, encoded

from stages.common.cvat import ANNOTATIONS
from stages.common.files import read_json, write_json
from stages.label_errors import (
    FORGOTTEN,
    MISPLACED,
    NOTHING,
    OTHER_LABEL,
    find_suspects,
    name_in_task,
)
from tools.label_errors_study import hits, iou, plant
from tools.params_file import write_params

WIDTH, HEIGHT = 1000, 600
BOX, NEAR, FAR = [100, 100, 100, 40], [130, 110, 100, 40], [600, 300, 80, 30]


def image(number: int, **more) -> dict:
    return {"id": number, "file_name": f"default/f{number}.png", "width": WIDTH, "height": HEIGHT,
            "export": "", "subset": "default", **more}  # fmt: skip


def coco_of(labels: list[tuple], images: list[dict] | None = None) -> dict:
    """A COCO; `labels` are (image id, category id, bbox)."""
    return {
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "images": images or [image(1)],
        "annotations": [
            {"id": 50 + n, "image_id": number, "category_id": category, "bbox": bbox}
            for n, (number, category, bbox) in enumerate(labels)
        ],
    }


def found(*rows: tuple, image_id: int = 1) -> list[dict]:
    return [
        {"image_id": image_id, "category_id": c, "bbox": bbox, "score": s, "id": 900}
        for s, c, bbox in rows
    ]


# Labels, detections, and the suspects: kind, suspicion, the annotation that it is about.
CASES = {
    "all agree": ([(1, 1, BOX)], [(0.9, 1, BOX)], []),
    "nothing anywhere": ([], [], []),
    "forgotten": ([(1, 1, BOX)], [(0.9, 1, BOX), (0.8, 2, FAR)], [(FORGOTTEN, 0.8, None)]),
    "forgotten, found under two labels": (
        [(1, 1, BOX)], [(0.9, 1, BOX), (0.8, 2, FAR), (0.7, 1, FAR)], [(FORGOTTEN, 0.8, None)],
    ),
    "in an image without labels": ([], [(0.8, 2, FAR)], [(FORGOTTEN, 0.8, None)]),
    "too unsure": ([(1, 1, BOX)], [(0.9, 1, BOX), (0.02, 2, FAR)], []),
    "around nothing": ([(1, 1, BOX), (1, 1, FAR)], [(0.9, 1, BOX)], [(NOTHING, 1.0, 51)]),
    "moved": ([(1, 1, BOX)], [(0.9, 1, NEAR)], [(MISPLACED, 0.9 * (1 - iou(BOX, NEAR)), 50)]),
    "other label": ([(1, 1, BOX)], [(0.9, 2, BOX), (0.1, 1, BOX)], [(OTHER_LABEL, 0.8, 50)]),
    "two boxes of one object": ([(1, 1, BOX)], [(0.9, 1, BOX), (0.5, 1, NEAR)], []),
    "a neighbor's detection": (
        [(1, 1, BOX), (1, 1, NEAR)], [(0.9, 1, NEAR), (0.85, 1, BOX)], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_suspects(case):
    labels, rows, expected = CASES[case]
    suspects = find_suspects(coco_of(labels), found(*rows))
    said = [(one["kind"], one["suspicion"], one["annotation"]) for one in suspects]
    assert said == [(kind, pytest.approx(value, abs=1e-4), own) for kind, value, own in expected]


def test_the_most_suspicious_come_first_with_their_images():
    coco = coco_of([(2, 1, BOX)], [image(1), image(2)])
    rows = found((0.5, 1, FAR)) + found((0.9, 1, BOX), (0.7, 2, FAR), image_id=2)
    suspects = find_suspects(coco, rows)
    assert [(one["file_name"], one["suspicion"]) for one in suspects] == [
        ("default/f2.png", 0.7), ("default/f1.png", 0.5),
    ]  # fmt: skip
    assert suspects[0]["found"] == {"bbox": FAR, "category_id": 2, "score": 0.7}


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"file_name": "default/a.jpg", "subset": "default", "export": ""}, "a.jpg"),
        ({"file_name": "w1/Train/x/a.jpg", "subset": "Train", "export": "w1"}, "x/a.jpg"),
        ({"file_name": "default/a.jpg.png", "subset": "default", "export": ""}, "a.jpg"),
        ({"file_name": "default/v1.2.png", "subset": "default", "export": ""}, "v1.2.png"),
    ],
)
def test_images_have_the_names_of_their_task(entry, name):
    assert name_in_task(entry) == name


@pytest.fixture
def project(tmp_path):
    """Two exports with an error each, as a cross-validation leaves them."""
    images = [image(n, export=f"w{n}", file_name=f"w{n}/default/f{n}.png", group="g",
                    sha256=f"{n:064x}", dhash=f"{n:064x}") for n in (1, 2)]  # fmt: skip
    coco = {**coco_of([(1, 1, BOX), (2, 1, BOX)], images), "info": {}}
    for box in coco["annotations"]:
        box |= {"area": 4000, "iscrowd": 0}
    for one in images:
        files = {one["file_name"]: encoded(one["id"], "PNG", (WIDTH, HEIGHT))}
        as_folder(tmp_path / "dataset/images", files)
    write_json(tmp_path / "dataset/annotations.json", coco)
    write_json(tmp_path / "dataset/report.json", {"warnings": [], "repairs": []})
    for name, listed in (("train", images[:1]), ("val", images[1:])):
        write_json(tmp_path / f"split/{name}.json", {**coco, "images": listed})
    write_json(tmp_path / "split/report.json", {"near_duplicates": [], "near_duplicate_pairs": 0})
    rows = found((0.9, 1, BOX), (0.8, 2, FAR)) + found((0.9, 2, BOX), image_id=2)
    write_json(tmp_path / "out_of_fold.json", {**coco, "detections": {"torch": rows}})
    write_params(tmp_path, {})
    return tmp_path


def test_the_command_and_the_page(project, run_stage):
    done = run_stage("label_errors", "out_of_fold.json", "found", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert "other label 1, forgotten 1" in done.stdout
    suspects = read_json(project / "found/suspects.json")
    assert [one["kind"] for one in suspects] == [OTHER_LABEL, FORGOTTEN]
    imports = {}
    for name in ("w1", "w2"):
        with zipfile.ZipFile(project / f"found/{name}.zip") as archive:
            imports[name] = json.loads(archive.read(ANNOTATIONS))
    assert [i["file_name"] for i in imports["w1"]["images"]] == ["f1.png"]
    (box,) = imports["w1"]["annotations"]
    assert (box["bbox"], box["category_id"], box["score"]) == (FAR, 2, 0.8)
    (box,) = imports["w2"]["annotations"]
    assert (box["bbox"], box["category_id"]) == (BOX, 2)
    for given, words in (("found/suspects.json", "forgotten: b"), ("null.json", "make crossval")):
        write_json(project / "null.json", None)
        done = run_stage("audit", "dataset", "split", "page.html", "--suspects", given, cwd=project)
        assert done.returncode == 0, done.stderr
        assert words in (project / "page.html").read_text()
    done = run_stage("audit", "dataset", "split", "page.html", cwd=project)
    assert "models disagree" not in (project / "page.html").read_text()


def test_without_a_cross_validation_nothing_is_judged(tmp_path, run_stage):
    write_json(tmp_path / "out_of_fold.json", {})
    done = run_stage("label_errors", "out_of_fold.json", "found", cwd=tmp_path)
    assert done.stdout == "No cross-validation: no label was judged\n"
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["suspects.json"]
    assert read_json(tmp_path / "found/suspects.json") is None


def test_a_perfect_detector_finds_every_planted_error():
    """The study's own errors, with the true boxes as detections."""
    rng = np.random.default_rng(1)
    labels = []
    for number in range(1, 201):
        x, y = rng.uniform(0, WIDTH - 100), rng.uniform(0, HEIGHT - 40)
        labels.append((number, 1 + number % 2, [x, y, 100, 40]))
    truth = coco_of(labels, [image(n) for n in range(1, 201)])
    coco, planted = plant(truth, 0.1, rng)
    assert {kind: len(errors) for kind, errors in planted.items()} == dict.fromkeys(planted, 20)
    rows = [
        row
        for box in truth["annotations"]
        for row in found((0.95, box["category_id"], box["bbox"]), image_id=box["image_id"])
    ]
    suspects = find_suspects(coco, rows)
    for kind, errors in planted.items():
        own = [one for one in suspects if one["kind"] == kind]
        assert sum(hits(own, errors)) == 20
        assert len(own) == 20
