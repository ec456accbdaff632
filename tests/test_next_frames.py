"""Frames to label next: the choice, the files, and that CVAT, ingest and datumaro read them."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from conftest import operating_point
from test_ingest import as_folder, encoded

from stages.common.coco import read_image, subset
from stages.common.cvat import ANNOTATIONS, task_names, write_import
from stages.common.files import read_json, write_json
from stages.common.groups import different_bits, hashes_of
from stages.common.metrics import with_details
from stages.common.params import load_params
from stages.common.run import UserError
from stages.evaluate import detect, open_backend
from stages.ingest.__main__ import main as ingest
from tools.next_frames.__main__ import where_to_put
from tools.next_frames.answers import detect_mirrored
from tools.next_frames.ranking import choose, disagreement
from tools.params_file import ROOT, write_params

LABELS = ["a b", "c", "ü"]


def frame_in_cvat(name: str, task: list[str]) -> int | None:
    """The frame of a task that CVAT 2.80 puts the boxes of an image on.

    The rules of `match_dm_item` in cvat/apps/dataset_manager/bindings.py: the whole path without
    suffix, then below the folder that the frames have in common, then a number.
    """
    stems = [str(PurePosixPath(frame).with_suffix("")) for frame in task]
    wanted = str(PurePosixPath(name).with_suffix(""))
    if wanted in stems:
        return stems.index(wanted)
    fuzzy = [stem for stem in stems if stem.endswith(f"/{wanted}")]
    if fuzzy:
        return stems.index(fuzzy[0])
    return int(wanted) if wanted.isdecimal() and int(wanted) < len(task) else None


# Names of frames in the pool, and in the task.
NAMES = {
    "pictures": (["b.jpg", "a.jpg"], ["b.jpg", "a.jpg"]),
    "frames of a video": (
        ["drive.mp4/frame_000012.jpg", "drive.mp4/frame_000013.jpg"],
        ["drive.mp4_frame_000012.jpg", "drive.mp4_frame_000013.jpg"],
    ),
    "frames of two videos": (
        ["a.mp4/frame_000001.jpg", "b.mp4/frame_000001.jpg"],
        ["a.mp4_frame_000001.jpg", "b.mp4_frame_000001.jpg"],
    ),
    "numbers": (["0001.jpg", "0000.jpg"], ["frame_0001.jpg", "frame_0000.jpg"]),
    "two suffixes": (["a.jpg", "a.png"], ["a.jpg", "2_a.png"]),
    "another case": (["A.jpg", "a.jpg"], ["A.jpg", "2_a.jpg"]),
    "a folder or a part": (["x/y.jpg", "x_y.jpg"], ["x_y.jpg", "2_x_y.jpg"]),
    "a stem that was made": (["2_a.jpg", "a.jpg", "a.png"], ["2_a.jpg", "a.jpg", "3_a.png"]),
    "digits of another script": (["١.jpg"], ["frame_١.jpg"]),  # noqa: RUF001
}


@pytest.mark.parametrize("folder", ["", "pictures/"])
@pytest.mark.parametrize("case", NAMES)
def test_cvat_finds_each_frame_by_its_name(case, folder):
    names, expected = NAMES[case]
    found = task_names(names)
    assert found == expected
    task = [folder + name for name in found[::-1]]  # CVAT sorts as it likes
    assert [frame_in_cvat(name, task) for name in found] == [*range(len(found))][::-1]


def test_a_number_would_land_on_another_frame():
    assert frame_in_cvat("0001.jpg", ["x.jpg", "y.jpg"]) == 1
    assert frame_in_cvat("frame_0001.jpg", ["x.jpg", "y.jpg"]) is None


def rows_of(image_id: int, *boxes: tuple) -> list[dict]:
    """Detections: score, and left, top, width and height."""
    return [
        {"image_id": image_id, "category_id": 1, "score": score, "bbox": list(bbox)}
        for score, *bbox in boxes
    ]


# What each of two models finds in an image, and the disagreement.
ONE = (0.9, 0, 0, 10, 10)
ANSWERS = {
    "the same": ([ONE], [ONE], 0.0),
    "nothing": ([], [], 0.0),
    "one found it": ([ONE], [], 0.9),
    "surer": ([ONE], [(0.5, 0, 0, 10, 10)], 0.4),
    "moved": ([ONE], [(0.9, 0, 2, 10, 10)], 1 - 80 / 120),
    "too unsure to count": ([ONE], [ONE, (0.09, 50, 50, 10, 10)], 0.0),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_disagreement(case):
    first, second, expected = ANSWERS[case]
    answers = [rows_of(5, *first), rows_of(5, *second)]
    assert disagreement([{"id": 5}], answers, 1) == pytest.approx([expected])
    # A third one that agrees with the first halves the mean.
    assert disagreement([{"id": 5}], [*answers, answers[0]], 1) == pytest.approx([expected / 2])
    assert disagreement([{"id": 5}], answers[:1], 1) == [0]


def looks(count: int, seed: int = 0) -> list[dict]:
    hashes = np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)
    return [{"id": n, "dhash": row.tobytes().hex()} for n, row in enumerate(hashes)]


def test_the_choice_goes_by_score_and_by_looks():
    images = looks(20)
    images[1]["dhash"] = images[0]["dhash"]  # the twin of the best
    scores = np.array([9, 8, 7, *[1] * 17], float)
    assert choose(images, [], scores, 2, 0, seed=0).tolist() == [0, 2]
    # Nothing is new about what is labelled already.
    assert 0 not in choose(images, images[:1], scores, 18, 0, seed=0)
    flat = choose(images, [], np.ones(20), 5, 0, seed=0)
    bits = different_bits(hashes_of(images), hashes_of(images))[np.ix_(flat, flat)]
    assert bits[~np.eye(5, dtype=bool)].min() > 100


@pytest.mark.parametrize(("frames", "drawn"), [(5, 0), (5, 2), (5, 5), (20, 5), (50, 5), (50, 50)])
def test_each_frame_is_chosen_once(frames, drawn):
    images = looks(20)
    scores = np.zeros(20)
    found = choose(images, looks(3, seed=1), scores, frames, drawn, seed=3)
    assert len(set(found.tolist())) == len(found) == min(frames, 20)
    again = choose(images, looks(3, seed=1), scores, frames, drawn, seed=3)
    assert found.tolist() == again.tolist()


def test_a_mirror_shows_the_same_boxes(models, tiny_dataset):
    """In a mirrored picture the mirrored detector sees what the plain one sees in the picture."""
    params = load_params(ROOT / "params.yaml").evaluate
    coco = read_json(tiny_dataset / "dataset/annotations.json")
    images = tiny_dataset / "dataset/images"
    mirrored = tiny_dataset / "mirrored"
    for image in coco["images"]:
        path = mirrored / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), read_image(images / image["file_name"])[:, ::-1])
    plain = detect(open_backend(models / "ir", "f32"), coco, images, params)
    seen = detect_mirrored(open_backend(models / "ir", "f32"), coco, mirrored, params)
    width = coco["images"][0]["width"]
    for row, other in zip(plain, seen, strict=True):
        x, y, wide, high = other["bbox"]
        assert row["bbox"] == pytest.approx([width - x - wide, y, wide, high], abs=1e-3)
        assert row["score"] == other["score"]


@pytest.fixture
def project(models, tiny_dataset, tmp_path, monkeypatch) -> Path:
    """A folder as a run leaves it: four pictures are the pool, two are labelled."""
    folder = tmp_path / "project"
    write_params(folder, {"next.frames": 3, "next.random": 0.34, "data.export": "first.zip"})
    coco = read_json(tiny_dataset / "dataset/annotations.json")
    write_json(folder / "data/dataset/annotations.json", subset(coco, coco["images"][:2]))
    pool = {**coco, "images": coco["images"][2:], "annotations": []}
    for number, image in enumerate(pool["images"]):
        image["dhash"] = np.random.default_rng(number).bytes(32).hex()
    write_json(folder / "data/pool/annotations.json", pool)
    shutil.copytree(tiny_dataset / "dataset/images", folder / "data/pool/images")
    (folder / "models").symlink_to(models)
    params = load_params(folder / "params.yaml").evaluate
    for name in ("ir", "int8"):
        rows = detect(open_backend(models / name, "f32"), pool, folder / "data/pool/images", params)
        name = "torch" if name == "ir" else name
        write_json(folder / f"data/detections/pool_{name}.json", rows)
    point = operating_point(0.1, dict.fromkeys(LABELS, 0.1))
    write_json(folder / "metrics/operating_point.json", with_details(point, "confidence"))
    monkeypatch.chdir(folder)
    return folder


def run_next() -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tools.next_frames", "data/next"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
        capture_output=True, text=True,
    )  # fmt: skip


def test_the_command_writes_what_cvat_takes_and_ingest_reads_back(project):
    done = run_next()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("data/next: 3 of 4 frames, with ")
    assert [line[:2] for line in lines[1:]] == ["1.", "2.", "3.", "4.", "5."]
    assert "labels a b, c, ü" in lines[1]
    frames = read_json(project / "data/next/frames.json")
    assert frames[0]["chosen"] == "drawn at random"
    assert all(frame["chosen"].startswith("disagreement") for frame in frames[1:])
    pictures = {path.name for path in (project / "data/next/pictures").iterdir()}
    assert pictures == {frame["name"] for frame in frames}
    for frame in frames:
        source = project / "data/pool/images" / frame["frame"]
        assert (project / "data/next/pictures" / frame["name"]).read_bytes() == source.read_bytes()
    page = (project / "data/next/index.html").read_text()
    assert all(name in page for name in pictures)
    with zipfile.ZipFile(project / "data/next/next.zip") as archive:
        assert archive.namelist() == [ANNOTATIONS]
        coco = json.loads(archive.read(ANNOTATIONS))
    assert [box["id"] for box in coco["annotations"]] == [*range(1, len(coco["annotations"]) + 1)]
    assert {box["attributes"]["source"] for box in coco["annotations"]} == {"auto"}
    assert all(0.1 <= box["score"] <= 1 for box in coco["annotations"])
    ingest(project / "data/next/next.zip", project / "in", images=project / "data/next/pictures")
    read = read_json(project / "in/annotations.json")
    assert [category["name"] for category in read["categories"]] == LABELS
    names = {image["id"]: image["file_name"].removeprefix("default/") for image in read["images"]}
    boxes = {(names[b["image_id"]], LABELS[b["category_id"] - 1], *b["bbox"])
             for b in read["annotations"]}  # fmt: skip
    drawn = {(f["name"], box["label"], *box["bbox"]) for f in frames for box in f["boxes"]}
    assert len(drawn) == len(boxes)
    for found, wanted in zip(sorted(boxes), sorted(drawn), strict=True):
        assert found[:2] == wanted[:2]
        assert found[2:] == pytest.approx(wanted[2:], abs=0.02)


def without_frames(project: Path) -> None:
    path = project / "data/pool/annotations.json"
    write_json(path, {**read_json(path), "images": []})


# What is wrong, and words of the refusal.
REFUSED = {
    "no frames": (without_frames, "data/pool holds no frames: name a folder, a zip or a video"),
    "no run": (lambda project: (project / "data/pool/annotations.json").unlink(), "annotations"),
    "no detections": (
        lambda project: (project / "data/detections/pool_torch.json").unlink(),
        "pool_torch.json",
    ),
    "no model": (lambda project: (project / "models").unlink(), "models/ir does not exist"),
    "a file in its place": (
        lambda project: (project / "data/next").write_text("x"),
        "data/next is a file or a link",
    ),
    "a file of the user's in it": (
        lambda project: as_folder(project / "data/next", {"frames.json": b"", "task.zip": b"x"}),
        "data/next holds 'task.zip' too, which would be lost",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_line_and_leaves_nothing(project, case):
    spoil, words = REFUSED[case]
    spoil(project)
    before = set(project.rglob("*"))
    done = run_next()
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("next: ")
    assert done.stderr.count("\n") == 1
    assert set(project.rglob("*")) == before


def test_an_import_that_was_edited_by_hand_is_refused_by_name(project, tmp_path):
    run_next()
    with zipfile.ZipFile("data/next/next.zip") as archive:
        coco = json.loads(archive.read(ANNOTATIONS))
    coco["annotations"][0]["category_id"] = 9
    edited = tmp_path / "edited.zip"
    with zipfile.ZipFile(edited, "w") as archive:
        archive.writestr(ANNOTATIONS, json.dumps(coco))
    with pytest.raises(UserError, match="annotation 1: category_id is 9"):
        ingest(edited, tmp_path / "out", images=Path("data/next/pictures"))
    assert not (tmp_path / "out").exists()


DATUMARO = """
import json, sys
from datumaro import Dataset
dataset = Dataset.import_from(sys.argv[1], "coco_instances")
names = [label.name for label in dataset.categories()[list(dataset.categories())[0]]]
boxes = [[item.id, names[a.label], *a.get_bbox()] for item in dataset for a in item.annotations]
print(json.dumps(sorted(boxes)))
"""


@pytest.mark.slow
def test_datumaro_reads_the_same_boxes(tmp_path):
    """In an environment of its own: datumaro wants another OpenCV and Pillow than this project."""
    images = [{"id": n, "file_name": f"{n}.png", "width": 160, "height": 90} for n in (4, 7)]
    rows = rows_of(7, (0.9, 1, 2, 30, 40)) + rows_of(4, (0.8, 5, 6, 7, 8), (0.5, 50, 6, 7, 8))
    write_import(tmp_path / "next.zip", LABELS, images, ["a.png", "b.png"], rows)
    with zipfile.ZipFile(tmp_path / "next.zip") as archive:
        archive.extractall(tmp_path / "next")
    for name in ("a.png", "b.png"):  # it wants pictures
        as_folder(tmp_path / "next/images/default", {name: encoded(0, "PNG", (160, 90))})
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "run", "--no-project", "--isolated", "--python", sys.executable, "--with",
         "datumaro==1.13.12", "python", "-c", DATUMARO, tmp_path / "next"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["a", "a b", 5, 6, 7, 8],
        ["a", "a b", 50, 6, 7, 8],
        ["b", "a b", 1, 2, 30, 40],
    ]


# The files of data.export, and what is said about the next zip.
PLACES = {
    "a zip": (None, "Put that zip and first.zip into a folder of their own"),
    "an export as a folder": (["annotations/instances_default.json"], "a folder of their own"),
    "a folder with a zip": (["a.zip"], "Put that zip into first.zip"),
    "a folder with folders": (
        [f"{name}/annotations/instances_default.json" for name in "ab"],
        "Put that zip into first.zip",
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_it_says_where_the_next_export_belongs(tmp_path, monkeypatch, case):
    files, said = PLACES[case]
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {"data.export": "first.zip"})
    if files:
        as_folder(tmp_path / "first.zip", dict.fromkeys(files, b""))
    assert said in where_to_put(load_params())
