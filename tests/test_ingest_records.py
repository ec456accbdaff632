"""Hashes, groups, labels and box sizes that `ingest` writes, and errors of the file system."""

import errno
import io
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from test_ingest import (
    JSON,
    as_folder,
    as_zip,
    encoded,
    files_of,
    ingested,
    plain,
    rectangle,
    refused,
    renamed,
    two_subsets,
    with_list,
)

pytestmark = pytest.mark.usefixtures("elsewhere")


def scene_gray(seed: int = 0) -> np.ndarray:
    """Return a smooth gray image, uint8 [320, 480], that varies as a photograph does."""
    coarse = np.random.default_rng(seed).integers(0, 255, (10, 15), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((480, 320), Image.Resampling.BICUBIC))


def coded(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def bits_of(gray: np.ndarray) -> np.ndarray:
    """Compute the hash by its definition: mean values of 16 x 17 cells, compared pairwise."""
    rows, columns = gray.shape
    tall = np.repeat(np.repeat(gray.astype(float), 16, 0), 17, 1)
    cells = tall.reshape(16, rows, 17, columns).mean((1, 3)).round()
    return np.array([cells[y, x + 1] > cells[y, x] for y in range(16) for x in range(16)])


def dhash_bits(tmp_path, data: bytes, size: tuple = (480, 320)) -> np.ndarray:
    """Return the bits in annotations.json of an image with these bytes."""
    coco = plain()
    coco["images"] = [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}]
    coco["annotations"] = [rectangle(1, 1, 1, [1, 1, 40, 40])]
    written, _, _ = ingested(tmp_path, {JSON: coco, "images/a.jpg": data})
    text = written["images"][0]["dhash"]
    assert len(text) == 64
    return np.array([digit == "1" for digit in f"{int(text, 16):0256b}"])


