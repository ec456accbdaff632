"""A folder with several exports becomes one data set."""

import json
from pathlib import Path

import pytest
from test_ingest import JSON, as_folder, as_zip, encoded, files_of, plain, rectangle, refused

from stages.ingest import __main__ as ingest
from tools.params_file import write_params

pytestmark = pytest.mark.usefixtures("elsewhere")

A, B = "images/default/a.jpg", "images/default/b.jpg"


def export(seed: int = 0, labels: tuple = ("plate", "car"), **changes) -> dict:
    """Return the files of an export of three images, those of another seed show other things."""
    coco = {**plain(), **changes}
    coco["categories"] = [{"id": n, "name": name} for n, name in enumerate(labels, 1)]
    files = files_of(coco)
    for number, name in enumerate(sorted(set(files) - {JSON})):
        files[name] = encoded(10 * seed + number)
    return files


def folder_of(tmp_path: Path, exports: dict[str, dict]) -> Path:
    folder = tmp_path / "exports"
    folder.mkdir()
    for name, files in exports.items():
        (as_zip if name.endswith(".zip") else as_folder)(folder / name, files)
    return folder


def ingested(tmp_path: Path, exports: dict[str, dict]) -> tuple[dict, dict]:
    out = tmp_path / "out"
    ingest.main(folder_of(tmp_path, exports), out)
    coco, report = (json.loads((out / f"{n}.json").read_text()) for n in ("annotations", "report"))
    stored = {p.relative_to(out / "images").as_posix() for p in out.glob("images/**/*.jpg")}
    assert stored == {image["file_name"] for image in coco["images"]}
    return coco, report


@pytest.mark.parametrize("names", [("week1.zip", "week2.zip"), ("week1", "week2.zip")])
def test_equal_names_of_other_pictures_are_both_kept(tmp_path, names):
    coco, report = ingested(tmp_path, {name: export(seed) for seed, name in enumerate(names)})
    assert [image["file_name"] for image in coco["images"]] == [
        f"week{week}/default/{name}.jpg" for week in (1, 2) for name in "abc"
    ]
    assert [image["export"] for image in coco["images"]] == ["week1"] * 3 + ["week2"] * 3
    assert len({image["sha256"] for image in coco["images"]}) == 6
    assert len({image["group"] for image in coco["images"]}) == 6
    assert (tmp_path / "out/images/week2/default/b.jpg").read_bytes() == encoded(11)
    assert report["exports"] == {f"week{n}": {"images": 3, "boxes": 4} for n in (1, 2)}
    assert [category["name"] for category in coco["categories"]] == ["car", "plate"]
    assert report["warnings"] == []


def test_one_export_in_a_folder(tmp_path):
    coco, _ = ingested(tmp_path, {"only.zip": export()})
    assert coco["images"][0]["file_name"] == "only/default/a.jpg"


def test_labels_have_the_same_name_and_not_the_same_id(tmp_path):
    swapped = [{**box, "category_id": 3 - box["category_id"]} for box in plain()["annotations"]]
    second = export(1, ("car", "plate"), annotations=swapped)
    coco, _ = ingested(tmp_path, {"a.zip": export(), "b.zip": second})
    boxes = [(box["category_id"], box["bbox"]) for box in coco["annotations"]]
    assert boxes[:4] == boxes[4:]


def test_a_picture_with_equal_boxes_counts_once(tmp_path):
    first = export(annotations=plain()["annotations"][::-1])
    coco, report = ingested(tmp_path, {"a.zip": first, "b.zip": export(), "c.zip": export(1)})
    assert {image["export"] for image in coco["images"]} == {"a", "c"}
    assert (len(coco["images"]), len(coco["annotations"])) == (6, 8)
    assert report["repairs"] == []


def moved(subset: str) -> dict:
    return {name.replace("default", subset): value for name, value in export().items()}


