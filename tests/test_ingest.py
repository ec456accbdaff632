"""The exports that `ingest` accepts, repairs and refuses, and the files it writes."""

import io
import json
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.coco import read_image
from stages.common.run import UserError
from stages.ingest import __main__ as ingest
from tools.params_file import write_params

BAD_EXPORTS = Path(__file__).resolve().parent.parent.parent / "shared/data/bad_exports"
JSON = "annotations/instances_default.json"
WIDTH, HEIGHT = 96, 64


pytestmark = pytest.mark.usefixtures("elsewhere")


def encoded(seed: int, kind: str = "JPEG", size: tuple = (WIDTH, HEIGHT), **options) -> bytes:
    """Return a small image file of noise that depends on the seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def rectangle(annotation_id: int, image_id: int, category_id: int, bbox: list, **more) -> dict:
    ids = {"id": annotation_id, "image_id": image_id, "category_id": category_id}
    cvat = {"segmentation": [], "iscrowd": 0, "attributes": {"occluded": False, "rotation": 0.0}}
    return {**ids, "bbox": bbox, "area": 1.0, **cvat, **more}


def plain() -> dict:
    """Return the JSON of an export with two labels, three images and four boxes."""
    names = ("a.jpg", "b.jpg", "c.jpg")
    size = {"width": WIDTH, "height": HEIGHT}
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"date_created": "today"},
        "categories": [{"id": 1, "name": "plate"}, {"id": 2, "name": "car"}],
        "images": [{"id": i, "file_name": name, **size} for i, name in enumerate(names, 1)],
        "annotations": [
            rectangle(1, 1, 1, [10.0, 8.0, 31.0, 23.0]),
            rectangle(2, 1, 2, [50.0, 20.0, 31.0, 31.0]),
            rectangle(3, 2, 1, [10.5, 8.25, 30.5, 22.75]),
            rectangle(4, 3, 2, [0.0, 0.0, 96.0, 64.0]),
        ],
    }


def files_of(coco: dict, folder: str = "images/default/", json_name: str = JSON) -> dict:
    """Return the files of an export by name: the JSON and one image for each entry."""
    images = {
        folder + image["file_name"]: encoded(seed) for seed, image in enumerate(coco["images"])
    }
    return {json_name: coco, **images}


def content_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def as_folder(root: Path, files: dict) -> Path:
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content_of(value))
    return root


def as_zip(path: Path, files: dict, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in files.items():
            archive.writestr(name, content_of(value))
    return path


def ingested(
    tmp_path: Path, files: dict, zipped: bool = False, images: Path | None = None
) -> tuple[dict, dict, Path]:
    """Run the stage; return annotations.json, report.json and the output folder."""
    export = as_zip(tmp_path / "in.zip", files) if zipped else as_folder(tmp_path / "in", files)
    out = tmp_path / "out"
    ingest.main(export, out, images=images)
    return *(json.loads((out / f"{n}.json").read_text()) for n in ("annotations", "report")), out


def refused(tmp_path: Path, export: Path, images: Path | None = None) -> str:
    """Return the message of a refusal that left nothing behind."""
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        ingest.main(export, tmp_path / "out", images=images)
    assert set(tmp_path.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_writes_the_schema_that_later_stages_read(tmp_path, capsys, zipped):
    coco, report, out = ingested(tmp_path, files_of(plain()), zipped)
    assert set(coco) == {"info", "categories", "images", "annotations"}
    assert coco["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "plate"}]
    images = [(image["id"], image["file_name"]) for image in coco["images"]]
    assert images == [(1, "default/a.jpg"), (2, "default/b.jpg"), (3, "default/c.jpg")]
    fields = {"id", "file_name", "width", "height", "sha256", "dhash", "export", "subset", "group"}
    assert set(coco["images"][0]) == fields
    box = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [10.0, 8.0, 31.0, 23.0]}
    assert coco["annotations"][0] == {**box, "area": 713.0, "iscrowd": 0}
    assert (out / "images/default/b.jpg").read_bytes() == encoded(1)
    assert {path.stat().st_nlink for path in out.rglob("*.jpg")} == {1}
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    images = {f"images/{image['file_name']}" for image in coco["images"]}
    assert written == {"annotations.json", "report.json"} | images
    assert report["images"] == 3
    assert report["classes"] == {"car": 2, "plate": 2}
    assert report["box_px"]["width"] == {"min": 30.5, "median": 31.0, "max": 96.0}
    assert report["repairs"] == report["warnings"] == []
    assert capsys.readouterr().err == ""


def renamed(names: list[str]) -> dict:
    coco = plain()
    for image, name in zip(coco["images"], names, strict=True):
        image["file_name"] = name
    return coco


def two_subsets(folders: dict[str, str]) -> dict:
    """Return subsets with equal names and ids but other images, as two videos in a project."""
    files = {}
    for seed, (subset, folder) in enumerate(folders.items()):
        coco = renamed(["x.jpg", "y.jpg", "z.jpg"])
        files[f"annotations/instances_{subset}.json"] = coco
        files |= {f"{folder}{name}.jpg": encoded(seed * 9 + i) for i, name in enumerate("xyz")}
    return files


# Files of an export, and the name of an image in the data set.
TWO_SUBSETS = {"Train": "images/Train/", "мой набор": "images/мой набор/"}
SUB_FOLDERS = ["cam1/day 2/i.jpg", "cam2/i.jpg", "i.jpg"]
JUNK = {"__MACOSX/images/._a.jpg": b"x", "images/.DS_Store": b"x"}
OTHER_JSON = {"train.json": b"not read", "annotations/captions_x.json": b"{}"}


def below(folder: str, files: dict) -> dict:
    return {folder + name: value for name, value in files.items()}


LAYOUTS = {
    "images in the subset's folder": (files_of(plain()), "default/a.jpg"),
    "flat, before July 2024": (files_of(plain(), "images/"), "default/a.jpg"),
    "sub-folders with equal names": (files_of(renamed(SUB_FOLDERS)), "default/cam1/day 2/i.jpg"),
    "names beyond ASCII": (files_of(renamed(["№2 车.jpg", "b.jpg", "c.JPG"])), "default/№2 车.jpg"),
    "junk of macOS": ({**files_of(plain()), **JUNK}, "default/a.jpg"),
    "two subsets": (two_subsets(TWO_SUBSETS), "мой набор/x.jpg"),
    "instances_*.json beside plain COCO": ({**files_of(plain()), **OTHER_JSON}, "default/a.jpg"),
    "one top folder": (below("my task/", files_of(plain())), "default/a.jpg"),
    **{
        json_name: (files_of(plain(), folder, json_name), f"{subset}/a.jpg")
        for json_name, folder, subset in (
            ("annotations/instances_val2017.json", "val2017/", "val2017"),
            ("annotations.json", "images/", "default"),
            ("annotations/train.json", "train/", "train"),
            ("val.json", "", "val"),
            ("annotations/coco.json", "annotations/", "default"),
            ("valid/_annotations.coco.json", "valid/", "valid"),
            ("_annotations.coco.json", "", "default"),
        )
    },
    "result.json of Label Studio": (
        files_of(renamed([f"images/{n}.jpg" for n in "abc"]), "", "result.json"),
        "default/images/a.jpg",
    ),
    "plain COCO under two top folders": (
        below("a/my task/", files_of(plain(), "images/", "labels.json")),
        "default/a.jpg",
    ),
    "plain COCO beside another JSON": (
        {**files_of(plain(), "images/", "train.json"), "package.json": {"name": "x"}},
        "train/a.jpg",
    ),
}
WARNED = {"one top folder", "plain COCO under two top folders", "plain COCO beside another JSON"}


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_the_layout(tmp_path, layout, zipped):
    files, first = LAYOUTS[layout]
    coco, report, out = ingested(tmp_path, files, zipped)
    names = [image["file_name"] for image in coco["images"]]
    assert first in names
    assert len(names) == len(set(names)) == (6 if layout == "two subsets" else 3)
    assert all((out / "images" / name).is_file() for name in names)
    assert bool(report["warnings"]) == (layout in WARNED)


def test_the_order_of_the_export_makes_no_difference(tmp_path):
    coco = plain()
    shuffled = {**coco, **{key: coco[key][::-1] for key in ("images", "annotations", "categories")}}
    files = files_of(coco)
    results = []
    for name, content in (("one", coco), ("two", shuffled), ("three", coco)):
        (tmp_path / name).mkdir()
        out = ingested(tmp_path / name, {**files, JSON: content})[2]
        results.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert results[0] == results[1] == results[2]


# Changes of annotation 3, what becomes of its box, and a word of the report. None: left out.
RBOX = {"attributes": {"rotation": 90.0}}
MASK = {"iscrowd": 1, "segmentation": {"counts": [1, 2], "size": [HEIGHT, WIDTH]}}
REPAIRS = {
    "sticks out": ({"bbox": [80.0, 50.0, 40.0, 40.0]}, [80.0, 50.0, 16.0, 14.0], "sticks out"),
    "negative corner": ({"bbox": [-5.0, -6.0, 15.0, 16.0]}, [0.0, 0.0, 10.0, 10.0], "sticks out"),
    "overflow of CVAT's rounding": ({"bbox": [86.0, 54.0, 10.01, 10.0]}, [86, 54, 10, 10], None),
    "rotated by 90°": ({"bbox": [10, 20, 30, 10], **RBOX}, [20, 10, 10, 30], "rotated"),
    "turned by 45 degrees": (
        {"attributes": {"rotation": 45}},
        [6.92, 0.8, 37.65, 37.65],
        "rotated",
    ),
    "rotated out of the image": ({"bbox": [0, 0, 60, 20], **RBOX}, [20, 0, 20, 40], "rotated"),
    "user's own rotation of a polygon": ({"segmentation": [[1, 2, 3, 4]], **RBOX}, "same", None),
    "brush mask": (MASK, "same", "mask"),
    "crowd region without a mask": ({"iscrowd": 1}, None, "crowd"),
    "zero width": ({"bbox": [10, 8, 0, 22]}, None, "no area"),
    "thinner than can be written": ({"bbox": [95.999, 8, 5, 22]}, None, "no area"),
    "no area, iscrowd or attributes": (dict.fromkeys(["iscrowd", "attributes"]), "same", None),
}


@pytest.mark.parametrize("case", REPAIRS)
def test_repairs_the_box(tmp_path, capsys, case):
    changes, expected, told = REPAIRS[case]
    files = files_of(plain())
    box = files[JSON]["annotations"][2]
    kept = box["bbox"]
    box.update(changes)
    coco, report, _ = ingested(tmp_path, files)
    boxes = [a["bbox"] for a in coco["annotations"] if a["image_id"] == 2]
    wanted = kept if expected == "same" else expected
    assert boxes == ([] if wanted is None else [pytest.approx(wanted, abs=0.011)])
    error = capsys.readouterr().err
    if told:
        assert [r["annotation"] for r in report["repairs"]] == [3]
        assert told in report["repairs"][0]["what"]
        assert told in error
    else:
        assert report["repairs"] == []
        assert error == ""


def test_an_image_that_is_listed_again_for_another_box_is_one_image(tmp_path):
    files = duplicated("images", 0, id=9)
    files[JSON]["annotations"][0]["image_id"] = 9
    coco, report, _ = ingested(tmp_path, files)
    once, _, _ = ingested(tmp_path / "once", files_of(plain()))
    assert coco == once
    assert [(r["image"], r["what"]) for r in report["repairs"]] == [
        (9, "'a.jpg' is image 1, too; their boxes were united")
    ]


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_exif_rotation_is_applied_once(tmp_path, orientation):
    stored = (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH)
    exif = Image.Exif()
    exif[0x0112] = orientation
    files = files_of(plain())
    files["images/default/b.jpg"] = encoded(5, "JPEG", stored, exif=exif, quality=95)
    coco, report, out = ingested(tmp_path, files)
    assert "EXIF" in report["repairs"][0]["what"]
    turned = next(i for i in coco["images"] if i["file_name"] == "default/b.jpg.png")
    assert turned["group"] == "default/b"
    pixels_bgr = read_image(out / "images" / turned["file_name"])
    assert pixels_bgr.shape[:2] == (turned["height"], turned["width"]) == (HEIGHT, WIDTH)
    raw = np.asarray(Image.open(io.BytesIO(files["images/default/b.jpg"])))
    upright = {2: raw[:, ::-1], 3: np.rot90(raw, 2), 6: np.rot90(raw, -1), 8: np.rot90(raw)}
    assert np.abs(pixels_bgr[..., ::-1].astype(int) - upright[orientation]).max() < 12


def with_entry(key: str, position: int, **changes) -> dict:
    files = files_of(plain())
    files[JSON][key][position].update(changes)
    return files


with_box = partial(with_entry, "annotations", 2)
with_image = partial(with_entry, "images", 1)


def with_list(key: str, value: object) -> dict:
    files = files_of(plain())
    files[JSON][key] = value
    return files


def with_file(name: str, value: bytes) -> dict:
    return {**files_of(plain()), name: value}


def without(name: str) -> dict:
    files = files_of(plain())
    del files[name]
    return files


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT"


def duplicated(key: str, position: int, **changes) -> dict:
    files = files_of(plain())
    files[JSON][key].append({**files[JSON][key][position], **changes})
    return files


B_JPG = "images/default/b.jpg"
RAW = json.dumps(plain())
TWICE, INFINITE = f'{{"images": [], {RAW[1:]}', RAW.replace(": 1.0", ": Infinity")
PROGRESSIVE = encoded(1, progressive=True)
# Behind the last row a chunk without a type that claims 2 GB, in place of the end.
BAD_CHUNK = encoded(1, "PNG")[:-12] + b"\x7f\xff\xff\xff\0\0\0\0"
REFUSALS = {
    "bbox of three": (with_box(bbox=[1, 2, 3]), ["annotation 3", "bbox"]),
    "bbox of strings": (with_box(bbox=["1", "2", "3", "4"]), ["annotation 3", "bbox"]),
    "bbox of booleans": (with_box(bbox=[True, 2, 3, 4]), ["annotation 3", "bbox"]),
    "bbox null": (with_box(bbox=None), ["annotation 3", "bbox is null"]),
    "bbox with a huge integer": (with_box(bbox=[10**400, 2, 3, 4]), ["annotation 3", "bbox"]),
    "bbox of negative width": (with_box(bbox=[9, 2, -3, 4]), ["annotation 3", "negative"]),
    "bbox outside": (with_box(bbox=[500, 500, 20, 20]), ["annotation 3", "b.jpg", "outside"]),
    "bbox huge": (with_box(bbox=[0, 0, 1e9, 1e9]), ["annotation 3", "b.jpg"]),
    "rotation a text": (with_box(attributes={"rotation": "x"}), ["annotation 3", "rotation"]),
    "rotation huge": (with_box(attributes={"rotation": 10**400}), ["annotation 3", "rotation"]),
    "annotation id a boolean": (with_box(id=True), ["annotation entry 3", "id is True"]),
    "unknown image": (with_box(image_id=99), ["annotation 3", "image_id is 99"]),
    "unknown category": (with_box(category_id=99), ["annotation 3", "category_id is 99"]),
    "annotation id a text": (with_box(id="3"), ["annotation entry 3", "id is '3'"]),
    "duplicate annotation id": (duplicated("annotations", 0), ["duplicate id 1"]),
    "duplicate image id": (duplicated("images", 0, file_name="a.png"), ["duplicate id", "a.png"]),
    "duplicate file_name": (
        duplicated("images", 0, id=9, width=7),
        ["image 9", "duplicate", "a.jpg"],
    ),
    "duplicate category name": (duplicated("categories", 1, id=9), ["duplicate", "car"]),
    "label empty": (with_entry("categories", 0, name=" "), ["category 1", "not empty"]),
    "label that reorders what follows": (
        with_entry("categories", 0, name="plate\u202e"),
        ["category 1", "writing direction", r"\u202e"],
    ),
    "label with a line break": (
        with_entry("categories", 0, name="plate\u2028"),
        ["category 1", "line breaks", r"\u2028"],
    ),
    "label of half a pair": (with_entry("categories", 0, name="\ud800"), ["category 1", "half"]),
    "images null": (with_list("images", None), ["images is null"]),
    "no annotations": (with_list("annotations", []), ["no usable box", "instances_default.json"]),
    "width a text": (with_image(width="96"), ["image 2", "width is '96'"]),
    "width negative": (with_image(width=-96), ["image 2", "-96"]),
    "other size": (with_image(width=960, height=640), ["b.jpg", "96x64", "960x640"]),
    "too many pixels": (with_image(width=50_000, height=50_000), ["b.jpg", "limit"]),
    "other case": (with_image(file_name="B.JPG"), ["B.JPG", "missing"]),
    "image missing": (without(B_JPG), ["b.jpg", "missing"]),
    "all images missing": ({JSON: plain()}, ["Save images"]),
    "no JSON": ({B_JPG: b"x"}, ["annotations", "instances"]),
    "JSON of something else": (
        {"package.json": {"images": []}},
        ["no annotations", "package.json"],
    ),
    "captions": ({"annotations/captions_val.json": plain(), B_JPG: b"x"}, ["captions_val.json"]),
    "plain COCO cut off": ({**files_of(plain(), json_name="a.json"), "b.json": b"{"}, ["b.json"]),
    "images in two JSON files": (
        {**files_of(plain(), "images/", "a.json"), "b.json": plain()},
        ["b.json", "already the file of an image of a.json"],
    ),
    "same category under the same parent": (
        with_list("categories", [{"id": i, "name": "a", "supercategory": "b"} for i in (1, 2)]),
        ["duplicate category name 'a'"],
    ),
    "keypoints": ({"annotations/person_keypoints_default.json": plain()}, ["Keypoints"]),
    "image empty": (with_file(B_JPG, b""), ["b.jpg", "0 bytes"]),
    "image is HTML": (with_file(B_JPG, b"<html>"), ["b.jpg", "formats"]),
    "image is a GIF": (with_file(B_JPG, encoded(1, "GIF")), ["b.jpg", "formats"]),
    "JPEG truncated": (with_file(B_JPG, encoded(1)[:-400]), ["b.jpg", "truncated"]),
    "progressive JPEG truncated": (with_file(B_JPG, PROGRESSIVE[:-400]), ["b.jpg", "truncated"]),
    "PNG truncated": (with_file(B_JPG, encoded(1, "PNG")[:-400]), ["b.jpg", "truncated"]),
    "PNG with a bad chunk": (with_file(B_JPG, BAD_CHUNK), ["b.jpg", "damaged"]),
    "PNG bomb": (with_file(B_JPG, png_header(50_000, 50_000)), ["50000x50000", "96x64"]),
    "JSON empty": (with_file(JSON, b""), ["instances_default.json", "not JSON"]),
    "JSON cut off": (with_file(JSON, RAW[:-9].encode()), ["not JSON"]),
    "JSON in UTF-16": (with_file(JSON, RAW.encode("utf-16")), ["UTF-8"]),
    "JSON too deep": (with_file(JSON, b"[" * 200_000), ["nested"]),
    "JSON a list": (with_file(JSON, b"[1]"), ["object"]),
    "JSON with a duplicate key": (with_file(JSON, TWICE.encode()), ["duplicate key 'images'"]),
    "JSON with Infinity": (with_file(JSON, INFINITE.encode()), ["Infinity"]),
    "one image for two subsets": (
        two_subsets({"Train": "images/", "Validation": "images/"}),
        ["instances_Train.json", "instances_Validation.json", "overwrote"],
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(tmp_path, case):
    files, mentions = REFUSALS[case]
    message = refused(tmp_path, as_folder(tmp_path / "in", files))
    assert [word for word in mentions if word not in message] == []


def member(name: str, **attributes) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


UNSAFE_NAMES = {
    "../../canary.jpg": "'..'",
    "images/../../canary.jpg": "'..'",
    "/tmp/canary.jpg": "absolute",
    "C:/canary.jpg": "drive",
    "images\\canary.jpg": "backslash",
    "images/a\n.jpg": "control",
    "b\0.jpg": "NUL",
    "gnp.\u202eexe.jpg": "writing direction",
    "a//z.jpg": "plain path",
    "a/./z.jpg": "plain path",
    "b/" * 999 + "b.jpg": "1024 bytes",
    "b" * 300: "255 bytes",
}


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_refuses_an_unsafe_name(tmp_path, name):
    listed = refused(tmp_path, as_folder(tmp_path / "in", with_image(file_name=name)))
    assert UNSAFE_NAMES[name] in listed
    assert "image 2" in listed
    export = as_zip(tmp_path / "in.zip", files_of(plain()))
    with zipfile.ZipFile(export, "a") as archive:
        info = member("x")
        info.filename = name  # its constructor would clean it
        archive.writestr(info, b"x")
    assert UNSAFE_NAMES[name] in refused(tmp_path, export)


ZIP_MEMBERS = {
    "symlink": (member("images/link", external_attr=0o120777 << 16), b"/etc", ["symlink"]),
    "pipe": (member("images/pipe", external_attr=0o010644 << 16), b"", ["neither"]),
    "twice": (member("images/default/a.jpg"), b"x", ["twice", "a.jpg"]),
    "twice, once with ./": (member("./images/default/a.jpg"), b"x", ["twice", "a.jpg"]),
    "climbs out behind ./": (member("./../canary.txt"), b"x", ["'..'"]),
    "absolute behind ./": (member(".//canary.txt"), b"x", ["absolute"]),
    "file and folder": (member("images"), b"x", ["both a file and a directory"]),
    "method": (member("images/a.bin", compress_type=zipfile.ZIP_LZMA), b"x", ["compression"]),
    "ratio": (
        member("a.bin", compress_type=zipfile.ZIP_DEFLATED),
        bytes(2**22),
        ["ratio", "a.bin"],
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ZIP_MEMBERS)
def test_refuses_a_zip_with_a_member_that(tmp_path, case):
    info, data, mentions = ZIP_MEMBERS[case]
    export = as_zip(tmp_path / "in.zip", files_of(plain()))
    with zipfile.ZipFile(export, "a") as archive:
        archive.writestr(info, data)
    message = refused(tmp_path, export)
    assert [word for word in mentions if word not in message] == []


def test_reads_a_zip_whose_names_begin_with_a_dot(tmp_path):
    files = {f"./{name}": value for name, value in files_of(plain()).items()}
    export = as_zip(tmp_path / "in.zip", files)
    with zipfile.ZipFile(export, "a") as archive:
        for folder in ("./", "./images/"):
            archive.writestr(member(folder, external_attr=0o040755 << 16), b"")
    ingest.main(export, tmp_path / "out")
    assert (tmp_path / "out/images/default/b.jpg").read_bytes() == encoded(1)


def test_refuses_a_zip_that_is_cut_off_or_encrypted_or_damaged(tmp_path):
    whole = as_zip(tmp_path / "in.zip", files_of(plain())).read_bytes()
    directory = whole.index(b"PK\x01\x02")
    encrypted = bytearray(whole)
    encrypted[directory + 8] |= 1
    damaged = bytearray(whole)
    damaged[directory - 9] ^= 255
    for data, word in ((whole[:-300], "truncated"), (encrypted, "encrypted"), (damaged, "corrupt")):
        (tmp_path / "in.zip").write_bytes(data)
        assert word in refused(tmp_path, tmp_path / "in.zip")


def test_names_all_faults_at_once_and_at_most_fifty(tmp_path):
    files = files_of(plain())
    files[JSON]["annotations"] = [rectangle(n, 1, 99, [1, 2, 3]) for n in range(1, 61)]
    message = refused(tmp_path, as_folder(tmp_path / "in", files))
    assert "60 faults" in message
    assert message.count("instances_default.json") == 50
    assert "and 10 more" in message


def test_warns_of_what_deserves_a_look(tmp_path, capsys):
    files = files_of(plain())
    coco = files[JSON]
    coco["categories"] += [{"id": 5, "name": "Plate "}]
    coco["annotations"] += [
        rectangle(5, 1, 1, [10.0, 8.0, 31.0, 23.0]),
        *(rectangle(n, 2, 1, [n / 10, 1.0, 9.0, 9.0]) for n in range(10, 130)),
    ]
    files["images/default/c.jpg"] = files["images/default/b.jpg"]
    files["images/default/extra.jpg"] = encoded(9)
    _, report, _ = ingested(tmp_path, files)
    told = " | ".join(note["what"] for note in report["warnings"])
    words = ("nearly the same", "no boxes", "same box", "121 boxes", "identical", "extra.jpg")
    assert [word for word in words if word not in told] == []
    assert len(capsys.readouterr().err.splitlines()) == len(report["warnings"])


def test_prints_ten_notes_and_points_to_the_rest(tmp_path, capsys):
    files = files_of(plain())
    files[JSON]["annotations"] += [rectangle(n, 2, 1, [n, 1, 0, 9]) for n in range(10, 25)]
    _, report, _ = ingested(tmp_path, files)
    lines = capsys.readouterr().err.splitlines()
    assert len(report["repairs"]) == 15
    assert len(lines) == 11
    assert lines[-1] == "and 5 more in report.json"


def test_a_refusal_leaves_the_old_data_set_alone(tmp_path):
    _, _, out = ingested(tmp_path, files_of(plain()))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    broken = as_folder(tmp_path / "broken", with_file(B_JPG, encoded(1)[:-400]))
    with pytest.raises(UserError, match=r"b\.jpg"):
        ingest.main(broken, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "broken"}


@pytest.mark.parametrize("target", [".", "in", "file", "other"])
def test_never_replaces_what_it_has_not_written(tmp_path, target):
    export = as_folder(tmp_path / "in", files_of(plain()))
    (tmp_path / "file").write_text("mine")
    as_folder(tmp_path / "other", {"mine.txt": b"mine"})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError):
        ingest.main(export, tmp_path / target)
    assert set(tmp_path.rglob("*")) == before


def test_the_command_takes_the_export_from_params_or_from_the_command_line(tmp_path, run_stage):
    as_zip(tmp_path / "it's $(touch canary).zip", files_of(plain()))
    write_params(tmp_path, {"data.export": "it's $(touch canary).zip"})
    assert run_stage("ingest", "data/dataset", cwd=tmp_path).returncode == 0
    assert (tmp_path / "data/dataset/annotations.json").is_file()
    assert not (tmp_path / "canary").exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    missing = run_stage("ingest", "nothing.zip", "out", cwd=elsewhere)
    assert missing.returncode == 1
    assert len(missing.stderr.splitlines()) == 1
    assert list(elsewhere.iterdir()) == []


def variants() -> list:
    if not BAD_EXPORTS.is_dir():
        reason = "../shared/data/bad_exports is not here"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    listed = json.loads((BAD_EXPORTS / "manifest.json").read_text())["variants"]
    return [pytest.param(variant, id=variant["name"]) for variant in listed]


@pytest.mark.parametrize("variant", variants())
def test_bad_exports(tmp_path, capsys, monkeypatch, variant):
    monkeypatch.chdir(tmp_path)
    export = BAD_EXPORTS / variant["path"]
    if not export.exists():  # Git keeps no empty folders
        export = tmp_path / variant["path"]
        export.mkdir()
    outside = set(BAD_EXPORTS.iterdir()) | set(tmp_path.iterdir())
    if variant["expect"] == "reject":
        message = refused(tmp_path, export).lower()
        for mention in variant["mention"]:
            assert any(word in message for word in mention.lower().split("|")), message
    else:
        ingest.main(export, tmp_path / "out")
        check_accepted(variant, tmp_path / "out", capsys.readouterr().err)
        outside.add(tmp_path / "out")
    assert set(BAD_EXPORTS.iterdir()) | set(tmp_path.iterdir()) == outside
    assert not Path("/tmp/BAD_INPUTS_CANARY.txt").exists()


def check_accepted(variant: dict, out: Path, error: str) -> None:
    coco = json.loads((out / "annotations.json").read_text())
    report = json.loads((out / "report.json").read_text())
    assert len(coco["images"]) == report["images"] == variant["images"]
    assert len(coco["annotations"]) == report["boxes"] == variant["boxes"]
    assert [category["name"] for category in coco["categories"]] == sorted(variant["names"])
    if variant["warn"]:
        assert report["warnings"] + report["repairs"]
        assert error
    if clip := variant["checks"].get("clip"):
        boxes = {box["id"]: box["bbox"] for box in coco["annotations"]}
        assert boxes[clip[0]] == pytest.approx(clip[1], abs=0.02)
    for image in coco["images"]:
        pixels_bgr = read_image(out / "images" / image["file_name"])
        assert pixels_bgr.shape[:2] == (image["height"], image["width"])