SCENE = Image.fromarray(scene_gray())
DEEP = Image.fromarray(scene_gray().astype(np.uint16) << 8)
TURNED = Image.Exif()
TURNED[0x0112] = 6
# Bytes of one scene in many forms, and how many of 256 bits may differ from its pixels' hash:
# Pillow rounds the mean values twice, a JPEG is decoded at an eighth of its size.
FORMS = {
    "gray PNG": (coded(SCENE, "PNG"), 4),
    "color PNG": (coded(SCENE.convert("RGB"), "PNG"), 4),
    "palette PNG": (coded(SCENE.quantize(256), "PNG"), 12),
    "PNG with an alpha channel": (coded(SCENE.convert("RGBA"), "PNG"), 4),
    "16-bit PNG": (coded(DEEP, "PNG"), 4),
    "16-bit TIFF": (coded(DEEP, "TIFF"), 4),
    "BMP": (coded(SCENE, "BMP"), 4),
    "JPEG": (coded(SCENE, "JPEG", quality=90), 20),
    "progressive JPEG": (coded(SCENE.convert("RGB"), "JPEG", progressive=True), 20),
    "CMYK JPEG": (coded(SCENE.convert("RGB").convert("CMYK"), "JPEG"), 20),
    "JPEG at half size": (coded(SCENE.resize((240, 160)), "JPEG"), 20),
    "small PNG": (coded(SCENE.resize((60, 40)), "PNG"), 25),
    "turned JPEG": (coded(SCENE.rotate(90, expand=True), "JPEG", exif=TURNED), 20),
    "turned 16-bit PNG": (coded(DEEP.rotate(90, expand=True), "PNG", exif=TURNED), 4),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_scene_has_one_difference_hash_in_every_form(tmp_path, form):
    data, tolerance = FORMS[form]
    size = {"JPEG at half size": (240, 160), "small PNG": (60, 40)}.get(form, (480, 320))
    assert (dhash_bits(tmp_path, data, size) != bits_of(scene_gray())).sum() <= tolerance


def test_other_scenes_and_single_colors_have_other_hashes(tmp_path):
    other = Image.fromarray(scene_gray(1))
    for name, image in {"other": other, "plain": Image.new("L", (480, 320), 7)}.items():
        (tmp_path / name).mkdir()
        bits = dhash_bits(tmp_path / name, coded(image, "PNG"))
        assert (bits != bits_of(scene_gray())).sum() > 51
        assert bits.any() == (name == "other")


GROUPS = {
    "frame_000012.jpg": "default/frame_#",
    "dayride_type1_001_000042.png": "default/dayride_type1_001_#",
    "cam1/day 2/img7.jpg": "default/cam1/day 2/img#",
    "2024-05-01 night.jpg": "default/2024-05-# night",
    "kitchen.jpg": "default/kitchen",
    "a1.b2.jpg": "default/a1.b#",
    "cam12/no digits.jpg": "default/cam12/no digits",
}


@pytest.mark.parametrize("name", GROUPS)
def test_the_group_is_the_name_without_its_last_number(tmp_path, name):
    coco, _, _ = ingested(tmp_path, files_of(renamed([name, "b.jpg", "c.jpg"])))
    groups = {image["file_name"]: image["group"] for image in coco["images"]}
    assert groups[f"default/{name}"] == GROUPS[name]


@pytest.mark.parametrize(
    ("width", "kept", "note"),
    [(1.0, True, None), (0.4, True, "thinner than a pixel; kept"), (0.004, False, "has no area")],
)
def test_a_thin_box_is_kept_while_it_has_an_area(tmp_path, width, kept, note):
    files = files_of(plain())
    files[JSON]["annotations"][0]["bbox"] = [10, 8, width, 23]
    coco, report, _ = ingested(tmp_path, files)
    assert ([10.0, 8.0, width, 23.0] in [box["bbox"] for box in coco["annotations"]]) == kept
    notes = [row["what"] for row in report["warnings"] + report["repairs"]]
    assert len(notes) == bool(note) and all(note in what for what in notes)


@pytest.mark.parametrize("first", [0, 2**53, 2**63, 2**64])
def test_ids_are_whole_numbers_of_any_size(tmp_path, first):
    files = files_of(plain())
    for entry in (*files[JSON]["images"], *files[JSON]["annotations"]):
        entry["id"] += first
        if "image_id" in entry:
            entry["image_id"] += first
    coco, _, _ = ingested(tmp_path, files)
    assert [(box["image_id"], box["bbox"][0]) for box in coco["annotations"]] == [
        (1, 10.0), (1, 50.0), (2, 10.5), (3, 0.0),
    ]  # fmt: skip


def test_labels_that_a_subset_lacks_are_named(tmp_path):
    files = two_subsets({"Train": "images/Train/", "Validation": "images/Validation/"})
    files["annotations/instances_Validation.json"]["categories"][0]["name"] = "truck"
    coco, report, _ = ingested(tmp_path, files)
    assert [category["name"] for category in coco["categories"]] == ["car", "plate", "truck"]
    assert [warning["what"] for warning in report["warnings"]] == [
        "label 'plate' has no boxes in subset 'Validation'",
        "label 'truck' has no boxes in subset 'Train'",
    ]


def test_merges_sub_labels_of_two_skeletons(tmp_path):
    listed = [(1, "car", ""), (2, "wheel", "car"), (3, "wheel", "truck"), (4, "truck", None)]
    categories = [{"id": i, "name": n, "supercategory": s} for i, n, s in listed]
    files = with_list("categories", categories)
    for box, category in zip(files[JSON]["annotations"], (1, 2, 3, 4), strict=True):
        box["category_id"] = category
    coco, report, _ = ingested(tmp_path, files)
    assert [category["name"] for category in coco["categories"]] == ["car", "truck", "wheel"]
    assert report["classes"] == {"car": 1, "truck": 1, "wheel": 2}
    (warning,) = report["warnings"]
    assert "'wheel' is listed under 2 supercategories ('car', 'truck')" in warning["what"]


def test_a_full_disk_is_told_once_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for the full disk: both fail in write()."""
    export = as_zip(tmp_path / "in.zip", files_of(plain()))
    largest = max(len(encoded(seed)) for seed in range(3))
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "stages.ingest.__main__", export, "new/out"],
        # Python would cut its .pyc files at the limit, and later runs would read them.
        env={"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, largest - 1)),
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ingest: cannot write new/out: {os.strerror(errno.EFBIG)}")
    assert set(tmp_path.rglob("*")) == before


def test_a_file_in_place_of_a_folder_is_told_in_one_line(tmp_path, run_stage):
    as_zip(tmp_path / "in.zip", files_of(plain()))
    done = run_stage("ingest", "in.zip", "in.zip/out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "in.zip/out" in line
    assert os.strerror(errno.ENOTDIR) in line or os.strerror(errno.EEXIST) in line


def test_a_name_that_the_file_system_cannot_hold_is_the_images_fault(tmp_path):
    names = ["a", "a/b.jpg", "c.jpg"]
    files = {JSON: renamed(names), "images/default/a": encoded(0), "images/a/b.jpg": encoded(1)}
    files["images/c.jpg"] = encoded(2)
    export = as_folder(tmp_path / "in", files)
    message = refused(tmp_path, export)
    assert "cannot be written" in message
    assert "rename it" in message
