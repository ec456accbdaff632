"""File names in a JSON that are paths of another computer."""

import os
from pathlib import Path

import pytest
from test_ingest import (
    HEIGHT,
    JSON,
    WIDTH,
    as_folder,
    encoded,
    files_of,
    ingested,
    plain,
    refused,
)

from stages.admission.source import plain_path
from stages.common.coco import read_image
from stages.common.run import UserError
from stages.ingest import __main__ as ingest

pytestmark = pytest.mark.usefixtures("elsewhere")

# `file_name`, the file of the export, and the name in the data set.
PATHS = {
    "Label Studio on Windows": ("images\\1\\b.jpg", "images/1/b.jpg", "images/1/b.jpg"),
    "Label Studio's media": ("..\\..\\media\\upload\\1\\b.jpg", "images/b.jpg", "b.jpg"),
    "drive": ("C:\\Users\\me\\cam 1\\b.jpg", "images/cam 1/b.jpg", "cam 1/b.jpg"),
    "./": ("./images/default/b.jpg", "images/default/b.jpg", "images/default/b.jpg"),
    "//": ("images//b.jpg", "images/b.jpg", "images/b.jpg"),
    "absolute": ("/home/me/data/b.jpg", "images/default/b.jpg", "b.jpg"),
    "URL": ("https://host:80/data/cam%201/b.jpg?d=/x.jpg", "images/cam 1/b.jpg", "cam 1/b.jpg"),
    "s3": ("s3://bucket/cam/b.jpg", "images/b.jpg", "b.jpg"),
}


def export_of(given: str, *files: str) -> dict:
    export = files_of(plain())
    content = export.pop("images/default/b.jpg")
    export[JSON]["images"][1]["file_name"] = given
    return {**export, **dict.fromkeys(files, content)}


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("case", PATHS)
def test_the_file_that_ends_so_is_taken(tmp_path, case, zipped):
    given, file, name = PATHS[case]
    coco, report, out = ingested(tmp_path, export_of(given, file), zipped)
    assert f"default/{name}" in [image["file_name"] for image in coco["images"]]
    assert (out / "images/default" / name).is_file()
    exact = given in ("./images/default/b.jpg", "images//b.jpg", "images\\1\\b.jpg")
    assert exact or file in report["repairs"][0]["what"]


def test_originals_are_found_by_their_last_parts(tmp_path):
    files = {n: c for n, c in export_of("D:\\cam\\b.jpg", "images/b.jpg").items() if n == JSON}
    originals = as_folder(tmp_path / "originals", export_of("x", "other/b.jpg", "cam/b.jpg"))
    coco, *_ = ingested(tmp_path, files, images=originals)
    assert "default/cam/b.jpg" in [image["file_name"] for image in coco["images"]]


@pytest.mark.parametrize(
    ("given", "files", "said"),
    [
        ("C:\\x\\b.jpg", ["images/1/b.jpg", "images/2/b.jpg"], "may be"),
        ("C:\\x\\b.jpg", [], "drive letter"),
        ("C:\\x\\a.jpg", ["images/b.jpg"], "already the file"),
        ("../../b.jpg", ["b.jpg"], "'..'"),
        ("images\\", ["images/b.jpg"], "backslash"),
    ],
)
def test_what_is_missing_ambiguous_or_unsafe_is_refused(tmp_path, given, files, said):
    assert said in refused(tmp_path, as_folder(tmp_path / "in", export_of(given, *files)))


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "C:", "a/", "a\\", "\0/a", "https://", "a/../b"]
)
def test_what_names_no_file_stays_refused(name):
    assert plain_path(name) is None


@pytest.mark.parametrize("top", ["", "my dataset/"])
def test_the_layout_of_fiftyone(tmp_path, top):
    files = files_of(plain(), "data/", "labels.json")
    coco, *_ = ingested(tmp_path, {top + name: content for name, content in files.items()})
    assert [image["file_name"] for image in coco["images"]] == [f"default/{n}.jpg" for n in "abc"]


def test_a_linked_folder_of_images_is_named(tmp_path):
    export = as_folder(tmp_path / "in", {JSON: plain()})
    as_folder(tmp_path / "elsewhere", files_of(plain(), ""))
    (export / "images").symlink_to(tmp_path / "elsewhere")
    assert "'images' are links" in refused(tmp_path, export)


def test_names_that_are_not_utf8(tmp_path, capsys):
    export = as_folder(tmp_path / "in", files_of(plain()))
    strange = Path(os.fsdecode(bytes(export) + b"/images/\xff\xe9.jpg"))
    try:
        strange.write_bytes(encoded(7))
    except OSError:
        pytest.skip("this file system has names in Unicode only")
    ingest.main(export, tmp_path / "out")
    assert r"\udcff\udce9.jpg" in capsys.readouterr().err
    assert read_image(strange).shape == (HEIGHT, WIDTH, 3)
    strange.write_bytes(b"")
    with pytest.raises(UserError, match="cannot read the image"):
        read_image(strange)
