"""Other formats than COCO are named, with the way to the right one."""

import io
import tarfile

import pytest
from test_ingest import as_folder, as_zip, refused

pytestmark = pytest.mark.usefixtures("elsewhere")

DATUMARO = {"info": {}, "categories": {"label": {}}, "items": []}
EXPORTS = {
    "YOLO 1.1": ({"obj.data": b"", "obj_train_data/a.jpg": b"", "train.txt": b""}, "YOLO"),
    "Ultralytics YOLO": ({"data.yaml": b"", "labels/train/a.txt": b""}, "YOLO"),
    "Pascal VOC": ({"Annotations/a.xml": b"", "JPEGImages/a.jpg": b""}, "Pascal VOC"),
    "CVAT for images": ({"annotations.xml": b"", "images/a.jpg": b""}, "CVAT for images"),
    "Datumaro": ({"annotations/default.json": DATUMARO, "images/default/a.jpg": b""}, "Datumaro"),
    "backup": (
        {"task.json": {}, "annotations.json": [], "data/manifest.jsonl": b""},
        "a CVAT backup",
    ),
    "videos": ({"a.mp4": b"", "b.MOV": b""}, "a folder of videos"),
}


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("case", EXPORTS)
def test_another_format_is_named(tmp_path, case, zipped):
    files, named = EXPORTS[case]
    given = as_zip(tmp_path / "in.zip", files) if zipped else as_folder(tmp_path / "in", files)
    said = refused(tmp_path, given)
    assert f"it looks like {named}" in said
    assert "Export task dataset" in said


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("instances_default.json", b'{"images": []}', "a bare JSON file"),
        ("export", b"\xef\xbb\xbf [1]", "a bare JSON file"),
        ("drive.MP4", b"\0\0\0\x18ftypmp42", "a video"),
        ("drive", b"\0\0\0\x18ftypmp42", "a video"),
        ("annotations.xml", b"<?xml", "XML of CVAT for images"),
        ("export.tar.gz", tar(), "another archive"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "a single image"),
    ],
)
def test_another_file_is_named(tmp_path, name, content, named):
    (tmp_path / name).write_bytes(content)
    said = refused(tmp_path, tmp_path / name)
    assert f"{name} is {named}" in said
    assert "Export task dataset" in said
