"""Name what was given instead of a COCO export, and say where in CVAT the right one is."""

import re
from collections.abc import Collection
from pathlib import Path

REMEDY = 'in CVAT: Actions, Export task dataset, format "COCO 1.0", Save images switched on'
# A name in the export that tells a format, the first that is found.
FORMATS = {
    "a CVAT backup": r"(.*/)?(task|project)\.json",
    "CVAT for images 1.1 or for video": r"(.*/)?annotations(/[^/]*)?\.xml",
    "Pascal VOC": r"(.*/)?Annotations/.*\.xml|(.*/)?[^/]+_jpg\.rf\.[^/]*\.xml",
    "YOLO": r"(.*/)?(obj\.(data|names)|data\.ya?ml|classes\.txt|labels/.*\.txt|obj_train_data/.*)",
    "TFRecord": r".*\.tfrecord",
    "KITTI": r"(.*/)?label_2/.*\.txt",
}
VIDEOS = re.compile(r"\.(mp4|avi|mov|mkv|webm|m4v|mpe?g|wmv|ts|mts)", re.IGNORECASE)


def other_format(names: Collection[str], jsons: dict[str, object]) -> str | None:
    """Say which format the files of an export look like.

    Args:
        names: of all files.
        jsons: content of JSON files by name, as far as it was read.
    """
    found = next((f for f, p in FORMATS.items() if any(re.fullmatch(p, n) for n in names)), None)
    for content in jsons.values():
        if isinstance(content, dict) and "items" in content and "categories" in content:
            found = "Datumaro"
    videos = names and all(VIDEOS.fullmatch(Path(name).suffix) for name in names)
    found = "a folder of videos without labels" if videos else found
    return f"it looks like {found}; {REMEDY}" if found else None


def other_file(path: Path) -> str | None:
    """Say what a file that is not a zip looks like, by its name and its first bytes."""
    with path.open("rb") as handle:
        head = handle.read(64)
    if VIDEOS.fullmatch(path.suffix) or head[4:8] == b"ftyp":
        kind = "a video: upload it to CVAT and label it, then export"
    elif path.suffix.lower() == ".json" or head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"["):
        kind = "a bare JSON file: give the zip, or the folder that holds annotations/ and images/"
    elif path.suffix.lower() == ".xml" or head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml"):
        kind = "XML of CVAT for images or of Pascal VOC: another export is needed"
    elif re.match(rb"\x1f\x8b|Rar!|7z\xbc\xaf|BZh|\xfd7zXZ", head) or path.suffix == ".tar":
        kind = "another archive than a zip: unpack it and give the folder"
    elif re.match(rb"\xff\xd8\xff|\x89PNG", head):
        kind = "a single image: give an export with its labels"
    else:
        return None
    return f"{kind}; {REMEDY}"
