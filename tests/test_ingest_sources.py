"""The folder of originals, for images that an export does not hold, and the limits."""

import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from test_ingest import (
    B_JPG,
    JSON,
    as_folder,
    as_zip,
    encoded,
    files_of,
    ingested,
    plain,
    refused,
    renamed,
    two_subsets,
    without,
)

from stages.ingest import __main__ as ingest
from tools.params_file import write_params

pytestmark = pytest.mark.usefixtures("elsewhere")


ACCENT = unicodedata.normalize("NFC", "é.jpg")
# Names listed by the JSON, files in the folder of originals, repairs.
FOUND = {
    "by subset and name": (["a.jpg", "b.jpg", "c.jpg"], "default/{}.jpg", 0),
    "by name": (["a.jpg", "b.jpg", "c.jpg"], "{}.jpg", 0),
    "by name with folders": (["x/a.jpg", "x/b.jpg", "y/c.jpg"], None, 0),
    "by base name": (["x/a.jpg", "b.jpg", "c.jpg"], "2024/may/{}.jpg", 3),
    "in another Unicode form": ([ACCENT, "b.jpg", "c.jpg"], "NFD", 0),
}


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("case", FOUND)
def test_finds_the_originals(tmp_path, case, zipped):
    names, pattern, repairs = FOUND[case]
    stored = [pattern.format(n) for n in "abc"] if pattern and "{}" in pattern else names
    if pattern == "NFD":
        stored = [unicodedata.normalize("NFD", name) for name in names]
    contents = {name: encoded(seed) for seed, name in enumerate(stored)}
    images = as_folder(tmp_path / "originals", {**contents, "._a.jpg": b"x", "unlisted.jpg": b"x"})
    coco, report, out = ingested(tmp_path, {JSON: renamed(names)}, zipped, images)
    assert [image["file_name"] for image in coco["images"]] == sorted(f"default/{n}" for n in names)
    for seed, name in enumerate(names):
        assert (out / "images/default" / name).read_bytes() == encoded(seed)
    assert len(report["repairs"]) == repairs
    assert report["warnings"] == []


def test_the_export_comes_first_and_links_to_files_are_read(tmp_path):
    images = as_folder(tmp_path / "originals", {"default/a.jpg": encoded(7), "x.jpg": encoded(8)})
    (images / "b.jpg").symlink_to("x.jpg")
    _, _, out = ingested(tmp_path, without(B_JPG), images=images)
    assert (out / "images/default/a.jpg").read_bytes() == encoded(0)
    assert (out / "images/default/b.jpg").read_bytes() == encoded(8)


TWO_SUBSETS = two_subsets({"Train": "Train/", "Val": "Val/"})
TWO_JSONS = {name: value for name, value in TWO_SUBSETS.items() if name.endswith(".json")}


def test_originals_of_two_subsets_are_told_apart(tmp_path):
    files = {name: value for name, value in TWO_SUBSETS.items() if name not in TWO_JSONS}
    images = as_folder(tmp_path / "originals", files)
    coco, _, out = ingested(tmp_path, TWO_JSONS, images=images)
    assert len({image["sha256"] for image in coco["images"]}) == 6
    assert (out / "images/Val/z.jpg").read_bytes() == encoded(11)


