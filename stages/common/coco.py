"""The clean COCO data set that `ingest` writes and every later stage reads.

    {"info": {}, "categories": [{"id", "name"}], "images": [{"id", "file_name", "width",
    "height", "sha256", "dhash", "export", "subset", "group"}], "annotations": [{"id",
    "image_id", "category_id", "bbox", "area", "iscrowd"}]}

Category ids run from 1 in the order of the names; class indices of the model are id - 1.
Boxes are [x, y, width, height] in pixels, inside the image. `sha256` is the hash of the file,
`dhash` 256 bits that are nearly the same for images that look the same, `export` the name of one of
several exports, `group` the series that a numbered name belongs to.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from stages.common.files import read_json
from stages.common.run import UserError

MAX_BOXES = 120  # of a training sample; a mosaic of four crowded images has more
LAST_NUMBER = re.compile(r"\d+(?=\D*$)")
# What tools add to the stem of a frame's name, in the order in which it is removed.
ADDED = (
    r"_(jpe?g|png|bmp|webp|tiff?)\.rf\.\w+$",  # Roboflow: a hash of its version
    r"^(?=\d*[a-f])[0-9a-f]{8}-(?=.)",  # Label Studio: a part of a UUID, see all_series
    r"(?<=frame_\d{6})_\d+$",  # CVAT: the number of another video with frames of the same names
)


def series_of(path: str) -> tuple[str, int | None]:
    """Tell what the frames of one video have in common from what they differ in.

    Returns:
        The path without suffix and without what tools add, with `#` for the last number of its
        name; and that number, None if there is none.
    """
    name = PurePosixPath(path)
    stem = name.stem
    for added in ADDED:
        stem = re.sub(added, "", stem, flags=re.IGNORECASE)
    match = LAST_NUMBER.search(stem)
    series = stem[: match.start()] + "#" + stem[match.end() :] if match else stem
    return str(name.with_name(series)), int(match[0]) if match else None


def all_series(paths: list[str]) -> list[str]:
    """Return the series of each path.

    A number of eight digits before a hyphen is a date in one data set and Label Studio's in
    another: one part of a UUID in 43 has no letter. It is Label Studio's where most names have one
    with a letter.
    """
    stems = [PurePosixPath(path).stem for path in paths]
    if 2 * sum(bool(re.search(ADDED[1], stem, re.IGNORECASE)) for stem in stems) > len(stems):
        paths = [re.sub(r"(?:^|(?<=/))\d{8}-(?=[^/.][^/]*$)", "", path) for path in paths]
    return [series_of(path)[0] for path in paths]


def read_coco(path: Path, boxes_needed: bool = False) -> dict:
    """Read a COCO file of this pipeline.

    Args:
        path: data/dataset/annotations.json or one of data/split/.
        boxes_needed: refuse a file without boxes.

    Raises:
        UserError: the file is unreadable, has no images, or no boxes where they are needed.
    """
    coco = read_json(path)
    if not isinstance(coco, dict) or not {"images", "annotations", "categories"} <= set(coco):
        raise UserError(f"{path} is not a COCO file of this pipeline; run `dvc repro split`")
    if not coco["images"]:
        raise UserError(f"{path} lists no images; add data or change split.ratio")
    if boxes_needed and not coco["annotations"]:
        raise UserError(f"{path} lists no boxes; label more frames, or change split.seed or ratio")
    return coco


def labels_of(coco: dict) -> list[str]:
    """List the class names in the order of the model's class indices."""
    return [category["name"] for category in coco["categories"]]


def subset(coco: dict, images: list[dict]) -> dict:
    """Return a COCO with only these images, in their order, and their boxes."""
    ids = {image["id"] for image in images}
    boxes = [a for a in coco["annotations"] if a["image_id"] in ids]
    return {**coco, "images": images, "annotations": boxes}


def counts_by(coco: dict, key: str) -> dict[str, dict[str, int]]:
    """Count the images and boxes by `export` or `subset`; by nothing if there is no name."""
    name_of = {image["id"]: image[key] for image in coco["images"]}
    boxes = Counter(name_of[box["image_id"]] for box in coco["annotations"])
    images = Counter(name_of.values())
    return {name: {"images": images[name], "boxes": boxes[name]} for name in images if name}


def boxes_of(coco: dict) -> dict[int, np.ndarray]:
    """Return the boxes by image id: float32 [n, 5], x0, y0, x1, y1 in pixels and class index."""
    rows: dict[int, list] = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]
        rows[annotation["image_id"]].append(
            [x, y, x + width, y + height, annotation["category_id"] - 1]
        )
    return {key: np.array(value, np.float32).reshape(-1, 5) for key, value in rows.items()}


def read_image(path: Path) -> np.ndarray:
    """Decode an image as image_bgr, uint8 [height, width, 3].

    EXIF rotation is ignored: `ingest` has applied it already.

    Raises:
        UserError: the file is missing or not an image.
    """
    # Read here: OpenCV crashes on names that are not UTF-8.
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image_bgr = cv2.imdecode(data, flags) if len(data) else None
    except (OSError, cv2.error):
        image_bgr = None
    if image_bgr is None:
        raise UserError(f"cannot read the image {path}; run `dvc repro ingest`")
    return image_bgr