MORE = [*plain()["annotations"], rectangle(5, 2, 2, [1, 1, 20, 20])]
# What the second export says otherwise, and words of the refusal.
CONFLICTS = {
    "another box": (export(annotations=MORE), "'b.jpg' is also in 'a', with other boxes (1 there"),
    "another label": (
        export(annotations=[{**MORE[0], "category_id": 2}, *MORE[1:4]]),
        "'a.jpg' is also in 'a', with other boxes (2 there, 2 here)",
    ),
    "another subset": (moved("Val"), "in subset 'default' and not 'Val'"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_a_picture_with_other_boxes_is_refused_or_the_newest_counts(tmp_path, capsys, case):
    second, words = CONFLICTS[case]
    folder = folder_of(tmp_path, {"a.zip": export(), "b.zip": second})
    message = refused(tmp_path, folder)
    assert words in message
    assert "data.on_conflict" in message
    write_params(tmp_path, {"data.on_conflict": "newest"})
    ingest.main(folder, tmp_path / "out")
    assert "counts" in capsys.readouterr().err
    alone = tmp_path / "alone"
    ingest.main(folder / "b.zip", alone)
    boxes = [
        sorted((b["category_id"], b["bbox"]) for b in json.loads(text)["annotations"])
        for text in (
            (where / "annotations.json").read_text() for where in (tmp_path / "out", alone)
        )
    ]
    assert boxes[0] == boxes[1]


# Exports of a folder, and words of the refusal.
REFUSED = {
    "a label in another case": (
        {"a.zip": export(), "b.zip": export(1, ("Plate", "car"))},
        "b: label 'Plate' is 'plate' in 'a'; rename one",
    ),
    "a label with a space more": (
        {"a.zip": export(0, ("licence plate", "car")), "b.zip": export(1, ("licenceplate", "car"))},
        "b: label 'licenceplate' is 'licence plate' in 'a'",
    ),
    "no label in common": (
        {"a.zip": export(), "b.zip": export(1, ("cat", "dog"))},
        "b: has the labels 'cat', 'dog', the exports before it 'car', 'plate'",
    ),
    "an export twice": ({"a.zip": export(), "a": export()}, "'a' and 'a.zip': one export twice?"),
    "a folder without annotations": (
        {"a.zip": export(), "photos": {"x.jpg": encoded(1)}},
        "photos holds no annotations",
    ),
    "a broken zip": ({"a.zip": export(), "b.zip": {}}, "b.zip holds no annotations"),
    "faults of both": (
        {name: {**export(), A: b""} for name in ("a.zip", "b.zip")},
        "2 faults: a/instances_default.json: image 1: 'a.jpg' has 0 bytes",
    ),
    "no box in any": (
        {"a.zip": export(annotations=[]), "b.zip": export(1, annotations=[])},
        "no usable box in the whole export",
    ),
    "several in a zip": (
        {"a.zip": {f"{n}/{name}": v for n in "xy" for name, v in export().items()}},
        "a.zip holds several exports ('x/', 'y/'); give the folder that holds them",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(tmp_path, case):
    exports, words = REFUSED[case]
    assert words in refused(tmp_path, folder_of(tmp_path, exports))


def test_what_is_kept_with_a_warning(tmp_path):
    folder = folder_of(tmp_path, {"a.zip": export(), "b.zip": export(1, ("plate", "car", "bus"))})
    as_folder(folder, {"notes.txt": b"x", ".DS_Store": b"x", "__MACOSX/x": b"x"})
    ingest.main(folder, tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [note["what"] for note in report["warnings"]] == [
        "label 'bus' has no boxes; it is kept",
        "label 'bus' is in 'b' only: are there such objects, without boxes, in the other exports?",
        "'notes.txt' is neither a zip nor a folder; left out",
    ]


def test_the_result_does_not_depend_on_the_kind_of_export(tmp_path):
    both = {"a": export(), "b": export(1)}
    ingest.main(folder_of(tmp_path, both), tmp_path / "first")
    (tmp_path / "exports").rename(tmp_path / "gone")
    ingest.main(folder_of(tmp_path, {f"{n}.zip": f for n, f in both.items()}), tmp_path / "second")
    for name in ("annotations.json", "report.json"):
        texts = [(tmp_path / out / name).read_text() for out in ("first", "second")]
        assert texts[0] == texts[1]


def test_a_project_with_several_tasks_of_equal_file_names(tmp_path):
    """CVAT adds a number to the frames of the second task, and writes a JSON for each subset."""
    names = ["frame_000000.jpg", "frame_000000_1.jpg", "frame_000001.jpg"]
    files = {}
    for seed, subset in enumerate(("Train", "Validation")):
        coco = plain()
        for entry, name in zip(coco["images"], names, strict=True):
            entry["file_name"] = name
        files[f"annotations/instances_{subset}.json"] = coco
        for number, name in enumerate(names):
            files[f"images/{subset}/{name}"] = encoded(10 * seed + number)
    coco, report = ingested(tmp_path, {"project.zip": files, "task.zip": export(5)})
    assert report["exports"]["project"] == {"images": 6, "boxes": 8}
    assert report["subsets"]["Train"] == {"images": 3, "boxes": 4}
    assert {image["group"] for image in coco["images"][:3]} == {"project/Train/frame_#"}
    assert len({image["sha256"] for image in coco["images"]}) == 9