# Files of the folder of originals (None: there is no such folder), and words of the refusal.
NOT_FOUND = {
    "no such folder": (None, ["Save images", "'images/a.jpg' is missing", "is not a folder"]),
    "empty folder": ({}, ["Save images", "or put the originals into data.images ('originals')"]),
    "some": ({"a.jpg": b"x"}, ["b.jpg", "missing", "or put the originals into data.images"]),
    "several of a name": (
        {"x/a.jpg": b"1", "y/a.jpg": b"2"},
        ["'a.jpg' may be 'x/a.jpg' or 'y/a.jpg'", "'default/a.jpg'"],
    ),
    "another case": ({"A.JPG": b"x"}, ["missing"]),
    "a linked folder": ({"link": Path("../linked")}, ["Save images"]),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_refuses_without_the_originals(tmp_path, case):
    files, mentions = NOT_FOUND[case]
    as_folder(tmp_path / "linked", {f"{n}.jpg": encoded(1) for n in "abc"})
    if files is not None:
        (tmp_path / "originals").mkdir()
    for name, value in (files or {}).items():
        if isinstance(value, Path):
            (tmp_path / "originals" / name).symlink_to(value)
        else:
            as_folder(tmp_path / "originals", {name: value})
    export = as_folder(tmp_path / "in", {JSON: plain()})
    message = refused(tmp_path, export, images=Path("originals"))
    assert [word for word in mentions if word not in message] == []


def test_one_original_is_no_image_of_two_subsets(tmp_path):
    images = as_folder(tmp_path / "originals", {f"{n}.jpg": encoded(1) for n in "xyz"})
    message = refused(tmp_path, as_folder(tmp_path / "in", TWO_JSONS), images=images)
    assert "'x.jpg' is already the file of an image of instances_Train.json" in message


def test_the_folder_of_originals_is_never_replaced(tmp_path):
    export = as_folder(tmp_path / "in", {JSON: plain()})
    (tmp_path / "out/originals").mkdir(parents=True)
    assert "holds out/originals" in refused(tmp_path, export, images=Path("out/originals"))


@pytest.mark.parametrize("place", ["params.yaml", "--images"])
def test_the_command_finds_the_originals(tmp_path, run_stage, place):
    as_zip(tmp_path / "in.zip", {JSON: plain()})
    as_folder(tmp_path / "my photos", {f"{n}.jpg": encoded(i) for i, n in enumerate("abc")})
    if place == "params.yaml":
        write_params(tmp_path, {"data.export": "in.zip", "data.images": "my photos"})
        done = run_stage("ingest", "out", cwd=tmp_path)
    else:
        done = run_stage("ingest", "in.zip", "--images", "my photos", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/images/default/c.jpg").read_bytes() == encoded(2)


def test_originals_of_params_are_not_mixed_with_an_export_that_is_named(tmp_path, run_stage):
    export = as_zip(tmp_path / "in.zip", {JSON: plain()})
    as_folder(tmp_path / "originals", {f"{n}.jpg": encoded(1) for n in "abc"})
    write_params(tmp_path, {"data.images": "originals"})
    done = run_stage("ingest", export, "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "put the originals into data.images" in done.stderr


def large() -> dict:
    """Return an export and two megabytes that deflate to a thousandth."""
    return {**files_of(plain()), "images/zeros.bin": bytes(2 * 10**6)}


# A parameter, the largest value that refuses, the smallest that admits, and words of the refusal.
LIMITS = {
    "max_file_mb": (1.9, 2.0, {"zip": "2000000 bytes", "originals": "1900000 bytes"}),
    "max_total_gb": (0.002, 0.003, {"zip": "unpacked", "folder": "holds", "originals": "3 orig"}),
    "max_ratio": (1000, 1100, {"zip": "times its size"}),
    "max_megapixels": (0.006143, 0.006144, dict.fromkeys(("zip", "folder", "originals"), "b.jpg")),
}


@pytest.mark.parametrize("kind", ["zip", "folder", "originals"])
@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_those_of_params(tmp_path, name, kind):
    def limit(value: float) -> None:
        write_params(tmp_path, {"ingest.max_ratio": 1e6, f"ingest.{name}": value})

    refusing, admitting, words = LIMITS[name]
    images = None
    if kind == "zip":
        export = as_zip(tmp_path / "in.zip", large(), zipfile.ZIP_DEFLATED)
    elif kind == "folder":
        export = as_folder(tmp_path / "in", large())
    else:
        export = as_folder(tmp_path / "in", {JSON: plain()})
        padded = {f"{n}.jpg": encoded(i) for i, n in enumerate("abc")}
        padded["a.jpg"] = padded["a.jpg"].ljust(2 * 10**6, b"\0")
        images = as_folder(tmp_path / "originals", padded)
    if kind in words:
        limit(refusing)
        assert words[kind] in (message := refused(tmp_path, export, images))
        assert f"ingest.{name}" in message
    limit(admitting)
    ingest.main(export, tmp_path / "out", images=images)


@pytest.mark.parametrize("limit", [1e300, 1e-300])
def test_limits_may_be_absurd(tmp_path, limit):
    names = ("max_file_mb", "max_total_gb", "max_ratio", "max_megapixels")
    write_params(tmp_path, {f"ingest.{name}": limit for name in names})
    export = as_zip(tmp_path / "in.zip", files_of(plain()))
    if limit > 1:
        ingest.main(export, tmp_path / "out")
    else:
        assert "limit" in refused(tmp_path, export)


def test_an_image_beyond_pillows_own_limit_is_judged_by_params(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    ingested(tmp_path, files_of(plain()))
    assert Image.MAX_IMAGE_PIXELS == 1000
